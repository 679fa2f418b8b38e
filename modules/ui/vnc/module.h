/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the module provides, and other modules' tables. */
#ifndef VNC_MODULE_H
#define VNC_MODULE_H

#include <bp/command.h>
#include <bp/option.h>

struct bp_display_class;
extern const struct bp_display_class vnc_class;
extern const struct bp_password_server vnc_password_server;
extern const struct bp_interface vnc_interface; /* serve.c */
extern const struct bp_option vnc_option, k_option;
extern const struct bp_command vnc_query, vnc_query_servers, vnc_change_password, vnc_reload;
extern const struct bp_client_server vnc_client_server;
extern const struct bp_hmp_command vnc_info, vnc_change;
extern const struct bp_hmp_command vnc_acl_show, vnc_acl_policy, vnc_acl_add, vnc_acl_remove, vnc_acl_reset;
extern const struct bp_event vnc_connected, vnc_initialized, vnc_disconnected;

int vnc_secret_get(const char *id, const uint8_t **ret_data, size_t *ret_length);

#endif
