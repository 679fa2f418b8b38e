/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real-time clock against the MC146818A data sheet, on the fake host; its time is virtual. */
#include <glib.h>

#include <bp/chip/mc146818.h>
#include <bp/test.h>

#include "config.h"
#include "registry.h"

#define SECOND 1000000000ll

static struct bp_test_host *host;
static struct bp_device *rtc;

static void set(uint8_t index, uint8_t value)
{
    bp_test_out(host, 0x70, index, 1);
    bp_test_out(host, 0x71, value, 1);
}

static unsigned get(uint8_t index)
{
    bp_test_out(host, 0x70, index | 0x80, 1); /* the NMI mask makes no difference */
    return (unsigned)bp_test_in(host, 0x71, 1);
}

static int irq(void)
{
    return bp_irq_level(bp_device_irq_output(rtc, "irq8", 0));
}

/* 31 December 1999, 23:59:58, at the start of that second; BCD, 24 hours. */
static void set_time(void)
{
    bp_test_reset(host);
    set(0x0b, 0x82);
    set(0x0a, 0x26);
    set(0x00, 0x58);
    set(0x02, 0x59);
    set(0x04, 0x23);
    set(0x06, 0x06);
    set(0x07, 0x31);
    set(0x08, 0x12);
    set(0x09, 0x99);
    set(0x32, 0x19);
    set(0x0a, 0x76); /* hold the divider, so that the phase is known */
    set(0x0b, 0x02);
    set(0x0a, 0x26);
    bp_test_step(host, SECOND / 2 - 1); /* the first update comes after half a second */
    get(0x0c);
}

static void set_time_runs_and_carries_into_the_century(void)
{
    set_time();
    g_assert_cmphex(get(0x00), ==, 0x58);
    bp_test_step(host, 1);
    g_assert_cmphex(get(0x00), ==, 0x59);
    bp_test_step(host, SECOND);
    g_assert_cmphex(get(0x00), ==, 0x00);
    g_assert_cmphex(get(0x02), ==, 0x00);
    g_assert_cmphex(get(0x04), ==, 0x00);
    g_assert_cmphex(get(0x06), ==, 0x07);
    g_assert_cmphex(get(0x07), ==, 0x01);
    g_assert_cmphex(get(0x08), ==, 0x01);
    g_assert_cmphex(get(0x09), ==, 0x00);
    g_assert_cmphex(get(0x32), ==, 0x20);
    g_assert_cmphex(get(0x0d), ==, 0x80);
}

static void set_bit_freezes_the_registers(void)
{
    set_time();
    set(0x0b, 0x82);
    bp_test_step(host, 10 * SECOND);
    g_assert_cmphex(get(0x00), ==, 0x58);
    set(0x0b, 0x02);
    bp_test_step(host, SECOND);
    g_assert_cmphex(get(0x00), ==, 0x59);
}

static void binary_and_12_hours_are_shown(void)
{
    set_time();
    set(0x0b, 0x06);
    g_assert_cmpuint(get(0x00), ==, 58);
    g_assert_cmpuint(get(0x04), ==, 23);
    set(0x0b, 0x00);
    g_assert_cmphex(get(0x04), ==, 0x91); /* 11 p.m. */
    bp_test_step(host, 3 * SECOND);
    g_assert_cmphex(get(0x04), ==, 0x12); /* 12 a.m. */
}

static void hours_set_before_and_after_noon_are_taken(void)
{
    static const struct {
        uint8_t shown, hour;
    } cases[] = {{0x12, 0x00}, {0x01, 0x01}, {0x11, 0x11}, {0x92, 0x12}, {0x81, 0x13}, {0x91, 0x23}};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        set_time();
        set(0x0b, 0x80); /* held, BCD, 12 hours */
        set(0x00, 0x10);
        set(0x04, cases[i].shown);
        set(0x0b, 0x00);
        bp_test_step(host, 2 * SECOND);
        g_assert_cmphex(get(0x04), ==, cases[i].shown);
        set(0x0b, 0x02);
        bp_test_step(host, 2 * SECOND);
        g_assert_cmphex(get(0x04), ==, cases[i].hour);
        g_assert_cmphex(get(0x07), ==, 0x31); /* of the same day */
    }
}

static void update_in_progress_precedes_the_update(void)
{
    set_time(); /* 1 ns before an update */
    g_assert_cmphex(get(0x0a), ==, 0xa6);
    bp_test_step(host, 1);
    g_assert_cmphex(get(0x0a), ==, 0x26);
    bp_test_step(host, SECOND - 244001);
    g_assert_cmphex(get(0x0a), ==, 0x26);
    bp_test_step(host, 1);
    g_assert_cmphex(get(0x0a), ==, 0xa6);
}

static void update_ended_interrupts_each_second(void)
{
    set_time();
    set(0x01, 0x30); /* an alarm that does not come */
    set(0x0b, 0x12);
    g_assert_cmpint(irq(), ==, 0);
    for (int i = 0; i < 3; i++) {
        bp_test_step(host, i ? SECOND : 1);
        g_assert_cmpint(irq(), ==, 1);
        g_assert_cmphex(get(0x0c) & 0xb0, ==, 0x90);
        g_assert_cmpint(irq(), ==, 0);
        g_assert_cmphex(get(0x0c), ==, 0x00);
    }
}

static void alarm_matches_time_and_wildcards(void)
{
    set_time();
    set(0x01, 0x05);
    set(0x03, 0x00);
    set(0x05, 0x00);
    set(0x0b, 0x22);
    bp_test_step(host, 6 * SECOND);
    g_assert_cmpint(irq(), ==, 0);
    bp_test_step(host, SECOND);
    g_assert_cmpint(irq(), ==, 1);
    g_assert_cmphex(get(0x0c) & 0xb0, ==, 0xb0); /* UF too, though not enabled */
    set(0x01, 0xff); /* each second */
    set(0x03, 0xff);
    set(0x05, 0xff);
    bp_test_step(host, SECOND);
    g_assert_cmpint(irq(), ==, 1);
    get(0x0c);
    bp_test_step(host, SECOND);
    g_assert_cmpint(irq(), ==, 1);
}

static void flags_rise_without_an_interrupt(void)
{
    set_time();
    set(0x01, 0xff);
    set(0x03, 0xff);
    set(0x05, 0xff);
    get(0x0c);
    bp_test_step(host, 2 * SECOND);
    g_assert_cmpint(irq(), ==, 0);
    g_assert_cmphex(get(0x0c), ==, 0x70);
}

static void periodic_interrupt_has_its_rate(void)
{
    static const struct {
        uint8_t rate;
        unsigned hz;
    } rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {10, 64}, {15, 2}};

    set_time();
    for (size_t r = 0; r < BP_COUNT(rates); r++) {
        unsigned count = 0;

        set(0x0b, 0x02);
        set(0x0a, 0x20 | rates[r].rate);
        get(0x0c);
        set(0x0b, 0x42);
        for (unsigned i = 0; i < 8192; i++) {
            bp_test_step(host, SECOND / 8192);
            if (irq()) {
                count++;
                g_assert_cmphex(get(0x0c) & 0xc0, ==, 0xc0);
            }
        }
        g_assert_cmpuint(count, >=, rates[r].hz - rates[r].hz / 100 - 1);
        g_assert_cmpuint(count, <=, rates[r].hz + 1);
    }
}

static void ram_keeps_what_is_stored(void)
{
    const struct bp_rtc_nvram_interface *nvram;

    g_assert_cmpint(bpc_require_interface("rtc-nvram", 1, (const void **)&nvram, NULL), ==, 0);
    nvram->set(rtc, 0x34, 0xab);
    nvram->set(rtc, 0x0b, 0xff); /* ignored */
    nvram->set(rtc, 4711, 0xff);
    set(0x40, 0x12);
    bp_test_reset(host);
    g_assert_cmphex(get(0x34), ==, 0xab);
    g_assert_cmphex(get(0x40), ==, 0x12);
    g_assert_cmphex(get(0x0b) & 0x80, ==, 0);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    bpc_config.rtc.clock = BP_CLOCK_VIRTUAL;
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "mc146818rtc", NULL, &rtc, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/mc146818/" #name, name)
    CASE(set_time_runs_and_carries_into_the_century);
    CASE(set_bit_freezes_the_registers);
    CASE(binary_and_12_hours_are_shown);
    CASE(hours_set_before_and_after_noon_are_taken);
    CASE(update_in_progress_precedes_the_update);
    CASE(update_ended_interrupts_each_second);
    CASE(alarm_matches_time_and_wildcards);
    CASE(flags_rise_without_an_interrupt);
    CASE(periodic_interrupt_has_its_rate);
    CASE(ram_keeps_what_is_stored);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
