/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `audio-oss`: the Open Sound System's devices (OSS v4 Programmer's Guide, <sys/soundcard.h>), on the main
 * thread. On Linux they are there with snd-pcm-oss, osspd or in a program that aoss starts. */
#undef _FILE_OFFSET_BITS /* libraries that play the device know open() and mmap(), some not open64() and mmap64() */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/soundcard.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>
#include <bp/loop.h>

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define DEFAULT_BUFFER_US 46440u
#ifndef SNDCTL_DSP_POLICY /* of version 4 */
#define SNDCTL_DSP_POLICY _SIOWR('P', 45, int)
#endif

struct oss_direction {
    char *dev;
    uint32_t count;
    bool try_poll;
};

struct oss {
    struct bp_audiodev_options options;
    struct oss_direction in, out;
    bool try_mmap, exclusive;
    int32_t policy;
};

/* The device's buffer, which it plays round and round. Positions are bytes since it started. */
struct oss_map {
    uint8_t *data; /* NULL: frames are written */
    uint32_t size, silence;
    uint64_t written, played;
};

struct oss_stream {
    int fd;
    uint32_t frame, rate;
    bool input, complained, try_poll, called; /* `called`: its descriptor has just said that there is room */
    int64_t lost_ns;
    uint32_t piece; /* frames: what fits at least when the descriptor says so */
    struct oss_map map;
    uint8_t part[BP_AUDIO_CHANNELS_MAX * 4]; /* of a frame that was read */
    uint32_t part_bytes;
    uint8_t *rest; /* of what was to be written, when the device took less than it said */
    size_t rest_bytes;
    struct bp_watch *watch;
    void (*ready)(void *opaque);
    void *opaque;
};

static const struct {
    int theirs;
    uint8_t ours;
} formats[] = {{AFMT_U8, BP_SAMPLE_U8}, {AFMT_S8, BP_SAMPLE_S8}, {AFMT_U16_LE, BP_SAMPLE_U16},
               {AFMT_S16_LE, BP_SAMPLE_S16}};

static int set_format(int fd, struct bp_audio_format *f)
{
    int format = AFMT_S16_LE, channels = f->channels, rate = (int)f->rate;

    for (unsigned i = 0; i < BP_COUNT(formats); i++)
        if (formats[i].ours == f->sample)
            format = formats[i].theirs;
    if (ioctl(fd, SNDCTL_DSP_SETFMT, &format) < 0 || ioctl(fd, SNDCTL_DSP_CHANNELS, &channels) < 0 ||
        ioctl(fd, SNDCTL_DSP_SPEED, &rate) < 0)
        return -errno;
    f->sample = BP_SAMPLE_END;
    for (unsigned i = 0; i < BP_COUNT(formats); i++)
        if (formats[i].theirs == format)
            f->sample = formats[i].ours;
    if (f->sample == BP_SAMPLE_END || channels < 1 || channels > (int)BP_AUDIO_CHANNELS_MAX ||
        rate < (int)BP_AUDIO_RATE_MIN || rate > (int)BP_AUDIO_RATE_MAX)
        return -EINVAL;
    f->channels = (uint8_t)channels;
    f->rate = (uint32_t)rate;
    return 0;
}

/* Before the format: how the buffer is cut. A device that knows no policy, or no such pieces, has its own way. */
static void set_buffer(int fd, const struct oss *s, const struct oss_direction *d,
                       const struct bp_audio_request *request)
{
    uint32_t us = request->buffer_us ? request->buffer_us : DEFAULT_BUFFER_US;
    uint64_t bytes = (uint64_t)us * request->format.rate / 1000000 * bp_audio_frame_bytes(&request->format);
    unsigned log2 = 4;
    int policy = s->policy, pieces;

    if (policy >= 0 && ioctl(fd, SNDCTL_DSP_POLICY, &policy) == 0)
        return;
    while (log2 < 16 && (UINT64_C(2) << log2) * d->count <= bytes)
        log2++;
    pieces = (int)(d->count << 16 | log2);
    ioctl(fd, SNDCTL_DSP_SETFRAGMENT, &pieces);
}

/* ---- the buffer itself ---- */

static int map_buffer(struct oss_stream *t, const struct bp_audio_format *f)
{
    struct oss_map *m = &t->map;
    audio_buf_info info;
    int caps = 0, off = 0;

    if (ioctl(t->fd, SNDCTL_DSP_GETCAPS, &caps) < 0 || ioctl(t->fd, SNDCTL_DSP_GETOSPACE, &info) < 0)
        return -errno;
    if ((caps & (DSP_CAP_MMAP | DSP_CAP_TRIGGER)) != (DSP_CAP_MMAP | DSP_CAP_TRIGGER))
        return -ENOTSUP;
    m->size = (uint32_t)info.fragstotal * (uint32_t)info.fragsize;
    if (info.fragstotal < 1 || info.fragsize < 1 || info.fragstotal > (1 << 24) / info.fragsize ||
        m->size % t->frame)
        return -EINVAL;
    m->data = mmap(NULL, m->size, PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (m->data == MAP_FAILED) {
        m->data = NULL;
        return -errno;
    }
    m->silence = f->sample == BP_SAMPLE_U8 ? 0x80 : 0;
    ioctl(t->fd, SNDCTL_DSP_SETTRIGGER, &off);
    return 0;
}

static void copy_to_buffer(struct oss_map *m, uint64_t at, const uint8_t *data, uint32_t bytes)
{
    while (bytes) {
        uint32_t offset = (uint32_t)(at % m->size), n = bytes < m->size - offset ? bytes : m->size - offset;

        if (data)
            memcpy(m->data + offset, data, n);
        else
            memset(m->data + offset, (int)m->silence, n);
        data = data ? data + n : NULL;
        at += n;
        bytes -= n;
    }
}

/* Takes in where the device is; what it has played becomes silence, or would be heard again. */
static int follow_device(struct oss_stream *t)
{
    struct oss_map *m = &t->map;
    count_info info;
    uint32_t passed;

    if (ioctl(t->fd, SNDCTL_DSP_GETOPTR, &info) < 0)
        return -errno;
    if (info.ptr < 0 || (uint32_t)info.ptr >= m->size)
        return 0;
    passed = (uint32_t)((uint64_t)info.ptr + m->size - m->played % m->size) % m->size;
    copy_to_buffer(m, m->played, NULL, passed);
    m->played += passed;
    if (m->written < m->played) /* nothing came in time: on from where it is */
        m->written = m->played / t->frame * t->frame;
    return 0;
}

/* A quarter is left between what is written and what is played: it has been fetched, perhaps. */
static uint32_t room_in_buffer(const struct oss_map *m, uint32_t frame)
{
    uint32_t waiting = (uint32_t)(m->written - m->played), most = m->size - m->size / 4;

    return waiting < most ? (most - waiting) / frame : 0;
}

static uint32_t piece_of(const struct oss_stream *t)
{
    audio_buf_info info;

    if (ioctl(t->fd, t->input ? SNDCTL_DSP_GETISPACE : SNDCTL_DSP_GETOSPACE, &info) < 0 || info.fragsize < 1)
        return 0;
    return (uint32_t)info.fragsize / t->frame;
}

static int open_device(const struct oss *s, const struct oss_direction *d, bool input)
{
    int access = input ? O_RDONLY : s->try_mmap ? O_RDWR : O_WRONLY;

    return open(d->dev, access | O_NONBLOCK | O_CLOEXEC | (s->exclusive ? O_EXCL : 0), 0);
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    const struct oss *s = bp_object_state(obj);
    const struct oss_direction *d = request->input ? &s->in : &s->out;
    struct oss_stream *t;
    int fd, r;

    fd = open_device(s, d, request->input);
    if (fd < 0)
        return bp_fail(err, strcmp(d->dev, "/dev/dsp") ? ENOENT : ENODEV, "OSS device '%.100s': %s", d->dev,
                       strerror(errno));
    set_buffer(fd, s, d, request);
    r = set_format(fd, &request->format);
    if (r < 0) {
        close(fd);
        return bp_fail(err, ENODEV, "'%.100s' is no OSS device that can be set up: %s", d->dev, strerror(-r));
    }
    t = bp_alloc(sizeof(*t));
    t->fd = fd;
    t->input = request->input;
    t->rate = request->format.rate;
    t->frame = bp_audio_frame_bytes(&request->format);
    t->try_poll = d->try_poll;
    t->piece = piece_of(t);
    if (s->try_mmap && !t->input) {
        r = map_buffer(t, &request->format);
        if (r < 0)
            bp_warn("audiodev oss: the buffer of '%.100s' cannot be mapped (%s); frames are written", d->dev,
                    strerror(-r));
    }
    *ret_stream = t;
    return 0;
}

static void stream_close(void *stream)
{
    struct oss_stream *t = stream;

    if (t->map.data)
        munmap(t->map.data, t->map.size);
    close(t->fd);
    free(t->rest);
    free(t);
}

static void stream_run(void *stream, bool on)
{
    struct oss_stream *t = stream;
    int trigger = on ? (t->input ? PCM_ENABLE_INPUT : PCM_ENABLE_OUTPUT) : 0;

    if (t->map.data)
        copy_to_buffer(&t->map, 0, NULL, t->map.size);
    if (!on && !t->input && !t->map.data) /* what was written is played */
        ioctl(t->fd, SNDCTL_DSP_POST, NULL);
    else
        ioctl(t->fd, SNDCTL_DSP_SETTRIGGER, &trigger); /* devices without it start by themselves */
}

static uint32_t room_without_device(struct oss_stream *t)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), passed;

    if (!t->complained) {
        bp_warn("audiodev oss: %s; nothing is heard any more", strerror(errno));
        t->lost_ns = now;
    }
    t->complained = true;
    passed = now - t->lost_ns;
    t->lost_ns = now;
    return passed > 500000000 ? t->rate / 2 : (uint32_t)(passed * t->rate / 1000000000);
}

static bool write_rest(struct oss_stream *t)
{
    ssize_t n;

    while (t->rest_bytes) {
        n = write(t->fd, t->rest, t->rest_bytes);
        if (n <= 0)
            return false;
        t->rest_bytes -= (size_t)n;
        memmove(t->rest, t->rest + n, t->rest_bytes);
    }
    return true;
}

static uint32_t stream_room(void *stream)
{
    struct oss_stream *t = stream;
    audio_buf_info info;
    bool called = t->called;

    t->called = false;
    if (!t->complained && !write_rest(t))
        return 0;
    if (t->map.data && !t->complained)
        return follow_device(t) < 0 ? room_without_device(t) : room_in_buffer(&t->map, t->frame);
    if (t->complained || ioctl(t->fd, t->input ? SNDCTL_DSP_GETISPACE : SNDCTL_DSP_GETOSPACE, &info) < 0)
        return room_without_device(t);
    if (called && info.bytes < (int)(t->piece * t->frame)) /* it counts another buffer than it polls */
        return t->piece;
    return info.bytes > 0 ? (uint32_t)info.bytes / t->frame : 0;
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct oss_stream *t = stream;
    size_t bytes = (size_t)frames * t->frame;
    ssize_t n;

    if (t->map.data && !t->complained) {
        copy_to_buffer(&t->map, t->map.written, data, (uint32_t)bytes);
        t->map.written += bytes;
        return frames;
    }
    if (t->complained)
        return frames;
    n = write_rest(t) ? write(t->fd, data, bytes) : 0;
    bytes -= n < 0 ? 0 : (size_t)n;
    if (bytes) { /* no more than what room was told for */
        t->rest = bp_realloc(t->rest, t->rest_bytes + bytes);
        memcpy(t->rest + t->rest_bytes, (const uint8_t *)data + (n < 0 ? 0 : n), bytes);
        t->rest_bytes += bytes;
    }
    return frames;
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct oss_stream *t = stream;
    ssize_t n;

    if (t->complained) {
        memset(data, 0, (size_t)frames * t->frame);
        return frames;
    }
    memcpy(data, t->part, t->part_bytes);
    n = read(t->fd, (uint8_t *)data + t->part_bytes, (size_t)frames * t->frame - t->part_bytes);
    if (n <= 0)
        return 0;
    n += t->part_bytes;
    t->part_bytes = (uint32_t)(n % t->frame);
    memcpy(t->part, (uint8_t *)data + n - t->part_bytes, t->part_bytes);
    return (uint32_t)(n / t->frame);
}

static uint32_t stream_latency(void *stream)
{
    struct oss_stream *t = stream;
    int bytes;

    if (t->map.data)
        return (uint32_t)((t->map.written - t->map.played) / t->frame * 1000000 / t->rate);
    if (t->input || t->complained || ioctl(t->fd, SNDCTL_DSP_GETODELAY, &bytes) < 0 || bytes < 0)
        return 0;
    return (uint32_t)((uint64_t)bytes / t->frame * 1000000 / t->rate);
}

static void descriptor_ready(void *opaque, unsigned events)
{
    struct oss_stream *t = opaque;

    if (events & BP_WATCH_HUP) { /* the engine's timer goes on, and finds out */
        bp_watch_free(t->watch);
        t->watch = NULL;
        return;
    }
    t->called = true;
    t->ready(t->opaque); /* the stream may be gone */
}

static int stream_poll(void *stream, void (*ready)(void *opaque), void *opaque)
{
    struct oss_stream *t = stream;

    bp_watch_free(t->watch);
    t->watch = NULL;
    if (!ready)
        return 0;
    if (!t->try_poll || t->complained)
        return -ENOTSUP;
    t->ready = ready;
    t->opaque = opaque;
    t->watch = bp_watch_new(NULL, bp_context_main(NULL), t->fd, t->input ? BP_WATCH_IN : BP_WATCH_OUT,
                            descriptor_ready, t);
    return 0;
}

#define DIRECTION(DIR) \
    BP_PROP(#DIR ".dev", STRING, struct oss, DIR.dev, "/dev/dsp", "device file"), \
    BP_PROP_RANGE(#DIR ".buffer-count", UINT32, struct oss, DIR.count, "4", 2, 64, \
                  "pieces that the buffer is made of"), \
    BP_PROP(#DIR ".try-poll", BOOL, struct oss, DIR.try_poll, "on", \
            "move frames when the device's descriptor says so; off: when the timer looks")
static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct oss, options), DIRECTION(in), DIRECTION(out),
    BP_PROP("try-mmap", BOOL, struct oss, try_mmap, "off",
            "play from the device's own buffer, mapped; frames are written where that cannot be had"),
    BP_PROP("exclusive", BOOL, struct oss, exclusive, "off", "nobody else may open the device (O_EXCL)"),
    BP_PROP_RANGE("dsp-policy", INT32, struct oss, policy, "5", -1, 10,
                  "from 0, least delay, to 10; -1: by the sizes of the buffer. Of version 4 only"),
    BP_FIELDS_END};
BP_AUDIODEV(oss_class, "oss", "Open Sound System", struct oss, options, props, .preference = 10,
            .stream_open = stream_open, .stream_close = stream_close, .stream_run = stream_run,
            .stream_room = stream_room, .stream_write = stream_write, .stream_read = stream_read,
            .stream_latency = stream_latency, .stream_poll = stream_poll);
BP_MODULE("audio-oss", "Sound by OSS", imports, {BP_PROVIDE_OTHER, &oss_class});
