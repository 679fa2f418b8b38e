/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Byte operands in AH, CH, DH and BH, which host code with REX has no names for. Between registers the instruction's
 * own bytes are right, once the guest's AX is the host's for the moment. Beside memory, whose operand wants REX, a
 * source goes through AL and a destination meets its operand in the frame.
 */
#include "translate.h"

enum { OP_ADC = 2, OP_SBB = 3, OP_CMP = 7 };

static bool in_ax(unsigned reg)
{
    return (reg & 3) == BP_RAX;
}

static void ax_in(struct tr *t)
{
    emit_mov(&t->c, H_AX, home_of[BP_RAX]);
}

static void ax_out(struct tr *t)
{
    emit_mov(&t->c, home_of[BP_RAX], H_AX);
}

bool high_emits(const struct insn *i)
{
    if (i->rm != RM_MEM)
        return true;
    return i->map == 0 && (i->opcode < 0x40 || i->opcode == 0x84 || i->opcode == 0x86 || i->opcode == 0x88 ||
                            i->opcode == 0x8a);
}

static void between_registers(struct tr *t, const struct insn *i, bool flags)
{
    bool imm = i->map == 0 && (i->opcode == 0xc0 || i->opcode == 0xc6);

    ax_in(t);
    if (i->map)
        put8(&t->c, 0x0f);
    put8(&t->c, i->opcode);
    put8(&t->c, i->modrm);
    if (imm)
        put8(&t->c, (unsigned)i->imm);
    if (flags)
        flags_set(t);
    ax_out(t);
}

/* AL = AH, CH, DH or BH */
static void source(struct tr *t, unsigned reg)
{
    if (in_ax(reg))
        ax_in(t);
    emit_rr(&t->c, 0x0fb6, 4, H_AX, (int)reg);
}

/* The instruction with the frame's `temp` for its memory operand. */
static void from_frame(struct tr *t, unsigned opcode, unsigned reg, bool write)
{
    if (in_ax(reg))
        ax_in(t);
    emit_rm(&t->c, opcode, 1, (int)reg, FRAME, SLOT(temp));
    if (write && in_ax(reg))
        ax_out(t);
}

static void beside_memory(struct tr *t, const struct insn *i)
{
    unsigned op = i->opcode < 0x40 ? i->opcode >> 3 & 7 : 8, reg = i->reg;
    bool alu = op < 8, to_reg = alu ? i->opcode & 2 : i->opcode == 0x8a, exchange = i->opcode == 0x86;
    bool write = !to_reg && op != OP_CMP && i->opcode != 0x84, carry = op == OP_ADC || op == OP_SBB;
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, 1, write ? ACCESS_WRITE : ACCESS_READ, 0);

    if (write)
        keep_entry(t);
    if (to_reg) {
        emit(&t->c, 0x0fb6, 4, H_AX, &m);
        emit_rm(&t->c, 0x89, 4, H_AX, FRAME, SLOT(temp));
        if (carry)
            flags_to_host(t);
        from_frame(t, i->opcode, reg, op != OP_CMP);
    } else {
        if (carry)
            flags_to_host(t);
        source(t, reg);
        emit(&t->c, i->opcode | (i->prefixes & PREFIX_LOCK && alu ? E_LOCK : 0), 1, H_AX, &m);
        if (exchange) {
            emit_rm(&t->c, 0x89, 4, H_AX, FRAME, SLOT(temp));
            from_frame(t, 0x8a, reg, true);
        }
    }
    if (alu || i->opcode == 0x84)
        flags_set(t);
    if (write)
        wrote(t);
}

static bool sets_flags(const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (i->map)
        return i->opcode == 0xb0 || i->opcode == 0xc0;
    return i->opcode < 0x40 || i->opcode == 0x84 || i->opcode == 0xc0 || i->opcode == 0xd0 || i->opcode == 0xd2 ||
           i->opcode == 0xfe || (i->opcode == 0xf6 && op != 2);
}

void op_high(struct tr *t, const struct insn *i)
{
    if (i->rm != RM_MEM)
        between_registers(t, i, sets_flags(i));
    else
        beside_memory(t, i);
}

/* B4 to B7 */
void op_high_imm(struct tr *t, const struct insn *i)
{
    unsigned reg = i->opcode & 7;

    if (in_ax(reg))
        ax_in(t);
    put8(&t->c, i->opcode);
    put8(&t->c, (unsigned)i->imm);
    if (in_ax(reg))
        ax_out(t);
}
