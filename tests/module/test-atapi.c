/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CD-ROM drive (MMC-6, SPC-3; the PACKET protocol of ATA/ATAPI-7) on the second channel of the PIIX IDE
 * function, with media in memory.
 */
#include "disk/disk.h"

#include "registry.h"

#define DEVFN 0x09u
#define CMD 0x170u
#define CTL 0x376u
#define BM 0xc008u
#define TABLE 0x1000u
#define MEMORY 0x10000u
enum { FEATURE = 1, ERROR = 1, COUNT, LOW, MID, HIGH, DEVICE, COMMAND, STATUS = 7 };
#define BSY 0x80u
#define DRQ 0x08u

static struct bp_test_host *host;
static struct bp_device *adapter, *drive;
static unsigned rises;
static uint8_t data[0x100000];
static unsigned got;

static void out(unsigned reg, unsigned value)
{
    bp_test_out(host, (uint16_t)(CMD + reg), value, 1);
}

static unsigned in(unsigned reg)
{
    return (unsigned)bp_test_in(host, (uint16_t)(CMD + reg), 1);
}

static void line(void *opaque, unsigned n, int level)
{
    (void)opaque, (void)n;
    rises += level != 0;
}

static unsigned wait_idle(void)
{
    for (unsigned i = 0; i < 2000 && bp_test_in(host, CTL, 1) & BSY; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(bp_test_in(host, CTL, 1) & BSY, ==, 0);
    return (unsigned)bp_test_in(host, CTL, 1);
}

/* Sends a command packet and takes what it answers, by PIO. Returns the status. */
static unsigned packet(const uint8_t *cdb, unsigned limit)
{
    unsigned status;

    got = 0;
    out(FEATURE, 0);
    out(MID, limit & 0xff);
    out(HIGH, limit >> 8);
    out(COMMAND, 0xa0);
    g_assert_cmphex(wait_idle() & (DRQ | 1), ==, DRQ);
    g_assert_cmphex(in(COUNT) & 3, ==, 1); /* a command is wanted */
    for (unsigned i = 0; i < 12; i += 2)
        bp_test_out(host, CMD, cdb[i] | (uint64_t)cdb[i + 1] << 8, 2);
    while ((status = wait_idle()) & DRQ) {
        unsigned bytes = in(MID) | in(HIGH) << 8;

        g_assert_cmphex(in(COUNT) & 3, ==, 2);
        g_assert_cmpuint(bytes, >, 0);
        g_assert_cmpuint(bytes, <=, limit);
        in(STATUS);
        for (unsigned i = 0; i < bytes; i += 2) {
            unsigned w = (unsigned)bp_test_in(host, CMD, 2);

            data[got] = (uint8_t)w;
            if (i + 1 < bytes)
                data[got + 1] = (uint8_t)(w >> 8);
            got += i + 1 < bytes ? 2 : 1;
        }
    }
    g_assert_cmphex(in(COUNT) & 3, ==, 3);
    in(STATUS);
    return status;
}

#define PACKET(limit, ...) packet((const uint8_t[12]){__VA_ARGS__}, limit)

static void sense(unsigned key, unsigned asc, unsigned ascq)
{
    g_assert_cmphex(in(ERROR) >> 4, ==, key);
    g_assert_cmphex(PACKET(64, 0x03, 0, 0, 0, 18), ==, 0x50);
    g_assert_cmpuint(got, ==, 18);
    g_assert_cmphex(data[0], ==, 0x70);
    g_assert_cmphex(data[2], ==, key);
    g_assert_cmphex(data[12], ==, asc);
    g_assert_cmphex(data[13], ==, ascq);
}

static void start(void)
{
    if (cd->loaded != true) {
        cd->loaded = true;
        cd->ops->media_changed(cd->opaque, true);
    }
    fill_disks();
    bp_test_reset(host);
    bp_test_step(host, 0);
    bp_test_config_write(host, DEVFN, 0x40, 0x80008000, 4);
    bp_test_config_write(host, DEVFN, 0x20, 0xc000, 4);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
    out(DEVICE, 0xa0);
    while (PACKET(64, 0x00) != 0x50) /* attentions */
        PACKET(64, 0x03, 0, 0, 0, 18);
    rises = 0;
}

static void signature_is_that_of_a_packet_device(void)
{
    start();
    bp_test_out(host, CTL, 4, 1);
    bp_test_out(host, CTL, 0, 1);
    g_assert_cmphex(in(STATUS), ==, 0);
    g_assert_cmphex(in(MID), ==, 0x14);
    g_assert_cmphex(in(HIGH), ==, 0xeb);
    out(COMMAND, 0xec);
    g_assert_cmphex(wait_idle(), ==, 0x51);
    g_assert_cmphex(in(MID), ==, 0x14);
    out(COMMAND, 0xa1);
    g_assert_cmphex(wait_idle(), ==, 0x58);
    g_assert_cmphex(bp_test_in(host, CMD, 2), ==, 0x85c0);
    out(COMMAND, 0x08);
    g_assert_cmphex(in(STATUS), ==, 0);
    g_assert_cmphex(in(HIGH), ==, 0xeb);
}

static void first_command_after_a_reset_hears_of_it(void)
{
    start();
    bp_test_reset(host);
    bp_test_config_write(host, DEVFN, 0x40, 0x80008000, 4);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
    g_assert_cmphex(PACKET(64, 0x12, 0, 0, 0, 36), ==, 0x50); /* not this one */
    g_assert_cmphex(data[0], ==, 5);
    g_assert_cmphex(data[1], ==, 0x80);
    g_assert_cmpmem(data + 16, 12, "QEMU DVD-ROM", 12);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x51);
    sense(6, 0x29, 0);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x50);
    sense(0, 0, 0);
}

static void replies_are_cut_to_what_is_allocated(void)
{
    start();
    PACKET(64, 0x12, 0, 0, 0, 5);
    g_assert_cmpuint(got, ==, 5);
    PACKET(8, 0x12, 0, 0, 0, 36); /* in blocks of eight bytes */
    g_assert_cmpuint(got, ==, 36);
    PACKET(7, 0x12, 0, 0, 0, 36); /* an odd limit is an even one */
    g_assert_cmpuint(got, ==, 36);
    PACKET(64, 0x12);
    g_assert_cmpuint(got, ==, 0);
}

static void sectors_are_read(void)
{
    start();
    g_assert_cmphex(PACKET(64, 0x25), ==, 0x50);
    g_assert_cmpuint(data[2] << 8 | data[3], ==, DISK_BYTES / 2048 - 1);
    g_assert_cmphex(data[6], ==, 8);
    g_assert_cmphex(PACKET(2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 3), ==, 0x50);
    g_assert_cmpuint(got, ==, 3 * 2048);
    g_assert_cmpmem(data, got, cd->data + 16 * 2048, got);
    g_assert_cmphex(PACKET(0xfffe, 0xa8, 0, 0, 0, 0, 20, 0, 0, 0, 60), ==, 0x50);
    g_assert_cmpuint(got, ==, 60 * 2048);
    g_assert_cmpmem(data, got, cd->data + 20 * 2048, got);
    g_assert_cmphex(PACKET(2048, 0x28, 0, 0, 0, 0x10, 0, 0, 0, 1), ==, 0x51); /* one beyond the end */
    sense(5, 0x21, 0);
    g_assert_cmphex(PACKET(2048, 0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ==, 0x51);
    sense(5, 0x21, 0);
    g_assert_cmphex(PACKET(2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 0), ==, 0x50); /* nothing */
    g_assert_cmpuint(got, ==, 0);
}

static void raw_sectors_have_sync_and_header(void)
{
    start();
    g_assert_cmphex(PACKET(2048, 0xbe, 0, 0, 0, 0, 16, 0, 0, 2, 0x10), ==, 0x50);
    g_assert_cmpuint(got, ==, 4096);
    g_assert_cmpmem(data, got, cd->data + 16 * 2048, got);
    g_assert_cmphex(PACKET(0xfffe, 0xbe, 0, 0, 0, 0, 16, 0, 0, 40, 0xb0), ==, 0x50);
    g_assert_cmpuint(got, ==, 40 * 2064);
    for (unsigned i = 0; i < 40; i++) {
        const uint8_t *s = data + 2064 * i;
        unsigned frame = 150 + 16 + i;

        g_assert_cmphex(s[0], ==, 0);
        g_assert_cmphex(s[1], ==, 0xff);
        g_assert_cmphex(s[11], ==, 0);
        g_assert_cmphex(s[13], ==, (frame / 75) / 10 << 4 | (frame / 75) % 10);
        g_assert_cmphex(s[14], ==, (frame % 75) / 10 << 4 | (frame % 75) % 10);
        g_assert_cmphex(s[15], ==, 1);
        g_assert_cmpmem(s + 16, 2048, cd->data + (16 + i) * 2048, 2048);
    }
    g_assert_cmphex(PACKET(2048, 0xbe, 4, 0, 0, 0, 16, 0, 0, 1, 0x10), ==, 0x51); /* audio */
    g_assert_cmphex(PACKET(2048, 0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0xf8), ==, 0x51); /* error correction */
    sense(5, 0x24, 0);
    g_assert_cmphex(PACKET(2048, 0xb9, 0, 0, 0, 2, 16, 0, 2, 17, 0x10), ==, 0x50);
    g_assert_cmpuint(got, ==, 2048);
    g_assert_cmpmem(data, got, cd->data + 16 * 2048, got);
}

static void dma_moves_sectors(void)
{
    const uint8_t cdb[12] = {0x28, 0, 0, 0, 0, 32, 0, 0, 4};

    start();
    bp_test_write(host, TABLE, MEMORY, 4);
    bp_test_write(host, TABLE + 4, 0x80002000, 4);
    bp_test_out(host, BM + 4, TABLE, 4);
    bp_test_out(host, BM + 2, 6, 1);
    out(FEATURE, 1);
    out(MID, 0);
    out(HIGH, 0);
    out(COMMAND, 0xa0);
    wait_idle();
    bp_test_out(host, BM, 9, 1);
    for (unsigned i = 0; i < 12; i += 2)
        bp_test_out(host, CMD, cdb[i] | (uint64_t)cdb[i + 1] << 8, 2);
    for (unsigned i = 0; i < 100 && !(bp_test_in(host, BM + 2, 1) & 4); i++)
        bp_test_step(host, 0);
    g_assert_cmphex(bp_test_in(host, BM + 2, 1) & 7, ==, 4);
    g_assert_cmphex(in(COUNT), ==, 3);
    g_assert_cmphex(in(STATUS), ==, 0x50);
    for (unsigned i = 0; i < 0x2000; i++)
        g_assert_cmphex(bp_test_read(host, MEMORY + i, 1), ==, cd->data[32 * 2048 + i]);
}

static void table_of_contents_has_one_data_track(void)
{
    start();
    g_assert_cmphex(PACKET(64, 0x43, 0, 0, 0, 0, 0, 0, 0, 64), ==, 0x50);
    g_assert_cmpuint(got, ==, 20);
    g_assert_cmpuint(data[1], ==, 18);
    g_assert_cmphex(data[5], ==, 0x14);
    g_assert_cmphex(data[6], ==, 1);
    g_assert_cmphex(data[14], ==, 0xaa);
    g_assert_cmpuint(data[18] << 8 | data[19], ==, DISK_BYTES / 2048);
    g_assert_cmphex(PACKET(64, 0x43, 2, 0, 0, 0, 0, 1, 0, 64), ==, 0x50); /* MSF */
    g_assert_cmpuint(data[9], ==, 0);
    g_assert_cmpuint(data[10], ==, 2);
    PACKET(64, 0x43, 0, 1, 0, 0, 0, 0, 0, 64);
    g_assert_cmpuint(got, ==, 12);
    PACKET(64, 0x43, 0, 2, 0, 0, 0, 0, 0, 64);
    g_assert_cmpuint(got, ==, 48);
    g_assert_cmphex(data[4 + 3], ==, 0xa0);
    g_assert_cmphex(PACKET(64, 0x43, 0, 0, 0, 0, 0, 2, 0, 64), ==, 0x51); /* no such track */
    sense(5, 0x24, 0);
    g_assert_cmphex(PACKET(64, 0x43, 0, 5, 0, 0, 0, 0, 0, 64), ==, 0x51);
}

static void drive_tells_what_it_can_do(void)
{
    start();
    g_assert_cmphex(PACKET(512, 0x46, 0, 0, 0, 0, 0, 0, 1, 0), ==, 0x50);
    g_assert_cmpuint(data[7], ==, 8); /* a CD */
    g_assert_cmpuint(data[2] << 8 | data[3], ==, got - 4);
    PACKET(512, 0x46, 2, 0, 3, 0, 0, 0, 1, 0);
    g_assert_cmpuint(got, ==, 8 + 8);
    g_assert_cmpuint(data[9], ==, 3);
    PACKET(512, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128);
    g_assert_cmpuint(got, ==, 30);
    g_assert_cmphex(data[8], ==, 0x2a);
    PACKET(512, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 128);
    g_assert_cmpuint(got, ==, 8 + 8 + 12 + 22);
    g_assert_cmphex(PACKET(512, 0x5a, 0, 0x30, 0, 0, 0, 0, 0, 128), ==, 0x51);
    sense(5, 0x24, 0);
    g_assert_cmphex(PACKET(512, 0x5a, 0, 0xea, 0, 0, 0, 0, 0, 128), ==, 0x51);
    sense(5, 0x39, 0);
    g_assert_cmphex(PACKET(64, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), ==, 0x50);
    g_assert_cmpuint(got, ==, 8);
    PACKET(64, 0x51, 0, 0, 0, 0, 0, 0, 0, 34);
    g_assert_cmphex(data[2], ==, 0x0e);
    PACKET(64, 0x52, 1, 0, 0, 0, 1, 0, 0, 36);
    g_assert_cmpuint(got, ==, 36);
    PACKET(64, 0x23, 0, 0, 0, 0, 0, 0, 0, 12);
    g_assert_cmphex(data[8], ==, 2);
    g_assert_cmphex(PACKET(64, 0xad, 0, 0, 0, 0, 0, 0, 0, 0, 64), ==, 0x51); /* it is no DVD */
    sense(5, 0x30, 2);
    g_assert_cmphex(PACKET(64, 0x5b), ==, 0x51);
    sense(5, 0x20, 0);
    g_assert_cmphex(PACKET(64, 0xbb, 0, 0xff, 0xff), ==, 0x50);
    PACKET(64, 0x12, 1, 0x83, 0, 64);
    g_assert_cmphex(data[1], ==, 0x83);
}

static void medium_comes_and_goes(void)
{
    start();
    cd->loaded = false;
    cd->ops->media_changed(cd->opaque, false);
    g_assert_true(cd->ops->tray_open(cd->opaque));
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x51);
    sense(2, 0x3a, 2);
    g_assert_cmphex(PACKET(64, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), ==, 0x51);
    PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(data[4], ==, 3); /* removed */
    g_assert_cmphex(data[5], ==, 1);
    PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(data[4], ==, 0); /* told once */
    cd->loaded = true;
    cd->ops->media_changed(cd->opaque, true);
    PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(data[4], ==, 2);
    g_assert_cmphex(data[5], ==, 2);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x51);
    sense(6, 0x28, 0);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x50);
    g_assert_cmphex(PACKET(64, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), ==, 0x51); /* not polled */
    PACKET(64, 0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8);
    g_assert_cmpuint(got, ==, 4);
    g_assert_cmphex(data[2], ==, 0x80);
}

static void tray_obeys_and_is_locked(void)
{
    start();
    g_assert_cmphex(PACKET(64, 0x1e, 0, 0, 0, 1), ==, 0x50);
    g_assert_true(cd->locked);
    g_assert_true(cd->ops->medium_locked(cd->opaque));
    g_assert_cmphex(PACKET(64, 0x1b, 0, 0, 0, 2), ==, 0x51);
    sense(5, 0x53, 2);
    cd->ops->eject_request(cd->opaque, false);
    PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(data[4], ==, 1); /* the user asks */
    g_assert_cmphex(PACKET(64, 0x1e), ==, 0x50);
    g_assert_cmphex(PACKET(64, 0x1b, 0, 0, 0, 2), ==, 0x50);
    g_assert_true(cd->tray_is_open);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x51);
    sense(2, 0x3a, 2);
    g_assert_cmphex(PACKET(64, 0x1b, 0, 0, 0, 3), ==, 0x50);
    g_assert_false(cd->tray_is_open);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x51);
    sense(6, 0x28, 0);
}

static void failed_reads_have_sense(void)
{
    start();
    cd->fail_at = 1;
    g_assert_cmphex(PACKET(2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 3), ==, 0x51);
    sense(3, 0x11, 0);
    cd->fail_at = 2; /* in the middle of a long one */
    g_assert_cmphex(PACKET(0xfffe, 0xa8, 0, 0, 0, 0, 0, 0, 0, 1, 0x10), ==, 0x51);
    sense(3, 0x11, 0);
    g_assert_cmphex(PACKET(64, 0x00), ==, 0x50);
}

static void state_in_the_middle_of_a_reply_is_saved(void)
{
    void *saved, *a_saved;
    size_t size, a_size;
    struct bp_error err = {0};
    const uint8_t cdb[12] = {0x28, 0, 0, 0, 0, 5, 0, 0, 2};

    start();
    out(MID, 0);
    out(HIGH, 8);
    out(COMMAND, 0xa0);
    wait_idle();
    for (unsigned i = 0; i < 12; i += 2)
        bp_test_out(host, CMD, cdb[i] | (uint64_t)cdb[i + 1] << 8, 2);
    wait_idle();
    for (unsigned i = 0; i < 600; i++)
        g_assert_cmphex(bp_test_in(host, CMD, 2) & 0xff, ==, cd->data[5 * 2048 + 2 * i]);
    g_assert_cmpint(bp_test_save(drive, &saved, &size, &err), ==, 0);
    g_assert_cmpint(bp_test_save(adapter, &a_saved, &a_size, &err), ==, 0);
    bp_test_reset(host);
    g_assert_cmpint(bp_test_restore(adapter, a_saved, a_size, &err), ==, 0);
    g_assert_cmpint(bp_test_restore(drive, saved, size, &err), ==, 0);
    free(saved);
    free(a_saved);
    bp_test_config_write(host, DEVFN, 0x40, 0x80008000, 4);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
    for (unsigned i = 600; i < 2048; i++) {
        wait_idle();
        g_assert_cmphex(bp_test_in(host, CMD, 2) & 0xff, ==, cd->data[5 * 2048 + 2 * i]);
    }
    g_assert_cmphex(wait_idle(), ==, 0x50);
}

/* Ill-formed packets, byte counts that end in the middle, data that are never fetched. */
static void random_packets_do_no_harm(void)
{
    GRand *rand = g_rand_new_with_seed(5);

    start();
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t cdb[12];

        for (unsigned n = 0; n < 12; n++)
            cdb[n] = (uint8_t)(g_rand_boolean(rand) ? g_rand_int(rand) : 0);
        if (g_rand_boolean(rand))
            cdb[0] = (uint8_t[]){0x28, 0xa8, 0xbe, 0x43, 0x46, 0x5a, 0xb9, 0xad, 0x4a, 0x12, 0x1b, 0x1e}[
                g_rand_int_range(rand, 0, 12)];
        out(FEATURE, g_rand_int(rand) & 1);
        out(MID, g_rand_int(rand) & 0xff);
        out(HIGH, g_rand_int(rand) & 0xff);
        out(COMMAND, 0xa0);
        for (unsigned n = 0; n < 12; n += 2)
            bp_test_out(host, CMD, cdb[n] | (uint64_t)cdb[n + 1] << 8, 2);
        bp_test_out(host, BM, g_rand_int(rand) & 9, 1);
        for (unsigned n = 0; n < 4; n++)
            bp_test_step(host, 0);
        for (unsigned n = g_rand_int_range(rand, 0, 400); n; n--)
            (void)bp_test_in(host, CMD, 4);
        if (g_rand_int_range(rand, 0, 16) == 0) {
            cd->loaded = !cd->loaded;
            cd->ops->media_changed(cd->opaque, cd->loaded);
        }
        if (g_rand_int_range(rand, 0, 4) == 0)
            out(COMMAND, 0x08);
    }
    g_rand_free(rand);
    bp_test_out(host, CTL, 4, 1);
    bp_test_out(host, CTL, 0, 1);
    wait_idle();
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    fill_disks();
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_require_interface("block", 1, (const void **)&fake_block, &err) < 0 ||
        bp_test_device(host, "piix4-ide", "addr=01.1", &adapter, &err) < 0 ||
        plug_drive(host, "ide-cd", "ide.1", "drive=cd,wwn=0x5000c50012341234", &drive, &err) < 0)
        g_error("%s", err.message);
    bp_irq_connect(bp_device_irq_output(adapter, "irq", 1),
                   bp_irq_new(bp_device_owner(adapter), line, NULL, 1));
#define CASE(name) g_test_add_func("/atapi/" #name, name)
    CASE(signature_is_that_of_a_packet_device);
    CASE(first_command_after_a_reset_hears_of_it);
    CASE(replies_are_cut_to_what_is_allocated);
    CASE(sectors_are_read);
    CASE(raw_sectors_have_sync_and_header);
    CASE(dma_moves_sectors);
    CASE(table_of_contents_has_one_data_track);
    CASE(drive_tells_what_it_can_do);
    CASE(medium_comes_and_goes);
    CASE(tray_obeys_and_is_locked);
    CASE(failed_reads_have_sense);
    CASE(state_in_the_middle_of_a_reply_is_saved);
    CASE(random_packets_do_no_harm);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
