/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Levels of types over two modules, on the fake host: order of hooks, blocks of state, properties, saved
 * tables, one description under two names; buses that extend; properties of parts. Run with two
 * versions of the lower module, of which one has a larger block (BASE_MODULE).
 */
#include <bp/test.h>

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "levels/levels.h"
#include "device.h"
#include "object.h"
#include "type.h"

static struct bp_test_host *host;
static const struct test_levels_interface *levels;

static struct bp_device *device(const char *type, const char *props)
{
    struct bp_device *dev = NULL;
    struct bp_error err = {0};

    if (bp_test_device(host, type, props, &dev, &err) < 0)
        g_error("%s", err.message);
    return dev;
}

/* A device's memory goes after a grace period: its last hooks come when that has passed. */
static void wait_for(const char *last)
{
    for (unsigned i = 0; i < 20000 && !g_str_has_suffix(levels->calls(), last); i++) {
        bp_test_step(host, 0);
        g_usleep(500);
    }
}

static void assert_calls(const char *expected)
{
    const char *last = g_strrstr_len(expected, (gssize)strlen(expected) - 1, " ");

    wait_for(last ? last : expected);
    g_assert_cmpstr(levels->calls(), ==, expected);
    levels->forget();
}

static char *get(struct bp_device *dev, const char *name)
{
    struct bp_value *v = NULL;
    struct bp_error err = {0};
    char *text;

    if (bp_object_get(bp_device_object(dev), name, &v, &err) < 0)
        return g_strdup(err.message);
    text = bp_value_print(v, false);
    bp_value_unref(v);
    return text;
}

static void assert_prop(struct bp_device *dev, const char *name, const char *expected)
{
    char *text = get(dev, name);

    g_assert_cmpstr(text, ==, expected);
    free(text);
}

static unsigned lives_ended(void)
{
    unsigned count = 0;

    for (const char *at = levels->calls(); (at = strstr(at, "base.fini ")) != NULL; at++)
        count++;
    return count;
}

/* Waits for the last hook too, so that it is not taken for one of the next test's. */
static void destroy(struct bp_device *dev)
{
    bool leaf = bp_object_is_a(bp_device_object(dev), "test-base") ||
                bp_object_is_a(bp_device_object(dev), "test-whole");
    unsigned before = lives_ended();

    bp_device_destroy(dev);
    bp_test_step(host, 0);
    for (unsigned i = 0; leaf && i < 20000 && lives_ended() == before; i++) {
        bp_test_step(host, 0);
        g_usleep(500);
    }
}

static void hooks_go_up_and_come_down(void)
{
    struct bp_device *dev;

    levels->forget();
    dev = device("test-leaf-fast", NULL);
    assert_calls("base.init fast.init leaf.init base.attach fast.attach leaf.attach base.attached "
                 "fast.attached leaf.attached ");
    destroy(dev);
    assert_calls("leaf.detach fast.detach base.detach leaf.fini fast.fini base.fini ");
}

static void failed(const char *name, const char *hook, const char *calls)
{
    struct bp_device *dev = NULL;
    struct bp_error err = {0};

    levels->forget();
    levels->fail_at(name, hook);
    g_assert_cmpint(bp_test_device(host, "test-leaf-slow", NULL, &dev, &err), ==, -EIO);
    g_assert_cmpstr(err.message, ==, "told to fail");
    levels->fail_at(NULL, NULL);
    assert_calls(calls);
}

static void failing_level_undoes_those_below(void)
{
    failed("base", "init", "base.init ");
    failed("slow", "init", "base.init slow.init base.fini ");
    failed("base", "attach",
           "base.init slow.init leaf.init base.attach leaf.fini slow.fini base.fini ");
    failed("leaf", "attach",
           "base.init slow.init leaf.init base.attach slow.attach leaf.attach slow.detach "
           "base.detach leaf.fini slow.fini base.fini ");
    failed("slow", "attached",
           "base.init slow.init leaf.init base.attach slow.attach leaf.attach base.attached "
           "slow.attached leaf.detach slow.detach base.detach leaf.fini slow.fini base.fini ");
}

static void each_level_has_its_block_whatever_its_size(void)
{
    bool grown = strstr(g_getenv("BASE_MODULE"), "grown") != NULL;
    struct bp_device *dev = device("test-leaf-slow", "colour=5");
    uint32_t *number = levels->base_register(bp_device_object(dev));

    g_assert_true((levels->base_size() > 4096) == grown);
    g_assert_nonnull(number);
    *number = 0x12345678;
    assert_prop(dev, "colour", "5");
    assert_prop(dev, "speed", "10");
    /* What its description tells the base, through the transport between them. */
    g_assert_cmpstr(levels->model(bp_device_object(dev)), ==, "leaf");
    g_assert_true(bp_object_is_a(bp_device_object(dev), "test-leaf"));
    g_assert_true(bp_object_is_a(bp_device_object(dev), "test-base"));
    g_assert_true(bp_object_is_a(bp_device_object(dev), "device"));
    g_assert_false(bp_object_is_a(bp_device_object(dev), "test-fast"));
    destroy(dev);
}

static void nearer_level_hides_a_property(void)
{
    struct bp_device *dev = device("test-leaf-fast", "speed=3");

    assert_prop(dev, "lanes", "3"); /* the same field, by its other name */
    destroy(dev);
}

static char *listed(const char *type)
{
    struct bp_value *list = NULL;
    char *text;

    g_assert_cmpint(bpc_type_properties(type, true, &list, NULL), ==, 0);
    text = bp_value_print(list, false);
    bp_value_unref(list);
    return text;
}

static void type_lists_the_properties_of_all_levels(void)
{
    static const char *const expected[] = {"\"colour\"", "\"lanes\"", "\"speed\""};
    char *text = listed("test-leaf-fast");

    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_nonnull(strstr(text, expected[i]));
    free(text);
    text = listed("test-whole");
    g_assert_nonnull(strstr(text, "\"leaf-colour\""));
    g_assert_nonnull(strstr(text, "\"uint8\""));
    g_assert_null(strstr(text, "\"nothing\"") ? NULL : "a part's type is enough to list it");
    free(text);
}

static void each_level_saves_its_part(void)
{
    struct bp_device *dev = device("test-leaf-fast", NULL), *slow;
    uint32_t *number = levels->base_register(bp_device_object(dev));
    struct bp_error err = {0};
    char *data;
    size_t size;

    *number = 0xcafe;
    g_assert_cmpint(bp_test_save(dev, (void **)&data, &size, &err), ==, 0);
    *number = 1;
    g_assert_cmpint(bp_test_restore(dev, data, size, &err), ==, 0);
    g_assert_cmphex(*number, ==, 0xcafe);
    /* The other name lacks the transport's part, so this is not its state. */
    slow = device("test-leaf-slow", NULL);
    g_assert_cmpint(bp_test_restore(slow, data, size, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "'test-fast' is unknown"));
    destroy(slow);
    for (size_t len = 0; len < size; len++) {
        char *cut = g_memdup2(data, len ? len : 1);

        g_assert_cmpint(bp_test_restore(dev, cut, len, NULL), <, 0);
        g_free(cut);
    }
    free(data);
    destroy(dev);
}

static void defaults_are_changed_by_any_levels_name(void)
{
    static const struct bp_compat lines[] = {{"test-base", "speed", "33"}, {"test-leaf", "colour", "2"},
                                             {NULL}};
    static const struct bp_compat *const tables[] = {lines, NULL};
    struct bp_device *dev;

    bpc_compat_set("an-old-board", tables);
    dev = device("test-leaf-slow", NULL);
    assert_prop(dev, "speed", "33");
    assert_prop(dev, "colour", "2");
    destroy(dev);
    bpc_compat_set(NULL, NULL);
}

/* ---- buses ---- */

static void device_plugs_into_a_bus_that_extends_its_own(void)
{
    struct bp_device *bridge = device("test-slot-bridge", "wide=on"), *card = NULL;
    struct bp_bus *bus = bp_bus_find(bp_test_machine(host), "test-slots");
    struct bp_error err = {0};

    g_assert_cmpstr(bp_bus_type(bus), ==, "test-wide-slots");
    levels->forget();
    g_assert_cmpint(bp_device_new(bp_test_machine(host), "test-slot-card", NULL, &card, &err), ==, 0);
    g_assert_cmpint(bp_device_set(card, "width", "4", &err), ==, -ENOENT); /* not known yet */
    g_assert_cmpint(bp_device_place(card, bus, &err), ==, 0);
    g_assert_cmpint(bp_device_set(card, "width", "4", &err), ==, 0);
    g_assert_cmpint(bp_device_set(card, "slot", "2", &err), ==, 0);
    g_assert_cmpint(bp_device_attach(card, bus, &err), ==, 0);
    assert_calls("slots.attach wide.attach card.attach ");
    assert_prop(card, "width", "4");
    destroy(bridge);
    assert_calls("card.detach wide.detach slots.detach ");
}

static void bus_that_refuses_is_left_by_those_it_extends(void)
{
    struct bp_device *bridge = device("test-slot-bridge", "wide=on"), *card = NULL;
    struct bp_error err = {0};

    levels->forget();
    levels->fail_at("wide", "attach");
    g_assert_cmpint(bp_device_new(bp_test_machine(host), "test-wide-card", NULL, &card, &err), ==, 0);
    g_assert_cmpint(bp_device_attach(card, NULL, &err), ==, -EIO);
    assert_calls("slots.attach wide.attach slots.detach ");
    levels->fail_at("card", "attach");
    g_assert_cmpint(bp_device_new(bp_test_machine(host), "test-wide-card", NULL, &card, &err), ==, 0);
    g_assert_cmpint(bp_device_attach(card, NULL, &err), ==, -EIO);
    assert_calls("slots.attach wide.attach card.attach wide.detach slots.detach ");
    levels->fail_at(NULL, NULL);
    destroy(bridge);
}

static void plain_bus_does_not_take_what_needs_the_wider(void)
{
    struct bp_device *bridge = device("test-slot-bridge", NULL), *card = NULL;
    struct bp_bus *bus = bp_bus_find(bp_test_machine(host), "test-slots");
    struct bp_error err = {0};

    g_assert_cmpint(bp_device_new(bp_test_machine(host), "test-wide-card", NULL, &card, &err), ==, 0);
    g_assert_cmpint(bp_device_attach(card, bus, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "it needs a bus of type 'test-wide-slots'"));
    destroy(bridge);
}

static void bus_saves_what_it_keeps_with_the_child(void)
{
    struct bp_device *bridge = device("test-slot-bridge", "wide=on"), *card = NULL, *other = NULL;
    struct bp_bus *bus = bp_bus_find(bp_test_machine(host), "test-slots");
    struct bp_error err = {0};
    void *data;
    size_t size;

    for (unsigned i = 0; i < 2; i++) {
        struct bp_device **dev = i ? &other : &card;

        g_assert_cmpint(bp_device_new(bp_test_machine(host), "test-slot-card", NULL, dev, &err), ==, 0);
        g_assert_cmpint(bp_device_place(*dev, bus, &err), ==, 0);
        g_assert_cmpint(bp_device_set(*dev, "width", i ? "1" : "8", &err), ==, 0);
        g_assert_cmpint(bp_device_attach(*dev, bus, &err), ==, 0);
    }
    g_assert_cmpint(bp_test_save(card, &data, &size, &err), ==, 0);
    g_assert_cmpint(bp_test_restore(other, data, size, &err), ==, 0);
    assert_prop(other, "width", "8");
    free(data);
    destroy(bridge);
}

/* ---- parts ---- */

static void property_of_a_part_is_set_through_the_whole(void)
{
    struct bp_device *dev = device("test-whole", "leaf-colour=4,lanes=2");
    struct bp_object *inner;
    struct bp_device *none = NULL;
    struct bp_error err = {0};
    char *path, *text;

    assert_prop(dev, "leaf-colour", "4");
    path = g_strdup_printf("%s/inner", bp_object_path(bp_device_object(dev)));
    inner = bp_object_resolve(path, "test-leaf", NULL);
    g_assert_nonnull(inner);
    assert_prop(bp_device_from_object(inner), "colour", "4");
    assert_prop(bp_device_from_object(inner), "lanes", "2");
    g_assert_cmpint(bpc_device_del(path, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "it is a part of '/machine/"));
    text = get(dev, "nothing"); /* its part does not exist */
    g_assert_nonnull(strstr(text, "not found"));
    g_free(text);
    g_assert_cmpint(bp_test_device(host, "test-whole", "leaf-colour=10", &none, &err), ==, -ERANGE);
    g_assert_nonnull(strstr(err.message, "'leaf-colour' expects"));
    g_free(path);
    levels->forget();
    destroy(dev);
    wait_for("base.fini ");
    g_assert_nonnull(strstr(levels->calls(), "leaf.detach"));
    g_assert_nonnull(strstr(levels->calls(), "base.fini"));
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_load(host, g_getenv("BASE_MODULE"), &err) < 0 ||
        bp_test_load(host, g_getenv("LEAF_MODULE"), &err) < 0 ||
        bp_test_interface(host, "test-levels", 1, (const void **)&levels, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/levels/" #name, name)
    CASE(hooks_go_up_and_come_down);
    CASE(failing_level_undoes_those_below);
    CASE(each_level_has_its_block_whatever_its_size);
    CASE(nearer_level_hides_a_property);
    CASE(type_lists_the_properties_of_all_levels);
    CASE(each_level_saves_its_part);
    CASE(defaults_are_changed_by_any_levels_name);
    CASE(device_plugs_into_a_bus_that_extends_its_own);
    CASE(bus_that_refuses_is_left_by_those_it_extends);
    CASE(plain_bus_does_not_take_what_needs_the_wider);
    CASE(bus_saves_what_it_keeps_with_the_child);
    CASE(property_of_a_part_is_set_through_the_whole);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
