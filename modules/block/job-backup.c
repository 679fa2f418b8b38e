/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * drive-backup and blockdev-backup: the target becomes what the source was when the job began. Before a guest's write
 * overwrites a cluster that was not copied yet, it is copied. With a dirty bitmap only what was written since is.
 * [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

enum bitmap_mode { ON_SUCCESS, NEVER, ALWAYS };

struct backup {
    struct bp_block_node *source, *target; /* held */
    struct bp_blk *source_blk, *target_blk;
    struct bitmap *todo, *busy; /* clusters: to be copied; being copied */
    struct bitmap *bitmap;      /* of the user: what was dirty before; or NULL */
    struct bitmap *saved;       /* as it was when the job began */
    enum bitmap_mode bitmap_mode;
    struct watch watch;
    bool watched, only_writes; /* sync=none */
    uint64_t cluster, length;
    struct bp_co_mutex *lock; /* of todo and busy */
    struct bp_co_queue *turn; /* a cluster is not busy any more */
    int error;                /* of a copy before a guest's write; atomic */
};

static bool is_marked(struct bitmap *b, uint64_t at)
{
    uint64_t offset, bytes;

    return bitmap_next(b, at, b->granularity, &offset, &bytes) && offset == at;
}

/* 0 too when there is nothing to do. */
static int copy_cluster(struct backup *b, uint64_t at, bool *ret_reads)
{
    uint64_t bytes = b->length - at < b->cluster ? b->length - at : b->cluster;
    uint8_t *buf;
    int ret = 0;

    *ret_reads = false;
    bp_co_mutex_lock(b->lock);
    while (is_marked(b->busy, at))
        bp_co_queue_wait(b->turn, b->lock);
    if (!is_marked(b->todo, at)) {
        bp_co_mutex_unlock(b->lock);
        return 0;
    }
    bitmap_clear(b->todo, at, bytes);
    bitmap_set(b->busy, at, bytes);
    bp_co_mutex_unlock(b->lock);
    buf = malloc(b->cluster);
    ret = buf ? copy_piece(b->source, b->target, at, bytes, buf, true, ret_reads) : -ENOMEM;
    free(buf);
    bp_co_mutex_lock(b->lock);
    bitmap_clear(b->busy, at, bytes);
    if (ret < 0)
        bitmap_set(b->todo, at, bytes);
    bp_co_queue_wake_all(b->turn);
    bp_co_mutex_unlock(b->lock);
    return ret;
}

/* The guest's write goes on in any case: a backup that cannot follow fails. */
static void before_write(void *opaque, uint64_t offset, uint64_t bytes)
{
    struct backup *b = opaque;
    uint64_t end = offset + bytes < b->length ? offset + bytes : b->length;

    bp_co_shield(true); /* a device that aborts its request does not abort the backup */
    for (uint64_t at = offset / b->cluster * b->cluster; at < end; at += b->cluster) {
        bool reads;
        int ret = __atomic_load_n(&b->error, __ATOMIC_ACQUIRE) ? 0 : copy_cluster(b, at, &reads);

        if (ret < 0)
            __atomic_store_n(&b->error, ret, __ATOMIC_RELEASE);
    }
    bp_co_shield(false);
}

static int backup_run(struct job *job, struct bp_error *err)
{
    struct backup *b = job->state;
    uint64_t at = 0, bytes;
    int ret = 0;

    while (ret == 0 && !job->cancelled) {
        bool reads = false;

        ret = __atomic_load_n(&b->error, __ATOMIC_ACQUIRE);
        if (ret < 0)
            return bp_fail(err, -ret, "what a guest was about to overwrite could not be copied: %s", strerror(-ret));
        if (b->only_writes) {
            ret = job_step(job, 0);
            job_rest(job, 20000000);
            continue;
        }
        if (!bitmap_next(b->todo, at, b->cluster, &at, &bytes)) {
            if (at == 0 || !bitmap_next(b->todo, 0, b->cluster, &at, &bytes))
                break;
        }
        job_enter(b->source_blk, b->target_blk);
        ret = copy_cluster(b, at, &reads);
        job_leave(b->source_blk, b->target_blk);
        if (ret < 0) {
            ret = job_error(job, reads, ret);
            if (ret == 0 && !job->paused_by_error)
                job_rest(job, 20000000);
        }
        if (ret == 0)
            ret = job_step(job, job->all - bitmap_bytes(b->todo) > job->done
                                    ? job->all - bitmap_bytes(b->todo) - job->done : 0);
        at += b->cluster;
    }
    bytes = bitmap_bytes(b->busy);
    while (ret == 0 && bytes) { /* of guests' writes */
        job_rest(job, 1000000);
        bytes = bitmap_bytes(b->busy);
    }
    ret = ret == 0 ? __atomic_load_n(&b->error, __ATOMIC_ACQUIRE) : ret;
    if (ret == 0 && !job->cancelled)
        ret = node_flush(b->target);
    if (ret == 0 && !job->cancelled)
        job->done = job->all;
    return ret;
}

static void end_bitmap(struct backup *b, bool done)
{
    if (!b->bitmap)
        return;
    b->bitmap->busy = false;
    if (b->bitmap_mode == NEVER || (b->bitmap_mode == ON_SUCCESS && !done))
        bitmap_merge(b->bitmap, b->saved);
    else if (!done) /* what was not copied stays dirty */
        bitmap_merge(b->bitmap, b->todo);
    bitmap_free(b->saved);
    b->bitmap = NULL;
}

static void backup_clean(struct job *job, bool done)
{
    struct backup *b = job->state;
    struct drained drained;

    if (!b || !b->source)
        return;
    if (b->watched && drain_begin(b->source, &drained, NULL) == 0) {
        watch_remove(b->source, &b->watch);
        drain_end(&drained);
    }
    end_bitmap(b, done);
    job_blk_free(b->source_blk);
    job_blk_free(b->target_blk);
    bitmap_free(b->todo);
    bitmap_free(b->busy);
    bp_co_mutex_free(b->lock);
    bp_co_queue_free(b->turn);
    node_unref(b->target);
    node_unref(b->source);
    b->source = NULL;
}

static void backup_drop(struct job *job)
{
    struct backup *b = job->state;

    if (b->watched)
        watch_remove(b->source, &b->watch);
    job_blk_free(b->source_blk);
    job_blk_free(b->target_blk);
}

static const struct job_class backup_class = {.type = "backup", .block = true, .run = backup_run, .clean = backup_clean,
                                              .drop = backup_drop};

/* What has to be copied. */
static int fill(struct backup *b, const char *sync, struct bp_error *err)
{
    struct bp_block_node *top = skip_filters(b->source), *base = image_backing(top);
    int ret = 0;

    if (b->bitmap) {
        ret = bitmap_new(NULL, b->bitmap->granularity, b->bitmap->length, &b->saved, err);
        if (ret < 0)
            return ret;
        bitmap_merge(b->saved, b->bitmap);
        bitmap_merge(b->todo, b->saved);
        if (b->todo->length > b->length)
            b->todo->length = b->length;
        bitmap_clear(b->bitmap, 0, b->bitmap->length);
        b->bitmap->busy = true;
        return 0;
    }
    if (strcmp(sync, "top") != 0) {
        bitmap_set(b->todo, 0, b->length);
        return 0;
    }
    for (uint64_t at = 0; ret == 0 && at < b->length;) {
        struct bp_block_status status;
        struct bp_block_node *holder;
        unsigned depth;

        ret = image_status(top, base, at, b->length - at, &holder, &depth, &status);
        if (ret == 0 && status.flags & BP_BLOCK_STATUS_ALLOCATED)
            bitmap_set(b->todo, at, status.bytes);
        if (ret == 0)
            at += status.bytes;
    }
    return ret < 0 ? bp_fail(err, -ret, "what is in the image cannot be told: %s", strerror(-ret)) : 0;
}

static int take_bitmap(struct bp_value *args, struct backup *b, const char *sync, struct bp_error *err)
{
    static const char *const modes[] = {"on-success", "never", "always"};
    const char *name = bp_value_get_string(args, "bitmap"), *mode = bp_value_get_string(args, "bitmap-mode");
    bool incremental = !strcmp(sync, "incremental");

    if (!name)
        return incremental || !strcmp(sync, "bitmap") ? bp_fail(err, EINVAL, "sync=%s needs a bitmap", sync)
               : mode ? bp_fail(err, EINVAL, "member 'bitmap-mode' needs a bitmap") : 0;
    if (strcmp(sync, "bitmap") != 0 && !incremental)
        return bp_fail(err, ENOTSUP, "a bitmap goes with sync=incremental or sync=bitmap here");
    if (!incremental && !mode)
        return bp_fail(err, EINVAL, "sync=bitmap needs a bitmap-mode: on-success, never or always");
    if (incremental && mode && strcmp(mode, "on-success") != 0)
        return bp_fail(err, EINVAL, "sync=incremental is bitmap-mode=on-success");
    for (int i = 0; mode && i < 3; i++)
        if (!strcmp(mode, modes[i]))
            b->bitmap_mode = (enum bitmap_mode)i;
    b->bitmap = bitmap_of(b->source, name);
    if (!b->bitmap)
        b->bitmap = bitmap_of(skip_filters(b->source), name);
    if (b->bitmap && b->bitmap->inconsistent) {
        b->bitmap = NULL;
        return bp_fail(err, EINVAL, "bitmap '%s' is inconsistent: it can only be removed", name);
    }
    if (!b->bitmap)
        return bp_fail(err, ENOENT, "node '%s' has no bitmap '%s'", b->source->name, name);
    if (b->bitmap->busy) {
        b->bitmap = NULL;
        return bp_fail(err, EBUSY, "bitmap '%s' is in use by a job", name);
    }
    return 0;
}

static uint64_t cluster_of(const struct backup *b)
{
    uint64_t a = b->target->limits.optimal_transfer, least = 65536;

    return a > least && a <= 4u << 20 && !(a & (a - 1)) ? a : least;
}

/* The target takes whole clusters, and compresses them. */
static int compress_target(struct backup *b, struct bp_error *err)
{
    struct bp_value *options = bp_value_dict();
    struct bp_block_node *above;
    int ret;

    bp_value_set(options, "driver", bp_value_string("compress"));
    bp_value_set(options, "file", bp_value_string(b->target->name));
    ret = node_new(options, NULL, 0, &above, err);
    bp_value_unref(options);
    if (ret < 0) {
        bp_error_prefix(err, "member 'compress'");
        return ret;
    }
    node_unref(b->target);
    b->target = above;
    return 0;
}

static int begin(struct job *job, struct backup *b, const char *sync, struct bp_error *err)
{
    const uint32_t writes = BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE;
    struct bitmap *bitmap = NULL;
    struct drained drained;
    int ret;

    job->state = b;
    b->lock = bp_co_mutex_new();
    b->turn = bp_co_queue_new();
    b->length = (uint64_t)__atomic_load_n(&b->source->length, __ATOMIC_ACQUIRE);
    ret = bitmap_new(NULL, b->cluster, b->length, &b->todo, err);
    if (ret == 0)
        ret = bitmap_new(NULL, b->cluster, b->length, &b->busy, err);
    if (ret == 0 && (uint64_t)__atomic_load_n(&b->target->length, __ATOMIC_ACQUIRE) != b->length)
        ret = bp_fail(err, EINVAL, "source and target have to be equally long: %llu and %llu bytes",
                      (unsigned long long)b->length, (unsigned long long)b->target->length);
    if (ret == 0)
        ret = job_blk(job, b->source, BP_BLOCK_PERM_READ, BP_BLOCK_PERM_ALL & ~BP_BLOCK_PERM_RESIZE,
                      &b->source_blk, err);
    if (ret == 0)
        ret = job_blk(job, b->target, BP_BLOCK_PERM_READ | writes, BP_BLOCK_PERM_ALL & ~writes, &b->target_blk, err);
    bitmap = b->bitmap;
    b->bitmap = NULL; /* untouched when the rest fails */
    if (ret == 0)
        ret = drain_begin(b->source, &drained, err);
    if (ret < 0)
        return ret;
    b->bitmap = bitmap;
    ret = fill(b, sync, err);
    if (ret == 0) {
        b->watch = (struct watch){.before = before_write, .opaque = b};
        watch_add(b->source, &b->watch);
        b->watched = true;
        job->all = b->only_writes ? 0 : bitmap_bytes(b->todo) < b->length ? bitmap_bytes(b->todo) : b->length;
    }
    drain_end(&drained);
    return ret;
}

int backup_new(struct bp_value *args, bool drive, struct job **ret_job, struct bp_error *err)
{
    static const char *const syncs[] = {"full", "top", "none", "incremental", "bitmap"};
    const char *device = bp_value_get_string(args, "device"), *sync = bp_value_get_string(args, "sync");
    const char *target = bp_value_get_string(args, "target");
    struct bp_block_node *source = device ? job_node(device, err) : NULL;
    bool known = false;
    struct backup *b;
    struct job *job;
    int ret;

    if (!source)
        return device ? -ENOENT : bp_fail(err, EINVAL, "member 'device' is missing");
    for (unsigned i = 0; sync && i < BP_COUNT(syncs); i++)
        known |= !strcmp(sync, syncs[i]);
    if (!known)
        return bp_fail(err, EINVAL, "member 'sync' is full, top, none, incremental or bitmap");
    if (!strcmp(sync, "top") && !image_backing(skip_filters(source)))
        sync = "full";
    ret = job_new(&backup_class, args, device, &job, err);
    if (ret < 0)
        return ret;
    b = bp_alloc(sizeof(*b));
    b->source = source;
    b->only_writes = !strcmp(sync, "none");
    ret = take_bitmap(args, b, sync, err);
    if (ret == 0 && drive)
        ret = make_target(args, source, b->only_writes ? skip_filters(source)
                          : !strcmp(sync, "top") ? image_backing(skip_filters(source)) : NULL, &b->target, err);
    else if (ret == 0 && !(b->target = target ? node_find(target) : NULL))
        ret = bp_fail(err, ENOENT, "member 'target': there is no node '%s'", target ? target : "");
    else if (ret == 0 && (node_is_below(b->target, source) || node_is_below(source, b->target)))
        ret = bp_fail(err, EINVAL, "member 'target': '%s' is of the same graph as '%s'", target, device);
    else if (ret == 0)
        node_ref(b->target);
    if (ret < 0) {
        free(b);
        job_abandon(job);
        return ret;
    }
    node_ref(source);
    b->cluster = cluster_of(b);
    ret = bp_value_as_bool(bp_value_get(args, "compress")) ? compress_target(b, err) : 0;
    if (ret < 0) {
        node_unref(source);
        node_unref(b->target);
        free(b);
        job_abandon(job);
        return ret;
    }
    ret = begin(job, b, sync, err);
    if (ret < 0) {
        job_abandon(job);
        return ret;
    }
    *ret_job = job;
    return 0;
}
