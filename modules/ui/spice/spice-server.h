/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SPICE server: what its files share. libspice-server does the protocol; it works in the main loop, and has a
 * thread ("worker") for each screen, which calls what is marked [worker]. All else is [main] under the machine lock.
 */
#ifndef UI_SPICE_H
#define UI_SPICE_H

#include <pthread.h>

#include <spice.h>

#include <bp/command.h>
#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>
#include <bp/option.h>

#include "tcp-socket.h"
#include "unix-socket.h"

struct bp_secret_interface; /* bp/host/secret.h */

extern const struct bp_display_interface *const *const spice_display;
extern const struct bp_input_interface *const *const spice_input;
extern const struct bp_secret_interface *const *const spice_secret;

struct spice_listener {
    struct bp_watch *watch;
    int fd;
};

struct spice_ui {
    SpiceServer *server; /* NULL: there is none */
    struct bp_machine *machine;
    char *addr;          /* as given, or NULL */
    uint32_t port, tls_port;
    const char *auth;    /* none, spice or sasl */
    bool unix_socket;
    struct unix_socket socket;
    int family;          /* AF_* to listen on */
    struct spice_listener listeners[TCP_LISTENERS];
    char *password;      /* NULL: none was set */
    int64_t expires_s;   /* seconds since 1970; INT64_MAX: never */
};
extern struct spice_ui spice_ui;

/* ---- access.c ---- */
int spice_access_check(struct spice_ui *ui, struct bp_value *args, struct bp_error *err); /* before there is a server */
int spice_access_set(struct spice_ui *ui, struct bp_value *args, struct bp_error *err);
int spice_access_listen(struct spice_ui *ui, struct bp_error *err); /* but for TLS, which the library does */
bool spice_is_on(struct bp_value *args, const char *key, bool otherwise);
extern const struct bp_password_server spice_password_server;
extern const struct bp_client_server spice_client_server;

/* ---- module.c ---- */
int spice_start(struct bp_value *args, struct bp_error *err); /* with the keys of -spice */

/* ---- app.c ---- */
extern const struct bp_display_class spice_app;
void spice_app_leave(void); /* once the socket has gone */

/* ---- core.c ---- */
/* What the library needs of a loop: the main context. `channel_event`: [any] */
void spice_core_start(struct bp_machine *machine);
extern SpiceCoreInterface spice_core;

/* ---- screen.c ---- */
int spice_screens_open(struct spice_ui *ui, struct bp_error *err);

/* ---- inputs.c ---- */
void spice_inputs_open(struct spice_ui *ui);

/* ---- instances.c ---- */
/* What others gave before there was a server. */
int spice_instances_give(struct bp_error *err);
extern const struct bp_interface spice_interface;

/* ---- commands.c ---- */
void spice_channel_event(int event, SpiceChannelEventInfo *info); /* [any] */
void spice_commands_start(struct bp_machine *machine);
bool spice_has_clients(void);
extern const struct bp_command spice_query;
extern const struct bp_hmp_command spice_info;
extern const struct bp_event spice_connected, spice_initialized, spice_disconnected;

#endif
