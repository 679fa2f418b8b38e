/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AES, carry-less multiplication, SHA. FIPS 197 and 180-4; Intel SDM volume 2.
 */
#include "vector.h"

typedef union bp_x86_vec vec;
#define FN(name) static void name(struct vec_run *r, vec *d, const vec *a, const vec *b)

/* ---- AES: GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 ---- */

static uint8_t twice(uint8_t a)
{
    return (uint8_t)(a << 1 ^ (a >> 7 ? 0x1b : 0));
}

static uint8_t times(uint8_t a, uint8_t b)
{
    uint8_t product = 0;

    for (; b; b >>= 1, a = twice(a))
        product ^= b & 1 ? a : 0;
    return product;
}

/* The inverse is the 254th power. */
static uint8_t inverse(uint8_t a)
{
    uint8_t power = a, result = 1;

    for (unsigned n = 254; n; n >>= 1, power = times(power, power))
        result = n & 1 ? times(result, power) : result;
    return result;
}

static uint8_t rotate8(uint8_t a, unsigned by)
{
    return (uint8_t)(a << by | a >> (8 - by));
}

static uint8_t substitute(uint8_t a)
{
    uint8_t s = inverse(a);

    return s ^ rotate8(s, 1) ^ rotate8(s, 2) ^ rotate8(s, 3) ^ rotate8(s, 4) ^ 0x63;
}

static uint8_t unsubstitute(uint8_t a)
{
    return inverse((uint8_t)(rotate8(a, 1) ^ rotate8(a, 3) ^ rotate8(a, 6) ^ 0x05));
}

/* Column c, row r of the state is byte 4c + r; row r moves by r columns. */
static void shift_rows(vec *to, const vec *from, bool back)
{
    for (unsigned n = 0; n < 16; n++) {
        unsigned row = n & 3, column = n >> 2;

        to->b[n] = from->b[4 * ((back ? column - row : column + row) & 3) + row];
    }
}

static void mix_columns(vec *state, const uint8_t factors[4])
{
    for (unsigned c = 0; c < 16; c += 4) {
        uint8_t in[4];

        memcpy(in, state->b + c, 4);
        for (unsigned row = 0; row < 4; row++) {
            uint8_t sum = 0;

            for (unsigned k = 0; k < 4; k++)
                sum ^= times(in[k], factors[(k - row) & 3]);
            state->b[c + row] = sum;
        }
    }
}
static const uint8_t forward[4] = {2, 3, 1, 1}, backward[4] = {14, 11, 13, 9};

/* One lane: DC, DD the last round; DE, DF back */
static void aes_round(unsigned opcode, uint8_t *d, const uint8_t *a, const uint8_t *key)
{
    bool back = opcode >= 0xde;
    vec in, state;

    memcpy(&in, a, 16);
    shift_rows(&state, &in, back);
    for (unsigned n = 0; n < 16; n++)
        state.b[n] = back ? unsubstitute(state.b[n]) : substitute(state.b[n]);
    if (!(opcode & 1))
        mix_columns(&state, back ? backward : forward);
    for (unsigned n = 0; n < 16; n++)
        d[n] = state.b[n] ^ key[n];
}
FN(aes)
{
    for (unsigned at = 0; at < r->bytes; at += 16)
        aes_round(r->i->opcode & 0xff, d->b + at, a->b + at, b->b + at);
}
FN(aesimc)
{
    (void)a, (void)r;
    memcpy(d, b, 16);
    mix_columns(d, backward);
}
FN(aeskeygen)
{
    (void)a;
    for (unsigned n = 0; n < 2; n++) {
        uint32_t word = 0;

        for (unsigned k = 0; k < 4; k++)
            word |= (uint32_t)substitute(b->b[8 * n + 4 + k]) << 8 * k;
        d->d[2 * n] = word;
        d->d[2 * n + 1] = (word >> 8 | word << 24) ^ r->imm;
    }
}

FN(pclmul)
{
    for (unsigned at = 0; at < r->bytes / 8; at += 2) {
        uint64_t p = a->q[at + (r->imm & 1)], q = b->q[at + (r->imm >> 4 & 1)];
        unsigned __int128 product = 0;

        for (unsigned n = 0; n < 64; n++)
            product ^= q >> n & 1 ? (unsigned __int128)p << n : 0;
        d->q[at] = (uint64_t)product;
        d->q[at + 1] = (uint64_t)(product >> 64);
    }
}

/* ---- SHA: words from the highest of the register down ---- */

static uint32_t rol(uint32_t a, unsigned by)
{
    return a << by | a >> (32 - by);
}
static uint32_t ror(uint32_t a, unsigned by)
{
    return a >> by | a << (32 - by);
}
static uint32_t choose(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (~x & z);
}
static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}

FN(sha1rnds4)
{
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t s[5] = {a->d[3], a->d[2], a->d[1], a->d[0], 0}; /* A to E; the first word of b has E in it */

    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = r->imm & 3;
        uint32_t f = kind == 0 ? choose(s[1], s[2], s[3]) : kind == 2 ? majority(s[1], s[2], s[3]) : s[1] ^ s[2] ^ s[3];
        uint32_t next = f + rol(s[0], 5) + b->d[3 - n] + s[4] + constants[kind];

        s[4] = s[3];
        s[3] = s[2];
        s[2] = rol(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (unsigned n = 0; n < 4; n++)
        d->d[3 - n] = s[n];
}
FN(sha1nexte)
{
    (void)r;
    memcpy(d, b, 16);
    d->d[3] = b->d[3] + rol(a->d[3], 30);
}
FN(sha1msg1)
{
    uint32_t w[6] = {a->d[3], a->d[2], a->d[1], a->d[0], b->d[3], b->d[2]};

    (void)r;
    for (unsigned n = 0; n < 4; n++)
        d->d[3 - n] = w[n + 2] ^ w[n];
}
FN(sha1msg2)
{
    uint32_t w13 = b->d[2], w14 = b->d[1], w15 = b->d[0], w16 = rol(a->d[3] ^ w13, 1);

    (void)r;
    d->d[3] = w16;
    d->d[2] = rol(a->d[2] ^ w14, 1);
    d->d[1] = rol(a->d[1] ^ w15, 1);
    d->d[0] = rol(a->d[0] ^ w16, 1);
}
FN(sha256rnds2)
{
    uint32_t s[8] = {b->d[3], b->d[2], a->d[3], a->d[2], b->d[1], b->d[0], a->d[1], a->d[0]};
    vec wk = r->x->vec[0];

    for (unsigned n = 0; n < 2; n++) {
        uint32_t t = choose(s[4], s[5], s[6]) + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + wk.d[n] + s[7];
        uint32_t next = t + majority(s[0], s[1], s[2]) + (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22));

        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += t;
        s[0] = next;
    }
    d->d[3] = s[0];
    d->d[2] = s[1];
    d->d[1] = s[4];
    d->d[0] = s[5];
}
FN(sha256msg1)
{
    uint32_t w[5] = {a->d[0], a->d[1], a->d[2], a->d[3], b->d[0]};

    (void)r;
    for (unsigned n = 0; n < 4; n++)
        d->d[n] = w[n] + (ror(w[n + 1], 7) ^ ror(w[n + 1], 18) ^ w[n + 1] >> 3);
}
FN(sha256msg2)
{
    uint32_t w[6] = {b->d[2], b->d[3]};

    (void)r;
    for (unsigned n = 0; n < 4; n++) {
        w[n + 2] = a->d[n] + (ror(w[n], 17) ^ ror(w[n], 19) ^ w[n] >> 10);
        d->d[n] = w[n + 2];
    }
}

#define AES3 {.fn = aes, .legacy = NEED_AES, .vex = NEED_AES, .vex256 = NEED_VAES}
#define SHA(name) {.fn = name, .legacy = NEED_SHA}

static const struct vec_op map2[256] = {
    [0xdb] = {.fn = aesimc, .legacy = NEED_AES, .vex = NEED_AES, .flags = V_UNARY},
    [0xdc] = AES3, [0xdd] = AES3, [0xde] = AES3, [0xdf] = AES3,
};
static const struct vec_op sha[6] = {
    SHA(sha1nexte), SHA(sha1msg1), SHA(sha1msg2), SHA(sha256rnds2), SHA(sha256msg1), SHA(sha256msg2),
};
static const struct vec_op keygen = {.fn = aeskeygen, .legacy = NEED_AES, .vex = NEED_AES, .flags = V_IMM | V_UNARY};
static const struct vec_op multiply = {.fn = pclmul, .legacy = NEED_PCLMUL, .vex = NEED_PCLMUL, .vex256 = NEED_VPCLMUL,
                                       .flags = V_IMM};
static const struct vec_op rounds = {.fn = sha1rnds4, .legacy = NEED_SHA, .flags = V_IMM};

const struct vec_op *vec_crypto_op(unsigned map, unsigned prefix, uint8_t byte)
{
    if (map == 2 && prefix == 0 && byte >= 0xc8 && byte <= 0xcd)
        return &sha[byte - 0xc8];
    if (map == 3 && prefix == 0 && byte == 0xcc)
        return &rounds;
    if (prefix != 1)
        return NULL;
    if (map == 2)
        return &map2[byte];
    return map == 3 && byte == 0xdf ? &keygen : map == 3 && byte == 0x44 ? &multiply : NULL;
}
