/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMGENID_H
#define VMGENID_H

#include <bp/command.h>
#include <bp/device.h>

#define VMGENID_SIZE 16u
#define VMGENID_TEXT 37u /* with the NUL */

struct vmgenid {
    struct bp_device *dev; /* NULL until it is attached */
    struct bp_device *fw_cfg;
    uint64_t address; /* of the page; 0: the guest has not said */
    uint8_t guid[VMGENID_SIZE];
};

void vmgenid_text(const struct vmgenid *s, char text[VMGENID_TEXT]);
extern const struct bp_command vmgenid_query;
extern const struct bp_hmp_command vmgenid_info;

#endif
