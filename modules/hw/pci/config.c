// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Configuration space of a PCI function as tables (PCI Local Bus 3.0 chapter 6): for each bit whether
 * the guest may write it, clears it by writing 1, or the device changes it, what it is after a reset,
 * and which resets it survives. A write goes through these tables; what follows from it (BARs,
 * windows, pins, messages) is brought up to date afterwards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

static const struct bp_pci_info *info_of(struct bp_device *dev)
{
    return bp_device_class(dev)->bus_info;
}

/* ---- tables ---- */
static void put(uint8_t *at, unsigned width, uint32_t value, bool set)
{
    for (unsigned i = 0; i < width; i++, value >>= 8)
        at[i] = set ? (uint8_t)value : (uint8_t)(at[i] | value);
}

void pci_add_fields(struct bp_device *dev, unsigned base, const struct bp_pci_field *fields)
{
    struct pci_fn *fn = pci_fn_of(dev);

    for (const struct bp_pci_field *f = fields; f && f->width; f++) {
        unsigned at = base + f->offset;
        uint32_t changes = f->rw | f->w1c | f->live;

        if (at + f->width > fn->size)
            continue; /* extended space on a conventional bus */
        put(fn->config + at, f->width, f->value, true);
        put(fn->writable + at, f->width, f->rw, true);
        put(fn->write1clear + at, f->width, f->w1c, true);
        put(fn->live + at, f->width, f->live, true);
        put(fn->sticky + at, f->width, f->flags & BP_PCI_STICKY ? changes : 0, true);
    }
}

static const struct bp_pci_field header_fields[] = {
    /* I/O, memory, master, parity, SERR, INTx off */
    {.offset = PCI_COMMAND, .width = 2, .rw = 0x0547},
    {.offset = PCI_STATUS, .width = 2, .w1c = 0xf900},
    {.offset = PCI_CACHE_LINE, .width = 2, .rw = 0xffff}, /* and latency */
    {.offset = PCI_INTERRUPT_LINE, .width = 1, .rw = 0xff},
    BP_PCI_FIELDS_END,
};

static void fill_header(struct bp_device *dev)
{
    const struct bp_pci_info *info = info_of(dev);
    struct pci_fn *fn = pci_fn_of(dev);
    uint8_t *c = fn->config;

    pci_add_fields(dev, 0, header_fields);
    pci_set16(c + PCI_VENDOR, info->vendor);
    pci_set16(c + PCI_DEVICE, info->device);
    c[PCI_REVISION] = info->revision;
    c[PCI_PROG_IF] = info->prog_if;
    pci_set16(c + PCI_CLASS, info->class_code);
    c[PCI_HEADER_TYPE] = (uint8_t)((info->header_type & 0x7f) | (fn->multifunction ? 0x80 : 0));
    c[PCI_INTERRUPT_PIN] = info->interrupt_pin;
    if (info->header_type == 1) {
        pci_bridge_header(fn);
        return;
    }
    pci_set16(c + PCI_SUBSYSTEM_VENDOR, info->subsystem_vendor);
    pci_set16(c + PCI_SUBSYSTEM, info->subsystem);
}

static int fill_from_table(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_info *info = info_of(dev);
    const struct bp_pci_msix *msix = &info->msix;
    bool masking = info->flags & BP_PCI_FLAG_MSI_MASKING;
    int r;

    fill_header(dev);
    r = pci_table_bars(dev, err);
    if (r == 0 && info->capabilities) /* those with a place of their own before the others */
        r = pci_add_capabilities(dev, info->capabilities, err);
    if (r == 0)
        r = pci_standard_capabilities(dev, err);
    if (r == 0 && info->msi)
        r = pci_msi_init(dev, info->msi, masking, err);
    if (r == 0 && msix->vectors && !msix->table && !msix->pba)
        r = pci_msix_init_bar(dev, msix->vectors, msix->bar, err);
    else if (r == 0 && msix->vectors)
        r = pci_msix_init(dev, msix->vectors, msix->bar, msix->table, msix->pba, err);
    if (r == 0)
        pci_add_fields(dev, 0, info->fields);
    return r < 0 ? r : pci_add_rom(dev, err);
}

int pci_config_init(struct bp_device *dev, struct bp_error *err)
{
    enum { ARRAYS = 7 };
    struct pci_fn *fn = pci_fn_of(dev);

    fn->device = dev;
    fn->size = fn->express_type ? PCI_EXPRESS_CONFIG_SIZE : PCI_CONFIG_SIZE;
    fn->config = calloc(ARRAYS, fn->size);
    if (!fn->config)
        return bp_fail(err, ENOMEM, "PCI: no memory for a configuration space");
    fn->writable = fn->config + fn->size;
    fn->write1clear = fn->writable + fn->size;
    fn->live = fn->write1clear + fn->size;
    fn->sticky = fn->live + fn->size;
    fn->initial = fn->sticky + fn->size;
    fn->used = fn->initial + fn->size;
    memset(fn->used, 1, PCI_HEADER_END);
    return fill_from_table(dev, err);
}

void pci_config_free(struct pci_fn *fn)
{
    free(fn->config);
    fn->config = NULL;
    fn->size = 0;
    fn->last_extended = 0;
    fn->express = fn->power = fn->advanced = 0;
}

void pci_config_settled(struct pci_fn *fn)
{
    memcpy(fn->initial, fn->config, fn->size);
}

/* ---- accesses ---- */
uint32_t pci_config_read(struct bp_device *dev, unsigned offset, unsigned size)
{
    const struct bp_pci_info *info = info_of(dev);
    struct pci_fn *fn = pci_fn_of(dev);
    uint32_t v = 0;

    if (offset + size > fn->size)
        return UINT32_MAX >> (32 - 8 * size);
    if (fn->reading)
        fn->reading(dev, offset, size);
    if (info && info->config_read)
        return info->config_read(dev, offset, size);
    pci_lock(fn);
    for (unsigned i = size; i-- > 0;)
        v = v << 8 | fn->config[offset + i];
    pci_unlock(fn);
    return v;
}

static bool overlaps(unsigned offset, unsigned size, unsigned first, unsigned end)
{
    return offset < end && offset + size > first;
}

/* What follows from registers that may have changed. */
static void bring_up_to_date(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    pci_update_intx(dev);
    pci_update_bars(dev);
    if (fn->secondary)
        pci_update_bridge(dev);
    if (fn->secondary)
        pci_msix_fds_behind(dev);
    pci_msi_written(dev);
    pci_msix_written(dev);
}

void pci_config_write(struct bp_device *dev, unsigned offset, uint32_t value, unsigned size)
{
    const struct bp_pci_info *info = info_of(dev);
    struct pci_fn *fn = pci_fn_of(dev);
    bool reset;
    uint8_t power;

    if (offset + size > fn->size)
        return;
    pci_lock(fn);
    power = fn->power ? fn->config[fn->power + 4] : 0;
    for (unsigned i = offset; i < offset + size; i++, value >>= 8) {
        uint8_t byte = (uint8_t)value;

        fn->config[i] = (fn->config[i] & (uint8_t)~fn->writable[i]) | (byte & fn->writable[i]);
        fn->config[i] &= (uint8_t)~(byte & fn->write1clear[i]);
    }
    reset = pci_capabilities_written(fn, offset, size, power);
    pci_unlock(fn);
    if (reset)
        bp_device_reset_function(dev);
    pci_ats_follow(fn);
    if (overlaps(offset, size, 0, PCI_HEADER_END) || (fn->power && overlaps(offset, size, fn->power, fn->power + 8u)) ||
        fn->msi.at || fn->msix.vectors)
        bring_up_to_date(dev);
    if (info && info->config_written)
        info->config_written(dev, offset, size);
    if (fn->written)
        fn->written(dev, offset, size);
}

void pci_set_config(struct bp_device *dev, unsigned offset, unsigned width, uint32_t clear, uint32_t set)
{
    struct pci_fn *fn = pci_fn_of(dev);

    if (offset + width > fn->size)
        return;
    pci_lock(fn);
    for (unsigned i = offset; i < offset + width; i++, clear >>= 8, set >>= 8)
        fn->config[i] = (uint8_t)((fn->config[i] & ~clear) | set);
    pci_unlock(fn);
}

/* ---- state and reset ---- */
void pci_config_load(struct bp_device *dev, const uint8_t *saved)
{
    struct pci_fn *fn = pci_fn_of(dev);

    pci_lock(fn);
    for (unsigned i = 0; i < fn->size; i++) {
        uint8_t mask = fn->writable[i] | fn->write1clear[i] | fn->live[i];

        fn->config[i] = (fn->config[i] & (uint8_t)~mask) | (saved[i] & mask);
    }
    pci_unlock(fn);
    pci_ats_follow(fn);
    pci_update_intx(dev);
    pci_update_bars(dev);
    if (fn->secondary)
        pci_update_bridge(dev);
    pci_lock(fn);
    pci_msix_fds_look(fn);
    pci_unlock(fn);
}

void pci_config_reset(struct bp_device *dev, enum bp_reset_scope scope)
{
    struct pci_fn *fn = pci_fn_of(dev);

    pci_lock(fn);
    for (unsigned i = 0; i < fn->size; i++) {
        uint8_t mask = fn->writable[i] | fn->write1clear[i] | fn->live[i];

        if (scope != BP_RESET_MACHINE)
            mask &= (uint8_t)~fn->sticky[i];
        fn->config[i] = (fn->config[i] & (uint8_t)~mask) | (fn->initial[i] & mask);
    }
    pci_unlock(fn);
    pci_ats_follow(fn);
    pci_msi_reset(dev);
    pci_msix_reset(dev);
    fn->intx = false;
    pci_update_intx(dev);
    pci_update_bars(dev);
    if (fn->secondary)
        pci_update_bridge(dev);
}
