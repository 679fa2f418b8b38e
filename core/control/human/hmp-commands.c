/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Monitor commands that do something: help, run state, devices, objects. */
#include <string.h>

#include "command.h"
#include "hmp.h"
#include "keyval.h"
#include "log.h"
#include "machine.h"

#define HMP(IDENT, NAME, PARAMS, SUMMARY, ARGS, FN) \
    static const struct bp_hmp_command IDENT = {sizeof(struct bp_hmp_command), NAME, PARAMS, \
                                                SUMMARY, ARGS, FN, {NULL, NULL}}

static const struct bp_field help_args[] = {
    {.name = "name", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED},
    BP_FIELDS_END,
};

static void do_help(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_help(mon, bp_value_get_string(args, "name"));
}
HMP(hmp_help, "help", "[cmd]", "show the help", help_args, do_help);

#define PLAIN(IDENT, NAME, QMP, SUMMARY) \
    static void do_##IDENT(struct bp_monitor *mon, struct bp_value *args) \
    { \
        bpc_hmp_qmp(mon, QMP, args); \
    } \
    HMP(hmp_##IDENT, NAME, "", SUMMARY, NULL, do_##IDENT)
PLAIN(stop, "stop", "stop", "stop emulation");
PLAIN(cont, "cont", "cont", "resume emulation");
PLAIN(quit, "quit", "quit", "quit the emulator");
PLAIN(reset, "system_reset", "system_reset", "reset the system");
PLAIN(powerdown, "system_powerdown", "system_powerdown", "send system power down event");
PLAIN(wakeup, "system_wakeup", "system_wakeup", "wakeup guest from suspend");
PLAIN(nmi, "nmi", "inject-nmi", "inject an NMI");

static const struct bp_field watchdog_args[] = {
    BP_ARG("action", STRING, "reset, shutdown, poweroff, pause, debug, none or inject-nmi"),
    BP_FIELDS_END,
};

static void do_watchdog(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_qmp(mon, "watchdog-set-action", args);
}
HMP(hmp_watchdog, "watchdog_action", "action", "change watchdog action", watchdog_args, do_watchdog);

/* ---- devices and objects: option text becomes the QMP command's arguments ---- */

static void run_with_text(struct bp_monitor *mon, const char *qmp, const char *implied,
                          const char *text)
{
    const struct bpc_keyval_syntax syntax = {NULL, implied, true};
    struct bp_value *dict;
    struct bp_error err = {0};
    bool help;

    if (bpc_keyval_parse(text, &syntax, &dict, &help, &err) < 0) {
        bpc_hmp_error(mon, &err);
        return;
    }
    if (help)
        bp_monitor_printf(mon, "Use the command-line option with help for a list\n");
    else
        bpc_hmp_qmp(mon, qmp, dict);
    bp_value_unref(dict);
}

static const struct bp_field text_args[] = {
    {.name = "text", .kind = BP_KIND_STRING, .flags = BP_FIELD_REPEATED}, BP_FIELDS_END,
};
static const struct bp_field id_args[] = {
    BP_ARG("id", STRING, "id"), BP_FIELDS_END,
};

static void do_device_add(struct bp_monitor *mon, struct bp_value *args)
{
    run_with_text(mon, "device_add", "driver", bp_value_get_string(args, "text"));
}
HMP(hmp_device_add, "device_add", "driver[,prop=value][,...]", "add device, like -device on the "
    "command line", text_args, do_device_add);

static void do_device_del(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_qmp(mon, "device_del", args);
}
HMP(hmp_device_del, "device_del", "device", "remove device", id_args, do_device_del);

static void do_object_add(struct bp_monitor *mon, struct bp_value *args)
{
    run_with_text(mon, "object-add", "qom-type", bp_value_get_string(args, "text"));
}
HMP(hmp_object_add, "object_add", "[qom-type=]type,id=str[,prop=value][,...]", "create object",
    text_args, do_object_add);

static void do_object_del(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_qmp(mon, "object-del", args);
}
HMP(hmp_object_del, "object_del", "id", "destroy object", id_args, do_object_del);

/* ---- the object tree ---- */

static const struct bp_field path_args[] = {
    BP_ARG_OPT("path", STRING, "path in the object tree"), BP_FIELDS_END,
};

static void do_qom_list(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *list;

    if (!bp_value_has(args, "path"))
        bp_value_set(args, "path", bp_value_string("/"));
    list = bpc_hmp_ask(mon, "qom-list", args);
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *entry = bp_value_at(list, i);

        bp_monitor_printf(mon, "%s (%s)\n", bp_value_get_string(entry, "name"),
                          bp_value_get_string(entry, "type"));
    }
    bp_value_unref(list);
}
HMP(hmp_qom_list, "qom-list", "[path]", "list children and properties of an object", path_args,
    do_qom_list);

static const struct bp_field property_args[] = {
    BP_ARG("path", STRING, "path in the object tree"), BP_ARG("property", STRING, "name of a property"),
    BP_FIELDS_END,
};

static void do_qom_get(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *value = bpc_hmp_ask(mon, "qom-get", args);
    char *text;

    if (!value)
        return;
    text = bp_value_print(value, true);
    bp_monitor_printf(mon, "%s\n", text);
    free(text);
    bp_value_unref(value);
}
HMP(hmp_qom_get, "qom-get", "path property", "show the value of an object's property", property_args,
    do_qom_get);

static const struct bp_field value_args[] = {
    BP_ARG("path", STRING, "path in the object tree"), BP_ARG("property", STRING, "name of a property"),
    {.name = "value", .kind = BP_KIND_STRING, .flags = BP_FIELD_REPEATED,
     .help = "JSON, or a text"},
    BP_FIELDS_END,
};

static void do_qom_set(struct bp_monitor *mon, struct bp_value *args)
{
    const char *text = bp_value_get_string(args, "value");
    struct bp_value *value;

    if (text && bp_value_parse(text, strlen(text), &value, NULL) == 0)
        bp_value_set(args, "value", value);
    bpc_hmp_qmp(mon, "qom-set", args);
}
HMP(hmp_qom_set, "qom-set", "path property value", "change an object's property", value_args,
    do_qom_set);

/* ---- cpu, log ---- */

static const struct bp_field cpu_args[] = {
    BP_ARG("index", UINT32, "index"), BP_FIELDS_END,
};

static void do_cpu(struct bp_monitor *mon, struct bp_value *args)
{
    unsigned index = (unsigned)bp_value_as_uint(bp_value_get(args, "index"));

    if (bp_machine_cpu(bpc_the_machine, index))
        mon->cpu_index = index;
    else
        bp_monitor_printf(mon, "invalid CPU index\n");
}
HMP(hmp_cpu, "cpu", "index", "set the default CPU", cpu_args, do_cpu);

static const struct bp_field log_args[] = {
    BP_ARG("items", STRING, "items"), BP_FIELDS_END,
};

static void do_log(struct bp_monitor *mon, struct bp_value *args)
{
    const char *items = bp_value_get_string(args, "items");
    struct bp_error err = {0};
    uint32_t mask = 0;

    if (strcmp(items, "none") != 0 && bpc_log_parse(items, &mask, &err) < 0) {
        bpc_hmp_error(mon, &err);
        return;
    }
    bpc_log_set(mask);
    bpc_log_code_prepare();
}
HMP(hmp_log, "log", "item1[,...]", "activate logging of the specified items ('none': stop it)",
    log_args, do_log);

const struct bp_hmp_command *const bpc_hmp_commands[] = {
    &hmp_help, &hmp_stop, &hmp_cont, &hmp_quit, &hmp_reset, &hmp_powerdown, &hmp_wakeup, &hmp_nmi, &hmp_watchdog,
            &hmp_device_add,
    &hmp_device_del, &hmp_object_add, &hmp_object_del, &hmp_qom_list, &hmp_qom_get,
    &hmp_qom_set, &hmp_cpu, &hmp_log, NULL,
};
