/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MXCSR as softfloat's environment, and how an SSE instruction reports exceptions: the flags are
 * set, then #XM (or #UD without CR4.OSXMMEXCPT) if one is unmasked; the destination changes only
 * without it. Intel SDM volume 1, 11.5.
 */
#ifndef INTERP_SSE_ENV_H
#define INTERP_SSE_ENV_H

#include "fp-access.h"
#include "softfloat.h"

#define MXCSR_FLAGS 0x3fu
#define MXCSR_DAZ 0x40u
#define MXCSR_MASKS 0x1f80u
#define MXCSR_FTZ 0x8000u

static inline struct sf_env sse_env(const struct bp_x86_cpu *x)
{
    return (struct sf_env){
        .rounding = x->mxcsr >> 13 & 3,
        .unmasked = ~(x->mxcsr >> 7) & MXCSR_FLAGS,
        .daz = x->mxcsr & MXCSR_DAZ,
        .ftz = x->mxcsr & MXCSR_FTZ,
    };
}

/* sse-float.c: one element. env collects flags; with an exception unmasked the result is meaningless. */
enum sse_operation { SSE_ADD, SSE_SUB, SSE_MUL, SSE_DIV, SSE_MIN, SSE_MAX, SSE_SQRT };
uint32_t sse_lane32(struct sf_env *env, enum sse_operation op, uint32_t a, uint32_t b);
uint64_t sse_lane64(struct sf_env *env, enum sse_operation op, uint64_t a, uint64_t b);
/* RCP and RSQRT: the nearest number. */
uint32_t sse_approximate(uint32_t bits, bool root);

static inline void sse_report(struct vcpu *v, struct bp_x86_cpu *x, const struct sf_env *env)
{
    unsigned flags = env->flags;

    if (flags & env->unmasked & SF_BEFORE) {
        flags &= SF_BEFORE; /* of all lanes: none was computed */
    }
    x->mxcsr |= flags;
    if (flags & env->unmasked) {
        raise_exception(v, x->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
    }
}

#endif
