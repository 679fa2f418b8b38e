/* SPDX-License-Identifier: MIT */
/*
 * The kind @name@: what a provider fills in. It is declared by the module `@module@`, which has -@name@
 * for users; see bp/kind.h.
 */
#ifndef @IDENT@_H
#define @IDENT@_H

#include <bp/kind.h>
#include <bp/module.h>
#include <bp/object.h>

struct @ident@_class {
    struct bp_type_info type; /* first, always */
    const char *colour;
    /* What one of them does; `state` is the provider's. [main] */
    int (*work)(void *state, struct bp_error *err);
    void *reserved[4];
};

/* What may be read from a provider's file without running it. */
static const struct bp_shape_slot @ident@_slots[] BP_UNUSED = {
    BP_SHAPE_TYPE, BP_SHAPE_STRING(struct @ident@_class, colour), BP_SHAPE_END};
static const struct bp_shape @ident@_shape BP_UNUSED = {
    "@ident@_class", sizeof(struct @ident@_class), @ident@_slots};
#define @IDENT@_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "@name@", \
    .heading = "Available for -@name@:", .summary = "One line of help", .option = "@name@", \
    .prefix = "@name@-", .parent = "@name@", .container = "/@name@", .shape = &@ident@_shape
static const struct bp_kind @ident@_kind BP_UNUSED = {
    @IDENT@_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define @IDENT@(ident, NAME, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=@name@:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct @ident@_class ident = { \
        .type = {.size = sizeof(struct @ident@_class), .flags = 0, .name = "@name@-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .state = NULL, .kind = &@ident@_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

#endif
