/* SPDX-License-Identifier: MIT */
/*
 * Errors. A function that can fail returns 0 or a negative errno value, takes a `struct bp_error *`
 * as its last argument and leaves its `ret_` outputs untouched when it fails.
 */
#ifndef BP_ERROR_H
#define BP_ERROR_H

#include <stdarg.h>

#include <bp/base.h>

BP_BEGIN_DECLS

/* What QMP calls "class" in an error reply. */
enum bp_error_class {
    BP_ERROR_GENERIC,
    BP_ERROR_COMMAND_NOT_FOUND,
    BP_ERROR_DEVICE_NOT_FOUND,
    BP_ERROR_DEVICE_NOT_ACTIVE,
    BP_ERROR_KVM_MISSING_CAP,
};

/* Lives in the caller's memory; `struct bp_error err = {0};` is an empty one. No clean-up needed. */
struct bp_error {
    int code; /* 0: no error; else a positive errno value */
    enum bp_error_class kind;
    char message[1016]; /* one line, no full stop, no newline, no password of a URL; cut when longer */
};

/* Fills `err` (which may be NULL) and returns -code, for `return bp_fail(err, EINVAL, ...)`. [any] */
int bp_fail(struct bp_error *err, int code, const char *fmt, ...) BP_PRINTF(3, 4);
/* The same with a QMP error class. */
int bp_fail_class(struct bp_error *err, enum bp_error_class kind, int code, const char *fmt, ...)
    BP_PRINTF(4, 5);
int bp_vfail(struct bp_error *err, enum bp_error_class kind, int code, const char *fmt, va_list ap)
    BP_PRINTF(4, 0);
/* Puts "text: " before the message of an error that is set; no effect on an empty or NULL one. */
void bp_error_prefix(struct bp_error *err, const char *fmt, ...) BP_PRINTF(2, 3);
/* In place: of URLs in a text, what stands between the user and the '@' before the host goes. [any] */
void bp_hide_passwords(char *text);

BP_END_DECLS

#endif
