/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: requires an interface that no module provides. */
#include <bp/device.h>

BP_USE(other, void *, "broken-absent", 3);
static const struct bp_import imports[] = {BP_IMPORT(other, "broken-absent", 3), {0}};

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-requires", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE("broken-requires", "Requires the impossible", imports, {BP_PROVIDE_DEVICE, &broken});
