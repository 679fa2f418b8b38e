/* SPDX-License-Identifier: MIT */
/*
 * pmem/1: stores that have to reach persistent memory, by the SNIA NVM programming model. Offered by the module
 * ram-pmem; who wants it asks with bp_interface_require(). Tier: public. [any]
 */
#ifndef BP_HOST_PMEM_H
#define BP_HOST_PMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_pmem_interface {
    uint32_t size;
    uint32_t reserved0;
    /* Is all of it persistent memory that is mapped directly? What a file's mapping is, its mapper knows by
     * MAP_SYNC; this knows device DAX, and what its administrator says (libpmem(7), PMEM_IS_PMEM_FORCE). */
    bool (*is_pmem)(const void *address, size_t length);
    /* What was stored there is in the persistence domain when it returns. */
    void (*persist)(const void *address, size_t length);
    void *reserved[4];
};

BP_END_DECLS

#endif
