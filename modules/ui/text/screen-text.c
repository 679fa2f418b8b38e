/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * query-screen-text and screen-text: the characters on a screen. Where the screen is made of cells they
 * are those, exactly. In graphics modes the picture is compared with the console fonts that are found in
 * the guest's memory (fonts.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/coroutine.h>
#include <bp/device.h>

#include "text.h"

BP_USE(display, struct bp_display_interface, "display", 1);

#define SLICE (4u << 20)     /* bytes that are looked through before others get their turn */
#define MAX_STEPS (1u << 20) /* stretches of memory */

/* Fonts that were found before: most guests stay with one. */
static struct font *fonts;
static unsigned font_count;

/* ---- fonts ---- */

/* From `address` on; returns where to go on, 0 at the end. Under the machine lock. */
static uint64_t search_slice(struct bp_space *space, uint64_t address)
{
    struct bp_mapping m = {.size = sizeof(m)};
    uint64_t length, next;

    bp_space_lookup(space, address, &m);
    length = m.length;
    if (m.host) {
        if (length > SLICE)
            length = SLICE;
        font_count = fonts_search(m.host, length, fonts, font_count);
        /* The next slice begins before the end of this one, unless the memory ends. */
        if (length < m.length)
            length -= FONTS_OVERLAP;
    }
    next = address + length;
    return !length || next < address ? 0 : next;
}

static int search_memory(struct bp_machine *machine, struct bp_error *err)
{
    struct bp_space *space = bp_machine_memory(machine);
    uint64_t address = 0;

    if (!fonts)
        fonts = bp_alloc(sizeof(*fonts) * MAX_FONTS);
    font_count = 0;
    for (unsigned i = 0; i < MAX_STEPS && font_count < MAX_FONTS; i++) {
        address = search_slice(space, address);
        if (!address)
            break;
        if (bp_co_current() && bp_co_sleep(BP_CLOCK_REALTIME, 0) < 0)
            return bp_fail(err, ECANCELED, "the search for fonts was given up");
    }
    return 0;
}

/* The font that fits best, by its reading. */
static bool read_best(const struct bp_frame *frame, struct grid *best)
{
    bool any = false;

    for (unsigned i = 0; i < font_count; i++) {
        struct grid grid;

        if (fonts[i].width > frame->width || fonts[i].height > frame->height)
            continue;
        grid_read(frame, &fonts[i], &grid);
        if (!any || grid.matched > best->matched ||
            (grid.matched == best->matched && grid.unknown < best->unknown)) {
            if (any)
                free(best->characters);
            *best = grid;
            any = true;
        } else {
            free(grid.characters);
        }
    }
    return any;
}

/* ---- reading ---- */

struct text {
    struct grid grid;
    bool cells;
    bool cursor;
    uint32_t cursor_column, cursor_row;
};

static void read_cells(const struct bp_cells *cells, struct text *text)
{
    text->cells = true;
    text->grid.columns = cells->columns;
    text->grid.rows = cells->rows;
    text->grid.characters = bp_alloc((size_t)cells->columns * cells->rows * sizeof(uint32_t));
    for (uint32_t i = 0; i < cells->columns * cells->rows; i++)
        text->grid.characters[i] = code_page_437[cells->cells[i].glyph & 0xff];
    text->cursor = cells->cursor.visible;
    text->cursor_column = cells->cursor.column;
    text->cursor_row = cells->cursor.row;
}

static int read_picture(struct bp_machine *machine, const struct bp_frame *frame, struct text *text,
                        struct bp_error *err)
{
    bool known = read_best(frame, &text->grid);
    int ret;

    if (known && !text->grid.unknown)
        return 0;
    if (known)
        free(text->grid.characters);
    memset(&text->grid, 0, sizeof(text->grid));
    ret = search_memory(machine, err);
    if (ret < 0)
        return ret;
    if (!read_best(frame, &text->grid))
        return bp_fail(err, ENOENT, "the screen is in a graphics mode, and no console font was found in "
                       "the guest's memory; screendump shows the picture");
    return 0;
}

static int read_screen(const char *device, unsigned head, struct text *text, struct bp_error *err)
{
    struct bp_frame *frame = bp_alloc(sizeof(*frame));
    struct bp_machine *machine = bp_command_machine();
    struct bp_console *console;
    struct bp_viewer *viewer;
    int ret = display->console_find(machine, device, head, &console, err);

    memset(text, 0, sizeof(*text));
    if (ret == 0)
        ret = display->viewer_new(console, "screen-text", BP_VIEWER_CELLS | BP_VIEWER_STEADY, NULL, NULL,
                                  &viewer, err);
    if (ret == 0) {
        frame->size = sizeof(*frame);
        ret = display->pull(viewer, frame, err);
        display->viewer_free(viewer);
        if (ret == 0 && frame->cells)
            read_cells(frame->cells, text);
        else if (ret == 0 && (frame->flags & BP_FRAME_BLANK))
            ret = bp_fail(err, ENODATA, "the screen is off or blank");
        else if (ret == 0)
            ret = read_picture(machine, frame, text, err);
        if (frame->held)
            display->release(frame);
    }
    free(frame);
    return ret;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

/* A row as UTF-8, malloc'd; `trim`: without spaces at its end. */
static char *row_text(const struct grid *grid, uint32_t row, bool trim)
{
    const uint32_t *from = grid->characters + (size_t)row * grid->columns;
    char *text = bp_alloc(3 * (size_t)grid->columns + 1);
    uint32_t n = grid->columns;
    size_t length = 0;

    while (trim && n && from[n - 1] == ' ')
        n--;
    for (uint32_t i = 0; i < n; i++)
        length += put_utf8(text + length, from[i]);
    text[length] = 0;
    return text;
}

/* ---- QMP ---- */

static struct bp_value *to_value(const struct text *text)
{
    struct bp_value *value = bp_value_dict(), *lines = bp_value_list();

    for (uint32_t r = 0; r < text->grid.rows; r++) {
        char *line = row_text(&text->grid, r, false);

        bp_value_append(lines, bp_value_string(line));
        free(line);
    }
    bp_value_set(value, "mode", bp_value_string(text->cells ? "text" : "graphics"));
    bp_value_set(value, "columns", bp_value_uint(text->grid.columns));
    bp_value_set(value, "rows", bp_value_uint(text->grid.rows));
    bp_value_set(value, "lines", lines);
    bp_value_set(value, "unknown", bp_value_uint(text->grid.unknown));
    if (text->cursor) {
        struct bp_value *cursor = bp_value_dict();

        bp_value_set(cursor, "column", bp_value_uint(text->cursor_column));
        bp_value_set(cursor, "row", bp_value_uint(text->cursor_row));
        bp_value_set(value, "cursor", cursor);
    }
    return value;
}

static int query(const char *device, bool has_head, int64_t head, struct bp_value **ret_value,
                 struct bp_error *err)
{
    struct text text;
    int ret;

    if (has_head && (head < 0 || head > 0xffff))
        return bp_fail(err, EINVAL, "'head' expects 0 to 65535, not %lld", (long long)head);
    ret = read_screen(device, has_head ? (unsigned)head : 0, &text, err);
    if (ret == 0)
        *ret_value = to_value(&text);
    free(text.grid.characters);
    return ret;
}

static const struct bp_field args[] = {
    BP_ARG_OPT("device", STRING, "whose screen: an id or path; default: the first one"),
    BP_ARG_OPT("head", INT64, "which screen of the device"), BP_FIELDS_END};
static const char *const modes[] = {"text", "graphics", NULL};
static const struct bp_schema mode_schema = {"ScreenTextMode", BP_KIND_ENUM, .choices = modes};
static const struct bp_schema lines_schema = {"ScreenTextLines", BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRING};
static const struct bp_field cursor_members[] = {
    BP_ARG("column", INT64, "from 0"), BP_ARG("row", INT64, "from 0"), BP_FIELDS_END};
static const struct bp_schema cursor_schema = {"ScreenTextCursor", BP_KIND_STRUCT,
                                               .members = cursor_members};
static const struct bp_field members[] = {
    BP_ARG_TYPED("mode", ENUM, &mode_schema, 0, "the screen has cells, or the text was read from pixels"),
    BP_ARG("columns", INT64, "characters of a line"), BP_ARG("rows", INT64, "lines"),
    BP_ARG_TYPED("lines", LIST, &lines_schema, 0, "the text, each line with all its columns"),
    BP_ARG("unknown", INT64, "cells that show no character; U+FFFD stands for them"),
    BP_ARG_TYPED("cursor", STRUCT, &cursor_schema, BP_FIELD_OPTIONAL, "where it is shown, in text mode"),
    BP_FIELDS_END};
static const struct bp_schema schema = {"ScreenText", BP_KIND_STRUCT, .members = members};
BP_COMMAND(cmd_query, "query-screen-text", "the text on a screen", args, STRUCT, &schema, query,
           BP_COMMAND_COROUTINE);

/* ---- the monitor ---- */

static void hmp_screen_text(struct bp_monitor *mon, struct bp_value *values)
{
    const struct bp_value *head = bp_value_get(values, "head");
    struct bp_error err = {0};
    struct text text;
    uint32_t rows;

    if (read_screen(bp_value_get_string(values, "device"), head ? (unsigned)bp_value_as_int(head) : 0,
                    &text, &err) < 0) {
        bp_monitor_printf(mon, "Error: %s\n", err.message);
        return;
    }
    for (rows = text.grid.rows; rows; rows--) {
        char *line = row_text(&text.grid, rows - 1, true);
        bool empty = !*line;

        free(line);
        if (!empty)
            break;
    }
    for (uint32_t r = 0; r < rows; r++) {
        char *line = row_text(&text.grid, r, true);

        bp_monitor_printf(mon, "%s\n", line);
        free(line);
    }
    free(text.grid.characters);
}
BP_HMP(hmp_text, "screen-text", "[device [head]]", "show the text on a screen", args, hmp_screen_text);

static void fini(void)
{
    free(fonts);
    fonts = NULL;
    font_count = 0;
}

static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), {0}};
BP_MODULE_WITH_FINI("display-text", "The text on screens", imports, NULL, fini,
                    {BP_PROVIDE_COMMAND, &cmd_query}, {BP_PROVIDE_HMP, &hmp_text});
