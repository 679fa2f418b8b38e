/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions: construction, the tree, and changes of a region's place and looks. Each change is a
 * transaction of its own unless the caller has opened one.
 */
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include <stddef.h>
#include <string.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"
#include "trace.h"

static struct bp_region *all_regions;

struct bp_region *bpc_region_all(void)
{
    return all_regions;
}

/*
 * refs: references in the low half; callbacks under way above, one count for what keeps the region and
 * for what keeps its owner. WAITED: the owner leaves and asks whether any are left. PINS: the region was freed
 * in the middle of one, and counts with its owner until none runs.
 */
#define WAITED (UINT64_C(1) << 63)

void bpc_region_ref(struct bp_region *region)
{
    __atomic_add_fetch(&region->refs, 1, __ATOMIC_RELAXED);
}

static void end(struct bpc_quiet *item)
{
    struct bp_region *region = (struct bp_region *)((char *)item - offsetof(struct bp_region, last));

    if (region->target)
        bpc_region_unref(region->target);
    bpc_ram_unmap(region);
    g_free(region->name);
    g_free(region);
}

static void end_if_last(struct bp_region *region, uint64_t now)
{
    if ((now & ~WAITED) == 0)
        bpc_quiet_call(&region->last, end);
}

void bpc_region_unref(struct bp_region *region)
{
    end_if_last(region, __atomic_sub_fetch(&region->refs, 1, __ATOMIC_ACQ_REL));
}

void bpc_region_dropped(struct bp_region *region, struct bp_owner *owner, uint64_t before, uint64_t now)
{
    if (BPC_REGION_CALLS(now) != 0)
        return;
    end_if_last(region, now);
    if (before & ~now & BPC_REGION_PINS)
        bpc_owner_leave(owner);
    else if (now & WAITED)
        bpc_owner_tell_idle();
}

bool bpc_region_hold_dead(struct bp_region *region)
{
    bpc_region_drop(region);
    bpc_memory_read_unlock();
    return false;
}

/* Whoever was counted before `dead` was set is seen here; who comes later sees `dead`. */
static bool busy(struct bpc_claim *claim)
{
    struct bp_region *region = (struct bp_region *)((char *)claim - offsetof(struct bp_region, claim));

    return BPC_REGION_CALLS(__atomic_fetch_or(&region->refs, WAITED, __ATOMIC_SEQ_CST)) != 0;
}

static void unlink_child(struct bp_region *child)
{
    struct bp_region **link = &child->parent->children;

    while (*link != child)
        link = &(*link)->next;
    *link = child->next;
    child->next = NULL;
    child->parent = NULL;
}

static struct bp_region *region_of(struct bpc_claim *claim)
{
    return (struct bp_region *)((char *)claim - offsetof(struct bp_region, claim));
}

/* Its callbacks look at `dead` after they were counted: who sees none under way sees none later. */
static void withdraw(struct bpc_claim *claim)
{
    struct bp_region *region = region_of(claim);

    bp_memory_begin();
    if (region->parent)
        unlink_child(region);
    __atomic_store_n(&region->dead, true, __ATOMIC_SEQ_CST);
    bpc_memory_changed();
    bp_memory_commit();
}

static void release(struct bpc_claim *claim)
{
    struct bp_region *region = region_of(claim);

    bp_memory_begin();
    withdraw(claim);
    while (region->children)
        unlink_child(region->children);
    *region->all_link = region->all_next;
    if (region->all_next)
        region->all_next->all_link = region->all_link;
    bp_memory_commit();
    bpc_region_unref(region);
}

struct bp_region *bpc_region_alloc(struct bp_owner *owner, const char *name, uint64_t size,
                                   enum bpc_region_type type)
{
    struct bp_region *region = g_new0(struct bp_region, 1);

    region->name = g_strdup(name ? name : "");
    region->size = size;
    region->type = type;
    region->enabled = true;
    region->refs = 1;
    region->fd = -1;
    bp_machine_lock(NULL);
    region->all_next = all_regions;
    region->all_link = &all_regions;
    if (all_regions)
        all_regions->all_link = &region->all_next;
    all_regions = region;
    bp_machine_unlock(NULL);
    bpc_claim(owner, &region->claim, release);
    region->claim.withdraw = withdraw;
    region->claim.busy = busy;
    return region;
}

void bpc_region_set_ops(struct bp_region *region, const struct bp_region_ops *ops, void *opaque)
{
    struct bp_region_ops *own = &region->ops;

    if (!ops)
        return;
    if (ops->size < offsetof(struct bp_region_ops, min_access))
        bp_warn("region '%s': its table of callbacks says that it has %zu bytes: .size is sizeof of "
                "it; it answers nothing", region->name, ops->size);
    else
        memcpy(own, ops, MIN(ops->size, sizeof(*own)));
    own->size = sizeof(*own);
    own->min_access = own->min_access ? own->min_access : 1;
    own->max_access = own->max_access ? own->max_access : 4;
    own->max_access = MAX(own->max_access, own->min_access);
    own->valid_min = own->valid_min ? own->valid_min : 1;
    own->valid_max = own->valid_max ? own->valid_max : 8;
    region->has_ops = true;
    region->opaque = opaque;
}

struct bp_region *bp_region_new(struct bp_owner *owner, const char *name, uint64_t size)
{
    bpc_assert_locked();
    return bpc_region_alloc(owner, name, size, BPC_CONTAINER);
}

struct bp_region *bp_region_new_io(struct bp_owner *owner, const char *name, uint64_t size,
                                   const struct bp_region_ops *ops, void *opaque)
{
    bpc_assert_locked();
    struct bp_region *region = bpc_region_alloc(owner, name, size, BPC_IO);

    bpc_region_set_ops(region, ops, opaque);
    return region;
}

struct bp_region *bp_region_new_alias(struct bp_owner *owner, const char *name,
                                      struct bp_region *target, uint64_t offset, uint64_t size)
{
    bpc_assert_locked();
    struct bp_region *region = bpc_region_alloc(owner, name, size, BPC_ALIAS);

    bpc_region_ref(target);
    region->target = target;
    region->target_offset = offset;
    return region;
}

void bp_region_free(struct bp_region *region)
{
    bpc_assert_locked();
    struct bp_owner *owner;
    uint64_t before;

    if (!region)
        return;
    owner = region->claim.owner;
    bpc_unclaim(&region->claim);
    if (!owner) {
        release(&region->claim);
        return;
    }
    withdraw(&region->claim); /* dead: no callback begins from here on */
    bpc_owner_enter(owner);
    before = __atomic_fetch_or(&region->refs, BPC_REGION_PINS, __ATOMIC_SEQ_CST) | BPC_REGION_PINS;
    while (before & BPC_REGION_PINS && BPC_REGION_CALLS(before) == 0) { /* none runs */
        if (__atomic_compare_exchange_n(&region->refs, &before, before & ~BPC_REGION_PINS, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            bpc_owner_leave(owner);
            break;
        }
    }
    release(&region->claim);
}

void bp_region_add(struct bp_region *parent, struct bp_region *child, uint64_t offset, int priority)
{
    bpc_assert_locked();
    struct bp_region **link = &parent->children;

    bp_memory_begin();
    if (child->parent)
        unlink_child(child);
    if (bpc_region_dead(child)) { /* withdrawn: it does not come back */
        bp_memory_commit();
        return;
    }
    bp_trace(bpc_trace_memory_region_map, child->name, parent->name, (unsigned long long)offset,
             (unsigned long long)child->size, priority);
    while (*link && (*link)->priority > priority)
        link = &(*link)->next;
    child->next = *link;
    *link = child;
    child->parent = parent;
    child->offset = offset;
    child->priority = priority;
    bpc_memory_changed();
    bp_memory_commit();
}

void bp_region_remove(struct bp_region *child)
{
    bpc_assert_locked();
    bp_memory_begin();
    if (child->parent) {
        bp_trace(bpc_trace_memory_region_unmap, child->name);
        unlink_child(child);
        bpc_memory_changed();
    }
    bp_memory_commit();
}

#define CHANGE(region, field, value) \
    do { \
        bp_memory_begin(); \
        if ((region)->field != (value)) { \
            (region)->field = (value); \
            bpc_memory_changed(); \
        } \
        bp_memory_commit(); \
    } while (0)

void bp_region_set_enabled(struct bp_region *region, bool enabled)
{
    bpc_assert_locked();
    CHANGE(region, enabled, enabled);
}

void bp_region_set_address(struct bp_region *region, uint64_t offset)
{
    bpc_assert_locked();
    CHANGE(region, offset, offset);
}

void bp_region_set_size(struct bp_region *region, uint64_t size)
{
    bpc_assert_locked();
    /* What was never mapped cannot be shown. */
    if (region->host && size > region->host_size)
        size = region->host_size;
    CHANGE(region, size, size);
}

void bp_region_set_alias_offset(struct bp_region *alias, uint64_t offset)
{
    bpc_assert_locked();
    CHANGE(alias, target_offset, offset);
}

void bp_region_set_readonly(struct bp_region *region, bool readonly)
{
    bpc_assert_locked();
    CHANGE(region, readonly, readonly);
}

void bp_region_rom_device_mode(struct bp_region *rom, bool direct)
{
    bpc_assert_locked();
    if (rom->type == BPC_ROM && rom->has_ops)
        CHANGE(rom, indirect, !direct);
}

uint64_t bp_region_size(const struct bp_region *region)
{
    return region->size;
}

const char *bp_region_name(const struct bp_region *region)
{
    return region->name;
}

bool bp_region_is_readonly(const struct bp_region *region)
{
    return region->readonly || region->unwritable;
}

void *bp_region_ram(const struct bp_region *region)
{
    return region->host;
}
