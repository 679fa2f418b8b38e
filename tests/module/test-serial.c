/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The 16550A against the National PC16550D data sheet, on the fake host. */
#include <glib.h>

#include <bp/host/chardev.h>
#include <bp/test.h>

#include "registry.h"

#define PORT 0x3f8
#define IRQ 4

static struct bp_test_host *host;
static struct bp_chardev *chr;
static const struct bp_chardev_interface *chardev;

static void out(unsigned reg, uint8_t value)
{
    bp_test_out(host, (uint16_t)(PORT + reg), value, 1);
}

static unsigned in(unsigned reg)
{
    return (unsigned)bp_test_in(host, (uint16_t)(PORT + reg), 1);
}

/* Bytes arrive from the back end as far as the port takes them; returns how many. */
static size_t arrive(const char *text)
{
    size_t len = strlen(text), room = chardev->can_read(chr);

    if (room > len)
        room = len;
    if (room)
        chardev->received(chr, (const uint8_t *)text, room);
    return room;
}

static void start(uint8_t fcr)
{
    bp_test_reset(host);
    out(3, 0x03);
    out(2, fcr);
    out(4, 0x08); /* OUT2 lets interrupts out */
    in(6);
}

static void registers_read_back(void)
{
    start(0);
    out(7, 0xa5);
    g_assert_cmphex(in(7), ==, 0xa5);
    out(3, 0x83);
    out(0, 0x34);
    out(1, 0x12);
    g_assert_cmphex(in(0), ==, 0x34);
    g_assert_cmphex(in(1), ==, 0x12);
    out(3, 0x03);
    g_assert_cmphex(in(1), ==, 0x00); /* IER */
    out(1, 0xff);
    g_assert_cmphex(in(1), ==, 0x0f);
    g_assert_cmphex(in(5), ==, 0x60);
    g_assert_cmphex(in(2) & 0xc0, ==, 0x00);
    out(2, 0x01);
    g_assert_cmphex(in(2) & 0xc0, ==, 0xc0);
}

static void empty_transmitter_interrupts_until_iir_is_read(void)
{
    start(0x01);
    out(1, 0x02);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 1);
    g_assert_cmphex(in(2), ==, 0xc2);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
    g_assert_cmphex(in(2), ==, 0xc1);
    out(0, 'x');
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 1);
    out(1, 0x00);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
}

static void out2_gates_the_line(void)
{
    start(0x01);
    out(4, 0x00);
    out(1, 0x02);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
    g_assert_cmphex(in(2) & 0x0f, ==, 0x02);
}

static void received_bytes_come_in_order(void)
{
    start(0x01);
    out(1, 0x01);
    g_assert_cmpuint(arrive("abc"), ==, 3);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 1);
    g_assert_cmphex(in(2), ==, 0xc4);
    g_assert_cmphex(in(5), ==, 0x61);
    g_assert_cmpuint(in(0), ==, 'a');
    g_assert_cmpuint(in(0), ==, 'b');
    g_assert_cmpuint(in(0), ==, 'c');
    g_assert_cmphex(in(5), ==, 0x60);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
}

static void full_fifo_holds_the_sender_off(void)
{
    start(0x01);
    g_assert_cmpuint(arrive("0123456789abcdefXYZ"), ==, 16);
    g_assert_cmpuint(arrive("X"), ==, 0);
    for (const char *p = "0123456789abcdef"; *p; p++)
        g_assert_cmpuint(in(0), ==, (guint)*p);
    g_assert_cmphex(in(5) & 0x02, ==, 0); /* no overrun */
    out(2, 0x00);
    g_assert_cmpuint(arrive("ab"), ==, 1); /* without FIFOs: the holding register */
    in(0);
}

static void trigger_level_and_timeout(void)
{
    start(0x81); /* 8 bytes */
    out(3, 0x83);
    out(0, 1); /* 115200 baud */
    out(1, 0);
    out(3, 0x03);
    out(1, 0x01);
    arrive("1234567");
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
    bp_test_step(host, 4 * 86800); /* just under four characters */
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
    bp_test_step(host, 1000);
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 1);
    g_assert_cmphex(in(2), ==, 0xcc);
    g_assert_cmpuint(in(0), ==, '1');
    g_assert_cmpint(bp_test_line(host, IRQ), ==, 0);
    arrive("89");
    g_assert_cmphex(in(2), ==, 0xc4);
}

static void loopback_returns_bytes_and_modem_lines(void)
{
    start(0x01);
    out(4, 0x1a); /* loop, OUT2, RTS */
    g_assert_cmphex(in(6) & 0xf0, ==, 0x90); /* DCD by OUT2, CTS by RTS */
    out(0, 0x5a);
    g_assert_cmphex(in(5) & 0x01, ==, 0x01);
    g_assert_cmphex(in(0), ==, 0x5a);
    out(4, 0x10);
    g_assert_cmphex(in(6), ==, 0x09); /* both dropped */
    g_assert_cmphex(in(6), ==, 0x00);
    for (int i = 0; i < 17; i++)
        out(0, (uint8_t)i);
    g_assert_cmphex(in(5) & 0x02, ==, 0x02); /* overrun */
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(in(0), ==, i);
}

static void modem_lines_of_a_peer_are_up(void)
{
    start(0x01);
    g_assert_cmphex(in(6) & 0xf0, ==, 0xb0);
}

static void interrupts_have_their_priorities(void)
{
    start(0x01);
    out(4, 0x18);
    out(1, 0x0f);
    out(4, 0x1b); /* modem change */
    for (int i = 0; i < 17; i++)
        out(0, 0); /* overrun, data, THR empty */
    g_assert_cmphex(in(2), ==, 0xc6);
    in(5);
    g_assert_cmphex(in(2), ==, 0xc4);
    for (int i = 0; i < 16; i++)
        in(0);
    g_assert_cmphex(in(2), ==, 0xc2);
    g_assert_cmphex(in(2), ==, 0xc0);
    in(6);
    g_assert_cmphex(in(2), ==, 0xc1);
}

static void fifo_clear_and_toggle_drop_bytes(void)
{
    start(0x01);
    arrive("abc");
    out(2, 0x03);
    g_assert_cmphex(in(5) & 0x01, ==, 0);
    arrive("abc");
    out(2, 0x00);
    g_assert_cmphex(in(5) & 0x01, ==, 0);
}

static void break_is_a_zero_byte_with_its_flag(void)
{
    start(0x01);
    out(4, 0x18);
    out(1, 0x04);
    out(3, 0x43);
    g_assert_cmphex(in(2), ==, 0xc6);
    g_assert_cmphex(in(5) & 0x91, ==, 0x91);
    g_assert_cmphex(in(5) & 0x90, ==, 0x00);
    g_assert_cmphex(in(0), ==, 0);
}

static void ports_take_the_next_free_place(void)
{
    struct bp_error err = {0};
    struct bp_device *a, *b;

    g_assert_cmpint(bp_test_device(host, "isa-serial", NULL, &a, &err), ==, 0);
    g_assert_cmpuint(bp_test_in(host, 0x2f8 + 5, 1), ==, 0x60);
    g_assert_cmpint(bp_test_device(host, "isa-serial", "index=3,irq=7", &b, &err), ==, 0);
    g_assert_cmpuint(bp_test_in(host, 0x2e8 + 5, 1), ==, 0x60);
    bp_device_destroy(b);
    g_assert_cmpint(bp_test_device(host, "isa-serial", "index=4", &b, &err), <, 0);
    g_assert_nonnull(strstr(err.message, "index"));
    bp_device_destroy(a);
}

static int make_port(struct bp_error *err)
{
    struct bp_value *args = bp_value_dict();
    struct bp_device *dev;
    int rc = bpc_require_interface("chardev", 1, (const void **)&chardev, err);

    bp_value_set(args, "id", bp_value_string("c0"));
    bp_value_set(args, "backend", bp_value_string("null"));
    if (rc == 0)
        rc = chardev->create(args, &chr, err);
    bp_value_unref(args);
    return rc < 0 ? rc : bp_test_device(host, "isa-serial", "chardev=c0", &dev, err);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 || make_port(&err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/serial/" #name, name)
    CASE(registers_read_back);
    CASE(empty_transmitter_interrupts_until_iir_is_read);
    CASE(out2_gates_the_line);
    CASE(received_bytes_come_in_order);
    CASE(full_fifo_holds_the_sender_off);
    CASE(trigger_level_and_timeout);
    CASE(loopback_returns_bytes_and_modem_lines);
    CASE(modem_lines_of_a_peer_are_up);
    CASE(interrupts_have_their_priorities);
    CASE(fifo_clear_and_toggle_drop_bytes);
    CASE(break_is_a_zero_byte_with_its_flag);
    CASE(ports_take_the_next_free_place);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
