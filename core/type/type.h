/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types by the names that clients use in qom-list-types: every device's chain of parents ends
 * "device", "object"; boards are "NAME-machine", accelerators "NAME-accel", things of a
 * framework's kind what it says ("chardev-NAME"). Nothing is loaded to list names or to describe properties. [main]
 */
#ifndef BPC_TYPE_H
#define BPC_TYPE_H

#include <bp/module.h>
#include <bp/object.h>
#include <bp/value.h>

struct bpc_type {
    enum bp_provide_kind kind; /* BP_PROVIDE_END: one of the core's own abstract types */
    const char *name;          /* "pc-i440fx-9.1-machine" */
    const char *parent;        /* "machine"; NULL for "object" */
    const char *provided_as;   /* registry name "pc-i440fx-9.1", or NULL */
    bool abstract;
    unsigned flags; /* BP_TYPE_* */
};

/* Finds a type by its public name ("interp-accel"). Strings are borrowed for ever. */
bool bpc_type_find(const char *name, struct bpc_type *ret_type);
/* Is the parent that a class names one with a level of its own? Not so the core's abstract types, and
 * what follows from the class itself (the "x86_64-cpu" of a processor). */
bool bpc_type_has_parent_level(enum bp_provide_kind kind, const struct bp_type_info *info);
/* Is that what a board's or CPU model's type would be called, whether there is one or not? */
bool bpc_type_is_of_machine(const char *name);
/* What kind of descriptor a parent is: of a bus a bus, else an abstract type. */
enum bp_provide_kind bpc_type_parent_kind(enum bp_provide_kind kind);
/* The public name of a class, and its parent's public name (NULL at the end of the chain). */
const char *bpc_type_public_name(enum bp_provide_kind kind, const struct bp_type_info *info);
/* Does the chain of parents of a class hold this name? Nothing is loaded. */
bool bpc_type_chain_has(enum bp_provide_kind kind, const struct bp_type_info *info,
                        const char *ancestor);
bool bpc_type_implements(const char *name, const char *ancestor); /* also itself */
/* Every type once, sorted by name; `implements` NULL: all; abstract ones only with `abstract`. */
void bpc_each_type(const char *implements, bool abstract,
                   void (*fn)(const struct bpc_type *type, void *opaque), void *opaque);
/* Calls fn for the properties of a type that users see, each name once: the class's own, its bus's,
 * its parents'. */
int bpc_type_each_field(const char *name, bool devices_only,
                        void (*fn)(const struct bp_field *field, void *opaque), void *opaque,
                        struct bp_error *err);
/* A list of dicts {"name","type"[,"description"][,"default-value"]} as device-list-properties and
 * qom-list-properties give it. Unknown: class DeviceNotFound. */
int bpc_type_properties(const char *name, bool devices_only, struct bp_value **ret_list,
                        struct bp_error *err);

#endif
