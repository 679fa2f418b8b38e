/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS, XGETBV and XSETBV. Intel SDM volume 1, chapter 13.
 * What is in its initial state is found by looking at it; nothing is tracked as modified since the last
 * XRSTOR (13.6 allows that).
 */
#include "fp-access.h"
#include "xsave.h"

#define HEADER 512u
#define COMPACTED (UINT64_C(1) << 63)
#define GP0(v) raise_exception_code(v, EXC_GP, 0)

static bool is_zero(const void *p, size_t size)
{
    const uint8_t *b = p;

    while (size--) {
        if (*b++)
            return false;
    }
    return true;
}

static bool x87_in_use(const struct bp_x86_cpu *x)
{
    return x->fcw != 0x37f || x->fsw || x->fpu_valid || x->fop || x->fip || x->fdp || x->fcs || x->fds ||
           !is_zero(x->fpr, sizeof(x->fpr));
}

uint64_t xsave_in_use(const struct bp_x86_cpu *x)
{
    uint64_t used = x87_in_use(x) ? BP_X86_XS_X87 : 0;

    for (unsigned n = 0; n < 32; n++) {
        const uint64_t *q = x->vec[n].q;

        if (n >= 16) {
            used |= is_zero(q, 64) ? 0 : BP_X86_XS_ZMM_16_31;
            continue;
        }
        used |= q[0] | q[1] ? BP_X86_XS_SSE : 0;
        used |= q[2] | q[3] ? BP_X86_XS_AVX : 0;
        used |= q[4] | q[5] | q[6] | q[7] ? BP_X86_XS_ZMM_HIGH : 0;
    }
    used |= is_zero(x->opmask, sizeof(x->opmask)) ? 0 : BP_X86_XS_OPMASK;
    return used | (x->pkru ? BP_X86_XS_PKRU : 0);
}

/* Registers that the mode has. */
static unsigned registers(const struct bp_x86_cpu *x)
{
    return code_is_64(x) ? 16 : 8;
}

/* A component behind the header, in `size` bytes: to the image, or from it (NULL: its initial state). */
static void component_get(const struct bp_x86_cpu *x, unsigned n, uint8_t *image)
{
    switch (n) {
    case 2:
        for (unsigned k = 0; k < registers(x); k++)
            memcpy(image + 16 * k, x->vec[k].b + 16, 16);
        break;
    case 5: memcpy(image, x->opmask, 64); break;
    case 6:
        for (unsigned k = 0; k < registers(x); k++)
            memcpy(image + 32 * k, x->vec[k].b + 32, 32);
        break;
    case 7: memcpy(image, x->vec + 16, 1024); break;
    case 9: memcpy(image, &x->pkru, 4); break;
    }
}

static void component_set(struct vcpu *v, struct bp_x86_cpu *x, unsigned n, const uint8_t *image)
{
    static const uint8_t zeros[1024];

    image = image ? image : zeros;
    switch (n) {
    case 2:
        for (unsigned k = 0; k < registers(x); k++)
            memcpy(x->vec[k].b + 16, image + 16 * k, 16);
        break;
    case 5: memcpy(x->opmask, image, 64); break;
    case 6:
        for (unsigned k = 0; k < registers(x); k++)
            memcpy(x->vec[k].b + 32, image + 32 * k, 32);
        break;
    case 7: memcpy(x->vec + 16, image, 1024); break;
    case 9:
        memcpy(&x->pkru, image, 4);
        tlb_flush(v, true);
        break;
    }
}

/* Bytes of a component that are there: the upper registers are 64-bit mode's. */
static unsigned component_bytes(const struct bp_x86_cpu *x, unsigned n, const struct bp_x86_component *c)
{
    return n == 2 || n == 6 ? c->size / 16 * registers(x) : n == 7 && !code_is_64(x) ? 0 : n == 9 ? 8 : c->size;
}

static unsigned place(uint64_t xcomp, unsigned n, const struct bp_x86_component *c)
{
    return xcomp & COMPACTED ? bp_x86_xsave_size(xcomp & (((uint64_t)1 << n) - 1), true) : c->offset;
}

static uint64_t area(struct vcpu *v, const struct insn *i, struct bp_x86_cpu *x)
{
    uint64_t offset, base;

    if (!(x->cr4 & CR4_OSXSAVE))
        raise_exception(v, EXC_UD);
    if (x->cr0 & CR0_TS)
        raise_exception(v, EXC_NM);
    offset = insn_offset(v, i);
    base = i->seg < BP_FS && code_is_64(x) ? 0 : x->seg[i->seg].base;
    if ((base + offset) & 63)
        GP0(v);
    return offset;
}

static uint64_t requested(const struct bp_x86_cpu *x)
{
    return x->gpr[BP_RDX] << 32 | (uint32_t)x->gpr[BP_RAX];
}

enum { XSAVE_PLAIN, XSAVE_OPTIMIZED, XSAVE_COMPACTED };

static void save_legacy(struct vcpu *v, const struct insn *i, const struct bp_x86_cpu *x, uint64_t offset,
                        uint64_t parts, bool mxcsr)
{
    uint8_t image[416] = {0};
    uint32_t words[2] = {x->mxcsr, MXCSR_VALID};

    if (parts & BP_X86_XS_X87) {
        fx_get_x87(x, i->rex & 8, image);
        mem_store(v, i->seg, offset, image, 24);
        mem_store(v, i->seg, offset + 32, image + 32, 128);
    }
    if (mxcsr)
        mem_store(v, i->seg, offset + 24, words, 8);
    if (parts & BP_X86_XS_SSE) {
        for (unsigned n = 0; n < registers(x); n++)
            memcpy(image + 160 + 16 * n, &x->vec[n], 16);
        mem_store(v, i->seg, offset + 160, image + 160, 16 * registers(x));
    }
}

static void save(struct vcpu *v, const struct insn *i, unsigned kind, uint64_t allowed)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t offset = area(v, i, x), mask = requested(x) & allowed, used = xsave_in_use(x), parts, header[2];
    uint8_t image[1024];

    if (kind == XSAVE_COMPACTED && x->mxcsr != MXCSR_RESET)
        used |= BP_X86_XS_SSE;
    parts = kind == XSAVE_PLAIN ? mask : mask & used;
    header[0] = mask & used;
    header[1] = mask | COMPACTED;
    if (kind != XSAVE_COMPACTED) {
        header[0] |= mem_load64(v, i->seg, offset + HEADER) & ~mask;
        header[1] = 0;
    }
    save_legacy(v, i, x, offset, parts, kind == XSAVE_COMPACTED ? (parts & BP_X86_XS_SSE) != 0
                                                                : (mask & (BP_X86_XS_SSE | BP_X86_XS_AVX)) != 0);
    for (unsigned n = 2; n < 10; n++) {
        const struct bp_x86_component *c = parts >> n & 1 ? bp_x86_component(n) : NULL;
        unsigned bytes = c ? component_bytes(x, n, c) : 0;

        if (!bytes)
            continue;
        memset(image, 0, sizeof(image));
        component_get(x, n, image);
        for (unsigned at = 0; at < bytes; at += 512) /* accesses have a limit */
            mem_store(v, i->seg, offset + place(header[1], n, c) + at, image + at, bytes - at < 512 ? bytes - at : 512);
    }
    mem_store(v, i->seg, offset + HEADER, header, kind == XSAVE_COMPACTED ? 16 : 8);
}

static void restore_legacy(struct vcpu *v, const struct insn *i, struct bp_x86_cpu *x, const uint8_t *image,
                           uint64_t mask, uint64_t present)
{
    if (mask & BP_X86_XS_X87) {
        if (present & BP_X86_XS_X87)
            fx_set_x87(x, i->rex & 8, image);
        else
            fx_init_x87(x);
    }
    if (mask & BP_X86_XS_SSE) {
        for (unsigned n = 0; n < registers(x); n++) {
            if (present & BP_X86_XS_SSE)
                memcpy(&x->vec[n], image + 160 + 16 * n, 16);
            else
                memset(&x->vec[n], 0, 16);
        }
    }
    (void)v;
}

static void restore(struct vcpu *v, const struct insn *i, uint64_t allowed, bool must_be_compact)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t offset = area(v, i, x), mask = requested(x) & allowed, header[8], present;
    uint8_t image[512], parts[10][1024];
    bool compact, loads_mxcsr;
    uint32_t mxcsr;

    mem_load(v, i->seg, offset + HEADER, header, sizeof(header));
    compact = header[1] & COMPACTED;
    if ((must_be_compact && !compact) || header[0] & ~allowed)
        GP0(v);
    if (compact ? header[1] & ~COMPACTED & ~allowed || header[0] & ~header[1] || !is_zero(header + 2, 48) ||
                      !feature(v, BP_X86_FW_D1_EAX, 1)
                : !is_zero(header + 1, 16))
        GP0(v);
    present = header[0] & mask;
    mem_load(v, i->seg, offset, image, sizeof(image));
    loads_mxcsr = compact ? present & BP_X86_XS_SSE : mask & (BP_X86_XS_SSE | BP_X86_XS_AVX);
    memcpy(&mxcsr, image + 24, 4);
    if (loads_mxcsr && mxcsr & ~MXCSR_VALID)
        GP0(v);
    for (unsigned n = 2; n < 10; n++) { /* all is there before anything changes */
        const struct bp_x86_component *c = present >> n & 1 ? bp_x86_component(n) : NULL;
        unsigned bytes = c ? component_bytes(x, n, c) : 0;

        for (unsigned at = 0; at < bytes; at += 512)
            mem_load(v, i->seg, offset + place(header[1], n, c) + at, parts[n] + at,
                     bytes - at < 512 ? bytes - at : 512);
    }
    restore_legacy(v, i, x, image, mask, present);
    if (loads_mxcsr)
        x->mxcsr = mxcsr;
    else if (compact && mask & BP_X86_XS_SSE)
        x->mxcsr = MXCSR_RESET;
    for (unsigned n = 2; n < 10; n++) {
        const struct bp_x86_component *c = mask >> n & 1 ? bp_x86_component(n) : NULL;

        if (c && component_bytes(x, n, c))
            component_set(v, x, n, present >> n & 1 ? parts[n] : NULL);
    }
}

static bool has(const struct vcpu *v, unsigned bit)
{
    return feature(v, BP_X86_FW_1_ECX, 26) && feature(v, BP_X86_FW_D1_EAX, bit);
}

bool xsave_group15(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;

    if (!feature(v, BP_X86_FW_1_ECX, 26) || op < 4 || (op == 6 && !has(v, 0)))
        return false;
    if (op == 5)
        restore(v, i, v->x->xcr0, false);
    else
        save(v, i, op == 4 ? XSAVE_PLAIN : XSAVE_OPTIMIZED, v->x->xcr0);
    return true;
}

bool xsave_group9(struct vcpu *v, const struct insn *i)
{
    unsigned op = i->modrm >> 3 & 7;
    uint64_t all = v->x->xcr0 | v->x->xss;

    if (op < 3 || op > 5 || !has(v, op == 4 ? 1 : 3) || i->prefixes & (PREFIX_66 | PREFIX_REP | PREFIX_REPNE))
        return false;
    if (op != 4) {
        if (!(v->x->cr4 & CR4_OSXSAVE))
            raise_exception(v, EXC_UD);
        privileged(v);
    }
    if (op == 3)
        restore(v, i, all, true);
    else
        save(v, i, XSAVE_COMPACTED, op == 4 ? v->x->xcr0 : all);
    return true;
}

/* XCR0: x87 always; AVX needs SSE; the parts of AVX-512 go together and need AVX. */
static bool valid_xcr0(const struct bp_x86_cpu *x, uint64_t value)
{
    uint64_t wide = BP_X86_XS_OPMASK | BP_X86_XS_ZMM_HIGH | BP_X86_XS_ZMM_16_31;

    return value & 1 && !(value & ~bp_x86_xcr0_valid(x)) && (!(value & BP_X86_XS_AVX) || value & BP_X86_XS_SSE) &&
           (!(value & wide) || ((value & wide) == wide && value & BP_X86_XS_AVX));
}

void exec_xgetbv(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    uint32_t index = (uint32_t)x->gpr[BP_RCX];
    uint64_t value = x->xcr0;

    (void)i;
    if (!(x->cr4 & CR4_OSXSAVE))
        raise_exception(v, EXC_UD);
    if (index == 1 && has(v, 2))
        value &= xsave_in_use(x);
    else if (index)
        GP0(v);
    x->gpr[BP_RAX] = (uint32_t)value;
    x->gpr[BP_RDX] = value >> 32;
}

void exec_xsetbv(struct vcpu *v, const struct insn *i)
{
    struct bp_x86_cpu *x = v->x;
    uint64_t value = requested(x);

    (void)i;
    if (!(x->cr4 & CR4_OSXSAVE))
        raise_exception(v, EXC_UD);
    privileged(v);
    if ((uint32_t)x->gpr[BP_RCX] || !valid_xcr0(x, value))
        GP0(v);
    x->xcr0 = value;
    end_block(v);
}
