/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-module graph: which module requires which, by the interfaces that they name and the kinds
 * of what they provide. As a tree of text, or for Graphviz.
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

/* Something that a module cannot do without: an interface, or the framework of a kind. */
struct need {
    const char *before, *name; /* "", "isa/1"; "kind ", "chardev" */
    const struct module *module; /* that has it, or NULL */
};

static void add_need(GArray *needs, const char *before, enum bp_provide_kind kind, const char *name)
{
    const struct provide *p = modules_find_provide(kind, name, false);
    const struct need need = {before, name, p ? p->module : NULL};

    g_array_append_val(needs, need);
}

static bool is_noted(const GArray *needs, const char *name)
{
    for (unsigned i = 0; i < needs->len; i++)
        if (strcmp(g_array_index(needs, struct need, i).name, name) == 0)
            return true;
    return false;
}

static GArray *needs_of(const struct module *m)
{
    GArray *needs = g_array_new(FALSE, FALSE, sizeof(struct need));

    for (unsigned i = 0; i < m->requires->len; i++)
        add_need(needs, "", BP_PROVIDE_INTERFACE, m->requires->pdata[i]);
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];
        const char *kind = bpc_kind_name(p->kind);

        if (bpc_kind_is_core(p->kind) || is_noted(needs, kind))
            continue;
        add_need(needs, "kind ", BP_PROVIDE_KIND, kind);
        if (g_array_index(needs, struct need, needs->len - 1).module == m)
            g_array_set_size(needs, needs->len - 1); /* it is the framework itself */
    }
    return needs;
}

static bool is_wanted(const struct module *wanted, const char *directory)
{
    const GPtrArray *all = modules_all();
    bool found = false;

    for (unsigned i = 0; i < all->len && !found; i++) {
        const struct module *m = all->pdata[i];
        GArray *needs = needs_of(m);

        for (unsigned j = 0; m != wanted && stands_in(m, directory) && j < needs->len; j++)
            found |= g_array_index(needs, struct need, j).module == wanted;
        g_array_unref(needs);
    }
    return found;
}

static void print_tree(const struct module *m, unsigned depth)
{
    GArray *needs = needs_of(m);

    for (unsigned i = 0; i < needs->len; i++) {
        const struct need *need = &g_array_index(needs, struct need, i);

        printf("%*s%s%s: %s\n", (int)(4 * depth), "", need->before, need->name,
               need->module ? need->module->name : "nobody has it");
        if (need->module && depth < MAX_DEPTH)
            print_tree(need->module, depth + 1);
    }
    g_array_unref(needs);
}

static bool needs_any(const struct module *m)
{
    GArray *needs = needs_of(m);
    bool any = needs->len > 0;

    g_array_unref(needs);
    return any;
}

static void print_text(const char *directory)
{
    const GPtrArray *all = modules_all();

    for (unsigned i = 0; i < all->len; i++) {
        const struct module *m = all->pdata[i];

        if (!stands_in(m, directory) || (!needs_any(m) && is_wanted(m, directory)))
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
        GArray *needs;

        if (!stands_in(m, directory))
            continue;
        printf("    \"%s\";\n", m->name);
        needs = needs_of(m);
        for (unsigned j = 0; j < needs->len; j++) {
            const struct need *need = &g_array_index(needs, struct need, j);

            printf("    \"%s\" -> \"%s\" [label=\"%s%s\"%s];\n", m->name,
                   need->module ? need->module->name : need->name, need->before, need->name,
                   need->module ? "" : ", style=dashed");
        }
        g_array_unref(needs);
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
    "\nBelow each module stand the interfaces and the frameworks of kinds that it requires, and who has\n"
    "them. Without a DIR: the modules that the emulator would find.\n\n"
    "      --dot    a graph for Graphviz: backplane-module graph --dot | dot -Tsvg >modules.svg\n"
    "  -h, --help   this text\n",
    run};
