/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IEEE 754 arithmetic as x86 does it: unpacking, rounding and packing, the four operations and the
 * square root. See softfloat.h. Conversions to integers and remainders are in softfloat-integer.c.
 */
#include "softfloat.h"

typedef unsigned __int128 u128;

#define TOP64 (UINT64_C(1) << 63)
#define QUIET (UINT64_C(1) << 62)

struct format {
    unsigned bits; /* of the significand, the integer bit included */
    int emin, emax;
    int wrap; /* exponent adjustment of unmasked overflow and underflow */
};
static const struct format format32 = {24, -126, 127, 192};
static const struct format format64 = {53, -1022, 1023, 1536};
static const struct format format80 = {64, -16382, 16383, 24576};

static struct sf_num unpack_ieee(const struct sf_env *env, bool sign, unsigned exponent,
                                 unsigned exponent_max, uint64_t fraction, int emin)
{
    /* fraction: left-aligned below bit 63 */
    struct sf_num n = {.sign = sign, .kind = SF_K_NUMBER};

    if (exponent == exponent_max) {
        n.kind = !fraction ? SF_K_INF : fraction & QUIET ? SF_K_QNAN : SF_K_SNAN;
        n.sig = fraction | TOP64;
    } else if (exponent) {
        n.sig = fraction | TOP64;
        n.exp = (int)exponent + emin - 1;
    } else if (!fraction || env->daz) {
        n.kind = SF_K_ZERO;
    } else {
        int shift = __builtin_clzll(fraction);

        n.sig = fraction << shift;
        n.exp = emin - shift;
        n.denormal = true;
    }
    return n;
}

struct sf_num sf_unpack32(const struct sf_env *env, uint32_t bits)
{
    return unpack_ieee(env, bits >> 31, bits >> 23 & 0xff, 0xff, (uint64_t)(bits & 0x7fffff) << 40,
                       -126);
}

struct sf_num sf_unpack64(const struct sf_env *env, uint64_t bits)
{
    return unpack_ieee(env, bits >> 63, bits >> 52 & 0x7ff, 0x7ff, (bits << 12) >> 1, -1022);
}

struct sf_num sf_unpack80(struct bp_x86_st st)
{
    unsigned exponent = st.sign_exponent & 0x7fff;
    struct sf_num n = {.sign = st.sign_exponent >> 15, .kind = SF_K_NUMBER, .sig = st.mantissa};

    if (exponent == 0) {
        if (!st.mantissa) {
            n.kind = SF_K_ZERO;
        } else { /* denormals, and pseudo-denormals, which have the integer bit */
            int shift = __builtin_clzll(st.mantissa);

            n.sig = st.mantissa << shift;
            n.exp = -16382 - shift;
            n.denormal = true;
        }
    } else if (!(st.mantissa & TOP64)) {
        n.kind = SF_K_UNSUPPORTED;
    } else if (exponent == 0x7fff) {
        n.kind = st.mantissa == TOP64 ? SF_K_INF : st.mantissa & QUIET ? SF_K_QNAN : SF_K_SNAN;
    } else {
        n.exp = (int)exponent - 16383;
    }
    return n;
}

struct sf_wide sf_indefinite(void)
{
    return (struct sf_wide){.kind = SF_K_QNAN, .sign = true, .sig = (u128)(TOP64 | QUIET) << 64};
}

static struct sf_wide quieted(struct sf_num a)
{
    return (struct sf_wide){.kind = SF_K_QNAN, .sign = a.sign, .sig = (u128)(a.sig | QUIET) << 64};
}

static struct sf_wide zero(bool sign)
{
    return (struct sf_wide){.kind = SF_K_ZERO, .sign = sign};
}

static struct sf_wide infinity(bool sign)
{
    return (struct sf_wide){.kind = SF_K_INF, .sign = sign};
}

static struct sf_wide invalid(struct sf_env *env)
{
    env->flags |= SF_IE;
    return sf_indefinite();
}

struct sf_wide sf_widen(struct sf_num a)
{
    return (struct sf_wide){.kind = a.kind, .sign = a.sign, .exp = a.exp, .sig = (u128)a.sig << 64};
}

struct sf_wide sf_nan(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    bool a_nan = sf_is_nan(&a), b_nan = sf_is_nan(&b);

    if (a.kind == SF_K_UNSUPPORTED || b.kind == SF_K_UNSUPPORTED) {
        return invalid(env);
    }
    if (a.kind == SF_K_SNAN || b.kind == SF_K_SNAN) {
        env->flags |= SF_IE;
    }
    if (!env->x87 || !(a_nan && b_nan)) {
        return quieted(a_nan ? a : b);
    }
    if (a.kind != b.kind) { /* one signals: the quiet one is the result */
        return quieted(a.kind == SF_K_QNAN ? a : b);
    }
    if (a.sig != b.sig) {
        return quieted(a.sig > b.sig ? a : b);
    }
    return quieted(a.sign ? b : a);
}

static void note_denormals(struct sf_env *env, const struct sf_num *a, const struct sf_num *b)
{
    if (a->denormal || b->denormal) {
        env->flags |= SF_DE;
    }
}

/* Right shift that keeps lost bits as a sticky bit 0. */
static u128 shift_jam(u128 value, unsigned count)
{
    if (count == 0) {
        return value;
    }
    if (count >= 128) {
        return value != 0;
    }
    return value >> count | ((value << (128 - count)) != 0);
}

static struct sf_wide normalized(bool sign, int exp, u128 sig)
{
    uint64_t high = (uint64_t)(sig >> 64);
    int shift = high ? __builtin_clzll(high) : 64 + __builtin_clzll((uint64_t)sig);

    return (struct sf_wide){.kind = SF_K_NUMBER, .sign = sign, .exp = exp - shift,
                            .sig = sig << shift};
}

static struct sf_wide add_signed(struct sf_env *env, struct sf_num a, struct sf_num b, bool flip)
{
    u128 large, small;
    int difference;

    if (sf_is_nan(&a) || sf_is_nan(&b)) {
        return sf_nan(env, a, b);
    }
    b.sign ^= flip;
    if (a.kind == SF_K_INF && b.kind == SF_K_INF && a.sign != b.sign) {
        return invalid(env);
    }
    note_denormals(env, &a, &b);
    if (a.kind == SF_K_INF || b.kind == SF_K_INF) {
        return infinity(a.kind == SF_K_INF ? a.sign : b.sign);
    }
    if (a.kind == SF_K_ZERO && b.kind == SF_K_ZERO) {
        return zero(a.sign == b.sign ? a.sign : env->rounding == SF_DOWN);
    }
    if (a.kind == SF_K_ZERO || b.kind == SF_K_ZERO) {
        return sf_widen(a.kind == SF_K_ZERO ? b : a);
    }
    if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
        struct sf_num t = a;

        a = b;
        b = t;
    }
    difference = a.exp - b.exp;
    large = (u128)a.sig << 63;
    small = shift_jam((u128)b.sig << 63, (unsigned)difference);
    if (a.sign == b.sign) {
        return normalized(a.sign, a.exp + 1, large + small);
    }
    if (large == small) {
        return zero(env->rounding == SF_DOWN);
    }
    return normalized(a.sign, a.exp + 1, large - small);
}

struct sf_wide sf_add(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    return add_signed(env, a, b, false);
}

struct sf_wide sf_sub(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    return add_signed(env, a, b, true);
}

struct sf_wide sf_mul(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    bool sign = a.sign ^ b.sign;

    if (sf_is_nan(&a) || sf_is_nan(&b)) {
        return sf_nan(env, a, b);
    }
    if ((a.kind == SF_K_INF && b.kind == SF_K_ZERO) ||
        (a.kind == SF_K_ZERO && b.kind == SF_K_INF)) {
        return invalid(env);
    }
    note_denormals(env, &a, &b);
    if (a.kind == SF_K_INF || b.kind == SF_K_INF) {
        return infinity(sign);
    }
    if (a.kind == SF_K_ZERO || b.kind == SF_K_ZERO) {
        return zero(sign);
    }
    return normalized(sign, a.exp + b.exp + 1, (u128)a.sig * b.sig);
}

struct sf_wide sf_div(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    bool sign = a.sign ^ b.sign;
    u128 dividend, high, low;

    if (sf_is_nan(&a) || sf_is_nan(&b)) {
        return sf_nan(env, a, b);
    }
    if ((a.kind == SF_K_INF && b.kind == SF_K_INF) ||
        (a.kind == SF_K_ZERO && b.kind == SF_K_ZERO)) {
        return invalid(env);
    }
    if (b.kind == SF_K_ZERO && a.kind == SF_K_NUMBER) {
        env->flags |= SF_ZE; /* has priority over a denormal dividend */
        return infinity(sign);
    }
    note_denormals(env, &a, &b);
    if (a.kind == SF_K_INF) {
        return infinity(sign);
    }
    if (a.kind == SF_K_ZERO || b.kind == SF_K_INF) {
        return zero(sign);
    }
    dividend = (u128)a.sig << 63;
    high = dividend / b.sig;
    dividend = dividend % b.sig << 64;
    low = dividend / b.sig;
    return normalized(sign, a.exp - b.exp, high << 64 | low | (dividend % b.sig != 0));
}

struct sf_wide sf_sqrt(struct sf_env *env, struct sf_num a)
{
    u128 root = 0, rest = 0, radicand;
    int exp;

    if (sf_is_nan(&a)) {
        return sf_nan(env, a, a);
    }
    if (a.kind == SF_K_ZERO) {
        return zero(a.sign);
    }
    if (a.sign) {
        return invalid(env);
    }
    if (a.kind == SF_K_INF) {
        return infinity(false);
    }
    note_denormals(env, &a, &a);
    /* radicand in [1, 4) with 126 fraction bits and an even exponent */
    radicand = (u128)a.sig << (a.exp & 1 ? 64 : 63);
    exp = (a.exp - (a.exp & 1)) / 2;
    /* 64 digits, then two more from zeros; the rest is sticky */
    for (int digit = 0; digit < 66; digit++) {
        u128 trial;

        rest = rest << 2 | (radicand >> 126);
        radicand <<= 2;
        trial = root << 2 | 1;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    return normalized(false, exp, root << 62 | (rest != 0));
}

struct sf_wide sf_convert(struct sf_env *env, struct sf_num a, bool denormals)
{
    if (sf_is_nan(&a)) {
        return sf_nan(env, a, a);
    }
    if (a.denormal && denormals) {
        env->flags |= SF_DE;
    }
    return sf_widen(a);
}

static int compare_magnitudes(const struct sf_num *a, const struct sf_num *b)
{
    if (a->kind != b->kind) { /* the order of kinds is the order of magnitudes */
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->kind != SF_K_NUMBER) {
        return 0;
    }
    if (a->exp != b->exp) {
        return a->exp < b->exp ? -1 : 1;
    }
    return a->sig < b->sig ? -1 : a->sig > b->sig;
}

int sf_compare(struct sf_env *env, struct sf_num a, struct sf_num b, bool ordered)
{
    if (sf_is_nan(&a) || sf_is_nan(&b)) {
        if (ordered || a.kind > SF_K_QNAN || b.kind > SF_K_QNAN) {
            env->flags |= SF_IE;
        }
        return SF_UNORDERED;
    }
    note_denormals(env, &a, &b);
    if (a.kind == SF_K_ZERO && b.kind == SF_K_ZERO) {
        return 0;
    }
    if (a.sign != b.sign) {
        return a.sign ? -1 : 1;
    }
    return a.sign ? -compare_magnitudes(&a, &b) : compare_magnitudes(&a, &b);
}

struct rounded {
    uint64_t sig; /* the top `bits` bits count; bit 63 clear: denormal or zero */
    int exp;      /* of bit 63 */
    bool infinite;
};

/* Keeps the top `bits` of sig. True: it was rounded up (the carry makes *exp grow). */
static bool round_bits(const struct sf_env *env, bool sign, u128 sig, unsigned bits,
                       uint64_t *ret_sig, bool *ret_carry, bool *ret_inexact)
{
    unsigned drop = 128 - bits;
    u128 lost = sig << bits;
    u128 half = (u128)1 << 127;
    u128 kept = sig >> drop;
    bool up = false;

    *ret_inexact = lost != 0;
    *ret_carry = false;
    if (lost) {
        up = env->rounding == SF_NEAREST ? lost > half || (lost == half && (kept & 1))
             : env->rounding == SF_DOWN  ? sign
             : env->rounding == SF_UP    ? !sign
                                         : false;
    }
    kept += up;
    if (kept >> bits) {
        kept >>= 1;
        *ret_carry = true;
    }
    *ret_sig = (uint64_t)(kept << (64 - bits));
    return up;
}

static struct rounded overflow(struct sf_env *env, bool sign, const struct format *f,
                               unsigned bits)
{
    bool to_inf = env->rounding == SF_NEAREST || env->rounding == (sign ? SF_DOWN : SF_UP);

    env->flags |= SF_OE | SF_PE;
    env->up = to_inf;
    if (to_inf) {
        return (struct rounded){.infinite = true};
    }
    return (struct rounded){.sig = ~UINT64_C(0) << (64 - bits), .exp = f->emax};
}

/* Rounds a number into a format; the exponent of denormals is emin. */
static struct rounded round_number(struct sf_env *env, const struct sf_wide *w,
                                   const struct format *f, unsigned bits)
{
    struct rounded r = {.exp = w->exp};
    bool carry, inexact;

    env->up = round_bits(env, w->sign, w->sig, bits, &r.sig, &carry, &inexact);
    r.exp += carry;
    if (r.exp > f->emax) {
        if (!(env->unmasked & SF_OE)) {
            return overflow(env, w->sign, f, bits);
        }
        env->flags |= SF_OE;
        r.exp -= f->wrap;
        if (r.exp > f->emax && env->x87) { /* FSCALE: massive overflow */
            env->flags |= SF_PE;
            env->up = true;
            r.infinite = true;
        }
    } else if (r.exp < f->emin) {
        if (env->unmasked & SF_UE) {
            env->flags |= SF_UE;
            r.exp += f->wrap;
            if (r.exp < f->emin && env->x87) { /* massive underflow */
                env->flags |= SF_PE;
                env->up = false;
                r.sig = 0;
            }
        } else if (env->ftz) {
            env->flags |= SF_UE | SF_PE;
            return (struct rounded){.exp = f->emin};
        } else {
            env->up = round_bits(env, w->sign, shift_jam(w->sig, (unsigned)(f->emin - w->exp)),
                                 bits, &r.sig, &carry, &inexact);
            r.exp = f->emin;
            env->flags |= inexact ? SF_UE : 0;
        }
    }
    env->flags |= inexact ? SF_PE : 0;
    return r;
}

/* True: an exception found before the computation is not masked, nothing more happens. */
static bool stopped(const struct sf_env *env)
{
    return env->flags & env->unmasked & SF_BEFORE;
}

static uint64_t pack_ieee(struct sf_env *env, const struct sf_wide *w, const struct format *f,
                          unsigned fraction_bits, uint64_t exponent_max)
{
    uint64_t fraction_mask = (UINT64_C(1) << fraction_bits) - 1;
    uint64_t fraction = 0, exponent = 0;
    struct rounded r;

    env->up = false;
    if (stopped(env)) {
        return 0;
    }
    if (w->kind == SF_K_INF) {
        exponent = exponent_max;
    } else if (w->kind == SF_K_QNAN) {
        exponent = exponent_max;
        fraction = (uint64_t)(w->sig >> 64) >> (63 - fraction_bits) & fraction_mask;
    } else if (w->kind == SF_K_NUMBER) {
        r = round_number(env, w, f, fraction_bits + 1);
        fraction = r.infinite ? 0 : r.sig >> (63 - fraction_bits) & fraction_mask;
        exponent = r.infinite       ? exponent_max
                   : r.sig >> 63    ? (uint64_t)(r.exp - f->emin + 1) & exponent_max
                                    : 0;
    }
    return ((uint64_t)w->sign * (exponent_max + 1) | exponent) << fraction_bits | fraction;
}

uint32_t sf_pack32(struct sf_env *env, const struct sf_wide *w)
{
    return (uint32_t)pack_ieee(env, w, &format32, 23, 0xff);
}

uint64_t sf_pack64(struct sf_env *env, const struct sf_wide *w)
{
    return pack_ieee(env, w, &format64, 52, 0x7ff);
}

struct bp_x86_st sf_pack80(struct sf_env *env, const struct sf_wide *w)
{
    struct bp_x86_st st = {.sign_exponent = (uint16_t)(w->sign << 15)};
    struct rounded r;

    env->up = false;
    if (stopped(env)) {
        return (struct bp_x86_st){0};
    }
    if (w->kind == SF_K_INF || w->kind == SF_K_QNAN) {
        st.sign_exponent |= 0x7fff;
        st.mantissa = w->kind == SF_K_INF ? TOP64 : (uint64_t)(w->sig >> 64);
    } else if (w->kind == SF_K_NUMBER) {
        r = round_number(env, w, &format80, env->precision);
        st.mantissa = r.infinite ? TOP64 : r.sig;
        st.sign_exponent |= r.infinite    ? 0x7fff
                            : r.sig >> 63 ? (uint16_t)((r.exp + 16383) & 0x7fff)
                                          : 0;
    }
    return st;
}
