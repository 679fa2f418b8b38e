/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What board isapc has its ISA bus on: nothing but the bus. */
#define BP_SHARED
#include <bp/bus/isa.h>
#include <bp/command.h>

#include "isa-bridge.h"

struct no_state {
    char none;
};

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_bus *bus;

    return (*pc_isa)->new_bus(dev, bp_space_root(bp_device_io(dev)), bp_space_root(bp_device_memory(dev)), NULL, &bus,
                              err);
}

BP_BOARD_DEVICE(isapc_bridge, "isabus-bridge", "system", "Where a PC without PCI has its ISA bus", struct no_state,
                NULL, NULL, .category = "bridge", .attach = bridge_attach);
