/* SPDX-License-Identifier: MIT */
/* APIC ids by the topology of -smp. Tier: exact. */
#ifndef BP_EXACT_X86_TOPOLOGY_H
#define BP_EXACT_X86_TOPOLOGY_H

#include <bp/exact/machine.h>

BP_BEGIN_DECLS

/* How many bits of an APIC id number the members of a level that has so many. */
static inline unsigned bp_x86_id_bits(unsigned count)
{
    unsigned bits = 0;

    while (1u << bits < count)
        bits++;
    return bits;
}
/* The APIC id of the processor with this index: for each level of the topology as many bits as it needs (SDM volume
 * 3, 10.9.3), so that ids have holes where a level is no power of two. */
static inline uint32_t bp_x86_apic_id(const struct bp_smp *smp, unsigned index)
{
    const unsigned levels[] = {smp->threads, smp->cores, smp->modules, smp->clusters, smp->dies};
    unsigned shift = 0;
    uint32_t id = 0;

    for (unsigned i = 0; i < 5; i++) {
        unsigned count = levels[i] ? levels[i] : 1;

        id |= index % count << shift;
        index /= count;
        shift += bp_x86_id_bits(count);
    }
    return id | index << shift;
}

BP_END_DECLS

#endif
