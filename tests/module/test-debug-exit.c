/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* isa-debug-exit on the fake host: the pattern for testing a device in memory. */
#include <glib.h>

#include <bp/test.h>

#include "machine.h"

static struct bp_test_host *host;

static void write_ends_with_twice_the_value_plus_one(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;
    int status = -1;

    g_assert_cmpint(bp_test_device(host, "isa-debug-exit", NULL, &dev, &err), ==, 0);
    g_assert_cmpuint(bp_test_in(host, 0x501, 1), ==, 0);
    bp_test_out(host, 0x501, 0x10, 1);
    g_assert_true(bpc_machine_turn(&status));
    g_assert_cmpint(status, ==, 0x21);
    bp_device_destroy(dev);
}

static void other_ports_take_effect(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    g_assert_cmpint(bp_test_device(host, "isa-debug-exit", "iobase=0xf4,iosize=4", &dev, &err), ==,
                    0);
    g_assert_cmpuint(bp_test_in(host, 0xf4, 1), ==, 0);
    g_assert_cmpuint(bp_test_in(host, 0xf7, 1), ==, 0);
    g_assert_cmpuint(bp_test_in(host, 0xf8, 1), ==, 0xff);
    g_assert_cmpuint(bp_test_in(host, 0x501, 1), ==, 0xff);
    bp_device_destroy(dev);
    g_assert_cmpuint(bp_test_in(host, 0xf4, 1), ==, 0xff);
}

static void size_out_of_range_is_refused(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    g_assert_cmpint(bp_test_device(host, "isa-debug-exit", "iosize=5", &dev, &err), <, 0);
    g_assert_nonnull(strstr(err.message, "iosize"));
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/debug-exit/" #name, name)
    CASE(write_ends_with_twice_the_value_plus_one);
    CASE(other_ports_take_effect);
    CASE(size_out_of_range_is_refused);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
