/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every device type of every module, each in a process of its own on the fake host: random accesses
 * to whatever it claims (ports, memory, PCI configuration space), time passing, resets; then its
 * state is saved, loaded after a reset, and saved again: the bytes must be equal. Seeded by the
 * type's name and BP_TEST_SEED; BP_TEST_ROUNDS scales it. Most telling under ASan and UBSan. Types
 * that cannot stand alone (they need a CPU, another device, a back end) are skipped.
 *
 * usage: test-every-device [--one TYPE] [TAP options]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exercise.h"
#include "registry.h"

#define EXIT_SKIP 77

static int drive_one(const char *type)
{
    const char *seed = g_getenv("BP_TEST_SEED"), *scale = g_getenv("BP_TEST_ROUNDS");
    struct bp_test_host *host;
    struct bp_error err = {0};
    struct bp_device *dev;
    struct exercise x;
    GRand *rand;
    int rc;

    alarm(120); /* a device that hangs is a failure too */
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    if (exercise_make_device(host, type, &dev, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        bp_test_host_free(host);
        return EXIT_SKIP;
    }
    rand = g_rand_new_with_seed(g_str_hash(type) ^ (seed ? (guint32)strtoul(seed, NULL, 0) : 0));
    exercise_begin(&x, host, dev, rand);
    exercise_accesses(&x, scale ? (unsigned)strtoul(scale, NULL, 0) : 20000);
    rc = exercise_saved_state(&x, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.message);
    bp_device_destroy(dev);
    g_rand_free(rand);
    bp_test_host_free(host);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void run_child(gconstpointer opaque)
{
    const char *type = opaque;
    char *argv[] = {(char *)"/proc/self/exe", (char *)"--one", (char *)type, NULL};
    char *said = NULL;
    GError *error = NULL;
    int status;

    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &said, &status, &error))
        g_error("%s", error->message);
    g_strchomp(said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
        g_test_skip(said);
    } else if (status != 0) {
        g_test_message("%s", said);
        g_test_fail_printf("wait status %d", status);
    }
    g_free(said);
}

static void add_case(const struct bpc_known *known, void *opaque)
{
    char *path = g_strdup_printf("/every-device/%s", known->name);

    if (strcmp(known->name, "test-bridge") != 0)
        g_test_add_data_func(path, g_intern_string(known->name), run_child);
    g_free(path);
}

int main(int argc, char **argv)
{
    struct bp_test_host *host;
    struct bp_error err = {0};
    int rc;

    if (argc == 3 && strcmp(argv[1], "--one") == 0)
        return drive_one(argv[2]);
    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0)
        g_error("%s", err.message);
    bpc_each_known(BP_PROVIDE_DEVICE, add_case, NULL);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
