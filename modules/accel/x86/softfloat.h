/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IEEE 754 arithmetic as x86 does it, in integers only: 32, 64 and 80-bit formats, all rounding
 * modes, precision control, DAZ and FTZ, exception flags with x86's rules (tininess detected after
 * rounding, NaN selection of SSE or of x87). Intel SDM volume 1, chapters 4, 8 and 11 and
 * appendices D and E. Transcendental functions are in x87-transcendental.c.
 */
#ifndef INTERP_SOFTFLOAT_H
#define INTERP_SOFTFLOAT_H

#include <bp/exact/x86.h>
#include <stdbool.h>
#include <stdint.h>

/* Exception flags, as in MXCSR and in the x87 status word. */
enum { SF_IE = 1, SF_DE = 2, SF_ZE = 4, SF_OE = 8, SF_UE = 16, SF_PE = 32 };
#define SF_BEFORE (SF_IE | SF_DE | SF_ZE) /* found before the computation */
/* Rounding, as in both control registers. */
enum { SF_NEAREST, SF_DOWN, SF_UP, SF_ZERO };

struct sf_env {
    uint8_t rounding;
    uint8_t precision; /* of 80-bit results: 24, 53 or 64 */
    uint8_t unmasked;  /* SF_*: their responses differ */
    bool x87;          /* NaN rules, and wrapped exponents when over- or underflow is unmasked */
    bool daz, ftz;
    /* Out: */
    uint8_t flags; /* accumulated */
    bool up;       /* the last rounding went away from zero */
};

enum sf_kind { SF_K_ZERO, SF_K_NUMBER, SF_K_INF, SF_K_QNAN, SF_K_SNAN, SF_K_UNSUPPORTED };

/* An operand: sig * 2^(exp - 63), bit 63 of sig set. A NaN has its fraction below bit 63 (bit 62:
 * quiet). */
struct sf_num {
    uint64_t sig;
    int32_t exp;
    uint8_t kind;
    bool sign;
    bool denormal;
};

/* A result before rounding: sig * 2^(exp - 127), bit 127 set, bit 0 sticky. */
struct sf_wide {
    unsigned __int128 sig;
    int32_t exp;
    uint8_t kind;
    bool sign;
};

struct sf_num sf_unpack32(const struct sf_env *env, uint32_t bits);
struct sf_num sf_unpack64(const struct sf_env *env, uint64_t bits);
struct sf_num sf_unpack80(struct bp_x86_st st);

/* Round and pack. With an unmasked exception found before, the value is meaningless and no further
 * flags are set. */
uint32_t sf_pack32(struct sf_env *env, const struct sf_wide *w);
uint64_t sf_pack64(struct sf_env *env, const struct sf_wide *w);
struct bp_x86_st sf_pack80(struct sf_env *env, const struct sf_wide *w);

struct sf_wide sf_add(struct sf_env *env, struct sf_num a, struct sf_num b);
struct sf_wide sf_sub(struct sf_env *env, struct sf_num a, struct sf_num b);
struct sf_wide sf_mul(struct sf_env *env, struct sf_num a, struct sf_num b);
struct sf_wide sf_div(struct sf_env *env, struct sf_num a, struct sf_num b);
struct sf_wide sf_sqrt(struct sf_env *env, struct sf_num a);
/* a * b + c, rounded once; with the product's or c's sign turned. */
struct sf_wide sf_fma(struct sf_env *env, struct sf_num a, struct sf_num b, struct sf_num c, bool negate_product,
                      bool negate_c);
/* Format conversion: quiets NaNs; DE for denormals if `denormals`. */
struct sf_wide sf_convert(struct sf_env *env, struct sf_num a, bool denormals);

/* -1, 0, 1, or SF_UNORDERED. IE for signalling NaNs, and for quiet ones if `ordered`. */
#define SF_UNORDERED 2
int sf_compare(struct sf_env *env, struct sf_num a, struct sf_num b, bool ordered);

/* To a signed integer of `bits` (16, 32, 64) with env's rounding: IE and the indefinite value
 * (sign bit alone) when it does not fit. */
int64_t sf_to_int(struct sf_env *env, struct sf_num a, unsigned bits);
struct sf_wide sf_from_int(int64_t value);
/* To an integral value in the same format. */
struct sf_wide sf_round_int(struct sf_env *env, struct sf_num a);
/* A number as an unrounded result. */
struct sf_wide sf_widen(struct sf_num a);

/* The default NaN, and NaN selection among two operands of which one is a NaN or unsupported;
 * sets IE. */
struct sf_wide sf_indefinite(void);
struct sf_wide sf_nan(struct sf_env *env, struct sf_num a, struct sf_num b);

/* Remainder of FPREM (nearest false: truncated quotient) or FPREM1. Returns true when complete,
 * then with the low three bits of the quotient. a and b are finite, b not zero; exact. */
bool sf_remainder(struct sf_num a, struct sf_num b, bool nearest, struct sf_wide *ret_result,
                  unsigned *ret_quotient);

static inline bool sf_is_nan(const struct sf_num *a)
{
    return a->kind >= SF_K_QNAN;
}

#endif
