/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels execute all the time and what needs no more than the architectural state: flags beside the arithmetic
 * ones, SWAPGS, selectors, fences, PAUSE. Those with a privilege are emitted for privilege level 0 only; whatever
 * asks for attention (an interrupt that is let in, a trap flag) is left to the interpreter. Intel SDM volumes 2, 3.
 */
#include "translate.h"

#define STATE(field) ((int32_t)offsetof(struct bp_x86_cpu, field))
#define GROUP7_SWAPGS 0xf8
#define GROUP7_CLAC 0xca
#define GROUP7_STAC 0xcb

/* All that PUSHF pushes as it stands in the state; the others come from the frame. */
#define STORED (~(uint32_t)(F_ARITH | F_RF | F_VM))

static bool ring0(const struct tcg_cpu *c)
{
    return c->mode_now & MODE_RING0;
}

struct rule rule_system(const struct tcg_cpu *c, const struct insn *i)
{
    bool mem = i->rm == RM_MEM, prefixed, wide = is_legacy(c->mode_now); /* operands of all widths */

    if (i->map == 0) {
        switch (i->opcode) {
        case 0x8c:
            if ((i->modrm >> 3 & 7) > BP_GS)
                break;
            return (struct rule){.emit = op_mov_from_segment, .memory = mem};
        case 0x90: return i->prefixes & PREFIX_REP ? (struct rule){.emit = op_pause} : (struct rule){0};
        case 0x9c:
            return wide || i->opsize == 8 ? (struct rule){.emit = op_pushf, .memory = 1, .flags = FLAGS_USE} :
                   (struct rule){0};
        case 0x9d:
            return (wide || i->opsize == 8) && ring0(c) ? (struct rule){.emit = op_popf, .memory = 1} :
                                                         (struct rule){0};
        case 0xcf: /* IRET */
            return i->opsize == 8 && ring0(c) ? (struct rule){.emit = op_fast_call, .memory = 1, .keep = 1} :
                                                (struct rule){0};
        case 0xfa: case 0xfb: return ring0(c) ? (struct rule){.emit = op_cli_sti, .memory = 1} : (struct rule){0};
        case 0xfc: case 0xfd: return (struct rule){.emit = op_cld_std, .memory = 1};
        }
        return (struct rule){0};
    }
    prefixed = i->prefixes & (PREFIX_66 | PREFIX_REP | PREFIX_REPNE);
    if (i->opcode == 0x01 && i->modrm == GROUP7_SWAPGS && ring0(c))
        return (struct rule){.emit = op_swapgs};
    if (i->opcode == 0x01 && (i->modrm == GROUP7_CLAC || i->modrm == GROUP7_STAC) && ring0(c) && !prefixed &&
        feature(&c->v, BP_X86_FW_7_EBX, 20))
        return (struct rule){.emit = op_stac_clac, .memory = 1};
    if (i->opcode == 0x05 || (i->opcode == 0x07 && i->opsize == 8 && ring0(c))) /* SYSCALL, SYSRET */
        return (struct rule){.emit = op_fast_call, .memory = 1, .keep = 1};
    if (i->opcode == 0xae && !mem && (i->modrm >> 3 & 7) >= 5 && !prefixed)
        return (struct rule){.emit = op_fence};
    return (struct rule){0};
}

/* `to` = the architectural state's address. */
static void state(struct tr *t, int to)
{
    emit_load(&t->c, to, FRAME, SLOT(x));
}

void op_mov_from_segment(struct tr *t, const struct insn *i)
{
    unsigned seg = i->modrm >> 3 & 7;
    int32_t at = STATE(seg) + (int32_t)(seg * sizeof(struct bp_x86_segment)) +
                 (int32_t)offsetof(struct bp_x86_segment, selector);

    if (i->rm != RM_MEM) {
        int dst = i->opsize == 2 ? SCRATCH0 : dest_gpr(t, i->rm, SCRATCH0);

        state(t, SCRATCH1);
        emit_rm(&t->c, 0x0fb7, 4, dst, SCRATCH1, at);
        if (i->opsize == 2 && home_of[i->rm] >= 0)
            emit_rr(&t->c, 0x89, 2, dst, home_of[i->rm]);
        else if (i->opsize == 2)
            emit_rm(&t->c, 0x89, 2, dst, FRAME, GPR_SLOT(i->rm));
        else
            done_gpr(t, i->rm, dst);
        return;
    }
    struct where w = where_of(t, i);
    struct rm m = access(t, i, &w, 2, ACCESS_WRITE, 0);

    keep_entry(t);
    state(t, SCRATCH0);
    emit_rm(&t->c, 0x0fb7, 4, SCRATCH0, SCRATCH0, at);
    emit(&t->c, 0x89, 2, SCRATCH0, &m);
    wrote(t);
}

void op_pause(struct tr *t, const struct insn *i)
{
    (void)i;
    put8(&t->c, 0xf3);
    put8(&t->c, 0x90);
}

void op_fence(struct tr *t, const struct insn *i)
{
    put8(&t->c, 0x0f);
    put8(&t->c, 0xae);
    put8(&t->c, 0xc0u | (i->modrm & 0x38u));
}

static void alu_state(struct tr *t, unsigned op, int base, uint32_t imm)
{
    emit_rm(&t->c, 0x81, 4, (int)op, base, STATE(rflags));
    put32(&t->c, imm);
}

/* calls.c does what is usual, from here to the next block. */
void op_fast_call(struct tr *t, const struct insn *i)
{
    call_with_insn(t, i, t->cpu->thunk_call, t->offset | INFO_LAST);
    t->simd_live = t->x87_live = false;
    t->ended = true;
}

void op_cld_std(struct tr *t, const struct insn *i)
{
    flags_save(t);
    t->host = false;
    state(t, SCRATCH1);
    if (i->opcode == 0xfc)
        alu_state(t, 4, SCRATCH1, ~F_DF);
    else
        alu_state(t, 1, SCRATCH1, F_DF);
}

/* STI lets the next instruction pass before an interrupt; without one that waits there is nothing to see of it. */
void op_cli_sti(struct tr *t, const struct insn *i)
{
    flags_save(t);
    t->host = false;
    state(t, SCRATCH1);
    if (i->opcode == 0xfa) {
        alu_state(t, 4, SCRATCH1, ~F_IF);
        return;
    }
    emit_rm(&t->c, 0x83, 4, 7, SCRATCH1, STATE(interrupts));
    put8(&t->c, 0);
    redo_if(t, i, CC_NE);
    alu_state(t, 1, SCRATCH1, F_IF);
}

void op_swapgs(struct tr *t, const struct insn *i)
{
    int32_t base = STATE(seg) + BP_GS * (int32_t)sizeof(struct bp_x86_segment) +
                   (int32_t)offsetof(struct bp_x86_segment, base);

    (void)i;
    state(t, SCRATCH1);
    emit_load(&t->c, SCRATCH0, SCRATCH1, STATE(kernel_gs_base));
    emit_store(&t->c, SCRATCH0, FRAME, SLOT(gs_base));
    emit_load(&t->c, SCRATCH0, SCRATCH1, base);
    emit_store(&t->c, SCRATCH0, SCRATCH1, STATE(kernel_gs_base));
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(gs_base));
    emit_store(&t->c, SCRATCH0, SCRATCH1, base);
}

/* The block goes on with the other rights; its exits lead to blocks of another mode (exits.c). */
void op_stac_clac(struct tr *t, const struct insn *i)
{
    bool ac = i->modrm == GROUP7_STAC;
    unsigned mmu = !(t->tb->mode & MODE_SMAP) || ac ? MMU_SUPERVISOR : MMU_SMAP;

    flags_save(t);
    t->host = false;
    state(t, SCRATCH1);
    alu_state(t, ac ? 1 : 4, SCRATCH1, ac ? F_AC : ~F_AC);
    if (mmu == t->mmu)
        return;
    emit_lea(&t->c, SCRATCH0, FRAME, VCPU_SLOT(sets) + (int32_t)(mmu * sizeof(struct tlb_set)));
    emit_store(&t->c, SCRATCH0, FRAME, VCPU_SLOT(mmu));
    use_mmu(t, mmu);
}

/* ---- PUSHF, POPF ---- */

void op_pushf(struct tr *t, const struct insn *i)
{
    struct where below = stack_at(t, BP_RSP, -i->opsize);
    struct rm m;

    flags_save(t);
    t->host = false;
    state(t, SCRATCH1);
    emit_rm(&t->c, 0x8b, 4, SCRATCH1, SCRATCH1, STATE(rflags));
    emit_alu_imm(&t->c, 4, 4, SCRATCH1, (int32_t)STORED);
    emit_rm(&t->c, 0x0fb6, 4, SCRATCH0, FRAME, SLOT(flags) + 1); /* as LAHF has them */
    emit_rr(&t->c, 0x09, 4, SCRATCH0, SCRATCH1);
    emit_rm(&t->c, 0x0fb6, 4, SCRATCH0, FRAME, SLOT(flags));
    emit_shift(&t->c, 4, 4, SCRATCH0, 11);
    emit_rr(&t->c, 0x09, 4, SCRATCH0, SCRATCH1);
    emit_store(&t->c, SCRATCH1, FRAME, SLOT(temp));
    m = access(t, i, &below, i->opsize, ACCESS_WRITE, 0);
    keep_entry(t);
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(temp));
    emit(&t->c, 0x89, i->opsize, SCRATCH0, &m);
    wrote(t);
    stack_move(t, BP_RSP, -i->opsize);
}

void op_popf(struct tr *t, const struct insn *i)
{
    struct where top = stack_at(t, BP_RSP, 0);
    struct rm m = access(t, i, &top, i->opsize, ACCESS_READ, 0);
    uint8_t *same;

    emit(&t->c, i->opsize == 2 ? 0x0fb7 : 0x8b, i->opsize == 2 ? 4 : i->opsize, SCRATCH0, &m);
    emit_store(&t->c, SCRATCH0, FRAME, SLOT(temp));
    state(t, SCRATCH1);
    emit_rm(&t->c, 0x33, 4, SCRATCH0, SCRATCH1, STATE(rflags));
    put8(&t->c, 0xa9); /* test eax */
    put32(&t->c, ~(uint32_t)(F_ARITH | F_IF) & (i->opsize == 2 ? 0xffff : UINT32_MAX));
    redo_if(t, i, CC_NE);
    put8(&t->c, 0xa9);
    put32(&t->c, F_IF);
    same = emit_jcc(&t->c, CC_E);
    emit_rm(&t->c, 0x83, 4, 7, SCRATCH1, STATE(interrupts));
    put8(&t->c, 0);
    redo_if(t, i, CC_NE);
    alu_state(t, 6, SCRATCH1, F_IF);
    patch(same, t->c.p);
    emit_load(&t->c, SCRATCH0, FRAME, SLOT(temp));
    emit_rr(&t->c, 0x89, 4, SCRATCH0, SCRATCH1);
    emit_shift(&t->c, 5, 4, SCRATCH1, 11);
    emit_alu_imm(&t->c, 4, 4, SCRATCH1, 1);
    emit_alu_imm(&t->c, 4, 4, SCRATCH0, F_SF | F_ZF | F_AF | F_PF | F_CF | 2);
    emit_shift(&t->c, 4, 4, SCRATCH0, 8);
    emit_rr(&t->c, 0x09, 4, SCRATCH1, SCRATCH0);
    emit_rm(&t->c, 0x89, 4, SCRATCH0, FRAME, SLOT(flags));
    t->saved = true;
    t->host = false;
    stack_move(t, BP_RSP, i->opsize);
}
