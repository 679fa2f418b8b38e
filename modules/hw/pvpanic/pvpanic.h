/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the pvpanic devices have in common: their one register. Under the machine lock. */
#ifndef PVPANIC_H
#define PVPANIC_H

#include <bp/device.h>

#define PVPANIC_PANICKED 1u    /* the guest panicked */
#define PVPANIC_CRASHLOADED 2u /* it panicked, and a crash kernel takes over */
#define PVPANIC_SHUTDOWN 4u    /* it wants to be switched off */
#define PVPANIC_EVENTS 7u

struct pvpanic {
    uint8_t events; /* those that it offers: what a read gives */
};
extern const struct bp_device_class pvpanic_isa, pvpanic_pci_device;
extern const struct bp_import pvpanic_imports[];
extern const struct bp_region_ops pvpanic_byte; /* opaque: struct pvpanic, first in a device's state */
#define PVPANIC_PROP(STATE, FIELD) \
    BP_PROP_RANGE("events", UINT8, STATE, FIELD, "7", 0, 7, \
                  "what a guest may tell: 1 a panic, 2 a panic that a crash kernel takes over, 4 a shutdown")

#endif
