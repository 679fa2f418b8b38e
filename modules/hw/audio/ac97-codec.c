/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The codec's registers (ac97-codec.h). It tells drivers that it is a STAC9700 of SigmaTel, a plain one without
 * tone controls or 3D.
 */
#include "ac97-codec.h"

#include <math.h>
#include <string.h>

#define MUTE 0x8000u
#define POWER_READY 0x000fu
#define EXTENDED_VRA 0x0001u /* variable rates: 5.8.1 */
#define EXTENDED_VRM 0x0008u /* also of the microphone's converter */
#define REVISION_23 0x0800u
#define RATE_LEAST 8000u
#define RATE_MOST 48000u

/* What can be written, and what stands there at first. */
static const struct {
    uint8_t reg;
    uint16_t writable, first;
} registers[] = {
    {CODEC_MASTER, 0x9f1f, 0x8000}, {CODEC_HEADPHONE, 0x9f1f, 0x8000}, {CODEC_MONO, 0x801f, 0x8000},
    {CODEC_BEEP, 0x801e, 0x0000}, {CODEC_PHONE, 0x801f, 0x8008}, {CODEC_MIC, 0x805f, 0x8008},
    {CODEC_LINE, 0x9f1f, 0x8808}, {CODEC_CD, 0x9f1f, 0x8808}, {CODEC_VIDEO, 0x9f1f, 0x8808},
    {CODEC_AUX, 0x9f1f, 0x8808}, {CODEC_PCM, 0x9f1f, 0x8808}, {CODEC_SELECT, 0x0707, 0x0000},
    {CODEC_GAIN, 0x8f0f, 0x8000}, {CODEC_GENERAL, 0x8380, 0x0000}, {CODEC_POWER, 0xff00, POWER_READY},
    {CODEC_EXTENDED_ID, 0, REVISION_23 | EXTENDED_VRA | EXTENDED_VRM},
    {CODEC_EXTENDED, EXTENDED_VRA | EXTENDED_VRM, 0},
    {CODEC_RATE_OUT, 0xffff, RATE_MOST}, {CODEC_RATE_IN, 0xffff, RATE_MOST}, {CODEC_RATE_MIC, 0xffff, RATE_MOST},
    {CODEC_VENDOR1, 0, 0x8384}, {CODEC_VENDOR2, 0, 0x7600},
};

static const struct bp_state_field fields[] = {BP_SAVE_ARRAY(UINT16, struct ac97_codec, reg), BP_SAVE_END};
const struct bp_state_table ac97_codec_state = {.name = "ac97-codec", .version = 1, .oldest = 1, .fields = fields};

void ac97_codec_reset(struct ac97_codec *c)
{
    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < BP_COUNT(registers); i++)
        c->reg[registers[i].reg / 2] = registers[i].first;
}

uint16_t ac97_codec_read(const struct ac97_codec *c, unsigned reg)
{
    return c->reg[reg / 2 % BP_COUNT(c->reg)];
}

/* Without variable rates there is one; with them what is not had becomes the nearest (5.8.2). */
static uint16_t rate(const struct ac97_codec *c, unsigned reg, uint16_t value)
{
    uint16_t bit = reg == CODEC_RATE_MIC ? EXTENDED_VRM : EXTENDED_VRA;

    if (!(c->reg[CODEC_EXTENDED / 2] & bit))
        return RATE_MOST;
    return value < RATE_LEAST ? RATE_LEAST : value > RATE_MOST ? RATE_MOST : value;
}

void ac97_codec_write(struct ac97_codec *c, unsigned reg, uint16_t value)
{
    uint16_t *at = &c->reg[reg / 2 % BP_COUNT(c->reg)];

    if (reg == CODEC_RESET) { /* any value */
        ac97_codec_reset(c);
        return;
    }
    for (unsigned i = 0; i < BP_COUNT(registers); i++) {
        if (registers[i].reg != reg)
            continue;
        *at = (uint16_t)((*at & ~registers[i].writable) | (value & registers[i].writable));
        if (reg == CODEC_RATE_OUT || reg == CODEC_RATE_IN || reg == CODEC_RATE_MIC)
            *at = rate(c, reg, value);
    }
    if (reg == CODEC_EXTENDED) { /* switched off, the rates are what they always were */
        c->reg[CODEC_RATE_OUT / 2] = rate(c, CODEC_RATE_OUT, c->reg[CODEC_RATE_OUT / 2]);
        c->reg[CODEC_RATE_IN / 2] = rate(c, CODEC_RATE_IN, c->reg[CODEC_RATE_IN / 2]);
        c->reg[CODEC_RATE_MIC / 2] = rate(c, CODEC_RATE_MIC, c->reg[CODEC_RATE_MIC / 2]);
    }
}

/* Steps of 1.5 dB, upwards. */
static float factor(int steps)
{
    return steps >= 0 ? 1.0f : powf(10.0f, (float)steps * 1.5f / 20.0f);
}

bool ac97_codec_volume_out(const struct ac97_codec *c, float *ret_left, float *ret_right)
{
    uint16_t master = c->reg[CODEC_MASTER / 2], pcm = c->reg[CODEC_PCM / 2];

    /* The master attenuates; of the PCM volume 8 is 0 dB. */
    *ret_left = factor(8 - (pcm >> 8 & 0x1f) - (master >> 8 & 0x1f));
    *ret_right = factor(8 - (pcm & 0x1f) - (master & 0x1f));
    return (master | pcm) & MUTE;
}

bool ac97_codec_volume_in(const struct ac97_codec *c, float *ret_left, float *ret_right)
{
    *ret_left = *ret_right = 1.0f; /* gains: 0 dB and up */
    return c->reg[CODEC_GAIN / 2] & MUTE;
}
