/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks of a PC (disks.c). [main] under the machine lock */
#ifndef PC_DISKS_H
#define PC_DISKS_H

#include <errno.h>
#include <stdio.h>

#include <bp/bus/ide.h>
#include <bp/chip/fdc.h>
#include <bp/chip/mc146818.h>
#include <bp/exact/machine.h>
#include <bp/host/block.h>

/* What places for -drive the board has: said before anything else is made. */
void disks_places(struct bp_machine *m, const struct bp_block_interface *block, unsigned ide_units);
/* Devices for the drives of if=ide on the buses ide.0, ide.1, ...; `units`: of each bus. */
int disks_make_ide(struct bp_machine *m, const struct bp_block_interface *block, unsigned units,
                   struct bp_error *err);
/* A virtio disk of this type in the next free place of the bus (NULL: of any that takes it) for each drive of
 * if=virtio. */
int disks_make_virtio(struct bp_machine *m, const char *type, struct bp_bus *bus,
                      const struct bp_block_interface *block, struct bp_error *err);
/* Host adapters (lsi53c895a) for the drives of if=scsi, seven on each; none when there is no such drive. */
int disks_make_scsi(struct bp_machine *m, struct bp_bus *pci, const struct bp_block_interface *block,
                    struct bp_error *err);
/* The controller, with the drives of if=floppy and the default one. */
int disks_make_floppies(struct bp_machine *m, struct bp_bus *isa, const struct bp_block_interface *block,
                        bool with_default, struct bp_device **ret_fdc, struct bp_error *err);
/* fdc NULL: there is no controller. */
void disks_floppies_to_nvram(struct bp_device *fdc, struct bp_device *rtc, const struct bp_fdc_interface *iface,
                             const struct bp_rtc_nvram_interface *nvram);
/* Disk types, geometries and translation. */
void disks_to_nvram(struct bp_machine *m, struct bp_device *rtc, const struct bp_ide_interface *ide,
                    const struct bp_rtc_nvram_interface *nvram);

#endif
