/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of the state format that saving and loading share. */
#ifndef BPC_STATE_WIRE_H
#define BPC_STATE_WIRE_H

#include <bp/state.h>

#define BPC_STATE_DEPTH 16u /* structs and sections inside each other */

/* What the table's BYTES fields hold is gone once it was saved or loaded. */
void bpc_state_free_bytes(const struct bp_state_table *table, void *state);

#endif
