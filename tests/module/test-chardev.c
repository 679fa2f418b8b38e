/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chardev framework on the fake host: what it is handed, and what it asks of back ends. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/host/chardev.h>
#include <bp/test.h>

static struct bp_test_host *host;
static const struct bp_chardev_interface *chardev;

static struct bp_chardev *make(const char *id)
{
    struct bp_value *args = bp_value_dict();
    struct bp_error err = {0};
    struct bp_chardev *chr = NULL;

    bp_value_set(args, "id", bp_value_string(id));
    bp_value_set(args, "backend", bp_value_string("null"));
    chardev->create(args, &chr, &err);
    bp_value_unref(args);
    g_assert_cmpstr(err.message, ==, "");
    return chr;
}

static void callbacks_of_no_size_are_refused(void)
{
    struct bp_chardev_handlers handlers = {.size = sizeof(handlers)};
    static const uint32_t wrong[] = {0, 8, 1u << 20};
    struct bp_chardev *chr = make("c");
    struct bp_error err = {0};

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        handlers.size = wrong[i];
        g_assert_cmpint(chardev->connect(chr, &handlers, chr, &err), ==, -EINVAL);
        g_assert_nonnull(strstr(err.message, "'c'"));
    }
    /* A younger user, whose callbacks go on, is as good. */
    handlers.size = sizeof(handlers) + 64;
    g_assert_cmpint(chardev->connect(chr, &handlers, chr, &err), ==, 0);
    chardev->disconnect(chr, chr);
    g_assert_cmpint(chardev->remove("c", &err), ==, 0);
}

static void back_ends_are_of_their_kind(void)
{
    struct bp_error err = {0};
    struct bp_object *obj;

    g_assert_nonnull(make("d"));
    obj = bp_object_resolve("/chardevs/d", "chardev", NULL);
    g_assert_nonnull(obj);
    g_assert_true(bp_object_is_a(obj, "chardev"));
    g_assert_cmpstr(bp_object_type(obj), ==, "chardev-null");
    g_assert_cmpint(chardev->remove("d", &err), ==, 0);
    g_assert_cmpint(bp_object_new("chardev", "nul", "e", NULL, NULL, &obj, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err.message, "near names: null"));
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    const void *table;

    g_test_init(&argc, &argv, NULL);
    bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err);
    bp_test_interface(host, "chardev", 1, &table, &err);
    g_assert_cmpstr(err.message, ==, "");
    chardev = table;
    g_test_add_func("/chardev/callbacks_of_no_size_are_refused", callbacks_of_no_size_are_refused);
    g_test_add_func("/chardev/back_ends_are_of_their_kind", back_ends_are_of_their_kind);
    return g_test_run();
}
