/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of the emulator: command line, back ends, machine, devices, monitors, main loop, end.
 * Every failure is one line on standard error and exit status 1.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include <bp/exact/machine.h>

#include "config.h"
#include "device.h"
#include "hmp.h"
#include "log.h"
#include "loop.h"
#include "machine.h"
#include "monitor.h"
#include "object.h"
#include "options.h"
#include "preconfig.h"
#include "registry.h"
#include "memory.h"
#include "run.h"

/* How long the last messages to monitor clients may take at the end. */
#define FLUSH_MS 500

const char *bpc_arch_of(const char *program)
{
    static const char mark[] = "-system-";
    const char *base = strrchr(program, '/'), *at;

    base = base ? base + 1 : program;
    at = strstr(base, mark);
    return at && at[sizeof(mark) - 1] ? at + sizeof(mark) - 1 : BPC_DEFAULT_ARCH;
}

static void on_signal(int signo, int pid)
{
    if (pid > 0)
        bp_info("terminating on signal %d from pid %d", signo, pid);
    else
        bp_info("terminating on signal %d", signo);
    bp_machine_request_shutdown(bpc_the_machine, BP_SHUTDOWN_HOST_SIGNAL);
}

static void catch_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    bpc_loop_on_signal(SIGTERM, on_signal);
    bpc_loop_on_signal(SIGINT, on_signal);
    bpc_loop_on_signal(SIGHUP, on_signal);
}

/* The command line is read; what ends the program at once (-h, help) is answered. */
static int read_command_line(int argc, char **argv, struct bp_error *err)
{
    int ret = bpc_options_register(err);

    if (ret == 0)
        ret = bpc_control_register(err);
    if (ret == 0)
        ret = bpc_options_parse(argc, argv, err);
    if (ret == BPC_OPTIONS_RUN)
        ret = bpc_options_apply(BP_PHASE_EARLY, err);
    if (ret == BPC_OPTIONS_RUN)
        ret = bpc_options_help(err);
    return ret;
}

/* Serves monitors until one of them wants the machine. BPC_OPTIONS_DONE: or the end, with *ret_status. */
static int wait_for_preconfig(int *ret_status, struct bp_error *err)
{
    int ret = bpc_startup.monitor_count == 0 && bpc_startup.mon_muxes == 0
                  ? bp_fail(err, EINVAL, "--preconfig needs a monitor that ends it: -qmp, -mon or -monitor")
                  : bpc_console_make_monitors(err);

    if (ret < 0)
        return ret;
    catch_signals();
    bpc_preconfig_begin();
    while (bpc_preconfig_waits()) {
        if (bpc_machine_turn(ret_status))
            return BPC_OPTIONS_DONE;
        bpc_loop_run_once(true);
    }
    return 0;
}

static int build(int *ret_status, struct bp_error *err)
{
    int ret = bpc_options_apply(BP_PHASE_CHARDEV, err);

    if (ret == 0)
        ret = bpc_console_make_serials(err);
    if (ret == 0)
        ret = bpc_options_apply(BP_PHASE_OBJECT, err);
    if (ret == 0)
        ret = bpc_options_apply(BP_PHASE_MACHINE, err);
    if (ret == 0 && bpc_config.preconfig)
        ret = wait_for_preconfig(ret_status, err);
    if (ret == 0)
        ret = bpc_machine_create(err);
    if (ret == 0)
        ret = bpc_options_apply(BP_PHASE_DEVICE, err);
    if (ret == 0)
        ret = bpc_machine_finish(err);
    if (ret == 0)
        ret = bpc_devices_check_waiting(bpc_the_machine, err);
    if (ret == 0)
        ret = bpc_console_default_display(err);
    if (ret == 0)
        ret = bpc_options_apply(BP_PHASE_LATE, err);
    if (ret == 0)
        ret = bpc_memory_lock(err);
    if (ret == 0 && !bpc_config.preconfig)
        ret = bpc_console_make_monitors(err);
    if (ret == 0)
        bpc_preconfig_done();
    return ret;
}

/* Serves the main loop until everybody is there for whom the start waits. BPC_OPTIONS_DONE: the
 * program was told to end before that, with *ret_status. */
static int wait_for_others(int *ret_status)
{
    bpc_start_tell_held();
    while (bpc_start_is_held()) {
        if (bpc_machine_turn(ret_status))
            return BPC_OPTIONS_DONE;
        bpc_loop_run_once(true);
    }
    bpc_start_done();
    return BPC_OPTIONS_RUN;
}

static int start(int *ret_status, struct bp_error *err)
{
    const struct bpc_loader *loader = bpc_registry_loader();
    int ret = 0;

    bpc_global_warn_unused();
    bpc_console_warn_hidden();
    if (bpc_config.daemonize && bp_log_enabled && !bpc_options_given("D"))
        bp_warn("-d without -D: nobody sees the log once -daemonize has left the terminal");
    if (!bpc_config.preconfig)
        catch_signals();
    if (bpc_startup.pidfile)
        ret = bpc_pidfile_write(bpc_startup.pidfile, err);
    if (ret == 0)
        ret = wait_for_others(ret_status);
    if (ret == BPC_OPTIONS_RUN && loader && loader->started)
        loader->started();
    if (ret == 0)
        ret = bpc_run_with_late(err);
    if (ret == 0)
        ret = bpc_daemon_ready(err);
    if (ret == 0 && !bpc_config.start_paused)
        bpc_machine_start();
    return ret;
}

static int main_loop(void)
{
    int status = 0;

    while (!bpc_machine_turn(&status))
        bpc_loop_run_once(true);
    return status;
}

int bpc_run(int argc, char **argv, const struct bpc_program *describing)
{
    struct bp_error err = {0};
    const char *program = argc > 0 ? argv[0] : "backplane-system-" BPC_DEFAULT_ARCH;
    int status = 1, ret;

    bpc_program = describing;
    bpc_hmp_missing = describing ? describing->hmp_not_built : NULL;
    if (bpc_program && argc > 1 && strcmp(argv[1], "-complete") == 0)
        return bpc_program->complete(argc, argv);
    bpc_program_name_set(program);
    bpc_config.arch = bpc_arch_of(program);
    ret = read_command_line(argc, argv, &err);
    if (ret == BPC_OPTIONS_DONE) {
        bpc_options_free();
        return fflush(stdout) == 0 ? 0 : 1;
    }
    /* Before threads exist: only the calling one survives a fork. */
    if (ret == 0 && bpc_config.daemonize)
        ret = bpc_daemon_fork(&err);
    if (ret == 0)
        ret = bpc_run_with_early(&err);
    if (ret == 0) {
        bpc_fatal_install();
        bpc_loop_init();
        ret = build(&status, &err);
        if (ret == 0)
            ret = start(&status, &err);
        if (ret == BPC_OPTIONS_RUN)
            status = main_loop();
        bpc_monitors_close(FLUSH_MS);
        bpc_machine_destroy();
        bpc_objects_destroy();
        bpc_grace_wait(); /* what the last maps held has gone */
        bpc_pidfile_remove();
        if (bpc_registry_loader() && bpc_registry_loader()->ended)
            bpc_registry_loader()->ended();
    }
    if (ret < 0)
        bpc_report("%s", err.message);
    bpc_options_free();
    return ret < 0 ? 1 : status;
}
