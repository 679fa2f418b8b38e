/* SPDX-License-Identifier: MIT */
/*
 * Lamps: a framework as a third party writes one. The module `lamp` declares the kind `lamp`, the
 * option -lamp and QMP commands; other modules provide lamps. The emulator and its tools know nothing
 * of lamps: they work from the kind that stands here.
 */
#ifndef ACME_LAMP_H
#define ACME_LAMP_H

#include <bp/kind.h>
#include <bp/module.h>
#include <bp/object.h>

/* What a provider of lamps fills in. */
struct acme_lamp_class {
    struct bp_type_info type;
    const char *colour;         /* "white" */
    const char *const *effects; /* "blink", ...; ended by NULL; or NULL */
    /* The lamp with this state is switched. [main] */
    int (*light)(void *state, bool on, struct bp_error *err);
    void *reserved[4];
};

static const struct bp_shape_slot acme_lamp_slots[] BP_UNUSED = {
    BP_SHAPE_TYPE, BP_SHAPE_STRING(struct acme_lamp_class, colour),
    BP_SHAPE_STRINGS(struct acme_lamp_class, effects), BP_SHAPE_END};
static const struct bp_shape acme_lamp_shape BP_UNUSED = {
    "acme_lamp_class", sizeof(struct acme_lamp_class), acme_lamp_slots};
#define ACME_LAMP_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "lamp", \
    .heading = "Available lamps:", .summary = "Lamps", .option = "lamp", .prefix = "lamp-", \
    .parent = "lamp", .container = "/lamps", .shape = &acme_lamp_shape
static const struct bp_kind acme_lamp_kind BP_UNUSED = {
    ACME_LAMP_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. */
#define ACME_LAMP(ident, NAME, SUMMARY, STATE, PROPS, ...) \
    BP_NOTE("provides=lamp:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct acme_lamp_class ident = { \
        .type = {.size = sizeof(struct acme_lamp_class), .flags = 0, .name = "lamp-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .state = NULL, .kind = &acme_lamp_kind, .reserved = {NULL}}, \
        __VA_ARGS__}

#endif
