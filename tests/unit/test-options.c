/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the command line as a list of uses: split, merged, checked, applied to bpc_config. */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "config.h"
#include "monitor.h"
#include "options.h"

/* Parses and applies the phases up to MACHINE; the text is split at spaces. */
static int apply(const char *text, struct bp_error *err)
{
    char *line = g_strdup_printf("program %s", text);
    char **argv = g_strsplit(line, " ", -1);
    int r;

    bpc_options_free();
    g_free(bpc_config.board);
    g_free(bpc_config.kernel);
    bp_value_unref(bpc_config.accels);
    bp_value_unref(bpc_config.board_props);
    memset(&bpc_config, 0, sizeof(bpc_config));
    bpc_config.arch = "x86_64";
    memset(err, 0, sizeof(*err));
    r = bpc_options_parse((int)g_strv_length(argv), argv, err);
    if (r == BPC_OPTIONS_RUN)
        r = bpc_options_apply(BP_PHASE_EARLY, err);
    if (r == BPC_OPTIONS_RUN)
        r = bpc_options_apply(BP_PHASE_MACHINE, err);
    g_strfreev(argv);
    g_free(line);
    return r;
}

static void accept(const char *text)
{
    struct bp_error err;
    int r = apply(text, &err);

    if (r != 0)
        g_test_message("%s: %s", text, err.message);
    g_assert_cmpint(r, ==, 0);
}

static void refuse(const char *text, const char *names)
{
    struct bp_error err;

    g_assert_cmpint(apply(text, &err), <, 0);
    g_assert_nonnull(strstr(err.message, names));
    g_assert_null(strchr(err.message, '\n'));
}

static void memory_size_has_suffixes(void)
{
    accept("-m 512");
    g_assert_cmpuint(bpc_config.ram_size, ==, UINT64_C(512) << 20);
    accept("-m size=524288k");
    g_assert_cmpuint(bpc_config.ram_size, ==, UINT64_C(512) << 20);
    accept("-m 1.5G");
    g_assert_cmpuint(bpc_config.ram_size, ==, UINT64_C(1536) << 20);
    accept("-m 1G,slots=3,maxmem=4G");
    g_assert_cmpuint(bpc_config.ram_max, ==, UINT64_C(4) << 30);
    g_assert_cmpuint(bpc_config.ram_slots, ==, 3);
    accept("-m {\"size\":\"2G\"}");
    g_assert_cmpuint(bpc_config.ram_size, ==, UINT64_C(2) << 30);
    refuse("-m x", "size");
    refuse("-m 1,slots=257", "slots");
}

static void later_use_is_merged(void)
{
    accept("-smp 4 -smp cores=2 -m 64 -m slots=2");
    g_assert_cmpuint(bpc_config.smp.cpus, ==, 4);
    g_assert_cmpuint(bpc_config.smp.cores, ==, 2);
    g_assert_cmpuint(bpc_config.ram_size, ==, UINT64_C(64) << 20);
    g_assert_cmpuint(bpc_config.ram_slots, ==, 2);
    accept("-machine kernel=a -M kernel=b");
    g_assert_cmpstr(bpc_config.kernel, ==, "b");
}

static void accelerators_are_tried_in_turn(void)
{
    accept("-machine accel=kvm:tcg:interp");
    g_assert_cmpuint(bp_value_length(bpc_config.accels), ==, 3);
    g_assert_cmpstr(bp_value_get_string(bp_value_at(bpc_config.accels, 1), "accel"), ==, "tcg");
    accept("-accel kvm -accel tcg,thread=single");
    g_assert_cmpuint(bp_value_length(bpc_config.accels), ==, 2);
    g_assert_cmpstr(bp_value_get_string(bp_value_at(bpc_config.accels, 1), "thread"), ==, "single");
    refuse("-accel kvm -machine accel=tcg", "-accel");
}

static void board_keys_are_passed_on(void)
{
    accept("-machine usb=off,x.y=1,append=hello");
    g_assert_cmpuint(bp_value_length(bpc_config.board_props), ==, 2);
    g_assert_cmpstr(bp_value_get_string(bpc_config.board_props, "usb"), ==, "off");
    g_assert_cmpstr(bpc_config.append, ==, "hello");
}

static void flags_may_have_two_dashes(void)
{
    accept("--nodefaults -S --no-reboot -no-shutdown");
    g_assert_true(bpc_config.nodefaults && bpc_config.start_paused && bpc_config.no_reboot &&
                  bpc_config.no_shutdown);
    refuse("---S", "--S");
}

static void clock_and_uuid_are_read(void)
{
    accept("-rtc base=1970-01-02,clock=vm,driftfix=slew");
    g_assert_cmpint(bpc_config.rtc.base, ==, BPC_RTC_DATE);
    g_assert_cmpint(bpc_config.rtc.date_ns, ==, INT64_C(86400) * 1000000000);
    g_assert_cmpint(bpc_config.rtc.clock, ==, BP_CLOCK_VIRTUAL);
    g_assert_true(bpc_config.rtc.drift_slew);
    accept("-uuid 00112233-4455-6677-8899-aabbccddeeff");
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmpuint(bpc_config.uuid[i], ==, i * 0x11);
    refuse("-uuid 0011223344556677-8899-aabbccddeeff-", "UUID");
    refuse("-rtc base=2006-13-01", "base");
}

static void unknown_names_are_refused(void)
{
    refuse("-nonsense", "-nonsense");
    refuse("-smp 1,nonsense=2", "nonsense");
    refuse("-m", "-m");
    refuse("file.img", "file.img");
}

static void random_words_do_no_harm(void)
{
    static const char *const words[] = {
        "-m", "-smp", "-machine", "-rtc", "-uuid", "-action", "-boot", "-accel", "-M", "-append",
        "1", "a=", "=", ",", "{", "{}", "x.0=1", "size=1,", "-", "--", "cpus=1", "1G", "order=c", "",
    };
    struct bp_error err;

    for (int i = 0; i < 20000; i++) {
        GString *text = g_string_new(NULL);
        int n = g_test_rand_int_range(0, 7);

        for (int k = 0; k < n; k++) {
            g_string_append(text, words[g_test_rand_int_range(0, (int)G_N_ELEMENTS(words))]);
            if (g_test_rand_int_range(0, 3))
                g_string_append_c(text, ' ');
        }
        apply(text->str, &err);
        g_string_free(text, TRUE);
    }
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(bpc_options_register(&err), ==, 0);
    g_assert_cmpint(bpc_control_register(&err), ==, 0);
    g_test_add_func("/options/memory_size_has_suffixes", memory_size_has_suffixes);
    g_test_add_func("/options/later_use_is_merged", later_use_is_merged);
    g_test_add_func("/options/accelerators_are_tried_in_turn", accelerators_are_tried_in_turn);
    g_test_add_func("/options/board_keys_are_passed_on", board_keys_are_passed_on);
    g_test_add_func("/options/flags_may_have_two_dashes", flags_may_have_two_dashes);
    g_test_add_func("/options/clock_and_uuid_are_read", clock_and_uuid_are_read);
    g_test_add_func("/options/unknown_names_are_refused", unknown_names_are_refused);
    g_test_add_func("/options/random_words_do_no_harm", random_words_do_no_harm);
    return g_test_run();
}
