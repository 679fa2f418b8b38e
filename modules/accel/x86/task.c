/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Task-state segments: hardware task switches (16- and 32-bit), inner stacks, the I/O permission map.
 * Intel SDM volume 3, chapter 7; volume 1, 19.5.2.
 */
#include "frame.h"
#include <bp/log.h>
#include <string.h>

struct tss {
    uint64_t cr3, eip, eflags, gpr[8];
    uint16_t sreg[6], ldt, link, trap;
};

static bool is_tss32(const struct bp_x86_segment *tr)
{
    return tr->attr & 8;
}

/* SS and stack pointer of an inner level; in long mode only the pointer. */
void tss_stack(struct vcpu *v, unsigned cpl, uint16_t *ret_ss, uint64_t *ret_sp)
{
    const struct bp_x86_segment *tr = &v->x->tr;
    uint32_t at;

    if (is_long(v)) {
        at = 4 + cpl * 8;
        if (at + 7 > tr->limit)
            raise_exception_code(v, EXC_TS, tr->selector & ~3u);
        *ret_sp = sys_load(v, tr->base + at, 8);
        return;
    }
    at = is_tss32(tr) ? 4 + cpl * 8 : 2 + cpl * 4;
    if (at + (is_tss32(tr) ? 5 : 3) > tr->limit)
        raise_exception_code(v, EXC_TS, tr->selector & ~3u);
    if (is_tss32(tr)) {
        *ret_sp = sys_load(v, tr->base + at, 4);
        *ret_ss = (uint16_t)sys_load(v, tr->base + at + 4, 2);
    } else {
        *ret_sp = sys_load(v, tr->base + at, 2);
        *ret_ss = (uint16_t)sys_load(v, tr->base + at + 2, 2);
    }
}

bool io_allowed(struct vcpu *v, uint16_t port, unsigned size)
{
    const struct bp_x86_segment *tr = &v->x->tr;
    uint32_t map;

    if (!(v->x->cr0 & CR0_PE) || (!is_vm86(v) && v->cpl <= iopl(v)))
        return true;
    if (!is_tss32(tr) || tr->limit < 0x67)
        return false;
    map = (uint32_t)sys_load(v, tr->base + 0x66, 2) + port / 8;
    if (map + 1 > tr->limit)
        return false;
    return !(sys_load(v, tr->base + map, 2) >> (port & 7) & ((1u << size) - 1));
}

static void read_tss(struct vcpu *v, uint64_t base, bool wide, struct tss *t)
{
    static const uint8_t regs = 8;

    if (wide) {
        t->cr3 = sys_load(v, base + 28, 4);
        t->eip = sys_load(v, base + 32, 4);
        t->eflags = sys_load(v, base + 36, 4);
        for (unsigned n = 0; n < regs; n++)
            t->gpr[n] = sys_load(v, base + 40 + n * 4, 4);
        for (unsigned n = 0; n < 6; n++)
            t->sreg[n] = (uint16_t)sys_load(v, base + 72 + n * 4, 2);
        t->ldt = (uint16_t)sys_load(v, base + 96, 2);
        t->trap = (uint16_t)sys_load(v, base + 100, 2);
        return;
    }
    t->cr3 = v->x->cr3;
    t->trap = 0;
    t->eip = sys_load(v, base + 14, 2);
    t->eflags = sys_load(v, base + 16, 2);
    for (unsigned n = 0; n < regs; n++)
        t->gpr[n] = sys_load(v, base + 18 + n * 2, 2) | 0xffff0000u;
    for (unsigned n = 0; n < 4; n++)
        t->sreg[n] = (uint16_t)sys_load(v, base + 34 + n * 2, 2);
    t->sreg[BP_FS] = t->sreg[BP_GS] = 0;
    t->ldt = (uint16_t)sys_load(v, base + 42, 2);
}

static void save_tss(struct vcpu *v, uint64_t flags)
{
    const struct bp_x86_cpu *x = v->x;
    uint64_t base = x->tr.base;

    if (is_tss32(&x->tr)) {
        sys_store(v, base + 32, x->rip, 4);
        sys_store(v, base + 36, flags, 4);
        for (unsigned n = 0; n < 8; n++)
            sys_store(v, base + 40 + n * 4, x->gpr[n], 4);
        for (unsigned n = 0; n < 6; n++)
            sys_store(v, base + 72 + n * 4, x->seg[n].selector, 2);
        return;
    }
    sys_store(v, base + 14, x->rip, 2);
    sys_store(v, base + 16, flags, 2);
    for (unsigned n = 0; n < 8; n++)
        sys_store(v, base + 18 + n * 2, x->gpr[n], 2);
    for (unsigned n = 0; n < 4; n++)
        sys_store(v, base + 34 + n * 2, x->seg[n].selector, 2);
}

static void set_busy(struct vcpu *v, uint16_t selector, bool busy)
{
    uint64_t at = v->x->gdtr.base + (selector & ~7u) + 5;
    uint64_t b = sys_load(v, at, 1);

    sys_store(v, at, busy ? b | 2 : b & ~(uint64_t)2, 1);
}

/* The new task's segments: faults are the new task's, with its state loaded already. */
static void load_task_segments(struct vcpu *v, const struct tss *t)
{
    struct bp_x86_cpu *x = v->x;
    struct bp_x86_segment s;
    struct descriptor d;
    uint16_t cs = t->sreg[BP_CS];
    unsigned rpl = cs & 3;
    static const uint8_t data[] = {BP_ES, BP_DS, BP_FS, BP_GS};

    load_ldt(v, t->ldt, EXC_TS);
    if (is_vm86(v)) {
        for (unsigned n = 0; n < 6; n++)
            load_real_segment(v, n, t->sreg[n]);
        set_cpl(v, 3);
        return;
    }
    if (!(cs & ~3u))
        raise_exception_code(v, EXC_TS, 0);
    if (!descriptor_read(v, cs, &d) || (desc_type(&d) & 0x18) != 0x18 ||
        (desc_type(&d) & 4 ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
        raise_exception_code(v, EXC_TS, cs & ~3u);
    if (!desc_present(&d))
        raise_exception_code(v, EXC_NP, cs & ~3u);
    set_cpl(v, rpl);
    check_stack_segment(v, t->sreg[BP_SS], rpl, EXC_TS, &s, &d);
    descriptor_set_accessed(v, &d);
    descriptor_unpack(&d, t->sreg[BP_SS], &x->seg[BP_SS]);
    for (unsigned n = 0; n < 4; n++) {
        uint16_t selector = t->sreg[data[n]];

        if (!(selector & ~3u))
            continue;
        if (!descriptor_read(v, selector, &d) || !(desc_type(&d) & 0x10) || (desc_type(&d) & 10) == 8 ||
            ((desc_type(&d) & 12) != 12 && (desc_dpl(&d) < rpl || desc_dpl(&d) < (selector & 3u))))
            raise_exception_code(v, EXC_TS, selector & ~3u);
        if (!desc_present(&d))
            raise_exception_code(v, EXC_NP, selector & ~3u);
        load_data_segment(v, data[n], selector);
    }
    descriptor_read(v, cs, &d);
    descriptor_set_accessed(v, &d);
    descriptor_unpack(&d, cs, &s);
    set_cs(v, &s, rpl);
    if (x->rip > s.limit)
        raise_exception_code(v, EXC_GP, 0);
}

static void enter_task(struct vcpu *v, const struct tss *t, bool wide)
{
    struct bp_x86_cpu *x = v->x;

    for (unsigned n = 0; n < 8; n++)
        x->gpr[n] = (uint32_t)t->gpr[n];
    x->rip = t->eip;
    for (unsigned n = 0; n < 6; n++) {
        x->seg[n] = (struct bp_x86_segment){.selector = t->sreg[n]};
    }
    memset(&x->ldtr, 0, sizeof(x->ldtr));
    x->ldtr.selector = t->ldt;
    if (wide && x->cr0 & CR0_PG && t->cr3 != x->cr3) {
        x->cr3 = t->cr3;
        if (x->cr4 & CR4_PAE)
            pae_load_pdptes(v, x->cr3);
        tlb_flush(v, false);
    }
    flags_write(v, t->eflags);
    if (v->first) { /* counted: it is done, and the last of its block */
        *v->budget -= (int32_t)(v->cur - v->first) + 1;
        v->first = NULL;
    }
    v->cur = NULL; /* faults from here on belong to the new task's first instruction */
    x->cr0 |= CR0_TS;
    x->dr[7] &= ~(uint64_t)0x155; /* local breakpoints end with the task */
    debug_update(v);
    load_task_segments(v, t);
    if (t->trap & 1) {
        x->dr[6] |= 0x8000;
        raise_exception(v, EXC_DB);
    }
}

void task_switch(struct vcpu *v, uint16_t selector, enum task_switch kind, bool has_code, uint32_t code)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t flags = flags_sync(v);
    struct bp_x86_segment tr;
    struct descriptor d;
    uint16_t old = x->tr.selector;
    struct tss t;
    bool wide;

    if (unlikely(bp_log_on(BP_LOG_PCALL)))
        bp_log(BP_LOG_PCALL, "task switch to %04x from %04x on CPU %u\n", selector, old, x->apic_id);
    if (selector & 4 || !descriptor_read(v, selector, &d))
        raise_exception_code(v, EXC_GP, selector & ~3u);
    descriptor_unpack(&d, selector, &tr);
    wide = tr.attr & 8;
    if (tr.limit < (wide ? 0x67u : 0x2bu))
        raise_exception_code(v, EXC_TS, selector & ~3u);
    read_tss(v, tr.base, wide, &t);
    if (kind == TASK_IRET)
        flags &= ~(uint64_t)F_NT;
    save_tss(v, flags);
    if (kind != TASK_CALL)
        set_busy(v, old, false);
    else
        sys_store(v, tr.base, old, 2);
    if (kind != TASK_IRET)
        set_busy(v, selector, true);
    tr.attr |= 2;
    x->tr = tr;
    if (kind == TASK_CALL)
        t.eflags |= F_NT;
    if (!wide) /* the upper half of EFLAGS is not in a 16-bit TSS */
        t.eflags &= 0xffff;
    enter_task(v, &t, wide);
    if (has_code) {
        struct frame f;

        frame_current(v, &f);
        frame_push(v, &f, code, wide ? 4 : 2);
        frame_commit(v, &f);
    }
    end_block(v);
}
