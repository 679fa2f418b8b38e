/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packed integer arithmetic, logic, compares and shifts of MMX, SSE and SSE2. One lane function per
 * operation; the MMX and XMM handlers are made from it. Intel SDM volume 2.
 */
#include "vector.h"


static inline void run_mmx(struct vcpu *v, const struct insn *i, lanes_fn *fn)
{
    struct bp_x86_cpu *x = mmx_enter(v);
    union bp_x86_vec d, s;

    s.q[0] = mmx_source64(v, i, x);
    d.q[0] = mmx_get(x, i->reg);
    fn(&d, &s, 8);
    mmx_set(x, i->reg, d.q[0]);
}

static inline void run_xmm(struct vcpu *v, const struct insn *i, lanes_fn *fn)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;

    fn(&x->vec[i->reg], xmm_source(v, i, x, &tmp), 16);
}

#define HANDLERS(name) \
    static void name##_mmx(struct vcpu *v, const struct insn *i) { run_mmx(v, i, name); } \
    static void name##_xmm(struct vcpu *v, const struct insn *i) { run_xmm(v, i, name); }

/* `result` from lanes a (destination) and b (source) of `type`. */
#define LANES(name, type, member, result) \
    static inline void name(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes) \
    { \
        for (unsigned n = 0; n < bytes / sizeof(type); n++) { \
            type a = (type)d->member[n], b = (type)s->member[n]; \
            d->member[n] = (__typeof__(d->member[0]))(result); \
        } \
    } \
    HANDLERS(name)

static inline int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

LANES(paddb, uint8_t, b, a + b)
LANES(paddw, uint16_t, w, a + b)
LANES(paddd, uint32_t, d, a + b)
LANES(paddq, uint64_t, q, a + b)
LANES(psubb, uint8_t, b, a - b)
LANES(psubw, uint16_t, w, a - b)
LANES(psubd, uint32_t, d, a - b)
LANES(psubq, uint64_t, q, a - b)
LANES(paddsb, int8_t, b, clamp(a + b, INT8_MIN, INT8_MAX))
LANES(paddsw, int16_t, w, clamp(a + b, INT16_MIN, INT16_MAX))
LANES(paddusb, uint8_t, b, clamp(a + b, 0, UINT8_MAX))
LANES(paddusw, uint16_t, w, clamp(a + b, 0, UINT16_MAX))
LANES(psubsb, int8_t, b, clamp(a - b, INT8_MIN, INT8_MAX))
LANES(psubsw, int16_t, w, clamp(a - b, INT16_MIN, INT16_MAX))
LANES(psubusb, uint8_t, b, clamp(a - b, 0, UINT8_MAX))
LANES(psubusw, uint16_t, w, clamp(a - b, 0, UINT16_MAX))
LANES(pmullw, int16_t, w, (int)a * b)
LANES(pmulhw, int16_t, w, (int)a * b >> 16)
LANES(pmulhuw, uint16_t, w, (uint32_t)a * b >> 16)
LANES(pmuludq, uint64_t, q, (a & UINT32_MAX) * (b & UINT32_MAX))
LANES(pavgb, uint8_t, b, (a + b + 1) >> 1)
LANES(pavgw, uint16_t, w, (a + b + 1) >> 1)
LANES(pminub, uint8_t, b, a < b ? a : b)
LANES(pmaxub, uint8_t, b, a > b ? a : b)
LANES(pminsw, int16_t, w, a < b ? a : b)
LANES(pmaxsw, int16_t, w, a > b ? a : b)
LANES(pcmpeqb, uint8_t, b, a == b ? -1 : 0)
LANES(pcmpeqw, uint16_t, w, a == b ? -1 : 0)
LANES(pcmpeqd, uint32_t, d, a == b ? -1 : 0)
LANES(pcmpgtb, int8_t, b, a > b ? -1 : 0)
LANES(pcmpgtw, int16_t, w, a > b ? -1 : 0)
LANES(pcmpgtd, int32_t, d, a > b ? -1 : 0)
LANES(pand, uint64_t, q, a & b)
LANES(pandn, uint64_t, q, ~a & b)
LANES(por, uint64_t, q, a | b)
LANES(pxor, uint64_t, q, a ^ b)

static inline void pmaddwd(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes)
{
    for (unsigned n = 0; n < bytes / 4; n++) {
        uint32_t low = (uint32_t)((int16_t)d->w[2 * n] * (int16_t)s->w[2 * n]);
        uint32_t high = (uint32_t)((int16_t)d->w[2 * n + 1] * (int16_t)s->w[2 * n + 1]);

        d->d[n] = low + high;
    }
}
HANDLERS(pmaddwd)

static inline void psadbw(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes)
{
    for (unsigned q = 0; q < bytes / 8; q++) {
        unsigned sum = 0;

        for (unsigned n = 8 * q; n < 8 * q + 8; n++) {
            sum += d->b[n] > s->b[n] ? d->b[n] - s->b[n] : s->b[n] - d->b[n];
        }
        d->q[q] = sum;
    }
}
HANDLERS(psadbw)

/* Shifts by a count; counts beyond the lane shift everything out (arithmetic: all signs). */
#define SHIFT(name, type, member, result, beyond) \
    static inline void name##_by(union bp_x86_vec *d, uint64_t count, unsigned bytes) \
    { \
        for (unsigned n = 0; n < bytes / sizeof(type); n++) { \
            type a = (type)d->member[n]; \
            d->member[n] = (__typeof__(d->member[0]))(count < 8 * sizeof(type) ? (result) \
                                                                               : (beyond)); \
        } \
    } \
    static inline void name(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes) \
    { \
        name##_by(d, s->q[0], bytes); \
    } \
    HANDLERS(name)

SHIFT(psllw, uint16_t, w, a << count, 0)
SHIFT(pslld, uint32_t, d, a << count, 0)
SHIFT(psllq, uint64_t, q, a << count, 0)
SHIFT(psrlw, uint16_t, w, a >> count, 0)
SHIFT(psrld, uint32_t, d, a >> count, 0)
SHIFT(psrlq, uint64_t, q, a >> count, 0)
SHIFT(psraw, int16_t, w, a >> count, a >> 15)
SHIFT(psrad, int32_t, d, a >> count, a >> 31)

static void psrldq(union bp_x86_vec *d, unsigned count)
{
    uint8_t out[16] = {0};

    for (unsigned n = count; n < 16; n++) {
        out[n - count] = d->b[n];
    }
    memcpy(d, out, 16);
}

static void pslldq(union bp_x86_vec *d, unsigned count)
{
    uint8_t out[16] = {0};

    for (unsigned n = count; n < 16; n++) {
        out[n] = d->b[n - count];
    }
    memcpy(d, out, 16);
}

typedef void shift_fn(union bp_x86_vec *d, uint64_t count, unsigned bytes);

/* 0F 71..73: the shift that modrm.reg names, or NULL. */
static shift_fn *group_shift(const struct insn *i)
{
    static shift_fn *const shifts[3][8] = {
        {[2] = psrlw_by, [4] = psraw_by, [6] = psllw_by},
        {[2] = psrld_by, [4] = psrad_by, [6] = pslld_by},
        {[2] = psrlq_by, [6] = psllq_by},
    };

    return shifts[(i->opcode & 0xff) - 0x71][i->modrm >> 3 & 7];
}

static void group_mmx(struct vcpu *v, const struct insn *i)
{
    shift_fn *fn = group_shift(i);
    struct bp_x86_cpu *x;
    union bp_x86_vec d;

    if (!fn) {
        raise_exception(v, EXC_UD);
    }
    x = mmx_enter(v);
    d.q[0] = mmx_get(x, i->rm);
    fn(&d, (uint8_t)i->imm, 8);
    mmx_set(x, i->rm, d.q[0]);
}

static void group_xmm(struct vcpu *v, const struct insn *i)
{
    shift_fn *fn = group_shift(i);
    unsigned op = i->modrm >> 3 & 7;
    bool whole = (i->opcode & 0xff) == 0x73 && (op == 3 || op == 7);
    struct bp_x86_cpu *x;

    if (!fn && !whole) {
        raise_exception(v, EXC_UD);
    }
    x = sse_enter(v);
    if (fn) {
        fn(&x->vec[i->rm], (uint8_t)i->imm, 16);
    } else if (op == 3) {
        psrldq(&x->vec[i->rm], (uint8_t)i->imm);
    } else {
        pslldq(&x->vec[i->rm], (uint8_t)i->imm);
    }
}

#define MMX(name) {name##_mmx, OP_MODRM, 0}
#define XMM(name) {name##_xmm, OP_MODRM, 0}
#define GROUP(fn) {fn, OP_MODRM | OP_REG_ONLY, 1}

/* The same opcodes in both register sets. */
#define PACKED(SET) \
    [0x64] = SET(pcmpgtb), [0x65] = SET(pcmpgtw), [0x66] = SET(pcmpgtd), \
    [0x74] = SET(pcmpeqb), [0x75] = SET(pcmpeqw), [0x76] = SET(pcmpeqd), \
    [0xd1] = SET(psrlw), [0xd2] = SET(psrld), [0xd3] = SET(psrlq), [0xd4] = SET(paddq), \
    [0xd5] = SET(pmullw), [0xd8] = SET(psubusb), [0xd9] = SET(psubusw), [0xda] = SET(pminub), \
    [0xdb] = SET(pand), [0xdc] = SET(paddusb), [0xdd] = SET(paddusw), [0xde] = SET(pmaxub), \
    [0xdf] = SET(pandn), [0xe0] = SET(pavgb), [0xe1] = SET(psraw), [0xe2] = SET(psrad), \
    [0xe3] = SET(pavgw), [0xe4] = SET(pmulhuw), [0xe5] = SET(pmulhw), [0xe8] = SET(psubsb), \
    [0xe9] = SET(psubsw), [0xea] = SET(pminsw), [0xeb] = SET(por), [0xec] = SET(paddsb), \
    [0xed] = SET(paddsw), [0xee] = SET(pmaxsw), [0xef] = SET(pxor), [0xf1] = SET(psllw), \
    [0xf2] = SET(pslld), [0xf3] = SET(psllq), [0xf4] = SET(pmuludq), [0xf5] = SET(pmaddwd), \
    [0xf6] = SET(psadbw), [0xf8] = SET(psubb), [0xf9] = SET(psubw), [0xfa] = SET(psubd), \
    [0xfb] = SET(psubq), [0xfc] = SET(paddb), [0xfd] = SET(paddw), [0xfe] = SET(paddd)

static const struct opcode table[2][256] = {
    [PREFIX_INDEX_NONE] = {
        PACKED(MMX),
        [0x71] = GROUP(group_mmx), [0x72] = GROUP(group_mmx), [0x73] = GROUP(group_mmx),
    },
    [PREFIX_INDEX_66] = {
        PACKED(XMM),
        [0x71] = GROUP(group_xmm), [0x72] = GROUP(group_xmm), [0x73] = GROUP(group_xmm),
        /* ANDPD, ANDNPD, ORPD, XORPD are the same on bits. */
        [0x54] = XMM(pand), [0x55] = XMM(pandn), [0x56] = XMM(por), [0x57] = XMM(pxor),
    },
};
/* ANDPS, ANDNPS, ORPS, XORPS */
static const struct opcode logic_ps[4] = {XMM(pand), XMM(pandn), XMM(por), XMM(pxor)};
static const struct opcode none;

#define LANES_OF(name) name
static lanes_fn *const lanes[256] = {
    PACKED(LANES_OF), [0x54] = pand, [0x55] = pandn, [0x56] = por, [0x57] = pxor,
};

lanes_fn *sse_integer_lanes(unsigned prefix, uint8_t byte)
{
    return prefix == PREFIX_INDEX_66 ? lanes[byte] : NULL;
}

const struct opcode *sse_integer_opcode(unsigned prefix, uint8_t byte)
{
    if (prefix == PREFIX_INDEX_NONE && byte >= 0x54 && byte <= 0x57) {
        return &logic_ps[byte - 0x54];
    }
    return prefix <= PREFIX_INDEX_66 ? &table[prefix][byte] : &none;
}
