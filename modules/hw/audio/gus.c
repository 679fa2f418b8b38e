/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gus: Gravis UltraSound on the ISA bus (UltraSound Software Development Kit 2.22): the GF1's registers, 1 MiB of
 * memory that is written by ports or by DMA, timers, interrupts. Left out: recording, MIDI, the joystick, the mixer of
 * later boards.
 */
#include <errno.h>
#include <stdlib.h>

#include <bp/host/audio.h>

#include "gus.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(dma, struct bp_i8237_interface, "i8237", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);
const struct bp_isa_interface *const *const gus_isa = &isa;
const struct bp_i8237_interface *const *const gus_dma = &dma;
const struct bp_audio_interface *const *const gus_audio = &audio;

static void gus_detach(struct bp_device *dev)
{
    struct gus *s = bp_device_state(dev);

    gus_close(dev);
    free(s->memory);
    s->memory = NULL;
}

static int gus_attach(struct bp_device *dev, struct bp_error *err)
{
    struct gus *s = bp_device_state(dev);
    int r;

    if (s->iobase > 0xfe00 || s->irq_number > 15 || s->channel > 7 || s->channel == 4)
        return bp_fail(err, EINVAL, "gus: iobase is a port up to 0xfe00, irq one of 0 to 15, dma one of 0 to 3 and 5 "
                       "to 7");
    s->memory_size = GF1_MEMORY;
    s->memory = calloc(1, GF1_MEMORY);
    if (!s->memory)
        return bp_fail(err, ENOMEM, "gus: no memory for its samples");
    r = gus_open(dev, err);
    if (r < 0)
        gus_detach(dev);
    return r;
}

static void gus_reset(struct bp_device *dev)
{
    gus_power_on(bp_device_state(dev));
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version, (void)err;
    gus_loaded(state);
    return 0;
}

#define ADDRESS_MOST ((GF1_MEMORY << GF1_FRACTION) - 1)
static const struct bp_state_field voice_fields[] = {
    BP_SAVE(UINT8, struct gf1_voice, control), BP_SAVE(UINT8, struct gf1_voice, ramp_control),
    BP_SAVE(UINT8, struct gf1_voice, ramp_rate), BP_SAVE(UINT8, struct gf1_voice, ramp_start),
    BP_SAVE(UINT8, struct gf1_voice, ramp_end), BP_SAVE_RANGE(UINT8, struct gf1_voice, pan, 0, 15),
    BP_SAVE(UINT16, struct gf1_voice, step), BP_SAVE(UINT16, struct gf1_voice, volume),
    BP_SAVE_RANGE(UINT16, struct gf1_voice, ramp_wait, 0, 511),
    BP_SAVE_RANGE(UINT32, struct gf1_voice, start, 0, ADDRESS_MOST),
    BP_SAVE_RANGE(UINT32, struct gf1_voice, end, 0, ADDRESS_MOST),
    BP_SAVE_RANGE(UINT32, struct gf1_voice, at, 0, ADDRESS_MOST), BP_SAVE_END};
static const struct bp_state_table voice_table = {.name = "gf1-voice", .version = 1, .oldest = 1,
                                                  .fields = voice_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_MEMORY(struct gus, memory, memory_size), BP_SAVE_STRUCTS(struct gus, voice, &voice_table),
    BP_SAVE(UINT8, struct gus, mix), BP_SAVE_RANGE(UINT8, struct gus, page, 0, GF1_VOICES - 1),
    BP_SAVE(UINT8, struct gus, select), BP_SAVE(UINT8, struct gus, low),
    BP_SAVE_RANGE(UINT8, struct gus, active, 0, 63),
    BP_SAVE_RANGE(UINT8, struct gus, reset, 0, 7), BP_SAVE(UINT8, struct gus, dma_control),
    BP_SAVE(UINT8, struct gus, timer_control), BP_SAVE_ARRAY(UINT8, struct gus, timer_count),
    BP_SAVE(UINT8, struct gus, timer_index), BP_SAVE(UINT8, struct gus, timer_start),
    BP_SAVE(UINT8, struct gus, timer_status), BP_SAVE(UINT8, struct gus, pending), BP_SAVE(BOOL, struct gus, dma_ended),
    BP_SAVE(UINT16, struct gus, dma_address), BP_SAVE_RANGE(UINT32, struct gus, dram, 0, GF1_MEMORY - 1),
    BP_SAVE_RANGE(UINT32, struct gus, dma_at, 0, GF1_MEMORY - 1), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct gus, audiodev, "where it is heard; none: the default one"),
    BP_PROP("iobase", UINT32, struct gus, iobase, "0x240", "first I/O port"),
    BP_PROP("irq", UINT32, struct gus, irq_number, "7", "ISA interrupt"),
    BP_PROP("dma", UINT32, struct gus, channel, "3", "DMA channel"),
    BP_PROP("freq", UINT32, struct gus, freq, "44100",
            "is taken and changes nothing: the number of voices makes the rate"),
    BP_FIELDS_END};
BP_DEVICE(gus, "gus", "isa", "Gravis UltraSound", struct gus, props, &table, .category = "sound", .attach = gus_attach,
          .detach = gus_detach, .reset = gus_reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(isa, "isa", 1, 1), BP_IMPORT(dma, "i8237", 1),
                                           BP_IMPORT_MINOR(audio, "audio", 1, 2), {0}};
BP_MODULE("hw-gus", "Gravis UltraSound sound card", imports, {BP_PROVIDE_DEVICE, &gus});
