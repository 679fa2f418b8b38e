/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cs4231a: Crystal's CS4231A codec on the ISA bus (data sheet of the CS4231A, and of the Windows Sound System that it
 * comes from): it plays and, with a single DMA channel for both (SDC), records. Left out: ADPCM, programmed I/O, the
 * timer, the analogue mixer but for the DACs' volumes.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include <bp/bus/isa.h>
#include <bp/chip/i8237.h>
#include <bp/host/audio.h>
#include <bp/log.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(dma, struct bp_i8237_interface, "i8237", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

enum { INDEX, DATA, STATUS, PIO, PORTS };
enum { /* indirect registers */
    ADC_LEFT = 0, DAC_LEFT = 6, DAC_RIGHT = 7, FORMAT = 8, INTERFACE = 9, PIN = 10, ERRORS = 11, MODE_ID = 12,
    PLAY_UPPER = 14, PLAY_LOWER = 15, FEATURE_1 = 16, FEATURE_STATUS = 24, VERSION = 25, CAPTURE_FORMAT = 28,
    CAPTURE_UPPER = 30, CAPTURE_LOWER = 31, REGISTERS = 32,
};
#define INDEX_MCE 0x40u     /* formats may be changed */
#define INDEX_TRD 0x20u     /* no transfers while an interrupt is pending */
#define STATUS_INT 0x01u
#define STATUS_READY 0x22u  /* programmed I/O would be possible, both ways */
#define INTERFACE_PLAY 0x01u
#define INTERFACE_CAPTURE 0x02u
#define INTERFACE_SINGLE 0x04u
#define PIN_INTERRUPTS 0x02u
#define MODE_2 0x40u
#define ID 0x8au
#define FEATURE_PLAYED 0x10u
#define FEATURE_CAPTURED 0x20u
#define MUTE 0x80u
#define STEREO 0x10u
#define PIECE 2048u /* frames of both sides are no more bytes than twice that */

enum coding { LINEAR_8 = 0, MU_LAW = 1, LINEAR_16 = 2, A_LAW = 3, BIG_ENDIAN_16 = 6 }; /* bits 7 to 5 of a format */

struct cs4231a {
    struct bp_object *audiodev;
    uint32_t iobase, irq_number, channel;
    struct bp_irq *irq;
    struct bp_voice *out, *in;
    uint8_t index, status, reg[REGISTERS];
    uint32_t left; /* sample periods until the next interrupt, less 1 */
};

/* ---- registers that say what is done ---- */

static bool mode_2(const struct cs4231a *s)
{
    return s->reg[MODE_ID] & MODE_2;
}

static bool plays(const struct cs4231a *s)
{
    return s->reg[INTERFACE] & INTERFACE_PLAY;
}

/* With one channel playing comes first. */
static bool records(const struct cs4231a *s)
{
    return s->reg[INTERFACE] & INTERFACE_CAPTURE && s->reg[INTERFACE] & INTERFACE_SINGLE && !plays(s);
}

static uint8_t format_of(const struct cs4231a *s)
{
    return records(s) && mode_2(s) ? s->reg[CAPTURE_FORMAT] : s->reg[FORMAT];
}

/* Voices have 16 bits; the rate is always that of I8. */
static struct bp_audio_format voice_format(const struct cs4231a *s)
{
    static const uint32_t rates[2][8] = {{8000, 16000, 27429, 32000, 0, 0, 48000, 9600},
                                         {5513, 11025, 18900, 22050, 37800, 44100, 33075, 6615}};
    uint32_t rate = rates[s->reg[FORMAT] & 1][s->reg[FORMAT] >> 1 & 7];

    return (struct bp_audio_format){rate ? rate : 8000, format_of(s) & STEREO ? 2 : 1, BP_SAMPLE_S16, {0}};
}

static uint32_t base_count(const struct cs4231a *s)
{
    unsigned upper = records(s) && mode_2(s) ? CAPTURE_UPPER : PLAY_UPPER;

    return (uint32_t)s->reg[upper] << 8 | s->reg[upper + 1];
}

static void update_irq(struct cs4231a *s)
{
    bp_irq_set(s->irq, s->status & STATUS_INT && s->reg[PIN] & PIN_INTERRUPTS);
}

static void follow(struct cs4231a *s)
{
    struct bp_audio_format format = voice_format(s);
    struct bp_voice *voice = plays(s) ? s->out : s->in;
    bool on = plays(s) || records(s);
    struct bp_error err = {0};

    if (on && audio->voice_set_format(voice, &format, &err) < 0) {
        bp_warn("cs4231a: %s", err.message);
        on = false;
    }
    audio->voice_set_active(s->out, on && voice == s->out);
    audio->voice_set_active(s->in, on && voice == s->in);
}

static void tune(struct cs4231a *s)
{
    float side[2];

    for (unsigned i = 0; i < 2; i++) {
        uint8_t v = s->reg[DAC_LEFT + i];

        side[i] = v & MUTE ? 0 : powf(10.0f, -1.5f * (float)(v & 0x3f) / 20.0f);
    }
    audio->voice_set_volume(s->out, false, side[0], side[1]);
}

/* ---- samples (G.711 for the laws) ---- */

static int16_t from_mu_law(uint8_t v)
{
    int value;

    v = (uint8_t)~v;
    value = (((v & 15) << 3) + 0x84) << (v >> 4 & 7);
    return (int16_t)(v & 0x80 ? 0x84 - value : value - 0x84);
}

static int16_t from_a_law(uint8_t v)
{
    int segment, value;

    v ^= 0x55;
    segment = v >> 4 & 7;
    value = ((v & 15) << 4) + 8;
    if (segment)
        value = (value + 0x100) << (segment - 1);
    return (int16_t)(v & 0x80 ? value : -value);
}

/* By the nearest of all values: recording that is not done often. */
static uint8_t to_law(int16_t sample, int16_t (*from)(uint8_t))
{
    uint8_t best = 0;
    int least = INT32_MAX;

    for (unsigned v = 0; v < 256; v++) {
        int off = from((uint8_t)v) - sample;

        off = off < 0 ? -off : off;
        if (off < least) {
            least = off;
            best = (uint8_t)v;
        }
    }
    return best;
}

static unsigned sample_bytes(uint8_t format)
{
    return format >> 5 == LINEAR_16 || format >> 5 == BIG_ENDIAN_16 ? 2 : 1;
}

static int16_t decode(const uint8_t *p, uint8_t format)
{
    switch (format >> 5) {
    case LINEAR_8:
        return (int16_t)((p[0] - 128) * 256);
    case MU_LAW:
        return from_mu_law(p[0]);
    case LINEAR_16:
        return (int16_t)(p[0] | p[1] << 8);
    case A_LAW:
        return from_a_law(p[0]);
    case BIG_ENDIAN_16:
        return (int16_t)(p[1] | p[0] << 8);
    default: /* ADPCM */
        return 0;
    }
}

static void encode(uint8_t *p, uint8_t format, int16_t sample)
{
    uint8_t low = (uint8_t)sample, high = (uint8_t)(sample >> 8);

    switch (format >> 5) {
    case LINEAR_8:
        p[0] = (uint8_t)(high ^ 0x80);
        break;
    case MU_LAW:
        p[0] = to_law(sample, from_mu_law);
        break;
    case LINEAR_16:
        p[0] = low, p[1] = high;
        break;
    case A_LAW:
        p[0] = to_law(sample, from_a_law);
        break;
    case BIG_ENDIAN_16:
        p[0] = high, p[1] = low;
        break;
    default:
        p[0] = 0;
        break;
    }
}

/* ---- transfers ---- */

/* Sample periods have passed: the counter goes below 0 and begins again. */
static void count(struct cs4231a *s, uint32_t frames)
{
    while (frames > s->left) {
        frames -= s->left + 1;
        s->left = base_count(s);
        s->reg[FEATURE_STATUS] |= records(s) ? FEATURE_CAPTURED : FEATURE_PLAYED;
        s->status |= STATUS_INT;
    }
    s->left -= frames;
    update_irq(s);
}

/* Up to so many frames between the guest's buffer and `samples`; returns how many. */
static uint32_t move(struct cs4231a *s, int16_t *samples, uint32_t frames, unsigned channels)
{
    struct bp_device *dev = bp_device_of_state(s);
    uint8_t bytes[4 * PIECE], format = format_of(s);
    uint32_t unit = channels * sample_bytes(format), n = frames * channels;
    bool last;

    for (uint32_t i = 0; records(s) && i < n; i++)
        encode(bytes + i * sample_bytes(format), format, samples[i]);
    dma->request(dev, s->channel, true);
    frames = (uint32_t)(dma->move(dev, s->channel, records(s), bytes, (size_t)frames * unit, &last) / unit);
    dma->request(dev, s->channel, false);
    for (uint32_t i = 0; plays(s) && i < frames * channels; i++)
        samples[i] = decode(bytes + i * sample_bytes(format), format);
    return frames;
}

static void process(struct cs4231a *s, struct bp_voice *voice, uint32_t frames)
{
    unsigned channels = format_of(s) & STEREO ? 2 : 1;

    while (frames && (plays(s) || records(s)) && !(s->index & INDEX_TRD && s->status & STATUS_INT)) {
        int16_t samples[2 * PIECE];
        uint32_t n = frames < PIECE ? frames : PIECE, got;

        if (n > s->left + 1) /* up to the interrupt */
            n = s->left + 1;
        if (records(s))
            n = audio->voice_read(voice, samples, n);
        got = n ? move(s, samples, n, channels) : 0;
        if (!got)
            break; /* nothing there, or masked: it waits */
        if (plays(s))
            audio->voice_write(voice, samples, got);
        count(s, got);
        frames -= got;
    }
}

static void process_out(void *opaque, uint32_t frames)
{
    struct cs4231a *s = opaque;

    process(s, s->out, frames);
}

static void process_in(void *opaque, uint32_t frames)
{
    struct cs4231a *s = opaque;

    process(s, s->in, frames);
}

/* The controller would call while the request is up: it never is between two moves. */
static void ready(void *opaque)
{
    struct cs4231a *s = opaque;

    dma->request(bp_device_of_state(s), s->channel, false);
}

/* ---- ports ---- */

static void set_interface(struct cs4231a *s, uint8_t value)
{
    uint8_t may = INTERFACE_PLAY | INTERFACE_CAPTURE, old = s->reg[INTERFACE];

    if (s->index & INDEX_MCE)
        may = 0xdf;
    s->reg[INTERFACE] = (uint8_t)((old & ~may) | (value & may));
    if (s->reg[INTERFACE] & ~old & (INTERFACE_PLAY | INTERFACE_CAPTURE))
        s->left = base_count(s);
    follow(s);
}

static void write_register(struct cs4231a *s, unsigned n, uint8_t value)
{
    switch (n) {
    case ERRORS:
    case VERSION:
        return;
    case MODE_ID:
        s->reg[n] = (uint8_t)(ID | (value & MODE_2));
        return;
    case INTERFACE:
        set_interface(s, value);
        return;
    case FORMAT:
    case CAPTURE_FORMAT:
        if (!(s->index & INDEX_MCE))
            return;
        if ((value >> 5 & 7) == 5)
            bp_guest_error("cs4231a-adpcm", "cs4231a: ADPCM is not had");
        s->reg[n] = n == FORMAT ? value : value & 0xf0;
        follow(s);
        return;
    case FEATURE_STATUS: /* what is written 0 is acknowledged */
        s->reg[n] &= value;
        if (!(s->reg[n] & (FEATURE_PLAYED | FEATURE_CAPTURED)))
            s->status &= (uint8_t)~STATUS_INT;
        break;
    default:
        s->reg[n] = value;
        break;
    }
    if (n == DAC_LEFT || n == DAC_RIGHT)
        tune(s);
    if (n == PLAY_UPPER || n == CAPTURE_UPPER) /* the counter is loaded with the upper byte */
        s->left = base_count(s);
    update_irq(s);
}

static unsigned selected(const struct cs4231a *s)
{
    return s->index & (mode_2(s) ? 31 : 15);
}

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct cs4231a *s = opaque;

    (void)size;
    switch (addr) {
    case INDEX:
        return s->index;
    case DATA:
        return s->reg[selected(s)];
    case STATUS:
        return s->status | STATUS_READY;
    default:
        return 0xff;
    }
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct cs4231a *s = opaque;

    (void)size;
    switch (addr) {
    case INDEX:
        s->index = value & 0x7f;
        break;
    case DATA:
        write_register(s, selected(s), (uint8_t)value);
        break;
    case STATUS: /* whatever is written */
        s->status &= (uint8_t)~STATUS_INT;
        s->reg[FEATURE_STATUS] &= (uint8_t)~(FEATURE_PLAYED | FEATURE_CAPTURED);
        update_irq(s);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = port_read, .write = port_write, .max_access = 1};

/* ---- the device ---- */

static void cs4231a_detach(struct bp_device *dev)
{
    struct cs4231a *s = bp_device_state(dev);

    audio->voice_free(s->out);
    audio->voice_free(s->in);
    s->out = s->in = NULL;
    dma->release(dev, s->channel);
}

static int cs4231a_attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_voice_ops out_ops = {.size = sizeof(out_ops), .process = process_out},
                                     in_ops = {.size = sizeof(in_ops), .process = process_in};
    static const struct bp_audio_format format = {8000, 1, BP_SAMPLE_S16, {0}};
    struct cs4231a *s = bp_device_state(dev);
    struct bp_object *obj = bp_device_object(dev);
    int r;

    if (s->iobase > 0xfffc || s->irq_number > 15 || s->channel > 3)
        return bp_fail(err, EINVAL, "cs4231a: iobase is a port up to 0xfffc, irq one of 0 to 15, dma one of 0 to 3");
    r = isa->irq(dev, s->irq_number, &s->irq, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, PORTS, "cs4231a", &ops, s, NULL, err);
    if (r == 0)
        r = dma->claim(dev, s->channel, ready, s, err);
    if (r == 0)
        r = audio->voice_new(obj, s->audiodev, false, "cs4231a.out", &format, &out_ops, s, &s->out, err);
    if (r == 0)
        r = audio->voice_new(obj, s->audiodev, true, "cs4231a.in", &format, &in_ops, s, &s->in, err);
    if (r < 0)
        cs4231a_detach(dev);
    return r;
}

static void cs4231a_reset(struct bp_device *dev)
{
    static const uint8_t initial[REGISTERS] = {
        [2] = 0x88, [3] = 0x88, [4] = 0x88, [5] = 0x88, [DAC_LEFT] = 0x80, [DAC_RIGHT] = 0x80, [INTERFACE] = 0x08,
        [MODE_ID] = ID, [18] = 0x88, [19] = 0x88, [VERSION] = 0xa0, [26] = 0xc0};
    struct cs4231a *s = bp_device_state(dev);

    memcpy(s->reg, initial, sizeof(s->reg));
    s->index = INDEX_MCE;
    s->status = 0;
    s->left = 0;
    tune(s);
    follow(s);
    update_irq(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version, (void)err;
    tune(state);
    follow(state);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct cs4231a, index), BP_SAVE_RANGE(UINT8, struct cs4231a, status, 0, 1),
    BP_SAVE_BUFFER(struct cs4231a, reg), BP_SAVE_RANGE(UINT32, struct cs4231a, left, 0, 65535), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct cs4231a, audiodev, "where it is heard; none: the default one"),
    BP_PROP("iobase", UINT32, struct cs4231a, iobase, "0x534", "first I/O port"),
    BP_PROP("irq", UINT32, struct cs4231a, irq_number, "9", "ISA interrupt"),
    BP_PROP("dma", UINT32, struct cs4231a, channel, "3", "DMA channel"), BP_FIELDS_END};
BP_DEVICE(cs4231a, "cs4231a", "isa", "Crystal CS4231A", struct cs4231a, props, &table, .category = "sound",
          .attach = cs4231a_attach, .detach = cs4231a_detach, .reset = cs4231a_reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(isa, "isa", 1, 1), BP_IMPORT(dma, "i8237", 1),
                                           BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("hw-cs4231a", "Crystal CS4231A sound card", imports, {BP_PROVIDE_DEVICE, &cs4231a});
