/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layout of modules.idx: what the modules of one directory say of themselves. Everything refers
 * to everything else by offset or number, so that the file is used where it is mapped. It is written
 * in the computer's own byte order and struct layout and is good for programs of that layout only;
 * another one makes the same bytes anew, in memory.
 *
 *     header | modules | provides | by name | requires | strings | packed descriptors
 *
 * Modules are sorted by file name, provides (and aliases, which are among them) by kind, then name,
 * then module. Strings are NUL-terminated; string 0 is the empty one.
 */
#ifndef CATALOGUE_INDEX_FORMAT_H
#define CATALOGUE_INDEX_FORMAT_H

#include <stdint.h>

#define INDEX_FILE "modules.idx"
#define INDEX_MAGIC "BPINDEX\n"
#define INDEX_VERSION 3u
#define INDEX_BYTE_ORDER 0x01020304u
#define INDEX_MAX_SIZE (256u << 20) /* bytes of a whole index */
#define INDEX_MAX_FILES 4096u       /* modules of a directory; more are not looked at */
#define INDEX_ALIGN 8u              /* of each part */

struct index_header {
    char magic[8];
    uint32_t byte_order; /* INDEX_BYTE_ORDER as its writer stores it */
    uint16_t version, header_size;
    uint64_t layout;     /* describe_layout() of the writer */
    uint64_t size;       /* of the whole file */
    uint64_t names;      /* hash of the set of file names, see index_names_add() */
    uint64_t head_sum;   /* checksum of all before `packed` but this word and the next: */
    uint64_t packed_sum; /* checksum of the packed descriptors */
    uint32_t modules, module_count; /* offsets from the start of the file, and counts */
    uint32_t provides, provide_count;
    uint32_t by_name; /* uint32_t[module_count]: numbers of modules sorted by module name */
    uint32_t requires, require_count; /* uint32_t[]: strings "isa/1" */
    uint32_t strings, strings_size;
    uint32_t packed, packed_size;
    uint32_t reserved;
};

#define INDEX_BUILD_ID_MAX 20u

struct index_module {
    uint64_t size;  /* of the file, in bytes */
    int64_t mtime;  /* in seconds */
    uint64_t contents; /* image_contents(); 0: not known */
    uint32_t file;  /* strings: the file's name, */
    uint32_t name;  /* the module's (of an unusable one: the file's without .so), */
    uint32_t summary, version, license, tier, abi; /* as in the notes, or empty */
    uint32_t error; /* why the file is no usable module, a predicate; empty: it is one */
    int32_t code;   /* of the error: an errno value */
    int32_t rank;
    uint32_t requires_first, requires_count;
    uint32_t provides_count; /* entries of the table `provides` that name this module */
    uint8_t build_id[INDEX_BUILD_ID_MAX];
    uint8_t build_id_length, reserved[7];
};

struct index_provide {
    uint32_t kind, name, summary, attributes; /* strings */
    uint32_t module; /* its number */
    uint32_t target; /* an alias: 1 + the number of the provide it stands for; else 0 */
    uint32_t packed, packed_size; /* within the packed descriptors; size 0: read the file */
};

#endif
