/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libc lacks for reading files: bytes (or an array) that grow, texts that are printed into
 * memory, and a table of hashes. Memory that cannot be had ends the program in words (bp_alloc());
 * those who use these bound what a file can ask for. [any]
 */
#ifndef CATALOGUE_GROW_H
#define CATALOGUE_GROW_H

#include <bp/base.h>

/* Begins zeroed; the data is malloc'd, and owned. */
struct grow {
    void *data;
    size_t length, room; /* bytes */
};

/* Zeroed room for `size` more bytes at the end: until the next call. */
void *grow_add(struct grow *g, size_t size);
void grow_append(struct grow *g, const void *data, size_t size); /* size 0 is fine */
void grow_printf(struct grow *g, const char *fmt, ...) BP_PRINTF(2, 3); /* without the NUL */
void grow_finish(struct grow *g);

#define GROW_COUNT(g, TYPE) ((g)->length / sizeof(TYPE))
#define GROW_AT(g, TYPE, i) (&((TYPE *)(g)->data)[i])
#define GROW_ADD(g, TYPE) ((TYPE *)grow_add(g, sizeof(TYPE)))

char *text_copy(const char *text, size_t length); /* malloc'd, owned */
char *text_printf(const char *fmt, ...) BP_PRINTF(1, 2);

/* Finds numbered things by a hash. Begins zeroed. */
struct lookup {
    struct lookup_slot {
        uint64_t hash;
        uint32_t number; /* 0: empty */
    } *slots;
    uint32_t room, used;
};

/* The number of the thing with this hash for which same(number, key) is true; 0: none. */
uint32_t lookup_find(const struct lookup *l, uint64_t hash,
                     bool (*same)(uint32_t number, const void *key, const void *opaque),
                     const void *key, const void *opaque);
void lookup_add(struct lookup *l, uint64_t hash, uint32_t number); /* number: not 0 */
void lookup_finish(struct lookup *l);

#endif
