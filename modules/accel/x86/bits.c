/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shifts, rotates, SHLD/SHRD, BT/BTS/BTR/BTC, BSF/BSR/LZCNT/TZCNT/POPCNT, MOVBE, CRC32, ADX, BMI1, BMI2.
 * Undefined flags are what current Intel processors give: shifts clear AF; OF is what the first of
 * several one-bit steps would give; BSF and BSR clear CF OF SF AF, take PF from the result, and
 * leave a destination alone when the source is 0.
 * Intel SDM volume 2.
 */
#include "vcpu.h"

static uint32_t szp(uint64_t r, unsigned size)
{
    return (r & size_mask(size) ? 0 : F_ZF) | (sign_extend(r, size) < 0 ? F_SF : 0) |
           (__builtin_parity((unsigned)r & 0xff) ? 0 : F_PF);
}

/* Rotates change only CF and OF. Returns the result; *f is updated. */
static uint64_t rotate(unsigned op, uint64_t a, unsigned count, unsigned bits, uint32_t *f)
{
    uint64_t mask = size_mask(bits / 8), r = a, c = *f & F_CF, top = a >> (bits - 1), of;
    unsigned n = count % (op < 2 ? bits : bits + 1);

    switch (op) {
    case 0: /* ROL */
        r = n ? (a << n | a >> (bits - n)) & mask : a;
        c = r & 1;
        of = top ^ a >> (bits - 2);
        break;
    case 1: /* ROR */
        r = n ? (a >> n | a << (bits - n)) & mask : a;
        c = r >> (bits - 1) & 1;
        of = top ^ a;
        break;
    case 2: /* RCL */
        if (n == 0)
            return a;
        of = top ^ a >> (bits - 2);
        for (; n; n--) {
            uint64_t out = r >> (bits - 1) & 1;

            r = (r << 1 | c) & mask;
            c = out;
        }
        break;
    default: /* RCR */
        if (n == 0)
            return a;
        of = top ^ c;
        for (; n; n--) {
            uint64_t out = r & 1;

            r = r >> 1 | c << (bits - 1);
            c = out;
        }
        break;
    }
    *f = (*f & ~(F_CF | F_OF)) | (c ? F_CF : 0) | (of & 1 ? F_OF : 0);
    return r;
}

static uint64_t shift(unsigned op, uint64_t a, unsigned count, unsigned bits, uint32_t *f)
{
    unsigned size = bits / 8;
    uint64_t r, c, of;

    if (op == 5) { /* SHR */
        r = a >> count;
        c = a >> (count - 1) & 1;
        of = a >> (bits - 1);
    } else if (op == 7) { /* SAR */
        int64_t s = sign_extend(a, size);

        r = (uint64_t)(s >> count) & size_mask(size);
        c = (uint64_t)(s >> (count - 1)) & 1;
        of = 0;
    } else { /* SHL */
        r = a << count & size_mask(size);
        c = count <= bits ? a >> (bits - count) & 1 : 0;
        of = a >> (bits - 1) ^ a >> (bits - 2);
    }
    *f = szp(r, size) | (c ? F_CF : 0) | (of & 1 ? F_OF : 0);
    return r;
}

void exec_shift(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7, size = i->opsize, count;
    uint32_t f = 0;
    struct rmw m;
    uint64_t a, r;

    count = i->opcode < 0xd0 ? (unsigned)i->imm : i->opcode < 0xd2 ? 1 : (unsigned)v->x->gpr[BP_RCX];
    count &= size == 8 ? 63 : 31;
    if (count == 0) { /* the destination is read, and written back */
        if (i->rm == RM_MEM) {
            a = rmw_begin(v, i, size, &m);
            rmw_end(v, i, &m, a);
        } else if (size == 4) {
            reg_set(v, i, i->rm, 4, v->x->gpr[i->rm]);
        }
        return;
    }
    a = rmw_begin(v, i, size, &m);
    if (op < 4) {
        f = arith_flags(v);
        uint32_t of = f & F_OF;

        r = rotate(op, a, count, size * 8, &f);
        if (op < 2 && count != 1 && i->opcode < 0xd0 && i->rm != RM_MEM) /* a constant: OF stays */
            f = (f & ~F_OF) | of;
    } else {
        r = shift(op, a, count, size * 8, &f);
    }
    rmw_end(v, i, &m, r);
    flags_set_eager(v, f);
}

void exec_shift_double(struct vcpu *v, const struct insn *i) /* 0F A4 A5 AC AD */
{
    unsigned size = i->opsize, bits = size * 8, count;
    bool right = i->opcode & 8;
    uint64_t a, b = reg_get(v, i, i->reg, size), r, c;
    struct rmw m;

    count = i->opcode & 1 ? (unsigned)v->x->gpr[BP_RCX] : (unsigned)i->imm;
    count &= size == 8 ? 63 : 31;
    if (count == 0) {
        if (i->rm == RM_MEM) {
            a = rmw_begin(v, i, size, &m);
            rmw_end(v, i, &m, a);
        } else if (size == 4) {
            reg_set(v, i, i->rm, 4, v->x->gpr[i->rm]);
        }
        return;
    }
    a = rmw_begin(v, i, size, &m);
    if (size == 2) { /* beyond 16 the operand is seen as dest:src:dest */
        if (right) {
            uint64_t w = a | b << 16 | a << 32;

            r = w >> count & 0xffff;
            c = w >> (count - 1) & 1;
        } else {
            uint64_t w = a << 32 | b << 16 | a;

            r = w >> (32 - count) & 0xffff;
            c = w >> (48 - count) & 1;
        }
    } else if (right) {
        r = (a >> count | b << (bits - count)) & size_mask(size);
        c = a >> (count - 1) & 1;
    } else {
        r = (a << count | b >> (bits - count)) & size_mask(size);
        c = a >> (bits - count) & 1;
    }
    rmw_end(v, i, &m, r);
    {
        uint64_t of = a >> (bits - 1) ^ (right ? b : a >> (bits - 2));

        flags_set_eager(v, szp(r, size) | (c ? F_CF : 0) | (of & 1 ? F_OF : 0));
    }
}

/* ---- bit tests: kind 0 BT, 1 BTS, 2 BTR, 3 BTC ---- */

static void bit_op(struct vcpu *v, const struct insn *i, unsigned kind, int64_t index, bool far_bit)
{
    unsigned size = i->opsize, bit = (unsigned)index & (size * 8 - 1);
    uint64_t mask = (uint64_t)1 << bit, a, r, lin = 0;
    struct rmw m;

    if (i->rm == RM_MEM) {
        uint64_t off = ea_offset(i);

        if (far_bit) {
            off += (uint64_t)((index >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (int64_t)size);
            off = i->addrsize == 8 ? off : i->addrsize == 4 ? (uint32_t)off : (uint16_t)off;
        }
        lin = seg_linear(v, i->seg, off, size, kind != 0);
    }
    if (kind == 0) {
        a = i->rm == RM_MEM ? load_any(v, lin, size, i->seg) : reg_get(v, i, i->rm, size);
    } else {
        do {
            a = i->rm == RM_MEM ? rmw_begin_at(v, lin, i->seg, size, i->prefixes & PREFIX_LOCK, &m) :
                                  rmw_begin(v, i, size, &m);
            r = kind == 1 ? a | mask : kind == 2 ? a & ~mask : a ^ mask;
        } while (!rmw_end(v, i, &m, r));
    }
    flags_set_eager(v, (arith_flags(v) & ~F_CF) | (a & mask ? F_CF : 0));
}

void exec_bt(struct vcpu *v, const struct insn *i) /* 0F A3 AB B3 BB */
{
    bit_op(v, i, i->opcode >> 3 & 3, sign_extend(v->x->gpr[i->reg], i->opsize), true);
}

void exec_bt_imm(struct vcpu *v, const struct insn *i) /* 0F BA /4../7 */
{
    if (!(i->modrm & 0x20))
        exec_ud(v, i);
    bit_op(v, i, i->modrm >> 3 & 3, (int64_t)i->imm, false);
}

static void count_zeros(struct vcpu *v, const struct insn *i, uint64_t a, bool leading)
{
    unsigned bits = i->opsize * 8;
    uint64_t r = a == 0 ? bits : leading ? (uint64_t)__builtin_clzll(a) - (64 - bits) :
                 (uint64_t)__builtin_ctzll(a);

    reg_set(v, i, i->reg, i->opsize, r);
    flags_set_eager(v, (a == 0 ? F_CF : 0) | (r == 0 ? F_ZF : 0));
}

static void bit_scan(struct vcpu *v, const struct insn *i, uint64_t a, bool reverse)
{
    uint64_t r;

    if (a == 0) {
        flags_set_eager(v, F_ZF | F_PF);
        return;
    }
    r = reverse ? 63 - (uint64_t)__builtin_clzll(a) : (uint64_t)__builtin_ctzll(a);
    reg_set(v, i, i->reg, i->opsize, r);
    flags_set_eager(v, __builtin_parity((unsigned)r) ? 0 : F_PF);
}

void exec_bsf(struct vcpu *v, const struct insn *i)
{
    uint64_t a = rm_load(v, i, i->opsize);

    if (i->prefixes & PREFIX_REP && feature(v, BP_X86_FW_7_EBX, 3))
        count_zeros(v, i, a, false);
    else
        bit_scan(v, i, a, false);
}

void exec_bsr(struct vcpu *v, const struct insn *i)
{
    uint64_t a = rm_load(v, i, i->opsize);

    if (i->prefixes & PREFIX_REP && feature(v, BP_X86_FW_80000001_ECX, 5))
        count_zeros(v, i, a, true);
    else
        bit_scan(v, i, a, true);
}

void exec_popcnt(struct vcpu *v, const struct insn *i)
{
    uint64_t a;

    if (!(i->prefixes & PREFIX_REP) || !feature(v, BP_X86_FW_1_ECX, 23))
        exec_ud(v, i);
    a = rm_load(v, i, i->opsize);
    reg_set(v, i, i->reg, i->opsize, (uint64_t)__builtin_popcountll(a));
    flags_set_eager(v, a == 0 ? F_ZF : 0);
}

void exec_movbe(struct vcpu *v, const struct insn *i) /* 0F 38 F0 F1 */
{
    unsigned size = i->opsize, s = 64 - size * 8;

    if (!feature(v, BP_X86_FW_1_ECX, 22))
        exec_ud(v, i);
    if (i->opcode & 1)
        rm_store(v, i, size, __builtin_bswap64(v->x->gpr[i->reg]) >> s);
    else
        reg_set(v, i, i->reg, size, __builtin_bswap64(rm_load(v, i, size)) >> s);
}

void exec_crc32(struct vcpu *v, const struct insn *i) /* F2 0F 38 F0 F1; opsize of the source */
{
    unsigned size = i->opcode & 1 ? i->opsize : 1;
    uint32_t crc = (uint32_t)v->x->gpr[i->reg];
    uint64_t a;

    if (!feature(v, BP_X86_FW_1_ECX, 20))
        exec_ud(v, i);
    a = rm_load(v, i, size);
    for (unsigned n = 0; n < size * 8; n++, a >>= 1)
        crc = (crc >> 1) ^ ((crc ^ (uint32_t)a) & 1 ? 0x82f63b78u : 0);
    v->x->gpr[i->reg] = crc;
}

void exec_adx(struct vcpu *v, const struct insn *i) /* 66: ADCX, F3: ADOX */
{
    uint32_t bit = i->prefixes & PREFIX_REP ? F_OF : F_CF, f = arith_flags(v);
    unsigned size = i->rex & 8 ? 8 : 4;
    uint64_t a = reg_get(v, i, i->reg, size), b;
    __uint128_t r;

    if (!feature(v, BP_X86_FW_7_EBX, 19))
        exec_ud(v, i);
    b = rm_load(v, i, size);
    r = (__uint128_t)a + b + (f & bit ? 1 : 0);
    reg_set(v, i, i->reg, size, (uint64_t)r);
    flags_set_eager(v, (f & ~bit) | (r >> (size * 8) ? bit : 0));
}

/* ---- BMI: operands of 4 or 8 bytes; vvvv is in rex bits 7..4 ---- */

static unsigned vvvv(const struct insn *i)
{
    return i->rex >> 4;
}

void exec_bmi_andn(struct vcpu *v, const struct insn *i)
{
    uint64_t r = ~v->x->gpr[vvvv(i)] & rm_load(v, i, i->opsize) & size_mask(i->opsize);

    reg_set(v, i, i->reg, i->opsize, r);
    flags_set_eager(v, szp(r, i->opsize) & ~F_PF);
}

void exec_bmi_group17(struct vcpu *v, const struct insn *i)
{
    uint64_t a = rm_load(v, i, i->opsize), r;
    bool c;

    switch (i->modrm >> 3 & 7) {
    case 1: r = a & (a - 1); c = a == 0; break;
    case 2: r = a ^ (a - 1); c = a == 0; break;
    case 3: r = a & -a; c = a != 0; break;
    default: exec_ud(v, i); return;
    }
    r &= size_mask(i->opsize);
    reg_set(v, i, vvvv(i), i->opsize, r);
    flags_set_eager(v, (szp(r, i->opsize) & ~F_PF) | (c ? F_CF : 0));
}

void exec_bmi_bextr(struct vcpu *v, const struct insn *i)
{
    uint64_t a = rm_load(v, i, i->opsize), control = v->x->gpr[vvvv(i)];
    unsigned start = control & 0xff, len = control >> 8 & 0xff;
    uint64_t r = start < 64 ? a >> start : 0;

    if (len < 64)
        r &= ((uint64_t)1 << len) - 1;
    reg_set(v, i, i->reg, i->opsize, r);
    flags_set_eager(v, r == 0 ? F_ZF : 0);
}

void exec_bmi_bzhi(struct vcpu *v, const struct insn *i)
{
    uint64_t a = rm_load(v, i, i->opsize);
    unsigned n = v->x->gpr[vvvv(i)] & 0xff, bits = i->opsize * 8;

    if (n < bits)
        a &= ((uint64_t)1 << n) - 1;
    reg_set(v, i, i->reg, i->opsize, a);
    flags_set_eager(v, (szp(a, i->opsize) & ~F_PF) | (n >= bits ? F_CF : 0));
}

void exec_bmi_pdep(struct vcpu *v, const struct insn *i) /* F2: PDEP, F3: PEXT */
{
    uint64_t mask = rm_load(v, i, i->opsize), a = v->x->gpr[vvvv(i)] & size_mask(i->opsize), r = 0;
    bool extract = i->prefixes & PREFIX_REP;

    for (unsigned n = 0; mask; n++, mask &= mask - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(mask);

        if (extract)
            r |= (a >> bit & 1) << n;
        else
            r |= (a >> n & 1) << bit;
    }
    reg_set(v, i, i->reg, i->opsize, r);
}

void exec_bmi_mulx(struct vcpu *v, const struct insn *i)
{
    __uint128_t r = (__uint128_t)(v->x->gpr[BP_RDX] & size_mask(i->opsize)) * rm_load(v, i, i->opsize);

    reg_set(v, i, vvvv(i), i->opsize, (uint64_t)r);
    reg_set(v, i, i->reg, i->opsize, (uint64_t)(r >> (i->opsize * 8)));
}

void exec_bmi_shift(struct vcpu *v, const struct insn *i) /* 66 SHLX, F2 SHRX, F3 SARX */
{
    uint64_t a = rm_load(v, i, i->opsize);
    unsigned n = v->x->gpr[vvvv(i)] & (i->opsize == 8 ? 63 : 31);

    if (i->prefixes & PREFIX_REP)
        a = (uint64_t)(sign_extend(a, i->opsize) >> n);
    else if (i->prefixes & PREFIX_REPNE)
        a >>= n;
    else
        a <<= n;
    reg_set(v, i, i->reg, i->opsize, a);
}

void exec_bmi_rorx(struct vcpu *v, const struct insn *i)
{
    unsigned bits = i->opsize * 8, n = i->imm & (bits - 1);
    uint64_t a;

    if (vvvv(i))
        exec_ud(v, i);
    a = rm_load(v, i, i->opsize);
    reg_set(v, i, i->reg, i->opsize, n ? a >> n | a << (bits - n) : a);
}
