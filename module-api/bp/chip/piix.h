/* SPDX-License-Identifier: MIT */
/*
 * Power management of the 82371AB (PIIX4): interface piix4-pm/1, offered by `hw-piix`. Under the
 * machine lock.
 *
 * Registers from PMBASE: PM1 status +0, enable +2, control +4, timer +8 (24 bits, 3.579545 MHz).
 * GPE0 at BP_PIIX4_GPE0: two bytes of status, two of enable. SCI: output line "sci", level, active
 * high. ACPI mode is switched through port 0xb2.
 */
#ifndef BP_CHIP_PIIX_H
#define BP_CHIP_PIIX_H

#include <bp/chip/pc-host.h>

#define BP_PIIX4_GPE0 0xafe0u
#define BP_PIIX4_GPE0_LENGTH 4u
#define BP_PIIX4_SMI_PORT 0xb2u
#define BP_PIIX4_ACPI_ENABLE 0xf1u
#define BP_PIIX4_ACPI_DISABLE 0xf0u

/* SLP_TYP values of PM1 control, for the packages \_S3, \_S4 and \_S5. */
#define BP_PIIX4_SLP_S5 0u
#define BP_PIIX4_SLP_S3 1u
#define BP_PIIX4_SLP_S4 2u

/* Interface piix4-pm/1 is a struct bp_pc_pm_interface; `gpe` raises bits 0..15 of GPE0. */

#endif
