/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segmentation: descriptor reads, loads of segment registers and LDT, limit and type checks of
 * accesses, and the state that is derived from segments and control registers. Intel SDM volume 3,
 * chapters 3 and 5.
 */
#include "vcpu.h"
#include <string.h>

#define GP(code) raise_exception_code(v, EXC_GP, code)

uint64_t segment_check(struct vcpu *v, unsigned seg, uint64_t off, unsigned size, bool write)
{
    const struct bp_x86_segment *s = &v->x->seg[seg];
    uint64_t last = off + size - 1;
    unsigned type = s->attr & 15;
    bool down = false;

    if (is_protected(v)) {
        if (!(s->attr & BP_X86_SEG_P) || (write ? (type & 10) != 2 : (type & 10) == 8))
            raise_exception_code(v, seg == BP_SS ? EXC_SS : EXC_GP, 0);
        down = (type & 12) == 4;
    }
    if (down ? off <= s->limit || last > (s->attr & BP_X86_SEG_DB ? 0xffffffffu : 0xffffu) :
               last > s->limit)
        raise_exception_code(v, seg == BP_SS ? EXC_SS : EXC_GP, 0);
    return (uint32_t)(s->base + off);
}

/* ---- derived state ---- */

static bool is_flat(const struct bp_x86_segment *s)
{
    return s->limit == 0xffffffffu && (s->attr & (BP_X86_SEG_P | BP_X86_SEG_S | 14)) ==
           (BP_X86_SEG_P | BP_X86_SEG_S | 2);
}

void mode_update(struct vcpu *v)
{
    const struct bp_x86_cpu *x = v->x;
    const struct bp_x86_segment *cs = &x->seg[BP_CS];
    bool lng = x->efer & EFER_LMA;

    v->long64 = lng && cs->attr & BP_X86_SEG_L;
    v->mode = v->long64 ? 2 : cs->attr & BP_X86_SEG_DB && !is_vm86(v) ? 1 : 0;
    if (x->seg[BP_SS].attr & BP_X86_SEG_DB)
        v->mode |= MODE_STACK32;
    if (v->single)
        v->mode |= MODE_SINGLE;
    if (v->cpl == 3)
        v->mode |= MODE_USER;
    if (!v->long64 && cs->limit != 0xffffffffu)
        v->mode |= MODE_LIMITED;
    v->cs_base = v->long64 ? 0 : cs->base;
    v->flat = 0;
    if (x->cr0 & CR0_PE && !is_vm86(v)) {
        for (unsigned n = 0; n < 6; n++) {
            if (is_flat(&x->seg[n]))
                v->flat |= (uint8_t)(1u << n);
        }
    }
    v->mmu = &v->sets[v->cpl == 3 ? MMU_USER : x->cr4 & CR4_SMAP && !(x->rflags & F_AC) ? MMU_SMAP :
                      MMU_SUPERVISOR];
    /* With alignment checks on, nothing is found directly. */
    v->generation = v->cpl == 3 && x->cr0 & CR0_AM && x->rflags & F_AC ? 0xfff : v->asid_generation;
}

void set_cpl(struct vcpu *v, unsigned cpl)
{
    v->cpl = (uint8_t)cpl;
    mode_update(v);
}

void set_cs(struct vcpu *v, const struct bp_x86_segment *s, unsigned cpl)
{
    v->x->seg[BP_CS] = *s;
    v->x->seg[BP_CS].selector = (uint16_t)((s->selector & ~3u) | cpl);
    set_cpl(v, cpl);
    end_block(v);
}

void flags_write(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->x->rflags;

    v->cc_kind = CC_EAGER;
    v->x->rflags = (value & 0x3f7fd5u) | 2;
    if ((old ^ value) & (F_TF | F_AC | F_VM | F_IF | F_RF)) {
        debug_update(v);
        mode_update(v);
        v->attention = 1;
        end_block(v);
    }
}

/* ---- descriptors ---- */

bool descriptor_read(struct vcpu *v, uint16_t selector, struct descriptor *ret_d)
{
    const struct bp_x86_segment *table = selector & 4 ? &v->x->ldtr : &v->x->gdtr;
    uint64_t raw;

    if (selector & 4 && !(table->attr & BP_X86_SEG_P))
        return false;
    if ((selector | 7u) > table->limit)
        return false;
    ret_d->linear = table->base + (selector & ~7u);
    raw = sys_load(v, ret_d->linear, 8);
    ret_d->low = (uint32_t)raw;
    ret_d->high = (uint32_t)(raw >> 32);
    ret_d->high2 = 0;
    return true;
}

void descriptor_wide(struct vcpu *v, struct descriptor *d)
{
    d->high2 = (uint32_t)sys_load(v, d->linear + 8, 4);
}

uint64_t descriptor_base(const struct descriptor *d)
{
    return d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000u) | (uint64_t)d->high2 << 32;
}

uint32_t descriptor_limit(const struct descriptor *d)
{
    uint32_t limit = (d->low & 0xffff) | (d->high & 0xf0000);

    return d->high & 0x800000 ? limit << 12 | 0xfff : limit;
}

void descriptor_unpack(const struct descriptor *d, uint16_t selector, struct bp_x86_segment *s)
{
    s->selector = selector;
    s->attr = (uint16_t)(d->high >> 8 & 0xf0ff);
    s->limit = descriptor_limit(d);
    s->base = descriptor_base(d);
}

void descriptor_set_accessed(struct vcpu *v, struct descriptor *d)
{
    if (!(d->high & 0x100)) {
        d->high |= 0x100;
        sys_store(v, d->linear + 5, sys_load(v, d->linear + 5, 1) | 1, 1);
    }
}

/* ---- loads ---- */

void load_real_segment(struct vcpu *v, unsigned seg, uint16_t selector)
{
    struct bp_x86_segment *s = &v->x->seg[seg];

    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (is_vm86(v)) {
        s->limit = 0xffff;
        s->attr = 0xf3;
    }
    mode_update(v);
}

static void load_null(struct vcpu *v, unsigned seg, uint16_t selector)
{
    struct bp_x86_segment *s = &v->x->seg[seg];

    s->selector = selector;
    s->base = 0;
    s->limit = 0;
    s->attr = seg == BP_SS ? (uint16_t)(v->cpl << 5) : 0;
    mode_update(v);
}

void check_stack_segment(struct vcpu *v, uint16_t selector, unsigned cpl, unsigned vector,
                         struct bp_x86_segment *ret_s, struct descriptor *ret_d)
{
    unsigned type;

    if (!(selector & ~3u))
        raise_exception_code(v, vector, 0);
    if (!descriptor_read(v, selector, ret_d))
        raise_exception_code(v, vector, selector & ~3u);
    type = desc_type(ret_d);
    if ((selector & 3) != cpl || desc_dpl(ret_d) != cpl || (type & 0x1a) != 0x12)
        raise_exception_code(v, vector, selector & ~3u);
    if (!desc_present(ret_d))
        raise_exception_code(v, EXC_SS, selector & ~3u);
    descriptor_unpack(ret_d, selector, ret_s);
}

void load_data_segment(struct vcpu *v, unsigned seg, uint16_t selector)
{
    struct descriptor d;
    struct bp_x86_segment s;
    unsigned type, rpl = selector & 3;

    if (seg == BP_SS) {
        if (!(selector & ~3u)) {
            if (!v->long64 || v->cpl == 3 || rpl != v->cpl)
                GP(0);
            load_null(v, seg, selector);
            return;
        }
        check_stack_segment(v, selector, v->cpl, EXC_GP, &s, &d);
    } else {
        if (!(selector & ~3u)) {
            load_null(v, seg, selector);
            return;
        }
        if (!descriptor_read(v, selector, &d))
            GP(selector & ~3u);
        type = desc_type(&d);
        if (!(type & 0x10) || (type & 10) == 8)
            GP(selector & ~3u);
        if ((type & 12) != 12 && (desc_dpl(&d) < rpl || desc_dpl(&d) < v->cpl))
            GP(selector & ~3u);
        if (!desc_present(&d))
            raise_exception_code(v, EXC_NP, selector & ~3u);
    }
    descriptor_set_accessed(v, &d);
    descriptor_unpack(&d, selector, &v->x->seg[seg]);
    mode_update(v);
}

void load_ldt(struct vcpu *v, uint16_t selector, unsigned vector)
{
    struct descriptor d;

    if (!(selector & ~3u)) {
        memset(&v->x->ldtr, 0, sizeof(v->x->ldtr));
        v->x->ldtr.selector = selector;
        return;
    }
    if (selector & 4 || !descriptor_read(v, selector, &d) || desc_type(&d) != 2)
        raise_exception_code(v, vector, selector & ~3u);
    if (is_long(v)) {
        if ((selector & ~7u) + 15u > v->x->gdtr.limit)
            raise_exception_code(v, vector, selector & ~3u);
        descriptor_wide(v, &d);
    }
    if (!desc_present(&d))
        raise_exception_code(v, vector == EXC_TS ? EXC_TS : EXC_NP, selector & ~3u);
    descriptor_unpack(&d, selector, &v->x->ldtr);
}
