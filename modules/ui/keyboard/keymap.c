/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a layout by the symbols that they give. */
#include "keymap.h"

#include <stdlib.h>

#include "layout.h"

#define LEVELS 4u

struct entry {
    uint32_t keysym;
    uint16_t code;
    uint8_t level;
};

struct keymap {
    struct entry *entries; /* by keysym, lower levels first */
    size_t count;
};

static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;

    if (a->keysym != b->keysym)
        return a->keysym < b->keysym ? -1 : 1;
    if (a->level != b->level)
        return a->level < b->level ? -1 : 1;
    return a->code < b->code ? -1 : a->code > b->code;
}

struct filling {
    struct keymap *map;
    size_t room;
};

/* Codes that no keyboard has: XKB hangs modifiers on them (LVL3; LVL5, ALT, META, SUPR, HYPR). */
static bool is_virtual(uint32_t code)
{
    return code == 84 || (code >= 195 && code <= 199);
}

static void add_key(struct xkb_keymap *xkb, xkb_keycode_t key, void *opaque)
{
    struct filling *f = opaque;
    xkb_layout_index_t layouts = xkb_keymap_num_layouts_for_key(xkb, key);

    if (key < EVDEV || key - EVDEV > 0x2ff || is_virtual(key - EVDEV))
        return;
    for (unsigned at = 0; at < layouts * LEVELS; at++) { /* of the first layout, then of the one behind it */
        const xkb_keysym_t *symbols;
        int n = at % LEVELS < xkb_keymap_num_levels_for_key(xkb, key, at / LEVELS)
                    ? xkb_keymap_key_get_syms_by_level(xkb, key, at / LEVELS, at % LEVELS, &symbols) : 0;

        for (int i = 0; i < n; i++) {
            if (f->map->count == f->room) {
                f->room = f->room ? f->room * 2 : 512;
                f->map->entries = bp_realloc(f->map->entries, f->room * sizeof(struct entry));
            }
            f->map->entries[f->map->count++] = (struct entry){symbols[i], (uint16_t)(key - EVDEV), (uint8_t)at};
        }
    }
}

int keymap_new(const char *language, struct keymap **ret_map, struct bp_error *err)
{
    struct xkb_keymap *xkb;
    struct filling f;
    int ret = layout_compile(language, &xkb, err);

    if (ret < 0)
        return ret;
    f.map = bp_alloc(sizeof(*f.map));
    f.map->entries = NULL;
    f.map->count = f.room = 0;
    xkb_keymap_key_for_each(xkb, add_key, &f);
    qsort(f.map->entries, f.map->count, sizeof(struct entry), compare);
    xkb_keymap_unref(xkb);
    *ret_map = f.map;
    return 0;
}

void keymap_free(struct keymap *map)
{
    if (!map)
        return;
    free(map->entries);
    free(map);
}

uint16_t keymap_find(const struct keymap *map, uint32_t keysym, unsigned *ret_level)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (map->entries[middle].keysym < keysym)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == map->count || map->entries[low].keysym != keysym)
        return 0;
    *ret_level = map->entries[low].level % LEVELS;
    return map->entries[low].code;
}
