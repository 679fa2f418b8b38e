/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot instructions of 64-bit code, one handler per form: MOV, LEA, PUSH, POP, MOVZX, MOVSX, Jcc,
 * CALL, RET, JMP, TEST and the ALU forms of alu.c. pick_fast() replaces a decoded instruction's
 * general handler where one of these fits.
 */
#include "vcpu.h"

#define R(n) v->x->gpr[n]
#define FAST(name) static void name(struct vcpu *v, const struct insn *i)

FAST(mov_rr64) { R(i->rm) = R(i->reg); }
FAST(mov_rr32) { R(i->rm) = (uint32_t)R(i->reg); }
FAST(mov_rr_ge64) { R(i->reg) = R(i->rm); }
FAST(mov_rr_ge32) { R(i->reg) = (uint32_t)R(i->rm); }
FAST(mov_load64) { R(i->reg) = load64(v, ea_flat(i), i->seg); }
FAST(mov_load32) { R(i->reg) = load32(v, ea_flat(i), i->seg); }
FAST(mov_load8) { *reg8_at(v, i, i->reg) = load8(v, ea_flat(i), i->seg); }
FAST(mov_store64) { store64(v, ea_flat(i), R(i->reg), i->seg); }
FAST(mov_store32) { store32(v, ea_flat(i), (uint32_t)R(i->reg), i->seg); }
FAST(mov_store16) { store16(v, ea_flat(i), (uint16_t)R(i->reg), i->seg); }
FAST(mov_store8) { store8(v, ea_flat(i), *reg8_at(v, i, i->reg), i->seg); }
FAST(mov_store_i64) { store64(v, ea_flat(i), i->imm, i->seg); }
FAST(mov_store_i32) { store32(v, ea_flat(i), (uint32_t)i->imm, i->seg); }
FAST(mov_store_i8) { store8(v, ea_flat(i), (uint8_t)i->imm, i->seg); }
FAST(mov_i_rm) { R(i->rm) = i->imm; }
FAST(mov_i_rm32) { R(i->rm) = (uint32_t)i->imm; }
FAST(mov_ri64) { R(i->reg) = i->imm; }
FAST(mov_ri32) { R(i->reg) = (uint32_t)i->imm; }
FAST(lea64) { R(i->reg) = ea_full(i); }
FAST(lea32) { R(i->reg) = (uint32_t)ea_full(i); }
FAST(movzx8_load) { R(i->reg) = load8(v, ea_flat(i), i->seg); }
FAST(movzx16_load) { R(i->reg) = load16(v, ea_flat(i), i->seg); }
FAST(movzx8_r) { R(i->reg) = *reg8_at(v, i, i->rm); }
FAST(movzx16_r) { R(i->reg) = (uint16_t)R(i->rm); }
FAST(movsx8_load32) { R(i->reg) = (uint32_t)(int8_t)load8(v, ea_flat(i), i->seg); }
FAST(movsx8_load64) { R(i->reg) = (uint64_t)(int8_t)load8(v, ea_flat(i), i->seg); }
FAST(movsxd_load) { R(i->reg) = (uint64_t)(int32_t)load32(v, ea_flat(i), i->seg); }
FAST(movsxd_r) { R(i->reg) = (uint64_t)(int32_t)R(i->rm); }
FAST(nothing) { (void)v; (void)i; }
FAST(zero_reg) /* XOR of a register with itself */
{
    R(i->rm) = 0;
    v->cc_kind = CC_LOGIC;
    v->cc_shift = 32;
    v->cc_a = 0;
}
FAST(test_rr64) /* TEST of a register with itself */
{
    v->cc_kind = CC_LOGIC;
    v->cc_shift = 0;
    v->cc_a = R(i->rm);
}
FAST(test_rr32)
{
    v->cc_kind = CC_LOGIC;
    v->cc_shift = 32;
    v->cc_a = R(i->rm) << 32;
}

#define INCDEC(name, kind, N, d) \
    FAST(name) \
    { \
        bool c = flag_c(v); \
        uint##N##_t r = (uint##N##_t)(R(i->rm) + (uint64_t)(d)); \
        R(i->rm) = r; \
        cc_set(v, kind, N, r, 0); \
        v->cc_b = c; \
    }
INCDEC(inc64, CC_INC, 64, 1)
INCDEC(inc32, CC_INC, 32, 1)
INCDEC(dec64, CC_DEC, 64, -1)
INCDEC(dec32, CC_DEC, 32, -1)

/* Shifts by a constant that is not 0 (imm masked already). Overflow as in bits.c. */
#define SHIFT_FLAGS(N, r, c, of) \
    flags_set_eager(v, ((r) ? 0 : F_ZF) | ((r) >> (N - 1) ? F_SF : 0) | \
                           (__builtin_parity((unsigned)(r)&0xff) ? 0 : F_PF) | ((c) ? F_CF : 0) | \
                           ((of) ? F_OF : 0))
#define SHIFTS(N, T, S) \
    FAST(shl_r##N) \
    { \
        T a = (T)R(i->rm), r = (T)(a << i->imm), c = a >> (N - i->imm) & 1; \
        R(i->rm) = r; \
        SHIFT_FLAGS(N, r, c, (a >> (N - 1) ^ a >> (N - 2)) & 1); \
    } \
    FAST(shr_r##N) \
    { \
        T a = (T)R(i->rm), r = a >> i->imm, c = a >> (i->imm - 1) & 1; \
        R(i->rm) = r; \
        SHIFT_FLAGS(N, r, c, a >> (N - 1)); \
    } \
    FAST(sar_r##N) \
    { \
        S a = (S)R(i->rm); \
        T r = (T)(a >> i->imm), c = (T)(a >> (i->imm - 1)) & 1; \
        R(i->rm) = r; \
        SHIFT_FLAGS(N, r, c, 0); \
    }
SHIFTS(32, uint32_t, int32_t)
SHIFTS(64, uint64_t, int64_t)

/* IMUL with two or three operands; flags as in muldiv.c. */
#define IMUL_FLAGS(N, r, overflow) \
    flags_set_eager(v, ((overflow) ? F_CF | F_OF : 0) | ((uint##N##_t)(r) >> (N - 1) ? F_SF : 0) | \
                           (__builtin_parity((unsigned)(r)&0xff) ? 0 : F_PF))
#define IMUL(name, N, A, B) \
    FAST(name) \
    { \
        int##N##_t r; \
        bool o = __builtin_mul_overflow((int##N##_t)(A), (int##N##_t)(B), &r); \
        R(i->reg) = (uint##N##_t)r; \
        IMUL_FLAGS(N, r, o); \
    }
IMUL(imul_rr64, 64, R(i->reg), R(i->rm))
IMUL(imul_rr32, 32, R(i->reg), R(i->rm))
IMUL(imul_rm64, 64, R(i->reg), load64(v, ea_flat(i), i->seg))
IMUL(imul_rm32, 32, R(i->reg), load32(v, ea_flat(i), i->seg))
IMUL(imul_ri64, 64, R(i->rm), i->imm)
IMUL(imul_ri32, 32, R(i->rm), i->imm)

FAST(push_r64)
{
    uint64_t sp = R(BP_RSP) - 8;

    store64(v, sp, R(i->reg), BP_SS);
    R(BP_RSP) = sp;
}
FAST(pop_r64)
{
    uint64_t value = load64(v, R(BP_RSP), BP_SS);

    R(BP_RSP) += 8;
    R(i->reg) = value;
}
FAST(push_i64)
{
    uint64_t sp = R(BP_RSP) - 8;

    store64(v, sp, i->imm, BP_SS);
    R(BP_RSP) = sp;
}

/* Branches in 64-bit code; a displacement cannot leave canonical space unnoticed: the fetch faults. */
FAST(jmp64) { v->x->rip += i->imm; }
FAST(call64)
{
    uint64_t sp = R(BP_RSP) - 8, target = v->x->rip + i->imm;

    store64(v, sp, v->x->rip, BP_SS);
    R(BP_RSP) = sp;
    v->x->rip = target;
}
FAST(ret64)
{
    uint64_t target = load64(v, R(BP_RSP), BP_SS);

    if (unlikely(!is_canonical(v, target)))
        raise_exception_code(v, EXC_GP, 0);
    R(BP_RSP) += 8 + i->imm;
    v->x->rip = target;
}
FAST(jmp_r64)
{
    uint64_t target = R(i->rm);

    if (unlikely(!is_canonical(v, target)))
        raise_exception_code(v, EXC_GP, 0);
    v->x->rip = target;
}
FAST(call_r64)
{
    uint64_t target = R(i->rm), sp = R(BP_RSP) - 8;

    store64(v, sp, v->x->rip, BP_SS); /* written, and may fault, before the target counts */
    if (unlikely(!is_canonical(v, target)))
        raise_exception_code(v, EXC_GP, 0);
    R(BP_RSP) = sp;
    v->x->rip = target;
}

#define CONDITIONAL(n) \
    FAST(jcc_##n) \
    { \
        if (condition(v, n)) \
            v->x->rip += i->imm; \
    } \
    FAST(set_##n) { *reg8_at(v, i, i->rm) = condition(v, n); } \
    FAST(cmov64_##n) \
    { \
        if (condition(v, n)) \
            R(i->reg) = R(i->rm); \
    } \
    FAST(cmov32_##n) { R(i->reg) = (uint32_t)R(condition(v, n) ? i->rm : i->reg); }
CONDITIONAL(0) CONDITIONAL(1) CONDITIONAL(2) CONDITIONAL(3)
CONDITIONAL(4) CONDITIONAL(5) CONDITIONAL(6) CONDITIONAL(7)
CONDITIONAL(8) CONDITIONAL(9) CONDITIONAL(10) CONDITIONAL(11)
CONDITIONAL(12) CONDITIONAL(13) CONDITIONAL(14) CONDITIONAL(15)
#define CONDITIONS(p) \
    {p##0, p##1, p##2, p##3, p##4, p##5, p##6, p##7, p##8, p##9, p##10, p##11, p##12, p##13, p##14, p##15}
static exec_fn *const jcc[16] = CONDITIONS(jcc_), *const setcc[16] = CONDITIONS(set_),
               *const cmov64[16] = CONDITIONS(cmov64_), *const cmov32[16] = CONDITIONS(cmov32_);

static exec_fn *pick_alu(const struct insn *i, bool flat)
{
    unsigned op = i->opcode >> 3 & 7;
    bool same = i->rm == i->reg && i->rm != RM_MEM && i->opsize >= 4;

    if (i->map != 0)
        return NULL;
    if (i->opcode < 0x40) {
        switch (i->opcode & 7) {
        case 0: case 1:
            if (op == 6 && same)
                return zero_reg;
            return alu_handler(op, i, FORM_EG, flat);
        case 2: case 3: return alu_handler(op, i, FORM_GE, flat);
        case 4: case 5: return alu_handler(op, i, FORM_EI, flat);
        default: return NULL;
        }
    }
    switch (i->opcode) {
    case 0x80: case 0x81: case 0x82: case 0x83:
        return alu_handler(i->modrm >> 3 & 7, i, FORM_EI, flat);
    case 0x84: case 0x85:
        if (same)
            return i->opsize == 8 ? test_rr64 : test_rr32;
        return alu_handler(8, i, FORM_EG, flat);
    case 0xa8: case 0xa9: return alu_handler(8, i, FORM_EI, flat);
    case 0xf6: case 0xf7:
        return (i->modrm & 0x30) ? NULL : alu_handler(8, i, FORM_EI, flat);
    }
    return NULL;
}

static exec_fn *pick_mov(const struct insn *i, bool flat)
{
    bool reg = i->rm != RM_MEM;
    unsigned size = i->opsize;

    switch (i->opcode) {
    case 0x88: return !reg && flat ? mov_store8 : NULL;
    case 0x89:
        if (reg)
            return size == 8 ? mov_rr64 : size == 4 ? mov_rr32 : NULL;
        return !flat ? NULL : size == 8 ? mov_store64 : size == 4 ? mov_store32 : mov_store16;
    case 0x8a: return !reg && flat ? mov_load8 : NULL;
    case 0x8b:
        if (reg)
            return size == 8 ? mov_rr_ge64 : size == 4 ? mov_rr_ge32 : NULL;
        return !flat ? NULL : size == 8 ? mov_load64 : size == 4 ? mov_load32 : NULL;
    case 0x8d:
        return size == 8 && i->addrsize == 8 ? lea64 : size == 4 && i->addrsize >= 4 ? lea32 : NULL;
    case 0xc6: return (i->modrm & 0x38) || reg || !flat ? NULL : mov_store_i8;
    case 0xc7:
        if (i->modrm & 0x38)
            return NULL;
        if (reg)
            return size == 8 ? mov_i_rm : size == 4 ? mov_i_rm32 : NULL;
        return !flat ? NULL : size == 8 ? mov_store_i64 : size == 4 ? mov_store_i32 : NULL;
    case 0x63:
        if (size != 8)
            return NULL;
        return reg ? movsxd_r : flat ? movsxd_load : NULL;
    case 0x69: case 0x6b: return !reg ? NULL : size == 8 ? imul_ri64 : size == 4 ? imul_ri32 : NULL;
    case 0x90: return i->rex & 1 ? NULL : nothing;
    }
    return NULL;
}

static exec_fn *pick_shift(struct insn *i)
{
    unsigned mask = i->opsize == 8 ? 63 : 31, count;
    static exec_fn *const by_size[2][4] = {{shl_r32, shr_r32, shl_r32, sar_r32},
                                           {shl_r64, shr_r64, shl_r64, sar_r64}};

    if (i->rm == RM_MEM || i->opsize < 4 || !(i->modrm & 0x20) || i->opcode == 0xd3)
        return NULL;
    count = i->opcode == 0xd1 ? 1 : (unsigned)i->imm & mask;
    if (count == 0)
        return NULL;
    i->imm = count;
    return by_size[i->opsize == 8][i->modrm >> 3 & 3];
}

static exec_fn *pick_0f(const struct insn *i, bool flat)
{
    bool reg = i->rm != RM_MEM;
    unsigned cc = i->opcode & 15;

    switch (i->opcode & 0xf0) {
    case 0x40:
        return !reg || i->opsize == 2 ? NULL : i->opsize == 8 ? cmov64[cc] : cmov32[cc];
    case 0x80: return flat ? jcc[cc] : NULL;
    case 0x90: return reg ? setcc[cc] : NULL;
    }
    if (i->opsize == 2)
        return NULL;
    switch (i->opcode) {
    case 0xaf:
        if (reg)
            return i->opsize == 8 ? imul_rr64 : imul_rr32;
        return !flat ? NULL : i->opsize == 8 ? imul_rm64 : imul_rm32;
    case 0xb6: return reg ? movzx8_r : flat ? movzx8_load : NULL;
    case 0xb7: return reg ? movzx16_r : flat ? movzx16_load : NULL;
    case 0xbe: return reg || !flat ? NULL : i->opsize == 8 ? movsx8_load64 : movsx8_load32;
    case 0x1f: return nothing;
    }
    return NULL;
}

/* Stack and branch instructions of 64-bit code. */
static exec_fn *pick_64(struct insn *i)
{
    bool wide = i->opsize == 8;

    switch (i->opcode) {
    case 0x50 ... 0x57:
        i->reg = (i->opcode & 7) | (i->rex & 1) << 3;
        return wide ? push_r64 : NULL;
    case 0x58 ... 0x5f:
        i->reg = (i->opcode & 7) | (i->rex & 1) << 3;
        return wide ? pop_r64 : NULL;
    case 0x68: case 0x6a: return wide ? push_i64 : NULL;
    case 0x70 ... 0x7f: return jcc[i->opcode & 15];
    case 0xe8: return call64;
    case 0xe9: case 0xeb: return jmp64;
    case 0xc2: case 0xc3: return ret64;
    case 0xff:
        if (i->rm == RM_MEM)
            return NULL;
        switch (i->modrm >> 3 & 7) {
        case 2: return call_r64;
        case 4: return jmp_r64;
        }
    }
    return NULL;
}

void pick_fast(struct vcpu *v, struct insn *i)
{
    bool flat = v->long64 && i->addrsize == 8;
    exec_fn *fn = NULL;

    if (i->map == 1) {
        /* Jcc has no address: any 64-bit code. */
        fn = pick_0f(i, (i->opcode & 0xf0) == 0x80 ? v->long64 : flat);
    } else if (i->map == 0) {
        fn = pick_alu(i, flat);
        if (!fn)
            fn = pick_mov(i, flat);
        if (!fn && v->long64)
            fn = pick_64(i);
        else if (!v->long64 && (i->opcode & 0xf0) == 0x50)
            i->reg = i->opcode & 7;
        switch (i->opcode) {
        case 0xb8 ... 0xbf:
            i->reg = (i->opcode & 7) | (i->rex & 1) << 3;
            fn = i->opsize == 8 ? mov_ri64 : i->opsize == 4 ? mov_ri32 : NULL;
            break;
        case 0xc1: case 0xd1: fn = pick_shift(i); break;
        case 0x40 ... 0x4f:
            i->rm = i->opcode & 7;
            fn = i->opsize != 4 ? NULL : i->opcode & 8 ? dec32 : inc32;
            break;
        case 0xff:
            if (i->rm != RM_MEM && i->opsize >= 4 && !(i->modrm & 0x30))
                fn = i->modrm & 8 ? (i->opsize == 8 ? dec64 : dec32) : i->opsize == 8 ? inc64 : inc32;
            break;
        }
    }
    if (fn)
        i->exec = fn;
}
