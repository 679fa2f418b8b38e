/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parser of key=value arguments, as the manual's "-device", "-blockdev" and "-machine" use them.
 * Limits: 16 levels of dots, keys of 127 bytes, 1024 list elements.
 */
#include "keyval.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#define MAX_DEPTH 16
#define MAX_KEY 127
#define MAX_ELEMENTS 1024

static const struct bp_field *find_field(const struct bpc_keyval_syntax *syntax, const char *key)
{
    for (const struct bp_field *f = syntax->fields; f && f->name; f++) {
        if (strcmp(f->name, key) == 0)
            return f;
    }
    return NULL;
}

static bool is_index(const char *text)
{
    if (!*text)
        return false;
    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char)*p))
            return false;
    }
    return strlen(text) <= 4;
}

/* Keys are letters, digits, '-' and '_'; a module may name vendor keys with other printable marks. */
static bool valid_fragment(const char *text)
{
    if (!*text || strlen(text) > MAX_KEY)
        return false;
    for (const char *p = text; *p; p++) {
        if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p))
            return false;
    }
    return true;
}

static void store_leaf(struct bp_value *dict, const struct bp_field *field, const char *key,
                       struct bp_value *leaf)
{
    if (field && (field->flags & BP_FIELD_REPEATED)) {
        struct bp_value *list = bp_value_get(dict, key);

        if (!list || bp_value_type(list) != BP_VALUE_LIST) {
            list = bp_value_list();
            bp_value_set(dict, key, list);
        }
        bp_value_append(list, leaf);
        if (field->forward) { /* keys whose order among each other counts */
            struct bp_value *order = bp_value_get(dict, field->forward);

            if (!order || bp_value_type(order) != BP_VALUE_LIST) {
                order = bp_value_list();
                bp_value_set(dict, field->forward, order);
            }
            bp_value_append(order, bp_value_string(key));
        }
        return;
    }
    bp_value_set(dict, key, leaf);
}

int bpc_keyval_store(struct bp_value *args, const struct bpc_keyval_syntax *syntax, const char *key,
                     struct bp_value *leaf, struct bp_error *err)
{
    const struct bp_field *field = find_field(syntax, key);
    struct bp_value *dict = args;
    unsigned depth = 0;
    int ret = 0;

    if (field) {
        store_leaf(args, field, key, leaf);
        return 0;
    }
    char **parts = g_strsplit(key, ".", MAX_DEPTH + 2);
    for (; parts[depth]; depth++) {
        if (depth >= MAX_DEPTH) {
            ret = bp_fail(err, EINVAL, "key '%.60s...' has more than %d levels", key, MAX_DEPTH);
            break;
        }
        if (!valid_fragment(parts[depth])) {
            ret = bp_fail(err, EINVAL, "'%.100s' is not a valid key", key);
            break;
        }
        struct bp_value *present = bp_value_get(dict, parts[depth]);
        if (!parts[depth + 1]) {
            if (present && bp_value_type(present) == BP_VALUE_DICT) {
                ret = bp_fail(err, EINVAL, "key '%.100s' is used both with and without members",
                              key);
                break;
            }
            store_leaf(dict, depth == 0 ? field : NULL, parts[depth], bp_value_ref(leaf));
            break;
        }
        if (!present) {
            present = bp_value_dict();
            bp_value_set(dict, parts[depth], present);
        } else if (bp_value_type(present) != BP_VALUE_DICT) {
            ret = bp_fail(err, EINVAL, "key '%.100s' is used both with and without members", key);
            break;
        }
        dict = present;
    }
    g_strfreev(parts);
    bp_value_unref(leaf);
    return ret;
}

struct listing {
    struct bp_value *copy;
    unsigned indices, names;
    struct bp_error *err;
};

static int finish_member(const char *key, struct bp_value *member, void *opaque)
{
    struct listing *l = opaque;
    struct bp_value *child = bp_value_ref(member);

    if (is_index(key))
        l->indices++;
    else
        l->names++;
    int ret = bp_value_type(child) == BP_VALUE_DICT ? bpc_keyval_finish(&child, l->err) : 0;
    bp_value_set(l->copy, key, child);
    return ret;
}

int bpc_keyval_finish(struct bp_value **args, struct bp_error *err)
{
    struct listing l = {.copy = bp_value_dict(), .err = err};
    int ret = bp_value_each(*args, finish_member, &l);

    if (ret == 0 && l.indices > 0 && l.names > 0)
        ret = bp_fail(err, EINVAL, "list elements and named members are mixed under one key");
    if (ret == 0 && l.indices > MAX_ELEMENTS)
        ret = bp_fail(err, EINVAL, "a list may have at most %d elements", MAX_ELEMENTS);
    if (ret == 0 && l.indices > 0) {
        struct bp_value *list = bp_value_list();

        for (unsigned i = 0; ret == 0 && i < l.indices; i++) {
            char key[16];

            g_snprintf(key, sizeof(key), "%u", i);
            struct bp_value *element = bp_value_get(l.copy, key);
            if (element)
                bp_value_append(list, bp_value_ref(element));
            else
                ret = bp_fail(err, EINVAL, "list element %u is missing", i);
        }
        bp_value_unref(l.copy);
        l.copy = list;
    }
    if (ret < 0) {
        bp_value_unref(l.copy);
        return ret;
    }
    bp_value_unref(*args);
    *args = l.copy;
    return 0;
}

/* Takes one word off *text, up to a single comma; doubled commas become one. Returns a g_malloc'd
 * string; *ret_value points at what follows its first '=' or is NULL. */
static char *take_word(const char **text, char **ret_value)
{
    const char *p = *text;
    GString *word = g_string_new(NULL);
    size_t equals = 0;
    bool has_value = false;

    while (*p) {
        if (*p == ',') {
            if (p[1] != ',')
                break;
            p++;
        }
        if (*p == '=' && !has_value) {
            has_value = true;
            equals = word->len;
        }
        g_string_append_c(word, *p++);
    }
    *text = *p == ',' ? p + 1 : p;
    char *copy = g_string_free(word, FALSE);
    *ret_value = NULL;
    if (has_value) {
        copy[equals] = '\0';
        *ret_value = copy + equals + 1;
    }
    return copy;
}

static int store_switch(struct bp_value *args, const struct bpc_keyval_syntax *syntax,
                        const char *word, struct bp_error *err)
{
    const struct bp_field *f = find_field(syntax, word);

    if (!f && strncmp(word, "no", 2) == 0) {
        f = find_field(syntax, word + 2);
        if (f && f->kind == BP_KIND_BOOL)
            return bpc_keyval_store(args, syntax, f->name, bp_value_string("off"), err);
        f = NULL;
    }
    if ((f && f->kind == BP_KIND_BOOL) || (!f && syntax->any_keys))
        return bpc_keyval_store(args, syntax, word, bp_value_string("on"), err);
    return bp_fail(err, EINVAL, "expected '=' after '%.100s'", word);
}

static int parse_json(const char *text, struct bp_value **ret_args, struct bp_error *err)
{
    struct bp_value *v = NULL;
    int ret = bp_value_parse(text, strlen(text), &v, err);

    if (ret < 0)
        return ret;
    if (bp_value_type(v) != BP_VALUE_DICT) {
        bp_value_unref(v);
        return bp_fail(err, EINVAL, "expected a JSON object");
    }
    *ret_args = v;
    return 0;
}

int bpc_keyval_parse(const char *text, const struct bpc_keyval_syntax *syntax,
                     struct bp_value **ret_args, bool *ret_help, struct bp_error *err)
{
    struct bp_value *args;
    bool help = false, first = true;
    int ret = 0;

    if (*text == '{') {
        ret = parse_json(text, ret_args, err);
        if (ret == 0)
            *ret_help = false;
        return ret;
    }
    args = bp_value_dict();
    while (ret == 0 && *text) {
        char *value, *word = take_word(&text, &value);

        if (value)
            ret = *word ? bpc_keyval_store(args, syntax, word, bp_value_string(value), err)
                        : bp_fail(err, EINVAL, "expected a key before '='");
        else if (strcmp(word, "help") == 0 || strcmp(word, "?") == 0)
            help = true;
        else if (first && syntax->implied)
            ret = bpc_keyval_store(args, syntax, syntax->implied, bp_value_string(word), err);
        else if (*word)
            ret = store_switch(args, syntax, word, err);
        else
            ret = bp_fail(err, EINVAL, "expected a key between two commas");
        first = false;
        g_free(word);
    }
    if (ret == 0)
        ret = bpc_keyval_finish(&args, err);
    if (ret == 0 && bp_value_type(args) != BP_VALUE_DICT)
        ret = bp_fail(err, EINVAL, "expected named keys, not list elements");
    if (ret < 0) {
        bp_value_unref(args);
        return ret;
    }
    *ret_args = args;
    *ret_help = help;
    return 0;
}
