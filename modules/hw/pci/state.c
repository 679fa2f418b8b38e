// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is saved of a function, with the device: its place, configuration space, MSI's pending bits, the
 * MSI-X table. Of configuration space only what a guest may have written is taken over, so that a
 * state cannot make a function out of another one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

static int before_save(void *state, struct bp_error *err)
{
    struct pci_fn *fn = state;

    fn->saved_devfn = fn->devfn;
    fn->saved_config.data = malloc(fn->size);
    if (!fn->saved_config.data)
        return bp_fail(err, ENOMEM, "PCI: no memory to save a configuration space");
    memcpy(fn->saved_config.data, fn->config, fn->size);
    fn->saved_config.size = fn->size;
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct pci_fn *fn = state;
    const uint8_t *saved = fn->saved_config.data;

    (void)version;
    if (fn->saved_config.size != fn->size)
        return bp_fail(err, EINVAL, "PCI: a configuration space of %u bytes, here it has %u",
                       fn->saved_config.size, fn->size);
    if (fn->saved_devfn != fn->devfn || memcmp(saved, fn->config, 4) != 0)
        return bp_fail(err, EINVAL, "PCI: the state is that of device %04x:%04x in slot %u function "
                       "%u; here %04x:%04x is in slot %u function %u", pci_get16(saved),
                       pci_get16(saved + 2), fn->saved_devfn >> 3, fn->saved_devfn & 7,
                       pci_get16(fn->config), pci_get16(fn->config + 2), fn->devfn >> 3,
                       fn->devfn & 7);
    pci_msix_loaded(fn);
    pci_config_load(bp_device_of_state(fn), saved);
    pci_msi_loaded(fn);
    return 0;
}

static const struct bp_state_field fields[] = {
    {.name = "devfn", .kind = BP_STATE_UINT8, .offset = offsetof(struct pci_fn, saved_devfn),
     .count = 1, .stride = 1},
    {.name = "config", .kind = BP_STATE_BYTES, .offset = offsetof(struct pci_fn, saved_config),
     .count = PCI_EXPRESS_CONFIG_SIZE, .stride = 1},
    BP_SAVE(BOOL, struct pci_fn, intx),
    {.name = "msi", .kind = BP_STATE_UINT32, .offset = offsetof(struct pci_fn, msi.pending),
     .count = 1, .stride = 4},
    {.name = "msix", .kind = BP_STATE_MEMORY, .offset = offsetof(struct pci_fn, msix.table),
     .number = offsetof(struct pci_fn, msix.size), .count = 1, .stride = 1},
    BP_SAVE_END,
};
const struct bp_state_table pci_fn_state = {.version = 1, .oldest = 1, .fields = fields,
                                            .before_save = before_save, .after_load = after_load};
