/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ACPI tells of NUMA nodes: SRAT (which processors and which memory are in a proximity domain), SLIT
 * (distances) and HMAT (latency, bandwidth, caches on the memory's side). ACPI 6.4, 5.2.16, 5.2.17, 5.2.27.
 */
#include "acpi-build.h"

#include <bp/exact/numa.h>
#include <bp/exact/x86-topology.h>

enum { LAPIC = 16, X2APIC = 24, MEMORY = 40, PROXIMITY = 40, RATES = 32, CACHE = 32 }; /* bytes of structures */
#define ENABLED 1u
#define HOT_PLUGGABLE 2u

static uint8_t *put_memory(uint8_t *e, unsigned node, uint64_t base, uint64_t length, uint32_t flags)
{
    if (!length)
        return e;
    e[0] = 1;
    e[1] = MEMORY;
    put32(e + 2, node);
    put64(e + 8, base);
    put64(e + 16, length);
    put32(e + 28, ENABLED | flags);
    return e + MEMORY;
}

/* The part of [from, to) of main memory that lies in a range of it which the guest sees at an address. */
static uint8_t *put_part(uint8_t *e, unsigned node, uint64_t from, uint64_t to, uint64_t first, uint64_t last,
                         uint64_t address)
{
    uint64_t a = from > first ? from : first, b = to < last ? to : last;

    return a < b ? put_memory(e, node, address + a - first, b - a, 0) : e;
}

static uint8_t *put_cpu(uint8_t *e, unsigned node, uint32_t id)
{
    if (id < PC_WIDE_IDS) {
        e[1] = LAPIC;
        e[2] = (uint8_t)node;
        e[3] = (uint8_t)id;
        put32(e + 4, ENABLED);
        return e + LAPIC;
    }
    e[0] = 2;
    e[1] = X2APIC;
    put32(e + 4, node);
    put32(e + 8, id);
    put32(e + 12, ENABLED);
    return e + X2APIC;
}

static void add_srat(struct tables *t, const struct pc *pc, const struct bp_numa *n)
{
    const unsigned cpus = bp_machine_smp(pc->machine)->max_cpus;
    uint8_t *p = acpi_begin(t, "SRAT", ACPI_HEADER + 12 + cpus * X2APIC + (4 * n->count + 1) * MEMORY, 3), *e;
    uint64_t at = 0;

    if (!p)
        return;
    put32(p + ACPI_HEADER, 1);
    e = p + ACPI_HEADER + 12;
    for (unsigned i = 0; i < cpus; i++) {
        int node = bp_machine_cpu_node(pc->machine, i);

        e = put_cpu(e, node < 0 ? 0 : (unsigned)node, bp_x86_apic_id(bp_machine_smp(pc->machine), i));
    }
    for (unsigned i = 0; i < n->count; i++) {
        uint64_t end = at + n->nodes[i].mem, low = pc->low_size;

        e = put_part(e, i, at, end, 0, 0xa0000, 0);
        e = put_part(e, i, at, end, 0x100000, low, 0x100000);
        e = put_part(e, i, at, end, low, low + pc->high_size, 1ull << 32);
        at = end;
    }
    /* What may come is known to be memory; most systems find room for it then. */
    e = put_memory(e, n->count - 1, pc->devices_base, pc->devices_length, HOT_PLUGGABLE);
    acpi_shorten(t, p, e);
    acpi_finish(t, p);
    acpi_list(t, p);
}

static void add_slit(struct tables *t, const struct bp_numa *n)
{
    uint8_t *p = acpi_begin(t, "SLIT", ACPI_HEADER + 8 + n->count * n->count, 1);

    if (!p)
        return;
    put64(p + ACPI_HEADER, n->count);
    for (unsigned i = 0; i < n->count; i++)
        memcpy(p + ACPI_HEADER + 8 + i * n->count, n->distance[i], n->count);
    acpi_finish(t, p);
    acpi_list(t, p);
}

/* ---- HMAT ---- */

static unsigned count_initiators(const struct bp_numa *n)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n->count; i++)
        count += n->nodes[i].has_cpus;
    return count;
}

static uint32_t rates_size(const struct bp_numa *n)
{
    unsigned from = count_initiators(n);

    return RATES + 4 * from + 4 * n->count + 2 * from * n->count;
}

static uint32_t hmat_size(const struct bp_numa *n)
{
    uint32_t size = ACPI_HEADER + 4 + n->count * PROXIMITY;

    for (unsigned h = 0; h < BP_NUMA_HIERARCHIES; h++) {
        for (unsigned type = 0; type < BP_NUMA_DATA_TYPES; type++)
            size += n->rates[h][type] ? rates_size(n) : 0;
    }
    for (unsigned i = 0; i < n->count; i++) {
        for (unsigned level = 0; level < BP_NUMA_CACHES; level++)
            size += n->caches[i][level].level ? CACHE : 0;
    }
    return size;
}

/* Latencies count picoseconds, bandwidths MB/s. */
static uint8_t *put_rates(uint8_t *e, const struct bp_numa *n, unsigned hierarchy, unsigned type)
{
    const struct bp_numa_rates *r = n->rates[hierarchy][type];
    unsigned from = count_initiators(n);
    uint8_t *matrix = e + RATES + 4 * from + 4 * n->count, *ids = e + RATES;

    e[0] = 1;
    put32(e + 4, rates_size(n));
    e[8] = (uint8_t)hierarchy;
    e[9] = (uint8_t)type;
    put32(e + 12, from);
    put32(e + 16, n->count);
    put64(e + 24, type < 3 ? r->unit * 1000 : r->unit);
    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].has_cpus)
            continue;
        put32(ids, i);
        ids += 4;
        for (unsigned target = 0; target < n->count; target++, matrix += 2)
            put16(matrix, (uint16_t)(r->value[i][target] / r->unit));
    }
    for (unsigned target = 0; target < n->count; target++, ids += 4)
        put32(ids, target);
    return matrix;
}

static uint8_t *put_caches(uint8_t *e, const struct bp_numa *n, unsigned node)
{
    unsigned levels = 0;

    while (levels < BP_NUMA_CACHES && n->caches[node][levels].level)
        levels++;
    for (unsigned i = 0; i < levels; i++, e += CACHE) {
        const struct bp_numa_cache *c = &n->caches[node][i];

        e[0] = 2;
        put32(e + 4, CACHE);
        put32(e + 8, node);
        put64(e + 16, c->size);
        put32(e + 24, levels | (uint32_t)c->level << 4 | (uint32_t)c->associativity << 8 |
                          (uint32_t)c->policy << 12 | (uint32_t)c->line << 16);
    }
    return e;
}

static void add_hmat(struct tables *t, const struct bp_numa *n)
{
    uint8_t *p = acpi_begin(t, "HMAT", hmat_size(n), 2), *e;

    if (!p)
        return;
    e = p + ACPI_HEADER + 4;
    for (unsigned i = 0; i < n->count; i++, e += PROXIMITY) {
        uint8_t initiator = n->nodes[i].has_cpus ? (uint8_t)i : n->nodes[i].initiator;

        put32(e + 4, PROXIMITY);
        put16(e + 8, initiator != BP_NUMA_MOST);
        put32(e + 12, initiator != BP_NUMA_MOST ? initiator : 0);
        put32(e + 16, i);
    }
    for (unsigned h = 0; h < BP_NUMA_HIERARCHIES; h++) {
        for (unsigned type = 0; type < BP_NUMA_DATA_TYPES; type++) {
            if (n->rates[h][type])
                e = put_rates(e, n, h, type);
        }
    }
    for (unsigned i = 0; i < n->count; i++)
        e = put_caches(e, n, i);
    acpi_finish(t, p);
    acpi_list(t, p);
}

uint32_t acpi_numa_size(const struct pc *pc)
{
    const struct bp_numa *n = bp_machine_numa(pc->machine);

    if (!n)
        return 0;
    return 256 + bp_machine_smp(pc->machine)->max_cpus * X2APIC + (4 * n->count + 1) * MEMORY + n->count * n->count +
           (pc->hmat ? hmat_size(n) : 0);
}

void acpi_add_numa(struct tables *t, const struct pc *pc)
{
    const struct bp_numa *n = bp_machine_numa(pc->machine);

    if (!n)
        return;
    add_srat(t, pc, n);
    if (n->has_distances)
        add_slit(t, n);
    if (pc->hmat)
        add_hmat(t, n);
}
