/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Board pc: what its files share. Under the machine lock. */
#ifndef PC_H
#define PC_H

#include "timeline.h"

#include <bp/exact/machine.h>
#include <bp/exact/x86.h>

#define PC_PM_BASE 0x600u
#define PC_SCI 9u
#define PC_SLP_S3 1u /* what the tables have in \_S3, \_S4 and \_S5 */
#define PC_SLP_S4 2u
#define PC_SLP_S5 0u
#define PC_SERIALS 4u
#define PC_PARALLELS 3u
#define PC_PVPANIC_PORT 0x505 /* as its ACPI device says */
#define PC_VTD_BASE 0xfed90000u /* where intel-iommu has its registers */
#define PC_GPE_VMGENID (1u << 5)
#define PC_FIRMWARE "bios-256k.bin" /* of package seabios */
#define ISAPC_FIRMWARE "bios.bin"     /* likewise: it runs where it is copied to, below 1 MiB */
#define PC_ACPI_SIZE 0x10000u         /* taken from the end of low memory */
#define PC_ROM_SIZE 0x10000u          /* of the firmware's area below 1 MiB, and of its ROM below 4 GiB */
#define PC_IDE_DEVFN 0x09u
#define PC_PM_DEVFN 0x0bu

/* Who drives a global system interrupt; their levels are ORed. */
enum gsi_source { GSI_ISA, GSI_HPET, GSI_PM, GSI_PIRQ, GSI_SOURCES };
#define GSI_COUNT 24

struct bp_fw_cfg_interface;
struct bp_isa_interface;
struct bp_pc_dimm_interface;
struct bp_pci_interface;

struct pc {
    /* properties */
    bool acpi, hpet, i8042;
    bool graphics, usb, fd_bootchk, with_smbus, sata, hmat, nvdimm;
    char *pflash[2]; /* nodes of the flash chips, or NULL */
    struct bp_object *pcspk_audiodev; /* or NULL */
    int smbios_entry; /* 0: 32 bits, 1: 64, 2: as the tables need it */

    bool kernel_cmdline, isa_serial; /* of microvm */
    struct {
        char *vmport, *smm, *memory_encryption;
        bool bypass_iommu, pit, pic;
    } choices; /* choices.c */

    struct bp_machine *machine;
    uint64_t low_size, high_size; /* bytes of RAM below and above 4 GiB */
    struct bp_device *pic, *ioapic, *pit, *rtc, *host, *isa_bridge, *pm, *fw_cfg, *hpet_dev, *fdc;
    struct bp_device *apic_bus, *lapic; /* the latter of the first processor */
    const struct pc_chipset *chipset;
    const struct bp_pc_host_interface *host_if;
    const struct bp_pc_pm_interface *pm_if;
    struct bp_bus *pci_bus, *smbus; /* the latter NULL: none */
    struct bp_device *smbios, *acpi_tables;
    const struct bp_acpi_tables_interface *users; /* of acpi_tables */
    const char *product, *version; /* what SMBIOS calls it */
    bool serial[2];
    bool pvpanic; /* at its usual port */
    struct bp_device *vmgenid; /* or NULL */
    uint8_t a20; /* a bit for each source that lets it through */
    uint8_t gsi_levels[GSI_COUNT]; /* bit per source */
    uint64_t gsi_count[GSI_COUNT]; /* how often each was raised */
    struct bp_device *pcihp, *cpuhp, *memhp; /* ACPI's hot-plug controllers; NULL: none */
    struct bp_device *nvdimm_dev; /* what answers NVDIMMs' methods, or NULL */
    const struct bp_pc_dimm_interface *dimms;
    const struct bp_pci_interface *pci_if;
    uint64_t devices_base, devices_length; /* where memory of devices lies, bytes; 0: nowhere */
    uint8_t hotplug_bus[32]; /* number of the bus behind the bridge in a slot of the root bus; 0: none */
    bool cpu_comes;          /* a processor is being plugged into the running machine */
    bool smm;
    struct bp_space *smm_space; /* memory as processors see it in system management mode; NULL: there is none */
    const struct bp_fw_cfg_interface *fw_cfg_if;
    struct timeline timeline;
    struct linux_boot *boot;
    struct microvm *microvm; /* of that board; else NULL */
    struct bp_region *bios; /* isapc: its end is copied to memory below 1 MiB; NULL: it is mapped there */
    bool firmware;
    bool text_mode; /* without firmware: the adapter shows text */
};

/* One entry of the memory map as BIOS function E820 gives it. */
struct e820 {
    uint64_t start, length;
    uint32_t type; /* 1 usable, 2 reserved, 3 ACPI data, 4 ACPI's in use (NVS) */
};
/* Puts RAM below 4 GiB and above. */
int pc_map_ram(struct pc *pc, struct bp_error *err);
unsigned pc_memory_map(const struct pc *pc, struct e820 *map, unsigned max);

/* All ACPI tables, as they are to be now. */
struct acpi_image;
struct bp_acpi_tables_interface;
int acpi_build(const struct pc *pc, struct acpi_image *ret_image, struct bp_error *err);
/* Puts all ACPI tables into guest memory: the root pointer at LOW_RSDP, the rest at the end of low
 * memory. Called at each reset. */
int acpi_check(const struct pc *pc, struct bp_error *err); /* is there room for them without firmware? */
int acpi_write(const struct pc *pc, struct bp_error *err);
/* Where acpi_write() puts the FACS, which guests write to. */
uint64_t acpi_facs_address(const struct pc *pc);
/* Does the power management have sleep state 3 or 4? */
bool acpi_has_sleep(const struct pc *pc, unsigned state);

/* The machine as firmware leaves it (firmware.c). Called at each reset after everything was
 * reset and the chipset's shadow RAM is open. */
struct bp_pci_interface;
void firmware_leave(struct pc *pc, const struct bp_pci_interface *pci);
/* The same without what stands in memory. */
void firmware_chipset(struct pc *pc, const struct bp_pci_interface *pci);
/* From suspend to RAM (wakeup.c), in the place of a reset's. */
struct bp_rtc_nvram_interface;
void pc_wake(struct pc *pc, enum bp_wakeup_cause cause, const struct bp_pci_interface *pci,
             const struct bp_rtc_nvram_interface *nvram, const struct bp_apic_interface *apic);
/* Lets a kernel's real-mode code print: BIOS interrupt 10h, function 0Eh, goes to COM1. Only
 * that. */
void firmware_teletype(const struct pc *pc);
/* Writes an entry point that resets the machine into the last 64 KiB of a firmware's area. */
void firmware_entry(uint8_t *area);
extern const uint8_t pc_pirq[4]; /* ISA interrupts that PIRQA..D lead to */
/* Tables for kernels without ACPI (mptable.c), into the area at LOW_RSDP. */
void mp_table_write(const struct pc *pc);
void pir_table_write(const struct pc *pc);

/* A Linux kernel started without firmware. */
int linux_boot_open(struct pc *pc, struct bp_error *err);
/* Copies kernel, initrd and parameters into memory and sets the first processor to its entry. */
int linux_boot_reset(struct pc *pc, struct bp_x86_cpu *cpu, struct bp_error *err);

/* The chipset's USB controllers, when they are wanted (usb.c). */
int pc_make_usb(struct pc *pc, struct bp_error *err);
/* -serial and -parallel (ports.c). */
int pc_make_serial(struct bp_machine *machine, struct bp_bus *isa_bus, struct bp_error *err);
int pc_make_parallel(struct bp_machine *machine, struct bp_bus *isa_bus, struct bp_error *err);

/* The memory modules' EEPROMs (dimms.c). */
struct bp_smbus_eeprom_interface;
int pc_make_dimms(struct bp_machine *machine, const struct bp_smbus_eeprom_interface *eeprom,
                  struct bp_bus *smbus, struct bp_error *err);

/* A new line to a global system interrupt. */
struct bp_irq *pc_gsi_line(struct pc *pc, enum gsi_source source, unsigned gsi);

/* The boards' callbacks (pc.c), for the table of versions (boards.c). */
int pc_init_i440fx(struct bp_machine *m, struct bp_error *err);
int pc_init_q35(struct bp_machine *m, struct bp_error *err);
int pc_init_isapc(struct bp_machine *m, struct bp_error *err);
int pc_init_microvm(struct bp_machine *m, struct bp_error *err);
extern const struct bp_field pc_microvm_props[];
extern const struct bp_schema pc_entry_schema; /* of smbios-entry-point-type */
int pc_init(struct bp_machine *m, struct bp_error *err); /* the rest of all three */
int pc_ready(struct bp_machine *m, struct bp_error *err);
void pc_reset(struct bp_machine *m);
void pc_wakeup(struct bp_machine *m, enum bp_wakeup_cause cause);
void pc_powerdown(struct bp_machine *m);
void pc_nmi(struct bp_machine *m);
int pc_cpu_pre_plug(struct bp_machine *m, unsigned index, bool hotplug, struct bp_error *err);
int pc_cpu_plug(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err);
int pc_cpu_unplug_request(struct bp_machine *m, struct bp_cpu *cpu, struct bp_error *err);
void pc_cpu_unplug(struct bp_machine *m, struct bp_cpu *cpu);
extern const struct bp_field pc_props[];
extern const struct bp_hmp_command pc_info_irq;
extern const struct bp_import pc_imports[];

/* Processors and cards that come and go (hotplug.c); the second when all devices are there. */
int pc_make_hotplug(struct pc *pc, const struct bp_pci_interface *pci, struct bp_error *err);
/* What sits on no bus: memory modules. */
extern const struct bp_hotplug_ops pc_no_bus;
void pc_add_hotplug_buses(struct pc *pc, const struct bp_pci_interface *pci);

/* System management mode (smm.c): whether there is any; after the chipset is made: wires and memory; for each processor
 * that comes later; files for firmware, and at each reset. */
int smm_choose(struct pc *pc, struct bp_error *err);
void smm_connect(struct pc *pc);
void smm_cpu(const struct pc *pc, struct bp_cpu *cpu);
int smm_to_firmware(struct pc *pc, struct bp_error *err);
void smm_reset(const struct pc *pc);

#define PC_WIDE_IDS 255u /* the first APIC id that only x2APIC has */
uint32_t pc_last_apic_id(struct bp_machine *m);
/* Before processors are made: no id is beyond xAPIC's. */
int pc_check_apic_ids(struct bp_machine *m, struct bp_error *err);
/* When devices are there: whether what ids beyond xAPIC's need is. */
int pc_check_wide_ids(struct bp_machine *m, bool remaps, struct bp_error *err);
int pc_check_choices(const struct pc *pc, struct bp_error *err);
bool pc_has_vmport(const struct pc *pc);

/* What linux_boot_open() found, for firmware that loads it. */
struct linux_parts {
    int kernel, initrd; /* descriptors; -1: none */
    uint32_t setup_size;
    uint64_t kernel_size, initrd_size; /* the former without the set-up code, which is before it */
    uint64_t kernel_address, initrd_address, setup_address, cmdline_address;
    const char *cmdline;
};
void linux_boot_parts(const struct pc *pc, struct linux_parts *ret);
/* Or a kernel of another kind (kernel-boot.h); NULL: it is a Linux kernel. */
struct kernel_boot;
const struct kernel_boot *linux_boot_other(const struct pc *pc);
/* What the kernel is told on its command line: -append, and what the board adds (microvm.c). Lasts as the machine. */
const char *pc_append(struct pc *pc);
/* Flat segments for kernels that start in protected mode: code 0x10, data 0x18. */
void pc_write_gdt(const struct pc *pc);
/* Is firmware to start it? It is there, or the kernel has no other entry. After linux_boot_open(). */
bool linux_boot_by_firmware(const struct pc *pc);

/* Interfaces to management controllers that SMBIOS tells of (acpi-ipmi.c); gives how many. */
struct bp_smbios_bmc;
unsigned pc_find_bmcs(const struct pc *pc, struct bp_smbios_bmc *ret_bmcs, unsigned most);

/* How many processors there are. */
unsigned pc_cpus(const struct pc *pc);

/* Sets a VGA to its text mode, as firmware leaves it (text-mode.c). False: there is none, or no font. */
bool text_mode_set_up(const struct pc *pc);
/* Makes the display adapter that -vga names, by default `std`, on this bus: PCI, or ISA where there is no other. */
int pc_make_vga(struct bp_machine *machine, struct bp_bus *bus, bool isa_only, struct bp_error *err);

#endif

