/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversions between numbers and integers, rounding to integral values, and remainders. See
 * softfloat.h.
 */
#include "softfloat.h"

typedef unsigned __int128 u128;

/* |a| < 2^64 rounded to an integer. */
static u128 round_magnitude(struct sf_env *env, const struct sf_num *a)
{
    uint64_t whole = 0, lost = 0; /* lost: fraction bits, left-aligned, sticky below */
    bool up;

    if (a->exp >= 63) {
        whole = a->sig;
    } else if (a->exp >= 0) {
        whole = a->sig >> (63 - a->exp);
        lost = a->sig << (a->exp + 1);
    } else if (a->exp == -1) {
        lost = a->sig;
    } else {
        lost = 1;
    }
    env->up = false;
    if (!lost) {
        return whole;
    }
    up = env->rounding == SF_NEAREST
             ? lost > UINT64_C(1) << 63 || (lost == UINT64_C(1) << 63 && (whole & 1))
         : env->rounding == SF_DOWN ? a->sign
         : env->rounding == SF_UP   ? !a->sign
                                    : false;
    env->up = up;
    env->flags |= SF_PE;
    return (u128)whole + up;
}

int64_t sf_to_int(struct sf_env *env, struct sf_num a, unsigned bits)
{
    u128 limit = (u128)1 << (bits - 1);
    uint8_t before = env->flags;
    u128 magnitude;

    env->up = false;
    if (a.kind == SF_K_ZERO) {
        return 0;
    }
    if (a.kind == SF_K_NUMBER && a.exp < 64) {
        magnitude = round_magnitude(env, &a);
        if (magnitude < limit || (a.sign && magnitude == limit)) {
            return (int64_t)(a.sign ? -(uint64_t)magnitude : (uint64_t)magnitude);
        }
    }
    env->up = false;
    env->flags = before | SF_IE;
    return (int64_t)(~UINT64_C(0) << (bits - 1));
}

struct sf_wide sf_from_int(int64_t value)
{
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int shift;

    if (!value) {
        return (struct sf_wide){.kind = SF_K_ZERO};
    }
    shift = __builtin_clzll(magnitude);
    return (struct sf_wide){.kind = SF_K_NUMBER, .sign = value < 0, .exp = 63 - shift,
                            .sig = (u128)(magnitude << shift) << 64};
}

struct sf_wide sf_round_int(struct sf_env *env, struct sf_num a)
{
    struct sf_wide w = sf_widen(a);
    u128 magnitude;

    env->up = false;
    if (sf_is_nan(&a)) {
        return sf_nan(env, a, a);
    }
    if (a.denormal) {
        env->flags |= SF_DE;
    }
    if (a.kind != SF_K_NUMBER || a.exp >= 63 || (env->flags & env->unmasked & SF_BEFORE)) {
        return w;
    }
    magnitude = round_magnitude(env, &a);
    if (!magnitude) {
        return (struct sf_wide){.kind = SF_K_ZERO, .sign = a.sign};
    }
    w.exp = 127;
    while (!(magnitude >> 127)) {
        magnitude <<= 1;
        w.exp--;
    }
    w.sig = magnitude;
    return w;
}

bool sf_remainder(struct sf_num a, struct sf_num b, bool nearest, struct sf_wide *ret_result,
                  unsigned *ret_quotient)
{
    int difference = a.exp - b.exp;
    u128 rest = a.sig;
    uint64_t quotient = 0;
    bool complete = difference < 64, sign = a.sign;
    int exp;

    if (difference < -1) { /* |a| < |b| / 2 */
        *ret_quotient = 0;
        *ret_result = sf_widen(a);
        return true;
    }
    /* A partial step takes 32 to 63 off the difference of exponents (SDM: FPREM). */
    exp = complete ? b.exp : b.exp + difference - (32 + difference % 32);
    if (difference < 0) { /* half a step: |a| < |b| */
        rest = a.sig;
        exp = a.exp;
    } else {
        int steps = a.exp - exp;

        for (int n = 0; n <= steps; n++) {
            quotient <<= 1;
            if (rest >= b.sig) {
                rest -= b.sig;
                quotient |= 1;
            }
            if (n < steps) {
                rest <<= 1;
            }
        }
    }
    if (nearest && complete) {
        /* |a| < |b| has exp one below b's: compare twice the rest with b in the same scale */
        u128 twice = difference < 0 ? rest : rest << 1;

        if (twice > b.sig || (twice == b.sig && (quotient & 1))) {
            u128 divisor = difference < 0 ? (u128)b.sig << 1 : b.sig;

            rest = divisor - rest;
            sign = !sign;
            quotient++;
        }
    }
    *ret_quotient = (unsigned)quotient & 7;
    if (!rest) {
        *ret_result = (struct sf_wide){.kind = SF_K_ZERO, .sign = a.sign};
    } else {
        struct sf_wide w = {.kind = SF_K_NUMBER, .sign = sign, .exp = exp + 64, .sig = rest};

        while (!(w.sig >> 127)) {
            w.sig <<= 1;
            w.exp--;
        }
        *ret_result = w;
    }
    return complete;
}
