/* SPDX-License-Identifier: MIT */
/*
 * Intel Q35 and ICH9: interfaces q35/1 (a struct bp_pc_host_interface) and ich9-lpc/1 (a struct
 * bp_pc_pm_interface), offered by `hw-piix`. A board makes "q35-pcihost", calls set_memory(), then
 * plugs "ICH9-LPC" (makes bus "isa.0") at 1f.0. Under the machine lock.
 *
 * The host bridge's outputs "pirq" 0..7 are PIRQA..PIRQH. ICH9-LPC takes them, routes them to ISA
 * interrupts by its registers 0x60-0x63 and 0x68-0x6b, and passes them on by its own outputs "pirq",
 * which are wired to pins 16 to 23 of the I/O APIC. Pin P of slot S up to 24 reaches PIRQ E, F, G or H:
 * 4 + ((P + S) & 3); of slots 25 to 31 what the registers D25IR to D31IR say, at first P.
 */
#ifndef BP_CHIP_ICH9_H
#define BP_CHIP_ICH9_H

#include <bp/chip/pc-host.h>

#define BP_ICH9_SMI_PORT 0xb2u
#define BP_ICH9_ACPI_ENABLE 0x02u
#define BP_ICH9_ACPI_DISABLE 0x03u
#define BP_ICH9_GPE0 0x20u /* from the power management base: 8 bytes of status, 8 of enable */
#define BP_ICH9_GPE0_LENGTH 16u

#endif
