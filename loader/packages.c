/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of packages (packages.h): one file, read whole on the first question, its lines checked, sorted
 * by kind and name. Words from it end up in messages on a terminal: only printable ASCII is taken.
 */
#include "packages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include <bp/log.h>

#include "directories.h"
#include "modules.h"
#include "near.h"
#include "safety.h"

#define MAX_SIZE (4u << 20)   /* bytes of the file */
#define MAX_ENTRIES 100000u
#define MAX_WORD 128u         /* letters of a name */
#define MAX_TEMPLATE 200u     /* letters of the install line */

struct entry {
    enum bp_provide_kind kind; /* BP_PROVIDE_END: module:NAME */
    unsigned line;
    const char *name, *module, *package; /* in `text` */
};

static bool was_read;
static char *text;       /* of the file, lines and words ended by NUL; g_malloc'd */
static GArray *entries;  /* struct entry, sorted */
static const char *install; /* in `text`, or NULL */

/* ---- lines ---- */

static bool is_text(const char *p, size_t most)
{
    size_t n = 0;

    while (g_ascii_isprint(p[n]))
        n++;
    return n > 0 && n <= most && !p[n];
}

/* Monitor commands have a space inside: "info pic". */
static bool is_word(const char *word)
{
    return is_text(word, MAX_WORD) && word[0] != ' ' && word[strlen(word) - 1] != ' ';
}

/* One %s, no other directive. */
static bool is_template(const char *line)
{
    const char *percent = strchr(line, '%');

    return is_text(line, MAX_TEMPLATE) && percent && percent[1] == 's' && !strchr(percent + 1, '%');
}

/* "KIND:NAME<TAB>MODULE<TAB>PACKAGE", cut up in place. */
static bool parse_entry(char *line, struct entry *ret_entry)
{
    char *module = strchr(line, '\t'), *package = module ? strchr(module + 1, '\t') : NULL;
    char *colon = strchr(line, ':');
    struct entry e = {.kind = BP_PROVIDE_END};

    if (!package || !colon || colon > module)
        return false;
    *module++ = *package++ = '\0';
    e.name = colon + 1;
    e.module = module;
    e.package = package;
    if (!is_word(e.name) || !is_word(e.module) || !is_word(e.package))
        return false;
    if (colon - line != 6 || memcmp(line, "module", 6) != 0) {
        e.kind = bpc_kind_from_name(line, (size_t)(colon - line));
        if (e.kind == BP_PROVIDE_END)
            return false;
    }
    *ret_entry = e;
    return true;
}

static bool take_line(char *line, unsigned number)
{
    static const char install_word[] = "install ";
    struct entry e;

    if (!*line || *line == '#')
        return true;
    if (strncmp(line, install_word, strlen(install_word)) == 0) {
        if (!is_template(line + strlen(install_word)))
            return false;
        install = line + strlen(install_word);
        return true;
    }
    if (entries->len >= MAX_ENTRIES || !parse_entry(line, &e))
        return false;
    e.line = number;
    g_array_append_val(entries, e);
    return true;
}

static int order(const struct entry *e, enum bp_provide_kind kind, const char *name)
{
    return e->kind != kind ? (e->kind < kind ? -1 : 1) : strcmp(e->name, name);
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int difference = order(x, y->kind, y->name);

    return difference ? difference : (x->line > y->line) - (x->line < y->line);
}

/* Cuts `text` up; returns how many lines are malformed and the first of them. */
static unsigned take_text(size_t size, unsigned *ret_first)
{
    unsigned bad = 0, number = 0;

    if (entries)
        g_array_unref(entries);
    entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
    install = NULL;
    for (char *p = text, *end = text + size; p < end;) {
        char *newline = memchr(p, '\n', (size_t)(end - p));
        char *stop = newline ? newline : end;

        *stop = '\0'; /* there is one byte after the end */
        number++;
        /* A NUL inside would hide the rest of the line. */
        if (strlen(p) != (size_t)(stop - p) || !take_line(p, number))
            *ret_first = bad++ ? *ret_first : number;
        p = stop + 1;
    }
    g_array_sort(entries, by_name);
    return bad;
}

unsigned packages_read(const char *given, size_t size)
{
    unsigned first;

    g_free(text);
    text = g_malloc(size + 1);
    memcpy(text, given, size);
    text[size] = '\0';
    was_read = true;
    return take_text(size, &first);
}

/* ---- the file ---- */

static void read_file(const struct directory *directory)
{
    struct bp_error err = {0};
    struct stat st;
    unsigned bad, first = 0;
    const char *path = directory->path;
    ssize_t length;
    int fd, ret = safety_open_at(directory->fd, path, PACKAGES_FILE, &fd, &st, &err);

    if (ret == -ENOENT)
        return;
    if (ret < 0) {
        bp_warn("%s/" PACKAGES_FILE " %s", path, err.message);
        return;
    }
    if (st.st_size > (off_t)MAX_SIZE) {
        bp_warn("%s/" PACKAGES_FILE " is not used: it is larger than %u bytes", path, MAX_SIZE);
        close(fd);
        return;
    }
    text = g_malloc((size_t)st.st_size + 1);
    length = read(fd, text, (size_t)st.st_size);
    if (length < 0)
        bp_warn("%s/" PACKAGES_FILE " cannot be read: %s", path, strerror(errno));
    close(fd);
    text[length < 0 ? 0 : length] = '\0';
    bad = take_text(length < 0 ? 0 : (size_t)length, &first);
    if (bad)
        bp_warn("%s/" PACKAGES_FILE ": malformed lines are left out: %u, the first is line %u", path,
                bad, first);
}

static void read_once(void)
{
    const GPtrArray *all;

    if (was_read)
        return;
    was_read = true;
    all = directories_all();
    for (unsigned i = 0; i < all->len && !text; i++)
        read_file(all->pdata[i]);
}

/* ---- questions ---- */

/* The first entry that is not before kind:name; the number of entries when there is none. */
static unsigned lower_bound(enum bp_provide_kind kind, const char *name)
{
    unsigned low = 0, high;

    read_once();
    high = entries ? entries->len : 0;
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (order(&g_array_index(entries, struct entry, middle), kind, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct entry *at(unsigned i, enum bp_provide_kind kind)
{
    const struct entry *e = entries && i < entries->len
                                ? &g_array_index(entries, struct entry, i) : NULL;

    return e && e->kind == kind ? e : NULL;
}

static const struct entry *find(enum bp_provide_kind kind, const char *name)
{
    const struct entry *e = at(lower_bound(kind, name), kind);

    return e && strcmp(e->name, name) == 0 ? e : NULL;
}

const char *packages_find(enum bp_provide_kind kind, const char *name, const char **ret_module)
{
    const struct entry *e = kind == BP_PROVIDE_END ? NULL : find(kind, name);

    if (e && ret_module)
        *ret_module = e->module;
    return e ? e->package : NULL;
}

const char *packages_find_module(const char *module)
{
    const struct entry *e = find(BP_PROVIDE_END, module);

    return e ? e->package : NULL;
}

const char *packages_hint(const char *package)
{
    const char *percent;
    char *hint;
    const char *interned;

    read_once();
    if (!install)
        return "";
    percent = strchr(install, '%');
    hint = g_strdup_printf("install it with: %.*s%s%s", (int)(percent - install), install, package,
                           percent + 2);
    interned = g_intern_string(hint);
    g_free(hint);
    return interned;
}

void packages_each(enum bp_provide_kind kind, void (*fn)(const char *name, void *opaque),
                    void *opaque)
{
    const struct entry *e;

    for (unsigned i = lower_bound(kind, ""); (e = at(i, kind)) != NULL; i++)
        fn(e->name, opaque);
}

/* ---- what to say when something is missing ---- */

static void offer(const char *name, void *opaque)
{
    bpc_near_offer(opaque, name);
}

static void tell_near(enum bp_provide_kind kind, const char *name, char *buf, size_t size)
{
    GString *told = g_string_new(NULL);
    struct bpc_near near;

    bpc_near_init(&near, name);
    packages_each(kind, offer, &near);
    for (unsigned i = 0; i < BP_COUNT(near.best) && near.best[i].name; i++) {
        const struct entry *e = find(kind, near.best[i].name);

        if (e && !modules_find_provide(kind, e->name, true) && !bpc_find(kind, e->name))
            g_string_append_printf(told, "%s%s in package %s", told->len ? ", " : "; not installed: ",
                                   e->name, e->package);
    }
    if (told->len < size)
        memcpy(buf, told->str, told->len + 1);
    g_string_free(told, TRUE);
}

static void tell_packages(enum bp_provide_kind kind, char *buf, size_t size)
{
    GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);
    GString *told = g_string_new(NULL);
    const struct entry *e;

    for (unsigned i = lower_bound(kind, ""); (e = at(i, kind)) != NULL; i++) {
        if (!g_hash_table_add(seen, (char *)e->package))
            continue;
        if (told->len + strlen(e->package) + 32 > size)
            break;
        g_string_append_printf(told, "%s%s", told->len ? ", " : "; packages that have one: ",
                               e->package);
    }
    if (told->len < size)
        memcpy(buf, told->str, told->len + 1);
    g_string_free(told, TRUE);
    g_hash_table_unref(seen);
}

bool packages_missing(enum bp_provide_kind kind, const char *name, char *buf, size_t size)
{
    const char *package, *hint;

    buf[0] = '\0';
    if (!*name) {
        tell_packages(kind, buf, size);
        return false;
    }
    package = packages_find(kind, name, NULL);
    if (!package) {
        tell_near(kind, name, buf, size);
        return false;
    }
    hint = packages_hint(package);
    snprintf(buf, size, "; package %s has it%s%s", package, *hint ? "; " : "", hint);
    return true;
}
