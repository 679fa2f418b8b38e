/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transfers between segments: far JMP and CALL through code segments, call gates, task gates and
 * TSSs, far RET, IRET. Intel SDM volume 2 (those instructions) and volume 3, 5.8.
 */
#include "frame.h"
#include <bp/log.h>

#define GP(code) raise_exception_code(v, EXC_GP, code)
#define NP(code) raise_exception_code(v, EXC_NP, code)

/* ---- frames ---- */

void frame_current(struct vcpu *v, struct frame *f)
{
    f->ss = v->x->seg[BP_SS];
    f->sp = v->x->gpr[BP_RSP];
    f->cpl = v->cpl;
    f->wide = v->long64;
    f->switched = false;
}

void frame_from_tss(struct vcpu *v, struct frame *f, unsigned cpl)
{
    struct descriptor d;
    uint16_t ss;

    tss_stack(v, cpl, &ss, &f->sp);
    check_stack_segment(v, ss, cpl, EXC_TS, &f->ss, &d);
    descriptor_set_accessed(v, &d);
    f->ss.attr |= 1;
    f->cpl = cpl;
    f->wide = false;
    f->switched = true;
}

static uint64_t frame_mask(const struct frame *f)
{
    return f->wide ? ~(uint64_t)0 : f->ss.attr & BP_X86_SEG_DB ? 0xffffffffu : 0xffffu;
}

void frame_push(struct vcpu *v, struct frame *f, uint64_t value, unsigned size)
{
    uint64_t mask = frame_mask(f), off = (f->sp - size) & mask, last = off + size - 1, lin = off;
    uint32_t code = f->switched ? f->ss.selector & ~3u : 0;
    struct tlb_set *old;

    if (f->wide) {
        if (!is_canonical(v, off))
            raise_exception_code(v, EXC_SS, code);
    } else {
        bool down = (f->ss.attr & 12) == 4 && v->x->cr0 & CR0_PE;

        if (down ? off <= f->ss.limit || last > mask : last > f->ss.limit)
            raise_exception_code(v, EXC_SS, code);
        lin = (uint32_t)(f->ss.base + off);
    }
    old = mmu_swap(v, f->cpl == 3 ? MMU_USER : mmu_implicit(v));
    store_any(v, lin, value, size, BP_SS);
    v->mmu = old;
    f->sp = mask == 0xffff ? (f->sp & ~mask) | off : off;
}

void frame_commit(struct vcpu *v, const struct frame *f)
{
    uint64_t *rsp = &v->x->gpr[BP_RSP];

    v->x->seg[BP_SS] = f->ss;
    if (frame_mask(f) == 0xffff)
        *rsp = (*rsp & ~(uint64_t)0xffff) | (f->sp & 0xffff);
    else
        *rsp = f->sp & frame_mask(f);
}

/* ---- jumps and calls ---- */

static void real_transfer(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, bool call)
{
    struct frame f;

    if (offset > v->x->seg[BP_CS].limit)
        GP(0);
    if (call) {
        frame_current(v, &f);
        frame_push(v, &f, v->x->seg[BP_CS].selector, size);
        frame_push(v, &f, v->x->rip, size);
        frame_commit(v, &f);
    }
    load_real_segment(v, BP_CS, selector);
    v->x->rip = offset;
    end_block(v);
}

/* Checks a code segment as a target and its offset; fills *s. */
static void check_target(struct vcpu *v, const struct descriptor *d, uint16_t selector, uint64_t offset,
                         struct bp_x86_segment *s)
{
    if (!desc_present(d))
        NP(selector & ~3u);
    descriptor_unpack(d, selector, s);
    if (is_long(v) && s->attr & BP_X86_SEG_L) {
        if (s->attr & BP_X86_SEG_DB)
            GP(selector & ~3u);
        if (!is_canonical(v, offset))
            GP(0);
    } else if (offset > s->limit) {
        GP(0);
    }
}

static void to_code(struct vcpu *v, struct descriptor *d, uint16_t selector, uint64_t offset, unsigned size,
                    bool call)
{
    unsigned dpl = desc_dpl(d);
    struct bp_x86_segment s;
    struct frame f;

    if (desc_type(d) & 4 ? dpl > v->cpl : ((selector & 3) > v->cpl || dpl != v->cpl))
        GP(selector & ~3u);
    check_target(v, d, selector, offset, &s);
    if (call) {
        frame_current(v, &f);
        frame_push(v, &f, v->x->seg[BP_CS].selector, size);
        frame_push(v, &f, v->x->rip, size);
    }
    descriptor_set_accessed(v, d);
    s.attr |= 1;
    if (call)
        frame_commit(v, &f);
    v->x->rip = offset;
    set_cs(v, &s, v->cpl);
}

static void push_inner(struct vcpu *v, struct frame *f, unsigned size, unsigned params)
{
    const struct bp_x86_cpu *x = v->x;
    uint64_t param[32];

    for (unsigned n = 0; n < params; n++)
        param[n] = stack_peek(v, (params - 1 - n) * size, size);
    frame_push(v, f, x->seg[BP_SS].selector, size);
    frame_push(v, f, x->gpr[BP_RSP], size);
    for (unsigned n = 0; n < params; n++)
        frame_push(v, f, param[n], size);
    frame_push(v, f, x->seg[BP_CS].selector, size);
    frame_push(v, f, x->rip, size);
}

static void through_call_gate(struct vcpu *v, const struct descriptor *gate, bool call)
{
    bool lng = is_long(v), wide = desc_type(gate) & 8;
    unsigned size = lng ? 8 : wide ? 4 : 2, dpl;
    uint16_t selector = (uint16_t)(gate->low >> 16);
    uint64_t offset = (gate->low & 0xffff) | (wide ? gate->high & 0xffff0000u : 0) |
                      (uint64_t)gate->high2 << 32;
    struct bp_x86_segment s;
    struct descriptor d;
    struct frame f;

    if (!(selector & ~3u))
        GP(0);
    if (!descriptor_read(v, selector, &d))
        GP(selector & ~3u);
    dpl = desc_dpl(&d);
    if ((desc_type(&d) & 0x18) != 0x18 || dpl > v->cpl ||
        (lng && (d.high & 0x600000) != 0x200000))
        GP(selector & ~3u);
    if (!call && !(desc_type(&d) & 4) && dpl != v->cpl)
        GP(selector & ~3u);
    if (call && !(desc_type(&d) & 4) && dpl < v->cpl) { /* to an inner level */
        check_target(v, &d, selector, offset, &s);
        if (lng) {
            tss_stack(v, dpl, NULL, &f.sp);
            f.ss = (struct bp_x86_segment){.selector = (uint16_t)dpl, .attr = (uint16_t)(dpl << 5)};
            f.cpl = dpl;
            f.wide = f.switched = true;
            push_inner(v, &f, 8, 0);
        } else {
            frame_from_tss(v, &f, dpl);
            push_inner(v, &f, size, gate->high & 31);
        }
        descriptor_set_accessed(v, &d);
        s.attr |= 1;
        frame_commit(v, &f);
        v->x->rip = offset;
        set_cs(v, &s, dpl);
        return;
    }
    check_target(v, &d, selector, offset, &s);
    if (call) {
        frame_current(v, &f);
        f.wide = lng;
        frame_push(v, &f, v->x->seg[BP_CS].selector, size);
        frame_push(v, &f, v->x->rip, size);
        frame_commit(v, &f);
    }
    descriptor_set_accessed(v, &d);
    s.attr |= 1;
    v->x->rip = offset;
    set_cs(v, &s, v->cpl);
}

static void through_task_gate(struct vcpu *v, const struct descriptor *gate, bool call)
{
    uint16_t selector = (uint16_t)(gate->low >> 16);
    struct descriptor d;

    if (selector & 4 || !descriptor_read(v, selector, &d) || (desc_type(&d) & 0x17) != 1)
        GP(selector & ~3u);
    if (!desc_present(&d))
        NP(selector & ~3u);
    task_switch(v, selector, call ? TASK_CALL : TASK_JMP, false, 0);
}

static void log_far(const struct vcpu *v, const char *what, uint16_t selector, uint64_t offset)
{
    if (likely(!bp_log_on(BP_LOG_PCALL)))
        return;
    bp_log(BP_LOG_PCALL, "%s %04x:%016llx from %04x:%016llx cpl %u on CPU %u\n", what, selector,
           (unsigned long long)offset, v->x->seg[BP_CS].selector, (unsigned long long)v->x->rip, v->cpl, v->x->apic_id);
}

void far_transfer(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, bool call)
{
    struct descriptor d;
    unsigned type, dpl;

    if (!is_protected(v)) {
        real_transfer(v, selector, offset, size, call);
        return;
    }
    log_far(v, call ? "lcall" : "ljmp", selector, offset);
    if (!(selector & ~3u))
        GP(0);
    if (!descriptor_read(v, selector, &d))
        GP(selector & ~3u);
    type = desc_type(&d);
    dpl = desc_dpl(&d);
    if ((type & 0x18) == 0x18) {
        to_code(v, &d, selector, offset, size, call);
        return;
    }
    if (type & 0x10 || (is_long(v) && type != 12))
        GP(selector & ~3u);
    if (type != 1 && type != 9 && type != 4 && type != 12 && type != 5)
        GP(selector & ~3u);
    if (dpl < v->cpl || (selector & 3) > dpl)
        GP(selector & ~3u);
    if (is_long(v)) {
        if ((selector & ~7u) + 15u > (selector & 4 ? v->x->ldtr.limit : v->x->gdtr.limit))
            GP(selector & ~3u);
        descriptor_wide(v, &d);
        if (sys_load(v, d.linear + 12, 4) & 0x1f00)
            GP(selector & ~3u);
    }
    if (!desc_present(&d))
        NP(selector & ~3u);
    if (type == 4 || type == 12)
        through_call_gate(v, &d, call);
    else if (type == 5)
        through_task_gate(v, &d, call);
    else if (selector & 4)
        GP(selector & ~3u);
    else
        task_switch(v, selector, call ? TASK_CALL : TASK_JMP, false, 0);
}

/* ---- returns ---- */

/* A data segment that the outer level may not use becomes null. One that is null already keeps its
 * base, which 64-bit code sets through MSRs. */
static void drop_inner_segments(struct vcpu *v)
{
    static const uint8_t list[] = {BP_ES, BP_DS, BP_FS, BP_GS};

    for (unsigned n = 0; n < 4; n++) {
        struct bp_x86_segment *s = &v->x->seg[list[n]];
        unsigned type = s->attr & 0x1f;

        if (s->selector >> 2 && (unsigned)(s->attr >> 5 & 3) < v->cpl && (type & 0x1c) != 0x1c) {
            s->selector = 0;
            s->attr = 0;
            s->base = 0;
            s->limit = 0;
        }
    }
    mode_update(v);
}

/* The common half of far RET and IRET to protected mode. `at`: where SS:RSP lie on the stack,
 * release: further bytes taken from both stacks. */
static void protected_return(struct vcpu *v, uint16_t selector, uint64_t rip, unsigned size, unsigned at,
                             unsigned release, bool iret)
{
    unsigned rpl = selector & 3, dpl;
    struct bp_x86_segment cs, ss = v->x->seg[BP_SS];
    struct descriptor d, sd;
    bool outer = rpl != v->cpl, pops_stack = outer || (iret && v->long64), null_ss = false;
    uint64_t rsp = 0;

    log_far(v, iret ? "iret" : "lret", selector, rip);
    if (!(selector & ~3u))
        GP(0);
    if (!descriptor_read(v, selector, &d))
        GP(selector & ~3u);
    dpl = desc_dpl(&d);
    if ((desc_type(&d) & 0x18) != 0x18 || rpl < v->cpl ||
        (desc_type(&d) & 4 ? dpl > rpl : dpl != rpl))
        GP(selector & ~3u);
    check_target(v, &d, selector, rip, &cs);
    if (pops_stack) {
        uint16_t new_ss = (uint16_t)stack_peek(v, at + size, size == 2 ? 2 : size);

        rsp = stack_peek(v, at, size);
        if (!(new_ss & ~3u)) {
            if (!is_long(v) || !(cs.attr & BP_X86_SEG_L) || rpl == 3 || (new_ss & 3) != rpl)
                GP(0);
            ss = (struct bp_x86_segment){.selector = new_ss, .attr = (uint16_t)(rpl << 5)};
            null_ss = true;
        } else {
            check_stack_segment(v, new_ss, rpl, EXC_GP, &ss, &sd);
        }
    }
    descriptor_set_accessed(v, &d);
    cs.attr |= 1;
    if (pops_stack) {
        if (!null_ss)
            descriptor_set_accessed(v, &sd);
        v->x->seg[BP_SS] = ss;
        v->x->seg[BP_SS].attr |= null_ss ? 0 : 1;
    } else {
        set_rsp(v, v->x->gpr[BP_RSP] + at + release);
    }
    v->x->rip = rip;
    set_cs(v, &cs, rpl);
    if (pops_stack) {
        rsp += outer ? release : 0;
        if (v->long64)
            v->x->gpr[BP_RSP] = rsp;
        else if (ss.attr & BP_X86_SEG_DB)
            v->x->gpr[BP_RSP] = (uint32_t)rsp;
        else
            v->x->gpr[BP_RSP] = (v->x->gpr[BP_RSP] & ~(uint64_t)0xffff) | (rsp & 0xffff);
    }
    if (outer)
        drop_inner_segments(v);
}

void exec_far_ret(struct vcpu *v, const struct insn *i) /* CA, CB */
{
    unsigned size = i->opsize, release = i->opcode == 0xca ? (uint16_t)i->imm : 0;
    uint64_t rip = stack_peek(v, 0, size);
    uint16_t cs = (uint16_t)stack_peek(v, size, size);

    end_block(v);
    if (is_protected(v)) {
        protected_return(v, cs, rip, size, 2 * size + ((cs & 3) != v->cpl ? release : 0),
                         release, false);
        return;
    }
    if (rip > v->x->seg[BP_CS].limit)
        GP(0);
    set_rsp(v, v->x->gpr[BP_RSP] + 2 * size + release);
    load_real_segment(v, BP_CS, cs);
    v->x->rip = rip;
}

static void iret_real(struct vcpu *v, unsigned size)
{
    uint64_t rip = stack_peek(v, 0, size), flags = stack_peek(v, 2 * size, size);
    uint16_t cs = (uint16_t)stack_peek(v, size, size);
    uint64_t can = F_ARITH | F_TF | F_IF | F_DF | F_NT, f = flags_sync(v);

    if (is_vm86(v)) {
        if (iopl(v) < 3) {
            if (!(v->x->cr4 & CR4_VME) || size != 2)
                GP(0);
            if (flags & F_TF || (flags & F_IF && f & F_VIP))
                GP(0);
            can &= ~(uint64_t)F_IF;
            f = (f & ~(uint64_t)F_VIF) | (flags & F_IF ? F_VIF : 0);
        }
    } else {
        can |= F_IOPL;
    }
    if (size == 4)
        can |= F_RF | F_AC | F_ID;
    else
        f &= ~(uint64_t)F_RF;
    if (rip > v->x->seg[BP_CS].limit)
        GP(0);
    set_rsp(v, v->x->gpr[BP_RSP] + 3 * size);
    load_real_segment(v, BP_CS, cs);
    v->x->rip = rip;
    flags_write(v, (f & ~can) | (flags & can));
}

static void iret_to_vm86(struct vcpu *v, uint64_t rip, uint16_t cs, uint64_t flags)
{
    uint32_t value[6]; /* ESP SS ES DS FS GS */
    static const uint8_t order[] = {BP_SS, BP_ES, BP_DS, BP_FS, BP_GS};

    for (unsigned n = 0; n < 6; n++)
        value[n] = (uint32_t)stack_peek(v, 12 + n * 4, 4);
    if (rip > 0xffff)
        GP(0);
    flags_write(v, flags);
    v->cpl = 3;
    load_real_segment(v, BP_CS, cs);
    for (unsigned n = 0; n < 5; n++)
        load_real_segment(v, order[n], (uint16_t)value[n + 1]);
    v->x->gpr[BP_RSP] = value[0];
    v->x->rip = rip;
    set_cpl(v, 3);
}

void far_iret(struct vcpu *v, unsigned size)
{
    uint64_t rip, flags, can = F_ARITH | F_TF | F_DF | F_NT, f;
    uint16_t cs;

    end_block(v);
    v->x->nmi_blocked = 0;
    v->attention = 1;
    if (!is_protected(v)) {
        iret_real(v, size);
        return;
    }
    f = flags_sync(v);
    if (f & F_NT) {
        struct descriptor d;
        uint16_t link;

        if (is_long(v))
            GP(0);
        link = (uint16_t)sys_load(v, v->x->tr.base, 2);
        if (link & 4 || !descriptor_read(v, link, &d) || (desc_type(&d) & 0x17) != 3)
            raise_exception_code(v, EXC_TS, link & ~3u);
        if (!desc_present(&d))
            NP(link & ~3u);
        task_switch(v, link, TASK_IRET, false, 0);
        return;
    }
    rip = stack_peek(v, 0, size);
    cs = (uint16_t)stack_peek(v, size, size);
    flags = stack_peek(v, 2 * size, size);
    if (flags & F_VM && size == 4 && v->cpl == 0 && !is_long(v)) {
        iret_to_vm86(v, rip, cs, flags);
        return;
    }
    if (v->cpl <= iopl(v))
        can |= F_IF;
    if (v->cpl == 0)
        can |= F_IOPL;
    if (size >= 4) {
        can |= F_RF | F_AC | F_ID;
        if (v->cpl == 0)
            can |= F_VIF | F_VIP;
    } else {
        f &= ~(uint64_t)F_RF;
    }
    protected_return(v, cs, rip, size, 3 * size, 0, true);
    flags_write(v, (f & ~can) | (flags & can));
}
