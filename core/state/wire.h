/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of the state format that saving and loading share. */
#ifndef BPC_STATE_WIRE_H
#define BPC_STATE_WIRE_H

#define BPC_STATE_DEPTH 16u /* structs and sections inside each other */

#endif
