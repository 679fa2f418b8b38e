// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keyboard, mouse and tablet of the human interface device class (HID 1.11): reports by interrupt or asked for, boot
 * protocol of keyboard and mouse, idle rate, LEDs. Reports wait in a queue of bounded length. Left out: physical
 * descriptors, several touches.
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/bus/usb.h>
#include <bp/clock.h>
#include <bp/host/input.h>
#include <bp/level.h>
#include <bp/loop.h>

#include "hid.h"

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(input, struct bp_input_interface, "input", 1);

#define REPORT 8u
#define QUEUE 64u /* reports that wait */
#define HELD 32u  /* keys that are down at once */
#define IN_EP 0x81u

enum kind { KEYBOARD, MOUSE, TABLET };
enum { GET_REPORT = 1, GET_IDLE, GET_PROTOCOL, SET_REPORT = 9, SET_IDLE, SET_PROTOCOL }; /* 7.2 */

struct report {
    uint8_t bytes[REPORT];
};

struct hid {
    struct bp_usb_device *usb;
    struct bp_input_device *device;
    struct bp_deferred *tell;
    struct bp_timer *timer; /* of the idle rate */
    enum kind kind;
    uint32_t usb_version;
    char *serial; /* property */
    /* saved */
    uint8_t idle, protocol, leds, buttons;
    bool active, told_active;
    uint8_t held[HELD]; /* usages, in the order in which they were pressed */
    uint32_t held_count;
    int32_t x, y, wheel, pan; /* relative: what was not told yet; absolute: the place */
    bool changed;
    struct report queue[QUEUE]; /* a ring */
    uint32_t first, count;
    struct report last; /* what was told last */
};

/* ---- descriptors ---- */
static const uint8_t keyboard_report[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x75, 0x01, 0x95, 0x08, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25,
    0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05,
    0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07,
    0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, 0xc0};
/* Five buttons, X, Y, wheel and horizontal wheel (consumer page, AC Pan), relative. */
static const uint8_t mouse_report[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25,
    0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31,
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06, 0x05, 0x0c, 0x0a, 0x38, 0x02, 0x95, 0x01,
    0x81, 0x06, 0xc0, 0xc0};
/* Five buttons, X and Y from 0 to 32767, wheel and horizontal wheel relative. */
static const uint8_t tablet_report[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25,
    0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31,
    0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02, 0x09, 0x38, 0x15,
    0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06, 0x05, 0x0c, 0x0a, 0x38, 0x02, 0x95,
    0x01, 0x81, 0x06, 0xc0, 0xc0};

#define HID_EXTRA(REPORT_) {9, 0x21, 0x11, 0x01, 0, 1, 0x22, sizeof(REPORT_) & 0xff, sizeof(REPORT_) >> 8}
static const uint8_t keyboard_hid[] = HID_EXTRA(keyboard_report), mouse_hid[] = HID_EXTRA(mouse_report),
                     tablet_hid[] = HID_EXTRA(tablet_report);

enum { MANUFACTURER = 1, PRODUCT, SERIAL, CONFIGURATION };
static const char *const strings[3][6] = {
    {"", "QEMU", "QEMU USB Keyboard", "89126", "HID Keyboard", NULL},
    {"", "QEMU", "QEMU USB Mouse", "89126", "HID Mouse", NULL},
    {"", "QEMU", "QEMU USB Tablet", "28754", "HID Tablet", NULL}};

#define HID_ENDPOINT(IDENT, SIZE, INTERVAL) \
    static const struct bp_usb_endpoint IDENT[] = { \
        {.address = IN_EP, .attributes = BP_USB_INTERRUPT, .max_packet = SIZE, .interval = INTERVAL}}
#define HID_AT(IDENT, VERSION, SUB, PROTOCOL, EXTRA, SIZE, INTERVAL) \
    HID_ENDPOINT(IDENT##_endpoint, SIZE, INTERVAL); \
    static const struct bp_usb_interface_info IDENT##_interface[] = { \
        {.class_code = 3, .subclass = SUB, .protocol = PROTOCOL, .endpoint_count = 1, .endpoints = IDENT##_endpoint, \
         .extra = EXTRA, .extra_length = sizeof(EXTRA)}}; \
    static const struct bp_usb_description IDENT = { \
        .version = VERSION, .max_packet0 = (VERSION) >= 0x200 ? 64 : 8, .attributes = 0xa0, .power = 50, \
        .config_string = CONFIGURATION, .interfaces = 1, .interface_count = 1, .table = IDENT##_interface}
/* Intervals: frames at full speed, two to the power of it less 1 in microframes at high speed. */
HID_AT(keyboard_full, 0x0110, 1, 1, keyboard_hid, 8, 10);
HID_AT(keyboard_high, 0x0200, 1, 1, keyboard_hid, 8, 7);
HID_AT(mouse_full, 0x0110, 1, 2, mouse_hid, 5, 10);
HID_AT(mouse_high, 0x0200, 1, 2, mouse_hid, 5, 7);
HID_AT(tablet_full, 0x0110, 0, 0, tablet_hid, 8, 10);
HID_AT(tablet_high, 0x0200, 0, 0, tablet_hid, 8, 4);

static const unsigned report_size[] = {8, 5, 7};

/* ---- reports ---- */
static int8_t take(int32_t *value)
{
    int32_t v = *value > 127 ? 127 : *value < -127 ? -127 : *value;

    *value -= v;
    return (int8_t)v;
}

/* What is the case now; relative motion is taken. */
static void make(struct hid *s, struct report *r)
{
    memset(r, 0, sizeof(*r));
    switch (s->kind) {
    case KEYBOARD:
        for (unsigned i = 0, n = 2; i < s->held_count; i++) {
            if (s->held[i] >= 0xe0)
                r->bytes[0] |= (uint8_t)(1u << (s->held[i] - 0xe0));
            else if (n < REPORT)
                r->bytes[n++] = s->held[i];
            else
                memset(r->bytes + 2, 1, 6); /* more than six: roll over */
        }
        break;
    case MOUSE:
        r->bytes[0] = s->buttons;
        r->bytes[1] = (uint8_t)take(&s->x);
        r->bytes[2] = (uint8_t)take(&s->y);
        r->bytes[3] = (uint8_t)take(&s->wheel);
        r->bytes[4] = (uint8_t)take(&s->pan);
        break;
    case TABLET:
        r->bytes[0] = s->buttons;
        r->bytes[1] = (uint8_t)s->x;
        r->bytes[2] = (uint8_t)(s->x >> 8);
        r->bytes[3] = (uint8_t)s->y;
        r->bytes[4] = (uint8_t)(s->y >> 8);
        r->bytes[5] = (uint8_t)take(&s->wheel);
        r->bytes[6] = (uint8_t)take(&s->pan);
        break;
    }
}

static bool moves(const struct hid *s)
{
    return s->wheel || s->pan || (s->kind == MOUSE && (s->x || s->y));
}

static void queue_reports(struct hid *s)
{
    do {
        if (s->count < QUEUE)
            make(s, &s->queue[(s->first + s->count++) % QUEUE]);
        else
            make(s, &s->queue[(s->first + QUEUE - 1) % QUEUE]); /* as space() has it this does not happen */
    } while (moves(s) && s->count < QUEUE);
    s->changed = false;
}

static unsigned length(const struct hid *s)
{
    return s->kind == MOUSE && s->protocol == 0 ? 3 : report_size[s->kind];
}

static void rearm(struct hid *s)
{
    if (s->idle && s->active)
        bp_timer_set(s->timer, bp_timer_now(s->timer) + s->idle * INT64_C(4000000));
    else
        bp_timer_cancel(s->timer);
}

/* The idle rate is over: the last report once more (7.2.4). A pointer has not moved since: what it told of motion was
 * told. */
static void idle_over(void *opaque)
{
    struct hid *s = opaque;

    if (s->count == 0) {
        if (s->kind == KEYBOARD)
            s->queue[s->first] = s->last;
        else
            make(s, &s->queue[s->first]);
        s->count = 1;
    }
    usb->ready(s->usb, IN_EP);
}

/* ---- from people ---- */
static unsigned space(void *opaque)
{
    const struct hid *s = opaque;

    return s->count < QUEUE / 2 ? QUEUE / 2 - s->count : 0;
}

static void key(struct hid *s, uint16_t code, bool down)
{
    uint8_t usage = hid_usage(code);
    unsigned i = 0;

    while (i < s->held_count && s->held[i] != usage)
        i++;
    if (!usage || (down && (i < s->held_count || s->held_count == HELD)) || (!down && i == s->held_count))
        return;
    if (down) {
        s->held[s->held_count++] = usage;
    } else {
        memmove(s->held + i, s->held + i + 1, s->held_count - i - 1);
        s->held[--s->held_count] = 0;
    }
    s->changed = true;
    queue_reports(s); /* each by itself: none is lost in a group */
}

static void button(struct hid *s, uint16_t code, bool down)
{
    static const uint16_t buttons[] = {BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA};

    for (unsigned i = 0; i < BP_COUNT(buttons); i++) {
        if (buttons[i] == code)
            s->buttons = (uint8_t)(down ? s->buttons | 1u << i : s->buttons & ~(1u << i));
    }
    s->changed = true;
}

static void add(int32_t *to, int32_t v)
{
    int64_t sum = (int64_t)*to + v;

    *to = (int32_t)(sum > 8000 ? 8000 : sum < -8000 ? -8000 : sum); /* at most 63 reports of 127 */
}

static void event(void *opaque, const struct bp_input_event *e)
{
    struct hid *s = opaque;

    if (e->type == BP_INPUT_KEY && s->kind == KEYBOARD) {
        if (e->value != 2) /* drivers repeat by themselves */
            key(s, e->code, e->value);
        return;
    }
    if (e->type == BP_INPUT_KEY)
        button(s, e->code, e->value);
    else if (e->type == BP_INPUT_REL && (e->code == REL_X || e->code == REL_Y) && s->kind == MOUSE)
        add(e->code == REL_X ? &s->x : &s->y, e->value);
    else if (e->type == BP_INPUT_REL && (e->code == REL_WHEEL || e->code == REL_HWHEEL))
        add(e->code == REL_WHEEL ? &s->wheel : &s->pan, e->value);
    else if (e->type == BP_INPUT_ABS && (e->code == ABS_X || e->code == ABS_Y) && s->kind == TABLET)
        *(e->code == ABS_X ? &s->x : &s->y) = e->value < 0 ? 0 : e->value > 32767 ? 32767 : e->value;
    s->changed = true;
}

static void sync(void *opaque)
{
    struct hid *s = opaque;

    if (s->changed)
        queue_reports(s);
    if (!s->active) { /* nobody will ever want what was pressed before */
        s->count = 0;
        return;
    }
    if (s->count) {
        usb->wakeup(s->usb);
        usb->ready(s->usb, IN_EP);
    }
}

static void tell(void *opaque)
{
    struct hid *s = opaque;

    if (!s->device)
        return;
    if (s->active && !s->told_active)
        input->activate(s->device);
    s->told_active = s->active;
    if (s->kind == KEYBOARD)
        input->set_leds(s->device, (s->leds & 1 ? BP_INPUT_LED_NUM : 0) | (s->leds & 2 ? BP_INPUT_LED_CAPS : 0) |
                        (s->leds & 4 ? BP_INPUT_LED_SCROLL : 0));
    input->room(s->device);
}

/* ---- from the guest ---- */
static uint8_t answer(struct bp_usb_request *r, const void *bytes, unsigned size)
{
    r->actual = (uint16_t)(size < r->length ? size : r->length);
    memcpy(r->data, bytes, r->actual);
    return BP_USB_OK;
}

static uint8_t descriptor(struct hid *s, struct bp_usb_request *r)
{
    static const uint8_t *const reports[] = {keyboard_report, mouse_report, tablet_report};
    static const uint8_t *const hids[] = {keyboard_hid, mouse_hid, tablet_hid};
    static const unsigned sizes[] = {sizeof(keyboard_report), sizeof(mouse_report), sizeof(tablet_report)};

    if (r->value == 0x2200)
        return answer(r, reports[s->kind], sizes[s->kind]);
    return r->value == 0x2100 ? answer(r, hids[s->kind], 9) : BP_USB_STALL;
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct hid *s = state;
    struct report now;

    switch (r->type << 8 | r->request) {
    case 0x8106: /* GET_DESCRIPTOR of the interface */
        return descriptor(s, r);
    case 0xa100 | GET_REPORT:
        if (r->value != 0x0100)
            return BP_USB_STALL;
        make(s, &now);
        return answer(r, now.bytes, length(s));
    case 0xa100 | GET_IDLE:
        return answer(r, &s->idle, 1);
    case 0xa100 | GET_PROTOCOL:
        return s->kind == TABLET ? BP_USB_STALL : answer(r, &s->protocol, 1);
    case 0x2100 | SET_REPORT:
        if (s->kind != KEYBOARD || r->value != 0x0200 || r->length < 1)
            return BP_USB_STALL;
        s->leds = r->data[0] & 7;
        bp_deferred_schedule(s->tell);
        return BP_USB_OK;
    case 0x2100 | SET_IDLE:
        s->idle = (uint8_t)(r->value >> 8);
        rearm(s);
        return BP_USB_OK;
    case 0x2100 | SET_PROTOCOL:
        if (s->kind == TABLET || r->value > 1)
            return BP_USB_STALL;
        s->protocol = (uint8_t)r->value;
        return BP_USB_OK;
    default:
        return BP_USB_STALL;
    }
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct hid *s = state;
    unsigned n = length(s);

    if (s->count == 0)
        return BP_USB_NAK;
    if (p->length < n)
        return BP_USB_BABBLE;
    s->last = s->queue[s->first];
    memcpy(p->data, s->last.bytes, n);
    p->actual = n;
    s->first = (s->first + 1) % QUEUE;
    s->count--;
    rearm(s);
    bp_deferred_schedule(s->tell);
    return BP_USB_OK;
}

static void reset(void *state)
{
    struct hid *s = state;

    s->idle = s->leds = 0;
    s->protocol = 1;
    s->active = false;
    s->count = s->first = 0;
    s->buttons = 0;
    s->held_count = 0;
    memset(s->held, 0, sizeof(s->held));
    memset(s->queue, 0, sizeof(s->queue));
    memset(&s->last, 0, sizeof(s->last));
    s->wheel = s->pan = 0;
    s->x = s->y = 0;
    s->changed = false;
    rearm(s);
    bp_deferred_schedule(s->tell);
}

static void configured(void *state, uint8_t configuration)
{
    struct hid *s = state;

    s->active = configuration != 0;
    rearm(s);
    bp_deferred_schedule(s->tell);
}

/* ---- life ---- */
static int attach(struct bp_device *dev, enum kind kind, struct bp_error *err)
{
    static const uint32_t takes[] = {BP_INPUT_TAKES_KEYS, BP_INPUT_TAKES_RELATIVE, BP_INPUT_TAKES_ABSOLUTE};
    struct hid *s = bp_device_state(dev);
    const struct bp_input_ops ops = {.size = sizeof(ops), .takes = takes[kind], .name = strings[kind][PRODUCT],
                                     .space = space, .event = event, .sync = sync};
    int r = 0;

    s->kind = kind;
    s->usb = usb->of(dev);
    if (s->usb_version != 1 && s->usb_version != 2)
        return bp_fail(err, EINVAL, "%s: usb_version=%u: 1 and 2 are possible", bp_device_class(dev)->type.name,
                       s->usb_version);
    if (s->serial && strlen(s->serial) > 126)
        return bp_fail(err, EINVAL, "%s: serial: at most 126 characters", bp_device_class(dev)->type.name);
    if (s->usb_version == 1)
        r = usb->limit(s->usb, BP_USB_SPEED(BP_USB_FULL), err);
    if (r < 0)
        return r;
    if (s->serial)
        usb->set_string(s->usb, SERIAL, s->serial);
    s->tell = bp_deferred_new(bp_device_owner(dev), NULL, tell, s);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, idle_over, s);
    return input->device_new(bp_device_object(dev), NULL, &ops, s, &s->device, err);
}

static int keyboard_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, KEYBOARD, err);
}

static int mouse_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, MOUSE, err);
}

static int tablet_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, TABLET, err);
}

static void detach(struct bp_device *dev)
{
    struct hid *s = bp_device_state(dev);

    input->device_free(s->device);
    s->device = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct hid *s = state;

    (void)version, (void)err;
    add(&s->wheel, 0);
    add(&s->pan, 0);
    if (s->kind == MOUSE) {
        add(&s->x, 0);
        add(&s->y, 0);
    } else {
        s->x &= 32767;
        s->y &= 32767;
    }
    bp_deferred_schedule(s->tell);
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct hid *s = state;

    (void)err;
    if (s->count)
        usb->ready(s->usb, IN_EP);
    return 0;
}

static const struct bp_state_field report_fields[] = {BP_SAVE_BUFFER(struct report, bytes), BP_SAVE_END};
static const struct bp_state_table report_table = {.version = 1, .oldest = 1, .fields = report_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct hid, timer), BP_SAVE(UINT8, struct hid, idle),
    BP_SAVE_RANGE(UINT8, struct hid, protocol, 0, 1), BP_SAVE_RANGE(UINT8, struct hid, leds, 0, 7),
    BP_SAVE(UINT8, struct hid, buttons), BP_SAVE(BOOL, struct hid, active), BP_SAVE(BOOL, struct hid, told_active),
    BP_SAVE_BUFFER(struct hid, held), BP_SAVE_RANGE(UINT32, struct hid, held_count, 0, HELD),
    BP_SAVE(UINT32, struct hid, x), BP_SAVE(UINT32, struct hid, y), BP_SAVE(UINT32, struct hid, wheel),
    BP_SAVE(UINT32, struct hid, pan), BP_SAVE(BOOL, struct hid, changed),
    BP_SAVE_STRUCTS(struct hid, queue, &report_table), BP_SAVE_RANGE(UINT32, struct hid, first, 0, QUEUE - 1),
    BP_SAVE_RANGE(UINT32, struct hid, count, 0, QUEUE),
    {.name = "last", .kind = BP_STATE_STRUCT, .offset = offsetof(struct hid, last), .count = 1,
     .stride = sizeof(struct report), .table = &report_table},
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field props[] = {
    BP_PROP("usb_version", UINT32, struct hid, usb_version, "2", "1: at full speed; 2: at high speed, too"),
    BP_PROP("serial", STRING, struct hid, serial, NULL, "serial number that the driver is told"), BP_FIELDS_END};

#define HID_DEVICE(IDENT, NAME, SUMMARY, KIND, ID) \
    static const struct bp_usb_device_info IDENT##_info = { \
        .size = sizeof(struct bp_usb_device_info), .vendor = 0x0627, .product = ID, .release = 0, \
        .manufacturer_string = MANUFACTURER, .product_string = PRODUCT, .serial_string = SERIAL, \
        .at = {NULL, &IDENT##_full, &IDENT##_high, NULL}, .strings = strings[KIND], .control = control, \
        .transfer = transfer, .reset = reset, .configured = configured}; \
    static const struct bp_level_info IDENT##_infos[] = {{.level = "usb-device", .info = &IDENT##_info}, \
                                                         {.level = NULL}}; \
    BP_NOTE("provides=device:" NAME ";bus=usb-bus;user=yes;summary=" SUMMARY); \
    static const struct bp_device_class IDENT = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "usb-device", .summary = SUMMARY, .state_size = sizeof(struct hid), .props = props, \
                 .state = &table, .infos = IDENT##_infos}, \
        .bus = "usb-bus", .category = "input", .attach = IDENT##_attach, .detach = detach}

HID_DEVICE(keyboard, "usb-kbd", "USB keyboard", KEYBOARD, 0x0001);
HID_DEVICE(mouse, "usb-mouse", "USB mouse", MOUSE, 0x0001);
HID_DEVICE(tablet, "usb-tablet", "USB tablet (absolute pointer)", TABLET, 0x0001);

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(input, "input", 1), {0}};
BP_MODULE("usb-hid", "USB keyboard, mouse and tablet", imports, {BP_PROVIDE_DEVICE, &keyboard},
          {BP_PROVIDE_DEVICE, &mouse}, {BP_PROVIDE_DEVICE, &tablet});
