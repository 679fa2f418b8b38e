/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `debug-gdb`: a stub of gdb's remote serial protocol on a character device: -gdb, -s, and the
 * monitor's gdbserver. Left out: going backwards, tracepoints, non-stop mode, several processes.
 */
#include "gdb.h"

#include <errno.h>
#include <string.h>

#include <bp/command.h>
#include <bp/option.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

#define DEFAULT_DEVICE "tcp::1234"

static int start(const char *device, struct bp_error *err)
{
    the_session.table = chardev;
    if (the_session.busy)
        return bp_fail(err, EBUSY, "the debugger that asks for it uses the stub; use another monitor");
    if (strcmp(device, "none") == 0) {
        session_end(&the_session);
        return 0;
    }
    return session_start(&the_session, bp_command_machine(), device, err);
}

static int apply_gdb(struct bp_value *args, struct bp_error *err)
{
    return start(bp_value_as_string(args), err);
}

static int apply_s(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    return start(DEFAULT_DEVICE, err);
}

#define EXPERT "Debug and expert options"
BP_OPTION(gdb_option, "gdb", "lets gdb debug the guest over this device (tcp::PORT, pty, stdio, unix:PATH, ...)",
          .arg = "dev", .group = EXPERT, .phase = BP_PHASE_LATE, .apply = apply_gdb);
BP_OPTION(s_option, "s", "the same as -gdb tcp::1234", .group = EXPERT, .phase = BP_PHASE_LATE,
          .apply = apply_s);

static const struct bp_field device_args[] = {
    BP_ARG_OPT("device", STRING, "as for -gdb; none: ends it"), BP_FIELDS_END,
};

static void hmp_gdbserver(struct bp_monitor *mon, struct bp_value *args)
{
    const char *device = bp_value_get_string(args, "device");
    struct bp_error err = {0};

    device = device ? device : DEFAULT_DEVICE;
    if (start(device, &err) < 0)
        bp_monitor_printf(mon, "Error: could not open the debugger's device '%.100s': %s\n", device, err.message);
    else if (!the_session.chr)
        bp_monitor_printf(mon, "Disabled gdbserver\n");
    else
        bp_monitor_printf(mon, "Waiting for gdb connection on device '%.100s'\n", device);
}
BP_HMP(gdb_hmp, "gdbserver", "[device]", "start a debugger's stub on a device (default tcp::1234), 'none' ends it",
       device_args, hmp_gdbserver);

/* The client hears of the end. */
static void leave(void)
{
    if (the_session.chr && the_session.open)
        reply_text(&the_session, "W00");
}

BP_MODULE_WITH_FINI("debug-gdb", "Stub for gdb", imports, NULL, leave, {BP_PROVIDE_OPTION, &gdb_option},
                    {BP_PROVIDE_OPTION, &s_option}, {BP_PROVIDE_HMP, &gdb_hmp});
