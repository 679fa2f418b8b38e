/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hot-plug of processors by ACPI: three registers of 32 bits at 0xaf00, whose driver is ssdt_cpuhp.asl, and the
 * part of the tables that depends on how many processors there can be. Left out: processors that go.
 *
 *   +0  number of the processor that the next register is about
 *   +4  bit 0 it is there; bit 1 it came, writing 1 to that forgets
 *   +8  the first one that came; all ones: none
 */
#define BP_SHARED
#include "acpi-cpuhp.h"

#include <bp/exact/machine.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256u

struct acpi_cpuhp {
    const struct bp_pc_pm_interface *pm_if;
    struct bp_device *pm;
    uint32_t selected;
    uint8_t came[MOST];
};

/* ---- registers ---- */
static uint32_t first_that_came(const struct acpi_cpuhp *s)
{
    for (unsigned i = 0; i < MOST; i++) {
        if (s->came[i])
            return i;
    }
    return UINT32_MAX;
}

static uint64_t read_register(void *opaque, uint64_t addr, unsigned size)
{
    struct acpi_cpuhp *s = opaque;
    struct bp_machine *m = bp_device_machine(bp_device_of_state(s));

    (void)size;
    if (addr == 0)
        return s->selected;
    if (addr == 8)
        return first_that_came(s);
    if (s->selected >= MOST || s->selected >= bp_machine_smp(m)->max_cpus)
        return 0;
    return (bp_machine_cpu(m, s->selected) ? 1u : 0) | (s->came[s->selected] ? 2u : 0);
}

static void write_register(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct acpi_cpuhp *s = opaque;

    (void)size;
    if (addr == 0)
        s->selected = (uint32_t)value;
    else if (addr == 4 && (value & 2) && s->selected < MOST)
        s->came[s->selected] = 0;
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = read_register, .write = write_register, .min_access = 4, .max_access = 4,
    .valid_min = 4};

void acpi_cpuhp_came(struct bp_device *dev, unsigned index)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    if (index >= MOST || !s->pm_if)
        return;
    s->came[index] = 1;
    s->pm_if->gpe(s->pm, ACPI_CPUHP_GPE);
}

void acpi_cpuhp_connect(struct bp_device *dev, struct bp_device *pm, const struct bp_pc_pm_interface *pm_if)
{
    struct acpi_cpuhp *s = bp_device_state(dev);

    s->pm = pm;
    s->pm_if = pm_if;
}

/* ---- AML (ACPI 6.4, chapter 20) ---- */
struct aml {
    uint8_t *data;
    uint32_t size;
};

static void bytes(struct aml *a, const void *p, uint32_t n)
{
    memcpy(a->data + a->size, p, n);
    a->size += n;
}

static void byte(struct aml *a, unsigned b)
{
    a->data[a->size++] = (uint8_t)b;
}

static void number(struct aml *a, uint32_t n)
{
    byte(a, 0x0c);
    bytes(a, &n, 4);
}

/* A length of three bytes, filled in by end(). */
static uint32_t begin(struct aml *a)
{
    uint32_t at = a->size;

    a->size += 3;
    return at;
}

static void end(struct aml *a, uint32_t at)
{
    uint32_t length = a->size - at;

    a->data[at] = (uint8_t)(0x80 | (length & 15));
    a->data[at + 1] = (uint8_t)(length >> 4);
    a->data[at + 2] = (uint8_t)(length >> 12);
}

static void name_of(struct aml *a, unsigned n)
{
    static const char hex[] = "0123456789ABCDEF";

    byte(a, 'C');
    byte(a, '0');
    byte(a, (unsigned char)hex[n >> 4 & 15]);
    byte(a, (unsigned char)hex[n & 15]);
}

/* Method NAME without arguments that returns FUNCTION (n). */
static void forward(struct aml *a, const char *name, const char *function, unsigned n)
{
    uint32_t at;

    byte(a, 0x14);
    at = begin(a);
    bytes(a, name, 4);
    byte(a, 0);
    byte(a, 0xa4);
    bytes(a, function, 4);
    number(a, n);
    end(a, at);
}

static void add_processor(struct aml *a, unsigned n)
{
    uint32_t at;

    bytes(a, "\x5b\x82", 2); /* Device */
    at = begin(a);
    name_of(a, n);
    bytes(a, "\x08_HID\x0d" "ACPI0007", 15); /* with the string's end */
    bytes(a, "\x08_UID", 5);
    number(a, n);
    forward(a, "_STA", "CSTA", n);
    forward(a, "_MAT", "CMAT", n);
    end(a, at);
}

/* If (LEqual (Arg0, n)) { Notify (C0nn, Arg1) } */
static void add_notify(struct aml *a, unsigned n)
{
    uint32_t at;

    byte(a, 0xa0);
    at = begin(a);
    bytes(a, "\x93\x68", 2);
    number(a, n);
    byte(a, 0x86);
    name_of(a, n);
    byte(a, 0x69);
    end(a, at);
}

uint8_t *acpi_cpuhp_aml(unsigned count, uint32_t *ret_size)
{
    struct aml a = {.data = malloc(64 + 128u * (count > MOST ? MOST : count))};
    uint32_t scope, method;

    if (!a.data)
        return NULL;
    byte(&a, 0x10);
    scope = begin(&a);
    bytes(&a, "\\_SB_", 5);
    for (unsigned n = 0; n < count && n < MOST; n++)
        add_processor(&a, n);
    byte(&a, 0x14);
    method = begin(&a);
    bytes(&a, "CTFY\x02", 5);
    for (unsigned n = 0; n < count && n < MOST; n++)
        add_notify(&a, n);
    end(&a, method);
    end(&a, scope);
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

    s->selected = 0;
    memset(s->came, 0, sizeof(s->came));
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct acpi_cpuhp, selected), BP_SAVE_BUFFER(struct acpi_cpuhp, came), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

BP_BOARD_DEVICE(acpi_cpuhp_class, "acpi-cpu-hotplug", "system", "Hot-plug of processors by ACPI",
                struct acpi_cpuhp, NULL, &table, .category = "cpu", .attach = attach, .reset = reset);
