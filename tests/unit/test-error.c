/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors, the log's switches, and values as users type them. */
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "owner.h"
#include "text.h"

static void failing_fills_the_error(void)
{
    struct bp_error err = {0};
    g_assert_cmpint(bp_fail(&err, EINVAL, "bad %s\nline", "thing"), ==, -EINVAL);
    g_assert_cmpint(err.code, ==, EINVAL);
    g_assert_cmpstr(err.message, ==, "bad thing line");
    g_assert_cmpint(bp_fail(NULL, ENOENT, "x"), ==, -ENOENT);
    bp_error_prefix(&err, "option %d", 3);
    g_assert_cmpstr(err.message, ==, "option 3: bad thing line");
    bp_fail_class(&err, BP_ERROR_DEVICE_NOT_FOUND, ENODEV, "was: %s", err.message);
    g_assert_cmpstr(err.message, ==, "was: option 3: bad thing line");
    g_assert_cmpint(err.kind, ==, BP_ERROR_DEVICE_NOT_FOUND);
}

static void long_messages_are_cut(void)
{
    struct bp_error err = {0};
    char *text = g_strnfill(5000, 'x');
    bp_fail(&err, EINVAL, "%s", text);
    g_assert_cmpuint(strlen(err.message), ==, sizeof(err.message) - 1);
    bp_error_prefix(&err, "%.500s", text);
    g_assert_cmpuint(strlen(err.message), ==, sizeof(err.message) - 1);
    bp_error_prefix(&err, "%s", text);
    g_assert_cmpuint(strlen(err.message), ==, sizeof(err.message) - 1);
    g_free(text);
    struct bp_error empty = {0};
    bp_error_prefix(&empty, "x");
    g_assert_cmpstr(empty.message, ==, "");
    bp_error_prefix(NULL, "x");
}

static void passwords_of_urls_are_left_out(void)
{
    static const char *const texts[][2] = {
        {"http://u:pw@h/x", "http://u@h/x"},
        {"'ftp://u:p@w@h:21/a@b:c': no", "'ftp://u@h:21/a@b:c': no"},
        {"iscsi://u%pw@h/t/1", "iscsi://u@h/t/1"},
        {"http://us%65r@h/ and https://a:b@c?d:e@f", "http://us%65r@h/ and https://a@c?d:e@f"},
        {"nbd://h:1/x@y", "nbd://h:1/x@y"},
        {"http://h:80, user@host", "http://h:80, user@host"},
        {"://u:pw@h", "://u@h"},
        {"http://u:pw@", "http://u@"},
        {"://", "://"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct bp_error err = {0};

        bp_fail(&err, EINVAL, "%s", texts[i][0]);
        g_assert_cmpstr(err.message, ==, texts[i][1]);
        bp_fail(&err, EINVAL, "x");
        bp_error_prefix(&err, "%s", texts[i][0]);
        g_assert_true(g_str_has_prefix(err.message, texts[i][1]));
    }
}

static void log_items_are_parsed(void)
{
    uint32_t mask = 1234;
    struct bp_error err = {0};
    g_assert_cmpint(bpc_log_parse("int,guest_errors", &mask, &err), ==, 0);
    g_assert_cmphex(mask, ==, BP_LOG_INT | BP_LOG_GUEST_ERROR);
    g_assert_cmpint(bpc_log_parse("int,nonsense", &mask, &err), ==, -EINVAL);
    g_assert_cmphex(mask, ==, BP_LOG_INT | BP_LOG_GUEST_ERROR);
    g_assert_nonnull(strstr(err.message, "nonsense"));
    g_assert_nonnull(strstr(err.message, "cpu_reset"));
}

static void guest_errors_are_logged_once_per_kind(void)
{
    char *name = g_strdup_printf("/tmp/test-log-%d", (int)getpid()), *text;
    g_assert_cmpint(bpc_log_file("/tmp/test-log-%d", NULL), ==, 0);
    bpc_log_set(BP_LOG_GUEST_ERROR);
    for (int i = 0; i < 5; i++)
        bp_guest_error("uart-bad-register", "register %d", i);
    bp_guest_error("other", "x");
    bpc_log_set(0);
    bp_log(BP_LOG_INT, "not shown\n");
    g_assert_cmpint(bpc_log_file(NULL, NULL), ==, 0);
    g_assert_true(g_file_get_contents(name, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "uart-bad-register: register 0\nother: x\n");
    g_assert_cmpuint(bpc_guest_error_count("uart-bad-register"), ==, 5);
    g_assert_cmpuint(bpc_guest_error_count("never"), ==, 0);
    unlink(name);
    g_free(text);
    g_free(name);
}

static void bad_log_files_are_refused(void)
{
    struct bp_error err = {0};
    g_assert_cmpint(bpc_log_file("/nonexistent/dir/log", &err), ==, -ENOENT);
    g_assert_cmpint(bpc_log_file("/tmp/%s", &err), ==, -EINVAL);
    g_assert_cmpint(bpc_log_file("/tmp/%d%d", &err), ==, -EINVAL);
    g_assert_cmpint(bpc_log_file("/tmp/x%", &err), ==, -EINVAL);
}

static void integers_are_read_with_ranges(void)
{
    uint64_t u = 77;
    int64_t i = 77;
    g_assert_cmpint(bpc_text_uint("0x1F", 0, 255, &u), ==, 0);
    g_assert_cmpuint(u, ==, 31);
    g_assert_cmpint(bpc_text_uint("017", 0, 255, &u), ==, 0);
    g_assert_cmpuint(u, ==, 15);
    g_assert_cmpint(bpc_text_uint("256", 0, 255, &u), ==, -ERANGE);
    g_assert_cmpint(bpc_text_uint("18446744073709551615", 0, UINT64_MAX, &u), ==, 0);
    g_assert_cmpuint(u, ==, UINT64_MAX);
    g_assert_cmpint(bpc_text_uint("18446744073709551616", 0, UINT64_MAX, &u), ==, -ERANGE);
    g_assert_cmpint(bpc_text_uint("-1", 0, 5, &u), ==, -ERANGE);
    static const char *const bad[] = {"", " 1", "1 ", "0x", "08", "1k", "+1", "--1", "abc", "-"};
    for (size_t n = 0; n < G_N_ELEMENTS(bad); n++) {
        g_assert_cmpint(bpc_text_uint(bad[n], 0, UINT64_MAX, &u), ==, -EINVAL);
        g_assert_cmpint(bpc_text_int(bad[n], INT64_MIN, INT64_MAX, &i), ==, -EINVAL);
    }
    g_assert_cmpint(bpc_text_int("-0x8000000000000000", INT64_MIN, INT64_MAX, &i), ==, 0);
    g_assert_cmpint(i, ==, INT64_MIN);
    g_assert_cmpint(bpc_text_int("9223372036854775808", INT64_MIN, INT64_MAX, &i), ==, -ERANGE);
    g_assert_cmpint(bpc_text_int("-129", -128, 127, &i), ==, -ERANGE);
}

static void sizes_have_suffixes(void)
{
    static const struct {
        const char *text;
        uint64_t unit, value;
    } good[] = {
        {"0", 1, 0},
        {"17", 1, 17},
        {"17b", 1 << 20, 17},
        {"4k", 1, 4096},
        {"4K", 1, 4096},
        {"1.5G", 1, UINT64_C(3) << 29},
        {"512", 1 << 20, UINT64_C(512) << 20},
        {"0.5M", 1, 1 << 19},
        {"0x10", 1, 16},
        {"1T", 1, UINT64_C(1) << 40},
        {"1p", 1, UINT64_C(1) << 50},
        {"15E", 1, UINT64_C(15) << 60},
        {"010M", 1, 10 << 20},
        {"0xbe", 1, 0xbe},
        {"0.1k", 1, 102},
    };
    uint64_t v;
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_cmpint(bpc_text_size(good[i].text, good[i].unit, &v), ==, 0);
        g_assert_cmpuint(v, ==, good[i].value);
    }
    static const char *const bad[] = {"",      "k",  "1.M", ".5M", "1kk",   "1 k", "-1M",
                                      "1.2.3", "1x", "0x",  "1e3", "0x1.5", "."};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_cmpint(bpc_text_size(bad[i], 1, &v), <, 0);
    g_assert_cmpint(bpc_text_size("16E", 1, &v), ==, -ERANGE);
    g_assert_cmpint(bpc_text_size("99999999999999999999", 1, &v), ==, -ERANGE);
    char buf[32];
    bpc_text_print_size(UINT64_C(3) << 29, buf, sizeof(buf));
    g_assert_cmpstr(buf, ==, "1.5 GiB");
    bpc_text_print_size(17, buf, sizeof(buf));
    g_assert_cmpstr(buf, ==, "17 B");
}

static void other_texts(void)
{
    bool on = false;
    double d;
    g_assert_cmpint(bpc_text_bool("on", &on), ==, 0);
    g_assert_true(on);
    g_assert_cmpint(bpc_text_bool("no", &on), ==, 0);
    g_assert_false(on);
    g_assert_cmpint(bpc_text_bool("ON", &on), ==, -EINVAL);
    g_assert_cmpint(bpc_text_bool("", &on), ==, -EINVAL);
    g_assert_cmpint(bpc_text_double("-1.5e3", &d), ==, 0);
    g_assert_cmpfloat(d, ==, -1500);
    g_assert_cmpint(bpc_text_double("nan", &d), ==, -EINVAL);
    g_assert_cmpint(bpc_text_double("1e999", &d), ==, -ERANGE);
    g_assert_true(bpc_text_is_id("serial0"));
    g_assert_false(bpc_text_is_id("0serial"));
    g_assert_false(bpc_text_is_id("a/b"));
    g_assert_false(bpc_text_is_id(""));
    g_assert_cmpuint(bpc_text_distance("e1000", "e1000", 3), ==, 0);
    g_assert_cmpuint(bpc_text_distance("isa-seiral", "isa-serial", 3), ==, 1);
    g_assert_cmpuint(bpc_text_distance("abc", "xyz", 2), ==, 3);
    g_assert_cmpuint(bpc_text_distance("", "ab", 3), ==, 2);
    char *longer = g_strnfill(100000, 'a');
    g_assert_cmpuint(bpc_text_distance(longer, "a", 2), ==, 3);
    g_free(longer);
}

struct claimed {
    struct bpc_claim claim;
    GString *log;
    char name;
};

static void log_release(struct bpc_claim *claim)
{
    struct claimed *c = (struct claimed *)claim;
    g_string_append_c(c->log, c->name);
}

static void claims_go_newest_first(void)
{
    struct bp_owner owner;
    GString *log = g_string_new(NULL);
    struct claimed a = {.log = log, .name = 'a'}, b = {.log = log, .name = 'b'},
                   c = {.log = log, .name = 'c'}, nobody = {.log = log, .name = 'x'};
    bpc_owner_init(&owner);
    bpc_claim(&owner, &a.claim, log_release);
    bpc_claim(&owner, &b.claim, log_release);
    bpc_claim(&owner, &c.claim, log_release);
    bpc_claim(NULL, &nobody.claim, log_release);
    bpc_unclaim(&b.claim);
    bpc_unclaim(&b.claim);
    bpc_unclaim(&nobody.claim);
    bpc_owner_release(&owner);
    g_assert_cmpstr(log->str, ==, "ca");
    bpc_owner_release(&owner);
    bpc_claim(&owner, &b.claim, log_release);
    bpc_owner_release(&owner);
    g_assert_cmpstr(log->str, ==, "cab");
    g_string_free(log, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/failing_fills_the_error", failing_fills_the_error);
    g_test_add_func("/error/long_messages_are_cut", long_messages_are_cut);
    g_test_add_func("/error/passwords_of_urls_are_left_out", passwords_of_urls_are_left_out);
    g_test_add_func("/log/log_items_are_parsed", log_items_are_parsed);
    g_test_add_func("/log/guest_errors_are_logged_once_per_kind",
                    guest_errors_are_logged_once_per_kind);
    g_test_add_func("/log/bad_log_files_are_refused", bad_log_files_are_refused);
    g_test_add_func("/text/integers_are_read_with_ranges", integers_are_read_with_ranges);
    g_test_add_func("/text/sizes_have_suffixes", sizes_have_suffixes);
    g_test_add_func("/text/other_texts", other_texts);
    g_test_add_func("/owner/claims_go_newest_first", claims_go_newest_first);
    return g_test_run();
}
