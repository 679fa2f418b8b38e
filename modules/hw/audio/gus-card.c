/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The UltraSound's registers, memory, timers and interrupts (UltraSound Software Development Kit 2.22). */
#include "gus.h"

#include <bp/bus/isa.h>
#include <bp/chip/i8237.h>
#include <bp/clock.h>
#include <bp/host/audio.h>
#include <bp/log.h>
#include <string.h>

/* As the files of one module say it. */
#define isa (*gus_isa)
#define dma (*gus_dma)
#define audio (*gus_audio)

enum { MIX = 0x0, IRQ_STATUS = 0x6, TIMER_INDEX = 0x8, TIMER_DATA = 0x9 };         /* from the base on */
enum { MIDI_STATUS = 0x0, PAGE = 0x2, SELECT = 0x3, LOW = 0x4, HIGH = 0x5, DRAM = 0x7 }; /* from its 0x100 on */
enum { DMA_CONTROL = 0x41, DMA_ADDRESS = 0x42, DRAM_LOW = 0x43, DRAM_HIGH = 0x44, TIMER_CONTROL = 0x45, TIMER_1 = 0x46,
       TIMER_2 = 0x47, RESET = 0x4c, ACTIVE = 0x0e, SOURCE = 0x8f };
#define MIX_LATCHES 0x08u /* interrupts and DMA get out */
#define IRQ_TIMER_1 0x04u
#define IRQ_WAVE 0x20u
#define IRQ_VOLUME 0x40u
#define IRQ_DMA 0x80u
#define RESET_RUN 0x01u
#define RESET_DAC 0x02u
#define RESET_INTERRUPTS 0x04u
#define DMA_ON 0x01u
#define DMA_FROM_CARD 0x02u
#define DMA_WIDE_CHANNEL 0x04u
#define DMA_INTERRUPT 0x20u
#define DMA_WORDS 0x40u /* written: of 16 bits; read: it has ended */
#define DMA_INVERT 0x80u
#define PIECE 4096u

/* ---- interrupts ---- */

static uint8_t irq_status(const struct gus *s)
{
    uint8_t status = s->pending;

    for (unsigned n = 0; n < GF1_VOICES; n++) {
        status |= s->voice[n].control & GF1_PENDING ? IRQ_WAVE : 0;
        status |= s->voice[n].ramp_control & GF1_PENDING ? IRQ_VOLUME : 0;
    }
    return status;
}

static void update_irq(struct gus *s)
{
    bp_irq_set(s->irq, s->reset & RESET_INTERRUPTS && s->mix & MIX_LATCHES && irq_status(s));
}

/* The next voice that has something to tell, which is told by that: bits 7 and 6 are 0 for wave and volume. */
static uint8_t source(struct gus *s)
{
    for (unsigned n = 0; n < GF1_VOICES; n++) {
        struct gf1_voice *v = &s->voice[n];
        uint8_t answer = (uint8_t)(0x20 | n | (v->control & GF1_PENDING ? 0 : 0x80) |
                                   (v->ramp_control & GF1_PENDING ? 0 : 0x40));

        if ((answer & 0xc0) == 0xc0)
            continue;
        v->control &= (uint8_t)~GF1_PENDING;
        v->ramp_control &= (uint8_t)~GF1_PENDING;
        update_irq(s);
        return answer;
    }
    return 0xe0;
}

/* ---- what is heard ---- */

static unsigned voices(const struct gus *s)
{
    unsigned n = (s->active & 0x3f) + 1u;

    return n < 14 ? 14 : n > GF1_VOICES ? GF1_VOICES : n;
}

static bool is_heard(const struct gus *s)
{
    for (unsigned n = 0; n < voices(s) && (s->reset & RESET_RUN); n++)
        if (!gf1_is_still(&s->voice[n]))
            return true;
    return false;
}

static int16_t clipped(float v)
{
    v *= 32767;
    return (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
}

static void process(void *opaque, uint32_t frames)
{
    struct gus *s = opaque;
    int16_t samples[2 * 512];

    while (frames && is_heard(s)) {
        uint32_t n = frames < 512 ? frames : 512;

        for (uint32_t i = 0; i < n; i++) {
            float sides[2] = {0, 0};

            for (unsigned v = 0; v < voices(s); v++)
                gf1_run(&s->voice[v], s->memory, sides);
            samples[2 * i] = s->reset & RESET_DAC ? clipped(sides[0]) : 0;
            samples[2 * i + 1] = s->reset & RESET_DAC ? clipped(sides[1]) : 0;
        }
        if (audio->voice_write(s->out, samples, n) < n)
            break;
        frames -= n;
    }
    update_irq(s);
    if (!is_heard(s))
        audio->voice_set_active(s->out, false);
}

static void follow(struct gus *s)
{
    struct bp_audio_format format = {gf1_rate(voices(s)), 2, BP_SAMPLE_S16, {0}};
    struct bp_error err = {0};
    bool on = is_heard(s);

    if (on && audio->voice_set_format(s->out, &format, &err) < 0) {
        bp_warn("gus: %s", err.message);
        on = false;
    }
    audio->voice_set_active(s->out, on);
}

/* ---- DMA ---- */

static void dma_start(struct gus *s, uint8_t value)
{
    s->dma_control = value;
    s->pending &= value & DMA_INTERRUPT ? 0xff : (uint8_t)~IRQ_DMA;
    s->dma_at = (uint32_t)s->dma_address << 4;
    if (value & DMA_WIDE_CHANNEL)
        s->dma_at = (s->dma_at & 0xc0000) | (s->dma_at & 0x1ffff) << 1;
    dma->request(bp_device_of_state(s), s->channel, value & DMA_ON);
    update_irq(s);
}

static void invert(const struct gus *s, uint8_t *bytes, size_t n)
{
    bool words = s->dma_control & DMA_WORDS;

    for (size_t i = words ? 1 : 0; s->dma_control & DMA_INVERT && i < n; i += words ? 2 : 1)
        bytes[i] ^= 0x80;
}

/* From the main loop, as long as the request is up. */
static void ready(void *opaque)
{
    struct gus *s = opaque;
    bool from_card = s->dma_control & DMA_FROM_CARD, last = false;
    uint8_t bytes[PIECE];
    uint32_t room;
    size_t n;

    if (s->channel > 4)
        s->dma_at &= ~1u; /* it moves words */
    room = GF1_MEMORY - s->dma_at;
    n = room < PIECE ? room : PIECE;
    if (from_card) {
        memcpy(bytes, s->memory + s->dma_at, n);
        invert(s, bytes, n);
    }
    n = dma->move(bp_device_of_state(s), s->channel, from_card, bytes, n, &last);
    if (!from_card) {
        invert(s, bytes, n);
        memcpy(s->memory + s->dma_at, bytes, n);
    }
    s->dma_at = (s->dma_at + (uint32_t)n) % GF1_MEMORY;
    if (!last)
        return;
    s->dma_control &= (uint8_t)~DMA_ON;
    s->dma_ended = true;
    dma->request(bp_device_of_state(s), s->channel, false);
    if (s->dma_control & DMA_INTERRUPT)
        s->pending |= IRQ_DMA;
    update_irq(s);
}

/* ---- timers: as AdLib has them, of 80 and of 320 microseconds ---- */

static void timer_begin(struct gus *s, unsigned n)
{
    bp_timer_set(s->timer[n], bp_timer_now(s->timer[n]) + (256 - s->timer_count[n]) * (n ? INT64_C(320000)
                                                                                         : INT64_C(80000)));
}

static void timer_over(struct gus *s, unsigned n)
{
    if (!(s->timer_start & 0x40u >> n))
        s->timer_status |= (uint8_t)(0x80u | 0x40u >> n);
    if (s->timer_control & IRQ_TIMER_1 << n)
        s->pending |= (uint8_t)(IRQ_TIMER_1 << n);
    timer_begin(s, n);
    update_irq(s);
}

static void timer_1_over(void *opaque)
{
    timer_over(opaque, 0);
}

static void timer_2_over(void *opaque)
{
    timer_over(opaque, 1);
}

static void timer_data(struct gus *s, uint8_t value)
{
    if (s->timer_index != 4)
        return;
    if (value & 0x80) {
        s->timer_status = 0;
        return;
    }
    s->timer_start = value;
    for (unsigned n = 0; n < 2; n++) {
        if (!(value >> n & 1))
            bp_timer_cancel(s->timer[n]);
        else if (!bp_timer_pending(s->timer[n]))
            timer_begin(s, n);
    }
}

/* ---- the GF1's registers ---- */

static void reset_gf1(struct gus *s)
{
    memset(s->voice, 0, sizeof(s->voice));
    for (unsigned n = 0; n < GF1_VOICES; n++) {
        s->voice[n].control = s->voice[n].ramp_control = GF1_STOPPED | GF1_STOP;
        s->voice[n].pan = 7;
    }
    s->active = 13;
    s->pending = s->timer_control = s->timer_status = 0;
    s->dma_ended = false;
    dma_start(s, 0);
    follow(s);
}

/* Addresses of 20 bits: 13 in the upper register, 7 and a fraction in the lower one. */
static void set_high(uint32_t *address, uint16_t value)
{
    *address = (*address & 0xffff) | (uint32_t)(value & 0x1fff) << 16;
}

static void set_low(uint32_t *address, uint16_t value)
{
    *address = (*address & ~0xffffu) | value;
}

static void write_voice(struct gus *s, uint16_t value)
{
    struct gf1_voice *v = &s->voice[s->page];
    uint8_t high = (uint8_t)(value >> 8);

    switch (s->select) {
    case 0x0:
        v->control = high & 0x7f;
        if (high & GF1_INTERRUPT) /* the bit of an interrupt may be set by hand */
            v->control |= high & GF1_PENDING;
        break;
    case 0x1: v->step = value; break;
    case 0x2: set_high(&v->start, value); break;
    case 0x3: set_low(&v->start, value & 0xffe0); break;
    case 0x4: set_high(&v->end, value); break;
    case 0x5: set_low(&v->end, value & 0xffe0); break;
    case 0x6: v->ramp_rate = high; break;
    case 0x7: v->ramp_start = high; break;
    case 0x8: v->ramp_end = high; break;
    case 0x9: v->volume = value & 0xfff0; break;
    case 0xa: set_high(&v->at, value); break;
    case 0xb: set_low(&v->at, value); break;
    case 0xc: v->pan = high & 15; break;
    case 0xd:
        v->ramp_control = high & 0x7f;
        v->ramp_wait = 0;
        break;
    case ACTIVE: s->active = high & 0x3f; break;
    default: break;
    }
    follow(s);
    update_irq(s);
}

static void write_reset(struct gus *s, uint8_t value)
{
    if (!(value & RESET_RUN))
        reset_gf1(s);
    s->reset = value & 7;
    follow(s);
    update_irq(s);
}

static void write_register(struct gus *s, uint16_t value)
{
    uint8_t high = (uint8_t)(value >> 8);

    switch (s->select) {
    case DMA_CONTROL:
        dma_start(s, high);
        break;
    case DMA_ADDRESS:
        s->dma_address = value;
        break;
    case DRAM_LOW:
        s->dram = (s->dram & 0xf0000) | value;
        break;
    case DRAM_HIGH:
        s->dram = (s->dram & 0xffff) | (uint32_t)(high & 15) << 16;
        break;
    case TIMER_CONTROL:
        s->timer_control = high;
        s->pending &= (uint8_t)(high | ~(IRQ_TIMER_1 | IRQ_TIMER_1 << 1)); /* switched off, they are acknowledged */
        update_irq(s);
        break;
    case TIMER_1:
    case TIMER_2:
        s->timer_count[s->select - TIMER_1] = high;
        break;
    case RESET:
        write_reset(s, high);
        break;
    default:
        if (s->select <= ACTIVE)
            write_voice(s, value);
        break;
    }
}

static uint16_t read_voice(const struct gus *s)
{
    const struct gf1_voice *v = &s->voice[s->page];

    switch (s->select & 0x7f) {
    case 0x0: return (uint16_t)(v->control << 8);
    case 0x1: return v->step;
    case 0x2: return (uint16_t)(v->start >> 16);
    case 0x3: return (uint16_t)v->start;
    case 0x4: return (uint16_t)(v->end >> 16);
    case 0x5: return (uint16_t)v->end;
    case 0x6: return (uint16_t)(v->ramp_rate << 8);
    case 0x7: return (uint16_t)(v->ramp_start << 8);
    case 0x8: return (uint16_t)(v->ramp_end << 8);
    case 0x9: return v->volume;
    case 0xa: return (uint16_t)(v->at >> 16);
    case 0xb: return (uint16_t)v->at;
    case 0xc: return (uint16_t)(v->pan << 8);
    case 0xd: return (uint16_t)(v->ramp_control << 8);
    case ACTIVE: return (uint16_t)((s->active | 0xc0) << 8);
    default: return 0;
    }
}

/* `upper`: the upper byte is what is wanted, and reading it has effects. */
static uint16_t read_register(struct gus *s, bool upper)
{
    uint8_t value = 0;

    switch (s->select) {
    case DMA_CONTROL:
        value = (uint8_t)((s->dma_control & ~DMA_WORDS) | (s->dma_ended ? DMA_WORDS : 0));
        if (upper) {
            s->dma_ended = false;
            s->pending &= (uint8_t)~IRQ_DMA;
            update_irq(s);
        }
        break;
    case DMA_ADDRESS:
        return s->dma_address;
    case TIMER_CONTROL:
        value = s->timer_control;
        break;
    case RESET:
        value = s->reset;
        break;
    case SOURCE:
        value = upper ? source(s) : 0;
        break;
    default:
        return s->select >= 0x80 && s->select <= (0x80 | ACTIVE) ? read_voice(s) : 0;
    }
    return (uint16_t)(value << 8);
}

/* ---- ports ---- */

static uint64_t base_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct gus *s = opaque;

    (void)size;
    return addr == IRQ_STATUS ? irq_status(s) : addr == TIMER_INDEX ? s->timer_status : 0xff;
}

static void base_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct gus *s = opaque;

    (void)size;
    if (addr == MIX) {
        s->mix = (uint8_t)value;
        update_irq(s);
    } else if (addr == TIMER_INDEX) {
        s->timer_index = (uint8_t)value;
    } else if (addr == TIMER_DATA) {
        timer_data(s, (uint8_t)value);
    }
}

static uint64_t gf1_read(void *opaque, uint64_t addr, unsigned size)
{
    struct gus *s = opaque;

    (void)size;
    if (addr <= HIGH && addr >= SELECT && s->select & 0x80 && !gf1_is_still(&s->voice[s->page]))
        audio->voice_sync(s->out);
    switch (addr) {
    case MIDI_STATUS: return 0;
    case PAGE: return s->page;
    case SELECT: return s->select;
    case LOW: return read_register(s, false) & 0xff;
    case HIGH: return read_register(s, true) >> 8;
    case DRAM: return s->memory[s->dram];
    default: return 0xff;
    }
}

static void gf1_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct gus *s = opaque;
    uint8_t byte = (uint8_t)value;

    (void)size;
    switch (addr) {
    case PAGE: s->page = byte % GF1_VOICES; break;
    case SELECT: s->select = byte; break;
    case LOW: s->low = byte; break;
    case HIGH: /* which makes it count */
        write_register(s, (uint16_t)(s->low | byte << 8));
        break;
    case DRAM: s->memory[s->dram] = byte; break;
    default: break;
    }
}

static const struct bp_region_ops base_ops = {
    .size = sizeof(base_ops), .read = base_read, .write = base_write, .max_access = 1};
static const struct bp_region_ops gf1_ops = {
    .size = sizeof(gf1_ops), .read = gf1_read, .write = gf1_write, .max_access = 1};

/* ---- life ---- */

int gus_open(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_voice_ops ops = {.size = sizeof(ops), .process = process};
    static const struct bp_audio_format format = {44100, 2, BP_SAMPLE_S16, {0}};
    struct gus *s = bp_device_state(dev);
    int r;

    s->timer[0] = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_1_over, s);
    s->timer[1] = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_2_over, s);
    r = isa->irq(dev, s->irq_number, &s->irq, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, 16, "gus", &base_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)(s->iobase + 0x100), 8, "gus-gf1", &gf1_ops, s, NULL, err);
    if (r == 0)
        r = dma->claim(dev, s->channel, ready, s, err);
    if (r == 0)
        r = audio->voice_new(bp_device_object(dev), s->audiodev, false, "gus", &format, &ops, s, &s->out, err);
    return r;
}

void gus_close(struct bp_device *dev)
{
    struct gus *s = bp_device_state(dev);

    audio->voice_free(s->out);
    s->out = NULL;
    dma->release(dev, s->channel);
}

void gus_power_on(struct gus *s)
{
    s->mix = s->page = s->select = s->low = s->reset = 0;
    s->timer_count[0] = s->timer_count[1] = 0;
    s->dma_address = 0;
    s->dram = 0;
    reset_gf1(s);
    s->timer_index = 4;
    timer_data(s, 0);
    s->timer_index = 0;
    update_irq(s);
}

void gus_loaded(struct gus *s)
{
    uint8_t started = s->timer_start, index = s->timer_index;

    s->timer_index = 4;
    timer_data(s, 0);
    timer_data(s, started & 0x7f);
    s->timer_index = index;
    dma->request(bp_device_of_state(s), s->channel, s->dma_control & DMA_ON);
    follow(s);
}
