/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NVDIMMs for the guest: NFIT (ACPI 6.4, 5.2.25), their devices, and the functions of their _DSM ("Intel NVDIMM DSM
 * Interface" 1.8: label area). A write of a page's address to port 0xa18 has the request in it answered:
 *
 *   in:  +0 handle (slot + 1; 0: the root), +4 revision, +8 function, +12 argument
 *   out: +0 bytes that follow, +4 the answer
 *
 * Leaves out: NVDIMMs that come while the machine runs, health, errors.
 */
#define BP_SHARED
#include "acpi-aml.h"
#include "acpi-build.h"
#include "acpi-memhp.h"

#include <bp/memory-device.h>
#include <errno.h>
#include <stdlib.h>

#include "ssdt_nvdimm.hex"

#define PAGE 4096u
#define MOST_AT_ONCE 4064u /* bytes of labels in a request */

enum { QUERY = 0, LABEL_SIZE = 4, LABEL_READ = 5, LABEL_WRITE = 6 };
enum { SUCCESS = 0, NOT_SUPPORTED = 1, NO_DEVICE = 2, INVALID = 3 };

struct acpi_nvdimm {
    const struct bp_pc_dimm_interface *dimms;
};

/* ---- _DSM ---- */

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static void answer(uint8_t *page, uint32_t status, uint32_t more)
{
    put32(page, 4 + more);
    put32(page + 4, status);
}

static void read_labels(const struct acpi_nvdimm *s, struct bp_device *dev, uint8_t *page)
{
    uint32_t offset = get32(page + 12), len = get32(page + 16);
    bool good = len <= MOST_AT_ONCE && s->dimms->label_read(dev, offset, page + 8, len) == 0;

    answer(page, good ? SUCCESS : INVALID, good ? len : 0);
}

static void write_labels(const struct acpi_nvdimm *s, struct bp_device *dev, uint8_t *page)
{
    uint32_t offset = get32(page + 12), len = get32(page + 16);
    int ret = len <= MOST_AT_ONCE ? s->dimms->label_write(dev, offset, page + 20, len) : -ERANGE;

    answer(page, ret == 0 ? SUCCESS : ret == -EROFS ? NOT_SUPPORTED : INVALID, 0);
}

/* Those of a module with labels, as a mask. */
static uint32_t functions(const struct bp_pc_dimm_info *info)
{
    return 1u << QUERY | 1u << LABEL_SIZE | 1u << LABEL_READ | (info->labels_stay ? 0 : 1u << LABEL_WRITE);
}

static void handle(const struct acpi_nvdimm *s, struct bp_machine *m, uint8_t *page)
{
    uint32_t number = get32(page), function = get32(page + 8);
    struct bp_memory_slot in = {.size = sizeof(in)};
    struct bp_pc_dimm_info info = {.size = sizeof(info)};
    bool there = number && bp_machine_memory_slot(m, number - 1, &in) && s->dimms->info(in.dev, &info) &&
                 info.persistent;

    if (function == QUERY) {
        put32(page, 4);
        put32(page + 4, there && info.label_size ? functions(&info) : 0);
    } else if (!there) {
        answer(page, NO_DEVICE, 0);
    } else if (!info.label_size) {
        answer(page, NOT_SUPPORTED, 0);
    } else if (function == LABEL_SIZE) {
        put32(page + 8, info.label_size);
        put32(page + 12, MOST_AT_ONCE);
        answer(page, SUCCESS, 8);
    } else if (function == LABEL_READ) {
        read_labels(s, in.dev, page);
    } else if (function == LABEL_WRITE) {
        write_labels(s, in.dev, page);
    } else {
        answer(page, NOT_SUPPORTED, 0);
    }
}

static void notified(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    const struct acpi_nvdimm *s = opaque;
    struct bp_machine *m = bp_device_machine(bp_device_of_state(opaque));
    struct bp_space *memory = bp_machine_memory(m);
    uint8_t page[PAGE];

    (void)addr, (void)size;
    value &= ~(uint64_t)(PAGE - 1);
    if (!s->dimms || bp_space_read(memory, value, page, PAGE) < 0)
        return;
    handle(s, m, page);
    bp_space_write(memory, value, page, PAGE);
}

static uint64_t nothing(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0;
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = nothing, .write = notified, .min_access = 4, .max_access = 4};

void acpi_nvdimm_connect(struct bp_device *dev, const struct bp_pc_dimm_interface *dimms)
{
    ((struct acpi_nvdimm *)bp_device_state(dev))->dimms = dimms;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    (void)err;
    bp_region_add(bp_space_root(bp_device_io(dev)),
                  bp_region_new_io(bp_device_owner(dev), "acpi-nvdimm", 4, &ops, bp_device_state(dev)), 0xa18, 0);
    return 0;
}

BP_BOARD_DEVICE(acpi_nvdimm_class, "acpi-nvdimm", "system", "Functions of NVDIMMs for ACPI", struct acpi_nvdimm, NULL,
                NULL, .category = "misc", .attach = attach);

/* ---- tables ---- */

enum { SPA = 56, MAP = 48, CONTROL = 32 };

static bool persistent(const struct pc *pc, unsigned slot, struct bp_pc_dimm_info *ret_info)
{
    struct bp_memory_slot in = {.size = sizeof(in)};

    *ret_info = (struct bp_pc_dimm_info){.size = sizeof(*ret_info)};
    return bp_machine_memory_slot(pc->machine, slot, &in) && pc->dimms->info(in.dev, ret_info) && ret_info->persistent;
}

static uint8_t *put_nvdimm(uint8_t *e, unsigned slot, unsigned index, const struct bp_pc_dimm_info *info)
{
    /* Persistent memory: 66f0d379-b4f3-4074-ac43-0d3318b78cdb */
    static const uint8_t kind[16] = {0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40,
                                     0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb};

    put16(e + 2, SPA);
    put16(e + 4, (uint16_t)index);
    put16(e + 6, 3); /* only added by hot-plug, and its proximity domain is valid */
    put32(e + 12, info->node);
    memcpy(e + 16, kind, sizeof(kind));
    put64(e + 32, info->addr);
    put64(e + 40, info->length);
    put64(e + 48, 0x8008); /* write back, not volatile */
    e += SPA;
    put16(e, 1);
    put16(e + 2, MAP);
    put32(e + 4, slot + 1);
    put16(e + 8, (uint16_t)slot);
    put16(e + 12, (uint16_t)index);
    put16(e + 14, (uint16_t)index);
    put64(e + 16, info->length);
    put16(e + 42, 1); /* interleaved with nobody */
    put16(e + 44, info->unarmed ? 1u << 3 : 0);
    e += MAP;
    put16(e, 4);
    put16(e + 2, CONTROL);
    put16(e + 4, (uint16_t)index);
    put16(e + 6, 0x8086);
    put16(e + 8, 1);
    put16(e + 10, 1);
    put32(e + 24, 0x123456u + slot); /* serial number */
    put16(e + 28, 0x301);            /* byte addressable */
    return e + CONTROL;
}

static void add_devices(struct tables *t, const struct pc *pc, unsigned count)
{
    uint8_t *p = acpi_begin(t, "SSDT", ACPI_HEADER + 16 + count * 48, 2);
    static const char hex[] = "0123456789ABCDEF";
    struct bp_pc_dimm_info info;
    struct aml a = {.data = p};
    uint32_t scope;

    if (!p)
        return;
    a.size = ACPI_HEADER;
    aml_byte(&a, 0x10);
    scope = aml_begin(&a);
    aml_bytes(&a, "\\\x2e_SB_NVDR", 10);
    for (unsigned slot = 0; slot < bp_machine_memory_slots(pc->machine); slot++) {
        uint32_t device, method;

        if (!persistent(pc, slot, &info))
            continue;
        aml_bytes(&a, "\x5b\x82", 2);
        device = aml_begin(&a);
        aml_bytes(&a, "NV", 2);
        aml_byte(&a, (unsigned char)hex[slot >> 4 & 15]);
        aml_byte(&a, (unsigned char)hex[slot & 15]);
        aml_bytes(&a, "\x08_ADR", 5);
        aml_number(&a, slot + 1);
        aml_byte(&a, 0x14);
        method = aml_begin(&a);
        aml_bytes(&a, "_DSM\x04\xa4NCAL\x68\x69\x6a\x6b", 14);
        aml_number(&a, slot + 1);
        aml_end(&a, method);
        aml_end(&a, device);
    }
    aml_end(&a, scope);
    put32(p + 4, a.size);
    t->image.size = (uint32_t)(p + a.size - t->image.data);
    acpi_finish(t, p);
    acpi_list(t, p);
}

void acpi_add_nvdimms(struct tables *t, const struct pc *pc)
{
    static const uint8_t name[] = {'N', 'V', 'I', 'A', 0x0c}; /* a DWord follows */
    struct bp_pc_dimm_info info;
    unsigned slots = bp_machine_memory_slots(pc->machine), count = 0;
    uint8_t *p, *e, *aml, *page, *at;

    if (!pc->nvdimm_dev)
        return;
    for (unsigned slot = 0; slot < slots; slot++)
        count += persistent(pc, slot, &info);
    if (!count)
        return;
    p = acpi_begin(t, "NFIT", ACPI_HEADER + 4 + count * (SPA + MAP + CONTROL), 1);
    if (!p)
        return;
    e = p + ACPI_HEADER + 4;
    for (unsigned slot = 0, index = 1; slot < slots; slot++) {
        if (persistent(pc, slot, &info))
            e = put_nvdimm(e, slot, index++, &info);
    }
    acpi_finish(t, p);
    acpi_list(t, p);
    aml = acpi_copy(t, ssdt_nvdimm_aml_code, sizeof(ssdt_nvdimm_aml_code));
    page = acpi_image_append(&t->image, PAGE, PAGE);
    at = aml && page ? memmem(aml, sizeof(ssdt_nvdimm_aml_code), name, sizeof(name)) : NULL;
    acpi_list(t, aml);
    if (!at) {
        t->image.full = true;
        return;
    }
    acpi_image_point(&t->image, at + sizeof(name), 4, page);
    acpi_image_sum(&t->image, aml + 9, aml, sizeof(ssdt_nvdimm_aml_code));
    add_devices(t, pc, count);
}
