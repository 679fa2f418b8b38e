// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A hub of USB 1.1 (USB 2.0, chapter 11) with up to eight ports, each with its own power; changes are told by the
 * interrupt endpoint. Devices behind it work at low and full speed. Left out: transaction translators, indicators,
 * over-current.
 */
#define BP_SHARED
#include <errno.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/level.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);

#define PORTS 8u
#define IN_EP 0x81u

enum { CONNECTION, ENABLE, SUSPEND, OVER_CURRENT, RESET, POWER = 8, LOW_SPEED }; /* features and bits, 11.24.2.7 */
#define C_FEATURES 16u /* those of the changes begin there */
#define BIT(n) (1u << (n))

struct hub_port {
    uint16_t status, change;
};

struct hub {
    struct bp_usb_device *usb;
    uint32_t ports; /* property */
    struct hub_port port[PORTS];
};

/* ---- descriptors ---- */
static const struct bp_usb_endpoint endpoints[] = {
    {.address = IN_EP, .attributes = BP_USB_INTERRUPT, .max_packet = 2, .interval = 255}};
static const struct bp_usb_interface_info interfaces[] = {{.class_code = 9, .endpoint_count = 1,
                                                           .endpoints = endpoints}};
static const struct bp_usb_description full = {
    .version = 0x0110, .max_packet0 = 8, .class_code = 9, .attributes = 0xe0, .interfaces = 1, .interface_count = 1,
    .table = interfaces};
static const char *const strings[] = {"", "QEMU", "QEMU USB Hub", "314159", NULL};

/* ---- ports ---- */
static void changed(struct hub *s, unsigned n, unsigned bits)
{
    s->port[n].change |= (uint16_t)bits;
    usb->wakeup(s->usb);
    usb->ready(s->usb, IN_EP);
}

static void look(struct hub *s, unsigned n)
{
    struct bp_usb_device *d = usb->plugged(usb->hub_port(s->usb, n));

    s->port[n].status &= (uint16_t)~(BIT(CONNECTION) | BIT(ENABLE) | BIT(SUSPEND) | BIT(LOW_SPEED));
    if (d && s->port[n].status & BIT(POWER))
        s->port[n].status |= (uint16_t)(BIT(CONNECTION) | (usb->speed(d) == BP_USB_LOW ? BIT(LOW_SPEED) : 0));
    usb->enable(usb->hub_port(s->usb, n), false);
}

static void attached(void *opaque, unsigned n)
{
    struct hub *s = opaque;

    look(s, n);
    if (s->port[n].status & BIT(CONNECTION))
        changed(s, n, BIT(CONNECTION));
}

static void detached(void *opaque, unsigned n)
{
    struct hub *s = opaque;
    uint16_t before = s->port[n].status;

    look(s, n);
    if (before & BIT(CONNECTION))
        changed(s, n, BIT(CONNECTION) | (before & BIT(ENABLE)));
}

static void wakeup(void *opaque, unsigned n)
{
    struct hub *s = opaque;

    if (!(s->port[n].status & BIT(SUSPEND))) {
        usb->wakeup(s->usb); /* the hub itself is suspended */
        return;
    }
    s->port[n].status &= (uint16_t)~BIT(SUSPEND);
    changed(s, n, BIT(SUSPEND));
}

static void reset_port(struct hub *s, unsigned n)
{
    struct bp_usb_port *port = usb->hub_port(s->usb, n);

    if (!(s->port[n].status & BIT(CONNECTION)))
        return;
    usb->reset(port);
    s->port[n].status &= (uint16_t)~BIT(SUSPEND);
    s->port[n].status |= BIT(ENABLE);
    usb->enable(port, true);
    changed(s, n, BIT(RESET));
}

/* ---- requests, 11.24.2 ---- */
static uint8_t set_feature(struct hub *s, unsigned n, unsigned feature)
{
    switch (feature) {
    case SUSPEND:
        if (s->port[n].status & BIT(ENABLE))
            s->port[n].status |= BIT(SUSPEND);
        return BP_USB_OK;
    case RESET:
        reset_port(s, n);
        return BP_USB_OK;
    case POWER:
        if (!(s->port[n].status & BIT(POWER))) {
            s->port[n].status |= BIT(POWER);
            attached(s, n);
        }
        return BP_USB_OK;
    default:
        return BP_USB_STALL;
    }
}

static uint8_t clear_feature(struct hub *s, unsigned n, unsigned feature)
{
    switch (feature) {
    case ENABLE:
        s->port[n].status &= (uint16_t)~(BIT(ENABLE) | BIT(SUSPEND));
        usb->enable(usb->hub_port(s->usb, n), false);
        return BP_USB_OK;
    case SUSPEND:
        if (s->port[n].status & BIT(SUSPEND)) {
            s->port[n].status &= (uint16_t)~BIT(SUSPEND);
            changed(s, n, BIT(SUSPEND));
        }
        return BP_USB_OK;
    case POWER:
        s->port[n].status = 0;
        look(s, n);
        return BP_USB_OK;
    default:
        if (feature < C_FEATURES || feature > C_FEATURES + RESET)
            return BP_USB_STALL;
        s->port[n].change &= (uint16_t)~BIT(feature - C_FEATURES);
        return BP_USB_OK;
    }
}

static uint8_t answer(struct bp_usb_request *r, const uint8_t *bytes, unsigned size)
{
    r->actual = (uint16_t)(size < r->length ? size : r->length);
    memcpy(r->data, bytes, r->actual);
    return BP_USB_OK;
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct hub *s = state;
    unsigned n = (r->index & 0xff) - 1u;
    bool of_port = n < s->ports;
    uint8_t bytes[9] = {0};

    switch (r->type << 8 | r->request) {
    case 0xa006: { /* the hub's descriptor: power of each port by itself, 11.23.2.1; none is fixed */
        const uint8_t hub[9] = {9, 0x29, (uint8_t)s->ports, 0x09, 0, 1, 0, 0, 0xff};

        return r->value >> 8 == 0x29 ? answer(r, hub, sizeof(hub)) : BP_USB_STALL;
    }
    case 0xa000: /* status of the hub: nothing is ever wrong */
        return answer(r, bytes, 4);
    case 0xa300:
        if (!of_port)
            return BP_USB_STALL;
        bytes[0] = (uint8_t)s->port[n].status;
        bytes[1] = (uint8_t)(s->port[n].status >> 8);
        bytes[2] = (uint8_t)s->port[n].change;
        return answer(r, bytes, 4);
    case 0x2303:
        return of_port ? set_feature(s, n, r->value) : BP_USB_STALL;
    case 0x2301:
        return of_port ? clear_feature(s, n, r->value) : BP_USB_STALL;
    case 0x2001: /* changes of the hub itself */
        return r->value < 2 ? BP_USB_OK : BP_USB_STALL;
    default:
        return BP_USB_STALL;
    }
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct hub *s = state;
    unsigned bits = 0, size = (s->ports + 8) / 8;

    for (unsigned n = 0; n < s->ports; n++)
        bits |= s->port[n].change ? BIT(n + 1) : 0;
    if (!bits)
        return BP_USB_NAK;
    if (p->length < size)
        return BP_USB_BABBLE;
    for (unsigned i = 0; i < size; i++)
        p->data[i] = (uint8_t)(bits >> 8 * i);
    p->actual = size;
    return BP_USB_OK;
}

static void reset(void *state)
{
    struct hub *s = state;

    for (unsigned n = 0; n < s->ports; n++) {
        s->port[n].status = s->port[n].change = 0;
        if (usb->hub_port(s->usb, n))
            look(s, n);
    }
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_usb_port_ops ops = {.size = sizeof(ops), .attached = attached, .detached = detached,
                                        .wakeup = wakeup};
    struct hub *s = bp_device_state(dev);

    s->usb = usb->of(dev);
    if (s->ports == 0 || s->ports > PORTS)
        return bp_fail(err, EINVAL, "usb-hub: ports=%u: 1 to %u are possible", s->ports, PORTS);
    return usb->add_ports(s->usb, s->ports, BP_USB_SPEED(BP_USB_LOW) | BP_USB_SPEED(BP_USB_FULL), &ops, s, err);
}

static void detach(struct bp_device *dev)
{
    struct hub *s = bp_device_state(dev);

    usb->remove_ports(s->usb);
}

static int unplug_request(struct bp_device *dev, struct bp_error *err)
{
    struct hub *s = bp_device_state(dev);

    for (unsigned n = 0; n < s->ports; n++) {
        if (usb->plugged(usb->hub_port(s->usb, n)))
            return bp_fail(err, EBUSY, "usb-hub: something is plugged into its port %u: unplug that first", n + 1);
    }
    bp_device_unplugged(dev);
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct hub *s = state;

    (void)err;
    for (unsigned n = 0; n < s->ports; n++)
        usb->enable(usb->hub_port(s->usb, n), (s->port[n].status & BIT(ENABLE)) != 0);
    return 0;
}

static const struct bp_state_field port_fields[] = {
    BP_SAVE(UINT16, struct hub_port, status), BP_SAVE_RANGE(UINT16, struct hub_port, change, 0, 31), BP_SAVE_END};
static const struct bp_state_table port_table = {.version = 1, .oldest = 1, .fields = port_fields};
static const struct bp_state_field fields[] = {BP_SAVE_STRUCTS(struct hub, port, &port_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .loaded = loaded};
static const struct bp_field props[] = {
    BP_PROP("ports", UINT32, struct hub, ports, "8", "how many, up to 8"), BP_FIELDS_END};

static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0x0409, .product = 0x55aa, .release = 0x0101, .manufacturer_string = 1,
    .product_string = 2, .serial_string = 3, .at = {NULL, &full, NULL, NULL}, .strings = strings, .control = control,
    .transfer = transfer, .reset = reset};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};
BP_NOTE("provides=device:usb-hub;bus=usb-bus;user=yes;summary=USB hub");
static const struct bp_device_class hub_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "usb-hub",
             .parent = "usb-device", .summary = "USB hub", .state_size = sizeof(struct hub), .props = props,
             .state = &table, .infos = infos},
    .bus = "usb-bus", .category = "bridge", .attach = attach, .detach = detach, .unplug_request = unplug_request,
    .firmware_name = "hub"};

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), {0}};
BP_MODULE("usb-hub", "USB hub", imports, {BP_PROVIDE_DEVICE, &hub_class});
