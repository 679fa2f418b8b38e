/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel 82540EM gigabit Ethernet (e1000.h): its registers in memory and behind IOADDR and IODATA, and interrupts. Left
 * out: management, wake-up, flow control on the wire, the flash; interrupts come without the delays of TIDV and RDTR,
 * but no oftener than ITR says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/run.h>

#include "e1000.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

const struct bp_pci_interface *e1000_pci;
const struct bp_net_interface *e1000_net;

#define BAR_SIZE 0x20000u
#define IO_SIZE 64u

/* ---- interrupts ---- */

static void update_line(struct e1000 *s)
{
    struct bp_device *dev = bp_device_of_state(s);

    if (!(*reg(s, ICR) & *reg(s, IMS))) {
        pci->set_irq(dev, 0);
        return;
    }
    if (bp_timer_pending(s->throttle))
        return; /* when it fires */
    pci->set_irq(dev, 1);
    if (*reg(s, ITR) & 0xffffu)
        bp_timer_set(s->throttle, bp_timer_now(s->throttle) + (int64_t)(*reg(s, ITR) & 0xffffu) * 256);
}

static void throttled(void *opaque)
{
    update_line(opaque);
}

void e1000_interrupt(struct e1000 *s, uint32_t causes)
{
    if (!causes)
        return;
    *reg(s, ICR) |= causes & INTERRUPTS;
    update_line(s);
}

/* ---- statistics ---- */

void e1000_count(struct e1000 *s, unsigned statistic, uint32_t n)
{
    uint32_t *v = reg(s, statistic);

    *v = n > UINT32_MAX - *v ? UINT32_MAX : *v + n; /* they stick at the top */
}

void e1000_count64(struct e1000 *s, unsigned low, uint32_t n)
{
    uint64_t v = *reg(s, low) | (uint64_t)*reg(s, low + 4) << 32;

    v += n;
    *reg(s, low) = (uint32_t)v;
    *reg(s, low + 4) = (uint32_t)(v >> 32);
}

void e1000_count_size(struct e1000 *s, unsigned first, uint32_t length)
{
    static const uint32_t most[] = {64, 127, 255, 511, 1023, UINT32_MAX};
    unsigned i = 0;

    while (length > most[i])
        i++;
    e1000_count(s, first + 4 * i, 1);
}

/* ---- link and reset ---- */

static void update_status(struct e1000 *s)
{
    bool up = net->nic_link(s->nic);

    *reg(s, STATUS) = STATUS_FD | STATUS_SPEED_1000 | STATUS_ASDV_1000 | (up ? STATUS_LU : 0);
}

static void link_changed(void *opaque, bool up)
{
    struct e1000 *s = opaque;

    update_status(s);
    phy_link(s, up);
    e1000_interrupt(s, ICR_LSC);
}

static void reset_registers(struct e1000 *s)
{
    struct bp_device *dev = bp_device_of_state(s);
    uint8_t mac[6];

    net->nic_mac(s->nic, mac);
    memset(s->reg, 0, sizeof(s->reg));
    *reg(s, CTRL) = CTRL_FD | CTRL_SPEED_1000;
    *reg(s, PBA) = 0x00100030;
    *reg(s, LEDCTL) = 0x07068302;
    *reg(s, MANC) = 0x2000; /* the firmware lets go of the PHY */
    *reg(s, VET) = 0x8100;
    *reg(s, RAL) = get_le32(mac);
    *reg(s, RAL + 4) = mac[4] | (uint32_t)mac[5] << 8 | RAH_AV;
    net->nic_set_mac(s->nic, mac);
    update_status(s);
    eeprom_fill(s, mac);
    s->wire_bits = s->wire_left = 0;
    s->wire_in = s->wire_out = 0;
    memset(&s->segmentation, 0, sizeof(s->segmentation));
    memset(&s->checksum, 0, sizeof(s->checksum));
    tx_reset(s);
    bp_timer_cancel(s->throttle);
    pci->set_irq(dev, 0);
}

static void e1000_reset(struct bp_device *dev)
{
    struct e1000 *s = bp_device_state(dev);

    reset_registers(s);
    phy_reset(s);
    s->io_address = 0;
    net->nic_ready(s->nic, 0);
}

/* ---- registers ---- */

/* Plain ones, with the bits that can be written. */
static const struct {
    uint16_t first, last;
    uint32_t writable;
} plain[] = {
    {CTRL_EXT, CTRL_EXT, 0x0fffffff}, {FCAL, FCAL, UINT32_MAX}, {FCAH, FCAH, 0xffff}, {FCT, FCT, 0xffff},
    {VET, VET, 0xffff}, {ITR, ITR, 0xffff}, {FCTTV, FCTTV, 0xffff}, {TXCW, TXCW, 0xc000ffff},
    {TIPG, TIPG, 0x3fffffff}, {AIT, AIT, 0xffff}, {LEDCTL, LEDCTL, 0xcfcfcfcf}, {PBA, PBA, 0xffff},
    {FCRTL, FCRTL, 0x8000fff8}, {FCRTH, FCRTH, 0xfff8}, {RDFH, RDFPC, 0x1fff}, {RDBAL, RDBAL, 0xfffffff0},
    {RDBAH, RDBAH, UINT32_MAX}, {RDLEN, RDLEN, 0xfff80}, {RDH, RDH, 0xffff}, {RDTR, RDTR, 0xffff},
    {RXDCTL, RXDCTL, 0x013f3f3f}, {RADV, RADV, 0xffff}, {RSRPD, RSRPD, 0xfff}, {TXDMAC, TXDMAC, 1},
    {TDFH, TDFPC, 0x1fff}, {TDBAL, TDBAL, 0xfffffff0}, {TDBAH, TDBAH, UINT32_MAX}, {TDLEN, TDLEN, 0xfff80},
    {TDH, TDH, 0xffff}, {TIDV, TIDV, 0xffff}, {TXDCTL, TXDCTL, 0xff3f3f3f}, {TADV, TADV, 0xffff},
    {TSPMT, TSPMT, UINT32_MAX}, {RXCSUM, RXCSUM, 0x3ff}, {MTA, MTA + 0x1fc, UINT32_MAX},
    {RAL, RAL + 0x7c, UINT32_MAX}, {VFTA, VFTA + 0x1fc, UINT32_MAX}, {WUC, WUC, 0xf}, {WUFC, WUFC, 0xfffff},
    {MANC, MANC, UINT32_MAX}, {IPAV, IPAV, 0x1000f}, {IP4AT, IP4AT + 0x1c, UINT32_MAX}, {WUPL, WUPL, 0xfff},
    {WUPM, WUPM + 0x7c, UINT32_MAX},
};

static bool plain_mask(unsigned offset, uint32_t *ret_mask)
{
    for (unsigned i = 0; i < BP_COUNT(plain); i++)
        if (offset >= plain[i].first && offset <= plain[i].last) {
            *ret_mask = plain[i].writable;
            return true;
        }
    return false;
}

static uint32_t read_register(struct e1000 *s, unsigned offset)
{
    uint32_t value, mask;

    switch (offset) {
    case EECD:
        return eeprom_eecd(s);
    case EERD:
        return eeprom_eerd(s);
    case ICR: /* what is read is acknowledged */
        value = *reg(s, ICR);
        *reg(s, ICR) = 0;
        update_line(s);
        return value;
    case CTRL: case STATUS: case MDIC: case IMS: case RCTL: case TCTL: case RDT: case TDT:
        return *reg(s, offset);
    default:
        break;
    }
    if (offset >= STATISTICS && offset < STATISTICS_END) {
        value = *reg(s, offset);
        *reg(s, offset) = 0;
        return value;
    }
    return offset < REGISTERS_END && plain_mask(offset, &mask) ? *reg(s, offset) : 0;
}

static void write_ctrl(struct e1000 *s, uint32_t value)
{
    if (value & CTRL_PHY_RST)
        phy_reset(s);
    if (value & CTRL_RST) {
        reset_registers(s);
        net->nic_ready(s->nic, 0);
        return;
    }
    *reg(s, CTRL) = value & ~(CTRL_RST | CTRL_PHY_RST);
    update_status(s);
}

static void note_address(struct e1000 *s)
{
    uint32_t low = *reg(s, RAL), high = *reg(s, RAL + 4);
    uint8_t mac[6] = {(uint8_t)low, (uint8_t)(low >> 8), (uint8_t)(low >> 16), (uint8_t)(low >> 24),
                      (uint8_t)high, (uint8_t)(high >> 8)};

    if (high & RAH_AV)
        net->nic_set_mac(s->nic, mac);
}

static void write_register(struct e1000 *s, unsigned offset, uint32_t value)
{
    uint32_t mask;

    switch (offset) {
    case CTRL:
        write_ctrl(s, value);
        return;
    case EECD:
        eeprom_write_eecd(s, value);
        return;
    case EERD:
        *reg(s, EERD) = value & 0xff01u;
        return;
    case MDIC:
        phy_write_mdic(s, value);
        return;
    case ICR: /* ones clear */
        *reg(s, ICR) &= ~value;
        update_line(s);
        return;
    case ICS:
        e1000_interrupt(s, value);
        return;
    case IMS:
        *reg(s, IMS) |= value & INTERRUPTS;
        update_line(s);
        return;
    case IMC:
        *reg(s, IMS) &= ~value;
        update_line(s);
        return;
    case RCTL:
        *reg(s, RCTL) = value & 0x07dfffff;
        net->nic_ready(s->nic, 0);
        return;
    case RDT:
        *reg(s, RDT) = value & 0xffffu;
        net->nic_ready(s->nic, 0);
        return;
    case TCTL:
        *reg(s, TCTL) = value & 0x03fffffa;
        tx_run(s);
        return;
    case TDT:
        *reg(s, TDT) = value & 0xffffu;
        tx_run(s);
        return;
    default:
        break;
    }
    if (offset < REGISTERS_END && plain_mask(offset, &mask)) {
        *reg(s, offset) = value & mask;
        if (offset == RAL + 4)
            note_address(s);
    }
}

static uint64_t memory_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return read_register(opaque, (unsigned)addr & ~3u);
}

static void memory_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    write_register(opaque, (unsigned)addr & ~3u, (uint32_t)value);
}

static const struct bp_region_ops memory_ops = {
    .size = sizeof(memory_ops), .read = memory_read, .write = memory_write, .min_access = 4, .max_access = 4};

/* IOADDR at 0, IODATA at 4 (chapter 13.2.2). */
static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    struct e1000 *s = opaque;

    (void)size;
    if (addr == 0)
        return s->io_address;
    return addr == 4 && s->io_address < BAR_SIZE ? read_register(s, s->io_address & ~3u) : 0;
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct e1000 *s = opaque;

    (void)size;
    if (addr == 0)
        s->io_address = (uint32_t)value;
    else if (addr == 4 && s->io_address < BAR_SIZE)
        write_register(s, s->io_address & ~3u, (uint32_t)value);
}

static const struct bp_region_ops io_ops = {
    .size = sizeof(io_ops), .read = io_read, .write = io_write, .min_access = 4, .max_access = 4};

/* ---- the device ---- */

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    tx_run(opaque);
}

static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .takes = 0, .receive = rx_receive, .ready = ready, .link = link_changed};

static int e1000_attach(struct bp_device *dev, struct bp_error *err)
{
    struct e1000 *s = bp_device_state(dev);
    int r;

    e1000_pci = pci;
    e1000_net = net;
    s->throttle = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, throttled, s);
    r = net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
    if (r < 0)
        return r;
    s->frame = bp_alloc(FRAME_MAX);
    return 0;
}

static void e1000_detach(struct bp_device *dev)
{
    struct e1000 *s = bp_device_state(dev);

    net->nic_free(s->nic);
    free(s->frame);
}

/* ---- saved state ---- */

static int before_save(void *state, struct bp_error *err)
{
    struct e1000 *s = state;

    (void)err;
    if (s->frame_length) {
        s->saved_frame.data = bp_alloc(s->frame_length);
        memcpy(s->saved_frame.data, s->frame, s->frame_length);
    }
    s->saved_frame.size = s->frame_length;
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct e1000 *s = state;

    (void)version;
    if (s->saved_frame.size > FRAME_MAX)
        return bp_fail(err, EINVAL, "e1000: a packet of %u bytes under way", s->saved_frame.size);
    s->frame_length = s->saved_frame.size;
    if (s->frame_length)
        memcpy(s->frame, s->saved_frame.data, s->frame_length);
    note_address(s);
    net->nic_ready(s->nic, 0);
    return 0;
}

static const struct bp_state_field context_fields[] = {
    BP_SAVE(UINT32, struct tx_context, ip_start), BP_SAVE(UINT32, struct tx_context, ip_at),
    BP_SAVE(UINT32, struct tx_context, ip_end), BP_SAVE(UINT32, struct tx_context, sum_start),
    BP_SAVE(UINT32, struct tx_context, sum_at), BP_SAVE(UINT32, struct tx_context, sum_end),
    BP_SAVE(UINT32, struct tx_context, header), BP_SAVE(UINT32, struct tx_context, mss),
    BP_SAVE(BOOL, struct tx_context, ipv4), BP_SAVE(BOOL, struct tx_context, tcp), BP_SAVE_END};
static const struct bp_state_table context_table = {.name = "context", .version = 1, .oldest = 1,
                                                    .fields = context_fields};
static const struct bp_state_field offload_fields[] = {
    BP_SAVE(UINT8, struct bp_net_offload, flags), BP_SAVE(UINT8, struct bp_net_offload, segment),
    BP_SAVE(UINT16, struct bp_net_offload, header_length), BP_SAVE(UINT16, struct bp_net_offload, segment_size),
    BP_SAVE(UINT16, struct bp_net_offload, checksum_start), BP_SAVE(UINT16, struct bp_net_offload, checksum_offset),
    BP_SAVE_END};
static const struct bp_state_table offload_table = {.name = "offload", .version = 1, .oldest = 1,
                                                    .fields = offload_fields};
#define ONE(FIELD, TABLE) \
    {.name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(struct e1000, FIELD), .count = 1, \
     .stride = sizeof(((struct e1000 *)0)->FIELD), .table = TABLE}
static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct e1000, throttle), BP_SAVE_ARRAY(UINT32, struct e1000, reg),
    BP_SAVE_ARRAY(UINT16, struct e1000, phy), BP_SAVE(UINT32, struct e1000, io_address),
    BP_SAVE(UINT16, struct e1000, wire_in), BP_SAVE(UINT16, struct e1000, wire_out),
    BP_SAVE_RANGE(UINT8, struct e1000, wire_bits, 0, 9), BP_SAVE_RANGE(UINT8, struct e1000, wire_left, 0, 17),
    ONE(segmentation, &context_table), ONE(checksum, &context_table), ONE(offload, &offload_table),
    BP_SAVE(BOOL, struct e1000, frame_bad), BP_SAVE(BOOL, struct e1000, frame_whole),
    BP_SAVE(UINT8, struct e1000, frame_options), BP_SAVE(BOOL, struct e1000, frame_segments),
    BP_SAVE(BOOL, struct e1000, frame_tagged), BP_SAVE(UINT16, struct e1000, frame_tag),
    BP_SAVE_BYTES(struct e1000, saved_frame, FRAME_MAX), BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .before_save = before_save, .after_load = after_load};

static const struct bp_field props[] = {BP_NET_PROPS(struct e1000, conf), BP_PROP_BOOTINDEX(struct e1000, bootindex),
                                        BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x100e, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .revision = 0x03, .class_code = 0x0200, .interrupt_pin = 1, .romfile = "efi-e1000.rom",
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "e1000-mmio", .ops = &memory_ops},
            {.flags = BP_PCI_BAR_IO, .size = IO_SIZE, .name = "e1000-io", .ops = &io_ops}}};
static const char *const aliases[] = {"e1000-82540em", NULL};
BP_DEVICE_ALIAS("e1000", "e1000-82540em");
BP_HOTPLUG_DEVICE(e1000, "e1000", "pci", "Intel Gigabit Ethernet", struct e1000, props, &state_table,
                  .category = "network", .bus_info = &info, .attach = e1000_attach, .detach = e1000_detach,
                  .reset = e1000_reset, .aliases = aliases, .firmware_name = "ethernet",
                  .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-e1000", "Intel Gigabit Ethernet 82540EM", imports, {BP_PROVIDE_DEVICE, &e1000});
