/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the index share: one file as it is read, before it becomes an entry. [any] */
#ifndef CATALOGUE_INDEX_PARTS_H
#define CATALOGUE_INDEX_PARTS_H

#include <bp/module.h>

#include "grow.h"
#include "index.h"

/* One thing that a file provides, or an alias of one. */
struct provide_record {
    const char *kind, *name, *summary;
    char *attributes; /* owned */
    int target;       /* an alias: number of the record it stands for; else -1 */
    void *packed;     /* owned, or NULL */
    size_t packed_size;
};

#define RECORD_REQUIRES(r) GROW_COUNT(&(r)->requires, const char *)
#define RECORD_PROVIDES(r) GROW_COUNT(&(r)->provides, struct provide_record)

struct file_record {
    char *file; /* owned; so are name and error */
    char *name;
    uint64_t size;
    int64_t mtime;
    struct notes notes; /* most strings are within */
    const char *summary, *version, *license, *tier, *abi;
    int rank;
    struct grow requires; /* const char * */
    struct grow provides; /* struct provide_record */
    char *error;         /* NULL: a module */
    int code;
    struct index_module identity; /* the build-id alone */
};

/* Reads what a file says of itself; what is wrong with it is kept in the record. `unfit`: a file
 * that is a module by its notes, but whose table cannot be read, gets the reason here (owned). */
void index_read_file(const struct index_place *place, const char *file, unsigned flags,
                     struct file_record *ret_record, char **unfit);
void index_record_finish(struct file_record *record);

/* Opens a regular file of a place. Errors as index_place.open. */
int index_open_file(const struct index_place *place, const char *file, int *ret_fd,
                    struct stat *ret_stat, struct bp_error *err);

uint64_t index_head_sum(const void *data, uint32_t packed);
/* Fills build_id and build_id_length; length 0 when the file has none. */
void index_read_build_id(int fd, struct index_module *m);

#endif
