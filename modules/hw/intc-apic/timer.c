/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local APIC's timer (SDM volume 3, 11.5.4): one-shot, periodic, TSC deadline. Its clock is 1
 * GHz, so that one undivided tick is a nanosecond.
 */
#include "apic.h"

enum { ONE_SHOT, PERIODIC, TSC_DEADLINE };

static unsigned mode(const struct lapic *s)
{
    return s->lvt[LVT_TIMER] >> 17 & 3;
}

static unsigned divide_shift(const struct lapic *s)
{
    unsigned code = (s->divide & 3) | (s->divide >> 1 & 4);

    return (code + 1) & 7;
}

static void set(struct lapic *s, int64_t ns)
{
    s->expiry_ns = ns;
    bp_timer_set(s->timer, ns);
}

void lapic_timer_stop(struct lapic *s)
{
    s->expiry_ns = -1;
    bp_timer_cancel(s->timer);
}

void lapic_timer_start(struct lapic *s)
{
    s->count_start_ns = bp_timer_now(s->timer);
    if (mode(s) == TSC_DEADLINE || s->initial_count == 0)
        lapic_timer_stop(s);
    else
        set(s, s->count_start_ns + ((int64_t)s->initial_count << divide_shift(s)));
}

uint32_t lapic_timer_current(struct lapic *s)
{
    uint64_t passed;

    if (s->initial_count == 0 || mode(s) == TSC_DEADLINE)
        return 0;
    passed = (uint64_t)(bp_timer_now(s->timer) - s->count_start_ns) >> divide_shift(s);
    if (mode(s) == PERIODIC)
        return s->initial_count - (uint32_t)(passed % s->initial_count);
    return passed >= s->initial_count ? 0 : s->initial_count - (uint32_t)passed;
}

void lapic_set_tsc_deadline(struct lapic *s, uint64_t value)
{
    uint64_t now, ticks, ns, hz = s->cpu->tsc_hz;

    if (mode(s) != TSC_DEADLINE)
        return; /* writes are ignored in the other modes */
    s->tsc_deadline = value;
    if (value == 0) {
        lapic_timer_stop(s);
        return;
    }
    now = bp_x86_tsc(s->cpu);
    ticks = value > now ? value - now : 0;
    ns = ticks / hz > 1000000000u ? (uint64_t)INT64_MAX / 2
                                  : ticks / hz * 1000000000u +
                                        (ticks % hz * 1000000000u + hz - 1) / hz;
    set(s, bp_timer_now(s->timer) + (int64_t)ns);
}

void lapic_timer_take(struct lapic *s, uint32_t current, uint64_t tsc_deadline)
{
    lapic_timer_stop(s);
    s->tsc_deadline = 0;
    if (mode(s) == TSC_DEADLINE) {
        lapic_set_tsc_deadline(s, tsc_deadline);
    } else if (s->initial_count && current) {
        s->count_start_ns = bp_timer_now(s->timer) - ((int64_t)(s->initial_count - current) << divide_shift(s));
        set(s, s->count_start_ns + ((int64_t)s->initial_count << divide_shift(s)));
    } else if (s->initial_count) { /* one-shot, over */
        s->count_start_ns = bp_timer_now(s->timer) - ((int64_t)s->initial_count << divide_shift(s));
    }
}

/* Lock held. */
static void expire(struct lapic *s, int64_t now)
{
    s->expiry_ns = -1;
    if (mode(s) == TSC_DEADLINE) {
        s->tsc_deadline = 0;
    } else if (mode(s) == PERIODIC) {
        int64_t period = (int64_t)s->initial_count << divide_shift(s);

        if (period <= 0)
            return;
        /* Whole periods that were missed are dropped; the phase stays. */
        set(s, s->count_start_ns + ((now - s->count_start_ns) / period + 1) * period);
    }
    lapic_fire_lvt(s, LVT_TIMER);
}

void lapic_timer_fire(void *opaque)
{
    struct lapic *s = opaque;
    int64_t now = bp_timer_now(s->timer);

    if (s->cpu->lapic)
        return; /* the accelerator's fires */
    lapic_lock(s);
    /* The processor may have stopped or moved the timer while this call was on its way. */
    if (s->expiry_ns >= 0 && now >= s->expiry_ns)
        expire(s, now);
    lapic_unlock(s);
}
