/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where trace points go. [main], but what writes. */
#ifndef TRACE_H
#define TRACE_H

#include <bp/trace.h>

enum trace_backend { TRACE_LOG, TRACE_SIMPLE, TRACE_FTRACE };

/* A further place; the first one takes that of the log. For SIMPLE a file is set before. */
int output_use(enum trace_backend backend, struct bp_error *err);
/* The file of SIMPLE, which is made anew; the one before is closed. Nothing changes when it fails. */
int output_set_file(const char *path, struct bp_error *err);
/* Does SIMPLE write? With a file it does until it is told otherwise. */
void output_switch_file(bool on);
bool output_file_on(void);
const char *output_file(void); /* NULL: none */
int output_flush(struct bp_error *err);
void output_close(void);

#endif
