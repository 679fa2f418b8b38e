// SPDX-License-Identifier: LGPL-2.1-or-later
/* Messages of the SAS1068 and their replies: facts, set-up, events, the FIFOs. */
#include <errno.h>

#include <bp/log.h>

#include "mptsas.h"

enum { EVENT_CHANGE = 0x0a };
#define VERSION 0x0105u
#define HEADER_VERSION 0x1200u
#define FIRMWARE 0x01210000u /* 1.33.0.0 */
#define PRODUCT 0x2102u      /* SAS, an initiator, of the family 1068 */
#define ADDRESS_REPLY 0x80000000u
enum { CLEAR_NOT_PRESENT = 1, CLEAR_ALL = 2, LINK_RESET = 6, HARD_RESET = 7, CLEAR_ERRORS = 8 };

/* ---- replies ---- */
void mpt_reply_head(uint8_t *reply, const uint8_t *request, unsigned length, unsigned status)
{
    memset(reply, 0, MPT_REPLY);
    reply[M_LENGTH] = (uint8_t)(length / 4);
    reply[M_FUNCTION] = request[M_FUNCTION];
    reply[7] = request[7];
    memcpy(reply + M_CONTEXT, request + M_CONTEXT, 4);
    hba_put16(reply + M_STATUS, status);
}

void mpt_fault(struct mptsas *s, uint32_t code, const char *why)
{
    bp_guest_error(why, "mptsas: %s", why);
    mpt_to_ready(s);
    s->state = MPT_FAULT | code;
}

void mpt_post(struct mptsas *s, uint32_t word)
{
    if (s->post_count == MPT_POSTED) {
        mpt_fault(s, 0x8114, "the driver fetches no replies");
        return;
    }
    s->post[(s->post_first + s->post_count++) % MPT_POSTED] = word;
    mpt_update(s, true);
}

static void store(struct mptsas *s, const uint8_t *reply, unsigned length)
{
    uint32_t frame = s->free[s->free_first];

    s->free_first = (s->free_first + 1) % MPT_REPLIES;
    s->free_count--;
    if (length > s->reply_size)
        length = s->reply_size;
    if (hba_write(&s->hba, (uint64_t)s->frame_high << 32 | frame, reply, length) < 0)
        mpt_fault(s, 0x8114, "a frame for replies lies where no memory is");
    else
        mpt_post(s, frame >> 1 | ADDRESS_REPLY);
}

void mpt_send(struct mptsas *s, const uint8_t *reply, unsigned length)
{
    struct mpt_reply *p;

    if (s->state != MPT_OPERATIONAL)
        return;
    if (s->free_count && !s->pending_count) {
        store(s, reply, length);
        return;
    }
    if (s->pending_count == MPT_PENDING) {
        mpt_fault(s, 0x8113, "the driver gives no frames for replies");
        return;
    }
    p = &s->pending[(s->pending_first + s->pending_count++) % MPT_PENDING];
    p->length = length;
    memcpy(p->bytes, reply, MPT_REPLY);
    mpt_send_pending(s);
}

void mpt_send_pending(struct mptsas *s)
{
    while (s->pending_count && s->free_count) {
        const struct mpt_reply *p = &s->pending[s->pending_first];

        s->pending_first = (s->pending_first + 1) % MPT_PENDING;
        s->pending_count--;
        store(s, p->bytes, p->length);
    }
}

/* ---- facts ---- */
static unsigned ioc_facts(struct mptsas *s, const uint8_t *request, uint8_t *r)
{
    mpt_reply_head(r, request, 80, MPT_SUCCESS);
    hba_put16(r, VERSION);
    hba_put16(r + 4, HEADER_VERSION);
    r[0x14] = 128; /* depth of chains */
    r[0x15] = s->who;
    r[0x16] = 8;   /* dwords of a block */
    hba_put16(r + 0x18, MPT_REPLIES);
    hba_put16(r + 0x1a, MPT_FRAME / 4);
    hba_put16(r + 0x1e, PRODUCT);
    hba_put32(r + 0x20, s->frame_high);
    hba_put16(r + 0x24, MPT_CREDITS);
    r[0x26] = 1; /* ports */
    r[0x27] = s->events_on;
    hba_put32(r + 0x28, s->sense_high);
    hba_put16(r + 0x2c, s->reply_size);
    r[0x2e] = MPT_PHYS;
    r[0x2f] = 1; /* buses */
    hba_put32(r + 0x38, FIRMWARE);
    return 80;
}

static unsigned port_facts(const uint8_t *request, uint8_t *r)
{
    mpt_reply_head(r, request, 40, request[6] ? MPT_INVALID_FIELD : MPT_SUCCESS);
    r[6] = request[6];
    if (request[6] == 0) {
        r[0x15] = 0x30; /* SAS */
        hba_put16(r + 0x16, MPT_PHYS);
        hba_put16(r + 0x18, MPT_PHYS); /* its own ID: above those of drives */
        hba_put16(r + 0x1a, 8);        /* an initiator */
    }
    return 40;
}

/* ---- set-up ---- */
static unsigned ioc_init(struct mptsas *s, const uint8_t *request, uint8_t *r)
{
    bool fine = hba_get16(request + 0x0c) >= 4; /* firmware looks at no more of replies */

    mpt_reply_head(r, request, 20, fine ? s->state == MPT_READY ? MPT_SUCCESS : MPT_INVALID_STATE : MPT_INVALID_FIELD);
    r[0] = request[0];
    memcpy(r + 4, request + 4, 3);
    if (!fine || s->state != MPT_READY)
        return 20;
    s->who = request[0] & 7;
    s->max_devices = request[5];
    s->max_buses = request[6];
    s->reply_size = hba_get16(request + 0x0c);
    s->frame_high = hba_get32(request + 0x10);
    s->sense_high = hba_get32(request + 0x14);
    s->state = MPT_OPERATIONAL;
    return 20;
}

static unsigned event_notification(struct mptsas *s, const uint8_t *request, uint8_t *r)
{
    s->events_on = request[0] & 1;
    s->event_context = hba_get32(request + M_CONTEXT);
    mpt_reply_head(r, request, 32, MPT_SUCCESS);
    hba_put16(r, 1); /* dwords of data */
    hba_put32(r + 0x14, EVENT_CHANGE);
    r[0x1c] = s->events_on;
    return 32;
}

void mpt_event(struct mptsas *s, uint32_t event, const uint8_t *data, unsigned length)
{
    uint8_t request[12] = {[M_FUNCTION] = MPT_EVENT_NOTIFICATION}, r[MPT_REPLY];

    if (!s->events_on || s->state != MPT_OPERATIONAL)
        return;
    if (s->pending_count >= MPT_PENDING / 4) {
        bp_guest_error("mptsas-events", "mptsas: the driver gives no frames for events; one is lost");
        return;
    }
    hba_put32(request + M_CONTEXT, s->event_context);
    mpt_reply_head(r, request, 0x1c + length, MPT_SUCCESS);
    hba_put16(r, length / 4);
    hba_put32(r + 0x14, event);
    memcpy(r + 0x1c, data, length);
    mpt_send(s, r, 0x1c + length);
}

static unsigned simple(const uint8_t *request, uint8_t *r, unsigned status)
{
    mpt_reply_head(r, request, 20, status);
    r[0] = request[0];
    r[6] = request[6];
    return 20;
}

static unsigned io_unit_control(struct mptsas *s, const uint8_t *request, uint8_t *r)
{
    unsigned phy = request[0x0e];
    unsigned status = MPT_SUCCESS;
    struct bp_scsi_unit *unit = phy < MPT_PHYS ? s->hba.scsi->target(s->hba.bus, 0, phy) : NULL;

    switch (request[0]) {
    case CLEAR_NOT_PRESENT: /* which drive has which number is fixed: nothing is kept */
    case CLEAR_ALL: break;
    case LINK_RESET:
    case CLEAR_ERRORS:
        status = phy < MPT_PHYS ? MPT_SUCCESS : MPT_INVALID_FIELD;
        break;
    case HARD_RESET:
        status = unit ? MPT_SUCCESS : MPT_INVALID_FIELD;
        if (unit)
            s->hba.scsi->reset_unit(unit);
        break;
    default: status = MPT_INVALID_FIELD; break;
    }
    return simple(request, r, status);
}

/* ---- messages ---- */
/* Bytes that a request has at least. */
static unsigned least(unsigned function)
{
    switch (function) {
    case MPT_SCSI_IO: return 0x38;
    case MPT_TASK: return 0x34;
    case MPT_IOC_INIT: return 0x18;
    case MPT_CONFIG: return 0x24;
    case MPT_SAS_IO_UNIT_CONTROL: return 0x20;
    default: return 12;
    }
}

unsigned mpt_message(struct mptsas *s, uint8_t *request, unsigned length, uint8_t r[MPT_REPLY])
{
    unsigned function = request[M_FUNCTION];
    bool operational = s->state == MPT_OPERATIONAL;

    if (length < least(function))
        return simple(request, r, MPT_INVALID_FIELD);
    switch (function) {
    case MPT_IOC_FACTS: return ioc_facts(s, request, r);
    case MPT_PORT_FACTS: return port_facts(request, r);
    case MPT_IOC_INIT: return ioc_init(s, request, r);
    case MPT_PORT_ENABLE: return simple(request, r, operational ? MPT_SUCCESS : MPT_INVALID_STATE);
    case MPT_EVENT_NOTIFICATION: return event_notification(s, request, r);
    case MPT_EVENT_ACK: return simple(request, r, MPT_SUCCESS);
    case MPT_CONFIG: return mpt_config(s, request, r);
    case MPT_SAS_IO_UNIT_CONTROL: return io_unit_control(s, request, r);
    default:
        bp_guest_error("mptsas-function", "mptsas: function %#x is not there", function);
        return simple(request, r, MPT_INVALID_FUNCTION);
    }
}

/* A frame that the driver posted. */
void mpt_take(struct mptsas *s, uint32_t mfa)
{
    uint8_t request[MPT_FRAME], r[MPT_REPLY];
    unsigned status;

    if (s->state != MPT_OPERATIONAL) {
        bp_guest_error("mptsas-early", "mptsas: a request before the controller is operational");
        return;
    }
    /* Of the lower bits, the lowest two say how much is fetched early; firmware has frames at multiples of four. */
    if (hba_read(&s->hba, (uint64_t)s->frame_high << 32 | (mfa & ~3u), request, sizeof(request)) < 0) {
        mpt_fault(s, 0x8112, "a request lies where no memory is");
        return;
    }
    switch (request[M_FUNCTION]) {
    case MPT_SCSI_IO:
        status = mpt_scsi_io(s, request);
        if (status != MPT_SUCCESS) {
            mpt_reply_head(r, request, 36, status);
            memcpy(r, request, 2);
            r[0x0d] = 4; /* there is no SCSI status */
            mpt_send(s, r, 36);
        }
        break;
    case MPT_TASK:
        mpt_task(s, request);
        break;
    default:
        mpt_send(s, r, mpt_message(s, request, sizeof(request), r));
        break;
    }
}
