/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Instructions that 64-bit code does not have or hardly uses: short INC and DEC, MOV with an address in the
 * instruction, LOOP and JCXZ, LAHF and SAHF, selectors to the stack, CMPXCHG8B; and which of the others have emitters
 * there.
 * Segment loads, far transfers, decimal arithmetic, PUSHA, BOUND and ENTER are the interpreter's. Intel SDM volume 2.
 */
#include "translate.h"

#define NO_RULE ((struct rule){0})

/* Pushes what is under way as POP SP wants it only with a stack of its width. */
static bool pops_sp(const struct insn *i)
{
    return i->map == 0 && i->opcode == 0x5c && i->opsize == 2;
}

/* What rules.c would take for an instruction of 64-bit code, or emits with addresses of 64 bits. */
bool suits_legacy(const struct tcg_cpu *c, const struct insn *i)
{
    uint32_t mode = c->mode_now;

    if (i->map == 0)
        return i->opcode != 0x63 && !pops_sp(i) && (i->opcode != 0x9c || !(mode & MODE_REAL) || mode & MODE_RING0);
    if (i->map == 1 && (i->opcode & 0xe7) == 0xa3 && i->rm == RM_MEM) /* bit strings */
        return i->addrsize == 4 && mode >> (MODE_PLAIN_SHIFT + i->seg) & 1 && i->seg < BP_FS;
    return true;
}

struct rule rule_legacy(const struct tcg_cpu *c, const struct insn *i)
{
    bool pair = i->opsize == 4 && feature(&c->v, BP_X86_FW_1_EDX, 8);

    if (i->prefixes & PREFIX_LOCK && !(i->map == 1 && i->opcode == 0xc7))
        return NO_RULE;
    if (i->map == 1) {
        switch (i->opcode) {
        case 0xa0: case 0xa8: return (struct rule){.emit = op_push_segment, .memory = 1};
        case 0xc7:
            return i->rm == RM_MEM && (i->modrm >> 3 & 7) == 1 && pair ?
                   (struct rule){.emit = op_cmpxchg8, .flags = FLAGS_PART, .memory = 1} : NO_RULE;
        }
        return NO_RULE;
    }
    switch (i->opcode) {
    case 0x06: case 0x0e: case 0x16: case 0x1e: return (struct rule){.emit = op_push_segment, .memory = 1};
    case 0x40 ... 0x4f: return (struct rule){.emit = op_incdec_short, .flags = FLAGS_PART};
    case 0x9e: return (struct rule){.emit = op_lahf_sahf, .flags = FLAGS_USE_SET};
    case 0x9f: return (struct rule){.emit = op_lahf_sahf, .flags = FLAGS_USE};
    case 0xa0 ... 0xa3: return (struct rule){.emit = op_moffs, .memory = 1};
    case 0xe2: case 0xe3: return (struct rule){.emit = op_loop, .memory = 1, .keep = 1};
    }
    return NO_RULE;
}

void op_incdec_short(struct tr *t, const struct insn *i)
{
    emit_rr(&t->c, 0xff, i->opsize, i->opcode >> 3 & 1, home_of[i->opcode & 7]);
    flags_set(t);
}

void op_moffs(struct tr *t, const struct insn *i)
{
    bool store = i->opcode & 2, wide = i->opsize != 1;
    struct insn at = *i;
    struct where w;
    struct rm m;

    at.disp = i->addrsize == 4 ? (int32_t)i->imm : (int64_t)(uint16_t)i->imm;
    w = legacy_where(t->tb->mode, &at);
    m = access(t, i, &w, i->opsize, store ? ACCESS_WRITE : ACCESS_READ, 0);
    emit(&t->c, (store ? 0x88u : 0x8au) | (wide ? 1u : E_REG8), i->opsize, home_of[BP_RAX], &m);
    if (store)
        wrote(t);
}

/* LOOP and JCXZ. What is not chained might be executed again when it is half done: the interpreter's. */
void op_loop(struct tr *t, const struct insn *i)
{
    int64_t delta = (int64_t)t->next + (int64_t)i->imm;
    bool count = i->opcode == 0xe2;

    if (!exit_chains(t, i, 0, delta)) {
        call_interp(t, i, true);
        return;
    }
    flags_save(t);
    t->host = false;
    if (count) {
        struct rm less = rm_mem(H_CX, -1);

        emit(&t->c, 0x8d, i->addrsize, H_CX, &less);
    }
    emit_rr(&t->c, 0x85, i->addrsize, H_CX, H_CX);
    exit_if(t, i, count ? CC_NE : CC_E, delta);
    exit_direct(t, i, 1, t->next);
}

/* AH lies in the host's AX only for the moment. */
void op_lahf_sahf(struct tr *t, const struct insn *i)
{
    emit_mov(&t->c, H_AX, home_of[BP_RAX]);
    put8(&t->c, i->opcode);
    if (i->opcode == 0x9f)
        emit_mov(&t->c, home_of[BP_RAX], H_AX);
    else
        flags_set(t);
}

/* With 32-bit operands the upper half of the slot stays as it is. */
void op_push_segment(struct tr *t, const struct insn *i)
{
    unsigned seg = i->map ? i->opcode >> 3 & 7 : i->opcode >> 3 & 3;
    int32_t at = (int32_t)(offsetof(struct bp_x86_cpu, seg) + seg * sizeof(struct bp_x86_segment) +
                           offsetof(struct bp_x86_segment, selector));
    struct where below = stack_at(t, BP_RSP, -i->opsize);
    struct rm m = access(t, i, &below, 2, ACCESS_WRITE, 0);

    keep_entry(t);
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(x));
    emit_rm(&t->c, 0x0fb7, 4, SCRATCH0, SCRATCH0, at);
    emit(&t->c, 0x89, 2, SCRATCH0, &m);
    wrote(t);
    stack_move(t, BP_RSP, -i->opsize);
}

/* Changes ZF only. EDX, EBX and ECX are at home. */
void op_cmpxchg8(struct tr *t, const struct insn *i)
{
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, 8, ACCESS_WRITE, 0);
    int ax = home_of[BP_RAX];

    keep_entry(t);
    if (t->flags_after)
        flags_to_host(t);
    emit_mov(&t->c, H_AX, ax);
    emit(&t->c, 0x0fc7 | (i->prefixes & PREFIX_LOCK ? E_LOCK : 0), 4, 1, &m);
    flags_set(t);
    emit_mov(&t->c, ax, H_AX);
    wrote(t);
}
