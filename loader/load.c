/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads modules. The only caller of dlopen(). The order: everything the notes tell is checked
 * (discover.c), what the module requires is loaded, then the file is opened (NOW, LOCAL, NODELETE),
 * its table is compared with its notes, imports are filled, init() is called, and all it provides
 * is registered, or nothing. A module that fails stays known together with the reason.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modules.h"

/* The modules that wait for each other, innermost first. */
struct chain {
    struct module *module;
    const struct chain *outer;
};

static int load_in_chain(struct module *m, const struct chain *outer, struct bp_error *err);

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

    for (unsigned i = 0; i < provides->len; i++) {
        const struct provide *p = provides->pdata[i];

        if (p->kind == BP_PROVIDE_INTERFACE && strncmp(p->name, interface, length) == 0)
            return module_refuse(m, false, ELIBACC, "requires interface %s; module %s has %s",
                                 interface, p->module->name, p->name);
    }
    return module_refuse(m, false, ELIBACC, "requires interface %s, which no module provides",
                         interface);
}

static int load_requirements(struct module *m, const struct chain *chain)
{
    for (unsigned i = 0; i < m->requires->len; i++) {
        const char *interface = m->requires->pdata[i];
        struct bp_error inner = {0};
        struct provide *p;
        int rc;

        if (bpc_find(BP_PROVIDE_INTERFACE, interface))
            continue;
        p = modules_find_provide(BP_PROVIDE_INTERFACE, interface, true);
        if (!p)
            return refuse_requirement(m, interface);
        rc = load_in_chain(p->module, chain, &inner);
        if (rc == -ELOOP && m->state == MODULE_FAILED)
            return rc; /* part of the cycle, and marked so */
        if (rc < 0)
            return module_refuse(m, p->module->refused, inner.code, "requires interface %s: %s",
                                 interface, inner.message);
    }
    return 0;
}

/* ---- opening it ---- */

/* Turns the dynamic linker's words into ours: what is missing is named first. */
static int refuse_dlopen(struct module *m, const char *text)
{
    static const char cannot_open[] = ": cannot open shared object file";
    static const char undefined[] = ": undefined symbol: ";
    const char *found;

    if (!text)
        text = "unknown error";
    found = strstr(text, cannot_open);
    if (found)
        return module_refuse(m, true, ELIBACC, "needs library %.*s, which is not installed",
                             (int)(found - text), text);
    found = strstr(text, undefined);
    if (found) {
        found += strlen(undefined);
        return module_refuse(m, true, ENOEXEC, "needs symbol %.*s, which nothing provides",
                             (int)strcspn(found, " ,"), found);
    }
    /* The linker begins with the file's name, which our message has already. */
    if (strncmp(text, m->file, strlen(m->file)) == 0 && text[strlen(m->file)] == ':')
        text += strlen(m->file) + 2;
    return module_refuse(m, true, ENOEXEC, "cannot be loaded: %s", text);
}

static int open_file(struct module *m)
{
    struct stat st;
    void *handle;

    if (stat(m->file, &st) < 0)
        return module_refuse(m, false, EIO, "cannot be opened: %s", strerror(errno));
    if (st.st_ino != m->inode || st.st_dev != m->device || st.st_size != m->size)
        return module_refuse(m, true, ESTALE, "was replaced since this program started");
    handle = dlopen(m->file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return refuse_dlopen(m, dlerror());
    m->desc = dlsym(handle, "bp_module");
    if (!m->desc)
        return module_refuse(m, true, ENOEXEC, "has no symbol bp_module");
    return 0;
}

/* The table against the notes and against us, field by field. */
static int check_table(struct module *m)
{
    const struct bp_module *d = m->desc;
    GString *why = g_string_new(NULL);
    int rc = 0;

    if (d->magic != BP_MODULE_MAGIC) {
        g_string_append_printf(why, "magic 0x%08x (here 0x%08x)", d->magic, BP_MODULE_MAGIC);
    } else if (d->size < sizeof(*d)) { /* 1.0 is the shortest there ever was */
        g_string_append_printf(why, "size %u (here %zu)", d->size, sizeof(*d));
    } else {
        if (d->abi_major != BP_ABI_MAJOR || d->abi_minor > BP_ABI_MINOR)
            g_string_append_printf(why, "abi %u.%u (here %d.%d)", d->abi_major, d->abi_minor,
                                   BP_ABI_MAJOR, BP_ABI_MINOR);
        if (!d->name || strcmp(d->name, m->name) != 0)
            g_string_append_printf(why, "%sname %s (notes: %s)", why->len ? ", " : "",
                                   d->name ? d->name : "(none)", m->name);
        if (!d->tier || strcmp(d->tier, m->tier) != 0)
            g_string_append_printf(why, "%stier %s (notes: %s)", why->len ? ", " : "",
                                   d->tier ? d->tier : "(none)", m->tier);
        if (!d->provides)
            g_string_append_printf(why, "%sno list of what it provides", why->len ? ", " : "");
    }
    if (why->len)
        rc = module_refuse(m, true, ENOEXEC, "does not fit this program: its table bp_module "
                           "has %s", why->str);
    g_string_free(why, TRUE);
    return rc;
}

static bool in_notes(const struct module *m, enum bp_provide_kind kind, const char *name)
{
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (p->kind == kind && !p->alias && strcmp(p->name, name) == 0)
            return true;
    }
    return false;
}

static bool in_table(const struct module *m, const struct provide *wanted)
{
    for (const struct bp_provide *p = m->desc->provides; p->kind != BP_PROVIDE_END; p++)
        if (p->kind == wanted->kind && strcmp(bpc_provide_name(p), wanted->name) == 0)
            return true;
    return false;
}

static int compare_provides(struct module *m)
{
    for (const struct bp_provide *p = m->desc->provides; p->kind != BP_PROVIDE_END; p++) {
        const char *kind = bpc_kind_name(p->kind), *name;

        if (!kind || !p->desc)
            return module_refuse(m, true, ENOEXEC, "provides something of unknown kind %d",
                                 (int)p->kind);
        name = bpc_provide_name(p);
        /* Abstract parents are for the registry only: nobody looks for them on disk. */
        if (p->kind != BP_PROVIDE_ABSTRACT && (!name || !in_notes(m, p->kind, name)))
            return module_refuse(m, true, ENOEXEC, "provides %s %s, which its notes do not list",
                                 kind, name ? name : "without a name");
    }
    for (unsigned i = 0; i < m->provides->len; i++) {
        const struct provide *p = m->provides->pdata[i];

        if (!p->alias && !in_table(m, p))
            return module_refuse(m, true, ENOEXEC, "does not provide %s %s, which its notes list",
                                 bpc_kind_name(p->kind), p->name);
    }
    return 0;
}

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
    int rc = 0;

    if (m->desc->init)
        rc = m->desc->init(&inner);
    if (rc < 0)
        return module_refuse(m, true, inner.code ? inner.code : -rc, "failed to start: %s",
                             inner.message[0] ? inner.message : strerror(-rc));
    rc = bpc_register_all(m->name, m->desc->provides, &inner);
    if (rc < 0)
        return module_refuse(m, true, inner.code ? inner.code : -rc, "cannot be registered: %s",
                             inner.message);
    return 0;
}

static int load_in_chain(struct module *m, const struct chain *outer, struct bp_error *err)
{
    const struct chain chain = {m, outer};
    int rc;

    if (m->state == MODULE_LOADED)
        return 0;
    if (m->state == MODULE_LOADING)
        return refuse_cycle(m, outer, err);
    if (m->state == MODULE_FAILED && m->refused)
        return tell_failure(m, err);
    m->state = MODULE_LOADING;
    rc = load_requirements(m, &chain);
    if (rc == 0 && !m->desc) {
        rc = open_file(m);
        if (rc == 0)
            rc = check_table(m);
        if (rc == 0)
            rc = compare_provides(m);
    }
    if (rc == 0)
        rc = fill_imports(m);
    if (rc == 0)
        rc = start(m);
    if (rc < 0)
        return tell_failure(m, err);
    g_clear_pointer(&m->error, g_free);
    m->code = 0;
    m->state = MODULE_LOADED;
    return 0;
}

int module_load(struct module *m, struct bp_error *err)
{
    return load_in_chain(m, NULL, err);
}

/* ---- the registry's hooks ---- */

static int hook_load(enum bp_provide_kind kind, const char *name, struct bp_error *err)
{
    struct provide *p = modules_find_provide(kind, name, true);

    if (!p)
        return -ENOENT; /* the registry knows the nearest names and tells */
    return module_load(p->module, err);
}

static void hook_each(enum bp_provide_kind kind,
                      void (*fn)(const struct bpc_known *known, void *opaque), void *opaque)
{
    const GPtrArray *provides = modules_provides();

    for (unsigned i = 0; i < provides->len; i++) {
        const struct provide *p = provides->pdata[i];
        const struct bpc_known known = {
            .kind = p->kind, .name = p->name, .summary = p->summary, .attributes = p->attributes,
            .module = p->module->name, .loaded = p->module->state == MODULE_LOADED};

        if (p->kind == kind && !p->alias && p->module->state != MODULE_FAILED)
            fn(&known, opaque);
    }
}

static int hook_load_module(const char *name_or_path, struct bp_error *err)
{
    struct module *m;
    int rc;

    if (strchr(name_or_path, '/') || g_str_has_suffix(name_or_path, ".so")) {
        rc = modules_add_file(name_or_path, &m, err);
        if (rc < 0)
            return rc;
    } else {
        m = modules_find(name_or_path);
        if (!m)
            return bp_fail(err, ENOENT, "there is no module %s", name_or_path);
    }
    return module_load(m, err);
}

const struct bpc_loader modules_loader = {
    .load = hook_load,
    .each = hook_each,
    .query = modules_query,
    .load_module = hook_load_module,
};
