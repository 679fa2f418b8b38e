/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SSE to SSE3 floating-point arithmetic and compares. Intel SDM volume 1 chapter 11, volume 2.
 * On x86-64 hosts the host's own instruction computes, with the guest's MXCSR, as long as the guest
 * masks all exceptions; softfloat does the rest, and everything elsewhere or when built with
 * INTERP_FP_PORTABLE. RCP and RSQRT are approximations whose bits each processor chooses: here they
 * are exact to the last bit but one.
 */
#include "sse-env.h"

#if defined(__x86_64__) && !defined(INTERP_FP_PORTABLE)
#define HOST_SSE 1
#include <emmintrin.h>
#else
#define HOST_SSE 0
#endif

enum form { PS, PD, SS, SD };

static struct sf_wide compute(struct sf_env *env, enum sse_operation op, struct sf_num a,
                              struct sf_num b)
{
    switch (op) {
    case SSE_ADD:
        return sf_add(env, a, b);
    case SSE_SUB:
        return sf_sub(env, a, b);
    case SSE_MUL:
        return sf_mul(env, a, b);
    case SSE_DIV:
        return sf_div(env, a, b);
    default:
        return sf_sqrt(env, b);
    }
}

/* MIN, MAX: the second operand if either is a NaN or both are zeros. True: the first. */
static bool first_wins(struct sf_env *env, enum sse_operation op, struct sf_num a, struct sf_num b)
{
    return sf_compare(env, a, b, true) == (op == SSE_MIN ? -1 : 1);
}

uint32_t sse_lane32(struct sf_env *env, enum sse_operation op, uint32_t a, uint32_t b)
{
    struct sf_num na = sf_unpack32(env, a), nb = sf_unpack32(env, b);
    struct sf_wide w;

    if (op == SSE_MIN || op == SSE_MAX) {
        bool first = first_wins(env, op, na, nb);
        uint32_t value = first ? a : b;

        return (first ? na : nb).kind == SF_K_ZERO ? value & UINT32_C(0x80000000) : value;
    }
    w = compute(env, op, na, nb);
    return sf_pack32(env, &w);
}

uint64_t sse_lane64(struct sf_env *env, enum sse_operation op, uint64_t a, uint64_t b)
{
    struct sf_num na = sf_unpack64(env, a), nb = sf_unpack64(env, b);
    struct sf_wide w;

    if (op == SSE_MIN || op == SSE_MAX) {
        bool first = first_wins(env, op, na, nb);
        uint64_t value = first ? a : b;

        return (first ? na : nb).kind == SF_K_ZERO ? value & UINT64_C(1) << 63 : value;
    }
    w = compute(env, op, na, nb);
    return sf_pack64(env, &w);
}

static inline const union bp_x86_vec *source(struct vcpu *v, const struct insn *i,
                                             const struct bp_x86_cpu *x, enum form form,
                                             union bp_x86_vec *tmp)
{
    if (i->rm == RM_MEM && form == SS) {
        tmp->q[0] = mem_load32(v, i->seg, insn_offset(v, i));
        tmp->q[1] = 0;
        return tmp;
    }
    if (i->rm == RM_MEM && form == SD) {
        tmp->q[0] = mem_load64(v, i->seg, insn_offset(v, i));
        tmp->q[1] = 0;
        return tmp;
    }
    return xmm_source(v, i, x, tmp);
}

static void portable(struct vcpu *v, struct bp_x86_cpu *x, unsigned reg,
                     const union bp_x86_vec *s, enum sse_operation op, enum form form)
{
    struct sf_env env = sse_env(x);
    union bp_x86_vec d = x->vec[reg];

    for (unsigned n = 0; n < 4 && (form == PS || (form == SS && n == 0)); n++) {
        struct sf_env lane = env;

        lane.flags = 0;
        d.d[n] = sse_lane32(&lane, op, d.d[n], s->d[n]);
        env.flags |= lane.flags;
    }
    for (unsigned n = 0; n < 2 && (form == PD || (form == SD && n == 0)); n++) {
        struct sf_env lane = env;

        lane.flags = 0;
        d.q[n] = sse_lane64(&lane, op, d.q[n], s->q[n]);
        env.flags |= lane.flags;
    }
    sse_report(v, x, &env);
    xmm_copy(&x->vec[reg], &d);
}

#if HOST_SSE
/* One host instruction under the guest's MXCSR; returns the flags it raised. */
#define HOST(insn, function) \
    static inline uint32_t function(union bp_x86_vec *to, const union bp_x86_vec *from, \
                                    uint32_t guest) \
    { \
        __m128i d = _mm_loadu_si128((const __m128i *)to); \
        __m128i s = _mm_loadu_si128((const __m128i *)from); \
        uint32_t host, after; \
        guest &= ~MXCSR_FLAGS; \
        __asm__ volatile("stmxcsr %[host]\n\tldmxcsr %[guest]\n\t" insn " %[s], %[d]\n\t" \
                         "stmxcsr %[after]\n\tldmxcsr %[host]" \
                         : [d] "+x"(d), [host] "=m"(host), [after] "=m"(after) \
                         : [s] "x"(s), [guest] "m"(guest)); \
        _mm_storeu_si128((__m128i *)to, d); \
        return after & MXCSR_FLAGS; \
    }
#define USE_HOST(function, x, reg, s) \
    if (((x)->mxcsr & MXCSR_MASKS) == MXCSR_MASKS) { \
        (x)->mxcsr |= function(&(x)->vec[reg], s, (x)->mxcsr); \
        return; \
    }
#else
#define HOST(insn, function)
#define USE_HOST(function, x, reg, s)
#endif

#define ARITHMETIC(name, op, form) \
    HOST(#name, host_##name) \
    static void name(struct vcpu *v, const struct insn *i) \
    { \
        struct bp_x86_cpu *x = sse_enter(v); \
        union bp_x86_vec tmp; \
        const union bp_x86_vec *s = source(v, i, x, form, &tmp); \
        USE_HOST(host_##name, x, i->reg, s) \
        portable(v, x, i->reg, s, op, form); \
    }
#define ALL_FORMS(name, op) \
    ARITHMETIC(name##ps, op, PS) \
    ARITHMETIC(name##pd, op, PD) \
    ARITHMETIC(name##ss, op, SS) \
    ARITHMETIC(name##sd, op, SD)

ALL_FORMS(add, SSE_ADD)
ALL_FORMS(sub, SSE_SUB)
ALL_FORMS(mul, SSE_MUL)
ALL_FORMS(div, SSE_DIV)
ALL_FORMS(min, SSE_MIN)
ALL_FORMS(max, SSE_MAX)
ALL_FORMS(sqrt, SSE_SQRT)

/* Horizontal and alternating ones: lanes of both operands rearranged, then lane by lane. `minus`
 * has a bit for each lane that subtracts. */
static void combine(struct vcpu *v, struct bp_x86_cpu *x, unsigned reg, union bp_x86_vec a,
                    const union bp_x86_vec *b, enum form form, unsigned minus)
{
    struct sf_env env = sse_env(x);

    for (unsigned n = 0; n < (form == PS ? 4u : 2u); n++) {
        struct sf_env lane = env;
        enum sse_operation op = minus >> n & 1 ? SSE_SUB : SSE_ADD;

        lane.flags = 0;
        if (form == PS) {
            a.d[n] = sse_lane32(&lane, op, a.d[n], b->d[n]);
        } else {
            a.q[n] = sse_lane64(&lane, op, a.q[n], b->q[n]);
        }
        env.flags |= lane.flags;
    }
    sse_report(v, x, &env);
    xmm_copy(&x->vec[reg], &a);
}

static void horizontal(struct vcpu *v, const struct insn *i, enum form form, unsigned minus)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, even, odd;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp), *d = &x->vec[i->reg];

    if (form == PD) {
        even.q[0] = d->q[0], odd.q[0] = d->q[1];
        even.q[1] = s->q[0], odd.q[1] = s->q[1];
    } else {
        for (unsigned n = 0; n < 2; n++) {
            even.d[n] = d->d[2 * n], odd.d[n] = d->d[2 * n + 1];
            even.d[n + 2] = s->d[2 * n], odd.d[n + 2] = s->d[2 * n + 1];
        }
    }
    combine(v, x, i->reg, even, &odd, form, minus);
}

static void alternating(struct vcpu *v, const struct insn *i, enum form form)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);

    combine(v, x, i->reg, x->vec[i->reg], s, form, 0x5);
}

static void haddps(struct vcpu *v, const struct insn *i) { horizontal(v, i, PS, 0); }
static void haddpd(struct vcpu *v, const struct insn *i) { horizontal(v, i, PD, 0); }
static void hsubps(struct vcpu *v, const struct insn *i) { horizontal(v, i, PS, 0xf); }
static void hsubpd(struct vcpu *v, const struct insn *i) { horizontal(v, i, PD, 0xf); }
static void addsubps(struct vcpu *v, const struct insn *i) { alternating(v, i, PS); }
static void addsubpd(struct vcpu *v, const struct insn *i) { alternating(v, i, PD); }

/* Compare predicates: bit 2 negates; 1 and 2 signal quiet NaNs. */
static bool compare(struct sf_env *env, unsigned predicate, struct sf_num a, struct sf_num b)
{
    unsigned kind = predicate & 3;
    int order = sf_compare(env, a, b, kind == 1 || kind == 2);
    bool result = kind == 0   ? order == 0
                  : kind == 1 ? order == -1
                  : kind == 2 ? order == -1 || order == 0
                              : order == SF_UNORDERED;

    return result != ((predicate & 4) != 0);
}

static void compare_form(struct vcpu *v, const struct insn *i, enum form form)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, d = x->vec[i->reg];
    const union bp_x86_vec *s = source(v, i, x, form, &tmp);
    struct sf_env env = sse_env(x);
    unsigned lanes = form == PS ? 4 : form == PD ? 2 : 1;

    for (unsigned n = 0; n < lanes; n++) {
        if (form == PS || form == SS) {
            d.d[n] = compare(&env, i->imm & 7, sf_unpack32(&env, d.d[n]),
                             sf_unpack32(&env, s->d[n])) ? UINT32_MAX : 0;
        } else {
            d.q[n] = compare(&env, i->imm & 7, sf_unpack64(&env, d.q[n]),
                             sf_unpack64(&env, s->q[n])) ? UINT64_MAX : 0;
        }
    }
    sse_report(v, x, &env);
    xmm_copy(&x->vec[i->reg], &d);
}

static void cmpps(struct vcpu *v, const struct insn *i) { compare_form(v, i, PS); }
static void cmppd(struct vcpu *v, const struct insn *i) { compare_form(v, i, PD); }
static void cmpss(struct vcpu *v, const struct insn *i) { compare_form(v, i, SS); }
static void cmpsd(struct vcpu *v, const struct insn *i) { compare_form(v, i, SD); }

static void order_flags(struct vcpu *v, struct bp_x86_cpu *x, const struct sf_env *env, int order)
{
    sse_report(v, x, env);
    /* ZF PF CF: unordered 111, less 001, equal 100 */
    set_arith_flags(v, order == SF_UNORDERED ? 0x45 : order < 0 ? 0x01 : order == 0 ? 0x40 : 0);
}

static void compare_flags32(struct vcpu *v, const struct insn *i, bool ordered)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint32_t b = xmm_source32(v, i, x);
    struct sf_env env = sse_env(x);
    int order = sf_compare(&env, sf_unpack32(&env, x->vec[i->reg].d[0]), sf_unpack32(&env, b),
                           ordered);

    order_flags(v, x, &env, order);
}

static void compare_flags64(struct vcpu *v, const struct insn *i, bool ordered)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint64_t b = xmm_source64(v, i, x);
    struct sf_env env = sse_env(x);
    int order = sf_compare(&env, sf_unpack64(&env, x->vec[i->reg].q[0]), sf_unpack64(&env, b),
                           ordered);

    order_flags(v, x, &env, order);
}

static void ucomiss(struct vcpu *v, const struct insn *i) { compare_flags32(v, i, false); }
static void comiss(struct vcpu *v, const struct insn *i) { compare_flags32(v, i, true); }
static void ucomisd(struct vcpu *v, const struct insn *i) { compare_flags64(v, i, false); }
static void comisd(struct vcpu *v, const struct insn *i) { compare_flags64(v, i, true); }

/* No flags, denormals are zeros, and results too small become zeros. The manuals bound the error and
 * leave the bits to each processor; here it is the nearest number, on every host. */
uint32_t sse_approximate(uint32_t bits, bool root)
{
    struct sf_env env = {.daz = true, .ftz = true};
    struct sf_num one = {.kind = SF_K_NUMBER, .sig = UINT64_C(1) << 63};
    struct sf_num a = sf_unpack32(&env, bits);
    struct sf_wide w;

    if (root) {
        w = sf_sqrt(&env, a);
        if (w.kind == SF_K_NUMBER) {
            a = (struct sf_num){.kind = SF_K_NUMBER, .sig = (uint64_t)(w.sig >> 64), .exp = w.exp};
        } else if (w.kind == SF_K_QNAN) {
            return sf_pack32(&env, &w);
        }
    }
    w = sf_div(&env, one, a);
    return sf_pack32(&env, &w);
}

static void approximate_form(struct vcpu *v, const struct insn *i, enum form form, bool root)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, s = *source(v, i, x, form, &tmp);

    for (unsigned n = 0; n < (form == PS ? 4u : 1u); n++) {
        x->vec[i->reg].d[n] = sse_approximate(s.d[n], root);
    }
}

static void rcpps(struct vcpu *v, const struct insn *i) { approximate_form(v, i, PS, false); }
static void rcpss(struct vcpu *v, const struct insn *i) { approximate_form(v, i, SS, false); }
static void rsqrtps(struct vcpu *v, const struct insn *i) { approximate_form(v, i, PS, true); }
static void rsqrtss(struct vcpu *v, const struct insn *i) { approximate_form(v, i, SS, true); }

#define MODRM(fn) {fn, OP_MODRM, 0}
#define FORM(suffix) \
    [0x51] = MODRM(sqrt##suffix), [0x58] = MODRM(add##suffix), [0x59] = MODRM(mul##suffix), \
    [0x5c] = MODRM(sub##suffix), [0x5d] = MODRM(min##suffix), [0x5e] = MODRM(div##suffix), \
    [0x5f] = MODRM(max##suffix), [0xc2] = {cmp##suffix, OP_MODRM, 1}

static const struct opcode table[4][256] = {
    [PREFIX_INDEX_NONE] = {
        FORM(ps), [0x2e] = MODRM(ucomiss), [0x2f] = MODRM(comiss), [0x52] = MODRM(rsqrtps),
        [0x53] = MODRM(rcpps),
    },
    [PREFIX_INDEX_66] = {
        FORM(pd), [0x2e] = MODRM(ucomisd), [0x2f] = MODRM(comisd), [0x7c] = MODRM(haddpd),
        [0x7d] = MODRM(hsubpd), [0xd0] = MODRM(addsubpd),
    },
    [PREFIX_INDEX_F3] = {FORM(ss), [0x52] = MODRM(rsqrtss), [0x53] = MODRM(rcpss)},
    [PREFIX_INDEX_F2] = {
        FORM(sd), [0x7c] = MODRM(haddps), [0x7d] = MODRM(hsubps), [0xd0] = MODRM(addsubps),
    },
};

const struct opcode *sse_float_opcode(unsigned prefix, uint8_t byte)
{
    return &table[prefix][byte];
}
