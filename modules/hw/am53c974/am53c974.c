// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Am53C974 (PCscsi), AMD's PCI SCSI host adapter (publication 18681): registers, interrupts. Left out: the target's
 * role, parity, the test mode, power-down; times of selection and of the clock are of no effect.
 */
#include <errno.h>
#include <string.h>

#include "pcscsi.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);
const struct bp_pci_interface *pcscsi_pci;

#define PORTS 128u
#define PART_ID 0x12u

void pcscsi_update(struct pcscsi *s)
{
    bool dma = (*pcscsi_dma(s, D_COMMAND) & DC_INTERRUPT_D) &&
               (*pcscsi_dma(s, D_STATUS) & (DS_DONE | DS_ABORT | DS_ERROR));

    pci->set_irq(s->dev, s->interrupt || dma);
}

/* ---- reading ---- */
static uint8_t status(const struct pcscsi *s)
{
    uint8_t v = s->bus.phase < SPI_WAIT ? s->bus.phase : 0;

    if (s->count_is_zero)
        v |= S_CTZ;
    return s->interrupt ? v | S_INT : v;
}

static uint8_t read_fifo(struct pcscsi *s)
{
    uint8_t v = s->fifo[0];

    if (s->fifo_count == 0)
        return 0;
    memmove(s->fifo, s->fifo + 1, --s->fifo_count);
    return v;
}

static uint8_t read_byte(struct pcscsi *s, unsigned reg)
{
    switch (reg) {
    case R_TCLOW:
        return (uint8_t)s->count;
    case R_TCMID:
        return (uint8_t)(s->count >> 8);
    case R_TCHIGH:
        return s->shows_id ? PART_ID : (uint8_t)(s->count >> 16);
    case R_FIFO:
        return read_fifo(s);
    case R_STATUS:
        return status(s);
    case R_INTERRUPT:
        return pcscsi_read_interrupt(s);
    case R_STEP:
        return s->step;
    case R_FLAGS:
        return (uint8_t)(s->fifo_count | s->step << 5);
    case R_COMMAND:
    case R_CONTROL1:
    case R_CONTROL2:
    case R_CONTROL3:
    case R_CONTROL4:
        return s->regs[reg];
    default:
        return 0;
    }
}

static uint32_t read_dma(struct pcscsi *s, unsigned reg)
{
    uint32_t v = *pcscsi_dma(s, reg);

    if (reg != D_STATUS)
        return v;
    if (s->interrupt)
        v |= DS_SCSI;
    *pcscsi_dma(s, D_STATUS) = 0; /* reading clears it */
    pcscsi_update(s);
    return v;
}

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pcscsi *s = opaque;

    (void)size;
    if (addr >= D_COMMAND)
        return read_dma(s, addr & ~3u) >> 8 * (addr & 3);
    return addr & 3 ? 0 : read_byte(s, addr >> 2);
}

/* ---- writing ---- */
static void write_byte(struct pcscsi *s, unsigned reg, uint8_t value)
{
    switch (reg) {
    case R_FIFO:
        if (s->fifo_count < FIFO_SIZE)
            s->fifo[s->fifo_count++] = value;
        break;
    case R_COMMAND:
        pcscsi_command(s, value);
        break;
    case R_TCHIGH:
        s->shows_id = false;
        /* fall through */
    default: /* what reads differently is written beside it */
        s->regs[reg] = value;
    }
}

static void write_dma(struct pcscsi *s, unsigned reg, uint32_t value)
{
    switch (reg) {
    case D_COMMAND:
        pcscsi_dma_command(s, (uint8_t)value);
        break;
    case D_STC:
    case D_SPA:
    case D_SMDLA:
    case D_SBAC:
        *pcscsi_dma(s, reg) = value;
        break;
    default:
        break;
    }
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pcscsi *s = opaque;
    unsigned reg = addr & ~3u, shift = 8 * (addr & 3);
    uint32_t mask = (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1) << shift;

    if (addr >= D_COMMAND)
        write_dma(s, reg, (*pcscsi_dma(s, reg) & ~mask) | ((uint32_t)value << shift & mask));
    else if (!(addr & 3))
        write_byte(s, addr >> 2, (uint8_t)value);
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = io_read, .write = io_write, .min_access = 1,
                                         .max_access = 4, .valid_min = 1, .valid_max = 4};

/* ---- life ---- */
void pcscsi_power_on(struct pcscsi *s)
{
    memset(s->regs, 0, sizeof(s->regs));
    memset(s->dma, 0, sizeof(s->dma));
    s->regs[R_CONTROL1] = 7;
    s->fifo_count = s->interrupt = s->step = s->active = s->command = s->later = s->wanted = 0;
    s->phase = SPI_FREE;
    s->count = 0;
    s->count_is_zero = s->shows_id = true;
    s->listens = s->was_connected = false;
    bp_timer_cancel(s->run);
    pcscsi_update(s);
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    struct pcscsi *s = bp_device_state(dev);

    pcscsi_pci = pci;
    s->dev = dev;
    s->run = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, pcscsi_go_on, s);
    return spi_init(&s->bus, scsi, dev, 8, pcscsi_bus_changed, s, err);
}

static void detach(struct bp_device *dev)
{
    spi_fini(&((struct pcscsi *)bp_device_state(dev))->bus);
}

static void reset(struct bp_device *dev)
{
    struct pcscsi *s = bp_device_state(dev);

    spi_reset(&s->bus);
    pcscsi_power_on(s);
}

static int loaded(void *state, struct bp_error *err)
{
    struct pcscsi *s = state;

    (void)err;
    spi_loaded(&s->bus);
    pcscsi_update(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    SPI_SAVE(struct pcscsi, bus), BP_SAVE(TIMER, struct pcscsi, run), BP_SAVE_BUFFER(struct pcscsi, regs),
    BP_SAVE_BUFFER(struct pcscsi, fifo), BP_SAVE_RANGE(UINT8, struct pcscsi, fifo_count, 0, FIFO_SIZE),
    BP_SAVE(UINT8, struct pcscsi, interrupt), BP_SAVE(UINT8, struct pcscsi, step),
    BP_SAVE_RANGE(UINT8, struct pcscsi, active, 0, COMPLETING), BP_SAVE(UINT8, struct pcscsi, command),
    BP_SAVE(UINT8, struct pcscsi, later), BP_SAVE(UINT8, struct pcscsi, wanted),
    BP_SAVE_RANGE(UINT8, struct pcscsi, phase, 0, SPI_FREE), BP_SAVE_BUFFER(struct pcscsi, reselected),
    BP_SAVE(BOOL, struct pcscsi, count_is_zero), BP_SAVE(BOOL, struct pcscsi, shows_id),
    BP_SAVE(BOOL, struct pcscsi, listens),
    BP_SAVE(BOOL, struct pcscsi, was_connected), BP_SAVE_RANGE(UINT32, struct pcscsi, count, 0, 1u << 24),
    BP_SAVE_ARRAY(UINT32, struct pcscsi, dma), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x1022, .device = 0x2020, .revision = 0x10, .class_code = 0x0100,
    .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_IO, .size = PORTS, .name = "am53c974-io", .ops = &ops}}};

BP_HOTPLUG_DEVICE(am53c974, "am53c974", "pci", "AMD Am53C974 (PCscsi) SCSI host adapter", struct pcscsi, NULL, &table,
                  .category = "storage", .bus_info = &info, .attach = attach, .detach = detach, .reset = reset,
                  .firmware_name = "scsi");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT_MINOR(scsi, "scsi", 1, 1), {0}};
BP_MODULE("hw-am53c974", "AMD Am53C974 SCSI host adapter", imports, {BP_PROVIDE_DEVICE, &am53c974});
