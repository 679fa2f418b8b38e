/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-blklogwrites`: a filter that writes down every write, in the format of Linux's dm-log-writes
 * (Documentation/admin-guide/device-mapper/log-writes.rst), so that its tools replay it. A write is logged when
 * it has completed, in the order of completions; a flush carries the flag of one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define MAGIC UINT64_C(0x6a736677736872)
#define VERSION UINT64_C(1)
enum { FLUSH = 1, FUA = 2, DISCARD = 4, MARK = 8 };

struct log_state {
    uint64_t sector_size, update_interval;
    bool append;
    struct bp_block_child *file, *log;
    struct bp_co_mutex *mutex; /* of the log */
    uint64_t entries, next;    /* sectors of sector_size; the superblock is sector 0 */
    uint64_t unsaved;          /* entries since the superblock was written */
};

static void put64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static int log_io(struct log_state *s, enum bp_block_op op, uint64_t sector, void *buf, size_t bytes)
{
    struct iovec iov = {buf, bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = sector * s->sector_size, .bytes = bytes,
                                   .iov = &iov, .iov_count = 1};

    return block->child_request(s->log, op, &req);
}

static int write_super(struct log_state *s)
{
    uint8_t *buf = calloc(1, s->sector_size);
    int ret;

    if (!buf)
        return -ENOMEM;
    put64(buf, MAGIC);
    put64(buf + 8, VERSION);
    put64(buf + 16, s->entries);
    buf[24] = (uint8_t)s->sector_size;
    buf[25] = (uint8_t)(s->sector_size >> 8);
    buf[26] = (uint8_t)(s->sector_size >> 16);
    ret = log_io(s, BP_BLOCK_WRITE, 0, buf, s->sector_size);
    free(buf);
    s->unsaved = 0;
    return ret;
}

/* `req` NULL: a flush. */
static int add_entry(struct log_state *s, const struct bp_block_request *req, uint64_t flags, bool data)
{
    uint64_t bytes = req && data ? req->bytes : 0, size = s->sector_size;
    size_t padded = (size_t)((bytes + size - 1) / size * size);
    uint8_t *buf = calloc(1, size + padded);
    size_t at = size;
    int ret;

    if (!buf)
        return -ENOMEM;
    put64(buf, req ? req->offset / size : 0);
    put64(buf + 8, req ? (req->bytes + size - 1) / size : 0);
    put64(buf + 16, flags);
    put64(buf + 24, 0); /* length of a mark's text */
    for (unsigned i = 0; data && req->iov && i < req->iov_count && at < size + bytes; i++) {
        memcpy(buf + at, req->iov[i].iov_base, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    bp_co_mutex_lock(s->mutex);
    ret = log_io(s, BP_BLOCK_WRITE, s->next, buf, size + padded);
    if (ret == 0) {
        s->next += 1 + padded / size;
        s->entries++;
        s->unsaved++;
        if (flags & (FLUSH | FUA) || s->unsaved >= s->update_interval)
            ret = write_super(s);
    }
    bp_co_mutex_unlock(s->mutex);
    free(buf);
    return ret;
}

static int log_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return block->child_request(((struct log_state *)block->state(node))->file, BP_BLOCK_READ, req);
}

static int logged(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req,
                  uint64_t flags, bool data)
{
    struct log_state *s = block->state(node);
    int ret = block->child_request(s->file, op, req);

    if (req->flags & BP_BLOCK_FUA)
        flags |= FUA;
    return ret < 0 ? ret : add_entry(s, req, flags, data);
}

static int log_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return logged(node, BP_BLOCK_WRITE, req, 0, true);
}

static int log_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return logged(node, BP_BLOCK_DISCARD, req, DISCARD, false);
}

static int log_flush(struct bp_block_node *node)
{
    struct log_state *s = block->state(node);
    int ret = block->child_request(s->file, BP_BLOCK_FLUSH, NULL);

    return ret < 0 ? ret : add_entry(s, NULL, FLUSH, false);
}

static void log_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct log_state *s = block->state(node);

    if (limits->request_alignment < s->sector_size)
        limits->request_alignment = (uint32_t)s->sector_size;
    limits->discard_alignment = s->sector_size;
    limits->max_transfer = 1 << 20;
}

/* Entries as the superblock counts them have to lie within the log: nothing of it is to be believed. */
static int walk(struct log_state *s, uint64_t entries, uint8_t *buf)
{
    int64_t length = block->child_length(s->log);
    uint64_t sectors = length < 0 ? 0 : (uint64_t)length / s->sector_size;
    int ret = length < 0 ? (int)length : entries < sectors ? 0 : -EINVAL;

    while (ret == 0 && s->entries < entries) {
        uint64_t data;

        ret = s->next < sectors ? log_io(s, BP_BLOCK_READ, s->next, buf, s->sector_size) : -EINVAL;
        if (ret < 0)
            break;
        data = get64(buf + 16) & DISCARD ? 0 : get64(buf + 8);
        if (data > sectors - s->next - 1)
            return -EINVAL;
        s->next += 1 + data;
        s->entries++;
    }
    return ret;
}

/* Goes on after the last entry of a log that is there. */
static int find_end(struct log_state *s, struct bp_error *err)
{
    uint8_t *buf = calloc(1, s->sector_size);
    int ret = buf ? log_io(s, BP_BLOCK_READ, 0, buf, s->sector_size) : -ENOMEM;

    if (ret < 0 || get64(buf) != MAGIC || get64(buf + 8) != VERSION ||
        (buf[24] | (uint32_t)buf[25] << 8 | (uint32_t)buf[26] << 16) != s->sector_size) {
        free(buf);
        return bp_fail(err, ret < 0 ? -ret : EINVAL, "log-append=on: 'log' holds no log with sectors of "
                       "%llu bytes", (unsigned long long)s->sector_size);
    }
    ret = walk(s, get64(buf + 16), buf);
    free(buf);
    if (ret == -EINVAL)
        return bp_fail(err, EINVAL, "log-append=on: the log is damaged: its %llu entries do not lie within it",
                       (unsigned long long)s->entries);
    return ret < 0 ? bp_fail(err, -ret, "log-append=on: the log cannot be read: %s", strerror(-ret)) : 0;
}

static int log_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                    struct bp_error *err)
{
    struct log_state *s = block->state(node);
    int ret;

    (void)flags;
    s->file = block->child(node, "file");
    s->log = block->child(node, "log");
    s->next = 1;
    if (s->sector_size < 512 || s->sector_size > 1 << 16 || s->sector_size & (s->sector_size - 1))
        return bp_fail(err, EINVAL, "key 'log-sector-size' expects a power of two from 512 to 65536");
    if (s->update_interval == 0)
        return bp_fail(err, EINVAL, "key 'log-super-update-interval' must not be 0");
    s->mutex = bp_co_mutex_new();
    ret = s->append ? find_end(s, err) : 0;
    if (ret < 0)
        bp_co_mutex_free(s->mutex);
    return ret;
}

static void log_close(struct bp_block_node *node)
{
    struct log_state *s = block->state(node);

    if (s->unsaved)
        write_super(s);
    bp_co_mutex_free(s->mutex);
}

static void log_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                            uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    (void)node;
    (void)roles;
    if (strcmp(child, "log") != 0) {
        *ret_need = need;
        *ret_shared = shared;
        return;
    }
    *ret_need = BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE;
    *ret_shared = BP_BLOCK_PERM_READ;
}

static const struct bp_field props[] = {
    BP_PROP("log-sector-size", SIZE, struct log_state, sector_size, "512", "bytes of a sector of the log"),
    BP_PROP("log-append", BOOL, struct log_state, append, "off", "go on with a log that is there"),
    BP_PROP("log-super-update-interval", UINT64, struct log_state, update_interval, "4096",
            "so many entries come between two writes of the log's first sector"),
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "what is below"},
    {.name = "log", .roles = BP_BLOCK_STORAGE, .help = "what the log is written to"},
    {.name = NULL}};

BP_BLOCK_DRIVER(log_driver, "blklogwrites", "Writes down every write", struct log_state, props,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA,
                .children = children, .open = log_open, .close = log_close, .read = log_read,
                .write = log_write, .flush = log_flush, .discard = log_discard,
                .limits = log_limits, .permissions = log_permissions);
BP_MODULE("block-blklogwrites", "Logs of writes", imports, {BP_PROVIDE_OTHER, &log_driver});
