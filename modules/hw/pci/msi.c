// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MSI (PCI Local Bus 3.0, 6.8.1): the capability, per-vector masks and pending bits. A message
 * waits while its vector is masked or the function is no bus master. The capability always has a
 * 64-bit address. Messages are sent on any thread; what is masked comes no more, as msix.c says.
 */
#include <errno.h>

#include <bp/loop.h>

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

static uint16_t control(const struct pci_fn *fn)
{
    return pci_get16(fn->config + fn->msi.at + MSI_CONTROL);
}

static bool enabled(const struct pci_fn *fn)
{
    return fn->msi.at && (control(fn) & MSI_ENABLE);
}

bool pci_msi_enabled(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    bool on;

    pci_lock(fn);
    on = enabled(fn);
    pci_unlock(fn);
    return on;
}

/* log2 of the vectors the guest grants; never more than there are. */
static unsigned granted(const struct pci_fn *fn)
{
    unsigned capable = control(fn) >> 1 & 7, enabled = control(fn) >> 4 & 7;

    return enabled < capable ? enabled : capable;
}

static uint32_t masks(const struct pci_fn *fn)
{
    return fn->msi.masking ? pci_get32(fn->config + fn->msi.at + MSI_MASK) : 0;
}

/* The pending bits the guest sees. */
static void show_pending(struct pci_fn *fn)
{
    if (fn->msi.masking)
        pci_set32(fn->config + fn->msi.at + MSI_PENDING, fn->msi.pending);
}

/* Takes one pending message that may go; lock held. HELD: there is none. */
static enum pci_message take(struct pci_fn *fn, struct pci_access *a, uint64_t *ret_address,
                             uint32_t *ret_data)
{
    enum pci_message how;
    const uint8_t *cap = fn->config + fn->msi.at;
    uint32_t low = (1u << granted(fn)) - 1, ready = fn->msi.pending & ~masks(fn), v;

    if (!ready || !enabled(fn) || !pci_is_master(fn))
        return PCI_MESSAGE_HELD;
    v = (uint32_t)__builtin_ctz(ready);
    *ret_address = pci_get32(cap + MSI_ADDRESS) | (uint64_t)pci_get32(cap + MSI_ADDRESS + 4) << 32;
    *ret_data = (pci_get16(cap + MSI_DATA) & ~low) | (v & low);
    how = pci_message_begin(a, fn, *ret_address, *ret_data);
    if (how != PCI_MESSAGE_HELD) {
        fn->msi.pending &= ~(1u << v);
        show_pending(fn);
    }
    return how;
}

/* Sends what is pending and allowed; not more than there are vectors, for sending may make more. */
static void flush(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    for (unsigned n = 0; n < 32; n++) {
        struct pci_access a;
        uint64_t address;
        uint32_t data;
        enum pci_message how;

        pci_lock(fn);
        how = take(fn, &a, &address, &data);
        pci_unlock(fn);
        if (how == PCI_MESSAGE_HELD)
            return;
        if (how == PCI_MESSAGE_BEGUN)
            pci_message_send(dev, &a, address, data);
    }
}

void pci_msi_notify(struct bp_device *dev, unsigned vector)
{
    struct pci_fn *fn = pci_fn_of(dev);
    bool on;

    pci_lock(fn);
    on = enabled(fn);
    if (on) {
        fn->msi.pending |= 1u << (vector & ((1u << granted(fn)) - 1));
        show_pending(fn);
    }
    pci_unlock(fn);
    if (on)
        flush(dev);
}

void pci_msi_written(struct bp_device *dev)
{
    if (pci_fn_of(dev)->msi.at)
        flush(dev);
}

void pci_msi_loaded(struct pci_fn *fn)
{
    pci_lock(fn);
    if (!fn->msi.at)
        fn->msi.pending = 0;
    else
        show_pending(fn);
    pci_unlock(fn);
}

void pci_msi_reset(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    uint8_t *cap = fn->config + fn->msi.at;

    if (!fn->msi.at)
        return;
    pci_lock(fn);
    fn->msi.pending = 0;
    pci_set16(cap + MSI_CONTROL, control(fn) & ~(MSI_ENABLE | 0x70u));
    for (unsigned i = MSI_ADDRESS; i < (fn->msi.masking ? MSI_SIZE_MASKING : MSI_SIZE); i++)
        cap[i] = 0;
    pci_unlock(fn);
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
    pci_messages_init(dev);
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
