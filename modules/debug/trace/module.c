/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -trace, and trace points in the monitors (docs/tracing.md). [main] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/log.h>
#include <bp/option.h>

#include "trace.h"

#define MAX_LINE 256u /* bytes of an events file's line */

/* ---- patterns ---- */

/* "PATTERN" or "-PATTERN"; one that matches nothing is told, and stands: a module may come. */
static int enable(const char *pattern, struct bp_error *err)
{
    bool on = *pattern != '-';
    int ret;

    pattern += !on;
    ret = bp_trace_enable(pattern, on, err);
    if (ret == 0 && bp_trace_each(pattern, NULL, NULL) == 0)
        bp_warn("-trace: no trace point matches '%s'; -trace help lists them", pattern);
    return ret;
}

static int read_events(const char *path, struct bp_error *err)
{
    FILE *events = fopen(path, "re");
    char line[MAX_LINE];
    unsigned number = 0;
    int ret = 0;

    if (!events)
        return bp_fail(err, errno, "cannot open events file '%s': %s", path, strerror(errno));
    while (ret == 0 && fgets(line, sizeof(line), events)) {
        char *name = line + strspn(line, " \t");
        size_t length = strcspn(name, "\r\n");

        number++;
        if (strlen(line) == sizeof(line) - 1 && line[sizeof(line) - 2] != '\n') {
            ret = bp_fail(err, EINVAL, "events file '%s', line %u is too long: one name or pattern stands on a line",
                          path, number);
            break;
        }
        while (length && (name[length - 1] == ' ' || name[length - 1] == '\t'))
            length--;
        name[length] = '\0';
        if (!*name || *name == '#')
            continue;
        ret = enable(name, err);
        if (ret < 0)
            bp_error_prefix(err, "events file '%s', line %u", path, number);
    }
    if (ret == 0 && ferror(events))
        ret = bp_fail(err, EIO, "cannot read events file '%s'", path);
    fclose(events);
    return ret;
}

/* ---- the option ---- */

static const char *const backends[] = {[TRACE_LOG] = "log", [TRACE_SIMPLE] = "simple", [TRACE_FTRACE] = "ftrace", NULL};
static const struct bp_schema backend_schema = {.name = "TraceBackend", .kind = BP_KIND_ENUM, .choices = backends};
static const struct bp_field keys[] = {
    BP_ARG_OPT("enable", STRING, "name or pattern of points that are on ('-' before it: off)"),
    BP_ARG_OPT("events", STRING, "file of such, one on a line"),
    BP_ARG_OPT("file", STRING, "binary file to write to (backend simple)"),
    BP_ARG_TYPED("backend", ENUM, &backend_schema, BP_FIELD_OPTIONAL,
                 "where points go (default: simple with file=, else log); several -trace add up"),
    BP_FIELDS_END,
};

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *pattern = bp_value_get_string(args, "enable"), *events = bp_value_get_string(args, "events");
    const char *path = bp_value_get_string(args, "file"), *backend = bp_value_get_string(args, "backend");
    int ret = 0, which = TRACE_LOG;

    for (int i = 0; backend && backends[i]; i++)
        if (strcmp(backend, backends[i]) == 0)
            which = i;
    if (path && backend && which != TRACE_SIMPLE)
        return bp_fail(err, EINVAL, "file= goes with backend=simple, not with backend=%s", backend);
    if (path) {
        which = TRACE_SIMPLE;
        ret = output_set_file(path, err);
    }
    if (ret == 0 && (backend || path))
        ret = output_use((enum trace_backend)which, err);
    if (ret == 0 && events)
        ret = read_events(events, err);
    if (ret == 0 && pattern)
        ret = enable(pattern, err);
    return ret;
}

static void print_name(const char *name, const char *format, void *opaque)
{
    (void)format, (void)opaque;
    puts(name);
}

static int show_help(struct bp_value *args, struct bp_error *err)
{
    (void)args, (void)err;
    bp_trace_each(NULL, print_name, NULL);
    return 0;
}

BP_OPTION(trace_option, "trace", "enables trace points (-trace help lists them)",
          .arg = "[[enable=]pattern][,events=file][,file=file][,backend=log|simple|ftrace]",
          .group = "Debug and expert options", .phase = BP_PHASE_EARLY, .keys = keys, .implied = "enable",
          .own_help = true, .apply = apply, .show_help = show_help);

/* ---- QMP ---- */

static const char *const states[] = {"unavailable", "disabled", "enabled", NULL};
static const struct bp_schema state_schema = {.name = "TraceEventState", .kind = BP_KIND_ENUM, .choices = states};
static const struct bp_field info_members[] = {
    BP_ARG("name", STRING, "name of the point"),
    BP_ARG_TYPED("state", ENUM, &state_schema, 0, "whether it is on"),
    BP_ARG("vcpu", BOOL, "whether each processor has one of its own: never"),
    BP_FIELDS_END,
};
static const struct bp_schema info = {.name = "TraceEventInfo", .kind = BP_KIND_STRUCT, .members = info_members};
static const struct bp_schema info_list = {.name = "TraceEventInfoList", .kind = BP_KIND_LIST,
                                           .element_kind = BP_KIND_STRUCT, .element = &info};
static const struct bp_field get_args[] = {
    BP_ARG("name", STRING, "name or pattern"),
    BP_ARG_OPT("vcpu", INT64, "processor; points are not of processors"),
    BP_FIELDS_END,
};
static const struct bp_field set_args[] = {
    BP_ARG("name", STRING, "name or pattern"),
    BP_ARG("enable", BOOL, "on or off"),
    BP_ARG_OPT("ignore-unavailable", BOOL, "no error for points that cannot be on; all can"),
    BP_ARG_OPT("vcpu", INT64, "processor; points are not of processors"),
    BP_FIELDS_END,
};

static int no_vcpu(bool has, struct bp_error *err)
{
    return has ? bp_fail(err, EINVAL, "trace points are not of one processor: leave 'vcpu' out") : 0;
}

static bool is_pattern(const char *name)
{
    return strpbrk(name, "*?") != NULL;
}

static int unknown(const char *name, struct bp_error *err)
{
    return bp_fail(err, ENOENT, "there is no trace point \"%.128s\"; `info trace-events` lists them", name);
}

static void add_state(const char *name, const char *format, void *opaque)
{
    struct bp_value *entry = bp_value_dict();

    (void)format;
    bp_value_set(entry, "name", bp_value_string(name));
    bp_value_set(entry, "state", bp_value_string(bp_trace_enabled(name) ? "enabled" : "disabled"));
    bp_value_set(entry, "vcpu", bp_value_bool(false));
    bp_value_append(opaque, entry);
}

static int get_state(const char *name, bool has_vcpu, int64_t vcpu, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list;
    int ret = no_vcpu(has_vcpu, err);

    (void)vcpu;
    if (ret < 0)
        return ret;
    list = bp_value_list();
    if (bp_trace_each(name, add_state, list) == 0 && !is_pattern(name)) {
        bp_value_unref(list);
        return unknown(name, err);
    }
    *ret_value = list;
    return 0;
}

static int set_state(const char *name, bool enable_it, bool has_ignore, bool ignore, bool has_vcpu, int64_t vcpu,
                     struct bp_error *err)
{
    int ret = no_vcpu(has_vcpu, err);

    (void)has_ignore, (void)ignore, (void)vcpu;
    if (ret < 0)
        return ret;
    if (bp_trace_each(name, NULL, NULL) == 0 && !is_pattern(name))
        return unknown(name, err);
    return bp_trace_enable(name, enable_it, err);
}

BP_COMMAND(qmp_get, "trace-event-get-state", "Which trace points are on", get_args, LIST, &info_list, get_state, 0);
BP_COMMAND(qmp_set, "trace-event-set-state", "Switches trace points on or off", set_args, NONE, NULL, set_state, 0);

/* ---- the human monitor ---- */

static const struct bp_field event_args[] = {
    BP_ARG("name", STRING, "name or pattern"),
    BP_ARG("option", BOOL, "on or off"),
    BP_FIELDS_END,
};
static const struct bp_field info_args[] = {BP_ARG_OPT("name", STRING, "name or pattern"), BP_FIELDS_END};
static const struct bp_field file_args[] = {
    BP_ARG_OPT("op", STRING, "on, off, flush or set"),
    BP_ARG_OPT("arg", STRING, "file, for set"),
    BP_FIELDS_END,
};

static void do_event(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};

    if (set_state(bp_value_get_string(args, "name"), bp_value_as_bool(bp_value_get(args, "option")), false, false,
                  false, 0, &err) < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}

static void print_state(const char *name, const char *format, void *opaque)
{
    (void)format;
    bp_monitor_printf(opaque, "%s : state %u\n", name, bp_trace_enabled(name) ? 1u : 0u);
}

static void info_events(struct bp_monitor *mon, struct bp_value *args)
{
    bp_trace_each(bp_value_get_string(args, "name"), print_state, mon);
}

static void do_file(struct bp_monitor *mon, struct bp_value *args)
{
    const char *op = bp_value_get_string(args, "op"), *path = bp_value_get_string(args, "arg");
    struct bp_error err = {0};
    int ret = 0;

    if (!op) {
        bp_monitor_printf(mon, "Trace file \"%s\" %s.\n", output_file() ? output_file() : "",
                          output_file_on() ? "on" : "off");
    } else if (strcmp(op, "set") == 0 && path) {
        ret = output_set_file(path, &err);
        if (ret == 0)
            ret = output_use(TRACE_SIMPLE, &err);
    } else if (strcmp(op, "on") == 0 || strcmp(op, "off") == 0) {
        if (output_file())
            output_switch_file(strcmp(op, "on") == 0);
        else
            ret = bp_fail(&err, ENOENT, "there is no trace file: trace-file set FILE names one");
    } else if (strcmp(op, "flush") == 0) {
        ret = output_flush(&err);
    } else {
        ret = bp_fail(&err, EINVAL, "trace-file takes on, off, flush or set FILE");
    }
    if (ret < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}

BP_HMP(hmp_event, "trace-event", "name on|off", "switches trace points on or off", event_args, do_event);
BP_HMP(hmp_file, "trace-file", "[on|off|flush|set file]", "the file that trace points go to", file_args, do_file);
BP_HMP(hmp_info, "info trace-events", "[name]", "show trace points and whether they are on", info_args, info_events);

BP_MODULE_WITH_FINI("debug-trace", "Trace points: option, commands and where they go", BP_NO_IMPORTS, NULL,
                    output_close,
                    {BP_PROVIDE_OPTION, &trace_option}, {BP_PROVIDE_COMMAND, &qmp_get},
                    {BP_PROVIDE_COMMAND, &qmp_set}, {BP_PROVIDE_HMP, &hmp_event}, {BP_PROVIDE_HMP, &hmp_file},
                    {BP_PROVIDE_HMP, &hmp_info});
