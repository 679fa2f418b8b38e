/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `audio-alsa`: ALSA's library plays and records, on the main thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <alsa/asoundlib.h>

#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>
#include <bp/loop.h>

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define DEFAULT_BUFFER_US 92880u
#define MAX_DESCRIPTORS 16

struct alsa_direction {
    char *dev;
    uint32_t period_length; /* microseconds, 0: not given */
    bool try_poll;
};

struct alsa {
    struct bp_audiodev_options options;
    struct alsa_direction in, out;
    uint32_t threshold; /* microseconds of sound before it starts */
};

struct alsa_stream {
    snd_pcm_t *pcm;
    uint32_t frame, rate;
    bool input, complained, running, try_poll;
    int64_t lost_ns;
    struct pollfd fds[MAX_DESCRIPTORS];
    struct bp_watch *watches[MAX_DESCRIPTORS];
    unsigned count;
    void (*ready)(void *opaque);
    void *opaque;
};

static void be_silent(const char *file, int line, const char *function, int error, const char *format, ...)
{
    (void)file;
    (void)line;
    (void)function;
    (void)error;
    (void)format; /* what failed is told by us, once */
}

/* ---- opening ---- */

static const struct {
    snd_pcm_format_t theirs;
    uint8_t ours;
} formats[] = { /* by how well they serve where the wished-for one is not had */
    {SND_PCM_FORMAT_S16_LE, BP_SAMPLE_S16}, {SND_PCM_FORMAT_S32_LE, BP_SAMPLE_S32},
    {SND_PCM_FORMAT_FLOAT_LE, BP_SAMPLE_F32}, {SND_PCM_FORMAT_U8, BP_SAMPLE_U8},
    {SND_PCM_FORMAT_S8, BP_SAMPLE_S8}, {SND_PCM_FORMAT_U16_LE, BP_SAMPLE_U16},
    {SND_PCM_FORMAT_U32_LE, BP_SAMPLE_U32}};

static int set_format(snd_pcm_t *pcm, snd_pcm_hw_params_t *hw, struct bp_audio_format *f)
{
    for (unsigned i = 0; i < BP_COUNT(formats); i++)
        if (formats[i].ours == f->sample && snd_pcm_hw_params_set_format(pcm, hw, formats[i].theirs) == 0)
            return 0;
    for (unsigned i = 0; i < BP_COUNT(formats); i++) {
        if (snd_pcm_hw_params_set_format(pcm, hw, formats[i].theirs) == 0) {
            f->sample = formats[i].ours;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_hardware(snd_pcm_t *pcm, const struct alsa_direction *d, struct bp_audio_request *request)
{
    unsigned rate = request->format.rate, channels = request->format.channels;
    unsigned buffer = request->buffer_us ? request->buffer_us : DEFAULT_BUFFER_US;
    unsigned period = d->period_length ? d->period_length : buffer / 4;
    snd_pcm_hw_params_t *hw;
    int r;

    snd_pcm_hw_params_alloca(&hw);
    r = snd_pcm_hw_params_any(pcm, hw);
    if (r >= 0)
        r = snd_pcm_hw_params_set_access(pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED);
    if (r >= 0)
        r = set_format(pcm, hw, &request->format);
    if (r >= 0)
        r = snd_pcm_hw_params_set_rate_near(pcm, hw, &rate, NULL);
    if (r >= 0)
        r = snd_pcm_hw_params_set_channels_near(pcm, hw, &channels);
    if (r >= 0)
        r = snd_pcm_hw_params_set_buffer_time_near(pcm, hw, &buffer, NULL);
    if (r >= 0)
        r = snd_pcm_hw_params_set_period_time_near(pcm, hw, &period, NULL);
    if (r >= 0)
        r = snd_pcm_hw_params(pcm, hw);
    if (r >= 0 && (channels > BP_AUDIO_CHANNELS_MAX || rate < BP_AUDIO_RATE_MIN || rate > BP_AUDIO_RATE_MAX))
        r = -EINVAL;
    request->format.rate = rate;
    request->format.channels = (uint8_t)channels;
    return r < 0 ? r : 0;
}

static int set_software(snd_pcm_t *pcm, const struct alsa *s, uint32_t rate)
{
    snd_pcm_uframes_t start = (snd_pcm_uframes_t)((uint64_t)s->threshold * rate / 1000000);
    snd_pcm_sw_params_t *sw;
    int r;

    snd_pcm_sw_params_alloca(&sw);
    r = snd_pcm_sw_params_current(pcm, sw);
    if (r >= 0)
        r = snd_pcm_sw_params_set_start_threshold(pcm, sw, start ? start : 1);
    return r < 0 ? r : snd_pcm_sw_params(pcm, sw);
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    const struct alsa *s = bp_object_state(obj);
    const struct alsa_direction *d = request->input ? &s->in : &s->out;
    struct alsa_stream *t;
    snd_pcm_t *pcm;
    int r;

    snd_lib_error_set_handler(be_silent);
    r = snd_pcm_open(&pcm, d->dev, request->input ? SND_PCM_STREAM_CAPTURE : SND_PCM_STREAM_PLAYBACK,
                     SND_PCM_NONBLOCK);
    if (r < 0)
        return bp_fail(err, strcmp(d->dev, "default") ? ENOENT : ENODEV, "ALSA device '%.100s' for %s: %s; "
                       "aplay -L lists them", d->dev, request->input ? "recording" : "playing", snd_strerror(r));
    r = set_hardware(pcm, d, request);
    if (r == 0 && !request->input)
        r = set_software(pcm, s, request->format.rate);
    if (r < 0) {
        snd_pcm_close(pcm);
        return bp_fail(err, ENODEV, "ALSA device '%.100s' cannot be set up: %s", d->dev, snd_strerror(r));
    }
    t = bp_alloc(sizeof(*t));
    t->pcm = pcm;
    t->input = request->input;
    t->try_poll = d->try_poll;
    t->rate = request->format.rate;
    t->frame = bp_audio_frame_bytes(&request->format);
    *ret_stream = t;
    return 0;
}

static void stream_close(void *stream)
{
    struct alsa_stream *t = stream;

    snd_pcm_close(t->pcm);
    free(t);
}

/* ---- moving frames ---- */

static void recover(struct alsa_stream *t, int error)
{
    int r = snd_pcm_recover(t->pcm, error, 1);

    if (r == 0 && t->input && t->running)
        r = snd_pcm_start(t->pcm);
    if (r >= 0 || t->complained)
        return;
    bp_warn("audiodev alsa: %s; nothing is heard any more", snd_strerror(r));
    t->complained = true;
    t->lost_ns = bp_clock_ns(BP_CLOCK_REALTIME);
}

static void stream_run(void *stream, bool on)
{
    struct alsa_stream *t = stream;

    t->running = on;
    if (on) {
        snd_pcm_prepare(t->pcm);
        if (t->input)
            snd_pcm_start(t->pcm);
    } else if (!t->input) {
        snd_pcm_drain(t->pcm); /* does not wait: the device is opened so */
    } else {
        snd_pcm_drop(t->pcm);
    }
}

/* The device is gone: the guest's card goes on at its pace, unheard. */
static uint32_t room_without_device(struct alsa_stream *t)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), passed = now - t->lost_ns;

    t->lost_ns = now;
    return passed > 500000000 ? t->rate / 2 : (uint32_t)(passed * t->rate / 1000000000);
}

static uint32_t stream_room(void *stream)
{
    struct alsa_stream *t = stream;
    snd_pcm_sframes_t n;

    if (t->complained)
        return room_without_device(t);
    n = snd_pcm_avail_update(t->pcm);
    if (n < 0) {
        recover(t, (int)n);
        n = snd_pcm_avail_update(t->pcm);
    }
    return n < 0 ? 0 : (uint32_t)n;
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct alsa_stream *t = stream;
    snd_pcm_sframes_t n = t->complained ? (snd_pcm_sframes_t)frames : snd_pcm_writei(t->pcm, data, frames);

    if (n == -EAGAIN)
        return 0;
    if (n < 0)
        recover(t, (int)n);
    return n < 0 ? 0 : (uint32_t)n;
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct alsa_stream *t = stream;
    snd_pcm_sframes_t n;

    if (t->complained) {
        memset(data, 0, (size_t)frames * t->frame);
        return frames;
    }
    n = snd_pcm_readi(t->pcm, data, frames);
    if (n < 0 && n != -EAGAIN)
        recover(t, (int)n);
    return n < 0 ? 0 : (uint32_t)n;
}

static uint32_t stream_latency(void *stream)
{
    struct alsa_stream *t = stream;
    snd_pcm_sframes_t frames;

    if (t->complained || snd_pcm_delay(t->pcm, &frames) < 0 || frames < 0)
        return 0;
    return (uint32_t)((uint64_t)frames * 1000000 / t->rate);
}

/* ---- its descriptors ---- */

static void stop_polling(struct alsa_stream *t)
{
    for (unsigned i = 0; i < t->count; i++)
        bp_watch_free(t->watches[i]);
    t->count = 0;
}

/* What they say is not always what is meant: the library knows. */
static void descriptor_ready(void *opaque, unsigned events)
{
    struct alsa_stream *t = opaque;
    unsigned short meant = 0;

    if (t->complained) { /* the engine's timer goes on, and finds out */
        stop_polling(t);
        return;
    }
    if (poll(t->fds, t->count, 0) < 0 || snd_pcm_poll_descriptors_revents(t->pcm, t->fds, t->count, &meant) < 0)
        return;
    if ((events & BP_WATCH_HUP) || (meant & (POLLIN | POLLOUT | POLLERR | POLLHUP)))
        t->ready(t->opaque);
}

static int stream_poll(void *stream, void (*ready)(void *opaque), void *opaque)
{
    struct alsa_stream *t = stream;
    int n;

    stop_polling(t);
    if (!ready)
        return 0;
    n = snd_pcm_poll_descriptors_count(t->pcm);
    if (!t->try_poll || t->complained || n < 1 || n > MAX_DESCRIPTORS)
        return -ENOTSUP;
    n = snd_pcm_poll_descriptors(t->pcm, t->fds, (unsigned)n);
    if (n < 1)
        return -ENOTSUP;
    t->count = (unsigned)n;
    t->ready = ready;
    t->opaque = opaque;
    for (unsigned i = 0; i < t->count; i++) {
        unsigned events = ((t->fds[i].events & POLLIN) ? BP_WATCH_IN : 0) |
                          ((t->fds[i].events & POLLOUT) ? BP_WATCH_OUT : 0);

        t->watches[i] = bp_watch_new(NULL, bp_context_main(NULL), t->fds[i].fd, events, descriptor_ready, t);
    }
    return 0;
}

#define DIRECTION(DIR) \
    BP_PROP(#DIR ".dev", STRING, struct alsa, DIR.dev, "default", "device, as ALSA names them"), \
    BP_PROP_RANGE(#DIR ".period-length", UINT32, struct alsa, DIR.period_length, NULL, 0, 10000000, \
                  "microseconds of a period"), \
    BP_PROP(#DIR ".try-poll", BOOL, struct alsa, DIR.try_poll, "on", \
            "move frames when the device's descriptors say so, if it has any that do; off: when the timer looks")
static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct alsa, options), DIRECTION(in), DIRECTION(out),
    BP_PROP_RANGE("threshold", UINT32, struct alsa, threshold, "0", 0, 10000000,
                  "microseconds of sound that wait before playing starts"), BP_FIELDS_END};
BP_AUDIODEV(alsa_class, "alsa", "ALSA", struct alsa, options, props, .preference = 30,
            .stream_open = stream_open, .stream_close = stream_close, .stream_run = stream_run,
            .stream_room = stream_room, .stream_write = stream_write, .stream_read = stream_read,
            .stream_latency = stream_latency, .stream_poll = stream_poll);
BP_MODULE("audio-alsa", "ALSA", imports, {BP_PROVIDE_OTHER, &alsa_class});
