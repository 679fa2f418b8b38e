/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SSE and SSE2: the guest's XMM registers are the host's while translated code needs them, so an instruction is
 * what it was, with another memory operand. Tables say what each does with memory. MMX, MXCSR and whatever is
 * not here are the interpreter's. Intel SDM volume 2, appendix A, table A-3.
 */
#include "translate.h"

enum kind {
    NO,
    L16,  /* reads 16 aligned bytes */
    U16,  /* ... of any alignment */
    L8, L4, L2,
    S16,  /* stores 16 aligned bytes */
    SU16, S8, S4,
    R,    /* registers only */
    GR,   /* general register from XMM register */
    GX,   /* general register from XMM register or memory: CVT..2SI */
    XG,   /* XMM register from general register or memory */
    GS,   /* general register or memory from XMM register */
    IMM = 0x20,   /* with an immediate byte */
    FLAGS = 0x40, /* writes the arithmetic flags */
};

#define X4(n) [n] = L16, [n + 1] = L16, [n + 2] = L16, [n + 3] = L16

static const uint8_t plain[256] = {
    [0x10] = U16, [0x11] = SU16, [0x12] = L8, [0x13] = S8, [0x14] = L16, [0x15] = L16, [0x16] = L8, [0x17] = S8,
    [0x28] = L16, [0x29] = S16, [0x2b] = S16, [0x2e] = L4 | FLAGS, [0x2f] = L4 | FLAGS, [0x50] = GR,
    [0x51] = L16, X4(0x54), [0x58] = L16, [0x59] = L16, [0x5a] = L8, [0x5b] = L16, X4(0x5c),
    [0xc2] = L16 | IMM, [0xc6] = L16 | IMM,
};
static const uint8_t p66[256] = {
    [0x10] = U16, [0x11] = SU16, [0x12] = L8, [0x13] = S8, [0x14] = L16, [0x15] = L16, [0x16] = L8, [0x17] = S8,
    [0x28] = L16, [0x29] = S16, [0x2b] = S16, [0x2e] = L8 | FLAGS, [0x2f] = L8 | FLAGS, [0x50] = GR,
    [0x51] = L16, X4(0x54), X4(0x58), X4(0x5c), X4(0x60), X4(0x64), X4(0x68), [0x6c] = L16, [0x6d] = L16,
    [0x6e] = XG, [0x6f] = L16, [0x70] = L16 | IMM, [0x71] = R | IMM, [0x72] = R | IMM, [0x73] = R | IMM,
    [0x74] = L16, [0x75] = L16, [0x76] = L16, [0x7e] = GS, [0x7f] = S16, [0xc2] = L16 | IMM,
    [0xc5] = GR | IMM, [0xc6] = L16 | IMM, [0xd1] = L16, [0xd2] = L16, [0xd3] = L16, [0xd4] = L16,
    [0xd5] = L16, [0xd6] = S8, [0xd7] = GR, X4(0xd8), X4(0xdc), X4(0xe0), [0xe4] = L16, [0xe5] = L16,
    [0xe6] = L16, [0xe7] = S16, X4(0xe8), X4(0xec), [0xf1] = L16, [0xf2] = L16, [0xf3] = L16, [0xf4] = L16,
    [0xf5] = L16, [0xf6] = L16, X4(0xf8), [0xfc] = L16, [0xfd] = L16, [0xfe] = L16,
};
static const uint8_t pf3[256] = {
    [0x10] = L4, [0x11] = S4, [0x2a] = XG, [0x2c] = GX, [0x2d] = GX, [0x51] = L4, [0x58] = L4, [0x59] = L4,
    [0x5a] = L4, [0x5b] = L16, [0x5c] = L4, [0x5d] = L4, [0x5e] = L4, [0x5f] = L4, [0x6f] = U16,
    [0x70] = L16 | IMM, [0x7e] = L8, [0x7f] = SU16, [0xc2] = L4 | IMM, [0xe6] = L8,
};
static const uint8_t pf2[256] = {
    [0x10] = L8, [0x11] = S8, [0x2a] = XG, [0x2c] = GX, [0x2d] = GX, [0x51] = L8, [0x58] = L8, [0x59] = L8,
    [0x5a] = L8, [0x5c] = L8, [0x5d] = L8, [0x5e] = L8, [0x5f] = L8, [0x70] = L16 | IMM, [0xc2] = L8 | IMM,
    [0xe6] = L16,
};

static uint8_t kind_of(const struct insn *i)
{
    const uint8_t *table = i->prefixes & PREFIX_REPNE ? pf2 : i->prefixes & PREFIX_REP ? pf3 :
                           i->prefixes & PREFIX_66 ? p66 : plain;

    return i->opcode < 256 ? table[i->opcode] : NO;
}

static uint32_t prefix(const struct insn *i)
{
    return i->prefixes & PREFIX_REPNE ? E_F2 : i->prefixes & PREFIX_REP ? E_F3 :
           i->prefixes & PREFIX_66 ? E_66 : 0;
}

struct rule rule_sse(const struct tcg_cpu *c, const struct insn *i)
{
    uint8_t k = kind_of(i);
    bool mem = i->rm == RM_MEM;
    struct rule r = {.simd = 1, .memory = mem, .flags = k & FLAGS ? FLAGS_SET : FLAGS_NONE};

    (void)c;
    k &= 0x1f;
    if (k == R && !((i->opcode == 0x73 ? 0xcc : 0x54) >> (i->modrm >> 3 & 7) & 1)) /* of its group */
        return (struct rule){0};
    if (k == NO || (mem && (k == R || k == GR)))
        return (struct rule){0};
    r.emit = k == GR || k == GX || k == XG || k == GS ? op_sse_gpr : op_sse;
    return r;
}

static void operand_of(uint8_t k, unsigned *ret_size, unsigned *ret_align, bool *ret_store)
{
    *ret_align = k == L16 || k == S16 ? 16 : 0;
    *ret_store = k >= S16 && k <= S4;
    switch (k) {
    case L8: case S8: *ret_size = 8; break;
    case L4: case S4: *ret_size = 4; break;
    case L2: *ret_size = 2; break;
    default: *ret_size = 16;
    }
}

unsigned sse_operand(const struct insn *i, bool *ret_write)
{
    unsigned size, align;

    operand_of(kind_of(i) & 0x1f, &size, &align, ret_write);
    return align ? 0 : size;
}

void op_sse(struct tr *t, const struct insn *i)
{
    uint8_t k = kind_of(i);
    unsigned size, align;
    struct rm rm;
    bool store;

    operand_of(k & 0x1f, &size, &align, &store);
    if (i->rm != RM_MEM) {
        rm = rm_reg(i->rm);
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, size, store ? ACCESS_WRITE : ACCESS_READ, align);
    }
    emit(&t->c, 0x0f00u | i->opcode | prefix(i), 4, (k & 0x1f) == R ? i->modrm >> 3 & 7 : i->reg, &rm);
    if (k & IMM)
        put8(&t->c, (unsigned)i->imm);
    if (k & FLAGS)
        flags_set(t);
    if (store && i->rm == RM_MEM)
        wrote(t);
}

/* Between general and XMM registers; one of both may be memory. */
void op_sse_gpr(struct tr *t, const struct insn *i)
{
    uint8_t k = kind_of(i) & 0x1f;
    unsigned size = i->rex & 8 ? 8 : 4;
    uint32_t opcode = 0x0f00u | i->opcode | prefix(i);
    struct rm rm;

    if (k == XG || k == GS) {
        bool store = k == GS;

        if (i->rm != RM_MEM) {
            rm = rm_reg(store ? dest_gpr(t, i->rm, SCRATCH1) : use_gpr(t, i->rm, SCRATCH1));
            emit(&t->c, opcode, size, i->reg, &rm);
            if (store)
                done_gpr(t, i->rm, rm.reg);
            return;
        }
        struct where w = where_of(t, i);

        rm = access(t, i, &w, size, store ? ACCESS_WRITE : ACCESS_READ, 0);
        emit(&t->c, opcode, size, i->reg, &rm);
        if (store)
            wrote(t);
        return;
    }
    if (i->rm != RM_MEM) {
        rm = rm_reg(i->rm);
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->prefixes & PREFIX_REPNE ? 8 : 4, ACCESS_READ, 0);
    }
    int dst = dest_gpr(t, i->reg, SCRATCH0);

    emit(&t->c, opcode, k == GR ? 4 : size, dst, &rm);
    if (kind_of(i) & IMM)
        put8(&t->c, (unsigned)i->imm);
    done_gpr(t, i->reg, dst);
}
