/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Delivery of interrupts and exceptions: real mode's vector table, virtual-8086 mode with the VME
 * redirection map, 16- and 32-bit gates, task gates, 64-bit gates with IST; double and triple
 * faults. Intel SDM volume 3, chapter 6 and 20.3.
 */
#include "frame.h"
#include <bp/log.h>

static _Noreturn void gate_error(struct vcpu *v, unsigned vector, uint32_t code)
{
    raise_exception_code(v, vector, code); /* EXT is added there */
}

static void deliver_real(struct vcpu *v, unsigned vector, uint64_t table, uint64_t limit)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t flags = flags_sync(v);
    uint32_t entry;
    struct frame f;

    if (vector * 4 + 3 > limit)
        gate_error(v, EXC_GP, vector * 8 + 2);
    entry = (uint32_t)sys_load(v, table + vector * 4, 4);
    if (is_vm86(v)) {
        /* The program's idea of IF is VIF, and IOPL looks like 3. */
        if (iopl(v) < 3)
            flags = (flags & ~(uint64_t)F_IF) | F_IOPL | (flags & F_VIF ? F_IF : 0);
    }
    frame_current(v, &f);
    frame_push(v, &f, flags, 2);
    frame_push(v, &f, x->seg[BP_CS].selector, 2);
    frame_push(v, &f, x->rip, 2);
    frame_commit(v, &f);
    load_real_segment(v, BP_CS, (uint16_t)(entry >> 16));
    x->rip = entry & 0xffff;
    flags = x->rflags & ~(uint64_t)(F_TF | F_RF);
    if (is_vm86(v))
        flags &= iopl(v) < 3 ? ~(uint64_t)F_VIF : ~(uint64_t)F_IF;
    else
        flags &= ~(uint64_t)(F_IF | F_AC);
    flags_write(v, flags);
    end_block(v);
}

/* Does the TSS send this INT n of a virtual-8086 task to its own vector table? */
static bool redirected(struct vcpu *v, unsigned vector)
{
    const struct bp_x86_segment *tr = &v->x->tr;
    uint16_t map;

    if (!(v->x->cr4 & CR4_VME) || tr->limit < 0x67)
        return false;
    map = (uint16_t)sys_load(v, tr->base + 0x66, 2);
    if (map < 32 || map - 32u + vector / 8 > tr->limit)
        return false;
    return !(sys_load(v, tr->base + map - 32 + vector / 8, 1) >> (vector & 7) & 1);
}

static void push_frame(struct vcpu *v, struct frame *f, uint64_t flags, unsigned size, bool stack,
                       bool has_code, uint32_t code)
{
    const struct bp_x86_cpu *x = v->x;

    if (is_vm86(v)) {
        frame_push(v, f, x->seg[BP_GS].selector, size);
        frame_push(v, f, x->seg[BP_FS].selector, size);
        frame_push(v, f, x->seg[BP_DS].selector, size);
        frame_push(v, f, x->seg[BP_ES].selector, size);
    }
    if (stack) {
        frame_push(v, f, x->seg[BP_SS].selector, size);
        frame_push(v, f, x->gpr[BP_RSP], size);
    }
    frame_push(v, f, flags, size);
    frame_push(v, f, x->seg[BP_CS].selector, size);
    frame_push(v, f, x->rip, size);
    if (has_code)
        frame_push(v, f, code, size);
}

static void leave_vm86(struct vcpu *v)
{
    static const uint8_t list[] = {BP_ES, BP_DS, BP_FS, BP_GS};

    for (unsigned n = 0; n < 4; n++)
        v->x->seg[list[n]] = (struct bp_x86_segment){0};
}

/* RF in the pushed image: faults are restarted without meeting the same code breakpoint again. */
static uint64_t pushed_flags(struct vcpu *v, unsigned vector, enum event kind)
{
    uint64_t f = flags_sync(v);

    if (kind == EVENT_FAULT && vector != EXC_DB && vector != EXC_BP && vector != EXC_OF &&
        vector != EXC_DF)
        f |= F_RF;
    if (kind == EVENT_EXTERNAL && v->resume)
        f |= F_RF;
    return f;
}

static void stack_for(struct vcpu *v, struct frame *f, unsigned dpl, unsigned ist, bool lng)
{
    if (!lng) {
        if (dpl < v->cpl)
            frame_from_tss(v, f, dpl);
        else
            frame_current(v, f);
        return;
    }
    frame_current(v, f);
    if (ist) {
        uint32_t at = 28 + ist * 8;

        if (at + 7 > v->x->tr.limit)
            gate_error(v, EXC_TS, v->x->tr.selector & ~3u);
        f->sp = sys_load(v, v->x->tr.base + at, 8);
    } else if (dpl < v->cpl) {
        tss_stack(v, dpl, NULL, &f->sp);
    }
    if (dpl < v->cpl)
        f->ss = (struct bp_x86_segment){.selector = (uint16_t)dpl, .attr = (uint16_t)(dpl << 5)};
    f->switched = false;
    f->cpl = dpl;
    f->wide = true;
    f->sp &= ~(uint64_t)15;
}

static void through_gate(struct vcpu *v, unsigned vector, const struct descriptor *gate, enum event kind,
                         bool has_code, uint32_t code)
{
    bool lng = is_long(v), from_vm86 = is_vm86(v);
    uint16_t selector = (uint16_t)(gate->low >> 16);
    unsigned size = lng ? 8 : desc_type(gate) & 8 ? 4 : 2, dpl;
    uint64_t offset = (gate->low & 0xffff) | (size == 2 ? 0 : gate->high & 0xffff0000u) |
                      (uint64_t)gate->high2 << 32;
    uint64_t flags = pushed_flags(v, vector, kind);
    struct bp_x86_segment cs;
    struct descriptor d;
    struct frame f;

    if (!(selector & ~3u))
        gate_error(v, EXC_GP, 0);
    if (!descriptor_read(v, selector, &d) || (desc_type(&d) & 0x18) != 0x18 || desc_dpl(&d) > v->cpl ||
        (lng && (d.high & 0x600000) != 0x200000))
        gate_error(v, EXC_GP, selector & ~3u);
    if (!desc_present(&d))
        gate_error(v, EXC_NP, selector & ~3u);
    dpl = desc_type(&d) & 4 ? v->cpl : desc_dpl(&d);
    if (from_vm86 && dpl != 0)
        gate_error(v, EXC_GP, selector & ~3u);
    stack_for(v, &f, dpl, gate->high & 7, lng); /* IST: bits 0 to 2 */
    descriptor_unpack(&d, selector, &cs);
    if (lng ? !is_canonical(v, offset) : offset > cs.limit)
        gate_error(v, EXC_GP, 0);
    push_frame(v, &f, flags, size, lng || dpl < v->cpl, has_code, code);
    descriptor_set_accessed(v, &d);
    cs.attr |= 1;
    if (from_vm86)
        leave_vm86(v);
    v->x->rflags &= ~(uint64_t)(F_TF | F_VM | F_RF | F_NT | (desc_type(gate) & 1 ? 0 : F_IF));
    frame_commit(v, &f);
    v->x->rip = offset;
    set_cs(v, &cs, dpl);
    if (v->single)
        debug_update(v);
    mode_update(v);
    v->attention = 1;
}

static void deliver_protected(struct vcpu *v, unsigned vector, enum event kind, bool has_code,
                              uint32_t code)
{
    const struct bp_x86_segment *idtr = &v->x->idtr;
    unsigned size = is_long(v) ? 16 : 8, type;
    struct descriptor gate;
    uint32_t error = vector * 8 + 2;

    if (vector * size + size - 1 > idtr->limit)
        gate_error(v, EXC_GP, error);
    gate.linear = idtr->base + vector * size;
    gate.low = (uint32_t)sys_load(v, gate.linear, 4);
    gate.high = (uint32_t)sys_load(v, gate.linear + 4, 4);
    gate.high2 = 0;
    type = desc_type(&gate);
    if (is_long(v)) {
        descriptor_wide(v, &gate);
        if (type != 14 && type != 15)
            gate_error(v, EXC_GP, error);
    } else if (type != 5 && type != 6 && type != 7 && type != 14 && type != 15) {
        gate_error(v, EXC_GP, error);
    }
    if ((kind == EVENT_SOFTWARE || kind == EVENT_INT3) && desc_dpl(&gate) < v->cpl)
        gate_error(v, EXC_GP, error);
    if (!desc_present(&gate))
        gate_error(v, EXC_NP, error);
    if (type == 5) {
        uint16_t selector = (uint16_t)(gate.low >> 16);
        struct descriptor d;

        if (selector & 4 || !descriptor_read(v, selector, &d) || (desc_type(&d) & 0x17) != 1)
            gate_error(v, EXC_GP, selector & ~3u);
        if (!desc_present(&d))
            gate_error(v, EXC_NP, selector & ~3u);
        task_switch(v, selector, TASK_CALL, has_code, code);
        return;
    }
    through_gate(v, vector, &gate, kind, has_code, code);
}

void interrupt_deliver(struct vcpu *v, unsigned vector, enum event kind, bool has_code, uint32_t code)
{
    v->external = kind == EVENT_FAULT || kind == EVENT_EXTERNAL || kind == EVENT_ICEBP;
    if (bp_log_on(BP_LOG_INT) && !v->beside)
        bp_log(BP_LOG_INT, "interrupt %02x kind %d code %x at %04x:%016llx cpl %u\n", vector, (int)kind,
               code, v->x->seg[BP_CS].selector, (unsigned long long)v->x->rip, v->cpl);
    if (!(v->x->cr0 & CR0_PE)) {
        deliver_real(v, vector, v->x->idtr.base, v->x->idtr.limit);
        tlb_flush(v, true); /* what devices wrote meanwhile may be code: look again */
    } else if (is_vm86(v) && kind == EVENT_SOFTWARE && redirected(v, vector)) {
        deliver_real(v, vector, 0, 0x3ff);
    } else {
        if (is_vm86(v) && kind == EVENT_SOFTWARE && iopl(v) < 3)
            gate_error(v, EXC_GP, 0);
        deliver_protected(v, vector, kind, has_code, code);
    }
    v->external = 0;
}

/* ---- faults while delivering ---- */

enum { CLASS_NONE, CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE, CLASS_DOUBLE };

static unsigned exception_class(unsigned vector)
{
    switch (vector) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP: return CLASS_CONTRIBUTORY;
    case EXC_PF: return CLASS_PAGE;
    case EXC_DF: return CLASS_DOUBLE;
    default: return CLASS_BENIGN;
    }
}

void exception_deliver(struct vcpu *v)
{
    unsigned now = exception_class(v->exc_vector), before = v->delivering;

    v->external = 0;
    story_note(v);
    if (before == CLASS_DOUBLE) {
        story_tell(v);
        v->shutdown = 1;
        return;
    }
    if ((before == CLASS_CONTRIBUTORY && now == CLASS_CONTRIBUTORY) ||
        (before == CLASS_PAGE && (now == CLASS_CONTRIBUTORY || now == CLASS_PAGE))) {
        v->exc_vector = EXC_DF;
        v->exc_has_code = 1;
        v->exc_code = 0;
        now = CLASS_DOUBLE;
    }
    v->delivering = (uint8_t)now;
    interrupt_deliver(v, v->exc_vector, EVENT_FAULT, v->exc_has_code, (uint32_t)v->exc_code);
    v->delivering = CLASS_NONE;
}
