/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Message delivery between local APICs, I/O APIC and MSI. Intel SDM volume 3, 11.6 and 11.11. On
 * any thread, without the machine lock. Lowest-priority delivery picks the processor with the
 * lowest task priority, the first of equals.
 */
#include "apic.h"

struct lapic *apic_member(const struct apic_bus *bus, unsigned index)
{
    return index < APIC_MAX ? __atomic_load_n(&bus->member[index], __ATOMIC_ACQUIRE) : NULL;
}

unsigned apic_members(const struct apic_bus *bus)
{
    return __atomic_load_n(&bus->members, __ATOMIC_ACQUIRE);
}

static bool matches_logical(const struct lapic *s, uint32_t dest)
{
    uint32_t ldr = LAPIC_GET(s->ldr);

    if (lapic_x2apic(s)) {
        /* Cluster in the high half, one bit per member in the low half. */
        return (dest >> 16) == (ldr >> 16) && (dest & ldr & 0xffff) != 0;
    }
    ldr >>= 24;
    if (LAPIC_GET(s->dfr) >> 28 == 0xf)
        return (dest & ldr) != 0;
    return (dest >> 4 & 0xf) == ldr >> 4 && (dest & ldr & 0xf) != 0;
}

/* All ones are everybody: of 32 bits, or of 8 where there are no more; with 32 bits 0xff is one processor, or the first
 * eight of cluster 0. */
static bool matches(const struct lapic *s, const struct bp_apic_message *m)
{
    if (m->dest == UINT32_MAX || (m->dest == 0xff && !m->wide && !lapic_x2apic(s)))
        return true;
    return m->logical ? matches_logical(s, m->dest) : LAPIC_GET(s->id) == m->dest;
}

void apic_deliver(struct apic_bus *bus, const struct bp_apic_message *m)
{
    struct lapic *best = NULL, *s;

    if (apic_message(bus, m))
        return;
    bp_cpus_hold();
    for (unsigned i = 0; i < apic_members(bus); i++) {
        s = apic_member(bus, i);
        if (!s || !matches(s, m))
            continue;
        if (m->delivery != DELIVER_LOWEST)
            lapic_accept(s, m->delivery, m->vector, m->level);
        else if (!best || LAPIC_GET(s->tpr) < LAPIC_GET(best->tpr))
            best = s;
    }
    if (best)
        lapic_accept(best, DELIVER_FIXED, m->vector, m->level);
    bp_cpus_release();
}

void apic_send_ipi(struct lapic *source, uint32_t low, uint32_t high)
{
    unsigned delivery = low >> 8 & 7, shorthand = low >> 18 & 3;
    bool level = low & 1u << 15, assert = low & 1u << 14, x2 = lapic_x2apic(source);
    uint8_t vector = (uint8_t)low;
    struct bp_apic_message m = {.dest = x2 ? high : high >> 24, .logical = low & 1u << 11, .wide = x2,
                                .delivery = (uint8_t)delivery, .vector = vector};
    struct lapic *s;

    /* INIT level de-assert only synchronises arbitration IDs, which nothing here has. */
    if (delivery == DELIVER_INIT && level && !assert)
        return;
    if (shorthand == 0) {
        apic_deliver(source->bus, &m);
        return;
    }
    if (shorthand == 1) {
        lapic_accept(source, DELIVER_FIXED, vector, false);
        return;
    }
    bp_cpus_hold();
    for (unsigned i = 0; i < apic_members(source->bus); i++) {
        s = apic_member(source->bus, i);
        if (!s)
            continue;
        if (source->cpu->lapic && s != source) {
            m.dest = s->cpu->apic_id;
            m.logical = false;
            m.wide = true;
            apic_message(source->bus, &m);
            continue;
        }
        if (shorthand == 2 || s != source)
            lapic_accept(s, delivery, vector, false);
    }
    bp_cpus_release();
}

void apic_msi(struct apic_bus *bus, uint64_t address, uint32_t data)
{
    apic_deliver(bus, &(struct bp_apic_message){.dest = address >> 12 & 0xff, .logical = address & 4,
                                                .level = data & 1u << 15, .delivery = data >> 8 & 7,
                                                .vector = (uint8_t)data});
}

void apic_broadcast_eoi(struct apic_bus *bus, uint8_t vector)
{
    for (unsigned i = 0; i < BP_COUNT(bus->eoi) && bus->eoi[i].fn; i++)
        bus->eoi[i].fn(bus->eoi[i].opaque, vector);
}
