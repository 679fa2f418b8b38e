/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversions with VEX prefixes: between integers, 32 and 64-bit numbers (as sse-convert.c does without),
 * and F16C's 16-bit numbers. Intel SDM volume 1, 14.4; volume 2.
 */
#include "vector.h"

typedef union bp_x86_vec vec;
#define FN(name) static void name(struct vec_run *r, vec *d, const vec *a, const vec *b)

static struct sf_env element(const struct vec_run *r)
{
    struct sf_env env = r->env;

    env.flags = 0;
    return env;
}

static uint64_t widen(struct vec_run *r, uint32_t bits)
{
    struct sf_env env = element(r);
    struct sf_wide w = sf_convert(&env, sf_unpack32(&env, bits), true);

    r->env.flags |= env.flags;
    return sf_pack64(&env, &w);
}
static uint32_t narrow(struct vec_run *r, uint64_t bits)
{
    struct sf_env env = element(r);
    struct sf_wide w = sf_convert(&env, sf_unpack64(&env, bits), true);
    uint32_t result = sf_pack32(&env, &w);

    r->env.flags |= env.flags;
    return result;
}

FN(ps2pd)
{
    (void)a;
    for (unsigned n = r->bytes / 8; n-- > 0;)
        d->q[n] = widen(r, b->d[n]);
}
FN(pd2ps)
{
    (void)a;
    for (unsigned n = 0; n < 8; n++)
        d->d[n] = n < r->bytes / 8 ? narrow(r, b->q[n]) : 0;
    r->bytes = 16;
}
FN(ss2sd)
{
    (void)a;
    d->q[0] = widen(r, b->d[0]);
}
FN(sd2ss)
{
    (void)a;
    d->d[0] = narrow(r, b->q[0]);
}
FN(dq2ps)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 4; n++) {
        struct sf_wide w = sf_from_int((int32_t)b->d[n]);

        d->d[n] = sf_pack32(&r->env, &w);
    }
}
FN(dq2pd)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 8; n++) {
        struct sf_wide w = sf_from_int((int32_t)b->d[n]);

        d->q[n] = sf_pack64(&r->env, &w);
    }
}
FN(ps2dq)
{
    (void)a;
    if (r->i->prefixes & PREFIX_REP)
        r->env.rounding = SF_ZERO;
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = (uint32_t)sf_to_int(&r->env, sf_unpack32(&r->env, b->d[n]), 32);
}
FN(pd2dq)
{
    (void)a;
    if (!(r->i->prefixes & PREFIX_REPNE))
        r->env.rounding = SF_ZERO;
    for (unsigned n = 0; n < 8; n++)
        d->d[n] = n < r->bytes / 8 ? (uint32_t)sf_to_int(&r->env, sf_unpack64(&r->env, b->q[n]), 32) : 0;
    r->bytes = 16;
}

static void from_general(struct vec_run *r)
{
    bool wide = r->i->rex & 8, is_double = r->i->prefixes & PREFIX_REPNE;
    vec d;
    uint64_t value = 0;
    struct sf_wide w;

    if (r->i->rm == RM_MEM)
        vec_load(r, &value, wide ? 8 : 4);
    else
        value = r->x->gpr[r->i->rm];
    w = sf_from_int(wide ? (int64_t)value : (int32_t)value);
    d = r->x->vec[vec_vvvv(r)];
    if (is_double)
        d.q[0] = sf_pack64(&r->env, &w);
    else
        d.d[0] = sf_pack32(&r->env, &w);
    sse_report(r->v, r->x, &r->env);
    vec_put(r, r->i->reg, &d, 16);
}
static void to_general(struct vec_run *r)
{
    bool wide = r->i->rex & 8, is_double = r->i->prefixes & PREFIX_REPNE;
    struct sf_env *env = &r->env;
    int64_t value;
    vec b;

    vec_source(r, &b, is_double ? 8 : 4);
    if (!(r->i->opcode & 1))
        env->rounding = SF_ZERO;
    value = sf_to_int(env, is_double ? sf_unpack64(env, b.q[0]) : sf_unpack32(env, b.d[0]), wide ? 64 : 32);
    sse_report(r->v, r->x, env);
    r->x->gpr[r->i->reg] = wide ? (uint64_t)value : (uint32_t)value;
}

/* ---- 16-bit numbers: sign, 5 bits of exponent with bias 15, 10 of fraction ---- */

FN(ph2ps)
{
    (void)a;
    for (unsigned n = r->bytes / 4; n-- > 0;) {
        uint32_t half = b->w[n], sign = (half & 0x8000) << 16, exp = half >> 10 & 31, fraction = half & 0x3ff;

        if (exp == 31) {
            if (fraction && !(fraction & 0x200))
                r->env.flags |= SF_IE;
            d->d[n] = sign | 0x7f800000 | (fraction ? 0x400000 | fraction << 13 : 0);
            continue;
        }
        if (exp == 0 && fraction) { /* a normal number in 32 bits; DAZ does not count */
            exp = 1;
            while (!(fraction & 0x400)) {
                fraction <<= 1;
                exp--;
            }
            fraction &= 0x3ff;
        } else if (exp == 0) {
            d->d[n] = sign;
            continue;
        }
        d->d[n] = sign | (exp + 112) << 23 | fraction << 13;
    }
}

static bool rounds_up(const struct sf_env *env, bool sign, uint64_t rest, uint64_t half, bool odd)
{
    switch (env->rounding) {
    case SF_NEAREST: return rest > half || (rest == half && odd);
    case SF_DOWN: return sign && rest;
    case SF_UP: return !sign && rest;
    default: return false;
    }
}

/* value * 2^-shift, rounded */
static uint64_t rounded(const struct sf_env *env, bool sign, uint64_t value, unsigned shift, bool *ret_inexact)
{
    uint64_t rest = shift > 63 ? value : value & (((uint64_t)1 << shift) - 1), kept = shift > 63 ? 0 : value >> shift;
    uint64_t half = shift > 64 ? UINT64_MAX : (uint64_t)1 << (shift - 1);

    *ret_inexact = rest != 0;
    return kept + rounds_up(env, sign, rest, half, kept & 1);
}

static uint16_t to_half(struct sf_env *env, struct sf_num a)
{
    uint16_t sign = a.sign ? 0x8000 : 0;
    bool inexact;
    uint64_t kept;

    if (a.kind == SF_K_ZERO)
        return sign;
    if (a.kind == SF_K_INF)
        return sign | 0x7c00;
    if (sf_is_nan(&a)) {
        env->flags |= a.kind == SF_K_SNAN ? SF_IE : 0;
        return (uint16_t)(sign | 0x7e00 | (a.sig >> 53 & 0x1ff));
    }
    if (a.denormal)
        env->flags |= SF_DE;
    if (env->flags & env->unmasked & SF_BEFORE)
        return sign;
    kept = rounded(env, a.sign, a.sig, 53, &inexact); /* as if there were no end of exponents */
    if (a.exp + (int)(kept >> 11) < -14) {
        bool tiny_inexact;

        kept = rounded(env, a.sign, a.sig, (unsigned)(53 - 14 - a.exp), &tiny_inexact);
        if (tiny_inexact || env->unmasked & SF_UE)
            env->flags |= SF_UE;
        env->flags |= (env->unmasked & SF_UE ? inexact : tiny_inexact) ? SF_PE : 0;
        return (uint16_t)(sign | kept);
    }
    if (a.exp < -14) { /* rounds up to the smallest normal number */
        kept = rounded(env, a.sign, a.sig, (unsigned)(53 - 14 - a.exp), &inexact);
        env->flags |= inexact ? SF_PE : 0;
        return (uint16_t)(sign | kept);
    }
    if (a.exp + (int)(kept >> 11) > 15) {
        bool largest = env->rounding == SF_ZERO || env->rounding == (a.sign ? SF_UP : SF_DOWN);

        env->flags |= SF_OE | (!(env->unmasked & SF_OE) || inexact ? SF_PE : 0);
        return sign | (largest ? 0x7bff : 0x7c00);
    }
    env->flags |= inexact ? SF_PE : 0;
    return (uint16_t)(sign | (uint16_t)(((unsigned)(a.exp + 15) << 10) + (unsigned)kept - 0x400));
}

static void ps2ph(struct vec_run *r)
{
    const vec *s = &r->x->vec[r->i->reg];
    vec d = {.q = {0}};

    if (!(r->imm & 4))
        r->env.rounding = r->imm & 3;
    for (unsigned n = 0; n < r->bytes / 4; n++) {
        struct sf_env env = element(r);

        d.w[n] = to_half(&env, sf_unpack32(&env, s->d[n]));
        r->env.flags |= env.flags;
    }
    if (r->i->rm == RM_MEM) { /* the store's fault goes first */
        uint64_t offset = insn_offset(r->v, r->i);

        probe_write(r->v, seg_linear(r->v, r->i->seg, offset, r->bytes / 2, true), r->bytes / 2, r->i->seg);
        sse_report(r->v, r->x, &r->env);
        vec_store(r, &d, r->bytes / 2);
        return;
    }
    sse_report(r->v, r->x, &r->env);
    vec_put(r, r->i->rm, &d, 16);
}

#define A1 NEED_AVX
#define UNARY(name, part) {.fn = name, .vex = A1, .vex256 = A1, .flags = V_FLOAT | V_UNARY, .load = part}
#define SCALAR(name, size) {.fn = name, .vex = A1, .flags = V_FLOAT | V_SCALAR, .load = size}
#define GENERAL(name, f) {.run = name, .vex = A1, .flags = V_SCALAR | (f)}

static const struct vec_op map1[4][256] = {
    {[0x5a] = UNARY(ps2pd, V_HALF), [0x5b] = UNARY(dq2ps, 0)},
    {[0x5a] = UNARY(pd2ps, 0), [0x5b] = UNARY(ps2dq, 0), [0xe6] = UNARY(pd2dq, 0)},
    {[0x5a] = SCALAR(ss2sd, 4), [0x5b] = UNARY(ps2dq, 0), [0xe6] = UNARY(dq2pd, V_HALF),
     [0x2a] = GENERAL(from_general, 0), [0x2c] = GENERAL(to_general, V_UNARY), [0x2d] = GENERAL(to_general, V_UNARY)},
    {[0x5a] = SCALAR(sd2ss, 8), [0xe6] = UNARY(pd2dq, 0),
     [0x2a] = GENERAL(from_general, 0), [0x2c] = GENERAL(to_general, V_UNARY), [0x2d] = GENERAL(to_general, V_UNARY)},
};
static const struct vec_op half_to = {.fn = ph2ps, .vex = NEED_F16C, .vex256 = NEED_F16C, .load = V_HALF,
                                      .flags = V_FLOAT | V_UNARY | V_W0};
static const struct vec_op to_halves = {.run = ps2ph, .vex = NEED_F16C, .vex256 = NEED_F16C,
                                        .flags = V_IMM | V_UNARY | V_W0};

const struct vec_op *vec_convert_op(unsigned map, unsigned prefix, uint8_t byte)
{
    if (map == 1)
        return &map1[prefix][byte];
    return prefix != 1 ? NULL : map == 2 && byte == 0x13 ? &half_to : map == 3 && byte == 0x1d ? &to_halves : NULL;
}
