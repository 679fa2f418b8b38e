/* SPDX-License-Identifier: MIT */
/* @name@: what it is, which standard it follows, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/bus/usb.h>
#include <bp/level.h>

#include <string.h>

/* A device of a class of its own: what is sent to endpoint 2 comes back from endpoint 1. */
#define IN_EP 0x81u
#define OUT_EP 0x02u
#define SIZE 64u
#define GET_FILL 0x01u /* a request of the vendor's */

struct @ident@ {
    struct bp_usb_device *usb;
    uint8_t fill; /* what it holds after a reset */
    uint8_t bytes[SIZE];
    uint32_t count; /* of bytes that wait */
    struct bp_usb_packet *waiting; /* for bytes; the controller's, who may take it back at any time */
};

BP_USE(usb, struct bp_usb_interface, "usb", 1);

/* ---- what it is: tables ---- */
static const struct bp_usb_endpoint @ident@_endpoints[] = {
    {.address = IN_EP, .attributes = BP_USB_BULK, .max_packet = 64},
    {.address = OUT_EP, .attributes = BP_USB_BULK, .max_packet = 64}};
static const struct bp_usb_interface_info @ident@_interfaces[] = {
    {.class_code = 0xff, .endpoint_count = 2, .endpoints = @ident@_endpoints}};
static const struct bp_usb_description @ident@_full = {
    .version = 0x0110, .max_packet0 = 8, .attributes = 0x80, .power = 50, .interfaces = 1, .interface_count = 1,
    .table = @ident@_interfaces};
static const char *const @ident@_strings[] = {"", "Backplane", "@name@", NULL};

/* ---- what it does ---- */
/* Under the machine lock. Requests of the standard are the bus's. */
static uint8_t @ident@_control(void *state, struct bp_usb_request *r)
{
    struct @ident@ *s = state;

    if (r->type != 0xc0 || r->request != GET_FILL || r->length == 0)
        return BP_USB_STALL;
    r->data[0] = s->fill;
    r->actual = 1;
    return BP_USB_OK;
}

static uint8_t @ident@_give(struct @ident@ *s, struct bp_usb_packet *p)
{
    uint32_t n = p->length < s->count ? p->length : s->count;

    memcpy(p->data, s->bytes, n);
    memmove(s->bytes, s->bytes + n, SIZE - n);
    s->count -= n;
    p->actual = n;
    if (s->count == 0)
        usb->ready(s->usb, OUT_EP);
    return BP_USB_OK;
}

static uint8_t @ident@_take(struct @ident@ *s, struct bp_usb_packet *p)
{
    struct bp_usb_packet *in = s->waiting;
    uint32_t n = p->length < SIZE ? p->length : SIZE;

    if (s->count)
        return BP_USB_NAK; /* what is there has to be fetched first: ready() tells when it was */
    memcpy(s->bytes, p->data, n);
    s->count = p->actual = n;
    s->waiting = NULL;
    if (in && n)
        usb->complete(in, @ident@_give(s, in)); /* which is not this device's any more */
    else
        s->waiting = in;
    return n < p->length ? BP_USB_BABBLE : BP_USB_OK;
}

/* One whose work takes time keeps the packet, returns BP_USB_LATER and calls usb->complete(). */
static uint8_t @ident@_transfer(void *state, struct bp_usb_packet *p)
{
    struct @ident@ *s = state;

    if (p->token == BP_USB_OUT)
        return @ident@_take(s, p);
    if (s->count)
        return @ident@_give(s, p);
    s->waiting = p;
    return BP_USB_LATER;
}

/* Drivers give up, cables are pulled: the packet is not touched after this. Called before reset and detach, too. */
static void @ident@_cancel(void *state, struct bp_usb_packet *p)
{
    struct @ident@ *s = state;

    if (s->waiting == p)
        s->waiting = NULL;
}

static void @ident@_reset(void *state)
{
    struct @ident@ *s = state;

    memset(s->bytes, s->fill, SIZE);
    s->count = 0;
}

static int @ident@_attach(struct bp_device *dev, struct bp_error *err)
{
    struct @ident@ *s = bp_device_state(dev);

    s->usb = usb->of(dev);
    return 0;
}

static const struct bp_field @ident@_props[] = {
    BP_PROP("fill", UINT8, struct @ident@, fill, "0", "byte that it holds after a reset"),
    BP_FIELDS_END};
static const struct bp_state_field @ident@_fields[] = {
    BP_SAVE_BUFFER(struct @ident@, bytes), BP_SAVE_RANGE(UINT32, struct @ident@, count, 0, SIZE), BP_SAVE_END};
static const struct bp_state_table @ident@_state = {
    .name = "@name@", .version = 1, .oldest = 1, .fields = @ident@_fields};

static const struct bp_usb_device_info @ident@_info = {
    .size = sizeof(@ident@_info), .vendor = 0xfff0, .product = 0x0001, .release = 0x0100, .manufacturer_string = 1,
    .product_string = 2, .at = {NULL, &@ident@_full, NULL, NULL}, .strings = @ident@_strings,
    .control = @ident@_control,
    .transfer = @ident@_transfer, .cancel = @ident@_cancel, .reset = @ident@_reset};
static const struct bp_level_info @ident@_infos[] = {{.level = "usb-device", .info = &@ident@_info}, {.level = NULL}};
BP_NOTE("provides=device:@name@;bus=usb-bus;user=yes;summary=One line of help");
static const struct bp_device_class @ident@ = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "@name@",
             .parent = "usb-device", .summary = "One line of help", .state_size = sizeof(struct @ident@),
             .props = @ident@_props, .state = &@ident@_state, .infos = @ident@_infos},
    .bus = "usb-bus", .category = "misc", .attach = @ident@_attach};

static const struct bp_import @ident@_imports[] = {BP_IMPORT(usb, "usb", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_DEVICE, &@ident@});
