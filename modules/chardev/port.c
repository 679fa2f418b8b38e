/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports as keys (port.h). */
#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int port_check(const char *who, const char *key, const char *text, struct bp_error *err)
{
    bool sign = *text == '-' || *text == '+';
    char *end;
    long n = strtol(text, &end, 10);

    if (strspn(text + sign, "0123456789") == 0 || *end)
        return 0;
    if (sign || n > 65535)
        return bp_fail(err, EINVAL, "chardev: %s: '%s' expects a port from 0 to 65535 or the name of "
                       "a service, not '%s'", who, key, text);
    return 0;
}
