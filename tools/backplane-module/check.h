/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `backplane-module check` share. A check is a list of steps; each runs in a
 * process of its own and tells its findings over a pipe, so that a module that crashes, hangs or
 * exits is one finding among others. All but check.c runs in such a process.
 */
#ifndef CHECK_H
#define CHECK_H

#include "tool.h"

struct bp_test_host;

struct check {
    struct module_file file;
    const char *argument;   /* as the user named it */
    unsigned long seed, accesses, seconds;
};

typedef void check_fn(const struct check *check, const struct description *thing);

/* ---- findings (check.c) ---- */
void check_ok(const char *fmt, ...) BP_PRINTF(1, 2);
void check_bad(const char *fmt, ...) BP_PRINTF(1, 2);
void check_warning(const char *fmt, ...) BP_PRINTF(1, 2);
void check_skipped(const char *fmt, ...) BP_PRINTF(1, 2);
/* What is done now: named when the process does not survive it. */
void check_phase(const char *fmt, ...) BP_PRINTF(1, 2);

/* ---- without running it (check-file.c, check-fields.c) ---- */
check_fn check_file, check_symbols, check_constructors, check_fields;

/* ---- by running it (check-load.c, check-device.c) ---- */
check_fn check_load, check_device, check_other, check_object, check_functions;
/* A host with the module loaded; NULL: told already. */
struct bp_test_host *check_host(const struct check *check);

#endif
