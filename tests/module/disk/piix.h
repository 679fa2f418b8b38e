/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk behind the PIIX IDE function: what the tests of ATA disks share. */
#ifndef TESTS_DISK_PIIX_H
#define TESTS_DISK_PIIX_H

#include "disk.h"

#include "registry.h"

#define DEVFN 0x09u
#define CMD 0x1f0u
#define CTL 0x3f6u
#define BM 0xc000u
#define TABLE 0x1000u
#define MEMORY 0x10000u
enum { FEATURE = 1, ERROR = 1, COUNT, LOW, MID, HIGH, DEVICE, COMMAND, STATUS = 7 };
#define BSY 0x80u
#define DF 0x20u
#define DRQ 0x08u
#define ERR 0x01u

static struct bp_test_host *host;
static struct bp_device *adapter, *disk;
static int levels[2];
static unsigned rises;

static inline void out(unsigned reg, unsigned value)
{
    bp_test_out(host, (uint16_t)(CMD + reg), value, 1);
}

static inline unsigned in(unsigned reg)
{
    return (unsigned)bp_test_in(host, (uint16_t)(CMD + reg), 1);
}

static inline unsigned alternate(void)
{
    return (unsigned)bp_test_in(host, CTL, 1);
}

static inline void line(void *opaque, unsigned n, int level)
{
    (void)opaque;
    rises += level && !levels[n];
    levels[n] = level;
}

/* Until the drive isn't busy: its alternate status. */
static inline unsigned wait_idle(void)
{
    for (unsigned i = 0; i < 2000 && alternate() & BSY; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(alternate() & BSY, ==, 0);
    return alternate();
}

static inline void start(void)
{
    fill_disks();
    bp_test_reset(host);
    bp_test_step(host, 0);
    bp_test_config_write(host, DEVFN, 0x40, 0x80008000, 4);
    bp_test_config_write(host, DEVFN, 0x20, BM, 4);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
    out(DEVICE, 0xe0);
    rises = 0;
}

static inline void address(uint64_t lba, unsigned count, bool ext)
{
    if (ext) {
        out(COUNT, count >> 8 & 0xff);
        out(LOW, lba >> 24 & 0xff);
        out(MID, lba >> 32 & 0xff);
        out(HIGH, lba >> 40 & 0xff);
    }
    out(COUNT, count & 0xff);
    out(LOW, lba & 0xff);
    out(MID, lba >> 8 & 0xff);
    out(HIGH, lba >> 16 & 0xff);
    out(DEVICE, 0xe0 | (ext ? 0 : lba >> 24 & 15));
}

static inline unsigned command(unsigned code)
{
    out(COMMAND, code);
    return wait_idle();
}

static inline void read_words(uint8_t *buf, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2) {
        unsigned w = (unsigned)bp_test_in(host, CMD, 2);

        buf[i] = (uint8_t)w;
        buf[i + 1] = (uint8_t)(w >> 8);
    }
}

static inline void write_words(const uint8_t *buf, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2)
        bp_test_out(host, CMD, buf[i] | (uint64_t)buf[i + 1] << 8, 2);
}

static inline unsigned word(const uint8_t *data, unsigned n)
{
    return data[2 * n] | (unsigned)data[2 * n + 1] << 8;
}

static inline void identify(uint8_t *data)
{
    g_assert_cmphex(command(0xec), ==, 0x58);
    read_words(data, 512);
    g_assert_cmphex(alternate(), ==, 0x50);
}

static inline void descriptor(unsigned n, uint32_t addr, uint32_t bytes, bool last)
{
    bp_test_write(host, TABLE + 8 * n, addr, 4);
    bp_test_write(host, TABLE + 8 * n + 4, (bytes & 0xffff) | (last ? 0x80000000u : 0), 4);
}

static inline unsigned dma(unsigned code, uint64_t lba, unsigned sectors, bool ext, bool to_memory)
{
    bp_test_out(host, BM, 0, 1);
    bp_test_out(host, BM + 4, TABLE, 4);
    bp_test_out(host, BM + 2, 0x66, 1);
    address(lba, sectors, ext);
    out(COMMAND, code);
    bp_test_out(host, BM, to_memory ? 9 : 1, 1);
    for (unsigned i = 0; i < 100 && !(bp_test_in(host, BM + 2, 1) & 4); i++)
        bp_test_step(host, 0);
    return (unsigned)bp_test_in(host, BM + 2, 1);
}

static inline void make_disk(void)
{
    struct bp_error err = {0};

    fill_disks();
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_require_interface("block", 1, (const void **)&fake_block, &err) < 0 ||
        bp_test_device(host, "piix3-ide", "addr=01.1", &adapter, &err) < 0 ||
        plug_drive(host, "ide-hd", "ide.0", "drive=d0,physical_block_size=4096,rotation_rate=7200,"
                   "wwn=0x5000c50012341234", &disk, &err) < 0)
        g_error("%s", err.message);
    for (unsigned i = 0; i < 2; i++)
        bp_irq_connect(bp_device_irq_output(adapter, "irq", i),
                       bp_irq_new(bp_device_owner(adapter), line, NULL, i));
}

#endif
