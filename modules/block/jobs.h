/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: what the files about them share. All [main]; what waits is marked [co]. */
#ifndef BLOCK_JOBS_H
#define BLOCK_JOBS_H

#include "commands.h"

enum job_status { JOB_CREATED, JOB_RUNNING, JOB_PAUSED, JOB_READY, JOB_STANDBY, JOB_WAITING, JOB_PENDING, JOB_ABORTING,
                  JOB_CONCLUDED, JOB_NULL };
enum job_on_error { ON_ERROR_REPORT, ON_ERROR_IGNORE, ON_ERROR_ENOSPC, ON_ERROR_STOP, ON_ERROR_AUTO };

struct job;

/* Jobs that fail or succeed together: none changes anything before all have done their work, and none has succeeded
 * before all have changed what they change. */
struct job_group {
    unsigned refs, members;
    unsigned waiting, prepared; /* how many have come that far */
    bool by_hand, finalizing;   /* by_hand: one of them waits for job-finalize, and so do all; finalizing: that came */
    bool failed;
};

struct job_class {
    const char *type; /* "mirror" */
    bool block;       /* told of in query-block-jobs and by BLOCK_JOB_* events */
    bool completes;   /* stays ready until block-job-complete */
    int (*run)(struct job *job, struct bp_error *err);     /* [co] */
    int (*prepare)(struct job *job, struct bp_error *err); /* changes the graph; may fail. [co]; or NULL */
    void (*clean)(struct job *job, bool done);             /* however it ended. [co]; or NULL */
    int (*complete)(struct job *job, struct bp_error *err); /* asked to; or NULL */
    /* The process ends in the middle of it. */
    void (*drop)(struct job *job);
};

struct job {
    struct job *next;
    char *id;
    const struct job_class *class;
    enum job_status status;
    struct bp_error err; /* code 0: none */
    uint64_t done, all;
    uint64_t speed; /* bytes a second; 0: no limit */
    int64_t slice_since; /* ns; of what was done lately */
    uint64_t slice_bytes;
    bool auto_finalize, auto_dismiss;
    bool cancelled; /* ends as soon as it can; nothing of it counts */
    bool soft;      /* ready, and to end without taking the other's place */
    bool completing, finalizing;
    bool user_paused, paused_by_error, ready, busy;
    int io_status; /* 0: ok, 1: failed, 2: no space */
    int on_source_error, on_target_error;
    unsigned refs;
    struct bp_co_queue *wake;
    struct job_group *group; /* or NULL */
    int64_t started;         /* ns */
    void *state;
    /* What nobody else may change; see job-hold.c. */
    struct bp_block_node *held[4]; /* the last one stays NULL */
    struct bp_block_child **edges;
    size_t edge_count;
};

/* ---- job.c ---- */
/* From a command's arguments: job-id (else `fallback`), speed, auto-finalize, auto-dismiss, on-error and so on. It is
 * started by job_start(), or dropped by job_abandon(). */
int job_new(const struct job_class *class, struct bp_value *args, const char *fallback, struct job **ret_job,
            struct bp_error *err);
int job_start(struct job *job, struct bp_error *err);
void job_abandon(struct job *job);
struct job *job_find(const char *id, struct bp_error *err);
/* After `bytes` of work: limits its speed, waits while it is paused. 0, or -ECANCELED. [co] */
int job_step(struct job *job, uint64_t bytes);
void job_rest(struct job *job, int64_t ns); /* waits that long, or until something is asked of it. [co] */
void job_set_ready(struct job *job);
void job_add(struct job *job, uint64_t more); /* to what it has to do */
/* A request of it failed. 0: try again, or go on; else that error. */
int job_error(struct job *job, bool reads, int error);
void job_group_join(struct job_group *group, struct job *job);
void job_group_unref(struct job_group *group);
struct job_group *job_group_new(void);
extern struct job *block_jobs;

/* ---- job-hold.c ---- */
/* Refused in words while another job has it. Until the job has ended, or job_release(). */
int job_hold_node(struct job *job, struct bp_block_node *node, struct bp_error *err);
int job_hold_edge(struct job *job, struct bp_block_child *edge, struct bp_error *err);
int job_hold_chain(struct job *job, struct bp_block_node *top, struct bp_block_node *end, struct bp_error *err);
void job_release(struct job *job);
/* 0, or -EBUSY: a job relies on the node or on an edge of it. */
int job_allows(struct bp_block_node *node, struct bp_error *err);
int job_allows_above(struct bp_block_node *node, struct bp_error *err); /* only what is above it changes */

/* ---- job-copy.c ---- */
/* A handle of a job on a node. */
int job_blk(struct job *job, struct bp_block_node *node, uint32_t need, uint32_t shared,
            struct bp_blk **ret_blk, struct bp_error *err);
void job_blk_free(struct bp_blk *blk); /* NULL is fine */
/* Waits until none of both is drained, and counts in both. [co] */
int job_enter(struct bp_blk *a, struct bp_blk *b);
void job_leave(struct bp_blk *a, struct bp_blk *b);
/* One piece, zeroes as such. *ret_reads: it was the source that failed. */
int copy_piece(struct bp_block_node *from, struct bp_block_node *to, uint64_t offset, uint64_t bytes, uint8_t *buf,
               bool may_unmap, bool *ret_reads);
int node_set_writable(struct bp_block_node *node, bool writable, struct bp_error *err);
/* An image's node by the drive's id or its own name; below filters: the first that has something below it. */
struct bp_block_node *job_node(const char *name, struct bp_error *err);
struct bp_block_node *skip_filters(struct bp_block_node *node);
int make_target(struct bp_value *args, struct bp_block_node *source, struct bp_block_node *below,
                struct bp_block_node **ret_node, struct bp_error *err);

/* ---- what starts them ---- */
int stream_new(struct bp_value *args, struct job **ret_job, struct bp_error *err);
int commit_new(struct bp_value *args, struct job **ret_job, struct bp_error *err);
int mirror_new(struct bp_value *args, bool drive, struct job **ret_job, struct bp_error *err);
int backup_new(struct bp_value *args, bool drive, struct job **ret_job, struct bp_error *err);
/* The active layer of a chain goes into an image below it. */
int mirror_commit_new(struct bp_value *args, struct bp_block_node *top, struct bp_block_node *base,
                      struct job **ret_job, struct bp_error *err);

/* ---- snapshot.c ---- */
int snapshot_take(struct bp_value *args, bool sync, struct bp_block_node **ret_overlay, struct bp_error *err);
void snapshot_undo(struct bp_block_node *overlay);

/* ---- bitmap.c ---- */
struct bitmap {
    struct bitmap *next;
    char *name; /* NULL: a job's own */
    uint64_t granularity, length;
    uint64_t *bits, words, count; /* count: bits that are set */
    bool enabled, persistent, busy;
    bool inconsistent; /* of an image whose last writer did not store it; it can only be removed */
    pthread_mutex_t lock;
};
int bitmap_new(const char *name, uint64_t granularity, uint64_t length, struct bitmap **ret_bitmap,
               struct bp_error *err);
void bitmap_free(struct bitmap *b);
void bitmap_set(struct bitmap *b, uint64_t offset, uint64_t bytes);
void bitmap_clear(struct bitmap *b, uint64_t offset, uint64_t bytes);
void bitmap_merge(struct bitmap *to, struct bitmap *from); /* granularities may differ */
/* The first dirty range at or after `from`, at most `most` bytes; false: there is none. */
bool bitmap_next(struct bitmap *b, uint64_t from, uint64_t most, uint64_t *ret_offset, uint64_t *ret_bytes);
uint64_t bitmap_bytes(struct bitmap *b); /* that are dirty */
struct bitmap *bitmap_find(struct bp_value *args, struct bp_block_node **ret_node, struct bp_error *err);
struct bitmap *bitmap_of(struct bp_block_node *node, const char *name);
void bitmaps_mark(struct bp_block_node *node, uint64_t offset, uint64_t bytes); /* [any] */
/* Those that the node's image holds: read once, and marked when writes may come. [co] */
int bitmaps_open(struct bp_block_node *node, struct bp_error *err);
void bitmaps_store(struct bp_block_node *node); /* persistent ones, when no more writes come; drained. [co] */
void bitmaps_free(struct bp_block_node *node);
struct bp_value *bitmaps_info(struct bp_block_node *node); /* NULL: it has none */
/* An action of a transaction on bitmaps: done, and how it is undone. */
struct bitmap_action;
int bitmap_do(const char *type, struct bp_value *args, struct bitmap_action **ret_action, struct bp_error *err);
void bitmap_end(struct bitmap_action *action, bool undo);

#endif
