/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of processors by ACPI: registers at 0xaf00 as firmware knows them (OVMF counts processors there; the public
 * description is QEMU's docs/specs/acpi_cpu_hotplug), whose driver is ssdt_cpuhp.asl, and the part of the tables that
 * depends on how many processors there can be. The older interface, a bitmap, is never on.
 *
 *   +0  4 bytes, written: number of the processor that the others are about; read: upper half of its id (command 3)
 *   +4  1 byte: bit 0 it is there; bit 1 it came, bit 2 it is to go: writing 1 to one of these forgets it; writing
 *       bit 3 lets go of it (not of the first one)
 *   +5  1 byte, written: command. 0 selects the first one that came or is to go, if there is one; 1 and 2: what is
 *       written to +8 is the event, or the status, of _OST; 3: its id is asked for
 *   +8  4 bytes, read: the number that is selected, 0 when there can be no such (command 0); its APIC id (command 3)
 */
#define BP_SHARED
#include "acpi-aml.h"
#include "acpi-cpuhp.h"
#include "acpi-ost.h"

#include <bp/exact/machine.h>
#include <stdlib.h>
#include <string.h>

#define MOST ACPI_CPUHP_MOST
#define X2APIC 255u /* from this id on */
#define ONCE 256u /* so many there were before */

struct acpi_cpuhp {
    const struct bp_pc_pm_interface *pm_if;
    struct bp_device *pm;
    uint32_t selected;
    uint8_t command;
    uint8_t came[MOST], asked[MOST]; /* and it is not told yet */
    uint8_t going[MOST];             /* let go; it leaves on the main loop */
    uint32_t source[MOST], status[MOST]; /* of _OST */
    uint32_t id[MOST]; /* of their APICs */
};

/* ---- registers ---- */
enum { SELECTOR = 0, FLAGS = 4, COMMAND = 5, DATA = 8 };
enum { NEXT_EVENT = 0, OST_EVENT = 1, OST_STATUS = 2, GET_ID = 3 };
enum { THERE = 1, CAME = 2, ASKED = 4, EJECT = 8 };

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
        return (bp_machine_cpu(m, s->selected) && !s->going[s->selected] ? THERE : 0u) |
               (s->came[s->selected] ? CAME : 0u) | (s->asked[s->selected] ? ASKED : 0u);
    if (addr == DATA && s->command == NEXT_EVENT)
        return s->selected;
    if (addr == DATA && s->command == GET_ID) /* the upper half, at 0, is zero */
        return s->id[s->selected];
    return 0;
}

static void select_next_event(struct acpi_cpuhp *s)
{
    for (uint32_t i = 0; i < MOST; i++) {
        if (s->came[i] || s->asked[i]) {
            s->selected = i;
            return;
        }
    }
}

static struct bp_value *ost_of(struct acpi_cpuhp *s, unsigned n)
{
    static const char users[] = "/machine/peripheral/";
    struct bp_cpu *cpu = bp_machine_cpu(bp_device_machine(bp_device_of_state(s)), n);
    const char *path = cpu ? bp_object_path(bp_cpu_object(cpu)) : "";

    return acpi_ost_info(strncmp(path, users, sizeof(users) - 1) == 0 ? path + sizeof(users) - 1 : NULL, n, "CPU",
                         s->source[n], s->status[n]);
}

static void reported(struct acpi_cpuhp *s, unsigned n)
{
    struct bp_cpu *cpu = bp_machine_cpu(bp_device_machine(bp_device_of_state(s)), n);

    acpi_ost_send(ost_of(s, n));
    if (cpu && acpi_ost_refuses(s->source[n], s->status[n]))
        bp_cpu_unplug_refused(cpu);
}

static void write_flags(struct acpi_cpuhp *s, unsigned n, uint64_t value)
{
    struct bp_cpu *cpu = bp_machine_cpu(bp_device_machine(bp_device_of_state(s)), n);

    if (value & CAME)
        s->came[n] = 0;
    if (value & ASKED)
        s->asked[n] = 0;
    if (value & EJECT && cpu && bp_cpu_unplugged(cpu))
        s->going[n] = 1;
}

static void write_data(struct acpi_cpuhp *s, unsigned n, uint32_t value)
{
    if (s->command == OST_EVENT)
        s->source[n] = value;
    if (s->command != OST_STATUS)
        return;
    s->status[n] = value;
    reported(s, n);
}

static void write_register(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct acpi_cpuhp *s = opaque;

    if (addr == SELECTOR && size == 4)
        s->selected = (uint32_t)value;
    if (addr == FLAGS && can_be(s, s->selected))
        write_flags(s, s->selected, value);
    if (addr == DATA && size == 4 && can_be(s, s->selected))
        write_data(s, s->selected, (uint32_t)value);
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

void acpi_cpuhp_ask(struct bp_device *dev, unsigned index)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    if (index >= MOST || !s->pm_if)
        return;
    s->asked[index] = 1;
    s->pm_if->gpe(s->pm, ACPI_CPUHP_GPE);
}

void acpi_cpuhp_went(struct bp_device *dev, unsigned index)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    if (index < MOST)
        s->came[index] = s->asked[index] = s->going[index] = 0;
}

void acpi_cpuhp_list_ost(struct bp_device *dev, struct bp_value *list)
{
    for (unsigned n = 0; can_be(bp_device_state(dev), n); n++)
        bp_value_append(list, ost_of(bp_device_state(dev), n));
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
    aml_byte(a, (unsigned char)hex[n >> 8 & 15]);
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
    aml_forward(a, "_MAT", 0, id < X2APIC ? "CMAT" : "CXMT", n, entry, sizeof(entry));
    aml_forward(a, "_OST", 3, "COST", n, "\x68\x69", 2); /* Arg0, Arg1 */
    if (n > 0)
        aml_forward(a, "_EJ0", 1, "CEJ0", n, NULL, 0);
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
    struct aml a = {.data = malloc(64 + 192u * (count > MOST ? MOST : count))};
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
    memset(s->asked, 0, sizeof(s->asked));
    memset(s->source, 0, sizeof(s->source));
    memset(s->status, 0, sizeof(s->status));
}

#define PART(KIND, FIELD, NAME, FIRST, COUNT, SINCE) \
    {.name = NAME, .kind = BP_STATE_##KIND, .offset = offsetof(struct acpi_cpuhp, FIELD[FIRST]), .count = COUNT, \
     .stride = sizeof(((struct acpi_cpuhp *)0)->FIELD[0]), .since = SINCE}
#define FIRST_PART(KIND, FIELD) PART(KIND, FIELD, #FIELD, 0, ONCE, 0)
#define REST(KIND, FIELD) PART(KIND, FIELD, #FIELD "-beyond-255", ONCE, MOST - ONCE, 4)
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct acpi_cpuhp, selected), BP_SAVE(UINT8, struct acpi_cpuhp, command),
    FIRST_PART(BUFFER, came), FIRST_PART(BUFFER, asked), FIRST_PART(UINT32, source), FIRST_PART(UINT32, status),
    REST(BUFFER, came), REST(BUFFER, asked), REST(UINT32, source), REST(UINT32, status), BP_SAVE_END};
static const struct bp_state_table table = {.version = 4, .oldest = 3, .fields = fields};

BP_BOARD_DEVICE(acpi_cpuhp_class, "acpi-cpu-hotplug", "system", "Hot-plug of processors by ACPI",
                struct acpi_cpuhp, NULL, &table, .category = "cpu", .attach = attach, .reset = reset);
