// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Configuration space of a PCI function: type 0 header, write masks, BARs, INTx bits (PCI Local Bus
 * 3.0 chapter 6). A BAR is decoded while its space is enabled and its address is not 0 and does not
 * reach the end of the address space (what software leaves there while it sizes a BAR).
 */
#include <string.h>

#include "pci.h"

static const struct bp_pci_info *info_of(struct bp_device *dev)
{
    return bp_device_class(dev)->bus_info;
}

bool pci_bar_address(const struct pci_fn *fn, unsigned n, uint64_t *ret_address)
{
    const struct pci_bar *bar = &fn->bar[n];
    uint16_t command = pci_get16(fn->config + PCI_COMMAND);
    uint64_t address = pci_get32(fn->config + PCI_BAR0 + 4 * n), last;

    if (bar->flags & BP_PCI_BAR_IO) {
        address &= ~3ull;
        last = address + bar->size - 1;
        if (!(command & PCI_COMMAND_IO) || address == 0 || last > 0xffff)
            return false;
    } else {
        address &= ~15ull;
        if (bar->flags & BP_PCI_BAR_MEM64)
            address |= (uint64_t)pci_get32(fn->config + PCI_BAR0 + 4 * n + 4) << 32;
        last = address + bar->size - 1;
        if (!(command & PCI_COMMAND_MEMORY) || address == 0 || last < address ||
            last == UINT64_MAX)
            return false;
        if (!(bar->flags & BP_PCI_BAR_MEM64) && last >= 0xffffffffu)
            return false;
    }
    *ret_address = address;
    return true;
}

void pci_update_bars(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    struct pci_bus *bus = pci_bus_of(dev);

    bp_memory_begin();
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *bar = &fn->bar[n];
        uint64_t address;
        bool on;

        if (!bar->region)
            continue;
        on = pci_bar_address(fn, n, &address);
        if (bar->mapped && on) {
            bp_region_set_address(bar->region, address);
        } else if (on) {
            bp_region_add(bar->flags & BP_PCI_BAR_IO ? bus->host.io : bus->host.memory, bar->region,
                          address, 1);
        } else if (bar->mapped) {
            bp_region_remove(bar->region);
        }
        bar->mapped = on;
    }
    bp_memory_commit();
}

void pci_update_intx(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    struct pci_bus *bus = pci_bus_of(dev);
    uint8_t pin = fn->config[PCI_INTERRUPT_PIN];
    bool out;

    if (fn->intx)
        fn->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        fn->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    out = fn->intx && !(pci_get16(fn->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) &&
          !pci_msi_enabled(dev) && !pci_msix_enabled(dev);
    if (out == fn->intx_out || pin < 1 || pin > 4)
        return;
    fn->intx_out = out;
    bus->host.set_irq(bus->host.opaque, fn->devfn, pin - 1u, out);
}

uint32_t pci_config_read(struct bp_device *dev, unsigned offset, unsigned size)
{
    const struct bp_pci_info *info = info_of(dev);
    struct pci_fn *fn = pci_fn_of(dev);
    uint32_t v = 0;

    if (offset + size > PCI_CONFIG_SIZE)
        return UINT32_MAX;
    if (info && info->config_read)
        return info->config_read(dev, offset, size);
    pci_lock(fn);
    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)fn->config[offset + i] << (8 * i);
    pci_unlock(fn);
    return v;
}

void pci_config_write(struct bp_device *dev, unsigned offset, uint32_t value, unsigned size)
{
    const struct bp_pci_info *info = info_of(dev);
    struct pci_fn *fn = pci_fn_of(dev);

    if (offset + size > PCI_CONFIG_SIZE)
        return;
    pci_lock(fn);
    for (unsigned i = offset; i < offset + size; i++, value >>= 8) {
        uint8_t byte = (uint8_t)value;

        fn->config[i] = (fn->config[i] & (uint8_t)~fn->writable[i]) | (byte & fn->writable[i]);
        fn->config[i] &= (uint8_t)~(byte & fn->write1clear[i]);
    }
    pci_unlock(fn);
    if (offset < PCI_STATUS + 2 && offset + size > PCI_COMMAND) {
        pci_update_intx(dev);
        pci_update_bars(dev);
    } else if (offset < PCI_BAR0 + 4 * PCI_BARS && offset + size > PCI_BAR0) {
        pci_update_bars(dev);
    }
    if (fn->msi.at || fn->msix.vectors) {
        pci_update_intx(dev);
        pci_msi_written(dev);
        pci_msix_written(dev);
    }
    if (info && info->config_written)
        info->config_written(dev, offset, size);
}

void pci_config_load(struct bp_device *dev, const uint8_t *saved)
{
    struct pci_fn *fn = pci_fn_of(dev);

    pci_lock(fn);
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        uint8_t mask = fn->writable[i] | fn->write1clear[i];

        fn->config[i] = (fn->config[i] & (uint8_t)~mask) | (saved[i] & mask);
    }
    pci_unlock(fn);
    pci_update_intx(dev);
    pci_update_bars(dev);
}

void pci_config_init(struct bp_device *dev)
{
    const struct bp_pci_info *info = info_of(dev);
    struct pci_fn *fn = pci_fn_of(dev);
    uint8_t *c = fn->config;

    pci_set16(c + PCI_VENDOR, info->vendor);
    pci_set16(c + PCI_DEVICE, info->device);
    c[PCI_REVISION] = info->revision;
    c[PCI_PROG_IF] = info->prog_if;
    pci_set16(c + PCI_CLASS, info->class_code);
    c[PCI_HEADER_TYPE] = fn->multifunction ? 0x80 : 0;
    pci_set16(c + PCI_SUBSYSTEM_VENDOR, info->subsystem_vendor);
    pci_set16(c + PCI_SUBSYSTEM, info->subsystem);
    c[PCI_INTERRUPT_PIN] = info->interrupt_pin;

    pci_set16(fn->writable + PCI_COMMAND, 0x0547); /* I/O, memory, master, parity, SERR, INTx off */
    pci_set16(fn->write1clear + PCI_STATUS, 0xf900);
    fn->writable[PCI_CACHE_LINE] = 0xff;
    fn->writable[PCI_LATENCY] = 0xff;
    fn->writable[PCI_INTERRUPT_LINE] = 0xff;
    fn->next_capability = 0x40;
}

void pci_config_reset(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    uint8_t *c = fn->config;

    pci_lock(fn);
    pci_set16(c + PCI_COMMAND, 0);
    pci_unlock(fn);
    pci_set16(c + PCI_STATUS, pci_get16(c + PCI_STATUS) & 0x06ff);
    c[PCI_CACHE_LINE] = c[PCI_LATENCY] = c[PCI_INTERRUPT_LINE] = 0;
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (fn->bar[n].region) {
            pci_set32(c + PCI_BAR0 + 4 * n, fn->bar[n].flags);
            if (fn->bar[n].flags & BP_PCI_BAR_MEM64)
                pci_set32(c + PCI_BAR0 + 4 * n + 4, 0);
        }
    }
    pci_msi_reset(dev);
    pci_msix_reset(dev);
    fn->intx = false;
    pci_update_intx(dev);
    pci_update_bars(dev);
}
