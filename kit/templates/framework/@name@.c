/* SPDX-License-Identifier: MIT */
/* The framework of the kind @name@: -@name@, and a first one of it, `plain`. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/option.h>

#include <errno.h>

#include "@name@.h"

static int work(struct bp_object *obj, struct bp_error *err)
{
    const struct @ident@_class *class = bp_object_class(obj);

    return class->work(bp_object_state(obj), err);
}

/* ---- the kind ---- */

/* Before one is registered. */
static int @ident@_check(const void *desc, struct bp_error *err)
{
    const struct @ident@_class *class = desc;

    return class->work ? 0 : bp_fail(err, EINVAL, "has no work function");
}

/* For `backplane-module check`. */
static int @ident@_exercise(const char *name, void (*wait)(void *opaque), void *opaque,
                            struct bp_error *err)
{
    struct bp_object *obj;
    int ret = bp_object_new("@name@", name, "check", NULL, NULL, &obj, err);

    if (ret < 0)
        return ret;
    ret = work(obj, err);
    wait(opaque);
    bp_object_destroy(obj);
    return ret;
}

BP_DECLARE_KIND("@name@", "One line of help");
static const struct bp_kind declared = {
    @IDENT@_KIND, .check = @ident@_check, .exercise = @ident@_exercise};

/* ---- the option ---- */

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *driver = bp_value_get_string(args, "driver"), *id = bp_value_get_string(args, "id");
    struct bp_value *props;
    struct bp_object *obj;
    int ret;

    if (!driver || !id)
        return bp_fail(err, EINVAL, "\"%s\" is missing", driver ? "id" : "driver");
    props = bp_value_copy(args);
    bp_value_remove(props, "driver");
    bp_value_remove(props, "id");
    ret = bp_object_new("@name@", driver, id, NULL, props, &obj, err);
    bp_value_unref(props);
    return ret < 0 ? ret : work(obj, err);
}

static const struct bp_field keys[] = {
    BP_ARG_OPT("driver", STRING, "which one; help lists them"),
    BP_ARG_OPT("id", STRING, "name by which others refer to it"), BP_FIELDS_END};
BP_OPTION(option, "@name@", "One line of help", .phase = BP_PHASE_OBJECT,
          .arg = "driver,id=ID[,KEY=VALUE...]", .group = "Devices and objects", .keys = keys,
          .implied = "driver", .any_keys = true, .apply = apply);

/* ---- the first one ---- */

struct plain {
    uint32_t level;
    bool worked;
};

static const struct bp_field plain_props[] = {
    BP_PROP_RANGE("level", UINT32, struct plain, level, "1", 1, 10, "how much"),
    {.name = "worked", .kind = BP_KIND_BOOL, .flags = BP_FIELD_READ_ONLY,
     .offset = offsetof(struct plain, worked), .help = "it did its work"},
    BP_FIELDS_END};

static int plain_work(void *state, struct bp_error *err)
{
    ((struct plain *)state)->worked = true;
    return 0;
}

@IDENT@(plain, "plain", "The plain one", struct plain, plain_props, .colour = "gray",
        .work = plain_work);
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_KIND, &declared},
          {BP_PROVIDE_OPTION, &option}, {BP_PROVIDE_OTHER, &plain});
