// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Capabilities: their lists (PCI Local Bus 3.0, 6.7; PCI Express Base 3.0, 7.9), and those that many
 * functions have: power management (PCI Power Management 1.2: D0 and D3hot, nothing is lost in
 * D3hot), PCI Express (7.8), and Advanced Features, which brings function level reset to conventional
 * functions.
 */
#include <errno.h>
#include <string.h>

#include "pci.h"

/* ---- lists ---- */
static int find_room(const struct pci_fn *fn, unsigned first, unsigned end, unsigned size,
                     unsigned *ret_at)
{
    unsigned at = first, run = 0;

    while (at + run < end && run < size) {
        if (fn->used[at + run]) {
            at = (at + run + 4) & ~3u;
            run = 0;
        } else {
            run++;
        }
    }
    *ret_at = at;
    return run == size ? 0 : -ENOSPC;
}

static int reserve(struct pci_fn *fn, const struct bp_pci_capability *c, unsigned *ret_at,
                   struct bp_error *err)
{
    unsigned first = c->version ? PCI_CONFIG_SIZE : PCI_HEADER_END;
    unsigned end = c->version ? fn->size : PCI_CONFIG_SIZE;
    unsigned at = c->at, least = c->version ? 4 : 2;
    bool free = true;

    if (c->size >= least && !at && find_room(fn, first, end, c->size, &at) < 0)
        free = false;
    if (c->size < least || !free || (at & 3) || at < first || at + c->size > end)
        return bp_fail(err, ENOSPC, "PCI: no room for capability 0x%02x of %u bytes", c->id, c->size);
    for (unsigned i = at; c->at && i < at + c->size; i++) {
        if (fn->used[i])
            return bp_fail(err, EEXIST, "PCI: capability 0x%02x at 0x%02x lies over another", c->id, at);
    }
    memset(fn->used + at, 1, c->size);
    *ret_at = at;
    return 0;
}

static void link_capability(struct pci_fn *fn, const struct bp_pci_capability *c, unsigned at)
{
    uint8_t *link = &fn->config[PCI_CAPABILITIES];

    if (c->version) {
        pci_set32(fn->config + at, c->id | (uint32_t)c->version << 16);
        if (fn->last_extended)
            pci_set16(fn->config + fn->last_extended + 2,
                      (uint16_t)((fn->config[fn->last_extended + 2] & 15) | at << 4));
        fn->last_extended = (uint16_t)at;
        return;
    }
    while (*link)
        link = &fn->config[*link + 1];
    *link = (uint8_t)at;
    fn->config[at] = (uint8_t)c->id;
    fn->config[at + 1] = 0;
    fn->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
}

static int add(struct bp_device *dev, const struct bp_pci_capability *c, unsigned *ret_at,
               struct bp_error *err)
{
    struct pci_fn *fn = pci_fn_of(dev);
    unsigned at = 0;
    int r = reserve(fn, c, &at, err);

    if (r < 0)
        return r;
    link_capability(fn, c, at);
    pci_add_fields(dev, at, c->fields);
    *ret_at = at;
    return 0;
}

int pci_add_capability(struct bp_device *dev, uint8_t id, unsigned size, unsigned *ret_offset,
                       struct bp_error *err)
{
    const struct bp_pci_capability c = {.id = id, .size = (uint16_t)size};

    return add(dev, &c, ret_offset, err);
}

int pci_add_capabilities(struct bp_device *dev, const struct bp_pci_capability *table,
                         struct bp_error *err)
{
    unsigned at;
    int r = 0;

    for (const struct bp_pci_capability *c = table; r == 0 && c && c->size; c++) {
        if (!c->version || pci_fn_of(dev)->size > PCI_CONFIG_SIZE)
            r = add(dev, c, &at, err);
    }
    return r;
}

unsigned pci_capability(struct bp_device *dev, uint16_t id, bool extended)
{
    const struct pci_fn *fn = pci_fn_of(dev);
    const uint8_t *c = fn->config;

    if (!extended) {
        for (unsigned at = c[PCI_CAPABILITIES]; at; at = c[at + 1])
            if (c[at] == id)
                return at;
        return 0;
    }
    for (unsigned at = fn->last_extended ? PCI_CONFIG_SIZE : 0; at; at = pci_get16(c + at + 2) >> 4)
        if (pci_get16(c + at) == id)
            return at;
    return 0;
}

/* ---- power management ---- */
#define PMCSR 4u
#define PM_STATE 3u
#define PM_D3 3u

static const struct bp_pci_field power_fields[] = {
    {.offset = 2, .width = 2, .value = 0x0003}, /* version 3: no D1, no D2, no PME */
    {.offset = PMCSR, .width = 2, .value = 0x0008, .rw = PM_STATE}, /* nothing is lost in D3hot */
    BP_PCI_FIELDS_END,
};

bool pci_is_awake(const struct pci_fn *fn)
{
    return !fn->power || (fn->config[fn->power + PMCSR] & PM_STATE) == 0;
}

/* ---- PCI Express ---- */
enum { EXP_FLAGS = 0x02, EXP_DEVCAP = 0x04, EXP_DEVCTL = 0x08, EXP_DEVSTA = 0x0a, EXP_LINKCAP = 0x0c,
       EXP_LINKCTL = 0x10, EXP_LINKSTA = 0x12, EXP_DEVCAP2 = 0x24, EXP_DEVCTL2 = 0x28,
       EXP_LINKCTL2 = 0x30, EXP_SIZE = 0x3c };
#define DEVCAP_ROLE_BASED 0x8000u
#define DEVCAP_RESET 0x10000000u
#define DEVCTL_RESET 0x8000u

/* Payloads of 128 bytes; relaxed ordering, no snoop and reads of 512 bytes are on at first (7.8.4). */
static const struct bp_pci_field express_fields[] = {
    {.offset = EXP_DEVCAP, .width = 4, .value = DEVCAP_ROLE_BASED},
    {.offset = EXP_DEVCTL, .width = 2, .value = 0x2810, .rw = 0x7bff},
    {.offset = EXP_DEVSTA, .width = 2, .w1c = 0x000f},
    {.offset = EXP_DEVCTL2, .width = 2, .rw = 0x001f},
    BP_PCI_FIELDS_END,
};
/* A link of 2.5 GT/s, one lane; it is up. */
static const struct bp_pci_field link_fields[] = {
    {.offset = EXP_LINKCAP, .width = 4, .value = 0x00000011},
    {.offset = EXP_LINKCTL, .width = 2, .rw = 0x00cb},
    {.offset = EXP_LINKSTA, .width = 2, .value = 0x0011},
    {.offset = EXP_LINKCTL2, .width = 2, .value = 0x0001, .rw = 0x000f, .flags = BP_PCI_STICKY},
    BP_PCI_FIELDS_END,
};

static int add_express(struct bp_device *dev, uint32_t flags, struct bp_error *err)
{
    const struct bp_pci_capability c = {.id = PCI_CAP_EXPRESS, .size = EXP_SIZE,
                                        .fields = express_fields};
    struct pci_fn *fn = pci_fn_of(dev);
    bool integrated = fn->express_type == BP_PCI_EXPRESS_ENDPOINT && !pci_bus_of(dev)->bridge;
    unsigned type = integrated ? 9 : fn->express_type - 1u, at;
    int r = add(dev, &c, &at, err);

    if (r < 0)
        return r;
    fn->express = (uint8_t)at;
    pci_set16(fn->config + at + EXP_FLAGS, (uint16_t)(2 | type << 4));
    if (!integrated)
        pci_add_fields(dev, at, link_fields);
    if ((flags & BP_PCI_FLAG_RESET) && fn->express_type == BP_PCI_EXPRESS_ENDPOINT)
        pci_set32(fn->config + at + EXP_DEVCAP, DEVCAP_ROLE_BASED | DEVCAP_RESET);
    return 0;
}

static bool express_reset(const struct pci_fn *fn)
{
    return fn->express && (pci_get32(fn->config + fn->express + EXP_DEVCAP) & DEVCAP_RESET);
}

/* ---- Advanced Features (PCI ECN of 2006) ---- */
static const struct bp_pci_field advanced_fields[] = {
    {.offset = 2, .width = 1, .value = 6},
    {.offset = 3, .width = 1, .value = 3}, /* transactions pending, function level reset */
    BP_PCI_FIELDS_END,
};

int pci_standard_capabilities(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_info *info = bp_device_class(dev)->bus_info;
    const struct bp_pci_capability power = {.id = PCI_CAP_POWER, .size = 8, .fields = power_fields};
    const struct bp_pci_capability advanced = {.id = PCI_CAP_ADVANCED, .size = 6,
                                               .fields = advanced_fields};
    struct pci_fn *fn = pci_fn_of(dev);
    unsigned at = 0;
    int r = 0;

    if (info->flags & BP_PCI_FLAG_POWER)
        r = add(dev, &power, &at, err);
    fn->power = (uint8_t)at;
    if (r == 0 && fn->express_type)
        r = add_express(dev, info->flags, err);
    at = 0;
    if (r == 0 && (info->flags & BP_PCI_FLAG_RESET) && !fn->express)
        r = add(dev, &advanced, &at, err);
    fn->advanced = (uint8_t)at;
    /* What asks for a reset reads 0: the bit passes through here only. */
    if (express_reset(fn))
        pci_set16(fn->writable + fn->express + EXP_DEVCTL, 0x7bff | DEVCTL_RESET);
    if (fn->advanced)
        fn->writable[fn->advanced + 4] = 1;
    return r;
}

bool pci_capabilities_written(struct pci_fn *fn, unsigned offset, unsigned size, uint8_t old_power)
{
    bool reset = false;
    uint8_t *p;

    (void)offset, (void)size;
    if (fn->power) {
        p = &fn->config[fn->power + PMCSR];
        if ((*p & PM_STATE) == 1 || (*p & PM_STATE) == 2) /* a state it does not have */
            *p = (uint8_t)((*p & ~PM_STATE) | (old_power & PM_STATE));
    }
    if (express_reset(fn)) {
        p = &fn->config[fn->express + EXP_DEVCTL];
        reset = pci_get16(p) & DEVCTL_RESET;
        pci_set16(p, pci_get16(p) & ~DEVCTL_RESET);
    }
    if (fn->advanced) {
        reset |= fn->config[fn->advanced + 4] & 1;
        fn->config[fn->advanced + 4] = 0;
    }
    return reset;
}
