/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options about the process itself: names, log, messages, files, daemon, configuration files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <glib.h>

#include "compat.h"
#include "config.h"
#include "fd-set.h"
#include "log.h"
#include "random.h"
#include "loop.h"
#include "machine.h"
#include "options.h"
#include "run.h"
#include "trace.h"

#define EXPERT "Debug and expert options"

static const struct bp_field name_keys[] = {
    BP_ARG_OPT("guest", STRING, "the guest's name"),
    BP_ARG_OPT("process", STRING, "name of the process in lists of processes"),
    BP_ARG_OPT("debug-threads", BOOL, "threads are named after what they do (they always are)"),
    BP_FIELDS_END,
};

static bool msg_guest_name; /* -msg guest-name=on, before or after -name */

static int apply_name(struct bp_value *args, struct bp_error *err)
{
    const char *guest = bp_value_get_string(args, "guest");
    const char *process = bp_value_get_string(args, "process");

    if (guest) {
        g_free(bpc_config.guest_name);
        bpc_config.guest_name = g_strdup(guest);
    }
    if (msg_guest_name && guest)
        bpc_msg_guest_name(guest);
    if (process && (!*process || strlen(process) > 15))
        return bp_fail(err, EINVAL, "key 'process': accepted: 1 to 15 bytes");
    if (process)
        prctl(PR_SET_NAME, process, 0, 0, 0);
    return 0;
}

BP_OPTION(option_name, "name", "name of the guest", .arg = "[guest=]name[,process=name]"
          "[,debug-threads=on|off]", .group = "Standard options", .phase = BP_PHASE_EARLY,
          .keys = name_keys, .implied = "guest", .merge = true, .apply = apply_name);

static const struct bp_field msg_keys[] = {
    BP_ARG_OPT("timestamp", BOOL, "messages open with the time"),
    BP_ARG_OPT("guest-name", BOOL, "messages name the guest"),
    BP_FIELDS_END,
};

static int apply_msg(struct bp_value *args, struct bp_error *err)
{
    (void)err;
    if (bp_value_has(args, "timestamp"))
        bpc_msg_timestamp(bp_value_as_bool(bp_value_get(args, "timestamp")));
    msg_guest_name = bp_value_as_bool(bp_value_get(args, "guest-name"));
    if (msg_guest_name && bpc_config.guest_name)
        bpc_msg_guest_name(bpc_config.guest_name);
    return 0;
}

BP_OPTION(option_msg, "msg", "how messages look", .arg = "[timestamp=on|off][,guest-name=on|off]",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .keys = msg_keys, .merge = true,
          .apply = apply_msg);

static int apply_d(struct bp_value *args, struct bp_error *err)
{
    uint32_t mask;
    int ret = bpc_log_parse(bp_value_as_string(args), &mask, err);

    if (ret == 0)
        bpc_log_set(bp_log_enabled | mask);
    for (const char *at = bp_value_as_string(args); ret == 0 && (at = strstr(at, "trace:")); at++) {
        char *pattern = g_strndup(at + strlen("trace:"), strcspn(at + strlen("trace:"), ","));
        if (bp_trace_each(pattern, NULL, NULL) == 0)
            bp_warn("-d: no trace point matches '%s'; -trace help lists them", pattern);
        g_free(pattern);
    }
    return ret;
}

static int help_d(struct bp_value *args, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (const struct bpc_log_item *i = bpc_log_items; i->name && i->mask; i++)
        bpc_help_item(list, i->name, i->help);
    bpc_help_item(list, "trace:PATTERN", "log these trace points (-trace help lists them)");
    bpc_program->items(args, "Log items (comma separated):", list);
    return 0;
}

BP_OPTION(option_d, "d", "logs these items (-d help lists them)", .arg = "item1[,item2...]",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_d, .show_help = help_d);

static int apply_dfilter(struct bp_value *args, struct bp_error *err)
{
    return bpc_log_filter(bp_value_as_string(args), err);
}

BP_OPTION(option_dfilter, "dfilter", "logs guest code of these addresses only", .arg =
          "start+size|start-size|start..end[,...]", .group = EXPERT, .phase = BP_PHASE_EARLY,
          .apply = apply_dfilter);

static int apply_seed(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_as_string(args);
    char *end;
    unsigned long long seed;

    errno = 0;
    seed = strtoull(text, &end, 0);
    if (!*text || *end || errno || *text == '-' || *text == ' ')
        return bp_fail(err, EINVAL, "-seed expects a number from 0 to 18446744073709551615, not '%s'", text);
    bpc_random_seed(seed);
    return 0;
}

BP_OPTION(option_seed, "seed", "gives guests the same random numbers each time", .arg = "number",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_seed);

static int apply_log_file(struct bp_value *args, struct bp_error *err)
{
    return bpc_log_file(bp_value_as_string(args), err);
}

BP_OPTION(option_log_file, "D", "writes the log into this file, not to standard error",
          .arg = "logfile", .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_log_file);

static int apply_data_dir(struct bp_value *args, struct bp_error *err)
{
    size_t n = 0;

    (void)err;
    while (bpc_config.data_dirs && bpc_config.data_dirs[n])
        n++;
    bpc_config.data_dirs = g_realloc_n(bpc_config.data_dirs, n + 2, sizeof(char *));
    bpc_config.data_dirs[n] = g_strdup(bp_value_as_string(args));
    bpc_config.data_dirs[n + 1] = NULL;
    return 0;
}

static int help_data_dir(struct bp_value *args, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (char **dir = bpc_config.data_dirs; dir && *dir; dir++)
        bpc_help_item(list, *dir, NULL);
    for (const char *const *dir = bpc_data_dirs(); *dir; dir++)
        bpc_help_item(list, *dir, NULL);
    bpc_program->items(args, NULL, list);
    return 0;
}

BP_OPTION(option_data_dir, "L", "looks for firmware here first (-L help lists the directories)",
          .arg = "path", .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_data_dir,
          .show_help = help_data_dir);

static int apply_pidfile(struct bp_value *args, struct bp_error *err)
{
    const char *path = bp_value_as_string(args);

    if (!*path)
        return bp_fail(err, EINVAL, "a file name is missing");
    g_free(bpc_startup.pidfile);
    bpc_startup.pidfile = g_strdup(path);
    return 0;
}

static int apply_sync_profile(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    bpc_lock_profile(true);
    return 0;
}
BP_OPTION(option_sync_profile, "enable-sync-profile",
          "measures the machine lock (info sync-profile)", .group = EXPERT,
          .phase = BP_PHASE_EARLY, .apply = apply_sync_profile);

BP_OPTION(option_pidfile, "pidfile", "writes the process id into this file", .arg = "file",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_pidfile);

static int apply_daemonize(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    bpc_config.daemonize = true;
    return 0;
}

BP_OPTION(option_daemonize, "daemonize", "goes to the background once everything listens",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_daemonize);

static const struct bp_field overcommit_keys[] = {
    BP_ARG_OPT("mem-lock", BOOL, "keeps all memory of the program and its guest in RAM"),
    BP_ARG_OPT("cpu-pm", BOOL, "the guest uses the processor's power states itself (KVM)"),
    BP_FIELDS_END,
};

static int apply_overcommit(struct bp_value *args, struct bp_error *err)
{
    (void)err;
    bpc_config.cpu_pm = bp_value_as_bool(bp_value_get(args, "cpu-pm"));
    bpc_config.mem_lock = bp_value_as_bool(bp_value_get(args, "mem-lock"));
    return 0;
}

/* When the machine stands: a limit that is too low then fails here, with a reason, and not somewhere else. */
int bpc_memory_lock(struct bp_error *err)
{
    struct rlimit limit = {0};
    int ret;

    if (!bpc_config.mem_lock || mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
        return 0;
    ret = errno;
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return bp_fail(err, ret, "-overcommit mem-lock=on: memory cannot be locked: %s (RLIMIT_MEMLOCK is %llu KiB: "
                   "ulimit -l)", strerror(ret), (unsigned long long)(limit.rlim_cur >> 10));
}

BP_OPTION(option_overcommit, "overcommit", "what the guest may have more of than the host", .group = EXPERT,
          .arg = "[mem-lock=on|off][,cpu-pm=on|off]", .phase = BP_PHASE_MACHINE, .keys = overcommit_keys, .merge = true,
          .apply = apply_overcommit);

static int apply_set(struct bp_value *args, struct bp_error *err)
{
    return bpc_options_set(bp_value_as_string(args), err);
}
BP_OPTION(option_set, "set", "changes a key of an option that has an id", .arg = "group.id.arg=value",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .apply = apply_set);

static const char *const input_policies[] = {"accept", "reject", "crash", NULL};
static const char *const output_policies[] = {"accept", "hide", NULL};
static const struct bp_schema input_policy = {.name = "CompatPolicyInput", .kind = BP_KIND_ENUM,
                                              .choices = input_policies};
static const struct bp_schema output_policy = {.name = "CompatPolicyOutput", .kind = BP_KIND_ENUM,
                                               .choices = output_policies};
#define POLICY(NAME, SCHEMA, HELP) BP_ARG_TYPED(NAME, ENUM, SCHEMA, BP_FIELD_OPTIONAL, HELP)
static const struct bp_field compat_keys[] = {
    POLICY("deprecated-input", &input_policy, "commands and arguments that will go"),
    POLICY("deprecated-output", &output_policy, "results that will go"),
    POLICY("unstable-input", &input_policy, "commands and arguments that may change"),
    POLICY("unstable-output", &output_policy, "results that may change"),
    BP_FIELDS_END,
};

static unsigned policy(struct bp_value *args, const char *key, const char *const *names, unsigned now)
{
    const char *text = bp_value_get_string(args, key);

    for (unsigned i = 0; text && names[i]; i++) {
        if (strcmp(names[i], text) == 0)
            return i;
    }
    return now;
}

static int apply_compat(struct bp_value *args, struct bp_error *err)
{
    struct bpc_compat *c = &bpc_compat;

    (void)err;
    c->deprecated_input = policy(args, "deprecated-input", input_policies, c->deprecated_input);
    c->unstable_input = policy(args, "unstable-input", input_policies, c->unstable_input);
    c->hide_deprecated = policy(args, "deprecated-output", output_policies, c->hide_deprecated);
    c->hide_unstable = policy(args, "unstable-output", output_policies, c->hide_unstable);
    return 0;
}

BP_OPTION(option_compat, "compat", "what is done with deprecated and unstable interfaces of the machine protocol",
          .arg = "[deprecated-input=accept|reject|crash][,deprecated-output=accept|hide]"
                 "[,unstable-input=accept|reject|crash][,unstable-output=accept|hide]",
          .group = EXPERT, .phase = BP_PHASE_EARLY, .keys = compat_keys, .merge = true, .apply = apply_compat);

static const struct bp_field add_fd_keys[] = {
    BP_ARG("fd", INT64, "a descriptor that the program was started with"),
    BP_ARG("set", INT64, "number of the set"),
    BP_ARG_OPT("opaque", STRING, "text that describes it (query-fdsets)"),
    BP_FIELDS_END,
};

static int apply_add_fd(struct bp_value *args, struct bp_error *err)
{
    int64_t fd = bp_value_as_int(bp_value_get(args, "fd")), set = bp_value_as_int(bp_value_get(args, "set"));
    int copy, flags;

    if (fd < 0 || fd > INT_MAX)
        return bp_fail(err, EINVAL, "key 'fd': there are no such descriptors");
    if (fd <= STDERR_FILENO)
        return bp_fail(err, EINVAL, "key 'fd': standard input, output and error cannot be in a set");
    if (set < 0)
        return bp_fail(err, EINVAL, "key 'set': accepted: 0 and more");
    flags = fcntl((int)fd, F_GETFD);
    if (flags < 0 || flags & FD_CLOEXEC) /* what has that flag we have opened ourselves */
        return bp_fail(err, EBADF, "key 'fd': descriptor %lld is not open", (long long)fd);
    copy = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return bp_fail(err, errno, "key 'fd': %s", strerror(errno));
    set = bpc_fdset_add(set, copy, bp_value_get_string(args, "opaque"), err);
    return set < 0 ? (int)set : 0;
}

BP_OPTION(option_add_fd, "add-fd", "adds a descriptor to a set, for files named /dev/fdset/SET",
          .arg = "fd=fd,set=set[,opaque=opaque]", .group = "Standard options", .phase = BP_PHASE_EARLY,
          .keys = add_fd_keys, .apply = apply_add_fd);

/* Read while the command line is parsed, where it stands. */
BP_OPTION(option_readconfig, "readconfig", "reads options from a configuration file",
          .arg = "file", .group = EXPERT, .phase = BP_PHASE_EARLY);
/* Looked for before the command line is parsed. */
BP_OPTION(option_no_user_config, "no-user-config", "does not read " BPC_USER_CONFIG ", which is as for -readconfig",
          .group = EXPERT, .phase = BP_PHASE_EARLY);
/* These end the parsing; they stand here to be listed. */
BP_OPTION(option_h, "h", "shows this help", .alias = "help", .group = "Standard options",
          .phase = BP_PHASE_EARLY);
BP_OPTION(option_help_json, "help-json",
          "shows all there is (options, devices, commands, ...) for programs, as JSON",
          .group = "Standard options", .phase = BP_PHASE_EARLY);
BP_OPTION(option_version, "version", "shows the version", .group = "Standard options",
          .phase = BP_PHASE_EARLY);

const struct bp_option *const bpc_process_options[] = {
    &option_h, &option_help_json, &option_version, &option_name, &option_msg, &option_d, &option_seed, &option_log_file,
    &option_data_dir, &option_pidfile, &option_daemonize, &option_readconfig,
    &option_no_user_config, &option_sync_profile, &option_add_fd, &option_compat, &option_dfilter, &option_set,
    &option_overcommit, NULL,
};
