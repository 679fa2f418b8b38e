/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sb16: Creative's Sound Blaster 16 with DSP 4.05 (Sound Blaster Series Hardware Programming Guide): digital
 * sound out and in over the ISA bus's DMA, 8 and 16 bits, mono and stereo, single cycle and automatic. Left
 * out: FM synthesis, MIDI, ADPCM, silence between blocks.
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

enum { MIXER_INDEX = 0x4, MIXER_DATA = 0x5, RESET = 0x6, READ = 0xa, WRITE = 0xc, STATUS8 = 0xe, STATUS16 = 0xf };
enum { /* the mixer's registers, chapter 4 */
    MIX_RESET = 0x00, MIX_VOICE_OLD = 0x04, MIX_MODE_OLD = 0x0e, MIX_MASTER_OLD = 0x22, MIX_MASTER_LEFT = 0x30,
    MIX_MASTER_RIGHT = 0x31, MIX_VOICE_LEFT = 0x32, MIX_VOICE_RIGHT = 0x33, MIX_IRQ = 0x80, MIX_DMA = 0x81,
    MIX_STATUS = 0x82,
};
#define READY 0xaa /* after a reset */
#define IRQ8 1u    /* in MIX_STATUS */
#define IRQ16 2u
#define OLD_STEREO 0x02u
#define QUEUE 64u  /* bytes that wait to be read */
#define PIECE 2048u

struct sb16 {
    struct bp_object *audiodev;
    uint32_t iobase, irq_number, dma8, dma16, version;
    struct bp_irq *irq;
    struct bp_voice *out, *in;
    /* The DSP. */
    uint8_t command, parameter[3], parameters, wanted; /* `wanted`: bytes that the command still needs */
    uint8_t answer[QUEUE], answers, last, test, pending;
    bool in_reset, speaker;
    uint32_t rate, block; /* `block`: samples of an automatic transfer of old commands, less 1 */
    bool constant;        /* the rate came as a time constant: of both channels together */
    /* The transfer. */
    bool active, paused, automatic, ending, input, wide, stereo, is_signed;
    uint32_t length, left; /* samples, of one block */
    uint8_t index, mixer[256];
};

/* ---- interrupts ---- */

static void raise(struct sb16 *s, uint8_t which)
{
    s->pending |= which;
    bp_irq_set(s->irq, 1);
}

static void acknowledge(struct sb16 *s, uint8_t which)
{
    s->pending &= (uint8_t)~which;
    if (!s->pending)
        bp_irq_set(s->irq, 0);
}

/* ---- transfers ---- */

static struct bp_audio_format format_of(const struct sb16 *s)
{
    uint32_t rate = s->constant && s->stereo ? s->rate / 2 : s->rate;

    return (struct bp_audio_format){
        rate < BP_AUDIO_RATE_MIN ? BP_AUDIO_RATE_MIN : rate, s->stereo ? 2 : 1,
        s->wide ? (s->is_signed ? BP_SAMPLE_S16 : BP_SAMPLE_U16) : (s->is_signed ? BP_SAMPLE_S8 : BP_SAMPLE_U8), {0}};
}

static void run(struct sb16 *s)
{
    bool on = s->active && !s->paused;

    audio->voice_set_active(s->out, on && !s->input);
    audio->voice_set_active(s->in, on && s->input);
}

static void start(struct sb16 *s, uint32_t samples)
{
    struct bp_audio_format format;
    struct bp_error err = {0};

    s->active = true;
    s->paused = s->ending = false;
    s->length = s->left = samples;
    format = format_of(s);
    if (audio->voice_set_format(s->input ? s->in : s->out, &format, &err) < 0) {
        bp_warn("sb16: %s", err.message);
        s->active = false; /* the voice has another format than the transfer */
    }
    run(s);
}

static void block_done(struct sb16 *s)
{
    raise(s, s->wide ? IRQ16 : IRQ8);
    s->left = s->length;
    if (!s->automatic || s->ending)
        s->active = false;
}

/* Between the guest's buffer and the voice, as much as both have. */
static void process(struct sb16 *s, struct bp_voice *voice, uint32_t frames)
{
    struct bp_device *dev = bp_device_of_state(s);
    struct bp_audio_format f = format_of(s);
    uint32_t frame = bp_audio_frame_bytes(&f), channel = s->wide ? s->dma16 : s->dma8;

    while (frames && s->active && !s->paused) {
        uint32_t most = PIECE / frame, n = frames < most ? frames : most, in_block = s->left / f.channels;
        uint8_t bytes[PIECE];
        bool last;
        size_t got;

        if (n > in_block)
            n = in_block;
        if (!n) { /* an odd number of samples in stereo: the rest is none */
            block_done(s);
            if (s->length < f.channels)
                s->active = false; /* a block without a frame would never end */
            continue;
        }
        if (s->input)
            n = audio->voice_read(voice, bytes, n);
        if (!n)
            break;
        dma->request(dev, channel, true);
        got = dma->move(dev, channel, s->input, bytes, (size_t)n * frame, &last) / frame;
        dma->request(dev, channel, false);
        if (!got)
            break; /* masked: it waits */
        if (!s->input && !s->speaker && !s->wide)
            memset(bytes, s->is_signed ? 0 : 0x80, got * frame);
        if (!s->input)
            audio->voice_write(voice, bytes, (uint32_t)got);
        frames -= (uint32_t)got;
        s->left -= (uint32_t)got * f.channels;
        if (s->left < f.channels)
            block_done(s);
    }
    run(s);
}

static void process_out(void *opaque, uint32_t frames)
{
    struct sb16 *s = opaque;

    process(s, s->out, frames);
}

static void process_in(void *opaque, uint32_t frames)
{
    struct sb16 *s = opaque;

    process(s, s->in, frames);
}

/* The controller would call while the request is up: it never is between two moves. */
static void ready(void *opaque)
{
    struct sb16 *s = opaque;

    dma->request(bp_device_of_state(s), s->wide ? s->dma16 : s->dma8, false);
}

/* ---- commands (chapter 6) ---- */

static void say(struct sb16 *s, uint8_t byte)
{
    if (s->answers < QUEUE)
        s->answer[s->answers++] = byte;
}

static uint8_t parameters_of(uint8_t command)
{
    if (command >= 0xb0 && command <= 0xcf)
        return 3;
    switch (command) {
    case 0x14:
    case 0x24:
    case 0x41:
    case 0x42:
    case 0x48:
    case 0x80:
        return 2;
    case 0x10:
    case 0x40:
    case 0xe0:
    case 0xe2:
    case 0xe4:
        return 1;
    default:
        return 0;
    }
}

static uint32_t two(const struct sb16 *s, unsigned at)
{
    return s->parameter[at] | (uint32_t)s->parameter[at + 1] << 8;
}

/* The commands before those of the 16: unsigned bytes. */
static void start_old(struct sb16 *s, bool input, bool automatic, uint32_t samples)
{
    s->input = input;
    s->automatic = automatic;
    s->wide = s->is_signed = false;
    s->stereo = s->mixer[MIX_MODE_OLD] & OLD_STEREO;
    start(s, samples);
}

static void start_new(struct sb16 *s)
{
    uint8_t c = s->command, mode = s->parameter[0];

    s->wide = c < 0xc0;
    s->input = c & 0x08;
    s->automatic = c & 0x04;
    s->stereo = mode & 0x20;
    s->is_signed = mode & 0x10;
    start(s, two(s, 1) + 1);
}

static void control(struct sb16 *s)
{
    switch (s->command) {
    case 0xd0:
    case 0xd5:
        s->paused = true;
        run(s);
        break;
    case 0xd4:
    case 0xd6:
        s->paused = false;
        run(s);
        break;
    case 0xd1:
    case 0xd3:
        s->speaker = s->command == 0xd1;
        break;
    case 0xd8:
        say(s, s->speaker ? 0xff : 0);
        break;
    case 0xd9:
    case 0xda:
        s->ending = true; /* after this block */
        break;
    default:
        break;
    }
}

static void identify(struct sb16 *s)
{
    static const char copyright[] = "COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992.";

    switch (s->command) {
    case 0xe0:
        say(s, (uint8_t)~s->parameter[0]);
        break;
    case 0xe1:
        say(s, (uint8_t)(s->version >> 8));
        say(s, (uint8_t)s->version);
        break;
    case 0xe3:
        for (unsigned i = 0; i < sizeof(copyright); i++)
            say(s, (uint8_t)copyright[i]);
        break;
    case 0xe4:
        s->test = s->parameter[0];
        break;
    case 0xe8:
        say(s, s->test);
        break;
    case 0xf2:
        raise(s, IRQ8);
        break;
    case 0xf3:
        raise(s, IRQ16);
        break;
    default:
        bp_guest_error("sb16-command", "sb16: DSP command %#04x is not had", s->command);
        break;
    }
}

static void set_rate(struct sb16 *s, uint32_t rate, bool constant)
{
    s->rate = rate < 4000 ? 4000 : rate > 45454 ? 45454 : rate;
    s->constant = constant;
}

static void execute(struct sb16 *s)
{
    switch (s->command) {
    case 0x10: /* a sample at once: too short to be heard */
        break;
    case 0x20:
        say(s, 0x80);
        break;
    case 0x14:
    case 0x24:
        start_old(s, s->command == 0x24, false, two(s, 0) + 1);
        break;
    case 0x1c:
    case 0x2c:
        start_old(s, s->command == 0x2c, true, s->block + 1);
        break;
    case 0x90:
    case 0x91:
    case 0x98:
    case 0x99:
        start_old(s, s->command >= 0x98, !(s->command & 1), s->block + 1);
        break;
    case 0x40:
        set_rate(s, 1000000u / (256u - s->parameter[0]), true);
        break;
    case 0x41:
    case 0x42:
        set_rate(s, (uint32_t)s->parameter[0] << 8 | s->parameter[1], false);
        break;
    case 0x48:
        s->block = two(s, 0);
        break;
    default:
        if (s->command >= 0xb0 && s->command <= 0xcf)
            start_new(s);
        else if (s->command >= 0xd0 && s->command < 0xe0)
            control(s);
        else
            identify(s);
        break;
    }
}

static void write_command(struct sb16 *s, uint8_t byte)
{
    if (!s->wanted) {
        s->command = byte;
        s->parameters = 0;
        s->wanted = parameters_of(byte);
    } else {
        s->parameter[s->parameters++] = byte;
        s->wanted--;
    }
    if (!s->wanted)
        execute(s);
}

/* ---- the mixer ---- */

static void tune(struct sb16 *s)
{
    float side[2];

    /* 32 steps of 2 dB; the last of them is 0 dB. */
    for (unsigned i = 0; i < 2; i++)
        side[i] = powf(10.0f, (float)((s->mixer[MIX_MASTER_LEFT + i] >> 3) + (s->mixer[MIX_VOICE_LEFT + i] >> 3) - 62) *
                              2.0f / 20.0f);
    audio->voice_set_volume(s->out, false, side[0], side[1]);
}

static void reset_mixer(struct sb16 *s)
{
    memset(s->mixer, 0, sizeof(s->mixer));
    for (unsigned i = MIX_MASTER_LEFT; i <= MIX_VOICE_RIGHT; i++)
        s->mixer[i] = 31 << 3;
    s->mixer[MIX_MASTER_OLD] = s->mixer[MIX_VOICE_OLD] = 0xff;
    tune(s);
}

static uint8_t mixer_read(const struct sb16 *s)
{
    static const uint8_t lines[16] = {[2] = 1, [9] = 1, [5] = 2, [7] = 4, [10] = 8};

    switch (s->index) {
    case MIX_IRQ:
        return lines[s->irq_number & 15];
    case MIX_DMA:
        return (uint8_t)(1u << s->dma8 | 1u << s->dma16);
    case MIX_STATUS:
        return s->pending;
    default:
        return s->mixer[s->index];
    }
}

static void mixer_write(struct sb16 *s, uint8_t value)
{
    if (s->index == MIX_RESET)
        reset_mixer(s);
    else if (s->index < MIX_IRQ)
        s->mixer[s->index] = value; /* lines and channels are where they are soldered to */
    if (s->index == MIX_MASTER_OLD || s->index == MIX_VOICE_OLD) { /* four bits a side are the upper ones */
        unsigned at = s->index == MIX_MASTER_OLD ? MIX_MASTER_LEFT : MIX_VOICE_LEFT;

        s->mixer[at] = (uint8_t)((value & 0xf0) | 8);
        s->mixer[at + 1] = (uint8_t)(value << 4 | 8);
    }
    tune(s);
}

/* ---- ports ---- */

static void reset_dsp(struct sb16 *s)
{
    s->active = s->paused = s->ending = s->speaker = false;
    s->wanted = s->parameters = s->answers = 0;
    s->rate = 11025;
    s->constant = false;
    s->block = 0;
    acknowledge(s, IRQ8 | IRQ16);
    run(s);
}

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct sb16 *s = opaque;

    (void)size;
    switch (addr) {
    case MIXER_INDEX:
        return s->index;
    case MIXER_DATA:
        return mixer_read(s);
    case READ:
        if (s->answers) {
            s->last = s->answer[0];
            memmove(s->answer, s->answer + 1, --s->answers);
        }
        return s->last;
    case WRITE: /* never busy */
        return 0x7f;
    case STATUS8:
        acknowledge(s, IRQ8);
        return s->answers ? 0xff : 0x7f;
    case STATUS16:
        acknowledge(s, IRQ16);
        return 0xff;
    default:
        return 0xff;
    }
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct sb16 *s = opaque;
    uint8_t byte = (uint8_t)value;

    (void)size;
    switch (addr) {
    case MIXER_INDEX:
        s->index = byte;
        break;
    case MIXER_DATA:
        mixer_write(s, byte);
        break;
    case RESET:
        if (byte & 1) {
            s->in_reset = true;
        } else if (s->in_reset) {
            s->in_reset = false;
            reset_dsp(s);
            say(s, READY);
        }
        break;
    case WRITE:
        write_command(s, byte);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = port_read, .write = port_write, .max_access = 1};

/* ---- the device ---- */

static void sb16_detach(struct bp_device *dev)
{
    struct sb16 *s = bp_device_state(dev);

    audio->voice_free(s->out);
    audio->voice_free(s->in);
    s->out = s->in = NULL;
    dma->release(dev, s->dma8);
    dma->release(dev, s->dma16);
}

static int sb16_attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_voice_ops out_ops = {.size = sizeof(out_ops), .process = process_out},
                                     in_ops = {.size = sizeof(in_ops), .process = process_in};
    static const struct bp_audio_format format = {11025, 1, BP_SAMPLE_U8, {0}};
    struct sb16 *s = bp_device_state(dev);
    int r;

    if (s->iobase > 0xfff0 || s->irq_number > 15 || s->dma8 > 3 || s->dma16 < 5 || s->dma16 > 7)
        return bp_fail(err, EINVAL, "sb16: iobase is a port up to 0xfff0, irq one of 0 to 15, dma one of 0 to 3, dma16 "
                       "one of 5 to 7");
    r = isa->irq(dev, s->irq_number, &s->irq, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, 16, "sb16", &ops, s, NULL, err);
    if (r == 0)
        r = dma->claim(dev, s->dma8, ready, s, err);
    if (r == 0)
        r = dma->claim(dev, s->dma16, ready, s, err);
    if (r == 0)
        r = audio->voice_new(bp_device_object(dev), s->audiodev, false, "sb16.out", &format, &out_ops, s, &s->out, err);
    if (r == 0)
        r = audio->voice_new(bp_device_object(dev), s->audiodev, true, "sb16.in", &format, &in_ops, s, &s->in, err);
    if (r < 0)
        sb16_detach(dev);
    return r;
}

static void sb16_reset(struct bp_device *dev)
{
    struct sb16 *s = bp_device_state(dev);

    s->in_reset = false;
    s->last = s->test = s->index = s->command = 0;
    reset_dsp(s);
    reset_mixer(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct sb16 *s = state;
    struct bp_audio_format format = format_of(s);

    (void)version;
    if (s->parameters + s->wanted > 3)
        return bp_fail(err, EINVAL, "sb16: a command has at most three bytes");
    if (s->active && audio->voice_set_format(s->input ? s->in : s->out, &format, NULL) < 0)
        s->active = false;
    tune(s);
    run(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT8, struct sb16, command), BP_SAVE_ARRAY(UINT8, struct sb16, parameter),
    BP_SAVE_RANGE(UINT8, struct sb16, parameters, 0, 2), BP_SAVE_RANGE(UINT8, struct sb16, wanted, 0, 3),
    BP_SAVE_BUFFER(struct sb16, answer), BP_SAVE_RANGE(UINT8, struct sb16, answers, 0, QUEUE),
    BP_SAVE(UINT8, struct sb16, last), BP_SAVE(UINT8, struct sb16, test),
    BP_SAVE_RANGE(UINT8, struct sb16, pending, 0, 3),
    BP_SAVE(BOOL, struct sb16, in_reset), BP_SAVE(BOOL, struct sb16, speaker),
    BP_SAVE_RANGE(UINT32, struct sb16, rate, 4000, 45454), BP_SAVE_RANGE(UINT32, struct sb16, block, 0, 65535),
    BP_SAVE(BOOL, struct sb16, constant), BP_SAVE(BOOL, struct sb16, active), BP_SAVE(BOOL, struct sb16, paused),
    BP_SAVE(BOOL, struct sb16, automatic), BP_SAVE(BOOL, struct sb16, ending), BP_SAVE(BOOL, struct sb16, input),
    BP_SAVE(BOOL, struct sb16, wide), BP_SAVE(BOOL, struct sb16, stereo), BP_SAVE(BOOL, struct sb16, is_signed),
    BP_SAVE_RANGE(UINT32, struct sb16, length, 0, 65536), BP_SAVE_RANGE(UINT32, struct sb16, left, 0, 65536),
    BP_SAVE(UINT8, struct sb16, index), BP_SAVE_BUFFER(struct sb16, mixer), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct sb16, audiodev, "where it is heard; none: the default one"),
    BP_PROP("version", UINT32, struct sb16, version, "0x0405", "of the DSP"),
    BP_PROP("iobase", UINT32, struct sb16, iobase, "0x220", "first I/O port"),
    BP_PROP("irq", UINT32, struct sb16, irq_number, "5", "ISA interrupt"),
    BP_PROP("dma", UINT32, struct sb16, dma8, "1", "DMA channel for bytes"),
    BP_PROP("dma16", UINT32, struct sb16, dma16, "5", "DMA channel for words"), BP_FIELDS_END};
BP_DEVICE(sb16, "sb16", "isa", "Creative Sound Blaster 16", struct sb16, props, &table, .category = "sound",
          .attach = sb16_attach, .detach = sb16_detach, .reset = sb16_reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(isa, "isa", 1, 1), BP_IMPORT(dma, "i8237", 1),
                                           BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("hw-sb16", "Sound Blaster 16", imports, {BP_PROVIDE_DEVICE, &sb16});
