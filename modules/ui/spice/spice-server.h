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

extern const struct bp_display_interface *const *const spice_display;
extern const struct bp_input_interface *const *const spice_input;

struct spice_ui {
    SpiceServer *server; /* NULL: there is none */
    struct bp_machine *machine;
    char *addr;          /* as given, or NULL */
    uint32_t port, tls_port;
    const char *auth;    /* none, spice or sasl */
    bool unix_socket;
};
extern struct spice_ui spice_ui;

/* ---- core.c ---- */
/* What the library needs of a loop: the main context. `channel_event`: [any] */
void spice_core_start(struct bp_machine *machine);
extern SpiceCoreInterface spice_core;

/* ---- screen.c ---- */
int spice_screens_open(struct spice_ui *ui, struct bp_error *err);

/* ---- inputs.c ---- */
void spice_inputs_open(struct spice_ui *ui);

/* ---- commands.c ---- */
void spice_channel_event(int event, SpiceChannelEventInfo *info); /* [any] */
void spice_commands_start(struct bp_machine *machine);
extern const struct bp_command spice_query;
extern const struct bp_hmp_command spice_info;
extern const struct bp_event spice_connected, spice_initialized, spice_disconnected;

#endif
