/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys and pointers of SPICE clients. Keys are scan codes of set 1, byte after byte. */
#include "spice-server.h"

#include <stdio.h>
#include <string.h>

#include <linux/input-event-codes.h>

#define input (*spice_input)

static struct spice_ui *the_ui;
static uint32_t buttons_down;
static bool e0;
static unsigned skip; /* bytes of e1 that are to come */
static bool has_tablet;
static uint32_t width = 640, height = 480;

static struct bp_console *seat(void)
{
    return (*spice_display)->console_at(the_ui->machine, 0);
}

static void send_events(const struct bp_input_event *events, unsigned count)
{
    /* Where nobody takes it, or the machine stands, it is lost as at a real one. */
    if (count)
        input->send(the_ui->machine, seat(), events, count, NULL);
}

static void key(uint16_t code, bool down)
{
    const struct bp_input_event event = {BP_INPUT_KEY, code, down};

    if (code)
        send_events(&event, 1);
}

static void push_scan_freg(SpiceKbdInstance *keyboard, uint8_t byte)
{
    char text[8];

    (void)keyboard;
    if (byte == 0xe0) {
        e0 = true;
        return;
    }
    if (byte == 0xe1) { /* Pause: e1 1d 45, e1 9d c5 */
        skip = 2;
        return;
    }
    if (skip) {
        if (--skip == 0)
            key(KEY_PAUSE, !(byte & 0x80));
        return;
    }
    snprintf(text, sizeof(text), "0x%x", (byte & 0x7f) | (e0 ? 0x80 : 0));
    e0 = false;
    key(input->key_code(text), !(byte & 0x80));
}

static uint8_t get_leds(SpiceKbdInstance *keyboard)
{
    uint32_t leds = input->leds(the_ui->machine, seat());

    (void)keyboard;
    return (uint8_t)((leds & BP_INPUT_LED_SCROLL ? SPICE_KEYBOARD_MODIFIER_FLAGS_SCROLL_LOCK : 0) |
                     (leds & BP_INPUT_LED_NUM ? SPICE_KEYBOARD_MODIFIER_FLAGS_NUM_LOCK : 0) |
                     (leds & BP_INPUT_LED_CAPS ? SPICE_KEYBOARD_MODIFIER_FLAGS_CAPS_LOCK : 0));
}

static void set_buttons(uint32_t buttons)
{
    static const struct {
        uint32_t mask;
        uint16_t code;
    } map[] = {{SPICE_MOUSE_BUTTON_MASK_LEFT, BTN_LEFT}, {SPICE_MOUSE_BUTTON_MASK_MIDDLE, BTN_MIDDLE},
               {SPICE_MOUSE_BUTTON_MASK_RIGHT, BTN_RIGHT}, {SPICE_MOUSE_BUTTON_MASK_SIDE, BTN_SIDE},
               {SPICE_MOUSE_BUTTON_MASK_EXTRA, BTN_EXTRA}};

    for (unsigned i = 0; i < BP_COUNT(map); i++)
        if ((buttons ^ buttons_down) & map[i].mask)
            key(map[i].code, (buttons & map[i].mask) != 0);
    buttons_down = buttons;
}

static void turn(int towards_user)
{
    const struct bp_input_event event = {BP_INPUT_REL, REL_WHEEL, -towards_user};

    if (towards_user)
        send_events(&event, 1);
}

static void mouse_motion(SpiceMouseInstance *mouse, int dx, int dy, int dz, uint32_t buttons)
{
    const struct bp_input_event events[] = {{BP_INPUT_REL, REL_X, dx}, {BP_INPUT_REL, REL_Y, dy}};

    (void)mouse;
    if (dx || dy)
        send_events(events, 2);
    turn(dz);
    set_buttons(buttons);
}

static void mouse_buttons(SpiceMouseInstance *mouse, uint32_t buttons)
{
    (void)mouse;
    set_buttons(buttons);
}

/* [worker] 0 x 0, while a surface goes: positions are those of the old one until there is another. */
static void set_logical_size(SpiceTabletInstance *tablet, int w, int h)
{
    (void)tablet;
    if (w <= 0 || h <= 0)
        return;
    width = (uint32_t)w;
    height = (uint32_t)h;
}

static void tablet_position(SpiceTabletInstance *tablet, int x, int y, uint32_t buttons)
{
    (void)tablet;
    input->pointer(the_ui->machine, seat(), x, y, width, height, NULL);
    set_buttons(buttons);
}

static void tablet_wheel(SpiceTabletInstance *tablet, int wheel, uint32_t buttons)
{
    (void)tablet;
    turn(wheel);
    set_buttons(buttons);
}

static void tablet_buttons(SpiceTabletInstance *tablet, uint32_t buttons)
{
    (void)tablet;
    set_buttons(buttons);
}

static const SpiceKbdInterface keyboard_interface = {
    .base = {SPICE_INTERFACE_KEYBOARD, "keyboard", SPICE_INTERFACE_KEYBOARD_MAJOR, SPICE_INTERFACE_KEYBOARD_MINOR},
    .push_scan_freg = push_scan_freg, .get_leds = get_leds};
static const SpiceMouseInterface mouse_interface = {
    .base = {SPICE_INTERFACE_MOUSE, "mouse", SPICE_INTERFACE_MOUSE_MAJOR, SPICE_INTERFACE_MOUSE_MINOR},
    .motion = mouse_motion, .buttons = mouse_buttons};
static const SpiceTabletInterface tablet_interface = {
    .base = {SPICE_INTERFACE_TABLET, "tablet", SPICE_INTERFACE_TABLET_MAJOR, SPICE_INTERFACE_TABLET_MINOR},
    .set_logical_size = set_logical_size, .position = tablet_position, .wheel = tablet_wheel,
    .buttons = tablet_buttons};
static SpiceKbdInstance keyboard = {.base = {&keyboard_interface.base}, .st = NULL};
static SpiceMouseInstance mouse = {.base = {&mouse_interface.base}, .st = NULL};
static SpiceTabletInstance tablet = {.base = {&tablet_interface.base}, .st = NULL};

/* A client sends positions as long as there is a tablet. */
static void changed(void *opaque)
{
    bool absolute = input->is_absolute(the_ui->machine, seat());

    (void)opaque;
    spice_server_kbd_leds(&keyboard, get_leds(&keyboard));
    if (absolute == has_tablet)
        return;
    has_tablet = absolute;
    if (absolute)
        spice_server_add_interface(the_ui->server, &tablet.base);
    else
        spice_server_remove_interface(&tablet.base);
}

void spice_inputs_open(struct spice_ui *ui)
{
    the_ui = ui;
    spice_server_add_interface(ui->server, &keyboard.base);
    spice_server_add_interface(ui->server, &mouse.base);
    input->listen(changed, NULL);
    changed(NULL);
}
