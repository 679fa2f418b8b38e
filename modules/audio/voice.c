/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Voices: what sound cards play and hear, between their format and that of the stream they are on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audio.h"

#define QUEUE_MS 250u /* of frames that wait, at most */

/* ---- queues ---- */

size_t audio_queue_frames(const struct audio_queue *q, size_t frame_bytes)
{
    return q->size / frame_bytes;
}

void audio_queue_add(struct audio_queue *q, const void *data, size_t bytes)
{
    if (!bytes)
        return;
    if (q->start && q->start + q->size + bytes > q->room) {
        memmove(q->data, q->data + q->start, q->size);
        q->start = 0;
    }
    if (q->size + bytes > q->room) {
        q->room = (q->size + bytes) * 2;
        q->data = bp_realloc(q->data, q->room);
    }
    memcpy(q->data + q->start + q->size, data, bytes);
    q->size += bytes;
}

void audio_queue_take(struct audio_queue *q, void *data, size_t bytes)
{
    if (data && bytes) /* an empty queue may have no memory yet */
        memcpy(data, q->data + q->start, bytes);
    q->start = q->size == bytes ? 0 : q->start + bytes;
    q->size -= bytes;
}

void audio_queue_clear(struct audio_queue *q)
{
    q->start = q->size = 0;
}

/* ---- between the voice and its stream ---- */

/* Output waits as the stream takes it: raw, or floats of the stream's channels. Input as the guest does. */
size_t audio_voice_unit(const struct bp_voice *v)
{
    return v->input || v->stream->raw ? bp_audio_frame_bytes(&v->format)
                                      : v->stream->format.channels * sizeof(float);
}

/* Frames that the queue takes besides those that it has. */
static size_t room(const struct bp_voice *v)
{
    uint32_t rate = v->input ? v->format.rate : v->stream->format.rate;
    size_t most = (size_t)rate * QUEUE_MS / 1000, has = audio_queue_frames(&v->queue, audio_voice_unit(v));

    return has < most ? most - has : 0;
}

/* At another rate, if there is one: `in` of `channels`; hands each piece that comes out to the queue's side. */
static void resample(struct bp_voice *v, const float *in, size_t frames, unsigned channels, double ratio,
                     void (*emit)(struct bp_voice *v, const float *out, size_t frames))
{
    float out[AUDIO_CHUNK * 2];
    SRC_DATA d = {.data_in = in, .input_frames = (long)frames, .src_ratio = ratio, .data_out = out,
                  .output_frames = (long)(BP_COUNT(out) / channels)};

    if (!v->resampler) {
        emit(v, in, frames);
        return;
    }
    do {
        if (src_process(v->resampler, &d) != 0)
            return;
        if (d.output_frames_gen > 0)
            emit(v, out, (size_t)d.output_frames_gen);
        d.data_in += d.input_frames_used * (long)channels;
        d.input_frames -= d.input_frames_used;
    } while (d.input_frames > 0 && (d.output_frames_gen > 0 || d.input_frames_used > 0));
}

static void emit_output(struct bp_voice *v, const float *out, size_t frames)
{
    audio_queue_add(&v->queue, out, frames * v->stream->format.channels * sizeof(float));
}

static uint32_t voice_write(struct bp_voice *v, const void *data, uint32_t frames)
{
    const struct bp_audio_format *f = &v->format;
    unsigned channels = v->stream->format.channels;
    uint32_t bytes = bp_audio_frame_bytes(f), taken = 0;
    double ratio = (double)v->stream->format.rate / f->rate;

    if (v->input || v->dead)
        return 0;
    while (taken < frames) {
        float own[256 * BP_AUDIO_CHANNELS_MAX], mapped[256 * BP_AUDIO_CHANNELS_MAX];
        const uint8_t *at = (const uint8_t *)data + (size_t)taken * bytes;
        uint32_t n = frames - taken < 256 ? frames - taken : 256;

        if (!room(v))
            break;
        if (v->stream->raw) {
            audio_queue_add(&v->queue, at, (size_t)n * bytes);
        } else {
            audio_to_float(own, at, f->sample, (size_t)n * f->channels);
            audio_map_channels(mapped, channels, own, f->channels, n);
            resample(v, mapped, n, channels, ratio, emit_output);
        }
        taken += n;
    }
    return taken;
}

static void emit_input(struct bp_voice *v, const float *out, size_t frames)
{
    size_t unit = bp_audio_frame_bytes(&v->format), most = room(v);
    unsigned channels = v->stream->format.channels;

    while (frames) {
        float mapped[256 * BP_AUDIO_CHANNELS_MAX];
        uint8_t bytes[256 * BP_AUDIO_CHANNELS_MAX * 4];
        size_t n = frames < 256 ? frames : 256;

        if (n > most) /* the guest does not read: what is oldest goes */
            audio_queue_take(&v->queue, NULL, (n - most < audio_queue_frames(&v->queue, unit)
                             ? n - most : audio_queue_frames(&v->queue, unit)) * unit);
        audio_map_channels(mapped, v->format.channels, out, channels, n);
        for (size_t i = 0; i < n * v->format.channels; i++)
            mapped[i] *= v->mute ? 0 : v->volume[i % v->format.channels & 1];
        audio_from_float(bytes, mapped, v->format.sample, n * v->format.channels);
        audio_queue_add(&v->queue, bytes, n * unit);
        out += n * channels;
        frames -= n;
        most = room(v);
    }
}

void audio_voice_hear(struct bp_voice *v, const float *in, uint32_t frames)
{
    resample(v, in, frames, v->stream->format.channels, (double)v->format.rate / v->stream->format.rate,
             emit_input);
}

static uint32_t voice_read(struct bp_voice *v, void *data, uint32_t frames)
{
    size_t unit = bp_audio_frame_bytes(&v->format), has = audio_queue_frames(&v->queue, unit);

    if (!v->input || v->dead)
        return 0;
    if (frames > has)
        frames = (uint32_t)has;
    if (frames)
        audio_queue_take(&v->queue, data, frames * unit);
    return frames;
}

/* ---- life ---- */

static int set_resampler(struct bp_voice *v, struct bp_error *err)
{
    int failed = 0;

    if (v->resampler)
        src_delete(v->resampler);
    v->resampler = NULL;
    if (v->stream->raw || v->format.rate == v->stream->format.rate)
        return 0;
    v->resampler = src_new(SRC_SINC_FASTEST, v->stream->format.channels, &failed);
    return v->resampler ? 0 : bp_fail(err, ENOMEM, "no resampler: %s", src_strerror(failed));
}

static int set_up(struct bp_voice *v, struct bp_error *err)
{
    int r = audio_stream_for(v->dev, v, &v->stream, err);

    if (r < 0)
        return r;
    r = set_resampler(v, err);
    if (r < 0) {
        audio_stream_leave(v);
        v->stream = NULL;
    }
    return r;
}

static void tear_down(struct bp_voice *v)
{
    if (v->resampler)
        src_delete(v->resampler);
    v->resampler = NULL;
    audio_queue_clear(&v->queue);
    if (v->stream)
        audio_stream_leave(v);
    v->stream = NULL;
}

void audio_voice_destroy(struct bp_voice *v)
{
    tear_down(v);
    free(v->queue.data);
    free((void *)(uintptr_t)v->ops);
    free(v->name);
    free(v);
}

static int voice_new(struct bp_object *device, struct bp_object *audiodev, bool input, const char *name,
                     const struct bp_audio_format *format, const struct bp_voice_ops *ops, void *opaque,
                     struct bp_voice **ret_voice, struct bp_error *err)
{
    struct bp_voice_ops *copy;
    struct audio_dev *dev;
    struct bp_voice *v;
    int r = audio_check_format(format, err);

    if (r == 0)
        r = audio_find(audiodev, &dev, err);
    if (r < 0)
        return r;
    v = bp_alloc(sizeof(*v));
    copy = bp_alloc(sizeof(*copy));
    memcpy(copy, ops, ops->size < sizeof(*copy) ? ops->size : sizeof(*copy));
    v->dev = dev;
    v->machine = bp_object_machine(device);
    v->input = input;
    v->volume[0] = v->volume[1] = 1;
    v->format = *format;
    v->ops = copy;
    v->opaque = opaque;
    v->name = bp_strdup(name);
    r = set_up(v, err);
    if (r < 0)
        audio_voice_destroy(v);
    else
        *ret_voice = v;
    return r;
}

static void voice_set_active(struct bp_voice *v, bool on)
{
    if (v->active == on || v->dead || !v->stream)
        return;
    v->active = on;
    if (on)
        audio_queue_clear(&v->queue);
    audio_stream_update(v->stream);
}

static void voice_free(struct bp_voice *v)
{
    if (!v || v->dead)
        return;
    voice_set_active(v, false);
    v->dead = true;
    if (!v->stream || !v->stream->busy)
        audio_voice_destroy(v);
}

static int voice_set_format(struct bp_voice *v, const struct bp_audio_format *format, struct bp_error *err)
{
    struct bp_audio_format before = v->format;
    bool active = v->active;
    int r = audio_check_format(format, err);

    if (r < 0 || v->dead)
        return r;
    if (!memcmp(format, &before, sizeof(before)))
        return 0;
    if (v->stream && v->stream->busy) /* called from process(): the stream must not go under it */
        return bp_fail(err, EBUSY, "the voice plays just now");
    if (v->stream && !v->stream->raw && audio_direction(v->dev, v->input)->fixed_settings) {
        audio_queue_clear(&v->queue); /* the host's format stays, and so does its stream: a file, say */
        v->format = *format;
        return set_resampler(v, err);
    }
    voice_set_active(v, false);
    tear_down(v);
    v->format = *format;
    r = set_up(v, err);
    if (r < 0) {
        v->format = before;
        if (set_up(v, NULL) < 0)
            return r; /* without a stream: silent */
    }
    voice_set_active(v, active);
    return r;
}

static bool voice_is_active(const struct bp_voice *v)
{
    return v->active;
}

static void voice_set_volume(struct bp_voice *v, bool mute, float left, float right)
{
    v->mute = mute;
    v->volume[0] = left < 0 ? 0 : left > 1 ? 1 : left;
    v->volume[1] = right < 0 ? 0 : right > 1 ? 1 : right;
}

static uint32_t voice_latency(const struct bp_voice *v)
{
    const struct bp_audiodev_class *class;
    uint32_t rate, host;

    if (!v->stream)
        return 0;
    class = v->stream->class;
    rate = v->input ? v->format.rate : v->stream->format.rate;
    host = class->stream_latency ? class->stream_latency(v->stream->host) : 0;
    return host + (uint32_t)(audio_queue_frames(&v->queue, audio_voice_unit(v)) * 1000000 / rate);
}

static void voice_sync(struct bp_voice *v)
{
    if (v->active && !v->dead && v->stream)
        audio_stream_sync(v->stream);
}

/* A voice that lost its stream (its format could not be had) takes what it is given, and drops it. */
static uint32_t write_checked(struct bp_voice *v, const void *data, uint32_t frames)
{
    return v->stream ? voice_write(v, data, frames) : frames;
}

static uint32_t read_checked(struct bp_voice *v, void *data, uint32_t frames)
{
    return v->stream ? voice_read(v, data, frames) : 0;
}

const struct bp_audio_interface audio_table = {
    .size = sizeof(audio_table), .voice_new = voice_new, .voice_free = voice_free,
    .voice_set_format = voice_set_format, .voice_set_active = voice_set_active,
    .voice_is_active = voice_is_active, .voice_set_volume = voice_set_volume,
    .voice_write = write_checked, .voice_read = read_checked, .voice_latency = voice_latency,
    .capture_new = audio_capture_new, .capture_free = audio_capture_free, .voice_sync = voice_sync,
    .reserved = {NULL}};
