/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP commands that only tell: version, target, machines, CPUs, names, options, modules, schema. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include <bp/exact/cpu.h>
#include <bp/option.h>

#include "command.h"
#include "config.h"
#include "machine.h"
#include "option-groups.h"
#include "registry.h"
#include "schema.h"
#include "type.h"
#include "version.h"

#define QUERY(IDENT, NAME, SUMMARY, ARGS, RETURNS, SCHEMA, FN) \
    BP_COMMAND(IDENT, NAME, SUMMARY, ARGS, RETURNS, SCHEMA, FN, BP_COMMAND_PRECONFIG)

/* ---- version, target, kvm, name, uuid ---- */

static const struct bp_field version_triple_fields[] = {
    BP_ARG("major", INT64, "major"), BP_ARG("minor", INT64, "minor"), BP_ARG("micro", INT64, "micro"),
    BP_FIELDS_END,
};
static const struct bp_schema version_triple = {.name = "VersionTriple", .kind = BP_KIND_STRUCT,
                                                .members = version_triple_fields};
static const struct bp_field version_fields[] = {
    BP_ARG_TYPED("qemu", STRUCT, &version_triple, 0, "version whose protocol this is"),
    BP_ARG("package", STRING, "our own name and version"),
    BP_FIELDS_END,
};
static const struct bp_schema version_info = {.name = "VersionInfo", .kind = BP_KIND_STRUCT,
                                              .members = version_fields};

static int query_version(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *info = bp_value_dict(), *triple = bp_value_dict();

    (void)err;
    bp_value_set(triple, "micro", bp_value_int(BPC_COMPATIBLE_MICRO));
    bp_value_set(triple, "minor", bp_value_int(BPC_COMPATIBLE_MINOR));
    bp_value_set(triple, "major", bp_value_int(BPC_COMPATIBLE_MAJOR));
    bp_value_set(info, "qemu", triple);
    bp_value_set(info, "package", bp_value_string(BPC_PACKAGE));
    *ret_value = info;
    return 0;
}
QUERY(cmd_query_version, "query-version", "Version of the emulator", NULL, STRUCT, &version_info,
      query_version);

static const struct bp_field target_fields[] = {
    BP_ARG("arch", STRING, "guest architecture"), BP_FIELDS_END,
};
static const struct bp_schema target_info = {.name = "TargetInfo", .kind = BP_KIND_STRUCT,
                                             .members = target_fields};

static int query_target(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "arch", bp_value_string(bpc_config.arch));
    return 0;
}
QUERY(cmd_query_target, "query-target", "Guest architecture", NULL, STRUCT, &target_info,
      query_target);

static const struct bp_field kvm_fields[] = {
    BP_ARG("enabled", BOOL, "KVM runs this machine"),
    BP_ARG("present", BOOL, "KVM could be used"),
    BP_FIELDS_END,
};
static const struct bp_schema kvm_info = {.name = "KvmInfo", .kind = BP_KIND_STRUCT,
                                          .members = kvm_fields};

struct find_known {
    const char *name;
    bool found;
};

static void match_known(const struct bpc_known *known, void *opaque)
{
    struct find_known *f = opaque;

    f->found = f->found || strcmp(known->name, f->name) == 0;
}

static int query_kvm(struct bp_value **ret_value, struct bp_error *err)
{
    struct find_known kvm = {"kvm", false};
    const char *accel = bp_machine_accel_name(bpc_the_machine);

    (void)err;
    bpc_each_known(BP_PROVIDE_ACCEL, match_known, &kvm);
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "enabled", bp_value_bool(accel && strcmp(accel, "kvm") == 0));
    bp_value_set(*ret_value, "present", bp_value_bool(kvm.found));
    return 0;
}
QUERY(cmd_query_kvm, "query-kvm", "Is KVM there and used", NULL, STRUCT, &kvm_info, query_kvm);

static const struct bp_field name_fields[] = {
    BP_ARG_OPT("name", STRING, "name of the guest"), BP_FIELDS_END,
};
static const struct bp_schema name_info = {.name = "NameInfo", .kind = BP_KIND_STRUCT,
                                           .members = name_fields};

static int query_name(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_dict();
    if (bpc_config.guest_name)
        bp_value_set(*ret_value, "name", bp_value_string(bpc_config.guest_name));
    return 0;
}
QUERY(cmd_query_name, "query-name", "Name of the guest", NULL, STRUCT, &name_info, query_name);

static const struct bp_field uuid_fields[] = {
    BP_ARG("UUID", STRING, "UUID of the machine"), BP_FIELDS_END,
};
static const struct bp_schema uuid_info = {.name = "UuidInfo", .kind = BP_KIND_STRUCT,
                                           .members = uuid_fields};

static int query_uuid(struct bp_value **ret_value, struct bp_error *err)
{
    char text[40];
    int n = 0;

    (void)err;
    for (unsigned i = 0; i < 16; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%02x",
                      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bpc_config.uuid[i]);
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "UUID", bp_value_string(text));
    return 0;
}
QUERY(cmd_query_uuid, "query-uuid", "UUID of the machine", NULL, STRUCT, &uuid_info, query_uuid);

/* ---- commands ---- */

static const struct bp_field command_fields[] = {
    BP_ARG("name", STRING, "name"), BP_FIELDS_END,
};
static const struct bp_schema command_info = {.name = "CommandInfo", .kind = BP_KIND_STRUCT,
                                              .members = command_fields};
static const struct bp_schema command_list = {.name = "CommandInfoList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT,
                                              .element = &command_info};

static void add_name(const struct bpc_known *known, void *opaque)
{
    struct bp_value *entry = bp_value_dict();

    bp_value_set(entry, "name", bp_value_string(known->name));
    bp_value_append(opaque, entry);
}

static int query_commands(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    bpc_each_known(BP_PROVIDE_COMMAND, add_name, *ret_value);
    return 0;
}
QUERY(cmd_query_commands, "query-commands", "Names of all commands", NULL, LIST, &command_list,
      query_commands);

/* ---- machines ---- */

static const struct bp_field machine_fields[] = {
    BP_ARG("name", STRING, "name of the board"),
    BP_ARG_OPT("alias", STRING, "another name"),
    BP_ARG_OPT("is-default", BOOL, "used without -machine"),
    BP_ARG("cpu-max", INT64, "most CPUs"),
    BP_ARG("hotpluggable-cpus", BOOL, "CPUs can be plugged in"),
    BP_ARG("numa-mem-supported", BOOL, "-numa node,mem="),
    BP_ARG("deprecated", BOOL, "going to be removed"),
    BP_ARG_OPT("default-cpu-type", STRING, "type of the default CPU model"),
    BP_ARG_OPT("default-ram-id", STRING, "id of main memory"),
    BP_ARG("acpi", BOOL, "has ACPI tables"),
    BP_FIELDS_END,
};
static const struct bp_schema machine_info = {.name = "MachineInfo", .kind = BP_KIND_STRUCT,
                                              .members = machine_fields};
static const struct bp_schema machine_list = {.name = "MachineInfoList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT,
                                              .element = &machine_info};

static bool has_prop(const struct bp_type_info *info, const char *name)
{
    return bpc_schema_find(info->props, name) != NULL;
}

struct machine_walk {
    struct bp_value *list;
    GHashTable *seen; /* classes: an alias leads to one that was listed */
};

static void add_machine(const struct bpc_known *known, void *opaque)
{
    struct machine_walk *w = opaque;
    const struct bp_board_class *board;
    struct bp_value *m;
    const void *desc;

    /* A board whose module is broken cannot be used, so it is not listed. */
    if (bpc_describe(BP_PROVIDE_BOARD, known->name, &desc, NULL) < 0)
        return;
    board = desc;
    if (!bpc_arch_in(board->arch, bpc_config.arch))
        return;
    if (!g_hash_table_add(w->seen, (void *)board))
        return;
    m = bp_value_dict();
    bp_value_set(m, "name", bp_value_string(board->type.name));
    if (board->alias)
        bp_value_set(m, "alias", bp_value_string(board->alias));
    if (board->is_default)
        bp_value_set(m, "is-default", bp_value_bool(true));
    bp_value_set(m, "cpu-max", bp_value_int(board->max_cpus ? board->max_cpus : 1));
    bp_value_set(m, "hotpluggable-cpus", bp_value_bool(board->hotpluggable_cpus));
    bp_value_set(m, "numa-mem-supported", bp_value_bool(board->numa_mem));
    bp_value_set(m, "deprecated", bp_value_bool(board->deprecated != NULL));
    if (board->default_cpu)
        bp_value_set(m, "default-cpu-type",
                     bp_value_string_printf("%s-%s-cpu", board->default_cpu, board->arch));
    if (board->default_ram_id)
        bp_value_set(m, "default-ram-id", bp_value_string(board->default_ram_id));
    bp_value_set(m, "acpi", bp_value_bool(has_prop(&board->type, "acpi")));
    bp_value_append(w->list, m);
}

static int query_machines(struct bp_value **ret_value, struct bp_error *err)
{
    struct machine_walk walk = {bp_value_list(), g_hash_table_new(NULL, NULL)};

    (void)err;
    bpc_each_known(BP_PROVIDE_BOARD, add_machine, &walk);
    g_hash_table_destroy(walk.seen);
    *ret_value = walk.list;
    return 0;
}
QUERY(cmd_query_machines, "query-machines", "Boards that can be emulated", NULL, LIST,
      &machine_list, query_machines);

/* ---- command-line options ---- */

static const struct bp_field option_args[] = {
    BP_ARG_OPT("option", STRING, "only this one"), BP_FIELDS_END,
};
static const struct bp_field parameter_fields[] = {
    BP_ARG("name", STRING, "key"),
    BP_ARG("type", STRING, "string, boolean, number or size"),
    BP_ARG_OPT("help", STRING, "what it is"),
    BP_ARG_OPT("default", STRING, "default"),
    BP_FIELDS_END,
};
static const struct bp_schema parameter_info = {.name = "CommandLineParameterInfo",
                                                .kind = BP_KIND_STRUCT,
                                                .members = parameter_fields};
static const struct bp_schema parameter_list = {.name = "CommandLineParameterInfoList",
                                                .kind = BP_KIND_LIST,
                                                .element_kind = BP_KIND_STRUCT,
                                                .element = &parameter_info};
static const struct bp_field option_fields[] = {
    BP_ARG("option", STRING, "name without dashes"),
    BP_ARG_TYPED("parameters", LIST, &parameter_list, 0, "its keys"),
    BP_FIELDS_END,
};
static const struct bp_schema option_info = {.name = "CommandLineOptionInfo",
                                             .kind = BP_KIND_STRUCT, .members = option_fields};
static const struct bp_schema option_list = {.name = "CommandLineOptionInfoList",
                                             .kind = BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
                                             .element = &option_info};

/* Of a key that several boards have, the first is told. */
static void describe_key(const struct bp_field *f, void *opaque)
{
    struct bp_value *list = opaque, *p;
    const char *type = f->kind == BP_KIND_BOOL ? "boolean" : f->kind == BP_KIND_SIZE ? "size"
                     : bpc_schema_is_integer(f->kind) ? "number" : "string";

    if (f->flags & BP_FIELD_HIDDEN)
        return;
    for (size_t i = 0; i < bp_value_length(list); i++) {
        if (strcmp(bp_value_get_string(bp_value_at(list, i), "name"), f->name) == 0)
            return;
    }
    p = bp_value_dict();
    bp_value_set(p, "name", bp_value_string(f->name));
    bp_value_set(p, "type", bp_value_string(type));
    if (f->help)
        bp_value_set(p, "help", bp_value_string(f->help));
    if (f->def)
        bp_value_set(p, "default", bp_value_string(f->def));
    bp_value_append(list, p);
}

static void describe_board(const struct bpc_known *known, void *opaque)
{
    const void *desc;

    if (bpc_describe(BP_PROVIDE_BOARD, known->name, &desc, NULL) == 0)
        bpc_type_each_field(bpc_type_public_name(BP_PROVIDE_BOARD, desc), false, describe_key, opaque,
                            NULL);
}

/* -machine has the properties of the boards, too: clients look for "hpet" there. */
static struct bp_value *describe_keys(const struct bp_option *option)
{
    struct bp_value *list = bp_value_list();

    for (const struct bp_field *f = option->keys; f && f->name; f++)
        describe_key(f, list);
    if (strcmp(option->name, "machine") == 0) {
        for (const struct bp_field *f = bpc_machine_props; f->name; f++)
            describe_key(f, list);
        bpc_each_known(BP_PROVIDE_BOARD, describe_board, list);
    }
    return list;
}

struct option_walk {
    struct bp_value *list;
    const char *only;
};

static void add_entry(struct option_walk *w, const char *name, const struct bp_option *option)
{
    struct bp_value *entry;

    if (w->only && strcmp(w->only, name) != 0)
        return;
    entry = bp_value_dict();
    bp_value_set(entry, "option", bp_value_string(name));
    bp_value_set(entry, "parameters", describe_keys(option));
    bp_value_append(w->list, entry);
}

/* Under the option's name, and under its group's, which is what clients know. */
static void add_option(const struct bpc_known *known, void *opaque)
{
    const char *group = bpc_option_group(known->name);
    const void *desc;

    if (bpc_describe(BP_PROVIDE_OPTION, known->name, &desc, NULL) < 0)
        return;
    add_entry(opaque, known->name, desc);
    if (group)
        add_entry(opaque, group, desc);
}

static int query_options(const char *only, struct bp_value **ret_value, struct bp_error *err)
{
    struct option_walk w = {bp_value_list(), only};

    bpc_each_known(BP_PROVIDE_OPTION, add_option, &w);
    if (only && bp_value_length(w.list) == 0) {
        char hint[BPC_HINT_SIZE];

        bp_value_unref(w.list);
        bpc_missing_hint(BP_PROVIDE_OPTION, only, hint, sizeof(hint));
        return bp_fail(err, ENOENT, "there is no option '%.100s'%s", only, hint);
    }
    *ret_value = w.list;
    return 0;
}
QUERY(cmd_query_options, "query-command-line-options", "Options and their keys", option_args, LIST,
      &option_list, query_options);

/* ---- the schema ---- */

static const struct bp_schema any_list = {.name = "anyList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_ANY};

static int query_schema(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bpc_introspect();
    return 0;
}
QUERY(cmd_query_schema, "query-qmp-schema", "Commands, events and their types", NULL, LIST,
      &any_list, query_schema);

const struct bp_command *const bpc_query_commands[] = {
    &cmd_query_version, &cmd_query_target, &cmd_query_kvm, &cmd_query_name, &cmd_query_uuid,
    &cmd_query_commands, &cmd_query_machines, &cmd_query_options,
    &cmd_query_schema, NULL,
};
