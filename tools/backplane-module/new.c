/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * backplane-module new: a project to begin from. The templates are files in share/backplane/templates
 * (in a build tree: kit/templates of the source): what is in common/ and in the kind's folder is
 * copied, with @name@ (my-card), @ident@ (my_card) and @module@ filled in, in names of files too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define COMMON "common"
#define MAX_TEMPLATE (1u << 20)

/* Kinds for which there is no interface to write modules for. */
static const struct {
    const char *kind, *interface;
} unknown_kinds[] = {{"audio-backend", "audio/1"}};

/* The folder of templates, or NULL. */
static char *find_templates(void)
{
    static const char *const relative[] = {"kit/templates", "../share/backplane/templates",
                                           BPT_TEMPLATES};
    char exe[4096], *slash;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n <= 0)
        return NULL;
    exe[n] = '\0';
    slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    for (unsigned i = 0; i < BP_COUNT(relative); i++) {
        char *path = g_canonicalize_filename(relative[i], exe);

        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            return path;
        g_free(path);
    }
    return NULL;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in a folder, sorted; empty when it cannot be read. */
static GPtrArray *names_in(const char *folder)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        g_ptr_array_add(names, g_strdup(name));
    if (dir)
        g_dir_close(dir);
    g_ptr_array_sort(names, compare_names);
    return names;
}

static char *list_kinds(const char *templates)
{
    GPtrArray *names = names_in(templates);
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < names->len; i++)
        if (strcmp(names->pdata[i], COMMON) != 0)
            g_string_append_printf(text, "%s%s", text->len ? ", " : "", (char *)names->pdata[i]);
    g_ptr_array_unref(names);
    return g_string_free(text, FALSE);
}

static int refuse_kind(const char *templates, const char *kind)
{
    char *kinds = list_kinds(templates);
    const char *interface = NULL;

    for (unsigned i = 0; i < BP_COUNT(unknown_kinds); i++)
        if (strcmp(kind, unknown_kinds[i].kind) == 0)
            interface = unknown_kinds[i].interface;
    if (interface)
        tool_error("there is no interface %s to write a %s for; kinds: %s", interface, kind, kinds);
    else
        tool_error("there is no kind %s; kinds: %s", kind, kinds);
    g_free(kinds);
    return TOOL_TROUBLE;
}

/* my-card: it becomes a C identifier, a file name and a key of the command line. */
static bool is_name(const char *name)
{
    bool letter = false;

    for (const char *p = name; *p; p++) {
        bool alnum = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');

        if (p == name && !(*p >= 'a' && *p <= 'z'))
            return false;
        if (!alnum && (*p != '-' || !letter))
            return false;
        letter = alnum;
    }
    return letter && strlen(name) < 64;
}

static char *fill(const char *text, const char *name)
{
    char *ident = g_strdelimit(g_strdup(name), "-", '_'), *upper = g_ascii_strup(ident, -1);
    GString *out = g_string_new(text);

    g_string_replace(out, "@name@", name, 0);
    g_string_replace(out, "@module@", name, 0);
    g_string_replace(out, "@ident@", ident, 0);
    g_string_replace(out, "@IDENT@", upper, 0);
    g_free(upper);
    g_free(ident);
    return g_string_free(out, FALSE);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    size_t length = strlen(text);
    ssize_t n;

    if (fd < 0)
        return tool_error("%s: %s", path, strerror(errno));
    n = write(fd, text, length);
    if (close(fd) < 0 || n != (ssize_t)length)
        return tool_error("%s: %s", path, n < 0 ? strerror(errno) : "not written whole");
    printf("wrote %s\n", path);
    return TOOL_OK;
}

/* Copies (or with `check`, looks whether it could copy) the templates of a folder. */
static int copy_folder(const char *folder, const char *to, const char *name, bool check)
{
    GPtrArray *names = names_in(folder);
    int status = TOOL_OK;

    for (unsigned i = 0; i < names->len && status == TOOL_OK; i++) {
        char *from = g_build_filename(folder, names->pdata[i], NULL);
        char *file = fill(names->pdata[i], name), *path = g_build_filename(to, file, NULL);
        char *template = NULL, *text;
        GError *error = NULL;
        struct stat st;

        if (check && lstat(path, &st) == 0) {
            status = tool_error("%s exists already", path);
        } else if (!check && !g_file_get_contents(from, &template, NULL, &error)) {
            status = tool_error("%s", error->message);
            g_error_free(error);
        } else if (!check) {
            text = fill(template, name);
            status = write_file(path, text);
            g_free(text);
        }
        g_free(template);
        g_free(path);
        g_free(file);
        g_free(from);
    }
    g_ptr_array_unref(names);
    return status;
}

static int make(const char *templates, const char *kind, const char *name, const char *folder)
{
    char *common = g_build_filename(templates, COMMON, NULL);
    char *own = g_build_filename(templates, kind, NULL);
    char *to = folder ? g_strdup(folder) : g_strdup(name);
    int status = TOOL_OK;

    if (strcmp(kind, COMMON) == 0 || strchr(kind, '/') || kind[0] == '.' ||
        !g_file_test(own, G_FILE_TEST_IS_DIR))
        status = refuse_kind(templates, kind);
    else if (g_mkdir_with_parents(to, 0777) < 0)
        status = tool_error("%s: %s", to, strerror(errno));
    for (int check = 1; check >= 0 && status == TOOL_OK; check--) {
        status = copy_folder(common, to, name, check);
        if (status == TOOL_OK)
            status = copy_folder(own, to, name, check);
    }
    if (status == TOOL_OK)
        printf("now: make -C %s check   (or: meson setup build; meson test -C build)\n", to);
    g_free(to);
    g_free(own);
    g_free(common);
    return status;
}

static int ask_for_both(const char *templates)
{
    char *kinds = list_kinds(templates);

    tool_usage(&command_new, "a KIND and a NAME are needed; kinds: %s", kinds);
    g_free(kinds);
    return TOOL_TROUBLE;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"directory", required_argument, NULL, 'C'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *folder = NULL;
    char *templates = find_templates();
    int c, status;

    while ((c = tool_option(&command_new, argc, argv, ":C:h", options, &status)) != -1) {
        if (c == '?') {
            char *kinds = status == TOOL_OK && templates ? list_kinds(templates) : NULL;

            if (kinds)
                printf("\nKinds: %s\n", kinds);
            g_free(kinds);
            g_free(templates);
            return status;
        }
        folder = optarg;
    }
    if (!templates)
        status = tool_error("the templates are not installed (../share/backplane/templates from "
                            "this program); they belong to the development files");
    else if (optind + 2 != argc)
        status = ask_for_both(templates);
    else if (!is_name(argv[optind + 1]))
        status = tool_error("%s is no name like my-card (small letters, digits, single \"-\")",
                            argv[optind + 1]);
    else
        status = make(templates, argv[optind], argv[optind + 1], folder);
    g_free(templates);
    return status;
}

const struct subcommand command_new = {
    "new", "KIND NAME [-C DIR]", "Write a module to begin from: code, test, build files, page",
    "\nNAME is like my-card; the files go to DIR (a new folder NAME). Nothing is overwritten.\n\n"
    "  -C, --directory DIR   where to\n"
    "  -h, --help            this text\n",
    run};
