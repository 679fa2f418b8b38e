/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines: levels, chains, late connection, lines that go away. */
#include <glib.h>

#include <bp/irq.h>

#include "owner.h"

static GString *seen;
static char in_name[] = "in", a_name[] = "a", b_name[] = "b", c_name[] = "c";

static void note(void *opaque, unsigned n, int level)
{
    g_string_append_printf(seen, "%s%u=%d ", (const char *)opaque, n, level);
}

#define assert_seen(text)                                                                          \
    do {                                                                                           \
        g_assert_cmpstr(seen->str, ==, text);                                                      \
        g_string_truncate(seen, 0);                                                                \
    } while (0)

static void level_reaches_the_sink(void)
{
    struct bp_owner owner;
    bpc_owner_init(&owner);
    struct bp_irq *in = bp_irq_new(&owner, note, in_name, 3),
                  *out = bp_irq_new(&owner, NULL, NULL, 0);
    bp_irq_set(out, 1);
    assert_seen("");
    bp_irq_connect(out, in);
    assert_seen("in3=1 "); /* connected late: sees the present level */
    bp_irq_set(out, 1);
    assert_seen("in3=1 "); /* told also when it stays the same */
    bp_irq_pulse(out);
    assert_seen("in3=1 in3=0 ");
    bp_irq_set(out, 5);
    assert_seen("in3=5 ");
    g_assert_cmpint(bp_irq_level(in), ==, 5);
    bp_irq_connect(out, NULL);
    assert_seen("in3=0 ");
    bp_irq_set(out, 1);
    assert_seen("");
    bp_irq_set(NULL, 1);
    g_assert_cmpint(bp_irq_level(NULL), ==, 0);
    bpc_owner_release(&owner);
}

static void chain_passes_levels_on(void)
{
    struct bp_owner owner;
    bpc_owner_init(&owner);
    struct bp_irq *a = bp_irq_new(&owner, note, a_name, 0),
                  *b = bp_irq_new(&owner, note, b_name, 0),
                  *c = bp_irq_new(&owner, note, c_name, 0);
    bp_irq_connect(a, b);
    bp_irq_connect(b, c);
    bp_irq_set(a, 1);
    assert_seen("a0=1 b0=1 c0=1 ");
    bp_irq_connect(c, a); /* a circle: refused with a warning */
    bp_irq_connect(a, a);
    bp_irq_set(a, 0);
    assert_seen("a0=0 b0=0 c0=0 ");
    bpc_owner_release(&owner);
    assert_seen("");
}

static void line_that_goes_away_falls(void)
{
    struct bp_owner keeper, goer;
    bpc_owner_init(&keeper);
    bpc_owner_init(&goer);
    struct bp_irq *in = bp_irq_new(&keeper, note, in_name, 0);
    struct bp_irq *one = bp_irq_new(&goer, NULL, NULL, 0), *two = bp_irq_new(&goer, NULL, NULL, 0);
    bp_irq_connect(one, in);
    bp_irq_connect(two, in);
    bp_irq_set(one, 1);
    assert_seen("in0=1 ");
    bpc_owner_release(&goer);
    assert_seen("in0=0 ");
    /* The other way round: the sink goes first. */
    struct bp_irq *out = bp_irq_new(&goer, NULL, NULL, 0);
    bp_irq_connect(out, in);
    bp_irq_set(out, 1);
    assert_seen("in0=1 ");
    bpc_owner_release(&keeper);
    bp_irq_set(out, 0);
    assert_seen("");
    bpc_owner_release(&goer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    seen = g_string_new(NULL);
    g_test_add_func("/irq/level_reaches_the_sink", level_reaches_the_sink);
    g_test_add_func("/irq/chain_passes_levels_on", chain_passes_levels_on);
    g_test_add_func("/irq/line_that_goes_away_falls", line_that_goes_away_falls);
    int ret = g_test_run();
    g_string_free(seen, TRUE);
    return ret;
}
