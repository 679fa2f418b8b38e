/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core's side of the log (bp/log.h): -d and -D, and how messages for the user look (-msg,
 * program name). Set up on the main thread before others start; the writers are [any].
 */
#ifndef BPC_LOG_H
#define BPC_LOG_H

#include <bp/error.h>
#include <bp/log.h>

/* An item of -d. The table ends with name NULL. */
struct bpc_log_item {
    const char *name; /* "guest_errors" */
    uint32_t mask;    /* 0: nobody logs it yet */
    const char *help; /* or, then, what would have to be there */
};
extern const struct bpc_log_item bpc_log_items[];

/* "int,guest_errors" to a mask; "" is 0. The error lists what is accepted. */
/* Whatever is switched on: for what has switches of its own. [any] */
void bpc_log_write(const char *fmt, ...) BP_PRINTF(1, 2);
int bpc_log_parse(const char *text, uint32_t *ret_mask, struct bp_error *err);
void bpc_log_set(uint32_t mask);
/* "START+SIZE,START-SIZE,START..END": what is logged of guest code from now on. [main], before others log */
int bpc_log_filter(const char *text, struct bp_error *err);
/* Is guest code of these bytes to be logged? [any] */
bool bpc_log_wanted(uint64_t address, uint64_t length);
/* Where the log goes from now on: a file ("%d" becomes the process id), or NULL: standard error. */
int bpc_log_file(const char *path, struct bp_error *err);
/* How often guests did wrong things of this kind; NULL: all kinds together. */
uint64_t bpc_guest_error_count(const char *kind);

void bpc_program_name_set(const char *name); /* copied; a path is cut to its last part */
const char *bpc_program_name(void);
void bpc_msg_timestamp(bool on);
void bpc_msg_guest_name(const char *name); /* copied; NULL: not shown */

/* "PROGRAM: TEXT" on standard error, one line; used for errors that end the program. */
void bpc_report(const char *fmt, ...) BP_PRINTF(1, 2);

/* From here on an allocation that glib cannot make ends the program with one line and status 1. */
void bpc_end_when_out_of_memory(void);

#endif
