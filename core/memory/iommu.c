/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IOMMU regions (bp/iommu.h): an access is translated piece by piece and goes on in the space behind.
 * Translations may follow each other, but not without end.
 */
#include <bp/iommu.h>
#include <bp/loop.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"

#define MAX_DEPTH 8u

struct bp_iommu_notifier {
    struct bpc_claim claim;
    struct bp_region *region; /* a reference */
    uint64_t first, last;
    void (*changed)(void *opaque, const struct bp_iommu_entry *entry);
    void *opaque;
    struct bp_iommu_notifier *next;
    bool dead;
};

static __thread unsigned depth __attribute__((tls_model("initial-exec")));
static unsigned telling; /* notifiers are being called: none is freed. Machine lock */

struct bp_region *bp_region_new_iommu(struct bp_owner *owner, const char *name, uint64_t size,
                                      const struct bp_iommu_ops *ops, void *opaque)
{
    bpc_assert_locked();
    struct bp_region *region = bpc_region_alloc(owner, name, size, BPC_IOMMU);

    memcpy(&region->iommu, ops, MIN(ops->size, sizeof(region->iommu)));
    region->opaque = opaque;
    return region;
}

int bpc_iommu_translate(const struct bp_region *region, uint64_t offset,
                        const struct bp_access *access, bool write, struct bpc_beyond *ret_beyond)
{
    struct bp_iommu_entry e = {.size = sizeof(e)};
    uint64_t into;
    int ret = -EFAULT;

    if (depth < MAX_DEPTH && !bpc_region_dead(region) && region->iommu.translate)
        ret = region->iommu.translate(region->opaque, offset, access, write, &e);
    if (ret < 0)
        return ret == -EIO ? ret : -EFAULT;
    into = offset - e.address;
    if (!(e.allowed & (write ? BP_IOMMU_WRITE : BP_IOMMU_READ)) || !e.target || into >= e.length)
        return -EFAULT;
    ret_beyond->space = e.target;
    ret_beyond->address = e.translated + into;
    ret_beyond->length = e.length - into;
    return 0;
}

int bp_iommu_ask(struct bp_space *space, uint64_t addr, const struct bp_access *access,
                 struct bp_iommu_entry *ret_entry)
{
    struct bp_iommu_entry e = {.size = sizeof(e)};
    const struct bpc_range *range;
    struct bp_region *region;
    uint64_t length, offset;
    int ret = -ENOTSUP;

    bpc_memory_read_lock();
    range = bpc_range_at(space, addr, &length);
    if (!range || range->region->type != BPC_IOMMU) {
        bpc_memory_read_unlock();
        return -ENOTSUP;
    }
    region = range->region;
    offset = range->offset + (addr - range->first);
    if (!bpc_region_hold(region)) /* leaves the section */
        return -ENOTSUP;
    if (!bpc_region_dead(region) && region->iommu.ask)
        ret = region->iommu.ask(region->opaque, offset, access, &e);
    bpc_region_drop(region);
    if (ret < 0)
        return ret == -ENOTSUP ? ret : -EIO;
    e.address += addr - offset; /* in the space */
    *ret_entry = e;
    return 0;
}

void bpc_iommu_enter(void)
{
    depth++;
}

void bpc_iommu_leave(void)
{
    depth--;
}

/* ---- notifiers ---- */

static void sweep(struct bp_region *region)
{
    struct bp_iommu_notifier **link = &region->notifiers, *n;

    while ((n = *link)) {
        if (n->dead) {
            *link = n->next;
            g_free(n);
        } else {
            link = &n->next;
        }
    }
}

static bool has_notifier(const struct bp_region *region)
{
    const struct bp_iommu_notifier *n = region->notifiers;

    while (n && n->dead)
        n = n->next;
    return n != NULL;
}

static void release(struct bpc_claim *claim)
{
    struct bp_iommu_notifier *n = (struct bp_iommu_notifier *)((char *)claim -
                                                               offsetof(struct bp_iommu_notifier, claim));
    struct bp_region *region = n->region;

    bp_machine_lock(NULL);
    n->dead = true;
    if (!has_notifier(region) && region->iommu.wanted && !bpc_region_dead(region))
        region->iommu.wanted(region->opaque, false);
    if (telling == 0)
        sweep(region);
    bp_machine_unlock(NULL);
    bpc_region_unref(region);
}

struct bp_iommu_notifier *bp_iommu_notify(struct bp_owner *owner, struct bp_region *iommu,
                                          uint64_t first, uint64_t last,
                                          void (*changed)(void *opaque,
                                                          const struct bp_iommu_entry *entry),
                                          void *opaque)
{
    bpc_assert_main();
    struct bp_iommu_notifier *n = g_new0(struct bp_iommu_notifier, 1);
    bool was_wanted;

    bpc_region_ref(iommu);
    n->region = iommu;
    n->first = first;
    n->last = last;
    n->changed = changed;
    n->opaque = opaque;
    bp_machine_lock(NULL);
    was_wanted = has_notifier(iommu);
    n->next = iommu->notifiers;
    iommu->notifiers = n;
    bpc_claim(owner, &n->claim, release);
    if (!was_wanted && iommu->iommu.wanted && !bpc_region_dead(iommu))
        iommu->iommu.wanted(iommu->opaque, true);
    if (iommu->iommu.replay && !bpc_region_dead(iommu))
        iommu->iommu.replay(iommu->opaque, n);
    bp_machine_unlock(NULL);
    return n;
}

void bp_iommu_notifier_free(struct bp_iommu_notifier *notifier)
{
    bpc_assert_main();
    if (!notifier)
        return;
    bpc_unclaim(&notifier->claim);
    release(&notifier->claim);
}

void bp_iommu_tell(struct bp_iommu_notifier *to, const struct bp_iommu_entry *entry)
{
    bpc_assert_locked();
    uint64_t last = entry->address + entry->length - 1;

    if (!to->dead && entry->length > 0 && entry->address <= to->last && last >= to->first)
        to->changed(to->opaque, entry);
}

void bp_iommu_changed(struct bp_region *iommu, const struct bp_iommu_entry *entry)
{
    bpc_assert_locked();
    bp_machine_lock(NULL);
    telling++;
    for (struct bp_iommu_notifier *n = iommu->notifiers; n; n = n->next)
        bp_iommu_tell(n, entry);
    if (--telling == 0)
        sweep(iommu);
    bp_machine_unlock(NULL);
}
