/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x87 arithmetic and compares. Intel SDM volume 1 chapter 8, volume 2.
 */
#include "x87.h"

static struct sf_wide compute(struct sf_env *env, unsigned op, struct sf_num a, struct sf_num b)
{
    switch (op) {
    case 0:
        return sf_add(env, a, b);
    case 1:
        return sf_mul(env, a, b);
    case 4:
        return sf_sub(env, a, b);
    case 5:
        return sf_sub(env, b, a);
    case 6:
        return sf_div(env, a, b);
    default:
        return sf_div(env, b, a);
    }
}

/* Stores a rounded result. False: an unmasked exception found before kept it back. */
static bool finish(struct bp_x86_cpu *x, unsigned reg, struct sf_env *env, const struct sf_wide *w)
{
    struct bp_x86_st result = sf_pack80(env, w);

    if (!x87_report(x, env)) {
        return false;
    }
    x87_set(x, reg, result);
    return true;
}

static unsigned compare_cc(int order)
{
    return order == SF_UNORDERED ? FSW_CC : order < 0 ? FSW_C0 : order == 0 ? FSW_C3 : 0;
}

/* Compares ST0 with b into C3 C2 C0. True: pops may follow. */
static bool compare(struct bp_x86_cpu *x, struct sf_num b, bool ordered)
{
    struct sf_env env = x87_env(x);
    int order = sf_compare(&env, x87_num(x, 0), b, ordered);

    x87_set_cc(x, compare_cc(order)); /* even with an unmasked exception */
    return x87_report(x, &env);
}

static bool compare_empty(struct bp_x86_cpu *x)
{
    x87_set_cc(x, FSW_CC); /* masked or not */
    return x87_stack_fault(x, false);
}

static void compare_st(struct vcpu *v, const struct insn *i, unsigned n, bool ordered,
                       unsigned pops)
{
    struct bp_x86_cpu *x = x87_enter(v);
    bool done;

    x87_note(x, i);
    done = x87_empty(x, 0) || x87_empty(x, n) ? compare_empty(x)
                                              : compare(x, x87_num(x, n), ordered);
    for (; done && pops; pops--) {
        x87_pop(x);
    }
}

/* ST0 op operand to ST0, where the operand is a memory operand. */
static void arith_memory(struct bp_x86_cpu *x, unsigned op, struct sf_num b)
{
    struct sf_env env = x87_env(x);
    struct sf_wide w;

    if (op == 2 || op == 3) {
        if ((x87_empty(x, 0) ? compare_empty(x) : compare(x, b, true)) && op == 3) {
            x87_pop(x);
        }
        return;
    }
    if (x87_empty(x, 0)) {
        if (x87_stack_fault(x, false)) {
            x87_set(x, 0, x87_indefinite());
        }
        return;
    }
    w = compute(&env, op, x87_num(x, 0), b);
    finish(x, 0, &env, &w);
}

static struct sf_num from_int(int64_t value)
{
    struct sf_wide w = sf_from_int(value);

    return (struct sf_num){.kind = w.kind, .sign = w.sign, .exp = w.exp,
                           .sig = (uint64_t)(w.sig >> 64)};
}

#define ARITH_MEMORY(name, size, operand) \
    void name(struct vcpu *v, const struct insn *i) \
    { \
        struct bp_x86_cpu *x = x87_enter(v); \
        struct sf_env env = {.x87 = true}; \
        uint64_t offset = insn_offset(v, i); \
        uint64_t value = mem_load##size(v, i->seg, offset); \
        (void)env; \
        x87_note_memory(x, i, offset); \
        arith_memory(x, i->modrm >> 3 & 7, operand); \
    }
ARITH_MEMORY(x87_arith_m32, 32, sf_unpack32(&env, (uint32_t)value))
ARITH_MEMORY(x87_arith_m64, 64, sf_unpack64(&env, value))
ARITH_MEMORY(x87_arith_i16, 16, from_int((int16_t)value))
ARITH_MEMORY(x87_arith_i32, 32, from_int((int32_t)value))

/* Register forms: the result of ST0 op STi goes to ST(to). */
static void arith_registers(struct vcpu *v, const struct insn *i, unsigned to, bool pop)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_env env = x87_env(x);
    unsigned n = i->modrm & 7;
    struct sf_wide w;

    x87_note(x, i);
    if (x87_empty(x, 0) || x87_empty(x, n)) {
        if (!x87_stack_fault(x, false)) {
            return;
        }
        x87_set(x, to, x87_indefinite());
    } else {
        w = compute(&env, i->modrm >> 3 & 7, x87_num(x, 0), x87_num(x, n));
        if (!finish(x, to, &env, &w)) {
            return;
        }
    }
    if (pop) {
        x87_pop(x);
    }
}

void x87_arith_st0(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (op == 2 || op == 3) {
        compare_st(v, i, i->modrm & 7, true, op == 3);
    } else {
        arith_registers(v, i, 0, false);
    }
}

void x87_arith_sti(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (op == 2 || op == 3) { /* other encodings of FCOM, FCOMP */
        compare_st(v, i, i->modrm & 7, true, op == 3);
    } else {
        arith_registers(v, i, i->modrm & 7, false);
    }
}

void x87_arith_pop(struct vcpu *v, const struct insn *i)
{
    if ((i->modrm >> 3 & 7) == 2) { /* another encoding of FCOMP */
        compare_st(v, i, i->modrm & 7, true, 1);
    } else {
        arith_registers(v, i, i->modrm & 7, true);
    }
}

void x87_fcompp(struct vcpu *v, const struct insn *i) { compare_st(v, i, 1, true, 2); }
void x87_fucompp(struct vcpu *v, const struct insn *i) { compare_st(v, i, 1, false, 2); }
void x87_fucom(struct vcpu *v, const struct insn *i) { compare_st(v, i, i->modrm & 7, false, 0); }
void x87_fucomp(struct vcpu *v, const struct insn *i) { compare_st(v, i, i->modrm & 7, false, 1); }

/* FCOMI and its family: the result goes to ZF, PF, CF. */
static void compare_flags(struct vcpu *v, const struct insn *i, bool ordered, bool pop)
{
    struct bp_x86_cpu *x = x87_enter(v);
    unsigned n = i->modrm & 7;
    int order = SF_UNORDERED;

    bool done;

    x87_note(x, i);
    if (x87_empty(x, 0) || x87_empty(x, n)) {
        done = x87_stack_fault(x, false);
    } else {
        struct sf_env env = x87_env(x);

        order = sf_compare(&env, x87_num(x, 0), x87_num(x, n), ordered);
        x87_raise(x, env.flags); /* C1 stays */
        done = !(env.flags & env.unmasked);
    }
    /* even with an unmasked exception */
    set_arith_flags(v, order == SF_UNORDERED ? 0x45 : order < 0 ? 0x01 : order == 0 ? 0x40 : 0);
    if (done && pop) {
        x87_pop(x);
    }
}

void x87_fcomi(struct vcpu *v, const struct insn *i) { compare_flags(v, i, true, false); }
void x87_fcomip(struct vcpu *v, const struct insn *i) { compare_flags(v, i, true, true); }
void x87_fucomi(struct vcpu *v, const struct insn *i) { compare_flags(v, i, false, false); }
void x87_fucomip(struct vcpu *v, const struct insn *i) { compare_flags(v, i, false, true); }

void x87_ftst(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x87_note(x, i);
    if (x87_empty(x, 0)) {
        compare_empty(x);
    } else {
        compare(x, (struct sf_num){.kind = SF_K_ZERO}, true);
    }
}

void x87_fxam(struct vcpu *v, const struct insn *i)
{
    static const uint16_t classes[] = {
        [SF_K_ZERO] = FSW_C3, [SF_K_NUMBER] = FSW_C2, [SF_K_INF] = FSW_C2 | FSW_C0,
        [SF_K_QNAN] = FSW_C0, [SF_K_SNAN] = FSW_C0, [SF_K_UNSUPPORTED] = 0,
    };
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_num n = x87_num(x, 0);

    x87_note(x, i);
    x87_set_c1(x, n.sign);
    x87_set_cc(x, x87_empty(x, 0) ? FSW_C3 | FSW_C0 : n.denormal ? FSW_C3 | FSW_C2
                                                                  : classes[n.kind]);
}

/* Starts an operation on ST0 (and ST1). False: the stack fault was dealt with. */
static bool unary(struct bp_x86_cpu *x, const struct insn *i, unsigned operands)
{
    x87_note(x, i);
    if (!x87_empty(x, 0) && (operands < 2 || !x87_empty(x, 1))) {
        return true;
    }
    if (x87_stack_fault(x, false)) {
        x87_set(x, 0, x87_indefinite());
    }
    return false;
}

void x87_fchs(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    if (unary(x, i, 1)) {
        x87_st(x, 0)->sign_exponent ^= 0x8000;
        x87_set_c1(x, false);
    }
}

void x87_fabs(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    if (unary(x, i, 1)) {
        x87_st(x, 0)->sign_exponent &= 0x7fff;
        x87_set_c1(x, false);
    }
}

void x87_fsqrt(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_env env = x87_env(x);
    struct sf_wide w;

    if (unary(x, i, 1)) {
        w = sf_sqrt(&env, x87_num(x, 0));
        finish(x, 0, &env, &w);
    }
}

void x87_frndint(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_env env = x87_env_full(x);
    struct sf_wide w;

    if (unary(x, i, 1)) {
        struct bp_x86_st result;
        bool up;

        w = sf_round_int(&env, x87_num(x, 0));
        up = env.up;
        result = sf_pack80(&env, &w); /* exact */
        env.up = up;
        if (x87_report(x, &env)) {
            x87_set(x, 0, result);
        }
    }
}

/* 2^trunc(b) as an exponent, far outside of the range when b is huge. */
static int scale_exponent(const struct sf_num *b)
{
    int magnitude;

    if (b->kind == SF_K_ZERO || b->exp < 0) {
        return 0;
    }
    magnitude = b->exp > 16 ? 1 << 17 : (int)(b->sig >> (63 - b->exp));
    return b->sign ? -magnitude : magnitude;
}

static struct sf_wide scale(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    struct sf_wide w = sf_widen(a);

    if (sf_is_nan(&a) || sf_is_nan(&b)) {
        return sf_nan(env, a, b);
    }
    if (b.kind == SF_K_INF) {
        if (a.kind == (b.sign ? SF_K_INF : SF_K_ZERO)) {
            env->flags |= SF_IE;
            return sf_indefinite();
        }
        w.kind = b.sign ? SF_K_ZERO : SF_K_INF;
    } else if (w.kind == SF_K_NUMBER) {
        w.exp += scale_exponent(&b);
    }
    if (a.denormal || b.denormal) {
        env->flags |= SF_DE;
    }
    return w;
}

void x87_fscale(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_env env = x87_env_full(x);
    struct sf_wide w;

    if (unary(x, i, 2)) {
        w = scale(&env, x87_num(x, 0), x87_num(x, 1));
        finish(x, 0, &env, &w);
    }
}

static void extract(struct bp_x86_cpu *x, struct sf_env *env, struct sf_num a)
{
    struct sf_wide exponent, significand = sf_widen(a);
    struct bp_x86_st low, high;

    if (sf_is_nan(&a)) {
        exponent = significand = sf_nan(env, a, a);
    } else if (a.kind == SF_K_ZERO) {
        env->flags |= SF_ZE;
        exponent = (struct sf_wide){.kind = SF_K_INF, .sign = true};
    } else if (a.kind == SF_K_INF) {
        exponent = (struct sf_wide){.kind = SF_K_INF};
    } else {
        env->flags |= a.denormal ? SF_DE : 0;
        exponent = sf_from_int(a.exp);
        significand.exp = 0;
    }
    low = sf_pack80(env, &exponent);
    high = sf_pack80(env, &significand);
    if (x87_report(x, env)) {
        x87_set(x, 0, low);
        x87_push(x, high);
    }
}

void x87_fxtract(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_env env = x87_env_full(x);

    x87_note(x, i);
    if (x87_empty(x, 0) || !x87_empty(x, 7)) {
        if (x87_stack_fault(x, !x87_empty(x, 0))) {
            x87_set(x, 0, x87_indefinite());
            x87_set_top(x, x87_top(x) - 1);
            x87_set(x, 0, x87_indefinite());
        }
        return;
    }
    extract(x, &env, x87_num(x, 0));
}

static void remainder_of(struct vcpu *v, const struct insn *i, bool nearest)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct sf_env env = x87_env_full(x);
    struct sf_num a, b;
    struct sf_wide w;
    unsigned quotient = 0;
    bool complete = true, computed = false;

    x->fsw &= (uint16_t)~FSW_C2;
    if (!unary(x, i, 2)) {
        return;
    }
    a = x87_num(x, 0);
    b = x87_num(x, 1);
    if (sf_is_nan(&a) || sf_is_nan(&b)) {
        w = sf_nan(&env, a, b);
    } else if (a.kind == SF_K_INF || b.kind == SF_K_ZERO) {
        env.flags |= SF_IE;
        w = sf_indefinite();
    } else {
        computed = true;
        env.flags |= a.denormal || b.denormal ? SF_DE : 0;
        if (a.kind == SF_K_ZERO || b.kind == SF_K_INF) {
            w = sf_widen(a);
            env.unmasked &= (uint8_t)~SF_UE; /* nothing is computed: a tiny dividend stays */
        } else {
            complete = sf_remainder(a, b, nearest, &w, &quotient);
        }
    }
    if (finish(x, 0, &env, &w) && computed) {
        x87_set_cc(x, (complete ? 0 : FSW_C2) |
                          (complete && (quotient & 4) ? FSW_C0 : 0) |
                          (complete && (quotient & 2) ? FSW_C3 : 0));
        x87_set_c1(x, complete && (quotient & 1));
    }
}

void x87_fprem(struct vcpu *v, const struct insn *i) { remainder_of(v, i, false); }
void x87_fprem1(struct vcpu *v, const struct insn *i) { remainder_of(v, i, true); }
