// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The TCO timer (tco.h). It counts steps of 0.6 seconds down from TCO_TMR; the first end sets TIMEOUT and asks for an
 * SMI, the second one, if nobody has cleared TIMEOUT, sets SECOND_TO and starts the machine again, or what
 * -watchdog-action says, unless NO_REBOOT is set. Other than the chip's it stands still until TCO_RLD was written: no
 * firmware would halt it. Left out: interrupts and NMIs of software, case intrusion, the sources of errors.
 */
#include "tco.h"

#include <bp/run.h>

enum {
    TCO_RLD = 0x00, TCO_DAT_IN = 0x02, TCO_DAT_OUT = 0x03, TCO1_STS = 0x04, TCO2_STS = 0x06, TCO1_CNT = 0x08,
    TCO2_CNT = 0x0a, TCO_MESSAGE = 0x0c, TCO_WDCNT = 0x0e, SW_IRQ_GEN = 0x10,
};
#define STEP_NS 600000000ll
#define STEPS 0x3ffu
#define LEAST_STEPS 2u
#define SW_SMI 0x0002u
#define INT_STATUS 0x0004u
#define TIMEOUT 0x0008u
#define SECOND_TO 0x0002u
#define LOCK 0x1000u
#define HALT 0x0800u
#define CONTROL1 0x1b00u
#define CONTROL2 0x003eu
#define NO_REBOOT 0x0020u

static uint16_t steps_left(const struct tco *s)
{
    int64_t ns;

    if (!s->timer || !bp_timer_pending(s->timer))
        return s->left;
    ns = bp_timer_deadline(s->timer) - bp_timer_now(s->timer);
    return ns > 0 ? (uint16_t)((ns + STEP_NS - 1) / STEP_NS) & STEPS : 0;
}

static void count(struct tco *s, uint16_t steps)
{
    s->left = steps;
    if (s->control1 & HALT || !s->started)
        bp_timer_cancel(s->timer);
    else
        bp_timer_set(s->timer, bp_timer_now(s->timer) + steps * STEP_NS);
}

static void ended(void *opaque)
{
    struct tco *s = opaque;
    bool second = s->status1 & TIMEOUT;

    s->status1 |= TIMEOUT;
    count(s, s->initial);
    if (!second) {
        s->smi(s->dev);
        return;
    }
    s->status2 |= SECOND_TO;
    if (!(tco_gcs(s) & NO_REBOOT))
        bp_machine_watchdog_expired(bp_device_machine(s->dev));
}

static uint16_t word_at(const struct tco *s, unsigned at)
{
    switch (at) {
    case TCO_RLD: return steps_left(s);
    case TCO_DAT_IN: return (uint16_t)(s->data_in | s->data_out << 8);
    case TCO1_STS: return s->status1;
    case TCO2_STS: return s->status2;
    case TCO1_CNT: return s->control1;
    case TCO2_CNT: return s->control2;
    case TCO_MESSAGE: return (uint16_t)(s->message[0] | s->message[1] << 8);
    case TCO_WDCNT: return s->progress;
    case SW_IRQ_GEN: return s->cause;
    case TCO_TMR: return s->initial;
    default: return 0;
    }
}

uint8_t tco_read(const struct tco *s, unsigned at)
{
    return (uint8_t)(word_at(s, at & ~1u) >> 8 * (at & 1));
}

static void write_control1(struct tco *s, uint16_t value)
{
    bool was = s->control1 & HALT;
    uint16_t left = steps_left(s);

    s->control1 = (value & CONTROL1) | (s->control1 & LOCK);
    if (was != !!(s->control1 & HALT))
        count(s, left);
}

/* 0 and 1 are ignored. */
void tco_set_timer(struct tco *s, uint16_t value)
{
    if ((value & STEPS) >= LEAST_STEPS)
        s->initial = value & STEPS;
}

void tco_write(struct tco *s, unsigned at, uint8_t value)
{
    unsigned shift = 8 * (at & 1);
    uint16_t bits = (uint16_t)(value << shift), kept = (uint16_t)(word_at(s, at & ~1u) & ~(0xffu << shift));

    switch (at) {
    case TCO_RLD:
        s->started = 1;
        count(s, s->initial);
        return;
    case TCO_DAT_IN:
        s->data_in = value;
        s->status1 |= SW_SMI;
        s->smi(s->dev);
        return;
    case TCO_DAT_OUT:
        s->data_out = value;
        s->status1 |= INT_STATUS;
        return;
    case TCO1_STS:
    case TCO1_STS + 1: s->status1 &= (uint16_t)~bits; return;
    case TCO2_STS:
    case TCO2_STS + 1: s->status2 &= (uint16_t)~bits; return;
    case TCO1_CNT:
    case TCO1_CNT + 1: write_control1(s, kept | bits); return;
    case TCO2_CNT:
    case TCO2_CNT + 1: s->control2 = (kept | bits) & CONTROL2; return;
    case TCO_MESSAGE:
    case TCO_MESSAGE + 1: s->message[at & 1] = value; return;
    case TCO_WDCNT: s->progress = value; return;
    case SW_IRQ_GEN: s->cause = value & 0x03; return;
    case TCO_TMR:
    case TCO_TMR + 1:
        tco_set_timer(s, kept | bits);
        return;
    default: return;
    }
}

uint16_t tco_gcs(const struct tco *s)
{
    return s->strap || !s->allow ? NO_REBOOT : 0;
}

void tco_set_gcs(struct tco *s, uint16_t value)
{
    s->allow = !(value & NO_REBOOT);
}

void tco_reset(struct tco *s)
{
    bp_timer_cancel(s->timer);
    /* SECOND_TO outlives a reset: firmware and drivers ask why there was one. */
    s->status1 = s->control1 = 0;
    s->control2 = 0x0008;
    s->initial = s->left = 4;
    s->data_in = s->data_out = s->message[0] = s->message[1] = s->progress = s->started = 0;
    s->cause = 0x03;
    s->allow = !s->strap;
}

void tco_init(struct tco *s, struct bp_device *dev, void (*smi)(struct bp_device *dev))
{
    s->dev = dev;
    s->smi = smi;
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, ended, s);
}

static int loaded(void *state, uint32_t version, struct bp_error *err)
{
    struct tco *s = state;

    (void)version, (void)err;
    s->control1 &= CONTROL1;
    s->control2 &= CONTROL2;
    s->left &= STEPS;
    s->started = s->started != 0;
    s->allow = s->allow != 0;
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct tco, timer), BP_SAVE(UINT16, struct tco, left), BP_SAVE(UINT16, struct tco, status1),
    BP_SAVE(UINT16, struct tco, status2), BP_SAVE(UINT16, struct tco, control1), BP_SAVE(UINT16, struct tco, control2),
    BP_SAVE_RANGE(UINT16, struct tco, initial, LEAST_STEPS, STEPS),
    BP_SAVE(UINT8, struct tco, data_in), BP_SAVE(UINT8, struct tco, data_out),
    BP_SAVE_BUFFER(struct tco, message), BP_SAVE(UINT8, struct tco, progress), BP_SAVE(UINT8, struct tco, cause),
    BP_SAVE(UINT8, struct tco, started), BP_SAVE(UINT8, struct tco, allow), BP_SAVE_END};
const struct bp_state_table tco_state = {.version = 1, .oldest = 1, .fields = fields, .after_load = loaded};
