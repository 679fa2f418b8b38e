/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapped DMA (bp/dma.h). A part of a mapping is RAM, which is held by a reference and counted as
 * pinned, or bytes of a bounce buffer, which the pool below counts.
 */
#include <bp/dma.h>
#include <bp/loop.h>

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"
#include "read-side.h"

struct part {
    struct bp_region *ram; /* NULL: a bounce buffer */
    bool pins;             /* RAM: the pin is this part's; those behind it in the same region lean on it */
    uint64_t offset;       /* RAM: in the region */
    struct bp_space *space; /* bounce: where it stands for what, behind all translations */
    uint64_t addr;
    uint8_t *host;
    uint64_t length;
};

#define FEW 4u /* what most requests need: no memory but that of the mapping itself */

struct bp_dma {
    enum bp_dma_direction direction;
    struct bp_access access;
    struct part *parts;
    struct iovec *vectors; /* one for each part */
    unsigned count, room;
    uint64_t bounced;
    struct part few_parts[FEW];
    struct iovec few_vectors[FEW];
};

/* ---- bounce buffers ---- */

struct bp_dma_wait {
    struct bpc_claim claim;
    void (*fn)(void *opaque);
    void *opaque;
    bool waiting;
    struct bp_dma_wait *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static uint64_t in_use;
static struct bp_dma_wait *waits; /* all of them, called or not */

static bool anybody_waits(void)
{
    for (const struct bp_dma_wait *w = waits; w; w = w->next)
        if (w->waiting)
            return true;
    return false;
}

/* [main] */
static void serve(void *opaque)
{
    struct bp_dma_wait *w;

    (void)opaque;
    for (;;) {
        pthread_mutex_lock(&lock);
        w = in_use < BP_DMA_BOUNCE_MAX ? waits : NULL;
        while (w && !w->waiting)
            w = w->next;
        if (w)
            w->waiting = false;
        pthread_mutex_unlock(&lock);
        if (!w)
            return;
        w->fn(w->opaque); /* may free it, and wait again */
    }
}

static int take(struct bp_dma *dma, uint64_t n)
{
    int ret = 0;

    if (n > BP_DMA_BOUNCE_MAX - dma->bounced)
        return -EMSGSIZE;
    pthread_mutex_lock(&lock);
    if (n > BP_DMA_BOUNCE_MAX - in_use)
        ret = -EAGAIN;
    else
        in_use += n;
    pthread_mutex_unlock(&lock);
    if (ret == 0)
        dma->bounced += n;
    return ret;
}

static void give_back(struct bp_dma *dma)
{
    bool wake;

    if (dma->bounced == 0)
        return;
    pthread_mutex_lock(&lock);
    in_use -= dma->bounced;
    wake = anybody_waits();
    pthread_mutex_unlock(&lock);
    if (wake)
        bp_defer(NULL, serve, NULL);
}

static void release_wait(struct bpc_claim *claim)
{
    struct bp_dma_wait *w = (struct bp_dma_wait *)((char *)claim - offsetof(struct bp_dma_wait, claim));
    struct bp_dma_wait **link = &waits;

    pthread_mutex_lock(&lock);
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    pthread_mutex_unlock(&lock);
    g_free(w);
}

struct bp_dma_wait *bp_dma_when_free(struct bp_owner *owner, void (*fn)(void *opaque), void *opaque)
{
    struct bp_dma_wait *w = g_new0(struct bp_dma_wait, 1), **link = &waits;
    bool now;

    w->fn = fn;
    w->opaque = opaque;
    w->waiting = true;
    bpc_claim(owner, &w->claim, release_wait);
    pthread_mutex_lock(&lock);
    while (*link) /* who waits longest is served first */
        link = &(*link)->next;
    *link = w;
    now = in_use < BP_DMA_BOUNCE_MAX;
    pthread_mutex_unlock(&lock);
    if (now)
        bp_defer(NULL, serve, NULL);
    return w;
}

void bp_dma_wait_free(struct bp_dma_wait *wait)
{
    bpc_assert_main();
    if (!wait)
        return;
    bpc_unclaim(&wait->claim);
    release_wait(&wait->claim);
}

/* ---- mapping ---- */

static void more_room(struct bp_dma *dma)
{
    bool grown = dma->parts != dma->few_parts;

    dma->room *= 4;
    dma->parts = g_renew(struct part, grown ? dma->parts : NULL, dma->room);
    dma->vectors = g_renew(struct iovec, grown ? dma->vectors : NULL, dma->room);
    if (!grown) {
        memcpy(dma->parts, dma->few_parts, sizeof(dma->few_parts));
        memcpy(dma->vectors, dma->few_vectors, sizeof(dma->few_vectors));
    }
}

static struct part *last_part(struct bp_dma *dma)
{
    return dma->count > 0 ? &dma->parts[dma->count - 1] : NULL;
}

static void add_part(struct bp_dma *dma, const struct part *part)
{
    struct part *last = last_part(dma);

    if (last && part->ram && last->ram == part->ram && last->offset + last->length == part->offset) {
        last->length += part->length;
        dma->vectors[dma->count - 1].iov_len += part->length;
        return;
    }
    if (dma->count == dma->room)
        more_room(dma);
    dma->parts[dma->count] = *part;
    dma->vectors[dma->count++] = (struct iovec){part->host, part->length};
}

static int map_bounce(struct bp_dma *dma, struct bp_space *space, uint64_t addr, uint64_t length)
{
    struct part part = {.space = space, .addr = addr, .length = length};
    int ret = take(dma, length);

    if (ret < 0)
        return ret;
    part.host = g_malloc0(length);
    add_part(dma, &part); /* from here on it goes with the mapping */
    if (dma->direction == BP_DMA_FROM_DEVICE)
        return 0;
    return bp_space_read_as(space, addr, part.host, length, &dma->access);
}

static int map_stretch(struct bp_dma *dma, struct bp_space *space, uint64_t addr, uint64_t length);

static int map_translated(struct bp_dma *dma, struct bp_region *region, uint64_t offset,
                          uint64_t length)
{
    bool writes = dma->direction != BP_DMA_TO_DEVICE;
    int ret = 0;

    while (ret == 0 && length > 0) {
        struct bpc_beyond beyond;
        uint64_t n;

        ret = bpc_iommu_translate(region, offset, &dma->access, writes, &beyond);
        if (ret < 0)
            return ret;
        n = MIN(length, beyond.length);
        bpc_iommu_enter();
        ret = map_stretch(dma, beyond.space, beyond.address, n);
        bpc_iommu_leave();
        offset += n;
        length -= n;
    }
    return ret;
}

/* The first range of the stretch; returns how much of it is done, or an error. */
static int map_range(struct bp_dma *dma, struct bp_space *space, uint64_t addr, uint64_t length,
                     uint64_t *ret_done)
{
    const struct bpc_range *range;
    struct bp_region *region;
    struct part part;
    uint64_t n, offset;
    int ret;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &n);
    *ret_done = n = MIN(n, length);
    if (!range) {
        bpc_memory_read_unlock();
        return -EFAULT;
    }
    region = range->region;
    offset = range->offset + (addr - range->first);
    if (range->host && (!range->readonly || dma->direction == BP_DMA_TO_DEVICE)) {
        const struct part *last = last_part(dma);

        part = (struct part){.ram = region, .pins = !last || last->ram != region, .offset = offset, .length = n,
                             .host = range->host + (addr - range->first)};
        if (part.pins)
            bpc_region_pin(region);
        bpc_memory_read_unlock();
        add_part(dma, &part);
        return 0;
    }
    if (region->type != BPC_IOMMU) {
        bpc_memory_read_unlock();
        return map_bounce(dma, space, addr, n);
    }
    if (!bpc_region_hold(region))
        return -EFAULT;
    ret = map_translated(dma, region, offset, n);
    bpc_region_drop(region);
    return ret;
}

static int map_stretch(struct bp_dma *dma, struct bp_space *space, uint64_t addr, uint64_t length)
{
    int ret = 0;

    while (ret == 0 && length > 0) {
        uint64_t n;

        ret = map_range(dma, space, addr, length, &n);
        addr += n;
        length -= n;
    }
    return ret;
}

/* Takes over `done` bytes from the start; 0: nothing was written. */
static int finish(struct bp_dma *dma, uint64_t done)
{
    struct bp_region *pinned = NULL;
    int ret = 0;

    for (unsigned i = 0; i < dma->count; i++) {
        const struct part *part = &dma->parts[i];
        uint64_t n = MIN(done, part->length);
        int part_ret = 0;

        done -= n;
        if (part->pins || !part->ram) {
            if (pinned)
                bpc_region_unpin(pinned);
            pinned = part->ram;
        }
        if (part->ram) {
            if (n > 0)
                bp_region_mark_dirty(part->ram, part->offset, n);
        } else {
            if (n > 0)
                part_ret = bp_space_write_as(part->space, part->addr, part->host, n, &dma->access);
            g_free(part->host);
        }
        if (part_ret < 0)
            ret = part_ret;
    }
    if (pinned)
        bpc_region_unpin(pinned);
    give_back(dma);
    if (dma->parts != dma->few_parts) {
        g_free(dma->parts);
        g_free(dma->vectors);
    }
    g_free(dma);
    return ret;
}

static struct bp_dma *begin(enum bp_dma_direction direction, const struct bp_access *access)
{
    struct bp_dma *dma = g_new(struct bp_dma, 1);

    dma->direction = direction;
    dma->access = (struct bp_access){.size = sizeof(dma->access)};
    if (access)
        memcpy(&dma->access, access, MIN(access->size, sizeof(dma->access)));
    dma->access.size = sizeof(dma->access);
    dma->parts = dma->few_parts;
    dma->vectors = dma->few_vectors;
    dma->count = 0;
    dma->room = FEW;
    dma->bounced = 0;
    return dma;
}

int bp_dma_map(struct bp_space *space, uint64_t addr, uint64_t length, enum bp_dma_direction direction,
               const struct bp_access *access, struct bp_dma **ret_dma)
{
    struct bp_dma *dma = begin(direction, access);
    int ret = map_stretch(dma, space, addr, length);

    if (ret < 0)
        (void)finish(dma, 0);
    else
        *ret_dma = dma;
    return ret;
}

int bp_dma_map_more(struct bp_dma *dma, struct bp_space *space, uint64_t addr, uint64_t length)
{
    return map_stretch(dma, space, addr, length);
}

const struct iovec *bp_dma_vectors(const struct bp_dma *dma, unsigned *ret_count)
{
    *ret_count = dma->count;
    return dma->vectors;
}

int bp_dma_unmap(struct bp_dma *dma, uint64_t done)
{
    return dma ? finish(dma, dma->direction == BP_DMA_TO_DEVICE ? 0 : done) : 0;
}
