// SPDX-License-Identifier: LGPL-2.1-or-later
/* Queues of commands and completions (NVM Express 1.4, chapter 4), their doorbells and interrupts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/doorbell.h>
#include <bp/log.h>

#include "nvme.h"

#define DOORBELLS 0x1000u
#define BURST 64u /* commands that one queue has fetched before the others have their turn */

static struct bp_access access_of(struct nvme *s)
{
    return (struct bp_access){.size = sizeof(struct bp_access), .flags = BP_ACCESS_REQUESTER,
                              .requester = nvme_pci->requester(s->dev)};
}

int nvme_read(struct nvme *s, uint64_t addr, void *buf, uint64_t length)
{
    const struct bp_access who = access_of(s);

    return bp_space_read_as(nvme_pci->dma(s->dev), addr, buf, length, &who);
}

int nvme_write(struct nvme *s, uint64_t addr, const void *buf, uint64_t length)
{
    const struct bp_access who = access_of(s);

    return bp_space_write_as(nvme_pci->dma(s->dev), addr, buf, length, &who);
}

static bool ready(const struct nvme *s)
{
    return (s->csts & 3) == 1 && (nvme_pci->config(s->dev)[4] & 4);
}

static void fatal(struct nvme *s, const char *why)
{
    bp_guest_error(why, "nvme: %s", why);
    s->csts |= 2; /* CFS */
}

/* ---- interrupts ---- */
/* In the main context, under the machine lock. */
void nvme_drive_line(void *opaque)
{
    struct nvme *s = opaque;

    if (s->blk)
        nvme_pci->set_irq(s->dev, __atomic_load_n(&s->pins, __ATOMIC_SEQ_CST) != 0);
}

static void set_pin(struct nvme *s)
{
    uint32_t pins = 0;

    for (unsigned i = 0; i <= s->pairs; i++) {
        const struct nvme_cq *q = &s->cq[i];

        pins |= q->exists && q->interrupts && q->head != q->tail && !(s->intms >> (q->vector & 31) & 1);
    }
    if (__atomic_exchange_n(&s->pins, pins, __ATOMIC_SEQ_CST) != pins)
        bp_deferred_schedule(s->drive);
}

void nvme_interrupt(struct nvme *s, unsigned cq)
{
    const struct nvme_cq *q = &s->cq[cq];

    if (nvme_pci->msix_enabled(s->dev)) {
        if (q->interrupts && q->head != q->tail)
            nvme_pci->msix_notify(s->dev, q->vector);
    } else {
        set_pin(s);
    }
}

/* ---- completions ---- */
static bool is_full(const struct nvme_cq *q)
{
    return (q->tail + 1) % q->entries == q->head;
}

static void post(struct nvme *s, struct nvme_cq *q, const struct nvme_completion *what)
{
    struct nvme_completion c = *what;
    uint16_t status = (uint16_t)(c.status << 1 | q->phase), tail = q->tail;
    struct nvme_completion raw = {htole32(c.dw0), 0, htole16(c.sq_head), htole16(c.sq_id), htole16(c.cid), 0};

    if (++q->tail == q->entries) {
        q->tail = 0;
        q->phase = !q->phase;
    }
    raw.status = htole16(status);
    /* The word with the phase goes last: the driver looks at it first. */
    if (nvme_write(s, q->base + 16u * tail, &raw, 12) < 0)
        fatal(s, "a completion queue lies where no memory is");
    __atomic_thread_fence(__ATOMIC_RELEASE);
    (void)nvme_write(s, q->base + 16u * tail + 12, &raw.cid, 4);
}

void nvme_answer(struct nvme *s, uint16_t sq, uint16_t cid, uint32_t dw0, uint16_t status)
{
    struct nvme_completion c = {dw0, 0, s->sq[sq].head, sq, cid, status};
    struct nvme_cq *q = &s->cq[s->sq[sq].cq];

    if (!s->sq[sq].exists || !q->exists || !(s->csts & 1))
        return;
    if (!is_full(q) && s->waiting_count == 0) {
        post(s, q, &c);
        nvme_interrupt(s, s->sq[sq].cq);
        return;
    }
    if (s->waiting_count == s->waiting_room) {
        uint32_t room = s->waiting_room ? 2 * s->waiting_room : 64;
        struct nvme_completion *more = realloc(s->waiting, room * sizeof(*more));

        if (!more) {
            fatal(s, "the host has no memory for completions");
            return;
        }
        s->waiting = more;
        s->waiting_room = room;
    }
    s->waiting[s->waiting_count++] = c;
    nvme_flush_waiting(s);
}

void nvme_flush_waiting(struct nvme *s)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->waiting_count; i++) {
        struct nvme_completion c = s->waiting[i];
        const struct nvme_sq *sq = &s->sq[c.sq_id];
        struct nvme_cq *q = &s->cq[sq->cq];

        if (!sq->exists || !q->exists)
            continue;
        if (is_full(q)) {
            s->waiting[kept++] = c;
            continue;
        }
        post(s, q, &c);
        nvme_interrupt(s, sq->cq);
    }
    s->waiting_count = kept;
}

/* ---- commands ---- */
static void host_order(struct nvme_command *c)
{
    uint32_t *words[] = {&c->nsid, &c->cdw2, &c->cdw3, &c->cdw10, &c->cdw11, &c->cdw12, &c->cdw13, &c->cdw14,
                         &c->cdw15};

    c->cid = le16toh(c->cid);
    c->mptr = le64toh(c->mptr);
    c->prp1 = le64toh(c->prp1);
    c->prp2 = le64toh(c->prp2);
    for (unsigned i = 0; i < BP_COUNT(words); i++)
        *words[i] = le32toh(*words[i]);
}

static void fetch(struct nvme *s, unsigned n)
{
    struct nvme_sq *q = &s->sq[n];
    struct nvme_command c;

    for (unsigned i = 0; i < BURST && q->exists && q->head != q->tail && ready(s) && !s->drained; i++) {
        uint16_t head = q->head;
        uint32_t dw0 = 0;
        int status;

        q->head = (uint16_t)((head + 1) % q->entries);
        if (nvme_read(s, q->base + 64u * head, &c, sizeof(c)) < 0) {
            fatal(s, "a submission queue lies where no memory is");
            return;
        }
        host_order(&c);
        if (n > 0) {
            nvme_io(s, (uint16_t)n, &c);
            continue;
        }
        status = nvme_admin(s, &c, &dw0);
        if (status >= 0)
            nvme_answer(s, 0, c.cid, dw0, (uint16_t)status);
    }
}

static bool anything_left(const struct nvme *s)
{
    for (unsigned n = 0; n <= s->pairs; n++) {
        if (s->sq[n].exists && s->sq[n].head != s->sq[n].tail)
            return true;
    }
    return false;
}

void nvme_fetch_all(struct nvme *s)
{
    bool direct = bp_context_current() != bp_context_main(bp_device_machine(s->dev));

    if (!s->blk)
        return;
    if (direct)
        nvme_block->plug(s->blk);
    do {
        for (unsigned n = 0; n <= s->pairs; n++)
            fetch(s, n);
    } while (anything_left(s) && ready(s) && !s->drained);
    if (direct)
        nvme_block->unplug(s->blk);
}

/* ---- doorbells ---- */
static void take_tails(struct nvme *s)
{
    uint64_t v;

    for (unsigned n = 0; n <= s->pairs; n++) {
        struct nvme_sq *sq = &s->sq[n];
        struct nvme_cq *cq = &s->cq[n];

        if (bp_doorbell_take(sq->bell, &v) && sq->exists) {
            if (v < sq->entries)
                sq->tail = (uint16_t)v;
            else
                bp_guest_error("nvme-tail", "nvme: tail %u of a queue of %u", (unsigned)v, sq->entries);
        }
        if (bp_doorbell_take(cq->bell, &v) && cq->exists) {
            if (v < cq->entries)
                cq->head = (uint16_t)v;
            else
                bp_guest_error("nvme-head", "nvme: head %u of a queue of %u", (unsigned)v, cq->entries);
        }
    }
}

static void rung(void *opaque)
{
    struct nvme *s = opaque;

    take_tails(s);
    nvme_flush_waiting(s);
    if (!nvme_pci->msix_enabled(s->dev))
        set_pin(s);
    nvme_fetch_all(s);
}

int nvme_bells(struct nvme *s, struct bp_error *err)
{
    struct bp_doorbell_match match = {.size = sizeof(match), .access_size = 4, .flags = BP_DOORBELL_KEEP_VALUE};
    int ret = 0;

    for (unsigned n = 0; ret == 0 && n <= s->pairs; n++) {
        match.offset = DOORBELLS + 8 * n;
        ret = bp_doorbell_new(bp_device_owner(s->dev), NULL, s->bar, &match, rung, s, &s->sq[n].bell, err);
        match.offset += 4;
        if (ret == 0)
            ret = bp_doorbell_new(bp_device_owner(s->dev), NULL, s->bar, &match, rung, s, &s->cq[n].bell, err);
    }
    return ret;
}

void nvme_delete_queues(struct nvme *s)
{
    for (unsigned n = 0; n <= s->pairs; n++) {
        struct bp_doorbell *sq = s->sq[n].bell, *cq = s->cq[n].bell;

        bp_doorbell_clear(sq);
        bp_doorbell_clear(cq);
        s->sq[n] = (struct nvme_sq){.bell = sq};
        s->cq[n] = (struct nvme_cq){.bell = cq};
    }
    s->waiting_count = s->event_count = 0;
    if (__atomic_exchange_n(&s->pins, 0, __ATOMIC_SEQ_CST))
        bp_deferred_schedule(s->drive);
}
