/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NE2000 for ISA: the card of Novell's (dp8390.h). Jumpers: iobase and irq. */
#include <bp/bus/isa.h>

#include "dp8390.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

struct ne2k_isa {
    struct dp8390 chip;
    struct bp_net_conf conf;
    struct bp_irq *irq;
    uint32_t iobase, irq_number;
    int32_t bootindex;
};

static void set_line(struct dp8390 *chip, int level)
{
    struct ne2k_isa *s = bp_device_state(bp_device_of_state(chip));

    bp_irq_set(s->irq, level);
}

static void ne2k_reset(struct bp_device *dev)
{
    struct ne2k_isa *s = bp_device_state(dev);
    uint8_t mac[6];

    net->nic_mac(s->chip.nic, mac);
    net->nic_set_mac(s->chip.nic, mac);
    dp8390_reset(&s->chip, mac);
}

static int ne2k_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ne2k_isa *s = bp_device_state(dev);
    int r = isa->irq(dev, s->irq_number, &s->irq, err);

    s->chip.net = net;
    s->chip.irq = set_line;
    if (r >= 0)
        r = isa->add_ports(dev, (uint16_t)s->iobase, DP8390_PORTS, "ne2k", &dp8390_ops, &s->chip,
                           NULL, err);
    return r < 0 ? r : net->nic_new(dev, &s->conf, 1, &dp8390_nic_ops, &s->chip, &s->chip.nic, err);
}

static void ne2k_detach(struct bp_device *dev)
{
    struct ne2k_isa *s = bp_device_state(dev);

    net->nic_free(s->chip.nic);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ne2k_isa *s = state;

    (void)version;
    (void)err;
    net->nic_set_mac(s->chip.nic, s->chip.station);
    net->nic_ready(s->chip.nic, 0);
    return 0;
}

static const struct bp_state_field fields[] = {CARD_SAVE(struct ne2k_isa, chip, &dp8390_table),
                                               BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};
static const struct bp_field props[] = {
    BP_NET_PROPS(struct ne2k_isa, conf),
    BP_PROP_RANGE("iobase", UINT32, struct ne2k_isa, iobase, "0x300", 0, 0xffe0,
                  "first of its 32 ports"),
    BP_PROP_RANGE("irq", UINT32, struct ne2k_isa, irq_number, "9", 0, 15, "line of the ISA bus"),
    BP_PROP_BOOTINDEX(struct ne2k_isa, bootindex), BP_FIELDS_END};
BP_DEVICE(ne2k_isa, "ne2k_isa", "isa", "NE2000 for ISA", struct ne2k_isa, props, &table,
          .category = "network", .attach = ne2k_attach, .detach = ne2k_detach, .reset = ne2k_reset,
          .firmware_name = "ethernet", .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-ne2k-isa", "NE2000 for ISA", imports, {BP_PROVIDE_DEVICE, &ne2k_isa});
