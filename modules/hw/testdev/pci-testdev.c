/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pci-testdev (1b36:0005): BARs whose writes are counted, to try and to measure how accesses reach a device.
 * BAR 0 is memory, BAR 1 ports; each begins with a header by which a guest goes through the tests:
 *
 *     0 test   write: begin the test of this number
 *     1 width  bytes of the write to make, 0: there is no such test
 *     4 offset where it goes    8 data what to write    12 count those that came    16 name, ends with 0
 *
 * Tests of the same BAR: the write reaches the device's callback; it rings a doorbell, whatever its value;
 * it rings one that wants the value. BAR 2 (property membar) is memory space without anything behind it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/doorbell.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);

#define HEADER 64u
#define TARGET 0x80u
#define WIDTH 4u
#define DATA 0xfau
enum { PLAIN, ANY_VALUE, ONE_VALUE, TESTS };

struct bar {
    struct bp_doorbell *bell;
    uint32_t count;
    uint8_t test; /* TESTS: none */
};

struct testdev {
    struct bar bars[2];
    uint64_t membar;
};

static void rung(void *opaque)
{
    ((struct bar *)opaque)->count++;
}

/* Begins a test; its doorbell, if any, replaces that of the one before. */
static void select_test(struct testdev *s, unsigned n, unsigned test)
{
    struct bp_device *dev = bp_device_of_state(s);
    struct bar *bar = &s->bars[n];
    struct bp_doorbell_match match = {.size = sizeof(match), .offset = TARGET, .access_size = WIDTH};

    bp_doorbell_free(bar->bell);
    bar->bell = NULL;
    bar->count = 0;
    bar->test = test < TESTS ? (uint8_t)test : TESTS;
    if (bar->test == ONE_VALUE) {
        match.flags = BP_DOORBELL_MATCH_VALUE;
        match.value = DATA;
    }
    if (bar->test == ANY_VALUE || bar->test == ONE_VALUE)
        bp_doorbell_new(bp_device_owner(dev), NULL, pci->bar(dev, n), &match, rung, bar,
                        &bar->bell, NULL);
}

static void put32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t read_header(struct bar *bar, const char *kind, uint64_t addr, unsigned size)
{
    static const char *const names[TESTS] = {"no-eventfd", "wildcard-eventfd", "datamatch-eventfd"};
    uint8_t header[HEADER] = {0};
    uint64_t value = 0;

    if (addr >= HEADER)
        return 0;
    if (bar->bell)
        bp_doorbell_drain(bar->bell);
    if (bar->test < TESTS) {
        header[1] = WIDTH;
        put32(header + 4, TARGET);
        put32(header + 8, DATA);
        put32(header + 12, bar->count);
        snprintf((char *)header + 16, HEADER - 16, "%s-%s", kind, names[bar->test]);
    }
    for (unsigned i = 0; i < size && addr + i < HEADER; i++)
        value |= (uint64_t)header[addr + i] << 8 * i;
    return value;
}

static void write_bar(struct testdev *s, unsigned n, uint64_t addr, uint64_t value, unsigned size)
{
    struct bar *bar = &s->bars[n];

    if (addr == 0)
        select_test(s, n, (uint8_t)value);
    else if (addr == TARGET && size == WIDTH && value == DATA && bar->test == PLAIN)
        bar->count++;
}

static uint64_t memory_read(void *opaque, uint64_t addr, unsigned size)
{
    return read_header(&((struct testdev *)opaque)->bars[0], "mmio", addr, size);
}

static void memory_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    write_bar(opaque, 0, addr, value, size);
}

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    return read_header(&((struct testdev *)opaque)->bars[1], "portio", addr, size);
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    write_bar(opaque, 1, addr, value, size);
}

static const struct bp_region_ops memory_ops = {
    .size = sizeof(memory_ops), .read = memory_read, .write = memory_write, .max_access = 4};
static const struct bp_region_ops port_ops = {
    .size = sizeof(port_ops), .read = port_read, .write = port_write, .max_access = 4};

static int testdev_attach(struct bp_device *dev, struct bp_error *err)
{
    const struct testdev *s = bp_device_state(dev);

    if (s->membar & (s->membar - 1) || (s->membar && s->membar < 16))
        return bp_fail(err, EINVAL, "property 'membar' of pci-testdev: %llu is not a power of two from 16 on",
                       (unsigned long long)s->membar);
    return s->membar == 0 ? 0 : pci->add_bar(dev, 2, BP_PCI_BAR_MEM64 | BP_PCI_BAR_PREFETCH,
                                             bp_region_new(bp_device_owner(dev), "pci-testdev-membar",
                                                           s->membar), err);
}

static void testdev_reset(struct bp_device *dev)
{
    struct testdev *s = bp_device_state(dev);

    for (unsigned i = 0; i < 2; i++)
        select_test(s, i, TESTS);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct testdev *s = state;

    (void)version, (void)err;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t count = s->bars[i].count;

        select_test(s, i, s->bars[i].test);
        s->bars[i].count = count;
    }
    return 0;
}

static const struct bp_state_field bar_fields[] = {
    BP_SAVE(UINT32, struct bar, count), BP_SAVE_RANGE(UINT8, struct bar, test, 0, TESTS), BP_SAVE_END};
static const struct bp_state_table bar_state = {.version = 1, .oldest = 1, .fields = bar_fields};
static const struct bp_state_field testdev_fields[] = {
    BP_SAVE_STRUCTS(struct testdev, bars, &bar_state), BP_SAVE_END};
static const struct bp_state_table testdev_state = {
    .version = 1, .oldest = 1, .fields = testdev_fields, .after_load = after_load};

static const struct bp_field testdev_props[] = {
    BP_PROP("membar", SIZE, struct testdev, membar, "0", "size of BAR 2, a power of two; 0: there is none"),
    BP_FIELDS_END,
};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1b36, .device = 0x0005, .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100, .class_code = 0x00ff,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = 4096, .name = "pci-testdev-mmio", .ops = &memory_ops},
            {.flags = BP_PCI_BAR_IO, .size = 256, .name = "pci-testdev-portio", .ops = &port_ops}}};

BP_HOTPLUG_DEVICE(testdev, "pci-testdev", "pci", "Counts a guest's writes", struct testdev, testdev_props,
                  &testdev_state, .category = "misc", .bus_info = &info, .attach = testdev_attach,
                  .reset = testdev_reset);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("hw-pci-testdev", "PCI device for tests", imports, {BP_PROVIDE_DEVICE, &testdev});
