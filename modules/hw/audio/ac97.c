/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AC97: the audio controller of Intel's 82801AA (ICH; datasheet 290655, chapter 13) with one codec on its link.
 * Two I/O BARs: the codec's registers, and the bus master's: three DMA engines (PCM in, PCM out, microphone),
 * each with a list of up to 32 buffers that it goes round.
 */
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/host/audio.h>
#include <bp/log.h>

#include "ac97-codec.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

enum { PCM_IN, PCM_OUT, MIC_IN, ENGINES };
enum { /* of an engine, in its 16 bytes */
    LIST_BASE = 0x0, CURRENT = 0x4, LAST_VALID = 0x5, STATUS = 0x6, POSITION = 0x8, PREFETCHED = 0xa, CONTROL = 0xb,
};
enum { GLOBAL_CONTROL = 0x2c, GLOBAL_STATUS = 0x30, SEMAPHORE = 0x34, REGISTERS = 0x40 };
#define STATUS_HALTED 0x01u
#define STATUS_AT_LAST 0x02u    /* the current buffer is the last valid one, and done */
#define STATUS_LAST_DONE 0x04u  /* W1C */
#define STATUS_BUFFER_DONE 0x08u /* W1C */
#define STATUS_FIFO 0x10u       /* W1C */
#define CONTROL_RUN 0x01u
#define CONTROL_RESET 0x02u
#define CONTROL_LAST_INTERRUPT 0x04u
#define CONTROL_FIFO_INTERRUPT 0x08u
#define CONTROL_BUFFER_INTERRUPT 0x10u
#define CONTROL_BITS 0x1fu
#define GLOBAL_COLD 0x02u /* 0: the link is in reset */
#define GLOBAL_WARM 0x04u /* falls by itself */
#define GLOBAL_BITS 0x3fu
#define GLOBAL_READY 0x0100u /* primary codec */
#define GLOBAL_PCM_IN 0x20u
#define GLOBAL_PCM_OUT 0x40u
#define GLOBAL_MIC_IN 0x80u
#define BUFFER_INTERRUPT 0x80000000u
#define BUFFERS 32u
#define PIECE 512u /* samples moved at once */

struct engine {
    uint32_t base, buffer, length; /* `length`: flags and samples of the current buffer */
    uint16_t status, left;         /* `left`: samples of it still to go */
    uint8_t current, last, next, control;
};

struct ac97 {
    struct bp_object *audiodev;
    struct bp_voice *voice[ENGINES];
    struct ac97_codec codec;
    struct engine engine[ENGINES];
    uint32_t global_control;
    bool semaphore;
};

static const unsigned channels[ENGINES] = {2, 2, 1};

/* ---- interrupts ---- */

static void update_irq(struct ac97 *s)
{
    int level = 0;

    for (unsigned i = 0; i < ENGINES; i++) {
        const struct engine *e = &s->engine[i];

        level |= (e->status & STATUS_LAST_DONE && e->control & CONTROL_LAST_INTERRUPT) ||
                 (e->status & STATUS_BUFFER_DONE && e->control & CONTROL_BUFFER_INTERRUPT) ||
                 (e->status & STATUS_FIFO && e->control & CONTROL_FIFO_INTERRUPT);
    }
    pci->set_irq(bp_device_of_state(s), level);
}

static uint32_t global_status(const struct ac97 *s)
{
    static const uint32_t bit[ENGINES] = {GLOBAL_PCM_IN, GLOBAL_PCM_OUT, GLOBAL_MIC_IN};
    uint32_t status = s->global_control & GLOBAL_COLD ? GLOBAL_READY : 0;

    for (unsigned i = 0; i < ENGINES; i++)
        if (s->engine[i].status & (STATUS_LAST_DONE | STATUS_BUFFER_DONE | STATUS_FIFO))
            status |= bit[i];
    return status;
}

/* ---- engines ---- */

/* Goes to the buffer that was prefetched. */
static void load_buffer(struct ac97 *s, struct engine *e)
{
    uint32_t entry[2] = {0, 0};

    e->current = e->next;
    e->next = (uint8_t)((e->next + 1u) % BUFFERS);
    if (pci->dma_read(bp_device_of_state(s), e->base + 8u * e->current, entry, sizeof(entry)) < 0)
        bp_guest_error("ac97-list", "AC97: nothing answers at the buffer list, %#x", e->base);
    e->buffer = entry[0] & ~1u;
    e->length = entry[1];
    e->left = (uint16_t)entry[1];
}

/* The current buffer is done. Does the engine go on? */
static bool buffer_done(struct ac97 *s, struct engine *e)
{
    if (e->length & BUFFER_INTERRUPT)
        e->status |= STATUS_BUFFER_DONE;
    if (e->current == e->last) {
        e->status |= STATUS_LAST_DONE | STATUS_AT_LAST | STATUS_HALTED;
        return false;
    }
    load_buffer(s, e);
    return true;
}

static bool moves(const struct engine *e)
{
    return e->control & CONTROL_RUN && !(e->status & STATUS_HALTED);
}

/* At most so many frames between a voice and guest memory. */
static void process(struct ac97 *s, unsigned n, uint32_t frames)
{
    struct engine *e = &s->engine[n];
    struct bp_device *dev = bp_device_of_state(s);
    uint32_t samples = frames * channels[n];
    unsigned empty = 0;

    while (samples && moves(e)) {
        uint8_t bytes[2 * PIECE];
        uint32_t piece = samples < PIECE ? samples : PIECE;
        uint64_t at;

        if (e->left < channels[n]) { /* less than a frame is none */
            e->left = 0;
            if (++empty > BUFFERS || !buffer_done(s, e))
                break;
            continue;
        }
        empty = 0;
        if (piece > e->left)
            piece = e->left;
        piece -= piece % channels[n];
        at = e->buffer + 2u * ((e->length & 0xffff) - e->left);
        memset(bytes, 0, sizeof(bytes));
        if (n == PCM_OUT) {
            pci->dma_read(dev, at, bytes, 2 * piece); /* where nothing answers it is silent */
            piece = audio->voice_write(s->voice[n], bytes, piece / channels[n]) * channels[n];
        } else {
            piece = audio->voice_read(s->voice[n], bytes, piece / channels[n]) * channels[n];
            pci->dma_write(dev, at, bytes, 2 * piece);
        }
        if (!piece)
            break;
        e->left = (uint16_t)(e->left - piece);
        samples -= piece;
        if (!e->left && !buffer_done(s, e))
            break;
    }
    if (!moves(e))
        audio->voice_set_active(s->voice[n], false);
    update_irq(s);
}

static void process_in(void *opaque, uint32_t frames)
{
    process(opaque, PCM_IN, frames);
}

static void process_out(void *opaque, uint32_t frames)
{
    process(opaque, PCM_OUT, frames);
}

static void process_mic(void *opaque, uint32_t frames)
{
    process(opaque, MIC_IN, frames);
}

static void reset_engine(struct ac97 *s, unsigned n)
{
    s->engine[n] = (struct engine){.status = STATUS_HALTED};
    audio->voice_set_active(s->voice[n], false);
}

/* After its registers changed: it goes on, or stops. */
static void follow(struct ac97 *s, unsigned n)
{
    struct engine *e = &s->engine[n];

    /* Halted at what was the last buffer, and there are more now. */
    if (e->control & CONTROL_RUN && e->status & STATUS_HALTED &&
        !(e->status & STATUS_AT_LAST && e->current == e->last)) {
        e->status &= (uint16_t)~(STATUS_HALTED | STATUS_AT_LAST);
        load_buffer(s, e);
    }
    if (!(e->control & CONTROL_RUN))
        e->status |= STATUS_HALTED;
    audio->voice_set_active(s->voice[n], moves(e));
}

/* ---- voices ---- */

static struct bp_audio_format format_of(const struct ac97 *s, unsigned n)
{
    static const uint8_t rate[ENGINES] = {CODEC_RATE_IN, CODEC_RATE_OUT, CODEC_RATE_MIC};

    return (struct bp_audio_format){ac97_codec_read(&s->codec, rate[n]), (uint8_t)channels[n], BP_SAMPLE_S16, {0}};
}

/* After the codec's registers changed. */
static void tune(struct ac97 *s)
{
    float left, right;
    bool mute;

    for (unsigned n = 0; n < ENGINES; n++) {
        struct bp_audio_format format = format_of(s, n);
        struct bp_error err = {0};

        if (audio->voice_set_format(s->voice[n], &format, &err) < 0)
            bp_warn("AC97: %u frames a second: %s", format.rate, err.message);
    }
    mute = ac97_codec_volume_out(&s->codec, &left, &right);
    audio->voice_set_volume(s->voice[PCM_OUT], mute, left, right);
    mute = ac97_codec_volume_in(&s->codec, &left, &right);
    audio->voice_set_volume(s->voice[PCM_IN], mute, left, right);
    audio->voice_set_volume(s->voice[MIC_IN], mute, left, right);
}

/* ---- registers ---- */

static uint64_t codec_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ac97 *s = opaque;

    s->semaphore = false;
    (void)size;
    return addr < CODEC_SIZE ? ac97_codec_read(&s->codec, (unsigned)addr) : 0xffff;
}

static void codec_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ac97 *s = opaque;

    (void)size;
    s->semaphore = false;
    if (addr >= CODEC_SIZE)
        return; /* there is no second codec */
    ac97_codec_write(&s->codec, (unsigned)addr, (uint16_t)value);
    tune(s);
}

static uint8_t engine_byte(const struct engine *e, unsigned reg)
{
    switch (reg) {
    case CURRENT:
        return e->current;
    case LAST_VALID:
        return e->last;
    case STATUS:
        return (uint8_t)e->status;
    case POSITION:
        return (uint8_t)e->left;
    case POSITION + 1:
        return (uint8_t)(e->left >> 8);
    case PREFETCHED:
        return e->next;
    case CONTROL:
        return e->control;
    default:
        return reg < CURRENT ? (uint8_t)(e->base >> 8 * reg) : 0;
    }
}

static uint8_t master_byte(struct ac97 *s, unsigned reg)
{
    uint8_t busy;

    if (reg < 0x10 * ENGINES && reg < GLOBAL_CONTROL)
        return engine_byte(&s->engine[reg / 0x10], reg % 0x10);
    if (reg >= GLOBAL_CONTROL && reg < GLOBAL_CONTROL + 4)
        return (uint8_t)(s->global_control >> 8 * (reg - GLOBAL_CONTROL));
    if (reg >= GLOBAL_STATUS && reg < GLOBAL_STATUS + 4)
        return (uint8_t)(global_status(s) >> 8 * (reg - GLOBAL_STATUS));
    if (reg != SEMAPHORE)
        return 0;
    busy = s->semaphore; /* who reads 0 has it, until the codec is accessed */
    s->semaphore = true;
    return busy;
}

static uint64_t master_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ac97 *s = opaque;
    uint64_t value = 0;

    if (addr < 0x10 * ENGINES && moves(&s->engine[addr / 0x10]))
        audio->voice_sync(s->voice[addr / 0x10]);
    for (unsigned i = 0; i < size && addr + i < REGISTERS; i++)
        value |= (uint64_t)master_byte(opaque, (unsigned)addr + i) << 8 * i;
    return value;
}

static void write_control(struct ac97 *s, unsigned n, uint8_t value)
{
    struct engine *e = &s->engine[n];

    if (value & CONTROL_RESET) {
        if (!(e->control & CONTROL_RUN)) /* 13.2.7: only while it does not run */
            reset_engine(s, n);
        return;
    }
    e->control = value & CONTROL_BITS;
    follow(s, n);
}

static void engine_write(struct ac97 *s, unsigned n, unsigned reg, uint8_t value)
{
    struct engine *e = &s->engine[n];

    switch (reg) {
    case LAST_VALID:
        e->last = value % BUFFERS;
        if (e->control & CONTROL_RUN)
            follow(s, n);
        break;
    case STATUS:
        e->status &= (uint16_t)~(value & (STATUS_LAST_DONE | STATUS_BUFFER_DONE | STATUS_FIFO));
        break;
    case CONTROL:
        write_control(s, n, value);
        break;
    default:
        if (reg < CURRENT)
            e->base = ((e->base & ~(0xffu << 8 * reg)) | (uint32_t)value << 8 * reg) & ~7u;
        break;
    }
}

static void write_global(struct ac97 *s, uint32_t value)
{
    if (!(value & GLOBAL_COLD)) {
        for (unsigned n = 0; n < ENGINES; n++)
            reset_engine(s, n);
        ac97_codec_reset(&s->codec);
        tune(s);
    }
    s->global_control = value & GLOBAL_BITS & ~GLOBAL_WARM;
}

static void master_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ac97 *s = opaque;
    uint32_t global = s->global_control;
    bool is_global = false;

    for (unsigned i = 0; i < size; i++) {
        unsigned reg = (unsigned)addr + i;
        uint8_t byte = (uint8_t)(value >> 8 * i);

        if (reg < 0x10 * ENGINES && reg < GLOBAL_CONTROL) {
            engine_write(s, reg / 0x10, reg % 0x10, byte);
        } else if (reg >= GLOBAL_CONTROL && reg < GLOBAL_CONTROL + 4) {
            global = (global & ~(0xffu << 8 * (reg - GLOBAL_CONTROL))) |
                     (uint32_t)byte << 8 * (reg - GLOBAL_CONTROL);
            is_global = true;
        }
    }
    if (is_global)
        write_global(s, global);
    update_irq(s);
}

static const struct bp_region_ops codec_ops = {
    .size = sizeof(codec_ops), .read = codec_read, .write = codec_write, .min_access = 2, .max_access = 2};
static const struct bp_region_ops master_ops = {
    .size = sizeof(master_ops), .read = master_read, .write = master_write};

/* ---- the device ---- */

static const struct bp_voice_ops voice_ops[ENGINES] = {
    {.size = sizeof(struct bp_voice_ops), .process = process_in},
    {.size = sizeof(struct bp_voice_ops), .process = process_out},
    {.size = sizeof(struct bp_voice_ops), .process = process_mic}};

static int ac97_attach(struct bp_device *dev, struct bp_error *err)
{
    static const char *const names[ENGINES] = {"ac97.in", "ac97.out", "ac97.mic"};
    struct ac97 *s = bp_device_state(dev);

    ac97_codec_reset(&s->codec);
    for (unsigned n = 0; n < ENGINES; n++) {
        struct bp_audio_format format = format_of(s, n);
        int r = audio->voice_new(bp_device_object(dev), s->audiodev, n != PCM_OUT, names[n], &format,
                                 &voice_ops[n], s, &s->voice[n], err);

        if (r == 0)
            continue;
        while (n-- > 0) {
            audio->voice_free(s->voice[n]);
            s->voice[n] = NULL;
        }
        return r;
    }
    return 0;
}

static void ac97_detach(struct bp_device *dev)
{
    struct ac97 *s = bp_device_state(dev);

    for (unsigned n = 0; n < ENGINES; n++) {
        audio->voice_free(s->voice[n]);
        s->voice[n] = NULL;
    }
}

static void ac97_reset(struct bp_device *dev)
{
    struct ac97 *s = bp_device_state(dev);

    for (unsigned n = 0; n < ENGINES; n++)
        reset_engine(s, n);
    s->global_control = 0;
    s->semaphore = false;
    ac97_codec_reset(&s->codec);
    tune(s);
    update_irq(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ac97 *s = state;

    (void)version;
    (void)err;
    tune(s);
    for (unsigned n = 0; n < ENGINES; n++)
        audio->voice_set_active(s->voice[n], moves(&s->engine[n]));
    return 0;
}

static const struct bp_state_field engine_fields[] = {
    BP_SAVE(UINT32, struct engine, base), BP_SAVE(UINT32, struct engine, buffer),
    BP_SAVE(UINT32, struct engine, length), BP_SAVE(UINT16, struct engine, status),
    BP_SAVE(UINT16, struct engine, left), BP_SAVE_RANGE(UINT8, struct engine, current, 0, BUFFERS - 1),
    BP_SAVE_RANGE(UINT8, struct engine, last, 0, BUFFERS - 1),
    BP_SAVE_RANGE(UINT8, struct engine, next, 0, BUFFERS - 1), BP_SAVE(UINT8, struct engine, control), BP_SAVE_END};
static const struct bp_state_table engine_state = {
    .name = "ac97-engine", .version = 1, .oldest = 1, .fields = engine_fields};
static const struct bp_state_field ac97_fields[] = {
    {.name = "codec", .kind = BP_STATE_STRUCT, .offset = offsetof(struct ac97, codec), .count = 1,
     .stride = sizeof(struct ac97_codec), .table = &ac97_codec_state},
    BP_SAVE_STRUCTS(struct ac97, engine, &engine_state), BP_SAVE(UINT32, struct ac97, global_control),
    BP_SAVE(BOOL, struct ac97, semaphore), BP_SAVE_END};
static const struct bp_state_table ac97_state = {
    .version = 1, .oldest = 1, .fields = ac97_fields, .after_load = after_load};

static const struct bp_field ac97_props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct ac97, audiodev, "where it is heard; none: the default one"),
    BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x2415, .revision = 0x01, .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100, .class_code = 0x0401,
    .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_IO, .size = 256, .name = "ac97-codec", .ops = &codec_ops},
            {.flags = BP_PCI_BAR_IO, .size = REGISTERS, .name = "ac97-master", .ops = &master_ops}}};

BP_HOTPLUG_DEVICE(ac97, "AC97", "pci", "Audio controller of Intel's 82801AA", struct ac97, ac97_props, &ac97_state,
                  .category = "sound", .bus_info = &info, .attach = ac97_attach, .detach = ac97_detach,
                  .reset = ac97_reset);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), BP_IMPORT_MINOR(audio, "audio", 1, 2), {0}};
BP_MODULE("hw-ac97", "AC97 sound card", imports, {BP_PROVIDE_DEVICE, &ac97});
