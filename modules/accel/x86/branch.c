/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Branches: Jcc, JMP, CALL, RET, LOOP, group 5, software interrupts. Intel SDM volume 2. */
#include "vcpu.h"

void jump_near(struct vcpu *v, uint64_t target, unsigned size)
{
    if (v->long64) {
        if (!is_canonical(v, target))
            raise_exception_code(v, EXC_GP, 0);
        v->x->rip = target;
        return;
    }
    target = size == 2 ? (uint16_t)target : (uint32_t)target;
    if (target > v->x->seg[BP_CS].limit)
        raise_exception_code(v, EXC_GP, 0);
    v->x->rip = target;
}

void exec_jcc(struct vcpu *v, const struct insn *i)
{
    if (condition_at(v, i->opcode & 15))
        jump_near(v, v->x->rip + i->imm, i->opsize);
}

void exec_jmp(struct vcpu *v, const struct insn *i) /* E9, EB */
{
    jump_near(v, v->x->rip + i->imm, i->opsize);
}

static void call_to(struct vcpu *v, uint64_t target, unsigned size)
{
    uint64_t next = v->x->rip, sp = v->x->gpr[BP_RSP];

    if (v->long64 && !is_canonical(v, target)) {
        push(v, next, size); /* the stack is written, and may fault, before the target counts */
        v->x->gpr[BP_RSP] = sp;
    }
    jump_near(v, target, size);
    target = v->x->rip;
    v->x->rip = next; /* as it was if the push faults */
    push(v, next, size);
    v->x->rip = target;
}

void exec_call(struct vcpu *v, const struct insn *i)
{
    call_to(v, v->x->rip + i->imm, i->opsize);
}

void exec_ret(struct vcpu *v, const struct insn *i) /* C2, C3 */
{
    uint64_t target = stack_peek(v, 0, i->opsize);

    jump_near(v, target, i->opsize);
    set_rsp(v, v->x->gpr[BP_RSP] + i->opsize + (i->opcode == 0xc2 ? (uint16_t)i->imm : 0));
}

static void far_indirect(struct vcpu *v, const struct insn *i, bool call)
{
    unsigned size = i->opsize;
    uint64_t off = ea_offset(i), target;
    uint16_t selector;

    if (i->rm != RM_MEM)
        exec_ud(v, i);
    target = load_any(v, seg_linear(v, i->seg, off, size, false), size, i->seg);
    off += size;
    off = i->addrsize == 8 ? off : i->addrsize == 4 ? (uint32_t)off : (uint16_t)off;
    selector = load16(v, seg_linear(v, i->seg, off, 2, false), i->seg);
    far_transfer(v, selector, target, size, call);
}

void exec_group5(struct vcpu *v, const struct insn *i)
{
    switch (i->modrm >> 3 & 7) {
    case 0: case 1: exec_incdec_rm(v, i); break;
    case 2: call_to(v, rm_load(v, i, i->opsize), i->opsize); break;
    case 3: far_indirect(v, i, true); break;
    case 4: jump_near(v, rm_load(v, i, i->opsize), i->opsize); break;
    case 5: far_indirect(v, i, false); break;
    case 6: push(v, rm_load(v, i, i->opsize), i->opsize); break;
    default: exec_ud(v, i);
    }
}

void exec_loop(struct vcpu *v, const struct insn *i) /* E0 LOOPNE, E1 LOOPE, E2 LOOP */
{
    uint64_t count = (v->x->gpr[BP_RCX] - 1) & size_mask(i->addrsize);
    bool taken = count != 0;

    if (i->opcode != 0xe2)
        taken = taken && flag_z(v) == (i->opcode == 0xe1);
    if (taken)
        jump_near(v, v->x->rip + i->imm, i->opsize);
    reg_set(v, i, BP_RCX, i->addrsize, count);
}

void exec_jcxz(struct vcpu *v, const struct insn *i)
{
    if ((v->x->gpr[BP_RCX] & size_mask(i->addrsize)) == 0)
        jump_near(v, v->x->rip + i->imm, i->opsize);
}

void exec_far_jmp_i(struct vcpu *v, const struct insn *i) /* EA: offset in imm, selector in disp */
{
    far_transfer(v, (uint16_t)i->disp, i->imm, i->opsize, false);
}

void exec_far_call_i(struct vcpu *v, const struct insn *i) /* 9A */
{
    far_transfer(v, (uint16_t)i->disp, i->imm, i->opsize, true);
}

void exec_iret(struct vcpu *v, const struct insn *i)
{
    far_iret(v, i->opsize);
}

void exec_int3(struct vcpu *v, const struct insn *i)
{
    (void)i;
    interrupt_deliver(v, EXC_BP, EVENT_INT3, false, 0);
}

void exec_int_n(struct vcpu *v, const struct insn *i)
{
    interrupt_deliver(v, (uint8_t)i->imm, EVENT_SOFTWARE, false, 0);
}

void exec_into(struct vcpu *v, const struct insn *i)
{
    (void)i;
    if (arith_flags(v) & F_OF)
        interrupt_deliver(v, EXC_OF, EVENT_INT3, false, 0);
}

void exec_icebp(struct vcpu *v, const struct insn *i)
{
    (void)i;
    interrupt_deliver(v, EXC_DB, EVENT_ICEBP, false, 0);
}
