/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys of a terminal, which sends characters: those that give them on the guest's keyboard. */
#include "curses-ui.h"

#include <curses.h>
#include <string.h>

#include <xkbcommon/xkbcommon.h>

#include "keymap.h"

#define CTRL 1u
#define SHIFT 2u
#define ALT 4u
#define ALTGR 8u

static const struct {
    int code;
    uint16_t key;
    uint8_t mods;
} special[] = {
    {KEY_UP, 103, 0}, {KEY_DOWN, 108, 0}, {KEY_LEFT, 105, 0}, {KEY_RIGHT, 106, 0}, {KEY_HOME, 102, 0},
    {KEY_END, 107, 0}, {KEY_PPAGE, 104, 0}, {KEY_NPAGE, 109, 0}, {KEY_IC, 110, 0}, {KEY_DC, 111, 0},
    {KEY_BACKSPACE, 14, 0}, {KEY_ENTER, 28, 0}, {KEY_BTAB, 15, SHIFT}, {KEY_SLEFT, 105, SHIFT},
    {KEY_SRIGHT, 106, SHIFT}, {KEY_SR, 103, SHIFT}, {KEY_SF, 108, SHIFT}, {KEY_SHOME, 102, SHIFT},
    {KEY_SEND, 107, SHIFT}, {KEY_SPREVIOUS, 104, SHIFT}, {KEY_SNEXT, 109, SHIFT}, {KEY_SIC, 110, SHIFT},
    {KEY_SDC, 111, SHIFT}};
/* KEY_* of curses and of Linux have the same names: those of Linux are numbers here. By position of the keys. */
static const struct {
    const char *plain, *shifted;
    uint16_t first;
} rows[] = {{"1234567890-=", "!@#$%^&*()_+", 2}, {"qwertyuiop[]", "QWERTYUIOP{}", 16},
            {"asdfghjkl;'`", "ASDFGHJKL:\"~", 30}, {"\\zxcvbnm,./", "|ZXCVBNM<>?", 43}, {" ", "", 57}};

static uint16_t find(const struct keymap *map, wint_t c, unsigned *mods)
{
    unsigned level = 0;
    uint16_t code = map ? keymap_find(map, xkb_utf32_to_keysym(c), &level) : 0;

    if (code) {
        *mods |= (level & 1 ? SHIFT : 0) | (level & 2 ? ALTGR : 0);
        return code;
    }
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]) && c < 128; i++) {
        const char *at = strchr(rows[i].plain, (int)c);

        if (at && c)
            return (uint16_t)(rows[i].first + (at - rows[i].plain));
        at = strchr(rows[i].shifted, (int)c);
        if (at && c) {
            *mods |= SHIFT;
            return (uint16_t)(rows[i].first + (at - rows[i].shifted));
        }
    }
    return 0;
}

static uint16_t key_of(const struct keymap *map, wint_t c, bool is_code, unsigned *mods)
{
    if (is_code) {
        for (unsigned i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
            if ((int)c == special[i].code) {
                *mods |= special[i].mods;
                return special[i].key;
            }
        }
        if (c >= KEY_F(1) && c <= KEY_F(10))
            return (uint16_t)(59 + (c - KEY_F(1)));
        if (c == KEY_F(11) || c == KEY_F(12))
            return (uint16_t)(87 + (c - KEY_F(11)));
        if (c >= KEY_F(13) && c <= KEY_F(24)) { /* as terminals say Shift and F1 to F12 */
            *mods |= SHIFT;
            return (uint16_t)(c <= KEY_F(22) ? 59 + (c - KEY_F(13)) : 87 + (c - KEY_F(23)));
        }
        return 0;
    }
    switch (c) {
    case 27:
        return 1;
    case 8:
    case 127:
        return 14;
    case 9:
        return 15;
    case 10:
    case 13:
        return 28;
    default:
        break;
    }
    if (c < 32) {
        *mods |= CTRL;
        return find(map, c == 0 ? ' ' : c < 27 ? c + 'a' - 1 : c + '@', mods);
    }
    return find(map, c, mods);
}

static void put(struct bp_input_event *events, unsigned *count, unsigned code, int value)
{
    events[(*count)++] = (struct bp_input_event){BP_INPUT_KEY, (uint16_t)code, value};
}

unsigned curses_key_events(const struct keymap *map, wint_t c, bool is_code, bool alt,
                           struct bp_input_event events[CURSES_EVENTS])
{
    static const uint8_t codes[] = {29, 42, 56, 100}; /* Ctrl, Shift, Alt of the left side; AltGr */
    unsigned mods = alt ? ALT : 0, count = 0, key = key_of(map, c, is_code, &mods);

    if (!key)
        return 0;
    for (unsigned i = 0; i < sizeof(codes); i++)
        if (mods >> i & 1)
            put(events, &count, codes[i], 1);
    put(events, &count, key, 1);
    put(events, &count, key, 0);
    for (unsigned i = sizeof(codes); i-- > 0;)
        if (mods >> i & 1)
            put(events, &count, codes[i], 0);
    return count;
}
