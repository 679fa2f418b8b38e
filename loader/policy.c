/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The administrator's word on modules (policy.h says what it may be): reading it and asking it. */
#include "policy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include <bp/log.h>

#include "directories.h"
#include "index.h"
#include "registry.h"
#include "safety.h"

#define MAX_FILES 256u
#define MAX_FILE (64u << 10) /* bytes */
#define MAX_RULES 4096u

enum verb { DENY, ALLOW, ALIAS, PREFER, RANK };

struct rule {
    enum verb verb;
    enum bp_provide_kind kind; /* of KIND:NAME; BP_PROVIDE_END: a module's name */
    char *pattern, *other;     /* `other`: what an alias means, the preferred module */
    int rank;
    char *where; /* deny: "denied by FILE:LINE (reason)" */
    char *line;  /* "FILE:LINE" */
};

static GPtrArray *rules; /* struct rule *; NULL: not read yet */
static uint64_t hash;

/* ---- one file's text ---- */

static void free_rule(void *p)
{
    struct rule *r = p;

    g_free(r->pattern);
    g_free(r->other);
    g_free(r->where);
    g_free(r->line);
    g_free(r);
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* "KIND:NAME", or a module's name. NULL, or what is wrong. */
static const char *take_subject(struct rule *r, const char *text)
{
    const char *colon = strchr(text, ':');

    if (colon) {
        r->kind = bpc_kind_from_name(text, (size_t)(colon - text));
        if (r->kind == BP_PROVIDE_END)
            return "KIND: a lower-case letter, then letters, digits and '-'";
        text = colon + 1;
    }
    if (!*text)
        return "a name is missing";
    r->pattern = g_strdup(text);
    return NULL;
}

static const char *take_rank(struct rule *r, const char *text)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < -1000000 || n > 1000000)
        return "a rank is a whole number between -1000000 and 1000000";
    r->rank = (int)n;
    return NULL;
}

/* Words of the line behind the verb; the third is the rest, without quotation marks. */
static const char *understand(struct rule *r, const char *subject, char *other, const char *where)
{
    const char *wrong = take_subject(r, subject);
    size_t length = strlen(other);

    if (wrong)
        return wrong;
    if (r->verb == DENY) {
        if (length >= 2 && other[0] == '"' && other[length - 1] == '"') {
            other[length - 1] = '\0';
            other++;
        }
        r->where = *other ? g_strdup_printf("denied by %s (%s)", where, other)
                          : g_strdup_printf("denied by %s", where);
        return NULL;
    }
    if (r->verb == ALLOW)
        return *other ? "allow takes one pattern" : NULL;
    if ((r->verb == RANK) == (r->kind != BP_PROVIDE_END))
        return r->verb == RANK ? "rank takes a module's name" : "KIND:NAME is expected";
    if (!*other || strpbrk(other, " \t"))
        return "two words are expected";
    if (r->verb == RANK)
        return take_rank(r, other);
    r->other = g_strdup(other);
    return NULL;
}

static const char *const verbs[] = {"deny", "allow", "alias", "prefer", "rank"};

static void add_line(const char *file, unsigned number, char *line)
{
    char none[] = "", *words[3] = {none, none, none}, *at = line + strspn(line, " \t\r"), *where;
    const char *wrong = "a line begins with deny, allow, alias, prefer or rank";
    struct rule *r;

    g_strchomp(at);
    if (*at == '\0' || *at == '#')
        return;
    for (unsigned i = 0; i < 3 && *at; i++) {
        words[i] = at;
        at += i < 2 ? strcspn(at, " \t") : strlen(at);
        if (*at)
            *at++ = '\0';
        at += strspn(at, " \t");
    }
    r = g_new0(struct rule, 1);
    where = g_strdup_printf("%s:%u", file, number);
    for (unsigned i = 0; i < BP_COUNT(verbs); i++) {
        if (strcmp(words[0], verbs[i]) != 0)
            continue;
        r->verb = (enum verb)i;
        wrong = understand(r, words[1], words[2], where);
    }
    if (!wrong && rules->len >= MAX_RULES)
        wrong = "there are too many lines";
    if (wrong) {
        bp_warn("%s: %s; the line is left out", where, wrong);
        free_rule(r);
        g_free(where);
    } else {
        r->line = where;
        g_ptr_array_add(rules, r);
    }
}

void policy_add_text(const char *file, const char *text, size_t length)
{
    char *copy = g_strndup(text, length), *at = copy, *line;

    if (!rules)
        rules = g_ptr_array_new_with_free_func(free_rule);
    for (unsigned number = 1; (line = strsep(&at, "\n")); number++) {
        g_strdelimit(line, "\t", ' ');
        g_strchomp(line);
        hash = hash * 31 + index_sum(line, strlen(line));
        if (is_plain(line))
            add_line(file, number, line);
        else
            bp_warn("%s:%u: control characters; the line is left out", file, number);
    }
    g_free(copy);
}

void policy_forget(void)
{
    g_clear_pointer(&rules, g_ptr_array_unref);
    hash = 0;
}

/* ---- files ---- */

static void read_file(const char *path)
{
    struct bp_error err = {0};
    struct stat st;
    char *text;
    ssize_t n;
    int fd;

    if (safety_open_file(path, &fd, &st, &err) < 0) {
        bp_warn("%s %s", path, err.message);
        return;
    }
    if (st.st_size > MAX_FILE) {
        bp_warn("%s is not used: it has more than %u bytes", path, MAX_FILE);
        close(fd);
        return;
    }
    text = g_malloc(MAX_FILE);
    n = read(fd, text, MAX_FILE);
    if (n < 0)
        bp_warn("%s cannot be read: %s", path, strerror(errno));
    else
        policy_add_text(path, text, (size_t)n);
    g_free(text);
    close(fd);
}

/* A link to /dev/null in a safe directory masks the file of an earlier one. */
static bool is_mask(const char *path)
{
    char target[16];

    return readlink(path, target, sizeof(target)) == 9 && memcmp(target, "/dev/null", 9) == 0;
}

static void list_file(const char *path, const char *name, GTree *files)
{
    char *file = g_build_filename(path, name, NULL);
    struct bp_error err = {0};
    struct stat st;
    int fd;

    if (is_mask(file)) {
        g_tree_remove(files, name);
    } else if (safety_open_file(file, &fd, &st, &err) < 0) {
        bp_warn("%s %s", file, err.message); /* what it would replace stays */
    } else {
        close(fd);
        if (g_tree_nnodes(files) < (gint)MAX_FILES || g_tree_lookup(files, name))
            g_tree_replace(files, g_strdup(name), g_strdup(file));
        else
            bp_warn("%s is not used: there are more than %u policy files", file, MAX_FILES);
    }
    g_free(file);
}

/* A file of a later directory replaces the one of the same name; only what nobody else could have
 * written does. */
static void list_directory(const char *path, GTree *files)
{
    struct bp_error err = {0};
    struct dirent *entry;
    DIR *dir;
    int fd;

    if (access(path, F_OK) < 0)
        return; /* the usual case, quickly */
    if (safety_open_directory(path, &fd, &err) < 0) {
        bp_warn("policy directory %s %s", path, err.message);
        return;
    }
    dir = fdopendir(fd);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && g_str_has_suffix(entry->d_name, ".conf"))
            list_file(path, entry->d_name, files);
    if (dir)
        closedir(dir);
    else
        close(fd);
}

static gboolean visit_file(gpointer name, gpointer path, gpointer opaque)
{
    (void)name;
    (void)opaque;
    read_file(path);
    return FALSE;
}

static gint by_name(gconstpointer a, gconstpointer b, gpointer opaque)
{
    (void)opaque;
    return strcmp(a, b);
}

static void list_vendor(GTree *files)
{
    const GPtrArray *directories = directories_all();

    for (unsigned i = 0; i < directories->len; i++) {
        const struct directory *d = directories->pdata[i];

        if (strcmp(d->origin, "system") == 0 || strcmp(d->origin, "build tree") == 0) {
            char *path = g_build_filename(d->path, "modules.d", NULL);

            list_directory(path, files);
            g_free(path);
        }
    }
}

static void read_all(void)
{
    static const char *const places[] = {"/usr/lib/backplane/modules.d",
                                         "/run/backplane/modules.d", "/etc/backplane/modules.d"};
    const char *instead;
    GTree *files;

    if (rules)
        return;
    instead = safety_privileged() ? NULL : secure_getenv("BACKPLANE_MODULE_CONF");
    rules = g_ptr_array_new_with_free_func(free_rule);
    files = g_tree_new_full(by_name, NULL, g_free, g_free);
    if (instead) {
        char **parts = g_strsplit(instead, ":", -1);

        for (char **p = parts; *p; p++)
            if (**p)
                list_directory(*p, files);
        g_strfreev(parts);
    } else {
        list_vendor(files);
        for (unsigned i = 0; i < BP_COUNT(places); i++)
            list_directory(places[i], files);
    }
    g_tree_foreach(files, visit_file, NULL);
    g_tree_unref(files);
}

/* ---- questions ---- */

/* The last line of a verb with exactly this subject. */
static const struct rule *last_rule(enum verb verb, enum bp_provide_kind kind, const char *name)
{
    read_all();
    for (unsigned i = rules->len; i-- > 0;) {
        const struct rule *r = rules->pdata[i];

        if (r->verb == verb && r->kind == kind && strcmp(r->pattern, name) == 0)
            return r;
    }
    return NULL;
}

static bool denies(enum bp_provide_kind kind, const char *name, const char **ret_where)
{
    read_all();
    for (unsigned i = rules->len; i-- > 0;) {
        const struct rule *r = rules->pdata[i];

        if (r->verb > ALLOW || r->kind != kind || fnmatch(r->pattern, name, 0) != 0)
            continue;
        if (r->verb == DENY && ret_where)
            *ret_where = r->where;
        return r->verb == DENY;
    }
    return false;
}

bool policy_denies_module(const char *module, const char **ret_where)
{
    return denies(BP_PROVIDE_END, module, ret_where);
}

bool policy_denies_name(enum bp_provide_kind kind, const char *name, const char **ret_where)
{
    return denies(kind, name, ret_where);
}

const char *policy_alias(enum bp_provide_kind kind, const char *name)
{
    const struct rule *r = last_rule(ALIAS, kind, name);

    return r ? r->other : NULL;
}

const char *policy_prefer(enum bp_provide_kind kind, const char *name)
{
    const struct rule *r = last_rule(PREFER, kind, name);

    return r ? r->other : NULL;
}

bool policy_rank(const char *module, int *ret_rank)
{
    const struct rule *r = last_rule(RANK, BP_PROVIDE_END, module);

    if (r)
        *ret_rank = r->rank;
    return r != NULL;
}

void policy_each(void (*fn)(const struct policy_line *line, void *opaque), void *opaque)
{
    read_all();
    for (unsigned i = 0; i < rules->len; i++) {
        const struct rule *r = rules->pdata[i];
        const struct policy_line line = {verbs[r->verb], r->line, r->pattern, r->other, r->kind,
                                         r->verb == ALIAS};

        fn(&line, opaque);
    }
}

bool policy_exists(void)
{
    read_all();
    return rules->len > 0;
}

uint64_t policy_hash(void)
{
    read_all();
    return hash;
}
