/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interfaces Keyboard, Mouse and MultiTouch. Keys are "qnum" numbers: XT scan codes, with 0x80 added where e0 comes
 * before them; positions are pixels of the console.
 */
#include "dbus-display.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <linux/input-event-codes.h>

#define input (*dbus_display_input)
#define SLOTS 10u

static int give(sd_bus_message *m, struct dbus_console *c, const struct bp_input_event *events, unsigned count,
                sd_bus_error *error)
{
    struct bp_error err = {0};
    int r = input->send(c->machine, c->console, events, count, &err);

    if (r == -ENODEV)
        return sd_bus_error_set(error, SD_BUS_ERROR_NOT_SUPPORTED, err.message);
    return r < 0 ? dbus_fail(error, &err) : sd_bus_reply_method_return(m, NULL);
}

/* ---- Keyboard ---- */

static int key(sd_bus_message *m, struct dbus_console *c, bool down, sd_bus_error *error)
{
    struct bp_input_event event = {.type = BP_INPUT_KEY, .value = down};
    uint32_t number;
    char text[16];
    int r = sd_bus_message_read(m, "u", &number);

    if (r < 0)
        return r;
    snprintf(text, sizeof(text), "0x%x", number);
    event.code = input->key_code(text);
    if (!event.code)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "no key has the number 0x%x", number);
    return give(m, c, &event, 1, error);
}

static int key_press(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    return key(m, opaque, true, error);
}

static int key_release(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    return key(m, opaque, false, error);
}

/* Scroll lock 1, num lock 2, caps lock 4: as BP_INPUT_LED_* are. */
DBUS_GETTER(modifiers)
{
    const struct dbus_console *c = opaque;

    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "u", input->leds(c->machine, c->console));
}

const sd_bus_vtable dbus_keyboard_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Press", SD_BUS_ARGS("u", keycode), SD_BUS_NO_RESULT, key_press,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_ARGS("u", keycode), SD_BUS_NO_RESULT, key_release,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Modifiers", "u", modifiers, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE), SD_BUS_VTABLE_END};

/* ---- Mouse ---- */

static int button(sd_bus_message *m, struct dbus_console *c, bool down, sd_bus_error *error)
{
    static const struct bp_input_event events[] = {
        {BP_INPUT_KEY, BTN_LEFT, 1}, {BP_INPUT_KEY, BTN_MIDDLE, 1}, {BP_INPUT_KEY, BTN_RIGHT, 1},
        {BP_INPUT_REL, REL_WHEEL, 1}, {BP_INPUT_REL, REL_WHEEL, -1}, {BP_INPUT_KEY, BTN_SIDE, 1},
        {BP_INPUT_KEY, BTN_EXTRA, 1}};
    struct bp_input_event event;
    uint32_t number;
    int r = sd_bus_message_read(m, "u", &number);

    if (r < 0)
        return r;
    if (number >= BP_COUNT(events))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "there is no button %u: 0..6 are left, middle, "
                                 "right, wheel up, wheel down, side, extra", number);
    event = events[number];
    if (event.type == BP_INPUT_REL && !down)
        return sd_bus_reply_method_return(m, NULL); /* a wheel turned when it was pressed */
    if (!down)
        event.value = 0;
    return give(m, c, &event, 1, error);
}

static int button_press(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    return button(m, opaque, true, error);
}

static int button_release(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    return button(m, opaque, false, error);
}

static int set_position(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct dbus_console *c = opaque;
    struct bp_error err = {0};
    uint32_t x, y;
    int r = sd_bus_message_read(m, "uu", &x, &y);

    if (r < 0)
        return r;
    if (!input->is_absolute(c->machine, c->console))
        return sd_bus_error_set(error, SD_BUS_ERROR_FAILED, "the pointer is not absolute: use RelMotion");
    dbus_console_size(c);
    if (x >= c->width || y >= c->height)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "%u, %u is not on the screen of %u x %u pixels", x,
                                 y, c->width, c->height);
    r = input->pointer(c->machine, c->console, (int32_t)x, (int32_t)y, c->width, c->height, &err);
    return r < 0 ? dbus_fail(error, &err) : sd_bus_reply_method_return(m, NULL);
}

static int move(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct dbus_console *c = opaque;
    int32_t dx, dy;
    int r = sd_bus_message_read(m, "ii", &dx, &dy);
    const struct bp_input_event events[] = {{BP_INPUT_REL, REL_X, dx}, {BP_INPUT_REL, REL_Y, dy}};

    if (r < 0)
        return r;
    if (input->is_absolute(c->machine, c->console))
        return sd_bus_error_set(error, SD_BUS_ERROR_FAILED, "the pointer is absolute: use SetAbsPosition");
    return give(m, c, events, 2, error);
}

DBUS_GETTER(is_absolute)
{
    const struct dbus_console *c = opaque;

    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "b", (int)input->is_absolute(c->machine, c->console));
}

const sd_bus_vtable dbus_mouse_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Press", SD_BUS_ARGS("u", button), SD_BUS_NO_RESULT, button_press,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_ARGS("u", button), SD_BUS_NO_RESULT, button_release,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetAbsPosition", SD_BUS_ARGS("u", x, "u", y), SD_BUS_NO_RESULT, set_position,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("RelMotion", SD_BUS_ARGS("i", dx, "i", dy), SD_BUS_NO_RESULT, move,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("IsAbsolute", "b", is_absolute, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE), SD_BUS_VTABLE_END};

/* ---- MultiTouch ---- */

enum { TOUCH_BEGIN, TOUCH_UPDATE, TOUCH_END, TOUCH_CANCEL };

/* Pixels, with fractions, to the range of absolute axes. */
static int32_t scaled(double at, uint32_t range)
{
    return range < 2 ? 0 : (int32_t)lrint(at * BP_INPUT_ABS_MAX / (range - 1));
}

static int touch(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct dbus_console *c = opaque;
    struct bp_input_event events[4];
    unsigned count = 0;
    uint32_t kind;
    uint64_t slot;
    double x, y;
    int r = sd_bus_message_read(m, "utdd", &kind, &slot, &x, &y);

    if (r < 0)
        return r;
    dbus_console_size(c);
    if (kind > TOUCH_CANCEL || slot >= SLOTS)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "kinds of touches are 0..3, slots 0..%u", SLOTS - 1);
    if (!(x >= 0 && x <= c->width - 1.0 && y >= 0 && y <= c->height - 1.0))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "the touch is not on the screen of %u x %u pixels",
                                 c->width, c->height);
    events[count++] = (struct bp_input_event){BP_INPUT_ABS, ABS_MT_SLOT, (int32_t)slot};
    if (kind != TOUCH_UPDATE)
        events[count++] = (struct bp_input_event){BP_INPUT_ABS, ABS_MT_TRACKING_ID,
                                                  kind == TOUCH_BEGIN ? (int32_t)slot : -1};
    if (kind == TOUCH_BEGIN || kind == TOUCH_UPDATE) {
        events[count++] = (struct bp_input_event){BP_INPUT_ABS, ABS_MT_POSITION_X, scaled(x, c->width)};
        events[count++] = (struct bp_input_event){BP_INPUT_ABS, ABS_MT_POSITION_Y, scaled(y, c->height)};
    }
    return give(m, c, events, count, error);
}

DBUS_GETTER(max_slots)
{
    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "i", (int)SLOTS);
}

const sd_bus_vtable dbus_touch_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("SendEvent", SD_BUS_ARGS("u", kind, "t", num_slot, "d", x, "d", y), SD_BUS_NO_RESULT, touch,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("MaxSlots", "i", max_slots, 0, SD_BUS_VTABLE_PROPERTY_CONST), SD_BUS_VTABLE_END};
