// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The IDE function of PIIX3 and PIIX4 (82371SB, order 290550; 82371AB, order 290562): two channels at the
 * ports and interrupts that AT computers had them, and bus master registers in BAR 4 (Programming Interface for
 * Bus Master IDE Controller, 1.0). Timings are kept and have no effect; neither has bit 15 of IDETIM (0x40, 0x42), by
 * which firmware lets a channel be decoded: OVMF never sets it. Interrupts are outputs "irq" 0 and 1, for ISA
 * interrupts 14 and 15.
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/ide.h>
#include <bp/bus/pci.h>
#include <bp/log.h>
#include <bp/loop.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(ide, struct bp_ide_interface, "ide", 1);

#define REG_IDETIM 0x40u
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4 };
#define COMMAND_START 0x01u
#define COMMAND_TO_MEMORY 0x08u
#define STATUS_ACTIVE 0x01u
#define STATUS_ERROR 0x02u
#define STATUS_INTERRUPT 0x04u
#define STATUS_DRIVES 0x60u /* what firmware says the drives can do */


struct piix_ide;

struct channel {
    struct piix_ide *ide;
    struct bp_bus *bus;
    struct bp_region *registers, *control;
    struct bp_irq *line;
    struct bp_deferred *go;
    bool mapped, wanted; /* DMARQ */
    uint8_t level;
    uint8_t command, status;
    uint32_t table;
    /* where the bus master is */
    uint32_t next, addr, left;
    bool last;
};

struct piix_ide {
    struct bp_device *dev;
    struct channel ch[2];
};

/* ---- bus master ---- */

static int next_descriptor(struct channel *ch)
{
    uint8_t raw[8]; /* read once: the guest may change it meanwhile */
    uint32_t count;
    int r = pci->dma_read(ch->ide->dev, ch->next, raw, sizeof(raw));

    if (r < 0)
        return r;
    ch->addr = raw[0] | raw[1] << 8 | raw[2] << 16 | (uint32_t)raw[3] << 24;
    ch->addr &= ~1u;
    count = raw[4] | raw[5] << 8;
    ch->left = count & 0xfffe ? count & 0xfffe : 0x10000;
    ch->last = raw[7] & 0x80;
    ch->next += 8;
    return 0;
}

static int64_t stop(struct channel *ch, int error)
{
    ch->status |= STATUS_ERROR;
    ch->status &= (uint8_t)~STATUS_ACTIVE;
    bp_guest_error("piix-ide-dma", "IDE bus master: memory at 0x%x refuses (%s)", ch->addr,
                   strerror(-error));
    return error;
}

static int64_t transfer(void *opaque, unsigned unit, int queue, bool to_memory, void *buf, uint32_t len)
{
    struct channel *ch = opaque;
    uint32_t moved = 0;

    (void)unit, (void)queue;
    while (moved < len && ch->status & STATUS_ACTIVE) {
        uint32_t n;
        int r = ch->left ? 0 : next_descriptor(ch);

        if (r == 0) {
            n = ch->left < len - moved ? ch->left : len - moved;
            r = to_memory ? pci->dma_write(ch->ide->dev, ch->addr, (uint8_t *)buf + moved, n)
                          : pci->dma_read(ch->ide->dev, ch->addr, (uint8_t *)buf + moved, n);
        }
        if (r < 0)
            return stop(ch, r);
        ch->addr += n;
        ch->left -= n;
        moved += n;
        if (!ch->left && ch->last)
            ch->status &= (uint8_t)~STATUS_ACTIVE;
    }
    return moved;
}

static void go(void *opaque)
{
    struct channel *ch = opaque;

    if (ch->wanted && ch->status & STATUS_ACTIVE)
        ide->dma_go(ch->bus);
}

static void dma_request(void *opaque, int level)
{
    struct channel *ch = opaque;

    ch->wanted = level != 0;
    if (ch->wanted && ch->status & STATUS_ACTIVE)
        bp_deferred_schedule(ch->go);
}

static void interrupt(void *opaque, int level)
{
    struct channel *ch = opaque;

    if (level && !ch->level)
        ch->status |= STATUS_INTERRUPT;
    ch->level = level != 0;
    bp_irq_set(ch->line, level);
}

static void write_command(struct channel *ch, uint8_t value)
{
    bool start = value & COMMAND_START, was = ch->command & COMMAND_START;

    ch->command = value & (COMMAND_START | COMMAND_TO_MEMORY);
    if (start && !was) {
        ch->status |= STATUS_ACTIVE;
        ch->next = ch->table;
        ch->left = 0;
        ch->last = false;
        if (ch->wanted)
            bp_deferred_schedule(ch->go);
    } else if (!start) {
        ch->status &= (uint8_t)~STATUS_ACTIVE;
    }
}

static uint64_t master_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct channel *ch = &((struct piix_ide *)opaque)->ch[addr >> 3 & 1];
    unsigned reg = addr & 7;

    (void)size;
    switch (reg) {
    case BM_COMMAND: return ch->command;
    case BM_STATUS: return ch->status;
    case 1: case 3: return 0;
    default: return ch->table >> 8 * (reg - BM_TABLE) & 0xff;
    }
}

static void master_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct channel *ch = &((struct piix_ide *)opaque)->ch[addr >> 3 & 1];
    unsigned reg = addr & 7, shift = 8 * (reg & 3);

    (void)size;
    switch (reg) {
    case BM_COMMAND: write_command(ch, (uint8_t)value); break;
    case BM_STATUS:
        ch->status = (uint8_t)((ch->status & ~STATUS_DRIVES & ~(value & (STATUS_ERROR | STATUS_INTERRUPT))) |
                               (value & STATUS_DRIVES));
        break;
    case 1: case 3: break;
    default:
        ch->table = ((ch->table & ~(0xffu << shift)) | (uint32_t)value << shift) & ~3u;
        break;
    }
}

static const struct bp_region_ops master_ops = {
    .size = sizeof(master_ops), .read = master_read, .write = master_write, .max_access = 1};

/* ---- the channels' registers ---- */

static uint64_t registers_read(void *opaque, uint64_t addr, unsigned size)
{
    struct channel *ch = opaque;
    uint64_t value = 0;

    if (addr == 0)
        return ide->read_data(ch->bus, size);
    for (unsigned i = 0; i < size && addr + i < 8; i++)
        value |= (uint64_t)ide->read(ch->bus, (unsigned)addr + i) << 8 * i;
    return value;
}

static void registers_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct channel *ch = opaque;

    if (addr == 0) {
        ide->write_data(ch->bus, (uint32_t)value, size);
        return;
    }
    for (unsigned i = 0; i < size && addr + i < 8; i++)
        ide->write(ch->bus, (unsigned)addr + i, (uint8_t)(value >> 8 * i));
}

static uint64_t control_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr, (void)size;
    return ide->read(((struct channel *)opaque)->bus, 8);
}

static void control_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr, (void)size;
    ide->write(((struct channel *)opaque)->bus, 8, (uint8_t)value);
}

static const struct bp_region_ops registers_ops = {
    .size = sizeof(registers_ops), .read = registers_read, .write = registers_write};
static const struct bp_region_ops control_ops = {
    .size = sizeof(control_ops), .read = control_read, .write = control_write, .max_access = 1};

static void update_map(struct piix_ide *s)
{
    const uint8_t *config = pci->config(s->dev);

    for (unsigned i = 0; i < 2; i++) {
        bool on = config[4] & 1;

        if (on == s->ch[i].mapped)
            continue;
        s->ch[i].mapped = on;
        bp_region_set_enabled(s->ch[i].registers, on);
        bp_region_set_enabled(s->ch[i].control, on);
    }
}

static void config_written(struct bp_device *dev, unsigned offset, unsigned size)
{
    (void)offset, (void)size;
    update_map(bp_device_state(dev));
}

/* ---- device ---- */

static const struct bp_ide_ops ide_ops = {
    .size = sizeof(ide_ops), .transfer = transfer, .interrupt = interrupt, .dma_request = dma_request};

static int make_channel(struct piix_ide *s, unsigned i, struct bp_error *err)
{
    static const uint16_t base[2] = {0x1f0, 0x170};
    static const char *const names[2] = {"ide-primary", "ide-secondary"};
    struct channel *ch = &s->ch[i];
    struct bp_owner *owner = bp_device_owner(s->dev);
    struct bp_region *io = bp_space_root(bp_device_io(s->dev));

    ch->ide = s;
    ch->line = bp_device_irq_output(s->dev, "irq", i);
    ch->go = bp_deferred_new(owner, NULL, go, ch);
    ch->registers = bp_region_new_io(owner, names[i], 8, &registers_ops, ch);
    ch->control = bp_region_new_io(owner, names[i], 1, &control_ops, ch);
    bp_region_set_enabled(ch->registers, false);
    bp_region_set_enabled(ch->control, false);
    bp_region_add(io, ch->registers, base[i], 0);
    bp_region_add(io, ch->control, base[i] + 0x206u, 0);
    return ide->new_bus(s->dev, NULL, &ide_ops, ch, &ch->bus, err);
}

static int piix_ide_attach(struct bp_device *dev, struct bp_error *err)
{
    struct piix_ide *s = bp_device_state(dev);
    int r = 0;

    s->dev = dev;
    bp_device_add_irq_outputs(dev, "irq", 2);
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = make_channel(s, i, err);
    return r;
}

static void piix_ide_reset(struct bp_device *dev)
{
    struct piix_ide *s = bp_device_state(dev);

    for (unsigned i = 0; i < 2; i++) {
        struct channel *ch = &s->ch[i];

        ch->command = ch->status = 0;
        ch->table = ch->next = ch->addr = ch->left = 0;
        ch->last = false;
        ide->reset(ch->bus);
    }
    update_map(s);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct piix_ide *s = state;

    (void)version, (void)err;
    update_map(s);
    return 0;
}

static const struct bp_state_field channel_fields[] = {
    BP_SAVE(UINT8, struct channel, command), BP_SAVE(UINT8, struct channel, status),
    BP_SAVE(UINT8, struct channel, level), BP_SAVE(UINT32, struct channel, table),
    BP_SAVE(UINT32, struct channel, next), BP_SAVE(UINT32, struct channel, addr),
    BP_SAVE_RANGE(UINT32, struct channel, left, 0, 0x10000), BP_SAVE(BOOL, struct channel, last),
    BP_SAVE(BOOL, struct channel, wanted), BP_SAVE_END};
static const struct bp_state_table channel_table = {
    .version = 1, .oldest = 1, .fields = channel_fields};
static const struct bp_state_field piix_ide_fields[] = {
    BP_SAVE_STRUCTS(struct piix_ide, ch, &channel_table), BP_SAVE_END};
static const struct bp_state_table piix_ide_table = {
    .version = 1, .oldest = 1, .fields = piix_ide_fields, .after_load = after_load};

/* Both sheets have medium DEVSEL and fast back-to-back in the status. */
static const struct bp_pci_field timing_3[] = {
    {0x06, 2, 0, 0x0280, 0, 0xf900, 0},
    {REG_IDETIM, 2, 0, 0, 0xffff, 0, 0}, {REG_IDETIM + 2, 2, 0, 0, 0xffff, 0, 0},
    {0x44, 1, 0, 0, 0xff, 0, 0}, BP_PCI_FIELDS_END};
static const struct bp_pci_field timing_4[] = {
    {0x06, 2, 0, 0x0280, 0, 0xf900, 0},
    {REG_IDETIM, 2, 0, 0, 0xffff, 0, 0}, {REG_IDETIM + 2, 2, 0, 0, 0xffff, 0, 0},
    {0x44, 1, 0, 0, 0xff, 0, 0}, {0x48, 1, 0, 0, 0x0f, 0, 0}, {0x4a, 2, 0, 0, 0x3333, 0, 0},
    BP_PCI_FIELDS_END};

#define INFO(DEVICE, REVISION, FIELDS) { \
    .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = DEVICE, .revision = REVISION, \
    .prog_if = 0x80, .class_code = 0x0101, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, \
    .config_written = config_written, .fields = FIELDS, \
    .bar = {[4] = {BP_PCI_BAR_IO, 16, "ide-master", &master_ops}}}
static const struct bp_pci_info piix3_info = INFO(0x7010, 0, timing_3);
static const struct bp_pci_info piix4_info = INFO(0x7111, 1, timing_4);

BP_BOARD_DEVICE(piix3_ide, "piix3-ide", "pci", "82371SB IDE controller", struct piix_ide, NULL,
                &piix_ide_table, .category = "storage", .bus_info = &piix3_info,
                .attach = piix_ide_attach, .reset = piix_ide_reset);
BP_BOARD_DEVICE(piix4_ide, "piix4-ide", "pci", "82371AB IDE controller", struct piix_ide, NULL,
                &piix_ide_table, .category = "storage", .bus_info = &piix4_info,
                .attach = piix_ide_attach, .reset = piix_ide_reset);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(ide, "ide", 1),
                                           {0}};
BP_MODULE("hw-ide-piix", "PIIX3 and PIIX4 IDE controllers", imports, {BP_PROVIDE_DEVICE, &piix3_ide},
          {BP_PROVIDE_DEVICE, &piix4_ide});
