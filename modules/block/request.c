/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request to a node: what its driver does not do is done here. Unaligned ones get a head and a tail
 * (a write reads them first, serialised against what overlaps); memory that is not aligned is bounced; long
 * ones are split; FUA becomes a flush, zeroes a write of a buffer; discards are hints. [co], any context
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"

#define DOWN(X, ALIGN) ((X) & ~((uint64_t)(ALIGN) - 1))
#define UP(X, ALIGN) DOWN((X) + (ALIGN) - 1, ALIGN)

static uint64_t alignment(const struct bp_block_node *node)
{
    return node->limits.request_alignment ? node->limits.request_alignment : 1;
}

static size_t memory_alignment(const struct bp_block_node *node)
{
    return node->limits.memory_alignment ? node->limits.memory_alignment : 1;
}

static void *buffer(const struct bp_block_node *node, size_t bytes)
{
    size_t align = memory_alignment(node);
    void *p = NULL;

    if (align < 512)
        align = 512;
    return posix_memalign(&p, align, UP(bytes, align)) == 0 ? p : NULL;
}

static uint64_t node_end(const struct bp_block_node *node)
{
    int64_t length = __atomic_load_n(&node->length, __ATOMIC_ACQUIRE);

    return length < 0 ? 0 : (uint64_t)length;
}

static int call(struct bp_block_node *node, enum bp_block_op op, uint64_t offset, uint64_t bytes,
                const struct iovec *iov, unsigned n, uint32_t flags,
                const struct bp_block_request *origin)
{
    struct bp_block_request req = *origin;

    req.size = sizeof(req);
    req.offset = offset;
    req.bytes = bytes;
    req.iov = iov;
    req.iov_count = n;
    req.flags = flags & (node->driver->native | BP_BLOCK_MAY_UNMAP | BP_BLOCK_NO_FALLBACK |
                         BP_BLOCK_UNCHANGED);
    if (op == BP_BLOCK_READ)
        return node->driver->read(node, &req);
    return node->driver->write(node, &req);
}

/* One piece that is aligned and not too long, with memory as the driver wants it. */
static int piece(struct bp_block_node *node, enum bp_block_op op, uint64_t offset, uint64_t bytes,
                 const struct iovec *iov, unsigned n, size_t skip, uint32_t flags,
                 const struct bp_block_request *origin)
{
    struct iovec local[16], *part = n <= BP_COUNT(local) ? local : malloc(n * sizeof(*part)), one;
    unsigned used, limit = node->limits.max_iov ? node->limits.max_iov : 1024;
    int ret;

    if (!part)
        return -ENOMEM;
    used = iov_slice(part, iov, n, skip, (size_t)bytes);
    if (used <= limit && iov_is_aligned(part, used, memory_alignment(node))) {
        ret = call(node, op, offset, bytes, part, used, flags, origin);
    } else {
        one = (struct iovec){buffer(node, (size_t)bytes), (size_t)bytes};
        ret = one.iov_base ? 0 : -ENOMEM;
        if (ret == 0 && op == BP_BLOCK_WRITE)
            iov_gather(part, used, 0, one.iov_base, (size_t)bytes);
        if (ret == 0)
            ret = call(node, op, offset, bytes, &one, 1, flags, origin);
        if (ret == 0 && op == BP_BLOCK_READ)
            iov_scatter(part, used, 0, one.iov_base, (size_t)bytes);
        free(one.iov_base);
    }
    if (part != local)
        free(part);
    return ret;
}

/* How much of an aligned range goes in one piece. */
static uint64_t piece_length(const struct bp_block_node *node, const struct iovec *iov, unsigned n,
                             uint64_t bytes)
{
    uint64_t max = node->limits.max_transfer ? DOWN(node->limits.max_transfer, alignment(node))
                                             : BP_BLOCK_MAX_REQUEST;
    unsigned limit = node->limits.max_iov ? node->limits.max_iov : 1024;

    if (max == 0)
        max = alignment(node);
    /* What has to be bounced goes in pieces of a bounded size. */
    if (n > limit || !iov_is_aligned(iov, n, memory_alignment(node)))
        max = max < MAX_BOUNCE ? max : UP(MAX_BOUNCE, alignment(node));
    return bytes < max ? bytes : max;
}

/* Aligned, but as long as it likes. Reads past the end give zeroes. */
static int pieces(struct bp_block_node *node, enum bp_block_op op, uint64_t offset, uint64_t bytes,
                  const struct iovec *iov, unsigned n, size_t skip, uint32_t flags,
                  const struct bp_block_request *origin)
{
    uint64_t done = 0, there = bytes;
    int ret = 0;

    if (op == BP_BLOCK_READ) {
        uint64_t end = UP(node_end(node), alignment(node));

        there = end <= offset ? 0 : end - offset < bytes ? end - offset : bytes;
    }
    while (ret == 0 && done < there) {
        uint64_t now = piece_length(node, iov, n, there - done);

        ret = piece(node, op, offset + done, now, iov, n, skip + (size_t)done, flags, origin);
        done += now;
    }
    if (ret == 0 && there < bytes)
        iov_fill(iov, n, skip + (size_t)there, 0, (size_t)(bytes - there));
    /* The last block of a file may be shorter than one of its blocks. */
    if (ret == 0 && op == BP_BLOCK_READ && offset + there > node_end(node) && node_end(node) > offset)
        iov_fill(iov, n, skip + (size_t)(node_end(node) - offset), 0,
                 (size_t)(offset + there - node_end(node)));
    return ret;
}

/* A request with its head and tail up to the alignment. */
struct padded {
    uint64_t offset, bytes;  /* aligned */
    size_t head, tail;
    uint8_t *buf;            /* a block for the head, one for the tail */
    struct iovec *iov;
    unsigned n;
};

static int pad(struct bp_block_node *node, const struct bp_block_request *req, struct padded *p)
{
    uint64_t align = alignment(node);
    unsigned n = 0;

    p->offset = DOWN(req->offset, align);
    p->bytes = UP(req->offset + req->bytes, align) - p->offset;
    p->head = (size_t)(req->offset - p->offset);
    p->tail = (size_t)(p->offset + p->bytes - req->offset - req->bytes);
    p->buf = buffer(node, 2 * (size_t)align);
    p->iov = malloc((req->iov_count + 2) * sizeof(*p->iov));
    if (!p->buf || !p->iov) {
        free(p->buf);
        free(p->iov);
        return -ENOMEM;
    }
    if (p->head)
        p->iov[n++] = (struct iovec){p->buf, p->head};
    n += iov_slice(p->iov + n, req->iov, req->iov_count, 0, (size_t)req->bytes);
    if (p->tail)
        p->iov[n++] = (struct iovec){p->buf + 2 * align - p->tail, p->tail};
    p->n = n;
    return 0;
}

static void unpad(struct padded *p)
{
    free(p->buf);
    free(p->iov);
}

/* What a write would overwrite in its first and last block. */
static int read_edges(struct bp_block_node *node, struct padded *p,
                      const struct bp_block_request *req)
{
    uint64_t align = alignment(node);
    struct iovec first = {p->buf, (size_t)align}, last = {p->buf + align, (size_t)align};
    uint64_t end = p->offset + p->bytes - align;
    int ret = 0;

    if (p->head || p->bytes == align)
        ret = pieces(node, BP_BLOCK_READ, p->offset, align, &first, 1, 0, 0, req);
    if (ret == 0 && p->tail && p->bytes == align)
        memcpy(last.iov_base, first.iov_base, (size_t)align);
    else if (ret == 0 && p->tail)
        ret = pieces(node, BP_BLOCK_READ, end, align, &last, 1, 0, 0, req);
    return ret;
}

static void wrote(struct bp_block_node *node, uint64_t end)
{
    uint64_t old = __atomic_load_n(&node->highest_write, __ATOMIC_RELAXED);

    while (end > old && !__atomic_compare_exchange_n(&node->highest_write, &old, end, true,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    __atomic_fetch_add(&node->writes, 1, __ATOMIC_ACQ_REL);
}

/* A file whose last block is short has become longer by what the alignment added: back again. */
static int trim(struct bp_block_node *node, uint64_t end, uint64_t before, uint64_t padded_end)
{
    uint64_t want = end > before ? end : before;

    if (padded_end <= want || padded_end <= before || !node->driver->resize)
        return 0;
    return node->driver->resize(node, want, false, NULL);
}

/* Vectors to where they belong; the range is tracked. */
static int transfer(struct bp_block_node *node, enum bp_block_op op,
                    const struct bp_block_request *req)
{
    uint64_t align = alignment(node), before = node_end(node), end = req->offset + req->bytes;
    struct padded p;
    int ret;

    if (((req->offset | req->bytes) & (align - 1)) == 0) {
        ret = pieces(node, op, req->offset, req->bytes, req->iov, req->iov_count, 0, req->flags, req);
    } else {
        ret = pad(node, req, &p);
        if (ret < 0)
            return ret;
        if (op == BP_BLOCK_WRITE)
            ret = read_edges(node, &p, req);
        if (ret == 0)
            ret = pieces(node, op, p.offset, p.bytes, p.iov, p.n, 0, req->flags, req);
        if (ret == 0 && op == BP_BLOCK_WRITE)
            ret = trim(node, end, before, p.offset + p.bytes);
        unpad(&p);
    }
    if (ret == 0 && op == BP_BLOCK_WRITE)
        node_grow_length(node, end);
    return ret;
}

/* ---- zeroes ---- */

static int zero_by_writing(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                           const struct bp_block_request *origin)
{
    size_t size = bytes < MAX_BOUNCE ? (size_t)bytes : MAX_BOUNCE;
    struct iovec iov = {buffer(node, size), 0};
    int ret = 0;

    if (!iov.iov_base)
        return -ENOMEM;
    memset(iov.iov_base, 0, size);
    while (ret == 0 && bytes > 0) {
        struct bp_block_request req = *origin;

        iov.iov_len = bytes < size ? (size_t)bytes : size;
        req.offset = offset;
        req.bytes = iov.iov_len;
        req.iov = &iov;
        req.iov_count = 1;
        ret = transfer(node, BP_BLOCK_WRITE, &req);
        offset += iov.iov_len;
        bytes -= iov.iov_len;
    }
    free(iov.iov_base);
    return ret;
}

static int zero_middle(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                       const struct bp_block_request *origin)
{
    uint64_t max = node->limits.max_zero ? DOWN(node->limits.max_zero, alignment(node)) : UINT64_MAX;
    int ret = 0;

    while (ret == 0 && bytes > 0) {
        struct bp_block_request req = *origin;

        req.size = sizeof(req);
        req.offset = offset;
        req.bytes = max && bytes > max ? max : bytes;
        req.iov = NULL;
        req.iov_count = 0;
        req.flags &= node->driver->native | BP_BLOCK_MAY_UNMAP | BP_BLOCK_NO_FALLBACK;
        if (!node->unmap)
            req.flags &= ~BP_BLOCK_MAY_UNMAP;
        ret = node->driver->write_zeroes ? node->driver->write_zeroes(node, &req) : -ENOTSUP;
        if (ret == -ENOTSUP && !(origin->flags & BP_BLOCK_NO_FALLBACK))
            ret = zero_by_writing(node, offset, req.bytes, origin);
        offset += req.bytes;
        bytes -= req.bytes;
    }
    return ret;
}

static int zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    uint64_t align = alignment(node), end = req->offset + req->bytes;
    uint64_t first = UP(req->offset, align), last = DOWN(end, align);
    int ret = 0;

    if (first >= last) /* no whole block */
        return req->flags & BP_BLOCK_NO_FALLBACK && align > 1
                   ? -ENOTSUP
                   : zero_by_writing(node, req->offset, req->bytes, req);
    if (first > req->offset)
        ret = zero_by_writing(node, req->offset, first - req->offset, req);
    if (ret == 0)
        ret = zero_middle(node, first, last - first, req);
    if (ret == 0)
        node_grow_length(node, last);
    if (ret == 0 && end > last)
        ret = zero_by_writing(node, last, end - last, req);
    return ret;
}

/* ---- the others ---- */

/* Whole blocks only: it is a hint. */
static int discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    uint64_t align = node->limits.discard_alignment, first, last, max;
    int ret = 0;

    if (!node->unmap || !node->driver->discard)
        return 0;
    if (align < alignment(node))
        align = alignment(node);
    first = UP(req->offset, align);
    last = DOWN(req->offset + req->bytes, align);
    max = node->limits.max_discard ? DOWN(node->limits.max_discard, align) : UINT64_MAX;
    while (ret == 0 && first < last) {
        struct bp_block_request part = *req;

        part.size = sizeof(part);
        part.offset = first;
        part.bytes = max && last - first > max ? max : last - first;
        part.flags = 0;
        ret = node->driver->discard(node, &part);
        first += part.bytes;
    }
    return ret == -ENOTSUP ? 0 : ret;
}

int node_flush(struct bp_block_node *node)
{
    uint64_t covered = __atomic_load_n(&node->writes, __ATOMIC_ACQUIRE) + 1, old;
    int ret = 0;

    if (node->flags.read_only || __atomic_load_n(&node->flushed, __ATOMIC_ACQUIRE) >= covered)
        return 0;
    if (node->driver->flush && (!node->no_flush || !(node->driver->flags & BP_BLOCK_PROTOCOL)))
        ret = node->driver->flush(node);
    for (struct bp_block_child *c = node->children; ret == 0 && c; c = c->next)
        if (c->node && !(c->roles & BP_BLOCK_BACKING))
            ret = node_flush(c->node);
    if (ret < 0)
        return ret;
    old = __atomic_load_n(&node->flushed, __ATOMIC_RELAXED);
    while (old < covered && !__atomic_compare_exchange_n(&node->flushed, &old, covered, true,
                                                         __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        ;
    return 0;
}

/* A probed image is raw: its first block must not turn into another format's header, or the next start
 * would take it for that, with whatever file names it holds. */
static bool breaks_header(struct bp_block_node *node, const struct bp_block_request *req)
{
    uint8_t head[512] = {0};

    if (!node->guard_header || req->offset >= sizeof(head) || !req->iov)
        return false;
    iov_gather(req->iov, req->iov_count, 0, head + req->offset, sizeof(head) - (size_t)req->offset);
    return req->offset == 0 && probe_magic(head, sizeof(head)) != NULL;
}

static int check(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *req,
                 struct bp_error *err)
{
    uint64_t end = req->offset + req->bytes;

    if (req->offset > BP_BLOCK_MAX_LENGTH || req->bytes > BP_BLOCK_MAX_LENGTH ||
        end > BP_BLOCK_MAX_LENGTH)
        return bp_fail(err, EIO, "out of range");
    if (op == BP_BLOCK_READ)
        return node->driver->read ? 0 : -ENOTSUP;
    if (node->flags.read_only)
        return -EPERM;
    if (node->corrupt)
        return -EIO;
    if (op == BP_BLOCK_WRITE && !node->driver->write)
        return -ENOTSUP;
    if (op == BP_BLOCK_WRITE && breaks_header(node, req))
        return -EPERM;
    return 0;
}

static int changed(struct bp_block_node *node, enum bp_block_op op, struct bp_block_request *req)
{
    uint64_t end = req->offset + req->bytes;
    int ret;

    if (op != BP_BLOCK_DISCARD && end > node_end(node) && !(node->driver->flags & BP_BLOCK_GROWS)) {
        ret = node_resize(node, end, false, NULL);
        if (ret < 0)
            return ret;
    }
    if (op == BP_BLOCK_WRITE && node->detect != DETECT_OFF &&
        iov_is_zero(req->iov, req->iov_count)) {
        op = BP_BLOCK_WRITE_ZEROES;
        if (node->detect == DETECT_UNMAP)
            req->flags |= BP_BLOCK_MAY_UNMAP;
    }
    ret = op == BP_BLOCK_WRITE ? transfer(node, op, req)
          : op == BP_BLOCK_WRITE_ZEROES ? zeroes(node, req) : discard(node, req);
    if (ret == 0 && op != BP_BLOCK_DISCARD)
        wrote(node, end);
    else if (ret == 0) /* a flush makes it last, too */
        __atomic_fetch_add(&node->writes, 1, __ATOMIC_ACQ_REL);
    if (ret == 0 && (req->flags & BP_BLOCK_FUA) && !(node->driver->native & BP_BLOCK_FUA))
        ret = node_flush(node);
    return ret;
}

static void tell_threshold(struct bp_block_node *node, const struct bp_block_request *req);

/* ---- who watches ---- */

void watch_add(struct bp_block_node *node, struct watch *watch)
{
    watch->next = node->watches;
    node->watches = watch;
}

void watch_remove(struct bp_block_node *node, struct watch *watch)
{
    struct watch **link = &node->watches;

    while (*link && *link != watch)
        link = &(*link)->next;
    if (*link)
        *link = watch->next;
}

static void tell_before(struct bp_block_node *node, const struct bp_block_request *req)
{
    for (struct watch *w = node->watches; w; w = w->next)
        if (w->before)
            w->before(w->opaque, req->offset, req->bytes);
}

static void tell_after(struct bp_block_node *node, const struct bp_block_request *req)
{
    bitmaps_mark(node, req->offset, req->bytes);
    for (struct watch *w = node->watches; w; w = w->next)
        if (w->after)
            w->after(w->opaque, req->offset, req->bytes);
}

int node_copy_up(struct bp_block_node *node, uint64_t offset, uint64_t bytes, uint8_t *buf, bool *ret_reads)
{
    struct iovec iov = {buf, (size_t)bytes};
    struct bp_block_request req = {.size = sizeof(req), .flags = BP_BLOCK_UNCHANGED, .offset = offset, .bytes = bytes,
                                   .iov = &iov, .iov_count = 1};
    uint64_t align = alignment(node), at = offset;
    struct tracked t;
    int ret = track_begin(node, &t, DOWN(offset, align), UP(offset + bytes, align), true);

    *ret_reads = true;
    if (ret < 0)
        return ret;
    while (ret == 0 && at < offset + bytes) { /* guests may have written to parts of it by now */
        struct bp_block_status status;

        ret = node_status(node, at, offset + bytes - at, &status);
        if (ret < 0)
            break;
        req.offset = at;
        req.bytes = iov.iov_len = (size_t)status.bytes;
        req.iov = &iov;
        req.iov_count = 1;
        *ret_reads = true;
        at += status.bytes;
        if (status.flags & BP_BLOCK_STATUS_ALLOCATED)
            continue;
        ret = transfer(node, BP_BLOCK_READ, &req);
        *ret_reads = ret < 0;
        if (ret == 0 && iov_is_zero(&iov, 1)) {
            req.iov = NULL;
            req.iov_count = 0;
            ret = zeroes(node, &req);
        } else if (ret == 0) {
            ret = transfer(node, BP_BLOCK_WRITE, &req);
        }
        if (ret == 0)
            wrote(node, 0);
    }
    track_end(node, &t);
    return ret;
}

int node_request(struct bp_block_node *node, enum bp_block_op op, const struct bp_block_request *given)
{
    struct bp_block_request req;
    uint64_t align = alignment(node), start, end;
    bool serialise;
    struct tracked t;
    int ret;

    if (op == BP_BLOCK_FLUSH)
        return node_flush(node);
    req = *given;
    ret = check(node, op, &req, NULL);
    if (ret < 0 || req.bytes == 0)
        return ret;
    if (op != BP_BLOCK_READ && node->watches)
        tell_before(node, &req);
    start = DOWN(req.offset, align);
    end = UP(req.offset + req.bytes, align);
    serialise = (op != BP_BLOCK_READ && op != BP_BLOCK_DISCARD &&
                 (start != req.offset || end != req.offset + req.bytes)) ||
                (op == BP_BLOCK_READ && node->driver->flags & BP_BLOCK_SERIAL_READS) ||
                (op != BP_BLOCK_READ && end > node_end(node));
    ret = track_begin(node, &t, start, end, serialise);
    if (ret < 0)
        return ret;
    if (op == BP_BLOCK_READ) {
        ret = transfer(node, op, &req);
    } else {
        tell_threshold(node, &req);
        ret = changed(node, op, &req);
    }
    track_end(node, &t);
    if (op != BP_BLOCK_READ && (node->watches || node->bitmaps))
        tell_after(node, given);
    return ret;
}

/* Nothing is made up for: who does not get it reads. */
int64_t node_splice(struct bp_block_node *node, uint64_t offset, uint64_t bytes, int pipe)
{
    uint64_t end = node_end(node);

    if (!node->driver->splice || node->driver->flags & BP_BLOCK_SERIAL_READS)
        return -ENOTSUP;
    if (bytes == 0 || offset >= end || bytes > end - offset || track_would_wait(node, offset, offset + bytes))
        return -EAGAIN;
    return node->driver->splice(node, offset, bytes, pipe);
}

static const struct bp_field threshold_data[] = {
    BP_ARG("node-name", STRING, "the node"),
    BP_ARG("amount-exceeded", UINT64, "bytes by which the write goes beyond the threshold"),
    BP_ARG("write-threshold", UINT64, "the threshold, in bytes"), BP_FIELDS_END};
BP_EVENT(block_threshold_event, "BLOCK_WRITE_THRESHOLD", "a write went beyond a node's threshold",
         threshold_data, 0);

static void tell_threshold(struct bp_block_node *node, const struct bp_block_request *req)
{
    uint64_t threshold = __atomic_load_n(&node->threshold, __ATOMIC_ACQUIRE);
    uint64_t end = req->offset + req->bytes;
    struct bp_value *data;

    if (threshold == 0 || end <= threshold ||
        !__atomic_compare_exchange_n(&node->threshold, &threshold, 0, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    data = bp_value_dict();
    bp_value_set(data, "node-name", bp_value_string(node->name));
    bp_value_set(data, "amount-exceeded", bp_value_uint(end - threshold));
    bp_value_set(data, "write-threshold", bp_value_uint(threshold));
    bp_event_send(&block_threshold_event, data);
}

int node_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes,
                struct bp_block_status *ret)
{
    struct bp_block_status status = {.size = sizeof(status)};
    struct bp_block_child *primary = node_primary(node);
    uint64_t end = node_end(node);
    int r = 0;

    if (offset >= end || bytes == 0)
        return -EINVAL;
    if (bytes > end - offset)
        bytes = end - offset;
    if (node->driver->status)
        r = node->driver->status(node, offset, bytes, &status);
    else if (node->driver->flags & BP_BLOCK_FILTER && primary)
        r = node_status(primary->node, offset, bytes, &status);
    else
        status = (struct bp_block_status){.size = sizeof(status), .bytes = bytes,
                                          .flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED};
    if (r < 0)
        return r;
    if (status.bytes == 0 || status.bytes > bytes)
        status.bytes = bytes;
    *ret = status;
    return 0;
}

int node_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct bp_block_child *primary = node_primary(node);
    int ret;

    if (length > BP_BLOCK_MAX_LENGTH)
        return bp_fail(err, EFBIG, "node '%s': a length of %llu bytes is too long", node->name,
                       (unsigned long long)length);
    if (node->flags.read_only)
        return bp_fail(err, EACCES, "node '%s' is read-only", node->name);
    if (node->driver->resize)
        ret = node->driver->resize(node, length, exact, err);
    else if (node->driver->flags & BP_BLOCK_FILTER && primary)
        ret = node_resize(primary->node, length, exact, err);
    else
        return bp_fail(err, ENOTSUP, "node '%s': driver '%s' cannot change its length", node->name,
                       node->driver->type.name + sizeof("block-") - 1);
    if (ret == 0)
        node_set_length(node, length);
    return ret;
}
