/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lazy flags made real. Intel SDM volume 1, 3.4.3. */
#include "vcpu.h"

uint32_t flags_compute(const struct vcpu *v)
{
    uint64_t a = v->cc_a, b = v->cc_b, r = cc_result(v);
    unsigned shift = v->cc_shift;
    uint32_t f = 0;

    switch (v->cc_kind) {
    case CC_ADD:
        f = (r < a ? F_CF : 0) | ((~(a ^ b) & (a ^ r)) >> 63 ? F_OF : 0) |
            ((a ^ b ^ r) >> shift & 0x10 ? F_AF : 0);
        break;
    case CC_SUB:
        f = (a < b ? F_CF : 0) | (((a ^ b) & (a ^ r)) >> 63 ? F_OF : 0) |
            ((a ^ b ^ r) >> shift & 0x10 ? F_AF : 0);
        break;
    case CC_LOGIC:
        break;
    case CC_INC:
        f = (b ? F_CF : 0) | (r == (uint64_t)1 << 63 ? F_OF : 0) | ((r >> shift & 0xf) == 0 ? F_AF : 0);
        break;
    case CC_DEC:
        f = (b ? F_CF : 0) | (r == (~(uint64_t)0 >> 1 & ~(((uint64_t)1 << shift) - 1)) ? F_OF : 0) |
            ((r >> shift & 0xf) == 0xf ? F_AF : 0);
        break;
    default:
        return (uint32_t)v->x->rflags & F_ARITH;
    }
    if (r == 0)
        f |= F_ZF;
    if ((int64_t)r < 0)
        f |= F_SF;
    if (!__builtin_parity((unsigned)(r >> shift) & 0xff))
        f |= F_PF;
    return f;
}

bool condition_slow(const struct vcpu *v, unsigned cc)
{
    uint32_t f = arith_flags(v);
    bool less = !(f & F_SF) != !(f & F_OF), r;

    switch (cc >> 1) {
    case 0: r = f & F_OF; break;
    case 1: r = f & F_CF; break;
    case 2: r = f & F_ZF; break;
    case 3: r = f & (F_CF | F_ZF); break;
    case 4: r = f & F_SF; break;
    case 5: r = f & F_PF; break;
    case 6: r = less; break;
    default: r = less || f & F_ZF; break;
    }
    return r ^ (cc & 1);
}

bool condition_at(const struct vcpu *v, unsigned cc)
{
    switch (cc) {
    case 2: return condition(v, 2);
    case 3: return condition(v, 3);
    case 4: return condition(v, 4);
    case 5: return condition(v, 5);
    default: return condition_slow(v, cc);
    }
}

void set_arith_flags(struct vcpu *v, uint32_t flags)
{
    flags_set_eager(v, flags & F_ARITH);
}
