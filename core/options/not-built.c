/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judges uses of what the manual's command line has and nothing here offers yet: options, and properties
 * of boards. Each is refused by its name with what is missing, or accepted where it asks for nothing
 * that is not so anyhow. What they are, the program says (run.h).
 *
 * harmless: words "KEY=VALUE" that ask for nothing; '*' is any value, "a|b" several, '!' before a word
 * says that it has to be there. An argument is harmless when each of its keys is. For an option without
 * an argument, "" says that it always is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "keyval.h"
#include "options.h"
#include "run.h"

static const struct bpc_not_built *find(const struct bpc_not_built *table, const char *name,
                                        size_t len)
{
    for (; table && table->name; table++) {
        if (strncmp(table->name, name, len) == 0 && table->name[len] == '\0')
            return table;
    }
    return NULL;
}

const struct bpc_not_built *bpc_not_built_find(const char *name)
{
    return find(bpc_program ? bpc_program->options_not_built : NULL, name, strlen(name));
}

/* Is `text` among "a|b|c"? "off" has its other spellings. */
static bool value_fits(const char *values, size_t len, const char *text)
{
    static const char *const off[] = {"no", "false", "n"};

    for (size_t i = 0; i < BP_COUNT(off); i++) {
        if (strcmp(text, off[i]) == 0)
            text = "off";
    }
    if (len == 1 && *values == '*')
        return true;
    for (const char *end = values + len; values < end;) {
        size_t n = strcspn(values, "| ");

        if (n > (size_t)(end - values))
            n = (size_t)(end - values);
        if (strlen(text) == n && strncmp(values, text, n) == 0)
            return true;
        values += n + 1;
    }
    return false;
}

struct check {
    const char *harmless;
    bool fits;
};

static int check_member(const char *key, struct bp_value *member, void *opaque)
{
    struct check *c = opaque;
    const char *text = bp_value_as_string(member);
    char *printed = text ? NULL : bp_value_print(member, false);
    size_t len = strlen(key);
    bool fits = false;

    for (const char *word = c->harmless; *word && !fits;) {
        size_t n = strcspn(word, " ");
        const char *name = word + (*word == '!');

        fits = strncmp(name, key, len) == 0 && name[len] == '=' &&
               value_fits(name + len + 1, (size_t)(word + n - name) - len - 1,
                          text ? text : printed);
        word += n + (word[n] == ' ');
    }
    free(printed);
    if (!fits)
        c->fits = false;
    return 0;
}

static bool required_are_there(const char *harmless, struct bp_value *args)
{
    bool there = true;

    for (const char *word = harmless; *word && there;) {
        size_t n = strcspn(word, " ");

        if (*word == '!') {
            char *key = g_strndup(word + 1, strcspn(word + 1, "="));

            there = bp_value_has(args, key);
            g_free(key);
        }
        word += n + (word[n] == ' ');
    }
    return there;
}

static bool is_harmless(const struct bpc_not_built *what, struct bp_value *args)
{
    struct check c = {what->harmless, true};

    if (!what->harmless || bp_value_type(args) != BP_VALUE_DICT || bp_value_length(args) == 0)
        return false;
    bp_value_each(args, check_member, &c);
    return c.fits && required_are_there(what->harmless, args);
}

/* "none", "enable=off": the forms as one would type them. malloc'd (g_). */
static char *accepted(const struct bpc_not_built *what)
{
    GString *out = g_string_new(NULL);
    size_t implied = what->implied ? strlen(what->implied) : 0;
    char **words = g_strsplit(what->harmless ? what->harmless : "", " ", -1);

    for (char **w = words; *w; w++) {
        const char *word = *w + (**w == '!');

        if (!*word || g_str_has_suffix(word, "=*"))
            continue;
        if (implied && strncmp(word, what->implied, implied) == 0 && word[implied] == '=') {
            char **values = g_strsplit(word + implied + 1, "|", -1);
            char *list = g_strjoinv(", ", values);

            g_string_append_printf(out, "%s%s", out->len ? ", " : "", list);
            g_free(list);
            g_strfreev(values);
            continue;
        }
        g_string_append_printf(out, "%s%s", out->len ? ", " : "", word);
    }
    g_strfreev(words);
    return g_string_free(out, FALSE);
}

static int refuse(const struct bpc_not_built *what, struct bp_error *err)
{
    char *list = accepted(what);
    int ret = bp_fail(err, ENOTSUP, "not built yet: %s%s%s", what->missing,
                      *list ? "; accepted: " : "", list);

    g_free(list);
    return ret;
}

int bpc_not_built_judge(const struct bpc_not_built *what, const char *text, struct bp_value *args,
                        struct bp_error *err)
{
    const struct bpc_keyval_syntax syntax = {NULL, what->implied, true};
    struct bp_value *parsed = NULL;
    bool help = false, good;

    if (!what->arg)
        return what->harmless ? 0 : refuse(what, err);
    if (args)
        parsed = bp_value_ref(args);
    else if (!what->harmless || bpc_keyval_parse(text, &syntax, &parsed, &help, NULL) < 0)
        return refuse(what, err);
    good = !help && is_harmless(what, parsed);
    bp_value_unref(parsed);
    return good ? 0 : refuse(what, err);
}

int bpc_not_built_property(const char *key, struct bp_value *value, struct bp_error *err)
{
    char *name = g_strdelimit(g_strndup(key, strcspn(key, ".")), "_", '-');
    const struct bpc_not_built *what =
        find(bpc_program ? bpc_program->properties_not_built : NULL, name, strlen(name));
    struct bp_value *args;
    int ret;

    g_free(name);
    if (!what)
        return -ENOENT;
    args = bp_value_dict();
    bp_value_set(args, what->name, bp_value_ref(value));
    ret = bpc_not_built_judge(what, NULL, args, err);
    bp_value_unref(args);
    if (ret < 0)
        bp_error_prefix(err, "key '%.100s'", key);
    return ret;
}
