/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keys type at a text console: characters by the layout of -k, and the sequences of xterm's other keys. */
#include "vc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"

struct vc_keyboard {
    struct xkb_keymap *keymap;
    struct xkb_state *state;
};

int vc_keyboard_new(const char *language, struct vc_keyboard **ret_keyboard, struct bp_error *err)
{
    struct xkb_keymap *keymap;
    struct vc_keyboard *k;
    int ret = layout_compile(language, &keymap, err);

    if (ret < 0)
        return ret;
    k = bp_alloc(sizeof(*k));
    k->keymap = keymap;
    k->state = xkb_state_new(keymap);
    *ret_keyboard = k;
    return 0;
}

void vc_keyboard_free(struct vc_keyboard *k)
{
    if (!k)
        return;
    xkb_state_unref(k->state);
    xkb_keymap_unref(k->keymap);
    free(k);
}

/* "ESC [ final" (or "ESC O final": those with a number, and cursor keys in their mode) or "ESC [ number ~". */
static const struct special {
    xkb_keysym_t symbol;
    char final; /* 0: with a number */
    uint8_t number;
    bool cursor; /* one of those that the mode of cursor keys is about */
} specials[] = {
    {XKB_KEY_Up, 'A', 0, true}, {XKB_KEY_Down, 'B', 0, true}, {XKB_KEY_Right, 'C', 0, true},
    {XKB_KEY_Left, 'D', 0, true}, {XKB_KEY_Home, 'H', 0, true}, {XKB_KEY_End, 'F', 0, true},
    {XKB_KEY_Insert, 0, 2, false}, {XKB_KEY_Delete, 0, 3, false}, {XKB_KEY_Page_Up, 0, 5, false},
    {XKB_KEY_Page_Down, 0, 6, false}, {XKB_KEY_F1, 'P', 1, false}, {XKB_KEY_F2, 'Q', 1, false},
    {XKB_KEY_F3, 'R', 1, false}, {XKB_KEY_F4, 'S', 1, false}, {XKB_KEY_F5, 0, 15, false},
    {XKB_KEY_F6, 0, 17, false}, {XKB_KEY_F7, 0, 18, false}, {XKB_KEY_F8, 0, 19, false},
    {XKB_KEY_F9, 0, 20, false}, {XKB_KEY_F10, 0, 21, false}, {XKB_KEY_F11, 0, 23, false},
    {XKB_KEY_F12, 0, 24, false},
    /* Those of the keypad without Num Lock. */
    {XKB_KEY_KP_Up, 'A', 0, true}, {XKB_KEY_KP_Down, 'B', 0, true}, {XKB_KEY_KP_Right, 'C', 0, true},
    {XKB_KEY_KP_Left, 'D', 0, true}, {XKB_KEY_KP_Home, 'H', 0, true}, {XKB_KEY_KP_End, 'F', 0, true},
    {XKB_KEY_KP_Insert, 0, 2, false}, {XKB_KEY_KP_Delete, 0, 3, false}, {XKB_KEY_KP_Page_Up, 0, 5, false},
    {XKB_KEY_KP_Page_Down, 0, 6, false}};

static unsigned special(const struct vc_terminal *t, xkb_keysym_t symbol, bool meta, char bytes[VC_KEY_BYTES])
{
    const char *alt = meta ? "\033" : "";

    for (unsigned i = 0; i < BP_COUNT(specials); i++) {
        const struct special *s = &specials[i];

        if (s->symbol != symbol)
            continue;
        if (s->final)
            return (unsigned)snprintf(bytes, VC_KEY_BYTES, "%s\033%c%c", alt,
                                      s->number || (s->cursor && t->keys_application) ? 'O' : '[', s->final);
        return (unsigned)snprintf(bytes, VC_KEY_BYTES, "%s\033[%u~", alt, s->number);
    }
    return 0;
}

static bool is_active(const struct vc_keyboard *k, const char *modifier)
{
    return xkb_state_mod_name_is_active(k->state, modifier, XKB_STATE_MODS_EFFECTIVE) > 0;
}

/* Ctrl with an arrow or a page key, as Shift with a page key, looks into the past. */
static int look_back(const struct vc_keyboard *k, const struct vc_terminal *t, xkb_keysym_t symbol)
{
    int page = (int)t->screen.rows > 1 ? (int)t->screen.rows - 1 : 1;
    bool ctrl = is_active(k, XKB_MOD_NAME_CTRL), shift = is_active(k, XKB_MOD_NAME_SHIFT);

    if (symbol == XKB_KEY_Page_Up)
        return ctrl || shift ? page : 0;
    if (symbol == XKB_KEY_Page_Down)
        return ctrl || shift ? -page : 0;
    return !ctrl ? 0 : symbol == XKB_KEY_Up ? 1 : symbol == XKB_KEY_Down ? -1 : 0;
}

unsigned vc_keyboard_key(struct vc_keyboard *k, const struct vc_terminal *t, uint16_t code, int32_t value,
                         char bytes[VC_KEY_BYTES], int *ret_back)
{
    xkb_keycode_t key = code + EVDEV;
    xkb_keysym_t symbol = xkb_state_key_get_one_sym(k->state, key);
    bool alt = is_active(k, XKB_MOD_NAME_ALT);
    char text[VC_KEY_BYTES];
    unsigned length;

    if (value < 2)
        xkb_state_update_key(k->state, key, value ? XKB_KEY_DOWN : XKB_KEY_UP);
    *ret_back = 0;
    if (!value)
        return 0;
    *ret_back = look_back(k, t, symbol);
    if (*ret_back)
        return 0;
    length = special(t, symbol, alt, bytes);
    if (length)
        return length;
    switch (symbol) {
    case XKB_KEY_BackSpace:
        text[0] = 0x7f;
        length = 1;
        break;
    case XKB_KEY_Return:
    case XKB_KEY_KP_Enter:
        text[0] = '\r';
        text[1] = '\n';
        length = t->newline ? 2 : 1;
        break;
    case XKB_KEY_ISO_Left_Tab:
        return (unsigned)snprintf(bytes, VC_KEY_BYTES, "\033[Z");
    default: {
        int n = xkb_state_key_get_utf8(k->state, key, text, sizeof(text) - 1);

        if (n == 0 && symbol == XKB_KEY_space && is_active(k, XKB_MOD_NAME_CTRL)) {
            text[0] = 0; /* Ctrl and the space bar type NUL, which is no text */
            n = 1;
        }
        if (n <= 0 || n >= (int)sizeof(text) - 1)
            return 0;
        length = (unsigned)n;
    }
    }
    if (alt) {
        bytes[0] = '\033';
        memcpy(bytes + 1, text, length);
        return length + 1;
    }
    memcpy(bytes, text, length);
    return length;
}
