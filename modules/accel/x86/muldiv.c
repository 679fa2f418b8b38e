/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * INC DEC NOT NEG MUL IMUL DIV IDIV XADD CMPXCHG CMPXCHG8B/16B BSWAP and the BCD adjustments.
 * Undefined flags are what current Intel processors give: MUL and IMUL set SF and PF from the low
 * half and clear ZF and AF; DIV leaves all flags alone; AAA, AAS, DAA, DAS, AAM, AAD set SF ZF PF
 * from AL. Intel SDM volume 2.
 */
#include "xsave.h"
#include <bp/random.h>

static void incdec(struct vcpu *v, const struct insn *i, bool dec)
{
    unsigned bits = i->opsize * 8;
    bool c = flag_c(v);
    struct rmw m;
    uint64_t r;

    do {
        r = rmw_begin(v, i, i->opsize, &m) + (dec ? -1 : 1);
    } while (!rmw_end(v, i, &m, r));
    cc_set(v, dec ? CC_DEC : CC_INC, bits, r, 0);
    v->cc_b = c;
}

void exec_incdec_rm(struct vcpu *v, const struct insn *i) /* FE, FF /0 /1 */
{
    incdec(v, i, i->modrm & 8);
}

void exec_group4(struct vcpu *v, const struct insn *i)
{
    if (i->modrm & 0x30)
        exec_ud(v, i);
    incdec(v, i, i->modrm & 8);
}

void exec_incdec_r(struct vcpu *v, const struct insn *i) /* 40..4F */
{
    struct insn n = *i;

    n.rm = i->opcode & 7;
    incdec(v, &n, i->opcode & 8);
}

static uint32_t result_flags(uint64_t r, unsigned size)
{
    return (r & size_mask(size) ? 0 : F_ZF) | (sign_extend(r, size) < 0 ? F_SF : 0) |
           (__builtin_parity((unsigned)r & 0xff) ? 0 : F_PF);
}

static void mul_flags(struct vcpu *v, uint64_t low, unsigned size, bool overflow)
{
    flags_set_eager(v, (overflow ? F_CF | F_OF : 0) | (result_flags(low, size) & ~F_ZF));
}

static void mul_wide(struct vcpu *v, const struct insn *i, uint64_t b, bool is_signed)
{
    uint64_t *g = v->x->gpr, a = reg_get(v, i, BP_RAX, i->opsize);
    unsigned size = i->opsize, bits = size * 8;
    __uint128_t r;
    uint64_t low, high;
    bool overflow;

    if (size == 1)
        a = (uint8_t)g[BP_RAX];
    if (is_signed)
        r = (__uint128_t)((__int128_t)sign_extend(a, size) * sign_extend(b, size));
    else
        r = (__uint128_t)a * b;
    low = (uint64_t)r & size_mask(size);
    high = (uint64_t)(r >> bits) & size_mask(size);
    overflow = is_signed ? (__int128_t)r != sign_extend(low, size) : high != 0;
    if (size == 1) {
        *(uint16_t *)&g[BP_RAX] = (uint16_t)r;
    } else {
        reg_set(v, i, BP_RAX, size, low);
        reg_set(v, i, BP_RDX, size, high);
    }
    mul_flags(v, low, size, overflow);
}

static void set_quotient(struct vcpu *v, const struct insn *i, uint64_t q, uint64_t r)
{
    uint64_t *g = v->x->gpr;

    if (i->opsize == 1) {
        *(uint16_t *)&g[BP_RAX] = (uint16_t)((q & 0xff) | r << 8);
    } else {
        reg_set(v, i, BP_RAX, i->opsize, q);
        reg_set(v, i, BP_RDX, i->opsize, r);
    }
}

static void div_unsigned(struct vcpu *v, const struct insn *i, uint64_t b)
{
    const uint64_t *g = v->x->gpr;
    unsigned size = i->opsize;
    __uint128_t a, q;

    if (b == 0)
        raise_exception(v, EXC_DE);
    if (size < 8) {
        uint64_t n = size == 1 ? (uint16_t)g[BP_RAX] :
                     size == 2 ? (uint32_t)(uint16_t)g[BP_RDX] << 16 | (uint16_t)g[BP_RAX] :
                     g[BP_RDX] << 32 | (uint32_t)g[BP_RAX];

        if (n / b > size_mask(size))
            raise_exception(v, EXC_DE);
        set_quotient(v, i, n / b, n % b);
        return;
    }
    if (g[BP_RDX] >= b)
        raise_exception(v, EXC_DE);
    if (g[BP_RDX] == 0) {
        set_quotient(v, i, g[BP_RAX] / b, g[BP_RAX] % b);
        return;
    }
    a = (__uint128_t)g[BP_RDX] << 64 | g[BP_RAX];
    q = a / b;
    set_quotient(v, i, (uint64_t)q, (uint64_t)(a % b));
}

static void div_signed(struct vcpu *v, const struct insn *i, uint64_t b)
{
    const uint64_t *g = v->x->gpr;
    unsigned size = i->opsize;
    __int128_t a, d = sign_extend(b, size), q;

    if (d == 0)
        raise_exception(v, EXC_DE);
    if (size == 1)
        a = (int16_t)g[BP_RAX];
    else if (size == 2)
        a = (int32_t)((uint32_t)(uint16_t)g[BP_RDX] << 16 | (uint16_t)g[BP_RAX]);
    else if (size == 4)
        a = (int64_t)(g[BP_RDX] << 32 | (uint32_t)g[BP_RAX]);
    else
        a = (__int128_t)((__uint128_t)g[BP_RDX] << 64 | g[BP_RAX]);
    if (d == -1 && a == (__int128_t)((__uint128_t)1 << 127))
        raise_exception(v, EXC_DE);
    q = a / d;
    if (q != sign_extend((uint64_t)q, size))
        raise_exception(v, EXC_DE);
    set_quotient(v, i, (uint64_t)q, (uint64_t)(a % d) & size_mask(size));
}

void exec_group3(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7, size = i->opsize;
    struct rmw m;
    uint64_t a;

    switch (op) {
    case 2:
        do {
            a = rmw_begin(v, i, size, &m);
        } while (!rmw_end(v, i, &m, ~a));
        break;
    case 3:
        do {
            a = rmw_begin(v, i, size, &m);
        } while (!rmw_end(v, i, &m, -a));
        cc_set(v, CC_SUB, size * 8, 0, a);
        break;
    case 4: mul_wide(v, i, rm_load(v, i, size), false); break;
    case 5: mul_wide(v, i, rm_load(v, i, size), true); break;
    case 6: div_unsigned(v, i, rm_load(v, i, size)); break;
    case 7: div_signed(v, i, rm_load(v, i, size)); break;
    }
}

static void imul(struct vcpu *v, const struct insn *i, uint64_t a, uint64_t b)
{
    unsigned size = i->opsize;
    __int128_t r = (__int128_t)sign_extend(a, size) * sign_extend(b, size);

    reg_set(v, i, i->reg, size, (uint64_t)r);
    mul_flags(v, (uint64_t)r, size, r != sign_extend((uint64_t)r, size));
}

void exec_imul2(struct vcpu *v, const struct insn *i)
{
    imul(v, i, reg_get(v, i, i->reg, i->opsize), rm_load(v, i, i->opsize));
}

void exec_imul3(struct vcpu *v, const struct insn *i)
{
    imul(v, i, rm_load(v, i, i->opsize), i->imm);
}

void exec_xadd(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    uint64_t a, b = reg_get(v, i, i->reg, size);
    struct rmw m;

    if (i->rm != RM_MEM) { /* the sum wins when both are the same register */
        a = reg_get(v, i, i->rm, size);
        reg_set(v, i, i->reg, size, a);
        reg_set(v, i, i->rm, size, a + b);
    } else {
        do {
            a = rmw_begin(v, i, size, &m);
        } while (!rmw_end(v, i, &m, a + b));
        reg_set(v, i, i->reg, size, a);
    }
    cc_set(v, CC_ADD, size * 8, a, b);
}

void exec_cmpxchg(struct vcpu *v, const struct insn *i)
{
    unsigned size = i->opsize;
    uint64_t acc = v->x->gpr[BP_RAX] & size_mask(size), a, b = reg_get(v, i, i->reg, size);
    struct rmw m;

    do {
        a = rmw_begin(v, i, size, &m);
        if (a != acc && m.reg) /* a register destination is not even extended */
            break;
    } while (!rmw_end(v, i, &m, a == acc ? b : a));
    if (a != acc) {
        if (size == 1)
            *(uint8_t *)&v->x->gpr[BP_RAX] = (uint8_t)a;
        else
            reg_set(v, i, BP_RAX, size, a);
    }
    cc_set(v, CC_SUB, size * 8, acc, a);
}

static void cmpxchg8b(struct vcpu *v, const struct insn *i)
{
    uint64_t *g = v->x->gpr, want = g[BP_RDX] << 32 | (uint32_t)g[BP_RAX], a;
    uint64_t put = g[BP_RCX] << 32 | (uint32_t)g[BP_RBX];
    uint32_t f;
    struct rmw m;

    do {
        a = rmw_begin(v, i, 8, &m);
    } while (!rmw_end(v, i, &m, a == want ? put : a));
    f = arith_flags(v) & ~F_ZF;
    if (a == want) {
        f |= F_ZF;
    } else {
        g[BP_RAX] = (uint32_t)a;
        g[BP_RDX] = a >> 32;
    }
    flags_set_eager(v, f);
}

static bool cmpxchg_16(__uint128_t *p, __uint128_t *want, __uint128_t put)
{
    uint64_t low = (uint64_t)*want, high = (uint64_t)(*want >> 64);
    bool ok;

#ifdef __x86_64__
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(ok), "+m"(*p), "+a"(low), "+d"(high)
                     : "b"((uint64_t)put), "c"((uint64_t)(put >> 64))
                     : "memory");
    *want = (__uint128_t)high << 64 | low;
#else
    ok = __atomic_compare_exchange_n(p, want, put, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#endif
    return ok;
}

static void cmpxchg16b(struct vcpu *v, const struct insn *i)
{
    uint64_t *g = v->x->gpr, lin = insn_linear(v, i, 16, true);
    __uint128_t want = (__uint128_t)g[BP_RDX] << 64 | g[BP_RAX];
    __uint128_t put = (__uint128_t)g[BP_RCX] << 64 | g[BP_RBX], seen = want;
    uint32_t f = arith_flags(v) & ~F_ZF;
    struct tlb_entry *e;
    bool equal;

    if (lin & 15)
        raise_exception_code(v, EXC_GP, 0);
    e = write_entry(v, lin, 16, i->seg);
    if (e) {
        equal = cmpxchg_16((__uint128_t *)(lin + e->addend), &seen, put);
        written(v, e);
    } else {
        seen = (__uint128_t)load64(v, lin + 8, i->seg) << 64 | load64(v, lin, i->seg);
        equal = seen == want;
        store64(v, lin, (uint64_t)(equal ? put : seen), i->seg);
        store64(v, lin + 8, (uint64_t)((equal ? put : seen) >> 64), i->seg);
    }
    if (equal) {
        f |= F_ZF;
    } else {
        g[BP_RAX] = (uint64_t)seen;
        g[BP_RDX] = (uint64_t)(seen >> 64);
    }
    flags_set_eager(v, f);
}

static void random_number(struct vcpu *v, const struct insn *i)
{
    uint64_t r;

    bp_guest_random(&r, sizeof(r)); /* the host's own generator, or what -seed says */
    reg_set(v, i, i->rm, i->opsize, r);
    flags_set_eager(v, F_CF); /* it had some */
}

void exec_group9(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (op == 1 && i->rm == RM_MEM) {
        if (!(i->rex & 8))
            cmpxchg8b(v, i);
        else if (feature(v, BP_X86_FW_1_ECX, 13))
            cmpxchg16b(v, i);
        else
            exec_ud(v, i);
    } else if (i->prefixes & PREFIX_LOCK) {
        exec_ud(v, i);
    } else if (i->rm == RM_MEM && xsave_group9(v, i)) {
        return;
    } else if (op == 6 && i->rm != RM_MEM && feature(v, BP_X86_FW_1_ECX, 30)) {
        random_number(v, i);
    } else if (op == 7 && i->rm != RM_MEM && i->prefixes & PREFIX_REP && feature(v, BP_X86_FW_7_ECX, 22)) {
        v->x->gpr[i->rm] = v->x->tsc_aux;
    } else if (op == 7 && i->rm != RM_MEM && feature(v, BP_X86_FW_7_EBX, 18)) {
        random_number(v, i);
    } else {
        exec_ud(v, i);
    }
}

void exec_bswap(struct vcpu *v, const struct insn *i)
{
    unsigned r = (i->opcode & 7) | (i->rex & 1) << 3;
    uint64_t *g = &v->x->gpr[r];

    if (i->opsize == 8)
        *g = __builtin_bswap64(*g);
    else if (i->opsize == 4)
        *g = __builtin_bswap32((uint32_t)*g);
    else
        *(uint16_t *)g = 0; /* as the processor does with a 16-bit operand */
}

/* ---- BCD ---- */

static void set_al(struct vcpu *v, uint8_t al, uint32_t f)
{
    *(uint8_t *)&v->x->gpr[BP_RAX] = al;
    flags_set_eager(v, (f & (F_CF | F_AF)) | result_flags(al, 1));
}

static void decimal(struct vcpu *v, int sign)
{
    uint8_t al = (uint8_t)v->x->gpr[BP_RAX], old = al;
    uint32_t f = arith_flags(v), out = 0;

    if ((al & 0xf) > 9 || f & F_AF) {
        al = (uint8_t)(al + sign * 6);
        out |= F_AF | (sign < 0 && old < 6 ? F_CF : 0);
        out |= f & F_CF;
    }
    if (old > 0x99 || f & F_CF) {
        al = (uint8_t)(al + sign * 0x60);
        out |= F_CF;
    } else if (sign > 0) {
        out &= ~F_CF;
    }
    set_al(v, al, out);
}

void exec_daa(struct vcpu *v, const struct insn *i) { (void)i; decimal(v, 1); }
void exec_das(struct vcpu *v, const struct insn *i) { (void)i; decimal(v, -1); }

static void ascii(struct vcpu *v, int sign)
{
    uint16_t ax = (uint16_t)v->x->gpr[BP_RAX];
    uint32_t out = 0;

    if ((ax & 0xf) > 9 || arith_flags(v) & F_AF) {
        ax = (uint16_t)(ax + sign * 0x106);
        out = F_AF | F_CF;
    }
    ax &= 0xff0f;
    *(uint16_t *)&v->x->gpr[BP_RAX] = ax;
    set_al(v, (uint8_t)ax, out);
}

void exec_aaa(struct vcpu *v, const struct insn *i) { (void)i; ascii(v, 1); }
void exec_aas(struct vcpu *v, const struct insn *i) { (void)i; ascii(v, -1); }

void exec_salc(struct vcpu *v, const struct insn *i) /* D6, undocumented */
{
    (void)i;
    *(uint8_t *)&v->x->gpr[BP_RAX] = flag_c(v) ? 0xff : 0;
}

void exec_aam(struct vcpu *v, const struct insn *i)
{
    uint8_t al = (uint8_t)v->x->gpr[BP_RAX], d = (uint8_t)i->imm;

    if (d == 0)
        raise_exception(v, EXC_DE);
    *(uint16_t *)&v->x->gpr[BP_RAX] = (uint16_t)((al / d) << 8 | al % d);
    set_al(v, al % d, 0);
}

void exec_aad(struct vcpu *v, const struct insn *i)
{
    uint16_t ax = (uint16_t)v->x->gpr[BP_RAX];
    uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)i->imm);

    *(uint16_t *)&v->x->gpr[BP_RAX] = al;
    set_al(v, al, 0);
}
