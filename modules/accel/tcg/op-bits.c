/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shifts, rotates, bit tests and scans, BSWAP, and what exchanges: XADD, CMPXCHG, XCHG. */
#include "translate.h"

static uint32_t rm_width(const struct insn *i)
{
    return i->opsize == 1 ? E_RM8 : 0;
}
static uint32_t width(const struct insn *i)
{
    return i->opsize == 1 ? E_BYTE : 0;
}
static uint32_t lock(const struct insn *i)
{
    return i->prefixes & PREFIX_LOCK ? E_LOCK : 0;
}

/* A shift's r/m operand and its write; `imm` < 0: by CL, which is at home. */
static void shift(struct tr *t, const struct insn *i, uint32_t opcode, int reg, int imm, bool needs_old)
{
    if (i->rm != RM_MEM) {
        int dst = use_gpr(t, i->rm, SCRATCH0);

        emit_rr(&t->c, opcode, i->opsize, reg, dst);
        if (imm >= 0)
            put8(&t->c, (unsigned)imm);
        flags_set(t);
        done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    if (needs_old) {
        keep_entry(t);
        flags_to_host(t);
    }
    emit(&t->c, opcode, i->opsize, reg, &m);
    if (imm >= 0)
        put8(&t->c, (unsigned)imm);
    flags_set(t);
    wrote(t);
}

void op_shift(struct tr *t, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;
    unsigned count = i->opcode >= 0xd0 ? 1 : (unsigned)i->imm & 0xff;
    bool whole = op >= 4 && (count & (i->opsize == 8 ? 63 : 31));

    shift(t, i, (i->opsize == 1 ? 0xc0u : 0xc1u) | rm_width(i), (int)op, (int)count,
          op == 2 || op == 3 || (!whole && t->flags_after));
}

void op_shift_cl(struct tr *t, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    shift(t, i, (i->opsize == 1 ? 0xd2u : 0xd3u) | rm_width(i), (int)op, -1,
          op == 2 || op == 3 || t->flags_after);
}

void op_shift_double(struct tr *t, const struct insn *i)
{
    bool by_cl = i->opcode & 1;
    int imm = by_cl ? -1 : (int)(i->imm & 0xff);
    bool mem = i->rm == RM_MEM, partial = by_cl || !(imm & (i->opsize == 8 ? 63 : 31));
    int src;

    if (!mem) {
        src = use_gpr(t, i->reg, SCRATCH1);
        shift(t, i, 0x0f00u | i->opcode, src, imm, false);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    keep_entry(t);
    if (partial && t->flags_after)
        flags_to_host(t);
    src = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, 0x0f00u | i->opcode, i->opsize, src, &m);
    if (imm >= 0)
        put8(&t->c, (unsigned)imm);
    flags_set(t);
    wrote(t);
}

/* BT, BTS, BTR, BTC of a register by a register. */
void op_bt(struct tr *t, const struct insn *i)
{
    int src = use_gpr(t, i->reg, SCRATCH1), dst = use_gpr(t, i->rm, SCRATCH0);

    emit_rr(&t->c, 0x0f00u | i->opcode, i->opsize, src, dst);
    flags_set(t);
    if (i->opcode != 0xa3)
        done_gpr(t, i->rm, dst);
}

/* The same in memory: the register counts bits from the operand's address on, in both directions. */
void op_bt_string(struct tr *t, const struct insn *i)
{
    unsigned shift = i->opsize == 8 ? 6 : 5;
    struct where w = where_of(t, i), at = {.base = -1, .index = -1, .slot = SLOT(address)};
    bool store = i->opcode != 0xa3;
    struct rm m, sum = rm_index(SCRATCH0, SCRATCH1, i->opsize == 8 ? 3 : 2, 0);
    int bit;

    flags_save(t);
    t->host = false;
    emit_address(t, SCRATCH0, &w, 0);
    bit = use_gpr(t, i->reg, SCRATCH1);
    if (i->opsize == 8)
        emit_rr(&t->c, 0x89, 8, bit, SCRATCH1);
    else
        emit_rr(&t->c, 0x63, 8, SCRATCH1, bit); /* MOVSXD */
    emit_shift(&t->c, 7, 8, SCRATCH1, shift);
    emit(&t->c, 0x8d, legacy(t) ? 4 : 8, SCRATCH0, &sum);
    emit_store(&t->c, SCRATCH0, FRAME, SLOT(address));
    m = access(t, i, &at, i->opsize, store ? ACCESS_WRITE : ACCESS_READ, 0);
    if (store)
        keep_entry(t);
    bit = use_gpr(t, i->reg, SCRATCH0);
    emit_rr(&t->c, 0x89, 4, bit, SCRATCH0);
    emit_alu_imm(&t->c, 4, 4, SCRATCH0, i->opsize * 8 - 1);
    if (t->flags_after) { /* they come through SCRATCH0 */
        emit_store(&t->c, SCRATCH0, FRAME, SLOT(temp));
        flags_to_host(t);
        emit_load(&t->c, SCRATCH0, FRAME, SLOT(temp));
    }
    emit(&t->c, 0x0f00u | i->opcode | lock(i), i->opsize, SCRATCH0, &m);
    flags_set(t);
    if (store)
        wrote(t);
}

void op_bt_imm(struct tr *t, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;
    unsigned bit = (unsigned)i->imm & (i->opsize * 8u - 1);

    if (i->rm != RM_MEM) {
        int dst = use_gpr(t, i->rm, SCRATCH0);

        emit_rr(&t->c, 0x0fba, i->opsize, (int)op, dst);
        put8(&t->c, bit);
        flags_set(t);
        if (op != 4)
            done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, op == 4 ? ACCESS_READ : ACCESS_WRITE, 0);

    if (t->flags_after) {
        if (op != 4)
            keep_entry(t);
        flags_to_host(t);
    }
    emit(&t->c, 0x0fba | lock(i), i->opsize, (int)op, &m);
    put8(&t->c, bit);
    flags_set(t);
    if (op != 4)
        wrote(t);
}

static void scan(struct tr *t, const struct insn *i, uint32_t opcode, bool partial)
{
    struct rm rm;
    int dst;

    if (i->rm != RM_MEM) {
        rm = rm_reg(use_gpr(t, i->rm, SCRATCH1));
    } else {
        struct where w = where_of(t, i);

        rm = access(t, i, &w, i->opsize, ACCESS_READ, 0);
        if (partial && t->flags_after)
            flags_to_host(t);
    }
    dst = use_gpr(t, i->reg, SCRATCH0); /* a source of 0 may leave it as it is */
    emit(&t->c, opcode, i->opsize, dst, &rm);
    flags_set(t);
    done_gpr(t, i->reg, dst);
}

void op_bsf(struct tr *t, const struct insn *i)
{
    scan(t, i, 0x0f00u | i->opcode, true);
}

void op_popcnt(struct tr *t, const struct insn *i) /* TZCNT and LZCNT, too */
{
    scan(t, i, 0x0f00u | i->opcode | E_F3, false);
}

void op_bswap(struct tr *t, const struct insn *i)
{
    unsigned r = (i->opcode & 7u) | (i->rex & 1u) << 3;
    int dst = use_gpr(t, r, SCRATCH0);
    unsigned rex = (i->opsize == 8 ? 8u : 0) | (dst >= 8 ? 1u : 0);

    if (rex)
        put8(&t->c, 0x40 | rex);
    put8(&t->c, 0x0f);
    put8(&t->c, 0xc8u | (unsigned)(dst & 7));
    done_gpr(t, r, dst);
}

/* ---- exchanges ---- */

void op_xadd(struct tr *t, const struct insn *i)
{
    uint32_t opcode = (i->opsize == 1 ? 0x0fc0u : 0x0fc1u) | width(i);
    int reg;

    if (i->rm != RM_MEM) {
        int dst = use_gpr(t, i->rm, SCRATCH0);

        reg = i->reg == i->rm ? dst : use_gpr(t, i->reg, SCRATCH1);
        emit_rr(&t->c, opcode, i->opsize, reg, dst);
        flags_set(t);
        done_gpr(t, i->reg, reg);
        done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    keep_entry(t);
    reg = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, opcode | lock(i), i->opsize, reg, &m);
    flags_set(t);
    done_gpr(t, i->reg, reg);
    wrote(t);
}

void op_cmpxchg(struct tr *t, const struct insn *i)
{
    uint32_t opcode = (i->opsize == 1 ? 0x0fb0u : 0x0fb1u) | width(i);
    int ax = home_of[BP_RAX];

    if (i->rm != RM_MEM) {
        /* With one scratch register for two that may have no home: through the frame. */
        struct rm dst = home_of[i->rm] >= 0 ? rm_reg(home_of[i->rm]) : rm_mem(FRAME, GPR_SLOT(i->rm));
        int src = use_gpr(t, i->reg, SCRATCH1);

        if (i->rm == BP_RAX) { /* equal to itself */
            emit_mov(&t->c, H_AX, ax);
            emit_rr(&t->c, i->opsize == 1 ? 0x38 | E_BYTE : 0x39, i->opsize, ax, H_AX);
            flags_set(t);
            emit_rr(&t->c, i->opsize == 1 ? 0x88 | E_BYTE : 0x89, i->opsize, src, ax);
            return;
        }
        emit_mov(&t->c, H_AX, ax);
        emit(&t->c, opcode, i->opsize, src, &dst);
        flags_set(t);
        emit_mov(&t->c, ax, H_AX);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    keep_entry(t);
    emit_mov(&t->c, H_AX, ax);
    emit(&t->c, opcode | lock(i), i->opsize, home_of[i->reg], &m);
    flags_set(t);
    emit_mov(&t->c, ax, H_AX);
    wrote(t);
}

/* CMPXCHG16B: changes ZF only. RDX, RBX and RCX are at home. */
void op_cmpxchg16(struct tr *t, const struct insn *i)
{
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, 16, ACCESS_WRITE, 16);
    int ax = home_of[BP_RAX];

    keep_entry(t);
    if (t->flags_after)
        flags_to_host(t);
    emit_mov(&t->c, H_AX, ax);
    emit(&t->c, 0x0fc7 | lock(i), 8, 1, &m);
    flags_set(t);
    emit_mov(&t->c, ax, H_AX);
    wrote(t);
}

void op_xchg(struct tr *t, const struct insn *i)
{
    uint32_t opcode = (i->opsize == 1 ? 0x86u : 0x87u) | width(i);
    int reg;

    if (i->rm != RM_MEM) {
        int dst = use_gpr(t, i->rm, SCRATCH0);

        reg = i->reg == i->rm ? dst : use_gpr(t, i->reg, SCRATCH1);
        emit_rr(&t->c, opcode, i->opsize, reg, dst);
        done_gpr(t, i->reg, reg);
        done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, i->opsize, ACCESS_WRITE, 0);

    if (home_of[i->reg] < 0)
        keep_entry(t);
    reg = use_gpr(t, i->reg, SCRATCH0);
    emit(&t->c, opcode, i->opsize, reg, &m);
    done_gpr(t, i->reg, reg);
    wrote(t);
}

void op_xchg_ax(struct tr *t, const struct insn *i)
{
    unsigned r = (i->opcode & 7u) | (i->rex & 1u) << 3;
    int reg = use_gpr(t, r, SCRATCH1);

    emit_rr(&t->c, 0x87, i->opsize, reg, home_of[BP_RAX]);
    done_gpr(t, r, reg);
}
