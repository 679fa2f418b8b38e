/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the device and the option -fw_cfg share. */
#ifndef HW_FW_CFG_H
#define HW_FW_CFG_H

#include <bp/device.h>

#define MAX_ITEM (256ull << 20) /* bytes of one item */

int fw_cfg_add_file(struct bp_device *dev, const char *name, const void *data, size_t len, struct bp_error *err);

extern const struct bp_option fw_cfg_option;

#endif
