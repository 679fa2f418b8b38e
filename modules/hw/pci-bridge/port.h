// SPDX-License-Identifier: LGPL-2.1-or-later
/* A port with a slot: what root ports and the downstream ports of switches have in common. */
#ifndef HW_PCI_PORT_H
#define HW_PCI_PORT_H

#include "bridge.h"

struct port {
    uint8_t port, chassis;
    uint16_t slot;
    bool hotplug;
    struct bp_bus *bus;
    unsigned express;   /* where its capability is */
    uint16_t control;   /* slot control as it was written last */
    uint8_t leaving;    /* what is in the slot was asked to go */
};

#define PORT_PROPS \
    BP_PROP("port", UINT8, struct port, port, "0", "number of the port"), \
    BP_PROP("chassis", UINT8, struct port, chassis, "0", "number of the chassis that the slot is in"), \
    BP_PROP("slot", UINT16, struct port, slot, "0", "number of the slot in its chassis (0 to 8191)"), \
    BP_PROP("hotplug", BOOL, struct port, hotplug, "on", "whether the slot can be hot-plugged")

int port_attach(struct bp_device *dev, struct bp_error *err);
void port_reset(struct bp_device *dev);
void port_config_written(struct bp_device *dev, unsigned offset, unsigned size);
extern const struct bp_state_table port_state;

#endif
