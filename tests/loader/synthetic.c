/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One device, of which synthetic.py makes a thousand: the four Q in its names become a number.
 */
#include <stdlib.h>

#include <bp/device.h>

struct synthetic {
    uint32_t level;
};

static const struct bp_field synthetic_props[] = {
    BP_PROP("level", UINT32, struct synthetic, level, "7", "a number without a meaning"),
    BP_FIELDS_END};

static int synthetic_attach(struct bp_device *dev, struct bp_error *err)
{
    (void)dev;
    (void)err;
    return 0;
}

BP_DEVICE(synthetic, "synthetic-QQQQ", "isa", "Synthetic device QQQQ", struct synthetic,
          synthetic_props, NULL, .attach = synthetic_attach);

BP_MODULE("synthetic-QQQQ", "Synthetic module QQQQ", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &synthetic});
