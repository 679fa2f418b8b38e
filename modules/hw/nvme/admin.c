// SPDX-License-Identifier: LGPL-2.1-or-later
/* Administration (NVM Express 1.4, chapter 5): identify, queues, features, logs. */
#include <stdio.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/doorbell.h>

#include "nvme.h"

enum { DELETE_SQ = 0x00, CREATE_SQ = 0x01, GET_LOG = 0x02, DELETE_CQ = 0x04, CREATE_CQ = 0x05, IDENTIFY = 0x06,
       ABORT = 0x08, SET_FEATURES = 0x09, GET_FEATURES = 0x0a, ASYNC_EVENT = 0x0c };
enum { F_ARBITRATION = 1, F_POWER, F_TEMPERATURE = 4, F_ERROR, F_WRITE_CACHE, F_QUEUES, F_COALESCING, F_VECTOR,
       F_ATOMICITY, F_EVENTS };
enum { LOG_ERRORS = 1, LOG_SMART, LOG_FIRMWARE };
#define BAD(what) ((what) | NVME_NO_RETRY)

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static void pad(uint8_t *to, unsigned width, const char *text)
{
    size_t n = strnlen(text, width);

    memset(to, ' ', width);
    memcpy(to, text, n);
}

/* ---- identify ---- */
static void identify_controller(struct nvme *s, uint8_t *d)
{
    put16(d, 0x1b36);
    put16(d + 2, 0x1af4);
    pad(d + 4, 20, s->serial);
    pad(d + 24, 40, "QEMU NVMe Ctrl");
    pad(d + 64, 8, "9.1.0");
    d[72] = 6;
    d[73] = 0x00, d[74] = 0x54, d[75] = 0x52; /* IEEE 52:54:00 */
    d[77] = (uint8_t)s->mdts;
    put32(d + 80, 0x00010400);
    put32(d + 96, 0); /* attributes */
    d[111] = 1; /* an I/O controller */
    put16(d + 256, 0); /* no optional administration */
    d[258] = 3; /* aborts */
    d[259] = NVME_EVENTS - 1;
    d[260] = 3; /* one firmware, read only */
    d[261] = 2; /* extended data of logs */
    put16(d + 266, 343); /* 70 degrees C: a warning */
    put16(d + 268, 373);
    d[512] = 0x66;
    d[513] = 0x44;
    put32(d + 516, 1);
    put16(d + 520, 0x000c); /* dataset management, write zeroes */
    d[525] = 1; /* a volatile write cache */
    snprintf((char *)d + 768, 256, "nqn.2019-08.org.qemu:%s", s->serial);
    put16(d + 2048, 2500); /* the power state: 25 W */
    put32(d + 2048 + 4, 16);
    put32(d + 2048 + 8, 4);
}

static void identify_namespace(struct nvme *s, uint8_t *d)
{
    uint64_t blocks = nvme_blocks(s);

    put64(d, blocks);
    put64(d + 8, blocks);
    put64(d + 16, blocks);
    d[24] = 0x10; /* preferred sizes stand below */
    d[33] = 1 << 3 | 1; /* what is deallocated reads as zeroes; write zeroes deallocates */
    if (s->conf.discard_granularity)
        put16(d + 72, s->conf.discard_granularity / s->conf.logical_block_size - 1);
    d[130] = (uint8_t)__builtin_ctz(s->conf.logical_block_size);
}

static int identify(struct nvme *s, const struct nvme_command *c)
{
    uint8_t d[NVME_PAGE] = {0};

    switch (c->cdw10 & 0xff) {
    case 0:
        if (c->nsid != 1 && c->nsid != UINT32_MAX)
            return BAD(NVME_INVALID_NAMESPACE);
        identify_namespace(s, d);
        break;
    case 1:
        identify_controller(s, d);
        break;
    case 2:
        if (c->nsid >= 0xfffffffe)
            return BAD(NVME_INVALID_NAMESPACE);
        if (c->nsid < 1)
            put32(d, 1);
        break;
    case 3: { /* descriptors: a UUID that is made of the serial number */
        if (c->nsid != 1)
            return BAD(NVME_INVALID_NAMESPACE);
        d[0] = 1; /* EUI-64 */
        d[1] = 8;
        d[4] = 0x52, d[5] = 0x54, d[6] = 0x00;
        for (size_t i = 0; s->serial[i]; i++)
            d[7 + i % 4] = (uint8_t)(d[7 + i % 4] * 31 + s->serial[i]);
        d[11] = 1;
        break;
    }
    default:
        return BAD(NVME_INVALID_FIELD);
    }
    return nvme_copy(s, c, d, sizeof(d), true);
}

/* ---- queues ---- */
static int create_cq(struct nvme *s, const struct nvme_command *c)
{
    uint32_t id = c->cdw10 & 0xffff, entries = (c->cdw10 >> 16) + 1, vector = c->cdw11 >> 16;
    struct nvme_cq *q;

    if (id == 0 || id > s->pairs || s->cq[id].exists)
        return BAD(NVME_QUEUE_ID);
    if (entries < 2 || entries > NVME_ENTRIES)
        return BAD(NVME_QUEUE_SIZE);
    if (vector >= s->vectors)
        return BAD(NVME_VECTOR);
    if (!(c->cdw11 & 1) || c->prp1 % NVME_PAGE)
        return BAD(c->cdw11 & 1 ? NVME_INVALID_PRP : NVME_INVALID_FIELD);
    q = &s->cq[id];
    bp_doorbell_clear(q->bell);
    *q = (struct nvme_cq){.exists = true, .interrupts = c->cdw11 & 2, .phase = true, .entries = (uint16_t)entries,
                          .vector = (uint16_t)vector, .base = c->prp1, .bell = q->bell};
    return NVME_SUCCESS;
}

static int create_sq(struct nvme *s, const struct nvme_command *c)
{
    uint32_t id = c->cdw10 & 0xffff, entries = (c->cdw10 >> 16) + 1, cq = c->cdw11 >> 16;
    struct nvme_sq *q;

    if (cq == 0 || cq > s->pairs || !s->cq[cq].exists)
        return BAD(NVME_COMPLETION_QUEUE);
    if (id == 0 || id > s->pairs || s->sq[id].exists)
        return BAD(NVME_QUEUE_ID);
    if (entries < 2 || entries > NVME_ENTRIES)
        return BAD(NVME_QUEUE_SIZE);
    if (!(c->cdw11 & 1) || c->prp1 % NVME_PAGE)
        return BAD(c->cdw11 & 1 ? NVME_INVALID_PRP : NVME_INVALID_FIELD);
    q = &s->sq[id];
    bp_doorbell_clear(q->bell);
    *q = (struct nvme_sq){.exists = true, .cq = (uint16_t)cq, .entries = (uint16_t)entries, .base = c->prp1,
                          .bell = q->bell};
    s->cq[cq].users++;
    return NVME_SUCCESS;
}

static int delete_sq(struct nvme *s, const struct nvme_command *c)
{
    uint32_t id = c->cdw10 & 0xffff;

    if (id == 0 || id > s->pairs || !s->sq[id].exists)
        return BAD(NVME_QUEUE_ID);
    nvme_cancel(s, (uint16_t)id); /* their end is not told any more, which 5.6 allows */
    s->cq[s->sq[id].cq].users--;
    s->sq[id].exists = false;
    return NVME_SUCCESS;
}

static int delete_cq(struct nvme *s, const struct nvme_command *c)
{
    uint32_t id = c->cdw10 & 0xffff;

    if (id == 0 || id > s->pairs || !s->cq[id].exists)
        return BAD(NVME_QUEUE_ID);
    if (s->cq[id].users)
        return BAD(NVME_QUEUE_DELETION);
    s->cq[id].exists = false;
    nvme_interrupt(s, id);
    return NVME_SUCCESS;
}

/* ---- features ---- */
static int get_feature(struct nvme *s, const struct nvme_command *c, uint32_t *ret)
{
    switch (c->cdw10 & 0xff) {
    case F_ARBITRATION:
        *ret = s->features_arbitration;
        return NVME_SUCCESS;
    case F_TEMPERATURE:
        *ret = s->features_temperature;
        return NVME_SUCCESS;
    case F_ERROR:
        *ret = s->features_error;
        return NVME_SUCCESS;
    case F_WRITE_CACHE:
        *ret = nvme_block->write_cache(s->blk);
        return NVME_SUCCESS;
    case F_QUEUES:
        *ret = (s->pairs - 1) << 16 | (s->pairs - 1);
        return NVME_SUCCESS;
    case F_VECTOR:
        if ((c->cdw11 & 0xffff) >= s->vectors)
            return BAD(NVME_INVALID_FIELD);
        *ret = (c->cdw11 & 0xffff) | 1u << 16; /* not coalesced */
        return NVME_SUCCESS;
    case F_EVENTS:
        *ret = s->features_aec;
        return NVME_SUCCESS;
    case F_POWER:
    case F_COALESCING:
    case F_ATOMICITY:
        return NVME_SUCCESS;
    default:
        return BAD(NVME_INVALID_FIELD);
    }
}

static int set_feature(struct nvme *s, const struct nvme_command *c, uint32_t *ret)
{
    if (c->cdw10 >> 31)
        return BAD(NVME_NOT_SAVEABLE);
    switch (c->cdw10 & 0xff) {
    case F_ARBITRATION:
        s->features_arbitration = c->cdw11;
        return NVME_SUCCESS;
    case F_TEMPERATURE:
        s->features_temperature = c->cdw11;
        return NVME_SUCCESS;
    case F_ERROR:
        s->features_error = c->cdw11;
        return NVME_SUCCESS;
    case F_WRITE_CACHE:
        nvme_block->set_write_cache(s->blk, c->cdw11 & 1);
        return NVME_SUCCESS;
    case F_QUEUES:
        if ((c->cdw11 & 0xffff) == 0xffff || c->cdw11 >> 16 == 0xffff)
            return BAD(NVME_INVALID_FIELD);
        return get_feature(s, c, ret);
    case F_EVENTS:
        s->features_aec = c->cdw11;
        return NVME_SUCCESS;
    case F_POWER:
        return c->cdw11 & 0x1f ? BAD(NVME_INVALID_FIELD) : NVME_SUCCESS; /* there is one state */
    case F_COALESCING:
    case F_VECTOR:
    case F_ATOMICITY:
        return NVME_SUCCESS;
    default:
        return BAD(NVME_INVALID_FIELD);
    }
}

/* ---- logs ---- */
static void smart(struct nvme *s, uint8_t *d)
{
    d[1] = 323 & 0xff, d[2] = 323 >> 8; /* 50 degrees C */
    d[3] = 100; /* spare */
    d[4] = 10;
    put64(d + 32, (s->read_units + 999) / 1000);
    put64(d + 48, (s->written_units + 999) / 1000);
    put64(d + 64, s->read_commands);
    put64(d + 80, s->written_commands);
    put64(d + 112, 1); /* power cycles */
    put64(d + 128, (uint64_t)bp_virtual_ns(bp_device_machine(s->dev)) / 3600000000000u);
}

static int get_log(struct nvme *s, const struct nvme_command *c)
{
    uint64_t bytes = (((uint64_t)(c->cdw11 & 0xffff) << 16 | c->cdw10 >> 16) + 1) * 4;
    uint64_t offset = (uint64_t)c->cdw13 << 32 | c->cdw12;
    uint8_t d[NVME_PAGE] = {0};
    uint64_t size = 512;

    switch (c->cdw10 & 0xff) {
    case LOG_ERRORS:
        size = 64;
        break;
    case LOG_SMART:
        smart(s, d);
        break;
    case LOG_FIRMWARE:
        d[0] = 1;
        pad(d + 8, 8, "9.1.0");
        break;
    default:
        return BAD(NVME_LOG_PAGE);
    }
    if (offset >= size || (offset & 3))
        return BAD(NVME_INVALID_FIELD);
    if (bytes > sizeof(d) - offset)
        bytes = sizeof(d) - offset;
    return nvme_copy(s, c, d + offset, (uint32_t)bytes, true);
}

int nvme_admin(struct nvme *s, const struct nvme_command *c, uint32_t *ret_dw0)
{
    if (c->flags & 0xc3)
        return BAD(NVME_INVALID_FIELD); /* neither SGLs nor fused operations */
    switch (c->opcode) {
    case IDENTIFY:
        return identify(s, c);
    case CREATE_CQ:
        return create_cq(s, c);
    case CREATE_SQ:
        return create_sq(s, c);
    case DELETE_SQ:
        return delete_sq(s, c);
    case DELETE_CQ:
        return delete_cq(s, c);
    case GET_FEATURES:
        return get_feature(s, c, ret_dw0);
    case SET_FEATURES:
        return set_feature(s, c, ret_dw0);
    case GET_LOG:
        return get_log(s, c);
    case ABORT:
        *ret_dw0 = 1; /* it was not aborted */
        return (c->cdw10 & 0xffff) > s->pairs ? BAD(NVME_INVALID_FIELD) : NVME_SUCCESS;
    case ASYNC_EVENT:
        if (s->event_count == NVME_EVENTS)
            return BAD(NVME_TOO_MANY_EVENTS);
        s->events[s->event_count++] = c->cid; /* answered when there is one */
        return -1;
    default:
        return BAD(NVME_INVALID_OPCODE);
    }
}
