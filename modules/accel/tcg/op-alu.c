/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic and logic: the eight operations, TEST, INC, DEC, NOT, NEG, multiplication and division. */
#include "translate.h"

enum { OP_ADC = 2, OP_SBB = 3, OP_CMP = 7 };

static uint32_t width(const struct insn *i)
{
    return i->opsize == 1 ? E_BYTE : 0;
}
static uint32_t rm_width(const struct insn *i)
{
    return i->opsize == 1 ? E_RM8 : 0;
}
static bool uses_carry(unsigned op)
{
    return op == OP_ADC || op == OP_SBB;
}
static uint32_t lock(const struct insn *i)
{
    return i->prefixes & PREFIX_LOCK ? E_LOCK : 0;
}

static void alu_rm_reg(struct tr *t, const struct insn *i, unsigned op)
{
    uint32_t opcode = (op << 3 | (i->opsize != 1)) | width(i);
    int dst, src;

    if (i->rm != RM_MEM) {
        src = use_gpr(t, i->reg, SCRATCH1);
        dst = use_gpr(t, i->rm, SCRATCH0);
        emit_rr(&t->c, opcode, i->opsize, src, dst);
        flags_set(t);
        if (op != OP_CMP)
            done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, op == OP_CMP ? ACCESS_READ : ACCESS_WRITE, 0);

    if (op != OP_CMP && (home_of[i->reg] < 0 || uses_carry(op)))
        keep_entry(t);
    if (uses_carry(op))
        flags_to_host(t);
    src = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, opcode | lock(i), i->opsize, src, &m);
    flags_set(t);
    if (op != OP_CMP)
        wrote(t);
}

static void alu_reg_rm(struct tr *t, const struct insn *i, unsigned op)
{
    uint32_t opcode = (op << 3 | 2 | (i->opsize != 1)) | width(i);
    int dst;

    if (i->rm != RM_MEM) {
        int src = use_gpr(t, i->rm, SCRATCH1);

        dst = use_gpr(t, i->reg, SCRATCH0);
        emit_rr(&t->c, opcode, i->opsize, dst, src);
    } else {
        struct where w = where_of(t, i);
        struct rm m = access(t, i, &w, i->opsize, ACCESS_READ, 0);

        if (uses_carry(op))
            flags_to_host(t);
        dst = use_gpr(t, i->reg, SCRATCH0);
        emit(&t->c, opcode, i->opsize, dst, &m);
    }
    flags_set(t);
    if (op != OP_CMP)
        done_gpr(t, i->reg, dst);
}

void op_alu(struct tr *t, const struct insn *i)
{
    unsigned op = i->opcode >> 3 & 7;

    if (i->opcode & 2)
        alu_reg_rm(t, i, op);
    else
        alu_rm_reg(t, i, op);
}

/* `rm` op= immediate: the bytes. */
static void put_alu_imm(struct tr *t, const struct insn *i, unsigned op, const struct rm *rm, uint32_t extra)
{
    int64_t imm = sign_extend(i->imm, i->opsize == 8 ? 4 : i->opsize);

    if (i->opsize == 1) {
        emit(&t->c, 0x80 | extra, 1, (int)op, rm);
        put8(&t->c, (unsigned)imm);
    } else if (imm == (int8_t)imm) {
        emit(&t->c, 0x83 | extra, i->opsize, (int)op, rm);
        put8(&t->c, (unsigned)imm);
    } else {
        emit(&t->c, 0x81 | extra, i->opsize, (int)op, rm);
        put_imm(&t->c, (uint64_t)imm, i->opsize);
    }
    flags_set(t);
}

static void alu_imm_reg(struct tr *t, const struct insn *i, unsigned op, unsigned r)
{
    int dst = use_gpr(t, r, SCRATCH0);
    struct rm rm = rm_reg(dst);

    put_alu_imm(t, i, op, &rm, rm_width(i));
    if (op != OP_CMP)
        done_gpr(t, r, dst);
}

/* AH to BH */
static void alu_imm_high(struct tr *t, const struct insn *i, unsigned op)
{
    struct rm rm = rm_reg(use_high(t, i->rm));

    put_alu_imm(t, i, op, &rm, 0);
    if (op != OP_CMP)
        done_high(t, i->rm);
}

void op_alu_acc(struct tr *t, const struct insn *i)
{
    alu_imm_reg(t, i, i->opcode >> 3 & 7, BP_RAX);
}

void op_alu_imm(struct tr *t, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (i->rm != RM_MEM && i->opsize == 1 && high_byte(i, i->rm)) {
        alu_imm_high(t, i, op);
        return;
    }
    if (i->rm != RM_MEM) {
        alu_imm_reg(t, i, op, i->rm);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, op == OP_CMP ? ACCESS_READ : ACCESS_WRITE, 0);

    if (uses_carry(op)) {
        keep_entry(t);
        flags_to_host(t);
    }
    put_alu_imm(t, i, op, &m, lock(i));
    if (op != OP_CMP)
        wrote(t);
}

/* 84 and 85 with a register; A8, A9, F6 /0 and F7 /0 with an immediate. */
void op_test(struct tr *t, const struct insn *i)
{
    bool imm = i->opcode != 0x84 && i->opcode != 0x85;
    struct rm rm;

    if (i->opcode == 0xa8 || i->opcode == 0xa9) {
        rm = rm_reg(use_gpr(t, BP_RAX, SCRATCH0));
    } else if (i->rm != RM_MEM && i->opsize == 1 && high_byte(i, i->rm)) {
        emit_rr(&t->c, 0xf6, 1, 0, use_high(t, i->rm));
        put8(&t->c, (unsigned)i->imm);
        flags_set(t);
        return;
    } else if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH0));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->opsize, ACCESS_READ, 0);
    }
    if (imm) {
        emit(&t->c, (i->opsize == 1 ? 0xf6u : 0xf7u) | rm_width(i), i->opsize, 0, &rm);
        put_imm(&t->c, i->imm, i->opsize);
    } else {
        int reg = use_gpr(t, i->reg, rm.reg == SCRATCH0 ? SCRATCH1 : SCRATCH0);

        emit(&t->c, (i->opsize == 1 ? 0x84u : 0x85u) | width(i), i->opsize, reg, &rm);
    }
    flags_set(t);
}

/* F6, F7, FE and FF with one operand that is read and written. */
static void unary(struct tr *t, const struct insn *i, uint32_t opcode, int op, bool part, bool sets)
{
    if (i->rm != RM_MEM) {
        int dst = use_gpr(t, i->rm, SCRATCH0);

        emit_rr(&t->c, opcode | rm_width(i), i->opsize, op, dst);
        if (sets)
            flags_set(t);
        done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    if (part && t->flags_after) {
        keep_entry(t);
        flags_to_host(t);
    }
    emit(&t->c, opcode | rm_width(i) | lock(i), i->opsize, op, &m);
    if (sets)
        flags_set(t);
    wrote(t);
}

void op_incdec(struct tr *t, const struct insn *i)
{
    unary(t, i, i->opsize == 1 ? 0xfe : 0xff, i->modrm >> 3 & 7, true, true);
}

void op_not_neg(struct tr *t, const struct insn *i)
{
    int op = i->modrm >> 3 & 7;

    unary(t, i, i->opsize == 1 ? 0xf6 : 0xf7, op, false, op == 3);
}

/* ---- multiplication and division ---- */

/* RDX is at home; RAX is not, and its home is written when all is done. */
static void rax_in(struct tr *t)
{
    emit_mov(&t->c, H_AX, home_of[BP_RAX]);
}

void op_mul(struct tr *t, const struct insn *i)
{
    int op = i->modrm >> 3 & 7;
    struct rm rm;

    if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH1));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->opsize, ACCESS_READ, 0);
    }
    rax_in(t);
    emit(&t->c, (i->opsize == 1 ? 0xf6u : 0xf7u) | rm_width(i), i->opsize, op, &rm);
    flags_set(t);
    emit_rr(&t->c, 0x89, i->opsize == 1 ? 2 : i->opsize, H_AX, home_of[BP_RAX]);
}

/* The quotient must fit: what might not is left to the interpreter, so that the host never faults. */
void op_div(struct tr *t, const struct insn *i)
{
    bool is_signed = (i->modrm >> 3 & 7) == 7;
    unsigned size = i->opsize;

    flags_save(t);
    t->host = false;
    if (i->rm != RM_MEM) {
        emit_rr(&t->c, 0x89, size, use_gpr(t, i->rm, SCRATCH1), SCRATCH1);
    } else {
        struct where w = where_of(t, i);
        struct rm m = access(t, i, &w, size, ACCESS_READ, 0);

        emit(&t->c, 0x8b, size, SCRATCH1, &m);
    }
    if (is_signed) {
        emit_rr(&t->c, 0x89, size, home_of[BP_RAX], H_AX);
        emit_shift(&t->c, 7, size, H_AX, size * 8 - 1);
        emit_rr(&t->c, 0x39, size, H_DX, H_AX);
        redo_if(t, i, CC_NE);
        emit_lea(&t->c, H_AX, SCRATCH1, 1);
        emit_alu_imm(&t->c, 7, size, H_AX, 1);
        redo_if(t, i, CC_BE);
    } else {
        emit_rr(&t->c, 0x39, size, SCRATCH1, H_DX);
        redo_if(t, i, CC_AE);
    }
    rax_in(t);
    emit_rr(&t->c, 0xf7, size, is_signed ? 7 : 6, SCRATCH1);
    emit_rr(&t->c, 0x89, size, H_AX, home_of[BP_RAX]);
}

static void imul(struct tr *t, const struct insn *i, bool imm)
{
    int dst;
    struct rm rm;

    if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH1));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->opsize, ACCESS_READ, 0);
    }
    if (imm) {
        dst = i->opsize == 2 ? use_gpr(t, i->reg, SCRATCH0) : dest_gpr(t, i->reg, SCRATCH0);
        emit(&t->c, 0x69, i->opsize, dst, &rm);
        put_imm(&t->c, i->imm, i->opsize);
    } else {
        dst = use_gpr(t, i->reg, SCRATCH0);
        emit(&t->c, 0x0faf, i->opsize, dst, &rm);
    }
    flags_set(t);
    done_gpr(t, i->reg, dst);
}

void op_imul2(struct tr *t, const struct insn *i)
{
    imul(t, i, false);
}

void op_imul3(struct tr *t, const struct insn *i)
{
    imul(t, i, true);
}

void op_cbw(struct tr *t, const struct insn *i)
{
    int ax = home_of[BP_RAX];

    if (i->opsize == 2)
        emit_rr(&t->c, 0x0fbe | E_RM8, 2, ax, ax);
    else if (i->opsize == 4)
        emit_rr(&t->c, 0x0fbf, 4, ax, ax);
    else
        emit_rr(&t->c, 0x63, 8, ax, ax);
}

void op_cwd(struct tr *t, const struct insn *i)
{
    rax_in(t);
    if (i->opsize == 2)
        put8(&t->c, 0x66);
    else if (i->opsize == 8)
        put8(&t->c, 0x48);
    put8(&t->c, 0x99);
}
