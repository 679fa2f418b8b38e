/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bp_event_send_named() for the folders below core/control: until there is somebody who carries
 * events, there is nobody who could hear of them. */
#include "event.h"

#include <bp/command.h>

static void (*hook)(const char *name, struct bp_value *data);

void bpc_event_set_hook(void (*fn)(const char *name, struct bp_value *data))
{
    hook = fn;
}

void bp_event_send_named(const char *name, struct bp_value *data)
{
    if (hook)
        hook(name, data);
    else
        bp_value_unref(data);
}
