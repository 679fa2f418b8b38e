/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An object's state as bytes, from its class's bp_state_table.
 *
 * Format, little endian. A table: u32 version, then its fields in order, then a zero byte. A field:
 * u8 length of the name (1..255), the name, u8 kind (enum bp_state_kind), u32 count, u32 length of
 * what follows, then that: integers in their width, bool one byte 0 or 1, buffers as they are, a
 * timer i64 (deadline, -1: not pending), a struct element or section as a table, BYTES as they are.
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
