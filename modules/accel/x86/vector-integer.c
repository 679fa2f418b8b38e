/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packed integers: SSSE3 to SSE4.2 but for the string compares, and all of AVX and AVX2 (those of SSE2
 * by the lanes of sse-integer.c and sse-shuffle.c). Intel SDM volume 2.
 */
#include "vector.h"

typedef union bp_x86_vec vec;
#define FN(name) static void name(struct vec_run *r, vec *d, const vec *a, const vec *b)
#define LANE(r) ((r)->bytes < 16 ? (r)->bytes : 16u)

static inline int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* `result` of lanes p (first source) and q (second). */
#define EACH(name, type, member, result) \
    FN(name) \
    { \
        for (unsigned n = 0; n < r->bytes / sizeof(type); n++) { \
            type p = (type)a->member[n], q = (type)b->member[n]; \
            (void)p; \
            d->member[n] = (__typeof__(d->member[0]))(result); \
        } \
    }

EACH(pabsb, int8_t, b, q < 0 ? -q : q)
EACH(pabsw, int16_t, w, q < 0 ? -q : q)
EACH(pabsd, int32_t, d, q < 0 ? -(uint32_t)q : (uint32_t)q)
EACH(psignb, int8_t, b, q < 0 ? -p : q ? p : 0)
EACH(psignw, int16_t, w, q < 0 ? -p : q ? p : 0)
EACH(psignd, int32_t, d, q < 0 ? -(uint32_t)p : q ? (uint32_t)p : 0)
EACH(pmulhrsw, int16_t, w, (((int)p * q >> 14) + 1) >> 1)
EACH(pmulld, uint32_t, d, p * q)
EACH(pmuldq, int64_t, q, (int64_t)(int32_t)p * (int32_t)q)
EACH(pcmpeqq, uint64_t, q, p == q ? -1 : 0)
EACH(pcmpgtq, int64_t, q, p > q ? -1 : 0)
EACH(pminsb, int8_t, b, p < q ? p : q)
EACH(pminsd, int32_t, d, p < q ? p : q)
EACH(pminuw, uint16_t, w, p < q ? p : q)
EACH(pminud, uint32_t, d, p < q ? p : q)
EACH(pmaxsb, int8_t, b, p > q ? p : q)
EACH(pmaxsd, int32_t, d, p > q ? p : q)
EACH(pmaxuw, uint16_t, w, p > q ? p : q)
EACH(pmaxud, uint32_t, d, p > q ? p : q)
EACH(psllvd, uint32_t, d, q < 32 ? p << q : 0)
EACH(psllvq, uint64_t, q, q < 64 ? p << q : 0)
EACH(psrlvd, uint32_t, d, q < 32 ? p >> q : 0)
EACH(psrlvq, uint64_t, q, q < 64 ? p >> q : 0)
EACH(psravd, uint32_t, d, (int32_t)p >> (q < 32 ? q : 31))

/* By counts of their own: of 32 or 64 bits */
FN(psllv) { (r->wide ? psllvq : psllvd)(r, d, a, b); }
FN(psrlv) { (r->wide ? psrlvq : psrlvd)(r, d, a, b); }

FN(pshufb)
{
    unsigned lane = LANE(r);

    for (unsigned n = 0; n < r->bytes; n++)
        d->b[n] = b->b[n] & 0x80 ? 0 : a->b[(n & ~(lane - 1)) + (b->b[n] & (lane - 1))];
}

FN(pmaddubsw)
{
    for (unsigned n = 0; n < r->bytes / 2; n++)
        d->w[n] = (uint16_t)clamp(a->b[2 * n] * (int8_t)b->b[2 * n] + a->b[2 * n + 1] * (int8_t)b->b[2 * n + 1],
                                  INT16_MIN, INT16_MAX);
}

/* Neighbours of the first source make the low half of each lane, those of the second the high one. */
#define HORIZONTAL(name, type, member, result) \
    FN(name) \
    { \
        unsigned half = LANE(r) / sizeof(type) / 2; \
        for (unsigned at = 0; at < r->bytes / sizeof(type); at += 2 * half) { \
            for (unsigned n = 0; n < 2 * half; n++) { \
                const vec *s = n < half ? a : b; \
                type p = (type)s->member[at + 2 * (n % half)], q = (type)s->member[at + 2 * (n % half) + 1]; \
                d->member[at + n] = (__typeof__(d->member[0]))(result); \
            } \
        } \
    }
HORIZONTAL(phaddw, uint16_t, w, p + q)
HORIZONTAL(phaddd, uint32_t, d, p + q)
HORIZONTAL(phaddsw, int16_t, w, clamp(p + q, INT16_MIN, INT16_MAX))
HORIZONTAL(phsubw, uint16_t, w, p - q)
HORIZONTAL(phsubd, uint32_t, d, p - q)
HORIZONTAL(phsubsw, int16_t, w, clamp(p - q, INT16_MIN, INT16_MAX))

FN(palignr)
{
    unsigned lane = LANE(r);

    for (unsigned n = 0; n < r->bytes; n++) {
        unsigned base = n & ~(lane - 1), from = n - base + r->imm;

        d->b[n] = from < lane ? b->b[base + from] : from < 2 * lane ? a->b[base + from - lane] : 0;
    }
}

FN(packusdw)
{
    for (unsigned n = 0; n < r->bytes / 2; n++) {
        const vec *s = n & 4 ? b : a;

        d->w[n] = (uint16_t)clamp((int32_t)s->d[(n & 3) + (n & 8) / 2], 0, UINT16_MAX);
    }
}

FN(phminposuw)
{
    unsigned at = 0;

    (void)a;
    for (unsigned n = 1; n < 8; n++) {
        if (b->w[n] < b->w[at])
            at = n;
    }
    memset(d, 0, 16);
    d->w[0] = b->w[at];
    d->w[1] = (uint16_t)at;
    (void)r;
}

FN(mpsadbw)
{
    for (unsigned at = 0; at < r->bytes; at += 16) {
        unsigned imm = r->imm >> (at ? 3 : 0), first = at + (imm >> 2 & 1) * 4, block = at + (imm & 3) * 4;

        for (unsigned n = 0; n < 8; n++) {
            unsigned sum = 0;

            for (unsigned k = 0; k < 4; k++) {
                int difference = a->b[first + n + k] - b->b[block + k];

                sum += (unsigned)(difference < 0 ? -difference : difference);
            }
            d->w[at / 2 + n] = (uint16_t)sum;
        }
    }
}

/* Widening moves: element n of the source becomes element n of the destination. */
#define EXTEND(name, to, wide, from, narrow) \
    FN(name) \
    { \
        (void)a; \
        for (unsigned n = 0; n < r->bytes / sizeof(to); n++) \
            d->wide[n] = (to)(from)b->narrow[n]; \
    }
EXTEND(pmovsxbw, uint16_t, w, int8_t, b)
EXTEND(pmovsxbd, uint32_t, d, int8_t, b)
EXTEND(pmovsxbq, uint64_t, q, int8_t, b)
EXTEND(pmovsxwd, uint32_t, d, int16_t, w)
EXTEND(pmovsxwq, uint64_t, q, int16_t, w)
EXTEND(pmovsxdq, uint64_t, q, int32_t, d)
EXTEND(pmovzxbw, uint16_t, w, uint8_t, b)
EXTEND(pmovzxbd, uint32_t, d, uint8_t, b)
EXTEND(pmovzxbq, uint64_t, q, uint8_t, b)
EXTEND(pmovzxwd, uint32_t, d, uint16_t, w)
EXTEND(pmovzxwq, uint64_t, q, uint16_t, w)
EXTEND(pmovzxdq, uint64_t, q, uint32_t, d)

/* ---- blends ---- */

FN(pblendw)
{
    for (unsigned n = 0; n < r->bytes / 2; n++)
        d->w[n] = r->imm >> (n & 7) & 1 ? b->w[n] : a->w[n];
}
FN(pblendd)
{
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = r->imm >> n & 1 ? b->d[n] : a->d[n];
}
FN(blendpd)
{
    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = r->imm >> n & 1 ? b->q[n] : a->q[n];
}
/* The signs of XMM0, or of the register in the immediate, choose. */
static const vec *chooser(const struct vec_run *r)
{
    return &r->x->vec[r->vex ? r->imm >> 4 & (code_is_64(r->x) ? 15 : 7) : 0];
}
FN(pblendvb)
{
    vec m = *chooser(r);

    for (unsigned n = 0; n < r->bytes; n++)
        d->b[n] = m.b[n] & 0x80 ? b->b[n] : a->b[n];
}
FN(blendvps)
{
    vec m = *chooser(r);

    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = m.d[n] >> 31 ? b->d[n] : a->d[n];
}
FN(blendvpd)
{
    vec m = *chooser(r);

    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = m.q[n] >> 63 ? b->q[n] : a->q[n];
}

/* ---- shuffles ---- */

FN(pshufd)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = b->d[(n & 4) + (r->imm >> 2 * (n & 3) & 3)];
}
FN(pshuflw)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 2; n++)
        d->w[n] = n & 4 ? b->w[n] : b->w[(n & 8) + (r->imm >> 2 * (n & 3) & 3)];
}
FN(pshufhw)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 2; n++)
        d->w[n] = n & 4 ? b->w[(n & 8) + 4 + (r->imm >> 2 * (n & 3) & 3)] : b->w[n];
}
FN(shufps)
{
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = (n & 2 ? b : a)->d[(n & 4) + (r->imm >> 2 * (n & 3) & 3)];
}
FN(shufpd)
{
    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = (n & 1 ? b : a)->q[(n & 2) + (r->imm >> n & 1)];
}
FN(permilps_imm)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = b->d[(n & 4) + (r->imm >> 2 * (n & 3) & 3)];
}
FN(permilpd_imm)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = b->q[(n & 2) + (r->imm >> n & 1)];
}
FN(permilps)
{
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = a->d[(n & 4) + (b->d[n] & 3)];
}
FN(permilpd)
{
    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = a->q[(n & 2) + (b->q[n] >> 1 & 1)];
}
FN(permd) /* and VPERMPS: the first source has the numbers */
{
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = b->d[a->d[n] & 7];
}
FN(permq) /* and VPERMPD */
{
    (void)a;
    for (unsigned n = 0; n < 4; n++)
        d->q[n] = b->q[r->imm >> 2 * n & 3];
    (void)r;
}
FN(perm2f128)
{
    for (unsigned n = 0; n < 2; n++) {
        unsigned choice = r->imm >> 4 * n;
        const vec *s = choice & 2 ? b : a;

        for (unsigned k = 0; k < 2; k++)
            d->q[2 * n + k] = choice & 8 ? 0 : s->q[2 * (choice & 1) + k];
    }
}
FN(insertf128)
{
    *d = *a;
    memcpy(d->b + 16 * (r->imm & 1), b->b, 16);
}
FN(broadcastb)
{
    (void)a;
    memset(d->b, b->b[0], r->bytes);
}
FN(broadcastw)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 2; n++)
        d->w[n] = b->w[0];
}
FN(broadcastd)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d->d[n] = b->d[0];
}
FN(broadcastq)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = b->q[0];
}
FN(broadcast128)
{
    (void)a;
    for (unsigned n = 0; n < r->bytes / 8; n++)
        d->q[n] = b->q[n & 1];
}

/* ---- shifts by an immediate: 0F 71 to 73; VEX.vvvv is the destination ---- */

static void shift_lane(vec *d, unsigned opcode, unsigned op, unsigned count)
{
    vec c = {.q = {count}};
    lanes_fn *fn;

    if (opcode == 0x73 && (op & 3) == 3) { /* whole lanes by bytes */
        vec s = *d;

        for (unsigned n = 0; n < 16; n++) {
            unsigned from = op == 3 ? n + count : n - count;

            d->b[n] = from < 16 ? s.b[from] : 0;
        }
        return;
    }
    fn = sse_integer_lanes(PREFIX_INDEX_66, (uint8_t)((op == 2 ? 0xd0 : op == 4 ? 0xe0 : 0xf0) + (opcode - 0x70)));
    fn(d, &c, 16);
}

static void shift_group(struct vec_run *r)
{
    unsigned op = r->i->modrm >> 3 & 7, opcode = r->i->opcode & 0xff;
    vec d = r->x->vec[r->i->rm], lane;

    if (!(op == 2 || op == 6 || (op == 4 && opcode != 0x73) || (opcode == 0x73 && (op == 3 || op == 7))))
        vec_undefined(r);
    for (unsigned at = 0; at < r->bytes; at += 16) {
        memcpy(&lane, d.b + at, 16);
        shift_lane(&lane, opcode, op, r->imm);
        memcpy(d.b + at, &lane, 16);
    }
    vec_put(r, vec_vvvv(r), &d, r->bytes);
}

/* ---- flags ---- */

FN(test_any) /* PTEST, VTESTPS, VTESTPD by signs */
{
    uint8_t opcode = (uint8_t)r->i->opcode;
    uint64_t mask = opcode == 0x0e ? UINT64_C(0x8000000080000000) : opcode == 0x0f ? UINT64_C(1) << 63 : ~UINT64_C(0);
    uint64_t both = 0, other = 0;

    (void)d;
    for (unsigned n = 0; n < r->bytes / 8; n++) {
        both |= a->q[n] & b->q[n] & mask;
        other |= ~a->q[n] & b->q[n] & mask;
    }
    set_arith_flags(r->v, (both ? 0 : F_ZF) | (other ? 0 : F_CF));
}

static void test_flags(struct vec_run *r)
{
    vec b;

    vec_source(r, &b, r->bytes);
    test_any(r, NULL, &r->x->vec[r->i->reg], &b);
}

/* ---- MMX registers ---- */

static void in_mmx(struct vec_run *r)
{
    struct bp_x86_cpu *x = mmx_enter(r->v);
    vec a, b, d;

    b.q[0] = mmx_source64(r->v, r->i, x);
    a.q[0] = mmx_get(x, r->i->reg);
    r->bytes = 8;
    d = a;
    r->op->fn(r, &d, &a, &b);
    mmx_set(x, r->i->reg, d.q[0]);
}

/* ---- tables ---- */

#define A1 NEED_AVX
#define A2 NEED_AVX2
/* Three operands; both encodings, 256 bits with AVX2. */
#define BOTH(need, name) {.fn = name, .legacy = NEED_##need, .vex = A1, .vex256 = A2}
#define UNARY(need, name) {.fn = name, .legacy = NEED_##need, .vex = A1, .vex256 = A2, .flags = V_UNARY}
#define WIDEN(need, name, part) \
    {.fn = name, .legacy = NEED_##need, .vex = A1, .vex256 = A2, .flags = V_UNARY, .load = part}
#define ONLY_AVX2(name, f) {.fn = name, .vex = A2, .vex256 = A2, .flags = f}
#define IMMEDIATE(need, name, need256, f) \
    {.fn = name, .legacy = NEED_##need, .vex = A1, .vex256 = need256, .flags = V_IMM | (f)}
#define MMX3(name) {.fn = name, .run = in_mmx, .legacy = NEED_SSSE3}

#define SSSE3(X) \
    [0x00] = X(pshufb), [0x01] = X(phaddw), [0x02] = X(phaddd), [0x03] = X(phaddsw), [0x04] = X(pmaddubsw), \
    [0x05] = X(phsubw), [0x06] = X(phsubd), [0x07] = X(phsubsw), [0x08] = X(psignb), [0x09] = X(psignw), \
    [0x0a] = X(psignd), [0x0b] = X(pmulhrsw)
#define SSSE3_XMM(name) BOTH(SSSE3, name)

static const struct vec_op map2_mmx[256] = {
    SSSE3(MMX3), [0x1c] = MMX3(pabsb), [0x1d] = MMX3(pabsw), [0x1e] = MMX3(pabsd),
};
static const struct vec_op palignr_mmx = {.fn = palignr, .run = in_mmx, .legacy = NEED_SSSE3, .flags = V_IMM};

static const struct vec_op map2[256] = {
    SSSE3(SSSE3_XMM), [0x1c] = UNARY(SSSE3, pabsb), [0x1d] = UNARY(SSSE3, pabsw), [0x1e] = UNARY(SSSE3, pabsd),
    [0x10] = {.fn = pblendvb, .legacy = NEED_SSE41}, [0x14] = {.fn = blendvps, .legacy = NEED_SSE41},
    [0x15] = {.fn = blendvpd, .legacy = NEED_SSE41},
    [0x0c] = {.fn = permilps, .vex = A1, .vex256 = A1, .flags = V_W0},
    [0x0d] = {.fn = permilpd, .vex = A1, .vex256 = A1, .flags = V_W0},
    [0x0e] = {.run = test_flags, .vex = A1, .vex256 = A1, .flags = V_UNARY | V_W0},
    [0x0f] = {.run = test_flags, .vex = A1, .vex256 = A1, .flags = V_UNARY | V_W0},
    [0x16] = ONLY_AVX2(permd, V_W0 | V_L1), [0x36] = ONLY_AVX2(permd, V_W0 | V_L1),
    [0x17] = {.run = test_flags, .legacy = NEED_SSE41, .vex = A1, .vex256 = A1, .flags = V_UNARY},
    [0x18] = {.fn = broadcastd, .vex = A1, .vex256 = A1, .flags = V_UNARY | V_W0, .load = 4},
    [0x19] = {.fn = broadcastq, .vex = A1, .vex256 = A1, .flags = V_UNARY | V_W0 | V_L1, .load = 8},
    [0x1a] = {.fn = broadcast128, .vex = A1, .vex256 = A1, .flags = V_UNARY | V_W0 | V_L1 | V_MEM, .load = 16},
    [0x58] = {.fn = broadcastd, .vex = A2, .vex256 = A2, .flags = V_UNARY | V_W0, .load = 4},
    [0x59] = {.fn = broadcastq, .vex = A2, .vex256 = A2, .flags = V_UNARY | V_W0, .load = 8},
    [0x5a] = {.fn = broadcast128, .vex = A2, .vex256 = A2, .flags = V_UNARY | V_W0 | V_L1 | V_MEM, .load = 16},
    [0x78] = {.fn = broadcastb, .vex = A2, .vex256 = A2, .flags = V_UNARY | V_W0, .load = 1},
    [0x79] = {.fn = broadcastw, .vex = A2, .vex256 = A2, .flags = V_UNARY | V_W0, .load = 2},
    [0x20] = WIDEN(SSE41, pmovsxbw, V_HALF), [0x21] = WIDEN(SSE41, pmovsxbd, V_QUARTER),
    [0x22] = WIDEN(SSE41, pmovsxbq, V_EIGHTH), [0x23] = WIDEN(SSE41, pmovsxwd, V_HALF),
    [0x24] = WIDEN(SSE41, pmovsxwq, V_QUARTER), [0x25] = WIDEN(SSE41, pmovsxdq, V_HALF),
    [0x30] = WIDEN(SSE41, pmovzxbw, V_HALF), [0x31] = WIDEN(SSE41, pmovzxbd, V_QUARTER),
    [0x32] = WIDEN(SSE41, pmovzxbq, V_EIGHTH), [0x33] = WIDEN(SSE41, pmovzxwd, V_HALF),
    [0x34] = WIDEN(SSE41, pmovzxwq, V_QUARTER), [0x35] = WIDEN(SSE41, pmovzxdq, V_HALF),
    [0x28] = BOTH(SSE41, pmuldq), [0x29] = BOTH(SSE41, pcmpeqq), [0x2b] = BOTH(SSE41, packusdw),
    [0x37] = BOTH(SSE42, pcmpgtq), [0x38] = BOTH(SSE41, pminsb), [0x39] = BOTH(SSE41, pminsd),
    [0x3a] = BOTH(SSE41, pminuw), [0x3b] = BOTH(SSE41, pminud), [0x3c] = BOTH(SSE41, pmaxsb),
    [0x3d] = BOTH(SSE41, pmaxsd), [0x3e] = BOTH(SSE41, pmaxuw), [0x3f] = BOTH(SSE41, pmaxud),
    [0x40] = BOTH(SSE41, pmulld),
    [0x41] = {.fn = phminposuw, .legacy = NEED_SSE41, .vex = A1, .flags = V_UNARY},
    [0x45] = ONLY_AVX2(psrlv, 0), [0x46] = ONLY_AVX2(psravd, V_W0), [0x47] = ONLY_AVX2(psllv, 0),
};
static const struct vec_op map3[256] = {
    [0x00] = {.fn = permq, .vex = A2, .vex256 = A2, .flags = V_IMM | V_UNARY | V_W1 | V_L1},
    [0x01] = {.fn = permq, .vex = A2, .vex256 = A2, .flags = V_IMM | V_UNARY | V_W1 | V_L1},
    [0x02] = ONLY_AVX2(pblendd, V_IMM | V_W0),
    [0x04] = {.fn = permilps_imm, .vex = A1, .vex256 = A1, .flags = V_IMM | V_UNARY | V_W0},
    [0x05] = {.fn = permilpd_imm, .vex = A1, .vex256 = A1, .flags = V_IMM | V_UNARY | V_W0},
    [0x06] = {.fn = perm2f128, .vex = A1, .vex256 = A1, .flags = V_IMM | V_W0 | V_L1},
    [0x46] = ONLY_AVX2(perm2f128, V_IMM | V_W0 | V_L1),
    [0x0c] = IMMEDIATE(SSE41, pblendd, A1, 0), [0x0d] = IMMEDIATE(SSE41, blendpd, A1, 0),
    [0x0e] = IMMEDIATE(SSE41, pblendw, A2, 0), [0x0f] = IMMEDIATE(SSSE3, palignr, A2, 0),
    [0x18] = {.fn = insertf128, .vex = A1, .vex256 = A1, .flags = V_IMM | V_W0 | V_L1, .load = 16},
    [0x38] = {.fn = insertf128, .vex = A2, .vex256 = A2, .flags = V_IMM | V_W0 | V_L1, .load = 16},
    [0x42] = IMMEDIATE(SSE41, mpsadbw, A2, 0),
    [0x4a] = {.fn = blendvps, .vex = A1, .vex256 = A1, .flags = V_IMM | V_W0},
    [0x4b] = {.fn = blendvpd, .vex = A1, .vex256 = A1, .flags = V_IMM | V_W0},
    [0x4c] = {.fn = pblendvb, .vex = A1, .vex256 = A2, .flags = V_IMM | V_W0},
};

/* SSE2's, with VEX only: the older tables have the other encoding. */
#define OLD_IMM(name, need256, f) {.fn = name, .vex = A1, .vex256 = need256, .flags = V_IMM | (f)}
static const struct vec_op pshuf[4] = {
    [1] = OLD_IMM(pshufd, A2, V_UNARY), [2] = OLD_IMM(pshufhw, A2, V_UNARY), [3] = OLD_IMM(pshuflw, A2, V_UNARY),
};
static const struct vec_op shuf[2] = {OLD_IMM(shufps, A1, 0), OLD_IMM(shufpd, A1, 0)};
static const struct vec_op by_immediate = {.run = shift_group, .vex = A1, .vex256 = A2, .flags = V_IMM | V_REG};

#define MAP1_EACH(X) \
    X(14, 1, 0) X(15, 1, 0) X(54, 1, 0) X(55, 1, 0) X(56, 1, 0) X(57, 1, 0) X(60, 0, 0) X(61, 0, 0) X(62, 0, 0) \
    X(63, 0, 0) X(64, 0, 0) X(65, 0, 0) X(66, 0, 0) X(67, 0, 0) X(68, 0, 0) X(69, 0, 0) X(6a, 0, 0) X(6b, 0, 0) \
    X(6c, 0, 0) X(6d, 0, 0) X(74, 0, 0) X(75, 0, 0) X(76, 0, 0) X(d1, 0, 1) X(d2, 0, 1) X(d3, 0, 1) X(d4, 0, 0) \
    X(d5, 0, 0) X(d8, 0, 0) X(d9, 0, 0) X(da, 0, 0) X(db, 0, 0) X(dc, 0, 0) X(dd, 0, 0) X(de, 0, 0) X(df, 0, 0) \
    X(e0, 0, 0) X(e1, 0, 1) X(e2, 0, 1) X(e3, 0, 0) X(e4, 0, 0) X(e5, 0, 0) X(e8, 0, 0) X(e9, 0, 0) X(ea, 0, 0) \
    X(eb, 0, 0) X(ec, 0, 0) X(ed, 0, 0) X(ee, 0, 0) X(ef, 0, 0) X(f1, 0, 1) X(f2, 0, 1) X(f3, 0, 1) X(f4, 0, 0) \
    X(f5, 0, 0) X(f6, 0, 0) X(f8, 0, 0) X(f9, 0, 0) X(fa, 0, 0) X(fb, 0, 0) X(fc, 0, 0) X(fd, 0, 0) X(fe, 0, 0)
/* Lanes by opcode: those of the older tables, found when they run. */
#define OLD_LANES(code) \
    static void old_##code(vec *d, const vec *s, unsigned bytes) \
    { \
        (sse_integer_lanes(PREFIX_INDEX_66, 0x##code) ? sse_integer_lanes : sse_shuffle_lanes)( \
            PREFIX_INDEX_66, 0x##code)(d, s, bytes); \
    }
#define DEFINE(code, floating, count) OLD_LANES(code)
MAP1_EACH(DEFINE)
#undef DEFINE
static const struct vec_op map1[256] = {
#define ENTRY(code, floating, count) \
    [0x##code] = {.lanes = old_##code, .vex = A1, .vex256 = floating ? A1 : A2, .flags = count ? V_COUNT : 0},
    MAP1_EACH(ENTRY)
#undef ENTRY
};
/* Without prefix: of 32-bit floats, the same on bits but for the unpacks. */
static void unpcklps(vec *d, const vec *s, unsigned bytes) { sse_shuffle_lanes(PREFIX_INDEX_66, 0x62)(d, s, bytes); }
static void unpckhps(vec *d, const vec *s, unsigned bytes) { sse_shuffle_lanes(PREFIX_INDEX_66, 0x6a)(d, s, bytes); }
#define OF_PS(lane) {.lanes = lane, .vex = A1, .vex256 = A1}
static const struct vec_op map1_ps[256] = {
    [0x14] = OF_PS(unpcklps), [0x15] = OF_PS(unpckhps), [0x54] = OF_PS(old_54), [0x55] = OF_PS(old_55),
    [0x56] = OF_PS(old_56), [0x57] = OF_PS(old_57),
};

const struct vec_op *vec_integer_op(unsigned map, unsigned prefix, uint8_t byte)
{
    if (map == 1 && byte == 0x70)
        return &pshuf[prefix];
    if (map == 1 && byte == 0xc6 && prefix < 2)
        return &shuf[prefix];
    if (prefix == 0)
        return map == 1 ? &map1_ps[byte] : map == 2 ? &map2_mmx[byte] : byte == 0x0f ? &palignr_mmx : NULL;
    if (prefix != 1)
        return NULL;
    if (map == 1)
        return byte >= 0x71 && byte <= 0x73 ? &by_immediate : &map1[byte];
    return map == 2 ? &map2[byte] : &map3[byte];
}
