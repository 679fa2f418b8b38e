/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floating-point vector instructions of SSE4.1, AVX, FMA and F16C, by softfloat. Intel SDM volume 1
 * chapters 11 and 14, volume 2. RCP and RSQRT as in sse-float.c.
 */
#include "vector.h"

typedef union bp_x86_vec vec;
#define FN(name) static void name(struct vec_run *r, vec *d, const vec *a, const vec *b)

/* Each element has its own flags until all are known. */
static struct sf_env element(const struct vec_run *r)
{
    struct sf_env env = r->env;

    env.flags = 0;
    return env;
}

static unsigned elements(const struct vec_run *r, unsigned size)
{
    return r->op->flags & V_SCALAR ? 1 : r->bytes / size;
}

static void op32(struct vec_run *r, enum sse_operation op, vec *d, const vec *a, const vec *b)
{
    for (unsigned n = 0; n < elements(r, 4); n++) {
        struct sf_env env = element(r);

        d->d[n] = sse_lane32(&env, op, a->d[n], b->d[n]);
        r->env.flags |= env.flags;
    }
}

static void op64(struct vec_run *r, enum sse_operation op, vec *d, const vec *a, const vec *b)
{
    for (unsigned n = 0; n < elements(r, 8); n++) {
        struct sf_env env = element(r);

        d->q[n] = sse_lane64(&env, op, a->q[n], b->q[n]);
        r->env.flags |= env.flags;
    }
}

#define ARITHMETIC(name, op) \
    FN(name##32) { op32(r, op, d, a, b); } \
    FN(name##64) { op64(r, op, d, a, b); }
ARITHMETIC(add, SSE_ADD)
ARITHMETIC(sub, SSE_SUB)
ARITHMETIC(mul, SSE_MUL)
ARITHMETIC(div, SSE_DIV)
ARITHMETIC(min, SSE_MIN)
ARITHMETIC(max, SSE_MAX)
ARITHMETIC(sqrt, SSE_SQRT)

FN(rcp)
{
    (void)a;
    for (unsigned n = 0; n < elements(r, 4); n++)
        d->d[n] = sse_approximate(b->d[n], false);
}
FN(rsqrt)
{
    (void)a;
    for (unsigned n = 0; n < elements(r, 4); n++)
        d->d[n] = sse_approximate(b->d[n], true);
}

/* ---- horizontal and alternating ---- */

static void horizontal(struct vec_run *r, vec *d, const vec *a, const vec *b, unsigned size, enum sse_operation op)
{
    unsigned half = 8 / size; /* elements of half a lane */

    for (unsigned n = 0; n < r->bytes / size; n++) {
        const vec *s = n & half ? b : a;
        unsigned from = (n & ~(2 * half - 1)) + 2 * (n & (half - 1));
        struct sf_env env = element(r);

        if (size == 4)
            d->d[n] = sse_lane32(&env, op, s->d[from], s->d[from + 1]);
        else
            d->q[n] = sse_lane64(&env, op, s->q[from], s->q[from + 1]);
        r->env.flags |= env.flags;
    }
}
FN(hadd32) { horizontal(r, d, a, b, 4, SSE_ADD); }
FN(hadd64) { horizontal(r, d, a, b, 8, SSE_ADD); }
FN(hsub32) { horizontal(r, d, a, b, 4, SSE_SUB); }
FN(hsub64) { horizontal(r, d, a, b, 8, SSE_SUB); }

FN(addsub32)
{
    for (unsigned n = 0; n < r->bytes / 4; n++) {
        struct sf_env env = element(r);

        d->d[n] = sse_lane32(&env, n & 1 ? SSE_ADD : SSE_SUB, a->d[n], b->d[n]);
        r->env.flags |= env.flags;
    }
}
FN(addsub64)
{
    for (unsigned n = 0; n < r->bytes / 8; n++) {
        struct sf_env env = element(r);

        d->q[n] = sse_lane64(&env, n & 1 ? SSE_ADD : SSE_SUB, a->q[n], b->q[n]);
        r->env.flags |= env.flags;
    }
}

/* One step of several, each of which reports for itself. */
static void step(struct vec_run *r)
{
    sse_report(r->v, r->x, &r->env);
    r->env.flags = 0;
}

static uint32_t one32(struct vec_run *r, enum sse_operation op, uint32_t a, uint32_t b)
{
    struct sf_env env = element(r);
    uint32_t result = sse_lane32(&env, op, a, b);

    r->env.flags |= env.flags;
    return result;
}

/* Products that the immediate chooses, their sum where it says; each step rounds. */
FN(dpps)
{
    unsigned count = r->bytes / 4;
    uint32_t p[8];

    for (unsigned n = 0; n < count; n++)
        p[n] = r->imm >> (4 + (n & 3)) & 1 ? one32(r, SSE_MUL, a->d[n], b->d[n]) : 0;
    step(r);
    for (unsigned n = 0; n < count; n += 2)
        p[n] = one32(r, SSE_ADD, p[n], p[n + 1]);
    step(r);
    for (unsigned n = 0; n < count; n += 4)
        p[n] = one32(r, SSE_ADD, p[n], p[n + 2]);
    for (unsigned n = 0; n < count; n++)
        d->d[n] = r->imm >> (n & 3) & 1 ? p[n & 4] : 0;
}
FN(dppd)
{
    uint64_t p[2] = {0, 0};

    for (unsigned n = 0; n < 2; n++) {
        struct sf_env env = element(r);

        if (!(r->imm >> (4 + n) & 1))
            continue;
        p[n] = sse_lane64(&env, SSE_MUL, a->q[n], b->q[n]);
        r->env.flags |= env.flags;
    }
    step(r);
    p[0] = sse_lane64(&r->env, SSE_ADD, p[0], p[1]);
    for (unsigned n = 0; n < 2; n++)
        d->q[n] = r->imm >> n & 1 ? p[0] : 0;
}

/* ---- compares ---- */

/* Which orders a predicate (SDM volume 2, table 3-1) is true of: bit 0 less, 1 equal, 2 greater, 3 unordered. */
static const uint8_t truth[16] = {2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15};
#define SIGNALS 0x6666u /* for quiet NaNs; bit 4 of a predicate reverses it */

static bool compare(struct sf_env *env, unsigned predicate, struct sf_num a, struct sf_num b)
{
    bool ordered = (SIGNALS >> (predicate & 15) & 1) != (predicate >> 4 & 1);
    int order = sf_compare(env, a, b, ordered);

    return truth[predicate & 15] >> (order == SF_UNORDERED ? 3 : order + 1) & 1;
}
FN(cmp32)
{
    for (unsigned n = 0; n < elements(r, 4); n++) {
        struct sf_env env = element(r);

        d->d[n] = compare(&env, r->imm & 31, sf_unpack32(&env, a->d[n]), sf_unpack32(&env, b->d[n])) ? UINT32_MAX : 0;
        r->env.flags |= env.flags;
    }
}
FN(cmp64)
{
    for (unsigned n = 0; n < elements(r, 8); n++) {
        struct sf_env env = element(r);

        d->q[n] = compare(&env, r->imm & 31, sf_unpack64(&env, a->q[n]), sf_unpack64(&env, b->q[n])) ? UINT64_MAX : 0;
        r->env.flags |= env.flags;
    }
}

static void compare_flags(struct vec_run *r)
{
    bool ordered = r->i->opcode & 1, wide = r->i->prefixes & PREFIX_66;
    const vec *a = &r->x->vec[r->i->reg];
    vec b;
    int order;

    vec_source(r, &b, wide ? 8 : 4);
    order = wide ? sf_compare(&r->env, sf_unpack64(&r->env, a->q[0]), sf_unpack64(&r->env, b.q[0]), ordered)
                 : sf_compare(&r->env, sf_unpack32(&r->env, a->d[0]), sf_unpack32(&r->env, b.d[0]), ordered);
    sse_report(r->v, r->x, &r->env);
    set_arith_flags(r->v, order == SF_UNORDERED ? F_ZF | F_PF | F_CF : order < 0 ? F_CF : order ? 0 : F_ZF);
}

/* ---- rounding to integral numbers ---- */

static struct sf_env rounding(const struct vec_run *r)
{
    struct sf_env env = element(r);

    if (!(r->imm & 4))
        env.rounding = r->imm & 3;
    return env;
}

/* No flag for denormals, none for inexact results where the immediate says so. */
static void note_rounding(struct vec_run *r, const struct sf_env *env)
{
    r->env.flags |= env->flags & (unsigned)~SF_DE & ~(r->imm & 8 ? (unsigned)SF_PE : 0u);
}
FN(round32)
{
    (void)a;
    for (unsigned n = 0; n < elements(r, 4); n++) {
        struct sf_env env = rounding(r);
        struct sf_num value = sf_unpack32(&env, b->d[n]);
        struct sf_wide w;

        value.denormal = false;
        w = sf_round_int(&env, value);
        note_rounding(r, &env);
        d->d[n] = sf_pack32(&env, &w);
    }
}
FN(round64)
{
    (void)a;
    for (unsigned n = 0; n < elements(r, 8); n++) {
        struct sf_env env = rounding(r);
        struct sf_num value = sf_unpack64(&env, b->q[n]);
        struct sf_wide w;

        value.denormal = false;
        w = sf_round_int(&env, value);
        note_rounding(r, &env);
        d->q[n] = sf_pack64(&env, &w);
    }
}

/* ---- FMA: the opcode's high digit orders the operands, its low one names the operation ---- */

static bool subtracts(unsigned operation, unsigned n)
{
    switch (operation) {
    case 6: return !(n & 1); /* VFMADDSUB: odd elements add */
    case 7: return n & 1;
    default: return operation >> 1 & 1;
    }
}

static void fma_operands(const struct vec_run *r, const vec **ret_a, const vec **ret_b, const vec **ret_c, const vec *b)
{
    const vec *d = &r->x->vec[r->i->reg], *a = &r->x->vec[vec_vvvv(r)];

    switch (r->i->opcode >> 4 & 15) {
    case 9: *ret_a = d, *ret_b = b, *ret_c = a; break; /* 132 */
    case 10: *ret_a = a, *ret_b = d, *ret_c = b; break; /* 213 */
    default: *ret_a = a, *ret_b = b, *ret_c = d; break; /* 231 */
    }
}

static void fused(struct vec_run *r)
{
    unsigned operation = r->i->opcode & 15, size = r->wide ? 8 : 4;
    bool scalar = operation >= 8 && operation & 1, negate = operation >= 12;
    vec b, d = r->x->vec[r->i->reg];
    const vec *p, *q, *s;

    if (scalar)
        r->bytes = 16;
    vec_source(r, &b, scalar ? size : r->bytes);
    fma_operands(r, &p, &q, &s, &b);
    for (unsigned n = 0; n < (scalar ? 1 : r->bytes / size); n++) {
        struct sf_env env = element(r);
        struct sf_wide w;

        if (size == 4) {
            w = sf_fma(&env, sf_unpack32(&env, p->d[n]), sf_unpack32(&env, q->d[n]), sf_unpack32(&env, s->d[n]),
                       negate, subtracts(operation, n));
            d.d[n] = sf_pack32(&env, &w);
        } else {
            w = sf_fma(&env, sf_unpack64(&env, p->q[n]), sf_unpack64(&env, q->q[n]), sf_unpack64(&env, s->q[n]),
                       negate, subtracts(operation, n));
            d.q[n] = sf_pack64(&env, &w);
        }
        r->env.flags |= env.flags;
    }
    sse_report(r->v, r->x, &r->env);
    vec_put(r, r->i->reg, &d, r->bytes);
}

/* ---- tables ---- */

#define A1 NEED_AVX
#define PACKED(name) {.fn = name, .vex = A1, .vex256 = A1, .flags = V_FLOAT}
#define PACKED1(name) {.fn = name, .vex = A1, .vex256 = A1, .flags = V_FLOAT | V_UNARY}
#define SCALAR(name, size) {.fn = name, .vex = A1, .flags = V_FLOAT | V_SCALAR, .load = size}
#define COMPARE(name, size, f) \
    {.fn = name, .vex = A1, .vex256 = A1, .flags = V_FLOAT | V_IMM | (f), .load = size}
#define FORMS(of, bits, ...) \
    [0x58] = of(add##bits __VA_ARGS__), [0x59] = of(mul##bits __VA_ARGS__), [0x5c] = of(sub##bits __VA_ARGS__), \
    [0x5d] = of(min##bits __VA_ARGS__), [0x5e] = of(div##bits __VA_ARGS__), [0x5f] = of(max##bits __VA_ARGS__)
#define COMIS {.run = compare_flags, .vex = A1, .flags = V_SCALAR | V_UNARY}
#define COMMA ,

static const struct vec_op map1[4][256] = {
    {FORMS(PACKED, 32), [0x51] = PACKED1(sqrt32), [0x52] = PACKED1(rsqrt), [0x53] = PACKED1(rcp),
     [0xc2] = COMPARE(cmp32, 0, 0), [0x2e] = COMIS, [0x2f] = COMIS},
    {FORMS(PACKED, 64), [0x51] = PACKED1(sqrt64), [0xc2] = COMPARE(cmp64, 0, 0), [0x2e] = COMIS, [0x2f] = COMIS,
     [0x7c] = PACKED(hadd64), [0x7d] = PACKED(hsub64), [0xd0] = PACKED(addsub64)},
    {[0x58] = SCALAR(add32, 4), [0x59] = SCALAR(mul32, 4), [0x5c] = SCALAR(sub32, 4), [0x5d] = SCALAR(min32, 4),
     [0x5e] = SCALAR(div32, 4), [0x5f] = SCALAR(max32, 4), [0x51] = SCALAR(sqrt32, 4), [0x52] = SCALAR(rsqrt, 4),
     [0x53] = SCALAR(rcp, 4), [0xc2] = COMPARE(cmp32, 4, V_SCALAR)},
    {[0x58] = SCALAR(add64, 8), [0x59] = SCALAR(mul64, 8), [0x5c] = SCALAR(sub64, 8), [0x5d] = SCALAR(min64, 8),
     [0x5e] = SCALAR(div64, 8), [0x5f] = SCALAR(max64, 8), [0x51] = SCALAR(sqrt64, 8),
     [0xc2] = COMPARE(cmp64, 8, V_SCALAR),
     [0x7c] = PACKED(hadd32), [0x7d] = PACKED(hsub32), [0xd0] = PACKED(addsub32)},
};

static const struct vec_op map3[256] = {
    [0x08] = {.fn = round32, .legacy = NEED_SSE41, .vex = A1, .vex256 = A1, .flags = V_IMM | V_FLOAT | V_UNARY},
    [0x09] = {.fn = round64, .legacy = NEED_SSE41, .vex = A1, .vex256 = A1, .flags = V_IMM | V_FLOAT | V_UNARY},
    [0x0a] = {.fn = round32, .legacy = NEED_SSE41, .vex = A1, .flags = V_IMM | V_FLOAT | V_SCALAR, .load = 4},
    [0x0b] = {.fn = round64, .legacy = NEED_SSE41, .vex = A1, .flags = V_IMM | V_FLOAT | V_SCALAR, .load = 8},
    [0x40] = {.fn = dpps, .legacy = NEED_SSE41, .vex = A1, .vex256 = A1, .flags = V_IMM | V_FLOAT},
    [0x41] = {.fn = dppd, .legacy = NEED_SSE41, .vex = A1, .flags = V_IMM | V_FLOAT},
};
static const struct vec_op fma_packed = {.run = fused, .vex = NEED_FMA, .vex256 = NEED_FMA};
static const struct vec_op fma_scalar = {.run = fused, .vex = NEED_FMA, .flags = V_SCALAR};

const struct vec_op *vec_float_op(unsigned map, unsigned prefix, uint8_t byte)
{
    if (map == 1)
        return &map1[prefix][byte];
    if (prefix != 1)
        return NULL;
    if (map == 3)
        return &map3[byte];
    if (map == 2 && (byte & 15) >= 6 && (byte >> 4 == 9 || byte >> 4 == 10 || byte >> 4 == 11))
        return byte & 1 && (byte & 15) >= 8 ? &fma_scalar : &fma_packed;
    return NULL;
}
