/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SSSE3 to SSE4.2, AES, SHA, AVX, AVX2, FMA and F16C: like op-sse.c, the instruction is what it was, on the
 * guest's registers in the host's, with another memory operand. Operands come from the interpreter's tables where
 * an entry has the common form; what moves otherwise is listed here. Left to the interpreter: RCP and RSQRT (their bits
 * are the host's), string compares, masked moves, gathers, state. Intel SDM volume 2.
 */
#include "translate.h"
#include "vector.h"

enum form {
    NO,
    LOAD,        /* vector register from vector register or memory */
    STORE,       /* the other way */
    TO_GENERAL,  /* general register from vector register or memory */
    FROM_GENERAL, /* vector register from general register or memory */
    STORE_GENERAL, /* general register or memory from vector register */
    BARE,        /* no operands */
    GROUP,       /* ModRM.reg is part of the opcode */
};

struct shape {
    uint8_t form, size, align; /* of memory, bytes */
    bool flags, imm;
};

static unsigned mandatory(const struct insn *i)
{
    return i->prefixes & PREFIX_REPNE ? 3 : i->prefixes & PREFIX_REP ? 2 : i->prefixes & PREFIX_66 ? 1 : 0;
}

/* Entries of their own function, map 1: VEX only. */
static struct shape shape_1(const struct insn *i, unsigned pp, unsigned bytes)
{
    unsigned scalar = pp == 3 ? 8 : pp == 2 ? 4 : bytes, wide = i->rex & 8 ? 8 : 4;
    uint8_t all = (uint8_t)bytes;

    switch (i->opcode & 0xff) {
    case 0x10: return (struct shape){.form = LOAD, .size = (uint8_t)scalar};
    case 0x11: return (struct shape){.form = STORE, .size = (uint8_t)scalar};
    case 0x12: case 0x16:
        return (struct shape){.form = LOAD, .size = pp < 2 ? 8 : pp == 3 && bytes == 16 ? 8 : all};
    case 0x13: case 0x17: return (struct shape){.form = STORE, .size = 8};
    case 0x28: return (struct shape){.form = LOAD, .size = all, .align = all};
    case 0x29: case 0x2b: case 0xe7: return (struct shape){.form = STORE, .size = all, .align = all};
    case 0x2a: return (struct shape){.form = FROM_GENERAL, .size = (uint8_t)wide};
    case 0x2c: case 0x2d: return (struct shape){.form = TO_GENERAL, .size = pp == 3 ? 8 : 4};
    case 0x2e: case 0x2f: return (struct shape){.form = LOAD, .size = pp ? 8 : 4, .flags = true};
    case 0x50: case 0xd7: return (struct shape){.form = TO_GENERAL};
    case 0x6e: return (struct shape){.form = FROM_GENERAL, .size = (uint8_t)wide};
    case 0x7e:
        return pp == 2 ? (struct shape){.form = LOAD, .size = 8} :
                         (struct shape){.form = STORE_GENERAL, .size = (uint8_t)wide};
    case 0x6f: return (struct shape){.form = LOAD, .size = all, .align = pp == 1 ? all : 0};
    case 0x7f: return (struct shape){.form = STORE, .size = all, .align = pp == 1 ? all : 0};
    case 0x71: case 0x72: case 0x73: return (struct shape){.form = GROUP, .imm = true};
    case 0x77: return (struct shape){.form = BARE};
    case 0xc4: return (struct shape){.form = FROM_GENERAL, .size = 2, .imm = true};
    case 0xc5: return (struct shape){.form = TO_GENERAL, .imm = true};
    case 0xd6: return (struct shape){.form = STORE, .size = 8};
    case 0xf0: return (struct shape){.form = LOAD, .size = all};
    }
    return (struct shape){.form = NO};
}

static bool is_fma(const struct insn *i)
{
    unsigned low = i->opcode & 15, high = i->opcode >> 4 & 15;

    return i->map == 2 && i->prefixes & PREFIX_VEX && low >= 6 && high >= 9 && high <= 11;
}

static struct shape shape_23(const struct insn *i, unsigned bytes)
{
    unsigned wide = i->prefixes & PREFIX_VEX ? i->prefixes & PREFIX_W : i->rex & 8;
    bool vex = i->prefixes & PREFIX_VEX;
    uint8_t opcode = (uint8_t)i->opcode, all = (uint8_t)bytes, align = vex ? 0 : 16;

    if (is_fma(i))
        return (struct shape){.form = LOAD, .size = opcode & 1 && (opcode & 15) >= 8 ? (wide ? 8 : 4) : all};
    if (i->map == 2) {
        switch (opcode) {
        case 0x0e: case 0x0f: case 0x17:
            return (struct shape){.form = LOAD, .size = all, .align = align, .flags = true};
        case 0x2a: return (struct shape){.form = LOAD, .size = all, .align = all};
        }
        return (struct shape){.form = NO};
    }
    switch (opcode) {
    case 0x14: return (struct shape){.form = STORE_GENERAL, .size = 1, .imm = true};
    case 0x15: return (struct shape){.form = STORE_GENERAL, .size = 2, .imm = true};
    case 0x16: case 0x17:
        return (struct shape){.form = STORE_GENERAL, .size = opcode == 0x16 && i->rex & 8 ? 8 : 4, .imm = true};
    case 0x19: case 0x39: return (struct shape){.form = STORE, .size = 16, .imm = true};
    case 0x20: return (struct shape){.form = FROM_GENERAL, .size = 1, .imm = true};
    case 0x21: return (struct shape){.form = LOAD, .size = 4, .imm = true};
    case 0x22: return (struct shape){.form = FROM_GENERAL, .size = i->rex & 8 ? 8 : 4, .imm = true};
    }
    return (struct shape){.form = NO};
}

static unsigned bytes_of(const struct insn *i, const struct vec_op *op)
{
    return i->prefixes & PREFIX_L && !(op->flags & V_SCALAR) ? 32 : 16;
}

static struct shape shape_of(const struct insn *i, const struct vec_op *op)
{
    bool vex = i->prefixes & PREFIX_VEX;
    unsigned bytes = bytes_of(i, op), load = op->load;

    if (op->run)
        return i->map == 1 ? shape_1(i, mandatory(i), bytes) : shape_23(i, bytes);
    load = !load ? op->flags & V_COUNT ? 16 : bytes : load & 0x80 ? bytes >> (load & 3) : load;
    return (struct shape){.form = LOAD, .size = (uint8_t)load, .imm = op->flags & V_IMM,
                          .align = !vex && load == 16 && !(op->flags & V_UNALIGNED) ? 16 : 0};
}

/* As the interpreter checks it: otherwise it says what is wrong. */
static bool well_formed(const struct insn *i, const struct vec_op *op)
{
    bool vex = i->prefixes & PREFIX_VEX, wide = i->prefixes & PREFIX_W;
    unsigned flags = op->flags;

    /* VMOVSS, VMOVSD of memory, VZEROUPPER: no first source */
    if (vex && i->map == 1 && i->rex >> 4 &&
        (((i->opcode & 0xfe) == 0x10 && i->rm == RM_MEM) || i->opcode == 0x77))
        return false;
    if ((flags & V_REG && i->rm == RM_MEM) || (flags & V_MEM && i->rm != RM_MEM))
        return false;
    return !vex || !((flags & V_UNARY && i->rex >> 4) || (flags & V_W0 && wide) || (flags & V_W1 && !wide) ||
                     (flags & V_L1 && bytes_of(i, op) != 32));
}

static bool host_executes(const struct insn *i, const struct vec_op *op)
{
    bool vex = i->prefixes & PREFIX_VEX;
    unsigned need = !vex ? op->legacy : bytes_of(i, op) == 32 ? op->vex256 : op->vex;

    if (vex && !__builtin_cpu_supports("avx2"))
        return false;
    switch (need) {
    case NEED_SSSE3: return __builtin_cpu_supports("ssse3");
    case NEED_SSE41: return __builtin_cpu_supports("sse4.1");
    case NEED_SSE42: return __builtin_cpu_supports("sse4.2");
    case NEED_AES: return __builtin_cpu_supports("aes");
    case NEED_PCLMUL: return __builtin_cpu_supports("pclmul");
    case NEED_AVX: case NEED_AVX2: return true;
    case NEED_FMA: return __builtin_cpu_supports("fma");
    case NEED_VAES: return __builtin_cpu_supports("vaes");
    case NEED_VPCLMUL: return __builtin_cpu_supports("vpclmulqdq");
    }
    return false; /* SHA, F16C: not asked for here */
}

static const struct vec_op *op_of(const struct insn *i)
{
    return vec_look_up(i->map, mandatory(i), (uint8_t)i->opcode);
}

/* 0F 71 to 73: the shift that modrm.reg names is there. */
static bool shift_group_valid(const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7, opcode = i->opcode & 0xff;

    return op == 2 || op == 6 || (op == 4 && opcode != 0x73) || (opcode == 0x73 && (op == 3 || op == 7));
}

struct rule rule_vex(const struct tcg_cpu *c, const struct insn *i)
{
    bool vex = i->prefixes & PREFIX_VEX, mem = i->rm == RM_MEM;
    const struct vec_op *op = i->map >= 1 && i->map <= 3 ? op_of(i) : NULL;
    struct shape s;

    if (!op || !(c->mode_now & MODE_SIMD) || (vex ? !(c->mode_now & MODE_AVX) : i->map == 1) ||
        i->prefixes & PREFIX_LOCK || !well_formed(i, op) || !host_executes(i, op))
        return (struct rule){0};
    if (i->map == 2 && mandatory(i) != 1) /* MMX registers, SHA */
        return (struct rule){0};
    if (i->map == 1 && (i->opcode & 0xfe) == 0x52) /* RCP, RSQRT */
        return (struct rule){0};
    if (i->map == 3 && mandatory(i) != 1)
        return (struct rule){0};
    if (i->map == 3 && (i->opcode & 0xfe) == 0x40) /* DPPS, DPPD: which of several NaNs they give is the host's */
        return (struct rule){0};
    s = shape_of(i, op);
    if (s.form == NO || (s.form == GROUP && !shift_group_valid(i)) || (mem && !s.size))
        return (struct rule){0};
    return (struct rule){.emit = op_vex, .simd = 1, .memory = mem && s.form != BARE,
                         .flags = s.flags ? FLAGS_SET : FLAGS_NONE};
}

unsigned vex_operand(const struct insn *i, bool *ret_write)
{
    struct shape s = shape_of(i, op_of(i));

    *ret_write = s.form == STORE || s.form == STORE_GENERAL;
    return s.align > 1 || s.form == BARE ? 0 : s.size;
}

/* The instruction again; `wide` as it was. */
static void put_again(struct tr *t, const struct insn *i, int reg, const struct rm *rm)
{
    unsigned pp = mandatory(i);

    if (i->prefixes & PREFIX_VEX) {
        emit_vex(&t->c, i->map, pp, i->prefixes & PREFIX_W, i->prefixes & PREFIX_L, (uint8_t)i->opcode, reg,
                 i->rex >> 4, rm);
        return;
    }
    emit(&t->c, (i->map == 2 ? 0x0f3800u : 0x0f3a00u) | (uint8_t)i->opcode | (pp == 1 ? E_66 : 0),
         i->rex & 8 ? 8 : 4, reg, rm);
}

static struct rm operand(struct tr *t, const struct insn *i, const struct shape *s, bool store)
{
    struct where w;

    if (i->rm != RM_MEM)
        return rm_reg(i->rm);
    w = where_of(t, i);
    return access(t, i, &w, s->size, store ? ACCESS_WRITE : ACCESS_READ, s->align);
}

/* The r/m operand is a general register or memory. */
static void general_rm(struct tr *t, const struct insn *i, const struct shape *s)
{
    bool store = s->form == STORE_GENERAL, mem = i->rm == RM_MEM;
    struct rm rm;

    if (mem)
        rm = operand(t, i, s, store);
    else
        rm = rm_reg(store ? dest_gpr(t, i->rm, SCRATCH1) : use_gpr(t, i->rm, SCRATCH1));
    put_again(t, i, i->reg, &rm);
    if (s->imm)
        put8(&t->c, (unsigned)i->imm);
    if (store && !mem)
        done_gpr(t, i->rm, rm.reg);
    if (store && mem)
        wrote(t);
}

void op_vex(struct tr *t, const struct insn *i)
{
    const struct vec_op *op = op_of(i);
    struct shape s = shape_of(i, op);
    int reg = s.form == GROUP ? i->modrm >> 3 & 7 : i->reg;
    bool store = s.form == STORE;
    struct rm rm;

    if (s.form == BARE) {
        put8(&t->c, 0xc5);
        put8(&t->c, 0xf8 | (i->prefixes & PREFIX_L ? 4 : 0));
        put8(&t->c, 0x77);
        return;
    }
    if (s.form == FROM_GENERAL || s.form == STORE_GENERAL) {
        general_rm(t, i, &s);
        return;
    }
    rm = operand(t, i, &s, store);
    if (s.form == TO_GENERAL)
        reg = dest_gpr(t, i->reg, SCRATCH0);
    put_again(t, i, reg, &rm);
    if (s.imm)
        put8(&t->c, (unsigned)i->imm);
    if (s.form == TO_GENERAL)
        done_gpr(t, i->reg, reg);
    if (s.flags)
        flags_set(t);
    if (store && i->rm == RM_MEM)
        wrote(t);
}
