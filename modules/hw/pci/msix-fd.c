// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MSI-X vectors that another process raises by a descriptor: the accelerator sends the message while the vector may
 * send one, at the address and with the data that its entry has; whoever watches the descriptor does while it may not,
 * so that a masked vector's message becomes pending. Messages that an IOMMU remaps are not the accelerator's.
 */
#include <errno.h>
#include <stdlib.h>

#include "pci.h"

struct pci_msix_fd {
    struct pci_msix_fd *next;
    int fd;
    unsigned vector;
    bool taken; /* the accelerator sends its message */
    uint64_t address;
    uint32_t data;
    void (*changed)(void *opaque, bool taken);
    void *opaque;
};

static void give_back(struct pci_fn *fn, struct pci_msix_fd *f)
{
    if (f->taken)
        bp_machine_post_fd_end(bp_device_machine(fn->device), f->fd);
}

static void look(struct pci_fn *fn, struct pci_msix_fd *f)
{
    bool was = f->taken;
    uint64_t address;
    uint32_t data;

    if (!pci_msix_may_send(fn, f->vector, &address, &data) ||
        pci_message_space(fn->device, address) != bp_device_memory(fn->device)) {
        give_back(fn, f);
        f->taken = false;
    } else if (!f->taken || f->address != address || f->data != data) {
        f->taken = bp_machine_post_fd(bp_device_machine(fn->device), f->fd, address, data) == 0;
        f->address = address;
        f->data = data;
    }
    if (f->taken != was)
        f->changed(f->opaque, f->taken);
}

/* Lock held. */
void pci_msix_fds_look(struct pci_fn *fn)
{
    for (struct pci_msix_fd *f = fn->msix.fds; f; f = f->next)
        look(fn, f);
}

void pci_msix_fds_behind(struct bp_device *bridge)
{
    const struct pci_bus *bus = bp_bus_level(pci_fn_of(bridge)->secondary, &pci_class);

    for (unsigned n = 0; n < BP_COUNT(bus->fn); n++) {
        struct pci_fn *fn = bus->fn[n] ? pci_fn_of(bus->fn[n]) : NULL;

        if (!fn || !fn->config)
            continue;
        pci_lock(fn);
        pci_msix_fds_look(fn);
        pci_unlock(fn);
        if (fn->secondary)
            pci_msix_fds_behind(bus->fn[n]);
    }
}

static void forget(struct pci_fn *fn, struct pci_msix_fd **link)
{
    struct pci_msix_fd *f = *link;

    give_back(fn, f);
    *link = f->next;
    free(f);
}

void pci_msix_fds_free(struct pci_fn *fn)
{
    while (fn->msix.fds)
        forget(fn, &fn->msix.fds);
}

int pci_msix_fd(struct bp_device *dev, unsigned vector, int fd, void (*changed)(void *opaque, bool taken), void *opaque)
{
    struct pci_fn *fn = pci_fn_of(dev);
    struct pci_msix_fd **link;

    pci_lock(fn);
    for (link = &fn->msix.fds; *link && (*link)->fd != fd;)
        link = &(*link)->next;
    if (!*link && changed && (*link = calloc(1, sizeof(**link))))
        (*link)->fd = fd;
    if (*link && !changed) {
        forget(fn, link);
    } else if (*link) {
        (*link)->vector = vector;
        (*link)->changed = changed;
        (*link)->opaque = opaque;
        look(fn, *link);
    } else if (changed) {
        pci_unlock(fn);
        return -ENOMEM;
    }
    pci_unlock(fn);
    return 0;
}
