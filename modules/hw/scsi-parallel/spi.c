/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { /* messages, SCSI-2 6.6 */
    M_COMPLETE = 0x00, M_EXTENDED = 0x01, M_SAVE_POINTERS = 0x02, M_DISCONNECT = 0x04, M_INITIATOR_ERROR = 0x05,
    M_ABORT = 0x06, M_REJECT = 0x07, M_NOP = 0x08, M_PARITY = 0x09, M_RESET = 0x0c, M_ABORT_TAG = 0x0d,
    M_CLEAR_QUEUE = 0x0e, M_SIMPLE = 0x20, M_HEAD = 0x21, M_ORDERED = 0x22, M_IDENTIFY = 0x80,
};
enum { X_SYNCHRONOUS = 1, X_WIDE = 3 };
enum { REQUEST_SENSE = 0x03, INQUIRY = 0x12, REPORT_LUNS = 0xa0, ILLEGAL_REQUEST = 5, INVALID_FIELD = 0x24 };

static void proceed(struct spi_bus *s);

static uint8_t *sense_of(struct spi_bus *s, unsigned target, unsigned lun)
{
    return s->sense + (target * SPI_LUNS + lun) * SPI_SENSE;
}

static void put_sense(struct spi_bus *s, const struct spi_task *t, uint8_t key, uint8_t code)
{
    uint8_t *sense = sense_of(s, t->target, t->lun);

    memset(sense, 0, SPI_SENSE);
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = SPI_SENSE - 8;
    sense[12] = code;
}

/* ---- tasks ---- */
static void free_task(struct spi_task *t)
{
    struct spi_task **link = &t->bus->tasks;

    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    t->bus->held -= t->size;
    free(t->data);
    free(t);
}

/* The unit may have it still: then it goes when that lets go of it. */
static void kill_task(struct spi_task *t)
{
    struct spi_bus *s = t->bus;

    if (s->task == t)
        s->task = NULL;
    t->dead = true;
    if (t->running)
        s->scsi->cancel(t->request.unit, &t->request); /* may free it */
    else
        free_task(t);
}

/* tag < 0: all of the unit; lun < 0: all of the target; target < 0: all. */
static void kill_tasks(struct spi_bus *s, int target, int lun, int tag)
{
    struct spi_task *t = s->tasks;

    while (t) {
        if (!t->dead && (target < 0 || t->target == target) && (lun < 0 || t->lun == lun) &&
            (tag < 0 || (t->tagged && t->tag == tag))) {
            kill_task(t);
            t = s->tasks; /* others may have gone with it */
        } else {
            t = t->next;
        }
    }
}

static bool is_there(const struct spi_bus *s, unsigned target, unsigned lun, bool tagged, unsigned tag)
{
    for (const struct spi_task *t = s->tasks; t; t = t->next) {
        if (!t->dead && t->target == target && t->lun == lun && t->tagged == tagged && (!tagged || t->tag == tag))
            return true;
    }
    return false;
}

static void ended(struct spi_bus *s, struct spi_task *t, uint8_t status)
{
    t->running = false;
    t->status = status;
    t->state = !t->out && t->moved ? SPI_TASK_IN : SPI_TASK_STATUS;
    if (s->task != t || s->phase == SPI_WAIT) {
        if (s->task == t)
            proceed(s);
        s->changed(s->opaque);
    }
}

static void done(struct bp_scsi_request *r)
{
    struct spi_task *t = r->opaque;
    struct spi_bus *s = t->bus;

    if (t->dead) {
        free_task(t);
        return;
    }
    if (r->status == BP_SCSI_CHECK_CONDITION) {
        uint8_t *sense = sense_of(s, t->target, t->lun);

        memset(sense, 0, SPI_SENSE);
        memcpy(sense, r->sense, r->sense_length < SPI_SENSE ? r->sense_length : SPI_SENSE);
    }
    if (!t->out)
        t->moved = r->moved < t->size ? (uint32_t)r->moved : t->size;
    ended(s, t, r->status);
}

static void submit(struct spi_bus *s, struct spi_task *t)
{
    struct bp_scsi_unit *unit = s->scsi->unit(s->bus, 0, t->target, t->lun);
    struct bp_scsi_request *r = &t->request;

    memset(r, 0, sizeof(*r));
    if (!unit)
        unit = s->scsi->target(s->bus, 0, t->target);
    if (!unit) { /* it left between selection and command */
        t->moved = 0;
        ended(s, t, BP_SCSI_TASK_ABORTED);
        return;
    }
    r->size = sizeof(*r);
    memcpy(r->cdb, t->cdb, sizeof(r->cdb));
    r->cdb_length = t->cdb_length;
    r->tag = t->tag;
    r->done = done;
    r->opaque = t;
    t->iov = (struct iovec){t->data, t->size};
    if (t->out) {
        r->out = &t->iov;
        r->out_count = t->size ? 1 : 0;
        r->out_bytes = t->size;
    } else {
        r->in = &t->iov;
        r->in_count = t->size ? 1 : 0;
        r->in_bytes = t->size;
    }
    t->state = SPI_TASK_RUNNING;
    t->running = true;
    s->scsi->submit(unit, t->lun, r);
}

/* The sense data that a CHECK CONDITION left are the next command's, or gone. True: that was all. */
static bool took_sense(struct spi_bus *s, struct spi_task *t)
{
    uint8_t *sense = sense_of(s, t->target, t->lun);
    bool answers = sense[0] && t->cdb[0] == REQUEST_SENSE && t->size;

    if (answers) {
        t->moved = t->size < SPI_SENSE ? t->size : SPI_SENSE;
        memcpy(t->data, sense, t->moved);
        ended(s, t, BP_SCSI_GOOD);
    }
    if (t->cdb[0] != INQUIRY && t->cdb[0] != REPORT_LUNS) /* these leave them */
        sense[0] = 0;
    return answers;
}

static struct spi_task *new_task(struct spi_bus *s)
{
    struct spi_task *t = calloc(1, sizeof(*t)), **link = &s->tasks;

    if (!t)
        return NULL;
    while (*link)
        link = &(*link)->next;
    *link = t;
    t->bus = s;
    return t;
}

static unsigned count_tasks(const struct spi_bus *s)
{
    unsigned n = 0;

    for (const struct spi_task *t = s->tasks; t; t = t->next)
        n++;
    return n;
}

/* The command is complete: what does it move? False: there is no memory to answer anything. */
static bool start_task(struct spi_bus *s)
{
    bool clash = is_there(s, s->target, s->lun, s->tagged, s->tag), full = count_tasks(s) >= SPI_TASKS;
    struct bp_scsi_unit *unit = s->scsi->unit(s->bus, 0, s->target, s->lun);
    struct spi_task *t;
    uint64_t size;

    if (!unit)
        unit = s->scsi->target(s->bus, 0, s->target);
    t = !unit || count_tasks(s) >= 2 * SPI_TASKS ? NULL : new_task(s);
    if (!t)
        return false;
    t->target = s->target;
    t->lun = s->lun;
    t->tagged = s->tagged;
    t->tag = s->tag;
    t->may_disconnect = s->may_disconnect;
    t->cdb_length = s->cdb_count;
    memcpy(t->cdb, s->cdb, s->cdb_count);
    s->task = t;
    size = s->scsi->moves(unit, t->cdb, &t->out);
    if (clash) {
        ended(s, t, BP_SCSI_BUSY);
    } else if (size > SPI_DATA_MAX) {
        put_sense(s, t, ILLEGAL_REQUEST, INVALID_FIELD);
        ended(s, t, BP_SCSI_CHECK_CONDITION);
    } else if (full || size > SPI_DATA_ALL - s->held || (size && !(t->data = calloc(1, size)))) {
        ended(s, t, t->tagged ? BP_SCSI_TASK_SET_FULL : BP_SCSI_BUSY);
    } else {
        t->size = (uint32_t)size;
        s->held += t->size;
        if (took_sense(s, t))
            return true;
        if (t->out && size)
            t->state = SPI_TASK_OUT;
        else
            submit(s, t);
    }
    return true;
}

/* ---- the bus ---- */
static void say(struct spi_bus *s, uint8_t message)
{
    if (s->in_count < SPI_MESSAGE)
        s->message_in[s->in_count++] = message;
}

static void release(struct spi_bus *s)
{
    s->connected = s->atn = s->ack = s->leaving = false;
    s->task = NULL;
    s->in_count = s->in_at = s->out_count = s->cdb_count = 0;
    s->phase = SPI_FREE;
    s->changed(s->opaque); /* others may wait for the bus */
}

/* What the target wants next: it has no message to give, and none is sent to it. */
static void next_of_task(struct spi_bus *s)
{
    struct spi_task *t = s->task;

    switch (t->state) {
    case SPI_TASK_OUT:
        s->phase = SPI_DATA_OUT;
        break;
    case SPI_TASK_IN:
        s->phase = SPI_DATA_IN;
        break;
    case SPI_TASK_STATUS:
        s->phase = SPI_STATUS;
        break;
    case SPI_TASK_COMPLETE:
        free_task(t);
        s->task = NULL;
        s->leaving = s->said_so = true;
        say(s, M_COMPLETE);
        s->phase = SPI_MESSAGE_IN;
        break;
    default: /* at the unit */
        if (!t->may_disconnect) {
            s->phase = SPI_WAIT;
            break;
        }
        if (t->at && !s->saved_pointers)
            say(s, M_SAVE_POINTERS);
        say(s, M_DISCONNECT);
        s->leaving = s->said_so = true;
        s->phase = SPI_MESSAGE_IN;
    }
}

static void proceed(struct spi_bus *s)
{
    if (!s->connected || s->ack)
        return;
    if (s->atn)
        s->phase = SPI_MESSAGE_OUT;
    else if (s->in_at < s->in_count)
        s->phase = SPI_MESSAGE_IN;
    else if (s->leaving)
        release(s);
    else if (s->task)
        next_of_task(s);
    else
        s->phase = SPI_COMMAND;
}

bool spi_select(struct spi_bus *s, unsigned target, bool atn)
{
    if (s->connected || target >= SPI_TARGETS || !s->scsi->target(s->bus, 0, target))
        return false;
    s->connected = true;
    s->target = (uint8_t)target;
    s->lun = s->tag = 0;
    s->tagged = s->may_disconnect = s->leaving = s->said_so = s->ack = s->saved_pointers = false;
    s->atn = atn;
    s->task = NULL;
    s->in_count = s->in_at = s->out_count = s->cdb_count = 0;
    proceed(s);
    return true;
}

static struct spi_task *ready(const struct spi_bus *s)
{
    struct spi_task *t = s->tasks;

    while (t && (t->dead || t->running))
        t = t->next;
    return t;
}

bool spi_wants_reselect(const struct spi_bus *s)
{
    return !s->connected && ready(s);
}

bool spi_reselect(struct spi_bus *s, unsigned *ret_target)
{
    struct spi_task *t = s->connected ? NULL : ready(s);

    if (!t)
        return false;
    s->connected = true;
    s->task = t;
    s->target = t->target;
    s->lun = t->lun;
    s->tagged = t->tagged;
    s->tag = t->tag;
    s->atn = s->ack = s->leaving = s->said_so = false;
    s->saved_pointers = true;
    s->in_count = s->in_at = s->out_count = 0;
    say(s, M_IDENTIFY | t->lun);
    if (t->tagged) {
        say(s, M_SIMPLE);
        say(s, t->tag);
    }
    proceed(s);
    *ret_target = t->target;
    return true;
}

/* ---- messages from the initiator ---- */
static void reset_target(struct spi_bus *s)
{
    unsigned target = s->target;

    kill_tasks(s, (int)target, -1, -1);
    for (unsigned lun = 0; lun < SPI_LUNS; lun++) {
        struct bp_scsi_unit *unit = s->scsi->unit(s->bus, 0, target, lun);

        sense_of(s, target, lun)[0] = 0;
        if (unit)
            s->scsi->reset_unit(unit);
    }
}

static void extended(struct spi_bus *s)
{
    const uint8_t *m = s->message_out;
    unsigned length = m[1] + 2u;

    if ((m[2] == X_SYNCHRONOUS && length == 5) || (m[2] == X_WIDE && length == 4)) {
        for (unsigned i = 0; i < length; i++)
            say(s, m[i]);
    } else {
        say(s, M_REJECT);
    }
}

/* One message is complete. */
static void heard(struct spi_bus *s)
{
    uint8_t m = s->message_out[0];

    s->out_count = 0;
    if (m & M_IDENTIFY) {
        if (s->task)
            return; /* said again */
        s->lun = m & (SPI_LUNS - 1);
        s->may_disconnect = m & 0x40;
        return;
    }
    switch (m) {
    case M_SIMPLE:
    case M_HEAD:
    case M_ORDERED:
        s->tagged = true;
        s->tag = s->message_out[1];
        break;
    case M_EXTENDED:
        extended(s);
        break;
    case M_ABORT:
    case M_CLEAR_QUEUE:
        kill_tasks(s, s->target, s->lun, -1);
        s->leaving = true;
        break;
    case M_ABORT_TAG:
        kill_tasks(s, s->target, s->lun, s->tagged ? s->tag : -1);
        s->leaving = true;
        break;
    case M_RESET:
        reset_target(s);
        s->leaving = true;
        break;
    case M_REJECT: /* of what the target said; it insists on nothing */
        if (s->task)
            s->task->may_disconnect = false;
        break;
    case M_NOP:
    case M_PARITY:
    case M_INITIATOR_ERROR:
        break;
    default:
        say(s, M_REJECT);
    }
}

static unsigned length_of_message(const uint8_t *m, unsigned have)
{
    if (m[0] == M_EXTENDED)
        return have < 2 ? 3 : (m[1] ? m[1] + 2u : 258u);
    return m[0] >= 0x20 && m[0] < 0x30 ? 2 : 1;
}

static void message_byte(struct spi_bus *s, uint8_t byte)
{
    unsigned wanted;

    if (s->out_count < SPI_MESSAGE)
        s->message_out[s->out_count] = byte;
    s->out_count++;
    wanted = length_of_message(s->message_out, s->out_count);
    if (wanted > SPI_MESSAGE) { /* longer than any that is known */
        if (s->out_count == 2)
            say(s, M_REJECT);
        s->out_count = 0;
        return;
    }
    if (s->out_count >= wanted)
        heard(s);
}

static uint32_t put_messages(struct spi_bus *s, const uint8_t *data, uint32_t length, bool last)
{
    bool left = s->leaving; /* the bus, after a message that the initiator answers to */
    uint32_t n = 0;

    if (s->out_count == 0)
        s->in_count = s->in_at = 0; /* what the target has not said yet is dropped */
    s->leaving = s->said_so = false;
    while (n < length && !s->leaving)
        message_byte(s, data[n++]);
    if (left && !s->task && !s->leaving)
        s->leaving = s->said_so = true;
    if (last || s->leaving) {
        s->atn = false;
        s->out_count = 0;
    }
    if (!s->atn)
        proceed(s);
    return n;
}

/* ---- bytes ---- */
static unsigned length_of_command(uint8_t opcode)
{
    static const uint8_t by_group[8] = {6, 10, 10, 6, 16, 12, 6, 6};

    return by_group[opcode >> 5];
}

static uint32_t put_command(struct spi_bus *s, const uint8_t *data, uint32_t length)
{
    uint32_t n = 0;
    bool whole = false;

    while (n < length && !whole) {
        s->cdb[s->cdb_count++] = data[n++];
        whole = s->cdb_count == length_of_command(s->cdb[0]);
    }
    if (!whole)
        return n;
    if (!start_task(s))
        s->leaving = true;
    s->cdb_count = 0;
    proceed(s);
    return n;
}

static uint32_t put_data(struct spi_bus *s, const uint8_t *data, uint32_t length)
{
    struct spi_task *t = s->task;
    uint32_t n = t->size - t->at < length ? t->size - t->at : length;

    memcpy(t->data + t->at, data, n);
    t->at += n;
    if (t->at == t->size) {
        s->saved_pointers = false;
        submit(s, t);
        proceed(s);
    }
    return n;
}

uint32_t spi_put(struct spi_bus *s, const uint8_t *data, uint32_t length, bool last)
{
    switch (s->phase) {
    case SPI_MESSAGE_OUT:
        return put_messages(s, data, length, last);
    case SPI_COMMAND:
        return put_command(s, data, length);
    case SPI_DATA_OUT:
        return s->task ? put_data(s, data, length) : 0;
    default:
        return 0;
    }
}

static uint32_t get_messages(struct spi_bus *s, uint8_t *data, uint32_t length)
{
    uint32_t n = 0;

    while (n < length && s->in_at < s->in_count)
        data[n++] = s->message_in[s->in_at++];
    s->ack = n > 0;
    return n;
}

uint32_t spi_get(struct spi_bus *s, uint8_t *data, uint32_t length)
{
    struct spi_task *t = s->task;
    uint32_t n;

    if (length == 0)
        return 0;
    switch (s->phase) {
    case SPI_MESSAGE_IN:
        return get_messages(s, data, length);
    case SPI_STATUS:
        data[0] = t->status;
        t->state = SPI_TASK_COMPLETE;
        proceed(s);
        return 1;
    case SPI_DATA_IN:
        n = t->moved - t->at < length ? t->moved - t->at : length;
        memcpy(data, t->data + t->at, n);
        t->at += n;
        if (t->at == t->moved) {
            t->state = SPI_TASK_STATUS;
            proceed(s);
        }
        return n;
    default:
        return 0;
    }
}

void spi_acknowledge(struct spi_bus *s)
{
    s->ack = false;
    if (s->phase == SPI_MESSAGE_IN)
        proceed(s);
}

void spi_set_atn(struct spi_bus *s, bool on)
{
    if (!s->connected || s->atn == on)
        return;
    s->atn = on;
    s->out_count = 0;
    if (on ? s->phase != SPI_MESSAGE_IN || !s->ack : s->phase == SPI_MESSAGE_OUT)
        proceed(s);
}

void spi_abandon(struct spi_bus *s)
{
    if (!s->connected)
        return;
    if (s->task)
        kill_task(s->task);
    s->said_so = true;
    release(s);
}

void spi_reset(struct spi_bus *s)
{
    kill_tasks(s, -1, -1, -1);
    memset(s->sense, 0, sizeof(s->sense));
    s->scsi->reset_bus(s->bus);
    release(s);
}

/* ---- life ---- */
static void unit_went(void *opaque, struct bp_scsi_unit *unit)
{
    struct spi_bus *s = opaque;
    unsigned channel, target, lun;

    s->scsi->address(unit, &channel, &target, &lun);
    sense_of(s, target, lun)[0] = 0;
}

int spi_init(struct spi_bus *s, const struct bp_scsi_interface *scsi, struct bp_device *adapter, unsigned targets,
             void (*changed)(void *opaque), void *opaque, struct bp_error *err)
{
    const struct bp_scsi_bus_info info = {.size = sizeof(info), .max_target = (uint16_t)(targets - 1),
                                          .max_lun = SPI_LUNS - 1, .unit_went = unit_went,
                                          .initiators = 1u << SPI_INITIATOR};

    s->scsi = scsi;
    s->changed = changed;
    s->opaque = opaque;
    s->phase = SPI_FREE;
    return scsi->new_bus(adapter, &info, s, &s->bus, err);
}

void spi_fini(struct spi_bus *s)
{
    while (s->tasks)
        free_task(s->tasks); /* units have left before */
    s->scsi->free_bus(s->bus);
    s->bus = NULL;
}

/* ---- saved state ---- */
static void *next_saved(void *state, void *element)
{
    struct spi_task *t = element ? ((struct spi_task *)element)->next : ((struct spi_bus *)state)->tasks;

    while (t && t->dead)
        t = t->next;
    return t;
}

static void clear_saved(void *state)
{
    kill_tasks(state, -1, -1, -1);
}

static void *append_saved(void *state, struct bp_error *err)
{
    struct spi_task *t = new_task(state);

    if (!t)
        bp_fail(err, ENOMEM, "SCSI: no memory for a command");
    return t;
}

static int task_before_save(void *state, struct bp_error *err)
{
    struct spi_task *t = state;

    t->bytes = (struct bp_state_bytes){0};
    if (t->size == 0)
        return 0;
    t->bytes.data = malloc(t->size);
    if (!t->bytes.data)
        return bp_fail(err, ENOMEM, "SCSI: no memory for a command's data");
    memcpy(t->bytes.data, t->data, t->size);
    t->bytes.size = t->size;
    return 0;
}

static int task_after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct spi_task *t = state;
    struct spi_bus *s = t->bus;

    (void)version;
    t->size = 0;
    if (t->bytes.size > SPI_DATA_ALL - s->held || t->moved > t->bytes.size || t->at > t->bytes.size ||
        (t->state == SPI_TASK_IN && t->at >= t->moved) || (t->state == SPI_TASK_OUT && t->at >= t->bytes.size))
        return bp_fail(err, EINVAL, "SCSI: a saved command has impossible data");
    if (t->bytes.size == 0)
        return 0;
    t->data = malloc(t->bytes.size);
    if (!t->data)
        return bp_fail(err, ENOMEM, "SCSI: no memory for a command's data");
    memcpy(t->data, t->bytes.data, t->bytes.size);
    t->size = t->bytes.size;
    s->held += t->size;
    return 0;
}

static const struct bp_state_list task_list = {.size = sizeof(task_list), .next = next_saved, .clear = clear_saved,
                                               .append = append_saved};
static const struct bp_state_field task_fields[] = {
    BP_SAVE_BYTES(struct spi_task, bytes, SPI_DATA_MAX), BP_SAVE(UINT32, struct spi_task, moved),
    BP_SAVE(UINT32, struct spi_task, at), BP_SAVE_RANGE(UINT8, struct spi_task, target, 0, SPI_TARGETS - 1),
    BP_SAVE_RANGE(UINT8, struct spi_task, lun, 0, SPI_LUNS - 1), BP_SAVE(UINT8, struct spi_task, tag),
    BP_SAVE_RANGE(UINT8, struct spi_task, state, 0, SPI_TASK_COMPLETE), BP_SAVE(BOOL, struct spi_task, tagged),
    BP_SAVE(BOOL, struct spi_task, out), BP_SAVE(BOOL, struct spi_task, may_disconnect),
    BP_SAVE(UINT8, struct spi_task, status),
    BP_SAVE_RANGE(UINT8, struct spi_task, cdb_length, 0, BP_SCSI_CDB_MAX), BP_SAVE_BUFFER(struct spi_task, cdb),
    BP_SAVE_END};
static const struct bp_state_table task_table = {.name = "task", .version = 1, .oldest = 1, .fields = task_fields,
                                                 .before_save = task_before_save, .after_load = task_after_load};

static int bus_before_save(void *state, struct bp_error *err)
{
    struct spi_bus *s = state;
    unsigned n = 0;

    (void)err;
    s->on_bus = 0;
    for (struct spi_task *t = next_saved(s, NULL); t; t = next_saved(s, t)) {
        n++;
        if (t == s->task)
            s->on_bus = (uint16_t)n;
    }
    return 0;
}

static int bus_after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct spi_bus *s = state;
    unsigned n = 0;

    (void)version;
    s->task = NULL;
    for (struct spi_task *t = next_saved(s, NULL); t; t = next_saved(s, t)) {
        if (++n == s->on_bus)
            s->task = t;
    }
    if (s->on_bus > n || s->in_at > s->in_count || (s->connected ? s->phase == SPI_FREE : s->phase != SPI_FREE) ||
        s->cdb_count > (s->cdb_count ? length_of_command(s->cdb[0]) - 1 : 0u))
        return bp_fail(err, EINVAL, "SCSI: the saved state of the bus is impossible");
    if ((s->phase == SPI_DATA_OUT && !(s->task && s->task->state == SPI_TASK_OUT)) ||
        (s->phase == SPI_DATA_IN && !(s->task && s->task->state == SPI_TASK_IN)) ||
        (s->phase == SPI_STATUS && !(s->task && s->task->state == SPI_TASK_STATUS)) ||
        (s->phase == SPI_COMMAND && s->task))
        return bp_fail(err, EINVAL, "SCSI: the saved phase of the bus is impossible");
    return 0;
}

static const struct bp_state_field bus_fields[] = {
    BP_SAVE_LIST("tasks", &task_list, 2 * SPI_TASKS, &task_table), BP_SAVE(UINT16, struct spi_bus, on_bus),
    BP_SAVE(BOOL, struct spi_bus, connected), BP_SAVE(BOOL, struct spi_bus, atn), BP_SAVE(BOOL, struct spi_bus, ack),
    BP_SAVE_RANGE(UINT8, struct spi_bus, phase, 0, SPI_FREE),
    BP_SAVE_RANGE(UINT8, struct spi_bus, target, 0, SPI_TARGETS - 1),
    BP_SAVE_RANGE(UINT8, struct spi_bus, lun, 0, SPI_LUNS - 1), BP_SAVE(UINT8, struct spi_bus, tag),
    BP_SAVE(BOOL, struct spi_bus, tagged), BP_SAVE(BOOL, struct spi_bus, may_disconnect),
    BP_SAVE(BOOL, struct spi_bus, leaving), BP_SAVE(BOOL, struct spi_bus, said_so),
    BP_SAVE(BOOL, struct spi_bus, saved_pointers),
    BP_SAVE_BUFFER(struct spi_bus, message_out), BP_SAVE_BUFFER(struct spi_bus, message_in),
    BP_SAVE_RANGE(UINT8, struct spi_bus, out_count, 0, SPI_MESSAGE),
    BP_SAVE_RANGE(UINT8, struct spi_bus, in_count, 0, SPI_MESSAGE),
    BP_SAVE_RANGE(UINT8, struct spi_bus, in_at, 0, SPI_MESSAGE), BP_SAVE_BUFFER(struct spi_bus, cdb),
    BP_SAVE_RANGE(UINT8, struct spi_bus, cdb_count, 0, BP_SCSI_CDB_MAX - 1), BP_SAVE_BUFFER(struct spi_bus, sense),
    BP_SAVE_END};
const struct bp_state_table spi_state = {.name = "bus", .version = 1, .oldest = 1, .fields = bus_fields,
                                         .before_save = bus_before_save, .after_load = bus_after_load};

void spi_loaded(struct spi_bus *s)
{
    struct spi_task *next;

    for (struct spi_task *t = s->tasks; t; t = next) {
        next = t->next;
        if (!t->dead && t->state == SPI_TASK_RUNNING && !t->running)
            submit(s, t); /* what the unit had: it begins anew, with the same data */
    }
    if (s->phase == SPI_WAIT)
        proceed(s);
}
