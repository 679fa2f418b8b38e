/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Realtek RTL8139C+ (rtl8139.h): its registers, in ports and in memory, its PHY and its timer. Left out: wake-up, the
 * flash, early interrupts, the high-priority ring, tally counters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rtl8139.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

const struct bp_pci_interface *rtl_pci;
const struct bp_net_interface *rtl_net;

#define TICK_NS 30 /* of the PCI clock, 33 MHz */
#define VERSION 0x74800000u /* RTL8139C+, in TCR */
#define BMSR_VALUE 0x7809u
#define BMSR_LINK 0x0024u /* and negotiated */

/* ---- interrupts and the timer ---- */

static void update_line(struct rtl8139 *s)
{
    pci->set_irq(bp_device_of_state(s), (get16(s, ISR) & get16(s, IMR)) != 0);
}

void rtl_interrupt(struct rtl8139 *s, unsigned causes)
{
    set16(s, ISR, get16(s, ISR) | causes);
    update_line(s);
}

static void arm_timer(struct rtl8139 *s)
{
    uint32_t ticks = get32(s, TIMERINT);

    if (ticks)
        bp_timer_set(s->timer, s->timer_start + (int64_t)ticks * TICK_NS);
    else
        bp_timer_cancel(s->timer);
}

static void timer_fired(void *opaque)
{
    rtl_interrupt(opaque, ISR_TIMEOUT);
}

/* ---- link and reset ---- */

static void update_link(struct rtl8139 *s)
{
    bool up = net->nic_link(s->nic);

    set16(s, BMSR, BMSR_VALUE | (up ? BMSR_LINK : 0));
    set16(s, ANLPAR, up ? 0x45e1 : 0);
    set16(s, ANER, up ? 1 : 0);
    s->reg[MSR] = (uint8_t)((s->reg[MSR] & 0xc0) | (up ? 0x10 : 0x14)); /* LINKB is 1 when it is down; 100 Mbit/s */
}

static void link_changed(void *opaque, bool up)
{
    struct rtl8139 *s = opaque;

    (void)up;
    update_link(s);
    rtl_interrupt(s, ISR_LINK);
}

/* CR's RST: what stands in the EEPROM, and addresses, stay. */
static void soft_reset(struct rtl8139 *s)
{
    for (unsigned i = 0; i < 4; i++)
        set32(s, TSD + 4 * i, TSD_OWN);
    s->reg[CR] = CR_BUFE;
    set16(s, IMR, 0);
    set16(s, ISR, 0);
    set32(s, TCR, VERSION);
    set32(s, RCR, 0);
    set32(s, MPC, 0);
    set16(s, CPCR, 0);
    s->reg[TPPOLL] = 0;
    s->slot = s->tx_at = 0;
    rtl_rx_reset(s);
    rtl_tx_reset(s);
    update_line(s);
    net->nic_ready(s->nic, 0);
}

static void rtl_reset(struct bp_device *dev)
{
    struct rtl8139 *s = bp_device_state(dev);
    uint8_t mac[6];

    net->nic_mac(s->nic, mac);
    net->nic_set_mac(s->nic, mac);
    memset(s->reg, 0, sizeof(s->reg));
    memcpy(s->reg + IDR, mac, 6);
    memset(s->reg + MAR, 0xff, 8);
    rtl_eeprom_fill(s, mac);
    s->wire_bits = s->wire_left = 0;
    s->wire_in = s->wire_out = 0;
    s->reg[CONFIG1] = 0x0c; /* registers in ports and in memory */
    s->reg[CONFIG3] = 0x01; /* fast back-to-back */
    set16(s, BMCR, 0x3100); /* 100 Mbit/s, negotiates, full duplex */
    set16(s, ANAR, 0x05e1);
    s->timer_start = bp_timer_now(s->timer);
    bp_timer_cancel(s->timer);
    soft_reset(s);
    update_link(s);
}

/* ---- registers ---- */

/* Each with its width; what is not here reads as it stands and is not written. */
static const struct {
    uint8_t at, width;
    uint32_t writable; /* of the plain ones */
} table[] = {
    {IDR, 4, UINT32_MAX}, {IDR + 4, 4, 0xffff}, {MAR, 4, UINT32_MAX}, {MAR + 4, 4, UINT32_MAX}, {TSD, 4, 0},
    {TSD + 4, 4, 0}, {TSD + 8, 4, 0}, {TSD + 12, 4, 0}, {TSAD, 4, UINT32_MAX}, {TSAD + 4, 4, UINT32_MAX},
    {TSAD + 8, 4, UINT32_MAX}, {TSAD + 12, 4, UINT32_MAX}, {RBSTART, 4, UINT32_MAX}, {CR, 1, 0}, {CAPR, 2, 0},
    {IMR, 2, 0}, {ISR, 2, 0}, {TCR, 4, 0}, {RCR, 4, 0}, {TCTR, 4, 0}, {MPC, 4, 0}, {CR9346, 1, 0}, {CONFIG1, 1, 0xff},
    {TIMERINT, 4, 0}, {MSR, 1, 0xc0}, {CONFIG3, 1, 0x7f}, {CONFIG4, 1, 0xff}, {MULINT, 2, 0xffff}, {BMCR, 2, 0},
    {ANAR, 2, 0xffff}, {NWAYTR, 2, 0xff}, {CSCR, 2, 0xffff}, {CONFIG5, 1, 0xff}, {TPPOLL, 1, 0}, {CPCR, 2, 0},
    {RDSAR, 4, 0xffffff00}, {RDSAR + 4, 4, UINT32_MAX}, {ETTHR, 1, 0xff},
};

static uint32_t slots_summary(const struct rtl8139 *s)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t tsd = get32(s, TSD + 4 * i);

        v |= tsd & TSD_OWN ? 1u << i : 0;
        v |= tsd & TSD_TABT ? 1u << (4 + i) : 0;
        v |= tsd & TSD_TOK ? 1u << (12 + i) : 0;
    }
    return v;
}

static void refresh(struct rtl8139 *s)
{
    s->reg[CR] = (uint8_t)((s->reg[CR] & ~CR_BUFE) | (rtl_rx_empty(s) ? CR_BUFE : 0));
    set32(s, TCTR, (uint32_t)((bp_timer_now(s->timer) - s->timer_start) / TICK_NS));
    set16(s, TSAD_ALL, slots_summary(s));
}

static uint64_t rtl_read(void *opaque, uint64_t addr, unsigned size)
{
    struct rtl8139 *s = opaque;
    uint32_t value = 0;

    refresh(s);
    for (unsigned i = 0; i < size && addr + i < REGISTERS; i++)
        value |= (uint32_t)(addr + i == CR9346 ? rtl_eeprom_read(s) : s->reg[addr + i]) << 8 * i;
    return value;
}

static void write_cr(struct rtl8139 *s, uint32_t value)
{
    if (value & CR_RST) {
        soft_reset(s);
        return;
    }
    s->reg[CR] = (uint8_t)(value & (CR_RE | CR_TE));
    net->nic_ready(s->nic, 0);
    rtl_tx_run(s);
}

static void write_rcr(struct rtl8139 *s, uint32_t value)
{
    uint32_t old = get32(s, RCR);

    set32(s, RCR, value & 0x0f00ffff);
    if ((value ^ old) & 0x1800) /* another size of the ring */
        rtl_rx_reset(s);
    net->nic_ready(s->nic, 0);
}

/* Where C+ descriptors had run out, drivers give new ones and then write here: nothing else tells of them. */
static void receive_again(struct rtl8139 *s)
{
    if (get16(s, CPCR) & CP_RX)
        net->nic_ready(s->nic, 0);
}

static void write_special(struct rtl8139 *s, unsigned at, uint32_t value, uint32_t part)
{
    switch (at) {
    case TSD: case TSD + 4: case TSD + 8: case TSD + 12:
        set32(s, at, value & 0x003f3fff);
        rtl_tx_run(s);
        break;
    case CR:
        write_cr(s, value);
        break;
    case CAPR:
        set16(s, CAPR, value);
        net->nic_ready(s->nic, 0);
        break;
    case IMR:
        set16(s, IMR, value & 0xe1ff);
        update_line(s);
        receive_again(s);
        break;
    case ISR: /* ones clear: only those that were written */
        set16(s, ISR, get16(s, ISR) & ~part);
        update_line(s);
        receive_again(s);
        break;
    case TCR:
        set32(s, TCR, (value & 0x030707f0) | VERSION);
        break;
    case RCR:
        write_rcr(s, value);
        break;
    case TCTR:
        s->timer_start = bp_timer_now(s->timer);
        arm_timer(s);
        break;
    case MPC:
        set32(s, MPC, 0);
        break;
    case CR9346:
        rtl_eeprom_write(s, (uint8_t)value);
        break;
    case TIMERINT:
        set32(s, TIMERINT, value);
        arm_timer(s);
        break;
    case BMCR:
        set16(s, BMCR, value & 0x3100);
        if (value & 0x8200) { /* reset, or negotiate again: at once */
            update_link(s);
            rtl_interrupt(s, ISR_LINK);
        }
        break;
    case TPPOLL:
        s->reg[TPPOLL] |= (uint8_t)(value & 0xc0);
        if (value & 1)
            rtl_interrupt(s, ISR_SWINT);
        rtl_tx_run(s);
        break;
    case CPCR:
        set16(s, CPCR, value & 0x007b);
        s->tx_at = s->rx_at = 0;
        net->nic_ready(s->nic, 0);
        break;
    default:
        break;
    }
}

/* Bytes `part` under `mask` of the register in row `row`. */
static void write_register(struct rtl8139 *s, unsigned row, uint32_t part, uint32_t mask)
{
    unsigned at = table[row].at, width = table[row].width;
    uint32_t old = 0, value;

    for (unsigned i = 0; i < width; i++)
        old |= (uint32_t)s->reg[at + i] << 8 * i;
    value = (old & ~mask) | (part & mask);
    if (table[row].writable) {
        value = (old & ~table[row].writable) | (value & table[row].writable);
        for (unsigned i = 0; i < width; i++)
            s->reg[at + i] = (uint8_t)(value >> 8 * i);
        if (at <= IDR + 4)
            net->nic_set_mac(s->nic, s->reg + IDR);
        if (at == TNPDS || at == TNPDS + 4)
            s->tx_at = 0;
        if (at == RDSAR || at == RDSAR + 4)
            s->rx_at = 0;
        return;
    }
    write_special(s, at, value, part & mask);
}

static void rtl_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    for (unsigned row = 0; row < BP_COUNT(table); row++) {
        uint64_t part = 0, mask = 0;

        for (unsigned i = 0; i < size; i++) {
            uint64_t at = addr + i;

            if (at < table[row].at || at >= (uint64_t)table[row].at + table[row].width)
                continue;
            part |= (value >> 8 * i & 0xff) << 8 * (at - table[row].at);
            mask |= UINT64_C(0xff) << 8 * (at - table[row].at);
        }
        if (mask)
            write_register(opaque, row, (uint32_t)part, (uint32_t)mask);
    }
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = rtl_read, .write = rtl_write, .min_access = 1, .max_access = 4, .unaligned = 1};

/* ---- the device ---- */

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    rtl_tx_run(opaque);
}

static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .receive = rtl_receive, .ready = ready, .link = link_changed};

static int rtl_attach(struct bp_device *dev, struct bp_error *err)
{
    struct rtl8139 *s = bp_device_state(dev);
    int r;

    rtl_pci = pci;
    rtl_net = net;
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_fired, s);
    r = net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
    if (r < 0)
        return r;
    s->frame = bp_alloc(FRAME_MAX);
    return 0;
}

static void rtl_detach(struct bp_device *dev)
{
    struct rtl8139 *s = bp_device_state(dev);

    net->nic_free(s->nic);
    free(s->frame);
}

static int before_save(void *state, struct bp_error *err)
{
    struct rtl8139 *s = state;

    (void)err;
    refresh(s);
    if (s->frame_length) {
        s->saved_frame.data = bp_alloc(s->frame_length);
        memcpy(s->saved_frame.data, s->frame, s->frame_length);
    }
    s->saved_frame.size = s->frame_length;
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct rtl8139 *s = state;

    (void)version;
    if (s->saved_frame.size > FRAME_MAX)
        return bp_fail(err, EINVAL, "rtl8139: a frame of %u bytes under way", s->saved_frame.size);
    s->frame_length = s->saved_frame.size;
    if (s->frame_length)
        memcpy(s->frame, s->saved_frame.data, s->frame_length);
    net->nic_set_mac(s->nic, s->reg + IDR);
    net->nic_ready(s->nic, 0);
    return 0;
}

static const struct bp_state_field offload_fields[] = {
    BP_SAVE(UINT8, struct bp_net_offload, flags), BP_SAVE(UINT8, struct bp_net_offload, segment),
    BP_SAVE(UINT16, struct bp_net_offload, header_length), BP_SAVE(UINT16, struct bp_net_offload, segment_size),
    BP_SAVE(UINT16, struct bp_net_offload, checksum_start), BP_SAVE(UINT16, struct bp_net_offload, checksum_offset),
    BP_SAVE_END};
static const struct bp_state_table offload_table = {.name = "offload", .version = 1, .oldest = 1,
                                                    .fields = offload_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct rtl8139, timer), BP_SAVE(UINT64, struct rtl8139, timer_start),
    BP_SAVE_BUFFER(struct rtl8139, reg), BP_SAVE(UINT16, struct rtl8139, wire_in),
    BP_SAVE(UINT16, struct rtl8139, wire_out), BP_SAVE_RANGE(UINT8, struct rtl8139, wire_bits, 0, 9),
    BP_SAVE_RANGE(UINT8, struct rtl8139, wire_left, 0, 17), BP_SAVE_RANGE(UINT32, struct rtl8139, rx_at, 0, 63),
    BP_SAVE_RANGE(UINT32, struct rtl8139, tx_at, 0, 63), BP_SAVE_RANGE(UINT32, struct rtl8139, slot, 0, 3),
    BP_SAVE(UINT32, struct rtl8139, frame_flags), BP_SAVE(UINT32, struct rtl8139, frame_tag),
    BP_SAVE(BOOL, struct rtl8139, frame_bad), BP_SAVE(BOOL, struct rtl8139, frame_whole),
    {.name = "offload", .kind = BP_STATE_STRUCT, .offset = offsetof(struct rtl8139, offload), .count = 1,
     .stride = sizeof(struct bp_net_offload), .table = &offload_table},
    BP_SAVE_BYTES(struct rtl8139, saved_frame, FRAME_MAX), BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .before_save = before_save, .after_load = after_load};

static const struct bp_field props[] = {BP_NET_PROPS(struct rtl8139, conf),
                                        BP_PROP_BOOTINDEX(struct rtl8139, bootindex), BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x10ec, .device = 0x8139, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .revision = 0x20, .class_code = 0x0200, .interrupt_pin = 1, .romfile = "efi-rtl8139.rom",
    .bar = {{.flags = BP_PCI_BAR_IO, .size = REGISTERS, .name = "rtl8139-io", .ops = &ops},
            {.flags = BP_PCI_BAR_MEM32, .size = REGISTERS, .name = "rtl8139-mmio", .ops = &ops}}};
BP_HOTPLUG_DEVICE(rtl8139, "rtl8139", "pci", "Realtek RTL8139C+", struct rtl8139, props, &state_table,
                  .category = "network", .bus_info = &info, .attach = rtl_attach, .detach = rtl_detach,
                  .reset = rtl_reset, .firmware_name = "ethernet", .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-rtl8139", "Realtek RTL8139C+", imports, {BP_PROVIDE_DEVICE, &rtl8139});
