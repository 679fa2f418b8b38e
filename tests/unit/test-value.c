/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values: JSON text to value and back, the stream parser, hostile input. */
#include <errno.h>
#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "value-stream.h"
#include "value-wire.h"

static struct bp_value *parse(const char *text)
{
    struct bp_error err = {0};
    struct bp_value *v = NULL;
    if (bp_value_parse(text, strlen(text), &v, &err) < 0)
        g_error("%s: %s", text, err.message);
    return v;
}

static void assert_prints(const char *text, const char *expected)
{
    struct bp_value *v = parse(text);
    char *printed = bp_value_print(v, false);
    g_assert_cmpstr(printed, ==, expected);
    free(printed);
    bp_value_unref(v);
}

static void any_json_prints_back(void)
{
    static const char *const same[] = {
        "null",
        "true",
        "false",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "1.5",
        "-0.25",
        "\"\"",
        "\"a/b\\n\\\"\"",
        "[]",
        "{}",
        "[1,[2,{\"a\":null}]]",
        "{\"z\":1,\"a\":[true,false,null]}",
        "0.1",
        "1e+100",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(same); i++)
        assert_prints(same[i], same[i]);
    assert_prints(" { \"a\" : [ 1 , 2 ] } \n", "{\"a\":[1,2]}");
    assert_prints("\"\\u00e9\\ud83d\\ude00\"", "\"\303\251\360\237\230\200\"");
    assert_prints("1e2", "100.0");
    assert_prints("18446744073709551616", "1.8446744073709552e+19");
}

static void integers_at_their_limits_are_exact(void)
{
    struct bp_value *v = parse("[-9223372036854775808,18446744073709551615,9223372036854775807]");
    g_assert_cmpint(bp_value_as_int(bp_value_at(v, 0)), ==, INT64_MIN);
    g_assert_true(bp_value_is_negative(bp_value_at(v, 0)));
    g_assert_cmpuint(bp_value_as_uint(bp_value_at(v, 0)), ==, 0);
    g_assert_cmpuint(bp_value_as_uint(bp_value_at(v, 1)), ==, UINT64_MAX);
    g_assert_false(bp_value_is_negative(bp_value_at(v, 1)));
    g_assert_cmpint(bp_value_as_int(bp_value_at(v, 2)), ==, INT64_MAX);
    g_assert_cmpfloat(bp_value_as_double(bp_value_at(v, 1)), ==, 18446744073709551615.0);
    bp_value_unref(v);
    v = bp_value_uint(UINT64_MAX);
    struct bp_value *w = bp_value_int(-1);
    g_assert_false(bp_value_equal(v, w));
    bp_value_unref(v);
    bp_value_unref(w);
}

static void single_quotes_open_strings_too(void)
{
    struct bp_value *v;

    static const char text[] = "{'a':'x\"\\'\\u0041',\"b\":\"'\"}";

    g_assert_cmpint(bp_value_parse(text, sizeof(text) - 1, &v, NULL), ==, 0);
    g_assert_cmpstr(bp_value_get_string(v, "a"), ==, "x\"'A");
    g_assert_cmpstr(bp_value_get_string(v, "b"), ==, "'");
    bp_value_unref(v);
}

static void assert_wire(const char *json, bool pretty, const char *expected)
{
    struct bp_value *v;

    g_assert_cmpint(bp_value_parse(json, strlen(json), &v, NULL), ==, 0);
    char *text = bpc_value_print_wire(v, pretty);
    g_assert_cmpstr(text, ==, expected);
    g_free(text);
    bp_value_unref(v);
}

static void wire_text_is_ascii_with_spaces(void)
{
    assert_wire("{\"return\":{}}", false, "{\"return\": {}}");
    assert_wire("{\"a\":[1,2,{\"b\":null}],\"c\":true}", false,
                "{\"a\": [1, 2, {\"b\": null}], \"c\": true}");
    assert_wire("[]", false, "[]");
    assert_wire("\"a:b,c\\\"d:e\"", false, "\"a:b,c\\\"d:e\"");
    assert_wire("\"h\u00e9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"", false,
                "\"h\\u00E9\\u20AC\\uD83D\\uDE00\\u007F\"");
    assert_wire("\"\\\\\"", false, "\"\\\\\"");
    assert_wire("\"a\\/b\\n\"", false, "\"a/b\\n\"");
    assert_wire("{\"a\":[1]}", true, "{\n    \"a\": [\n        1\n    ]\n}");
}

static void malformed_text_is_refused(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a\":1}",
        "'a",
        "[1 2]",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "0x10",
        "1e",
        "1e+",
        "nul",
        "nullx",
        "True",
        "NaN",
        "Infinity",
        "1e999",
        "\"\\x\"",
        "\"abc",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\u0000\"",
        "\"\n\"",
        "\"\t\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "[1]x",
        "1 2",
        "/**/1",
        "{\"a\":1,\"a\":2}",
        "{\"a\"}",
        "{1:2}",
        "[",
        "\"\\",
        "{\"a\":",
        "\x01",
        "--1",
        "-01",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct bp_error err = {0};
        struct bp_value *v = NULL;
        g_assert_cmpint(bp_value_parse(bad[i], strlen(bad[i]), &v, &err), ==, -EINVAL);
        g_assert_null(v);
        g_assert_true(g_str_has_prefix(err.message, "JSON parse error"));
    }
    struct bp_value *v = NULL;
    g_assert_cmpint(bp_value_parse("1\0", 2, &v, NULL), ==, -EINVAL);
    g_assert_cmpint(bp_value_parse("\"a\0b\"", 5, &v, NULL), ==, -EINVAL);
    g_assert_null(v);
}

static void nesting_has_a_limit(void)
{
    GString *text = g_string_new(NULL);
    for (int i = 0; i < 1024; i++)
        g_string_append_c(text, '[');
    for (int i = 0; i < 1024; i++)
        g_string_append_c(text, ']');
    bp_value_unref(parse(text->str));
    g_string_prepend_c(text, '[');
    g_string_append_c(text, ']');
    struct bp_value *v;
    g_assert_cmpint(bp_value_parse(text->str, text->len, &v, NULL), ==, -EINVAL);
    g_string_truncate(text, 0);
    for (int i = 0; i < 200000; i++)
        g_string_append(text, "{\"a\":");
    g_assert_cmpint(bp_value_parse(text->str, text->len, &v, NULL), ==, -EINVAL);
    g_string_free(text, TRUE);
}

static void null_members_exist(void)
{
    struct bp_value *v = parse("{\"a\":null}");
    g_assert_true(bp_value_has(v, "a"));
    g_assert_false(bp_value_has(v, "b"));
    g_assert_cmpint(bp_value_type(bp_value_get(v, "a")), ==, BP_VALUE_NULL);
    g_assert_null(bp_value_get(v, "b"));
    bp_value_set(v, "b", bp_value_null());
    bp_value_set(v, "a", bp_value_int(3));
    struct bp_value *copy = bp_value_copy(v);
    g_assert_true(bp_value_equal(v, copy));
    bp_value_remove(copy, "b");
    g_assert_false(bp_value_equal(v, copy));
    bp_value_unref(copy);
    char *printed = bp_value_print(v, false);
    g_assert_cmpstr(printed, ==, "{\"a\":3,\"b\":null}");
    free(printed);
    bp_value_unref(v);
    bp_value_unref(bp_value_ref(bp_value_null()));
    bp_value_unref(NULL);
}

static void getters_of_another_type_give_fallbacks(void)
{
    struct bp_value *v = bp_value_string("5");
    g_assert_cmpint(bp_value_as_int(v), ==, 0);
    g_assert_false(bp_value_as_bool(v));
    g_assert_cmpuint(bp_value_length(v), ==, 0);
    g_assert_null(bp_value_at(v, 0));
    g_assert_null(bp_value_get(v, "x"));
    bp_value_append(v, bp_value_int(1)); /* not a list: dropped */
    bp_value_set(v, "x", bp_value_int(1));
    bp_value_unref(v);
}

static void strings_that_are_not_utf8_print_as_json(void)
{
    struct bp_value *v = bp_value_string("a\xff"
                                         "b");
    char *printed = bp_value_print(v, false);
    g_assert_true(g_utf8_validate(printed, -1, NULL));
    bp_value_unref(parse(printed));
    free(printed);
    bp_value_unref(v);
    v = bp_value_double(INFINITY);
    g_assert_cmpint(bp_value_type(v), ==, BP_VALUE_NULL);
    bp_value_unref(v);
}

/* ---- stream ---- */

/* Feeds text in pieces of `piece` bytes; a letter per result: v value, e error. */
static char *results(const char *text, size_t length, size_t piece)
{
    struct bpc_value_stream *s = bpc_value_stream_new();
    GString *out = g_string_new(NULL);
    for (size_t at = 0; at < length; at += piece) {
        bpc_value_stream_feed(s, text + at, MIN(piece, length - at));
        for (;;) {
            struct bp_value *v = NULL;
            struct bp_error err = {0};
            int ret = bpc_value_stream_next(s, &v, &err);
            if (!ret)
                break;
            g_string_append_c(out, ret > 0 ? 'v' : 'e');
            g_assert_true((ret > 0) == (v != NULL));
            g_assert_true((ret < 0) == (err.code != 0));
            bp_value_unref(v);
        }
    }
    bpc_value_stream_free(s);
    return g_string_free(out, FALSE);
}

static void assert_stream(const char *text, const char *expected)
{
    for (size_t piece = 1; piece < 20; piece += 3) {
        char *got = results(text, strlen(text), piece);
        if (strcmp(got, expected))
            g_error("%s: %s, expected %s", text, got, expected);
        g_free(got);
    }
}

static void stream_gives_each_value(void)
{
    assert_stream("{\"execute\":\"a\"}{\"b\":[1,\"]}\"]}\n[]", "vvv");
    assert_stream("1 true\nnull \"x\" ", "vvvv");
    assert_stream("{\"a\":\"\\\"}\"}\n", "v");
    assert_stream("{'execute':'a','b':\"it's\"}{'c':'}\"'}\n'x'", "vvv");
    assert_stream("12", ""); /* more digits may follow */
    assert_stream("{\"a\":1", "");
    assert_stream("\xff{}\n\xff[]", "vv");
}

static void stream_recovers_after_errors(void)
{
    assert_stream("{\"a\": }\n{\"b\":1}\n", "ev");  /* balanced, but not JSON */
    assert_stream("} garbage\n{\"b\":1}\n", "ev");  /* the rest of the line goes */
    assert_stream("{\"a\":[1}\n{\"b\":1}\n", "ev"); /* wrong bracket */
    assert_stream("{\"a\n{\"b\":1}\n", "ev");       /* a string does not span lines */
    assert_stream("{\"a\": 'x\n{}\n", "ev");
    assert_stream("{\"a\"\xff{}\n", "ev"); /* a fresh start on demand */
    assert_stream("foo\n{}\n", "ev");
    assert_stream("{\"a\":1,\"a\":2}{}", "ev");
    assert_stream("\001{}\n", "ev");
}

static void stream_depth_is_bounded(void)
{
    GString *text = g_string_new(NULL);
    for (int i = 0; i < 100000; i++)
        g_string_append_c(text, '[');
    g_string_append(text, "\n{}\n");
    char *got = results(text->str, text->len, 4096);
    g_assert_cmpstr(got, ==, "ev");
    g_free(got);
    g_string_free(text, TRUE);
}

static void stream_size_is_bounded(void)
{
    struct bpc_value_stream *s = bpc_value_stream_new();
    struct bp_value *v;
    struct bp_error err = {0};
    char *block = g_strnfill(1 << 20, 'a');
    bpc_value_stream_feed(s, "\"", 1);
    int ret = 0;
    for (int i = 0; i < 70 && !ret; i++) {
        bpc_value_stream_feed(s, block, 1 << 20);
        ret = bpc_value_stream_next(s, &v, &err);
    }
    g_assert_cmpint(ret, ==, -E2BIG);
    bpc_value_stream_feed(s, "\n7 ", 3);
    g_assert_cmpint(bpc_value_stream_next(s, &v, &err), ==, 1);
    g_assert_cmpint(bp_value_as_int(v), ==, 7);
    bp_value_unref(v);
    bpc_value_stream_free(s);
    g_free(block);
}

static void random_bytes_never_crash(void)
{
    static const char alphabet[] = "{}[]\":,\\u0019truefalsn \n\xff\x80\xc3-.eE+";
    GRand *rand = g_rand_new_with_seed(7);
    char text[64];
    for (int round = 0; round < 20000; round++) {
        size_t length = (size_t)g_rand_int_range(rand, 0, sizeof(text));
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[g_rand_int_range(rand, 0, sizeof(alphabet) - 1)];
        struct bp_value *v = NULL;
        if (!bp_value_parse(text, length, &v, NULL))
            bp_value_unref(v);
        g_free(results(text, length, 5));
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/value/any_json_prints_back", any_json_prints_back);
    g_test_add_func("/value/integers_at_their_limits_are_exact",
                    integers_at_their_limits_are_exact);
    g_test_add_func("/value/single_quotes_open_strings_too", single_quotes_open_strings_too);
    g_test_add_func("/value/wire_text_is_ascii_with_spaces", wire_text_is_ascii_with_spaces);
    g_test_add_func("/value/malformed_text_is_refused", malformed_text_is_refused);
    g_test_add_func("/value/nesting_has_a_limit", nesting_has_a_limit);
    g_test_add_func("/value/null_members_exist", null_members_exist);
    g_test_add_func("/value/getters_of_another_type_give_fallbacks",
                    getters_of_another_type_give_fallbacks);
    g_test_add_func("/value/strings_that_are_not_utf8_print_as_json",
                    strings_that_are_not_utf8_print_as_json);
    g_test_add_func("/value/stream_gives_each_value", stream_gives_each_value);
    g_test_add_func("/value/stream_recovers_after_errors", stream_recovers_after_errors);
    g_test_add_func("/value/stream_depth_is_bounded", stream_depth_is_bounded);
    g_test_add_func("/value/stream_size_is_bounded", stream_size_is_bounded);
    g_test_add_func("/value/random_bytes_never_crash", random_bytes_never_crash);
    return g_test_run();
}
