/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads what a module file says of itself, without mapping it for execution: the ELF notes that the
 * macros of <bp/module.h> emit. [any]
 */
#ifndef CATALOGUE_NOTES_H
#define CATALOGUE_NOTES_H

#include <bp/error.h>

/* Where the bytes of a file come from: a descriptor (borrowed), or memory when fd is -1. */
struct notes_source {
    int fd;
    const uint8_t *memory;
    uint64_t size;
};

/* The "key=value" records of a file, each NUL-terminated, one after the other. */
struct notes {
    char *text; /* owned, malloc'd */
    size_t length;
};

/*
 * Checks that the file is a whole 64-bit shared object for this machine and collects its notes.
 * -ENOEXEC: not a module (the message says why); -EBADMSG: truncated or malformed; -EIO. Messages
 * are predicates: "is not an ELF file".
 */
int notes_read(const struct notes_source *source, struct notes *ret_notes, struct bp_error *err);
void notes_finish(struct notes *notes);

/* The record after `record` (NULL: the first), or NULL at the end. */
char *notes_next(const struct notes *notes, const char *record);
/* The value of the first record with this key, or NULL. */
const char *notes_get(const struct notes *notes, const char *key);

#endif
