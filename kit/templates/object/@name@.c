/* SPDX-License-Identifier: MIT */
/* @name@: an object that users make with -object @name@,id=ID. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/module.h>
#include <bp/object.h>

struct @ident@ {
    uint32_t level;
};

static const struct bp_field @ident@_props[] = {
    BP_PROP_RANGE("level", UINT32, struct @ident@, level, "1", 1, 10, "how much"),
    BP_FIELDS_END};

/* All properties are set: claim what it needs. */
static int @ident@_complete(struct bp_object *obj, struct bp_error *err)
{
    return 0;
}

BP_NOTE("provides=object:@name@;summary=One line of help");
static const struct bp_object_class @ident@ = {
    .type = {.size = sizeof(struct bp_object_class), .name = "@name@",
             .summary = "One line of help", .state_size = sizeof(struct @ident@),
             .props = @ident@_props},
    .complete = @ident@_complete};
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_OBJECT, &@ident@});
