/* SPDX-License-Identifier: MIT */
/*
 * SMBIOS tables (DMTF DSP0134): interface smbios/1, offered by `hw-smbios`. A board makes the device "smbios",
 * which takes what -smbios says, and has the tables built when all devices are there. [main] under the machine lock.
 */
#ifndef BP_CHIP_SMBIOS_H
#define BP_CHIP_SMBIOS_H

#include <bp/device.h>

BP_BEGIN_DECLS

#define BP_SMBIOS_ANCHOR_MAX 31u

#define BP_SMBIOS_BMCS 4u
enum bp_smbios_bmc_interface { BP_SMBIOS_KCS = 1, BP_SMBIOS_BT = 3 }; /* as structure 38 numbers them */
struct bp_smbios_bmc { /* an interface to a management controller, in I/O ports */
    uint8_t interface, slave_addr, irq; /* irq 0: none */
    uint16_t port;
};

/* What the tables say where -smbios says nothing. Strings are borrowed. */
struct bp_smbios_facts {
    uint32_t size; /* sizeof(struct bp_smbios_facts) */
    uint32_t entry_point; /* 32, 64, or 0: 32 if the tables fit, else 64 */
    const char *manufacturer, *product, *version;
    const uint8_t *uuid; /* 16 bytes as text has them; all zero: none */
    uint32_t sockets, cores, threads; /* cores of a socket, threads of a socket */
    uint64_t processor_id; /* CPUID leaf 1: EAX, EDX << 32 */
    uint64_t ram_low, ram_high; /* bytes from 0, and from 4 GiB */
    const struct bp_smbios_bmc *bmcs; /* bmc_count of them, borrowed */
    uint64_t bmc_count;
    void *reserved[2];
};

struct bp_smbios_interface { /* smbios/1 */
    uint32_t size;
    /* malloc'd tables; the entry point for them, whose address of the tables is `address` (0: firmware fills it
     * in and sums it up). Refused in words: what does not fit together, or is too long. */
    int (*build)(struct bp_device *smbios, const struct bp_smbios_facts *facts, uint64_t address,
                 uint8_t **ret_tables, size_t *ret_size, uint8_t ret_anchor[BP_SMBIOS_ANCHOR_MAX],
                 size_t *ret_anchor_size, struct bp_error *err);
    void *reserved[4];
};

BP_END_DECLS

#endif
