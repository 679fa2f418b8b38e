/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Debug registers: code and data breakpoints. While any is enabled, or TF is set, instructions run
 * one at a time and watched pages stay out of the TLB. Intel SDM volume 3, chapter 17.2. Points of a debugger
 * outside watch pages the same way; code goes on in blocks up to one that holds a point.
 */
#include "vcpu.h"

static unsigned kind_of(uint64_t dr7, unsigned n)
{
    return dr7 >> (16 + n * 4) & 3;
}

static unsigned length_of(uint64_t dr7, unsigned n)
{
    static const uint8_t length[] = {1, 2, 8, 4};

    return length[dr7 >> (18 + n * 4) & 3];
}

static bool enabled(uint64_t dr7, unsigned n)
{
    return dr7 >> (n * 2) & 3;
}

void debug_update(struct vcpu *v)
{
    const struct bp_x86_cpu *x = v->x;
    bool single = x->rflags & F_TF || x->dr[7] & 0xff;

    if (single != v->single) {
        v->single = single;
        v->attention = 1;
        mode_update(v);
        end_block(v);
    } else if (single) {
        v->attention = 1;
    }
}

/* Is there a code breakpoint at this address? Leaves its bits in dr6_pending. */
bool debug_code_hit(struct vcpu *v, uint64_t linear)
{
    uint64_t dr7 = v->x->dr[7];

    if (!(dr7 & 0xff))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(dr7, n) && kind_of(dr7, n) == 0 && v->x->dr[n] == linear)
            v->dr6_pending |= 1u << n;
    }
    return v->dr6_pending != 0;
}

static void data_hit(struct vcpu *v, uint64_t address, unsigned size, unsigned kinds)
{
    uint64_t dr7 = v->x->dr[7];

    for (unsigned n = 0; n < 4; n++) {
        unsigned length = length_of(dr7, n);
        uint64_t start = v->x->dr[n] & ~(uint64_t)(length - 1);

        if (enabled(dr7, n) && kinds >> kind_of(dr7, n) & 1 && address < start + length &&
            start < address + size)
            v->dr6_pending |= 1u << n;
    }
}

/* ---- a debugger outside ---- */

bool point_at(struct vcpu *v, uint64_t linear)
{
    for (unsigned n = 0; n < v->debug->count; n++) {
        const struct bp_debug_point *p = &v->debug->points[n];

        if (p->kind == BP_DEBUG_EXECUTE && p->address == linear) {
            v->hit = (struct bp_debug_hit){BP_DEBUG_AT_POINT, BP_DEBUG_EXECUTE, linear};
            return true;
        }
    }
    return false;
}

bool point_within(const struct vcpu *v, uint64_t linear, unsigned bytes)
{
    for (unsigned n = 0; n < v->debug->count; n++) {
        const struct bp_debug_point *p = &v->debug->points[n];

        if (p->kind == BP_DEBUG_EXECUTE && p->address - linear < bytes)
            return true;
    }
    return false;
}

static bool watches(const struct bp_debug_point *p, bool write)
{
    return p->kind == BP_DEBUG_ACCESS || p->kind == (write ? BP_DEBUG_WRITE : BP_DEBUG_READ);
}

static void point_data(struct vcpu *v, uint64_t linear, unsigned size, bool write)
{
    for (unsigned n = 0; n < v->debug->count; n++) {
        const struct bp_debug_point *p = &v->debug->points[n];
        uint64_t at = linear > p->address ? linear : p->address;

        if (v->hit.reason || !watches(p, write) || at - linear >= size || at - p->address >= p->length)
            continue;
        v->hit = (struct bp_debug_hit){BP_DEBUG_AT_POINT, p->kind, at};
        v->attention = 1;
        end_block(v);
    }
}

static bool point_watches_page(const struct vcpu *v, uint64_t page)
{
    for (unsigned n = 0; n < v->debug->count; n++) {
        const struct bp_debug_point *p = &v->debug->points[n];
        uint64_t at = page > p->address ? page : p->address;

        if (p->kind != BP_DEBUG_EXECUTE && at - page < PAGE && at - p->address < p->length)
            return true;
    }
    return false;
}

void vcpu_debug(struct vcpu *v, const struct bp_debug *debug)
{
    v->debug = debug;
    v->hit.reason = BP_DEBUG_NOTHING;
    tlb_flush(v, true); /* watched pages must miss */
    v->attention = 1;
}

void debug_data(struct vcpu *v, uint64_t linear, unsigned size, bool write)
{
    if (v->debug)
        point_data(v, linear, size, write);
    data_hit(v, linear, size, write ? 1u << 1 | 1u << 3 : 1u << 3);
}

bool debug_io(struct vcpu *v, uint16_t port, unsigned size)
{
    if (v->x->dr[7] & 0xff && v->x->cr4 & CR4_DE)
        data_hit(v, port, size, 1u << 2);
    return v->dr6_pending != 0;
}

bool debug_page_watched(const struct vcpu *v, uint64_t page)
{
    uint64_t dr7 = v->x->dr[7];

    if (unlikely(v->debug != NULL) && point_watches_page(v, page))
        return true;
    if (likely(!(dr7 & 0xff)))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(dr7, n) && (kind_of(dr7, n) & 1) && PAGE_OF(v->x->dr[n]) == page)
            return true;
    }
    return false;
}

void exec_mov_dr(struct vcpu *v, const struct insn *i) /* 0F 21, 0F 23 */
{
    struct bp_x86_cpu *x = v->x;
    unsigned n = i->reg;
    uint64_t value = v->x->gpr[i->rm];

    if (n > 7 || ((n == 4 || n == 5) && x->cr4 & CR4_DE))
        exec_ud(v, i);
    privileged(v);
    if (n == 4 || n == 5)
        n += 2;
    if (x->dr[7] & 0x2000) { /* GD */
        x->dr[6] |= 0x2000;
        x->dr[7] &= ~(uint64_t)0x2000;
        raise_exception(v, EXC_DB);
    }
    if (i->opcode == 0x21) {
        reg_set(v, i, i->rm, v->long64 ? 8 : 4, x->dr[n]);
        return;
    }
    if (!v->long64)
        value = (uint32_t)value;
    if (n >= 6) {
        if (value >> 32)
            raise_exception_code(v, EXC_GP, 0);
        value = n == 6 ? (value & 0xe00f) | 0xffff0ff0u : (value & 0xffff2fffu) | 0x400;
    }
    x->dr[n] = value;
    tlb_flush(v, true); /* watched pages must miss */
    debug_update(v);
    end_block(v);
}
