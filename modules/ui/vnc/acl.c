/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * acl=on, of old: two authz-list objects that the servers with it ask, and the monitor's commands that change their
 * rules. The commands know authz-list objects of any id.
 */
#define BP_SHARED
#include "vnc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>
#include <bp/object.h>

#include "module.h"

#define USERS "vnc.username"
#define NAMES "vnc.x509dname"
#define RULES_MOST 10000u

static struct bp_object *find(const char *id)
{
    char path[256];

    snprintf(path, sizeof(path), "/objects/%s", id);
    return bp_object_resolve(path, NULL, NULL);
}

/* Nobody may, until somebody says so. */
static int make(const char *id, struct bp_error *err)
{
    struct bp_object *obj = find(id);

    if (!obj)
        return bp_object_new("object", "authz-list", id, "/objects", NULL, &obj, err);
    if (strcmp(bp_object_type(obj), "authz-list") != 0)
        return bp_fail(err, EEXIST, "key 'acl': object '%s' has to be an authz-list, and is %s", id,
                       bp_object_type(obj));
    return 0;
}

int vnc_acl_open(struct vnc *s, bool x509, struct bp_error *err)
{
    int r;

    if (s->tls_authz || s->sasl_authz)
        return bp_fail(err, EINVAL, "keys 'acl' and '%s' exclude each other",
                       s->tls_authz ? "tls-authz" : "sasl-authz");
    bp_warn("-vnc acl=on is deprecated: use tls-authz and sasl-authz");
    r = make(USERS, err);
    if (r == 0)
        r = make(NAMES, err);
    if (r < 0)
        return r;
    if (s->sasl)
        s->sasl_authz = bp_strdup(USERS);
    if (x509)
        s->tls_authz = bp_strdup(NAMES);
    if (!s->sasl && !x509)
        bp_warn("-vnc acl=on: without sasl=on, or tls-creds of the kind x509, nobody is asked for a name");
    return 0;
}

/* ---- the monitor ---- */

/* *ret_rules: a copy, owned. */
static struct bp_object *list_of(struct bp_monitor *mon, struct bp_value *args, struct bp_value **ret_rules)
{
    const char *id = bp_value_get_string(args, "aclname");
    struct bp_object *obj = find(id);
    struct bp_value *now = NULL;
    struct bp_error err = {0};

    if (!obj || strcmp(bp_object_type(obj), "authz-list") != 0) {
        bp_monitor_printf(mon, "Error: there is no access control list '%.60s' (-vnc acl=on makes " USERS " and " NAMES
                          ")\n", id);
        return NULL;
    }
    if (bp_object_get(obj, "rules", &now, &err) < 0) {
        bp_monitor_printf(mon, "Error: %s\n", err.message);
        return NULL;
    }
    *ret_rules = bp_value_type(now) == BP_VALUE_LIST ? bp_value_copy(now) : bp_value_list();
    bp_value_unref(now);
    return obj;
}

/* Takes `value`. */
static bool change(struct bp_monitor *mon, struct bp_object *obj, const char *name, struct bp_value *value)
{
    struct bp_error err = {0};
    int r = bp_object_set(obj, name, value, &err);

    bp_value_unref(value);
    if (r < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
    return r == 0;
}

static bool is_policy(struct bp_monitor *mon, const char *text)
{
    if (!strcmp(text, "allow") || !strcmp(text, "deny"))
        return true;
    bp_monitor_printf(mon, "Error: policy '%.60s' is not allow or deny\n", text);
    return false;
}

static const struct bp_field name_args[] = {BP_ARG("aclname", STRING, "id of the list"), BP_FIELDS_END};

static void show(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *rules = NULL, *policy = NULL;
    struct bp_object *obj = list_of(mon, args, &rules);

    if (!obj)
        return;
    if (bp_object_get(obj, "policy", &policy, NULL) == 0)
        bp_monitor_printf(mon, "policy: %s\n", bp_value_as_string(policy));
    for (size_t i = 0; i < bp_value_length(rules); i++) {
        const struct bp_value *rule = bp_value_at(rules, i);

        bp_monitor_printf(mon, "%zu: %s %s\n", i + 1, bp_value_get_string(rule, "policy"),
                          bp_value_get_string(rule, "match"));
    }
    bp_value_unref(policy);
    bp_value_unref(rules);
}
BP_HMP(vnc_acl_show, "acl_show", "aclname", "list rules in the access control list", name_args, show);

static const struct bp_field policy_args[] = {
    BP_ARG("aclname", STRING, "id of the list"), BP_ARG("policy", STRING, "allow or deny"), BP_FIELDS_END};

static void set_policy(struct bp_monitor *mon, struct bp_value *args)
{
    const char *policy = bp_value_get_string(args, "policy");
    struct bp_value *rules = NULL;
    struct bp_object *obj = list_of(mon, args, &rules);

    bp_value_unref(rules);
    if (obj && is_policy(mon, policy) && change(mon, obj, "policy", bp_value_string(policy)))
        bp_monitor_printf(mon, "acl: policy set to '%s'\n", policy);
}
BP_HMP(vnc_acl_policy, "acl_policy", "aclname allow|deny", "set default access control list policy", policy_args,
       set_policy);

static const struct bp_field add_args[] = {
    BP_ARG("aclname", STRING, "id of the list"), BP_ARG("match", STRING, "name, or a pattern with * and ?"),
    BP_ARG("policy", STRING, "allow or deny"),
    BP_ARG_OPT("index", INT64, "where it goes, from 1; at the end by default"), BP_FIELDS_END};

static void add(struct bp_monitor *mon, struct bp_value *args)
{
    const char *match = bp_value_get_string(args, "match"), *policy = bp_value_get_string(args, "policy");
    struct bp_value *rules = NULL, *changed, *rule;
    struct bp_object *obj = list_of(mon, args, &rules);
    size_t count = bp_value_length(rules), at = count;

    if (!obj)
        return;
    if (bp_value_has(args, "index")) {
        int64_t index = bp_value_as_int(bp_value_get(args, "index"));

        at = index < 1 || (uint64_t)index > count + 1 ? count + 1 : (size_t)index - 1;
    }
    if (at > count || count >= RULES_MOST || !is_policy(mon, policy)) {
        if (at > count)
            bp_monitor_printf(mon, "Error: index must be 1 to %zu\n", count + 1);
        else if (count >= RULES_MOST)
            bp_monitor_printf(mon, "Error: there are %zu rules already\n", count);
        bp_value_unref(rules);
        return;
    }
    rule = bp_value_dict();
    bp_value_set(rule, "match", bp_value_string(match));
    bp_value_set(rule, "policy", bp_value_string(policy));
    bp_value_set(rule, "format", bp_value_string(strpbrk(match, "*?[") ? "glob" : "exact"));
    changed = bp_value_list();
    for (size_t i = 0; i <= count; i++) {
        if (i == at)
            bp_value_append(changed, rule);
        if (i < count)
            bp_value_append(changed, bp_value_ref(bp_value_at(rules, i)));
    }
    bp_value_unref(rules);
    if (change(mon, obj, "rules", changed))
        bp_monitor_printf(mon, "acl: added rule at position %zu\n", at + 1);
}
BP_HMP(vnc_acl_add, "acl_add", "aclname match allow|deny [index]", "add a match rule to the access control list",
       add_args, add);

static const struct bp_field remove_args[] = {
    BP_ARG("aclname", STRING, "id of the list"), BP_ARG("match", STRING, "of the rule"), BP_FIELDS_END};

static void remove_rule(struct bp_monitor *mon, struct bp_value *args)
{
    const char *match = bp_value_get_string(args, "match");
    struct bp_value *rules = NULL, *changed = bp_value_list();
    struct bp_object *obj = list_of(mon, args, &rules);
    size_t position = 0;

    for (size_t i = 0; i < bp_value_length(rules); i++) {
        struct bp_value *rule = bp_value_at(rules, i);

        if (!position && !strcmp(bp_value_get_string(rule, "match"), match))
            position = i + 1;
        else
            bp_value_append(changed, bp_value_ref(rule));
    }
    bp_value_unref(rules);
    if (obj && position && change(mon, obj, "rules", bp_value_ref(changed)))
        bp_monitor_printf(mon, "acl: removed rule at position %zu\n", position);
    else if (obj && !position)
        bp_monitor_printf(mon, "Error: there is no rule for '%.60s'\n", match);
    bp_value_unref(changed);
}
BP_HMP(vnc_acl_remove, "acl_remove", "aclname match", "remove a match rule from the access control list", remove_args,
       remove_rule);

static void reset(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_value *rules = NULL;
    struct bp_object *obj = list_of(mon, args, &rules);

    bp_value_unref(rules);
    if (obj && change(mon, obj, "policy", bp_value_string("deny")) && change(mon, obj, "rules", bp_value_list()))
        bp_monitor_printf(mon, "acl: removed all rules\n");
}
BP_HMP(vnc_acl_reset, "acl_reset", "aclname", "reset the access control list: no rules, and nobody may", name_args,
       reset);
