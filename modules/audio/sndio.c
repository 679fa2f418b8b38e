/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `audio-sndio`: sndiod, or a device of its library, plays and records. On the main thread. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <sndio.h>

#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define DEFAULT_LATENCY_US 46440u
#define MAX_DESCRIPTORS 32

struct sndio_direction {
    char *dev;
    uint32_t latency;
};

struct sndio {
    struct bp_audiodev_options options;
    struct sndio_direction in, out;
};

struct sndio_stream {
    struct sio_hdl *handle;
    uint32_t frame, rate, buffer; /* `buffer`: frames that may wait in it */
    uint8_t part[BP_AUDIO_CHANNELS_MAX * 4]; /* of a frame that was read */
    uint32_t part_bytes;
    uint8_t *rest; /* of what was to be written, when the server did not take it at once */
    size_t rest_bytes;
    bool input, complained;
    int64_t moved, played; /* frames given to it (taken from it); as it says where it is */
    int64_t lost_ns;
};

static void moved(void *opaque, int delta)
{
    ((struct sndio_stream *)opaque)->played += delta;
}

static void describe(struct sio_par *par, struct bp_audio_format *f, bool input)
{
    uint32_t bytes = bp_audio_sample_bytes(f->sample);

    sio_initpar(par);
    par->bits = 8 * bytes;
    par->bps = bytes;
    par->sig = f->sample != BP_SAMPLE_U8 && f->sample != BP_SAMPLE_U16 && f->sample != BP_SAMPLE_U32;
    par->le = 1;
    par->rate = f->rate;
    if (input)
        par->rchan = f->channels;
    else
        par->pchan = f->channels;
}

/* What it settled on; -EINVAL: nothing that samples are here. */
static int understand(const struct sio_par *par, struct bp_audio_format *f, bool input)
{
    unsigned channels = input ? par->rchan : par->pchan;

    if (!par->le || par->bits != 8 * par->bps || par->bps == 3 || par->bps > 4 || !channels ||
        channels > BP_AUDIO_CHANNELS_MAX || par->rate < BP_AUDIO_RATE_MIN || par->rate > BP_AUDIO_RATE_MAX)
        return -EINVAL;
    f->sample = par->bps == 1 ? (par->sig ? BP_SAMPLE_S8 : BP_SAMPLE_U8)
                : par->bps == 2 ? (par->sig ? BP_SAMPLE_S16 : BP_SAMPLE_U16)
                                : (par->sig ? BP_SAMPLE_S32 : BP_SAMPLE_U32);
    f->rate = par->rate;
    f->channels = (uint8_t)channels;
    return 0;
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    const struct sndio *s = bp_object_state(obj);
    const struct sndio_direction *d = request->input ? &s->in : &s->out;
    uint32_t us = d->latency ? d->latency : request->buffer_us ? request->buffer_us : DEFAULT_LATENCY_US;
    struct sndio_stream *t;
    struct sio_par par;
    struct sio_hdl *handle = sio_open(d->dev, request->input ? SIO_REC : SIO_PLAY, 1);

    if (!handle)
        return bp_fail(err, strcmp(d->dev, "default") ? ENOENT : ENODEV, "sndio has no device '%.100s' to %s", d->dev,
                       request->input ? "record from" : "play on");
    if (request->format.sample == BP_SAMPLE_F32)
        request->format.sample = BP_SAMPLE_S32;
    describe(&par, &request->format, request->input);
    par.appbufsz = (unsigned)((uint64_t)us * request->format.rate / 1000000);
    if (!sio_setpar(handle, &par) || !sio_getpar(handle, &par) ||
        understand(&par, &request->format, request->input) < 0 || sio_nfds(handle) > MAX_DESCRIPTORS) {
        sio_close(handle);
        return bp_fail(err, ENODEV, "sndio's device '%.100s' cannot be set up", d->dev);
    }
    t = bp_alloc(sizeof(*t));
    t->handle = handle;
    t->input = request->input;
    t->rate = request->format.rate;
    t->frame = bp_audio_frame_bytes(&request->format);
    t->buffer = par.bufsz; /* with what the server itself keeps */
    sio_onmove(handle, moved, t);
    *ret_stream = t;
    return 0;
}

static void stream_close(void *stream)
{
    struct sndio_stream *t = stream;

    sio_close(t->handle);
    free(t->rest);
    free(t);
}

static void stream_run(void *stream, bool on)
{
    struct sndio_stream *t = stream;

    t->moved = t->played = 0;
    t->rest_bytes = t->part_bytes = 0;
    if (on)
        sio_start(t->handle);
    else
        sio_stop(t->handle);
}

static uint32_t room_without_server(struct sndio_stream *t)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), passed;

    if (!t->complained) {
        bp_warn("audiodev sndio: the device is gone; nothing is heard any more");
        t->lost_ns = now;
    }
    t->complained = true;
    passed = now - t->lost_ns;
    t->lost_ns = now;
    return passed > 500000000 ? t->rate / 2 : (uint32_t)(passed * t->rate / 1000000000);
}

static bool write_rest(struct sndio_stream *t)
{
    size_t n = t->rest_bytes ? sio_write(t->handle, t->rest, t->rest_bytes) : 0;

    t->rest_bytes -= n;
    if (n && t->rest_bytes)
        memmove(t->rest, t->rest + n, t->rest_bytes);
    return !t->rest_bytes;
}

static uint32_t stream_room(void *stream)
{
    struct sndio_stream *t = stream;
    struct pollfd fds[MAX_DESCRIPTORS];
    int n = sio_pollfd(t->handle, fds, t->input ? POLLIN : POLLOUT);
    int64_t waiting;

    /* Takes in what it tells of its position. */
    if (n > 0 && poll(fds, (nfds_t)n, 0) >= 0)
        sio_revents(t->handle, fds);
    if (sio_eof(t->handle))
        return room_without_server(t);
    if (t->input)
        return t->rate / 2;
    if (!write_rest(t))
        return 0;
    waiting = t->moved - t->played;
    return waiting >= (int64_t)t->buffer ? 0 : (uint32_t)((int64_t)t->buffer - waiting);
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct sndio_stream *t = stream;
    size_t bytes = (size_t)frames * t->frame, n;

    if (t->complained)
        return frames;
    n = write_rest(t) ? sio_write(t->handle, data, bytes) : 0;
    if (n < bytes) { /* no more than what room was told for */
        t->rest = bp_realloc(t->rest, t->rest_bytes + bytes - n);
        memcpy(t->rest + t->rest_bytes, (const uint8_t *)data + n, bytes - n);
        t->rest_bytes += bytes - n;
    }
    t->moved += frames;
    return frames;
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct sndio_stream *t = stream;
    size_t bytes = (size_t)frames * t->frame;

    if (t->complained) {
        memset(data, 0, bytes);
        return frames;
    }
    memcpy(data, t->part, t->part_bytes);
    bytes = t->part_bytes + sio_read(t->handle, (uint8_t *)data + t->part_bytes, bytes - t->part_bytes);
    t->part_bytes = (uint32_t)(bytes % t->frame);
    memcpy(t->part, (uint8_t *)data + bytes - t->part_bytes, t->part_bytes);
    return (uint32_t)(bytes / t->frame);
}

static uint32_t stream_latency(void *stream)
{
    const struct sndio_stream *t = stream;
    int64_t waiting = t->input ? 0 : t->moved - t->played;

    return waiting > 0 ? (uint32_t)((uint64_t)waiting * 1000000 / t->rate) : 0;
}

#define DIRECTION(DIR) \
    BP_PROP(#DIR ".dev", STRING, struct sndio, DIR.dev, "default", "device, as sndio names them"), \
    BP_PROP_RANGE(#DIR ".latency", UINT32, struct sndio, DIR.latency, NULL, 0, 10000000, \
                  "microseconds wished for")
static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct sndio, options), DIRECTION(in), DIRECTION(out), BP_FIELDS_END};
BP_AUDIODEV(sndio_class, "sndio", "sndio", struct sndio, options, props, .stream_open = stream_open,
            .stream_close = stream_close, .stream_run = stream_run, .stream_room = stream_room,
            .stream_write = stream_write, .stream_read = stream_read, .stream_latency = stream_latency);
BP_MODULE("audio-sndio", "Sound by sndio", imports, {BP_PROVIDE_OTHER, &sndio_class});
