/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policies for what is deprecated or unstable: told by features of commands and members, and by names that begin
 * with "x-". Input is refused, or ends the process for who tests a client; output is left out.
 */
#include "compat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

struct bpc_compat bpc_compat;

static bool has(const char *const *features, const char *feature)
{
    for (; features && *features; features++) {
        if (strcmp(*features, feature) == 0)
            return true;
    }
    return false;
}

static bool is_unstable(const char *name, const char *const *features)
{
    return strncmp(name, "x-", 2) == 0 || has(features, "unstable");
}

bool bpc_compat_hides(const char *name, const char *const *features)
{
    return (bpc_compat.hide_deprecated && has(features, "deprecated")) ||
           (bpc_compat.hide_unstable && is_unstable(name, features));
}

/* ---- input ---- */

static int judge(const char *what, const char *name, const char *const *features, enum bp_error_class class,
                 struct bp_error *err)
{
    const char *word = has(features, "deprecated") && bpc_compat.deprecated_input != BPC_COMPAT_ACCEPT ? "Deprecated"
                       : is_unstable(name, features) && bpc_compat.unstable_input != BPC_COMPAT_ACCEPT ? "Unstable"
                       : NULL;
    enum bpc_compat_input policy = word && *word == 'D' ? bpc_compat.deprecated_input : bpc_compat.unstable_input;

    if (!word)
        return 0;
    if (policy == BPC_COMPAT_CRASH)
        abort();
    return bp_fail_class(err, class, EPERM, "%s %s '%.100s' disabled by policy", word, what, name);
}

struct walk {
    const struct bp_field *fields;
    struct bp_error *err;
};

static int judge_value(enum bp_field_kind kind, const struct bp_schema *schema, struct bp_value *value,
                       struct bp_error *err);

static int judge_member(const char *key, struct bp_value *value, void *opaque)
{
    const struct walk *w = opaque;

    for (const struct bp_field *f = w->fields; f && f->name; f++) {
        int ret;

        if (strcmp(f->name, key) != 0)
            continue;
        ret = judge("parameter", key, f->features, BP_ERROR_GENERIC, w->err);
        return ret < 0 ? ret : judge_value(f->kind, f->schema, value, w->err);
    }
    return judge("parameter", key, NULL, BP_ERROR_GENERIC, w->err); /* a property's: its name tells */
}

static int judge_members(const struct bp_field *fields, struct bp_value *dict, struct bp_error *err)
{
    struct walk w = {fields, err};

    return fields && bp_value_type(dict) == BP_VALUE_DICT ? bp_value_each(dict, judge_member, &w) : 0;
}

static int judge_value(enum bp_field_kind kind, const struct bp_schema *schema, struct bp_value *value,
                       struct bp_error *err)
{
    const char *tag;
    int ret = 0;

    if (!schema)
        return 0;
    if (kind == BP_KIND_LIST) {
        for (size_t i = 0; ret == 0 && i < bp_value_length(value); i++)
            ret = judge_value(schema->element_kind, schema->element, bp_value_at(value, i), err);
        return ret;
    }
    if (kind != BP_KIND_STRUCT && kind != BP_KIND_UNION)
        return 0;
    ret = judge_members(schema->members, value, err);
    tag = kind == BP_KIND_UNION ? bp_value_get_string(value, schema->discriminator) : NULL;
    for (const struct bp_variant *v = schema->variants; ret == 0 && tag && v && v->value; v++) {
        if (strcmp(v->value, tag) == 0 && v->schema)
            ret = judge_members(v->schema->members, value, err);
    }
    return ret;
}

int bpc_compat_judge(const struct bp_command *command, struct bp_value *args, struct bp_error *err)
{
    int ret = judge("command", command->name, command->features, BP_ERROR_COMMAND_NOT_FOUND, err);

    return ret < 0 || !args ? ret : judge_members(command->args, args, err);
}

/* ---- output ---- */

static struct bp_value *filter(enum bp_field_kind kind, const struct bp_schema *schema, struct bp_value *value);

struct copy {
    const struct bp_schema *schema;
    struct bp_value *to;
};

static int copy_member(const char *key, struct bp_value *value, void *opaque)
{
    struct copy *c = opaque;

    for (const struct bp_field *f = c->schema->members; f && f->name; f++) {
        if (strcmp(f->name, key) != 0)
            continue;
        if (!bpc_compat_hides(key, f->features))
            bp_value_set(c->to, key, filter(f->kind, f->schema, value));
        return 0;
    }
    bp_value_set(c->to, key, bp_value_ref(value)); /* of a variant */
    return 0;
}

/* A new reference. */
static struct bp_value *filter(enum bp_field_kind kind, const struct bp_schema *schema, struct bp_value *value)
{
    struct copy c = {schema, NULL};

    if (schema && kind == BP_KIND_LIST && bp_value_type(value) == BP_VALUE_LIST) {
        c.to = bp_value_list();
        for (size_t i = 0; i < bp_value_length(value); i++)
            bp_value_append(c.to, filter(schema->element_kind, schema->element, bp_value_at(value, i)));
        return c.to;
    }
    if (!schema || (kind != BP_KIND_STRUCT && kind != BP_KIND_UNION) || bp_value_type(value) != BP_VALUE_DICT)
        return bp_value_ref(value);
    c.to = bp_value_dict();
    bp_value_each(value, copy_member, &c);
    return c.to;
}

struct bp_value *bpc_compat_result(const struct bp_command *command, struct bp_value *result)
{
    struct bp_value *filtered;

    if (!bpc_compat.hide_deprecated && !bpc_compat.hide_unstable)
        return result;
    filtered = filter(command->returns, command->returns_schema, result);
    bp_value_unref(result);
    return filtered;
}
