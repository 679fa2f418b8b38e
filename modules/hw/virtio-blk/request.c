// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests of the virtio disk (Virtual I/O Device 1.2, 5.2.6). What decides about one (its header, its
 * ranges) is copied out of guest memory first; data go between guest memory and the block layer without
 * a copy. In its own context a device submits from the queue's call; in the main one, where the block layer
 * wants the machine lock, from a call that holds it.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "virtio-blk.h"

#define HEADER 16u
#define SEGMENT_UNMAP 1u

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct segment { /* of discard and write zeroes */
    uint64_t sector;
    uint32_t sectors, flags;
};

static void finish(struct job *j, uint8_t status, uint64_t written)
{
    struct bp_virtq_request *r = j->request;
    struct bp_virtq *queue = r->queue;

    bp_virtq_write(r, j->status_at, &status, 1);
    if (j->made != j->short_made)
        free(j->made);
    j->s->active--;
    vblk_virtio->push(queue, r, status == S_OK ? written + 1 : j->status_at + 1);
}

/* In the device's context, under its lock. */
static void done(void *opaque, int ret)
{
    struct job *j = opaque;
    struct vblk *s = j->s;
    struct bp_virtq *queue = j->request->queue;

    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
    finish(j, ret < 0 ? S_IOERR : S_OK, j->written);
    vblk_virtio->flush(queue);
    if (s->drained && s->active == 0)
        bp_participant_idle(s->participant);
}

static void submit(struct job *j)
{
    struct vblk *s = j->s;

    j->next = s->jobs;
    j->link = &s->jobs;
    if (j->next)
        j->next->link = &j->next;
    s->jobs = j;
    j->at_block = vblk_block->submit(s->blk, j->op, j->op == BP_BLOCK_FLUSH ? NULL : &j->req, done, j);
}

/* In the main context, under the machine lock. */
void vblk_submit_waiting(void *opaque)
{
    struct vblk *s = opaque;
    struct job *list, *next;

    bp_device_lock(s->dev);
    list = s->waiting;
    s->waiting = NULL;
    s->waiting_tail = &s->waiting;
    if (list && s->blk) {
        vblk_block->plug(s->blk);
        for (struct job *j = list; j; j = next) {
            next = j->next_waiting;
            submit(j);
        }
        vblk_block->unplug(s->blk);
    }
    bp_device_unlock(s->dev);
}

/* ---- taking requests apart ---- */
/* `bytes` from `skip` on of the request's vectors, as vectors of their own where need be. */
static bool cut(struct job *j, const struct iovec *iov, unsigned count, uint64_t skip, uint64_t bytes)
{
    unsigned n = 0;

    while (count && skip >= iov->iov_len) {
        skip -= iov->iov_len;
        iov++;
        count--;
    }
    j->req.bytes = bytes;
    if (skip == 0) { /* often it ends with a vector, too */
        uint64_t sum = 0;

        while (n < count && sum < bytes)
            sum += iov[n++].iov_len;
        if (sum == bytes) {
            j->req.iov = iov;
            j->req.iov_count = n;
            return true;
        }
        n = 0;
    }
    j->made = count <= SHORT_VECTORS ? j->short_made : malloc(count * sizeof(struct iovec));
    if (!j->made)
        return false;
    for (; bytes && count; iov++, count--, skip = 0) {
        uint64_t part = iov->iov_len - skip;

        if (part > bytes)
            part = bytes;
        j->made[n++] = (struct iovec){(uint8_t *)iov->iov_base + skip, part};
        bytes -= part;
    }
    j->req.iov = j->made;
    j->req.iov_count = n;
    return true;
}

static bool in_range(const struct vblk *s, uint64_t sector, uint64_t sectors)
{
    int64_t length = vblk_block->length(s->blk);
    uint64_t capacity = length > 0 ? (uint64_t)length / SECTOR : 0;

    return sector <= capacity && sectors <= capacity - sector;
}

static int prepare_data(struct job *j, const struct header *h)
{
    struct vblk *s = j->s;
    struct bp_virtq_request *r = j->request;
    bool in = h->type == T_IN;
    uint64_t bytes = in ? j->status_at : r->out_bytes - HEADER;

    j->op = in ? BP_BLOCK_READ : BP_BLOCK_WRITE;
    if (bytes % s->conf.logical_block_size || h->sector % (s->conf.logical_block_size / SECTOR) ||
        bytes > BP_BLOCK_MAX_REQUEST || !in_range(s, h->sector, bytes / SECTOR) ||
        (!in && !vblk_block->writable(s->blk))) {
        vblk_block->account_invalid(s->blk, j->op);
        return S_IOERR;
    }
    j->req.offset = h->sector * SECTOR;
    j->written = in ? bytes : 0;
    if (!cut(j, in ? r->in : r->out, in ? r->in_count : r->out_count, in ? 0 : HEADER, bytes))
        return S_IOERR;
    return -1;
}

static int prepare_range(struct job *j, const struct header *h)
{
    struct vblk *s = j->s;
    bool zeroes = h->type == T_WRITE_ZEROES;
    struct segment raw, g;
    uint32_t most = zeroes ? s->max_zeroes : s->max_discard;

    j->op = zeroes ? BP_BLOCK_WRITE_ZEROES : BP_BLOCK_DISCARD;
    if (!vblk_virtio->has(s->virtio, zeroes ? F_WRITE_ZEROES : F_DISCARD))
        return S_UNSUPP;
    if (j->request->out_bytes - HEADER != sizeof(raw)) /* one segment is what is offered */
        return j->request->out_bytes - HEADER < sizeof(raw) ? S_IOERR : S_UNSUPP;
    bp_virtq_read(j->request, HEADER, &raw, sizeof(raw));
    g = (struct segment){le64toh(raw.sector), le32toh(raw.sectors), le32toh(raw.flags)};
    if (g.flags & ~(zeroes ? SEGMENT_UNMAP : 0u))
        return S_UNSUPP;
    if (g.sectors > most || !in_range(s, g.sector, g.sectors) || !vblk_block->writable(s->blk) ||
        g.sector % (s->conf.logical_block_size / SECTOR) || g.sectors % (s->conf.logical_block_size / SECTOR)) {
        vblk_block->account_invalid(s->blk, j->op);
        return S_IOERR;
    }
    j->req.offset = g.sector * SECTOR;
    j->req.bytes = (uint64_t)g.sectors * SECTOR;
    j->req.flags = zeroes && (g.flags & SEGMENT_UNMAP) ? BP_BLOCK_MAY_UNMAP : 0;
    return -1;
}

static int tell_id(struct job *j)
{
    const struct vblk *s = j->s;
    char id[ID_SIZE] = {0};

    if (s->serial)
        memcpy(id, s->serial, strnlen(s->serial, ID_SIZE));
    j->written = bp_virtq_write(j->request, 0, id, j->status_at < ID_SIZE ? j->status_at : ID_SIZE);
    return S_OK;
}

/* A status when it has ended already, -1 when it is for the block layer. */
static int prepare(struct job *j)
{
    struct header raw, h;

    bp_virtq_read(j->request, 0, &raw, sizeof(raw));
    h = (struct header){le32toh(raw.type), 0, le64toh(raw.sector)};
    j->req = (struct bp_block_request){.size = sizeof(j->req)};
    switch (h.type) {
    case T_IN:
    case T_OUT:
        return prepare_data(j, &h);
    case T_FLUSH:
        j->op = BP_BLOCK_FLUSH;
        return -1;
    case T_GET_ID:
        return tell_id(j);
    case T_DISCARD:
    case T_WRITE_ZEROES:
        return prepare_range(j, &h);
    default:
        return S_UNSUPP;
    }
}

/* Takes one up; false: the driver broke a rule. */
static bool take_up(struct vblk *s, struct bp_virtq_request *r, bool direct)
{
    struct job *j = r->own;
    int status;

    if (r->out_bytes < HEADER || r->in_bytes < 1) {
        vblk_virtio->broken(s->virtio, "a disk request has no header or no room for its status");
        vblk_virtio->drop(r->queue, r);
        return false;
    }
    j->s = s;
    j->request = r;
    j->status_at = r->in_bytes - 1;
    s->active++;
    status = prepare(j);
    if (status >= 0) {
        finish(j, (uint8_t)status, j->written);
        vblk_virtio->flush(r->queue);
    } else if (direct) {
        submit(j);
    } else {
        j->next_waiting = NULL;
        *s->waiting_tail = j;
        s->waiting_tail = &j->next_waiting;
    }
    return true;
}

bool vblk_handle(void *opaque, struct bp_virtq *queue)
{
    struct vblk *s = opaque;
    bool direct = bp_context_current() != bp_context_main(bp_device_machine(s->dev));
    struct bp_virtq_request *r;

    if (s->drained)
        return false; /* the end of the drain calls again */
    if (direct)
        vblk_block->plug(s->blk);
    while ((r = vblk_virtio->pop(queue)) && take_up(s, r, direct))
        ;
    if (direct)
        vblk_block->unplug(s->blk);
    else if (s->waiting)
        bp_deferred_schedule(s->submit);
    return true;
}

/* ---- ends that the driver asked for ---- */
void vblk_cancel_all(struct vblk *s, struct bp_virtq *queue)
{
    struct job *next;

    for (struct job *j = s->jobs; j; j = next) {
        next = j->next;
        if (!queue || j->request->queue == queue)
            vblk_block->cancel(j->at_block);
    }
}

void vblk_forget_all(struct vblk *s)
{
    struct job *next;

    for (struct job *j = s->jobs; j; j = next) {
        next = j->next;
        finish(j, S_IOERR, 0);
    }
    for (struct job *j = s->waiting; j; j = next) {
        next = j->next_waiting;
        finish(j, S_IOERR, 0);
    }
    s->jobs = s->waiting = NULL;
}
