/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where events of the core go: whoever carries them to clients (core/control) says so here. */
#ifndef BPC_EVENT_H
#define BPC_EVENT_H

#include <bp/value.h>

/* fn takes the reference to `data` (dict or NULL). Set once, before there are other threads. [any] */
void bpc_event_set_hook(void (*fn)(const char *name, struct bp_value *data));

#endif
