// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SCSI host device (Virtual I/O Device 1.2, 5.6): a SCSI bus behind queues of requests, with task management,
 * and events for units that come, go or change. Left out: protection information. In the main context
 * requests are taken up under the machine lock, which the block layer wants there; in any other, from the queue's
 * call.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/scsi.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>
#include <bp/run.h>

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);

enum { F_HOTPLUG = 1, F_CHANGE = 2 };
enum { CFG_NUM_QUEUES = 0, CFG_SEG_MAX = 4, CFG_MAX_SECTORS = 8, CFG_CMD_PER_LUN = 12, CFG_EVENT_SIZE = 16,
       CFG_SENSE_SIZE = 20, CFG_CDB_SIZE = 24, CFG_MAX_CHANNEL = 28, CFG_MAX_TARGET = 30, CFG_MAX_LUN = 32,
       CFG_SIZE = 36 };
enum { CONTROL, EVENTS, REQUESTS }; /* queues */
enum { R_OK, R_OVERRUN, R_ABORTED, R_BAD_TARGET, R_RESET, R_BUSY, R_FAILURE = 9, R_FUNCTION_SUCCEEDED = 10,
       R_FUNCTION_REJECTED = 11, R_INCORRECT_LUN = 12 };
enum { ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, NEXUS_RESET, UNIT_RESET, QUERY_TASK, QUERY_TASK_SET };
enum { EVENT_MISSED = (int)0x80000000u, EVENT_TRANSPORT_RESET = 1, EVENT_PARAM_CHANGE = 3 };
enum { REASON_RESCAN = 1, REASON_REMOVED = 2 };

#define AUTO_QUEUES UINT32_MAX
#define MAX_QUEUES 1022u
#define MAX_TARGET 255u
#define MAX_LUN 16383u
#define DEFAULT_CDB 32u
#define DEFAULT_SENSE 96u
#define COMMAND_HEAD 19u  /* before the CDB */
#define RESPONSE_HEAD 12u /* before the sense data */
#define PENDING_EVENTS 256u

struct vscsi_event {
    uint32_t event, reason;
    uint8_t lun[8];
};

struct vscsi {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_scsi_bus *bus;
    struct bp_object *iothread;
    struct bp_participant *participant;
    uint32_t num_queues, queue_size, max_sectors, cmd_per_lun;
    bool seg_max_adjust, hotplug, param_change;
    struct bp_virtq *control, *events;
    struct bp_owner *main;
    struct bp_deferred *work;
    bool drained;
    struct vscsi_event pending[PENDING_EVENTS];
    uint32_t pending_count;
    bool missed;
};

struct command { /* in a request's own memory */
    struct vscsi *s;
    struct bp_virtq_request *r;
    struct bp_scsi_unit *unit;
    struct bp_scsi_request request;
    struct iovec *vectors; /* data, when they don't begin with a vector of the guest's; or NULL */
    uint32_t sense_size;
    struct task *waiting;  /* a task management function waits for its end */
};

struct task { /* likewise, of the control queue */
    struct vscsi *s;
    struct bp_virtq_request *r;
    unsigned left; /* requests that have not ended */
    uint8_t response;
    uint64_t tag;
    bool one;      /* of `tag` alone */
    bool found, abort;
};

static uint32_t config32(struct vscsi *s, unsigned at)
{
    uint32_t v;

    memcpy(&v, virtio->config(s->virtio) + at, sizeof(v));
    return le32toh(v);
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

/* ---- addresses, 5.6.6.1 ---- */
static bool decode(const uint8_t *lun, unsigned *ret_target, unsigned *ret_lun)
{
    *ret_target = lun[1];
    *ret_lun = (unsigned)(lun[2] & 0x3f) << 8 | lun[3];
    return lun[0] == 1 && (lun[2] & 0xc0) != 0x80 && (lun[2] & 0xc0) != 0xc0;
}

static void encode(struct bp_scsi_unit *unit, uint8_t *ret_lun)
{
    unsigned channel, target, lun;

    scsi->address(unit, &channel, &target, &lun);
    memset(ret_lun, 0, 8);
    ret_lun[0] = 1;
    ret_lun[1] = (uint8_t)target;
    ret_lun[2] = (uint8_t)(lun >> 8 | 0x40);
    ret_lun[3] = (uint8_t)lun;
}

/* ---- commands ---- */
static void respond(struct command *c, uint8_t response)
{
    const struct bp_scsi_request *q = &c->request;
    uint8_t head[RESPONSE_HEAD] = {0};
    uint64_t data = c->r->in_bytes - RESPONSE_HEAD - c->sense_size;
    uint64_t wanted = q->out_bytes ? q->out_bytes : data;
    uint32_t sense = q->sense_length < c->sense_size ? q->sense_length : c->sense_size;
    uint64_t written = RESPONSE_HEAD + c->sense_size;

    if (response == R_OK) {
        put32(head, sense);
        put32(head + 4, wanted > q->moved ? (uint32_t)(wanted - q->moved) : 0);
        head[10] = q->status;
        if (!q->out_bytes)
            written += q->moved;
    }
    head[11] = response;
    bp_virtq_write(c->r, 0, head, sizeof(head));
    if (response == R_OK && sense)
        bp_virtq_write(c->r, RESPONSE_HEAD, q->sense, sense);
    free(c->vectors);
    virtio->push(c->r->queue, c->r, written);
}

static void finish_task(struct task *t)
{
    bp_virtq_write(t->r, 0, &t->response, 1);
    virtio->complete(t->r->queue, t->r, 1);
}

static void done(struct bp_scsi_request *request)
{
    struct command *c = request->opaque;
    struct vscsi *s = c->s;
    struct task *t = c->waiting;
    struct bp_virtq *queue = c->r->queue;

    respond(c, request->cancelled ? R_ABORTED : R_OK);
    virtio->flush(queue);
    if (t && --t->left == 0)
        finish_task(t);
    if (s->drained && scsi->in_flight(s->bus) == 0)
        bp_participant_idle(s->participant);
}

/* The vectors from `skip` on; they may begin inside of one. */
static bool skip_vectors(struct command *c, const struct iovec **iov, unsigned *count, uint64_t skip)
{
    while (*count && skip >= (*iov)->iov_len) {
        skip -= (*iov)->iov_len;
        ++*iov;
        --*count;
    }
    if (skip == 0 || *count == 0)
        return true;
    c->vectors = malloc(*count * sizeof(struct iovec));
    if (!c->vectors)
        return false;
    memcpy(c->vectors, *iov, *count * sizeof(struct iovec));
    c->vectors[0].iov_base = (uint8_t *)c->vectors[0].iov_base + skip;
    c->vectors[0].iov_len -= skip;
    *iov = c->vectors;
    return true;
}

static void carry_out(struct command *c, const uint8_t *head, uint32_t cdb_size)
{
    struct vscsi *s = c->s;
    struct bp_scsi_request *q = &c->request;
    unsigned target, lun;
    bool fine;

    q->size = sizeof(*q);
    q->cdb_length = cdb_size < BP_SCSI_CDB_MAX ? cdb_size : BP_SCSI_CDB_MAX;
    memcpy(q->cdb, head + COMMAND_HEAD, q->cdb_length);
    memcpy(&q->tag, head + 8, sizeof(q->tag));
    q->done = done;
    q->opaque = c;
    q->out = c->r->out;
    q->out_count = c->r->out_count;
    q->out_bytes = c->r->out_bytes - COMMAND_HEAD - cdb_size;
    q->in = c->r->in;
    q->in_count = c->r->in_count;
    q->in_bytes = c->r->in_bytes - RESPONSE_HEAD - c->sense_size;
    if (!decode(head, &target, &lun)) {
        respond(c, R_BAD_TARGET);
        return;
    }
    c->unit = scsi->unit(s->bus, 0, target, lun);
    if (!c->unit)
        c->unit = scsi->target(s->bus, 0, target);
    if (!c->unit || (q->out_bytes && q->in_bytes)) { /* both ways at once is not offered */
        respond(c, c->unit ? R_FAILURE : R_BAD_TARGET);
        return;
    }
    fine = q->out_bytes ? skip_vectors(c, &q->out, &q->out_count, COMMAND_HEAD + cdb_size)
                        : skip_vectors(c, &q->in, &q->in_count, RESPONSE_HEAD + c->sense_size);
    if (!fine)
        respond(c, R_BUSY);
    else
        scsi->submit(c->unit, lun, q);
}

/* False: the driver broke a rule. */
static bool take_command(struct vscsi *s, struct bp_virtq_request *r)
{
    uint32_t cdb_size = config32(s, CFG_CDB_SIZE), sense_size = config32(s, CFG_SENSE_SIZE);
    uint8_t head[COMMAND_HEAD + 256];
    struct command *c = r->own;

    if (cdb_size > 255 || r->out_bytes < COMMAND_HEAD + cdb_size ||
        r->in_bytes < RESPONSE_HEAD + (uint64_t)sense_size) {
        virtio->broken(s->virtio, "a SCSI request has no header or no room for its response");
        virtio->drop(r->queue, r);
        return false;
    }
    memset(head, 0, sizeof(head));
    bp_virtq_read(r, 0, head, COMMAND_HEAD + cdb_size);
    c->s = s;
    c->r = r;
    c->sense_size = sense_size;
    carry_out(c, head, cdb_size);
    return true;
}

/* ---- task management ---- */
static void look_at(void *opaque, struct bp_scsi_request *request)
{
    struct task *t = opaque;
    struct command *c = request->opaque;

    if (t->one && request->tag != t->tag)
        return;
    t->found = true;
    if (t->abort && !c->waiting) {
        c->waiting = t;
        t->left++;
    }
}

static void abort_it(void *opaque, struct bp_scsi_request *request)
{
    struct task *t = opaque;
    struct command *c = request->opaque;

    if (c->waiting == t)
        scsi->cancel(c->unit, request);
}

static void manage(struct task *t, uint32_t function, struct bp_scsi_unit *unit)
{
    struct vscsi *s = t->s;
    struct bp_scsi_unit *first = unit;

    t->one = function == ABORT_TASK || function == QUERY_TASK;
    t->abort = function != QUERY_TASK && function != QUERY_TASK_SET;
    t->left = 1; /* ours, so that it does not end meanwhile */
    if (function == NEXUS_RESET) {
        unsigned channel, target, lun;

        scsi->address(first, &channel, &target, &lun);
        for (unsigned n = 0; n <= 255; n++) {
            unit = scsi->unit(s->bus, channel, target, n);
            if (unit) {
                scsi->each_request(unit, look_at, t);
                scsi->reset_unit(unit);
            }
        }
    } else {
        scsi->each_request(unit, look_at, t);
        scsi->each_request(unit, abort_it, t);
        if (function == UNIT_RESET)
            scsi->reset_unit(unit);
    }
    t->response = !t->abort && t->found ? R_FUNCTION_SUCCEEDED : R_OK;
    if (--t->left == 0)
        finish_task(t);
}

static void take_task(struct vscsi *s, struct bp_virtq_request *r)
{
    struct task *t = r->own;
    uint32_t words[2];
    uint8_t lun[8];
    unsigned target, n;
    struct bp_scsi_unit *unit = NULL;

    bp_virtq_read(r, 0, words, sizeof(words));
    bp_virtq_read(r, 8, lun, sizeof(lun));
    t->s = s;
    t->r = r;
    bp_virtq_read(r, 16, &t->tag, sizeof(t->tag));
    if (decode(lun, &target, &n))
        unit = le32toh(words[1]) == NEXUS_RESET ? scsi->target(s->bus, 0, target) : scsi->unit(s->bus, 0, target, n);
    if (le32toh(words[1]) > QUERY_TASK_SET || le32toh(words[1]) == CLEAR_ACA)
        t->response = R_FUNCTION_REJECTED;
    else if (!unit)
        t->response = decode(lun, &target, &n) && scsi->target(s->bus, 0, target) ? R_INCORRECT_LUN : R_BAD_TARGET;
    else {
        manage(t, le32toh(words[1]), unit);
        return;
    }
    finish_task(t);
}

static bool take_control(struct vscsi *s, struct bp_virtq_request *r)
{
    uint32_t type = UINT32_MAX;
    uint8_t answer[5] = {0};

    bp_virtq_read(r, 0, &type, sizeof(type));
    type = le32toh(type);
    if (type == 0 && r->out_bytes >= 24 && r->in_bytes >= 1) {
        take_task(s, r);
    } else if ((type == 1 || type == 2) && r->out_bytes >= 16 && r->in_bytes >= sizeof(answer)) {
        bp_virtq_write(r, 0, answer, sizeof(answer)); /* asynchronous notifications: none */
        virtio->complete(r->queue, r, sizeof(answer));
    } else {
        virtio->broken(s->virtio, "a SCSI control request has an impossible type or size");
        virtio->drop(r->queue, r);
        return false;
    }
    return true;
}

/* ---- events ---- */
static void send_events(struct vscsi *s)
{
    uint32_t sent = 0;

    while (sent < s->pending_count || s->missed) {
        struct bp_virtq_request *r = virtio->pop(s->events);
        const struct vscsi_event *e = &s->pending[sent];
        uint8_t d[16] = {0};

        if (!r && virtio->kicks(s->events, true))
            continue;
        if (!r)
            break;
        if (sent < s->pending_count) {
            put32(d, e->event | (s->missed ? (uint32_t)EVENT_MISSED : 0));
            memcpy(d + 4, e->lun, 8);
            put32(d + 12, e->reason);
            sent++;
        } else {
            put32(d, (uint32_t)EVENT_MISSED);
        }
        s->missed = false;
        virtio->push(s->events, r, bp_virtq_write(r, 0, d, sizeof(d)));
    }
    if (sent) {
        s->pending_count -= sent;
        memmove(s->pending, s->pending + sent, s->pending_count * sizeof(s->pending[0]));
    }
    virtio->flush(s->events);
}

/* On the main thread, under the machine lock. */
static void tell(struct vscsi *s, struct bp_scsi_unit *unit, uint32_t event, uint32_t reason, unsigned feature)
{
    bp_device_lock(s->dev);
    if (s->virtio && virtio->is_running(s->virtio) && virtio->has(s->virtio, feature)) {
        if (s->pending_count == PENDING_EVENTS) {
            s->missed = true;
        } else {
            struct vscsi_event *e = &s->pending[s->pending_count++];

            e->event = event;
            e->reason = reason;
            encode(unit, e->lun);
        }
        send_events(s);
    }
    bp_device_unlock(s->dev);
}

static void unit_came(void *opaque, struct bp_scsi_unit *unit)
{
    tell(opaque, unit, EVENT_TRANSPORT_RESET, REASON_RESCAN, F_HOTPLUG);
}

static void unit_went(void *opaque, struct bp_scsi_unit *unit)
{
    tell(opaque, unit, EVENT_TRANSPORT_RESET, REASON_REMOVED, F_HOTPLUG);
}

static void unit_changed(void *opaque, struct bp_scsi_unit *unit, uint16_t sense)
{
    tell(opaque, unit, EVENT_PARAM_CHANGE, (uint32_t)(sense >> 8) | (uint32_t)(sense & 0xff) << 8, F_CHANGE);
}

static bool handle_events(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    send_events(opaque);
    return false; /* buffers wait for events */
}

/* ---- queues ---- */
static void take_all(struct vscsi *s, struct bp_virtq *queue)
{
    struct bp_virtq_request *r;

    while (!s->drained && (r = virtio->pop(queue))) {
        if (!(queue == s->control ? take_control(s, r) : take_command(s, r)))
            return;
    }
    virtio->flush(queue); /* what ended at once */
}

static bool is_direct(const struct vscsi *s)
{
    return bp_context_current() != bp_context_main(bp_device_machine(s->dev));
}

static bool handle(void *opaque, struct bp_virtq *queue)
{
    struct vscsi *s = opaque;

    if (s->drained)
        return false; /* the end of the drain calls again */
    if (!is_direct(s)) {
        bp_deferred_schedule(s->work);
        return false;
    }
    take_all(s, queue);
    return true;
}

/* In the main context, under the machine lock. */
static void work(void *opaque)
{
    struct vscsi *s = opaque;
    struct bp_virtq *queue;

    if (!s->virtio)
        return;
    bp_device_lock(s->dev);
    for (unsigned i = 0; (queue = virtio->queue(s->virtio, i)) && !s->drained; i++) {
        if (queue == s->events)
            continue;
        do
            take_all(s, queue);
        while (virtio->kicks(queue, true));
    }
    bp_device_unlock(s->dev);
}

/* ---- the device ---- */
static uint64_t offer(void *opaque, uint64_t features)
{
    const struct vscsi *s = opaque;

    if (!s->hotplug)
        features &= ~BP_VIRTIO_BIT(F_HOTPLUG);
    return s->param_change ? features : features & ~BP_VIRTIO_BIT(F_CHANGE);
}

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct vscsi *s = opaque;
    uint8_t *c = virtio->config(s->virtio), sizes[8];

    (void)offset, (void)size;
    memcpy(sizes, c + CFG_SENSE_SIZE, sizeof(sizes));
    memcpy(c, old, CFG_SIZE);
    memcpy(c + CFG_SENSE_SIZE, sizes, sizeof(sizes));
    if (config32(s, CFG_SENSE_SIZE) > 65536 || config32(s, CFG_CDB_SIZE) > 255) {
        memcpy(c, old, CFG_SIZE);
        virtio->broken(s->virtio, "a SCSI host is given impossible sizes of sense data or commands");
    }
}

static void reset(void *opaque)
{
    struct vscsi *s = opaque;

    scsi->reset_bus(s->bus);
    s->pending_count = 0;
    s->missed = false;
    put32(virtio->config(s->virtio) + CFG_SENSE_SIZE, DEFAULT_SENSE);
    put32(virtio->config(s->virtio) + CFG_CDB_SIZE, DEFAULT_CDB);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    scsi->reset_bus(((struct vscsi *)opaque)->bus);
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 8, .name = "virtio-scsi", .config_size = CFG_SIZE,
    .features = BP_VIRTIO_BIT(F_HOTPLUG) | BP_VIRTIO_BIT(F_CHANGE), .offer = offer, .config_written = config_written,
    .reset = reset};

static void fill_config(struct vscsi *s)
{
    uint8_t *c = virtio->config(s->virtio);

    put32(c + CFG_NUM_QUEUES, s->num_queues);
    put32(c + CFG_SEG_MAX, s->seg_max_adjust ? s->queue_size - 2 : 126);
    put32(c + CFG_MAX_SECTORS, s->max_sectors);
    put32(c + CFG_CMD_PER_LUN, s->cmd_per_lun < s->queue_size ? s->cmd_per_lun : s->queue_size);
    put32(c + CFG_EVENT_SIZE, 16);
    put32(c + CFG_SENSE_SIZE, DEFAULT_SENSE);
    put32(c + CFG_CDB_SIZE, DEFAULT_CDB);
    c[CFG_MAX_TARGET] = MAX_TARGET;
    put32(c + CFG_MAX_LUN, MAX_LUN);
}

/* ---- draining ---- */
static void drain_begin(void *opaque)
{
    ((struct vscsi *)opaque)->drained = true;
}

static bool busy(void *opaque)
{
    const struct vscsi *s = opaque;

    return s->bus && scsi->in_flight(s->bus) > 0;
}

static void drain_end(void *opaque)
{
    struct vscsi *s = opaque;

    s->drained = false;
    for (unsigned i = 0; s->virtio && i < virtio->queues(s->virtio); i++)
        virtio->schedule(virtio->queue(s->virtio, i));
}

static void moved(void *opaque, struct bp_context *ctx)
{
    scsi->set_context(((struct vscsi *)opaque)->bus, ctx);
}

static const struct bp_participant_ops participant_ops = {
    .size = sizeof(participant_ops), .drain_begin = drain_begin, .busy = busy, .drain_end = drain_end, .moved = moved};

/* ---- life ---- */
static int check(struct vscsi *s, const char *type, struct bp_error *err)
{
    if (s->num_queues == AUTO_QUEUES)
        s->num_queues = bp_machine_cpus(bp_device_machine(s->dev));
    if (s->num_queues == 0 || s->num_queues > MAX_QUEUES)
        return bp_fail(err, EINVAL, "%s: num_queues=%u: 1 to %u are possible", type, s->num_queues, MAX_QUEUES);
    if (s->queue_size < 4 || s->queue_size > BP_VIRTQ_MAX_SIZE || (s->queue_size & (s->queue_size - 1)))
        return bp_fail(err, EINVAL, "%s: virtqueue_size=%u: powers of two from 4 to %u are possible", type,
                       s->queue_size, BP_VIRTQ_MAX_SIZE);
    return 0;
}

static int add_queues(struct vscsi *s, struct bp_error *err)
{
    const struct bp_virtq_info control = {.size = sizeof(control), .entries = (uint16_t)s->queue_size, .handle = handle,
                                          .own_size = sizeof(struct task), .reset = reset_queue};
    const struct bp_virtq_info events = {.size = sizeof(events), .entries = (uint16_t)s->queue_size,
                                         .handle = handle_events};
    const struct bp_virtq_info requests = {.size = sizeof(requests), .entries = (uint16_t)s->queue_size,
                                           .handle = handle, .own_size = sizeof(struct command),
                                           .reset = reset_queue};
    struct bp_virtq *queue;
    int ret = virtio->add_queue(s->virtio, &control, &s->control, err);

    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &events, &s->events, err);
    for (unsigned i = 0; ret == 0 && i < s->num_queues; i++)
        ret = virtio->add_queue(s->virtio, &requests, &queue, err);
    return ret;
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    static const struct bp_scsi_bus_info info = {
        .size = sizeof(info), .max_target = MAX_TARGET, .max_lun = MAX_LUN, .unit_came = unit_came,
        .unit_went = unit_went, .unit_changed = unit_changed};
    struct vscsi *s = state;
    struct bp_context *ctx;
    int ret;

    s->dev = bp_device_from_object(obj);
    ret = check(s, bp_object_type(obj), err);
    if (ret == 0)
        ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0 && !s->iothread) {
        ret = virtio->shared_context(s->virtio, &ctx, err);
        if (ret == 0)
            bp_device_set_context(s->dev, ctx);
    }
    if (ret == 0)
        ret = add_queues(s, err);
    if (ret == 0)
        ret = scsi->new_bus(s->dev, &info, s, &s->bus, err);
    if (ret < 0) {
        s->virtio = NULL;
        return ret;
    }
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-scsi", bp_device_id(s->dev), 0);
    s->work = bp_deferred_new(s->main, NULL, work, s);
    s->participant = bp_participant_new(bp_device_owner(s->dev), &participant_ops, s);
    fill_config(s);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    (void)obj;
    ((struct vscsi *)state)->virtio = NULL;
}

static void fini(struct bp_object *obj, void *state)
{
    (void)obj;
    scsi->free_bus(((struct vscsi *)state)->bus);
}

static const struct bp_state_field event_fields[] = {
    BP_SAVE(UINT32, struct vscsi_event, event), BP_SAVE(UINT32, struct vscsi_event, reason),
    BP_SAVE_BUFFER(struct vscsi_event, lun), BP_SAVE_END};
static const struct bp_state_table event_table = {.version = 1, .oldest = 1, .fields = event_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_STRUCTS(struct vscsi, pending, &event_table),
    BP_SAVE_RANGE(UINT32, struct vscsi, pending_count, 0, PENDING_EVENTS), BP_SAVE(BOOL, struct vscsi, missed),
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

static const struct bp_field props[] = {
    BP_PROP_IOTHREAD("iothread", struct vscsi, iothread),
    BP_PROP("num_queues", UINT32, struct vscsi, num_queues, "4294967295",
            "queues of requests; 4294967295: one for each processor"),
    BP_PROP("virtqueue_size", UINT32, struct vscsi, queue_size, "256", "entries of each queue, a power of two"),
    BP_PROP("seg_max_adjust", BOOL, struct vscsi, seg_max_adjust, "on",
            "requests may have as many parts as a queue has entries"),
    BP_PROP("max_sectors", UINT32, struct vscsi, max_sectors, "65535", "most sectors of a request"),
    BP_PROP("cmd_per_lun", UINT32, struct vscsi, cmd_per_lun, "128", "commands that a unit takes at a time"),
    BP_PROP("hotplug", BOOL, struct vscsi, hotplug, "on", "tells of units that come and go"),
    BP_PROP("param_change", BOOL, struct vscsi, param_change, "on", "tells of units that changed"),
    BP_FIELDS_END,
};

static const struct bp_level_class vscsi_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-scsi-base",
             .summary = "Virtio SCSI host", .state_size = sizeof(struct vscsi), .props = props, .state = &table},
    .attach = attach, .detach = detach, .fini = fini};

BP_VIRTIO_TRANSITIONAL_NAMES(host, "virtio-scsi", 0x0100, "Virtio SCSI host", &vscsi_level, .category = "storage");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(scsi, "scsi", 1), {0}};
BP_MODULE("hw-virtio-scsi", "Virtio SCSI host", imports, {BP_PROVIDE_DEVICE, &host_pci},
          {BP_PROVIDE_DEVICE, &host_transitional}, {BP_PROVIDE_DEVICE, &host_modern},
          {BP_PROVIDE_DEVICE, &host_device});
