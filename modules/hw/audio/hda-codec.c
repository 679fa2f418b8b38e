/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Codecs for an HD Audio link (revision 1.0a, chapter 7): hda-duplex (line out, line in), hda-output (line out
 * alone), hda-micro (speaker, microphone). One function group with a converter and a pin for each direction.
 */
#include <math.h>
#include <string.h>

#include <bp/bus/hda.h>
#include <bp/host/audio.h>
#include <bp/log.h>

BP_USE(hda, struct bp_hda_interface, "hda", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

enum { /* parameters, 7.3.4 */
    P_VENDOR = 0x00, P_REVISION = 0x02, P_NODES = 0x04, P_GROUP = 0x05, P_GROUP_CAPS = 0x08, P_WIDGET = 0x09,
    P_PCM = 0x0a, P_STREAM = 0x0b, P_PIN = 0x0c, P_AMP_IN = 0x0d, P_CONNECTIONS = 0x0e, P_POWER = 0x0f,
    P_AMP_OUT = 0x12,
};
enum { NODE_ROOT, NODE_GROUP, NODE_DAC, NODE_OUT, NODE_ADC, NODE_IN, NODES };
#define WIDGET_STEREO 0x001u
#define WIDGET_AMP_IN 0x002u
#define WIDGET_AMP_OUT 0x004u
#define WIDGET_AMP_OVERRIDE 0x008u
#define WIDGET_FORMAT_OVERRIDE 0x010u
#define WIDGET_CONNECTIONS 0x100u
#define WIDGET_OUTPUT (0x0u << 20)
#define WIDGET_INPUT (0x1u << 20)
#define WIDGET_PIN (0x4u << 20)
/* 16 bits; 8 to 96 kHz (7.3.4.7). */
#define PCM_16 0x00020000u
#define PCM_RATES 0x000001ffu
/* 0 dB is the last of 75 steps of 1 dB; mutable (7.3.4.10). */
#define AMP_STEPS 74u
#define AMP_CAPS (0x80000000u | 3u << 16 | AMP_STEPS << 8 | AMP_STEPS)
#define AMP_MUTE 0x80u

struct converter {
    struct bp_voice *voice;
    uint16_t format;
    uint8_t tag, channel; /* stream, 0: none; its first channel */
    uint8_t amp[2];       /* left, right: step, AMP_MUTE */
};

struct codec {
    struct bp_object *audiodev;
    bool mixer;
    struct converter dac, adc;
    uint8_t pin_control[2]; /* of NODE_OUT and NODE_IN */
    uint8_t unsolicited[2], selected;
    uint8_t power[NODES];
    uint32_t pin_default[2], subsystem;
};

/* What differs between the three. */
struct model {
    uint32_t vendor, out_default, in_default; /* in_default 0: no input */
};

static const struct model *model_of(const struct codec *s)
{
    static const struct model duplex = {0x1af40022, 0x01014010, 0x01813021}, /* line jacks, at the back */
        output = {0x1af40012, 0x01014010, 0}, micro = {0x1af40032, 0x99170110, 0x99a30121}; /* built in */
    const char *name = bp_object_type(bp_device_object(bp_device_of_state((void *)(uintptr_t)s)));

    return !strcmp(name, "hda-output") ? &output : !strcmp(name, "hda-micro") ? &micro : &duplex;
}

/* ---- streams ---- */

/* Of a stream descriptor's and a converter's format (3.7.1); false: it is none that is played. */
static bool decode_format(uint16_t format, struct bp_audio_format *ret)
{
    static const uint8_t samples[8] = {BP_SAMPLE_U8, BP_SAMPLE_S16, BP_SAMPLE_S32, BP_SAMPLE_S32, BP_SAMPLE_S32,
                                       BP_SAMPLE_END, BP_SAMPLE_END, BP_SAMPLE_END};
    uint32_t rate = format & 0x4000 ? 44100 : 48000, times = (format >> 11 & 7) + 1, by = (format >> 8 & 7) + 1;

    *ret = (struct bp_audio_format){rate * times / by, (uint8_t)((format & 0xf) + 1), samples[format >> 4 & 7], {0}};
    return !(format & 0x8000) && times <= 4 && ret->sample != BP_SAMPLE_END && ret->channels <= 2 &&
           ret->rate >= BP_AUDIO_RATE_MIN;
}

static void tune(struct codec *s, struct converter *c, bool output)
{
    struct bp_device *dev = bp_device_of_state(s);
    struct bp_audio_format format;
    struct bp_error err = {0};
    float side[2];

    if (!c->voice)
        return;
    if (!decode_format(c->format, &format)) {
        bp_guest_error("hda-format", "HDA: format %#06x is not played", c->format);
        audio->voice_set_active(c->voice, false);
        return;
    }
    if (audio->voice_set_format(c->voice, &format, &err) < 0) {
        bp_warn("HDA: %s", err.message);
        audio->voice_set_active(c->voice, false); /* it has another format than the stream */
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        side[i] = c->amp[i] & AMP_MUTE && s->mixer ? 0 : s->mixer
                  ? powf(10.0f, ((float)(c->amp[i] & 0x7f) - (float)AMP_STEPS) / 20.0f) : 1.0f;
    audio->voice_set_volume(c->voice, false, side[0], side[1]);
    audio->voice_set_active(c->voice, c->tag && hda->running(dev, c->tag, output));
}

static void process_out(void *opaque, uint32_t frames)
{
    struct codec *s = opaque;
    struct bp_audio_format f;
    uint8_t bytes[8192];

    if (!decode_format(s->dac.format, &f))
        return;
    while (frames) {
        uint32_t frame = bp_audio_frame_bytes(&f), most = sizeof(bytes) / frame;
        uint32_t n = frames < most ? frames : most;

        n = hda->transfer(bp_device_of_state(s), s->dac.tag, true, bytes, n * frame, frame) / frame;
        if (!n || audio->voice_write(s->dac.voice, bytes, n) < n)
            break;
        frames -= n;
    }
}

static void process_in(void *opaque, uint32_t frames)
{
    struct codec *s = opaque;
    struct bp_audio_format f;
    uint8_t bytes[8192];

    if (!decode_format(s->adc.format, &f))
        return;
    while (frames) {
        uint32_t frame = bp_audio_frame_bytes(&f), most = sizeof(bytes) / frame;
        uint32_t n = audio->voice_read(s->adc.voice, bytes, frames < most ? frames : most);

        if (!n || hda->transfer(bp_device_of_state(s), s->adc.tag, false, bytes, n * frame, frame) < n * frame)
            break;
        frames -= n;
    }
}

static void stream(struct bp_device *dev, uint8_t tag, bool output, bool on)
{
    struct codec *s = bp_device_state(dev);
    struct converter *c = output ? &s->dac : &s->adc;

    (void)on; /* the controller is asked */
    if (tag == c->tag)
        tune(s, c, output);
}

/* ---- parameters ---- */

static bool has_node(const struct codec *s, unsigned node)
{
    return node < (model_of(s)->in_default ? (unsigned)NODES : (unsigned)NODE_ADC);
}

static uint32_t widget(const struct codec *s, unsigned node)
{
    switch (node) {
    case NODE_DAC:
        return WIDGET_OUTPUT | WIDGET_STEREO | WIDGET_FORMAT_OVERRIDE |
               (s->mixer ? WIDGET_AMP_OUT | WIDGET_AMP_OVERRIDE : 0);
    case NODE_ADC:
        return WIDGET_INPUT | WIDGET_STEREO | WIDGET_FORMAT_OVERRIDE | WIDGET_CONNECTIONS |
               (s->mixer ? WIDGET_AMP_IN | WIDGET_AMP_OVERRIDE : 0);
    case NODE_OUT:
        return WIDGET_PIN | WIDGET_STEREO | WIDGET_CONNECTIONS;
    case NODE_IN:
        return WIDGET_PIN | WIDGET_STEREO;
    default:
        return 0;
    }
}

static uint32_t parameter(const struct codec *s, unsigned node, unsigned which)
{
    bool converter = node == NODE_DAC || node == NODE_ADC;

    switch (which) {
    case P_VENDOR:
        return node == NODE_ROOT ? model_of(s)->vendor : 0;
    case P_REVISION:
        return node == NODE_ROOT ? 0x00100101 : 0;
    case P_NODES: /* first, and how many */
        return node == NODE_ROOT ? NODE_GROUP << 16 | 1u
               : node == NODE_GROUP ? NODE_DAC << 16 | (model_of(s)->in_default ? 4u : 2u) : 0;
    case P_GROUP:
        return node == NODE_GROUP ? 0x01 : 0; /* audio */
    case P_GROUP_CAPS:
        return node == NODE_GROUP ? 0x0808 : 0; /* delays in samples */
    case P_WIDGET:
        return widget(s, node);
    case P_PCM:
        return converter || node == NODE_GROUP ? PCM_16 | PCM_RATES : 0;
    case P_STREAM:
        return converter || node == NODE_GROUP ? 1 : 0; /* PCM */
    case P_PIN:
        return node == NODE_OUT ? 0x10 : node == NODE_IN ? 0x20 : 0;
    case P_AMP_IN:
        return s->mixer && node == NODE_ADC ? AMP_CAPS : 0;
    case P_AMP_OUT:
        return s->mixer && node == NODE_DAC ? AMP_CAPS : 0;
    case P_CONNECTIONS:
        return node == NODE_OUT || node == NODE_ADC ? 1 : 0;
    case P_POWER:
        return 0x9; /* D0 and D3 */
    default:
        return 0;
    }
}

/* ---- verbs ---- */

static struct converter *converter_at(struct codec *s, unsigned node)
{
    return node == NODE_DAC ? &s->dac : node == NODE_ADC ? &s->adc : NULL;
}

static uint32_t get_amp(const struct codec *s, unsigned node, uint32_t payload)
{
    const struct converter *c = node == NODE_DAC ? &s->dac : &s->adc;

    if (node != NODE_DAC && node != NODE_ADC)
        return 0;
    return c->amp[payload & 0x2000 ? 0 : 1];
}

static void set_amp(struct codec *s, unsigned node, uint32_t payload)
{
    struct converter *c = converter_at(s, node);
    uint32_t mine = node == NODE_DAC ? 0x8000 : 0x4000;
    uint8_t value = payload & 0xff;

    if (!c || !(payload & mine))
        return;
    if ((value & 0x7f) > AMP_STEPS)
        value = (uint8_t)((value & AMP_MUTE) | AMP_STEPS);
    if (payload & 0x2000)
        c->amp[0] = value;
    if (payload & 0x1000)
        c->amp[1] = value;
    tune(s, c, node == NODE_DAC);
}

static uint32_t pin_verb(struct codec *s, unsigned node, unsigned verb, uint8_t payload)
{
    unsigned i = node == NODE_IN;

    if (node != NODE_OUT && node != NODE_IN)
        return 0;
    switch (verb) {
    case 0xf07:
        return s->pin_control[i];
    case 0x707:
        s->pin_control[i] = payload;
        return 0;
    case 0xf08:
        return s->unsolicited[i];
    case 0x708:
        s->unsolicited[i] = payload;
        return 0;
    case 0xf09: /* something is plugged in */
        return 0x80000000u;
    case 0xf1c:
        return s->pin_default[i];
    case 0x71c:
    case 0x71d:
    case 0x71e:
    case 0x71f:
        s->pin_default[i] &= ~(0xffu << 8 * (verb - 0x71c));
        s->pin_default[i] |= (uint32_t)payload << 8 * (verb - 0x71c);
        return 0;
    default:
        return 0;
    }
}

static void reset_codec(struct bp_device *dev)
{
    struct codec *s = bp_device_state(dev);
    const struct model *m = model_of(s);

    for (unsigned i = 0; i < 2; i++) {
        struct converter *c = i ? &s->adc : &s->dac;

        c->format = 0x0011;
        c->tag = c->channel = 0;
        c->amp[0] = c->amp[1] = AMP_STEPS;
        tune(s, c, !i);
    }
    s->pin_control[0] = 0x40;
    s->pin_control[1] = 0x20;
    s->unsolicited[0] = s->unsolicited[1] = s->selected = 0;
    memset(s->power, 0, sizeof(s->power));
    s->pin_default[0] = m->out_default;
    s->pin_default[1] = m->in_default;
    s->subsystem = m->vendor;
}

static uint32_t converter_verb(struct codec *s, unsigned node, unsigned verb, uint8_t payload)
{
    struct converter *c = converter_at(s, node);

    if (!c)
        return 0;
    if (verb == 0x706) {
        c->tag = payload >> 4;
        c->channel = payload & 0xf;
        tune(s, c, node == NODE_DAC);
        return 0;
    }
    return (uint32_t)c->tag << 4 | c->channel;
}

static uint32_t long_verb(struct codec *s, unsigned node, unsigned verb, uint8_t payload)
{
    switch (verb) {
    case 0xf00:
        return parameter(s, node, payload);
    case 0xf02: /* its connections, from the payload's on: there is one */
        return payload ? 0 : node == NODE_OUT ? NODE_DAC : node == NODE_ADC ? NODE_IN : 0;
    case 0xf01:
        return 0; /* the first one is selected, ever */
    case 0xf05:
        return s->power[node] | (uint32_t)s->power[node] << 4;
    case 0x705:
        s->power[node] = payload & 0xf;
        return 0;
    case 0xf06:
    case 0x706:
        return converter_verb(s, node, verb, payload);
    case 0xf20:
        return node == NODE_GROUP ? s->subsystem : 0;
    case 0x720:
    case 0x721:
    case 0x722:
    case 0x723:
        if (node == NODE_GROUP)
            s->subsystem = (s->subsystem & ~(0xffu << 8 * (verb - 0x720))) | (uint32_t)payload << 8 * (verb - 0x720);
        return 0;
    case 0x7ff:
        if (node == NODE_GROUP)
            reset_codec(bp_device_of_state(s));
        return 0;
    default:
        return pin_verb(s, node, verb, payload);
    }
}

static uint32_t command(struct bp_device *dev, uint8_t node, uint32_t word)
{
    struct codec *s = bp_device_state(dev);
    struct converter *c = converter_at(s, node);

    if (!has_node(s, node))
        return 0;
    switch (word >> 16) {
    case 0x2:
        if (c) {
            c->format = (uint16_t)word;
            tune(s, c, node == NODE_DAC);
        }
        return 0;
    case 0xa:
        return c ? c->format : 0;
    case 0x3:
        set_amp(s, node, word & 0xffff);
        return 0;
    case 0xb:
        return get_amp(s, node, word & 0xffff);
    default:
        return long_verb(s, node, word >> 8, (uint8_t)word);
    }
}

/* ---- the device ---- */

static void codec_detach(struct bp_device *dev)
{
    struct codec *s = bp_device_state(dev);

    audio->voice_free(s->dac.voice);
    audio->voice_free(s->adc.voice);
    s->dac.voice = s->adc.voice = NULL;
}

static int codec_attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_voice_ops out_ops = {.size = sizeof(out_ops), .process = process_out},
                                     in_ops = {.size = sizeof(in_ops), .process = process_in};
    static const struct bp_audio_format format = {48000, 2, BP_SAMPLE_S16, {0}};
    struct codec *s = bp_device_state(dev);
    int r = audio->voice_new(bp_device_object(dev), s->audiodev, false, "hda.out", &format, &out_ops, s,
                             &s->dac.voice, err);

    if (r == 0 && model_of(s)->in_default)
        r = audio->voice_new(bp_device_object(dev), s->audiodev, true, "hda.in", &format, &in_ops, s,
                             &s->adc.voice, err);
    if (r < 0)
        codec_detach(dev);
    return r;
}

/* When the controller's streams are loaded, too. */
static int loaded(void *state, struct bp_error *err)
{
    struct codec *s = state;

    (void)err;
    tune(s, &s->dac, true);
    tune(s, &s->adc, false);
    return 0;
}

static const struct bp_state_field converter_fields[] = {
    BP_SAVE(UINT16, struct converter, format), BP_SAVE_RANGE(UINT8, struct converter, tag, 0, 15),
    BP_SAVE(UINT8, struct converter, channel), BP_SAVE_ARRAY(UINT8, struct converter, amp), BP_SAVE_END};
static const struct bp_state_table converter_state = {
    .name = "hda-converter", .version = 1, .oldest = 1, .fields = converter_fields};
#define SAVE_CONVERTER(FIELD) \
    {.name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(struct codec, FIELD), .count = 1, \
     .stride = sizeof(struct converter), .table = &converter_state}
static const struct bp_state_field codec_fields[] = {
    SAVE_CONVERTER(dac), SAVE_CONVERTER(adc), BP_SAVE_ARRAY(UINT8, struct codec, pin_control),
    BP_SAVE_ARRAY(UINT8, struct codec, unsolicited), BP_SAVE(UINT8, struct codec, selected),
    BP_SAVE_ARRAY(UINT8, struct codec, power), BP_SAVE_ARRAY(UINT32, struct codec, pin_default),
    BP_SAVE(UINT32, struct codec, subsystem), BP_SAVE_END};
static const struct bp_state_table codec_state = {
    .version = 1, .oldest = 1, .fields = codec_fields, .loaded = loaded, .loaded_order = BP_STATE_ORDER_DEVICES};

static const struct bp_field codec_props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct codec, audiodev, "where it is heard; none: the default one"),
    BP_PROP("mixer", BOOL, struct codec, mixer, "on", "volumes of its own"), BP_FIELDS_END};
static const struct bp_hda_info info = {
    .size = sizeof(info), .command = command, .stream = stream, .reset = reset_codec};

#define CODEC(ident, NAME, SUMMARY) \
    BP_DEVICE(ident, NAME, "HDA", SUMMARY, struct codec, codec_props, &codec_state, .category = "sound", \
              .bus_info = &info, .attach = codec_attach, .detach = codec_detach, .reset = reset_codec)
CODEC(duplex, "hda-duplex", "HD Audio codec with line out and line in");
CODEC(output, "hda-output", "HD Audio codec with line out");
CODEC(micro, "hda-micro", "HD Audio codec with speaker and microphone");

static const struct bp_import imports[] = {BP_IMPORT(hda, "hda", 1), BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("hw-hda-codec", "HD Audio codecs", imports, {BP_PROVIDE_DEVICE, &duplex}, {BP_PROVIDE_DEVICE, &output},
          {BP_PROVIDE_DEVICE, &micro});
