// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A network card on USB: Ethernet Control Model (CDC 1.2; ECM 1.2), one frame for each transfer, which a short packet
 * ends. Filters by kind of address and by a list of multicast addresses; the cable and its speed are told by
 * notifications. Left out: statistics, patterns that wake, RNDIS (so that Windows, which has no driver of this class,
 * does not know it).
 */
#define BP_SHARED
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/host/net.h>
#include <bp/level.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

#define IN_EP 0x81u
#define OUT_EP 0x02u
#define NOTIFY_EP 0x83u
#define FRAME 1514u
#define FRAMES 8u /* that wait for the guest */
#define GROUPS 32u
#define SPEED 100000000u /* bits per second, either way */

enum { SET_MULTICAST = 0x40, SET_FILTER = 0x43 };              /* ECM table 6 */
enum { PROMISCUOUS = 1, ALL_MULTICAST = 2, DIRECTED = 4, BROADCAST = 8, MULTICAST = 16, FILTER = 31 }; /* table 8 */
enum { NETWORK_CONNECTION = 0x00, CONNECTION_SPEED_CHANGE = 0x2a }; /* notifications, CDC table 20 */
enum { TELL_LINK = 1, TELL_SPEED = 2 };

struct frame {
    uint8_t bytes[FRAME];
    uint32_t length;
};

struct card {
    struct bp_usb_device *usb;
    struct bp_nic *nic;
    struct bp_net_conf conf; /* properties */
    /* saved */
    uint8_t active, tell; /* data go; notifications that wait */
    uint8_t ends;         /* the frame before ended with a whole packet: an empty one follows */
    uint16_t filter;
    uint32_t groups;
    uint8_t group[GROUPS][6];
    struct frame in[FRAMES]; /* a ring */
    uint32_t first, count, at; /* at: bytes of the first that went */
    struct frame out;          /* comes in packets */
    uint8_t too_long;
};

/* ---- descriptors ---- */
enum { MANUFACTURER = 1, PRODUCT, SERIAL, CONTROL_NAME, MAC, DATA_NAME };
static const uint8_t functional[] = {
    5, 0x24, 0x00, 0x10, 0x01,                                              /* header, CDC 5.2.3.1 */
    5, 0x24, 0x06, 0, 1,                                                    /* union: interfaces 0 and 1 */
    13, 0x24, 0x0f, MAC, 0, 0, 0, 0, FRAME & 0xff, FRAME >> 8, GROUPS, 0, 0}; /* Ethernet, ECM 5.4 */
#define AT(IDENT, VERSION, SIZE, INTERVAL) \
    static const struct bp_usb_endpoint IDENT##_notify[] = { \
        {.address = NOTIFY_EP, .attributes = BP_USB_INTERRUPT, .max_packet = 16, .interval = INTERVAL}}; \
    static const struct bp_usb_endpoint IDENT##_data[] = { \
        {.address = IN_EP, .attributes = BP_USB_BULK, .max_packet = SIZE}, \
        {.address = OUT_EP, .attributes = BP_USB_BULK, .max_packet = SIZE}}; \
    static const struct bp_usb_interface_info IDENT##_interfaces[] = { \
        {.number = 0, .class_code = 2, .subclass = 6, .string = CONTROL_NAME, .endpoint_count = 1, \
         .endpoints = IDENT##_notify, .extra = functional, .extra_length = sizeof(functional)}, \
        {.number = 1, .class_code = 10, .string = DATA_NAME}, \
        {.number = 1, .alternate = 1, .class_code = 10, .string = DATA_NAME, .endpoint_count = 2, \
         .endpoints = IDENT##_data}}; \
    static const struct bp_usb_description IDENT = { \
        .version = VERSION, .max_packet0 = 64, .class_code = 2, .attributes = 0xc0, .interfaces = 2, \
        .interface_count = 3, .table = IDENT##_interfaces}
AT(full, 0x0110, 64, 32);
AT(high, 0x0200, 512, 9);
static const char *const strings[] = {"", "QEMU", "QEMU USB Network Interface", "1", "CDC Ethernet control", "",
                                      "CDC Ethernet data", NULL};

static uint32_t packet_size(const struct card *s)
{
    return usb->speed(s->usb) == BP_USB_HIGH ? 512 : 64;
}

/* ---- from the cable ---- */
static bool wanted(const struct card *s, const uint8_t *to)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t own[6];

    if (s->filter & PROMISCUOUS)
        return true;
    if (memcmp(to, all, 6) == 0)
        return s->filter & BROADCAST;
    if (to[0] & 1) {
        for (uint32_t n = 0; s->filter & MULTICAST && n < s->groups; n++) {
            if (memcmp(to, s->group[n], 6) == 0)
                return true;
        }
        return s->filter & ALL_MULTICAST;
    }
    net->nic_mac(s->nic, own);
    return s->filter & DIRECTED && memcmp(to, own, 6) == 0;
}

static void take(struct card *s, const struct bp_net_packet *p)
{
    struct frame *f = &s->in[(s->first + s->count) % FRAMES];

    f->length = 0;
    for (unsigned n = 0; n < p->count; n++) {
        memcpy(f->bytes + f->length, p->vectors[n].iov_base, p->vectors[n].iov_len);
        f->length += (uint32_t)p->vectors[n].iov_len;
    }
    if (f->length >= 14 && wanted(s, f->bytes))
        s->count++;
}

static unsigned receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct card *s = opaque;
    unsigned n = 0;

    (void)queue;
    for (; n < count && (!s->active || s->count < FRAMES); n++) {
        if (s->active && packets[n].length <= FRAME)
            take(s, &packets[n]);
    }
    if (s->count)
        usb->ready(s->usb, IN_EP);
    return n;
}

static void link_changed(void *opaque, bool up)
{
    struct card *s = opaque;

    (void)up;
    s->tell = TELL_LINK | TELL_SPEED;
    usb->ready(s->usb, NOTIFY_EP);
}

static const struct bp_nic_ops nic_ops = {.size = sizeof(nic_ops), .receive = receive, .link = link_changed};

/* ---- packets ---- */
static uint8_t give(struct card *s, struct bp_usb_packet *p)
{
    struct frame *f = &s->in[s->first];
    uint32_t n;

    if (s->ends) { /* the end of what was a multiple of packets long */
        s->ends = 0;
        return BP_USB_OK;
    }
    if (s->count == 0)
        return BP_USB_NAK;
    n = f->length - s->at < p->length ? f->length - s->at : p->length;
    memcpy(p->data, f->bytes + s->at, n);
    p->actual = n;
    s->at += n;
    if (s->at < f->length)
        return BP_USB_OK;
    s->ends = n == p->length && n % packet_size(s) == 0;
    s->at = 0;
    s->first = (s->first + 1) % FRAMES;
    s->count--;
    net->nic_ready(s->nic, 0);
    return BP_USB_OK;
}

static uint8_t take_packet(struct card *s, struct bp_usb_packet *p)
{
    struct frame *f = &s->out;
    const struct iovec v = {f->bytes, 0};
    struct bp_net_packet frame = {.vectors = &v, .count = 1};
    uint32_t n = p->length < FRAME - f->length ? p->length : FRAME - f->length;

    memcpy(f->bytes + f->length, p->data, n);
    f->length += n;
    s->too_long |= n < p->length;
    p->actual = p->length;
    if (p->length && p->length % packet_size(s) == 0)
        return BP_USB_OK; /* more follows */
    if (f->length >= 14 && !s->too_long) {
        const struct iovec whole = {f->bytes, f->length};

        frame.vectors = &whole;
        frame.length = f->length;
        net->nic_send(s->nic, 0, &frame, 1); /* what nobody takes in time is lost, as on a cable */
    }
    f->length = 0;
    s->too_long = 0;
    return BP_USB_OK;
}

static void put32(uint8_t *d, uint32_t v)
{
    for (unsigned n = 0; n < 4; n++)
        d[n] = (uint8_t)(v >> 8 * n);
}

static uint8_t notify(struct card *s, struct bp_usb_packet *p)
{
    uint8_t d[16] = {0xa1};
    uint32_t size = s->tell & TELL_LINK ? 8 : 16;
    bool up = net->nic_link(s->nic);

    if (!s->tell)
        return BP_USB_NAK;
    if (p->length < size)
        return BP_USB_BABBLE;
    if (s->tell & TELL_LINK) {
        d[1] = NETWORK_CONNECTION;
        d[2] = up;
        s->tell &= (uint8_t)~TELL_LINK;
    } else {
        d[1] = CONNECTION_SPEED_CHANGE;
        d[6] = 8;
        put32(d + 8, up ? SPEED : 0);
        put32(d + 12, up ? SPEED : 0);
        s->tell = 0;
    }
    memcpy(p->data, d, size);
    p->actual = size;
    return BP_USB_OK;
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    if (p->token == BP_USB_OUT)
        return take_packet(state, p);
    return p->endpoint == (IN_EP & 15) ? give(state, p) : notify(state, p);
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct card *s = state;

    if (r->type != 0x21 || r->index != 0)
        return BP_USB_STALL;
    if (r->request == SET_FILTER && r->length == 0) {
        s->filter = r->value & FILTER;
        return BP_USB_OK;
    }
    if (r->request != SET_MULTICAST || r->value > GROUPS || r->length != 6 * r->value)
        return BP_USB_STALL;
    s->groups = r->value;
    memcpy(s->group, r->data, r->length);
    return BP_USB_OK;
}

static void drop(struct card *s)
{
    s->first = s->count = s->at = 0;
    s->out.length = 0;
    s->ends = s->too_long = 0;
}

static void reset(void *state)
{
    struct card *s = state;

    s->active = 0;
    s->tell = 0;
    s->filter = DIRECTED | BROADCAST | ALL_MULTICAST;
    s->groups = 0;
    drop(s);
}

static void configured(void *state, uint8_t configuration)
{
    struct card *s = state;

    reset(s);
    s->tell = configuration ? TELL_LINK | TELL_SPEED : 0;
}

static void set_interface(void *state, uint8_t interface, uint8_t alternate)
{
    struct card *s = state;

    if (interface != 1)
        return;
    drop(s);
    s->active = alternate;
    s->tell = TELL_LINK | TELL_SPEED;
    if (s->active)
        net->nic_ready(s->nic, 0);
    usb->ready(s->usb, NOTIFY_EP);
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct card *s = bp_device_state(dev);
    uint8_t mac[6];
    char text[13];
    int r;

    s->usb = usb->of(dev);
    r = net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
    if (r < 0)
        return r;
    net->nic_mac(s->nic, mac);
    snprintf(text, sizeof(text), "%02X%02X%02X%02X%02X%02X", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    usb->set_string(s->usb, MAC, text);
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct card *s = bp_device_state(dev);

    net->nic_free(s->nic);
    s->nic = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    const struct card *s = state;
    bool good = s->at == 0 || (s->count && s->at < s->in[s->first].length);

    (void)version;
    for (unsigned n = 0; n < s->count; n++)
        good &= s->in[(s->first + n) % FRAMES].length > 0;
    if (good)
        return 0;
    reset(state);
    return bp_fail(err, EINVAL, "usb-net: the saved frames are impossible");
}

static int loaded(void *state, struct bp_error *err)
{
    struct card *s = state;

    (void)err;
    if (s->count || s->ends)
        usb->ready(s->usb, IN_EP);
    net->nic_ready(s->nic, 0);
    return 0;
}

static const struct bp_state_field frame_fields[] = {
    BP_SAVE_BUFFER(struct frame, bytes), BP_SAVE_RANGE(UINT32, struct frame, length, 0, FRAME), BP_SAVE_END};
static const struct bp_state_table frame_table = {.version = 1, .oldest = 1, .fields = frame_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_RANGE(UINT8, struct card, active, 0, 1), BP_SAVE_RANGE(UINT8, struct card, tell, 0, 3),
    BP_SAVE_RANGE(UINT8, struct card, ends, 0, 1), BP_SAVE_RANGE(UINT16, struct card, filter, 0, FILTER),
    BP_SAVE_RANGE(UINT32, struct card, groups, 0, GROUPS), BP_SAVE_BUFFER(struct card, group),
    BP_SAVE_STRUCTS(struct card, in, &frame_table), BP_SAVE_RANGE(UINT32, struct card, first, 0, FRAMES - 1),
    BP_SAVE_RANGE(UINT32, struct card, count, 0, FRAMES), BP_SAVE(UINT32, struct card, at),
    {.name = "out", .kind = BP_STATE_STRUCT, .offset = offsetof(struct card, out), .count = 1,
     .stride = sizeof(struct frame), .table = &frame_table},
    BP_SAVE_RANGE(UINT8, struct card, too_long, 0, 1), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};
static const struct bp_field props[] = {BP_NET_PROPS(struct card, conf), BP_FIELDS_END};

static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0x0525, .product = 0xa4a2, .manufacturer_string = MANUFACTURER,
    .product_string = PRODUCT, .serial_string = SERIAL, .at = {NULL, &full, &high, NULL}, .strings = strings,
    .control = control, .transfer = transfer, .reset = reset, .configured = configured,
    .set_interface = set_interface};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};
BP_NOTE("provides=device:usb-net;bus=usb-bus;user=yes;summary=USB network card (CDC Ethernet)");
static const struct bp_device_class net_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "usb-net",
             .parent = "usb-device", .summary = "USB network card (CDC Ethernet)",
             .state_size = sizeof(struct card), .props = props, .state = &table, .infos = infos},
    .bus = "usb-bus", .category = "network", .attach = attach, .detach = detach, .firmware_name = "ethernet"};

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("usb-net", "USB network card", imports, {BP_PROVIDE_DEVICE, &net_class});
