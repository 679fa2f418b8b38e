/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: provides a device that an earlier module (good.c) has. */
#include <bp/device.h>

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "test-good", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE("broken-twin", "Provides what another has", BP_NO_IMPORTS,
          {BP_PROVIDE_DEVICE, &broken});
