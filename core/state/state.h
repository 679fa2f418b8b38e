/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An object's state as bytes: the tables (bp/state.h) of its levels, and of what its bus keeps with it.
 *
 * Format, little endian. A machine: for each object that saves anything, in tree order, u16 length of
 * its path, the path, u32 length of what follows, then the object; at last u16 0. An object: for each
 * table, the bus's base first, then its own levels' base first, u8 length of the part's name, the name
 * (of the type; "bus/TYPE" for a bus's), u32 length, the table; at last u8 0. One without tables is
 * empty. A table: u32 version, then its fields in order, then a zero byte. A field:
 * u8 length of the name (1..255), the name, u8 kind (enum bp_state_kind), u32 count, u32 length of
 * what follows, then that: integers in their width, bool one byte 0 or 1, buffers as they are, a
 * timer i64 (deadline, -1: not pending), a struct element or section as a table, BYTES and MEMORY as
 * they are; of a VECTOR or LIST count is how many there are, and the elements follow as tables.
 * A section that is not needed is left out. A loader checks every length; unknown fields and missing
 * ones are errors.
 */
#ifndef BPC_STATE_H
#define BPC_STATE_H

#include <glib.h>

#include <bp/object.h>

/* Appends to out (which is as before on failure). An object without a table appends nothing. */
int bpc_state_save(struct bp_object *obj, GByteArray *out, struct bp_error *err);
/* Takes exactly `len` bytes. On failure the state may be half loaded: reset or destroy the object.
 */
int bpc_state_load(struct bp_object *obj, const uint8_t *buf, size_t len, struct bp_error *err);
/* Calls loaded() of these objects' tables in order, when all are loaded. */
int bpc_state_finish(struct bp_object *const *objs, size_t count, struct bp_error *err);
/* Everything below `root` that saves state, and the last pass. On failure the machine must be reset. */
int bpc_state_save_tree(struct bp_object *root, GByteArray *out, struct bp_error *err);
int bpc_state_load_tree(struct bp_object *root, const uint8_t *buf, size_t len,
                        struct bp_error *err);
/* Saves both and compares: for tests. */
bool bpc_state_equal(struct bp_object *a, struct bp_object *b);
/* Every object that saves state, in tree order: path, object. Stops at a non-zero return. */
int bpc_state_each(int (*fn)(const char *path, struct bp_object *obj, void *opaque), void *opaque);

/* The tables alone, over any struct: for tests and for state that is no object's. */
int bpc_state_save_table(const struct bp_state_table *table, void *state, GByteArray *out,
                         struct bp_error *err);
int bpc_state_load_table(const struct bp_state_table *table, void *state, const uint8_t *buf,
                         size_t len, struct bp_error *err);

#endif
