/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The 8259A pair against its data sheet (Intel 231468), on the fake host. */
#include <glib.h>

#include <bp/chip/i8259.h>
#include <bp/test.h>

#include "registry.h"

static struct bp_test_host *host;
static struct bp_device *pic;
static const struct bp_i8259_interface *i8259;

static void out(uint16_t port, uint8_t value)
{
    bp_test_out(host, port, value, 1);
}

static unsigned in(uint16_t port)
{
    return (unsigned)bp_test_in(host, port, 1);
}

static void irq(unsigned n, int level)
{
    bp_irq_set(bp_device_irq_input(pic, "irq", n), level);
}

static int intr(void)
{
    return bp_irq_level(bp_device_irq_output(pic, "intr", 0));
}

/* As a PC's firmware does it: vectors 0x08 and 0x70, everything unmasked. */
static void init_pair(uint8_t icw4)
{
    bp_test_reset(host);
    for (unsigned n = 0; n < 16; n++)
        irq(n, 0);
    out(0x20, 0x11);
    out(0x21, 0x08);
    out(0x21, 0x04);
    out(0x21, icw4);
    out(0xa0, 0x11);
    out(0xa1, 0x70);
    out(0xa1, 0x02);
    out(0xa1, 0x01);
}

static void edge_is_served_once(void)
{
    init_pair(0x01);
    irq(0, 1);
    g_assert_cmpint(intr(), ==, 1);
    g_assert_cmpuint(in(0x20), ==, 0x01); /* IRR */
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x08);
    g_assert_cmpint(intr(), ==, 0);
    out(0x20, 0x0b);
    g_assert_cmpuint(in(0x20), ==, 0x01); /* ISR */
    out(0x20, 0x20);
    g_assert_cmpuint(in(0x20), ==, 0x00);
    g_assert_cmpint(intr(), ==, 0); /* the line is still high: no new edge */
    irq(0, 0);
    irq(0, 1);
    g_assert_cmpint(intr(), ==, 1);
}

static void mask_hides_a_request(void)
{
    init_pair(0x01);
    out(0x21, 0x02);
    g_assert_cmpuint(in(0x21), ==, 0x02);
    irq(1, 1);
    g_assert_cmpint(intr(), ==, 0);
    out(0x21, 0x00);
    g_assert_cmpint(intr(), ==, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x09);
}

static void lower_priority_waits_for_eoi(void)
{
    init_pair(0x01);
    irq(3, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x0b);
    irq(4, 1);
    g_assert_cmpint(intr(), ==, 0);
    irq(1, 1);
    g_assert_cmpint(intr(), ==, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x09);
    out(0x20, 0x20); /* ends IRQ 1, the highest in service */
    g_assert_cmpint(intr(), ==, 0);
    out(0x20, 0x63); /* specific: IRQ 3 */
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x0c);
}

static void slave_goes_through_ir2(void)
{
    init_pair(0x01);
    irq(12, 1);
    g_assert_cmpint(intr(), ==, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x74);
    out(0x20, 0x0b);
    out(0xa0, 0x0b);
    g_assert_cmpuint(in(0x20), ==, 0x04);
    g_assert_cmpuint(in(0xa0), ==, 0x10);
    irq(14, 1);
    g_assert_cmpint(intr(), ==, 0);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x76);
}

static void special_fully_nested_slave_interrupts_itself(void)
{
    init_pair(0x11);
    irq(12, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x74);
    irq(8, 1);
    g_assert_cmpint(intr(), ==, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x70);
}

static void vanished_request_gives_ir7(void)
{
    init_pair(0x01);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x0f);
    out(0x20, 0x0b);
    g_assert_cmpuint(in(0x20), ==, 0x00); /* not in service */
    irq(9, 1);
    out(0xa1, 0xff);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x77); /* the slave's own */
    g_assert_cmpuint(in(0x20), ==, 0x04);
}

static void level_input_asks_while_high(void)
{
    init_pair(0x01);
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    g_assert_cmpuint(in(0x4d0), ==, 0xf8); /* 0, 1, 2, 8 and 13 are always edges */
    g_assert_cmpuint(in(0x4d1), ==, 0xde);
    irq(5, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x0d);
    out(0x20, 0x20);
    g_assert_cmpint(intr(), ==, 1);
    irq(5, 0);
    g_assert_cmpint(intr(), ==, 0);
}

static void automatic_eoi_leaves_nothing_in_service(void)
{
    init_pair(0x03);
    irq(4, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x0c);
    out(0x20, 0x0b);
    g_assert_cmpuint(in(0x20), ==, 0x00);
}

static void rotation_makes_the_served_lowest(void)
{
    init_pair(0x01);
    irq(3, 1);
    i8259->acknowledge(pic);
    out(0x20, 0xa0); /* rotate on non-specific EOI: now 4 is highest, 3 lowest */
    irq(1, 1);
    irq(5, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x0d);
    out(0x20, 0x20);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x09);
    out(0x20, 0x20);
    out(0x20, 0xc7); /* set priority: 7 lowest again */
    irq(6, 1);
    irq(0, 1);
    g_assert_cmpint(i8259->acknowledge(pic), ==, 0x08);
}

static void special_mask_lets_lower_levels_through(void)
{
    init_pair(0x01);
    irq(3, 1);
    i8259->acknowledge(pic);
    irq(6, 1);
    g_assert_cmpint(intr(), ==, 0);
    out(0x21, 0x08);
    out(0x20, 0x68);
    g_assert_cmpint(intr(), ==, 1);
    out(0x20, 0x48);
    g_assert_cmpint(intr(), ==, 0);
}

static void poll_acknowledges(void)
{
    init_pair(0x01);
    out(0x20, 0x0c);
    g_assert_cmpuint(in(0x20), ==, 0x00);
    irq(4, 1);
    out(0x20, 0x0c);
    g_assert_cmpuint(in(0x20), ==, 0x84);
    g_assert_cmpint(intr(), ==, 0);
    out(0x20, 0x0b);
    g_assert_cmpuint(in(0x20), ==, 0x10);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "isa-i8259", NULL, &pic, &err) < 0 ||
        bpc_require_interface("i8259", 1, (const void **)&i8259, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/i8259/" #name, name)
    CASE(edge_is_served_once);
    CASE(mask_hides_a_request);
    CASE(lower_priority_waits_for_eoi);
    CASE(slave_goes_through_ir2);
    CASE(special_fully_nested_slave_interrupts_itself);
    CASE(vanished_request_gives_ir7);
    CASE(level_input_asks_while_high);
    CASE(automatic_eoi_leaves_nothing_in_service);
    CASE(rotation_makes_the_served_lowest);
    CASE(special_mask_lets_lower_levels_through);
    CASE(poll_acknowledges);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
