/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What follows what the guest does: their names on the command line and in QMP, and what a watchdog's
 * end leads to. Reboots, shutdowns and panics are carried out in run-state.c.
 */
#include <errno.h>
#include <string.h>

#include <bp/command.h>
#include <bp/log.h>

#include "config.h"
#include "marks.h"
#include "parts.h"

static const char *const reboot_choices[] = {"reset", "shutdown", NULL};
const struct bp_schema bpc_reboot_actions = {.name = "RebootAction", .kind = BP_KIND_ENUM,
                                             .choices = reboot_choices};
static const char *const shutdown_choices[] = {"poweroff", "pause", NULL};
const struct bp_schema bpc_shutdown_actions = {.name = "ShutdownAction", .kind = BP_KIND_ENUM,
                                               .choices = shutdown_choices};
static const char *const panic_choices[] = {"pause", "shutdown", "exit-failure", "none", NULL};
const struct bp_schema bpc_panic_actions = {.name = "PanicAction", .kind = BP_KIND_ENUM,
                                            .choices = panic_choices};
static const char *const watchdog_choices[] = {"reset", "shutdown", "poweroff", "pause", "debug", "none",
                                               "inject-nmi", NULL};
const struct bp_schema bpc_watchdog_actions = {.name = "WatchdogAction", .kind = BP_KIND_ENUM,
                                               .choices = watchdog_choices};
const struct bp_field bpc_action_fields[] = {
    BP_ARG_TYPED("reboot", ENUM, &bpc_reboot_actions, BP_FIELD_OPTIONAL, "when the guest reboots"),
    BP_ARG_TYPED("shutdown", ENUM, &bpc_shutdown_actions, BP_FIELD_OPTIONAL, "when it powers off"),
    BP_ARG_TYPED("panic", ENUM, &bpc_panic_actions, BP_FIELD_OPTIONAL, "when it panics"),
    BP_ARG_TYPED("watchdog", ENUM, &bpc_watchdog_actions, BP_FIELD_OPTIONAL, "when a watchdog expires"),
    BP_FIELDS_END,
};
const struct bp_field bpc_watchdog_fields[] = {
    BP_ARG_TYPED("action", ENUM, &bpc_watchdog_actions, 0, "when a watchdog expires"), BP_FIELDS_END};

static const char *const names[] = {
    [BPC_ACTION_RESET] = "reset", [BPC_ACTION_SHUTDOWN] = "shutdown", [BPC_ACTION_POWEROFF] = "poweroff",
    [BPC_ACTION_PAUSE] = "pause", [BPC_ACTION_DEBUG] = "debug", [BPC_ACTION_NONE] = "none",
    [BPC_ACTION_EXIT_FAILURE] = "exit-failure", [BPC_ACTION_INJECT_NMI] = "inject-nmi",
};

static void set(enum bpc_action *action, const char *text)
{
    for (unsigned i = 0; text && i < BP_COUNT(names); i++) {
        if (names[i] && strcmp(names[i], text) == 0)
            *action = (enum bpc_action)i;
    }
}

void bpc_actions_set(const char *reboot, const char *shutdown, const char *panic, const char *watchdog)
{
    set(&bpc_config.on_reboot, reboot);
    set(&bpc_config.on_shutdown, shutdown);
    set(&bpc_config.on_panic, panic);
    set(&bpc_config.on_watchdog, watchdog);
}

int bpc_machine_inject_nmi(struct bp_error *err)
{
    if (!bpc_the_machine || !bpc_the_machine->board || !bpc_the_machine->board->nmi)
        return bp_fail(err, ENOTSUP, "this machine has no way to give its processors a non-maskable "
                       "interrupt");
    bpc_the_machine->board->nmi(bpc_the_machine);
    return 0;
}

int bp_machine_inject_nmi(struct bp_machine *machine, struct bp_error *err)
{
    bpc_assert_locked();
    (void)machine;
    return bpc_machine_inject_nmi(err);
}

void bp_machine_watchdog_expired(struct bp_machine *machine)
{
    enum bpc_action action = bpc_config.on_watchdog ? bpc_config.on_watchdog : BPC_ACTION_RESET;
    struct bp_value *data = bp_value_dict();
    struct bp_error err = {0};

    bpc_assert_locked();
    bp_value_set(data, "action", bp_value_string(names[action]));
    bp_event_send_named("WATCHDOG", data);
    switch (action) {
    case BPC_ACTION_SHUTDOWN:
        bp_machine_request_powerdown(machine);
        break;
    case BPC_ACTION_POWEROFF:
        bp_machine_request_shutdown(machine, BP_SHUTDOWN_GUEST_SHUTDOWN);
        break;
    case BPC_ACTION_PAUSE:
        bp_machine_request_stop(machine, BP_STOP_WATCHDOG);
        break;
    case BPC_ACTION_DEBUG:
        bp_info("the guest's watchdog timer has expired");
        break;
    case BPC_ACTION_INJECT_NMI:
        if (bpc_machine_inject_nmi(&err) < 0)
            bp_warn("watchdog: %s", err.message);
        break;
    case BPC_ACTION_NONE:
        break;
    default:
        bp_machine_request_reset(machine, BP_SHUTDOWN_GUEST_RESET);
        break;
    }
}
