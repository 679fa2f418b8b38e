/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP commands over the object tree and types, and those that make and remove things. */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "device.h"
#include "machine.h"
#include "object.h"
#include "type.h"

/* ---- object tree ---- */

static const struct bp_field property_fields[] = {
    BP_ARG("name", STRING, "name"),
    BP_ARG("type", STRING, "type"),
    BP_ARG_OPT("description", STRING, "what it is"),
    BP_ARG_OPT("default-value", ANY, "default"),
    BP_FIELDS_END,
};
static const struct bp_schema property_info = {.name = "ObjectPropertyInfo",
                                               .kind = BP_KIND_STRUCT, .members = property_fields};
static const struct bp_schema property_list = {.name = "ObjectPropertyInfoList",
                                               .kind = BP_KIND_LIST,
                                               .element_kind = BP_KIND_STRUCT,
                                               .element = &property_info};

static int find_object(const char *path, struct bp_object **ret_obj, struct bp_error *err)
{
    bool ambiguous = false;
    struct bp_object *obj = bp_object_resolve(path, NULL, &ambiguous);

    if (!obj && ambiguous)
        return bp_fail(err, ENOTUNIQ, "Path '%.200s' does not uniquely identify an object", path);
    if (!obj)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "Device '%.200s' not found",
                             path);
    *ret_obj = obj;
    return 0;
}

static const struct bp_field path_args[] = {
    BP_ARG("path", STRING, "path in the object tree"), BP_FIELDS_END,
};

static int qom_list(const char *path, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_object *obj = NULL;
    int ret = find_object(path, &obj, err);

    if (ret == 0)
        *ret_value = bpc_object_list(obj);
    return ret;
}
BP_COMMAND(cmd_qom_list, "qom-list", "Properties and children of an object", path_args, LIST,
           &property_list, qom_list, BP_COMMAND_PRECONFIG);

static const struct bp_field get_args[] = {
    BP_ARG("path", STRING, "path in the object tree"),
    BP_ARG("property", STRING, "name of the property"),
    BP_FIELDS_END,
};

static int qom_get(const char *path, const char *property, struct bp_value **ret_value,
                   struct bp_error *err)
{
    struct bp_object *obj = NULL;
    int ret = find_object(path, &obj, err);

    return ret < 0 ? ret : bp_object_get(obj, property, ret_value, err);
}
BP_COMMAND(cmd_qom_get, "qom-get", "Value of an object's property", get_args, ANY, NULL, qom_get,
           BP_COMMAND_PRECONFIG);

static const struct bp_field set_args[] = {
    BP_ARG("path", STRING, "path in the object tree"),
    BP_ARG("property", STRING, "name of the property"),
    BP_ARG("value", ANY, "new value"),
    BP_FIELDS_END,
};

static int qom_set(const char *path, const char *property, struct bp_value *value,
                   struct bp_error *err)
{
    struct bp_object *obj = NULL;
    int ret = find_object(path, &obj, err);

    return ret < 0 ? ret : bp_object_set(obj, property, value, err);
}
BP_COMMAND(cmd_qom_set, "qom-set", "Sets an object's property", set_args, NONE, NULL, qom_set,
           BP_COMMAND_PRECONFIG);

/* ---- types ---- */

static const struct bp_field types_args[] = {
    BP_ARG_OPT("implements", STRING, "only types below this one"),
    BP_ARG_OPT("abstract", BOOL, "also those that cannot be made"),
    BP_FIELDS_END,
};
static const struct bp_field type_fields[] = {
    BP_ARG("name", STRING, "name"),
    BP_ARG_OPT("abstract", BOOL, "cannot be made"),
    BP_ARG_OPT("parent", STRING, "parent type"),
    BP_FIELDS_END,
};
static const struct bp_schema type_info = {.name = "ObjectTypeInfo", .kind = BP_KIND_STRUCT,
                                           .members = type_fields};
static const struct bp_schema type_list = {.name = "ObjectTypeInfoList", .kind = BP_KIND_LIST,
                                           .element_kind = BP_KIND_STRUCT, .element = &type_info};

static void add_type(const struct bpc_type *type, void *opaque)
{
    struct bp_value *entry = bp_value_dict();

    bp_value_set(entry, "name", bp_value_string(type->name));
    if (type->abstract)
        bp_value_set(entry, "abstract", bp_value_bool(true));
    if (type->parent)
        bp_value_set(entry, "parent", bp_value_string(type->parent));
    bp_value_append(opaque, entry);
}

static int qom_list_types(const char *implements, bool has_abstract, bool abstract,
                          struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    bpc_each_type(implements, has_abstract && abstract, add_type, *ret_value);
    return 0;
}
BP_COMMAND(cmd_qom_list_types, "qom-list-types", "Types of objects", types_args, LIST, &type_list,
           qom_list_types, BP_COMMAND_PRECONFIG);

static const struct bp_field typename_args[] = {
    BP_ARG("typename", STRING, "name of the type"), BP_FIELDS_END,
};

static int qom_list_properties(const char *name, struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_error why = {0};
    int ret = bpc_type_properties(name, false, ret_value, &why);

    /* Clients ask for boards and CPU models whether or not they are listed, and do not survive an error: one
     * that is not here has no properties. */
    if (ret == -ENOENT && bpc_type_is_of_machine(name)) {
        *ret_value = bp_value_list();
        return 0;
    }
    if (ret < 0 && err)
        *err = why;
    return ret;
}
BP_COMMAND(cmd_qom_list_properties, "qom-list-properties", "Properties of a type", typename_args,
           LIST, &property_list, qom_list_properties, BP_COMMAND_PRECONFIG);

static int device_list_properties(const char *name, struct bp_value **ret_value,
                                  struct bp_error *err)
{
    return bpc_type_properties(name, true, ret_value, err);
}
BP_COMMAND(cmd_device_list_properties, "device-list-properties", "Properties of a device type",
           typename_args, LIST, &property_list, device_list_properties, BP_COMMAND_PRECONFIG);

/* ---- devices and objects ---- */

static const struct bp_field device_add_args[] = {
    BP_ARG("driver", STRING, "type of the device"),
    BP_ARG_OPT("bus", STRING, "bus it plugs into"),
    BP_ARG_OPT("id", STRING, "its name"),
    BP_FIELDS_END,
};

static int device_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    (void)ret_value;
    return bpc_device_add(bpc_the_machine, args, true, err);
}

static const char *const device_add_features[] = {"json-cli", "json-cli-hotplug", NULL};
BP_NOTE("provides=command:device_add;summary=Plugs a device in");
static const struct bp_command cmd_device_add = {
    .size = sizeof(struct bp_command), .flags = BP_COMMAND_RAW | BP_COMMAND_ANY_ARGS,
    .name = "device_add", .summary = "Plugs a device in", .args = device_add_args,
    .returns = BP_KIND_NONE, .fn = (void (*)(void))device_add, .features = device_add_features,
};

static const struct bp_field id_args[] = {
    BP_ARG("id", STRING, "its id, or path"), BP_FIELDS_END,
};

static int device_del(const char *id, struct bp_error *err)
{
    return bpc_device_del(id, err);
}
BP_COMMAND(cmd_device_del, "device_del", "Unplugs a device", id_args, NONE, NULL, device_del, 0);

static const struct bp_field object_add_args[] = {
    BP_ARG("qom-type", STRING, "type of the object"),
    BP_ARG("id", STRING, "its name"),
    BP_FIELDS_END,
};

static int object_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    (void)ret_value;
    return bpc_object_add(args, err);
}
BP_COMMAND(cmd_object_add, "object-add", "Makes an object", object_add_args, NONE, NULL, object_add,
           BP_COMMAND_RAW | BP_COMMAND_ANY_ARGS | BP_COMMAND_PRECONFIG | BP_COMMAND_COROUTINE);

static int object_del(const char *id, struct bp_error *err)
{
    return bpc_object_del(id, err);
}
BP_COMMAND(cmd_object_del, "object-del", "Removes an object", id_args, NONE, NULL, object_del,
           BP_COMMAND_PRECONFIG);

const struct bp_command *const bpc_object_commands[] = {
    &cmd_qom_list, &cmd_qom_get, &cmd_qom_set, &cmd_qom_list_types, &cmd_qom_list_properties,
    &cmd_device_list_properties, &cmd_device_add, &cmd_device_del, &cmd_object_add,
    &cmd_object_del, NULL,
};
