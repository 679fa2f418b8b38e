/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the module's list names and its other files define. */
#ifndef BLOCK_EVENTS_H
#define BLOCK_EVENTS_H

#include <bp/option.h>

#include "block.h"

extern const struct bp_event block_io_error_event, block_threshold_event, block_tray_event,
    block_corrupted_event, job_status_event;
extern const struct bp_event job_completed_event, job_cancelled_event, job_ready_event, job_pending_event,
    job_error_event;
extern const struct bp_interface block_interface;
extern const struct bp_option option_blockdev, option_drive, option_hda, option_hdb, option_hdc,
    option_hdd, option_cdrom, option_fda, option_fdb, option_pflash, option_mtdblock, option_sd,
    option_snapshot;

#endif
