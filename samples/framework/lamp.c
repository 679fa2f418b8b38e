/* SPDX-License-Identifier: MIT */
/* The framework of lamps (lamp.h): its kind, -lamp, lamp-switch and query-lamps. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/command.h>
#include <bp/option.h>

#include <errno.h>
#include <string.h>

#include "lamp.h"

static int switch_lamp(struct bp_object *obj, bool on, struct bp_error *err)
{
    const struct acme_lamp_class *lamp = bp_object_class(obj);

    return lamp->light(bp_object_state(obj), on, err);
}

/* ---- the kind ---- */

static int check_class(const void *desc, struct bp_error *err)
{
    const struct acme_lamp_class *lamp = desc;

    return lamp->light ? 0 : bp_fail(err, EINVAL, "cannot be switched: it has no light function");
}

static int exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err)
{
    struct bp_object *obj;
    int ret = bp_object_new("lamp", name, "check", NULL, NULL, &obj, err);

    if (ret < 0)
        return ret;
    ret = switch_lamp(obj, true, err);
    wait(opaque);
    if (ret == 0)
        ret = switch_lamp(obj, false, err);
    bp_object_destroy(obj);
    return ret;
}

BP_DECLARE_KIND("lamp", "Lamps");
static const struct bp_kind kind = {ACME_LAMP_KIND, .check = check_class, .exercise = exercise};

/* ---- -lamp ---- */

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *driver = bp_value_get_string(args, "driver"), *id = bp_value_get_string(args, "id");
    struct bp_value *props;
    struct bp_object *obj;
    int ret;

    if (!driver || !id)
        return bp_fail(err, EINVAL, "-lamp: \"%s\" is missing", driver ? "id" : "driver");
    props = bp_value_copy(args);
    bp_value_remove(props, "driver");
    bp_value_remove(props, "id");
    ret = bp_object_new("lamp", driver, id, NULL, props, &obj, err);
    bp_value_unref(props);
    return ret < 0 ? ret : switch_lamp(obj, true, err);
}

static const struct bp_field keys[] = {
    BP_ARG_OPT("driver", STRING, "name of the lamp; help lists them"),
    BP_ARG_OPT("id", STRING, "name by which it is switched"), BP_FIELDS_END};
BP_OPTION(option, "lamp", "adds a lamp", .phase = BP_PHASE_OBJECT, .arg = "driver,id=ID[,KEY=VALUE...]",
          .group = "Lamps", .keys = keys, .implied = "driver", .any_keys = true, .apply = apply);

/* ---- QMP ---- */

static int lamp_switch(const char *id, bool on, struct bp_error *err)
{
    struct bp_object *obj = bp_object_resolve(id, "lamp", NULL);

    return obj ? switch_lamp(obj, on, err) : bp_fail(err, ENOENT, "There is no lamp '%s'", id);
}

static const struct bp_field switch_args[] = {
    BP_ARG("id", STRING, "which one"), BP_ARG("on", BOOL, "or off"), BP_FIELDS_END};
BP_COMMAND(cmd_switch, "lamp-switch", "switches a lamp", switch_args, NONE, NULL, lamp_switch, 0);

static void add_name(const char *name, const char *summary, void *list)
{
    (void)summary;
    bp_value_append(list, bp_value_string(name));
}

static int query_lamps(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    bp_provided_each("lamp", add_name, *ret_value);
    return 0;
}

static const struct bp_schema names = {"LampNames", BP_KIND_LIST, .element_kind = BP_KIND_STRING};
BP_COMMAND(cmd_query, "query-lamps", "names of all lamps that there are", NULL, LIST, &names,
           query_lamps, 0);

BP_MODULE("lamp", "Lamps", BP_NO_IMPORTS, {BP_PROVIDE_KIND, &kind}, {BP_PROVIDE_OPTION, &option},
          {BP_PROVIDE_COMMAND, &cmd_switch}, {BP_PROVIDE_COMMAND, &cmd_query});
