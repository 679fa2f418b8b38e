/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-parallels`: expandable images of Parallels, version 2, in both of their forms: with entries of the
 * map that count sectors ("WithoutFreeSpace") and clusters ("WithouFreSpacExt"). Little end first.
 * Leaves out: extensions (dirty bitmaps; such images are not written to), bundles with DiskDescriptor.xml,
 * making images shorter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

enum {
    VERSION = 16, HEADS = 20, CYLINDERS = 24, TRACKS = 28, ENTRIES = 32, SECTORS = 36, IN_USE = 44, DATA = 48,
    FLAGS = 52, EXTENSION = 56, MAP = 64,
};
#define BY_SECTORS "WithoutFreeSpace"
#define BY_CLUSTERS "WithouFreSpacExt"
#define MARK 0x746f6e59u /* the image is open for writing, or was not closed */
#define MOST_ENTRIES (UINT32_C(1) << 30)
#define USUAL_CLUSTER (UINT64_C(1) << 20)
#define MOST_CLUSTER (UINT64_C(1) << 30)
#define SLICE 512u
#define CACHE (8u << 20)
#define LEVEL_MAP 2u

struct parallels {
    struct sparse sparse;
    uint32_t entries;
    uint64_t unit, data; /* unit: bytes that an entry of the map counts */
    uint64_t next;       /* where in the file the next cluster goes */
    bool known, in_use;
};

/* ---- the map ---- */

/* 0: nowhere */
static int get_place(struct parallels *s, uint64_t n, uint64_t *ret)
{
    uint8_t entry[4];
    int r = table_get(&s->sparse, MAP + n * 4, LEVEL_MAP, entry, 4);

    if (r == 0)
        *ret = get_le32(entry) * s->unit;
    return r;
}

static int parallels_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct parallels *s = (struct parallels *)sparse;
    uint64_t inside = offset % sparse->block, left = sparse->block - inside, host;
    int ret = get_place(s, offset / sparse->block, &host);

    if (ret < 0)
        return ret;
    place->bytes = place->bytes < left ? place->bytes : left;
    place->kind = host ? SPARSE_DATA : SPARSE_BELOW;
    place->file = sparse->file;
    place->host = host + inside;
    return host && host < s->data ? -EIO : 0;
}

static int find_next(struct parallels *s)
{
    int ret = 0;

    s->next = s->data;
    for (uint32_t i = 0; ret == 0 && i < s->entries; i++) {
        uint64_t host;

        ret = get_place(s, i, &host);
        if (ret == 0 && host && host + s->sparse.block > s->next)
            s->next = host + s->sparse.block;
    }
    s->next = divide_up(s->next, s->unit) * s->unit;
    s->known = ret == 0;
    return ret;
}

static int parallels_room(struct sparse *sparse, uint64_t offset, struct sparse_room *room)
{
    struct parallels *s = (struct parallels *)sparse;
    int ret = s->known ? 0 : find_next(s);

    if (ret < 0)
        return ret;
    if (s->next / s->unit > UINT32_MAX)
        return -ENOSPC;
    room->start = offset / sparse->block * sparse->block;
    room->bytes = sparse->block;
    room->host = s->next;
    return 0;
}

static int parallels_enter(struct sparse *sparse, const struct sparse_room *room)
{
    struct parallels *s = (struct parallels *)sparse;
    uint8_t entry[4];
    int ret;

    put_le32(entry, (uint32_t)(room->host / s->unit));
    ret = table_put(sparse, MAP + room->start / sparse->block * 4, LEVEL_MAP, entry, 4);
    if (ret == 0)
        s->next += sparse->block;
    return ret;
}

/* The mark is on stable storage before anything changes, and goes when everything is. */
static int put_mark(struct sparse *sparse, uint32_t mark)
{
    struct parallels *s = (struct parallels *)sparse;
    uint8_t text[4];
    int ret;

    put_le32(text, mark);
    ret = table_put(sparse, IN_USE, LEVEL_MAP, text, 4);
    if (ret == 0)
        ret = meta_write(&sparse->meta, LEVEL_MAP);
    if (ret == 0)
        ret = meta_sync(&sparse->meta);
    s->in_use = mark;
    return ret;
}

static int parallels_begin(struct sparse *sparse)
{
    return put_mark(sparse, MARK);
}

static int parallels_settle(struct sparse *sparse)
{
    return put_mark(sparse, 0);
}

/* ---- growing ---- */

/* Clusters that lie where the longer map will go behind all others; each is entered when its copy is safe. */
static int move_away(struct parallels *s, uint64_t data)
{
    uint64_t first = s->next > data ? s->next : data, next = first, host;
    uint8_t text[4];
    int ret = 0;

    for (unsigned pass = 0; ret == 0 && pass < 2; pass++) {
        next = first;
        for (uint32_t i = 0; ret == 0 && i < s->entries; i++) {
            ret = get_place(s, i, &host);
            if (ret < 0 || !host || host >= data)
                continue;
            if (next / s->unit > UINT32_MAX)
                return -ENOSPC;
            put_le32(text, (uint32_t)(next / s->unit));
            ret = pass == 0 ? file_copy(s->sparse.file, host, next, s->sparse.block)
                            : table_put(&s->sparse, MAP + (uint64_t)i * 4, LEVEL_MAP, text, 4);
            next += s->sparse.block;
        }
        if (ret == 0)
            ret = tables_sync(&s->sparse, LEVEL_MAP);
    }
    s->next = next;
    return ret;
}

/* One sector says how long everything is: it changes at once. */
static int switch_header(struct parallels *s, uint64_t entries, uint64_t data, uint64_t length)
{
    struct slice *h;
    int ret = meta_get(&s->sparse.meta, 0, LEVEL_MAP, &h);

    if (ret < 0)
        return ret;
    put_le32(h->data + CYLINDERS, (uint32_t)(length / 512 / 16 / 32));
    put_le32(h->data + ENTRIES, (uint32_t)entries);
    if (!memcmp(h->data, BY_CLUSTERS, 16))
        put_le64(h->data + SECTORS, length / 512);
    else
        put_le32(h->data + SECTORS, (uint32_t)(length / 512));
    if (get_le32(h->data + DATA))
        put_le32(h->data + DATA, (uint32_t)(data / 512));
    meta_dirty(&s->sparse.meta, h);
    meta_put(h);
    return tables_sync(&s->sparse, LEVEL_MAP);
}

static int make_longer(struct parallels *s, uint64_t entries, uint64_t length)
{
    uint64_t old_end = MAP + (uint64_t)s->entries * 4, end = MAP + entries * 4, data = s->data;
    int ret = s->known ? 0 : find_next(s);

    if (ret == 0 && end > data) {
        data = divide_up(end, s->unit) * s->unit;
        ret = data / 512 > UINT32_MAX ? -EFBIG : move_away(s, data);
    }
    if (ret == 0 && end > old_end) {
        meta_drop(&s->sparse.meta, 0, end);
        ret = file_zeroes(s->sparse.file, old_end, end - old_end);
    }
    if (ret == 0)
        ret = meta_sync(&s->sparse.meta);
    if (ret == 0)
        ret = switch_header(s, entries, data, length);
    if (ret < 0)
        return ret;
    s->entries = (uint32_t)entries;
    s->data = data;
    s->next = s->next > data ? s->next : data;
    return 0;
}

static int parallels_grow(struct sparse *sparse, uint64_t length, struct bp_error *err)
{
    struct parallels *s = (struct parallels *)sparse;
    uint64_t entries = divide_up(length, sparse->block);
    int ret;

    if (entries > MOST_ENTRIES || (s->unit == 512 && length / 512 > UINT32_MAX))
        return bp_fail(err, EFBIG, "parallels: the disk would be too long for clusters of %u bytes", sparse->block);
    ret = make_longer(s, entries > s->entries ? entries : s->entries, length);
    return ret < 0 ? bp_fail(err, -ret, "parallels: the image cannot be made longer: %s", strerror(-ret)) : 0;
}

static const struct sparse_ops ops = {.find = parallels_find, .room = parallels_room, .enter = parallels_enter,
                                      .grow = parallels_grow, .begin = parallels_begin, .settle = parallels_settle};

/* ---- opening ---- */

static int parallels_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 16 && (!memcmp(head, BY_SECTORS, 16) || !memcmp(head, BY_CLUSTERS, 16)) ? 100 : 0;
}

static int read_header(struct parallels *s, const uint8_t *h, uint64_t there, bool read_only, struct bp_error *err)
{
    bool clusters = !memcmp(h, BY_CLUSTERS, 16);
    uint64_t sectors = clusters ? get_le64(h + SECTORS) : get_le32(h + SECTORS);
    uint64_t cluster = (uint64_t)get_le32(h + TRACKS) * 512, end;

    if (!parallels_probe(h, 16, NULL))
        return bp_fail(err, EINVAL, "parallels: the image has no Parallels header");
    if (get_le32(h + VERSION) != 2)
        return bp_fail(err, ENOTSUP, "parallels: version %u is not built; 2 is", get_le32(h + VERSION));
    if (cluster == 0 || cluster > MOST_CLUSTER)
        return bp_fail(err, EINVAL, "parallels: the image says that a cluster has %u sectors", get_le32(h + TRACKS));
    s->entries = get_le32(h + ENTRIES);
    s->sparse.block = (uint32_t)cluster;
    s->unit = clusters ? cluster : 512;
    if (s->entries > MOST_ENTRIES || sectors > (uint64_t)s->entries * (cluster / 512))
        return bp_fail(err, EINVAL, "parallels: a map of %u entries does not fit a disk of %llu sectors", s->entries,
                       (unsigned long long)sectors);
    if (there < MAP + (uint64_t)s->entries * 4)
        return bp_fail(err, EINVAL, "parallels: the map of %u entries goes beyond the end of the file", s->entries);
    if (sectors > BP_BLOCK_MAX_LENGTH / 512)
        return bp_fail(err, EFBIG, "parallels: the disk is too long");
    end = MAP + (uint64_t)s->entries * 4;
    s->data = (uint64_t)get_le32(h + DATA) * 512;
    if (s->data == 0)
        s->data = divide_up(end, s->unit) * s->unit;
    if (s->data < end)
        return bp_fail(err, EINVAL, "parallels: the image says that its data begins at %llu, within the map",
                       (unsigned long long)s->data);
    if (get_le64(h + EXTENSION) && !read_only)
        return bp_fail(err, ENOTSUP, "parallels: the image has extensions (dirty bitmaps), which would not be kept up: "
                       "it can be opened with read-only=on");
    s->in_use = get_le32(h + IN_USE) == MARK;
    s->sparse.length = sectors * 512;
    return 0;
}

static int parallels_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct parallels *s = block->state(node);
    uint8_t h[MAP];
    int64_t there;
    int ret;

    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    there = block->child_length(s->sparse.file);
    ret = there < 0 ? (int)there : format_io(s->sparse.file, BP_BLOCK_READ, 0, h, sizeof(h));
    if (ret < 0)
        return bp_fail(err, -ret, "parallels: the header cannot be read: %s", strerror(-ret));
    ret = read_header(s, h, (uint64_t)there, flags->read_only, err);
    return ret == 0 ? sparse_open(&s->sparse, SLICE, CACHE, err) : ret;
}

static int parallels_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct parallels *s = block->state(node);

    ret->cluster_size = s->sparse.block;
    ret->dirty = s->in_use;
    ret->unallocated_zero = true;
    return 0;
}

/* ---- checking ---- */

static int check_map(struct parallels *s, struct claims *claims, struct bp_block_check *ret)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < s->entries; i++) {
        uint64_t host;

        r = get_place(s, i, &host);
        if (r < 0 || !host)
            continue;
        ret->allocated_clusters++;
        if (host >= s->data && claims_take(claims, host, s->sparse.block))
            continue;
        check_say(ret, "ERROR: cluster %u lies at %llu, where others are, or beyond the end of the file", i,
                  (unsigned long long)host);
        ret->corruptions++;
    }
    return r;
}

static int check_locked(struct parallels *s, uint32_t fix, struct bp_block_check *ret)
{
    int64_t there = block->child_length(s->sparse.file);
    struct claims claims = {NULL, 0, 0};
    uint64_t end;
    int r = there < 0 ? (int)there : claims_init(&claims, (uint64_t)there, 512);

    if (r < 0)
        return r;
    r = check_map(s, &claims, ret);
    claims_free(&claims);
    if (r == 0)
        r = find_next(s);
    if (r < 0)
        return r;
    ret->total_clusters = s->entries;
    ret->image_end = end = s->next;
    if ((uint64_t)there > end) {
        uint64_t lost = divide_up((uint64_t)there - end, s->sparse.block);

        check_say(ret, "Leaked: %llu bytes at the end of the file", (unsigned long long)there - end);
        if (fix & BP_BLOCK_FIX_LEAKS && block->child_resize(s->sparse.file, end, true, NULL) == 0)
            ret->leaks_fixed += lost;
        else
            ret->leaks += lost;
    }
    if (s->in_use && !s->sparse.marked) {
        check_say(ret, "ERROR: the image was not closed");
        if (fix & BP_BLOCK_FIX_ERRORS && ret->corruptions == 0 && put_mark(&s->sparse, 0) == 0)
            ret->corruptions_fixed++;
        else
            ret->corruptions++;
    }
    return 0;
}

static int parallels_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct parallels *s = block->state(node);
    int r;

    bp_co_mutex_lock(s->sparse.lock);
    r = check_locked(s, fix, ret);
    bp_co_mutex_unlock(s->sparse.lock);
    return r < 0 ? bp_fail(err, -r, "the image cannot be checked: %s", strerror(-r)) : 0;
}

/* ---- making ---- */

struct wish {
    uint64_t size, cluster, entries, data;
};

static int take_wish(struct bp_value *options, struct wish *w, struct bp_error *err)
{
    int ret;

    w->cluster = USUAL_CLUSTER;
    ret = option_size(options, "cluster-size", &w->cluster, err);
    if (ret == 0 && (w->cluster % 512 || w->cluster == 0 || w->cluster > MOST_CLUSTER))
        ret = bp_fail(err, EINVAL, "option 'cluster_size' expects a multiple of 512, at most 1G");
    if (ret == 0)
        ret = option_disk_size(options, w->cluster * (MOST_ENTRIES / 2) < BP_BLOCK_MAX_LENGTH
                               ? w->cluster * (MOST_ENTRIES / 2) : BP_BLOCK_MAX_LENGTH, &w->size, err);
    if (ret < 0)
        return ret;
    w->entries = divide_up(w->size, w->cluster);
    w->data = divide_up(MAP + w->entries * 4, w->cluster) * w->cluster;
    return 0;
}

static int parallels_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    uint8_t h[512] = BY_CLUSTERS;
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret == 0 && w.data / 512 > UINT32_MAX)
        ret = bp_fail(err, EFBIG, "an image of %llu bytes needs larger clusters: cluster_size=",
                      (unsigned long long)w.size);
    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret == 0)
        ret = block->child_resize(file, w.data, false, err);
    if (ret < 0)
        return ret;
    put_le32(h + VERSION, 2);
    put_le32(h + HEADS, 16);
    put_le32(h + CYLINDERS, (uint32_t)(w.size / 512 / 16 / 32));
    put_le32(h + TRACKS, (uint32_t)(w.cluster / 512));
    put_le32(h + ENTRIES, (uint32_t)w.entries);
    put_le64(h + SECTORS, w.size / 512);
    put_le32(h + DATA, (uint32_t)(w.data / 512));
    ret = format_io(file, BP_BLOCK_WRITE, 0, h, sizeof(h));
    return ret < 0 ? bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret)) : 0;
}

static int parallels_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                             struct bp_error *err)
{
    struct wish w;
    int r = take_wish(options, &w, err);

    (void)size;
    if (r < 0)
        return r;
    ret->fully_allocated = w.data + w.entries * w.cluster;
    ret->required = w.data + divide_up(used < w.size ? used : w.size, w.cluster) * w.cluster;
    return 0;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(parallels_driver, "parallels", "Expandable images of Parallels", struct parallels, NULL,
                .flags = BP_BLOCK_FORMAT, .children = children, .probe = parallels_probe, .open = parallels_open,
                .close = sparse_close, .read = sparse_read, .write = sparse_write, .flush = sparse_flush,
                .discard = sparse_discard, .resize = sparse_resize, .write_zeroes = sparse_zeroes,
                .status = sparse_status,
                .length = sparse_length, .limits = sparse_limits, .info = parallels_info,
                .reopen_prepare = sparse_reopen, .create = parallels_create, .check = parallels_check,
                .measure = parallels_measure);
BP_MODULE("block-parallels", "Images of Parallels", imports, {BP_PROVIDE_OTHER, &parallels_driver});
