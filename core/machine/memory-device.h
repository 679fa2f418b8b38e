/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory devices, as the core's commands see them. [main] */
#ifndef BPC_MEMORY_DEVICE_H
#define BPC_MEMORY_DEVICE_H

#include <bp/memory-device.h>

struct bpc_plugged {
    int node;
    uint64_t bytes;
};

/* -m slots= and maxmem=: do they fit the board and the size? */
int bpc_memory_check(const struct bp_machine *m, uint64_t ram_size, struct bp_error *err);
/* Each as query-memory-devices has it, by address; fn gets the reference. */
void bpc_memory_devices_each(void (*fn)(struct bp_value *entry, void *opaque), void *opaque);
uint64_t bpc_memory_plugged(int node); /* bytes; -1: of all nodes and none */

#endif
