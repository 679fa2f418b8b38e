// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A USB interface for SCSI units that takes several commands at once (USB Attached SCSI, T10/2095-D): usb-uas, at high
 * speed, where a unit says for which command data are next. Left out: SuperSpeed and its streams, command priorities.
 * Data stand in buffers while a command is under way, MOST bytes in all: one that finds no room gets TASK SET FULL.
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/bus/usb.h>
#include <bp/host/scsi.h>
#include <bp/level.h>
#include <bp/value.h>

#include "cdb.h"

BP_USE(usb, struct bp_usb_interface, "usb", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

#define COMMANDS 32u
#define JOBS (2 * COMMANDS) /* at units, with those that were aborted and have not ended */
#define MOST (32u << 20)
#define MAX_LUN 255u
#define ANSWERS 16u

enum { COMMAND_OUT = 1, STATUS_IN = 2, DATA_IN = 3, DATA_OUT = 4 }; /* endpoints, and pipes */
enum { IU_COMMAND = 1, IU_SENSE = 3, IU_RESPONSE, IU_TASK, IU_READ_READY, IU_WRITE_READY };
enum { COMPLETE = 0, INVALID_IU = 2, NOT_SUPPORTED = 4, SUCCEEDED = 8, INCORRECT_LUN = 9, OVERLAPPED = 10 };
enum state { FREE, WANTS_OUT, OUT, RUNNING, WANTS_IN, IN, ENDS };

struct job { /* at its unit */
    struct uas *s;
    bool wanted; /* its end is; otherwise it was aborted, and is only waited for */
    unsigned n;  /* which of its commands */
    struct bp_scsi_request request;
    struct iovec iov;
    uint8_t *data;
};

struct command {
    uint32_t state, order; /* enum state; lower ones go first */
    uint16_t tag, lun;
    uint8_t cdb[16];
    uint32_t length, at, have; /* that it moves; that went over; that the unit gave */
    uint8_t in, status, sense_length;
    uint8_t sense[18];
    struct job *job;
    uint8_t *data; /* owned, `room` bytes; the job's while that is there */
    uint32_t room; /* `length`, but when a state was refused */
};

struct answer {
    uint16_t tag;
    uint8_t code;
};

struct uas {
    struct bp_device *dev;
    struct bp_usb_device *usb;
    struct bp_scsi_bus *bus;
    struct command command[COMMANDS];
    struct answer answer[ANSWERS];
    uint32_t answers, order;
    uint64_t at_units; /* bytes of jobs */
    struct bp_state_bytes saved;
};

/* ---- descriptors ---- */
static const uint8_t pipe_command[] = {4, 0x24, 1, 0}, pipe_status[] = {4, 0x24, 2, 0}, pipe_in[] = {4, 0x24, 3, 0},
                     pipe_out[] = {4, 0x24, 4, 0};
#define BULK(ADDRESS, EXTRA) \
    {.address = ADDRESS, .attributes = BP_USB_BULK, .max_packet = 512, .extra = EXTRA, .extra_length = sizeof(EXTRA)}
static const struct bp_usb_endpoint endpoints[] = {
    BULK(COMMAND_OUT, pipe_command), BULK(STATUS_IN | 0x80, pipe_status), BULK(DATA_IN | 0x80, pipe_in),
    BULK(DATA_OUT, pipe_out)};
static const struct bp_usb_interface_info interfaces[] = {
    {.class_code = 8, .subclass = 6, .protocol = 0x62, .endpoint_count = 4, .endpoints = endpoints}};
static const struct bp_usb_description high = {.version = 0x0200, .max_packet0 = 64, .attributes = 0xc0,
                                               .interfaces = 1, .interface_count = 1, .table = interfaces};
static const char *const strings[] = {"", "QEMU", "USB Attached SCSI HBA", "27842", NULL};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* ---- commands ---- */
static void forget(struct command *c)
{
    struct job *job = c->job;

    if (job) {
        job->wanted = false;
        scsi->cancel(job->request.unit, &job->request);
    } else {
        free(c->data);
    }
    memset(c, 0, sizeof(*c));
}

static void forget_all(struct uas *s)
{
    for (unsigned n = 0; n < COMMANDS; n++)
        forget(&s->command[n]);
    memset(s->answer, 0, sizeof(s->answer));
    s->answers = 0;
}

static struct command *in_state(struct uas *s, enum state state)
{
    struct command *first = NULL;

    for (unsigned n = 0; n < COMMANDS; n++) {
        if (s->command[n].state == state && (!first || s->command[n].order < first->order))
            first = &s->command[n];
    }
    return first;
}

static void set(struct uas *s, struct command *c, enum state state)
{
    c->state = state;
    c->order = s->order++;
    usb->ready(s->usb, STATUS_IN | 0x80);
}

static void answer(struct uas *s, uint16_t tag, uint8_t code)
{
    if (s->answers < ANSWERS)
        s->answer[s->answers++] = (struct answer){tag, code};
    usb->ready(s->usb, STATUS_IN | 0x80);
}

static void done(struct bp_scsi_request *r)
{
    struct job *job = r->opaque;
    struct uas *s = job->s;
    struct command *c;

    s->at_units -= job->iov.iov_len;
    if (!job->wanted) {
        free(job->data);
        free(job);
        return;
    }
    c = &s->command[job->n];
    c->job = NULL;
    c->status = r->status;
    c->sense_length = (uint8_t)(r->sense_length < sizeof(c->sense) ? r->sense_length : sizeof(c->sense));
    memcpy(c->sense, r->sense, c->sense_length);
    c->have = c->in && r->moved < c->length ? (uint32_t)r->moved : c->in ? c->length : 0;
    free(job);
    set(s, c, c->in && c->have > c->at ? WANTS_IN : ENDS);
}

static struct bp_scsi_unit *unit_of(struct uas *s, unsigned lun)
{
    struct bp_scsi_unit *unit = scsi->unit(s->bus, 0, 0, lun);

    return unit ? unit : scsi->target(s->bus, 0, 0);
}

static void end(struct uas *s, struct command *c, uint8_t status)
{
    c->status = status;
    c->have = 0;
    set(s, c, ENDS);
}

static void start(struct uas *s, struct command *c)
{
    struct bp_scsi_unit *unit = unit_of(s, c->lun);
    struct job *job = unit && c->length <= c->room ? calloc(1, sizeof(*job)) : NULL;

    if (!job) {
        end(s, c, BP_SCSI_BUSY);
        return;
    }
    job->s = s;
    job->wanted = true;
    job->n = (unsigned)(c - s->command);
    job->data = c->data;
    job->iov = (struct iovec){c->data, c->length};
    s->at_units += c->length;
    job->request.size = sizeof(job->request);
    job->request.cdb_length = sizeof(c->cdb);
    memcpy(job->request.cdb, c->cdb, sizeof(c->cdb));
    job->request.tag = (uint64_t)c->order << 16 | c->tag;
    job->request.done = done;
    job->request.opaque = job;
    if (c->length && c->in) {
        job->request.in = &job->iov;
        job->request.in_count = 1;
        job->request.in_bytes = c->length;
    } else if (c->length) {
        job->request.out = &job->iov;
        job->request.out_count = 1;
        job->request.out_bytes = c->length;
    }
    c->job = job;
    c->state = RUNNING;
    scsi->submit(unit, c->lun, &job->request);
}

/* ---- sizes of blocks ---- */
struct look {
    struct bp_scsi_unit *unit;
    uint32_t block;
};

static int look_at(struct bp_device *dev, void *opaque)
{
    struct look *l = opaque;
    struct bp_value *v = NULL;

    if (scsi->of(dev) != l->unit || bp_object_get(bp_device_object(dev), "logical_block_size", &v, NULL) < 0)
        return 0;
    l->block = (uint32_t)bp_value_as_int(v);
    bp_value_unref(v);
    return 1;
}

static uint32_t block_of(struct uas *s, unsigned lun)
{
    struct look l = {unit_of(s, lun), 512};

    bp_bus_each_child(bp_device_bridged(s->dev, "scsi"), look_at, &l);
    return l.block ? l.block : 512;
}

static uint64_t in_use(const struct uas *s)
{
    uint64_t bytes = s->at_units;

    for (unsigned n = 0; n < COMMANDS; n++)
        bytes += s->command[n].job ? 0 : s->command[n].length;
    return bytes;
}

/* ---- what the driver sends ---- */
static struct command *by_tag(struct uas *s, uint16_t tag)
{
    for (unsigned n = 0; n < COMMANDS; n++) {
        if (s->command[n].state != FREE && s->command[n].tag == tag)
            return &s->command[n];
    }
    return NULL;
}

static bool make_room(struct command *c, uint64_t length)
{
    c->data = length ? calloc(1, length) : NULL;
    c->room = c->data ? (uint32_t)length : 0;
    return c->room == length;
}

static void take_command(struct uas *s, const uint8_t *iu)
{
    uint16_t tag = be16(iu + 2);
    struct command *c = by_tag(s, tag);
    uint64_t length;
    bool to_host;

    if (c) {
        forget(c);
        answer(s, tag, OVERLAPPED);
        return;
    }
    for (unsigned n = 0; n < COMMANDS && !c; n++)
        c = s->command[n].state == FREE ? &s->command[n] : NULL;
    if (!c || iu[6] & 0xfc) { /* more bytes of a CDB than 16 */
        answer(s, tag, INVALID_IU);
        return;
    }
    c->tag = tag;
    c->lun = be16(iu + 8) & 0x3fff;
    memcpy(c->cdb, iu + 16, sizeof(c->cdb));
    length = cdb_moves(c->cdb, block_of(s, c->lun), &to_host);
    c->in = to_host;
    if (scsi->in_flight(s->bus) >= JOBS || length + in_use(s) > MOST || !make_room(c, length)) {
        end(s, c, BP_SCSI_TASK_SET_FULL);
        return;
    }
    c->length = (uint32_t)length;
    if (length && !to_host)
        set(s, c, WANTS_OUT);
    else
        start(s, c);
}

static void abort_all(struct uas *s, unsigned lun)
{
    for (unsigned n = 0; n < COMMANDS; n++) {
        if (s->command[n].lun == lun)
            forget(&s->command[n]);
    }
}

static void take_task(struct uas *s, const uint8_t *iu)
{
    unsigned lun = be16(iu + 8) & 0x3fff;
    uint16_t tag = be16(iu + 2);
    struct bp_scsi_unit *unit = scsi->unit(s->bus, 0, 0, lun);
    struct command *c = by_tag(s, be16(iu + 6));

    switch (unit ? iu[4] : 0) {
    case 0:
        answer(s, tag, INCORRECT_LUN);
        return;
    case 0x01: /* abort task */
        if (c)
            forget(c);
        break;
    case 0x02: /* abort, clear task set */
    case 0x04:
        abort_all(s, lun);
        break;
    case 0x08: /* logical unit reset */
        abort_all(s, lun);
        scsi->reset_unit(unit);
        break;
    case 0x10: /* I_T nexus reset */
        forget_all(s);
        scsi->reset_bus(s->bus);
        break;
    case 0x80: /* query task */
        answer(s, tag, c ? SUCCEEDED : COMPLETE);
        return;
    default:
        answer(s, tag, NOT_SUPPORTED);
        return;
    }
    answer(s, tag, COMPLETE);
}

static uint8_t take_iu(struct uas *s, struct bp_usb_packet *p)
{
    if (s->answers == ANSWERS)
        return BP_USB_NAK; /* what was said has to be fetched first */
    p->actual = p->length;
    if (p->length == 32 && p->data[0] == IU_COMMAND)
        take_command(s, p->data);
    else if (p->length == 16 && p->data[0] == IU_TASK)
        take_task(s, p->data);
    else if (p->length >= 4)
        answer(s, be16(p->data + 2), INVALID_IU);
    else
        return BP_USB_STALL;
    return BP_USB_OK;
}

/* ---- what it is told ---- */
static uint8_t give_iu(struct uas *s, struct bp_usb_packet *p)
{
    uint8_t iu[16 + sizeof(((struct command *)0)->sense)] = {0};
    struct command *c = in_state(s, ENDS);
    unsigned size = 4;

    if (!s->answers && !c) {
        c = in_state(s, IN) ? NULL : in_state(s, WANTS_IN);
        if (!c && !in_state(s, OUT))
            c = in_state(s, WANTS_OUT);
        if (!c)
            return BP_USB_NAK;
    }
    if (p->length < sizeof(iu))
        return BP_USB_BABBLE;
    if (s->answers) {
        iu[0] = IU_RESPONSE;
        put16(iu + 2, s->answer[0].tag);
        iu[7] = s->answer[0].code;
        size = 8;
        s->answers--;
        memmove(s->answer, s->answer + 1, s->answers * sizeof(s->answer[0]));
        if (s->answers == ANSWERS - 1)
            usb->ready(s->usb, COMMAND_OUT);
    } else if (c->state == ENDS) {
        iu[0] = IU_SENSE;
        put16(iu + 2, c->tag);
        iu[6] = c->status;
        put16(iu + 14, c->sense_length);
        memcpy(iu + 16, c->sense, c->sense_length);
        size = 16u + c->sense_length;
        forget(c);
    } else {
        iu[0] = c->state == WANTS_IN ? IU_READ_READY : IU_WRITE_READY;
        put16(iu + 2, c->tag);
        c->state = c->state == WANTS_IN ? IN : OUT;
        usb->ready(s->usb, c->state == IN ? DATA_IN | 0x80 : DATA_OUT);
    }
    memcpy(p->data, iu, size);
    p->actual = size;
    return BP_USB_OK;
}

static uint8_t give_data(struct uas *s, struct bp_usb_packet *p)
{
    struct command *c = in_state(s, IN);
    uint32_t left = c ? c->have - c->at : 0, n = p->length < left ? p->length : left;

    if (!c)
        return BP_USB_NAK;
    if (c->have > c->room || c->at > c->have)
        return BP_USB_STALL;
    if (n)
        memcpy(p->data, c->data + c->at, n);
    c->at += n;
    p->actual = n;
    if (c->at == c->length || n < p->length)
        set(s, c, ENDS);
    return BP_USB_OK;
}

static uint8_t take_data(struct uas *s, struct bp_usb_packet *p)
{
    struct command *c = in_state(s, OUT);

    if (!c)
        return BP_USB_NAK;
    if (c->length > c->room || c->at > c->length || p->length > c->length - c->at)
        return BP_USB_STALL;
    if (p->length)
        memcpy(c->data + c->at, p->data, p->length);
    c->at += p->length;
    p->actual = p->length;
    if (c->at == c->length) {
        start(s, c);
        usb->ready(s->usb, STATUS_IN | 0x80); /* another may send its data */
    }
    return BP_USB_OK;
}

static uint8_t transfer(void *state, struct bp_usb_packet *p)
{
    switch (p->endpoint) {
    case COMMAND_OUT:
        return take_iu(state, p);
    case STATUS_IN:
        return give_iu(state, p);
    case DATA_IN:
        return give_data(state, p);
    default:
        return take_data(state, p);
    }
}

static void reset(void *state)
{
    struct uas *s = state;

    forget_all(s);
    s->order = 0;
}

static void configured(void *state, uint8_t configuration)
{
    (void)configuration;
    reset(state);
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_scsi_bus_info info = {.size = sizeof(info), .max_lun = MAX_LUN};
    struct uas *s = bp_device_state(dev);

    s->dev = dev;
    s->usb = usb->of(dev);
    return scsi->new_bus(dev, &info, s, &s->bus, err);
}

static void detach(struct bp_device *dev)
{
    struct uas *s = bp_device_state(dev);

    forget_all(s);
    scsi->free_bus(s->bus); /* whose units went before */
    s->bus = NULL;
}

/* ---- state: what a unit has not ended is given to it again ---- */
static uint32_t kept(const struct command *c)
{
    if (c->in)
        return c->state == WANTS_IN || c->state == IN ? c->have : 0;
    return c->state == OUT || c->state == RUNNING ? c->at : 0;
}

static int before_save(void *state, struct bp_error *err)
{
    struct uas *s = state;
    uint32_t size = 0;
    uint8_t *to;

    for (unsigned n = 0; n < COMMANDS; n++)
        size += kept(&s->command[n]);
    s->saved.size = size;
    s->saved.data = size ? malloc(size) : NULL;
    if (size && !s->saved.data)
        return bp_fail(err, ENOMEM, "usb-uas: no memory to save data");
    to = s->saved.data;
    for (unsigned n = 0; n < COMMANDS; n++) {
        uint32_t bytes = kept(&s->command[n]);

        if (bytes)
            memcpy(to, s->command[n].data, bytes);
        to += bytes;
    }
    return 0;
}

static bool is_possible(const struct command *c)
{
    return c->length <= MOST && c->at <= c->length && c->have <= c->length && (!c->in || c->at <= c->have || !c->at) &&
           (c->state != FREE || !c->length);
}

/* What was under way here is of no guest any more. */
static int take_over(struct uas *s, struct bp_error *err)
{
    const uint8_t *from = s->saved.data;
    uint64_t bytes = 0, all = 0;

    for (unsigned n = 0; n < COMMANDS; n++) {
        struct command *c = &s->command[n];
        struct job *job = c->job;

        c->job = NULL;
        if (job) {
            job->wanted = false;
            scsi->cancel(job->request.unit, &job->request);
        } else {
            free(c->data);
        }
        c->data = NULL;
        c->room = 0;
        if (!is_possible(c))
            return bp_fail(err, EINVAL, "usb-uas: a saved command is impossible");
        bytes += kept(c);
        all += c->length;
    }
    if (bytes != s->saved.size || all > MOST)
        return bp_fail(err, EINVAL, "usb-uas: the saved data are not those of its commands");
    for (unsigned n = 0; n < COMMANDS; n++) {
        struct command *c = &s->command[n];

        if (!make_room(c, c->length))
            return bp_fail(err, ENOMEM, "usb-uas: no memory for data");
        if (kept(c))
            memcpy(c->data, from, kept(c));
        from += kept(c);
    }
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    int r = take_over(state, err);

    (void)version;
    if (r < 0)
        reset(state);
    return r;
}

static int loaded(void *state, struct bp_error *err)
{
    struct uas *s = state;

    (void)err;
    for (unsigned n = 0; n < COMMANDS; n++) {
        if (s->command[n].state == RUNNING && !s->command[n].job)
            start(s, &s->command[n]);
    }
    return 0;
}

static const struct bp_state_field command_fields[] = {
    BP_SAVE_RANGE(UINT32, struct command, state, FREE, ENDS), BP_SAVE(UINT32, struct command, order),
    BP_SAVE(UINT16, struct command, tag), BP_SAVE(UINT16, struct command, lun), BP_SAVE_BUFFER(struct command, cdb),
    BP_SAVE(UINT32, struct command, length), BP_SAVE(UINT32, struct command, at),
    BP_SAVE(UINT32, struct command, have), BP_SAVE_RANGE(UINT8, struct command, in, 0, 1),
    BP_SAVE(UINT8, struct command, status), BP_SAVE_RANGE(UINT8, struct command, sense_length, 0, 18),
    BP_SAVE_BUFFER(struct command, sense), BP_SAVE_END};
static const struct bp_state_table command_table = {.version = 1, .oldest = 1, .fields = command_fields};
static const struct bp_state_field answer_fields[] = {
    BP_SAVE(UINT16, struct answer, tag), BP_SAVE(UINT8, struct answer, code), BP_SAVE_END};
static const struct bp_state_table answer_table = {.version = 1, .oldest = 1, .fields = answer_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_STRUCTS(struct uas, command, &command_table), BP_SAVE_STRUCTS(struct uas, answer, &answer_table),
    BP_SAVE_RANGE(UINT32, struct uas, answers, 0, ANSWERS), BP_SAVE(UINT32, struct uas, order),
    BP_SAVE_BYTES(struct uas, saved, MOST), BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .before_save = before_save, .after_load = after_load,
    .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};
static const struct bp_field props[] = {BP_FIELDS_END};

static const struct bp_usb_device_info info = {
    .size = sizeof(info), .vendor = 0x46f4, .product = 0x0003, .manufacturer_string = 1, .product_string = 2,
    .serial_string = 3, .at = {NULL, NULL, &high, NULL}, .strings = strings, .transfer = transfer, .reset = reset,
    .configured = configured};
static const struct bp_level_info infos[] = {{.level = "usb-device", .info = &info}, {.level = NULL}};
BP_NOTE("provides=device:usb-uas;bus=usb-bus;user=yes;summary=USB attached SCSI");
static const struct bp_device_class uas_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_HOTPLUGGABLE, .name = "usb-uas",
             .parent = "usb-device", .summary = "USB attached SCSI", .state_size = sizeof(struct uas), .props = props,
             .state = &table, .infos = infos},
    .bus = "usb-bus", .category = "storage", .attach = attach, .detach = detach, .firmware_name = "storage"};

static const struct bp_import imports[] = {BP_IMPORT(usb, "usb", 1), BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("usb-uas", "USB attached SCSI", imports, {BP_PROVIDE_DEVICE, &uas_class});
