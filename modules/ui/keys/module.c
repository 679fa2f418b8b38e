/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `display-keys`: keys and pointers by command. */
#include "keys.h"

const struct bp_input_interface *keys_input;
const struct bp_display_interface *keys_display;

BP_NOTE("requires=input/1");
BP_NOTE("requires=display/1");
static const struct bp_import imports[] = {BP_IMPORT(keys_input, "input", 1),
                                           BP_IMPORT(keys_display, "display", 1), {0}};
BP_MODULE_WITH_FINI("display-keys", "Keys and pointers by command", imports, NULL, keys_stop,
                    {BP_PROVIDE_COMMAND, &cmd_send_key}, {BP_PROVIDE_COMMAND, &cmd_send_event},
                    {BP_PROVIDE_COMMAND, &cmd_query_mice}, {BP_PROVIDE_HMP, &hmp_sendkey},
                    {BP_PROVIDE_HMP, &hmp_mouse_move}, {BP_PROVIDE_HMP, &hmp_mouse_button},
                    {BP_PROVIDE_HMP, &hmp_mouse_set}, {BP_PROVIDE_HMP, &hmp_info_mice});
