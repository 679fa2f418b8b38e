/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Message delivery between local APICs, I/O APIC and MSI. Intel SDM volume 3, 11.6 and 11.11. All
 * under the machine lock. Lowest-priority delivery picks the processor with the lowest task
 * priority, the first of equals.
 */
#include "apic.h"

static bool matches_logical(const struct lapic *s, uint32_t dest)
{
    if (lapic_x2apic(s)) {
        /* Cluster in the high half, one bit per member in the low half. */
        return (dest >> 16) == (s->ldr >> 16) && (dest & s->ldr & 0xffff) != 0;
    }
    uint8_t ldr = (uint8_t)(s->ldr >> 24);
    if (s->dfr >> 28 == 0xf)
        return (dest & ldr) != 0;
    return (dest >> 4 & 0xf) == (uint32_t)(ldr >> 4) && (dest & ldr & 0xf) != 0;
}

static bool matches(const struct lapic *s, uint32_t dest, bool logical)
{
    if (dest == 0xff && !lapic_x2apic(s))
        return true;
    if (dest == 0xffffffffu)
        return true;
    return logical ? matches_logical(s, dest) : s->id == dest;
}

void apic_deliver(struct bp_machine *machine, uint32_t dest, bool logical, unsigned delivery,
                  uint8_t vector, bool level)
{
    struct lapic *best = NULL;

    for (unsigned i = 0;; i++) {
        struct lapic *s = lapic_of_index(machine, i);
        if (!s)
            break;
        if (!matches(s, dest, logical))
            continue;
        if (delivery != DELIVER_LOWEST)
            lapic_accept(s, delivery, vector, level);
        else if (!best || s->tpr < best->tpr)
            best = s;
    }
    if (best)
        lapic_accept(best, DELIVER_FIXED, vector, level);
}

void apic_send_ipi(struct lapic *source)
{
    unsigned delivery = source->icr_low >> 8 & 7;
    unsigned shorthand = source->icr_low >> 18 & 3;
    bool logical = source->icr_low & 1u << 11;
    bool level = source->icr_low & 1u << 15, assert = source->icr_low & 1u << 14;
    uint8_t vector = (uint8_t)source->icr_low;
    uint32_t dest = lapic_x2apic(source) ? source->icr_high : source->icr_high >> 24;

    /* INIT level de-assert only synchronises arbitration IDs, which nothing here has. */
    if (delivery == DELIVER_INIT && level && !assert)
        return;
    if (shorthand == 0) {
        apic_deliver(lapic_machine(source), dest, logical, delivery, vector, false);
        return;
    }
    if (shorthand == 1) {
        lapic_accept(source, DELIVER_FIXED, vector, false);
        return;
    }
    for (unsigned i = 0;; i++) {
        struct lapic *s = lapic_of_index(lapic_machine(source), i);
        if (!s)
            break;
        if (shorthand == 2 || s != source)
            lapic_accept(s, delivery, vector, false);
    }
}

void apic_msi(struct bp_machine *machine, uint64_t address, uint32_t data)
{
    apic_deliver(machine, address >> 12 & 0xff, address & 4, data >> 8 & 7, (uint8_t)data,
                 data & 1u << 15);
}

void apic_on_eoi(struct bp_device *dev, void (*fn)(void *opaque, uint8_t vector), void *opaque)
{
    struct lapic *first = lapic_of_index(bp_device_machine(dev), 0);

    /* An I/O APIC lives as long as the processors */
    for (unsigned i = 0; first && i < BP_COUNT(first->eoi); i++) {
        if (!first->eoi[i].fn) {
            first->eoi[i] = (struct eoi_listener){fn, opaque};
            return;
        }
    }
}

void apic_broadcast_eoi(struct bp_machine *machine, uint8_t vector)
{
    struct lapic *first = lapic_of_index(machine, 0);

    for (unsigned i = 0; first && i < BP_COUNT(first->eoi) && first->eoi[i].fn; i++)
        first->eoi[i].fn(first->eoi[i].opaque, vector);
}
