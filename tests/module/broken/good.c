/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nothing is wrong with this one: it must load whatever its neighbours are like. */
#include <bp/device.h>

struct good {
    uint32_t unused;
};
BP_DEVICE(good, "test-good", "system", "A device that works", struct good, NULL, NULL,
          .category = "misc");
BP_MODULE("test-good", "A module that works", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &good});
