/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `process-sandbox`: -sandbox, a filter of system calls (seccomp(2)) for every thread. What only
 * administers a host is denied always; four classes can be denied or allowed. A forbidden call ends the
 * process with SIGSYS; those that make processes or programs fail with EPERM, so that what needs one (a
 * network's script, a command of guestfwd) says that it could not be started, and so do those of resource
 * control, since libraries try them and go on.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include <bp/log.h>
#include <bp/option.h>
#include <bp/value.h>

enum { ALLOW, DENY, CHILDREN };

static const char *const on_off[] = {"off", "on", NULL};
static const char *const allow_deny[] = {"allow", "deny", NULL};
static const char *const elevate[] = {"allow", "deny", "children", NULL};
static const struct bp_schema on_off_schema = {.name = "SandboxEnable", .kind = BP_KIND_ENUM, .choices = on_off};
static const struct bp_schema policy = {.name = "SandboxPolicy", .kind = BP_KIND_ENUM, .choices = allow_deny};
static const struct bp_schema elevate_policy = {.name = "SandboxElevatePolicy", .kind = BP_KIND_ENUM,
                                                .choices = elevate};

/* For the host's administrators: nothing here ever needs them. */
static const int administration[] = {
    SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(mount), SCMP_SYS(umount), SCMP_SYS(umount2),
    SCMP_SYS(pivot_root), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(acct), SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime), SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname), SCMP_SYS(quotactl), SCMP_SYS(syslog), SCMP_SYS(vhangup), SCMP_SYS(nfsservctl),
    SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(bpf), SCMP_SYS(ptrace), SCMP_SYS(process_vm_writev),
};
/* syscalls(2): superseded, or in no kernel any more. */
static const int obsolete[] = {
    SCMP_SYS(readdir), SCMP_SYS(_sysctl), SCMP_SYS(bdflush), SCMP_SYS(create_module), SCMP_SYS(get_kernel_syms),
    SCMP_SYS(query_module), SCMP_SYS(sgetmask), SCMP_SYS(ssetmask), SCMP_SYS(sysfs), SCMP_SYS(uselib),
    SCMP_SYS(ustat), SCMP_SYS(afs_syscall), SCMP_SYS(getpmsg), SCMP_SYS(putpmsg), SCMP_SYS(security),
    SCMP_SYS(tuxcall), SCMP_SYS(vserver), SCMP_SYS(remap_file_pages), SCMP_SYS(epoll_ctl_old),
    SCMP_SYS(epoll_wait_old), SCMP_SYS(modify_ldt), SCMP_SYS(lookup_dcookie),
};
static const int elevating[] = {
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
};
static const int spawning[] = {
    SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execve), SCMP_SYS(execveat),
};
static const int resources[] = {
    SCMP_SYS(setpriority), SCMP_SYS(sched_setparam), SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_setattr),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(ioprio_set),
};

static int deny(scmp_filter_ctx filter, const int *calls, size_t count, uint32_t action)
{
    for (size_t i = 0; i < count; i++) {
        int ret = seccomp_rule_add(filter, action, calls[i], 0);

        if (ret < 0 && ret != -EDOM) /* this machine has no such call */
            return ret;
    }
    return 0;
}

/* A clone that makes no thread is a fork; clone3 keeps its flags in memory, where no filter sees them, and
 * the C library goes on with clone when there is none. */
static int deny_spawning(scmp_filter_ctx filter)
{
    int ret = deny(filter, spawning, BP_COUNT(spawning), SCMP_ACT_ERRNO(EPERM));

    if (ret == 0)
        ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (ret == 0)
        ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return ret;
}

struct choices {
    int obsolete, elevate, spawn, resources;
};

static int add_rules(scmp_filter_ctx filter, const struct choices *c)
{
    int ret = deny(filter, administration, BP_COUNT(administration), SCMP_ACT_KILL_PROCESS);

    if (ret == 0 && c->obsolete == DENY)
        ret = deny(filter, obsolete, BP_COUNT(obsolete), SCMP_ACT_KILL_PROCESS);
    if (ret == 0 && c->elevate == DENY)
        ret = deny(filter, elevating, BP_COUNT(elevating), SCMP_ACT_KILL_PROCESS);
    if (ret == 0 && c->spawn == DENY)
        ret = deny_spawning(filter);
    if (ret == 0 && c->resources == DENY)
        ret = deny(filter, resources, BP_COUNT(resources), SCMP_ACT_ERRNO(EPERM));
    /* Threads that run already, and the ones to come. */
    if (ret == 0)
        ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    return ret == 0 ? seccomp_load(filter) : ret;
}

static int choice(struct bp_value *args, const char *key, const char *const *names, int otherwise)
{
    const char *text = bp_value_get_string(args, key);

    for (int i = 0; text && names[i]; i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
    }
    return otherwise;
}

static int apply(struct bp_value *args, struct bp_error *err)
{
    struct choices c = {
        .obsolete = choice(args, "obsolete", allow_deny, DENY),
        .elevate = choice(args, "elevateprivileges", elevate, ALLOW),
        .spawn = choice(args, "spawn", allow_deny, ALLOW),
        .resources = choice(args, "resourcecontrol", allow_deny, ALLOW),
    };
    scmp_filter_ctx filter;
    int ret;

    if (choice(args, "enable", on_off, 0) == 0)
        return 0;
    if (c.elevate != ALLOW && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return bp_fail(err, errno, "key 'elevateprivileges': %s", strerror(errno));
    filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return bp_fail(err, ENOMEM, "no memory for the filter");
    ret = add_rules(filter, &c);
    seccomp_release(filter);
    if (ret < 0)
        return bp_fail(err, -ret, "the kernel does not take a filter of system calls: %s", strerror(-ret));
    return 0;
}

static const struct bp_field keys[] = {
    BP_ARG_TYPED("enable", ENUM, &on_off_schema, 0, "on or off"),
    BP_ARG_TYPED("obsolete", ENUM, &policy, BP_FIELD_OPTIONAL, "superseded system calls (default: deny)"),
    BP_ARG_TYPED("elevateprivileges", ENUM, &elevate_policy, BP_FIELD_OPTIONAL,
                 "changes of users and groups; children: only programs that are started get no more rights"),
    BP_ARG_TYPED("spawn", ENUM, &policy, BP_FIELD_OPTIONAL, "new processes and programs"),
    BP_ARG_TYPED("resourcecontrol", ENUM, &policy, BP_FIELD_OPTIONAL, "affinity and priority"),
    BP_FIELDS_END,
};
/* Behind the fork of -daemonize, in front of everything that takes input from outside. */
BP_OPTION(sandbox_option, "sandbox", "denies system calls that the program does not need",
          .arg = "on|off[,obsolete=allow|deny][,elevateprivileges=allow|deny|children]"
                 "[,spawn=allow|deny][,resourcecontrol=allow|deny]",
          .group = "Debug and expert options", .phase = 15, .keys = keys, .implied = "enable", .apply = apply);
BP_MODULE("process-sandbox", "Filter of system calls", BP_NO_IMPORTS, {BP_PROVIDE_OPTION, &sandbox_option});
