/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of commands called from tables, of the schema made from them, of expressions and monitor
 * lines, hostile ones included. The protocol itself is tested by a client (tests/clients). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "command.h"
#include "config.h"
#include "hmp.h"
#include "loop.h"
#include "monitor.h"
#include "registry.h"

/* ---- a command with one argument of each kind ---- */

static const char *const colours[] = {"red", "green", "blue", NULL};
static const struct bp_schema colour = {.name = "Colour", .kind = BP_KIND_ENUM, .choices = colours};
static const struct bp_schema names = {.name = "strList", .kind = BP_KIND_LIST,
                                       .element_kind = BP_KIND_STRING};
static const struct bp_field every_args[] = {
    BP_ARG("b", BOOL, ""), BP_ARG_OPT("ob", BOOL, ""), BP_ARG("u8", UINT8, ""),
    BP_ARG("i", INT64, ""), BP_ARG_OPT("oi", INT32, ""), BP_ARG("size", SIZE, ""),
    BP_ARG("d", NUMBER, ""), BP_ARG("s", STRING, ""), BP_ARG_OPT("os", STRING, ""),
    BP_ARG_TYPED("e", ENUM, &colour, 0, ""), BP_ARG_TYPED("oe", ENUM, &colour, BP_FIELD_OPTIONAL, ""),
    BP_ARG_TYPED("l", LIST, &names, 0, ""), BP_ARG_OPT("any", ANY, ""), BP_FIELDS_END,
};

static int every(bool b, bool has_ob, bool ob, uint64_t u8, int64_t i, bool has_oi, int64_t oi,
                 uint64_t size, double d, const char *s, const char *os, int e, bool has_oe, int oe,
                 struct bp_value *l, struct bp_value *any, struct bp_value **ret_value,
                 struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_string_printf(
        "%d %d%d %llu %lld %d:%lld %llu %.2f %s %s %d %d:%d %zu %d", b, has_ob, has_ob && ob,
        (unsigned long long)u8, (long long)i, has_oi, has_oi ? (long long)oi : 0,
        (unsigned long long)size, d, s, os ? os : "-", e, has_oe, has_oe ? oe : 0,
        bp_value_length(l), any != NULL);
    return 0;
}
static const struct bp_command cmd_every = {
    sizeof(struct bp_command), 0, "x-every", "", every_args, BP_KIND_STRING, NULL,
    (void (*)(void))every, NULL, {NULL, NULL}};

static int failing(struct bp_error *err)
{
    (void)err;
    return -EIO;
}
static const struct bp_command cmd_failing = {
    sizeof(struct bp_command), 0, "x-failing", "", NULL, BP_KIND_NONE, NULL,
    (void (*)(void))failing, NULL, {NULL, NULL}};

static struct bp_value *json(const char *text)
{
    struct bp_value *v = NULL;
    struct bp_error err = {0};

    g_assert_cmpint(bp_value_parse(text, strlen(text), &v, &err), ==, 0);
    return v;
}

#define MOST "\"b\":true,\"u8\":255,\"i\":-9,\"size\":18446744073709551615,\"d\":1.5,\"s\":\"t\"," \
             "\"e\":\"blue\",\"l\":[\"a\",\"b\"]"

static int replace_member(const char *key, struct bp_value *member, void *opaque)
{
    bp_value_set(opaque, key, bp_value_ref(member));
    return 0;
}

/* Calls it with good arguments, of which some are replaced or added. */
static void expect_call(const char *changes, const char *wanted)
{
    struct bp_value *dict = json("{" MOST "}"), *changed = json(changes), *result = NULL;
    struct bp_error err = {0};

    bp_value_each(changed, replace_member, dict);
    bp_value_unref(changed);
    int r = bpc_command_call(&cmd_every, dict, &result, &err);

    if (wanted) {
        g_assert_cmpstr(err.message, ==, "");
        g_assert_cmpstr(bp_value_as_string(result), ==, wanted);
    } else {
        g_assert_cmpint(r, <, 0);
        g_assert_null(result);
        g_assert_cmpstr(err.message, !=, "");
    }
    bp_value_unref(result);
    bp_value_unref(dict);
}

static void arguments_reach_the_function(void)
{
    expect_call("{}", "1 00 255 -9 0:0 18446744073709551615 1.50 t - 2 0:0 2 0");
    expect_call("{\"ob\":true,\"oi\":-1,\"os\":\"o\",\"oe\":\"green\",\"any\":{}}",
                "1 11 255 -9 1:-1 18446744073709551615 1.50 t o 2 1:1 2 1");
}

static void wrong_arguments_are_refused(void)
{
    expect_call("{\"s\":null}", NULL);
    expect_call("{\"extra\":1}", NULL);
    expect_call("{\"oi\":4294967296}", NULL);
    expect_call("{\"u8\":256}", NULL);
    expect_call("{\"u8\":-1}", NULL);
    expect_call("{\"e\":\"pink\"}", NULL);
    expect_call("{\"s\":1}", NULL);
    expect_call("{\"l\":[1]}", NULL);
    expect_call("{\"b\":\"on\"}", NULL);
}

static void failure_without_message_gets_one(void)
{
    struct bp_value *result = NULL;
    struct bp_error err = {0};

    g_assert_cmpint(bpc_command_call(&cmd_failing, NULL, &result, &err), ==, -EIO);
    g_assert_cmpstr(err.message, !=, "");
    g_assert_null(result);
}

static void unknown_command_has_its_class(void)
{
    const struct bp_command *command;
    struct bp_error err = {0};

    g_assert_cmpint(bpc_command_find("nope", &command, &err), <, 0);
    g_assert_cmpint(err.kind, ==, BP_ERROR_COMMAND_NOT_FOUND);
    g_assert_cmpint(bpc_command_find("query-version", &command, &err), ==, 0);
}

/* ---- expressions and lines ---- */

static void expect_value(const char *text, bool good, uint64_t wanted)
{
    struct bp_error err = {0};
    const char *p = text;
    uint64_t v = 0;
    int r = bpc_expression(NULL, &p, &v, &err);

    g_assert_cmpint(r == 0, ==, good);
    if (good)
        g_assert_cmpuint(v, ==, wanted);
    else
        g_assert_cmpstr(err.message, !=, "");
}

static void expressions_follow_c(void)
{
    expect_value("1+2*3", true, 7);
    expect_value("(1+2)*3", true, 9);
    expect_value("( 1 + 2 ) * 3", true, 3); /* a space outside parentheses ends it */
    expect_value("0x10|1&3^2", true, 0x13);
    expect_value("1<<4>>2", true, 4);
    expect_value("1<<64", true, 0);
    expect_value("-1", true, UINT64_MAX);
    expect_value("~0%10", true, UINT64_MAX % 10);
    expect_value("'a'+1", true, 'b');
    expect_value("010", true, 8);
    expect_value("7/0", false, 0);
    expect_value("7%0", false, 0);
    expect_value("", false, 0);
    expect_value("(1", false, 0);
    expect_value("1+", false, 0);
    expect_value("'a", false, 0);
    expect_value("99999999999999999999", false, 0);
    expect_value("$rip", false, 0);
}

static void deep_expression_is_refused(void)
{
    char text[4001];

    memset(text, '(', 4000);
    text[4000] = '\0';
    expect_value(text, false, 0);
    memset(text, '-', 4000);
    expect_value(text, false, 0);
}

static char *run_line(const char *line)
{
    struct bp_monitor mon = {g_string_new(NULL), 0};

    bpc_hmp_run(&mon, line);
    return g_string_free(mon.out, FALSE);
}

static void expect_line(const char *line, const char *wanted)
{
    char *got = run_line(line);

    g_assert_cmpstr(got, ==, wanted);
    g_free(got);
}

static void lines_are_carried_out(void)
{
    expect_line("", "");
    expect_line("# a comment", "");
    expect_line("print 6*7", "42\n");
    expect_line("  p   /x 255 ", "0xff\n");
    expect_line("p/x 255", "0xff\n");
    expect_line("print 1 2", "print: extraneous characters at the end of line: '2'\n");
    expect_line("print", "print: argument 'expr' is missing\n");
    expect_line("bogus", "unknown command: 'bogus'\n");
    expect_line("info version", "9.1.0 (backplane-0.1.0)\n");
}

static void random_lines_do_no_harm(void)
{
    static const char alphabet[] = "print x/0123456789abcdw()+-*%&|^~<>'\"\\$ ,=.{}\t\x80\xff";

    for (int i = 0; i < 50000; i++) {
        char line[64];
        int n = g_test_rand_int_range(0, (int)sizeof(line) - 8), k = 0;

        if (i % 2)
            k = (int)g_strlcpy(line, i % 4 == 1 ? "print " : "xp ", sizeof(line));
        for (; k < n; k++)
            line[k] = alphabet[g_test_rand_int_range(0, (int)sizeof(alphabet) - 1)];
        line[k] = '\0';
        g_free(run_line(line));
    }
}

static void completion_finds_commands(void)
{
    GPtrArray *found = bpc_hmp_complete("info ver");

    g_assert_cmpuint(found->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(found, 0), ==, "info version");
    g_ptr_array_free(found, TRUE);
    found = bpc_hmp_complete("system_");
    g_assert_cmpuint(found->len, ==, 3);
    g_ptr_array_free(found, TRUE);
    g_ptr_array_free(bpc_hmp_complete("\xff"), TRUE);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};

    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    bpc_config.arch = "x86_64";
    g_assert_cmpint(bpc_control_register(&err), ==, 0);
    g_test_add_func("/qmp/arguments_reach_the_function", arguments_reach_the_function);
    g_test_add_func("/qmp/wrong_arguments_are_refused", wrong_arguments_are_refused);
    g_test_add_func("/qmp/failure_without_message_gets_one", failure_without_message_gets_one);
    g_test_add_func("/qmp/unknown_command_has_its_class", unknown_command_has_its_class);
    g_test_add_func("/qmp/expressions_follow_c", expressions_follow_c);
    g_test_add_func("/qmp/deep_expression_is_refused", deep_expression_is_refused);
    g_test_add_func("/qmp/lines_are_carried_out", lines_are_carried_out);
    g_test_add_func("/qmp/random_lines_do_no_harm", random_lines_do_no_harm);
    g_test_add_func("/qmp/completion_finds_commands", completion_finds_commands);
    return g_test_run();
}
