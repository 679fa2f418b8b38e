/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MOVS, STOS, LODS and SCAS, repeated or not, on pages that the TLB reaches directly, with the host's own instructions:
 * elements are seen in the same order. Compiled without SIMD, so that the guest's registers stay where they are.
 * Whatever else is met (faults, I/O, code, the direction flag, somebody who waits) is left to the interpreter, which
 * goes on in the middle: registers say how far it came.
 */
#include "tcg.h"

/* How many whole elements lie between the address and the end of its page. */
static uint64_t room(uint64_t lin, unsigned size)
{
    return (PAGE - lin % PAGE) / size;
}

static void move(uint8_t *to, const uint8_t *from, uint64_t n, unsigned size)
{
    switch (size) {
    case 1: __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 2: __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 4: __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    default: __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    }
}

static void fill(uint8_t *to, uint64_t value, uint64_t n, unsigned size)
{
    switch (size) {
    case 1: __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    case 2: __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    case 4: __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    default: __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    }
}

/* Addresses and count of code that is not 64-bit are 32 bits wide, and become so. */
static uint64_t mask_of(const struct insn *i)
{
    return i->addrsize == 8 ? ~(uint64_t)0 : UINT32_MAX;
}

/* Elements that can be done at once, at most `count`; 0: the interpreter's. */
static uint64_t piece(struct tcg_cpu *c, const struct insn *i, uint64_t count)
{
    uint64_t mask = mask_of(i), *g = c->v.x->gpr, to = g[BP_RDI] & mask, from = g[BP_RSI] & mask;
    uint64_t n = room(to, i->opsize), value = g[BP_RAX];
    struct tlb_entry *d, *s;
    uint8_t *dirty;

    n = n < count ? n : count;
    d = n ? tlb_reach(c, to, true) : NULL;
    if (!d)
        return 0;
    dirty = d->dirty;
    to += d->addend;
    if (i->opcode >= 0xaa) {
        fill((uint8_t *)to, value, n, i->opsize);
    } else {
        n = room(from, i->opsize) < n ? room(from, i->opsize) : n;
        s = n ? tlb_reach(c, from, false) : NULL;
        if (!s)
            return 0;
        move((uint8_t *)to, (const uint8_t *)(from + s->addend), n, i->opsize);
        g[BP_RSI] = (from + n * i->opsize) & mask;
    }
    g[BP_RDI] = (g[BP_RDI] + n * i->opsize) & mask;
    mark_dirty(dirty);
    return n;
}

/* As CMP leaves them, and as the frame has them. */
static uint32_t flags_of(uint64_t a, uint64_t b, unsigned size)
{
    uint32_t ax;

    switch (size) {
    case 1: __asm__("cmpb %b2, %b1; lahf; seto %%al" : "=&a"(ax) : "r"(a), "r"(b) : "cc"); break;
    case 2: __asm__("cmpw %w2, %w1; lahf; seto %%al" : "=&a"(ax) : "r"(a), "r"(b) : "cc"); break;
    case 4: __asm__("cmpl %k2, %k1; lahf; seto %%al" : "=&a"(ax) : "r"(a), "r"(b) : "cc"); break;
    default: __asm__("cmpq %2, %1; lahf; seto %%al" : "=&a"(ax) : "r"(a), "r"(b) : "cc"); break;
    }
    return ax & 0xffff;
}

static uint64_t element(const uint8_t *at, unsigned size)
{
    switch (size) {
    case 1: return *at;
    case 2: return *(const volatile any16 *)at;
    case 4: return *(const volatile any32 *)at;
    default: return *(const volatile any64 *)at;
    }
}

/* SCAS and LODS: elements at once, at most `count`; ret_ends: it was the last because of what it is. 0: the
 * interpreter's. */
static uint64_t look(struct tcg_cpu *c, const struct insn *i, uint64_t count, bool *ret_ends)
{
    uint64_t mask = mask_of(i), *g = c->v.x->gpr, value = 0, done = 0;
    bool scans = i->opcode >= 0xae, repeated = i->prefixes & (PREFIX_REP | PREFIX_REPNE),
        want = i->prefixes & PREFIX_REP;
    unsigned r = scans ? BP_RDI : BP_RSI, size = i->opsize;
    uint64_t from = g[r] & mask, n = room(from, size), all = size == 8 ? ~(uint64_t)0 : ((uint64_t)1 << size * 8) - 1;
    struct tlb_entry *e;

    n = n < count ? n : count;
    e = n ? tlb_reach(c, from, false) : NULL;
    if (!e)
        return 0;
    while (done < n && !*ret_ends) {
        value = element((const uint8_t *)(from + e->addend) + done++ * size, size);
        *ret_ends = scans && repeated && (value == (g[BP_RAX] & all)) != want;
    }
    if (scans)
        c->f.flags = flags_of(g[BP_RAX], value, size);
    else
        g[BP_RAX] = size >= 4 ? value : (g[BP_RAX] & ~all) | value;
    g[r] = (from + done * size) & mask;
    return done;
}

static uint64_t some(struct tcg_cpu *c, const struct insn *i, uint64_t count, bool *ret_ends)
{
    return i->opcode >= 0xac ? look(c, i, count, ret_ends) : piece(c, i, count);
}

int fast_string(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);
    const struct insn *i = (const struct insn *)(uintptr_t)f->linear;
    uint64_t insn = f->linear, *g = c->v.x->gpr, mask = mask_of(i), n;
    uint32_t info = f->info, flags = f->flags;
    bool ends = false;
    int left = 1;

    if (c->v.x->rflags & F_DF || c->v.single)
        return 1;
    if (i->prefixes & (PREFIX_REP | PREFIX_REPNE)) {
        while (g[BP_RCX] & mask && !ends) {
            n = some(c, i, g[BP_RCX] & mask, &ends);
            if (n == 0)
                break;
            g[BP_RCX] = (g[BP_RCX] - n) & mask;
            if (__atomic_load_n(&f->exit_request, __ATOMIC_RELAXED))
                break;
        }
        left = (g[BP_RCX] & mask) != 0 && !ends;
    } else {
        left = some(c, i, 1, &ends) == 0;
    }
    if (left)
        f->flags = flags; /* who goes on makes them at the end */
    f->linear = insn;
    f->info = info;
    return left;
}
