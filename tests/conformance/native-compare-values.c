/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random numbers and states for native-compare: integers at sign and size boundaries, numbers of
 * all classes (SplitMix64; IEEE 754 formats, 80-bit ones included).
 */
#include "native-compare-values.h"

#include <string.h>

static uint64_t rng_state;

void rng_seed(uint64_t seed)
{
    rng_state = seed;
}

uint64_t rng(void)
{
    uint64_t z = rng_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned below(unsigned limit)
{
    return (unsigned)((rng() >> 32) * limit >> 32);
}

bool chance(unsigned percent)
{
    return below(100) < percent;
}

uint64_t rng_value(void)
{
    uint64_t value = rng();

    switch (below(10)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return ~UINT64_C(0);
    case 3:
        return (UINT64_C(1) << (8u << below(4)) % 64) - below(3); /* sign and size boundaries */
    case 4:
        return UINT64_C(1) << ((8u << below(4)) - 1);
    case 5:
        return (UINT64_C(1) << ((8u << below(4)) - 1)) - 1;
    case 6:
        return (uint64_t)((int64_t)(value << 56) >> 56);
    case 7:
        return UINT64_C(0x8000000080008080) ^ (value & UINT64_C(0x0101010101010101));
    default:
        return value;
    }
}

static uint64_t rng_runs(void)
{
    uint64_t value = rng();

    switch (below(6)) {
    case 0:
        return 0;
    case 1:
        return ~UINT64_C(0);
    case 2:
        return UINT64_C(1) << (value & 63);
    case 3:
        return ~UINT64_C(0) << (value & 63);
    default:
        return value;
    }
}

static uint64_t rng_exponent(unsigned max)
{
    switch (below(8)) {
    case 0:
        return 0;
    case 1:
        return max;
    case 2:
        return below(60) % max;
    case 3:
        return max - below(60) % max;
    default:
        return (max / 2 + below(140) - 70) & max;
    }
}

static uint32_t rng_float(void)
{
    return (uint32_t)((rng() & 1) << 31 | rng_exponent(0xff) << 23 | rng_runs() >> 41);
}

static uint64_t rng_double(void)
{
    return (rng() & 1) << 63 | rng_exponent(0x7ff) << 52 | rng_runs() >> 12;
}

static void put_rng80(uint8_t *at)
{
    uint64_t mantissa = rng_runs();
    uint16_t exponent = (uint16_t)rng_exponent(0x7fff);

    if (exponent && !chance(4)) {
        mantissa |= UINT64_C(1) << 63;
    }
    if (chance(10)) { /* small integers and halves */
        exponent = (uint16_t)(0x3fff + below(20));
        mantissa = UINT64_C(1) << 63 | (uint64_t)below(1u << 20) << 43;
    }
    exponent |= (uint16_t)((rng() & 1) << 15);
    memcpy(at, &mantissa, 8);
    memcpy(at + 8, &exponent, 2);
}

/* 16 bytes of vector data. */
static void put_vector(uint8_t *at)
{
    unsigned kind = below(4);

    for (unsigned n = 0; n < 16; n += 4) {
        uint32_t f = rng_float();
        uint64_t d = kind == 1 ? rng_double() : rng_value();

        if (kind == 0) {
            memcpy(at + n, &f, 4);
        } else if (n % 8 == 0) {
            memcpy(at + n, &d, 8);
        }
    }
    if (kind == 3) {
        put_rng80(at);
    }
}

/* Operand data is taken from pools, which costs less than making it anew. */
#define POOL 8192u
static uint8_t vectors[POOL][16], numbers80[POOL][16];

void values_init(void)
{
    rng_state = 0;
    for (unsigned n = 0; n < POOL; n++) {
        put_vector(vectors[n]);
        put_rng80(numbers80[n]);
    }
}

void put_state(struct state *s)
{
    uint8_t *fx = s->fx;
    uint16_t fcw = 0x37f, fsw = (uint16_t)(below(8) << 11);
    uint32_t mxcsr = 0x1f80;

    memset(fx, 0, 512);
    if (chance(60)) {
        fcw = (uint16_t)((rng() & 0xf00) | 0x7f);
        mxcsr |= (uint32_t)(rng() & 0xe07f);
    }
    if (chance(15)) { /* unmasked exceptions */
        fcw = (uint16_t)((fcw & ~0x3f) | (rng() & 0x3f));
        mxcsr = (uint32_t)((mxcsr & ~0x1f80u) | (rng() & 0x1f80));
    }
    fsw |= (uint16_t)(rng() & 0x4700);
    if (chance(20)) {
        fsw |= (uint16_t)(rng() & 0x7f & (chance(80) ? fcw | 0x40 : 0x7f));
    }
    if (fsw & ~fcw & 0x3f) {
        fsw |= 0x8080;
    }
    memcpy(fx, &fcw, 2);
    memcpy(fx + 2, &fsw, 2);
    fx[4] = chance(50) ? 0xff : (uint8_t)rng();
    if (chance(40)) { /* a few registers from the top, as compilers do */
        unsigned used = 1 + below(4), top = fsw >> 11 & 7;

        fx[4] = 0;
        for (unsigned n = 0; n < used; n++) {
            fx[4] |= (uint8_t)(1u << ((top + n) & 7));
        }
    }
    memcpy(fx + 24, &mxcsr, 4);
    memcpy(fx + 32, numbers80[below(POOL - 8)], 128);
    memcpy(fx + 160, vectors[below(POOL - 16)], 256);
    memcpy(s->ymm, vectors[below(POOL - 16)], 256);
    memcpy(s->memory, vectors[below(POOL - WINDOW_SIZE / 16)], WINDOW_SIZE);
    for (unsigned n = 0; n < 16; n++) {
        s->gpr[n] = rng_value();
    }
    s->rflags = 0x202 | (rng() & 0xcd5);
}
