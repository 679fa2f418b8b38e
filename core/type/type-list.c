/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties of types without making one: device-list-properties, qom-list-properties (type.h). */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/device.h>

#include "registry.h"
#include "schema.h"
#include "type.h"

static void list_field(struct bp_value *list, const struct bp_field *field)
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

static bool listed_already(const struct bp_value *list, const char *name)
{
    for (size_t i = 0; i < bp_value_length(list); i++) {
        if (!strcmp(bp_value_get_string(bp_value_at(list, i), "name"), name))
            return true;
    }
    return false;
}

static void list_fields(struct bp_value *list, const struct bp_field *fields)
{
    for (; fields && fields->name; fields++) {
        if (!(fields->flags & BP_FIELD_HIDDEN) && !listed_already(list, fields->name))
            list_field(list, fields);
    }
}

static int list_class(const struct bpc_type *type, struct bp_value *list, struct bp_error *err)
{
    const struct bp_type_info *info;
    int ret = bpc_type_info(type->kind, type->provided_as, &info, err);
    if (ret < 0)
        return ret;
    list_fields(list, info->props);
    if (type->kind == BP_PROVIDE_DEVICE) {
        const struct bp_device_class *class = (const struct bp_device_class *)info;
        const void *bus = NULL;
        if (class->bus && *class->bus && strcmp(class->bus, "system") &&
            !bpc_require(BP_PROVIDE_BUS, class->bus, &bus, NULL))
            list_fields(list, ((const struct bp_bus_class *)bus)->child_props);
    }
    for (unsigned depth = 0; info && info->parent && depth < 16; depth++) {
        info = bpc_find(BP_PROVIDE_ABSTRACT, info->parent);
        if (info)
            list_fields(list, info->props);
    }
    return 0;
}

/* libvirt asks for these whether or not they are listed and does not survive an error: a type that
 * is not here has no properties. */
static bool is_probed(const char *name)
{
    static const char *const names[] = {"memory-backend-file", "memory-backend-memfd",
                                        "none-machine", "generic-pc-machine", "max-x86_64-cpu"};
    for (unsigned i = 0; i < BP_COUNT(names); i++) {
        if (!strcmp(names[i], name))
            return true;
    }
    return false;
}

int bpc_type_properties(const char *name, bool devices_only, struct bp_value **ret_list,
                        struct bp_error *err)
{
    struct bpc_type type;
    const struct bp_device_class *alias = bpc_find(BP_PROVIDE_DEVICE, name);
    if (alias)
        name = alias->type.name;
    bool known = bpc_type_find(name, &type);
    if (!known && !devices_only && is_probed(name)) {
        *ret_list = bp_value_list();
        return 0;
    }
    if (!known)
        return bp_fail_class(
            err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT,
            devices_only ? "Device '%.200s' not found" : "Class '%.200s' not found", name);
    if (devices_only && !bpc_type_implements(name, "device"))
        return bp_fail(err, EINVAL, "Parameter 'typename' expects a device type, '%.200s' is none",
                       name);
    if (devices_only && type.abstract)
        return bp_fail(err, EINVAL, "Parameter 'typename' expects a non-abstract device type");
    struct bp_value *list = bp_value_list();
    int ret = type.provided_as ? list_class(&type, list, err) : 0;
    if (ret < 0)
        bp_value_unref(list);
    else
        *ret_list = list;
    return ret;
}
