// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A serial line by the protocol of FTDI's FT232BM (its application notes AN232B-04 and -05, and what its drivers send):
 * bytes from the host to endpoint 2 go out; those that come in, and two bytes of status before each 62 of them, from
 * endpoint 1. Speed, frame and break reach a chardev that has them. Left out: bit-bang modes, the EEPROM, event and
 * error characters, the host's modem lines.
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/host/chardev.h>
#include <bp/level.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

#define IN_EP 0x81u
#define OUT_EP 0x02u
#define PACKET 64u
#define FIFO 384u /* bytes that wait for the guest */
#define CLOCK 48000000u

enum { RESET, SET_MODEM, SET_FLOW, SET_BAUD, SET_DATA, GET_MODEM, SET_EVENT, SET_ERROR, SET_LATENCY = 9, GET_LATENCY };
enum { MODEM_ONE = 0x01, MODEM_CTS = 0x10, MODEM_DSR = 0x20, MODEM_DCD = 0x80 };
enum { LINE_THRE = 0x20, LINE_TEMT = 0x40, LINE_BREAK = 0x10 };

struct serial {
    struct bp_usb_device *usb;
    struct bp_object *chardev; /* property */
    struct bp_chardev *chr;
    /* saved */
    uint8_t fifo[FIFO]; /* a ring */
    uint32_t first, count;
    uint8_t latency, broken, tell; /* a break came; there is status to tell, without bytes */
    uint16_t divisor, divisor_high, data; /* as they were set */
};

static const struct bp_usb_endpoint endpoints[] = {
    {.address = IN_EP, .attributes = BP_USB_BULK, .max_packet = PACKET},
    {.address = OUT_EP, .attributes = BP_USB_BULK, .max_packet = PACKET}};
static const struct bp_usb_interface_info interfaces[] = {
    {.class_code = 0xff, .subclass = 0xff, .protocol = 0xff, .string = 2, .endpoint_count = 2,
     .endpoints = endpoints}};
static const struct bp_usb_description full = {.version = 0x0200, .max_packet0 = 8, .attributes = 0x80, .power = 50,
                                               .interfaces = 1, .interface_count = 1, .table = interfaces};
static const char *const strings[] = {"", "QEMU", "QEMU USB SERIAL", "1", NULL};
static const char *const braille_strings[] = {"", "QEMU", "QEMU USB BRAILLE", "1", NULL};

/* ---- the line ---- */
static size_t can_read(void *opaque)
{
    const struct serial *s = opaque;

    return FIFO - s->count;
}

static void receive(void *opaque, const uint8_t *buf, size_t length)
{
    struct serial *s = opaque;

    for (size_t i = 0; i < length && s->count < FIFO; i++)
        s->fifo[(s->first + s->count++) % FIFO] = buf[i];
    usb->ready(s->usb, IN_EP);
}

static void line_event(void *opaque, enum bp_chardev_event event)
{
    struct serial *s = opaque;

    if (event == BP_CHARDEV_BREAK)
        s->broken = 1;
    s->tell = 1; /* who is there has changed, too */
    usb->ready(s->usb, IN_EP);
}

static const struct bp_chardev_handlers handlers = {.size = sizeof(handlers), .can_read = can_read, .read = receive,
                                                    .event = line_event};

static uint8_t modem(const struct serial *s)
{
    return MODEM_ONE | (chardev->is_open(s->chr) ? MODEM_CTS | MODEM_DSR | MODEM_DCD : 0);
}

static void set_line(struct serial *s)
{
    static const char parities[] = {'N', 'O', 'E', 'N', 'N'};
    static const uint8_t eighths[] = {0, 4, 2, 1, 3, 5, 6, 7};
    unsigned sub = (unsigned)(s->divisor >> 14) | (s->divisor_high & 1u) << 2;
    unsigned divisor = (s->divisor & 0x3fffu) * 8 + eighths[sub];
    struct bp_serial_params p = {.size = sizeof(p), .data_bits = s->data & 0xff,
                                 .stop_bits = s->data >> 11 & 3 ? 2 : 1};
    unsigned parity = s->data >> 8 & 7;
    int hold = s->data >> 14 & 1;

    if (divisor == 0) /* two values that stand for the fastest */
        divisor = 8;
    else if (divisor == 8)
        divisor = 12;
    p.speed = (int)(CLOCK / 2 / divisor);
    p.parity = parities[parity < sizeof(parities) ? parity : 0];
    chardev->ioctl(s->chr, BP_CHARDEV_SET_PARAMS, &p);
    chardev->ioctl(s->chr, BP_CHARDEV_SET_BREAK, &hold);
}

/* ---- packets ---- */
static uint8_t give(struct serial *s, struct bp_usb_packet *p)
{
    if (s->count == 0 && !s->tell)
        return BP_USB_NAK;
    if (p->length < 2)
        return BP_USB_BABBLE;
    while (p->length - p->actual >= 2 && (s->count || p->actual == 0)) {
        uint8_t *d = p->data + p->actual;
        uint32_t room = p->length - p->actual, n;

        n = (room < PACKET ? room : PACKET) - 2;
        if (n > s->count)
            n = s->count;
        d[0] = modem(s);
        d[1] = LINE_THRE | LINE_TEMT | (s->broken ? LINE_BREAK : 0);
        s->broken = s->tell = 0;
        for (uint32_t i = 0; i < n; i++) {
            d[2 + i] = s->fifo[s->first];
            s->first = (s->first + 1) % FIFO;
        }
        s->count -= n;
        p->actual += n + 2;
        if (n + 2 < PACKET)
            break;
    }
    chardev->accept_input(s->chr, s);
    return BP_USB_OK;
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct serial *s = state;

    if (p->token == BP_USB_IN)
        return give(s, p);
    chardev->write(s->chr, p->data, p->length, s); /* what a back end can't take in time is lost, as on a line */
    p->actual = p->length;
    return BP_USB_OK;
}

static void drop_input(struct serial *s)
{
    memset(s->fifo, 0, sizeof(s->fifo));
    s->first = s->count = 0;
    if (s->chr)
        chardev->accept_input(s->chr, s);
}

static void reset(void *state)
{
    struct serial *s = state;

    s->latency = 16;
    s->broken = 0;
    s->tell = 0;
    s->divisor = 0x4138; /* 9600 */
    s->divisor_high = 0;
    s->data = 8;
    drop_input(s);
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct serial *s = state;

    if (r->type == 0x40 && r->length == 0) {
        switch (r->request) {
        case RESET:
            if (r->value == 0)
                reset(s);
            else if (r->value == 1)
                drop_input(s);
            return r->value <= 2 ? BP_USB_OK : BP_USB_STALL;
        case SET_MODEM:
        case SET_FLOW:
        case SET_EVENT:
        case SET_ERROR:
            return BP_USB_OK;
        case SET_BAUD:
            s->divisor = r->value;
            s->divisor_high = r->index;
            set_line(s);
            return BP_USB_OK;
        case SET_DATA:
            s->data = r->value;
            set_line(s);
            return BP_USB_OK;
        case SET_LATENCY:
            s->latency = (uint8_t)r->value;
            return BP_USB_OK;
        default:
            return BP_USB_STALL;
        }
    }
    if (r->type != 0xc0 || r->length == 0)
        return BP_USB_STALL;
    switch (r->request) {
    case GET_MODEM:
        r->data[0] = modem(s);
        r->actual = 1;
        if (r->length > 1) {
            r->data[1] = LINE_THRE | LINE_TEMT;
            r->actual = 2;
        }
        return BP_USB_OK;
    case GET_LATENCY:
        r->data[0] = s->latency;
        r->actual = 1;
        return BP_USB_OK;
    default:
        return BP_USB_STALL;
    }
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct serial *s = bp_device_state(dev);

    s->usb = usb->of(dev);
    s->chr = s->chardev ? chardev->from_object(s->chardev) : NULL;
    if (!s->chr)
        return bp_fail(err, EINVAL, "%s: property 'chardev' is missing: where does its line lead?",
                       bp_object_type(bp_device_object(dev)));
    return chardev->connect(s->chr, &handlers, s, err);
}

static void detach(struct bp_device *dev)
{
    struct serial *s = bp_device_state(dev);

    chardev->disconnect(s->chr, s);
    s->chr = NULL;
}

static int loaded(void *state, struct bp_error *err)
{
    struct serial *s = state;

    (void)err;
    set_line(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_BUFFER(struct serial, fifo), BP_SAVE_RANGE(UINT32, struct serial, first, 0, FIFO - 1),
    BP_SAVE_RANGE(UINT32, struct serial, count, 0, FIFO), BP_SAVE(UINT8, struct serial, latency),
    BP_SAVE_RANGE(UINT8, struct serial, broken, 0, 1), BP_SAVE_RANGE(UINT8, struct serial, tell, 0, 1),
    BP_SAVE(UINT16, struct serial, divisor), BP_SAVE(UINT16, struct serial, divisor_high),
    BP_SAVE(UINT16, struct serial, data), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .loaded = loaded};
static const struct bp_field props[] = {
    BP_PROP_LINK("chardev", "chardev", struct serial, chardev, "where the line leads"), BP_FIELDS_END};

/* Braille terminals of Baum have the same chip with a number of their own, by which drivers know them. */
#define SERIAL(IDENT, NAME, SUMMARY, PRODUCT, STRINGS) \
    static const struct bp_usb_device_info IDENT##_info = { \
        .size = sizeof(IDENT##_info), .vendor = 0x0403, .product = PRODUCT, .release = 0x0400, \
        .manufacturer_string = 1, .product_string = 2, .serial_string = 3, .at = {NULL, &full, NULL, NULL}, \
        .strings = STRINGS, \
        .control = control, .transfer = transfer, .reset = reset}; \
    static const struct bp_level_info IDENT##_infos[] = {{.level = "usb-device", .info = &IDENT##_info}, \
                                                          {.level = NULL}}; \
    BP_NOTE("provides=device:" NAME ";bus=usb-bus;user=yes;summary=" SUMMARY); \
    static const struct bp_device_class IDENT##_class = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = NAME, \
                 .parent = "usb-device", .summary = SUMMARY, .state_size = sizeof(struct serial), .props = props, \
                 .state = &table, .infos = IDENT##_infos}, \
        .bus = "usb-bus", .category = "misc", .attach = attach, .detach = detach, .firmware_name = "serial"}
SERIAL(serial, "usb-serial", "USB serial line (FTDI)", 0x6001, strings);
SERIAL(braille, "usb-braille", "USB braille terminal: Baum's on a serial line", 0xfe72, braille_strings);

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("usb-serial", "USB serial line", imports, {BP_PROVIDE_DEVICE, &serial_class},
          {BP_PROVIDE_DEVICE, &braille_class});
