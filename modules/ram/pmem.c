/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pmem/1 by way of libpmem, the only module that needs the library: it knows the processor's way to flush. */
#include <libpmem.h>

#include <bp/host/pmem.h>
#include <bp/module.h>

static bool is_pmem(const void *address, size_t length)
{
    return pmem_is_pmem(address, length);
}

static void persist(const void *address, size_t length)
{
    pmem_persist(address, length);
}

static const struct bp_pmem_interface table = {.size = sizeof(table), .is_pmem = is_pmem, .persist = persist};
BP_INTERFACE(pmem, "pmem", 1, 0, &table);
BP_MODULE("ram-pmem", "Persistent memory of the host, by libpmem", BP_NO_IMPORTS, {BP_PROVIDE_INTERFACE, &pmem});
