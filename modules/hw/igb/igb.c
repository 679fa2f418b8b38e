/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel 82576 gigabit Ethernet, one port (igb.h): its registers in memory and behind IOADDR and IODATA. Left out:
 * virtual functions (SR-IOV is not announced), management, wake-up, flow control on the wire, the flash, time stamps
 * of packets (the clock of IEEE 1588 runs), MACsec, IPsec.
 */
#include <bp/run.h>

#include "igb.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

#define MSIX_SIZE 0x4000u
#define MSIX_PBA 0x2000u

/* ---- reset ---- */

static void reset_registers(struct igb *s)
{
    struct gbe *g = &s->g;

    gbe_reset(g);
    *reg(g, EEMNGCTL) = 0x00040000; /* the PHY is set up */
    *reg(g, RXPBS) = 0x40;          /* KB */
    *reg(g, TXPBS) = 0x28;
    *reg(g, RXCSUM) = RXCSUM_IPOFLD | RXCSUM_TUOFLD;
    *reg(g, RLPML) = 0x2600;
    *reg(g, rx_queue(0) + Q_DCTL) = *reg(g, tx_queue(0) + Q_DCTL) = DCTL_ENABLE;
    for (unsigned i = 0; i < QUEUES; i++) {
        gbe_frame_reset(&s->tx[i].frame);
        s->tx[i].context[0] = s->tx[i].context[1] = (struct igb_context){0};
        s->tx[i].chosen = 0;
    }
    s->time = 0;
    s->time_set = bp_timer_now(s->throttle[0]);
    s->timinca = 0;
    igb_reset_interrupts(s);
}

static void igb_reset(struct bp_device *dev)
{
    struct igb *s = bp_device_state(dev);

    reset_registers(s);
    gbe_phy_reset(&s->g);
    s->g.io_address = 0;
    net->nic_ready(s->g.nic, 0);
}

static void link_changed(void *opaque, bool up)
{
    gbe_link_changed(&((struct igb *)opaque)->g, up);
}

/* ---- registers ---- */

/* Plain ones, with the bits that can be written; those of queues: queue_mask(). */
static const struct gbe_plain plain[] = {
    {CTRL_EXT, CTRL_EXT, 0x7fffdfff}, {FCAL, FCAL, UINT32_MAX}, {FCAH, FCAH, 0xffff}, {FCT, FCT, 0xffff},
    {CONNSW, CONNSW, 0x3f}, {VET, VET, UINT32_MAX}, {IAM, IAM, UINT32_MAX}, {FCTTV, FCTTV, 0xffff},
    {TCTL_EXT, TCTL_EXT, 0x000ffc00}, {TIPG, TIPG, 0x3fffffff}, {LEDCTL, LEDCTL, 0xcfcfcfcf}, {PBS, PBS, 0xffff},
    {EEMNGCTL, EEMNGCTL, 0}, {GPIE, GPIE, 0xc0ffff91}, {EIAC, EIAC, 0x01ffffff}, {EIAM, EIAM, 0xc1ffffff},
    {EITR, EITR + 0x60, 0x00007ffc}, {IVAR, IVAR + 0x1c, 0x9f9f9f9f}, {IVAR_MISC, IVAR_MISC, 0x00009f9f},
    {FCRTL, FCRTL, 0x8000fff8}, {FCRTH, FCRTH, 0xfff8}, {RXPBS, RXPBS, 0x7f}, {TXPBS, TXPBS, 0x7f},
    {DTXCTL, DTXCTL, 0x7f}, {RXCSUM, RXCSUM, 0x33ff}, {RLPML, RLPML, 0x3fff}, {RFCTL, RFCTL, 0x000fffff},
    {MTA, MTA + 0x1fc, UINT32_MAX}, {RAL, RAL + 0x7c, UINT32_MAX}, {PSRTYPE, PSRTYPE + 0x1c, UINT32_MAX},
    {RAL_MORE, RAL_MORE + 0x3c, UINT32_MAX}, {SYNQF, SYNQF, 0x1f}, {VFTA, VFTA + 0x1fc, UINT32_MAX}, {WUC, WUC, 0xf},
    {WUFC, WUFC, 0xfffff}, {MRQC, MRQC, 0xffff0007}, {VT_CTL, VT_CTL, UINT32_MAX}, {MANC, MANC, UINT32_MAX},
    {IPAV, IPAV, 0x1000f}, {IP4AT, IP4AT + 0x1c, UINT32_MAX}, {WUPL, WUPL, 0xfff}, {SAQF, FTQF_END, UINT32_MAX},
    {WUPM, WUPM + 0x7c, UINT32_MAX}, {IMIR, IMIRVP, UINT32_MAX}, {VMOLR, VMOLR + 0x1c, UINT32_MAX},
    {RPLOLR, RPLOLR, 0xc0000000}, {GCR, GCR, UINT32_MAX}, {FWSM, FWSM, 0}, {SW_FW_SYNC, SW_FW_SYNC, UINT32_MAX},
    {RETA, RETA + 0x7c, UINT32_MAX}, {RSSRK, RSSRK + 0x24, UINT32_MAX}, {ETQF, ETQF + 0x1c, UINT32_MAX},
    {VLVF, VLVF + 0x7c, UINT32_MAX}, {UTA, UTA + 0x1fc, UINT32_MAX},
};

/* The first four queues have registers at the places of older cards, too. */
static unsigned canonical(unsigned offset)
{
    bool rx = offset >= 0x2800 && offset < 0x2c00, tx = offset >= 0x3800 && offset < 0x3c00;

    if ((!rx && !tx) || (offset & 0xffu) >= QUEUE_STRIDE)
        return offset;
    return (rx ? rx_queue(offset >> 8 & 3u) : tx_queue(offset >> 8 & 3u)) + (offset & 0x3fu);
}

static bool is_queue(unsigned offset)
{
    return (offset >= RX_QUEUES && offset < rx_queue(QUEUES)) || (offset >= TX_QUEUES && offset < tx_queue(QUEUES));
}

static uint32_t queue_mask(unsigned offset)
{
    switch (offset % QUEUE_STRIDE) {
    case 0x00:
        return 0xffffff80;
    case 0x04: case Q_CONTROL: case 0x38: case 0x3c:
        return UINT32_MAX;
    case 0x08:
        return 0xffff0;
    case Q_SRRCTL:
        return offset < TX_QUEUES ? 0xcff03f7f : 0;
    case Q_HEAD: case Q_TAIL:
        return 0xffff;
    case Q_DCTL:
        return 0x021f1f1f;
    default:
        return 0;
    }
}

static uint64_t system_time(const struct igb *s)
{
    return gbe_system_time(s->time, s->time_set, bp_timer_now(s->throttle[0]), s->timinca, TICK);
}

static uint32_t read_queue(struct igb *s, unsigned offset)
{
    uint32_t value = *reg(&s->g, offset);

    if (offset % QUEUE_STRIDE == Q_DROPPED)
        *reg(&s->g, offset) = 0;
    return value;
}

static uint32_t read_register(void *card, unsigned at)
{
    struct igb *s = card;
    unsigned offset = canonical(at);
    uint32_t value = 0;

    if (igb_read_interrupts(s, offset, &value))
        return value;
    if (is_queue(offset))
        return read_queue(s, offset);
    switch (offset) {
    case SWSM: /* who reads a semaphore that is free has it */
        value = *reg(&s->g, SWSM);
        *reg(&s->g, SWSM) |= 1u;
        return value;
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

static void set_time(struct igb *s, unsigned offset, uint32_t value)
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

static void write_ctrl(struct igb *s, uint32_t value)
{
    gbe_write_ctrl(&s->g, value);
    if (!(value & CTRL_RST))
        return;
    reset_registers(s);
    net->nic_ready(s->g.nic, 0);
}

static void write_queue(struct igb *s, unsigned offset, uint32_t value)
{
    *reg(&s->g, offset) = value & queue_mask(offset);
    if (offset % QUEUE_STRIDE != Q_TAIL && offset % QUEUE_STRIDE != Q_DCTL)
        return;
    if (offset < TX_QUEUES)
        net->nic_ready(s->g.nic, 0);
    else
        igb_tx_run(s);
}

static void write_register(void *card, unsigned at, uint32_t value)
{
    struct igb *s = card;
    unsigned offset = canonical(at);

    if (igb_write_interrupts(s, offset, value))
        return;
    if (is_queue(offset)) {
        write_queue(s, offset, value);
        return;
    }
    switch (offset) {
    case CTRL:
        write_ctrl(s, value);
        return;
    case RCTL:
        *reg(&s->g, RCTL) = value & 0x07dfffff;
        net->nic_ready(s->g.nic, 0);
        return;
    case TCTL:
        *reg(&s->g, TCTL) = value & 0x1ffffffa;
        igb_tx_run(s);
        return;
    case SWSM:
        *reg(&s->g, SWSM) = value & 0xfu;
        return;
    case SYSTIML: case SYSTIMH: case TIMINCA:
        set_time(s, offset, value);
        return;
    default:
        gbe_write(&s->g, offset, value);
    }
}

/* ---- the device ---- */

/* From word 0x03 on: compatibility, image version, PBA number, initialization control, IDs. */
static const uint16_t eeprom[0x3c] = {
    0x0420, 0x0000, 0x1000, 0xffff, 0xffff, 0x3000, 0x0002, 0x0003, 0x0000, 0x8086, 0x10c9, 0x8086, 0x0000};

static const struct gbe_model model = {
    .name = "igb", .size = REGISTERS_END, .device = 0x10c9, .phy_id = {0x02a8, 0x0391}, .phy_page = 31,
    .phy_page_shift = 5, .phy_port_up = 0xce00, .eerd_shift = 2, .eerd_done = 2, .eecd_size = 4, .late = true,
    .more_addresses = RAL_MORE, .rss_mode = 2, .eeprom = eeprom, .plain = plain, .plain_count = BP_COUNT(plain),
    .interrupt = igb_interrupt, .read = read_register, .write = write_register, .receive = igb_receive};

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    igb_tx_run(opaque);
}

static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .takes = 0, .receive = igb_receive, .ready = ready, .link = link_changed};

static void throttled(void *opaque)
{
    igb_update_interrupts(opaque);
}

static int igb_attach(struct bp_device *dev, struct bp_error *err)
{
    struct igb *s = bp_device_state(dev);

    _Static_assert(offsetof(struct igb, g) == 0, "the BARs' callbacks get it");
    s->g = (struct gbe){.model = &model, .pci = pci, .net = net, .dev = dev, .card = s, .reg = s->reg};
    for (unsigned i = 0; i < VECTORS; i++)
        s->throttle[i] = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, throttled, s);
    return net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->g.nic, err);
}

static void igb_detach(struct bp_device *dev)
{
    struct igb *s = bp_device_state(dev);

    net->nic_free(s->g.nic);
    for (unsigned i = 0; i < QUEUES; i++)
        gbe_frame_free(&s->tx[i].frame);
}

/* ---- saved state ---- */

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct igb *s = state;

    (void)version;
    (void)err;
    gbe_note_address(&s->g);
    net->nic_ready(s->g.nic, 0);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE_ARRAY(TIMER, struct igb, throttle), BP_SAVE_ARRAY(UINT32, struct igb, reg), GBE_FIELDS(struct igb, g),
    BP_SAVE(UINT32, struct igb, told), BP_SAVE(BOOL, struct igb, asserted),
    BP_SAVE_STRUCTS(struct igb, tx, &igb_tx_table), BP_SAVE(UINT64, struct igb, time),
    BP_SAVE(UINT64, struct igb, time_set), BP_SAVE(UINT32, struct igb, timinca), BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {BP_NET_PROPS(struct igb, conf), BP_PROP_BOOTINDEX(struct igb, bootindex),
                                        BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x10c9, .subsystem_vendor = 0x8086, .subsystem = 0x0000,
    .revision = 0x01, .class_code = 0x0200, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT, .msi = 1,
    .flags = BP_PCI_FLAG_POWER | BP_PCI_FLAG_MSI_MASKING,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = GBE_BAR_SIZE, .name = "igb-mmio", .ops = &gbe_memory_ops},
            {0},
            {.flags = BP_PCI_BAR_IO, .size = GBE_IO_SIZE, .name = "igb-io", .ops = &gbe_io_ops},
            {.flags = BP_PCI_BAR_MEM32, .size = MSIX_SIZE, .name = "igb-msix"}},
    .msix = {.vectors = VECTORS, .bar = 3, .table = 0, .pba = MSIX_PBA}};
BP_HOTPLUG_DEVICE(igb, "igb", "pci", "Intel 82576 Gigabit Ethernet", struct igb, props, &state_table,
                  .category = "network", .bus_info = &info, .attach = igb_attach, .detach = igb_detach,
                  .reset = igb_reset, .firmware_name = "ethernet", .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-igb", "Intel Gigabit Ethernet 82576", imports, {BP_PROVIDE_DEVICE, &igb});
