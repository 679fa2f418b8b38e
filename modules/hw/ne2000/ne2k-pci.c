/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NE2000 for PCI: Realtek's RTL8029AS (dp8390.h), whose registers are ports. Left out: its flash
 * and its EEPROM's lines. */
#include <bp/bus/pci.h>

#include "dp8390.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(net, struct bp_net_interface, "net", 1);

struct ne2k_pci {
    struct dp8390 chip;
    struct bp_net_conf conf;
    int32_t bootindex;
};

static void set_line(struct dp8390 *chip, int level)
{
    pci->set_irq(bp_device_of_state(chip), level);
}

static uint64_t ports_read(void *opaque, uint64_t addr, unsigned size)
{
    return addr < DP8390_PORTS ? dp8390_ops.read(opaque, addr, size) : UINT64_MAX;
}

static void ports_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    if (addr < DP8390_PORTS)
        dp8390_ops.write(opaque, addr, value, size);
}

static const struct bp_region_ops ops = {.size = sizeof(ops),
                                         .read = ports_read,
                                         .write = ports_write,
                                         .min_access = 1,
                                         .max_access = 4,
                                         .unaligned = 1};

static void ne2k_reset(struct bp_device *dev)
{
    struct ne2k_pci *s = bp_device_state(dev);
    uint8_t mac[6];

    net->nic_mac(s->chip.nic, mac);
    net->nic_set_mac(s->chip.nic, mac);
    dp8390_reset(&s->chip, mac);
}

static int ne2k_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ne2k_pci *s = bp_device_state(dev);

    s->chip.net = net;
    s->chip.irq = set_line;
    s->chip.realtek = true;
    return net->nic_new(dev, &s->conf, 1, &dp8390_nic_ops, &s->chip, &s->chip.nic, err);
}

static void ne2k_detach(struct bp_device *dev)
{
    struct ne2k_pci *s = bp_device_state(dev);

    net->nic_free(s->chip.nic);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ne2k_pci *s = state;

    (void)version;
    (void)err;
    net->nic_set_mac(s->chip.nic, s->chip.station);
    net->nic_ready(s->chip.nic, 0);
    return 0;
}

static const struct bp_state_field fields[] = {CARD_SAVE(struct ne2k_pci, chip, &dp8390_table),
                                               BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};
static const struct bp_field props[] = {BP_NET_PROPS(struct ne2k_pci, conf),
                                        BP_PROP_BOOTINDEX(struct ne2k_pci, bootindex),
                                        BP_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info),
    .vendor = 0x10ec,
    .device = 0x8029,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x0200,
    .interrupt_pin = 1,
    .romfile = "efi-ne2k_pci.rom",
    .bar = {{.flags = BP_PCI_BAR_IO, .size = 256, .name = "ne2k-ports", .ops = &ops}}};
BP_HOTPLUG_DEVICE(ne2k_pci, "ne2k_pci", "pci", "NE2000 for PCI (Realtek RTL8029AS)",
                  struct ne2k_pci, props, &table, .category = "network", .bus_info = &info,
                  .attach = ne2k_attach, .detach = ne2k_detach, .reset = ne2k_reset,
                  .firmware_name = "ethernet", .boot_suffix = "ethernet-phy@0");

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("hw-ne2k-pci", "NE2000 for PCI (Realtek RTL8029AS)", imports,
          {BP_PROVIDE_DEVICE, &ne2k_pci});
