/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going on and standing still (the manual's appendix E.2 and E.3: c, s, vCont, stop replies). Everything
 * stands when something stops; vCPUs without an action of their own stand while others run.
 */
#include "gdb.h"

#include <string.h>

#define MAX_CPUS 4096u

/* ---- going on ---- */

/* Calls fn for each vCPU there is. */
#define EACH_CPU(s, cpu, i) \
    for (unsigned i = 0; i < bp_machine_smp((s)->machine)->max_cpus && i < MAX_CPUS; i++) \
        for (struct bp_cpu *cpu = bp_machine_cpu((s)->machine, i); cpu; cpu = NULL)

/* Was there a watched access that the client has not heard of yet? Another vCPU's stop came first. */
static bool stop_is_left(struct session *s)
{
    EACH_CPU(s, cpu, i) {
        struct bp_debug_hit hit;

        bp_debug_take_hit(cpu, &hit);
        if (hit.reason == BP_DEBUG_AT_POINT && hit.kind != BP_DEBUG_EXECUTE) {
            bp_cpu_debug_hit(cpu, &hit);
            return true;
        }
    }
    return false;
}

static void go_on(struct session *s)
{
    struct bp_error err = {0};

    s->silent = true; /* the reply comes when it stops */
    s->waiting = true;
    if (bp_debug_resume(s->machine, &err) < 0) {
        s->waiting = s->silent = false;
        console_text(s, err.message);
        reply_error(s, 1);
    }
}

static enum bp_debug_action step_action(const struct session *s)
{
    return s->irqs_in_steps ? BP_DEBUG_STEP_INTERRUPTS : BP_DEBUG_STEP;
}

static void report_left_stop(struct session *s)
{
    s->waiting = true;
    run_stopped(s);
    s->silent = true;
}

/* "c", "C05", "s", "S05", the first and third with an address to go on at. */
void run_packet(struct session *s, const char *data)
{
    char what = *data++;
    uint64_t value;
    bool step = what == 's' || what == 'S';

    if (what == 'C' || what == 'S') { /* guests know no signals of ours */
        if (take_number(&data, &value))
            take_char(&data, ';');
    }
    if (take_number(&data, &value) && session_cpu(s)) {
        bp_cpu_class(session_cpu(s))->registers->set_pc(session_cpu(s), value);
        bp_debug_changed(session_cpu(s));
    }
    if (stop_is_left(s)) {
        report_left_stop(s);
        return;
    }
    EACH_CPU(s, cpu, i) {
        bool chosen = s->cpu_to_run == ALL_CPUS ? i == s->cpu : i == s->cpu_to_run;

        bp_debug_set_action(cpu, !step || !chosen ? BP_DEBUG_RUN : step_action(s));
    }
    go_on(s);
}

/* One ";ACTION[:THREAD]"; false: it is none. */
static bool take_action(struct session *s, const char **data, enum bp_debug_action *ret_action,
                        uint64_t *ret_thread)
{
    uint64_t ignored;

    if (!take_char(data, ';'))
        return false;
    *ret_thread = 0; /* every one that is left */
    switch (*(*data)++) {
    case 'C':
        if (!take_number(data, &ignored))
            return false;
        __attribute__((fallthrough));
    case 'c': *ret_action = BP_DEBUG_RUN; break;
    case 'S':
        if (!take_number(data, &ignored))
            return false;
        __attribute__((fallthrough));
    case 's': *ret_action = step_action(s); break;
    default: return false;
    }
    if (!take_char(data, ':'))
        return true;
    if (take_char(data, '-'))
        return take_char(data, '1'); /* all */
    return take_number(data, ret_thread) && *ret_thread > 0;
}

void run_vcont(struct session *s, const char *data)
{
    static uint8_t action[MAX_CPUS]; /* 0: none yet; else the action plus one */

    if (*data == '?') {
        reply_text(s, "vCont;c;C;s;S");
        return;
    }
    memset(action, 0, sizeof(action));
    while (*data) {
        enum bp_debug_action what;
        uint64_t thread;

        if (!take_action(s, &data, &what, &thread)) {
            reply_error(s, 22);
            return;
        }
        for (unsigned i = 0; i < MAX_CPUS; i++) {
            if (!action[i] && (thread == 0 || thread == i + 1u))
                action[i] = (uint8_t)(what + 1);
        }
    }
    if (stop_is_left(s)) {
        report_left_stop(s);
        return;
    }
    EACH_CPU(s, cpu, i)
        bp_debug_set_action(cpu, action[i] ? (enum bp_debug_action)(action[i] - 1) : BP_DEBUG_HOLD);
    go_on(s);
}

void run_detach(struct session *s)
{
    points_clear(s);
    EACH_CPU(s, cpu, i)
        bp_debug_set_action(cpu, BP_DEBUG_RUN);
    reply_text(s, "OK");
    s->waiting = false;
    bp_debug_resume(s->machine, NULL);
}

/* ---- standing still ---- */

void run_interrupt(struct session *s)
{
    if (bp_machine_running(s->machine))
        bp_debug_stop(s->machine, false);
    else if (s->waiting) /* it was stopped by somebody else meanwhile */
        run_stopped(s);
}

static unsigned signal_of(struct session *s)
{
    static const struct {
        const char *state;
        unsigned signal;
    } signals[] = {
        {"debug", SIGNAL_TRAP}, {"paused", SIGNAL_INT}, {"shutdown", SIGNAL_QUIT},
        {"watchdog", SIGNAL_ALRM}, {"io-error", SIGNAL_IO}, {"internal-error", SIGNAL_ABRT},
        {"guest-panicked", SIGNAL_ABRT},
    };
    const char *state = bp_debug_state(s->machine);

    for (unsigned i = 0; i < BP_COUNT(signals); i++) {
        if (strcmp(state, signals[i].state) == 0)
            return signals[i].signal;
    }
    return SIGNAL_TRAP;
}

static bool is_hardware(const struct session *s, uint64_t address)
{
    for (unsigned i = 0; i < s->point_count; i++) {
        if (s->points[i].kind == BP_DEBUG_EXECUTE && s->points[i].address == address && !s->hardware[i])
            return false;
    }
    return true;
}

static void add_point(struct session *s, const struct bp_debug_hit *hit)
{
    static const char *const words[] = {[BP_DEBUG_WRITE] = "watch:", [BP_DEBUG_READ] = "rwatch:",
                                        [BP_DEBUG_ACCESS] = "awatch:"};

    if (hit->kind == BP_DEBUG_EXECUTE) {
        if (s->reports_breaks)
            packet_text(&s->reply, is_hardware(s, hit->address) ? "hwbreak:;" : "swbreak:;");
        return;
    }
    packet_text(&s->reply, words[hit->kind]);
    packet_number(&s->reply, hit->address);
    packet_text(&s->reply, ";");
}

static void fill_reply(struct session *s, unsigned signal, const struct bp_debug_hit *hit)
{
    uint8_t byte = (uint8_t)signal;

    packet_begin(&s->reply);
    packet_text(&s->reply, "T");
    packet_hex(&s->reply, &byte, 1);
    packet_text(&s->reply, "thread:");
    packet_number(&s->reply, s->cpu + 1);
    packet_text(&s->reply, ";");
    if (hit->reason == BP_DEBUG_AT_POINT)
        add_point(s, hit);
}

void run_reply_state(struct session *s)
{
    static const struct bp_debug_hit none;

    fill_reply(s, signal_of(s), &none);
}

void run_stopped(struct session *s)
{
    struct bp_debug_hit hit = {.reason = BP_DEBUG_NOTHING};
    unsigned by = ALL_CPUS;

    if (!s->waiting)
        return;
    s->waiting = false;
    /* A point says more than a step: that one has ended either way. */
    EACH_CPU(s, cpu, i) {
        struct bp_debug_hit h;

        if (by != ALL_CPUS && hit.reason == BP_DEBUG_AT_POINT)
            break;
        bp_debug_take_hit(cpu, &h);
        if (h.reason > hit.reason) {
            hit = h;
            by = i;
        }
    }
    if (by != ALL_CPUS)
        s->cpu = by;
    fill_reply(s, by != ALL_CPUS ? SIGNAL_TRAP : signal_of(s), &hit);
    session_send(s);
}
