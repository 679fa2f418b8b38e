/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Line editor. The line is redrawn from the cursor on with carriage returns and "erase to end of
 * line", which every terminal of the ANSI family has; lines are at most 4095 bytes, the history 64.
 */
#include "readline.h"

#include <stdbool.h>
#include <string.h>

#define MAX_LINE 4095
#define MAX_HISTORY 64

enum escape { ESCAPE_NONE, ESCAPE_SEEN, ESCAPE_CSI, ESCAPE_SS3 };

struct bpc_readline {
    const struct bpc_readline_ops *ops;
    void *opaque;
    char *prompt;
    GString *line, *saved; /* saved: the line being typed while history is looked at */
    gsize cursor;
    GPtrArray *history;
    unsigned at; /* history->len: the typed line */
    enum escape escape;
    unsigned parameter;
    bool after_cr;
};

static void put(struct bpc_readline *rl, const char *text)
{
    rl->ops->output(rl->opaque, text, strlen(text));
}

static void redraw(struct bpc_readline *rl)
{
    GString *out = g_string_new("\r");

    g_string_append(out, rl->prompt);
    g_string_append_len(out, rl->line->str, (gssize)rl->line->len);
    g_string_append(out, "\033[K");
    if (rl->line->len > rl->cursor)
        g_string_append_printf(out, "\033[%uD", (unsigned)(rl->line->len - rl->cursor));
    rl->ops->output(rl->opaque, out->str, out->len);
    g_string_free(out, TRUE);
}

void bpc_readline_show(struct bpc_readline *rl)
{
    put(rl, rl->prompt);
    if (rl->line->len > 0)
        redraw(rl);
}

struct bpc_readline *bpc_readline_new(const char *prompt, const struct bpc_readline_ops *ops,
                                      void *opaque)
{
    struct bpc_readline *rl = g_new0(struct bpc_readline, 1);

    rl->ops = ops;
    rl->opaque = opaque;
    rl->prompt = g_strdup(prompt);
    rl->line = g_string_new(NULL);
    rl->saved = g_string_new(NULL);
    rl->history = g_ptr_array_new_with_free_func(g_free);
    return rl;
}

void bpc_readline_free(struct bpc_readline *rl)
{
    if (!rl)
        return;
    g_string_free(rl->line, TRUE);
    g_string_free(rl->saved, TRUE);
    g_ptr_array_free(rl->history, TRUE);
    g_free(rl->prompt);
    g_free(rl);
}

const GPtrArray *bpc_readline_history(const struct bpc_readline *rl)
{
    return rl->history;
}

void bpc_readline_reset(struct bpc_readline *rl)
{
    g_string_truncate(rl->line, 0);
    rl->cursor = 0;
    rl->at = rl->history->len;
    rl->escape = ESCAPE_NONE;
}

static void insert(struct bpc_readline *rl, const char *text, gsize len)
{
    if (rl->line->len + len > MAX_LINE)
        return;
    g_string_insert_len(rl->line, (gssize)rl->cursor, text, (gssize)len);
    rl->cursor += len;
    if (rl->cursor == rl->line->len)
        rl->ops->output(rl->opaque, text, len);
    else
        redraw(rl);
}

static void erase(struct bpc_readline *rl, gsize from, gsize len)
{
    g_string_erase(rl->line, (gssize)from, (gssize)len);
    rl->cursor = from;
    redraw(rl);
}

static void move(struct bpc_readline *rl, gsize cursor)
{
    rl->cursor = cursor;
    redraw(rl);
}

static void erase_word(struct bpc_readline *rl)
{
    gsize from = rl->cursor;

    while (from > 0 && rl->line->str[from - 1] == ' ')
        from--;
    while (from > 0 && rl->line->str[from - 1] != ' ')
        from--;
    erase(rl, from, rl->cursor - from);
}

/* ---- history ---- */

static void recall(struct bpc_readline *rl, unsigned at)
{
    if (rl->at == rl->history->len)
        g_string_assign(rl->saved, rl->line->str);
    rl->at = at;
    g_string_assign(rl->line, at == rl->history->len ? rl->saved->str
                                                     : g_ptr_array_index(rl->history, at));
    move(rl, rl->line->len);
}

static void remember(struct bpc_readline *rl)
{
    const char *last = rl->history->len > 0
                           ? g_ptr_array_index(rl->history, rl->history->len - 1) : NULL;

    if (rl->line->len == 0 || (last && strcmp(last, rl->line->str) == 0))
        return;
    if (rl->history->len == MAX_HISTORY)
        g_ptr_array_remove_index(rl->history, 0);
    g_ptr_array_add(rl->history, g_strdup(rl->line->str));
}

/* ---- completion ---- */

static gsize common_length(const GPtrArray *matches)
{
    const char *first = g_ptr_array_index(matches, 0);
    gsize n = strlen(first);

    for (unsigned i = 1; i < matches->len; i++) {
        const char *other = g_ptr_array_index(matches, i);
        gsize k = 0;

        while (k < n && other[k] == first[k])
            k++;
        n = k;
    }
    return n;
}

static void complete(struct bpc_readline *rl)
{
    GPtrArray *matches;
    gsize common;

    if (rl->cursor != rl->line->len || !rl->ops->complete)
        return;
    matches = rl->ops->complete(rl->line->str);
    common = matches->len > 0 ? common_length(matches) : 0;
    if (common > rl->line->len)
        insert(rl, (const char *)g_ptr_array_index(matches, 0) + rl->line->len,
               common - rl->line->len);
    if (matches->len == 1) {
        insert(rl, " ", 1);
    } else if (matches->len > 1) {
        put(rl, "\r\n");
        for (unsigned i = 0; i < matches->len; i++) {
            put(rl, g_ptr_array_index(matches, i));
            put(rl, i + 1 < matches->len ? "  " : "\r\n");
        }
        redraw(rl);
    }
    g_ptr_array_free(matches, TRUE);
}

/* ---- keys ---- */

static void enter(struct bpc_readline *rl)
{
    char *line = g_strdup(rl->line->str);

    put(rl, "\r\n");
    remember(rl);
    bpc_readline_reset(rl);
    rl->ops->line(rl->opaque, line);
    g_free(line);
}

static void cursor_key(struct bpc_readline *rl, unsigned char byte)
{
    switch (byte) {
    case 'A':
        if (rl->at > 0)
            recall(rl, rl->at - 1);
        break;
    case 'B':
        if (rl->at < rl->history->len)
            recall(rl, rl->at + 1);
        break;
    case 'C':
        if (rl->cursor < rl->line->len)
            move(rl, rl->cursor + 1);
        break;
    case 'D':
        if (rl->cursor > 0)
            move(rl, rl->cursor - 1);
        break;
    case 'H':
        move(rl, 0);
        break;
    case 'F':
        move(rl, rl->line->len);
        break;
    case '~':
        if (rl->parameter == 1 || rl->parameter == 7)
            move(rl, 0);
        else if (rl->parameter == 4 || rl->parameter == 8)
            move(rl, rl->line->len);
        else if (rl->parameter == 3 && rl->cursor < rl->line->len)
            erase(rl, rl->cursor, 1);
        break;
    default:
        break;
    }
}

static void escape_byte(struct bpc_readline *rl, unsigned char byte)
{
    if (rl->escape == ESCAPE_SEEN) {
        rl->escape = byte == '[' ? ESCAPE_CSI : byte == 'O' ? ESCAPE_SS3 : ESCAPE_NONE;
        rl->parameter = 0;
        return;
    }
    if (rl->escape == ESCAPE_CSI && byte >= '0' && byte <= '9') {
        rl->parameter = rl->parameter < 1000 ? rl->parameter * 10 + (byte - '0') : 1000;
        return;
    }
    if (rl->escape == ESCAPE_CSI && byte >= 0x20 && byte < 0x40)
        return; /* other parameters and intermediates */
    rl->escape = ESCAPE_NONE;
    cursor_key(rl, byte);
}

static void control_byte(struct bpc_readline *rl, unsigned char byte)
{
    switch (byte) {
    case 1: /* Ctrl-a */
        move(rl, 0);
        break;
    case 2: /* Ctrl-b */
        cursor_key(rl, 'D');
        break;
    case 4: /* Ctrl-d */
        if (rl->cursor < rl->line->len)
            erase(rl, rl->cursor, 1);
        break;
    case 5: /* Ctrl-e */
        move(rl, rl->line->len);
        break;
    case 6: /* Ctrl-f */
        cursor_key(rl, 'C');
        break;
    case 8: /* backspace */
    case 127:
        if (rl->cursor > 0)
            erase(rl, rl->cursor - 1, 1);
        break;
    case 9:
        complete(rl);
        break;
    case 11: /* Ctrl-k */
        erase(rl, rl->cursor, rl->line->len - rl->cursor);
        break;
    case 12: /* Ctrl-l */
        put(rl, "\033[2J\033[H");
        redraw(rl);
        break;
    case 14: /* Ctrl-n */
        cursor_key(rl, 'B');
        break;
    case 16: /* Ctrl-p */
        cursor_key(rl, 'A');
        break;
    case 21: /* Ctrl-u */
        erase(rl, 0, rl->cursor);
        break;
    case 23: /* Ctrl-w */
        erase_word(rl);
        break;
    case 27:
        rl->escape = ESCAPE_SEEN;
        break;
    default:
        break;
    }
}

void bpc_readline_input(struct bpc_readline *rl, unsigned char byte)
{
    bool after_cr = rl->after_cr;
    char c = (char)byte;

    rl->after_cr = byte == '\r';
    if (rl->escape != ESCAPE_NONE)
        escape_byte(rl, byte);
    else if (byte == '\r' || (byte == '\n' && !after_cr))
        enter(rl);
    else if (byte == '\n')
        return;
    else if (byte < 32 || byte == 127)
        control_byte(rl, byte);
    else
        insert(rl, &c, 1);
}
