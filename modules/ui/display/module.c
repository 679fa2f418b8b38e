/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `display`: interfaces display/1 and input/1, and the kind of what -display names. */
#include <errno.h>

#include "display.h"
#include "options.h"

static bool is_watched(const struct bp_console *console)
{
    return console->viewers != NULL;
}

static struct bp_object *console_device(const struct bp_console *console)
{
    return console->device;
}

static unsigned console_head(const struct bp_console *console)
{
    return console->head;
}

static uint32_t console_flags(const struct bp_console *console)
{
    return console->ops.flags;
}

static struct bp_console *viewer_console(const struct bp_viewer *viewer)
{
    return viewer->console;
}

static void cursor(struct bp_console *console, const struct bp_cursor **ret_cursor, int32_t *ret_x,
                   int32_t *ret_y, bool *ret_visible)
{
    *ret_cursor = console->cursor_pixels ? &console->cursor : NULL;
    *ret_x = console->pointer_x;
    *ret_y = console->pointer_y;
    *ret_visible = console->pointer_visible;
}

static const struct bp_display_interface display_table = {
    .size = sizeof(display_table), .console_new = console_new, .console_free = console_free,
    .surface_new = surface_new, .surface_new_cells = surface_new_cells, .surface_ref = surface_ref,
    .surface_unref = surface_unref, .surface_data = surface_data, .surface_cells = surface_cells,
    .surface_set_font = surface_set_font, .surface_set_palette = surface_set_palette,
    .set_surface = console_set_surface, .set_blank_size = console_set_blank_size,
    .damage = console_damage, .set_cursor = console_set_cursor, .move_pointer = console_move_pointer,
    .is_watched = is_watched, .console_at = console_at, .console_find = console_find,
    .console_index = console_index, .console_device = console_device, .console_head = console_head,
    .console_listen = console_listen, .console_unlisten = console_unlisten,
    .request_size = console_request_size, .viewer_new = viewer_new, .viewer_free = viewer_free,
    .want = viewer_want, .unwant = viewer_unwant, .pull = viewer_pull, .release = viewer_release,
    .forget = viewer_forget, .viewer_console = viewer_console, .cursor = cursor,
    .password_server = password_server, .console_flags = console_flags, .client_server = client_server,
    .set_renderer = renderer_set,
};
BP_INTERFACE(display_interface, "display", 1, 3, &display_table);
BP_INTERFACE(input_interface, "input", 1, 1, &input_table);

BP_MODULE("display", "Screens and input", BP_NO_IMPORTS, {BP_PROVIDE_INTERFACE, &display_interface},
          {BP_PROVIDE_INTERFACE, &input_interface}, {BP_PROVIDE_KIND, &display_kind},
          {BP_PROVIDE_OTHER, &none_display}, {BP_PROVIDE_OPTION, &display_option},
          {BP_PROVIDE_OPTION, &full_screen_option}, {BP_PROVIDE_OPTION, &vga_option},
          {BP_PROVIDE_COMMAND, &cmd_query_options}, {BP_PROVIDE_COMMAND, &cmd_add_client},
          {BP_PROVIDE_COMMAND, &set_password}, {BP_PROVIDE_COMMAND, &expire_password},
          {BP_PROVIDE_HMP, &hmp_set_password}, {BP_PROVIDE_HMP, &hmp_expire_password});
