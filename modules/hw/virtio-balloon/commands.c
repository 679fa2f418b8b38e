// SPDX-License-Identifier: LGPL-2.1-or-later
/* What monitors say to the balloon. */
#define BP_SHARED
#include <errno.h>

#include "balloon.h"

static struct balloon *find(struct bp_error *err)
{
    struct bp_machine *machine = bp_command_machine();
    struct bp_device *dev = machine ? bp_device_first(machine, BALLOON_TYPE) : NULL;

    if (!dev) {
        bp_fail(err, ENODEV, "No balloon device has been activated");
        return NULL;
    }
    return balloon_of(dev);
}

static int set(int64_t value, struct bp_error *err)
{
    struct balloon *s = find(err);

    if (!s)
        return -ENODEV;
    if (value <= 0)
        return bp_fail(err, EINVAL, "Parameter 'target' expects a size");
    balloon_set(s, (uint64_t)value);
    return 0;
}

static const struct bp_field set_args[] = {BP_ARG("value", INT64, "bytes that the guest is to have"), BP_FIELDS_END};
BP_COMMAND(balloon_command, "balloon", "Asks the guest to give memory back, or to take it",
           set_args, NONE, NULL, set, 0);

static const struct bp_field info_fields[] = {BP_ARG("actual", INT64, "bytes that the guest has"), BP_FIELDS_END};
static const struct bp_schema info_schema = {.name = "BalloonInfo", .kind = BP_KIND_STRUCT, .members = info_fields};

static int query(struct bp_value **ret_value, struct bp_error *err)
{
    struct balloon *s = find(err);

    if (!s)
        return -ENODEV;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "actual", bp_value_int((int64_t)balloon_actual(s)));
    return 0;
}
BP_COMMAND(balloon_query, "query-balloon", "How much memory the guest has", NULL, STRUCT, &info_schema, query, 0);

static void hmp_set(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};

    if (set(bp_value_as_int(bp_value_get(args, "value")) << 20, &err) < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}
static const struct bp_field hmp_args[] = {BP_ARG("value", INT64, "MiB that the guest is to have"), BP_FIELDS_END};
BP_HMP(balloon_hmp, "balloon", "target", "ask the guest to have so many MiB", hmp_args, hmp_set);

static void hmp_info(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    struct balloon *s = find(&err);

    (void)args;
    if (s)
        bp_monitor_printf(mon, "balloon: actual=%llu\n", (unsigned long long)(balloon_actual(s) >> 20));
    else
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}
BP_HMP(balloon_info, "info balloon", "", "show how much memory the guest has", NULL, hmp_info);

BP_EVENT(balloon_event, "BALLOON_CHANGE", "The guest has given memory back, or taken it", info_fields, 1000);
