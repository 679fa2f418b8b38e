/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef X86_MACHINE_H
#define X86_MACHINE_H

#include "vcpu.h"

/* The bus of a machine's vCPU. [main] */
/* bus.names of a machine's vCPU: opaque is the bp_cpu */
void machine_names(void *opaque, const uint64_t *address, unsigned count, char (*ret_name)[BUS_NAME]);
void machine_bus(struct bp_cpu *cpu, struct bus *ret_bus);
struct bp_memory_listener;
/* Listens to what system management mode sees, too: the board gives it after the vCPU was made, before the
 * machine runs. Once; the caller takes the listener away at the end. [vcpu] without locks */
void machine_hear_smm(struct bp_cpu *cpu, const struct bp_memory_listener *listener, void *opaque);

#endif
