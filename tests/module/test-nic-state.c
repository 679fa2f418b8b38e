/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network cards whose state is saved while half of a packet has been given to them: where it is loaded the other half
 * follows, and one whole packet is sent. Of what was under way there before, nothing is left. */
#include <glib.h>
#include <stdlib.h>

#include <bp/test.h>

#define BAR 0xe0000000u
#define RING 0x10000u
#define DATA 0x20000u
#define SHARED 0x30000u
#define QUEUES 0x31000u
#define DEVFN 0x28u /* addr=5 */

static struct bp_test_host *host;
static struct bp_device *card;
static struct bp_error err;

static void put(uint64_t at, uint32_t v)
{
    bp_test_write(host, at, v, 4);
}

static uint32_t get(uint64_t at)
{
    return (uint32_t)bp_test_read(host, at, 4);
}

static void place(void)
{
    for (unsigned n = 0; n < 2; n++)
        bp_test_config_write(host, DEVFN, 0x10 + 4 * n, BAR + n * 0x100000, 4);
    bp_test_config_write(host, DEVFN, 4, 7, 2);
}

/* ---- Intel's: legacy descriptors; a driver's way to give one, and the bytes that were sent ---- */

static unsigned tail;

static void intel_set_up(void)
{
    tail = 0;
    put(BAR + 0x3800, RING);
    put(BAR + 0x3808, 128);
    put(BAR + 0x3828, 0x02000000);
    put(BAR + 0x400, 2);
}

static void intel_give(uint32_t length, bool last)
{
    put(RING + 16 * tail, DATA);
    put(RING + 16 * tail + 4, 0);
    put(RING + 16 * tail + 8, length | (last ? 0x09000000u : 0x08000000u));
    put(RING + 16 * tail + 12, 0);
    put(BAR + 0x3818, ++tail);
}

static uint64_t intel_sent(void)
{
    uint32_t bytes = get(BAR + 0x4090);

    return bytes - 4 * get(BAR + 0x4080); /* each with its FCS */
}

/* ---- vmxnet3 ---- */

static void vmxnet3_set_up(void)
{
    tail = 0;
    for (unsigned i = 0; i < 0x400; i += 4) {
        put(SHARED + i, 0);
        put(QUEUES + i, 0);
        put(RING + i, 0);
    }
    put(SHARED, 3133079265u);
    put(SHARED + 40, QUEUES);
    put(SHARED + 56, 1500);
    put(SHARED + 60, 0x01010000); /* a queue each way */
    put(QUEUES + 16, RING);
    put(QUEUES + 32, RING + 0x200);
    put(QUEUES + 56, 8);
    put(QUEUES + 64, 8);
    put(QUEUES + 256 + 16, RING + 0x300);
    put(QUEUES + 256 + 32, RING + 0x380);
    put(QUEUES + 256 + 56, 8);
    put(QUEUES + 256 + 64, 8);
    put(BAR + 0x100010, SHARED);
    put(BAR + 0x100018, 0);
    put(BAR + 0x100020, 0xcafe0000);
    g_assert_cmphex(get(BAR + 0x100020), ==, 0);
}

static void vmxnet3_give(uint32_t length, bool last)
{
    put(RING + 16 * tail, DATA);
    put(RING + 16 * tail + 4, 0);
    put(RING + 16 * tail + 12, last ? 0x3000 : 0);
    put(RING + 16 * tail + 8, length | 0x4000);
    put(BAR + 0x600, ++tail);
}

static uint64_t vmxnet3_sent(void)
{
    put(BAR + 0x100020, 0xf00d0001);
    return get(QUEUES + 88 + 24); /* bytes to one address */
}

static const struct driver {
    const char *type;
    void (*set_up)(void);
    void (*give)(uint32_t length, bool last);
    uint64_t (*sent)(void);
} drivers[] = {{"e1000", intel_set_up, intel_give, intel_sent},
               {"e1000e", intel_set_up, intel_give, intel_sent},
               {"igb", intel_set_up, intel_give, intel_sent},
               {"vmxnet3", vmxnet3_set_up, vmxnet3_give, vmxnet3_sent}};

static void half_a_packet_is_kept(gconstpointer opaque)
{
    const struct driver *d = opaque;
    void *saved;
    size_t size;

    g_assert_cmpint(bp_test_device(host, d->type, "addr=5", &card, &err), ==, 0);
    bp_test_reset(host);
    place();
    d->set_up();
    d->give(100, false);
    g_assert_cmpuint(d->sent(), ==, 0);
    g_assert_cmpint(bp_test_save(card, &saved, &size, &err), ==, 0);
    d->give(50, false); /* which is forgotten */
    tail--;
    g_assert_cmpint(bp_test_restore(card, saved, size, &err), ==, 0);
    d->give(200, true);
    g_assert_cmpuint(d->sent(), ==, 300);
    free(saved);
    bp_device_destroy(card);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        gchar *path = g_strdup_printf("/nic/%s_keeps_half_a_packet", drivers[i].type);

        g_test_add_data_func(path, &drivers[i], half_a_packet_is_kept);
        g_free(path);
    }
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}
