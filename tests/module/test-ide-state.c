/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ATA disks behind the PIIX IDE function: failures, SMART, saved state, random accesses, wrong properties. */
#include "disk/piix.h"

/* ---- failures ---- */

static void failed_reads_and_writes_are_told(void)
{
    uint8_t data[512] = {0};

    start();
    d0->fail_at = 1;
    address(77, 4, false);
    g_assert_cmphex(command(0x20), ==, 0x51);
    g_assert_cmphex(in(ERROR), ==, 0x40);
    g_assert_cmpuint(in(LOW), ==, 77);
    g_assert_cmpuint(rises, ==, 1);
    d0->fail_at = 1;
    address(78, 1, false);
    out(COMMAND, 0x30);
    write_words(data, 512);
    g_assert_cmphex(wait_idle(), ==, 0x71);
    g_assert_cmphex(in(ERROR), ==, 4);
    g_assert_cmpuint(in(LOW), ==, 78);
    d0->fail_at = 1;
    g_assert_cmphex(command(0xe7) & (ERR | DF), ==, ERR | DF);
    d0->fail_at = 1;
    descriptor(0, MEMORY, 512, true);
    dma(0xc8, 5, 1, false, true);
    g_assert_cmphex(alternate(), ==, 0x51);
}

/* Each request of a script fails once, wherever it is: the guest always hears the end. */
static void failing_the_nth_request_never_hangs(void)
{
    static uint8_t data[700 * 512];
    unsigned failures = 0;

    for (unsigned n = 1; n < 16; n++) {
        start();
        d0->fail_at = n;
        for (unsigned round = 0; round < 2; round++) {
            address(0, 600, true);
            out(COMMAND, 0x24);
            while (wait_idle() & DRQ)
                read_words(data, 512);
            failures += (alternate() & ERR) != 0;
            address(0, 700, true);
            out(COMMAND, 0x34);
            while (wait_idle() & DRQ)
                write_words(data, 512);
            failures += (alternate() & ERR) != 0;
            address(0, 300, true);
            failures += (command(0x42) & ERR) != 0;
            failures += (command(0xea) & ERR) != 0;
        }
    }
    g_assert_cmpuint(failures, >=, 10);
}

static void reset_while_busy_waits_for_the_old_request(void)
{
    uint8_t data[512];

    start();
    d0->hold = true;
    memset(data, 0x5a, sizeof(data));
    address(10, 1, false);
    out(COMMAND, 0x30);
    write_words(data, 512);
    g_assert_cmphex(alternate(), ==, BSY);
    rises = 0;
    bp_test_out(host, CTL, 4, 1);
    bp_test_out(host, CTL, 0, 1);
    g_assert_cmphex(alternate(), ==, BSY); /* it is busy; nobody waits inside of the write */
    bp_test_step(host, 0);
    d0->hold = false;
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmphex(in(COUNT), ==, 1);
    g_assert_cmpuint(rises, ==, 0);
    address(10, 1, false);
    g_assert_cmphex(command(0x20), ==, 0x58);
}

static void command_while_busy_is_ignored(void)
{
    start();
    d0->hold = true;
    address(10, 1, false);
    out(COMMAND, 0x20);
    out(COMMAND, 0xec);
    out(LOW, 99);
    d0->hold = false;
    release(d0);
    g_assert_cmphex(wait_idle(), ==, 0x58);
    g_assert_cmphex(bp_test_in(host, CMD, 2) & 0xff, ==, d0->data[10 * 512]);
}

static void no_interrupt_while_nien(void)
{
    start();
    bp_test_out(host, CTL, 2, 1);
    command(0xe7);
    g_assert_cmpint(levels[0], ==, 0);
    bp_test_out(host, CTL, 0, 1);
    g_assert_cmpint(levels[0], ==, 1); /* it was pending */
    in(STATUS);
    g_assert_cmpint(levels[0], ==, 0);
}

/* ---- SMART ---- */

static void smart(unsigned feature)
{
    out(FEATURE, feature);
    out(MID, 0x4f);
    out(HIGH, 0xc2);
    command(0xb0);
}

static void smart_answers_when_enabled(void)
{
    uint8_t data[512];

    start();
    smart(0xda);
    g_assert_cmphex(alternate(), ==, 0x51);
    smart(0xd8);
    g_assert_cmphex(alternate(), ==, 0x50);
    smart(0xda);
    g_assert_cmphex(in(MID), ==, 0x4f);
    g_assert_cmphex(in(HIGH), ==, 0xc2);
    out(LOW, 1);
    smart(0xd4);
    g_assert_cmphex(alternate(), ==, 0x50);
    smart(0xd0);
    g_assert_cmphex(alternate(), ==, 0x58);
    read_words(data, 512);
    g_assert_cmpuint(data[2], ==, 1);
    out(LOW, 6);
    out(COUNT, 1);
    smart(0xd5);
    read_words(data, 512);
    g_assert_cmpuint(data[2], ==, 1); /* the short test */
    g_assert_cmpuint(data[508], ==, 1);
    out(MID, 0);
    out(FEATURE, 0xd0);
    g_assert_cmphex(command(0xb0), ==, 0x51); /* without the key */
}

/* ---- saved state ---- */

static void save_restore(void)
{
    void *data, *again, *a_data;
    size_t size, again_size, a_size;
    struct bp_error err = {0};

    g_assert_cmpint(bp_test_save(disk, &data, &size, &err), ==, 0);
    g_assert_cmpint(bp_test_save(adapter, &a_data, &a_size, &err), ==, 0);
    bp_test_reset(host);
    for (unsigned i = 0; i < 4; i++)
        bp_test_step(host, 0);
    if (bp_test_restore(adapter, a_data, a_size, &err) < 0 || bp_test_restore(disk, data, size, &err) < 0)
        g_error("%s", err.message);
    g_assert_cmpint(bp_test_save(disk, &again, &again_size, &err), ==, 0);
    g_assert_cmpmem(data, size, again, again_size);
    free(data);
    free(again);
    free(a_data);
    bp_test_config_write(host, DEVFN, 0x40, 0x80008000, 4);
    bp_test_config_write(host, DEVFN, 0x20, BM, 4);
    bp_test_config_write(host, DEVFN, 4, 5, 2);
}

static void requests_in_flight_are_saved(void)
{
    uint8_t data[512];

    /* a read that the host has not answered */
    start();
    d0->hold = true;
    address(20, 2, false);
    out(COMMAND, 0x20);
    save_restore();
    d0->hold = false;
    g_assert_cmphex(wait_idle(), ==, 0x58);
    read_words(data, 512);
    g_assert_cmpmem(data, 512, d0->data + 20 * 512, 512);
    /* in the middle of a block */
    read_words(data, 100);
    save_restore();
    g_assert_cmphex(alternate(), ==, 0x58);
    read_words(data + 100, 412);
    g_assert_cmpmem(data, 512, d0->data + 21 * 512, 512);
    g_assert_cmphex(wait_idle(), ==, 0x50);
    /* a write with its data */
    memset(data, 0xc3, sizeof(data));
    d0->hold = true;
    address(30, 1, false);
    out(COMMAND, 0x30);
    write_words(data, 512);
    save_restore();
    memset(d0->data + 30 * 512, 0, 512);
    d0->hold = false;
    release(d0);
    g_assert_cmphex(wait_idle(), ==, 0x50);
    g_assert_cmpmem(data, 512, d0->data + 30 * 512, 512);
}

static void dma_that_waits_is_saved(void)
{
    start();
    descriptor(0, MEMORY, 512, true);
    bp_test_out(host, BM + 4, TABLE, 4);
    address(40, 1, false);
    out(COMMAND, 0xc8);
    wait_idle(); /* DMARQ, but the master has not been started */
    save_restore();
    bp_test_out(host, BM, 9, 1);
    for (unsigned i = 0; i < 4; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(bp_test_in(host, BM + 2, 1) & 7, ==, 4);
    g_assert_cmphex(bp_test_read(host, MEMORY + 5, 1), ==, d0->data[40 * 512 + 5]);
}

static void hostile_states_are_refused(void)
{
    void *data;
    size_t size;
    struct bp_error err = {0};
    GRand *rand = g_rand_new_with_seed(7);

    start();
    address(20, 2, false);
    command(0x20);
    g_assert_cmpint(bp_test_save(disk, &data, &size, &err), ==, 0);
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t *bytes = g_memdup2(data, size);

        for (unsigned n = 0; n < 3; n++)
            bytes[g_rand_int_range(rand, 0, (gint32)size)] = (uint8_t)g_rand_int(rand);
        (void)bp_test_restore(disk, bytes, size, &err);
        for (unsigned n = 0; n < 4; n++) {
            (void)bp_test_in(host, CMD, 2);
            bp_test_out(host, CMD, 0, 4);
            bp_test_step(host, 0);
        }
        g_free(bytes);
    }
    free(data);
    g_rand_free(rand);
    bp_test_reset(host);
}

/* ---- random ---- */

static void random_accesses_do_no_harm(void)
{
    GRand *rand = g_rand_new_with_seed(11);
    static const uint8_t favourites[] = {0x20, 0x24, 0x25, 0x30, 0x34, 0x35, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xec,
                                         0xef, 0x91, 0xb0, 0x06, 0x2f, 0xe4, 0xe8, 0x40};

    start();
    for (unsigned i = 0; i < 8; i++)
        descriptor(i, MEMORY + 0x1000 * i, 0x1000, i == 7);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned reg = (unsigned)g_rand_int_range(rand, 0, 20);

        if (reg == 7)
            out(COMMAND, g_rand_boolean(rand) ? favourites[g_rand_int_range(rand, 0, sizeof(favourites))]
                                              : g_rand_int(rand) & 0xff);
        else if (reg < 7 && reg)
            out(reg, g_rand_int(rand) & (reg == 6 ? 0xff : reg >= 4 ? 3 : 0xff));
        else if (reg == 0)
            for (unsigned n = 0; n < 300; n++)
                g_rand_boolean(rand) ? bp_test_out(host, CMD, n, 2) : (void)bp_test_in(host, CMD, 4);
        else if (reg == 8)
            bp_test_out(host, CTL, g_rand_int(rand) & (g_rand_int_range(rand, 0, 30) ? 2 : 0xff), 1);
        else if (reg == 9)
            bp_test_out(host, BM + 4, TABLE, 4);
        else if (reg == 10)
            bp_test_out(host, BM, g_rand_int(rand) & 9, 1);
        else if (reg == 11)
            d0->fail_at = (unsigned)g_rand_int_range(rand, 0, 5);
        else
            bp_test_step(host, 0);
    }
    bp_test_step(host, 0);
    bp_test_out(host, CTL, 4, 1);
    bp_test_out(host, CTL, 0, 1);
    wait_idle();
    g_rand_free(rand);
}

static void wrong_properties_are_refused_in_words(void)
{
    static const struct {
        const char *props, *words;
    } bad[] = {
        {"drive=d1,unit=0", "unit 0 of bus ide.0 is in use"},
        {"drive=d1,unit=2", "units 0 and 1"},
        {"drive=nothing", "nothing"},
        {"unit=1", "'drive' is missing"},
        {"drive=d1,serial=123456789012345678901", "20 characters"},
        {"drive=d1,logical_block_size=4096", "512"},
        {"drive=d1,cyls=10,heads=17,secs=63", "16"},
    };

    for (size_t i = 0; i < BP_COUNT(bad); i++) {
        struct bp_error err = {0};
        struct bp_device *dev;

        g_assert_cmpint(plug_drive(host, "ide-hd", "ide.0", bad[i].props, &dev, &err), <, 0);
        if (!strstr(err.message, bad[i].words))
            g_error("%s: %s", bad[i].props, err.message);
    }
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    make_disk();
#define CASE(name) g_test_add_func("/ide/" #name, name)
    CASE(failed_reads_and_writes_are_told);
    CASE(failing_the_nth_request_never_hangs);
    CASE(reset_while_busy_waits_for_the_old_request);
    CASE(command_while_busy_is_ignored);
    CASE(no_interrupt_while_nien);
    CASE(smart_answers_when_enabled);
    CASE(requests_in_flight_are_saved);
    CASE(dma_that_waits_is_saved);
    CASE(hostile_states_are_refused);
    CASE(random_accesses_do_no_harm);
    CASE(wrong_properties_are_refused_in_words);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
