/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The catalogue of packages: which lines count, what is said of a name, how much room it takes. */
#include <glib.h>
#include <string.h>

#include "packages.h"

static unsigned take(const char *text)
{
    return packages_read(text, strlen(text));
}

static void well_formed_lines_are_found(void)
{
    const char *module = NULL;

    g_assert_cmpuint(take("# comment\n\ninstall apt install %s\n"
                          "device:isa-x\thw-x\tpackage-x\n"
                          "hmp:info x\thw-x\tpackage-x\n"
                          "module:hw-x\thw-x\tpackage-x\n"
                          "device:isa-x\thw-y\tpackage-y"), ==, 0);
    g_assert_cmpstr(packages_find(BP_PROVIDE_DEVICE, "isa-x", &module), ==, "package-x");
    g_assert_cmpstr(module, ==, "hw-x"); /* the first line of two counts */
    g_assert_cmpstr(packages_find(BP_PROVIDE_HMP, "info x", NULL), ==, "package-x");
    g_assert_cmpstr(packages_find_module("hw-x"), ==, "package-x");
    g_assert_null(packages_find(BP_PROVIDE_BUS, "isa-x", NULL));
    g_assert_null(packages_find(BP_PROVIDE_END, "hw-x", NULL));
    g_assert_null(packages_find_module("isa-x"));
    g_assert_cmpstr(packages_hint("package-x"), ==, "install it with: apt install package-x");
}

static void malformed_lines_are_counted_and_left_out(void)
{
    static const char *const wrong[] = {
        "device:a", "device:a\tb", "device:a\t\tc", "device:\tb\tc", "device\tb\tc:d", ":a\tb\tc",
        "Wheel:a\tb\tc", "device:a\tb\tc\td", "device: a\tb\tc", "device:a \tb\tc", "install x",
        "install %d", "install %s %s", "install", "device:\033[31m\tb\tc", "device:a\tb\t\303\244",
        "wheel_:a\tb\tc", "device:a\tb\tc\r"};

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        char *text = g_strdup_printf("device:good\tm\tp\n%s\nbus:good\tm\tp\n", wrong[i]);

        g_test_message("line %u of the table", i);
        g_assert_cmpuint(take(text), ==, 1);
        g_assert_nonnull(packages_find(BP_PROVIDE_DEVICE, "good", NULL));
        g_assert_nonnull(packages_find(BP_PROVIDE_BUS, "good", NULL));
        g_assert_null(packages_find(BP_PROVIDE_DEVICE, "a", NULL));
        g_assert_cmpstr(packages_hint("p"), ==, "");
        g_free(text);
    }
    g_assert_cmpuint(packages_read("bus:a\0b\tm\tp\nbus:c\tm\tp", 21), ==, 1);
    g_assert_nonnull(packages_find(BP_PROVIDE_BUS, "c", NULL));
    char *longest = g_strnfill(128, 'x'), *longer = g_strnfill(129, 'y');
    char *text = g_strdup_printf("bus:%s\tm\tp\nbus:%s\tm\tp\n", longest, longer);
    g_assert_cmpuint(take(text), ==, 1);
    g_assert_nonnull(packages_find(BP_PROVIDE_BUS, longest, NULL));
    g_free(longest);
    g_free(longer);
    g_free(text);
}

static void what_is_missing_is_told(void)
{
    char text[640], little[24];

    take("device:isa-blue-card\thw-x\tpackage-x\naccel:fast\taccel-fast\tpackage-f\n"
         "accel:faster\taccel-faster\tpackage-g\naccel:fastest\taccel-faster\tpackage-g\n");
    g_assert_true(packages_missing(BP_PROVIDE_DEVICE, "isa-blue-card", text, sizeof(text)));
    g_assert_cmpstr(text, ==, "; package package-x has it");
    g_assert_false(packages_missing(BP_PROVIDE_DEVICE, "isa-blue-crad", text, sizeof(text)));
    g_assert_cmpstr(text, ==, "; not installed: isa-blue-card in package package-x");
    g_assert_false(packages_missing(BP_PROVIDE_DEVICE, "qxl", text, sizeof(text)));
    g_assert_cmpstr(text, ==, "");
    g_assert_false(packages_missing(BP_PROVIDE_ACCEL, "", text, sizeof(text)));
    g_assert_cmpstr(text, ==, "; packages that have one: package-f, package-g");
    g_assert_false(packages_missing(BP_PROVIDE_BUS, "", text, sizeof(text)));
    g_assert_cmpstr(text, ==, "");
    /* Without room nothing is written behind it. */
    g_assert_true(packages_missing(BP_PROVIDE_DEVICE, "isa-blue-card", little, sizeof(little)));
    g_assert_cmpuint(strlen(little), <, sizeof(little));
    packages_missing(BP_PROVIDE_DEVICE, "isa-blue-crad", little, sizeof(little));
    g_assert_cmpstr(little, ==, "");
}

static void count(const char *name, void *opaque)
{
    ++*(unsigned *)opaque;
}

static void many_entries_are_bounded(void)
{
    GString *text = g_string_new(NULL);
    unsigned found = 0;

    for (unsigned i = 0; i < 100010; i++)
        g_string_append_printf(text, "bus:b%u\tm\tp\n", i);
    g_assert_cmpuint(packages_read(text->str, text->len), ==, 10);
    packages_each(BP_PROVIDE_BUS, count, &found);
    g_assert_cmpuint(found, ==, 100000);
    g_assert_nonnull(packages_find(BP_PROVIDE_BUS, "b99999", NULL));
    g_string_free(text, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/catalogue/well_formed_lines_are_found", well_formed_lines_are_found);
    g_test_add_func("/catalogue/malformed_lines_are_counted_and_left_out",
                    malformed_lines_are_counted_and_left_out);
    g_test_add_func("/catalogue/what_is_missing_is_told", what_is_missing_is_told);
    g_test_add_func("/catalogue/many_entries_are_bounded", many_entries_are_bounded);
    return g_test_run();
}
