/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VT-d's interrupt remapping (Intel Virtualization Technology for Directed I/O 3.0, chapters 5 and 9.10): messages of
 * functions and of the I/O APIC name entries of a table in memory, which say where they go and who may send them.
 * Nothing is cached. Under it only leaves are locked, so that who sends may hold a lock. Leaves out: posted
 * interrupts. [any]
 */
#include "vtd.h"

#include <bp/exact/x86.h>
#include <endian.h>

#define apic (*vtd_apic)
#define IOAPIC_FORMAT (UINT64_C(1) << 48) /* of an I/O APIC's entry */
enum { MSI_SUBHANDLE = 8, MSI_FORMAT = 16 };
enum { PRESENT = 1, FAULTS_OFF = 2, LOGICAL = 4, LEVEL = 16, POSTED = 0x8000 };
#define RESERVED_LOW UINT64_C(0xff000000)
#define RESERVED_HIGH (~UINT64_C(0xfffff))

static bool from_whom(uint64_t high, uint32_t requester)
{
    static const uint16_t compared[] = {0xffff, 0xfffb, 0xfff9, 0xfff8};
    unsigned bus = requester >> 8 & 0xff;

    switch (high >> 18 & 3) {
    case 0:
        return true;
    case 1:
        return ((high ^ requester) & compared[high >> 16 & 3]) == 0;
    case 2:
        return bus >= (high >> 8 & 0xff) && bus <= (high & 0xff);
    default:
        return false;
    }
}

/* 0, or why it is blocked. */
static enum vtd_fault find(const struct vtd *s, uint64_t table, uint32_t index, uint32_t requester, uint64_t entry[2])
{
    if (index >= UINT32_C(2) << (table & 15))
        return VTD_IR_BEYOND;
    if (bp_space_peek(s->memory, (table & ~UINT64_C(4095)) + index * UINT64_C(16), entry, 16) < 0)
        return VTD_IR_TABLE;
    entry[0] = le64toh(entry[0]);
    entry[1] = le64toh(entry[1]);
    if (!(entry[0] & PRESENT))
        return VTD_IR_MISSING;
    if (entry[0] & (RESERVED_LOW | POSTED) || entry[1] & RESERVED_HIGH)
        return VTD_IR_RESERVED;
    return from_whom(entry[1], requester) ? 0 : VTD_IR_SENDER;
}

static bool remap(struct vtd *s, uint32_t index, uint32_t requester, struct bp_apic_message *m)
{
    uint64_t table = __atomic_load_n(&s->interrupts, __ATOMIC_ACQUIRE), entry[2] = {0, 0};
    enum vtd_fault why = find(s, table, index, requester, entry);

    if (why) {
        if (!(entry[0] & FAULTS_OFF))
            vtd_fault(s, requester, (uint64_t)index << 48, true, why, VTD_UNTRANSLATED);
        return false;
    }
    m->dest = (uint32_t)(table & VTD_EXTENDED ? entry[0] >> 32 : entry[0] >> 40 & 0xff);
    m->wide = table & VTD_EXTENDED;
    m->logical = entry[0] & LOGICAL;
    m->level = entry[0] & LEVEL;
    m->delivery = entry[0] >> 5 & 7;
    m->vector = (uint8_t)(entry[0] >> 16);
    return true;
}

/* Those that name no entry. */
static bool passes(struct vtd *s, uint32_t requester)
{
    if (__atomic_load_n(&s->compatible, __ATOMIC_ACQUIRE) &&
        !(__atomic_load_n(&s->interrupts, __ATOMIC_ACQUIRE) & VTD_EXTENDED))
        return true;
    vtd_fault(s, requester, 0, true, VTD_IR_COMPATIBLE, VTD_UNTRANSLATED);
    return false;
}

bool vtd_remap_ioapic(void *opaque, uint64_t entry, struct bp_apic_message *message)
{
    struct vtd *s = opaque;

    if (!__atomic_load_n(&s->remaps, __ATOMIC_ACQUIRE))
        return true;
    if (!(entry & IOAPIC_FORMAT))
        return passes(s, VTD_IOAPIC);
    return remap(s, (uint32_t)(entry >> 49 | (entry >> 11 & 1) << 15), VTD_IOAPIC, message);
}

static int message_write(void *opaque, uint64_t addr, uint64_t value, unsigned size, const struct bp_access *access)
{
    struct vtd *s = opaque;
    struct bp_apic_message m;
    uint32_t index = (uint32_t)(addr >> 5 & 0x7fff) | (uint32_t)(addr >> 2 & 1) << 15;

    (void)size;
    if (!__atomic_load_n(&s->remaps, __ATOMIC_ACQUIRE) ||
        (!(addr & MSI_FORMAT) && passes(s, access->requester & 0xffff))) {
        apic->msi(s->apic_bus, VTD_IRQ_FIRST + addr, (uint32_t)value);
    } else if (addr & MSI_FORMAT) {
        index += addr & MSI_SUBHANDLE ? (uint32_t)value & 0xffff : 0;
        if (addr & MSI_SUBHANDLE && value >> 16)
            vtd_fault(s, access->requester & 0xffff, (uint64_t)index << 48, true, VTD_IR_REQUEST, VTD_UNTRANSLATED);
        else if (remap(s, index, access->requester & 0xffff, &m))
            apic->send(s->apic_bus, &m);
    }
    return 0;
}

static uint64_t message_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return UINT32_MAX;
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = message_read, .write_with = message_write, .min_access = 4, .max_access = 4,
    .parallel = BP_PARALLEL_LEAF};

/* With destinations of 32 bits the upper address has 24 of them (10.4.12). Nobody remaps these messages. */
void vtd_send(const struct vtd *s, uint64_t address, uint32_t data)
{
    if (!(__atomic_load_n(&s->interrupts, __ATOMIC_ACQUIRE) & VTD_EXTENDED) || (uint32_t)address >> 20 != 0xfee) {
        (void)bp_space_post(s->memory, address, 4, data, NULL);
        return;
    }
    apic->send(s->apic_bus, &(struct bp_apic_message){
                   .dest = (uint32_t)(address >> 32 & ~UINT64_C(0xff)) | (address >> 12 & 0xff), .wide = true,
                   .logical = address & 4, .level = data & 1u << 15, .delivery = data >> 8 & 7,
                   .vector = (uint8_t)data});
}

void vtd_interrupts_open(struct vtd *s)
{
    struct bp_owner *owner = bp_device_owner(s->dev);
    struct bp_region *root = bp_region_new(owner, "intel-iommu-messages", UINT64_MAX);

    bp_region_add(root, bp_region_new_io(owner, "intel-iommu-messages", 1u << 20, &ops, s), VTD_IRQ_FIRST, 0);
    s->messages = bp_space_new(owner, "intel-iommu-messages", root);
    if (s->has_remapping)
        apic->set_remapper(s->apic_bus, vtd_remap_ioapic, s);
}

void vtd_interrupts_close(struct vtd *s)
{
    if (s->has_remapping)
        apic->set_remapper(s->apic_bus, NULL, NULL);
}
