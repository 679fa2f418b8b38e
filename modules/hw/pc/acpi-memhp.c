/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of memory by ACPI: registers at 0xa00 (the public description is QEMU's docs/specs/acpi_mem_hotplug),
 * whose driver is ssdt_memhp.asl, and the part of the tables that depends on the number of slots.
 *
 *   +0x00  4 bytes, read: low half of the selected module's address; written: selects a slot
 *   +0x04  read: high half; written: event that the system reports about (_OST)
 *   +0x08  read: low half of its size; written: how it went, which makes event ACPI_DEVICE_OST
 *   +0x0c  read: high half
 *   +0x10  read: its NUMA node
 *   +0x14  1 byte: bit 0 it is there; bit 1 it came, bit 2 it is asked to go (writing 1 forgets); writing 1 to
 *          bit 3 ejects it
 */
#define BP_SHARED
#include "acpi-memhp.h"
#include "acpi-ost.h"
#include "acpi-aml.h"

#include <bp/memory-device.h>
#include <bp/memory.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAME = 2, ASKED = 4, EJECT = 8 };

struct acpi_memhp {
    const struct bp_pc_dimm_interface *dimms;
    const struct bp_pc_pm_interface *pm_if;
    struct bp_device *pm;
    uint32_t selected;
    uint8_t flags[ACPI_MEMHP_MOST];
    uint32_t source[ACPI_MEMHP_MOST], status[ACPI_MEMHP_MOST]; /* of _OST */
};

/* ---- what the system says ---- */

static struct bp_value *ost_of(struct acpi_memhp *s, unsigned slot)
{
    struct bp_memory_slot in = {.size = sizeof(in)};
    bool there = bp_machine_memory_slot(bp_device_machine(bp_device_of_state(s)), slot, &in);

    return acpi_ost_info(there ? bp_device_id(in.dev) : NULL, slot, "DIMM", s->source[slot], s->status[slot]);
}

static void reported(struct acpi_memhp *s, unsigned slot)
{
    struct bp_memory_slot in = {.size = sizeof(in)};

    acpi_ost_send(ost_of(s, slot));
    if (!acpi_ost_refuses(s->source[slot], s->status[slot]) ||
        !bp_machine_memory_slot(bp_device_machine(bp_device_of_state(s)), slot, &in))
        return;
    acpi_ost_memory_stays(bp_device_id(in.dev));
    bp_device_unplug_refused(in.dev);
}

void acpi_memhp_list_ost(struct bp_device *dev, struct bp_value *list)
{
    for (unsigned i = 0; i < bp_machine_memory_slots(bp_device_machine(dev)) && i < ACPI_MEMHP_MOST; i++)
        bp_value_append(list, ost_of(bp_device_state(dev), i));
}

/* ---- registers ---- */

static uint64_t read_register(void *opaque, uint64_t addr, unsigned size)
{
    struct acpi_memhp *s = opaque;
    struct bp_memory_slot in = {.size = sizeof(in)};
    struct bp_pc_dimm_info info = {.size = sizeof(info)};

    (void)size;
    if (s->selected >= ACPI_MEMHP_MOST ||
        !bp_machine_memory_slot(bp_device_machine(bp_device_of_state(s)), s->selected, &in) ||
        !s->dimms->info(in.dev, &info) || info.persistent)
        return 0; /* NVDIMMs are told of by NFIT */
    switch (addr) {
    case 0x00:
        return (uint32_t)in.addr;
    case 0x04:
        return in.addr >> 32;
    case 0x08:
        return (uint32_t)in.length;
    case 0x0c:
        return in.length >> 32;
    case 0x10:
        return info.node;
    case 0x14:
        return 1u | s->flags[s->selected];
    default:
        return 0;
    }
}

static void eject(struct acpi_memhp *s)
{
    struct bp_memory_slot in = {.size = sizeof(in)};
    struct bp_pc_dimm_info info = {.size = sizeof(info)};

    if (!bp_machine_memory_slot(bp_device_machine(bp_device_of_state(s)), s->selected, &in) ||
        !s->dimms->info(in.dev, &info) || info.persistent)
        return;
    s->flags[s->selected] = 0;
    bp_device_unplugged(in.dev);
}

static void write_register(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct acpi_memhp *s = opaque;

    if (addr == 0 && size == 4)
        s->selected = (uint32_t)value;
    if (s->selected >= ACPI_MEMHP_MOST ||
        s->selected >= bp_machine_memory_slots(bp_device_machine(bp_device_of_state(s))))
        return;
    if (addr == 4 && size == 4)
        s->source[s->selected] = (uint32_t)value;
    if (addr == 8 && size == 4) {
        s->status[s->selected] = (uint32_t)value;
        reported(s, s->selected);
    }
    if (addr == 0x14) {
        s->flags[s->selected] &= (uint8_t)~(value & (CAME | ASKED));
        if (value & EJECT)
            eject(s);
    }
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = read_register, .write = write_register, .min_access = 1, .max_access = 4,
    .valid_min = 1};

/* ---- for the board ---- */

void acpi_memhp_connect(struct bp_device *dev, const struct bp_pc_dimm_interface *dimms, struct bp_device *pm,
                        const struct bp_pc_pm_interface *pm_if)
{
    struct acpi_memhp *s = bp_device_state(dev);

    s->dimms = dimms;
    s->pm = pm;
    s->pm_if = pm_if;
}

void acpi_memhp_came(struct bp_device *dev, unsigned slot)
{
    struct acpi_memhp *s = bp_device_state(dev);

    s->flags[slot] = CAME;
    s->source[slot] = s->status[slot] = 0;
    s->pm_if->gpe(s->pm, ACPI_MEMHP_GPE);
}

int acpi_memhp_ask(struct bp_device *dev, unsigned slot, struct bp_error *err)
{
    struct acpi_memhp *s = bp_device_state(dev);

    if (!s->pm_if->gpe_enabled(s->pm, ACPI_MEMHP_GPE))
        return bp_fail(err, EBUSY, "the guest does not listen to ACPI's events now, and memory in use cannot be taken "
                       "from it: try again when its system has started");
    s->flags[slot] |= ASKED;
    s->pm_if->gpe(s->pm, ACPI_MEMHP_GPE);
    return 0;
}

/* ---- AML ---- */

static void name_of(struct aml *a, unsigned n)
{
    static const char hex[] = "0123456789ABCDEF";

    aml_bytes(a, "MP", 2);
    aml_byte(a, (unsigned char)hex[n >> 4 & 15]);
    aml_byte(a, (unsigned char)hex[n & 15]);
}

static void add_module(struct aml *a, unsigned n)
{
    uint32_t at;

    aml_bytes(a, "\x5b\x82", 2); /* Device */
    at = aml_begin(a);
    name_of(a, n);
    aml_bytes(a, "\x08_HID\x0c\x41\xd0\x0c\x80", 10); /* EISA id PNP0C80 */
    aml_bytes(a, "\x08_UID", 5);
    aml_number(a, n);
    aml_forward(a, "_STA", 0, "MSTA", n, NULL, 0);
    aml_forward(a, "_CRS", 0, "MCRS", n, NULL, 0);
    aml_forward(a, "_PXM", 0, "MPXM", n, NULL, 0);
    aml_forward(a, "_OST", 3, "MOST", n, "\x68\x69", 2); /* Arg0, Arg1 */
    aml_forward(a, "_EJ0", 1, "MEJ0", n, NULL, 0);
    aml_end(a, at);
}

/* If (LEqual (Arg0, n)) { Notify (MPnn, Arg1) } */
static void add_notify(struct aml *a, unsigned n)
{
    uint32_t at;

    aml_byte(a, 0xa0);
    at = aml_begin(a);
    aml_bytes(a, "\x93\x68", 2);
    aml_number(a, n);
    aml_byte(a, 0x86);
    name_of(a, n);
    aml_byte(a, 0x69);
    aml_end(a, at);
}

uint8_t *acpi_memhp_aml(unsigned slots, uint32_t *ret_size)
{
    struct aml a = {.data = malloc(64 + 192u * (slots > ACPI_MEMHP_MOST ? ACPI_MEMHP_MOST : slots))};
    uint32_t scope, method;

    if (!a.data)
        return NULL;
    aml_byte(&a, 0x10);
    scope = aml_begin(&a);
    aml_bytes(&a, "\\_SB_", 5);
    aml_bytes(&a, "\x08MDNR", 5);
    aml_number(&a, slots);
    for (unsigned n = 0; n < slots && n < ACPI_MEMHP_MOST; n++)
        add_module(&a, n);
    aml_byte(&a, 0x14);
    method = aml_begin(&a);
    aml_bytes(&a, "MTFY\x02", 5);
    for (unsigned n = 0; n < slots && n < ACPI_MEMHP_MOST; n++)
        add_notify(&a, n);
    aml_end(&a, method);
    aml_end(&a, scope);
    *ret_size = a.size;
    return a.data;
}

/* ---- life ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    (void)err;
    bp_region_add(bp_space_root(bp_device_io(dev)),
                  bp_region_new_io(bp_device_owner(dev), "acpi-mem-hotplug", 0x18, &ops, bp_device_state(dev)),
                  ACPI_MEMHP_PORT, 0);
    return 0;
}

/* What came is found by a system that starts. */
static void reset(struct bp_device *dev)
{
    struct acpi_memhp *s = bp_device_state(dev);

    s->selected = 0;
    memset(s->flags, 0, sizeof(s->flags));
    memset(s->source, 0, sizeof(s->source));
    memset(s->status, 0, sizeof(s->status));
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct acpi_memhp, selected), BP_SAVE_BUFFER(struct acpi_memhp, flags),
    BP_SAVE_ARRAY(UINT32, struct acpi_memhp, source), BP_SAVE_ARRAY(UINT32, struct acpi_memhp, status), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

BP_BOARD_DEVICE(acpi_memhp_class, "acpi-mem-hotplug", "system", "Hot-plug of memory by ACPI", struct acpi_memhp, NULL,
                &table, .category = "misc", .attach = attach, .reset = reset);
