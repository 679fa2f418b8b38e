/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Human monitor commands: found, their words read by the table, carried out. [main] */
#ifndef BPC_HMP_H
#define BPC_HMP_H

#include <glib.h>

#include <bp/command.h>
#include <bp/exact/cpu.h>

/* One monitor: where text goes, and the CPU that addresses refer to. */
struct bp_monitor {
    GString *out;
    unsigned cpu_index;
    const GPtrArray *history; /* lines typed before, oldest first; NULL: nobody types */
};

/* What the manual has and nothing here offers yet; ends with a NULL name. */
struct bpc_hmp_missing {
    const char *name, *missing;
};
extern const struct bpc_hmp_missing *bpc_hmp_missing; /* what the program says of itself; or NULL */

/* Carries out one line; errors are text too. Whatever the line holds, it does no harm. */
void bpc_hmp_run(struct bp_monitor *mon, const char *line);
/* complete.c: lines that this one could become, by names of commands, devices, objects and their properties: list
 * of g_malloc'd strings. */
GPtrArray *bpc_hmp_complete(const char *prefix);
/* "help" without and with an argument. */
void bpc_hmp_help(struct bp_monitor *mon, const char *name);
struct bp_cpu *bpc_hmp_cpu(struct bp_monitor *mon); /* says so and returns NULL when there is none */
void bpc_hmp_error(struct bp_monitor *mon, const struct bp_error *err);
/* Runs a QMP command's function by name with these arguments (borrowed, or NULL). Returns what it returns, or
 * NULL after an error was shown. */
struct bp_value *bpc_hmp_ask(struct bp_monitor *mon, const char *command, struct bp_value *args);
/* The same for one that returns nothing. */
void bpc_hmp_qmp(struct bp_monitor *mon, const char *command, struct bp_value *args);

/* expr.c: an expression as gdb has them: numbers, 'c', $registers, + - * / % & | ^ ~ << >> ( ).
 * *text is moved to what follows. mon may be NULL: no registers. */
int bpc_expression(struct bp_monitor *mon, const char **text, uint64_t *ret_value,
                   struct bp_error *err);

#endif
