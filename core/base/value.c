/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values (bp/value.h) as json-c objects. A handle is the json-c object itself, but for null, which
 * json-c has no object for. Strings are kept as valid UTF-8 without NUL, so that what is printed is
 * JSON whatever a guest or a file name held.
 */
#include "value-parse.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

static char null_value;

struct bp_value *bpc_value_wrap(struct json_object *json)
{
    return json ? (struct bp_value *)json : (struct bp_value *)&null_value;
}

struct json_object *bpc_value_json(const struct bp_value *v)
{
    return (const void *)v == &null_value ? NULL : (struct json_object *)v;
}

static struct bp_value *made(struct json_object *json)
{
    if (!json)
        g_error("out of memory for a value");
    return (struct bp_value *)json;
}

struct bp_value *bp_value_null(void)
{
    return bpc_value_wrap(NULL);
}

struct bp_value *bp_value_bool(bool v)
{
    return made(json_object_new_boolean(v));
}

struct bp_value *bp_value_int(int64_t v)
{
    return made(json_object_new_int64(v));
}

struct bp_value *bp_value_uint(uint64_t v)
{
    return made(v <= INT64_MAX ? json_object_new_int64((int64_t)v) : json_object_new_uint64(v));
}

/* The shortest text that reads back as the same number; JSON has no infinities: null stands there.
 */
struct bp_value *bp_value_double(double v)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    if (v != v || v - v != 0)
        return bp_value_null();
    static const char *const formats[] = {"%.15g", "%.16g", "%.17g"};
    for (size_t i = 0; i < BP_COUNT(formats); i++) {
        g_ascii_formatd(text, sizeof(text), formats[i], v);
        if (g_ascii_strtod(text, NULL) == v)
            break;
    }
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
    return made(json_object_new_double_s(v, text));
}

struct bp_value *bp_value_string(const char *s)
{
    if (g_utf8_validate(s, -1, NULL))
        return made(json_object_new_string(s));
    char *valid = g_utf8_make_valid(s, -1);
    struct bp_value *v = made(json_object_new_string(valid));
    g_free(valid);
    return v;
}

struct bp_value *bp_value_string_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    struct bp_value *v = bp_value_string(text);
    g_free(text);
    return v;
}

struct bp_value *bp_value_list(void)
{
    return made(json_object_new_array());
}

struct bp_value *bp_value_dict(void)
{
    return made(json_object_new_object());
}

struct bp_value *bp_value_ref(struct bp_value *v)
{
    if (v)
        json_object_get(bpc_value_json(v));
    return v;
}

void bp_value_unref(struct bp_value *v)
{
    if (v)
        json_object_put(bpc_value_json(v));
}

struct bp_value *bp_value_copy(const struct bp_value *v)
{
    struct json_object *json = v ? bpc_value_json(v) : NULL, *copy = NULL;
    if (!v)
        return NULL;
    if (json && json_object_deep_copy(json, &copy, NULL) < 0)
        g_error("out of memory for a value");
    return bpc_value_wrap(copy);
}

bool bp_value_equal(const struct bp_value *a, const struct bp_value *b)
{
    if (!a || !b)
        return a == b;
    return json_object_equal(bpc_value_json(a), bpc_value_json(b));
}

enum bp_value_type bp_value_type(const struct bp_value *v)
{
    if (!v)
        return BP_VALUE_NULL;
    switch (json_object_get_type(bpc_value_json(v))) {
    case json_type_boolean: return BP_VALUE_BOOL;
    case json_type_double: return BP_VALUE_DOUBLE;
    case json_type_int: return BP_VALUE_INT;
    case json_type_object: return BP_VALUE_DICT;
    case json_type_array: return BP_VALUE_LIST;
    case json_type_string: return BP_VALUE_STRING;
    default: return BP_VALUE_NULL;
    }
}

const char *bp_value_type_name(enum bp_value_type type)
{
    static const char *const names[] = {
        [BP_VALUE_NULL] = "null",     [BP_VALUE_BOOL] = "boolean",  [BP_VALUE_INT] = "integer",
        [BP_VALUE_DOUBLE] = "number", [BP_VALUE_STRING] = "string", [BP_VALUE_LIST] = "array",
        [BP_VALUE_DICT] = "object",
    };
    return (size_t)type < BP_COUNT(names) ? names[type] : "unknown";
}

/* The json-c object when it is of this type, else NULL. */
static struct json_object *typed(const struct bp_value *v, enum bp_value_type type)
{
    return bp_value_type(v) == type && v ? bpc_value_json(v) : NULL;
}

bool bp_value_as_bool(const struct bp_value *v)
{
    struct json_object *json = typed(v, BP_VALUE_BOOL);
    return json && json_object_get_boolean(json);
}

int64_t bp_value_as_int(const struct bp_value *v)
{
    struct json_object *json = typed(v, BP_VALUE_INT);
    return json ? json_object_get_int64(json) : 0;
}

uint64_t bp_value_as_uint(const struct bp_value *v)
{
    struct json_object *json = typed(v, BP_VALUE_INT);
    return json && !bp_value_is_negative(v) ? json_object_get_uint64(json) : 0;
}

double bp_value_as_double(const struct bp_value *v)
{
    if (bp_value_type(v) == BP_VALUE_INT)
        return bp_value_is_negative(v) ? (double)bp_value_as_int(v) : (double)bp_value_as_uint(v);
    struct json_object *json = typed(v, BP_VALUE_DOUBLE);
    return json ? json_object_get_double(json) : 0;
}

const char *bp_value_as_string(const struct bp_value *v)
{
    struct json_object *json = typed(v, BP_VALUE_STRING);
    return json ? json_object_get_string(json) : NULL;
}

bool bp_value_is_negative(const struct bp_value *v)
{
    return bp_value_as_int(v) < 0;
}

size_t bp_value_length(const struct bp_value *v)
{
    switch (bp_value_type(v)) {
    case BP_VALUE_LIST: return json_object_array_length(bpc_value_json(v));
    case BP_VALUE_DICT: return (size_t)json_object_object_length(bpc_value_json(v));
    default: return 0;
    }
}

struct bp_value *bp_value_at(const struct bp_value *list, size_t index)
{
    struct json_object *json = typed(list, BP_VALUE_LIST);
    if (!json || index >= json_object_array_length(json))
        return NULL;
    return bpc_value_wrap(json_object_array_get_idx(json, index));
}

struct bp_value *bp_value_get(const struct bp_value *dict, const char *key)
{
    struct json_object *json = typed(dict, BP_VALUE_DICT), *member;
    if (!json || !json_object_object_get_ex(json, key, &member))
        return NULL;
    return bpc_value_wrap(member);
}

const char *bp_value_get_string(const struct bp_value *dict, const char *key)
{
    return bp_value_as_string(bp_value_get(dict, key));
}

bool bp_value_has(const struct bp_value *dict, const char *key)
{
    return bp_value_get(dict, key) != NULL;
}

void bp_value_append(struct bp_value *list, struct bp_value *member)
{
    struct json_object *json = typed(list, BP_VALUE_LIST);
    if (!json) {
        bp_value_unref(member);
    } else if (json_object_array_add(json, bpc_value_json(member)) < 0) {
        g_error("out of memory for a value");
    }
}

void bp_value_set(struct bp_value *dict, const char *key, struct bp_value *member)
{
    struct json_object *json = typed(dict, BP_VALUE_DICT);
    if (!json) {
        bp_value_unref(member);
    } else if (json_object_object_add(json, key, bpc_value_json(member)) < 0) {
        g_error("out of memory for a value");
    }
}

void bp_value_remove(struct bp_value *dict, const char *key)
{
    struct json_object *json = typed(dict, BP_VALUE_DICT);
    if (json)
        json_object_object_del(json, key);
}

int bp_value_each(const struct bp_value *dict,
                  int (*fn)(const char *key, struct bp_value *member, void *opaque), void *opaque)
{
    struct json_object *json = typed(dict, BP_VALUE_DICT);
    if (!json)
        return 0;
    struct json_object_iterator it = json_object_iter_begin(json), end = json_object_iter_end(json);
    for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        int ret = fn(json_object_iter_peek_name(&it),
                     bpc_value_wrap(json_object_iter_peek_value(&it)), opaque);
        if (ret)
            return ret;
    }
    return 0;
}

char *bp_value_print(const struct bp_value *v, bool pretty)
{
    int flags =
        JSON_C_TO_STRING_NOSLASHESCAPE |
        (pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN);
    struct json_object *json = v ? bpc_value_json(v) : NULL;
    const char *text = json ? json_object_to_json_string_ext(json, flags) : "null";
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        g_error("out of memory for a value");
    return copy;
}
