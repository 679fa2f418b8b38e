/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main() of backplane-system-ARCH. All names of the program are one file; the part after
 * "backplane-system-" says which guest architecture is offered.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <bp/option.h>

#include "log.h"
#include "modules.h"
#include "run.h"

/*
 * Modules may provide options, so their directories must be known before options are parsed: they
 * are picked out first. The table entry below is for help and for checking.
 */
static void take_module_dirs(int argc, char **argv)
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

/* Not BP_OPTION(): that would emit a module's note. */
static const struct bp_option module_dir_option = {
    .size = sizeof(struct bp_option), .phase = BP_PHASE_EARLY, .name = "module-dir",
    .arg = "dir[:dir...]", .help = "look for modules in these directories first",
    .group = "Modules", .apply = apply_module_dir};

static const struct bp_provide own_options[] = {
    {BP_PROVIDE_OPTION, &module_dir_option}, {BP_PROVIDE_END, NULL}};

/* Without this the first files opened would become standard input, output and error. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 && argv[0] ? strrchr(argv[0], '/') : NULL;

    fill_standard_descriptors();
    name = name ? name + 1 : argc > 0 && argv[0] ? argv[0] : "backplane-system";
    bpc_program_name_set(name);
    take_module_dirs(argc, argv);
    bpc_registry_set_loader(&modules_loader);
    if (bpc_register_all("loader", own_options, NULL) < 0)
        return 1;
    return bpc_run(argc, argv);
}
