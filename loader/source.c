/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One module directory: its index turned into the structures that the loader works with. They are
 * laid out in few blocks, as there may be a thousand modules of which three are used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bp/log.h>

#include "modules.h"
#include "safety.h"

/* A directory that changes more often under one machine is not looked at again: memory has bounds. */
#define MAX_REBUILDS 128u

/* As indexes are sorted. */
int source_compare_names(const struct provide *a, const struct provide *b)
{
    int order = a->kind == b->kind ? 0 : strcmp(bpc_kind_name(a->kind), bpc_kind_name(b->kind));

    return order ? order : strcmp(a->name, b->name);
}

int source_compare(const struct provide *a, const struct provide *b)
{
    int order = source_compare_names(a, b);

    return order ? order : strcmp(a->module->file, b->module->file);
}

/* ---- the index ---- */

static struct index_place place_of(const struct source *s)
{
    return (struct index_place){.directory = s->fd, .path = s->path, .open = safety_open_at};
}

/* Builds the index from the files. An empty directory is what remains when that fails. */
static struct index *scan(const struct source *s)
{
    const struct index_place place = place_of(s);
    struct index_names names = {0};
    struct index_bytes bytes = {0};
    struct index *index = g_new0(struct index, 1);
    struct bp_error err = {0};
    int ret = 0;

    if (s->only)
        names = (struct index_names){.all = (char **)&s->only, .count = 1};
    else
        ret = index_list_files(&place, &names, &err);
    if (ret == 0)
        ret = index_build(&place, &names, 0, &bytes, NULL, &err);
    if (!s->only)
        index_names_finish(&names);
    if (ret == 0)
        ret = index_check(bytes.data, bytes.size, index, &err);
    if (ret < 0) {
        bp_warn("module directory %s: %s", s->path, err.message);
        free(bytes.data);
    }
    return index;
}

/* The index file, when it is about the files that are there. */
static struct index *open_index(struct source *s)
{
    struct index *index = g_new0(struct index, 1);
    struct bp_error err = {0};
    uint64_t names = 0;
    const struct index_place place = place_of(s);
    int ret = index_open(&place, index, &err);

    if (ret == -EPERM || ret == -EBADMSG)
        bp_warn("module index %s/" INDEX_FILE " %s", s->path, err.message);
    if (ret == 0)
        ret = index_hash_files(&place, &names, &err);
    if (ret == 0 && names == index->header->names)
        return index;
    if (ret == -ENOENT)
        s->no_index = g_strdup("there is none");
    else
        s->no_index = g_strdup(ret < 0 ? err.message
                                      : "files were added, removed or renamed since it was made");
    g_free(index); /* a mapping that does not fit stays: it is rare and small */
    return NULL;
}

/* ---- modules and provides ---- */

/* The same build of the same file, by what two indexes say? */
static bool same_file(const struct index_module *a, const struct index_module *b)
{
    if (a->size != b->size || a->build_id_length != b->build_id_length ||
        memcmp(a->build_id, b->build_id, a->build_id_length) != 0)
        return false;
    return a->build_id_length || a->mtime == b->mtime;
}

/* Fills a module from its entry; its lists come later. */
static void fill_module(struct module *m, struct source *s, struct index *index, uint32_t number)
{
    const struct index_module *entry = &index->modules[number];

    m->source = s;
    m->index = index;
    m->number = number;
    m->name = index_string(index, entry->name);
    m->summary = index_string(index, entry->summary);
    m->version = index_string(index, entry->version);
    m->license = index_string(index, entry->license);
    m->tier = index_string(index, entry->tier);
    m->abi = index_string(index, entry->abi);
    m->size = (off_t)entry->size;
    m->rank = entry->rank;
}

/* The lists of all modules of an index, in three blocks. */
static void fill_lists(struct source *s, struct index *index, struct module **modules)
{
    const struct index_header *h = index->header;
    GPtrArray *heads = g_new0(GPtrArray, 2 * h->module_count + 1);
    void **slots = g_new(void *, h->provide_count + 1), **at = slots;
    struct provide *block = g_new0(struct provide, h->provide_count + 1);
    void **required = g_new(void *, h->require_count + 1);

    for (uint32_t i = 0; i < h->require_count; i++)
        required[i] = (void *)index_string(index, index->requires[i]);
    for (uint32_t i = 0; i < h->module_count; i++) {
        const struct index_module *entry = &index->modules[i];

        modules[i]->provides = &heads[2 * i];
        modules[i]->provides->pdata = at;
        at += entry->provides_count;
        modules[i]->requires = &heads[2 * i + 1];
        modules[i]->requires->pdata = required + entry->requires_first;
        modules[i]->requires->len = entry->requires_count;
    }
    s->provide_count = h->provide_count;
    enum bp_provide_kind kind = BP_PROVIDE_END;
    uint32_t kind_name = 0; /* sorted by it: it is looked up once */

    s->provides = g_new(struct provide *, h->provide_count + 1);
    for (uint32_t i = 0; i < h->provide_count; i++) {
        const struct index_provide *entry = &index->provides[i];
        struct module *m = modules[entry->module];

        if (entry->kind != kind_name) {
            const char *name = index_string(index, entry->kind);

            kind_name = entry->kind;
            kind = bpc_kind_from_name(name, strlen(name));
        }
        block[i] = (struct provide){
            .kind = kind, .name = index_string(index, entry->name),
            .summary = index_string(index, entry->summary),
            .attributes = index_string(index, entry->attributes), .module = m,
            .alias = entry->target != 0, .number = i};
        s->provides[i] = &block[i];
        m->provides->pdata[m->provides->len++] = &block[i];
    }
}

static void fill_files(const struct source *s, struct index *index, struct module *block)
{
    size_t path = strlen(s->path), size = 0;
    char *at;

    for (uint32_t i = 0; i < index->header->module_count; i++)
        size += path + strlen(index_string(index, index->modules[i].file)) + 2;
    at = g_malloc(size + 1);
    for (uint32_t i = 0; i < index->header->module_count; i++) {
        block[i].file = at;
        memcpy(at, s->path, path);
        at += path;
        *at++ = '/';
        at = stpcpy(at, index_string(index, index->modules[i].file)) + 1;
    }
}

/* The module that has this file already and is of the same build. */
static struct module *find_old(const struct source *s, const struct index *index, uint32_t number)
{
    const struct index_module *entry = &index->modules[number];
    const char *file = index_string(index, entry->file);
    uint32_t low = 0, high = s->index->header ? s->index->header->module_count : 0;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct index_module *was = &s->index->modules[middle];
        int order = strcmp(index_string(s->index, was->file), file);

        if (order == 0)
            return same_file(was, entry) ? s->modules[middle] : NULL;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct module *const *)a)->name, (*(struct module *const *)b)->name);
}

static int by_provide(const void *a, const void *b)
{
    return source_compare(*(struct provide *const *)a, *(struct provide *const *)b);
}

/* What is loaded stays, whatever becomes of its file: the old modules that `kept` does not have. */
static void keep_loaded(struct source *s, struct module **old, unsigned old_count)
{
    bool any = false;

    for (unsigned i = 0; i < old_count; i++) {
        struct module *m = old[i];

        if (m->index == s->index || (m->state != MODULE_LOADED && m->state != MODULE_LOADING))
            continue;
        m->replaced = any = true;
        s->modules = g_renew(struct module *, s->modules, s->module_count + 1);
        s->by_name = g_renew(struct module *, s->by_name, s->module_count + 1);
        s->by_name[s->module_count] = s->modules[s->module_count] = m;
        s->module_count++;
        s->provides = g_renew(struct provide *, s->provides,
                              s->provide_count + m->provides->len + 1);
        for (unsigned j = 0; j < m->provides->len; j++)
            s->provides[s->provide_count++] = m->provides->pdata[j];
    }
    if (any) {
        qsort(s->by_name, s->module_count, sizeof(*s->by_name), by_name);
        qsort(s->provides, s->provide_count, sizeof(*s->provides), by_provide);
    }
}

/* Takes over an index. Nothing of an earlier one is freed: strings and descriptors of it are out. */
static void adopt(struct source *s, struct index *index)
{
    uint32_t count = index->header ? index->header->module_count : 0;
    struct module *block = g_new0(struct module, count + 1);
    struct module **modules = g_new(struct module *, count + 1), **old = s->modules;
    unsigned old_count = s->module_count;

    if (count)
        fill_files(s, index, block);
    for (uint32_t i = 0; i < count; i++) {
        struct module *same = s->index ? find_old(s, index, i) : NULL;

        modules[i] = same ? same : &block[i];
        fill_module(modules[i], s, index, i);
    }
    s->provide_count = 0;
    s->provides = NULL;
    if (count)
        fill_lists(s, index, modules);
    s->by_name = g_new(struct module *, count + 1);
    for (uint32_t i = 0; i < count; i++)
        s->by_name[i] = modules[index->by_name[i]];
    s->index = index;
    s->modules = modules;
    s->module_count = count;
    keep_loaded(s, old, old_count);
    g_free(old);
}

struct source *source_open(const char *path, const char *origin, int fd, const char *only)
{
    struct source *s = g_new0(struct source, 1);
    struct index *index = NULL;
    struct stat st;

    s->path = path;
    s->origin = origin;
    s->fd = fd;
    s->only = only;
    if (fstat(fd, &st) == 0) {
        s->device = st.st_dev;
        s->inode = st.st_ino;
        s->changed = st.st_mtim;
    }
    if (!only)
        index = open_index(s);
    s->verified = !index; /* read just now */
    adopt(s, index ? index : scan(s));
    return s;
}

bool source_changed(const struct source *s)
{
    struct stat st;

    return !s->only && s->rebuilt < MAX_REBUILDS && fstat(s->fd, &st) == 0 &&
           memcmp(&st.st_mtim, &s->changed, sizeof(st.st_mtim)) != 0;
}

void source_rebuild(struct source *source)
{
    struct stat st;

    source->rebuilt++;
    if (fstat(source->fd, &st) == 0) /* before it is listed: a later change is seen */
        source->changed = st.st_mtim;
    if (!source->no_index)
        source->no_index = g_strdup("files changed since it was made");
    source->verified = true;
    adopt(source, scan(source));
}

int source_verify(struct module *m)
{
    struct stat st;
    const struct index_place place = place_of(m->source);
    int ret = index_verify_entry(m->index, m->number, &place, &st);

    if (ret == 0) {
        m->device = st.st_dev;
        m->inode = st.st_ino;
        m->size = st.st_size;
    }
    return ret;
}
