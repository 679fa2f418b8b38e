// SPDX-License-Identifier: LGPL-2.1-or-later
/* PCI's configuration mechanism 1 (piix.h). */
#define BP_SHARED
#include "piix.h"

static uint64_t address_read(void *opaque, uint64_t addr, unsigned size)
{
    struct config_ports *p = opaque;

    if (addr == 1 && size == 1 && p->cf9_ops)
        return p->cf9_ops->read(p->cf9_opaque, 0, 1);
    return addr == 0 && size == 4 ? p->address : UINT64_MAX;
}

static void address_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct config_ports *p = opaque;

    /* Only a double word reaches the address register; 0xcf9 belongs to the south bridge. */
    if (addr == 0 && size == 4)
        p->address = (uint32_t)value & 0x80fffffcu;
    else if (addr == 1 && size == 1 && p->cf9_ops)
        p->cf9_ops->write(p->cf9_opaque, 0, value, 1);
}

static uint64_t data_read(void *opaque, uint64_t addr, unsigned size)
{
    struct config_ports *p = opaque;
    uint32_t a = p->address;

    if (!(a & 0x80000000u))
        return UINT64_MAX;
    return pci->config_read(p->bus, a >> 16 & 0xff, a >> 8 & 0xff, (a & 0xfc) + (unsigned)addr,
                            size);
}

static void data_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct config_ports *p = opaque;
    uint32_t a = p->address;

    if (a & 0x80000000u)
        pci->config_write(p->bus, a >> 16 & 0xff, a >> 8 & 0xff, (a & 0xfc) + (unsigned)addr,
                          (uint32_t)value, size);
}

static const struct bp_region_ops address_ops = {
    .size = sizeof(address_ops), .read = address_read, .write = address_write, .unaligned = 1};
static const struct bp_region_ops data_ops = {
    .size = sizeof(data_ops), .read = data_read, .write = data_write};

void config_ports_add(struct config_ports *p, struct bp_owner *owner, struct bp_region *io)
{
    bp_region_add(io, bp_region_new_io(owner, "pci-address", 4, &address_ops, p), 0xcf8, 0);
    bp_region_add(io, bp_region_new_io(owner, "pci-data", 4, &data_ops, p), 0xcfc, 0);
}

void config_ports_forward_cf9(struct config_ports *p, const struct bp_region_ops *ops, void *opaque)
{
    p->cf9_ops = ops;
    p->cf9_opaque = opaque;
}
