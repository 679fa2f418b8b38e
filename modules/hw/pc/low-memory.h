/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who stands where below 1 MiB when no firmware runs: what is written at each reset, and is fixed. Each part's room is
 * asserted to end where the next one's begins, or before. A Linux kernel's parts and those of other kernels
 * (kernel-boot.c) share their place: a machine has one kernel.
 */
#ifndef LOW_MEMORY_H
#define LOW_MEMORY_H

#define LOW_VECTORS 0x0u /* of the BIOS's interrupts */
#define LOW_BDA 0x400u   /* BIOS data area */
#define LOW_BDA_END 0x600u

#define LOW_ROM_SCRATCH 0x7c20u /* what our option ROMs read; a boot sector's place */
#define LOW_ROM_SCRATCH_SIZE 0x40u
#define LOW_GDT 0x7e00u /* for kernels that start in protected mode */
#define LOW_GDT_SIZE 32u

#define LOW_KERNEL_MAP 0x8000u   /* other kernels: memory map, ... */
#define LOW_KERNEL_FACTS 0x9000u /* ... what else they are told */
#define LOW_KERNEL_END 0x20000u

#define LOW_ZERO_PAGE 0x10000u /* Linux by its 32-bit protocol ... */
#define LOW_ZERO_PAGE_SIZE 0x1000u
#define LOW_SETUP 0x10000u /* ... or by the 16-bit one: its set-up code, with heap and stack */
#define LOW_SETUP_SIZE 0x10000u
#define LOW_CMDLINE 0x20000u
#define LOW_CMDLINE_SIZE 0x10000u

#define LOW_EBDA 0x9fc00u /* extended BIOS data area: conventional memory ends there */
#define LOW_EBDA_SIZE 0x400u

#define LOW_ROM_AREA 0xf0000u /* the firmware's */
#define LOW_ROM_AREA_SIZE 0x10000u
#define LOW_RSDP 0xf0000u /* ACPI's root pointer */
#define LOW_RSDP_SIZE 0x24u
#define LOW_MP_FLOATING 0xf0040u /* MultiProcessor Specification's tables */
#define LOW_MP_FLOATING_SIZE 16u
#define LOW_MP_CONFIG 0xf0050u
#define LOW_MP_CONFIG_SIZE 0x2000u
#define LOW_SMBIOS_ANCHOR 0xf7fd0u /* a multiple of 16 between 0xf0000 and 0xfffff (DSP0134, 5.2.1) */
#define LOW_SMBIOS_ANCHOR_SIZE 0x20u
#define LOW_PIR 0xf8000u /* interrupt routing table */
#define LOW_PIR_SIZE 0x400u
#define LOW_SMBIOS_TABLES 0xf8400u
#define LOW_SMBIOS_TABLES_SIZE 0x5c00u
#define LOW_ENTRY 0xfe05bu    /* where a PC's BIOS always was entered */
#define LOW_TELETYPE 0xfe100u /* BIOS interrupt 10h */
#define LOW_TOP 0xffff0u      /* the processor's first instruction */

#define LOW_BEFORE(END, NEXT) _Static_assert((END) <= (NEXT), #END " ends before " #NEXT)
LOW_BEFORE(LOW_VECTORS + 4 * 256, LOW_BDA);
LOW_BEFORE(LOW_BDA_END, LOW_ROM_SCRATCH);
LOW_BEFORE(LOW_ROM_SCRATCH + LOW_ROM_SCRATCH_SIZE, LOW_GDT);
LOW_BEFORE(LOW_GDT + LOW_GDT_SIZE, LOW_KERNEL_MAP);
LOW_BEFORE(LOW_KERNEL_MAP, LOW_KERNEL_FACTS);
LOW_BEFORE(LOW_KERNEL_FACTS, LOW_KERNEL_END);
LOW_BEFORE(LOW_GDT + LOW_GDT_SIZE, LOW_ZERO_PAGE);
LOW_BEFORE(LOW_ZERO_PAGE + LOW_ZERO_PAGE_SIZE, LOW_CMDLINE);
LOW_BEFORE(LOW_SETUP + LOW_SETUP_SIZE, LOW_CMDLINE);
LOW_BEFORE(LOW_CMDLINE + LOW_CMDLINE_SIZE, LOW_EBDA);
LOW_BEFORE(LOW_EBDA + LOW_EBDA_SIZE, 0xa0000);
LOW_BEFORE(LOW_ROM_AREA, LOW_RSDP);
LOW_BEFORE(LOW_RSDP + LOW_RSDP_SIZE, LOW_MP_FLOATING);
LOW_BEFORE(LOW_MP_FLOATING + LOW_MP_FLOATING_SIZE, LOW_MP_CONFIG);
LOW_BEFORE(LOW_MP_CONFIG + LOW_MP_CONFIG_SIZE, LOW_SMBIOS_ANCHOR);
LOW_BEFORE(LOW_SMBIOS_ANCHOR + LOW_SMBIOS_ANCHOR_SIZE, LOW_PIR);
LOW_BEFORE(LOW_PIR + LOW_PIR_SIZE, LOW_SMBIOS_TABLES);
LOW_BEFORE(LOW_SMBIOS_TABLES + LOW_SMBIOS_TABLES_SIZE, LOW_ENTRY);
LOW_BEFORE(LOW_ENTRY, LOW_TELETYPE);
LOW_BEFORE(LOW_TELETYPE, LOW_TOP);
LOW_BEFORE(LOW_TOP + 16, LOW_ROM_AREA + LOW_ROM_AREA_SIZE);

#endif
