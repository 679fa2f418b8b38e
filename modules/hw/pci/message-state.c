// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MSI and MSI-X in the bus's saved state. For each function that has either, in order of devfn: u8
 * devfn, u16 MSI-X vectors (0: none), u32 pending MSI vectors, then the MSI-X table and pending
 * bits; numbers little endian. What else they have is in configuration space.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define HEAD 7u
#define VECTORS 1u
#define PENDING 3u

/* The function at devfn, when it is one with messages; else NULL. */
static struct pci_fn *with_messages(const struct pci_bus *bus, unsigned devfn)
{
    struct pci_fn *fn = bus->fn[devfn] ? pci_fn_of(bus->fn[devfn]) : NULL;

    return fn && (fn->msi.at || fn->msix.vectors) ? fn : NULL;
}

static uint32_t size_of(const struct pci_bus *bus)
{
    uint32_t size = 0;

    for (unsigned i = 0; i < 256; i++) {
        const struct pci_fn *fn = with_messages(bus, i);

        if (fn)
            size += HEAD + pci_msix_state_size(fn);
    }
    return size;
}

int pci_messages_save(struct pci_bus *bus, struct bp_error *err)
{
    uint32_t size = size_of(bus);
    uint8_t *at;

    if (size == 0)
        return 0;
    bus->messages.data = at = malloc(size);
    if (!at)
        return bp_fail(err, ENOMEM, "PCI: no memory to save MSI-X tables");
    bus->messages.size = size;
    for (unsigned i = 0; i < 256; i++) {
        const struct pci_fn *fn = with_messages(bus, i);

        if (!fn)
            continue;
        at[0] = (uint8_t)i;
        pci_set16(at + VECTORS, fn->msix.vectors);
        pci_set32(at + PENDING, fn->msi.pending);
        at += HEAD;
        if (fn->msix.vectors)
            memcpy(at, fn->msix.table, pci_msix_state_size(fn));
        at += pci_msix_state_size(fn);
    }
    return 0;
}

int pci_messages_check(const struct pci_bus *bus, struct bp_error *err)
{
    const uint8_t *at = bus->messages.data;

    if (bus->messages.size != size_of(bus))
        return bp_fail(err, EINVAL, "PCI: %u bytes of MSI and MSI-X state; the functions here have "
                       "%u", bus->messages.size, size_of(bus));
    for (unsigned i = 0; i < 256; i++) {
        const struct pci_fn *fn = with_messages(bus, i);

        if (!fn)
            continue;
        if (at[0] != i || pci_get16(at + VECTORS) != fn->msix.vectors)
            return bp_fail(err, EINVAL, "PCI: slot %u function %u has %u MSI-X vectors, the saved "
                           "state others", i >> 3, i & 7, fn->msix.vectors);
        at += HEAD + pci_msix_state_size(fn);
    }
    return 0;
}

void pci_messages_load(struct pci_bus *bus)
{
    const uint8_t *at = bus->messages.data;

    for (unsigned i = 0; i < 256; i++) {
        struct pci_fn *fn = with_messages(bus, i);

        if (!fn)
            continue;
        if (fn->msi.at)
            pci_msi_load(fn, pci_get32(at + PENDING));
        if (fn->msix.vectors)
            memcpy(fn->msix.table, at + HEAD, pci_msix_state_size(fn));
        at += HEAD + pci_msix_state_size(fn);
    }
}
