/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `audio-pa`: a PulseAudio server (or PipeWire's in its place) plays and records. The library has
 * a thread of its own; what is asked of it is asked under its lock, which is never held for long.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pulse/pulseaudio.h>

#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define ANSWER_US 5000000 /* that a server has for an answer */
#define DEFAULT_LATENCY_US 46440u

struct side {
    char *name, *stream_name;
    uint32_t latency; /* microseconds, 0: not given */
};

struct pa {
    struct bp_audiodev_options options;
    char *server;
    struct side in, out;
    pa_threaded_mainloop *loop;
    pa_context *context;
    bool late; /* an answer did not come in time */
};

struct stream {
    struct pa *pa;
    pa_stream *stream;
    uint32_t frame, rate;
    bool input, complained;
    size_t taken;    /* bytes of the piece that is at hand */
    int64_t lost_ns; /* since when there is no server: its place is taken by the clock */
};

/* ---- waiting for the server, under the loop's lock ---- */

static void wake(struct pa *s)
{
    pa_threaded_mainloop_signal(s->loop, 0);
}

static void context_changed(pa_context *context, void *opaque)
{
    (void)context;
    wake(opaque);
}

static void stream_changed(pa_stream *stream, void *opaque)
{
    (void)stream;
    wake(((struct stream *)opaque)->pa);
}

static void too_late(pa_mainloop_api *api, pa_time_event *event, const struct timeval *tv, void *opaque)
{
    struct pa *s = opaque;

    (void)api;
    (void)event;
    (void)tv;
    s->late = true;
    wake(s);
}

/* Until the state is one of the two, or time is over. */
static int wait_for(struct pa *s, pa_stream *stream)
{
    pa_mainloop_api *api = pa_threaded_mainloop_get_api(s->loop);
    struct timeval tv;
    pa_time_event *event;
    int r = -EAGAIN;

    s->late = false;
    pa_gettimeofday(&tv);
    pa_timeval_add(&tv, ANSWER_US);
    event = api->time_new(api, &tv, too_late, s);
    while (r == -EAGAIN) {
        pa_context_state_t c = pa_context_get_state(s->context);
        pa_stream_state_t t = stream ? pa_stream_get_state(stream) : PA_STREAM_UNCONNECTED;

        if (!PA_CONTEXT_IS_GOOD(c) || (stream && t != PA_STREAM_UNCONNECTED && !PA_STREAM_IS_GOOD(t)))
            r = -EIO;
        else if (stream ? t == PA_STREAM_READY : c == PA_CONTEXT_READY)
            r = 0;
        else if (s->late)
            r = -ETIMEDOUT;
        else
            pa_threaded_mainloop_wait(s->loop);
    }
    api->time_free(event);
    return r;
}

static const char *why(const struct pa *s, int r)
{
    return r == -ETIMEDOUT ? "it does not answer" : pa_strerror(pa_context_errno(s->context));
}

/* ---- the server ---- */

static void server_close(struct bp_object *obj)
{
    struct pa *s = bp_object_state(obj);

    if (!s->loop)
        return;
    pa_threaded_mainloop_lock(s->loop);
    if (s->context) {
        pa_context_disconnect(s->context);
        pa_context_unref(s->context);
    }
    pa_threaded_mainloop_unlock(s->loop);
    pa_threaded_mainloop_stop(s->loop);
    pa_threaded_mainloop_free(s->loop);
    s->context = NULL;
    s->loop = NULL;
}

static int server_open(struct bp_object *obj, struct bp_error *err)
{
    struct pa *s = bp_object_state(obj);
    int r;

    s->loop = pa_threaded_mainloop_new();
    if (!s->loop || pa_threaded_mainloop_start(s->loop) < 0)
        return bp_fail(err, ENOMEM, "PulseAudio's thread cannot be started");
    pa_threaded_mainloop_lock(s->loop);
    s->context = pa_context_new(pa_threaded_mainloop_get_api(s->loop), "backplane");
    pa_context_set_state_callback(s->context, context_changed, s);
    r = pa_context_connect(s->context, s->server, PA_CONTEXT_NOAUTOSPAWN, NULL) < 0 ? -EIO : wait_for(s, NULL);
    if (r < 0)
        bp_fail(err, ENODEV, "no PulseAudio server at %.200s: %s", s->server ? s->server : "the usual place",
                why(s, r));
    pa_threaded_mainloop_unlock(s->loop);
    if (r < 0)
        server_close(obj);
    return r < 0 ? -ENODEV : 0;
}

/* ---- streams ---- */

static pa_sample_spec choose(struct bp_audio_format *f)
{
    static const struct {
        pa_sample_format_t theirs;
        uint8_t ours;
    } map[BP_SAMPLE_END] = {
        {PA_SAMPLE_U8, BP_SAMPLE_U8}, {PA_SAMPLE_U8, BP_SAMPLE_U8}, {PA_SAMPLE_S16LE, BP_SAMPLE_S16},
        {PA_SAMPLE_S16LE, BP_SAMPLE_S16}, {PA_SAMPLE_S32LE, BP_SAMPLE_S32}, {PA_SAMPLE_S32LE, BP_SAMPLE_S32},
        {PA_SAMPLE_FLOAT32LE, BP_SAMPLE_F32}};
    pa_sample_spec spec = {map[f->sample].theirs, f->rate, f->channels};

    f->sample = map[f->sample].ours;
    return spec;
}

static int connect_stream(struct pa *s, struct stream *t, const struct bp_audio_request *request,
                          const pa_sample_spec *spec)
{
    const struct side *d = t->input ? &s->in : &s->out;
    uint32_t us = d->latency ? d->latency : request->buffer_us ? request->buffer_us : DEFAULT_LATENCY_US;
    pa_stream_flags_t flags = PA_STREAM_START_CORKED | PA_STREAM_INTERPOLATE_TIMING |
                              PA_STREAM_AUTO_TIMING_UPDATE | PA_STREAM_ADJUST_LATENCY;
    uint32_t bytes = (uint32_t)pa_usec_to_bytes(us, spec), none = (uint32_t)-1;
    pa_buffer_attr attr = {.maxlength = none, .tlength = t->input ? none : bytes, .prebuf = 0, .minreq = none,
                           .fragsize = t->input ? bytes / 2 : none};
    pa_channel_map map;
    int r;

    pa_channel_map_init_auto(&map, spec->channels, PA_CHANNEL_MAP_WAVEEX);
    t->stream = pa_stream_new(s->context, d->stream_name ? d->stream_name : request->name, spec, &map);
    if (!t->stream)
        return -EIO;
    pa_stream_set_state_callback(t->stream, stream_changed, t);
    r = t->input ? pa_stream_connect_record(t->stream, d->name, &attr, flags)
                 : pa_stream_connect_playback(t->stream, d->name, &attr, flags, NULL, NULL);
    return r < 0 ? -EIO : wait_for(s, t->stream);
}

static void stream_gone(struct stream *t)
{
    if (t->stream) {
        pa_stream_set_state_callback(t->stream, NULL, NULL);
        pa_stream_disconnect(t->stream);
        pa_stream_unref(t->stream);
    }
    free(t);
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    struct pa *s = bp_object_state(obj);
    struct stream *t = bp_alloc(sizeof(*t));
    pa_sample_spec spec = choose(&request->format);
    const char *name = request->input ? s->in.name : s->out.name;
    int r;

    t->pa = s;
    t->input = request->input;
    t->rate = spec.rate;
    t->frame = bp_audio_frame_bytes(&request->format);
    pa_threaded_mainloop_lock(s->loop);
    r = connect_stream(s, t, request, &spec);
    if (r < 0) {
        r = bp_fail(err, name ? ENOENT : ENODEV, "PulseAudio gives no stream %s %.200s: %s", t->input ? "from" : "to",
                name ? name : "its default device", why(s, r));
        stream_gone(t);
    } else {
        *ret_stream = t;
    }
    pa_threaded_mainloop_unlock(s->loop);
    return r;
}

static void stream_close(void *stream)
{
    struct stream *t = stream;
    pa_threaded_mainloop *loop = t->pa->loop;

    if (!loop) {
        free(t);
        return;
    }
    pa_threaded_mainloop_lock(loop);
    stream_gone(t);
    pa_threaded_mainloop_unlock(loop);
}

static void stream_run(void *stream, bool on)
{
    struct stream *t = stream;
    pa_operation *o;

    pa_threaded_mainloop_lock(t->pa->loop);
    if (pa_stream_get_state(t->stream) == PA_STREAM_READY) {
        if (on && t->input && (o = pa_stream_flush(t->stream, NULL, NULL)))
            pa_operation_unref(o);
        if ((o = pa_stream_cork(t->stream, !on, NULL, NULL)))
            pa_operation_unref(o);
    }
    pa_threaded_mainloop_unlock(t->pa->loop);
}

/* The server is gone: the guest's card goes on at its pace, unheard. */
static uint32_t room_without_server(struct stream *t)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), passed;

    if (!t->complained)
        bp_warn("audiodev pa: the server is gone; nothing is heard any more");
    if (!t->complained)
        t->lost_ns = now;
    t->complained = true;
    passed = now - t->lost_ns;
    t->lost_ns = now;
    return passed > 500000000 ? t->rate / 2 : (uint32_t)(passed * t->rate / 1000000000);
}

static uint32_t stream_room(void *stream)
{
    struct stream *t = stream;
    size_t bytes;
    bool ready;

    pa_threaded_mainloop_lock(t->pa->loop);
    ready = pa_stream_get_state(t->stream) == PA_STREAM_READY;
    bytes = !ready ? 0 : t->input ? pa_stream_readable_size(t->stream) : pa_stream_writable_size(t->stream);
    pa_threaded_mainloop_unlock(t->pa->loop);
    if (!ready)
        return room_without_server(t);
    return bytes == (size_t)-1 ? 0 : (uint32_t)(bytes / t->frame);
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct stream *t = stream;

    pa_threaded_mainloop_lock(t->pa->loop);
    if (pa_stream_get_state(t->stream) == PA_STREAM_READY)
        pa_stream_write(t->stream, data, (size_t)frames * t->frame, NULL, 0, PA_SEEK_RELATIVE);
    pa_threaded_mainloop_unlock(t->pa->loop);
    return frames;
}

/* From the pieces in which the server gives it; holes in them are silence. */
static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct stream *t = stream;
    size_t want = (size_t)frames * t->frame, have = 0;
    bool ready;

    pa_threaded_mainloop_lock(t->pa->loop);
    ready = pa_stream_get_state(t->stream) == PA_STREAM_READY;
    while (ready && have < want) {
        const void *piece;
        size_t n, m;

        if (pa_stream_peek(t->stream, &piece, &n) < 0 || !n)
            break;
        m = n - t->taken < want - have ? n - t->taken : want - have;
        if (piece)
            memcpy((uint8_t *)data + have, (const uint8_t *)piece + t->taken, m);
        else
            memset((uint8_t *)data + have, 0, m);
        have += m;
        t->taken += m;
        if (t->taken < n)
            break;
        pa_stream_drop(t->stream);
        t->taken = 0;
    }
    pa_threaded_mainloop_unlock(t->pa->loop);
    if (!ready)
        memset(data, 0, want);
    return ready ? (uint32_t)(have / t->frame) : frames;
}

static uint32_t stream_latency(void *stream)
{
    struct stream *t = stream;
    pa_usec_t us = 0;
    int negative = 0;

    pa_threaded_mainloop_lock(t->pa->loop);
    if (pa_stream_get_state(t->stream) != PA_STREAM_READY ||
        pa_stream_get_latency(t->stream, &us, &negative) < 0 || negative)
        us = 0;
    pa_threaded_mainloop_unlock(t->pa->loop);
    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

#define DIRECTION(DIR, WHAT) \
    BP_PROP(#DIR ".name", STRING, struct pa, DIR.name, NULL, WHAT " to be used, instead of the default one"), \
    BP_PROP(#DIR ".stream-name", STRING, struct pa, DIR.stream_name, NULL, "name that mixers show"), \
    BP_PROP_RANGE(#DIR ".latency", UINT32, struct pa, DIR.latency, NULL, 0, 10000000, "microseconds wished for")
static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct pa, options),
    BP_PROP("server", STRING, struct pa, server, NULL, "server to connect to, as PulseAudio names them"),
    DIRECTION(in, "source"), DIRECTION(out, "sink"), BP_FIELDS_END};
BP_AUDIODEV(pa_class, "pa", "PulseAudio", struct pa, options, props, .preference = 40, .open = server_open,
            .close = server_close, .stream_open = stream_open, .stream_close = stream_close, .stream_run = stream_run,
            .stream_room = stream_room, .stream_write = stream_write, .stream_read = stream_read,
            .stream_latency = stream_latency);
BP_MODULE("audio-pa", "PulseAudio", imports, {BP_PROVIDE_OTHER, &pa_class});
