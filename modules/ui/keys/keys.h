/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the module share. */
#ifndef UI_KEYS_H
#define UI_KEYS_H

#include <bp/command.h>
#include <bp/host/display.h>
#include <bp/host/input.h>

extern const struct bp_input_interface *keys_input;
extern const struct bp_display_interface *keys_display;

#define MAX_TOGETHER 16u

/* Presses keys in order, holds them for some time and lets them go in the opposite order; one after the
 * other. -EBUSY: too many wait already. */
int keys_press(struct bp_machine *machine, const uint16_t *codes, unsigned count, uint32_t hold_ms,
               struct bp_error *err);
void keys_stop(void); /* at the end of the process */

extern const struct bp_command cmd_send_key, cmd_send_event, cmd_query_mice;
extern const struct bp_hmp_command hmp_sendkey, hmp_mouse_move, hmp_mouse_button, hmp_mouse_set,
    hmp_info_mice;

#endif
