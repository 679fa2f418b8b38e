/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules over QMP and the monitor: query-modules, module-load, MODULE_LOADED, info modules. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <glib.h>

#include "command.h"
#include "hmp.h"
#include "monitor-list.h"
#include "registry.h"

/* ---- schemas ---- */

static const char *const state_names[] = {"available", "loading", "loaded", "failed", "denied",
                                          NULL};
static const struct bp_schema module_state = {.name = "ModuleState", .kind = BP_KIND_ENUM,
                                              .choices = state_names};
static const struct bp_schema string_list = {.name = "strList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRING};
static const struct bp_field module_fields[] = {
    BP_ARG("name", STRING, "its name"),
    BP_ARG_TYPED("state", ENUM, &module_state, 0, "what became of it"),
    BP_ARG("file", STRING, "its file"),
    BP_ARG("origin", STRING, "why it was looked at: build tree, system, environment, option, path"),
    BP_ARG_OPT("directory", STRING, "the module directory that it is in"),
    BP_ARG_OPT("summary", STRING, "what it is"),
    BP_ARG_OPT("version", STRING, "its version"),
    BP_ARG_OPT("license", STRING, "its license"),
    BP_ARG_OPT("abi", STRING, "the ABI it was built for, as MAJOR.MINOR"),
    BP_ARG_OPT("tier", STRING, "public, or exact:STAMP"),
    BP_ARG("rank", INT32, "of several modules with the same thing, the highest is used"),
    BP_ARG_TYPED("requires", LIST, &string_list, 0, "interfaces it uses, as NAME/MAJOR"),
    BP_ARG_TYPED("provides", LIST, &string_list, 0, "what it has, as KIND:NAME"),
    BP_ARG("pinned", BOOL, "its file is held open, so that it can be loaded whatever happens to it"),
    BP_ARG_OPT("reason", STRING, "why it cannot be loaded"),
    BP_FIELDS_END,
};
static const struct bp_schema module_info = {.name = "ModuleInfo", .kind = BP_KIND_STRUCT,
                                             .members = module_fields};
static const struct bp_schema module_list = {.name = "ModuleInfoList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRUCT,
                                             .element = &module_info};
static const struct bp_field missing_fields[] = {
    BP_ARG("name", STRING, "name of the module"),
    BP_ARG("package", STRING, "the package that has it"),
    BP_FIELDS_END,
};
static const struct bp_schema missing_info = {.name = "MissingModuleInfo", .kind = BP_KIND_STRUCT,
                                              .members = missing_fields};
static const struct bp_schema missing_list = {.name = "MissingModuleInfoList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT,
                                              .element = &missing_info};
static const struct bp_field directory_fields[] = {
    BP_ARG("directory", STRING, "its path"),
    BP_ARG("origin", STRING, "why it is looked in: build tree, system, environment, option"),
    BP_ARG("indexed", BOOL, "its modules.idx is used"),
    BP_ARG_OPT("reason", STRING, "why it is not"),
    BP_FIELDS_END,
};
static const struct bp_schema directory_info = {.name = "ModuleDirectoryInfo",
                                                .kind = BP_KIND_STRUCT,
                                                .members = directory_fields};
static const struct bp_schema directory_list = {.name = "ModuleDirectoryInfoList",
                                                .kind = BP_KIND_LIST,
                                                .element_kind = BP_KIND_STRUCT,
                                                .element = &directory_info};
static const struct bp_field modules_fields[] = {
    BP_ARG("generation", STRING,
           "changes with the set of modules and the policy: what clients keep is good while it is "
           "the same"),
    BP_ARG("locked", BOOL, "nothing more can be loaded"),
    BP_ARG_TYPED("directories", LIST, &directory_list, 0, "where modules are looked for, in order"),
    BP_ARG_TYPED("modules", LIST, &module_list, 0, "modules that were found"),
    BP_ARG_TYPED("missing", LIST, &missing_list, BP_FIELD_OPTIONAL,
                 "modules of packages that are not installed, when the catalogue is"),
    BP_FIELDS_END,
};
static const struct bp_schema modules_info = {.name = "ModulesInfo", .kind = BP_KIND_STRUCT,
                                              .members = modules_fields};

/* ---- commands ---- */

static int no_loader(struct bp_error *err)
{
    return bp_fail(err, ENOSYS, "this program loads no modules");
}

static int query_modules(struct bp_value **ret_value, struct bp_error *err)
{
    const struct bpc_loader *loader = bpc_registry_loader();

    if (!loader || !loader->query)
        return no_loader(err);
    *ret_value = loader->query();
    return 0;
}
BP_COMMAND(cmd_query_modules, "query-modules", "Modules that were found, and their state", NULL,
           STRUCT, &modules_info, query_modules, BP_COMMAND_PRECONFIG);

static const struct bp_field load_args[] = {
    BP_ARG("name", STRING, "name of a module, or its file (with a slash)"), BP_FIELDS_END,
};

static int module_load(const char *name, struct bp_value **ret_value, struct bp_error *err)
{
    const struct bpc_loader *loader = bpc_registry_loader();
    int ret;

    if (!loader || !loader->load_module || !loader->query_module)
        return no_loader(err);
    ret = loader->load_module(name, err);
    return ret < 0 ? ret : loader->query_module(name, ret_value, err);
}
BP_COMMAND(cmd_module_load, "module-load", "Loads a module and tells of it", load_args, STRUCT,
           &module_info, module_load, BP_COMMAND_PRECONFIG);

const struct bp_command *const bpc_module_commands[] = {
    &cmd_query_modules, &cmd_module_load, NULL,
};

/* ---- the event ---- */

void bpc_module_loaded(const char *name, const char *file)
{
    struct bp_value *data;

    if (!bpc_monitor_entries) /* the many modules of the start are nobody's news */
        return;
    data = bp_value_dict();
    bp_value_set(data, "name", bp_value_string(name));
    bp_value_set(data, "file", bp_value_string(file));
    bp_event_send_named("MODULE_LOADED", data);
}

/* ---- the monitor ---- */

static int print_module(struct bp_monitor *mon, struct bp_value *m)
{
    const char *reason = bp_value_get_string(m, "reason");
    const char *summary = bp_value_get_string(m, "summary");

    bp_monitor_printf(mon, "%-24s %-10s %-12s %s%s\n", bp_value_get_string(m, "name"),
                      bp_value_get_string(m, "state"), bp_value_get_string(m, "origin"),
                      summary ? summary : "",
                      bp_value_as_bool(bp_value_get(m, "pinned")) ? " [pinned]" : "");
    if (reason)
        bp_monitor_printf(mon, "    %s\n", reason);
    return 0;
}

static void info_modules(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    struct bp_value *all = NULL, *list;

    (void)args;
    if (query_modules(&all, &err) < 0) {
        bpc_hmp_error(mon, &err);
        return;
    }
    bp_monitor_printf(mon, "%-24s %-10s %-12s %s\n", "module", "state", "origin", "what it is");
    list = bp_value_get(all, "modules");
    for (size_t i = 0; i < bp_value_length(list); i++)
        print_module(mon, bp_value_at(list, i));
    list = bp_value_get(all, "missing");
    for (size_t i = 0; list && i < bp_value_length(list); i++)
        bp_monitor_printf(mon, "%-24s %-10s %-12s in package %s\n",
                          bp_value_get_string(bp_value_at(list, i), "name"), "missing", "-",
                          bp_value_get_string(bp_value_at(list, i), "package"));
    if (bp_value_as_bool(bp_value_get(all, "locked")))
        bp_monitor_printf(mon, "Nothing more can be loaded: -modules lock=on\n");
    bp_value_unref(all);
}

static const struct bp_hmp_command hmp_info_modules = {
    .size = sizeof(struct bp_hmp_command), .name = "info modules", .params = "",
    .summary = "show the modules, their state, and why some cannot be loaded", .fn = info_modules,
};

static void hmp_module_load(struct bp_monitor *mon, struct bp_value *args)
{
    bpc_hmp_qmp(mon, "module-load", args);
}

static const struct bp_hmp_command hmp_load = {
    .size = sizeof(struct bp_hmp_command), .name = "module_load", .params = "name",
    .summary = "load a module by its name, or its file (with a slash)", .args = load_args,
    .fn = hmp_module_load,
};

const struct bp_hmp_command *const bpc_hmp_module_commands[] = {
    &hmp_info_modules, &hmp_load, NULL,
};
