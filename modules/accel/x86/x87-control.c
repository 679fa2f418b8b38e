/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x87 control: control and status words, environment and state images in 16 and 32-bit, protected
 * and real-mode formats. Intel SDM volume 1, 8.1.8 to 8.1.10 and figures 8-9 to 8-12.
 */
#include "x87.h"

struct image {
    uint8_t bytes[108];
    bool wide; /* 32-bit format */
    bool real; /* real or virtual-8086 mode: linear pointers */
};

static void put(struct image *m, unsigned at, uint32_t value, unsigned bytes)
{
    for (unsigned n = 0; n < bytes; n++) {
        m->bytes[at + n] = (uint8_t)(value >> 8 * n);
    }
}

static uint32_t get(const struct image *m, unsigned at, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned n = 0; n < bytes; n++) {
        value |= (uint32_t)m->bytes[at + n] << 8 * n;
    }
    return value;
}

static struct image image_for(const struct bp_x86_cpu *x, const struct insn *i)
{
    return (struct image){.wide = i->opsize != 2,
                          .real = !(x->cr0 & CR0_PE) || (x->rflags & F_VM)};
}

static unsigned environment_size(const struct image *m)
{
    return m->wide ? 28 : 14;
}

/* Two bits per physical register: 0 valid, 1 zero, 2 special, 3 empty. */
static uint16_t full_tags(const struct bp_x86_cpu *x)
{
    unsigned tags = 0;

    for (unsigned n = 0; n < 8; n++) {
        struct sf_num a = sf_unpack80(x->fpr[n]);
        unsigned tag = !(x->fpu_valid >> n & 1)                    ? 3
                       : a.kind == SF_K_ZERO                       ? 1
                       : a.kind == SF_K_NUMBER && !a.denormal      ? 0
                                                                   : 2;

        tags |= tag << 2 * n;
    }
    return (uint16_t)tags;
}

static uint32_t linear_pointer(uint16_t selector, uint64_t offset)
{
    return ((uint32_t)selector << 4) + (uint32_t)offset;
}

static void put_environment(const struct bp_x86_cpu *x, struct image *m)
{
    unsigned step = m->wide ? 4 : 2;
    uint32_t ip = (uint32_t)x->fip, dp = (uint32_t)x->fdp;

    put(m, 0, 0xffff0000u | x->fcw, step);
    put(m, step, 0xffff0000u | x->fsw, step);
    put(m, 2 * step, 0xffff0000u | full_tags(x), step);
    if (m->real) {
        ip = linear_pointer(x->fcs, x->fip);
        dp = linear_pointer(x->fds, x->fdp);
    }
    if (m->wide && m->real) {
        put(m, 12, 0xffff0000u | (ip & 0xffff), 4);
        put(m, 16, (ip >> 16) << 12 | (x->fop & 0x7ff), 4);
        put(m, 20, 0xffff0000u | (dp & 0xffff), 4);
        put(m, 24, (dp >> 16) << 12, 4);
    } else if (m->wide) {
        put(m, 12, ip, 4);
        put(m, 16, (uint32_t)(x->fop & 0x7ff) << 16 | x->fcs, 4);
        put(m, 20, dp, 4);
        put(m, 24, 0xffff0000u | x->fds, 4);
    } else {
        put(m, 6, ip, 2);
        put(m, 8, m->real ? (ip >> 16 & 15) << 12 | (x->fop & 0x7ff) : x->fcs, 2);
        put(m, 10, dp, 2);
        put(m, 12, m->real ? (dp >> 16 & 15) << 12 : x->fds, 2);
    }
}

static void get_environment(struct bp_x86_cpu *x, const struct image *m)
{
    unsigned step = m->wide ? 4 : 2;
    uint32_t tags = get(m, 2 * step, 2);

    x->fcw = (uint16_t)((get(m, 0, 2) & 0x1f3f) | 0x0040);
    x->fsw = (uint16_t)get(m, step, 2);
    x->fpu_valid = 0;
    for (unsigned n = 0; n < 8; n++) {
        x->fpu_valid |= (uint8_t)(((tags >> 2 * n & 3) != 3) << n);
    }
    if (m->real) {
        uint32_t ip_high = m->wide ? get(m, 16, 4) : get(m, 8, 2);
        uint32_t dp_high = m->wide ? get(m, 24, 4) : get(m, 12, 2);

        x->fip = get(m, m->wide ? 12 : 6, 2) | (ip_high >> 12 & 0xffff) << 16;
        x->fdp = get(m, m->wide ? 20 : 10, 2) | (dp_high >> 12 & 0xffff) << 16;
        x->fop = ip_high & 0x7ff;
        x->fcs = x->fds = 0;
    } else if (m->wide) {
        x->fip = get(m, 12, 4);
        x->fcs = (uint16_t)get(m, 16, 2);
        x->fop = get(m, 18, 2) & 0x7ff;
        x->fdp = get(m, 20, 4);
        x->fds = (uint16_t)get(m, 24, 2);
    } else {
        x->fip = get(m, 6, 2);
        x->fcs = (uint16_t)get(m, 8, 2);
        x->fdp = get(m, 10, 2);
        x->fds = (uint16_t)get(m, 12, 2);
        x->fop = 0;
    }
    x87_summarize(x);
}

static void initialize(struct bp_x86_cpu *x)
{
    x->fcw = 0x037f;
    x->ignne = 0;
    x->fsw = 0;
    x->fpu_valid = 0;
    x->fop = 0;
    x->fip = x->fdp = 0;
    x->fcs = x->fds = 0;
}

void x87_fldenv(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct image m = image_for(x, i);

    mem_load(v, i->seg, insn_offset(v, i), m.bytes, environment_size(&m));
    get_environment(x, &m);
}

void x87_fnstenv(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);
    struct image m = image_for(x, i);

    put_environment(x, &m);
    mem_store(v, i->seg, insn_offset(v, i), m.bytes, environment_size(&m));
    x->fcw |= FSW_EXCEPTIONS; /* all masked from now on */
    x87_summarize(x);
}

void x87_fnsave(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);
    struct image m = image_for(x, i);
    unsigned size = environment_size(&m);

    put_environment(x, &m);
    for (unsigned n = 0; n < 8; n++) {
        const struct bp_x86_st *st = x87_st(x, n);

        put(&m, size + 10 * n, (uint32_t)st->mantissa, 4);
        put(&m, size + 10 * n + 4, (uint32_t)(st->mantissa >> 32), 4);
        put(&m, size + 10 * n + 8, st->sign_exponent, 2);
    }
    mem_store(v, i->seg, insn_offset(v, i), m.bytes, size + 80);
    initialize(x);
}

void x87_frstor(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    struct image m = image_for(x, i);
    unsigned size = environment_size(&m);

    mem_load(v, i->seg, insn_offset(v, i), m.bytes, size + 80);
    get_environment(x, &m);
    for (unsigned n = 0; n < 8; n++) {
        struct bp_x86_st *st = x87_st(x, n);

        st->mantissa = get(&m, size + 10 * n, 4) | (uint64_t)get(&m, size + 10 * n + 4, 4) << 32;
        st->sign_exponent = (uint16_t)get(&m, size + 10 * n + 8, 2);
    }
}

void x87_fldcw(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x->fcw = (uint16_t)((mem_load16(v, i->seg, insn_offset(v, i)) & 0x1f3f) | 0x0040);
    x87_summarize(x);
}

void x87_fnstcw(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);

    mem_store16(v, i->seg, insn_offset(v, i), x->fcw);
}

void x87_fnstsw(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);

    mem_store16(v, i->seg, insn_offset(v, i), x->fsw);
}

void x87_fnstsw_ax(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);

    (void)i;
    x->gpr[BP_RAX] = (x->gpr[BP_RAX] & ~UINT64_C(0xffff)) | x->fsw;
}

void x87_fnclex(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter_nowait(v);

    (void)i;
    x->fsw &= (uint16_t)~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_BUSY);
    x->ignne = 0;
}

void x87_fninit(struct vcpu *v, const struct insn *i)
{
    (void)i;
    initialize(x87_enter_nowait(v));
}

/* FNENI, FNDISI, FNSETPM: nothing since the 80287 and 80387. */
void x87_nothing(struct vcpu *v, const struct insn *i)
{
    (void)i;
    x87_enter_nowait(v);
}
