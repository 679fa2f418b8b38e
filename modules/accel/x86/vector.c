/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a vector instruction runs: availability in the order of the SDM's exception classes (volume 2, 2.4
 * to 2.6), operands, result. What each one computes is in vector-*.c.
 */
#include "vector.h"

_Noreturn void vec_undefined(struct vec_run *r)
{
    raise_exception(r->v, EXC_UD);
}

static const struct {
    uint8_t word, bit;
} needs[] = {
    [NEED_SSE3] = {BP_X86_FW_1_ECX, 0}, [NEED_SSSE3] = {BP_X86_FW_1_ECX, 9},
    [NEED_SSE41] = {BP_X86_FW_1_ECX, 19}, [NEED_SSE42] = {BP_X86_FW_1_ECX, 20},
    [NEED_AES] = {BP_X86_FW_1_ECX, 25}, [NEED_PCLMUL] = {BP_X86_FW_1_ECX, 1},
    [NEED_SHA] = {BP_X86_FW_7_EBX, 29}, [NEED_AVX] = {BP_X86_FW_1_ECX, 28},
    [NEED_AVX2] = {BP_X86_FW_7_EBX, 5}, [NEED_F16C] = {BP_X86_FW_1_ECX, 29},
    [NEED_FMA] = {BP_X86_FW_1_ECX, 12}, [NEED_VAES] = {BP_X86_FW_7_ECX, 9},
    [NEED_VPCLMUL] = {BP_X86_FW_7_ECX, 10},
};

bool vec_has(const struct vcpu *v, enum vec_need need)
{
    return need == NEED_ALWAYS || (need != NEED_NEVER && feature(v, needs[need].word, needs[need].bit));
}

const struct vec_op *vec_look_up(unsigned map, unsigned prefix, uint8_t byte)
{
    static const struct vec_op *(*const families[])(unsigned, unsigned, uint8_t) = {
        vec_integer_op, vec_float_op, vec_move_op, vec_convert_op, vec_crypto_op,
        vec_string_op,
    };

    for (unsigned n = 0; n < BP_COUNT(families); n++) {
        const struct vec_op *op = families[n](map, prefix, byte);

        if (op && (op->lanes || op->fn || op->run))
            return op;
    }
    return NULL;
}

static const struct vec_op *op_of(const struct insn *i)
{
    unsigned prefix = i->prefixes & PREFIX_REPNE ? 3 : i->prefixes & PREFIX_REP ? 2 : i->prefixes & PREFIX_66 ? 1 : 0;

    return vec_look_up(i->map, prefix, (uint8_t)i->opcode);
}

/* ---- operands ---- */

static uint64_t operand_offset(struct vec_run *r, unsigned bytes)
{
    bool aligned = r->vex ? r->op->flags & V_ALIGNED : bytes == 16 && !(r->op->flags & V_UNALIGNED);

    return aligned ? aligned_offset(r->v, r->i, r->x, bytes) : insn_offset(r->v, r->i);
}

void vec_load(struct vec_run *r, void *to, unsigned bytes)
{
    mem_load(r->v, r->i->seg, operand_offset(r, bytes), to, bytes);
}

void vec_store(struct vec_run *r, const void *from, unsigned bytes)
{
    mem_store(r->v, r->i->seg, operand_offset(r, bytes), from, bytes);
}

void vec_source(struct vec_run *r, union bp_x86_vec *to, unsigned bytes)
{
    if (r->i->rm != RM_MEM) {
        *to = r->x->vec[r->i->rm];
        return;
    }
    memset(to, 0, sizeof(*to));
    vec_load(r, to, bytes);
}

void vec_put(struct vec_run *r, unsigned reg, const union bp_x86_vec *from, unsigned bytes)
{
    union bp_x86_vec *to = &r->x->vec[reg];

    memcpy(to, from, bytes);
    if (r->vex)
        memset(to->b + bytes, 0, sizeof(*to) - bytes);
}

static unsigned load_size(const struct vec_run *r)
{
    unsigned load = r->op->load;

    return !load ? r->op->flags & V_COUNT ? 16 : r->bytes : load & 0x80 ? r->bytes >> (load & 3) : load;
}

static void run_lanes(const struct vec_run *r, union bp_x86_vec *d, const union bp_x86_vec *b)
{
    for (unsigned at = 0; at < r->bytes; at += 16) {
        union bp_x86_vec lane, other;

        memcpy(&lane, d->b + at, 16);
        memcpy(&other, r->op->flags & V_COUNT ? b->b : b->b + at, 16);
        r->op->lanes(&lane, &other, 16);
        memcpy(d->b + at, &lane, 16);
    }
}

static void check_form(struct vec_run *r)
{
    const struct insn *i = r->i;
    unsigned flags = r->op->flags;

    if ((flags & V_REG && i->rm == RM_MEM) || (flags & V_MEM && i->rm != RM_MEM))
        vec_undefined(r);
    if (!r->vex)
        return;
    if ((flags & V_UNARY && vec_vvvv(r)) || (flags & V_W0 && r->wide) || (flags & V_W1 && !r->wide) ||
        (flags & V_L1 && r->bytes != 32))
        vec_undefined(r);
}

static void enter(struct vec_run *r)
{
    struct bp_x86_cpu *x = r->x;

    if (!r->vex) {
        sse_enter(r->v);
        return;
    }
    if (!(x->cr4 & CR4_OSXSAVE) || (x->xcr0 & 6) != 6)
        vec_undefined(r);
    if (x->cr0 & CR0_TS)
        raise_exception(r->v, EXC_NM);
}

static void exec_vector(struct vcpu *v, const struct insn *i)
{
    struct vec_run r = {.v = v, .i = i, .x = vcpu_state(v), .op = op_of(i), .imm = (uint8_t)i->imm,
                        .vex = i->prefixes & PREFIX_VEX, .wide = i->prefixes & PREFIX_W};
    union bp_x86_vec d, b;
    const union bp_x86_vec *a;

    r.bytes = i->prefixes & PREFIX_L && !(r.op->flags & V_SCALAR) ? 32 : 16;
    check_form(&r);
    enter(&r);
    r.env = sse_env(r.x);
    if (r.op->run) {
        r.op->run(&r);
        return;
    }
    vec_source(&r, &b, load_size(&r));
    a = &r.x->vec[r.vex ? vec_vvvv(&r) : i->reg];
    d = *a;
    if (r.op->lanes)
        run_lanes(&r, &d, &b);
    else
        r.op->fn(&r, &d, a, &b);
    if (r.op->flags & V_FLOAT)
        sse_report(v, r.x, &r.env);
    vec_put(&r, i->reg, &d, r.bytes);
}

const struct opcode *vec_opcode(const struct vcpu *v, const struct insn *i, unsigned prefix)
{
    static const struct opcode plain = {exec_vector, OP_MODRM, 0}, imm = {exec_vector, OP_MODRM, 1},
                               bare = {exec_vector, 0, 0};
    const struct vec_op *op = vec_look_up(i->map, prefix, (uint8_t)i->opcode);
    bool vex = i->prefixes & PREFIX_VEX, l1 = i->prefixes & PREFIX_L;

    if (!op)
        return NULL;
    if (!vex ? !vec_has(v, op->legacy)
             : !vec_has(v, NEED_AVX) || !vec_has(v, l1 && !(op->flags & V_SCALAR) ? op->vex256 : op->vex))
        return NULL;
    if (vex && i->map == 1 && (uint8_t)i->opcode == 0x77)
        return &bare; /* VZEROUPPER, VZEROALL */
    return op->flags & V_IMM ? &imm : &plain;
}
