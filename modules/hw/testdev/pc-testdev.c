/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pc-testdev: what kvm-unit-tests' programs for x86 expect of a machine beside isa-debug-exit:
 *
 *     ports 0xe0-0xe3       keep what was written, in any size
 *     ports 0xe4-0xe7       a write of four bytes takes the page at that address out of the memory map, and puts it
 *                           back: whoever keeps what it led to looks again. Reads as 0
 *     ports 0x2000-0x200f   a write sets ISA interrupt line n to the value (not 0: up)
 *     memory 0xff000000     64 KiB of registers that keep what was written, in any size
 *
 * Left out: interrupt lines above 15, which ISA does not have.
 */
#include <string.h>

#include <bp/bus/isa.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);

#define IO_PORT 0xe0u
#define FLUSH_PORT 0xe4u
#define PAGE 0x1000u
#define NOTHING_PRIORITY 0x2000 /* above whatever is there */
#define IRQ_PORT 0x2000u
#define MEMORY 0xff000000u
#define MEMORY_SIZE 0x10000u

struct testdev {
    uint8_t io[4];
    uint8_t levels[16];
    uint8_t memory[MEMORY_SIZE];
    struct bp_irq *lines[16];
    struct bp_device *dev;
    struct bp_region *nothing; /* what stands in the place of a page meanwhile */
};

static uint64_t load(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static void store(uint8_t *bytes, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    return load(((struct testdev *)opaque)->io + addr, size);
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    store(((struct testdev *)opaque)->io + addr, value, size);
}

static uint64_t flush_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0;
}

static void flush_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct testdev *s = opaque;

    if (addr || size != 4)
        return;
    bp_region_add(bp_space_root(bp_device_memory(s->dev)), s->nothing, value & ~(uint64_t)(PAGE - 1), NOTHING_PRIORITY);
    bp_region_remove(s->nothing);
}

static uint64_t nothing_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return UINT64_MAX;
}

static uint64_t irq_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return ((struct testdev *)opaque)->levels[addr];
}

static void irq_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct testdev *s = opaque;

    (void)size;
    s->levels[addr] = value != 0;
    bp_irq_set(s->lines[addr], value != 0);
}

static uint64_t memory_read(void *opaque, uint64_t addr, unsigned size)
{
    return load(((struct testdev *)opaque)->memory + addr, size);
}

static void memory_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    store(((struct testdev *)opaque)->memory + addr, value, size);
}

static const struct bp_region_ops io_ops = {
    .size = sizeof(io_ops), .read = io_read, .write = io_write, .max_access = 4};
static const struct bp_region_ops flush_ops = {
    .size = sizeof(flush_ops), .read = flush_read, .write = flush_write, .max_access = 4};
static const struct bp_region_ops nothing_ops = {.size = sizeof(nothing_ops), .read = nothing_read, .max_access = 8};
static const struct bp_region_ops irq_ops = {
    .size = sizeof(irq_ops), .read = irq_read, .write = irq_write, .max_access = 1};
static const struct bp_region_ops memory_ops = {
    .size = sizeof(memory_ops), .read = memory_read, .write = memory_write, .max_access = 8};

static int testdev_attach(struct bp_device *dev, struct bp_error *err)
{
    struct testdev *s = bp_device_state(dev);
    int r = isa->add_ports(dev, IO_PORT, sizeof(s->io), "pc-testdev-io", &io_ops, s, NULL, err);

    s->dev = dev;
    s->nothing = bp_region_new_io(bp_device_owner(dev), "pc-testdev-nothing", PAGE, &nothing_ops, s);
    if (r == 0)
        r = isa->add_ports(dev, FLUSH_PORT, 4, "pc-testdev-flush", &flush_ops, s, NULL, err);
    for (unsigned i = 0; i < 16 && r == 0; i++)
        r = isa->irq(dev, i, &s->lines[i], err);
    if (r == 0)
        r = isa->add_ports(dev, IRQ_PORT, 16, "pc-testdev-irq", &irq_ops, s, NULL, err);
    if (r == 0)
        bp_region_add(bp_space_root(bp_device_memory(dev)),
                      bp_region_new_io(bp_device_owner(dev), "pc-testdev-memory", MEMORY_SIZE, &memory_ops, s),
                      MEMORY, 1);
    return r;
}

static void testdev_reset(struct bp_device *dev)
{
    struct testdev *s = bp_device_state(dev);

    memset(s->io, 0, sizeof(s->io));
    memset(s->levels, 0, sizeof(s->levels));
    memset(s->memory, 0, sizeof(s->memory));
    for (unsigned i = 0; i < 16; i++)
        bp_irq_set(s->lines[i], 0);
}

static const struct bp_state_field testdev_fields[] = {
    BP_SAVE_BUFFER(struct testdev, io), BP_SAVE_BUFFER(struct testdev, levels),
    BP_SAVE_BUFFER(struct testdev, memory), BP_SAVE_END};
static int loaded(void *state, struct bp_error *err)
{
    struct testdev *s = state;

    (void)err;
    for (unsigned i = 0; i < 16; i++)
        bp_irq_set(s->lines[i], s->levels[i] != 0);
    return 0;
}
static const struct bp_state_table testdev_state = {
    .version = 1, .oldest = 1, .fields = testdev_fields, .loaded = loaded,
    .loaded_order = BP_STATE_ORDER_LINES};

BP_DEVICE(testdev, "pc-testdev", "isa", "Registers that programs test accesses with", struct testdev, NULL,
          &testdev_state, .category = "misc", .attach = testdev_attach, .reset = testdev_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-pc-testdev", "PC devices for tests", imports, {BP_PROVIDE_DEVICE, &testdev});
