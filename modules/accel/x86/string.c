/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * String instructions and port I/O. Repeated MOVS and STOS go page by page on host memory; all
 * repetitions can be interrupted between elements. Intel SDM volume 2; volume 1, 7.3.9 and 19.5.
 */
#include "vcpu.h"
#include <string.h>

/* Registers of a string instruction, truncated to the address size. */
static inline uint64_t source(const struct vcpu *v, const struct insn *i)
{
    return v->x->gpr[BP_RSI] & size_mask(i->addrsize);
}
static inline uint64_t destination(const struct vcpu *v, const struct insn *i)
{
    return v->x->gpr[BP_RDI] & size_mask(i->addrsize);
}
static inline int64_t step(const struct vcpu *v, const struct insn *i)
{
    return v->x->rflags & F_DF ? -(int64_t)i->opsize : i->opsize;
}
static void advance(struct vcpu *v, const struct insn *i, unsigned r, int64_t by)
{
    reg_set(v, i, r, i->addrsize, v->x->gpr[r] + (uint64_t)by);
}

static bool repeated(const struct insn *i)
{
    return i->prefixes & (PREFIX_REP | PREFIX_REPNE);
}

static uint64_t rep_count(const struct vcpu *v, const struct insn *i)
{
    return v->x->gpr[BP_RCX] & size_mask(i->addrsize);
}

/* Takes n from the count. False: stop here; either done, or an interrupt waits and the instruction
 * is to be started again. */
static bool rep_next(struct vcpu *v, const struct insn *i, uint64_t n)
{
    uint64_t left = rep_count(v, i) - n;

    reg_set(v, i, BP_RCX, i->addrsize, left);
    if (left == 0)
        return false;
    if (unlikely(__atomic_load_n(v->kick, __ATOMIC_RELAXED) | v->single | v->dr6_pending |
                 (uint32_t)v->hit.reason | (v->debug && v->debug->step) |
                 __atomic_load_n(&v->x->interrupts, __ATOMIC_RELAXED))) {
        v->x->rip -= i->len;
        v->attention = 1;
        v->broken_off = 1;
        end_block(v);
        return false;
    }
    return true;
}

/* How many elements from seg:off on lie in one page that can be reached directly; 0: none. */
static uint64_t direct(struct vcpu *v, unsigned seg, uint64_t off, unsigned size, bool write,
                       uint8_t **ret_host, struct tlb_entry **ret_entry)
{
    uint64_t lin, n;
    struct tlb_entry *e;

    if (v->long64) {
        lin = seg >= BP_FS ? v->x->seg[seg].base + off : off;
    } else {
        const struct bp_x86_segment *s = &v->x->seg[seg];

        if (!(v->flat >> seg & 1) && (v->x->cr0 & CR0_PE || off + PAGE > s->limit))
            return 0;
        lin = (uint32_t)(s->base + off);
    }
    e = tlb_at(v, write ? TLB_WRITE : TLB_READ, lin);
    if (!tlb_hit(v, e, lin, 1))
        return 0;
    n = (PAGE - lin % PAGE) / size;
    *ret_host = (uint8_t *)(lin + e->addend);
    *ret_entry = e;
    return n;
}

static void move_bytes(uint8_t *to, const uint8_t *from, uint64_t n, unsigned size)
{
    if (to <= from || to >= from + n) {
        memmove(to, from, n);
        return;
    }
    for (uint64_t k = 0; k < n; k += size) /* overlapping: elements are seen one after the other */
        memmove(to + k, from + k, size);
}

void exec_movs(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    bool rep = repeated(i);
    uint64_t n;

    if (rep && rep_count(v, i) == 0)
        return;
    do {
        struct tlb_entry *se, *de;
        uint8_t *from, *to;
        uint64_t so = source(v, i), off = destination(v, i), m;

        n = 0;
        if (rep && !(v->x->rflags & F_DF)) {
            n = direct(v, i->seg, so, size, false, &from, &se);
            m = n ? direct(v, BP_ES, off, size, true, &to, &de) : 0;
            n = m < n ? m : n;
            n = rep_count(v, i) < n ? rep_count(v, i) : n;
        }
        if (n) {
            move_bytes(to, from, n * size, size);
            written(v, de);
        } else {
            uint64_t value = load_any(v, seg_linear(v, i->seg, so, size, false), size, i->seg);

            store_any(v, seg_linear(v, BP_ES, off, size, true), value, size, BP_ES);
            n = 1;
        }
        advance(v, i, BP_RSI, step(v, i) * (int64_t)n);
        advance(v, i, BP_RDI, step(v, i) * (int64_t)n);
    } while (rep && rep_next(v, i, n));
}

static void fill_bytes(uint8_t *to, uint64_t value, uint64_t n, unsigned size)
{
    uint64_t unit = size == 1 ? (uint8_t)value * 0x0101010101010101u :
                    size == 2 ? (uint16_t)value * 0x0001000100010001u :
                    size == 4 ? (uint32_t)value * 0x0000000100000001u : value;

    if (size == 1 || value == 0) {
        memset(to, (uint8_t)value, n * size);
        return;
    }
    for (uint64_t k = 0; k < n * size; k += size)
        memcpy(to + k, &unit, size);
}

void exec_stos(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    bool rep = repeated(i);
    uint64_t n, value = v->x->gpr[BP_RAX];

    if (rep && rep_count(v, i) == 0)
        return;
    do {
        struct tlb_entry *e;
        uint8_t *to;
        uint64_t off = destination(v, i);

        n = rep && !(v->x->rflags & F_DF) ? direct(v, BP_ES, off, size, true, &to, &e) : 0;
        if (n > rep_count(v, i) && rep)
            n = rep_count(v, i);
        if (n) {
            fill_bytes(to, value & size_mask(size), n, size);
            written(v, e);
        } else {
            store_any(v, seg_linear(v, BP_ES, off, size, true), value, size, BP_ES);
            n = 1;
        }
        advance(v, i, BP_RDI, step(v, i) * (int64_t)n);
    } while (rep && rep_next(v, i, n));
}

void exec_lods(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    bool rep = repeated(i);

    if (rep && rep_count(v, i) == 0)
        return;
    do {
        uint64_t value = load_any(v, seg_linear(v, i->seg, source(v, i), size, false), size, i->seg);

        if (size == 1)
            *(uint8_t *)&v->x->gpr[BP_RAX] = (uint8_t)value;
        else
            reg_set(v, i, BP_RAX, size, value);
        advance(v, i, BP_RSI, step(v, i));
    } while (rep && rep_next(v, i, 1));
}

/* REPE and REPNE end on ZF too. The flags are made last: a fault on the way leaves the old ones
 * (SDM: REP). */
static bool compare_next(struct vcpu *v, const struct insn *i, uint64_t a, uint64_t b)
{
    bool equal = !((a ^ b) & size_mask(i->opsize)), more = false;

    if (repeated(i)) {
        if (equal == !(i->prefixes & PREFIX_REP))
            reg_set(v, i, BP_RCX, i->addrsize, rep_count(v, i) - 1);
        else
            more = rep_next(v, i, 1);
    }
    if (!more)
        cc_set(v, CC_SUB, i->opsize * 8, a, b);
    return more;
}

void exec_cmps(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    uint64_t a, b;

    if (repeated(i) && rep_count(v, i) == 0)
        return;
    do {
        /* In this order: which of two faults is seen was compared with processors. */
        b = load_any(v, seg_linear(v, BP_ES, destination(v, i), size, false), size, BP_ES);
        a = load_any(v, seg_linear(v, i->seg, source(v, i), size, false), size, i->seg);
        advance(v, i, BP_RSI, step(v, i));
        advance(v, i, BP_RDI, step(v, i));
    } while (compare_next(v, i, a, b));
}

void exec_scas(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    uint64_t b;

    if (repeated(i) && rep_count(v, i) == 0)
        return;
    do {
        b = load_any(v, seg_linear(v, BP_ES, destination(v, i), size, false), size, BP_ES);
        advance(v, i, BP_RDI, step(v, i));
    } while (compare_next(v, i, v->x->gpr[BP_RAX], b));
}

/* ---- ports ---- */

uint64_t port_read(struct vcpu *v, uint16_t port, unsigned size)
{
    uint64_t value;

    if (!io_allowed(v, port, size))
        raise_exception_code(v, EXC_GP, 0);
    value = v->bus.port_in(v->bus.opaque, port, size);
    debug_io(v, port, size);
    return value;
}

void port_write(struct vcpu *v, uint16_t port, uint64_t value, unsigned size)
{
    if (!io_allowed(v, port, size))
        raise_exception_code(v, EXC_GP, 0);
    v->bus.port_out(v->bus.opaque, port, value & size_mask(size), size);
    debug_io(v, port, size);
    v->attention = 1; /* the map, A20 or an interrupt line may have changed */
    end_block(v);
}

static unsigned io_size(const struct insn *i)
{
    return i->opsize > 4 ? 4 : i->opsize;
}

void exec_in(struct vcpu *v, const struct insn *i)
{
    uint16_t port = i->opcode & 8 ? (uint16_t)v->x->gpr[BP_RDX] : (uint8_t)i->imm;
    unsigned size = io_size(i);
    uint64_t value = port_read(v, port, size);

    if (size == 1)
        *(uint8_t *)&v->x->gpr[BP_RAX] = (uint8_t)value;
    else
        reg_set(v, i, BP_RAX, size, value);
}

void exec_out(struct vcpu *v, const struct insn *i)
{
    uint16_t port = i->opcode & 8 ? (uint16_t)v->x->gpr[BP_RDX] : (uint8_t)i->imm;

    port_write(v, port, v->x->gpr[BP_RAX], io_size(i));
}

static int64_t io_step(const struct vcpu *v, const struct insn *i)
{
    return v->x->rflags & F_DF ? -(int64_t)io_size(i) : (int64_t)io_size(i);
}

void exec_ins(struct vcpu *v, const struct insn *i)
{
    unsigned size = io_size(i);
    uint16_t port = (uint16_t)v->x->gpr[BP_RDX];
    bool rep = repeated(i);

    if (rep && rep_count(v, i) == 0)
        return;
    do {
        uint64_t lin = seg_linear(v, BP_ES, destination(v, i), size, true);

        if (!io_allowed(v, port, size))
            raise_exception_code(v, EXC_GP, 0);
        probe_write(v, lin, size, BP_ES); /* the port must not be read in vain */
        store_any(v, lin, port_read(v, port, size), size, BP_ES);
        advance(v, i, BP_RDI, io_step(v, i));
    } while (rep && rep_next(v, i, 1));
}

void exec_outs(struct vcpu *v, const struct insn *i)
{
    unsigned size = io_size(i);
    uint16_t port = (uint16_t)v->x->gpr[BP_RDX];
    bool rep = repeated(i);

    if (rep && rep_count(v, i) == 0)
        return;
    do {
        uint64_t value;

        if (!io_allowed(v, port, size))
            raise_exception_code(v, EXC_GP, 0);
        value = load_any(v, seg_linear(v, i->seg, source(v, i), size, false), size, i->seg);
        port_write(v, port, value, size);
        advance(v, i, BP_RSI, io_step(v, i));
    } while (rep && rep_next(v, i, 1));
}
