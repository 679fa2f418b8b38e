/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handles of front ends on the roots of graphs. A request is a coroutine in the blk's context; its end is
 * told by one deferred call of the front end's owner for all that have ended, so that it comes under the
 * owner's lock and not after its detach(). The root of a drive lives longer than the device that shows it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/device.h>
#include <bp/run.h>
#include <bp/trace.h>

#include "commands.h"

struct bp_blk *block_blks;

BP_TRACE_POINT(blk_request_begin, "blk_request_begin", "request %p of %s op %u offset %llu bytes %llu");
BP_TRACE_POINT(blk_request_end, "blk_request_end", "request %p result %d");

struct bp_blk *blk_new(const char *name)
{
    struct bp_blk *blk = bp_alloc(sizeof(*blk)), **link = &block_blks;

    blk->refs = 1;
    blk->name = bp_strdup(name);
    blk->root.name = bp_strdup("root");
    blk->root.blk = blk;
    blk->root.shared = blk->root.new_shared = BP_BLOCK_PERM_ALL;
    blk->done_tail = &blk->done_list;
    blk->write_cache = blk->drive_write_cache = true;
    blk->werror = blk->drive_werror = BP_BLOCK_ON_ERROR_AUTO;
    blk->rerror = blk->drive_rerror = BP_BLOCK_ON_ERROR_AUTO;
    blk->account_invalid = blk->account_failed = true;
    blk->gate_mutex = bp_co_mutex_new();
    blk->gate = bp_co_queue_new();
    pthread_mutex_init(&blk->lock, NULL);
    while (*link)
        link = &(*link)->next;
    *link = blk;
    return blk;
}

static void point_root(struct bp_blk *blk, struct bp_block_node *node)
{
    struct bp_block_node *old = blk->root.node;

    if (old)
        node_ref(old);
    if (blk->quiesced && node)
        node_tell_drained(node, true);
    child_point(&blk->root, node);
    if (old && blk->quiesced)
        node_tell_drained(old, false);
    if (old) {
        permissions_update(old, NULL); /* nobody asks for more than before */
        node_unref(old);
    }
}

struct bp_blk *blk_ref(struct bp_blk *blk)
{
    blk->refs++;
    return blk;
}

void blk_unref(struct bp_blk *blk)
{
    if (--blk->refs > 0)
        return;
    histograms_free(blk);
    pthread_mutex_destroy(&blk->lock);
    bp_co_mutex_free(blk->gate_mutex);
    bp_co_queue_free(blk->gate);
    bp_value_unref(blk->throttle);
    free(blk->root.name);
    free(blk->name);
    free(blk->serial);
    free(blk);
}

/* From now on nobody finds it. */
void blk_free(struct bp_blk *blk)
{
    struct bp_blk **link = &block_blks;

    point_root(blk, NULL);
    while (*link != blk)
        link = &(*link)->next;
    *link = blk->next;
    blk_unref(blk);
}

struct bp_blk *blk_find(const char *name)
{
    struct bp_blk *blk = block_blks;

    while (blk && (!blk->name || strcmp(blk->name, name) != 0))
        blk = blk->next;
    return blk;
}

const char *blk_name(struct bp_blk *blk)
{
    return blk->name ? blk->name : blk->root.node ? blk->root.node->name : "";
}

const char *blk_device_path(struct bp_blk *blk)
{
    const char *id = blk->dev ? bp_device_id(blk->dev) : NULL;

    return id ? id : blk->dev ? bp_object_path(bp_device_object(blk->dev)) : "";
}

bool blk_inserted(struct bp_blk *blk)
{
    struct bp_block_node *node = __atomic_load_n(&blk->root.node, __ATOMIC_ACQUIRE);

    return medium_is_in(node);
}

bool blk_writable(struct bp_blk *blk)
{
    struct bp_block_node *node = __atomic_load_n(&blk->root.node, __ATOMIC_ACQUIRE);

    return node && !node->flags.read_only && !(blk->ops_flags & BP_BLK_READ_ONLY);
}

int64_t blk_length(struct bp_blk *blk)
{
    struct bp_block_node *node = __atomic_load_n(&blk->root.node, __ATOMIC_ACQUIRE);

    return node ? __atomic_load_n(&node->length, __ATOMIC_ACQUIRE) : 0;
}

/* ---- requests ---- */

static int check_range(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req)
{
    uint64_t length = (uint64_t)blk_length(blk);

    if (req->offset > length || req->bytes > length - req->offset)
        return -EIO;
    if (req->bytes > BP_BLOCK_MAX_REQUEST && (op == BP_BLOCK_READ || op == BP_BLOCK_WRITE))
        return -EINVAL;
    return op != BP_BLOCK_READ && !blk_writable(blk) ? -EPERM : 0;
}

static int carry_out(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *given)
{
    struct bp_block_node *node = blk->root.node;
    struct bp_block_request req;
    int ret;

    if (!blk_inserted(blk))
        return -ENOMEDIUM;
    if (op == BP_BLOCK_FLUSH)
        return node_flush(node);
    req = *given;
    ret = check_range(blk, op, &req);
    if (ret < 0)
        return ret;
    if (!blk->write_cache && (op == BP_BLOCK_WRITE || op == BP_BLOCK_WRITE_ZEROES))
        req.flags |= BP_BLOCK_FUA;
    req.account = blk;
    return node_request(node, op, &req);
}

static void account(struct bp_blk *blk, enum bp_block_op op, uint64_t bytes, int ret, int64_t since)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);
    struct block_stats *s = &blk->stats;

    pthread_mutex_lock(&blk->lock);
    if (ret < 0) {
        s->failed[op]++;
    } else {
        s->bytes[op] += bytes;
        s->operations[op]++;
        histograms_count(blk, op, (uint64_t)(now - since));
    }
    if (ret >= 0 || blk->account_failed) {
        s->ns[op] += (uint64_t)(now - since);
        s->last_access = now;
    }
    pthread_mutex_unlock(&blk->lock);
}

static void ended(struct bp_blk_request *r)
{
    struct bp_blk *blk = r->blk;

    pthread_mutex_lock(&blk->lock);
    bp_co_unref(r->co);
    r->co = NULL;
    r->ended = true;
    r->next_done = NULL;
    *blk->done_tail = r;
    blk->done_tail = &r->next_done;
    pthread_mutex_unlock(&blk->lock);
    bp_deferred_schedule(blk->tell);
}

int node_scsi(struct bp_block_node *node, struct bp_block_scsi *command)
{
    return node->driver->scsi ? node->driver->scsi(node, command) : -ENOTSUP;
}

int blk_scsi_now(struct bp_blk *blk, struct bp_block_scsi *command)
{
    return blk->root.node ? node_scsi(blk->root.node, command) : -ENOMEDIUM;
}

static void run(void *opaque)
{
    struct bp_blk_request *r = opaque;
    struct bp_blk *blk = r->blk;
    struct bp_co *co;

    if (r->scsi) {
        r->ret = r->cancelled ? -ECANCELED : blk_scsi_now(blk, r->scsi);
        ended(r);
        return;
    }
    bp_trace(blk_request_begin, (void *)r, blk->name ? blk->name : "-", (unsigned)r->op,
             (unsigned long long)r->req.offset, (unsigned long long)r->req.bytes);
    r->ret = r->cancelled ? -ECANCELED : carry_out(blk, r->op, &r->req);
    bp_trace(blk_request_end, (void *)r, r->ret);
    if (r->ret != -ECANCELED)
        account(blk, r->op, r->req.bytes, r->ret, r->since);
    if (r->ret >= 0 || r->cancelled || !blk_judge(r)) {
        ended(r);
        return;
    }
    pthread_mutex_lock(&blk->lock);
    if (r->cancelled) { /* while it was judged: nobody else ends it */
        pthread_mutex_unlock(&blk->lock);
        r->ret = -ECANCELED;
        ended(r);
        return;
    }
    co = r->co;
    r->co = NULL;
    r->held = true;
    pthread_mutex_unlock(&blk->lock);
    bp_co_unref(co);
    blk_leave(blk);
}

void blk_start(struct bp_blk_request *r)
{
    struct bp_co *co;

    if (bp_co_new(r->blk->owner, r->blk->ctx, "block-request", run, r, &co, NULL) < 0) {
        r->ret = -ENOMEM;
        ended(r);
        return;
    }
    bp_co_ref(co);
    pthread_mutex_lock(&r->blk->lock);
    r->co = co;
    pthread_mutex_unlock(&r->blk->lock);
    bp_co_enter(co);
    bp_co_unref(co);
}

static struct bp_blk_request *new_request(struct bp_blk *blk, void (*done)(void *opaque, int ret), void *opaque)
{
    struct bp_blk_request *r = bp_alloc(sizeof(*r));

    r->blk = blk;
    r->done = done;
    r->opaque = opaque;
    r->since = bp_clock_ns(BP_CLOCK_REALTIME);
    return r;
}

static struct bp_blk_request *begin(struct bp_blk_request *r)
{
    struct bp_blk *blk = r->blk;
    bool queued;

    pthread_mutex_lock(&blk->lock);
    r->next = blk->requests;
    r->link = &blk->requests;
    if (r->next)
        r->next->link = &r->next;
    blk->requests = r;
    queued = r->queued = blk->quiesced > 0;
    if (!queued)
        __atomic_fetch_add(&blk->in_flight, 1, __ATOMIC_ACQ_REL);
    pthread_mutex_unlock(&blk->lock);
    if (!queued) /* the end of the drain starts those, maybe by now */
        blk_start(r);
    return r;
}

struct bp_blk_request *blk_submit(struct bp_blk *blk, enum bp_block_op op,
                                  const struct bp_block_request *req,
                                  void (*done)(void *opaque, int ret), void *opaque)
{
    struct bp_blk_request *r = new_request(blk, done, opaque);

    r->op = op;
    if (req)
        memcpy(&r->req, req, req->size < sizeof(r->req) ? req->size : sizeof(r->req));
    return begin(r);
}

struct bp_blk_request *blk_scsi(struct bp_blk *blk, struct bp_block_scsi *command,
                                void (*done)(void *opaque, int ret), void *opaque)
{
    struct bp_blk_request *r = new_request(blk, done, opaque);

    r->scsi = command;
    return begin(r);
}

/* Under the owner's lock, in the blk's context. */
static void tell(void *opaque)
{
    struct bp_blk *blk = opaque;
    struct bp_blk_request *list, *next;

    pthread_mutex_lock(&blk->lock);
    list = blk->done_list;
    blk->done_list = NULL;
    blk->done_tail = &blk->done_list;
    for (struct bp_blk_request *r = list; r; r = r->next_done) {
        *r->link = r->next;
        if (r->next)
            r->next->link = r->link;
    }
    pthread_mutex_unlock(&blk->lock);
    for (; list; list = next) {
        next = list->next_done;
        list->done(list->opaque, list->ret);
        free(list);
        blk_leave(blk);
    }
}

struct bp_deferred *blk_new_teller(struct bp_blk *blk)
{
    return bp_deferred_new(blk->owner, blk->ctx, tell, blk);
}

/* Held and queued ones end at once, others when they notice. */
void blk_cancel(struct bp_blk_request *r)
{
    struct bp_blk *blk = r->blk;
    struct bp_co *co = NULL;
    bool waits;

    pthread_mutex_lock(&blk->lock);
    r->cancelled = true;
    waits = r->held || r->queued;
    if (waits) {
        r->held = r->queued = false;
        r->ret = -ECANCELED;
        __atomic_fetch_add(&blk->in_flight, 1, __ATOMIC_ACQ_REL);
    } else if (r->co) {
        co = bp_co_ref(r->co);
    }
    pthread_mutex_unlock(&blk->lock);
    if (waits)
        ended(r);
    if (co)
        bp_co_cancel(co);
    bp_co_unref(co);
}

int blk_submit_co(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req)
{
    int64_t since = bp_clock_ns(BP_CLOCK_REALTIME);
    int ret = 0;

    while (ret == 0 && !blk_enter(blk)) {
        if (!may_wait())
            return -EBUSY;
        bp_co_mutex_lock(blk->gate_mutex);
        ret = blk->quiesced ? bp_co_queue_wait(blk->gate, blk->gate_mutex) : 0;
        bp_co_mutex_unlock(blk->gate_mutex);
    }
    if (ret < 0)
        return ret;
    ret = carry_out(blk, op, req);
    account(blk, op, req ? req->bytes : 0, ret, since);
    blk_leave(blk);
    return ret;
}

int64_t blk_splice(struct bp_blk *blk, uint64_t offset, uint64_t bytes, int pipe)
{
    int64_t since = bp_clock_ns(BP_CLOCK_REALTIME), got;

    if (!blk_enter(blk))
        return -EAGAIN;
    got = blk_inserted(blk) ? node_splice(blk->root.node, offset, bytes, pipe) : -ENOMEDIUM;
    if (got > 0)
        account(blk, BP_BLOCK_READ, (uint64_t)got, 0, since);
    blk_leave(blk);
    return got;
}

/* With memory of its own: should it not end in time, the caller's is gone. */
struct now_request {
    struct bp_blk *blk;
    struct bp_block_node *node; /* stays until it has ended; or NULL */
    enum bp_block_op op;
    struct bp_block_request req;
    struct iovec iov;
    const struct bp_block_request *given; /* the caller's */
};

static int submit_now(void *opaque, struct bp_error *err)
{
    struct now_request *n = opaque;
    int ret = blk_submit_co(n->blk, n->op, n->op == BP_BLOCK_FLUSH ? NULL : &n->req);

    (void)err;
    if (ret == 0 && n->op == BP_BLOCK_READ && !may_wait()) /* the caller is still there */
        iov_scatter(n->given->iov, n->given->iov_count, 0, n->iov.iov_base, n->iov.iov_len);
    return ret;
}

static void drop_now(void *opaque)
{
    struct now_request *n = opaque;

    free(n->iov.iov_base);
    if (n->node)
        node_unref(n->node);
    blk_unref(n->blk);
    free(n);
}

int blk_now(struct bp_blk *blk, enum bp_block_op op, const struct bp_block_request *req)
{
    struct now_request *n = bp_alloc(sizeof(*n));
    bool data = op == BP_BLOCK_READ || op == BP_BLOCK_WRITE;
    void *base = data ? malloc(req->bytes ? (size_t)req->bytes : 1) : NULL;

    if (data && !base) {
        free(n);
        return -ENOMEM;
    }
    *n = (struct now_request){.blk = blk_ref(blk), .op = op, .given = req,
                              .node = blk->root.node ? node_ref(blk->root.node) : NULL};
    if (req)
        memcpy(&n->req, req, req->size < sizeof(n->req) ? req->size : sizeof(n->req));
    n->iov = (struct iovec){base, data ? (size_t)req->bytes : 0};
    if (op == BP_BLOCK_WRITE)
        iov_gather(req->iov, req->iov_count, 0, base, (size_t)req->bytes);
    n->req.iov = data ? &n->iov : NULL;
    n->req.iov_count = data ? 1 : 0;
    return run_now(submit_now, n, drop_now, NULL);
}

static void each_node(struct bp_block_node *node, void (*fn)(struct bp_block_node *node))
{
    if (!node)
        return;
    fn(node);
    for (struct bp_block_child *c = node->children; c; c = c->next)
        each_node(c->node, fn);
}

static void plug_node(struct bp_block_node *node)
{
    if (node->driver->plug)
        node->driver->plug(node);
}

static void unplug_node(struct bp_block_node *node)
{
    if (node->driver->unplug)
        node->driver->unplug(node);
}

void blk_plug(struct bp_blk *blk)
{
    if (blk->plugged++ == 0)
        each_node(blk->root.node, plug_node);
}

void blk_unplug(struct bp_blk *blk)
{
    if (--blk->plugged == 0)
        each_node(blk->root.node, unplug_node);
}

/* ---- opening ---- */

/* The blk that conf->drive names; a new one for a node. */
static int choose(struct bp_blk_conf *conf, const struct bp_blk_ops *ops, struct bp_blk **ret_blk,
                  struct bp_error *err)
{
    const char *name = conf->drive && *conf->drive ? conf->drive : NULL;
    struct bp_block_node *node;
    struct bp_blk *blk;

    if (!name && !(ops && ops->flags & BP_BLK_REMOVABLE))
        return bp_fail(err, EINVAL, "property 'drive' is missing: it wants the id of a -drive, or the "
                       "node-name of a -blockdev");
    blk = name ? blk_find(name) : NULL;
    node = name && !blk ? node_find(name) : NULL;
    if (name && !blk && !node)
        return bp_fail(err, ENOENT, "property 'drive': there is no drive or node '%s'", name);
    if (blk && blk->open)
        return bp_fail(err, EBUSY, "drive '%s' is in use by device '%s'", name, blk_device_path(blk));
    if (blk && blk->drive && blk->drive->interface && strcmp(blk->drive->interface, "none") != 0 &&
        !blk->drive->claimed)
        blk->drive->claimed = true;
    if (!blk) {
        blk = blk_new(NULL);
        if (node)
            point_root(blk, node);
    }
    *ret_blk = blk;
    return 0;
}

static void apply_conf(struct bp_blk *blk, const struct bp_blk_conf *conf)
{
    blk->werror = conf->werror != BP_BLOCK_ON_ERROR_AUTO ? conf->werror : blk->drive_werror;
    blk->rerror = conf->rerror != BP_BLOCK_ON_ERROR_AUTO ? conf->rerror : blk->drive_rerror;
    blk->write_cache = conf->write_cache == 1   ? true
                       : conf->write_cache == 2 ? false : blk->drive_write_cache;
    blk->share_rw = conf->share_rw;
    blk->account_invalid = conf->account_invalid != 2;
    blk->account_failed = conf->account_failed != 2;
}

static void wanted(struct bp_blk *blk, uint32_t *need, uint32_t *shared)
{
    bool read_only = blk->ops_flags & BP_BLK_READ_ONLY ||
                     (blk->ops_flags & BP_BLK_READ_ONLY_OK && blk->root.node &&
                      blk->root.node->flags.read_only);

    *need = blk->open ? BP_BLOCK_PERM_READ | (read_only ? 0 : BP_BLOCK_PERM_WRITE) : 0;
    *shared = BP_BLOCK_PERM_ALL;
    if (blk->open && !blk->share_rw)
        *shared &= ~BP_BLOCK_PERM_WRITE;
}

static int take_permissions(struct bp_blk *blk, struct bp_error *err)
{
    uint32_t need, shared;

    wanted(blk, &need, &shared);
    return permissions_set(&blk->root, need, shared, err);
}

static void let_go(struct bp_blk *blk)
{
    blk->open = false;
    blk->ops = NULL;
    blk->ops_flags = 0;
    blk->owner = NULL;
    blk->dev = NULL;
    free(blk->path);
    blk->path = NULL;
    blk->ctx = NULL;
    blk->locked = blk->tray_is_open = false;
    take_permissions(blk, NULL);
    if (!blk->name)
        blk_free(blk);
}

int blk_open(struct bp_device *dev, struct bp_owner *owner, struct bp_context *ctx,
             struct bp_blk_conf *conf, const struct bp_blk_ops *ops, void *opaque,
             struct bp_blk **ret_blk, struct bp_error *err)
{
    struct bp_blk *blk = NULL;
    int ret;

    if (ops && ops->size < offsetof(struct bp_blk_ops, media_changed))
        return bp_fail(err, EINVAL, "a block front end's callbacks have no size");
    ret = choose(conf, ops, &blk, err);
    if (ret < 0)
        return ret;
    blk->open = true;
    blk->dev = dev;
    blk->path = dev ? bp_strdup(bp_object_path(bp_device_object(dev))) : NULL;
    blk->owner = owner ? owner : dev ? bp_device_owner(dev) : NULL;
    blk->ctx = ctx;
    blk->ops = ops;
    blk->ops_flags = ops ? ops->flags : 0;
    blk->opaque = opaque;
    apply_conf(blk, conf);
    ret = take_permissions(blk, err);
    if (ret < 0) {
        let_go(blk);
        return ret;
    }
    if (dev)
        blk_watch_machine(bp_device_machine(dev));
    blk->tell = blk_new_teller(blk);
    *ret_blk = blk;
    return 0;
}

void blk_close(struct bp_blk *blk)
{
    struct bp_blk_request *next;
    unsigned counted = 0;

    if (!blk)
        return;
    bp_deferred_free(blk->tell);
    blk->tell = NULL;
    /* What ended and was not told of, and what waits for `cont`: nobody is there any more to hear. */
    for (struct bp_blk_request *r = blk->requests; r; r = next) {
        next = r->next;
        counted += !r->held && !r->queued;
        bp_co_unref(r->co);
        free(r);
    }
    blk->requests = blk->done_list = NULL;
    blk->done_tail = &blk->done_list;
    while (counted-- > 0)
        blk_leave(blk);
    let_go(blk);
}

/* ---- media ---- */

#define HAS(OPS, MEMBER) ((OPS) && (OPS)->size > offsetof(struct bp_blk_ops, MEMBER) && (OPS)->MEMBER)

void blk_remove(struct bp_blk *blk)
{
    point_root(blk, NULL);
}

int blk_insert(struct bp_blk *blk, struct bp_block_node *node, struct bp_error *err)
{
    struct bp_block_node *old = blk->root.node;
    int ret;

    if (old)
        node_ref(old);
    point_root(blk, node);
    ret = take_permissions(blk, err);
    if (ret < 0) {
        point_root(blk, old);
        take_permissions(blk, NULL);
    }
    if (old)
        node_unref(old);
    return ret;
}

void blk_resized(struct bp_block_node *node)
{
    for (struct bp_blk *blk = block_blks; blk; blk = blk->next)
        if (blk->root.node && node_is_below(node, blk->root.node) && HAS(blk->ops, resized))
            blk->ops->resized(blk->opaque);
}
