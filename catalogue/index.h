/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index of a module directory: reading, building and writing modules.idx. The emulator only
 * reads it; where there is none that fits, it builds the same bytes in memory, so that all answers
 * come from one reader. [any]
 */
#ifndef CATALOGUE_INDEX_H
#define CATALOGUE_INDEX_H

#include <sys/stat.h>

#include "index-format.h"
#include "notes.h"

/* A directory of modules, open; the path is for messages. What is in it is opened by `open`, which
 * sees to it that nobody else could have written it: as openat() for reading, of regular files only;
 * -ENOENT: there is none, -EPERM: not to be used; messages are predicates. NULL: whoever may have
 * written a file (a tree where packages are made). */
struct index_place {
    int directory;
    const char *path;
    int (*open)(int directory, const char *path, const char *name, int *ret_fd,
                struct stat *ret_stat, struct bp_error *err);
};

/* ---- reading (index-read.c) ---- */

/* A checked index: every number and offset in the tables is in range. Its bytes are borrowed. */
struct index {
    const struct index_header *header; /* NULL: none */
    const struct index_module *modules;
    const struct index_provide *provides;
    const uint32_t *by_name, *requires;
    const char *strings;
    const uint8_t *packed;
    size_t size;
    bool packed_checked, packed_good;
};

/* Checks an index in memory (aligned to 8 bytes, borrowed as long as *ret_index is used). -EBADMSG:
 * malformed; -ENOEXEC: made by a program of another layout. Messages are predicates. */
int index_check(const void *data, size_t size, struct index *ret_index, struct bp_error *err);
/* Maps modules.idx of a directory, for ever on success. Errors of `open` and of index_check(). */
int index_open(const struct index_place *place, struct index *ret_index, struct bp_error *err);
static inline const char *index_string(const struct index *index, uint32_t offset)
{
    return index->strings + offset;
}
/* The packed descriptor of a provide (of an alias: of what it stands for). The first call checks
 * the sum over all of them. *ret_size 0: it is not in the index, read the file. -EBADMSG. */
int index_packed(struct index *index, uint32_t provide, const void **ret_data, size_t *ret_size,
                 struct bp_error *err);
/* Is the file still the one that was indexed? Size and time equal, or size and build-id. 0 and
 * *ret_stat (may be NULL), or -ESTALE. */
int index_verify_entry(const struct index *index, uint32_t module, const struct index_place *place,
                       struct stat *ret_stat);

/* The hash of a set of names, in any order; begins with 0. */
void index_names_add(uint64_t *names, const char *name);
/* Is this a name of a module file: "*.so", not hidden? */
bool index_is_module_name(const char *name);
uint64_t index_sum(const void *data, size_t size);

/* ---- building (index-build.c) ---- */

struct index_bytes {
    void *data; /* malloc'd, owned */
    size_t size;
};

#define INDEX_DESCRIPTIONS 1u /* with packed descriptors of all that is provided */

/* What a build came across. Owned: index_summary_finish(). */
struct index_summary {
    unsigned modules, provides, bad; /* usable modules; what they provide; files that are unfit */
    size_t size;                     /* of the index in bytes */
    char *bad_text; /* "FILE TEXT\n" for each unfit file, or NULL */
};
void index_summary_finish(struct index_summary *summary);

/* Names of files, sorted, and the hash of their set. Owned: index_names_finish(). */
struct index_names {
    char **all;
    size_t count;
    uint64_t hash;
};
/* The module files of a directory; of too many, INDEX_MAX_FILES. */
int index_list_files(const struct index_place *place, struct index_names *ret_names,
                     struct bp_error *err);
/* Their hash alone. */
int index_hash_files(const struct index_place *place, uint64_t *ret_hash, struct bp_error *err);
void index_names_finish(struct index_names *names);
/* Builds the index of these files; no module code runs. A file that is no module becomes an entry
 * with the reason. `ret_summary` may be NULL. */
int index_build(const struct index_place *place, const struct index_names *names, unsigned flags,
                struct index_bytes *ret_bytes, struct index_summary *ret_summary,
                struct bp_error *err);
/* The same of all module files in a directory, with descriptors. */
int index_build_directory(const char *path, struct index_bytes *ret_bytes,
                          struct index_summary *ret_summary, struct bp_error *err);
/* Replaces modules.idx of a directory at once and for good: a temporary file, fsync, rename. */
int index_write(const char *path, const struct index_bytes *bytes, struct bp_error *err);
/* `backplane-module index [-b STAGING] DIR`: DIR is looked up below STAGING (NULL: none). */
int index_command(const char *staging, const char *directory, struct index_summary *ret_summary,
                  struct bp_error *err);

#endif
