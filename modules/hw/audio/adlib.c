/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adlib: the AdLib card, Yamaha's YM3812 (OPL2) on the ISA bus (YM3812 application manual): nine channels of two
 * operators or six and five drums, four wave forms, two timers. What it plays is computed at the chip's own rate, in
 * real numbers, by what the manual says of frequencies, levels and times; drums with noise are near to it, not exact.
 * Left out: composite sine mode.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include <bp/bus/isa.h>
#include <bp/clock.h>
#include <bp/host/audio.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

enum { SLOTS = 18, CHANNELS = 9, PIECE = 512 };
enum { REG_TEST = 0x01, REG_TIMER = 0x02, REG_CONTROL = 0x04, REG_SPLIT = 0x08, REG_MULTIPLE = 0x20, REG_LEVEL = 0x40,
       REG_ATTACK = 0x60, REG_SUSTAIN = 0x80, REG_LOW = 0xa0, REG_KEY = 0xb0, REG_RHYTHM = 0xbd, REG_FEEDBACK = 0xc0,
       REG_WAVE = 0xe0 };
#define RATE 49716u /* 3.579545 MHz / 72 */
#define SILENT 96.0f /* dB */
#define WAVE_SELECT 0x20u
#define KEY_ON 0x20u
#define RHYTHM 0x20u
#define TREMOLO_HZ 3.7
#define VIBRATO_HZ 6.4

enum phase { OFF, RELEASE, SUSTAIN, DECAY, ATTACK };

struct slot {
    uint8_t phase; /* of its envelope */
    bool on;       /* its key is down */
    float level;   /* of the envelope, in dB below the loudest */
    double at;     /* in its wave, 0 to 1 */
    float out[2];  /* what it gave last, and before */
};

struct adlib {
    struct bp_object *audiodev;
    uint32_t iobase, freq;
    struct bp_voice *voice;
    struct bp_timer *timer[2];
    uint8_t index, status, reg[256];
    struct slot slot[SLOTS];
    double tremolo, vibrato; /* where these are, 0 to 1 */
    uint32_t noise;
};

/* ---- registers of a slot, a channel ---- */

static uint8_t of_slot(const struct adlib *s, unsigned n, unsigned reg)
{
    return s->reg[reg + n / 6 * 8 + n % 6];
}

static unsigned channel_of(unsigned n)
{
    return n / 6 * 3 + n % 3;
}

static unsigned first_slot(unsigned channel)
{
    return channel / 3 * 6 + channel % 3;
}

static unsigned block_of(const struct adlib *s, unsigned channel)
{
    return s->reg[REG_KEY + channel] >> 2 & 7;
}

static unsigned number_of(const struct adlib *s, unsigned channel)
{
    return s->reg[REG_LOW + channel] | (s->reg[REG_KEY + channel] & 3u) << 8;
}

static bool rhythm(const struct adlib *s)
{
    return s->reg[REG_RHYTHM] & RHYTHM;
}

/* ---- envelopes ---- */

/* A rate with what the key's height adds to it, 0 to 63; 0: nothing moves. */
static unsigned rate_of(const struct adlib *s, unsigned n, unsigned rate)
{
    unsigned channel = channel_of(n), number = number_of(s, channel);
    unsigned split = s->reg[REG_SPLIT] & 0x40 ? number >> 8 & 1 : number >> 9 & 1;
    unsigned key = block_of(s, channel) << 1 | split;

    if (!(of_slot(s, n, REG_MULTIPLE) & 0x10))
        key >>= 2;
    rate = rate ? 4 * rate + key : 0;
    return rate > 63 ? 63 : rate;
}

/* The manual's tables: each quarter of an octave of rate a step; rate 4 takes so many seconds for all of it. */
static float seconds(unsigned rate, float slowest)
{
    return slowest / ((float)(4 + (rate & 3)) / 4 * (float)(1u << (rate / 4 - 1)));
}

static void fall(const struct adlib *s, unsigned n, struct slot *slot, unsigned rate, float to, enum phase then)
{
    rate = rate_of(s, n, rate);
    if (rate >= 4)
        slot->level += SILENT / (seconds(rate, 39.28f) * RATE);
    if (slot->level >= to) {
        slot->level = to < SILENT ? to : SILENT;
        slot->phase = (uint8_t)then;
    }
}

static void rise(const struct adlib *s, unsigned n, struct slot *slot)
{
    unsigned rate = rate_of(s, n, of_slot(s, n, REG_ATTACK) >> 4);

    if (rate >= 60)
        slot->level = 0;
    else if (rate >= 4) /* exponential: quick at first */
        slot->level -= (slot->level + 1) * (4.6f / (seconds(rate, 2.826f) * RATE));
    if (slot->level <= 0) {
        slot->level = 0;
        slot->phase = DECAY;
    }
}

static void step_envelope(const struct adlib *s, unsigned n, struct slot *slot)
{
    uint8_t sustain = of_slot(s, n, REG_SUSTAIN), level = sustain >> 4;

    switch (slot->phase) {
    case ATTACK:
        rise(s, n, slot);
        break;
    case DECAY:
        fall(s, n, slot, of_slot(s, n, REG_ATTACK) & 15, level == 15 ? 93.0f : 3.0f * level, SUSTAIN);
        break;
    case SUSTAIN: /* only a sound of the other type stays */
        if (!(of_slot(s, n, REG_MULTIPLE) & 0x20))
            fall(s, n, slot, sustain & 15, SILENT, OFF);
        break;
    case RELEASE:
        fall(s, n, slot, sustain & 15, SILENT, OFF);
        break;
    default:
        break;
    }
}

static void key(struct slot *slot, bool on)
{
    if (on && !slot->on) {
        slot->phase = ATTACK;
        slot->at = 0;
    } else if (!on && slot->on && slot->phase != OFF) {
        slot->phase = RELEASE;
    }
    slot->on = on;
}

/* ---- waves ---- */

static float wave(unsigned form, double at)
{
    float v;

    at -= floor(at);
    v = sinf((float)(at * 2 * M_PI));
    switch (form) {
    case 1:
        return at < 0.5 ? v : 0;
    case 2:
        return fabsf(v);
    case 3:
        return fmod(at, 0.5) < 0.25 ? fabsf(v) : 0;
    default:
        return v;
    }
}

/* Attenuation that grows with the key's height: 3 dB for an octave, or half or twice that (4.5). */
static float height(const struct adlib *s, unsigned n)
{
    static const float octave[4] = {0, 3.0f, 1.5f, 6.0f};
    unsigned channel = channel_of(n), number = number_of(s, channel) >> 6;
    float octaves = number ? (float)block_of(s, channel) + log2f((float)number / 16) : 0;

    return octaves > 0 ? octaves * octave[of_slot(s, n, REG_LEVEL) >> 6] : 0;
}

static float gain(const struct adlib *s, unsigned n)
{
    float db = s->slot[n].level + 0.75f * (of_slot(s, n, REG_LEVEL) & 0x3f) + height(s, n);

    if (of_slot(s, n, REG_MULTIPLE) & 0x80)
        db += (s->reg[REG_RHYTHM] & 0x80 ? 4.8f : 1.0f) * (float)(0.5 + 0.5 * sin(s->tremolo * 2 * M_PI));
    return s->slot[n].phase == OFF || db >= SILENT ? 0 : exp2f(-db / 6.0206f);
}

static void step_wave(const struct adlib *s, unsigned n, struct slot *slot)
{
    static const float multiple[16] = {0.5f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 12, 12, 15, 15};
    uint8_t r = of_slot(s, n, REG_MULTIPLE);
    unsigned channel = channel_of(n);
    double step = ldexp(number_of(s, channel), (int)block_of(s, channel) - 20) * multiple[r & 15];

    if (r & 0x40)
        step *= exp2((s->reg[REG_RHYTHM] & 0x40 ? 14.0 : 7.0) / 1200 * sin(s->vibrato * 2 * M_PI));
    slot->at += step;
    slot->at -= floor(slot->at);
}

/* One sample; `shift`: how far another slot moves it in its wave, in periods. */
static float run_slot(struct adlib *s, unsigned n, float shift)
{
    struct slot *slot = &s->slot[n];
    unsigned form = s->reg[REG_TEST] & WAVE_SELECT ? of_slot(s, n, REG_WAVE) & 3u : 0;
    float v;

    if (slot->phase == OFF)
        return slot->out[1] = slot->out[0] = 0;
    v = gain(s, n) * wave(form, slot->at + (double)shift);
    slot->out[1] = slot->out[0];
    slot->out[0] = v;
    step_wave(s, n, slot);
    step_envelope(s, n, slot);
    return v;
}

/* A modulator at full level moves by four periods; feedback by up to 4 pi. */
static float run_channel(struct adlib *s, unsigned channel)
{
    unsigned n = first_slot(channel), back = s->reg[REG_FEEDBACK + channel] >> 1 & 7;
    const struct slot *slot = &s->slot[n];
    float shift = back ? (slot->out[0] + slot->out[1]) / 2 * exp2f((float)back - 6) : 0;
    float first = run_slot(s, n, shift);

    if (s->reg[REG_FEEDBACK + channel] & 1)
        return first + run_slot(s, n + 3, 0);
    return run_slot(s, n + 3, 4 * first);
}

/* Hi-hat, snare, tom-tom and cymbal: one slot each. */
static float run_drums(struct adlib *s)
{
    enum { HAT = 13, TOM = 14, SNARE = 16, CYMBAL = 17 };
    float noise, sum;

    s->noise = s->noise >> 1 ^ (s->noise & 1 ? 0x400181u : 0); /* 23 bits */
    noise = s->noise & 1 ? 1.0f : -1.0f;
    sum = run_slot(s, TOM, 0);
    run_slot(s, HAT, 0);
    sum += gain(s, HAT) * noise * 0.5f;
    run_slot(s, SNARE, 0);
    sum += gain(s, SNARE) * (noise + (s->slot[SNARE].at < 0.5 ? 1.0f : -1.0f)) * 0.5f;
    run_slot(s, CYMBAL, 0);
    sum += gain(s, CYMBAL) * (s->slot[CYMBAL].at * 3 - floor(s->slot[CYMBAL].at * 3) < 0.5 ? 1.0f : -1.0f) * noise;
    return sum;
}

static float sample(struct adlib *s)
{
    float sum = 0;

    s->tremolo = fmod(s->tremolo + TREMOLO_HZ / RATE, 1);
    s->vibrato = fmod(s->vibrato + VIBRATO_HZ / RATE, 1);
    for (unsigned c = 0; c < (rhythm(s) ? 6u : CHANNELS); c++)
        sum += run_channel(s, c);
    if (rhythm(s)) /* drums are twice as loud */
        sum += 2 * (run_channel(s, 6) + run_drums(s));
    return sum;
}

/* ---- the voice ---- */

static bool is_heard(const struct adlib *s)
{
    for (unsigned n = 0; n < SLOTS; n++)
        if (s->slot[n].phase != OFF)
            return true;
    return false;
}

static void process(void *opaque, uint32_t frames)
{
    struct adlib *s = opaque;

    while (frames && is_heard(s)) {
        uint32_t n = frames < PIECE ? frames : PIECE;
        int16_t samples[PIECE];

        for (uint32_t i = 0; i < n; i++) {
            float v = sample(s) * 4096; /* a channel; nine of them may clip, as they do there */

            samples[i] = (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
        }
        if (audio->voice_write(s->voice, samples, n) < n)
            break;
        frames -= n;
    }
    if (!is_heard(s))
        audio->voice_set_active(s->voice, false);
}

/* Drums: the bass drum is channel 6, the others are slots of 7 and 8. */
static void update_keys(struct adlib *s)
{
    for (unsigned c = 0; c < CHANNELS; c++) {
        bool on = s->reg[REG_KEY + c] & KEY_ON;
        uint8_t r = rhythm(s) ? s->reg[REG_RHYTHM] : 0;
        bool first = on || (c == 6 && r & 0x10) || (c == 7 && r & 0x01) || (c == 8 && r & 0x04);
        bool second = on || (c == 6 && r & 0x10) || (c == 7 && r & 0x08) || (c == 8 && r & 0x02);

        key(&s->slot[first_slot(c)], first);
        key(&s->slot[first_slot(c) + 3], second);
    }
    audio->voice_set_active(s->voice, is_heard(s));
}

/* ---- timers: of 80 and of 320 microseconds ---- */

static void start_timer(struct adlib *s, unsigned n)
{
    int64_t period = (int64_t)(256 - s->reg[REG_TIMER + n]) * (n ? 320000 : 80000);

    bp_timer_set(s->timer[n], bp_timer_now(s->timer[n]) + period);
}

static void timer_over(struct adlib *s, unsigned n)
{
    if (!(s->reg[REG_CONTROL] & 0x40u >> n)) /* it is not masked */
        s->status |= (uint8_t)(0x80u | 0x40u >> n);
    start_timer(s, n);
}

static void timer_1_over(void *opaque)
{
    timer_over(opaque, 0);
}

static void timer_2_over(void *opaque)
{
    timer_over(opaque, 1);
}

static void control_timers(struct adlib *s, uint8_t value)
{
    if (value & 0x80) { /* and nothing else */
        s->status = 0;
        return;
    }
    s->reg[REG_CONTROL] = value;
    for (unsigned n = 0; n < 2; n++) {
        if (!(value >> n & 1))
            bp_timer_cancel(s->timer[n]);
        else if (!bp_timer_pending(s->timer[n]))
            start_timer(s, n);
    }
}

/* ---- ports ---- */

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct adlib *s = opaque;

    (void)size;
    return addr & 1 ? 0xff : s->status | 0x06u; /* bits that tell it from its successor */
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct adlib *s = opaque;

    (void)size;
    if (!(addr & 1)) {
        s->index = (uint8_t)value;
        return;
    }
    if (s->index == REG_CONTROL) {
        control_timers(s, (uint8_t)value);
        return;
    }
    s->reg[s->index] = (uint8_t)value;
    if ((s->index >= REG_KEY && s->index < REG_KEY + CHANNELS) || s->index == REG_RHYTHM)
        update_keys(s);
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = port_read, .write = port_write, .max_access = 1};

/* ---- the device ---- */

static void adlib_detach(struct bp_device *dev)
{
    struct adlib *s = bp_device_state(dev);

    audio->voice_free(s->voice);
    s->voice = NULL;
}

static int adlib_attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_voice_ops voice_ops = {.size = sizeof(voice_ops), .process = process};
    static const struct bp_audio_format format = {RATE, 1, BP_SAMPLE_S16, {0}};
    struct adlib *s = bp_device_state(dev);
    int r;

    if (s->iobase > 0xfff0)
        return bp_fail(err, EINVAL, "adlib: iobase is a port up to 0xfff0");
    s->timer[0] = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_1_over, s);
    s->timer[1] = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_2_over, s);
    r = isa->add_ports(dev, 0x388, 2, "adlib", &ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, 2, "adlib-base", &ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)(s->iobase + 8), 2, "adlib-base-8", &ops, s, NULL, err);
    if (r == 0)
        r = audio->voice_new(bp_device_object(dev), s->audiodev, false, "adlib", &format, &voice_ops, s, &s->voice,
                             err);
    return r;
}

static void adlib_reset(struct bp_device *dev)
{
    struct adlib *s = bp_device_state(dev);

    memset(s->reg, 0, sizeof(s->reg));
    memset(s->slot, 0, sizeof(s->slot));
    for (unsigned n = 0; n < SLOTS; n++)
        s->slot[n].level = SILENT;
    s->index = s->status = 0;
    s->noise = 1;
    control_timers(s, 0);
    update_keys(s);
}

/* Notes that sound begin again: where a wave was is not heard. */
static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct adlib *s = state;
    uint8_t control = s->reg[REG_CONTROL];

    (void)version, (void)err;
    memset(s->slot, 0, sizeof(s->slot));
    for (unsigned n = 0; n < SLOTS; n++)
        s->slot[n].level = SILENT;
    s->noise = 1;
    control_timers(s, 0);
    control_timers(s, control & 0x7f);
    update_keys(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct adlib, index), BP_SAVE(UINT8, struct adlib, status), BP_SAVE_BUFFER(struct adlib, reg),
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct adlib, audiodev, "where it is heard; none: the default one"),
    BP_PROP("iobase", UINT32, struct adlib, iobase, "0x220", "first I/O port besides 0x388"),
    BP_PROP("freq", UINT32, struct adlib, freq, "44100", "is taken and changes nothing: the chip has its own rate"),
    BP_FIELDS_END};
BP_DEVICE(adlib, "adlib", "isa", "Yamaha YM3812 (OPL2)", struct adlib, props, &table, .category = "sound",
          .attach = adlib_attach, .detach = adlib_detach, .reset = adlib_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("hw-adlib", "AdLib sound card", imports, {BP_PROVIDE_DEVICE, &adlib});
