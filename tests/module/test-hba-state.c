/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SCSI host adapters whose state is saved while a disk has not ended a command: where it is loaded the command is
 * carried out again, and the driver hears of its end once; of what was under way there before, nothing. */
#include "disk/disk.h"

#define BAR 0xe0000000u
#define STATE 0x10000u /* rings, frames */
#define DATA 0x40000u
#define LBA 9u

static struct bp_test_host *host;
static struct bp_device *adapter, *disk;
static struct bp_error err;

static void put32(uint64_t at, uint32_t v)
{
    bp_test_write(host, at, v, 4);
}

static uint32_t get32(uint64_t at)
{
    return (uint32_t)bp_test_read(host, at, 4);
}

static void reg(unsigned at, uint32_t v)
{
    put32(BAR + at, v);
}

static void clear(uint64_t at, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 4)
        put32(at + i, 0);
}

/* ---- drivers ---- */
struct driver {
    const char *type;
    unsigned bar;
    void (*set_up)(void);
    void (*submit)(uint8_t opcode, unsigned lba, unsigned blocks);
    unsigned (*ended)(void); /* commands that the driver was told of */
};

static void put_cdb(uint64_t at, uint8_t opcode, unsigned lba, unsigned blocks)
{
    bp_test_write(host, at, opcode, 1);
    bp_test_write(host, at + 5, lba, 1);
    bp_test_write(host, at + 8, blocks, 1);
}

static void pvscsi_set_up(void)
{
    clear(STATE, 0x3000);
    reg(0, 1);
    reg(0, 3);
    for (unsigned i = 0; i < 132; i++)
        reg(4, i < 2 ? 1 : i == 2 ? STATE >> 12 : i == 4 ? (STATE >> 12) + 1 : i == 68 ? (STATE >> 12) + 2 : 0);
    g_assert_cmphex(get32(BAR + 8), ==, 0);
}

static void pvscsi_submit(uint8_t opcode, unsigned lba, unsigned blocks)
{
    unsigned n = get32(STATE);
    uint64_t at = STATE + 0x1000 + 128 * (n % 32);

    clear(at, 128);
    put32(at, n + 1);
    put32(at + 8, DATA);
    put32(at + 16, 512 * blocks);
    put32(at + 36, opcode == 0x2a ? 16 : 4);
    put_cdb(at + 40, opcode, lba, blocks);
    bp_test_write(host, at + 56, opcode == 0x2a ? 10 : 6, 1);
    put32(STATE, n + 1);
    reg(0x4018, 0);
}

static unsigned pvscsi_ended(void)
{
    return get32(STATE + 12);
}

static unsigned frames;

static void megasas_post(void)
{
    reg(0x40, (STATE + 256 * frames++) | 1);
}

static void megasas_set_up(void)
{
    clear(STATE, 0x8000);
    frames = 0;
    put32(STATE + 0x10, 1);
    put32(STATE + 0x18, STATE + 0x7000);
    put32(STATE + 0x7004, 16);
    put32(STATE + 0x7008, STATE + 0x7100);
    put32(STATE + 0x7010, STATE + 0x7200);
    megasas_post();
    g_assert_cmphex(get32(BAR + 0xb0) >> 28, ==, 0xc);
}

static void megasas_submit(uint8_t opcode, unsigned lba, unsigned blocks)
{
    uint64_t at = STATE + 256 * frames;

    put32(at, 0x00ff0003);
    put32(at + 4, opcode == 0x2a ? 0x010a0000 : 0x00060000);
    put32(at + 8, frames);
    put32(at + 0x10, opcode == 0x2a ? 8 : 0);
    put32(at + 0x14, 512 * blocks);
    put_cdb(at + 0x20, opcode, lba, blocks);
    put32(at + 0x30, DATA);
    put32(at + 0x34, 512 * blocks);
    megasas_post();
}

static unsigned megasas_ended(void)
{
    return get32(STATE + 0x7200);
}

static unsigned told;

static void mptsas_set_up(void)
{
    static const uint32_t init[6] = {0x02000004, 0x00010800, 1, 80, 0, 0};

    clear(STATE, 0x8000);
    frames = told = 0;
    reg(0, 0x40u << 24);
    for (unsigned i = 0; i < 8; i++)
        reg(0x44, STATE + 0x4000 + 128 * i);
    reg(0, 0x42u << 24 | 6u << 16);
    for (unsigned i = 0; i < 6; i++)
        reg(0, init[i]);
    for (unsigned i = 0; i < 10; i++)
        (void)get32(BAR);
    g_assert_cmphex(get32(BAR) >> 28, ==, 2);
}

static void mptsas_submit(uint8_t opcode, unsigned lba, unsigned blocks)
{
    uint64_t at = STATE + 128 * frames;

    put32(at + 4, opcode == 0x2a ? 10 : 6);
    put32(at + 8, ++frames);
    put32(at + 0x14, opcode == 0x2a ? 0x01000000 : 0);
    put_cdb(at + 0x18, opcode, lba, blocks);
    put32(at + 0x28, 512 * blocks);
    put32(at + 0x30, 0xd1000000 | 512 * blocks);
    put32(at + 0x34, DATA);
    reg(0x40, (uint32_t)at);
}

static unsigned mptsas_ended(void)
{
    while (get32(BAR + 0x44) != UINT32_MAX)
        told++;
    return told;
}

static const struct driver drivers[] = {{"pvscsi", 0x10, pvscsi_set_up, pvscsi_submit, pvscsi_ended},
                                        {"megasas", 0x10, megasas_set_up, megasas_submit, megasas_ended},
                                        {"mptsas1068", 0x14, mptsas_set_up, mptsas_submit, mptsas_ended}};

/* ---- the machine ---- */
static void settle(void)
{
    for (unsigned i = 0; i < 20; i++)
        bp_test_step(host, 0);
}

static void connect(const struct driver *d)
{
    unsigned devfn = 0;

    while ((bp_test_config_read(host, devfn, 0, 2) & 0xffff) == 0xffff || devfn == 0)
        g_assert_cmpuint(++devfn, <, 256);
    bp_test_config_write(host, devfn, d->bar, BAR, 4);
    bp_test_config_write(host, devfn, 4, 6, 2);
}

static void start(const struct driver *d)
{
    fill_disks();
    g_assert_cmpint(bp_test_device(host, d->type, "addr=5", &adapter, &err), ==, 0);
    g_assert_cmpint(plug_drive(host, "scsi-hd", "scsi", "drive=d0,scsi-id=0", &disk, &err), ==, 0);
    bp_test_reset(host);
    bp_test_run(host, true);
    connect(d);
    d->set_up();
    d->submit(0, 0, 0); /* takes the unit attention of power-on */
    settle();
    g_assert_cmpuint(d->ended(), ==, 1);
    for (unsigned i = 0; i < 512; i += 4)
        put32(DATA + i, 0x5a5a5a5a);
}

static void stop(void)
{
    bp_device_destroy(disk);
    bp_device_destroy(adapter);
}

static void held_write_is_carried_out_where_it_is_loaded(gconstpointer opaque)
{
    const struct driver *d = opaque;
    void *saved, *saved_disk;
    size_t size, disk_size;

    start(d);
    d0->hold = true;
    d->submit(0x2a, LBA, 1);
    settle();
    g_assert_cmpuint(d->ended(), ==, 1);
    g_assert_cmpint(bp_test_save(adapter, &saved, &size, &err), ==, 0);
    g_assert_cmpint(bp_test_save(disk, &saved_disk, &disk_size, &err), ==, 0);
    bp_test_reset(host); /* the adapter forgets it */
    d0->hold = false;
    release(d0);
    settle();
    g_assert_cmpuint(d->ended(), ==, 1);
    fill_disks();
    connect(d);
    g_assert_cmphex(d0->data[LBA * 512], !=, 0x5a);
    g_assert_cmpint(bp_test_restore(disk, saved_disk, disk_size, &err), ==, 0);
    g_assert_cmpint(bp_test_restore(adapter, saved, size, &err), ==, 0);
    settle();
    g_assert_cmpuint(d->ended(), ==, 2);
    g_assert_cmpuint(d0->requests[BP_BLOCK_WRITE], ==, 1);
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmphex(d0->data[LBA * 512 + i], ==, 0x5a);
    d->submit(0, 0, 0);
    settle();
    g_assert_cmpuint(d->ended(), ==, 3);
    free(saved);
    free(saved_disk);
    stop();
}

static void held_write_of_before_is_not_heard_of(gconstpointer opaque)
{
    const struct driver *d = opaque;
    static uint32_t memory[0x8000 / 4];
    void *saved;
    size_t size;

    start(d);
    for (unsigned i = 0; i < G_N_ELEMENTS(memory); i++)
        memory[i] = get32(STATE + 4 * i);
    g_assert_cmpint(bp_test_save(adapter, &saved, &size, &err), ==, 0);
    d0->hold = true;
    d->submit(0x2a, LBA, 1);
    settle();
    for (unsigned i = 0; i < G_N_ELEMENTS(memory); i++)
        put32(STATE + 4 * i, memory[i]);
    g_assert_cmpint(bp_test_restore(adapter, saved, size, &err), ==, 0);
    d0->hold = false;
    release(d0);
    settle();
    g_assert_cmpuint(d->ended(), ==, 1);
    free(saved);
    stop();
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_assert_cmpint(bp_test_interface(host, "block", 1, (const void **)&fake_block, &err), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        gchar *path = g_strdup_printf("/hba/%s_carries_out_what_was_under_way", drivers[i].type);

        g_test_add_data_func(path, &drivers[i], held_write_is_carried_out_where_it_is_loaded);
        g_free(path);
        path = g_strdup_printf("/hba/%s_says_nothing_of_what_was_before", drivers[i].type);
        g_test_add_data_func(path, &drivers[i], held_write_of_before_is_not_heard_of);
        g_free(path);
    }
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}
