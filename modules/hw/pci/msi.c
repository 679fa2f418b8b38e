// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MSI (PCI Local Bus 3.0, 6.8.1): the capability, per-vector masks and pending bits, and the
 * sending of messages, which MSI-X shares. A message waits while its vector is masked or the
 * function is no bus master. The capability always has a 64-bit address.
 */
#include <errno.h>

#include "pci.h"

enum { /* offsets in the capability, 64-bit address */
    MSI_CONTROL = 2,
    MSI_ADDRESS = 4,
    MSI_DATA = 12,
    MSI_MASK = 16,
    MSI_PENDING = 20,
};
#define MSI_ENABLE 0x0001u
#define MSI_64BIT 0x0080u
#define MSI_MASKING 0x0100u
#define MSI_SIZE 14u
#define MSI_SIZE_MASKING 24u

void pci_send_message(struct bp_device *dev, uint64_t address, uint32_t data)
{
    if (!pci_master_begin(dev))
        return;
    (void)bp_space_store(pci_bus_of(dev)->host.dma, address, 4, data);
    pci_master_end(dev);
}

bool pci_is_master(const struct pci_fn *fn)
{
    return pci_get16(fn->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static uint16_t control(const struct pci_fn *fn)
{
    return pci_get16(fn->config + fn->msi.at + MSI_CONTROL);
}

bool pci_msi_enabled(struct bp_device *dev)
{
    const struct pci_fn *fn = pci_fn_of(dev);

    return fn->msi.at && (control(fn) & MSI_ENABLE);
}

/* log2 of the vectors the guest grants; never more than there are. */
static unsigned granted(const struct pci_fn *fn)
{
    unsigned capable = control(fn) >> 1 & 7, enabled = control(fn) >> 4 & 7;

    return enabled < capable ? enabled : capable;
}

/* Sends what is pending and allowed; the pending bits the guest sees follow. */
static void flush(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    uint8_t *cap = fn->config + fn->msi.at;
    uint32_t mask = fn->msi.masking ? pci_get32(cap + MSI_MASK) : 0;
    uint32_t low = (1u << granted(fn)) - 1;

    if (pci_msi_enabled(dev) && pci_is_master(fn)) {
        for (unsigned v = 0; v < 32 && fn->msi.pending & ~mask; v++) {
            if (!(fn->msi.pending & ~mask & 1u << v))
                continue;
            fn->msi.pending &= ~(1u << v);
            pci_send_message(dev,
                             pci_get32(cap + MSI_ADDRESS) |
                                 (uint64_t)pci_get32(cap + MSI_ADDRESS + 4) << 32,
                             (pci_get16(cap + MSI_DATA) & ~low) | (v & low));
        }
    }
    if (fn->msi.masking)
        pci_set32(cap + MSI_PENDING, fn->msi.pending);
}

void pci_msi_notify(struct bp_device *dev, unsigned vector)
{
    struct pci_fn *fn = pci_fn_of(dev);

    if (!pci_msi_enabled(dev))
        return;
    fn->msi.pending |= 1u << (vector & ((1u << granted(fn)) - 1));
    flush(dev);
}

void pci_msi_written(struct bp_device *dev)
{
    if (pci_fn_of(dev)->msi.at)
        flush(dev);
}

void pci_msi_load(struct pci_fn *fn, uint32_t pending)
{
    fn->msi.pending = pending;
    if (fn->msi.masking)
        pci_set32(fn->config + fn->msi.at + MSI_PENDING, pending);
}

void pci_msi_reset(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    uint8_t *cap = fn->config + fn->msi.at;

    if (!fn->msi.at)
        return;
    fn->msi.pending = 0;
    pci_set16(cap + MSI_CONTROL, control(fn) & ~(MSI_ENABLE | 0x70u));
    for (unsigned i = MSI_ADDRESS; i < (fn->msi.masking ? MSI_SIZE_MASKING : MSI_SIZE); i++)
        cap[i] = 0;
}

int pci_msi_init(struct bp_device *dev, unsigned vectors, bool masking, struct bp_error *err)
{
    struct pci_fn *fn = pci_fn_of(dev);
    unsigned at, log = 0;
    uint8_t *writable;
    int r;

    if (vectors < 1 || vectors > 32 || (vectors & (vectors - 1)))
        return bp_fail(err, EINVAL, "PCI: %u MSI vectors: a power of two from 1 to 32 is possible",
                       vectors);
    if (fn->msi.at)
        return bp_fail(err, EEXIST, "PCI: the function has MSI already");
    r = pci_add_capability(dev, 0x05, masking ? MSI_SIZE_MASKING : MSI_SIZE, &at, err);
    if (r < 0)
        return r;
    while (1u << log < vectors)
        log++;
    fn->msi.at = (uint8_t)at;
    fn->msi.masking = masking;
    pci_set16(fn->config + at + MSI_CONTROL,
              (uint16_t)(MSI_64BIT | (masking ? MSI_MASKING : 0) | log << 1));
    writable = fn->writable + at;
    pci_set16(writable + MSI_CONTROL, 0x0071);
    pci_set32(writable + MSI_ADDRESS, 0xfffffffcu);
    pci_set32(writable + MSI_ADDRESS + 4, UINT32_MAX);
    pci_set16(writable + MSI_DATA, UINT16_MAX);
    if (masking)
        pci_set32(writable + MSI_MASK, vectors == 32 ? UINT32_MAX : (1u << vectors) - 1);
    return 0;
}
