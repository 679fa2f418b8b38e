/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keyboard controller, keyboard, mouse and port 0x92 (IBM PS/2 Technical Reference), fake host. */
#include <glib.h>

#include <bp/test.h>

static struct bp_test_host *host;
static struct bp_device *kbd, *port92;

static void command(uint8_t value)
{
    bp_test_out(host, 0x64, value, 1);
}

static void data(uint8_t value)
{
    bp_test_out(host, 0x60, value, 1);
}

static unsigned status(void)
{
    return (unsigned)bp_test_in(host, 0x64, 1);
}

static void expect(unsigned byte)
{
    g_assert_cmphex(status() & 0x21, ==, 0x01);
    g_assert_cmphex(bp_test_in(host, 0x60, 1), ==, byte);
}

static void expect_aux(unsigned byte)
{
    g_assert_cmphex(status() & 0x21, ==, 0x21);
    g_assert_cmphex(bp_test_in(host, 0x60, 1), ==, byte);
}

static int line(struct bp_device *dev, const char *name)
{
    return bp_irq_level(bp_device_irq_output(dev, name, 0));
}

static void count_pulse(void *opaque, unsigned n, int level)
{
    *(unsigned *)opaque += level != 0;
}

static void controller_tests_pass(void)
{
    bp_test_reset(host);
    g_assert_cmphex(status() & 0x01, ==, 0);
    command(0xaa);
    expect(0x55);
    command(0xab);
    expect(0x00);
    command(0xa9);
    expect(0x00);
    g_assert_cmphex(status() & 0x05, ==, 0x04);
}

static void command_byte_is_kept(void)
{
    bp_test_reset(host);
    command(0x60);
    data(0x61);
    command(0x20);
    expect(0x61);
    command(0xa7);
    command(0xad);
    command(0x20);
    expect(0x71);
    command(0x7f);
    data(0x42);
    command(0x3f);
    expect(0x42);
}

static void keyboard_resets_and_says_what_it_is(void)
{
    bp_test_reset(host);
    data(0xff);
    expect(0xfa);
    expect(0xaa);
    data(0xf2);
    expect(0xfa);
    expect(0xab);
    expect(0x41); /* 0x83 in the translation to set 1 */
    command(0x60);
    data(0x05); /* no translation */
    data(0xf2);
    expect(0xfa);
    expect(0xab);
    expect(0x83);
    data(0xf0);
    expect(0xfa);
    data(0x00);
    expect(0xfa);
    expect(0x02);
    data(0xee);
    expect(0xee);
    data(0xed);
    expect(0xfa);
    data(0x07);
    expect(0xfa);
    data(0x01);
    expect(0xfe);
}

static void each_byte_makes_an_interrupt(void)
{
    bp_test_reset(host);
    data(0xff);
    g_assert_cmpint(line(kbd, "irq1"), ==, 1);
    g_assert_cmpint(line(kbd, "irq12"), ==, 0);
    expect(0xfa);
    g_assert_cmpint(line(kbd, "irq1"), ==, 1);
    expect(0xaa);
    g_assert_cmpint(line(kbd, "irq1"), ==, 0);
    command(0xd3);
    data(0x5a);
    g_assert_cmpint(line(kbd, "irq12"), ==, 1);
    expect_aux(0x5a);
    g_assert_cmpint(line(kbd, "irq12"), ==, 0);
}

static void mouse(uint8_t byte)
{
    command(0xd4);
    data(byte);
}

static void mouse_answers_and_shows_its_wheel(void)
{
    static const uint8_t knock[] = {200, 100, 80};

    bp_test_reset(host);
    mouse(0xff);
    expect_aux(0xfa);
    expect_aux(0xaa);
    expect_aux(0x00);
    mouse(0xf2);
    expect_aux(0xfa);
    expect_aux(0x00);
    for (size_t i = 0; i < sizeof(knock); i++) {
        mouse(0xf3);
        expect_aux(0xfa);
        mouse(knock[i]);
        expect_aux(0xfa);
    }
    mouse(0xf2);
    expect_aux(0xfa);
    expect_aux(0x03);
    mouse(0xf4);
    expect_aux(0xfa);
    mouse(0xe9);
    expect_aux(0xfa);
    expect_aux(0x20);
    expect_aux(0x02);
    expect_aux(80);
}

static void mouse_is_read_on_demand(void)
{
    bp_test_reset(host);
    mouse(0xf0); /* remote mode */
    expect_aux(0xfa);
    mouse(0xeb);
    expect_aux(0xfa);
    expect_aux(0x08); /* no button; nothing moved */
    expect_aux(0x00);
    expect_aux(0x00);
}

static void queue_is_bounded(void)
{
    unsigned n = 0;

    bp_test_reset(host);
    for (int i = 0; i < 1000; i++)
        data(0xf2);
    while (status() & 1) {
        bp_test_in(host, 0x60, 1);
        g_assert_cmpuint(++n, <, 200);
    }
    data(0xee);
    expect(0xee);
}

static void a20_and_reset_lines(void)
{
    unsigned pulses = 0;

    bp_irq_connect(bp_device_irq_output(kbd, "reset", 0),
                   bp_irq_new(bp_device_owner(kbd), count_pulse, &pulses, 0));
    bp_irq_connect(bp_device_irq_output(port92, "reset", 0),
                   bp_irq_new(bp_device_owner(port92), count_pulse, &pulses, 0));
    bp_test_reset(host);
    g_assert_cmpint(line(kbd, "a20"), ==, 1);
    command(0xd1);
    data(0xdd);
    g_assert_cmpint(line(kbd, "a20"), ==, 0);
    command(0xdf);
    g_assert_cmpint(line(kbd, "a20"), ==, 1);
    g_assert_cmpuint(pulses, ==, 0);
    command(0xfe);
    g_assert_cmpuint(pulses, ==, 1);
    command(0xd1);
    data(0xde); /* the output port's bit 0 falls */
    g_assert_cmpuint(pulses, ==, 2);
    command(0xd1);
    data(0xdf);
    bp_test_out(host, 0x92, 0x00, 1);
    g_assert_cmpint(line(port92, "a20"), ==, 0);
    bp_test_out(host, 0x92, 0x02, 1);
    g_assert_cmpint(line(port92, "a20"), ==, 1);
    bp_test_out(host, 0x92, 0x03, 1);
    bp_test_out(host, 0x92, 0x03, 1);
    g_assert_cmpuint(pulses, ==, 3); /* only the rise counts */
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "i8042", NULL, &kbd, &err) < 0 ||
        bp_test_device(host, "port92", NULL, &port92, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/i8042/" #name, name)
    CASE(controller_tests_pass);
    CASE(command_byte_is_kept);
    CASE(keyboard_resets_and_says_what_it_is);
    CASE(each_byte_makes_an_interrupt);
    CASE(mouse_answers_and_shows_its_wheel);
    CASE(queue_is_bounded);
    CASE(mouse_is_read_on_demand);
    CASE(a20_and_reset_lines);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
