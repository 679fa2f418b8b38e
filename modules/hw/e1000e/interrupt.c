/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts (chapter 7.4): by pin or MSI while any cause is enabled, or by MSI-X, where the two queues' causes and all
 * others have the vectors that IVAR says. Causes and masks clear themselves as EIAC, IAM and CTRL_EXT say. No oftener
 * than ITR or EITR say; the delays of RDTR and TIDV are left out.
 */
#include "e1000e.h"

/* One more message of this vector, or change of the pin, is allowed. */
static bool allowed(const struct e1000e *s, unsigned vector)
{
    return !bp_timer_pending(s->throttle[vector]);
}

static void hold_back(struct e1000e *s, unsigned vector, uint32_t interval)
{
    interval &= 0xffffu; /* of 256 ns */
    if (interval)
        bp_timer_set(s->throttle[vector], bp_timer_now(s->throttle[vector]) + (int64_t)interval * 256);
}

/* The causes of bits 24:20 of ICR, in IVAR's order. */
static void update_messages(struct e1000e *s)
{
    struct gbe *g = &s->g;

    if (*reg(g, ICR) & *reg(g, IMS) & OTHER_CAUSES)
        *reg(g, ICR) |= ICR_OTHER;
    s->told &= *reg(g, ICR) & *reg(g, IMS);
    for (unsigned i = 0; i < VECTORS; i++) {
        uint32_t bit = ICR_RXQ0 << i, entry = *reg(g, IVAR) >> 4 * i & 15u;
        unsigned vector = entry & 7u;

        if (!(*reg(g, ICR) & *reg(g, IMS) & ~s->told & bit) || !(entry & 8u) || vector >= VECTORS ||
            !allowed(s, vector))
            continue;
        s->told |= bit;
        if (*reg(g, EIAC) & bit)
            *reg(g, ICR) &= ~bit;
        if (*reg(g, CTRL_EXT) & CTRL_EXT_EIAME)
            *reg(g, IMS) &= ~(*reg(g, IAM) & bit);
        s->told &= *reg(g, ICR) & *reg(g, IMS);
        hold_back(s, vector, *reg(g, EITR + 4 * vector));
        g->pci->msix_notify(g->dev, vector);
    }
}

void e1000e_update_interrupts(struct e1000e *s)
{
    struct gbe *g = &s->g;

    if (g->pci->msix_enabled(g->dev)) {
        update_messages(s);
    } else if (!(*reg(g, ICR) & *reg(g, IMS) & INTERRUPTS)) {
        *reg(g, ICR) &= ~ICR_ASSERTED;
        g->pci->interrupt(g->dev, 0, 0);
    } else if (*reg(g, ICR) & ICR_ASSERTED) {
        ; /* as it is */
    } else if (allowed(s, 0)) {
        *reg(g, ICR) |= ICR_ASSERTED;
        hold_back(s, 0, *reg(g, ITR));
        g->pci->interrupt(g->dev, 0, 1);
    }
}

void e1000e_interrupt(struct gbe *g, uint32_t causes)
{
    if (!(causes & INTERRUPTS))
        return;
    *reg(g, ICR) |= causes & INTERRUPTS;
    e1000e_update_interrupts(g->card);
}

/* What is read is acknowledged, if an interrupt is out or nobody wants any. */
uint32_t e1000e_read_icr(struct e1000e *s)
{
    struct gbe *g = &s->g;
    uint32_t value = *reg(g, ICR);

    if ((value & ICR_ASSERTED) || *reg(g, IMS) == 0 || g->pci->msix_enabled(g->dev)) {
        if (*reg(g, CTRL_EXT) & CTRL_EXT_IAME)
            *reg(g, IMS) &= ~*reg(g, IAM);
        *reg(g, ICR) = 0;
        e1000e_update_interrupts(s);
    }
    return value;
}

void e1000e_reset_interrupts(struct e1000e *s)
{
    s->told = 0;
    for (unsigned i = 0; i < VECTORS; i++)
        bp_timer_cancel(s->throttle[i]);
    s->g.pci->interrupt(s->g.dev, 0, 0);
}
