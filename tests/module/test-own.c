/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that keeps off the machine lock: vCPUs, its own context and the main thread at once. */
#include <bp/loop.h>
#include <bp/host/iothread.h>
#include <bp/test.h>

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>

#include "contexts/own.h"

struct own_notes own_notes;
static int stop;

static void *vcpu(void *opaque)
{
    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); i++)
        (void)bp_test_in(opaque, 0x310 + i % 2, 1);
    return NULL;
}

static void callbacks_hold_its_lock_and_not_the_machine_lock(void)
{
    struct bp_test_host *host;
    struct bp_device *dev, *served;
    struct bp_error err = {0};
    pthread_t threads[2];

    bp_test_keep_contexts();
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_assert_cmpint(bp_test_load(host, g_getenv("OWN_MODULE"), &err), ==, 0);
    g_assert_cmpint(bp_test_device(host, "served", NULL, &served, &err), ==, 0);
    g_assert_cmpint(bp_test_device(host, "own", NULL, &dev, &err), ==, 0);
    /* The main thread holds the machine lock all the while but for these turns of the loop. */
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, vcpu, host);
    for (unsigned i = 0; i < 200; i++) {
        bp_test_reset(host);
        g_assert_cmpint(bp_device_set_uint(dev, "level", i, &err), ==, 0);
        bp_test_step(host, 1);
        g_usleep(200);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (unsigned waiting = 2; waiting > 0;) {
        bp_test_step(host, 1); /* one of them may wait for the machine lock */
        waiting -= pthread_tryjoin_np(threads[waiting - 1], NULL) == 0;
    }
    bp_device_destroy(dev);
    g_assert_cmpuint(own_notes.overlaps, ==, 0);
    g_assert_cmpuint(own_notes.with_machine, ==, 0);
    g_assert_cmpuint(own_notes.served_unlocked, ==, 0);
    g_assert_cmpuint(own_notes.served, >, 0);
    g_assert_cmpuint(own_notes.reads, >, 0);
    g_assert_cmpuint(own_notes.fires, >, 0);
    g_assert_cmpuint(own_notes.resets, >=, 200);
    g_assert_cmpuint(own_notes.sets, >=, 200);
    bp_test_host_free(host);
}

static struct bp_object *make_iothread(struct bp_test_host *host, const char *id)
{
    struct bp_object *obj;
    struct bp_error err = {0};

    g_assert_cmpint(bp_test_object(host, "iothread", id, NULL, &obj, &err), ==, 0);
    return obj;
}

static void fires_in(struct bp_test_host *host, struct bp_context *ctx)
{
    while (__atomic_load_n(&own_notes.where, __ATOMIC_SEQ_CST) != ctx) {
        bp_test_step(host, 1);
        g_usleep(50);
    }
}

/* qom-set of iothread= on one that works, with vCPUs at its registers. */
static void set_iothread_moves_it_at_once(void)
{
    struct bp_test_host *host;
    struct bp_device *dev, *served;
    struct bp_error err = {0};
    const void *table;
    struct bp_context *ctx[2];
    struct bp_object *io[2];
    pthread_t thread;

    bp_test_keep_contexts();
    own_notes = (struct own_notes){.where = NULL};
    __atomic_store_n(&stop, 0, __ATOMIC_SEQ_CST);
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_assert_cmpint(bp_test_load(host, g_getenv("OWN_MODULE"), &err), ==, 0);
    g_assert_cmpint(bp_test_interface(host, "iothread", 1, &table, &err), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        io[i] = make_iothread(host, i ? "io1" : "io0");
        ctx[i] = ((const struct bp_iothread_interface *)table)->context(io[i]);
    }
    g_assert_cmpint(bp_test_device(host, "own", "iothread=io0", &dev, &err), ==, 0);
    fires_in(host, ctx[0]);
    g_assert_true(bp_device_context(dev) == ctx[0]);
    pthread_create(&thread, NULL, vcpu, host);
    for (unsigned i = 1; i < 50; i++) {
        g_assert_cmpint(bp_device_set(dev, "iothread", i % 2 ? "io1" : "io0", &err), ==, 0);
        fires_in(host, ctx[i % 2]);
        g_assert_true(bp_device_context(dev) == ctx[i % 2]);
        g_assert_cmpuint(bp_context_users(ctx[1 - i % 2]), ==, 0);
    }
    g_assert_cmpint(bp_device_set(dev, "iothread", "", &err), ==, 0);
    fires_in(host, bp_context_main(NULL));
    g_assert_cmpint(bp_device_set(dev, "iothread", "io1", &err), ==, 0); /* and leaves meanwhile */
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    while (pthread_tryjoin_np(thread, NULL) != 0)
        bp_test_step(host, 1);
    bp_device_destroy(dev);
    g_assert_cmpuint(own_notes.overlaps, ==, 0);
    g_assert_cmpuint(own_notes.reads, >, 0);
    /* One that keeps to the machine lock stays where it is. */
    g_assert_cmpint(bp_test_device(host, "served", NULL, &served, &err), ==, 0);
    g_assert_cmpint(bp_device_move(served, ctx[0], NULL, NULL, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "machine lock"));
    bp_test_host_free(host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/contexts/own-lock_held-and-not-the-machine-lock",
                    callbacks_hold_its_lock_and_not_the_machine_lock);
    g_test_add_func("/contexts/own-iothread-set_moves-at-once", set_iothread_moves_it_at_once);
    return g_test_run();
}
