/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests of USB controllers and of what is between: usb-late answers packets at once, later, or never, as chance or
 * the test has it; its job may end after the packet was cancelled. scsi-late is a SCSI unit whose commands end after a
 * time, and cancelled ones not sooner. Whoever gives them what they must not get ends the program.
 *
 * Requests of usb-late (vendor): 0x40/1: value is the way packets are answered (enum way), index the milliseconds;
 * 0xc0/2: six numbers of 32 bits, enum count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/clock.h>
#include <bp/host/scsi.h>
#include <bp/level.h>

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

#define MS INT64_C(1000000)

enum way { BY_CHANCE, AT_ONCE, NAKS, LATER, NEVER, LATER_BY_CHANCE };
enum count { GIVEN, ENDED_LATER, CANCELLED, WAITING, JOBS, WRONG, COUNTS };

struct job {
    struct job *next;
    struct bp_usb_packet *packet; /* NULL: cancelled; the job ends all the same */
    int64_t end_ns;               /* INT64_MAX: never */
};

struct late {
    struct bp_usb_device *usb;
    struct bp_timer *timer, *ready;
    struct job *jobs;
    uint32_t naks; /* endpoints that gave one: bit n: OUT, 16 + n: IN */
    uint32_t random, way, ms;
    uint32_t count[COUNTS];
    uint8_t in[16], out[16]; /* of each endpoint: the next byte */
};

#define ENDPOINT(ADDRESS, KIND, SIZE, INTERVAL) \
    {.address = ADDRESS, .attributes = KIND, .max_packet = SIZE, .interval = INTERVAL}
#define AT(IDENT, VERSION, SIZE, PACKET0, INTERVAL) \
    static const struct bp_usb_endpoint IDENT##_endpoints[] = { \
        ENDPOINT(0x81, BP_USB_BULK, SIZE, 0), ENDPOINT(0x02, BP_USB_BULK, SIZE, 0), \
        ENDPOINT(0x83, BP_USB_BULK, SIZE, 0), ENDPOINT(0x04, BP_USB_BULK, SIZE, 0), \
        ENDPOINT(0x85, BP_USB_INTERRUPT, 64, INTERVAL), ENDPOINT(0x86, BP_USB_ISOCHRONOUS, 64, 1)}; \
    static const struct bp_usb_interface_info IDENT##_interface[] = { \
        {.class_code = 0xff, .endpoint_count = 6, .endpoints = IDENT##_endpoints}}; \
    static const struct bp_usb_description IDENT = { \
        .version = VERSION, .max_packet0 = PACKET0, .attributes = 0xc0, .interfaces = 1, .interface_count = 1, \
        .table = IDENT##_interface}
AT(full, 0x0110, 64, 64, 8);
AT(high, 0x0200, 512, 64, 7);
AT(super, 0x0300, 1024, 9, 7);

static void wrong(const char *what)
{
    fprintf(stderr, "late: %s\n", what);
    abort();
}

static uint32_t chance(struct late *s, uint32_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 17;
    s->random ^= s->random << 5;
    return s->random % n;
}

/* Bytes count up in each direction of an endpoint, so that what is lost or comes twice is seen. */
static uint8_t move(struct late *s, struct bp_usb_packet *p)
{
    uint8_t *at = p->token == BP_USB_IN ? &s->in[p->endpoint] : &s->out[p->endpoint];

    for (uint32_t n = 0; n < p->length; n++, ++*at) {
        if (p->token == BP_USB_IN)
            p->data[n] = *at;
        else
            s->count[WRONG] += p->data[n] != *at;
    }
    p->actual = p->length;
    return BP_USB_OK;
}

static void arm(struct late *s)
{
    int64_t first = INT64_MAX;

    for (const struct job *j = s->jobs; j; j = j->next)
        first = j->end_ns < first ? j->end_ns : first;
    if (first == INT64_MAX)
        bp_timer_cancel(s->timer);
    else
        bp_timer_set(s->timer, first);
}

static void fire(void *opaque)
{
    struct late *s = opaque;
    struct job **link = &s->jobs, *j;

    while ((j = *link)) {
        struct bp_usb_packet *p = j->packet;

        if (j->end_ns > bp_timer_now(s->timer)) {
            link = &j->next;
            continue;
        }
        *link = j->next;
        s->count[JOBS]--;
        free(j);
        if (!p)
            continue;
        s->count[ENDED_LATER]++;
        s->count[WAITING]--;
        usb->complete(p, move(s, p));
        link = &s->jobs;
    }
    arm(s);
}

static uint8_t later(struct late *s, struct bp_usb_packet *p, int64_t ns)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return BP_USB_STALL;
    for (const struct job *o = s->jobs; o; o = o->next) {
        if (o->packet && o->packet->endpoint == p->endpoint && o->packet->token == p->token)
            wrong("an endpoint has two packets");
    }
    j->packet = p;
    j->end_ns = ns < 0 ? INT64_MAX : bp_timer_now(s->timer) + ns;
    j->next = s->jobs;
    s->jobs = j;
    s->count[WAITING]++;
    s->count[JOBS]++;
    arm(s);
    return BP_USB_LATER;
}

static void tell_ready(void *opaque)
{
    struct late *s = opaque;

    for (unsigned n = 0; n < 32; n++) {
        if (s->naks & 1u << n)
            usb->ready(s->usb, (uint8_t)(n & 15) | (n > 15 ? 0x80 : 0));
    }
    s->naks = 0;
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    struct late *s = state;
    uint32_t way = s->way, n = chance(s, 8);

    s->count[GIVEN]++;
    if (way == BY_CHANCE)
        way = n < 4 ? LATER_BY_CHANCE : n < 6 ? AT_ONCE : n < 7 ? NAKS : NEVER;
    switch (way) {
    case AT_ONCE:
        return move(s, p);
    case NAKS:
        s->naks |= 1u << (p->endpoint + (p->token == BP_USB_IN ? 16 : 0));
        bp_timer_set(s->ready, bp_timer_now(s->ready) + MS);
        return BP_USB_NAK;
    case LATER:
        return later(s, p, s->ms * MS);
    case NEVER:
        return later(s, p, -1);
    default:
        return later(s, p, (int64_t)chance(s, 8000) * 1000);
    }
}

static void cancel(void *state, struct bp_usb_packet *p)
{
    struct late *s = state;
    struct job *j = s->jobs;

    while (j && j->packet != p)
        j = j->next;
    if (!j)
        wrong("a packet is cancelled that it does not have");
    j->packet = NULL;
    s->count[CANCELLED]++;
    s->count[WAITING]--;
    if (j->end_ns == INT64_MAX) { /* it does end, once nobody wants it */
        j->end_ns = bp_timer_now(s->timer) + MS;
        arm(s);
    }
}

static uint8_t control(void *state, struct bp_usb_request *r)
{
    struct late *s = state;

    if (r->type == 0x40 && r->request == 1) {
        s->way = r->value;
        s->ms = r->index;
        return BP_USB_OK;
    }
    if (r->type != 0xc0 || r->request != 2 || r->length < sizeof(s->count))
        return BP_USB_STALL;
    memcpy(r->data, s->count, sizeof(s->count));
    r->actual = sizeof(s->count);
    return BP_USB_OK;
}

static void reset(void *state)
{
    struct late *s = state;

    if (s->count[WAITING])
        wrong("a reset while packets are on their way");
    memset(s->in, 0, sizeof(s->in));
    memset(s->out, 0, sizeof(s->out));
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct late *s = bp_device_state(dev);

    (void)err;
    s->usb = usb->of(dev);
    s->random |= 1;
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, fire, s);
    s->ready = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, tell_ready, s);
    return 0;
}

static void detach(struct bp_device *dev)
{
    struct late *s = bp_device_state(dev);

    if (s->count[WAITING])
        wrong("it goes while packets are on their way");
    while (s->jobs) {
        struct job *j = s->jobs;

        s->jobs = j->next;
        free(j);
    }
}

static const struct bp_field props[] = {
    BP_PROP("seed", UINT32, struct late, random, "1", "of what happens by chance"),
    BP_PROP("way", UINT32, struct late, way, "0", "how packets are answered at first"), BP_FIELDS_END};
static const char *const strings[] = {"", "Backplane", "Late", NULL};
static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0xfff0, .product = 0x0002, .manufacturer_string = 1, .product_string = 2,
    .at = {NULL, &full, &high, &super}, .strings = strings, .control = control, .transfer = transfer,
    .cancel = cancel, .reset = reset};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};
BP_NOTE("provides=device:usb-late;bus=usb-bus;user=yes;summary=USB device that answers late");
static const struct bp_device_class late_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "usb-late",
             .parent = "usb-device", .summary = "USB device that answers late", .state_size = sizeof(struct late),
             .props = props, .infos = infos},
    .bus = "usb-bus", .category = "misc", .attach = attach, .detach = detach};

/* ---- a unit ---- */
#define REQUESTS 256u

struct unit {
    struct bp_scsi_unit *unit;
    struct bp_timer *timer;
    uint32_t ms; /* property: from the command to its end */
    struct {
        struct bp_scsi_request *r;
        int64_t end_ns;
    } at[REQUESTS];
    uint32_t count, most;
};

static void unit_arm(struct unit *s)
{
    if (s->count)
        bp_timer_set(s->timer, s->at[0].end_ns);
}

static void unit_fire(void *opaque)
{
    struct unit *s = opaque;

    while (s->count && s->at[0].end_ns <= bp_timer_now(s->timer)) {
        struct bp_scsi_request *r = s->at[0].r;

        memmove(s->at, s->at + 1, --s->count * sizeof(s->at[0]));
        for (unsigned n = 0; n < r->in_count; n++) /* it has the memory until now */
            memset(r->in[n].iov_base, 0x5a, r->in[n].iov_len);
        r->moved = r->in_bytes ? r->in_bytes : r->out_bytes;
        scsi->complete(r, r->cancelled ? BP_SCSI_TASK_ABORTED : BP_SCSI_GOOD);
    }
    unit_arm(s);
}

static void unit_submit(void *state, struct bp_scsi_request *r)
{
    struct unit *s = state;

    if (s->count == REQUESTS)
        wrong("a unit has more commands than anybody could want");
    s->at[s->count].r = r;
    s->at[s->count++].end_ns = bp_timer_now(s->timer) + s->ms * MS;
    s->most = s->count > s->most ? s->count : s->most;
    unit_arm(s);
}

static void unit_cancel(void *state, struct bp_scsi_request *r)
{
    (void)state, (void)r;
}

static int unit_attach(struct bp_device *dev, struct bp_error *err)
{
    struct unit *s = bp_device_state(dev);

    (void)err;
    s->unit = scsi->of(dev);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, unit_fire, s);
    return 0;
}

static void unit_detach(struct bp_device *dev)
{
    struct unit *s = bp_device_state(dev);

    scsi->leaves(s->unit);
    bp_timer_cancel(s->timer);
    s->count = 0;
    scsi->end_all(s->unit);
}

static const struct bp_field unit_props[] = {
    BP_PROP("ms", UINT32, struct unit, ms, "1000", "milliseconds from a command to its end"),
    BP_PROP("count", UINT32, struct unit, count, "0", "commands that it has; told, not set"),
    BP_PROP("most", UINT32, struct unit, most, "0", "the most there were at once; told, not set"), BP_FIELDS_END};
static const struct bp_scsi_unit_info unit_info = {.size = sizeof(unit_info), .submit = unit_submit,
                                                   .cancel = unit_cancel};
static const struct bp_level_info unit_infos[] = {{.level = "scsi-unit", .info = &unit_info}, {.level = NULL}};
BP_NOTE("provides=device:scsi-late;bus=scsi;user=yes;summary=SCSI unit that ends late");
static const struct bp_device_class unit_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "scsi-late",
             .parent = "scsi-unit", .summary = "SCSI unit that ends late", .state_size = sizeof(struct unit),
             .props = unit_props, .infos = unit_infos},
    .bus = "scsi", .category = "storage", .attach = unit_attach, .detach = unit_detach};

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("usb-late", "USB and SCSI devices that answer late", imports, {BP_PROVIDE_DEVICE, &late_class},
          {BP_PROVIDE_DEVICE, &unit_class});
