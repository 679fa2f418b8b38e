/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -icount: guest time is a number of executed instructions, 2^shift ns each. The virtual clock stands between
 * slices; a slice is a budget of instructions that ends exactly where the next virtual timer is due. Timers are
 * fired by the main loop while no vCPU runs: the thread of turns asks for it and waits. So is what a vCPU defers
 * (bp/loop.h), so that it happens at the same instruction in each run.
 *
 * While no vCPU has something to do, the clock jumps to the next timer (sleep=off) or follows the host's
 * (sleep=on, the default). The manual's text says it the other way round; what the options do elsewhere, and what
 * command lines in use rely on, is this.
 *
 * shift=auto moves the shift by one every 100 ms as long as guest time goes away from the host's. align=on lets
 * a guest that is ahead wait, and tells of one that is late.
 */
#include <glib.h>

#include <bp/clock.h>
#include <bp/exact/cpu.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "loop.h"
#include "marks.h"
#include "turns.h"

#define AUTO_FIRST 3
#define AUTO_EVERY_NS 100000000
#define AUTO_SLACK_NS 50000000  /* of difference that is left alone */
#define PACED_SLICE_NS 10000000 /* of guest time, where the host's is looked at */
#define ALIGN_SLACK_NS 2000000  /* ahead by this it waits */
#define LATE_NS 100000000       /* behind by this it is told of, */
#define LATE_EVERY_NS 2000000000 /* so often */

enum asked { NOTHING, ASKED, SERVING, IDLE };

static struct bp_machine *machine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the next four; a leaf */
static enum asked asked;
static bool idle; /* what is asked */
static int64_t idle_since = -1, idle_from; /* host's and guest's time when the clock began to follow the host */
static struct bp_deferred *call;
static struct bp_timer *timer; /* until the next virtual one, while the clock follows the host */

/* The thread of turns' own. */
static struct bp_cpu *running;
static int64_t slice, slice_from;
static bool turn_to_main;
static int64_t pace_host = -1, pace_guest; /* where both were when the machine went on */
static int64_t auto_host, auto_guest, late_told;

static unsigned shift;      /* atomic */
static uint64_t executed;   /* atomic */
static int64_t latest;      /* atomic: most ns that it was late */
static uint64_t waits;      /* atomic: for the host's time */

static int64_t host_now(void)
{
    return bp_clock_ns(BP_CLOCK_REALTIME);
}

static const struct bp_accel_class *accel_of(struct bp_cpu *cpu)
{
    return cpu->obj.machine->accel->class;
}

/* Instructions until so many ns have passed; rounded up. */
static int64_t instructions(int64_t ns)
{
    unsigned n = __atomic_load_n(&shift, __ATOMIC_RELAXED);

    return (ns >> n) + ((ns & (((int64_t)1 << n) - 1)) != 0);
}

/* ---- what the clock asks ---- */

static bool in_slice(void)
{
    struct bp_cpu *cpu = bp_cpu_current();

    return cpu && cpu == running;
}

static int64_t counted_now(int64_t standing)
{
    if (!in_slice())
        return standing;
    return slice_from + ((slice - accel_of(running)->cpu_left(running)) << __atomic_load_n(&shift, __ATOMIC_RELAXED));
}

/* The slice ends when `left` more instructions have been executed, the current one among them. */
static void shorten(int64_t left)
{
    int64_t now = accel_of(running)->cpu_left(running);

    if (left >= now)
        return;
    accel_of(running)->cpu_set_left(running, left);
    slice -= now - left;
}

static void ask(bool is_idle)
{
    pthread_mutex_lock(&lock);
    if (asked == NOTHING || (asked == IDLE && !is_idle)) {
        asked = ASKED;
        idle = is_idle;
        bp_deferred_schedule(call);
    }
    pthread_mutex_unlock(&lock);
}

static void armed(int64_t deadline)
{
    if (in_slice()) {
        int64_t n = instructions(deadline - counted_now(slice_from));

        shorten(n < 1 ? 1 : n);
        return;
    }
    pthread_mutex_lock(&lock);
    if (asked == IDLE) { /* the clock has somewhere to go */
        asked = ASKED;
        idle = true;
        bp_deferred_schedule(call);
    }
    pthread_mutex_unlock(&lock);
    bpc_turns_wake();
}

static void deferred(void)
{
    if (!in_slice())
        return;
    turn_to_main = true;
    shorten(1);
}

static const struct bpc_counted counted = {.now = counted_now, .armed = armed, .deferred = deferred};

/* ---- on the main thread ---- */

static bool jumps(void)
{
    return !bpc_config.icount.sleep;
}

/* Where the clock is now that follows the host's. */
static int64_t followed(int64_t guest, int64_t host)
{
    if (idle_since < 0) {
        idle_since = host;
        idle_from = guest;
    }
    return MAX(guest, idle_from + (host - idle_since));
}

static void serve_idle(void)
{
    int64_t now = bp_virtual_ns(machine), next = bp_virtual_next_deadline(machine);

    if (jumps()) {
        if (next >= 0)
            bp_virtual_advance_to(machine, MAX(next, now));
        return;
    }
    pthread_mutex_lock(&lock);
    now = followed(now, host_now());
    pthread_mutex_unlock(&lock);
    bp_virtual_advance_to(machine, now);
}

/* Virtual time follows the host's: until the next timer. */
static void wait_for(int64_t next)
{
    int64_t host = host_now(), ns = MAX(next - bp_virtual_ns(machine), 0);

    bp_timer_set(timer, ns > INT64_MAX - host ? INT64_MAX : host + ns);
}

/* Twice: what timers have deferred is called before vCPUs go on. */
static void serve(void *opaque)
{
    static bool again;
    int64_t next;
    bool is_idle;

    (void)opaque;
    pthread_mutex_lock(&lock);
    if (!again && (asked != ASKED || !bp_machine_running(machine))) {
        if (asked == ASKED)
            asked = NOTHING;
        pthread_mutex_unlock(&lock);
        return;
    }
    asked = SERVING;
    is_idle = idle;
    pthread_mutex_unlock(&lock);
    again = !again;
    if (again) {
        if (is_idle)
            serve_idle();
        else
            bp_virtual_advance_to(machine, bp_virtual_ns(machine));
        bp_deferred_schedule(call);
        return;
    }
    pthread_mutex_lock(&lock);
    next = bp_virtual_next_deadline(machine); /* what is armed from here on finds it idle */
    asked = is_idle && !(jumps() && next >= 0) ? IDLE : NOTHING;
    pthread_mutex_unlock(&lock);
    if (is_idle && !jumps() && next >= 0)
        wait_for(next);
    bpc_turns_wake();
}

static void time_passed(void *opaque)
{
    (void)opaque;
    pthread_mutex_lock(&lock);
    if (asked == IDLE) {
        asked = ASKED;
        idle = true;
        bp_deferred_schedule(call);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- on the thread of turns ---- */

/* Takes back what was asked; false: it is being done. */
static bool take_back(void)
{
    int64_t now = -1, next;
    bool free;

    pthread_mutex_lock(&lock);
    free = asked != SERVING;
    if (free)
        asked = NOTHING;
    if (free && idle_since >= 0) {
        now = followed(bp_virtual_ns(machine), host_now());
        idle_since = -1;
    }
    pthread_mutex_unlock(&lock);
    if (now >= 0) {
        next = bpc_virtual_deadline(); /* that one comes first */
        bpc_clock_virtual_set(MAX(bp_virtual_ns(machine), next >= 0 ? MIN(now, next) : now));
    }
    return free;
}

static void tune_shift(int64_t host, int64_t guest)
{
    int64_t ahead = (guest - pace_guest) - (host - pace_host), grown = (guest - auto_guest) - (host - auto_host);

    if (host - auto_host < AUTO_EVERY_NS)
        return;
    if (ahead > AUTO_SLACK_NS && grown > 0 && shift > 0)
        __atomic_store_n(&shift, shift - 1, __ATOMIC_RELAXED);
    else if (ahead < -AUTO_SLACK_NS && grown < 0 && shift < BPC_ICOUNT_SHIFT_MAX)
        __atomic_store_n(&shift, shift + 1, __ATOMIC_RELAXED);
    auto_host = host;
    auto_guest = guest;
}

static void tell_late(int64_t host, int64_t late)
{
    __atomic_store_n(&latest, MAX(latest, late), __ATOMIC_RELAXED);
    if (late < LATE_NS || (late_told && host - late_told < LATE_EVERY_NS))
        return;
    late_told = host;
    bp_warn("icount: the guest is late by %lld.%03lld s: the host does not execute an instruction in %u ns; a larger "
            "shift than %u asks less of it", (long long)(late / 1000000000), (long long)(late / 1000000 % 1000),
            1u << shift, shift);
}

/* Host's time against the guest's. False: it waits until *ret_until. */
static bool pace(int64_t guest, int64_t *ret_until)
{
    int64_t host = host_now(), ahead;

    if (pace_host < 0) {
        pace_host = auto_host = host;
        pace_guest = auto_guest = guest;
    }
    if (bpc_config.icount.shift_auto)
        tune_shift(host, guest);
    if (!bpc_config.icount.align)
        return true;
    ahead = (guest - pace_guest) - (host - pace_host);
    if (ahead < 0)
        tell_late(host, -ahead);
    if (ahead <= ALIGN_SLACK_NS)
        return true;
    __atomic_store_n(&waits, waits + 1, __ATOMIC_RELAXED);
    *ret_until = host + ahead;
    return false;
}

int64_t bpc_icount_begin(struct bp_cpu *cpu, int64_t most, int64_t *ret_until)
{
    bool paced = bpc_config.icount.shift_auto || bpc_config.icount.align;
    int64_t now, next;

    if (!take_back())
        return 0;
    now = bp_virtual_ns(machine);
    if (paced && !pace(now, ret_until))
        return 0;
    next = bpc_virtual_deadline();
    if (turn_to_main || (next >= 0 && next <= now)) {
        turn_to_main = false;
        ask(false);
        return 0;
    }
    if (next >= 0)
        most = MIN(most, instructions(next - now));
    if (paced)
        most = MIN(most, MAX(instructions(PACED_SLICE_NS), 1));
    slice = most;
    slice_from = now;
    accel_of(cpu)->cpu_set_left(cpu, most);
    running = cpu;
    return most;
}

int64_t bpc_icount_end(struct bp_cpu *cpu)
{
    int64_t done = slice - accel_of(cpu)->cpu_left(cpu);

    running = NULL;
    bpc_clock_virtual_set(slice_from + (done << __atomic_load_n(&shift, __ATOMIC_RELAXED)));
    __atomic_store_n(&executed, executed + (uint64_t)done, __ATOMIC_RELAXED);
    return done;
}

void bpc_icount_idle(void)
{
    ask(!turn_to_main);
    turn_to_main = false;
}

void bpc_icount_stand(void)
{
    take_back();
    pace_host = -1;
}

/* ---- from outside ---- */

void bp_machine_icount(struct bp_machine *m, struct bp_icount *ret_icount)
{
    (void)m; /* one per process today */
    ret_icount->shift = __atomic_load_n(&shift, __ATOMIC_RELAXED);
    ret_icount->executed = __atomic_load_n(&executed, __ATOMIC_RELAXED);
    ret_icount->latest_ns = __atomic_load_n(&latest, __ATOMIC_RELAXED);
    ret_icount->waits = __atomic_load_n(&waits, __ATOMIC_RELAXED);
}

bool bp_machine_counts(struct bp_machine *m)
{
    (void)m;
    return bpc_config.icount.on;
}

int bpc_icount_init(struct bp_machine *m, struct bp_error *err)
{
    const struct bp_accel_class *accel = m->accel->class;

    bpc_assert_main();
    if (!bpc_config.icount.on)
        return 0;
    if (!accel->cpu_left || !accel->cpu_set_left)
        return bp_fail(err, ENOTSUP, "-icount: accelerator '%s' does not count instructions; use -accel tcg",
                       accel->type.name);
    machine = m;
    shift = bpc_config.icount.shift_auto ? AUTO_FIRST : bpc_config.icount.shift;
    m->one_thread = true;
    bp_contexts_fold(m);
    bpc_clock_virtual_counted(&counted);
    pace_host = -1;
    if (!call) {
        call = bp_deferred_new(NULL, NULL, serve, NULL);
        timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, time_passed, NULL);
    }
    return 0;
}
