/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For fuzz targets of image formats: what the block framework is to a driver, with an input in place of the file. The
 * target includes this, then the driver's sources, then calls fuzz_format(). Requests of one coroutine at a time, so
 * locks are none; files beside the image are not there.
 */
#ifndef TESTS_FORMAT_FUZZ_H
#define TESTS_FORMAT_FUZZ_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>
#include <bp/log.h>

#include "fuzz.h"

#define bp_co_mutex_new() NULL
#define bp_co_mutex_free(m) ((void)(m))
#define bp_co_mutex_lock(m) ((void)(m))
#define bp_co_mutex_unlock(m) ((void)(m))
#define bp_co_worker(fn, opaque) (fn)(opaque)
#undef BP_MODULE
#define BP_MODULE(...) extern int fuzz_no_module

#define FUZZ_PAGE 4096u
#define FUZZ_FILE (1u << 20) /* bytes that are kept of what is written */

static struct {
    uint8_t *bytes;
    uint64_t length;
    const uint16_t *pages; /* pages of the file that the input's are, or NULL: it is the file; ends with 0xffff */
    void *state;
    bool read_only;
} fuzz;

/* The byte of the input that one of the file is, and how many follow it; NULL: nothing is there. */
static inline uint8_t *fuzz_at(uint64_t offset, uint64_t *bytes)
{
    uint64_t left = FUZZ_PAGE - offset % FUZZ_PAGE;

    if (!fuzz.pages) {
        left = offset < FUZZ_FILE ? FUZZ_FILE - offset : 0;
        *bytes = left && left < *bytes ? left : *bytes;
        return left ? fuzz.bytes + offset : NULL;
    }
    *bytes = *bytes < left ? *bytes : left;
    for (unsigned i = 0; fuzz.pages[i] != 0xffff; i++)
        if (fuzz.pages[i] == offset / FUZZ_PAGE)
            return fuzz.bytes + i * FUZZ_PAGE + offset % FUZZ_PAGE;
    return NULL;
}

static inline void fuzz_move(uint64_t offset, uint8_t *buf, uint64_t bytes, bool write)
{
    while (bytes > 0) {
        uint64_t n = bytes;
        uint8_t *at = fuzz_at(offset, &n);

        if (!write)
            memset(buf, 0, n);
        if (at)
            memcpy(write ? at : buf, write ? buf : at, n);
        offset += n;
        buf += n;
        bytes -= n;
    }
}

static inline int fuzz_request(struct bp_block_child *child, enum bp_block_op op, const struct bp_block_request *req)
{
    uint64_t offset = req ? req->offset : 0;

    (void)child;
    if (op == BP_BLOCK_FLUSH || op == BP_BLOCK_DISCARD)
        return 0;
    if (offset > (uint64_t)BP_BLOCK_MAX_LENGTH || req->bytes > (uint64_t)BP_BLOCK_MAX_LENGTH - offset)
        return -EINVAL;
    if (op == BP_BLOCK_READ || op == BP_BLOCK_WRITE) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < req->iov_count; i++) {
            fuzz_move(offset + sum, req->iov[i].iov_base, req->iov[i].iov_len, op == BP_BLOCK_WRITE);
            sum += req->iov[i].iov_len;
        }
        if (sum != req->bytes)
            abort();
    }
    if (op != BP_BLOCK_READ && fuzz.read_only)
        abort();
    if (op != BP_BLOCK_READ && offset + req->bytes > fuzz.length)
        fuzz.length = offset + req->bytes;
    return 0;
}

static inline int fuzz_resize(struct bp_block_child *child, uint64_t length, bool exact, struct bp_error *err)
{
    (void)child;
    (void)exact;
    (void)err;
    fuzz.length = length;
    return 0;
}

static inline int64_t fuzz_length(struct bp_block_child *child)
{
    (void)child;
    return (int64_t)fuzz.length;
}

static inline void *fuzz_state(struct bp_block_node *node)
{
    (void)node;
    return fuzz.state;
}

static inline struct bp_block_child *fuzz_child(struct bp_block_node *node, const char *name)
{
    return strcmp(name, "file") ? NULL : (struct bp_block_child *)node;
}

static inline struct bp_block_node *fuzz_child_node(struct bp_block_child *child)
{
    return (struct bp_block_node *)child;
}

static inline bool fuzz_no(void)
{
    return false;
}

static inline void fuzz_flags(struct bp_block_node *node, struct bp_block_open_flags *ret)
{
    (void)node;
    ret->read_only = fuzz.read_only;
}

static inline int fuzz_open_child(struct bp_block_node *node, const char *child, const char *filename,
                                  const char *format, struct bp_error *err)
{
    (void)node;
    (void)format;
    return bp_fail(err, ENOENT, "%s '%s' is not there", child, filename);
}

static inline void fuzz_want_backing(struct bp_block_node *node, const char *filename, const char *format)
{
    (void)node;
    (void)format;
    if (strlen(filename) > 1u << 20)
        abort();
}

static inline const char *fuzz_name(struct bp_block_node *node)
{
    (void)node;
    return "fuzz";
}

static const struct bp_block_interface fuzz_block = {
    .size = sizeof(fuzz_block), .child_request = fuzz_request, .child_resize = fuzz_resize, .child_length = fuzz_length,
    .state = fuzz_state, .child = fuzz_child, .child_node = fuzz_child_node, .may_wait = fuzz_no,
    .open_flags = fuzz_flags, .open_child = fuzz_open_child, .want_backing = fuzz_want_backing, .node_name = fuzz_name,
    .image_filename = fuzz_name};

static inline void fuzz_use(const struct bp_block_driver *d, struct bp_block_node *node, uint64_t seed)
{
    static uint8_t buf[70000];
    struct iovec iov = {buf, sizeof(buf)};
    struct bp_block_request req = {.size = sizeof(req), .bytes = sizeof(buf), .iov = &iov, .iov_count = 1};
    struct bp_block_check check = {.size = sizeof(check)};
    struct bp_block_info info = {.size = sizeof(info)};
    int64_t length = d->length ? d->length(node) : (int64_t)fuzz.length;

    if (length < 0 || length > BP_BLOCK_MAX_LENGTH)
        abort();
    for (unsigned i = 0; i < 8 && length > 0; i++) {
        struct bp_block_status status = {.size = sizeof(status)};
        uint64_t at = i < 2 ? i * 4096u : (seed * (i + 1) * UINT64_C(0x9e3779b97f4a7c15)) % (uint64_t)length;

        at = at / 512 * 512;
        at = at < (uint64_t)length ? at : 0;
        req.offset = at;
        req.bytes = iov.iov_len = (uint64_t)length - at < sizeof(buf) ? (size_t)((uint64_t)length - at) : sizeof(buf);
        if (d->status && d->status(node, at, (uint64_t)length - at, &status) == 0 &&
            (status.bytes == 0 || status.bytes > (uint64_t)length - at))
            abort();
        d->read(node, &req);
        if (!fuzz.read_only && d->write && i % 2)
            d->write(node, &req);
    }
    if (d->flush)
        d->flush(node);
    if (d->check)
        d->check(node, fuzz.read_only ? 0 : BP_BLOCK_FIX_LEAKS | BP_BLOCK_FIX_ERRORS, &check, NULL);
    if (d->info)
        d->info(node, &info);
    bp_value_unref(info.specific);
    free(info.backing_file);
    free(info.backing_format);
}

/* Opens it for reading and for writing; whatever it has, nothing is read or written beyond what is there. */
static inline void fuzz_format(const struct bp_block_driver *d, const uint8_t *data, size_t size, const uint16_t *pages,
                               uint64_t length, void (*mend)(uint8_t *bytes, uint64_t length))
{
    struct bp_block_node *node = (struct bp_block_node *)&fuzz;

    fuzz.state = malloc(d->type.state_size);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct bp_block_open_flags flags = {.size = sizeof(flags), .read_only = turn == 0};
        struct bp_error err = {0};

        fuzz.bytes = calloc(1, FUZZ_FILE);
        memcpy(fuzz.bytes, data, size < FUZZ_FILE ? size : FUZZ_FILE);
        fuzz.length = length ? length : size;
        fuzz.pages = pages;
        fuzz.read_only = flags.read_only;
        if (mend)
            mend(fuzz.bytes, fuzz.length);
        memset(fuzz.state, 0, d->type.state_size);
        if (d->open(node, &flags, &err) == 0) {
            if (!d->granted || d->granted(node, &err) == 0)
                fuzz_use(d, node, size * 31 + (size ? data[size / 2] : 0));
            d->close(node);
        } else if (!err.message[0]) {
            abort();
        }
        free(fuzz.bytes);
    }
    free(fuzz.state);
}

#endif
