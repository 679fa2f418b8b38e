/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-rbd`: images in a Ceph cluster. Requests are librbd's asynchronous ones, whose ends wake the coroutine
 * that waits; what has no such form runs on worker threads.
 * Leaves out: encryption of an image's parents of its own, preallocation.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/host/secret.h>

#include "cluster.h"

BP_USE(block, struct bp_block_interface, "block", 1);
BP_USE(secret, struct bp_secret_interface, "secret", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), BP_IMPORT(secret, "secret", 1), {0}};

#define MOST_BYTES (16u << 20)   /* of a request */
#define STEP (4u << 20)          /* bytes; an object's, as most images have them */
#define MOST_STATUS (1u << 30)   /* bytes that are looked at at once */

struct rbd_state {
    char *filename, *pool, *namespace, *image, *snapshot, *conf, *user, *key_secret;
    struct bp_value *auth, *server, *encrypt;
    uint64_t timeout;
    struct rbd_place place;
    struct rbd_handle handle;
    bool read_only;
    struct bp_co_mutex *turn; /* to change the size */
    uint64_t size;            /* as we know it */
};

/* ---- requests ---- */

struct op {
    struct bp_co *co;
    bool done;
    int64_t ret;
};

/* On a thread of librbd. */
static void completed(rbd_completion_t completion, void *opaque)
{
    struct op *op = opaque;
    struct bp_co *co = op->co;

    op->ret = rbd_aio_get_return_value(completion);
    __atomic_store_n(&op->done, true, __ATOMIC_RELEASE); /* from here on it may be gone */
    bp_co_wake(co);
    bp_co_unref(co);
}

static int start(rbd_image_t image, enum bp_block_op what, const struct bp_block_request *req, rbd_completion_t c)
{
    int thick = req && req->flags & BP_BLOCK_MAY_UNMAP ? 0 : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION;

    switch (what) {
    case BP_BLOCK_READ: return rbd_aio_readv(image, req->iov, (int)req->iov_count, req->offset, c);
    case BP_BLOCK_WRITE: return rbd_aio_writev(image, req->iov, (int)req->iov_count, req->offset, c);
    case BP_BLOCK_FLUSH: return rbd_aio_flush(image, c);
    case BP_BLOCK_DISCARD: return rbd_aio_discard(image, req->offset, req->bytes, c);
    case BP_BLOCK_WRITE_ZEROES: return rbd_aio_write_zeroes(image, req->offset, (size_t)req->bytes, c, thick, 0);
    }
    return -ENOTSUP;
}

/* What librbd says when it has ended: bytes of a read, or 0; or -errno. */
static int64_t carry_out(struct bp_block_node *node, enum bp_block_op what, const struct bp_block_request *req)
{
    struct rbd_state *s = block->state(node);
    bool waits = block->may_wait();
    rbd_completion_t c;
    struct op op = {.co = NULL};
    int ret = rbd_aio_create_completion(&op, waits ? completed : NULL, &c);

    if (ret < 0)
        return ret;
    op.co = waits ? bp_co_ref(bp_co_current()) : NULL;
    ret = start(s->handle.image, what, req, c);
    if (ret < 0) {
        bp_co_unref(op.co);
    } else if (waits) {
        while (!__atomic_load_n(&op.done, __ATOMIC_ACQUIRE))
            bp_co_await();
    } else {
        rbd_aio_wait_for_complete(c);
        op.ret = rbd_aio_get_return_value(c);
    }
    rbd_aio_release(c);
    return ret < 0 ? ret : op.ret;
}

/* An image that somebody else made shorter ends before its end. */
static int rbd_node_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    int64_t got = carry_out(node, BP_BLOCK_READ, req);
    uint64_t at = 0;

    for (unsigned i = 0; got >= 0 && (uint64_t)got < req->bytes && i < req->iov_count; i++) {
        size_t length = req->iov[i].iov_len, skip = (uint64_t)got > at ? (size_t)((uint64_t)got - at) : 0;

        if (skip < length)
            memset((uint8_t *)req->iov[i].iov_base + skip, 0, length - skip);
        at += length;
    }
    return got < 0 ? (int)got : 0;
}

static int done(int64_t ret)
{
    return ret < 0 ? (int)ret : 0;
}

static int make_room(struct bp_block_node *node, uint64_t end);

static int rbd_node_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    int ret = make_room(node, req->offset + req->bytes);

    return ret < 0 ? ret : done(carry_out(node, BP_BLOCK_WRITE, req));
}

static int rbd_node_flush(struct bp_block_node *node)
{
    struct rbd_state *s = block->state(node);

    return s->read_only ? 0 : done(carry_out(node, BP_BLOCK_FLUSH, NULL));
}

static int rbd_node_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return done(carry_out(node, BP_BLOCK_DISCARD, req));
}

static int rbd_node_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    int ret;

    if (!(req->flags & BP_BLOCK_MAY_UNMAP) && req->flags & BP_BLOCK_NO_FALLBACK)
        return -ENOTSUP; /* it would write them */
    ret = make_room(node, req->offset + req->bytes);
    return ret < 0 ? ret : done(carry_out(node, BP_BLOCK_WRITE_ZEROES, req));
}

/* ---- calls that wait, on worker threads ---- */

struct call {
    struct rbd_state *s;
    enum { OPEN, CLOSE, LENGTH, RESIZE, STATUS, LIST, SNAP_CREATE, SNAP_REMOVE, SNAP_ROLLBACK, SNAP_SET, CREATE } what;
    const struct rbd_secrets *secrets;
    bool read_only, data;
    int order;
    uint64_t offset, bytes;
    const char *name;
    struct rbd_snapshot *list;
    struct bp_error *err;
    int ret;
};

static void call_it(void *opaque)
{
    struct call *c = opaque;
    struct rbd_handle *h = &c->s->handle;

    switch (c->what) {
    case OPEN:
        c->ret = handle_open(h, &c->s->place, c->secrets, c->read_only, c->err);
        if (c->ret == 0 && rbd_get_size(h->image, &c->bytes) < 0)
            c->ret = bp_fail(c->err, EIO, "rbd: the image's size cannot be read");
        break;
    case CLOSE: handle_close(h); break;
    case LENGTH: c->ret = rbd_get_size(h->image, &c->bytes); break;
    case RESIZE: c->ret = rbd_resize(h->image, c->bytes); break;
    case STATUS: c->ret = handle_status(h, c->offset, &c->bytes, &c->data); break;
    case LIST: c->ret = handle_snapshots(h, &c->list); break;
    case SNAP_CREATE: c->ret = rbd_snap_create(h->image, c->name); break;
    case SNAP_REMOVE: c->ret = rbd_snap_remove(h->image, c->name); break;
    case SNAP_ROLLBACK: c->ret = rbd_snap_rollback(h->image, c->name); break;
    case SNAP_SET: c->ret = rbd_snap_set(h->image, c->name); break;
    case CREATE: c->ret = handle_create(&c->s->place, c->secrets, c->bytes, c->order, c->err); break;
    }
}

static void *on_thread(void *opaque)
{
    call_it(opaque);
    return NULL;
}

/* Never on a coroutine's stack: Ceph needs more than it has. */
static int call(struct rbd_state *s, struct call *c)
{
    pthread_t thread;

    c->s = s;
    if (block->may_wait()) {
        bp_co_worker(call_it, c);
        return c->ret;
    }
    if (bp_thread_start(&thread, "rbd", on_thread, c) != 0)
        return c->err ? bp_fail(c->err, EAGAIN, "rbd: a thread does not start") : -EAGAIN;
    pthread_join(thread, NULL);
    return c->ret;
}

static int64_t rbd_node_length(struct bp_block_node *node)
{
    struct call c = {.what = LENGTH};
    int ret = call(block->state(node), &c);

    return ret < 0 ? ret : c.bytes > BP_BLOCK_MAX_LENGTH ? -EFBIG : (int64_t)c.bytes;
}

static int resize(struct rbd_state *s, uint64_t length, bool only_longer)
{
    struct call c = {.what = RESIZE, .bytes = length};
    bool waits = block->may_wait();
    int ret = 0;

    if (waits)
        bp_co_mutex_lock(s->turn);
    if (!only_longer || length > s->size)
        ret = call(s, &c);
    if (ret == 0 && (!only_longer || length > s->size))
        __atomic_store_n(&s->size, length, __ATOMIC_RELEASE);
    if (waits)
        bp_co_mutex_unlock(s->turn);
    return ret;
}

/* Images do not grow by being written to. What grows by and by does so in steps. */
static int make_room(struct bp_block_node *node, uint64_t end)
{
    struct rbd_state *s = block->state(node);

    return end <= __atomic_load_n(&s->size, __ATOMIC_ACQUIRE) ? 0 : resize(s, (end + STEP - 1) / STEP * STEP, true);
}

static int rbd_node_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    int ret = resize(block->state(node), length, false);

    (void)exact;
    return ret < 0 ? bp_fail(err, -ret, "rbd: the size could not be changed: %s", strerror(-ret)) : 0;
}

static int rbd_node_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct rbd_state *s = block->state(node);
    struct call c = {.what = STATUS, .offset = offset, .data = true};

    c.bytes = bytes < MOST_STATUS ? bytes : MOST_STATUS;
    /* What is not there in an encrypted image does not read as zeroes. */
    if (s->place.format == RBD_PLAIN && call(s, &c) < 0)
        c.data = true;
    ret->flags = (c.data ? BP_BLOCK_STATUS_DATA : BP_BLOCK_STATUS_ZERO) | BP_BLOCK_STATUS_ALLOCATED |
                 BP_BLOCK_STATUS_OFFSET_VALID;
    ret->map = offset;
    ret->file = node;
    ret->bytes = c.bytes;
    return 0;
}

static void rbd_node_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = MOST_BYTES;
}

/* ---- snapshots ---- */

static struct bp_value *snapshot_values(const struct rbd_snapshot *list, int count)
{
    struct bp_value *values = bp_value_list();

    for (int i = 0; i < count; i++) {
        struct bp_value *v = bp_value_dict();
        static const char *const zeroes[] = {"vm-state-size", "date-sec", "date-nsec", "vm-clock-sec", "vm-clock-nsec"};

        bp_value_set(v, "id", bp_value_string(list[i].name));
        bp_value_set(v, "name", bp_value_string(list[i].name));
        for (size_t k = 0; k < BP_COUNT(zeroes); k++) /* the cluster does not say */
            bp_value_set(v, zeroes[k], bp_value_uint(0));
        bp_value_append(values, v);
    }
    return values;
}

static int rbd_node_snapshot(struct bp_block_node *node, enum bp_block_snapshot_op op, const char *name,
                             struct bp_value **ret_list, struct bp_error *err)
{
    struct rbd_state *s = block->state(node);
    struct call c = {.what = op == BP_BLOCK_SNAPSHOT_LIST ? LIST : op == BP_BLOCK_SNAPSHOT_CREATE ? SNAP_CREATE
                             : op == BP_BLOCK_SNAPSHOT_APPLY ? SNAP_ROLLBACK
                             : op == BP_BLOCK_SNAPSHOT_DELETE ? SNAP_REMOVE : SNAP_SET, .name = name};
    int ret;

    if (op != BP_BLOCK_SNAPSHOT_LIST && op != BP_BLOCK_SNAPSHOT_SHOW && s->place.snapshot)
        return bp_fail(err, EROFS, "rbd: a snapshot is open, not the image");
    if (op == BP_BLOCK_SNAPSHOT_CREATE && (!name || !*name || strlen(name) > RBD_MAX_NAME))
        return bp_fail(err, EINVAL, "rbd: the name of a snapshot has 1 to %u bytes", RBD_MAX_NAME);
    ret = call(s, &c);
    if (ret < 0)
        return bp_fail(err, -ret, "rbd: snapshot%s%s of image '%s': %s", name ? " " : "s", name ? name : "",
                       s->place.image, strerror(-ret));
    if (op == BP_BLOCK_SNAPSHOT_LIST) {
        *ret_list = snapshot_values(c.list, ret);
        snapshots_free(c.list, ret);
    } else if (op == BP_BLOCK_SNAPSHOT_SHOW || op == BP_BLOCK_SNAPSHOT_APPLY) {
        int64_t length = rbd_node_length(node);

        if (length >= 0) {
            s->size = (uint64_t)length;
            block->length_changed(node, (uint64_t)length);
        }
    }
    return 0;
}

/* ---- opening ---- */

static char *copy(const char *text)
{
    return text ? bp_strdup(text) : NULL;
}

static int take_keys(const struct rbd_state *s, struct rbd_place *p, struct bp_error *err)
{
    if (!s->pool || !s->image)
        return bp_fail(err, EINVAL, "rbd: key '%s' is missing (or a name: rbd:POOL/IMAGE)", s->pool ? "image" : "pool");
    p->pool = bp_strdup(s->pool);
    p->namespace = copy(s->namespace);
    p->image = bp_strdup(s->image);
    p->snapshot = copy(s->snapshot);
    p->user = copy(s->user);
    p->conf = copy(s->conf);
    return 0;
}

static int take_place(const struct rbd_state *s, struct rbd_place *p, struct bp_error *err)
{
    int ret;

    if (s->filename && (s->pool || s->namespace || s->image || s->snapshot || s->user || s->conf))
        return bp_fail(err, EINVAL, "rbd: a name says which image it is: the keys pool, namespace, image, snapshot, "
                       "user and conf are for who gives none");
    ret = s->filename ? place_of_name(s->filename, p, err) : take_keys(s, p, err);
    p->key_secret = copy(s->key_secret);
    p->timeout = s->timeout;
    if (ret == 0 && s->server)
        ret = place_set_servers(s->server, p, err);
    if (ret == 0 && s->auth)
        ret = place_set_auth(s->auth, p, err);
    if (ret == 0 && s->encrypt)
        ret = place_set_encryption(s->encrypt, p, err);
    return ret == 0 ? place_check(p, err) : ret;
}

/* RFC 4648 */
static char *base64(const uint8_t *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = bp_alloc((length + 2) / 3 * 4 + 1), *to = out;

    for (size_t i = 0; i < length; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < length ? data[i + 1] : 0u) << 8 |
                        (i + 2 < length ? data[i + 2] : 0u);

        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < length ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < length ? digits[bits & 63] : '=';
    }
    *to = '\0';
    return out;
}

static void secrets_free(struct rbd_secrets *s)
{
    if (s->key)
        explicit_bzero(s->key, strlen(s->key));
    if (s->passphrase)
        explicit_bzero(s->passphrase, s->passphrase_length);
    free(s->key);
    free(s->passphrase);
}

static int take_secrets(const struct rbd_place *p, struct rbd_secrets *ret, struct bp_error *err)
{
    const uint8_t *data;
    size_t length;
    int r = 0;

    if (p->key_secret) {
        r = secret->get(p->key_secret, &data, &length, err);
        if (r == 0)
            ret->key = base64(data, length);
        else
            bp_error_prefix(err, "key 'key-secret'");
    }
    if (r == 0 && p->passphrase_secret) {
        r = secret->get(p->passphrase_secret, &data, &length, err);
        if (r < 0) {
            bp_error_prefix(err, "key 'encrypt.key-secret'");
            return r;
        }
        ret->passphrase = bp_alloc(length + 1);
        memcpy(ret->passphrase, data, length);
        ret->passphrase_length = length;
    }
    return r;
}

static void release(struct rbd_state *s)
{
    struct call c = {.what = CLOSE};

    call(s, &c);
    place_free(&s->place);
    bp_co_mutex_free(s->turn);
}

static int rbd_node_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct rbd_state *s = block->state(node);
    struct rbd_secrets secrets = {.key = NULL};
    struct call c = {.what = OPEN, .secrets = &secrets, .err = err};
    char *name;
    int ret = take_place(s, &s->place, err);

    s->turn = bp_co_mutex_new();
    s->read_only = flags->read_only || (s->place.snapshot && flags->auto_read_only);
    c.read_only = s->read_only;
    if (ret == 0 && s->place.snapshot && !s->read_only)
        ret = bp_fail(err, EROFS, "rbd: a snapshot can only be read: read-only=on opens it");
    if (ret == 0)
        ret = take_secrets(&s->place, &secrets, err);
    if (ret == 0)
        ret = call(s, &c);
    secrets_free(&secrets);
    if (ret < 0) {
        release(s);
        return ret;
    }
    s->size = c.bytes;
    if (s->read_only && !flags->read_only)
        block->set_read_only(node);
    name = place_name(&s->place);
    block->set_filename(node, name);
    free(name);
    return 0;
}

static void rbd_node_close(struct bp_block_node *node)
{
    release(block->state(node));
}

static int rbd_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                      struct bp_error *err)
{
    struct rbd_state *s = block->state(node);

    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "driver 'rbd' cannot change its own keys while it is open");
    if (!flags->read_only && s->read_only)
        return bp_fail(err, EACCES, "rbd: the image was opened to be read: a new node opens it for writing");
    return 0;
}

static int order_of(struct bp_value *options, int *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(options, "cluster-size");
    uint64_t size = bp_value_as_uint(v);

    *ret = 0;
    if (!v)
        return 0;
    if (size < 4096 || size > 32u << 20 || size & (size - 1))
        return bp_fail(err, EINVAL, "rbd: key 'cluster-size' expects a power of two from 4096 to 33554432");
    *ret = __builtin_ctzll(size);
    return 0;
}

/* {"filename": NAME} or {"location": {...}}, as the keys of a node. */
static int rbd_node_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    struct bp_value *at = bp_value_get(options, "location");
    const char *how = bp_value_get_string(options, "preallocation");
    struct rbd_secrets secrets = {.key = NULL};
    struct rbd_state s = {.timeout = 0};
    struct call c = {.what = CREATE, .secrets = &secrets, .err = err};
    int ret;

    (void)file;
    if (how && strcmp(how, "off") != 0)
        return bp_fail(err, ENOTSUP, "rbd: preallocation is not built; 'off' is");
    c.bytes = bp_value_as_uint(bp_value_get(options, "size"));
    at = at ? at : options;
    s.filename = (char *)(uintptr_t)bp_value_get_string(at, "filename");
    s.pool = (char *)(uintptr_t)bp_value_get_string(at, "pool");
    s.namespace = (char *)(uintptr_t)bp_value_get_string(at, "namespace");
    s.image = (char *)(uintptr_t)bp_value_get_string(at, "image");
    s.snapshot = (char *)(uintptr_t)bp_value_get_string(at, "snapshot");
    s.conf = (char *)(uintptr_t)bp_value_get_string(at, "conf");
    s.user = (char *)(uintptr_t)bp_value_get_string(at, "user");
    s.key_secret = (char *)(uintptr_t)bp_value_get_string(at, "key-secret");
    s.auth = bp_value_get(at, "auth-client-required");
    s.server = bp_value_get(at, "server");
    s.encrypt = bp_value_get(options, "encrypt");
    ret = order_of(options, &c.order, err);
    if (ret == 0)
        ret = take_place(&s, &s.place, err);
    if (ret == 0)
        ret = take_secrets(&s.place, &secrets, err);
    if (ret == 0)
        ret = call(&s, &c);
    secrets_free(&secrets);
    place_free(&s.place);
    return ret;
}

static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct rbd_state, filename, NULL,
            "all of it as a name: rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT], then :id=USER, :conf=FILE, :KEY=VALUE"),
    BP_PROP("pool", STRING, struct rbd_state, pool, NULL, "the pool"),
    BP_PROP("namespace", STRING, struct rbd_state, namespace, NULL, "a namespace in it"),
    BP_PROP("image", STRING, struct rbd_state, image, NULL, "the image"),
    BP_PROP("snapshot", STRING, struct rbd_state, snapshot, NULL, "a snapshot of it, to be read"),
    BP_PROP("conf", STRING, struct rbd_state, conf, NULL, "Ceph's configuration; without it, where Ceph has it"),
    BP_PROP("user", STRING, struct rbd_state, user, NULL, "user of the cluster, without 'client.'; admin"),
    BP_PROP("key-secret", STRING, struct rbd_state, key_secret, NULL,
            "id of the secret with the user's key, as bytes (a secret of format=base64)"),
    {.name = "auth-client-required", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL,
     .offset = offsetof(struct rbd_state, auth), .help = "list of what the cluster has to be asked with: cephx, none"},
    {.name = "server", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct rbd_state, server),
     .help = "list of monitors: server.0.host= and server.0.port="},
    {.name = "encrypt", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct rbd_state, encrypt),
     .help = "of an encrypted image: encrypt.format=luks|luks2,encrypt.key-secret="},
    BP_PROP("timeout", UINT64, struct rbd_state, timeout, "0", "seconds that an answer may take; 0: any time"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(rbd_driver, "rbd", "Images in Ceph clusters", struct rbd_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_GROWS,
                .open = rbd_node_open, .close = rbd_node_close, .read = rbd_node_read, .write = rbd_node_write,
                .flush = rbd_node_flush, .discard = rbd_node_discard, .write_zeroes = rbd_node_zeroes,
                .status = rbd_node_status, .length = rbd_node_length, .resize = rbd_node_resize,
                .limits = rbd_node_limits, .reopen_prepare = rbd_reopen, .create = rbd_node_create,
                .snapshot = rbd_node_snapshot);
BP_MODULE("block-rbd", "Disk images in Ceph clusters", imports, {BP_PROVIDE_OTHER, &rbd_driver});
