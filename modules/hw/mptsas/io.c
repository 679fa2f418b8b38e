// SPDX-License-Identifier: LGPL-2.1-or-later
/* SCSI I/O and task management of the SAS1068. */
#include <errno.h>

#include <bp/log.h>

#include "mptsas.h"

enum { /* bytes of a SCSI I/O request */
    TARGET = 0x00,
    BUS = 0x01,
    CDB_LENGTH = 0x04,
    SENSE_LENGTH = 0x05,
    LUN = 0x0c,
    CONTROL = 0x14,
    CDB = 0x18,
    DATA_LENGTH = 0x28,
    SENSE_ADDR = 0x2c,
    SGL = 0x30,
};
enum { TASK_TYPE = 0x05, TASK_CONTEXT = 0x30 };
enum { ABORT = 1, ABORT_SET, TARGET_RESET, BUS_RESET, UNIT_RESET, CLEAR_SET, QUERY };
enum { RSP_COMPLETE = 0, RSP_NOT_SUPPORTED = 4, RSP_SUCCEEDED = 8, RSP_INVALID_LUN = 9 };
#define CONTROL_WRITE 0x01000000u
#define CONTROL_READ 0x02000000u
#define SGE_LAST 0x80u
#define SGE_TYPE 0x30u
#define SGE_SIMPLE 0x10u
#define SGE_CHAIN 0x30u
#define SGE_64 0x02u
#define SGE_END 0x01u
#define CHAINS 128u
#define SEGMENT 1024u /* bytes of a part of a list that are looked at */

/* ---- lists ---- */
struct walk {
    uint8_t bytes[SEGMENT];
    unsigned at, end;
    unsigned chains;
};

/* The next part of the list. False: it is impossible. */
static bool follow(struct hba_command *c, struct walk *w, uint32_t head, uint64_t addr)
{
    unsigned length = head & 0xffff;

    if (length > SEGMENT)
        length = SEGMENT;
    if (length < 8 || ++w->chains > CHAINS || hba_read(c->hba, addr, w->bytes, length) < 0)
        return false;
    w->at = 0;
    w->end = length;
    return true;
}

static bool add_element(struct hba_command *c, uint32_t head, uint64_t addr, uint64_t length)
{
    uint64_t bytes = head & 0xffffff;

    if (bytes > length - c->bytes)
        bytes = length - c->bytes;
    return hba_add(c, addr, bytes);
}

bool mpt_list(struct hba_command *c, const uint8_t *request, unsigned at, uint64_t length)
{
    struct walk w = {.at = at, .end = MPT_FRAME};

    memcpy(w.bytes, request, MPT_FRAME);
    while (c->bytes < length) {
        uint32_t head = w.at + 8 <= w.end ? hba_get32(w.bytes + w.at) : 0, flags = head >> 24;
        unsigned size = flags & SGE_64 ? 12 : 8;
        uint64_t addr;

        if (w.at + size > w.end)
            return false;
        addr = flags & SGE_64 ? hba_get64(w.bytes + w.at + 4) : hba_get32(w.bytes + w.at + 4);
        w.at += size;
        if ((flags & SGE_TYPE) == SGE_CHAIN) {
            if (!follow(c, &w, head, addr))
                return false;
            continue;
        }
        if ((flags & SGE_TYPE) != SGE_SIMPLE || !add_element(c, head, addr, length))
            return false;
        if (flags & SGE_END)
            break;
    }
    return true;
}

/* ---- requests ---- */
static unsigned make_request(struct hba_command *c)
{
    const uint8_t *q = c->frame;
    uint32_t control = hba_get32(q + CONTROL);
    uint64_t length = control & (CONTROL_READ | CONTROL_WRITE) ? hba_get32(q + DATA_LENGTH) : 0;

    if (q[CDB_LENGTH] > 16 || length > HBA_BYTES ||
        (control & (CONTROL_READ | CONTROL_WRITE)) == (CONTROL_READ | CONTROL_WRITE))
        return MPT_INVALID_FIELD;
    c->request.cdb_length = q[CDB_LENGTH];
    memcpy(c->request.cdb, q + CDB, 16);
    c->to_guest = control & CONTROL_READ;
    return mpt_list(c, q, SGL, length) ? MPT_SUCCESS : MPT_INVALID_SGL;
}

unsigned mpt_scsi_io(struct mptsas *s, const uint8_t *request)
{
    struct hba_command *c;
    unsigned status;
    int ret;

    if (request[BUS])
        return MPT_SCSI_INVALID_BUS;
    if (request[TARGET] >= MPT_PHYS)
        return MPT_SCSI_INVALID_TARGET;
    c = hba_new(&s->hba, hba_get32(request + M_CONTEXT));
    if (!c)
        return MPT_INSUFFICIENT_RESOURCES;
    memcpy(c->frame, request, MPT_FRAME);
    status = make_request(c);
    ret = status == MPT_SUCCESS ? hba_start(c, 0, request[TARGET], hba_lun(request + LUN)) : -EINVAL;
    if (ret == 0)
        return MPT_SUCCESS;
    hba_drop(c);
    if (status != MPT_SUCCESS)
        return status;
    return ret == -ENODEV ? MPT_SCSI_NOT_THERE : ret == -EAGAIN ? MPT_INSUFFICIENT_RESOURCES : MPT_INVALID_SGL;
}

static void finish_task(struct mptsas *s, struct hba_command *task, unsigned response, unsigned status)
{
    uint8_t r[MPT_REPLY];

    mpt_reply_head(r, task->frame, 24, status);
    memcpy(r, task->frame, 2);
    r[4] = (uint8_t)response;
    r[5] = task->frame[TASK_TYPE];
    hba_put32(r + 0x14, task->ended);
    hba_drop(task);
    mpt_send(s, r, 24);
}

static void count_off(struct mptsas *s, struct hba_command *task)
{
    task->ended++;
    if (--task->left)
        return;
    if (task->forgotten)
        hba_drop(task);
    else
        finish_task(s, task, RSP_COMPLETE, MPT_SUCCESS);
}

static void reply_to(struct mptsas *s, struct hba_command *c)
{
    const struct bp_scsi_request *q = &c->request;
    uint32_t sense = q->sense_length < c->frame[SENSE_LENGTH] ? q->sense_length : c->frame[SENSE_LENGTH];
    unsigned status = q->cancelled ? MPT_SCSI_TASK_TERMINATED : q->moved < c->bytes ? MPT_SCSI_UNDERRUN : MPT_SUCCESS;
    uint8_t r[MPT_REPLY];

    if (q->status == BP_SCSI_GOOD && status == MPT_SUCCESS) {
        mpt_post(s, (uint32_t)c->key & 0x7fffffff);
        return;
    }
    if (q->status != BP_SCSI_GOOD && !q->cancelled)
        status = MPT_SUCCESS; /* the SCSI status says it */
    mpt_reply_head(r, c->frame, 36, status);
    memcpy(r, c->frame, 2);
    r[4] = c->frame[CDB_LENGTH];
    r[5] = c->frame[SENSE_LENGTH];
    r[0x0c] = q->cancelled ? 0 : q->status;
    if (q->cancelled)
        r[0x0d] = 8; /* terminated */
    hba_put32(r + 0x14, (uint32_t)q->moved);
    if (sense && !q->cancelled) {
        int ret = hba_write(&s->hba, (uint64_t)s->sense_high << 32 | hba_get32(c->frame + SENSE_ADDR), q->sense, sense);

        r[0x0d] = ret < 0 ? 2 : 1; /* sense data are there, or could not be stored */
        hba_put32(r + 0x18, sense);
    }
    hba_put16(r + 0x20, 0xffff); /* no tag is known */
    mpt_send(s, r, 36);
}

void mpt_done(struct hba *hba, struct hba_command *c)
{
    struct mptsas *s = bp_device_state(hba->dev);

    if (!c->forgotten)
        reply_to(s, c);
    if (c->waiting)
        count_off(s, c->waiting);
}

/* ---- task management ---- */
static bool is_of_task(struct hba_command *c, void *opaque)
{
    const uint8_t *t = ((struct hba_command *)opaque)->frame;

    switch (t[TASK_TYPE]) {
    case BUS_RESET: return true;
    case ABORT: return (uint32_t)c->key == hba_get32(t + TASK_CONTEXT);
    case TARGET_RESET: return c->frame[TARGET] == t[TARGET];
    default: return c->frame[TARGET] == t[TARGET] && hba_lun(c->frame + LUN) == hba_lun(t + LUN);
    }
}

static void reset_units(struct mptsas *s, const uint8_t *t)
{
    struct bp_scsi_unit *unit;

    if (t[TASK_TYPE] == BUS_RESET) {
        s->hba.scsi->reset_bus(s->hba.bus);
    } else if (t[TASK_TYPE] == TARGET_RESET) {
        for (unsigned lun = 0; lun < 256; lun++) {
            unit = s->hba.scsi->unit(s->hba.bus, 0, t[TARGET], lun);
            if (unit)
                s->hba.scsi->reset_unit(unit);
        }
    } else if (t[TASK_TYPE] == UNIT_RESET) {
        unit = s->hba.scsi->unit(s->hba.bus, 0, t[TARGET], hba_lun(t + LUN));
        if (unit)
            s->hba.scsi->reset_unit(unit);
    }
}

void mpt_task(struct mptsas *s, const uint8_t *request)
{
    struct hba_command *task = hba_new(&s->hba, UINT64_MAX);
    unsigned type = request[TASK_TYPE];
    struct bp_scsi_unit *unit = NULL;
    uint8_t r[MPT_REPLY];

    if (!task) {
        mpt_reply_head(r, request, 24, MPT_INSUFFICIENT_RESOURCES);
        mpt_send(s, r, 24);
        return;
    }
    memcpy(task->frame, request, MPT_FRAME);
    if (!request[BUS] && request[TARGET] < MPT_PHYS)
        unit = type == TARGET_RESET ? s->hba.scsi->target(s->hba.bus, 0, request[TARGET])
                                    : s->hba.scsi->unit(s->hba.bus, 0, request[TARGET], hba_lun(request + LUN));
    if (type == 0 || type > QUERY) {
        finish_task(s, task, RSP_NOT_SUPPORTED, MPT_INVALID_FIELD);
    } else if (!unit && type != BUS_RESET) {
        bool there = !request[BUS] && mpt_is_there(s, request[TARGET]);

        finish_task(s, task, RSP_INVALID_LUN, there ? MPT_SUCCESS : MPT_SCSI_INVALID_TARGET);
    } else if (type == QUERY) {
        struct hba_command *c = hba_find(&s->hba, hba_get32(request + TASK_CONTEXT));

        finish_task(s, task, c ? RSP_SUCCEEDED : RSP_COMPLETE, MPT_SUCCESS);
    } else {
        task->left = 1; /* ours, so that it does not end meanwhile */
        hba_cancel(&s->hba, task, is_of_task, task);
        reset_units(s, request);
        if (--task->left == 0)
            finish_task(s, task, RSP_COMPLETE, MPT_SUCCESS);
    }
}

/* What was under way when the state was saved. */
void mpt_replay(struct mptsas *s)
{
    uint8_t r[MPT_REPLY];

    for (uint32_t i = 0; i < s->hba.saved_count; i++) {
        const uint8_t *request = s->hba.saved[i].frame;
        unsigned status;

        if (request[M_FUNCTION] == MPT_TASK) {
            mpt_task(s, request);
            continue;
        }
        status = mpt_scsi_io(s, request);
        if (status != MPT_SUCCESS) {
            mpt_reply_head(r, request, 36, status);
            mpt_send(s, r, 36);
        }
    }
    s->hba.saved_count = 0;
}
