/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System management mode: what an SMI saves and sets up, and RSM. The state save area has the layout of
 * the AMD64 architecture (APM volume 2, 10.3.3, table 10-2) on every model: firmware knows it by the revision
 * identifier. Left out: I/O instruction restart and I/O trap information, which read as zero, and the fields
 * of SVM.
 */
#include "vcpu.h"
#include <string.h>

#define AREA 0xfe00u /* of SMBASE: 512 bytes */
#define REVISION 0x00020064u /* bit 17: the handler may move SMBASE */
#define AUTO_HALT 0xc9u      /* bit 0: HLT was interrupted; the handler may clear it */
#define NMI_MASK 0xcau
#define SAVED_CPL 0xcbu

struct area {
    uint8_t b[512];
};

static void put(struct area *a, unsigned at, uint64_t value, unsigned size)
{
    for (unsigned n = 0; n < size; n++)
        a->b[at + n] = (uint8_t)(value >> 8 * n);
}

static uint64_t get(const struct area *a, unsigned at, unsigned size)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < size; n++)
        value |= (uint64_t)a->b[at + n] << 8 * n;
    return value;
}

/* Where they lie: selector, attributes, limit, base; attributes without the limit's bits between. */
static struct bp_x86_segment *segment_at(struct bp_x86_cpu *x, unsigned n)
{
    return n < 6 ? &x->seg[n] : n == 6 ? &x->gdtr : n == 7 ? &x->ldtr : n == 8 ? &x->idtr : &x->tr;
}
#define SEGMENTS 10u

/* Control registers and the like at 8 bytes each, from the end: RAX first. */
static uint64_t *quad_at(struct bp_x86_cpu *x, unsigned n)
{
    static const uint8_t order[16] = {BP_RAX, BP_RCX, BP_RDX, BP_RBX, BP_RSP, BP_RBP, BP_RSI, BP_RDI,
                                      BP_R8, BP_R9, BP_R10, BP_R11, BP_R12, BP_R13, BP_R14, BP_R15};

    switch (n) {
    case 16: return &x->rip;
    case 17: return &x->rflags;
    case 18: return &x->dr[6];
    case 19: return &x->dr[7];
    case 20: return &x->cr0;
    case 21: return &x->cr3;
    case 22: return &x->cr4;
    default: return &x->gpr[order[n]];
    }
}
#define QUADS 23u

static void store_area(struct vcpu *v, const struct area *a, uint64_t base)
{
    for (unsigned n = 0; n < sizeof(a->b); n += 8)
        phys_write(v, (uint32_t)(base + AREA + n), get(a, n, 8), 8);
}

static void load_area(struct vcpu *v, struct area *a, uint64_t base)
{
    for (unsigned n = 0; n < sizeof(a->b); n += 8)
        put(a, n, phys_read(v, (uint32_t)(base + AREA + n), 8), 8);
}

static void save(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;
    struct area a = {{0}};

    flags_sync(v);
    for (unsigned n = 0; n < SEGMENTS; n++) {
        const struct bp_x86_segment *s = segment_at(x, n);

        put(&a, 16 * n, s->selector, 2);
        put(&a, 16 * n + 2, (s->attr & 0xffu) | (s->attr >> 4 & 0xf00u), 2);
        put(&a, 16 * n + 4, s->limit, 4);
        put(&a, 16 * n + 8, s->base, 8);
    }
    a.b[AUTO_HALT] = x->halted;
    a.b[NMI_MASK] = x->nmi_blocked;
    a.b[SAVED_CPL] = v->cpl;
    put(&a, 0xd0, x->efer, 8);
    put(&a, 0xfc, REVISION, 4);
    put(&a, 0x100, x->smbase, 4);
    for (unsigned n = 0; n < QUADS; n++)
        put(&a, 0x1f8 - 8 * n, *quad_at(x, n), 8);
    store_area(v, &a, x->smbase);
}

/* SDM volume 3, table 31-4; APM volume 2, table 10-3 */
static void start_handler(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;

    for (unsigned n = 0; n < 6; n++)
        x->seg[n] = (struct bp_x86_segment){.attr = 0x8093, .limit = 0xffffffffu};
    x->seg[BP_CS].selector = (uint16_t)(x->smbase >> 4);
    x->seg[BP_CS].base = x->smbase;
    x->seg[BP_CS].attr = 0x809b;
    x->cr0 &= ~(uint64_t)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    x->cr4 = x->efer = 0;
    x->rflags = 2;
    x->rip = 0x8000;
    x->dr[7] = 0x400;
    x->halted = x->shadow = 0;
    x->nmi_blocked = 1;
}

void smm_enter(struct vcpu *v)
{
    struct bp_x86_cpu *x = v->x;

    flags_sync(v);
    x->smm = 1; /* the area is in the memory that the mode sees */
    phys_forget(v);
    save(v);
    start_handler(v);
    vcpu_changed(v);
}

/* False: what the area holds is no state that a processor can be in. */
static bool valid(const struct vcpu *v)
{
    const struct bp_x86_cpu *x = v->x;
    bool paging = x->cr0 & CR0_PG, lng = x->efer & EFER_LMA;

    if (x->cr0 >> 32 || (paging && !(x->cr0 & CR0_PE)) || (x->cr0 & CR0_NW && !(x->cr0 & CR0_CD)))
        return false;
    if (x->cr4 & ~cr4_allowed(v) || x->efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR))
        return false;
    if (lng != (paging && x->efer & EFER_LME) || (lng && !(x->cr4 & CR4_PAE)) ||
        (lng && x->seg[BP_CS].attr & BP_X86_SEG_L && x->seg[BP_CS].attr & BP_X86_SEG_DB))
        return false;
    return !lng || !(x->cr3 >> x->phys_bits);
}

void exec_rsm(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    struct area a;

    if (!x->smm)
        exec_ud(v, i);
    load_area(v, &a, x->smbase);
    for (unsigned n = 0; n < SEGMENTS; n++) {
        unsigned attr = (unsigned)get(&a, 16 * n + 2, 2);

        *segment_at(x, n) = (struct bp_x86_segment){
            .selector = (uint16_t)get(&a, 16 * n, 2), .attr = (uint16_t)((attr & 0xff) | (attr & 0xf00) << 4),
            .limit = (uint32_t)get(&a, 16 * n + 4, 4), .base = get(&a, 16 * n + 8, 8)};
    }
    for (unsigned n = 0; n < QUADS; n++)
        *quad_at(x, n) = get(&a, 0x1f8 - 8 * n, 8);
    x->efer = get(&a, 0xd0, 8);
    if (get(&a, 0xfc, 4) >> 17 & 1)
        x->smbase = get(&a, 0x100, 4);
    x->rflags = (x->rflags & 0x3f7fd7u) | 2;
    x->halted = a.b[AUTO_HALT] & 1;
    x->nmi_blocked = a.b[NMI_MASK] & 1;
    x->smm = x->shadow = 0;
    v->prev = NULL;
    if (valid(v)) {
        vcpu_changed(v);
    } else {
        v->shutdown = 1;
        v->attention = 1;
    }
    end_block(v);
}
