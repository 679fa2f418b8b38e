/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Apple's disk images (UDIF): what the files of the module share. Big end first. */
#ifndef DMG_H
#define DMG_H

#include "chunks.h"

enum { /* the trailer */
    DATA_FORK = 24, DATA_FORK_BYTES = 32, PLIST = 216, PLIST_BYTES = 224, SECTORS = 492, TRAILER_BYTES = 512,
};
#define MOST_PLIST (64u << 20)
#define MOST_CHUNKS (1u << 21)
#define MOST_CHUNK (64u << 20) /* bytes of a compressed one */

struct dmg {
    struct chunks chunks;
    uint64_t data, there; /* the data fork's place; bytes of the file */
    struct chunk *list;   /* in order of the disk */
    uint32_t count, room;
};

/* ---- table.c ---- */
/* The chunks that a property list has. `text` has a zero behind its end. Pure. */
int dmg_read_plist(struct dmg *s, const char *text, struct bp_error *err);
int dmg_sort(struct dmg *s, struct bp_error *err);

#endif
