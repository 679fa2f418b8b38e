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

static bool matches(const struct lapic *s, uint32_t dest, bool logical)
{
    if (dest == 0xff && !lapic_x2apic(s))
        return true;
    if (dest == 0xffffffffu)
        return true;
    return logical ? matches_logical(s, dest) : LAPIC_GET(s->id) == dest;
}

void apic_deliver(struct apic_bus *bus, uint32_t dest, bool logical, unsigned delivery, uint8_t vector,
                  bool level)
{
    struct lapic *best = NULL, *s;

    if (apic_message(bus, dest, logical, delivery, vector, level))
        return;
    for (unsigned i = 0; (s = apic_member(bus, i)) != NULL; i++) {
        if (!matches(s, dest, logical))
            continue;
        if (delivery != DELIVER_LOWEST)
            lapic_accept(s, delivery, vector, level);
        else if (!best || LAPIC_GET(s->tpr) < LAPIC_GET(best->tpr))
            best = s;
    }
    if (best)
        lapic_accept(best, DELIVER_FIXED, vector, level);
}

void apic_send_ipi(struct lapic *source, uint32_t low, uint32_t high)
{
    unsigned delivery = low >> 8 & 7, shorthand = low >> 18 & 3;
    bool logical = low & 1u << 11, level = low & 1u << 15, assert = low & 1u << 14;
    uint8_t vector = (uint8_t)low;
    struct lapic *s;

    /* INIT level de-assert only synchronises arbitration IDs, which nothing here has. */
    if (delivery == DELIVER_INIT && level && !assert)
        return;
    if (shorthand == 0) {
        apic_deliver(source->bus, lapic_x2apic(source) ? high : high >> 24, logical, delivery, vector,
                     false);
        return;
    }
    if (shorthand == 1) {
        lapic_accept(source, DELIVER_FIXED, vector, false);
        return;
    }
    for (unsigned i = 0; (s = apic_member(source->bus, i)) != NULL; i++) {
        if (source->cpu->lapic && s != source) {
            apic_message(source->bus, s->cpu->apic_id, false, delivery, vector, false);
            continue;
        }
        if (shorthand == 2 || s != source)
            lapic_accept(s, delivery, vector, false);
    }
}

void apic_msi(struct apic_bus *bus, uint64_t address, uint32_t data)
{
    apic_deliver(bus, address >> 12 & 0xff, address & 4, data >> 8 & 7, (uint8_t)data,
                 data & 1u << 15);
}

void apic_broadcast_eoi(struct apic_bus *bus, uint8_t vector)
{
    for (unsigned i = 0; i < BP_COUNT(bus->eoi) && bus->eoi[i].fn; i++)
        bus->eoi[i].fn(bus->eoi[i].opaque, vector);
}
