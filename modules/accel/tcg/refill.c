/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A miss of the software TLB, the way that is usual: no paging, or all entries allow the access, and the accessed and
 * dirty bits are set. Compiled without SIMD, so that the guest's XMM registers stay where they
 * are. Everything else is left to the interpreter. Intel SDM volume 3, 4.5.
 */
#include "tcg.h"

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_PS 0x80u
#define PTE_G 0x100u

static const struct phys_range *range_of(const struct tcg_cpu *c, uint64_t address)
{
    for (unsigned n = 0; n < PHYS_RANGES; n++) {
        if (address - c->v.ranges[n].start < c->v.ranges[n].length)
            return &c->v.ranges[n];
    }
    return NULL;
}

struct walked {
    uint64_t phys, all, entry;
    bool large;
};

static bool present(uint64_t e)
{
    return (e & (PTE_P | PTE_A)) == (PTE_P | PTE_A);
}

/* Entries of 64 bits: long mode's four or five levels, or the two below PAE's pointers. */
static bool walk_64(const struct tcg_cpu *c, uint64_t lin, struct walked *w)
{
    const struct vcpu *v = &c->v;
    const struct bp_x86_cpu *x = v->x;
    uint64_t bits = (((uint64_t)1 << x->phys_bits) - 1) & ~(uint64_t)0xfff;
    uint64_t reserved = ((uint64_t)1 << 52) - ((uint64_t)1 << x->phys_bits);
    bool wide = x->efer & EFER_LMA;
    uint64_t e = wide ? x->cr3 : v->pdpte[lin >> 30 & 3];

    if (!wide) {
        if (!(e & PTE_P))
            return false;
        reserved |= 0x7ff0000000000000u;
    }
    if (!(x->efer & EFER_NXE))
        reserved |= (uint64_t)1 << 63;
    for (int shift = !wide ? 21 : x->cr4 & CR4_LA57 ? 48 : 39;; shift -= 9) {
        uint64_t at = (e & bits) | (lin >> shift & 0x1ff) << 3;
        const struct phys_range *r = range_of(c, at);

        if (!r)
            return false;
        e = __atomic_load_n((const uint64_t *)(r->host + (at - r->start)), __ATOMIC_RELAXED);
        if (!present(e) || e & reserved)
            return false;
        w->all &= e;
        w->entry = e;
        if (shift == 12) {
            w->phys = e & bits;
            return true;
        }
        if (e & PTE_PS) {
            uint64_t inside = ((uint64_t)1 << shift) - 1;

            if (shift != 21 || e & inside & ~(uint64_t)0x1fff)
                return false;
            w->large = true;
            w->phys = (e & bits & ~inside) | (lin & inside & ~(uint64_t)0xfff);
            return true;
        }
    }
}

/* Two levels, entries of 32 bits. */
static bool walk_32(const struct tcg_cpu *c, uint64_t lin, struct walked *w)
{
    const struct bp_x86_cpu *x = c->v.x;
    uint64_t at = (x->cr3 & 0xfffff000u) | (lin >> 20 & 0xffc);

    for (unsigned level = 0;; level++) {
        const struct phys_range *r = range_of(c, at);
        uint32_t e;

        if (!r)
            return false;
        e = __atomic_load_n((const uint32_t *)(r->host + (at - r->start)), __ATOMIC_RELAXED);
        if (!present(e))
            return false;
        w->all &= e;
        w->entry = e;
        if (level) {
            w->phys = e & 0xfffff000u;
            return true;
        }
        if (e & PTE_PS && x->cr4 & CR4_PSE) {
            w->large = true;
            w->phys = (e & 0xffc00000u) | (uint64_t)(e & 0x1fe000u) << 19 | (lin & 0x3ff000);
            return !(e & 0x200000u);
        }
        at = (e & 0xfffff000u) | (lin >> 10 & 0xffc);
    }
}

static bool walk(const struct tcg_cpu *c, uint64_t lin, struct walked *w)
{
    w->all = ~(uint64_t)0;
    w->large = false;
    return c->v.x->cr4 & CR4_PAE ? walk_64(c, lin, w) : walk_32(c, lin, w);
}

static bool allowed(const struct vcpu *v, const struct walked *w, bool write)
{
    unsigned set = (unsigned)(v->mmu - v->sets);

    if (set == MMU_USER ? !(w->all & PTE_U) : set == MMU_SMAP && w->all & PTE_U)
        return false;
    if (v->x->cr4 & CR4_PKE && v->x->efer & EFER_LMA && w->all & PTE_U && v->x->pkru >> (2 * (w->entry >> 59 & 15)) & 3)
        return false; /* protection keys: the interpreter knows */
    return !write || ((w->entry & PTE_D) && (w->all & PTE_W));
}

int refill(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);
    struct vcpu *v = &c->v;
    uint64_t lin = v->long64 ? f->linear : (uint32_t)f->linear, page = PAGE_OF(lin);
    unsigned span = f->info >> INFO_SPAN_SHIFT, size = span ? span : (f->info >> INFO_SIZE_SHIFT & 31) + 1;
    bool write = f->info & INFO_WRITE;
    const struct phys_range *r;
    struct tlb_entry *e;
    struct walked w;
    uint8_t *host;

    if (f->info & INFO_REDO || (lin & 0xfff) + size > PAGE || v->generation == 0xfff || v->single ||
        v->x->a20_masked || !is_canonical(v, lin) ||
        __atomic_load_n(&v->map_changed, __ATOMIC_RELAXED))
        return 1;
    e = tlb_at(v, write ? TLB_WRITE : TLB_READ, lin);
    if (e->tag == (page | v->generation))
        return 1; /* a hit that the fast path does not take: misaligned */
    if (PAGE_OF(e->tag) == page && e->tag & 0xfff && e->flags & TLB_GLOBAL && e->flags >> 16 == v->global_generation) {
        e->tag = page | v->asid_generation;
        return 0;
    }
    if (bp_log_on(BP_LOG_MMU))
        return 1;
    if (!(v->x->cr0 & CR0_PG))
        w = (struct walked){.phys = page};
    else if (!walk(c, lin, &w) || !allowed(v, &w, write))
        return 1;
    r = range_of(c, w.phys);
    if (!r || (write && r->readonly))
        return 1;
    host = r->host + (w.phys - r->start);
    e->code = code_index(host);
    e->addend = (uintptr_t)host - page;
    e->dirty = r->dirty ? r->dirty + ((w.phys - r->start) >> 12) : &v->no_dirty;
    e->flags = (w.entry & PTE_G && v->x->cr4 & CR4_PGE ? TLB_GLOBAL : 0) | (w.large ? TLB_LARGE : 0) |
               (uint32_t)v->global_generation << 16;
    if (w.large)
        v->large[page >> 36 & 63] |= (uint64_t)1 << (page >> 30 & 63);
    e->tag = page | v->asid_generation;
    v->tlb_used = 1;
    if (write) {
        writer_note(v, e);
        if (__atomic_load_n(&v->code_words[e->code], __ATOMIC_SEQ_CST) & CODE_CACHED) {
            e->tag = 0;
            return 1;
        }
    }
    return 0;
}

struct tlb_entry *tlb_reach(struct tcg_cpu *c, uint64_t lin, bool write)
{
    struct vcpu *v = &c->v;
    struct tlb_entry *e = tlb_at(v, write ? TLB_WRITE : TLB_READ, lin);

    if (e->tag == (PAGE_OF(lin) | v->generation))
        return e;
    c->f.linear = lin;
    c->f.info = write ? INFO_WRITE : 0;
    return refill(&c->f) == 0 && e->tag == (PAGE_OF(lin) | v->generation) ? e : NULL;
}

/* ---- x87 ---- */

enum { IMAGE_FCW = 0, IMAGE_FSW = 4, IMAGE_TAGS = 8, IMAGE_ST = 28, TAG_EMPTY = 3 };

static void image_put16(struct jit_frame *f, unsigned at, uint16_t value)
{
    f->x87[at] = (uint8_t)value;
    f->x87[at + 1] = (uint8_t)(value >> 8);
}

static uint16_t image_get16(const struct jit_frame *f, unsigned at)
{
    return (uint16_t)(f->x87[at] | f->x87[at + 1] << 8);
}

void x87_to_image(struct jit_frame *f)
{
    const struct bp_x86_cpu *x = f->x;
    unsigned top = x->fsw >> 11 & 7;
    uint16_t tags = 0;

    for (unsigned n = 0; n < 8; n++) {
        const struct bp_x86_st *r = &x->fpr[(top + n) & 7];
        uint8_t *at = &f->x87[IMAGE_ST + n * 10];

        __builtin_memcpy(at, &r->mantissa, 8);
        __builtin_memcpy(at + 8, &r->sign_exponent, 2);
        if (!(x->fpu_valid >> n & 1)) /* by physical register */
            tags |= (uint16_t)(TAG_EMPTY << (n * 2));
    }
    image_put16(f, IMAGE_FCW, x->fcw);
    image_put16(f, IMAGE_FSW, x->fsw);
    image_put16(f, IMAGE_TAGS, tags);
}

void x87_from_image(struct jit_frame *f)
{
    struct bp_x86_cpu *x = f->x;
    uint16_t tags = image_get16(f, IMAGE_TAGS);
    unsigned top;

    x->fcw = image_get16(f, IMAGE_FCW);
    x->fsw = image_get16(f, IMAGE_FSW);
    top = x->fsw >> 11 & 7;
    x->fpu_valid = 0;
    for (unsigned n = 0; n < 8; n++) {
        struct bp_x86_st *r = &x->fpr[(top + n) & 7];
        const uint8_t *at = &f->x87[IMAGE_ST + n * 10];

        __builtin_memcpy(&r->mantissa, at, 8);
        __builtin_memcpy(&r->sign_exponent, at + 8, 2);
        if ((tags >> (n * 2) & 3) != TAG_EMPTY)
            x->fpu_valid |= (uint8_t)(1u << n);
    }
    f->x87_saved = 0;
}
