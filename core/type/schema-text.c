/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What users type, as values of a field's kind (schema.h). */
#include "schema.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

static int expects(const struct bp_field *field, int code, const char *text, struct bp_error *err)
{
    char accepted[512];
    bpc_schema_accepted(field, accepted, sizeof(accepted));
    if (field->kind == BP_KIND_ENUM || field->kind == BP_KIND_ON_OFF_AUTO)
        return bp_fail(err, code, "Parameter '%s' does not accept value '%.200s'; accepted is %s",
                       field->name, text, accepted);
    return bp_fail(err, code, "Parameter '%s' expects %s, not '%.200s'", field->name, accepted,
                   text);
}

static int integer_from_text(const struct bp_field *field, const char *text,
                             struct bp_value **ret_value, struct bp_error *err)
{
    int64_t min, i;
    uint64_t max, u;
    int ret;
    bpc_schema_range(field, &min, &max);
    if (field->kind == BP_KIND_SIZE) {
        ret = bpc_text_size(text, 1, &u);
        if (!ret && (u > max || (min > 0 && u < (uint64_t)min)))
            ret = -ERANGE;
    } else if (bpc_schema_is_signed(field->kind)) {
        ret = bpc_text_int(text, min, (int64_t)max, &i);
    } else {
        ret = bpc_text_uint(text, min > 0 ? (uint64_t)min : 0, max, &u);
    }
    if (ret < 0)
        return expects(field, -ret, text, err);
    *ret_value = bpc_schema_is_signed(field->kind) ? bp_value_int(i) : bp_value_uint(u);
    return 0;
}

static int json_from_text(const struct bp_field *field, const char *text,
                          struct bp_value **ret_value, struct bp_error *err)
{
    char open = field->kind == BP_KIND_LIST ? '[' : '{';
    const char *p = text + strspn(text, " \t\r\n");
    struct bp_value *value;
    if (*p != open)
        return expects(field, EINVAL, text, err);
    int ret = bp_value_parse(p, strlen(p), &value, err);
    if (ret < 0) {
        bp_error_prefix(err, "Parameter '%s'", field->name);
        return ret;
    }
    ret = bpc_schema_check(field, value, NULL, err);
    if (ret < 0) {
        bp_value_unref(value);
        return ret;
    }
    *ret_value = value;
    return 0;
}

/* The first alternative that takes the text. */
static int alternate_from_text(const struct bp_field *field, const char *text,
                               struct bp_value **ret_value, struct bp_error *err)
{
    for (const struct bp_field *f = field->schema ? field->schema->members : NULL; f && f->name;
         f++) {
        if (f->kind != BP_KIND_NONE && !bpc_schema_from_text(f, text, ret_value, NULL))
            return 0;
    }
    return expects(field, EINVAL, text, err);
}

int bpc_schema_from_text(const struct bp_field *field, const char *text,
                         struct bp_value **ret_value, struct bp_error *err)
{
    bool on;
    double number;
    struct bp_value *value;
    int ret;
    switch (field->kind) {
    case BP_KIND_BOOL:
        if (bpc_text_bool(text, &on) < 0)
            return expects(field, EINVAL, text, err);
        *ret_value = bp_value_bool(on);
        return 0;
    case BP_KIND_NUMBER:
        ret = bpc_text_double(text, &number);
        if (ret < 0)
            return expects(field, -ret, text, err);
        value = bp_value_double(number);
        break;
    case BP_KIND_STRUCT:
    case BP_KIND_UNION:
    case BP_KIND_LIST: return json_from_text(field, text, ret_value, err);
    case BP_KIND_ALTERNATE: return alternate_from_text(field, text, ret_value, err);
    case BP_KIND_ENUM:
        if (bpc_schema_choice(field->schema, text) < 0)
            return expects(field, EINVAL, text, err);
        value = bp_value_string(text);
        break;
    case BP_KIND_ON_OFF_AUTO: /* true, yes and so on are understood as well */
        if (!strcmp(text, "auto"))
            value = bp_value_string(text);
        else if (!bpc_text_bool(text, &on))
            value = bp_value_string(on ? "on" : "off");
        else
            return expects(field, EINVAL, text, err);
        break;
    default:
        if (bpc_schema_is_integer(field->kind))
            return integer_from_text(field, text, ret_value, err);
        value = bp_value_string(text);
    }
    ret = bpc_schema_check(field, value, NULL, err);
    if (ret < 0)
        bp_value_unref(value);
    else
        *ret_value = value;
    return ret;
}

static int list_from_loose(const struct bp_field *element, struct bp_value *list,
                           struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *out = bp_value_list();
    for (size_t i = 0; i < bp_value_length(list); i++) {
        struct bp_value *member;
        int ret = bpc_schema_from_loose(element, bp_value_at(list, i), &member, err);
        if (ret < 0) {
            bp_value_unref(out);
            return ret;
        }
        bp_value_append(out, member);
    }
    *ret_value = out;
    return 0;
}

/* A union's members without knowing the variant yet: the common ones, then the chosen one's. */
static const struct bp_schema *variant_of(const struct bp_schema *schema,
                                          const struct bp_value *dict)
{
    if (schema->kind != BP_KIND_UNION || !schema->discriminator)
        return NULL;
    const char *choice = bp_value_get_string(dict, schema->discriminator);
    const struct bp_field *selector = bpc_schema_find(schema->members, schema->discriminator);
    if (!choice && selector)
        choice = selector->def;
    for (const struct bp_variant *v = schema->variants; choice && v && v->value; v++) {
        if (!strcmp(v->value, choice))
            return v->schema;
    }
    return NULL;
}

struct loose {
    const struct bp_field *fields, *more;
    struct bp_value *out;
    struct bp_error *err;
};

static int convert_member(const char *key, struct bp_value *value, void *opaque)
{
    struct loose *l = opaque;
    const struct bp_field *field = bpc_schema_find(l->fields, key);
    if (!field)
        field = bpc_schema_find(l->more, key);
    struct bp_value *member;
    int ret = 0;
    if (field)
        ret = bpc_schema_from_loose(field, value, &member, l->err);
    else
        member = bp_value_ref(value); /* the check that follows says what it thinks of it */
    if (!ret)
        bp_value_set(l->out, key, member);
    return ret;
}

int bpc_schema_from_loose(const struct bp_field *field, struct bp_value *value,
                          struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *out = NULL;
    enum bp_value_type type = bp_value_type(value);
    int ret = 0;
    if (type == BP_VALUE_STRING && field->kind != BP_KIND_ANY)
        return bpc_schema_from_text(field, bp_value_as_string(value), ret_value, err);
    if (type == BP_VALUE_LIST && field->kind == BP_KIND_LIST && field->schema) {
        struct bp_field element = {.name = field->name,
                                   .kind = field->schema->element_kind,
                                   .schema = field->schema->element};
        ret = list_from_loose(&element, value, &out, err);
    } else if (type == BP_VALUE_LIST && (field->flags & BP_FIELD_REPEATED)) {
        ret = list_from_loose(field, value, &out, err);
    } else if (type == BP_VALUE_DICT && field->schema &&
               (field->kind == BP_KIND_STRUCT || field->kind == BP_KIND_UNION)) {
        const struct bp_schema *extra = variant_of(field->schema, value);
        struct loose l = {field->schema->members, extra ? extra->members : NULL, bp_value_dict(),
                          err};
        ret = bp_value_each(value, convert_member, &l);
        out = l.out;
    } else if (type == BP_VALUE_DICT && field->kind == BP_KIND_ALTERNATE && field->schema) {
        for (const struct bp_field *f = field->schema->members; f->name; f++)
            if (f->kind == BP_KIND_STRUCT || f->kind == BP_KIND_UNION)
                return bpc_schema_from_loose(f, value, ret_value, err);
        out = bp_value_ref(value);
    } else {
        out = bp_value_ref(value);
    }
    if (!ret)
        ret = bpc_schema_check(field, out, NULL, err);
    if (ret < 0)
        bp_value_unref(out);
    else
        *ret_value = out;
    return ret;
}

int bpc_schema_dict_from_loose(const struct bp_field *fields, struct bp_value *dict,
                               bool any_members, struct bp_value **ret_dict, struct bp_error *err)
{
    struct loose l = {fields, NULL, bp_value_dict(), err};
    int ret = bp_value_each(dict, convert_member, &l);
    if (!ret)
        ret = bpc_schema_check_dict(fields, l.out, any_members, NULL, err);
    if (ret < 0)
        bp_value_unref(l.out);
    else
        *ret_dict = l.out;
    return ret;
}
