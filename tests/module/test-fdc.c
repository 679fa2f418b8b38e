/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The floppy disk controller (82078, 82077AA) with a diskette of 1.44 MB in memory, DMA by the 8237. */
#include "disk/disk.h"

#include "registry.h"

#define MEMORY 0x10000u
enum { SRA = 0x3f0, DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, INPUT = 0x3f7 };

static struct bp_test_host *host;
static struct bp_device *fdc, *drive;
static uint8_t result[16];

static void out(uint16_t port, unsigned value)
{
    bp_test_out(host, port, value, 1);
}

static unsigned in(uint16_t port)
{
    return (unsigned)bp_test_in(host, port, 1);
}

static void steps(unsigned n)
{
    while (n--)
        bp_test_step(host, 0);
}

static void send(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(in(MSR) & 0xc0, ==, 0x80);
        out(FIFO, bytes[i]);
    }
}
#define SEND(...) send((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Takes a result, which has so many bytes. */
static void take(unsigned n)
{
    for (unsigned i = 0; i < 3000 && (in(MSR) & 0xc0) != 0xc0; i++)
        steps(1);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(in(MSR), ==, 0xd0);
        result[i] = (uint8_t)in(FIFO);
    }
    g_assert_cmphex(in(MSR), ==, 0x80);
}

static void sense(unsigned st0, unsigned cylinder)
{
    SEND(0x08);
    take(2);
    g_assert_cmphex(result[0], ==, st0);
    g_assert_cmpuint(result[1], ==, cylinder);
}

static void dma_channel(unsigned mode, unsigned bytes)
{
    out(0x0a, 6);
    out(0x0c, 0);
    out(0x0b, mode | 2);
    out(4, 0);
    out(4, 0);
    out(5, (bytes - 1) & 0xff);
    out(5, (bytes - 1) >> 8);
    out(0x81, MEMORY >> 16);
    out(0x0a, 2);
}

static void start(void)
{
    fd->read_only = false;
    if (!fd->loaded) {
        fd->loaded = true;
        fd->ops->media_changed(fd->opaque, true);
    }
    fill_disks();
    bp_test_reset(host);
    steps(1);
    out(0xd6, 0xc0);
    out(0xd4, 0);
    out(DOR, 0);
    out(DOR, 0x1c);
    for (unsigned i = 0; i < 4; i++)
        sense(0xc0 | i, 0);
    SEND(0x03, 0xaf, 0x02); /* by DMA */
    out(INPUT, 0);            /* 500 kb/s */
    SEND(0x07, 0);
    sense(0x20, 0);
    bp_test_reset_rises(host);
}

static void seek(unsigned cylinder, unsigned head)
{
    SEND(0x0f, (uint8_t)(head << 2), (uint8_t)cylinder);
    sense(0x20 | head << 2, cylinder);
}

static unsigned lba(unsigned c, unsigned h, unsigned s)
{
    return (c * 2 + h) * 18 + s - 1;
}

static void same(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (bp_test_read(host, MEMORY + i, 1) != bytes[i])
            g_error("byte %u differs", i);
}

static void reset_is_told_for_each_drive(void)
{
    start();
    out(DOR, 0x18);
    g_assert_cmphex(in(MSR), ==, 0);
    out(DOR, 0x1c);
    g_assert_cmpint(bp_test_line(host, 6), ==, 1);
    for (unsigned i = 0; i < 4; i++)
        sense(0xc0 | i, 0);
    g_assert_cmpint(bp_test_line(host, 6), ==, 0);
    SEND(0x08); /* nothing is pending */
    take(1);
    g_assert_cmphex(result[0], ==, 0x80);
    out(MSR, 0x80); /* the other way */
    sense(0xc0, 0);
}

static void identity_and_registers(void)
{
    start();
    SEND(0x10);
    take(1);
    g_assert_cmphex(result[0], ==, 0x90);
    SEND(0x13, 0, 0x57, 0x11);
    SEND(0x94);
    take(1);
    g_assert_cmphex(result[0], ==, 0x10);
    SEND(0x0e);
    take(10);
    g_assert_cmphex(result[4], ==, 0xaf);
    g_assert_cmphex(result[7] & 0x80, ==, 0x80);
    g_assert_cmphex(result[8], ==, 0x57);
    out(DOR, 0x18);
    out(DOR, 0x1c);
    for (unsigned i = 0; i < 4; i++)
        sense(0xc0 | i, 0);
    SEND(0x0e);
    take(10);
    g_assert_cmphex(result[8], ==, 0x57); /* locked: a reset keeps it */
    SEND(0x14);
    take(1);
    SEND(0x04, 0);
    take(1);
    g_assert_cmphex(result[0], ==, 0x38);
    SEND(0xff);
    take(1);
    g_assert_cmphex(result[0], ==, 0x80);
    SEND(0x2e);
    take(15);
}

static void change_line_falls_with_a_step(void)
{
    start();
    fd->ops->media_changed(fd->opaque, true);
    g_assert_cmphex(in(INPUT) & 0x80, ==, 0x80);
    seek(1, 0);
    g_assert_cmphex(in(INPUT) & 0x80, ==, 0);
    fd->loaded = false;
    fd->ops->media_changed(fd->opaque, false);
    seek(2, 0);
    g_assert_cmphex(in(INPUT) & 0x80, ==, 0x80); /* there is none */
    SEND(0x46, 0, 2, 0, 1, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x01);
    SEND(0x07, 1); /* no such drive */
    sense(0x71, 0);
}

static void sectors_are_read_by_dma(void)
{
    start();
    seek(5, 1);
    dma_channel(0x44, 1536);
    SEND(0x46, 4, 5, 1, 3, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0], ==, 0x04);
    g_assert_cmphex(result[1] | result[2], ==, 0);
    g_assert_cmpuint(result[5], ==, 6);
    same(fd->data + lba(5, 1, 3) * 512, 1536);
    g_assert_cmpuint(bp_test_line_rises(host, 6), ==, 2); /* seek, transfer */
    /* Both heads: a whole cylinder. */
    seek(7, 0);
    dma_channel(0x44, 36 * 512);
    SEND(0xc6, 0, 7, 0, 1, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpuint(result[3], ==, 8); /* the next one is the first of the next cylinder */
    g_assert_cmpuint(result[4], ==, 0);
    g_assert_cmpuint(result[5], ==, 1);
    same(fd->data + lba(7, 0, 1) * 512, 36 * 512);
    /* Without a terminal count the end of the track ends it. */
    dma_channel(0x44, 0x4000);
    SEND(0x46, 0, 7, 0, 17, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x80);
}

static void sectors_are_written_by_dma(void)
{
    uint8_t bytes[1024];

    start();
    for (unsigned i = 0; i < 1024; i++) {
        bytes[i] = (uint8_t)(i * 5 + 1);
        bp_test_write(host, MEMORY + i, bytes[i], 1);
    }
    seek(40, 0);
    dma_channel(0x48, 1024);
    SEND(0x45, 0, 40, 0, 2, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpmem(bytes, 1024, fd->data + lba(40, 0, 2) * 512, 1024);
    dma_channel(0x48, 100); /* the rest of the sector is zeroes */
    SEND(0x45, 0, 40, 0, 2, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(fd->data[lba(40, 0, 2) * 512 + 99], ==, bytes[99]);
    g_assert_cmphex(fd->data[lba(40, 0, 2) * 512 + 100], ==, 0);
    fd->read_only = true;
    dma_channel(0x48, 512);
    SEND(0x45, 0, 40, 0, 2, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[1], ==, 0x02);
    SEND(0x04, 0);
    take(1);
    g_assert_cmphex(result[0] & 0x40, ==, 0x40);
}

static void pio_moves_byte_by_byte(void)
{
    start();
    SEND(0x03, 0xaf, 0x03);
    SEND(0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff);
    for (unsigned i = 0; i < 1024; i++) {
        for (unsigned n = 0; n < 100 && !(in(MSR) & 0x80); n++)
            steps(1);
        g_assert_cmphex(in(MSR), ==, 0xf0);
        g_assert_cmphex(in(FIFO), ==, fd->data[lba(0, 0, 17) * 512 + i]);
    }
    take(7);
    g_assert_cmphex(result[1], ==, 0x80);
    SEND(0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmphex(in(MSR), ==, 0xb0);
        out(FIFO, 0xa5);
    }
    take(7);
    g_assert_cmphex(fd->data[lba(0, 0, 18) * 512 + 511], ==, 0xa5);
}

static void tracks_are_formatted(void)
{
    start();
    for (unsigned i = 0; i < 18; i++)
        bp_test_write(host, MEMORY + 4 * i, 3 | (i + 1) << 16 | 2u << 24, 4);
    seek(3, 0);
    dma_channel(0x48, 72);
    SEND(0x4d, 0, 2, 18, 0x54, 0xf6);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    for (unsigned i = 0; i < 18 * 512; i++)
        g_assert_cmphex(fd->data[lba(3, 0, 1) * 512 + i], ==, 0xf6);
    g_assert_cmphex(fd->data[lba(3, 1, 1) * 512 + 1], !=, 0xf6);
    bp_test_write(host, MEMORY + 2, 19, 1); /* no place for it */
    dma_channel(0x48, 72);
    SEND(0x4d, 0, 2, 18, 0x54, 0xf6);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
}

static void what_is_not_there_is_not_found(void)
{
    start();
    SEND(0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff); /* the head is on cylinder 0 */
    take(7);
    g_assert_cmphex(result[1], ==, 0x04);
    g_assert_cmphex(result[2], ==, 0x10);
    SEND(0x13, 0, 0x40, 0); /* it goes there by itself */
    dma_channel(0x44, 512);
    SEND(0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    same(fd->data + lba(5, 0, 1) * 512, 512);
    for (unsigned sector = 0; sector < 256; sector += 19) {
        SEND(0x46, 0, 5, 0, (uint8_t)sector, 2, 255, 0x1b, 0xff);
        take(7);
        g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    }
    SEND(0x46, 0, 5, 1, 1, 2, 18, 0x1b, 0xff); /* the other head's */
    take(7);
    g_assert_cmphex(result[1], ==, 0x04);
    SEND(0x46, 0, 200, 0, 1, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    SEND(0x07, 0);
    sense(0x20, 0);
    out(INPUT, 2); /* 250 kb/s */
    SEND(0x4a, 0);
    take(7);
    g_assert_cmphex(result[1], ==, 0x01);
    out(INPUT, 0);
    SEND(0x4a, 0);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpuint(result[5], >=, 1);
    SEND(0x56, 0x80, 0, 0, 1, 2, 18, 0x1b, 3); /* VERIFY three sectors */
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpuint(result[5], ==, 4);
}

static void failed_sectors_are_told(void)
{
    start();
    fd->fail_at = 2;
    dma_channel(0x44, 2048);
    SEND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x20);
    g_assert_cmphex(result[2], ==, 0x20);
    g_assert_cmpuint(result[5], ==, 2);
    fd->fail_at = 1;
    dma_channel(0x48, 512);
    SEND(0x45, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
}

static void reset_lets_a_request_go(void)
{
    start();
    fd->hold = true;
    dma_channel(0x44, 512);
    SEND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    steps(2);
    g_assert_cmphex(in(MSR), ==, 0x10);
    out(DOR, 0x18);
    out(DOR, 0x1c);
    for (unsigned i = 0; i < 4; i++)
        sense(0xc0 | i, 0);
    fd->hold = false;
    dma_channel(0x44, 512);
    SEND(0x46, 0, 0, 0, 2, 2, 18, 0x1b, 0xff);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    same(fd->data + 512, 512);
}

static void requests_in_flight_are_saved(void)
{
    void *data, *again;
    size_t size, again_size;
    struct bp_error err = {0};

    start();
    fd->hold = true;
    dma_channel(0x44, 512);
    SEND(0x46, 0, 0, 0, 4, 2, 18, 0x1b, 0xff);
    steps(2);
    g_assert_cmpint(bp_test_save(fdc, &data, &size, &err), ==, 0);
    out(DOR, 0x18);
    out(DOR, 0x1c);
    g_assert_cmpint(bp_test_restore(fdc, data, size, &err), ==, 0);
    g_assert_cmpint(bp_test_save(fdc, &again, &again_size, &err), ==, 0);
    g_assert_cmpmem(data, size, again, again_size);
    free(data);
    free(again);
    fd->hold = false;
    release(fd);
    take(7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    same(fd->data + 3 * 512, 512);
}

/* A command whose parameters never end (DRIVE SPECIFICATION, READ ID), results that nobody reads. */
static void endless_parameters_stay_inside(void)
{
    static const uint8_t codes[] = {0x8e, 0x4a, 0x0a, 0x4e, 0x00, 0xcd, 0x11, 0xff};

    for (unsigned n = 0; n < sizeof(codes); n++) {
        start();
        out(FIFO, codes[n]);
        for (unsigned i = 0; i < 5000; i++)
            out(FIFO, 0x41);
        out(DOR, 0x18);
        out(DOR, 0x1c);
        for (unsigned i = 0; i < 4; i++)
            sense(0xc0 | i, 0);
    }
}

static void random_accesses_do_no_harm(void)
{
    static const uint8_t codes[] = {0x46, 0xc6, 0x45, 0xc5, 0x4d, 0x4a, 0x07, 0x0f, 0x56, 0x42, 0x4c, 0x8f};
    GRand *rand = g_rand_new_with_seed(2);

    start();
    for (unsigned i = 0; i < 100000; i++) {
        switch (g_rand_int_range(rand, 0, 10)) {
        case 0: out((uint16_t)(SRA + g_rand_int_range(rand, 0, 8)), g_rand_int(rand) & 0xff); break;
        case 1: (void)in((uint16_t)(SRA + g_rand_int_range(rand, 0, 8))); break;
        case 2: dma_channel(g_rand_boolean(rand) ? 0x44 : 0x48, 1 + (g_rand_int(rand) & 0x3fff)); break;
        case 3: out(DOR, 0x1c | (g_rand_int_range(rand, 0, 20) ? 0 : g_rand_int(rand) & 0xff)); break;
        case 4: case 5: {
            uint8_t c = codes[g_rand_int_range(rand, 0, sizeof(codes))];

            while ((in(MSR) & 0xc0) == 0xc0)
                (void)in(FIFO);
            out(INPUT, 0);
            out(FIFO, c);
            out(FIFO, g_rand_int(rand) & 7);
            for (unsigned n = 0; n < 7; n++)
                out(FIFO, g_rand_int_range(rand, 0, 3));
            break;
        }
        case 6: fd->fail_at = (unsigned)g_rand_int_range(rand, 0, 4); break;
        case 7:
            if (g_rand_int_range(rand, 0, 20) == 0) {
                fd->loaded = !fd->loaded;
                fd->ops->media_changed(fd->opaque, fd->loaded);
            }
            break;
        case 8: out(FIFO, g_rand_int(rand) & 0xff); break;
        default: steps(1);
        }
    }
    g_rand_free(rand);
    fd->fail_at = 0;
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    struct bp_device *dev;
    int rc;

    g_test_init(&argc, &argv, NULL);
    fill_disks();
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_require_interface("block", 1, (const void **)&fake_block, &err) < 0 ||
        bp_test_device(host, "i8257", NULL, &dev, &err) < 0 ||
        bp_test_device(host, "i8257", "base=0xc0,page-base=0x88,dshift=1", &dev, &err) < 0 ||
        bp_test_device(host, "isa-fdc", NULL, &fdc, &err) < 0 ||
        plug_drive(host, "floppy", "floppy-bus.0", "drive=fd,unit=0", &drive, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/fdc/" #name, name)
    CASE(reset_is_told_for_each_drive);
    CASE(identity_and_registers);
    CASE(change_line_falls_with_a_step);
    CASE(sectors_are_read_by_dma);
    CASE(sectors_are_written_by_dma);
    CASE(pio_moves_byte_by_byte);
    CASE(tracks_are_formatted);
    CASE(what_is_not_there_is_not_found);
    CASE(failed_sectors_are_told);
    CASE(reset_lets_a_request_go);
    CASE(requests_in_flight_are_saved);
    CASE(endless_parameters_stay_inside);
    CASE(random_accesses_do_no_harm);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
