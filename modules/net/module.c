/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `net`: interface net/1, the options -netdev, -nic and -net, QMP and monitor commands. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/option.h>

#include "net.h"

#define GROUP "Networks"
/* After chardevs, before objects: filters find their netdev. */
#define PHASE_NETDEV ((enum bp_option_phase)25)
#define PHASE_NIC ((enum bp_option_phase)26)
#define PHASE_NET ((enum bp_option_phase)27)

BP_INTERFACE(net_interface, "net", 1, 1, &net_table);

/* ---- options ---- */

static int apply_netdev(struct bp_value *args, struct bp_error *err)
{
    struct bp_netdev *nd;

    requests_note_netdev();
    return netdev_create(args, &nd, err);
}

#define REPEATED_KEY(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_LIST, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED, .help = HELP, \
     .schema = &any_list}
static const struct bp_schema any_list = {"StringList", BP_KIND_LIST, .element_kind = BP_KIND_ANY};
#define LISTS \
    REPEATED_KEY("hostfwd", "user: a port of the host that leads to the guest"), \
    REPEATED_KEY("guestfwd", "user: an address that leads to a chardev or a program"), \
    REPEATED_KEY("dnssearch", "user: a domain to look names up in")

static const struct bp_field netdev_keys[] = {
    BP_ARG_OPT("type", STRING, "kind of back end; help lists them"),
    BP_ARG_OPT("id", STRING, "name by which others refer to it"), LISTS, BP_FIELDS_END};
BP_OPTION(netdev_option, "netdev", "make a network back end", .phase = PHASE_NETDEV,
          .arg = "[type=]TYPE,id=ID[,KEY=VALUE...]", .group = GROUP, .keys = netdev_keys,
          .implied = "type", .any_keys = true, .apply = apply_netdev);

static const struct bp_field nic_keys[] = {
    BP_ARG_OPT("type", STRING, "kind of back end (default: user), or none"),
    BP_ARG_OPT("model", STRING, "kind of NIC (default: the board's); help lists them"),
    BP_ARG_OPT("mac", STRING, "hardware address"),
    BP_ARG_OPT("netdev", STRING, "a netdev that there is, instead of a new one"),
    BP_ARG_OPT("id", STRING, "name of the back end"), LISTS, BP_FIELDS_END};
BP_OPTION(nic_option, "nic", "make a NIC and its back end, or none at all", .phase = PHASE_NIC,
          .arg = "TYPE|none[,model=MODEL][,mac=ADDRESS][,KEY=VALUE...]", .group = GROUP,
          .keys = nic_keys, .implied = "type", .any_keys = true, .apply = request_nic);

static const struct bp_field net_keys[] = {
    BP_ARG_OPT("type", STRING, "nic, none, or a kind of back end"),
    BP_ARG_OPT("netdev", STRING, "nic: a netdev to connect to, instead of hub 0"),
    BP_ARG_OPT("macaddr", STRING, "nic: hardware address"),
    BP_ARG_OPT("model", STRING, "nic: its kind; help lists them"),
    BP_ARG_OPT("name", STRING, "for use in the monitor"),
    BP_ARG_OPT("addr", STRING, "nic: place on its bus"),
    BP_ARG_OPT("vectors", STRING, "nic: vectors of MSI-X"), LISTS, BP_FIELDS_END};
BP_OPTION(net_option, "net", "make a NIC or a back end, and connect it to hub 0", .phase = PHASE_NET,
          .arg = "nic|none|TYPE[,KEY=VALUE...]", .group = GROUP, .keys = net_keys, .implied = "type",
          .any_keys = true, .apply = request_legacy);

/* ---- commands ---- */

static int qmp_netdev_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_netdev *nd;
    int r = netdev_create(args, &nd, err);

    if (r == 0)
        *ret_value = bp_value_dict();
    return r;
}

static int qmp_netdev_del(const char *id, struct bp_error *err)
{
    return netdev_remove(id, err);
}

static int set_link(const char *name, bool up, struct bp_error *err)
{
    struct bp_netdev *nd = netdev_find(name);
    struct bp_nic *nic = nic_all;

    while (nic && strcmp(nic->name, name) != 0)
        nic = nic->next;
    if (!nd && !nic)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "Device '%s' not found", name);
    if (nd) {
        nd->port.pulled = !up;
        port_update_link(&nd->port);
    }
    if (nic) {
        nic->port.pulled = !up;
        port_update_link(&nic->port);
    }
    return 0;
}

static int qmp_announce_self(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    int r = announce_self(args, err);

    if (r == 0)
        *ret_value = bp_value_dict();
    return r;
}

static const struct bp_field add_args[] = {
    BP_ARG("type", STRING, "kind of back end"), BP_ARG("id", STRING, "name of the new netdev"),
    BP_FIELDS_END};
static const struct bp_field del_args[] = {BP_ARG("id", STRING, "name of the netdev"), BP_FIELDS_END};
static const struct bp_field link_args[] = {
    BP_ARG("name", STRING, "of a netdev or a NIC"), BP_ARG("up", BOOL, "is its cable in"),
    BP_FIELDS_END};
static const struct bp_schema name_list = {"NameList", BP_KIND_LIST, .element_kind = BP_KIND_STRING};
static const struct bp_field announce_args[] = {
    BP_ARG("initial", INT64, "milliseconds before the second round"),
    BP_ARG("max", INT64, "most milliseconds between rounds"),
    BP_ARG("rounds", INT64, "how many times"), BP_ARG("step", INT64, "milliseconds more for each round"),
    BP_ARG_TYPED("interfaces", LIST, &name_list, BP_FIELD_OPTIONAL, "names of NICs (default: all)"),
    BP_ARG_OPT("id", STRING, "name of these rounds: others of that name end"), BP_FIELDS_END};

BP_COMMAND(cmd_add, "netdev_add", "make a network back end", add_args, NONE, NULL, qmp_netdev_add,
           BP_COMMAND_RAW | BP_COMMAND_ANY_ARGS);
BP_COMMAND(cmd_del, "netdev_del", "remove a network back end", del_args, NONE, NULL, qmp_netdev_del, 0);
BP_COMMAND(cmd_link, "set_link", "pull a network cable, or put it in", link_args, NONE, NULL, set_link,
           0);
BP_COMMAND(cmd_announce, "announce-self", "tell switches where the guest is", announce_args, NONE, NULL,
           qmp_announce_self, BP_COMMAND_RAW);

/* ---- the monitor ---- */

static void report(struct bp_monitor *mon, int r, const struct bp_error *err)
{
    if (r < 0)
        bp_monitor_printf(mon, "Error: %s\n", err->message);
}

static void hmp_add(struct bp_monitor *mon, struct bp_value *args)
{
    const char *text = bp_value_get_string(args, "netdev");
    struct bp_value *dict = bp_value_dict();
    struct bp_error err = {0};
    struct bp_netdev *nd;
    int r = net_parse(text ? text : "", dict, &err);

    if (r == 0)
        r = netdev_create(dict, &nd, &err);
    bp_value_unref(dict);
    report(mon, r, &err);
}

static void hmp_del(struct bp_monitor *mon, struct bp_value *args)
{
    const char *id = bp_value_get_string(args, "id");
    struct bp_error err = {0};

    report(mon, netdev_remove(id ? id : "", &err), &err);
}

static void hmp_link(struct bp_monitor *mon, struct bp_value *args)
{
    const char *name = bp_value_get_string(args, "name");
    struct bp_error err = {0};

    report(mon, set_link(name ? name : "", bp_value_as_bool(bp_value_get(args, "up")), &err), &err);
}

static void hmp_announce(struct bp_monitor *mon, struct bp_value *args)
{
    const char *text = bp_value_get_string(args, "interfaces"), *id = bp_value_get_string(args, "id");
    struct bp_value *dict = bp_value_dict();
    struct bp_error err = {0};

    if (text && *text) {
        struct bp_value *names = bp_value_list();
        char *copy = bp_strdup(text), *rest = NULL;

        for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
            bp_value_append(names, bp_value_string(word));
        bp_value_set(dict, "interfaces", names);
        free(copy);
    }
    if (id)
        bp_value_set(dict, "id", bp_value_string(id));
    report(mon, announce_self(dict, &err), &err);
    bp_value_unref(dict);
}

static void print_end(struct bp_monitor *mon, const char *indent, const struct port *port)
{
    const struct bp_netdev *nd = port->self;
    const struct bp_nic *nic = port->self;
    char *text = NULL;

    if (port->is_nic) {
        const uint8_t *m = nic->guest_mac;

        bp_monitor_printf(mon, "%s%s: index=0,type=nic,model=%s,macaddr=%02x:%02x:%02x:%02x:%02x:%02x", indent,
                          nic->name, bp_object_type(bp_device_object(nic->dev)), m[0], m[1], m[2], m[3],
                          m[4], m[5]);
    } else {
        if (nd->class->info)
            text = nd->class->info((struct bp_netdev *)nd);
        bp_monitor_printf(mon, "%s%s: index=0,type=%s%s%s", indent, nd->id, netdev_type(nd),
                          text ? "," : "", text ? text : "");
        free(text);
    }
    bp_monitor_printf(mon, "%s\n", port_up(port) ? "" : " (link down)");
    if (port->dropped)
        bp_monitor_printf(mon, "%s  %llu packets dropped\n", indent, (unsigned long long)port->dropped);
}

static void hmp_info_network(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (struct bp_nic *nic = nic_all; nic; nic = nic->next) {
        print_end(mon, "", &nic->port);
        if (nic->port.peer)
            print_end(mon, " \\ ", nic->port.peer);
    }
    for (struct bp_netdev *nd = netdev_all; nd; nd = nd->next) {
        if (nd->port.peer && nd->port.peer->is_nic)
            ; /* shown above */
        else
            print_end(mon, "", &nd->port);
        for (struct bp_net_filter *f = nd->port.filters; f; f = f->next)
            bp_monitor_printf(mon, "  - %s: type=%s,netdev=%s,queue=%s,status=%s\n", bp_object_id(f->obj),
                              bp_object_type(f->obj), nd->id, bp_net_filter_queues[f->conf->queue],
                              f->conf->status ? "on" : "off");
    }
}

static const struct bp_field hmp_add_args[] = {
    BP_ARG("netdev", STRING, "as for -netdev"), BP_FIELDS_END};
static const struct bp_field hmp_announce_args[] = {
    BP_ARG_OPT("interfaces", STRING, "names of NICs, with commas"), BP_ARG_OPT("id", STRING, "of the rounds"),
    BP_FIELDS_END};
BP_HMP(hmp_netdev_add, "netdev_add", "TYPE,id=ID[,KEY=VALUE...]", "make a network back end", hmp_add_args,
       hmp_add);
BP_HMP(hmp_netdev_del, "netdev_del", "ID", "remove a network back end", del_args, hmp_del);
BP_HMP(hmp_set_link, "set_link", "NAME on|off", "pull a network cable, or put it in", link_args, hmp_link);
BP_HMP(hmp_announce_self, "announce_self", "[INTERFACES] [ID]", "tell switches where the guest is",
       hmp_announce_args, hmp_announce);
BP_HMP(hmp_network, "info network", NULL, "list NICs and network back ends", NULL, hmp_info_network);

static void end(void)
{
    announce_end();
    netdev_remove_all();
}

BP_DECLARE_KIND("netdev", "Network back ends");
BP_MODULE_WITH_FINI("net", "Networks", BP_NO_IMPORTS, NULL, end, {BP_PROVIDE_KIND, &netdev_kind},
                    {BP_PROVIDE_INTERFACE, &net_interface}, {BP_PROVIDE_OPTION, &netdev_option},
                    {BP_PROVIDE_OPTION, &nic_option}, {BP_PROVIDE_OPTION, &net_option},
                    {BP_PROVIDE_COMMAND, &cmd_add}, {BP_PROVIDE_COMMAND, &cmd_del},
                    {BP_PROVIDE_COMMAND, &cmd_link}, {BP_PROVIDE_COMMAND, &cmd_announce},
                    {BP_PROVIDE_HMP, &hmp_netdev_add}, {BP_PROVIDE_HMP, &hmp_netdev_del},
                    {BP_PROVIDE_HMP, &hmp_set_link}, {BP_PROVIDE_HMP, &hmp_announce_self},
                    {BP_PROVIDE_HMP, &hmp_network});
