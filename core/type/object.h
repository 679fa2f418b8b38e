/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects inside the core: what every device, bus, CPU, back end and the machine begins with, the
 * tree they sit in, user-creatable objects and -global. [main] under the machine lock
 *
 * Tree: /machine (containers peripheral, peripheral-anon, unattached below it), /objects,
 * /chardevs, /backend. Containers come into being when something is put into them; an object that
 * is later added under a container's name takes the container's place and its children.
 */
#ifndef BPC_OBJECT_H
#define BPC_OBJECT_H

#include <bp/module.h>
#include <bp/object.h>

#include "owner.h"

/* Properties kept in one table over one struct. An object has several: its class's, its parent
 * types', the bus's for its children, the core's own. */
struct bpc_prop_set {
    const struct bp_field *fields;
    void *base;       /* what offsets count from; NULL: all fields have get and set */
    const char *type; /* type that declares them, for -global and errors; borrowed */
};

/* One level of an object: base first, the class's own last. */
struct bpc_level {
    const struct bp_type_info *info;     /* its class begins with it; borrowed for ever */
    const struct bp_level_class *class;  /* hooks; NULL: the object's own class, or a bus's */
    void *state;                         /* info->state_size bytes, behind a pointer to the object */
};

struct bp_object {
    unsigned refs;
    enum bp_provide_kind kind;
    const struct bp_type_info *info; /* the class descriptor begins with it; borrowed for ever */
    char *id, *path;                 /* path NULL: not computed since the last move */
    struct bp_machine *machine;      /* that it is part of, set by the maker; NULL: none */
    struct bp_object *parent;        /* NULL: not in the tree */
    struct bp_object *first, *last, *next, *prev; /* children in order, siblings */
    struct bp_owner owner;
    struct bpc_level *levels;
    unsigned level_count;
    unsigned levels_ready, levels_attached; /* how many init() and attach() succeeded */
    void *state;    /* of the last level */
    bool live;      /* in use: only WRITE_LIVE properties may still be set */
    bool making;    /* its complete() may be waiting: nobody finds it, but its name is taken */
    bool deleted;   /* taken out; memory waits for the last reference */
    bool links_dropped; /* destroyed: what its links point to is not in use by it any more */
    unsigned users; /* LINK properties that point here */
    struct bpc_prop_set *sets;
    unsigned set_count;
    /* Before the memory goes, with all properties freed already: frees what else an embedding
     * struct owns. NULL: nothing. */
    void (*finalize)(struct bp_object *obj);
    /* What bp_object_destroy() does first for a kind of its own (devices: detach). NULL: nothing.
     */
    void (*dispose)(struct bp_object *obj);
    /* A BP_FIELD_CONTEXT property is about to become `iothread` (NULL: none); NULL: there can be none. */
    int (*put_into)(struct bp_object *obj, struct bp_object *iothread, struct bp_error *err);
};

/* ---- making ---- */
/* Fills an object that the caller has embedded at the start of zeroed malloc'd memory (freed with
 * free() when the last reference goes): state, defaults, -global values (of devices the maker calls
 * bpc_global_apply() when all tables are there). One reference, no parent. On failure all is
 * undone, the memory remains the caller's. */
int bpc_object_init(struct bp_object *obj, enum bp_provide_kind kind,
                    const struct bp_type_info *info, struct bp_error *err);
/* ---- level.c: between it and object.c ---- */
/* Finds the classes of all levels, loading their modules, and allocates zeroed blocks. */
int bpc_object_make_levels(struct bp_object *obj, struct bp_error *err);
int bpc_object_init_levels(struct bp_object *obj, struct bp_error *err); /* init() of each */
void bpc_object_fini_levels(struct bp_object *obj); /* fini() of those that init()ed */
void bpc_object_free_levels(struct bp_object *obj); /* the blocks */
bool bpc_object_has_level(const struct bp_object *obj, const char *name);
/* ---- for those who attach ---- */
/* Hooks of levels, in their order; attached ones only after all have attached. What failed midway is
 * undone by bpc_object_detach_levels(). The object's own class is the caller's. */
int bpc_object_attach_levels(struct bp_object *obj, struct bp_error *err);
int bpc_object_attached_levels(struct bp_object *obj, struct bp_error *err);
void bpc_object_detach_levels(struct bp_object *obj);
/* Appends a property table and sets its defaults. */
int bpc_object_add_props(struct bp_object *obj, const struct bp_field *fields, void *base,
                         const char *type, struct bp_error *err);
/* Memory with a pointer back to its object before it, aligned to 16; the pointer is what
 * bp_object_of_state() returns. Freed with bpc_object_state_free(). */
void *bpc_object_state_alloc(struct bp_object *obj, size_t size);
void bpc_object_state_free(void *state);

/* ---- the tree ---- */
struct bp_object *bpc_object_root(void);
/* "/machine/peripheral": makes what is missing. */
struct bp_object *bpc_object_container(const char *path);
/* Puts obj (its reference stays the caller's; the tree takes one of its own) below parent. -EEXIST
 * when the id is taken. */
int bpc_object_add_child(struct bp_object *parent, const char *id, struct bp_object *obj,
                         struct bp_error *err);
/* "PREFIX[n]" with the first free n, as for /machine/unattached/device[3]. */
void bpc_object_add_child_numbered(struct bp_object *parent, const char *prefix,
                                   struct bp_object *obj);
void bpc_object_remove(struct bp_object *obj); /* out of the tree; drops the tree's reference */
struct bp_object *bpc_object_child(const struct bp_object *parent, const char *id);
/* Every object below and including obj, parents first; stops at a non-zero return. */
int bpc_object_walk(struct bp_object *obj, int (*fn)(struct bp_object *obj, void *opaque),
                    void *opaque);

/* ---- properties ---- */
struct bpc_prop {
    const struct bp_field *field; /* never of kind FORWARD: its name, and what the part says of it */
    void *base;
    const char *type;
    struct bp_object *obj; /* whose it is: the object asked, or a part of it */
};
/* false: there is none of this name. */
bool bpc_object_find_prop(struct bp_object *obj, const char *name, struct bpc_prop *ret_prop);
int bpc_object_each_prop(struct bp_object *obj,
                         int (*fn)(const struct bpc_prop *prop, void *opaque), void *opaque);
/* Counts those that its links point to as used by it once more, or (-1) once less. */
void bpc_object_count_links(struct bp_object *obj, int by);
/* How many LINK properties of it point to `to`. */
unsigned bpc_object_links_to(struct bp_object *obj, const struct bp_object *to);
/* As bp_object_set(), but text is converted where the property is not a string. */
int bpc_object_set_loose(struct bp_object *obj, const char *name, struct bp_value *value,
                         struct bp_error *err);
/* Sets every member of the dict but those named in `skip` (NULL-terminated, may be NULL). */
int bpc_object_set_all(struct bp_object *obj, const struct bp_value *props, const char *const *skip,
                       struct bp_error *err);
/* Sets a LINK property (NULL: clears it) without going through its path. */
int bpc_object_set_link(struct bp_object *obj, const char *name, struct bp_object *to,
                        struct bp_error *err);
/* The property's value as one would type it, malloc'd: for info qtree. */
char *bpc_object_prop_text(const struct bpc_prop *prop);
/* The list of qom-list: dicts {"name","type"} of properties, then children ("child<TYPE>"). */
struct bp_value *bpc_object_list(struct bp_object *obj);
/* `info qom-tree [path]`: malloc'd text, or NULL with err. path NULL: /machine. */
char *bpc_object_tree_text(const char *path, struct bp_error *err);

/* ---- user-creatable objects ---- */
/* -object, object-add. args: dict with "qom-type", "id" and properties (typed or text). */
int bpc_object_add(struct bp_value *args, struct bp_error *err);
int bpc_object_del(const char *id, struct bp_error *err);
void bpc_objects_destroy(void); /* all that users made, last first; the program ends */

/* ---- -global, and what boards say of older versions ---- */
/* The tables of the board that was chosen, for objects made from now on; NULL: none. Borrowed. */
void bpc_compat_set(const char *board, const struct bp_compat *const *tables);
/* driver: a type or parent type. Refused only when malformed; unknown ones are warned about. */
int bpc_global_add(const char *driver, const char *property, const char *value,
                   struct bp_error *err);
/* Sets what the board's tables, then what -global says of the object's type and any of its levels; an
 * unknown property is an error. */
int bpc_global_apply(struct bp_object *obj, struct bp_error *err);
void bpc_global_warn_unused(void); /* once, when the machine stands */

#endif
