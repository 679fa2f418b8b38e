/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The local APIC's register file (SDM volume 3, tables 11-1 and 11-6), the same for xAPIC and
 * x2APIC. */
#include "apic.h"

#include <errno.h>

#define VERSION 0x01050014u /* six LVT entries, EOI broadcast suppression, version 0x14 */

static int read_locked(struct lapic *s, unsigned index, uint64_t *ret_value)
{
    bool x2 = lapic_x2apic(s);

    switch (index) {
    case REG_ID:
        *ret_value = x2 ? s->id : s->id << 24;
        return 0;
    case REG_VERSION:
        *ret_value = VERSION;
        return 0;
    case REG_TPR:
        *ret_value = s->tpr;
        return 0;
    case REG_APR:
    case REG_RRD:
    case REG_EOI:
        *ret_value = 0;
        return x2 ? -EINVAL : 0;
    case REG_PPR:
        *ret_value = lapic_ppr(s);
        return 0;
    case REG_LDR:
        *ret_value = s->ldr;
        return 0;
    case REG_DFR:
        *ret_value = s->dfr;
        return x2 ? -EINVAL : 0;
    case REG_SVR:
        *ret_value = s->svr;
        return 0;
    case REG_ISR ... REG_ISR + 7:
        *ret_value = s->isr[index - REG_ISR];
        return 0;
    case REG_TMR ... REG_TMR + 7:
        *ret_value = s->tmr[index - REG_TMR];
        return 0;
    case REG_IRR ... REG_IRR + 7:
        *ret_value = s->irr[index - REG_IRR];
        return 0;
    case REG_ESR:
        *ret_value = s->esr;
        return 0;
    case REG_ICR_LOW:
        *ret_value = x2 ? (uint64_t)s->icr_high << 32 | s->icr_low : s->icr_low;
        return 0;
    case REG_ICR_HIGH:
        *ret_value = s->icr_high;
        return 0;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        *ret_value = s->lvt[LVT_TIMER + index - REG_LVT_TIMER];
        return 0;
    case REG_INITIAL:
        *ret_value = s->initial_count;
        return 0;
    case REG_CURRENT:
        *ret_value = lapic_timer_current(s);
        return 0;
    case REG_DIVIDE:
        *ret_value = s->divide;
        return 0;
    default:
        *ret_value = 0;
        lapic_report_error(s, ESR_REGISTER);
        return -EINVAL;
    }
}

int lapic_read_reg(struct lapic *s, unsigned index, uint64_t *ret_value)
{
    int r;

    lapic_lock(s);
    r = read_locked(s, index, ret_value);
    lapic_unlock(s);
    return r;
}

static void write_lvt(struct lapic *s, unsigned n, uint32_t value)
{
    static const uint32_t writable[LVT_COUNT] = {
        [LVT_CMCI] = 0x107ff, [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff,
        [LVT_PERF] = 0x107ff, [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
    };
    uint32_t old = s->lvt[n];

    value &= writable[n];
    if (!(s->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    s->lvt[n] = value | (old & LVT_REMOTE_IRR);
    if (n == LVT_TIMER && ((old ^ value) >> 17 & 3)) {
        /* A change of mode between TSC deadline and the others disarms the timer. */
        lapic_timer_stop(s);
        s->tsc_deadline = 0;
        if ((value >> 17 & 3) != 2 && (old >> 17 & 3) != 2)
            lapic_timer_start(s);
        else
            s->initial_count = 0;
    }
    lapic_update(s);
}

static void write_svr(struct lapic *s, uint32_t value)
{
    s->svr = value & 0x11ff;
    if (!(s->svr & SVR_ENABLE)) {
        for (unsigned i = LVT_TIMER; i < LVT_COUNT; i++)
            s->lvt[i] |= LVT_MASKED;
    }
    lapic_update(s);
}

/* What a write makes known to others, once the lock is released. */
struct outside {
    int eoi; /* vector, or -1 */
    bool ipi;
    uint32_t icr_low, icr_high;
};

static void write_icr(struct lapic *s, uint64_t value, struct outside *out)
{
    s->icr_low = value & 0x000ccfffu;
    if (lapic_x2apic(s))
        s->icr_high = (uint32_t)(value >> 32);
    if ((value >> 8 & 7) <= DELIVER_LOWEST && (value & 0xff) < 16) {
        lapic_report_error(s, ESR_SEND_ILLEGAL);
        return;
    }
    out->ipi = true;
    out->icr_low = s->icr_low;
    out->icr_high = s->icr_high;
}

static int write_locked(struct lapic *s, unsigned index, uint64_t wide, struct outside *out)
{
    uint32_t value = (uint32_t)wide;
    bool x2 = lapic_x2apic(s);

    switch (index) {
    case REG_ID:
        if (x2)
            return -EINVAL;
        LAPIC_SET(s->id, value >> 24);
        return 0;
    case REG_TPR:
        LAPIC_SET(s->tpr, value & 0xff);
        lapic_update(s);
        return 0;
    case REG_EOI:
        if (x2 && value)
            return -EINVAL;
        out->eoi = lapic_end_of_interrupt(s);
        return 0;
    case REG_LDR:
        if (x2)
            return -EINVAL;
        LAPIC_SET(s->ldr, value & 0xff000000u);
        return 0;
    case REG_DFR:
        if (x2)
            return -EINVAL;
        LAPIC_SET(s->dfr, value | 0x0fffffffu);
        return 0;
    case REG_SVR:
        write_svr(s, value);
        return 0;
    case REG_ESR:
        if (x2 && value)
            return -EINVAL;
        s->esr = s->esr_pending;
        s->esr_pending = 0;
        return 0;
    case REG_ICR_LOW:
        write_icr(s, wide, out);
        return 0;
    case REG_ICR_HIGH:
        if (x2)
            return -EINVAL;
        s->icr_high = value & 0xff000000u;
        return 0;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        write_lvt(s, LVT_TIMER + index - REG_LVT_TIMER, value);
        return 0;
    case REG_INITIAL:
        if ((s->lvt[LVT_TIMER] >> 17 & 3) == 2)
            return 0;
        s->initial_count = value;
        lapic_timer_start(s);
        return 0;
    case REG_DIVIDE:
        s->divide = value & 0xb;
        lapic_timer_start(s);
        return 0;
    case REG_SELF_IPI:
        if (!x2)
            break;
        lapic_accept_locked(s, DELIVER_FIXED, (uint8_t)value, false);
        return 0;
    case REG_VERSION:
    case REG_PPR:
    case REG_CURRENT:
    case REG_ISR ... REG_ISR + 7:
    case REG_TMR ... REG_TMR + 7:
    case REG_IRR ... REG_IRR + 7:
        return x2 ? -EINVAL : 0; /* read only */
    default:
        break;
    }
    lapic_report_error(s, ESR_REGISTER);
    return -EINVAL;
}

int lapic_write_reg(struct lapic *s, unsigned index, uint64_t value)
{
    struct outside out = {.eoi = -1};
    int r;

    lapic_lock(s);
    r = write_locked(s, index, value, &out);
    lapic_unlock(s);
    if (out.eoi >= 0)
        apic_broadcast_eoi(s->bus, (uint8_t)out.eoi);
    if (out.ipi)
        apic_send_ipi(s, out.icr_low, out.icr_high);
    return r;
}
