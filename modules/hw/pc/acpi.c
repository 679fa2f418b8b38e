/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ACPI tables of board pc: RSDP, RSDT, XSDT, FADT (revision 3), FACS, MADT, HPET, and the DSDT
 * and SSDTs that are compiled from ASL. ACPI 6.4, chapters 5.2.5 to 5.2.12; IA-PC HPET 1.0a.
 */
#include "acpi-build.h"
#include "acpi-cpuhp.h"
#include "acpi-memhp.h"
#include "chipset.h"
#include "low-memory.h"

#include <bp/chip/acpi-tables.h>
#include <bp/exact/numa.h>
#include <bp/exact/x86-topology.h>
#include <bp/memory-device.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ssdt_com1.hex"
#include "ssdt_memhp.hex"
#include "ssdt_cpuhp.hex"
#include "ssdt_pcihp.hex"
#include "ssdt_pcihp_bus.hex"
#include "ssdt_com2.hex"
#include "ssdt_fwcfg.hex"
#include "ssdt_hpet.hex"
#include "ssdt_pvpanic.hex"
#include "ssdt_s3.hex"
#include "ssdt_s4.hex"
#include "ssdt_vmgenid.hex"

static void *append(struct tables *t, uint32_t len, uint32_t align)
{
    return acpi_image_append(&t->image, len, align);
}

uint8_t *acpi_begin(struct tables *t, const char *signature, uint32_t len, uint8_t revision)
{
    uint8_t *p = append(t, len, 16);

    if (!p)
        return NULL;
    memset(p, 0, len);
    memcpy(p, signature, 4);
    put32(p + 4, len);
    p[8] = revision;
    memcpy(p + 10, "BKPLNE", 6);
    memcpy(p + 16, "BKPLPC  ", 8);
    put32(p + 24, 1);
    memcpy(p + 28, "BKPL", 4);
    put32(p + 32, 1);
    /* Who reads a SLIC wants to find its ids in these, too. */
    if (t->slic && (memcmp(signature, "FACP", 4) == 0 || memcmp(signature + 1, "SDT", 3) == 0))
        memcpy(p + 10, t->slic + 10, 14);
    return p;
}

void acpi_shorten(struct tables *t, uint8_t *p, const uint8_t *end)
{
    put32(p + 4, (uint32_t)(end - p));
    t->image.size = (uint32_t)(end - t->image.data);
}

void acpi_finish(struct tables *t, uint8_t *p)
{
    uint32_t len;

    memcpy(&len, p + 4, 4);
    acpi_image_sum(&t->image, p + 9, p, len);
}

void acpi_list(struct tables *t, uint8_t *p)
{
    if (!p || t->count == BP_COUNT(t->entries))
        t->image.full = true;
    else
        t->entries[t->count++] = p;
}

uint8_t *acpi_copy(struct tables *t, const uint8_t *aml, uint32_t size)
{
    uint8_t *p = append(t, size, 16);

    if (p)
        memcpy(p, aml, size);
    return p;
}

/* A generic address structure for an I/O port (5.2.3.2). */
static void put_port(uint8_t *p, uint16_t port, uint8_t bits, uint8_t access)
{
    p[0] = 1;
    p[1] = bits;
    p[2] = 0;
    p[3] = access;
    put64(p + 4, port);
}

/* Port 3c0 is every VGA's, whatever bus it sits on. */
static bool has_vga(const struct pc *pc)
{
    struct bp_mapping map = {.size = sizeof(map)};

    bp_space_lookup(bp_machine_io(pc->machine), 0x3c0, &map);
    return map.region != NULL;
}

static void add_fadt(struct tables *t, const struct pc *pc, const uint8_t *dsdt, const uint8_t *facs)
{
    uint8_t *p = acpi_begin(t, "FACP", 244, 3);

    if (!p)
        return;
    acpi_image_point(&t->image, p + 36, 4, facs);
    acpi_image_point(&t->image, p + 40, 4, dsdt);
    p[45] = 0; /* preferred profile: unspecified */
    put16(p + 46, PC_SCI);
    put32(p + 48, pc->chipset->acpi_always ? 0 : 0xb2);
    p[52] = pc->chipset->acpi_enable;
    p[53] = pc->chipset->acpi_disable;
    put32(p + 56, PC_PM_BASE);
    put32(p + 64, PC_PM_BASE + 4);
    put32(p + 76, PC_PM_BASE + 8);
    put32(p + 80, pc->chipset->gpe0);
    p[88] = 4; /* PM1 event, control, timer, GPE0 lengths */
    p[89] = 2;
    p[91] = 4;
    p[92] = pc->chipset->gpe0_length; /* 0: no such block */
    put16(p + 96, 0xfff);  /* C2 and C3 are not supported */
    put16(p + 98, 0xfff);
    p[106] = 0;    /* no day alarm */
    p[108] = 0x32; /* century */
    /* legacy devices, 8042, no VGA */
    put16(p + 109, (uint16_t)(1 | (pc->i8042 ? 2 : 0) | (has_vga(pc) ? 0 : 4)));
    /* WBINVD, C1, no sleep button, reset register; the clock's alarm has its bit in PM1 */
    put32(p + 112, 1u << 0 | 1u << 2 | 1u << 5 | 1u << 10);
    put_port(p + 116, 0xcf9, 8, 1);
    p[128] = 0x0e;
    acpi_image_point(&t->image, p + 140, 8, dsdt); /* X_FIRMWARE_CTRL stays 0: only one of the two may be set */
    put_port(p + 148, PC_PM_BASE, 32, 2);
    put_port(p + 172, PC_PM_BASE + 4, 16, 2);
    put_port(p + 208, PC_PM_BASE + 8, 32, 3);
    if (pc->chipset->gpe0)
        put_port(p + 220, pc->chipset->gpe0, (uint8_t)(pc->chipset->gpe0_length * 8), 1);
    acpi_finish(t, p);
    acpi_list(t, p);
}

/* Processors from APIC id 255 on are x2APICs (5.2.12.12). */
static uint8_t *put_processor(uint8_t *e, uint32_t number, uint32_t id, bool there)
{
    if (id < PC_WIDE_IDS) {
        e[1] = 8;
        e[2] = (uint8_t)number;
        e[3] = (uint8_t)id;
        put32(e + 4, there); /* or may come */
        return e + 8;
    }
    e[0] = 9;
    e[1] = 16;
    put32(e + 4, id);
    put32(e + 8, there);
    put32(e + 12, number);
    return e + 16;
}

/* NMI on LINT1 of every processor. */
static uint8_t *put_nmi(uint8_t *e, bool wide)
{
    e[0] = 4;
    e[1] = 6;
    e[2] = 0xff;
    e[5] = 1;
    e += 6;
    if (!wide)
        return e;
    e[0] = 10;
    e[1] = 12;
    put32(e + 4, UINT32_MAX);
    e[8] = 1;
    return e + 12;
}

static void add_madt(struct tables *t, const struct pc *pc)
{
    static const uint8_t level_irqs[] = {5, 9, 10, 11}; /* PCI and SCI: level, active high */
    const unsigned levels = pc->chipset->no_pci ? 1 : BP_COUNT(level_irqs);
    const unsigned cpus = pc->cpuhp ? bp_machine_smp(pc->machine)->max_cpus : pc_cpus(pc);
    const bool wide = pc_last_apic_id(pc->machine) >= PC_WIDE_IDS;
    uint32_t len = ACPI_HEADER + 8 + cpus * (wide ? 16 : 8) + 12 + (1 + levels) * 10 + (wide ? 18 : 6);
    uint8_t *p = acpi_begin(t, "APIC", len, 3), *e;

    if (!p)
        return;
    put32(p + 36, 0xfee00000u);
    put32(p + 40, 1); /* an 8259 pair is there too */
    e = p + ACPI_HEADER + 8;
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus; i++) {
        bool there = bp_machine_cpu(pc->machine, i) != NULL;

        if (!there && !pc->cpuhp)
            continue;
        e = put_processor(e, i, bp_x86_apic_id(bp_machine_smp(pc->machine), i), there);
    }
    e[0] = 1;
    e[1] = 12;
    put32(e + 4, 0xfec00000u);
    e += 12;
    e[0] = 2; /* IRQ 0 is GSI 2 */
    e[1] = 10;
    put32(e + 4, 2);
    e += 10;
    for (size_t i = 0; i < BP_COUNT(level_irqs); i++) {
        if (pc->chipset->no_pci && level_irqs[i] != PC_SCI)
            continue;
        e[0] = 2;
        e[1] = 10;
        e[3] = level_irqs[i];
        put32(e + 4, level_irqs[i]);
        put16(e + 8, 0xd);
        e += 10;
    }
    e = put_nmi(e, wide);
    acpi_shorten(t, p, e);
    acpi_finish(t, p);
    acpi_list(t, p);
}

static void add_hpet(struct tables *t)
{
    uint8_t *p = acpi_begin(t, "HPET", 56, 1);

    if (!p)
        return;
    put32(p + 36, 0x8086a201); /* 8086, legacy capable, 64 bits, three comparators, revision 1 */
    put64(p + 44, 0xfed00000u);
    put16(p + 53, 100);
    acpi_finish(t, p);
    acpi_list(t, p);
}

/* Where configuration space is mapped (PCI Firmware 3.0, 4.1.2), as the host bridge has it now. */
static void add_mcfg(struct tables *t, const struct pc *pc)
{
    unsigned buses = 0;
    uint64_t base = pc->host_if->ecam ? pc->host_if->ecam(pc->host, &buses) : 0;
    uint8_t *p = base ? acpi_begin(t, "MCFG", ACPI_HEADER + 8 + 16, 1) : NULL;

    if (!p)
        return;
    put64(p + ACPI_HEADER + 8, base);
    p[ACPI_HEADER + 8 + 11] = (uint8_t)(buses - 1);
    acpi_finish(t, p);
    acpi_list(t, p);
}

/* The IOMMU (VT-d 3.0, chapter 8): one unit for all functions; with ATS, for those behind every port. */
static void add_dmar(struct tables *t, const struct pc *pc)
{
    struct bp_device *dev = bp_device_first(pc->machine, "intel-iommu");
    struct bp_value *bits = NULL, *ats = NULL, *remap = NULL;
    uint8_t *p, *e;
    bool has_ats, remaps;

    if (!dev || bp_object_get(bp_device_object(dev), "intremap", &remap, NULL) < 0)
        return;
    remaps = strcmp(bp_value_as_string(remap), "off") != 0;
    bp_value_unref(remap);
    if (bp_object_get(bp_device_object(dev), "aw-bits", &bits, NULL) < 0 ||
        bp_object_get(bp_device_object(dev), "device-iotlb", &ats, NULL) < 0) {
        bp_value_unref(bits);
        return;
    }
    has_ats = bp_value_as_bool(ats);
    p = acpi_begin(t, "DMAR", ACPI_HEADER + 12 + 16 + (remaps ? 8 : 0) + (has_ats ? 8 : 0), 1);
    if (p) {
        e = p + ACPI_HEADER + 12;
        p[ACPI_HEADER] = (uint8_t)(bp_value_as_uint(bits) - 1);
        p[ACPI_HEADER + 1] = remaps; /* INTR_REMAP */
        put16(e + 2, remaps ? 24 : 16);
        e[4] = 1; /* INCLUDE_PCI_ALL */
        put64(e + 8, PC_VTD_BASE);
        if (remaps) { /* the I/O APIC, id 0, sends as bus f0, 1f.0 */
            e[16] = 3;
            e[17] = 8;
            e[21] = 0xf0;
            e[22] = 0x1f;
            e += 8;
        }
        if (has_ats) {
            put16(e + 16, 2);
            put16(e + 18, 8);
            e[20] = 1; /* ALL_PORTS */
        }
        acpi_finish(t, p);
    }
    acpi_list(t, p);
    bp_value_unref(bits);
    bp_value_unref(ats);
}

static uint8_t *put_endpoints(uint8_t *e, unsigned first, unsigned last)
{
    if (first > last || last > 0xffff)
        return e;
    e[0] = 1;
    put16(e + 2, 24);
    put32(e + 4, first);
    put16(e + 12, (uint16_t)first);
    put16(e + 14, (uint16_t)last);
    put16(e + 16, ACPI_HEADER + 12);
    return e + 24;
}

/* A virtio IOMMU (ACPI 6.4, VIOT revision 0): who it is, and all other functions as what is behind it. */
static void add_viot(struct tables *t, const struct pc *pc)
{
    struct bp_device *dev = bp_device_first(pc->machine, "virtio-iommu-pci");
    unsigned id = dev ? pc->pci_if->requester(dev) : 0;
    uint8_t *p = dev ? acpi_begin(t, "VIOT", ACPI_HEADER + 12 + 16 + 2 * 24, 0) : NULL, *e;

    if (!p)
        return;
    e = p + ACPI_HEADER + 12;
    e[0] = 3;
    put16(e + 2, 16);
    put16(e + 6, (uint16_t)id);
    e = put_endpoints(e + 16, 0, id - 1);
    e = put_endpoints(e, id + 1, 0xffff);
    put16(p + ACPI_HEADER, (uint16_t)(1 + (e - p - ACPI_HEADER - 28) / 24));
    put16(p + ACPI_HEADER + 2, ACPI_HEADER + 12);
    acpi_shorten(t, p, e);
    acpi_finish(t, p);
    acpi_list(t, p);
}

static uint8_t *add_root(struct tables *t, const char *signature, unsigned width)
{
    uint8_t *p = acpi_begin(t, signature, ACPI_HEADER + t->count * width, 1);

    if (!p)
        return NULL;
    for (unsigned i = 0; i < t->count; i++)
        acpi_image_point(&t->image, p + ACPI_HEADER + i * width, width, t->entries[i]);
    acpi_finish(t, p);
    return p;
}

static void add_rsdp(struct acpi_image *image, const uint8_t *rsdt, const uint8_t *xsdt)
{
    uint8_t *rsdp = image->rsdp;

    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "BKPLNE", 6);
    rsdp[15] = 2;
    put32(rsdp + 20, sizeof(image->rsdp));
    acpi_image_point(image, rsdp + 16, 4, rsdt);
    acpi_image_point(image, rsdp + 24, 8, xsdt);
    acpi_image_sum(image, rsdp + 8, rsdp, 20);
    acpi_image_sum(image, rsdp + 32, rsdp, sizeof(image->rsdp));
}

#define VMGENID_PAGE 4096u

/* The slots behind the bridge in a slot of the root bus. */
static void add_hotplug_bus(struct tables *t, unsigned slot, uint8_t number)
{
    static const char hex[] = "0123456789ABCDEF", name[] = "SFF_";
    const uint32_t size = sizeof(ssdt_pcihp_bus_aml_code);
    uint8_t *aml = acpi_copy(t, ssdt_pcihp_bus_aml_code, size), *at = aml;

    acpi_list(t, aml);
    if (!aml)
        return;
    while ((at = memmem(at, size - (uint32_t)(at - aml), name, 4)) != NULL) {
        at[1] = (uint8_t)hex[slot >> 4];
        at[2] = (uint8_t)hex[slot & 15];
    }
    at = memmem(aml, size, "BSEL\x0a\xee", 6);
    if (at)
        at[5] = number;
    acpi_finish(t, aml);
}

static void add_hotplug(struct tables *t, const struct pc *pc)
{
    uint32_t ids[ACPI_CPUHP_MOST];
    uint32_t size;
    uint8_t *aml, *p;

    if (pc->pcihp)
        acpi_list(t, acpi_copy(t, ssdt_pcihp_aml_code, sizeof(ssdt_pcihp_aml_code)));
    for (unsigned slot = 0; slot < 32; slot++) {
        if (pc->hotplug_bus[slot])
            add_hotplug_bus(t, slot, pc->hotplug_bus[slot]);
    }
    if (!pc->cpuhp)
        return;
    acpi_list(t, acpi_copy(t, ssdt_cpuhp_aml_code, sizeof(ssdt_cpuhp_aml_code)));
    for (unsigned i = 0; i < bp_machine_smp(pc->machine)->max_cpus && i < BP_COUNT(ids); i++)
        ids[i] = bp_x86_apic_id(bp_machine_smp(pc->machine), i);
    aml = acpi_cpuhp_aml(ids, bp_machine_smp(pc->machine)->max_cpus, &size);
    p = aml ? acpi_begin(t, "SSDT", ACPI_HEADER + size, 2) : NULL;
    if (p) {
        memcpy(p + ACPI_HEADER, aml, size);
        acpi_finish(t, p);
    }
    acpi_list(t, p);
    free(aml);
}

static void add_memory_slots(struct tables *t, const struct pc *pc)
{
    uint32_t size;
    uint8_t *aml, *p;

    if (!pc->memhp)
        return;
    acpi_list(t, acpi_copy(t, ssdt_memhp_aml_code, sizeof(ssdt_memhp_aml_code)));
    aml = acpi_memhp_aml(bp_machine_memory_slots(pc->machine), &size);
    p = aml ? acpi_begin(t, "SSDT", ACPI_HEADER + size, 2) : NULL;
    if (p) {
        memcpy(p + ACPI_HEADER, aml, size);
        acpi_finish(t, p);
    }
    acpi_list(t, p);
    free(aml);
}

/* Its page stands among the tables; a name in its SSDT leads there. */
static void add_vmgenid(struct tables *t)
{
    static const uint8_t name[] = {'V', 'G', 'I', 'A', 0x0c}; /* a DWord follows */
    uint8_t *aml = acpi_copy(t, ssdt_vmgenid_aml_code, sizeof(ssdt_vmgenid_aml_code));
    uint8_t *page = append(t, VMGENID_PAGE, VMGENID_PAGE);
    uint8_t *at = aml && page ? memmem(aml, sizeof(ssdt_vmgenid_aml_code), name, sizeof(name)) : NULL;

    acpi_list(t, aml);
    if (!at) {
        t->image.full = true;
        return;
    }
    acpi_image_point(&t->image, at + sizeof(name), 4, page);
    acpi_image_sum(&t->image, aml + 9, aml, sizeof(ssdt_vmgenid_aml_code));
    acpi_image_tell(&t->image, "etc/vmgenid_addr", page);
}

/* -acpitable */
static void add_users(struct tables *t, const struct pc *pc)
{
    const uint8_t *data;
    size_t len;

    for (unsigned n = 0; (data = pc->users->table(pc->acpi_tables, n, &len)); n++) {
        uint8_t *p = append(t, (uint32_t)len, 16);

        if (!p)
            return;
        memcpy(p, data, len);
        acpi_list(t, p);
    }
}

static uint32_t size_of_users(const struct pc *pc, const uint8_t **ret_slic)
{
    const uint8_t *data;
    uint32_t size = 0;
    size_t len;

    *ret_slic = NULL;
    for (unsigned n = 0; (data = pc->users->table(pc->acpi_tables, n, &len)); n++) {
        size += (uint32_t)len + 16;
        if (memcmp(data, "SLIC", 4) == 0)
            *ret_slic = data;
    }
    return size;
}

/* What modules of memory have in the tables: a device, a page for methods, an entry of NFIT. */
static uint32_t slots_size(const struct pc *pc)
{
    return pc->memhp ? 0x4000 + bp_machine_memory_slots(pc->machine) * 384 : 0;
}

static int build(struct tables *t, const struct pc *pc, struct bp_error *err)
{
    uint8_t *facs = append(t, 64, 64);
    uint8_t *dsdt = acpi_copy(t, pc->chipset->dsdt, pc->chipset->dsdt_size);

    if (!facs || !dsdt)
        return bp_fail(err, ENOSPC, "the ACPI tables do not fit into %u bytes", t->image.room);
    memcpy(facs, "FACS", 4);
    put32(facs + 4, 64);
    facs[32] = 1;
    add_fadt(t, pc, dsdt, facs);
    add_madt(t, pc);
    add_mcfg(t, pc);
    if (pc->hpet_dev) {
        add_hpet(t);
        acpi_list(t, acpi_copy(t, ssdt_hpet_aml_code, sizeof(ssdt_hpet_aml_code)));
    }
    if (pc->serial[0])
        acpi_list(t, acpi_copy(t, ssdt_com1_aml_code, sizeof(ssdt_com1_aml_code)));
    if (pc->serial[1])
        acpi_list(t, acpi_copy(t, ssdt_com2_aml_code, sizeof(ssdt_com2_aml_code)));
    if (pc->fw_cfg)
        acpi_list(t, acpi_copy(t, ssdt_fwcfg_aml_code, sizeof(ssdt_fwcfg_aml_code)));
    if (acpi_has_sleep(pc, 3))
        acpi_list(t, acpi_copy(t, ssdt_s3_aml_code, sizeof(ssdt_s3_aml_code)));
    if (acpi_has_sleep(pc, 4))
        acpi_list(t, acpi_copy(t, ssdt_s4_aml_code, sizeof(ssdt_s4_aml_code)));
    if (pc->pvpanic)
        acpi_list(t, acpi_copy(t, ssdt_pvpanic_aml_code, sizeof(ssdt_pvpanic_aml_code)));
    add_hotplug(t, pc);
    if (pc->vmgenid)
        add_vmgenid(t);
    add_dmar(t, pc);
    add_viot(t, pc);
    acpi_add_ipmi(t, pc);
    add_memory_slots(t, pc);
    acpi_add_numa(t, pc);
    acpi_add_nvdimms(t, pc);
    add_users(t, pc);
    uint8_t *rsdt = add_root(t, "RSDT", 4), *xsdt = add_root(t, "XSDT", 8);
    if (t->image.full)
        return bp_fail(err, ENOSPC, "the ACPI tables do not fit into %u bytes", t->image.room);
    add_rsdp(&t->image, rsdt, xsdt);
    return 0;
}

bool acpi_has_sleep(const struct pc *pc, unsigned state)
{
    struct bp_value *disabled = NULL;
    const char *property = state == 3 ? "disable_s3" : "disable_s4";
    bool has = pc->pm && bp_object_get(bp_device_object(pc->pm), property, &disabled, NULL) == 0 &&
               bp_value_as_int(disabled) == 0;

    bp_value_unref(disabled);
    return has;
}

int acpi_build(const struct pc *pc, struct acpi_image *ret_image, struct bp_error *err)
{
    struct tables t = {.count = 0};
    uint32_t users = size_of_users(pc, &t.slic) + acpi_numa_size(pc) + slots_size(pc);
    int r = acpi_image_new(&t.image, PC_ACPI_SIZE + users, err);

    if (r == 0)
        r = build(&t, pc, err);
    if (r < 0) {
        acpi_image_free(&t.image);
        return r;
    }
    *ret_image = t.image;
    return 0;
}

/* Where no firmware places them they have so much room. */
static int build_here(const struct pc *pc, struct acpi_image *ret_image, struct bp_error *err)
{
    int r = acpi_build(pc, ret_image, err);

    if (r < 0 || ret_image->size <= PC_ACPI_SIZE)
        return r;
    acpi_image_free(ret_image);
    return bp_fail(err, E2BIG, "-acpitable, -numa, -m slots=, -smp: the ACPI tables have more than the %u bytes that "
                   "there is room for "
                   "without firmware: add -bios " PC_FIRMWARE, PC_ACPI_SIZE);
}

int acpi_check(const struct pc *pc, struct bp_error *err)
{
    const uint8_t *slic;
    struct acpi_image image;
    int r = 0;

    if (size_of_users(pc, &slic) || bp_machine_numa(pc->machine) || pc->memhp ||
        pc_last_apic_id(pc->machine) >= PC_WIDE_IDS) /* else ours alone have the room */
        r = build_here(pc, &image, err);
    else
        return 0;
    if (r == 0)
        acpi_image_free(&image);
    return r;
}

uint64_t acpi_facs_address(const struct pc *pc)
{
    return pc->low_size - PC_ACPI_SIZE; /* build() begins with it */
}

int acpi_write(const struct pc *pc, struct bp_error *err)
{
    uint32_t base = (uint32_t)(pc->low_size - PC_ACPI_SIZE);
    struct bp_space *memory = bp_machine_memory(pc->machine);
    struct acpi_image image;
    int r = build_here(pc, &image, err);

    if (r < 0)
        return r;
    acpi_image_place(&image, base);
    bp_space_write(memory, LOW_RSDP, image.rsdp, sizeof(image.rsdp));
    bp_space_write(memory, base, image.data, image.size);
    if (pc->vmgenid)
        r = bp_device_set_uint(pc->vmgenid, "address", (uint64_t)base + image.told_offset, err);
    acpi_image_free(&image);
    return r;
}
