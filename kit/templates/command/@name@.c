/* SPDX-License-Identifier: MIT */
/* @name@: a QMP command. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/command.h>

static const struct bp_field @ident@_args[] = {
    BP_ARG("value", INT64, "a number"),
    BP_FIELDS_END};

/* An argument for each entry of the table, in its order (bp/command.h). */
static int @ident@_run(int64_t value, struct bp_value **ret_value, struct bp_error *err)
{
    *ret_value = bp_value_int(value);
    return 0;
}

BP_COMMAND(@ident@, "@name@", "One line of help", @ident@_args, INT64, NULL, @ident@_run, 0);
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_COMMAND, &@ident@});
