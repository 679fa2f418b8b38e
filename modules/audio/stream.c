/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of the host, and the engine that fills them: as many frames as the host takes are asked of the
 * voices, mixed and handed over; the other way round for input. While a voice is active a device that can tell
 * calls when it has room; for others a timer looks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>
#include <bp/loop.h>
#include <bp/run.h>

#include "audio.h"

#define NS_PER_S INT64_C(1000000000)
#define CHECK_NS (NS_PER_S / 2)    /* between two looks at a device that should call by itself */
#define WAKES_NS (NS_PER_S / 10)   /* in which it may call... */
#define WAKES_MOST 400u            /* ...so often */

/* ---- output ---- */

/* Asks the voice until its queue has as many frames, or it has no more to give. */
static void gather(struct bp_voice *v, uint32_t frames)
{
    size_t unit = audio_voice_unit(v), has = audio_queue_frames(&v->queue, unit);

    while (has < frames && v->active && !v->dead) {
        uint64_t need = frames - has, rate = v->stream->format.rate;
        size_t before = v->queue.size;

        /* Rounded up; a resampler holds some back. */
        v->ops->process(v->opaque, (uint32_t)((need * v->format.rate + rate - 1) / rate));
        if (v->queue.size == before)
            break;
        has = audio_queue_frames(&v->queue, unit);
    }
}

static void add_voice(struct bp_voice *v, float *mix, uint32_t frames)
{
    unsigned channels = v->stream->format.channels;
    size_t has = audio_queue_frames(&v->queue, audio_voice_unit(v));
    float own[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX];

    if (has > frames)
        has = frames;
    v->stream->missing += frames - has;
    audio_queue_take(&v->queue, own, has * channels * sizeof(float));
    if (v->mute)
        return;
    for (size_t i = 0; i < has * channels; i++)
        mix[i] += own[i] * v->volume[i % channels & 1];
}

static void play_raw(struct audio_stream *s, uint8_t *bytes, uint32_t frames)
{
    struct bp_voice *v = s->voices;
    size_t unit = bp_audio_frame_bytes(&s->format), has;
    static const float silence[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX];

    gather(v, frames);
    has = audio_queue_frames(&v->queue, unit);
    if (has > frames)
        has = frames;
    s->missing += frames - has;
    audio_queue_take(&v->queue, bytes, has * unit);
    audio_from_float(bytes + has * unit, silence, s->format.sample, (frames - has) * s->format.channels);
}

static uint32_t play(struct audio_stream *s, uint32_t frames)
{
    static float mix[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX]; /* under the machine lock */
    uint8_t bytes[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX * 4];

    if (s->raw) {
        play_raw(s, bytes, frames);
        if (audio_is_captured(s->dev)) {
            audio_to_float(mix, bytes, s->format.sample, (size_t)frames * s->format.channels);
            audio_capture_hear(s, mix, frames);
        }
    } else {
        memset(mix, 0, sizeof(mix));
        for (struct bp_voice *v = s->voices; v; v = v->next) {
            if (!v->active)
                continue;
            gather(v, frames);
            add_voice(v, mix, frames);
        }
        audio_from_float(bytes, mix, s->format.sample, (size_t)frames * s->format.channels);
        audio_capture_hear(s, mix, frames);
    }
    return s->class->stream_write(s->host, bytes, frames);
}

/* ---- input ---- */

static uint32_t record(struct audio_stream *s, uint32_t frames)
{
    uint8_t bytes[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX * 4];
    float in[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX];
    uint32_t n = s->class->stream_read(s->host, bytes, frames);

    audio_to_float(in, bytes, s->format.sample, (size_t)n * s->format.channels);
    for (struct bp_voice *v = s->voices; v && n; v = v->next) {
        if (!v->active || v->dead)
            continue;
        if (s->raw)
            audio_queue_add(&v->queue, bytes, (size_t)n * bp_audio_frame_bytes(&s->format));
        else
            audio_voice_hear(v, in, n);
    }
    return n;
}

static void offer(struct audio_stream *s)
{
    for (struct bp_voice *v = s->voices; v; v = v->next) {
        size_t unit = audio_voice_unit(v), most = (size_t)v->format.rate / 4 * unit;

        if (v->queue.size > most) /* raw: the guest does not read */
            audio_queue_take(&v->queue, NULL, v->queue.size - most);
        if (v->active && !v->dead && v->queue.size >= unit)
            v->ops->process(v->opaque, (uint32_t)audio_queue_frames(&v->queue, unit));
    }
}

/* ---- turns ---- */

/* Paced: frames that guest time has brought since the last turn. After a long gap most are skipped. */
static uint32_t due(struct audio_stream *s)
{
    int64_t passed = bp_virtual_ns(s->machine) - s->start_ns;
    uint64_t frames, most = s->format.rate / 2;

    if (passed < 0)
        return 0;
    frames = (uint64_t)(passed / NS_PER_S) * s->format.rate +
             (uint64_t)(passed % NS_PER_S) * s->format.rate / (uint64_t)NS_PER_S;
    if (frames < s->done)
        return 0;
    if (frames - s->done > most)
        s->done = frames - most;
    return (uint32_t)(frames - s->done);
}

static bool is_wanted(const struct audio_stream *s)
{
    bool wanted = false;

    for (const struct bp_voice *v = s->voices; v; v = v->next)
        wanted |= v->active;
    return wanted;
}

void audio_stream_turn(struct audio_stream *s)
{
    bool paced = s->class->audio_flags & BP_AUDIO_PACED;
    uint32_t left = paced ? due(s) : s->class->stream_room(s->host), moved;

    s->busy = true;
    s->turn_ns = bp_clock_ns(BP_CLOCK_REALTIME);
    while (left && is_wanted(s)) {
        uint32_t n = left < AUDIO_CHUNK ? left : AUDIO_CHUNK;

        moved = s->input ? record(s, n) : play(s, n);
        s->done += moved;
        left -= moved;
        if (moved < n)
            break;
    }
    if (s->input)
        offer(s);
    s->busy = false;
    audio_stream_update(s);
    for (struct bp_voice *v = s->voices, *next; v; v = next) {
        next = v->next;
        if (v->dead)
            audio_voice_destroy(v); /* with the last one the stream goes */
    }
}

/* Too small a piece is not worth a turn. */
void audio_stream_sync(struct audio_stream *s)
{
    bool paced = s->class->audio_flags & BP_AUDIO_PACED;

    if (s->running && !s->busy && (paced ? due(s) : s->class->stream_room(s->host)) > s->format.rate / 10000)
        audio_stream_turn(s);
}

/* ---- devices that call ---- */

static void stop_polling(struct audio_stream *s)
{
    if (s->polled)
        s->class->stream_poll(s->host, NULL, NULL);
    s->polled = false;
}

static void set_timer(struct audio_stream *s)
{
    int64_t period = (int64_t)s->dev->options->timer_period * 1000;

    bp_timer_set(s->timer, bp_timer_now(s->timer) + (s->polled ? CHECK_NS : period));
}

static void use_timer(struct audio_stream *s)
{
    stop_polling(s);
    s->timed = true;
    set_timer(s);
}

/* A device that has room all the time is none that keeps time: its descriptor would keep the main thread busy. */
static bool calls_too_often(struct audio_stream *s)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    if (now - s->wakes_ns > WAKES_NS) {
        s->wakes_ns = now;
        s->wakes = 0;
    }
    return ++s->wakes > WAKES_MOST;
}

static void device_ready(void *opaque)
{
    struct audio_stream *s = opaque;

    if (!bp_machine_running(s->machine)) { /* the timer goes on when guest time does, and polls again */
        stop_polling(s);
        set_timer(s);
        return;
    }
    if (calls_too_often(s)) {
        bp_warn("audiodev %s: the device has room all the time; a timer looks instead", s->dev->id);
        use_timer(s);
        return;
    }
    audio_stream_turn(s);
}

static void start_polling(struct audio_stream *s)
{
    if (!s->timed && !s->polled && s->class->stream_poll)
        s->polled = s->class->stream_poll(s->host, device_ready, s) == 0;
}

static void turn(void *opaque)
{
    struct audio_stream *s = opaque;

    /* It has been lost, say, and its descriptor with it. */
    if (s->polled && bp_clock_ns(BP_CLOCK_REALTIME) - s->turn_ns > CHECK_NS / 2 &&
        s->class->stream_room(s->host) > s->format.rate / 100)
        use_timer(s);
    else
        start_polling(s);
    set_timer(s); /* first: the turn may close the stream */
    audio_stream_turn(s);
}

void audio_stream_update(struct audio_stream *s)
{
    bool wanted = is_wanted(s);

    if (s->busy || wanted == s->running) /* a turn looks when it is over: the host is not stopped in the middle */
        return;
    s->running = wanted;
    s->start_ns = bp_virtual_ns(s->machine);
    s->done = 0;
    audio_capture_running(s, wanted);
    if (!wanted)
        stop_polling(s);
    if (s->class->stream_run)
        s->class->stream_run(s->host, wanted);
    if (wanted) {
        start_polling(s);
        set_timer(s);
    } else {
        bp_timer_cancel(s->timer);
    }
}

/* ---- life ---- */

static void choose_format(const struct audio_dev *dev, const struct bp_voice *v, struct bp_audio_format *f)
{
    const struct bp_audiodev_direction *d = audio_direction(dev, v->input);

    *f = v->format;
    if (!d->fixed_settings) {
        if (d->mixing_engine && f->channels > 2)
            f->channels = 2;
        return;
    }
    f->rate = d->frequency ? d->frequency : 44100;
    f->channels = (uint8_t)(d->channels ? d->channels : 2);
    f->sample = BP_SAMPLE_S16;
    if (d->format)
        audio_parse_sample(d->format, &f->sample); /* was checked when it was made */
}

static void join(struct audio_stream *s, struct bp_voice *v)
{
    struct bp_voice **link = &s->voices;

    while (*link)
        link = &(*link)->next;
    v->next = NULL;
    *link = v;
}

static unsigned voices_of(const struct audio_stream *s)
{
    unsigned n = 0;

    for (const struct bp_voice *v = s->voices; v; v = v->next)
        n++;
    return n;
}

static int open_stream(struct audio_dev *dev, struct bp_voice *v, bool raw, struct audio_stream **ret_stream,
                       struct bp_error *err)
{
    const struct bp_audiodev_direction *d = audio_direction(dev, v->input);
    struct bp_audio_request request = {.size = sizeof(request), .input = v->input,
                                       .buffer_us = d->buffer_length, .name = v->name};
    const struct bp_audiodev_class *class = dev->class;
    struct bp_error why = {0};
    struct audio_stream *s;
    void *host = NULL;
    int r;

    choose_format(dev, v, &request.format);
    r = class->stream_open(dev->obj, &request, &host, &why);
    if (r == -ENOTSUP || (r == -ENODEV && v->input)) { /* no such direction, no microphone: silence, at guest time */
        if (r == -ENODEV)
            bp_warn("audiodev %s: %s; silence is recorded", dev->id, why.message);
        class = &none_class;
        r = class->stream_open(dev->obj, &request, &host, &why);
    }
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    if (raw && memcmp(&request.format, &v->format, sizeof(v->format)) != 0) {
        class->stream_close(host);
        return bp_fail(err, EINVAL, "the host has not the guest's format, which mixing-engine=off needs");
    }
    s = bp_alloc(sizeof(*s));
    s->dev = dev;
    s->class = class;
    s->machine = v->machine;
    s->input = v->input;
    s->raw = raw;
    s->format = request.format;
    s->host = host;
    s->timer = bp_timer_new(NULL, bp_context_main(v->machine), BP_CLOCK_VIRTUAL, turn, s);
    s->next = dev->streams;
    dev->streams = s;
    *ret_stream = s;
    return 0;
}

int audio_stream_for(struct audio_dev *dev, struct bp_voice *v, struct audio_stream **ret_stream,
                     struct bp_error *err)
{
    const struct bp_audiodev_direction *d = audio_direction(dev, v->input);
    struct audio_stream *least = NULL;
    unsigned count = 0;
    int r = 0;

    for (struct audio_stream *s = dev->streams; s; s = s->next) {
        if (s->input != v->input || s->raw || s->machine != v->machine || !d->mixing_engine)
            continue;
        count++;
        if (!least || voices_of(s) < voices_of(least))
            least = s;
    }
    if (!least || count < d->voices)
        r = open_stream(dev, v, !d->mixing_engine, &least, err);
    if (r == 0) {
        join(least, v);
        *ret_stream = least;
    }
    return r;
}

void audio_stream_leave(struct bp_voice *v)
{
    struct audio_stream *s = v->stream, **link = &s->dev->streams;
    struct bp_voice **at = &s->voices;

    while (*at && *at != v)
        at = &(*at)->next;
    if (*at)
        *at = v->next;
    if (s->voices)
        return;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    bp_timer_free(s->timer);
    stop_polling(s);
    s->class->stream_close(s->host);
    free(s);
}
