/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of backplane-img share, and other tools in part. Commands run in a coroutine of the main context. */
#ifndef IMG_H
#define IMG_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

extern const struct bp_block_interface *block;
extern const char *tool_name; /* before messages */
extern bool quiet;

/* An image that is open, with a handle for requests. */
struct image {
    struct bp_block_node *node;
    struct bp_owner *owner;
    struct bp_blk *blk; /* NULL: nothing is read or written through it */
    uint64_t length;
};

/* How images are opened: from the options that most commands have. */
struct how {
    const char *format, *cache;
    const char *aio;     /* of the file: threads, native, io_uring; NULL: as it comes */
    struct bp_value *keys;   /* others of the format; or NULL */
    const char *backing; /* name of the node to put below; NULL: as the image says */
    bool write, image_opts, force_share, repair, no_backing, no_io;
    bool temporary;    /* writes go to a file that is forgotten */
    bool copy_on_read;
    bool tables_only; /* no data is wanted: passwords are not needed */
};

int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* 1 */
int complain_error(const char *what, const struct bp_error *err);       /* 1 */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* unless -q */
bool parse_size(const char *text, uint64_t *ret);
/* "a=b,c=d"; ",," is a comma. `nested`: "a.b=c" is a member of a. */
int parse_keys(const char *text, bool nested, struct bp_value *to);
int parse_cache(const char *mode, struct bp_value *more, bool *ret_through); /* through: each write lasts */
char *human_size(uint64_t bytes); /* "1.5 GiB" */
void print_json(struct bp_value *v); /* takes it */
int make_object(const char *text); /* of --object: 0, or 1 after a complaint */
/* Takes --object out of the words and carries `fn` out in a coroutine, with modules and interface there. Its status,
 * or 1 after a complaint. */
int tool_run(int (*fn)(int argc, char **argv), int argc, char **argv);
bool wants_json(const char *text, bool *ret_json);

void add_drivers(struct bp_value *options); /* "file" or "raw" where --image-opts name none */
int copy_key(const char *key, struct bp_value *value, void *opaque); /* opaque: the dict that gets it, too */
int disk_open(const char *name, const struct how *how, struct image *ret); /* 0, or 1 after a complaint */
void disk_close(struct image *image);
int disk_io(struct image *image, enum bp_block_op op, uint64_t offset, void *buf, uint64_t bytes, uint32_t flags);
int disk_flush(struct image *image);
/* Makes one; options as parsed from -o, with what other switches said. */
int disk_make(const char *name, const char *format, struct bp_value *options);
struct bp_value *dashed_options(struct bp_value *given); /* "cluster_size" is "cluster-size"; a new dict */
bool all_zero(const uint8_t *data, size_t bytes);
int print_specific(const char *key, struct bp_value *value, void *opaque); /* opaque: int, an indent */
void print_snapshots(struct bp_value *list);
void progress(uint64_t done, uint64_t all, bool on);

int run_create(int argc, char **argv), run_info(int argc, char **argv), run_check(int argc, char **argv);
int run_convert(int argc, char **argv), run_compare(int argc, char **argv), run_map(int argc, char **argv);
int run_resize(int argc, char **argv), run_snapshot(int argc, char **argv), run_rebase(int argc, char **argv);
int run_commit(int argc, char **argv), run_measure(int argc, char **argv), run_bench(int argc, char **argv);
int run_dd(int argc, char **argv), run_bitmap(int argc, char **argv), run_amend(int argc, char **argv);

/* ---- bitmap.c: of convert ---- */
int bitmaps_check(struct image *from, bool skip_broken); /* before there is a target */
int bitmaps_copy(struct image *from, struct image *to);  /* leaves out inconsistent ones */

#define LONG_OPTIONS \
    {"help", no_argument, NULL, 'h'}, {"image-opts", no_argument, NULL, 256}, \
    {"output", required_argument, NULL, 257}, \
    {"force-share", no_argument, NULL, 'U'}

#endif
