/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-vc`: a text console of the emulator's own, beside the guest's screens. Output is drawn by a terminal
 * (terminal.c) into a grid of cells; what people type while it is shown is its input, also when the machine stands.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/host/chardev.h>
#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>
#include <bp/run.h>

#include "vc-font.hex"
#include "vc.h"
#include "watchers.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
BP_USE(display, struct bp_display_interface, "display", 1);
BP_USE(input, struct bp_input_interface, "input", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), BP_IMPORT(display, "display", 1),
                                           BP_IMPORT(input, "input", 1), {0}};

#define CELL_WIDTH 8u
#define CELL_HEIGHT 16u
#define COLUMNS 80u
#define ROWS 24u
#define TYPED 4096u /* bytes that wait for whoever reads */

struct vc {
    /* Properties; 0: not given. */
    uint32_t width, height, cols, rows;

    struct bp_chardev *chr;
    struct vc *next;
    struct bp_console *console; /* NULL: the machine is not complete yet */
    struct bp_surface *surface;
    struct bp_input_device *keys;
    struct vc_keyboard *keyboard; /* NULL: nothing was typed yet */
    struct vc_terminal terminal;
    uint8_t typed[TYPED];
    unsigned count;
    bool changed; /* the surface does not show what the terminal has */
    struct bp_deferred *pump;
    struct vc_watchers watchers;
};

static struct vc *all; /* in the order of their making */

/* ---- input ---- */

static void pump(void *opaque)
{
    struct vc *vc = opaque;
    uint8_t part[256];
    size_t n;

    while (vc->count && (n = chardev->can_read(vc->chr)) > 0) {
        n = n < vc->count ? n : vc->count;
        n = n < sizeof(part) ? n : sizeof(part);
        memcpy(part, vc->typed, n);
        vc->count -= (unsigned)n;
        memmove(vc->typed, vc->typed + n, vc->count);
        chardev->received(vc->chr, part, n);
    }
    if (vc->count < TYPED)
        vc_watchers_room(&vc->watchers);
}

static void type(void *opaque, const char *text, size_t length)
{
    struct vc *vc = opaque;

    if (length > TYPED - vc->count)
        return; /* nobody reads: what is typed now is lost, so that keys for others are not held up */
    memcpy(vc->typed + vc->count, text, length);
    vc->count += (unsigned)length;
    bp_deferred_schedule(vc->pump);
}

static void show(struct vc *vc)
{
    if (vc->changed || !vc->console)
        return;
    vc->changed = true;
    display->damage(vc->console, 0, 0, 1, 1);
}

static void take_key(void *opaque, const struct bp_input_event *event)
{
    struct vc *vc = opaque;
    char bytes[VC_KEY_BYTES];
    unsigned length;
    int back = 0;

    if (event->type != BP_INPUT_KEY || (!vc->keyboard && vc_keyboard_new(input->language(), &vc->keyboard, NULL) < 0))
        return;
    length = vc_keyboard_key(vc->keyboard, &vc->terminal, event->code, event->value, bytes, &back);
    if (length && vc->terminal.screen.back) {
        vc->terminal.screen.back = 0; /* who types wants to see it */
        show(vc);
    }
    if (back) {
        vc_screen_look_back(&vc->terminal.screen, back);
        show(vc);
    }
    if (length)
        type(vc, bytes, length);
}

static const struct bp_input_ops key_ops = {
    .size = sizeof(key_ops), .takes = BP_INPUT_TAKES_KEYS | BP_INPUT_TAKES_ALWAYS, .name = "keyboard of a text console",
    .event = take_key};

/* ---- the screen ---- */

static void put_cell(const struct vc_terminal *t, const struct vc_glyph *from, struct bp_cell *to)
{
    uint8_t flags = from->pen.flags;
    uint32_t foreground = vc_colour(from->pen.foreground, flags & VC_BOLD, false);
    uint32_t background = vc_colour(from->pen.background, false, true), swap = foreground;

    if (flags & VC_DIM)
        foreground = foreground >> 1 & 0x7f7f7f;
    if (!(flags & VC_REVERSE) != !t->reversed) {
        swap = foreground;
        foreground = background;
        background = swap;
    }
    if (flags & VC_HIDDEN)
        foreground = background;
    *to = (struct bp_cell){.glyph = from->glyph, .foreground = foreground, .background = background,
                           .flags = (uint8_t)((flags & VC_BLINK ? BP_CELL_BLINK : 0) |
                                              (flags & VC_UNDERLINE ? BP_CELL_UNDERLINE : 0)),
                           .attribute = vc_attribute(foreground, background)};
}

static void update(void *opaque)
{
    struct vc *vc = opaque;
    const struct vc_screen *s = &vc->terminal.screen;
    struct bp_cells *cells = display->surface_cells(vc->surface);

    if (!vc->changed)
        return;
    vc->changed = false;
    for (uint32_t row = 0; row < s->rows; row++) {
        const struct vc_glyph *line = vc_screen_line(s, row);

        for (uint32_t column = 0; column < s->columns; column++)
            put_cell(&vc->terminal, line + column, &cells->cells[(size_t)row * s->columns + column]);
    }
    cells->cursor.visible = !vc->terminal.hidden && s->row + s->back < s->rows;
    cells->cursor.column = (uint16_t)s->column;
    cells->cursor.row = (uint16_t)(s->row + s->back);
}

static const struct bp_console_ops console_ops = {
    .size = sizeof(console_ops), .flags = BP_CONSOLE_TEXT, .update = update};

static int make_surface(struct vc *vc, struct bp_error *err)
{
    static const struct bp_font font = {.width = CELL_WIDTH, .height = CELL_HEIGHT, .underline = CELL_HEIGHT - 2,
                                        .bytes_per_row = 1, .glyphs = 256, .bitmap = console_font};
    struct bp_cells *cells;
    int ret = display->surface_new_cells(vc->cols, vc->rows, &vc->surface, err);

    if (ret < 0)
        return ret;
    display->surface_set_font(vc->surface, &font);
    cells = display->surface_cells(vc->surface);
    cells->width = vc->width;
    cells->height = vc->height;
    for (uint32_t row = 0; row < vc->rows; row++)
        cells->row[row] = (struct bp_cell_row){.y = (uint16_t)(row * CELL_HEIGHT), .lines = CELL_HEIGHT};
    cells->cursor = (struct bp_cell_cursor){.visible = true, .blink = true, .first_line = CELL_HEIGHT - 3,
                                            .last_line = CELL_HEIGHT - 2, .colour = ~0u};
    vc->changed = true;
    return 0;
}

static int make_console(struct vc *vc, struct bp_error *err)
{
    int ret = display->console_new(bp_object_of_state(vc), 0, &console_ops, vc, &vc->console, err);

    if (ret < 0)
        return ret;
    ret = input->device_new(bp_object_resolve("/machine", NULL, NULL), vc->console, &key_ops, vc, &vc->keys, err);
    if (ret == 0)
        display->set_surface(vc->console, vc->surface);
    return ret;
}

/* The guest's screens come first: a text console that the command line made comes when the machine is complete. */
static int machine_complete(void *opaque, struct bp_error *err)
{
    (void)opaque;
    for (struct vc *vc = all; vc; vc = vc->next) {
        int ret = vc->console ? 0 : make_console(vc, err);

        if (ret < 0)
            return ret;
    }
    return 0;
}

/* ---- life ---- */

/* Pixels or characters; -EINVAL in words. */
static int choose_size(struct vc *vc, struct bp_error *err)
{
    if ((vc->width && vc->cols) || (vc->height && vc->rows))
        return bp_fail(err, EINVAL, "chardev vc: give 'width' and 'height', in pixels, or 'cols' and 'rows', in "
                       "characters, not both");
    if (vc->cols > VC_MOST_COLUMNS || vc->width > VC_MOST_COLUMNS * CELL_WIDTH ||
        (vc->width && vc->width < CELL_WIDTH))
        return bp_fail(err, EINVAL, "chardev vc: 'cols' is 1 to %u characters, 'width' %u to %u pixels",
                       VC_MOST_COLUMNS, CELL_WIDTH, VC_MOST_COLUMNS * CELL_WIDTH);
    if (vc->rows > VC_MOST_ROWS || vc->height > VC_MOST_ROWS * CELL_HEIGHT ||
        (vc->height && vc->height < CELL_HEIGHT))
        return bp_fail(err, EINVAL, "chardev vc: 'rows' is 1 to %u characters, 'height' %u to %u pixels", VC_MOST_ROWS,
                       CELL_HEIGHT, VC_MOST_ROWS * CELL_HEIGHT);
    if (!vc->cols)
        vc->cols = vc->width ? vc->width / CELL_WIDTH : COLUMNS;
    if (!vc->rows)
        vc->rows = vc->height ? vc->height / CELL_HEIGHT : ROWS;
    if (!vc->width)
        vc->width = vc->cols * CELL_WIDTH;
    if (!vc->height)
        vc->height = vc->rows * CELL_HEIGHT;
    return 0;
}

static void vc_close(struct bp_chardev *chr)
{
    struct vc *vc = chardev->state(chr), **link = &all;

    while (*link && *link != vc)
        link = &(*link)->next;
    if (*link)
        *link = vc->next;
    vc_watchers_close(&vc->watchers);
    input->device_free(vc->keys);
    display->console_free(vc->console);
    display->surface_unref(vc->surface);
    vc_keyboard_free(vc->keyboard);
    vc_terminal_free(&vc->terminal);
    bp_deferred_free(vc->pump);
    vc->keys = NULL;
    vc->console = NULL;
    vc->surface = NULL;
    vc->keyboard = NULL;
    vc->pump = NULL;
}

static int vc_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct vc *vc = chardev->state(chr), **link = &all;
    static bool asked;
    int ret = choose_size(vc, err);

    if (ret == 0)
        ret = make_surface(vc, err);
    if (ret < 0)
        return ret;
    vc->chr = chr;
    vc->pump = bp_deferred_new(NULL, NULL, pump, vc);
    vc_terminal_init(&vc->terminal, vc->cols, vc->rows, type, vc);
    if (bp_command_machine()) {
        ret = make_console(vc, err);
    } else if (!asked) {
        asked = true;
        bp_on_complete(machine_complete, NULL);
    }
    if (ret < 0) {
        vc_close(chr);
        return ret;
    }
    while (*link)
        link = &(*link)->next;
    *link = vc;
    chardev->opened(chr);
    return 0;
}

static int vc_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct vc *vc = chardev->state(chr);

    vc_terminal_write(&vc->terminal, buf, len);
    vc_watchers_write(&vc->watchers, buf, len);
    show(vc);
    return (int)len;
}

static void vc_accept(struct bp_chardev *chr)
{
    struct vc *vc = chardev->state(chr);

    if (vc->count)
        bp_deferred_schedule(vc->pump);
}

/* ---- for others ---- */

static const char *console_at(unsigned n, uint32_t *ret_columns, uint32_t *ret_rows)
{
    struct vc *vc = all;

    while (vc && n--)
        vc = vc->next;
    if (!vc)
        return NULL;
    *ret_columns = vc->cols;
    *ret_rows = vc->rows;
    return bp_object_id(bp_object_of_state(vc));
}

static int watch(const char *id, const struct bp_vc_watcher_ops *ops, void *opaque,
                 struct bp_vc_watcher **ret_watcher, struct bp_error *err)
{
    struct vc *vc = all;

    if (ops->size < offsetof(struct bp_vc_watcher_ops, reserved))
        return bp_fail(err, EINVAL, "watcher of console '%s': operations of %u bytes make no sense", id, ops->size);
    while (vc && strcmp(bp_object_id(bp_object_of_state(vc)), id) != 0)
        vc = vc->next;
    if (!vc)
        return bp_fail(err, ENOENT, "there is no text console '%s' (chardev vc)", id);
    *ret_watcher = vc_watchers_add(&vc->watchers, ops, opaque, vc);
    return 0;
}

static void unwatch(struct bp_vc_watcher *watcher)
{
    if (watcher)
        vc_watchers_remove(&((struct vc *)watcher->console)->watchers, watcher);
}

static size_t type_bytes(struct bp_vc_watcher *watcher, const uint8_t *bytes, size_t count)
{
    struct vc *vc = watcher->console;
    size_t room = TYPED - vc->count, n = count < room ? count : room;

    watcher->waits = n < count;
    type(vc, (const char *)bytes, n);
    return n;
}

static const struct bp_vc_interface vc_table = {.size = sizeof(vc_table), .console_at = console_at, .watch = watch,
                                                .unwatch = unwatch, .type = type_bytes};
BP_INTERFACE(vc_interface, "vc", 1, 0, &vc_table);

static const struct bp_field props[] = {
    BP_PROP("width", UINT32, struct vc, width, "0", "of the screen, in pixels; 0: by cols"),
    BP_PROP("height", UINT32, struct vc, height, "0", "of the screen, in pixels; 0: by rows"),
    BP_PROP("cols", UINT32, struct vc, cols, "0", "characters of a line; 0: 80, or by width"),
    BP_PROP("rows", UINT32, struct vc, rows, "0", "lines; 0: 24, or by height"), BP_FIELDS_END};
BP_CHARDEV(vc_class, "vc", "Text console beside the guest's screens", struct vc, props, .open = vc_open,
           .close = vc_close, .write = vc_write, .accept_input = vc_accept);
BP_MODULE("chardev-vc", "Text consoles beside the guest's screens", imports, {BP_PROVIDE_OTHER, &vc_class},
          {BP_PROVIDE_INTERFACE, &vc_interface});
