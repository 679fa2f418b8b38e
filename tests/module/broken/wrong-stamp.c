/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: the exact tier of another build; its constructor must never run. */
#include <stdlib.h>

#define BP_MODULE_EXACT
#define BP_EXACT_STAMP "another-build"
#include <bp/device.h>

__attribute__((constructor)) static void code_ran(void)
{
    setenv("BROKEN_CODE_RAN", "yes", 1);
}

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-stamp", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE("broken-stamp", "Built with another core", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &broken});
