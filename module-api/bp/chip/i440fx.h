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

#include <bp/chip/pc-host.h>

/* Interface i440fx/1 is a struct bp_pc_host_interface, without ecam. */

#endif
