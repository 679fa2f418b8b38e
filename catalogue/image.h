/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module file read as data: its loadable segments at their addresses, with the relocations that
 * the dynamic linker would apply to constant data, so that constant tables can be read without
 * running (or mapping for execution) anything. [any]
 */
#ifndef CATALOGUE_IMAGE_H
#define CATALOGUE_IMAGE_H

#include "notes.h"

struct image; /* opaque */

#define IMAGE_BUILD_ID_MAX 20u /* bytes that are kept of a longer one */

/*
 * Reads a file that notes_read() found to be a shared object for this computer. Bounded: at most
 * 64 MiB are kept. -EBADMSG malformed, -ENOEXEC not a module, -EIO, -ENOMEM. Messages are predicates
 * ("is malformed: ..."). The source is not needed afterwards.
 */
int image_open(const struct notes_source *source, struct image **ret_image, struct bp_error *err);
void image_free(struct image *image); /* NULL is fine */

/*
 * What makes a file unfit to be loaded whatever its notes say: text relocations, an executable
 * stack, segments that are writable and executable, DT_NEEDED with a slash, DT_RPATH or DT_RUNPATH
 * entries that are not absolute (or $ORIGIN), DT_AUDIT, DT_DEPAUDIT, DT_FILTER, DT_AUXILIARY.
 * -ENOEXEC with a predicate ("has text relocations").
 */
int image_check(const struct image *image, struct bp_error *err);

/* GNU build-id: up to IMAGE_BUILD_ID_MAX bytes; *ret_length 0 when the file has none. */
const uint8_t *image_build_id(const struct image *image, size_t *ret_length);
/* A sum over the program headers and all that is loaded of the file, before relocation: it finds
 * damage (not malice) anywhere but in debugging data. */
uint64_t image_contents(const struct image *image);
/* The same of a file, without keeping any of it: quick, for a file that was checked before. */
int image_sum_file(const struct notes_source *source, uint64_t *ret_contents, struct bp_error *err);
/* Entries of DT_INIT_ARRAY: a C module has at most the one of the compiler's start files. */
unsigned image_constructors(const struct image *image);
/* Whether a RUNPATH or RPATH uses $ORIGIN. */
bool image_uses_origin(const struct image *image);

/* Address of a defined data symbol; 0 when there is none (nothing useful has address 0). */
uint64_t image_symbol(const struct image *image, const char *name, uint64_t *ret_size);
/* Copies bytes at an address as they stand after relocation (pointers inside are image addresses).
 * -EBADMSG when the range is not within the loadable segments. */
int image_read(const struct image *image, uint64_t address, void *buf, size_t length,
               struct bp_error *err);
/* The NUL-terminated string at an address, borrowed from the image; NULL: out of range or longer
 * than 64 KiB. */
const char *image_string(const struct image *image, uint64_t address);
/* True when the pointer at this address refers to a symbol of another object: its value is unknown. */
bool image_is_external(const struct image *image, uint64_t address);

/* Names of undefined dynamic symbols, with their version ("bp_fail", "BACKPLANE_1.0" or ""). */
void image_each_undefined(const struct image *image,
                          void (*fn)(const char *name, const char *version, void *opaque),
                          void *opaque);
/* DT_NEEDED entries in order. */
void image_each_needed(const struct image *image, void (*fn)(const char *library, void *opaque),
                       void *opaque);

#endif
