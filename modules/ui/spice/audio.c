/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `audio-spice`: SPICE clients hear and record, in 48 kHz, two channels, 16 bits: what Opus has, which the
 * server uses unless playback-compression=off. The client's clock is not known here: guest time paces. While nobody is
 * connected frames are dropped, and what is recorded is silence.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <spice.h>

#include <bp/host/audio.h>
#include <bp/host/spice.h>

BP_USE(audio, struct bp_audio_interface, "audio", 1);
BP_USE(spice, struct bp_spice_interface, "spice", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), BP_IMPORT(spice, "spice", 1), {0}};

#define RATE 48000u

struct spice_audio {
    struct bp_audiodev_options options;
};

struct stream {
    bool input, added, running;
    SpicePlaybackInstance playback;
    SpiceRecordInstance record;
    uint32_t *buffer, size, filled; /* the library's, being filled; in frames */
};

static struct stream *playing, *recording; /* the server has one of each */

static const SpicePlaybackInterface playback_interface = {
    .base = {SPICE_INTERFACE_PLAYBACK, "playback", SPICE_INTERFACE_PLAYBACK_MAJOR, SPICE_INTERFACE_PLAYBACK_MINOR}};
static const SpiceRecordInterface record_interface = {
    .base = {SPICE_INTERFACE_RECORD, "record", SPICE_INTERFACE_RECORD_MAJOR, SPICE_INTERFACE_RECORD_MINOR}};

static void start(struct stream *t)
{
    if (t->input)
        spice_server_record_start(&t->record);
    else
        spice_server_playback_start(&t->playback);
}

static void added(void *opaque)
{
    struct stream *t = opaque;

    t->added = true;
    if (t->input)
        spice_server_set_record_rate(&t->record, RATE);
    else
        spice_server_set_playback_rate(&t->playback, RATE);
    if (t->running)
        start(t);
}

static int spice_open(struct bp_object *obj, struct bp_error *err)
{
    (void)obj;
    return spice->is_asked() ? 0 : bp_fail(err, ENODEV, "audiodev spice needs a SPICE server: add -spice");
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream, struct bp_error *err)
{
    struct stream *t, **one = request->input ? &recording : &playing;
    int r;

    if (*one)
        return bp_fail(err, EBUSY, "audiodev '%s': a SPICE server has one stream %s; use voices=1", bp_object_id(obj),
                       request->input ? "in" : "out");
    t = bp_alloc(sizeof(*t));
    t->input = request->input;
    t->playback.base.sif = &playback_interface.base;
    t->record.base.sif = &record_interface.base;
    r = spice->add(t->input ? (void *)&t->record : &t->playback, added, t, err);
    if (r < 0) {
        free(t);
        return r;
    }
    request->format = (struct bp_audio_format){.rate = RATE, .channels = 2, .sample = BP_SAMPLE_S16};
    *one = t;
    *ret_stream = t;
    return 0;
}

/* What is missing of a buffer is silence. */
static void send_buffer(struct stream *t)
{
    if (!t->buffer)
        return;
    memset(t->buffer + t->filled, 0, (t->size - t->filled) * sizeof(*t->buffer));
    spice_server_playback_put_samples(&t->playback, t->buffer);
    t->buffer = NULL;
}

static void stream_run(void *stream, bool on)
{
    struct stream *t = stream;

    if (t->running == on)
        return;
    t->running = on;
    if (!t->added)
        return;
    if (on) {
        start(t);
    } else if (t->input) {
        spice_server_record_stop(&t->record);
    } else {
        send_buffer(t);
        spice_server_playback_stop(&t->playback);
    }
}

static void stream_close(void *stream)
{
    struct stream *t = stream;

    stream_run(t, false);
    spice->remove(t->input ? (void *)&t->record : &t->playback);
    *(t->input ? &recording : &playing) = NULL;
    free(t);
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct stream *t = stream;
    const uint32_t *from = data;

    for (uint32_t done = 0, n; t->added && done < frames; done += n) {
        if (!t->buffer) {
            t->filled = 0;
            spice_server_playback_get_buffer(&t->playback, &t->buffer, &t->size);
            if (!t->buffer)
                break; /* nobody is there, or does not keep up */
        }
        n = frames - done < t->size - t->filled ? frames - done : t->size - t->filled;
        memcpy(t->buffer + t->filled, from + done, n * sizeof(*from));
        t->filled += n;
        if (t->filled == t->size)
            send_buffer(t);
    }
    return frames;
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct stream *t = stream;
    uint32_t n = t->added ? spice_server_record_get_samples(&t->record, data, frames) : 0;

    memset((uint32_t *)data + n, 0, (frames - n) * sizeof(uint32_t));
    return frames;
}

static const struct bp_field props[] = {BP_AUDIODEV_PROPS(struct spice_audio, options), BP_FIELDS_END};
/* Before all that a host has: who asks for SPICE listens there. */
BP_AUDIODEV(spice_class, "spice", "SPICE clients", struct spice_audio, options, props, .audio_flags = BP_AUDIO_PACED,
            .preference = 90, .open = spice_open, .stream_open = stream_open, .stream_close = stream_close,
            .stream_run = stream_run, .stream_write = stream_write, .stream_read = stream_read);
BP_MODULE("audio-spice", "Sound over SPICE", imports, {BP_PROVIDE_OTHER, &spice_class});
