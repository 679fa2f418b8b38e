/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The switch itself, built into this test so that the portable one is tried too. */
#include <glib.h>

#include "../../core/loop/fibre.c"

static struct bpc_fibre here, there[2];
static unsigned long seen[2];

/* What the calling convention says is kept: locals in registers, the frame, an aligned stack. */
static void count(void *opaque)
{
    unsigned n = (unsigned)(uintptr_t)opaque;
    unsigned long a = n + 1, b = 2, c = 3, d = 4, e = 5;
    double f = 0.5;

    for (unsigned i = 0; i < 1000; i++) {
        __attribute__((aligned(16))) volatile char aligned[16];

        g_assert_cmpuint((uintptr_t)aligned % 16, ==, 0);
        aligned[0] = 1;
        bpc_fibre_switch(&there[n], n == 0 && i % 2 && !seen[1] ? &there[1] : &here, false);
        a += b, b ^= c, c += d, d ^= e, e += a, f += 0.5;
    }
    seen[n] = a ^ b ^ c ^ d ^ e ^ (unsigned long)(f * 2);
    bpc_fibre_switch(&there[n], &here, true);
}

static unsigned long expected(unsigned n)
{
    unsigned long a = n + 1, b = 2, c = 3, d = 4, e = 5;
    double f = 0.5;

    for (unsigned i = 0; i < 1000; i++)
        a += b, b ^= c, c += d, d ^= e, e += a, f += 0.5;
    return a ^ b ^ c ^ d ^ e ^ (unsigned long)(f * 2);
}

static void switching_keeps_what_it_has_to(void)
{
    size_t size = 64 << 10;

    bpc_fibre_init_thread(&here);
    for (unsigned n = 0; n < 2; n++)
        bpc_fibre_init(&there[n], g_malloc(size), size, count, (void *)(uintptr_t)n);
    /* The first one goes over to the second by itself every other time. */
    while (seen[0] == 0 || seen[1] == 0) {
        for (unsigned n = 0; n < 2; n++) {
            if (seen[n] == 0)
                bpc_fibre_switch(&here, &there[n], false);
        }
    }
    g_assert_cmpuint(seen[0], ==, expected(0));
    g_assert_cmpuint(seen[1], ==, expected(1));
    for (unsigned n = 0; n < 2; n++) {
        g_free(there[n].stack);
        bpc_fibre_fini(&there[n]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fibre/switch_keeps-what-it-has-to", switching_keeps_what_it_has_to);
    return g_test_run();
}
