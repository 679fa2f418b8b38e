/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x87: the guest's stack is the host's while translated code needs it, so an instruction is what it was, with another
 * memory operand. Only while all exceptions are masked and none waits. Control words, environments,
 * transcendental functions and MMX are the interpreter's. The pointers to the last instruction and operand (FIP, FDP,
 * FOP) tell of what the interpreter executed. Intel SDM volume 2, appendix A.5.
 */
#include "translate.h"

enum { LOAD = 0x40, STORE = 0x80, SIZE = 0x1f };
#define ARITH(n) {LOAD | n, LOAD | n, LOAD | n, LOAD | n, LOAD | n, LOAD | n, LOAD | n, LOAD | n}

/* By escape byte and modrm.reg: what a memory operand is; 0: the interpreter's. */
static const uint8_t memory[8][8] = {
    ARITH(4),
    {LOAD | 4, 0, STORE | 4, STORE | 4},
    ARITH(4),
    {LOAD | 4, STORE | 4, STORE | 4, STORE | 4, 0, LOAD | 10, 0, STORE | 10},
    ARITH(8),
    {LOAD | 8, STORE | 8, STORE | 8, STORE | 8},
    ARITH(2),
    {LOAD | 2, STORE | 2, STORE | 2, STORE | 2, 0, LOAD | 8, 0, STORE | 8},
};

static bool reg_form(unsigned escape, unsigned modrm)
{
    unsigned op = modrm >> 3 & 7;

    switch (escape) {
    case 0: return true;
    case 1:
        return op <= 1 || modrm == 0xd0 || modrm == 0xe0 || modrm == 0xe1 || modrm == 0xe4 || modrm == 0xe5 ||
               (modrm >= 0xe8 && modrm <= 0xee) || modrm == 0xfa || modrm == 0xfc;
    case 2: return op <= 3 || modrm == 0xe9;
    case 3: return op <= 3 || op == 5 || op == 6;
    case 4: return op <= 1 || op >= 4;
    case 5: return op == 0 || (op >= 2 && op <= 5);
    case 6: return op <= 1 || op >= 4 || modrm == 0xd9;
    default: return modrm == 0xe0 || op == 5 || op == 6;
    }
}

static enum flag_effect effect(unsigned escape, unsigned op)
{
    if ((escape == 2 || escape == 3) && op <= 3)
        return FLAGS_USE; /* FCMOVcc */
    if ((escape == 3 || escape == 7) && (op == 5 || op == 6))
        return FLAGS_SET; /* FCOMI and its family */
    return FLAGS_NONE;
}

struct rule rule_x87(const struct tcg_cpu *c, const struct insn *i)
{
    unsigned escape = i->opcode & 7, op = i->modrm >> 3 & 7;
    struct rule r = {.emit = op_x87, .x87 = 1, .memory = i->rm == RM_MEM};

    if (!(c->mode_now & MODE_X87) || i->prefixes & PREFIX_LOCK)
        return (struct rule){0};
    if (i->rm == RM_MEM)
        return memory[escape][op] ? r : (struct rule){0};
    if (!reg_form(escape, i->modrm))
        return (struct rule){0};
    r.flags = effect(escape, op);
    return r;
}

void op_x87(struct tr *t, const struct insn *i)
{
    unsigned escape = i->opcode & 7, op = i->modrm >> 3 & 7, kind = memory[escape][op];

    if (i->rm != RM_MEM) {
        put8(&t->c, i->opcode);
        put8(&t->c, i->modrm);
        if (escape == 7 && i->modrm == 0xe0) /* FNSTSW AX */
            emit_rr(&t->c, 0x89, 2, H_AX, home_of[BP_RAX]);
        if (effect(escape, op) == FLAGS_SET)
            flags_set(t);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, kind & SIZE, kind & STORE ? ACCESS_WRITE : ACCESS_READ, 0);

    emit(&t->c, i->opcode, 4, (int)op, &m);
    if (kind & STORE)
        wrote(t);
}
