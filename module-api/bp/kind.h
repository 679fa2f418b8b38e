/* SPDX-License-Identifier: MIT */
/*
 * Kinds of things. The core knows device, bus, board, cpu, accel, object, interface, option, command,
 * hmp, event and abstract types. Every other kind (chardev, ...) is declared by the module of its
 * framework with a constant struct bp_kind, and is no less than those: help, introspection, completion,
 * packages and `backplane-module` work from what stands here.
 *
 * A framework puts this into its public header, beside the class descriptor that it asks of providers:
 *
 *     struct acme_lamp_class {
 *         struct bp_type_info type; // first, always
 *         int (*light)(void *state, bool on);
 *         const char *colour;
 *     };
 *     static const struct bp_shape_slot acme_lamp_slots[] BP_UNUSED = {
 *         BP_SHAPE_TYPE, BP_SHAPE_STRING(struct acme_lamp_class, colour), BP_SHAPE_END};
 *     static const struct bp_shape acme_lamp_shape BP_UNUSED = {
 *         "acme_lamp_class", sizeof(struct acme_lamp_class), acme_lamp_slots};
 *     #define ACME_LAMP_KIND .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "lamp", ...
 *     static const struct bp_kind acme_lamp BP_UNUSED = {
 *         ACME_LAMP_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};
 *
 * A provider's class says `.type.kind = &acme_lamp`, has the note "provides=lamp:NAME", and is listed as
 * {BP_PROVIDE_OTHER, &class}; the framework lists {BP_PROVIDE_KIND, &kind} and says BP_DECLARE_KIND.
 * Usually a macro of the framework's header does all that for its providers.
 */
#ifndef BP_KIND_H
#define BP_KIND_H

#include <bp/error.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

enum bp_shape_what {
    BP_SHAPED_PLAIN,   /* `length` bytes without pointers */
    BP_SHAPED_STRING,  /* const char *, or NULL */
    BP_SHAPED_NAME,    /* const char *, never NULL */
    BP_SHAPED_STRINGS, /* array of const char *, ended by NULL; or NULL */
    BP_SHAPED_ONE,     /* pointer to one structure `to`; or NULL */
    BP_SHAPED_TABLE,   /* pointer to an array of `to`, ended by one whose first member, a pointer, is
                        * NULL; or NULL */
    BP_SHAPED_FIELDS,  /* const struct bp_field *: properties, keys, arguments; or NULL */
    BP_SHAPED_SCHEMA,  /* const struct bp_schema *, or NULL */
    BP_SHAPED_TYPE,    /* the struct bp_type_info that opens a class descriptor */
};

/* A member, or several plain ones in a row, that may be read from a module's file. What no slot names
 * (functions, tables that mean nothing without the code) is left out of what is read. */
struct bp_shape_slot {
    const char *member; /* NULL ends the table */
    uint32_t what;      /* enum bp_shape_what */
    uint32_t offset, length; /* bytes; slots do not overlap */
    uint32_t reserved;
    const struct bp_shape *to; /* ONE, TABLE; else NULL */
};

/* The layout of a structure. At most 64 slots, 64 KiB. */
struct bp_shape {
    const char *name;
    size_t size;
    const struct bp_shape_slot *slots;
};

#define BP_SHAPE_PLAIN(TYPE, FIRST, LAST) \
    {#FIRST, BP_SHAPED_PLAIN, offsetof(TYPE, FIRST), \
     offsetof(TYPE, LAST) + sizeof(((TYPE *)0)->LAST) - offsetof(TYPE, FIRST), 0, NULL}
#define BP_SHAPE_POINTER(TYPE, MEMBER, WHAT, TO) \
    {#MEMBER, WHAT, offsetof(TYPE, MEMBER), sizeof(void *), 0, TO}
#define BP_SHAPE_STRING(TYPE, MEMBER) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_STRING, NULL)
#define BP_SHAPE_NAME(TYPE, MEMBER) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_NAME, NULL)
#define BP_SHAPE_STRINGS(TYPE, MEMBER) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_STRINGS, NULL)
#define BP_SHAPE_FIELDS(TYPE, MEMBER) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_FIELDS, NULL)
#define BP_SHAPE_SCHEMA(TYPE, MEMBER) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_SCHEMA, NULL)
#define BP_SHAPE_ONE(TYPE, MEMBER, TO) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_ONE, TO)
#define BP_SHAPE_TABLE(TYPE, MEMBER, TO) BP_SHAPE_POINTER(TYPE, MEMBER, BP_SHAPED_TABLE, TO)
#define BP_SHAPE_TYPE {"type", BP_SHAPED_TYPE, 0, sizeof(struct bp_type_info), 0, NULL}
#define BP_SHAPE_END {NULL, 0, 0, 0, 0, NULL}

struct bp_kind {
    uint32_t size;
    /* Of the class descriptor: a provider of another major version, or of a later minor one than the
     * framework's, is refused. */
    uint16_t major, minor;
    const char *name;    /* as in notes: a lower-case letter, then letters, digits, '-'; at most 32 */
    const char *heading; /* above the list of its members: "Available lamps:" */
    const char *summary; /* one line: "Lamps" */
    const char *option;  /* whose first word names a member ("lamp": -lamp help lists them), or NULL */
    const char *prefix;  /* a member's type is PREFIX NAME ("lamp-"); "": the name is the type */
    const char *parent;  /* the abstract type that all members are ("lamp"); there by being named here */
    const char *container; /* where they stand in the object tree ("/lamps"), or NULL */
    const struct bp_shape *shape; /* of the class descriptor; its first slot is BP_SHAPE_TYPE */
    /* ---- the framework's own; NULL in what providers see ---- */
    /* A member is about to be registered: fails in words when its class lacks what it needs. [main] */
    int (*check)(const void *desc, struct bp_error *err);
    /* For `backplane-module check`: makes one, uses it, takes it away; wait(opaque) lets time pass and
     * the main loop run. -ENOTSUP: cannot be made with defaults alone, and why. [main] */
    int (*exercise)(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err);
    void *reserved[6];
};

/* Once in the framework: the note that goes with {BP_PROVIDE_KIND, &kind}. */
#define BP_DECLARE_KIND(NAME, SUMMARY) BP_NOTE("provides=kind:" NAME ";summary=" SUMMARY)

BP_END_DECLS

#endif
