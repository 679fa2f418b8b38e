/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keyboard layouts by libxkbcommon: those that it has, and keymaps/NAME of -L. */
#include "layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/device.h>

/* Names of -k that are not those of a layout: layout and variant. */
static const struct {
    const char *language, *layout, *variant;
} languages[] = {
    {"en-us", "us", ""}, {"en-gb", "gb", ""}, {"de-ch", "ch", "de"}, {"fr-ch", "ch", "fr"}, {"fr-be", "be", ""},
    {"fr-ca", "ca", ""}, {"pt-br", "br", ""}, {"ar", "ara", ""}, {"da", "dk", ""}, {"et", "ee", ""}, {"ja", "jp", ""},
    {"sl", "si", ""}, {"sv", "se", ""}, {"nl-be", "be", ""},
};

/* A whole keymap as text, of the user's. NULL without an error: there is none of that name. */
static struct xkb_keymap *of_the_user(struct xkb_context *context, const char *language, struct bp_error *err)
{
    struct xkb_keymap *xkb = NULL;
    char name[80], *path;
    FILE *file;

    if (strchr(language, '/') || snprintf(name, sizeof(name), "keymaps/%s", language) >= (int)sizeof(name))
        return NULL;
    path = bp_machine_find_data(NULL, name);
    file = path ? fopen(path, "re") : NULL;
    if (file) {
        xkb = xkb_keymap_new_from_file(context, file, XKB_KEYMAP_FORMAT_TEXT_V1, XKB_KEYMAP_COMPILE_NO_FLAGS);
        fclose(file);
    }
    if (path && !xkb)
        bp_fail(err, EINVAL, "'%.200s' is no keymap in XKB's text format (xkbcli compile-keymap prints such)", path);
    free(path);
    return xkb;
}

int layout_compile(const char *language, struct xkb_keymap **ret_keymap, struct bp_error *err)
{
    struct xkb_rule_names names = {.rules = "evdev", .model = "pc105", .layout = language ? language : "us",
                                   .variant = ""};
    struct xkb_context *context = xkb_context_new(XKB_CONTEXT_NO_FLAGS);
    struct xkb_keymap *xkb = NULL;
    struct bp_error wrong = {0};
    char layouts[80];

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
        xkb = language ? of_the_user(context, language, &wrong) : NULL;
        if (!xkb && !wrong.code)
            xkb = xkb_keymap_new_from_names(context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS);
        xkb_context_unref(context);
    }
    if (!xkb && wrong.code)
        return bp_fail(err, EINVAL, "%s", wrong.message);
    if (!xkb)
        return bp_fail(err, EINVAL, "there is no keyboard layout '%.60s' (package xkb-data has them); try en-us, "
                       "en-gb, de, de-ch, fr, es, it, pt-br, ru, ja", language ? language : "en-us");
    *ret_keymap = xkb;
    return 0;
}
