/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the x87 handlers share: the register stack, condition codes, exceptions, instruction and
 * data pointers. Intel SDM volume 1 chapter 8.
 */
#ifndef INTERP_X87_H
#define INTERP_X87_H

#include "fp-access.h"
#include "softfloat.h"

#define FSW_SF 0x0040u
#define FSW_C0 0x0100u
#define FSW_C1 0x0200u
#define FSW_C2 0x0400u
#define FSW_C3 0x4000u
#define FSW_CC (FSW_C0 | FSW_C2 | FSW_C3)
#define FSW_EXCEPTIONS 0x3fu

/* #NM, and for all but the control instructions that do not wait, #MF. */
static inline struct bp_x86_cpu *x87_enter_nowait(struct vcpu *v)
{
    struct bp_x86_cpu *x = vcpu_state(v);

    if (x->cr0 & (CR0_EM | CR0_TS)) {
        raise_exception(v, EXC_NM);
    }
    return x;
}
static inline struct bp_x86_cpu *x87_enter(struct vcpu *v)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);

    x87_check_pending(v, x);
    return x;
}

/* Records the instruction, and its memory operand, for FNSTENV and exception handlers. */
static inline void x87_note(struct bp_x86_cpu *x, const struct insn *i)
{
    x->fip = x->rip - i->len;
    x->fcs = x->seg[BP_CS].selector;
    x->fop = (uint16_t)((i->opcode & 7) << 8 | i->modrm);
}
static inline void x87_note_memory(struct bp_x86_cpu *x, const struct insn *i, uint64_t offset)
{
    x87_note(x, i);
    x->fdp = offset;
    x->fds = x->seg[i->seg].selector;
}

static inline unsigned x87_top(const struct bp_x86_cpu *x)
{
    return x->fsw >> 11 & 7;
}
static inline void x87_set_top(struct bp_x86_cpu *x, unsigned top)
{
    x->fsw = (uint16_t)((x->fsw & ~FSW_TOP) | (top & 7) << 11);
}
static inline struct bp_x86_st *x87_st(struct bp_x86_cpu *x, unsigned n)
{
    return &x->fpr[(x87_top(x) + n) & 7];
}
static inline bool x87_empty(const struct bp_x86_cpu *x, unsigned n)
{
    return !(x->fpu_valid >> ((x87_top(x) + n) & 7) & 1);
}
static inline void x87_set(struct bp_x86_cpu *x, unsigned n, struct bp_x86_st value)
{
    unsigned physical = (x87_top(x) + n) & 7;

    x->fpr[physical] = value;
    x->fpu_valid |= (uint8_t)(1u << physical);
}
static inline void x87_pop(struct bp_x86_cpu *x)
{
    x->fpu_valid &= (uint8_t)~(1u << x87_top(x));
    x87_set_top(x, x87_top(x) + 1);
}

static inline struct bp_x86_st x87_indefinite(void)
{
    return (struct bp_x86_st){.mantissa = UINT64_C(3) << 62, .sign_exponent = 0xffff};
}

static inline void x87_set_c1(struct bp_x86_cpu *x, bool on)
{
    x->fsw = (uint16_t)((x->fsw & ~FSW_C1) | (on ? FSW_C1 : 0));
}
static inline void x87_set_cc(struct bp_x86_cpu *x, unsigned cc)
{
    x->fsw = (uint16_t)((x->fsw & ~FSW_CC) | cc);
}

/* Error summary and busy follow from flags and masks. */
static inline void x87_summarize(struct bp_x86_cpu *x)
{
    x->fsw &= (uint16_t)~(FSW_ES | FSW_BUSY);
    if (x->fsw & ~x->fcw & FSW_EXCEPTIONS) {
        x->fsw |= FSW_ES | FSW_BUSY;
    } else {
        x->ignne = 0;
    }
}
static inline void x87_raise(struct bp_x86_cpu *x, unsigned flags)
{
    x->fsw |= (uint16_t)flags;
    if (x->fsw & ~x->fcw & FSW_EXCEPTIONS) {
        x->fsw |= FSW_ES | FSW_BUSY;
    }
}
/* Stack overflow (C1 set) or underflow. True: masked, the instruction goes on. */
static inline bool x87_stack_fault(struct bp_x86_cpu *x, bool overflow)
{
    x87_set_c1(x, overflow);
    x87_raise(x, SF_IE | FSW_SF);
    return x->fcw & SF_IE;
}

static inline struct sf_env x87_env(const struct bp_x86_cpu *x)
{
    static const uint8_t precisions[4] = {24, 64, 53, 64};

    return (struct sf_env){
        .rounding = x->fcw >> 10 & 3,
        .precision = precisions[x->fcw >> 8 & 3],
        .unmasked = ~x->fcw & FSW_EXCEPTIONS,
        .x87 = true,
    };
}
/* The same with full precision, for what precision control does not touch. */
static inline struct sf_env x87_env_full(const struct bp_x86_cpu *x)
{
    struct sf_env env = x87_env(x);

    env.precision = 64;
    return env;
}

/* Reports env's flags and C1. False: unmasked before the computation, no result. */
static inline bool x87_report(struct bp_x86_cpu *x, const struct sf_env *env)
{
    bool stopped = env->flags & env->unmasked & SF_BEFORE;

    x87_set_c1(x, env->up && !stopped);
    x87_raise(x, stopped ? env->flags & SF_BEFORE : env->flags);
    return !stopped;
}

static inline struct sf_num x87_num(struct bp_x86_cpu *x, unsigned n)
{
    return sf_unpack80(*x87_st(x, n));
}

/* Pushes a value; stack overflow gives the indefinite value if masked. */
static inline void x87_push(struct bp_x86_cpu *x, struct bp_x86_st value)
{
    if (!x87_empty(x, 7)) {
        if (!x87_stack_fault(x, true)) {
            return;
        }
        value = x87_indefinite();
    } else {
        x87_set_c1(x, false);
    }
    x87_set_top(x, x87_top(x) - 1);
    x87_set(x, 0, value);
}

/* The handlers that x87-table.c lists. */
exec_fn x87_arith_m32, x87_arith_m64, x87_arith_i16, x87_arith_i32;
exec_fn x87_arith_st0, x87_arith_sti, x87_arith_pop;
exec_fn x87_fcompp, x87_fucompp, x87_fucom, x87_fucomp, x87_fcomi, x87_fcomip, x87_fucomi,
    x87_fucomip, x87_ftst, x87_fxam;
exec_fn x87_fchs, x87_fabs, x87_fsqrt, x87_frndint, x87_fscale, x87_fxtract, x87_fprem, x87_fprem1;
exec_fn x87_fld_m32, x87_fld_m64, x87_fld_m80, x87_fld_st, x87_fild16, x87_fild32, x87_fild64,
    x87_fbld, x87_fld_constant;
exec_fn x87_fst_m32, x87_fstp_m32, x87_fst_m64, x87_fstp_m64, x87_fstp_m80, x87_fst_st,
    x87_fstp_st, x87_fstp_unchecked;
exec_fn x87_fist16, x87_fist32, x87_fistp16, x87_fistp32, x87_fistp64, x87_fisttp16, x87_fisttp32,
    x87_fisttp64, x87_fbstp;
exec_fn x87_fxch, x87_fcmov, x87_ffree, x87_ffreep, x87_fincstp, x87_fdecstp, x87_fnop;
exec_fn x87_fldcw, x87_fnstcw, x87_fnstsw, x87_fnstsw_ax, x87_fnclex, x87_fninit, x87_fldenv,
    x87_fnstenv, x87_frstor, x87_fnsave, x87_nothing;
exec_fn x87_f2xm1, x87_fyl2x, x87_fyl2xp1, x87_fptan, x87_fpatan, x87_fsin, x87_fcos, x87_fsincos;

#endif
