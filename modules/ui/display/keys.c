/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of keys as QMP has them (QKeyCode), with the codes of evdev; and numbers as `sendkey` takes them:
 * scan codes of set 1, with 0x80 where e0 comes first.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include "display.h"

#define KEYS(X) \
    X("unmapped", 0) X("shift", KEY_LEFTSHIFT) X("shift_r", KEY_RIGHTSHIFT) X("alt", KEY_LEFTALT) \
    X("alt_r", KEY_RIGHTALT) X("ctrl", KEY_LEFTCTRL) X("ctrl_r", KEY_RIGHTCTRL) \
    X("menu", KEY_MENU) X("esc", KEY_ESC) X("1", KEY_1) X("2", KEY_2) X("3", KEY_3) X("4", KEY_4) \
    X("5", KEY_5) X("6", KEY_6) X("7", KEY_7) X("8", KEY_8) X("9", KEY_9) X("0", KEY_0) \
    X("minus", KEY_MINUS) X("equal", KEY_EQUAL) X("backspace", KEY_BACKSPACE) X("tab", KEY_TAB) \
    X("q", KEY_Q) X("w", KEY_W) X("e", KEY_E) X("r", KEY_R) X("t", KEY_T) X("y", KEY_Y) \
    X("u", KEY_U) X("i", KEY_I) X("o", KEY_O) X("p", KEY_P) X("bracket_left", KEY_LEFTBRACE) \
    X("bracket_right", KEY_RIGHTBRACE) X("ret", KEY_ENTER) X("a", KEY_A) X("s", KEY_S) \
    X("d", KEY_D) X("f", KEY_F) X("g", KEY_G) X("h", KEY_H) X("j", KEY_J) X("k", KEY_K) \
    X("l", KEY_L) X("semicolon", KEY_SEMICOLON) X("apostrophe", KEY_APOSTROPHE) \
    X("grave_accent", KEY_GRAVE) X("backslash", KEY_BACKSLASH) X("z", KEY_Z) X("x", KEY_X) \
    X("c", KEY_C) X("v", KEY_V) X("b", KEY_B) X("n", KEY_N) X("m", KEY_M) X("comma", KEY_COMMA) \
    X("dot", KEY_DOT) X("slash", KEY_SLASH) X("asterisk", KEY_KPASTERISK) X("spc", KEY_SPACE) \
    X("caps_lock", KEY_CAPSLOCK) X("f1", KEY_F1) X("f2", KEY_F2) X("f3", KEY_F3) X("f4", KEY_F4) \
    X("f5", KEY_F5) X("f6", KEY_F6) X("f7", KEY_F7) X("f8", KEY_F8) X("f9", KEY_F9) \
    X("f10", KEY_F10) X("num_lock", KEY_NUMLOCK) X("scroll_lock", KEY_SCROLLLOCK) \
    X("kp_divide", KEY_KPSLASH) X("kp_multiply", KEY_KPASTERISK) X("kp_subtract", KEY_KPMINUS) \
    X("kp_add", KEY_KPPLUS) X("kp_enter", KEY_KPENTER) X("kp_decimal", KEY_KPDOT) \
    X("sysrq", KEY_SYSRQ) X("kp_0", KEY_KP0) X("kp_1", KEY_KP1) X("kp_2", KEY_KP2) \
    X("kp_3", KEY_KP3) X("kp_4", KEY_KP4) X("kp_5", KEY_KP5) X("kp_6", KEY_KP6) X("kp_7", KEY_KP7) \
    X("kp_8", KEY_KP8) X("kp_9", KEY_KP9) X("less", KEY_102ND) X("f11", KEY_F11) X("f12", KEY_F12) \
    X("print", KEY_SYSRQ) X("home", KEY_HOME) X("pgup", KEY_PAGEUP) X("pgdn", KEY_PAGEDOWN) \
    X("end", KEY_END) X("left", KEY_LEFT) X("up", KEY_UP) X("down", KEY_DOWN) X("right", KEY_RIGHT) \
    X("insert", KEY_INSERT) X("delete", KEY_DELETE) X("stop", KEY_STOP) X("again", KEY_AGAIN) \
    X("props", KEY_PROPS) X("undo", KEY_UNDO) X("front", KEY_FRONT) X("copy", KEY_COPY) \
    X("open", KEY_OPEN) X("paste", KEY_PASTE) X("find", KEY_FIND) X("cut", KEY_CUT) \
    X("lf", KEY_LINEFEED) X("help", KEY_HELP) X("meta_l", KEY_LEFTMETA) X("meta_r", KEY_RIGHTMETA) \
    X("compose", KEY_COMPOSE) X("pause", KEY_PAUSE) X("ro", KEY_RO) X("hiragana", KEY_HIRAGANA) \
    X("henkan", KEY_HENKAN) X("yen", KEY_YEN) X("muhenkan", KEY_MUHENKAN) \
    X("katakanahiragana", KEY_KATAKANAHIRAGANA) X("kp_comma", KEY_KPCOMMA) \
    X("kp_equals", KEY_KPEQUAL) X("power", KEY_POWER) X("sleep", KEY_SLEEP) X("wake", KEY_WAKEUP) \
    X("audionext", KEY_NEXTSONG) X("audioprev", KEY_PREVIOUSSONG) X("audiostop", KEY_STOPCD) \
    X("audioplay", KEY_PLAYPAUSE) X("audiomute", KEY_MUTE) X("volumeup", KEY_VOLUMEUP) \
    X("volumedown", KEY_VOLUMEDOWN) X("mediaselect", KEY_MEDIA) X("mail", KEY_MAIL) \
    X("calculator", KEY_CALC) X("computer", KEY_COMPUTER) X("ac_home", KEY_HOMEPAGE) \
    X("ac_back", KEY_BACK) X("ac_forward", KEY_FORWARD) X("ac_refresh", KEY_REFRESH) \
    X("ac_bookmarks", KEY_BOOKMARKS) X("lang1", KEY_HANGEUL) X("lang2", KEY_HANJA) \
    X("f13", KEY_F13) X("f14", KEY_F14) X("f15", KEY_F15) X("f16", KEY_F16) X("f17", KEY_F17) \
    X("f18", KEY_F18) X("f19", KEY_F19) X("f20", KEY_F20) X("f21", KEY_F21) X("f22", KEY_F22) \
    X("f23", KEY_F23) X("f24", KEY_F24)

#define NAME(name, code) name,
#define CODE(name, code) code,
const char *const key_names[] = {KEYS(NAME) NULL};
const uint16_t key_codes[] = {KEYS(CODE) 0};

/* With e0 before them; the others of set 1 have evdev's numbers, up to 0x58. */
static const struct {
    uint8_t scan;
    uint16_t code;
} extended[] = {
    {0x10, KEY_PREVIOUSSONG}, {0x19, KEY_NEXTSONG}, {0x1c, KEY_KPENTER}, {0x1d, KEY_RIGHTCTRL},
    {0x20, KEY_MUTE}, {0x21, KEY_CALC}, {0x22, KEY_PLAYPAUSE}, {0x24, KEY_STOPCD},
    {0x2e, KEY_VOLUMEDOWN}, {0x30, KEY_VOLUMEUP}, {0x32, KEY_HOMEPAGE}, {0x35, KEY_KPSLASH},
    {0x37, KEY_SYSRQ}, {0x38, KEY_RIGHTALT}, {0x46, KEY_PAUSE}, {0x47, KEY_HOME}, {0x48, KEY_UP},
    {0x49, KEY_PAGEUP}, {0x4b, KEY_LEFT}, {0x4d, KEY_RIGHT}, {0x4f, KEY_END}, {0x50, KEY_DOWN},
    {0x51, KEY_PAGEDOWN}, {0x52, KEY_INSERT}, {0x53, KEY_DELETE}, {0x5b, KEY_LEFTMETA},
    {0x5c, KEY_RIGHTMETA}, {0x5d, KEY_COMPOSE}, {0x5e, KEY_POWER}, {0x5f, KEY_SLEEP},
    {0x63, KEY_WAKEUP}, {0x66, KEY_BOOKMARKS}, {0x67, KEY_REFRESH}, {0x69, KEY_FORWARD},
    {0x6a, KEY_BACK}, {0x6b, KEY_COMPUTER}, {0x6c, KEY_MAIL}, {0x6d, KEY_MEDIA},
};

uint16_t key_of_number(unsigned xt)
{
    if (xt >= 1 && xt <= 0x58)
        return (uint16_t)(xt == 0x54 ? KEY_SYSRQ : xt == 0x55 ? 0 : xt);
    switch (xt) {
    case 0x70:
        return KEY_KATAKANAHIRAGANA;
    case 0x73:
        return KEY_RO;
    case 0x79:
        return KEY_HENKAN;
    case 0x7b:
        return KEY_MUHENKAN;
    case 0x7d:
        return KEY_YEN;
    case 0x7e:
        return KEY_KPCOMMA;
    default:
        break;
    }
    for (unsigned i = 0; i < BP_COUNT(extended); i++)
        if (xt == (extended[i].scan | 0x80u))
            return extended[i].code;
    return 0;
}

uint16_t key_code(const char *name)
{
    char *end;

    for (unsigned i = 0; key_names[i]; i++)
        if (!strcmp(key_names[i], name))
            return key_codes[i];
    if (name[0] == '0' && (name[1] == 'x' || name[1] == 'X')) {
        unsigned long number = strtoul(name, &end, 16);

        return *end || !name[2] || number > 0xff ? 0 : key_of_number((unsigned)number);
    }
    return 0;
}

const char *key_name(uint16_t code)
{
    for (unsigned i = 0; code && key_names[i]; i++)
        if (key_codes[i] == code && strcmp(key_names[i], "asterisk") != 0 &&
            strcmp(key_names[i], "print") != 0)
            return key_names[i];
    return NULL;
}
