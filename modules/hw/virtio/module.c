// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module: rings and devices, the bus of MMIO slots. PCI is a module of its own. */
#include "engine.h"
#include "mmio.h"

extern const struct virtio_transport_interface virtio_transport_table;

BP_INTERFACE(virtio_interface, "virtio", 1, 3, &virtio_table);
BP_INTERFACE(transport_interface, "virtio-transport", 1, 0, &virtio_transport_table);

BP_MODULE("virtio", "Virtio devices", BP_NO_IMPORTS, {BP_PROVIDE_INTERFACE, &virtio_interface},
          {BP_PROVIDE_INTERFACE, &transport_interface}, {BP_PROVIDE_ABSTRACT, &virtio_level},
          {BP_PROVIDE_BUS, &virtio_bus}, {BP_PROVIDE_DEVICE, &virtio_mmio});
