/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that make or configure a TAP interface for us. [main] */
#ifndef HELPER_H
#define HELPER_H

#include <bp/error.h>

/* Runs the helper for a bridge ("br0"); it gives the interface's descriptor back. NULL: the one that is installed. The
 * text of `helper` may have words of its own. */
int helper_run(const char *helper, const char *bridge, int *ret_fd, struct bp_error *err);
/* Runs a script with the interface's name. Errors: it cannot be started, or does not end with 0. */
int script_run(const char *script, const char *interface, struct bp_error *err);

#endif
