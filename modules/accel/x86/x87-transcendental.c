/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS, FSINCOS. Intel SDM volume 1, 8.3.7 and 8.3.10.
 * The results of these differ in the last place from processor to processor. On x86-64 hosts they
 * are the host's own; elsewhere those of the C library in long double, whose flags are only IE, ZE
 * and PE; there, exponents do not wrap when overflow or underflow is unmasked.
 */
#include "x87.h"

#if defined(__x86_64__)
#define HOST_X87 1
#else
#define HOST_X87 0
#include <math.h>
#endif

enum function { F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS, FSINCOS };

struct result {
    struct bp_x86_st st0, st1; /* st1: the one below, of two results */
    uint16_t fsw;              /* flags, C1, C2 */
};

#if HOST_X87
struct __attribute__((packed)) st80 {
    uint64_t mantissa;
    uint16_t sign_exponent;
};

/* In an empty register stack, loads ST1 and ST0, runs the instruction and stores up to two
 * results. With the guest's own masks: an unmasked exception only waits, and is cleared before an
 * instruction that would take it. The host's control word and an empty stack are put back. */
#define RUN(insn, stores) \
    __asm__ volatile("fnstcw %[saved]\n\tfnclex\n\tfldcw %[guest]\n\tfldt %[b]\n\tfldt %[a]\n\t" \
                     insn "\n\tfnstsw %[fsw]\n\tfnclex\n\t" stores "\n\tfninit\n\tfldcw %[saved]" \
                     : [saved] "=m"(saved), [fsw] "=m"(r.fsw), [r0] "=m"(r0), [r1] "=m"(r1) \
                     : [guest] "m"(guest), [a] "m"(a), [b] "m"(b) \
                     : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

static struct result evaluate(enum function f, uint16_t fcw, struct bp_x86_st st0,
                              struct bp_x86_st st1)
{
    struct st80 a = {st0.mantissa, st0.sign_exponent}, b = {st1.mantissa, st1.sign_exponent};
    struct st80 r0 = {0, 0}, r1 = {0, 0};
    uint16_t guest = fcw, saved;
    struct result r;

    switch (f) {
    case F2XM1:
        RUN("f2xm1", "fstpt %[r0]");
        break;
    case FYL2X:
        RUN("fyl2x", "fstpt %[r0]");
        break;
    case FYL2XP1:
        RUN("fyl2xp1", "fstpt %[r0]");
        break;
    case FPTAN:
        RUN("fptan", "fstpt %[r0]\n\tfstpt %[r1]");
        break;
    case FPATAN:
        RUN("fpatan", "fstpt %[r0]");
        break;
    case FSIN:
        RUN("fsin", "fstpt %[r0]");
        break;
    case FCOS:
        RUN("fcos", "fstpt %[r0]");
        break;
    default:
        RUN("fsincos", "fstpt %[r0]\n\tfstpt %[r1]");
        break;
    }
    r.st0 = (struct bp_x86_st){.mantissa = r0.mantissa, .sign_exponent = r0.sign_exponent};
    r.st1 = (struct bp_x86_st){.mantissa = r1.mantissa, .sign_exponent = r1.sign_exponent};
    return r;
}
#else
static long double to_host(struct bp_x86_st st)
{
    struct sf_num n = sf_unpack80(st);
    long double value = n.kind == SF_K_ZERO     ? 0
                        : n.kind == SF_K_NUMBER ? ldexpl((long double)n.sig, n.exp - 63)
                        : n.kind == SF_K_INF    ? HUGE_VALL
                                                : nanl("");

    return n.sign ? -value : value;
}

static struct bp_x86_st from_host(long double value, uint16_t *fsw)
{
    struct sf_env env = {.precision = 64, .x87 = true};
    struct sf_wide w = sf_indefinite();
    int exp;

    if (value == 0 || isinf(value)) {
        w = (struct sf_wide){.kind = value == 0 ? SF_K_ZERO : SF_K_INF, .sign = signbit(value)};
    } else if (!isnan(value)) {
        long double fraction = frexpl(fabsl(value), &exp);

        w = (struct sf_wide){.kind = SF_K_NUMBER, .sign = signbit(value), .exp = exp - 1};
        w.sig = (unsigned __int128)(uint64_t)ldexpl(fraction, 64) << 64;
        *fsw |= SF_PE;
    }
    return sf_pack80(&env, &w);
}

static struct result evaluate(enum function f, uint16_t fcw, struct bp_x86_st st0,
                              struct bp_x86_st st1)
{
    struct sf_env env = {.x87 = true, .precision = 64};
    struct sf_num na = sf_unpack80(st0), nb = sf_unpack80(st1);
    bool two = f == FYL2X || f == FYL2XP1 || f == FPATAN;
    long double a = to_host(st0), b = to_host(st1), value;
    struct result r = {.st0 = st0};

    (void)fcw;
    if (sf_is_nan(&na) || (two && sf_is_nan(&nb))) {
        struct sf_wide w = sf_nan(&env, na, two ? nb : na);

        r.st0 = r.st1 = sf_pack80(&env, &w);
        r.fsw = env.flags;
        return r;
    }
    if (f >= FPTAN && f != FPATAN && fabsl(a) >= 0x1p63L && !isinf(a)) {
        r.fsw = FSW_C2;
        return r;
    }
    value = f == F2XM1     ? expm1l(a * 0.693147180559945309417232121458176568L)
            : f == FYL2X   ? b * log2l(a)
            : f == FYL2XP1 ? b * log1pl(a) * 1.44269504088896340735992468100189214L
            : f == FPTAN   ? tanl(a)
            : f == FPATAN  ? atan2l(b, a)
            : f == FSIN    ? sinl(a)
                           : cosl(a);
    if (isnan(value)) {
        r.fsw |= SF_IE;
    }
    if (f == FYL2X && a == 0 && b != 0 && isfinite(b)) {
        r.fsw |= SF_ZE;
    }
    r.st0 = from_host(value, &r.fsw);
    if (f == FPTAN) {
        r.st1 = r.st0;
        r.st0 = isnan(value) ? r.st0
                             : (struct bp_x86_st){.mantissa = UINT64_C(1) << 63,
                                                  .sign_exponent = 0x3fff};
    } else if (f == FSINCOS) {
        r.st1 = from_host(sinl(a), &r.fsw);
    }
    return r;
}
#endif

static bool pushes(enum function f)
{
    return f == FPTAN || f == FSINCOS;
}

static bool pops(enum function f)
{
    return f == FYL2X || f == FYL2XP1 || f == FPATAN;
}

static void stack_fault(struct bp_x86_cpu *x, enum function f, bool overflow)
{
    if (!x87_stack_fault(x, overflow)) {
        return;
    }
    if (pops(f)) {
        x87_pop(x);
    }
    x87_set(x, 0, x87_indefinite());
    if (pushes(f)) {
        x87_set_top(x, x87_top(x) - 1);
        x87_set(x, 0, x87_indefinite());
    }
}

static void transcendental(struct vcpu *v, const struct insn *i, enum function f)
{
    struct bp_x86_cpu *x = x87_enter(v);
    bool trigonometric = f == FSIN || f == FCOS || pushes(f);
    struct result r;
    unsigned flags;

    x87_note(x, i);
    if (trigonometric) {
        x->fsw &= (uint16_t)~FSW_C2;
    }
    if (x87_empty(x, 0) || (pops(f) && x87_empty(x, 1))) {
        stack_fault(x, f, false);
        return;
    }
    if (pushes(f) && !x87_empty(x, 7)) {
        stack_fault(x, f, true);
        return;
    }
    r = evaluate(f, x->fcw, *x87_st(x, 0), *x87_st(x, 1));
    flags = r.fsw & FSW_EXCEPTIONS;
    if (flags & ~x->fcw & SF_BEFORE) {
        x87_set_c1(x, false);
        x87_raise(x, flags & SF_BEFORE);
        return;
    }
    x87_raise(x, flags);
    x87_set_c1(x, r.fsw & FSW_C1);
    if (trigonometric) {
        x->fsw |= r.fsw & FSW_C2;
        if (r.fsw & FSW_C2) {
            return; /* out of range: the operand stays */
        }
    }
    if (pops(f)) {
        x87_pop(x);
    }
    if (pushes(f)) {
        x87_set(x, 0, r.st1);
        x87_set_top(x, x87_top(x) - 1);
    }
    x87_set(x, 0, r.st0);
}

void x87_f2xm1(struct vcpu *v, const struct insn *i) { transcendental(v, i, F2XM1); }
void x87_fyl2x(struct vcpu *v, const struct insn *i) { transcendental(v, i, FYL2X); }
void x87_fyl2xp1(struct vcpu *v, const struct insn *i) { transcendental(v, i, FYL2XP1); }
void x87_fptan(struct vcpu *v, const struct insn *i) { transcendental(v, i, FPTAN); }
void x87_fpatan(struct vcpu *v, const struct insn *i) { transcendental(v, i, FPATAN); }
void x87_fsin(struct vcpu *v, const struct insn *i) { transcendental(v, i, FSIN); }
void x87_fcos(struct vcpu *v, const struct insn *i) { transcendental(v, i, FCOS); }
void x87_fsincos(struct vcpu *v, const struct insn *i) { transcendental(v, i, FSINCOS); }
