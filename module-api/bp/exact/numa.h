/* SPDX-License-Identifier: MIT */
/* The NUMA nodes of a machine (-numa), for boards that tell the guest of them. Tier: exact. [main] */
#ifndef BP_EXACT_NUMA_H
#define BP_EXACT_NUMA_H

#include <bp/exact/machine.h>

BP_BEGIN_DECLS

#define BP_NUMA_MOST 128u
#define BP_NUMA_CACHES 3u     /* levels of memory side caches, from 1 */
#define BP_NUMA_HIERARCHIES 4u /* memory, then its caches' levels */
#define BP_NUMA_DATA_TYPES 6u /* access, read, write latency (ns), then the three bandwidths (MiB/s) */

struct bp_numa_node {
    uint64_t mem;             /* bytes of main memory: node 0's first, then node 1's, ... */
    struct bp_object *memdev; /* that it comes from, or NULL */
    bool has_cpus;
    uint8_t initiator;        /* node whose processors reach it best, BP_NUMA_MOST: not known */
};

struct bp_numa_cache {
    uint64_t size; /* bytes */
    uint8_t level; /* 1..3; 0: there is none */
    uint8_t associativity; /* 0 none, 1 direct mapped, 2 complex */
    uint8_t policy;        /* 0 none, 1 write back, 2 write through */
    uint16_t line;         /* bytes */
};

struct bp_numa_rates { /* of one hierarchy and data type; each value is a multiple of `unit` up to 65534 times it */
    uint64_t unit;
    uint64_t value[BP_NUMA_MOST][BP_NUMA_MOST]; /* [initiator][target]; 0: not told */
};

struct bp_numa {
    unsigned count; /* of nodes */
    struct bp_numa_node nodes[BP_NUMA_MOST];
    bool has_distances;
    uint8_t distance[BP_NUMA_MOST][BP_NUMA_MOST]; /* with has_distances: 10..255 */
    struct bp_numa_rates *rates[BP_NUMA_HIERARCHIES][BP_NUMA_DATA_TYPES]; /* NULL: not told */
    struct bp_numa_cache caches[BP_NUMA_MOST][BP_NUMA_CACHES]; /* index: level - 1 */
};

const struct bp_numa *bp_machine_numa(const struct bp_machine *m); /* NULL: no -numa; borrowed */
/* The node of a processor, whether it is there or may come; -1: of none. */
int bp_machine_cpu_node(const struct bp_machine *m, unsigned index);

BP_END_DECLS

#endif
