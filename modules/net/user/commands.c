/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about forwards of user networks, and `info usernet`. [main] */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>

#include "user.h"

static struct user *find(const char *id, struct bp_error *err)
{
    struct user *s = user_all;

    if (!id) {
        if (!s || s->next) {
            bp_fail(err, EINVAL, s ? "there are several user networks: name one of them" : "there is no user network");
            return NULL;
        }
        return s;
    }
    while (s && strcmp(user_net->netdev_id(s->nd), id) != 0)
        s = s->next;
    if (!s)
        bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "there is no user network '%s'", id);
    return s;
}

static int qmp_add(const char *rule, const char *id, struct bp_value **ret_value, struct bp_error *err)
{
    struct user *s = find(id, err);
    unsigned port;
    int r = s ? forward_add(s, rule, &port, err) : -EINVAL;

    if (r < 0)
        return r;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "port", bp_value_int(port));
    return 0;
}

static int qmp_remove(const char *rule, const char *id, struct bp_error *err)
{
    struct user *s = find(id, err);

    return s ? forward_remove(s, rule, err) : -EINVAL;
}

static int qmp_query(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    for (struct user *s = user_all; s; s = s->next)
        forward_list(s, *ret_value);
    return 0;
}

static const struct bp_field rule_args[] = {
    BP_ARG("rule", STRING, "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"),
    BP_ARG_OPT("netdev", STRING, "of which network (default: the only one)"), BP_FIELDS_END};
static const struct bp_field added_members[] = {
    BP_ARG("port", INT64, "port of the host"), BP_FIELDS_END};
static const struct bp_schema added = {"HostForwardAdded", BP_KIND_STRUCT, .members = added_members};
static const struct bp_field forward_members[] = {
    BP_ARG("netdev", STRING, "the network"), BP_ARG("rule", STRING, "as it was given"),
    BP_ARG("protocol", STRING, "tcp, udp or unix"), BP_ARG("host", STRING, "address of the host, or a path"),
    BP_ARG("port", INT64, "port of the host"), BP_ARG("guest", STRING, "address of the guest"),
    BP_ARG("guest-port", INT64, "its port"), BP_FIELDS_END};
static const struct bp_schema forward_info = {"HostForward", BP_KIND_STRUCT, .members = forward_members};
static const struct bp_schema forward_infos = {"HostForwardList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
                                               .element = &forward_info};
BP_COMMAND(user_cmd_add, "hostfwd-add", "forward a port of the host to the guest", rule_args, STRUCT, &added,
           qmp_add, 0);
BP_COMMAND(user_cmd_remove, "hostfwd-remove", "end a forward of a port of the host", rule_args, NONE, NULL,
           qmp_remove, 0);
BP_COMMAND(user_cmd_query, "query-hostfwd", "list forwards of ports of the host", NULL, LIST, &forward_infos,
           qmp_query, 0);

/* ---- the monitor ---- */

/* "[NETDEV] RULE" */
static const char *split(struct bp_value *args, const char **ret_id)
{
    const char *first = bp_value_get_string(args, "netdev"), *second = bp_value_get_string(args, "rule");

    *ret_id = second ? first : NULL;
    return second ? second : first ? first : "";
}

static void hmp_add(struct bp_monitor *mon, struct bp_value *args)
{
    const char *id, *rule = split(args, &id);
    struct bp_error err = {0};
    struct user *s = find(id, &err);

    if (!s || forward_add(s, rule, NULL, &err) < 0)
        bp_monitor_printf(mon, "%s\n", err.message);
}

static void hmp_remove(struct bp_monitor *mon, struct bp_value *args)
{
    const char *id, *rule = split(args, &id);
    struct bp_error err = {0};
    struct user *s = find(id, &err);

    if (!s || forward_remove(s, rule, &err) < 0)
        bp_monitor_printf(mon, "%s\n", err.message);
    else
        bp_monitor_printf(mon, "host forwarding rule for %s removed\n", rule);
}

static void hmp_info(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (struct user *s = user_all; s; s = s->next) {
        char *text = slirp_connection_info(s->slirp);

        bp_monitor_printf(mon, "Hub -1 (%s):\n%s", user_net->netdev_id(s->nd), text);
        free(text);
    }
}

static const struct bp_field hmp_args[] = {
    BP_ARG("netdev", STRING, "of which network"), BP_ARG_OPT("rule", STRING, "the forward"), BP_FIELDS_END};
BP_HMP(user_hmp_add, "hostfwd_add", "[NETDEV] [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT",
       "forward a port of the host to the guest", hmp_args, hmp_add);
BP_HMP(user_hmp_remove, "hostfwd_remove", "[NETDEV] [tcp|udp]:[HOSTADDR]:HOSTPORT",
       "end a forward of a port of the host", hmp_args, hmp_remove);
BP_HMP(user_hmp_info, "info usernet", NULL, "list connections of user networks", NULL, hmp_info);
