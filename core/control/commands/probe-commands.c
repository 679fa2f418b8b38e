/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QMP commands by which clients find out what a guest could have: CPU models and what is in them; and what is
 * not here yet: TPMs, encrypted guests, enclaves.
 */
#include <errno.h>
#include <string.h>

#include <bp/exact/cpu.h>

#include "command.h"
#include "config.h"
#include "machine.h"
#include "object.h"
#include "registry.h"

#define QUERY(IDENT, NAME, SUMMARY, ARGS, RETURNS, SCHEMA, FN) \
    BP_COMMAND(IDENT, NAME, SUMMARY, ARGS, RETURNS, SCHEMA, FN, BP_COMMAND_PRECONFIG)

/* ---- CPU models ---- */

static const struct bp_schema string_list = {.name = "strList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRING};
static const struct bp_field cpu_fields[] = {
    BP_ARG("name", STRING, "model, as in -cpu"),
    BP_ARG("static", BOOL, "never changes"),
    BP_ARG("migration-safe", BOOL, "the same on every host"),
    BP_ARG_TYPED("unavailable-features", LIST, &string_list, BP_FIELD_OPTIONAL, "missing ones"),
    BP_ARG("typename", STRING, "its type"),
    BP_ARG_OPT("alias-of", STRING, "the model that this is another name of"),
    BP_ARG("deprecated", BOOL, "going to be removed"),
    BP_FIELDS_END,
};
static const struct bp_schema cpu_info = {.name = "CpuDefinitionInfo", .kind = BP_KIND_STRUCT,
                                          .members = cpu_fields};
static const struct bp_schema cpu_list = {.name = "CpuDefinitionInfoList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_STRUCT, .element = &cpu_info};

/* Those that are what the accelerator makes of them. */
static bool is_elastic(const char *model)
{
    return strcmp(model, "max") == 0 || strcmp(model, "host") == 0;
}

static void add_cpu_model(const struct bpc_known *known, void *opaque)
{
    const struct bp_cpu_class *class;
    struct bp_value *entry, *missing = NULL;
    const void *desc;

    if (bpc_describe(BP_PROVIDE_CPU, known->name, &desc, NULL) < 0)
        return;
    class = desc;
    if (!bpc_arch_in(class->arch, bpc_config.arch))
        return;
    entry = bp_value_dict();
    bp_value_set(entry, "name", bp_value_string(class->model));
    bp_value_set(entry, "typename", bp_value_string(known->name));
    if (bpc_cpu_expand(bpc_the_machine, class->model, NULL, NULL, &missing, NULL) == 0)
        bp_value_set(entry, "unavailable-features", missing);
    if (class->alias_of)
        bp_value_set(entry, "alias-of", bp_value_string(class->alias_of));
    bp_value_set(entry, "static", bp_value_bool(strcmp(class->model, "base") == 0));
    bp_value_set(entry, "migration-safe", bp_value_bool(!is_elastic(class->model)));
    bp_value_set(entry, "deprecated", bp_value_bool(false));
    bp_value_append(opaque, entry);
}

static int query_cpu_definitions(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    bpc_each_known(BP_PROVIDE_CPU, add_cpu_model, *ret_value);
    return 0;
}
QUERY(cmd_query_cpu_definitions, "query-cpu-definitions", "CPU models", NULL, LIST, &cpu_list,
      query_cpu_definitions);

enum { EXPANSION_STATIC, EXPANSION_FULL };
static const char *const expansion_types[] = {"static", "full", NULL};
static const struct bp_schema expansion_type = {
    .name = "CpuModelExpansionType", .kind = BP_KIND_ENUM, .choices = expansion_types};
static const struct bp_field model_fields[] = {
    BP_ARG("name", STRING, "model, as in -cpu"),
    BP_ARG_OPT("props", ANY, "its properties, by name"),
    BP_FIELDS_END,
};
static const struct bp_schema model_info = {.name = "CpuModelInfo", .kind = BP_KIND_STRUCT,
                                            .members = model_fields};
static const struct bp_field expansion_args[] = {
    BP_ARG_TYPED("type", ENUM, &expansion_type, 0, "static is for models that never change"),
    BP_ARG_TYPED("model", STRUCT, &model_info, 0, "the model, and what is different in it"),
    BP_FIELDS_END,
};
static const struct bp_field expansion_fields[] = {
    BP_ARG_TYPED("model", STRUCT, &model_info, 0, "with all that can be set"),
    BP_FIELDS_END,
};
static const struct bp_schema expansion_info = {
    .name = "CpuModelExpansionInfo", .kind = BP_KIND_STRUCT, .members = expansion_fields};

static int expand_model(int type, struct bp_value *model, struct bp_value **ret_value,
                        struct bp_error *err)
{
    const char *name = bp_value_get_string(model, "name");
    struct bp_value *given = bp_value_get(model, "props"), *props = NULL, *expanded;
    int ret;

    if (given && bp_value_type(given) != BP_VALUE_DICT)
        return bp_fail(err, EINVAL, "Invalid parameter type for 'model.props', expected: object");
    ret = bpc_cpu_expand(bpc_the_machine, name, given, &props, NULL, err);
    if (ret < 0)
        return ret;
    expanded = bp_value_dict();
    /* The static one is the model without any feature. */
    bp_value_set(expanded, "name", bp_value_string(type == EXPANSION_STATIC ? "base" : name));
    bp_value_set(expanded, "props", props);
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "model", expanded);
    return 0;
}
QUERY(cmd_expand_model, "query-cpu-model-expansion", "What is in a CPU model", expansion_args, STRUCT,
      &expansion_info, expand_model);

/* ---- what is not here ---- */

static const struct bp_schema tpm_models = {.name = "TpmModelList", .kind = BP_KIND_LIST,
                                            .element_kind = BP_KIND_STRING};
static const struct bp_schema tpm_types = {.name = "TpmTypeList", .kind = BP_KIND_LIST,
                                           .element_kind = BP_KIND_STRING};
static const struct bp_field tpm_fields[] = {
    BP_ARG("id", STRING, "its id"), BP_ARG("model", STRING, "what the guest sees"), BP_FIELDS_END,
};
static const struct bp_schema tpm_info = {.name = "TPMInfo", .kind = BP_KIND_STRUCT, .members = tpm_fields};
static const struct bp_schema tpm_list = {.name = "TPMInfoList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_STRUCT, .element = &tpm_info};

static int none(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    return 0;
}
QUERY(cmd_tpm_models, "query-tpm-models", "TPM models that a guest can have", NULL, LIST, &tpm_models, none);
QUERY(cmd_tpm_types, "query-tpm-types", "TPM back ends that there are", NULL, LIST, &tpm_types, none);
QUERY(cmd_tpm, "query-tpm", "TPMs that the guest has", NULL, LIST, &tpm_list, none);

static int no_sev(struct bp_error *err)
{
    return bp_fail(err, ENOTSUP, "SEV is not there: guests with encrypted memory are not built yet");
}

static int no_sgx(struct bp_error *err)
{
    return bp_fail(err, ENOTSUP, "SGX is not there: enclaves in guests are not built yet");
}
QUERY(cmd_sev, "query-sev", "State of an encrypted guest", NULL, NONE, NULL, no_sev);
QUERY(cmd_sev_capabilities, "query-sev-capabilities", "What the host can encrypt", NULL, NONE, NULL, no_sev);
QUERY(cmd_sgx, "query-sgx", "Enclaves of the guest", NULL, NONE, NULL, no_sgx);
QUERY(cmd_sgx_capabilities, "query-sgx-capabilities", "Enclaves that the host has", NULL, NONE, NULL, no_sgx);

const struct bp_command *const bpc_probe_commands[] = {
    &cmd_query_cpu_definitions, &cmd_expand_model, &cmd_tpm_models, &cmd_tpm_types,
    &cmd_tpm, &cmd_sev, &cmd_sev_capabilities, &cmd_sgx, &cmd_sgx_capabilities, NULL,
};
