/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `block-qcow2`: opening and closing, and what the framework calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "qcow2.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

static void release(struct qcow *s)
{
    crypt_free(s);
    meta_free(&s->meta);
    if (s->lock)
        pthread_mutex_destroy(&s->range_lock);
    bp_co_mutex_free(s->lock);
    snapshots_free(s);
    header_free(s);
    free(s->l1);
    free(s->reftable);
    s->l1 = s->reftable = NULL;
    while (s->freed) {
        struct freed *f = s->freed;

        s->freed = f->next;
        free(f);
    }
}

static int open_data_file(struct bp_block_node *node, struct qcow *s, struct bp_error *err)
{
    int ret = 0;

    if (!has_data_file(s))
        return block->child(node, "data-file")
                   ? bp_fail(err, EINVAL, "key 'data-file': the image has no data file") : 0;
    if (s->data_file)
        ret = block->open_child(node, "data-file", s->data_file, "raw", err);
    else if (!block->child(node, "data-file"))
        ret = bp_fail(err, EINVAL, "qcow2: the image keeps its data in another file, and does not say which: give "
                      "data-file=");
    s->data = block->child(node, "data-file");
    return ret;
}

static int check_writable(struct qcow *s, bool read_only, struct bp_error *err)
{
    if (read_only || !(s->incompat & INCOMPAT_CORRUPT) || s->repair)
        return 0;
    return bp_fail(err, EACCES, "qcow2: the image is marked as damaged: it can be opened with read-only=on, or "
                   "repaired (backplane-img check -r all)");
}

static int open_parts(struct bp_block_node *node, struct qcow *s, struct bp_error *err)
{
    uint32_t slice = s->cluster < 4096 ? s->cluster : 4096;
    uint64_t bytes[META_KINDS];
    int ret = check_writable(s, s->read_only, err);

    if (ret == 0 && s->cache_size && s->cache_size < s->l2_cache_size + s->refcount_cache_size)
        ret = bp_fail(err, EINVAL, "key 'cache-size': it is less than l2-cache-size and refcount-cache-size together");
    if (ret == 0 && s->no_unref && s->version < 3)
        ret = bp_fail(err, EINVAL, "key 'discard-no-unref': images of version 2 cannot keep a cluster that reads as "
                      "zeroes");
    if (ret == 0)
        ret = open_data_file(node, s, err);
    if (ret == 0)
        ret = crypt_open(s, err);
    if (ret == 0)
        ret = map_open(s, err);
    cache_bytes(s, bytes);
    if (ret == 0 && meta_init(&s->meta, block, s->file, s->data, slice, bytes) < 0)
        ret = bp_fail(err, ENOMEM, "qcow2: no memory for the cache of its tables");
    if (ret == 0)
        ret = refcounts_open(s, err);
    if (ret == 0)
        ret = snapshots_read(s, err);
    return ret;
}

static int qcow_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    int ret;

    s->node = node;
    s->file = s->data = block->child(node, "file");
    s->backing = block->child(node, "backing");
    s->read_only = flags->read_only;
    s->virgin = UINT64_MAX;
    overlap_open(s);
    ret = header_read(s, err);
    if (ret == 0) {
        s->lock = bp_co_mutex_new();
        pthread_mutex_init(&s->range_lock, NULL);
        s->range_tail = &s->ranges;
        if (s->lazy == 0)
            s->lazy = s->compat & COMPAT_LAZY ? 1 : 2;
        ret = open_parts(node, s, err);
    }
    if (ret < 0) {
        release(s);
        return ret;
    }
    if (s->backing_file)
        block->want_backing(node, s->backing_file, s->backing_format);
    clean_begin(s);
    return 0;
}

/* From now on nobody else writes to it. Whoever did with lazy reference counts may not have come to an end. */
static int qcow_granted(struct bp_block_node *node, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    int ret = 0;

    bp_co_mutex_lock(s->lock);
    clusters_look(s);
    bp_co_mutex_unlock(s->lock);
    if (s->read_only || s->repair || s->marked || !(s->incompat & INCOMPAT_DIRTY))
        return 0;
    bp_co_mutex_lock(s->lock);
    ret = header_repair(s);
    bp_co_mutex_unlock(s->lock);
    return ret < 0 ? bp_fail(err, -ret, "qcow2: the image was not closed, and its reference counts cannot be repaired: "
                             "%s", strerror(-ret)) : 0;
}

static void qcow_changed(struct bp_block_node *node)
{
    struct qcow *s = block->state(node);

    s->backing = block->child(node, "backing");
}

/* Everything is on stable storage; the image says so. */
static int settle(struct qcow *s)
{
    int ret = 0;

    if (s->read_only)
        return 0;
    bp_co_mutex_lock(s->lock);
    for (unsigned i = 0; ret == 0 && (i == 0 || s->freed); i++)
        ret = qcow_sync(s);
    if (ret == 0)
        ret = meta_write(&s->meta, META_LEVELS - 1);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0 && s->marked && s->incompat & INCOMPAT_DIRTY) {
        s->incompat &= ~(uint64_t)INCOMPAT_DIRTY;
        ret = header_write(s);
    }
    s->marked = false;
    bp_co_mutex_unlock(s->lock);
    return ret;
}

static void qcow_close(struct bp_block_node *node)
{
    struct qcow *s = block->state(node);
    int ret;

    clean_end(s);
    ret = settle(s);
    if (ret < 0)
        bp_warn("qcow2: node '%s': its tables could not be written: %s", block->node_name(node), strerror(-ret));
    release(s);
}

static int64_t qcow_length(struct bp_block_node *node)
{
    return (int64_t)((struct qcow *)block->state(node))->size;
}

static void qcow_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct qcow *s = block->state(node);

    limits->request_alignment = s->crypt ? 512 : limits->request_alignment;
    limits->discard_alignment = 0;
    limits->zero_alignment = s->cluster;
    limits->optimal_transfer = s->cluster;
}

static char *copy_text(const char *text)
{
    return text ? bp_strdup(text) : NULL;
}

static int qcow_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct qcow *s = block->state(node);
    struct bp_value *v = bp_value_dict(), *data = bp_value_dict(), *bitmaps;

    ret->cluster_size = s->cluster;
    ret->backing_file = copy_text(s->backing_file);
    ret->backing_format = copy_text(s->backing_format);
    ret->dirty = s->incompat & INCOMPAT_DIRTY;
    ret->corrupt = s->incompat & INCOMPAT_CORRUPT;
    ret->unallocated_zero = !s->backing;
    bp_value_set(data, "compat", bp_value_string(s->version == 2 ? "0.10" : "1.1"));
    bp_value_set(data, "compression-type", bp_value_string(s->compression ? "zstd" : "zlib"));
    if (s->version >= 3) {
        bp_value_set(data, "lazy-refcounts", bp_value_bool(s->compat & COMPAT_LAZY));
        bp_value_set(data, "corrupt", bp_value_bool(ret->corrupt));
        bp_value_set(data, "extended-l2", bp_value_bool(s->subs > 1));
    }
    bp_value_set(data, "refcount-bits", bp_value_uint(1u << s->refcount_order));
    bitmaps = bitmaps_list((struct qcow *)(uintptr_t)s);
    if (bp_value_length(bitmaps) > 0)
        bp_value_set(data, "bitmaps", bp_value_ref(bitmaps));
    bp_value_unref(bitmaps);
    if (s->crypt)
        bp_value_set(data, "encrypt", crypt_info(s));
    ret->encrypted = s->crypt;
    if (s->data_file)
        bp_value_set(data, "data-file", bp_value_string(s->data_file));
    if (has_data_file(s))
        bp_value_set(data, "data-file-raw", bp_value_bool(s->autoclear & AUTOCLEAR_RAW_DATA));
    bp_value_set(v, "type", bp_value_string("qcow2"));
    bp_value_set(v, "data", data);
    ret->specific = v;
    return 0;
}

static int qcow_change_backing(struct bp_block_node *node, const char *file, const char *format, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    char *old_file = s->backing_file, *old_format = s->backing_format;
    int ret;

    if (s->read_only)
        return bp_fail(err, EACCES, "the image is read-only");
    if (file && strlen(file) > MAX_NAME)
        return bp_fail(err, EINVAL, "a backing file's name in the image has at most %u bytes", MAX_NAME);
    bp_co_mutex_lock(s->lock);
    ret = header_mark(s);
    if (ret == 0)
        ret = qcow_sync(s);
    s->backing_file = copy_text(file);
    s->backing_format = copy_text(file ? format : NULL);
    if (ret == 0)
        ret = header_write(s);
    if (ret < 0) {
        free(s->backing_file);
        free(s->backing_format);
        s->backing_file = old_file;
        s->backing_format = old_format;
    } else {
        free(old_file);
        free(old_format);
    }
    bp_co_mutex_unlock(s->lock);
    return ret == -ENOSPC ? bp_fail(err, ENOSPC, "the name does not fit into the image's header")
           : ret < 0 ? bp_fail(err, -ret, "the header could not be written: %s", strerror(-ret)) : 0;
}

static int qcow_empty(struct bp_block_node *node)
{
    struct qcow *s = block->state(node);
    struct bp_block_child *backing = s->backing;
    struct bp_block_request all = {.size = sizeof(all), .bytes = up(s->size, s->cluster)};
    int ret;

    if (s->snapshot_count || has_data_file(s))
        return -ENOTSUP;
    s->backing = NULL; /* entries that say nothing, not zeroes */
    ret = s->size ? qcow_discard(node, &all) : 0;
    s->backing = backing;
    return ret;
}

static int qcow_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 8 && get_be32(head) == MAGIC && get_be32(head + 4) >= 2 && get_be32(head + 4) <= 3 ? 100 : 0;
}

static int reopen_prepare(struct bp_block_node *node, const struct bp_block_open_flags *flags,
                          struct bp_value *options, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    int ret = 0;

    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "qcow2 cannot change its own keys while it is open");
    ret = check_writable(s, flags->read_only, err);
    if (ret < 0)
        return ret;
    if (flags->read_only && !s->read_only)
        ret = settle(s);
    s->read_only_next = flags->read_only;
    return ret < 0 ? bp_fail(err, -ret, "its tables cannot be written: %s", strerror(-ret)) : 0;
}

static void reopen_commit(struct bp_block_node *node)
{
    struct qcow *s = block->state(node);

    s->read_only = s->read_only_next;
}

static const struct bp_field props[] = {
    BP_PROP("lazy-refcounts", ON_OFF_AUTO, struct qcow, lazy, "auto", "reference counts are written late; auto: as the "
            "image says"),
    BP_PROP("pass-discard-request", BOOL, struct qcow, discard_requests, "on", "what guests discard goes in the file"),
    BP_PROP("pass-discard-snapshot", BOOL, struct qcow, discard_snapshot, "on", "what a deleted snapshot had"),
    BP_PROP("pass-discard-other", BOOL, struct qcow, discard_other, "off", "whatever else is not needed any more"),
    BP_PROP("discard-no-unref", BOOL, struct qcow, no_unref, "off", "what guests discard keeps its place in the file"),
    {.name = "overlap-check", .kind = BP_KIND_ALTERNATE, .flags = BP_FIELD_OPTIONAL,
     .offset = offsetof(struct qcow, overlap_choice), .schema = &overlap_schema,
     .help = "tables that writes of data are compared with: none, constant, cached (without it), all"},
    BP_PROP("cache-size", SIZE, struct qcow, cache_size, "0",
            "bytes of tables kept in memory; 0: what the next two say"),
    BP_PROP("l2-cache-size", SIZE, struct qcow, l2_cache_size, "0",
            "the same for L2 tables; 0: as many as there can be, at most 32M"),
    BP_PROP("refcount-cache-size", SIZE, struct qcow, refcount_cache_size, "0",
            "the same for reference counts; 0: 4 clusters, or what L2 tables leave of cache-size"),
    BP_PROP("l2-cache-entry-size", SIZE, struct qcow, l2_entry_size, "0",
            "tables are kept in pieces of 4 KiB, whatever is said here"),
    BP_PROP("cache-clean-interval", UINT32, struct qcow, clean_interval, "600",
            "seconds after which unused tables leave the memory; 0: never"),
    {.name = "encrypt", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct qcow, encrypt),
     .help = "of an encrypted image: encrypt.format=luks,encrypt.key-secret=ID"},
    {.name = "no-io", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL | BP_FIELD_HIDDEN,
     .offset = offsetof(struct qcow, facts_only), .def = "off", .help = "data is neither read nor written"},
    {.name = "for-repair", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL | BP_FIELD_HIDDEN,
     .offset = offsetof(struct qcow, repair), .def = "off", .help = "a damaged image may be written to"},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = "backing", .roles = BP_BLOCK_BACKING | BP_BLOCK_OPTIONAL, .help = "what is not in the image is read here"},
    {.name = "data-file", .roles = BP_BLOCK_DATA | BP_BLOCK_OPTIONAL, .help = "where the image says that its data is "
     "elsewhere"},
    {.name = NULL}};

BP_BLOCK_DRIVER(qcow2_driver, "qcow2", "Images that grow, with snapshots and backing files", struct qcow, props,
                .flags = BP_BLOCK_FORMAT, .native = BP_BLOCK_COMPRESSED, .children = children, .probe = qcow_probe,
                .open = qcow_open, .close = qcow_close, .read = qcow_read, .write = qcow_write, .flush = qcow_flush,
                .discard = qcow_discard, .write_zeroes = qcow_zeroes, .status = qcow_status, .length = qcow_length,
                .resize = qcow_resize, .limits = qcow_limits, .info = qcow_info, .make_empty = qcow_empty,
                .reopen_prepare = reopen_prepare, .reopen_commit = reopen_commit, .create = qcow_create,
                .check = qcow_check, .snapshot = qcow_snapshot, .change_backing = qcow_change_backing,
                .bitmaps_load = qcow_bitmaps_load, .bitmaps_use = qcow_bitmaps_use,
                .bitmaps_store = qcow_bitmaps_store, .measure = qcow_measure, .amend = qcow_amend,
                .children_changed = qcow_changed, .granted = qcow_granted);
BP_MODULE("block-qcow2", "Disk images in the format qcow2", imports, {BP_PROVIDE_OTHER, &qcow2_driver});
