/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ADD OR ADC SBB AND SUB XOR CMP TEST in all their forms, one handler per operation, size and
 * operand form, and the read-modify-write helper with LOCK. Intel SDM volume 2.
 */
#include "vcpu.h"

enum { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST };

static inline __attribute__((always_inline)) uint64_t alu(struct vcpu *v, unsigned op, unsigned bits,
                                                          uint64_t a, uint64_t b)
{
    uint64_t r, sign = (uint64_t)1 << (bits - 1), mask = bits == 64 ? ~(uint64_t)0 : sign * 2 - 1;
    unsigned c;
    uint32_t f;

    switch (op) {
    case ADD:
        cc_set(v, CC_ADD, bits, a, b);
        return a + b;
    case SUB:
    case CMP:
        cc_set(v, CC_SUB, bits, a, b);
        return a - b;
    case OR: r = a | b; break;
    case AND:
    case TEST: r = a & b; break;
    case XOR: r = a ^ b; break;
    case ADC:
        c = flag_c(v);
        if (!c) {
            cc_set(v, CC_ADD, bits, a, b);
            return a + b;
        }
        r = (a + b + 1) & mask;
        f = (r <= a ? F_CF : 0) | (~(a ^ b) & (a ^ r) & sign ? F_OF : 0);
        goto carried;
    default:
        c = flag_c(v);
        if (!c) {
            cc_set(v, CC_SUB, bits, a, b);
            return a - b;
        }
        r = (a - b - 1) & mask;
        f = (a <= b ? F_CF : 0) | ((a ^ b) & (a ^ r) & sign ? F_OF : 0);
    carried:
        f |= (uint32_t)((a ^ b ^ r) & F_AF) | (r == 0 ? F_ZF : 0) | (r & sign ? F_SF : 0) |
             (__builtin_parity((unsigned)r & 0xff) ? 0 : F_PF);
        flags_set_eager(v, f);
        return r;
    }
    v->cc_kind = CC_LOGIC;
    v->cc_shift = 64 - bits;
    v->cc_a = r << (64 - bits);
    return r;
}

#define REG8(v, i, r) (*reg8_at(v, i, r))
#define REG16(v, i, r) (*(uint16_t *)&(v)->x->gpr[r])
#define REG32(v, i, r) (*(uint32_t *)&(v)->x->gpr[r])
#define REG64(v, i, r) ((v)->x->gpr[r])
#define SET8(v, i, r, val) (*reg8_at(v, i, r) = (uint8_t)(val))
#define SET16(v, i, r, val) (*(uint16_t *)&(v)->x->gpr[r] = (uint16_t)(val))
#define SET32(v, i, r, val) ((v)->x->gpr[r] = (uint32_t)(val))
#define SET64(v, i, r, val) ((v)->x->gpr[r] = (val))
#define LIN_F(v, i, n, w) ea_flat(i)
#define LIN_G(v, i, n, w) insn_linear(v, i, n, w)

/* A memory destination: SRC is evaluated once. CMP and TEST only read. */
#define ALU_MEM(OP, N, NAME, LIN, SRC) \
    static void NAME(struct vcpu *v, const struct insn *i) \
    { \
        uint##N##_t b = (uint##N##_t)(SRC); \
        if (OP == CMP || OP == TEST) { \
            uint64_t lin = LIN(v, i, N / 8, false); \
            alu(v, OP, N, load##N(v, lin, i->seg), b); \
        } else { \
            uint64_t lin = LIN(v, i, N / 8, true); \
            struct tlb_entry *e = write_entry(v, lin, N / 8, i->seg); \
            if (likely(e != NULL)) { \
                any##N *p = (any##N *)(lin + e->addend); \
                *p = (uint##N##_t)alu(v, OP, N, *p, b); \
                written(v, e); \
            } else { \
                uint##N##_t a = load##N(v, lin, i->seg); \
                store##N(v, lin, (uint##N##_t)alu(v, OP, N, a, b), i->seg); \
            } \
        } \
    }
#define ALU_REG(OP, N, NAME, DST, SRC) \
    static void NAME(struct vcpu *v, const struct insn *i) \
    { \
        uint##N##_t b = (uint##N##_t)(SRC); \
        uint64_t r = alu(v, OP, N, REG##N(v, i, DST), b); \
        if (OP != CMP && OP != TEST) \
            SET##N(v, i, DST, r); \
        (void)r; \
    }
#define ALU_FORMS(OP, N) \
    ALU_REG(OP, N, OP##_eg_r##N, i->rm, REG##N(v, i, i->reg)) \
    ALU_MEM(OP, N, OP##_eg_f##N, LIN_F, REG##N(v, i, i->reg)) \
    ALU_MEM(OP, N, OP##_eg_g##N, LIN_G, REG##N(v, i, i->reg)) \
    ALU_REG(OP, N, OP##_ge_r##N, i->reg, REG##N(v, i, i->rm)) \
    ALU_REG(OP, N, OP##_ge_f##N, i->reg, load##N(v, ea_flat(i), i->seg)) \
    ALU_REG(OP, N, OP##_ge_g##N, i->reg, load##N(v, insn_linear(v, i, N / 8, false), i->seg)) \
    ALU_REG(OP, N, OP##_ei_r##N, i->rm, i->imm) \
    ALU_MEM(OP, N, OP##_ei_f##N, LIN_F, i->imm) \
    ALU_MEM(OP, N, OP##_ei_g##N, LIN_G, i->imm)
#define ALU_SIZES(OP) ALU_FORMS(OP, 8) ALU_FORMS(OP, 16) ALU_FORMS(OP, 32) ALU_FORMS(OP, 64)
ALU_SIZES(ADD)
ALU_SIZES(OR)
ALU_SIZES(ADC)
ALU_SIZES(SBB)
ALU_SIZES(AND)
ALU_SIZES(SUB)
ALU_SIZES(XOR)
ALU_SIZES(CMP)
ALU_SIZES(TEST)

#define ROW(OP, N) \
    {{OP##_eg_r##N, OP##_eg_f##N, OP##_eg_g##N}, {OP##_ge_r##N, OP##_ge_f##N, OP##_ge_g##N}, \
     {OP##_ei_r##N, OP##_ei_f##N, OP##_ei_g##N}}
#define ROWS(OP) {ROW(OP, 8), ROW(OP, 16), ROW(OP, 32), ROW(OP, 64)}
static exec_fn *const handlers[9][4][3][3] = {ROWS(ADD), ROWS(OR), ROWS(ADC), ROWS(SBB), ROWS(AND),
                                              ROWS(SUB), ROWS(XOR), ROWS(CMP), ROWS(TEST)};

/* LOCK: register or immediate source, memory destination. The operation is in the opcode or in
 * modrm.reg (group 1). */
static void alu_locked(struct vcpu *v, const struct insn *i)
{
    bool group = i->opcode >= 0x80;
    unsigned op = group ? i->modrm >> 3 & 7 : i->opcode >> 3 & 7, size = i->opsize;
    uint64_t b = group ? i->imm : reg_get(v, i, i->reg, size), a, r = 0;
    struct rmw m;

    do {
        a = rmw_begin(v, i, size, &m);
        switch (op) {
        case ADD: r = a + b; break;
        case OR: r = a | b; break;
        case ADC: r = a + b + flag_c(v); break;
        case SBB: r = a - b - flag_c(v); break;
        case AND: r = a & b; break;
        case SUB: r = a - b; break;
        default: r = a ^ b; break;
        }
    } while (!rmw_end(v, i, &m, r));
    b &= size_mask(size);
    switch (size) {
    case 1: alu(v, op, 8, a, b); break;
    case 2: alu(v, op, 16, a, b); break;
    case 4: alu(v, op, 32, a, b); break;
    default: alu(v, op, 64, a, b); break;
    }
}

exec_fn *alu_handler(unsigned op, const struct insn *i, unsigned form, bool flat)
{
    unsigned where = i->rm != RM_MEM ? 0 : flat ? 1 : 2;

    if (i->prefixes & PREFIX_LOCK)
        return alu_locked;
    return handlers[op][__builtin_ctz(i->opsize)][form][where];
}

/* ---- read-modify-write ---- */

uint64_t rmw_begin_at(struct vcpu *v, uint64_t lin, unsigned seg, unsigned size, bool lock, struct rmw *m)
{
    m->reg = false;
    m->size = size;
    m->lin = lin;
    m->entry = write_entry(v, lin, size, seg);
    m->lock = lock && m->entry;
    if (!m->entry) {
        probe_write(v, lin, size, seg);
        return m->old = load_any(v, lin, size, seg);
    }
    m->host = (void *)(lin + m->entry->addend);
    switch (size) {
    case 1: m->old = *(volatile any8 *)m->host; break;
    case 2: m->old = *(volatile any16 *)m->host; break;
    case 4: m->old = *(volatile any32 *)m->host; break;
    default: m->old = *(volatile any64 *)m->host; break;
    }
    return m->old;
}

uint64_t rmw_begin(struct vcpu *v, const struct insn *i, unsigned size, struct rmw *m)
{
    if (i->rm != RM_MEM) {
        m->reg = true;
        m->lock = false;
        m->size = size;
        return m->old = reg_get(v, i, i->rm, size);
    }
    return rmw_begin_at(v, insn_linear(v, i, size, true), i->seg, size, i->prefixes & PREFIX_LOCK, m);
}

#define EXCHANGE(T, ANY) \
    { \
        T old = (T)m->old; \
        if (m->lock) { \
            if (!__atomic_compare_exchange_n((T *)m->host, &old, (T)value, false, __ATOMIC_SEQ_CST, \
                                             __ATOMIC_SEQ_CST)) \
                return false; \
        } else { \
            *(volatile ANY *)m->host = (T)value; \
        } \
    }

bool rmw_end(struct vcpu *v, const struct insn *i, struct rmw *m, uint64_t value)
{
    if (m->reg) {
        reg_set(v, i, i->rm, m->size, value);
        return true;
    }
    if (!m->entry) {
        store_any(v, m->lin, value, m->size, i->seg);
        return true;
    }
    switch (m->size) {
    case 1: EXCHANGE(uint8_t, any8) break;
    case 2: EXCHANGE(uint16_t, any16) break;
    case 4: EXCHANGE(uint32_t, any32) break;
    default: EXCHANGE(uint64_t, any64) break;
    }
    written(v, m->entry);
    return true;
}

uint64_t rm_load(struct vcpu *v, const struct insn *i, unsigned size)
{
    if (i->rm != RM_MEM)
        return reg_get(v, i, i->rm, size);
    return load_any(v, insn_linear(v, i, size, false), size, i->seg);
}

void rm_store(struct vcpu *v, const struct insn *i, unsigned size, uint64_t value)
{
    if (i->rm != RM_MEM)
        reg_set(v, i, i->rm, size, value);
    else
        store_any(v, insn_linear(v, i, size, true), value, size, i->seg);
}
