/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel 82540EM gigabit Ethernet (e1000.h): its registers in memory and behind IOADDR and IODATA, and interrupts. Left
 * out: management, wake-up, flow control on the wire, the flash; interrupts come without the delays of TIDV and RDTR,
 * but no oftener than ITR says.
 */
#include <bp/clock.h>
#include <bp/run.h>

#include "e1000.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

#define IO_SIZE 64u

/* ---- interrupts ---- */

static void update_line(struct e1000 *s)
{
    struct bp_device *dev = bp_device_of_state(s);

    if (!(*reg(&s->g, ICR) & *reg(&s->g, IMS))) {
        pci->set_irq(dev, 0);
        return;
    }
    if (bp_timer_pending(s->throttle))
        return; /* when it fires */
    pci->set_irq(dev, 1);
    if (*reg(&s->g, ITR) & 0xffffu)
        bp_timer_set(s->throttle, bp_timer_now(s->throttle) + (int64_t)(*reg(&s->g, ITR) & 0xffffu) * 256);
}

static void throttled(void *opaque)
{
    update_line(opaque);
}

static void add_interrupt(struct gbe *g, uint32_t causes)
{
    struct e1000 *s = g->card;

    if (!causes)
        return;
    *reg(g, ICR) |= causes & INTERRUPTS;
    update_line(s);
}

/* ---- reset ---- */

static void link_changed(void *opaque, bool up)
{
    gbe_link_changed(&((struct e1000 *)opaque)->g, up);
}

static void reset_registers(struct e1000 *s)
{
    struct gbe *g = &s->g;

    gbe_reset(g);
    *reg(g, PBA) = 0x00100030;
    *reg(g, MANC) = 0x2000; /* the firmware lets go of the PHY */
    gbe_frame_reset(&s->tx.frame);
    s->tx.segmentation = s->tx.checksum = (struct gbe_context){0};
    bp_timer_cancel(s->throttle);
    pci->set_irq(g->dev, 0);
}

static void e1000_reset(struct bp_device *dev)
{
    struct e1000 *s = bp_device_state(dev);

    reset_registers(s);
    gbe_phy_reset(&s->g);
    s->g.io_address = 0;
    net->nic_ready(s->g.nic, 0);
}

/* ---- registers ---- */

static void tx_run(struct e1000 *s)
{
    if (s->transmitting || !(*reg(&s->g, TCTL) & TCTL_EN))
        return;
    s->transmitting = true;
    add_interrupt(&s->g, gbe_tx_run(&s->g, &s->tx, TDBAL, 0));
    s->transmitting = false;
}

/* Plain ones, with the bits that can be written. */
static const struct gbe_plain plain[] = {
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

static uint32_t read_register(void *card, unsigned offset)
{
    struct e1000 *s = card;
    uint32_t value = 0;

    switch (offset) {
    case ICR: /* what is read is acknowledged */
        value = *reg(&s->g, ICR);
        *reg(&s->g, ICR) = 0;
        update_line(s);
        return value;
    case RDT: case TDT:
        return *reg(&s->g, offset);
    default:
        return gbe_read(&s->g, offset, &value) ? value : 0;
    }
}

static void write_ctrl(struct e1000 *s, uint32_t value)
{
    gbe_write_ctrl(&s->g, value);
    if (!(value & CTRL_RST))
        return;
    reset_registers(s);
    net->nic_ready(s->g.nic, 0);
}

static void write_register(void *card, unsigned offset, uint32_t value)
{
    struct e1000 *s = card;
    struct gbe *g = &s->g;

    switch (offset) {
    case CTRL:
        write_ctrl(s, value);
        return;
    case ICR: /* ones clear */
        *reg(g, ICR) &= ~value;
        update_line(s);
        return;
    case ICS:
        add_interrupt(g, value);
        return;
    case IMS:
        *reg(g, IMS) |= value & INTERRUPTS;
        update_line(s);
        return;
    case IMC:
        *reg(g, IMS) &= ~value;
        update_line(s);
        return;
    case RCTL:
        *reg(g, RCTL) = value & 0x07dfffff;
        net->nic_ready(g->nic, 0);
        return;
    case RDT:
        *reg(g, RDT) = value & 0xffffu;
        net->nic_ready(g->nic, 0);
        return;
    case TCTL:
        *reg(g, TCTL) = value & 0x03fffffa;
        tx_run(s);
        return;
    case TDT:
        *reg(g, TDT) = value & 0xffffu;
        tx_run(s);
        return;
    default:
        gbe_write(g, offset, value);
    }
}

/* ---- the device ---- */

static void ready(void *opaque, unsigned queue)
{
    (void)queue;
    tx_run(opaque);
}

static const struct bp_nic_ops nic_ops = {
    .size = sizeof(struct bp_nic_ops), .takes = 0, .receive = rx_receive, .ready = ready, .link = link_changed};

static const struct gbe_model model = {
    .name = "e1000", .size = REGISTERS_END, .device = 0x100e, .phy_id = {0x0141, 0x0c20}, .phy_port_up = 0xac00,
    .eerd_shift = 8, .eerd_done = 0x10, .microwire = true, .plain = plain, .plain_count = BP_COUNT(plain),
    .interrupt = add_interrupt,
    .read = read_register, .write = write_register, .receive = rx_receive};

static int e1000_attach(struct bp_device *dev, struct bp_error *err)
{
    struct e1000 *s = bp_device_state(dev);

    _Static_assert(offsetof(struct e1000, g) == 0, "the BARs' callbacks get it");
    s->g = (struct gbe){.model = &model, .pci = pci, .net = net, .dev = dev, .card = s, .reg = s->reg};
    s->throttle = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, throttled, s);
    return net->nic_new(dev, &s->conf, 1, &nic_ops, s, &s->g.nic, err);
}

static void e1000_detach(struct bp_device *dev)
{
    struct e1000 *s = bp_device_state(dev);

    net->nic_free(s->g.nic);
    gbe_frame_free(&s->tx.frame);
}

/* ---- saved state ---- */

static int before_save(void *state, struct bp_error *err)
{
    struct e1000 *s = state;

    (void)err;
    gbe_frame_before_save(&s->tx.frame);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct e1000 *s = state;
    int r = gbe_frame_after_load(&s->tx.frame, err);

    (void)version;
    if (r < 0)
        return r;
    gbe_note_address(&s->g);
    net->nic_ready(s->g.nic, 0);
    return 0;
}

#define FRAME(NAME, KIND, MEMBER) \
    GBE_FIELD("frame_" NAME, KIND, struct e1000, tx.frame.MEMBER, 1, sizeof(((struct e1000 *)0)->tx.frame.MEMBER))
static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct e1000, throttle), BP_SAVE_ARRAY(UINT32, struct e1000, reg),
    GBE_FIELDS(struct e1000, g),
    GBE_ONE("segmentation", struct e1000, tx.segmentation, &gbe_context_table),
    GBE_ONE("checksum", struct e1000, tx.checksum, &gbe_context_table),
    GBE_ONE("offload", struct e1000, tx.frame.offload, &gbe_offload_table), FRAME("bad", BOOL, bad),
    FRAME("whole", BOOL, whole), FRAME("options", UINT8, options), FRAME("segments", BOOL, segments),
    FRAME("tagged", BOOL, tagged), FRAME("tag", UINT16, tag),
    GBE_FIELD("saved_frame", BYTES, struct e1000, tx.frame.saved, FRAME_MAX, 1),
    BP_SAVE_END};
static const struct bp_state_table state_table = {
    .version = 1, .oldest = 1, .fields = fields, .before_save = before_save, .after_load = after_load};

static const struct bp_field props[] = {BP_NET_PROPS(struct e1000, conf), BP_PROP_BOOTINDEX(struct e1000, bootindex),
                                        BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x100e, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .revision = 0x03, .class_code = 0x0200, .interrupt_pin = 1, .romfile = "efi-e1000.rom",
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = GBE_BAR_SIZE, .name = "e1000-mmio", .ops = &gbe_memory_ops},
            {.flags = BP_PCI_BAR_IO, .size = IO_SIZE, .name = "e1000-io", .ops = &gbe_io_ops}}};
static const char *const aliases[] = {"e1000-82540em", NULL};
BP_DEVICE_ALIAS("e1000", "e1000-82540em");
BP_HOTPLUG_DEVICE(e1000, "e1000", "pci", "Intel Gigabit Ethernet", struct e1000, props, &state_table,
                  .category = "network", .bus_info = &info, .attach = e1000_attach, .detach = e1000_detach,
                  .reset = e1000_reset, .aliases = aliases, .firmware_name = "ethernet",
                  .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-e1000", "Intel Gigabit Ethernet 82540EM", imports, {BP_PROVIDE_DEVICE, &e1000});
