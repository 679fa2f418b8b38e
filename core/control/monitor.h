/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitors on character devices: QMP servers (control) and human monitors. [main] under the machine
 * lock.
 */
#ifndef BPC_MONITOR_H
#define BPC_MONITOR_H

#include <bp/host/chardev.h>

/* Makes a monitor the front end of `chr`, for good. pretty: indented JSON, QMP only. */
int bpc_monitor_new(struct bp_chardev *chr, bool control, bool pretty, struct bp_error *err);
/* Sends what is queued, for at most `ms` milliseconds, and takes all monitors down. */
void bpc_monitors_close(unsigned ms);
/* Makes the core's commands, monitor commands and events known to the registry. Once. */
int bpc_control_register(struct bp_error *err);

#endif
