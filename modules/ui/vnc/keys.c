/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client's keyboard and pointer. */
#include "vnc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/input-event-codes.h>

#define input (*vnc_input)
#define ROOM 16u /* events that one message makes at most */
#define CENTRE 0x7fff /* of a relative pointer's coordinates */

static bool crowded(struct vnc_client *c)
{
    return input->space(c->server->machine, c->server->console) < ROOM;
}

static void send_events(struct vnc_client *c, const struct bp_input_event *events, unsigned count)
{
    /* Where nobody takes it, or the machine stands, it is lost as at a real one. */
    if (count)
        input->send(c->server->machine, c->server->console, events, count, NULL);
}

static void note_held(struct vnc_client *c, uint16_t code, bool down)
{
    if (code >= 8 * sizeof(c->held))
        return;
    if (down)
        c->held[code / 8] |= (uint8_t)(1u << code % 8);
    else
        c->held[code / 8] &= (uint8_t)~(1u << code % 8);
}

static bool is_held(const struct vnc_client *c, uint16_t code)
{
    return code < 8 * sizeof(c->held) && c->held[code / 8] >> code % 8 & 1;
}

/* Ctrl-Alt and a digit: another console. */
static bool hot_key(struct vnc_client *c, uint16_t code)
{
    return code >= KEY_1 && code <= KEY_9 && (is_held(c, KEY_LEFTCTRL) || is_held(c, KEY_RIGHTCTRL)) &&
           is_held(c, KEY_LEFTALT) && vnc_show(c->server, code - KEY_1);
}

/* Those that Num Lock makes digits of; Shift makes them the other of the two. */
static bool on_keypad(uint16_t code)
{
    return code >= KEY_KP7 && code <= KEY_KPDOT && code != KEY_KPMINUS && code != KEY_KPPLUS;
}

int vnc_key(struct vnc_client *c, bool down, uint32_t keysym, uint32_t xt)
{
    struct bp_input_event events[5];
    unsigned count = 0, level = 0;
    bool shift, altgr;
    uint16_t code = 0;

    if (c->paused || crowded(c))
        return -EBUSY;
    if (xt) {
        char text[16];

        snprintf(text, sizeof(text), "0x%x", xt & 0xff);
        code = input->key_code(text);
    } else {
        code = keymap_find(c->server->keymap, keysym, &level);
    }
    if (!code || (!down && !is_held(c, code)))
        return 0;
    if (down && hot_key(c, code))
        return 0;
    if (on_keypad(code) && !xt && (input->leds(c->server->machine, c->server->console) & BP_INPUT_LED_NUM))
        level ^= 1;
    /* A client that names symbols without holding Shift or AltGr: the key that gives them needs it. */
    shift = level & 1 && down && !is_held(c, KEY_LEFTSHIFT) && !is_held(c, KEY_RIGHTSHIFT);
    altgr = level & 2 && down && !is_held(c, KEY_RIGHTALT);
    if (shift)
        events[count++] = (struct bp_input_event){BP_INPUT_KEY, KEY_LEFTSHIFT, 1};
    if (altgr)
        events[count++] = (struct bp_input_event){BP_INPUT_KEY, KEY_RIGHTALT, 1};
    events[count++] = (struct bp_input_event){BP_INPUT_KEY, code, down ? is_held(c, code) ? 2 : 1 : 0};
    if (altgr)
        events[count++] = (struct bp_input_event){BP_INPUT_KEY, KEY_RIGHTALT, 0};
    if (shift)
        events[count++] = (struct bp_input_event){BP_INPUT_KEY, KEY_LEFTSHIFT, 0};
    send_events(c, events, count);
    note_held(c, code, down);
    if (c->server->key_delay_ms) {
        c->paused = true;
        bp_timer_set(c->pause, bp_timer_now(c->pause) + (int64_t)c->server->key_delay_ms * 1000000);
    }
    return 0;
}

/* Where the client knows that the pointer is a relative one its coordinates are ways from the centre. */
static void move(struct vnc_client *c, uint16_t x, uint16_t y)
{
    struct bp_machine *machine = c->server->machine;
    struct bp_console *console = c->server->console;

    if ((c->rfb.has & RFB_HAS_POINTER_TYPE) && !input->is_absolute(machine, console)) {
        const struct bp_input_event events[] = {{BP_INPUT_REL, REL_X, (int32_t)x - CENTRE},
                                                {BP_INPUT_REL, REL_Y, (int32_t)y - CENTRE}};

        if (x != CENTRE || y != CENTRE)
            send_events(c, events, 2);
        return;
    }
    if (x != c->last_x || y != c->last_y)
        input->pointer(machine, console, x < c->width ? x : c->width - 1, y < c->height ? y : c->height - 1,
                       c->width, c->height, NULL);
    c->last_x = x;
    c->last_y = y;
}

int vnc_pointer(struct vnc_client *c, uint8_t buttons, uint16_t x, uint16_t y)
{
    static const uint16_t codes[8] = {BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, 0, 0, 0, 0, BTN_SIDE};
    static const struct bp_input_event wheels[8] = {
        [3] = {BP_INPUT_REL, REL_WHEEL, 1}, [4] = {BP_INPUT_REL, REL_WHEEL, -1},
        [5] = {BP_INPUT_REL, REL_HWHEEL, -1}, [6] = {BP_INPUT_REL, REL_HWHEEL, 1}};
    struct bp_input_event events[8], turns[8];
    uint8_t changed = buttons ^ c->buttons;
    unsigned count = 0, turned = 0;

    if (crowded(c))
        return -EBUSY;
    move(c, x, y);
    for (unsigned i = 0; i < 8; i++) {
        if (!(changed >> i & 1))
            continue;
        if (codes[i])
            events[count++] = (struct bp_input_event){BP_INPUT_KEY, codes[i], buttons >> i & 1};
        else if (buttons >> i & 1)
            turns[turned++] = wheels[i];
    }
    send_events(c, events, count);
    send_events(c, turns, turned); /* which a pointer without a wheel does not take */
    c->buttons = buttons;
    return 0;
}

void vnc_release_keys(struct vnc_client *c)
{
    bool any = c->buttons != 0;

    for (size_t i = 0; i < sizeof(c->held); i++)
        any |= c->held[i] != 0;
    if (any)
        input->release_all(c->server->machine, c->server->console);
    memset(c->held, 0, sizeof(c->held));
    c->buttons = 0;
}
