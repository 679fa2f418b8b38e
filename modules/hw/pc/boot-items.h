/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What firmware finds (boot-items.c). Under the machine lock. */
#ifndef BOOT_ITEMS_H
#define BOOT_ITEMS_H

#include <bp/exact/machine.h>

struct pc;
struct bp_fw_cfg_interface;
struct bp_rtc_nvram_interface;
struct bp_smbios_interface;

/* A file found along -L, of 1 to `max` bytes; malloc'd. `option` begins the error. */
int boot_read_file(struct bp_machine *m, const char *option, const char *name, size_t max, uint8_t **ret_data,
                   size_t *ret_size, struct bp_error *err);
/* May firmware of a PC be told this order? `key`: "order" or "once". */
int boot_check_order(const char *key, const char *order, struct bp_error *err);
void boot_order_to_nvram(const struct pc *pc, const struct bp_rtc_nvram_interface *nvram);
/* Everything but the ACPI tables; once, when all devices are there. */
int boot_items_add(struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err);
int boot_add_option_rom(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, const char *name,
                        const uint8_t *data, size_t size, struct bp_error *err);
/* ACPI tables and the script by which firmware places them, as they are to be now. */
int boot_put_acpi(struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err);
/* At each reset: the order of booting. */
void boot_items_reset(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg,
                      const struct bp_rtc_nvram_interface *nvram);

/* kernel-items.c: kernel, initrd and command line of -kernel, and the option ROM that starts them. */
int kernel_to_firmware(const struct pc *pc, const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err);
#define BOOT_KERNEL_ROM "linuxboot.bin"
/* smbios-tables.c: to firmware; or where none runs: is there room? and into memory, at each reset. */
int smbios_to_firmware(const struct pc *pc, const struct bp_smbios_interface *smbios,
                       const struct bp_fw_cfg_interface *fw_cfg, struct bp_error *err);
int smbios_check(const struct pc *pc, const struct bp_smbios_interface *smbios, struct bp_error *err);
int smbios_write(const struct pc *pc, const struct bp_smbios_interface *smbios, struct bp_error *err);

#endif
