/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-file`: drivers `file` (a file of the host, or a block device) and `host_device` (a block device
 * by that name). Requests run on worker threads, or through a block-aio engine that aio= names.
 * open(2), preadv2(2), fallocate(2), lseek(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/file.h>
#include <bp/log.h>

#include "file.h"

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

/* ---- requests ---- */

enum what { READ, WRITE, FLUSH, PUNCH, ZERO, DISCARD_DEVICE, ZERO_DEVICE };

struct op {
    struct file_state *s;
    enum what what;
    bool sync; /* on stable storage when done */
    int sync_error; /* of an engine that wrote it with a sync; 0: none tried */
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset, bytes;
    int ret;
};

/* What is left of vectors after `done` bytes. */
static unsigned rest(struct iovec *to, const struct iovec *iov, unsigned n, size_t done)
{
    unsigned used = 0;

    for (unsigned i = 0; i < n; i++) {
        if (done >= iov[i].iov_len) {
            done -= iov[i].iov_len;
            continue;
        }
        to[used].iov_base = (char *)iov[i].iov_base + done;
        to[used++].iov_len = iov[i].iov_len - done;
        done = 0;
    }
    return used;
}

static void zero_rest(const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memset(iov[i].iov_base, 0, iov[i].iov_len);
}

/* The kernel forgets what it could not write: a later flush that succeeds would tell a lie. */
static int lost(struct file_state *s, int error)
{
    __atomic_store_n(&s->flush_error, error, __ATOMIC_RELEASE);
    return error;
}

static int sync_file(struct file_state *s)
{
    return fdatasync(s->fd) < 0 ? lost(s, -errno) : 0;
}

/* Room may be made, and the same request sent again. */
static bool is_full(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}

/*
 * With RWF_DSYNC an error is the write's or the sync's, and the sync's may be of what others wrote before.
 * Only a write that fails by itself for want of room has lost nothing.
 */
static int move_bytes(struct op *op)
{
    struct iovec local[32], *iov = op->iov_count <= BP_COUNT(local)
                                       ? local : malloc(op->iov_count * sizeof(*iov));
    int flags = op->sync ? RWF_DSYNC : 0, ret = 0, sync_error = op->sync_error;
    uint64_t done = 0;

    if (!iov)
        return -ENOMEM;
    if (sync_error)
        flags = 0;
    while (ret == 0 && done < op->bytes) {
        unsigned n = rest(iov, op->iov, op->iov_count, (size_t)done);
        off_t at = (off_t)(op->offset + done);
        ssize_t got = op->what == READ ? preadv(op->s->fd, iov, (int)n, at)
                                       : pwritev2(op->s->fd, iov, (int)n, at, flags);

        if (got > 0) {
            done += (uint64_t)got;
        } else if (got == 0 && op->what == READ) {
            zero_rest(iov, n); /* beyond the end */
            break;
        } else if (got == 0) {
            ret = -ENOSPC;
        } else if (errno == EOPNOTSUPP && flags) {
            flags = 0;
        } else if (errno != EINTR && flags) {
            sync_error = -errno;
            flags = 0;
        } else if (errno != EINTR) {
            ret = -errno;
        }
    }
    if (sync_error && !(ret < 0 && is_full(ret)))
        ret = lost(op->s, sync_error);
    else if (ret == 0 && op->sync && !flags)
        ret = sync_file(op->s);
    if (iov != local)
        free(iov);
    return ret;
}

static int errno_of(int r)
{
    return r >= 0 ? 0 : errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS ? -ENOTSUP : -errno;
}

static int allocate(struct op *op, int mode)
{
    int r;

    do {
        r = fallocate(op->s->fd, mode, (off_t)op->offset, (off_t)op->bytes);
    } while (r < 0 && errno == EINTR);
    return errno_of(r);
}

static int device_range(struct op *op, unsigned long request)
{
    uint64_t range[2] = {op->offset, op->bytes};

    return errno_of(ioctl(op->s->fd, request, range));
}

static void perform(void *opaque)
{
    struct op *op = opaque;

    switch (op->what) {
    case READ:
    case WRITE:
        op->ret = move_bytes(op);
        return;
    case FLUSH:
        op->ret = sync_file(op->s);
        return;
    case PUNCH:
        op->ret = allocate(op, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
        break;
    case ZERO:
        op->ret = allocate(op, FALLOC_FL_ZERO_RANGE);
        break;
    case DISCARD_DEVICE:
        op->ret = device_range(op, BLKDISCARD);
        break;
    case ZERO_DEVICE:
        op->ret = device_range(op, BLKZEROOUT);
        break;
    }
    if (op->ret == 0 && op->sync)
        op->ret = sync_file(op->s);
}

static int run(struct op *op)
{
    if (block->may_wait()) {
        __atomic_add_fetch(&op->s->with_workers, 1, __ATOMIC_RELAXED);
        bp_co_worker(perform, op);
        __atomic_sub_fetch(&op->s->with_workers, 1, __ATOMIC_RELAXED);
    } else {
        perform(op);
    }
    return op->ret;
}

/* Through the engine, if there is one that does it. */
static int try_engine(struct op *op)
{
    struct file_state *s = op->s;
    uint32_t flags = op->what == WRITE ? BP_BLOCK_AIO_WRITE | (op->sync ? BP_BLOCK_AIO_DSYNC : 0)
                     : op->what == FLUSH ? BP_BLOCK_AIO_SYNC : 0;
    int64_t got;

    if (!s->engine || !block->may_wait())
        return -ENOTSUP;
    got = s->engine_class->submit(bp_object_state(s->engine), s->fd, flags, op->iov, op->iov_count,
                                  op->offset);
    if (got < 0)
        return (int)got;
    /* Short: the end of the file, or a full disk. Workers find out. */
    return op->what == FLUSH || (uint64_t)got == op->bytes ? 0 : -ENOTSUP;
}

/*
 * What the page cache has is copied at once: to wake a worker and to be woken by it takes longer than to copy a few
 * pages. Long copies side by side are left to workers. False: it has to be read from the disk, or there is no such
 * way; then some of the next requests do not ask. preadv2(2), RWF_NOWAIT.
 */
static bool read_cached(struct op *op)
{
    enum { ALWAYS = 128 << 10, ALONE = 1 << 20, PATIENCE = 64, TURN = 8 };
    struct file_state *s = op->s;
    uint32_t wait = __atomic_load_n(&s->not_cached, __ATOMIC_RELAXED);
    ssize_t got;

    if (op->what != READ || s->direct || s->device || s->engine || op->iov_count > 1024 || op->bytes > ALONE ||
        !block->may_wait() || (op->bytes > ALWAYS && __atomic_load_n(&s->with_workers, __ATOMIC_RELAXED)))
        return false;
    if (wait) {
        __atomic_store_n(&s->not_cached, wait - 1, __ATOMIC_RELAXED);
        return false;
    }
    got = preadv2(s->fd, op->iov, (int)op->iov_count, (off_t)op->offset, RWF_NOWAIT);
    if (got < 0)
        __atomic_store_n(&s->not_cached, PATIENCE, __ATOMIC_RELAXED);
    if (got < 0 || (uint64_t)got < op->bytes)
        return false;
    /* Who reads and reads would hold up everybody else. */
    if (__atomic_add_fetch(&s->at_once, 1, __ATOMIC_RELAXED) % TURN == 0)
        bp_co_sleep(BP_CLOCK_REALTIME, 0);
    return true;
}

/* Before anything that changes the file. */
static int will_change(struct file_state *s)
{
    if (!__atomic_load_n(&s->written, __ATOMIC_ACQUIRE))
        __atomic_store_n(&s->written, true, __ATOMIC_RELEASE);
    return file_mode_writes(s);
}

static int transfer(struct bp_block_node *node, const struct bp_block_request *req, enum what what)
{
    struct op op = {.s = block->state(node), .what = what, .sync = req->flags & BP_BLOCK_FUA,
                    .iov = req->iov, .iov_count = req->iov_count, .offset = req->offset,
                    .bytes = req->bytes};
    int ret = what == WRITE ? will_change(op.s) : 0;

    if (ret < 0)
        return ret;
    if (read_cached(&op))
        return 0;
    ret = try_engine(&op);
    if (what == WRITE && op.sync && ret < 0 && ret != -ENOTSUP && ret != -ECANCELED) {
        op.sync_error = ret;
        return run(&op);
    }
    return ret == -ENOTSUP ? run(&op) : ret;
}

static int file_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return transfer(node, req, READ);
}

static int64_t splice_file(struct bp_block_node *node, uint64_t offset, uint64_t bytes, int pipe)
{
    return file_splice(block->state(node), offset, bytes, pipe);
}

static int file_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return transfer(node, req, WRITE);
}

static int file_flush(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);
    struct op op = {.s = s, .what = FLUSH};
    int ret = __atomic_load_n(&s->flush_error, __ATOMIC_ACQUIRE);

    if (ret < 0)
        return ret;
    ret = try_engine(&op);
    if (ret == -ENOTSUP)
        ret = run(&op);
    return ret < 0 && ret != -ECANCELED ? lost(s, ret) : ret;
}

static int file_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct file_state *s = block->state(node);
    struct op op = {.s = s, .what = s->device ? DISCARD_DEVICE : PUNCH, .offset = req->offset,
                    .bytes = req->bytes};
    int ret = will_change(s);

    return ret < 0 ? ret : run(&op);
}

static int file_write_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct file_state *s = block->state(node);
    struct op op = {.s = s, .what = s->device ? ZERO_DEVICE : ZERO, .offset = req->offset,
                    .bytes = req->bytes, .sync = req->flags & BP_BLOCK_FUA};
    int ret = will_change(s);

    if (ret < 0)
        return ret;
    /* A hole reads as zeroes, but does not make the file longer. */
    if (!s->device && req->flags & BP_BLOCK_MAY_UNMAP &&
        (int64_t)(req->offset + req->bytes) <= file_fd_length(s->fd, false)) {
        op.what = PUNCH;
        if (run(&op) == 0)
            return 0;
        op.what = ZERO;
    }
    return run(&op);
}

struct seek {
    struct file_state *s;
    uint64_t offset, bytes;
    struct bp_block_status *status;
};

static void look(void *opaque)
{
    struct seek *seek = opaque;
    off_t data = lseek(seek->s->fd, (off_t)seek->offset, SEEK_DATA), hole;

    seek->status->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_OFFSET_VALID;
    seek->status->bytes = seek->bytes;
    seek->status->map = seek->offset;
    if (data < 0 && errno == ENXIO) { /* nothing but a hole until the end */
        seek->status->flags = BP_BLOCK_STATUS_ZERO | BP_BLOCK_STATUS_OFFSET_VALID;
        return;
    }
    if (data > (off_t)seek->offset) {
        seek->status->flags = BP_BLOCK_STATUS_ZERO | BP_BLOCK_STATUS_OFFSET_VALID;
        if ((uint64_t)data - seek->offset < seek->bytes)
            seek->status->bytes = (uint64_t)data - seek->offset;
        return;
    }
    hole = data < 0 ? -1 : lseek(seek->s->fd, (off_t)seek->offset, SEEK_HOLE);
    if (hole > (off_t)seek->offset && (uint64_t)hole - seek->offset < seek->bytes)
        seek->status->bytes = (uint64_t)hole - seek->offset;
}

static int file_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                       struct bp_block_status *ret)
{
    struct seek seek = {block->state(node), offset, bytes, ret};

    ret->file = node;
    if (block->may_wait())
        bp_co_worker(look, &seek);
    else
        look(&seek);
    return 0;
}

static int64_t file_length(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    return file_fd_length(s->fd, s->device);
}

static int file_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct file_state *s = block->state(node);
    int64_t before = file_fd_length(s->fd, s->device);
    int ret;

    if (s->device)
        return (uint64_t)before == length || (!exact && (uint64_t)before > length)
                   ? 0 : bp_fail(err, ENOTSUP, "'%s' is a device: its length is fixed", s->filename);
    ret = will_change(s);
    if (ret < 0)
        return bp_fail(err, -ret, "cannot open '%s' for writing: %s", s->filename, strerror(-ret));
    if (ftruncate(s->fd, (off_t)length) < 0)
        return bp_fail(err, errno, "cannot make '%s' %llu bytes long: %s", s->filename,
                       (unsigned long long)length, strerror(errno));
    return 0;
}

static void file_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    struct file_state *s = block->state(node);
    int sector;

    limits->request_alignment = s->align;
    limits->memory_alignment = s->memory_align;
    limits->max_iov = 1024; /* IOV_MAX */
    if (s->device && ioctl(s->fd, BLKSSZGET, &sector) == 0 && sector >= 512) {
        limits->logical_block = (uint32_t)sector;
        limits->discard_alignment = (uint32_t)sector;
        if (limits->request_alignment < (uint32_t)sector)
            limits->request_alignment = s->direct ? (uint32_t)sector : 1;
    }
    if (s->device && ioctl(s->fd, BLKPBSZGET, &sector) == 0 && sector >= 512)
        limits->physical_block = (uint32_t)sector;
}

struct scsi_job {
    int fd, ret;
    struct bp_block_scsi *command;
};

static void carry_out(void *opaque)
{
    struct scsi_job *job = opaque;

    job->ret = file_scsi_carry_out(job->fd, job->command);
}

static int file_scsi(struct bp_block_node *node, struct bp_block_scsi *command)
{
    struct file_state *s = block->state(node);
    struct scsi_job job = {.fd = s->fd, .command = command};

    if (!s->device && !s->generic)
        return -ENOTSUP;
    if (block->may_wait())
        bp_co_worker(carry_out, &job);
    else
        carry_out(&job);
    return job.ret;
}

static int64_t file_allocated(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);
    struct stat st;

    return fstat(s->fd, &st) < 0 ? -errno : (int64_t)st.st_blocks * 512;
}

/* ---- opening ---- */

static int open_engine(struct bp_block_node *node, struct file_state *s, struct bp_error *err)
{
    static const char *const names[] = {"threads", "native", "io_uring"};
    char id[160];
    int ret;

    if (s->aio == FILE_AIO_THREADS)
        return 0;
    snprintf(id, sizeof(id), "%s", block->node_name(node));
    ret = bp_object_new("block-aio", names[s->aio], id, NULL, NULL, &s->engine, err);
    if (ret < 0) {
        bp_error_prefix(err, "aio=%s", names[s->aio]);
        return ret;
    }
    s->engine_class = bp_object_class(s->engine);
    if (s->engine_class->flags & BP_BLOCK_AIO_DIRECT && !s->direct)
        ret = bp_fail(err, EINVAL, "aio=%s needs cache.direct=on (cache=none)", names[s->aio]);
    if (ret == 0)
        ret = s->engine_class->open(bp_object_state(s->engine), block->owner(node), err);
    if (ret < 0) {
        bp_object_destroy(s->engine);
        s->engine = NULL;
    }
    return ret;
}

static void close_engine(struct file_state *s)
{
    if (!s->engine)
        return;
    s->engine_class->close(bp_object_state(s->engine));
    bp_object_destroy(s->engine);
    s->engine = NULL;
}

static bool wants_device(struct bp_block_node *node);

static int file_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                     struct bp_error *err)
{
    struct file_state *s = block->state(node);
    bool fell_back = false;
    struct stat st;
    int ret;

    s->new_fd = s->mode_fd = s->locks.fd = -1;
    if (!s->filename || !*s->filename)
        return bp_fail(err, EINVAL, "key 'filename' is missing");
    s->direct = flags->direct;
    s->no_flush = flags->no_flush;
    ret = file_mode_open(s, flags, &fell_back, err);
    if (ret < 0)
        return ret;
    if (err)
        *err = (struct bp_error){0};
    if (fell_back)
        block->set_read_only(node);
    s->device = fstat(s->fd, &st) == 0 && S_ISBLK(st.st_mode);
    s->generic = !s->device && file_is_generic(s->fd);
    if (wants_device(node) && !s->device && !s->generic)
        ret = bp_fail(err, EINVAL, "driver 'host_device': '%s' is no device; driver=file opens files",
                      s->filename);
    if (ret == 0)
        ret = locks_open(&s->locks, s->filename, s->fd,
                         (s->device || s->generic) && s->locking == 0 ? 2 : s->locking, err);
    if (ret == 0)
        ret = open_engine(node, s, err);
    if (ret < 0) {
        locks_close(&s->locks);
        close(s->fd);
        return ret;
    }
    file_probe_alignment(s);
    block->set_filename(node, s->filename);
    return 0;
}

static void file_close(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    close_engine(s);
    locks_close(&s->locks);
    close(s->fd);
    s->fd = -1;
}

/* ---- new files ---- */

static int fill_file(int fd, uint64_t size, const char *how)
{
    static const char zeroes[65536];

    if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0)
        return -errno;
    if (size && !strcmp(how, "falloc"))
        return -posix_fallocate(fd, 0, (off_t)size);
    for (uint64_t at = 0; !strcmp(how, "full") && at < size;) {
        ssize_t n = pwrite(fd, zeroes, size - at < sizeof(zeroes) ? (size_t)(size - at) : sizeof(zeroes), (off_t)at);

        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (uint64_t)n : 0;
    }
    return 0;
}

struct new_file {
    int fd;
    uint64_t size;
    const char *how;
    int ret;
};

static void fill_new(void *opaque)
{
    struct new_file *n = opaque;

    n->ret = fill_file(n->fd, n->size, n->how);
}

/* Nothing is done to a file that somebody else uses. */
static int file_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    const char *name = bp_value_get_string(options, "filename"), *how = bp_value_get_string(options, "preallocation");
    struct new_file n = {.size = bp_value_as_uint(bp_value_get(options, "size")), .how = how ? how : "off"};
    struct file_locks locks;
    int ret;

    (void)file;
    if (!name || !*name)
        return bp_fail(err, EINVAL, "key 'filename' is missing");
    if (strcmp(n.how, "off") != 0 && strcmp(n.how, "falloc") != 0 && strcmp(n.how, "full") != 0)
        return bp_fail(err, EINVAL, "preallocation=%s: a file knows off, falloc and full", how);
    n.fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    if (n.fd < 0)
        return bp_fail(err, errno, "cannot make '%s': %s", name, strerror(errno));
    ret = locks_open(&locks, name, n.fd, 0, err);
    if (ret == 0)
        ret = locks_prepare(&locks, BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE, BP_BLOCK_PERM_READ, err);
    if (ret == 0) {
        locks_commit(&locks);
        if (block->may_wait())
            bp_co_worker(fill_new, &n);
        else
            fill_new(&n);
        ret = n.ret < 0 ? bp_fail(err, -n.ret, "'%s': %s", name, strerror(-n.ret)) : 0;
    }
    locks_close(&locks);
    close(n.fd);
    return ret;
}

/* ---- permissions and reopening ---- */

static int file_prepare(struct bp_block_node *node, uint32_t need, uint32_t shared,
                        struct bp_error *err)
{
    struct file_state *s = block->state(node);
    int ret = file_mode_prepare(s, need, err);

    if (ret == 0)
        ret = locks_prepare(&s->locks, need, shared, err);
    if (ret < 0)
        file_mode_abort(s);
    return ret;
}

static void file_commit(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    /* What an open file has not told of is lost with it. */
    if (s->mode_fd >= 0 && __atomic_exchange_n(&s->written, false, __ATOMIC_ACQ_REL) && !s->no_flush)
        sync_file(s);
    file_mode_commit(s);
    locks_commit(&s->locks);
}

static void file_abort(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    file_mode_abort(s);
    locks_abort(&s->locks);
}

static int reopen_prepare(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                          struct bp_value *options, struct bp_error *err)
{
    struct file_state *s = block->state(node);
    const char *name = bp_value_get_string(options, "filename");
    int access = flags->read_only ? O_RDONLY : O_RDWR;

    if (name && strcmp(name, s->filename) != 0)
        return bp_fail(err, EINVAL, "key 'filename' cannot be changed while the node is open");
    if (s->engine && !flags->direct && s->engine_class->flags & BP_BLOCK_AIO_DIRECT)
        return bp_fail(err, EINVAL, "its aio= needs cache.direct=on");
    if (flags->auto_read_only && !flags->read_only) { /* who writes says so when permissions are settled */
        access = s->access;
        if (access == O_RDONLY && !file_mode_may_write(s))
            block->set_read_only(node);
    }
    s->new_fd = file_mode_again(s, access | (flags->direct ? O_DIRECT : 0));
    if (s->new_fd < 0)
        return bp_fail(err, -s->new_fd, "cannot reopen '%s': %s", s->filename, strerror(-s->new_fd));
    s->new_direct = flags->direct;
    s->new_access = access;
    s->new_no_flush = flags->no_flush;
    s->new_automatic = flags->auto_read_only && !flags->read_only;
    return 0;
}

static void reopen_commit(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    close(s->fd);
    s->fd = s->new_fd;
    s->new_fd = -1;
    s->direct = s->new_direct;
    s->access = s->new_access;
    s->no_flush = s->new_no_flush;
    s->automatic = s->new_automatic;
    file_probe_alignment(s);
}

static void reopen_abort(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    close(s->new_fd);
    s->new_fd = -1;
}

static void plug(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    if (s->engine && s->engine_class->plug)
        s->engine_class->plug(bp_object_state(s->engine));
}

static void unplug(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    if (s->engine && s->engine_class->unplug)
        s->engine_class->unplug(bp_object_state(s->engine));
}

static const char *const aio_names[] = {"threads", "native", "io_uring", NULL};
static const struct bp_schema aio_schema = {"BlockdevAioOptions", BP_KIND_ENUM, .choices = aio_names};
static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct file_state, filename, NULL, "file or device of the host"),
    BP_PROP_ENUM("aio", &aio_schema, struct file_state, aio, "threads",
                 "how requests reach the host's kernel"),
    BP_PROP("locking", ON_OFF_AUTO, struct file_state, locking, "auto",
            "the file is locked, so that no two write to it; auto: when it can be"),
    BP_FIELDS_END};

#define SLOTS \
    .native = BP_BLOCK_FUA | BP_BLOCK_UNCHANGED, .open = file_open, .close = file_close, \
    .read = file_read, .write = file_write, .flush = file_flush, \
    .discard = file_discard, .write_zeroes = file_write_zeroes, .status = file_status, \
    .length = file_length, .resize = file_resize, .limits = file_limits, .allocated = file_allocated, \
    .permissions_prepare = file_prepare, .permissions_commit = file_commit, \
    .permissions_abort = file_abort, .reopen_prepare = reopen_prepare, \
    .reopen_commit = reopen_commit, .reopen_abort = reopen_abort, .plug = plug, .unplug = unplug, \
    .scsi = file_scsi, .splice = splice_file

BP_BLOCK_DRIVER(file_driver, "file", "A file of the host", struct file_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_GROWS, .create = file_create, SLOTS);
BP_BLOCK_DRIVER(device_driver, "host_device", "A device of the host", struct file_state, props,
                .flags = BP_BLOCK_PROTOCOL, SLOTS);

static bool wants_device(struct bp_block_node *node)
{
    struct file_state *s = block->state(node);

    return strcmp(bp_object_type(bp_object_of_state(s)), device_driver.type.name) == 0;
}

BP_MODULE("block-file", "Files and block devices of the host", imports,
          {BP_PROVIDE_OTHER, &file_driver}, {BP_PROVIDE_OTHER, &device_driver});
