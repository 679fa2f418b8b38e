/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SSE and SSE2 conversions between integers, 32 and 64-bit floating-point numbers. Intel SDM
 * volume 1 chapter 11, volume 2.
 */
#include "sse-env.h"

static uint32_t int_to_32(struct sf_env *env, int64_t value)
{
    struct sf_wide w = sf_from_int(value);

    return sf_pack32(env, &w);
}

static uint64_t int_to_64(struct sf_env *env, int64_t value)
{
    struct sf_wide w = sf_from_int(value);

    return sf_pack64(env, &w);
}

static uint64_t widen(struct sf_env *env, uint32_t bits)
{
    struct sf_env lane = *env;
    struct sf_wide w;

    lane.flags = 0;
    w = sf_convert(&lane, sf_unpack32(&lane, bits), true);
    env->flags |= lane.flags;
    return sf_pack64(&lane, &w);
}

static uint32_t narrow(struct sf_env *env, uint64_t bits)
{
    struct sf_env lane = *env;
    struct sf_wide w;
    uint32_t result;

    lane.flags = 0;
    w = sf_convert(&lane, sf_unpack64(&lane, bits), true);
    result = sf_pack32(&lane, &w);
    env->flags |= lane.flags;
    return result;
}

static int64_t to_int32(struct sf_env *env, uint32_t bits, unsigned size)
{
    return sf_to_int(env, sf_unpack32(env, bits), size);
}

static int64_t to_int64(struct sf_env *env, uint64_t bits, unsigned size)
{
    return sf_to_int(env, sf_unpack64(env, bits), size);
}

static struct sf_env truncating(const struct bp_x86_cpu *x, bool truncate)
{
    struct sf_env env = sse_env(x);

    if (truncate) {
        env.rounding = SF_ZERO;
    }
    return env;
}

static uint64_t pack2(uint32_t low, uint32_t high)
{
    return low | (uint64_t)high << 32;
}

/* From memory these are no MMX instructions (the SDM says so of CVTPI2PD, processors of both). */
static struct bp_x86_cpu *from_mmx(struct vcpu *v, const struct insn *i)
{
    return i->rm == RM_MEM ? sse_enter(v) : sse_mmx_enter(v);
}

static void cvtpi2ps(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = from_mmx(v, i);
    uint64_t s = mmx_source64(v, i, x);
    struct sf_env env = sse_env(x);
    uint32_t low = int_to_32(&env, (int32_t)s), high = int_to_32(&env, (int32_t)(s >> 32));

    if (i->rm != RM_MEM) {
        mmx_touch(x);
    }
    sse_report(v, x, &env);
    x->vec[i->reg].q[0] = pack2(low, high);
}

static void cvtpi2pd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = from_mmx(v, i);
    uint64_t s = mmx_source64(v, i, x);
    struct sf_env env = sse_env(x);

    if (i->rm != RM_MEM) {
        mmx_touch(x);
    }
    x->vec[i->reg].q[0] = int_to_64(&env, (int32_t)s);
    x->vec[i->reg].q[1] = int_to_64(&env, (int32_t)(s >> 32));
}

static int64_t general_source(struct vcpu *v, const struct insn *i, const struct bp_x86_cpu *x)
{
    if (i->rex & 8) {
        return (int64_t)(i->rm != RM_MEM ? x->gpr[i->rm]
                                         : mem_load64(v, i->seg, insn_offset(v, i)));
    }
    return (int32_t)(i->rm != RM_MEM ? (uint32_t)x->gpr[i->rm]
                                     : mem_load32(v, i->seg, insn_offset(v, i)));
}

static void cvtsi2ss(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    int64_t s = general_source(v, i, x);
    struct sf_env env = sse_env(x);
    uint32_t result = int_to_32(&env, s);

    sse_report(v, x, &env);
    x->vec[i->reg].d[0] = result;
}

static void cvtsi2sd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    int64_t s = general_source(v, i, x);
    struct sf_env env = sse_env(x);
    uint64_t result = int_to_64(&env, s);

    sse_report(v, x, &env);
    x->vec[i->reg].q[0] = result;
}

static void ps2pi(struct vcpu *v, const struct insn *i, bool truncate)
{
    struct bp_x86_cpu *x = sse_mmx_enter(v);
    uint64_t s = xmm_source64(v, i, x);
    struct sf_env env = truncating(x, truncate);
    uint32_t low = (uint32_t)to_int32(&env, (uint32_t)s, 32);
    uint32_t high = (uint32_t)to_int32(&env, (uint32_t)(s >> 32), 32);

    mmx_touch(x);
    sse_report(v, x, &env);
    mmx_set(x, i->reg, pack2(low, high));
}

static void pd2pi(struct vcpu *v, const struct insn *i, bool truncate)
{
    struct bp_x86_cpu *x = sse_mmx_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    struct sf_env env = truncating(x, truncate);
    uint32_t low = (uint32_t)to_int64(&env, s->q[0], 32);
    uint32_t high = (uint32_t)to_int64(&env, s->q[1], 32);

    mmx_touch(x);
    sse_report(v, x, &env);
    mmx_set(x, i->reg, pack2(low, high));
}

static void ss2si(struct vcpu *v, const struct insn *i, bool truncate)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint32_t s = xmm_source32(v, i, x);
    struct sf_env env = truncating(x, truncate);
    int64_t result = to_int32(&env, s, i->rex & 8 ? 64 : 32);

    sse_report(v, x, &env);
    x->gpr[i->reg] = i->rex & 8 ? (uint64_t)result : (uint32_t)result;
}

static void sd2si(struct vcpu *v, const struct insn *i, bool truncate)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint64_t s = xmm_source64(v, i, x);
    struct sf_env env = truncating(x, truncate);
    int64_t result = to_int64(&env, s, i->rex & 8 ? 64 : 32);

    sse_report(v, x, &env);
    x->gpr[i->reg] = i->rex & 8 ? (uint64_t)result : (uint32_t)result;
}

static void cvtps2pi(struct vcpu *v, const struct insn *i) { ps2pi(v, i, false); }
static void cvttps2pi(struct vcpu *v, const struct insn *i) { ps2pi(v, i, true); }
static void cvtpd2pi(struct vcpu *v, const struct insn *i) { pd2pi(v, i, false); }
static void cvttpd2pi(struct vcpu *v, const struct insn *i) { pd2pi(v, i, true); }
static void cvtss2si(struct vcpu *v, const struct insn *i) { ss2si(v, i, false); }
static void cvttss2si(struct vcpu *v, const struct insn *i) { ss2si(v, i, true); }
static void cvtsd2si(struct vcpu *v, const struct insn *i) { sd2si(v, i, false); }
static void cvttsd2si(struct vcpu *v, const struct insn *i) { sd2si(v, i, true); }

static void cvtps2pd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint64_t s = xmm_source64(v, i, x);
    struct sf_env env = sse_env(x);
    uint64_t low = widen(&env, (uint32_t)s), high = widen(&env, (uint32_t)(s >> 32));

    sse_report(v, x, &env);
    x->vec[i->reg].q[0] = low;
    x->vec[i->reg].q[1] = high;
}

static void cvtpd2ps(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    struct sf_env env = sse_env(x);
    uint32_t low = narrow(&env, s->q[0]), high = narrow(&env, s->q[1]);

    sse_report(v, x, &env);
    x->vec[i->reg].q[0] = pack2(low, high);
    x->vec[i->reg].q[1] = 0;
}

static void cvtss2sd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint32_t s = xmm_source32(v, i, x);
    struct sf_env env = sse_env(x);
    uint64_t result = widen(&env, s);

    sse_report(v, x, &env);
    x->vec[i->reg].q[0] = result;
}

static void cvtsd2ss(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint64_t s = xmm_source64(v, i, x);
    struct sf_env env = sse_env(x);
    uint32_t result = narrow(&env, s);

    sse_report(v, x, &env);
    x->vec[i->reg].d[0] = result;
}

static void cvtdq2ps(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, out;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    struct sf_env env = sse_env(x);

    for (unsigned n = 0; n < 4; n++) {
        out.d[n] = int_to_32(&env, (int32_t)s->d[n]);
    }
    sse_report(v, x, &env);
    xmm_copy(&x->vec[i->reg], &out);
}

static void ps2dq(struct vcpu *v, const struct insn *i, bool truncate)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp, out;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    struct sf_env env = truncating(x, truncate);

    for (unsigned n = 0; n < 4; n++) {
        out.d[n] = (uint32_t)to_int32(&env, s->d[n], 32);
    }
    sse_report(v, x, &env);
    xmm_copy(&x->vec[i->reg], &out);
}

static void pd2dq(struct vcpu *v, const struct insn *i, bool truncate)
{
    struct bp_x86_cpu *x = sse_enter(v);
    union bp_x86_vec tmp;
    const union bp_x86_vec *s = xmm_source(v, i, x, &tmp);
    struct sf_env env = truncating(x, truncate);
    uint32_t low = (uint32_t)to_int64(&env, s->q[0], 32);
    uint32_t high = (uint32_t)to_int64(&env, s->q[1], 32);

    sse_report(v, x, &env);
    x->vec[i->reg].q[0] = pack2(low, high);
    x->vec[i->reg].q[1] = 0;
}

static void cvtps2dq(struct vcpu *v, const struct insn *i) { ps2dq(v, i, false); }
static void cvttps2dq(struct vcpu *v, const struct insn *i) { ps2dq(v, i, true); }
static void cvtpd2dq(struct vcpu *v, const struct insn *i) { pd2dq(v, i, false); }
static void cvttpd2dq(struct vcpu *v, const struct insn *i) { pd2dq(v, i, true); }

static void cvtdq2pd(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint64_t s = xmm_source64(v, i, x);
    struct sf_env env = sse_env(x);

    x->vec[i->reg].q[0] = int_to_64(&env, (int32_t)s);
    x->vec[i->reg].q[1] = int_to_64(&env, (int32_t)(s >> 32));
}

#define MODRM(fn) {fn, OP_MODRM, 0}

static const struct opcode table[4][256] = {
    [PREFIX_INDEX_NONE] = {
        [0x2a] = MODRM(cvtpi2ps), [0x2c] = MODRM(cvttps2pi), [0x2d] = MODRM(cvtps2pi),
        [0x5a] = MODRM(cvtps2pd), [0x5b] = MODRM(cvtdq2ps),
    },
    [PREFIX_INDEX_66] = {
        [0x2a] = MODRM(cvtpi2pd), [0x2c] = MODRM(cvttpd2pi), [0x2d] = MODRM(cvtpd2pi),
        [0x5a] = MODRM(cvtpd2ps), [0x5b] = MODRM(cvtps2dq), [0xe6] = MODRM(cvttpd2dq),
    },
    [PREFIX_INDEX_F3] = {
        [0x2a] = MODRM(cvtsi2ss), [0x2c] = MODRM(cvttss2si), [0x2d] = MODRM(cvtss2si),
        [0x5a] = MODRM(cvtss2sd), [0x5b] = MODRM(cvttps2dq), [0xe6] = MODRM(cvtdq2pd),
    },
    [PREFIX_INDEX_F2] = {
        [0x2a] = MODRM(cvtsi2sd), [0x2c] = MODRM(cvttsd2si), [0x2d] = MODRM(cvtsd2si),
        [0x5a] = MODRM(cvtsd2ss), [0xe6] = MODRM(cvtpd2dq),
    },
};

const struct opcode *sse_convert_opcode(unsigned prefix, uint8_t byte)
{
    return &table[prefix][byte];
}
