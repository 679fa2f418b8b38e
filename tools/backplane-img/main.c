/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-img: disk images without a machine. It loads the same modules as the emulator and runs one command in a
 * coroutine; the command line is the one that scripts know.
 */
#include "img.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

static const struct command {
    const char *name, *usage;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"amend", "[--force] [--image-opts] [-q] [-f fmt] [-t cache] -o options filename", run_amend},
    {"bench", "[-c count] [-d depth] [-f fmt] [-n] [-o offset] [--pattern=N] [-q] [-s size] [-S step] [-t cache] [-w] "
              "[-U] filename", run_bench},
    {"bitmap", "(--add | --remove | --clear | --enable | --disable | --merge SOURCE)... [-b source-file [-F fmt]] "
               "[-g granularity] [--image-opts | -f fmt] filename bitmap", run_bitmap},
    {"check", "[--image-opts] [-q] [-f fmt] [--output=human|json] [-r leaks|all] [-T cache] [-U] filename", run_check},
    {"commit", "[--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-d] [-p] filename", run_commit},
    {"compare", "[--image-opts] [-f fmt] [-F fmt] [-T cache] [-p] [-q] [-s] [-U] filename1 filename2", run_compare},
    {"convert", "[--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] "
                "[--salvage] [-U] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T cache] [-O fmt] [-B backing [-F fmt]] "
                "[-o options] [-l snapshot] [-S size] [-r rate] [-m coroutines] [-W] filename... output", run_convert},
    {"create", "[-q] [-f fmt] [-b backing [-F fmt]] [-u] [-o options] filename [size]", run_create},
    {"dd", "[--image-opts] [-U] [-f fmt] [-O fmt] [bs=N] [count=N] [skip=N] if=FILE of=FILE", run_dd},
    {"info", "[--image-opts] [-f fmt] [--output=human|json] [--backing-chain] [-U] filename", run_info},
    {"map", "[--image-opts] [-f fmt] [--start-offset=N] [--max-length=N] [--output=human|json] [-U] filename", run_map},
    {"measure", "[--output=human|json] [-O fmt] [-o options] [--size N | [--image-opts] [-f fmt] filename]",
     run_measure},
    {"rebase", "[--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T cache] [-p] [-u] -b backing [-F fmt] filename",
     run_rebase},
    {"resize", "[--image-opts] [-f fmt] [-q] [--shrink] filename [+|-]size", run_resize},
    {"snapshot", "[--image-opts] [-U] [-q] [-l | -a NAME | -c NAME | -d NAME] filename", run_snapshot},
};

static int usage(FILE *to)
{
    fprintf(to, "usage: backplane-img COMMAND [OPTION...]\nDisk images: made, looked at, changed.\n\nCommands:\n");
    for (size_t i = 0; i < BP_COUNT(commands); i++)
        fprintf(to, "  %s %s\n", commands[i].name, commands[i].usage);
    fprintf(to, "\nSizes are bytes; suffixes k, M, G, T, P, E are powers of 1024. Formats: those of the emulator's "
            "-blockdev help.\n"
            "--object TYPE,id=ID,... makes an object that options of images name: a secret, TLS credentials.\n"
            "Files are read and written with the emulator's modules (-L and BACKPLANE_MODULES name "
            "their folders).\n");
    return to == stderr;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";

    tool_name = "backplane-img";
    bpc_program_name_set(tool_name);
    bpc_end_when_out_of_memory();
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        return usage(stdout);
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        printf("backplane-img version %s\n", BP_VERSION);
        return 0;
    }
    for (size_t i = 0; i < BP_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        int status = tool_run(commands[i].run, argc - 1, argv + 1);

        if (fflush(stdout) != 0 || ferror(stdout))
            return complain("standard output: %s", strerror(errno));
        return status;
    }
    complain("there is no command '%s'", name);
    return usage(stderr);
}
