/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where processors of different vendors do different things, the interpreter does one, on every
 * host. These are the choices, as docs/conformance.md lists them; native-compare masks what the
 * host's own processor does instead.
 */
#include "native-compare.h"

#include <glib.h>
#include <math.h>
#include <string.h>

#define FSW_TOP 0x3800u
#define FSW_ES 0x80u
#define BEYOND (DATA_BASE + DATA_SIZE) /* nothing is there */

static struct test_case c;
static struct outcome o;

static uint16_t fsw(const struct state *s)
{
    return (uint16_t)(s->fx[2] | s->fx[3] << 8);
}

static uint64_t memory(uint64_t address, unsigned size)
{
    uint64_t value = 0;

    g_assert_cmpuint(address - WINDOW_BASE, <=, WINDOW_SIZE - size);
    memcpy(&value, o.state.memory + (address - WINDOW_BASE), size);
    return value;
}

/* A case with all exceptions masked and TOP 5; RDI at the window's start. */
static void prepare(const char *bytes, unsigned length)
{
    static const uint16_t fcw = 0x37f, status = 5 << 11;
    static const uint32_t mxcsr = 0x1f80;

    memset(&c, 0, sizeof(c));
    memcpy(c.bytes, bytes, length);
    c.length = length;
    c.start.rip = CODE_BASE;
    c.start.rflags = 0x202;
    c.start.gpr[4] = WINDOW_BASE + WINDOW_SIZE / 2;
    c.start.gpr[7] = WINDOW_BASE;
    memcpy(c.start.fx, &fcw, 2);
    memcpy(c.start.fx + 2, &status, 2);
    memcpy(c.start.fx + 24, &mxcsr, 4);
}

static void run(void)
{
    guest_begin(&c, 1);
    guest_run(&c, &o);
}

/* A fault leaves everything as it was. */
static void mmx_store_clears_top_unless_it_faults(void)
{
    static const char *const stores[] = {"\x0f\x7e\x07", "\x0f\x7f\x07", "\x0f\xe7\x07"};

    for (unsigned n = 0; n < 3; n++) {
        prepare(stores[n], 3);
        c.start.gpr[7] = BEYOND;
        run();
        g_assert_cmpint(o.vector, ==, 14);
        g_assert_cmphex(fsw(&o.state) & FSW_TOP, ==, 5 << 11);
        g_assert_cmphex(o.state.fx[4], ==, 0);
        prepare(stores[n], 3);
        run();
        g_assert_cmpint(o.vector, ==, NO_FAULT);
        g_assert_cmphex(fsw(&o.state) & FSW_TOP, ==, 0);
        g_assert_cmphex(o.state.fx[4], ==, 0xff);
    }
}

static void fxsave_offers_sixteen_mxcsr_bits(void)
{
    prepare("\x0f\xae\x07", 3);
    run();
    g_assert_cmphex(memory(WINDOW_BASE + 28, 4), ==, 0xffff);
}

/* FSTP m32 of an empty register, invalid operation unmasked. */
static void x87_store_that_is_not_done_does_not_look_at_its_address(void)
{
    prepare("\xd9\x1f", 2);
    c.start.fx[0] &= 0xfe;
    c.start.gpr[7] = BEYOND;
    run();
    g_assert_cmpint(o.vector, ==, NO_FAULT);
    g_assert_cmphex(fsw(&o.state), ==, 5 << 11 | FSW_ES | 0x8041);
    g_assert_cmphex(o.state.rip, ==, CODE_BASE + 2);
    /* Masked, the store is done, and faults before anything is noted. */
    c.start.fx[0] |= 1;
    run();
    g_assert_cmpint(o.vector, ==, 14);
    g_assert_cmphex(o.cr2, ==, BEYOND);
    g_assert_cmphex(fsw(&o.state), ==, 5 << 11);
}

/* ST0 is denormal, ST1 infinite; underflow is unmasked. */
static void fprem_by_infinity_computes_nothing(void)
{
    static const uint8_t denormal[10] = {[3] = 0x80}, infinity[10] = {[7] = 0x80, 0xff, 0x7f};

    prepare("\xd9\xf8", 2);
    c.start.fx[0] &= 0xef;
    c.start.fx[4] = 0xff;
    memcpy(c.start.fx + 32, denormal, 10);
    memcpy(c.start.fx + 48, infinity, 10);
    run();
    g_assert_cmphex(fsw(&o.state), ==, 5 << 11 | 2); /* denormal operand */
    g_assert_cmpmem(o.state.fx + 32, 10, denormal, 10);
}

/* MOVAPS through RBP */
static void misaligned_non_canonical_stack_operand_is_a_protection_fault(void)
{
    prepare("\x0f\x28\x45\x01", 4);
    c.start.gpr[5] = UINT64_C(1) << 63;
    run();
    g_assert_cmpint(o.vector, ==, 13);
    c.bytes[3] = 0;
    run();
    g_assert_cmpint(o.vector, ==, 12);
}

static void approximations_are_the_nearest_numbers(void)
{
    static const struct {
        uint8_t opcode;
        float operand, result;
    } cases[] = {
        {0x53, 1, 1}, {0x53, 3, 1 / 3.0f}, {0x53, -7, -1 / 7.0f}, {0x52, 1, 1},
        {0x52, 16, 0.25f}, {0x52, 3, 0x1.279a74p-1f}, {0x53, 0x1p-140f, INFINITY},
        {0x53, -INFINITY, -0.0f}, {0x53, 0x1p127f, 0},
    };

    for (unsigned n = 0; n < G_N_ELEMENTS(cases); n++) {
        char bytes[] = {'\xf3', '\x0f', (char)cases[n].opcode, '\xca'}; /* xmm1, xmm2 */

        prepare(bytes, 4);
        memcpy(c.start.fx + 160 + 32, &cases[n].operand, 4);
        run();
        g_assert_cmpmem(o.state.fx + 160 + 16, 4, &cases[n].result, 4);
        g_assert_cmpmem(o.state.fx + 24, 4, c.start.fx + 24, 4);
    }
}

/* The bits that go in come from operand, other operand, operand again. */
static void double_shift_of_words_beyond_sixteen_rotates_three_words(void)
{
    uint16_t a = 0x1234, b = 0xabcd;

    for (unsigned right = 0; right < 2; right++) {
        for (unsigned count = 17; count < 32; count++) {
            unsigned by = count - 16;
            /* SHLD: then b is shifted and a comes in; SHRD the same the other way. */
            uint16_t expected = (uint16_t)(right ? b >> by | a << (16 - by)
                                                 : b << by | a >> (16 - by));

            prepare(right ? "\x66\x0f\xad\xd0" : "\x66\x0f\xa5\xd0", 4); /* ax, dx, cl */
            c.start.gpr[0] = a;
            c.start.gpr[2] = b;
            c.start.gpr[1] = count;
            run();
            g_assert_cmphex(o.state.gpr[0], ==, expected);
        }
    }
}

/* REPE CMPSB runs into a page that is not there. */
static void rep_compare_that_faults_keeps_the_flags_before_it(void)
{
    prepare("\xf3\xa6", 2);
    c.repeat = true;
    c.start.rflags = 0xad7 & ~0x40u;
    c.start.gpr[1] = 100;
    c.start.gpr[6] = WINDOW_BASE;
    c.start.gpr[7] = BEYOND - 8;
    run();
    g_assert_cmpint(o.vector, ==, 14);
    g_assert_cmpuint(o.state.gpr[1], ==, 92);
    g_assert_cmphex(o.state.rflags & 0x8d5, ==, c.start.rflags & 0x8d5);
}

static void movsxd_of_words_reads_two_bytes(void)
{
    prepare("\x66\x63\x07", 3);
    c.start.gpr[0] = UINT64_C(0x1111222233334444);
    c.start.gpr[7] = BEYOND - 2;
    run();
    g_assert_cmpint(o.vector, ==, NO_FAULT);
    g_assert_cmphex(o.state.gpr[0], ==, UINT64_C(0x1111222233330000));
}

#define CASE(name) g_test_add_func("/choices/" #name, name)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    guest_init();
    CASE(mmx_store_clears_top_unless_it_faults);
    CASE(fxsave_offers_sixteen_mxcsr_bits);
    CASE(x87_store_that_is_not_done_does_not_look_at_its_address);
    CASE(fprem_by_infinity_computes_nothing);
    CASE(misaligned_non_canonical_stack_operand_is_a_protection_fault);
    CASE(approximations_are_the_nearest_numbers);
    CASE(double_shift_of_words_beyond_sixteen_rotates_three_words);
    CASE(rep_compare_that_faults_keeps_the_flags_before_it);
    CASE(movsxd_of_words_reads_two_bytes);
    return g_test_run();
}
