// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PCI bus (PCI Local Bus 3.0): places of functions, configuration cycles, BARs, INTx, DMA.
 * Left out: bridges (bus 0 is the only bus), PCI Express, expansion ROMs.
 */
#include "pci.h"

#include <bp/log.h>
#include <bp/loop.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AUTO_FIRST_SLOT 1

struct pci_bus *pci_bus_of(struct bp_device *dev)
{
    struct bp_bus *bus = bp_device_bus(dev);

    return bus ? bp_bus_level(bus, &pci_class) : NULL;
}

/* ---- places ---- */
/* "SLOT", "SLOT.FN" (both hexadecimal) or "-1"; ret_devfn -1: any. */
static int parse_addr(const char *text, int *ret_devfn, struct bp_error *err)
{
    unsigned long slot, fn = 0;
    char *end;

    if (!text || strcmp(text, "-1") == 0) {
        *ret_devfn = -1;
        return 0;
    }
    slot = strtoul(text, &end, 16);
    if (end != text && *end == '.' && end[1] >= '0' && end[1] <= '9')
        fn = strtoul(end + 1, &end, 16);
    if (end == text || *end || text[0] == '-' || text[0] == '+' || slot > 31 || fn > 7)
        return bp_fail(err, EINVAL,
                       "PCI address '%s' is not SLOT or SLOT.FUNCTION (hexadecimal, 0 to 1f and "
                       "0 to 7)", text);
    *ret_devfn = (int)(slot << 3 | fn);
    return 0;
}

static int free_slot(const struct pci_bus *bus)
{
    for (int devfn = AUTO_FIRST_SLOT << 3; devfn < 256; devfn += 8) {
        bool used = false;

        for (int i = 0; i < 8; i++)
            used |= bus->fn[devfn + i] != NULL;
        if (!used)
            return devfn;
    }
    return -1;
}

static int check_multifunction(const struct pci_bus *bus, const struct pci_fn *fn, int devfn,
                               struct bp_error *err)
{
    struct bp_device *first = bus->fn[devfn & ~7];
    int slot = devfn >> 3;

    if (devfn & 7) {
        if (first && !pci_fn_of(first)->multifunction)
            return bp_fail(err, EINVAL,
                           "PCI: slot %d has the single-function device %s (multifunction=on would "
                           "allow function %d)",
                           slot, bp_device_class(first)->type.name, devfn & 7);
        return 0;
    }
    for (int i = 1; i < 8 && !fn->multifunction; i++) {
        if (bus->fn[devfn + i])
            return bp_fail(err, EINVAL,
                           "PCI: slot %d has function %d already: function 0 needs "
                           "multifunction=on", slot, i);
    }
    return 0;
}

static int choose_devfn(const struct pci_bus *bus, struct bp_device *dev, int *ret_devfn,
                        struct bp_error *err)
{
    const char *type = bp_device_class(dev)->type.name, *id;
    struct bp_device *user;
    int devfn = -1, r = parse_addr(pci_fn_of(dev)->addr, &devfn, err);

    if (r < 0)
        return r;
    if (devfn < 0)
        devfn = free_slot(bus);
    if (devfn < 0)
        return bp_fail(err, EBUSY, "PCI: no slot/function available for %s, all in use", type);
    user = bus->fn[devfn];
    if (user) {
        id = bp_device_id(user);
        return bp_fail(err, EBUSY,
                       "PCI: slot %d function %d not available for %s, in use by %s%s%s",
                       devfn >> 3, devfn & 7, type, bp_device_class(user)->type.name,
                       id ? ",id=" : "", id ? id : "");
    }
    r = check_multifunction(bus, pci_fn_of(dev), devfn, err);
    if (r == 0)
        *ret_devfn = devfn;
    return r;
}

static int child_attach(struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    struct pci_bus *bus = bp_bus_level(b, &pci_class);
    struct pci_fn *fn = pci_fn_of(dev);
    const struct bp_pci_info *info = bp_device_class(dev)->bus_info;
    const char *type = bp_device_class(dev)->type.name;
    int devfn = 0, r;

    if (!info || info->size < offsetof(struct bp_pci_info, reserved8))
        return bp_fail(err, EINVAL, "device type '%s' does not describe its PCI function", type);
    if (info->header_type != 0 || info->express)
        return bp_fail(err, ENOTSUP, "PCI: %s is a bridge or a PCI Express device, which this bus "
                       "does not carry", type);
    if (fn->romfile && fn->romfile[0])
        return bp_fail(err, ENOTSUP, "PCI: expansion ROMs are not available: romfile= must be "
                       "empty");
    r = choose_devfn(bus, dev, &devfn, err);
    if (r < 0)
        return r;
    fn->devfn = (uint8_t)devfn;
    fn->placed = true;
    pthread_mutex_init(&fn->lock, NULL);
    bus->fn[devfn] = dev;
    pci_config_init(dev);
    return 0;
}

static void child_detach(struct bp_bus *b, struct bp_device *dev)
{
    struct pci_bus *bus = bp_bus_level(b, &pci_class);
    struct pci_fn *fn = pci_fn_of(dev);

    if (!fn->placed)
        return;
    fn->intx = false;
    pci_update_intx(dev);
    bp_memory_begin();
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (fn->bar[n].region && fn->bar[n].mapped)
            bp_region_remove(fn->bar[n].region);
        fn->bar[n] = (struct pci_bar){0};
    }
    bp_memory_commit();
    pci_msix_free(dev);
    fn->msi = (struct pci_msi){0};
    fn->late = NULL; /* the device's, like all that it claims */
    pthread_mutex_destroy(&fn->lock);
    bus->fn[fn->devfn] = NULL;
    fn->placed = false;
}

static void child_address(struct bp_device *dev, char *buf, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t devfn = pci_fn_of(dev)->devfn;
    char text[5] = {hex[devfn >> 7 & 1], hex[devfn >> 3 & 15], '.', hex[devfn & 7], 0};

    if (size == 0)
        return;
    memcpy(buf, text, size < sizeof(text) ? size : sizeof(text));
    buf[size - 1 < sizeof(text) - 1 ? size - 1 : sizeof(text) - 1] = 0;
}

/* First no accesses of its own any more, then its configuration space as after power-on. */
static void child_reset(struct bp_bus *b, struct bp_device *dev, enum bp_reset_phase phase,
                        enum bp_reset_scope scope)
{
    (void)b, (void)scope;
    if (phase == BP_RESET_ENTER)
        pci_fn_of(dev)->config[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_MASTER;
    else if (phase == BP_RESET_HOLD)
        pci_config_reset(dev);
}

static const struct bp_field child_props[] = {
    BP_PROP("addr", STRING, struct pci_fn, addr, NULL,
            "place on the bus, SLOT or SLOT.FUNCTION in hexadecimal; the next free slot when not "
            "given"),
    BP_PROP("multifunction", BOOL, struct pci_fn, multifunction, "off",
            "whether more functions may share the slot"),
    BP_PROP("romfile", STRING, struct pci_fn, romfile, NULL, "expansion ROM: empty for none"),
    BP_PROP("rombar", UINT32, struct pci_fn, rombar, "1", "whether an expansion ROM has a BAR"),
    BP_FIELDS_END,
};

BP_NOTE("provides=bus:pci;summary=PCI bus");
const struct bp_bus_class pci_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "pci", .summary = "PCI bus",
             .state_size = sizeof(struct pci_bus)},
    .child_size = sizeof(struct pci_fn), .child_props = child_props, .child_state = &pci_fn_state,
    .child_attach = child_attach,
    .child_detach = child_detach, .child_reset = child_reset, .child_address = child_address};

/* ---- interface ---- */
static int new_root(struct bp_device *bridge, const char *name, const struct bp_pci_host *host,
                    struct bp_bus **ret_bus, struct bp_error *err)
{
    struct bp_bus *bus;
    int r = bp_bus_new(bridge, "pci", name, &bus, err);

    if (r < 0)
        return r;
    /* What an older bridge does not know of stays zero. */
    memcpy(&((struct pci_bus *)bp_bus_level(bus, &pci_class))->host, host,
           host->size < sizeof(*host) ? host->size : sizeof(*host));
    *ret_bus = bus;
    return 0;
}

static struct bp_device *find(struct bp_bus *root, unsigned number, unsigned devfn)
{
    struct pci_bus *bus = bp_bus_level(root, &pci_class);

    return number == bus->number && devfn < 256 ? bus->fn[devfn] : NULL;
}

static uint32_t root_config_read(struct bp_bus *root, unsigned number, unsigned devfn,
                                 unsigned offset, unsigned size)
{
    struct bp_device *dev = find(root, number, devfn);

    return dev ? pci_config_read(dev, offset, size) : UINT32_MAX;
}

static void root_config_write(struct bp_bus *root, unsigned number, unsigned devfn, unsigned offset,
                              uint32_t value, unsigned size)
{
    struct bp_device *dev = find(root, number, devfn);

    if (dev)
        pci_config_write(dev, offset, value, size);
}

static uint8_t *config(struct bp_device *dev)
{
    return pci_fn_of(dev)->config;
}

static uint8_t *writable(struct bp_device *dev)
{
    return pci_fn_of(dev)->writable;
}

static uint8_t *write1clear(struct bp_device *dev)
{
    return pci_fn_of(dev)->write1clear;
}

int pci_add_bar(struct bp_device *dev, unsigned n, unsigned flags, struct bp_region *region,
                struct bp_error *err)
{
    struct pci_fn *fn = pci_fn_of(dev);
    uint64_t size = bp_region_size(region), min = flags & BP_PCI_BAR_IO ? 4 : 16, mask;
    unsigned last = flags & BP_PCI_BAR_MEM64 ? n + 1 : n;

    if (last >= PCI_BARS || fn->bar[n].region || fn->bar[last].region ||
        (n > 0 && (fn->bar[n - 1].flags & BP_PCI_BAR_MEM64)))
        return bp_fail(err, EINVAL, "PCI: BAR %u is out of range or used twice", n);
    if (size < min || (size & (size - 1)) ||
        (!(flags & BP_PCI_BAR_MEM64) && size > 1ull << 31) ||
        ((flags & BP_PCI_BAR_IO) && size > 256))
        return bp_fail(err, EINVAL, "PCI: BAR %u has an impossible size of 0x%llx", n,
                       (unsigned long long)size);
    fn->bar[n] = (struct pci_bar){.region = region, .size = size, .flags = flags};
    mask = ~(size - 1);
    pci_set32(fn->config + PCI_BAR0 + 4 * n, flags);
    pci_set32(fn->writable + PCI_BAR0 + 4 * n, (uint32_t)mask);
    if (flags & BP_PCI_BAR_MEM64)
        pci_set32(fn->writable + PCI_BAR0 + 4 * n + 4, (uint32_t)(mask >> 32));
    return 0;
}

static void set_irq(struct bp_device *dev, int level)
{
    pci_fn_of(dev)->intx = level != 0;
    pci_update_intx(dev);
}

int pci_add_capability(struct bp_device *dev, uint8_t id, unsigned size, unsigned *ret_offset,
                       struct bp_error *err)
{
    struct pci_fn *fn = pci_fn_of(dev);
    unsigned at = (fn->next_capability + 3u) & ~3u;
    uint8_t *link = &fn->config[PCI_CAPABILITIES];

    if (size < 2 || at + size > PCI_CONFIG_SIZE)
        return bp_fail(err, ENOSPC, "PCI: no room for capability 0x%02x of %u bytes", id, size);
    while (*link)
        link = &fn->config[*link + 1];
    *link = (uint8_t)at;
    fn->config[at] = id;
    fn->config[at + 1] = 0;
    fn->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    fn->next_capability = (uint16_t)(at + size);
    *ret_offset = at;
    return 0;
}

static unsigned devfn_of(struct bp_device *dev)
{
    return pci_fn_of(dev)->devfn;
}

static struct bp_space *dma(struct bp_device *dev)
{
    return pci_bus_of(dev)->host.dma;
}

static const struct bp_pci_interface pci_table = {
    .size = sizeof(struct bp_pci_interface),
    .new_root = new_root,
    .config_read = root_config_read,
    .config_write = root_config_write,
    .config = config,
    .writable = writable,
    .write1clear = write1clear,
    .add_bar = pci_add_bar,
    .set_irq = set_irq,
    .add_capability = pci_add_capability,
    .devfn = devfn_of,
    .dma = dma,
    .find = find,
    .msix_init = pci_msix_init,
    .msix_init_bar = pci_msix_init_bar,
    .msix_enabled = pci_msix_enabled,
    .msix_notify = pci_msix_notify,
    .msi_init = pci_msi_init,
    .msi_enabled = pci_msi_enabled,
    .msi_notify = pci_msi_notify,
    .dma_read = pci_dma_read,
    .dma_write = pci_dma_write,
};
BP_INTERFACE(pci_interface, "pci", 1, 1, &pci_table);

BP_MODULE("pci", "PCI bus", BP_NO_IMPORTS, {BP_PROVIDE_BUS, &pci_class},
          {BP_PROVIDE_INTERFACE, &pci_interface}, {BP_PROVIDE_COMMAND, &pci_query_command},
          {BP_PROVIDE_HMP, &pci_info_command});
