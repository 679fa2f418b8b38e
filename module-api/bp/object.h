/* SPDX-License-Identifier: MIT */
/*
 * Objects: everything that has a place in the object tree (/machine, /objects, /backend, ...), a
 * type and properties. Devices, buses, CPUs, backends and the machine are objects.
 * [main] under the machine lock unless a function says otherwise.
 */
#ifndef BP_OBJECT_H
#define BP_OBJECT_H

#include <bp/error.h>
#include <bp/module.h>
#include <bp/schema.h>
#include <bp/state.h>
#include <bp/value.h>

BP_BEGIN_DECLS

struct bp_object; /* opaque */
struct bp_owner;  /* opaque: what claimed resources (regions, timers, lines, watches) hang from */
struct bp_machine; /* opaque; a bp_object at /machine */
struct bp_kind;
struct bp_level_class; /* bp/level.h */

/* Opens every class descriptor. Grows only into `reserved`. */
struct bp_type_info {
    uint32_t size;  /* sizeof the whole class descriptor: fields beyond it do not exist */
    uint32_t flags; /* BP_TYPE_* */
    const char *name;    /* e.g. "isa-serial" */
    const char *parent;  /* abstract parent type (a level), or NULL for the kind's own ("device") */
    const char *summary; /* one line of help */
    size_t state_size;   /* bytes the core allocates zeroed for each instance */
    const struct bp_field *props;          /* or NULL */
    const struct bp_state_table *state;    /* what is saved; NULL: nothing to save */
    const struct bp_kind *kind; /* BP_PROVIDE_OTHER: of what kind it is; else NULL */
    /* A level that several names of one module share (bp/level.h): above those of `parent`, below
     * this class. NULL: none. */
    const struct bp_level_class *description;
    const struct bp_level_info *infos; /* for levels below; ends with level NULL; or NULL */
    void *reserved[3];
};
/* What a class (or its description) tells one of the levels below it; see bp_object_level_info(). */
struct bp_level_info {
    const char *level; /* name of the level, e.g. "virtio"; NULL ends the table */
    const void *info;  /* as that level's header says */
    void *reserved[2];
};
#define BP_TYPE_NOT_USER_CREATABLE (1u << 0) /* made by boards, not with -device or -object */
#define BP_TYPE_HOTPLUGGABLE (1u << 1)       /* device_add, device_del */
#define BP_TYPE_EARLY (1u << 2)              /* -object: made before character devices, which may need it */

/* A user-creatable object (-object, object-add). */
struct bp_object_class {
    struct bp_type_info type;
    /* All properties are set; claim resources. On failure the core takes everything back. */
    int (*complete)(struct bp_object *obj, struct bp_error *err);
    void (*finalize)(struct bp_object *obj); /* before the core frees the state */
    /* May it be deleted now? NULL: yes. */
    bool (*can_delete)(struct bp_object *obj);
};

/* One line of a board's compatibility table: what a property was in the version that the board stands
 * for. `type` is the name of a type or of any of its levels; NULL ends the table. */
struct bp_compat {
    const char *type, *property;
    const char *value; /* as a user would type it */
};

void *bp_object_state(struct bp_object *obj); /* that of its own class, the last level; [any] */
const char *bp_object_type(const struct bp_object *obj); /* type name; [any] */
const char *bp_object_id(const struct bp_object *obj);   /* last path component */
/* Full path such as "/machine/peripheral/serial0"; borrowed until the object moves. */
const char *bp_object_path(struct bp_object *obj);
struct bp_owner *bp_object_owner(struct bp_object *obj);
/* The machine it is part of; NULL for what belongs to none (back ends, -object). [any] */
struct bp_machine *bp_object_machine(const struct bp_object *obj);
/* Resolves an absolute path, or a unique partial one; with `type`, only objects of that type.
 * Returns a borrowed object or NULL (*ret_ambiguous, if given, tells why). */
struct bp_object *bp_object_resolve(const char *path, const char *type, bool *ret_ambiguous);
bool bp_object_is_a(const struct bp_object *obj, const char *type);
struct bp_object *bp_object_ref(struct bp_object *obj);
void bp_object_unref(struct bp_object *obj);

int bp_object_get(struct bp_object *obj, const char *name, struct bp_value **ret_value,
                  struct bp_error *err);
int bp_object_set(struct bp_object *obj, const char *name, struct bp_value *value,
                  struct bp_error *err); /* borrows `value` */
/* Sets a property from the text a user would type. */
int bp_object_set_text(struct bp_object *obj, const char *name, const char *text,
                       struct bp_error *err);

/* ---- for frameworks, which make objects of the classes that other modules provide ---- */
/*
 * Makes an object of the class that is announced as kind:name ("chardev", "null"), loading its module
 * when needed: zeroed state, defaults, then `props` (borrowed dict of property values or of the text a
 * user would type; NULL: none), and puts it at CONTAINER/ID ("/chardevs", "serial0"; NULL: where the kind
 * says that its members stand); containers that are missing are made. The class descriptor opens with a
 * bp_type_info; none of its callbacks is called. Errors: unknown or broken class, unknown or bad
 * property, -EEXIST: ID is taken; -EINVAL: no container is known.
 */
int bp_object_new(const char *kind, const char *name, const char *id, const char *container,
                  struct bp_value *props, struct bp_object **ret_obj, struct bp_error *err);
/* The class descriptor that bp_object_new() would make an object of; its module is loaded when needed. Errors:
 * unknown or broken class. */
int bp_provided_class(const char *kind, const char *name, const void **ret_class, struct bp_error *err);
/* Takes it out of the tree, releases what its owner claimed, and drops the maker's reference; state
 * and properties are freed with the last one. NULL is fine. */
void bp_object_destroy(struct bp_object *obj);
/* The class descriptor it was made of: opens with struct bp_type_info. [any] */
const void *bp_object_class(const struct bp_object *obj);
/* Calls fn for all that is announced of a kind, loaded or not, sorted by name. Strings borrowed. */
void bp_provided_each(const char *kind,
                      void (*fn)(const char *name, const char *summary, void *opaque),
                      void *opaque);
/* Is it announced, loaded or not, and not denied? [main] */
bool bp_provided(const char *kind, const char *name);
/* Whose state this is, as bp_object_state(), bp_object_level() or a hook gave it. [any] */
struct bp_object *bp_object_of_state(void *state);
/* How many LINK properties point at it; not 0: busy, it should not be destroyed. */
unsigned bp_object_users(const struct bp_object *obj);

BP_END_DECLS

#endif
