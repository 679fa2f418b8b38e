// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A sound card on USB (Audio Device Class 1.0): loudspeakers in stereo, 48 kHz, 16 bits, with mute and volume. What
 * comes each millisecond waits in a ring until the host's clock asks for it; one that is full loses its oldest frames.
 * Left out: microphones, other rates, pitch.
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/host/audio.h>
#include <bp/level.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

#define OUT_EP 0x01u
#define RATE 48000u
#define FRAME 4u          /* bytes */
#define PACKET (RATE / 1000 * FRAME)
#define RING 4096u        /* frames that wait */
#define BEFORE 960u       /* frames that have to be there before it plays: 20 ms */
#define FEATURES 2u       /* the unit with mute and volume */

enum { SET_CUR = 0x01, GET_CUR = 0x81, GET_MIN, GET_MAX, GET_RES }; /* table A-9 */
enum { MUTE = 1, VOLUME = 2 };                                     /* table A-11 */
#define VOLUME_MIN (-60 * 256)
#define VOLUME_STEP 256

struct card {
    struct bp_usb_device *usb;
    struct bp_object *audiodev; /* property */
    struct bp_voice *voice;
    /* saved */
    uint8_t active, plays, mute;
    int16_t volume[2]; /* 1/256 dB */
    uint32_t first, count;
    uint8_t ring[RING * FRAME];
};

/* ---- descriptors ---- */
static const uint8_t control_extra[] = {
    9, 0x24, 1, 0x00, 0x01, 40, 0, 1, 1,                       /* header: one streaming interface, number 1 */
    12, 0x24, 2, 1, 0x01, 0x01, 0, 2, 0x03, 0x00, 0, 0,        /* input terminal 1: what the host sends */
    10, 0x24, 6, FEATURES, 1, 1, MUTE, VOLUME, VOLUME, 0,      /* feature unit: mute of all, volume of each */
    9, 0x24, 3, 3, 0x01, 0x03, 0, FEATURES, 0};                /* output terminal 3: loudspeakers */
static const uint8_t stream_extra[] = {
    7, 0x24, 1, 1, 0, 0x01, 0x00,                              /* of terminal 1, PCM */
    11, 0x24, 2, 1, 2, 2, 16, 1, RATE & 0xff, RATE >> 8 & 0xff, RATE >> 16}; /* two channels of two bytes, one rate */
static const uint8_t endpoint_extra[] = {7, 0x25, 1, 0, 0, 0, 0};
static const struct bp_usb_endpoint endpoints[] = {
    {.address = OUT_EP, .attributes = BP_USB_ISOCHRONOUS | 2 << 2 /* adaptive */, .max_packet = PACKET, .interval = 1,
     .extra = endpoint_extra, .extra_length = sizeof(endpoint_extra)}};
static const struct bp_usb_interface_info interfaces[] = {
    {.number = 0, .class_code = 1, .subclass = 1, .string = 4, .extra = control_extra,
     .extra_length = sizeof(control_extra)},
    {.number = 1, .class_code = 1, .subclass = 2, .string = 5},
    {.number = 1, .alternate = 1, .class_code = 1, .subclass = 2, .string = 5, .extra = stream_extra,
     .extra_length = sizeof(stream_extra), .endpoint_count = 1, .endpoints = endpoints}};
static const struct bp_usb_description full = {.version = 0x0110, .max_packet0 = 64, .attributes = 0xc0,
                                               .interfaces = 2, .interface_count = 3, .table = interfaces};
static const char *const strings[] = {"", "QEMU", "QEMU USB Audio", "1", "Audio control", "Audio stream", NULL};

/* ---- what is heard ---- */
static float factor(int16_t volume)
{
    float f = 1;

    if (volume < VOLUME_MIN)
        return 0;
    for (int db = volume / 256; db < 0; db++)
        f *= 0.891250938f; /* 1 dB */
    return f;
}

static void set_volume(struct card *s)
{
    audio->voice_set_volume(s->voice, s->mute, factor(s->volume[0]), factor(s->volume[1]));
}

static void process(void *opaque, uint32_t frames)
{
    struct card *s = opaque;

    s->plays |= s->count >= BEFORE;
    while (s->plays && frames && s->count) {
        uint32_t n = RING - s->first < s->count ? RING - s->first : s->count, took;

        took = audio->voice_write(s->voice, s->ring + s->first * FRAME, n < frames ? n : frames);
        if (took == 0)
            break;
        s->first = (s->first + took) % RING;
        s->count -= took;
        frames -= took;
    }
    s->plays &= s->count > 0;
}

static const struct bp_voice_ops voice_ops = {.size = sizeof(voice_ops), .process = process};

static void activate(struct card *s, bool on)
{
    s->active = on;
    s->plays = 0;
    s->first = s->count = 0;
    audio->voice_set_active(s->voice, on);
}

/* ---- packets ---- */
static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct card *s = state;

    for (uint32_t at = 0; at + FRAME <= p->length; at += FRAME) {
        if (s->count == RING) {
            s->first = (s->first + 1) % RING;
            s->count--;
        }
        memcpy(s->ring + (s->first + s->count) % RING * FRAME, p->data + at, FRAME);
        s->count++;
    }
    p->actual = p->length;
    return BP_USB_OK;
}

static uint8_t answer(struct bp_usb_request *r, int value, unsigned size)
{
    r->data[0] = (uint8_t)value;
    if (size > 1 && r->length > 1)
        r->data[1] = (uint8_t)((unsigned)value >> 8);
    r->actual = (uint16_t)(size < r->length ? size : r->length);
    return BP_USB_OK;
}

static uint8_t volume(struct card *s, struct bp_usb_request *r, unsigned channel)
{
    int value = r->length >= 2 ? (int16_t)(uint16_t)(r->data[0] | r->data[1] << 8) : 0;

    switch (r->request) {
    case SET_CUR:
        if (r->length != 2)
            return BP_USB_STALL;
        s->volume[channel] = (int16_t)(value > 0 ? 0 : value);
        set_volume(s);
        return BP_USB_OK;
    case GET_CUR:
        return answer(r, s->volume[channel], 2);
    case GET_MIN:
        return answer(r, VOLUME_MIN, 2);
    case GET_MAX:
        return answer(r, 0, 2);
    case GET_RES:
        return answer(r, VOLUME_STEP, 2);
    default:
        return BP_USB_STALL;
    }
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct card *s = state;
    unsigned channel = r->value & 0xff;

    if ((r->type & 0x7f) != 0x21 || r->index != FEATURES << 8 || r->length == 0 ||
        (r->type == 0x21) != (r->request == SET_CUR))
        return BP_USB_STALL;
    if (r->value >> 8 == VOLUME && (channel == 1 || channel == 2))
        return volume(s, r, channel - 1);
    if (r->value >> 8 != MUTE || channel != 0)
        return BP_USB_STALL;
    if (r->request == GET_CUR)
        return answer(r, s->mute, 1);
    if (r->request != SET_CUR || r->length != 1)
        return BP_USB_STALL;
    s->mute = r->data[0] & 1;
    set_volume(s);
    return BP_USB_OK;
}

static void reset(void *state)
{
    struct card *s = state;

    s->mute = 0;
    s->volume[0] = s->volume[1] = 0;
    if (!s->voice)
        return;
    activate(s, false);
    set_volume(s);
}

static void configured(void *state, uint8_t configuration)
{
    (void)configuration;
    activate(state, false);
}

static void set_interface(void *state, uint8_t interface, uint8_t alternate)
{
    if (interface == 1)
        activate(state, alternate == 1);
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_audio_format format = {RATE, 2, BP_SAMPLE_S16, {0}};
    struct card *s = bp_device_state(dev);

    s->usb = usb->of(dev);
    return audio->voice_new(bp_device_object(dev), s->audiodev, false, "usb-audio.out", &format, &voice_ops, s,
                            &s->voice, err);
}

static void detach(struct bp_device *dev)
{
    struct card *s = bp_device_state(dev);

    audio->voice_free(s->voice);
    s->voice = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct card *s = state;

    (void)version, (void)err;
    audio->voice_set_active(s->voice, s->active);
    set_volume(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_RANGE(UINT8, struct card, active, 0, 1), BP_SAVE_RANGE(UINT8, struct card, plays, 0, 1),
    BP_SAVE_RANGE(UINT8, struct card, mute, 0, 1), BP_SAVE_ARRAY(UINT16, struct card, volume),
    BP_SAVE_RANGE(UINT32, struct card, first, 0, RING - 1), BP_SAVE_RANGE(UINT32, struct card, count, 0, RING),
    BP_SAVE_BUFFER(struct card, ring), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};
static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct card, audiodev, "where it is heard; none: the default one"),
    BP_FIELDS_END};

static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0x46f4, .product = 0x0002, .release = 0, .manufacturer_string = 1,
    .product_string = 2, .serial_string = 3, .at = {NULL, &full, NULL, NULL}, .strings = strings, .control = control,
    .transfer = transfer, .reset = reset, .configured = configured, .set_interface = set_interface};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};
BP_NOTE("provides=device:usb-audio;bus=usb-bus;user=yes;summary=USB sound card");
static const struct bp_device_class card_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "usb-audio",
             .parent = "usb-device", .summary = "USB sound card", .state_size = sizeof(struct card), .props = props,
             .state = &table, .infos = infos},
    .bus = "usb-bus", .category = "sound", .attach = attach, .detach = detach};

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("usb-audio", "USB sound card", imports, {BP_PROVIDE_DEVICE, &card_class});
