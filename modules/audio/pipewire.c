/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `audio-pipewire`: PipeWire plays and records. Its thread asks for buffers; between it and the main
 * thread lies a ring of the wished-for latency.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipewire/pipewire.h>
#include <spa/param/audio/format-utils.h>

#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>

#include "ring.h"

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define ANSWER_S 5
#define DEFAULT_LATENCY_US 46440u

struct pipewire_direction {
    char *name, *stream_name;
    uint32_t latency;
};

struct pipewire {
    struct bp_audiodev_options options;
    struct pipewire_direction in, out;
    struct pw_thread_loop *loop;
    struct pw_context *context;
    struct pw_core *core;
    struct spa_hook listener;
    int pending;
    bool answered, failed;
};

struct stream {
    struct pipewire *server;
    struct pw_stream *stream;
    struct spa_hook listener;
    struct audio_ring ring;
    uint32_t frame, rate;
    bool input, complained;
    _Atomic bool lost; /* an error, or the server went */
    int64_t lost_ns;
};

/* ---- the server ---- */

static void core_done(void *opaque, uint32_t id, int seq)
{
    struct pipewire *s = opaque;

    if (id == PW_ID_CORE && seq == s->pending)
        s->answered = true;
    pw_thread_loop_signal(s->loop, false);
}

static void core_error(void *opaque, uint32_t id, int seq, int res, const char *message)
{
    struct pipewire *s = opaque;

    (void)seq;
    (void)message;
    if (id == PW_ID_CORE && res == -EPIPE)
        s->failed = true;
    pw_thread_loop_signal(s->loop, false);
}

static const struct pw_core_events core_events = {
    PW_VERSION_CORE_EVENTS, .done = core_done, .error = core_error};

static void server_close(struct bp_object *obj)
{
    struct pipewire *s = bp_object_state(obj);

    if (s->loop)
        pw_thread_loop_stop(s->loop);
    if (s->core) {
        spa_hook_remove(&s->listener);
        pw_core_disconnect(s->core);
    }
    if (s->context)
        pw_context_destroy(s->context);
    if (s->loop)
        pw_thread_loop_destroy(s->loop);
    s->loop = NULL;
    s->context = NULL;
    s->core = NULL;
}

/* Under the loop's lock: the server has done what it was asked before. */
static int round_trip(struct pipewire *s)
{
    s->answered = false;
    s->pending = pw_core_sync(s->core, PW_ID_CORE, 0);
    while (!s->answered && !s->failed)
        if (pw_thread_loop_timed_wait(s->loop, ANSWER_S) < 0)
            return -ETIMEDOUT;
    return s->failed ? -EPIPE : 0;
}

static int server_open(struct bp_object *obj, struct bp_error *err)
{
    struct pipewire *s = bp_object_state(obj);
    int r = -ENOMEM;

    pw_init(NULL, NULL);
    s->loop = pw_thread_loop_new("audio", NULL);
    s->context = s->loop ? pw_context_new(pw_thread_loop_get_loop(s->loop), NULL, 0) : NULL;
    if (s->context && pw_thread_loop_start(s->loop) == 0) {
        pw_thread_loop_lock(s->loop);
        s->core = pw_context_connect(s->context, NULL, 0);
        r = -errno;
        if (s->core) {
            pw_core_add_listener(s->core, &s->listener, &core_events, s);
            r = round_trip(s);
        }
        pw_thread_loop_unlock(s->loop);
    }
    if (r == 0)
        return 0;
    server_close(obj);
    return bp_fail(err, ENODEV, "no PipeWire server: %s", strerror(-r));
}

/* ---- streams: the server's thread ---- */

static void play(struct stream *t, struct spa_buffer *b, uint64_t requested)
{
    uint32_t frames = b->datas[0].maxsize / t->frame, n;

    if (requested && requested < frames)
        frames = (uint32_t)requested;
    n = audio_ring_read(&t->ring, b->datas[0].data, frames);
    memset((uint8_t *)b->datas[0].data + (size_t)n * t->frame, 0, (size_t)(frames - n) * t->frame);
    b->datas[0].chunk->offset = 0;
    b->datas[0].chunk->stride = (int32_t)t->frame;
    b->datas[0].chunk->size = frames * t->frame;
}

static void record(struct stream *t, const struct spa_buffer *b)
{
    uint32_t offset = b->datas[0].chunk->offset, size = b->datas[0].chunk->size;

    if (offset > b->datas[0].maxsize)
        offset = b->datas[0].maxsize;
    if (size > b->datas[0].maxsize - offset)
        size = b->datas[0].maxsize - offset;
    /* What does not fit is lost: nobody reads. */
    audio_ring_write(&t->ring, (const uint8_t *)b->datas[0].data + offset, size / t->frame);
}

static void process(void *opaque)
{
    struct stream *t = opaque;
    struct pw_buffer *b = pw_stream_dequeue_buffer(t->stream);

    if (!b)
        return;
    if (b->buffer->datas[0].data) {
        if (t->input)
            record(t, b->buffer);
        else
            play(t, b->buffer, b->requested);
    }
    pw_stream_queue_buffer(t->stream, b);
}

static void state_changed(void *opaque, enum pw_stream_state old, enum pw_stream_state state, const char *error)
{
    struct stream *t = opaque;

    (void)old;
    (void)error;
    if (state == PW_STREAM_STATE_ERROR || state == PW_STREAM_STATE_UNCONNECTED)
        t->lost = true;
    pw_thread_loop_signal(t->server->loop, false);
}

static const struct pw_stream_events stream_events = {
    PW_VERSION_STREAM_EVENTS, .state_changed = state_changed, .process = process};

/* ---- streams: the main thread ---- */

static struct spa_audio_info_raw choose(struct bp_audio_format *f)
{
    static const enum spa_audio_format theirs[BP_SAMPLE_END] = {
        SPA_AUDIO_FORMAT_U8, SPA_AUDIO_FORMAT_S8, SPA_AUDIO_FORMAT_U16_LE, SPA_AUDIO_FORMAT_S16_LE,
        SPA_AUDIO_FORMAT_U32_LE, SPA_AUDIO_FORMAT_S32_LE, SPA_AUDIO_FORMAT_F32_LE};
    static const uint32_t place[] = {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_FC,
                                     SPA_AUDIO_CHANNEL_LFE, SPA_AUDIO_CHANNEL_RL, SPA_AUDIO_CHANNEL_RR,
                                     SPA_AUDIO_CHANNEL_SL, SPA_AUDIO_CHANNEL_SR};
    struct spa_audio_info_raw info = {.rate = f->rate, .channels = f->channels};

    /* Those that all versions of the server know; silence of them is all zero. */
    if (f->sample == BP_SAMPLE_U8 || f->sample == BP_SAMPLE_U16 || f->sample == BP_SAMPLE_U32)
        f->sample++;
    info.format = theirs[f->sample];
    for (unsigned i = 0; i < f->channels; i++)
        info.position[i] = place[i];
    if (f->channels == 1)
        info.position[0] = SPA_AUDIO_CHANNEL_MONO;
    return info;
}

static int connect_stream(struct stream *t, const struct bp_audio_request *request,
                          struct spa_audio_info_raw *info, uint32_t frames)
{
    const struct pipewire_direction *d = t->input ? &t->server->in : &t->server->out;
    struct spa_pod_builder b;
    const struct spa_pod *param;
    struct pw_properties *p;
    uint8_t space[1024];

    p = pw_properties_new(PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, t->input ? "Capture" : "Playback",
                          PW_KEY_MEDIA_ROLE, "Music", PW_KEY_NODE_NAME, d->stream_name ? d->stream_name
                          : request->name, PW_KEY_MEDIA_NAME, request->name, NULL);
    pw_properties_setf(p, PW_KEY_NODE_LATENCY, "%u/%u", frames, info->rate);
    if (d->name)
        pw_properties_set(p, PW_KEY_TARGET_OBJECT, d->name);
    t->stream = pw_stream_new(t->server->core, request->name, p);
    if (!t->stream)
        return -errno;
    pw_stream_add_listener(t->stream, &t->listener, &stream_events, t);
    b = SPA_POD_BUILDER_INIT(space, sizeof(space));
    param = spa_format_audio_raw_build(&b, SPA_PARAM_EnumFormat, info);
    return pw_stream_connect(t->stream, t->input ? PW_DIRECTION_INPUT : PW_DIRECTION_OUTPUT, PW_ID_ANY,
                             PW_STREAM_FLAG_AUTOCONNECT | PW_STREAM_FLAG_INACTIVE | PW_STREAM_FLAG_MAP_BUFFERS |
                             PW_STREAM_FLAG_RT_PROCESS, &param, 1);
}

static void stream_close(void *stream)
{
    struct stream *t = stream;
    struct pw_thread_loop *loop = t->server->loop;

    if (loop && t->stream) {
        pw_thread_loop_lock(loop);
        spa_hook_remove(&t->listener);
        pw_stream_destroy(t->stream);
        pw_thread_loop_unlock(loop);
    }
    audio_ring_free(&t->ring);
    free(t);
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    struct pipewire *s = bp_object_state(obj);
    const struct pipewire_direction *d = request->input ? &s->in : &s->out;
    uint32_t us = d->latency ? d->latency : request->buffer_us ? request->buffer_us : DEFAULT_LATENCY_US;
    struct spa_audio_info_raw info = choose(&request->format);
    struct stream *t = bp_alloc(sizeof(*t));
    uint32_t frames = (uint32_t)((uint64_t)us * info.rate / 1000000);
    int r;

    t->server = s;
    t->input = request->input;
    t->rate = info.rate;
    t->frame = bp_audio_frame_bytes(&request->format);
    /* Besides what the server takes at a time there is what comes between two looks. */
    audio_ring_init(&t->ring, frames + 2 * (uint32_t)((uint64_t)s->options.timer_period * info.rate / 1000000),
                    t->frame);
    pw_thread_loop_lock(s->loop);
    r = connect_stream(t, request, &info, frames);
    if (r == 0)
        r = round_trip(s);
    pw_thread_loop_unlock(s->loop);
    if (r < 0 || t->lost) {
        stream_close(t);
        return bp_fail(err, ENODEV, "PipeWire gives no stream: %s", strerror(r < 0 ? -r : EIO));
    }
    *ret_stream = t;
    return 0;
}

static void stream_run(void *stream, bool on)
{
    struct stream *t = stream;

    pw_thread_loop_lock(t->server->loop);
    if (on && t->input)
        audio_ring_drop(&t->ring);
    pw_stream_set_active(t->stream, on);
    pw_thread_loop_unlock(t->server->loop);
}

/* The server is gone: the guest's card goes on at its pace, unheard. */
static uint32_t room_without_server(struct stream *t)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), passed;

    if (!t->complained) {
        bp_warn("audiodev pipewire: the server is gone; nothing is heard any more");
        t->lost_ns = now;
    }
    t->complained = true;
    passed = now - t->lost_ns;
    t->lost_ns = now;
    return passed > 500000000 ? t->rate / 2 : (uint32_t)(passed * t->rate / 1000000000);
}

static uint32_t stream_room(void *stream)
{
    struct stream *t = stream;

    if (t->lost || t->server->failed)
        return room_without_server(t);
    return t->input ? audio_ring_used(&t->ring) : audio_ring_room(&t->ring);
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct stream *t = stream;

    return t->complained ? frames : audio_ring_write(&t->ring, data, frames);
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct stream *t = stream;

    if (!t->complained)
        return audio_ring_read(&t->ring, data, frames);
    memset(data, 0, (size_t)frames * t->frame);
    return frames;
}

static uint32_t stream_latency(void *stream)
{
    struct stream *t = stream;
    struct pw_time time = {0};
    uint64_t us = (uint64_t)audio_ring_used(&t->ring) * 1000000 / t->rate;

    if (pw_stream_get_time_n(t->stream, &time, sizeof(time)) == 0 && time.rate.denom && time.delay > 0)
        us += (uint64_t)time.delay * time.rate.num * 1000000 / time.rate.denom;
    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

#define DIRECTION(DIR, WHAT) \
    BP_PROP(#DIR ".name", STRING, struct pipewire, DIR.name, NULL, WHAT), \
    BP_PROP(#DIR ".stream-name", STRING, struct pipewire, DIR.stream_name, NULL, "name of the node"), \
    BP_PROP_RANGE(#DIR ".latency", UINT32, struct pipewire, DIR.latency, NULL, 0, 10000000, \
                  "microseconds wished for")
static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct pipewire, options), DIRECTION(in, "node to record from"),
    DIRECTION(out, "node to play on"), BP_FIELDS_END};
BP_AUDIODEV(pipewire_class, "pipewire", "PipeWire", struct pipewire, options, props, .preference = 50,
            .open = server_open, .close = server_close, .stream_open = stream_open,
            .stream_close = stream_close, .stream_run = stream_run, .stream_room = stream_room,
            .stream_write = stream_write, .stream_read = stream_read, .stream_latency = stream_latency);
BP_MODULE("audio-pipewire", "PipeWire", imports, {BP_PROVIDE_OTHER, &pipewire_class});
