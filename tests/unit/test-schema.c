/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Schemas: dicts against tables, unions, alternates, loose text. */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

static const char *const kinds[] = {"inet", "unix", "none", NULL};
static const struct bp_schema kind_schema = {
    .name = "Kind", .kind = BP_KIND_ENUM, .choices = kinds};
static const struct bp_field inet_members[] = {BP_ARG("host", STRING, "host"),
                                               BP_ARG("port", UINT16, "port"),
                                               BP_ARG_OPT("ipv6", BOOL, "IPv6"), BP_FIELDS_END};
static const struct bp_schema inet_schema = {.kind = BP_KIND_STRUCT, .members = inet_members};
static const struct bp_field unix_members[] = {BP_ARG("path", STRING, "path"), BP_FIELDS_END};
static const struct bp_schema unix_schema = {.kind = BP_KIND_STRUCT, .members = unix_members};
static const struct bp_field common[] = {BP_ARG_TYPED("type", ENUM, &kind_schema, 0, "type"),
                                         BP_ARG_OPT("mark", UINT8, "mark"), BP_FIELDS_END};
static const struct bp_variant variants[] = {
    {"inet", &inet_schema}, {"unix", &unix_schema}, {NULL, NULL}};
static const struct bp_schema addr_schema = {.name = "Addr",
                                             .kind = BP_KIND_UNION,
                                             .members = common,
                                             .discriminator = "type",
                                             .variants = variants};
static const struct bp_field either[] = {{.name = "null", .kind = BP_KIND_NONE},
                                         BP_ARG("number", INT32, ""),
                                         BP_ARG("name", STRING, ""),
                                         BP_ARG_TYPED("addr", UNION, &addr_schema, 0, ""),
                                         BP_FIELDS_END};
static const struct bp_schema either_schema = {.kind = BP_KIND_ALTERNATE, .members = either};
static const struct bp_field no_null[] = {BP_ARG("number", INT32, ""), BP_ARG("name", STRING, ""),
                                          BP_FIELDS_END};
static const struct bp_schema no_null_schema = {.kind = BP_KIND_ALTERNATE, .members = no_null};
static const struct bp_schema addrs_schema = {
    .kind = BP_KIND_LIST, .element_kind = BP_KIND_UNION, .element = &addr_schema};
static const struct bp_field args[] = {
    BP_ARG("id", STRING, "id"),
    BP_ARG_TYPED("addr", UNION, &addr_schema, BP_FIELD_OPTIONAL, "where"),
    BP_ARG_TYPED("either", ALTERNATE, &either_schema, BP_FIELD_OPTIONAL, "either"),
    BP_ARG_TYPED("neither", ALTERNATE, &no_null_schema, BP_FIELD_OPTIONAL, "but null"),
    BP_ARG_TYPED("addrs", LIST, &addrs_schema, BP_FIELD_OPTIONAL, "many"),
    {.name = "word", .kind = BP_KIND_STRING, .flags = BP_FIELD_REPEATED},
    BP_ARG_OPT("size", SIZE, "size"),
    BP_FIELDS_END};

static struct bp_value *json(const char *text)
{
    struct bp_value *v = NULL;
    struct bp_error err = {0};
    if (bp_value_parse(text, strlen(text), &v, &err) < 0)
        g_error("%s: %s", text, err.message);
    return v;
}

static void assert_check(const char *text, const char *message)
{
    struct bp_value *v = json(text);
    struct bp_error err = {0};
    int ret = bpc_schema_check_dict(args, v, false, NULL, &err);
    g_assert_cmpstr(err.message, ==, message);
    g_assert_true((ret == 0) == !*message);
    bp_value_unref(v);
}

static void dicts_are_checked_member_by_member(void)
{
    assert_check("{\"id\":\"x\"}", "");
    assert_check("{}", "Parameter 'id' is missing");
    assert_check("{\"id\":\"x\",\"adr\":1}", "Parameter 'adr' is unexpected; near names: addr");
    assert_check("{\"id\":\"x\",\"zzz\":1}", "Parameter 'zzz' is unexpected");
    assert_check("{\"id\":null}", "Invalid parameter type for 'id', expected: string");
    assert_check("{\"id\":\"x\",\"size\":-1}",
                 "Parameter 'size' expects a size of at least 0, not -1");
    assert_check("{\"id\":\"x\",\"word\":[\"a\",\"b\"]}", "");
    assert_check("{\"id\":\"x\",\"word\":[\"a\",1]}",
                 "Invalid parameter type for 'word', expected: string");
    struct bp_error err = {0};
    g_assert_cmpint(bpc_schema_check_dict(args, NULL, false, "a.", &err), ==, -EINVAL);
    g_assert_cmpstr(err.message, ==, "Parameter 'a.id' is missing");
    g_assert_cmpint(bpc_schema_check_dict(NULL, NULL, false, NULL, &err), ==, 0);
}

/* The least and the most of each kind of number are taken, what lies beyond isn't. */
static void numbers_are_bounded_by_their_kind(void)
{
    static const struct {
        enum bp_field_kind kind;
        const char *least, *most, *below, *above;
    } cases[] = {
        {BP_KIND_UINT8, "0", "255", "-1", "256"},
        {BP_KIND_UINT16, "0", "65535", "-1", "65536"},
        {BP_KIND_UINT32, "0", "4294967295", "-1", "4294967296"},
        {BP_KIND_UINT64, "0", "18446744073709551615", "-1", NULL},
        {BP_KIND_SIZE, "0", "18446744073709551615", "-1", NULL},
        {BP_KIND_INT32, "-2147483648", "2147483647", "-2147483649", "2147483648"},
        {BP_KIND_INT64, "-9223372036854775808", "9223372036854775807", NULL, "9223372036854775808"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct bp_field field = {.name = "n", .kind = cases[i].kind};
        const char *const texts[] = {cases[i].least, cases[i].most, cases[i].below, cases[i].above};
        for (unsigned which = 0; which < 4; which++) {
            if (!texts[which])
                continue;
            struct bp_value *v = json(texts[which]);
            g_assert_cmpint(bpc_schema_check(&field, v, NULL, NULL), ==, which < 2 ? 0 : -ERANGE);
            bp_value_unref(v);
        }
    }
}

static void unions_follow_their_discriminator(void)
{
    assert_check("{\"id\":\"x\",\"addr\":{\"type\":\"unix\",\"path\":\"/x\"}}", "");
    assert_check("{\"id\":\"x\",\"addr\":{\"type\":\"none\",\"mark\":3}}", "");
    assert_check("{\"id\":\"x\",\"addr\":{\"type\":\"none\",\"path\":\"/x\"}}",
                 "Parameter 'addr.path' is unexpected");
    assert_check("{\"id\":\"x\",\"addr\":{\"path\":\"/x\"}}", "Parameter 'addr.type' is missing");
    assert_check("{\"id\":\"x\",\"addr\":{\"type\":1}}",
                 "Invalid parameter type for 'addr.type', expected: string");
    assert_check("{\"id\":\"x\",\"addr\":{\"type\":\"tcp\"}}",
                 "Parameter 'addr.type' does not accept value 'tcp'; accepted: inet, unix");
    assert_check("{\"id\":\"x\",\"addr\":{\"type\":\"inet\",\"host\":\"h\",\"port\":65536}}",
                 "Parameter 'addr.port' expects a number in 0..65535, not 65536");
    assert_check("{\"id\":\"x\",\"addrs\":[{\"type\":\"none\"},{\"type\":\"unix\"}]}",
                 "Parameter 'addrs[1].path' is missing");
}

static void alternates_go_by_json_type(void)
{
    assert_check("{\"id\":\"x\",\"either\":null}", "");
    assert_check("{\"id\":\"x\",\"neither\":\"a\"}", "");
    assert_check("{\"id\":\"x\",\"neither\":null}",
                 "Invalid parameter type for 'neither', expected: integer or string");
    assert_check("{\"id\":\"x\",\"either\":5}", "");
    assert_check("{\"id\":\"x\",\"either\":\"name\"}", "");
    assert_check("{\"id\":\"x\",\"either\":{\"type\":\"none\"}}", "");
    assert_check("{\"id\":\"x\",\"either\":{\"type\":\"unix\"}}",
                 "Parameter 'either.path' is missing");
    assert_check("{\"id\":\"x\",\"either\":true}", "Invalid parameter type for 'either', expected: "
                                                   "null or integer or string or object");
    assert_check("{\"id\":\"x\",\"either\":3000000000}", "Parameter 'either' expects a number in "
                                                         "-2147483648..2147483647, not 3000000000");
}

static void assert_loose(const char *text, const char *expected)
{
    struct bp_value *in = json(text), *out = NULL;
    struct bp_error err = {0};
    if (!bpc_schema_dict_from_loose(args, in, false, &out, &err)) {
        char *printed = bp_value_print(out, false);
        g_assert_cmpstr(printed, ==, expected);
        free(printed);
    } else {
        g_assert_cmpstr(err.message, ==, expected);
    }
    bp_value_unref(in);
    bp_value_unref(out);
}

static void loose_text_becomes_typed(void)
{
    assert_loose("{\"id\":\"5\",\"size\":\"1k\"}", "{\"id\":\"5\",\"size\":1024}");
    assert_loose(
        "{\"id\":\"5\",\"addr\":{\"type\":\"inet\",\"host\":\"h\",\"port\":\"80\",\"ipv6\":"
        "\"on\"}}",
        "{\"id\":\"5\",\"addr\":{\"type\":\"inet\",\"host\":\"h\",\"port\":80,"
        "\"ipv6\":true}}");
    assert_loose("{\"id\":\"5\",\"addrs\":\"[{\\\"type\\\":\\\"none\\\"}]\"}",
                 "{\"id\":\"5\",\"addrs\":[{\"type\":\"none\"}]}");
    assert_loose("{\"id\":\"5\",\"size\":\"huge\"}",
                 "Parameter 'size' expects a size: bytes, or a "
                 "number with suffix k, M, G, T, P or E, not 'huge'");
    assert_loose("{\"id\":\"5\",\"either\":\"7\"}", "{\"id\":\"5\",\"either\":7}");
    assert_loose("{\"id\":\"5\",\"zzz\":\"7\"}", "Parameter 'zzz' is unexpected");
    assert_loose("{\"id\":[1]}", "Invalid parameter type for 'id', expected: string");
}

static void deep_values_are_checked_without_harm(void)
{
    GString *text = g_string_new("{\"id\":\"x\",\"addrs\":");
    for (int i = 0; i < 1000; i++)
        g_string_append_c(text, '[');
    for (int i = 0; i < 1000; i++)
        g_string_append_c(text, ']');
    g_string_append_c(text, '}');
    assert_check(text->str, "Invalid parameter type for 'addrs[0]', expected: object");
    g_string_free(text, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/schema/dicts_are_checked_member_by_member",
                    dicts_are_checked_member_by_member);
    g_test_add_func("/schema/numbers_are_bounded_by_their_kind", numbers_are_bounded_by_their_kind);
    g_test_add_func("/schema/unions_follow_their_discriminator", unions_follow_their_discriminator);
    g_test_add_func("/schema/alternates_go_by_json_type", alternates_go_by_json_type);
    g_test_add_func("/schema/loose_text_becomes_typed", loose_text_becomes_typed);
    g_test_add_func("/schema/deep_values_are_checked_without_harm",
                    deep_values_are_checked_without_harm);
    return g_test_run();
}
