/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MMX and SSE to SSE3 moves between registers and memory, non-temporal stores included (here they
 * are plain stores: nothing observes the difference). Intel SDM volume 2.
 */
#include "fp-access.h"

static void load_unaligned(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        xmm_copy(&x->vec[i->reg], &x->vec[i->rm]);
    } else {
        union bp_x86_vec tmp; /* the second page may fault after the first was read */

        mem_load(v, i->seg, insn_offset(v, i), &tmp, 16);
        xmm_copy(&x->vec[i->reg], &tmp);
    }
}

static void store_unaligned(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        xmm_copy(&x->vec[i->rm], &x->vec[i->reg]);
    } else {
        mem_store(v, i->seg, insn_offset(v, i), &x->vec[i->reg], 16);
    }
}

static void load_aligned(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        xmm_copy(&x->vec[i->reg], &x->vec[i->rm]);
    } else {
        mem_load(v, i->seg, aligned_offset(v, i, x, 16), &x->vec[i->reg], 16);
    }
}

static void store_aligned(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        xmm_copy(&x->vec[i->rm], &x->vec[i->reg]);
    } else {
        mem_store(v, i->seg, aligned_offset(v, i, x, 16), &x->vec[i->reg], 16);
    }
}

static void movss_load(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        x->vec[i->reg].d[0] = x->vec[i->rm].d[0];
    } else {
        uint32_t value = mem_load32(v, i->seg, insn_offset(v, i));

        x->vec[i->reg].q[0] = value;
        x->vec[i->reg].q[1] = 0;
    }
}

static void movss_store(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        x->vec[i->rm].d[0] = x->vec[i->reg].d[0];
    } else {
        mem_store32(v, i->seg, insn_offset(v, i), x->vec[i->reg].d[0]);
    }
}

static void movsd_load(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        x->vec[i->reg].q[0] = x->vec[i->rm].q[0];
    } else {
        x->vec[i->reg].q[0] = mem_load64(v, i->seg, insn_offset(v, i));
        x->vec[i->reg].q[1] = 0;
    }
}

static void movsd_store(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        x->vec[i->rm].q[0] = x->vec[i->reg].q[0];
    } else {
        mem_store64(v, i->seg, insn_offset(v, i), x->vec[i->reg].q[0]);
    }
}

/* MOVLPS, MOVLPD, MOVHLPS */
static void load_low(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x->vec[i->reg].q[0] = i->rm != RM_MEM ? x->vec[i->rm].q[1]
                                          : mem_load64(v, i->seg, insn_offset(v, i));
}

static void store_low(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    mem_store64(v, i->seg, insn_offset(v, i), x->vec[i->reg].q[0]);
}

/* MOVHPS, MOVHPD, MOVLHPS */
static void load_high(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x->vec[i->reg].q[1] = i->rm != RM_MEM ? x->vec[i->rm].q[0]
                                          : mem_load64(v, i->seg, insn_offset(v, i));
}

static void store_high(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    mem_store64(v, i->seg, insn_offset(v, i), x->vec[i->reg].q[1]);
}

static void movsldup(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    uint32_t low = s->d[0], high = s->d[2];

    x->vec[i->reg].d[0] = x->vec[i->reg].d[1] = low;
    x->vec[i->reg].d[2] = x->vec[i->reg].d[3] = high;
}

static void movshdup(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    uint32_t low = s->d[1], high = s->d[3];

    x->vec[i->reg].d[0] = x->vec[i->reg].d[1] = low;
    x->vec[i->reg].d[2] = x->vec[i->reg].d[3] = high;
}

static void movddup(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint64_t value = xmm_source64(v, i, x);

    x->vec[i->reg].q[0] = x->vec[i->reg].q[1] = value;
}

/* MOVD, MOVQ between general registers or memory and vector registers */
static uint64_t load_general(struct vcpu *v, const struct insn *i, const struct bp_x86_cpu *x)
{
    bool wide = i->rex & 8;

    if (i->rm != RM_MEM) {
        return wide ? x->gpr[i->rm] : (uint32_t)x->gpr[i->rm];
    }
    return wide ? mem_load64(v, i->seg, insn_offset(v, i))
                : mem_load32(v, i->seg, insn_offset(v, i));
}

static void store_general(struct vcpu *v, const struct insn *i, struct bp_x86_cpu *x,
                          uint64_t value)
{
    bool wide = i->rex & 8;

    if (i->rm != RM_MEM) {
        x->gpr[i->rm] = wide ? value : (uint32_t)value;
    } else if (wide) {
        mem_store64(v, i->seg, insn_offset(v, i), value);
    } else {
        mem_store32(v, i->seg, insn_offset(v, i), (uint32_t)value);
    }
}

static void movd_to_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    mmx_set(x, i->reg, load_general(v, i, x));
}

static void movd_from_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    store_general(v, i, x, mmx_get(x, i->reg));
    mmx_touch(x);
}

static void movd_to_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x->vec[i->reg].q[0] = load_general(v, i, x);
    x->vec[i->reg].q[1] = 0;
}

static void movd_from_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    store_general(v, i, x, x->vec[i->reg].q[0]);
}

static void movq_load_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    mmx_set(x, i->reg, mmx_source64(v, i, x));
}

static void movq_store_mmx(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    if (i->rm != RM_MEM) {
        mmx_set(x, i->rm, mmx_get(x, i->reg));
    } else {
        mem_store64(v, i->seg, insn_offset(v, i), mmx_get(x, i->reg));
        mmx_touch(x);
    }
}

static void movq_load_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    x->vec[i->reg].q[0] = xmm_source64(v, i, x);
    x->vec[i->reg].q[1] = 0;
}

static void movq_store_xmm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    if (i->rm != RM_MEM) {
        x->vec[i->rm].q[0] = x->vec[i->reg].q[0];
        x->vec[i->rm].q[1] = 0;
    } else {
        mem_store64(v, i->seg, insn_offset(v, i), x->vec[i->reg].q[0]);
    }
}

static void movq2dq(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_mmx_enter(v);

    x->vec[i->reg].q[0] = mmx_get(x, i->rm);
    x->vec[i->reg].q[1] = 0;
    mmx_touch(x);
}

static void movdq2q(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_mmx_enter(v);

    mmx_set(x, i->reg, x->vec[i->rm].q[0]);
}

static void movnti(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = vcpu_state(v);

    store_general(v, i, x, x->gpr[i->reg]);
}


static uint64_t wrap_offset(const struct insn *i, uint64_t offset)
{
    return i->addrsize == 8 ? offset : i->addrsize == 4 ? (uint32_t)offset : (uint16_t)offset;
}

/* Stores the bytes whose mask byte has bit 7 set, as runs. Bytes that are not selected are not
 * accessed, thus never fault (the SDM leaves that to the implementation). */
static void mask_move(struct vcpu *v, const struct insn *i, const struct bp_x86_cpu *x,
                      const uint8_t *data, const uint8_t *mask, unsigned bytes)
{
    uint64_t offset = x->gpr[BP_RDI];
    unsigned start = 0;

    while (start < bytes) {
        unsigned end = start;

        while (end < bytes && (mask[end] & 0x80)) {
            end++;
        }
        if (end > start) {
            mem_store(v, i->seg, wrap_offset(i, offset + start), data + start, end - start);
        }
        start = end + 1;
    }
}

static void maskmovq(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);
    uint64_t data = mmx_get(x, i->reg), mask = mmx_get(x, i->rm);
    uint8_t data_bytes[8], mask_bytes[8];

    for (unsigned n = 0; n < 8; n++) {
        data_bytes[n] = (uint8_t)(data >> 8 * n);
        mask_bytes[n] = (uint8_t)(mask >> 8 * n);
    }
    mmx_touch(x);
    mask_move(v, i, x, data_bytes, mask_bytes, 8);
}

static void maskmovdqu(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    mask_move(v, i, x, x->vec[i->reg].b, x->vec[i->rm].b, 16);
}

static void movmskps(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    const union bp_x86_vec *s = &x->vec[i->rm];

    x->gpr[i->reg] = s->d[0] >> 31 | (s->d[1] >> 31) << 1 | (s->d[2] >> 31) << 2 |
                     (s->d[3] >> 31) << 3;
}

static void movmskpd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    const union bp_x86_vec *s = &x->vec[i->rm];

    x->gpr[i->reg] = s->q[0] >> 63 | (s->q[1] >> 63) << 1;
}

#define MODRM(fn) {fn, OP_MODRM, 0}
#define MEMORY(fn) {fn, OP_MODRM | OP_MEM_ONLY, 0}
#define REGISTER(fn) {fn, OP_MODRM | OP_REG_ONLY, 0}

static const struct opcode table[4][256] = {
    [PREFIX_INDEX_NONE] = {
        [0x10] = MODRM(load_unaligned), [0x11] = MODRM(store_unaligned),
        [0x12] = MODRM(load_low), [0x13] = MEMORY(store_low),
        [0x16] = MODRM(load_high), [0x17] = MEMORY(store_high),
        [0x28] = MODRM(load_aligned), [0x29] = MODRM(store_aligned),
        [0x2b] = MEMORY(store_aligned), [0x50] = REGISTER(movmskps),
        [0x6e] = MODRM(movd_to_mmx), [0x6f] = MODRM(movq_load_mmx),
        [0x7e] = MODRM(movd_from_mmx), [0x7f] = MODRM(movq_store_mmx),
        [0xc3] = MEMORY(movnti), [0xe7] = MEMORY(movq_store_mmx), [0xf7] = REGISTER(maskmovq),
    },
    [PREFIX_INDEX_66] = {
        [0x10] = MODRM(load_unaligned), [0x11] = MODRM(store_unaligned),
        [0x12] = MEMORY(load_low), [0x13] = MEMORY(store_low),
        [0x16] = MEMORY(load_high), [0x17] = MEMORY(store_high),
        [0x28] = MODRM(load_aligned), [0x29] = MODRM(store_aligned),
        [0x2b] = MEMORY(store_aligned), [0x50] = REGISTER(movmskpd),
        [0x6e] = MODRM(movd_to_xmm), [0x6f] = MODRM(load_aligned),
        [0x7e] = MODRM(movd_from_xmm), [0x7f] = MODRM(store_aligned),
        [0xd6] = MODRM(movq_store_xmm), [0xe7] = MEMORY(store_aligned),
        [0xf7] = REGISTER(maskmovdqu),
    },
    [PREFIX_INDEX_F3] = {
        [0x10] = MODRM(movss_load), [0x11] = MODRM(movss_store), [0x12] = MODRM(movsldup),
        [0x16] = MODRM(movshdup), [0x6f] = MODRM(load_unaligned), [0x7e] = MODRM(movq_load_xmm),
        [0x7f] = MODRM(store_unaligned), [0xd6] = REGISTER(movq2dq),
    },
    [PREFIX_INDEX_F2] = {
        [0x10] = MODRM(movsd_load), [0x11] = MODRM(movsd_store), [0x12] = MODRM(movddup),
        [0xd6] = REGISTER(movdq2q), [0xf0] = MEMORY(load_unaligned),
    },
};

const struct opcode *sse_move_opcode(unsigned prefix, uint8_t byte)
{
    return &table[prefix][byte];
}
