/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `ui-curses`: -display curses shows screens of characters in the terminal, with ncursesw. A screen in a
 * graphics mode is told of in one line. Leaves out: the mouse; blinking, which the terminal does itself.
 */
#include "curses-ui.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/host/display.h>
#include <bp/loop.h>
#include <bp/run.h>

#include "keymap.h"

BP_USE(display, struct bp_display_interface, "display", 1);
BP_USE(input, struct bp_input_interface, "input", 1);
static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), BP_IMPORT_MINOR(input, "input", 1, 1),
                                           {0}};

#define RESIZE_NS 500000000ll /* how soon a terminal's new size is noticed */

struct curses {
    char *charset;
    struct bp_machine *machine;
    struct bp_console *console;
    struct bp_viewer *viewer;
    struct bp_watch *keys;
    struct bp_timer *resize;
    wchar_t table[256];
    struct keymap *keymap; /* of -k; NULL: that of the US */
    bool started;
    int lines, columns;
};

static struct curses *the_ui; /* the terminal is one: who has it, or will at the start */

/* ---- drawing ---- */

/* Colours of a PC's attribute in the order of its bits, as curses numbers them. */
static const short colours[8] = {COLOR_BLACK, COLOR_BLUE, COLOR_GREEN, COLOR_CYAN, COLOR_RED, COLOR_MAGENTA,
                                 COLOR_YELLOW, COLOR_WHITE};

static void put_cell(const struct curses *ui, int row, int column, const struct bp_cell *cell)
{
    const wchar_t text[2] = {ui->table[cell->glyph & 0xff], L'\0'};
    short pair = (short)(has_colors() ? 1 + (cell->attribute >> 4 & 7) * 8 + (cell->attribute & 7) : 0);
    attr_t attributes = (cell->attribute & 8 ? A_BOLD : 0) | (cell->flags & BP_CELL_BLINK ? A_BLINK : 0) |
                        (cell->flags & BP_CELL_UNDERLINE ? A_UNDERLINE : 0);
    cchar_t c;

    setcchar(&c, text, attributes, pair, NULL);
    mvadd_wch(row, column, &c);
}

static void draw_cells(const struct curses *ui, const struct bp_cells *cells)
{
    for (int r = 0; r < LINES; r++) {
        for (int c = 0; c < COLS; c++) {
            static const struct bp_cell none = {.glyph = ' ', .attribute = 7};
            bool inside = (uint32_t)r < cells->rows && (uint32_t)c < cells->columns;

            put_cell(ui, r, c, inside ? &cells->cells[(size_t)r * cells->columns + (size_t)c] : &none);
        }
    }
    if (cells->cursor.visible && cells->cursor.row < LINES && cells->cursor.column < COLS) {
        curs_set(1);
        move(cells->cursor.row, cells->cursor.column);
    } else {
        curs_set(0);
    }
}

static void draw(struct curses *ui)
{
    struct bp_frame frame = {.size = sizeof(frame)};

    if (!ui->viewer || display->pull(ui->viewer, &frame, NULL) < 0)
        return;
    if (frame.cells) {
        draw_cells(ui, frame.cells);
    } else {
        erase();
        curs_set(0);
        mvprintw(LINES / 2, COLS > 40 ? (COLS - 40) / 2 : 0, frame.flags & BP_FRAME_BLANK
                 ? "the screen is off" : "%u x %u Graphic mode", frame.width, frame.height);
    }
    refresh();
    display->release(&frame);
    display->want(ui->viewer);
}

static void changed(void *opaque)
{
    draw(opaque);
}

static void watch(struct curses *ui, struct bp_console *console);

static void gone(void *opaque)
{
    struct curses *ui = opaque;

    display->viewer_free(ui->viewer);
    ui->viewer = NULL;
    ui->console = NULL;
}

static const struct bp_viewer_ops viewer_ops = {.size = sizeof(viewer_ops), .changed = changed, .gone = gone};

static void watch(struct curses *ui, struct bp_console *console)
{
    if (!console || console == ui->console)
        return;
    display->viewer_free(ui->viewer);
    ui->viewer = NULL;
    ui->console = console;
    if (display->viewer_new(console, "curses", BP_VIEWER_CELLS | BP_VIEWER_STEADY, &viewer_ops, ui, &ui->viewer,
                            NULL) < 0)
        return;
    erase();
    draw(ui);
}

static void consoles_changed(void *opaque)
{
    struct curses *ui = opaque;

    if (!ui->console)
        watch(ui, display->console_at(ui->machine, 0));
}

static void look_at_size(void *opaque)
{
    struct curses *ui = opaque;

    if (is_term_resized(ui->lines, ui->columns) || LINES != ui->lines || COLS != ui->columns) {
        endwin();
        refresh();
        ui->lines = LINES;
        ui->columns = COLS;
        clear();
        draw(ui);
    }
    bp_timer_set(ui->resize, bp_timer_now(ui->resize) + RESIZE_NS);
}

/* ---- keys ---- */

static void typed(void *opaque, unsigned events)
{
    struct curses *ui = opaque;
    struct bp_input_event made[CURSES_EVENTS];
    wint_t c, next;

    for (;;) {
        bool alt = false;
        unsigned count;
        int kind;

        if (input->space(ui->machine, ui->console) <= CURSES_EVENTS) {
            bp_watch_set(ui->keys, 0); /* input_changed() goes on */
            break;
        }
        kind = get_wch(&c);
        if (kind == ERR)
            break;
        if (kind == OK && c == 27 && (kind = get_wch(&next)) != ERR) {
            alt = true; /* Alt is sent as Esc and the key */
            c = next;
        } else if (kind == ERR) {
            kind = OK;
        }
        if (kind == KEY_CODE_YES && c == KEY_RESIZE) {
            look_at_size(ui);
            continue;
        }
        if (alt && kind == OK && c >= '1' && c <= '9' && display->console_at(ui->machine, c - '1')) {
            watch(ui, display->console_at(ui->machine, c - '1'));
            continue;
        }
        count = curses_key_events(ui->keymap, c, kind == KEY_CODE_YES, alt, made);
        if (count)
            input->send(ui->machine, ui->console, made, count, NULL);
    }
    if (events & BP_WATCH_HUP) { /* the terminal has gone: nothing comes any more */
        bp_watch_free(ui->keys);
        ui->keys = NULL;
    }
}

static void input_changed(void *opaque)
{
    struct curses *ui = opaque;

    if (ui->keys && input->space(ui->machine, ui->console) > CURSES_EVENTS)
        bp_watch_set(ui->keys, BP_WATCH_IN);
}

/* ---- opening ---- */

static void leave(void)
{
    if (the_ui && the_ui->started)
        endwin();
    the_ui = NULL;
}

static void start(void *opaque)
{
    struct curses *ui = opaque;

    if (the_ui != ui)
        return; /* closed before the start */
    ui->started = true;
    initscr();
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(0);
    if (has_colors()) {
        start_color();
        for (short background = 0; background < 8; background++)
            for (short foreground = 0; foreground < 8; foreground++)
                init_pair((short)(1 + background * 8 + foreground), colours[foreground], colours[background]);
    }
    ui->lines = LINES;
    ui->columns = COLS;
    ui->keys = bp_watch_new(NULL, bp_context_main(ui->machine), STDIN_FILENO, BP_WATCH_IN, typed, ui);
    ui->resize = bp_timer_new(NULL, bp_context_main(ui->machine), BP_CLOCK_REALTIME, look_at_size, ui);
    bp_timer_set(ui->resize, bp_timer_now(ui->resize) + RESIZE_NS);
    display->console_listen(consoles_changed, ui);
    input->listen(input_changed, ui);
    consoles_changed(ui);
}

static int curses_open(struct bp_object *obj, struct bp_error *err)
{
    struct curses *ui = bp_object_state(obj);
    const char *charset = ui->charset ? ui->charset : "CP437";

    if (the_ui)
        return bp_fail(err, EBUSY, "the terminal is in use already; -display curses is given once");
    if (curses_charset(charset, ui->table) < 0)
        return bp_fail(err, EINVAL, "key 'charset': '%.60s' is no encoding that iconv knows; use CP437 or CP850, iconv "
                       "-l lists them", charset);
    if (bp_leaves_terminal())
        return bp_fail(err, EINVAL, "the program leaves its terminal with -daemonize, and has none to draw in");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !getenv("TERM"))
        return bp_fail(err, ENODEV, "there is no terminal to draw in");
    ui->machine = bp_command_machine();
    if (!ui->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    if (input->language() && keymap_new(input->language(), &ui->keymap, err) < 0)
        return -EINVAL;
    the_ui = ui;
    setlocale(LC_CTYPE, "");
    bp_on_start(start, ui); /* messages of the start are not drawn over */
    return 0;
}

static void curses_close(struct bp_object *obj)
{
    struct curses *ui = bp_object_state(obj);

    if (the_ui != ui)
        return;
    input->unlisten(input_changed, ui);
    display->console_unlisten(consoles_changed, ui);
    display->viewer_free(ui->viewer);
    bp_watch_free(ui->keys);
    bp_timer_free(ui->resize);
    keymap_free(ui->keymap);
    leave();
}

static const struct bp_field props[] = {
    BP_PROP("charset", STRING, struct curses, charset, NULL, "encoding of the guest's font; without it CP437"),
    BP_FIELDS_END};
BP_DISPLAY(curses_display, "curses", "Screens of characters in the terminal", struct curses, props, .open = curses_open,
           .close = curses_close);
BP_MODULE_WITH_FINI("ui-curses", "Screens in a terminal", imports, NULL, leave, {BP_PROVIDE_OTHER, &curses_display});
