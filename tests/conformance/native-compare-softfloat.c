/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compares the interpreter's softfloat with the host's SSE and x87 units: values, flags and the
 * direction of rounding, for random operands, rounding modes, precisions, DAZ and FTZ. All
 * exceptions are masked. x86-64 hosts only; elsewhere the test is skipped.
 * native-compare-softfloat [--cases N] [--seed S]
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__x86_64__)
int main(void)
{
    printf("1..0 # SKIP the oracle is an x86-64 processor\n");
    return 0;
}
#else
#include "softfloat.h"

static uint64_t rng_state;

static uint64_t rng(void)
{
    uint64_t z = rng_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Random bits with long runs, so that carries and ties happen. */
static uint64_t rng_runs(void)
{
    uint64_t value = rng();

    switch (rng() % 6) {
    case 0:
        return 0;
    case 1:
        return ~UINT64_C(0);
    case 2:
        return UINT64_C(1) << (value & 63);
    case 3:
        return ~UINT64_C(0) << (value & 63);
    case 4:
        return (UINT64_C(1) << (value & 63)) - 1;
    default:
        return value;
    }
}

/* Exponents near each other and near the ends of the range. */
static unsigned rng_exponent(unsigned max)
{
    switch (rng() % 8) {
    case 0:
        return 0;
    case 1:
        return max;
    case 2:
        return (unsigned)(rng() % 70) % max;
    case 3:
        return max - (unsigned)(rng() % 70) % max;
    case 4:
        return (unsigned)(rng() % (max + 1));
    default:
        return (max / 2 + (unsigned)(rng() % 140) - 70) & max;
    }
}

static uint32_t rng32(void)
{
    return (uint32_t)((rng() & 1) << 31 | (uint64_t)rng_exponent(0xff) << 23 |
                      (rng_runs() & 0x7fffff));
}

static uint64_t rng64(void)
{
    return (rng() & 1) << 63 | (uint64_t)rng_exponent(0x7ff) << 52 | rng_runs() >> 12;
}

static struct bp_x86_st rng80(void)
{
    struct bp_x86_st st = {.mantissa = rng_runs(), .sign_exponent = (uint16_t)rng_exponent(0x7fff)};

    if (rng() % 8 && st.sign_exponent) {
        st.mantissa |= UINT64_C(1) << 63;
    }
    st.sign_exponent |= (uint16_t)(rng() << 15);
    return st;
}

static uint64_t failures;

static void check(const char *what, unsigned control, uint64_t a, uint64_t b, uint64_t want,
                  uint64_t got, unsigned want_flags, unsigned got_flags)
{
    if (want == got && want_flags == got_flags) {
        return;
    }
    if (failures++ < 40) {
        printf("# %s control %04x a %016" PRIx64 " b %016" PRIx64 ": host %016" PRIx64
               " flags %02x, softfloat %016" PRIx64 " flags %02x\n",
               what, control, a, b, want, want_flags, got, got_flags);
    }
}

static struct sf_env sse_environment(unsigned mxcsr)
{
    return (struct sf_env){.rounding = mxcsr >> 13 & 3, .daz = mxcsr & 0x40, .ftz = mxcsr >> 15};
}

#define SSE(insn, type, d, s, flags) \
    do { \
        uint32_t host_, after_; \
        __asm__ volatile("stmxcsr %[h]\n\tldmxcsr %[g]\n\t" insn " %[s_], %[d_]\n\t" \
                         "stmxcsr %[a]\n\tldmxcsr %[h]" \
                         : [d_] "+x"(d), [h] "=m"(host_), [a] "=m"(after_) \
                         : [s_] "x"(s), [g] "m"(mxcsr)); \
        flags = after_ & 0x3f; \
    } while (0)

typedef struct sf_wide binary_fn(struct sf_env *env, struct sf_num a, struct sf_num b);

static struct sf_wide root(struct sf_env *env, struct sf_num a, struct sf_num b)
{
    (void)a;
    return sf_sqrt(env, b);
}

static float as_float(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, 4);
    return f;
}
static uint32_t float_bits(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, 4);
    return bits;
}
static double as_double(uint64_t bits)
{
    double f;

    memcpy(&f, &bits, 8);
    return f;
}
static uint64_t double_bits(double f)
{
    uint64_t bits;

    memcpy(&bits, &f, 8);
    return bits;
}

#define BINARY32(insn, fn) \
    { \
        struct sf_env env = sse_environment(mxcsr); \
        uint32_t a = rng32(), b = rng32(), got; \
        float d = as_float(a), s = as_float(b); \
        unsigned flags; \
        struct sf_wide w = fn(&env, sf_unpack32(&env, a), sf_unpack32(&env, b)); \
        got = sf_pack32(&env, &w); \
        SSE(insn, float, d, s, flags); \
        check(insn, mxcsr, a, b, float_bits(d), got, flags, env.flags); \
    }
#define BINARY64(insn, fn) \
    { \
        struct sf_env env = sse_environment(mxcsr); \
        uint64_t a = rng64(), b = rng64(), got; \
        double d = as_double(a), s = as_double(b); \
        unsigned flags; \
        struct sf_wide w = fn(&env, sf_unpack64(&env, a), sf_unpack64(&env, b)); \
        got = sf_pack64(&env, &w); \
        SSE(insn, double, d, s, flags); \
        check(insn, mxcsr, a, b, double_bits(d), got, flags, env.flags); \
    }

static void sse_case(void)
{
    uint32_t mxcsr = 0x1f80 | (uint32_t)(rng() & 0xe040);

    BINARY32("addss", sf_add)
    BINARY32("subss", sf_sub)
    BINARY32("mulss", sf_mul)
    BINARY32("divss", sf_div)
    BINARY32("sqrtss", root)
    BINARY64("addsd", sf_add)
    BINARY64("subsd", sf_sub)
    BINARY64("mulsd", sf_mul)
    BINARY64("divsd", sf_div)
    BINARY64("sqrtsd", root)
}

static void sse_convert_case(void)
{
    uint32_t mxcsr = 0x1f80 | (uint32_t)(rng() & 0xe040);
    struct sf_env env = sse_environment(mxcsr);
    uint64_t a = rng64(), wide = 0;
    uint32_t b = rng32(), narrow;
    int64_t integer = (int64_t)(rng_runs() + rng() % 3), result = 0;
    unsigned flags;
    struct sf_wide w;
    float f = 0;
    double d = 0;

    w = sf_convert(&env, sf_unpack64(&env, a), true);
    narrow = sf_pack32(&env, &w);
    SSE("cvtsd2ss", float, f, as_double(a), flags);
    check("cvtsd2ss", mxcsr, a, 0, float_bits(f), narrow, flags, env.flags);

    env.flags = 0;
    w = sf_convert(&env, sf_unpack32(&env, b), true);
    wide = sf_pack64(&env, &w);
    SSE("cvtss2sd", double, d, as_float(b), flags);
    check("cvtss2sd", mxcsr, b, 0, double_bits(d), wide, flags, env.flags);

    env.flags = 0;
    w = sf_from_int(integer);
    wide = sf_pack64(&env, &w);
    __asm__ volatile("ldmxcsr %3\n\tcvtsi2sdq %2, %0\n\tstmxcsr %1"
                     : "+x"(d), "=m"(flags) : "r"(integer), "m"(mxcsr));
    check("cvtsi2sd", mxcsr, (uint64_t)integer, 0, double_bits(d), wide, flags & 0x3f, env.flags);

    env.flags = 0;
    wide = (uint64_t)sf_to_int(&env, sf_unpack64(&env, a), 64);
    __asm__ volatile("ldmxcsr %3\n\tcvtsd2siq %2, %0\n\tstmxcsr %1"
                     : "=r"(result), "=m"(flags) : "x"(as_double(a)), "m"(mxcsr));
    check("cvtsd2si", mxcsr, a, 0, (uint64_t)result, wide, flags & 0x3f, env.flags);
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

/* ---- x87 ---- */
struct __attribute__((packed)) st80 {
    uint64_t mantissa;
    uint16_t sign_exponent;
};

static uint16_t rng_fcw(void)
{
    static const uint16_t precisions[] = {0, 0x200, 0x300};

    return (uint16_t)(0x7f | (rng() & 0xc00) | precisions[rng() % 3]);
}

static struct sf_env x87_environment(unsigned fcw, bool full)
{
    return (struct sf_env){.x87 = true, .rounding = fcw >> 10 & 3,
                           .precision = full || (fcw & 0x100) ? 64 : fcw & 0x200 ? 53 : 24};
}

#define X87(insn, a, b, fcw, out, fsw) \
    __asm__ volatile("fninit\n\tfldcw %[c]\n\tfldt %[b_]\n\tfldt %[a_]\n\tfnclex\n\t" insn \
                     "\n\tfnstsw %[s]\n\tfstpt %[o]\n\tfninit" \
                     : [s] "=m"(fsw), [o] "=m"(out) : [c] "m"(fcw), [a_] "m"(a), [b_] "m"(b))

static void check80(const char *what, unsigned fcw, struct st80 a, struct st80 b, struct st80 want,
                    struct bp_x86_st got, unsigned fsw, unsigned flags)
{
    if (want.mantissa == got.mantissa && want.sign_exponent == got.sign_exponent &&
        fsw == flags) {
        return;
    }
    if (failures++ < 40) {
        printf("# %s fcw %04x a %04x.%016" PRIx64 " b %04x.%016" PRIx64 ": host %04x.%016" PRIx64
               " fsw %04x, softfloat %04x.%016" PRIx64 " fsw %04x\n",
               what, fcw, a.sign_exponent, a.mantissa, b.sign_exponent, b.mantissa,
               want.sign_exponent, want.mantissa, fsw, got.sign_exponent, got.mantissa, flags);
    }
}

#define BINARY80(insn, call, full) \
    { \
        struct bp_x86_st na = rng80(), nb = rng80(), got; \
        struct st80 a = {na.mantissa, na.sign_exponent}, b = {nb.mantissa, nb.sign_exponent}, out; \
        struct sf_num x = sf_unpack80(na), y = sf_unpack80(nb); \
        struct sf_env env = x87_environment(fcw, full); \
        uint16_t fsw; \
        struct sf_wide w = call; \
        (void)y; \
        got = sf_pack80(&env, &w); \
        X87(insn, a, b, fcw, out, fsw); \
        check80(insn, fcw, a, b, out, got, fsw & 0x23f, env.flags | (env.up ? 0x200u : 0)); \
    }

static void x87_case(void)
{
    uint16_t fcw = rng_fcw();

    BINARY80("fadd %%st(1), %%st", sf_add(&env, x, y), false)
    BINARY80("fsub %%st(1), %%st", sf_sub(&env, x, y), false)
    BINARY80("fmul %%st(1), %%st", sf_mul(&env, x, y), false)
    BINARY80("fdiv %%st(1), %%st", sf_div(&env, x, y), false)
    BINARY80("fsqrt", sf_sqrt(&env, x), false)
}

static void x87_store_case(void)
{
    uint16_t fcw = rng_fcw(), fsw;
    struct bp_x86_st st = rng80();
    struct st80 a = {st.mantissa, st.sign_exponent};
    struct sf_env env = x87_environment(fcw, true);
    struct sf_wide w;
    uint64_t wide, got;
    uint32_t narrow;

    w = sf_convert(&env, sf_unpack80(st), false);
    got = sf_pack64(&env, &w);
    __asm__ volatile("fninit\n\tfldcw %2\n\tfldt %3\n\tfstpl %0\n\tfnstsw %1\n\tfninit"
                     : "=m"(wide), "=m"(fsw) : "m"(fcw), "m"(a));
    check("fstp m64", fcw, a.mantissa, a.sign_exponent, wide, got, fsw & 0x23f,
          env.flags | (env.up ? 0x200u : 0));
    env.flags = 0;
    w = sf_convert(&env, sf_unpack80(st), false);
    got = sf_pack32(&env, &w);
    __asm__ volatile("fninit\n\tfldcw %2\n\tfldt %3\n\tfstps %0\n\tfnstsw %1\n\tfninit"
                     : "=m"(narrow), "=m"(fsw) : "m"(fcw), "m"(a));
    check("fstp m32", fcw, a.mantissa, a.sign_exponent, narrow, got, fsw & 0x23f,
          env.flags | (env.up ? 0x200u : 0));
    env.flags = 0;
    got = (uint64_t)sf_to_int(&env, sf_unpack80(st), 64);
    __asm__ volatile("fninit\n\tfldcw %2\n\tfldt %3\n\tfistpll %0\n\tfnstsw %1\n\tfninit"
                     : "=m"(wide), "=m"(fsw) : "m"(fcw), "m"(a));
    check("fistp m64", fcw, a.mantissa, a.sign_exponent, wide, got, fsw & 0x23f,
          env.flags | (env.up ? 0x200u : 0));
}

static void run(const char *name, unsigned number, void (*fn)(void), uint64_t cases)
{
    uint64_t before = failures;

    for (uint64_t n = 0; n < cases; n++) {
        fn();
    }
    printf("%sok %u %s\n", failures == before ? "" : "not ", number, name);
}

int main(int argc, char **argv)
{
    uint64_t cases = 500000;

    rng_state = 1;
    for (int n = 1; n + 1 < argc; n += 2) {
        if (!strcmp(argv[n], "--cases")) {
            cases = strtoull(argv[n + 1], NULL, 0);
        } else if (!strcmp(argv[n], "--seed")) {
            rng_state = strtoull(argv[n + 1], NULL, 0);
        }
    }
    printf("1..4\n");
    run("sse arithmetic", 1, sse_case, cases);
    run("sse conversions", 2, sse_convert_case, cases);
    run("x87 arithmetic", 3, x87_case, cases);
    run("x87 stores", 4, x87_store_case, cases);
    if (failures) {
        printf("# %" PRIu64 " divergences\n", failures);
    }
    return failures != 0;
}
#endif
