// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module hw-ide: the IDE bus and its drives as one list. */
#include <bp/host/block.h>

BP_USE(block_import, struct bp_block_interface, "block", 1);

#include "ide.h"

const struct bp_block_interface *const *const ide_block = &block_import;

BP_INTERFACE(ide_interface, "ide", 1, 0, &ide_table);

static const struct bp_import imports[] = {BP_IMPORT(block_import, "block", 1), {0}};
BP_MODULE("hw-ide", "IDE bus, ATA and ATAPI drives", imports, {BP_PROVIDE_BUS, &ide_bus_class},
          {BP_PROVIDE_ABSTRACT, &ide_device_level},
          {BP_PROVIDE_DEVICE, &ide_hd_class}, {BP_PROVIDE_DEVICE, &ide_cd_class},
          {BP_PROVIDE_INTERFACE, &ide_interface});
