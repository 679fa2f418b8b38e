/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The classes of the drives, for the module's list. */
#ifndef HW_IDE_DRIVE_H
#define HW_IDE_DRIVE_H

#include "ide.h"

extern const struct bp_device_class ide_hd_class, ide_cd_class;
void ide_take_up(void *opaque); /* what a loaded drive had under way */

#endif
