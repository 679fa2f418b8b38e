/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers of i8255x.h (chapter 6.3): SCB, PORT, EEPROM and MDI control, in memory and in ports;
 * the family's members. */
#include <string.h>

#include <bp/log.h>

#include "i8255x.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

const struct bp_pci_interface *i8255x_pci;
const struct bp_net_interface *i8255x_net;

#define MASK_ALL 0x01u
#define MASK_SOFTWARE 0x02u
#define EEPROM_CLOCK 0x01u
#define EEPROM_SELECT 0x02u
#define EEPROM_IN 0x04u
#define EEPROM_OUT 0x08u
#define MDI_READY 0x10000000u
#define MDI_INTERRUPT 0x20000000u
#define PHY_ADDRESS 1u
#define FLASH_BYTES 0x20000u

unsigned i8255x_revision(const struct i8255x *s)
{
    return pci->config(bp_device_of_state((void *)s))[8];
}

/* ---- interrupts ---- */

static void update_line(struct i8255x *s)
{
    unsigned hidden = 0;

    if (i8255x_revision(s) >=
        4) /* from the 82558 on each cause has a mask: CX, FR, CNA, RNR, ER, FCP */
        hidden = s->mask & 0xf0u;
    pci->set_irq(bp_device_of_state(s), !(s->mask & MASK_ALL) && (s->ack & ~hidden) != 0);
}

void i8255x_interrupt(struct i8255x *s, unsigned causes)
{
    s->ack |= (uint8_t)causes;
    update_line(s);
}

/* ---- reset ---- */

/* PORT's selective reset: the units stop; bases and configuration stay. */
static void selective_reset(struct i8255x *s)
{
    s->cu = CU_IDLE;
    s->ru = RU_IDLE;
    bp_timer_cancel(s->again);
    s->ack = 0;
    update_line(s);
    net->nic_ready(s->nic, 0);
}

static void soft_reset(struct i8255x *s)
{
    s->mask = 0;
    s->pointer = s->port = s->cu_base = s->ru_base = s->cu_offset = s->ru_offset = s->counters_at =
        0;
    s->rbd = NO_ADDRESS;
    s->mdi = MDI_READY;
    memset(s->station, 0, sizeof(s->station));
    memset(s->counters, 0, sizeof(s->counters));
    i8255x_configure_default(s);
    selective_reset(s);
}

static void link_changed(void *opaque, bool up)
{
    struct i8255x *s = opaque;

    card_phy_link(&s->phy, up);
}

static void i8255x_reset(struct bp_device *dev)
{
    struct i8255x *s = bp_device_state(dev);
    uint8_t mac[6];

    net->nic_mac(s->nic, mac);
    net->nic_set_mac(s->nic, mac);
    s->eeprom_control = 0;
    card_eeprom_lines(&s->eeprom, false, false, false);
    card_phy_reset(&s->phy);
    s->phy.up = net->nic_link(s->nic);
    soft_reset(s);
}

/* The EEPROM as a card's maker fills it (chapter 4.4 of the data sheets): address, PHY, identity,
 * checksum. */
static void fill_eeprom(struct i8255x *s, const uint8_t mac[6])
{
    const uint8_t *config = pci->config(bp_device_of_state(s));
    uint16_t *w = s->eeprom.words, sum = 0;

    s->eeprom.address_bits = 6;
    for (unsigned i = 0; i < 3; i++)
        w[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
    w[0x03] = 0x0003;               /* compatibility: 10 and 100 Mbit/s */
    w[0x05] = 0x0201;               /* controller type and connectors */
    w[0x06] = 0x4700 | PHY_ADDRESS; /* an 82555, by MII */
    w[0x0a] = 0x4000;               /* the identities of below are valid */
    w[0x0b] = i8255x_le16(config + 0x2e);
    w[0x0c] = i8255x_le16(config + 0x2c);
    for (unsigned i = 0; i < 63; i++)
        sum = (uint16_t)(sum + w[i]);
    w[63] = (uint16_t)(0xbaba - sum);
}

/* ---- PORT, MDI ---- */

static void self_test(struct i8255x *s, uint32_t at)
{
    uint8_t b[8] = {0x2a, 0x15, 0x55,
                    0x82}; /* a signature of its ROM that is not 0; then: nothing failed */

    pci->dma_write(bp_device_of_state(s), at, b, 8);
}

static void write_port(struct i8255x *s, uint32_t value)
{
    switch (value & 0xf) {
    case 0:
        soft_reset(s);
        break;
    case 1:
        self_test(s, value & ~0xfu);
        soft_reset(s);
        break;
    case 2:
        selective_reset(s);
        break;
    default:
        bp_guest_error("i8255x-port", "i8255x: PORT has no function %u", value & 0xf);
        break;
    }
}

static void write_mdi(struct i8255x *s, uint32_t value)
{
    unsigned address = value >> 21 & 31u, reg = value >> 16 & 31u;

    s->mdi = (value & 0x2fffffff) | MDI_READY;
    if ((value >> 26 & 3u) == 1)
        card_phy_write(&s->phy, address, reg, (uint16_t)value);
    else if ((value >> 26 & 3u) == 2)
        s->mdi = (s->mdi & 0xffff0000) | card_phy_read(&s->phy, address, reg);
    if (value & MDI_INTERRUPT)
        i8255x_interrupt(s, ACK_MDI);
}

static uint32_t eeprom_read(const struct i8255x *s)
{
    return s->eeprom_control | (card_eeprom_out(&s->eeprom) ? EEPROM_OUT : 0);
}

static void eeprom_write(struct i8255x *s, uint8_t value)
{
    s->eeprom_control = value & (EEPROM_CLOCK | EEPROM_SELECT | EEPROM_IN);
    card_eeprom_lines(&s->eeprom, value & EEPROM_SELECT, value & EEPROM_CLOCK, value & EEPROM_IN);
}

/* ---- registers ---- */

static uint8_t read_byte(const struct i8255x *s, unsigned at)
{
    switch (at) {
    case SCB_STATUS:
        return (uint8_t)(s->cu << 6 | s->ru << 2);
    case SCB_ACK:
        return s->ack;
    case SCB_COMMAND:
        return 0; /* taken at once */
    case SCB_MASK:
        return s->mask;
    case SCB_POINTER:
    case SCB_POINTER + 1:
    case SCB_POINTER + 2:
    case SCB_POINTER + 3:
        return (uint8_t)(s->pointer >> 8 * (at - SCB_POINTER));
    case EEPROM_CONTROL:
        return (uint8_t)eeprom_read(s);
    case MDI_CONTROL:
    case MDI_CONTROL + 1:
    case MDI_CONTROL + 2:
    case MDI_CONTROL + 3:
        return (uint8_t)(s->mdi >> 8 * (at - MDI_CONTROL));
    case GENERAL_STATUS: /* link, 100 Mbit/s, full duplex */
        return s->phy.up ? 7 : 0;
    default:
        return 0;
    }
}

static void set_byte(uint32_t *reg, unsigned n, uint8_t value)
{
    *reg = (*reg & ~(0xffu << 8 * n)) | (uint32_t)value << 8 * n;
}

static void write_byte(struct i8255x *s, unsigned at, uint8_t value)
{
    switch (at) {
    case SCB_ACK:
        s->ack &= (uint8_t)~value;
        update_line(s);
        break;
    case SCB_COMMAND:
        i8255x_receive_command(s, value & 7u);
        i8255x_command(s, value >> 4);
        break;
    case SCB_MASK:
        s->mask = value & (uint8_t)~MASK_SOFTWARE;
        if (value & MASK_SOFTWARE)
            s->ack |= ACK_SWI;
        update_line(s);
        break;
    case SCB_POINTER:
    case SCB_POINTER + 1:
    case SCB_POINTER + 2:
    case SCB_POINTER + 3:
        set_byte(&s->pointer, at - SCB_POINTER, value);
        break;
    case PORT:
    case PORT + 1:
    case PORT + 2:
    case PORT + 3: /* its last byte lets it act */
        set_byte(&s->port, at - PORT, value);
        if (at == PORT + 3)
            write_port(s, s->port);
        break;
    case EEPROM_CONTROL:
        eeprom_write(s, value);
        break;
    case MDI_CONTROL:
    case MDI_CONTROL + 1:
    case MDI_CONTROL + 2:
    case MDI_CONTROL + 3:
        set_byte(&s->mdi, at - MDI_CONTROL, value);
        if (at == MDI_CONTROL + 3)
            write_mdi(s, s->mdi);
        break;
    default:
        break;
    }
}

static uint64_t i8255x_read(void *opaque, uint64_t addr, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size && addr + i < REGISTERS; i++)
        value |= (uint32_t)read_byte(opaque, (unsigned)addr + i) << 8 * i;
    return value;
}

/* Of a write over several registers the command comes last: the mask and the pointer beside it are
 * of it. */
static void i8255x_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    bool command = false;

    for (unsigned i = 0; i < size && addr + i < REGISTERS; i++) {
        if (addr + i == SCB_COMMAND)
            command = true;
        else
            write_byte(opaque, (unsigned)addr + i, (uint8_t)(value >> 8 * i));
    }
    if (command)
        write_byte(opaque, SCB_COMMAND, (uint8_t)(value >> 8 * (SCB_COMMAND - addr)));
}

static uint64_t flash_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)size;
    return UINT64_MAX; /* the card has none */
}

static void flash_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)addr;
    (void)value;
    (void)size;
}

static const struct bp_region_ops ops = {.size = sizeof(ops),
                                         .read = i8255x_read,
                                         .write = i8255x_write,
                                         .min_access = 1,
                                         .max_access = 4,
                                         .unaligned = 1};
static const struct bp_region_ops flash_ops = {.size = sizeof(flash_ops),
                                               .read = flash_read,
                                               .write = flash_write,
                                               .min_access = 1,
                                               .max_access = 4,
                                               .unaligned = 1};

/* ---- the devices ---- */

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    i8255x_run(opaque);
}

static void turn_again(void *opaque)
{
    i8255x_run(opaque);
}

static const struct bp_nic_ops nic_ops = {.size = sizeof(struct bp_nic_ops),
                                          .receive = i8255x_receive,
                                          .ready = ready,
                                          .link = link_changed};

static int i8255x_attach(struct bp_device *dev, struct bp_error *err)
{
    struct i8255x *s = bp_device_state(dev);
    uint8_t mac[6];
    int r;

    i8255x_pci = pci;
    i8255x_net = net;
    s->again = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, turn_again, s);
    s->phy.address = PHY_ADDRESS;
    s->phy.id[0] = 0x02a8;
    s->phy.id[1] = 0x0154; /* an 82555 */
    r = net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
    if (r < 0)
        return r;
    net->nic_mac(s->nic, mac);
    fill_eeprom(s, mac);
    return 0;
}

static void i8255x_detach(struct bp_device *dev)
{
    struct i8255x *s = bp_device_state(dev);

    net->nic_free(s->nic);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct i8255x *s = state;

    (void)version;
    (void)err;
    net->nic_set_mac(s->nic, s->station);
    card_phy_link(&s->phy, net->nic_link(s->nic));
    net->nic_ready(s->nic, 0);
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    (void)err;
    i8255x_run(state); /* what had waited for the network */
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct i8255x, again),
    CARD_SAVE(struct i8255x, eeprom, &card_eeprom_table),
    CARD_SAVE(struct i8255x, phy, &card_phy_table),
    BP_SAVE(UINT8, struct i8255x, ack),
    BP_SAVE(UINT8, struct i8255x, mask),
    BP_SAVE_RANGE(UINT8, struct i8255x, cu, 0, CU_ACTIVE),
    BP_SAVE_RANGE(UINT8, struct i8255x, ru, 0, RU_READY),
    BP_SAVE(UINT8, struct i8255x, eeprom_control),
    BP_SAVE(UINT32, struct i8255x, pointer),
    BP_SAVE(UINT32, struct i8255x, mdi),
    BP_SAVE(UINT32, struct i8255x, port),
    BP_SAVE(UINT32, struct i8255x, cu_base),
    BP_SAVE(UINT32, struct i8255x, ru_base),
    BP_SAVE(UINT32, struct i8255x, cu_offset),
    BP_SAVE(UINT32, struct i8255x, ru_offset),
    BP_SAVE(UINT32, struct i8255x, rbd),
    BP_SAVE(UINT32, struct i8255x, counters_at),
    BP_SAVE_BUFFER(struct i8255x, station),
    BP_SAVE_BUFFER(struct i8255x, config),
    BP_SAVE_BUFFER(struct i8255x, groups),
    BP_SAVE_ARRAY(UINT32, struct i8255x, counters),
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1,
                                            .oldest = 1,
                                            .fields = fields,
                                            .after_load = after_load,
                                            .loaded = loaded,
                                            .loaded_order = BP_STATE_ORDER_REQUESTS};

static const struct bp_field props[] = {BP_NET_PROPS(struct i8255x, conf),
                                        BP_PROP_BOOTINDEX(struct i8255x, bootindex), BP_FIELDS_END};
static const struct bp_pci_field registers[] = {{0x3e, 2, 0, 0x1808, 0, 0, 0}, BP_PCI_FIELDS_END};

/* From the 82558 on they have power management. */
#define CARD(IDENT, NAME, SUMMARY, DEVICE, REVISION, VENDOR, SUBSYSTEM, FLAGS)                     \
    static const struct bp_pci_info IDENT##_info = {                                               \
        .size = sizeof(struct bp_pci_info),                                                        \
        .vendor = 0x8086,                                                                          \
        .device = DEVICE,                                                                          \
        .subsystem_vendor = VENDOR,                                                                \
        .subsystem = SUBSYSTEM,                                                                    \
        .revision = REVISION,                                                                      \
        .class_code = 0x0200,                                                                      \
        .interrupt_pin = 1,                                                                        \
        .flags = FLAGS,                                                                            \
        .fields = registers,                                                                       \
        .romfile = "efi-eepro100.rom",                                                             \
        .bar = {{.flags = BP_PCI_BAR_MEM32 | BP_PCI_BAR_PREFETCH,                                  \
                 .size = 4096,                                                                     \
                 .name = "i8255x-registers",                                                       \
                 .ops = &ops},                                                                     \
                {.flags = BP_PCI_BAR_IO, .size = REGISTERS, .name = "i8255x-ports", .ops = &ops},  \
                {.flags = BP_PCI_BAR_MEM32,                                                        \
                 .size = FLASH_BYTES,                                                              \
                 .name = "i8255x-flash",                                                           \
                 .ops = &flash_ops}}};                                                             \
    BP_HOTPLUG_DEVICE(IDENT, NAME, "pci", SUMMARY, struct i8255x, props, &table,                   \
                      .category = "network", .bus_info = &IDENT##_info, .attach = i8255x_attach,   \
                      .detach = i8255x_detach, .reset = i8255x_reset, .firmware_name = "ethernet", \
                      .boot_suffix = "ethernet-phy@0")
#define POWER BP_PCI_FLAG_POWER
CARD(i82550, "i82550", "Intel 82550", 0x1209, 0x0e, 0x1af4, 0x1100, POWER);
CARD(i82551, "i82551", "Intel 82551", 0x1209, 0x0f, 0x1af4, 0x1100, POWER);
CARD(i82557a, "i82557a", "Intel 82557A", 0x1229, 0x01, 0x1af4, 0x1100, 0);
CARD(i82557b, "i82557b", "Intel 82557B", 0x1229, 0x02, 0x1af4, 0x1100, 0);
CARD(i82557c, "i82557c", "Intel 82557C", 0x1229, 0x03, 0x1af4, 0x1100, 0);
CARD(i82558a, "i82558a", "Intel 82558A", 0x1229, 0x04, 0x1af4, 0x1100, POWER);
CARD(i82558b, "i82558b", "Intel 82558B", 0x1229, 0x05, 0x1af4, 0x1100, POWER);
CARD(i82559a, "i82559a", "Intel 82559A", 0x1229, 0x06, 0x1af4, 0x1100, POWER);
CARD(i82559b, "i82559b", "Intel 82559B", 0x1229, 0x07, 0x1af4, 0x1100, POWER);
CARD(i82559c, "i82559c", "Intel 82559C", 0x1229, 0x0c, 0x8086, 0x0040, POWER);
CARD(i82559er, "i82559er", "Intel 82559ER", 0x1209, 0x09, 0x1af4, 0x1100, POWER);
CARD(i82562, "i82562", "Intel 82562", 0x1209, 0x0e, 0x1af4, 0x1100, POWER);
CARD(i82801, "i82801", "Intel 82801BA's LAN", 0x2449, 0x03, 0x1af4, 0x1100, POWER);

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-i8255x", "Intel 82557, 82558, 82559 and their kin", imports,
          {BP_PROVIDE_DEVICE, &i82550}, {BP_PROVIDE_DEVICE, &i82551}, {BP_PROVIDE_DEVICE, &i82557a},
          {BP_PROVIDE_DEVICE, &i82557b}, {BP_PROVIDE_DEVICE, &i82557c},
          {BP_PROVIDE_DEVICE, &i82558a}, {BP_PROVIDE_DEVICE, &i82558b},
          {BP_PROVIDE_DEVICE, &i82559a}, {BP_PROVIDE_DEVICE, &i82559b},
          {BP_PROVIDE_DEVICE, &i82559c}, {BP_PROVIDE_DEVICE, &i82559er},
          {BP_PROVIDE_DEVICE, &i82562}, {BP_PROVIDE_DEVICE, &i82801});
