/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MSRs as a table, CPUID, time stamps, SYSCALL, SYSENTER and their returns. Unknown MSRs raise #GP.
 * Intel SDM volume 4; volume 2; AMD APM volume 3 (SYSCALL outside 64-bit code).
 */
#include "vcpu.h"
#include <errno.h>

struct msr {
    uint32_t index;
    uint32_t offset; /* in struct bp_x86_cpu */
    uint8_t flags;
    uint64_t writable; /* bits; others must be 0 */
};
#define CANONICAL 1u
#define READ_ONLY 2u
#define ALL_BITS (~(uint64_t)0)
#define FIELD(f) (uint32_t) offsetof(struct bp_x86_cpu, f)

static const struct msr msrs[] = {
    {0x3a, FIELD(feature_control), 0, 0xff07}, {0x3b, FIELD(tsc_adjust), 0, ALL_BITS},
    {0x48, FIELD(spec_ctrl), 0, 7}, {0xda0, FIELD(xss), 0, 0},
    {0x174, FIELD(sysenter_cs), 0, 0xffffffffu}, {0x175, FIELD(sysenter_esp), CANONICAL, ALL_BITS},
    {0x176, FIELD(sysenter_eip), CANONICAL, ALL_BITS},
    {0x17a, FIELD(mcg_status), 0, ALL_BITS}, {0x17b, FIELD(mcg_ctl), 0, ALL_BITS},
    {0x1a0, FIELD(misc_enable), 0, ALL_BITS}, {0x1d9, FIELD(debugctl), 0, 0xffff},
    {0x277, FIELD(pat), 0, 0x0707070707070707u}, {0x2ff, FIELD(mtrr_def_type), 0, 0xcff},
    {0xc0000081u, FIELD(star), 0, ALL_BITS}, {0xc0000082u, FIELD(lstar), CANONICAL, ALL_BITS},
    {0xc0000083u, FIELD(cstar), CANONICAL, ALL_BITS}, {0xc0000084u, FIELD(fmask), 0, 0xffffffffu},
    {0xc0000100u, FIELD(seg[BP_FS].base), CANONICAL, ALL_BITS},
    {0xc0000101u, FIELD(seg[BP_GS].base), CANONICAL, ALL_BITS},
    {0xc0000102u, FIELD(kernel_gs_base), CANONICAL, ALL_BITS},
    {0xc0000103u, FIELD(tsc_aux), 0, 0xffffffffu},
};

/* MSRs that hold a fixed value; writes are ignored. */
static const struct {
    uint32_t index;
    uint64_t value;
} fixed[] = {
    {0x17, 0}, {0x1b, 0}, {0x8b, (uint64_t)1 << 32}, {0xfe, 0x508}, {0x179, 10}, {0x198, 0}, {0x199, 0},
    {0x19a, 0}, {0x19b, 0}, {0x19c, 0}, {0x606, 0}, {0xc0010010u, 0}, {0xc0010015u, 0},
    {0xc001001fu, 0}, {0xc0010055u, 0}, {0xc0010112u, 0}, {0xc0010113u, 0}, {0xc0010117u, 0},
    {0xc0010140u, 0}, {0xc0010141u, 0}, {0xc0011029u, 0}, {0xc0011022u, 0}, {0xc0011023u, 0},
};

static uint64_t *mtrr_or_bank(struct bp_x86_cpu *x, uint32_t index)
{
    static const uint16_t fixed_ranges[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c,
                                            0x26d, 0x26e, 0x26f};

    if (index >= 0x200 && index < 0x210)
        return index & 1 ? &x->mtrr_mask[(index - 0x200) / 2] : &x->mtrr_base[(index - 0x200) / 2];
    if (index >= 0x400 && index < 0x400 + 40)
        return &x->mc_bank[index - 0x400];
    for (unsigned n = 0; n < BP_COUNT(fixed_ranges); n++) {
        if (fixed_ranges[n] == index)
            return &x->mtrr_fixed[n];
    }
    return NULL;
}

static const struct msr *find(uint32_t index)
{
    for (unsigned n = 0; n < BP_COUNT(msrs); n++) {
        if (msrs[n].index == index)
            return &msrs[n];
    }
    return NULL;
}

int msr_read(struct vcpu *v, uint32_t index, uint64_t *ret_value)
{
    struct bp_x86_cpu *x = v->x;
    const struct msr *m = find(index);
    const uint64_t *p;

    if (m) {
        *ret_value = *(const uint64_t *)((const char *)x + m->offset);
        return 0;
    }
    if (index >= 0x800 && index < 0x900)
        return x->apic ? x->apic->read_msr(x->apic_opaque, index - 0x800, ret_value) : -EINVAL;
    p = mtrr_or_bank(x, index);
    if (p) {
        *ret_value = *p;
        return 0;
    }
    switch (index) {
    case 0x10: *ret_value = bp_x86_tsc(x); return 0;
    case 0x1b:
        if (x->apic)
            *ret_value = x->apic->get_base(x->apic_opaque);
        else
            *ret_value = 0;
        return 0;
    case 0x6e0:
        if (!x->apic || !feature(v, BP_X86_FW_1_ECX, 24))
            return -EINVAL;
        *ret_value = x->apic->get_tsc_deadline(x->apic_opaque);
        return 0;
    case 0xc0000080u: *ret_value = x->efer; return 0;
    }
    for (unsigned n = 0; n < BP_COUNT(fixed); n++) {
        if (fixed[n].index == index) {
            *ret_value = fixed[n].value;
            return 0;
        }
    }
    return -EINVAL;
}

static int write_efer(struct vcpu *v, uint64_t value)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t allowed = 0, changed;

    if (feature(v, BP_X86_FW_80000001_EDX, 11))
        allowed |= EFER_SCE;
    if (feature(v, BP_X86_FW_80000001_EDX, 29))
        allowed |= EFER_LME | EFER_LMA;
    if (feature(v, BP_X86_FW_80000001_EDX, 20))
        allowed |= EFER_NXE;
    if (feature(v, BP_X86_FW_80000001_EDX, 25))
        allowed |= EFER_FFXSR;
    if (value & ~allowed)
        return -EINVAL;
    changed = (value ^ x->efer) & ~(uint64_t)EFER_LMA;
    if (changed & EFER_LME && x->cr0 & CR0_PG)
        return -EINVAL;
    x->efer = (value & ~(uint64_t)EFER_LMA) | (x->efer & EFER_LMA);
    if (changed & EFER_NXE)
        tlb_flush(v, true);
    return 0;
}

static bool valid_pat(uint64_t value)
{
    for (unsigned n = 0; n < 8; n++) {
        unsigned type = value >> (n * 8) & 0xff;

        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

int msr_write(struct vcpu *v, uint32_t index, uint64_t value)
{
    struct bp_x86_cpu *x = v->x;
    const struct msr *m = find(index);
    uint64_t *p;

    if (m) {
        if (m->flags & READ_ONLY || value & ~m->writable || (m->flags & CANONICAL && !is_canonical_base(v, value)) ||
            (index == 0x277 && !valid_pat(value)))
            return -EINVAL;
        if (index == 0x3b)
            x->tsc_offset += value - x->tsc_adjust;
        *(uint64_t *)((char *)x + m->offset) = value;
        return 0;
    }
    if (index >= 0x800 && index < 0x900)
        return x->apic ? x->apic->write_msr(x->apic_opaque, index - 0x800, value) : -EINVAL;
    p = mtrr_or_bank(x, index);
    if (p) {
        *p = value;
        return 0;
    }
    switch (index) {
    case 0x10: {
        uint64_t delta = value - bp_x86_tsc(x);

        x->tsc_offset += delta;
        x->tsc_adjust += delta;
        return 0;
    }
    case 0x1b: return x->apic ? x->apic->set_base(x->apic_opaque, value) : -EINVAL;
    case 0x49: return 0; /* PRED_CMD: nothing is predicted */
    case 0x6e0:
        if (!x->apic || !feature(v, BP_X86_FW_1_ECX, 24))
            return -EINVAL;
        x->apic->set_tsc_deadline(x->apic_opaque, value);
        return 0;
    case 0xc0000080u: return write_efer(v, value);
    }
    for (unsigned n = 0; n < BP_COUNT(fixed); n++) {
        if (fixed[n].index == index)
            return 0;
    }
    return -EINVAL;
}

void exec_rdmsr(struct vcpu *v, const struct insn *i)
{
    uint64_t value = 0;

    (void)i;
    privileged(v);
    if (msr_read(v, (uint32_t)v->x->gpr[BP_RCX], &value))
        raise_exception_code(v, EXC_GP, 0);
    v->x->gpr[BP_RAX] = (uint32_t)value;
    v->x->gpr[BP_RDX] = value >> 32;
}

void exec_wrmsr(struct vcpu *v, const struct insn *i)
{
    uint64_t value = v->x->gpr[BP_RDX] << 32 | (uint32_t)v->x->gpr[BP_RAX];

    (void)i;
    privileged(v);
    if (msr_write(v, (uint32_t)v->x->gpr[BP_RCX], value))
        raise_exception_code(v, EXC_GP, 0);
    v->attention = 1;
    end_block(v);
}

static void time_stamp(struct vcpu *v)
{
    uint64_t t;

    if (v->x->cr4 & CR4_TSD && v->cpl)
        raise_exception_code(v, EXC_GP, 0);
    t = bp_x86_tsc(v->x);
    v->x->gpr[BP_RAX] = (uint32_t)t;
    v->x->gpr[BP_RDX] = t >> 32;
}

void exec_rdtsc(struct vcpu *v, const struct insn *i)
{
    if (!feature(v, BP_X86_FW_1_EDX, 4))
        exec_ud(v, i);
    time_stamp(v);
}

void exec_rdtscp(struct vcpu *v, const struct insn *i)
{
    if (!feature(v, BP_X86_FW_80000001_EDX, 27))
        exec_ud(v, i);
    time_stamp(v);
    v->x->gpr[BP_RCX] = (uint32_t)v->x->tsc_aux;
}

void exec_rdpmc(struct vcpu *v, const struct insn *i) /* no counters: every index is wrong */
{
    (void)i;
    raise_exception_code(v, EXC_GP, 0);
}

static const struct bp_x86_cpuid *cpuid_find(const struct bp_x86_cpu *x, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t n = 0; n < x->cpuid_count; n++) {
        const struct bp_x86_cpuid *c = &x->cpuid[n];

        if (c->leaf == leaf && (c->any_subleaf || c->subleaf == subleaf))
            return c;
    }
    return NULL;
}

void exec_cpuid(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    uint32_t leaf = (uint32_t)x->gpr[BP_RAX];
    const struct bp_x86_cpuid *c = cpuid_find(x, leaf, (uint32_t)x->gpr[BP_RCX]);
    uint32_t ebx = c ? c->ebx : 0, ecx = c ? c->ecx : 0, edx = c ? c->edx : 0;

    (void)i;
    if (leaf == 0xd && c && (uint32_t)x->gpr[BP_RCX] < 2)
        ebx = bp_x86_xsave_size(x->xcr0 | ((uint32_t)x->gpr[BP_RCX] ? x->xss : 0), (uint32_t)x->gpr[BP_RCX]);
    if (leaf == 7 && !(uint32_t)x->gpr[BP_RCX])
        ecx = (ecx & ~(1u << 4)) | (x->cr4 & CR4_PKE ? 1u << 4 : 0);
    if (leaf == 1) {
        ecx = (ecx & ~(1u << 27)) | (x->cr4 & CR4_OSXSAVE ? 1u << 27 : 0);
        if (x->apic && !(x->apic->get_base(x->apic_opaque) & 0x800))
            edx &= ~(1u << 9);
    }
    x->gpr[BP_RAX] = c ? c->eax : 0;
    x->gpr[BP_RBX] = ebx;
    x->gpr[BP_RCX] = ecx;
    x->gpr[BP_RDX] = edx;
}

/* ---- fast system calls ---- */

static void flat_code(struct vcpu *v, uint16_t selector, unsigned cpl, bool lng)
{
    struct bp_x86_segment cs = {
        .selector = selector, .limit = 0xffffffffu,
        .attr = (uint16_t)(0x809b | cpl << 5 | (lng ? BP_X86_SEG_L : BP_X86_SEG_DB))};
    struct bp_x86_segment *ss = &v->x->seg[BP_SS];

    *ss = (struct bp_x86_segment){.selector = (uint16_t)(((selector & ~3u) + 8) | cpl),
                                  .limit = 0xffffffffu, .attr = (uint16_t)(0xc093 | cpl << 5)};
    set_cs(v, &cs, cpl);
}

void exec_syscall(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t flags = flags_sync(v);
    uint16_t selector = x->star >> 32 & 0xfffc;
    bool from64 = v->long64;

    if (!(x->efer & EFER_SCE) || !is_protected(v))
        exec_ud(v, i);
    if (is_long(v)) {
        x->gpr[BP_RCX] = x->rip;
        x->gpr[BP_R11] = flags & ~(uint64_t)F_RF;
        flat_code(v, selector, 0, true);
        x->rip = from64 ? x->lstar : x->cstar;
        flags_write(v, flags & ~(x->fmask | F_RF));
    } else {
        x->gpr[BP_RCX] = (uint32_t)x->rip;
        flat_code(v, selector, 0, false);
        x->rip = (uint32_t)x->star;
        flags_write(v, flags & ~(uint64_t)(F_VM | F_IF | F_RF));
    }
    end_block(v);
}

void exec_sysret(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    uint16_t selector = (uint16_t)(x->star >> 48 & 0xfffc);
    bool to64 = v->long64 && i->opsize == 8;
    uint16_t ss = (uint16_t)((selector + 8) | 3);

    if (!(x->efer & EFER_SCE) || !is_protected(v))
        exec_ud(v, i);
    privileged(v);
    if (to64 && !is_canonical(v, x->gpr[BP_RCX]))
        raise_exception_code(v, EXC_GP, 0);
    x->rip = to64 ? x->gpr[BP_RCX] : (uint32_t)x->gpr[BP_RCX];
    if (v->long64)
        flags_write(v, (x->gpr[BP_R11] & 0x3c7fd7u));
    else
        flags_write(v, flags_sync(v) | F_IF);
    flat_code(v, (uint16_t)((selector + (to64 ? 16 : 0)) | 3), 3, to64);
    x->seg[BP_SS].selector = ss;
    v->attention = 1;
    end_block(v);
}

void exec_sysenter(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    bool lng = is_long(v);

    if (!feature(v, BP_X86_FW_1_EDX, 11))
        exec_ud(v, i);
    if (!(x->cr0 & CR0_PE) || !(x->sysenter_cs & 0xfffc))
        raise_exception_code(v, EXC_GP, 0);
    flags_write(v, flags_sync(v) & ~(uint64_t)(F_VM | F_IF | F_RF));
    flat_code(v, x->sysenter_cs & 0xfffc, 0, lng);
    x->gpr[BP_RSP] = lng ? x->sysenter_esp : (uint32_t)x->sysenter_esp;
    x->rip = lng ? x->sysenter_eip : (uint32_t)x->sysenter_eip;
    end_block(v);
}

void exec_sysexit(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    bool to64 = i->opsize == 8;
    uint64_t rip = x->gpr[BP_RDX], rsp = x->gpr[BP_RCX];

    if (!feature(v, BP_X86_FW_1_EDX, 11))
        exec_ud(v, i);
    if (!(x->cr0 & CR0_PE) || !(x->sysenter_cs & 0xfffc) || v->cpl)
        raise_exception_code(v, EXC_GP, 0);
    if (to64 && (!is_canonical(v, rip) || !is_canonical(v, rsp)))
        raise_exception_code(v, EXC_GP, 0);
    flat_code(v, (uint16_t)(((x->sysenter_cs & 0xfffc) + (to64 ? 32 : 16)) | 3), 3, to64);
    x->rip = to64 ? rip : (uint32_t)rip;
    x->gpr[BP_RSP] = to64 ? rsp : (uint32_t)rsp;
    end_block(v);
}
