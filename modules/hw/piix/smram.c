// SPDX-License-Identifier: LGPL-2.1-or-later
/* SMRAM (smram.h). */
#include "smram.h"

#define LOW 0xa0000u
#define LOW_SIZE 0x20000u

/* TSEG for everybody else: cycles that no memory answers. */
static uint64_t closed_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return UINT64_MAX;
}

static void closed_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque, (void)addr, (void)value, (void)size;
}

static const struct bp_region_ops closed_ops = {
    .size = sizeof(closed_ops), .read = closed_read, .write = closed_write, .max_access = 8, .unaligned = 1,
    .parallel = BP_PARALLEL_LEAF};

void smram_init(struct smram *s, struct bp_owner *owner, struct bp_region *system, struct bp_region *ram,
                uint64_t top)
{
    struct bp_region *root = bp_region_new(owner, "smm", UINT64_MAX);

    bp_memory_begin();
    s->system = system;
    s->ram = ram;
    s->top = top;
    bp_region_add(root, bp_region_new_alias(owner, "smm-system", system, 0, UINT64_MAX), 0, 0);
    s->low = bp_region_new_alias(owner, "smm-smram", ram, LOW, LOW_SIZE);
    bp_region_add(root, s->low, LOW, 1);
    bp_region_set_enabled(s->low, false);
    s->tseg = bp_region_new_alias(owner, "smm-tseg", ram, 0, 1);
    bp_region_add(root, s->tseg, 0, 1);
    bp_region_set_enabled(s->tseg, false);
    s->tseg_closed = bp_region_new_io(owner, "tseg-closed", 1, &closed_ops, s);
    bp_region_add(system, s->tseg_closed, 0, 1);
    bp_region_set_enabled(s->tseg_closed, false);
    bp_memory_commit();
    s->space = bp_space_new(owner, "smm", root);
}

void smram_lock(uint8_t *reg, uint8_t *writable)
{
    bool locked = *reg & SMRAM_LOCK;

    if (locked)
        *reg &= (uint8_t)~SMRAM_OPEN;
    *writable = locked ? SMRAM_CLOSED : SMRAM_ENABLE | SMRAM_LOCK | SMRAM_CLOSED | SMRAM_OPEN;
}

void smram_update(struct smram *s, bool enabled, uint64_t tseg_size)
{
    bool tseg = enabled && tseg_size && tseg_size < s->top;

    if (!s->space)
        return;
    bp_memory_begin();
    bp_region_set_enabled(s->low, enabled);
    bp_region_set_enabled(s->tseg, tseg);
    bp_region_set_enabled(s->tseg_closed, tseg);
    if (tseg) {
        bp_region_set_size(s->tseg, tseg_size);
        bp_region_set_alias_offset(s->tseg, s->top - tseg_size);
        bp_region_set_address(s->tseg, s->top - tseg_size);
        bp_region_set_size(s->tseg_closed, tseg_size);
        bp_region_set_address(s->tseg_closed, s->top - tseg_size);
    }
    bp_memory_commit();
}
