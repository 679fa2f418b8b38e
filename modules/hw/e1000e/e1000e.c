/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel 82574L gigabit Ethernet (e1000e.h): its registers in memory and behind IOADDR and IODATA. Left out: management,
 * wake-up, flow control on the wire, the flash, time stamps of packets (the clock of IEEE 1588 runs), VLAN tags of
 * two levels.
 */
#include <bp/run.h>

#include "e1000e.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

#define MSIX_SIZE 0x4000u
#define MSIX_PBA 0x2000u

/* ---- reset ---- */

static void reset_registers(struct e1000e *s)
{
    struct gbe *g = &s->g;

    gbe_reset(g);
    *reg(g, PBA) = 0x00140014;
    *reg(g, EEMNGCTL) = 0x00040000; /* the PHY is set up */
    *reg(g, EXTCNF_CTRL) = 0x00000008;
    *reg(g, RXCSUM) = RXCSUM_IPOFLD | RXCSUM_TUOFLD;
    for (unsigned i = 0; i < QUEUES; i++) {
        *reg(g, RXDCTL + QUEUE_STRIDE * i) = 0x00010000;
        *reg(g, TARC + QUEUE_STRIDE * i) = 0x00000403;
        gbe_frame_reset(&s->tx[i].frame);
        s->tx[i].segmentation = s->tx[i].checksum = (struct gbe_context){0};
    }
    s->time = 0;
    s->time_set = bp_timer_now(s->throttle[0]);
    s->timinca = 0;
    e1000e_reset_interrupts(s);
}

static void e1000e_reset(struct bp_device *dev)
{
    struct e1000e *s = bp_device_state(dev);

    reset_registers(s);
    gbe_phy_reset(&s->g);
    s->g.io_address = 0;
    net->nic_ready(s->g.nic, 0);
}

static void link_changed(void *opaque, bool up)
{
    gbe_link_changed(&((struct e1000e *)opaque)->g, up);
}

/* ---- registers ---- */

static void tx_run(struct e1000e *s)
{
    uint32_t causes = 0;

    if (s->transmitting || !(*reg(&s->g, TCTL) & TCTL_EN))
        return;
    s->transmitting = true;
    for (unsigned i = 0; i < QUEUES; i++) {
        uint32_t c = gbe_tx_run(&s->g, &s->tx[i], TDBAL + QUEUE_STRIDE * i, 0);

        causes |= c & ICR_TXDW ? c | ICR_TXQ0 << i : 0;
    }
    s->transmitting = false;
    e1000e_interrupt(&s->g, causes);
}

/* Plain ones, with the bits that can be written. */
#define BOTH(REGISTER, MASK) \
    {REGISTER, REGISTER, MASK}, { REGISTER + QUEUE_STRIDE, REGISTER + QUEUE_STRIDE, MASK }
static const struct gbe_plain plain[] = {
    {CTRL_EXT, CTRL_EXT, 0x7fffdfff}, {FCAL, FCAL, UINT32_MAX}, {FCAH, FCAH, 0xffff}, {FCT, FCT, 0xffff},
    {VET, VET, 0xffff}, {ITR, ITR, 0xffff}, {EIAC, EIAC, 0x01f00000}, {IAM, IAM, UINT32_MAX},
    {IVAR, IVAR, 0x800fffff}, {EITR, EITR + 0x10, 0xffff}, {FCTTV, FCTTV, 0xffff}, {TXCW, TXCW, 0xc000ffff},
    {TCTL_EXT, TCTL_EXT, 0x000ffc00},
    {TIPG, TIPG, 0x3fffffff}, {AIT, AIT, 0xffff}, {LEDCTL, LEDCTL, 0xcfcfcfcf}, {EXTCNF_CTRL, EXTCNF_CTRL, 0x0fff00ef},
    {EXTCNF_SIZE, EXTCNF_SIZE, 0x00ffffff}, {PHY_CTRL, PHY_CTRL, 0x0000007f}, {PBA, PBA, 0xffff}, {PBS, PBS, 0xffff},
    {EEMNGCTL, EEMNGCTL, 0}, {ERT, ERT, 0x3fff}, {FCRTL, FCRTL, 0x8000fff8}, {FCRTH, FCRTH, 0xfff8},
    {PSRCTL, PSRCTL, 0x3f3f3f7f}, {RDFH, RDFPC, 0x1fff}, BOTH(RDBAL, 0xfffffff0), BOTH(RDBAH, UINT32_MAX),
    BOTH(RDLEN, 0xfff80), BOTH(RDH, 0xffff), BOTH(RDT, 0xffff), {RDTR, RDTR, 0xffff}, BOTH(RXDCTL, 0x013f3f3f),
    {RADV, RADV, 0xffff}, {RSRPD, RSRPD, 0xfff}, {RAID, RAID, 0xffff}, {TDFH, TDFPC, 0x1fff}, BOTH(TDBAL, 0xfffffff0),
    BOTH(TDBAH, UINT32_MAX), BOTH(TDLEN, 0xfff80), BOTH(TDH, 0xffff), BOTH(TDT, 0xffff), {TIDV, TIDV, 0xffff},
    BOTH(TXDCTL, 0xff3f3f3f), {TADV, TADV, 0xffff}, BOTH(TARC, 0x7fffffff), {RXCSUM, RXCSUM, 0x33ff},
    {RFCTL, RFCTL, 0x0003ffff}, {MTA, MTA + 0x1fc, UINT32_MAX}, {RAL, RAL + 0x7c, UINT32_MAX},
    {VFTA, VFTA + 0x1fc, UINT32_MAX}, {WUC, WUC, 0xf}, {WUFC, WUFC, 0xfffff}, {MRQC, MRQC, 0xffff0003},
    {MANC, MANC, UINT32_MAX}, {IPAV, IPAV, 0x1000f}, {IP4AT, IP4AT + 0x1c, UINT32_MAX}, {WUPL, WUPL, 0xfff},
    {WUPM, WUPM + 0x7c, UINT32_MAX}, {GCR, GCR, UINT32_MAX}, {FACTPS, FACTPS, 0}, {SWSM, SWSM, 0x0000000f},
    {FWSM, FWSM, 0}, {SW_FW_SYNC, SW_FW_SYNC, UINT32_MAX}, {GCR2, GCR2, UINT32_MAX}, {RETA, RETA + 0x7c, UINT32_MAX},
    {RSSRK, RSSRK + 0x24, UINT32_MAX},
};

static uint64_t system_time(const struct e1000e *s)
{
    return gbe_system_time(s->time, s->time_set, bp_timer_now(s->throttle[0]), s->timinca, TICK);
}

static uint32_t read_register(void *card, unsigned offset)
{
    struct e1000e *s = card;
    uint32_t value = 0;

    switch (offset) {
    case ICR:
        return e1000e_read_icr(s);
    case SYSTIML:
        return (uint32_t)system_time(s);
    case SYSTIMH:
        return (uint32_t)(system_time(s) >> 32);
    case TIMINCA:
        return s->timinca;
    default:
        return gbe_read(&s->g, offset, &value) ? value : 0;
    }
}

static void set_time(struct e1000e *s, unsigned offset, uint32_t value)
{
    s->time = system_time(s);
    s->time_set = bp_timer_now(s->throttle[0]);
    if (offset == SYSTIML)
        s->time = (s->time & ~UINT64_C(0xffffffff)) | value;
    else if (offset == SYSTIMH)
        s->time = (s->time & 0xffffffffu) | (uint64_t)value << 32;
    else
        s->timinca = value;
}

static void write_ctrl(struct e1000e *s, uint32_t value)
{
    gbe_write_ctrl(&s->g, value);
    if (!(value & CTRL_RST))
        return;
    reset_registers(s);
    net->nic_ready(s->g.nic, 0);
}

/* Registers of interrupts. false: it is another. */
static bool write_interrupts(struct e1000e *s, unsigned offset, uint32_t value)
{
    struct gbe *g = &s->g;

    switch (offset) {
    case ICR: /* ones clear */
        *reg(g, ICR) &= ~value;
        if (*reg(g, CTRL_EXT) & CTRL_EXT_IAME)
            *reg(g, IMS) &= ~(*reg(g, IAM) & value);
        break;
    case ICS:
        *reg(g, ICR) |= value & INTERRUPTS;
        break;
    case IMS:
        *reg(g, IMS) |= value & INTERRUPTS;
        break;
    case IMC:
        *reg(g, IMS) &= ~value;
        break;
    default:
        return false;
    }
    e1000e_update_interrupts(s);
    return true;
}

static void write_register(void *card, unsigned offset, uint32_t value)
{
    struct e1000e *s = card;
    struct gbe *g = &s->g;

    if (write_interrupts(s, offset, value))
        return;
    switch (offset) {
    case CTRL:
        write_ctrl(s, value);
        return;
    case RCTL:
        *reg(g, RCTL) = value & 0x7fffffff;
        break;
    case TCTL:
        *reg(g, TCTL) = value & 0x1ffffffa;
        break;
    case SYSTIML: case SYSTIMH: case TIMINCA:
        set_time(s, offset, value);
        return;
    default:
        gbe_write(g, offset, value);
    }
    if (offset == RCTL || offset == RDT || offset == RDT + QUEUE_STRIDE)
        net->nic_ready(g->nic, 0);
    else if (offset == TCTL || offset == TDT || offset == TDT + QUEUE_STRIDE)
        tx_run(s);
}

/* ---- the device ---- */

/* From word 0x03 on: compatibility, image version, PBA number, initialization control, IDs. */
static const uint16_t eeprom[0x3c] = {
    0x0420, 0x0000, 0x2010, 0xffff, 0xffff, 0x3000, 0x0003, 0x0003, 0x0000, 0x8086, 0x10d3, 0x8086, 0x0000};

static const struct gbe_model model = {
    .name = "e1000e", .size = REGISTERS_END, .device = 0x10d3, .phy_id = {0x0141, 0x0cb1}, .phy_page = 22,
    .phy_port_up = 0xac00, .eerd_shift = 2, .eerd_done = 2, .late = true, .rss_mode = 1, .eeprom = eeprom,
    .plain = plain, .plain_count = BP_COUNT(plain), .interrupt = e1000e_interrupt,
    .read = read_register, .write = write_register, .receive = e1000e_receive};

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    tx_run(opaque);
}

static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .takes = 0, .receive = e1000e_receive, .ready = ready, .link = link_changed};

static void throttled(void *opaque)
{
    e1000e_update_interrupts(opaque);
}

static int e1000e_attach(struct bp_device *dev, struct bp_error *err)
{
    struct e1000e *s = bp_device_state(dev);

    _Static_assert(offsetof(struct e1000e, g) == 0, "the BARs' callbacks get it");
    s->g = (struct gbe){.model = &model, .pci = pci, .net = net, .dev = dev, .card = s, .reg = s->reg};
    for (unsigned i = 0; i < VECTORS; i++)
        s->throttle[i] = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, throttled, s);
    return net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->g.nic, err);
}

static void e1000e_detach(struct bp_device *dev)
{
    struct e1000e *s = bp_device_state(dev);

    net->nic_free(s->g.nic);
    for (unsigned i = 0; i < QUEUES; i++)
        gbe_frame_free(&s->tx[i].frame);
}

/* ---- saved state ---- */

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct e1000e *s = state;

    (void)version;
    (void)err;
    gbe_note_address(&s->g);
    net->nic_ready(s->g.nic, 0);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_ARRAY(TIMER, struct e1000e, throttle), BP_SAVE_ARRAY(UINT32, struct e1000e, reg),
    GBE_FIELDS(struct e1000e, g), BP_SAVE(UINT32, struct e1000e, told),
    BP_SAVE_STRUCTS(struct e1000e, tx, &gbe_tx_table), BP_SAVE(UINT64, struct e1000e, time),
    BP_SAVE(UINT64, struct e1000e, time_set), BP_SAVE(UINT32, struct e1000e, timinca), BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {BP_NET_PROPS(struct e1000e, conf), BP_PROP_BOOTINDEX(struct e1000e, bootindex),
                                        BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x10d3, .subsystem_vendor = 0x8086, .subsystem = 0x0000,
    .class_code = 0x0200, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT, .msi = 1,
    .flags = BP_PCI_FLAG_POWER, .romfile = "efi-e1000e.rom",
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = GBE_BAR_SIZE, .name = "e1000e-mmio", .ops = &gbe_memory_ops},
            {0},
            {.flags = BP_PCI_BAR_IO, .size = GBE_IO_SIZE, .name = "e1000e-io", .ops = &gbe_io_ops},
            {.flags = BP_PCI_BAR_MEM32, .size = MSIX_SIZE, .name = "e1000e-msix"}},
    .msix = {.vectors = VECTORS, .bar = 3, .table = 0, .pba = MSIX_PBA}};
BP_HOTPLUG_DEVICE(e1000e, "e1000e", "pci", "Intel 82574L Gigabit Ethernet", struct e1000e, props, &state_table,
                  .category = "network", .bus_info = &info, .attach = e1000e_attach, .detach = e1000e_detach,
                  .reset = e1000e_reset, .firmware_name = "ethernet", .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-e1000e", "Intel Gigabit Ethernet 82574L", imports, {BP_PROVIDE_DEVICE, &e1000e});
