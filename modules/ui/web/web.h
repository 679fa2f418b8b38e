/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display web: what its files share. [main] under the machine lock. */
#ifndef UI_WEB_H
#define UI_WEB_H

#include <bp/clock.h>
#include <bp/host/vnc.h>
#include <bp/loop.h>
#include <bp/object.h>

#include "tcp-socket.h"

#define WEB_TOKEN 32u /* hexadecimal digits */
#define WEB_CLIENTS 32u

struct web;
struct web_client;

struct web_listener {
    struct web *web;
    struct bp_watch *watch;
    int fd;
};

struct web {
    char *addr; /* property */
    struct bp_machine *machine;
    char token[WEB_TOKEN + 1];
    struct web_listener listeners[TCP_LISTENERS];
    unsigned listener_count;
    struct web_client *clients;
    unsigned client_count;
};

extern const struct bp_vnc_interface *const *const web_vnc;

/* ---- http.c: one request of HTTP (RFC 9112) on a connection, then its answer, then the end ---- */
void web_client_new(struct web *web, int fd); /* takes fd */
void web_client_free(struct web_client *c);

/* ---- page.c ---- */
extern const char web_page[], web_script[];

#endif
