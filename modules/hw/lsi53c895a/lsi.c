// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * LSI53C895A and 53C810, PCI to SCSI I/O processors (LSI53C895A technical manual 2.2; SYM53C810 data manual):
 * registers and interrupts. The 53C810 is the same here with 8 targets, without RAM of its own and with its own
 * numbers; programs for it use nothing that it lacks. Left out: the target's role, arbitration and selection by
 * hand, the serial EEPROM (its lines are pulled up), low-level access to the bus, handshake timeouts, parity.
 */
#include <errno.h>
#include <string.h>

#include "lsi.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(scsi, struct bp_scsi_interface, "scsi", 1);
const struct bp_pci_interface *lsi_pci;

uint32_t lsi_get32(const struct lsi *s, unsigned reg)
{
    const uint8_t *p = s->regs + reg;

    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void lsi_put32(struct lsi *s, unsigned reg, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        s->regs[reg + i] = (uint8_t)(value >> 8 * i);
}

/* ---- interrupts ---- */
/* Whoever polls sees conditions that are masked, too. */
static uint8_t istat(const struct lsi *s)
{
    uint8_t v = s->istat;

    if (s->bus.connected)
        v |= ISTAT_CON;
    if (s->sist0 | s->sist1)
        v |= ISTAT_SIP;
    if (s->dstat)
        v |= ISTAT_DIP;
    return v;
}

void lsi_update(struct lsi *s)
{
    bool off = (s->regs[DCNTL] & DCNTL_IRQD) || (s->regs[ISTAT1] & ISTAT1_SIRQD);
    bool wanted = (s->istat & ISTAT_INTF) || (s->dstat & s->regs[DIEN]) || (s->sist0 & s->regs[SIEN0]) ||
                  (s->sist1 & s->regs[SIEN1]);

    pci->set_irq(s->dev, wanted && !off);
}

static void stop(struct lsi *s)
{
    s->state = LSI_STOPPED;
    s->move = MOVE_NONE;
    s->epoch++;
    bp_timer_cancel(s->run);
}

void lsi_dma_interrupt(struct lsi *s, uint8_t dstat)
{
    s->dstat |= dstat;
    stop(s);
    lsi_update(s);
}

void lsi_scsi_interrupt(struct lsi *s, uint8_t sist0, uint8_t sist1)
{
    s->sist0 |= sist0;
    s->sist1 |= sist1;
    stop(s);
    lsi_update(s);
}

void lsi_go_on(struct lsi *s)
{
    bp_timer_set(s->run, bp_timer_now(s->run));
}

static void start(struct lsi *s)
{
    s->state = LSI_RUNNING;
    s->move = MOVE_NONE;
    s->epoch++;
    lsi_go_on(s);
}

static void bus_changed(void *opaque)
{
    struct lsi *s = opaque;

    if (!s->bus.connected && (s->regs[SCNTL1] & SCNTL1_CON)) {
        s->regs[SCNTL1] &= (uint8_t)~SCNTL1_CON;
        if ((s->regs[SCNTL2] & SCNTL2_SDU) && !s->bus.said_so)
            lsi_scsi_interrupt(s, SIST0_UDC, 0);
    }
    if (s->state == LSI_WAITING)
        lsi_go_on(s);
}

static void general_timer(void *opaque)
{
    struct lsi *s = opaque;

    s->sist1 |= SIST1_GEN; /* does not stop the processor */
    lsi_update(s);
}

/* ---- reading ---- */
static uint8_t lines(const struct lsi *s)
{
    uint8_t v = 0;

    if (!s->bus.connected)
        return 0;
    v = 0x20; /* BSY */
    if (s->bus.phase < 8)
        v |= (uint8_t)(0x80 | s->bus.phase); /* REQ, MSG, C/D, I/O */
    if (s->bus.ack)
        v = (uint8_t)((v & ~0x80) | 0x40);
    return s->bus.atn ? v | 0x08 : v;
}

static uint8_t read_and_clear(struct lsi *s, uint8_t *status)
{
    uint8_t v = *status;

    *status = 0;
    lsi_update(s);
    return v;
}

static uint8_t read_ctest2(struct lsi *s)
{
    uint8_t v = (uint8_t)((s->regs[CTEST2] & 0x0f) | 0x30 | (s->istat & ISTAT_SIGP ? CTEST2_SIGP : 0));

    s->istat &= (uint8_t)~ISTAT_SIGP;
    return v;
}

uint8_t lsi_read(struct lsi *s, unsigned reg)
{
    switch (reg) {
    case GPREG: /* inputs are pulled up */
        return (uint8_t)((s->regs[GPREG] & ~s->regs[GPCNTL]) | (s->regs[GPCNTL] & 0x1f));
    case SBCL:
        return lines(s);
    case DSTAT:
        return read_and_clear(s, &s->dstat) | DSTAT_DFE;
    case SSTAT0:
        return s->regs[SCNTL1] & SCNTL1_RST ? 0x02 : 0;
    case SSTAT1:
        return s->bus.phase < 8 ? s->bus.phase : 0;
    case SSTAT2:
        return s->bus.connected ? 0 : SSTAT2_LDSC;
    case ISTAT0:
        return istat(s);
    case ISTAT1:
        return (uint8_t)((s->regs[ISTAT1] & ~ISTAT1_SRUN) | (s->state == LSI_STOPPED ? 0 : ISTAT1_SRUN));
    case CTEST1:
        return 0xf0; /* the FIFO is empty */
    case CTEST2:
        return read_ctest2(s);
    case DFIFO: /* nothing is in it, so that it counts as DBC does */
        return s->regs[CTEST5] & CTEST5_DFS ? s->regs[DBC] : s->regs[DBC] & 0x7f;
    case CTEST5:
        return (uint8_t)((s->regs[CTEST5] & ~3) | (s->regs[DBC + 1] & 3));
    case SIST0:
        return read_and_clear(s, &s->sist0);
    case SIST1:
        return read_and_clear(s, &s->sist1);
    default:
        return s->regs[reg];
    }
}

/* ---- writing ---- */
static void power_on(struct lsi *s)
{
    memset(s->regs, 0, sizeof(s->regs));
    s->regs[SCNTL0] = 0xc0;
    s->regs[DCMD] = 0x40;
    s->regs[MACNTL] = 0xd0;
    s->regs[GPCNTL] = 0x0f;
    s->regs[CTEST3] = 0x40;
    s->regs[STEST0] = 0x03;
    s->regs[STEST4] = 0xe0; /* low voltage differential, the clock has locked */
    s->dstat = s->sist0 = s->sist1 = s->istat = 0;
    s->carry = s->no_answer = s->fresh = false;
    stop(s);
    bp_timer_cancel(s->general);
    lsi_update(s);
}

static void write_istat(struct lsi *s, uint8_t value)
{
    uint8_t old = s->istat;

    if (value & ISTAT_SRST) {
        power_on(s);
        return;
    }
    s->istat = (uint8_t)((value & (ISTAT_ABRT | ISTAT_SIGP | ISTAT_SEM)) | (old & ISTAT_INTF & ~value));
    if ((value & ISTAT_ABRT) && !(old & ISTAT_ABRT)) {
        lsi_dma_interrupt(s, DSTAT_ABRT);
        return;
    }
    if ((s->istat & ISTAT_SIGP) && s->state == LSI_WAITING)
        lsi_go_on(s);
    lsi_update(s);
}

static void write_scntl1(struct lsi *s, uint8_t value)
{
    uint8_t old = s->regs[SCNTL1];

    s->regs[SCNTL1] = (uint8_t)((value & ~SCNTL1_CON) | (old & SCNTL1_CON));
    if ((value & SCNTL1_RST) && !(old & SCNTL1_RST)) {
        s->regs[SCNTL1] &= (uint8_t)~SCNTL1_CON;
        s->no_answer = false;
        spi_reset(&s->bus);
        lsi_scsi_interrupt(s, SIST0_RST, 0);
    }
}

static void write_stime1(struct lsi *s, uint8_t value)
{
    s->regs[STIME1] = value;
    if (value & 15)
        bp_timer_set(s->general, bp_timer_now(s->general) + (INT64_C(62500) << (value & 15)));
    else
        bp_timer_cancel(s->general);
}

static bool read_only(unsigned reg)
{
    return reg == SSID || reg == SBCL || (reg >= DSTAT && reg <= SSTAT2) || reg == CTEST1 || reg == DFIFO ||
           reg == SIST0 || reg == SIST1 || (reg >= SIDL && reg <= STEST4) || (reg >= SBDL && reg < SBDL + 2);
}

void lsi_write(struct lsi *s, unsigned reg, uint8_t value)
{
    if (read_only(reg))
        return;
    switch (reg) {
    case SCNTL1:
        write_scntl1(s, value);
        return;
    case ISTAT0:
        write_istat(s, value);
        return;
    case STIME1:
        write_stime1(s, value);
        return;
    case CTEST3:
        s->regs[CTEST3] = (uint8_t)((s->regs[CTEST3] & 0xf0) | (value & 0x03)); /* flushing and clearing are done */
        return;
    case DCNTL:
        s->regs[DCNTL] = value & (uint8_t)~DCNTL_STD;
        if (value & DCNTL_STD)
            start(s);
        break;
    case DSP + 3:
        s->regs[reg] = value;
        if (!(s->regs[DMODE] & DMODE_MAN))
            start(s);
        return;
    default:
        s->regs[reg] = value;
    }
    if (reg == DIEN || reg == SIEN0 || reg == SIEN1 || reg == DCNTL || reg == ISTAT1)
        lsi_update(s);
}

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return lsi_read(opaque, addr & (REGISTERS - 1));
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    lsi_write(opaque, addr & (REGISTERS - 1), (uint8_t)value);
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = io_read, .write = io_write, .min_access = 1,
                                         .max_access = 1, .valid_min = 1, .valid_max = 4};

/* ---- life ---- */
static int add_ram(struct lsi *s, struct bp_error *err)
{
    struct bp_region *region;
    int ret = bp_region_new_ram(bp_device_owner(s->dev), "lsi-ram", SCRIPTS_RAM, &region, err);

    if (ret < 0)
        return ret;
    s->ram = bp_region_ram(region);
    s->ram_size = SCRIPTS_RAM;
    return pci->add_bar(s->dev, 2, BP_PCI_BAR_MEM32, region, err);
}

static int attach(struct bp_device *dev, unsigned targets, struct bp_error *err)
{
    struct lsi *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);

    lsi_pci = pci;
    s->dev = dev;
    s->run = bp_timer_new(owner, NULL, BP_CLOCK_VIRTUAL, lsi_run, s);
    s->general = bp_timer_new(owner, NULL, BP_CLOCK_VIRTUAL, general_timer, s);
    return spi_init(&s->bus, scsi, dev, targets, bus_changed, s, err);
}

static int attach_895a(struct bp_device *dev, struct bp_error *err)
{
    struct lsi *s = bp_device_state(dev);
    int ret = attach(dev, 16, err);

    if (ret == 0) {
        ret = add_ram(s, err);
        if (ret < 0)
            spi_fini(&s->bus);
    }
    return ret;
}

static int attach_810(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, 8, err);
}

static void detach(struct bp_device *dev)
{
    spi_fini(&((struct lsi *)bp_device_state(dev))->bus);
}

static void reset(struct bp_device *dev)
{
    struct lsi *s = bp_device_state(dev);

    power_on(s);
    spi_reset(&s->bus);
    if (s->ram)
        memset(s->ram, 0, s->ram_size);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct lsi *s = state;

    (void)version;
    if (s->move != MOVE_NONE && s->state == LSI_STOPPED)
        return bp_fail(err, EINVAL, "lsi53c895a: a stopped processor is in the middle of an instruction");
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct lsi *s = state;

    (void)err;
    spi_loaded(&s->bus);
    lsi_update(s);
    return 0;
}

static const struct bp_state_field fields[] = {
    SPI_SAVE(struct lsi, bus), BP_SAVE(TIMER, struct lsi, run), BP_SAVE(TIMER, struct lsi, general),
    BP_SAVE_MEMORY(struct lsi, ram, ram_size), BP_SAVE_BUFFER(struct lsi, regs), BP_SAVE(UINT8, struct lsi, dstat),
    BP_SAVE(UINT8, struct lsi, sist0), BP_SAVE(UINT8, struct lsi, sist1), BP_SAVE(UINT8, struct lsi, istat),
    BP_SAVE_RANGE(UINT8, struct lsi, state, 0, LSI_WAITING), BP_SAVE_RANGE(UINT8, struct lsi, move, 0, MOVE_MEMORY),
    BP_SAVE(BOOL, struct lsi, carry), BP_SAVE(BOOL, struct lsi, no_answer), BP_SAVE(BOOL, struct lsi, fresh),
    BP_SAVE(BOOL, struct lsi, begun), BP_SAVE(UINT8, struct lsi, table_top), BP_SAVE(UINT32, struct lsi, at),
    BP_SAVE(UINT32, struct lsi, entry), BP_SAVE(UINT32, struct lsi, from),
    BP_SAVE(UINT32, struct lsi, to), BP_SAVE(UINT32, struct lsi, epoch), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_pci_info info_895a = {
    .size = sizeof(info_895a), .vendor = 0x1000, .device = 0x0012, .subsystem_vendor = 0x1000, .subsystem = 0x1000,
    .class_code = 0x0100, .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_IO, .size = REGISTERS, .name = "lsi-io", .ops = &ops},
            {.flags = BP_PCI_BAR_MEM32, .size = 1024, .name = "lsi-mmio", .ops = &ops}}};
static const struct bp_pci_info info_810 = {
    .size = sizeof(info_810), .vendor = 0x1000, .device = 0x0001, .subsystem_vendor = 0x1000, .subsystem = 0x1000,
    .class_code = 0x0100, .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_IO, .size = REGISTERS, .name = "lsi810-io", .ops = &ops},
            {.flags = BP_PCI_BAR_MEM32, .size = REGISTERS, .name = "lsi810-mmio", .ops = &ops}}};

static const char *const aliases[] = {"lsi", NULL};
BP_DEVICE_ALIAS("lsi53c895a", "lsi");
BP_HOTPLUG_DEVICE(lsi53c895a, "lsi53c895a", "pci", "LSI 53C895A SCSI host adapter", struct lsi, NULL, &table,
                  .category = "storage", .bus_info = &info_895a, .attach = attach_895a, .detach = detach,
                  .reset = reset, .aliases = aliases, .firmware_name = "scsi");
BP_HOTPLUG_DEVICE(lsi53c810, "lsi53c810", "pci", "LSI 53C810 SCSI host adapter", struct lsi, NULL, &table,
                  .category = "storage", .bus_info = &info_810, .attach = attach_810, .detach = detach, .reset = reset,
                  .firmware_name = "scsi");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT_MINOR(scsi, "scsi", 1, 1), {0}};
BP_MODULE("hw-lsi53c895a", "LSI 53C895A and 53C810 SCSI host adapters", imports, {BP_PROVIDE_DEVICE, &lsi53c895a},
          {BP_PROVIDE_DEVICE, &lsi53c810});
