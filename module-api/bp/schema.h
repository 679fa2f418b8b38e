/* SPDX-License-Identifier: MIT */
/*
 * Schemas: one constant table describes a property, a command-line option's keys, a QMP command's
 * arguments, an event's data. Parsing, range errors, help and introspection all come from it.
 */
#ifndef BP_SCHEMA_H
#define BP_SCHEMA_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_object;
struct bp_value;

enum bp_field_kind {
    BP_KIND_NONE,   /* a command that returns nothing: {} */
    BP_KIND_BOOL,   /* C: bool.      on/off/yes/no/true/false */
    BP_KIND_UINT8,  /* C: uint8_t and so on; decimal, 0x hex or 0 octal */
    BP_KIND_UINT16,
    BP_KIND_UINT32,
    BP_KIND_UINT64,
    BP_KIND_INT8,
    BP_KIND_INT16,
    BP_KIND_INT32,
    BP_KIND_INT64,
    BP_KIND_SIZE,   /* C: uint64_t.  bytes, with suffix b k M G T P E (1024) */
    BP_KIND_NUMBER, /* C: double */
    BP_KIND_STRING, /* C: char *, owned by the object as malloc'd memory; NULL when unset */
    BP_KIND_ENUM,   /* C: int, index into schema->choices */
    BP_KIND_ON_OFF_AUTO, /* C: int: 0 auto, 1 on, 2 off */
    BP_KIND_LINK,   /* C: struct bp_object *; refers by id or path to an object of type `target` */
    BP_KIND_STRUCT, /* schema->members; in C a struct bp_value * (dict) */
    BP_KIND_UNION,  /* schema->members are common, schema->variants chosen by `discriminator` */
    BP_KIND_ALTERNATE, /* schema->members: alternatives by JSON type */
    BP_KIND_LIST,   /* schema->element; in C a struct bp_value * (list) */
    BP_KIND_ANY,    /* C: struct bp_value * */
    BP_KIND_FORWARD, /* property of a part, see BP_PROP_FORWARD: is of the kind that it is there */
};

#define BP_FIELD_OPTIONAL (1u << 0)  /* may be left out (properties always may) */
#define BP_FIELD_READ_ONLY (1u << 1) /* shown, never set from outside */
#define BP_FIELD_WRITE_LIVE (1u << 2) /* may be set after attach */
#define BP_FIELD_HIDDEN (1u << 3)    /* not listed in help */
#define BP_FIELD_DEPRECATED (1u << 4)
#define BP_FIELD_CONTEXT (1u << 6)   /* LINK: the device works in that iothread's context */
#define BP_FIELD_REPEATED (1u << 5)  /* option key that may occur several times: collected in a list */

/* One named member. Tables end with an entry whose name is NULL. */
struct bp_field {
    const char *name;
    enum bp_field_kind kind;
    uint32_t flags;
    uint32_t offset; /* into the state struct (properties only) */
    const char *def; /* default as the user would type it; NULL: zero, or unset */
    const char *help; /* one line, no full stop */
    const struct bp_schema *schema; /* ENUM, STRUCT, UNION, ALTERNATE, LIST; else NULL */
    const char *target;             /* LINK: type name, e.g. "chardev" */
    int64_t min;                    /* with max: narrower range than the kind's; both 0: the kind's */
    uint64_t max;
    /* Properties only; NULL: read or write the field at `offset`. [main] under the machine lock */
    int (*get)(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
               struct bp_error *err);
    int (*set)(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
               struct bp_error *err);
    const char *const *features; /* NULL-terminated feature strings for introspection, or NULL */
    const char *forward;         /* FORWARD: "PART/PROPERTY"; `target` is the part's type. A key with REPEATED: the
                                    (hidden, repeated) key that lists the names of such keys as they were given */
    void *reserved[2];
};

struct bp_variant {
    const char *value; /* of the discriminator; NULL ends the table */
    const struct bp_schema *schema; /* STRUCT with the extra members; NULL: none */
    void *reserved[2];
};

struct bp_schema {
    const char *name; /* for documentation and errors */
    enum bp_field_kind kind;
    const struct bp_field *members;     /* STRUCT, UNION, ALTERNATE */
    const char *const *choices;         /* ENUM: NULL-terminated */
    const char *discriminator;          /* UNION */
    const struct bp_variant *variants;  /* UNION */
    enum bp_field_kind element_kind;          /* LIST */
    const struct bp_schema *element;    /* LIST of ENUM, STRUCT, ...; else NULL */
    void *reserved[2];
};

/* A property: BP_PROP("iobase", UINT16, struct my_state, iobase, "0x501", "first I/O port") */
#define BP_PROP(NAME, KIND, STATE, FIELD, DEFAULT, HELP) \
    { .name = NAME, .kind = BP_KIND_##KIND, .offset = offsetof(STATE, FIELD), .def = DEFAULT, \
      .help = HELP }
/* A property that holds a reference to another object, e.g. a chardev. */
#define BP_PROP_LINK(NAME, TARGET, STATE, FIELD, HELP) \
    { .name = NAME, .kind = BP_KIND_LINK, .offset = offsetof(STATE, FIELD), .help = HELP, \
      .target = TARGET }
/* The I/O thread in whose context a device works (BP_THREADS_OWN): its field is a struct bp_object *. The
 * core sees to the rest: bp_device_context() is that one before attach(); setting it later moves the device
 * (bp_device_move()). Unset: the main one. */
#define BP_PROP_IOTHREAD(NAME, STATE, FIELD) \
    { .name = NAME, .kind = BP_KIND_LINK, .flags = BP_FIELD_WRITE_LIVE | BP_FIELD_CONTEXT, \
      .offset = offsetof(STATE, FIELD), .help = "I/O thread that it works in; none: the main one", \
      .target = "iothread" }
#define BP_PROP_ENUM(NAME, SCHEMA, STATE, FIELD, DEFAULT, HELP) \
    { .name = NAME, .kind = BP_KIND_ENUM, .offset = offsetof(STATE, FIELD), .def = DEFAULT, \
      .help = HELP, .schema = SCHEMA }
#define BP_PROP_RANGE(NAME, KIND, STATE, FIELD, DEFAULT, MIN, MAX, HELP) \
    { .name = NAME, .kind = BP_KIND_##KIND, .offset = offsetof(STATE, FIELD), .def = DEFAULT, \
      .help = HELP, .min = MIN, .max = MAX }
/*
 * A property that a part has, under a name of the whole's: the part is the object PART below this one,
 * made in init() (bp_device_new_part), of type TYPE. BP_PROP_FORWARD("disk-serial", "disk", "scsi-disk",
 * "serial").
 */
#define BP_PROP_FORWARD(NAME, PART, TYPE, PROPERTY) \
    { .name = NAME, .kind = BP_KIND_FORWARD, .target = TYPE, .forward = PART "/" PROPERTY }
/* A key of an option, or an argument of a command. */
#define BP_ARG(NAME, KIND, HELP) { .name = NAME, .kind = BP_KIND_##KIND, .help = HELP }
#define BP_ARG_OPT(NAME, KIND, HELP) \
    { .name = NAME, .kind = BP_KIND_##KIND, .flags = BP_FIELD_OPTIONAL, .help = HELP }
#define BP_ARG_TYPED(NAME, KIND, SCHEMA, FLAGS, HELP) \
    { .name = NAME, .kind = BP_KIND_##KIND, .flags = FLAGS, .help = HELP, .schema = SCHEMA }
#define BP_FIELDS_END { .name = NULL }

BP_END_DECLS

#endif
