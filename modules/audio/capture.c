/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who hears what is played on a back end, beside the host: viewers over the network. In a format of their own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audio.h"

#define MOST_RATE 192000u
#define OUT_FRAMES 2048u

struct bp_capture {
    struct bp_capture *next;
    struct audio_dev *dev;
    struct bp_audio_format format;
    struct bp_capture_ops ops;
    void *opaque;
    SRC_STATE *resampler; /* NULL: none was needed yet */
};

static struct bp_capture *captures; /* [main] */

static void emit(struct bp_capture *c, const float *samples, size_t frames)
{
    uint8_t bytes[OUT_FRAMES * BP_AUDIO_CHANNELS_MAX * 4];

    while (frames) {
        size_t n = frames < OUT_FRAMES ? frames : OUT_FRAMES;

        audio_from_float(bytes, samples, c->format.sample, n * c->format.channels);
        c->ops.heard(c->opaque, bytes, (uint32_t)n);
        samples += n * c->format.channels;
        frames -= n;
    }
}

static void resample(struct bp_capture *c, const float *samples, uint32_t frames, uint32_t rate)
{
    float out[OUT_FRAMES * BP_AUDIO_CHANNELS_MAX];
    SRC_DATA d = {.data_in = samples, .data_out = out, .input_frames = (long)frames, .output_frames = OUT_FRAMES,
                  .src_ratio = (double)c->format.rate / rate};

    if (!c->resampler && !(c->resampler = src_new(SRC_SINC_FASTEST, c->format.channels, NULL)))
        return;
    do {
        if (src_process(c->resampler, &d) != 0)
            return;
        emit(c, out, (size_t)d.output_frames_gen);
        d.data_in += d.input_frames_used * c->format.channels;
        d.input_frames -= d.input_frames_used;
    } while (d.input_frames > 0 && (d.output_frames_gen > 0 || d.input_frames_used > 0));
}

/* One stream out is heard, the first: with several (voices=N) they would lie one behind the other. */
static bool is_heard(const struct audio_stream *s)
{
    const struct audio_stream *first = s->dev->streams;

    while (first && first->input)
        first = first->next;
    return first == s;
}

void audio_capture_hear(struct audio_stream *s, const float *mix, uint32_t frames)
{
    float mapped[AUDIO_CHUNK * BP_AUDIO_CHANNELS_MAX];

    for (struct bp_capture *c = captures, *next; c; c = next) {
        next = c->next;
        if (c->dev != s->dev || !is_heard(s))
            continue;
        audio_map_channels(mapped, c->format.channels, mix, s->format.channels, frames);
        if (c->format.rate == s->format.rate)
            emit(c, mapped, frames);
        else
            resample(c, mapped, frames, s->format.rate);
    }
}

bool audio_is_captured(const struct audio_dev *dev)
{
    const struct bp_capture *c = captures;

    while (c && c->dev != dev)
        c = c->next;
    return c != NULL;
}

void audio_capture_running(const struct audio_stream *s, bool on)
{
    for (struct bp_capture *c = captures, *next; c && !s->input; c = next) {
        next = c->next;
        if (c->dev == s->dev && is_heard(s) && c->ops.running)
            c->ops.running(c->opaque, on);
    }
}

int audio_capture_new(struct bp_object *audiodev, const struct bp_audio_format *format,
                      const struct bp_capture_ops *ops, void *opaque, struct bp_capture **ret_capture,
                      struct bp_error *err)
{
    struct audio_dev *dev;
    struct bp_capture *c;
    int r = audio_check_format(format, err);

    if (r == 0 && (ops->size < offsetof(struct bp_capture_ops, reserved) || !ops->heard))
        r = bp_fail(err, EINVAL, "audio: who captures hears nothing");
    if (r == 0 && format->rate > MOST_RATE)
        r = bp_fail(err, EINVAL, "audio: %u frames a second are more than %u", format->rate, MOST_RATE);
    if (r == 0)
        r = audio_find(audiodev, &dev, err);
    if (r < 0)
        return r;
    c = bp_alloc(sizeof(*c));
    c->dev = dev;
    c->format = *format;
    memcpy(&c->ops, ops, ops->size < sizeof(*ops) ? ops->size : sizeof(*ops));
    c->opaque = opaque;
    c->next = captures;
    captures = c;
    for (const struct audio_stream *s = dev->streams; s && c->ops.running; s = s->next)
        if (!s->input && s->running && is_heard(s))
            c->ops.running(opaque, true);
    *ret_capture = c;
    return 0;
}

void audio_capture_free(struct bp_capture *c)
{
    struct bp_capture **link = &captures;

    if (!c)
        return;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    if (c->resampler)
        src_delete(c->resampler);
    free(c);
}
