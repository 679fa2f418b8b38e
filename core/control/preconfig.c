/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See preconfig.h. */
#include "preconfig.h"

#include <errno.h>
#include <string.h>

#include <bp/coroutine.h>

#include "command.h"
#include "hmp.h"
#include "marks.h"

static enum { MADE, WAITING, MAKING } machine; /* without --preconfig nobody asks before it is made */
static struct bp_co *asker; /* whose command has it made */

void bpc_preconfig_begin(void)
{
    bpc_assert_main();
    machine = WAITING;
}

bool bpc_preconfig_waits(void)
{
    bpc_assert_main();
    return machine == WAITING;
}

void bpc_preconfig_done(void)
{
    bpc_assert_main();
    machine = MADE;
    if (asker)
        bp_co_wake(asker);
}

int bpc_preconfig_judge(const char *name, uint32_t flags, struct bp_error *err)
{
    if (machine == MADE || (flags & BP_COMMAND_PRECONFIG))
        return 0;
    return bp_fail(err, EPERM, "The command '%.200s' needs the machine, which is made after x-exit-preconfig", name);
}

/* Commands of the human monitor have no flags. These look at no machine. */
int bpc_preconfig_judge_human(const char *name, struct bp_error *err)
{
    static const char *const able[] = {"help", "quit", "exit_preconfig", "info version", "info status", "info name",
                                       "info hotpluggable-cpus", "info modules", "info chardev", "info iothreads",
                                       "object_add", "object_del", "chardev-add", "chardev-remove", "module_load"};

    for (size_t i = 0; i < BP_COUNT(able); i++) {
        if (strcmp(able[i], name) == 0)
            return 0;
    }
    return bpc_preconfig_judge(name, 0, err);
}

int bpc_preconfig_need(const char *name, struct bp_error *err)
{
    if (machine == WAITING)
        return 0;
    return bp_fail(err, EPERM, "The command '%.200s' is for the time before the machine is made, which --preconfig "
                               "gives", name);
}

/* What comes behind it from the same client finds the machine. */
static int exit_preconfig(struct bp_error *err)
{
    int ret = bpc_preconfig_need("x-exit-preconfig", err);

    if (ret < 0)
        return ret;
    machine = MAKING;
    asker = bp_co_current();
    while (machine == MAKING && ret == 0)
        ret = bp_co_yield();
    asker = NULL;
    return ret < 0 ? bp_fail(err, ECANCELED, "the emulator ends before the machine is made") : 0;
}
BP_COMMAND(cmd_exit_preconfig, "x-exit-preconfig", "Makes the machine, for which --preconfig waits", NULL, NONE, NULL,
           exit_preconfig, BP_COMMAND_PRECONFIG | BP_COMMAND_COROUTINE);

const struct bp_command *const bpc_preconfig_commands[] = {&cmd_exit_preconfig, NULL};

static void hmp_exit(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    bpc_hmp_qmp(mon, "x-exit-preconfig", NULL);
}
static const struct bp_hmp_command hmp_exit_preconfig = {
    .size = sizeof(struct bp_hmp_command), .name = "exit_preconfig", .params = "",
    .summary = "make the machine, for which --preconfig waits", .fn = hmp_exit};

const struct bp_hmp_command *const bpc_hmp_preconfig_commands[] = {&hmp_exit_preconfig, NULL};
