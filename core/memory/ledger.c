/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who keeps RAM in its place for long, and who gives it back to the host meanwhile (bp/dma.h). */
#include <bp/dma.h>
#include <bp/loop.h>

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"

struct bp_ram_claim {
    struct bpc_claim claim;
    struct bp_region *region; /* a reference */
    enum bp_ram_use use;
    char *who;
    struct bp_ram_claim *next;
};

static const struct bp_ram_claim *find(const struct bp_region *ram, enum bp_ram_use use)
{
    const struct bp_ram_claim *claim = ram->claims;

    while (claim && claim->use != use)
        claim = claim->next;
    return claim;
}

static void release(struct bpc_claim *base)
{
    struct bp_ram_claim *claim = (struct bp_ram_claim *)((char *)base -
                                                         offsetof(struct bp_ram_claim, claim));
    struct bp_ram_claim **link;

    bp_machine_lock(NULL);
    for (link = &claim->region->claims; *link != claim;)
        link = &(*link)->next;
    *link = claim->next;
    bp_machine_unlock(NULL);
    if (claim->use == BP_RAM_PINNED)
        bpc_region_unpin(claim->region);
    else
        bpc_region_unref(claim->region);
    g_free(claim->who);
    g_free(claim);
}

int bp_ram_claim(struct bp_owner *owner, struct bp_region *ram, enum bp_ram_use use, const char *who,
                 struct bp_ram_claim **ret_claim, struct bp_error *err)
{
    bpc_assert_main();
    const struct bp_ram_claim *other;
    struct bp_ram_claim *claim;

    if (ram->type != BPC_RAM)
        return bp_fail(err, EINVAL, "%s: '%s' is not RAM", who, ram->name);
    bp_machine_lock(NULL);
    other = find(ram, use == BP_RAM_PINNED ? BP_RAM_DISCARDED : BP_RAM_PINNED);
    if (other) {
        bp_machine_unlock(NULL);
        return bp_fail(err, EBUSY,
                       use == BP_RAM_PINNED
                           ? "%s needs memory '%s' to stay in place, but %s gives pages of it back"
                           : "%s would give pages of memory '%s' back, but %s needs it to stay in place",
                       who, ram->name, other->who);
    }
    claim = g_new0(struct bp_ram_claim, 1);
    claim->region = ram;
    claim->use = use;
    claim->who = g_strdup(who);
    claim->next = ram->claims;
    ram->claims = claim;
    bp_machine_unlock(NULL);
    if (use == BP_RAM_PINNED)
        bpc_region_pin(ram);
    else
        bpc_region_ref(ram);
    bpc_claim(owner, &claim->claim, release);
    *ret_claim = claim;
    return 0;
}

void bp_ram_claim_free(struct bp_ram_claim *claim)
{
    bpc_assert_main();
    if (!claim)
        return;
    bpc_unclaim(&claim->claim);
    release(&claim->claim);
}

unsigned bp_ram_pins(const struct bp_region *ram)
{
    return __atomic_load_n(&ram->pins, __ATOMIC_ACQUIRE);
}

int bp_ram_discard(struct bp_region *ram, uint64_t offset, uint64_t length)
{
    bpc_assert_main();
    int ret = 0;

    if (ram->type != BPC_RAM || length == 0 || (offset | length) % ram->host_page ||
        offset > ram->host_size || length > ram->host_size - offset)
        return -EINVAL;
    if (ram->backing == BPC_BACKING_PRIVATE_FILE)
        return -ENOTSUP; /* its file would show again, not zeroes */
    bp_machine_lock(NULL);
    if (find(ram, BP_RAM_PINNED))
        ret = -EBUSY;
    else if (madvise(ram->host + offset, length,
                     ram->backing == BPC_BACKING_SHARED ? MADV_REMOVE : MADV_DONTNEED) < 0)
        ret = errno == EOPNOTSUPP || errno == ENOSYS ? -ENOTSUP : -errno;
    else
        bp_region_mark_dirty(ram, offset, length);
    bp_machine_unlock(NULL);
    return ret;
}
