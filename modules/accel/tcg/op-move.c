/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves: MOV, LEA, MOVZX, MOVSX, CMOVcc, SETcc, the stack, and the carry flag's own instructions. */
#include "translate.h"

static uint32_t width(const struct insn *i)
{
    return i->opsize == 1 ? E_BYTE : 0;
}
static uint32_t rm_width(const struct insn *i)
{
    return i->opsize == 1 ? E_RM8 : 0;
}

/* The guest register's place as an operand: 8 and 16 bits can be written where they are. */
static struct rm place(unsigned r)
{
    return home_of[r] >= 0 ? rm_reg(home_of[r]) : rm_mem(FRAME, GPR_SLOT(r));
}

static void move_reg(struct tr *t, const struct insn *i, unsigned to, unsigned from)
{
    int src = use_gpr(t, from, SCRATCH1);
    struct rm dst = place(to);

    if (i->opsize == 4 && dst.reg < 0) { /* clears the upper half */
        emit_rr(&t->c, 0x89, 4, src, SCRATCH0);
        done_gpr(t, to, SCRATCH0);
        return;
    }
    emit(&t->c, (i->opsize == 1 ? 0x88u : 0x89u) | width(i), i->opsize, src, &dst);
}

void op_mov_store(struct tr *t, const struct insn *i)
{
    int src;

    if (i->rm != RM_MEM) {
        move_reg(t, i, i->rm, i->reg);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    if (home_of[i->reg] < 0)
        keep_entry(t);
    src = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, (i->opsize == 1 ? 0x88u | E_REG8 : 0x89u), i->opsize, src, &m);
    wrote(t);
}

void op_mov_load(struct tr *t, const struct insn *i)
{
    int dst;

    if (i->rm != RM_MEM) {
        move_reg(t, i, i->reg, i->rm);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_READ, 0);

    if (i->opsize <= 2) {
        dst = use_gpr(t, i->reg, SCRATCH0);
        emit(&t->c, (i->opsize == 1 ? 0x8au | E_REG8 : 0x8bu), i->opsize, dst, &m);
    } else {
        dst = dest_gpr(t, i->reg, SCRATCH0);
        emit(&t->c, 0x8b, i->opsize, dst, &m);
    }
    done_gpr(t, i->reg, dst);
}

void op_mov_imm(struct tr *t, const struct insn *i)
{
    uint32_t opcode = (i->opsize == 1 ? 0xc6u : 0xc7u) | rm_width(i);

    if (i->rm != RM_MEM) {
        if (i->opsize == 4) {
            int dst = dest_gpr(t, i->rm, SCRATCH0);

            emit_mov32(&t->c, dst, (uint32_t)i->imm);
            done_gpr(t, i->rm, dst);
            return;
        }
        struct rm dst = place(i->rm);

        emit(&t->c, opcode, i->opsize, 0, &dst);
        put_imm(&t->c, i->imm, i->opsize);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    emit(&t->c, opcode, i->opsize, 0, &m);
    put_imm(&t->c, i->imm, i->opsize);
    wrote(t);
}

void op_mov_imm_reg(struct tr *t, const struct insn *i)
{
    unsigned r = (i->opcode & 7u) | (i->rex & 1u) << 3;
    struct rm dst = place(r);

    if (i->opsize <= 2) {
        emit(&t->c, (i->opsize == 1 ? 0xc6u : 0xc7u) | rm_width(i), i->opsize, 0, &dst);
        put_imm(&t->c, i->imm, i->opsize);
        return;
    }
    int reg = dest_gpr(t, r, SCRATCH0);

    emit_mov64(&t->c, reg, i->opsize == 4 ? (uint32_t)i->imm : i->imm);
    done_gpr(t, r, reg);
}

void op_lea(struct tr *t, const struct insn *i)
{
    struct where w = where_of(t, i);
    bool plain = w.width != 2 && !w.rip && (w.base < 0 || home_of[w.base] >= 0) &&
                 (w.index < 0 || home_of[w.index] >= 0) &&
                 (w.base >= 0 || w.index >= 0);
    int dst = i->opsize == 2 ? use_gpr(t, i->reg, SCRATCH0) : dest_gpr(t, i->reg, SCRATCH0);

    w.segment = 0;
    w.checked = 0;
    if (plain) {
        struct rm rm = rm_index(w.base < 0 ? -1 : home_of[w.base], w.index < 0 ? -1 : home_of[w.index],
                                w.scale, (int32_t)w.disp);

        emit(&t->c, 0x8d, i->opsize, dst, &rm);
    } else {
        if (w.base >= 0 && w.index >= 0 && home_of[w.base] < 0 && home_of[w.index] < 0)
            flags_clobber(t);
        emit_address(t, SCRATCH1, &w, 0);
        emit_rr(&t->c, 0x89, i->opsize, SCRATCH1, dst);
    }
    done_gpr(t, i->reg, dst);
}

/* SCRATCH0, 32 bits of it extended, to the register operand. */
static void move_low(struct tr *t, const struct insn *i)
{
    struct rm dst = place(i->reg);
    int reg = dest_gpr(t, i->reg, SCRATCH0);

    if (i->opsize == 2) {
        emit(&t->c, 0x89, 2, SCRATCH0, &dst);
        return;
    }
    if (i->opsize == 8)
        emit_rr(&t->c, 0x63, 8, reg, SCRATCH0); /* MOVSXD: what MOVZX left is positive */
    else if (reg != SCRATCH0)
        emit_rr(&t->c, 0x89, 4, SCRATCH0, reg);
    done_gpr(t, i->reg, reg);
}

/* MOVZX and MOVSX from 8 and 16 bits, MOVSXD. */
void op_movx(struct tr *t, const struct insn *i)
{
    uint32_t opcode = i->map == 0 ? 0x63u : 0x0f00u | i->opcode;
    unsigned size = i->map == 0 ? (i->opsize == 2 ? 2 : 4) : (i->opcode & 1) ? 2 : 1;
    struct rm rm;
    int dst;

    if (i->rm != RM_MEM && size == 1 && high_byte(i, i->rm)) {
        emit_rr(&t->c, opcode, 4, SCRATCH0, use_high(t, i->rm));
        move_low(t, i);
        return;
    }
    if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH1));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, size, ACCESS_READ, 0);
    }
    dst = i->opsize == 2 ? use_gpr(t, i->reg, SCRATCH0) : dest_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, opcode | (size == 1 ? E_RM8 : 0), i->opsize, dst, &rm);
    done_gpr(t, i->reg, dst);
}

void op_cmov(struct tr *t, const struct insn *i)
{
    struct rm rm;
    int dst;

    if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH1));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->opsize, ACCESS_READ, 0);
        flags_to_host(t);
    }
    dst = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, 0x0f00u | i->opcode, i->opsize, dst, &rm);
    done_gpr(t, i->reg, dst);
}

void op_setcc(struct tr *t, const struct insn *i)
{
    if (i->rm != RM_MEM) {
        struct rm dst = place(i->rm);

        emit(&t->c, (0x0f00u | i->opcode) | E_RM8, 1, 0, &dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, 1, ACCESS_WRITE, 0);

    keep_entry(t);
    flags_to_host(t);
    emit(&t->c, 0x0f00u | i->opcode, 1, 0, &m);
    wrote(t);
}

void op_nop(struct tr *t, const struct insn *i)
{
    (void)t;
    (void)i;
}

/* CMC, CLC, STC: the host's flags are right before. */
void op_flag(struct tr *t, const struct insn *i)
{
    put8(&t->c, i->opcode);
    flags_set(t);
}

/* ---- the stack ---- */

static struct rm access_below(struct tr *t, const struct insn *i)
{
    struct where below = stack_at(t, BP_RSP, -i->opsize);

    return access(t, i, &below, i->opsize, ACCESS_WRITE, 0);
}

void op_push(struct tr *t, const struct insn *i)
{
    struct rm m = access_below(t, i);
    int src;

    if (home_of[i->reg] < 0)
        keep_entry(t);
    src = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, 0x89, i->opsize, src, &m);
    wrote(t);
    stack_move(t, BP_RSP, -i->opsize);
}

void op_push_imm(struct tr *t, const struct insn *i)
{
    struct rm m = access_below(t, i);

    emit(&t->c, 0xc7, i->opsize, 0, &m);
    put_imm(&t->c, i->imm, i->opsize);
    wrote(t);
    stack_move(t, BP_RSP, -i->opsize);
}

void op_push_rm(struct tr *t, const struct insn *i)
{
    struct rm m;

    if (i->rm != RM_MEM) {
        emit_store(&t->c, use_gpr(t, i->rm, SCRATCH0), FRAME, SLOT(temp));
    } else {
        struct where w = where_of(t, i);

        m = access(t, i, &w, i->opsize, ACCESS_READ, 0);
        emit(&t->c, 0x8b, i->opsize, SCRATCH0, &m);
        emit_store(&t->c, SCRATCH0, FRAME, SLOT(temp));
    }
    m = access_below(t, i);
    keep_entry(t);
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(temp));
    emit(&t->c, 0x89, i->opsize, SCRATCH0, &m);
    wrote(t);
    stack_move(t, BP_RSP, -i->opsize);
}

void op_pop(struct tr *t, const struct insn *i)
{
    struct where top = stack_at(t, BP_RSP, 0);
    struct rm m = access(t, i, &top, i->opsize, ACCESS_READ, 0);
    int dst = dest_gpr(t, i->reg, SCRATCH0);

    emit(&t->c, 0x8b, i->opsize, dst, &m);
    done_gpr(t, i->reg, dst);
    if (i->reg != BP_RSP)
        stack_move(t, BP_RSP, i->opsize);
}

void op_leave(struct tr *t, const struct insn *i)
{
    struct where frame = stack_at(t, BP_RBP, 0);
    struct rm m = access(t, i, &frame, i->opsize, ACCESS_READ, 0);

    emit(&t->c, 0x8b, i->opsize, SCRATCH0, &m);
    stack_move(t, BP_RBP, i->opsize);
    emit_rr(&t->c, 0x89, i->opsize, SCRATCH0, home_of[BP_RBP]);
}
