/* SPDX-License-Identifier: MIT */
/*
 * The 82441FX host bridge: interface i440fx/1, offered by `hw-piix`. A board makes
 * "i440FX-pcihost" (which makes bus "pci.0" and its own function 00.0 "i440FX"), calls
 * set_memory(), then plugs "PIIX3" (makes bus "isa.0") at 01.0 and "PIIX4_PM" at 01.3.
 * Under the machine lock.
 *
 * The host bridge's outputs "pirq" 0..3 are PIRQA..PIRQD; PIIX3 connects itself to them and routes
 * them to ISA interrupts by its registers 0x60..0x63. Pin P of slot S reaches PIRQ (P + S - 1) & 3.
 */
#ifndef BP_CHIP_I440FX_H
#define BP_CHIP_I440FX_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_i440fx_interface { /* i440fx/1 */
    uint32_t size;
    /* `system` is the root of system memory, `ram` main memory whose first MiB stands at address 0
     * (both borrowed for the machine's life). The PCI address space is put into `system` behind
     * everything (priority -1); 0xa0000-0xfffff then follow the SMRAM and PAM registers. */
    int (*set_memory)(struct bp_device *host, struct bp_region *system, struct bp_region *ram,
                      struct bp_error *err);
    /* The container in which memory BARs (and firmware ROMs) appear, 2^64-1 bytes. */
    struct bp_region *(*pci_memory)(struct bp_device *host);
    /* Makes 0xc0000-0xfffff RAM, as firmware does; a reset undoes it. For boards that start a
     * kernel without firmware: call it from the board's reset(). */
    void (*shadow)(struct bp_device *host);
    void *reserved[4];
};

BP_END_DECLS

#endif
