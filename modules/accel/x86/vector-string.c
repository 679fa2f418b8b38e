/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The string compares of SSE4.2: PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI. Intel SDM volume 1, 12.13; volume 2. */
#include "vector.h"

typedef union bp_x86_vec vec;

struct strings {
    const vec *a, *b;
    unsigned imm, count;    /* elements of a register */
    unsigned len_a, len_b; /* valid elements */
};

static int32_t value(const struct strings *s, const vec *v, unsigned n)
{
    switch (s->imm & 3) {
    case 0: return v->b[n];
    case 1: return v->w[n];
    case 2: return (int8_t)v->b[n];
    default: return (int16_t)v->w[n];
    }
}

static unsigned implicit_length(const struct strings *s, const vec *v)
{
    unsigned n = 0;

    while (n < s->count && value(s, v, n) != 0)
        n++;
    return n;
}

static unsigned explicit_length(const struct strings *s, const struct vec_run *r, unsigned reg)
{
    int64_t length = r->i->rex & 8 ? (int64_t)r->x->gpr[reg] : (int32_t)r->x->gpr[reg];

    if (length < -(int64_t)s->count || length > (int64_t)s->count)
        return s->count;
    return (unsigned)(length < 0 ? -length : length);
}

static bool in_set(const struct strings *s, unsigned j)
{
    for (unsigned n = 0; j < s->len_b && n < s->len_a; n++) {
        if (value(s, s->a, n) == value(s, s->b, j))
            return true;
    }
    return false;
}
static bool in_ranges(const struct strings *s, unsigned j)
{
    for (unsigned n = 0; j < s->len_b && n + 1 < s->len_a; n += 2) {
        int32_t c = value(s, s->b, j);

        if (value(s, s->a, n) <= c && c <= value(s, s->a, n + 1))
            return true;
    }
    return false;
}
static bool equal_each(const struct strings *s, unsigned j)
{
    bool a = j < s->len_a, b = j < s->len_b;

    return a && b ? value(s, s->a, j) == value(s, s->b, j) : a == b;
}
static bool equal_ordered(const struct strings *s, unsigned j)
{
    for (unsigned n = 0; n < s->len_a && j + n < s->count; n++) {
        if (j + n >= s->len_b || value(s, s->a, n) != value(s, s->b, j + n))
            return false;
    }
    return true;
}

static uint32_t matches(const struct strings *s)
{
    static bool (*const kinds[4])(const struct strings *, unsigned) = {in_set, in_ranges, equal_each, equal_ordered};
    uint32_t result = 0, all = s->count == 16 ? 0xffff : 0xff;

    for (unsigned j = 0; j < s->count; j++)
        result |= (uint32_t)kinds[s->imm >> 2 & 3](s, j) << j;
    if (s->imm & 0x10)
        result ^= s->imm & 0x20 ? (1u << s->len_b) - 1 : all;
    return result & all;
}

static void put_mask(struct vec_run *r, const struct strings *s, uint32_t result)
{
    vec d = {.q = {0}};

    if (!(s->imm & 0x40)) {
        d.d[0] = result;
    } else {
        for (unsigned n = 0; n < 16; n++)
            d.b[n] = result >> (s->count == 16 ? n : n / 2) & 1 ? 0xff : 0;
    }
    vec_put(r, 0, &d, 16);
}

static void compare(struct vec_run *r)
{
    struct strings s = {.imm = r->imm, .count = r->imm & 1 ? 8 : 16, .a = &r->x->vec[r->i->reg]};
    bool implicit = r->i->opcode & 2, index = r->i->opcode & 1;
    uint32_t result, flags;
    vec b;

    vec_source(r, &b, 16);
    s.b = &b;
    s.len_a = implicit ? implicit_length(&s, s.a) : explicit_length(&s, r, BP_RAX);
    s.len_b = implicit ? implicit_length(&s, s.b) : explicit_length(&s, r, BP_RDX);
    result = matches(&s);
    flags = (result ? F_CF : 0) | (s.len_b < s.count ? F_ZF : 0) | (s.len_a < s.count ? F_SF : 0) |
            (result & 1 ? F_OF : 0);
    if (!index)
        put_mask(r, &s, result);
    else if (!result)
        r->x->gpr[BP_RCX] = s.count;
    else
        r->x->gpr[BP_RCX] = s.imm & 0x40 ? 31u - (unsigned)__builtin_clz(result) : (unsigned)__builtin_ctz(result);
    set_arith_flags(r->v, flags);
}

/* Memory operands need no alignment. */
static const struct vec_op op = {.run = compare, .legacy = NEED_SSE42, .vex = NEED_AVX,
                                 .flags = V_IMM | V_UNARY | V_UNALIGNED};

const struct vec_op *vec_string_op(unsigned map, unsigned prefix, uint8_t byte)
{
    return map == 3 && prefix == 1 && byte >= 0x60 && byte <= 0x63 ? &op : NULL;
}
