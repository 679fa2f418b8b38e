/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef X86_MACHINE_H
#define X86_MACHINE_H

#include "vcpu.h"

/* The bus of a machine's vCPU. [main] */
void machine_bus(struct bp_cpu *cpu, struct bus *ret_bus);

#endif
