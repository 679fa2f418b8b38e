/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Properties: reading and writing the fields of state structs by their tables (bp/schema.h). A
 * field without a set function is the core's to write and, for strings, values and links, to free.
 */
#include "loop.h"
#include "marks.h"
#include "property.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "near.h"
#include "schema.h"

static void *field_at(const struct bpc_prop *prop)
{
    return (char *)prop->base + prop->field->offset;
}

const struct bp_field *bpc_property_forwarded(const struct bp_field *whole,
                                              const struct bp_field *part)
{
    static GHashTable *made; /* the pair as text, to the field: made once for each */
    char *pair = g_strdup_printf("%p %p", (const void *)whole, (const void *)part);
    if (!made)
        made = g_hash_table_new(g_str_hash, g_str_equal);
    struct bp_field *field = g_hash_table_lookup(made, pair);
    if (field) {
        g_free(pair);
        return field;
    }
    field = g_memdup2(part, sizeof(*part));
    field->name = whole->name;
    field->help = whole->help ? whole->help : part->help;
    g_hash_table_insert(made, pair, field);
    return field;
}

/* The last table first: a class's own property hides a parent's of the same name. */
static const struct bp_field *find_field(const struct bp_object *obj, const char *name,
                                         const struct bpc_prop_set **ret_set)
{
    for (unsigned i = obj->set_count; i-- > 0;) {
        const struct bp_field *field = bpc_schema_find(obj->sets[i].fields, name);
        if (!field)
            continue;
        *ret_set = &obj->sets[i];
        return field;
    }
    return NULL;
}

static bool find_prop(struct bp_object *obj, const char *name, unsigned depth,
                      struct bpc_prop *ret_prop)
{
    const struct bpc_prop_set *set;
    const struct bp_field *field = find_field(obj, name, &set);
    if (!field || depth > 8)
        return false;
    if (field->kind != BP_KIND_FORWARD) {
        *ret_prop = (struct bpc_prop){field, set->base, set->type, obj};
        return true;
    }
    /* While the part does not exist there is no such property. */
    const char *slash = strchr(field->forward, '/');
    char *id = g_strndup(field->forward, (gsize)(slash - field->forward));
    struct bp_object *part = bpc_object_child(obj, id);
    bool found = part && find_prop(part, slash + 1, depth + 1, ret_prop);
    g_free(id);
    if (found)
        ret_prop->field = bpc_property_forwarded(field, ret_prop->field);
    return found;
}

bool bpc_object_find_prop(struct bp_object *obj, const char *name, struct bpc_prop *ret_prop)
{
    return find_prop(obj, name, 0, ret_prop);
}

int bpc_object_each_prop(struct bp_object *obj,
                         int (*fn)(const struct bpc_prop *prop, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < obj->set_count; i++) {
        for (const struct bp_field *f = obj->sets[i].fields; f->name; f++) {
            const struct bpc_prop_set *set;
            struct bpc_prop prop;
            if (find_field(obj, f->name, &set) != f || !bpc_object_find_prop(obj, f->name, &prop))
                continue; /* hidden by one of the same name; or its part is missing */
            int ret = fn(&prop, opaque);
            if (ret)
                return ret;
        }
    }
    return 0;
}

/* The names that may be set, as far as they fit. */
static void list_names(const struct bp_object *obj, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (unsigned i = 0; i < obj->set_count; i++) {
        for (const struct bp_field *f = obj->sets[i].fields; f->name; f++) {
            size_t len = strlen(f->name);

            if (f->flags & (BP_FIELD_HIDDEN | BP_FIELD_READ_ONLY))
                continue;
            if (used + len + 7 > size) {
                g_strlcat(buf, ", ...", size);
                return;
            }
            used += (size_t)g_snprintf(buf + used, size - used, "%s%s", used ? ", " : "", f->name);
        }
    }
}

static int not_found(struct bp_object *obj, const char *name, struct bp_error *err)
{
    char near_text[200], names[300];
    struct bpc_near near;
    if (!err)
        return -ENOENT; /* nobody reads what would have been right */
    bpc_near_init(&near, name);
    for (unsigned i = 0; i < obj->set_count; i++) {
        for (const struct bp_field *f = obj->sets[i].fields; f->name; f++) {
            if (!(f->flags & BP_FIELD_HIDDEN))
                bpc_near_offer(&near, f->name);
        }
    }
    bpc_near_print(&near, near_text, sizeof(near_text));
    list_names(obj, names, sizeof(names));
    return bp_fail(err, ENOENT, "Property '%s.%.200s' not found%s%s", bp_object_type(obj), name,
                   *near_text ? "; near names: " : *names ? "; accepted: " : "",
                   *near_text ? near_text : names);
}

/* ---- reading ---- */

static struct bp_value *choice_value(const char *const *choices, int index)
{
    for (int i = 0; choices && choices[i]; i++) {
        if (i == index)
            return bp_value_string(choices[i]);
    }
    return bp_value_null();
}

static struct bp_value *read_field(const struct bpc_prop *prop)
{
    const void *at = field_at(prop);
    const struct bp_value *value;
    struct bp_object *to;
    switch (prop->field->kind) {
    case BP_KIND_BOOL: return bp_value_bool(*(const bool *)at);
    case BP_KIND_UINT8: return bp_value_uint(*(const uint8_t *)at);
    case BP_KIND_UINT16: return bp_value_uint(*(const uint16_t *)at);
    case BP_KIND_UINT32: return bp_value_uint(*(const uint32_t *)at);
    case BP_KIND_UINT64:
    case BP_KIND_SIZE: return bp_value_uint(*(const uint64_t *)at);
    case BP_KIND_INT8: return bp_value_int(*(const int8_t *)at);
    case BP_KIND_INT16: return bp_value_int(*(const int16_t *)at);
    case BP_KIND_INT32: return bp_value_int(*(const int32_t *)at);
    case BP_KIND_INT64: return bp_value_int(*(const int64_t *)at);
    case BP_KIND_NUMBER: return bp_value_double(*(const double *)at);
    case BP_KIND_STRING: return bp_value_string(*(char *const *)at ? *(char *const *)at : "");
    case BP_KIND_ENUM:
        return choice_value(prop->field->schema ? prop->field->schema->choices : NULL,
                            *(const int *)at);
    case BP_KIND_ON_OFF_AUTO: return choice_value(bpc_on_off_auto, *(const int *)at);
    case BP_KIND_LINK:
        to = *(struct bp_object *const *)at;
        return bp_value_string(to ? bp_object_path(to) : "");
    case BP_KIND_STRUCT:
    case BP_KIND_UNION:
    case BP_KIND_ALTERNATE:
    case BP_KIND_LIST:
    case BP_KIND_ANY:
        value = *(const struct bp_value *const *)at;
        return value ? bp_value_copy(value) : bp_value_null();
    default: return bp_value_null();
    }
}

static int get_prop(const struct bpc_prop *prop, struct bp_value **ret_value, struct bp_error *err)
{
    struct bpc_hold hold;
    int ret = 0;

    if (!prop->field->get && !prop->base)
        return bp_fail(err, EACCES, "Property '%s.%s' cannot be read", bp_object_type(prop->obj),
                       prop->field->name);
    hold = bpc_owner_hold(&prop->obj->owner);
    if (prop->field->get)
        ret = prop->field->get(prop->obj, prop->field, ret_value, err);
    else
        *ret_value = read_field(prop);
    bpc_owner_let_go(&prop->obj->owner, hold);
    return ret;
}

int bp_object_get(struct bp_object *obj, const char *name, struct bp_value **ret_value,
                  struct bp_error *err)
{
    bpc_assert_locked();
    struct bpc_prop prop;
    if (bpc_object_find_prop(obj, name, &prop))
        return get_prop(&prop, ret_value, err);
    struct bp_object *child = bpc_object_child(obj, name);
    if (!child)
        return not_found(obj, name, err);
    *ret_value = bp_value_string(bp_object_path(child));
    return 0;
}

/* ---- writing ---- */

static void replace_link(struct bp_object **at, struct bp_object *to)
{
    struct bp_object *old = *at;
    if (to) {
        bp_object_ref(to);
        to->users++;
    }
    *at = to;
    if (old) {
        old->users--;
        bp_object_unref(old);
    }
}

static void replace_value(struct bp_value **at, struct bp_value *value)
{
    struct bp_value *old = *at;
    *at = value;
    bp_value_unref(old);
}

struct link_count {
    const struct bp_object *to;
    unsigned count;
};

/* What a LINK counts as used: one that the core writes and lets go; of others the class keeps account. */
static struct bp_object *counted_link(const struct bp_field *field, void *base)
{
    bool own = field->kind == BP_KIND_LINK && base && !field->set && !field->get;
    return own ? *(struct bp_object **)((char *)base + field->offset) : NULL;
}

static int count_link(const struct bpc_prop *prop, void *opaque)
{
    struct link_count *links = opaque;
    links->count += counted_link(prop->field, prop->base) == links->to;
    return 0;
}

unsigned bpc_object_links_to(struct bp_object *obj, const struct bp_object *to)
{
    struct link_count links = {to, 0};
    bpc_object_each_prop(obj, count_link, &links);
    return links.count;
}

void bpc_object_count_links(struct bp_object *obj, int by)
{
    for (unsigned i = 0; i < obj->set_count; i++) {
        const struct bpc_prop_set *set = &obj->sets[i];
        for (const struct bp_field *f = set->fields; set->base && f->name; f++) {
            struct bp_object *to = counted_link(f, set->base);
            if (to)
                to->users += (unsigned)by;
        }
    }
}

static int find_link(const struct bp_field *field, const char *text, struct bp_object **ret_to,
                     struct bp_error *err)
{
    static const char *const places[] = {"/chardevs", "/objects", "/machine/peripheral",
                                         "/backend"};
    bool ambiguous = false;
    struct bp_object *to = NULL;
    if (!*text) {
        *ret_to = NULL;
        return 0;
    }
    for (unsigned i = 0; *text != '/' && !to && i < BP_COUNT(places); i++) {
        struct bp_object *place = bp_object_resolve(places[i], NULL, NULL);
        to = place ? bpc_object_child(place, text) : NULL;
        if (to && field->target && !bp_object_is_a(to, field->target))
            to = NULL;
    }
    if (!to)
        to = bp_object_resolve(text, field->target, &ambiguous);
    if (to) {
        *ret_to = to;
        return 0;
    }
    if (ambiguous)
        return bp_fail(err, EINVAL, "Path '%.200s' does not uniquely identify an object", text);
    to = bp_object_resolve(text, NULL, &ambiguous);
    if (to)
        return bp_fail(err, EINVAL,
                       "Invalid parameter type for '%s', expected: %s, but '%.200s' is "
                       "a %s",
                       field->name, field->target, text, bp_object_type(to));
    return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT,
                         "Property '%s': %s '%.200s' not found", field->name,
                         field->target ? field->target : "object", text);
}

static int put_link(const struct bpc_prop *prop, struct bp_object *to, struct bp_error *err)
{
    int ret = 0;
    if (prop->field->flags & BP_FIELD_CONTEXT)
        ret = prop->obj->put_into ? prop->obj->put_into(prop->obj, to, err)
                                  : bp_fail(err, EINVAL, "'%s' works in no context", prop->field->name);
    if (!ret)
        replace_link(field_at(prop), to);
    return ret;
}

static int write_link(const struct bpc_prop *prop, const struct bp_value *value,
                      struct bp_error *err)
{
    struct bp_object *to = NULL;
    int ret = find_link(prop->field, bp_value_as_string(value), &to, err);
    return ret ? ret : put_link(prop, to, err);
}

/* `value` has been checked against the field. */
static int write_field(const struct bpc_prop *prop, struct bp_value *value, struct bp_error *err)
{
    void *at = field_at(prop);
    char *text;
    switch (prop->field->kind) {
    case BP_KIND_BOOL: *(bool *)at = bp_value_as_bool(value); break;
    case BP_KIND_UINT8: *(uint8_t *)at = (uint8_t)bp_value_as_uint(value); break;
    case BP_KIND_UINT16: *(uint16_t *)at = (uint16_t)bp_value_as_uint(value); break;
    case BP_KIND_UINT32: *(uint32_t *)at = (uint32_t)bp_value_as_uint(value); break;
    case BP_KIND_UINT64:
    case BP_KIND_SIZE: *(uint64_t *)at = bp_value_as_uint(value); break;
    case BP_KIND_INT8: *(int8_t *)at = (int8_t)bp_value_as_int(value); break;
    case BP_KIND_INT16: *(int16_t *)at = (int16_t)bp_value_as_int(value); break;
    case BP_KIND_INT32: *(int32_t *)at = (int32_t)bp_value_as_int(value); break;
    case BP_KIND_INT64: *(int64_t *)at = bp_value_as_int(value); break;
    case BP_KIND_NUMBER: *(double *)at = bp_value_as_double(value); break;
    case BP_KIND_STRING:
        text = strdup(bp_value_as_string(value));
        if (!text)
            return bp_fail(err, ENOMEM, "Out of memory");
        free(*(char **)at);
        *(char **)at = text;
        break;
    case BP_KIND_ENUM:
        *(int *)at = bpc_schema_choice(prop->field->schema, bp_value_as_string(value));
        break;
    case BP_KIND_ON_OFF_AUTO:
        text = (char *)bp_value_as_string(value);
        *(int *)at = !strcmp(text, "on") ? 1 : !strcmp(text, "off") ? 2 : 0;
        break;
    case BP_KIND_LINK: return write_link(prop, value, err);
    default: replace_value(at, bp_value_copy(value));
    }
    return 0;
}

static int set_prop(const struct bpc_prop *prop, struct bp_value *value, struct bp_error *err)
{
    int ret = bpc_schema_check(prop->field, value, NULL, err);
    if (ret < 0)
        return ret;
    struct bpc_hold hold = bpc_owner_hold(&prop->obj->owner);
    ret = prop->field->set ? prop->field->set(prop->obj, prop->field, value, err)
                           : write_field(prop, value, err);
    bpc_owner_let_go(&prop->obj->owner, hold);
    return ret;
}

static int find_writable(struct bp_object *obj, const char *name, struct bpc_prop *ret_prop,
                         struct bp_error *err)
{
    struct bpc_prop prop;
    if (!bpc_object_find_prop(obj, name, &prop)) {
        if (bpc_object_child(obj, name))
            return bp_fail(err, EACCES, "Property '%s.%.200s' is a child object: it cannot be set",
                           bp_object_type(obj), name);
        return not_found(obj, name, err);
    }
    if ((prop.field->flags & BP_FIELD_READ_ONLY) || (!prop.base && !prop.field->set))
        return bp_fail(err, EACCES, "Property '%s.%s' is read-only", bp_object_type(obj), name);
    if (prop.obj->live && !(prop.field->flags & BP_FIELD_WRITE_LIVE))
        return bp_fail(err, EBUSY, "Property '%s.%s' cannot be set any more: '%s' is in use",
                       bp_object_type(obj), name, bp_object_id(obj));
    *ret_prop = prop;
    return 0;
}

int bp_object_set(struct bp_object *obj, const char *name, struct bp_value *value,
                  struct bp_error *err)
{
    bpc_assert_locked();
    struct bpc_prop prop;
    int ret = find_writable(obj, name, &prop, err);
    return ret ? ret : set_prop(&prop, value, err);
}

int bpc_object_set_loose(struct bp_object *obj, const char *name, struct bp_value *value,
                         struct bp_error *err)
{
    struct bpc_prop prop;
    struct bp_value *typed;
    int ret = find_writable(obj, name, &prop, err);
    if (!ret)
        ret = bpc_schema_from_loose(prop.field, value, &typed, err);
    if (ret < 0)
        return ret;
    ret = set_prop(&prop, typed, err);
    bp_value_unref(typed);
    return ret;
}

int bp_object_set_text(struct bp_object *obj, const char *name, const char *text,
                       struct bp_error *err)
{
    bpc_assert_locked();
    struct bpc_prop prop;
    struct bp_value *value;
    int ret = find_writable(obj, name, &prop, err);
    if (!ret)
        ret = bpc_schema_from_text(prop.field, text, &value, err);
    if (ret < 0)
        return ret;
    ret = set_prop(&prop, value, err);
    bp_value_unref(value);
    return ret;
}

struct set_all {
    struct bp_object *obj;
    const char *const *skip;
    struct bp_error *err;
};

static int set_member(const char *key, struct bp_value *member, void *opaque)
{
    const struct set_all *all = opaque;
    if (all->skip && g_strv_contains(all->skip, key))
        return 0;
    return bpc_object_set_loose(all->obj, key, member, all->err);
}

int bpc_object_set_all(struct bp_object *obj, const struct bp_value *props, const char *const *skip,
                       struct bp_error *err)
{
    struct set_all all = {obj, skip, err};
    return props ? bp_value_each(props, set_member, &all) : 0;
}

int bpc_object_set_link(struct bp_object *obj, const char *name, struct bp_object *to,
                        struct bp_error *err)
{
    struct bpc_prop prop;
    int ret = find_writable(obj, name, &prop, err);
    if (ret < 0)
        return ret;
    if (prop.field->kind != BP_KIND_LINK)
        return bp_fail(err, EINVAL, "Property '%s.%s' is no link", bp_object_type(obj), name);
    if (to && prop.field->target && !bp_object_is_a(to, prop.field->target))
        return bp_fail(err, EINVAL,
                       "Invalid parameter type for '%s', expected: %s, but '%s' is a %s", name,
                       prop.field->target, bp_object_path(to), bp_object_type(to));
    if (prop.field->set) {
        struct bp_value *path = bp_value_string(to ? bp_object_path(to) : "");
        ret = prop.field->set(prop.obj, prop.field, path, err);
        bp_value_unref(path);
        return ret;
    }
    return put_link(&prop, to, err);
}

int bpc_property_set_default(const struct bpc_prop *prop, struct bp_error *err)
{
    struct bp_value *value;
    if (prop->field->kind == BP_KIND_LINK && !*prop->field->def)
        return 0;
    int ret = bpc_schema_from_text(prop->field, prop->field->def, &value, err);
    if (ret < 0)
        return ret;
    ret = set_prop(prop, value, err);
    bp_value_unref(value);
    return ret;
}

void bpc_property_free_all(const struct bpc_prop_set *set)
{
    for (const struct bp_field *f = set->fields; set->base && f->name; f++) {
        struct bpc_prop prop = {f, set->base, set->type, NULL};
        if (f->set || f->get) /* the class's own business */
            continue;
        switch (f->kind) {
        case BP_KIND_STRING:
            free(*(char **)field_at(&prop));
            *(char **)field_at(&prop) = NULL;
            break;
        case BP_KIND_LINK: replace_link(field_at(&prop), NULL); break;
        case BP_KIND_STRUCT:
        case BP_KIND_UNION:
        case BP_KIND_ALTERNATE:
        case BP_KIND_LIST:
        case BP_KIND_ANY: replace_value(field_at(&prop), NULL); break;
        default: break;
        }
    }
}

char *bpc_object_prop_text(const struct bpc_prop *prop)
{
    struct bp_value *value;
    if (get_prop(prop, &value, NULL) < 0)
        return bp_strdup("<unknown>");
    char *text;
    if (bp_value_type(value) == BP_VALUE_INT && bpc_schema_is_integer(prop->field->kind) &&
        !bp_value_is_negative(value)) {
        char *made = g_strdup_printf("%" G_GUINT64_FORMAT " (0x%" G_GINT64_MODIFIER "x)",
                                     bp_value_as_uint(value), bp_value_as_uint(value));
        text = bp_strdup(made);
        g_free(made);
    } else {
        text = bp_value_print(value, false);
    }
    bp_value_unref(value);
    return text;
}
