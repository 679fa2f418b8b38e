/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Accesses: from an address and a size to host memory or to a region's callbacks.
 *
 * One access (load, store) of an I/O region must be of a size that the region takes as valid, or it
 * fails whole. It is then cut into naturally aligned pieces of at most max_access bytes (one that
 * is not aligned goes through whole when the region says so), and a piece below min_access is
 * widened: read whole and cut out; written by reading, changing and writing back. Inside this file
 * values are little-endian by address; those of a big-endian device are swapped around its
 * callbacks.
 *
 * An access that spans several regions is done piece by piece in rising order. RAM is reached
 * without any lock, inside a read-side section; aligned accesses to RAM are single ones. For a
 * callback the section is left: the region is held, and counted with its owner, until it returns.
 */
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "blame.h"
#include "doorbell.h"
#include "loop.h"
#include "memory.h"
#include "read-side.h"

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

static uint64_t swap(uint64_t value, unsigned size)
{
    return __builtin_bswap64(value) >> (64 - size * 8);
}

/* The largest power of two that divides addr and is at most `most` and `len`. */
static unsigned piece_size(uint64_t addr, uint64_t len, unsigned most)
{
    unsigned size = 8;

    while (size > 1 && (size > most || size > len || addr % size != 0))
        size /= 2;
    return size;
}

/* ---- host memory ---- */

static uint64_t host_load(const uint8_t *host, unsigned size)
{
    uint64_t value = 0;

    if ((uintptr_t)host % size == 0) {
        switch (size) {
        case 1:
            return __atomic_load_n(host, __ATOMIC_RELAXED);
        case 2:
            return GUINT16_FROM_LE(__atomic_load_n((const uint16_t *)(const void *)host,
                                                   __ATOMIC_RELAXED));
        case 4:
            return GUINT32_FROM_LE(__atomic_load_n((const uint32_t *)(const void *)host,
                                                   __ATOMIC_RELAXED));
        case 8:
            return GUINT64_FROM_LE(__atomic_load_n((const uint64_t *)(const void *)host,
                                                   __ATOMIC_RELAXED));
        }
    }
    memcpy(&value, host, size);
    return GUINT64_FROM_LE(value);
}

static void host_store(uint8_t *host, unsigned size, uint64_t value)
{
    if ((uintptr_t)host % size == 0) {
        switch (size) {
        case 1:
            __atomic_store_n(host, (uint8_t)value, __ATOMIC_RELAXED);
            return;
        case 2:
            __atomic_store_n((uint16_t *)(void *)host, GUINT16_TO_LE((uint16_t)value),
                             __ATOMIC_RELAXED);
            return;
        case 4:
            __atomic_store_n((uint32_t *)(void *)host, GUINT32_TO_LE((uint32_t)value),
                             __ATOMIC_RELAXED);
            return;
        case 8:
            __atomic_store_n((uint64_t *)(void *)host, GUINT64_TO_LE(value), __ATOMIC_RELAXED);
            return;
        }
    }
    value = GUINT64_TO_LE(value);
    memcpy(host, &value, size);
}

/* ---- I/O ---- */

static const struct bp_access nobody = {.size = sizeof(struct bp_access)};

/* One piece of an access to I/O, between the checks and the callback. */
struct piece {
    const struct bp_region *region;
    const struct bp_access *access;
    int ret; /* of the callbacks; the last failure stays */
};

/* Whose callback it is, for the last words should it crash. */
static struct bpc_blame blame(const struct bp_region *region)
{
    const struct bp_owner *owner = region->claim.owner;
    struct bpc_blame who = {owner ? owner->type : NULL, owner ? owner->id : NULL, "register access"};

    return bpc_blame_swap(who);
}

static uint64_t call_read(struct piece *p, uint64_t offset, unsigned size)
{
    const struct bp_region_ops *ops = &p->region->ops;
    void *opaque = p->region->opaque;
    uint64_t value = ones(size);
    struct bpc_blame before;
    int ret = 0;

    if (bpc_region_dead(p->region))
        return value;
    before = blame(p->region);
    if (ops->read_with)
        ret = ops->read_with(opaque, offset, size, &value, p->access);
    else if (ops->read)
        value = ops->read(opaque, offset, size);
    bpc_blame_swap(before);
    if (ret < 0) {
        p->ret = ret == -EIO ? -EIO : -EFAULT;
        return ones(size);
    }
    value &= ones(size);
    return ops->big_endian ? swap(value, size) : value;
}

static void call_write(struct piece *p, uint64_t offset, unsigned size, uint64_t value)
{
    const struct bp_region_ops *ops = &p->region->ops;
    void *opaque = p->region->opaque;
    struct bpc_blame before;
    int ret = 0;

    if (bpc_region_dead(p->region))
        return;
    before = blame(p->region);
    value &= ones(size);
    if (ops->big_endian)
        value = swap(value, size);
    if (ops->write_with)
        ret = ops->write_with(opaque, offset, value, size, p->access);
    else if (ops->write)
        ops->write(opaque, offset, value, size);
    bpc_blame_swap(before);
    if (ret < 0)
        p->ret = ret == -EIO ? -EIO : -EFAULT;
}

static uint64_t piece_read(struct piece *p, uint64_t offset, unsigned size)
{
    unsigned min = p->region->ops.min_access, lane;

    if (size >= min)
        return call_read(p, offset, size);
    lane = (unsigned)(offset % min);
    return call_read(p, offset - lane, min) >> (lane * 8) & ones(size);
}

static void piece_write(struct piece *p, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned min = p->region->ops.min_access, lane;
    uint64_t whole, mask;

    if (size >= min) {
        call_write(p, offset, size, value);
        return;
    }
    lane = (unsigned)(offset % min);
    mask = ones(size) << (lane * 8);
    whole = call_read(p, offset - lane, min);
    if (p->ret < 0)
        return; /* what the neighbours are is not known */
    call_write(p, offset - lane, min, (whole & ~mask) | (value << (lane * 8) & mask));
}

/* How much of an access at `offset` one callback takes. */
static unsigned io_piece(const struct bp_region_ops *ops, uint64_t offset, unsigned left)
{
    if (ops->unaligned && left <= ops->max_access && (left & (left - 1)) == 0)
        return left;
    return piece_size(offset, left, ops->max_access);
}

/* One access to I/O, or a write to ROM with callbacks. `is_write`: *value goes in, else comes out.
 */
static int device_access(const struct bp_region *region, uint64_t offset, unsigned size,
                         uint64_t *value, bool is_write, const struct bp_access *access)
{
    const struct bp_region_ops *ops = &region->ops;
    struct piece p = {region, access ? access : &nobody, 0};
    struct bp_owner *owner = region->claim.owner;
    uint64_t result = 0;
    struct bpc_hold hold = {.before = NULL};

    if (size < ops->valid_min || size > ops->valid_max)
        return -EFAULT;
    if (is_write && __atomic_load_n(&region->bells, __ATOMIC_ACQUIRE) &&
        bpc_doorbell_written(region, offset, size,
                             ops->big_endian ? swap(*value & ones(size), size) : *value & ones(size)))
        return 0;
    if (!ops->parallel)
        hold = bpc_owner_hold(owner);
    for (unsigned done = 0, n; done < size; done += n) {
        n = io_piece(ops, offset + done, size - done);
        if (is_write)
            piece_write(&p, offset + done, n, *value >> (done * 8) & ones(n));
        else
            result |= piece_read(&p, offset + done, n) << (done * 8);
    }
    if (!ops->parallel)
        bpc_owner_let_go(owner, hold);
    if (!is_write)
        *value = p.ret < 0 ? ones(size) : result;
    return p.ret;
}

/* ---- one access within one range ---- */

static void log_bad(const struct bp_space *space, uint64_t addr, unsigned size, const char *what,
                    const struct bp_region *region, int ret)
{
    if (bp_log_on(BP_LOG_GUEST_ERROR))
        bp_log(BP_LOG_GUEST_ERROR, "%s: %s of %u bytes at 0x%llx: %s%s\n", space->name, what, size,
               (unsigned long long)addr, ret == -EIO ? "bus error from " :
               region ? "not valid for " :
               "nothing there", region ? region->name : "");
}

/* One access within an IOMMU region, as far as each translation reaches. */
static int iommu_access(struct bp_region *region, uint64_t offset, unsigned size, uint64_t *value,
                        bool is_write, const struct bp_access *access)
{
    uint64_t result = 0;
    int ret = 0;

    for (unsigned done = 0, n; done < size; done += n) {
        struct bpc_beyond beyond = {.length = 1};
        uint64_t part;
        int part_ret = bpc_iommu_translate(region, offset + done, access ? access : &nobody,
                                           is_write, &beyond);

        n = piece_size(offset + done, MIN(beyond.length, size - done), 8);
        part = is_write ? *value >> (done * 8) & ones(n) : ones(n);
        bpc_iommu_enter();
        if (part_ret == 0 && is_write)
            part_ret = bp_space_store_as(beyond.space, beyond.address, n, part, access);
        else if (part_ret == 0)
            part_ret = bp_space_load_as(beyond.space, beyond.address, n, &part, access);
        bpc_iommu_leave();
        if (part_ret < 0)
            ret = part_ret;
        result |= part << (done * 8);
    }
    if (!is_write)
        *value = result;
    return ret;
}

static int io_access(struct bp_region *region, uint64_t offset, unsigned size, uint64_t *value,
                     bool is_write, const struct bp_access *access)
{
    if (region->type == BPC_IOMMU)
        return iommu_access(region, offset, size, value, is_write, access);
    return device_access(region, offset, size, value, is_write, access);
}

/* Inside a section, which it leaves; the whole access lies in `range` (NULL: nothing is there). */
static int range_load(const struct bp_space *space, const struct bpc_range *range, uint64_t addr,
                      unsigned size, uint64_t *ret_value, const struct bp_access *access)
{
    struct bp_region *region = range ? range->region : NULL;
    uint64_t offset;
    int ret = -EFAULT;

    if (!range) {
        bpc_memory_read_unlock();
    } else if (range->host) {
        *ret_value = host_load(range->host + (addr - range->first), size);
        bpc_memory_read_unlock();
        return 0;
    } else {
        offset = range->offset + (addr - range->first);
        if (!bpc_region_hold(region)) {
            *ret_value = ones(size);
            return 0;
        }
        ret = io_access(region, offset, size, ret_value, false, access);
    }
    if (ret < 0) {
        *ret_value = ones(size);
        log_bad(space, addr, size, "read", region, ret);
    }
    if (region)
        bpc_region_drop(region);
    return ret;
}

static int range_store(const struct bp_space *space, const struct bpc_range *range, uint64_t addr,
                       unsigned size, uint64_t value, const struct bp_access *access)
{
    struct bp_region *region = range ? range->region : NULL;
    uint64_t offset;
    int ret = -EFAULT;

    if (!range) {
        bpc_memory_read_unlock();
        log_bad(space, addr, size, "write", NULL, ret);
        return ret;
    }
    offset = range->offset + (addr - range->first);
    if (range->host && !range->readonly) {
        host_store(range->host + (addr - range->first), size, value);
        bp_region_mark_dirty(region, offset, size);
    } else if (region->has_ops || region->type == BPC_IOMMU) {
        if (!bpc_region_hold(region))
            return 0;
        ret = io_access(region, offset, size, &value, true, access);
        if (ret < 0)
            log_bad(space, addr, size, "write", region, ret);
        bpc_region_drop(region);
        return ret;
    } /* else read-only memory: the write is dropped */
    bpc_memory_read_unlock();
    return 0;
}

int bp_space_load_as(struct bp_space *space, uint64_t addr, unsigned size, uint64_t *ret_value,
                     const struct bp_access *access)
{
    const struct bpc_range *range;
    uint64_t length, value = 0;
    int ret = 0;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &length);
    if (length >= size)
        return range_load(space, range, addr, size, ret_value, access);
    bpc_memory_read_unlock();
    /* across a border: aligned pieces; beyond 2^64 it begins again at 0 */
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t part;
        int part_ret;

        bpc_memory_read_lock();
        range = bpc_range_at(space, addr + done, &length);
        n = piece_size(addr + done, MIN(length, size - done), 8);
        part_ret = range_load(space, range, addr + done, n, &part, access);
        if (part_ret < 0)
            ret = part_ret;
        value |= part << (done * 8);
    }
    *ret_value = value;
    return ret;
}

int bp_space_store_as(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value,
                      const struct bp_access *access)
{
    const struct bpc_range *range;
    uint64_t length;
    int ret = 0;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &length);
    if (length >= size)
        return range_store(space, range, addr, size, value, access);
    bpc_memory_read_unlock();
    for (unsigned done = 0, n; done < size; done += n) {
        int part_ret;

        bpc_memory_read_lock();
        range = bpc_range_at(space, addr + done, &length);
        n = piece_size(addr + done, MIN(length, size - done), 8);
        part_ret = range_store(space, range, addr + done, n, value >> (done * 8) & ones(n), access);
        if (part_ret < 0)
            ret = part_ret;
    }
    return ret;
}

static bool takes_posts(const struct bpc_range *range)
{
    const struct bp_region *region = range->region;

    if (range->host && !range->readonly)
        return true;
    return !range->host && region->type == BPC_IO && region->has_ops &&
           region->ops.parallel == BP_PARALLEL_LEAF &&
           !__atomic_load_n(&region->bells, __ATOMIC_ACQUIRE);
}

int bp_space_post(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value,
                  const struct bp_access *access)
{
    const struct bpc_range *range;
    uint64_t length;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &length);
    if (range && length >= size && takes_posts(range))
        return range_store(space, range, addr, size, value, access);
    bpc_memory_read_unlock();
    return -EAGAIN;
}

int bp_space_peek(struct bp_space *space, uint64_t addr, void *buf, uint64_t len)
{
    const struct bpc_range *range;
    uint64_t length;
    int ret = -EAGAIN;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &length);
    if (range && range->host && length >= len) {
        memcpy(buf, range->host + (addr - range->first), len);
        ret = 0;
    }
    bpc_memory_read_unlock();
    return ret;
}

int bp_space_load(struct bp_space *space, uint64_t addr, unsigned size, uint64_t *ret_value)
{
    return bp_space_load_as(space, addr, size, ret_value, NULL);
}

int bp_space_store(struct bp_space *space, uint64_t addr, unsigned size, uint64_t value)
{
    return bp_space_store_as(space, addr, size, value, NULL);
}

/* ---- many bytes ---- */

/* So much of a buffer is copied in one read-side section. */
#define STRETCH (UINT64_C(1) << 16)

/* A stretch of a buffer in an IOMMU region; leaves the section. Returns its length. */
static uint64_t iommu_piece(const struct bpc_range *range, uint64_t addr, uint8_t *to,
                            const uint8_t *from, uint64_t len, const struct bp_access *access,
                            int *ret_r)
{
    struct bp_region *region = range->region;
    uint64_t offset = range->offset + (addr - range->first), n = 1;
    struct bpc_beyond beyond;
    bool held = bpc_region_hold(region);

    *ret_r = held ? bpc_iommu_translate(region, offset, access ? access : &nobody, to == NULL, &beyond)
                  : -EFAULT;
    if (*ret_r < 0) {
        n = MIN(len, BPC_PAGE_SIZE - offset % BPC_PAGE_SIZE); /* the next page may be mapped */
        if (to)
            memset(to, 0xff, n);
    } else {
        n = MIN(len, beyond.length);
        bpc_iommu_enter();
        *ret_r = to ? bp_space_read_as(beyond.space, beyond.address, to, n, access)
                    : bp_space_write_as(beyond.space, beyond.address, from, n, access);
        bpc_iommu_leave();
    }
    if (held)
        bpc_region_drop(region);
    return n;
}

/* The size of the next access to I/O on the way through a buffer: what the region takes, if it can.
 */
static unsigned buffer_piece(const struct bpc_range *range, uint64_t addr, uint64_t len)
{
    uint64_t offset = range->offset + (addr - range->first);
    return piece_size(offset, len, MIN(range->region->ops.valid_max, 8));
}

int bp_space_read_as(struct bp_space *space, uint64_t addr, void *buf, uint64_t len,
                     const struct bp_access *access)
{
    uint8_t *to = buf;
    int ret = 0;

    while (len > 0) {
        const struct bpc_range *range;
        uint64_t n, value;
        int part_ret = 0;

        bpc_memory_read_lock();
        range = bpc_range_at(space, addr, &n);
        n = MIN(n, len);
        if (!range) {
            bpc_memory_read_unlock();
            memset(to, 0xff, n);
            log_bad(space, addr, (unsigned)MIN(n, UINT32_MAX), "read", NULL, -EFAULT);
            part_ret = -EFAULT;
        } else if (range->host) {
            n = MIN(n, STRETCH);
            memcpy(to, range->host + (addr - range->first), n);
            bpc_memory_read_unlock();
        } else if (range->region->type == BPC_IOMMU) {
            n = iommu_piece(range, addr, to, NULL, n, access, &part_ret);
        } else {
            n = buffer_piece(range, addr, n);
            part_ret = range_load(space, range, addr, (unsigned)n, &value, access);
            value = GUINT64_TO_LE(value);
            memcpy(to, &value, n);
        }
        if (part_ret < 0)
            ret = part_ret;
        addr += n;
        to += n;
        len -= n;
    }
    return ret;
}

struct source {
    const uint8_t *from; /* NULL: `byte` again and again */
    uint8_t byte;
    bool force; /* into whatever memory there is, protected or not */
    const struct bp_access *access;
};

static void take(struct source *source, uint8_t *to, uint64_t n)
{
    if (source->from) {
        memcpy(to, source->from, n);
        source->from += n;
    } else {
        memset(to, source->byte, n);
    }
}

/* The next piece of a write; returns its length. */
static uint64_t write_piece(struct bp_space *space, uint64_t addr, struct source *source,
                            uint64_t len, int *ret_r)
{
    const struct bp_access *access = source->access;
    const struct bpc_range *range;
    bool force = source->force;
    uint64_t n, offset, value = 0;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &n);
    n = MIN(n, len);
    *ret_r = 0;
    if (!range || (force && (!range->region->host || range->region->unwritable))) {
        bpc_memory_read_unlock();
        log_bad(space, addr, (unsigned)MIN(n, UINT32_MAX), "write", NULL, -EFAULT);
        *ret_r = -EFAULT;
    } else if (range->region->host && (force || (range->host && !range->readonly))) {
        n = MIN(n, STRETCH);
        offset = range->offset + (addr - range->first);
        take(source, range->region->host + offset, n);
        bp_region_mark_dirty(range->region, offset, n);
        bpc_memory_read_unlock();
        return n;
    } else if (range->region->type == BPC_IOMMU) {
        uint8_t page[BPC_PAGE_SIZE];

        n = MIN(n, sizeof(page) - addr % sizeof(page));
        if (!source->from)
            memset(page, source->byte, n);
        n = iommu_piece(range, addr, NULL, source->from ? source->from : page, n, access, ret_r);
    } else if (range->region->has_ops) {
        n = buffer_piece(range, addr, n);
        take(source, (uint8_t *)&value, n);
        *ret_r = range_store(space, range, addr, (unsigned)n, GUINT64_FROM_LE(value), access);
        return n;
    } else {
        bpc_memory_read_unlock();
    }
    if (source->from)
        source->from += n;
    return n;
}

static int write_bytes(struct bp_space *space, uint64_t addr, struct source source, uint64_t len)
{
    int ret = 0, part_ret;

    while (len > 0) {
        uint64_t n = write_piece(space, addr, &source, len, &part_ret);

        if (part_ret < 0)
            ret = part_ret;
        addr += n;
        len -= n;
    }
    return ret;
}

int bp_space_write_as(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len,
                      const struct bp_access *access)
{
    return write_bytes(space, addr, (struct source){.from = buf, .access = access}, len);
}

int bp_space_read(struct bp_space *space, uint64_t addr, void *buf, uint64_t len)
{
    return bp_space_read_as(space, addr, buf, len, NULL);
}

int bp_space_write(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len)
{
    return bp_space_write_as(space, addr, buf, len, NULL);
}

int bp_space_fill(struct bp_space *space, uint64_t addr, uint8_t byte, uint64_t len)
{
    return write_bytes(space, addr, (struct source){.byte = byte}, len);
}

int bp_space_write_rom(struct bp_space *space, uint64_t addr, const void *buf, uint64_t len)
{
    return write_bytes(space, addr, (struct source){.from = buf, .force = true}, len);
}

static void fill_mapping(const struct bpc_range *range, uint64_t addr, struct bp_mapping *m)
{
    uint64_t into = addr - range->first;

    m->region = range->region;
    m->offset = range->offset + into;
    m->readonly = range->readonly;
    m->host = range->host ? range->host + into : NULL;
    m->dirty = range->logged ? range->region->dirty + (m->offset >> BPC_PAGE_SHIFT) : NULL;
}

void bp_space_lookup(struct bp_space *space, uint64_t addr, struct bp_mapping *ret_mapping)
{
    const struct bpc_range *range;
    struct bp_mapping own, *m = ret_mapping->size == sizeof(own) ? ret_mapping : &own;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &m->length);
    if (range) {
        fill_mapping(range, addr, m);
    } else {
        m->region = NULL;
        m->host = m->dirty = NULL;
        m->offset = 0;
        m->readonly = false;
    }
    bpc_memory_read_unlock();
    if (m == &own) { /* a caller of another version */
        own.size = MIN(ret_mapping->size, sizeof(own));
        memcpy(ret_mapping, &own, own.size);
    }
}
