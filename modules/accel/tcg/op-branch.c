/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Near branches. What a branch changes beside RIP is committed when its target is known. */
#include "translate.h"

static void pushed(struct tr *t, const struct insn *i)
{
    stack_move(t, BP_RSP, -i->opsize);
}

static void popped(struct tr *t, const struct insn *i)
{
    stack_move(t, BP_RSP, i->opsize + (i->opcode == 0xc2 ? (int32_t)(uint16_t)i->imm : 0));
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
    struct where below = stack_at(t, BP_RSP, -i->opsize);
    struct rm m = access(t, i, &below, i->opsize, ACCESS_WRITE, 0);

    bool based = legacy(t) && !(t->tb->mode & MODE_CS0);

    keep_entry(t);
    if (based)
        flags_clobber(t);
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(page));
    emit_lea(&t->c, SCRATCH0, SCRATCH0, (int32_t)t->next);
    if (based)
        emit_rm(&t->c, 0x2b, 4, SCRATCH0, FRAME, SLOT(cs_base));
    emit(&t->c, 0x89, i->opsize, SCRATCH0, &m);
    wrote(t);
}

/* SCRATCH1: the target, of a branch that is computed; 64-bit code needs no more. */
static void targeted(struct tr *t, const struct insn *i)
{
    if (legacy(t))
        legacy_target(t, i);
}

/* The operand, to a scratch register. */
static void load_target(struct tr *t, const struct insn *i, const struct rm *m, int to)
{
    emit(&t->c, i->opsize == 2 ? 0x0fb7 : 0x8b, i->opsize == 2 ? 4 : i->opsize, to, m);
}

/* The target counts before the stack does: beyond the limit nothing is pushed. */
static void call_computed(struct tr *t, const struct insn *i)
{
    targeted(t, i);
    emit_store(&t->c, SCRATCH1, FRAME, SLOT(temp));
    push_return(t, i);
    emit_load(&t->c, SCRATCH1, FRAME, SLOT(temp));
    exit_indirect(t, i, pushed);
}

void op_call(struct tr *t, const struct insn *i)
{
    int64_t delta = (int64_t)t->next + (int64_t)i->imm;

    if (legacy(t) && !exit_chains(t, i, 0, delta)) {
        legacy_jump(t, delta);
        call_computed(t, i);
        return;
    }
    push_return(t, i);
    pushed(t, i);
    exit_direct(t, i, 0, delta);
}

void op_ret(struct tr *t, const struct insn *i)
{
    struct where top = stack_at(t, BP_RSP, 0);
    struct rm m = access(t, i, &top, i->opsize, ACCESS_READ, 0);

    load_target(t, i, &m, SCRATCH1);
    targeted(t, i);
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
        struct rm m = access(t, i, &w, i->opsize, ACCESS_READ, 0);

        load_target(t, i, &m, SCRATCH1);
    }
    targeted(t, i);
    exit_indirect(t, i, NULL);
}

void op_call_rm(struct tr *t, const struct insn *i)
{
    if (i->rm == RM_MEM) {
        struct where w = where_of(t, i);
        struct rm m = access(t, i, &w, i->opsize, ACCESS_READ, 0);

        load_target(t, i, &m, SCRATCH1);
    } else {
        int src = use_gpr(t, i->rm, SCRATCH1);

        if (src != SCRATCH1)
            emit_mov(&t->c, SCRATCH1, src);
    }
    call_computed(t, i);
}
