/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HPET against its specification (1.0a), on the fake host. */
#include <glib.h>

#include <bp/test.h>

#define BASE 0xfed00000u
#define CONF (BASE + 0x10)
#define STATUS (BASE + 0x20)
#define COUNTER (BASE + 0xf0)
#define T(n) (BASE + 0x100 + 0x20 * (n))
#define COMPARE(n) (T(n) + 8)

static struct bp_test_host *host;
static struct bp_device *hpet;
static int levels[24];
static unsigned rises[24];

static void line(void *opaque, unsigned n, int level)
{
    if (level && !levels[n])
        rises[n]++;
    levels[n] = level;
}

static uint64_t in(uint64_t addr, unsigned size)
{
    return bp_test_read(host, addr, size);
}

static void out(uint64_t addr, uint64_t value, unsigned size)
{
    bp_test_write(host, addr, value, size);
}

static void start(void)
{
    bp_test_reset(host);
    memset(rises, 0, sizeof(rises));
}

static void capabilities_name_period_and_timers(void)
{
    start();
    g_assert_cmphex(in(BASE, 8), ==, 0x009896808086a201ull);
    g_assert_cmphex(in(BASE + 4, 4), ==, 10000000);
    g_assert_cmphex(in(T(0), 8), ==, 0x0000000400000030ull); /* line 2, 64 bits, periodic */
}

static void counter_runs_at_100_mhz_while_enabled(void)
{
    start();
    bp_test_step(host, 1000);
    g_assert_cmpuint(in(COUNTER, 8), ==, 0);
    out(COUNTER, 0xfffffff0, 8);
    out(CONF, 1, 4);
    bp_test_step(host, 1000);
    g_assert_cmphex(in(COUNTER, 8), ==, 0xfffffff0ull + 100);
    g_assert_cmphex(in(COUNTER + 4, 4), ==, 1);
    out(CONF, 0, 4);
    bp_test_step(host, 1000);
    g_assert_cmphex(in(COUNTER, 8), ==, 0xfffffff0ull + 100);
}

static void halves_make_one_register(void)
{
    start();
    out(COUNTER, 0x11111111, 4);
    out(COUNTER + 4, 0x22222222, 4);
    g_assert_cmphex(in(COUNTER, 8), ==, 0x2222222211111111ull);
    out(COUNTER, 0x33333333, 4);
    g_assert_cmphex(in(COUNTER, 8), ==, 0x2222222233333333ull);
}

static void one_shot_fires_at_the_match(void)
{
    start();
    out(T(0), 2 << 9 | 4, 4);
    out(COMPARE(0), 1000, 8);
    out(CONF, 1, 4);
    bp_test_step(host, 9999);
    g_assert_cmpuint(rises[2], ==, 0);
    bp_test_step(host, 1);
    g_assert_cmpuint(rises[2], ==, 1);
    bp_test_step(host, 1000000);
    g_assert_cmpuint(rises[2], ==, 1);
    g_assert_cmpuint(in(STATUS, 4), ==, 0); /* edges leave no status */
}

static void level_holds_until_status_is_cleared(void)
{
    start();
    out(T(1), 2 << 9 | 4 | 2, 4);
    out(COMPARE(1), 10, 8);
    out(CONF, 1, 4);
    bp_test_step(host, 200);
    g_assert_cmpint(levels[2], ==, 1);
    g_assert_cmpuint(in(STATUS, 4), ==, 2);
    out(STATUS, 2, 4);
    g_assert_cmpint(levels[2], ==, 0);
    g_assert_cmpuint(in(STATUS, 4), ==, 0);
}

static void periodic_adds_the_period(void)
{
    start();
    out(T(0), 2 << 9 | 8 | 4 | 0x40, 4);
    out(COMPARE(0), 5000, 8); /* the comparator, by the set bit */
    out(COMPARE(0), 1000, 8); /* the period */
    out(CONF, 1, 4);
    bp_test_step(host, 49999);
    g_assert_cmpuint(rises[2], ==, 0);
    bp_test_step(host, 1);
    g_assert_cmpuint(rises[2], ==, 1);
    g_assert_cmpuint(in(COMPARE(0), 8), ==, 6000);
    bp_test_step(host, 1000000000);
    g_assert_cmpuint(rises[2], ==, 1 + 100000);
}

static void legacy_replacement_uses_lines_0_and_8(void)
{
    start();
    out(T(0), 4, 4);
    out(T(1), 4, 4);
    out(COMPARE(0), 10, 8);
    out(COMPARE(1), 20, 8);
    g_assert_cmpint(bp_irq_level(bp_device_irq_output(hpet, "legacy", 0)), ==, 0);
    out(CONF, 3, 4);
    g_assert_cmpint(bp_irq_level(bp_device_irq_output(hpet, "legacy", 0)), ==, 1);
    g_assert_cmpint(bp_irq_level(bp_device_irq_output(hpet, "legacy", 1)), ==, 1);
    bp_test_step(host, 1000);
    g_assert_cmpuint(rises[0], ==, 1);
    g_assert_cmpuint(rises[8], ==, 1);
    g_assert_cmpuint(rises[2], ==, 0);
}

static void timer_of_32_bits_wraps(void)
{
    start();
    out(T(0), 2 << 9 | 4 | 0x100, 4);
    out(COMPARE(0), 0x10, 8);
    out(COUNTER, 0xffffffff, 8);
    out(CONF, 1, 4);
    bp_test_step(host, 10 * 0x11);
    g_assert_cmpuint(rises[2], ==, 1);
    bp_test_step(host, 10ll << 32); /* and matches again a turn later */
    g_assert_cmpuint(rises[2], ==, 2);
}

static void unreachable_route_is_not_taken(void)
{
    start();
    out(T(0), 5 << 9, 4);
    g_assert_cmphex(in(T(0), 4), ==, 0x30);
    out(T(0), 2 << 9, 4);
    out(T(0), 5 << 9, 4);
    g_assert_cmphex(in(T(0), 4), ==, 0x430);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "hpet", NULL, &hpet, &err) < 0)
        g_error("%s", err.message);
    for (unsigned n = 0; n < 24; n++)
        bp_irq_connect(bp_device_irq_output(hpet, "irq", n),
                       bp_irq_new(bp_device_owner(hpet), line, NULL, n));
#define CASE(name) g_test_add_func("/hpet/" #name, name)
    CASE(capabilities_name_period_and_timers);
    CASE(counter_runs_at_100_mhz_while_enabled);
    CASE(one_shot_fires_at_the_match);
    CASE(halves_make_one_register);
    CASE(level_holds_until_status_is_cleared);
    CASE(periodic_adds_the_period);
    CASE(legacy_replacement_uses_lines_0_and_8);
    CASE(timer_of_32_bits_wraps);
    CASE(unreachable_route_is_not_taken);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
