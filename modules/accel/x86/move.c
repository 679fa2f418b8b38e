/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Data movement: MOV, XCHG, PUSH, POP, LEA, ENTER, flags to and from the stack, LDS and the like,
 * conversions, CMOVcc, SETcc, BOUND. The hot forms are in fast.c. Intel SDM volume 2.
 */
#include "vcpu.h"

/* ---- stack primitives ---- */

void push(struct vcpu *v, uint64_t value, unsigned size)
{
    uint64_t sp = (v->x->gpr[BP_RSP] - size) & stack_mask(v);

    store_any(v, seg_linear(v, BP_SS, sp, size, true), value, size, BP_SS);
    set_rsp(v, sp);
}

uint64_t stack_peek(struct vcpu *v, unsigned offset, unsigned size)
{
    uint64_t sp = (v->x->gpr[BP_RSP] + offset) & stack_mask(v);

    return load_any(v, seg_linear(v, BP_SS, sp, size, false), size, BP_SS);
}

uint64_t pop(struct vcpu *v, unsigned size)
{
    uint64_t value = stack_peek(v, 0, size);

    set_rsp(v, v->x->gpr[BP_RSP] + size);
    return value;
}

/* ---- MOV ---- */

void exec_mov_eg(struct vcpu *v, const struct insn *i)
{
    rm_store(v, i, i->opsize, reg_get(v, i, i->reg, i->opsize));
}

void exec_mov_ge(struct vcpu *v, const struct insn *i)
{
    reg_set(v, i, i->reg, i->opsize, rm_load(v, i, i->opsize));
}

/* XABORT, XBEGIN: no transaction ever begins: each aborts at once, for a reason that does not say "again". */
static void transaction(struct vcpu *v, const struct insn *i)
{
    if (!feature(v, BP_X86_FW_7_EBX, 11))
        exec_ud(v, i);
    if (i->opcode == 0xc6)
        return;
    jump_near(v, v->x->rip + i->imm, v->long64 ? 8 : i->opsize);
    v->x->gpr[BP_RAX] = 0;
    end_block(v);
}

void exec_mov_ei(struct vcpu *v, const struct insn *i)
{
    if (i->modrm == 0xf8) {
        transaction(v, i);
        return;
    }
    if (i->modrm >> 3 & 7)
        exec_ud(v, i);
    rm_store(v, i, i->opsize, i->imm);
}

void exec_mov_ri(struct vcpu *v, const struct insn *i)
{
    reg_set(v, i, (i->opcode & 7) | (i->rex & 1) << 3, i->opsize, i->imm);
}

void exec_mov_moffs(struct vcpu *v, const struct insn *i) /* A0..A3 */
{
    bool store = i->opcode & 2;
    uint64_t lin = seg_linear(v, i->seg, i->imm, i->opsize, store);

    if (store)
        store_any(v, lin, v->x->gpr[BP_RAX], i->opsize, i->seg);
    else
        reg_set(v, i, BP_RAX, i->opsize, load_any(v, lin, i->opsize, i->seg));
}

void exec_mov_es(struct vcpu *v, const struct insn *i) /* 8C: segment to r/m */
{
    unsigned seg = i->modrm >> 3 & 7;

    if (seg > BP_GS)
        exec_ud(v, i);
    if (i->rm == RM_MEM)
        rm_store(v, i, 2, v->x->seg[seg].selector);
    else
        reg_set(v, i, i->rm, i->opsize, v->x->seg[seg].selector);
}

static void load_segment(struct vcpu *v, unsigned seg, uint16_t selector)
{
    if (is_protected(v))
        load_data_segment(v, seg, selector);
    else
        load_real_segment(v, seg, selector);
    if (seg == BP_SS) {
        v->x->shadow = 2;
        v->attention = 1;
    }
    end_block(v);
}

void exec_mov_se(struct vcpu *v, const struct insn *i) /* 8E */
{
    unsigned seg = i->modrm >> 3 & 7;

    if (seg > BP_GS || seg == BP_CS)
        exec_ud(v, i);
    load_segment(v, seg, (uint16_t)rm_load(v, i, 2));
}

void exec_lea(struct vcpu *v, const struct insn *i)
{
    reg_set(v, i, i->reg, i->opsize, ea_offset(i));
}

void exec_xchg_eg(struct vcpu *v, const struct insn *i)
{
    uint64_t a, b = reg_get(v, i, i->reg, i->opsize);
    struct rmw m;

    if (i->rm != RM_MEM) {
        a = reg_get(v, i, i->rm, i->opsize);
        reg_set(v, i, i->rm, i->opsize, b);
    } else {
        uint64_t lin = insn_linear(v, i, i->opsize, true);

        do { /* always locked */
            a = rmw_begin_at(v, lin, i->seg, i->opsize, true, &m);
        } while (!rmw_end(v, i, &m, b));
    }
    reg_set(v, i, i->reg, i->opsize, a);
}

void exec_xchg_ax(struct vcpu *v, const struct insn *i) /* 90..97 */
{
    unsigned r = (i->opcode & 7) | (i->rex & 1) << 3;
    uint64_t a;

    if (r == 0) /* NOP, PAUSE */
        return;
    a = reg_get(v, i, BP_RAX, i->opsize);
    reg_set(v, i, BP_RAX, i->opsize, reg_get(v, i, r, i->opsize));
    reg_set(v, i, r, i->opsize, a);
}

void exec_movzx(struct vcpu *v, const struct insn *i)
{
    reg_set(v, i, i->reg, i->opsize, rm_load(v, i, i->opcode & 1 ? 2 : 1));
}

void exec_movsx(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opcode & 1 ? 2 : 1;

    reg_set(v, i, i->reg, i->opsize, (uint64_t)sign_extend(rm_load(v, i, size), size));
}

void exec_movsxd(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize == 2 ? 2 : 4;

    reg_set(v, i, i->reg, i->opsize, (uint64_t)sign_extend(rm_load(v, i, size), size));
}

void exec_cmov(struct vcpu *v, const struct insn *i)
{
    uint64_t value = rm_load(v, i, i->opsize);

    if (condition_at(v, i->opcode & 15))
        reg_set(v, i, i->reg, i->opsize, value);
    else if (i->opsize == 4)
        reg_set(v, i, i->reg, 4, v->x->gpr[i->reg]);
}

void exec_setcc(struct vcpu *v, const struct insn *i)
{
    rm_store(v, i, 1, condition_at(v, i->opcode & 15));
}

void exec_movnti(struct vcpu *v, const struct insn *i) /* 0F C3 */
{
    rm_store(v, i, i->opsize, v->x->gpr[i->reg]);
}

/* ---- PUSH and POP ---- */

void exec_push_r(struct vcpu *v, const struct insn *i)
{
    push(v, v->x->gpr[(i->opcode & 7) | (i->rex & 1) << 3], i->opsize);
}

void exec_pop_r(struct vcpu *v, const struct insn *i)
{
    uint64_t value = pop(v, i->opsize);

    reg_set(v, i, (i->opcode & 7) | (i->rex & 1) << 3, i->opsize, value);
}

void exec_push_i(struct vcpu *v, const struct insn *i)
{
    push(v, i->imm, i->opsize);
}

void exec_pop_e(struct vcpu *v, const struct insn *i) /* 8F /0 */
{
    uint64_t value;

    if (i->modrm >> 3 & 7)
        exec_ud(v, i);
    value = stack_peek(v, 0, i->opsize);
    if (i->rm == RM_MEM) { /* an address through RSP sees the popped stack */
        uint64_t off = ea_full(i) + (i->base == BP_RSP ? i->opsize : 0);

        off = i->addrsize == 8 ? off : i->addrsize == 4 ? (uint32_t)off : (uint16_t)off;
        store_any(v, seg_linear(v, i->seg, off, i->opsize, true), value, i->opsize, i->seg);
        set_rsp(v, v->x->gpr[BP_RSP] + i->opsize);
    } else {
        set_rsp(v, v->x->gpr[BP_RSP] + i->opsize);
        reg_set(v, i, i->rm, i->opsize, value);
    }
}

static unsigned seg_of_opcode(const struct insn *i)
{
    return i->map ? (i->opcode >> 3 & 7) : (i->opcode >> 3 & 3); /* 0F A0, A8: FS, GS */
}

void exec_push_seg(struct vcpu *v, const struct insn *i)
{
    unsigned seg = seg_of_opcode(i);
    uint64_t sp = (v->x->gpr[BP_RSP] - i->opsize) & stack_mask(v);

    /* With 32-bit operands only the lower half of the slot is written. */
    if (i->opsize == 4) {
        store16(v, seg_linear(v, BP_SS, sp, 2, true), v->x->seg[seg].selector, BP_SS);
        set_rsp(v, sp);
    } else {
        push(v, v->x->seg[seg].selector, i->opsize);
    }
}

void exec_pop_seg(struct vcpu *v, const struct insn *i)
{
    uint16_t selector = (uint16_t)stack_peek(v, 0, i->opsize == 8 ? 8 : 2);
    uint64_t sp = v->x->gpr[BP_RSP] + i->opsize, mask = stack_mask(v);

    load_segment(v, seg_of_opcode(i), selector);
    v->x->gpr[BP_RSP] = mask == 0xffff ? (v->x->gpr[BP_RSP] & ~mask) | (sp & mask) : sp & mask;
}

void exec_pusha(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    uint64_t sp = v->x->gpr[BP_RSP], mask = stack_mask(v);

    for (unsigned n = 0; n < 2; n++) { /* first find every fault, then write */
        for (unsigned r = 0; r < 8; r++) {
            uint64_t lin = seg_linear(v, BP_SS, (sp - (r + 1) * size) & mask, size, true);

            if (n == 0)
                probe_write(v, lin, size, BP_SS);
            else
                store_any(v, lin, v->x->gpr[r], size, BP_SS);
        }
    }
    set_rsp(v, sp - 8 * size);
}

void exec_popa(struct vcpu *v, const struct insn *i)
{
    uint64_t value[8];

    for (unsigned r = 0; r < 8; r++)
        value[r] = stack_peek(v, (7 - r) * i->opsize, i->opsize);
    for (unsigned r = 0; r < 8; r++) {
        if (r != BP_RSP)
            reg_set(v, i, r, i->opsize, value[r]);
    }
    set_rsp(v, v->x->gpr[BP_RSP] + 8 * i->opsize);
}

void exec_pushf(struct vcpu *v, const struct insn *i)
{
    uint64_t f = flags_sync(v) & ~(uint64_t)(F_VM | F_RF);

    if (is_vm86(v) && iopl(v) < 3) {
        if (!(v->x->cr4 & CR4_VME) || i->opsize != 2)
            raise_exception_code(v, EXC_GP, 0);
        f = (f & ~(uint64_t)F_IF) | F_IOPL | (f & F_VIF ? F_IF : 0);
    }
    push(v, f, i->opsize);
}

static void popf_vme(struct vcpu *v)
{
    uint64_t f = flags_sync(v), value = stack_peek(v, 0, 2);
    uint64_t can = 0xfd5 & ~(uint64_t)F_IF & ~(uint64_t)F_IOPL;

    if (value & F_TF || (value & F_IF && f & F_VIP))
        raise_exception_code(v, EXC_GP, 0);
    can |= F_NT;
    set_rsp(v, v->x->gpr[BP_RSP] + 2);
    f = (f & ~can & ~(uint64_t)F_VIF) | (value & can) | (value & F_IF ? F_VIF : 0);
    flags_write(v, f);
}

void exec_popf(struct vcpu *v, const struct insn *i)
{
    uint64_t can = F_ARITH | F_TF | F_DF | F_NT | F_AC | F_ID, value, f = flags_sync(v);

    if (is_vm86(v) && iopl(v) < 3) {
        if (!(v->x->cr4 & CR4_VME) || i->opsize != 2)
            raise_exception_code(v, EXC_GP, 0);
        popf_vme(v);
        return;
    }
    if (!(v->x->cr0 & CR0_PE) || v->cpl == 0)
        can |= F_IOPL;
    if (v->cpl <= iopl(v))
        can |= F_IF;
    if (i->opsize == 2)
        can &= 0xffff;
    value = pop(v, i->opsize);
    flags_write(v, (f & ~(can | F_RF)) | (value & can));
}

void exec_enter(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize, level = i->imm >> 16 & 31;
    uint64_t mask = stack_mask(v), sp = v->x->gpr[BP_RSP], bp = v->x->gpr[BP_RBP], frame, at;

    sp = (sp - size) & mask;
    at = seg_linear(v, BP_SS, sp, size, true);
    store_any(v, at, bp, size, BP_SS); /* first: the frames that are copied may overlap it */
    frame = sp;
    if (level) {
        for (unsigned n = 1; n < level; n++) {
            uint64_t saved;

            bp -= size;
            saved = load_any(v, seg_linear(v, BP_SS, bp & mask, size, false), size, BP_SS);
            sp = (sp - size) & mask;
            store_any(v, seg_linear(v, BP_SS, sp, size, true), saved, size, BP_SS);
        }
        sp = (sp - size) & mask;
        store_any(v, seg_linear(v, BP_SS, sp, size, true), frame, size, BP_SS);
    }
    sp = (sp - (i->imm & 0xffff)) & mask;
    probe_write(v, seg_linear(v, BP_SS, sp, size, true), size, BP_SS); /* as the processor checks */
    reg_set(v, i, BP_RBP, size, size == 2 ? frame : mask == 0xffff ? (v->x->gpr[BP_RSP] & ~mask) | frame :
            frame);
    set_rsp(v, sp);
}

void exec_leave(struct vcpu *v, const struct insn *i)
{
    uint64_t mask = stack_mask(v), bp = v->x->gpr[BP_RBP] & mask;
    uint64_t value = load_any(v, seg_linear(v, BP_SS, bp, i->opsize, false), i->opsize, BP_SS);

    set_rsp(v, bp + i->opsize);
    reg_set(v, i, BP_RBP, i->opsize, value);
}

/* ---- the rest ---- */

void exec_cbw(struct vcpu *v, const struct insn *i) /* 98 */
{
    reg_set(v, i, BP_RAX, i->opsize, (uint64_t)sign_extend(v->x->gpr[BP_RAX], i->opsize / 2));
}

void exec_cwd(struct vcpu *v, const struct insn *i) /* 99 */
{
    reg_set(v, i, BP_RDX, i->opsize, (uint64_t)(sign_extend(v->x->gpr[BP_RAX], i->opsize) >> 63));
}

void exec_xlat(struct vcpu *v, const struct insn *i)
{
    uint64_t off = v->x->gpr[BP_RBX] + (uint8_t)v->x->gpr[BP_RAX];

    off = i->addrsize == 8 ? off : i->addrsize == 4 ? (uint32_t)off : (uint16_t)off;
    *(uint8_t *)&v->x->gpr[BP_RAX] = load8(v, seg_linear(v, i->seg, off, 1, false), i->seg);
}

void exec_lahf(struct vcpu *v, const struct insn *i)
{
    if (v->long64 && !feature(v, BP_X86_FW_80000001_ECX, 0))
        exec_ud(v, i);
    ((uint8_t *)&v->x->gpr[BP_RAX])[1] = (uint8_t)(arith_flags(v) | 2);
}

void exec_sahf(struct vcpu *v, const struct insn *i)
{
    if (v->long64 && !feature(v, BP_X86_FW_80000001_ECX, 0))
        exec_ud(v, i);
    flags_set_eager(v, (arith_flags(v) & F_OF) |
                           (((uint8_t *)&v->x->gpr[BP_RAX])[1] & (F_SF | F_ZF | F_AF | F_PF | F_CF)));
}

void exec_flag_op(struct vcpu *v, const struct insn *i) /* F5 CMC, F8 CLC, F9 STC, FC CLD, FD STD */
{
    switch (i->opcode) {
    case 0xf5: flags_set_eager(v, arith_flags(v) ^ F_CF); break;
    case 0xf8: flags_set_eager(v, arith_flags(v) & ~F_CF); break;
    case 0xf9: flags_set_eager(v, arith_flags(v) | F_CF); break;
    case 0xfc: v->x->rflags &= ~(uint64_t)F_DF; break;
    default: v->x->rflags |= F_DF; break;
    }
}

void exec_far_load(struct vcpu *v, const struct insn *i) /* LES LDS LSS LFS LGS */
{
    unsigned seg = i->map == 0 ? (i->opcode == 0xc4 ? BP_ES : BP_DS) :
                   i->opcode == 0xb2 ? BP_SS : i->opcode == 0xb4 ? BP_FS : BP_GS;
    uint64_t off = ea_offset(i), value;
    uint16_t selector;

    value = load_any(v, seg_linear(v, i->seg, off, i->opsize, false), i->opsize, i->seg);
    off += i->opsize;
    off = i->addrsize == 8 ? off : i->addrsize == 4 ? (uint32_t)off : (uint16_t)off;
    selector = load16(v, seg_linear(v, i->seg, off, 2, false), i->seg);
    if (is_protected(v))
        load_data_segment(v, seg, selector);
    else
        load_real_segment(v, seg, selector);
    reg_set(v, i, i->reg, i->opsize, value);
    end_block(v);
}

void exec_nop(struct vcpu *v, const struct insn *i)
{
    (void)v;
    (void)i;
}

void exec_bound(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    int64_t index = sign_extend(v->x->gpr[i->reg], size);
    uint64_t off = ea_offset(i), next = i->addrsize == 4 ? (uint32_t)(off + size) : (uint16_t)(off + size);
    int64_t low = sign_extend(load_any(v, seg_linear(v, i->seg, off, size, false), size, i->seg), size);
    int64_t high = sign_extend(load_any(v, seg_linear(v, i->seg, next, size, false), size, i->seg), size);

    if (index < low || index > high)
        raise_exception(v, EXC_BR);
}
