/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The DMA controllers against the data sheets (Intel 231466; 290550, chapter 2.5.1), on the fake host. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/chip/i8237.h>
#include <bp/test.h>

#include "registry.h"

#define MEMORY 0x23000u

static struct bp_test_host *host;
static struct bp_device *first, *second, *user;
static const struct bp_i8237_interface *dma;
static uint8_t data[0x10000];
static size_t left, moved;
static bool to_memory, ended, keep_request;
static unsigned channel, calls;

static void out(uint16_t port, unsigned value)
{
    bp_test_out(host, port, value, 1);
}

static unsigned in(uint16_t port)
{
    return (unsigned)bp_test_in(host, port, 1);
}

static void ready(void *opaque)
{
    (void)opaque;
    calls++;
    size_t n = dma->move(user, channel, to_memory, data + moved, left, &ended);

    moved += n;
    left -= n;
    if (!keep_request && (left == 0 || ended))
        dma->request(user, channel, false);
}

static void begin(unsigned n, size_t len, bool write)
{
    dma->release(user, channel);
    channel = n;
    left = len;
    moved = 0;
    calls = 0;
    to_memory = write;
    ended = keep_request = false;
    g_assert_cmpint(dma->claim(user, n, ready, NULL, NULL), ==, 0);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + 3);
}

/* As a driver does it: mask, flip-flop, mode, address, count, page. */
static void program(unsigned n, unsigned mode, uint32_t addr, uint32_t units)
{
    static const uint8_t page[8] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};
    uint16_t base = n < 4 ? 0 : 0xc0;
    unsigned shift = n < 4 ? 0 : 1, word = addr >> shift;

    out((uint16_t)(base + (0x0a << shift)), 4 | (n & 3));
    out((uint16_t)(base + (0x0c << shift)), 0);
    out((uint16_t)(base + (0x0b << shift)), mode | (n & 3));
    for (unsigned half = 0; half < 2; half++)
        out((uint16_t)(base + ((2 * (n & 3)) << shift)), word >> 8 * half & 0xff);
    for (unsigned half = 0; half < 2; half++)
        out((uint16_t)(base + ((2 * (n & 3) + 1) << shift)), (units - 1) >> 8 * half & 0xff);
    out(page[n], addr >> 16);
}

static void unmask(unsigned n)
{
    out(n < 4 ? 0x0a : 0xd4, n & 3);
}

static void start(void)
{
    bp_test_reset(host);
    out(0xd6, 0xc0);
    out(0xd4, 0);
}

static void bytes_reach_memory_up_to_the_terminal_count(void)
{
    start();
    begin(2, 512, true);
    program(2, 0x44, MEMORY, 512);
    bp_test_write(host, MEMORY + 512, 0xee, 1);
    dma->request(user, 2, true);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 0); /* masked */
    g_assert_cmphex(in(8), ==, 0x40);
    unmask(2);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 512);
    g_assert_true(ended);
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmphex(bp_test_read(host, MEMORY + i, 1), ==, data[i]);
    g_assert_cmphex(bp_test_read(host, MEMORY + 512, 1), ==, 0xee);
    g_assert_cmphex(in(8), ==, 0x04);
    g_assert_cmphex(in(8), ==, 0); /* read once */
    g_assert_cmphex(in(0x0f), ==, 0xff); /* and the channel masks itself */
}

static void memory_is_read_in_words(void)
{
    start();
    begin(5, 64, false);
    program(5, 0x48, 0x3fff0, 8);
    for (unsigned i = 0; i < 16; i++)
        bp_test_write(host, 0x3fff0 + i, 0xa0 + i, 1);
    unmask(5);
    dma->request(user, 5, true);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 16);
    g_assert_true(ended);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(data[i], ==, 0xa0 + i);
}

static void address_wraps_in_its_page(void)
{
    start();
    begin(1, 32, true);
    program(1, 0x44, 0x2fff8, 16);
    unmask(1);
    bp_test_write(host, 0x30000, 0x77, 1);
    dma->request(user, 1, true);
    bp_test_step(host, 0);
    g_assert_cmphex(bp_test_read(host, 0x2ffff, 1), ==, data[7]);
    g_assert_cmphex(bp_test_read(host, 0x20000, 1), ==, data[8]);
    g_assert_cmphex(bp_test_read(host, 0x30000, 1), ==, 0x77);
}

static void address_counts_down(void)
{
    start();
    begin(3, 4, true);
    program(3, 0x64, MEMORY, 4);
    unmask(3);
    dma->request(user, 3, true);
    bp_test_step(host, 0);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(bp_test_read(host, MEMORY - i, 1), ==, data[i]);
}

static void autoinit_begins_again(void)
{
    start();
    begin(2, 24, true);
    program(2, 0x54, MEMORY, 16);
    unmask(2);
    keep_request = true;
    dma->request(user, 2, true);
    for (unsigned i = 0; i < 4; i++)
        bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 24);
    g_assert_cmphex(bp_test_read(host, MEMORY, 1), ==, data[16]);
    g_assert_cmphex(bp_test_read(host, MEMORY + 8, 1), ==, data[8]);
    out(0x0c, 0);
    g_assert_cmphex(in(4), ==, 0x08); /* current address: 0x3008 */
    g_assert_cmphex(in(4), ==, 0x30);
    g_assert_cmphex(in(5), ==, 7);
    g_assert_cmphex(in(5), ==, 0);
}

static void verify_and_wrong_directions_leave_memory_alone(void)
{
    start();
    begin(2, 4, true);
    program(2, 0x40, MEMORY, 4); /* verify */
    bp_test_write(host, MEMORY, 0x11223344, 4);
    unmask(2);
    dma->request(user, 2, true);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 4);
    g_assert_cmphex(bp_test_read(host, MEMORY, 4), ==, 0x11223344);
    begin(2, 4, false);
    program(2, 0x44, MEMORY, 4);
    unmask(2);
    dma->request(user, 2, true);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 4);
    g_assert_cmphex(data[0], ==, 0xff);
    g_assert_cmphex(bp_test_read(host, MEMORY, 4), ==, 0x11223344);
}

static void nothing_moves_without_cascade_or_controller(void)
{
    bp_test_reset(host);
    begin(2, 4, true);
    program(2, 0x44, MEMORY, 4);
    unmask(2);
    dma->request(user, 2, true);
    bp_test_step(host, 0);
    g_assert_cmpuint(calls, ==, 0);
    out(0xd6, 0xc0);
    out(8, 4);
    out(0xd4, 0);
    bp_test_step(host, 0);
    g_assert_cmpuint(calls, ==, 0);
    out(8, 0);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 4);
}

static void channels_are_claimed_once(void)
{
    struct bp_error err = {0};

    begin(2, 0, true);
    g_assert_cmpint(dma->claim(first, 2, ready, NULL, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, bp_device_class(user)->type.name));
    g_assert_cmpint(dma->claim(user, 4, ready, NULL, &err), ==, -EINVAL);
    g_assert_cmpint(dma->claim(user, 8, ready, NULL, &err), ==, -EINVAL);
}

/* A guest points a channel at a device's own memory window; the device asks for DMA from there. */
static struct bp_region *window;
static size_t inner;

static void window_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    bool tc;

    (void)opaque, (void)addr, (void)value, (void)size;
    inner += dma->move(user, channel, true, data, 4, &tc);
}

static void transfer_into_itself_is_refused(void)
{
    static const struct bp_region_ops ops = {.size = sizeof(ops), .write = window_write};

    start();
    window = bp_region_new_io(bp_device_owner(user), "window", 0x1000, &ops, NULL);
    bp_region_add(bp_space_root(bp_device_memory(user)), window, 0x500000, 0);
    begin(2, 16, true);
    program(2, 0x44, 0x500000, 16);
    unmask(2);
    dma->request(user, 2, true);
    bp_test_step(host, 0);
    g_assert_cmpuint(moved, ==, 16);
    g_assert_cmpuint(inner, ==, 0);
    bp_region_free(window);
}

static void master_clear_masks_everything(void)
{
    start();
    out(0x0e, 0);
    g_assert_cmphex(in(0x0f), ==, 0xf0);
    out(0x0c, 0);
    out(0, 0x12); /* low half */
    out(0x0d, 0);
    g_assert_cmphex(in(0x0f), ==, 0xff);
    out(0, 0x56); /* low half again */
    out(0, 0x34);
    out(0x0c, 0);
    g_assert_cmphex(in(0), ==, 0x56);
    g_assert_cmphex(in(0), ==, 0x34);
    for (unsigned p = 0x80; p < 0x90; p++) /* those without a channel are storage */
        out((uint16_t)p, p ^ 0x5a);
    for (unsigned p = 0x80; p < 0x90; p++)
        g_assert_cmphex(in((uint16_t)p), ==, p ^ 0x5a);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "i8257", NULL, &first, &err) < 0 ||
        bp_test_device(host, "i8257", "base=0xc0,page-base=0x88,dshift=1", &second, &err) < 0 ||
        bp_test_device(host, "isa-debug-exit", "iobase=0x700", &user, &err) < 0 ||
        bpc_require_interface("i8237", 1, (const void **)&dma, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/i8237/" #name, name)
    CASE(bytes_reach_memory_up_to_the_terminal_count);
    CASE(memory_is_read_in_words);
    CASE(address_wraps_in_its_page);
    CASE(address_counts_down);
    CASE(autoinit_begins_again);
    CASE(verify_and_wrong_directions_leave_memory_alone);
    CASE(nothing_moves_without_cascade_or_controller);
    CASE(channels_are_claimed_once);
    CASE(transfer_into_itself_is_refused);
    CASE(master_clear_masks_everything);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
