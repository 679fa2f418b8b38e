/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of the memory core: regions, flat views, spaces. The tree of regions is changed under the
 * machine lock only (every function that changes it takes the lock itself). Views are immutable and
 * published by RCU. A view holds a reference to each region in it, and so does a callback that runs,
 * which is counted with the region's owner besides: no read-side section spans a lock or a callback,
 * so that they are short. RAM goes when nothing refers to it and every vCPU has passed a quiet point
 * (quiet.h): a vCPU that runs may hold its host address.
 */
#ifndef BPC_MEMORY_H
#define BPC_MEMORY_H

#include <bp/iommu.h>
#include <bp/memory.h>

#include "owner.h"
#include "read-side.h"
#include "quiet.h"

#define BPC_PAGE_SHIFT 12
#define BPC_PAGE_SIZE (UINT64_C(1) << BPC_PAGE_SHIFT)
#define BPC_DIRTY_LOGS 8u

enum bpc_region_type { BPC_CONTAINER, BPC_IO, BPC_RAM, BPC_ROM, BPC_ALIAS, BPC_IOMMU };

struct bp_region {
    struct bpc_claim claim;
    char *name;
    enum bpc_region_type type;
    int priority;
    uint64_t size;   /* UINT64_MAX stands for 2^64 */
    uint64_t offset; /* in the parent */
    bool enabled, readonly;
    bool visiting;   /* being walked: a region inside itself is skipped */
    bool dead;       /* withdrawn or freed; kept while something refers to it. Atomic */
    uint64_t refs;   /* atomic: references, and callbacks under way (region.c) */
    struct bpc_quiet last;   /* between the last reference and the end */
    struct bp_region *parent, *children, *next; /* children: highest priority, then latest first */
    struct bp_region *all_next, **all_link;     /* every living region, for `info mtree` */

    bool has_ops;             /* I/O, or ROM with callbacks */
    struct bp_region_ops ops; /* a copy, with limits filled in and what its author did not know zeroed */
    void *opaque;
    struct bp_doorbell *bells; /* atomic; changed under their lock (doorbell.c) */

    struct bp_iommu_ops iommu;           /* IOMMU: a copy */
    struct bp_iommu_notifier *notifiers; /* machine lock */

    uint8_t *host;      /* RAM, ROM */
    uint64_t host_page; /* bytes of the host's pages there */
    int fd;             /* owned: the file it lies in, or -1 */
    uint64_t fd_offset;
    bool unwritable;    /* the host maps it for reading alone */
    bool forget;        /* what its file holds is dropped at the end */
    enum bpc_backing { BPC_BACKING_ANONYMOUS, BPC_BACKING_SHARED, BPC_BACKING_PRIVATE_FILE } backing;
    unsigned pins;                 /* atomic: long claims and mapped DMA */
    struct bp_ram_claim *claims;   /* machine lock */
    uint64_t host_size; /* bytes mapped */
    bool indirect;      /* a ROM device in the mode where reads go to its callbacks */
    uint8_t *dirty;     /* RAM: one byte for each page, a bit for each log */
    uint8_t logs;       /* atomic: bits of the logs that are on */
    unsigned log_starts[BPC_DIRTY_LOGS];
    uint32_t log_settling; /* atomic: starts that not every writer may know yet */

    struct bp_region *target; /* alias: a reference */
    uint64_t target_offset;
};

struct bpc_range {
    uint64_t first, last; /* guest addresses, inclusive */
    struct bp_region *region;
    uint64_t offset;      /* of `first` in the region */
    uint8_t *host;        /* of `first`; NULL: reads go to callbacks */
    bool readonly;
    bool logged;          /* a dirty log is on */
};

struct bpc_view {
    size_t count;
    const uint64_t *lasts;     /* of the ranges, behind them: close together for the search */
    const struct bpc_range *largest; /* of RAM or ROM; NULL: there is none */
    struct bpc_range ranges[]; /* sorted, disjoint */
};

struct bpc_listener {
    const struct bp_memory_listener *table; /* by which it is known; NULL: it has left */
    struct bp_memory_listener copy;
    void *opaque;
    struct bpc_listener *next;
};

struct bp_space {
    struct bpc_claim claim;
    char *name;
    struct bp_region *root; /* a reference */
    struct bpc_view *view;  /* RCU; never NULL */
    struct bpc_listener *listeners;
    struct bp_space *next;
};

/* region.c */
void bpc_region_ref(struct bp_region *region);
void bpc_region_unref(struct bp_region *region); /* [any] */
struct bp_region *bpc_region_alloc(struct bp_owner *owner, const char *name, uint64_t size,
                                   enum bpc_region_type type);
/* Takes over a table of callbacks; NULL: none. */
void bpc_region_set_ops(struct bp_region *region, const struct bp_region_ops *ops, void *opaque);
/*
 * Inside a read-side section, which it leaves, for a callback: until bpc_region_drop() the region is held
 * and its owner does not go. One count says both: BPC_REGION_CALL in `refs`. false: it is dead, nobody is
 * to be called and nothing is to be dropped. [any]
 */
#define BPC_REGION_CALL (UINT64_C(1) << 32)
bool bpc_region_hold_dead(struct bp_region *region); /* gives the count back; false */
/* What a drop left: the last reference, or the end of a callback that somebody waits for. */
void bpc_region_dropped(struct bp_region *region, struct bp_owner *owner, uint64_t before, uint64_t now);
#define BPC_REGION_PINS (UINT64_C(1) << 62)
#define BPC_REGION_CALLS(REFS) ((REFS) & (BPC_REGION_PINS - 1) & ~(BPC_REGION_CALL - 1))
static inline bool bpc_region_hold(struct bp_region *region)
{
    __atomic_fetch_add(&region->refs, BPC_REGION_CALL, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&region->dead, __ATOMIC_SEQ_CST), false))
        return bpc_region_hold_dead(region);
    bpc_memory_read_unlock();
    return true;
}
/* The region is not looked at behind the exchange. */
static inline void bpc_region_drop(struct bp_region *region)
{
    struct bp_owner *owner = region->claim.owner;
    uint64_t before = __atomic_load_n(&region->refs, __ATOMIC_RELAXED), now;

    do {
        now = before - BPC_REGION_CALL;
        if (BPC_REGION_CALLS(now) == 0)
            now &= ~BPC_REGION_PINS;
    } while (!__atomic_compare_exchange_n(&region->refs, &before, now, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    if (__builtin_expect(now == 0 || before >= BPC_REGION_PINS, false))
        bpc_region_dropped(region, owner, before, now);
}
/* A reference that says that host addresses of it are in use. [any] */
static inline void bpc_region_pin(struct bp_region *region)
{
    bpc_region_ref(region);
    __atomic_fetch_add(&region->pins, 1, __ATOMIC_ACQ_REL);
}
static inline void bpc_region_unpin(struct bp_region *region)
{
    __atomic_fetch_sub(&region->pins, 1, __ATOMIC_ACQ_REL);
    bpc_region_unref(region);
}
struct bp_region *bpc_region_all(void); /* head of the list of living regions */
static inline bool bpc_region_dead(const struct bp_region *region)
{
    return __atomic_load_n(&region->dead, __ATOMIC_SEQ_CST);
}

/* ram.c */
void bpc_ram_unmap(struct bp_region *region);

/* iommu.c: where an access of an IOMMU region goes on; no lock, no section. Nested accesses stand
 * between enter and leave. */
struct bpc_beyond {
    struct bp_space *space;
    uint64_t address, length;
};
int bpc_iommu_translate(const struct bp_region *region, uint64_t offset,
                        const struct bp_access *access, bool write, struct bpc_beyond *ret_beyond);
void bpc_iommu_enter(void);
void bpc_iommu_leave(void);

/* watch.c: bytes of RAM or ROM were written, not by a vCPU's own store, or are no longer what they
 * were. [any] */
void bpc_tell_written(const uint8_t *host, uint64_t len);

/* view.c */
struct bpc_view *bpc_view_build(struct bp_region *root); /* holds references */
bool bpc_view_equal(const struct bpc_view *a, const struct bpc_view *b);
void bpc_view_free(struct bpc_view *view);   /* one that was never published */
void bpc_view_retire(struct bpc_view *view); /* freed when no reader uses it */
unsigned bpc_views_retired(void);            /* how many wait for that; [any] */
struct bp_section bpc_section_of(const struct bpc_range *range);
void bpc_view_log(const char *space, const struct bpc_view *view); /* -d page: tree.c */
void bpc_view_tell_changes(const struct bpc_view *before, const struct bpc_view *after,
                           const struct bpc_listener *listener);
/* The first range that ends at or after `addr`, or NULL. Without branches to be guessed: where the
 * next access goes nobody knows. */
static inline const struct bpc_range *bpc_view_find(const struct bpc_view *view, uint64_t addr)
{
    const uint64_t *at = view->lasts;
    size_t left = view->count;

    if (left == 0 || at[left - 1] < addr)
        return NULL;
    while (left > 1) {
        size_t half = left / 2;

        at = at[half - 1] < addr ? at + half : at;
        left -= half;
    }
    return &view->ranges[at - view->lasts];
}

/* space.c */
void bpc_memory_changed(void); /* the tree was changed, inside bp_memory_begin/commit */
struct bp_space *bpc_space_all(void);
/* Calls fn with every listener of every space and each section of this region there. */
void bpc_tell_sections(struct bp_region *region,
                       void (*fn)(const struct bpc_listener *listener,
                                  const struct bp_section *section));
static inline const struct bpc_view *bpc_space_view(const struct bp_space *space)
{
    return __atomic_load_n(&space->view, __ATOMIC_ACQUIRE);
}

/* The range at `addr`, or NULL; *ret_length: bytes from there to its end, or to the next range.
 * Inside a read-side section. */
static inline const struct bpc_range *bpc_range_at(const struct bp_space *space, uint64_t addr,
                                                   uint64_t *ret_length)
{
    const struct bpc_view *view = bpc_space_view(space);
    const struct bpc_range *range = view->largest;
    uint64_t span;

    /* Most go to main memory. */
    if (!range || addr - range->first > range->last - range->first)
        range = bpc_view_find(view, addr);
    if (range && range->first <= addr) {
        span = range->last - addr;
        *ret_length = span == UINT64_MAX ? span : span + 1;
        return range;
    }
    span = range ? range->first - addr : UINT64_MAX - addr;
    *ret_length = range || span == UINT64_MAX ? span : span + 1;
    return NULL;
}

/* The tree of regions of every space as text for `info mtree`; malloc'd. */
char *bpc_memory_tree_text(void);

#endif
