/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers of the Am79C970A (pcnet.h): address PROM, RAP, RDP, RESET and BDP, CSRs and BCRs. */
#include <errno.h>
#include <string.h>

#include "pcnet.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

const struct bp_pci_interface *pcnet_pci;
const struct bp_net_interface *pcnet_net;

#define TICK_NS 30 /* of the PCI clock, 33 MHz */
#define CHIP_ID 0x02621003u
#define CSR0_CAUSES (CSR0_BABBLE | CSR0_MISSED | CSR0_MEMORY | CSR0_RX | CSR0_TX | CSR0_INIT_DONE)
#define CSR0_CLEARED (CSR0_CAUSES | CSR0_COLLISION)
#define CSR4_CLEARED 0x026au
#define CSR5_CLEARED 0x0a90u
#define LINK_LED 0x8000u

/* ---- interrupts, polling ---- */

void pcnet_update(struct pcnet *s)
{
    uint16_t *c = &s->csr[0];
    /* In CSR4 the mask stands one below the cause: MFCO, UINT (whose command is no mask), RCVCCO,
     * TXSTRT, JAB. */
    unsigned four = s->csr[4],
             more = ((four & 0x022au) & ~(four << 1 & 0x022au)) | (four & CSR4_USER);
    unsigned five = s->csr[5], slow = (five >> 1 & five & 0x0548u);

    *c &= (uint16_t) ~(CSR0_ERROR | CSR0_INTERRUPT);
    if (*c & (CSR0_BABBLE | CSR0_COLLISION | CSR0_MISSED | CSR0_MEMORY))
        *c |= CSR0_ERROR;
    if (*c & CSR0_CAUSES & ~s->csr[3] || more || slow)
        *c |= CSR0_INTERRUPT;
    pcnet_pci->set_irq(bp_device_of_state(s),
                       (*c & (CSR0_INTERRUPT | CSR0_ENABLE)) == (CSR0_INTERRUPT | CSR0_ENABLE));
}

static void arm_poll(struct pcnet *s)
{
    unsigned ticks = 0x10000u - s->csr[CSR_POLL];

    if (s->csr[0] & (CSR0_TX_ON | CSR0_RX_ON) &&
        !(s->csr[4] & CSR4_NO_POLL && !(s->csr[0] & CSR0_RX_ON)))
        bp_timer_set(s->poll,
                     bp_timer_now(s->poll) + (int64_t)(ticks < 0x8000 ? 0x8000 : ticks) * TICK_NS);
    else
        bp_timer_cancel(s->poll);
}

/* Nothing but this tells the card of new receive descriptors. */
static void poll_fired(void *opaque)
{
    struct pcnet *s = opaque;

    if (!(s->csr[4] & CSR4_NO_POLL))
        pcnet_transmit(s);
    net->nic_ready(s->nic, 0);
    arm_poll(s);
}

/* ---- reset, link ---- */

static void update_link(struct pcnet *s)
{
    s->bcr[BCR_LINK] =
        (uint16_t)((s->bcr[BCR_LINK] & ~LINK_LED) | (net->nic_link(s->nic) ? LINK_LED : 0));
}

static void link_changed(void *opaque, bool up)
{
    (void)up;
    update_link(opaque);
}

static void stop(struct pcnet *s)
{
    s->csr[0] = CSR0_STOP;
    s->csr[4] &= (uint16_t)~CSR4_CLEARED;
    s->csr[5] &= (uint16_t) ~(CSR5_SUSPEND | CSR5_CLEARED);
    bp_timer_cancel(s->poll);
    pcnet_update(s);
    net->nic_ready(s->nic, 0);
}

/* S_RESET: a read of the RESET register. What H_RESET alone loads stays. */
static void soft_reset(struct pcnet *s)
{
    s->rap = 0;
    s->csr[3] = 0;
    s->csr[4] = 0x0115;
    s->csr[5] = 0;
    stop(s);
}

static void set_style(struct pcnet *s, unsigned number)
{
    static const uint16_t styles[4] = {0x0200, 0x0101, 0x0302,
                                       0x0303}; /* with SSIZE32 and CSRPCNET */

    s->bcr[BCR_STYLE] = s->csr[CSR_STYLE] = styles[number & 3u];
}

static void pcnet_reset(struct bp_device *dev)
{
    static const struct {
        uint8_t n;
        uint16_t value;
    } at_first[] = {{0, 5},    {1, 5},    {BCR_MISC, 2},     {BCR_LINK, 0xc0}, {5, 0x84},
                    {6, 0x88}, {7, 0x90}, {BCR_BUS, 0x2101}, {19, 2},          {22, 0xff06}};
    struct pcnet *s = bp_device_state(dev);
    uint8_t mac[6];
    unsigned sum = 0;

    net->nic_mac(s->nic, mac);
    net->nic_set_mac(s->nic, mac);
    memset(s->csr, 0, sizeof(s->csr));
    memset(s->bcr, 0, sizeof(s->bcr));
    memset(s->prom, 0, sizeof(s->prom));
    for (unsigned i = 0; i < BP_COUNT(at_first); i++)
        s->bcr[at_first[i].n] = at_first[i].value;
    memcpy(s->prom, mac, 6);
    s->prom[9] = 0x11; /* a PCnet on PCI */
    s->prom[14] = s->prom[15] = 0x57;
    for (unsigned i = 0; i < 16; i++)
        sum += s->prom[i];
    s->prom[12] = (uint8_t)sum;
    s->prom[13] = (uint8_t)(sum >> 8);
    for (unsigned i = 0; i < 3; i++)
        s->csr[CSR_PADR + i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
    s->csr[CSR_ID] = CHIP_ID & 0xffff;
    s->csr[CSR_ID + 1] = CHIP_ID >> 16;
    s->csr[80] = 0x1410;
    s->csr[CSR_RX_LENGTH] = s->csr[CSR_RX_AT] = s->csr[CSR_TX_LENGTH] = s->csr[CSR_TX_AT] = 0xffff;
    set_style(s, 0);
    soft_reset(s);
    update_link(s);
}

/* ---- CSRs ---- */

static void start(struct pcnet *s)
{
    uint16_t *c = &s->csr[0];

    *c = (uint16_t)((*c & ~(CSR0_STOP | CSR0_TX_ON | CSR0_RX_ON)) | CSR0_START);
    *c |= s->csr[CSR_MODE] & MODE_NO_TX ? 0 : CSR0_TX_ON;
    *c |= s->csr[CSR_MODE] & MODE_NO_RX ? 0 : CSR0_RX_ON;
    arm_poll(s);
    net->nic_ready(s->nic, 0);
}

static void tell_address(struct pcnet *s)
{
    uint8_t mac[6];

    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)(s->csr[CSR_PADR + i / 2] >> 8 * (i & 1));
    net->nic_set_mac(s->nic, mac);
}

static void write_csr0(struct pcnet *s, uint16_t value)
{
    uint16_t *c = &s->csr[0];

    if (value & CSR0_STOP) {
        stop(s);
        return;
    }
    *c &= (uint16_t) ~(value & CSR0_CLEARED);
    *c = (uint16_t)((*c & ~CSR0_ENABLE) | (value & CSR0_ENABLE));
    if (value & CSR0_INIT && *c & CSR0_STOP) {
        *c = (uint16_t)((*c & ~CSR0_STOP) | CSR0_INIT);
        if (pcnet_initialise(s) < 0) {
            *c |= CSR0_MEMORY;
        } else {
            *c |= CSR0_INIT_DONE;
            tell_address(s);
        }
    }
    if (value & CSR0_START && !(*c & CSR0_START))
        start(s);
    pcnet_update(s);
    if (*c & CSR0_TX_ON && value & (CSR0_START | CSR0_DEMAND))
        pcnet_transmit(s);
    net->nic_ready(s->nic, 0);
}

static void write_csr4(struct pcnet *s, uint16_t value)
{
    s->csr[4] = (uint16_t)((s->csr[4] & ~(value & CSR4_CLEARED) & (CSR4_CLEARED | CSR4_USER)) |
                           (value & ~(CSR4_CLEARED | CSR4_USER | CSR4_USER_COMMAND)));
    if (value & CSR4_USER)
        s->csr[4] &= (uint16_t)~CSR4_USER;
    if (value & CSR4_USER_COMMAND)
        s->csr[4] |= CSR4_USER;
    pcnet_update(s);
}

static void write_csr5(struct pcnet *s, uint16_t value)
{
    s->csr[5] = (uint16_t)((s->csr[5] & ~value & CSR5_CLEARED) | (value & ~CSR5_CLEARED));
    pcnet_update(s);
    if (!(value & CSR5_SUSPEND)) {
        pcnet_transmit(s);
        net->nic_ready(s->nic, 0);
    }
}

static void write_csr(struct pcnet *s, unsigned n, uint16_t value)
{
    switch (n) {
    case 0:
        write_csr0(s, value);
        return;
    case 3:
        s->csr[3] = value & 0x5f7f;
        pcnet_update(s);
        return;
    case 4:
        write_csr4(s, value);
        return;
    case 5:
        write_csr5(s, value);
        return;
    case 6:
    case CSR_ID:
    case CSR_ID + 1:
        return;
    case 16:
    case 17:
        s->csr[n - 15] = value; /* the same as CSR1 and CSR2 */
        return;
    case CSR_STYLE:
        set_style(s, value);
        return;
    case CSR_RX_LENGTH:
    case CSR_TX_LENGTH:
        s->csr[n] = value ? value : 0xffff;
        return;
    case CSR_MISSED:
        s->csr[n] = 0;
        return;
    default:
        s->csr[n] = value;
        if (n >= CSR_PADR && n < CSR_PADR + 3)
            tell_address(s);
        return;
    }
}

static uint16_t read_csr(const struct pcnet *s, unsigned n)
{
    return n == 16 || n == 17 ? s->csr[n - 15] : s->csr[n];
}

static void write_bcr(struct pcnet *s, unsigned n, uint16_t value)
{
    if (n == BCR_STYLE)
        set_style(s, value);
    else if (n == BCR_LINK)
        s->bcr[n] = (uint16_t)((s->bcr[n] & LINK_LED) | (value & ~LINK_LED));
    else if (n == BCR_BUS)
        s->bcr[n] =
            (uint16_t)((s->bcr[n] & BCR18_DWIO) | (value & ~BCR18_DWIO)); /* DWIO is read only */
    else if (n == 19)
        s->bcr[n] = value & 0x00ff & ~0x001eu; /* no EEPROM answers */
    else if (n > 1 && n < BCRS)
        s->bcr[n] = value;
}

/* ---- ports ---- */

static uint16_t read_data(struct pcnet *s, bool bus)
{
    if (bus)
        return s->rap < BCRS ? s->bcr[s->rap] : 0;
    return s->rap < CSRS ? read_csr(s, s->rap) : 0;
}

static void write_data(struct pcnet *s, bool bus, uint16_t value)
{
    if (bus)
        write_bcr(s, s->rap, value);
    else if (s->rap < CSRS)
        write_csr(s, s->rap, value);
}

enum { RDP, RAP, RESET, BDP };

static uint64_t pcnet_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pcnet *s = opaque;
    unsigned step = s->bcr[BCR_BUS] & BCR18_DWIO ? 4 : 2;
    uint32_t value = 0;

    if (addr < 0x10) {
        for (unsigned i = 0; i < size && addr + i < 0x10; i++)
            value |= (uint32_t)s->prom[addr + i] << 8 * i;
        return value;
    }
    if (size != step || addr % step)
        return UINT64_MAX; /* of another width than the card has just now */
    switch ((addr - 0x10) / step) {
    case RDP:
        return read_data(s, false);
    case RAP:
        return s->rap;
    case RESET:
        soft_reset(s);
        return 0;
    case BDP:
        return read_data(s, true);
    default:
        return 0;
    }
}

static void pcnet_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pcnet *s = opaque;
    unsigned step = s->bcr[BCR_BUS] & BCR18_DWIO ? 4 : 2;

    if (addr == 0x10 && size == 4 && step == 2) { /* so a driver asks for registers of 32 bits */
        s->bcr[BCR_BUS] |= BCR18_DWIO;
        step = 4;
    }
    if (addr < 0x10 || size != step || addr % step)
        return;
    switch ((addr - 0x10) / step) {
    case RDP:
        write_data(s, false, (uint16_t)value);
        break;
    case RAP:
        s->rap = value & 0x7f;
        break;
    case BDP:
        write_data(s, true, (uint16_t)value);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops ops = {.size = sizeof(ops),
                                         .read = pcnet_read,
                                         .write = pcnet_write,
                                         .min_access = 1,
                                         .max_access = 4,
                                         .unaligned = 1};

/* ---- the device ---- */

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    pcnet_transmit(opaque);
}

static const struct bp_nic_ops nic_ops = {.size = sizeof(struct bp_nic_ops),
                                          .receive = pcnet_receive,
                                          .ready = ready,
                                          .link = link_changed};

static int pcnet_attach(struct bp_device *dev, struct bp_error *err)
{
    struct pcnet *s = bp_device_state(dev);

    pcnet_pci = pci;
    pcnet_net = net;
    s->poll = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, poll_fired, s);
    return net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->nic, err);
}

static void pcnet_detach(struct bp_device *dev)
{
    struct pcnet *s = bp_device_state(dev);

    net->nic_free(s->nic);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct pcnet *s = state;

    (void)version;
    if (!s->csr[CSR_RX_LENGTH] || !s->csr[CSR_TX_LENGTH] || s->rap >= CSRS)
        return bp_fail(err, EINVAL,
                       "pcnet: a ring without descriptors, or a register that is not there");
    tell_address(s);
    update_link(s);
    net->nic_ready(s->nic, 0);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct pcnet, poll),       BP_SAVE_ARRAY(UINT16, struct pcnet, csr),
    BP_SAVE_ARRAY(UINT16, struct pcnet, bcr), BP_SAVE(UINT8, struct pcnet, rap),
    BP_SAVE_BUFFER(struct pcnet, prom),       BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};
static const struct bp_field props[] = {BP_NET_PROPS(struct pcnet, conf),
                                        BP_PROP_BOOTINDEX(struct pcnet, bootindex), BP_FIELDS_END};
static const struct bp_pci_field registers[] = {{0x3e, 2, 0, 0xff06, 0, 0, 0}, BP_PCI_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info),
    .vendor = 0x1022,
    .device = 0x2000,
    .revision = 0x10,
    .class_code = 0x0200,
    .interrupt_pin = 1,
    .fields = registers,
    .romfile = "efi-pcnet.rom",
    .bar = {{.flags = BP_PCI_BAR_IO, .size = 32, .name = "pcnet-ports", .ops = &ops},
            {.flags = BP_PCI_BAR_MEM32, .size = 32, .name = "pcnet-registers", .ops = &ops}}};
BP_HOTPLUG_DEVICE(pcnet, "pcnet", "pci", "AMD PCnet-PCI II (Am79C970A)", struct pcnet, props,
                  &table, .category = "network", .bus_info = &info, .attach = pcnet_attach,
                  .detach = pcnet_detach, .reset = pcnet_reset, .firmware_name = "ethernet",
                  .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-pcnet", "AMD PCnet-PCI II (Am79C970A)", imports, {BP_PROVIDE_DEVICE, &pcnet});
