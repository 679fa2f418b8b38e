/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The argument of the monitor's netdev_add: words separated by commas, as an option has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/value.h>

#include "net.h"

#define MAX_DEPTH 4

/* Copies up to a single comma, undoing doubled ones; moves *text behind it. malloc'd. */
static char *next_word(const char **text)
{
    char *word = bp_alloc(strlen(*text) + 1), *to = word;
    const char *p = *text;

    while (*p && (*p != ',' || p[1] == ',')) {
        p += *p == ',';
        *to++ = *p++;
    }
    *to = 0;
    *text = *p ? p + 1 : p;
    return word;
}

static bool repeated(const char *key)
{
    return !strcmp(key, "hostfwd") || !strcmp(key, "guestfwd") || !strcmp(key, "dnssearch");
}

static int store(struct bp_value *dict, char *key, const char *value, struct bp_error *err)
{
    char *dot;

    for (unsigned depth = 0; (dot = strchr(key, '.')); depth++) {
        struct bp_value *inner;

        *dot = 0;
        inner = bp_value_get(dict, key);
        if (!inner || bp_value_type(inner) != BP_VALUE_DICT) {
            inner = bp_value_dict();
            bp_value_set(dict, key, inner);
        }
        if (depth == MAX_DEPTH)
            return bp_fail(err, EINVAL, "'%s' has too many levels", key);
        dict = inner;
        key = dot + 1;
    }
    if (repeated(key)) {
        if (!bp_value_has(dict, key))
            bp_value_set(dict, key, bp_value_list());
        bp_value_append(bp_value_get(dict, key), bp_value_string(value));
    } else {
        bp_value_set(dict, key, bp_value_string(value));
    }
    return 0;
}

int net_parse(const char *text, struct bp_value *dict, struct bp_error *err)
{
    for (bool first = true; *text; first = false) {
        char *word = next_word(&text), *equals = strchr(word, '=');
        int r = 0;

        if (equals && equals != word) {
            *equals = 0;
            r = store(dict, word, equals + 1, err);
        } else if (first && *word) {
            bp_value_set(dict, "type", bp_value_string(word));
        } else {
            r = bp_fail(err, EINVAL, "Expected 'key=value' instead of '%s'", word);
        }
        free(word);
        if (r < 0)
            return r;
    }
    return 0;
}
