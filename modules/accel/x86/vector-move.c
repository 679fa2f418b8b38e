/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Vector moves, inserts, extracts, masked moves and gathers, with VEX prefixes and of SSE4.1; conversions
 * with VEX and F16C. Intel SDM volume 2.
 */
#include "vector.h"

typedef union bp_x86_vec vec;
#define RUN(name) static void name(struct vec_run *r)

static bool in_memory(const struct vec_run *r)
{
    return r->i->rm == RM_MEM;
}
static unsigned pp(const struct vec_run *r)
{
    unsigned p = r->i->prefixes;

    return p & PREFIX_REPNE ? 3 : p & PREFIX_REP ? 2 : p & PREFIX_66 ? 1 : 0;
}
static void no_vvvv(struct vec_run *r)
{
    if (r->vex && vec_vvvv(r))
        vec_undefined(r);
}
static vec *reg(const struct vec_run *r)
{
    return &r->x->vec[r->i->reg];
}

RUN(load_all)
{
    vec b;

    vec_source(r, &b, r->bytes);
    vec_put(r, r->i->reg, &b, r->bytes);
}
RUN(store_all)
{
    if (in_memory(r))
        vec_store(r, reg(r), r->bytes);
    else
        vec_put(r, r->i->rm, &(vec){.q = {reg(r)->q[0], reg(r)->q[1], reg(r)->q[2], reg(r)->q[3]}}, r->bytes);
}

/* VMOVSS, VMOVSD: of memory alone, of a register into a copy of the first source. */
RUN(load_scalar)
{
    unsigned size = pp(r) == 3 ? 8 : 4;
    vec b, d = {.q = {0}};

    if (in_memory(r)) {
        no_vvvv(r);
        vec_load(r, &d, size);
    } else {
        b = r->x->vec[r->i->rm];
        d = r->x->vec[vec_vvvv(r)];
        memcpy(&d, &b, size);
    }
    vec_put(r, r->i->reg, &d, 16);
}
RUN(store_scalar)
{
    unsigned size = pp(r) == 3 ? 8 : 4;
    vec d, b = *reg(r);

    if (in_memory(r)) {
        no_vvvv(r);
        vec_store(r, &b, size);
        return;
    }
    d = r->x->vec[vec_vvvv(r)];
    memcpy(&d, &b, size);
    vec_put(r, r->i->rm, &d, 16);
}

/* VMOVLPS, VMOVHPS and their register forms VMOVHLPS, VMOVLHPS. */
RUN(load_half)
{
    bool high = (r->i->opcode & 0xff) == 0x16;
    vec d = r->x->vec[vec_vvvv(r)], b;

    if (in_memory(r))
        vec_load(r, &b, 8);
    else if (pp(r) == 1)
        vec_undefined(r);
    else
        b.q[0] = r->x->vec[r->i->rm].q[high ? 0 : 1];
    d.q[high] = b.q[0];
    vec_put(r, r->i->reg, &d, 16);
}
RUN(store_half)
{
    vec_store(r, &reg(r)->q[(r->i->opcode & 0xff) == 0x17], 8);
}

/* VMOVSLDUP, VMOVSHDUP, VMOVDDUP */
RUN(duplicate)
{
    bool doubles = pp(r) == 3, odd = (r->i->opcode & 0xff) == 0x16;
    vec b, d;

    vec_source(r, &b, doubles && r->bytes == 16 ? 8 : r->bytes);
    for (unsigned n = 0; n < r->bytes / 4; n++)
        d.d[n] = doubles ? b.d[(n & 4) + (n & 1)] : b.d[(n & ~1u) + odd];
    vec_put(r, r->i->reg, &d, r->bytes);
}

/* MOVMSKPS, MOVMSKPD, PMOVMSKB */
RUN(signs)
{
    uint8_t opcode = (uint8_t)r->i->opcode;
    unsigned size = opcode == 0xd7 ? 1 : pp(r) ? 8 : 4;
    const vec *s = &r->x->vec[r->i->rm];
    uint32_t mask = 0;

    for (unsigned n = 0; n < r->bytes / size; n++)
        mask |= (uint32_t)(s->b[n * size + size - 1] >> 7) << n;
    r->x->gpr[r->i->reg] = mask;
}

/* VMOVD, VMOVQ: general registers and memory */
RUN(load_general)
{
    unsigned size = r->i->rex & 8 ? 8 : 4;
    vec d = {.q = {0}};

    if (in_memory(r))
        vec_load(r, &d, size);
    else
        memcpy(&d, &r->x->gpr[r->i->rm], size);
    vec_put(r, r->i->reg, &d, 16);
}
RUN(store_general)
{
    unsigned size = r->i->rex & 8 ? 8 : 4;

    if (in_memory(r))
        vec_store(r, reg(r), size);
    else
        r->x->gpr[r->i->rm] = size == 8 ? reg(r)->q[0] : reg(r)->d[0];
}
RUN(load_quad)
{
    vec b, d = {.q = {0}};

    vec_source(r, &b, 8);
    d.q[0] = b.q[0];
    vec_put(r, r->i->reg, &d, 16);
}
RUN(store_quad)
{
    vec d = {.q = {reg(r)->q[0]}};

    if (in_memory(r))
        vec_store(r, &d, 8);
    else
        vec_put(r, r->i->rm, &d, 16);
}

/* ---- inserts and extracts ---- */

RUN(insert_general) /* PINSRB, PINSRW, PINSRD, PINSRQ */
{
    uint8_t opcode = (uint8_t)r->i->opcode;
    unsigned size = opcode == 0x20 ? 1 : opcode == 0xc4 ? 2 : r->i->rex & 8 ? 8 : 4;
    uint64_t value = 0;
    vec d;

    if (in_memory(r))
        vec_load(r, &value, size);
    else
        value = r->x->gpr[r->i->rm];
    d = r->x->vec[r->vex ? vec_vvvv(r) : r->i->reg];
    memcpy(d.b + (r->imm * size & 15), &value, size);
    vec_put(r, r->i->reg, &d, 16);
}
RUN(extract_general) /* PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS; C5: of the register in ModRM.rm */
{
    uint8_t opcode = (uint8_t)r->i->opcode;
    unsigned size = opcode == 0x14 ? 1 : opcode == 0x15 || opcode == 0xc5 ? 2 : opcode == 0x16 && r->i->rex & 8 ? 8 : 4;
    const vec *s = opcode == 0xc5 ? &r->x->vec[r->i->rm] : reg(r);
    uint64_t value = 0;

    memcpy(&value, s->b + (r->imm * size & 15), size);
    if (in_memory(r))
        vec_store(r, &value, size);
    else
        r->x->gpr[opcode == 0xc5 ? r->i->reg : r->i->rm] = value;
}
RUN(insertps)
{
    vec d, b;
    uint32_t value;

    vec_source(r, &b, 4);
    value = b.d[in_memory(r) ? 0 : r->imm >> 6];
    d = r->x->vec[r->vex ? vec_vvvv(r) : r->i->reg];
    d.d[r->imm >> 4 & 3] = value;
    for (unsigned n = 0; n < 4; n++)
        d.d[n] = r->imm >> n & 1 ? 0 : d.d[n];
    vec_put(r, r->i->reg, &d, 16);
}
RUN(extract_lane) /* VEXTRACTF128, VEXTRACTI128 */
{
    vec d;

    memcpy(&d, reg(r)->b + 16 * (r->imm & 1), 16);
    if (in_memory(r))
        vec_store(r, &d, 16);
    else
        vec_put(r, r->i->rm, &d, 16);
}

/* ---- masked ---- */

static unsigned mask_size(const struct vec_run *r)
{
    uint8_t opcode = (uint8_t)r->i->opcode;

    return opcode >= 0x8c ? (r->wide ? 8 : 4) : opcode & 1 ? 8 : 4;
}
static bool chosen(const vec *mask, unsigned n, unsigned size)
{
    return mask->b[n * size + size - 1] >> 7;
}
/* Of element n; addresses of 32 bits wrap there. */
static uint64_t element_offset(const struct vec_run *r, uint64_t offset, unsigned n, unsigned size)
{
    offset += n * size;
    return r->i->addrsize == 8 ? offset : r->i->addrsize == 4 ? (uint32_t)offset : (uint16_t)offset;
}
RUN(masked_load)
{
    unsigned size = mask_size(r);
    const vec *mask = &r->x->vec[vec_vvvv(r)];
    uint64_t offset = insn_offset(r->v, r->i);
    vec d = {.q = {0}};

    for (unsigned n = 0; n < r->bytes / size; n++) {
        if (chosen(mask, n, size))
            mem_load(r->v, r->i->seg, element_offset(r, offset, n, size), d.b + n * size, size);
    }
    vec_put(r, r->i->reg, &d, r->bytes);
}
RUN(masked_store)
{
    unsigned size = mask_size(r), seg = r->i->seg;
    const vec *mask = &r->x->vec[vec_vvvv(r)];
    uint64_t offset = insn_offset(r->v, r->i);

    for (unsigned n = 0; n < r->bytes / size; n++) { /* all are possible before the first is done */
        if (chosen(mask, n, size))
            probe_write(r->v, seg_linear(r->v, seg, element_offset(r, offset, n, size), size, true), size, seg);
    }
    for (unsigned n = 0; n < r->bytes / size; n++) {
        if (chosen(mask, n, size))
            mem_store(r->v, seg, element_offset(r, offset, n, size), reg(r)->b + n * size, size);
    }
}
RUN(masked_bytes) /* VMASKMOVDQU: to DS:rDI */
{
    const vec *mask = &r->x->vec[r->i->rm];
    uint64_t offset = r->x->gpr[BP_RDI];
    unsigned seg = r->i->seg;

    offset = r->i->addrsize == 8 ? offset : r->i->addrsize == 4 ? (uint32_t)offset : (uint16_t)offset;
    for (unsigned n = 0; n < 16; n++) {
        if (mask->b[n] >> 7)
            probe_write(r->v, seg_linear(r->v, seg, offset + n, 1, true), 1, seg);
    }
    for (unsigned n = 0; n < 16; n++) {
        if (mask->b[n] >> 7)
            mem_store8(r->v, seg, offset + n, reg(r)->b[n]);
    }
}

/* Each element that was loaded is done for good: what faults later goes on from there. */
RUN(gather)
{
    const struct insn *i = r->i;
    unsigned size = r->wide ? 8 : 4, index_size = i->opcode & 1 ? 8 : 4, mask_reg = vec_vvvv(r);
    unsigned index_reg = i->index == NO_REG ? 4u : i->index, count = r->bytes / (size > index_size ? size : index_size);
    vec index, *mask = &r->x->vec[mask_reg], *d = reg(r);

    if ((i->modrm & 7) != 4 || i->addrsize == 2 || i->reg == mask_reg || i->reg == index_reg ||
        mask_reg == index_reg)
        vec_undefined(r);
    index = r->x->vec[index_reg];
    for (unsigned n = 0; n < count; n++) {
        uint64_t at = index_size == 8 ? index.q[n] : (uint64_t)(int64_t)(int32_t)index.d[n];

        at = *i->base_at + (at << i->scale) + (uint64_t)i->disp;
        if (i->addrsize == 4)
            at = (uint32_t)at;
        if (chosen(mask, n, size))
            mem_load(r->v, i->seg, at, d->b + n * size, size);
        memset(mask->b + n * size, 0, size);
    }
    memset(d->b + count * size, 0, sizeof(*d) - count * size);
    memset(mask, 0, sizeof(*mask));
}

/* ---- state ---- */

RUN(zero)
{
    bool all = r->i->prefixes & PREFIX_L;

    no_vvvv(r);
    for (unsigned n = 0; n < (code_is_64(r->x) ? 16 : 8); n++)
        memset(r->x->vec[n].b + (all ? 0 : 16), 0, sizeof(vec) - (all ? 0 : 16));
}
RUN(control) /* VLDMXCSR, VSTMXCSR */
{
    unsigned op = r->i->modrm >> 3 & 7;
    uint32_t value = r->x->mxcsr;

    if (op == 3) {
        vec_store(r, &value, 4);
        return;
    }
    if (op != 2)
        vec_undefined(r);
    vec_load(r, &value, 4);
    if (value & ~MXCSR_VALID)
        raise_exception_code(r->v, EXC_GP, 0);
    r->x->mxcsr = value;
}

#define A1 NEED_AVX
#define A2 NEED_AVX2
#define MOVE(fn, f) {.run = fn, .vex = A1, .vex256 = A1, .flags = f}
#define MOVE128(fn, f) {.run = fn, .vex = A1, .flags = f}
#define NEW128(fn, f) {.run = fn, .legacy = NEED_SSE41, .vex = A1, .flags = f}

static const struct vec_op map1[4][256] = {
    {[0x10] = MOVE(load_all, V_UNARY), [0x11] = MOVE(store_all, V_UNARY), [0x12] = MOVE128(load_half, 0),
     [0x13] = MOVE128(store_half, V_UNARY | V_MEM), [0x16] = MOVE128(load_half, 0),
     [0x17] = MOVE128(store_half, V_UNARY | V_MEM), [0x28] = MOVE(load_all, V_UNARY | V_ALIGNED),
     [0x29] = MOVE(store_all, V_UNARY | V_ALIGNED), [0x2b] = MOVE(store_all, V_UNARY | V_ALIGNED | V_MEM),
     [0x50] = MOVE(signs, V_UNARY | V_REG), [0x77] = MOVE(zero, 0), [0xae] = MOVE128(control, V_UNARY | V_MEM)},
    {[0x10] = MOVE(load_all, V_UNARY), [0x11] = MOVE(store_all, V_UNARY), [0x12] = MOVE128(load_half, V_MEM),
     [0x13] = MOVE128(store_half, V_UNARY | V_MEM), [0x16] = MOVE128(load_half, V_MEM),
     [0x17] = MOVE128(store_half, V_UNARY | V_MEM), [0x28] = MOVE(load_all, V_UNARY | V_ALIGNED),
     [0x29] = MOVE(store_all, V_UNARY | V_ALIGNED), [0x2b] = MOVE(store_all, V_UNARY | V_ALIGNED | V_MEM),
     [0x50] = MOVE(signs, V_UNARY | V_REG), [0x6e] = MOVE128(load_general, V_UNARY),
     [0x7e] = MOVE128(store_general, V_UNARY), [0xd6] = MOVE128(store_quad, V_UNARY),
     [0x6f] = MOVE(load_all, V_UNARY | V_ALIGNED), [0x7f] = MOVE(store_all, V_UNARY | V_ALIGNED),
     [0xe7] = MOVE(store_all, V_UNARY | V_ALIGNED | V_MEM), [0xf7] = MOVE128(masked_bytes, V_UNARY | V_REG),
     [0xd7] = {.run = signs, .vex = A1, .vex256 = A2, .flags = V_UNARY | V_REG},
     [0xc4] = MOVE128(insert_general, V_IMM), [0xc5] = MOVE128(extract_general, V_IMM | V_UNARY | V_REG)},
    {[0x10] = MOVE128(load_scalar, V_SCALAR), [0x11] = MOVE128(store_scalar, V_SCALAR),
     [0x12] = MOVE(duplicate, V_UNARY), [0x16] = MOVE(duplicate, V_UNARY), [0x6f] = MOVE(load_all, V_UNARY),
     [0x7f] = MOVE(store_all, V_UNARY), [0x7e] = MOVE128(load_quad, V_UNARY)},
    {[0x10] = MOVE128(load_scalar, V_SCALAR), [0x11] = MOVE128(store_scalar, V_SCALAR),
     [0x12] = MOVE(duplicate, V_UNARY), [0xf0] = MOVE(load_all, V_UNARY | V_MEM)},
};
static const struct vec_op map2[256] = {
    [0x2a] = {.run = load_all, .legacy = NEED_SSE41, .vex = A1, .vex256 = A2, .flags = V_UNARY | V_ALIGNED | V_MEM},
    [0x2c] = MOVE(masked_load, V_MEM | V_W0), [0x2d] = MOVE(masked_load, V_MEM | V_W0),
    [0x2e] = MOVE(masked_store, V_MEM | V_W0), [0x2f] = MOVE(masked_store, V_MEM | V_W0),
    [0x8c] = {.run = masked_load, .vex = A2, .vex256 = A2, .flags = V_MEM},
    [0x8e] = {.run = masked_store, .vex = A2, .vex256 = A2, .flags = V_MEM},
#define GATHER {.run = gather, .vex = A2, .vex256 = A2, .flags = V_MEM}
    [0x90] = GATHER, [0x91] = GATHER, [0x92] = GATHER, [0x93] = GATHER,
};
static const struct vec_op map3[256] = {
    [0x14] = NEW128(extract_general, V_IMM | V_UNARY), [0x15] = NEW128(extract_general, V_IMM | V_UNARY),
    [0x16] = NEW128(extract_general, V_IMM | V_UNARY), [0x17] = NEW128(extract_general, V_IMM | V_UNARY),
    [0x20] = NEW128(insert_general, V_IMM), [0x21] = NEW128(insertps, V_IMM), [0x22] = NEW128(insert_general, V_IMM),
    [0x19] = MOVE(extract_lane, V_IMM | V_UNARY | V_W0 | V_L1),
    [0x39] = {.run = extract_lane, .vex = A2, .vex256 = A2, .flags = V_IMM | V_UNARY | V_W0 | V_L1},
};

const struct vec_op *vec_move_op(unsigned map, unsigned prefix, uint8_t byte)
{
    if (map == 1)
        return &map1[prefix][byte];
    return prefix != 1 ? NULL : map == 2 ? &map2[byte] : &map3[byte];
}
