/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the registry asks the loader (registry.h). Listing and describing read the index, or the
 * module's file as data; only the hooks that load run any of its code.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "describe.h"
#include "modules.h"
#include "packages.h"
#include "policy.h"
#include "safety.h"

static void hook_each(enum bp_provide_kind kind,
                      void (*fn)(const struct bpc_known *known, void *opaque), void *opaque)
{
    const GPtrArray *provides;
    const char *where;

    /* Every start looks for a board, an accelerator and a CPU model, and must not cost a system call for
     * each of a thousand devices. */
    if (kind == BP_PROVIDE_BOARD || kind == BP_PROVIDE_ACCEL || kind == BP_PROVIDE_CPU)
        modules_verify_kind(kind);
    else
        modules_verify_all();
    provides = modules_provides();
    for (unsigned i = 0; i < provides->len; i++) {
        const struct provide *p = provides->pdata[i];
        const struct bpc_known known = {
            .kind = p->kind, .name = p->name, .summary = p->summary, .attributes = p->attributes,
            .module = p->module->name, .loaded = p->module->state == MODULE_LOADED};

        if (p->kind != kind || p->alias || p->module->state == MODULE_FAILED ||
            (policy_exists() && policy_denies_name(kind, p->name, &where)))
            continue;
        fn(&known, opaque);
    }
}

/* ---- describing ---- */

/* `p`, or what it is an alias of. */
static struct provide *target_of(struct provide *p)
{
    const struct index *index = p->module->index;
    uint32_t target = index->provides[p->number].target;
    const char *name = target ? index_string(index, index->provides[target - 1].name) : NULL;

    for (unsigned i = 0; name && i < p->module->provides->len; i++) {
        struct provide *q = p->module->provides->pdata[i];

        if (q->kind == p->kind && !q->alias && strcmp(q->name, name) == 0)
            return q;
    }
    return p;
}

/* Keeps the descriptors of everything in a table that the notes list. */
static int take_descriptors(struct module *m, const struct module_table *table,
                            struct bp_error *err)
{
    for (unsigned i = 0; i < m->provides->len; i++) {
        struct provide *p = m->provides->pdata[i];

        for (size_t j = 0; !p->alias && !p->description && j < table->provide_count; j++) {
            const struct description *d = &table->provides[j];
            void *desc;
            int ret;

            if (strcmp(d->kind, bpc_kind_name(p->kind)) != 0 || strcmp(d->name, p->name) != 0)
                continue;
            ret = describe_unpack(d->kind, d->packed, d->size, &desc, err);
            if (ret < 0)
                return ret;
            p->description = desc;
        }
    }
    return 0;
}

static int describe_from_file(struct provide *p, struct bp_error *err)
{
    struct module *m = p->module;
    const char *file = index_string(m->index, m->index->modules[m->number].file);
    struct module_table table = {0};
    struct image *image = NULL;
    struct stat st;
    int fd, ret = safety_open_at(m->source->fd, m->source->path, file, &fd, &st, err);

    if (ret < 0)
        return ret;
    ret = image_open(&(struct notes_source){.fd = fd, .size = (uint64_t)st.st_size}, &image, err);
    close(fd);
    if (ret == 0)
        ret = describe_image(image, &table, err);
    image_free(image);
    if (ret == 0)
        ret = take_descriptors(m, &table, err);
    describe_finish(&table);
    if (ret == 0 && !p->description)
        ret = bp_fail(err, ENOEXEC, "does not provide %s %s, which its notes list",
                     bpc_kind_name(p->kind), p->name);
    return ret;
}

static int describe(struct provide *p, struct bp_error *err)
{
    const void *packed;
    size_t size;
    void *desc;
    int ret = index_packed(p->module->index, p->number, &packed, &size, NULL);

    if (ret == 0 && size)
        ret = describe_unpack(bpc_kind_name(p->kind), packed, size, &desc, NULL);
    if (ret < 0 || !size) /* not there, or damaged: the file knows */
        return describe_from_file(p, err);
    p->description = desc;
    return 0;
}

static int hook_describe(enum bp_provide_kind kind, const char *name, const void **ret_desc,
                         struct bp_error *err)
{
    struct provide *p = modules_find_provide(kind, name, true);
    struct bp_error why = {0};
    const char *where;
    int ret = 0;

    /* One new reading is enough: after it the entry is as young as the question. */
    if (p && !p->module->source->verified && modules_verify(p->module) < 0)
        p = modules_find_provide(kind, name, true);
    if (!p)
        return -ENOENT; /* the registry knows the nearest names and tells */
    if (p->module->state == MODULE_FAILED)
        return bp_fail(err, p->module->code, "%s", p->module->error);
    if (policy_exists() && policy_denies_name(kind, p->name, &where))
        return bp_fail(err, EPERM, "%s %s is %s", bpc_kind_name(kind), p->name, where);
    p = target_of(p);
    if (!p->description)
        ret = describe(p, &why);
    if (ret < 0)
        return bp_fail(err, ret == -ENOENT ? ELIBACC : -ret, "module %s (%s) %s", p->module->name,
                       p->module->file, why.message);
    *ret_desc = p->description;
    return 0;
}

static void hook_each_denied(enum bp_provide_kind kind,
                             void (*fn)(const char *name, const void *desc, const char *where,
                                        void *opaque), void *opaque)
{
    const GPtrArray *all = policy_exists() ? modules_all() : NULL;

    for (unsigned i = 0; all && i < all->len; i++) {
        const struct module *m = all->pdata[i];

        for (unsigned j = 0; j < m->provides->len; j++) {
            struct provide *p = m->provides->pdata[j];
            const char *where = NULL;

            if (p->kind != kind || p->alias)
                continue;
            if (!policy_denies_name(kind, p->name, &where) && !policy_denies_module(m->name, &where))
                continue;
            if (!p->description)
                describe(p, NULL);
            fn(p->name, p->description, where, opaque);
        }
    }
}

static int hook_judge(enum bp_provide_kind kind, const char **name, struct bp_error *err)
{
    const char *other, *where;

    if (!policy_exists())
        return 0;
    if (policy_denies_name(kind, *name, &where))
        return bp_fail(err, EPERM, "%s %s is %s", bpc_kind_name(kind), *name, where);
    other = policy_alias(kind, *name);
    if (other && policy_denies_name(kind, other, &where))
        return bp_fail(err, EPERM, "%s %s (for %s) is %s", bpc_kind_name(kind), other, *name, where);
    if (other)
        *name = other;
    return 0;
}

const struct bpc_loader modules_loader = {
    .load = load_provide,
    .each = hook_each,
    .query = modules_query,
    .load_module = load_named,
    .describe = hook_describe,
    .started = load_started,
    .ended = load_ended,
    .missing = packages_missing,
    .judge = hook_judge,
    .each_denied = hook_each_denied,
    .query_module = modules_query_one,
    .resolve_file = modules_resolve_file,
    .lists = modules_list,
};
