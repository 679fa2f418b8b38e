/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Vector instructions of SSSE3 and later, and all with VEX prefixes: one table entry for each opcode says
 * what computes it, its operands, and the features that it needs in each encoding. Intel SDM volume 2.
 */
#ifndef INTERP_VECTOR_H
#define INTERP_VECTOR_H

#include "sse-env.h"

/* Destination and second source in the low `bytes`; of the older tables. */
typedef void lanes_fn(union bp_x86_vec *d, const union bp_x86_vec *s, unsigned bytes);

/* An instruction under way. */
struct vec_run {
    struct vcpu *v;
    const struct insn *i;
    struct bp_x86_cpu *x;
    const struct vec_op *op;
    struct sf_env env;
    unsigned bytes; /* 16 or 32 */
    unsigned imm;   /* its 8 bits */
    bool vex, wide; /* W */
};

/* d from a (destination, or VEX.vvvv) and b (xmm/ymm/memory); d is neither of them. */
typedef void vec_fn(struct vec_run *r, union bp_x86_vec *d, const union bp_x86_vec *a, const union bp_x86_vec *b);
typedef void vec_run_fn(struct vec_run *r);

/* Features; with VEX, AVX is needed besides. */
enum vec_need { NEED_NEVER, NEED_ALWAYS, NEED_SSE3, NEED_SSSE3, NEED_SSE41, NEED_SSE42, NEED_AES, NEED_PCLMUL,
                NEED_SHA, NEED_AVX, NEED_AVX2, NEED_F16C, NEED_FMA, NEED_VAES, NEED_VPCLMUL };

struct vec_op {
    lanes_fn *lanes; /* one of these three */
    vec_fn *fn;
    vec_run_fn *run;
    uint8_t legacy, vex, vex256; /* enum vec_need of each encoding */
    uint8_t load;                /* bytes of a memory operand; 0: all; V_HALF...: a part of all */
    uint16_t flags;
};
#define V_HALF 0x81u /* all >> 1, 2, 3 */
#define V_QUARTER 0x82u
#define V_EIGHTH 0x83u
#define V_UNARY 1u     /* VEX.vvvv is not used and must be 1111b */
#define V_IMM 2u
#define V_FLOAT 4u     /* reports exceptions */
#define V_REG 8u       /* no memory operand */
#define V_MEM 16u      /* memory operand only */
#define V_SCALAR 32u   /* VEX.L is ignored */
#define V_W0 64u       /* VEX.W must be 0, or 1 */
#define V_W1 128u
#define V_L1 256u      /* VEX.L must be 1 */
#define V_COUNT 512u   /* b is the same 16 bytes for each lane */
#define V_ALIGNED 1024u /* with VEX too */
#define V_UNALIGNED 2048u /* without, too */

const struct vec_op *vec_integer_op(unsigned map, unsigned prefix, uint8_t byte);
const struct vec_op *vec_float_op(unsigned map, unsigned prefix, uint8_t byte);
const struct vec_op *vec_move_op(unsigned map, unsigned prefix, uint8_t byte);
const struct vec_op *vec_crypto_op(unsigned map, unsigned prefix, uint8_t byte);
const struct vec_op *vec_convert_op(unsigned map, unsigned prefix, uint8_t byte);
const struct vec_op *vec_string_op(unsigned map, unsigned prefix, uint8_t byte);

const struct vec_op *vec_look_up(unsigned map, unsigned prefix, uint8_t byte); /* NULL: there is none */
bool vec_has(const struct vcpu *v, enum vec_need need);

/* ---- for the entries' functions ---- */
static inline unsigned vec_vvvv(const struct vec_run *r)
{
    return r->i->rex >> 4;
}
/* The memory operand: `bytes` to `to`; aligned as the encoding asks for. */
void vec_load(struct vec_run *r, void *to, unsigned bytes);
void vec_store(struct vec_run *r, const void *from, unsigned bytes);
/* Register or memory; of a register all, of memory `bytes`, the rest zero. */
void vec_source(struct vec_run *r, union bp_x86_vec *to, unsigned bytes);
/* The first `bytes`; with VEX the rest becomes zero. */
void vec_put(struct vec_run *r, unsigned reg, const union bp_x86_vec *from, unsigned bytes);
_Noreturn void vec_undefined(struct vec_run *r);

/* The table's entry for the decoder, where the processor has the instruction; prefix: PREFIX_INDEX_*. */
const struct opcode *vec_opcode(const struct vcpu *v, const struct insn *i, unsigned prefix);

/* lanes of the older files; NULL: none */
lanes_fn *sse_integer_lanes(unsigned prefix, uint8_t byte);
lanes_fn *sse_shuffle_lanes(unsigned prefix, uint8_t byte);

#endif
