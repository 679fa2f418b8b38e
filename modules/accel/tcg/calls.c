/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SYSCALL, SYSRET and IRET between 64-bit code, the way that is usual, from one translated block to the next. Compiled
 * without SIMD, so that the guest's registers stay where they are. Whatever is not usual (single steps, alignment
 * checks, an interrupt that would be let in, an address space that is seen for the first time) is left to the
 * interpreter, before anything was changed. Intel SDM volume 2.
 */
#include "tcg.h"

/* What changes more than the next block's mode. RF does nothing without breakpoints, and with those waits() is true. */
#define ODD_FLAGS (F_TF | F_NT | F_VM)

/* Would an interrupt come in, or an access be looked at more closely, with these flags? */
static bool lets_in(const struct vcpu *v, unsigned cpl, uint64_t flags)
{
    return __atomic_load_n(&v->x->interrupts, __ATOMIC_RELAXED) ||
           (cpl == 3 && flags & F_AC && v->x->cr0 & CR0_AM);
}

/* Is there something to look at before the next block? */
static bool waits(const struct tcg_cpu *c)
{
    const struct vcpu *v = &c->v;

    return c->check || c->machine->counts || v->single || v->debug || v->attention || !v->long64 ||
           v->x->shadow || __atomic_load_n(&c->f.exit_request, __ATOMIC_RELAXED) ||
           bp_log_on(BP_LOG_EXEC | BP_LOG_CPU | BP_LOG_NOCHAIN | BP_LOG_PCALL);
}

static bool is_flat_stack(const struct bp_x86_segment *s)
{
    return s->limit == 0xffffffffu &&
           (s->attr & (BP_X86_SEG_P | BP_X86_SEG_S | 14)) == (BP_X86_SEG_P | BP_X86_SEG_S | 2);
}

/* As set_cs() and flags_write() leave it; both levels run 64-bit code. */
static void set_level(struct tcg_cpu *c, unsigned cpl, const struct bp_x86_segment *cs, const struct bp_x86_segment *ss,
                      uint64_t flags)
{
    struct vcpu *v = &c->v;
    struct bp_x86_cpu *x = v->x;

    x->seg[BP_CS] = *cs;
    x->seg[BP_SS] = *ss;
    x->rflags = (flags & 0x3f7fd5u) | 2;
    c->f.flags = flags_pack(flags);
    v->cc_kind = CC_EAGER;
    v->cpl = (uint8_t)cpl;
    v->mode = 2 | (ss->attr & BP_X86_SEG_DB ? MODE_STACK32 : 0) | (cpl == 3 ? MODE_USER : 0);
    v->flat = (uint8_t)((v->flat & ~(1u << BP_CS | 1u << BP_SS)) | (is_flat_stack(ss) ? 1u << BP_SS : 0));
    v->mmu = &v->sets[cpl == 3 ? MMU_USER : x->cr4 & CR4_SMAP && !(flags & F_AC) ? MMU_SMAP : MMU_SUPERVISOR];
    v->generation = v->asid_generation;
}

/* What SYSCALL and SYSRET load; selectors without RPL. */
static void set_flat(struct tcg_cpu *c, unsigned cpl, unsigned code, unsigned stack, uint64_t flags)
{
    struct bp_x86_segment cs = {.selector = (uint16_t)(code | cpl), .limit = 0xffffffffu,
                                .attr = (uint16_t)(0x809b | BP_X86_SEG_L | cpl << 5)};
    struct bp_x86_segment ss = {.selector = (uint16_t)(stack | cpl), .limit = 0xffffffffu,
                                .attr = (uint16_t)(0xc093 | cpl << 5)};

    set_level(c, cpl, &cs, &ss, flags);
}

/* The block at RIP in what the vCPU is now. */
static const uint8_t *next(struct tcg_cpu *c, uint64_t rip)
{
    const uint8_t *code;
    struct key now;

    c->v.x->rip = rip;
    c->mode_running = tb_mode(c);
    now = key_now(c, c->mode_running);
    code = key_use(c, &now) ? jump_code(c, rip) : NULL;
    if (!code) {
        c->f.temp = rip;
        return c->thunk_target + c->exec_delta;
    }
    c->f.page = PAGE_OF(rip);
    return code;
}

static uint64_t flags_of(const struct tcg_cpu *c)
{
    return (c->v.x->rflags & ~(uint64_t)F_ARITH) | flags_unpack(c->f.flags);
}

static const uint8_t *syscall_(struct tcg_cpu *c, uint64_t behind)
{
    struct bp_x86_cpu *x = c->v.x;
    uint64_t flags = flags_of(c), then = flags & ~(x->fmask | F_RF);
    unsigned selector = x->star >> 32 & 0xfffc;

    if (flags & ODD_FLAGS || then & F_IF)
        return NULL;
    x->gpr[BP_RCX] = behind;
    c->f.gpr[BP_R11] = flags & ~(uint64_t)F_RF;
    set_flat(c, 0, selector, (selector + 8) & 0xffff, then);
    return next(c, x->lstar);
}

static const uint8_t *sysret(struct tcg_cpu *c)
{
    struct vcpu *v = &c->v;
    struct bp_x86_cpu *x = v->x;
    uint64_t rip = x->gpr[BP_RCX], flags = c->f.gpr[BP_R11] & 0x3c7fd7u;
    unsigned selector = x->star >> 48 & 0xfffc;

    if (v->cpl != 0 || (x->rflags | flags) & ODD_FLAGS || !is_canonical(v, rip) || lets_in(v, 3, flags))
        return NULL;
    set_flat(c, 3, (selector + 16) & 0xfffc, (selector + 8) & 0xfffc, flags);
    return next(c, rip);
}

/* ---- IRET ---- */

/* `count` of the guest's quadwords, which lie in one page that the TLB reaches. */
static bool read_guest(struct tcg_cpu *c, uint64_t lin, uint64_t *ret_value, unsigned count)
{
    const struct tlb_entry *e = lin % PAGE + count * 8 <= PAGE ? tlb_reach(c, lin, false) : NULL;

    for (unsigned n = 0; e && n < count; n++)
        ret_value[n] = *(const any64 *)(lin + n * 8 + e->addend);
    return e != NULL;
}

/* A descriptor whose attributes are `want` where `mask` is set. */
static bool load(struct tcg_cpu *c, uint16_t selector, unsigned mask, unsigned want, struct bp_x86_segment *ret_segment)
{
    const struct bp_x86_segment *gdt = &c->v.x->gdtr;
    uint64_t raw;
    uint32_t limit;

    if (selector & 4 || (selector | 7u) > gdt->limit || !read_guest(c, gdt->base + (selector & ~7u), &raw, 1) ||
        (raw >> 40 & mask) != want)
        return false;
    limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 32 & 0xf0000);
    *ret_segment = (struct bp_x86_segment){
        .selector = selector, .attr = (uint16_t)(raw >> 40 & 0xf0ff),
        .base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000u),
        .limit = raw >> 55 & 1 ? limit << 12 | 0xfff : limit};
    return true;
}

/* Present, accessed, of this privilege level: 64-bit code that does not conform, a stack that can be written. */
static bool load_code(struct tcg_cpu *c, uint16_t selector, unsigned cpl, struct bp_x86_segment *ret_segment)
{
    return selector >> 2 && load(c, selector, 0x9d | 3u << 5 | BP_X86_SEG_L | BP_X86_SEG_DB,
                                 0x99 | cpl << 5 | BP_X86_SEG_L, ret_segment);
}
static bool load_stack(struct tcg_cpu *c, uint16_t selector, unsigned cpl, struct bp_x86_segment *ret_segment)
{
    if (selector == 0 && cpl == 0) {
        *ret_segment = (struct bp_x86_segment){0};
        return true;
    }
    return selector >> 2 && (selector & 3u) == cpl && load(c, selector, 0x9b | 3u << 5, 0x93 | cpl << 5, ret_segment);
}

/* Does a return to user mode have to clear one? */
static bool has_inner_segments(const struct bp_x86_cpu *x)
{
    return (x->seg[BP_ES].selector | x->seg[BP_DS].selector | x->seg[BP_FS].selector | x->seg[BP_GS].selector) >> 2;
}

/* From privilege level 0 to 0 or 3. */
static const uint8_t *iret(struct tcg_cpu *c)
{
    enum { RIP, CS, RFLAGS, RSP, SS, COUNT };
    struct vcpu *v = &c->v;
    struct bp_x86_cpu *x = v->x;
    struct bp_x86_segment cs, ss;
    uint64_t frame[COUNT], old = flags_of(c);
    unsigned cpl;

    if (v->cpl != 0 || old & ODD_FLAGS || x->nmi_blocked || !read_guest(c, x->gpr[BP_RSP], frame, COUNT))
        return NULL;
    cpl = frame[CS] & 3;
    if ((cpl != 0 && (cpl != 3 || has_inner_segments(x))) || frame[RFLAGS] & ODD_FLAGS ||
        !is_canonical(v, frame[RIP]) || lets_in(v, cpl, frame[RFLAGS]) ||
        !load_code(c, (uint16_t)frame[CS], cpl, &cs) || !load_stack(c, (uint16_t)frame[SS], cpl, &ss))
        return NULL;
    x->gpr[BP_RSP] = frame[RSP];
    set_level(c, cpl, &cs, &ss, frame[RFLAGS] & ~(uint64_t)F_RF); /* without breakpoints it has no time to be seen */
    return next(c, frame[RIP]);
}

static const uint8_t *call(struct tcg_cpu *c, const struct insn *i, uint64_t behind)
{
    if (i->map == 0)
        return iret(c);
    if (!(c->v.x->efer & EFER_SCE))
        return NULL;
    return i->opcode == 0x05 ? syscall_(c, behind) : sysret(c);
}

const uint8_t *fast_call(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);
    uint64_t insn = f->linear;
    const struct insn *i = (const struct insn *)(uintptr_t)insn;
    const uint8_t *code;
    uint32_t info = f->info;

    if (waits(c))
        return NULL;
    code = call(c, i, f->page + (info & INFO_OFFSET) + i->len);
    f->linear = insn; /* the TLB may have been filled */
    f->info = info;
    return code;
}
