/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The GF1's voices (UltraSound Software Development Kit 2.22, chapters 2 and 3). */
#include "gf1.h"

#include <math.h>

uint32_t gf1_rate(unsigned voices)
{
    return (uint32_t)lround(1e6 / (1.619695497 * (voices < 14 ? 14 : voices)));
}

/* Words lie at addresses of half their number, in each quarter of memory. */
static float sample_at(const struct gf1_voice *v, const uint8_t *memory, uint32_t n)
{
    n &= GF1_MEMORY - 1;
    if (!(v->control & GF1_WIDE))
        return (float)(int8_t)memory[n] / 128;
    n = (n & 0xc0000) | (n & 0x1ffff) << 1;
    return (float)(int16_t)(memory[n] | memory[n + 1] << 8) / 32768;
}

/* A limit was passed, by so much. Gives where it goes on; the control register says how. */
static uint32_t turn(uint8_t *control, uint32_t start, uint32_t end, uint32_t over)
{
    bool down = *control & GF1_DOWN;
    uint32_t length = end > start ? end - start : 0;

    if (*control & GF1_INTERRUPT)
        *control |= GF1_PENDING;
    if (!(*control & GF1_LOOP)) {
        *control |= GF1_STOPPED;
        return down ? start : end;
    }
    if (over > length)
        over = length;
    if (*control & GF1_BOTH_WAYS) {
        *control ^= GF1_DOWN;
        return down ? start + over : end - over;
    }
    return down ? end - over : start + over;
}

static void step_wave(struct gf1_voice *v)
{
    uint32_t mask = (GF1_MEMORY << GF1_FRACTION) - 1, step = v->step >> 1;
    bool down = v->control & GF1_DOWN, past;
    uint32_t to = down ? v->at - step : v->at + step;

    past = down ? v->at < v->start + step : to > v->end;
    if (!past || (v->control & GF1_STOPPED)) {
        v->at = to & mask;
        return;
    }
    if (v->ramp_control & GF1_ROLLOVER) { /* it is told, and goes on */
        if (v->control & GF1_INTERRUPT)
            v->control |= GF1_PENDING;
        v->at = to & mask;
        return;
    }
    v->at = turn(&v->control, v->start, v->end, down ? v->start - to : to - v->end) & mask;
}

/* Steps of 1 to 63, each frame, each 8th, 64th or 512th. */
static void step_volume(struct gf1_voice *v)
{
    static const uint16_t frames[4] = {1, 8, 64, 512};
    int32_t volume = v->volume >> 4, step = v->ramp_rate & 0x3f, low = v->ramp_start << 4, high = v->ramp_end << 4;
    bool down = v->ramp_control & GF1_DOWN;

    if (v->ramp_control & (GF1_STOPPED | GF1_STOP))
        return;
    if (v->ramp_wait) {
        v->ramp_wait--;
        return;
    }
    v->ramp_wait = (uint16_t)(frames[v->ramp_rate >> 6] - 1);
    volume += down ? -step : step;
    if (down ? volume <= low : volume >= high)
        volume = (int32_t)turn(&v->ramp_control, (uint32_t)low, (uint32_t)(high > low ? high : low),
                               (uint32_t)(down ? low - volume : volume - high));
    v->volume = (uint16_t)((volume < 0 ? 0 : volume > 4095 ? 4095 : volume) << 4);
}

void gf1_run(struct gf1_voice *v, const uint8_t *memory, float sides[2])
{
    uint32_t n = v->at >> GF1_FRACTION;
    float fraction = (float)(v->at & ((1u << GF1_FRACTION) - 1)) / (1u << GF1_FRACTION);
    float a = sample_at(v, memory, n), b = sample_at(v, memory, n + 1);
    float gain = ldexpf((float)(256 + (v->volume >> 4 & 0xff)), (v->volume >> 12) - 24);
    float pan = (float)(v->pan & 15) / 15 * (float)M_PI_2, value = (a + (b - a) * fraction) * gain;

    sides[0] += value * cosf(pan);
    sides[1] += value * sinf(pan);
    if (!(v->control & (GF1_STOPPED | GF1_STOP)))
        step_wave(v);
    step_volume(v);
}
