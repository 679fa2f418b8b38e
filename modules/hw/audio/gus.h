/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gravis UltraSound: what the card and the device share. */
#ifndef HW_AUDIO_GUS_H
#define HW_AUDIO_GUS_H

#include <bp/device.h>

#include "gf1.h"

struct bp_audio_interface;
struct bp_i8237_interface;
struct bp_isa_interface;
struct bp_timer;
struct bp_voice;

struct gus {
    struct bp_object *audiodev;
    uint32_t iobase, irq_number, channel, freq;
    struct bp_irq *irq;
    struct bp_voice *out;
    struct bp_timer *timer[2];
    uint8_t *memory;
    uint32_t memory_size;
    struct gf1_voice voice[GF1_VOICES];
    uint8_t mix, page, select, low, active, reset, dma_control, timer_control, timer_count[2];
    uint8_t timer_index, timer_start, timer_status;
    uint8_t pending; /* of timers and DMA, as in IRQ_STATUS */
    bool dma_ended;
    uint16_t dma_address;
    uint32_t dram, dma_at;
};

/* The imported interfaces, which are there before the first card is. */
extern const struct bp_isa_interface *const *const gus_isa;
extern const struct bp_i8237_interface *const *const gus_dma;
extern const struct bp_audio_interface *const *const gus_audio;

/* Ports, the interrupt, the DMA channel, the voice; 0 or -errno, and gus_close() is to be called then, too. */
int gus_open(struct bp_device *dev, struct bp_error *err);
void gus_close(struct bp_device *dev);
void gus_power_on(struct gus *s);
void gus_loaded(struct gus *s); /* registers came from a saved state */

#endif
