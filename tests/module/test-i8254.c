/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The 8254 timer and port 0x61 against the data sheet (Intel 231164), on the fake host. */
#include <glib.h>

#include <bp/clock.h>
#include <bp/test.h>

#include "loop.h"

#define HZ 1193182

static struct bp_test_host *host;
static struct bp_device *pit;
static unsigned edges;
static int64_t last_edge;

static void out(uint16_t port, uint8_t value)
{
    bp_test_out(host, port, value, 1);
}

static unsigned in(uint16_t port)
{
    return (unsigned)bp_test_in(host, port, 1);
}

static void step_ticks(unsigned ticks)
{
    int64_t now = bp_virtual_ns(NULL);
    __int128 tick = (__int128)now * HZ / 1000000000 + ticks;

    bp_test_step(host, (int64_t)((tick * 1000000000 + HZ - 1) / HZ) - now);
}

static void program(unsigned channel, unsigned mode, unsigned count)
{
    out(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    out((uint16_t)(0x40 + channel), (uint8_t)count);
    out((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
    step_ticks(1); /* loaded */
}

static unsigned latched(unsigned channel)
{
    unsigned low;

    out(0x43, (uint8_t)(channel << 6));
    low = in((uint16_t)(0x40 + channel));
    return low | in((uint16_t)(0x40 + channel)) << 8;
}

static unsigned status(unsigned channel)
{
    out(0x43, (uint8_t)(0xe0 | 2u << channel));
    return in((uint16_t)(0x40 + channel));
}

static void edge(void *opaque, unsigned n, int level)
{
    if (level && !*(int *)opaque) {
        edges++;
        last_edge = bp_virtual_ns(NULL);
    }
    *(int *)opaque = level;
}

static void start(void)
{
    bp_test_reset(host);
    out(0x61, 0);
    edges = 0;
}

static void mode_0_goes_high_after_the_count(void)
{
    start();
    out(0x43, 0x30);
    g_assert_cmpuint(status(0) & 0xc0, ==, 0x40); /* low, not loaded */
    program(0, 0, 1000);
    g_assert_cmpuint(status(0), ==, 0x30);
    g_assert_cmpuint(edges, ==, 0);
    step_ticks(400);
    g_assert_cmpuint(latched(0), ==, 600);
    step_ticks(599);
    g_assert_cmpuint(edges, ==, 0);
    step_ticks(1);
    g_assert_cmpuint(edges, ==, 1);
    g_assert_cmpuint(status(0), ==, 0xb0);
    step_ticks(10);
    g_assert_cmpuint(latched(0), ==, 0x10000 - 10); /* goes on counting */
    g_assert_cmpuint(edges, ==, 1);
}

static void mode_2_is_periodic_without_drift(void)
{
    int64_t first, span;

    start();
    program(0, 2, HZ / 1000);
    edges = 0;
    bp_test_step(host, 10000000);
    first = last_edge;
    edges = 0;
    for (int i = 0; i < 10; i++)
        bp_test_step(host, 1000000000);
    /* 10 s are 10001.5 periods of 1193 ticks; the edges stand where they belong to a nanosecond. */
    g_assert_cmpuint(edges, ==, 10001);
    span = (int64_t)((__int128)10001 * 1193 * 1000000000 / HZ);
    g_assert_cmpint(ABS(last_edge - first - span), <=, 1);
}

static void mode_2_takes_a_new_count_at_the_end_of_the_period(void)
{
    start();
    program(0, 2, 100);
    step_ticks(30);
    out(0x40, 200);
    out(0x40, 0);
    g_assert_cmpuint(latched(0), ==, 70);
    g_assert_cmpuint(status(0) & 0x40, ==, 0x40); /* null count: not loaded yet */
    step_ticks(70);
    g_assert_cmpuint(latched(0), ==, 200);
    g_assert_cmpuint(status(0) & 0x40, ==, 0);
    step_ticks(199);
    g_assert_cmpuint(latched(0), ==, 1);
    g_assert_cmpuint(status(0) & 0x80, ==, 0); /* the low pulse */
    step_ticks(1);
    g_assert_cmpuint(status(0) & 0x80, ==, 0x80);
}

static void mode_3_is_a_square_wave(void)
{
    start();
    program(0, 3, 5); /* odd: high 3, low 2 */
    for (int i = 0; i < 4; i++) {
        g_assert_cmpuint(status(0) & 0x80, ==, 0x80);
        g_assert_cmpuint(latched(0), ==, 4);
        step_ticks(2);
        g_assert_cmpuint(status(0) & 0x80, ==, 0x80);
        step_ticks(1);
        g_assert_cmpuint(status(0) & 0x80, ==, 0);
        g_assert_cmpuint(latched(0), ==, 4);
        step_ticks(2);
    }
    program(0, 3, 1000);
    edges = 0;
    step_ticks(10000);
    g_assert_cmpuint(edges, ==, 10);
}

static void modes_1_and_5_wait_for_the_gate(void)
{
    start();
    out(0x61, 0);
    program(2, 1, 50);
    step_ticks(100);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0x20);
    out(0x61, 1);
    step_ticks(1);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0);
    step_ticks(49);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0);
    step_ticks(1);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0x20);
    out(0x61, 0);
    program(2, 5, 20);
    out(0x61, 1);
    step_ticks(20);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0x20);
    step_ticks(1); /* the strobe */
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0);
    step_ticks(1);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0x20);
}

static void low_gate_stops_mode_0(void)
{
    start();
    out(0x61, 1);
    program(2, 0, 100);
    step_ticks(40);
    out(0x61, 0);
    step_ticks(1000);
    g_assert_cmpuint(latched(2), ==, 60);
    out(0x61, 1);
    step_ticks(59);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0);
    step_ticks(1);
    g_assert_cmpuint(in(0x61) & 0x20, ==, 0x20);
}

static void mode_4_strobes_once(void)
{
    start();
    program(0, 4, 10);
    edges = 0;
    step_ticks(100);
    g_assert_cmpuint(edges, ==, 1);
}

static void latch_holds_until_read(void)
{
    start();
    program(0, 2, 1000);
    step_ticks(100);
    out(0x43, 0x00);
    step_ticks(50);
    out(0x43, 0x00); /* ignored: the first has not been read */
    g_assert_cmpuint(in(0x40) | in(0x40) << 8, ==, 900);
    g_assert_cmpuint(latched(0), ==, 850);
}

static void read_back_gives_status_then_count(void)
{
    start();
    program(0, 2, 1000);
    step_ticks(100);
    out(0x43, 0xc2);
    g_assert_cmpuint(in(0x40), ==, 0xb4);
    g_assert_cmpuint(in(0x40) | in(0x40) << 8, ==, 900);
}

static void bcd_counts_decimally(void)
{
    start();
    out(0x43, 0x31);
    out(0x40, 0x00);
    out(0x40, 0x10); /* 1000 */
    step_ticks(1 + 1);
    g_assert_cmpuint(latched(0), ==, 0x0999);
    step_ticks(999 + 1);
    g_assert_cmpuint(latched(0), ==, 0x9999);
    out(0x43, 0x31);
    out(0x40, 0x34);
    out(0x40, 0x12);
    step_ticks(1 + 1);
    g_assert_cmpuint(latched(0), ==, 0x1233);
}

static void legacy_replacement_silences_channel_0(void)
{
    struct bp_irq *gate = bp_device_irq_input(pit, "gate-irq0", 0);

    start();
    program(0, 2, 1000);
    bp_irq_set(gate, 1);
    edges = 0;
    step_ticks(5000);
    g_assert_cmpuint(edges, ==, 0);
    bp_irq_set(gate, 0);
    edges = 0;
    step_ticks(5000);
    g_assert_cmpuint(edges, ==, 5);
}

/* A busy host looks late: no interrupt may be lost for that, however short the pulse that makes it. */
static void late_host_loses_no_edge(void)
{
    static const unsigned modes[] = {0, 2, 3, 4};

    for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
        for (unsigned count = 30; count <= 3000; count *= 10) {
            start();
            program(0, modes[i], count);
            edges = 0;
            bpc_clock_virtual_set(bp_virtual_ns(NULL) + 1000000000ll * count / HZ + 150000);
            bp_test_step(host, 0);
            if (modes[i] == 3) /* may be in its low half */
                step_ticks(count);
            g_assert_cmpuint(edges, >=, 1);
        }
    }
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int level = 0, rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "isa-pit", NULL, &pit, &err) < 0)
        g_error("%s", err.message);
    bp_irq_connect(bp_device_irq_output(pit, "irq0", 0),
                   bp_irq_new(bp_device_owner(pit), edge, &level, 0));
#define CASE(name) g_test_add_func("/i8254/" #name, name)
    CASE(mode_0_goes_high_after_the_count);
    CASE(mode_2_is_periodic_without_drift);
    CASE(mode_2_takes_a_new_count_at_the_end_of_the_period);
    CASE(mode_3_is_a_square_wave);
    CASE(modes_1_and_5_wait_for_the_gate);
    CASE(low_gate_stops_mode_0);
    CASE(mode_4_strobes_once);
    CASE(late_host_loses_no_edge);
    CASE(latch_holds_until_read);
    CASE(read_back_gives_status_then_count);
    CASE(bcd_counts_decimally);
    CASE(legacy_replacement_silences_channel_0);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
