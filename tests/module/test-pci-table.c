/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions that are a constant table, bridges and what is behind them (PCI Local Bus 3.0, PCI-to-PCI
 * Bridge 1.2), on the fake host with devices of the test's own.
 */
#include <glib.h>
#include <stdlib.h>

#include <bp/bus/pci.h>
#include <bp/test.h>

#include "registry.h"
#include "../house/work-folder.h"

#define CARD 0x20
#define BRIDGE 0x28

struct card {
    uint32_t value;
    unsigned resets;
};

struct bridge {
    struct bp_bus *bus;
};

static struct bp_test_host *host;
static struct bp_device *card, *bridge, *behind;
static const struct bp_pci_interface *pci;

static uint64_t card_read(void *opaque, uint64_t addr, unsigned size)
{
    return ((struct card *)opaque)->value;
}

static void card_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    ((struct card *)opaque)->value = (uint32_t)value;
}

static const struct bp_region_ops card_ops = {
    .size = sizeof(card_ops), .read = card_read, .write = card_write, .min_access = 4,
    .max_access = 4};
static const struct bp_pci_field card_fields[] = {
    {.offset = 0xf0, .width = 4, .value = 0x11223344, .rw = 0x0000ffff, .w1c = 0x00ff0000},
    {.offset = 0xf4, .width = 2, .value = 0x5, .rw = 0xff, .flags = BP_PCI_STICKY},
    {.offset = 0xf8, .width = 1, .value = 1, .live = 3},
    BP_PCI_FIELDS_END,
};
static const struct bp_pci_field vendor_fields[] = {
    {.offset = 2, .width = 1, .value = 8}, {.offset = 4, .width = 4, .rw = 0xf0}, BP_PCI_FIELDS_END};
static const struct bp_pci_capability card_capabilities[] = {
    {.id = 0x09, .size = 8, .at = 0x80, .fields = vendor_fields}, BP_PCI_CAPABILITIES_END};

static void card_reset(struct bp_device *dev)
{
    ((struct card *)bp_device_state(dev))->resets++;
}

static const struct bp_pci_info card_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0x5678, .class_code = 0x0880,
    .interrupt_pin = 1, .msi = 4, .flags = BP_PCI_FLAG_POWER | BP_PCI_FLAG_RESET | BP_PCI_FLAG_MSI_MASKING,
    .bar[1] = {BP_PCI_BAR_MEM32, 0x1000, "card", &card_ops}, .msix = {.vectors = 2, .bar = 2},
    .fields = card_fields, .capabilities = card_capabilities};
static const struct bp_device_class card_class = {
    .type = {.size = sizeof(struct bp_device_class), .name = "test-card", .summary = "A card",
             .state_size = sizeof(struct card)},
    .bus = "pci", .bus_info = &card_info, .reset = card_reset};

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_secondary what = {.size = sizeof(what), .type = "pci", .name = "behind",
                                          .first_slot = 1};

    return pci->new_bus(dev, &what, &((struct bridge *)bp_device_state(dev))->bus, err);
}

static const struct bp_pci_info bridge_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x1234, .device = 0xb41d, .class_code = 0x0604,
    .header_type = 1};
static const struct bp_device_class bridge_class = {
    .type = {.size = sizeof(struct bp_device_class), .name = "test-pci-bridge", .summary = "A bridge",
             .state_size = sizeof(struct bridge)},
    .bus = "pci", .bus_info = &bridge_info, .attach = bridge_attach};
static const struct bp_provide provides[] = {
    {BP_PROVIDE_DEVICE, &card_class}, {BP_PROVIDE_DEVICE, &bridge_class}, {BP_PROVIDE_END, NULL}};

static uint32_t get(unsigned offset, unsigned size)
{
    return bp_test_config_read(host, CARD, offset, size);
}

static void set(unsigned offset, uint32_t value, unsigned size)
{
    bp_test_config_write(host, CARD, offset, value, size);
}

static void bridge_set(unsigned offset, uint32_t value, unsigned size)
{
    bp_test_config_write(host, BRIDGE, offset, value, size);
}

static struct bp_bus *root(void)
{
    return bp_device_bus(bridge);
}

static uint32_t far_get(unsigned bus, unsigned devfn, unsigned offset, unsigned size)
{
    return pci->config_read(root(), bus, devfn, offset, size);
}

static void far_set(unsigned bus, unsigned devfn, unsigned offset, uint32_t value, unsigned size)
{
    pci->config_write(root(), bus, devfn, offset, value, size);
}

static void fields_keep_what_they_promise(void)
{
    bp_test_reset(host);
    g_assert_cmphex(get(0xf0, 4), ==, 0x11223344);
    set(0xf0, 0xffffffff, 4);
    g_assert_cmphex(get(0xf0, 4), ==, 0x1100ffff);
    set(0xf8, 0xff, 1);
    g_assert_cmphex(get(0xf8, 1), ==, 1);
    pci->set_config(card, 0xf8, 1, 1, 2);
    g_assert_cmphex(get(0xf8, 1), ==, 2);
    set(0xf4, 0x77, 2);
    bp_device_reset(card);
    g_assert_cmphex(get(0xf0, 4), ==, 0x11223344);
    g_assert_cmphex(get(0xf4, 2), ==, 0x77);
    g_assert_cmphex(get(0xf8, 1), ==, 1);
    bp_test_reset(host);
    g_assert_cmphex(get(0xf4, 2), ==, 5);
}

static void capabilities_form_one_list(void)
{
    unsigned seen = 0, at = get(0x34, 1);

    for (unsigned n = 0; at && n < 16; n++, at = get(at + 1, 1))
        seen |= 1u << get(at, 1);
    g_assert_cmphex(seen, ==, 1u << 1 | 1u << 5 | 1u << 9 | 1u << 0x11 | 1u << 0x13);
    g_assert_cmphex(get(0x80, 1), ==, 9);
    g_assert_cmphex(pci->capability(card, 9, false), ==, 0x80);
    g_assert_cmphex(pci->capability(card, 0x10, false), ==, 0);
    set(0x84, 0xffffffff, 4);
    g_assert_cmphex(get(0x84, 4), ==, 0xf0);
}

static void function_level_reset_resets_the_function(void)
{
    struct card *c = bp_device_state(card);
    unsigned at = pci->capability(card, 0x13, false), before;

    bp_test_reset(host);
    set(0x3c, 0x0b, 1);
    set(0xf4, 0x66, 2);
    before = c->resets;
    set(at + 4, 1, 1);
    g_assert_cmpuint(c->resets, ==, before + 1);
    g_assert_cmphex(get(0x3c, 1), ==, 0);
    g_assert_cmphex(get(0xf4, 2), ==, 0x66);
    g_assert_cmphex(get(at + 4, 1), ==, 0);
}

static void function_asleep_does_not_answer(void)
{
    unsigned at = pci->capability(card, 1, false);

    bp_test_reset(host);
    set(0x14, 0xe0000000, 4);
    set(0x04, 6, 2);
    bp_test_write(host, 0xe0000000, 0x1234, 4);
    g_assert_cmphex(bp_test_read(host, 0xe0000000, 4), ==, 0x1234);
    set(at + 4, 1, 2); /* D1, which there is not */
    g_assert_cmphex(get(at + 4, 2) & 3, ==, 0);
    set(at + 4, 3, 2);
    g_assert_cmphex(get(at + 4, 2) & 3, ==, 3);
    g_assert_cmphex(bp_test_read(host, 0xe0000000, 4), ==, 0xffffffff);
    g_assert_cmpint(pci->dma_read(card, 0, &(char){0}, 1), ==, -EPERM);
    set(at + 4, 0, 2);
    g_assert_cmphex(bp_test_read(host, 0xe0000000, 4), ==, 0x1234);
    g_assert_cmpint(pci->dma_read(card, 0, &(char){0}, 1), ==, 0);
}

static void place_behind(void)
{
    bp_test_reset(host);
    bridge_set(0x18, 0x00070700, 4); /* bus 7 */
    bridge_set(0x1c, 0xd0c0, 2);     /* ports 0xc000-0xdfff */
    bridge_set(0x20, 0xe1f0e1f0, 4); /* 0xe1f00000-0xe1ffffff */
    bridge_set(0x24, 0xfff1fff1, 4); /* 0xcfff00000-0xcffffffff */
    bridge_set(0x28, 0xc, 4);
    bridge_set(0x2c, 0xc, 4);
    bridge_set(0x04, 7, 2);
}

static void configuration_goes_through_bridges(void)
{
    bp_test_reset(host);
    g_assert_cmphex(far_get(7, 0x10, 0, 4), ==, 0xffffffff);
    place_behind();
    g_assert_cmphex(far_get(7, 0x10, 0, 4), ==, 0x56781234);
    g_assert_cmphex(far_get(7, 0x18, 0, 4), ==, 0xffffffff);
    g_assert_cmphex(far_get(8, 0x10, 0, 4), ==, 0xffffffff);
    g_assert_cmphex(pci->requester(behind), ==, 0x0710);
    g_assert_cmphex(pci->requester(card), ==, CARD);
}

static void windows_let_through_what_is_in_them(void)
{
    place_behind();
    far_set(7, 0x10, 0x14, 0xe1f00000, 4);
    far_set(7, 0x10, 0x04, 6, 2);
    bp_test_write(host, 0xe1f00000, 0x77, 4);
    g_assert_cmphex(bp_test_read(host, 0xe1f00000, 4), ==, 0x77);
    far_set(7, 0x10, 0x14, 0xe2000000, 4); /* outside */
    g_assert_cmphex(bp_test_read(host, 0xe2000000, 4), ==, 0xffffffff);
    bridge_set(0x20, 0xe200e1f0, 4);
    g_assert_cmphex(bp_test_read(host, 0xe2000000, 4), ==, 0x77);
    far_set(7, 0x10, 0x14, 0xe1f01000, 4); /* moves inside of a window that stays */
    g_assert_cmphex(bp_test_read(host, 0xe1f01000, 4), ==, 0x77);
    bridge_set(0x04, 5, 2); /* memory off */
    g_assert_cmphex(bp_test_read(host, 0xe1f01000, 4), ==, 0xffffffff);
    bridge_set(0x04, 7, 2);
    bridge_set(0x20, 0x0000fff0, 4); /* base above limit: closed */
    g_assert_cmphex(bp_test_read(host, 0xe1f01000, 4), ==, 0xffffffff);
}

static void bridge_is_the_master_of_what_is_behind(void)
{
    char byte;

    place_behind();
    far_set(7, 0x10, 0x04, 4, 2);
    g_assert_cmpint(pci->dma_read(behind, 0, &byte, 1), ==, 0);
    bridge_set(0x04, 3, 2);
    g_assert_cmpint(pci->dma_read(behind, 0, &byte, 1), ==, -EPERM);
}

static void pins_are_swizzled(void)
{
    place_behind();
    pci->set_irq(behind, 1); /* slot 2, INTA: INTC at the bridge */
    g_assert_cmpint(bp_test_line(host, 16), ==, 0);
    g_assert_cmpint(bp_test_line(host, 18), ==, 1);
    pci->set_irq(behind, 0);
    g_assert_cmpint(bp_test_line(host, 18), ==, 0);
}

static void bridge_resets_what_is_behind(void)
{
    struct card *c = bp_device_state(behind);
    unsigned before;

    place_behind();
    far_set(7, 0x10, 0x3c, 0x0b, 1);
    before = c->resets;
    bridge_set(0x3e, 0x40, 2);
    g_assert_cmpuint(c->resets, ==, before + 1);
    bridge_set(0x3e, 0x40, 2);
    g_assert_cmpuint(c->resets, ==, before + 1);
    bridge_set(0x3e, 0, 2);
    g_assert_cmphex(far_get(7, 0x10, 0x3c, 1), ==, 0);
    g_assert_cmpuint(((struct card *)bp_device_state(card))->resets, >, 0);
}

static void interrupt_takes_the_way_that_is_on(void)
{
    unsigned msi = pci->capability(card, 5, false);
    uint64_t address;
    uint32_t data;

    bp_test_reset(host);
    bp_test_reset_rises(host);
    pci->interrupt(card, 1, 1);
    g_assert_cmpint(bp_test_line(host, 16), ==, 1);
    pci->interrupt(card, 1, 0);
    set(0x04, 4, 2);
    set(msi + 4, 0xfee00000, 4);
    set(msi + 12, 0x40, 2);
    set(msi + 2, 0x21, 2); /* four vectors */
    pci->interrupt(card, 1, 1);
    pci->interrupt(card, 1, 1); /* it did not rise */
    g_assert_cmpint(bp_test_line(host, 16), ==, 0);
    g_assert_cmpuint(bp_test_messages(host), ==, 1);
    g_assert_true(bp_test_last_message(host, &address, &data));
    g_assert_cmphex(data, ==, 0x41);
}

static void write_file(const char *name, size_t size)
{
    char *text = g_malloc(size);

    memset(text, 'x', size);
    text[0] = 0x55;
    text[1] = (char)0xaa;
    g_assert_true(g_file_set_contents(name, text, (gssize)size, NULL));
    g_free(text);
}

static void rom_answers_while_enabled(void)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    write_file("./test.rom", 5000);
    g_assert_cmpint(bp_test_device(host, "test-card", "addr=9,romfile=./test.rom", &dev, &err), ==, 0);
    bp_test_config_write(host, 0x48, 0x30, 0xffffffff, 4);
    g_assert_cmphex(bp_test_config_read(host, 0x48, 0x30, 4), ==, 0xffffe001);
    bp_test_config_write(host, 0x48, 0x30, 0xe3000001, 4);
    g_assert_cmphex(bp_test_read(host, 0xe3000000, 2), ==, 0xffff);
    bp_test_config_write(host, 0x48, 0x04, 2, 2);
    g_assert_cmphex(bp_test_read(host, 0xe3000000, 4), ==, 0x7878aa55);
    g_assert_cmphex(bp_test_read(host, 0xe3001fff, 1), ==, 0xff);
    bp_test_write(host, 0xe3000000, 0, 4);
    g_assert_cmphex(bp_test_read(host, 0xe3000000, 4), ==, 0x7878aa55);
    bp_test_config_write(host, 0x48, 0x30, 0xe3000000, 4);
    g_assert_cmphex(bp_test_read(host, 0xe3000000, 2), ==, 0xffff);
    bp_device_destroy(dev);
    g_assert_cmpint(bp_test_device(host, "test-card", "addr=9,romfile=./test.rom,rombar=0", &dev, &err),
                    ==, 0);
    bp_test_config_write(host, 0x48, 0x30, 0xffffffff, 4);
    g_assert_cmphex(bp_test_config_read(host, 0x48, 0x30, 4), ==, 0);
    bp_device_destroy(dev);
}

static void wrong_roms_are_refused_in_words(void)
{
    static const char *const wrong[][2] = {
        {"romfile=./no-such.rom", "no such file"},
        {"romfile=./test.rom,romsize=5000", "power of two"},
        {"romfile=./test.rom,romsize=4096", "too small"},
        {"romfile=./empty.rom", "1 byte to 16 MiB"},
        {"romsize=1024", "power of two"},
    };
    struct bp_device *dev;

    write_file("./test.rom", 5000);
    g_assert_true(g_file_set_contents("./empty.rom", "", 0, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct bp_error err = {0};

        g_assert_cmpint(bp_test_device(host, "test-card", wrong[i][0], &dev, &err), <, 0);
        g_test_message("%s", err.message);
        g_assert_nonnull(strstr(err.message, wrong[i][1]));
    }
    unlink("./test.rom");
    unlink("./empty.rom");
}

static void saved_bridge_is_the_same_again(void)
{
    struct bp_error err = {0};
    void *data;
    size_t size;

    place_behind();
    g_assert_cmpint(bp_test_save(bridge, &data, &size, &err), ==, 0);
    bp_test_reset(host);
    g_assert_cmphex(far_get(7, 0x10, 0, 4), ==, 0xffffffff);
    g_assert_cmpint(bp_test_restore(bridge, data, size, &err), ==, 0);
    g_assert_cmphex(far_get(7, 0x10, 0, 4), ==, 0x56781234);
    far_set(7, 0x10, 0x14, 0xe1f00000, 4);
    far_set(7, 0x10, 0x04, 2, 2);
    bp_test_write(host, 0xe1f00000, 0x99, 4);
    g_assert_cmphex(bp_test_read(host, 0xe1f00000, 4), ==, 0x99);
    free(data);
}

static int make(struct bp_error *err)
{
    struct bp_bus *bus;
    int r = bp_test_device(host, "test-card", "addr=04.0", &card, err);

    if (r == 0)
        r = bp_test_device(host, "test-pci-bridge", "addr=05.0", &bridge, err);
    if (r < 0)
        return r;
    bus = ((struct bridge *)bp_device_state(bridge))->bus;
    r = bp_device_new(bp_device_machine(bridge), "test-card", NULL, &behind, err);
    if (r == 0)
        r = bp_device_set(behind, "addr", "2", err);
    return r == 0 ? bp_device_attach(behind, bus, err) : r;
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    char *folder;
    int rc;

    g_test_init(&argc, &argv, NULL);
    folder = work_folder("test-pci-table");
    if (chdir(folder) < 0)
        g_error("no folder to work in");
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_register_all("test-pci-table", provides, &err) < 0 ||
        bpc_require_interface("pci", 1, (const void **)&pci, &err) < 0 || make(&err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/pci-table/" #name, name)
    CASE(fields_keep_what_they_promise);
    CASE(capabilities_form_one_list);
    CASE(function_level_reset_resets_the_function);
    CASE(function_asleep_does_not_answer);
    CASE(configuration_goes_through_bridges);
    CASE(windows_let_through_what_is_in_them);
    CASE(bridge_is_the_master_of_what_is_behind);
    CASE(pins_are_swizzled);
    CASE(bridge_resets_what_is_behind);
    CASE(interrupt_takes_the_way_that_is_on);
    CASE(rom_answers_while_enabled);
    CASE(wrong_roms_are_refused_in_words);
    CASE(saved_bridge_is_the_same_again);
    rc = g_test_run();
    bp_test_host_free(host);
    g_free(folder);
    return rc;
}
