/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device leaves while a call of it runs in another context and a vCPU reads its port. */
#include <bp/loop.h>
#include <bp/test.h>

#include <glib.h>
#include <pthread.h>
#include <unistd.h>

#include "contexts/half.h"

struct half_notes half_notes;
static int stop;

static void *vcpu(void *opaque)
{
    struct bp_test_host *host = opaque;

    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        (void)bp_test_in(host, 0x300, 4);
        usleep(500);
    }
    return NULL;
}

static void device_leaves_under_its_call_nothing_comes_after_detach(void)
{
    struct bp_test_host *host;
    struct bp_error err = {0};
    struct bp_device *dev;
    pthread_t thread;

    bp_test_keep_contexts();
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_assert_cmpint(bp_test_load(host, g_getenv("HALF_MODULE"), &err), ==, 0);
    g_assert_cmpint(bp_test_device(host, "half", NULL, &dev, &err), ==, 0);
    pthread_create(&thread, NULL, vcpu, host);
    while (!__atomic_load_n(&half_notes.busy, __ATOMIC_SEQ_CST))
        usleep(100);
    g_assert_true(__atomic_load_n(&half_notes.working, __ATOMIC_SEQ_CST));
    bp_device_destroy(dev);
    g_assert_true(bp_machine_locked(bp_test_machine(host)));
    for (unsigned i = 0; i < 10000 && !__atomic_load_n(&half_notes.detached, __ATOMIC_SEQ_CST); i++) {
        bp_test_step(host, 1); /* an access that was under way delays it */
        usleep(500);
    }
    g_assert_true(__atomic_load_n(&half_notes.detached, __ATOMIC_SEQ_CST));
    g_assert_false(__atomic_load_n(&half_notes.working, __ATOMIC_SEQ_CST));
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    bp_test_step(host, 1);
    pthread_join(thread, NULL);
    g_assert_false(__atomic_load_n(&half_notes.overlap, __ATOMIC_SEQ_CST));
    g_assert_false(__atomic_load_n(&half_notes.late, __ATOMIC_SEQ_CST));
    bp_test_host_free(host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/contexts/device_leaves_under_its_call-nothing_after_detach",
                    device_leaves_under_its_call_nothing_comes_after_detach);
    return g_test_run();
}
