/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What clients ask of migration before they start a machine. There is none yet: no capability but that its
 * events are sent, which holds of every event.
 */
#include <errno.h>
#include <string.h>

#include "command.h"

static bool send_events; /* capability "events" */

static const char *const capability_names[] = {"events", NULL};
static const struct bp_schema capability_name = {.name = "MigrationCapability", .kind = BP_KIND_ENUM,
                                                 .choices = capability_names};
static const struct bp_field capability_fields[] = {
    BP_ARG_TYPED("capability", ENUM, &capability_name, 0, "name"), BP_ARG("state", BOOL, "is it on?"),
    BP_FIELDS_END,
};
static const struct bp_schema capability = {.name = "MigrationCapabilityStatus", .kind = BP_KIND_STRUCT,
                                            .members = capability_fields};
static const struct bp_schema capability_list = {
    .name = "MigrationCapabilityStatusList", .kind = BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
    .element = &capability};

static int query_capabilities(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *entry = bp_value_dict();

    (void)err;
    bp_value_set(entry, "capability", bp_value_string("events"));
    bp_value_set(entry, "state", bp_value_bool(send_events));
    *ret_value = bp_value_list();
    bp_value_append(*ret_value, entry);
    return 0;
}
BP_COMMAND(cmd_query_capabilities, "query-migrate-capabilities", "What migration can do here", NULL, LIST,
           &capability_list, query_capabilities, BP_COMMAND_PRECONFIG);

static const struct bp_field set_args[] = {
    BP_ARG_TYPED("capabilities", LIST, &capability_list, 0, "which to switch on or off"), BP_FIELDS_END,
};

static int set_capabilities(struct bp_value *list, struct bp_error *err)
{
    (void)err;
    for (size_t i = 0; i < bp_value_length(list); i++)
        send_events = bp_value_as_bool(bp_value_get(bp_value_at(list, i), "state"));
    return 0;
}
BP_COMMAND(cmd_set_capabilities, "migrate-set-capabilities", "Switches what migration can do", set_args, NONE,
           NULL, set_capabilities, 0);

static const struct bp_field info_fields[] = {
    BP_ARG_OPT("status", STRING, "of a migration; left out: there was none"), BP_FIELDS_END,
};
static const struct bp_schema info = {.name = "MigrationInfo", .kind = BP_KIND_STRUCT, .members = info_fields};

static int query_migrate(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_dict();
    return 0;
}
BP_COMMAND(cmd_query_migrate, "query-migrate", "How a migration gets on", NULL, STRUCT, &info, query_migrate, 0);

const struct bp_command *const bpc_migrate_commands[] = {
    &cmd_query_capabilities, &cmd_set_capabilities, &cmd_query_migrate, NULL,
};
