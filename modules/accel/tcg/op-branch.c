/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Near branches of 64-bit code. What a branch changes beside RIP is committed when its target is known. */
#include "translate.h"

static const struct where below = {.base = BP_RSP, .index = -1, .disp = -8};
static const struct where top = {.base = BP_RSP, .index = -1};

static void pushed(struct tr *t, const struct insn *i)
{
    (void)i;
    emit_lea(&t->c, home_of[BP_RSP], home_of[BP_RSP], -8);
}

static void popped(struct tr *t, const struct insn *i)
{
    emit_lea(&t->c, home_of[BP_RSP], home_of[BP_RSP], 8 + (i->opcode == 0xc2 ? (int32_t)(uint16_t)i->imm : 0));
}

void op_jcc(struct tr *t, const struct insn *i)
{
    exit_if(t, i, i->opcode & 15, (int64_t)t->next + (int64_t)i->imm);
    exit_direct(t, i, 1, t->next);
}

void op_jmp(struct tr *t, const struct insn *i)
{
    exit_direct(t, i, 0, (int64_t)t->next + (int64_t)i->imm);
}

/* Stores the return address; RSP stays as it is. */
static void push_return(struct tr *t, const struct insn *i)
{
    struct rm m = access(t, i, &below, 8, ACCESS_WRITE, 0);

    keep_entry(t);
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(page));
    emit_lea(&t->c, SCRATCH0, SCRATCH0, (int32_t)t->next);
    emit(&t->c, 0x89, 8, SCRATCH0, &m);
    wrote(t);
}

void op_call(struct tr *t, const struct insn *i)
{
    push_return(t, i);
    pushed(t, i);
    exit_direct(t, i, 0, (int64_t)t->next + (int64_t)i->imm);
}

void op_ret(struct tr *t, const struct insn *i)
{
    struct rm m = access(t, i, &top, 8, ACCESS_READ, 0);

    emit(&t->c, 0x8b, 8, SCRATCH1, &m);
    exit_indirect(t, i, popped);
}

void op_jmp_rm(struct tr *t, const struct insn *i)
{
    if (i->rm != RM_MEM) {
        int src = use_gpr(t, i->rm, SCRATCH1);

        if (src != SCRATCH1)
            emit_mov(&t->c, SCRATCH1, src);
    } else {
        struct where w = where_of(t, i);
        struct rm m = access(t, i, &w, 8, ACCESS_READ, 0);

        emit(&t->c, 0x8b, 8, SCRATCH1, &m);
    }
    exit_indirect(t, i, NULL);
}

void op_call_rm(struct tr *t, const struct insn *i)
{
    if (i->rm == RM_MEM) {
        struct where w = where_of(t, i);
        struct rm m = access(t, i, &w, 8, ACCESS_READ, 0);

        emit(&t->c, 0x8b, 8, SCRATCH0, &m);
        emit_store(&t->c, SCRATCH0, FRAME, SLOT(temp));
    }
    push_return(t, i);
    if (i->rm == RM_MEM) {
        emit_load(&t->c, SCRATCH1, FRAME, SLOT(temp));
    } else {
        int src = use_gpr(t, i->rm, SCRATCH1);

        if (src != SCRATCH1)
            emit_mov(&t->c, SCRATCH1, src);
    }
    exit_indirect(t, i, pushed);
}
