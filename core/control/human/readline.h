/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Line editing for a terminal at the far end of a byte stream (ANSI X3.64 sequences): cursor keys,
 * Ctrl-a e b f k u w l d, history, completion. Nothing here knows what a line means. [main]
 */
#ifndef BPC_READLINE_H
#define BPC_READLINE_H

#include <glib.h>

struct bpc_readline;

struct bpc_readline_ops {
    void (*output)(void *opaque, const char *text, size_t len);
    void (*line)(void *opaque, const char *line); /* Enter was pressed; the prompt is shown after it */
    GPtrArray *(*complete)(const char *prefix);   /* whole texts; freed by the caller */
};

struct bpc_readline *bpc_readline_new(const char *prompt, const struct bpc_readline_ops *ops,
                                      void *opaque);
void bpc_readline_free(struct bpc_readline *rl);
void bpc_readline_input(struct bpc_readline *rl, unsigned char byte);
void bpc_readline_show(struct bpc_readline *rl); /* prompt and the line so far */
const GPtrArray *bpc_readline_history(const struct bpc_readline *rl); /* oldest first */
void bpc_readline_reset(struct bpc_readline *rl); /* an empty line; history stays */

#endif
