/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables that came before ACPI, for kernels that do without it: MultiProcessor Specification
 * 1.4, chapter 4 (processors, buses, I/O APIC, interrupt assignments), and the PCI IRQ routing
 * table ($PIR 1.0).
 */
#include "chipset.h"
#include "low-memory.h"
#include "pc.h"

#include <string.h>

#define LEVEL_HIGH 0x000du
#define BUS_PCI 0u
#define BUS_ISA 1u
#define LAPIC_VERSION 0x14u
#define SLOTS 32u

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };
enum { MP_INT = 0, MP_NMI = 1, MP_EXTINT = 3 };

struct table {
    uint8_t data[LOW_MP_CONFIG_SIZE]; /* 255 processors and 150 interrupts need 6,400 bytes */
    unsigned size, entries;
};

static void put16(uint8_t *p, unsigned v)
{
    memcpy(p, &(uint16_t){(uint16_t)v}, 2);
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static void set_checksum(uint8_t *p, unsigned len, unsigned at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (unsigned i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    p[at] = (uint8_t)-sum;
}

static uint8_t *entry(struct table *t, uint8_t type, unsigned len)
{
    uint8_t *p = t->data + t->size;

    t->size += len;
    t->entries++;
    p[0] = type;
    return p;
}

static void add_processors(const struct pc *pc, struct table *t)
{
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++) {
        struct bp_cpu *cpu = bp_machine_cpu(pc->machine, i);
        const struct bp_x86_cpu *x = cpu ? bp_cpu_state(cpu) : NULL;
        uint8_t *p;

        if (!x || x->apic_id >= PC_WIDE_IDS) /* there is no room for its id */
            continue;
        p = entry(t, MP_PROCESSOR, 20);
        p[1] = (uint8_t)x->apic_id;
        p[2] = LAPIC_VERSION;
        p[3] = (uint8_t)(1 | (x->is_bsp ? 2 : 0));
        put32(p + 4, x->cpuid_count > 1 ? x->cpuid[1].eax : 0);
        put32(p + 8, x->features[BP_X86_FW_1_EDX]);
    }
}

static void add_bus(struct table *t, uint8_t id, const char *name)
{
    uint8_t *p = entry(t, MP_BUS, 8);

    p[1] = id;
    memcpy(p + 2, name, 6);
}

static void add_interrupt(struct table *t, uint8_t entry_type, uint8_t type, unsigned flags, uint8_t bus,
                          uint8_t irq, uint8_t apic, uint8_t pin)
{
    uint8_t *p = entry(t, entry_type, 8);

    p[1] = type;
    put16(p + 2, flags);
    p[4] = bus;
    p[5] = irq;
    p[6] = apic;
    p[7] = pin;
}

static bool is_pci(unsigned irq)
{
    for (unsigned i = 0; i < 4; i++) {
        if (pc_pirq[i] == irq)
            return true;
    }
    return false;
}

static void add_interrupts(const struct pc *pc, struct table *t)
{
    for (unsigned irq = 0; irq < 16; irq++) {
        if (irq != 2 && (pc->chipset->pirqs_at_ioapic || pc->chipset->no_pci || !is_pci(irq))) /* 2 is the cascade */
            add_interrupt(t, MP_INTERRUPT, MP_INT, irq == PC_SCI && !pc->chipset->no_pci ? LEVEL_HIGH : 0,
                          BUS_ISA, (uint8_t)irq, 0, (uint8_t)(irq == 0 ? 2 : irq));
    }
    for (unsigned slot = 1; slot < SLOTS && !pc->chipset->no_pci; slot++) {
        for (unsigned pin = 0; pin < 4; pin++)
            add_interrupt(t, MP_INTERRUPT, MP_INT, LEVEL_HIGH, BUS_PCI, (uint8_t)(slot << 2 | pin), 0,
                          (uint8_t)(pc->chipset->pirqs_at_ioapic ? 16 + pc_pirq_of(pc, slot, pin)
                                                                   : pc_isa_irq_of(pc, slot, pin)));
    }
    add_interrupt(t, MP_LOCAL_INTERRUPT, MP_EXTINT, 0, BUS_ISA, 0, 0, 0); /* the first one's LINT0 */
    add_interrupt(t, MP_LOCAL_INTERRUPT, MP_NMI, 0, BUS_ISA, 0, 0xff, 1);
}

static uint8_t ioapic_version(const struct pc *pc)
{
    struct bp_value *version = NULL;
    uint8_t found = 0;

    if (bp_object_get(bp_device_object(pc->ioapic), "version", &version, NULL) == 0)
        found = (uint8_t)bp_value_as_int(version);
    bp_value_unref(version);
    return found;
}

void mp_table_write(const struct pc *pc)
{
    static struct table zero;
    uint8_t floating[16] = "_MP_";
    struct table t = zero;
    uint8_t *p;

    t.size = 44;
    add_processors(pc, &t);
    if (!pc->chipset->no_pci)
        add_bus(&t, BUS_PCI, "PCI   ");
    add_bus(&t, BUS_ISA, "ISA   ");
    p = entry(&t, MP_IOAPIC, 8);
    p[2] = ioapic_version(pc);
    p[3] = 1;
    put32(p + 4, 0xfec00000u);
    add_interrupts(pc, &t);

    memcpy(t.data, "PCMP", 4);
    put16(t.data + 4, t.size);
    t.data[6] = 4;
    memcpy(t.data + 8, "BKPLNE  Backplane PC", 20);
    put16(t.data + 34, t.entries);
    put32(t.data + 36, 0xfee00000u);
    set_checksum(t.data, t.size, 7);
    bp_space_write(bp_machine_memory(pc->machine), LOW_MP_CONFIG, t.data, t.size);

    put32(floating + 4, LOW_MP_CONFIG);
    floating[8] = 1; /* length in paragraphs */
    floating[9] = 4;
    set_checksum(floating, sizeof(floating), 10);
    bp_space_write(bp_machine_memory(pc->machine), LOW_MP_FLOATING, floating, sizeof(floating));
}

void pir_table_write(const struct pc *pc)
{
    uint8_t t[32 + 16 * (SLOTS - 1)] = "$PIR";
    unsigned allowed = 0;

    _Static_assert(sizeof(t) <= LOW_PIR_SIZE, "it has room");
    for (unsigned i = 0; i < 4; i++)
        allowed |= 1u << pc_pirq[i];
    put16(t + 4, 0x0100);
    put16(t + 6, sizeof(t));
    t[9] = pc->chipset->router_devfn;
    put32(t + 12, pc->chipset->router_id);
    for (unsigned slot = 1; slot < SLOTS; slot++) {
        uint8_t *p = t + 32 + 16 * (slot - 1);

        p[1] = (uint8_t)(slot << 3);
        for (unsigned pin = 0; pin < 4; pin++) {
            p[2 + 3 * pin] = (uint8_t)pc_pirq_register(pc_pirq_of(pc, slot, pin));
            put16(p + 3 + 3 * pin, allowed | 1u << 5);
        }
    }
    set_checksum(t, sizeof(t), 31);
    bp_space_write(bp_machine_memory(pc->machine), LOW_PIR, t, sizeof(t));
}
