/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flash chips of a PC (flash.c). Under the machine lock. */
#ifndef FLASH_H
#define FLASH_H

#include <bp/device.h>

struct pc;
struct bp_block_interface;
struct bp_pflash_interface;

/* Makes and maps what drives with if=pflash and the board's properties name; sets pc->firmware if there is any. */
int flash_make(struct pc *pc, const struct bp_block_interface *block, const struct bp_pflash_interface *pflash,
               struct bp_region *pci, struct bp_error *err);
/* Firmware from a file (found along -L) stands at the end of the first 4 GiB; its last 128 KiB also below 1 MiB. */
int firmware_map(struct pc *pc, const char *name, struct bp_error *err);
/* Copies its end to memory below 1 MiB, where a board has nothing that would map it; at each reset. */
void firmware_copy(const struct pc *pc);
/* What stands there without firmware: an entry that resets the machine. */
int firmware_map_entry(struct pc *pc, struct bp_error *err);
/* UEFI code that expects its variables in a chip of their own. */
bool flash_is_code_alone(const uint8_t *image, size_t size);

#endif
