/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two chipsets that a board of this folder may have, and what is different about them. */
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
    uint64_t ecam;          /* where configuration space is mapped for a kernel without firmware; 0: nowhere */
    int (*make)(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err);
};
extern const struct pc_chipset pc_i440fx, pc_q35;

/* Register of the router that says where PIRQ n leads. */
unsigned pc_pirq_register(unsigned n);
/* The PIRQ of a slot's pin (from 0), as the chipset has it after a reset. */
unsigned pc_pirq_of(const struct pc *pc, unsigned slot, unsigned pin);
/* The ISA interrupt that a slot's pin leads to, as firmware_leave() routes it. */
unsigned pc_isa_irq_of(const struct pc *pc, unsigned slot, unsigned pin);

/* Of pc.c: makes and attaches a device; addr NULL: not on PCI. */
int pc_plug(struct pc *pc, const char *type, struct bp_bus *bus, const char *addr,
            struct bp_device **ret_dev, struct bp_error *err);

#endif
