/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* XSAVE and its family, and the parts of the x87 state's image that they share with FXSAVE. */
#ifndef INTERP_XSAVE_H
#define INTERP_XSAVE_H

#include "vcpu.h"

/* 0F AE and 0F C7 with a memory operand; false: no instruction of these. */
bool xsave_group15(struct vcpu *v, const struct insn *i);
bool xsave_group9(struct vcpu *v, const struct insn *i);
exec_fn exec_xgetbv, exec_xsetbv;
/* Components that are not in their initial state. */
uint64_t xsave_in_use(const struct bp_x86_cpu *x);

/* fp-state.c: bytes 0 to 23 and 32 to 159 of the image */
void fx_get_x87(const struct bp_x86_cpu *x, bool wide, uint8_t *image);
void fx_set_x87(struct bp_x86_cpu *x, bool wide, const uint8_t *image);
void fx_init_x87(struct bp_x86_cpu *x);

#endif
