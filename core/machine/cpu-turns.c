/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread for all vCPUs, which run in turn (-accel tcg,thread=single and -icount). A turn ends when the vCPU
 * halts, after a stretch of host time, or, when instructions are counted, after so many of them, which does not
 * depend on who kicked whom: then the order is the same in each run.
 *
 * Waking is as in cpu-thread.c, with one flag for all: `kicked` is set after what is wanted was written, and
 * cleared before everything is looked at. Whoever is kicked, the one that runs comes out.
 */
#include <ctype.h>
#include <glib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/loop.h>

#include "turns.h"
#include "marks.h"

#define TURN_NS 1000000         /* of host time */
#define TURN_INSTRUCTIONS 20000 /* counted; */
#define ALONE_INSTRUCTIONS 1000000 /* so many when there is nobody else */

static struct {
    pthread_mutex_t lock; /* `cpus`, `running_thread`, and the sleep; a leaf */
    pthread_cond_t wake;
    uint32_t kicked, sleeping; /* atomic */
    GPtrArray *cpus;
    pthread_t thread;
    bool has_thread;
    struct bp_timer *timer;     /* ends a turn */
    struct bp_cpu *current;     /* atomic: runs guest code, or is about to */
    bool over;                  /* atomic: its time is */
    struct bp_cpu *last;        /* the thread's own: whose turn it is */
    int64_t left;               /* so many instructions of it */
} turns = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Also brings the vCPU out that runs: others wait for their turn, or for what they were asked. Under the lock,
 * so that it is not freed meanwhile (see BPC_SERVE_QUIT). */
void bpc_turns_wake(void)
{
    struct bp_cpu *cpu;

    pthread_mutex_lock(&turns.lock);
    __atomic_store_n(&turns.kicked, 1, __ATOMIC_SEQ_CST);
    cpu = __atomic_load_n(&turns.current, __ATOMIC_SEQ_CST);
    if (cpu)
        bpc_cpu_bring_out(cpu);
    if (__atomic_load_n(&turns.sleeping, __ATOMIC_SEQ_CST))
        pthread_cond_signal(&turns.wake);
    pthread_mutex_unlock(&turns.lock);
}

static void sleep_until(int64_t until)
{
    struct timespec ts = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    int ret = 0;

    pthread_mutex_lock(&turns.lock);
    __atomic_store_n(&turns.sleeping, 1, __ATOMIC_SEQ_CST);
    while (ret == 0 && !__atomic_load_n(&turns.kicked, __ATOMIC_SEQ_CST))
        ret = until < 0 ? pthread_cond_wait(&turns.wake, &turns.lock)
                        : pthread_cond_timedwait(&turns.wake, &turns.lock, &ts);
    __atomic_store_n(&turns.sleeping, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&turns.lock);
}

static void turn_over(void *opaque)
{
    (void)opaque;
    __atomic_store_n(&turns.over, true, __ATOMIC_SEQ_CST);
    bpc_turns_wake();
}

/* ---- whose turn it is ---- */

struct look {
    GPtrArray *ready;
    unsigned count, sleeping;
};

/* Looks after everybody; who quits is taken out. */
static struct look look_after_all(void)
{
    struct look look = {.ready = g_ptr_array_new()};
    GPtrArray *now;

    pthread_mutex_lock(&turns.lock);
    now = g_ptr_array_copy(turns.cpus, NULL, NULL);
    pthread_mutex_unlock(&turns.lock);
    for (guint i = 0; i < now->len; i++) {
        struct bp_cpu *cpu = now->pdata[i];

        switch (bpc_cpu_serve(cpu)) {
        case BPC_SERVE_QUIT:
            pthread_mutex_lock(&turns.lock);
            g_ptr_array_remove(turns.cpus, cpu);
            pthread_mutex_unlock(&turns.lock);
            if (turns.last == cpu)
                turns.last = NULL;
            bpc_cpu_become(NULL);
            pthread_mutex_lock(&cpu->lock);
            cpu->gone = true; /* it may be freed from here on */
            pthread_cond_broadcast(&cpu->report);
            pthread_mutex_unlock(&cpu->lock);
            continue;
        case BPC_SERVE_RUNS: g_ptr_array_add(look.ready, cpu); break;
        case BPC_SERVE_SLEEPS: look.sleeping++; break;
        case BPC_SERVE_PAUSED: break;
        }
        look.count++;
    }
    g_ptr_array_free(now, TRUE);
    return look;
}

static struct bp_cpu *pick(const struct look *look)
{
    struct bp_cpu *next = NULL, *first = NULL;
    bool over;

    if (look->ready->len == 0)
        return NULL;
    over = __atomic_exchange_n(&turns.over, false, __ATOMIC_ACQ_REL);
    for (guint i = 0; i < look->ready->len; i++) {
        struct bp_cpu *cpu = look->ready->pdata[i];

        if (cpu == turns.last && !over)
            return cpu;
        if (!first || cpu->index < first->index) /* they are listed as they came */
            first = cpu;
        if (turns.last && cpu->index > turns.last->index && (!next || cpu->index < next->index))
            next = cpu;
    }
    turns.last = next ? next : first;
    turns.left = look->count > 1 ? TURN_INSTRUCTIONS : ALONE_INSTRUCTIONS;
    return turns.last;
}

static void end_turn(void)
{
    __atomic_store_n(&turns.over, true, __ATOMIC_RELEASE);
}

static void begin(unsigned count)
{
    if (!bpc_config.icount.on && count > 1 && !bp_timer_pending(turns.timer))
        bp_timer_set(turns.timer, bp_clock_ns(BP_CLOCK_REALTIME) + TURN_NS);
}

static void run(struct bp_cpu *cpu)
{
    bool counted = bpc_config.icount.on;
    enum bp_cpu_exit why;

    why = bpc_cpu_run_once(cpu);
    if (counted)
        turns.left -= bpc_icount_end(cpu);
    if (why == BP_CPU_EXIT_HALTED || (counted && turns.left <= 0))
        end_turn();
}

static void *turns_main(void *opaque)
{
    (void)opaque;
    for (;;) {
        struct look look;
        struct bp_cpu *cpu;
        int64_t until = -1;
        bool go = true;

        __atomic_store_n(&turns.kicked, 0, __ATOMIC_SEQ_CST);
        look = look_after_all();
        if (look.count == 0) {
            pthread_mutex_lock(&turns.lock);
            go = turns.cpus->len > 0; /* one joined meanwhile */
            turns.has_thread = go;
            pthread_mutex_unlock(&turns.lock);
            g_ptr_array_free(look.ready, TRUE);
            if (!go)
                return NULL;
            continue;
        }
        cpu = pick(&look);
        if (cpu)
            begin(look.count);
        __atomic_store_n(&turns.current, cpu, __ATOMIC_SEQ_CST); /* whatever comes from here on brings it out, */
        if (__atomic_load_n(&turns.kicked, __ATOMIC_SEQ_CST))    /* and what came before is looked at */
            go = false;
        else if (cpu && bpc_config.icount.on)
            go = bpc_icount_begin(cpu, turns.left, &until) > 0;
        else if (bpc_config.icount.on && (look.sleeping > 0 || bpc_machine_asleep()))
            bpc_icount_idle();
        else if (bpc_config.icount.on)
            bpc_icount_stand();
        g_ptr_array_free(look.ready, TRUE);
        if (cpu && go)
            run(cpu);
        __atomic_store_n(&turns.current, NULL, __ATOMIC_SEQ_CST);
        if (!cpu || !go)
            sleep_until(until);
    }
}

/* ---- from outside ---- */

int bpc_turns_join(struct bp_cpu *cpu, const char *accel, struct bp_error *err)
{
    char name[32];
    int ret = 0;
    bool start;

    bpc_assert_main();
    if (!turns.cpus) {
        pthread_condattr_t attr;

        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&turns.wake, &attr);
        pthread_condattr_destroy(&attr);
        turns.cpus = g_ptr_array_new();
        turns.timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, turn_over, NULL);
    }
    cpu->shares = true;
    pthread_mutex_lock(&turns.lock);
    g_ptr_array_add(turns.cpus, cpu);
    start = !turns.has_thread;
    turns.has_thread = true;
    pthread_mutex_unlock(&turns.lock);
    g_snprintf(name, sizeof(name), "CPUs/%s", accel);
    for (char *p = strchr(name, '/'); *p; p++)
        *p = (char)toupper((unsigned char)*p);
    if (start)
        ret = bp_thread_start(&turns.thread, name, turns_main, NULL);
    if (ret != 0) {
        g_ptr_array_remove(turns.cpus, cpu);
        turns.has_thread = cpu->shares = false;
        return bp_fail(err, ret, "cannot start the thread of the CPUs: %s", strerror(ret));
    }
    bpc_turns_wake();
    return 0;
}

/* The machine lock is let go meanwhile by the caller. */
void bpc_turns_leave(struct bp_cpu *cpu)
{
    bool ended;

    pthread_mutex_lock(&cpu->lock);
    while (!cpu->gone)
        pthread_cond_wait(&cpu->report, &cpu->lock);
    pthread_mutex_unlock(&cpu->lock);
    pthread_mutex_lock(&turns.lock);
    ended = turns.cpus->len == 0;
    pthread_mutex_unlock(&turns.lock);
    if (ended)
        pthread_join(turns.thread, NULL);
    cpu->shares = false;
}
