/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-gluster`: images in Gluster volumes, by libgfapi. Its calls block, so each runs on a worker thread.
 * Nodes share the handle of a volume, and some that nobody uses are kept for who comes next: giving one back makes
 * the library wait for ten seconds. They go with the process.
 * Leaves out: RDMA, which libgfapi has dropped.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <glusterfs/api/glfs.h>

#include "gluster.h"

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define USUAL_LEVEL 4u /* errors */
#define MOST_IDLE 4u /* handles */
#define MOST_BYTES (32u << 20) /* of a request */

/* A volume that is connected. */
struct volume {
    struct volume *next;
    char *key; /* all that it was connected by */
    glfs_t *fs;
    unsigned users;
};

static pthread_mutex_t volumes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct volume *volumes; /* the newest first */

struct gluster_state {
    char *filename, *volume, *path, *logfile;
    struct bp_value *server;
    uint32_t debug;

    struct gluster_place place;
    struct volume *volume_used;
    glfs_t *fs; /* its */
    glfs_fd_t *fd;
    bool writable;
};

/* ---- calls, on worker threads ---- */

struct call {
    struct gluster_state *s;
    enum { OPEN, CLOSE, READ, WRITE, FLUSH, DISCARD, ZEROES, RESIZE, FACTS, SEEK, CREATE } what;
    const struct bp_block_request *req;
    const struct bp_block_open_flags *flags;
    uint64_t offset, bytes;
    int whence;
    struct stat facts;
    struct bp_error *err;
    int64_t ret;
};

static int failed(void)
{
    return errno ? -errno : -EIO;
}

/* The library goes over to another server by itself, but not to one of another kind. */
static int connect_from(struct gluster_state *s, unsigned first, struct bp_error *err)
{
    int ret = 0;

    errno = 0;
    s->fs = glfs_new(s->place.volume);
    if (!s->fs)
        return bp_fail(err, ENOMEM, "gluster: no handle for volume '%s'", s->place.volume);
    for (unsigned i = 0; ret == 0 && i < s->place.count; i++) {
        const struct gluster_server *server = &s->place.servers[(first + i) % s->place.count];

        ret = server->socket ? glfs_set_volfile_server(s->fs, "unix", server->socket, 0)
                             : glfs_set_volfile_server(s->fs, "tcp", server->host, (int)server->port);
    }
    if (ret == 0)
        ret = glfs_set_logging(s->fs, s->logfile ? s->logfile : "-", (int)s->debug);
    if (ret != 0)
        return bp_fail(err, errno ? errno : EINVAL, "gluster: volume '%s': %s", s->place.volume,
                       strerror(errno ? errno : EINVAL));
    if (glfs_init(s->fs) == 0)
        return 0;
    ret = errno ? errno : ENOTCONN;
    return bp_fail(err, ret, "gluster: volume '%s' of %s%s cannot be used: %s", s->place.volume,
                   s->place.servers[0].socket ? s->place.servers[0].socket : s->place.servers[0].host,
                   s->place.count > 1 ? " (and others)" : "", strerror(ret));
}

static char *key_of(const struct gluster_state *s)
{
    char *key = NULL;
    size_t size;
    FILE *f = open_memstream(&key, &size);

    if (!f)
        return NULL;
    fprintf(f, "%s\n%u\n%s", s->place.volume, s->debug, s->logfile ? s->logfile : "");
    for (unsigned i = 0; i < s->place.count; i++)
        fprintf(f, "\n%s\n%s\n%u", s->place.servers[i].host ? s->place.servers[i].host : "",
                s->place.servers[i].socket ? s->place.servers[i].socket : "", s->place.servers[i].port);
    if (fclose(f) == 0)
        return key;
    free(key);
    return NULL;
}

static struct volume *share(const char *key)
{
    struct volume *v;

    pthread_mutex_lock(&volumes_lock);
    for (v = volumes; v && strcmp(v->key, key) != 0; v = v->next)
        ;
    if (v)
        v->users++;
    pthread_mutex_unlock(&volumes_lock);
    return v;
}

static int connect_volume(struct gluster_state *s, struct bp_error *err)
{
    char *key = key_of(s);
    struct volume *v = key ? share(key) : NULL;
    int ret;

    if (v) {
        free(key);
        s->volume_used = v;
        s->fs = v->fs;
        return 0;
    }
    v = key ? calloc(1, sizeof(*v)) : NULL;
    ret = v ? connect_from(s, 0, err) : bp_fail(err, ENOMEM, "gluster: no memory");
    for (unsigned i = 1; v && ret < 0 && i < s->place.count; i++) {
        if (!s->place.servers[i].socket == !s->place.servers[i - 1].socket)
            continue; /* it was tried after that one */
        glfs_fini(s->fs);
        ret = connect_from(s, i, err);
    }
    if (ret < 0) {
        free(key);
        free(v);
        return ret;
    }
    *v = (struct volume){.key = key, .fs = s->fs, .users = 1};
    pthread_mutex_lock(&volumes_lock);
    v->next = volumes;
    volumes = v;
    pthread_mutex_unlock(&volumes_lock);
    s->volume_used = v;
    return 0;
}

/* The oldest of those that nobody uses goes when there are too many. */
static void leave_volume(struct volume *v)
{
    struct volume **oldest = NULL, *gone = NULL;
    unsigned idle = 0;

    pthread_mutex_lock(&volumes_lock);
    v->users--;
    for (struct volume **link = &volumes; *link; link = &(*link)->next) {
        if ((*link)->users)
            continue;
        idle++;
        oldest = link;
    }
    if (idle > MOST_IDLE) {
        gone = *oldest;
        *oldest = gone->next;
    }
    pthread_mutex_unlock(&volumes_lock);
    if (!gone)
        return;
    glfs_fini(gone->fs);
    free(gone->key);
    free(gone);
}

static int open_file(struct call *c)
{
    struct gluster_state *s = c->s;
    int how = c->flags->direct ? O_DIRECT : 0, ret = connect_volume(s, c->err);

    if (ret < 0)
        return ret;
    s->writable = !c->flags->read_only;
    s->fd = glfs_open(s->fs, s->place.path, how | (s->writable ? O_RDWR : O_RDONLY));
    if (!s->fd && s->writable && c->flags->auto_read_only && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        s->writable = false;
        s->fd = glfs_open(s->fs, s->place.path, how | O_RDONLY);
    }
    ret = s->fd ? 0 : failed();
    return ret < 0 ? bp_fail(c->err, -ret, "gluster: '%s' in volume '%s': %s", s->place.path, s->place.volume,
                             strerror(-ret)) : 0;
}

static void close_file(struct gluster_state *s)
{
    if (s->fd)
        glfs_close(s->fd);
    if (s->volume_used)
        leave_volume(s->volume_used);
    else if (s->fs)
        glfs_fini(s->fs);
    s->fd = NULL;
    s->fs = NULL;
    s->volume_used = NULL;
}

static int create_file(struct call *c)
{
    struct gluster_state *s = c->s;
    int ret = connect_volume(s, c->err);

    if (ret < 0)
        return ret;
    s->fd = glfs_creat(s->fs, s->place.path, O_RDWR | O_TRUNC, 0644);
    ret = s->fd && glfs_ftruncate(s->fd, (off_t)c->bytes, NULL, NULL) == 0 ? 0 : failed();
    return ret < 0 ? bp_fail(c->err, -ret, "gluster: '%s' in volume '%s': %s", s->place.path, s->place.volume,
                             strerror(-ret)) : 0;
}

/* All of a request; a read ends where the file does, and zeroes follow. */
static int move(struct call *c)
{
    const struct bp_block_request *req = c->req;
    uint64_t at = req->offset;

    for (unsigned i = 0; i < req->iov_count; i++) {
        char *buf = req->iov[i].iov_base;
        size_t left = req->iov[i].iov_len;

        while (left > 0) {
            ssize_t n = c->what == READ ? glfs_pread(c->s->fd, buf, left, (off_t)at, 0, NULL)
                                        : glfs_pwrite(c->s->fd, buf, left, (off_t)at, 0, NULL, NULL);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return failed();
            if (n == 0 && c->what == WRITE)
                return -EIO;
            if (n == 0) {
                memset(buf, 0, left);
                n = (ssize_t)left;
            }
            buf += n;
            at += (uint64_t)n;
            left -= (size_t)n;
        }
    }
    return 0;
}

static void carry_out(void *opaque)
{
    struct call *c = opaque;
    struct gluster_state *s = c->s;

    errno = 0;
    switch (c->what) {
    case OPEN: c->ret = open_file(c); break;
    case CREATE: c->ret = create_file(c); break;
    case CLOSE: close_file(s); break;
    case READ:
    case WRITE: c->ret = move(c); break;
    case FLUSH: c->ret = glfs_fsync(s->fd, NULL, NULL) == 0 ? 0 : failed(); break;
    case DISCARD: c->ret = glfs_discard(s->fd, (off_t)c->offset, c->bytes) == 0 ? 0 : failed(); break;
    case ZEROES: c->ret = glfs_zerofill(s->fd, (off_t)c->offset, (off_t)c->bytes) == 0 ? 0 : failed(); break;
    case RESIZE: c->ret = glfs_ftruncate(s->fd, (off_t)c->bytes, NULL, NULL) == 0 ? 0 : failed(); break;
    case FACTS: c->ret = glfs_fstat(s->fd, &c->facts) == 0 ? 0 : failed(); break;
    case SEEK:
        c->ret = glfs_lseek(s->fd, (off_t)c->offset, c->whence);
        c->ret = c->ret < 0 ? failed() : c->ret;
        break;
    }
}

static int perform(struct gluster_state *s, struct call *c)
{
    c->s = s;
    if (block->may_wait())
        bp_co_worker(carry_out, c);
    else
        carry_out(c);
    return c->ret < 0 ? (int)c->ret : 0;
}

/* ---- the driver ---- */

static int gluster_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct call c = {.what = READ, .req = req};

    return perform(block->state(node), &c);
}

static int gluster_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct call c = {.what = WRITE, .req = req};

    return perform(block->state(node), &c);
}

static int gluster_flush(struct bp_block_node *node)
{
    struct call c = {.what = FLUSH};
    struct gluster_state *s = block->state(node);

    return s->writable ? perform(s, &c) : 0;
}

/* Bricks on file systems that cannot do it say so in several ways. */
static int not_there(int ret)
{
    return ret == -ENOSYS || ret == -EOPNOTSUPP || ret == -EINVAL ? -ENOTSUP : ret;
}

static int gluster_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct call c = {.what = DISCARD, .offset = req->offset, .bytes = req->bytes};

    return not_there(perform(block->state(node), &c));
}

static int gluster_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct call c = {.what = req->flags & BP_BLOCK_MAY_UNMAP ? DISCARD : ZEROES, .offset = req->offset,
                     .bytes = req->bytes};

    if (c.what == ZEROES && req->flags & BP_BLOCK_NO_FALLBACK) /* bricks write them */
        return -ENOTSUP;
    return not_there(perform(block->state(node), &c));
}

static int64_t facts(struct gluster_state *s, struct stat *ret)
{
    struct call c = {.what = FACTS};
    int r = perform(s, &c);

    *ret = c.facts;
    return r;
}

static int64_t gluster_length(struct bp_block_node *node)
{
    struct stat st;
    int64_t ret = facts(block->state(node), &st);

    return ret < 0 ? ret : (int64_t)st.st_size;
}

static int64_t gluster_allocated(struct bp_block_node *node)
{
    struct stat st;
    int64_t ret = facts(block->state(node), &st);

    return ret < 0 ? ret : (int64_t)st.st_blocks * 512;
}

static int gluster_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct call c = {.what = RESIZE, .bytes = length};
    int ret = perform(block->state(node), &c);

    (void)exact;
    return ret < 0 ? bp_fail(err, -ret, "gluster: the length could not be changed: %s", strerror(-ret)) : 0;
}

/* Where holes are is a question that bricks need not answer: then all is data. */
static int gluster_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct call data = {.what = SEEK, .offset = offset, .whence = SEEK_DATA};
    struct call hole = {.what = SEEK, .offset = offset, .whence = SEEK_HOLE};
    int r = perform(block->state(node), &data);

    ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_OFFSET_VALID;
    ret->map = offset;
    ret->file = node;
    ret->bytes = bytes;
    if (r == -ENXIO || (r == 0 && (uint64_t)data.ret > offset)) {
        ret->flags = BP_BLOCK_STATUS_ZERO | BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_OFFSET_VALID;
        ret->bytes = r == 0 && (uint64_t)data.ret - offset < bytes ? (uint64_t)data.ret - offset : bytes;
        return 0;
    }
    if (r < 0 || perform(block->state(node), &hole) < 0)
        return 0;
    if ((uint64_t)hole.ret > offset && (uint64_t)hole.ret - offset < bytes)
        ret->bytes = (uint64_t)hole.ret - offset;
    return 0;
}

static void gluster_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    struct bp_block_open_flags flags = {.size = sizeof(flags)};

    block->open_flags(node, &flags);
    limits->max_transfer = MOST_BYTES;
    if (flags.direct)
        limits->request_alignment = limits->memory_alignment = 4096;
}

/* ---- where it is ---- */

static int take_place(struct gluster_state *s, struct bp_error *err)
{
    int ret;

    if (s->filename && (s->volume || s->path || s->server))
        return bp_fail(err, EINVAL, "gluster: a URI says where the image is: the keys volume, path and server are for "
                       "who gives none");
    if (!s->filename && (!s->volume || !s->path || !s->server))
        return bp_fail(err, EINVAL, "gluster: key '%s' is missing (or a URI: gluster://HOST/VOLUME/PATH)",
                       !s->volume ? "volume" : !s->path ? "path" : "server");
    if (s->debug > 9)
        return bp_fail(err, EINVAL, "key 'debug' expects 0 to 9");
    if (s->filename) {
        ret = place_of_name(s->filename, &s->place, err);
    } else {
        s->place.volume = bp_strdup(s->volume);
        s->place.path = bp_strdup(s->path);
        ret = place_of_servers(s->server, &s->place, err);
    }
    return ret < 0 ? ret : place_check(&s->place, err);
}

static void release(struct gluster_state *s)
{
    struct call c = {.what = CLOSE};

    perform(s, &c);
    place_free(&s->place);
}

static int gluster_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct gluster_state *s = block->state(node);
    struct call c = {.what = OPEN, .flags = flags, .err = err};
    int ret = take_place(s, err);
    char *name;

    if (ret == 0)
        ret = perform(s, &c);
    if (ret < 0) {
        release(s);
        return ret;
    }
    if (!flags->read_only && !s->writable)
        block->set_read_only(node);
    name = place_name(&s->place);
    block->set_filename(node, name);
    free(name);
    return 0;
}

static void gluster_close(struct bp_block_node *node)
{
    release(block->state(node));
}

static int gluster_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                          struct bp_error *err)
{
    struct gluster_state *s = block->state(node);

    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "driver 'gluster' cannot change its own keys while it is open");
    if (!flags->read_only && !s->writable)
        return bp_fail(err, EACCES, "gluster: the image was opened to be read: a new node opens it for writing");
    return 0;
}

/* {"filename": URI} or {"location": {...}}, as the keys of a node. */
static int gluster_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    struct bp_value *at = bp_value_get(options, "location");
    struct gluster_state s = {.debug = USUAL_LEVEL};
    struct call c = {.what = CREATE, .bytes = bp_value_as_uint(bp_value_get(options, "size")), .err = err};
    const char *how = bp_value_get_string(options, "preallocation");
    int ret;

    (void)file;
    if (how && strcmp(how, "off") != 0)
        return bp_fail(err, ENOTSUP, "gluster: preallocation is not built; 'off' is");
    at = at ? at : options;
    s.filename = (char *)(uintptr_t)bp_value_get_string(at, "filename");
    s.volume = (char *)(uintptr_t)bp_value_get_string(at, "volume");
    s.path = (char *)(uintptr_t)bp_value_get_string(at, "path");
    s.logfile = (char *)(uintptr_t)bp_value_get_string(at, "logfile");
    s.server = bp_value_get(at, "server");
    if (bp_value_has(at, "debug"))
        s.debug = (uint32_t)bp_value_as_uint(bp_value_get(at, "debug"));
    ret = take_place(&s, err);
    if (ret == 0)
        ret = perform(&s, &c);
    release(&s);
    return ret;
}

static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct gluster_state, filename, NULL,
            "all of it as a URI: gluster://HOST[:PORT]/VOLUME/PATH, or gluster+unix:///VOLUME/PATH?socket=PATH"),
    BP_PROP("volume", STRING, struct gluster_state, volume, NULL, "name of the volume"),
    BP_PROP("path", STRING, struct gluster_state, path, NULL, "the image in the volume"),
    {.name = "server", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL,
     .offset = offsetof(struct gluster_state, server),
     .help = "list of servers: server.0.type=tcp with server.0.host= and server.0.port=, or server.0.type=unix with "
             "server.0.socket="},
    BP_PROP("debug", UINT32, struct gluster_state, debug, "4", "how much libgfapi logs, 0 (nothing) to 9 (everything)"),
    BP_PROP("logfile", STRING, struct gluster_state, logfile, NULL, "file that it logs to; without it, standard error"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(gluster_driver, "gluster", "Images in Gluster volumes", struct gluster_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_GROWS, .open = gluster_open, .close = gluster_close,
                .read = gluster_read, .write = gluster_write, .flush = gluster_flush, .discard = gluster_discard,
                .write_zeroes = gluster_zeroes, .status = gluster_status, .length = gluster_length,
                .allocated = gluster_allocated, .resize = gluster_resize, .limits = gluster_limits,
                .reopen_prepare = gluster_reopen, .create = gluster_create);
BP_MODULE("block-gluster", "Disk images in Gluster volumes", imports, {BP_PROVIDE_OTHER, &gluster_driver});
