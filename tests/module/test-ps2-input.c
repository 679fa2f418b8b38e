/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys and motion from input/1 as a guest reads them of the PS/2 keyboard and mouse, on the fake host. */
#include <errno.h>
#include <glib.h>

#include <linux/input-event-codes.h>

#include <bp/host/input.h>
#include <bp/test.h>

static struct bp_test_host *host;
static const struct bp_input_interface *input;

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

static void send(uint16_t type, uint16_t code, int32_t value)
{
    const struct bp_input_event event = {type, code, value};
    struct bp_error err = {0};
    int ret = input->send(bp_test_machine(host), NULL, &event, 1, &err);

    g_assert_cmpstr(err.message, ==, "");
    g_assert_cmpint(ret, ==, 0);
    bp_test_step(host, 0);
}

static void key(uint16_t code, bool down)
{
    send(BP_INPUT_KEY, code, down);
}

static void expect_bytes(const char *bytes, size_t count, void (*one)(unsigned byte))
{
    for (size_t i = 0; i < count; i++)
        one((uint8_t)bytes[i]);
    g_assert_cmphex(status() & 1, ==, 0);
}
#define EXPECT(bytes) expect_bytes(bytes, sizeof(bytes) - 1, expect)
#define PACKET(bytes) expect_bytes(bytes, sizeof(bytes) - 1, expect_aux)

static void keyboard(uint8_t byte)
{
    data(byte);
    expect(0xfa);
}

static void mouse(uint8_t byte)
{
    command(0xd4);
    data(byte);
    expect_aux(0xfa);
}

static void keys_have_codes_of_each_set(void)
{
    bp_test_reset(host);
    command(0x60);
    data(0x03); /* set 2 without the controller's translation */
    key(KEY_A, true);
    EXPECT("\x1c");
    key(KEY_A, false);
    EXPECT("\xf0\x1c");
    key(KEY_RIGHTCTRL, true);
    EXPECT("\xe0\x14");
    key(KEY_RIGHTCTRL, false);
    EXPECT("\xe0\xf0\x14");
    key(KEY_PAUSE, true);
    key(KEY_PAUSE, false);
    EXPECT("\xe1\x14\x77\xe1\xf0\x14\xf0\x77");
    key(KEY_SYSRQ, true);
    key(KEY_SYSRQ, false);
    EXPECT("\xe0\x12\xe0\x7c\xe0\xf0\x7c\xe0\xf0\x12");
    key(KEY_LEFTALT, true);
    EXPECT("\x11");
    key(KEY_SYSRQ, true);
    EXPECT("\x84");
    key(KEY_LEFTALT, false);
    EXPECT("\xf0\x11");
    keyboard(0xf0);
    keyboard(1);
    key(KEY_A, true);
    key(KEY_A, false);
    key(KEY_UP, true);
    key(KEY_UP, false);
    EXPECT("\x1e\x9e\xe0\x48\xe0\xc8");
    keyboard(0xf0);
    keyboard(3);
    key(KEY_A, true);
    key(KEY_A, false); /* says nothing */
    key(KEY_LEFTSHIFT, true);
    key(KEY_LEFTSHIFT, false);
    EXPECT("\x1c\x12\xf0\x12");
    keyboard(0xf8);
    key(KEY_ESC, true);
    key(KEY_ESC, false);
    EXPECT("\x08\xf0\x08");
    keyboard(0xfd); /* this one not any more */
    keyboard(0x08);
    keyboard(0xf4);
    key(KEY_ESC, true);
    key(KEY_ESC, false);
    EXPECT("\x08");
    keyboard(0xf5); /* no keys at all */
    key(KEY_ESC, true);
    g_assert_cmphex(status() & 1, ==, 0);
}

static void controller_translates_to_set_1(void)
{
    bp_test_reset(host);
    key(KEY_ENTER, true);
    key(KEY_ENTER, false);
    EXPECT("\x1c\x9c");
    key(KEY_F7, true);
    key(KEY_F7, false);
    EXPECT("\x41\xc1");
    key(KEY_KPENTER, true);
    key(KEY_KPENTER, false);
    EXPECT("\xe0\x1c\xe0\x9c");
    key(KEY_PAUSE, true);
    EXPECT("\xe1\x1d\x45\xe1\x9d\xc5");
    key(KEY_SYSRQ, true);
    key(KEY_SYSRQ, false);
    EXPECT("\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa");
    /* Every key of the first PC has the number that evdev took over. */
    for (uint16_t code = KEY_ESC; code <= KEY_KPDOT; code++) {
        key(code, true);
        expect(code);
        key(code, false);
        expect(code | 0x80u);
    }
}

static void keys_are_not_lost_while_nobody_reads(void)
{
    bp_test_reset(host);
    for (unsigned i = 0; i < 500; i++) {
        key((uint16_t)(KEY_1 + i % 9), true);
        key((uint16_t)(KEY_1 + i % 9), false);
    }
    for (unsigned i = 0; i < 500; i++) {
        expect(2 + i % 9);
        bp_test_step(host, 0);
        expect((2 + i % 9) | 0x80);
        bp_test_step(host, 0);
    }
    g_assert_cmphex(status() & 1, ==, 0);
}

static void sender_is_told_when_no_more_is_taken(void)
{
    struct bp_input_event events[2] = {{BP_INPUT_KEY, KEY_Z, 1}, {BP_INPUT_KEY, KEY_Z, 0}};
    struct bp_error err = {0};
    unsigned sent = 0;

    bp_test_reset(host);
    while (input->send(bp_test_machine(host), NULL, events, 2, &err) == 0) {
        bp_test_step(host, 0);
        g_assert_cmpuint(++sent, <, 10000);
    }
    g_assert_cmpint(err.code, ==, EBUSY);
    g_assert_cmpuint(sent, >, 1000);
    for (unsigned i = 0; i < sent; i++) {
        expect(0x2c);
        bp_test_step(host, 0);
        expect(0xac);
        bp_test_step(host, 0);
    }
    g_assert_cmphex(status() & 1, ==, 0);
    events[0].code = 0x3ff;
    g_assert_cmpint(input->send(bp_test_machine(host), NULL, events, 1, &err), ==, -EINVAL);
    events[0] = (struct bp_input_event){BP_INPUT_ABS, ABS_X, 5};
    g_assert_cmpint(input->send(bp_test_machine(host), NULL, events, 1, &err), ==, -ENODEV);
}

static void mouse_tells_motion_wheel_and_buttons(void)
{
    static const uint8_t wheel[] = {0xf3, 200, 0xf3, 100, 0xf3, 80};
    static const uint8_t five[] = {0xf3, 200, 0xf3, 200, 0xf3, 80};

    bp_test_reset(host);
    send(BP_INPUT_REL, REL_X, 5); /* nobody asked for it */
    mouse(0xf4);
    g_assert_cmphex(status() & 1, ==, 0);
    send(BP_INPUT_REL, REL_X, 5);
    PACKET("\x08\x05\x00");
    send(BP_INPUT_REL, REL_Y, 3); /* down is negative */
    PACKET("\x28\x00\xfd");
    send(BP_INPUT_KEY, BTN_LEFT, 1);
    PACKET("\x09\x00\x00");
    send(BP_INPUT_KEY, BTN_MIDDLE, 1);
    PACKET("\x0d\x00\x00");
    send(BP_INPUT_KEY, BTN_LEFT, 0);
    PACKET("\x0c\x00\x00");
    send(BP_INPUT_KEY, BTN_MIDDLE, 0);
    PACKET("\x08\x00\x00");
    send(BP_INPUT_REL, REL_X, -600); /* more than a packet holds */
    PACKET("\x18\x01\x00\x18\x01\x00\x18\xa6\x00");
    mouse(0xe9);
    PACKET("\x20\x02\x64");
    mouse(0xe7); /* twice as far, small ways as they are */
    send(BP_INPUT_REL, REL_X, 4);
    PACKET("\x08\x06\x00");
    send(BP_INPUT_REL, REL_X, -20);
    PACKET("\x18\xd8\x00");
    mouse(0xe6);
    for (unsigned i = 0; i < sizeof(wheel); i++)
        mouse(wheel[i]);
    send(BP_INPUT_REL, REL_WHEEL, 1); /* away from the user */
    PACKET("\x08\x00\x00\xff");
    for (unsigned i = 0; i < sizeof(five); i++)
        mouse(five[i]);
    send(BP_INPUT_KEY, BTN_SIDE, 1);
    PACKET("\x08\x00\x00\x10");
    send(BP_INPUT_REL, REL_WHEEL, -1);
    PACKET("\x08\x00\x00\x11");
}

static void clicks_are_not_lost_while_nobody_reads(void)
{
    unsigned clicks = 0;

    bp_test_reset(host);
    mouse(0xf4);
    for (unsigned i = 0; i < 200; i++) {
        send(BP_INPUT_KEY, BTN_LEFT, 1);
        send(BP_INPUT_KEY, BTN_LEFT, 0);
    }
    for (bool down = false; status() & 1; bp_test_step(host, 0)) {
        unsigned first = (unsigned)bp_test_in(host, 0x60, 1);

        bp_test_in(host, 0x60, 1);
        bp_test_in(host, 0x60, 1);
        g_assert_cmphex(first & 8, ==, 8);
        clicks += (first & 1) && !down;
        down = first & 1;
    }
    g_assert_cmpuint(clicks, ==, 200);
}

static void leds_reach_the_sender(void)
{
    bp_test_reset(host);
    keyboard(0xed);
    keyboard(5);
    g_assert_cmpuint(input->leds(bp_test_machine(host), NULL), ==,
                     BP_INPUT_LED_CAPS | BP_INPUT_LED_SCROLL);
    bp_test_reset(host);
    g_assert_cmpuint(input->leds(bp_test_machine(host), NULL), ==, 0);
}

static void what_is_down_goes_up(void)
{
    bp_test_reset(host);
    key(KEY_LEFTCTRL, true);
    key(KEY_C, true);
    EXPECT("\x1d\x2e");
    input->release_all(bp_test_machine(host), NULL);
    bp_test_step(host, 0);
    EXPECT("\xae\x9d");
    input->release_all(bp_test_machine(host), NULL);
    bp_test_step(host, 0);
    g_assert_cmphex(status() & 1, ==, 0);
}

static void pointer_positions_become_ways(void)
{
    struct bp_error err = {0};

    bp_test_reset(host);
    mouse(0xf4);
    g_assert_false(input->is_absolute(bp_test_machine(host), NULL));
    g_assert_cmpint(input->pointer(bp_test_machine(host), NULL, 100, 100, 640, 480, &err), ==, 0);
    bp_test_step(host, 0);
    g_assert_cmphex(status() & 1, ==, 0); /* the first one only says where it is */
    g_assert_cmpint(input->pointer(bp_test_machine(host), NULL, 110, 95, 640, 480, &err), ==, 0);
    bp_test_step(host, 0);
    PACKET("\x08\x0a\x05");
}

static void paused_machine_takes_no_input(void)
{
    const struct bp_input_event event = {BP_INPUT_KEY, KEY_A, 1};
    struct bp_error err = {0};

    bp_test_reset(host);
    bp_test_run(host, false);
    g_assert_cmpint(input->send(bp_test_machine(host), NULL, &event, 1, &err), ==, -EAGAIN);
    bp_test_run(host, true);
    key(KEY_A, true);
    EXPECT("\x1e");
}

static void names_lead_to_keys(void)
{
    g_assert_cmpuint(input->key_code("ctrl"), ==, KEY_LEFTCTRL);
    g_assert_cmpuint(input->key_code("kp_enter"), ==, KEY_KPENTER);
    g_assert_cmpuint(input->key_code("0x1c"), ==, KEY_ENTER);
    g_assert_cmpuint(input->key_code("0x9c"), ==, KEY_KPENTER);
    g_assert_cmpuint(input->key_code("0xd3"), ==, KEY_DELETE);
    g_assert_cmpuint(input->key_code("nokey"), ==, 0);
    g_assert_cmpuint(input->key_code("unmapped"), ==, 0);
    g_assert_cmpuint(input->key_code("0x"), ==, 0);
    g_assert_cmpstr(input->key_name(KEY_LEFTCTRL), ==, "ctrl");
    g_assert_null(input->key_name(0));
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    struct bp_device *kbd;
    const void *table;
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "i8042", NULL, &kbd, &err) < 0 ||
        bp_test_interface(host, "input", 1, &table, &err) < 0)
        g_error("%s", err.message);
    input = table;
    bp_test_run(host, true);
#define CASE(name) g_test_add_func("/ps2-input/" #name, name)
    CASE(keys_have_codes_of_each_set);
    CASE(controller_translates_to_set_1);
    CASE(keys_are_not_lost_while_nobody_reads);
    CASE(sender_is_told_when_no_more_is_taken);
    CASE(mouse_tells_motion_wheel_and_buttons);
    CASE(clicks_are_not_lost_while_nobody_reads);
    CASE(leds_reach_the_sender);
    CASE(what_is_down_goes_up);
    CASE(pointer_positions_become_ways);
    CASE(paused_machine_takes_no_input);
    CASE(names_lead_to_keys);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
