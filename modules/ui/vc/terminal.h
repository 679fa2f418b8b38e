/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal of a text console: what its files share. */
#ifndef UI_VC_TERMINAL_H
#define UI_VC_TERMINAL_H

#include "vc.h"

/* ---- actions.c ---- */
void vc_place(struct vc_terminal *t, int64_t row, int64_t column); /* inside of the margins, in origin mode */
void vc_move_rows(struct vc_terminal *t, int64_t by);
void vc_line_feed(struct vc_terminal *t);
void vc_reverse_line_feed(struct vc_terminal *t);
void vc_tabulate(struct vc_terminal *t, uint32_t n);
void vc_tabulate_back(struct vc_terminal *t, uint32_t n);
void vc_print(struct vc_terminal *t, uint32_t character);
void vc_save(struct vc_terminal *t);
void vc_restore(struct vc_terminal *t);
void vc_set_modes(struct vc_terminal *t, bool on); /* those of the sequence's parameters */
void vc_reset(struct vc_terminal *t);

/* ---- sequences.c ---- */
void vc_do_sequence(struct vc_terminal *t, uint8_t c); /* that ends with c */
void vc_do_escape(struct vc_terminal *t, uint8_t c);   /* c after ESC */
void vc_fill_with_e(struct vc_terminal *t); /* DECALN */

#endif
