/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How devices leave while others use them: callbacks that run, vCPUs that hold addresses of their
 * RAM (a bpc_reader stands for one), and the order of detach(), release and free.
 */
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/level.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include "device.h"
#include "loop.h"
#include "machine.h"
#include "memory.h"
#include "registry.h"

#define GOOD UINT64_C(0x600d600d600d600d)

struct card {
    uint64_t magic;
    char *mode;
    struct bp_region *ram;
};

static struct bp_machine *machine;
static struct bp_owner nobody;
static struct bp_space *space;
static struct bp_region *root;
/* Of the card's callback; atomic. */
static int inside, let_go, calls, detached, late;
static uint64_t seen;

static uint64_t card_read(void *opaque, uint64_t addr, unsigned size)
{
    struct card *card = opaque;

    (void)addr, (void)size;
    if (__atomic_load_n(&detached, __ATOMIC_SEQ_CST))
        __atomic_fetch_add(&late, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST))
        usleep(100);
    __atomic_store_n(&seen, card->magic, __ATOMIC_SEQ_CST);
    return 0;
}

static const struct bp_region_ops parallel_ops = {
    .size = sizeof(parallel_ops), .read = card_read, .parallel = 1};

static const struct bp_field card_props[] = {
    BP_PROP("mode", STRING, struct card, mode, "good", "good or fail"), BP_FIELDS_END};

static int card_attach(struct bp_device *dev, struct bp_error *err)
{
    struct card *card = bp_device_state(dev);
    struct bp_region *io;
    int r;

    card->magic = GOOD;
    io = bp_region_new_io(bp_device_owner(dev), "io", 16, &parallel_ops, card);
    r = bp_region_new_ram(bp_device_owner(dev), "ram", 4096, &card->ram, err);
    if (r < 0)
        return r;
    bp_region_add(root, io, 0x100, 0);
    bp_region_add(root, card->ram, 0x10000, 0);
    if (strcmp(card->mode, "fail"))
        return 0;
    while (!__atomic_load_n(&inside, __ATOMIC_SEQ_CST))
        usleep(100);
    return bp_fail(err, EIO, "told to fail");
}

static void card_detach(struct bp_device *dev)
{
    (void)dev;
    __atomic_store_n(&detached, 1, __ATOMIC_SEQ_CST);
}

static const struct bp_device_class card_class = {
    .type = {.size = sizeof(card_class), .name = "card", .flags = BP_TYPE_HOTPLUGGABLE,
             .state_size = sizeof(struct card), .props = card_props},
    .attach = card_attach, .detach = card_detach};

/* A rack has shelves, shelves have books. A rack may come with a shelf, and fail then. */
static int shelf_detached;
static const struct bp_bus_class rack_bus = {
    .type = {.size = sizeof(rack_bus), .name = "rack-bus", .state_size = 8}};
static const struct bp_bus_class shelf_bus = {
    .type = {.size = sizeof(shelf_bus), .name = "shelf-bus", .state_size = 8}};

static int shelf_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_bus *bus;

    return bp_bus_new(dev, "shelf-bus", NULL, &bus, err);
}

static void shelf_detach(struct bp_device *dev)
{
    (void)dev;
    shelf_detached++;
}

static int rack_attach(struct bp_device *dev, struct bp_error *err)
{
    struct card *card = bp_device_state(dev);
    struct bp_device *shelf;
    struct bp_bus *bus;
    int r = bp_bus_new(dev, "rack-bus", NULL, &bus, err);

    if (r == 0)
        r = bp_device_new(bp_device_machine(dev), "shelf", NULL, &shelf, err);
    if (r == 0)
        r = bp_device_attach(shelf, bus, err);
    return r == 0 && !strcmp(card->mode, "fail") ? bp_fail(err, EIO, "told to fail") : r;
}

#define FURNITURE(NAME, BUS, ...) \
    static const struct bp_device_class NAME##_class = { \
        .type = {.size = sizeof(NAME##_class), .name = #NAME, .flags = BP_TYPE_HOTPLUGGABLE, \
                 .state_size = sizeof(struct card), .props = card_props}, \
        .bus = BUS, __VA_ARGS__}
FURNITURE(rack, "system", .attach = rack_attach);
FURNITURE(shelf, "rack-bus", .attach = shelf_attach, .detach = shelf_detach);
FURNITURE(book, "shelf-bus", .attach = NULL);

/* A level below a device that fails when it had attached. */
static void base_detach(struct bp_object *obj, void *state)
{
    (void)obj, (void)state;
    shelf_detached++;
}

static int failing_attach(struct bp_device *dev, struct bp_error *err)
{
    (void)dev;
    return bp_fail(err, EIO, "told to fail");
}

static const struct bp_level_class base_level = {
    .type = {.size = sizeof(base_level), .name = "base", .parent = "device",
             .flags = BP_TYPE_NOT_USER_CREATABLE, .state_size = 8}, .detach = base_detach};
static const struct bp_device_class derived_class = {
    .type = {.size = sizeof(derived_class), .name = "derived", .parent = "base", .state_size = 8},
    .attach = failing_attach};
static const struct bp_provide provides[] = {
    {BP_PROVIDE_DEVICE, &card_class}, {BP_PROVIDE_DEVICE, &rack_class}, {BP_PROVIDE_DEVICE, &shelf_class},
    {BP_PROVIDE_DEVICE, &book_class}, {BP_PROVIDE_BUS, &rack_bus}, {BP_PROVIDE_BUS, &shelf_bus},
    {BP_PROVIDE_ABSTRACT, &base_level}, {BP_PROVIDE_DEVICE, &derived_class}, {BP_PROVIDE_END, NULL}};

/* ---- help ---- */

static void *reader_main(void *opaque)
{
    uint64_t value;

    (void)opaque;
    while (bp_space_load(space, 0x100, 4, &value) < 0) /* until it is attached */
        usleep(100);
    return NULL;
}

static pthread_t read_in_background(void)
{
    pthread_t thread;

    __atomic_store_n(&inside, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&let_go, 0, __ATOMIC_SEQ_CST);
    g_assert_cmpint(pthread_create(&thread, NULL, reader_main, NULL), ==, 0);
    return thread;
}

static void wait_inside(void)
{
    while (!__atomic_load_n(&inside, __ATOMIC_SEQ_CST))
        usleep(100);
}

static struct bp_device *add(void)
{
    struct bp_device *dev;

    detached = late = calls = 0;
    seen = 0;
    g_assert_cmpint(bp_device_new(machine, "card", "c0", &dev, NULL), ==, 0);
    g_assert_cmpint(bp_device_attach(dev, NULL, NULL), ==, 0);
    return dev;
}

static bool is_there(void)
{
    return bpc_object_child(bpc_object_container("/machine/peripheral"), "c0") != NULL;
}

/* Turns of the loop until the card has gone. */
static void expect_gone(void)
{
    for (unsigned i = 0; i < 20000 && is_there(); i++) {
        bpc_loop_run_once(false);
        usleep(100);
    }
    g_assert_false(is_there());
    g_assert_true(detached);
}

static void turn_often(void)
{
    for (unsigned i = 0; i < 20; i++) {
        bpc_loop_run_once(false);
        usleep(500);
    }
}

static void kick(void *opaque)
{
    __atomic_fetch_add((int *)opaque, 1, __ATOMIC_SEQ_CST);
}

/* ---- tests ---- */

static void idle_device_goes_at_once(void)
{
    struct bp_device *dev = add();

    bp_device_destroy(dev);
    g_assert_true(detached);
    g_assert_false(is_there());
    g_assert_cmpint(bp_space_load(space, 0x100, 4, &(uint64_t){0}), ==, -EFAULT);
}

static void device_waits_for_its_callback(void)
{
    struct bp_device *dev = add();
    pthread_t thread = read_in_background();

    wait_inside();
    bp_device_destroy(dev);
    g_assert_cmpint(bp_space_load(space, 0x100, 4, &(uint64_t){0}), ==, -EFAULT);
    turn_often();
    g_assert_true(is_there());
    g_assert_false(detached);
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    expect_gone();
    turn_often();
    g_assert_cmphex(seen, ==, GOOD);
    g_assert_cmpint(late, ==, 0);
}

static void device_waits_for_a_running_vcpu(void)
{
    struct bp_device *dev = add();
    struct bp_mapping map = {.size = sizeof(map)};
    int kicks = 0;
    struct bpc_reader vcpu = {.kick = kick, .opaque = &kicks};

    bpc_reader_add(&vcpu);
    bpc_reader_enter(&vcpu);
    bp_space_lookup(space, 0x10000, &map);
    bp_device_destroy(dev);
    g_assert_cmpint(kicks, >, 0);
    turn_often();
    g_assert_true(is_there());
    g_assert_false(detached);
    *(volatile uint8_t *)map.host = 7; /* unmapped memory would end the test here */
    bpc_reader_leave(&vcpu);
    bpc_reader_enter(&vcpu); /* it goes on with the new map: nobody waits for that */
    expect_gone();
    bpc_reader_leave(&vcpu);
    bpc_reader_remove(&vcpu);
}

static void failed_attach_waits_for_its_callback(void)
{
    struct bp_device *dev, *second;
    struct bp_error err = {0};
    pthread_t thread;

    detached = late = calls = 0;
    seen = 0;
    thread = read_in_background();
    g_assert_cmpint(bp_device_new(machine, "card", "c0", &dev, NULL), ==, 0);
    g_assert_cmpint(bp_device_set(dev, "mode", "fail", NULL), ==, 0);
    g_assert_cmpint(bp_device_attach(dev, NULL, &err), ==, -EIO);
    g_assert_cmpstr(err.message, ==, "told to fail");
    g_assert_false(is_there()); /* the id can be used again */
    g_assert_cmpint(bp_device_new(machine, "card", "c0", &second, NULL), ==, 0);
    turn_often();
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    turn_often();
    g_assert_cmphex(seen, ==, GOOD);
    g_assert_false(detached); /* it never was attached */
    bp_device_destroy(second);
    g_assert_false(is_there());
}

static void unplugging_twice_is_refused_meanwhile(void)
{
    struct bp_device *dev = add();
    pthread_t thread = read_in_background();
    struct bp_error err = {0};

    (void)dev;
    wait_inside();
    g_assert_cmpint(bpc_device_del("c0", NULL), ==, 0);
    g_assert_cmpint(bpc_device_del("c0", &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "in the process of unplug"));
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    expect_gone();
    g_assert_cmpint(bpc_device_del("c0", &err), ==, -ENOENT);
}

static void nothing_comes_below_what_leaves(void)
{
    int kicks = 0;
    struct bpc_reader vcpu = {.kick = kick, .opaque = &kicks};
    struct bp_device *rack, *book;
    struct bp_error err = {0};
    struct bp_bus *shelf;

    g_assert_cmpint(bp_device_new(machine, "rack", "r0", &rack, NULL), ==, 0);
    g_assert_cmpint(bp_device_attach(rack, NULL, NULL), ==, 0);
    shelf = rack->buses->first->buses;
    bpc_reader_add(&vcpu);
    bpc_reader_enter(&vcpu);
    bp_device_destroy(rack);
    g_assert_cmpint(bp_device_new(machine, "book", NULL, &book, NULL), ==, 0);
    g_assert_cmpint(bp_device_attach(book, shelf, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "in the process of unplug"));
    bpc_reader_leave(&vcpu);
    turn_often();
    bpc_reader_remove(&vcpu);
    g_assert_null(bpc_object_child(bpc_object_container("/machine/peripheral"), "r0"));
}

/* What had been attached before the failure may be in use as well. */
static void failed_attach_waits_for_a_running_vcpu(void)
{
    static const char *const types[] = {"rack", "derived"};

    for (unsigned i = 0; i < 2; i++) {
        int kicks = 0;
        struct bpc_reader vcpu = {.kick = kick, .opaque = &kicks};
        struct bp_device *dev;

        shelf_detached = 0;
        bpc_reader_add(&vcpu);
        bpc_reader_enter(&vcpu);
        g_assert_cmpint(bp_device_new(machine, types[i], NULL, &dev, NULL), ==, 0);
        if (i == 0)
            g_assert_cmpint(bp_device_set(dev, "mode", "fail", NULL), ==, 0);
        g_assert_cmpint(bp_device_attach(dev, NULL, NULL), ==, -EIO);
        turn_often();
        g_assert_cmpint(shelf_detached, ==, 0);
        bpc_reader_leave(&vcpu);
        turn_often();
        g_assert_cmpint(shelf_detached, ==, 1);
        bpc_reader_remove(&vcpu);
    }
}

static void *let_go_soon(void *opaque)
{
    (void)opaque;
    usleep(20000);
    g_assert_false(__atomic_load_n(&detached, __ATOMIC_SEQ_CST));
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void end_of_the_machine_waits_for_callbacks(void)
{
    struct bp_device *dev = add();
    pthread_t thread = read_in_background(), other;

    (void)dev;
    wait_inside();
    g_assert_cmpint(pthread_create(&other, NULL, let_go_soon, NULL), ==, 0);
    bpc_devices_destroy(machine);
    g_assert_true(detached);
    g_assert_false(is_there());
    g_assert_cmphex(seen, ==, GOOD);
    pthread_join(thread, NULL);
    pthread_join(other, NULL);
}

static void end_of_the_machine_finishes_who_is_leaving(void)
{
    struct bp_device *dev = add();
    int kicks = 0;
    struct bpc_reader vcpu = {.kick = kick, .opaque = &kicks};

    bpc_reader_add(&vcpu);
    bpc_reader_enter(&vcpu);
    bp_device_destroy(dev);
    g_assert_true(is_there());
    bpc_devices_destroy(machine);
    g_assert_false(is_there());
    bpc_reader_leave(&vcpu); /* what still waited for it finds nothing to do */
    bpc_reader_remove(&vcpu);
    turn_often();
}

static void note(struct bpc_quiet *item)
{
    item->fn = NULL;
}

static void quiet_calls_come_in_order_of_readers(void)
{
    struct bpc_reader one = {.kick = kick}, two = {.kick = kick};
    struct bpc_quiet first = {NULL}, second = {NULL};
    int kicks = 0;

    one.opaque = two.opaque = &kicks;
    bpc_reader_add(&one);
    bpc_reader_add(&two);
    bpc_reader_enter(&one);
    bpc_quiet_call(&first, note);
    g_assert_nonnull(first.fn);
    bpc_reader_enter(&two); /* after the change: does not count */
    g_assert_cmpint(kicks, ==, 1);
    bpc_quiet_call(&second, note);
    g_assert_cmpint(kicks, ==, 3);
    bpc_reader_leave(&one);
    g_assert_null(first.fn);
    g_assert_nonnull(second.fn);
    bpc_reader_enter(&one);
    bpc_reader_leave(&two);
    g_assert_null(second.fn);
    bpc_reader_leave(&one);
    bpc_reader_remove(&one);
    bpc_reader_remove(&two);
}

#define CASE(name) g_test_add_func("/leave/" #name, name)

int main(int argc, char **argv)
{
    static const struct bp_hotplug_ops anything = {.size = sizeof(anything)};
    int r;

    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_machine_create_bare(&machine, NULL), ==, 0);
    bp_machine_set_hotplug(machine, bp_machine_owner(machine), &anything, NULL);
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
    root = bp_region_new(&nobody, "root", UINT64_MAX);
    space = bp_space_new(&nobody, "space", root);
    CASE(idle_device_goes_at_once);
    CASE(device_waits_for_its_callback);
    CASE(device_waits_for_a_running_vcpu);
    CASE(failed_attach_waits_for_its_callback);
    CASE(unplugging_twice_is_refused_meanwhile);
    CASE(nothing_comes_below_what_leaves);
    CASE(failed_attach_waits_for_a_running_vcpu);
    CASE(end_of_the_machine_waits_for_callbacks);
    CASE(end_of_the_machine_finishes_who_is_leaving);
    CASE(quiet_calls_come_in_order_of_readers);
    r = g_test_run();
    bpc_owner_release(&nobody);
    return r;
}
