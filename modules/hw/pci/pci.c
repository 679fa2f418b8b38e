// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PCI bus and its extension, the PCI Express bus: places of functions, and the interface of both.
 */
#include "pci.h"

#include <stdio.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    for (int devfn = bus->first_slot << 3; devfn < bus->slots << 3; devfn += 8) {
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
    if (devfn >> 3 >= bus->slots)
        return bp_fail(err, EINVAL, "PCI: slot %d is not on this bus, which has %u of them, from 0 on (%s)",
                       devfn >> 3, bus->slots, type);
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

static void leave_place(struct pci_bus *bus, struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    if (!fn->placed)
        return;
    if (fn->config) {
        fn->intx = false;
        pci_update_intx(dev);
    }
    pci_take_bars(fn);
    pci_take_windows(fn);
    pci_msix_free(dev);
    pci_ats_free(fn);
    fn->msi = (struct pci_msi){0};
    fn->reading = fn->written = NULL;
    fn->late = NULL; /* the device's, like all that it claims */
    bus->bridges -= fn->secondary != NULL;
    fn->secondary = NULL;
    bus->fn[fn->devfn] = NULL;
    fn->placed = false;
    pci_config_free(fn);
    pthread_mutex_destroy(&fn->lock);
}

static int child_attach(struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    struct pci_bus *bus = bp_bus_level(b, &pci_class);
    struct pci_fn *fn = pci_fn_of(dev);
    const struct bp_pci_info *info = bp_device_class(dev)->bus_info;
    const char *type = bp_device_class(dev)->type.name;
    int devfn = 0, r;

    if (!info || info->size < offsetof(struct bp_pci_info, reserved))
        return bp_fail(err, EINVAL, "device type '%s' does not describe its PCI function", type);
    if (info->header_type > 1)
        return bp_fail(err, EINVAL, "PCI: %s has a header of type %u: 0 and 1 are known", type,
                       info->header_type);
    if (!bus->express && (info->express == BP_PCI_EXPRESS_ROOT_PORT || info->express == BP_PCI_EXPRESS_UPSTREAM ||
                          info->express == BP_PCI_EXPRESS_DOWNSTREAM || info->express == BP_PCI_EXPRESS_TO_PCI))
        return bp_fail(err, EINVAL, "PCI: %s needs a PCI Express bus", type);
    r = choose_devfn(bus, dev, &devfn, err);
    if (r < 0)
        return r;
    fn->devfn = (uint8_t)devfn;
    fn->placed = true;
    fn->express_type = bus->express ? info->express : 0;
    pthread_mutex_init(&fn->lock, NULL);
    bus->fn[devfn] = dev;
    r = pci_config_init(dev, err);
    if (r < 0)
        leave_place(bus, dev);
    return r;
}

/* The primary of two network cards that are one to the guest comes when the driver of the other, the standby, has
 * understood that (Virtual I/O Device 1.2, 5.1.3: VIRTIO_NET_F_STANDBY). */
static int child_waits(struct bp_bus *b, struct bp_device *dev, const char **ret_for, struct bp_error *err)
{
    const struct bp_pci_info *info = bp_device_class(dev)->bus_info;
    const char *id = pci_fn_of(dev)->failover_pair_id;

    (void)b;
    if (!id || !*id)
        return 0;
    if (!info || info->class_code >> 8 != 2)
        return bp_fail(err, EINVAL, "property 'failover_pair_id' is for network cards: '%s' is none",
                       bp_device_class(dev)->type.name);
    *ret_for = id;
    return 1;
}

static void child_attached(struct bp_bus *b, struct bp_device *dev)
{
    (void)b;
    pci_config_settled(pci_fn_of(dev));
}

static void child_detach(struct bp_bus *b, struct bp_device *dev)
{
    leave_place(bp_bus_level(b, &pci_class), dev);
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

/* Names of classes by the PCI bus binding to IEEE 1275, as far as firmware looks for them. */
static void child_firmware_path(struct bp_device *dev, char *buf, size_t size)
{
    static const struct {
        uint16_t class;
        const char *name;
    } names[] = {
        {0x0100, "scsi"}, {0x0101, "ide"}, {0x0102, "fdc"}, {0x0103, "ipi"}, {0x0104, "raid"}, {0x0200, "ethernet"},
        {0x0201, "token-ring"}, {0x0202, "fddi"}, {0x0203, "atm"}, {0x0300, "display"}, {0x0601, "isa"},
        {0x0602, "eisa"}, {0x0604, "pci-bridge"}, {0x0c03, "usb"}, {0x0c04, "fibre-channel"},
    };
    const struct pci_fn *fn = pci_fn_of(dev);
    const uint8_t *c = fn->config;
    const char *name = NULL;
    char generic[24], function[8] = "";

    for (size_t i = 0; i < BP_COUNT(names); i++) {
        if (names[i].class == (c[0x0b] << 8 | c[0x0a]))
            name = names[i].name;
    }
    snprintf(generic, sizeof(generic), "pci%x,%x", c[1] << 8 | c[0], c[3] << 8 | c[2]);
    if (fn->devfn & 7)
        snprintf(function, sizeof(function), ",%x", fn->devfn & 7u);
    snprintf(buf, size, "%s@%x%s", name ? name : generic, fn->devfn >> 3, function);
}

/* First no accesses of its own any more, then its configuration space as after power-on. */
static void child_reset(struct bp_bus *b, struct bp_device *dev, enum bp_reset_phase phase,
                        enum bp_reset_scope scope)
{
    (void)b;
    if (phase == BP_RESET_ENTER)
        pci_fn_of(dev)->config[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_MASTER;
    else if (phase == BP_RESET_HOLD)
        pci_config_reset(dev, scope);
}

static const struct bp_field child_props[] = {
    BP_PROP("addr", STRING, struct pci_fn, addr, NULL,
            "place on the bus, SLOT or SLOT.FUNCTION in hexadecimal; the next free slot when not "
            "given"),
    BP_PROP("multifunction", BOOL, struct pci_fn, multifunction, "off",
            "whether more functions may share the slot"),
    BP_PROP("romfile", STRING, struct pci_fn, romfile, NULL,
            "file with the expansion ROM; empty for none; the device's own when not given"),
    BP_PROP("rombar", UINT32, struct pci_fn, rombar, "1",
            "0: the guest sees no expansion ROM"),
    BP_PROP("romsize", UINT32, struct pci_fn, romsize, "4294967295",
            "bytes of the expansion ROM's BAR, a power of two; 4294967295: as the file needs"),
    BP_PROP("failover_pair_id", STRING, struct pci_fn, failover_pair_id, NULL,
            "of a network card: id of the virtio-net with failover=on that stands in for it; it is plugged in when the "
            "guest's driver knows of that"),
    BP_FIELDS_END,
};

BP_NOTE("provides=bus:pci;summary=PCI bus");
const struct bp_bus_class pci_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "pci", .summary = "PCI bus",
             .state_size = sizeof(struct pci_bus)},
    .child_size = sizeof(struct pci_fn), .child_props = child_props, .child_state = &pci_fn_state,
    .child_attach = child_attach, .child_waits = child_waits, .child_attached = child_attached,
    .child_detach = child_detach, .child_reset = child_reset, .child_address = child_address,
    .child_firmware_path = child_firmware_path};

/* What is different is known by where a function sits: all is in the level that both have. */
struct no_state {
    char none;
};
BP_NOTE("provides=bus:pcie;summary=PCI Express bus");
const struct bp_bus_class pcie_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "pcie", .parent = "pci",
             .summary = "PCI Express bus", .state_size = sizeof(struct no_state)}};

/* ---- interface ---- */
static int new_root(struct bp_device *bridge, const char *name, const struct bp_pci_host *host,
                    struct bp_bus **ret_bus, struct bp_error *err)
{
    struct bp_pci_host known = {0}; /* what an older bridge does not know of stays zero */
    struct pci_bus *pci;
    struct bp_bus *bus;
    int r;

    memcpy(&known, host, host->size < sizeof(known) ? host->size : sizeof(known));
    r = bp_bus_new(bridge, known.type ? known.type : "pci", name, &bus, err);
    if (r < 0)
        return r;
    pci = bp_bus_level(bus, &pci_class);
    if (!pci)
        return bp_fail(err, EINVAL, "PCI: bus type '%s' is no PCI bus", known.type);
    pci->host = known;
    pci->root = pci;
    pci->first_slot = 1; /* the host bridge itself has slot 0 */
    pci->slots = 32;
    pci->express = bp_bus_level(bus, &pcie_class) != NULL;
    *ret_bus = bus;
    return 0;
}

static struct bp_device *find(struct bp_bus *root, unsigned number, unsigned devfn)
{
    const struct pci_bus *bus = pci_bus_numbered(bp_bus_level(root, &pci_class), number);

    return bus && !bus->off && devfn < 256 ? bus->fn[devfn] : NULL;
}

static struct bp_device *function(struct bp_bus *bus, unsigned devfn)
{
    const struct pci_bus *pci = bp_bus_level(bus, &pci_class);

    return pci && devfn < 256 ? pci->fn[devfn] : NULL;
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

static void set_irq(struct bp_device *dev, int level)
{
    pci_fn_of(dev)->intx = level != 0;
    pci_update_intx(dev);
}

static struct bp_region *bar(struct bp_device *dev, unsigned n)
{
    return n < PCI_BARS ? pci_fn_of(dev)->bar[n].region : NULL;
}

static void interrupt(struct bp_device *dev, unsigned vector, int level)
{
    bool rises = level && !pci_fn_of(dev)->intx;

    set_irq(dev, level);
    if (!rises)
        return;
    pci_msix_notify(dev, vector);
    pci_msi_notify(dev, vector);
}

static unsigned devfn_of(struct bp_device *dev)
{
    return pci_fn_of(dev)->devfn;
}

struct bp_space *pci_dma_of(struct bp_device *dev)
{
    const struct pci_fn *fn = pci_fn_of(dev);

    return fn->ats ? pci_ats_space(fn->ats) : pci_root_dma(dev);
}

struct bp_space *pci_root_dma(struct bp_device *dev)
{
    return __atomic_load_n(&pci_bus_of(dev)->root->host.dma, __ATOMIC_ACQUIRE);
}

static void moved(const struct pci_bus *bus)
{
    for (unsigned i = 0; i < BP_COUNT(bus->fn); i++) {
        struct pci_fn *fn = bus->fn[i] ? pci_fn_of(bus->fn[i]) : NULL;

        if (fn)
            pci_ats_moved(fn);
        if (fn && fn->secondary)
            moved(bp_bus_level(fn->secondary, &pci_class));
    }
}

static void set_dma(struct bp_bus *root, struct bp_space *space)
{
    struct pci_bus *bus = bp_bus_level(root, &pci_class);

    __atomic_store_n(&bus->host.dma, space, __ATOMIC_RELEASE);
    moved(bus);
}

static void set_messages(struct bp_bus *root, struct bp_space *space)
{
    struct pci_bus *bus = bp_bus_level(root, &pci_class);

    __atomic_store_n(&bus->messages, space, __ATOMIC_RELEASE);
}

static struct bp_region *bus_region(struct bp_device *dev, bool io)
{
    const struct bp_pci_host *host = &pci_bus_of(dev)->host;

    return io ? host->io : host->memory;
}

static void set_config_hooks(struct bp_device *dev, void (*reading)(struct bp_device *, unsigned, unsigned),
                             void (*written)(struct bp_device *, unsigned, unsigned))
{
    pci_fn_of(dev)->reading = reading;
    pci_fn_of(dev)->written = written;
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
    .dma = pci_dma_of,
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
    .new_bus = pci_new_bus,
    .add_fields = pci_add_fields,
    .add_capabilities = pci_add_capabilities,
    .capability = pci_capability,
    .bar = bar,
    .interrupt = interrupt,
    .requester = pci_requester,
    .function = function,
    .set_config = pci_set_config,
    .set_bus_power = pci_set_bus_power,
    .bus_region = bus_region,
    .set_config_hooks = set_config_hooks,
    .set_dma = set_dma,
    .set_messages = set_messages,
    .add_ats = pci_add_ats,
    .msix_fd = pci_msix_fd,
};
BP_INTERFACE(pci_interface, "pci", 1, 5, &pci_table);

BP_MODULE("pci", "PCI bus", BP_NO_IMPORTS, {BP_PROVIDE_BUS, &pci_class},
          {BP_PROVIDE_BUS, &pcie_class},
          {BP_PROVIDE_INTERFACE, &pci_interface}, {BP_PROVIDE_COMMAND, &pci_query_command},
          {BP_PROVIDE_HMP, &pci_info_command});
