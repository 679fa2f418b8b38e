/* SPDX-License-Identifier: MIT */
/* @name@: an option of the command line, -@name@ [level=]N[,quiet=on]. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/log.h>
#include <bp/option.h>
#include <bp/value.h>

static const struct bp_field @ident@_keys[] = {
    {.name = "level", .kind = BP_KIND_UINT8, .help = "how much", .min = 1, .max = 10},
    {.name = "quiet", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL, .help = "say nothing"},
    BP_FIELDS_END};

/* The keys are checked; those that were not given are not in the dict. */
static int @ident@_apply(struct bp_value *args, struct bp_error *err)
{
    uint64_t level = bp_value_as_uint(bp_value_get(args, "level"));

    if (!bp_value_as_bool(bp_value_get(args, "quiet")))
        bp_info("@name@ is at level %u", (unsigned)level);
    return 0;
}

BP_OPTION(@ident@, "@name@", "One line of help", .phase = BP_PHASE_EARLY, .keys = @ident@_keys,
          .arg = "[level=]N[,quiet=on|off]", .implied = "level", .apply = @ident@_apply);
BP_MODULE("@module@", "One line of help", BP_NO_IMPORTS, {BP_PROVIDE_OPTION, &@ident@});
