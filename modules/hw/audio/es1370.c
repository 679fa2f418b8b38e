/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ES1370: ENSONIQ's AudioPCI (data sheet of the ES1370), with an AK4531 behind it. Two DACs and an ADC, each with a
 * buffer in guest memory that it goes round and a count of samples after which it interrupts. Left out: the
 * AK4531's volumes, and the joystick port and the UART, which read as nothing.
 */
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/host/audio.h>
#include <bp/log.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

enum { DAC1, DAC2, ADC, CHANNELS };
enum { /* registers */
    CONTROL = 0x00, STATUS = 0x04, UART = 0x08, PAGE = 0x0c, CODEC = 0x10, SERIAL = 0x20, COUNT = 0x24, FRAMES = 0x30,
    ES_SIZE = 0x40,
};
#define CONTROL_CODEC_ON 0x002u
#define CONTROL_ADC 0x010u
#define CONTROL_DAC2 0x020u
#define CONTROL_DAC1 0x040u
#define CONTROL_RATE1_SHIFT 12u /* of DAC1: 5512 Hz, doubled so many times */
#define CONTROL_DIVIDER_SHIFT 16u
#define STATUS_INTERRUPT 0x80000000u
#define SERIAL_STEREO 1u /* two bits for each channel, from bit 0 on */
#define SERIAL_WORDS 2u
#define SERIAL_INTERRUPT 0x100u /* of DAC1; the next bits: DAC2, ADC */
#define SERIAL_PAUSE 0x800u     /* of DAC1; the next bit: DAC2 */
#define SERIAL_STOP 0x2000u     /* of DAC1, ...: after the count has run out */
#define SERIAL_BITS 0x003fffffu
#define CLOCK 1411200u
#define PAGE_DACS 0xcu
#define PAGE_ADC 0xdu
#define PIECE 2048u /* bytes */

struct channel {
    uint32_t address;     /* of its buffer */
    uint16_t size, at;    /* longwords - 1; the current one */
    uint16_t count, left; /* samples - 1 */
    uint8_t within;       /* bytes of the current longword that are gone */
    bool ended;           /* stopped by its count */
};

struct es1370 {
    struct bp_object *audiodev;
    struct bp_voice *voice[CHANNELS];
    struct channel channel[CHANNELS];
    uint32_t control, serial;
    uint8_t page, pending, codec[256]; /* `pending`: interrupts, a bit for each channel */
};

static const uint32_t enable[CHANNELS] = {CONTROL_DAC1, CONTROL_DAC2, CONTROL_ADC};

static void update_irq(struct es1370 *s)
{
    pci->set_irq(bp_device_of_state(s), s->pending != 0);
}

static struct bp_audio_format format_of(const struct es1370 *s, unsigned n)
{
    uint32_t bits = s->serial >> 2 * n, divider = s->control >> CONTROL_DIVIDER_SHIFT & 0x1fff;
    uint32_t rate = n == DAC1 ? 5512u << (s->control >> CONTROL_RATE1_SHIFT & 3) : CLOCK / (divider + 2);

    if (n == DAC1 && rate > 5512)
        rate = 11025u << ((s->control >> CONTROL_RATE1_SHIFT & 3) - 1);
    rate = rate < BP_AUDIO_RATE_MIN ? BP_AUDIO_RATE_MIN : rate > BP_AUDIO_RATE_MAX ? BP_AUDIO_RATE_MAX : rate;
    return (struct bp_audio_format){rate, bits & SERIAL_STEREO ? 2 : 1,
                                    bits & SERIAL_WORDS ? BP_SAMPLE_S16 : BP_SAMPLE_U8, {0}};
}

static bool moves(const struct es1370 *s, unsigned n)
{
    return s->control & enable[n] && !s->channel[n].ended && !(n != ADC && s->serial & SERIAL_PAUSE << n);
}

/* After control registers changed. */
static void follow(struct es1370 *s)
{
    for (unsigned n = 0; n < CHANNELS; n++) {
        struct bp_audio_format format = format_of(s, n);
        struct bp_error err = {0};

        bool on = moves(s, n);

        if (on && audio->voice_set_format(s->voice[n], &format, &err) < 0) {
            bp_warn("ES1370: %s", err.message);
            on = false; /* the voice has another format than the channel */
        }
        audio->voice_set_active(s->voice[n], on);
    }
}

/* `bytes` of the buffer have moved: whole frames. */
static void advance(struct es1370 *s, unsigned n, uint32_t bytes, uint32_t samples)
{
    struct channel *c = &s->channel[n];
    uint32_t longs = (c->within + bytes) / 4;

    c->within = (uint8_t)((c->within + bytes) % 4);
    c->at = (uint16_t)((c->at + longs) % (c->size + 1u));
    while (samples > c->left) {
        samples -= c->left + 1u;
        c->left = c->count;
        if (s->serial & SERIAL_INTERRUPT << n)
            s->pending |= (uint8_t)(1u << n);
        if (s->serial & SERIAL_STOP << n) {
            c->ended = true;
            return;
        }
    }
    c->left = (uint16_t)(c->left - samples);
}

static void process(struct es1370 *s, unsigned n, uint32_t frames)
{
    struct bp_audio_format f = format_of(s, n);
    uint32_t frame = bp_audio_frame_bytes(&f);
    struct bp_device *dev = bp_device_of_state(s);
    struct channel *c = &s->channel[n];

    while (frames && moves(s, n)) {
        uint32_t to_end = (c->size + 1u - c->at) * 4u - c->within, most = to_end < PIECE ? to_end : PIECE;
        uint64_t at = c->address + 4u * c->at + c->within;
        uint32_t got = frames < most / frame ? frames : most / frame;
        uint8_t bytes[PIECE];

        if (got > c->left + 1u)
            got = c->left + 1u;
        if (!got)
            break;
        memset(bytes, 0, sizeof(bytes));
        if (n == ADC) {
            got = audio->voice_read(s->voice[n], bytes, got);
            pci->dma_write(dev, at, bytes, got * frame);
        } else {
            pci->dma_read(dev, at, bytes, got * frame);
            got = audio->voice_write(s->voice[n], bytes, got);
        }
        if (!got)
            break;
        advance(s, n, got * frame, got);
        frames -= got;
    }
    if (!moves(s, n))
        audio->voice_set_active(s->voice[n], false);
    update_irq(s);
}

static void process_dac1(void *opaque, uint32_t frames)
{
    process(opaque, DAC1, frames);
}

static void process_dac2(void *opaque, uint32_t frames)
{
    process(opaque, DAC2, frames);
}

static void process_adc(void *opaque, uint32_t frames)
{
    process(opaque, ADC, frames);
}

/* ---- registers ---- */

/* The paged registers at 0x30 to 0x3f: which channel, and whether it is its size. */
static struct channel *paged(struct es1370 *s, unsigned reg, bool *ret_size)
{
    *ret_size = reg & 4;
    if (s->page == PAGE_DACS)
        return &s->channel[reg >= FRAMES + 8 ? DAC2 : DAC1];
    return s->page == PAGE_ADC && reg < FRAMES + 8 ? &s->channel[ADC] : NULL;
}

static uint32_t word_at(struct es1370 *s, unsigned reg)
{
    struct channel *c;
    bool is_size;

    switch (reg) {
    case CONTROL:
        return s->control;
    case STATUS: /* DAC1 is bit 2, DAC2 1, ADC 0 */
        return (s->pending ? STATUS_INTERRUPT : 0) | (s->pending & 1u) << 2 | (s->pending & 2u) |
               (s->pending >> 2 & 1u);
    case PAGE:
        return s->page;
    case SERIAL:
        return s->serial;
    case COUNT:
    case COUNT + 4:
    case COUNT + 8:
        c = &s->channel[(reg - COUNT) / 4];
        return c->count | (uint32_t)c->left << 16;
    default:
        c = reg >= FRAMES ? paged(s, reg, &is_size) : NULL;
        return !c ? 0 : is_size ? c->size | (uint32_t)c->at << 16 : c->address;
    }
}

static uint64_t es1370_read(void *opaque, uint64_t addr, unsigned size)
{
    struct es1370 *s = opaque;
    uint32_t value;

    for (unsigned n = 0; addr >= COUNT && n < CHANNELS; n++) {
        if (moves(s, n))
            audio->voice_sync(s->voice[n]);
    }
    value = word_at(s, (unsigned)addr & ~3u) >> 8 * (addr & 3);
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void write_serial(struct es1370 *s, uint32_t value)
{
    for (unsigned n = 0; n < CHANNELS; n++) {
        if (!(value & SERIAL_INTERRUPT << n)) /* switching it off is how it is acknowledged */
            s->pending &= (uint8_t)~(1u << n);
        if (!(value & SERIAL_STOP << n))
            s->channel[n].ended = false;
    }
    s->serial = value & SERIAL_BITS;
    follow(s);
}

static void write_control(struct es1370 *s, uint32_t value)
{
    uint32_t started = value & ~s->control;

    for (unsigned n = 0; n < CHANNELS; n++) {
        if (!(started & enable[n]))
            continue;
        s->channel[n].left = s->channel[n].count;
        s->channel[n].ended = false;
        s->channel[n].within = 0;
    }
    s->control = value;
    follow(s);
}

static void write_word(struct es1370 *s, unsigned reg, uint32_t value)
{
    struct channel *c;
    bool is_size;

    switch (reg) {
    case CONTROL:
        write_control(s, value);
        break;
    case PAGE:
        s->page = value & 0xf;
        break;
    case CODEC: /* register and value, to the codec */
        s->codec[value >> 8 & 0xff] = (uint8_t)value;
        break;
    case SERIAL:
        write_serial(s, value);
        break;
    case COUNT:
    case COUNT + 4:
    case COUNT + 8:
        c = &s->channel[(reg - COUNT) / 4];
        c->count = c->left = (uint16_t)value;
        break;
    default:
        c = reg >= FRAMES ? paged(s, reg, &is_size) : NULL;
        if (c && is_size) {
            c->size = (uint16_t)value;
            c->at = (uint16_t)((value >> 16) % (c->size + 1u));
        } else if (c) {
            c->address = value;
        }
        break;
    }
}

static void es1370_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct es1370 *s = opaque;
    unsigned reg = (unsigned)addr & ~3u, shift = 8 * (addr & 3);
    uint32_t mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;

    /* What has not all of it written keeps the rest; the codec's register is a command. */
    if (reg == CODEC || reg == STATUS)
        write_word(s, reg, (uint32_t)value);
    else
        write_word(s, reg, (word_at(s, reg) & ~(mask << shift)) | ((uint32_t)value & mask) << shift);
    update_irq(s);
}

static const struct bp_region_ops es1370_ops = {.size = sizeof(es1370_ops), .read = es1370_read, .write = es1370_write};

/* ---- the device ---- */

static void es1370_detach(struct bp_device *dev)
{
    struct es1370 *s = bp_device_state(dev);

    for (unsigned n = 0; n < CHANNELS; n++) {
        audio->voice_free(s->voice[n]);
        s->voice[n] = NULL;
    }
}

static int es1370_attach(struct bp_device *dev, struct bp_error *err)
{
    static const char *const names[CHANNELS] = {"es1370.dac1", "es1370.dac2", "es1370.adc"};
    static const struct bp_voice_ops ops[CHANNELS] = {
        {.size = sizeof(struct bp_voice_ops), .process = process_dac1},
        {.size = sizeof(struct bp_voice_ops), .process = process_dac2},
        {.size = sizeof(struct bp_voice_ops), .process = process_adc}};
    struct es1370 *s = bp_device_state(dev);
    int r = 0;

    for (unsigned n = 0; n < CHANNELS && r == 0; n++) {
        struct bp_audio_format format = {44100, 2, BP_SAMPLE_S16, {0}};

        r = audio->voice_new(bp_device_object(dev), s->audiodev, n == ADC, names[n], &format, &ops[n], s,
                             &s->voice[n], err);
    }
    if (r < 0)
        es1370_detach(dev);
    return r;
}

static void es1370_reset(struct bp_device *dev)
{
    struct es1370 *s = bp_device_state(dev);

    memset(s->channel, 0, sizeof(s->channel));
    memset(s->codec, 0, sizeof(s->codec));
    s->control = 1;
    s->serial = 0;
    s->page = s->pending = 0;
    follow(s);
    update_irq(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    (void)err;
    follow(state);
    return 0;
}

static const struct bp_state_field channel_fields[] = {
    BP_SAVE(UINT32, struct channel, address), BP_SAVE(UINT16, struct channel, size),
    BP_SAVE(UINT16, struct channel, at), BP_SAVE(UINT16, struct channel, count),
    BP_SAVE(UINT16, struct channel, left), BP_SAVE_RANGE(UINT8, struct channel, within, 0, 3),
    BP_SAVE(BOOL, struct channel, ended), BP_SAVE_END};
static const struct bp_state_table channel_state = {
    .name = "es1370-channel", .version = 1, .oldest = 1, .fields = channel_fields};
static const struct bp_state_field es1370_fields[] = {
    BP_SAVE_STRUCTS(struct es1370, channel, &channel_state), BP_SAVE(UINT32, struct es1370, control),
    BP_SAVE(UINT32, struct es1370, serial), BP_SAVE_RANGE(UINT8, struct es1370, page, 0, 15),
    BP_SAVE_RANGE(UINT8, struct es1370, pending, 0, 7), BP_SAVE_BUFFER(struct es1370, codec), BP_SAVE_END};
static const struct bp_state_table es1370_state = {
    .version = 1, .oldest = 1, .fields = es1370_fields, .after_load = after_load};

static const struct bp_field es1370_props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct es1370, audiodev, "where it is heard; none: the default one"),
    BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1274, .device = 0x5000, .subsystem_vendor = 0x4942, .subsystem = 0x4c4c,
    .class_code = 0x0401, .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_IO, .size = ES_SIZE, .name = "es1370", .ops = &es1370_ops}}};

BP_HOTPLUG_DEVICE(es1370, "ES1370", "pci", "ENSONIQ AudioPCI", struct es1370, es1370_props, &es1370_state,
                  .category = "sound", .bus_info = &info, .attach = es1370_attach, .detach = es1370_detach,
                  .reset = es1370_reset);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), BP_IMPORT_MINOR(audio, "audio", 1, 2), {0}};
BP_MODULE("hw-es1370", "ES1370 sound card", imports, {BP_PROVIDE_DEVICE, &es1370});
