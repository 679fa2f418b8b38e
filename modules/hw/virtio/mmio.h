/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The MMIO transport and its bus (mmio.c). */
#ifndef HW_VIRTIO_MMIO_H
#define HW_VIRTIO_MMIO_H

#include <bp/device.h>

extern const struct bp_bus_class virtio_bus;
extern const struct bp_device_class virtio_mmio;

#endif
