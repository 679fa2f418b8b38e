/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fused multiply-add of FMA: a product of two 32 or 64-bit numbers that is not rounded, then a sum.
 * Intel SDM volume 1, 14.5.2 (NaNs, infinities, zeros).
 */
#include "softfloat.h"

typedef unsigned __int128 u128;

static struct sf_wide normalized(bool sign, int32_t exp, u128 sig)
{
    while (!(sig >> 127)) {
        sig <<= 1;
        exp--;
    }
    return (struct sf_wide){.kind = SF_K_NUMBER, .sign = sign, .exp = exp, .sig = sig};
}

static u128 shift_jam(u128 value, int32_t by)
{
    if (by == 0)
        return value;
    if (by > 127)
        return value != 0;
    return value >> by | ((value & (((u128)1 << by) - 1)) != 0);
}

static struct sf_wide invalid(struct sf_env *env)
{
    env->flags |= SF_IE;
    return sf_indefinite();
}

static struct sf_wide nan_of_three(struct sf_env *env, struct sf_num a, struct sf_num b, struct sf_num c)
{
    struct sf_num first = sf_is_nan(&a) ? a : sf_is_nan(&b) ? b : c;

    if (a.kind == SF_K_SNAN || b.kind == SF_K_SNAN || c.kind == SF_K_SNAN)
        env->flags |= SF_IE;
    return sf_nan(&(struct sf_env){.flags = 0}, first, first);
}

struct sf_wide sf_fma(struct sf_env *env, struct sf_num a, struct sf_num b, struct sf_num c, bool negate_product,
                      bool negate_c)
{
    bool sign = a.sign ^ b.sign ^ negate_product;
    u128 product, addend;
    int32_t exp;

    if (sf_is_nan(&a) || sf_is_nan(&b) || sf_is_nan(&c))
        return nan_of_three(env, a, b, c);
    c.sign ^= negate_c;
    if ((a.kind == SF_K_INF && b.kind == SF_K_ZERO) || (a.kind == SF_K_ZERO && b.kind == SF_K_INF))
        return invalid(env);
    if (a.kind == SF_K_INF || b.kind == SF_K_INF) {
        if (c.kind == SF_K_INF && c.sign != sign)
            return invalid(env);
    }
    if (a.denormal || b.denormal || c.denormal)
        env->flags |= SF_DE;
    if (a.kind == SF_K_INF || b.kind == SF_K_INF)
        return (struct sf_wide){.kind = SF_K_INF, .sign = sign};
    if (c.kind == SF_K_INF)
        return (struct sf_wide){.kind = SF_K_INF, .sign = c.sign};
    if (a.kind == SF_K_ZERO || b.kind == SF_K_ZERO) {
        if (c.kind == SF_K_ZERO)
            c.sign = c.sign == sign ? sign : env->rounding == SF_DOWN;
        return sf_widen(c);
    }
    exp = a.exp + b.exp + 1; /* of bit 127; the low bits are zero */
    product = (u128)a.sig * b.sig;
    if (c.kind == SF_K_ZERO)
        return normalized(sign, exp, product);
    product >>= 1; /* room for a carry */
    addend = (u128)c.sig << 63;
    exp++;
    c.exp++;
    if (!(product >> 126)) {
        product <<= 1;
        exp--;
    }
    if (exp > c.exp)
        addend = shift_jam(addend, exp - c.exp);
    else
        product = shift_jam(product, c.exp - exp);
    exp = exp > c.exp ? exp : c.exp;
    if (sign == c.sign)
        return normalized(sign, exp, product + addend);
    if (product == addend)
        return (struct sf_wide){.kind = SF_K_ZERO, .sign = env->rounding == SF_DOWN};
    return product > addend ? normalized(sign, exp, product - addend) : normalized(c.sign, exp, addend - product);
}
