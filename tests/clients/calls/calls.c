/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module for tests: a monitor command that makes one system call, as a module would that forks or asks for rights. */
#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bp/command.h>

static long call(const char *name)
{
    if (strcmp(name, "fork") == 0) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        return pid < 0 ? -1 : waitpid(pid, NULL, 0) == pid ? 0 : -1;
    }
    if (strcmp(name, "setuid") == 0)
        return syscall(SYS_setuid, getuid());
    if (strcmp(name, "priority") == 0)
        return setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0));
    if (strcmp(name, "obsolete") == 0)
        return syscall(SYS_remap_file_pages, 0, 0, 0, 0, 0);
    if (strcmp(name, "swapon") == 0)
        return syscall(SYS_swapon, "", 0);
    errno = EINVAL;
    return -1;
}

static void run(struct bp_monitor *mon, struct bp_value *args)
{
    errno = 0;
    if (call(bp_value_get_string(args, "name")) < 0)
        bp_monitor_printf(mon, "failed: %s\n", strerrorname_np(errno));
    else
        bp_monitor_printf(mon, "done\n");
}

static const struct bp_field args[] = {BP_ARG("name", STRING, "which"), BP_FIELDS_END};
BP_HMP(call_hmp, "test-call", "name", "make a system call", args, run);
BP_MODULE("test-calls", "System calls for tests", BP_NO_IMPORTS, {BP_PROVIDE_HMP, &call_hmp});
