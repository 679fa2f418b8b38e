/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keyboard layouts by the names that -k has. */
#ifndef UI_LAYOUT_H
#define UI_LAYOUT_H

#include <xkbcommon/xkbcommon.h>

#include <bp/module.h>

#define EVDEV 8u /* libxkbcommon's key codes are evdev's and this */

/* NULL: en-us. Its second layout is us. The caller owns what comes back. -EINVAL: there is no such layout. [main] */
int layout_compile(const char *language, struct xkb_keymap **ret_keymap, struct bp_error *err);

#endif
