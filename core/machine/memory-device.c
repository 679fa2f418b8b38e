/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where memory that devices bring lies (bp/memory-device.h), and what query-memory-devices says of it. [main] */
#include <errno.h>
#include <inttypes.h>

#include <glib.h>

#include <bp/memory-device.h>

#include "marks.h"
#include "memory-device.h"
#include "parts.h"

#define GIB (UINT64_C(1) << 30)
#define BLOCK (UINT64_C(128) << 20) /* what Linux on x86 puts on- and offline */
#define PAGE UINT64_C(4096)

struct memory_claim {
    struct bpc_claim claim; /* the device's */
    struct bp_device *dev;
    struct bp_memory_device what;
    struct bp_region *region; /* its place, an alias; the device's */
    uint64_t addr, length;
    int slot; /* -1: none */
    struct memory_claim *next; /* by address */
};

static struct {
    uint64_t base, length;
    struct bp_region *range;
    struct memory_claim *claims;
} area;

int bpc_memory_check(const struct bp_machine *m, uint64_t ram_size, struct bp_error *err)
{
    const struct bpc_config *c = &bpc_config;
    unsigned most = m->board->most_memory_slots;
    uint64_t max = c->ram_max;

    if (max % PAGE)
        return bp_fail(err, EINVAL, "-m: maximum memory size (maxmem) must be aligned to multiple of %" PRIu64
                       " bytes", PAGE);
    if (max && max < ram_size)
        return bp_fail(err, EINVAL, "-m: invalid value of maxmem: maximum memory size (0x%" PRIx64 ") must be at "
                       "least the initial memory size (0x%" PRIx64 ")", max, ram_size);
    if (c->ram_slots && !max)
        return bp_fail(err, EINVAL, "-m: slots specified but no maxmem: the two go together");
    if (c->ram_slots && max == ram_size)
        return bp_fail(err, EINVAL, "-m: invalid value of maxmem: memory slots were specified but maximum memory size "
                       "(0x%" PRIx64 ") is equal to the initial memory size", max);
    if (max > ram_size && !most)
        return bp_fail(err, ENOTSUP, "-m: machine '%s' offers no memory hot-plug: slots and a maxmem above the size "
                       "are not accepted", m->board->type.name);
    if (c->ram_slots > most)
        return bp_fail(err, ERANGE, "-m: machine '%s' has at most %u slots, not %u", m->board->type.name, most,
                       c->ram_slots);
    return 0;
}

int bp_machine_offer_memory(struct bp_machine *machine, uint64_t base, uint64_t *ret_length, struct bp_error *err)
{
    bpc_assert_main();
    area.base = area.length = 0;
    area.range = NULL;
    *ret_length = 0;
    if (bpc_config.ram_max <= machine->ram_size)
        return 0;
    /* Each slot may have a gap before it. */
    area.length = bpc_config.ram_max - machine->ram_size + bpc_config.ram_slots * GIB;
    area.length = (area.length + GIB - 1) & ~(GIB - 1);
    if (base + area.length > UINT64_C(1) << 46)
        return bp_fail(err, ERANGE, "-m: maxmem of %" PRIu64 " bytes is beyond the %u bits of a physical address",
                       bpc_config.ram_max, 46);
    area.base = base;
    area.range = bp_region_new(&machine->obj.owner, "device-memory", area.length);
    bp_region_add(bp_space_root(machine->memory), area.range, base, 0);
    *ret_length = area.length;
    return 0;
}

unsigned bp_machine_memory_slots(const struct bp_machine *machine)
{
    (void)machine;
    return bpc_config.ram_slots;
}

static struct memory_claim *find(const struct bp_device *dev)
{
    struct memory_claim *c = area.claims;

    while (c && c->dev != dev)
        c = c->next;
    return c;
}

bool bp_machine_memory_slot(struct bp_machine *machine, unsigned slot, struct bp_memory_slot *ret_slot)
{
    (void)machine;
    for (const struct memory_claim *c = area.claims; c; c = c->next) {
        if (c->slot != (int)slot)
            continue;
        ret_slot->dev = c->dev;
        ret_slot->addr = c->addr;
        ret_slot->length = c->length;
        return true;
    }
    return false;
}

/* ---- places ---- */

static void release(struct bpc_claim *claim)
{
    struct memory_claim *c = (struct memory_claim *)claim; /* its first member */
    struct memory_claim **link = &area.claims;

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    g_free(c);
}

static int choose_slot(int wanted, int *ret_slot, struct bp_error *err)
{
    struct bp_memory_slot in = {.size = sizeof(in)};
    unsigned n = 0;

    if (wanted >= 0 && (unsigned)wanted >= bpc_config.ram_slots)
        return bp_fail(err, ERANGE, "invalid slot number %d, valid range is [0-%u]", wanted, bpc_config.ram_slots - 1);
    if (wanted >= 0 && bp_machine_memory_slot(NULL, (unsigned)wanted, &in))
        return bp_fail(err, EBUSY, "slot %d is busy", wanted);
    while (wanted < 0 && n < bpc_config.ram_slots && bp_machine_memory_slot(NULL, n, &in))
        n++;
    if (wanted < 0 && n == bpc_config.ram_slots)
        return bp_fail(err, ENOSPC, "no free slots available: -m has slots=%u", bpc_config.ram_slots);
    *ret_slot = wanted < 0 ? (int)n : wanted;
    return 0;
}

static int choose_address(uint64_t wanted, uint64_t length, uint64_t align, uint64_t *ret_addr, struct bp_error *err)
{
    uint64_t at = (area.base + align - 1) & ~(align - 1);

    if (wanted % align)
        return bp_fail(err, EINVAL, "address 0x%" PRIx64 " must be aligned to 0x%" PRIx64, wanted, align);
    if (wanted && (wanted < area.base || wanted - area.base > area.length ||
                   length > area.length - (wanted - area.base)))
        return bp_fail(err, ERANGE, "[0x%" PRIx64 ":0x%" PRIx64 "] is outside of the range of memory devices, 0x%"
                       PRIx64 " to 0x%" PRIx64, wanted, wanted + length, area.base, area.base + area.length);
    for (const struct memory_claim *c = area.claims; c; c = c->next) {
        if (wanted && wanted < c->addr + c->length && c->addr < wanted + length)
            return bp_fail(err, EBUSY, "address range conflicts with memory device id='%s'", bp_device_id(c->dev)
                           ? bp_device_id(c->dev) : "(none)");
        if (!wanted && at + length <= c->addr)
            break;
        at = (c->addr + c->length + align - 1) & ~(align - 1);
    }
    if (!wanted && (at < area.base || at - area.base > area.length || length > area.length - (at - area.base)))
        return bp_fail(err, ENOSPC, "could not find position in guest address space for memory device: it is "
                       "fragmented "
                       "or full");
    *ret_addr = wanted ? wanted : at;
    return 0;
}

static int check_room(uint64_t length, struct bp_error *err)
{
    uint64_t most = bpc_config.ram_max - bpc_the_machine->ram_size, used = 0;

    for (const struct memory_claim *c = area.claims; c; c = c->next)
        used += c->length;
    if (length > most || used > most - length)
        return bp_fail(err, ENOSPC, "not enough space, currently 0x%" PRIx64 " in use of total space for memory "
                       "devices "
                       "0x%" PRIx64 " (-m maxmem= less the size)", used, most);
    return 0;
}

static uint64_t alignment(const struct bp_memory_device *what, uint64_t length)
{
    if (what->align)
        return what->align;
    return length % BLOCK == 0 ? BLOCK : length % (UINT64_C(2) << 20) == 0 ? UINT64_C(2) << 20 : PAGE;
}

int bp_memory_device_claim(struct bp_device *dev, struct bp_region *memory, const struct bp_memory_device *what,
                           uint64_t *ret_addr, int *ret_slot, struct bp_error *err)
{
    bpc_assert_main();
    uint64_t length = bp_region_size(memory), addr = 0;
    struct memory_claim *c, **link = &area.claims;
    int slot = -1, ret;

    if (!area.range)
        return bp_fail(err, ENOTSUP, "memory devices (e.g. for memory hotplug) are not enabled, please specify the "
                       "maxmem "
                       "option (-m SIZE,slots=N,maxmem=SIZE)");
    if (length == 0 || length % PAGE)
        return bp_fail(err, EINVAL, "the size of a memory device is whole pages of 4096 bytes, not %" PRIu64, length);
    if (what->flags & BP_MEMORY_DEVICE_SLOT && !bpc_config.ram_slots)
        return bp_fail(err, ENOTSUP, "no slots were allocated, please specify the 'slots' option of -m");
    ret = check_room(length, err);
    if (ret == 0 && what->flags & BP_MEMORY_DEVICE_SLOT)
        ret = choose_slot(what->slot, &slot, err);
    if (ret == 0)
        ret = choose_address(what->addr, length, alignment(what, length), &addr, err);
    if (ret < 0)
        return ret;
    c = g_new0(struct memory_claim, 1);
    *c = (struct memory_claim){.dev = dev, .what = *what, .addr = addr, .length = length, .slot = slot};
    while (*link && (*link)->addr < addr)
        link = &(*link)->next;
    c->next = *link;
    *link = c;
    bpc_claim(bp_device_owner(dev), &c->claim, release);
    c->region = bp_region_new_alias(bp_device_owner(dev), "memory-device", memory, 0, length);
    bp_region_add(area.range, c->region, addr - area.base, 0);
    if (ret_addr)
        *ret_addr = addr;
    if (ret_slot)
        *ret_slot = slot;
    return 0;
}

void bp_memory_device_set_plugged(struct bp_device *dev, uint64_t bytes)
{
    struct memory_claim *c = find(dev);

    if (c)
        c->what.plugged = bytes;
}

/* ---- what there is ---- */

void bpc_memory_devices_each(void (*fn)(struct bp_value *entry, void *opaque), void *opaque)
{
    for (const struct memory_claim *c = area.claims; c; c = c->next) {
        struct bp_value *entry = bp_value_dict(), *info = bp_value_dict();

        if (bp_device_id(c->dev))
            bp_value_set(info, "id", bp_value_string(bp_device_id(c->dev)));
        if (c->slot >= 0) {
            bp_value_set(info, "addr", bp_value_uint(c->addr));
            bp_value_set(info, "slot", bp_value_int(c->slot));
            bp_value_set(info, "hotplugged", bp_value_bool(bp_device_hotplugged(c->dev)));
            bp_value_set(info, "hotpluggable",
                         bp_value_bool((bp_device_class(c->dev)->type.flags & BP_TYPE_HOTPLUGGABLE) != 0));
        } else {
            bp_value_set(info, "memaddr", bp_value_uint(c->addr));
        }
        bp_value_set(info, "size", bp_value_uint(c->what.plugged));
        if (c->what.describe)
            c->what.describe(c->dev, info);
        bp_value_set(entry, "type", bp_value_string(c->what.type));
        bp_value_set(entry, "data", info);
        fn(entry, opaque);
    }
}

static void add_plugged(struct bp_value *entry, void *opaque)
{
    const struct bp_value *data = bp_value_get(entry, "data");
    struct bpc_plugged *p = opaque;

    if (p->node < 0 || (bp_value_has(data, "node") && bp_value_as_int(bp_value_get(data, "node")) == p->node))
        p->bytes += bp_value_as_uint(bp_value_get(data, "size"));
    bp_value_unref(entry);
}

uint64_t bpc_memory_plugged(int node)
{
    struct bpc_plugged plugged = {node, 0};

    bpc_memory_devices_each(add_plugged, &plugged);
    return plugged.bytes;
}
