/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Page-table walks: 2, 3, 4 and 5 levels, PSE, PAE, NX, WP, SMEP, SMAP, global pages, accessed and dirty
 * bits, reserved bits, protection keys and exact error codes. Intel SDM volume 3, chapter 4.
 */
#include "vcpu.h"
#include "paging.h"
#include <bp/log.h>
#include <string.h>

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u
#define PF_PK 32u

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_PS 0x80u
#define PTE_G 0x100u
#define PTE_NX ((uint64_t)1 << 63)

void phys_forget(struct vcpu *v)
{
    memset(v->phys, 0, sizeof(v->phys));
    memset(v->ranges, 0, sizeof(v->ranges));
}

static void range_learn(struct vcpu *v, uint64_t page, const struct phys_page *p)
{
    struct phys_range now = {.start = page, .length = PAGE_OF(p->length), .host = p->host, .dirty = p->dirty,
                             .readonly = p->readonly};

    for (unsigned n = 0; n < PHYS_RANGES; n++) { /* one with the same end grows downwards */
        struct phys_range *r = &v->ranges[n];

        if (r->length && r->start + r->length == page + now.length && r->host - r->start == p->host - page) {
            if (page < r->start)
                *r = now;
            return;
        }
    }
    v->ranges[v->range_next++ % PHYS_RANGES] = now;
}

const struct phys_page *phys_lookup(struct vcpu *v, uint64_t address)
{
    uint64_t page = PAGE_OF(address);
    struct phys_cache *c = &v->phys[(page >> 12) % BP_COUNT(v->phys)];

    if (c->page != (page | 1)) {
        c->p = (struct phys_page){0};
        v->bus.lookup(v->bus.opaque, page, &c->p);
        c->page = page | 1;
        if (c->p.host && c->p.length > PAGE)
            range_learn(v, page, &c->p);
    }
    if (unlikely(v->beside != NULL) && c->p.host) {
        v->page_seen = c->p;
        v->page_seen.host = v->page(v, c->p.host, 0, false);
        return &v->page_seen;
    }
    return &c->p;
}

uint64_t phys_read(struct vcpu *v, uint64_t address, unsigned size)
{
    const struct phys_page *p = phys_lookup(v, address);

    if (!p->host)
        return v->bus.read(v->bus.opaque, address, size);
    if (size == 4)
        return __atomic_load_n((uint32_t *)(p->host + address % PAGE), __ATOMIC_RELAXED);
    return __atomic_load_n((uint64_t *)(p->host + address % PAGE), __ATOMIC_RELAXED);
}

void phys_write(struct vcpu *v, uint64_t address, uint64_t value, unsigned size)
{
    const struct phys_page *p = phys_lookup(v, address);

    if (!p->host) {
        v->bus.write(v->bus.opaque, address, value, size);
        return;
    }
    if (p->readonly)
        return;
    memcpy(p->host + address % PAGE, &value, size);
    if (p->dirty)
        mark_dirty(p->dirty);
    if (__atomic_load_n(&v->code_words[code_index(p->host)], __ATOMIC_RELAXED) & CODE_CACHED)
        code_invalidate(v, code_index(p->host));
}

/* Sets bits of a paging entry atomically. */
static void entry_or(struct vcpu *v, uint64_t address, unsigned size, uint32_t bits)
{
    const struct phys_page *p = phys_lookup(v, address);

    if (!p->host || p->readonly) {
        if (!p->host)
            v->bus.write(v->bus.opaque, address, v->bus.read(v->bus.opaque, address, size) | bits, size);
        return;
    }
    __atomic_fetch_or((uint32_t *)(p->host + address % PAGE), bits, __ATOMIC_SEQ_CST);
    if (p->dirty)
        mark_dirty(p->dirty);
    if (__atomic_load_n(&v->code_words[code_index(p->host)], __ATOMIC_RELAXED) & CODE_CACHED)
        code_invalidate(v, code_index(p->host));
}

static uint64_t masked_a20(const struct vcpu *v, uint64_t address)
{
    return v->x->a20_masked ? address & ~((uint64_t)1 << 20) : address;
}

static const char *const kinds[] = {[TLB_READ] = "read", [TLB_WRITE] = "write", [TLB_EXEC] = "fetch"};

static _Noreturn void page_fault(struct vcpu *v, const struct walk *w, uint32_t code)
{
    if (w->kind == TLB_WRITE)
        code |= PF_W;
    if (w->set == MMU_USER)
        code |= PF_U;
    if (w->kind == TLB_EXEC && ((v->x->efer & EFER_NXE && v->x->cr4 & CR4_PAE) ||
                                v->x->cr4 & CR4_SMEP))
        code |= PF_I;
    v->x->cr2 = w->lin;
    if (unlikely(bp_log_on(BP_LOG_MMU)))
        bp_log(BP_LOG_MMU, "MMU: CPU %u: %s of %016llx: page fault %x\n", v->x->apic_id, kinds[w->kind],
               (unsigned long long)w->lin, code);
    raise_exception_code(v, EXC_PF, code);
}

/* Keys of user pages (bits 59 to 62 of the last entry): two bits each in PKRU. */
static void check_key(struct vcpu *v, struct walk *w, uint64_t all, uint64_t last)
{
    const struct bp_x86_cpu *x = v->x;
    unsigned rights = x->pkru >> (2 * (last >> 59 & 15)) & 3;

    if (!(x->cr4 & CR4_PKE) || !(all & PTE_U) || w->kind == TLB_EXEC)
        return;
    if (rights & 1)
        page_fault(v, w, PF_P | PF_PK);
    if (rights & 2 && (w->set == MMU_USER || x->cr0 & CR0_WP)) {
        w->writable = false;
        if (w->kind == TLB_WRITE)
            page_fault(v, w, PF_P | PF_PK);
    }
}

/* Rights of the combined entries; `all` is the AND of the entries, nx the OR of their NX bits. */
static void check_rights(struct vcpu *v, struct walk *w, uint64_t all, bool nx)
{
    const struct bp_x86_cpu *x = v->x;
    bool user_page = all & PTE_U;

    if (w->set == MMU_USER && !user_page)
        page_fault(v, w, PF_P);
    if (w->kind == TLB_EXEC) {
        if (nx || (w->set != MMU_USER && user_page && x->cr4 & CR4_SMEP))
            page_fault(v, w, PF_P);
    } else if (w->set == MMU_SMAP && user_page) {
        page_fault(v, w, PF_P);
    }
    w->writable = (all & PTE_W) || (w->set != MMU_USER && !(x->cr0 & CR0_WP));
    if (w->kind == TLB_WRITE && !w->writable)
        page_fault(v, w, PF_P);
}

static void mark_used(struct vcpu *v, struct walk *w, const uint64_t *at, const uint64_t *value,
                      unsigned count, unsigned size)
{
    for (unsigned n = 0; n < count; n++) {
        uint32_t want = PTE_A;

        if (n == count - 1) {
            if (w->kind == TLB_WRITE)
                want |= PTE_D;
            if (!(value[n] & PTE_D) && w->kind != TLB_WRITE)
                w->writable = false; /* the first write must set D */
        }
        if ((value[n] & want) != want)
            entry_or(v, at[n], size, want);
    }
}

static void walk_32(struct vcpu *v, struct walk *w)
{
    const struct bp_x86_cpu *x = v->x;
    uint64_t at[2], value[2], all;
    unsigned count = 1;

    at[0] = masked_a20(v, (x->cr3 & 0xfffff000u) | (w->lin >> 20 & 0xffc));
    value[0] = phys_read(v, at[0], 4);
    if (!(value[0] & PTE_P))
        page_fault(v, w, 0);
    all = value[0];
    if (value[0] & PTE_PS && x->cr4 & CR4_PSE) {
        if (value[0] & 0x200000u)
            page_fault(v, w, PF_P | PF_RSVD);
        w->phys = (value[0] & 0xffc00000u) | (value[0] & 0x1fe000u) << 19 | (w->lin & 0x3ff000);
        w->large = true;
    } else {
        at[1] = masked_a20(v, (value[0] & 0xfffff000u) | (w->lin >> 10 & 0xffc));
        value[1] = phys_read(v, at[1], 4);
        if (!(value[1] & PTE_P))
            page_fault(v, w, 0);
        all &= value[1];
        w->phys = value[1] & 0xfffff000u;
        count = 2;
    }
    w->global = value[count - 1] & PTE_G && x->cr4 & CR4_PGE;
    check_rights(v, w, all, false);
    mark_used(v, w, at, value, count, 4);
}

static void walk_64(struct vcpu *v, struct walk *w)
{
    const struct bp_x86_cpu *x = v->x;
    uint64_t at[5], value[5], all = ~(uint64_t)0, e;
    uint64_t address_bits = (((uint64_t)1 << x->phys_bits) - 1) & ~(uint64_t)0xfff;
    uint64_t reserved = ((uint64_t)1 << 52) - ((uint64_t)1 << x->phys_bits);
    bool lng = x->efer & EFER_LMA, nx = false;
    unsigned count = 0;
    int shift = !lng ? 21 : x->cr4 & CR4_LA57 ? 48 : 39;

    if (!lng) /* bits 52 to 62 are reserved in PAE entries */
        reserved |= 0x7ff0000000000000u;
    if (!(x->efer & EFER_NXE))
        reserved |= PTE_NX;
    if (lng) {
        e = x->cr3 & address_bits;
    } else {
        e = v->pdpte[w->lin >> 30 & 3];
        if (!(e & PTE_P))
            page_fault(v, w, 0);
        e &= address_bits;
    }
    for (;; shift -= 9) {
        at[count] = masked_a20(v, (e & address_bits) | (w->lin >> shift & 0x1ff) << 3);
        e = value[count] = phys_read(v, at[count], 8);
        count++;
        if (!(e & PTE_P))
            page_fault(v, w, 0);
        if (e & reserved)
            page_fault(v, w, PF_P | PF_RSVD);
        all &= e;
        nx |= e & PTE_NX && x->efer & EFER_NXE;
        if (shift == 12)
            break;
        if (e & PTE_PS) {
            uint64_t inside = ((uint64_t)1 << shift) - 1;

            if (shift >= 39 || (shift == 30 && !feature(v, BP_X86_FW_80000001_EDX, 26)) ||
                (e & inside & ~(uint64_t)0x1fff))
                page_fault(v, w, PF_P | PF_RSVD);
            w->large = true;
            w->phys = (e & address_bits & ~inside) | (w->lin & inside & ~(uint64_t)0xfff);
            break;
        }
    }
    if (!w->large)
        w->phys = e & address_bits;
    w->global = e & PTE_G && x->cr4 & CR4_PGE;
    check_rights(v, w, all, nx);
    if (lng)
        check_key(v, w, all, e);
    mark_used(v, w, at, value, count, 8);
}

void page_walk(struct vcpu *v, struct walk *w)
{
    struct bp_x86_cpu *x = v->x;

    w->global = w->large = false;
    w->writable = true;
    if (!(x->cr0 & CR0_PG))
        w->phys = PAGE_OF((uint32_t)w->lin);
    else if (x->cr4 & CR4_PAE)
        walk_64(v, w);
    else
        walk_32(v, w);
    w->phys = masked_a20(v, w->phys);
    if (unlikely(bp_log_on(BP_LOG_MMU)))
        bp_log(BP_LOG_MMU, "MMU: CPU %u: %s of %016llx: page %llx%s%s%s\n", x->apic_id, kinds[w->kind],
               (unsigned long long)w->lin, (unsigned long long)w->phys, w->set == MMU_USER ? " user" : "",
               w->large ? " large" : "", w->global ? " global" : "");
}

bool pae_load_pdptes(struct vcpu *v, uint64_t cr3)
{
    uint64_t e[4];
    uint64_t reserved = ~(((uint64_t)1 << v->x->phys_bits) - 1) | 0x1e6;

    for (unsigned n = 0; n < 4; n++) {
        e[n] = phys_read(v, masked_a20(v, (cr3 & 0xffffffe0u) + n * 8), 8);
        if (e[n] & PTE_P && e[n] & reserved)
            return false;
    }
    for (unsigned n = 0; n < 4; n++)
        v->pdpte[n] = e[n];
    return true;
}
