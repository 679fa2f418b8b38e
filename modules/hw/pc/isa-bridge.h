/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ISA bus of board isapc (isa-bridge.c). */
#ifndef ISA_BRIDGE_H
#define ISA_BRIDGE_H

struct bp_isa_interface;
struct bp_device_class;

extern const struct bp_isa_interface *const *const pc_isa; /* the board's import (pc.c) */
extern const struct bp_device_class isapc_bridge;

#endif
