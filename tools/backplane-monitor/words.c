/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands as people write them, NAME KEY=VALUE ..., and what the schema of a running emulator says of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"

struct bp_value *schema_find(struct bp_value *schema, const char *name)
{
    for (size_t i = 0; i < bp_value_length(schema); i++) {
        const char *its = bp_value_get_string(bp_value_at(schema, i), "name");

        if (its && !strcmp(its, name))
            return bp_value_at(schema, i);
    }
    return NULL;
}

static bool is(struct bp_value *entry, const char *meta)
{
    const char *its = bp_value_get_string(entry, "meta-type");

    return its && !strcmp(its, meta);
}

struct bp_value *schema_members(struct bp_value *schema, struct bp_value *command)
{
    const char *type = bp_value_get_string(command, "arg-type");
    struct bp_value *members = type ? bp_value_get(schema_find(schema, type), "members") : NULL;

    return bp_value_length(members) ? members : NULL;
}

struct bp_value *schema_member(struct bp_value *members, const char *name)
{
    for (size_t i = 0; i < bp_value_length(members); i++) {
        const char *its = bp_value_get_string(bp_value_at(members, i), "name");

        if (its && !strcmp(its, name))
            return bp_value_at(members, i);
    }
    return NULL;
}

struct bp_value *schema_choices(struct bp_value *schema, const char *type)
{
    struct bp_value *entry = type ? schema_find(schema, type) : NULL, *list;
    const char *json = bp_value_get_string(entry, "json-type");

    if (is(entry, "enum"))
        return bp_value_ref(bp_value_get(entry, "values"));
    if (!json || strcmp(json, "boolean") != 0)
        return NULL;
    list = bp_value_list();
    bp_value_append(list, bp_value_string("true"));
    bp_value_append(list, bp_value_string("false"));
    return list;
}

static char *joined(struct bp_value *list, const char *before)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fputs(before, f);
    for (size_t i = 0; i < bp_value_length(list); i++)
        fprintf(f, "%s%s", i ? ", " : "", bp_value_as_string(bp_value_at(list, i)));
    fclose(f);
    return text;
}

char *schema_type_text(struct bp_value *schema, const char *type)
{
    struct bp_value *entry = schema_find(schema, type), *choices;
    char *of, *text = NULL;

    if (is(entry, "array")) {
        const char *element = bp_value_get_string(entry, "element-type");

        of = schema_type_text(schema, element ? element : "any");
        if (asprintf(&text, "list of %s", of ? of : "values") < 0)
            text = NULL;
        free(of);
        return text;
    }
    if (is(entry, "enum")) {
        choices = schema_choices(schema, type);
        text = joined(choices, "one of ");
        bp_value_unref(choices);
        return text;
    }
    return strdup(is(entry, "object") ? "members" : is(entry, "builtin") ? type : "value");
}

/* ---- values ---- */

static bool parse_json(const char *text, struct bp_value **ret)
{
    return bp_value_parse(text, strlen(text), ret, NULL) == 0;
}

static struct bp_value *wrong(char **ret_why, const char *key, const char *text, char *expects)
{
    if (asprintf(ret_why, "argument '%s' expects %s, not '%s'", key, expects ? expects : "another value", text) < 0)
        *ret_why = NULL;
    free(expects);
    return NULL;
}

static struct bp_value *boolean(const char *text)
{
    static const char *const yes[] = {"true", "on", "yes"}, *const no[] = {"false", "off", "no"};

    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i]))
            return bp_value_bool(!strcmp(text, yes[i]));
    return NULL;
}

static struct bp_value *number(const char *text)
{
    struct bp_value *v = NULL;
    char *end;
    uint64_t n;

    if (parse_json(text, &v)) {
        enum bp_value_type type = bp_value_type(v);

        if (type != BP_VALUE_STRING && type != BP_VALUE_LIST && type != BP_VALUE_DICT && type != BP_VALUE_NULL &&
            type != BP_VALUE_BOOL)
            return v;
        bp_value_unref(v);
        return NULL;
    }
    errno = 0;
    n = strtoull(text, &end, 0); /* 0x10 */
    return *text && *text != '-' && !*end && !errno ? bp_value_uint(n) : NULL;
}

/* What it looks like, where the schema does not say: numbers, true, false and JSON; else it is a string. */
static struct bp_value *guessed(const char *text)
{
    struct bp_value *v = NULL;

    return parse_json(text, &v) ? v : bp_value_string(text);
}

static struct bp_value *builtin(const char *json, const char *text)
{
    if (!strcmp(json, "string"))
        return bp_value_string(text);
    if (!strcmp(json, "boolean"))
        return boolean(text);
    if (!strcmp(json, "int") || !strcmp(json, "number"))
        return number(text);
    if (!strcmp(json, "null"))
        return !strcmp(text, "null") ? bp_value_null() : NULL;
    return guessed(text);
}

static struct bp_value *typed(struct bp_value *schema, const char *key, const char *type, const char *text,
                              char **ret_why)
{
    struct bp_value *entry = schema_find(schema, type), *v = NULL, *choices;
    const char *json = bp_value_get_string(entry, "json-type");

    if (is(entry, "builtin") && json) {
        v = builtin(json, text);
        return v ? v : wrong(ret_why, key, text, schema_type_text(schema, type));
    }
    if (is(entry, "enum")) {
        choices = schema_choices(schema, type);
        for (size_t i = 0; !v && i < bp_value_length(choices); i++)
            if (!strcmp(text, bp_value_as_string(bp_value_at(choices, i))))
                v = bp_value_string(text);
        bp_value_unref(choices);
        return v ? v : wrong(ret_why, key, text, schema_type_text(schema, type));
    }
    if (is(entry, "array") || is(entry, "object")) {
        if (parse_json(text, &v) && bp_value_type(v) == (is(entry, "array") ? BP_VALUE_LIST : BP_VALUE_DICT))
            return v;
        bp_value_unref(v);
        return wrong(ret_why, key, text, strdup(is(entry, "array") ? "a JSON list ([...])" : "a JSON object ({...})"));
    }
    return guessed(text);
}

/* ---- KEY=VALUE ---- */

/* "a.b=c" and "a.0=c" go into the member `a` of a dict; what it shall be its type says. */
static bool put(struct bp_value *schema, struct bp_value *to, struct bp_value *members, const char *whole, char *key,
                const char *text, char **ret_why)
{
    char *dot = strchr(key, '.');
    struct bp_value *member, *entry, *inner, *v;
    const char *type;

    if (dot)
        *dot = '\0';
    member = schema_member(members, key);
    type = bp_value_get_string(member, "type");
    if (!dot) {
        v = type ? typed(schema, whole, type, text, ret_why) : guessed(text);
        if (v)
            bp_value_set(to, key, v);
        return v != NULL;
    }
    entry = type ? schema_find(schema, type) : NULL;
    inner = bp_value_get(to, key);
    if (is(entry, "array")) {
        const char *element = bp_value_get_string(entry, "element-type");

        if (!inner)
            bp_value_set(to, key, inner = bp_value_list());
        if (bp_value_type(inner) != BP_VALUE_LIST || (size_t)strtoul(dot + 1, NULL, 10) != bp_value_length(inner)) {
            *ret_why = strdup("members of lists are counted from 0 on, one after the other");
            return false;
        }
        v = element ? typed(schema, whole, element, text, ret_why) : guessed(text);
        if (v)
            bp_value_append(inner, v);
        return v != NULL;
    }
    if (!inner)
        bp_value_set(to, key, inner = bp_value_dict());
    if (bp_value_type(inner) != BP_VALUE_DICT) {
        *ret_why = strdup("an argument cannot have a value and members");
        return false;
    }
    return put(schema, inner, bp_value_get(entry, "members"), whole, dot + 1, text, ret_why);
}

static int add_member(const char *key, struct bp_value *member, void *opaque)
{
    bp_value_set(opaque, key, bp_value_ref(member));
    return 0;
}

struct bp_value *words_arguments(struct bp_value *schema, struct bp_value *command, char **words, unsigned count,
                                 char **ret_why)
{
    struct bp_value *args = bp_value_dict(), *members = schema_members(schema, command), *v;

    *ret_why = NULL;
    for (unsigned i = 0; i < count; i++) {
        char *equals = strchr(words[i], '='), *key;
        bool done;

        if (words[i][0] == '{') {
            v = NULL;
            if (!parse_json(words[i], &v) || bp_value_type(v) != BP_VALUE_DICT)
                *ret_why = strdup("the arguments are no JSON object");
            else
                bp_value_each(v, add_member, args);
            bp_value_unref(v);
        } else if (!equals || equals == words[i]) {
            if (asprintf(ret_why, "'%s' is no argument: KEY=VALUE is, or {...}", words[i]) < 0)
                *ret_why = NULL;
        } else {
            key = strndup(words[i], (size_t)(equals - words[i]));
            *equals = '\0';
            done = key && put(schema, args, members, words[i], key, equals + 1, ret_why);
            *equals = '=';
            free(key);
            if (done)
                continue;
        }
        if (words[i][0] != '{' || *ret_why) {
            bp_value_unref(args);
            return NULL;
        }
    }
    return args;
}

/* ---- lines ---- */

char **words_split(const char *line, unsigned *ret_count)
{
    size_t room = strlen(line) / 2 + 2;
    char **words = calloc(room, sizeof(*words));
    unsigned count = 0;

    for (const char *p = line; words && *p;) {
        char *word, *to, quote = '\0';
        unsigned depth = 0;

        if (strchr(" \t\r\n", *p)) {
            p++;
            continue;
        }
        word = to = malloc(strlen(p) + 1);
        if (!word)
            break;
        for (; *p && (quote || depth || !strchr(" \t\r\n", *p)); p++) {
            if (quote && *p == '\\' && p[1]) {
                if (depth)
                    *to++ = *p;
                *to++ = *++p;
            } else if (quote ? *p == quote : *p == '"' || (*p == '\'' && !depth)) {
                quote = quote ? '\0' : *p;
                if (depth) /* JSON keeps its quotes */
                    *to++ = *p;
            } else {
                depth += !quote && (*p == '{' || *p == '[');
                depth -= !quote && depth && (*p == '}' || *p == ']');
                *to++ = *p;
            }
        }
        *to = '\0';
        words[count++] = word;
        if (quote || depth) {
            words_free(words);
            return NULL;
        }
    }
    *ret_count = count;
    return words;
}

void words_free(char **words)
{
    for (char **w = words; w && *w; w++)
        free(*w);
    free(words);
}
