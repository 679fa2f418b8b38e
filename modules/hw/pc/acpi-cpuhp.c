/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of processors by ACPI: registers at 0xaf00 as firmware knows them (OVMF counts processors there; the public
 * description is QEMU's docs/specs/acpi_cpu_hotplug), whose driver is ssdt_cpuhp.asl, and the part of the tables that
 * depends on how many processors there can be. The older interface, a bitmap, is never on. Left out: processors that
 * go, _OST.
 *
 *   +0  4 bytes, written: number of the processor that the others are about; read: upper half of its id (command 3)
 *   +4  1 byte: bit 0 it is there; bit 1 it came, writing 1 to that forgets
 *   +5  1 byte, written: command. 0 selects the first one that came, if one did; 3: its id is asked for
 *   +8  4 bytes, read: the number that is selected, 0 when there can be no such (command 0); its APIC id (command 3)
 */
#define BP_SHARED
#include "acpi-aml.h"
#include "acpi-cpuhp.h"

#include <bp/exact/machine.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256u

struct acpi_cpuhp {
    const struct bp_pc_pm_interface *pm_if;
    struct bp_device *pm;
    uint32_t selected;
    uint8_t command;
    uint8_t came[MOST];
    uint32_t id[MOST]; /* of their APICs */
};

/* ---- registers ---- */
enum { SELECTOR = 0, FLAGS = 4, COMMAND = 5, DATA = 8 };
enum { NEXT_EVENT = 0, GET_ID = 3 };

static bool can_be(struct acpi_cpuhp *s, uint32_t n)
{
    struct bp_machine *m = bp_device_machine(bp_device_of_state(s));

    return n < MOST && n < bp_machine_smp(m)->max_cpus;
}

static uint64_t read_register(void *opaque, uint64_t addr, unsigned size)
{
    struct acpi_cpuhp *s = opaque;
    struct bp_machine *m = bp_device_machine(bp_device_of_state(s));

    (void)size;
    if (!can_be(s, s->selected))
        return 0;
    if (addr == FLAGS)
        return (bp_machine_cpu(m, s->selected) ? 1u : 0) | (s->came[s->selected] ? 2u : 0);
    if (addr == DATA && s->command == NEXT_EVENT)
        return s->selected;
    if (addr == DATA && s->command == GET_ID) /* the upper half, at 0, is zero */
        return s->id[s->selected];
    return 0;
}

static void select_next_event(struct acpi_cpuhp *s)
{
    for (uint32_t i = 0; i < MOST; i++) {
        if (s->came[i]) {
            s->selected = i;
            return;
        }
    }
}

static void write_register(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct acpi_cpuhp *s = opaque;

    if (addr == SELECTOR && size == 4)
        s->selected = (uint32_t)value;
    if (addr == FLAGS && (value & 2) && s->selected < MOST)
        s->came[s->selected] = 0;
    if (addr == COMMAND) {
        s->command = (uint8_t)value;
        if (s->command == NEXT_EVENT)
            select_next_event(s);
    }
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = read_register, .write = write_register, .min_access = 1, .max_access = 4,
    .valid_min = 1};

void acpi_cpuhp_came(struct bp_device *dev, unsigned index)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    if (index >= MOST || !s->pm_if)
        return;
    s->came[index] = 1;
    s->pm_if->gpe(s->pm, ACPI_CPUHP_GPE);
}

void acpi_cpuhp_set_id(struct bp_device *dev, unsigned index, uint32_t id)
{
    if (index < MOST)
        ((struct acpi_cpuhp *)bp_device_state(dev))->id[index] = id;
}

void acpi_cpuhp_connect(struct bp_device *dev, struct bp_device *pm, const struct bp_pc_pm_interface *pm_if)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    s->pm = pm;
    s->pm_if = pm_if;
}

/* ---- AML ---- */
static void name_of(struct aml *a, unsigned n)
{
    static const char hex[] = "0123456789ABCDEF";

    aml_byte(a, 'C');
    aml_byte(a, '0');
    aml_byte(a, (unsigned char)hex[n >> 4 & 15]);
    aml_byte(a, (unsigned char)hex[n & 15]);
}

static void add_processor(struct aml *a, unsigned n, uint32_t id)
{
    uint8_t entry[5];
    uint32_t at;

    aml_bytes(a, "\x5b\x82", 2); /* Device */
    at = aml_begin(a);
    name_of(a, n);
    aml_bytes(a, "\x08_HID\x0d" "ACPI0007", 15); /* with the string's end */
    aml_bytes(a, "\x08_UID", 5);
    aml_number(a, n);
    aml_forward(a, "_STA", 0, "CSTA", n, NULL, 0);
    entry[0] = 0x0c;
    memcpy(entry + 1, &id, 4);
    aml_forward(a, "_MAT", 0, "CMAT", n, entry, sizeof(entry));
    aml_end(a, at);
}

/* If (LEqual (Arg0, n)) { Notify (C0nn, Arg1) } */
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

uint8_t *acpi_cpuhp_aml(const uint32_t *ids, unsigned count, uint32_t *ret_size)
{
    struct aml a = {.data = malloc(64 + 128u * (count > MOST ? MOST : count))};
    uint32_t scope, method;

    if (!a.data)
        return NULL;
    aml_byte(&a, 0x10);
    scope = aml_begin(&a);
    aml_bytes(&a, "\\_SB_", 5);
    for (unsigned n = 0; n < count && n < MOST; n++)
        add_processor(&a, n, ids[n]);
    aml_byte(&a, 0x14);
    method = aml_begin(&a);
    aml_bytes(&a, "CTFY\x02", 5);
    for (unsigned n = 0; n < count && n < MOST; n++)
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
                  bp_region_new_io(bp_device_owner(dev), "acpi-cpu-hotplug", 0x0c, &ops, bp_device_state(dev)),
                  ACPI_CPUHP_PORT, 0);
    return 0;
}

static void reset(struct bp_device *dev)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    s->selected = s->command = 0;
    memset(s->came, 0, sizeof(s->came));
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct acpi_cpuhp, selected), BP_SAVE(UINT8, struct acpi_cpuhp, command),
    BP_SAVE_BUFFER(struct acpi_cpuhp, came), BP_SAVE_END};
static const struct bp_state_table table = {.version = 2, .oldest = 2, .fields = fields};

BP_BOARD_DEVICE(acpi_cpuhp_class, "acpi-cpu-hotplug", "system", "Hot-plug of processors by ACPI",
                struct acpi_cpuhp, NULL, &table, .category = "cpu", .attach = attach, .reset = reset);
