/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keyboard layouts by libxkbcommon. Its key codes are evdev's and 8. */
#include "keymap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xkbcommon/xkbcommon.h>

#define EVDEV 8u
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

/* Names of -k that are not those of a layout: layout and variant. */
static const struct {
    const char *language, *layout, *variant;
} languages[] = {
    {"en-us", "us", ""}, {"en-gb", "gb", ""}, {"de-ch", "ch", "de"}, {"fr-ch", "ch", "fr"}, {"fr-be", "be", ""},
    {"fr-ca", "ca", ""}, {"pt-br", "br", ""}, {"ar", "ara", ""}, {"da", "dk", ""}, {"et", "ee", ""}, {"ja", "jp", ""},
    {"sl", "si", ""}, {"sv", "se", ""}, {"nl-be", "be", ""},
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
    struct xkb_rule_names names = {.rules = "evdev", .model = "pc105", .layout = language ? language : "us",
                                   .variant = ""};
    struct xkb_context *context = xkb_context_new(XKB_CONTEXT_NO_FLAGS);
    struct xkb_keymap *xkb = NULL;
    char layouts[80];
    struct filling f;

    for (size_t i = 0; language && i < BP_COUNT(languages); i++) {
        if (strcmp(languages[i].language, language) == 0) {
            names.layout = languages[i].layout;
            names.variant = languages[i].variant;
        }
    }
    /* Latin letters come from the second one, where the first has none. */
    snprintf(layouts, sizeof(layouts), "%s,us", names.layout);
    names.layout = layouts;
    if (context) {
        xkb_context_set_log_level(context, XKB_LOG_LEVEL_CRITICAL);
        xkb = xkb_keymap_new_from_names(context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS);
    }
    if (!xkb) {
        if (context)
            xkb_context_unref(context);
        return bp_fail(err, EINVAL, "there is no keyboard layout '%.60s' (package xkb-data has them); try en-us, "
                       "en-gb, de, de-ch, fr, es, it, pt-br, ru, ja", language ? language : "en-us");
    }
    f.map = bp_alloc(sizeof(*f.map));
    f.map->entries = NULL;
    f.map->count = f.room = 0;
    xkb_keymap_key_for_each(xkb, add_key, &f);
    qsort(f.map->entries, f.map->count, sizeof(struct entry), compare);
    xkb_keymap_unref(xkb);
    xkb_context_unref(context);
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
