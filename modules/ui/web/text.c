/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text on the machine's screen, where it is made of characters of code page 437, to be copied. */
#include "web.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

static void put_character(struct bytes *to, uint16_t code)
{
    if (code < 0x80) {
        bytes_put8(to, (uint8_t)code);
    } else if (code < 0x800) {
        bytes_put8(to, (uint8_t)(0xc0 | code >> 6));
        bytes_put8(to, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        bytes_put8(to, (uint8_t)(0xe0 | code >> 12));
        bytes_put8(to, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        bytes_put8(to, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

/* Lines without the blanks at their ends. */
static void put_cells(struct bytes *to, const struct bp_cells *cells)
{
    size_t end = to->size;

    for (uint32_t row = 0; row < cells->rows; row++) {
        const struct bp_cell *line = cells->cells + (size_t)row * cells->columns;
        uint32_t columns = cells->columns;

        while (columns && code_page_437[line[columns - 1].glyph & 255] == ' ')
            columns--;
        for (uint32_t column = 0; column < columns; column++)
            put_character(to, code_page_437[line[column].glyph & 255]);
        end = columns ? to->size : end;
        bytes_put8(to, '\n');
    }
    to->size = end < to->size ? end + 1 : end; /* no empty lines at the end */
}

bool web_text(struct bp_machine *machine, struct bytes *to)
{
    const struct bp_display_interface *display = *web_display_api;
    struct bp_console *console = display->console_at(machine, 0);
    struct bp_frame frame = {.size = sizeof(frame)};
    struct bp_viewer *viewer;
    bool found = false;

    if (!console || display->viewer_new(console, "web", BP_VIEWER_CELLS, NULL, NULL, &viewer, NULL) < 0)
        return false;
    if (display->pull(viewer, &frame, NULL) == 0) {
        found = frame.cells != NULL;
        if (found)
            put_cells(to, frame.cells);
        display->release(&frame);
    }
    display->viewer_free(viewer);
    return found;
}
