/* SPDX-License-Identifier: MIT */
/* @name@: a command of the human monitor. Names like "info NAME" belong to its info command. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/command.h>

static const struct bp_field @ident@_args[] = {
    BP_ARG("value", INT64, "a number"),
    BP_FIELDS_END};

static void @ident@_run(struct bp_monitor *mon, struct bp_value *args)
{
    bp_monitor_printf(mon, "the value is %d\n",
                      (int)bp_value_as_int(bp_value_get(args, "value")));
}

BP_HMP(@ident@, "@name@", "value", "One line of help", @ident@_args, @ident@_run);
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_HMP, &@ident@});
