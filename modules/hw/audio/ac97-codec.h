/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The codec on an AC-link: registers of "Audio Codec '97", revision 2.3, with variable rates. */
#ifndef AC97_CODEC_H
#define AC97_CODEC_H

#include <bp/state.h>

enum { /* 16-bit registers, chapter 5.7 */
    CODEC_RESET = 0x00, CODEC_MASTER = 0x02, CODEC_HEADPHONE = 0x04, CODEC_MONO = 0x06, CODEC_BEEP = 0x0a,
    CODEC_PHONE = 0x0c, CODEC_MIC = 0x0e, CODEC_LINE = 0x10, CODEC_CD = 0x12, CODEC_VIDEO = 0x14,
    CODEC_AUX = 0x16, CODEC_PCM = 0x18, CODEC_SELECT = 0x1a, CODEC_GAIN = 0x1c, CODEC_GENERAL = 0x20,
    CODEC_POWER = 0x26, CODEC_EXTENDED_ID = 0x28, CODEC_EXTENDED = 0x2a, CODEC_RATE_OUT = 0x2c,
    CODEC_RATE_IN = 0x32, CODEC_RATE_MIC = 0x34, CODEC_VENDOR1 = 0x7c, CODEC_VENDOR2 = 0x7e, CODEC_SIZE = 0x80,
};

struct ac97_codec {
    uint16_t reg[CODEC_SIZE / 2];
};
extern const struct bp_state_table ac97_codec_state;

void ac97_codec_reset(struct ac97_codec *c);
uint16_t ac97_codec_read(const struct ac97_codec *c, unsigned reg);
void ac97_codec_write(struct ac97_codec *c, unsigned reg, uint16_t value);
/* Factors for both sides; returns whether it is muted. What is louder than 0 dB is 0 dB. */
bool ac97_codec_volume_out(const struct ac97_codec *c, float *ret_left, float *ret_right);
bool ac97_codec_volume_in(const struct ac97_codec *c, float *ret_left, float *ret_right);

#endif
