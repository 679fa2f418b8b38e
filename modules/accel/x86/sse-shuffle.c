/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shuffles, unpacks, packs, inserts and extracts of MMX, SSE and SSE2. Intel SDM volume 2.
 */
#include "vector.h"


/* Interleaves the low or the high halves */
#define UNPACK(name, member, high) \
    static inline void name(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes) \
    { \
        unsigned lanes = bytes / sizeof(d->member[0]), from = (high) ? lanes / 2 : 0; \
        union bp_x86_vec out; \
        for (unsigned n = 0; n < lanes / 2; n++) { \
            out.member[2 * n] = d->member[from + n]; \
            out.member[2 * n + 1] = s->member[from + n]; \
        } \
        memcpy(d, &out, bytes); \
    }

UNPACK(punpcklbw, b, 0)
UNPACK(punpcklwd, w, 0)
UNPACK(punpckldq, d, 0)
UNPACK(punpcklqdq, q, 0)
UNPACK(punpckhbw, b, 1)
UNPACK(punpckhwd, w, 1)
UNPACK(punpckhdq, d, 1)
UNPACK(punpckhqdq, q, 1)

/* Narrows destination, then source, with saturation. */
#define PACK(name, wide, narrow, type, low, high) \
    static inline void name(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes) \
    { \
        unsigned lanes = bytes / sizeof(type); \
        union bp_x86_vec out; \
        for (unsigned n = 0; n < 2 * lanes; n++) { \
            type a = (type)(n < lanes ? d->wide[n] : s->wide[n - lanes]); \
            out.narrow[n] = (__typeof__(out.narrow[0]))(a < (low) ? (low) : a > (high) ? (high) \
                                                                                       : a); \
        } \
        memcpy(d, &out, bytes); \
    }

PACK(packsswb, w, b, int16_t, INT8_MIN, INT8_MAX)
PACK(packssdw, d, w, int32_t, INT16_MIN, INT16_MAX)
PACK(packuswb, w, b, int16_t, 0, UINT8_MAX)

static inline void run_mmx(struct vcpu *v, const struct insn *i, lanes_fn *fn, bool half)
{
    struct bp_x86_cpu *x = mmx_enter(v);
    union bp_x86_vec d, s;

    /* The low unpacks read 32 bits of memory. */
    s.q[0] = half && i->rm == RM_MEM ? mem_load32(v, i->seg, insn_offset(v, i))
                                     : mmx_source64(v, i, x);
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

#define HANDLERS(name, half) \
    static void name##_mmx(struct vcpu *v, const struct insn *i) { run_mmx(v, i, name, half); } \
    static void name##_xmm(struct vcpu *v, const struct insn *i) { run_xmm(v, i, name); }

HANDLERS(punpcklbw, true)
HANDLERS(punpcklwd, true)
HANDLERS(punpckldq, true)
HANDLERS(punpckhbw, false)
HANDLERS(punpckhwd, false)
HANDLERS(punpckhdq, false)
HANDLERS(packsswb, false)
HANDLERS(packssdw, false)
HANDLERS(packuswb, false)

static void punpcklqdq_xmm(struct vcpu *v, const struct insn *i)
{
    run_xmm(v, i, punpcklqdq);
}

static void punpckhqdq_xmm(struct vcpu *v, const struct insn *i)
{
    run_xmm(v, i, punpckhqdq);
}

static uint64_t shuffle_words(uint64_t source, unsigned order)
{
    uint64_t out = 0;

    for (unsigned n = 0; n < 4; n++) {
        out |= (source >> 16 * (order >> 2 * n & 3) & 0xffff) << 16 * n;
    }
    return out;
}

static void pshufw(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    mmx_set(x, i->reg, shuffle_words(mmx_source64(v, i, x), (uint8_t)i->imm));
}

static void pshuflw(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    uint64_t high = s->q[1];

    x->vec[i->reg].q[0] = shuffle_words(s->q[0], (uint8_t)i->imm);
    x->vec[i->reg].q[1] = high;
}

static void pshufhw(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    uint64_t low = s->q[0];

    x->vec[i->reg].q[1] = shuffle_words(s->q[1], (uint8_t)i->imm);
    x->vec[i->reg].q[0] = low;
}

static void pshufd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, out;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);

    for (unsigned n = 0; n < 4; n++) {
        out.d[n] = s->d[i->imm >> 2 * n & 3];
    }
    xmm_copy(&x->vec[i->reg], &out);
}

static void shufps(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, out;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    const union bp_x86_vec *d = &x->vec[i->reg];

    out.d[0] = d->d[i->imm & 3];
    out.d[1] = d->d[i->imm >> 2 & 3];
    out.d[2] = s->d[i->imm >> 4 & 3];
    out.d[3] = s->d[i->imm >> 6 & 3];
    xmm_copy(&x->vec[i->reg], &out);
}

static void shufpd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, out;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);

    out.q[0] = x->vec[i->reg].q[i->imm & 1];
    out.q[1] = s->q[i->imm >> 1 & 1];
    xmm_copy(&x->vec[i->reg], &out);
}

static uint16_t word_source(struct vcpu *v, const struct insn *i, const struct bp_x86_cpu *x)
{
    return i->rm != RM_MEM ? (uint16_t)x->gpr[i->rm] : mem_load16(v, i->seg, insn_offset(v, i));
}

static void pinsrw_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);
    uint64_t word = word_source(v, i, x);
    unsigned shift = 16 * (i->imm & 3);

    mmx_set(x, i->reg, (mmx_get(x, i->reg) & ~(UINT64_C(0xffff) << shift)) | word << shift);
}

static void pinsrw_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x->vec[i->reg].w[i->imm & 7] = word_source(v, i, x);
}

static void pextrw_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    x->gpr[i->reg] = (uint16_t)(mmx_get(x, i->rm) >> 16 * (i->imm & 3));
    mmx_touch(x);
}

static void pextrw_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x->gpr[i->reg] = x->vec[i->rm].w[i->imm & 7];
}

static void pmovmskb_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);
    uint64_t value = mmx_get(x, i->rm);
    unsigned mask = 0;

    for (unsigned n = 0; n < 8; n++) {
        mask |= (unsigned)(value >> (8 * n + 7) & 1) << n;
    }
    x->gpr[i->reg] = mask;
    mmx_touch(x);
}

static void pmovmskb_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    unsigned mask = 0;

    for (unsigned n = 0; n < 16; n++) {
        mask |= (unsigned)(x->vec[i->rm].b[n] >> 7) << n;
    }
    x->gpr[i->reg] = mask;
}

#define MODRM(fn) {fn, OP_MODRM, 0}
#define IMM8(fn) {fn, OP_MODRM, 1}

#define BOTH(SET) \
    [0x60] = MODRM(punpcklbw_##SET), [0x61] = MODRM(punpcklwd_##SET), \
    [0x62] = MODRM(punpckldq_##SET), [0x63] = MODRM(packsswb_##SET), \
    [0x67] = MODRM(packuswb_##SET), [0x68] = MODRM(punpckhbw_##SET), \
    [0x69] = MODRM(punpckhwd_##SET), [0x6a] = MODRM(punpckhdq_##SET), \
    [0x6b] = MODRM(packssdw_##SET), [0xc4] = IMM8(pinsrw_##SET), \
    [0xc5] = {pextrw_##SET, OP_MODRM | OP_REG_ONLY, 1}, \
    [0xd7] = {pmovmskb_##SET, OP_MODRM | OP_REG_ONLY, 0}

static const struct opcode table[4][256] = {
    [PREFIX_INDEX_NONE] = {
        BOTH(mmx),
        [0x14] = MODRM(punpckldq_xmm), [0x15] = MODRM(punpckhdq_xmm), /* UNPCKLPS, UNPCKHPS */
        [0x70] = IMM8(pshufw), [0xc6] = IMM8(shufps),
    },
    [PREFIX_INDEX_66] = {
        BOTH(xmm),
        [0x14] = MODRM(punpcklqdq_xmm), [0x15] = MODRM(punpckhqdq_xmm), /* UNPCKLPD, UNPCKHPD */
        [0x6c] = MODRM(punpcklqdq_xmm), [0x6d] = MODRM(punpckhqdq_xmm),
        [0x70] = IMM8(pshufd), [0xc6] = IMM8(shufpd),
    },
    [PREFIX_INDEX_F3] = {[0x70] = IMM8(pshufhw)},
    [PREFIX_INDEX_F2] = {[0x70] = IMM8(pshuflw)},
};

static lanes_fn *const lanes[256] = {
    [0x14] = punpcklqdq, [0x15] = punpckhqdq, [0x60] = punpcklbw, [0x61] = punpcklwd, [0x62] = punpckldq,
    [0x63] = packsswb, [0x67] = packuswb, [0x68] = punpckhbw, [0x69] = punpckhwd, [0x6a] = punpckhdq,
    [0x6b] = packssdw, [0x6c] = punpcklqdq, [0x6d] = punpckhqdq,
};

lanes_fn *sse_shuffle_lanes(unsigned prefix, uint8_t byte)
{
    return prefix == PREFIX_INDEX_66 ? lanes[byte] : NULL;
}

const struct opcode *sse_shuffle_opcode(unsigned prefix, uint8_t byte)
{
    return &table[prefix][byte];
}
