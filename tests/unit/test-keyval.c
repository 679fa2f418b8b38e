/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the key=value parser, hostile input included. */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "keyval.h"

static const struct bp_field fields[] = {
    BP_ARG_OPT("server", BOOL, "switch"),
    BP_ARG_OPT("path", STRING, "text"),
    BP_ARG_OPT("with.dot", STRING, "a key with a dot in its name"),
    {.name = "many", .kind = BP_KIND_STRING, .flags = BP_FIELD_OPTIONAL | BP_FIELD_REPEATED},
    BP_FIELDS_END,
};

/* What the text gives, printed as JSON; or "error", or "help" in front. g_malloc'd */
static char *parse(const char *text, const char *implied, bool any_keys)
{
    const struct bpc_keyval_syntax syntax = {fields, implied, any_keys};
    struct bp_value *args;
    struct bp_error err = {0};
    bool help;

    if (bpc_keyval_parse(text, &syntax, &args, &help, &err) < 0) {
        g_assert_cmpint(err.code, !=, 0);
        g_assert_true(err.message[0] != '\0');
        return g_strdup("error");
    }
    char *json = bp_value_print(args, false);
    char *result = g_strdup_printf("%s%s", help ? "help " : "", json);
    free(json);
    bp_value_unref(args);
    return result;
}

static void expect(const char *text, const char *implied, bool any_keys, const char *wanted)
{
    char *got = parse(text, implied, any_keys);

    g_assert_cmpstr(got, ==, wanted);
    g_free(got);
}

static void words_are_split(void)
{
    expect("path=a,server=on", NULL, false, "{\"path\":\"a\",\"server\":\"on\"}");
    expect("", NULL, false, "{}");
    expect("path=", NULL, false, "{\"path\":\"\"}");
    expect("path=a,path=b", NULL, false, "{\"path\":\"b\"}");
    expect("path=a=b", NULL, false, "{\"path\":\"a=b\"}");
    expect("path=a,", NULL, false, "{\"path\":\"a\"}");
}

static void doubled_comma_is_one(void)
{
    expect("path=a,,b,server=on", NULL, false, "{\"path\":\"a,b\",\"server\":\"on\"}");
    expect("path=,,,,", NULL, false, "{\"path\":\",,\"}");
    expect("a,,b,path=c", "path", false, "{\"path\":\"c\"}");
    expect("a,,b", "path", false, "{\"path\":\"a,b\"}");
}

static void first_word_gets_implied_key(void)
{
    expect("pc", "path", true, "{\"path\":\"pc\"}");
    expect("pc,x=1", "path", true, "{\"path\":\"pc\",\"x\":\"1\"}");
    expect("x=1,pc", "path", true, "{\"x\":\"1\",\"pc\":\"on\"}");
    expect("pc", NULL, false, "error");
}

static void switch_word_is_boolean(void)
{
    expect("path=x,server", NULL, false, "{\"path\":\"x\",\"server\":\"on\"}");
    expect("path=x,noserver", NULL, false, "{\"path\":\"x\",\"server\":\"off\"}");
    expect("path=x,path", NULL, false, "error");
    expect("path=x,nopath", NULL, false, "error");
    expect("path=x,thing", NULL, false, "error");
    expect("path=x,thing", NULL, true, "{\"path\":\"x\",\"thing\":\"on\"}");
}

static void help_is_seen(void)
{
    expect("help", "path", true, "help {}");
    expect("?", "path", true, "help {}");
    expect("pc,help", "path", true, "help {\"path\":\"pc\"}");
    expect("path=help", "path", true, "{\"path\":\"help\"}");
}

static void dots_nest(void)
{
    expect("a.b=1,a.c.d=2", NULL, true, "{\"a\":{\"b\":\"1\",\"c\":{\"d\":\"2\"}}}");
    expect("a.0=x,a.1=y", NULL, true, "{\"a\":[\"x\",\"y\"]}");
    expect("a.1=y,a.0=x", NULL, true, "{\"a\":[\"x\",\"y\"]}");
    expect("a.0.k=x,a.1.k=y", NULL, true, "{\"a\":[{\"k\":\"x\"},{\"k\":\"y\"}]}");
    expect("with.dot=1", NULL, true, "{\"with.dot\":\"1\"}");
    expect("a.1=x", NULL, true, "error");
    expect("a.0=x,a.k=y", NULL, true, "error");
    expect("a=1,a.b=2", NULL, true, "error");
    expect("a.b=2,a=1", NULL, true, "error");
    expect("a..b=1", NULL, true, "error");
    expect(".a=1", NULL, true, "error");
    expect("a.=1", NULL, true, "error");
    expect("0=a", NULL, true, "error");
}

static void repeated_key_is_list(void)
{
    expect("many=a,many=b", NULL, false, "{\"many\":[\"a\",\"b\"]}");
    expect("many=a", NULL, false, "{\"many\":[\"a\"]}");
}

static void json_is_taken(void)
{
    expect("{\"a\": [1, true, null], \"b\": {\"c\": \"x,y\"}}", NULL, true,
           "{\"a\":[1,true,null],\"b\":{\"c\":\"x,y\"}}");
    expect("{", NULL, true, "error");
    expect("{\"a\"}", NULL, true, "error");
    expect("{} x", NULL, true, "error");
}

static void malformed_text_is_refused(void)
{
    expect("=1", NULL, true, "error");
    expect("a b=1", NULL, true, "error");
    expect(",,", NULL, false, "error");
    expect("path=x,,=1", NULL, false, "{\"path\":\"x,=1\"}");
}

static void deep_and_long_keys_are_refused(void)
{
    GString *deep = g_string_new("a");

    for (int i = 0; i < 100; i++)
        g_string_append(deep, ".a");
    g_string_append(deep, "=1");
    expect(deep->str, NULL, true, "error");
    g_string_truncate(deep, 0);
    for (int i = 0; i < 1000; i++)
        g_string_append_c(deep, 'k');
    g_string_append(deep, "=1");
    expect(deep->str, NULL, true, "error");
    g_string_free(deep, TRUE);
}

static void random_text_does_no_harm(void)
{
    static const char alphabet[] = "ab01.,,==\"{}[]:\\ \t\n?-\x80\xff";
    static const char *const implied[] = {NULL, "path"};

    for (int i = 0; i < 200000; i++) {
        char text[40];
        int n = g_test_rand_int_range(0, (int)sizeof(text) - 1);

        for (int k = 0; k < n; k++)
            text[k] = alphabet[g_test_rand_int_range(0, (int)sizeof(alphabet) - 1)];
        text[n] = '\0';
        g_free(parse(text, implied[i % 2], i % 4 < 2));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keyval/words_are_split", words_are_split);
    g_test_add_func("/keyval/doubled_comma_is_one", doubled_comma_is_one);
    g_test_add_func("/keyval/first_word_gets_implied_key", first_word_gets_implied_key);
    g_test_add_func("/keyval/switch_word_is_boolean", switch_word_is_boolean);
    g_test_add_func("/keyval/help_is_seen", help_is_seen);
    g_test_add_func("/keyval/dots_nest", dots_nest);
    g_test_add_func("/keyval/repeated_key_is_list", repeated_key_is_list);
    g_test_add_func("/keyval/json_is_taken", json_is_taken);
    g_test_add_func("/keyval/malformed_text_is_refused", malformed_text_is_refused);
    g_test_add_func("/keyval/deep_and_long_keys_are_refused", deep_and_long_keys_are_refused);
    g_test_add_func("/keyval/random_text_does_no_harm", random_text_does_no_harm);
    return g_test_run();
}
