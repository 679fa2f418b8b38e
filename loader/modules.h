/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The modules that were found on disk and what became of them. [main], all of it: modules are found
 * once, on the first question, and live as long as the process, as do all strings here.
 */
#ifndef LOADER_MODULES_H
#define LOADER_MODULES_H

#include <sys/types.h>

#include <glib.h>

#include "index.h"
#include "registry.h"

enum module_state { MODULE_AVAILABLE, MODULE_LOADING, MODULE_LOADED, MODULE_FAILED };

struct module {
    const char *name; /* from the notes; without usable ones the file's name without .so */
    char *file;       /* absolute path */
    const char *summary, *version, *license, *tier, *abi; /* "" when the notes lack them */
    GPtrArray *requires; /* const char * "isa/1"; only to be read, like the next */
    GPtrArray *provides; /* struct provide * */
    enum module_state state;
    bool refused; /* failed for good: trying again cannot help */
    int code;     /* of `error` */
    char *error;  /* full sentence, or NULL */
    dev_t device; /* with inode: 0 until modules_verify() */
    ino_t inode;
    off_t size;
    const struct bp_module *desc; /* once opened */

    struct source *source; /* the directory it was found in */
    struct index *index;
    uint32_t number; /* its entry in the index */
    int rank;        /* policy's, else the module's own; 0 is usual */
    bool lost;       /* failed because another module has its names: `error` may be taken back */
    bool replaced;   /* loaded, and its file has another content or is gone by now */
    bool told;       /* a warning about it was printed */
    int pinned;      /* its file, held open for later (-modules pin=on); 0: not */
};

/* One thing that a module provides, or an alias of one. */
struct provide {
    enum bp_provide_kind kind;
    const char *name, *summary, *attributes;
    struct module *module;
    bool alias;
    uint32_t number;         /* its entry in the module's index */
    const void *description; /* once described */
};

/* ---- source.c: one directory ---- */
struct source {
    const char *path, *origin; /* as in directories.h; "file" for a module named by its path */
    int fd;
    const char *only; /* the name of that file, else NULL */
    dev_t device;
    ino_t inode;
    struct timespec changed;  /* the directory's time of change when it was listed */
    unsigned rebuilt;         /* how often; what is known of earlier files is kept each time */
    struct index *index;
    char *no_index;           /* why modules.idx is not used; NULL: it is */
    bool verified;            /* all entries were compared with their files */
    struct module **modules;  /* sorted by file; behind them those that were replaced */
    unsigned module_count;
    struct module **by_name;  /* sorted by name */
    struct provide **provides; /* sorted by kind, then name */
    unsigned provide_count;
};

/* Reads a directory (or one file, `only`): its index, or the files. The descriptor and strings are
 * kept. Never NULL: what cannot be read is told and counts as empty. */
struct source *source_open(const char *path, const char *origin, int fd, const char *only);
/* Reads the files anew. Modules whose files are the same stay what they are. */
void source_rebuild(struct source *source);
/* Were files added, removed or renamed since it was read? */
bool source_changed(const struct source *source);
/* -ESTALE: the module's file is not the one that was indexed. Fills device, inode and size. */
int source_verify(struct module *m);
/* By kind, name, module: for sorted lists of struct provide *. */
int source_compare(const struct provide *a, const struct provide *b);
/* The same without the module: 0 for the same thing. */
int source_compare_names(const struct provide *a, const struct provide *b);

/* ---- discover.c ---- */
/* Adds directories to look at first, "a:b:c". Ignored when privileges were raised. */
void modules_add_path(const char *colon_list);
/* The directories, and files named by their paths (struct source *); finds them on the first call. */
const GPtrArray *modules_sources(void);
/* All modules (struct module *), in order of discovery; finds them on the first call. */
const GPtrArray *modules_all(void);
void modules_each(void (*fn)(struct module *m, void *opaque), void *opaque);
/* Provides of modules that may be used (struct provide *), by kind, then name; each name once. */
const GPtrArray *modules_provides(void);
/* The provide that serves kind:name. With `or_failed`, also one of a module that was refused. */
struct provide *modules_find_provide(enum bp_provide_kind kind, const char *name, bool or_failed);
/* bpc_loader.lists */
bool modules_list(enum bp_provide_kind kind, const char *name);
struct module *modules_find(const char *name); /* NULL: no such module */
/* The module in this file, which is added when it is not known yet. Never NULL on success; the
 * module may be a refused one. */
int modules_add_file(const char *path, struct module **ret_module, struct bp_error *err);
/* Is the module's file the one that its entry tells of? 0, or -ESTALE: its directory was read anew,
 * `m` may be out of the lists by now; look it up again. To be asked before a module is loaded. */
int modules_verify(struct module *m);
/* The directory of a module is read anew: its index tells of other files. */
void modules_reread(struct module *m);
/* modules_verify() for every module, once as long as its directory does not change: before everything
 * of a kind is listed, and before a name counts as unknown. True when something was read anew. */
bool modules_verify_all(void);
/* The same for modules that provide something of a kind. */
bool modules_verify_kind(enum bp_provide_kind kind);
/* From here on what is known stays, whatever changes on disk. */
void modules_freeze(void);
/* Changes when what is on disk, or the policy, does; the same with and without index files. */
uint64_t modules_generation(void);
/* Remembers why a module cannot be used; returns -code. The message: "module NAME (FILE) TEXT". */
int module_refuse(struct module *m, bool for_good, int code, const char *fmt, ...) BP_PRINTF(4, 5);

/* ---- load.c ---- */
/* Loads a module and what it requires, and registers what it provides. */
int module_load(struct module *m, struct bp_error *err);
/* The registry's hooks of the same names. */
int load_provide(enum bp_provide_kind kind, const char *name, struct bp_error *err);
int load_named(const char *name_or_path, struct bp_error *err);
void load_started(void);
void load_ended(void);  /* fini() of all, the last loaded first */
void load_lock_when_started(bool lock); /* -modules lock=on */
bool load_locked(void); /* nothing more may be loaded: -modules lock=on took effect */
bool module_pinned(const struct module *m); /* its file is held open for later */

/* ---- hooks.c ---- */
/* The hooks for bpc_registry_set_loader(). */
extern const struct bpc_loader modules_loader;

/* ---- query.c ---- */
struct bp_value *modules_query(void); /* for query-modules */
/* "there is no module NAME": with near names and the package that has it. Returns -ENOENT. */
int modules_tell_unknown(const char *name, struct bp_error *err);
/* One module's entry of query-modules, by name or file. */
int modules_query_one(const char *name_or_path, struct bp_value **ret_value, struct bp_error *err);

/* ---- by-file.c ---- */
/* bpc_loader.resolve_file */
int modules_resolve_file(enum bp_provide_kind kind, const char *path, const char **ret_name,
                         struct bp_error *err);

#endif
