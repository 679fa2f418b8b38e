/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The C structures that descriptors are made of, as tables: where their plain members and their
 * pointers are, and what those point to. describe.c walks them; what no table names is left out of a
 * copy (zero, NULL). [any]
 */
#ifndef CATALOGUE_LAYOUT_H
#define CATALOGUE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/module.h>

enum slot_kind {
    SLOT_PLAIN,   /* `length` bytes without pointers */
    SLOT_STRING,  /* const char *, or NULL */
    SLOT_NAME,    /* const char *, never NULL */
    SLOT_STRINGS, /* array of const char *, ended by NULL; or NULL */
    SLOT_ONE,     /* one structure; or NULL */
    SLOT_TABLE,   /* array of structures, ended by one whose first pointer is NULL; or NULL */
};

struct slot {
    enum slot_kind kind;
    uint32_t offset, length;
    const struct layout *to; /* ONE, TABLE */
};

struct layout {
    const char *name;
    uint32_t size;
    const struct slot *slots; /* ended by length 0 */
    /* Looks at a finished copy (pointers usable): may it be handed out? NULL: always. */
    bool (*check)(const void *copy);
};

/* The descriptor of a kind; NULL when there is no such kind. `length` of a slot that a shorter
 * descriptor (built against older headers) does not reach is left out. */
const struct layout *layout_of_kind(enum bp_provide_kind kind);
/* Hash over all layouts and the ABI's numbers. */
uint64_t layout_hash(void);

#endif
