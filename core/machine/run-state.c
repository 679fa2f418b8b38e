/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Run states, and what guests, devices, users and signals ask of the machine. A request may come
 * from any thread: it is noted, the vCPUs are told to pause at once, and the main loop carries it
 * out in bpc_machine_turn(). After it, vCPUs of a machine that still runs go on.
 */
#include <assert.h>
#include <glib.h>

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/log.h>

#include "device.h"
#include "doorbell.h"
#include "loop.h"
#include "marks.h"
#include "parts.h"
#include "trace.h"

#define BIT(state) (1u << BPC_RUN_##state)
#define ANY_STOP \
    (BIT(PAUSED) | BIT(SHUTDOWN) | BIT(GUEST_PANICKED) | BIT(INTERNAL_ERROR) | BIT(DEBUG) | \
     BIT(IO_ERROR) | BIT(SAVE_VM) | BIT(RESTORE_VM) | BIT(WATCHDOG) | BIT(SUSPENDED) | \
     BIT(POSTMIGRATE))

/* From where to where. A reset leads from every stopped state to prelaunch. */
static const struct {
    const char *name;
    uint32_t next;
} states[] = {
    [BPC_RUN_PRELAUNCH] = {"prelaunch", BIT(RUNNING) | BIT(INMIGRATE) | ANY_STOP},
    [BPC_RUN_RUNNING] = {"running", ANY_STOP},
    [BPC_RUN_PAUSED] = {"paused", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_SHUTDOWN] = {"shutdown", BIT(PRELAUNCH) | BIT(PAUSED)},
    [BPC_RUN_GUEST_PANICKED] = {"guest-panicked", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_INTERNAL_ERROR] = {"internal-error", BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_DEBUG] = {"debug", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_IO_ERROR] = {"io-error", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_INMIGRATE] = {"inmigrate", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_POSTMIGRATE] = {"postmigrate", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_SAVE_VM] = {"save-vm", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_RESTORE_VM] = {"restore-vm", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_WATCHDOG] = {"watchdog", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
    [BPC_RUN_SUSPENDED] = {"suspended", BIT(RUNNING) | BIT(PRELAUNCH) | ANY_STOP},
};

static const struct {
    const char *reason; /* in QMP events */
    bool guest;
} causes[] = {
    [BP_SHUTDOWN_GUEST_SHUTDOWN] = {"guest-shutdown", true},
    [BP_SHUTDOWN_GUEST_RESET] = {"guest-reset", true},
    [BP_SHUTDOWN_GUEST_PANIC] = {"guest-panic", true},
    [BP_SHUTDOWN_HOST_QMP_QUIT] = {"host-qmp-quit", false},
    [BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET] = {"host-qmp-system-reset", false},
    [BP_SHUTDOWN_HOST_SIGNAL] = {"host-signal", false},
    [BP_SHUTDOWN_HOST_UI] = {"host-ui", false},
    [BP_SHUTDOWN_HOST_ERROR] = {"host-error", false},
};

static enum bpc_run_state run_state; /* atomic; written by the main thread */
static bool asleep; /* atomic: the guest sleeps; suspended, or stopped meanwhile. Written by the main thread */

struct requests {
    bool any, reset, shutdown, powerdown, exit, stop, suspend, wakeup;
    enum bp_shutdown_cause reset_cause, shutdown_cause;
    enum bpc_run_state stop_state;
    enum bp_wakeup_cause wakeup_cause;
    int exit_status;
};
static pthread_mutex_t request_lock = PTHREAD_MUTEX_INITIALIZER;
static struct requests asked; /* request_lock */

/* Is there something in it for which vCPUs stand? */
static bool pausing(const struct requests *r)
{
    return r->reset || r->shutdown || r->exit || r->stop || r->suspend;
}

/* ---- listeners ---- */

struct run_listener {
    struct bpc_claim claim;
    void (*fn)(void *opaque, bool running);
    void *opaque;
    struct run_listener *next, *prev;
    int order;
    bool dead;
    bool heard; /* what it was last told */
};
static struct run_listener *listeners, *last_listener; /* in ascending order */
static uint64_t changes; /* of the run state: a newer one ends the telling of an older one */
static unsigned telling; /* depth: dead ones are freed at its end */

static void free_dead(void)
{
    for (struct run_listener *l = listeners, *next; l; l = next) {
        next = l->next;
        if (!l->dead)
            continue;
        *(l->prev ? &l->prev->next : &listeners) = l->next;
        *(l->next ? &l->next->prev : &last_listener) = l->prev;
        g_free(l);
    }
}

static void release_listener(struct bpc_claim *claim)
{
    ((struct run_listener *)((char *)claim - offsetof(struct run_listener, claim)))->dead = true;
    if (telling == 0)
        free_dead();
}

void bp_machine_on_run_change(struct bp_machine *machine, struct bp_owner *owner, int order,
                              void (*fn)(void *opaque, bool running), void *opaque)
{
    bpc_assert_main();
    struct run_listener *l = g_new0(struct run_listener, 1), *after = last_listener;

    l->fn = fn;
    l->opaque = opaque;
    l->order = order;
    l->heard = bp_machine_running(machine);
    while (after && after->order > order)
        after = after->prev;
    l->prev = after;
    l->next = after ? after->next : listeners;
    *(after ? &after->next : &listeners) = l;
    *(l->next ? &l->next->prev : &last_listener) = l;
    bpc_claim(owner, &l->claim, release_listener);
}

/* Returns false when a listener caused another change, which told everybody already. Each hears of
 * starts and stops by turns: who was not told of the older change is not told of its end. */
static bool tell(bool running)
{
    uint64_t mine = ++changes;

    telling++;
    for (struct run_listener *l = running ? listeners : last_listener; l && changes == mine;
         l = running ? l->next : l->prev) {
        if (l->dead || l->heard == running)
            continue;
        l->heard = running;
        l->fn(l->opaque, running);
    }
    if (--telling == 0)
        free_dead();
    return changes == mine;
}

/* ---- states ---- */

enum bpc_run_state bpc_machine_state(void)
{
    return __atomic_load_n(&run_state, __ATOMIC_ACQUIRE);
}

const char *bpc_run_state_name(enum bpc_run_state state)
{
    return (unsigned)state < BP_COUNT(states) ? states[state].name : "unknown";
}

bool bp_machine_running(struct bp_machine *machine)
{
    (void)machine; /* one per process today */
    enum bpc_run_state state = bpc_machine_state();

    return state == BPC_RUN_RUNNING || state == BPC_RUN_SUSPENDED;
}

bool bpc_machine_executes(void)
{
    return bpc_machine_state() == BPC_RUN_RUNNING;
}

bool bpc_machine_asleep(void)
{
    return __atomic_load_n(&asleep, __ATOMIC_RELAXED);
}

bool bpc_machine_needs_reset(void)
{
    return !(states[bpc_machine_state()].next & BIT(RUNNING)) && !bp_machine_running(bpc_the_machine);
}

static void set_state(enum bpc_run_state state)
{
    enum bpc_run_state now = bpc_machine_state();

    if (state == now)
        return;
    assert(states[now].next & (1u << state));
    bp_trace(bpc_trace_run_state, (unsigned)now, (unsigned)state);
    __atomic_store_n(&run_state, state, __ATOMIC_RELEASE);
}

void bpc_cpus_pause(void)
{
    for (unsigned i = 0; i < bpc_the_machine->cpu_slots; i++) {
        if (bpc_the_machine->cpus[i])
            bpc_cpu_ask_pause(bpc_the_machine->cpus[i]);
    }
    for (unsigned i = 0; i < bpc_the_machine->cpu_slots; i++) {
        if (bpc_the_machine->cpus[i])
            bpc_cpu_wait_paused(bpc_the_machine->cpus[i]);
    }
}

void bpc_cpus_resume(void)
{
    /* A request that came since then has paused them, and the main loop comes to it next. Requests
     * are noted before vCPUs are paused, so that one that isn't noted here pauses them after this. */
    pthread_mutex_lock(&request_lock);
    for (unsigned i = 0; i < bpc_the_machine->cpu_slots && !pausing(&asked); i++) {
        if (bpc_the_machine->cpus[i] && !bpc_the_machine->cpus[i]->held)
            bpc_cpu_resume(bpc_the_machine->cpus[i]);
    }
    pthread_mutex_unlock(&request_lock);
}

void bpc_machine_start(void)
{
    if (!bpc_the_machine || bp_machine_running(bpc_the_machine) || bpc_machine_needs_reset())
        return;
    set_state(asleep ? BPC_RUN_SUSPENDED : BPC_RUN_RUNNING);
    bpc_clock_virtual_run(true);
    if (!tell(true))
        return; /* it was stopped again, and they know */
    bpc_doorbells_start();
    bp_event_send_named("RESUME", NULL);
    if (bpc_machine_executes())
        bpc_cpus_resume();
}

void bpc_machine_stop(enum bpc_run_state state)
{
    if (!bpc_the_machine)
        return;
    if (!bp_machine_running(bpc_the_machine)) {
        /* `stop` on a stopped machine keeps the reason why it stands */
        if (state != BPC_RUN_PAUSED && (states[bpc_machine_state()].next & (1u << state)))
            set_state(state);
        return;
    }
    bpc_clock_virtual_run(false);
    bpc_cpus_pause();
    bpc_debug_stopped(bpc_the_machine);
    set_state(state);
    bpc_doorbells_stop(); /* before devices hear of it, and started after them */
    if (tell(false))
        bp_event_send_named("STOP", NULL);
}

/* ---- requests ---- */

static void pause_soon(void)
{
    bp_cpus_hold();
    for (unsigned i = 0; bpc_the_machine && i < bpc_the_machine->cpu_slots; i++) {
        struct bp_cpu *cpu = bp_machine_cpu(bpc_the_machine, i);

        if (cpu)
            bpc_cpu_ask_pause(cpu);
    }
    bp_cpus_release();
    bpc_loop_wake();
}

void bp_machine_request_reset(struct bp_machine *machine, enum bp_shutdown_cause cause)
{
    (void)machine;
    pthread_mutex_lock(&request_lock);
    if (!asked.reset) { /* the first cause stands */
        asked.reset = true;
        asked.reset_cause = cause;
    }
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    pause_soon();
}

void bp_machine_request_shutdown(struct bp_machine *machine, enum bp_shutdown_cause cause)
{
    (void)machine;
    pthread_mutex_lock(&request_lock);
    /* What the host asks goes before what the guest does: it cannot be turned into a pause. */
    if (!asked.shutdown || causes[asked.shutdown_cause].guest) {
        asked.shutdown = true;
        asked.shutdown_cause = cause;
    }
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    pause_soon();
}

void bp_machine_request_powerdown(struct bp_machine *machine)
{
    (void)machine;
    pthread_mutex_lock(&request_lock);
    asked.powerdown = true;
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    bpc_loop_wake();
}

void bp_machine_request_suspend(struct bp_machine *machine)
{
    (void)machine;
    pthread_mutex_lock(&request_lock);
    asked.suspend = true;
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    pause_soon();
}

void bp_machine_request_wakeup(struct bp_machine *machine, enum bp_wakeup_cause cause)
{
    (void)machine;
    pthread_mutex_lock(&request_lock);
    if (!asked.wakeup) { /* the first cause stands */
        asked.wakeup = true;
        asked.wakeup_cause = cause;
    }
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    bpc_loop_wake();
}

void bp_machine_request_exit(struct bp_machine *machine, int status)
{
    (void)machine;
    pthread_mutex_lock(&request_lock);
    if (!asked.exit) {
        asked.exit = true;
        asked.exit_status = status;
    }
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    pause_soon();
}

void bpc_machine_request_stop(enum bpc_run_state state)
{
    pthread_mutex_lock(&request_lock);
    if (!asked.stop) {
        asked.stop = true;
        asked.stop_state = state;
    }
    __atomic_store_n(&asked.any, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&request_lock);
    pause_soon();
}

void bp_machine_request_stop(struct bp_machine *machine, enum bp_stop_cause cause)
{
    (void)machine;
    bpc_machine_request_stop(cause == BP_STOP_WATCHDOG ? BPC_RUN_WATCHDOG : BPC_RUN_IO_ERROR);
}

/* ---- carrying them out ---- */

static void send_with_cause(const char *event, enum bp_shutdown_cause cause)
{
    struct bp_value *data = bp_value_dict();

    bp_value_set(data, "guest", bp_value_bool(causes[cause].guest));
    bp_value_set(data, "reason", bp_value_string(causes[cause].reason));
    bp_event_send_named(event, data);
}

static void reset(enum bp_shutdown_cause cause)
{
    bool running = bp_machine_running(bpc_the_machine);

    bpc_cpus_pause();
    __atomic_store_n(&asleep, false, __ATOMIC_RELAXED);
    bpc_machine_reset_all();
    send_with_cause("RESET", cause);
    if (running)
        set_state(BPC_RUN_RUNNING); /* it may have slept */
    else if (bpc_machine_state() != BPC_RUN_INMIGRATE)
        set_state(BPC_RUN_PRELAUNCH);
}

/* What is stopped already goes to sleep when it goes on. */
static void suspend(void)
{
    if (asleep || !bpc_the_machine)
        return;
    if (!bpc_the_machine->board->wakeup) {
        bp_guest_error("suspend", "the guest asked to sleep, which machine '%s' cannot",
                       bpc_the_machine->board->type.name);
        return;
    }
    bpc_cpus_pause();
    __atomic_store_n(&asleep, true, __ATOMIC_RELAXED);
    if (bpc_machine_executes())
        set_state(BPC_RUN_SUSPENDED);
    bp_event_send_named("SUSPEND", NULL);
}

static void wake_up(enum bp_wakeup_cause cause)
{
    if (!asleep)
        return;
    __atomic_store_n(&asleep, false, __ATOMIC_RELAXED);
    bpc_machine_wake_all(cause);
    if (bpc_machine_state() == BPC_RUN_SUSPENDED)
        set_state(BPC_RUN_RUNNING);
    bp_event_send_named("WAKEUP", NULL);
}

/* Does this end only pause the machine? A user's or the host's word always ends it. */
static bool stays(enum bp_shutdown_cause cause)
{
    if (cause == BP_SHUTDOWN_GUEST_PANIC && bpc_config.on_panic == BPC_ACTION_PAUSE)
        return true;
    if (cause == BP_SHUTDOWN_GUEST_PANIC && bpc_config.on_panic == BPC_ACTION_EXIT_FAILURE)
        return false;
    if (!causes[cause].guest && cause != BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET)
        return false;
    return bpc_config.on_shutdown == BPC_ACTION_PAUSE ||
           (bpc_config.on_shutdown == BPC_ACTION_DEFAULT && bpc_config.no_shutdown);
}

/* Returns true when the process ends. */
static bool shut_down(enum bp_shutdown_cause cause, int *ret_status)
{
    bool panic = cause == BP_SHUTDOWN_GUEST_PANIC;

    if (panic) {
        struct bp_value *data = bp_value_dict();

        bp_value_set(data, "action", bp_value_string(
            bpc_config.on_panic == BPC_ACTION_NONE ? "run" : stays(cause) ? "pause" : "poweroff"));
        bp_event_send_named("GUEST_PANICKED", data);
    }
    if (panic && bpc_config.on_panic == BPC_ACTION_NONE)
        return false;
    if (panic && stays(cause)) {
        bpc_machine_stop(BPC_RUN_GUEST_PANICKED);
        return false;
    }
    send_with_cause("SHUTDOWN", cause);
    if (stays(cause)) {
        bpc_machine_stop(BPC_RUN_SHUTDOWN);
        return false;
    }
    *ret_status = panic && bpc_config.on_panic == BPC_ACTION_EXIT_FAILURE ? 1 : 0;
    return true;
}

static bool resets_end(void)
{
    return bpc_config.on_reboot == BPC_ACTION_SHUTDOWN ||
           (bpc_config.on_reboot == BPC_ACTION_DEFAULT && bpc_config.no_reboot);
}

bool bpc_machine_turn(int *ret_status)
{
    struct requests todo;
    bool ends = false;

    if (!__atomic_load_n(&asked.any, __ATOMIC_ACQUIRE))
        return false;
    pthread_mutex_lock(&request_lock);
    todo = asked;
    asked = (struct requests){.any = false};
    pthread_mutex_unlock(&request_lock);
    if (todo.exit) {
        *ret_status = todo.exit_status;
        return true;
    }
    if (todo.stop)
        bpc_machine_stop(todo.stop_state);
    if (todo.reset && resets_end()) {
        todo.reset = false;
        if (!todo.shutdown) {
            todo.shutdown = true;
            todo.shutdown_cause = todo.reset_cause;
        }
    }
    if (todo.shutdown)
        ends = shut_down(todo.shutdown_cause, ret_status);
    if (ends)
        return true;
    if (todo.suspend)
        suspend();
    if (todo.reset && bpc_the_machine)
        reset(todo.reset_cause);
    if (todo.wakeup)
        wake_up(todo.wakeup_cause);
    if (todo.powerdown && bpc_the_machine) {
        bp_event_send_named("POWERDOWN", NULL);
        if (bpc_the_machine->board->powerdown)
            bpc_the_machine->board->powerdown(bpc_the_machine);
    }
    if (bpc_machine_executes())
        bpc_cpus_resume();
    return false;
}

void bpc_run_state_init(void)
{
    __atomic_store_n(&run_state, BPC_RUN_PRELAUNCH, __ATOMIC_RELEASE);
    __atomic_store_n(&asleep, false, __ATOMIC_RELAXED);
}
