/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * State of x87, MMX and SSE as a whole: reset, availability, FXSAVE and FXRSTOR, MXCSR, EMMS,
 * fences, prefetches and cache line flushes (memory is coherent and strongly ordered here, thus
 * the last three only check their operands). Intel SDM volume 1 chapters 8 to 10, volume 2.
 * XSAVE is in xsave.c.
 */
#include "fp-access.h"
#include "xsave.h"

_Noreturn void sse_unavailable(struct vcpu *v, const struct bp_x86_cpu *x)
{
    raise_exception(v, (x->cr0 & CR0_EM) || !(x->cr4 & CR4_OSFXSR) ? EXC_UD : EXC_NM);
}

void mmx_check(struct vcpu *v, const struct bp_x86_cpu *x)
{
    if (x->cr0 & CR0_EM) {
        raise_exception(v, EXC_UD);
    }
    if (x->cr0 & CR0_TS) {
        raise_exception(v, EXC_NM);
    }
    x87_check_pending(v, x);
}

void x87_error(struct vcpu *v)
{
    struct bp_x86_cpu *x = vcpu_state(v);

    if (x->cr0 & CR0_NE) {
        raise_exception(v, EXC_MF);
    }
    if (!x->ferr || x->ignne) {
        return;
    }
    x->ferr(x->ferr_opaque);
    v->frozen = 1;
    _longjmp(v->jmp, 1);
}

void fp_reset(struct bp_x86_cpu *x)
{
    x->fcw = 0x0040;
    x->fsw = 0;
    x->ignne = 0;
    x->fop = 0;
    x->fpu_valid = 0xff; /* reset tags are 5555h: valid, zero */
    x->fip = x->fdp = 0;
    x->fcs = x->fds = 0;
    memset(x->fpr, 0, sizeof(x->fpr));
    memset(x->vec, 0, sizeof(x->vec));
    x->mxcsr = MXCSR_RESET;
}

void fp_wait(struct vcpu *v)
{
    struct bp_x86_cpu *x = vcpu_state(v);

    if ((x->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
        raise_exception(v, EXC_NM);
    }
    x87_check_pending(v, x);
}

static void put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *p, uint32_t value)
{
    put16(p, (uint16_t)value);
    put16(p + 2, (uint16_t)(value >> 16));
}

static void put64(uint8_t *p, uint64_t value)
{
    put32(p, (uint32_t)value);
    put32(p + 4, (uint32_t)(value >> 32));
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* XMM registers that FXSAVE moves: none with the fast mode of long mode's privilege level 0. */
static unsigned fxsave_xmm_count(const struct bp_x86_cpu *x)
{
    if (!code_is_64(x)) {
        return 8;
    }
    return (x->efer & EFER_FFXSR) && (x->seg[BP_SS].attr >> 5 & 3) == 0 ? 0 : 16;
}

/* Unlike other aligned operands, what the segment forbids goes before the alignment. */
static uint64_t image_offset(struct vcpu *v, const struct insn *i, const struct bp_x86_cpu *x)
{
    uint64_t linear = seg_linear(v, i->seg, insn_offset(v, i), 16, false);

    if (i->seg == BP_SS && !is_canonical(v, linear)) {
        raise_exception_code(v, EXC_SS, 0);
    }
    return aligned_offset(v, i, x, 16);
}

void fx_get_x87(const struct bp_x86_cpu *x, bool wide, uint8_t *image)
{
    unsigned top = x->fsw >> 11 & 7;

    put16(image, x->fcw);
    put16(image + 2, x->fsw);
    image[4] = x->fpu_valid;
    image[5] = 0;
    put16(image + 6, x->fop);
    if (wide) {
        put64(image + 8, x->fip);
        put64(image + 16, x->fdp);
    } else {
        put32(image + 8, (uint32_t)x->fip);
        put16(image + 12, x->fcs);
        put16(image + 14, 0);
        put32(image + 16, (uint32_t)x->fdp);
        put16(image + 20, x->fds);
        put16(image + 22, 0);
    }
    for (unsigned n = 0; n < 8; n++) {
        const struct bp_x86_st *st = &x->fpr[(top + n) & 7];

        put64(image + 32 + 16 * n, st->mantissa);
        put16(image + 40 + 16 * n, st->sign_exponent);
        memset(image + 42 + 16 * n, 0, 6);
    }
}

void fx_set_x87(struct bp_x86_cpu *x, bool wide, const uint8_t *image)
{
    unsigned top;

    x->fcw = (get16(image) & 0x1f3f) | 0x0040;
    x->fsw = get16(image + 2);
    x->fpu_valid = image[4];
    x->fop = get16(image + 6) & 0x07ff;
    if (wide) {
        x->fip = get64(image + 8);
        x->fdp = get64(image + 16);
        x->fcs = x->fds = 0;
    } else {
        x->fip = get32(image + 8);
        x->fcs = get16(image + 12);
        x->fdp = get32(image + 16);
        x->fds = get16(image + 20);
    }
    /* The summary bits follow from flags and masks. */
    x->fsw &= (uint16_t)~(FSW_ES | FSW_BUSY);
    if (x->fsw & ~x->fcw & 0x3f) {
        x->fsw |= FSW_ES | FSW_BUSY;
    } else {
        x->ignne = 0;
    }
    top = x->fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++) {
        struct bp_x86_st *st = &x->fpr[(top + n) & 7];

        st->mantissa = get64(image + 32 + 16 * n);
        st->sign_exponent = get16(image + 40 + 16 * n);
    }
}

void fx_init_x87(struct bp_x86_cpu *x)
{
    x->fcw = 0x37f;
    x->fsw = x->fop = x->fcs = x->fds = 0;
    x->ignne = 0;
    x->fpu_valid = 0;
    x->fip = x->fdp = 0;
    memset(x->fpr, 0, sizeof(x->fpr));
}

static void fxsave(struct vcpu *v, const struct insn *i, struct bp_x86_cpu *x)
{
    uint64_t offset = image_offset(v, i, x);
    unsigned xmm = fxsave_xmm_count(x);
    uint8_t image[416];

    fx_get_x87(x, i->rex & 8, image);
    put32(image + 24, x->mxcsr);
    put32(image + 28, MXCSR_VALID);
    for (unsigned n = 0; n < xmm; n++) {
        memcpy(image + 160 + 16 * n, &x->vec[n], 16);
    }
    /* XMM registers that do not take part keep the memory's content. */
    mem_store(v, i->seg, offset, image, 160 + 16 * xmm);
}

static void fxrstor(struct vcpu *v, const struct insn *i, struct bp_x86_cpu *x)
{
    uint64_t offset = image_offset(v, i, x);
    unsigned xmm = fxsave_xmm_count(x);
    uint8_t image[512];

    mem_load(v, i->seg, offset, image, sizeof(image));
    if (get32(image + 24) & ~MXCSR_VALID) {
        raise_exception_code(v, EXC_GP, 0);
    }
    fx_set_x87(x, i->rex & 8, image);
    x->mxcsr = get32(image + 24);
    for (unsigned n = 0; n < xmm; n++) {
        memcpy(&x->vec[n], image + 160 + 16 * n, 16);
    }
}

static void ldmxcsr(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);
    uint32_t value = mem_load32(v, i->seg, insn_offset(v, i));

    if (value & ~MXCSR_VALID) {
        raise_exception_code(v, EXC_GP, 0);
    }
    x->mxcsr = value;
}

static void stmxcsr(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = sse_enter(v);

    mem_store32(v, i->seg, insn_offset(v, i), x->mxcsr);
}

/* 0F AE without prefix */
static void group_ae(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = vcpu_state(v);
    unsigned op = i->modrm >> 3 & 7;

    if (i->rm != RM_MEM) {
        if (op < 5) {
            raise_exception(v, EXC_UD);
        }
        return; /* LFENCE, MFENCE, SFENCE */
    }
    if (op <= 1) {
        if (x->cr0 & (CR0_EM | CR0_TS)) {
            raise_exception(v, EXC_NM);
        }
        if (op == 0) {
            fxsave(v, i, x);
        } else {
            fxrstor(v, i, x);
        }
    } else if (op == 2) {
        ldmxcsr(v, i);
    } else if (op == 3) {
        stmxcsr(v, i);
    } else if (op == 7) {
        mem_load8(v, i->seg, insn_offset(v, i)); /* CLFLUSH faults as a byte load does */
    } else if (!xsave_group15(v, i)) {
        raise_exception(v, EXC_UD);
    }
}

/* CLFLUSHOPT, CLWB: like CLFLUSH */
static void group_ae_66(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (i->rm == RM_MEM && ((op == 7 && feature(v, BP_X86_FW_7_EBX, 23)) ||
                            (op == 6 && feature(v, BP_X86_FW_7_EBX, 24))))
        mem_load8(v, i->seg, insn_offset(v, i));
    else
        raise_exception(v, EXC_UD);
}

/* PREFETCHh, PREFETCHW and the reserved hints beside them: no access, no fault. */
static void hint(struct vcpu *v, const struct insn *i)
{
    (void)v;
    (void)i;
}

static void emms(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = mmx_enter(v);

    (void)i;
    x->fpu_valid = 0;
    x->fsw &= (uint16_t)~FSW_TOP;
}

static const struct opcode op_ae = {group_ae, OP_MODRM, 0};
static const struct opcode op_ae_66 = {group_ae_66, OP_MODRM, 0};
static const struct opcode op_hint = {hint, OP_MODRM, 0};
static const struct opcode op_emms = {emms, 0, 0};
static const struct opcode none;

const struct opcode *sse_state_opcode(unsigned prefix, uint8_t byte)
{
    if (byte == 0x18 || byte == 0x0d) {
        return &op_hint;
    }
    if (prefix == PREFIX_INDEX_66 && byte == 0xae) {
        return &op_ae_66;
    }
    if (prefix == PREFIX_INDEX_NONE) {
        return byte == 0xae ? &op_ae : byte == 0x77 ? &op_emms : &none;
    }
    return &none;
}

const struct opcode *sse_opcode(unsigned prefix, uint8_t byte)
{
    static const struct opcode *(*const families[])(unsigned, uint8_t) = {
        sse_move_opcode, sse_integer_opcode, sse_shuffle_opcode, sse_float_opcode,
        sse_convert_opcode, sse_state_opcode,
    };

    if (prefix > PREFIX_INDEX_F2) {
        return NULL;
    }
    for (unsigned n = 0; n < sizeof(families) / sizeof(families[0]); n++) {
        const struct opcode *op = families[n](prefix, byte);

        if (op->exec) {
            return op;
        }
    }
    return NULL;
}
