/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GF1, the synthesizer of the Gravis UltraSound: voices that play from the card's own memory. */
#ifndef HW_AUDIO_GF1_H
#define HW_AUDIO_GF1_H

#include <stdbool.h>
#include <stdint.h>

#define GF1_MEMORY (1u << 20)
#define GF1_VOICES 32u
#define GF1_FRACTION 9u /* bits of addresses behind the point */

enum { /* of control registers, of the wave and of the volume alike */
    GF1_STOPPED = 0x01, GF1_STOP = 0x02, GF1_WIDE = 0x04, GF1_ROLLOVER = 0x04, GF1_LOOP = 0x08, GF1_BOTH_WAYS = 0x10,
    GF1_INTERRUPT = 0x20, GF1_DOWN = 0x40, GF1_PENDING = 0x80,
};

struct gf1_voice {
    uint8_t control, ramp_control; /* of the wave; of the volume, whose ROLLOVER is about the wave's end */
    uint8_t ramp_rate, ramp_start, ramp_end, pan;
    uint16_t step;                 /* frequency control: 6.9 bits, above bit 0 */
    uint16_t volume;               /* bits 15 to 4: exponent (4 bits), mantissa (8) */
    uint16_t ramp_wait;            /* frames until the next step of a slow ramp */
    uint32_t start, end, at;       /* addresses, with GF1_FRACTION */
};

/* What a number of voices makes the rate, in frames a second. */
uint32_t gf1_rate(unsigned voices);
/* Adds one frame of the voice to sides[0] and [1] (1 is full level), and goes on by one. */
void gf1_run(struct gf1_voice *v, const uint8_t *memory, float sides[2]);
static inline bool gf1_is_still(const struct gf1_voice *v)
{
    return v->control & (GF1_STOPPED | GF1_STOP) && v->ramp_control & (GF1_STOPPED | GF1_STOP);
}

#endif
