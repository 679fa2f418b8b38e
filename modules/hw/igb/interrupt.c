/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts (chapter 7.3): IVAR says which bit of EICR a queue's causes and all others (ICR) set.
 * With GPIE.Multiple_MSIX each bit is a vector of MSI-X; otherwise there is one interrupt, by pin,
 * MSI or MSI-X, for EICR and ICR together. No oftener than EITR says. Left out: low latency
 * interrupts, the TCP timer.
 */
#include "igb.h"

static bool multiple(const struct igb *s)
{
    return (s->reg[GPIE / 4] & GPIE_MULTIPLE) && s->g.pci->msix_enabled(s->g.dev);
}

static bool allowed(const struct igb *s, unsigned vector)
{
    return !bp_timer_pending(s->throttle[vector]);
}

static void hold_back(struct igb *s, unsigned vector)
{
    uint32_t interval = *reg(&s->g, EITR + 4 * vector) >> 2 & 0x1fffu; /* microseconds */

    if (interval)
        bp_timer_set(s->throttle[vector], bp_timer_now(s->throttle[vector]) + (int64_t)interval * 1000);
}

static void update_messages(struct igb *s)
{
    struct gbe *g = &s->g;

    s->told &= *reg(g, EICR) & *reg(g, EIMS);
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        uint32_t bit = 1u << vector;

        if (!(*reg(g, EICR) & *reg(g, EIMS) & ~s->told & bit) || !allowed(s, vector))
            continue;
        s->told |= bit;
        if (*reg(g, EIAC) & bit)
            *reg(g, EICR) &= ~bit;
        if (*reg(g, GPIE) & GPIE_EIAME)
            *reg(g, EIMS) &= ~(*reg(g, EIAM) & bit);
        s->told &= *reg(g, EICR) & *reg(g, EIMS);
        hold_back(s, vector);
        g->pci->msix_notify(g->dev, vector);
    }
}

static void update_one(struct igb *s)
{
    struct gbe *g = &s->g;

    if (!(*reg(g, ICR) & *reg(g, IMS)) && !(*reg(g, EICR) & *reg(g, EIMS))) {
        s->asserted = false;
        g->pci->interrupt(g->dev, 0, 0);
    } else if (!s->asserted && allowed(s, 0)) {
        s->asserted = true;
        hold_back(s, 0);
        g->pci->interrupt(g->dev, 0, 1);
    }
}

void igb_update_interrupts(struct igb *s)
{
    struct gbe *g = &s->g;
    uint32_t misc = *reg(g, IVAR_MISC) >> 8;
    bool other = *reg(g, ICR) & *reg(g, IMS);

    if (!multiple(s)) {
        if (other)
            *reg(g, EICR) |= EICR_OTHER;
        update_one(s);
        return;
    }
    if (other && (misc & 0x80u))
        *reg(g, EICR) |= 1u << (misc & 31u);
    update_messages(s);
}

void igb_interrupt(struct gbe *g, uint32_t causes)
{
    *reg(g, ICR) |= causes & INTERRUPTS;
    if (causes)
        igb_update_interrupts(g->card);
}

/* Entries of queues n and n + 8 are in IVAR[n]: receive, transmit, receive, transmit. */
void igb_queue_interrupt(struct igb *s, bool tx, unsigned queue)
{
    struct gbe *g = &s->g;
    uint32_t entry = *reg(g, IVAR + 4 * (queue & 7u)) >> ((queue & 8u) * 2 + (tx ? 8 : 0));

    if (entry & 0x80u)
        *reg(g, EICR) |= 1u << (entry & 31u);
    igb_interrupt(g, tx ? ICR_TXDW : ICR_RXT0);
}

void igb_reset_interrupts(struct igb *s)
{
    s->told = 0;
    s->asserted = false;
    for (unsigned i = 0; i < VECTORS; i++)
        bp_timer_cancel(s->throttle[i]);
    s->g.pci->interrupt(s->g.dev, 0, 0);
}

/* ---- registers ---- */

static uint32_t read_icr(struct igb *s)
{
    struct gbe *g = &s->g;
    uint32_t value = *reg(g, ICR);
    bool out = value & *reg(g, IMS);

    if ((*reg(g, GPIE) & GPIE_NSICR) || out || *reg(g, IMS) == 0) {
        *reg(g, ICR) = 0;
        if (!multiple(s))
            *reg(g, EICR) &= ~EICR_OTHER;
    }
    if (out)
        *reg(g, IMS) &= ~*reg(g, IAM);
    igb_update_interrupts(s);
    return value | (out ? ICR_ASSERTED : 0);
}

bool igb_read_interrupts(struct igb *s, unsigned offset, uint32_t *ret_value)
{
    struct gbe *g = &s->g;

    if (offset == ICR) {
        *ret_value = read_icr(s);
        return true;
    }
    if (offset == EIMS) {
        *ret_value = *reg(g, EIMS);
        return true;
    }
    if (offset != EICR)
        return false;
    *ret_value = *reg(g, EICR);
    if (!(*reg(g, GPIE) & GPIE_MULTIPLE)) { /* else a read does not acknowledge (GPIE) */
        *reg(g, EICR) = 0;
        *reg(g, EIMS) &= ~*reg(g, EIAM);
        igb_update_interrupts(s);
    }
    return true;
}

bool igb_write_interrupts(struct igb *s, unsigned offset, uint32_t value)
{
    struct gbe *g = &s->g;

    switch (offset) {
    case ICR: /* ones clear */
        *reg(g, ICR) &= ~value;
        break;
    case ICS:
        *reg(g, ICR) |= value & INTERRUPTS;
        break;
    case IMS:
        *reg(g, IMS) |= value & INTERRUPTS;
        break;
    case IMC:
        *reg(g, IMS) &= ~value;
        break;
    case EICR:
        *reg(g, EICR) &= ~value;
        if (!(*reg(g, GPIE) & GPIE_EIAME))
            *reg(g, EIMS) &= ~(*reg(g, EIAM) & value);
        break;
    case EICS:
        *reg(g, EICR) |= value;
        break;
    case EIMS:
        *reg(g, EIMS) |= value;
        break;
    case EIMC:
        *reg(g, EIMS) &= ~value;
        break;
    default:
        return false;
    }
    igb_update_interrupts(s);
    return true;
}
