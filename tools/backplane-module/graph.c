/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-module graph: which module requires which, by the interfaces that they name. As a tree
 * of text, or for Graphviz.
 */
#include <stdio.h>
#include <string.h>

#include "directories.h"
#include "tool.h"

#define MAX_DEPTH 16

static bool stands_in(const struct module *m, const char *directory)
{
    return !directory || (!m->source->only && strcmp(m->source->path, directory) == 0);
}

/* The module that offers "isa/1", or NULL. */
static const struct module *offered_by(const char *interface)
{
    const struct provide *p = modules_find_provide(BP_PROVIDE_INTERFACE, interface, false);

    return p ? p->module : NULL;
}

static bool is_wanted(const struct module *wanted, const char *directory)
{
    const GPtrArray *all = modules_all();

    for (unsigned i = 0; i < all->len; i++) {
        const struct module *m = all->pdata[i];

        for (unsigned j = 0; m != wanted && stands_in(m, directory) && j < m->requires->len; j++)
            if (offered_by(m->requires->pdata[j]) == wanted)
                return true;
    }
    return false;
}

static void print_tree(const struct module *m, unsigned depth)
{
    for (unsigned i = 0; i < m->requires->len; i++) {
        const char *interface = m->requires->pdata[i];
        const struct module *other = offered_by(interface);

        printf("%*s%s: %s\n", (int)(4 * depth), "", interface,
               other ? other->name : "nobody has it");
        if (other && depth < MAX_DEPTH)
            print_tree(other, depth + 1);
    }
}

static void print_text(const char *directory)
{
    const GPtrArray *all = modules_all();

    for (unsigned i = 0; i < all->len; i++) {
        const struct module *m = all->pdata[i];

        if (!stands_in(m, directory) || (!m->requires->len && is_wanted(m, directory)))
            continue;
        printf("%s\n", m->name);
        print_tree(m, 1);
    }
}

static void print_dot(const char *directory)
{
    const GPtrArray *all = modules_all();

    puts("digraph modules {\n    rankdir=LR;\n    node [shape=box];");
    for (unsigned i = 0; i < all->len; i++) {
        const struct module *m = all->pdata[i];

        if (!stands_in(m, directory))
            continue;
        printf("    \"%s\";\n", m->name);
        for (unsigned j = 0; j < m->requires->len; j++) {
            const char *interface = m->requires->pdata[j];
            const struct module *other = offered_by(interface);

            printf("    \"%s\" -> \"%s\" [label=\"%s\"%s];\n", m->name,
                   other ? other->name : interface, interface, other ? "" : ", style=dashed");
        }
    }
    puts("}");
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"dot", no_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    char *directory = NULL;
    bool dot = false;
    int c, status;

    while ((c = tool_option(&command_graph, argc, argv, ":h", options, &status)) != -1) {
        if (c == '?')
            return status;
        dot = true;
    }
    if (argc - optind > 1)
        return tool_usage(&command_graph, "one DIR at most");
    if (optind < argc) {
        if (!g_file_test(argv[optind], G_FILE_TEST_IS_DIR))
            return tool_error("%s is not a directory", argv[optind]);
        directory = g_canonicalize_filename(argv[optind], NULL);
        directories_add(directory);
    }
    modules_verify_all();
    if (dot)
        print_dot(directory);
    else
        print_text(directory);
    g_free(directory);
    return TOOL_OK;
}

const struct subcommand command_graph = {
    "graph", "[--dot] [DIR]", "Show which modules require which",
    "\nBelow each module stand the interfaces that it requires and who has them. Without a DIR: the\n"
    "modules that the emulator would find.\n\n"
    "      --dot    a graph for Graphviz: backplane-module graph --dot | dot -Tsvg >modules.svg\n"
    "  -h, --help   this text\n",
    run};
