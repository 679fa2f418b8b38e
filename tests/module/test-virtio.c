/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Virtio on the fake host: MMIO slots, modern and legacy; and random rings for every device: descriptors,
 * indices, addresses and registers that a driver never would write, in the middle of work. Whatever comes, the
 * device answers, its state is saved and loaded as it was, and a reset makes it new. Seeded: BACKPLANE_SEED,
 * printed. BACKPLANE_LONG=1: two hundred times as many. Most telling under ASan and UBSan.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/loop.h>
#include <bp/test.h>

#define ROUNDS 50000u
#define DEVFN 0x28u
#define BAR 0xe0000000u
#define MSIX 0xe1000000u
#define SLOT 0xfeb00000u
#define RING 0x20000u
#define DATA 0x40000u
#define RAM_END 0x100000u

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static struct bp_test_host *host;
static uint32_t seed;
static unsigned served, broke; /* how often a ring by chance had something used, or broke the device */

static void start(void)
{
    struct bp_error err = {0};

    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0)
        g_error("%s", err.message);
    bp_test_run(host, true);
}

static struct bp_device *make(const char *type, const char *props)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    if (bp_test_device(host, type, props, &dev, &err) < 0)
        g_error("%s: %s", type, err.message);
    return dev;
}

static void w(uint64_t addr, uint64_t value, unsigned size)
{
    bp_test_write(host, addr, value, size);
}

static uint64_t r(uint64_t addr, unsigned size)
{
    return bp_test_read(host, addr, size);
}

/* ---- MMIO ---- */

static void put_desc(uint64_t table, unsigned n, uint64_t addr, uint32_t length, unsigned flags, unsigned next)
{
    w(table + 16 * n, addr, 8);
    w(table + 16 * n + 8, length, 4);
    w(table + 16 * n + 12, flags, 2);
    w(table + 16 * n + 14, next, 2);
}

static struct bp_device *slot(const char *legacy)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    if (bp_device_new(bp_test_machine(host), "virtio-mmio", NULL, &dev, &err) < 0 ||
        bp_device_set(dev, "force-legacy", legacy, &err) < 0 || bp_device_attach(dev, NULL, &err) < 0)
        g_error("%s", err.message);
    return dev;
}

static void offer_and_wait(uint64_t avail, uint64_t used, unsigned index)
{
    w(avail + 4 + 2 * (index - 1), 0, 2);
    w(avail + 2, index, 2);
    w(SLOT + 0x50, 0, 4);
    for (unsigned i = 0; i < 20 && r(used + 2, 2) != index; i++)
        bp_test_step(host, 1000);
    g_assert_cmpuint(r(used + 2, 2), ==, index);
    g_assert_cmpuint(r(SLOT + 0x60, 4), ==, 1);
    w(SLOT + 0x64, 1, 4);
    g_assert_cmpuint(r(SLOT + 0x60, 4), ==, 0);
}

static void modern_slot_serves_a_ring(void)
{
    start();
    slot("off");
    g_assert_cmphex(r(SLOT, 4), ==, 0x74726976);
    g_assert_cmpuint(r(SLOT + 4, 4), ==, 2);
    g_assert_cmpuint(r(SLOT + 8, 4), ==, 0); /* nobody is there yet */
    make("virtio-rng-device", NULL);
    g_assert_cmpuint(r(SLOT + 8, 4), ==, 4);
    w(SLOT + 0x70, 0, 4);
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER, 4);
    w(SLOT + 0x24, 1, 4);
    w(SLOT + 0x20, 1, 4); /* VERSION_1 */
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK, 4);
    g_assert_cmpuint(r(SLOT + 0x70, 4), ==, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    w(SLOT + 0x30, 0, 4);
    g_assert_cmpuint(r(SLOT + 0x34, 4), ==, 8);
    w(SLOT + 0x38, 8, 4);
    w(SLOT + 0x80, RING, 4);
    w(SLOT + 0x90, RING + 0x1000, 4);
    w(SLOT + 0xa0, RING + 0x2000, 4);
    w(SLOT + 0x44, 1, 4);
    g_assert_cmpuint(r(SLOT + 0x44, 4), ==, 1);
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 4);
    put_desc(RING, 0, DATA, 64, WRITE, 0);
    offer_and_wait(RING + 0x1000, RING + 0x2000, 1);
    offer_and_wait(RING + 0x1000, RING + 0x2000, 2);
    g_assert_cmphex(r(DATA, 8) | r(DATA + 8, 8), !=, 0);
    w(SLOT + 0x70, 0, 4);
    g_assert_cmpuint(r(SLOT + 0x70, 4), ==, 0);
    g_assert_cmpuint(r(SLOT + 0x44, 4), ==, 0);
    bp_test_host_free(host);
}

static void legacy_slot_serves_a_ring(void)
{
    start();
    slot("on");
    g_assert_cmpuint(r(SLOT + 4, 4), ==, 1);
    make("virtio-rng-device", NULL);
    w(SLOT + 0x28, 4096, 4);
    w(SLOT + 0x70, 0, 4); /* drivers say the page size before they reset the device */
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER, 4);
    w(SLOT + 0x30, 0, 4);
    w(SLOT + 0x38, 8, 4);
    w(SLOT + 0x3c, 4096, 4);
    w(SLOT + 0x40, RING / 4096, 4);
    g_assert_cmphex(r(SLOT + 0x40, 4), ==, RING / 4096);
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER | DRIVER_OK, 4);
    put_desc(RING, 0, DATA, 64, WRITE, 0);
    offer_and_wait(RING + 16 * 8, RING + 0x1000, 1);
    bp_test_host_free(host);
}

static void slot_takes_one_device(void)
{
    struct bp_error err = {0};
    struct bp_device *dev, *second;

    start();
    slot("off");
    dev = make("virtio-rng-device", NULL);
    g_assert_cmpint(bp_test_device(host, "virtio-rng-device", NULL, &second, &err), <, 0);
    bp_device_destroy(dev);
    bp_test_step(host, 1000);
    g_assert_cmpuint(r(SLOT + 8, 4), ==, 0);
    bp_test_host_free(host);
}

/* ---- drivers that never stop ---- */

#define DOOR 0x80000000u /* whoever reads here has one more request made available */
static unsigned asked, asked_when_others_ran;

static uint64_t one_more(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    if (++asked < 100000)
        w(RING + 0x1002, asked + 1, 2);
    return 0;
}

static void others_run(void *opaque)
{
    (void)opaque;
    asked_when_others_ran = asked;
}

static void endless_driver_lets_others_run(void)
{
    static const struct bp_region_ops ops = {.size = sizeof(ops), .read = one_more, .min_access = 1, .max_access = 8};
    struct bp_deferred *others;
    struct bp_owner *owner;
    struct bp_device *dev;

    start();
    dev = slot("off");
    make("virtio-keyboard-device", NULL);
    owner = bp_device_owner(dev);
    bp_region_add(bp_space_root(bp_device_memory(dev)), bp_region_new_io(owner, "door", 8, &ops, NULL), DOOR, 1);
    others = bp_deferred_new(owner, NULL, others_run, NULL);
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER, 4);
    w(SLOT + 0x24, 1, 4);
    w(SLOT + 0x20, 1, 4); /* VERSION_1 */
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK, 4);
    w(SLOT + 0x30, 1, 4);
    w(SLOT + 0x38, 8, 4);
    w(SLOT + 0x80, RING, 4);
    w(SLOT + 0x90, RING + 0x1000, 4);
    w(SLOT + 0xa0, RING + 0x2000, 4);
    w(SLOT + 0x44, 1, 4);
    w(SLOT + 0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 4);
    put_desc(RING, 0, DOOR, 8, 0, 0);
    for (unsigned i = 0; i < 8; i++)
        w(RING + 0x1004 + 2 * i, 0, 2);
    w(RING + 0x1002, 1, 2);
    w(SLOT + 0x50, 1, 4);
    bp_deferred_schedule(others);
    for (unsigned i = 0; i < 1000 && (uint16_t)r(RING + 0x2002, 2) != (uint16_t)100000; i++)
        bp_test_step(host, 1000);
    g_assert_cmpuint(asked, ==, 100000);
    g_assert_cmpuint(r(RING + 0x2002, 2), ==, (uint16_t)100000);
    g_assert_cmpuint(asked_when_others_ran, <, 5000);
    bp_test_host_free(host);
}

/* ---- random rings ---- */

static uint32_t some(GRand *rand, const uint32_t *from, unsigned count)
{
    return from[g_rand_int(rand) % count];
}

static uint64_t some_address(GRand *rand)
{
    static const uint32_t special[] = {0, DATA, DATA, DATA + 1, RAM_END - 16, RAM_END - 1, BAR, BAR + 0x1000,
                                       BAR + 0x2000, BAR + 0x3000, MSIX, 0xfffffff0, RING, RING + 0x800};
    uint64_t at = g_rand_int(rand) % 3 ? DATA + (g_rand_int(rand) & 0x1fff8)
                                       : some(rand, special, G_N_ELEMENTS(special));

    return g_rand_int(rand) % 64 ? at : at | (uint64_t)g_rand_int(rand) << 32;
}

static uint32_t some_length(GRand *rand)
{
    static const uint32_t special[] = {0, 1, 4, 8, 16, 16, 19, 24, 51, 108, 512, 512, 4096, 65536, 0xffffffff};

    return g_rand_int(rand) % 8 ? some(rand, special, G_N_ELEMENTS(special)) : g_rand_int(rand) & 0xfffff;
}

static void random_descriptor(GRand *rand, uint64_t table, unsigned n)
{
    static const uint32_t split[] = {0, 0, WRITE, WRITE, NEXT, NEXT, NEXT | WRITE, INDIRECT, 7, 0xffff};
    static const uint32_t packed[] = {0x80, 0x8080, 0x8000, 0x82, 0x81, 0x83, 0x84, 0, 0xffff, 0x8002};
    bool as_packed = g_rand_int(rand) & 1;

    put_desc(table, n, some_address(rand), some_length(rand),
             as_packed ? n : some(rand, split, G_N_ELEMENTS(split)),
             as_packed ? some(rand, packed, G_N_ELEMENTS(packed)) : (n + 1) % (g_rand_int(rand) % 8 ? 16 : 40000));
}

static void random_data(GRand *rand)
{
    static const uint32_t words[] = {0, 1, 4, 8, 11, 13, 0x28, 0x2a, 0x12, 0xa0, 0x01000000, 0x40000001};
    uint64_t at = DATA + (g_rand_int(rand) & 0x1fff8);

    for (unsigned i = 0; i < 8; i++)
        w(at + 4 * i, some(rand, words, G_N_ELEMENTS(words)), 4);
}

static void common(unsigned offset, uint32_t value, unsigned size)
{
    w(BAR + offset, value, size);
}

/* As a driver does it, but with features and sizes by chance. */
static void begin(GRand *rand)
{
    uint32_t high = 1 | (g_rand_int(rand) & 1 ? 4 : 0) | (g_rand_int(rand) & 3 ? 0 : 0x1f8);
    unsigned queues = (unsigned)r(BAR + 18, 2);

    common(20, 0, 1);
    bp_test_step(host, 1000);
    common(20, ACKNOWLEDGE | DRIVER, 1);
    for (unsigned half = 0; half < 2; half++) {
        common(0, half, 4);
        common(8, half, 4);
        common(12, (uint32_t)r(BAR + 4, 4) & (half ? high : g_rand_int(rand) | 1u << 28), 4);
    }
    common(20, ACKNOWLEDGE | DRIVER | FEATURES_OK, 1);
    for (unsigned q = 0; q < queues && q < 4; q++) {
        static const uint32_t sizes[] = {8, 8, 16, 4, 1, 64, 7, 0, 40000};
        uint64_t at = RING + 0x4000 * q;

        common(22, q, 2);
        common(24, some(rand, sizes, G_N_ELEMENTS(sizes)), 2);
        for (unsigned part = 0; part < 3; part++) {
            w(BAR + 32 + 8 * part, g_rand_int(rand) % 50 ? at + 0x1000 * part : some_address(rand), 8);
            w(at + 0x1000 * part, 0, 8);
        }
        if (g_rand_int(rand) % 10)
            common(28, 1, 2);
    }
    common(20, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1);
}

static void check_state(struct bp_device *dev)
{
    struct bp_error err = {0};
    void *first, *second;
    size_t n, m;

    bp_test_step(host, 1000);
    bp_test_run(host, false);
    if (bp_test_save(dev, &first, &n, &err) < 0)
        g_error("saving: %s", err.message);
    bp_device_reset(dev);
    if (bp_test_restore(dev, first, n, &err) < 0)
        g_error("loading: %s", err.message);
    if (bp_test_save(dev, &second, &m, &err) < 0)
        g_error("saving again: %s", err.message);
    g_assert_cmpmem(first, n, second, m);
    free(first);
    free(second);
    bp_test_run(host, true);
}

static void act(GRand *rand, struct bp_device *dev)
{
    unsigned queue = g_rand_int(rand) % 4;
    uint64_t ring = RING + 0x4000 * queue;
    uint16_t used;

    switch (g_rand_int(rand) % 40) {
    case 0:
        begin(rand);
        break;
    case 1:
        w(BAR + g_rand_int(rand) % 64, g_rand_int(rand), 1u << g_rand_int(rand) % 3);
        break;
    case 2:
        w(BAR + 0x2000 + g_rand_int(rand) % 64, g_rand_int(rand), 1u << g_rand_int(rand) % 3);
        break;
    case 3:
        common(22, queue, 2);
        common(58, 1, 2);
        break;
    case 4:
        if (g_rand_int(rand) % 20 == 0)
            check_state(dev);
        break;
    case 5:
        (void)r(BAR + 0x1000, 1);
        bp_test_step(host, 100000);
        break;
    default:
        random_data(rand);
        for (unsigned i = 0; i < 4; i++)
            random_descriptor(rand, g_rand_int(rand) % 4 ? ring : DATA + (g_rand_int(rand) & 0xff0),
                              g_rand_int(rand) % 16);
        for (unsigned i = 0; i < 4; i++)
            w(ring + 0x1004 + 2 * i, g_rand_int(rand) % 16 ? g_rand_int(rand) % 8 : g_rand_int(rand), 2);
        w(ring + 0x1002, r(ring + 0x2002, 2) + g_rand_int(rand) % (g_rand_int(rand) % 16 ? 4 : 60000), 2);
        used = (uint16_t)r(ring + 0x2002, 2);
        w(BAR + 0x3000 + 4 * queue, queue, 2);
        bp_test_step(host, 1000);
        served += used != r(ring + 0x2002, 2);
        break;
    }
    if (g_rand_int(rand) % 4 == 0 && (r(BAR + 20, 1) & NEEDS_RESET)) {
        broke++;
        begin(rand);
    }
}

static struct bp_device *make_for(const char *type)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    if (strstr(type, "blk") || strstr(type, "scsi")) {
        g_assert_cmpint(bp_test_load(host, "block", &err), ==, 0);
        if (bp_test_option(host, "blockdev",
                           strstr(type, "blk") ? "driver=null-co,node-name=b,size=1M,read-zeroes=on"
                                               : "driver=null-co,node-name=s,size=1M,read-zeroes=on", &err) < 0)
            g_error("%s", err.message);
    }
    dev = make(type, strstr(type, "blk") ? "addr=5,drive=b,num-queues=2,packed=on"
                     : strstr(type, "balloon") ? "addr=5,free-page-reporting=on,packed=on"
                                               : "addr=5,packed=on,in_order=on");
    if (strstr(type, "scsi"))
        make("scsi-hd", "drive=s");
    if (strstr(type, "serial"))
        make("virtconsole", NULL);
    bp_test_config_write(host, DEVFN, 0x20, BAR, 4);
    bp_test_config_write(host, DEVFN, 0x14, MSIX, 4);
    bp_test_config_write(host, DEVFN, 4, 6, 2);
    return dev;
}

static void rings_by_chance(gconstpointer opaque)
{
    const char *type = opaque;
    unsigned rounds = g_getenv("BACKPLANE_LONG") ? ROUNDS * 200 : ROUNDS;
    GRand *rand = g_rand_new_with_seed(seed ^ g_str_hash(type));
    struct bp_device *dev;

    start();
    dev = make_for(type);
    begin(rand);
    served = broke = 0;
    for (unsigned i = 0; i < rounds; i++)
        act(rand, dev);
    g_test_message("%s: %u times served, %u times broken", type, served, broke);
    g_assert_cmpuint(served, >, rounds / 1000); /* else it has proved nothing */
    g_assert_cmpuint(broke, >, rounds / 1000);
    common(20, 0, 1);
    for (unsigned i = 0; i < 100 && r(BAR + 20, 1); i++)
        bp_test_step(host, 100000);
    g_assert_cmpuint(r(BAR + 20, 1), ==, 0);
    common(20, ACKNOWLEDGE | DRIVER, 1);
    common(8, 1, 4);
    common(12, 1, 4);
    common(20, ACKNOWLEDGE | DRIVER | FEATURES_OK, 1);
    g_assert_cmpuint(r(BAR + 20, 1), ==, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    bp_device_destroy(dev);
    bp_test_step(host, 1000);
    g_rand_free(rand);
    bp_test_host_free(host);
}

int main(int argc, char **argv)
{
    static const char *const types[] = {"virtio-rng-pci", "virtio-blk-pci", "virtio-scsi-pci", "virtio-serial-pci",
                                        "virtio-balloon-pci", "virtio-keyboard-pci", "virtio-tablet-pci",
                                        "virtio-sound-pci"};
    const char *given = g_getenv("BACKPLANE_SEED");

    g_test_init(&argc, &argv, NULL);
    seed = given ? (uint32_t)strtoul(given, NULL, 0) : g_random_int();
    g_test_message("BACKPLANE_SEED=%u", seed);
    g_test_add_func("/virtio/modern_slot-serves_a_ring", modern_slot_serves_a_ring);
    g_test_add_func("/virtio/legacy_slot-serves_a_ring", legacy_slot_serves_a_ring);
    g_test_add_func("/virtio/slot-takes_one_device", slot_takes_one_device);
    g_test_add_func("/virtio/endless_driver-lets_others_run", endless_driver_lets_others_run);
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        char *path = g_strdup_printf("/virtio/rings_by_chance/%s", types[i]);

        g_test_add_data_func(path, types[i], rings_by_chance);
        g_free(path);
    }
    return g_test_run();
}
