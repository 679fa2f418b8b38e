/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block-stream: what an image reads from below comes into it, so that it needs less below, or nothing. block-commit:
 * what
 * images of a chain hold goes down into one below them (the active one is mirrored: job-mirror.c). [main]
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

#define PIECE (UINT64_C(512) << 10)

/* ---- the chain ---- */

static struct bp_block_child *backing_edge(struct bp_block_node *node)
{
    return node_child_role(node, BP_BLOCK_BACKING);
}

static struct bp_block_node *below(struct bp_block_node *node)
{
    return skip_filters(image_backing(node));
}

static bool is_named(const struct bp_block_node *node, const char *file)
{
    const char *own = node_shown_name(node), *slash = strrchr(own, '/');

    return !strcmp(own, file) || (slash && !strchr(file, '/') && !strcmp(slash + 1, file));
}

/* The image that `by_name` or `by_file` names, below `from`; neither: NULL. */
static int find_below(struct bp_block_node *from, const char *key, const char *by_name, const char *by_file,
                      struct bp_block_node **ret_node, struct bp_error *err)
{
    struct bp_block_node *n = from;

    *ret_node = NULL;
    if (by_name && by_file)
        return bp_fail(err, EINVAL, "members '%s' and '%s-node' say the same: give one", key, key);
    while ((by_name || by_file) && (n = below(n)))
        if (by_name ? !strcmp(n->name, by_name) : is_named(n, by_file))
            break;
    *ret_node = by_name || by_file ? n : NULL;
    return !by_name && !by_file ? 0
           : n ? 0 : bp_fail(err, ENOENT, "'%s' is not below '%s'", by_name ? by_name : by_file, from->name);
}

/* Which filter nodes stand between makes no difference. */
static struct bp_block_node *image_of(const char *device, struct bp_error *err)
{
    struct bp_block_node *node = device ? job_node(device, err) : NULL;

    if (!device)
        bp_fail(err, EINVAL, "member 'device' is missing");
    return skip_filters(node);
}

static int note_backing(struct bp_block_node *node, const char *said, struct bp_block_node *base, struct bp_error *err)
{
    const char *driver = base ? base->driver->type.name + sizeof("block-") - 1 : NULL;

    if (!node->driver->change_backing)
        return bp_fail(err, ENOTSUP, "images in the format '%s' have no backing files",
                       node->driver->type.name + sizeof("block-") - 1);
    return node->driver->change_backing(node, said ? said : base ? node_shown_name(base) : NULL, driver, err);
}

static void changed(struct bp_block_node *node)
{
    if (node->driver->children_changed)
        node->driver->children_changed(node);
}

/* ---- stream ---- */

struct stream {
    struct bp_block_node *top, *base; /* held; base NULL: all of it */
    struct bp_blk *blk;
    char *backing_file;
    bool was_read_only;
};

/* Is there something to bring up, and how far. */
static int wants_copy(struct stream *s, uint64_t at, uint64_t bytes, bool *ret_wants, uint64_t *ret_bytes)
{
    struct bp_block_status status;
    struct bp_block_node *holder;
    unsigned depth;
    int ret = image_status(s->top, s->base, at, bytes, &holder, &depth, &status);

    if (ret < 0)
        return ret;
    *ret_bytes = status.bytes;
    *ret_wants = holder != s->top && status.flags & (BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_DATA |
                                                     (s->base ? BP_BLOCK_STATUS_ZERO : 0));
    return 0;
}

static int stream_run(struct job *job, struct bp_error *err)
{
    struct stream *s = job->state;
    uint64_t at = 0, bytes;
    uint8_t *buf = malloc(PIECE);
    int ret = buf ? 0 : -ENOMEM, ignored = 0;
    bool wants = false;

    (void)err;
    while (ret == 0 && at < job->all) {
        bool reads = true;
        int why;

        job_enter(s->blk, NULL);
        bytes = job->all - at;
        ret = wants_copy(s, at, bytes, &wants, &bytes);
        if (ret == 0 && wants) {
            bytes = bytes < PIECE ? bytes : PIECE;
            ret = node_copy_up(s->top, at, bytes, buf, &reads);
        }
        job_leave(s->blk, NULL);
        if (ret < 0) {
            why = ret;
            ret = job_error(job, reads, ret);
            if (ret == 0 && !job->paused_by_error) { /* ignored: it stays below, and so must what it lies in */
                ignored = ignored ? ignored : why;
                bytes = bytes < PIECE ? bytes : PIECE;
                at += bytes;
                job->done += bytes;
            }
            bytes = 0;
        }
        if (ret == 0) {
            at += bytes;
            ret = job_step(job, bytes);
        }
        if (ret == 0 && !wants)
            job->slice_bytes = 0;
    }
    free(buf);
    return ret < 0 ? ret : ignored;
}

static int stream_prepare(struct job *job, struct bp_error *err)
{
    struct stream *s = job->state;
    struct bp_block_node *old = NULL;
    struct bp_block_child *edge;
    struct drained drained;
    int ret = drain_begin(s->top, &drained, err);

    if (ret < 0)
        return ret;
    ret = node_flush(s->top);
    if (ret < 0)
        bp_fail(err, -ret, "flushing failed: %s", strerror(-ret));
    if (ret == 0)
        ret = note_backing(s->top, s->backing_file, s->base, err);
    edge = backing_edge(s->top);
    if (ret == 0 && edge) { /* what is above does not drain the old one any more */
        old = edge->node ? node_ref(edge->node) : NULL;
        edge_point(edge, s->base);
        if (!s->base)
            child_free(edge);
    }
    if (ret == 0) {
        changed(s->top);
        ret = permissions_update(s->top, err);
    }
    if (old) {
        permissions_update(old, NULL);
        node_unref(old);
    }
    drain_end(&drained);
    return ret;
}

static void stream_clean(struct job *job, bool done)
{
    struct stream *s = job->state;

    (void)done;
    if (!s || !s->top)
        return;
    job_blk_free(s->blk);
    if (s->was_read_only)
        node_set_writable(s->top, false, NULL);
    free(s->backing_file);
    node_unref(s->top);
    if (s->base)
        node_unref(s->base);
    s->top = NULL;
}

static void stream_drop(struct job *job)
{
    job_blk_free(((struct stream *)job->state)->blk);
}

static const struct job_class stream_class = {.type = "stream", .block = true, .run = stream_run,
                                              .prepare = stream_prepare, .clean = stream_clean, .drop = stream_drop};

int stream_new(struct bp_value *args, struct job **ret_job, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *bottom = bp_value_get_string(args, "bottom");
    const char *said = bp_value_get_string(args, "backing-file");
    struct bp_block_node *top = image_of(device, err), *base;
    struct stream *s;
    struct job *job;
    int ret;

    if (!top)
        return -ENOENT;
    if (!below(top))
        return bp_fail(err, EINVAL, "'%s' has nothing below it that could come into it", device);
    if (!top->driver->change_backing)
        return bp_fail(err, ENOTSUP, "driver '%s' cannot do without what is below it",
                       top->driver->type.name + sizeof("block-") - 1);
    ret = find_below(top, "base", bp_value_get_string(args, "base-node"), bp_value_get_string(args, "base"), &base,
                     err);
    if (ret == 0 && bottom && base)
        ret = bp_fail(err, EINVAL, "members 'base' and 'bottom' say the same: give one");
    if (ret == 0 && bottom) {
        ret = find_below(top, "bottom", bottom, NULL, &base, err);
        base = ret == 0 ? below(base) : NULL;
    }
    if (ret == 0 && said && !base)
        ret = bp_fail(err, EINVAL, "member 'backing-file' needs a base: without one, nothing is below");
    if (ret < 0)
        return ret;
    ret = job_new(&stream_class, args, device, &job, err);
    if (ret < 0)
        return ret;
    job->state = s = bp_alloc(sizeof(*s));
    *s = (struct stream){.top = node_ref(top), .base = base ? node_ref(base) : NULL,
                         .backing_file = said ? bp_strdup(said) : NULL};
    job->all = (uint64_t)__atomic_load_n(&top->length, __ATOMIC_ACQUIRE);
    ret = job_hold_node(job, top, err);
    if (ret == 0)
        ret = job_hold_chain(job, top, base, err);
    if (ret == 0 && top->flags.read_only) {
        s->was_read_only = true;
        ret = node_set_writable(top, true, err);
    }
    if (ret == 0)
        ret = job_blk(job, top, BP_BLOCK_PERM_READ | BP_BLOCK_PERM_UNCHANGED, BP_BLOCK_PERM_ALL & ~BP_BLOCK_PERM_RESIZE,
                      &s->blk, err);
    if (ret < 0) {
        job_abandon(job);
        return ret;
    }
    *ret_job = job;
    return 0;
}

/* ---- commit ---- */

struct commit {
    struct bp_block_node *top, *base; /* held */
    struct bp_blk *top_blk, *base_blk;
    struct bp_block_child *relaxed; /* the edge to base, which lets it be written to meanwhile */
    char *backing_file;
    bool was_read_only;
};

static int commit_piece(struct commit *c, uint64_t at, uint64_t all, uint8_t *buf, uint64_t *ret_bytes, bool *ret_reads)
{
    struct bp_block_status status;
    struct bp_block_node *holder;
    unsigned depth;
    int ret = image_status(c->top, c->base, at, all - at, &holder, &depth, &status);

    *ret_reads = true;
    *ret_bytes = status.bytes;
    if (ret == 0 && status.flags & (BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_ZERO)) {
        *ret_bytes = status.bytes < PIECE ? status.bytes : PIECE;
        ret = copy_piece(c->top, c->base, at, *ret_bytes, buf, true, ret_reads);
    }
    return ret;
}

static int commit_run(struct job *job, struct bp_error *err)
{
    struct commit *c = job->state;
    uint64_t at = 0;
    uint8_t *buf = malloc(PIECE);
    int ret = buf ? 0 : -ENOMEM;

    if (ret == 0 && (uint64_t)c->base->length < job->all)
        ret = node_resize(c->base, job->all, false, err);
    while (ret == 0 && at < job->all) {
        uint64_t bytes = 0;
        bool reads = true;

        job_enter(c->top_blk, c->base_blk);
        ret = commit_piece(c, at, job->all, buf, &bytes, &reads);
        job_leave(c->top_blk, c->base_blk);
        if (ret < 0) {
            bytes = 0;
            ret = job_error(job, reads, ret);
            if (ret == 0 && !job->paused_by_error)
                ret = -EIO; /* what is left out would be lost */
        }
        if (ret == 0) {
            at += bytes;
            ret = job_step(job, bytes);
        }
    }
    if (ret == 0)
        ret = node_flush(c->base);
    free(buf);
    return ret;
}

/* In the header of an image above. */
static int note_above(struct bp_block_node *user, const char *said, struct bp_block_node *below, struct bp_error *err)
{
    bool read_only = user->flags.read_only;
    int ret = read_only ? node_set_writable(user, true, err) : 0;

    if (ret == 0)
        ret = note_backing(user, said, below, err);
    if (ret == 0) {
        ret = node_flush(user);
        if (ret < 0)
            bp_fail(err, -ret, "node '%s': what it says of its backing file cannot be flushed: %s", user->name,
                    strerror(-ret));
    }
    if (read_only && !user->flags.read_only)
        node_set_writable(user, false, NULL);
    return ret;
}

static bool is_image_above(const struct bp_block_child *p)
{
    return p->parent && p->roles & BP_BLOCK_BACKING;
}

/* Every user of `from` that is a node has `to` below it. */
static void move_users(struct bp_block_node *from, struct bp_block_node *to)
{
    struct bp_block_child *next;

    for (struct bp_block_child *p = from->parents; p; p = next) {
        next = p->next_parent;
        if (!p->parent)
            continue;
        edge_point(p, to);
        p->marked = true;
        changed(p->parent);
    }
}

static void move_back(struct bp_block_node *from, struct bp_block_node *to)
{
    struct bp_block_child *next;

    for (struct bp_block_child *p = from->parents; p; p = next) {
        next = p->next_parent;
        if (!p->marked)
            continue;
        edge_point(p, to);
        changed(p->parent);
    }
}

/* All images above have the base below them afterwards, or none has. */
static int commit_prepare(struct job *job, struct bp_error *err)
{
    struct commit *c = job->state;
    struct bp_block_child *p;
    struct drained drained;
    int ret = drain_begin(c->top, &drained, err);

    if (ret < 0)
        return ret;
    job_blk_free(c->top_blk);
    job_blk_free(c->base_blk);
    c->top_blk = c->base_blk = NULL;
    for (p = c->top->parents; ret == 0 && p; p = p->next_parent)
        if (is_image_above(p)) {
            ret = note_above(p->parent, c->backing_file, c->base, err);
            p->noted = true;
        }
    if (ret == 0) {
        move_users(c->top, c->base);
        ret = permissions_update(c->base, err);
        if (ret < 0)
            move_back(c->base, c->top);
        permissions_update(c->top, NULL);
    }
    for (unsigned i = 0; i < 2; i++)
        for (p = i ? c->base->parents : c->top->parents; p; p = p->next_parent) {
            if (ret < 0 && p->noted)
                note_above(p->parent, NULL, c->top, NULL);
            p->noted = p->marked = false;
        }
    drain_end(&drained);
    return ret;
}

static void commit_clean(struct job *job, bool done)
{
    struct commit *c = job->state;

    (void)done;
    if (!c || !c->top)
        return;
    job_blk_free(c->top_blk);
    job_blk_free(c->base_blk);
    if (c->relaxed) {
        c->relaxed->relaxed = false;
        permissions_update(c->relaxed->parent, NULL);
    }
    if (c->was_read_only)
        node_set_writable(c->base, false, NULL);
    free(c->backing_file);
    node_unref(c->top);
    node_unref(c->base);
    c->top = NULL;
}

static void commit_drop(struct job *job)
{
    struct commit *c = job->state;

    job_blk_free(c->top_blk);
    job_blk_free(c->base_blk);
}

static const struct job_class commit_class = {.type = "commit", .block = true, .run = commit_run,
                                              .prepare = commit_prepare, .clean = commit_clean, .drop = commit_drop};

/* The edge to `base` in the chain below `top`. */
static struct bp_block_child *edge_to(struct bp_block_node *top, struct bp_block_node *base)
{
    for (struct bp_block_node *n = top; n;) {
        struct bp_block_child *c = backing_edge(n) ? backing_edge(n) : node_primary(n);

        if (!c || c->node == base)
            return c;
        n = c->node;
    }
    return NULL;
}

/* The images above, too: what is below them is to become another one. */
static int hold_all(struct job *job, struct commit *c, struct bp_error *err)
{
    int ret = job_hold_node(job, c->top, err);

    if (ret == 0)
        ret = job_hold_node(job, c->base, err);
    if (ret == 0)
        ret = job_hold_chain(job, c->top, c->base, err);
    for (struct bp_block_child *p = c->top->parents; ret == 0 && p; p = p->next_parent)
        if (p->parent)
            ret = job_hold_edge(job, p, err);
    return ret;
}

static int commit_begin(struct job *job, struct commit *c, struct bp_error *err)
{
    int ret = hold_all(job, c, err);

    if (ret < 0)
        return ret;
    c->relaxed = edge_to(c->top, c->base);
    c->relaxed->relaxed = true;
    ret = permissions_update(c->relaxed->parent, err);
    if (ret == 0 && c->base->flags.read_only) {
        c->was_read_only = true;
        ret = node_set_writable(c->base, true, err);
    }
    if (ret == 0)
        ret = job_blk(job, c->top, BP_BLOCK_PERM_READ, BP_BLOCK_PERM_ALL & ~BP_BLOCK_PERM_WRITE, &c->top_blk, err);
    if (ret == 0)
        ret = job_blk(job, c->base, BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE,
                      BP_BLOCK_PERM_ALL & ~(BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE), &c->base_blk, err);
    return ret;
}

int commit_new(struct bp_value *args, struct job **ret_job, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *said = bp_value_get_string(args, "backing-file");
    const char *top_name = bp_value_get_string(args, "top-node"), *top_file = bp_value_get_string(args, "top");
    struct bp_block_node *active = image_of(device, err), *top = active, *base;
    struct commit *c;
    struct job *job;
    int ret;

    if (!active)
        return -ENOENT;
    if (top_name && top_file)
        return bp_fail(err, EINVAL, "members 'top' and 'top-node' say the same: give one");
    if ((top_name && strcmp(top_name, active->name) != 0) || (top_file && !is_named(active, top_file))) {
        ret = find_below(active, "top", top_name, top_file, &top, err);
        if (ret < 0)
            return ret;
    }
    ret = find_below(top, "base", bp_value_get_string(args, "base-node"), bp_value_get_string(args, "base"), &base,
                     err);
    if (ret < 0)
        return ret;
    for (struct bp_block_node *n = top; !base && n; n = below(n))
        base = below(n) && !below(below(n)) ? below(n) : NULL;
    if (!base)
        return bp_fail(err, EINVAL, "'%s' has nothing below it that it could be written to", top->name);
    if (top == active) {
        if (said)
            return bp_fail(err, EINVAL, "member 'backing-file' is for images below the active one");
        return mirror_commit_new(args, job_node(device, err), base, ret_job, err);
    }
    ret = job_new(&commit_class, args, device, &job, err);
    if (ret < 0)
        return ret;
    job->state = c = bp_alloc(sizeof(*c));
    *c = (struct commit){.top = node_ref(top), .base = node_ref(base), .backing_file = said ? bp_strdup(said) : NULL};
    job->all = (uint64_t)__atomic_load_n(&top->length, __ATOMIC_ACQUIRE);
    ret = commit_begin(job, c, err);
    if (ret < 0) {
        job_abandon(job);
        return ret;
    }
    *ret_job = job;
    return 0;
}
