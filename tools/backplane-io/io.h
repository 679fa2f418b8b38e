/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of backplane-io share. Everything runs in one coroutine of the main context. */
#ifndef IO_H
#define IO_H

#include "img.h"

#define MOST_BYTES UINT64_C(2147483136) /* of one request */

/* How images are opened that do not say otherwise. */
struct manner {
    bool read_only, temporary, copy_on_read, force_share;
    const char *cache, *aio, *discard;
};

struct command {
    const char *name, *alias;
    int least, most; /* arguments; most -1: any number */
    bool closed;     /* works without an image */
    const char *args, *summary;
    const char *more;                  /* what help has on it, or NULL */
    int (*run)(int argc, char **argv); /* 0, or 1: it failed, and has said so */
};

extern const struct command commands[]; /* ends with a NULL name */
extern struct image disk;               /* node NULL: none is open */
extern bool misaligned;

/* ---- parse.c ---- */
int carry_out(const char *line, bool *ret_quit); /* one command: its status */
int usage_of(const char *command);               /* its line of help; 1 */
/* Bytes with a unit; false after a complaint. */
bool take_bytes(const char *text, uint64_t *ret);
bool take_length(const char *text, uint64_t *ret); /* of a request */
bool take_pattern(const char *text, int *ret);
int run_help(int argc, char **argv);

/* ---- print.c ---- */
const char *size_text(double v, char *buf, size_t room); /* "1.062 MiB" */
/* What a request of `total` bytes did that began at `begin` (ns). */
void report(const char *verb, uint64_t offset, uint64_t total, int64_t begin, bool machine);
void dump(const uint8_t *data, uint64_t offset, uint64_t bytes);

/* ---- files.c ---- */
int open_disk(const char *name, const char *format, bool image_opts, struct bp_value *keys,
              const struct manner *m);
void close_disk(void);
bool is_writable(void); /* or it has been said */
int run_open(int argc, char **argv), run_close(int argc, char **argv),
    run_reopen(int argc, char **argv);
int run_length(int argc, char **argv), run_file_info(int argc, char **argv),
    run_truncate(int argc, char **argv);
int run_file_map(int argc, char **argv), run_alloc(int argc, char **argv);

/* ---- requests.c ---- */
int run_read(int argc, char **argv), run_readv(int argc, char **argv),
    run_write(int argc, char **argv);
int run_writev(int argc, char **argv), run_discard(int argc, char **argv),
    run_flush(int argc, char **argv);
uint8_t *new_buffer(uint64_t bytes, int fill); /* NULL after a complaint */
void free_buffer(uint8_t *buf);
bool within(uint64_t offset, uint64_t bytes);

/* ---- later.c: requests that are not waited for ---- */
int run_aio_read(int argc, char **argv), run_aio_write(int argc, char **argv),
    run_aio_flush(int argc, char **argv);
void finish_requests(void);

#endif
