/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IPMI interfaces on the ISA bus as tables tell of them: an ACPI device IPI0001 each (IPMI 2.0, appendix C3), and
 * what SMBIOS's structure 38 wants to know. Both ask the devices' properties.
 */
#include "acpi-aml.h"
#include "acpi-build.h"

#include <bp/chip/smbios.h>

#define MOST 4u

struct found {
    struct bp_smbios_bmc bmc[MOST];
    unsigned count;
    uint8_t kind; /* of those that are looked for */
};

static uint64_t property(struct bp_object *obj, const char *name)
{
    struct bp_value *v = NULL;
    uint64_t n = bp_object_get(obj, name, &v, NULL) == 0 ? bp_value_as_uint(v) : 0;

    bp_value_unref(v);
    return n;
}

static int note(struct bp_device *dev, void *opaque)
{
    struct found *f = opaque;
    struct bp_object *obj = bp_device_object(dev), *bmc;
    struct bp_value *path = NULL;
    struct bp_smbios_bmc *b = &f->bmc[f->count];

    if (f->count == MOST)
        return 1;
    b->interface = f->kind;
    b->port = (uint16_t)property(obj, "ioport");
    b->irq = (uint8_t)property(obj, "irq");
    b->slave_addr = 0x20;
    if (bp_object_get(obj, "bmc", &path, NULL) == 0 && bp_value_as_string(path) &&
        (bmc = bp_object_resolve(bp_value_as_string(path), NULL, NULL)))
        b->slave_addr = (uint8_t)property(bmc, "slave_addr");
    bp_value_unref(path);
    f->count++;
    return 0;
}

static void find(const struct pc *pc, struct found *f)
{
    f->count = 0;
    f->kind = BP_SMBIOS_KCS;
    bp_device_each(pc->machine, "isa-ipmi-kcs", note, f);
    f->kind = BP_SMBIOS_BT;
    bp_device_each(pc->machine, "isa-ipmi-bt", note, f);
}

unsigned pc_find_bmcs(const struct pc *pc, struct bp_smbios_bmc *ret_bmcs, unsigned most)
{
    struct found f;

    find(pc, &f);
    for (unsigned i = 0; i < f.count && i < most; i++)
        ret_bmcs[i] = f.bmc[i];
    return f.count < most ? f.count : most;
}

/* The ports, and the interrupt if there is one. */
static void add_resources(struct aml *a, const struct bp_smbios_bmc *b)
{
    uint8_t length = b->interface == BP_SMBIOS_KCS ? 2 : 3, size = b->irq ? 13 : 10;
    uint16_t mask = (uint16_t)(1u << b->irq);
    uint8_t res[13] = {0x47, 1, (uint8_t)b->port, (uint8_t)(b->port >> 8), (uint8_t)b->port, (uint8_t)(b->port >> 8), 1,
                       length};
    unsigned n = 8;

    if (b->irq) {
        res[n++] = 0x22;
        res[n++] = (uint8_t)mask;
        res[n++] = (uint8_t)(mask >> 8);
    }
    res[n++] = 0x79;
    res[n++] = 0;
    aml_bytes(a, "\x08_CRS\x11", 6);
    aml_byte(a, size + 3u);
    aml_byte(a, 0x0a);
    aml_byte(a, size);
    aml_bytes(a, res, size);
}

void acpi_add_ipmi(struct tables *t, const struct pc *pc)
{
    struct found f;
    struct aml a = {.data = NULL};
    uint32_t scope, device;
    uint8_t *p;

    find(pc, &f);
    if (!f.count)
        return;
    p = acpi_begin(t, "SSDT", ACPI_HEADER + 16 + f.count * 96, 2);
    if (!p)
        return;
    a = (struct aml){.data = p, .size = ACPI_HEADER};
    aml_byte(&a, 0x10);
    scope = aml_begin(&a);
    aml_bytes(&a, "\\_SB_", 5);
    for (unsigned i = 0; i < f.count; i++) {
        aml_bytes(&a, "\x5b\x82", 2);
        device = aml_begin(&a);
        aml_bytes(&a, "MI0", 3);
        aml_byte(&a, '0' + i);
        aml_bytes(&a, "\x08_HID\x0dIPI0001", 14); /* with the string's end */
        aml_bytes(&a, "\x08_UID", 5);
        aml_number(&a, i);
        aml_bytes(&a, "\x08_IFT", 5);
        aml_number(&a, f.bmc[i].interface);
        aml_bytes(&a, "\x08_SRV", 5);
        aml_number(&a, 0x0200);
        add_resources(&a, &f.bmc[i]);
        aml_end(&a, device);
    }
    aml_end(&a, scope);
    put32(p + 4, a.size);
    t->image.size = (uint32_t)(p + a.size - t->image.data);
    acpi_finish(t, p);
    acpi_list(t, p);
}
