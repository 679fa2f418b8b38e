// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands of namespaces (NVM Express 1.4, chapter 6): read, write, flush, write zeroes, dataset management. Data go
 * between the pages that PRPs describe (4.3) and the block layer without a copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvme.h"

enum { FLUSH = 0x00, WRITE = 0x01, READ = 0x02, WRITE_ZEROES = 0x08, DATASET = 0x09 };
#define FUA 0x40000000u
#define DEALLOCATE 0x02000000u /* write zeroes */
#define PER_LIST (NVME_PAGE / 8)
#define LIST_MAX 1024u /* pages of one request: 4 MiB */

/* ---- PRPs ---- */
/* The pages' addresses; returns how many, or -1: they are not as they must be. */
static int list_pages(struct nvme *s, uint64_t prp1, uint64_t prp2, uint64_t bytes, uint64_t *pages)
{
    uint64_t offset = prp1 % NVME_PAGE, list[PER_LIST];
    unsigned count = (unsigned)((offset + bytes + NVME_PAGE - 1) / NVME_PAGE), n = 1;
    uint64_t at = prp2;

    if ((prp1 & 3) || count > LIST_MAX)
        return -1;
    pages[0] = prp1;
    if (count == 2) {
        pages[n++] = prp2;
    } else {
        while (n < count) {
            unsigned room = (unsigned)((NVME_PAGE - at % NVME_PAGE) / 8), left = count - n;
            unsigned take = left <= room ? left : room - 1; /* the last one leads to the next list */

            if ((at & 7) || nvme_read(s, at, list, 8 * (left <= room ? left : room)) < 0 || take == 0)
                return -1;
            for (unsigned i = 0; i < take; i++)
                pages[n++] = le64toh(list[i]);
            at = left <= room ? 0 : le64toh(list[take]);
        }
    }
    for (unsigned i = 1; i < count; i++) {
        if (pages[i] % NVME_PAGE)
            return -1;
    }
    return (int)count;
}

static void unmap(struct nvme_request *r, bool filled)
{
    struct bp_dma *map = r->map;

    r->map = NULL;
    (void)bp_dma_unmap(map, filled ? UINT64_MAX : 0);
}

static int map_pages(struct nvme *s, struct nvme_request *r, const uint64_t *pages, unsigned count, uint64_t bytes,
                     bool to_guest)
{
    const struct bp_access who = {.size = sizeof(who), .flags = BP_ACCESS_REQUESTER,
                                  .requester = nvme_pci->requester(s->dev)};
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < count && bytes > 0;) {
        uint64_t first = pages[i], length = NVME_PAGE - first % NVME_PAGE;

        for (i++; i < count && length < bytes && pages[i] == first + length; i++)
            length += NVME_PAGE;
        if (length > bytes)
            length = bytes;
        if (r->map)
            ret = bp_dma_map_more(r->map, nvme_pci->dma(s->dev), first, length);
        else
            ret = bp_dma_map(nvme_pci->dma(s->dev), first, length, to_guest ? BP_DMA_FROM_DEVICE : BP_DMA_TO_DEVICE,
                             &who, &r->map);
        bytes -= length;
    }
    if (ret == 0 && r->map)
        r->req.iov = bp_dma_vectors(r->map, &r->req.iov_count);
    return ret;
}

int nvme_copy(struct nvme *s, const struct nvme_command *c, void *buf, uint32_t length, bool to_guest)
{
    uint64_t pages[LIST_MAX];
    int count = list_pages(s, c->prp1, c->prp2, length, pages);
    uint8_t *at = buf;

    if (count < 0)
        return NVME_INVALID_PRP | NVME_NO_RETRY;
    for (int i = 0; i < count; i++) {
        uint32_t n = (uint32_t)(NVME_PAGE - pages[i] % NVME_PAGE);
        int ret;

        if (n > length)
            n = length;
        ret = to_guest ? nvme_write(s, pages[i], at, n) : nvme_read(s, pages[i], at, n);
        if (ret < 0)
            return NVME_DATA_TRANSFER;
        at += n;
        length -= n;
    }
    return NVME_SUCCESS;
}

/* ---- requests ---- */
static void free_request(struct nvme_request *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    free(r->ranges);
    free(r);
}

static void finish(struct nvme_request *r, int status)
{
    struct nvme *s = r->s;
    uint16_t sq = r->sq, cid = r->c.cid;
    bool orphan = r->orphan;

    unmap(r, status == NVME_SUCCESS);
    if (status == NVME_SUCCESS && r->op == BP_BLOCK_READ) {
        s->read_commands++;
        s->read_units += r->req.bytes / NVME_SECTOR;
    } else if (status == NVME_SUCCESS && r->op == BP_BLOCK_WRITE) {
        s->written_commands++;
        s->written_units += r->req.bytes / NVME_SECTOR;
    }
    free_request(r);
    if (!orphan)
        nvme_answer(s, sq, cid, 0, (uint16_t)status);
    if (s->drained && !s->requests)
        bp_participant_idle(s->participant);
}

static int status_of(const struct nvme_request *r, int ret)
{
    if (ret == 0)
        return NVME_SUCCESS;
    if (ret == -ECANCELED)
        return NVME_ABORTED;
    if (ret == -ENOSPC)
        return NVME_CAPACITY;
    return r->op == BP_BLOCK_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
}

static void done(void *opaque, int ret);

static void to_block(struct nvme_request *r)
{
    r->at_block = nvme_block->submit(r->s->blk, r->op, r->op == BP_BLOCK_FLUSH ? NULL : &r->req, done, r);
}

static bool next_range(struct nvme_request *r)
{
    const struct nvme *s = r->s;

    while (r->range < r->range_count) {
        uint32_t blocks;
        uint64_t lba;

        memcpy(&blocks, r->ranges + 16 * r->range + 4, 4);
        memcpy(&lba, r->ranges + 16 * r->range + 8, 8);
        r->range++;
        r->req.offset = le64toh(lba) * s->conf.logical_block_size;
        r->req.bytes = (uint64_t)le32toh(blocks) * s->conf.logical_block_size;
        if (r->req.bytes)
            return true;
    }
    return false;
}

/* In the device's context, under its lock. */
static void done(void *opaque, int ret)
{
    struct nvme_request *r = opaque;

    if (ret == 0 && !r->orphan && next_range(r))
        to_block(r);
    else
        finish(r, status_of(r, ret));
}

static bool in_range(const struct nvme *s, uint64_t lba, uint64_t blocks)
{
    uint64_t capacity = nvme_blocks(s);

    return lba <= capacity && blocks <= capacity - lba;
}

/* -1: it is for the block layer; else a status. */
static int prepare_data(struct nvme_request *r, bool write)
{
    struct nvme *s = r->s;
    const struct nvme_command *c = &r->c;
    uint64_t lba = (uint64_t)c->cdw11 << 32 | c->cdw10, blocks = (c->cdw12 & 0xffff) + 1u;
    uint64_t bytes = blocks * s->conf.logical_block_size, pages[LIST_MAX];
    int count, ret;

    r->op = write ? BP_BLOCK_WRITE : BP_BLOCK_READ;
    if (bytes > (uint64_t)NVME_PAGE << s->mdts || (c->flags & 0xc0))
        return NVME_INVALID_FIELD | NVME_NO_RETRY; /* too large; SGLs are not offered */
    if (!in_range(s, lba, blocks))
        return NVME_LBA_RANGE | NVME_NO_RETRY;
    if (write && !nvme_block->writable(s->blk))
        return NVME_READ_ONLY | NVME_NO_RETRY;
    count = list_pages(s, c->prp1, c->prp2, bytes, pages);
    if (count < 0)
        return NVME_INVALID_PRP | NVME_NO_RETRY;
    r->req.offset = lba * s->conf.logical_block_size;
    r->req.bytes = bytes;
    r->req.flags = write && (c->cdw12 & FUA) ? BP_BLOCK_FUA : 0;
    ret = map_pages(s, r, pages, (unsigned)count, bytes, !write);
    if (ret == -EAGAIN || ret == -ENOMEM)
        return NVME_INTERNAL; /* the driver tries again */
    return ret < 0 ? NVME_DATA_TRANSFER : -1;
}

static int prepare_zeroes(struct nvme_request *r)
{
    struct nvme *s = r->s;
    const struct nvme_command *c = &r->c;
    uint64_t lba = (uint64_t)c->cdw11 << 32 | c->cdw10, blocks = (c->cdw12 & 0xffff) + 1u;

    r->op = BP_BLOCK_WRITE_ZEROES;
    if (!in_range(s, lba, blocks))
        return NVME_LBA_RANGE | NVME_NO_RETRY;
    if (!nvme_block->writable(s->blk))
        return NVME_READ_ONLY | NVME_NO_RETRY;
    r->req.offset = lba * s->conf.logical_block_size;
    r->req.bytes = blocks * s->conf.logical_block_size;
    r->req.flags = (c->cdw12 & DEALLOCATE ? BP_BLOCK_MAY_UNMAP : 0) | (c->cdw12 & FUA ? BP_BLOCK_FUA : 0);
    return -1;
}

static int prepare_dataset(struct nvme_request *r)
{
    struct nvme *s = r->s;
    const struct nvme_command *c = &r->c;
    unsigned count = (c->cdw10 & 0xff) + 1u;
    int status;

    r->op = BP_BLOCK_DISCARD;
    if (!(c->cdw11 & 4)) /* only deallocation does something */
        return NVME_SUCCESS;
    if (!nvme_block->writable(s->blk))
        return NVME_READ_ONLY | NVME_NO_RETRY;
    r->ranges = malloc(16 * count);
    if (!r->ranges)
        return NVME_INTERNAL;
    status = nvme_copy(s, c, r->ranges, 16 * count, false);
    if (status != NVME_SUCCESS)
        return status;
    r->range_count = count;
    for (unsigned i = 0; i < count; i++) {
        uint32_t blocks;
        uint64_t lba;

        memcpy(&blocks, r->ranges + 16 * i + 4, 4);
        memcpy(&lba, r->ranges + 16 * i + 8, 8);
        if (!in_range(s, le64toh(lba), le32toh(blocks)))
            return NVME_LBA_RANGE | NVME_NO_RETRY;
    }
    return next_range(r) ? -1 : NVME_SUCCESS;
}

static int prepare(struct nvme_request *r)
{
    if (r->c.nsid != 1 && !(r->c.opcode == FLUSH && r->c.nsid == UINT32_MAX))
        return NVME_INVALID_NAMESPACE | NVME_NO_RETRY;
    switch (r->c.opcode) {
    case FLUSH:
        r->op = BP_BLOCK_FLUSH;
        return -1;
    case READ:
    case WRITE:
        return prepare_data(r, r->c.opcode == WRITE);
    case WRITE_ZEROES:
        return prepare_zeroes(r);
    case DATASET:
        return prepare_dataset(r);
    default:
        return NVME_INVALID_OPCODE | NVME_NO_RETRY;
    }
}

void nvme_io(struct nvme *s, uint16_t sq, const struct nvme_command *c)
{
    struct nvme_request *r = calloc(1, sizeof(*r));
    int status;

    if (!r) {
        nvme_answer(s, sq, c->cid, 0, NVME_INTERNAL);
        return;
    }
    r->s = s;
    r->c = *c;
    r->sq = sq;
    r->req.size = sizeof(r->req);
    r->next = s->requests;
    r->link = &s->requests;
    if (r->next)
        r->next->link = &r->next;
    s->requests = r;
    r->preparing = true;
    status = prepare(r); /* reads guest memory, which may be a device that cancels this one */
    r->preparing = false;
    if (status >= 0 || r->orphan) {
        finish(r, status >= 0 ? status : NVME_ABORTED);
    } else if (bp_context_current() != bp_context_main(bp_device_machine(s->dev))) {
        to_block(r);
    } else { /* the block layer wants the machine lock there */
        r->at_block = NULL;
        bp_deferred_schedule(s->submit);
    }
}

/* In the main context, under the machine lock. */
void nvme_submit_waiting(void *opaque)
{
    struct nvme *s = opaque;
    struct nvme_request *next;

    if (!s->blk)
        return;
    bp_device_lock(s->dev);
    nvme_block->plug(s->blk);
    for (struct nvme_request *r = s->requests; r; r = next) {
        next = r->next;
        if (r->at_block || r->preparing)
            continue;
        if (r->orphan)
            finish(r, NVME_ABORTED);
        else
            to_block(r);
    }
    nvme_block->unplug(s->blk);
    bp_device_unlock(s->dev);
    if (s->drained)
        bp_participant_idle(s->participant);
}

void nvme_cancel(struct nvme *s, uint16_t sq)
{
    struct nvme_request *next;

    for (struct nvme_request *r = s->requests; r; r = next) {
        next = r->next;
        if (r->orphan || (sq != UINT16_MAX && r->sq != sq))
            continue;
        r->orphan = true;
        if (r->at_block)
            nvme_block->cancel(r->at_block);
        else
            bp_deferred_schedule(s->submit);
    }
}

void nvme_forget_all(struct nvme *s)
{
    while (s->requests) {
        s->requests->orphan = true;
        finish(s->requests, NVME_ABORTED);
    }
}
