/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -run-with and -runas: another root folder and another user just before the guest starts, and a process that
 * takes the address space down after this one has ended (async-teardown).
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <glib.h>

#include <bp/log.h>

#include "options.h"

#define EXPERT "Debug and expert options"
#define STACK_BYTES 16384u

static struct {
    bool async_teardown, user_given;
    char *chroot, *user_name; /* user_name: NULL when only numbers are known */
    uid_t uid;
    gid_t gid;
} with;

/* "NAME" or "UID:GID" */
static int take_user(const char *text, struct bp_error *err)
{
    struct passwd *pw = getpwnam(text);
    guint64 uid, gid;
    char **parts;
    bool numbers;

    g_clear_pointer(&with.user_name, g_free);
    if (pw) {
        with.user_name = g_strdup(text);
        with.uid = pw->pw_uid;
        with.gid = pw->pw_gid;
        with.user_given = true;
        return 0;
    }
    parts = g_strsplit(text, ":", 3);
    numbers = g_strv_length(parts) == 2 &&
              g_ascii_string_to_unsigned(parts[0], 10, 0, UINT32_MAX - 1, &uid, NULL) &&
              g_ascii_string_to_unsigned(parts[1], 10, 0, UINT32_MAX - 1, &gid, NULL);
    g_strfreev(parts);
    if (!numbers)
        return bp_fail(err, EINVAL, "key 'user': there is no user '%.100s', and it is no UID:GID", text);
    with.uid = (uid_t)uid;
    with.gid = (gid_t)gid;
    with.user_given = true;
    return 0;
}

static const struct bp_field keys[] = {
    BP_ARG_OPT("async-teardown", BOOL, "another process takes the memory down, so that this one ends at once"),
    BP_ARG_OPT("chroot", STRING, "folder that becomes the root just before the guest starts"),
    BP_ARG_OPT("user", STRING, "NAME or UID:GID to become just before the guest starts"),
    BP_FIELDS_END,
};

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *user = bp_value_get_string(args, "user"), *dir = bp_value_get_string(args, "chroot");

    if (bp_value_has(args, "async-teardown"))
        with.async_teardown = bp_value_as_bool(bp_value_get(args, "async-teardown"));
    if (dir) {
        g_free(with.chroot);
        with.chroot = g_strdup(dir);
    }
    return user ? take_user(user, err) : 0;
}
BP_OPTION(option_run_with, "run-with", "how the process lives: its end, its root folder, its user",
          .arg = "[async-teardown=on|off][,chroot=dir][,user=username|uid:gid]", .group = EXPERT,
          .phase = BP_PHASE_EARLY, .keys = keys, .merge = true, .apply = apply);

static int apply_runas(struct bp_value *args, struct bp_error *err)
{
    bp_warn("-runas is deprecated: use -run-with user=%s", bp_value_as_string(args));
    return take_user(bp_value_as_string(args), err);
}
BP_OPTION(option_runas, "runas", "the same as -run-with user=...", .arg = "user", .group = EXPERT,
          .phase = BP_PHASE_EARLY, .apply = apply_runas);

static int apply_chroot(struct bp_value *args, struct bp_error *err)
{
    (void)err;
    bp_warn("-chroot is deprecated: use -run-with chroot=%s", bp_value_as_string(args));
    g_free(with.chroot);
    with.chroot = g_strdup(bp_value_as_string(args));
    return 0;
}
BP_OPTION(option_chroot, "chroot", "the same as -run-with chroot=...", .arg = "dir", .group = EXPERT,
          .phase = BP_PHASE_EARLY, .apply = apply_chroot);

static int apply_async_teardown(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    bp_warn("-async-teardown is deprecated: use -run-with async-teardown=on");
    with.async_teardown = true;
    return 0;
}
BP_OPTION(option_async_teardown, "async-teardown", "the same as -run-with async-teardown=on", .group = EXPERT,
          .phase = BP_PHASE_EARLY, .apply = apply_async_teardown);

const struct bp_option *const bpc_run_with_options[] = {
    &option_run_with, &option_runas, &option_chroot, &option_async_teardown, NULL,
};

/* ---- the process that outlives this one ---- */

static char cleanup_name[16];

/*
 * It shares the memory, thread-local storage included: it calls nothing that keeps state there, and nothing
 * that can fail in ordinary life. Its parent's end is told by a signal.
 */
static int outlive(void *opaque)
{
    pid_t parent = *(pid_t *)opaque;
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGHUP);
    prctl(PR_SET_NAME, cleanup_name, 0, 0, 0);
    close_range(0, ~0u, 0); /* whoever waits for the end of a pipe of ours does not wait for this process */
    prctl(PR_SET_PDEATHSIG, SIGHUP, 0, 0, 0);
    while (getppid() == parent) {
        int number;

        sigwait(&wanted, &number);
    }
    _exit(0);
}

static int start_outliving(struct bp_error *err)
{
    static pid_t parent;
    sigset_t all, old;
    char *stack;
    pid_t child;

    parent = getpid();
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return bp_fail(err, errno, "-run-with async-teardown=on: %s", g_strerror(errno));
    g_snprintf(cleanup_name, sizeof(cleanup_name), "cleanup/%d", (int)parent);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old); /* it inherits that everything waits */
    child = clone(outlive, stack + STACK_BYTES, CLONE_VM, &parent);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (child < 0)
        return bp_fail(err, errno, "-run-with async-teardown=on: %s", g_strerror(errno));
    return 0;
}

int bpc_run_with_early(struct bp_error *err)
{
    return with.async_teardown ? start_outliving(err) : 0;
}

/* ---- just before the guest starts ---- */

static int become_user(struct bp_error *err)
{
    if (setgid(with.gid) < 0)
        return bp_fail(err, errno, "-run-with user: group %u: %s", (unsigned)with.gid, g_strerror(errno));
    if (with.user_name ? initgroups(with.user_name, with.gid) < 0 : setgroups(1, &with.gid) < 0)
        return bp_fail(err, errno, "-run-with user: groups: %s", g_strerror(errno));
    if (setuid(with.uid) < 0)
        return bp_fail(err, errno, "-run-with user: user %u: %s", (unsigned)with.uid, g_strerror(errno));
    if (with.uid != 0 && setuid(0) == 0)
        return bp_fail(err, EPERM, "-run-with user: the old rights could be had again");
    return 0;
}

int bpc_run_with_late(struct bp_error *err)
{
    if (with.chroot && (chroot(with.chroot) < 0 || chdir("/") < 0))
        return bp_fail(err, errno, "-run-with chroot=%s: %s", with.chroot, g_strerror(errno));
    return with.user_given ? become_user(err) : 0;
}
