/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-module: looks after modules (index, list, graph), tells what one has without running it
 * (info), tries one out (check), and begins a new one (new). Left out: anything about a running
 * machine, which QMP answers (query-modules).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "near.h"
#include "tool.h"

static const struct subcommand *const commands[] = {
    &command_index, &command_info, &command_list, &command_graph, &command_check, &command_new};

int tool_error(const char *fmt, ...)
{
    va_list ap;

    fputs("backplane-module: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return TOOL_TROUBLE;
}

int tool_usage(const struct subcommand *command, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "backplane-module %s: ", command->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (backplane-module %s --help tells more)\n", command->name);
    return TOOL_TROUBLE;
}

bool tool_number(const struct subcommand *command, const char *name, const char *text,
                 unsigned long max, unsigned long *ret_number)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 0);
    if (errno || end == text || *end || text[0] == '-' || n > max) {
        tool_usage(command, "--%s takes a number 0..%lu, not %s", name, max, text);
        return false;
    }
    *ret_number = n;
    return true;
}

void tool_print_json(struct bp_value *value)
{
    char *text = bp_value_print(value, true);

    puts(text);
    free(text);
    bp_value_unref(value);
}

static void show_help(const struct subcommand *command)
{
    printf("usage: backplane-module %s %s\n\n%s.\n%s", command->name, command->arguments,
           command->summary, command->help);
}

int tool_option(const struct subcommand *command, int argc, char **argv, const char *letters,
                const struct option *options, int *ret_status)
{
    int c, index = -1;

    opterr = 0;
    c = getopt_long(argc, argv, letters, options, &index);
    if (c == 'h') {
        show_help(command);
        *ret_status = TOOL_OK;
        return '?';
    }
    if (c == ':')
        *ret_status = tool_usage(command, "option %s takes an argument", argv[optind - 1]);
    else if (c == '?')
        *ret_status = tool_usage(command, "there is no option %s", argv[optind - 1]);
    return c == ':' ? '?' : c;
}

bool tool_is_file(const char *name_or_file)
{
    return strchr(name_or_file, '/') || g_str_has_suffix(name_or_file, ".so");
}

int tool_find_file(const char *name_or_file, const char **ret_file, struct bp_error *err)
{
    const struct module *m;

    if (tool_is_file(name_or_file)) {
        *ret_file = name_or_file;
        return 0;
    }
    modules_verify_all();
    m = modules_find(name_or_file);
    if (!m)
        return modules_tell_unknown(name_or_file, err);
    *ret_file = m->file;
    return 0;
}

static void usage(FILE *out)
{
    fputs("usage: backplane-module COMMAND [ARGUMENTS]\n\n", out);
    for (unsigned i = 0; i < BP_COUNT(commands); i++)
        fprintf(out, "  %-6s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nbackplane-module COMMAND --help tells more. Exit status: 0; 1: a check failed or a file\n"
          "is unfit; 2: wrong usage, or something could not be read or written.\n", out);
}

static int unknown(const char *name)
{
    struct bpc_near near;
    char names[128];

    bpc_near_init(&near, name);
    for (unsigned i = 0; i < BP_COUNT(commands); i++)
        bpc_near_offer(&near, commands[i]->name);
    bpc_near_print(&near, names, sizeof(names));
    return tool_error("there is no command %s%s%s (backplane-module --help lists them)", name,
                      *names ? "; near names: " : "", names);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    int status;

    bpc_program_name_set("backplane-module");
    bpc_registry_set_loader(&modules_loader);
    if (!name) {
        usage(stderr);
        return TOOL_TROUBLE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return TOOL_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("backplane-module %s\n", BP_VERSION);
        return TOOL_OK;
    }
    for (unsigned i = 0; i < BP_COUNT(commands); i++)
        if (strcmp(name, commands[i]->name) == 0) {
            status = commands[i]->run(argc - 1, argv + 1);
            if (fflush(stdout) != 0 || ferror(stdout))
                return tool_error("standard output: %s", strerror(errno));
            return status;
        }
    return unknown(name);
}
