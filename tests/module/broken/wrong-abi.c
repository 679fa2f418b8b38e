/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: built for another ABI; its constructor must never run. */
#include <stdlib.h>

#include <bp/device.h>

#undef BP_ABI_MAJOR
#define BP_ABI_MAJOR 99

__attribute__((constructor)) static void code_ran(void)
{
    setenv("BROKEN_CODE_RAN", "yes", 1);
}

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-abi", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE("broken-abi", "Built for another ABI", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &broken});
