/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x87 loads, stores, conversions to and from integers and packed BCD, exchanges and conditional
 * moves. Intel SDM volume 1 chapter 8, volume 2.
 */
#include "x87.h"

/* Loads of shorter formats. Unless the stack overflows, signalling NaNs and denormals are reported;
 * of unmasked exceptions only the former keeps the value from being pushed. */
static void load_number(struct bp_x86_cpu *x, struct sf_num a)
{
    struct sf_env env = x87_env_full(x);
    struct sf_wide w;
    struct bp_x86_st value;

    if (!x87_empty(x, 7)) {
        x87_push(x, x87_indefinite());
        return;
    }
    env.unmasked &= (uint8_t)~SF_DE;
    w = sf_convert(&env, a, true);
    value = sf_pack80(&env, &w);
    if (x87_report(x, &env)) {
        x87_push(x, value);
    }
}

#define LOAD(name, size, number) \
    void name(struct vcpu *v, const struct insn *i) \
    { \
        struct bp_x86_cpu *x = x87_enter(v); \
        struct sf_env env = {.x87 = true}; \
        uint64_t offset = insn_offset(v, i); \
        uint64_t value = mem_load##size(v, i->seg, offset); \
        x87_note_memory(x, i, offset); \
        load_number(x, number); \
    }
LOAD(x87_fld_m32, 32, sf_unpack32(&env, (uint32_t)value))
LOAD(x87_fld_m64, 64, sf_unpack64(&env, value))

static struct bp_x86_st integer_st(int64_t value)
{
    struct sf_env env = {.x87 = true, .precision = 64};
    struct sf_wide w = sf_from_int(value);

    return sf_pack80(&env, &w); /* exact */
}

#define LOAD_INTEGER(name, size) \
    void name(struct vcpu *v, const struct insn *i) \
    { \
        struct bp_x86_cpu *x = x87_enter(v); \
        uint64_t offset = insn_offset(v, i); \
        int64_t value = (int##size##_t)mem_load##size(v, i->seg, offset); \
        x87_note_memory(x, i, offset); \
        x87_push(x, integer_st(value)); \
    }
LOAD_INTEGER(x87_fild16, 16)
LOAD_INTEGER(x87_fild32, 32)
LOAD_INTEGER(x87_fild64, 64)

static struct bp_x86_st load_80(const uint8_t *image)
{
    struct bp_x86_st st = {0};

    for (unsigned n = 0; n < 8; n++) {
        st.mantissa |= (uint64_t)image[n] << 8 * n;
    }
    st.sign_exponent = (uint16_t)(image[8] | image[9] << 8);
    return st;
}

static void store_80(uint8_t *image, struct bp_x86_st st)
{
    for (unsigned n = 0; n < 8; n++) {
        image[n] = (uint8_t)(st.mantissa >> 8 * n);
    }
    image[8] = (uint8_t)st.sign_exponent;
    image[9] = (uint8_t)(st.sign_exponent >> 8);
}

void x87_fld_m80(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    uint64_t offset = insn_offset(v, i);
    uint8_t image[10];

    mem_load(v, i->seg, offset, image, sizeof(image));
    x87_note_memory(x, i, offset);
    x87_push(x, load_80(image));
}

void x87_fld_st(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    unsigned n = i->modrm & 7;

    x87_note(x, i);
    if (x87_empty(x, n)) {
        if (x87_stack_fault(x, false)) {
            x87_set_top(x, x87_top(x) - 1);
            x87_set(x, 0, x87_indefinite());
        }
        return;
    }
    x87_push(x, *x87_st(x, n));
}

/* FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: truncated, and how the rest compares with one
 * half of the last place. */
void x87_fld_constant(struct vcpu *v, const struct insn *i)
{
    static const struct {
        uint64_t truncated;
        uint16_t exponent;
        uint8_t rest; /* 0 exact, 1 below one half, 2 above */
    } constants[] = {
        {UINT64_C(0x8000000000000000), 0x3fff, 0}, {UINT64_C(0xd49a784bcd1b8afe), 0x4000, 1},
        {UINT64_C(0xb8aa3b295c17f0bb), 0x3fff, 2}, {UINT64_C(0xc90fdaa22168c234), 0x4000, 2},
        {UINT64_C(0x9a209a84fbcff798), 0x3ffd, 2}, {UINT64_C(0xb17217f7d1cf79ab), 0x3ffe, 2},
        {0, 0, 0},
    };
    struct bp_x86_cpu *x = x87_enter(v);
    unsigned n = i->modrm & 7, rounding = x->fcw >> 10 & 3;
    bool up = constants[n].rest && (rounding == SF_UP ||
                                    (rounding == SF_NEAREST && constants[n].rest == 2));

    x87_note(x, i);
    x87_push(x, (struct bp_x86_st){.mantissa = constants[n].truncated + up,
                                   .sign_exponent = constants[n].exponent});
}

/* Memory is written before registers change, as it may fault; what an unmasked exception forbids is
 * not written, but is checked all the same. */
static void store_small(struct vcpu *v, const struct insn *i, unsigned size, bool pop)
{
    struct bp_x86_cpu *x = x87_enter(v);
    uint64_t offset = insn_offset(v, i), value;
    bool empty = x87_empty(x, 0);
    struct sf_env env = x87_env(x);
    struct sf_wide w;
    unsigned stops = SF_BEFORE | SF_OE | SF_UE;

    if (empty) {
        w = sf_indefinite();
        env.flags = SF_IE;
        env.unmasked &= (uint8_t)~SF_BEFORE; /* packs the default NaN */
    } else {
        w = sf_convert(&env, x87_num(x, 0), false);
    }
    value = size == 4 ? sf_pack32(&env, &w) : sf_pack64(&env, &w);
    env.unmasked = ~x->fcw & FSW_EXCEPTIONS;
    if (env.flags & env.unmasked & (SF_OE | SF_UE)) {
        env.flags &= (uint8_t)~SF_PE; /* nothing is stored, thus nothing was rounded */
        env.up = false;
    }
    if (!(env.flags & env.unmasked & stops)) {
        if (size == 4) {
            mem_store32(v, i->seg, offset, (uint32_t)value);
        } else {
            mem_store64(v, i->seg, offset, value);
        }
    }
    x87_note_memory(x, i, offset);
    if (empty) {
        x87_stack_fault(x, false);
    } else {
        x87_report(x, &env);
    }
    if (pop && !(env.flags & env.unmasked & stops)) {
        x87_pop(x);
    }
}

void x87_fst_m32(struct vcpu *v, const struct insn *i) { store_small(v, i, 4, false); }
void x87_fstp_m32(struct vcpu *v, const struct insn *i) { store_small(v, i, 4, true); }
void x87_fst_m64(struct vcpu *v, const struct insn *i) { store_small(v, i, 8, false); }
void x87_fstp_m64(struct vcpu *v, const struct insn *i) { store_small(v, i, 8, true); }

void x87_fstp_m80(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    uint64_t offset = insn_offset(v, i);
    bool empty = x87_empty(x, 0);
    uint8_t image[10];

    if (!empty || (x->fcw & SF_IE)) {
        store_80(image, empty ? x87_indefinite() : *x87_st(x, 0));
        mem_store(v, i->seg, offset, image, sizeof(image));
    }
    x87_note_memory(x, i, offset);
    x87_set_c1(x, false);
    if (!empty || x87_stack_fault(x, false)) {
        x87_pop(x);
    }
}

static void store_st(struct vcpu *v, const struct insn *i, bool pop)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x87_note(x, i);
    x87_set_c1(x, false);
    if (x87_empty(x, 0)) {
        if (!x87_stack_fault(x, false)) {
            return;
        }
        x87_set(x, i->modrm & 7, x87_indefinite());
    } else {
        x87_set(x, i->modrm & 7, *x87_st(x, 0));
    }
    if (pop) {
        x87_pop(x);
    }
}

void x87_fst_st(struct vcpu *v, const struct insn *i) { store_st(v, i, false); }
void x87_fstp_st(struct vcpu *v, const struct insn *i) { store_st(v, i, true); }

/* An encoding outside of the manual: no stack fault, nothing moves from an empty register. */
void x87_fstp_unchecked(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x87_note(x, i);
    x87_set_c1(x, false);
    if (!x87_empty(x, 0)) {
        x87_set(x, i->modrm & 7, *x87_st(x, 0));
    }
    x87_pop(x);
}

static void store_integer(struct vcpu *v, const struct insn *i, unsigned bits, bool truncate,
                          bool pop)
{
    struct bp_x86_cpu *x = x87_enter(v);
    uint64_t offset = insn_offset(v, i), value = ~UINT64_C(0) << (bits - 1);
    bool empty = x87_empty(x, 0);
    struct sf_env env = x87_env(x);

    if (truncate) {
        env.rounding = SF_ZERO;
    }
    if (empty) {
        env.flags = SF_IE;
    } else {
        value = (uint64_t)sf_to_int(&env, x87_num(x, 0), bits);
    }
    if (!(env.flags & env.unmasked & SF_IE)) {
        if (bits == 16) {
            mem_store16(v, i->seg, offset, (uint16_t)value);
        } else if (bits == 32) {
            mem_store32(v, i->seg, offset, (uint32_t)value);
        } else {
            mem_store64(v, i->seg, offset, value);
        }
    }
    x87_note_memory(x, i, offset);
    if (empty) {
        x87_stack_fault(x, false);
    } else {
        x87_report(x, &env);
    }
    if (pop && !(env.flags & env.unmasked & SF_IE)) {
        x87_pop(x);
    }
}

void x87_fist16(struct vcpu *v, const struct insn *i) { store_integer(v, i, 16, false, false); }
void x87_fist32(struct vcpu *v, const struct insn *i) { store_integer(v, i, 32, false, false); }
void x87_fistp16(struct vcpu *v, const struct insn *i) { store_integer(v, i, 16, false, true); }
void x87_fistp32(struct vcpu *v, const struct insn *i) { store_integer(v, i, 32, false, true); }
void x87_fistp64(struct vcpu *v, const struct insn *i) { store_integer(v, i, 64, false, true); }
void x87_fisttp16(struct vcpu *v, const struct insn *i) { store_integer(v, i, 16, true, true); }
void x87_fisttp32(struct vcpu *v, const struct insn *i) { store_integer(v, i, 32, true, true); }
void x87_fisttp64(struct vcpu *v, const struct insn *i) { store_integer(v, i, 64, true, true); }

void x87_fbld(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    uint64_t offset = insn_offset(v, i), value = 0;
    uint8_t image[10];
    struct bp_x86_st st;

    mem_load(v, i->seg, offset, image, sizeof(image));
    for (int n = 8; n >= 0; n--) { /* digits above 9 are undefined; they count as they are */
        value = value * 100 + (image[n] >> 4) * 10u + (image[n] & 15);
    }
    st = integer_st((int64_t)value);
    st.sign_exponent |= (uint16_t)((image[9] & 0x80) << 8);
    x87_note_memory(x, i, offset);
    x87_push(x, st);
}

void x87_fbstp(struct vcpu *v, const struct insn *i)
{
    static const uint8_t indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
    static const int64_t limit = INT64_C(1000000000000000000);
    struct bp_x86_cpu *x = x87_enter(v);
    uint64_t offset = insn_offset(v, i);
    bool empty = x87_empty(x, 0);
    struct sf_env env = x87_env(x);
    struct sf_num a = x87_num(x, 0);
    uint8_t image[10];
    int64_t value = 0;

    if (!empty) {
        value = sf_to_int(&env, a, 64);
    }
    if (empty || (env.flags & SF_IE) || value >= limit || value <= -limit) {
        env.flags = SF_IE;
        env.up = false;
        memcpy(image, indefinite, sizeof(image));
    } else {
        uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;

        for (unsigned n = 0; n < 9; n++, magnitude /= 100) {
            image[n] = (uint8_t)(magnitude % 10 | magnitude / 10 % 10 << 4);
        }
        image[9] = a.sign ? 0x80 : 0;
    }
    if (!(env.flags & env.unmasked & SF_IE)) {
        mem_store(v, i->seg, offset, image, sizeof(image));
    }
    x87_note_memory(x, i, offset);
    if (empty) {
        x87_stack_fault(x, false);
    } else {
        x87_report(x, &env);
    }
    if (!(env.flags & env.unmasked & SF_IE)) {
        x87_pop(x);
    }
}

void x87_fxch(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);
    unsigned n = i->modrm & 7;
    struct bp_x86_st low, high;

    x87_note(x, i);
    x87_set_c1(x, false);
    if ((x87_empty(x, 0) || x87_empty(x, n)) && !x87_stack_fault(x, false)) {
        return;
    }
    low = x87_empty(x, 0) ? x87_indefinite() : *x87_st(x, 0);
    high = x87_empty(x, n) ? x87_indefinite() : *x87_st(x, n);
    x87_set(x, 0, high);
    x87_set(x, n, low);
}

void x87_fcmov(struct vcpu *v, const struct insn *i)
{
    static const uint8_t masks[4] = {0x01, 0x40, 0x41, 0x04}; /* CF, ZF, CF or ZF, PF */
    struct bp_x86_cpu *x = x87_enter(v);
    unsigned n = i->modrm & 7;
    bool set = (arith_flags(v) & masks[i->modrm >> 3 & 3]) != 0;
    bool negated = i->opcode & 1; /* DB */

    x87_note(x, i);
    if (x87_empty(x, 0) || x87_empty(x, n)) {
        if (x87_stack_fault(x, false)) {
            x87_set(x, 0, x87_indefinite());
        }
    } else if (set != negated) {
        x87_set(x, 0, *x87_st(x, n));
    }
}

void x87_ffree(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x87_note(x, i);
    x87_set_c1(x, false);
    x->fpu_valid &= (uint8_t)~(1u << ((x87_top(x) + i->modrm) & 7));
}

void x87_ffreep(struct vcpu *v, const struct insn *i)
{
    x87_ffree(v, i);
    x87_pop(vcpu_state(v));
}

void x87_fincstp(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x87_note(x, i);
    x87_set_c1(x, false);
    x87_set_top(x, x87_top(x) + 1);
}

void x87_fdecstp(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = x87_enter(v);

    x87_note(x, i);
    x87_set_c1(x, false);
    x87_set_top(x, x87_top(x) - 1);
}

void x87_fnop(struct vcpu *v, const struct insn *i)
{
    x87_note(x87_enter(v), i);
}
