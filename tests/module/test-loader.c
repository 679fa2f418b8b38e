/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loader among modules that are wrong on purpose (broken/): each gives its own message, none
 * stops another, and code of a refused one never runs. BACKPLANE_MODULE_PATH leads to them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include <bp/test.h>
#include <bp/value.h>

#include "modules.h"

static struct bp_test_host *host;

/* Asks for a device and expects an error that holds every text, up to a NULL. */
static void expect_refusal(const char *type, const char *const *texts)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    g_assert_cmpint(bp_test_device(host, type, NULL, &dev, &err), <, 0);
    for (; *texts; texts++) {
        if (!strstr(err.message, *texts))
            g_test_message("no \"%s\" in: %s", *texts, err.message);
        g_assert_nonnull(strstr(err.message, *texts));
    }
    g_assert_null(strchr(err.message, '\n'));
    g_assert_null(getenv("BROKEN_CODE_RAN"));
}
#define EXPECT(type, ...) expect_refusal(type, (const char *const[]){__VA_ARGS__, NULL})

static void expect_file_error(const char *file, const char *text)
{
    char *path = g_build_filename(g_getenv("BROKEN_DIR"), file, NULL);
    struct bp_error err = {0};

    g_assert_cmpint(bp_test_load(host, path, &err), <, 0);
    if (!strstr(err.message, text))
        g_test_message("no \"%s\" in: %s", text, err.message);
    g_assert_nonnull(strstr(err.message, text));
    g_assert_nonnull(strstr(err.message, file));
    g_free(path);
}

static void other_abi_names_field_and_both_values(void)
{
    EXPECT("broken-abi", "wrong-abi.so", "abi major 99 (here 1)");
}

static void other_stamp_names_both_values(void)
{
    EXPECT("broken-stamp", "wrong-stamp.so", "exact stamp another-build (here ");
}

static void no_table_is_told(void)
{
    EXPECT("broken-table", "no-table.so", "has no symbol bp_module");
}

static void missing_symbol_is_named(void)
{
    EXPECT("broken-symbol", "needs symbol bp_there_is_no_such_function");
}

static void missing_library_is_named(void)
{
    EXPECT("broken-library", "needs library libbackplane-absent.so.1, which is not installed");
}

static void failing_init_gives_its_reason(void)
{
    EXPECT("broken-init", "failed to start: the moon is not full");
    EXPECT("broken-init", "failed to start: the moon is not full");
}

static void cycle_is_printed(void)
{
    EXPECT("broken-cycle-a", "broken-cycle-a -> broken-cycle-b -> broken-cycle-a");
    EXPECT("broken-cycle-b", "broken-cycle-a -> broken-cycle-b -> broken-cycle-a");
}

static void missing_interface_is_named(void)
{
    EXPECT("broken-requires", "requires interface broken-absent/3, which no module provides");
}

static void hidden_device_is_refused(void)
{
    EXPECT("broken-notes", "provides device broken-hidden, which its notes do not list");
}

static void unknown_type_names_near_ones(void)
{
    EXPECT("test-god", "test-god", "test-good");
}

static void duplicate_tells_who_has_it(void)
{
    expect_file_error("twin.so", "provides device test-good, which module test-good (");
}

static void truncated_file_is_told(void)
{
    expect_file_error("truncated.so", "is truncated: it has 6000 bytes");
}

static void other_file_is_no_module(void)
{
    expect_file_error("no-elf.so", "is not a module: it is not an ELF file");
}

static void missing_file_is_told(void)
{
    expect_file_error("not-there.so", "No such file or directory");
}

static void unknown_module_is_told(void)
{
    struct bp_error err = {0};

    g_assert_cmpint(bp_test_load(host, "no-such-module", &err), <, 0);
    g_assert_nonnull(strstr(err.message, "no-such-module"));
}

static void good_module_loads_among_them(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    g_assert_cmpint(bp_test_device(host, "test-good", NULL, &dev, &err), ==, 0);
    bp_device_destroy(dev);
}

static const struct bp_value *find_module(const struct bp_value *list, const char *name)
{
    for (size_t i = 0; i < bp_value_length(list); i++) {
        const struct bp_value *m = bp_value_at(list, i);

        if (strcmp(bp_value_get_string(m, "name"), name) == 0)
            return m;
    }
    return NULL;
}

static void query_tells_states_and_reasons(void)
{
    struct bp_value *answer = modules_query();
    const struct bp_value *list = bp_value_get(answer, "modules");
    const struct bp_value *m = find_module(list, "test-good");

    g_assert_cmpstr(bp_value_get_string(m, "state"), ==, "loaded");
    g_assert_cmpstr(bp_value_get_string(m, "abi"), ==, "1.0");
    g_assert_false(bp_value_has(m, "reason"));
    m = find_module(list, "broken-abi");
    g_assert_cmpstr(bp_value_get_string(m, "state"), ==, "failed");
    g_assert_nonnull(strstr(bp_value_get_string(m, "reason"), "abi major 99"));
    m = find_module(list, "truncated");
    g_assert_cmpstr(bp_value_get_string(m, "state"), ==, "failed");
    bp_value_unref(answer);
}

static void scan_is_fast(void)
{
    const GPtrArray *all = modules_all();
    gint64 start = g_get_monotonic_time(), spent;
    unsigned rounds = 20;

    for (unsigned n = 0; n < rounds; n++) {
        for (unsigned i = 0; i < all->len; i++) {
            const struct module *m = all->pdata[i];
            struct bp_error err = {0};
            struct notes notes;
            FILE *f = fopen(m->file, "re");

            if (!f)
                continue;
            if (notes_read(&(struct notes_source){.fd = fileno(f), .size = (uint64_t)m->size},
                           &notes, &err) == 0)
                notes_finish(&notes);
            fclose(f);
        }
    }
    spent = g_get_monotonic_time() - start;
    g_test_message("%u files: %.3f ms", all->len, (double)spent / rounds / 1000);
    /* Generous: loaded machines and sanitizers; a design that reads whole files would miss it. */
    g_assert_cmpint(spent / rounds, <, 100000);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BROKEN_DIR"), &host, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/loader/" #name, name)
    CASE(other_abi_names_field_and_both_values);
    CASE(other_stamp_names_both_values);
    CASE(no_table_is_told);
    CASE(missing_symbol_is_named);
    CASE(missing_library_is_named);
    CASE(failing_init_gives_its_reason);
    CASE(cycle_is_printed);
    CASE(missing_interface_is_named);
    CASE(hidden_device_is_refused);
    CASE(unknown_type_names_near_ones);
    CASE(duplicate_tells_who_has_it);
    CASE(truncated_file_is_told);
    CASE(other_file_is_no_module);
    CASE(missing_file_is_told);
    CASE(unknown_module_is_told);
    CASE(good_module_loads_among_them);
    CASE(query_tells_states_and_reasons);
    CASE(scan_is_fast);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
