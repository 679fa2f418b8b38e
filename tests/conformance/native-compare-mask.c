/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What native-compare does not ask for: where manuals leave the outcome open, and where a vendor's
 * processors do otherwise. docs/conformance.md lists the latter with the reason; the interpreter
 * does the same on every host (test-choices). Each mask of a vendor takes exactly the deviation that
 * is known, leaves the rest to be compared, and is counted.
 */
#include "native-compare.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FSW_ES 0x80u
#define FSW_TOP 0x3800u
#define UNDERFLOW 0x10u /* in status and control words */
#define ARITHMETIC_FLAGS 0x8d5u
#define MXCSR_MASK 28u /* in the image of FXSAVE */

enum deviation { MMX_STORE, MXCSR_BITS, X87_STORE, REP_FLAGS, MOVSXD_SIZE, FPREM_INFINITY, STACK_FAULT,
                 SHA_ALIGNMENT, STRING_VVVV, MOVDDUP_FAULT, MASKED_WRAP, NOT_BEGUN, GATHER_MASK, DOT_NAN, HALF_FLAGS,
                 DEVIATIONS };
static uint64_t seen[DEVIATIONS];

static uint16_t status_word(const struct state *s)
{
    uint16_t fsw;

    memcpy(&fsw, s->fx + 2, 2);
    return fsw;
}

static void set_status_word(struct state *s, uint16_t fsw)
{
    memcpy(s->fx + 2, &fsw, 2);
}

static bool is_memory_fault(const struct outcome *o)
{
    return o->vector == 12 || o->vector == 13 || o->vector == 14;
}

/* A store of an MMX register that faults has cleared TOP on Intel's processors; a fault should
 * leave everything as it was. ST(n) are the same registers, turned. */
static bool mmx_store_lost_top(const struct test_case *c, struct outcome *h,
                               const struct outcome *g)
{
    bool store = c->opcode == 0x0f7e || c->opcode == 0x0f7f || c->opcode == 0x0fe7;
    uint16_t before = status_word(&c->start), after = status_word(&h->state);
    unsigned top = before >> 11 & 7;
    uint8_t turned[128];

    if (c->prefix || !store || !is_memory_fault(h) || !is_memory_fault(g) || !top ||
        (after & FSW_TOP)) {
        return false;
    }
    for (unsigned n = 0; n < 8; n++) {
        memcpy(turned + 16 * n, h->state.fx + 32 + 16 * ((n + top) & 7), 16);
    }
    memcpy(h->state.fx + 32, turned, sizeof(turned));
    set_status_word(&h->state, (uint16_t)(after | (before & FSW_TOP)));
    return true;
}

/* FXSAVE's MXCSR_MASK has a bit for each that MXCSR has; the host's own image tells its own. */
static bool mask_has_own_bits(const struct test_case *c, struct outcome *h,
                              const struct outcome *g)
{
    uint64_t at = c->target + MXCSR_MASK - WINDOW_BASE;
    uint32_t guest_mask;

    if (c->opcode != 0x0fae || c->prefix || (c->reg & 7) || !c->memory || at > WINDOW_SIZE - 4 ||
        h->vector != NO_FAULT || g->vector != NO_FAULT) {
        return false;
    }
    memcpy(&guest_mask, g->state.memory + at, 4);
    if (guest_mask != 0xffff || memcmp(h->state.memory + at, h->state.fx + MXCSR_MASK, 4) ||
        !memcmp(h->state.memory + at, g->state.memory + at, 4)) {
        return false;
    }
    memcpy(h->state.memory + at, &guest_mask, 4);
    return true;
}

static bool is_x87_store(const struct test_case *c)
{
    static const uint8_t stores[8] = {[1] = 0x0c, [3] = 0x8e, [5] = 0x0e, [7] = 0xce};

    return c->floating && c->memory && (stores[c->opcode & 7] >> (c->reg & 7) & 1);
}

/* An x87 store that does not store, for an exception it raises is unmasked: the address is looked
 * at all the same, and its fault comes first. */
static bool x87_store_faulted(const struct test_case *c, const struct outcome *h,
                              struct outcome *g)
{
    uint16_t before = status_word(&c->start), after = status_word(&g->state);

    if (!is_x87_store(c) || !is_memory_fault(h) || g->vector != NO_FAULT || (before & FSW_ES) ||
        !(after & FSW_ES)) {
        return false;
    }
    set_status_word(&g->state, before);
    g->state.rip = c->start.rip;
    g->vector = h->vector;
    g->error = h->error;
    g->cr2 = h->cr2;
    return true;
}

/* A REP compare or scan that faults: flags of the last iteration, not those before the first. */
static bool rep_left_flags(const struct test_case *c, struct outcome *h, const struct outcome *g)
{
    uint8_t kind = c->opcode & 0xfe;

    if (!c->repeat || (kind != 0xa6 && kind != 0xae) || !is_memory_fault(h) ||
        !is_memory_fault(g) || h->state.gpr[1] == c->start.gpr[1] ||
        !((h->state.rflags ^ g->state.rflags) & ARITHMETIC_FLAGS) ||
        ((g->state.rflags ^ c->start.rflags) & ARITHMETIC_FLAGS)) {
        return false;
    }
    h->state.rflags = (h->state.rflags & ~(uint64_t)ARITHMETIC_FLAGS) |
                      (g->state.rflags & ARITHMETIC_FLAGS);
    return true;
}

/* MOVSXD with 66 reads four bytes of memory for two: it faults if two more are not there. */
static bool movsxd_read_four(const struct test_case *c, const struct outcome *h, struct outcome *g)
{
    if (c->opcode != 0x63 || c->opsize != 2 || !c->memory || !is_memory_fault(h) ||
        g->vector != NO_FAULT || (h->vector == 14 && h->cr2 % 0x1000)) {
        return false;
    }
    memcpy(&g->state.gpr[c->reg], &c->start.gpr[c->reg], 2);
    g->state.rip = c->start.rip;
    g->vector = h->vector;
    g->error = h->error;
    g->cr2 = h->cr2;
    return true;
}

/* FPREM by infinity with underflow unmasked: nothing is to be computed, yet a denormal dividend is
 * rounded again, which underflows. */
static bool fprem_underflowed(const struct test_case *c, struct outcome *h,
                              const struct outcome *g)
{
    static const uint8_t infinity[8] = {[7] = 0x80};
    const uint8_t *fx = c->start.fx, *divisor = fx + 48;
    uint8_t last = c->bytes[c->length - 1];

    if (c->opcode != 0xd9 || c->memory || (last != 0xf8 && last != 0xf5) || (fx[0] & UNDERFLOW) ||
        memcmp(divisor, infinity, 8) || (divisor[8] | (divisor[9] & 0x7f) << 8) != 0x7fff ||
        !(h->state.fx[2] & UNDERFLOW) || (g->state.fx[2] & UNDERFLOW) ||
        memcmp(g->state.fx + 32, fx + 32, 10)) {
        return false;
    }
    set_status_word(&h->state, status_word(&g->state));
    memcpy(h->state.fx + 32, fx + 32, 10);
    return true;
}

/* An operand through the stack segment that is neither aligned nor canonical: #SS or #GP. */
static bool misaligned_is_stack_fault(const struct test_case *c, struct outcome *h,
                                      const struct outcome *g)
{
    int64_t high = (int64_t)(c->target + 511) >> 47; /* of the largest operand's last byte */

    if (!c->memory || c->opcode < 0x0f00 || h->vector != 12 || g->vector != 13 ||
        !(c->target % 16) || high == 0 || high == -1) {
        return false;
    }
    h->vector = 13;
    return true;
}

/* SHA with a memory operand that is not aligned works. */
static bool sha_takes_any_alignment(const struct test_case *c, const struct outcome *h, struct outcome *g)
{
    bool sha = (c->opcode >= 0x38c8 && c->opcode <= 0x38cd) || c->opcode == 0x3acc;

    if (!sha || c->vex || !c->memory || g->vector != 13 || h->vector == 13) {
        return false;
    }
    *g = *h;
    return true;
}

/* VPCMPxSTRx takes no register by VEX.vvvv, and does not look at it (family 17h). */
static bool string_compare_ignores_vvvv(const struct test_case *c, const struct outcome *h, struct outcome *g)
{
    const uint8_t *vex = memchr(c->bytes, 0xc4, c->length);

    if (!c->vex || c->opcode < 0x3a60 || c->opcode > 0x3a63 || !vex || (vex[2] >> 3 & 15) == 15 || g->vector != 6 ||
        h->vector == 6) {
        return false;
    }
    *g = *h;
    return true;
}

/* VMOVDDUP of 256 bits over the end of a page: the address that is told lies behind the page's first byte (17h). */
static bool movddup_faulted_further(const struct test_case *c, struct outcome *h, const struct outcome *g)
{
    if (!c->vex || c->opcode != 0x0f12 || c->prefix != 0xf2 || !c->memory || h->vector != 14 || g->vector != 14 ||
        h->cr2 == g->cr2 || h->cr2 / 0x1000 != g->cr2 / 0x1000) {
        return false;
    }
    h->cr2 = g->cr2;
    return true;
}

/*
 * A masked move with a 32-bit address near its end, of which an element behind that faults: the address that is told
 * has 33 bits (family 1Ah, Intel's with AMX).
 */
static bool masked_move_went_on(const struct test_case *c, struct outcome *h, const struct outcome *g)
{
    bool masked = (c->opcode >= 0x382c && c->opcode <= 0x382f) || c->opcode == 0x388c || c->opcode == 0x388e;

    if (!c->vex || !masked || !c->memory || h->vector != 14 || g->vector != 14 ||
        h->cr2 != g->cr2 + (UINT64_C(1) << 32)) {
        return false;
    }
    h->cr2 = g->cr2;
    return true;
}

/* A stack pointer that is not canonical: some hosts' kernels do not return to the case that has it, which is begun by
 * such a return. It has left everything as it was. */
static bool kernel_did_not_begin(const struct test_case *c, struct outcome *h, const struct outcome *g)
{
    int64_t high = (int64_t)c->start.gpr[4] >> 47;

    if (!c->single_step || high == 0 || high == -1 || h->vector != 13 || h->error || g->vector == 13 ||
        h->state.rip != c->start.rip || memcmp(h->state.gpr, c->start.gpr, sizeof(h->state.gpr))) {
        return false;
    }
    *h = *g;
    return true;
}

/* RCP and RSQRT: within the error that the manuals allow, each processor has bits of its own. Near
 * the smallest number it may give zero. */
static void mask_approximations(const struct test_case *c, struct outcome *h,
                                const struct outcome *g)
{
    unsigned lanes = c->prefix ? 1 : 4;

    if ((c->opcode != 0x0f52 && c->opcode != 0x0f53) || h->vector != NO_FAULT) {
        return;
    }
    for (unsigned n = 0; n < (c->vex && lanes == 4 ? 8 : lanes); n++) {
        uint8_t *host = n < 4 ? h->state.fx + 160 + 16u * c->reg + 4 * n : h->state.ymm + 16u * c->reg + 4 * (n - 4);
        const uint8_t *guest = n < 4 ? g->state.fx + 160 + 16u * c->reg + 4 * n :
                                       g->state.ymm + 16u * c->reg + 4 * (n - 4);
        float a, b;

        memcpy(&a, host, 4);
        memcpy(&b, guest, 4);
        if ((fabsf(a - b) <= 0x1.9p-12f * fabsf(b) && fabsf(b) <= FLT_MAX) ||
            (fabsf(b) < 0x1.01p-126f && fabsf(a) < 0x1.01p-126f && !signbit(a) == !signbit(b))) {
            memcpy(host, guest, 4);
        }
    }
}

static uint8_t *vector_half(struct outcome *o, unsigned reg, bool upper)
{
    return upper ? o->state.ymm + 16 * reg : o->state.fx + 160 + 16 * reg;
}

/* `host` holds what `wanted` says, where the guest's differs: takes the guest's. */
static bool take_vector(struct outcome *h, struct outcome *g, unsigned reg, const uint8_t *wanted)
{
    uint8_t host[32], guest[32];

    for (unsigned upper = 0; upper < 2; upper++) {
        memcpy(host + 16 * upper, vector_half(h, reg, upper), 16);
        memcpy(guest + 16 * upper, vector_half(g, reg, upper), 16);
    }
    if (memcmp(host, wanted, sizeof(host)) || !memcmp(guest, wanted, sizeof(guest)))
        return false;
    for (unsigned upper = 0; upper < 2; upper++)
        memcpy(vector_half(h, reg, upper), guest + 16 * upper, 16);
    return true;
}

/* A gather that faults: elements of the mask that are left are all ones or all zeroes, and what lies behind mask and
 * destination is zero, as the SDM's operation has it before the first element or after the last; it leaves open what is
 * seen of it when one of them faults. */
static bool gather_prepared_its_mask(const struct test_case *c, struct outcome *h, struct outcome *g)
{
    const uint8_t *vex = memchr(c->bytes, 0xc4, c->length);
    uint8_t mask[32] = {0}, destination[32] = {0};
    unsigned reg, size, index_size, bytes;
    bool took;

    if (!c->vex || c->opcode < 0x3890 || c->opcode > 0x3893 || !vex || !is_memory_fault(h) || !is_memory_fault(g))
        return false;
    reg = ~vex[2] >> 3 & 15;
    size = vex[2] & 0x80 ? 8 : 4;
    index_size = c->opcode & 1 ? 8 : 4;
    bytes = vex[2] & 4 ? 32 : 16;
    for (unsigned at = 0; at < bytes; at += size) {
        const uint8_t *element = vector_half(g, reg, at >= 16) + at % 16;

        memset(mask + at, element[size - 1] & 0x80 ? 0xff : 0, size);
    }
    if (index_size > size)
        bytes = 16; /* the destination's register */
    for (unsigned at = 0; at < bytes; at++)
        destination[at] = vector_half(g, c->reg, at >= 16)[at % 16];
    took = take_vector(h, g, reg, mask);
    return take_vector(h, g, c->reg, destination) || took;
}

static bool is_quiet_nan(const uint8_t *value, unsigned size)
{
    uint64_t v = 0, quiet = size == 4 ? UINT64_C(0x7fc00000) : UINT64_C(0x7ff8) << 48;

    memcpy(&v, value, size);
    return (v & quiet) == quiet;
}

/* Is it the indefinite number, or a NaN that stood somewhere before, made quiet? */
static bool stood_before(const struct test_case *c, const uint8_t *value, unsigned size)
{
    const struct state *s = &c->start;
    const struct {
        const uint8_t *bytes;
        size_t length;
    } places[] = {{s->fx + 160, 256}, {s->ymm, sizeof(s->ymm)}, {s->memory, sizeof(s->memory)}};
    uint64_t quiet = size == 4 ? UINT64_C(1) << 22 : UINT64_C(1) << 51, v = 0, other = 0;

    memcpy(&v, value, size);
    if (v == (size == 4 ? UINT64_C(0xffc00000) : UINT64_C(0xfff8) << 48))
        return true;
    for (unsigned n = 0; n < sizeof(places) / sizeof(*places); n++) {
        for (size_t at = 0; at + size <= places[n].length; at++) {
            memcpy(&other, places[n].bytes + at, size);
            if ((other | quiet) == v)
                return true;
        }
    }
    return false;
}

/* DPPS and DPPD of several NaNs: their sign and significand are the implementation's (SDM volume 2, DPPS). */
static bool dot_product_took_another_nan(const struct test_case *c, struct outcome *h, struct outcome *g)
{
    unsigned size = c->opcode == 0x3a40 ? 4 : 8;
    bool other = false;

    if ((c->opcode != 0x3a40 && c->opcode != 0x3a41) || h->vector != NO_FAULT || g->vector != NO_FAULT)
        return false;
    for (unsigned at = 0; at < 32; at += size) {
        uint8_t *host = vector_half(h, c->reg, at >= 16) + at % 16;
        const uint8_t *guest = vector_half(g, c->reg, at >= 16) + at % 16;

        if (memcmp(host, guest, size) && is_quiet_nan(host, size) && is_quiet_nan(guest, size) &&
            stood_before(c, host, size)) {
            memcpy(host, guest, size);
            other = true;
        }
    }
    return other;
}

/* VCVTPS2PH to an address that faults: exceptions of the conversion are noted all the same, and come first if one of
 * them is unmasked. With underflow unmasked the inexact result is noted, too. */
static bool conversion_noted_its_exceptions(const struct test_case *c, struct outcome *h, const struct outcome *g)
{
    uint32_t host, guest, more;

    memcpy(&host, h->state.fx + 24, 4);
    memcpy(&guest, g->state.fx + 24, 4);
    more = host ^ guest;
    if (!c->vex || c->opcode != 0x3a1d || (more & ~0x3fu) || (guest & more))
        return false;
    if (c->memory && is_memory_fault(g) && (h->vector == 19 ? (host & ~(host >> 7) & 0x3f) != 0 : more != 0)) {
        if (h->vector == 19) {
            h->vector = g->vector;
            h->error = g->error;
            h->cr2 = g->cr2;
        }
    } else if (more != 0x20 || g->vector != 19 || h->vector != 19 || !(guest & UNDERFLOW) || (guest >> 7 & UNDERFLOW)) {
        return false;
    }
    memcpy(h->state.fx + 24, &guest, 4);
    return true;
}

static void mask_vendor(const struct test_case *c, struct outcome *h, struct outcome *g)
{
    seen[NOT_BEGUN] += kernel_did_not_begin(c, h, g);
    seen[MXCSR_BITS] += mask_has_own_bits(c, h, g);
    if (__builtin_cpu_is("intel")) {
        seen[MMX_STORE] += mmx_store_lost_top(c, h, g);
        seen[GATHER_MASK] += gather_prepared_its_mask(c, h, g);
        seen[DOT_NAN] += dot_product_took_another_nan(c, h, g);
        seen[HALF_FLAGS] += conversion_noted_its_exceptions(c, h, g);
        seen[MASKED_WRAP] += masked_move_went_on(c, h, g);
        return;
    }
    seen[X87_STORE] += x87_store_faulted(c, h, g);
    seen[REP_FLAGS] += rep_left_flags(c, h, g);
    seen[MOVSXD_SIZE] += movsxd_read_four(c, h, g);
    seen[FPREM_INFINITY] += fprem_underflowed(c, h, g);
    seen[STACK_FAULT] += misaligned_is_stack_fault(c, h, g);
    seen[SHA_ALIGNMENT] += sha_takes_any_alignment(c, h, g);
    seen[STRING_VVVV] += string_compare_ignores_vvvv(c, h, g);
    seen[MOVDDUP_FAULT] += movddup_faulted_further(c, h, g);
    seen[MASKED_WRAP] += masked_move_went_on(c, h, g);
}

void mask_print(void)
{
    static const char *const names[DEVIATIONS] = {
        [MMX_STORE] = "MMX stores that faulted and cleared TOP",
        [MXCSR_BITS] = "FXSAVE with MXCSR bits of the host's own",
        [X87_STORE] = "x87 stores that faulted rather than raise an unmasked exception",
        [REP_FLAGS] = "REP compares that faulted with the flags of an iteration",
        [MOVSXD_SIZE] = "MOVSXD of 16 bits that read 32",
        [FPREM_INFINITY] = "FPREM of a denormal by infinity that underflowed",
        [SHA_ALIGNMENT] = "SHA operands that need no alignment",
        [STRING_VVVV] = "string compares that did not look at VEX.vvvv",
        [MOVDDUP_FAULT] = "VMOVDDUP over the end of a page with another address",
        [MASKED_WRAP] = "masked moves over the end of 32-bit addresses with another address",
        [NOT_BEGUN] = "cases with a stack pointer that is not canonical, to which its kernel did not return",
        [GATHER_MASK] = "gathers that faulted with a mask of ones and zeroes",
        [DOT_NAN] = "dot products of several NaNs that gave another of them",
        [HALF_FLAGS] = "conversions to half precision that faulted and noted exceptions",
        [STACK_FAULT] = "operands neither aligned nor canonical that raised #SS",
    };

    for (unsigned n = 0; n < DEVIATIONS; n++) {
        if (seen[n]) {
            printf("# the host differs: %s: %" PRIu64 "\n", names[n], seen[n]);
        }
    }
}

/* Images as of FXSAVE64: what is not a register. */
static void mask_image(uint8_t *h, uint8_t *g)
{
    static const uint8_t zeros[8];

    /* The opcode of the last x87 instruction is kept after exceptions only, if at all; so are the
     * pointers by AMD, and that to data by newer Intel processors. */
    memset(h + 6, 0, 2);
    memset(g + 6, 0, 2);
    if (!__builtin_cpu_is("intel")) {
        memset(h + 8, 0, 16);
        memset(g + 8, 0, 16);
    } else if (!memcmp(h + 16, zeros, 8)) {
        memset(g + 16, 0, 8);
    }
    memset(h + 14, 0, 2); /* FXRSTOR64 makes it canonical, in as many bits as there are */
    memset(g + 14, 0, 2);
    /* The mask of valid MXCSR bits, and what lies behind the registers. */
    memset(h + 28, 0, 4);
    memset(g + 28, 0, 4);
    h[5] = g[5] = 0;
    for (unsigned n = 0; n < 8; n++) {
        memset(h + 42 + 16 * n, 0, 6);
        memset(g + 42 + 16 * n, 0, 6);
    }
}

/* Makes what the sides may differ in equal. */
void mask_differences(const struct test_case *c, struct outcome *h, struct outcome *g)
{
    /* TF drives the single steps; RF is set in what a fault saves. */
    uint64_t ignored = 0x10100u | c->undefined_flags;

    mask_vendor(c, h, g);
    mask_approximations(c, h, g);
    h->state.rflags |= ignored;
    g->state.rflags |= ignored;
    if (c->pushes_flags && h->vector == NO_FAULT) {
        uint64_t at = h->state.gpr[4] - WINDOW_BASE;

        if (at < WINDOW_SIZE - 8) {
            h->state.memory[at + 1] &= 0xfe;
        }
    }
    /* The kernel reports every fault beyond user space as a protection fault. */
    if (h->vector == 14 && h->cr2 >= UINT64_C(0x7ffffffff000)) {
        h->error |= 1;
        g->error |= 1;
    }
    /* A call to a non-canonical address: some processors have stored the return address by then. */
    if (h->vector == 13 && g->vector == 13 && c->single_step) {
        memcpy(g->state.memory, h->state.memory, WINDOW_SIZE);
    }
    /* State images: which part of the operand faults first is not defined. */
    if (h->vector == 14 && g->vector == 14 &&
        (c->floating || memmem(c->bytes, c->length, "\x0f\xae", 2))) {
        h->cr2 = g->cr2;
        h->error |= 1;
        g->error |= 1;
    }
    /* A string instruction with 32-bit addresses that faults: some processors have truncated the
     * registers by then. */
    if (h->vector != NO_FAULT && memchr(c->bytes, 0x67, c->length) && !strcmp(c->class, "string")) {
        static const uint8_t implied[] = {1, 6, 7};

        for (unsigned n = 0; n < 3; n++) {
            h->state.gpr[implied[n]] &= UINT32_MAX;
            g->state.gpr[implied[n]] &= UINT32_MAX;
        }
    }
    mask_image(h->state.fx, g->state.fx);
}
