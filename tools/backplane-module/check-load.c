/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks that load the module: registering, objects, things of frameworks' kinds, and that what is to
 * be called is there (check.h). Commands and options are not called: what they do is not known.
 */
#include <errno.h>
#include <string.h>

#include <bp/command.h>
#include <bp/device.h>
#include <bp/option.h>
#include <bp/test.h>

#include "check.h"
#include "object.h"

struct bp_test_host *check_host(const struct check *check)
{
    struct bp_test_host *host;
    struct bp_error err = {0};

    check_phase("while a host was made");
    if (bp_test_host_new(NULL, &host, &err) < 0) {
        check_bad("no host: %s", err.message);
        return NULL;
    }
    check_phase("while it was loaded");
    if (bp_test_load(host, check->file.path, &err) < 0) {
        check_bad("%s", err.message);
        return NULL;
    }
    return host;
}

void check_load(const struct check *check, const struct description *thing)
{
    const struct module_table *table = &check->file.table;
    struct bp_test_host *host = check_host(check);
    unsigned found = 0;

    if (!host)
        return;
    for (size_t i = 0; i < table->provide_count; i++) {
        const struct description *d = &table->provides[i];

        if (bpc_find(bpc_kind_from_name(d->kind, strlen(d->kind)), d->name))
            found++;
        else
            check_bad("%s %s is not there once it is loaded", d->kind, d->name);
    }
    check_phase("when the host went away");
    bp_test_host_free(host);
    if (found == table->provide_count)
        check_ok("registers all of its %u things", found);
}

void check_functions(const struct check *check, const struct description *thing)
{
    const enum bp_provide_kind kind = kind_from_name(thing->kind, strlen(thing->kind));
    const void *desc;
    bool good = false;

    if (!check_host(check))
        return;
    desc = bpc_find(kind, thing->name);
    switch (kind) {
    case BP_PROVIDE_OPTION: good = ((const struct bp_option *)desc)->apply != NULL; break;
    case BP_PROVIDE_COMMAND: good = ((const struct bp_command *)desc)->fn != NULL; break;
    case BP_PROVIDE_HMP: good = ((const struct bp_hmp_command *)desc)->fn != NULL; break;
    case BP_PROVIDE_INTERFACE: {
        const uint32_t *size = ((const struct bp_interface *)desc)->table;

        good = size && *size >= sizeof(*size);
        break;
    }
    default: break;
    }
    if (good)
        check_ok("has what is to be called");
    else
        check_bad("%s", kind == BP_PROVIDE_INTERFACE
                            ? "its table does not begin with its size"
                            : "has no function to be called");
}

/* ---- things of frameworks' kinds ---- */

static void let_time_pass(void *host)
{
    bp_test_step(host, 1000000);
}

void check_other(const struct check *check, const struct description *thing)
{
    struct bp_test_host *host = check_host(check);
    const struct bp_kind *kind;
    struct bp_error err = {0};
    int rc = 0;

    if (!host)
        return;
    kind = bpc_kind(bpc_kind_from_name(thing->kind, strlen(thing->kind)));
    if (!kind->exercise) {
        check_skipped("the framework of kind %s does not try what it gets", thing->kind);
        return;
    }
    for (unsigned i = 0; i < 2 && rc == 0; i++) {
        check_phase("while it was made, used and taken away");
        rc = kind->exercise(thing->name, let_time_pass, host, &err);
    }
    if (rc == -ENOTSUP)
        check_skipped("%s", err.message);
    else if (rc < 0)
        check_bad("%s", err.message);
    else
        check_ok("is made, used and taken away; twice");
}

/* ---- objects ---- */

static int make_object(const char *type, struct bp_error *err)
{
    struct bp_value *args = bp_value_dict();
    int rc;

    bp_value_set(args, "qom-type", bp_value_string(type));
    bp_value_set(args, "id", bp_value_string("check"));
    check_phase("while it was made");
    rc = bpc_object_add(args, err);
    bp_value_unref(args);
    return rc;
}

void check_object(const struct check *check, const struct description *thing)
{
    const struct bp_object_class *class;
    struct bp_error err = {0};
    int rc = 0;

    if (!check_host(check))
        return;
    class = bpc_find(BP_PROVIDE_OBJECT, thing->name);
    if (class->type.flags & BP_TYPE_NOT_USER_CREATABLE) {
        check_skipped("is not for users to make");
        return;
    }
    for (unsigned i = 0; i < 2 && rc == 0; i++) {
        rc = make_object(thing->name, &err);
        if (rc < 0) {
            check_skipped("is not made with defaults alone: %s", err.message);
            return;
        }
        check_phase("while it was deleted");
        rc = bpc_object_del("check", &err);
    }
    if (rc < 0)
        check_bad("is not deleted: %s", err.message);
    else
        check_ok("is made and deleted; twice");
}
