/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables that users bring (-acpitable): interface acpi-tables/1, offered by `hw-acpi-tables`. A board makes the
 * device "acpi-tables", and lists what it holds beside its own tables. [main] under the machine lock.
 */
#ifndef BP_CHIP_ACPI_TABLES_H
#define BP_CHIP_ACPI_TABLES_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_acpi_tables_interface { /* acpi-tables/1 */
    uint32_t size;
    /* The n-th table, whole, with length and checksum; NULL: there are no more. Borrowed as long as the device. */
    const uint8_t *(*table)(struct bp_device *tables, unsigned n, size_t *ret_len);
    void *reserved[4];
};

BP_END_DECLS

#endif
