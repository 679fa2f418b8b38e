/* SPDX-License-Identifier: MIT */
/*
 * Memory that devices bring: DIMMs, and virtio's memory. The machine keeps a range of addresses for it
 * (-m maxmem=), and numbers of slots (slots=). [main] under the machine lock
 */
#ifndef BP_MEMORY_DEVICE_H
#define BP_MEMORY_DEVICE_H

#include <bp/device.h>
#include <bp/memory.h>

BP_BEGIN_DECLS

struct bp_value;

#define BP_MEMORY_DEVICE_SLOT (1u << 0) /* takes one of -m slots= */

struct bp_memory_device {
    uint32_t size; /* sizeof(struct bp_memory_device) */
    uint32_t flags;
    const char *type; /* in query-memory-devices: "dimm", "nvdimm", "virtio-mem", "virtio-pmem" */
    uint64_t align;   /* of its address, a power of two; 0: what guests need to plug it in (128 MiB, if its size is) */
    uint64_t addr;    /* where it wants to be; 0: anywhere */
    int32_t slot;     /* the slot that it wants; -1: any */
    uint32_t reserved32;
    uint64_t plugged; /* bytes that count as the guest's memory */
    /* Adds members to what query-memory-devices says of it, after id, hotplugged and hotpluggable. */
    void (*describe)(struct bp_device *dev, struct bp_value *info);
    void *reserved[4];
};

/* Finds a place, puts `memory` there and names it; all is taken back when the device goes. From attach().
 * Outputs may be NULL. Errors: -ENOTSUP the machine has no such range; -ENOSPC; -EBUSY the place is taken;
 * -EINVAL. */
int bp_memory_device_claim(struct bp_device *dev, struct bp_region *memory, const struct bp_memory_device *what,
                           uint64_t *ret_addr, int *ret_slot, struct bp_error *err);
/* How much of it the guest has now. */
void bp_memory_device_set_plugged(struct bp_device *dev, uint64_t bytes);

/* For boards. */
struct bp_memory_slot {
    size_t size;
    struct bp_device *dev;
    uint64_t addr, length; /* bytes */
    void *reserved[2];
};
/* Begins the range at `base` (1 GiB aligned) in the machine's memory, as long as -m says. *ret_length 0: no maxmem. */
int bp_machine_offer_memory(struct bp_machine *machine, uint64_t base, uint64_t *ret_length, struct bp_error *err);
unsigned bp_machine_memory_slots(const struct bp_machine *machine); /* -m slots= */
/* What sits in a slot; false: nothing. */
bool bp_machine_memory_slot(struct bp_machine *machine, unsigned slot, struct bp_memory_slot *ret_slot);

BP_END_DECLS

#endif
