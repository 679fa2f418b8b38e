/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls a command's typed C function with the members of a JSON object, as bp/command.h lays it
 * down, through libffi.
 */
#include "command.h"
#include "machine.h"

#include <errno.h>
#include <ffi.h>
#include <string.h>

#include <glib.h>

#include <bp/coroutine.h>

#include "marks.h"
#include "monitor.h"
#include "registry.h"
#include "schema.h"

#define MAX_CALL_ARGS 64

struct bp_machine *bp_command_machine(void)
{
    bpc_assert_main();
    return bpc_the_machine;
}

int bpc_command_find(const char *name, const struct bp_command **ret_command, struct bp_error *err)
{
    const void *desc;
    struct bp_error why = {0};
    int ret = bpc_require(BP_PROVIDE_COMMAND, name, &desc, &why);

    if (ret == -ENOENT) {
        char hint[BPC_HINT_SIZE];

        bpc_missing_hint(BP_PROVIDE_COMMAND, name, hint, sizeof(hint));
        return bp_fail_class(err, BP_ERROR_COMMAND_NOT_FOUND, ENOENT,
                             "The command %.200s has not been found%s", name, hint);
    }
    if (ret < 0) {
        if (err)
            *err = why;
        return ret;
    }
    *ret_command = desc;
    return 0;
}

union slot {
    uint8_t flag;
    uint64_t u;
    int64_t i;
    double d;
    int choice;
    const void *pointer;
};

struct call {
    ffi_type *types[MAX_CALL_ARGS];
    union slot slots[MAX_CALL_ARGS];
    void *values[MAX_CALL_ARGS];
    unsigned count;
};

static union slot *push(struct call *call, ffi_type *type)
{
    unsigned n = call->count++;

    call->types[n] = type;
    call->values[n] = &call->slots[n];
    return &call->slots[n];
}

static bool is_scalar(enum bp_field_kind kind)
{
    return kind == BP_KIND_BOOL || kind == BP_KIND_NUMBER || kind == BP_KIND_ENUM ||
           kind == BP_KIND_ON_OFF_AUTO || bpc_schema_is_integer(kind);
}

static int choice_index(const struct bp_field *f, const char *text)
{
    int index = 0;

    if (!text)
        return 0;
    if (f->kind == BP_KIND_ENUM)
        return bpc_schema_choice(f->schema, text);
    for (const char *const *c = bpc_on_off_auto; *c; c++, index++) {
        if (strcmp(*c, text) == 0)
            return index;
    }
    return 0;
}

static void push_field(struct call *call, const struct bp_field *f, struct bp_value *v)
{
    if (is_scalar(f->kind) && (f->flags & BP_FIELD_OPTIONAL))
        push(call, &ffi_type_uint8)->flag = v != NULL;
    if (f->kind == BP_KIND_BOOL)
        push(call, &ffi_type_uint8)->flag = bp_value_as_bool(v);
    else if (bpc_schema_is_integer(f->kind) && bpc_schema_is_signed(f->kind))
        push(call, &ffi_type_sint64)->i = bp_value_as_int(v);
    else if (bpc_schema_is_integer(f->kind))
        push(call, &ffi_type_uint64)->u = bp_value_as_uint(v);
    else if (f->kind == BP_KIND_NUMBER)
        push(call, &ffi_type_double)->d = bp_value_as_double(v);
    else if (f->kind == BP_KIND_ENUM || f->kind == BP_KIND_ON_OFF_AUTO)
        push(call, &ffi_type_sint)->choice = choice_index(f, bp_value_as_string(v));
    else if (f->kind == BP_KIND_STRING || f->kind == BP_KIND_LINK)
        push(call, &ffi_type_pointer)->pointer = bp_value_as_string(v);
    else
        push(call, &ffi_type_pointer)->pointer = v;
}

static int call_typed(const struct bp_command *command, struct bp_value *args,
                      struct bp_value **ret_value, struct bp_error *err)
{
    struct call call = {.count = 0};
    struct bp_value *none = NULL;
    ffi_arg result = 0;
    ffi_cif cif;

    for (const struct bp_field *f = command->args; f && f->name; f++) {
        if (call.count + 4 > MAX_CALL_ARGS)
            return bp_fail(err, E2BIG, "the command has too many arguments");
        push_field(&call, f, args ? bp_value_get(args, f->name) : NULL);
    }
    if (command->returns != BP_KIND_NONE)
        push(&call, &ffi_type_pointer)->pointer = ret_value ? ret_value : &none;
    push(&call, &ffi_type_pointer)->pointer = err;
    if (ffi_prep_cif(&cif, FFI_DEFAULT_ABI, call.count, &ffi_type_sint, call.types) != FFI_OK)
        return bp_fail(err, EINVAL, "the command's table cannot be called");
    ffi_call(&cif, command->fn, &result, call.values);
    return (int)(ffi_sarg)result;
}

static int call_checked(const struct bp_command *command, struct bp_value *args,
                        struct bp_value **ret_value, struct bp_error *err)
{
    typedef int (*raw_fn)(struct bp_value *, struct bp_value **, struct bp_error *);
    struct bp_error own = {0};
    struct bp_value *value = NULL;
    int ret = bpc_schema_check_dict(command->args, args,
                                    (command->flags & BP_COMMAND_ANY_ARGS) != 0, NULL, &own);

    if (ret == 0) {
        if (command->flags & BP_COMMAND_RAW) {
            struct bp_value *dict = args ? bp_value_ref(args) : bp_value_dict();

            ret = ((raw_fn)command->fn)(dict, &value, &own);
            bp_value_unref(dict);
        } else {
            ret = call_typed(command, args, &value, &own);
        }
    }
    if (ret < 0) {
        if (!own.code)
            bp_fail(&own, -ret, "%s", g_strerror(-ret));
        if (err)
            *err = own;
        return ret;
    }
    *ret_value = value ? value : bp_value_dict();
    return 0;
}

int bpc_command_call(const struct bp_command *command, struct bp_value *args,
                     struct bp_value **ret_value, struct bp_error *err)
{
    /* Whoever calls has to be able to wait. */
    if ((command->flags & BP_COMMAND_COROUTINE) && !bp_co_current())
        return bp_fail(err, EDEADLK, "%s may have to wait, and cannot be called from here",
                       command->name);
    return call_checked(command, args, ret_value, err);
}

/* ---- the core's own tables ---- */

static void add_provides(GArray *all, enum bp_provide_kind kind, const void *const *table)
{
    for (; *table; table++) {
        struct bp_provide p = {kind, *table};

        g_array_append_val(all, p);
    }
}

int bpc_control_register(struct bp_error *err)
{
    static const struct {
        enum bp_provide_kind kind;
        const void *table;
    } tables[] = {
        {BP_PROVIDE_COMMAND, bpc_query_commands}, {BP_PROVIDE_COMMAND, bpc_context_commands},
        {BP_PROVIDE_HMP, bpc_hmp_context_commands}, {BP_PROVIDE_COMMAND, bpc_machine_commands},
        {BP_PROVIDE_COMMAND, bpc_memory_commands}, {BP_PROVIDE_HMP, bpc_hmp_memory_devices},
        {BP_PROVIDE_COMMAND, bpc_object_commands}, {BP_PROVIDE_COMMAND, bpc_probe_commands},
        {BP_PROVIDE_COMMAND, bpc_monitor_commands}, {BP_PROVIDE_COMMAND, bpc_fd_commands},
        {BP_PROVIDE_COMMAND, bpc_migrate_commands},
        {BP_PROVIDE_COMMAND, bpc_preconfig_commands}, {BP_PROVIDE_HMP, bpc_hmp_preconfig_commands},
        {BP_PROVIDE_COMMAND, bpc_module_commands}, {BP_PROVIDE_HMP, bpc_hmp_module_commands},
        {BP_PROVIDE_HMP, bpc_hmp_commands}, {BP_PROVIDE_HMP, bpc_hmp_info_commands},
        {BP_PROVIDE_HMP, bpc_hmp_memory_commands}, {BP_PROVIDE_HMP, bpc_hmp_io_commands},
        {BP_PROVIDE_EVENT, bpc_core_events},
    };
    GArray *all = g_array_new(FALSE, FALSE, sizeof(struct bp_provide));
    struct bp_provide end = {BP_PROVIDE_END, NULL};

    bpc_events_start();
    for (size_t i = 0; i < BP_COUNT(tables); i++)
        add_provides(all, tables[i].kind, tables[i].table);
    g_array_append_val(all, end);
    int ret = bpc_register_all("core", (const struct bp_provide *)(void *)all->data, err);
    g_array_free(all, TRUE);
    return ret;
}
