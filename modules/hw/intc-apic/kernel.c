/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Local APICs that the accelerator has itself (bp_x86_cpu.lapic). The device has their state when the accelerator gave
 * it: for monitors, saved states, and the interpreter where it stands in. One form is saved for both.
 */
#include "apic.h"

#include <bp/exact/debug.h>
#include <string.h>

void lapic_get_image(void *opaque, struct bp_x86_lapic_image *image)
{
    struct lapic *s = opaque;
    bool x2;

    memset(image, 0, sizeof(*image));
    lapic_lock(s);
    x2 = lapic_x2apic(s);
    image->base = s->base;
    image->tsc_deadline = s->tsc_deadline;
    image->reg[REG_ID] = x2 && s->cpu->lapic && s->cpu->lapic->wide ? s->cpu->apic_id :
                         (x2 ? s->cpu->apic_id : s->id) << 24;
    image->reg[REG_VERSION] = 0x01050014u;
    image->reg[REG_TPR] = s->tpr;
    image->reg[REG_LDR] = s->ldr;
    image->reg[REG_DFR] = s->dfr;
    image->reg[REG_SVR] = s->svr;
    image->reg[REG_ESR] = s->esr;
    for (unsigned n = 0; n < 8; n++) {
        image->reg[REG_ISR + n] = s->isr[n];
        image->reg[REG_TMR + n] = s->tmr[n];
        image->reg[REG_IRR + n] = s->irr[n];
    }
    image->reg[REG_ICR_LOW] = s->icr_low;
    image->reg[REG_ICR_HIGH] = s->icr_high;
    for (unsigned n = REG_LVT_TIMER; n <= REG_LVT_ERROR; n++)
        image->reg[n] = s->lvt[LVT_TIMER + n - REG_LVT_TIMER];
    image->reg[REG_INITIAL] = s->initial_count;
    image->reg[REG_CURRENT] = lapic_timer_current(s);
    image->reg[REG_DIVIDE] = s->divide;
    lapic_unlock(s);
}

/* What the ID register shows is not all of an id beyond 255. */
static uint32_t id_shown(const struct lapic *s, uint32_t shown)
{
    return shown == (s->cpu->apic_id & 0xff) ? s->cpu->apic_id : shown;
}

void lapic_set_image(void *opaque, const struct bp_x86_lapic_image *image)
{
    struct lapic *s = opaque;

    lapic_lock(s);
    LAPIC_SET(s->base, image->base);
    LAPIC_SET(s->id, lapic_x2apic(s) ? s->cpu->apic_id : id_shown(s, image->reg[REG_ID] >> 24));
    LAPIC_SET(s->tpr, image->reg[REG_TPR] & 0xff);
    LAPIC_SET(s->ldr, image->reg[REG_LDR]);
    LAPIC_SET(s->dfr, image->reg[REG_DFR] | 0x0fffffffu);
    s->svr = image->reg[REG_SVR] & 0x11ff;
    s->esr = image->reg[REG_ESR];
    s->esr_pending = 0;
    for (unsigned n = 0; n < 8; n++) {
        s->isr[n] = image->reg[REG_ISR + n];
        s->tmr[n] = image->reg[REG_TMR + n];
        s->irr[n] = image->reg[REG_IRR + n];
    }
    s->icr_low = image->reg[REG_ICR_LOW];
    s->icr_high = image->reg[REG_ICR_HIGH];
    for (unsigned n = REG_LVT_TIMER; n <= REG_LVT_ERROR; n++)
        s->lvt[LVT_TIMER + n - REG_LVT_TIMER] = image->reg[n];
    s->initial_count = image->reg[REG_INITIAL];
    s->divide = image->reg[REG_DIVIDE] & 0xb;
    lapic_timer_take(s, image->reg[REG_CURRENT], image->tsc_deadline);
    lapic_update(s);
    lapic_unlock(s);
}

void lapic_eoi(void *opaque, uint8_t vector)
{
    apic_broadcast_eoi(((struct lapic *)opaque)->bus, vector);
}

/* Whoever looks at the device sees what the accelerator has. [main], vCPU stopped; or [vcpu] */
void lapic_fetch(struct bp_cpu *cpu, void *opaque)
{
    (void)opaque;
    if (((struct bp_x86_cpu *)bp_cpu_state(cpu))->lapic)
        bp_debug_sync(cpu);
}

/* An edge at LINT1: what its entry says the accelerator has to tell first. */
static void lint1(struct bp_cpu *cpu, void *opaque)
{
    struct lapic *s = opaque;

    bp_debug_sync(cpu);
    lapic_lock(s);
    lapic_fire_lvt(s, LVT_LINT1);
    lapic_unlock(s);
}

void lapic_lint1_edge(struct lapic *s)
{
    bp_cpu_run_async(s->cpu->cpu, lint1, s);
}

static uint64_t address_of(const struct bp_x86_cpu *x, const struct bp_apic_message *m)
{
    uint32_t dest = m->dest == UINT32_MAX && !x->lapic->wide ? 0xff : m->dest;

    return APIC_DEFAULT_BASE | (uint64_t)(dest & 0xff) << 12 | (m->logical ? 4 : 0) | (uint64_t)(dest >> 8) << 40;
}

bool apic_message(const struct apic_bus *bus, const struct bp_apic_message *m)
{
    struct lapic *first = apic_member(bus, 0);
    struct bp_x86_cpu *x = first ? first->cpu : NULL;

    /* System management mode is not the accelerator's; ExtINT is LINT0's there. */
    if (!x || !x->lapic || m->delivery == DELIVER_SMI)
        return false;
    x->lapic->message(x, address_of(x, m),
                      m->vector | (uint32_t)m->delivery << 8 | 1u << 14 | (m->level ? 1u << 15 : 0));
    return true;
}

void apic_pin(const struct apic_bus *bus, unsigned pin, const struct bp_apic_message *m)
{
    struct lapic *first = apic_member(bus, 0);
    struct bp_x86_cpu *x = first ? first->cpu : NULL;

    if (x && x->lapic)
        x->lapic->pin(x, pin, address_of(x, m), m->vector | (uint32_t)m->delivery << 8 | 1u << 14 | 1u << 15);
}
