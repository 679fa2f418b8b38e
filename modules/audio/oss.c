/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `audio-oss`: the Open Sound System's devices (OSS v4 Programmer's Guide, <sys/soundcard.h>), on the main
 * thread. On Linux they are there with snd-pcm-oss, osspd or in a program that aoss starts. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/soundcard.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>

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

struct oss_stream {
    int fd;
    uint32_t frame, rate;
    bool input, complained;
    int64_t lost_ns;
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

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    const struct oss *s = bp_object_state(obj);
    const struct oss_direction *d = request->input ? &s->in : &s->out;
    struct oss_stream *t;
    int fd, r;

    fd = open(d->dev, (request->input ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC | (s->exclusive ? O_EXCL : 0));
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
    *ret_stream = t;
    return 0;
}

static void stream_close(void *stream)
{
    struct oss_stream *t = stream;

    close(t->fd);
    free(t);
}

static void stream_run(void *stream, bool on)
{
    struct oss_stream *t = stream;
    int trigger = on ? (t->input ? PCM_ENABLE_INPUT : PCM_ENABLE_OUTPUT) : 0;

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

static uint32_t stream_room(void *stream)
{
    struct oss_stream *t = stream;
    audio_buf_info info;

    if (t->complained || ioctl(t->fd, t->input ? SNDCTL_DSP_GETISPACE : SNDCTL_DSP_GETOSPACE, &info) < 0)
        return room_without_device(t);
    return info.bytes > 0 ? (uint32_t)info.bytes / t->frame : 0;
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct oss_stream *t = stream;
    ssize_t n = t->complained ? (ssize_t)((size_t)frames * t->frame) : write(t->fd, data, (size_t)frames * t->frame);

    return n < 0 ? 0 : (uint32_t)((size_t)n / t->frame);
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct oss_stream *t = stream;
    ssize_t n;

    if (t->complained) {
        memset(data, 0, (size_t)frames * t->frame);
        return frames;
    }
    n = read(t->fd, data, (size_t)frames * t->frame);
    return n < 0 ? 0 : (uint32_t)((size_t)n / t->frame);
}

static uint32_t stream_latency(void *stream)
{
    struct oss_stream *t = stream;
    int bytes;

    if (t->input || t->complained || ioctl(t->fd, SNDCTL_DSP_GETODELAY, &bytes) < 0 || bytes < 0)
        return 0;
    return (uint32_t)((uint64_t)bytes / t->frame * 1000000 / t->rate);
}

#define DIRECTION(DIR) \
    BP_PROP(#DIR ".dev", STRING, struct oss, DIR.dev, "/dev/dsp", "device file"), \
    BP_PROP_RANGE(#DIR ".buffer-count", UINT32, struct oss, DIR.count, "4", 2, 64, \
                  "pieces that the buffer is made of"), \
    BP_PROP(#DIR ".try-poll", BOOL, struct oss, DIR.try_poll, "on", \
            "wake up when the device does; the timer does that here, so that it changes nothing")
static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct oss, options), DIRECTION(in), DIRECTION(out),
    BP_PROP("try-mmap", BOOL, struct oss, try_mmap, "off",
            "write into the device's buffer; frames are written as ever here, so that it changes nothing"),
    BP_PROP("exclusive", BOOL, struct oss, exclusive, "off", "nobody else may open the device (O_EXCL)"),
    BP_PROP_RANGE("dsp-policy", INT32, struct oss, policy, "5", -1, 10,
                  "from 0, least delay, to 10; -1: by the sizes of the buffer. Of version 4 only"),
    BP_FIELDS_END};
BP_AUDIODEV(oss_class, "oss", "Open Sound System", struct oss, options, props, .preference = 10,
            .stream_open = stream_open, .stream_close = stream_close, .stream_run = stream_run,
            .stream_room = stream_room, .stream_write = stream_write, .stream_read = stream_read,
            .stream_latency = stream_latency);
BP_MODULE("audio-oss", "Sound by OSS", imports, {BP_PROVIDE_OTHER, &oss_class});
