/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vCPU's thread: runs the accelerator's cpu_exec(), sleeps in halts, pauses and does what others
 * queue for it.
 *
 * Waking. Whoever wants something sets `kicked` after having written what he wants; the thread
 * clears `kicked` before it looks. It sleeps only while `kicked` is clear, announcing that in
 * `sleeping` first, so that a kick takes cpu->lock only when somebody sleeps. Before a sleep in a
 * halt it polls for a little when that paid lately and host CPUs are not scarce.
 */
#include <ctype.h>
#include <errno.h>
#include <glib.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/loop.h>

#include "loop.h"
#include "marks.h"
#include "memory.h"
#include "read-side.h"
#include "turns.h"

/* Longest poll before a sleep; sleeps shorter than this make polling worth while. */
#define POLL_MAX_NS 50000
#define POLL_FIRST_NS 5000

static __thread struct bp_cpu *current_cpu __attribute__((tls_model("initial-exec")));
static __thread int64_t poll_ns;

struct bp_cpu *bp_cpu_current(void)
{
    return current_cpu;
}

const uint32_t *bp_cpu_kick_flag(const struct bp_cpu *cpu)
{
    return &cpu->kicked;
}

static void wake(struct bp_cpu *cpu)
{
    __atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cpu->sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&cpu->lock);
        pthread_cond_signal(&cpu->wake);
        pthread_mutex_unlock(&cpu->lock);
    }
    if (cpu->shares)
        bpc_turns_wake();
}

void bpc_cpu_bring_out(struct bp_cpu *cpu)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    __atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
    if (accel->cpu_kick && cpu != current_cpu)
        accel->cpu_kick(cpu);
}

void bp_cpu_kick(struct bp_cpu *cpu)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    wake(cpu);
    if (!accel->cpu_kick || cpu == current_cpu)
        return;
    bpc_memory_read_lock(); /* the accelerator's part of it stays meanwhile (bpc_cpu_retire()) */
    if (__atomic_load_n(&cpu->accel_ready, __ATOMIC_ACQUIRE))
        accel->cpu_kick(cpu);
    bpc_memory_read_unlock();
}

/* Sleeps until kicked; cpu->lock held. */
static void sleep_locked(struct bp_cpu *cpu)
{
    __atomic_store_n(&cpu->sleeping, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST))
        pthread_cond_wait(&cpu->wake, &cpu->lock);
    __atomic_store_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST);
}

static void sleep_until_kicked(struct bp_cpu *cpu)
{
    pthread_mutex_lock(&cpu->lock);
    sleep_locked(cpu);
    pthread_mutex_unlock(&cpu->lock);
}

/* ---- halts ---- */

static bool polling_allowed(void)
{
    static int spare = -1; /* atomic; host CPUs beyond our vCPUs and the main thread */
    int n = __atomic_load_n(&spare, __ATOMIC_RELAXED);

    if (n < 0) {
        n = (int)sysconf(_SC_NPROCESSORS_ONLN) - (int)bpc_cpu_count() - 1;
        n = n < 0 ? 0 : n;
        __atomic_store_n(&spare, n, __ATOMIC_RELAXED);
    }
    return n > 0;
}

static bool poll_for_kick(struct bp_cpu *cpu)
{
    int64_t end = bp_clock_ns(BP_CLOCK_REALTIME) + poll_ns;

    do {
        for (unsigned i = 0; i < 64; i++) {
            if (__atomic_load_n(&cpu->kicked, __ATOMIC_ACQUIRE))
                return true;
            bpc_relax();
        }
    } while (bp_clock_ns(BP_CLOCK_REALTIME) < end);
    return false;
}

static void sleep_in_halt(struct bp_cpu *cpu)
{
    int64_t start;

    if (poll_ns > 0 && poll_for_kick(cpu))
        return;
    start = bp_clock_ns(BP_CLOCK_REALTIME);
    sleep_until_kicked(cpu);
    if (bp_clock_ns(BP_CLOCK_REALTIME) - start > POLL_MAX_NS || !polling_allowed())
        poll_ns = 0;
    else
        poll_ns = poll_ns ? MIN(poll_ns * 2, POLL_MAX_NS) : POLL_FIRST_NS;
}

/* ---- the memory map ---- */

static void kick_reader(void *opaque)
{
    bp_cpu_kick(opaque);
}

static void settled(struct bpc_quiet *item)
{
    struct bp_cpu *cpu = (struct bp_cpu *)((char *)item - offsetof(struct bp_cpu, settle));

    __atomic_store_n(&cpu->settling, false, __ATOMIC_RELEASE);
    wake(cpu);
}

/* A guest that moves memory about must not do so faster than the old maps go. */
#define MAPS_IN_FLIGHT 1024u

/* It has changed the map: it goes on when nobody uses the old one any more. Meanwhile it is quiet
 * itself, holds nothing, and does what it is asked. */
static void settle(struct bp_cpu *cpu)
{
    cpu->reader.changed_map = false;
    if (bpc_views_retired() > MAPS_IN_FLIGHT)
        bpc_grace_wait();
    __atomic_store_n(&cpu->settling, true, __ATOMIC_RELAXED);
    bpc_quiet_call(&cpu->settle, settled);
}

static enum bp_cpu_exit run_guest(struct bp_cpu *cpu, const struct bp_accel_class *accel)
{
    enum bp_cpu_exit why;

    bpc_assert_vcpu(cpu, current_cpu);
    bpc_reader_enter(&cpu->reader);
    why = accel->cpu_exec(cpu);
    bpc_assert_vcpu(cpu, current_cpu); /* it came back with what it took */
    bpc_reader_leave(&cpu->reader);
    if (cpu->reader.changed_map)
        settle(cpu);
    return why;
}

/* ---- what others ask ---- */

static void run_work(struct bp_cpu *cpu)
{
    struct cpu_work *w;

    while ((w = cpu->work) != NULL) { /* cpu->lock held */
        bool *done = w->done;
        struct bp_cpu *waiter = w->waiter;

        cpu->work = w->next;
        if (!cpu->work)
            cpu->work_tail = &cpu->work;
        pthread_mutex_unlock(&cpu->lock);
        bp_machine_lock(NULL);
        w->fn(cpu, w->opaque);
        bp_machine_unlock(NULL);
        g_free(w);
        pthread_mutex_lock(&cpu->lock);
        if (waiter) {
            /* not while holding cpu->lock: never two vCPUs' locks at once */
            pthread_mutex_unlock(&cpu->lock);
            pthread_mutex_lock(&waiter->lock);
            *done = true;
            __atomic_store_n(&waiter->kicked, 1, __ATOMIC_SEQ_CST);
            pthread_cond_signal(&waiter->wake);
            pthread_mutex_unlock(&waiter->lock);
            pthread_mutex_lock(&cpu->lock);
        } else if (done) {
            *done = true;
            pthread_cond_broadcast(&cpu->report);
        }
        /* registers may have changed: let cpu_exec() find out whether it still halts */
        __atomic_store_n(&cpu->halted, false, __ATOMIC_RELAXED);
    }
}

/* Returns false when the thread shall end; sleeps through pauses. */
static bool obey(struct bp_cpu *cpu)
{
    bool go_on;

    pthread_mutex_lock(&cpu->lock);
    for (;;) {
        __atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
        run_work(cpu);
        if (cpu->quit || !cpu->pause)
            break;
        if (!cpu->paused) {
            cpu->paused = true;
            pthread_cond_broadcast(&cpu->report);
        }
        sleep_locked(cpu);
    }
    cpu->paused = false;
    go_on = !cpu->quit;
    pthread_mutex_unlock(&cpu->lock);
    return go_on;
}

static void take_exit(struct bp_cpu *cpu, enum bp_cpu_exit exit)
{
    switch (exit) {
    case BP_CPU_EXIT_HALTED:
        __atomic_store_n(&cpu->halted, true, __ATOMIC_RELAXED);
        break;
    case BP_CPU_EXIT_SHUTDOWN:
        bp_machine_request_reset(bp_cpu_machine(cpu), BP_SHUTDOWN_GUEST_RESET);
        break;
    case BP_CPU_EXIT_DEBUG:
        bpc_machine_request_stop(BPC_RUN_DEBUG);
        break;
    case BP_CPU_EXIT_ERROR:
        bpc_machine_request_stop(BPC_RUN_INTERNAL_ERROR);
        break;
    case BP_CPU_EXIT_KICKED:
        break;
    }
}

void bpc_cpu_become(struct bp_cpu *cpu)
{
    current_cpu = cpu;
    bpc_reader_bind(cpu ? &cpu->reader : NULL);
}

enum bpc_serve bpc_cpu_serve(struct bp_cpu *cpu)
{
    enum bpc_serve is;

    bpc_cpu_become(cpu);
    pthread_mutex_lock(&cpu->lock);
    if (cpu->tid == 0) {
        cpu->tid = gettid();
        pthread_cond_broadcast(&cpu->report);
    }
    __atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
    run_work(cpu);
    is = cpu->quit ? BPC_SERVE_QUIT : cpu->pause ? BPC_SERVE_PAUSED : BPC_SERVE_RUNS;
    if (is == BPC_SERVE_PAUSED && !cpu->paused)
        pthread_cond_broadcast(&cpu->report);
    cpu->paused = is == BPC_SERVE_PAUSED;
    pthread_mutex_unlock(&cpu->lock);
    if (__atomic_load_n(&cpu->settling, __ATOMIC_ACQUIRE)) {
        while (is == BPC_SERVE_QUIT && __atomic_load_n(&cpu->settling, __ATOMIC_ACQUIRE))
            sched_yield(); /* its item still waits */
        return is == BPC_SERVE_RUNS ? BPC_SERVE_PAUSED : is;
    }
    if (is == BPC_SERVE_RUNS && __atomic_load_n(&cpu->halted, __ATOMIC_RELAXED)) {
        if (cpu->class->has_work && !cpu->class->has_work(cpu))
            return BPC_SERVE_SLEEPS;
        __atomic_store_n(&cpu->halted, false, __ATOMIC_RELAXED);
    }
    return is;
}

enum bp_cpu_exit bpc_cpu_run_once(struct bp_cpu *cpu)
{
    enum bp_cpu_exit why;

    bpc_cpu_become(cpu);
    why = run_guest(cpu, cpu->obj.machine->accel->class);
    take_exit(cpu, why);
    return why;
}

static void *cpu_main(void *opaque)
{
    struct bp_cpu *cpu = opaque;
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    current_cpu = cpu;
    bpc_reader_bind(&cpu->reader);
    pthread_mutex_lock(&cpu->lock);
    cpu->tid = gettid();
    pthread_cond_broadcast(&cpu->report);
    pthread_mutex_unlock(&cpu->lock);
    while (obey(cpu)) {
        if (__atomic_load_n(&cpu->settling, __ATOMIC_ACQUIRE)) {
            sleep_until_kicked(cpu);
            continue;
        }
        if (__atomic_load_n(&cpu->halted, __ATOMIC_RELAXED)) {
            bpc_assert_vcpu(cpu, current_cpu);
            if (cpu->class->has_work && !cpu->class->has_work(cpu)) {
                sleep_in_halt(cpu);
                continue;
            }
            __atomic_store_n(&cpu->halted, false, __ATOMIC_RELAXED);
        }
        take_exit(cpu, run_guest(cpu, accel));
    }
    while (__atomic_load_n(&cpu->settling, __ATOMIC_ACQUIRE)) { /* its item still waits */
        __atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&cpu->settling, __ATOMIC_ACQUIRE))
            sleep_until_kicked(cpu);
    }
    return NULL;
}

/* ---- from outside ---- */

void bpc_cpu_thread_init(struct bp_cpu *cpu)
{
    pthread_mutex_init(&cpu->lock, NULL);
    pthread_cond_init(&cpu->wake, NULL);
    pthread_cond_init(&cpu->report, NULL);
    cpu->work_tail = &cpu->work;
    cpu->pause = true;
    cpu->reader = (struct bpc_reader){.kick = kick_reader, .opaque = cpu};
    bpc_reader_add(&cpu->reader);
}

int bpc_cpu_thread_start(struct bp_cpu *cpu, const char *accel, struct bp_error *err)
{
    char name[32];
    int ret;

    if (cpu->obj.machine->one_thread) {
        ret = bpc_turns_join(cpu, accel, err);
        cpu->has_thread = ret == 0;
        return ret;
    }
    g_snprintf(name, sizeof(name), "CPU %u/%s", cpu->index, accel);
    for (char *p = strchr(name, '/'); *p; p++)
        *p = (char)toupper((unsigned char)*p);
    ret = bp_thread_start(&cpu->thread, name, cpu_main, cpu);
    if (ret != 0)
        return bp_fail(err, ret, "cannot start the thread of CPU %u: %s", cpu->index,
                       strerror(ret));
    cpu->has_thread = true;
    return 0;
}

void bpc_cpu_thread_stop(struct bp_cpu *cpu)
{
    unsigned depth;

    if (!cpu->has_thread)
        return;
    pthread_mutex_lock(&cpu->lock);
    cpu->quit = true;
    pthread_mutex_unlock(&cpu->lock);
    bp_cpu_kick(cpu);
    depth = bpc_machine_unlock_all();
    if (cpu->shares)
        bpc_turns_leave(cpu);
    else
        pthread_join(cpu->thread, NULL);
    bpc_machine_relock(depth);
    cpu->has_thread = false;
}

void bpc_cpu_finish_work(struct bp_cpu *cpu)
{
    pthread_mutex_lock(&cpu->lock);
    run_work(cpu);
    pthread_mutex_unlock(&cpu->lock);
}

void bpc_cpu_ask_pause(struct bp_cpu *cpu)
{
    pthread_mutex_lock(&cpu->lock);
    cpu->pause = true;
    pthread_mutex_unlock(&cpu->lock);
    bp_cpu_kick(cpu);
}

void bpc_cpu_wait_paused(struct bp_cpu *cpu)
{
    unsigned depth;

    if (!cpu->has_thread)
        return;
    depth = bpc_machine_unlock_all();
    pthread_mutex_lock(&cpu->lock);
    while (!cpu->paused)
        pthread_cond_wait(&cpu->report, &cpu->lock);
    pthread_mutex_unlock(&cpu->lock);
    bpc_machine_relock(depth);
}

void bpc_cpu_resume(struct bp_cpu *cpu)
{
    pthread_mutex_lock(&cpu->lock);
    cpu->pause = false;
    pthread_mutex_unlock(&cpu->lock);
    wake(cpu);
}

int bpc_cpu_thread_id(struct bp_cpu *cpu)
{
    int tid;

    if (!cpu->has_thread)
        return 0;
    pthread_mutex_lock(&cpu->lock);
    while (cpu->tid == 0)
        pthread_cond_wait(&cpu->report, &cpu->lock);
    tid = cpu->tid;
    pthread_mutex_unlock(&cpu->lock);
    return tid;
}

bool bpc_cpu_halted(struct bp_cpu *cpu)
{
    return __atomic_load_n(&cpu->halted, __ATOMIC_RELAXED);
}

static void queue_work(struct bp_cpu *cpu, void (*fn)(struct bp_cpu *cpu, void *opaque),
                       void *opaque, bool *done, struct bp_cpu *waiter)
{
    struct cpu_work *w = g_new0(struct cpu_work, 1);

    w->fn = fn;
    w->opaque = opaque;
    w->done = done;
    w->waiter = waiter;
    pthread_mutex_lock(&cpu->lock);
    *cpu->work_tail = w;
    cpu->work_tail = &w->next;
    pthread_mutex_unlock(&cpu->lock);
    bp_cpu_kick(cpu);
}

static void run_here(struct bp_cpu *cpu, void (*fn)(struct bp_cpu *cpu, void *opaque), void *opaque)
{
    bp_machine_lock(NULL);
    fn(cpu, opaque);
    bp_machine_unlock(NULL);
}

void bp_cpu_run_async(struct bp_cpu *cpu, void (*fn)(struct bp_cpu *cpu, void *opaque), void *opaque)
{
    if (cpu->has_thread)
        queue_work(cpu, fn, opaque, NULL, NULL);
    else
        run_here(cpu, fn, opaque);
}

/* A vCPU that waits for another one does meanwhile what is asked of itself: the other may be waiting
 * for it. What else it was kicked for it looks at afterwards. */
static void wait_serving(struct bp_cpu *self, const bool *done)
{
    pthread_mutex_lock(&self->lock);
    while (!*done) {
        __atomic_store_n(&self->kicked, 0, __ATOMIC_SEQ_CST);
        run_work(self);
        if (!*done)
            sleep_locked(self);
    }
    pthread_mutex_unlock(&self->lock);
    __atomic_store_n(&self->kicked, 1, __ATOMIC_SEQ_CST);
}

void bp_cpu_run(struct bp_cpu *cpu, void (*fn)(struct bp_cpu *cpu, void *opaque), void *opaque)
{
    bool done = false;
    unsigned depth;

    if (!cpu->has_thread || cpu == current_cpu) {
        run_here(cpu, fn, opaque);
        return;
    }
    if (cpu->shares && current_cpu) { /* it is between two of its turns */
        struct bp_cpu *self = current_cpu;

        current_cpu = cpu;
        run_here(cpu, fn, opaque);
        current_cpu = self;
        return;
    }
    depth = bpc_machine_unlock_all();
    queue_work(cpu, fn, opaque, &done, current_cpu);
    if (current_cpu) {
        wait_serving(current_cpu, &done);
    } else {
        pthread_mutex_lock(&cpu->lock);
        while (!done)
            pthread_cond_wait(&cpu->report, &cpu->lock);
        pthread_mutex_unlock(&cpu->lock);
    }
    bpc_machine_relock(depth);
}

static void drop_caches(struct bp_cpu *cpu, void *opaque)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;

    (void)opaque;
    if (accel->cpu_changed && cpu->accel_ready)
        accel->cpu_changed(cpu);
}

void bpc_cpu_changed(struct bp_cpu *cpu)
{
    bp_cpu_run_async(cpu, drop_caches, NULL);
}

void bpc_cpu_changed_now(struct bp_cpu *cpu)
{
    bp_cpu_run(cpu, drop_caches, NULL);
}
