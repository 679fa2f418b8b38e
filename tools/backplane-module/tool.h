/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the subcommands of backplane-module share. Each takes its own argv (argv[0] is its name) and
 * returns the exit status: 0; 1: the answer is no (a check failed, a file is unfit); 2: usage, or
 * something could not be read or written. [main]
 */
#ifndef TOOL_H
#define TOOL_H

#include <getopt.h>

#include <bp/module.h>
#include <bp/object.h>
#include <bp/value.h>

#include "describe.h"
#include "image.h"
#include "kinds.h"
#include "modules.h"

enum tool_status { TOOL_OK, TOOL_NO, TOOL_TROUBLE };

struct subcommand {
    const char *name, *arguments, *summary;
    const char *help; /* what --help adds below the usage line */
    int (*run)(int argc, char **argv);
};
extern const struct subcommand command_index, command_info, command_list, command_graph,
    command_check, command_new;

/* "backplane-module: TEXT" on standard error; returns TOOL_TROUBLE. */
int tool_error(const char *fmt, ...) BP_PRINTF(1, 2);
/*
 * getopt_long() with --help: returns the next option, -1 at the end, or '?' with *ret_status set
 * when the subcommand has to end (help was shown, an option is wrong).
 */
int tool_option(const struct subcommand *command, int argc, char **argv, const char *letters,
                const struct option *options, int *ret_status);
/* "backplane-module NAME: TEXT (backplane-module NAME --help tells more)"; TOOL_TROUBLE. */
int tool_usage(const struct subcommand *command, const char *fmt, ...) BP_PRINTF(2, 3);
/* A number from an option's text, 0..max; false: not one (told already). */
bool tool_number(const struct subcommand *command, const char *name, const char *text,
                 unsigned long max, unsigned long *ret_number);
void tool_print_json(struct bp_value *value); /* takes the reference */

/* True when an argument names a file, not a module. */
bool tool_is_file(const char *name_or_file);
/* The file of a module: itself, or that of an installed module. Borrowed for ever. */
int tool_find_file(const char *name_or_file, const char **ret_file, struct bp_error *err);

/* ---- file.c: one module file, read as data ---- */
struct module_file {
    char *path;
    uint64_t size;
    struct notes notes;
    struct image *image;
    struct module_table table;
    bool has_table;
    struct bp_error table_error; /* when it has none */
};
/* Reads notes, image and table. A file without a table is read all the same. */
int module_file_open(const char *path, struct module_file *ret_file, struct bp_error *err);
void module_file_close(struct module_file *file);
/* The value of a note, or "". */
const char *module_file_note(const struct module_file *file, const char *key);
/* Does a note "KEY=VALUE" (or "KEY=VALUE;...") exist? */
bool module_file_has_note(const struct module_file *file, const char *key, const char *value);
/* "provides=KIND:NAME;ATTRIBUTES;summary=TEXT" of a thing; malloc'd, NULL when there is none. */
char *module_file_attributes(const struct module_file *file, const char *kind, const char *name,
                             char **ret_summary);

/* Calls fn for each table of fields that a descriptor has: "properties", "keys", "arguments", ...
 * Tables may be NULL. */
typedef void each_fields_fn(const char *what, const struct bp_field *fields, void *opaque);
void tool_each_fields(const char *kind, const void *desc, each_fields_fn *fn, void *opaque);
/* The bp_type_info that opens a class descriptor; NULL for kinds that have none. */
const struct bp_type_info *tool_type_info(const char *kind, const void *desc);

#endif
