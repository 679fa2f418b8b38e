/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-qed`: opening, the two levels of tables, and what the framework calls. A table refers to others only
 * when they, and the data behind them, are on stable storage, so the image needs no mark while it is written to; one
 * that others have marked is repaired when it is opened for writing.
 * Leaves out: making images shorter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qed.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define SLICE 4096u
#define CACHE (16u << 20)

/* ---- tables ---- */

static int get_entry(struct qed *s, uint64_t offset, unsigned level, uint64_t *ret)
{
    uint8_t entry[8];
    int r = table_get(&s->sparse, offset, level, entry, 8);

    if (r == 0)
        *ret = get_le64(entry);
    return r;
}

static int put_entry(struct qed *s, uint64_t offset, unsigned level, uint64_t value)
{
    uint8_t entry[8];

    put_le64(entry, value);
    return table_put(&s->sparse, offset, level, entry, 8);
}

static bool is_place(const struct qed *s, uint64_t at)
{
    return at % s->sparse.block == 0 && at >= (uint64_t)s->header * s->sparse.block && at < s->end;
}

static uint64_t l1_entry(const struct qed *s, uint64_t offset)
{
    return s->l1 + offset / s->sparse.block / s->entries * 8;
}

static uint64_t l2_entry(const struct qed *s, uint64_t table, uint64_t offset)
{
    return table + offset / s->sparse.block % s->entries * 8;
}

/* 0: there is none. */
static int get_table(struct qed *s, uint64_t offset, uint64_t *ret)
{
    int r = get_entry(s, l1_entry(s, offset), LEVEL_L1, ret);

    return r < 0 || *ret == 0 || is_place(s, *ret) ? r : -EIO;
}

static int qed_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct qed *s = (struct qed *)sparse;
    uint64_t inside = offset % sparse->block, left = sparse->block - inside, table, entry = 0;
    int ret = get_table(s, offset, &table);

    if (ret == 0 && table)
        ret = get_entry(s, l2_entry(s, table, offset), LEVEL_L2, &entry);
    if (ret < 0)
        return ret;
    place->bytes = place->bytes < left ? place->bytes : left;
    place->kind = entry == 0 ? SPARSE_BELOW : entry == ZERO_CLUSTER ? SPARSE_ZERO : SPARSE_DATA;
    place->file = sparse->file;
    place->host = entry + inside;
    return place->kind == SPARSE_DATA && !is_place(s, entry) ? -EIO : 0;
}

static int qed_room(struct sparse *sparse, uint64_t offset, struct sparse_room *room)
{
    struct qed *s = (struct qed *)sparse;

    room->start = round_down(offset, sparse->block);
    room->bytes = sparse->block;
    room->host = s->end;
    return s->end > BP_BLOCK_MAX_LENGTH - sparse->block * UINT64_C(32) ? -EFBIG : 0;
}

/* Zeroes at the end of the file, and L1 refers to them once they are there for good. */
static int new_table(struct qed *s, uint64_t offset, uint64_t *ret)
{
    uint64_t bytes = (uint64_t)s->table * s->sparse.block, at = s->end;
    int r = file_zeroes(s->sparse.file, at, bytes);

    if (r == 0)
        r = put_entry(s, l1_entry(s, offset), LEVEL_L1, at);
    if (r < 0)
        return r;
    meta_drop(&s->sparse.meta, at, bytes);
    s->end += bytes;
    *ret = at;
    return 0;
}

static int put_cluster(struct qed *s, uint64_t offset, uint64_t value)
{
    uint64_t table;
    int ret = get_table(s, offset, &table);

    if (ret == 0 && !table)
        ret = new_table(s, offset, &table);
    return ret == 0 ? put_entry(s, l2_entry(s, table, offset), LEVEL_L2, value) : ret;
}

static int qed_enter(struct sparse *sparse, const struct sparse_room *room)
{
    struct qed *s = (struct qed *)sparse;

    s->end += sparse->block;
    return put_cluster(s, room->start, room->host);
}

static int qed_enter_zero(struct sparse *sparse, uint64_t start, uint64_t *ret_bytes)
{
    *ret_bytes = sparse->block;
    return put_cluster((struct qed *)sparse, start, ZERO_CLUSTER);
}

/* What others keep in the image for as long as nobody else writes to it goes. */
static int qed_begin(struct sparse *sparse)
{
    struct qed *s = (struct qed *)sparse;

    if (!s->autoclear)
        return 0;
    s->autoclear = 0;
    return qed_write_header(s);
}

static const struct sparse_ops ops = {.find = qed_find, .room = qed_room, .enter = qed_enter,
                                      .enter_zero = qed_enter_zero, .begin = qed_begin};

/* ---- the header ---- */

static int qed_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 4 && get_le32(head) == MAGIC ? 100 : 0;
}

static int check_header(struct qed *s, uint64_t there, struct bp_error *err)
{
    uint32_t cluster = s->sparse.block;
    uint64_t table;

    if (s->features & ~(uint64_t)KNOWN_FEATURES)
        return bp_fail(err, ENOTSUP, "qed: the image has features that are not built (0x%llx)",
                       (unsigned long long)(s->features & ~(uint64_t)KNOWN_FEATURES));
    if (cluster < 4096 || cluster > 64u << 20 || cluster & (cluster - 1))
        return bp_fail(err, EINVAL, "qed: the header says that a cluster has %u bytes", cluster);
    if (s->table < 1 || s->table > 16 || s->table & (s->table - 1))
        return bp_fail(err, EINVAL, "qed: the header says that a table has %u clusters", s->table);
    table = (uint64_t)s->table * cluster;
    s->entries = table / 8;
    if (s->header == 0 || (uint64_t)s->header * cluster > MOST_HEADER + (uint64_t)cluster)
        return bp_fail(err, EINVAL, "qed: the header says that it has %u clusters", s->header);
    if (s->sparse.length % 512 || s->sparse.length > qed_most(cluster, s->table))
        return bp_fail(err, EINVAL, "qed: the header says that the disk has %llu bytes",
                       (unsigned long long)s->sparse.length);
    if (s->l1 % cluster || s->l1 < (uint64_t)s->header * cluster || s->l1 > there || there - s->l1 < table)
        return bp_fail(err, EINVAL, "qed: the L1 table cannot be at %llu", (unsigned long long)s->l1);
    return 0;
}

static int read_backing(struct qed *s, const uint8_t *h, struct bp_error *err)
{
    uint64_t at = get_le32(h + BACKING_OFFSET);
    uint32_t n = get_le32(h + BACKING_SIZE);
    int ret;

    if (!(s->features & HAS_BACKING))
        return 0;
    if (n == 0 || n > MOST_NAME || at < HEADER_BYTES || at + n > (uint64_t)s->header * s->sparse.block)
        return bp_fail(err, EINVAL, "qed: the backing file's name cannot have %u bytes at %llu", n,
                       (unsigned long long)at);
    s->backing_file = bp_alloc(n + 1);
    ret = format_io(s->sparse.file, BP_BLOCK_READ, at, s->backing_file, n);
    s->backing_file[n] = '\0';
    return ret < 0 ? bp_fail(err, -ret, "qed: the backing file's name cannot be read: %s", strerror(-ret)) : 0;
}

static int read_header(struct qed *s, struct bp_error *err)
{
    int64_t there = block->child_length(s->sparse.file);
    uint8_t h[HEADER_BYTES];
    int ret = there < 0 ? (int)there : format_io(s->sparse.file, BP_BLOCK_READ, 0, h, sizeof(h));

    if (ret < 0)
        return bp_fail(err, -ret, "qed: the header cannot be read: %s", strerror(-ret));
    if (!qed_probe(h, sizeof(h), NULL))
        return bp_fail(err, EINVAL, "qed: the image has no QED header");
    s->sparse.block = get_le32(h + CLUSTER_SIZE);
    s->table = get_le32(h + TABLE_SIZE);
    s->header = get_le32(h + HEADER_SIZE);
    s->features = get_le64(h + FEATURES);
    s->compatible = get_le64(h + COMPATIBLE);
    s->autoclear = get_le64(h + AUTOCLEAR);
    s->l1 = get_le64(h + L1_OFFSET);
    s->sparse.length = get_le64(h + DISK_SIZE);
    ret = check_header(s, (uint64_t)there, err);
    if (ret == 0)
        s->end = round_up((uint64_t)there, s->sparse.block);
    return ret == 0 ? read_backing(s, h, err) : ret;
}

int qed_write_header(struct qed *s)
{
    size_t n = s->backing_file ? strlen(s->backing_file) : 0;
    uint8_t h[HEADER_BYTES + MOST_NAME];

    memset(h, 0, HEADER_BYTES);
    put_le32(h, MAGIC);
    put_le32(h + CLUSTER_SIZE, s->sparse.block);
    put_le32(h + TABLE_SIZE, s->table);
    put_le32(h + HEADER_SIZE, s->header);
    put_le64(h + FEATURES, s->features);
    put_le64(h + COMPATIBLE, s->compatible);
    put_le64(h + AUTOCLEAR, s->autoclear);
    put_le64(h + L1_OFFSET, s->l1);
    put_le64(h + DISK_SIZE, s->sparse.length);
    put_le32(h + BACKING_OFFSET, n ? HEADER_BYTES : 0);
    put_le32(h + BACKING_SIZE, (uint32_t)n);
    memcpy(h + HEADER_BYTES, s->backing_file ? s->backing_file : "", n);
    return format_io(s->sparse.file, BP_BLOCK_WRITE, 0, h, HEADER_BYTES + n);
}

/* ---- opening ---- */

static int qed_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct qed *s = block->state(node);
    int ret;

    s->read_only = flags->read_only;
    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    s->sparse.backing = block->child(node, "backing");
    ret = read_header(s, err);
    if (ret == 0)
        ret = sparse_open(&s->sparse, SLICE, CACHE, err);
    if (ret < 0) {
        sparse_free(&s->sparse);
        free(s->backing_file);
        s->backing_file = NULL;
        return ret;
    }
    if (s->backing_file)
        block->want_backing(node, s->backing_file, s->features & BACKING_RAW ? "raw" : NULL);
    return 0;
}

/* Whoever wrote to it last did not come to an end. */
static int qed_granted(struct bp_block_node *node, struct bp_error *err)
{
    struct bp_block_check check = {.size = sizeof(check)};
    struct qed *s = block->state(node);
    int ret;

    if (s->read_only || !(s->features & NEED_CHECK))
        return 0;
    bp_co_mutex_lock(s->sparse.lock);
    ret = qed_check_locked(s, BP_BLOCK_FIX_ERRORS, &check);
    bp_co_mutex_unlock(s->sparse.lock);
    if (ret == 0 && check.corruptions)
        ret = -EIO;
    return ret < 0 ? bp_fail(err, -ret, "qed: the image was not closed, and cannot be repaired: %s", strerror(-ret))
                   : 0;
}

static void qed_close(struct bp_block_node *node)
{
    struct qed *s = block->state(node);

    sparse_close(node);
    free(s->backing_file);
    s->backing_file = NULL;
}

static int qed_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                      struct bp_error *err)
{
    struct qed *s = block->state(node);
    int ret = sparse_reopen(node, flags, options, err);

    if (ret == 0)
        s->read_only = flags->read_only;
    return ret;
}

static int qed_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct qed *s = block->state(node);
    uint64_t old = s->sparse.length;
    int ret;

    (void)exact;
    if (length % 512)
        return bp_fail(err, EINVAL, "the length of a QED image is a multiple of 512");
    if (length < old)
        return bp_fail(err, ENOTSUP, "qed: making images shorter is not built");
    if (length > qed_most(s->sparse.block, s->table))
        return bp_fail(err, EFBIG, "qed: tables of this image reach to %llu bytes",
                       (unsigned long long)qed_most(s->sparse.block, s->table));
    if (s->sparse.backing && block->child_length(s->sparse.backing) > (int64_t)old)
        return bp_fail(err, ENOTSUP, "qed: what is behind the end of the disk in its backing file would show");
    bp_co_mutex_lock(s->sparse.lock);
    s->sparse.length = length;
    ret = qed_write_header(s);
    if (ret < 0)
        s->sparse.length = old;
    bp_co_mutex_unlock(s->sparse.lock);
    return ret < 0 ? bp_fail(err, -ret, "the header cannot be written: %s", strerror(-ret)) : 0;
}

static int qed_change_backing(struct bp_block_node *node, const char *file, const char *format, struct bp_error *err)
{
    struct qed *s = block->state(node);
    char *old = s->backing_file;
    uint64_t features = s->features;
    int ret;

    if (file && strlen(file) > MOST_NAME)
        return bp_fail(err, EINVAL, "a backing file's name in the image has at most %u bytes", MOST_NAME);
    bp_co_mutex_lock(s->sparse.lock);
    s->backing_file = file ? bp_strdup(file) : NULL;
    s->features &= ~(uint64_t)(HAS_BACKING | BACKING_RAW);
    s->features |= (file ? HAS_BACKING : 0) | (file && format && !strcmp(format, "raw") ? BACKING_RAW : 0);
    ret = meta_write(&s->sparse.meta, META_LEVELS - 1);
    if (ret == 0)
        ret = qed_write_header(s);
    if (ret < 0) {
        free(s->backing_file);
        s->backing_file = old;
        s->features = features;
    } else {
        free(old);
    }
    bp_co_mutex_unlock(s->sparse.lock);
    return ret < 0 ? bp_fail(err, -ret, "the header could not be written: %s", strerror(-ret)) : 0;
}

static int qed_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct qed *s = block->state(node);

    ret->cluster_size = s->sparse.block;
    ret->backing_file = s->backing_file ? bp_strdup(s->backing_file) : NULL;
    ret->backing_format = s->backing_file && s->features & BACKING_RAW ? bp_strdup("raw") : NULL;
    ret->dirty = s->features & NEED_CHECK;
    ret->unallocated_zero = !s->sparse.backing;
    return 0;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = "backing", .roles = BP_BLOCK_BACKING | BP_BLOCK_OPTIONAL, .help = "what is not in the image is read here"},
    {.name = NULL}};

BP_BLOCK_DRIVER(qed_driver, "qed", "Images that grow, in the format QED", struct qed, NULL, .flags = BP_BLOCK_FORMAT,
                .children = children, .probe = qed_probe, .open = qed_open, .close = qed_close, .read = sparse_read,
                .write = sparse_write, .flush = sparse_flush, .discard = sparse_discard,
                .write_zeroes = sparse_zeroes, .status = sparse_status, .length = sparse_length,
                .resize = qed_resize, .limits = sparse_limits, .info = qed_info, .reopen_prepare = qed_reopen,
                .create = qed_create, .check = qed_check, .change_backing = qed_change_backing,
                .measure = qed_measure, .children_changed = sparse_changed, .granted = qed_granted);
BP_MODULE("block-qed", "Disk images in the format QED", imports, {BP_PROVIDE_OTHER, &qed_driver});
