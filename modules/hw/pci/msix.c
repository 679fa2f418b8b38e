// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MSI-X (PCI Local Bus 3.0, 6.8.2): the capability, the vector table and the pending bits in a BAR.
 * A vector's message waits in its pending bit while the vector or the function is masked, or the
 * function is no bus master. Accesses to the table are of four or eight bytes, as 6.8.2 wants them.
 * The table and the pending bits are answered without the machine lock, and messages are sent on any
 * thread. Once a vector is masked none arrives any more (6.8.3.5), but at an address where neither an
 * interrupt controller nor RAM is: there one that is on its way still may.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define MSIX_CONTROL 2u
#define MSIX_ENABLE 0x8000u
#define MSIX_FUNCTION_MASK 0x4000u
#define MSIX_SIZE 12u
#define ENTRY 16u
#define ENTRY_DATA 8u
#define ENTRY_CONTROL 12u
#define ENTRY_MASKED 1u
#define MAX_VECTORS 2048u

static uint32_t table_size(unsigned vectors)
{
    return vectors * ENTRY;
}

static uint32_t pba_size(unsigned vectors)
{
    return (vectors + 63) / 64 * 8;
}

static uint16_t control(const struct pci_fn *fn)
{
    return pci_get16(fn->config + fn->msix.at + MSIX_CONTROL);
}

static bool enabled(const struct pci_fn *fn)
{
    return fn->msix.vectors && (control(fn) & MSIX_ENABLE);
}

bool pci_msix_enabled(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    bool on;

    pci_lock(fn);
    on = enabled(fn);
    pci_unlock(fn);
    return on;
}

bool pci_msix_may_send(const struct pci_fn *fn, unsigned vector, uint64_t *ret_address, uint32_t *ret_data)
{
    const uint8_t *entry = vector < fn->msix.vectors ? fn->msix.table + ENTRY * vector : NULL;

    if (!entry || (control(fn) & (MSIX_ENABLE | MSIX_FUNCTION_MASK)) != MSIX_ENABLE ||
        (pci_get32(entry + ENTRY_CONTROL) & ENTRY_MASKED) || !pci_is_master(fn))
        return false;
    *ret_address = pci_get32(entry) | (uint64_t)pci_get32(entry + 4) << 32;
    *ret_data = pci_get32(entry + ENTRY_DATA);
    return true;
}

/* Takes the vector's message if it is pending and nothing holds it back; lock held. True: it is to be sent. */
static bool take(struct pci_fn *fn, unsigned vector, struct pci_access *a, uint64_t *ret_address,
                 uint32_t *ret_data)
{
    uint8_t *pending = fn->msix.pba + vector / 8, bit = (uint8_t)(1u << vector % 8);
    enum pci_message how;

    if (!(*pending & bit) || !pci_msix_may_send(fn, vector, ret_address, ret_data))
        return false;
    how = pci_message_begin(a, fn, *ret_address, *ret_data);
    if (how != PCI_MESSAGE_HELD)
        *pending &= (uint8_t)~bit;
    return how == PCI_MESSAGE_BEGUN;
}

static void flush_vector(struct bp_device *dev, unsigned vector)
{
    struct pci_fn *fn = pci_fn_of(dev);
    struct pci_access a;
    uint64_t address;
    uint32_t data;
    bool go;

    pci_lock(fn);
    go = take(fn, vector, &a, &address, &data);
    pci_unlock(fn);
    if (go)
        pci_message_send(dev, &a, address, data);
}

void pci_msix_notify(struct bp_device *dev, unsigned vector)
{
    struct pci_fn *fn = pci_fn_of(dev);
    bool on;

    pci_lock(fn);
    on = enabled(fn) && vector < fn->msix.vectors;
    if (on)
        fn->msix.pba[vector / 8] |= (uint8_t)(1u << vector % 8);
    pci_unlock(fn);
    if (on)
        flush_vector(dev, vector);
}

void pci_msix_written(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    pci_lock(fn);
    pci_msix_fds_look(fn);
    pci_unlock(fn);
    for (unsigned v = 0; v < fn->msix.vectors; v++)
        flush_vector(dev, v);
}

/* ---- what the guest sees in the BAR ---- */
static uint64_t read_word(struct pci_fn *fn, const uint8_t *at)
{
    uint32_t word;

    pci_lock(fn);
    word = pci_get32(at);
    pci_unlock(fn);
    return word;
}

static uint64_t table_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pci_fn *fn = pci_fn_of(opaque);

    (void)size;
    return read_word(fn, fn->msix.table + addr);
}

static const uint32_t writable[4] = {0xfffffffcu, UINT32_MAX, UINT32_MAX, ENTRY_MASKED};

static void table_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pci_fn *fn = pci_fn_of(opaque);

    (void)size;
    pci_lock(fn);
    pci_set32(fn->msix.table + addr, (uint32_t)value & writable[addr % ENTRY / 4]);
    pci_msix_fds_look(fn);
    pci_unlock(fn);
    flush_vector(opaque, (unsigned)(addr / ENTRY));
}

static uint64_t pba_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pci_fn *fn = pci_fn_of(opaque);

    (void)size;
    return read_word(fn, fn->msix.pba + addr);
}

static void pba_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque, (void)addr, (void)value, (void)size; /* read only */
}

static const struct bp_region_ops table_ops = {
    .size = sizeof(table_ops), .read = table_read, .write = table_write, .min_access = 4,
    .max_access = 4, .parallel = BP_PARALLEL, .valid_min = 4};
static const struct bp_region_ops pba_ops = {
    .size = sizeof(pba_ops), .read = pba_read, .write = pba_write, .min_access = 4,
    .max_access = 4, .parallel = BP_PARALLEL, .valid_min = 4};

/* ---- life ---- */
static int check_place(const struct pci_fn *fn, const char *what, unsigned bar, uint32_t offset,
                       uint32_t size, struct bp_error *err)
{
    if (bar >= PCI_BARS || !fn->bar[bar].region || (fn->bar[bar].flags & BP_PCI_BAR_IO))
        return bp_fail(err, EINVAL, "PCI: MSI-X needs a memory BAR that was added before; BAR %u "
                       "is none", bar);
    if (offset & 7 || (uint64_t)offset + size > fn->bar[bar].size)
        return bp_fail(err, EINVAL, "PCI: the MSI-X %s of 0x%x bytes at 0x%x must lie in BAR %u "
                       "(0x%llx bytes) at a multiple of 8", what, size, offset, bar,
                       (unsigned long long)fn->bar[bar].size);
    return 0;
}

static int check(const struct pci_fn *fn, unsigned vectors, unsigned bar, uint32_t table,
                 uint32_t pba, struct bp_error *err)
{
    int r;

    if (vectors < 1 || vectors > MAX_VECTORS)
        return bp_fail(err, EINVAL, "PCI: %u MSI-X vectors: 1 to %u are possible", vectors,
                       MAX_VECTORS);
    if (fn->msix.vectors)
        return bp_fail(err, EEXIST, "PCI: the function has MSI-X already");
    r = check_place(fn, "table", bar, table, table_size(vectors), err);
    if (r == 0)
        r = check_place(fn, "pending bits", bar, pba, pba_size(vectors), err);
    if (r == 0 && table < pba + pba_size(vectors) && pba < table + table_size(vectors))
        r = bp_fail(err, EINVAL, "PCI: MSI-X table (0x%x) and pending bits (0x%x) overlap", table,
                    pba);
    return r;
}

static void mask_all(struct pci_fn *fn)
{
    memset(fn->msix.table, 0, table_size(fn->msix.vectors));
    memset(fn->msix.pba, 0, pba_size(fn->msix.vectors));
    for (unsigned v = 0; v < fn->msix.vectors; v++)
        fn->msix.table[ENTRY * v + ENTRY_CONTROL] = ENTRY_MASKED;
}

int pci_msix_init(struct bp_device *dev, unsigned vectors, unsigned bar, uint32_t table,
                  uint32_t pba, struct bp_error *err)
{
    struct bp_owner *owner = bp_device_owner(dev);
    struct pci_fn *fn = pci_fn_of(dev);
    unsigned at;
    int r = check(fn, vectors, bar, table, pba, err);

    if (r == 0)
        r = pci_add_capability(dev, 0x11, MSIX_SIZE, &at, err);
    if (r < 0)
        return r;
    fn->msix.table = calloc(1, table_size(vectors) + pba_size(vectors));
    if (!fn->msix.table)
        return bp_fail(err, ENOMEM, "PCI: no memory for %u MSI-X vectors", vectors);
    pci_messages_init(dev);
    fn->msix.pba = fn->msix.table + table_size(vectors);
    fn->msix.size = table_size(vectors) + pba_size(vectors);
    fn->msix.vectors = (uint16_t)vectors;
    fn->msix.at = (uint8_t)at;
    mask_all(fn);
    pci_set16(fn->config + at + MSIX_CONTROL, (uint16_t)(vectors - 1));
    pci_set32(fn->config + at + 4, table | bar);
    pci_set32(fn->config + at + 8, pba | bar);
    pci_set16(fn->writable + at + MSIX_CONTROL, MSIX_ENABLE | MSIX_FUNCTION_MASK);
    bp_region_add(fn->bar[bar].region,
                  bp_region_new_io(owner, "msix-table", table_size(vectors), &table_ops, dev),
                  table, 1);
    bp_region_add(fn->bar[bar].region,
                  bp_region_new_io(owner, "msix-pba", pba_size(vectors), &pba_ops, dev), pba, 1);
    return 0;
}

int pci_msix_init_bar(struct bp_device *dev, unsigned vectors, unsigned bar, struct bp_error *err)
{
    uint32_t half = 2048; /* drivers map whole pages */
    struct bp_region *region;
    int r;

    if (vectors < 1 || vectors > MAX_VECTORS)
        return bp_fail(err, EINVAL, "PCI: %u MSI-X vectors: 1 to %u are possible", vectors,
                       MAX_VECTORS);
    while (half < table_size(vectors))
        half *= 2;
    region = bp_region_new(bp_device_owner(dev), "msix", 2 * half);
    r = pci_add_bar(dev, bar, BP_PCI_BAR_MEM32, region, err);
    return r < 0 ? r : pci_msix_init(dev, vectors, bar, 0, half, err);
}

void pci_msix_reset(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    if (!fn->msix.vectors)
        return;
    pci_lock(fn);
    mask_all(fn);
    pci_set16(fn->config + fn->msix.at + MSIX_CONTROL, (uint16_t)(fn->msix.vectors - 1));
    pci_msix_fds_look(fn);
    pci_unlock(fn);
}

void pci_msix_free(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);

    pci_msix_fds_free(fn);
    free(fn->msix.table);
    fn->msix = (struct pci_msix){0};
}

/* Only what a guest could have brought about: entries as it may write them, no vector too many. */
void pci_msix_loaded(struct pci_fn *fn)
{
    unsigned vectors = fn->msix.vectors;

    pci_lock(fn);
    for (uint32_t at = 0; at < table_size(vectors); at += 4)
        pci_set32(fn->msix.table + at, pci_get32(fn->msix.table + at) & writable[at % ENTRY / 4]);
    for (unsigned v = vectors; v < pba_size(vectors) * 8; v++)
        fn->msix.pba[v / 8] &= (uint8_t)~(1u << v % 8);
    pci_unlock(fn);
}
