/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Doorbells: what rings, how often the handler comes, what a stop holds, and how they leave while
 * other threads ring. The devices have a context of their own, and a lock of their own.
 */
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <bp/device.h>
#include <bp/doorbell.h>
#include <bp/loop.h>

#include "device.h"
#include "loop.h"
#include "machine.h"
#include "memory.h"
#include "registry.h"
#include "state.h"

static struct bp_machine *machine;
static struct bp_owner nobody;
static struct bp_space *space;
static struct bp_region *root;

/* ---- a region with bells of the main context ---- */

struct plain {
    struct bp_owner owner;
    struct bp_region *io;
    struct bp_context *ctx; /* or NULL */
    unsigned writes, rung; /* atomic */
    uint64_t last; /* to the callback */
};

static void plain_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct plain *p = opaque;

    (void)addr, (void)size;
    p->last = value;
    p->writes++;
}

static void plain_rung(void *opaque)
{
    struct plain *p = opaque;

    __atomic_fetch_add(&p->rung, 1, __ATOMIC_SEQ_CST);
}

static const struct bp_region_ops plain_ops = {.size = sizeof(plain_ops), .write = plain_write,
                                               .max_access = 8};
static const struct bp_region_ops swapped_ops = {.size = sizeof(swapped_ops), .write = plain_write,
                                                 .max_access = 8, .big_endian = 1};

static void plain_begin(struct plain *p, const struct bp_region_ops *ops)
{
    *p = (struct plain){.writes = 0};
    bpc_owner_init(&p->owner);
    p->io = bp_region_new_io(&p->owner, "io", 0x100, ops, p);
    bp_region_add(root, p->io, 0x1000, 0);
}

static struct bp_doorbell *bell_at(struct plain *p, uint64_t offset, uint32_t size, uint32_t flags,
                                   uint64_t value)
{
    struct bp_doorbell_match match = {.size = sizeof(match), .offset = offset, .access_size = size,
                                      .flags = flags, .value = value};
    struct bp_doorbell *bell;

    g_assert_cmpint(bp_doorbell_new(&p->owner, p->ctx, p->io, &match, plain_rung, p, &bell, NULL),
                    ==, 0);
    return bell;
}

static int refused(struct plain *p, struct bp_region *region, struct bp_doorbell_match match,
                   const char *words)
{
    struct bp_doorbell *bell = NULL;
    struct bp_error err = {0};
    int ret;

    match.size = sizeof(match);
    ret = bp_doorbell_new(&p->owner, NULL, region, &match, plain_rung, p, &bell, &err);
    g_assert_null(bell);
    g_assert_nonnull(strstr(err.message, words));
    return ret;
}

static void store(uint64_t offset, unsigned size, uint64_t value)
{
    g_assert_cmpint(bp_space_store(space, 0x1000 + offset, size, value), ==, 0);
}

/* One turn of the main loop; expects so many rings and callbacks since the beginning. */
static void expect(struct plain *p, unsigned rung, unsigned writes)
{
    bpc_loop_run_once(false);
    g_assert_cmpuint(p->rung, ==, rung);
    g_assert_cmpuint(p->writes, ==, writes);
}

static void any_write_at_the_offset_rings(void)
{
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell_at(&p, 0x10, 0, 0, 0);
    store(0x10, 1, 7);
    expect(&p, 1, 0);
    store(0x10, 8, 7);
    expect(&p, 2, 0);
    store(0x11, 1, 7); /* beside it */
    store(0x0c, 8, 7); /* over it: begins elsewhere, and comes in two pieces */
    expect(&p, 2, 3);
    bpc_owner_release(&p.owner);
}

static void size_and_value_have_to_match(void)
{
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell_at(&p, 0x10, 2, BP_DOORBELL_MATCH_VALUE, 3);
    store(0x10, 2, 4);
    store(0x10, 4, 3);
    expect(&p, 0, 2);
    store(0x10, 2, 3);
    expect(&p, 1, 2);
    bpc_owner_release(&p.owner);
}

static void value_is_compared_as_the_device_sees_it(void)
{
    struct plain p;

    plain_begin(&p, &swapped_ops);
    bell_at(&p, 0x10, 2, BP_DOORBELL_MATCH_VALUE, 0x0102);
    store(0x20, 2, 0x0201);
    g_assert_cmphex(p.last, ==, 0x0102);
    store(0x10, 2, 0x0201);
    expect(&p, 1, 1);
    bpc_owner_release(&p.owner);
}

static void sizes_that_the_region_refuses_do_not_ring(void)
{
    static const struct bp_region_ops words = {.size = sizeof(words), .write = plain_write,
                                               .valid_min = 4, .valid_max = 4};
    struct plain p;

    plain_begin(&p, &words);
    bell_at(&p, 0x10, 0, 0, 0);
    g_assert_cmpint(bp_space_store(space, 0x1010, 2, 0), ==, -EFAULT);
    expect(&p, 0, 0);
    store(0x10, 4, 0);
    expect(&p, 1, 0);
    bpc_owner_release(&p.owner);
}

static void many_rings_are_one_call(void)
{
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell_at(&p, 0x10, 4, 0, 0);
    for (unsigned i = 0; i < 100; i++)
        store(0x10, 4, i);
    expect(&p, 1, 0);
    expect(&p, 1, 0);
    bpc_owner_release(&p.owner);
}

static void last_value_is_kept(void)
{
    uint64_t value = 99;
    struct bp_doorbell *bell;
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell = bell_at(&p, 0x10, 4, BP_DOORBELL_KEEP_VALUE, 0);
    g_assert_false(bp_doorbell_take(bell, &value));
    for (unsigned i = 0; i <= 5; i++)
        store(0x10, 4, 0x80000000u + i);
    expect(&p, 1, 0);
    g_assert_cmpuint(value, ==, 99);
    g_assert_true(bp_doorbell_take(bell, &value));
    g_assert_cmphex(value, ==, 0x80000005u);
    g_assert_false(bp_doorbell_take(bell, &value));
    bpc_owner_release(&p.owner);
}

static void cleared_bell_is_silent(void)
{
    struct bp_doorbell *bell;
    uint64_t value;
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell = bell_at(&p, 0x10, 4, BP_DOORBELL_KEEP_VALUE, 0);
    store(0x10, 4, 1);
    bp_doorbell_clear(bell);
    expect(&p, 0, 0);
    g_assert_false(bp_doorbell_take(bell, &value));
    store(0x10, 4, 2);
    expect(&p, 1, 0);
    bpc_owner_release(&p.owner);
}

static void freed_bell_leaves_writes_to_the_callback(void)
{
    struct bp_doorbell *bell;
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell = bell_at(&p, 0x10, 4, 0, 0);
    store(0x10, 4, 1);
    bp_doorbell_free(bell);
    store(0x10, 4, 1);
    expect(&p, 0, 1);
    bell = bell_at(&p, 0x10, 4, 0, 0); /* its place is free again */
    bp_region_free(p.io); /* before its bells */
    bp_doorbell_ring(bell);
    expect(&p, 1, 1);
    bpc_owner_release(&p.owner);
}

static void bells_that_cannot_be_are_refused(void)
{
    struct bp_region *box;
    struct plain p;

    plain_begin(&p, &plain_ops);
    box = bp_region_new(&p.owner, "box", 0x100);
    g_assert_cmpint(refused(&p, box, (struct bp_doorbell_match){.offset = 0}, "not an I/O"), ==,
                    -EINVAL);
    g_assert_cmpint(refused(&p, p.io, (struct bp_doorbell_match){.access_size = 3}, "3 bytes"), ==,
                    -EINVAL);
    g_assert_cmpint(refused(&p, p.io, (struct bp_doorbell_match){.offset = 0xfe, .access_size = 4},
                            "ends at 0x100"), ==, -EINVAL);
    g_assert_cmpint(refused(&p, p.io, (struct bp_doorbell_match){.offset = 0x100}, "ends at"), ==,
                    -EINVAL);
    g_assert_cmpint(refused(&p, p.io, (struct bp_doorbell_match){.flags = 3}, "flags 0x3"), ==,
                    -EINVAL);
    g_assert_cmpint(refused(&p, p.io, (struct bp_doorbell_match){
        .access_size = 2, .flags = BP_DOORBELL_MATCH_VALUE, .value = 0x10000}, "does not fit"), ==,
                    -EINVAL);
    bell_at(&p, 0x10, 4, BP_DOORBELL_MATCH_VALUE, 1);
    bell_at(&p, 0x10, 4, BP_DOORBELL_MATCH_VALUE, 2);
    bell_at(&p, 0x10, 2, 0, 0);
    g_assert_cmpint(refused(&p, p.io, (struct bp_doorbell_match){.offset = 0x10}, "another one"), ==,
                    -EEXIST);
    bpc_owner_release(&p.owner);
}

static void list_one(struct bp_doorbell *bell, const struct bp_doorbell_match *match, void *opaque)
{
    uint64_t *sum = opaque;

    bp_doorbell_ring(bell);
    *sum += match->offset * 0x10000 + match->access_size * 0x100 + match->value;
}

static void count_one(struct bp_doorbell *bell, const struct bp_doorbell_match *match, void *opaque)
{
    (void)bell, (void)match;
    ++*(unsigned *)opaque;
}

static void accelerator_finds_the_bells(void)
{
    uint64_t sum = 0;
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell_at(&p, 0x10, 4, BP_DOORBELL_MATCH_VALUE, 1);
    bell_at(&p, 0x20, 2, BP_DOORBELL_MATCH_VALUE, 2);
    bp_doorbell_each(p.io, list_one, &sum);
    g_assert_cmphex(sum, ==, 0x300603);
    expect(&p, 2, 0);
    bpc_owner_release(&p.owner);
}

static void hear(void *opaque, const struct bp_section *section)
{
    unsigned *heard = opaque;

    g_assert_cmphex(section->start, ==, 0x1000);
    heard[0]++;
    heard[1] = 0;
    bp_doorbell_each(section->region, count_one, &heard[1]);
}

static void listener_hears_of_bells(void)
{
    static const struct bp_memory_listener listener = {.size = sizeof(listener), .doorbells = hear};
    unsigned heard[2] = {0};
    struct bp_doorbell *first;
    struct plain p;

    plain_begin(&p, &plain_ops);
    bp_space_listen(space, &listener, heard);
    first = bell_at(&p, 0x10, 4, 0, 0);
    bell_at(&p, 0x20, 4, 0, 0);
    g_assert_cmpuint(heard[0], ==, 2);
    g_assert_cmpuint(heard[1], ==, 2);
    bp_doorbell_free(first);
    g_assert_cmpuint(heard[0], ==, 3);
    g_assert_cmpuint(heard[1], ==, 1);
    bp_space_unlisten(space, &listener, heard);
    bpc_owner_release(&p.owner);
}

static void write_fd(struct bp_doorbell *bell, uint64_t times)
{
    g_assert_cmpint(write(bp_doorbell_fd(bell), &times, sizeof(times)), ==, sizeof(times));
}

static void descriptor_rings_like_a_write(void)
{
    struct bp_doorbell *bell;
    struct plain p;
    int fd;

    plain_begin(&p, &plain_ops);
    bell = bell_at(&p, 0x10, 4, 0, 0);
    fd = bp_doorbell_fd(bell);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(bp_doorbell_fd(bell), ==, fd);
    write_fd(bell, 3);
    bpc_loop_run_once(false);
    expect(&p, 1, 0);
    expect(&p, 1, 0);
    write_fd(bell, 1); /* nobody had a turn to look at it */
    g_assert_cmpint(bp_doorbell_drain(bell), ==, 0);
    g_assert_cmpuint(p.rung, ==, 2);
    write_fd(bell, 1);
    bp_doorbell_clear(bell);
    bpc_loop_run_once(false);
    expect(&p, 2, 0);
    write_fd(bell, 1);
    bp_doorbell_free(bell);
    bpc_loop_run_once(false);
    expect(&p, 2, 0);
    write_fd(bell_at(&p, 0x20, 4, 0, 0), 1); /* it goes with its owner */
    bpc_owner_release(&p.owner);
    expect(&p, 2, 0);
}

static void bells_that_need_more_have_no_descriptor(void)
{
    struct plain p;

    plain_begin(&p, &swapped_ops);
    g_assert_cmpint(bp_doorbell_fd(bell_at(&p, 0x10, 4, BP_DOORBELL_KEEP_VALUE, 0)), ==, -ENOTSUP);
    g_assert_cmpint(bp_doorbell_fd(bell_at(&p, 0x20, 4, BP_DOORBELL_MATCH_VALUE, 1)), ==, -ENOTSUP);
    g_assert_cmpint(bp_doorbell_fd(bell_at(&p, 0x30, 4, 0, 0)), >=, 0);
    bpc_owner_release(&p.owner);
}

static void settled(void *opaque, const struct bp_section *section)
{
    g_assert_true(section->coalesced);
    *(uint64_t *)opaque += section->start;
}

/* Who keeps writes back is asked for them, in each place where the region is. */
static void region_is_settled_where_it_is(void)
{
    static const struct bp_memory_listener listener = {.size = sizeof(listener), .settle = settled};
    static const struct bp_region_ops late = {.size = sizeof(late), .write = plain_write, .coalesced = 1};
    struct bp_region *region, *other;
    struct bp_owner owner;
    uint64_t sum = 0;

    bpc_owner_init(&owner);
    region = bp_region_new_io(&owner, "late", 0x100, &late, NULL);
    other = bp_region_new_io(&owner, "other", 0x100, &late, NULL);
    bp_space_listen(space, &listener, &sum);
    bp_region_settle(region);
    g_assert_cmphex(sum, ==, 0);
    bp_region_add(root, region, 0x71000, 0);
    bp_region_add(root, other, 0x72000, 0);
    bp_region_add(root, bp_region_new_alias(&owner, "again", region, 0, 0x80), 0x75000, 0);
    bp_region_settle(region);
    g_assert_cmphex(sum, ==, 0x71000 + 0x75000);
    bp_space_unlisten(space, &listener, &sum);
    bpc_owner_release(&owner);
}

static void saving_handles_what_was_rung(void)
{
    GByteArray *out = g_byte_array_new();
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell_at(&p, 0x10, 4, 0, 0);
    store(0x10, 4, 1);
    g_assert_cmpint(bpc_state_save_tree(bpc_object_container("/machine"), out, NULL), ==, 0);
    g_assert_cmpuint(p.rung, ==, 1);
    g_byte_array_unref(out);
    bpc_owner_release(&p.owner);
}

static void drain_on_its_own_thread_calls_the_handler(void)
{
    struct bp_doorbell *bell;
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell = bell_at(&p, 0x10, 4, 0, 0);
    store(0x10, 4, 1);
    g_assert_cmpuint(p.rung, ==, 0);
    g_assert_cmpint(bp_doorbell_drain(bell), ==, 0);
    g_assert_cmpuint(p.rung, ==, 1);
    expect(&p, 1, 0);
    bpc_owner_release(&p.owner);
}

static void *store_once(void *opaque)
{
    g_assert_cmpint(bp_space_store(space, *(uint64_t *)opaque, 2, 1), ==, 0);
    return NULL;
}

/* Whatever this thread holds: the other one would wait for ever. */
static void store_elsewhere(uint64_t addr)
{
    pthread_t thread;

    g_assert_cmpint(pthread_create(&thread, NULL, store_once, &addr), ==, 0);
    pthread_join(thread, NULL);
}

static void ring_takes_no_machine_lock(void)
{
    struct plain p;

    plain_begin(&p, &plain_ops);
    bell_at(&p, 0x10, 2, 0, 0);
    g_assert_true(bp_machine_locked(machine));
    store_elsewhere(0x1010);
    expect(&p, 1, 0);
    bpc_owner_release(&p.owner);
}

/* ---- the machine stops ---- */

static void stopped_machine_holds_rings(void)
{
    uint64_t value;
    struct bp_doorbell *bell;
    struct plain p;

    bpc_machine_start();
    plain_begin(&p, &plain_ops);
    bell = bell_at(&p, 0x10, 4, BP_DOORBELL_KEEP_VALUE, 0);
    store(0x10, 4, 1);
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpuint(p.rung, ==, 1); /* handled before the stop was through */
    store(0x10, 4, 2);
    g_assert_cmpint(bp_doorbell_drain(bell), ==, 0);
    expect(&p, 1, 0);
    bpc_machine_start();
    expect(&p, 2, 0);
    g_assert_true(bp_doorbell_take(bell, &value));
    g_assert_cmpuint(value, ==, 2);
    bpc_machine_stop(BPC_RUN_PAUSED);
    g_assert_cmpuint(p.rung, ==, 2);
    bpc_machine_start(); /* without any write */
    expect(&p, 3, 0);
    expect(&p, 3, 0);
    bpc_owner_release(&p.owner);
}

static void stop_waits_for_another_context(void)
{
    struct plain p;

    bpc_machine_start();
    plain_begin(&p, &plain_ops);
    g_assert_cmpint(bp_context_new(machine, "other", &p.ctx, NULL), ==, 0);
    bell_at(&p, 0x10, 4, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        unsigned before = __atomic_load_n(&p.rung, __ATOMIC_SEQ_CST);

        store(0x10, 4, 1);
        bpc_machine_stop(BPC_RUN_PAUSED);
        g_assert_cmpuint(__atomic_load_n(&p.rung, __ATOMIC_SEQ_CST), ==, before + 1);
        store(0x10, 4, 1);
        usleep(i % 10 == 0 ? 500 : 0);
        g_assert_cmpuint(__atomic_load_n(&p.rung, __ATOMIC_SEQ_CST), ==, before + 1);
        bpc_machine_start();
        while (__atomic_load_n(&p.rung, __ATOMIC_SEQ_CST) < before + 2)
            usleep(50);
    }
    bpc_owner_release(&p.owner);
    while (bp_context_users(p.ctx) > 0)
        usleep(50);
    bp_context_free(p.ctx);
}

/* ---- a device with a context and a lock of its own ---- */

#define GOOD UINT64_C(0x600d600d600d600d)

struct card {
    uint64_t magic;
    struct bp_context *ctx;
    struct bp_doorbell *event, *value;
    unsigned inside; /* under the device's lock */
    bool gone;
};
static unsigned card_calls, card_faults, card_writes; /* atomic */
static uint64_t card_tail;

static void card_work(void *opaque)
{
    struct card *card = opaque;
    uint64_t value;

    /* The device's lock, not the machine's; its own thread; not after detach(). */
    if (card->magic != GOOD || card->gone || card->inside++ || bp_machine_locked(NULL) ||
        bp_context_current() != card->ctx)
        __atomic_fetch_add(&card_faults, 1, __ATOMIC_SEQ_CST);
    if (bp_doorbell_take(card->value, &value))
        __atomic_store_n(&card_tail, value, __ATOMIC_SEQ_CST);
    if (bp_doorbell_drain(card->event) != -EDEADLK)
        __atomic_fetch_add(&card_faults, 1, __ATOMIC_SEQ_CST);
    card->inside--;
    __atomic_fetch_add(&card_calls, 1, __ATOMIC_SEQ_CST);
}

static void card_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque, (void)addr, (void)value, (void)size;
    __atomic_fetch_add(&card_writes, 1, __ATOMIC_SEQ_CST);
}

static const struct bp_region_ops card_ops = {.size = sizeof(card_ops), .write = card_write};

static int card_attach(struct bp_device *dev, struct bp_error *err)
{
    struct card *card = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    struct bp_doorbell_match event = {.size = sizeof(event), .offset = 0, .access_size = 2};
    struct bp_doorbell_match value = {.size = sizeof(value), .offset = 4, .access_size = 4,
                                      .flags = BP_DOORBELL_KEEP_VALUE};
    struct bp_region *io = bp_region_new_io(owner, "io", 16, &card_ops, card);
    int ret = bp_context_new(bp_device_machine(dev), "card", &card->ctx, err);

    if (ret < 0)
        return ret;
    card->magic = GOOD;
    bp_device_set_context(dev, card->ctx);
    ret = bp_doorbell_new(owner, NULL, io, &event, card_work, card, &card->event, err);
    if (ret == 0)
        ret = bp_doorbell_new(owner, NULL, io, &value, card_work, card, &card->value, err);
    if (ret == 0)
        bp_region_add(root, io, 0x2000, 0);
    return ret;
}

static void card_detach(struct bp_device *dev)
{
    struct card *card = bp_device_state(dev);

    card->gone = true;
    bp_doorbell_free(card->event);
    bp_doorbell_free(card->value);
    bp_context_free(card->ctx);
}

static const struct bp_device_class card_class = {
    .type = {.size = sizeof(card_class), .name = "card", .flags = BP_TYPE_HOTPLUGGABLE,
             .state_size = sizeof(struct card)},
    .attach = card_attach, .detach = card_detach, .threads = BP_THREADS_OWN};
static const struct bp_provide provides[] = {
    {BP_PROVIDE_DEVICE, &card_class}, {BP_PROVIDE_END, NULL}};

static struct bp_device *card_add(void)
{
    struct bp_device *dev;

    g_assert_cmpint(bp_device_new(machine, "card", "c0", &dev, NULL), ==, 0);
    g_assert_cmpint(bp_device_attach(dev, NULL, NULL), ==, 0);
    return dev;
}

static void card_remove(struct bp_device *dev)
{
    bp_device_destroy(dev);
    while (bpc_object_child(bpc_object_container("/machine/peripheral"), "c0"))
        bpc_loop_run_once(false);
}

static void device_off_the_machine_lock_is_rung_on_its_thread(void)
{
    struct bp_device *dev = card_add();
    struct card *card = bp_device_state(dev);
    struct bpc_hold hold;

    card_calls = card_faults = card_writes = 0;
    hold = bpc_owner_hold(bp_device_owner(dev));
    store_elsewhere(0x2000);
    bpc_owner_let_go(bp_device_owner(dev), hold);
    g_assert_cmpint(bp_doorbell_drain(card->event), ==, 0);
    g_assert_cmpuint(__atomic_load_n(&card_calls, __ATOMIC_SEQ_CST), ==, 1);
    g_assert_cmpint(bp_space_store(space, 0x2004, 4, 77), ==, 0);
    g_assert_cmpint(bp_doorbell_drain(card->value), ==, 0);
    g_assert_cmpuint(__atomic_load_n(&card_tail, __ATOMIC_SEQ_CST), ==, 77);
    g_assert_cmpint(bp_space_store(space, 0x2000, 4, 1), ==, 0);
    g_assert_cmpuint(__atomic_load_n(&card_writes, __ATOMIC_SEQ_CST), ==, 1);
    card_remove(dev);
    g_assert_cmpuint(card_faults, ==, 0);
    g_assert_cmpuint(card_calls, ==, 2);
}

static bool ringing; /* atomic */
static unsigned rings;

static void *ring_on(void *opaque)
{
    unsigned value = 0;

    while (__atomic_load_n(&ringing, __ATOMIC_SEQ_CST)) {
        /* -EFAULT while there is no card */
        int ret = opaque ? bp_space_store(space, 0x2000, 2, value)
                         : bp_space_store(space, 0x2004, 4, value);

        if (ret == 0)
            __atomic_fetch_add(&rings, 1, __ATOMIC_RELAXED);
        value++;
    }
    return NULL;
}

static void devices_come_and_go_while_two_threads_ring(void)
{
    pthread_t threads[2];
    bool stands = false;

    bpc_machine_start();
    card_calls = card_faults = rings = 0;
    ringing = true;
    for (unsigned i = 0; i < 2; i++)
        g_assert_cmpint(pthread_create(&threads[i], NULL, ring_on, i ? &threads : NULL), ==, 0);
    for (unsigned i = 0; i < 200; i++) {
        struct bp_device *dev = card_add();
        unsigned before = __atomic_load_n(&rings, __ATOMIC_RELAXED);

        while (__atomic_load_n(&rings, __ATOMIC_RELAXED) < before + 10)
            usleep(10);
        if (i % 3 == 0) { /* they go on ringing: devices' DMA would */
            stands ? bpc_machine_start() : bpc_machine_stop(BPC_RUN_PAUSED);
            stands = !stands;
        }
        if (i % 2) { /* the last is on its way when the card leaves */
            write_fd(((struct card *)bp_device_state(dev))->event, 1);
            usleep(i);
            write_fd(((struct card *)bp_device_state(dev))->event, 1);
        }
        card_remove(dev);
    }
    __atomic_store_n(&ringing, false, __ATOMIC_SEQ_CST);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    bpc_machine_start();
    g_assert_cmpuint(card_faults, ==, 0);
    g_assert_cmpuint(card_calls, >, 0);
}

/* Last: there is no way back. */
static void folded_device_is_rung_on_the_main_loop(void)
{
    struct plain p;

    bp_contexts_fold(machine);
    plain_begin(&p, &plain_ops);
    g_assert_cmpint(bp_context_new(machine, "folded", &p.ctx, NULL), ==, 0);
    bell_at(&p, 0x10, 4, 0, 0);
    store(0x10, 4, 1);
    usleep(1000);
    g_assert_cmpuint(p.rung, ==, 0);
    expect(&p, 1, 0);
    bpc_owner_release(&p.owner);
    bp_context_free(p.ctx);
}

#define CASE(name) g_test_add_func("/doorbell/" #name, name)

int main(int argc, char **argv)
{
    static const struct bp_hotplug_ops anything = {.size = sizeof(anything)};
    int ret;

    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_machine_create_bare(&machine, NULL), ==, 0);
    bp_machine_set_hotplug(machine, bp_machine_owner(machine), &anything, NULL);
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
    root = bp_region_new(&nobody, "root", UINT64_MAX);
    space = bp_space_new(&nobody, "space", root);
    CASE(any_write_at_the_offset_rings);
    CASE(size_and_value_have_to_match);
    CASE(value_is_compared_as_the_device_sees_it);
    CASE(sizes_that_the_region_refuses_do_not_ring);
    CASE(many_rings_are_one_call);
    CASE(last_value_is_kept);
    CASE(cleared_bell_is_silent);
    CASE(freed_bell_leaves_writes_to_the_callback);
    CASE(bells_that_cannot_be_are_refused);
    CASE(accelerator_finds_the_bells);
    CASE(listener_hears_of_bells);
    CASE(descriptor_rings_like_a_write);
    CASE(bells_that_need_more_have_no_descriptor);
    CASE(region_is_settled_where_it_is);
    CASE(saving_handles_what_was_rung);
    CASE(drain_on_its_own_thread_calls_the_handler);
    CASE(ring_takes_no_machine_lock);
    CASE(stopped_machine_holds_rings);
    CASE(stop_waits_for_another_context);
    CASE(device_off_the_machine_lock_is_rung_on_its_thread);
    CASE(devices_come_and_go_while_two_threads_ring);
    CASE(folded_device_is_rung_on_the_main_loop);
    ret = g_test_run();
    bpc_owner_release(&nobody);
    return ret;
}
