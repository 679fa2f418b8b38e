/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PCI bus (PCI Local Bus 3.0 chapter 6) with a device of the test's own, on the fake host. */
#include <glib.h>

#include <bp/bus/pci.h>
#include <bp/test.h>

#include "registry.h"

#define DEVFN 0x20

struct card {
    int config_writes;
};

static struct bp_test_host *host;
static struct bp_device *dev;
static const struct bp_pci_interface *pci;

static uint64_t card_read(void *opaque, uint64_t addr, unsigned size)
{
    return 0x40 + addr;
}

static void card_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
}

static const struct bp_region_ops card_ops = {
    .size = sizeof(card_ops), .read = card_read, .write = card_write, .max_access = 1};

static void config_written(struct bp_device *card, unsigned offset, unsigned size)
{
    ((struct card *)bp_device_state(card))->config_writes++;
}

static int card_attach(struct bp_device *card, struct bp_error *err)
{
    struct bp_owner *owner = bp_device_owner(card);
    unsigned at;
    int rc;

    g_assert_cmpint(pci->add_bar(card, 3, BP_PCI_BAR_MEM32,
                                 bp_region_new_io(owner, "odd", 48, &card_ops, card), NULL), <, 0);
    rc = pci->add_bar(card, 0, BP_PCI_BAR_MEM32,
                      bp_region_new_io(owner, "mem32", 0x1000, &card_ops, card), err);
    if (rc == 0)
        rc = pci->add_bar(card, 1, BP_PCI_BAR_IO,
                          bp_region_new_io(owner, "io", 0x20, &card_ops, card), err);
    if (rc == 0)
        rc = pci->add_bar(card, 2, BP_PCI_BAR_MEM64 | BP_PCI_BAR_PREFETCH,
                          bp_region_new_io(owner, "mem64", 1ull << 33, &card_ops, card), err);
    g_assert_cmpint(pci->add_bar(card, 3, BP_PCI_BAR_MEM32,
                                 bp_region_new_io(owner, "used", 64, &card_ops, card), NULL), <, 0);
    if (rc == 0)
        rc = pci->add_capability(card, 0x01, 8, &at, err);
    if (rc == 0)
        rc = pci->add_capability(card, 0x05, 10, &at, err);
    return rc;
}

static const struct bp_pci_info card_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x5678, .revision = 9,
    .class_code = 0x0200, .interrupt_pin = 2, .config_written = config_written};
static const struct bp_device_class card_class = {
    .type = {.size = sizeof(struct bp_device_class), .name = "test-card", .summary = "A card",
             .state_size = sizeof(struct card)},
    .bus = "pci", .bus_info = &card_info, .attach = card_attach};
static const struct bp_provide provides[] = {
    {BP_PROVIDE_DEVICE, &card_class}, {BP_PROVIDE_END, NULL}};

static uint32_t get(unsigned offset, unsigned size)
{
    return bp_test_config_read(host, DEVFN, offset, size);
}

static void set(unsigned offset, uint32_t value, unsigned size)
{
    bp_test_config_write(host, DEVFN, offset, value, size);
}

static void header_and_capabilities(void)
{
    g_assert_cmphex(get(0x00, 4), ==, 0x56781234);
    g_assert_cmphex(get(0x08, 4), ==, 0x02000009);
    g_assert_cmphex(get(0x3d, 1), ==, 2);
    g_assert_cmphex(get(0x06, 2) & 0x10, ==, 0x10);
    g_assert_cmphex(get(0x34, 1), ==, 0x40);
    g_assert_cmphex(get(0x40, 2), ==, 0x4801);
    g_assert_cmphex(get(0x48, 2), ==, 0x0005);
    g_assert_cmphex(get(0xfe, 4), ==, UINT32_MAX); /* over the end */
}

static void bars_tell_their_sizes(void)
{
    bp_test_reset(host);
    for (unsigned bar = 0x10; bar < 0x28; bar += 4)
        set(bar, UINT32_MAX, 4);
    g_assert_cmphex(get(0x10, 4), ==, 0xfffff000);
    g_assert_cmphex(get(0x14, 4), ==, 0xffffffe1);
    g_assert_cmphex(get(0x18, 4), ==, 0x0000000c);
    g_assert_cmphex(get(0x1c, 4), ==, 0xfffffffe);
    g_assert_cmphex(get(0x20, 4), ==, 0);
}

static void bars_answer_while_enabled(void)
{
    bp_test_reset(host);
    set(0x10, 0xe0000000, 4);
    set(0x14, 0xc000, 4);
    set(0x18, 0, 4);
    set(0x1c, 0x10, 4);
    g_assert_cmphex(bp_test_read(host, 0xe0000001, 1), ==, 0xff);
    set(0x04, 3, 2);
    g_assert_cmphex(bp_test_read(host, 0xe0000001, 1), ==, 0x41);
    g_assert_cmphex(bp_test_in(host, 0xc01f, 1), ==, 0x5f);
    g_assert_cmphex(bp_test_read(host, 0x1000000002ull, 1), ==, 0x42);
    set(0x10, 0xe1000000, 4);
    g_assert_cmphex(bp_test_read(host, 0xe0000001, 1), ==, 0xff);
    g_assert_cmphex(bp_test_read(host, 0xe1000001, 1), ==, 0x41);
    set(0x10, UINT32_MAX, 4); /* sizing must not put it at the end of memory */
    g_assert_cmphex(bp_test_read(host, 0xfffff001, 1), ==, 0xff);
    g_assert_cmphex(bp_test_read(host, 0xe1000001, 1), ==, 0xff);
    set(0x04, 1, 2);
    g_assert_cmphex(bp_test_read(host, 0x1000000002ull, 1), ==, 0xff);
    g_assert_cmphex(bp_test_in(host, 0xc000, 1), ==, 0x40);
    bp_test_reset(host);
    g_assert_cmphex(bp_test_in(host, 0xc000, 1), ==, 0xff);
}

static void intx_follows_level_and_disable(void)
{
    bp_test_reset(host);
    pci->set_irq(dev, 1);
    g_assert_cmpint(bp_test_line(host, 17), ==, 1);
    g_assert_cmphex(get(0x06, 2) & 8, ==, 8);
    set(0x05, 0x04, 1);
    g_assert_cmpint(bp_test_line(host, 17), ==, 0);
    set(0x05, 0x00, 1);
    g_assert_cmpint(bp_test_line(host, 17), ==, 1);
    pci->set_irq(dev, 0);
    g_assert_cmpint(bp_test_line(host, 17), ==, 0);
}

static void configuration_survives_saving(void)
{
    struct bp_error err = {0};
    void *data;
    size_t size;

    bp_test_reset(host);
    set(0x14, 0xd000, 4);
    set(0x04, 1, 2);
    set(0x3c, 0x0b, 1);
    g_assert_cmpint(bp_test_save(dev, &data, &size, &err), ==, 0);
    bp_test_reset(host);
    g_assert_cmphex(bp_test_in(host, 0xd000, 1), ==, 0xff);
    g_assert_cmpint(bp_test_restore(dev, data, size, &err), ==, 0);
    g_assert_cmphex(bp_test_in(host, 0xd000, 1), ==, 0x40);
    g_assert_cmphex(get(0x3c, 1), ==, 0x0b);
    free(data);
}

static void places_conflict_by_name(void)
{
    struct bp_error err = {0};
    struct bp_device *other;

    g_assert_cmpint(bp_test_device(host, "test-card", "addr=04.0", &other, &err), <, 0);
    g_assert_cmpstr(err.message, ==,
                    "PCI: slot 4 function 0 not available for test-card, in use by test-card");
    g_assert_cmpint(bp_test_device(host, "test-card", "addr=0x4.1", &other, &err), <, 0);
    g_assert_nonnull(strstr(err.message, "multifunction"));
    g_assert_cmpint(bp_test_device(host, "test-card", "addr=1f,multifunction=on", &other, &err), ==,
                    0);
    g_assert_cmphex(bp_test_config_read(host, 0xf8, 0x0e, 1), ==, 0x80);
    bp_device_destroy(other);
    g_assert_cmphex(bp_test_config_read(host, 0xf8, 0, 4), ==, UINT32_MAX);
    g_assert_cmpint(bp_test_device(host, "test-card", "romfile=x.rom", &other, &err), <, 0);
}

static void full_bus_says_so(void)
{
    struct bp_error err = {0};
    struct bp_device *others[32];
    unsigned n = 0;

    while (bp_test_device(host, "test-card", NULL, &others[n], &err) == 0)
        n++;
    g_assert_cmpuint(n, ==, 30); /* slots 1 to 31 but for the card's own */
    g_assert_nonnull(strstr(err.message, "all in use"));
    while (n)
        bp_device_destroy(others[--n]);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_register_all("test-pci", provides, &err) < 0 ||
        bpc_require_interface("pci", 1, (const void **)&pci, &err) < 0 ||
        bp_test_device(host, "test-card", "addr=04.0", &dev, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/pci/" #name, name)
    CASE(header_and_capabilities);
    CASE(bars_tell_their_sizes);
    CASE(bars_answer_while_enabled);
    CASE(intx_follows_level_and_disable);
    CASE(configuration_survives_saving);
    CASE(places_conflict_by_name);
    CASE(full_bus_says_so);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
