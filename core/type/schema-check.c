/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking values against tables (schema.h). Names in errors are paths: "addr.host", "cpus[2]". */
#include "schema.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value type a kind is in JSON; BP_VALUE_NULL for those of several. */
static enum bp_value_type value_type_of(enum bp_field_kind kind)
{
    switch (kind) {
    case BP_KIND_BOOL: return BP_VALUE_BOOL;
    case BP_KIND_NUMBER: return BP_VALUE_DOUBLE;
    case BP_KIND_STRING:
    case BP_KIND_ENUM:
    case BP_KIND_ON_OFF_AUTO:
    case BP_KIND_LINK: return BP_VALUE_STRING;
    case BP_KIND_STRUCT:
    case BP_KIND_UNION: return BP_VALUE_DICT;
    case BP_KIND_LIST: return BP_VALUE_LIST;
    default: return bpc_schema_is_integer(kind) ? BP_VALUE_INT : BP_VALUE_NULL;
    }
}

static bool type_fits(const struct bp_field *field, const struct bp_value *value)
{
    enum bp_value_type type = bp_value_type(value);
    if (field->kind == BP_KIND_ANY || field->kind == BP_KIND_ALTERNATE)
        return true;
    if (field->kind == BP_KIND_NUMBER && type == BP_VALUE_INT)
        return true;
    return type == value_type_of(field->kind);
}

static int wrong_type(const struct bp_field *field, const char *name, struct bp_error *err)
{
    return bp_fail(err, EINVAL, "Invalid parameter type for '%s', expected: %s", name,
                   bp_value_type_name(value_type_of(field->kind)));
}

static int check_integer(const struct bp_field *field, const struct bp_value *value,
                         const char *name, struct bp_error *err)
{
    int64_t min;
    uint64_t max;
    bpc_schema_range(field, &min, &max);
    bool fits;
    if (bpc_schema_is_signed(field->kind)) /* max holds an int64_t there */
        fits = bp_value_as_int(value) >= min && bp_value_as_int(value) <= (int64_t)max &&
               (bp_value_is_negative(value) || bp_value_as_uint(value) <= INT64_MAX);
    else
        fits = !bp_value_is_negative(value) && bp_value_as_uint(value) <= max &&
               (min <= 0 || bp_value_as_uint(value) >= (uint64_t)min);
    if (fits)
        return 0;
    char accepted[160];
    bpc_schema_accepted(field, accepted, sizeof(accepted));
    if (field->kind == BP_KIND_SIZE) {
        if (field->min || field->max)
            snprintf(accepted, sizeof(accepted), "a size in %" PRId64 "..%" PRIu64 " bytes", min,
                     max);
        else
            snprintf(accepted, sizeof(accepted), "a size of at least 0");
    }
    char *text = bp_value_print(value, false);
    int ret = bp_fail(err, ERANGE, "Parameter '%s' expects %s, not %s", name, accepted, text);
    free(text);
    return ret;
}

static int check_number(const struct bp_field *field, const struct bp_value *value,
                        const char *name, struct bp_error *err)
{
    double number = bp_value_as_double(value);
    if ((!field->min && !field->max) ||
        (number >= (double)field->min && number <= (double)field->max))
        return 0;
    return bp_fail(err, ERANGE, "Parameter '%s' expects a number in %" PRId64 "..%" PRIu64, name,
                   field->min, field->max);
}

static int check_choice(const char *const *choices, const struct bp_value *value, const char *name,
                        struct bp_error *err)
{
    const char *text = bp_value_as_string(value);
    GString *accepted = g_string_new(NULL);
    for (; choices && *choices; choices++) {
        if (!strcmp(*choices, text)) {
            g_string_free(accepted, TRUE);
            return 0;
        }
        g_string_append_printf(accepted, "%s%s", accepted->len ? ", " : "", *choices);
    }
    int ret = bp_fail(err, EINVAL, "Parameter '%s' does not accept value '%.200s'; accepted: %s",
                      name, text, accepted->str);
    g_string_free(accepted, TRUE);
    return ret;
}

static int check_list(const struct bp_field *field, const struct bp_value *list, const char *name,
                      struct bp_error *err)
{
    if (!field->schema)
        return 0;
    struct bp_field element = {
        .name = field->name, .kind = field->schema->element_kind, .schema = field->schema->element};
    for (size_t i = 0; i < bp_value_length(list); i++) {
        char *place = g_strdup_printf("%s[%zu]", name, i);
        int ret = bpc_schema_check(&element, bp_value_at(list, i), place, err);
        g_free(place);
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* The variant a union's value chose; its schema may be NULL (no members of its own). */
static int find_variant(const struct bp_schema *schema, const struct bp_value *dict,
                        const char *where, const struct bp_schema **ret_extra, struct bp_error *err)
{
    const struct bp_field *selector = bpc_schema_find(schema->members, schema->discriminator);
    const char *choice = bp_value_get_string(dict, schema->discriminator);
    if (!choice && selector && !bp_value_has(dict, schema->discriminator))
        choice = selector->def;
    if (!choice)
        return bp_fail(err, EINVAL,
                       bp_value_has(dict, schema->discriminator)
                           ? "Invalid parameter type for '%s%s', expected: string"
                           : "Parameter '%s%s' is missing",
                       where, schema->discriminator);
    const struct bp_schema *extra = NULL;
    bool found = false;
    GString *accepted = g_string_new(NULL);
    for (const struct bp_variant *v = schema->variants; v && v->value && !found; v++) {
        found = !strcmp(v->value, choice);
        if (found)
            extra = v->schema;
        g_string_append_printf(accepted, "%s%s", accepted->len ? ", " : "", v->value);
    }
    int ret = 0;
    /* An enum value without a variant has no members of its own. */
    if (!found && !(selector && bpc_schema_choice(selector->schema, choice) >= 0))
        ret = bp_fail(err, EINVAL, "Parameter '%s%s' does not accept value '%.200s'; accepted: %s",
                      where, schema->discriminator, choice, accepted->str);
    else
        *ret_extra = extra;
    g_string_free(accepted, TRUE);
    return ret;
}

struct members {
    const struct bp_field *fields, *more; /* more: a union's variant */
    const char *where;
    bool any;
    struct bp_error *err;
};

static int check_known(const char *key, struct bp_value *value, void *opaque)
{
    const struct members *m = opaque;
    const struct bp_field *field = bpc_schema_find(m->fields, key);
    if (!field)
        field = bpc_schema_find(m->more, key);
    if (!field && m->any)
        return 0;
    if (!field) {
        char near[200];
        bpc_schema_nearest(m->fields, key, near, sizeof(near));
        if (!*near)
            bpc_schema_nearest(m->more, key, near, sizeof(near));
        return bp_fail(m->err, EINVAL, "Parameter '%s%.200s' is unexpected%s%s", m->where, key,
                       *near ? "; near names: " : "", near);
    }
    char *place = g_strconcat(m->where, key, NULL);
    int ret = bpc_schema_check(field, value, place, m->err);
    g_free(place);
    return ret;
}

static int check_missing(const struct bp_field *fields, const struct bp_value *dict,
                         const char *where, struct bp_error *err)
{
    for (; fields && fields->name; fields++) {
        if (!(fields->flags & (BP_FIELD_OPTIONAL | BP_FIELD_REPEATED)) && !fields->def &&
            !bp_value_has(dict, fields->name))
            return bp_fail(err, EINVAL, "Parameter '%s%s' is missing", where, fields->name);
    }
    return 0;
}

static int check_members(struct members *m, const struct bp_value *dict)
{
    int ret = check_missing(m->fields, dict, m->where, m->err);
    if (!ret)
        ret = check_missing(m->more, dict, m->where, m->err);
    return ret ? ret : bp_value_each(dict, check_known, m);
}

int bpc_schema_check_dict(const struct bp_field *fields, const struct bp_value *dict,
                          bool any_members, const char *where, struct bp_error *err)
{
    struct members m = {fields, NULL, where ? where : "", any_members, err};
    return check_members(&m, dict);
}

static int check_struct(const struct bp_field *field, const struct bp_value *dict, const char *name,
                        struct bp_error *err)
{
    const struct bp_schema *schema = field->schema, *extra = NULL;
    if (!schema)
        return 0;
    char *where = g_strconcat(name, ".", NULL);
    int ret = 0;
    if (field->kind == BP_KIND_UNION)
        ret = find_variant(schema, dict, where, &extra, err);
    if (!ret) {
        struct members m = {schema->members, extra ? extra->members : NULL, where, false, err};
        ret = check_members(&m, dict);
    }
    g_free(where);
    return ret;
}

static int check_alternate(const struct bp_field *field, const struct bp_value *value,
                           const char *name, struct bp_error *err)
{
    GString *accepted = g_string_new(NULL);
    for (const struct bp_field *f = field->schema ? field->schema->members : NULL; f && f->name;
         f++) {
        if ((f->kind == BP_KIND_NONE && bp_value_type(value) == BP_VALUE_NULL) ||
            type_fits(f, value)) {
            g_string_free(accepted, TRUE);
            return f->kind == BP_KIND_NONE ? 0 : bpc_schema_check(f, value, name, err);
        }
        g_string_append_printf(accepted, "%s%s", accepted->len ? " or " : "",
                               bp_value_type_name(value_type_of(f->kind)));
    }
    int ret =
        bp_fail(err, EINVAL, "Invalid parameter type for '%s', expected: %s", name, accepted->str);
    g_string_free(accepted, TRUE);
    return ret;
}

int bpc_schema_check(const struct bp_field *field, const struct bp_value *value, const char *name,
                     struct bp_error *err)
{
    name = name ? name : field->name;
    if ((field->flags & BP_FIELD_REPEATED) && field->kind != BP_KIND_LIST &&
        bp_value_type(value) == BP_VALUE_LIST) {
        struct bp_field one = *field;
        one.flags &= ~BP_FIELD_REPEATED;
        for (size_t i = 0; i < bp_value_length(value); i++) {
            int ret = bpc_schema_check(&one, bp_value_at(value, i), name, err);
            if (ret < 0)
                return ret;
        }
        return 0;
    }
    if (!type_fits(field, value))
        return wrong_type(field, name, err);
    switch (field->kind) {
    case BP_KIND_NUMBER: return check_number(field, value, name, err);
    case BP_KIND_ENUM:
        return check_choice(field->schema ? field->schema->choices : NULL, value, name, err);
    case BP_KIND_ON_OFF_AUTO: return check_choice(bpc_on_off_auto, value, name, err);
    case BP_KIND_LIST: return check_list(field, value, name, err);
    case BP_KIND_STRUCT:
    case BP_KIND_UNION: return check_struct(field, value, name, err);
    case BP_KIND_ALTERNATE: return check_alternate(field, value, name, err);
    default: return bpc_schema_is_integer(field->kind) ? check_integer(field, value, name, err) : 0;
    }
}
