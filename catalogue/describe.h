/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of modules that are not loaded. The tables behind the symbol `bp_module` are constant
 * data, so they can be copied out of a file: the same C structures (struct bp_device_class, its
 * property table, an option's keys, a command's arguments, ...) with every function pointer, and
 * every pointer to something unknown, NULL. An inert copy is kept in two forms: packed (pointers are
 * offsets, fit for a file) and unpacked (usable C structures). What is of a framework's kind brings the
 * shape of its descriptor along, as it was when it was compiled; the framework is not needed. [any]
 */
#ifndef CATALOGUE_DESCRIBE_H
#define CATALOGUE_DESCRIBE_H

#include <bp/module.h>

#include "image.h"

/* One thing that a module's table provides. */
struct description {
    char *kind;    /* "device", "chardev" */
    char *name;    /* as registered: "isa-serial", "isa/1" */
    void *packed;  /* packed descriptor, at most DESCRIBE_MAX bytes */
    size_t size;
};
#define DESCRIBE_MAX (1u << 20)

/* The shortest table there ever was: that of 1.0, which ends with `reserved`. */
#define MODULE_TABLE_LEAST (offsetof(struct bp_module, reserved) + 3 * sizeof(void *))

/* The table bp_module of a file. */
struct module_table {
    uint32_t magic, size;
    uint16_t abi_major, abi_minor;
    char *name, *tier; /* or NULL */
    bool has_provides, has_init;
    struct description *provides; /* in the table's order */
    size_t provide_count;
    struct described_import {
        char *name;
        uint16_t major, minor;
    } *imports;
    size_t import_count;
};

/*
 * Reads the table of an image. -ENOEXEC: no symbol bp_module; -EBADMSG: a table that is malformed
 * (or not constant data). When magic or ABI major are not ours only the scalar members are read and
 * provides is empty. Messages are predicates.
 */
int describe_image(const struct image *image, struct module_table *ret_table,
                   struct bp_error *err);
void describe_finish(struct module_table *table);
/* Does the table import "isa/1"? */
bool describe_imports(const struct module_table *table, const char *interface);

/*
 * Makes usable structures from a packed descriptor of that kind: one malloc block that begins with the
 * descriptor (struct bp_device_class and so on, of today's size) and holds all that it points to;
 * the caller frees it with free(). Every offset, length and enumeration is checked: -EBADMSG.
 */
int describe_unpack(const char *kind, const void *packed, size_t size, void **ret_desc,
                    struct bp_error *err);

/* A number that changes whenever the packed form does (struct layouts): packed descriptors of
 * another layout must not be unpacked. */
uint64_t describe_layout(void);

#endif
