/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: needs a library that is not there (see meson.build). */
#include <bp/device.h>

int absent_function(void);

static int init(struct bp_error *err)
{
    return absent_function();
}

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-library", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE_WITH_INIT("broken-library", "Needs a missing library", BP_NO_IMPORTS, init,
                    {BP_PROVIDE_DEVICE, &broken});
