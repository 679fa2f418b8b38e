/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of the state format that saving and loading share. */
#ifndef BPC_STATE_WIRE_H
#define BPC_STATE_WIRE_H

#include <bp/state.h>

#define BPC_STATE_DEPTH 16u /* structs and sections inside each other */

static inline uint32_t *bpc_state_number(const struct bp_state_field *field, void *state)
{
    return (uint32_t *)((char *)state + field->number);
}
/* Frees the vectors that a struct's table describes, and those within their elements. */
void bpc_state_free_vectors(const struct bp_state_table *table, void *state);
/* What the table's BYTES fields hold is gone once it was saved or loaded. */
void bpc_state_free_bytes(const struct bp_state_table *table, void *state);

#endif
