/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The modules that were found on disk and what became of them. [main], all of it: modules are found
 * once, on the first question, and live as long as the process.
 */
#ifndef LOADER_MODULES_H
#define LOADER_MODULES_H

#include <sys/types.h>

#include <glib.h>

#include "notes.h"
#include "registry.h"

enum module_state { MODULE_AVAILABLE, MODULE_LOADING, MODULE_LOADED, MODULE_FAILED };

struct module {
    const char *name; /* from the notes; without usable ones the file's name without .so */
    char *file;
    const char *summary, *version, *license, *tier, *abi; /* "" when the notes lack them */
    GPtrArray *requires; /* const char * "isa/1" */
    GPtrArray *provides; /* struct provide * */
    struct notes notes;
    enum module_state state;
    bool refused; /* failed for good: trying again cannot help */
    int code;     /* of `error` */
    char *error;  /* full sentence, or NULL */
    dev_t device;
    ino_t inode;
    off_t size;
    const struct bp_module *desc; /* once opened */
};

/* One thing that a module provides, or an alias of one. */
struct provide {
    enum bp_provide_kind kind;
    const char *name, *summary, *attributes;
    char *attributes_owned;
    struct module *module;
    unsigned order; /* of discovery */
    bool alias;
};

/* ---- discover.c ---- */
/* Adds directories to look at first, "a:b:c". Ignored when privileges were raised. */
void modules_add_path(const char *colon_list);
/* All modules (struct module *), in order of discovery; finds them on the first call. */
const GPtrArray *modules_all(void);
/* Provides of modules that may be used (struct provide *), by kind, then name; each name once. */
const GPtrArray *modules_provides(void);
/* The provide that serves kind:name. With `or_failed`, also one of a module that was refused. */
struct provide *modules_find_provide(enum bp_provide_kind kind, const char *name, bool or_failed);
struct module *modules_find(const char *name); /* NULL: no such module */
/* The module in this file, which is added when it is not known yet. Never NULL on success; the
 * module may be a refused one. */
int modules_add_file(const char *path, struct module **ret_module, struct bp_error *err);
/* Remembers why a module cannot be used; returns -code. The message: "module NAME (FILE) TEXT". */
int module_refuse(struct module *m, bool for_good, int code, const char *fmt, ...) BP_PRINTF(4, 5);

/* ---- load.c ---- */
/* Loads a module and what it requires, and registers what it provides. */
int module_load(struct module *m, struct bp_error *err);
/* The hooks for bpc_registry_set_loader(). */
extern const struct bpc_loader modules_loader;

/* ---- query.c ---- */
struct bp_value *modules_query(void); /* for query-modules: list of dicts */

#endif
