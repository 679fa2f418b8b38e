/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CSRs of the 21143 (tulip.h; hardware reference manual, chapter 3.2), in ports and in memory. */
#include <string.h>

#include "tulip.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

const struct bp_pci_interface *tulip_pci;
const struct bp_net_interface *tulip_net;

#define BUS_RESET 0x1u
#define STATUS_CLEARED 0x0c01ffffu
#define CAUSES 0x0c007fffu
#define NORMAL (ST_TX | ST_NO_TX | ST_RX | ST_TIMER | 0x4000u)
#define SERIAL_SELECT 0x0001u
#define SERIAL_CLOCK 0x0002u
#define SERIAL_IN 0x0004u
#define SERIAL_OUT 0x0008u
#define SERIAL_SROM 0x0800u
#define SERIAL_MDC 0x00010000u
#define SERIAL_MDO 0x00020000u
#define SERIAL_MII_READ 0x00040000u
#define SERIAL_MDI 0x00080000u
#define SERIAL_KEPT 0x00077fffu
#define TIMER_AGAIN 0x00010000u
#define TIMER_TICK_NS 81920 /* with a port of 100 Mbit/s */

/* ---- interrupts ---- */

static void update(struct tulip *s)
{
    uint32_t on = s->csr[STATUS] & s->csr[ENABLE];

    s->csr[STATUS] &= ~(ST_NORMAL | ST_ABNORMAL);
    if (on & NORMAL)
        s->csr[STATUS] |= ST_NORMAL;
    if (on & CAUSES & ~NORMAL & ~(ST_NORMAL | ST_ABNORMAL))
        s->csr[STATUS] |= ST_ABNORMAL;
    pci->set_irq(bp_device_of_state(s),
                 (s->csr[STATUS] & s->csr[ENABLE] & (ST_NORMAL | ST_ABNORMAL)) != 0);
}

void tulip_status(struct tulip *s, uint32_t causes)
{
    s->csr[STATUS] |= causes;
    update(s);
}

static void timer_fired(void *opaque)
{
    struct tulip *s = opaque;
    int64_t ns = (int64_t)(s->csr[TIMER] & 0xffff) * TIMER_TICK_NS;

    if (s->csr[TIMER] & TIMER_AGAIN && ns)
        bp_timer_set(s->timer, bp_timer_now(s->timer) + ns);
    tulip_status(s, ST_TIMER);
}

/* A list of transmission that is longer than a turn; or a frame waits for a descriptor of
 * reception. */
static void poll_fired(void *opaque)
{
    struct tulip *s = opaque;

    if (s->tx_state == TULIP_TX_RUNS)
        tulip_transmit(s);
    net->nic_ready(s->nic, 0);
}

/* ---- reset, link ---- */

static void link_changed(void *opaque, bool up)
{
    struct tulip *s = opaque;

    card_phy_link(&s->phy, up);
}

/* CSR0's SWR: all but the serial parts. */
static void soft_reset(struct tulip *s)
{
    static const uint32_t at_first[CSRS] = {
        [BUS] = 0xfe000000,        [TX_POLL] = UINT32_MAX,     [RX_POLL] = UINT32_MAX,
        [STATUS] = 0xf0000000,     [MODE] = 0x32000000,        [ENABLE] = 0xf3fe0000,
        [MISSED] = 0xe0000000,     [SERIAL] = 0xfff483ff,      [TIMER] = 0xfffe0000,
        [SIA_STATUS] = 0xc6,       [SIA_CONNECT] = 0xffff0000, [SIA_TX_RX] = UINT32_MAX,
        [SIA_GENERAL] = 0x8ff00000};

    memcpy(s->csr, at_first, sizeof(s->csr));
    s->rx_at = s->tx_at = 0;
    s->rx_state = s->tx_state = 0;
    s->filter_hash = s->filter_inverse = s->filter_only = false;
    memset(s->setup, 0, sizeof(s->setup));
    bp_timer_cancel(s->timer);
    bp_timer_cancel(s->poll);
    update(s);
    net->nic_ready(s->nic, 0);
}

static void tulip_reset(struct bp_device *dev)
{
    struct tulip *s = bp_device_state(dev);
    uint8_t mac[6];

    net->nic_mac(s->nic, mac);
    net->nic_set_mac(s->nic, mac);
    card_eeprom_lines(&s->eeprom, false, false, false);
    card_phy_reset(&s->phy);
    s->phy.up = net->nic_link(s->nic);
    soft_reset(s);
}

/* ---- registers ---- */

static uint32_t read_csr(struct tulip *s, unsigned n)
{
    uint32_t value = s->csr[n];

    switch (n) {
    case STATUS:
        return (value & ~0x007e0000u) | (uint32_t)s->tx_state << 20 | (uint32_t)s->rx_state << 17;
    case MISSED:
        s->csr[n] = 0xe0000000;
        return value;
    case SERIAL:
        value &= ~(SERIAL_OUT | SERIAL_MDI);
        return value | (card_eeprom_out(&s->eeprom) ? SERIAL_OUT : 0) |
               (card_phy_out(&s->phy) ? SERIAL_MDI : 0);
    case TIMER:
        if (bp_timer_pending(s->timer))
            value =
                (value & 0xffff0000) |
                (uint16_t)((bp_timer_deadline(s->timer) - bp_timer_now(s->timer)) / TIMER_TICK_NS);
        return value;
    default:
        return value;
    }
}

static void write_serial(struct tulip *s, uint32_t value)
{
    bool released = value & SERIAL_MII_READ;

    s->csr[SERIAL] = (value & SERIAL_KEPT) | 0xfff00000;
    card_eeprom_lines(&s->eeprom, value & SERIAL_SROM && value & SERIAL_SELECT,
                      value & SERIAL_CLOCK, value & SERIAL_IN);
    card_phy_lines(&s->phy, value & SERIAL_MDC, released || value & SERIAL_MDO);
}

static void write_mode(struct tulip *s, uint32_t value)
{
    uint32_t old = s->csr[MODE];

    s->csr[MODE] = (value & ~0x15u) | (old & 0x15u); /* what the last setup frame said stays */
    if ((old ^ value) & MODE_RX) {
        s->rx_state = value & MODE_RX ? TULIP_RX_WAITS : TULIP_STOPPED;
        if (!(value & MODE_RX))
            tulip_status(s, ST_RX_STOPPED);
    }
    if (old & ~value & MODE_TX) {
        s->tx_state = TULIP_STOPPED;
        tulip_status(s, ST_TX_STOPPED);
    }
    tulip_transmit(s);
    net->nic_ready(s->nic, 0);
}

static void write_timer(struct tulip *s, uint32_t value)
{
    s->csr[TIMER] = value;
    if (value & 0xffff)
        bp_timer_set(s->timer, bp_timer_now(s->timer) + (int64_t)(value & 0xffff) * TIMER_TICK_NS);
    else
        bp_timer_cancel(s->timer);
}

static void write_csr(struct tulip *s, unsigned n, uint32_t value)
{
    switch (n) {
    case BUS:
        if (value & BUS_RESET)
            soft_reset(s);
        else
            s->csr[n] = value & 0x03ffffff;
        break;
    case TX_POLL:
        tulip_transmit(s);
        break;
    case RX_POLL:
        net->nic_ready(s->nic, 0);
        break;
    case RX_LIST:
        s->csr[n] = s->rx_at = value & ~3u;
        break;
    case TX_LIST:
        s->csr[n] = s->tx_at = value & ~3u;
        break;
    case STATUS: /* ones clear */
        s->csr[n] &= ~(value & STATUS_CLEARED);
        update(s);
        net->nic_ready(s->nic, 0); /* descriptors may have come without a poll demand */
        break;
    case MODE:
        write_mode(s, value);
        break;
    case ENABLE:
        s->csr[n] = value & STATUS_CLEARED;
        update(s);
        net->nic_ready(s->nic, 0);
        break;
    case SERIAL:
        write_serial(s, value);
        break;
    case TIMER:
        write_timer(s, value);
        break;
    case MISSED:
    case SIA_STATUS:
        break;
    default:
        s->csr[n] = value;
        break;
    }
}

/* Eight bytes from one to the next, of which four are one. */
static uint64_t tulip_read(void *opaque, uint64_t addr, unsigned size)
{
    uint32_t value;

    if (addr >= CSR_BYTES || addr % 8 + size > 4)
        return 0;
    value = read_csr(opaque, (unsigned)(addr / 8)) >> 8 * (addr % 8);
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void tulip_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    if (addr < CSR_BYTES && addr % 8 == 0 && size == 4) /* CSRs are written whole (chapter 3.2) */
        write_csr(opaque, (unsigned)(addr / 8), (uint32_t)value);
}

static const struct bp_region_ops ops = {.size = sizeof(ops),
                                         .read = tulip_read,
                                         .write = tulip_write,
                                         .min_access = 1,
                                         .max_access = 4,
                                         .unaligned = 1};

/* ---- the device ---- */

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    tulip_transmit(opaque);
}

static const struct bp_nic_ops nic_ops = {.size = sizeof(struct bp_nic_ops),
                                          .receive = tulip_receive,
                                          .ready = ready,
                                          .link = link_changed};

static int tulip_attach(struct bp_device *dev, struct bp_error *err)
{
    struct tulip *s = bp_device_state(dev);
    uint8_t mac[6];
    int r;

    tulip_pci = pci;
    tulip_net = net;
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_fired, s);
    s->poll = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, poll_fired, s);
    s->phy.address = 1;
    s->phy.id[0] = 0x2000;
    s->phy.id[1] = 0x5c01; /* National's DP83840A, as such cards have */
    r = net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
    if (r < 0)
        return r;
    net->nic_mac(s->nic, mac);
    tulip_srom_fill(s, mac);
    return 0;
}

static void tulip_detach(struct bp_device *dev)
{
    struct tulip *s = bp_device_state(dev);

    net->nic_free(s->nic);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct tulip *s = state;

    (void)version;
    (void)err;
    card_phy_link(&s->phy, net->nic_link(s->nic));
    net->nic_ready(s->nic, 0);
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    tulip_transmit(state); /* what had waited for the network */
    return 0;
}

static const struct bp_state_field fields[] = {BP_SAVE(TIMER, struct tulip, timer),
                                               BP_SAVE(TIMER, struct tulip, poll),
                                               BP_SAVE_ARRAY(UINT32, struct tulip, csr),
                                               BP_SAVE(UINT32, struct tulip, rx_at),
                                               BP_SAVE(UINT32, struct tulip, tx_at),
                                               BP_SAVE_RANGE(UINT8, struct tulip, rx_state, 0, 7),
                                               BP_SAVE_RANGE(UINT8, struct tulip, tx_state, 0, 7),
                                               BP_SAVE(BOOL, struct tulip, filter_hash),
                                               BP_SAVE(BOOL, struct tulip, filter_inverse),
                                               BP_SAVE(BOOL, struct tulip, filter_only),
                                               BP_SAVE_BUFFER(struct tulip, setup),
                                               CARD_SAVE(struct tulip, eeprom, &card_eeprom_table),
                                               CARD_SAVE(struct tulip, phy, &card_phy_table),
                                               BP_SAVE_END};
static const struct bp_state_table table = {.version = 1,
                                            .oldest = 1,
                                            .fields = fields,
                                            .after_load = after_load,
                                            .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field props[] = {BP_NET_PROPS(struct tulip, conf),
                                        BP_PROP_BOOTINDEX(struct tulip, bootindex), BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info),
    .vendor = 0x1011,
    .device = 0x0019,
    .subsystem_vendor = 0x103c,
    .subsystem = 0x104f,
    .revision = 0x30,
    .class_code = 0x0200,
    .interrupt_pin = 1,
    .bar = {
        {.flags = BP_PCI_BAR_IO, .size = CSR_BYTES, .name = "tulip-ports", .ops = &ops},
        {.flags = BP_PCI_BAR_MEM32, .size = CSR_BYTES, .name = "tulip-registers", .ops = &ops}}};
BP_HOTPLUG_DEVICE(tulip, "tulip", "pci", "Digital 21143 (tulip)", struct tulip, props, &table,
                  .category = "network", .bus_info = &info, .attach = tulip_attach,
                  .detach = tulip_detach, .reset = tulip_reset, .firmware_name = "ethernet",
                  .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-tulip", "Digital 21143 (tulip)", imports, {BP_PROVIDE_DEVICE, &tulip});
