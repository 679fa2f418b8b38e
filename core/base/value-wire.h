/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON as it goes to QMP's clients. */
#ifndef BPC_VALUE_WIRE_H
#define BPC_VALUE_WIRE_H

#include <bp/value.h>

/* {"return": {}}: a space behind each comma and colon, and nothing but ASCII; `pretty`: on several
 * lines. g_free() it. [any] */
char *bpc_value_print_wire(const struct bp_value *v, bool pretty);

#endif
