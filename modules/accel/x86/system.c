/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System instructions: control registers, descriptor-table registers, LAR LSL VERR VERW ARPL, CLI
 * STI HLT, INVLPG, INVPCID, group 7 (XGETBV, SWAPGS, CLAC, MONITOR ...). Intel SDM volumes 2 and 3.
 */
#include "xsave.h"

#define GP(code) raise_exception_code(v, EXC_GP, code)

/* ---- control registers ---- */

static void write_cr0(struct vcpu *v, uint64_t value)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t old = x->cr0, changed;

    if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        GP(0);
    value = (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |
                      CR0_PG)) | CR0_ET;
    changed = old ^ value;
    if (changed & CR0_PG) {
        if (value & CR0_PG && x->efer & EFER_LME) {
            if (!(x->cr4 & CR4_PAE) || x->seg[BP_CS].attr & BP_X86_SEG_L || !(x->tr.attr & 8))
                GP(0);
        } else if (!(value & CR0_PG) && (v->long64 || x->cr4 & CR4_PCIDE)) {
            GP(0);
        }
    }
    if (value & CR0_PG && x->cr4 & CR4_PAE && !(x->efer & EFER_LME) && changed & (CR0_PG | CR0_CD | CR0_NW) &&
        !pae_load_pdptes(v, x->cr3))
        GP(0);
    x->cr0 = value;
    if (changed & CR0_PG) {
        if (value & CR0_PG && x->efer & EFER_LME)
            x->efer |= EFER_LMA;
        else
            x->efer &= ~(uint64_t)EFER_LMA;
    }
    if (changed & (CR0_PG | CR0_WP | CR0_PE))
        tlb_flush(v, true);
    if (changed & CR0_PE)
        v->cpl = 0;
    mode_update(v);
    end_block(v);
}

static void write_cr3(struct vcpu *v, uint64_t value)
{
    struct bp_x86_cpu *x = v->x;
    bool keep = false;

    if (is_long(v)) {
        keep = x->cr4 & CR4_PCIDE && value >> 63;
        value &= ~((uint64_t)1 << 63) | (uint64_t)!(x->cr4 & CR4_PCIDE) << 63;
        if (value >> x->phys_bits)
            GP(0);
    } else if (x->cr0 & CR0_PG && x->cr4 & CR4_PAE && !pae_load_pdptes(v, value)) {
        GP(0);
    }
    x->cr3 = value;
    tlb_set_pcid(v, !keep);
    end_block(v);
}

uint64_t cr4_allowed(const struct vcpu *v)
{
    static const struct {
        uint32_t bits;
        uint8_t word, bit;
    } list[] = {
        {CR4_VME | CR4_PVI, BP_X86_FW_1_EDX, 1}, {CR4_TSD, BP_X86_FW_1_EDX, 4}, {CR4_DE, BP_X86_FW_1_EDX, 2},
        {CR4_PSE, BP_X86_FW_1_EDX, 3}, {CR4_PAE, BP_X86_FW_1_EDX, 6}, {CR4_MCE, BP_X86_FW_1_EDX, 7},
        {CR4_PGE, BP_X86_FW_1_EDX, 13}, {CR4_OSFXSR, BP_X86_FW_1_EDX, 24},
        {CR4_OSXMMEXCPT, BP_X86_FW_1_EDX, 25}, {CR4_UMIP, BP_X86_FW_7_ECX, 2},
        {CR4_FSGSBASE, BP_X86_FW_7_EBX, 0}, {CR4_PCIDE, BP_X86_FW_1_ECX, 17},
        {CR4_OSXSAVE, BP_X86_FW_1_ECX, 26}, {CR4_SMEP, BP_X86_FW_7_EBX, 7},
        {CR4_SMAP, BP_X86_FW_7_EBX, 20}, {CR4_PKE, BP_X86_FW_7_ECX, 3}, {CR4_LA57, BP_X86_FW_7_ECX, 16},
    };
    uint64_t allowed = CR4_PCE;

    for (unsigned n = 0; n < BP_COUNT(list); n++) {
        if (feature(v, list[n].word, list[n].bit))
            allowed |= list[n].bits;
    }
    return allowed;
}

static void write_cr4(struct vcpu *v, uint64_t value)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t changed = x->cr4 ^ value;

    if (value & ~cr4_allowed(v) || (is_long(v) && !(value & CR4_PAE)))
        GP(0);
    if (changed & CR4_LA57 && is_long(v))
        GP(0);
    if (changed & value & CR4_PCIDE && (!is_long(v) || x->cr3 & 0xfff))
        GP(0);
    if (x->cr0 & CR0_PG && !is_long(v) && value & CR4_PAE && changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) &&
        !pae_load_pdptes(v, x->cr3))
        GP(0);
    x->cr4 = value;
    if (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_PKE | CR4_LA57))
        tlb_flush(v, true);
    mode_update(v);
    end_block(v);
}

void exec_mov_cr(struct vcpu *v, const struct insn *i) /* 0F 20, 0F 22 */
{
    struct bp_x86_cpu *x = v->x;
    bool store = i->opcode == 0x20;
    unsigned n = i->reg;
    uint64_t value = v->long64 ? x->gpr[i->rm] : (uint32_t)x->gpr[i->rm];

    if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
        exec_ud(v, i);
    privileged(v);
    if (store) {
        switch (n) {
        case 0: value = x->cr0; break;
        case 2: value = x->cr2; break;
        case 3: value = x->cr3; break;
        case 4: value = x->cr4; break;
        default: value = x->apic ? x->apic->get_tpr(x->apic_opaque) : 0; break;
        }
        reg_set(v, i, i->rm, v->long64 ? 8 : 4, value);
        return;
    }
    switch (n) {
    case 0: write_cr0(v, value); break;
    case 2: x->cr2 = value; break;
    case 3: write_cr3(v, value); break;
    case 4: write_cr4(v, value); break;
    default:
        if (value > 15)
            GP(0);
        if (x->apic)
            x->apic->set_tpr(x->apic_opaque, (uint8_t)value);
        v->attention = 1;
        break;
    }
}

void exec_clts(struct vcpu *v, const struct insn *i)
{
    (void)i;
    privileged(v);
    v->x->cr0 &= ~(uint64_t)CR0_TS;
}

/* ---- flags and halts ---- */

/* CLI and STI where IF is out of reach: VIF with VME or PVI. True: done. */
static bool virtual_if(struct vcpu *v, bool set)
{
    struct bp_x86_cpu *x = v->x;

    if (!(x->cr0 & CR0_PE) || v->cpl <= iopl(v))
        return false;
    if (!(v->cpl == 3 && x->cr4 & (is_vm86(v) ? CR4_VME : CR4_PVI)) || (set && x->rflags & F_VIP))
        GP(0);
    if (set)
        x->rflags |= F_VIF;
    else
        x->rflags &= ~(uint64_t)F_VIF;
    return true;
}

void exec_cli(struct vcpu *v, const struct insn *i)
{
    (void)i;
    if (!virtual_if(v, false))
        v->x->rflags &= ~(uint64_t)F_IF;
}

void exec_sti(struct vcpu *v, const struct insn *i)
{
    (void)i;
    if (virtual_if(v, true) || v->x->rflags & F_IF)
        return;
    v->x->rflags |= F_IF;
    v->x->shadow = 1;
    v->attention = 1;
    end_block(v);
}

void exec_hlt(struct vcpu *v, const struct insn *i)
{
    (void)i;
    privileged(v);
    v->x->halted = 1;
    v->attention = 1;
    end_block(v);
}

void exec_invd(struct vcpu *v, const struct insn *i) /* INVD, WBINVD: there are no caches */
{
    (void)i;
    privileged(v);
}

void exec_fwait(struct vcpu *v, const struct insn *i)
{
    (void)i;
    fp_wait(v);
}

/* ---- group 6, LAR, LSL, ARPL ---- */

static void load_tr(struct vcpu *v, uint16_t selector)
{
    struct descriptor d;
    unsigned type;

    if (!(selector & ~3u))
        GP(0);
    if (selector & 4 || !descriptor_read(v, selector, &d))
        GP(selector & ~3u);
    type = desc_type(&d);
    if (type != 9 && (type != 1 || is_long(v)))
        GP(selector & ~3u);
    if (is_long(v)) {
        if ((selector & ~7u) + 15u > v->x->gdtr.limit)
            GP(selector & ~3u);
        descriptor_wide(v, &d);
        if (sys_load(v, d.linear + 12, 4) & 0x1f00)
            GP(selector & ~3u);
    }
    if (!desc_present(&d))
        raise_exception_code(v, EXC_NP, selector & ~3u);
    d.high |= 0x200;
    sys_store(v, d.linear + 5, d.high >> 8 & 0xff, 1);
    descriptor_unpack(&d, selector, &v->x->tr);
}

/* May the selector be seen by LAR, LSL, VERR, VERW? */
static bool visible(struct vcpu *v, uint16_t selector, struct descriptor *d, uint32_t system_types)
{
    unsigned type, dpl;

    if (!(selector & ~3u) || !descriptor_read(v, selector, d))
        return false;
    type = desc_type(d);
    dpl = desc_dpl(d);
    if (!(type & 0x10) && !(system_types >> type & 1))
        return false;
    if ((type & 0x1c) == 0x1c) /* conforming code */
        return true;
    return dpl >= v->cpl && dpl >= (selector & 3u);
}

static void set_zf(struct vcpu *v, bool z)
{
    flags_set_eager(v, (arith_flags(v) & ~F_ZF) | (z ? F_ZF : 0));
}

void exec_lar_lsl(struct vcpu *v, const struct insn *i)
{
    bool lsl = i->opcode == 3;
    struct descriptor d;
    uint32_t system_types;
    uint16_t selector;

    if (!is_protected(v))
        exec_ud(v, i);
    selector = (uint16_t)rm_load(v, i, 2);
    if (is_long(v)) /* gates have no limit; long mode knows fewer types */
        system_types = lsl ? 1u << 2 | 1u << 9 | 1u << 11 : 1u << 2 | 1u << 9 | 1u << 11 | 1u << 12;
    else
        system_types = lsl ? 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11 :
                             1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12;
    if (!visible(v, selector, &d, system_types)) {
        set_zf(v, false);
        return;
    }
    reg_set(v, i, i->reg, i->opsize, lsl ? descriptor_limit(&d) : d.high & 0x00ffff00);
    set_zf(v, true);
}

static void verify(struct vcpu *v, uint16_t selector, bool write)
{
    struct descriptor d;
    unsigned type;
    bool ok = visible(v, selector, &d, 0);

    if (ok) {
        type = desc_type(&d);
        ok = write ? (type & 10) == 2 : (type & 10) != 8;
    }
    set_zf(v, ok);
}

static void umip(struct vcpu *v)
{
    if (v->x->cr4 & CR4_UMIP && v->cpl == 3)
        GP(0);
}

void exec_group6(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (!is_protected(v) || op > 5)
        exec_ud(v, i);
    switch (op) {
    case 0: case 1: {
        uint16_t selector = op ? v->x->tr.selector : v->x->ldtr.selector;

        umip(v);
        rm_store(v, i, i->rm == RM_MEM ? 2 : i->opsize, selector);
        break;
    }
    case 2:
        privileged(v);
        load_ldt(v, (uint16_t)rm_load(v, i, 2), EXC_GP);
        break;
    case 3:
        privileged(v);
        load_tr(v, (uint16_t)rm_load(v, i, 2));
        break;
    default: verify(v, (uint16_t)rm_load(v, i, 2), op == 5); break;
    }
}

void exec_arpl(struct vcpu *v, const struct insn *i) /* 63; MOVSXD in 64-bit code */
{
    uint16_t a, rpl;
    struct rmw m;

    if (v->long64) {
        exec_movsxd(v, i);
        return;
    }
    if (!is_protected(v))
        exec_ud(v, i);
    a = (uint16_t)rmw_begin(v, i, 2, &m);
    rpl = v->x->gpr[i->reg] & 3;
    set_zf(v, (a & 3) < rpl);
    rmw_end(v, i, &m, (a & 3) < rpl ? (a & ~3u) | rpl : a);
}

/* ---- group 7 ---- */

static void store_table(struct vcpu *v, const struct insn *i, const struct bp_x86_segment *t)
{
    uint64_t off = ea_offset(i);

    umip(v);
    mem_store16(v, i->seg, off, (uint16_t)t->limit);
    if (v->long64)
        mem_store64(v, i->seg, off + 2, t->base);
    else
        mem_store32(v, i->seg, off + 2, (uint32_t)t->base);
}

static void load_table(struct vcpu *v, const struct insn *i, struct bp_x86_segment *t)
{
    uint64_t off = ea_offset(i), base;
    uint16_t limit;

    privileged(v);
    limit = mem_load16(v, i->seg, off);
    if (v->long64) {
        base = mem_load64(v, i->seg, off + 2);
        if (!is_canonical_base(v, base))
            GP(0);
    } else {
        base = mem_load32(v, i->seg, off + 2) & (i->opsize == 2 ? 0xffffffu : 0xffffffffu);
    }
    t->limit = limit;
    t->base = base;
}

static void swapgs(struct vcpu *v, const struct insn *i)
{
    uint64_t base = v->x->seg[BP_GS].base;

    if (!v->long64)
        exec_ud(v, i);
    privileged(v);
    v->x->seg[BP_GS].base = v->x->kernel_gs_base;
    v->x->kernel_gs_base = base;
}

static void set_ac(struct vcpu *v, const struct insn *i, bool ac)
{
    if (!feature(v, BP_X86_FW_7_EBX, 20) || v->cpl != 0 || i->prefixes & (PREFIX_66 | PREFIX_REP | PREFIX_REPNE))
        exec_ud(v, i);
    v->x->rflags = ac ? v->x->rflags | F_AC : v->x->rflags & ~(uint64_t)F_AC;
    mode_update(v);
}

static void pkru(struct vcpu *v, const struct insn *i) /* RDPKRU, WRPKRU */
{
    struct bp_x86_cpu *x = v->x;

    if (!(x->cr4 & CR4_PKE) || i->prefixes & (PREFIX_66 | PREFIX_REP | PREFIX_REPNE))
        exec_ud(v, i);
    if ((uint32_t)x->gpr[BP_RCX] || (i->modrm == 0xef && (uint32_t)x->gpr[BP_RDX]))
        GP(0);
    if (i->modrm == 0xee) {
        x->gpr[BP_RAX] = x->pkru;
        x->gpr[BP_RDX] = 0;
        return;
    }
    x->pkru = (uint32_t)x->gpr[BP_RAX];
    tlb_flush(v, true);
    end_block(v);
}

static void group7_register(struct vcpu *v, const struct insn *i)
{
    switch (i->modrm) {
    case 0xc8: case 0xc9: /* MONITOR, MWAIT: wakes at once */
        if (!feature(v, BP_X86_FW_1_ECX, 3) || v->cpl)
            exec_ud(v, i);
        break;
    case 0xca: set_ac(v, i, false); break;
    case 0xcb: set_ac(v, i, true); break;
    case 0xd0: exec_xgetbv(v, i); break;
    case 0xd1: exec_xsetbv(v, i); break;
    case 0xd5: case 0xd6: /* XEND, XTEST: outside of a transaction */
        if (!feature(v, BP_X86_FW_7_EBX, 11) || i->prefixes & (PREFIX_66 | PREFIX_REP | PREFIX_REPNE))
            exec_ud(v, i);
        if (i->modrm == 0xd5)
            GP(0);
        flags_set_eager(v, F_ZF);
        break;
    case 0xee: case 0xef: pkru(v, i); break;
    case 0xf8: swapgs(v, i); break;
    case 0xf9: exec_rdtscp(v, i); break;
    default: exec_ud(v, i);
    }
}

void exec_group7(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    unsigned op = i->modrm >> 3 & 7;
    uint64_t value;

    if (op == 4) { /* SMSW */
        umip(v);
        rm_store(v, i, i->rm == RM_MEM ? 2 : i->opsize, x->cr0);
        return;
    }
    if (op == 6) { /* LMSW: PE cannot be cleared */
        privileged(v);
        value = rm_load(v, i, 2) & 15;
        write_cr0(v, (x->cr0 & ~(uint64_t)14) | value);
        return;
    }
    if (i->rm != RM_MEM) {
        group7_register(v, i);
        return;
    }
    switch (op) {
    case 0: store_table(v, i, &x->gdtr); break;
    case 1: store_table(v, i, &x->idtr); break;
    case 2: load_table(v, i, &x->gdtr); break;
    case 3: load_table(v, i, &x->idtr); break;
    case 7:
        privileged(v);
        value = ea_offset(i);
        value = v->long64 ? value + (i->seg >= BP_FS ? x->seg[i->seg].base : 0) :
                            (uint32_t)(value + x->seg[i->seg].base);
        if (!v->long64 || is_canonical(v, value))
            tlb_flush_page(v, value);
        break;
    default: exec_ud(v, i);
    }
}

void exec_invpcid(struct vcpu *v, const struct insn *i)
{
    uint64_t type = v->long64 ? v->x->gpr[i->reg] : (uint32_t)v->x->gpr[i->reg], off = ea_offset(i);
    uint64_t pcid, linear;

    if (!feature(v, BP_X86_FW_7_EBX, 10))
        exec_ud(v, i);
    privileged(v);
    pcid = mem_load64(v, i->seg, off);
    linear = mem_load64(v, i->seg, off + 8);
    if (type > 3 || (type < 2 && (pcid >> 12 || (pcid && !(v->x->cr4 & CR4_PCIDE)))) ||
        (type == 0 && !is_canonical(v, linear)))
        GP(0);
    if (type == 0)
        tlb_flush_page(v, linear);
    else if (type == 1)
        tlb_flush_pcid(v, (unsigned)pcid);
    else
        tlb_flush(v, true);
    end_block(v);
}

void exec_group15_f3(struct vcpu *v, const struct insn *i) /* RDFSBASE RDGSBASE WRFSBASE WRGSBASE */
{
    unsigned op = i->modrm >> 3 & 7;
    struct bp_x86_segment *s = &v->x->seg[op & 1 ? BP_GS : BP_FS];
    uint64_t value;

    if (i->rm == RM_MEM || op > 3 || !v->long64 || !(v->x->cr4 & CR4_FSGSBASE))
        exec_ud(v, i);
    if (op < 2) {
        reg_set(v, i, i->rm, i->opsize, s->base);
        return;
    }
    value = reg_get(v, i, i->rm, i->opsize);
    if (!is_canonical_base(v, value))
        GP(0);
    s->base = value;
}
