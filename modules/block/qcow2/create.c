/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making images, changing their length, and how long they will be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "qcow2.h"

struct wish {
    uint64_t size, cluster, refcount_bits;
    bool lazy, extended, data_raw;
    unsigned version, compression;
    enum { NONE, METADATA, FALLOC, FULL } preallocation;
    const char *backing, *backing_format, *data_file;
    struct bp_value *encrypt; /* or NULL */
    uint64_t luks_bytes;
};

/* ---- options ---- */

static int check_wish(struct wish *w, struct bp_error *err)
{
    if (w->size > BP_BLOCK_MAX_LENGTH)
        return bp_fail(err, EFBIG, "an image of %llu bytes is too long", (unsigned long long)w->size);
    if (w->cluster & (w->cluster - 1) || w->cluster < 1u << MIN_CLUSTER_BITS || w->cluster > 1u << MAX_CLUSTER_BITS)
        return bp_fail(err, EINVAL, "option 'cluster_size' expects a power of two from 512 to 2M");
    if (w->refcount_bits & (w->refcount_bits - 1) || w->refcount_bits == 0 || w->refcount_bits > 64)
        return bp_fail(err, EINVAL, "option 'refcount_bits' expects a power of two from 1 to 64");
    if (w->version == 2 && (w->refcount_bits != 16 || w->lazy || w->extended || w->compression || w->data_file))
        return bp_fail(err, EINVAL, "refcount_bits, lazy_refcounts, extended_l2, compression_type and data_file need "
                       "compat=1.1");
    if (w->extended && w->cluster < 16384)
        return bp_fail(err, EINVAL, "extended_l2=on needs cluster_size=16k or more");
    if (w->compression == 1 && !has_zstd())
        return bp_fail(err, ENOTSUP, "compression_type=zstd: this build has no zstd");
    if (w->data_raw && !w->data_file)
        return bp_fail(err, EINVAL, "data_file_raw=on needs data_file");
    if (w->encrypt && w->preallocation != NONE)
        return bp_fail(err, ENOTSUP, "preallocation of encrypted images is not built: what is there would not read as "
                       "zeroes");
    if (w->backing && w->preallocation != NONE && w->extended == false)
        return bp_fail(err, EINVAL, "preallocation and a backing file exclude each other");
    if (w->backing && w->data_raw)
        return bp_fail(err, EINVAL, "data_file_raw=on and a backing file exclude each other");
    if ((w->backing && strlen(w->backing) > MAX_NAME) || (w->data_file && strlen(w->data_file) > MAX_NAME))
        return bp_fail(err, EINVAL, "a file name in the image has at most %u bytes", MAX_NAME);
    if (up(((w->size >> 1) + 1) / (w->cluster / 8 * (w->cluster >> 1)), 1) * 8 > MAX_L1)
        return bp_fail(err, EFBIG, "an image of %llu bytes needs larger clusters: cluster_size=",
                       (unsigned long long)w->size);
    return 0;
}

static int take_wish(struct bp_value *o, struct wish *w, struct bp_error *err)
{
    static const char *const compats[] = {"0.10", "v2", "1.1", "v3", NULL};
    static const char *const types[] = {"zlib", "zstd", NULL};
    static const char *const ways[] = {"off", "metadata", "falloc", "full", NULL};
    unsigned compat = 2, type = 0, way = 0;
    int ret;

    *w = (struct wish){.cluster = 65536, .refcount_bits = 16};
    ret = option_size(o, "size", &w->size, err);
    if (ret == 0)
        ret = option_size(o, "cluster-size", &w->cluster, err);
    if (ret == 0)
        ret = option_size(o, "refcount-bits", &w->refcount_bits, err);
    if (ret == 0)
        ret = option_switch(o, "lazy-refcounts", &w->lazy, err);
    if (ret == 0)
        ret = option_switch(o, "extended-l2", &w->extended, err);
    if (ret == 0)
        ret = option_switch(o, "data-file-raw", &w->data_raw, err);
    if (ret == 0)
        ret = option_choice(o, bp_value_has(o, "version") ? "version" : "compat", compats, &compat, err);
    if (ret == 0)
        ret = option_choice(o, "compression-type", types, &type, err);
    if (ret == 0)
        ret = option_choice(o, "preallocation", ways, &way, err);
    w->version = compat < 2 ? 2 : 3;
    w->compression = type;
    w->preallocation = way;
    w->backing = bp_value_get_string(o, "backing-file");
    w->backing_format = bp_value_get_string(o, "backing-fmt");
    w->data_file = bp_value_get_string(o, "data-file");
    if (ret == 0)
        ret = crypt_wish(o, &w->encrypt, &w->luks_bytes, err);
    if (ret == 0)
        w->size = up(w->size, 512);
    if (ret == 0)
        ret = check_wish(w, err);
    if (ret < 0) {
        bp_value_unref(w->encrypt);
        w->encrypt = NULL;
    }
    return ret;
}

/* ---- making ---- */

static unsigned log2_of(uint64_t v)
{
    unsigned n = 0;

    while (v >>= 1)
        n++;
    return n;
}

/* Header, refcount table, its first block: these three count as used. */
static int first_clusters(struct qcow *s)
{
    uint8_t *raw = calloc(1, s->cluster);
    int ret = raw ? 0 : -ENOMEM;

    if (ret == 0) {
        put_be64(raw, 2 * (uint64_t)s->cluster);
        ret = io_child(s, s->file, BP_BLOCK_WRITE, s->cluster, raw, s->cluster);
    }
    if (ret == 0)
        ret = io_child(s, s->file, BP_BLOCK_WRITE_ZEROES, 2 * (uint64_t)s->cluster, NULL, s->cluster);
    if (ret == 0)
        ret = refcounts_open(s, NULL);
    for (uint64_t c = 0; ret == 0 && c < 3; c++)
        ret = refcount_set(s, c, 1);
    free(raw);
    return ret;
}

static int preallocate(struct qcow *s, const struct wish *w)
{
    uint64_t guest = 0, end = up(s->size, s->cluster), highest = 0;
    int ret = 0;

    while (ret == 0 && guest < end) {
        uint64_t want = (end - guest) >> s->cluster_bits, host, got;
        struct slice *slice;
        uint8_t *at;

        ret = map_entry(s, guest, true, &slice, &at);
        if (ret < 0)
            break;
        if (want > (uint64_t)(slice->data + s->meta.size - at) / s->entry)
            want = (uint64_t)(slice->data + s->meta.size - at) / s->entry;
        if (has_data_file(s)) {
            host = guest;
            got = want;
        } else {
            ret = clusters_alloc(s, want, 1, &host, &got);
        }
        for (uint64_t i = 0; ret == 0 && i < got; i++, at += s->entry) {
            put_be64(at, (host + i * s->cluster) | COPIED);
            if (s->subs > 1)
                put_be64(at + 8, w->backing ? 0 : UINT32_MAX);
        }
        if (ret == 0) {
            meta_dirty(&s->meta, slice);
            guest += got << s->cluster_bits;
            highest = host + (got << s->cluster_bits);
            if (w->preallocation == FALLOC || w->preallocation == FULL)
                ret = io_child(s, s->data, BP_BLOCK_WRITE_ZEROES, host, NULL, got << s->cluster_bits);
        }
        meta_put(slice);
    }
    if (ret == 0 && (uint64_t)block->child_length(s->data) < highest)
        ret = block->child_resize(s->data, highest, false, NULL);
    return ret;
}

static int build(struct qcow *s, const struct wish *w, struct bp_error *err)
{
    uint64_t span, entries;
    int ret = first_clusters(s);

    if (ret < 0)
        return ret;
    s->l1_offset = 3 * (uint64_t)s->cluster;
    ret = map_open(s, NULL);
    span = (uint64_t)s->cluster << s->l2_bits;
    entries = s->size ? (s->size - 1) / span + 1 : 1;
    if (ret == 0 && w->encrypt) {
        s->luks_bytes = w->luks_bytes;
        ret = crypt_make(s, w->encrypt, err);
    }
    if (ret == 0)
        ret = header_write(s);
    if (ret == 0)
        ret = l1_grow(s, entries);
    if (ret == 0 && w->preallocation != NONE)
        ret = preallocate(s, w);
    if (ret == 0)
        ret = qcow_sync(s);
    if (ret == 0)
        ret = header_write(s);
    return ret == 0 ? meta_sync(&s->meta) : ret;
}

int qcow_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    struct qcow s = {.file = file, .data = file};
    struct bp_error why = {0};
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret < 0)
        return ret;
    ret = block->child_resize(file, 0, false, err);
    if (ret < 0) {
        bp_value_unref(w.encrypt);
        return ret;
    }
    s.version = w.version;
    s.cluster_bits = log2_of(w.cluster);
    s.cluster = (uint32_t)w.cluster;
    s.refcount_order = log2_of(w.refcount_bits);
    s.size = w.size;
    s.header_length = w.version == 2 ? 72 : 112;
    s.compression = (uint8_t)w.compression;
    s.incompat = (w.extended ? INCOMPAT_EXTENDED_L2 : 0) | (w.compression ? INCOMPAT_COMPRESSION : 0) |
                 (w.data_file ? INCOMPAT_DATA_FILE : 0);
    s.compat = w.lazy ? COMPAT_LAZY : 0;
    s.autoclear = w.data_raw ? AUTOCLEAR_RAW_DATA : 0;
    s.reftable_offset = s.cluster;
    s.reftable_clusters = 1;
    s.hint = 3;
    s.marked = true;
    s.backing_file = w.backing ? bp_strdup(w.backing) : NULL;
    s.backing_format = w.backing && w.backing_format ? bp_strdup(w.backing_format) : NULL;
    s.data_file = w.data_file ? bp_strdup(w.data_file) : NULL;
    ret = meta_init(&s.meta, block, file, file, s.cluster < 4096 ? s.cluster : 4096,
                    (const uint64_t[META_KINDS]){4u << 20, 4u << 20});
    if (ret == 0)
        ret = build(&s, &w, &why);
    meta_free(&s.meta);
    while (s.freed) {
        struct freed *f = s.freed;

        s.freed = f->next;
        free(f);
    }
    free(s.l1);
    free(s.reftable);
    header_free(&s);
    bp_value_unref(w.encrypt);
    if (ret < 0 && why.code && err)
        *err = why;
    else if (ret < 0)
        bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret));
    return ret;
}

/* ---- length ---- */

static int zero_behind(struct bp_block_node *node, struct qcow *s, uint64_t from, uint64_t to)
{
    struct bp_block_request req = {.size = sizeof(req), .offset = from, .bytes = to - from};
    int64_t below = s->backing ? block->child_length(s->backing) : 0;
    uint64_t edge = up(from, s->cluster) < to ? up(from, s->cluster) : to;
    int ret = 0;

    if (below < 0)
        return (int)below;
    if (edge > from) { /* the rest of what was the last cluster */
        struct extent e;

        bp_co_mutex_lock(s->lock);
        ret = map_find(s, from, edge - from, &e);
        bp_co_mutex_unlock(s->lock);
        req.bytes = edge - from;
        if (ret == 0 && (e.type == NORMAL || e.type == PACKED || (uint64_t)below > from)) {
            struct iovec iov = {calloc(1, (size_t)req.bytes), (size_t)req.bytes};

            req.iov = &iov;
            req.iov_count = 1;
            ret = iov.iov_base ? qcow_write(node, &req) : -ENOMEM;
            free(iov.iov_base);
            req.iov = NULL;
            req.iov_count = 0;
        }
    }
    if (ret == 0 && (uint64_t)below > edge && edge < to) {
        req.offset = edge;
        req.bytes = ((uint64_t)below < to ? (uint64_t)below : to) - edge;
        ret = qcow_zeroes(node, &req);
        if (ret == -ENOTSUP)
            ret = -EOPNOTSUPP;
    }
    return ret;
}

int qcow_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    uint64_t old = s->size, span = (uint64_t)s->cluster << s->l2_bits;
    struct bp_block_request cut = {.size = sizeof(cut)};
    int ret = 0;

    (void)exact;
    if (length % 512)
        return bp_fail(err, EINVAL, "the length of a qcow2 image is a multiple of 512");
    if (length < old && s->snapshot_count)
        return bp_fail(err, ENOTSUP, "an image with snapshots cannot be made shorter");
    if (length < old && has_data_file(s))
        return bp_fail(err, ENOTSUP, "an image with a data file cannot be made shorter");
    if (length < old && s->version < 3 && s->backing)
        return bp_fail(err, ENOTSUP, "an image of version 2 with a backing file cannot be made shorter: what is below "
                       "would show again; backplane-img convert makes one of version 3");
    if (length < old) {
        cut.offset = up(length, s->cluster);
        cut.bytes = up(old, s->cluster) > cut.offset ? up(old, s->cluster) - cut.offset : 0;
        if (cut.bytes)
            ret = qcow_discard(node, &cut);
    }
    bp_co_mutex_lock(s->lock);
    if (ret == 0)
        ret = header_mark(s);
    if (ret == 0 && length > old)
        ret = l1_grow(s, (length - 1) / span + 1);
    if (ret == 0)
        ret = qcow_sync(s);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0) {
        s->size = length;
        ret = header_write(s);
        if (ret < 0)
            s->size = old;
    }
    bp_co_mutex_unlock(s->lock);
    if (ret == 0 && has_data_file(s) && (uint64_t)block->child_length(s->data) < length)
        ret = block->child_resize(s->data, length, false, err);
    if (ret == 0 && length > old)
        ret = zero_behind(node, s, old, length);
    return ret < 0 ? bp_fail(err, -ret, "the length could not be changed: %s", strerror(-ret)) : 0;
}

/* ---- measuring ---- */

static uint64_t with_tables(const struct wish *w, uint64_t data)
{
    uint64_t l2 = w->extended ? w->cluster / 16 : w->cluster / 8, c = w->cluster, counted, blocks = 1, table = 1;
    uint64_t guest = up(w->size, c) / c, tables = up(guest, l2) / l2, l1 = up((tables ? tables : 1) * 8, c) / c;
    uint64_t per_block = c * 8 / w->refcount_bits;

    counted = 1 + l1 + tables + data + up(w->luks_bytes, c) / c;
    for (unsigned i = 0; i < 16; i++) { /* what counts is counted itself */
        blocks = (counted + blocks + table + per_block - 1) / per_block;
        table = up(blocks * 8, c) / c;
    }
    return (counted + blocks + table) * c;
}

int qcow_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                 struct bp_error *err)
{
    struct wish w;
    int r = take_wish(options, &w, err);

    if (r < 0)
        return r;
    if (!bp_value_has(options, "size"))
        w.size = up(size, 512);
    bp_value_unref(w.encrypt);
    ret->fully_allocated = with_tables(&w, up(w.size, w.cluster) / w.cluster);
    used = used < w.size ? used : w.size;
    ret->required = w.preallocation == FULL || w.preallocation == FALLOC
                        ? ret->fully_allocated : ret->fully_allocated - up(w.size, w.cluster) + up(used, w.cluster);
    if (w.data_file)
        ret->required = ret->fully_allocated = with_tables(&w, 0);
    return 0;
}

/* ---- changing ---- */

static int check_key(const char *key, struct bp_value *value, void *opaque)
{
    static const char *const known[] = {"driver", "compat", "version", "lazy-refcounts", "encrypt", "force"};

    (void)value;
    if (!strncmp(key, "encrypt.", 8))
        return 0;
    for (size_t i = 0; i < BP_COUNT(known); i++)
        if (!strcmp(key, known[i]))
            return 0;
    return bp_fail(opaque, ENOTSUP, "option '%s' cannot be changed in an image that is there; compat, lazy_refcounts, "
                   "size and the key slots of 'encrypt' can (and backing files: rebase)", key);
}

/* Version 3 has all that version 2 has. */
static int upgrade(struct qcow *s)
{
    s->version = 3;
    return s->snapshot_count ? snapshots_write(s) : 0;
}

static int take_slot_key(const char *key, struct bp_value *value, void *opaque)
{
    if (!strncmp(key, "encrypt.", 8))
        bp_value_set(opaque, key + 8, bp_value_ref(value));
    return 0;
}

/* What is said of the key slots; nothing: they stay. */
static int amend_slots(struct qcow *s, struct bp_value *options, struct bp_error *err)
{
    struct bp_value *nested = bp_value_get(options, "encrypt"), *force = bp_value_get(options, "force");
    struct bp_value *slots = bp_value_type(nested) == BP_VALUE_DICT ? bp_value_copy(nested) : bp_value_dict();
    int ret = 0;

    bp_value_each(options, take_slot_key, slots);
    if (bp_value_length(slots) > 0) {
        if (force)
            bp_value_set(slots, "force", bp_value_ref(force));
        ret = crypt_amend(s, slots, err);
    }
    bp_value_unref(slots);
    return ret;
}

int qcow_amend(struct bp_block_node *node, struct bp_value *options, struct bp_error *err)
{
    static const char *const compats[] = {"0.10", "v2", "1.1", "v3", NULL};
    struct qcow *s = block->state(node);
    unsigned compat = s->version == 2 ? 0 : 2, version = s->version;
    bool lazy = s->compat & COMPAT_LAZY;
    uint64_t before = s->compat;
    int ret = bp_value_each(options, check_key, err);

    if (ret == 0)
        ret = option_choice(options, bp_value_has(options, "version") ? "version" : "compat", compats, &compat, err);
    if (ret == 0)
        ret = option_switch(options, "lazy-refcounts", &lazy, err);
    if (ret < 0)
        return ret;
    if (s->read_only)
        return bp_fail(err, EACCES, "the image is read-only");
    if (compat < 2 && s->version == 3)
        return bp_fail(err, ENOTSUP, "an image of version 3 may have what version 2 cannot tell: make another one "
                       "(convert -o compat=0.10)");
    if (compat < 2 && lazy)
        return bp_fail(err, EINVAL, "lazy_refcounts needs compat=1.1");
    ret = amend_slots(s, options, err);
    if (ret < 0)
        return ret;
    bp_co_mutex_lock(s->lock);
    ret = header_mark(s);
    s->compat = lazy ? s->compat | COMPAT_LAZY : s->compat & ~(uint64_t)COMPAT_LAZY;
    if (ret == 0 && compat >= 2 && version == 2)
        ret = upgrade(s);
    if (ret == 0)
        ret = qcow_sync(s);
    if (ret == 0)
        ret = header_write(s);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret < 0) {
        s->version = version;
        s->compat = before;
    }
    bp_co_mutex_unlock(s->lock);
    return ret < 0 ? bp_fail(err, -ret, "the header cannot be written: %s", strerror(-ret)) : 0;
}
