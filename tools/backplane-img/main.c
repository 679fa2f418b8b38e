/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-img: disk images without a machine. It loads the same modules as the emulator and runs one command in a
 * coroutine; the command line is the one that scripts know.
 */
#include "img.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "log.h"
#include "loop.h"
#include "module-options.h"
#include "modules.h"
#include "object.h"

const struct bp_block_interface *block;
bool quiet;

static const struct command {
    const char *name, *usage;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"bench", "[-c count] [-d depth] [-f fmt] [-n] [-o offset] [--pattern=N] [-q] [-s size] [-S step] [-t cache] [-w] "
              "[-U] filename", run_bench},
    {"check", "[--image-opts] [-q] [-f fmt] [--output=human|json] [-r leaks|all] [-T cache] [-U] filename", run_check},
    {"commit", "[--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-d] [-p] filename", run_commit},
    {"compare", "[--image-opts] [-f fmt] [-F fmt] [-T cache] [-p] [-q] [-s] [-U] filename1 filename2", run_compare},
    {"convert", "[--image-opts] [--target-is-zero] [-U] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T cache] [-O fmt] "
                "[-B backing [-F fmt]] [-o options] [-S size] [-m coroutines] [-W] filename... output", run_convert},
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

static const char *const not_built[] = {"amend", "bitmap", NULL};

int complain(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    fflush(stdout);
    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0)
        bp_hide_passwords(text);
    fprintf(stderr, "backplane-img: %s\n", n < 0 ? "no memory" : text);
    if (n >= 0)
        free(text);
    return 1;
}

int complain_error(const char *what, const struct bp_error *err)
{
    return what ? complain("%s: %s", what, err->message) : complain("%s", err->message);
}

void say(const char *fmt, ...)
{
    va_list ap;

    if (quiet)
        return;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

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

struct run {
    const struct command *command;
    int argc;
    char **argv;
    int status;
    bool done;
};

static void run_it(void *opaque)
{
    struct run *r = opaque;
    struct bp_error err = {0};
    const void *table;

    if (bpc_require_interface("block", 1, &table, &err) < 0) {
        r->status = complain_error(NULL, &err);
    } else {
        block = table;
        r->status = r->command->run(r->argc, r->argv);
    }
    r->done = true;
    bpc_loop_wake();
}

/* --object TYPE,id=ID,KEY=VALUE,... or as JSON: secrets, TLS credentials. */
static int make_object(const char *text)
{
    struct bp_value *args = NULL;
    struct bp_error err = {0};
    char *named = NULL;
    int ret = 0;

    if (*text == '{') {
        ret = bp_value_parse(text, strlen(text), &args, &err);
    } else if (asprintf(&named, "%s%s", text[strcspn(text, ",=")] == '=' ? "" : "qom-type=", text) >= 0) {
        args = bp_value_dict();
        parse_keys(named, false, args);
        free(named);
    }
    ret = ret < 0 ? ret : bpc_object_add(args, &err);
    bp_value_unref(args);
    return ret < 0 ? complain("--object: %s", err.message) : 0;
}

/* Objects are there before anything is opened; what is left is the command's. */
static int take_objects(int *argc, char **argv)
{
    int n = 1, ret = 0;

    for (int i = 1; i < *argc && ret == 0; i++) {
        if (!strcmp(argv[i], "--object"))
            ret = i + 1 < *argc ? make_object(argv[++i]) : complain("--object: TYPE,id=ID,... is missing");
        else if (!strncmp(argv[i], "--object=", 9))
            ret = make_object(argv[i] + 9);
        else
            argv[n++] = argv[i];
    }
    argv[n] = NULL;
    *argc = n;
    return ret;
}

static int carry_out(const struct command *command, int argc, char **argv)
{
    struct run r = {.command = command, .argc = argc, .argv = argv};
    struct bp_error err = {0};
    struct bp_co *co;

    bpc_loop_init();
    bpc_registry_set_loader(&modules_loader);
    if (module_options_register() < 0)
        return 1;
    if (take_objects(&r.argc, r.argv)) {
        bpc_objects_destroy();
        return 1;
    }
    if (bp_co_new(NULL, bp_context_main(NULL), "backplane-img", run_it, &r, &co, &err) < 0)
        return complain_error(NULL, &err);
    bp_co_enter(co);
    while (!r.done)
        bpc_loop_run_once(true);
    bp_co_unref(co);
    bpc_objects_destroy();
    load_ended();
    return r.status;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";

    bpc_program_name_set("backplane-img");
    bpc_end_when_out_of_memory();
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        return usage(stdout);
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        printf("backplane-img version %s\n", BP_VERSION);
        return 0;
    }
    for (unsigned i = 0; not_built[i]; i++)
        if (!strcmp(name, not_built[i]))
            return complain("command '%s' is not built yet", name);
    for (size_t i = 0; i < BP_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        int status = carry_out(&commands[i], argc - 1, argv + 1);

        if (fflush(stdout) != 0 || ferror(stdout))
            return complain("standard output: %s", strerror(errno));
        return status;
    }
    complain("there is no command '%s'", name);
    return usage(stderr);
}
