/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the module lists of options.c and passwords.c. */
#ifndef UI_DISPLAY_OPTIONS_H
#define UI_DISPLAY_OPTIONS_H

#include <bp/command.h>
#include <bp/host/display.h>
#include <bp/option.h>

extern const struct bp_kind display_kind;
extern const struct bp_display_class none_display;
extern const struct bp_option display_option, vga_option, full_screen_option;
extern const struct bp_command cmd_query_options;

/* ---- clients.c ---- */
extern const struct bp_command cmd_add_client;

/* ---- passwords.c ---- */
extern const struct bp_command set_password, expire_password;
extern const struct bp_hmp_command hmp_set_password, hmp_expire_password;

#endif
