/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AHCI (Serial ATA AHCI 1.3.1) with drives in memory: ports, lists, queuing, errors, hot-plug, hostile guests. */
#include "disk/disk.h"

#include "registry.h"

#define DEVFN 0x10u
#define ABAR 0x40000000u
#define LIST 0x10000u   /* + 0x1000 for each port */
#define AREA 0x18000u
#define TABLES 0x20000u /* 0x400 for each slot */
#define MEMORY 0x40000u

enum { CAP = 0, GHC = 4, IS = 8, PI = 12, VS = 16 };
enum { CLB = 0, FB = 8, PIS = 0x10, IE = 0x14, CMD = 0x18, TFD = 0x20, SIG = 0x24, SSTS = 0x28, SCTL = 0x2c,
       SERR = 0x30, SACT = 0x34, CI = 0x38 };

static struct bp_test_host *host;
static struct bp_device *hba, *disk, *cdrom;

static uint32_t in(unsigned reg)
{
    return (uint32_t)bp_test_read(host, ABAR + reg, 4);
}

static void out(unsigned reg, uint32_t value)
{
    bp_test_write(host, ABAR + reg, value, 4);
}

static uint32_t pin(unsigned port, unsigned reg)
{
    return in(0x100 + 0x80 * port + reg);
}

static void pout(unsigned port, unsigned reg, uint32_t value)
{
    out(0x100 + 0x80 * port + reg, value);
}

static void steps(unsigned n)
{
    while (n--)
        bp_test_step(host, 0);
}

static void poke(uint64_t addr, const void *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        bp_test_write(host, addr + i, ((const uint8_t *)bytes)[i], 1);
}

static uint32_t peek(uint64_t addr)
{
    return (uint32_t)bp_test_read(host, addr, 4);
}

static void start_port(unsigned port)
{
    pout(port, CLB, LIST + 0x1000 * port);
    pout(port, FB, AREA + 0x100 * port);
    pout(port, CMD, 0x16);
    pout(port, SERR, UINT32_MAX);
    pout(port, PIS, UINT32_MAX);
    pout(port, IE, 0xffffffff);
    pout(port, CMD, 0x17);
}

static void start(void)
{
    fill_disks();
    bp_test_reset(host);
    steps(2);
    bp_test_config_write(host, DEVFN, 0x24, ABAR, 4);
    bp_test_config_write(host, DEVFN, 0x20, 0xd000, 4);
    bp_test_config_write(host, DEVFN, 4, 7, 2);
    out(GHC, 0x80000002);
    start_port(0);
    start_port(1);
    out(IS, UINT32_MAX);
    bp_test_reset_rises(host);
}

struct command {
    unsigned port, slot, code;
    uint64_t lba;
    unsigned count, feature;
    bool write, packet;
    uint32_t entries;
    const uint8_t *cdb;
};

/* Lays out header, frame and one descriptor of `bytes` at MEMORY + slot * 0x8000. */
static void lay(const struct command *c, uint32_t bytes)
{
    uint64_t table = TABLES + 0x400 * c->slot, header = LIST + 0x1000 * c->port + 32 * c->slot;
    const uint8_t fis[20] = {0x27, 0x80, (uint8_t)c->code, (uint8_t)c->feature, (uint8_t)c->lba,
                             (uint8_t)(c->lba >> 8), (uint8_t)(c->lba >> 16), 0x40, (uint8_t)(c->lba >> 24),
                             (uint8_t)(c->lba >> 32), (uint8_t)(c->lba >> 40), (uint8_t)(c->feature >> 8),
                             (uint8_t)c->count, (uint8_t)(c->count >> 8)};

    poke(table, fis, 20);
    if (c->cdb)
        poke(table + 0x40, c->cdb, 12);
    bp_test_write(host, header, 5 | (c->write ? 0x40 : 0) | (c->packet ? 0x20 : 0) |
                  (c->entries ? c->entries : bytes ? 1 : 0) << 16, 4);
    bp_test_write(host, header + 4, 0, 4);
    bp_test_write(host, header + 8, table, 4);
    bp_test_write(host, header + 12, 0, 4);
    if (c->entries)
        return;
    bp_test_write(host, table + 0x80, MEMORY + 0x8000 * c->slot, 4);
    bp_test_write(host, table + 0x84, 0, 4);
    bp_test_write(host, table + 0x8c, (bytes - 1) & 0x3fffff, 4);
}

/* Issues and waits; true: it has ended without an error. */
static bool run(const struct command *c, uint32_t bytes)
{
    lay(c, bytes);
    pout(c->port, CI, 1u << c->slot);
    for (unsigned i = 0; i < 200 && pin(c->port, CI) >> c->slot & 1 && !(pin(c->port, PIS) & 0x70000000); i++)
        steps(1);
    return !(pin(c->port, CI) >> c->slot & 1);
}

static void same(uint64_t addr, const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (bp_test_read(host, addr + i, 1) != bytes[i])
            g_error("byte %u is %02x, not %02x", i, (unsigned)bp_test_read(host, addr + i, 1), bytes[i]);
}

static void registers_tell_what_there_is(void)
{
    start();
    g_assert_cmphex(in(VS), ==, 0x00010300);
    g_assert_cmphex(in(PI), ==, 0x3f);
    g_assert_cmphex(in(CAP) & 31, ==, 5);
    g_assert_cmphex(in(CAP) >> 8 & 31, ==, 31);
    g_assert_cmphex(in(CAP) >> 30, ==, 3); /* 64 bits, queuing */
    g_assert_cmphex(pin(0, SSTS), ==, 0x123);
    g_assert_cmphex(pin(0, SIG), ==, 0x00000101);
    g_assert_cmphex(pin(1, SIG), ==, 0xeb140101);
    g_assert_cmphex(pin(0, TFD) & 0xff, ==, 0x50);
    g_assert_cmphex(pin(2, SSTS), ==, 0);
    g_assert_cmphex(pin(2, SIG), ==, UINT32_MAX);
    g_assert_cmphex(pin(2, TFD), ==, 0x7f);
    g_assert_cmphex(bp_test_config_read(host, DEVFN, 8, 4), ==, 0x01060102);
    /* the index and data pair */
    bp_test_out(host, 0xd010, 0x100 + SIG, 4);
    g_assert_cmphex(bp_test_in(host, 0xd014, 4), ==, 0x00000101);
}

static void identify_is_pio(void)
{
    const struct command c = {.code = 0xec};

    start();
    g_assert_true(run(&c, 512));
    g_assert_cmphex(peek(MEMORY) & 0xffff, ==, 0x0040);
    g_assert_cmphex(peek(MEMORY + 2 * 76) & 0xffff, ==, 0x0106); /* queuing */
    g_assert_cmphex(pin(0, PIS) & 0x22, ==, 2);
    g_assert_cmphex(pin(0, TFD), ==, 0x50);
    g_assert_cmpuint(peek(LIST + 4), ==, 512);
    g_assert_cmphex(peek(AREA + 0x20) & 0xff, ==, 0x5f);
    g_assert_cmpint(bp_test_line(host, 16), ==, 1);
    g_assert_cmphex(in(IS), ==, 1);
    pout(0, PIS, UINT32_MAX);
    out(IS, 1);
    g_assert_cmpint(bp_test_line(host, 16), ==, 0);
}

static void dma_and_pio_read_and_write(void)
{
    uint8_t bytes[4096];

    start();
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 77, .count = 8}, 4096));
    same(MEMORY, d0->data + 77 * 512, 4096);
    g_assert_cmphex(peek(AREA + 0x40) & 0xff, ==, 0x34);
    g_assert_cmphex(pin(0, PIS), ==, 1);
    g_assert_true(run(&(struct command){.code = 0x24, .lba = 90, .count = 8, .slot = 3}, 4096));
    same(MEMORY + 3 * 0x8000, d0->data + 90 * 512, 4096);
    for (unsigned i = 0; i < 4096; i++)
        bytes[i] = (uint8_t)(i * 13 + 1);
    poke(MEMORY + 0x8000, bytes, 4096);
    g_assert_true(run(&(struct command){.code = 0x35, .lba = 500, .count = 8, .slot = 1, .write = true}, 4096));
    g_assert_cmpmem(d0->data + 500 * 512, 4096, bytes, 4096);
    g_assert_true(run(&(struct command){.code = 0x34, .lba = 600, .count = 8, .slot = 1, .write = true}, 4096));
    g_assert_cmpmem(d0->data + 600 * 512, 4096, bytes, 4096);
    g_assert_true(run(&(struct command){.code = 0xea}, 0));
    g_assert_cmpuint(d0->requests[BP_BLOCK_FLUSH], ==, 1);
}

static void queued_commands_end_in_any_order(void)
{
    start();
    d0->hold = true;
    for (unsigned slot = 0; slot < 8; slot++)
        lay(&(struct command){.code = slot & 1 ? 0x61 : 0x60, .slot = slot, .lba = 1000 + 100 * slot,
                              .feature = 16, .count = slot << 3, .write = slot & 1}, 8192);
    for (unsigned i = 0; i < 8192; i += 4)
        bp_test_write(host, MEMORY + 0x8000 + i, i * 77, 4);
    pout(0, SACT, 0xff);
    pout(0, CI, 0xff);
    steps(4);
    g_assert_cmphex(pin(0, CI), ==, 0); /* all accepted */
    g_assert_cmphex(pin(0, SACT), ==, 0xff);
    d0->hold = false;
    release(d0);
    steps(4);
    g_assert_cmphex(pin(0, SACT), ==, 0);
    g_assert_cmphex(pin(0, PIS) & 8, ==, 8);
    for (unsigned slot = 0; slot < 8; slot += 2)
        same(MEMORY + 0x8000 * slot, d0->data + (1000 + 100 * slot) * 512, 8192);
    same(MEMORY + 0x8000, d0->data + 1100 * 512, 8192);
    /* More than the drive's buffer at once. */
    lay(&(struct command){.code = 0x60, .slot = 2, .lba = 5, .feature = 1024, .count = 2 << 3}, 1024 * 512);
    bp_test_write(host, TABLES + 0x800 + 0x80, MEMORY, 4);
    pout(0, SACT, 4);
    pout(0, CI, 4);
    steps(20);
    g_assert_cmphex(pin(0, SACT), ==, 0);
    same(MEMORY, d0->data + 5 * 512, 1024 * 512);
}

static void recover(unsigned port)
{
    pout(port, CMD, 0x16);
    g_assert_cmphex(pin(port, CMD) & 0x8000, ==, 0);
    g_assert_cmphex(pin(port, CI) | pin(port, SACT), ==, 0);
    pout(port, SERR, UINT32_MAX);
    pout(port, PIS, UINT32_MAX);
    pout(port, SCTL, 1);
    pout(port, SCTL, 0);
    steps(4);
    g_assert_cmphex(pin(port, TFD) & 0x89, ==, 0);
    pout(port, SERR, UINT32_MAX);
    pout(port, PIS, UINT32_MAX);
    pout(port, CMD, 0x17);
}

static void error_stops_the_port_until_it_is_started_again(void)
{
    start();
    d0->fail_at = 1;
    g_assert_false(run(&(struct command){.code = 0x25, .lba = 1, .count = 1, .slot = 5}, 512));
    g_assert_cmphex(pin(0, PIS) & 0x40000000, ==, 0x40000000);
    g_assert_cmphex(pin(0, TFD), ==, 0x4051);
    g_assert_cmphex(pin(0, CMD) >> 8 & 31, ==, 5);
    pout(0, CI, 1);
    steps(4);
    g_assert_cmphex(pin(0, CI), ==, 0x21); /* nothing moves */
    recover(0);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 1, .count = 1}, 512));
}

static void failed_writes_and_flushes_are_faults(void)
{
    static const uint8_t codes[] = {0x35, 0xea};

    start();
    for (unsigned i = 0; i < 2; i++) {
        d0->fail_at = 1;
        g_assert_false(run(&(struct command){.code = codes[i], .lba = 5, .count = 1, .write = i == 0},
                           i == 0 ? 512 : 0));
        g_assert_cmphex(pin(0, TFD) & 0x21, ==, 0x21); /* DF and ERR */
        g_assert_cmphex(pin(0, PIS) & 0x40000000, ==, 0x40000000);
        recover(0);
    }
}

static void failed_queue_is_told_by_its_log(void)
{
    start();
    d0->fail_at = 2;
    d0->hold = true;
    for (unsigned slot = 0; slot < 3; slot++)
        lay(&(struct command){.code = 0x60, .slot = slot, .lba = 100 * slot, .feature = 1, .count = slot << 3}, 512);
    pout(0, SACT, 7);
    pout(0, CI, 7);
    steps(3);
    d0->hold = false;
    release(d0);
    steps(3);
    g_assert_cmphex(pin(0, PIS) & 0x40000008, ==, 0x40000008);
    g_assert_cmphex(pin(0, SACT), ==, 6); /* the first one has ended */
    pout(0, CMD, 0x16);
    pout(0, PIS, UINT32_MAX);
    pout(0, CMD, 0x17);
    g_assert_true(run(&(struct command){.code = 0x2f, .lba = 0x10, .count = 1}, 512));
    g_assert_cmphex(peek(MEMORY), ==, 0x40510001);
    g_assert_cmphex(peek(MEMORY + 4) & 0xff, ==, 100);
    lay(&(struct command){.code = 0x60, .slot = 4, .lba = 9, .feature = 1, .count = 4 << 3}, 512);
    pout(0, SACT, 16);
    pout(0, CI, 16);
    steps(4);
    g_assert_cmphex(pin(0, SACT), ==, 0);
}

static void packets_read_the_cd(void)
{
    const uint8_t ready[12] = {0}, sense[12] = {3, 0, 0, 0, 18}, read[12] = {0x28, 0, 0, 0, 0, 16, 0, 0, 2};

    start();
    g_assert_false(run(&(struct command){.port = 1, .code = 0xa0, .packet = true, .cdb = ready}, 0));
    g_assert_cmphex(pin(1, TFD) >> 12, ==, 6);
    pout(1, CMD, 0x1000016);
    pout(1, PIS, UINT32_MAX);
    pout(1, CMD, 0x1000017);
    g_assert_true(run(&(struct command){.port = 1, .code = 0xa0, .packet = true, .cdb = sense,
                                        .lba = 18 << 8}, 18));
    g_assert_cmphex(peek(MEMORY + 12) & 0xff, ==, 0x29);
    g_assert_true(run(&(struct command){.port = 1, .code = 0xa0, .packet = true, .cdb = read, .feature = 1}, 4096));
    same(MEMORY, cd->data + 16 * 2048, 4096);
    g_assert_cmpuint(peek(LIST + 0x1000 + 4), ==, 4096);
    g_assert_true(run(&(struct command){.port = 1, .code = 0xa0, .packet = true, .cdb = read,
                                        .lba = 2048 << 8}, 4096));
    g_assert_true(run(&(struct command){.port = 1, .code = 0xa1}, 512));
    g_assert_cmphex(peek(MEMORY) & 0xffff, ==, 0x85c0);
}

static void soft_reset_sends_the_signature(void)
{
    const uint8_t on[20] = {0x27, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4}, off[20] = {0x27};

    start();
    lay(&(struct command){.code = 0}, 0);
    poke(TABLES, on, 20);
    pout(0, CI, 1);
    steps(2);
    g_assert_cmphex(pin(0, TFD) & 0x80, ==, 0x80);
    lay(&(struct command){.code = 0, .slot = 1}, 0);
    poke(TABLES + 0x400, off, 20);
    bp_test_write(host, LIST + 32, 0x105, 4); /* R */
    pout(0, CI, 2);
    steps(2);
    g_assert_cmphex(pin(0, CI), ==, 0);
    g_assert_cmphex(pin(0, TFD), ==, 0x150);
    g_assert_cmphex(pin(0, SIG), ==, 0x101);
}

static void drives_come_and_go(void)
{
    struct bp_device *dev;
    struct bp_error err = {0};
    struct bp_hotplug_ops;

    start();
    bp_device_destroy(disk);
    g_assert_cmphex(pin(0, SSTS), ==, 0);
    g_assert_cmphex(pin(0, PIS) & 0x400000, ==, 0x400000);
    g_assert_cmphex(pin(0, TFD), ==, 0x7f);
    pout(0, SERR, UINT32_MAX);
    g_assert_cmphex(pin(0, PIS) & 0x400040, ==, 0);
    g_assert_cmpint(plug_drive(host, "ide-hd", "ide.0", "drive=d0", &dev, &err), ==, 0);
    g_assert_cmphex(pin(0, SSTS), ==, 0x123);
    g_assert_cmphex(pin(0, PIS) & 0x40, ==, 0x40);
    recover(0);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 3, .count = 1}, 512));
    same(MEMORY, d0->data + 3 * 512, 512);
    disk = dev;
}

static void drive_that_goes_while_busy_does_no_harm(void)
{
    struct bp_error err = {0};

    start();
    d0->hold = true;
    lay(&(struct command){.code = 0x60, .lba = 9, .feature = 1, .count = 0}, 512);
    pout(0, SACT, 1);
    pout(0, CI, 1);
    lay(&(struct command){.code = 0x61, .slot = 1, .lba = 9, .feature = 1, .count = 8, .write = true}, 512);
    pout(0, SACT, 2);
    pout(0, CI, 2);
    steps(2);
    bp_device_destroy(disk);
    d0->hold = false;
    release(d0);
    steps(2);
    g_assert_cmpint(plug_drive(host, "ide-hd", "ide.0", "drive=d0", &disk, &err), ==, 0);
    recover(0);
}

static void reset_of_the_controller_ends_everything(void)
{
    start();
    d0->hold = true;
    lay(&(struct command){.code = 0x35, .lba = 9, .count = 1, .write = true}, 512);
    pout(0, CI, 1);
    steps(2);
    out(GHC, 0x80000001);
    g_assert_cmphex(in(GHC), ==, 0x80000000);
    g_assert_cmphex(pin(0, CI) | pin(0, CLB) | pin(0, IE), ==, 0);
    d0->hold = false;
    steps(2);
    out(GHC, 0x80000002);
    start_port(0);
    g_assert_cmphex(pin(0, TFD) & 0xff, ==, 0x50);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 3, .count = 1}, 512));
}

static void messages_tell_each_event(void)
{
    start();
    for (unsigned at = bp_test_config_read(host, DEVFN, 0x34, 1), n = 0; at && n < 16;
         at = bp_test_config_read(host, DEVFN, at + 1, 1), n++) {
        if (bp_test_config_read(host, DEVFN, at, 1) != 5)
            continue;
        bp_test_config_write(host, DEVFN, at + 4, 0xfee00000, 4);
        bp_test_config_write(host, DEVFN, at + 12, 0x4041, 2);
        bp_test_config_write(host, DEVFN, at + 2, 1, 2);
    }
    bp_test_reset_rises(host);
    g_assert_true(run(&(struct command){.code = 0xea}, 0));
    g_assert_cmpuint(bp_test_messages(host), ==, 1);
    /* Something new while the first is pending: clearing the first sends another message. */
    g_assert_true(run(&(struct command){.port = 1, .code = 0xe7}, 0));
    pout(0, PIS, UINT32_MAX);
    out(IS, 1);
    g_assert_cmpuint(bp_test_messages(host), ==, 2);
    pout(1, PIS, UINT32_MAX);
    out(IS, 2);
    g_assert_cmpuint(bp_test_messages(host), ==, 2);
}

/* ---- memory that isn't what it seems ---- */

static void short_tables_overflow_and_stop(void)
{
    start();
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 5, .count = 4}, 512));
    g_assert_cmphex(pin(0, PIS) & 0x1000000, ==, 0x1000000);
    g_assert_cmphex(peek(MEMORY + 512), !=, peek(MEMORY)); /* nothing behind it */
    memset(d0->data + 700 * 512, 0x11, 512);
    g_assert_false(run(&(struct command){.code = 0x35, .lba = 700, .count = 4, .write = true}, 512));
    steps(4);
    g_assert_cmphex(d0->data[700 * 512], ==, 0x11);
    recover(0);
}

static void lists_outside_of_memory_are_fatal_errors(void)
{
    start();
    pout(0, CMD, 0x16);
    pout(0, CLB, 0x70000000);
    pout(0, CMD, 0x17);
    pout(0, CI, 1);
    steps(2);
    g_assert_cmphex(pin(0, PIS) & 0x20000000, ==, 0x20000000);
    pout(0, CMD, 0x16);
    start_port(0);
    lay(&(struct command){.code = 0x25, .lba = 5, .count = 1}, 512);
    bp_test_write(host, LIST + 8, 0x70000000, 4);
    pout(0, CI, 1);
    steps(2);
    g_assert_cmphex(pin(0, PIS) & 0x20000000, ==, 0x20000000);
    recover(0);
    lay(&(struct command){.code = 0x25, .lba = 5, .count = 1}, 512);
    bp_test_write(host, TABLES + 0x80, 0x70000000, 4);
    pout(0, CI, 1);
    steps(4);
    g_assert_cmphex(pin(0, PIS) & 0x20000000, ==, 0x20000000);
    recover(0);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 5, .count = 1}, 512));
}

/* Data, frames, headers and lists that lie in the controller's own registers. */
static void dma_into_its_own_registers_is_harmless(void)
{
    start();
    for (unsigned target = 0; target < 0x300; target += 0x40) {
        lay(&(struct command){.code = 0x25, .lba = 5, .count = 2}, 1024);
        bp_test_write(host, TABLES + 0x80, ABAR + target, 4);
        pout(0, CI, 1);
        steps(6);
        lay(&(struct command){.code = 0x60, .slot = 1, .lba = 5, .feature = 2, .count = 8}, 1024);
        bp_test_write(host, TABLES + 0x400 + 0x80, ABAR + target, 4);
        pout(0, SACT, 2);
        pout(0, CI, 2);
        steps(6);
        out(GHC, 0x80000001);
        steps(2);
        out(GHC, 0x80000002);
        start_port(0);
        pout(0, FB, ABAR + (target & ~255u));
        lay(&(struct command){.code = 0x24, .lba = 5, .count = 2}, 1024);
        pout(0, CI, 1);
        steps(6);
        pout(0, CMD, 0x16);
        pout(0, CLB, ABAR + (target & ~1023u));
        pout(0, CMD, 0x17);
        pout(0, CI, 0xffffffff);
        steps(6);
        out(GHC, 0x80000001);
        steps(2);
        out(GHC, 0x80000002);
        start_port(0);
    }
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 5, .count = 1}, 512));
}

/* The first bytes of the data are the global control register's, with HR: the rest does not go to address 0. */
static void data_do_not_reset_the_controller_that_moves_them(void)
{
    start();
    memcpy(d0->data + 5 * 512, "\1\0\0\200", 4);
    for (uint32_t at = 0; at < 1024; at += 4)
        bp_test_write(host, at, 0x5aa5f00f, 4);
    lay(&(struct command){.code = 0x25, .lba = 5, .count = 2, .entries = 2}, 0);
    bp_test_write(host, TABLES + 0x80, ABAR + GHC, 4);
    bp_test_write(host, TABLES + 0x84, 0, 4);
    bp_test_write(host, TABLES + 0x8c, 3, 4);
    bp_test_write(host, TABLES + 0x90, MEMORY, 4);
    bp_test_write(host, TABLES + 0x94, 0, 4);
    bp_test_write(host, TABLES + 0x9c, 1019, 4);
    pout(0, CI, 1);
    steps(6);
    for (uint32_t at = 0; at < 1024; at += 4)
        g_assert_cmphex(bp_test_read(host, at, 4), ==, 0x5aa5f00f);
    recover(0);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 5, .count = 1}, 512));
}

/* A table of 65535 descriptors of two bytes, and a frame that is none. */
static void strange_commands_do_not_hang(void)
{
    const uint8_t none[20] = {0xff, 0xff};

    start();
    lay(&(struct command){.code = 0x25, .lba = 5, .count = 16, .entries = 65535}, 0);
    for (unsigned i = 0; i < 0x8000; i += 16) {
        bp_test_write(host, TABLES + 0x80 + i, MEMORY, 4);
        bp_test_write(host, TABLES + 0x84 + i, 0, 4);
        bp_test_write(host, TABLES + 0x8c + i, 1, 4);
    }
    pout(0, CI, 1);
    steps(6);
    g_assert_cmphex(pin(0, CI), ==, 0);
    lay(&(struct command){.code = 0xec}, 512);
    poke(TABLES, none, 20);
    pout(0, CI, 1);
    steps(3);
    g_assert_cmphex(pin(0, CI), ==, 1); /* nobody answers */
    recover(0);
    lay(&(struct command){.code = 0x60, .lba = 5, .feature = 1, .count = 9 << 3}, 512); /* tag 9 in slot 0 */
    pout(0, SACT, 1);
    pout(0, CI, 1);
    steps(3);
    recover(0);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 5, .count = 1}, 512));
}

static void save_restore(void)
{
    void *a, *b, *again;
    size_t a_size, b_size, again_size;
    struct bp_error err = {0};

    g_assert_cmpint(bp_test_save(hba, &a, &a_size, &err), ==, 0);
    g_assert_cmpint(bp_test_save(disk, &b, &b_size, &err), ==, 0);
    bp_test_reset(host);
    steps(3);
    if (bp_test_restore(hba, a, a_size, &err) < 0 || bp_test_restore(disk, b, b_size, &err) < 0)
        g_error("%s", err.message);
    g_assert_cmpint(bp_test_save(disk, &again, &again_size, &err), ==, 0);
    g_assert_cmpmem(b, b_size, again, again_size);
    free(a);
    free(b);
    free(again);
    bp_test_config_write(host, DEVFN, 0x24, ABAR, 4);
    bp_test_config_write(host, DEVFN, 4, 7, 2);
}

static void requests_in_flight_are_saved(void)
{
    uint8_t bytes[512];

    start();
    d0->hold = true;
    memset(bytes, 0x77, sizeof(bytes));
    poke(MEMORY + 0x8000, bytes, 512);
    lay(&(struct command){.code = 0x60, .lba = 9, .feature = 1, .count = 0}, 512);
    lay(&(struct command){.code = 0x61, .slot = 1, .lba = 30, .feature = 1, .count = 8, .write = true}, 512);
    pout(0, SACT, 3);
    pout(0, CI, 3);
    steps(2);
    memset(bytes, 0, sizeof(bytes));
    poke(MEMORY + 0x8000, bytes, 512); /* the guest's own again: it was fetched */
    save_restore();
    d0->hold = false;
    release(d0);
    steps(4);
    g_assert_cmphex(pin(0, SACT), ==, 0);
    same(MEMORY, d0->data + 9 * 512, 512);
    g_assert_cmphex(d0->data[30 * 512], ==, 0x77);
    d0->hold = true;
    lay(&(struct command){.code = 0x25, .slot = 2, .lba = 40, .count = 2}, 1024);
    pout(0, CI, 4);
    steps(2);
    save_restore();
    d0->hold = false;
    release(d0);
    steps(4);
    g_assert_cmphex(pin(0, CI), ==, 0);
    same(MEMORY + 0x10000, d0->data + 40 * 512, 1024);
}

static void random_accesses_do_no_harm(void)
{
    static const uint8_t codes[] = {0x25, 0x35, 0x60, 0x61, 0xec, 0x24, 0x34, 0xea, 0x06, 0x2f, 0xa0, 0xa1, 0xef};
    GRand *rand = g_rand_new_with_seed(3);

    start();
    for (unsigned i = 0; i < 60000; i++) {
        unsigned port = (unsigned)g_rand_int_range(rand, 0, 3), slot = (unsigned)g_rand_int_range(rand, 0, 32);

        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            pout(port, 4u * (unsigned)g_rand_int_range(rand, 0, 18), g_rand_int(rand));
            break;
        case 1: start_port(port); break;
        case 2: pout(port, SACT, 1u << slot); pout(port, CI, 1u << slot); break;
        case 3:
            if (g_rand_int_range(rand, 0, 64) == 0)
                out(GHC, 0x80000003);
            d0->fail_at = (unsigned)g_rand_int_range(rand, 0, 4);
            break;
        case 4: case 5:
            lay(&(struct command){.port = port, .slot = slot, .code = codes[g_rand_int_range(rand, 0, sizeof(codes))],
                                  .lba = g_rand_int(rand) & 0x47ff, .count = g_rand_boolean(rand) ? slot << 3 : 8,
                                  .feature = g_rand_int(rand) & 15, .write = g_rand_boolean(rand)},
                (uint32_t)g_rand_int_range(rand, 0, 0x9000));
            break;
        default: steps(1);
        }
    }
    g_rand_free(rand);
    d0->fail_at = 0;
    out(GHC, 0x80000001);
    steps(4);
    out(GHC, 0x80000002);
    start_port(0);
    g_assert_true(run(&(struct command){.code = 0x25, .lba = 3, .count = 1}, 512));
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    fill_disks();
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_require_interface("block", 1, (const void **)&fake_block, &err) < 0 ||
        bp_test_device(host, "ahci", "addr=02.0", &hba, &err) < 0 ||
        plug_drive(host, "ide-hd", "ide.0", "drive=d0", &disk, &err) < 0 ||
        plug_drive(host, "ide-cd", "ide.1", "drive=cd", &cdrom, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/ahci/" #name, name)
    CASE(registers_tell_what_there_is);
    CASE(identify_is_pio);
    CASE(dma_and_pio_read_and_write);
    CASE(queued_commands_end_in_any_order);
    CASE(error_stops_the_port_until_it_is_started_again);
    CASE(failed_writes_and_flushes_are_faults);
    CASE(failed_queue_is_told_by_its_log);
    CASE(packets_read_the_cd);
    CASE(soft_reset_sends_the_signature);
    CASE(drives_come_and_go);
    CASE(drive_that_goes_while_busy_does_no_harm);
    CASE(reset_of_the_controller_ends_everything);
    CASE(messages_tell_each_event);
    CASE(short_tables_overflow_and_stop);
    CASE(lists_outside_of_memory_are_fatal_errors);
    CASE(dma_into_its_own_registers_is_harmless);
    CASE(data_do_not_reset_the_controller_that_moves_them);
    CASE(strange_commands_do_not_hang);
    CASE(requests_in_flight_are_saved);
    CASE(random_accesses_do_no_harm);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
