/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of backplane-monitor share. */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/value.h>

/* What the program ends with. */
enum status { STATUS_OK, STATUS_REFUSED, STATUS_USAGE, STATUS_CONNECTION, STATUS_TIMEOUT };

enum status complain(enum status status, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* status */

/* ---- connection.c: a monitor's socket ---- */

struct connection {
    int fd;
    char *text; /* what came and was not taken yet; ends with 0 */
    size_t used, room;
    size_t looked;  /* of it, for the end of a value: */
    unsigned depth; /* braces that are open there */
    bool quoted, escaped;
};

int64_t now_ms(void);
/* "PATH", "unix:PATH", "HOST:PORT", "tcp:HOST:PORT", "[V6]:PORT"; *ret_why (to free) when it fails. */
bool connection_open(struct connection *c, const char *address, char **ret_why);
void connection_close(struct connection *c);
/* All of it, a descriptor (or -1) with the first byte. False: the peer has gone. */
bool connection_send(struct connection *c, const char *text, size_t length, int fd);
/* Waits until there is more, until `deadline` (now_ms(); -1: for ever). 1: there is; 0: time is over; -1: it is closed. */
int connection_fill(struct connection *c, int64_t deadline);
/* The next JSON object that is there already: 1 and a new reference; 0: it is not whole yet; -1: this is no JSON. */
int connection_take(struct connection *c, struct bp_value **ret_value);
/* The same, and waits: as connection_fill(), or -2 for what is no JSON. */
int connection_next(struct connection *c, int64_t deadline, struct bp_value **ret_value);

/* ---- words.c: commands as people write them, by the live schema ---- */

/* The entry of a command, event or type of query-qmp-schema's list; borrowed, NULL: there is none. */
struct bp_value *schema_find(struct bp_value *schema, const char *name);
/* The members of a command's arguments; NULL: it takes none. */
struct bp_value *schema_members(struct bp_value *schema, struct bp_value *command);
struct bp_value *schema_member(struct bp_value *members, const char *name); /* borrowed, or NULL */
/* The words that a type takes ("on", ...), as a list of strings, a new reference; NULL: any. */
struct bp_value *schema_choices(struct bp_value *schema, const char *type);
/* "str", "int", "list of X", "one of a, b": for help; to free. */
char *schema_type_text(struct bp_value *schema, const char *type);
/* KEY=VALUE (KEY may have dots: members of members), or a JSON object: arguments of a command, a new reference; NULL
 * and *ret_why (to free) when they are wrong. */
struct bp_value *words_arguments(struct bp_value *schema, struct bp_value *command, char **words, unsigned count,
                                 char **ret_why);
/* A line's words; quotes, braces and brackets keep blanks together. A vector that ends with NULL, to free with
 * words_free(); NULL: a quote has no end. */
char **words_split(const char *line, unsigned *ret_count);
void words_free(char **words);

/* ---- session.c: QMP ---- */

struct session {
    struct connection c;
    struct bp_value *greeting, *schema; /* schema: NULL until it is needed */
    struct bp_value *events;            /* that came and nobody has looked at */
    int64_t patience;                   /* ms for an answer; -1: for ever */
    unsigned id;
    bool json; /* results for programs: one line of JSON */
};

enum status session_begin(struct session *s);
/* *ret_value: the answer ("return" or "error"), a new reference. */
enum status session_call(struct session *s, const char *name, struct bp_value *arguments, int fd,
                         struct bp_value **ret_value);
enum status session_schema(struct session *s);
/* A command of a line's or the command line's words, and what it answers on standard output. */
enum status session_run(struct session *s, char **words, unsigned count, int fd);
/* Until one of the events comes; it is printed. */
enum status session_wait(struct session *s, char *const *events, unsigned count, int64_t deadline);
void session_print_event(const struct session *s, struct bp_value *event);

/* ---- prompt.c: at a terminal, or line by line ---- */
enum status prompt_run(struct session *s);

/* ---- human.c: a monitor for people, whose own editing is used ---- */
enum status human_run(struct connection *c, char **words, unsigned count, int64_t patience);

#endif
