/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties of types without making one: device-list-properties, qom-list-properties (type.h). */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/level.h>

#include "property.h"
#include "registry.h"
#include "schema.h"
#include "type.h"

static void list_field(const struct bp_field *field, void *list)
{
    char type[128];
    bpc_schema_type_name(field, type, sizeof(type));
    struct bp_value *entry = bp_value_dict(), *value;
    bp_value_set(entry, "name", bp_value_string(field->name));
    bp_value_set(entry, "type", bp_value_string(type));
    if (field->help && *field->help)
        bp_value_set(entry, "description", bp_value_string(field->help));
    if (field->def && !bpc_schema_from_text(field, field->def, &value, NULL))
        bp_value_set(entry, "default-value", value);
    bp_value_append(list, entry);
}

struct walk {
    void (*fn)(const struct bp_field *field, void *opaque);
    void *opaque;
    GHashTable *seen; /* names */
    unsigned depth;   /* of parts within parts */
};

static int each_field(const char *name, bool devices_only, const struct walk *walk,
                      struct bp_error *err);

struct search {
    const char *name;
    const struct bp_field *found; /* or NULL */
};

static void match_field(const struct bp_field *field, void *opaque)
{
    struct search *search = opaque;
    if (!search->found && !strcmp(field->name, search->name))
        search->found = field;
}

/* What a part of that type says of its property; NULL: nothing. */
static const struct bp_field *look_up_forward(const struct walk *walk, const struct bp_field *field)
{
    struct search search = {.name = strchr(field->forward, '/') + 1};
    const struct walk inner = {match_field, &search, g_hash_table_new(g_str_hash, g_str_equal),
                               walk->depth + 1};
    if (inner.depth <= 8)
        each_field(field->target, false, &inner, NULL);
    g_hash_table_unref(inner.seen);
    return search.found ? bpc_property_forwarded(field, search.found) : NULL;
}

static void show_field(const struct walk *walk, const struct bp_field *field)
{
    if (field->kind == BP_KIND_FORWARD)
        field = look_up_forward(walk, field);
    if (field)
        walk->fn(field, walk->opaque);
}

static void walk_fields(const struct walk *walk, const struct bp_field *fields)
{
    for (; fields && fields->name; fields++) {
        if (!(fields->flags & BP_FIELD_HIDDEN) &&
            g_hash_table_add(walk->seen, (gpointer)fields->name))
            show_field(walk, fields);
    }
}

/* What a bus, and those that it extends, want of a device. */
static void walk_bus_fields(const struct walk *walk, const void *desc)
{
    for (unsigned depth = 0; depth < 32; depth++) {
        const struct bp_bus_class *bus = desc;
        walk_fields(walk, bus->child_props);
        if (!bpc_type_has_parent_level(BP_PROVIDE_BUS, &bus->type) ||
            bpc_describe(BP_PROVIDE_BUS, bus->type.parent, &desc, NULL) < 0)
            break;
    }
}

static int walk_class(const struct walk *walk, const struct bpc_type *type, struct bp_error *err)
{
    const void *desc, *bus;
    int ret = bpc_describe(type->kind, type->provided_as, &desc, err);
    if (ret < 0)
        return ret;
    const struct bp_type_info *info = desc;
    walk_fields(walk, info->props);
    if (info->description)
        walk_fields(walk, info->description->type.props);
    if (type->kind == BP_PROVIDE_DEVICE) {
        const struct bp_device_class *class = desc;
        if (class->bus && *class->bus && strcmp(class->bus, "system") &&
            !bpc_describe(BP_PROVIDE_BUS, class->bus, &bus, NULL))
            walk_bus_fields(walk, bus);
    }
    for (unsigned depth = 0; bpc_type_has_parent_level(type->kind, info) && depth < 32; depth++) {
        if (bpc_describe(bpc_type_parent_kind(type->kind), info->parent, &desc, NULL) < 0)
            break;
        info = desc;
        walk_fields(walk, info->props);
    }
    return 0;
}

/* Says why: denied, broken, in which package it is, or what the near names are. */
static int not_found(const char *name, bool devices_only, struct bp_error *err)
{
    static const enum bp_provide_kind kinds[] = {BP_PROVIDE_DEVICE, BP_PROVIDE_OBJECT};
    char hint[BPC_HINT_SIZE] = "";
    for (unsigned i = 0; i < (devices_only ? 1 : BP_COUNT(kinds)); i++) {
        struct bp_error why = {0};
        const void *desc;
        int ret = bpc_describe(kinds[i], name, &desc, &why);
        if (ret < 0 && ret != -ENOENT)
            return bp_fail(err, -ret, "%s", why.message);
        if (!*hint)
            bpc_missing_hint(kinds[i], name, hint, sizeof(hint));
    }
    return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "%s '%.200s' not found%s",
                         devices_only ? "Device" : "Class", name, hint);
}

static int each_field(const char *name, bool devices_only, const struct walk *walk,
                      struct bp_error *err)
{
    const void *alias;
    if (!bpc_describe(BP_PROVIDE_DEVICE, name, &alias, NULL))
        name = ((const struct bp_type_info *)alias)->name;
    struct bpc_type type;
    bool known = bpc_type_find(name, &type);
    if (!known)
        return not_found(name, devices_only, err);
    if (devices_only && !bpc_type_implements(name, "device"))
        return bp_fail(err, EINVAL, "Parameter 'typename' expects a device type, '%.200s' is none",
                       name);
    if (devices_only && type.abstract)
        return bp_fail(err, EINVAL, "Parameter 'typename' expects a non-abstract device type");
    if (!type.provided_as)
        return 0;
    return walk_class(walk, &type, err);
}

int bpc_type_each_field(const char *name, bool devices_only,
                        void (*fn)(const struct bp_field *field, void *opaque), void *opaque,
                        struct bp_error *err)
{
    const struct walk walk = {fn, opaque, g_hash_table_new(g_str_hash, g_str_equal), 0};
    int ret = each_field(name, devices_only, &walk, err);
    g_hash_table_unref(walk.seen);
    return ret;
}

int bpc_type_properties(const char *name, bool devices_only, struct bp_value **ret_list,
                        struct bp_error *err)
{
    struct bp_value *list = bp_value_list();
    int ret = bpc_type_each_field(name, devices_only, list_field, list, err);
    if (ret < 0)
        bp_value_unref(list);
    else
        *ret_list = list;
    return ret;
}
