/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests: which clusters they lock, where their data goes, and what the tables say afterwards. [co], any context */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

#define ALLOC_AT_ONCE (8u << 20) /* bytes of new clusters for one piece of a write */
#define PAGE 4096u               /* what hosts move at once */
#define LARGE_EDGES (256u << 10) /* zeroes of which a hole is made */

/* ---- the file below ---- */

int io_child(struct qcow *s, struct bp_block_child *child, enum bp_block_op op, uint64_t offset, void *buf,
             uint64_t bytes)
{
    struct iovec iov = {buf, (size_t)bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes, .iov = buf ? &iov : NULL,
                                   .iov_count = buf ? 1 : 0};

    (void)s;
    return block->child_request(child, op, &req);
}

/* Vectors of `bytes` from `skip` on, after room for one more. */
static struct iovec *cut(const struct iovec *iov, unsigned n, uint64_t skip, uint64_t bytes, unsigned *ret_n)
{
    struct iovec *to = malloc((n + 2) * sizeof(*to));
    unsigned used = 0;

    for (unsigned i = 0; to && i < n && bytes > 0; i++) {
        uint64_t length = iov[i].iov_len;

        if (skip >= length) {
            skip -= length;
            continue;
        }
        length -= skip;
        if (length > bytes)
            length = bytes;
        to[1 + used].iov_base = (char *)iov[i].iov_base + skip;
        to[1 + used++].iov_len = (size_t)length;
        bytes -= length;
        skip = 0;
    }
    *ret_n = used;
    return to;
}

void copy_out(const struct iovec *iov, unsigned n, uint64_t skip, const uint8_t *from, uint64_t bytes)
{
    for (unsigned i = 0; i < n && bytes > 0; i++) {
        uint64_t length = iov[i].iov_len;

        if (skip >= length) {
            skip -= length;
            continue;
        }
        length = length - skip < bytes ? length - skip : bytes;
        if (from)
            memcpy((char *)iov[i].iov_base + skip, from, (size_t)length);
        else
            memset((char *)iov[i].iov_base + skip, 0, (size_t)length);
        from = from ? from + length : NULL;
        bytes -= length;
        skip = 0;
    }
}

static int vectors(struct qcow *s, struct bp_block_child *child, enum bp_block_op op, uint64_t offset,
                   const struct iovec *iov, unsigned n, uint64_t skip, uint64_t bytes)
{
    unsigned used;
    struct iovec *part;
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes};
    int ret;

    if (s->crypt && child != s->backing)
        return crypt_io(s, op, offset, iov, n, skip, bytes);
    part = cut(iov, n, skip, bytes, &used);
    req.iov_count = used;

    if (!part)
        return -ENOMEM;
    req.iov = part + 1;
    ret = block->child_request(child, op, &req);
    free(part);
    return ret;
}

/* ---- ranges ---- */

/* Of those that came before: nobody waits in a ring. */
static bool has_to_wait(const struct qcow *s, const struct range *r)
{
    for (const struct range *other = s->ranges; other && other != r; other = other->next)
        if (other->first <= r->last && r->first <= other->last && (r->alone || other->alone))
            return true;
    return false;
}

/* Under the lock: those that wait look again. */
static void unlink_range(struct qcow *s, struct range *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    else
        s->range_tail = r->link;
    for (struct range *other = s->ranges; other; other = other->next) {
        if (!other->waits)
            continue;
        __atomic_store_n(&other->again, true, __ATOMIC_RELEASE);
        bp_co_wake(other->waits);
    }
}

/* Gives up the lock meanwhile. A wake-up that comes before the wait is not lost. */
static int wait_for_others(struct qcow *s, struct range *r)
{
    int ret = 0;

    if (!block->may_wait())
        return -EWOULDBLOCK;
    r->waits = bp_co_current();
    __atomic_store_n(&r->again, false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&s->range_lock);
    while (ret == 0 && !__atomic_load_n(&r->again, __ATOMIC_ACQUIRE))
        ret = bp_co_yield();
    pthread_mutex_lock(&s->range_lock);
    r->waits = NULL;
    return ret;
}

int range_lock(struct qcow *s, struct range *r, uint64_t offset, uint64_t bytes, bool alone)
{
    int ret = 0;

    *r = (struct range){.first = offset >> s->cluster_bits, .last = (offset + bytes - 1) >> s->cluster_bits,
                        .alone = alone};
    pthread_mutex_lock(&s->range_lock);
    r->link = s->range_tail;
    *r->link = r;
    s->range_tail = &r->next;
    while (ret == 0 && has_to_wait(s, r))
        ret = wait_for_others(s, r);
    if (ret < 0)
        unlink_range(s, r);
    pthread_mutex_unlock(&s->range_lock);
    return ret;
}

void range_unlock(struct qcow *s, struct range *r)
{
    pthread_mutex_lock(&s->range_lock);
    unlink_range(s, r);
    pthread_mutex_unlock(&s->range_lock);
}

/* ---- reading ---- */

/* The range is locked. */
static int read_range(struct qcow *s, uint64_t guest, uint64_t bytes, const struct iovec *iov, unsigned n,
                      uint64_t skip)
{
    int ret = 0;

    while (ret == 0 && bytes > 0) {
        struct extent e;

        bp_co_mutex_lock(s->lock);
        ret = map_find(s, guest, bytes, &e);
        bp_co_mutex_unlock(s->lock);
        if (ret < 0)
            return ret;
        if (e.type == UNALLOCATED && s->backing)
            ret = vectors(s, s->backing, BP_BLOCK_READ, guest, iov, n, skip, e.bytes);
        else if (e.type == NORMAL)
            ret = vectors(s, s->data, BP_BLOCK_READ, e.host, iov, n, skip, e.bytes);
        else if (e.type == PACKED)
            ret = read_packed(s, guest, bytes, &e, iov, n, skip);
        else
            copy_out(iov, n, skip, NULL, e.bytes);
        guest += e.bytes;
        skip += e.bytes;
        bytes -= e.bytes;
    }
    return ret;
}

int qcow_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct qcow *s = block->state(node);
    struct range r;
    int ret;

    ret = range_lock(s, &r, req->offset, req->bytes, false);
    if (ret < 0)
        return ret;
    ret = read_range(s, req->offset, req->bytes, req->iov, req->iov_count, 0);
    range_unlock(s, &r);
    return ret;
}

/* ---- writing ---- */

/* A piece of a write whose clusters are new, or partly filled for the first time. */
struct plan {
    uint64_t guest, bytes; /* of the request */
    uint64_t from, to;     /* what is written, with what was there before and after it */
    uint64_t base, host, clusters; /* first cluster: of the guest, of the file */
    bool fresh;
    bool virgin;                   /* the clusters read as zeroes */
    bool head_zero, tail_zero;     /* what was there before and after the request reads as zeroes */
    uint64_t *old; /* entries as they were; NULL: the cluster stays */
};

/* Data that only other tables may go on referring to: all of it moves. */
static bool holds_data(const struct qcow *s, uint64_t entry, uint64_t bitmap)
{
    return entry & COMPRESSED || (s->subs > 1 && entry & OFFSET_MASK && bitmap & UINT32_MAX);
}

static uint64_t plan_from(const struct qcow *s, const struct plan *p, uint64_t entry, uint64_t bitmap)
{
    uint64_t inside = p->guest - p->base;

    if (p->fresh && holds_data(s, entry, bitmap))
        return p->base;
    if (!p->fresh && entry_type(s, entry, bitmap, (unsigned)(inside / s->sub)) == NORMAL)
        return p->guest;
    return down(p->guest, s->sub);
}

static uint64_t plan_to(const struct qcow *s, const struct plan *p, uint64_t entry, uint64_t bitmap)
{
    uint64_t end = p->guest + p->bytes, inside = (end - 1) & (s->cluster - 1);

    if (p->fresh && holds_data(s, entry, bitmap))
        return up(end, s->cluster);
    if (!p->fresh && entry_type(s, entry, bitmap, (unsigned)(inside / s->sub)) == NORMAL)
        return end;
    return up(end, s->sub);
}

/* New clusters for as many in a row as need one, and are told in the same slice. */
static int plan_clusters(struct qcow *s, struct plan *p, const struct slice *slice, const uint8_t *at)
{
    uint64_t most = ALLOC_AT_ONCE >> s->cluster_bits ? ALLOC_AT_ONCE >> s->cluster_bits : 1, n = 1, host, got;
    int ret;

    while (n < most && p->base + n * s->cluster < p->guest + p->bytes &&
           at + (n + 1) * s->entry <= slice->data + s->meta.size && !is_own(s, get_be64(at + n * s->entry)))
        n++;
    if (has_data_file(s)) {
        host = p->base;
        got = n;
    } else {
        ret = clusters_alloc_data(s, n, &host, &got, &p->virgin);
        if (ret < 0)
            return ret;
    }
    p->old = malloc(got * sizeof(*p->old));
    if (!p->old) {
        if (!has_data_file(s))
            clusters_free(s, host, got, s->discard_other);
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < got; i++)
        p->old[i] = get_be64(at + i * s->entry);
    p->host = host;
    p->clusters = got;
    return 0;
}

/* The rest of the subcluster that a byte of the request lies in, where only that is filled. */
static bool rest_is_zero(const struct qcow *s, const struct plan *p, uint64_t at, uint64_t entry, uint64_t bitmap)
{
    enum cluster_type type = entry_type(s, entry, bitmap, (unsigned)((at & (s->cluster - 1)) / s->sub));

    return !(p->fresh && holds_data(s, entry, bitmap)) &&
           (type == ZERO_PLAIN || type == ZERO_ALLOCATED || (type == UNALLOCATED && !s->backing));
}

static int plan_make(struct qcow *s, struct plan *p)
{
    struct slice *slice;
    uint64_t entry, bitmap, last;
    uint8_t *at;
    int ret = header_mark(s);

    if (ret == 0)
        ret = map_entry(s, p->guest, true, &slice, &at);
    if (ret < 0)
        return ret;
    entry = get_be64(at);
    p->base = down(p->guest, s->cluster);
    p->fresh = !is_own(s, entry);
    p->clusters = 1;
    p->host = has_data_file(s) ? p->base : down(entry & OFFSET_MASK, s->cluster);
    if (p->fresh)
        ret = plan_clusters(s, p, slice, at);
    else if (!has_data_file(s))
        ret = overlap_check(s, p->host, s->cluster);
    if (ret == 0) {
        if (p->bytes > p->base + p->clusters * s->cluster - p->guest)
            p->bytes = p->base + p->clusters * s->cluster - p->guest;
        bitmap = s->subs > 1 ? get_be64(at + 8) : 0;
        p->from = plan_from(s, p, entry, bitmap);
        p->head_zero = rest_is_zero(s, p, p->guest, entry, bitmap);
        last = ((p->guest + p->bytes - 1) >> s->cluster_bits) - (p->base >> s->cluster_bits);
        entry = get_be64(at + last * s->entry);
        bitmap = s->subs > 1 ? get_be64(at + last * s->entry + 8) : 0;
        p->to = plan_to(s, p, entry, bitmap);
        p->tail_zero = rest_is_zero(s, p, p->guest + p->bytes - 1, entry, bitmap);
    }
    meta_put(slice);
    return ret;
}

/* What goes to the file: the request, and what was there before and after it. */
struct filled {
    uint64_t head, tail; /* bytes */
    uint8_t *edges;      /* both, one after the other */
};

static bool is_zero(const uint8_t *data, uint64_t bytes)
{
    return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, (size_t)bytes - 1) == 0);
}

static int read_edge(struct qcow *s, uint64_t guest, uint8_t *to, uint64_t bytes)
{
    struct iovec iov = {to, (size_t)bytes};

    return bytes ? read_range(s, guest, bytes, &iov, 1, 0) : 0;
}

/*
 * A hole is made of large edges of zeroes, where the file below can do that by itself: whatever was in the clusters
 * before is gone then. Small ones are written faster.
 */
static bool make_hole(struct qcow *s, const struct plan *p)
{
    struct bp_block_request req = {.size = sizeof(req), .offset = p->host + (p->from - p->base),
                                   .bytes = p->to - p->from, .flags = BP_BLOCK_NO_FALLBACK};

    return p->fresh && !s->crypt && p->to - p->from - p->bytes >= LARGE_EDGES &&
           block->child_request(s->data, BP_BLOCK_WRITE_ZEROES, &req) == 0;
}

/* Where the clusters read as zeroes, those at the outer ends are left out, but for what makes pages whole. */
static int fill_edges(struct qcow *s, const struct plan *p, struct filled *f)
{
    uint64_t end = p->guest + p->bytes, head = p->guest & (PAGE - 1), tail = up(end, PAGE) - end;
    bool head_zero = p->head_zero || p->guest == p->from, tail_zero = p->tail_zero || p->to == end;
    bool blank = p->virgin || (head_zero && tail_zero && make_hole(s, p));
    int ret = 0;

    *f = (struct filled){p->guest - p->from, p->to - end, NULL};
    head = head < f->head ? head : f->head;
    tail = tail < f->tail ? tail : f->tail;
    if (blank && head_zero)
        f->head = head;
    if (blank && tail_zero)
        f->tail = tail;
    if (f->head + f->tail == 0)
        return 0;
    f->edges = calloc(1, f->head + f->tail);
    if (!f->edges)
        return -ENOMEM;
    if (!head_zero)
        ret = read_edge(s, p->guest - f->head, f->edges, f->head);
    if (ret == 0 && !tail_zero)
        ret = read_edge(s, end, f->edges + f->head, f->tail);
    if (ret == 0 && blank && is_zero(f->edges + f->head, f->tail))
        f->tail = tail;
    if (ret == 0 && blank && is_zero(f->edges, f->head)) {
        memmove(f->edges + head, f->edges + f->head, f->tail);
        f->head = head;
    }
    return ret;
}

static int plan_write(struct qcow *s, const struct plan *p, const struct iovec *iov, unsigned n, uint64_t skip)
{
    struct filled f;
    unsigned used;
    struct iovec *all = cut(iov, n, skip, p->bytes, &used), *first = all ? all + 1 : NULL;
    struct bp_block_request req = {.size = sizeof(req)};
    int ret = fill_edges(s, p, &f);

    if (ret == 0 && !all)
        ret = -ENOMEM;
    if (ret == 0 && f.head) {
        *--first = (struct iovec){f.edges, (size_t)f.head};
        used++;
    }
    if (ret == 0 && f.tail)
        first[used++] = (struct iovec){f.edges + f.head, (size_t)f.tail};
    req.offset = p->host + (p->guest - f.head - p->base);
    req.bytes = f.head + p->bytes + f.tail;
    req.iov = first;
    req.iov_count = used;
    if (ret == 0)
        ret = s->crypt ? crypt_io(s, BP_BLOCK_WRITE, req.offset, first, used, 0, req.bytes)
                       : block->child_request(s->data, BP_BLOCK_WRITE, &req);
    free(all);
    free(f.edges);
    return ret;
}

static uint64_t new_bitmap(const struct qcow *s, const struct plan *p, uint64_t cluster, uint64_t old, bool keep)
{
    uint64_t base = p->base + cluster * s->cluster, lo = p->from > base ? p->from - base : 0;
    uint64_t hi = p->to - base < s->cluster ? p->to - base : s->cluster;
    uint64_t bits = 0;

    for (uint64_t i = lo / s->sub; i < up(hi, s->sub) / s->sub; i++)
        bits |= UINT64_C(1) << i;
    return ((keep ? old : old & ~(uint64_t)UINT32_MAX) & ~(bits << 32)) | bits;
}

static int plan_link(struct qcow *s, const struct plan *p)
{
    struct slice *slice;
    uint8_t *at;
    int ret = map_entry(s, p->base, true, &slice, &at);

    if (ret < 0)
        return ret;
    for (uint64_t i = 0; i < p->clusters; i++, at += s->entry) {
        put_be64(at, (p->host + i * s->cluster) | COPIED);
        if (s->subs > 1)
            put_be64(at + 8, new_bitmap(s, p, i, p->old && p->old[i] & COMPRESSED ? 0 : get_be64(at + 8), !p->old));
        if (p->old)
            entry_free(s, p->old[i], s->discard_other);
    }
    meta_dirty(&s->meta, slice);
    meta_put(slice);
    return 0;
}

/* As much as goes in one piece: *ret_bytes. */
static int write_new(struct qcow *s, uint64_t guest, uint64_t bytes, const struct iovec *iov, unsigned n,
                     uint64_t skip, uint64_t *ret_bytes)
{
    struct plan p = {.guest = guest, .bytes = bytes < ALLOC_AT_ONCE ? bytes : ALLOC_AT_ONCE};
    struct range r;
    int ret;

    ret = range_lock(s, &r, guest, p.bytes, true);
    if (ret < 0)
        return ret;
    bp_co_mutex_lock(s->lock);
    ret = plan_make(s, &p);
    bp_co_mutex_unlock(s->lock);
    if (ret == 0) {
        ret = plan_write(s, &p, iov, n, skip);
        bp_co_mutex_lock(s->lock);
        if (ret == 0)
            ret = plan_link(s, &p);
        if (ret < 0 && p.fresh && !has_data_file(s))
            clusters_free(s, p.host, p.clusters, s->discard_other);
        bp_co_mutex_unlock(s->lock);
    }
    range_unlock(s, &r);
    free(p.old);
    *ret_bytes = p.bytes;
    return ret;
}

/* Where the data lies already, by itself: nothing changes but the data. */
static int write_old(struct qcow *s, uint64_t guest, uint64_t bytes, const struct iovec *iov, unsigned n,
                     uint64_t skip, uint64_t *ret_bytes)
{
    struct extent e = {.bytes = 0};
    struct range r;
    int ret;

    *ret_bytes = 0;
    ret = range_lock(s, &r, guest, bytes, false);
    if (ret < 0)
        return ret;
    bp_co_mutex_lock(s->lock);
    ret = header_mark(s);
    if (ret == 0)
        ret = map_find(s, guest, bytes, &e);
    if (ret == 0 && e.type == NORMAL && e.own && !has_data_file(s))
        ret = overlap_check(s, e.host, e.bytes);
    bp_co_mutex_unlock(s->lock);
    if (ret == 0 && e.type == NORMAL && e.own) {
        ret = vectors(s, s->data, BP_BLOCK_WRITE, e.host, iov, n, skip, e.bytes);
        *ret_bytes = e.bytes;
    }
    range_unlock(s, &r);
    return ret;
}

int write_range(struct qcow *s, uint64_t guest, uint64_t bytes, const struct iovec *iov, unsigned n, uint64_t skip)
{
    while (bytes > 0) {
        uint64_t done;
        int ret = write_old(s, guest, bytes, iov, n, skip, &done);

        if (ret == 0 && done == 0)
            ret = write_new(s, guest, bytes, iov, n, skip, &done);
        if (ret < 0)
            return ret;
        guest += done;
        skip += done;
        bytes -= done;
    }
    return 0;
}

/* ---- compressed ---- */

struct packing {
    const struct qcow *s;
    const uint8_t *data;
    uint8_t *out;
    uint32_t bytes;
    int ret;
};

static void pack_it(void *opaque)
{
    struct packing *p = opaque;

    p->ret = pack(p->s, p->data, p->out, &p->bytes);
}

static int link_packed(struct qcow *s, uint64_t guest, uint64_t offset, uint32_t bytes)
{
    unsigned shift = 62 - (s->cluster_bits - 8);
    uint64_t sectors = ((offset + bytes - 1) >> 9) - (offset >> 9), old;
    struct slice *slice;
    uint8_t *at;
    int ret = map_entry(s, guest, true, &slice, &at);

    if (ret < 0)
        return ret;
    old = get_be64(at);
    put_be64(at, offset | sectors << shift | COMPRESSED);
    if (s->subs > 1)
        put_be64(at + 8, 0);
    meta_dirty(&s->meta, slice);
    meta_put(slice);
    entry_free(s, old, s->discard_other);
    return 0;
}

static int write_packed(struct qcow *s, uint64_t guest, const uint8_t *data, uint32_t bytes)
{
    uint64_t offset = 0;
    struct range r;
    int ret;

    ret = range_lock(s, &r, guest, s->cluster, true);
    if (ret < 0)
        return ret;
    bp_co_mutex_lock(s->lock);
    ret = header_mark(s);
    if (ret == 0)
        ret = bytes_alloc(s, bytes, &offset);
    if (ret == 0)
        ret = overlap_check(s, offset, bytes);
    bp_co_mutex_unlock(s->lock);
    if (ret == 0) {
        ret = io_child(s, s->file, BP_BLOCK_WRITE, offset, (void *)(uintptr_t)data, bytes);
        bp_co_mutex_lock(s->lock);
        if (ret == 0)
            ret = link_packed(s, guest, offset, bytes);
        if (ret < 0)
            clusters_free(s, down(offset, s->cluster),
                          (up(offset + bytes, s->cluster) - down(offset, s->cluster)) >> s->cluster_bits, false);
        bp_co_mutex_unlock(s->lock);
    }
    range_unlock(s, &r);
    return ret;
}

/* Whole clusters, the last one up to the end of the disk; others are written as they are. */
static int write_compressed(struct qcow *s, const struct bp_block_request *req)
{
    uint8_t *buf = malloc(2 * (size_t)s->cluster);
    uint64_t done = 0;
    int ret = buf ? 0 : -ENOMEM;

    while (ret == 0 && done < req->bytes) {
        uint64_t guest = req->offset + done, bytes = req->bytes - done;
        struct packing p = {s, buf, buf + s->cluster, 0, 0};

        if (bytes > s->cluster - (guest & (s->cluster - 1)))
            bytes = s->cluster - (guest & (s->cluster - 1));
        if ((guest & (s->cluster - 1)) == 0 && (bytes == s->cluster || guest + bytes == s->size) &&
            !has_data_file(s)) {
            struct iovec to = {buf, (size_t)bytes};
            unsigned n;
            struct iovec *part = cut(req->iov, req->iov_count, done, bytes, &n);

            if (!part) {
                ret = -ENOMEM;
                break;
            }
            for (unsigned i = 0; i < n; i++) {
                memcpy(to.iov_base, part[1 + i].iov_base, part[1 + i].iov_len);
                to.iov_base = (char *)to.iov_base + part[1 + i].iov_len;
            }
            free(part);
            memset(buf + bytes, 0, (size_t)(s->cluster - bytes));
            if (block->may_wait())
                bp_co_worker(pack_it, &p);
            else
                pack_it(&p);
            ret = p.ret;
        }
        if (ret == 0)
            ret = p.bytes ? write_packed(s, guest, p.out, p.bytes)
                          : write_range(s, guest, bytes, req->iov, req->iov_count, done);
        done += bytes;
    }
    free(buf);
    return ret;
}

int qcow_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct qcow *s = block->state(node);

    if (s->crypt && req->flags & BP_BLOCK_COMPRESSED) /* what is packed is not encrypted */
        return -ENOTSUP;
    return req->flags & BP_BLOCK_COMPRESSED ? write_compressed(s, req)
                                            : write_range(s, req->offset, req->bytes, req->iov, req->iov_count, 0);
}

/* ---- the rest ---- */

int qcow_sync(struct qcow *s)
{
    /* While the image is marked as dirty, counts need not be right: the next one to write makes them anew. */
    bool lazy = s->lazy == 1 && s->marked && s->incompat & INCOMPAT_DIRTY;
    int ret = lazy ? meta_write_from(&s->meta, 2) : meta_write(&s->meta, META_LEVELS - 1);

    if (ret == 0 && s->freed) {
        ret = meta_sync(&s->meta);
        if (ret == 0)
            ret = refcounts_settle(s);
    }
    return ret;
}

int qcow_flush(struct bp_block_node *node)
{
    struct qcow *s = block->state(node);
    int ret;

    bp_co_mutex_lock(s->lock);
    ret = qcow_sync(s);
    bp_co_mutex_unlock(s->lock);
    return ret;
}

int qcow_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct qcow *s = block->state(node);
    struct extent e;
    int r;

    bp_co_mutex_lock(s->lock);
    r = map_find(s, offset, bytes, &e);
    if (r == 0 && e.type == PACKED)
        e.bytes = packed_run(s, offset, bytes, &e);
    bp_co_mutex_unlock(s->lock);
    if (r < 0)
        return r;
    ret->bytes = e.bytes;
    switch (e.type) {
    case UNALLOCATED:
        ret->flags = s->backing ? 0 : BP_BLOCK_STATUS_ZERO;
        break;
    case ZERO_PLAIN:
    case ZERO_ALLOCATED:
        ret->flags = BP_BLOCK_STATUS_ZERO | BP_BLOCK_STATUS_ALLOCATED;
        break;
    case NORMAL:
        ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED | (s->crypt ? 0 : BP_BLOCK_STATUS_OFFSET_VALID);
        ret->map = e.host;
        ret->file = block->child_node(s->data);
        break;
    case PACKED:
        ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED | BP_BLOCK_STATUS_COMPRESSED;
        break;
    }
    return 0;
}
