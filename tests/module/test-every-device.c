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

#include <glib.h>

#include <bp/chardev.h>
#include <bp/test.h>
#include <bp/value.h>

#include "memory.h"
#include "registry.h"

#define EXIT_SKIP 77
#define MAX_TARGETS 256u

struct target {
    bool ports;
    uint64_t first, size;
};

struct drive {
    struct bp_test_host *host;
    struct bp_device *dev;
    GRand *rand;
    struct target targets[MAX_TARGETS];
    unsigned count;
    unsigned devfn; /* PCI: where it answers, or UINT_MAX */
};

static void find_targets_in(struct drive *d, struct bp_space *space, bool ports)
{
    const struct bpc_view *view;

    view = bpc_space_view(space); /* changes under the machine lock only, which we hold */
    for (size_t i = 0; i < view->count && d->count < MAX_TARGETS; i++) {
        const struct bpc_range *r = &view->ranges[i];

        /* The test's own RAM is no device. */
        if (strcmp(bp_region_name(r->region), "test.ram") != 0)
            d->targets[d->count++] = (struct target){ports, r->first, r->last - r->first + 1};
    }
}

static void find_targets(struct drive *d)
{
    d->count = 0;
    find_targets_in(d, bp_space_io(), true);
    find_targets_in(d, bp_space_memory(), false);
}

static uint64_t random_value(GRand *rand)
{
    static const uint64_t edges[] = {0, 1, 0xff, 0x80, 0xffff, UINT32_MAX, UINT64_MAX, 0x7fffffff};
    uint64_t wide = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);

    switch (g_rand_int_range(rand, 0, 4)) {
    case 0: return edges[g_rand_int_range(rand, 0, BP_COUNT(edges))];
    case 1: return wide & 0xff;
    case 2: return wide & 0xffff;
    default: return wide;
    }
}

static void access_target(struct drive *d)
{
    const struct target *t = &d->targets[g_rand_int_range(d->rand, 0, (gint32)d->count)];
    unsigned size = 1u << g_rand_int_range(d->rand, 0, t->ports ? 3 : 4);
    uint64_t reach = t->size ? t->size : UINT64_MAX, addr, value = random_value(d->rand);
    bool write = g_rand_boolean(d->rand);

    /* Registers crowd at the start of a region. */
    if (g_rand_int_range(d->rand, 0, 4) != 0 && reach > 0x100)
        reach = 0x100;
    addr = t->first + ((uint64_t)g_rand_int(d->rand) << 8 | (value & 0xff)) % reach;
    if (g_rand_boolean(d->rand))
        addr &= ~(uint64_t)(size - 1);
    if (t->ports && write)
        bp_test_out(d->host, (uint16_t)addr, value, size);
    else if (t->ports)
        bp_test_in(d->host, (uint16_t)addr, size);
    else if (write)
        bp_test_write(d->host, addr, value, size);
    else
        bp_test_read(d->host, addr, size);
}

static void access_config(struct drive *d)
{
    unsigned size = 1u << g_rand_int_range(d->rand, 0, 3);
    unsigned offset = (unsigned)g_rand_int_range(d->rand, 0, 0x110);

    if (g_rand_boolean(d->rand))
        bp_test_config_write(d->host, d->devfn, offset, (uint32_t)random_value(d->rand), size);
    else
        bp_test_config_read(d->host, d->devfn, offset, size);
    /* BARs may have moved. */
    find_targets(d);
}

static void find_config(struct drive *d)
{
    d->devfn = UINT_MAX;
    for (unsigned devfn = 0; devfn < 256; devfn++)
        if ((bp_test_config_read(d->host, devfn, 0, 2) & 0xffff) != 0xffff)
            d->devfn = devfn;
    if (d->devfn == UINT_MAX)
        return;
    /* BARs far apart, and everything on, so that there is something to hit. */
    for (unsigned bar = 0; bar < 6; bar++)
        bp_test_config_write(d->host, d->devfn, 0x10 + 4 * bar, 0xc000 + 0x400 * bar +
                             (bar << 24) + 0xe0000000u, 4);
    bp_test_config_write(d->host, d->devfn, 4, 7, 2);
}

static void drive_at_random(struct drive *d, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        if (d->devfn != UINT_MAX && g_rand_int_range(d->rand, 0, 8) == 0)
            access_config(d);
        if (d->count)
            access_target(d);
        if (g_rand_int_range(d->rand, 0, 50) == 0)
            bp_test_step(d->host, g_rand_int_range(d->rand, 1, 5000000));
        if (g_rand_int_range(d->rand, 0, 2000) == 0)
            bp_test_reset(d->host);
        if (i % 256 == 0)
            find_targets(d);
    }
}

static int save_load_compare(struct drive *d)
{
    struct bp_error err = {0};
    void *before, *after;
    size_t before_size, after_size, at = 0;
    int rc = EXIT_FAILURE;

    if (bp_test_save(d->dev, &before, &before_size, &err) < 0) {
        fprintf(stderr, "save: %s\n", err.message);
        return EXIT_FAILURE;
    }
    bp_test_reset(d->host);
    if (bp_test_restore(d->dev, before, before_size, &err) < 0 ||
        bp_test_save(d->dev, &after, &after_size, &err) < 0) {
        fprintf(stderr, "load: %s\n", err.message);
        free(before);
        return EXIT_FAILURE;
    }
    while (at < before_size && at < after_size && ((char *)before)[at] == ((char *)after)[at])
        at++;
    if (before_size == after_size && at == before_size)
        rc = EXIT_SUCCESS;
    else
        fprintf(stderr, "saved state changed by loading it: %zu and %zu bytes, differ at %zu\n",
                before_size, after_size, at);
    /* A cut or twisted state must give an error or load; never crash. */
    for (unsigned i = 0; i < 64 && before_size; i++) {
        char *twisted = g_memdup2(before, before_size);
        size_t where = g_rand_int(d->rand) % before_size;

        twisted[where] ^= (char)(1 + g_rand_int(d->rand) % 255);
        /* What is refused may be half loaded: the device must be reset. */
        if (bp_test_restore(d->dev, twisted, i % 4 ? before_size : i * before_size / 64, NULL) < 0)
            bp_test_reset(d->host);
        g_free(twisted);
        drive_at_random(d, 20);
    }
    free(before);
    free(after);
    return rc;
}

/* What some types want to find in place. */
static const struct {
    const char *type, *companion;
} companions[] = {{"PIIX3", "i440FX-pcihost"}, {"i440FX", "i440FX-pcihost"}};

static int make_chardev(struct bp_error *err)
{
    const struct bp_chardev_interface *chardev;
    struct bp_value *args;
    struct bp_chardev *chr;
    const void *table;
    int rc = bpc_require_interface("chardev", 1, &table, err);

    if (rc < 0)
        return rc;
    chardev = table;
    args = bp_value_dict();
    bp_value_set(args, "id", bp_value_string("c"));
    bp_value_set(args, "backend", bp_value_string("ringbuf"));
    rc = chardev->create(args, &chr, err);
    bp_value_unref(args);
    return rc;
}

static int make_device(struct drive *d, const char *type, struct bp_error *err)
{
    struct bp_error ignored = {0};
    struct bp_device *companion;
    int rc;

    for (unsigned i = 0; i < BP_COUNT(companions); i++) {
        if (strcmp(type, companions[i].type) != 0)
            continue;
        rc = bp_test_device(d->host, companions[i].companion, NULL, &companion, err);
        if (rc < 0)
            return rc;
    }
    /* With a back end where there is one to have: more code runs. */
    if (make_chardev(&ignored) == 0 &&
        bp_test_device(d->host, type, "chardev=c", &d->dev, &ignored) == 0)
        return 0;
    return bp_test_device(d->host, type, NULL, &d->dev, err);
}

static int drive_one(const char *type)
{
    const char *seed = g_getenv("BP_TEST_SEED"), *scale = g_getenv("BP_TEST_ROUNDS");
    struct bp_error err = {0};
    struct drive d = {0};
    int rc;

    alarm(120); /* a device that hangs is a failure too */
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &d.host, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    if (make_device(&d, type, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        bp_test_host_free(d.host);
        return EXIT_SKIP;
    }
    d.rand = g_rand_new_with_seed(g_str_hash(type) ^ (seed ? (guint32)strtoul(seed, NULL, 0) : 0));
    find_config(&d);
    find_targets(&d);
    drive_at_random(&d, scale ? (unsigned)strtoul(scale, NULL, 0) : 20000);
    rc = save_load_compare(&d);
    bp_device_destroy(d.dev);
    g_rand_free(d.rand);
    bp_test_host_free(d.host);
    return rc;
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
