/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the x87, MMX and SSE handlers share: availability checks in the order of the SDM's
 * exception tables (volume 2, "SIMD exceptions" classes; volume 3 chapter 13), operand loads and
 * the MMX side effects on the x87 state.
 */
#ifndef INTERP_FP_ACCESS_H
#define INTERP_FP_ACCESS_H

#include "vcpu.h"

#include <string.h>

#define FSW_ES 0x0080u
#define FSW_BUSY 0x8000u
#define FSW_TOP 0x3800u

#define MXCSR_RESET 0x1f80u
#define MXCSR_VALID 0xffffu

/* Raise what makes SSE, or MMX, unavailable. */
_Noreturn void sse_unavailable(struct vcpu *v, const struct bp_x86_cpu *x);
void mmx_check(struct vcpu *v, const struct bp_x86_cpu *x);
/* An unmasked x87 exception is pending: #MF; with CR0.NE clear FERR# and waiting for an
 * interrupt (volume 1, 8.7.2), or nothing while IGNNE# is asserted. */
void x87_error(struct vcpu *v);
static inline void x87_check_pending(struct vcpu *v, const struct bp_x86_cpu *x)
{
    if (x->fsw & FSW_ES) {
        x87_error(v);
    }
}

static inline struct bp_x86_cpu *sse_enter(struct vcpu *v)
{
    struct bp_x86_cpu *x = vcpu_state(v);

    if ((x->cr0 & (CR0_EM | CR0_TS)) || !(x->cr4 & CR4_OSFXSR)) {
        sse_unavailable(v, x);
    }
    return x;
}

static inline struct bp_x86_cpu *mmx_enter(struct vcpu *v)
{
    struct bp_x86_cpu *x = vcpu_state(v);

    if ((x->cr0 & (CR0_EM | CR0_TS)) || (x->fsw & FSW_ES)) {
        mmx_check(v, x);
    }
    return x;
}

/* SSE instructions that also use MMX registers. */
static inline struct bp_x86_cpu *sse_mmx_enter(struct vcpu *v)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x87_check_pending(v, x);
    return x;
}

/* Every MMX instruction but EMMS, once nothing can fault any more: TOP 0, all registers in use. */
static inline void mmx_touch(struct bp_x86_cpu *x)
{
    x->fsw &= (uint16_t)~FSW_TOP;
    x->fpu_valid = 0xff;
}
static inline void mmx_set(struct bp_x86_cpu *x, unsigned reg, uint64_t value)
{
    mmx_touch(x);
    x->fpr[reg & 7].mantissa = value;
    x->fpr[reg & 7].sign_exponent = 0xffff;
}
static inline uint64_t mmx_get(const struct bp_x86_cpu *x, unsigned reg)
{
    return x->fpr[reg & 7].mantissa;
}

static inline bool code_is_64(const struct bp_x86_cpu *x)
{
    return (x->efer & EFER_LMA) && (x->seg[BP_CS].attr & BP_X86_SEG_L);
}

/* The offset of a memory operand that must be aligned, or #GP(0). */
static inline uint64_t aligned_offset(struct vcpu *v, const struct insn *i,
                                      const struct bp_x86_cpu *x, unsigned align)
{
    uint64_t offset = insn_offset(v, i);
    uint64_t base = i->seg < BP_FS && code_is_64(x) ? 0 : x->seg[i->seg].base;

    if ((base + offset) & (align - 1)) {
        raise_exception_code(v, EXC_GP, 0);
    }
    return offset;
}

/* xmm/m128, aligned; the register itself or `tmp`. */
static inline const union bp_x86_vec *xmm_source(struct vcpu *v, const struct insn *i,
                                                 const struct bp_x86_cpu *x,
                                                 union bp_x86_vec *tmp)
{
    if (i->rm != RM_MEM) {
        return &x->vec[i->rm];
    }
    mem_load(v, i->seg, aligned_offset(v, i, x, 16), tmp, 16);
    return tmp;
}
static inline uint32_t xmm_source32(struct vcpu *v, const struct insn *i,
                                    const struct bp_x86_cpu *x)
{
    return i->rm != RM_MEM ? x->vec[i->rm].d[0] : mem_load32(v, i->seg, insn_offset(v, i));
}
static inline uint64_t xmm_source64(struct vcpu *v, const struct insn *i,
                                    const struct bp_x86_cpu *x)
{
    return i->rm != RM_MEM ? x->vec[i->rm].q[0] : mem_load64(v, i->seg, insn_offset(v, i));
}
static inline uint64_t mmx_source64(struct vcpu *v, const struct insn *i,
                                    const struct bp_x86_cpu *x)
{
    return i->rm != RM_MEM ? mmx_get(x, i->rm) : mem_load64(v, i->seg, insn_offset(v, i));
}
static inline void xmm_copy(union bp_x86_vec *to, const union bp_x86_vec *from)
{
    memmove(to, from, 16); /* the upper half of a YMM register stays */
}

/* Families of SSE opcodes, each with its own table; exec NULL: not there. */
const struct opcode *sse_move_opcode(unsigned prefix, uint8_t byte);
const struct opcode *sse_shuffle_opcode(unsigned prefix, uint8_t byte);
const struct opcode *sse_integer_opcode(unsigned prefix, uint8_t byte);
const struct opcode *sse_float_opcode(unsigned prefix, uint8_t byte);
const struct opcode *sse_convert_opcode(unsigned prefix, uint8_t byte);
const struct opcode *sse_state_opcode(unsigned prefix, uint8_t byte);

enum { PREFIX_INDEX_NONE, PREFIX_INDEX_66, PREFIX_INDEX_F3, PREFIX_INDEX_F2 };

#endif
