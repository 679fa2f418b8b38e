/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firmware configuration device on the fake host: ports, directory, DMA. */
#include <glib.h>

#include <bp/chip/fw-cfg.h>
#include <bp/test.h>

#include "registry.h"

static struct bp_test_host *host;
static struct bp_device *dev;
static const struct bp_fw_cfg_interface *fw_cfg;

static void select_item(uint16_t key)
{
    bp_test_out(host, 0x510, key, 2);
}

static unsigned byte(void)
{
    return (unsigned)bp_test_in(host, 0x511, 1);
}

static uint32_t be32(void)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++)
        v = v << 8 | byte();
    return v;
}

static void signature_and_id(void)
{
    select_item(0);
    for (const char *p = "QEMU"; *p; p++)
        g_assert_cmpuint(byte(), ==, (guint)*p);
    g_assert_cmpuint(byte(), ==, 0); /* past the end */
    select_item(1);
    g_assert_cmpuint(byte(), ==, 3);
    select_item(0x1234);
    g_assert_cmpuint(byte(), ==, 0);
    bp_test_out(host, 0x510, 0, 1); /* a byte selects nothing */
    g_assert_cmpuint(byte(), ==, 0);
}

static void directory_is_sorted(void)
{
    static const char *const names[] = {"etc/a", "etc/b", "opt/z"};
    char name[57] = "";

    g_assert_cmpint(fw_cfg->add_file(dev, "opt/z", "Z", 1, NULL), ==, 0);
    g_assert_cmpint(fw_cfg->add_file(dev, "etc/b", "bb", 2, NULL), ==, 0);
    g_assert_cmpint(fw_cfg->add_file(dev, "etc/a", "old", 3, NULL), ==, 0);
    g_assert_cmpint(fw_cfg->add_file(dev, "etc/a", "aaaa", 4, NULL), ==, 0);
    select_item(0x19);
    g_assert_cmpuint(be32(), ==, 3);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(be32(), ==, i == 0 ? 4 : i == 1 ? 2 : 1);
        g_assert_cmphex(be32(), ==, (0x20 + i) << 16);
        for (unsigned j = 0; j < 56; j++)
            name[j] = (char)byte();
        g_assert_cmpstr(name, ==, names[i]);
    }
    select_item(0x21);
    g_assert_cmpuint(byte(), ==, 'b');
}

static void impossible_items_are_refused(void)
{
    struct bp_error err = {0};
    char name[57] = "";

    g_assert_cmpint(fw_cfg->add(dev, 0x20, "", 0, &err), <, 0);
    g_assert_cmpint(fw_cfg->add_file(dev, "", "", 0, &err), <, 0);
    memset(name, 'x', 56); /* one byte too many */
    g_assert_cmpint(fw_cfg->add_file(dev, name, "", 0, &err), <, 0);
}

static void put_be32(uint64_t at, uint32_t v)
{
    bp_test_write(host, at, GUINT32_SWAP_LE_BE(v), 4);
}

static uint32_t dma(uint32_t control, uint32_t len, uint64_t address)
{
    put_be32(0x1000, control);
    put_be32(0x1004, len);
    put_be32(0x1008, (uint32_t)(address >> 32));
    put_be32(0x100c, (uint32_t)address);
    bp_test_out(host, 0x514, 0, 4);
    bp_test_out(host, 0x518, GUINT32_SWAP_LE_BE(0x1000u), 4);
    return GUINT32_SWAP_LE_BE((uint32_t)bp_test_read(host, 0x1000, 4));
}

static void dma_reads_items(void)
{
    g_assert_cmphex(bp_test_in(host, 0x514, 4), ==, 0x554d4551); /* "QEMU" in memory order */
    g_assert_cmphex(bp_test_in(host, 0x518, 4), ==, 0x47464320); /* " CFG" */
    g_assert_cmpint(fw_cfg->add(dev, 0x05, "\x12\x34\x56", 3, NULL), ==, 0);
    bp_test_write(host, 0x2000, UINT64_MAX, 8);
    g_assert_cmphex(dma(0x0005000a, 6, 0x2000), ==, 0);
    g_assert_cmphex(bp_test_read(host, 0x2000, 8), ==, 0xffff000000563412ull);
    g_assert_cmphex(dma(0x0005000c, 1, 0), ==, 0); /* skip */
    g_assert_cmpuint(byte(), ==, 0x34);
    g_assert_cmphex(dma(0x00050018, 1, 0x2000), ==, 1); /* nothing may be written */
    g_assert_cmphex(dma(0x0005000a, 6, 0xfffffff000000000ull), ==, 1); /* no memory there */
}

/* Bit 15 of the selector chooses the architecture's own keys, which are others than the common ones. */
static void architecture_keys_are_apart(void)
{
    g_assert_cmpint(fw_cfg->add(dev, 0x8001, "pc", 2, NULL), ==, 0);
    g_assert_cmpint(fw_cfg->add(dev, 0x8020, "", 0, NULL), <, 0);
    select_item(0x8000); /* not the signature */
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(byte(), ==, 0);
    select_item(0x8001);
    g_assert_cmphex(byte(), ==, 'p');
    select_item(0x8020); /* not the first file */
    g_assert_cmphex(byte(), ==, 0);
    select_item(0x4000); /* bit 14 only tells the direction */
    g_assert_cmphex(byte(), ==, 'Q');
    bp_test_write(host, 0x2000, UINT64_MAX, 8);
    g_assert_cmphex(dma(0x8000000a, 4, 0x2000), ==, 0);
    g_assert_cmphex(bp_test_read(host, 0x2000, 8), ==, 0xffffffff00000000ull);
    g_assert_cmphex(dma(0x8001000a, 2, 0x2000), ==, 0);
    g_assert_cmphex(bp_test_read(host, 0x2000, 2), ==, 0x6370);
}

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static uint32_t key_of(const char *name)
{
    uint32_t found = 0, files;

    select_item(0x19);
    files = be32();
    for (uint32_t i = 0; i < files; i++) {
        char text[57] = "";
        uint32_t key;

        be32();
        key = be32() >> 16;
        for (unsigned j = 0; j < 56; j++)
            text[j] = (char)byte();
        if (!strcmp(text, name))
            found = key;
    }
    g_assert_cmphex(found, !=, 0);
    return found;
}

static void writable_files_take_what_fits(void)
{
    unsigned writes = 0;
    struct bp_error err = {0};
    size_t len = 0;
    uint32_t key;

    g_assert_cmpint(fw_cfg->add_writable(dev, "etc/w", "12345678", 8, count, &writes, NULL), ==, 0);
    key = key_of("etc/w") << 16;
    bp_test_write(host, 0x2000, 0x44434241, 4);
    g_assert_cmphex(dma(key | 0x18, 4, 0x2000), ==, 0);
    g_assert_cmpuint(writes, ==, 1);
    g_assert_cmpint(memcmp(fw_cfg->content(dev, "etc/w", &len), "ABCD5678", 8), ==, 0);
    g_assert_cmpuint(len, ==, 8);
    g_assert_cmphex(dma(0x10, 4, 0x2000), ==, 0); /* where the last one ended */
    g_assert_cmphex(dma(0x10, 1, 0x2000), ==, 1); /* beyond its end */
    g_assert_cmphex(dma(key | 0x18, 9, 0x2000), ==, 1);
    g_assert_cmphex(dma(key | 0x18, UINT32_MAX, 0x2000), ==, 1);
    g_assert_cmpint(memcmp(fw_cfg->content(dev, "etc/w", &len), "ABCDABCD", 8), ==, 0);
    g_assert_cmpuint(writes, ==, 2);
    g_assert_cmpint(fw_cfg->add_writable(dev, "etc/big", "", 4097, NULL, NULL, &err), <, 0);
    g_assert_null(fw_cfg->content(dev, "etc/none", &len));
}

static void files_are_brought_up_to_date_when_selected(void)
{
    unsigned selected = 0;
    uint32_t key;

    g_assert_cmpint(fw_cfg->add_file(dev, "etc/fresh", "x", 1, NULL), ==, 0);
    g_assert_cmpint(fw_cfg->on_select(dev, "etc/fresh", count, &selected, NULL), ==, 0);
    g_assert_cmpint(fw_cfg->on_select(dev, "etc/none", count, &selected, NULL), <, 0);
    key = key_of("etc/fresh");
    select_item((uint16_t)key);
    g_assert_cmpuint(selected, ==, 1);
    g_assert_cmpuint(byte(), ==, 'x');
    g_assert_cmpuint(selected, ==, 1);
    g_assert_cmphex(dma(key << 16 | 0x0a, 1, 0x2000), ==, 0);
    g_assert_cmpuint(selected, ==, 2);
}

/* The guest may know them from the directory. */
static void selectors_stay_once_the_guest_has_looked(void)
{
    uint32_t key;

    g_assert_cmpint(fw_cfg->add_file(dev, "etc/known", "k", 1, NULL), ==, 0);
    key = key_of("etc/known");
    g_assert_cmpint(fw_cfg->add_file(dev, "etc/a-late-one", "l", 1, NULL), ==, 0);
    g_assert_cmphex(key_of("etc/known"), ==, key);
    select_item((uint16_t)key);
    g_assert_cmpuint(byte(), ==, 'k');
    select_item((uint16_t)key_of("etc/a-late-one"));
    g_assert_cmpuint(byte(), ==, 'l');
}

static uint32_t state_of_dma(void)
{
    return GUINT32_SWAP_LE_BE((uint32_t)bp_test_read(host, 0x1000, 4));
}

static void long_reads_go_step_by_step(void)
{
    uint32_t bytes = (512u << 10) + 1024;
    void *saved;
    size_t size;

    bp_test_write(host, 0x10000 + bytes - 8, UINT64_MAX, 8);
    bp_test_write(host, 0x10000 + bytes, UINT64_MAX, 8);
    g_assert_cmphex(dma(0x0000000a, bytes, 0x10000), !=, 0); /* under way */
    g_assert_cmphex(bp_test_read(host, 0x10000, 8), ==, 0x554d4551);
    g_assert_cmphex(bp_test_read(host, 0x10000 + bytes - 8, 8), ==, UINT64_MAX);
    bp_test_write(host, 0x3000, 0, 8);
    bp_test_write(host, 0x3008, 0, 8);
    bp_test_out(host, 0x518, GUINT32_SWAP_LE_BE(0x3000u), 4);
    g_assert_cmphex(GUINT32_SWAP_LE_BE((uint32_t)bp_test_read(host, 0x3000, 4)), ==, 1); /* one at a time */
    g_assert_cmpint(bp_test_save(dev, &saved, &size, NULL), ==, 0);
    for (unsigned i = 0; i < 20; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(state_of_dma(), ==, 0);
    g_assert_cmphex(bp_test_read(host, 0x10000 + bytes - 8, 8), ==, 0);
    g_assert_cmphex(bp_test_read(host, 0x10000 + bytes, 8), ==, UINT64_MAX);
    /* What was saved on the way goes on where it is loaded. */
    bp_test_write(host, 0x10000 + bytes - 8, UINT64_MAX, 8);
    g_assert_cmpint(bp_test_restore(dev, saved, size, NULL), ==, 0);
    for (unsigned i = 0; i < 20; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(bp_test_read(host, 0x10000 + bytes - 8, 8), ==, 0);
    free(saved);
    g_assert_cmphex(dma(0x0000000a, UINT32_MAX, 0x10000), !=, 0);
    for (unsigned i = 0; i < 5000 && state_of_dma() & ~1u; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(state_of_dma(), ==, 1); /* beyond the memory */
    g_assert_cmphex(dma(0x0000000a, bytes, 0x10000), !=, 0);
    bp_test_reset(host);
    for (unsigned i = 0; i < 20; i++)
        bp_test_step(host, 0);
    g_assert_cmphex(state_of_dma(), !=, 0); /* a reset ends it without a word */
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_device(host, "fw_cfg_io", NULL, &dev, &err) < 0 ||
        bpc_require_interface("fw-cfg", 1, (const void **)&fw_cfg, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/fw-cfg/" #name, name)
    CASE(directory_is_sorted); /* first: then the guest has looked */
    CASE(signature_and_id);
    CASE(impossible_items_are_refused);
    CASE(dma_reads_items);
    CASE(architecture_keys_are_apart);
    CASE(writable_files_take_what_fits);
    CASE(selectors_stay_once_the_guest_has_looked);
    CASE(long_reads_go_step_by_step);
    CASE(files_are_brought_up_to_date_when_selected);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
