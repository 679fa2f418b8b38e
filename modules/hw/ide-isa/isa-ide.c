// SPDX-License-Identifier: LGPL-2.1-or-later
/* An IDE channel on the ISA bus (ATA-1, X3.221-1994): the command block, the control block, an interrupt.
 * It has no DMA. */
#include <bp/bus/ide.h>
#include <bp/bus/isa.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(ide, struct bp_ide_interface, "ide", 1);

struct isa_ide {
    uint16_t iobase, iobase2;
    uint32_t irq;
    struct bp_irq *line;
    struct bp_bus *bus;
};

static uint64_t registers_read(void *opaque, uint64_t addr, unsigned size)
{
    struct isa_ide *s = opaque;
    uint64_t value = 0;

    if (addr == 0)
        return ide->read_data(s->bus, size);
    for (unsigned i = 0; i < size && addr + i < 8; i++)
        value |= (uint64_t)ide->read(s->bus, (unsigned)addr + i) << 8 * i;
    return value;
}

static void registers_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct isa_ide *s = opaque;

    if (addr == 0) {
        ide->write_data(s->bus, (uint32_t)value, size);
        return;
    }
    for (unsigned i = 0; i < size && addr + i < 8; i++)
        ide->write(s->bus, (unsigned)addr + i, (uint8_t)(value >> 8 * i));
}

static uint64_t control_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr, (void)size;
    return ide->read(((struct isa_ide *)opaque)->bus, 8);
}

static void control_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr, (void)size;
    ide->write(((struct isa_ide *)opaque)->bus, 8, (uint8_t)value);
}

static const struct bp_region_ops registers_ops = {
    .size = sizeof(registers_ops), .read = registers_read, .write = registers_write};
static const struct bp_region_ops control_ops = {
    .size = sizeof(control_ops), .read = control_read, .write = control_write, .max_access = 1};

static void interrupt(void *opaque, int level)
{
    bp_irq_set(((struct isa_ide *)opaque)->line, level);
}

static const struct bp_ide_ops ide_ops = {.size = sizeof(ide_ops), .interrupt = interrupt};

static int isa_ide_attach(struct bp_device *dev, struct bp_error *err)
{
    struct isa_ide *s = bp_device_state(dev);
    int r = isa->irq(dev, s->irq, &s->line, err);

    if (r == 0)
        r = ide->new_bus(dev, NULL, &ide_ops, s, &s->bus, err);
    if (r == 0)
        r = isa->add_ports(dev, s->iobase, 8, "ide", &registers_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, s->iobase2, 1, "ide-control", &control_ops, s, NULL, err);
    return r;
}

static void isa_ide_reset(struct bp_device *dev)
{
    ide->reset(((struct isa_ide *)bp_device_state(dev))->bus);
}

static const struct bp_field props[] = {
    BP_PROP("iobase", UINT16, struct isa_ide, iobase, "0x1f0", "first port of the command block"),
    BP_PROP("iobase2", UINT16, struct isa_ide, iobase2, "0x3f6", "port of the control block"),
    BP_PROP("irq", UINT32, struct isa_ide, irq, "14", "ISA interrupt"), BP_FIELDS_END};

BP_DEVICE(isa_ide, "isa-ide", "isa", "IDE channel on the ISA bus", struct isa_ide, props, NULL,
          .category = "storage", .attach = isa_ide_attach, .reset = isa_ide_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(ide, "ide", 1), {0}};
BP_MODULE("hw-ide-isa", "IDE channel on the ISA bus", imports, {BP_PROVIDE_DEVICE, &isa_ide});
