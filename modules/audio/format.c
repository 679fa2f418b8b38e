/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples as numbers from -1 to 1, and as hosts and guests have them; other numbers of channels. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "audio.h"

static const char *const names[BP_SAMPLE_END] = {"u8", "s8", "u16", "s16", "u32", "s32", "f32"};

int audio_parse_sample(const char *text, uint8_t *ret_sample)
{
    for (unsigned i = 0; i < BP_SAMPLE_END; i++) {
        if (!strcmp(text, names[i])) {
            *ret_sample = (uint8_t)i;
            return 0;
        }
    }
    return -EINVAL;
}

int audio_check_format(const struct bp_audio_format *f, struct bp_error *err)
{
    if (f->rate < BP_AUDIO_RATE_MIN || f->rate > BP_AUDIO_RATE_MAX)
        return bp_fail(err, EINVAL, "%u frames a second: it must be %u to %u", f->rate, BP_AUDIO_RATE_MIN,
                       BP_AUDIO_RATE_MAX);
    if (f->channels < 1 || f->channels > BP_AUDIO_CHANNELS_MAX)
        return bp_fail(err, EINVAL, "%u channels: it must be 1 to %u", f->channels, BP_AUDIO_CHANNELS_MAX);
    return f->sample < BP_SAMPLE_END ? 0 : bp_fail(err, EINVAL, "there is no sample format %u", f->sample);
}

/* All host memory is little-endian here, as guests' and files' samples are. */
void audio_to_float(float *to, const void *from, unsigned sample, size_t samples)
{
    const uint8_t *u8 = from;

    switch (sample) {
    case BP_SAMPLE_U8:
        for (size_t i = 0; i < samples; i++)
            to[i] = (float)((int)u8[i] - 128) / 128.0f;
        break;
    case BP_SAMPLE_S8:
        for (size_t i = 0; i < samples; i++)
            to[i] = (float)(int8_t)u8[i] / 128.0f;
        break;
    case BP_SAMPLE_U16:
    case BP_SAMPLE_S16:
        for (size_t i = 0; i < samples; i++) {
            uint16_t v;

            memcpy(&v, u8 + 2 * i, 2);
            to[i] = (float)(sample == BP_SAMPLE_U16 ? (int)v - 32768 : (int16_t)v) / 32768.0f;
        }
        break;
    case BP_SAMPLE_U32:
    case BP_SAMPLE_S32:
        for (size_t i = 0; i < samples; i++) {
            uint32_t v;

            memcpy(&v, u8 + 4 * i, 4);
            to[i] = (float)(int32_t)(sample == BP_SAMPLE_U32 ? v ^ 0x80000000u : v) / 2147483648.0f;
        }
        break;
    default:
        memcpy(to, from, samples * sizeof(float));
        for (size_t i = 0; i < samples; i++)
            to[i] = isfinite(to[i]) ? to[i] : 0.0f; /* a guest's, or a peer's */
    }
}

/* Rounded to the nearest of -limit..limit-1. */
static int64_t whole(float v, double limit)
{
    double x = (double)v * limit;

    return x >= limit - 1 ? (int64_t)(limit - 1) : x <= -limit ? (int64_t)-limit : llrint(x);
}

void audio_from_float(void *to, const float *from, unsigned sample, size_t samples)
{
    uint8_t *u8 = to;

    switch (sample) {
    case BP_SAMPLE_U8:
    case BP_SAMPLE_S8:
        for (size_t i = 0; i < samples; i++)
            u8[i] = (uint8_t)(whole(from[i], 128) ^ (sample == BP_SAMPLE_U8 ? 0x80 : 0));
        break;
    case BP_SAMPLE_U16:
    case BP_SAMPLE_S16:
        for (size_t i = 0; i < samples; i++) {
            uint16_t v = (uint16_t)(whole(from[i], 32768) ^ (sample == BP_SAMPLE_U16 ? 0x8000 : 0));

            memcpy(u8 + 2 * i, &v, 2);
        }
        break;
    case BP_SAMPLE_U32:
    case BP_SAMPLE_S32:
        for (size_t i = 0; i < samples; i++) {
            uint32_t v = (uint32_t)whole(from[i], 2147483648.0) ^ (sample == BP_SAMPLE_U32 ? 0x80000000u : 0);

            memcpy(u8 + 4 * i, &v, 4);
        }
        break;
    default:
        memcpy(to, from, samples * sizeof(float));
    }
}

#define SIDE 0.70710678f /* what is heard on both sides, or beside the front ones */

/* The two front channels of one frame; order of WAV: FL FR FC LFE BL BR SL SR. */
static void fold(float side[2], const float *from, unsigned channels)
{
    side[0] = from[0];
    side[1] = channels > 1 ? from[1] : from[0];
    if (channels > 2) {
        side[0] += SIDE * from[2];
        side[1] += SIDE * from[2];
    }
    for (unsigned c = 4; c < channels; c++)
        side[c & 1] += SIDE * from[c];
}

void audio_map_channels(float *to, unsigned to_channels, const float *from, unsigned from_channels,
                        size_t frames)
{
    if (to_channels == from_channels) {
        memcpy(to, from, frames * to_channels * sizeof(float));
        return;
    }
    for (size_t i = 0; i < frames; i++, to += to_channels, from += from_channels) {
        float side[2];

        if (to_channels <= 2) {
            fold(side, from, from_channels);
            to[0] = to_channels == 1 ? (side[0] + side[1]) / 2 : side[0];
            if (to_channels == 2)
                to[1] = side[1];
            continue;
        }
        memset(to, 0, to_channels * sizeof(float));
        if (from_channels == 1)
            to[0] = to[1] = from[0];
        else
            memcpy(to, from, (from_channels < to_channels ? from_channels : to_channels) * sizeof(float));
    }
}
