/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports and protocol families as keys of the modules chardev-socket and chardev-udp. */
#ifndef PORT_H
#define PORT_H

#include <bp/error.h>

/* A number is a port only up to 65535; libc takes more modulo. What is no number is the name of a
 * service. `who`: the back end. */
int port_check(const char *who, const char *key, const char *text, struct bp_error *err);

#endif
