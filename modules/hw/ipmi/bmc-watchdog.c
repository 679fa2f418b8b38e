/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The BMC's watchdog (IPMI 2.0, chapter 27): counts 100 ms, warns before its end when asked to, then does what the
 * timeout action says; a reset is what -watchdog-action makes of it.
 */
#include "bmc-sim.h"

#include <bp/log.h>
#include <bp/run.h>

enum { APP = 6 };
enum { DONT_LOG = 0x80, DONT_STOP = 0x40 };
enum { NONE = 0, RESET = 1, POWER_DOWN = 2, POWER_CYCLE = 3 }; /* actions */
enum { PRE_SMI = 1, PRE_NMI = 2, PRE_MESSAGE = 3 };
#define UNIT 100000000ll /* ns */
#define SECOND 1000000000ll
#define FLAG_PRE_TIMEOUT 8u

static void arm(struct sim *s)
{
    int64_t pre = s->dog.end - s->dog.pre_timeout * SECOND;
    bool warns = (s->dog.actions >> 4 & 7) && s->dog.pre_timeout && !s->dog.pre_done;

    bp_timer_set(s->timer, warns ? pre : s->dog.end);
}

static void log_event(struct sim *s, unsigned offset)
{
    s->dog.event = (uint16_t)(1u << offset);
    if (!s->dog.dont_log)
        sim_log(s, 0x23, 1, 0x6f, (uint8_t)(0xc0 | offset), (uint8_t)((s->dog.actions & 0x70) | s->dog.use));
}

static void warn(struct sim *s)
{
    unsigned how = s->dog.actions >> 4 & 7;

    s->dog.pre_done = true;
    log_event(s, 8);
    if (how == PRE_NMI) {
        sim_power(s, 4);
    } else if (how == PRE_MESSAGE) {
        s->flags |= FLAG_PRE_TIMEOUT;
        sim_update_attention(s);
    } /* an SMI: nobody handles it here */
    arm(s);
}

static void expired(void *opaque)
{
    struct sim *s = opaque;
    unsigned action = s->dog.actions & 7;

    if (!s->dog.running)
        return;
    if (bp_timer_now(s->timer) < s->dog.end) {
        warn(s);
        return;
    }
    s->dog.running = false;
    s->dog.expired |= (uint8_t)(1u << s->dog.use);
    log_event(s, action);
    if (action == RESET)
        bp_machine_watchdog_expired(bp_device_machine(s->dev));
    else if (action == POWER_DOWN)
        sim_power(s, 0);
    else if (action == POWER_CYCLE)
        sim_power(s, 2);
    if (action != NONE)
        s->restart_cause = 4; /* the watchdog, not Chassis Control */
}

static void start(struct sim *s)
{
    s->dog.end = bp_timer_now(s->timer) + s->dog.count * UNIT;
    s->dog.running = true;
    s->dog.pre_done = false;
    s->dog.event = 0;
    arm(s);
}

static uint8_t reset_timer(struct sim *s, struct sim_call *c)
{
    (void)c;
    if (!s->dog.initialised)
        return 0x80;
    start(s);
    return IPMI_OK;
}

static uint8_t set_timer(struct sim *s, struct sim_call *c)
{
    unsigned use = c->data[0] & 7, pre = c->data[1] >> 4 & 7, action = c->data[1] & 7;
    uint16_t count = (uint16_t)(c->data[4] | c->data[5] << 8);

    if (use == 0 || use > 5 || pre > PRE_MESSAGE || action > POWER_CYCLE)
        return IPMI_BAD_FIELD;
    if (pre && c->data[2] * SECOND > count * UNIT)
        return IPMI_BAD_FIELD;
    s->dog.use = (uint8_t)use;
    s->dog.dont_log = c->data[0] & DONT_LOG;
    s->dog.actions = c->data[1] & 0x77;
    s->dog.pre_timeout = c->data[2];
    s->dog.expired &= (uint8_t)~c->data[3];
    s->dog.count = count;
    s->dog.initialised = true;
    if (!(c->data[0] & DONT_STOP) || !s->dog.running) {
        s->dog.running = false;
        bp_timer_cancel(s->timer);
    } else {
        start(s);
    }
    return IPMI_OK;
}

static uint8_t get_timer(struct sim *s, struct sim_call *c)
{
    int64_t left = s->dog.running ? (s->dog.end - bp_timer_now(s->timer) + UNIT - 1) / UNIT : 0;

    sim_put(c, s->dog.use | (s->dog.running ? 0x40u : 0) | (s->dog.dont_log ? 0x80u : 0));
    sim_put(c, s->dog.actions);
    sim_put(c, s->dog.pre_timeout);
    sim_put(c, s->dog.expired);
    sim_put16(c, s->dog.count);
    sim_put16(c, s->dog.running ? (unsigned)left : s->dog.count);
    return IPMI_OK;
}

void sim_watchdog_open(struct sim *s)
{
    s->timer = bp_timer_new(bp_device_owner(s->dev), NULL, BP_CLOCK_VIRTUAL, expired, s);
}

void sim_watchdog_reset(struct sim *s)
{
    s->dog.running = s->dog.initialised = false;
    bp_timer_cancel(s->timer);
}

const struct sim_command sim_watchdog_commands[] = {
    {APP, 0x22, 0, reset_timer}, {APP, 0x24, 6, set_timer}, {APP, 0x25, 0, get_timer}, {0, 0, 0, NULL}};
