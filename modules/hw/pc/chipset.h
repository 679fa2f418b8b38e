/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chipsets that a board of this folder may have, and what is different about them. */
#ifndef PC_CHIPSET_H
#define PC_CHIPSET_H

#include <bp/bus/pci.h>
#include <bp/chip/pc-host.h>

struct pc;

struct pc_chipset {
    const char *host, *bus; /* the host bridge's type, and that of its bus */
    /* Where low memory ends: at the size of memory up to low_max, else at low_split. */
    uint64_t low_max, low_split;
    uint16_t gpe0;          /* port of GPE0 */
    uint8_t gpe0_length, acpi_enable, acpi_disable;
    uint8_t router_devfn;   /* function that routes PCI interrupts */
    uint32_t router_id;     /* device and vendor of a compatible one, for the $PIR table */
    unsigned pirqs;         /* 4 or 8 */
    bool pirqs_at_ioapic;   /* at pins 16 and up; else an I/O APIC sees what they are routed to */
    unsigned (*pirq_of)(unsigned slot, unsigned pin); /* after a reset */
    uint8_t sci_slot;       /* whose pin A leads to the SCI by wire; 0: none */
    uint8_t xbcs;           /* register 0x4e of the router (X-bus chip select), as firmware sets it; 0: not there */
    const char *disks, *disks_addr; /* the function with the disks of if=ide */
    unsigned disk_units;    /* on each of its buses */
    bool disk_irqs;         /* it has outputs "irq" 0 and 1, for IRQ 14 and 15; else it is a SATA controller (sata=) */
    bool floppies;          /* a floppy controller is there, with or without drives */
    bool no_pci;            /* nor what comes with it: ACPI, SMM, shadow registers */
    bool no_ioapic;
    const char *firmware;   /* what runs without -bios; NULL: none, the board starts kernels by itself */
    bool needs_firmware;    /* also for a kernel */
    const uint8_t *dsdt;    /* compiled */
    uint32_t dsdt_size;
    uint64_t ecam;          /* where configuration space is mapped for a kernel without firmware; 0: nowhere */
    bool acpi_always;       /* no SMI turns ACPI mode on and off, and no GPEs */
    int (*make)(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err);
};
extern const struct pc_chipset pc_i440fx, pc_q35, pc_isapc, pc_microvm;

/* Of isapc.c: the two IDE channels. */
int isapc_make_disks(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err);

/* Register of the router that says where PIRQ n leads. */
unsigned pc_pirq_register(unsigned n);
/* The PIRQ of a slot's pin (from 0), as the chipset has it after a reset. */
unsigned pc_pirq_of(const struct pc *pc, unsigned slot, unsigned pin);
/* The ISA interrupt that a slot's pin leads to, as firmware_leave() routes it. */
unsigned pc_isa_irq_of(const struct pc *pc, unsigned slot, unsigned pin);

/* Of pc.c: makes and attaches a device; addr NULL: not on PCI. */
int pc_plug(struct pc *pc, const char *type, struct bp_bus *bus, const char *addr,
            struct bp_device **ret_dev, struct bp_error *err);

struct bp_block_interface;
struct bp_net_interface;
extern const struct bp_pc_pm_interface *const *const pc_acpi_pm;
extern const struct bp_block_interface *const *const pc_block;
extern const struct bp_net_interface *const *const pc_net;
/* Of pc.c, what boards have in common. */
/* The timer; one whose tone is heard is the device itself. */
int pc_make_pit(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err);
int pc_make_cpus(struct pc *pc, struct bp_error *err);
int pc_make_fw_cfg(struct pc *pc, struct bp_error *err);
int pc_make_isa(struct pc *pc, struct bp_irq *ret_lines[16], struct bp_bus **ret_bus, struct bp_error *err);
/* Of isa-devices.c. */
int pc_make_rtc(struct pc *pc, struct bp_bus *isa_bus, struct bp_error *err);
int pc_make_isa_devices(struct pc *pc, struct bp_bus *isa_bus, struct bp_irq *const lines[16], struct bp_error *err);

#endif
