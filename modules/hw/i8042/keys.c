// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Scan codes of keys (IBM PS/2 Technical Reference, keyboard, "scan code tables"; "Keyboard Scan Code
 * Specification", Microsoft 1.3a, for keys that came later). Set 1 follows from set 2 as the controller
 * translates it.
 */
#include <linux/input-event-codes.h>

#include "ps2.h"

static const uint16_t set2[] = {
    [KEY_ESC] = 0x76, [KEY_1] = 0x16, [KEY_2] = 0x1e, [KEY_3] = 0x26, [KEY_4] = 0x25,
    [KEY_5] = 0x2e, [KEY_6] = 0x36, [KEY_7] = 0x3d, [KEY_8] = 0x3e, [KEY_9] = 0x46, [KEY_0] = 0x45,
    [KEY_MINUS] = 0x4e, [KEY_EQUAL] = 0x55, [KEY_BACKSPACE] = 0x66, [KEY_TAB] = 0x0d,
    [KEY_Q] = 0x15, [KEY_W] = 0x1d, [KEY_E] = 0x24, [KEY_R] = 0x2d, [KEY_T] = 0x2c, [KEY_Y] = 0x35,
    [KEY_U] = 0x3c, [KEY_I] = 0x43, [KEY_O] = 0x44, [KEY_P] = 0x4d, [KEY_LEFTBRACE] = 0x54,
    [KEY_RIGHTBRACE] = 0x5b, [KEY_ENTER] = 0x5a, [KEY_LEFTCTRL] = 0x14, [KEY_A] = 0x1c,
    [KEY_S] = 0x1b, [KEY_D] = 0x23, [KEY_F] = 0x2b, [KEY_G] = 0x34, [KEY_H] = 0x33, [KEY_J] = 0x3b,
    [KEY_K] = 0x42, [KEY_L] = 0x4b, [KEY_SEMICOLON] = 0x4c, [KEY_APOSTROPHE] = 0x52,
    [KEY_GRAVE] = 0x0e, [KEY_LEFTSHIFT] = 0x12, [KEY_BACKSLASH] = 0x5d, [KEY_Z] = 0x1a,
    [KEY_X] = 0x22, [KEY_C] = 0x21, [KEY_V] = 0x2a, [KEY_B] = 0x32, [KEY_N] = 0x31, [KEY_M] = 0x3a,
    [KEY_COMMA] = 0x41, [KEY_DOT] = 0x49, [KEY_SLASH] = 0x4a, [KEY_RIGHTSHIFT] = 0x59,
    [KEY_KPASTERISK] = 0x7c, [KEY_LEFTALT] = 0x11, [KEY_SPACE] = 0x29, [KEY_CAPSLOCK] = 0x58,
    [KEY_F1] = 0x05, [KEY_F2] = 0x06, [KEY_F3] = 0x04, [KEY_F4] = 0x0c, [KEY_F5] = 0x03,
    [KEY_F6] = 0x0b, [KEY_F7] = 0x83, [KEY_F8] = 0x0a, [KEY_F9] = 0x01, [KEY_F10] = 0x09,
    [KEY_NUMLOCK] = 0x77, [KEY_SCROLLLOCK] = 0x7e, [KEY_KP7] = 0x6c, [KEY_KP8] = 0x75,
    [KEY_KP9] = 0x7d, [KEY_KPMINUS] = 0x7b, [KEY_KP4] = 0x6b, [KEY_KP5] = 0x73, [KEY_KP6] = 0x74,
    [KEY_KPPLUS] = 0x79, [KEY_KP1] = 0x69, [KEY_KP2] = 0x72, [KEY_KP3] = 0x7a, [KEY_KP0] = 0x70,
    [KEY_KPDOT] = 0x71, [KEY_102ND] = 0x61, [KEY_F11] = 0x78, [KEY_F12] = 0x07, [KEY_RO] = 0x51,
    [KEY_KATAKANAHIRAGANA] = 0x13, [KEY_HENKAN] = 0x64, [KEY_MUHENKAN] = 0x67, [KEY_YEN] = 0x6a,
    [KEY_KPCOMMA] = 0x6d, [KEY_KPEQUAL] = 0x0f, [KEY_HANGEUL] = 0xf2, [KEY_HANJA] = 0xf1,
    [KEY_F13] = 0x08, [KEY_F14] = 0x10, [KEY_F15] = 0x18, [KEY_F16] = 0x20, [KEY_F17] = 0x28,
    [KEY_F18] = 0x30, [KEY_F19] = 0x38, [KEY_F20] = 0x40, [KEY_F21] = 0x48, [KEY_F22] = 0x50,
    [KEY_F23] = 0x57, [KEY_F24] = 0x5f,
    [KEY_KPENTER] = 0xe05a, [KEY_RIGHTCTRL] = 0xe014, [KEY_KPSLASH] = 0xe04a,
    [KEY_RIGHTALT] = 0xe011, [KEY_HOME] = 0xe06c, [KEY_UP] = 0xe075, [KEY_PAGEUP] = 0xe07d,
    [KEY_LEFT] = 0xe06b, [KEY_RIGHT] = 0xe074, [KEY_END] = 0xe069, [KEY_DOWN] = 0xe072,
    [KEY_PAGEDOWN] = 0xe07a, [KEY_INSERT] = 0xe070, [KEY_DELETE] = 0xe071, [KEY_LEFTMETA] = 0xe01f,
    [KEY_RIGHTMETA] = 0xe027, [KEY_COMPOSE] = 0xe02f, [KEY_MENU] = 0xe02f, [KEY_POWER] = 0xe037,
    [KEY_SLEEP] = 0xe03f, [KEY_WAKEUP] = 0xe05e, [KEY_MUTE] = 0xe023, [KEY_VOLUMEDOWN] = 0xe021,
    [KEY_VOLUMEUP] = 0xe032, [KEY_PLAYPAUSE] = 0xe034, [KEY_STOPCD] = 0xe03b,
    [KEY_PREVIOUSSONG] = 0xe015, [KEY_NEXTSONG] = 0xe04d, [KEY_CALC] = 0xe02b, [KEY_MAIL] = 0xe048,
    [KEY_MEDIA] = 0xe050, [KEY_HOMEPAGE] = 0xe03a, [KEY_BACK] = 0xe038, [KEY_FORWARD] = 0xe030,
    [KEY_REFRESH] = 0xe020, [KEY_BOOKMARKS] = 0xe018, [KEY_COMPUTER] = 0xe040,
    [KEY_SEARCH] = 0xe010, [KEY_STOP] = 0xe028,
};

/* Where set 3 differs from set 2 without its prefix. */
static const uint8_t set3[] = {
    [KEY_ESC] = 0x08, [KEY_F1] = 0x07, [KEY_F2] = 0x0f, [KEY_F3] = 0x17, [KEY_F4] = 0x1f,
    [KEY_F5] = 0x27, [KEY_F6] = 0x2f, [KEY_F7] = 0x37, [KEY_F8] = 0x3f, [KEY_F9] = 0x47,
    [KEY_F10] = 0x4f, [KEY_F11] = 0x56, [KEY_F12] = 0x5e, [KEY_SYSRQ] = 0x57,
    [KEY_SCROLLLOCK] = 0x5f, [KEY_PAUSE] = 0x62, [KEY_CAPSLOCK] = 0x14, [KEY_LEFTCTRL] = 0x11,
    [KEY_LEFTALT] = 0x19, [KEY_RIGHTALT] = 0x39, [KEY_RIGHTCTRL] = 0x58, [KEY_BACKSLASH] = 0x5c,
    [KEY_102ND] = 0x13, [KEY_INSERT] = 0x67, [KEY_HOME] = 0x6e, [KEY_PAGEUP] = 0x6f,
    [KEY_DELETE] = 0x64, [KEY_END] = 0x65, [KEY_PAGEDOWN] = 0x6d, [KEY_UP] = 0x63,
    [KEY_DOWN] = 0x60, [KEY_LEFT] = 0x61, [KEY_RIGHT] = 0x6a, [KEY_NUMLOCK] = 0x76,
    [KEY_KPSLASH] = 0x77, [KEY_KPASTERISK] = 0x7e, [KEY_KPMINUS] = 0x84, [KEY_KPPLUS] = 0x7c,
    [KEY_KPENTER] = 0x79, [KEY_LEFTMETA] = 0x8b, [KEY_RIGHTMETA] = 0x8c, [KEY_COMPOSE] = 0x8d,
    [KEY_MENU] = 0x8d,
};

uint16_t ps2_set2(uint16_t code)
{
    return code < BP_COUNT(set2) ? set2[code] : 0;
}

uint8_t ps2_set3(uint16_t code)
{
    uint16_t plain = ps2_set2(code);

    if (code < BP_COUNT(set3) && set3[code])
        return set3[code];
    /* The others are those of set 2; what came later has none. */
    return plain < 0x80 ? (uint8_t)plain : 0;
}
