/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * drive-mirror, blockdev-mirror, and block-commit of the active image: a bitmap says what the target lacks; what guests
 * write meanwhile is marked in it, or (write-blocking) goes to the target at once. When nothing is missing the job is
 * ready; completing it puts the target in the source's place. [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

struct mirror {
    struct bp_block_node *source, *target, *base; /* held; base: only what is above it is copied */
    struct bp_block_node *replaces;               /* held, or NULL: the source */
    struct bp_blk *source_blk, *target_blk;
    struct bp_block_child *relaxed; /* commit: the edge to the target */
    struct bitmap *dirty;
    struct watch watch;
    bool watched, commit, unmap, write_blocking, whole, nothing, was_read_only, adopts_backing;
    uint64_t buf_size;
    struct drained drained;
    bool is_drained;
    bool reads; /* the last error was the source's */
    /* Pieces that are being copied: of the job, and of guests' writes. */
    struct bp_co_mutex *lock; /* of copying: a piece is not overtaken by an older one */
};

static void after_write(void *opaque, uint64_t offset, uint64_t bytes)
{
    struct mirror *m = opaque;

    bitmap_set(m->dirty, offset, bytes);
    if (!m->write_blocking)
        return;
    bp_co_shield(true);
    bp_co_mutex_lock(m->lock);
    for (uint64_t at = offset, piece, n; bitmap_next(m->dirty, at, m->buf_size, &piece, &n) && piece < offset + bytes;
         at = piece + n) {
        uint8_t *buf = malloc(n);
        bool reads;

        if (!buf)
            break;
        bitmap_clear(m->dirty, piece, n);
        if (copy_piece(m->source, m->target, piece, n, buf, m->unmap, &reads) < 0)
            bitmap_set(m->dirty, piece, n); /* the job will meet the same error */
        free(buf);
    }
    bp_co_mutex_unlock(m->lock);
    bp_co_shield(false);
}

/* Of the image that the source shows: what stands above `base`. */
static int mark_allocated(struct job *job, struct mirror *m)
{
    struct bp_block_node *top = skip_filters(m->source);
    uint64_t at = 0, end = (uint64_t)__atomic_load_n(&top->length, __ATOMIC_ACQUIRE);
    int ret = 0;

    while (ret == 0 && at < end && !job->cancelled) {
        struct bp_block_status status;
        struct bp_block_node *holder;
        unsigned depth;

        job_enter(m->source_blk, NULL);
        ret = image_status(top, m->base, at, end - at, &holder, &depth, &status);
        job_leave(m->source_blk, NULL);
        if (ret < 0)
            break;
        if (m->whole || status.flags & (BP_BLOCK_STATUS_ALLOCATED | (m->base ? BP_BLOCK_STATUS_ZERO : 0)))
            bitmap_set(m->dirty, at, status.bytes);
        at += status.bytes;
        bp_co_sleep(BP_CLOCK_REALTIME, 0);
    }
    return ret;
}

static int copy_next(struct job *job, struct mirror *m, uint64_t from, uint64_t *ret_end)
{
    uint64_t offset, bytes;
    bool reads = true;
    uint8_t *buf;
    int ret;

    if (!bitmap_next(m->dirty, from, m->buf_size, &offset, &bytes)) {
        *ret_end = 0;
        return 0;
    }
    buf = malloc(bytes);
    if (!buf)
        return -ENOMEM;
    if (!m->is_drained)
        job_enter(m->source_blk, m->target_blk);
    bp_co_mutex_lock(m->lock);
    bitmap_clear(m->dirty, offset, bytes);
    ret = copy_piece(m->source, m->target, offset, bytes, buf, m->unmap, &reads);
    if (ret < 0)
        bitmap_set(m->dirty, offset, bytes);
    bp_co_mutex_unlock(m->lock);
    if (!m->is_drained)
        job_leave(m->source_blk, m->target_blk);
    free(buf);
    *ret_end = ret == 0 || job->on_source_error == ON_ERROR_IGNORE ? offset + bytes : offset;
    m->reads = reads;
    if (m->is_drained) { /* guests are held up: nothing is waited for */
        job->done += ret == 0 ? bytes : 0;
        return job->cancelled ? -ECANCELED : ret;
    }
    if (ret < 0) {
        ret = job_error(job, reads, ret);
        if (ret == 0 && !job->paused_by_error)
            job_rest(job, 20000000);
        bytes = 0;
    }
    return ret == 0 ? job_step(job, bytes) : ret;
}

/* Guests are held up; what is left is copied. An error that does not end the job lets them go on again. */
static int last_round(struct job *job, struct mirror *m, bool *ret_again, struct bp_error *err)
{
    uint64_t at = 0;
    int ret = drain_begin(m->source, &m->drained, err);

    *ret_again = false;
    if (ret < 0)
        return ret;
    m->is_drained = true;
    m->reads = false;
    do {
        ret = copy_next(job, m, at, &at);
    } while (ret == 0 && at != 0);
    if (ret == 0)
        ret = node_flush(m->target);
    if (ret == 0 || job->cancelled)
        return ret;
    m->is_drained = false;
    drain_end(&m->drained);
    ret = job_error(job, m->reads, ret);
    *ret_again = ret == 0;
    return ret == 0 ? job_step(job, 0) : ret;
}

/* Until nothing is missing and it is to end. */
static int follow(struct job *job, struct mirror *m)
{
    uint64_t at = 0;
    int ret = 0;

    while (ret == 0 && !job->cancelled) {
        job->all = job->done + bitmap_bytes(m->dirty);
        ret = copy_next(job, m, at, &at);
        if (ret < 0 || at != 0 || bitmap_bytes(m->dirty))
            continue;
        job_set_ready(job);
        if (job->completing || job->soft)
            break;
        ret = job_step(job, 0);
        if (ret == 0 && !job->user_paused)
            job_rest(job, 20000000);
    }
    return ret;
}

static int mirror_run(struct job *job, struct bp_error *err)
{
    struct mirror *m = job->state;
    bool again = true;
    int ret = 0;

    if (__atomic_load_n(&m->target->length, __ATOMIC_ACQUIRE) < __atomic_load_n(&m->source->length, __ATOMIC_ACQUIRE))
        ret = node_resize(m->target, (uint64_t)m->source->length, false, err);
    if (ret == 0 && !m->nothing)
        ret = mark_allocated(job, m);
    while (ret == 0 && again && !job->cancelled) {
        ret = follow(job, m);
        if (ret == 0 && !job->cancelled)
            ret = last_round(job, m, &again, err);
    }
    job->all = job->done + bitmap_bytes(m->dirty);
    return ret;
}

static int replace_edges(struct bp_block_node *from, struct bp_block_node *to, struct bp_error *err)
{
    struct bp_block_child *next;
    int ret;

    for (struct bp_block_child *p = from->parents; p; p = next) {
        next = p->next_parent;
        if (p->parent && node_is_below(p->parent, to))
            continue; /* what is within the new one */
        edge_point(p, to);
        p->marked = true;
    }
    ret = permissions_update(to, err);
    for (struct bp_block_child *p = to->parents; p; p = next) {
        next = p->next_parent;
        if (p->marked && ret < 0)
            edge_point(p, from);
        p->marked = false;
    }
    if (ret < 0)
        permissions_update(from, NULL);
    else
        permissions_update(from, NULL); /* nobody uses it any more */
    return ret;
}

/* The target gets what was below the source, when only what is above was copied. */
static int adopt_backing(struct mirror *m, struct bp_error *err)
{
    struct bp_block_node *image = skip_filters(m->source), *target = skip_filters(m->target);
    struct bp_block_node *below = image_backing(image);

    if (!m->adopts_backing || !below || node_child_role(target, BP_BLOCK_BACKING))
        return 0;
    child_new("backing", BP_BLOCK_BACKING | BP_BLOCK_OPTIONAL, target, below);
    if (target->driver->children_changed)
        target->driver->children_changed(target);
    return permissions_update(target, err);
}

static void relax(struct mirror *m, bool on)
{
    if (!m->relaxed)
        return;
    m->relaxed->relaxed = on;
    permissions_update(m->relaxed->parent, NULL);
}

static int mirror_prepare(struct job *job, struct bp_error *err)
{
    struct mirror *m = job->state;
    struct bp_block_node *from = m->replaces ? m->replaces : m->source;
    int ret;

    if (job->soft)
        return 0;
    if (m->nothing)
        return bp_fail(err, EINVAL, "with sync=none the target has only what was written since: it cannot stand in for "
                       "the source; block-job-cancel ends the job");
    job_blk_free(m->source_blk);
    job_blk_free(m->target_blk);
    m->source_blk = m->target_blk = NULL;
    ret = adopt_backing(m, err);
    return ret < 0 ? ret : replace_edges(from, m->target, err);
}

static void mirror_clean(struct job *job, bool done)
{
    struct mirror *m = job->state;
    bool pivoted = done && !job->soft;
    struct drained drained;

    if (!m || !m->source)
        return;
    if (!m->is_drained && m->watched && drain_begin(m->source, &drained, NULL) == 0) {
        m->drained = drained;
        m->is_drained = true;
    }
    if (m->watched)
        watch_remove(m->source, &m->watch);
    job_blk_free(m->source_blk);
    job_blk_free(m->target_blk);
    relax(m, false);
    if (m->is_drained)
        drain_end(&m->drained);
    if (m->was_read_only && !pivoted)
        node_set_writable(m->target, false, NULL);
    bitmap_free(m->dirty);
    bp_co_mutex_free(m->lock);
    if (m->replaces)
        node_unref(m->replaces);
    if (m->base)
        node_unref(m->base);
    node_unref(m->target);
    node_unref(m->source);
    m->source = NULL;
}

static void mirror_drop(struct job *job)
{
    struct mirror *m = job->state;

    if (m->watched)
        watch_remove(m->source, &m->watch);
    job_blk_free(m->source_blk);
    job_blk_free(m->target_blk);
}

static const struct job_class mirror_class = {
    .type = "mirror", .block = true, .completes = true, .run = mirror_run, .prepare = mirror_prepare,
    .clean = mirror_clean, .drop = mirror_drop};
static const struct job_class active_commit_class = {
    .type = "commit", .block = true, .completes = true, .run = mirror_run, .prepare = mirror_prepare,
    .clean = mirror_clean, .drop = mirror_drop};

/* Takes the references that m holds. */
static int begin(struct job *job, struct mirror *m, uint64_t granularity, struct bp_error *err)
{
    const uint32_t writes = BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE;
    struct drained drained;
    int ret;

    job->state = m;
    m->lock = bp_co_mutex_new();
    ret = job_hold_node(job, m->source, err);
    if (ret == 0)
        ret = job_hold_node(job, m->target, err);
    if (ret == 0 && m->replaces)
        ret = job_hold_node(job, m->replaces, err);
    for (struct bp_block_child *p = (m->replaces ? m->replaces : m->source)->parents; ret == 0 && p;
         p = p->next_parent)
        if (p->parent) /* it is to have the target below it */
            ret = job_hold_edge(job, p, err);
    if (ret == 0 && (m->commit || m->adopts_backing)) /* adopted: the target has what is below from there, too */
        ret = job_hold_chain(job, m->source, m->base, err);
    if (ret == 0)
        ret = bitmap_new(NULL, granularity, (uint64_t)__atomic_load_n(&m->source->length, __ATOMIC_ACQUIRE),
                         &m->dirty, err);
    if (ret < 0)
        m->relaxed = NULL; /* it is another job's, or nothing has begun */
    relax(m, true);
    if (ret < 0)
        m->was_read_only = false;
    else if (m->was_read_only)
        ret = node_set_writable(m->target, true, err);
    if (ret == 0)
        ret = job_blk(job, m->source, BP_BLOCK_PERM_READ, BP_BLOCK_PERM_ALL & ~BP_BLOCK_PERM_RESIZE,
                      &m->source_blk, err);
    if (ret == 0)
        ret = job_blk(job, m->target, BP_BLOCK_PERM_READ | writes, BP_BLOCK_PERM_ALL & ~writes, &m->target_blk, err);
    if (ret == 0)
        ret = drain_begin(m->source, &drained, err);
    if (ret < 0) {
        job_abandon(job);
        return ret;
    }
    m->watch = (struct watch){.after = after_write, .opaque = m};
    watch_add(m->source, &m->watch);
    m->watched = true;
    drain_end(&drained);
    return 0;
}

static int take_choice(struct bp_value *args, const char *key, const char *const *words, unsigned def, unsigned *ret,
                       struct bp_error *err)
{
    const char *text = bp_value_get_string(args, key);

    *ret = def;
    for (unsigned i = 0; text && words[i]; i++)
        if (!strcmp(text, words[i])) {
            *ret = i;
            return 0;
        }
    return text ? bp_fail(err, EINVAL, "member '%s' does not take '%s'", key, text) : 0;
}

static uint64_t buf_size_of(struct bp_value *args, uint64_t granularity)
{
    uint64_t size = bp_value_as_uint(bp_value_get(args, "buf-size"));

    size = size ? size : 1u << 20;
    size = size > 16u << 20 ? 16u << 20 : size;
    return size < granularity ? granularity : size;
}

static bool can_have_backing(const struct bp_block_node *node)
{
    for (const struct bp_block_child_info *c = node->driver->children; c && c->name; c++)
        if (!strcmp(c->name, "backing"))
            return true;
    return false;
}

int mirror_new(struct bp_value *args, bool drive, struct job **ret_job, struct bp_error *err)
{
    static const char *const syncs[] = {"top", "full", "none", NULL};
    static const char *const modes[] = {"background", "write-blocking", NULL};
    const char *device = bp_value_get_string(args, "device"), *target = bp_value_get_string(args, "target");
    const char *replaces = bp_value_get_string(args, "replaces");
    struct bp_block_node *source = device ? job_node(device, err) : NULL, *to = NULL, *instead = NULL;
    uint64_t granularity = bp_value_as_uint(bp_value_get(args, "granularity"));
    unsigned sync, mode;
    struct mirror *m;
    struct job *job;
    int ret;

    if (!source)
        return device ? -ENOENT : bp_fail(err, EINVAL, "member 'device' is missing");
    if (!bp_value_has(args, "sync"))
        return bp_fail(err, EINVAL, "member 'sync' is missing: full, top or none");
    ret = take_choice(args, "sync", syncs, 0, &sync, err);
    if (ret == 0)
        ret = take_choice(args, "copy-mode", modes, 0, &mode, err);
    granularity = granularity ? granularity : 65536;
    if (ret == 0 && (granularity < 512 || granularity > 64u << 20 || granularity & (granularity - 1)))
        ret = bp_fail(err, EINVAL, "member 'granularity' expects a power of two from 512 to 67108864");
    if (ret == 0 && replaces && !(instead = node_find(replaces)))
        ret = bp_fail(err, ENOENT, "member 'replaces': there is no node '%s'", replaces);
    if (ret == 0 && instead && !node_is_below(instead, source) && !node_is_below(source, instead))
        ret = bp_fail(err, EINVAL, "member 'replaces': '%s' is not of the graph of '%s'", replaces, device);
    if (ret == 0 && sync == 0 && !image_backing(skip_filters(source)))
        sync = 1; /* nothing is below: top is all */
    if (ret < 0)
        return ret;
    ret = job_new(&mirror_class, args, device, &job, err);
    if (ret < 0)
        return ret;
    if (drive) {
        ret = make_target(args, source, sync == 1 ? NULL
                          : sync == 2 ? skip_filters(source) : image_backing(skip_filters(source)), &to, err);
    } else if (!(to = target ? node_find(target) : NULL)) {
        ret = bp_fail(err, ENOENT, "member 'target': there is no node '%s'", target ? target : "");
    } else if (node_is_below(to, source) || node_is_below(source, to)) {
        ret = bp_fail(err, EINVAL, "member 'target': '%s' is of the same graph as '%s'", target, device);
    } else {
        node_ref(to);
    }
    if (ret < 0) {
        job_abandon(job);
        return ret;
    }
    /* What the target has not is read from below it: it must have, or can be given, what is below the source. */
    if (sync != 1 && !can_have_backing(skip_filters(to))) {
        ret = bp_fail(err, EINVAL, "member 'sync': %s leaves to the backing file what is below, and the format of the "
                      "target has none; use sync=full", bp_value_get_string(args, "sync"));
        node_unref(to);
        job_abandon(job);
        return ret;
    }
    m = bp_alloc(sizeof(*m));
    *m = (struct mirror){.source = node_ref(source), .target = to, .replaces = instead ? node_ref(instead) : NULL,
                         .whole = sync == 1, .nothing = sync == 2, .write_blocking = mode == 1,
                         .adopts_backing = sync != 1,
                         .unmap = !bp_value_has(args, "unmap") || bp_value_as_bool(bp_value_get(args, "unmap")),
                         .buf_size = buf_size_of(args, granularity)};
    if (!m->whole && image_backing(skip_filters(source)))
        m->base = node_ref(image_backing(skip_filters(source)));
    ret = begin(job, m, granularity, err);
    if (ret == 0)
        *ret_job = job;
    return ret;
}

int mirror_commit_new(struct bp_value *args, struct bp_block_node *top, struct bp_block_node *base,
                      struct job **ret_job, struct bp_error *err)
{
    struct bp_block_node *image = skip_filters(top);
    struct bp_block_child *edge;
    struct mirror *m;
    struct job *job;
    int ret;

    ret = job_new(&active_commit_class, args, bp_value_get_string(args, "device"), &job, err);
    if (ret < 0)
        return ret;
    for (edge = node_child_role(image, BP_BLOCK_BACKING); edge && edge->node != base;)
        edge = node_child_role(edge->node, BP_BLOCK_BACKING) ? node_child_role(edge->node, BP_BLOCK_BACKING)
                                                             : node_primary(edge->node);
    m = bp_alloc(sizeof(*m));
    *m = (struct mirror){.source = node_ref(top), .target = node_ref(base), .base = node_ref(base), .commit = true,
                         .relaxed = edge, .unmap = true, .was_read_only = base->flags.read_only,
                         .buf_size = 1u << 20};
    ret = begin(job, m, 65536, err);
    if (ret == 0)
        *ret_job = job;
    return ret;
}
