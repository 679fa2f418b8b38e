// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Buses behind bridges (PCI-to-PCI Bridge Architecture 1.2): the type 1 header, where configuration
 * cycles go, windows of I/O, memory, prefetchable memory and VGA, pins, secondary bus reset. Left
 * out: ISA enable and the timers of bridge control, which read 0; VGA's aliases of 10 bits; subtractive
 * decode.
 */
#include <errno.h>
#include <string.h>

#include "pci.h"

#define CONTROL_VGA 0x0008u
#define CONTROL_RESET 0x0040u
#define IO_32 1u
#define PREFETCH_64 1u

static const struct bp_pci_field bridge_fields[] = {
    {.offset = PCI_PRIMARY, .width = 4, .rw = 0xffffffff}, /* the three numbers, secondary latency */
    {.offset = PCI_IO_BASE, .width = 2, .rw = 0xf0f0},
    {.offset = PCI_SECONDARY_STATUS, .width = 2, .w1c = 0xf900},
    {.offset = PCI_MEMORY_BASE, .width = 4, .rw = 0xfff0fff0},
    {.offset = PCI_PREFETCH_BASE, .width = 4, .value = PREFETCH_64 | PREFETCH_64 << 16, .rw = 0xfff0fff0},
    {.offset = PCI_PREFETCH_BASE_HIGH, .width = 4, .rw = 0xffffffff},
    {.offset = PCI_PREFETCH_LIMIT_HIGH, .width = 4, .rw = 0xffffffff},
    /* parity, SERR, VGA, VGA of 16 bits, master abort, reset */
    {.offset = PCI_BRIDGE_CONTROL, .width = 2, .rw = 0x007b},
    BP_PCI_FIELDS_END,
};

void pci_bridge_header(struct pci_fn *fn)
{
    pci_add_fields(fn->device, 0, bridge_fields);
}

/* ---- where cycles go ---- */
unsigned pci_bus_number(const struct pci_bus *bus)
{
    return bus->bridge ? pci_peek(pci_fn_of(bus->bridge)->config + PCI_SECONDARY) : bus->host.number;
}

static struct pci_bus *secondary_of(const struct pci_fn *fn)
{
    return bp_bus_level(fn->secondary, &pci_class);
}

/* Below a bridge a bus is reached only while all on the way claim its number. */
struct pci_bus *pci_bus_numbered(struct pci_bus *bus, unsigned number)
{
    unsigned left;

    if (pci_bus_number(bus) == number)
        return bus;
    left = bus->bridges;
    for (unsigned i = 0; left && i < 256; i++) {
        const struct pci_fn *fn = bus->fn[i] ? pci_fn_of(bus->fn[i]) : NULL;
        const uint8_t *c;

        if (!fn || !fn->secondary)
            continue;
        left--;
        c = fn->config;
        if (c[PCI_SECONDARY] && number >= c[PCI_SECONDARY] && number <= c[PCI_SUBORDINATE])
            return pci_bus_numbered(secondary_of(fn), number);
    }
    return NULL;
}

uint16_t pci_requester(struct bp_device *dev)
{
    return (uint16_t)(pci_bus_number(pci_bus_of(dev)) << 8 | pci_fn_of(dev)->devfn);
}

/* ---- pins ---- */
static void drive_pin(struct bp_device *dev, unsigned pin, bool level)
{
    struct pci_bus *bus = pci_bus_of(dev);

    while (bus->bridge) {
        pin = (pin + (pci_fn_of(dev)->devfn >> 3)) & 3;
        dev = bus->bridge;
        bus = pci_bus_of(dev);
    }
    bus->host.set_irq(bus->host.opaque, pci_fn_of(dev)->devfn, pin, level);
}

void pci_update_intx(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
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
    drive_pin(dev, pin - 1u, out);
}

/* ---- windows ---- */
static uint64_t high(const uint8_t *c, unsigned low, unsigned upper)
{
    return (uint64_t)pci_get32(c + upper) << 32 | (uint64_t)(pci_get16(c + low) & 0xfff0) << 16;
}

bool pci_window_range(const struct pci_fn *fn, unsigned window, uint64_t *ret_base, uint64_t *ret_limit)
{
    const uint8_t *c = fn->config;
    uint64_t base, limit;

    switch (window) {
    case PCI_WINDOW_IO:
        base = (uint64_t)(c[PCI_IO_BASE] & 0xf0) << 8;
        limit = (uint64_t)(c[PCI_IO_LIMIT] & 0xf0) << 8 | 0xfff;
        break;
    case PCI_WINDOW_MEMORY:
        base = (uint64_t)(pci_get16(c + PCI_MEMORY_BASE) & 0xfff0) << 16;
        limit = (uint64_t)(pci_get16(c + PCI_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff;
        break;
    default:
        base = high(c, PCI_PREFETCH_BASE, PCI_PREFETCH_BASE_HIGH);
        limit = high(c, PCI_PREFETCH_LIMIT, PCI_PREFETCH_LIMIT_HIGH) | 0xfffff;
    }
    if (base > limit)
        return false;
    *ret_base = base;
    *ret_limit = limit;
    return true;
}

static const struct {
    bool io;
    uint64_t base, size; /* of a window that is always the same; 0: the registers say */
    const char *name;
} windows[PCI_WINDOWS] = {
    [PCI_WINDOW_IO] = {true, 0, 0, "pci-bridge-io"},
    [PCI_WINDOW_MEMORY] = {false, 0, 0, "pci-bridge-mem"},
    [PCI_WINDOW_PREFETCH] = {false, 0, 0, "pci-bridge-pref-mem"},
    [PCI_WINDOW_VGA_MEMORY] = {false, 0xa0000, 0x20000, "pci-vga-mem"},
    [PCI_WINDOW_VGA_IO] = {true, 0x3b0, 12, "pci-vga-io-lo"},
    [PCI_WINDOW_VGA_IO2] = {true, 0x3c0, 0x20, "pci-vga-io-hi"},
};

static bool is_open(const struct pci_fn *fn, unsigned window, uint64_t *ret_base, uint64_t *ret_size)
{
    uint16_t command = pci_get16(fn->config + PCI_COMMAND);
    uint64_t limit;

    if (!(command & (windows[window].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) || !pci_is_awake(fn))
        return false;
    if (windows[window].size) {
        *ret_base = windows[window].base;
        *ret_size = windows[window].size;
        return pci_get16(fn->config + PCI_BRIDGE_CONTROL) & CONTROL_VGA;
    }
    if (!pci_window_range(fn, window, ret_base, &limit))
        return false;
    if (*ret_base == 0 && limit == UINT64_MAX)
        limit--; /* a size has 64 bits */
    *ret_size = limit - *ret_base + 1;
    return true;
}

static void update_window(struct bp_device *dev, unsigned n)
{
    struct pci_fn *fn = pci_fn_of(dev);
    const struct pci_bus *outer = pci_bus_of(dev), *inner = secondary_of(fn);
    struct bp_region *from = windows[n].io ? inner->host.io : inner->host.memory;
    struct pci_window *w = &fn->window[n];
    uint64_t base = 0, size = 0;
    bool open = is_open(fn, n, &base, &size);

    if (w->mapped == open && (!open || (w->base == base && w->size == size)))
        return;
    if (w->mapped)
        bp_region_remove(w->alias);
    w->mapped = open;
    if (!open)
        return;
    if (w->alias && size == bp_region_size(w->alias)) {
        bp_region_set_alias_offset(w->alias, base);
    } else {
        bp_region_free(w->alias);
        w->alias = bp_region_new_alias(bp_device_owner(dev), windows[n].name, from, base, size);
    }
    bp_region_add(windows[n].io ? outer->host.io : outer->host.memory, w->alias, base, 0);
    w->base = base;
    w->size = size;
}

void pci_update_bridge(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    bp_memory_begin();
    for (unsigned n = 0; n < PCI_WINDOWS; n++)
        update_window(dev, n);
    bp_memory_commit();
    bp_bus_hold_reset(fn->secondary, secondary_of(fn)->off ||
                      (pci_get16(fn->config + PCI_BRIDGE_CONTROL) & CONTROL_RESET));
}

void pci_set_bus_power(struct bp_bus *b, bool on)
{
    struct pci_bus *bus = bp_bus_level(b, &pci_class);

    if (!bus || !bus->bridge || bus->off == !on)
        return;
    bus->off = !on;
    pci_update_bridge(bus->bridge);
}

void pci_take_windows(struct pci_fn *fn)
{
    bp_memory_begin();
    for (unsigned n = 0; n < PCI_WINDOWS; n++) {
        if (fn->window[n].mapped)
            bp_region_remove(fn->window[n].alias);
        fn->window[n] = (struct pci_window){0}; /* the alias is the device's */
    }
    bp_memory_commit();
}

/* ---- a secondary bus ---- */
int pci_new_bus(struct bp_device *bridge, const struct bp_pci_secondary *what,
                struct bp_bus **ret_bus, struct bp_error *err)
{
    struct pci_bus *outer = pci_bus_of(bridge), *inner;
    struct bp_owner *owner = bp_device_owner(bridge);
    struct pci_fn *fn = pci_fn_of(bridge);
    struct bp_bus *bus;
    int r;

    if ((fn->config[PCI_HEADER_TYPE] & 0x7f) != 1 || fn->secondary)
        return bp_fail(err, EINVAL, "PCI: %s is no bridge, or has its secondary bus already",
                       bp_device_class(bridge)->type.name);
    r = bp_bus_new(bridge, what->type, what->name, &bus, err);
    if (r < 0)
        return r;
    inner = bp_bus_level(bus, &pci_class);
    if (!inner)
        return bp_fail(err, EINVAL, "PCI: bus type '%s' is no PCI bus", what->type);
    inner->host = outer->host;
    inner->root = outer->root;
    inner->host.memory = bp_region_new(owner, "pci-bridge-memory", UINT64_MAX);
    inner->host.io = bp_region_new(owner, "pci-bridge-ports", 0x10000);
    inner->bridge = bridge;
    inner->first_slot = what->first_slot;
    inner->slots = what->slots ? what->slots : 32;
    inner->express = bp_bus_level(bus, &pcie_class) != NULL;
    fn->secondary = bus;
    outer->bridges++;
    *ret_bus = bus;
    return 0;
}
