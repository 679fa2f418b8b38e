/* SPDX-License-Identifier: MIT */
/*
 * The machine's life as devices see it: whether it runs, and requests to reset it, to power it down and
 * to end it. [any] unless a function says otherwise.
 */
#ifndef BP_RUN_H
#define BP_RUN_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_machine; /* NULL where one is taken: before there is one */
struct bp_owner;

enum bp_shutdown_cause {
    BP_SHUTDOWN_GUEST_SHUTDOWN,
    BP_SHUTDOWN_GUEST_RESET,
    BP_SHUTDOWN_GUEST_PANIC,
    BP_SHUTDOWN_HOST_QMP_QUIT,
    BP_SHUTDOWN_HOST_QMP_SYSTEM_RESET,
    BP_SHUTDOWN_HOST_SIGNAL,
    BP_SHUTDOWN_HOST_UI,
    BP_SHUTDOWN_HOST_ERROR,
};
/* Asks; the main loop carries it out, subject to -no-reboot, -no-shutdown, -action. */
void bp_machine_request_reset(struct bp_machine *machine, enum bp_shutdown_cause cause);
void bp_machine_request_shutdown(struct bp_machine *machine, enum bp_shutdown_cause cause);
void bp_machine_request_powerdown(struct bp_machine *machine);
/*
 * Sleep with memory kept (suspend to RAM). The main loop stops the vCPUs and sends SUSPEND; clocks and devices go on.
 * A wake-up resets devices and processors, but nothing rewrites RAM; then the board shows the way back to what sleeps
 * there. It has no effect on a machine that is awake; one that is asked for while the sleep is only asked for, too,
 * ends that at once.
 */
enum bp_wakeup_cause { BP_WAKEUP_OTHER, BP_WAKEUP_RTC, BP_WAKEUP_POWER_BUTTON };
void bp_machine_request_suspend(struct bp_machine *machine);
void bp_machine_request_wakeup(struct bp_machine *machine, enum bp_wakeup_cause cause);
/* Is the reset that goes on a wake-up's? Who puts something into RAM at a reset does not then. [main] */
bool bp_machine_waking(struct bp_machine *machine);
/* Ends the process with this status, at the main loop's next turn (isa-debug-exit). */
void bp_machine_request_exit(struct bp_machine *machine, int status);
const char *bp_machine_guest_name(struct bp_machine *machine); /* -name; NULL: none was given. [main] */
/* Do clock and devices go on? Also while the guest sleeps. */
bool bp_machine_running(struct bp_machine *machine);
/* What it was asked to have: processors at the start (-smp, at least 1), bytes of main memory (-m). [any] */
unsigned bp_machine_cpus(const struct bp_machine *machine);
uint64_t bp_machine_memory_size(const struct bp_machine *machine);
/* Asks that it stops until somebody says `cont`: a back end's error (werror=stop). */
enum bp_stop_cause { BP_STOP_WATCHDOG, BP_STOP_IO_ERROR };
void bp_machine_request_stop(struct bp_machine *machine, enum bp_stop_cause cause);
/* A watchdog's time is over: sends WATCHDOG and does what -watchdog-action asks for, a reset by default.
 * [main] under the machine lock */
void bp_machine_watchdog_expired(struct bp_machine *machine);
/* A non-maskable interrupt for every processor; -ENOTSUP: the board has no way. [any] under the machine lock */
int bp_machine_inject_nmi(struct bp_machine *machine, struct bp_error *err);

/*
 * Hears of each start and stop of the machine. Starts are told in ascending `order`, stops in descending:
 * what others stand on has a lower one, runs before them and flushes after them. Equal orders: as
 * registered, and the other way round. vCPUs stand whenever somebody is told. A listener may ask for
 * another change; those that were not told yet then hear of the newer one only. [main] under the machine
 * lock
 */
#define BP_RUN_ORDER_BACKEND (-100) /* disks, networks: flush when every device has stopped */
#define BP_RUN_ORDER_DEVICE 0
#define BP_RUN_ORDER_USER 100 /* what drives devices: replay, records of what they do */
void bp_machine_on_run_change(struct bp_machine *machine, struct bp_owner *owner, int order,
                              void (*fn)(void *opaque, bool running), void *opaque);

/* ---- before it starts ---- */

struct bp_start_hold; /* opaque */
/* Somebody has to be there before the machine may start (the first client of a socket with wait=on):
 * until each hold is released the program serves its main loop and starts nothing by itself. `what`
 * is said to the user after "waiting for"; copied. NULL once the start has happened: nothing waits
 * then. [main] */
struct bp_start_hold *bp_start_hold(const char *what);
void bp_start_release(struct bp_start_hold *hold); /* NULL is fine. [main] */
/* Calls fn when nobody is waited for any more, just before the machine may start; at once when that
 * was before. For what should not happen while the program still waits, such as a terminal that
 * goes raw. [main] under the machine lock */
void bp_on_start(void (*fn)(void *opaque), void *opaque);
/* Calls fn when board and devices of the command line are complete: a failure ends the program with its
 * message. For what the command line asked for and nobody took. Before that only. [main] */
void bp_on_complete(int (*fn)(void *opaque, struct bp_error *err), void *opaque);
/* Does the process leave its terminal (-daemonize)? Then standard input and output are not for use. */
bool bp_leaves_terminal(void);

/* -rtc: host time as the guest's RTC shall see it, in ns since the epoch in its chosen zone
 * (base=utc, localtime or a date; clock=host, rt, vm). [any] */
int64_t bp_machine_rtc_ns(struct bp_machine *machine);

BP_END_DECLS

#endif
