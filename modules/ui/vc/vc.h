/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text consoles of character devices: what the files of module `chardev-vc` share. [main] under the machine lock. */
#ifndef UI_VC_H
#define UI_VC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/module.h>

#define VC_HISTORY 500u /* lines that have gone off the top and can be looked at */
#define VC_MOST_COLUMNS 512u
#define VC_MOST_ROWS 256u

/* Colours: 0xRRGGBB, or an entry of the table, or the default one. */
#define VC_ENTRY 0x1000000u
#define VC_DEFAULT 0x2000000u

#define VC_BOLD 1u
#define VC_DIM 2u
#define VC_UNDERLINE 4u
#define VC_BLINK 8u
#define VC_REVERSE 16u
#define VC_HIDDEN 32u

struct vc_pen {
    uint32_t foreground, background;
    uint8_t flags; /* VC_BOLD... */
};

struct vc_glyph {
    struct vc_pen pen;
    uint8_t glyph; /* of code page 437 */
};

struct vc_saved { /* by DECSC */
    uint32_t column, row;
    struct vc_pen pen;
    uint8_t graphics[2], shift;
    bool origin, wrapped;
};

/* ---- screen.c: a grid of characters and what has gone off its top ---- */

struct vc_screen {
    uint32_t columns, rows;
    struct vc_glyph *grid;   /* rows * columns */
    struct vc_glyph *other;  /* of the screen that is not shown: main or alternate */
    struct vc_glyph *history; /* ring of VC_HISTORY lines; NULL: none yet */
    uint32_t history_next, history_count;
    uint32_t back;           /* lines that the view is scrolled back */
    uint32_t column, row;    /* cursor */
    uint32_t top, bottom;    /* scrolling region, inclusive */
    struct vc_pen pen;
    bool wrapped;            /* the cursor stands behind the last column */
    bool alternate;
};

void vc_screen_init(struct vc_screen *s, uint32_t columns, uint32_t rows);
void vc_screen_free(struct vc_screen *s);
/* The line that is shown at `row`, with the view as it is. */
const struct vc_glyph *vc_screen_line(const struct vc_screen *s, uint32_t row);
void vc_screen_look_back(struct vc_screen *s, int lines); /* positive: into the past */
/* Cells from..to of a row, `to` not one of them, become blank in the pen's background. */
void vc_screen_erase(struct vc_screen *s, uint32_t row, uint32_t from, uint32_t to);
void vc_screen_erase_rows(struct vc_screen *s, uint32_t from, uint32_t to);
/* Lines top..bottom move up (down) by n; what goes off the top of the whole screen is history. */
void vc_screen_scroll_up(struct vc_screen *s, uint32_t top, uint32_t bottom, uint32_t n);
void vc_screen_scroll_down(struct vc_screen *s, uint32_t top, uint32_t bottom, uint32_t n);
void vc_screen_insert(struct vc_screen *s, uint32_t n); /* cells at the cursor */
void vc_screen_delete(struct vc_screen *s, uint32_t n);
void vc_screen_switch(struct vc_screen *s, bool alternate);

/* ---- terminal.c, actions.c, sequences.c: VT102's and xterm's terminal ---- */

#define VC_PARAMETERS 16u

struct vc_terminal {
    struct vc_screen screen;
    enum vc_state { VC_TEXT, VC_ESCAPE, VC_CHARSET, VC_HASH, VC_SEQUENCE, VC_STRING, VC_STRING_ESCAPE } state;
    uint32_t parameters[VC_PARAMETERS];
    unsigned count;
    uint8_t prefix, between; /* "?" or ">", and what stands before the last character; 0: none */
    bool odd;                /* a sequence of more than that: nothing is done */
    unsigned slot;           /* of VC_CHARSET: G0 or G1 */
    uint8_t graphics[2], shift; /* is G0, G1 that of line drawing?, the one in use */
    uint32_t code;           /* of UTF-8, so far */
    unsigned more;           /* bytes that are to come */
    uint32_t least;
    uint32_t last;           /* character, for REP; 0: none */
    bool origin, autowrap, insert, newline, reversed, hidden, keys_application, keypad_application;
    uint8_t tabs[VC_MOST_COLUMNS / 8];
    struct vc_saved saved, saved_other;
    /* Answers go here. */
    void (*answer)(void *opaque, const char *text, size_t length);
    void *opaque;
};

void vc_terminal_init(struct vc_terminal *t, uint32_t columns, uint32_t rows,
                      void (*answer)(void *opaque, const char *text, size_t length), void *opaque);
void vc_terminal_free(struct vc_terminal *t);
void vc_terminal_write(struct vc_terminal *t, const uint8_t *bytes, size_t length);
/* Of code page 437; '?' where it has none. */
uint8_t vc_glyph_of(uint32_t character);
extern const uint16_t code_page_437[256];

/* ---- colours.c ---- */
uint32_t vc_colour(uint32_t colour, bool bold, bool background); /* 0xRRGGBB */
uint8_t vc_attribute(uint32_t foreground, uint32_t background);  /* of a PC, the nearest: from two 0xRRGGBB */

/* ---- keyboard.c ---- */

struct vc_keyboard; /* opaque */
struct bp_error;

/* NULL: en-us. */
int vc_keyboard_new(const char *language, struct vc_keyboard **ret_keyboard, struct bp_error *err);
void vc_keyboard_free(struct vc_keyboard *k); /* NULL is fine */
#define VC_KEY_BYTES 16u
/* A key of evdev's code. The bytes that it types; 0: none. *ret_back: lines to look back (or forth) instead. */
unsigned vc_keyboard_key(struct vc_keyboard *k, const struct vc_terminal *t, uint16_t code, int32_t value,
                         char bytes[VC_KEY_BYTES], int *ret_back);

#endif
