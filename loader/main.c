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
#include "module-options.h"
#include "modules.h"
#include "run.h"

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
    bpc_end_when_out_of_memory();
    name = name ? name + 1 : argc > 0 && argv[0] ? argv[0] : "backplane-system";
    bpc_program_name_set(name);
    module_options_take_dirs(argc, argv);
    bpc_registry_set_loader(&modules_loader);
    if (module_options_register() < 0)
        return 1;
    return bpc_run(argc, argv, &bpc_program_description);
}
