/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev`: interface chardev/1, options -chardev and -echr, and the QMP and monitor
 * commands.
 */
#include <bp/command.h>
#include <bp/option.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"

/* ---- interface ---- */

static void *iface_state(struct bp_chardev *chr)
{
    return bp_object_state(chardev_behind(chr)->obj);
}

static struct bp_chardev *iface_of_state(void *state)
{
    return chardev_from_object(bp_object_of_state(state));
}

static void iface_set_echo(struct bp_chardev *chr, bool echo)
{
    chr = chardev_behind(chr);
    if (chr->class->set_echo)
        chr->class->set_echo(chr, echo);
}

static bool iface_is_open(struct bp_chardev *chr)
{
    return chardev_behind(chr)->open;
}

static void iface_received_fds(struct bp_chardev *chr, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (chr->fd_count < MAX_FDS)
            chr->fds[chr->fd_count++] = fds[i];
        else
            close(fds[i]);
    }
}

static int iface_take_fd(struct bp_chardev *chr)
{
    int fd;

    chr = chardev_behind(chr);
    if (chr->fd_count == 0)
        return -1;
    fd = chr->fds[0];
    memmove(chr->fds, chr->fds + 1, --chr->fd_count * sizeof(chr->fds[0]));
    return fd;
}

static int iface_unix_socket(struct bp_chardev *chr, int *ret_fd)
{
    chr = chardev_behind(chr);
    return chr->class->unix_socket ? chr->class->unix_socket(chr, ret_fd) : -ENOTSUP;
}

static const struct bp_chardev_interface table = {
    .size = sizeof(table), .from_object = chardev_from_object, .find = chardev_find,
    .connect = front_connect, .disconnect = front_disconnect, .write = front_write,
    .accept_input = front_accept_input, .ioctl = chardev_ioctl, .set_echo = iface_set_echo,
    .is_open = iface_is_open, .create = create_from_args, .create_legacy = create_legacy,
    .remove = chardev_remove, .state = iface_state, .of_state = iface_of_state,
    .can_read = back_can_read, .received = back_received, .opened = back_opened,
    .closed = back_closed, .writable = back_writable, .received_fds = iface_received_fds,
    .take_fd = iface_take_fd, .terminal_raw = terminal_raw, .terminal_restore = terminal_restore,
    .received_break = back_break, .leave_hint = mux_leave_hint, .unix_socket = iface_unix_socket,
    .set_front_open = front_set_open,
};
BP_INTERFACE(chardev_interface, "chardev", 1, 1, &table);

/* ---- options ---- */

static int apply_chardev(struct bp_value *args, struct bp_error *err)
{
    struct bp_chardev *chr;

    return create_from_args(args, &chr, err);
}

static const struct bp_field chardev_keys[] = {
    BP_ARG_OPT("backend", STRING, "name of the back end; help lists them"),
    BP_ARG_OPT("id", STRING, "name by which others refer to it"),
    BP_ARG_OPT("mux", BOOL, "several front ends share it, switched with the escape key"),
    BP_ARG_OPT("logfile", STRING, "file that gets a copy of all output"),
    BP_ARG_OPT("logappend", BOOL, "append to the log file"),
    BP_FIELDS_END};
BP_OPTION(chardev_option, "chardev", "make a character device", .phase = BP_PHASE_CHARDEV,
          .arg = "backend,id=ID[,mux=on|off][,logfile=PATH][,logappend=on|off][,KEY=VALUE...]",
          .group = "Character devices", .keys = chardev_keys, .implied = "backend",
          .any_keys = true, .apply = apply_chardev);

static int apply_echr(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_as_string(args);

    return mux_set_escape(text ? text : "", err);
}
BP_OPTION(echr_option, "echr", "set the multiplexer's escape character instead of Ctrl-a",
          .phase = BP_PHASE_EARLY, .arg = "CODE", .group = "Character devices",
          .apply = apply_echr);

/* ---- commands ---- */

static const struct bp_field id_args[] = {BP_ARG("id", STRING, "name of the chardev"),
                                          BP_FIELDS_END};
static const struct bp_field add_args[] = {
    BP_ARG("id", STRING, "name of the new chardev"),
    BP_ARG_TYPED("backend", UNION, &qmp_backend_schema, 0, "what carries the bytes"),
    BP_FIELDS_END};
static const struct bp_field return_members[] = {
    BP_ARG_OPT("pty", STRING, "path of a pty's other side"), BP_FIELDS_END};
static const struct bp_schema return_schema = {"ChardevReturn", BP_KIND_STRUCT,
                                               .members = return_members};
static const struct bp_field info_members[] = {
    BP_ARG("label", STRING, "name"), BP_ARG("filename", STRING, "what it is connected to"),
    BP_ARG("frontend-open", BOOL, "something uses it"), BP_FIELDS_END};
static const struct bp_schema info_schema = {"ChardevInfo", BP_KIND_STRUCT,
                                             .members = info_members};
static const struct bp_schema info_list = {"ChardevInfoList", BP_KIND_LIST,
                                           .element_kind = BP_KIND_STRUCT, .element = &info_schema};
static const struct bp_field name_members[] = {BP_ARG("name", STRING, "back end"), BP_FIELDS_END};
static const struct bp_schema name_schema = {"ChardevBackendInfo", BP_KIND_STRUCT,
                                             .members = name_members};
static const struct bp_schema name_list = {"ChardevBackendInfoList", BP_KIND_LIST,
                                           .element_kind = BP_KIND_STRUCT, .element = &name_schema};

BP_COMMAND(cmd_add, "chardev-add", "make a character device", add_args, STRUCT, &return_schema,
           qmp_chardev_add, 0);
BP_COMMAND(cmd_change, "chardev-change", "put another back end in a character device's place", add_args, STRUCT,
           &return_schema, qmp_chardev_change, 0);
BP_COMMAND(cmd_remove, "chardev-remove", "remove a character device", id_args, NONE, NULL,
           qmp_chardev_remove, 0);
BP_COMMAND(cmd_query, "query-chardev", "list the character devices", NULL, LIST, &info_list,
           qmp_query_chardev, BP_COMMAND_PRECONFIG);
BP_COMMAND(cmd_backends, "query-chardev-backends", "list the kinds of character devices", NULL,
           LIST, &name_list, qmp_query_backends, BP_COMMAND_PRECONFIG);
BP_COMMAND(cmd_break, "chardev-send-break", "send a break to a character device's user", id_args,
           NONE, NULL, qmp_send_break, 0);

static void hmp_info(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (struct bp_chardev *chr = chardev_all; chr; chr = chr->next) {
        char *name = chardev_filename(chr);

        bp_monitor_printf(mon, "%s: filename=%s\n", chr->id, name);
        free(name);
    }
}

static void hmp_report(struct bp_monitor *mon, int r, const struct bp_error *err)
{
    if (r < 0)
        bp_monitor_printf(mon, "Error: %s\n", err->message);
}

static void hmp_add(struct bp_monitor *mon, struct bp_value *args)
{
    const char *text = bp_value_get_string(args, "args");
    struct bp_value *dict = bp_value_dict();
    struct bp_error err = {0};
    struct bp_chardev *chr;
    int r = create_parse(text ? text : "", "backend", dict, &err);

    if (r == 0)
        r = create_from_args(dict, &chr, &err);
    bp_value_unref(dict);
    hmp_report(mon, r, &err);
}

static void hmp_change(struct bp_monitor *mon, struct bp_value *args)
{
    const char *id = bp_value_get_string(args, "id"), *text = bp_value_get_string(args, "args");
    struct bp_value *dict = bp_value_dict();
    struct bp_error err = {0};
    int r = create_parse(text ? text : "", "backend", dict, &err);

    if (r == 0)
        r = create_change(id ? id : "", dict, &err);
    bp_value_unref(dict);
    hmp_report(mon, r, &err);
}

static void hmp_remove(struct bp_monitor *mon, struct bp_value *args)
{
    const char *id = bp_value_get_string(args, "id");
    struct bp_error err = {0};

    hmp_report(mon, chardev_remove(id ? id : "", &err), &err);
}

static void hmp_break(struct bp_monitor *mon, struct bp_value *args)
{
    const char *id = bp_value_get_string(args, "id");
    struct bp_error err = {0};

    hmp_report(mon, qmp_send_break(id ? id : "", &err), &err);
}

static const struct bp_field text_args[] = {BP_ARG("args", STRING, "as for -chardev"),
                                            BP_FIELDS_END};
BP_HMP(hmp_cmd_info, "info chardev", "", "show the character devices", NULL, hmp_info);
BP_HMP(hmp_cmd_add, "chardev-add", "args", "add a character device", text_args, hmp_add);
static const struct bp_field change_args[] = {BP_ARG("id", STRING, "name of the chardev"),
                                              BP_ARG("args", STRING, "as for -chardev"), BP_FIELDS_END};
BP_HMP(hmp_cmd_change, "chardev-change", "id args", "put another back end in a character device's place", change_args,
       hmp_change);
BP_HMP(hmp_cmd_remove, "chardev-remove", "id", "remove a character device", id_args, hmp_remove);
BP_HMP(hmp_cmd_break, "chardev-send-break", "id", "send a break to a character device's user",
       id_args, hmp_break);

BP_DECLARE_KIND("chardev", "Character devices");
BP_MODULE_WITH_INIT("chardev", "Character devices", BP_NO_IMPORTS, chardev_init,
                    {BP_PROVIDE_KIND, &chardev_kind},
                    {BP_PROVIDE_INTERFACE, &chardev_interface},
                    {BP_PROVIDE_OPTION, &chardev_option}, {BP_PROVIDE_OPTION, &echr_option},
                    {BP_PROVIDE_COMMAND, &cmd_add}, {BP_PROVIDE_COMMAND, &cmd_change},
                    {BP_PROVIDE_COMMAND, &cmd_remove},
                    {BP_PROVIDE_COMMAND, &cmd_query}, {BP_PROVIDE_COMMAND, &cmd_backends},
                    {BP_PROVIDE_COMMAND, &cmd_break}, {BP_PROVIDE_HMP, &hmp_cmd_info},
                    {BP_PROVIDE_HMP, &hmp_cmd_add}, {BP_PROVIDE_HMP, &hmp_cmd_change},
                    {BP_PROVIDE_HMP, &hmp_cmd_remove},
                    {BP_PROVIDE_HMP, &hmp_cmd_break});
