/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong on purpose: init() fails. */
#include <errno.h>

#include <bp/device.h>

static int init(struct bp_error *err)
{
    return bp_fail(err, EIO, "the moon is not full");
}

struct broken {
    uint32_t unused;
};
BP_DEVICE(broken, "broken-init", "system", "Broken on purpose", struct broken, NULL, NULL,
          .category = "misc");
BP_MODULE_WITH_INIT("broken-init", "Does not start", BP_NO_IMPORTS, init,
                    {BP_PROVIDE_DEVICE, &broken});
