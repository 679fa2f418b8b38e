// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A pen tablet like Wacom's PenPartner, in the human interface device class (HID 1.11; usages: HUT 1.12, chapter 16):
 * pen, barrel switch and eraser as an absolute pointer of 5040 by 3780 points with pressure. Reports have the layout
 * that drivers of this tablet want (identifier, X, Y, switches, pressure), and the report descriptor says it to those
 * that know only the class. The left button is the tip, the right one the barrel switch, the middle one the eraser.
 * Left out: the mode in which it says it is a mouse, which is told when it is asked for, but changes nothing.
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/bus/usb.h>
#include <bp/host/input.h>
#include <bp/level.h>
#include <bp/loop.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(input, struct bp_input_interface, "input", 1);

#define IN_EP 0x81u
#define REPORT 7u
#define QUEUE 32u
#define WIDTH 5040u
#define HEIGHT 3780u
#define PEN 2u /* identifier of its reports, and of the feature that has the mode */

enum { GET_REPORT = 1, GET_IDLE, GET_PROTOCOL, SET_REPORT = 9, SET_IDLE }; /* HID 7.2 */
enum { LEFT = 1, RIGHT = 2, MIDDLE = 4 };
enum { ERASER = 0x20, BARREL = 0x40, IN_RANGE = 0x80 };
enum { MODE_MOUSE = 1, MODE_PEN = 2 };

struct report {
    uint8_t bytes[REPORT];
};

struct wacom {
    struct bp_usb_device *usb;
    struct bp_input_device *device;
    struct bp_deferred *tell;
    /* saved */
    uint8_t mode, idle, buttons;
    bool active, told_active, changed;
    uint32_t x, y; /* of the tablet's points */
    struct report queue[QUEUE]; /* a ring */
    uint32_t first, count;
};

static const uint8_t report_descriptor[] = {
    0x05, 0x0d,                   /* digitizers */
    0x09, 0x02,                   /* a pen */
    0xa1, 0x01, 0x85, PEN,        /* application, report 2 */
    0x09, 0x20, 0xa1, 0x00,       /* stylus, physical */
    0x05, 0x01, 0x75, 0x10, 0x95, 0x01, 0x15, 0x00, 0x35, 0x00, 0x65, 0x13, 0x55, 0x0d,
    0x09, 0x30, 0x26, WIDTH & 0xff, WIDTH >> 8, 0x46, WIDTH & 0xff, WIDTH >> 8, 0x81, 0x02,
    0x09, 0x31, 0x26, HEIGHT & 0xff, HEIGHT >> 8, 0x46, HEIGHT & 0xff, HEIGHT >> 8, 0x81, 0x02,
    0x45, 0x00, 0x65, 0x00, 0x55, 0x00,
    0x05, 0x0d, 0x25, 0x01, 0x75, 0x01, 0x95, 0x05, 0x81, 0x03,
    0x09, 0x3c, 0x09, 0x44, 0x09, 0x32, 0x95, 0x03, 0x81, 0x02,  /* invert, barrel switch, in range */
    0x09, 0x30, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x01, 0x81, 0x02, /* pressure of the tip */
    0xc0,
    0x06, 0x00, 0xff, 0x09, 0x01, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x01, 0xb1, 0x02, /* its mode */
    0xc0};
static const uint8_t hid_descriptor[] = {9, 0x21, 0x10, 0x01, 0, 1, 0x22, sizeof(report_descriptor) & 0xff,
                                         sizeof(report_descriptor) >> 8};
static const struct bp_usb_endpoint endpoints[] = {
    {.address = IN_EP, .attributes = BP_USB_INTERRUPT, .max_packet = 8, .interval = 10}};
static const struct bp_usb_interface_info interfaces[] = {
    {.class_code = 3, .endpoint_count = 1, .endpoints = endpoints, .extra = hid_descriptor,
     .extra_length = sizeof(hid_descriptor)}};
static const struct bp_usb_description full = {.version = 0x0110, .max_packet0 = 8, .attributes = 0xa0, .power = 40,
                                               .interfaces = 1, .interface_count = 1, .table = interfaces};
static const char *const strings[] = {"", "QEMU", "QEMU PenPartner tablet", "1", NULL};

/* ---- reports ---- */
static void make(const struct wacom *s, struct report *r)
{
    bool tip = s->buttons & (LEFT | MIDDLE);

    r->bytes[0] = PEN;
    r->bytes[1] = (uint8_t)s->x;
    r->bytes[2] = (uint8_t)(s->x >> 8);
    r->bytes[3] = (uint8_t)s->y;
    r->bytes[4] = (uint8_t)(s->y >> 8);
    r->bytes[5] = (uint8_t)(IN_RANGE | (s->buttons & RIGHT ? BARREL : 0) | (s->buttons & MIDDLE ? ERASER : 0));
    r->bytes[6] = (uint8_t)(int8_t)(tip ? 127 : -127);
}

static unsigned space(void *opaque)
{
    const struct wacom *s = opaque;

    return s->count < QUEUE ? QUEUE - s->count : 0;
}

static uint32_t scale(int32_t value, uint32_t most)
{
    return (uint32_t)(value < 0 ? 0 : value > 32767 ? 32767 : value) * most / 32767;
}

static void event(void *opaque, const struct bp_input_event *e)
{
    struct wacom *s = opaque;
    unsigned bit = e->code == BTN_LEFT ? LEFT : e->code == BTN_RIGHT ? RIGHT : e->code == BTN_MIDDLE ? MIDDLE : 0;

    if (e->type == BP_INPUT_KEY)
        s->buttons = (uint8_t)(e->value ? s->buttons | bit : s->buttons & ~bit);
    else if (e->type == BP_INPUT_ABS && e->code == ABS_X)
        s->x = scale(e->value, WIDTH);
    else if (e->type == BP_INPUT_ABS && e->code == ABS_Y)
        s->y = scale(e->value, HEIGHT);
    s->changed = true;
}

static void sync(void *opaque)
{
    struct wacom *s = opaque;

    if (!s->active || !s->changed)
        return;
    s->changed = false;
    make(s, &s->queue[(s->first + (s->count < QUEUE ? s->count++ : QUEUE - 1)) % QUEUE]);
    usb->wakeup(s->usb);
    usb->ready(s->usb, IN_EP);
}

static void tell(void *opaque)
{
    struct wacom *s = opaque;

    if (!s->device)
        return;
    if (s->active && !s->told_active)
        input->activate(s->device);
    s->told_active = s->active;
    input->room(s->device);
}

/* ---- from the guest ---- */
static uint8_t answer(struct bp_usb_request *r, const void *bytes, unsigned size)
{
    r->actual = (uint16_t)(size < r->length ? size : r->length);
    memcpy(r->data, bytes, r->actual);
    return BP_USB_OK;
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct wacom *s = state;
    struct report now;

    switch (r->type << 8 | r->request) {
    case 0x8106: /* GET_DESCRIPTOR of the interface */
        if (r->value == 0x2200)
            return answer(r, report_descriptor, sizeof(report_descriptor));
        return r->value == 0x2100 ? answer(r, hid_descriptor, sizeof(hid_descriptor)) : BP_USB_STALL;
    case 0xa100 | GET_REPORT:
        if (r->value == (0x0300 | PEN))
            return answer(r, (const uint8_t[]){PEN, s->mode}, 2);
        if (r->value != (0x0100 | PEN))
            return BP_USB_STALL;
        make(s, &now);
        return answer(r, now.bytes, REPORT);
    case 0x2100 | SET_REPORT:
        if (r->value != (0x0300 | PEN) || r->length != 2 || r->data[0] != PEN || r->data[1] < MODE_MOUSE ||
            r->data[1] > MODE_PEN)
            return BP_USB_STALL;
        s->mode = r->data[1];
        return BP_USB_OK;
    case 0xa100 | GET_IDLE:
        return answer(r, &s->idle, 1);
    case 0x2100 | SET_IDLE: /* only "when something changes" is known (7.2.4) */
        if (r->value >> 8)
            return BP_USB_STALL;
        return BP_USB_OK;
    default:
        return BP_USB_STALL;
    }
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct wacom *s = state;

    if (s->count == 0)
        return BP_USB_NAK;
    if (p->length < REPORT)
        return BP_USB_BABBLE;
    memcpy(p->data, s->queue[s->first].bytes, REPORT);
    p->actual = REPORT;
    s->first = (s->first + 1) % QUEUE;
    s->count--;
    bp_deferred_schedule(s->tell);
    return BP_USB_OK;
}

static void reset(void *state)
{
    struct wacom *s = state;

    s->mode = MODE_MOUSE;
    s->idle = s->buttons = 0;
    s->active = s->changed = false;
    s->x = s->y = 0;
    s->first = s->count = 0;
    memset(s->queue, 0, sizeof(s->queue));
    bp_deferred_schedule(s->tell);
}

static void configured(void *state, uint8_t configuration)
{
    struct wacom *s = state;

    s->active = configuration != 0;
    bp_deferred_schedule(s->tell);
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_input_ops ops = {.size = sizeof(ops), .takes = BP_INPUT_TAKES_ABSOLUTE, .name = strings[2],
                                     .space = space, .event = event, .sync = sync};
    struct wacom *s = bp_device_state(dev);

    s->usb = usb->of(dev);
    s->tell = bp_deferred_new(bp_device_owner(dev), NULL, tell, s);
    return input->device_new(bp_device_object(dev), NULL, &ops, s, &s->device, err);
}

static void detach(struct bp_device *dev)
{
    struct wacom *s = bp_device_state(dev);

    input->device_free(s->device);
    s->device = NULL;
}

static int loaded(void *state, struct bp_error *err)
{
    struct wacom *s = state;

    (void)err;
    bp_deferred_schedule(s->tell);
    if (s->count)
        usb->ready(s->usb, IN_EP);
    return 0;
}

static const struct bp_state_field report_fields[] = {BP_SAVE_BUFFER(struct report, bytes), BP_SAVE_END};
static const struct bp_state_table report_table = {.version = 1, .oldest = 1, .fields = report_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_RANGE(UINT8, struct wacom, mode, MODE_MOUSE, MODE_PEN), BP_SAVE(UINT8, struct wacom, idle),
    BP_SAVE_RANGE(UINT8, struct wacom, buttons, 0, LEFT | RIGHT | MIDDLE), BP_SAVE(BOOL, struct wacom, active),
    BP_SAVE(BOOL, struct wacom, told_active), BP_SAVE(BOOL, struct wacom, changed),
    BP_SAVE_RANGE(UINT32, struct wacom, x, 0, WIDTH), BP_SAVE_RANGE(UINT32, struct wacom, y, 0, HEIGHT),
    BP_SAVE_STRUCTS(struct wacom, queue, &report_table), BP_SAVE_RANGE(UINT32, struct wacom, first, 0, QUEUE - 1),
    BP_SAVE_RANGE(UINT32, struct wacom, count, 0, QUEUE), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};
static const struct bp_field props[] = {BP_FIELDS_END};

static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0x056a, .product = 0x0000, .release = 0x4210, .manufacturer_string = 1,
    .product_string = 2, .serial_string = 3, .at = {NULL, &full, NULL, NULL}, .strings = strings, .control = control,
    .transfer = transfer, .reset = reset, .configured = configured};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};
BP_NOTE("provides=device:usb-wacom-tablet;bus=usb-bus;user=yes;summary=USB pen tablet (Wacom PenPartner)");
static const struct bp_device_class wacom_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "usb-wacom-tablet",
             .parent = "usb-device", .summary = "USB pen tablet (Wacom PenPartner)",
             .state_size = sizeof(struct wacom), .props = props, .state = &table, .infos = infos},
    .bus = "usb-bus", .category = "input", .attach = attach, .detach = detach};

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(input, "input", 1), {0}};
BP_MODULE("usb-wacom", "USB pen tablet", imports, {BP_PROVIDE_DEVICE, &wacom_class});
