/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ATA disks behind the PIIX IDE function (ATA8-ACS, ATA/ATAPI-7; 82371SB data sheet; bus master
 * programming interface 1.0), on the fake host with disks in memory.
 */
#include "disk/piix.h"

/* ---- registers ---- */

static void reset_leaves_the_signature(void)
{
    start();
    bp_test_reset(host);
    bp_test_config_write(host, DEVFN, 0x40, 0x80008000, 4);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
    g_assert_cmphex(in(STATUS), ==, 0x50);
    g_assert_cmphex(in(ERROR), ==, 1);
    g_assert_cmphex(in(COUNT), ==, 1);
    g_assert_cmphex(in(LOW), ==, 1);
    g_assert_cmphex(in(MID), ==, 0);
    g_assert_cmphex(in(HIGH), ==, 0);
    out(COUNT, 0x55);
    out(LOW, 0xaa);
    bp_test_out(host, CTL, 4, 1);
    g_assert_cmphex(alternate(), ==, 0x80);
    out(COMMAND, 0xec); /* not now */
    bp_test_out(host, CTL, 0, 1);
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmphex(in(COUNT), ==, 1);
    g_assert_cmphex(in(LOW), ==, 1);
}

static void ports_follow_the_command_register(void)
{
    start();
    bp_test_config_write(host, DEVFN, 0x40, 0, 4); /* UEFI firmware leaves it so */
    g_assert_cmphex(in(STATUS), ==, 0x50);
    g_assert_cmphex(bp_test_in(host, 0x177, 1), !=, 0xff);
    bp_test_config_write(host, DEVFN, 4, 4, 2);
    g_assert_cmphex(in(STATUS), ==, 0xff);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
}

static void missing_drives_answer_as_cables_do(void)
{
    start();
    out(DEVICE, 0xf0); /* device 1 is not there: device 0 answers zeroes */
    out(COUNT, 0x55);
    g_assert_cmphex(in(COUNT), ==, 0);
    g_assert_cmphex(in(STATUS), ==, 0);
    out(COMMAND, 0xec);
    g_assert_cmphex(in(STATUS), ==, 0);
    out(DEVICE, 0xe0);
    g_assert_cmphex(in(COUNT), ==, 0x55); /* who is there has heard it */
    for (unsigned reg = 1; reg < 8; reg++)
        g_assert_cmphex(bp_test_in(host, (uint16_t)(0x170 + reg), 1), !=, 0xff);
}

static void previous_content_is_read_with_hob(void)
{
    start();
    address(0x112233445566, 0x7788, true);
    g_assert_cmphex(in(LOW), ==, 0x66);
    bp_test_out(host, CTL, 0x80, 1);
    g_assert_cmphex(in(LOW), ==, 0x33);
    g_assert_cmphex(in(MID), ==, 0x22);
    g_assert_cmphex(in(HIGH), ==, 0x11);
    g_assert_cmphex(in(COUNT), ==, 0x77);
    out(LOW, 1); /* a write clears HOB */
    g_assert_cmphex(in(MID), ==, 0x55);
}

/* ---- identify and settings ---- */

static void identify_tells_what_there_is(void)
{
    uint8_t data[512], sum = 0;

    start();
    identify(data);
    g_assert_cmphex(word(data, 0), ==, 0x0040);
    g_assert_cmpint(data[21], ==, 'Q'); /* bytes are swapped: QM00001 */
    g_assert_cmpint(data[20], ==, 'M');
    g_assert_cmpuint(word(data, 60) | word(data, 61) << 16, ==, DISK_BYTES / 512);
    g_assert_cmpuint(word(data, 100) | word(data, 101) << 16, ==, DISK_BYTES / 512);
    g_assert_cmpuint(word(data, 1) * word(data, 3) * word(data, 6), <=, DISK_BYTES / 512);
    g_assert_cmphex(word(data, 49) & 0x0300, ==, 0x0300); /* LBA, DMA */
    g_assert_cmphex(word(data, 83) & 0xc400, ==, 0x4400); /* 48 bits */
    g_assert_cmphex(word(data, 93) & 0xe000, ==, 0x6000); /* 80 wires */
    g_assert_cmphex(word(data, 106), ==, 0x6003); /* eight logical sectors in a physical one */
    g_assert_cmphex(word(data, 169), ==, 1);
    g_assert_cmphex(word(data, 217), ==, 7200);
    g_assert_cmphex(word(data, 108), ==, 0x5000);
    g_assert_cmphex(word(data, 111), ==, 0x1234);
    g_assert_cmphex(word(data, 87) & 0x100, ==, 0x100);
    g_assert_cmphex(data[510], ==, 0xa5);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + data[i]);
    g_assert_cmphex(sum, ==, 0);
    g_assert_cmpuint(rises, ==, 1);
    g_assert_cmpint(levels[0], ==, 1);
    in(STATUS);
    g_assert_cmpint(levels[0], ==, 0);
}

static void settings_show_in_identify(void)
{
    uint8_t data[512];

    start();
    out(COUNT, 8);
    g_assert_cmphex(command(0xc6), ==, 0x50);
    out(FEATURE, 3);
    out(COUNT, 0x22);
    g_assert_cmphex(command(0xef), ==, 0x50);
    out(FEATURE, 0x82);
    g_assert_cmphex(command(0xef), ==, 0x50);
    g_assert_false(d0->write_cache);
    g_assert_cmpuint(d0->requests[BP_BLOCK_FLUSH], ==, 1);
    identify(data);
    g_assert_cmphex(word(data, 59), ==, 0x108);
    g_assert_cmphex(word(data, 63), ==, 0x0407);
    g_assert_cmphex(word(data, 88), ==, 0x003f);
    g_assert_cmphex(word(data, 85) & 0x20, ==, 0);
    out(FEATURE, 0x02);
    command(0xef);
    g_assert_true(d0->write_cache);
    out(COUNT, 3); /* not a power of two */
    g_assert_cmphex(command(0xc6), ==, 0x51);
    g_assert_cmphex(in(ERROR), ==, 4);
    out(FEATURE, 0x99);
    g_assert_cmphex(command(0xef), ==, 0x51);
}

static void unknown_commands_are_aborted(void)
{
    static const uint8_t codes[] = {0x00, 0x01, 0x08, 0x22, 0x37, 0x45, 0x60, 0x61, 0x92, 0xa0, 0xa1, 0xb1,
                                    0xf1, 0xf5, 0xf8, 0xff};

    start();
    for (size_t i = 0; i < BP_COUNT(codes); i++) {
        g_assert_cmphex(command(codes[i]), ==, 0x51);
        g_assert_cmphex(in(ERROR), ==, 4);
    }
}

static void harmless_commands_succeed(void)
{
    static const uint8_t codes[] = {0x10, 0x1f, 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe7, 0xea, 0x94, 0x95, 0x98};

    start();
    for (size_t i = 0; i < BP_COUNT(codes); i++)
        g_assert_cmphex(command(codes[i]), ==, 0x50);
    g_assert_cmpuint(d0->requests[BP_BLOCK_FLUSH], >=, 2);
    command(0xe2);
    command(0xe5);
    g_assert_cmphex(in(COUNT), ==, 0); /* standby */
    command(0xe3);
    command(0xe5);
    g_assert_cmphex(in(COUNT), ==, 0xff);
}

static void sleep_ends_with_a_reset(void)
{
    start();
    command(0xe6);
    rises = 0;
    command(0xec);
    g_assert_cmphex(alternate() & DRQ, ==, 0);
    g_assert_cmpuint(rises, ==, 0);
    bp_test_out(host, CTL, 4, 1);
    bp_test_out(host, CTL, 0, 1);
    g_assert_cmphex(command(0xec), ==, 0x58);
}

static void buffer_keeps_what_was_written(void)
{
    uint8_t data[512], back[512];

    start();
    for (unsigned i = 0; i < 512; i++)
        data[i] = (uint8_t)(i * 3);
    g_assert_cmphex(command(0xe8), ==, 0x58);
    write_words(data, 512);
    wait_idle();
    g_assert_cmphex(command(0xe4), ==, 0x58);
    read_words(back, 512);
    g_assert_cmpmem(data, 512, back, 512);
}

/* ---- PIO ---- */

static void pio_reads_sector_by_sector(void)
{
    uint8_t data[512];

    start();
    address(100, 3, false);
    out(COMMAND, 0x20);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(wait_idle(), ==, 0x58);
        g_assert_cmpint(levels[0], ==, 1); /* an interrupt for each block */
        in(STATUS);
        read_words(data, 512);
        g_assert_cmpmem(data, 512, d0->data + (100 + i) * 512, 512);
    }
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmpuint(rises, ==, 3);
    g_assert_cmpuint(in(LOW), ==, 102);
    g_assert_cmpuint(in(COUNT), ==, 0);
}

static void pio_reads_whole_tracks_and_more(void)
{
    static uint8_t data[256 * 512];

    start();
    address(0, 0, false); /* 256 */
    g_assert_cmphex(command(0x20), ==, 0x58);
    read_words(data, sizeof(data));
    g_assert_cmpmem(data, sizeof(data), d0->data, sizeof(data));
    g_assert_cmphex(alternate(), ==, 0x50);
    /* 1000 sectors: more than the drive's buffer */
    address(5, 1000, true);
    out(COMMAND, 0x24);
    for (unsigned i = 0; i < 1000; i++) {
        g_assert_cmphex(wait_idle(), ==, 0x58);
        read_words(data, 512);
        g_assert_cmpmem(data, 512, d0->data + (5 + i) * 512, 512);
    }
    g_assert_cmphex(alternate(), ==, 0x50);
}

static void pio_writes_and_reads_back(void)
{
    static uint8_t data[600 * 512];

    start();
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 11 + (i >> 9));
    address(50, 600, true);
    out(COMMAND, 0x34);
    g_assert_cmpuint(rises, ==, 0); /* the first block comes unasked */
    for (unsigned i = 0; i < 600; i++) {
        g_assert_cmphex(wait_idle(), ==, 0x58);
        in(STATUS);
        write_words(data + 512 * i, 512);
    }
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmpuint(rises, ==, 600);
    g_assert_cmpmem(data, sizeof(data), d0->data + 50 * 512, sizeof(data));
}

static void multiple_moves_blocks(void)
{
    static uint8_t data[20 * 512];

    start();
    out(COUNT, 0);
    command(0xc6);
    address(7, 20, false);
    g_assert_cmphex(command(0xc4), ==, 0x51); /* not set */
    out(COUNT, 8);
    command(0xc6);
    address(7, 20, false);
    rises = 0;
    out(COMMAND, 0xc4);
    for (unsigned i = 0, n; i < 20; i += n) {
        n = 20 - i < 8 ? 20 - i : 8;
        g_assert_cmphex(wait_idle(), ==, 0x58);
        in(STATUS);
        read_words(data + 512 * i, n * 512);
    }
    g_assert_cmphex(alternate(), ==, 0x50);
    g_assert_cmpuint(rises, ==, 3);
    g_assert_cmpmem(data, sizeof(data), d0->data + 7 * 512, sizeof(data));
    address(200, 20, false);
    out(COMMAND, 0xc5);
    for (unsigned i = 0; i < 20; i += 8) {
        g_assert_cmphex(wait_idle(), ==, 0x58);
        in(STATUS);
        write_words(data + 512 * i, (20 - i < 8 ? 20 - i : 8) * 512);
    }
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmpmem(data, sizeof(data), d0->data + 200 * 512, sizeof(data));
    address(300, 1, true);
    out(COMMAND, 0xce);
    write_words(data, 512);
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmpuint(d0->fua, ==, 1);
}

static void chs_addresses_are_translated(void)
{
    uint8_t data[512];

    start();
    out(COUNT, 17);
    out(DEVICE, 0xa3); /* four heads */
    g_assert_cmphex(command(0x91), ==, 0x50);
    out(COUNT, 1);
    out(LOW, 5);
    out(MID, 2);
    out(HIGH, 0);
    out(DEVICE, 0xa3);
    g_assert_cmphex(command(0x20), ==, 0x58);
    read_words(data, 512);
    g_assert_cmpmem(data, 512, d0->data + ((2 * 4 + 3) * 17 + 4) * 512, 512);
    out(LOW, 18); /* beyond the track */
    g_assert_cmphex(command(0x20), ==, 0x51);
    g_assert_cmphex(in(ERROR), ==, 0x10);
    out(LOW, 0);
    g_assert_cmphex(command(0x20), ==, 0x51);
    identify(data);
    g_assert_cmpuint(word(data, 55), ==, 4);
    g_assert_cmpuint(word(data, 56), ==, 17);
    out(COUNT, 0);
    g_assert_cmphex(command(0x91), ==, 0x51); /* no sectors: CHS is refused from now on */
    out(LOW, 1);
    out(COUNT, 1);
    out(DEVICE, 0xa0);
    g_assert_cmphex(command(0x20), ==, 0x51);
}

static void addresses_beyond_the_end_are_refused(void)
{
    uint64_t end = DISK_BYTES / 512;

    start();
    address(end, 1, false);
    g_assert_cmphex(command(0x20), ==, 0x51);
    g_assert_cmphex(in(ERROR), ==, 0x10);
    address(end - 1, 2, false);
    g_assert_cmphex(command(0x30), ==, 0x51);
    address(0xffffffffffff, 0, true);
    g_assert_cmphex(command(0x25), ==, 0x51);
    address(end - 1, 1, false);
    g_assert_cmphex(command(0x40), ==, 0x50);
    g_assert_cmpuint(d0->requests[BP_BLOCK_READ], ==, 1);
    address(end - 1, 1, false);
    g_assert_cmphex(command(0x70), ==, 0x50);
}

/* ---- DMA ---- */

static void dma_reads_into_scattered_memory(void)
{
    start();
    descriptor(0, MEMORY, 512, false);
    descriptor(1, MEMORY + 0x4000, 1024, false);
    descriptor(2, MEMORY + 0x2002, 2560, true);
    g_assert_cmphex(dma(0xc8, 33, 8, false, true), ==, 0x64);
    g_assert_cmphex(in(STATUS), ==, 0x50);
    for (unsigned i = 0; i < 4096; i++) {
        uint64_t at = i < 512 ? MEMORY + i : i < 1536 ? MEMORY + 0x4000 + i - 512
                                           : MEMORY + 0x2002 + i - 1536;

        g_assert_cmphex(bp_test_read(host, at, 1), ==, d0->data[33 * 512 + i]);
    }
    bp_test_out(host, BM + 2, 4, 1);
    g_assert_cmphex(bp_test_in(host, BM + 2, 1), ==, 0); /* what firmware said of the drives is rewritten */
}

static void dma_writes_large_blocks(void)
{
    uint32_t bytes = 700 * 512;

    start();
    for (uint32_t i = 0; i < bytes; i += 4)
        bp_test_write(host, MEMORY + i, i * 2654435761u, 4);
    for (unsigned i = 0; i < 6; i++)
        descriptor(i, MEMORY + i * 0x10000, i == 5 ? bytes - 5 * 0x10000 : 0, i == 5);
    g_assert_cmphex(dma(0x35, 1000, 700, true, false) & 7, ==, 4);
    for (uint32_t i = 0; i < bytes; i += 4) {
        uint32_t v;

        memcpy(&v, d0->data + 1000 * 512 + i, 4);
        g_assert_cmphex(v, ==, i * 2654435761u);
    }
    g_assert_cmpuint(d0->fua, ==, 0);
    descriptor(0, MEMORY, 512, true);
    g_assert_cmphex(dma(0x3d, 1, 1, true, false) & 7, ==, 4);
    g_assert_cmpuint(d0->fua, ==, 1);
}

static void longer_list_stays_active_shorter_one_waits(void)
{
    start();
    descriptor(0, MEMORY, 4096, true);
    g_assert_cmphex(dma(0xc8, 0, 1, false, true) & 7, ==, 5);
    descriptor(0, MEMORY, 512, true);
    g_assert_cmphex(dma(0xc8, 0, 2, false, true) & 7, ==, 0);
    g_assert_cmphex(alternate() & DRQ, ==, DRQ);
    /* The guest gives it another list. */
    descriptor(0, MEMORY + 0x1000, 512, true);
    bp_test_out(host, BM, 0, 1);
    bp_test_out(host, BM, 9, 1);
    bp_test_step(host, 0);
    bp_test_step(host, 0);
    g_assert_cmphex(bp_test_in(host, BM + 2, 1) & 7, ==, 4);
    g_assert_cmphex(bp_test_read(host, MEMORY + 0x1000, 1), ==, d0->data[512]);
}

static void bad_memory_stops_the_master_and_a_reset_helps(void)
{
    start();
    descriptor(0, 0x70000000, 512, true);
    g_assert_cmphex(dma(0xc8, 0, 1, false, true) & 7, ==, 2);
    bp_test_out(host, CTL, 4, 1);
    bp_test_out(host, CTL, 0, 1);
    g_assert_cmphex(wait_idle(), ==, 0x50);
    descriptor(0, MEMORY, 512, true);
    g_assert_cmphex(dma(0xc8, 0, 1, false, true) & 7, ==, 4);
    bp_test_out(host, BM + 4, 0x70000000, 4); /* the list itself */
    address(0, 1, false);
    out(COMMAND, 0xc8);
    bp_test_out(host, BM, 0, 1);
    bp_test_out(host, BM, 9, 1);
    bp_test_step(host, 0);
    bp_test_step(host, 0);
    g_assert_cmphex(bp_test_in(host, BM + 2, 1) & 2, ==, 2);
}

static void diagnostics_end_after_what_was_under_way(void)
{
    start();
    d0->hold = true;
    address(0, 1, false);
    out(COMMAND, 0x20);
    bp_test_step(host, 0);
    g_assert_cmphex(alternate() & BSY, ==, BSY);
    rises = 0;
    out(COMMAND, 0x90);
    g_assert_cmphex(alternate(), ==, BSY); /* the disk still has a request of the drive's */
    g_assert_cmpuint(rises, ==, 0);
    d0->hold = false;
    release(d0);
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmpuint(rises, ==, 1);
    g_assert_cmphex(in(ERROR), ==, 1);
    g_assert_cmphex(command(0x90), ==, 0x50); /* at once, with nothing under way */
}

static void without_mastery_nothing_moves(void)
{
    start();
    bp_test_config_write(host, DEVFN, 4, 1, 2);
    descriptor(0, MEMORY, 512, true);
    bp_test_write(host, MEMORY, 0x12345678, 4);
    g_assert_cmphex(dma(0xc8, 9, 1, false, true) & 4, ==, 0);
    g_assert_cmphex(bp_test_read(host, MEMORY, 4), ==, 0x12345678);
}

static void trim_discards_ranges(void)
{
    start();
    for (unsigned i = 0; i < 512; i += 4)
        bp_test_write(host, MEMORY + i, 0, 4);
    bp_test_write(host, MEMORY, 100, 4);
    bp_test_write(host, MEMORY + 6, 8, 2);
    bp_test_write(host, MEMORY + 16, 200, 4);
    bp_test_write(host, MEMORY + 22, 1, 2);
    descriptor(0, MEMORY, 512, true);
    out(FEATURE, 1);
    g_assert_cmphex(dma(0x06, 0, 1, true, false) & 7, ==, 4);
    g_assert_cmpuint(d0->requests[BP_BLOCK_DISCARD], ==, 2);
    for (unsigned i = 0; i < 8 * 512; i++)
        g_assert_cmphex(d0->data[100 * 512 + i], ==, 0);
    g_assert_cmphex(d0->data[108 * 512 + 1], !=, 0);
    bp_test_write(host, MEMORY, DISK_BYTES / 512 - 1, 4);
    out(FEATURE, 1);
    dma(0x06, 0, 1, true, false);
    g_assert_cmphex(alternate(), ==, 0x51);
    out(FEATURE, 1);
    address(0, 9, true); /* more blocks than word 105 says */
    g_assert_cmphex(command(0x06), ==, 0x51);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    make_disk();
#define CASE(name) g_test_add_func("/ide/" #name, name)
    CASE(reset_leaves_the_signature);
    CASE(ports_follow_the_command_register);
    CASE(missing_drives_answer_as_cables_do);
    CASE(previous_content_is_read_with_hob);
    CASE(identify_tells_what_there_is);
    CASE(settings_show_in_identify);
    CASE(unknown_commands_are_aborted);
    CASE(harmless_commands_succeed);
    CASE(sleep_ends_with_a_reset);
    CASE(buffer_keeps_what_was_written);
    CASE(pio_reads_sector_by_sector);
    CASE(pio_reads_whole_tracks_and_more);
    CASE(pio_writes_and_reads_back);
    CASE(multiple_moves_blocks);
    CASE(chs_addresses_are_translated);
    CASE(addresses_beyond_the_end_are_refused);
    CASE(dma_reads_into_scattered_memory);
    CASE(dma_writes_large_blocks);
    CASE(longer_list_stays_active_shorter_one_waits);
    CASE(bad_memory_stops_the_master_and_a_reset_helps);
    CASE(diagnostics_end_after_what_was_under_way);
    CASE(without_mastery_nothing_moves);
    CASE(trim_discards_ranges);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
