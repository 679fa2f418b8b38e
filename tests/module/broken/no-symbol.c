/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: uses a function that nothing provides. */
#include <bp/device.h>

int bp_there_is_no_such_function(void);

static int init(struct bp_error *err)
{
    return bp_there_is_no_such_function();
}

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-symbol", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE_WITH_INIT("broken-symbol", "Uses a missing function", BP_NO_IMPORTS, init,
                    {BP_PROVIDE_DEVICE, &broken});
