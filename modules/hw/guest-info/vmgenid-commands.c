/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What monitors ask of the generation counter. */
#define BP_SHARED
#include <errno.h>

#include "vmgenid.h"

static int find(char text[VMGENID_TEXT], struct bp_error *err)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_device *dev = machine ? bp_device_first(machine, "vmgenid") : NULL;

    if (!dev)
        return bp_fail(err, ENODEV, "VM Generation ID device not found");
    vmgenid_text(bp_device_state(dev), text);
    return 0;
}

static const struct bp_field guid_fields[] = {
    BP_ARG("guid", STRING, "the number as a UUID"),
    BP_FIELDS_END,
};
static const struct bp_schema guid_info = {.name = "GuidInfo", .kind = BP_KIND_STRUCT, .members = guid_fields};

static int query(struct bp_value **ret_value, struct bp_error *err)
{
    char text[VMGENID_TEXT];
    int r = find(text, err);

    if (r < 0)
        return r;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "guid", bp_value_string(text));
    return 0;
}
BP_COMMAND(vmgenid_query, "query-vm-generation-id", "The number that tells generations of the machine apart",
           NULL, STRUCT, &guid_info, query, 0);

static void info(struct bp_monitor *mon, struct bp_value *args)
{
    char text[VMGENID_TEXT];
    struct bp_error err = {0};

    (void)args;
    if (find(text, &err) < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
    else
        bp_monitor_printf(mon, "%s\n", text);
}
BP_HMP(vmgenid_info, "info vm-generation-id", "", "show VM generation ID", NULL, info);
