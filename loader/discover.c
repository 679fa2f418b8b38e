/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All modules of all directories, and who serves which name. Of several modules that provide the
 * same thing one is used: the one that the policy prefers, else that of the highest rank, else the
 * one whose directory, then file name, comes first. The others are out as a whole, since a module
 * is registered all or nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/log.h>

#include "directories.h"
#include "kinds.h"
#include "modules.h"
#include "policy.h"
#include "safety.h"

#define MAX_FILES 4096u /* modules named by their paths */

extern const char bpc_exact_stamp[]; /* core/version.c */

static GPtrArray *sources;  /* struct source * */
static GPtrArray *modules;  /* struct module * */
static GPtrArray *names;    /* struct module *, sorted by name, then as in `modules` */
static GPtrArray *usable;   /* struct provide *, sorted, each kind:name once */
static GPtrArray *unusable; /* of refused modules, for errors that tell why */
static bool frozen;

int module_refuse(struct module *m, bool for_good, int code, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_free(m->error);
    m->error = g_strdup_printf("module %s (%s) %s", m->name, m->file, text);
    g_free(text);
    /* ENOENT is kept for names that nobody knows: of those, callers tell in their own words. */
    m->code = code == ENOENT ? ELIBACC : code;
    m->state = MODULE_FAILED;
    m->refused = for_good;
    return -m->code;
}

/* ---- is a module fit to be used at all? ---- */

/* The notes' ABI against ours; every field that differs is named with both values. */
static void check_abi(struct module *m)
{
    GString *why;
    unsigned major = 0, minor = 0;
    char *end = NULL;

    if (strcmp(m->abi, BP_STR(BP_ABI_MAJOR) "." BP_STR(BP_ABI_MINOR)) == 0 &&
        strcmp(m->tier, "public") == 0)
        return; /* nearly all of them */
    why = g_string_new(NULL);
    errno = 0;
    if (g_ascii_isdigit(m->abi[0]))
        major = (unsigned)strtoul(m->abi, &end, 10);
    if (end && *end == '.' && g_ascii_isdigit(end[1]))
        minor = (unsigned)strtoul(end + 1, &end, 10);
    if (!end || *end != '\0' || errno != 0)
        g_string_append_printf(why, "abi \"%s\" (here %d.%d)", m->abi, BP_ABI_MAJOR, BP_ABI_MINOR);
    else if (major != BP_ABI_MAJOR)
        g_string_append_printf(why, "abi major %u (here %d)", major, BP_ABI_MAJOR);
    else if (minor > BP_ABI_MINOR)
        g_string_append_printf(why, "abi minor %u (here %d)", minor, BP_ABI_MINOR);
    if (strncmp(m->tier, "exact:", 6) == 0) {
        if (strcmp(m->tier + 6, bpc_exact_stamp) != 0)
            g_string_append_printf(why, "%sexact stamp %s (here %s)", why->len ? ", " : "",
                                   m->tier + 6, bpc_exact_stamp);
    } else if (strcmp(m->tier, "public") != 0) {
        g_string_append_printf(why, "%stier \"%s\" (here public or exact:%s)",
                               why->len ? ", " : "", m->tier, bpc_exact_stamp);
    }
    if (why->len)
        module_refuse(m, true, ENOEXEC, "does not fit this program: it was built for %s",
                      why->str);
    g_string_free(why, TRUE);
}

static void judge(struct module *m)
{
    const struct index_module *entry = &m->index->modules[m->number];
    const char *error = index_string(m->index, entry->error), *where;

    if (m->lost) {
        m->lost = m->refused = false;
        g_clear_pointer(&m->error, g_free);
        m->code = 0;
        m->state = MODULE_AVAILABLE;
    }
    if (m->state != MODULE_AVAILABLE)
        return;
    if (error[0])
        module_refuse(m, true, entry->code, "%s", error);
    else if (policy_exists() && policy_denies_module(m->name, &where))
        module_refuse(m, true, EPERM, "is %s", where);
    else
        check_abi(m);
    if (policy_exists())
        policy_rank(m->name, &m->rank);
}

/* Out for good. One that failed for now (what it requires is not there) keeps its names. */
static bool is_out(const struct module *m)
{
    return m->state == MODULE_FAILED && m->refused;
}

/* ---- one module for a name ---- */

static bool is_preferred(const struct module *m)
{
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];
        const char *name = policy_prefer(p->kind, p->name);

        if (name && strcmp(name, m->name) == 0)
            return true;
    }
    return false;
}

struct contender {
    struct module *module;
    bool in_use, preferred;
    unsigned order; /* of discovery */
};

static int stronger_first(const void *a, const void *b)
{
    const struct contender *x = a, *y = b;

    if (x->in_use != y->in_use)
        return x->in_use ? -1 : 1;
    if (x->preferred != y->preferred)
        return x->preferred ? -1 : 1;
    if (x->module->rank != y->module->rank)
        return x->module->rank > y->module->rank ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* A name that a stronger module has: registration is all or nothing, so this one is out. */
static bool loses(struct module *m, GHashTable *by_name, GHashTable *provided)
{
    struct module *other = g_hash_table_lookup(by_name, m->name);

    if (other && other->replaced)
        module_refuse(m, true, EEXIST, "is not used: this file came after the module of that name "
                      "had been loaded");
    else if (other)
        module_refuse(m, true, EEXIST, "is not used: %s has a module of that name and %s",
                      other->file, other->rank > m->rank ? "a higher rank" : "was found first");
    for (unsigned i = 0; !other && i < m->provides->len; i++) {
        struct provide *p = m->provides->pdata[i];
        const char *kind = bpc_kind_name(p->kind);
        char *key;

        if (kind_is_noted_only(kind))
            continue;
        key = g_strdup_printf("%s:%s", kind, p->name);
        other = g_hash_table_lookup(provided, key);
        g_free(key);
        if (!other)
            continue;
        module_refuse(m, true, EEXIST, "provides %s %s, which module %s (%s) has already",
                      kind, p->name, other->name, other->file);
        if (p->kind == BP_PROVIDE_KIND && !m->told)
            bp_warn("%s", m->error); /* all that is of this kind goes by the other's word */
        m->told |= p->kind == BP_PROVIDE_KIND;
    }
    m->lost = other != NULL;
    return m->lost;
}

static void settle_conflicts(void)
{
    GHashTable *by_name = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTable *provided = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct contender *all = g_new(struct contender, modules->len + 1);
    unsigned count = 0;

    for (unsigned i = 0; i < modules->len; i++) {
        struct module *m = modules->pdata[i];

        if (is_out(m))
            continue;
        all[count++] = (struct contender){
            m, m->state == MODULE_LOADED || m->state == MODULE_LOADING,
            policy_exists() && is_preferred(m), i};
    }
    qsort(all, count, sizeof(*all), stronger_first);
    for (unsigned i = 0; i < count; i++) {
        struct module *m = all[i].module;

        if (loses(m, by_name, provided))
            continue;
        g_hash_table_insert(by_name, (char *)m->name, m);
        for (unsigned j = 0; j < m->provides->len; j++) {
            struct provide *p = m->provides->pdata[j];

            g_hash_table_insert(provided,
                                g_strdup_printf("%s:%s", bpc_kind_name(p->kind), p->name), m);
        }
    }
    g_free(all);
    g_hash_table_unref(by_name);
    g_hash_table_unref(provided);
}

/* ---- the lists ---- */

static int order_of_provides(const void *a, const void *b)
{
    return source_compare_names(a, b);
}

static int order_of_names(const void *a, const void *b)
{
    return strcmp(((const struct module *)a)->name, ((const struct module *)b)->name);
}

/* Merges a sorted list into another; of equals, those that were there stay first. */
static GPtrArray *merge(GPtrArray *list, void *const *more, unsigned count,
                        int (*order)(const void *, const void *))
{
    GPtrArray *both = g_ptr_array_sized_new(list->len + count + 1);
    unsigned i = 0, j = 0;

    while (i < list->len || j < count) {
        bool take_more = i == list->len || (j < count && order(list->pdata[i], more[j]) > 0);

        both->pdata[both->len++] = take_more ? more[j++] : list->pdata[i++];
    }
    g_ptr_array_unref(list);
    return both;
}

static bool has_conflicts(const GPtrArray *provides)
{
    const struct provide *before = NULL;
    const struct module *m = NULL;

    for (unsigned i = 0; i < provides->len; i++) {
        const struct provide *p = provides->pdata[i];

        if (is_out(p->module))
            continue;
        if (before && order_of_provides(before, p) == 0 && !kind_is_noted_only(bpc_kind_name(p->kind)))
            return true;
        before = p;
    }
    for (unsigned i = 0; i < names->len; i++) {
        const struct module *next = names->pdata[i];

        if (is_out(next))
            continue;
        if (m && strcmp(m->name, next->name) == 0)
            return true;
        m = next;
    }
    return false;
}

/* Makes all lists anew from the sources. */
static void resolve(void)
{
    GPtrArray *provides = g_ptr_array_new();

    g_ptr_array_set_size(modules, 0);
    g_ptr_array_set_size(names, 0);
    for (unsigned i = 0; i < sources->len; i++) {
        const struct source *s = sources->pdata[i];

        for (unsigned j = 0; j < s->module_count; j++) {
            g_ptr_array_add(modules, s->modules[j]);
            judge(s->modules[j]);
        }
        names = merge(names, (void *const *)s->by_name, s->module_count, order_of_names);
        provides = merge(provides, (void *const *)s->provides, s->provide_count,
                         order_of_provides);
    }
    if (has_conflicts(provides))
        settle_conflicts();
    g_ptr_array_set_size(usable, 0);
    g_ptr_array_set_size(unusable, 0);
    for (unsigned i = 0; i < provides->len; i++) {
        struct provide *p = provides->pdata[i];

        g_ptr_array_add(is_out(p->module) ? unusable : usable, p);
    }
    g_ptr_array_unref(provides);
}

static void find_all(void)
{
    const GPtrArray *directories;

    if (modules)
        return;
    sources = g_ptr_array_new();
    modules = g_ptr_array_new();
    names = g_ptr_array_new();
    usable = g_ptr_array_new();
    unusable = g_ptr_array_new();
    directories = directories_all();
    for (unsigned i = 0; i < directories->len; i++) {
        const struct directory *d = directories->pdata[i];

        g_ptr_array_add(sources, source_open(d->path, d->origin, d->fd, NULL));
    }
    resolve();
    if (policy_exists())
        policy_tell_strays();
}

void modules_add_path(const char *colon_list)
{
    directories_add(colon_list);
}

const GPtrArray *modules_sources(void)
{
    find_all();
    return sources;
}

const GPtrArray *modules_all(void)
{
    find_all();
    return modules;
}

void modules_each(void (*fn)(struct module *m, void *opaque), void *opaque)
{
    find_all();
    for (unsigned i = 0; i < modules->len; i++)
        fn(modules->pdata[i], opaque);
}

const GPtrArray *modules_provides(void)
{
    find_all();
    return usable;
}

void modules_freeze(void)
{
    frozen = true;
}

int modules_verify(struct module *m)
{
    int ret = m->state == MODULE_LOADED || m->pinned || frozen ? 0 : source_verify(m);

    if (ret < 0) {
        source_rebuild(m->source);
        resolve();
    }
    return ret;
}

void modules_reread(struct module *m)
{
    if (frozen)
        return;
    source_rebuild(m->source);
    resolve();
}

bool modules_verify_all(void)
{
    bool again = false;

    find_all();
    for (unsigned i = 0; i < sources->len && !frozen; i++) {
        struct source *s = sources->pdata[i];

        if (source_changed(s)) {
            source_rebuild(s);
            again = true;
        }
        for (unsigned j = 0; !s->verified && j < s->module_count; j++) {
            if (source_verify(s->modules[j]) < 0) {
                source_rebuild(s);
                again = true;
            }
        }
        s->verified = true;
    }
    if (again)
        resolve();
    return again;
}

bool modules_verify_kind(enum bp_provide_kind kind)
{
    bool again = false;

    find_all();
    for (unsigned i = 0; i < sources->len && !frozen; i++) {
        struct source *s = sources->pdata[i];

        for (unsigned j = 0; !s->verified && j < s->provide_count; j++) {
            struct provide *p = s->provides[j];

            if (p->kind == kind && source_verify(p->module) < 0) {
                source_rebuild(s); /* and verifies it, so that this ends */
                again = true;
            }
        }
    }
    if (again)
        resolve();
    return again;
}

/* ---- looking up ---- */

static struct provide *search(const GPtrArray *sorted, enum bp_provide_kind kind, const char *name)
{
    const struct provide wanted = {.kind = kind, .name = name};
    size_t low = 0, high = sorted->len;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = order_of_provides(sorted->pdata[middle], &wanted);

        if (order == 0)
            return sorted->pdata[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct provide *find_provide(enum bp_provide_kind kind, const char *name, bool or_failed)
{
    const char *other = policy_exists() ? policy_alias(kind, name) : NULL;
    struct provide *p = search(usable, kind, other ? other : name);

    return p || !or_failed ? p : search(unusable, kind, other ? other : name);
}

struct provide *modules_find_provide(enum bp_provide_kind kind, const char *name, bool or_failed)
{
    struct provide *p;

    find_all();
    p = find_provide(kind, name, or_failed);
    /* An index may not know yet what a file provides by now. */
    if (!p && modules_verify_all())
        p = find_provide(kind, name, or_failed);
    return p;
}

bool modules_list(enum bp_provide_kind kind, const char *name)
{
    find_all();
    return find_provide(kind, name, false) != NULL;
}

static struct module *find_module(const char *name)
{
    struct module *failed = NULL;
    size_t low = 0, high = names->len;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (strcmp(((struct module *)names->pdata[middle])->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < names->len; low++) {
        struct module *m = names->pdata[low];

        if (strcmp(m->name, name) != 0)
            break;
        if (m->state != MODULE_FAILED)
            return m;
        failed = failed ? failed : m;
    }
    return failed;
}

struct module *modules_find(const char *name)
{
    struct module *m;

    find_all();
    m = find_module(name);
    if (!m && modules_verify_all())
        m = find_module(name);
    return m;
}

/* ---- files named by their paths ---- */

static struct module *find_file(const struct source *s, const char *file)
{
    for (unsigned i = 0; i < s->module_count; i++) {
        const struct module *m = s->modules[i];

        if (!m->replaced &&
            strcmp(index_string(m->index, m->index->modules[m->number].file), file) == 0)
            return s->modules[i];
    }
    return NULL;
}

/* The module of this file by another name of it, such as a link. */
static struct module *find_same_file(const struct stat *wanted)
{
    for (unsigned i = 0; i < modules->len; i++) {
        struct module *m = modules->pdata[i];
        struct stat st;

        if (m->size == wanted->st_size && !m->replaced && stat(m->file, &st) == 0 &&
            st.st_ino == wanted->st_ino && st.st_dev == wanted->st_dev)
            return m;
    }
    return NULL;
}

/* Looks in the directories that are known. True: `*ret_module` is it. */
static bool find_in_sources(const struct stat *parent, const char *file, const struct stat *st,
                            struct module **ret_module)
{
    struct module *m = NULL;

    for (unsigned i = 0; !m && i < sources->len; i++) {
        struct source *s = sources->pdata[i];

        if (s->device != parent->st_dev || s->inode != parent->st_ino ||
            (s->only && strcmp(s->only, file) != 0))
            continue;
        m = find_file(s, file);
        if (!frozen && (m ? source_verify(m) < 0 : index_is_module_name(file))) {
            source_rebuild(s);
            resolve();
            m = find_file(s, file);
        }
    }
    if (!m)
        m = find_same_file(st);
    if (m)
        *ret_module = m;
    return m != NULL;
}

int modules_add_file(const char *path, struct module **ret_module, struct bp_error *err)
{
    char *absolute = g_canonicalize_filename(path, NULL), *slash = strrchr(absolute, '/');
    struct bp_error inner = {0};
    struct stat st, parent;
    struct source *s;
    int fd, ret;

    find_all();
    if (stat(absolute, &st) < 0)
        ret = bp_fail(err, errno, "module file %s cannot be opened: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        ret = bp_fail(err, ENOEXEC, "module file %s is not a regular file", path);
    else if (sources->len >= MAX_FILES)
        ret = bp_fail(err, ENOSPC, "there are %u module files already", sources->len);
    else
        ret = 0;
    if (ret < 0) {
        g_free(absolute);
        return ret;
    }
    *slash = '\0';
    ret = safety_open_directory(absolute[0] ? absolute : "/", &fd, &inner);
    if (ret < 0) {
        g_free(absolute);
        return bp_fail(err, inner.code, "module file %s: its directory %s", path, inner.message);
    }
    if (fstat(fd, &parent) == 0 && find_in_sources(&parent, slash + 1, &st, ret_module)) {
        close(fd);
        g_free(absolute);
        return 0;
    }
    s = source_open(absolute, "file", fd, slash + 1); /* keeps fd and the strings */
    g_ptr_array_add(sources, s);
    resolve();
    if (!s->module_count)
        return bp_fail(err, EIO, "module file %s cannot be read", path);
    *ret_module = s->modules[0];
    return 0;
}

/* ---- the generation ---- */

uint64_t modules_generation(void)
{
    uint64_t generation = policy_exists() ? policy_hash() : 0;

    find_all();
    for (unsigned i = 0; i < modules->len; i++) {
        const struct module *m = modules->pdata[i];
        const struct index_module *entry = &m->index->modules[m->number];
        struct {
            uint64_t before, size, name;
            uint8_t build_id[24];
        } step = {.before = generation, .size = entry->size};

        index_names_add(&step.name, index_string(m->index, entry->file));
        memcpy(step.build_id, entry->build_id, entry->build_id_length);
        generation = index_sum(&step, sizeof(step));
    }
    return generation;
}
