/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads modules. The order: the file is opened and everything that it says is checked (check.c),
 * what the module requires is loaded, then it is given to the dynamic linker (open.c), imports are
 * filled, init() is called, and all it provides is registered, or nothing. A module that fails
 * stays known together with the reason.
 */
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "kinds.h"
#include "loop.h"
#include "modules.h"
#include "open.h"
#include "safety.h"

static bool locked;

/* The modules that wait for each other, innermost first. */
struct chain {
    struct module *module;
    const struct chain *outer;
};

static int tell_failure(const struct module *m, struct bp_error *err)
{
    return bp_fail(err, m->code, "%s", m->error);
}

/* "a -> b -> a": read from the outside in. */
static void describe_cycle(const struct module *m, const struct chain *chain, GString *text)
{
    if (chain->module != m)
        describe_cycle(m, chain->outer, text);
    g_string_append_printf(text, "%s -> ", chain->module->name);
}

static int refuse_cycle(struct module *m, const struct chain *chain, struct bp_error *err)
{
    GString *text = g_string_new(NULL);

    describe_cycle(m, chain, text);
    g_string_append(text, m->name);
    /* Every member of the cycle is out; the callers of the inner ones add nothing to this. */
    for (const struct chain *c = chain; c; c = c->outer) {
        module_refuse(c->module, true, ELOOP, "requires itself: %s", text->str);
        if (c->module == m)
            break;
    }
    g_string_free(text, TRUE);
    return tell_failure(m, err);
}

/* ---- what it requires ---- */

static int refuse_requirement(struct module *m, const char *interface)
{
    const char *slash = strchr(interface, '/');
    size_t length = slash ? (size_t)(slash - interface) + 1 : strlen(interface);
    const GPtrArray *provides = modules_provides();
    char hint[BPC_HINT_SIZE];

    for (unsigned i = 0; i < provides->len; i++) {
        const struct provide *p = provides->pdata[i];

        if (p->kind == BP_PROVIDE_INTERFACE && strncmp(p->name, interface, length) == 0)
            return module_refuse(m, false, ELIBACC, "requires interface %s; module %s has %s",
                                 interface, p->module->name, p->name);
    }
    bpc_missing_hint(BP_PROVIDE_INTERFACE, interface, hint, sizeof(hint));
    return module_refuse(m, false, ELIBACC, "requires interface %s, which no module provides%s",
                         interface, hint);
}

static int load_provider(enum bp_provide_kind kind, const char *name, const struct chain *chain,
                         struct module **ret_module, struct bp_error *err);

/* The frameworks of the kinds of what it provides. */
static int load_frameworks(struct module *m, const struct chain *chain)
{
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];
        const char *kind = bpc_kind_name(p->kind);
        const struct provide *framework;
        struct bp_error inner = {0};
        struct module *other = NULL;
        char hint[BPC_HINT_SIZE];
        int ret;

        if (bpc_kind_is_core(p->kind) || kind_is_noted_only(kind) || bpc_find(BP_PROVIDE_KIND, kind))
            continue;
        framework = modules_find_provide(BP_PROVIDE_KIND, kind, true);
        if (framework && framework->module == m)
            continue; /* it declares the kind itself */
        ret = load_provider(BP_PROVIDE_KIND, kind, chain, &other, &inner);
        if (ret == -ELOOP && m->state == MODULE_FAILED)
            return ret; /* part of the cycle, and marked so */
        if (ret == -ENOENT) {
            bpc_missing_hint(BP_PROVIDE_KIND, kind, hint, sizeof(hint));
            return module_refuse(m, false, ELIBACC, "provides %s %s, and no module declares kind %s%s",
                                 kind, p->name, kind, hint);
        }
        if (ret < 0)
            return module_refuse(m, other->refused, inner.code, "provides %s %s, whose framework "
                                 "cannot be used: %s", kind, p->name, inner.message);
    }
    return 0;
}

static int load_requirements(struct module *m, const struct chain *chain)
{
    for (unsigned i = 0; i < m->requires->len; i++) {
        const char *interface = m->requires->pdata[i];
        struct bp_error inner = {0};
        struct module *other = NULL;
        int ret;

        if (bpc_find(BP_PROVIDE_INTERFACE, interface))
            continue;
        ret = load_provider(BP_PROVIDE_INTERFACE, interface, chain, &other, &inner);
        if (ret == -ENOENT)
            return refuse_requirement(m, interface);
        if (ret == -ELOOP && m->state == MODULE_FAILED)
            return ret; /* part of the cycle, and marked so */
        if (ret < 0)
            return module_refuse(m, other->refused, inner.code, "requires interface %s: %s",
                                 interface, inner.message);
    }
    return 0;
}

/* ---- once it is open ---- */

static int fill_imports(struct module *m)
{
    for (const struct bp_import *i = m->desc->imports; i && i->name; i++) {
        const struct bp_interface *interface;
        struct bp_error inner = {0};
        const void *table;
        char key[160];

        snprintf(key, sizeof(key), "%s/%u", i->name, i->major);
        if (!g_ptr_array_find_with_equal_func(m->requires, key, g_str_equal, NULL))
            return module_refuse(m, true, ENOEXEC, "imports interface %s, which its notes do not "
                                 "list", key);
        if (bpc_require_interface(i->name, i->major, &table, &inner) < 0)
            return module_refuse(m, false, inner.code, "requires interface %s: %s", key,
                                 inner.message);
        interface = bpc_find(BP_PROVIDE_INTERFACE, key);
        if (interface && interface->minor < i->minor)
            return module_refuse(m, true, ENOEXEC, "requires interface %s, minor %u or later; here "
                                 "is %u", key, i->minor, interface->minor);
        *i->slot = table;
    }
    return 0;
}

static int start(struct module *m)
{
    struct bp_error inner = {0};
    int ret = 0;

    if (m->desc->init)
        ret = m->desc->init(&inner);
    if (ret < 0)
        return module_refuse(m, true, inner.code ? inner.code : -ret, "failed to start: %s",
                             inner.message[0] ? inner.message : strerror(-ret));
    ret = bpc_register_all(m->name, m->desc->provides, &inner);
    if (ret < 0)
        return module_refuse(m, true, inner.code ? inner.code : -ret, "cannot be registered: %s",
                             inner.message);
    return 0;
}

/* ---- what is remembered of those that run ---- */

static GPtrArray *running; /* const struct bp_module *, in order of loading */

struct code_range {
    uintptr_t inside, start, end;
};

/* Finds the object in memory that has an address, and how far it reaches. */
static int match_object(struct dl_phdr_info *info, size_t size, void *opaque)
{
    struct code_range *range = opaque;
    uintptr_t start = UINTPTR_MAX, end = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];

        if (h->p_type != PT_LOAD)
            continue;
        start = MIN(start, info->dlpi_addr + h->p_vaddr);
        end = MAX(end, info->dlpi_addr + h->p_vaddr + h->p_memsz);
    }
    if (range->inside < start || range->inside >= end)
        return 0;
    range->start = start;
    range->end = end;
    return 1;
}

static void note_started(struct module *m)
{
    struct code_range range = {.inside = (uintptr_t)m->desc};

    if (!running)
        running = g_ptr_array_new();
    g_ptr_array_add(running, (gpointer)m->desc);
    if (dl_iterate_phdr(match_object, &range))
        bpc_fatal_add_module(m->desc->name, g_intern_string(m->version ? m->version : ""),
                             (void *)range.start, (void *)range.end);
}

void load_ended(void)
{
    for (guint i = running ? running->len : 0; i-- > 0;) {
        const struct bp_module *desc = running->pdata[i];

        if (desc->size > offsetof(struct bp_module, fini) && desc->fini)
            desc->fini();
    }
    g_clear_pointer(&running, g_ptr_array_unref);
}

static int load_locked_out(const struct module *m, struct bp_error *err)
{
    return bp_fail(err, EPERM, "module %s (%s) is needed, and no more modules are loaded since the "
                   "machine runs (-modules lock=on): name it in preload=", m->name, m->file);
}

static int load_in_chain(struct module *m, const struct chain *outer, struct bp_error *err)
{
    const struct chain chain = {m, outer};
    struct opened file = {.fd = -1};
    int ret = 0;

    if (m->state == MODULE_LOADED)
        return 0;
    if (m->state == MODULE_LOADING)
        return refuse_cycle(m, outer, err);
    if (m->state == MODULE_FAILED && m->refused)
        return tell_failure(m, err);
    if (locked)
        return load_locked_out(m, err);
    if (!m->desc) {
        ret = open_checked(m, &file);
        if (ret == -ESTALE && m->state != MODULE_FAILED)
            return ret; /* the index tells of another build: the caller looks again */
        if (ret < 0)
            return tell_failure(m, err);
    }
    m->state = MODULE_LOADING;
    ret = load_requirements(m, &chain);
    if (ret == 0)
        ret = load_frameworks(m, &chain);
    if (ret == 0 && !m->desc)
        ret = open_linked(m, &file);
    open_finish(m, &file);
    if (ret == 0)
        ret = fill_imports(m);
    if (ret == 0)
        ret = start(m);
    if (ret < 0)
        return tell_failure(m, err);
    g_clear_pointer(&m->error, g_free);
    m->code = 0;
    m->state = MODULE_LOADED;
    note_started(m);
    bpc_module_loaded(m->name, m->file);
    return 0;
}

/* The module that serves kind:name at this moment; when its file turns out to be another one than
 * the index tells of, the directory is read anew and asked again, once. */
static int load_provider(enum bp_provide_kind kind, const char *name, const struct chain *chain,
                         struct module **ret_module, struct bp_error *err)
{
    struct provide *p = modules_find_provide(kind, name, true);
    int ret;

    if (p && modules_verify(p->module) < 0)
        p = modules_find_provide(kind, name, true);
    if (!p)
        return -ENOENT;
    *ret_module = p->module;
    ret = load_in_chain(p->module, chain, err);
    if (ret != -ESTALE || p->module->state == MODULE_FAILED)
        return ret;
    modules_reread(p->module);
    p = modules_find_provide(kind, name, true);
    if (!p)
        return -ENOENT;
    *ret_module = p->module;
    ret = load_in_chain(p->module, chain, err);
    if (ret == -ESTALE && p->module->state != MODULE_FAILED) {
        module_refuse(p->module, false, ESTALE, "changes while it is read; try again");
        return tell_failure(p->module, err);
    }
    return ret;
}

int module_load(struct module *m, struct bp_error *err)
{
    int ret = load_in_chain(m, NULL, err);

    if (ret == -ESTALE && m->state != MODULE_FAILED) {
        char *name = g_strdup(m->name);

        modules_reread(m);
        m = modules_find(name);
        ret = m ? load_in_chain(m, NULL, err)
               : bp_fail(err, ESTALE, "module %s was replaced, and what is there now is none", name);
        if (ret == -ESTALE && m && m->state != MODULE_FAILED)
            ret = bp_fail(err, ESTALE, "module %s (%s) changes while it is read; try again", name,
                         m->file);
        g_free(name);
    }
    return ret;
}

/* ---- the registry's hooks ---- */

int load_provide(enum bp_provide_kind kind, const char *name, struct bp_error *err)
{
    struct module *m;
    int ret = load_provider(kind, name, NULL, &m, err);

    if (ret == -EPERM && locked)
        bp_error_prefix(err, "%s %s", bpc_kind_name(kind), name);
    return ret; /* -ENOENT: the registry knows the nearest names and tells */
}

int load_named(const char *name_or_path, struct bp_error *err)
{
    struct module *m;
    int ret;

    if (strchr(name_or_path, '/') || g_str_has_suffix(name_or_path, ".so")) {
        if (safety_privileged())
            return bp_fail(err, EPERM, "'%.200s' is not loaded: files are not taken by their path "
                           "when privileges were raised", name_or_path);
        ret = modules_add_file(name_or_path, &m, err);
        if (ret < 0)
            return ret;
    } else {
        m = modules_find(name_or_path);
        if (!m)
            return modules_tell_unknown(name_or_path, err);
    }
    return module_load(m, err);
}

/* ---- locking (-modules lock=on) ---- */

static bool lock_asked;

void load_lock_when_started(bool lock)
{
    lock_asked = lock;
}

void load_started(void)
{
    locked = lock_asked;
}

bool load_locked(void)
{
    return locked;
}
