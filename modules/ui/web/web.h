/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display web: what its files share. [main] under the machine lock. */
#ifndef UI_WEB_H
#define UI_WEB_H

#include <bp/clock.h>
#include <bp/host/display.h>
#include <bp/host/vc.h>
#include <bp/host/vnc.h>
#include <bp/loop.h>
#include <bp/object.h>

#include "bytes.h"
#include "tcp-socket.h"

#define WEB_TOKEN 32u /* hexadecimal digits */
#define WEB_CLIENTS 32u
#define WEB_CONSOLES 64u

struct web;
struct web_client;
struct web_console;

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
    struct web_console *consoles; /* that pages show */
    unsigned console_count;
};

extern const struct bp_vnc_interface *const *const web_vnc;
extern const struct bp_vc_interface *const *const web_vc;
extern const struct bp_display_interface *const *const web_display_api;

/* ---- http.c: one request of HTTP (RFC 9112) on a connection, then its answer, then the end ---- */
void web_client_new(struct web *web, int fd); /* takes fd */
void web_client_free(struct web_client *c);

/* ---- console.c ---- */
/* `fd` is owned, after a failure too; `data`: what came there so far, the beginning of a WebSocket's request. */
int web_console_new(struct web *web, int fd, const char *id, const void *data, size_t size, struct bp_error *err);
void web_console_free(struct web_console *c);

/* ---- text.c ---- */
bool web_text(struct bp_machine *machine, struct bytes *to); /* UTF-8; false: the screen has none */

/* ---- page.c ---- */
extern const char web_page[], web_script[];

#endif
