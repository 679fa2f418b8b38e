/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-power-cut`: a filter that behaves as a disk with a volatile write cache whose power fails.
 * Writes stay in memory until a flush (or a write with FUA), which brings all of them below in their order.
 * When the power is cut (after so many writes, or when the property `cut` is set), what was not flushed is
 * dealt with as the seed decides: sectors are kept or forgotten one by one (`forget`), in an order that is
 * not the writes' (`reorder`), and, with `tear`, parts of sectors. From then on every request fails with
 * EIO. The image below is what a machine would find after the cut. What was flushed is there, always.
 * Equal writes and seeds give equal images. Discards do nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/coroutine.h>
#include <bp/host/block.h>

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct record {
    struct record *next;
    uint64_t offset;
    size_t bytes;
    uint8_t data[];
};

struct cut_state {
    uint64_t seed, after, cache_limit, sector;
    bool forget, reorder, tear;
    struct bp_block_child *file;
    struct bp_co_mutex *mutex; /* of the cache */
    struct record *first, **last;
    uint64_t cached, writes; /* bytes; writes so far */
    uint64_t random;
    bool asked;              /* atomic: the property was set */
    bool cut;                /* atomic */
};

static uint64_t next_random(struct cut_state *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int write_below(struct cut_state *s, uint64_t offset, void *data, size_t bytes)
{
    struct iovec iov = {data, bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes, .iov = &iov,
                                   .iov_count = 1};

    return block->child_request(s->file, BP_BLOCK_WRITE, &req);
}

static void forget_first(struct cut_state *s)
{
    struct record *r = s->first;

    s->first = r->next;
    if (!s->first)
        s->last = &s->first;
    s->cached -= r->bytes;
    free(r);
}

/* Everything, in order. What fails stays. */
static int write_back(struct cut_state *s)
{
    int ret = 0;

    while (s->first && (ret = write_below(s, s->first->offset, s->first->data, s->first->bytes)) == 0)
        forget_first(s);
    return ret;
}

/* ---- the cut ---- */

struct piece {
    uint64_t offset;
    uint8_t *data;
    size_t bytes;
};

static size_t count_sectors(const struct cut_state *s)
{
    size_t n = 0;

    for (const struct record *r = s->first; r; r = r->next)
        n += (r->bytes + s->sector - 1) / s->sector + 1;
    return n;
}

static size_t list_sectors(struct cut_state *s, struct piece *pieces)
{
    size_t n = 0;

    for (struct record *r = s->first; r; r = r->next) {
        size_t at = 0;

        while (at < r->bytes) {
            size_t len = s->sector - (size_t)((r->offset + at) % s->sector);

            if (len > r->bytes - at)
                len = r->bytes - at;
            pieces[n++] = (struct piece){r->offset + at, r->data + at, len};
            at += len;
        }
    }
    return n;
}

static void shuffle(struct cut_state *s, struct piece *pieces, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(next_random(s) % i);
        struct piece p = pieces[i - 1];

        pieces[i - 1] = pieces[j];
        pieces[j] = p;
    }
}

static void cut_power(struct cut_state *s)
{
    struct piece *pieces = malloc((count_sectors(s) + 1) * sizeof(*pieces));
    size_t n = pieces ? list_sectors(s, pieces) : 0;

    s->random = s->seed;
    if (s->reorder)
        shuffle(s, pieces, n);
    for (size_t i = 0; i < n; i++) {
        struct piece *p = &pieces[i];
        uint64_t dice = next_random(s);

        if (s->forget && dice & 1)
            continue;
        if (s->tear && (dice >> 1) % 4 == 0)
            p->bytes = 1 + (size_t)((dice >> 8) % p->bytes);
        write_below(s, p->offset, p->data, p->bytes);
    }
    free(pieces);
    while (s->first)
        forget_first(s);
    __atomic_store_n(&s->cut, true, __ATOMIC_RELEASE);
}

/* Under the mutex. 0, or -EIO: there is no power. */
static int has_power(struct cut_state *s)
{
    if (!__atomic_load_n(&s->cut, __ATOMIC_ACQUIRE) && __atomic_load_n(&s->asked, __ATOMIC_ACQUIRE))
        cut_power(s);
    return __atomic_load_n(&s->cut, __ATOMIC_ACQUIRE) ? -EIO : 0;
}

/* ---- requests ---- */

/* What of a record lies in the request goes over what was read. */
static void lay_over(const struct bp_block_request *req, const struct record *r)
{
    uint64_t at = req->offset;

    for (unsigned i = 0; i < req->iov_count; i++) {
        uint64_t from = r->offset > at ? r->offset : at;
        uint64_t end = at + req->iov[i].iov_len, stop = r->offset + r->bytes < end ? r->offset + r->bytes : end;

        if (from < stop)
            memcpy((uint8_t *)req->iov[i].iov_base + (from - at), r->data + (from - r->offset),
                   (size_t)(stop - from));
        at = end;
    }
}

static int cut_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct cut_state *s = block->state(node);
    int ret;

    bp_co_mutex_lock(s->mutex);
    ret = has_power(s);
    if (ret == 0)
        ret = block->child_request(s->file, BP_BLOCK_READ, req);
    for (struct record *r = s->first; ret == 0 && r; r = r->next)
        lay_over(req, r);
    bp_co_mutex_unlock(s->mutex);
    return ret;
}

static int remember(struct cut_state *s, const struct bp_block_request *req)
{
    struct record *r = calloc(1, sizeof(*r) + (size_t)req->bytes);
    size_t at = 0;

    if (!r)
        return -ENOMEM;
    r->offset = req->offset;
    r->bytes = (size_t)req->bytes;
    for (unsigned i = 0; i < req->iov_count; i++) {
        memcpy(r->data + at, req->iov[i].iov_base, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    *s->last = r;
    s->last = &r->next;
    s->cached += r->bytes;
    return 0;
}

static int cut_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct cut_state *s = block->state(node);
    int ret;

    bp_co_mutex_lock(s->mutex);
    ret = has_power(s);
    if (ret == 0)
        ret = remember(s, req);
    if (ret == 0 && s->after && ++s->writes >= s->after) {
        cut_power(s); /* in the midst of this one: nobody hears that it succeeded */
        ret = -EIO;
    }
    if (ret == 0 && (s->cached > s->cache_limit || req->flags & BP_BLOCK_FUA))
        ret = write_back(s);
    bp_co_mutex_unlock(s->mutex);
    if (ret == 0 && req->flags & BP_BLOCK_FUA)
        ret = block->child_request(s->file, BP_BLOCK_FLUSH, NULL);
    return ret;
}

/* The framework flushes `file` after it. */
static int cut_flush(struct bp_block_node *node)
{
    struct cut_state *s = block->state(node);
    int ret;

    bp_co_mutex_lock(s->mutex);
    ret = has_power(s);
    if (ret == 0)
        ret = write_back(s);
    bp_co_mutex_unlock(s->mutex);
    return ret;
}

static int cut_open(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                    struct bp_error *err)
{
    struct cut_state *s = block->state(node);

    (void)flags;
    if (s->sector < 1 || s->sector > 1 << 20)
        return bp_fail(err, EINVAL, "key 'sector-size' expects 1 to 1048576");
    s->file = block->child(node, "file");
    s->last = &s->first;
    s->mutex = bp_co_mutex_new();
    return 0;
}

static void cut_close(struct bp_block_node *node)
{
    struct cut_state *s = block->state(node);

    if (has_power(s) == 0)
        write_back(s);
    while (s->first)
        forget_first(s);
    bp_co_mutex_free(s->mutex);
}

/* What is kept back is written when nobody uses it any more, too. */
static void cut_permissions(struct bp_block_node *node, const char *child, uint32_t roles, uint32_t need,
                            uint32_t shared, uint32_t *ret_need, uint32_t *ret_shared)
{
    (void)node;
    (void)child;
    (void)roles;
    *ret_need = need | BP_BLOCK_PERM_READ | BP_BLOCK_PERM_WRITE;
    *ret_shared = shared;
}

static void cut_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = 1 << 20;
}

static int set_cut(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                   struct bp_error *err)
{
    struct cut_state *s = bp_object_state(obj);

    (void)f;
    if (!bp_value_as_bool(value))
        return __atomic_load_n(&s->asked, __ATOMIC_ACQUIRE)
                   ? bp_fail(err, EINVAL, "the power does not come back while the node is open") : 0;
    __atomic_store_n(&s->asked, true, __ATOMIC_RELEASE);
    return 0;
}

static int get_cut(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                   struct bp_error *err)
{
    struct cut_state *s = bp_object_state(obj);

    (void)f;
    (void)err;
    *ret_value = bp_value_bool(__atomic_load_n(&s->asked, __ATOMIC_ACQUIRE) ||
                               __atomic_load_n(&s->cut, __ATOMIC_ACQUIRE));
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("seed", UINT64, struct cut_state, seed, "1", "what the cut does with what was not flushed"),
    BP_PROP("cut-after", UINT64, struct cut_state, after, "0",
            "the power is cut in the midst of this write, counted from 1; 0: never by itself"),
    BP_PROP("cache-size", SIZE, struct cut_state, cache_limit, "67108864",
            "bytes that are kept back; more are written below without being asked"),
    BP_PROP("sector-size", SIZE, struct cut_state, sector, "512", "bytes that are kept or lost together"),
    BP_PROP("forget", BOOL, struct cut_state, forget, "on", "some sectors are lost"),
    BP_PROP("reorder", BOOL, struct cut_state, reorder, "on", "older data may end above newer"),
    BP_PROP("tear", BOOL, struct cut_state, tear, "off", "sectors may be written in part"),
    {.name = "cut", .kind = BP_KIND_BOOL, .flags = BP_FIELD_WRITE_LIVE, .help = "cut the power now",
     .get = get_cut, .set = set_cut},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_FILTERED | BP_BLOCK_PRIMARY, .help = "what is left after the cut"},
    {.name = NULL}};

BP_BLOCK_DRIVER(cut_driver, "power-cut", "A disk whose power fails, for tests", struct cut_state, props,
                .flags = BP_BLOCK_FILTER | BP_BLOCK_NO_NAME, .native = BP_BLOCK_FUA, .children = children,
                .open = cut_open, .close = cut_close, .read = cut_read, .write = cut_write,
                .flush = cut_flush, .limits = cut_limits, .permissions = cut_permissions);
BP_MODULE("block-power-cut", "Disks whose power fails", imports, {BP_PROVIDE_OTHER, &cut_driver});
