/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MOVS and STOS, repeated or not, on pages that the TLB reaches directly, with the host's own instructions: elements
 * are seen in the same order. Compiled without SIMD, so that the guest's registers stay where they are. Whatever else
 * is met (faults, I/O, code, the direction flag, somebody who waits) is left to the interpreter, which goes on in the
 * middle: registers say how far it came.
 */
#include "tcg.h"

static struct tlb_entry *entry(struct tcg_cpu *c, uint64_t lin, bool write)
{
    struct vcpu *v = &c->v;
    struct tlb_entry *e = tlb_at(v, write ? TLB_WRITE : TLB_READ, lin);

    if (e->tag == (PAGE_OF(lin) | v->generation))
        return e;
    c->f.linear = lin;
    c->f.info = write ? INFO_WRITE : 0;
    return refill(&c->f) == 0 && e->tag == (PAGE_OF(lin) | v->generation) ? e : NULL;
}

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

/* Elements that can be done at once, at most `count`; 0: the interpreter's. */
static uint64_t piece(struct tcg_cpu *c, const struct insn *i, uint64_t count)
{
    uint64_t *g = c->v.x->gpr, to = g[BP_RDI], from = g[BP_RSI], n = room(to, i->opsize), value = g[BP_RAX];
    struct tlb_entry *d, *s;
    uint8_t *dirty;

    n = n < count ? n : count;
    d = n ? entry(c, to, true) : NULL;
    if (!d)
        return 0;
    dirty = d->dirty;
    to += d->addend;
    if (i->opcode >= 0xaa) {
        fill((uint8_t *)to, value, n, i->opsize);
    } else {
        n = room(from, i->opsize) < n ? room(from, i->opsize) : n;
        s = n ? entry(c, from, false) : NULL;
        if (!s)
            return 0;
        move((uint8_t *)to, (const uint8_t *)(from + s->addend), n, i->opsize);
        g[BP_RSI] += n * i->opsize;
    }
    g[BP_RDI] += n * i->opsize;
    mark_dirty(dirty);
    return n;
}

int fast_string(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);
    const struct insn *i = (const struct insn *)(uintptr_t)f->linear;
    uint64_t insn = f->linear, *g = c->v.x->gpr, n;
    uint32_t info = f->info;
    int left = 1;

    if (c->v.x->rflags & F_DF || c->v.single)
        return 1;
    if (i->prefixes & (PREFIX_REP | PREFIX_REPNE)) {
        while (g[BP_RCX]) {
            n = piece(c, i, g[BP_RCX]);
            if (n == 0)
                break;
            g[BP_RCX] -= n;
            if (__atomic_load_n(&f->exit_request, __ATOMIC_RELAXED))
                break;
        }
        left = g[BP_RCX] != 0;
    } else {
        left = piece(c, i, 1) == 0;
    }
    f->linear = insn;
    f->info = info;
    return left;
}
