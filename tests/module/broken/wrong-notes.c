/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: its table has a device that its notes do not tell of. */
#include <bp/device.h>

static const struct bp_device_class hidden = {
    .type = {.size = sizeof(struct bp_device_class), .name = "broken-hidden", .state_size = 1}};

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-notes", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE("broken-notes", "Hides a device", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &broken},
          {BP_PROVIDE_DEVICE, &hidden});
