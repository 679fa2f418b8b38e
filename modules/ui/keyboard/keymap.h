/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which key gives a symbol, by the layout of -k. */
#ifndef UI_KEYMAP_H
#define UI_KEYMAP_H

#include <bp/error.h>

struct keymap; /* opaque */

/* `language` as -k has it ("de", "en-us", "pt-br"); NULL: en-us. -EINVAL: there is no such layout. */
int keymap_new(const char *language, struct keymap **ret_map, struct bp_error *err);
void keymap_free(struct keymap *map); /* NULL is fine */
/* KEY_* for an X keysym, 0: none; *ret_level: 1 when the key gives the symbol with Shift, 2 with AltGr, 3 with both. */
uint16_t keymap_find(const struct keymap *map, uint32_t keysym, unsigned *ret_level);

#endif
