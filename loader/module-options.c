/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -module-dir and -modules (module-options.h). */
#include "module-options.h"

#include <string.h>

#include <bp/log.h>
#include <bp/option.h>
#include <bp/value.h>

#include "modules.h"
#include "open.h"
#include "registry.h"

void module_options_take_dirs(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        const char *arg = argv[i];

        if (arg[0] != '-')
            continue;
        arg += arg[1] == '-' ? 2 : 1;
        if (strcmp(arg, "module-dir") == 0)
            modules_add_path(argv[++i]);
    }
}

static int apply_module_dir(struct bp_value *args, struct bp_error *err)
{
    (void)args;
    (void)err;
    return 0; /* taken before parsing */
}

/* ---- -modules ---- */

static const struct bp_field modules_keys[] = {
    BP_ARG_OPT("preload", STRING, "modules to load at start, as a:b:c, or all"),
    BP_ARG_OPT("lock", BOOL, "load nothing more once the machine is made (default: off)"),
    BP_ARG_OPT("pin", BOOL, "keep all modules' files open, so that an upgrade on disk does not "
               "matter (default: off)"),
    BP_FIELDS_END};

/* What is denied or does not fit is left out of `all`, and told. */
static void preload_one(struct module *m, void *opaque)
{
    struct bp_error err = {0};

    (void)opaque;
    if (m->state == MODULE_AVAILABLE && module_load(m, &err) < 0)
        bp_warn("-modules preload=all: %s", err.message);
}

static int preload(const char *list, struct bp_error *err)
{
    char **names;
    int ret = 0;

    if (strcmp(list, "all") == 0) {
        modules_each(preload_one, NULL);
        return 0;
    }
    names = g_strsplit(list, ":", -1);
    for (char **name = names; ret == 0 && *name; name++) {
        ret = **name ? load_named(*name, err)
                    : bp_fail(err, EINVAL, "a module's name is missing between the colons");
    }
    g_strfreev(names);
    return ret;
}

static int apply_modules(struct bp_value *args, struct bp_error *err)
{
    const char *list = bp_value_get_string(args, "preload");
    int ret = bp_value_as_bool(bp_value_get(args, "pin")) ? open_pin_all(err) : 0;

    if (ret == 0 && list && *list)
        ret = preload(list, err);
    if (ret == 0)
        load_lock_when_started(bp_value_as_bool(bp_value_get(args, "lock")));
    return ret;
}

/* Not BP_OPTION(): that would emit a module's note. */
static const struct bp_option module_dir_option = {
    .size = sizeof(struct bp_option), .phase = BP_PHASE_EARLY, .name = "module-dir",
    .arg = "dir[:dir...]", .help = "look for modules in these directories first",
    .group = "Modules", .apply = apply_module_dir};

static const struct bp_option modules_option = {
    .size = sizeof(struct bp_option), .phase = BP_PHASE_CHARDEV, .name = "modules",
    .arg = "[preload=list|all][,lock=on|off][,pin=on|off]",
    .help = "load modules at start, and none after it; survive upgrades on disk",
    .group = "Modules", .keys = modules_keys, .merge = true, .apply = apply_modules};

static const struct bp_provide own_options[] = {
    {BP_PROVIDE_OPTION, &module_dir_option}, {BP_PROVIDE_OPTION, &modules_option},
    {BP_PROVIDE_END, NULL}};

int module_options_register(void)
{
    return bpc_register_all("loader", own_options, NULL);
}
