/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-temp-overlay`: what is written goes to a temporary file that nobody else can name, what is not
 * there is read from `backing`. -snapshot and snapshot=on are made of it. Which blocks are in the file
 * stands in memory, so it ends with the process; flushes have nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define BLOCK 4096u             /* bytes; what is written is a multiple of it */
#define TABLE_BLOCKS (1u << 15) /* that one table has bits for: 128 MiB */

struct overlay_state {
    struct bp_block_child *backing;
    int fd;
    uint64_t length, tables;
    uint64_t **map; /* of tables, NULL: nothing there yet; their words are atomic */
};

static bool is_there(const struct overlay_state *s, uint64_t n)
{
    const uint64_t *table = n / TABLE_BLOCKS < s->tables
                                ? __atomic_load_n(&s->map[n / TABLE_BLOCKS], __ATOMIC_ACQUIRE) : NULL;
    unsigned bit = (unsigned)(n % TABLE_BLOCKS);

    return table && __atomic_load_n(&table[bit / 64], __ATOMIC_ACQUIRE) >> bit % 64 & 1;
}

static int set_there(struct overlay_state *s, uint64_t n)
{
    uint64_t **slot = &s->map[n / TABLE_BLOCKS], *table = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    unsigned bit = (unsigned)(n % TABLE_BLOCKS);

    if (!table) {
        uint64_t *mine = calloc(TABLE_BLOCKS / 64, sizeof(*mine));

        if (!mine)
            return -ENOMEM;
        if (__atomic_compare_exchange_n(slot, &table, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            table = mine;
        else
            free(mine);
    }
    __atomic_fetch_or(&table[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_RELEASE);
    return 0;
}

/* Bytes from `offset` that are of one kind, at most `bytes`. */
static uint64_t run_length(const struct overlay_state *s, uint64_t offset, uint64_t bytes, bool *ret_there)
{
    uint64_t n = offset / BLOCK, end = n * BLOCK + BLOCK;

    *ret_there = is_there(s, n);
    while (end < offset + bytes && is_there(s, end / BLOCK) == *ret_there)
        end += BLOCK;
    return end < offset + bytes ? end - offset : bytes;
}

/* ---- the file ---- */

struct op {
    int fd;
    bool write;
    const struct iovec *iov;
    unsigned iov_count;
    size_t skip;
    uint64_t offset, bytes;
    int ret;
};

static void perform(void *opaque)
{
    struct op *op = opaque;
    size_t skip = op->skip;
    uint64_t at = 0;

    op->ret = 0;
    for (unsigned i = 0; i < op->iov_count && at < op->bytes; i++) {
        size_t len = op->iov[i].iov_len;
        char *p = op->iov[i].iov_base;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        p += skip;
        len -= skip;
        skip = 0;
        if (len > op->bytes - at)
            len = (size_t)(op->bytes - at);
        while (len > 0) {
            ssize_t n = op->write ? pwrite(op->fd, p, len, (off_t)(op->offset + at))
                                  : pread(op->fd, p, len, (off_t)(op->offset + at));

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0) {
                op->ret = -errno;
                return;
            }
            if (n == 0) { /* beyond the end of the file */
                memset(p, 0, len);
                n = (ssize_t)len;
            }
            p += n;
            len -= (size_t)n;
            at += (uint64_t)n;
        }
    }
}

static int transfer(struct overlay_state *s, bool write, const struct bp_block_request *req,
                    uint64_t from, uint64_t bytes)
{
    struct op op = {s->fd, write, req->iov, req->iov_count, (size_t)(from - req->offset), from, bytes, 0};

    if (block->may_wait())
        bp_co_worker(perform, &op);
    else
        perform(&op);
    return op.ret;
}

/* ---- requests ---- */

static int read_below(struct overlay_state *s, const struct bp_block_request *req, uint64_t from,
                      uint64_t bytes)
{
    struct iovec *iov = malloc(req->iov_count * sizeof(*iov));
    struct bp_block_request part = *req;
    size_t skip = (size_t)(from - req->offset), left = (size_t)bytes;
    unsigned n = 0;
    int ret;

    if (!iov)
        return -ENOMEM;
    for (unsigned i = 0; i < req->iov_count && left > 0; i++) {
        size_t len = req->iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        if (len > left)
            len = left;
        iov[n].iov_base = (char *)req->iov[i].iov_base + skip;
        iov[n++].iov_len = len;
        left -= len;
        skip = 0;
    }
    part.offset = from;
    part.bytes = bytes;
    part.iov = iov;
    part.iov_count = n;
    part.flags = 0;
    ret = block->child_request(s->backing, BP_BLOCK_READ, &part);
    free(iov);
    return ret;
}

static int overlay_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct overlay_state *s = block->state(node);
    uint64_t at = req->offset, end = req->offset + req->bytes;
    int ret = 0;

    while (ret == 0 && at < end) {
        bool there;
        uint64_t bytes = run_length(s, at, end - at, &there);

        ret = there ? transfer(s, false, req, at, bytes) : read_below(s, req, at, bytes);
        at += bytes;
    }
    return ret;
}

static int mark(struct overlay_state *s, const struct bp_block_request *req)
{
    int ret = 0;

    for (uint64_t at = req->offset; ret == 0 && at < req->offset + req->bytes; at += BLOCK)
        ret = set_there(s, at / BLOCK);
    return ret;
}

static int overlay_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct overlay_state *s = block->state(node);
    int ret = transfer(s, true, req, req->offset, req->bytes);

    return ret < 0 ? ret : mark(s, req);
}

struct punch {
    int fd;
    uint64_t offset, bytes;
    int ret;
};

static void punch(void *opaque)
{
    struct punch *p = opaque;

    p->ret = fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)p->offset,
                       (off_t)p->bytes) < 0 ? -errno : 0;
}

static int overlay_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct overlay_state *s = block->state(node);
    struct punch p = {s->fd, req->offset, req->bytes, 0};

    if (block->may_wait())
        bp_co_worker(punch, &p);
    else
        punch(&p);
    if (p.ret < 0)
        return p.ret == -EOPNOTSUPP ? -ENOTSUP : p.ret;
    return mark(s, req);
}

static int overlay_flush(struct bp_block_node *node)
{
    (void)node;
    return 0;
}

static int overlay_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                          struct bp_block_status *ret)
{
    struct overlay_state *s = block->state(node);
    bool there;

    ret->bytes = run_length(s, offset, bytes, &there);
    ret->flags = there ? BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED : 0;
    return 0;
}

static int64_t overlay_length(struct bp_block_node *node)
{
    return (int64_t)((struct overlay_state *)block->state(node))->length;
}

static int set_length(struct overlay_state *s, uint64_t length, struct bp_error *err)
{
    uint64_t tables = (length + (uint64_t)BLOCK * TABLE_BLOCKS - 1) / ((uint64_t)BLOCK * TABLE_BLOCKS);
    uint64_t **map = realloc(s->map, (size_t)(tables ? tables : 1) * sizeof(*map));

    if (!map)
        return bp_fail(err, ENOMEM, "no memory for the map of an overlay of %llu bytes",
                       (unsigned long long)length);
    for (uint64_t i = s->tables; i < tables; i++)
        map[i] = NULL;
    s->map = map;
    if (tables > s->tables)
        s->tables = tables;
    s->length = length;
    return 0;
}

static int overlay_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct overlay_state *s = block->state(node);

    (void)exact;
    if (length < s->length) /* what is cut off would come back from below when it grows again */
        return bp_fail(err, ENOTSUP, "a temporary overlay cannot be made shorter; it has %llu bytes",
                       (unsigned long long)s->length);
    return set_length(s, length, err);
}

static void overlay_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->request_alignment = BLOCK;
}

static int64_t overlay_allocated(struct bp_block_node *node)
{
    const struct overlay_state *s = block->state(node);
    uint64_t blocks = 0;

    for (uint64_t t = 0; t < s->tables; t++)
        for (unsigned i = 0; s->map[t] && i < TABLE_BLOCKS / 64; i++)
            blocks += (uint64_t)__builtin_popcountll(__atomic_load_n(&s->map[t][i], __ATOMIC_RELAXED));
    return (int64_t)(blocks * BLOCK);
}

static int overlay_empty(struct bp_block_node *node)
{
    struct overlay_state *s = block->state(node);

    for (uint64_t t = 0; t < s->tables; t++) {
        free(s->map[t]);
        s->map[t] = NULL;
    }
    return ftruncate(s->fd, 0) < 0 ? -errno : 0;
}

/* ---- opening ---- */

static int temporary_file(struct bp_error *err)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    int fd;

    if (!folder || !*folder)
        folder = "/var/tmp";
    fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && snprintf(path, sizeof(path), "%s/backplane-XXXXXX", folder) < (int)sizeof(path)) {
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    return fd < 0 ? bp_fail(err, errno, "cannot make a temporary file in '%s': %s; the environment "
                            "variable TMPDIR names another folder", folder, strerror(errno)) : fd;
}

static int overlay_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                        struct bp_error *err)
{
    struct overlay_state *s = block->state(node);
    int64_t below;
    int ret;

    (void)flags;
    s->backing = block->child(node, "backing");
    below = block->child_length(s->backing);
    s->fd = temporary_file(err);
    if (s->fd < 0)
        return s->fd;
    ret = set_length(s, below < 0 ? 0 : (uint64_t)below, err);
    if (ret < 0)
        close(s->fd);
    return ret;
}

static void overlay_close(struct bp_block_node *node)
{
    struct overlay_state *s = block->state(node);

    for (uint64_t t = 0; t < s->tables; t++)
        free(s->map[t]);
    free(s->map);
    close(s->fd);
}

static const struct bp_block_child_info children[] = {
    {.name = "backing", .roles = BP_BLOCK_BACKING, .help = "what is read where nothing was written"},
    {.name = NULL}};

BP_BLOCK_DRIVER(overlay_driver, "temp-overlay", "Writes go to a temporary file", struct overlay_state, NULL,
                .flags = BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA | BP_BLOCK_UNCHANGED,
                .children = children, .open = overlay_open, .close = overlay_close,
                .read = overlay_read, .write = overlay_write, .flush = overlay_flush,
                .write_zeroes = overlay_zeroes, .status = overlay_status, .length = overlay_length,
                .resize = overlay_resize, .limits = overlay_limits, .allocated = overlay_allocated,
                .make_empty = overlay_empty);
BP_MODULE("block-temp-overlay", "Writes to a temporary file", imports,
          {BP_PROVIDE_OTHER, &overlay_driver});
