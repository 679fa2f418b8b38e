/* SPDX-License-Identifier: MIT */
/*
 * The machine's life as devices see it: whether it runs, and requests to reset it, to power it down and
 * to end it. [any] unless a function says otherwise.
 */
#ifndef BP_RUN_H
#define BP_RUN_H

#include <bp/base.h>

BP_BEGIN_DECLS

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
void bp_machine_request_reset(enum bp_shutdown_cause cause);
void bp_machine_request_shutdown(enum bp_shutdown_cause cause);
void bp_machine_request_powerdown(void);
/* Ends the process with this status, at the main loop's next turn (isa-debug-exit). */
void bp_machine_request_exit(int status);
bool bp_machine_running(void);
/* Hears of each start and stop of the machine. [main] under the machine lock */
void bp_machine_on_run_change(struct bp_owner *owner, void (*fn)(void *opaque, bool running),
                              void *opaque);

/* -rtc: host time as the guest's RTC shall see it, in ns since the epoch in its chosen zone
 * (base=utc, localtime or a date; clock=host, rt, vm). [any] */
int64_t bp_machine_rtc_ns(void);

BP_END_DECLS

#endif
