/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display curses: what its files share. [main] under the machine lock. */
#ifndef UI_CURSES_H
#define UI_CURSES_H

#include <stddef.h>
#include <wchar.h>

#include <bp/host/input.h>

/* ---- keys.c ---- */
#define CURSES_EVENTS 12u
struct keymap;
/* Events of what the terminal sent: a character, or (`is_code`) one of curses' KEY_*. With Alt when `alt`. `map`: the
 * layout of -k; NULL: that of the US. Returns how many there are: 0: no key gives that. */
unsigned curses_key_events(const struct keymap *map, wint_t character, bool is_code, bool alt,
                           struct bp_input_event events[CURSES_EVENTS]);

/* ---- charset.c ---- */
/* Unicode of each of a font's 256 characters in a code page as iconv names it. -EINVAL: there is none. */
int curses_charset(const char *name, wchar_t table[256]);

#endif
