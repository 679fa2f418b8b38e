/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry: everything that the core and modules provide, by kind and name. Names that are
 * known but not loaded yet come from the loader's hooks. [main]
 */
#ifndef BPC_REGISTRY_H
#define BPC_REGISTRY_H

#include <bp/error.h>
#include <bp/module.h>

#include "kind.h"

/* What is known of a thing without loading it (from ELF notes). Strings are the loader's. */
struct bpc_known {
    enum bp_provide_kind kind;
    const char *name;       /* "isa-serial" */
    const char *summary;    /* or "" */
    const char *attributes; /* "bus=isa;user=yes" part of the note, or "" */
    const char *module;     /* module's name; "core" for built-in ones */
    bool loaded;
};

/* The loader's side. */
struct bpc_loader {
    /* Loads the module that provides kind:name (with all it requires) and registers it. */
    int (*load)(enum bp_provide_kind kind, const char *name, struct bp_error *err);
    /* Calls fn for everything that modules on disk provide of this kind, sorted by name. */
    void (*each)(enum bp_provide_kind kind, void (*fn)(const struct bpc_known *known, void *opaque),
                 void *opaque);
    /* query-modules and module-load. */
    struct bp_value *(*query)(void);
    int (*load_module)(const char *name_or_path, struct bp_error *err);
    /* An inert copy of the descriptor of kind:name, made from the module's file (or its index)
     * without running any of its code: function pointers in it are NULL. Borrowed for ever.
     * -ENOENT: nobody has it. */
    int (*describe)(enum bp_provide_kind kind, const char *name, const void **ret_desc,
                    struct bp_error *err);
    /* The machine is made and about to run: what -modules lock=on asked for takes effect. */
    void (*started)(void);
    /* The process ends: modules' fini(), the last loaded first. */
    void (*ended)(void);
    /* A name that nobody has: "; package backplane-testdev has it ..." and true; or near names that
     * packages have, or an empty text, and false. An empty name: which packages have any of the
     * kind. */
    bool (*missing)(enum bp_provide_kind kind, const char *name, char *buf, size_t size);
    /* The administrator's word on a name, loaded or not: *name becomes what it stands for; 0, or
     * -EPERM and who denied it where. */
    int (*judge)(enum bp_provide_kind kind, const char **name, struct bp_error *err);
    /* Calls fn for what the administrator denied of a kind, by its name or with its module, with what
     * it is (NULL: its file cannot be read) and "denied by FILE:LINE (reason)". */
    void (*each_denied)(enum bp_provide_kind kind,
                        void (*fn)(const char *name, const void *desc, const char *where, void *opaque),
                        void *opaque);
    /* One module's entry of `query`, by name or file. A new reference. */
    int (*query_module)(const char *name_or_path, struct bp_value **ret_value,
                        struct bp_error *err);
    /* "DIR/FILE.so" or "DIR/FILE.so:NAME": makes the file's module known and tells which thing of
     * the kind is meant: NAME, or the only one it has. Nothing is loaded. Borrowed for ever. */
    int (*resolve_file)(enum bp_provide_kind kind, const char *path, const char **ret_name,
                        struct bp_error *err);
    /* Is it in what is known by now? No file is looked at, and nothing is loaded. Optional. */
    bool (*lists)(enum bp_provide_kind kind, const char *name);
};
void bpc_registry_set_loader(const struct bpc_loader *loader); /* borrowed, for ever */
const struct bpc_loader *bpc_registry_loader(void);            /* or NULL */

/* Registers all of a module's descriptors, or none. `provides` ends with BP_PROVIDE_END; names that
 * exist already give -EEXIST and say who has them. */
int bpc_register_all(const char *module, const struct bp_provide *provides, struct bp_error *err);

/* The name a descriptor is registered under ("isa-serial"; interfaces: "isa/1"). */
const char *bpc_provide_name(const struct bp_provide *provide);

/* A descriptor of a module built against older headers as one of today's size, new members zero; one of
 * today's is returned as it is. Lasts as long as the process. */
const void *bpc_registry_grown(enum bp_provide_kind kind, const void *desc);

/* Looks up what is registered; NULL when it is not (nothing is loaded). */
const void *bpc_find(enum bp_provide_kind kind, const char *name);
/* The same, loading the module that has it when needed. -ENOENT: nobody has it; the message lists
 * the nearest names. */
int bpc_require(enum bp_provide_kind kind, const char *name, const void **ret_desc,
                struct bp_error *err);
/* For reading only: the registered descriptor, or an inert copy of that of a module that is not
 * loaded (function pointers, and pointers to data of unknown type, are NULL). Nothing is loaded.
 * Lasts as long as the process. Errors as bpc_require(). */
int bpc_describe(enum bp_provide_kind kind, const char *name, const void **ret_desc,
                 struct bp_error *err);
/* An interface's table ("chardev", 1), loading when needed. */
int bpc_require_interface(const char *name, unsigned major, const void **ret_table,
                          struct bp_error *err);
/* Registered and known ones together, sorted by name, each once. */
void bpc_each_known(enum bp_provide_kind kind,
                    void (*fn)(const struct bpc_known *known, void *opaque), void *opaque);
/* Fills buf with up to three near names (edit distance), comma separated; "" when none is near. */
void bpc_nearest(enum bp_provide_kind kind, const char *name, char *buf, size_t size);
/* A name with a slash is a module file (as bpc_loader.resolve_file has it); others are themselves. */
int bpc_resolve_file(enum bp_provide_kind kind, const char *name_or_path, const char **ret_name,
                     struct bp_error *err);
/* What to add to "there is no NAME": the package that has it, or near names; may be "". An empty
 * name: packages that have any of the kind. */
#define BPC_HINT_SIZE 640u
void bpc_missing_hint(enum bp_provide_kind kind, const char *name, char *buf, size_t size);

#endif
