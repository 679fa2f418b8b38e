/* SPDX-License-Identifier: MIT */
/*
 * What a PC's board wants of its chipset, whichever it is: interfaces i440fx/1 and piix4-pm/1, q35/1 and
 * ich9-lpc/1, all of module `hw-piix`. Under the machine lock. acpi-pm/1 is the power management of a board without a
 * chipset, device "acpi-pm" (property iobase): only power_button() is there.
 *
 * Host bridges: "i440FX-pcihost" (makes bus "pci.0" and its own function 00.0) and "q35-pcihost" (makes
 * "pcie.0" and 00.0 "mch"). Power management: PM1 status +0, enable +2, control +4, timer +8 (24 bits,
 * 3.579545 MHz) from its base; output line "sci", level, active high;
 * input line "rtc", the clock's alarm, which wakes from suspend to RAM. Properties disable_s3, disable_s4 and
 * smm-enabled: with it output line "smi" pulses when the APM port is written and SMIs are enabled (0: for the processor
 * that writes, 1: for all); without it firmware finds SMIs enabled already, so that it does not wait for one.
 */
#ifndef BP_CHIP_PC_HOST_H
#define BP_CHIP_PC_HOST_H

#include <bp/device.h>
#include <bp/run.h>

BP_BEGIN_DECLS

struct bp_pc_host_interface {
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
    /* Where configuration space is mapped (256 MiB, a multiple of that), 0: nowhere; as firmware does.
     * NULL: the host bridge has no such window. */
    void (*set_ecam)(struct bp_device *host, uint64_t base);
    /* Where it is now and for how many buses; 0: nowhere. NULL as above. */
    uint64_t (*ecam)(struct bp_device *host, unsigned *ret_buses);
    /* After set_memory(): memory as it is seen in system management mode, which follows the SMRAM registers from
     * now on; `low_size`: where low memory, whose end is the top segment, ends. Owned by the host bridge. */
    struct bp_space *(*smm_memory)(struct bp_device *host, uint64_t low_size);
    void *reserved[3];
};

struct bp_pc_pm_interface {
    uint32_t size;
    /* Sets the base of the power management ports (a multiple of 128) and enables them, as firmware
     * does; kept over resets. */
    void (*enable)(struct bp_device *pm, uint16_t base);
    void (*power_button)(struct bp_device *pm); /* pressed */
    /* Sets bits of the GPE0 status (0..15), for hot-plug controllers. */
    void (*gpe)(struct bp_device *pm, uint16_t bits);
    /* Does a system listen: ACPI mode, and all of these events enabled? */
    bool (*gpe_enabled)(struct bp_device *pm, uint16_t bits);
    /* The machine wakes from suspend to RAM; after the reset. */
    void (*woken)(struct bp_device *pm, enum bp_wakeup_cause cause);
    /* Do SMIs of the APM port reach every processor, not only the one that wrote it? Until the next reset. NULL:
     * they never do. */
    void (*smi_broadcast)(struct bp_device *pm, bool on);
    void *reserved[2];
};

BP_END_DECLS

#endif
