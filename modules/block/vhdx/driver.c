/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-vhdx`: virtual hard disks v2 (VHDX) of Hyper-V, fixed and dynamic. Changes of the map go through the
 * log; one that was left behind is replayed when the image is opened for writing.
 * Leaves out: differencing disks (refused), making disks shorter or longer than their map is, giving blocks back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhdx.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define CACHE (16u << 20)

static int get_block(struct vhdx *s, uint64_t n, uint64_t *ret)
{
    uint8_t entry[8];
    int r = table_get(&s->sparse, s->map + vhdx_entry(s->ratio, n) * 8, LEVEL_MAP, entry, 8);

    if (r == 0)
        *ret = get_le64(entry);
    return r;
}

/* Blocks lie behind everything that has a fixed place but need not come after all regions. */
static bool is_place(const struct vhdx *s, uint64_t at)
{
    uint64_t end = at + s->sparse.block;

    return at >= MIB && end > at && end <= s->end && (end <= s->log || at >= s->log + s->log_bytes) &&
           (end <= s->map || at >= s->map + s->map_bytes) &&
           (end <= s->metadata || at >= s->metadata + s->metadata_bytes);
}

static int vhdx_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct vhdx *s = (struct vhdx *)sparse;
    uint64_t inside = offset % sparse->block, left = sparse->block - inside, entry;
    int ret = get_block(s, offset / sparse->block, &entry);

    if (ret < 0)
        return ret;
    place->bytes = place->bytes < left ? place->bytes : left;
    place->kind = STATE(entry) == FULLY_PRESENT ? SPARSE_DATA : SPARSE_BELOW;
    place->file = sparse->file;
    place->host = ENTRY_OFFSET(entry) + inside;
    if (STATE(entry) == PARTLY_PRESENT || (place->kind == SPARSE_DATA && !is_place(s, ENTRY_OFFSET(entry))))
        return -EIO;
    return 0;
}

static int vhdx_room(struct sparse *sparse, uint64_t offset, struct sparse_room *room)
{
    struct vhdx *s = (struct vhdx *)sparse;

    room->start = round_down(offset, sparse->block);
    room->bytes = sparse->block;
    room->host = s->end;
    return s->end > (uint64_t)BP_BLOCK_MAX_LENGTH - sparse->block ? -EFBIG : 0;
}

static int vhdx_enter(struct sparse *sparse, const struct sparse_room *room)
{
    struct vhdx *s = (struct vhdx *)sparse;
    uint8_t entry[8];
    int ret;

    put_le64(entry, room->host | FULLY_PRESENT);
    ret = table_put(sparse, s->map + vhdx_entry(s->ratio, room->start / sparse->block) * 8, LEVEL_MAP, entry, 8);
    if (ret == 0)
        s->end += sparse->block;
    return ret;
}

/* 2.2.2.1: whoever keeps copies sees by the identifiers that the file has changed; the log's is new each time. */
static int vhdx_begin(struct sparse *sparse)
{
    struct vhdx *s = (struct vhdx *)sparse;

    format_uuid(s->header + FILE_GUID);
    format_uuid(s->header + DATA_GUID);
    format_uuid(s->header + LOG_GUID);
    return vhdx_write_header(s);
}

static int vhdx_settle(struct sparse *sparse)
{
    struct vhdx *s = (struct vhdx *)sparse;

    memset(s->header + LOG_GUID, 0, 16);
    return vhdx_write_header(s);
}

/* Entries of new blocks; a fixed disk has all of them. */
static int enter_new(struct vhdx *s, uint64_t from, uint64_t to)
{
    uint64_t size = s->sparse.block, first = from ? vhdx_entry(s->ratio, from - 1) + 1 : 0;
    uint8_t entry[8] = {0};
    int ret = 0;

    for (uint64_t i = first; ret == 0 && i <= vhdx_entry(s->ratio, to - 1); i++) /* those of bitmaps, too */
        ret = table_put(&s->sparse, s->map + i * 8, LEVEL_MAP, entry, 8);
    if (ret == 0 && s->fixed)
        ret = file_zeroes(s->sparse.file, s->end, (to - from) * size);
    for (uint64_t i = from; ret == 0 && s->fixed && i < to; i++) {
        put_le64(entry, s->end | FULLY_PRESENT);
        ret = table_put(&s->sparse, s->map + vhdx_entry(s->ratio, i) * 8, LEVEL_MAP, entry, 8);
        s->end += size;
    }
    return ret == 0 ? tables_sync(&s->sparse, LEVEL_MAP) : ret;
}

static int vhdx_grow(struct sparse *sparse, uint64_t length, struct bp_error *err)
{
    struct vhdx *s = (struct vhdx *)sparse;
    uint64_t blocks = divide_up(length, sparse->block);
    uint8_t text[8];
    int ret = 0;

    if (length % s->sector || length > MOST_BYTES)
        return bp_fail(err, EINVAL, "vhdx: the length of this disk is a multiple of %u, at most 64T", s->sector);
    if ((vhdx_entry(s->ratio, blocks - 1) + 1) * 8 > s->map_bytes)
        return bp_fail(err, EFBIG, "vhdx: the map of this image has room for %llu blocks of %u bytes",
                       (unsigned long long)(s->map_bytes / 8 - s->map_bytes / 8 / (s->ratio + 1)), sparse->block);
    if ((s->metadata + s->size_at) % SECTOR > SECTOR - 8)
        return bp_fail(err, ENOTSUP, "vhdx: the size of this disk lies across two sectors of its metadata");
    if (blocks > s->blocks)
        ret = enter_new(s, s->blocks, blocks);
    put_le64(text, length);
    if (ret == 0)
        ret = table_put(sparse, s->metadata + s->size_at, LEVEL_MAP, text, 8);
    if (ret == 0)
        ret = tables_sync(sparse, LEVEL_MAP);
    if (ret < 0)
        return bp_fail(err, -ret, "vhdx: the image cannot be made longer: %s", strerror(-ret));
    s->blocks = blocks;
    return 0;
}

static const struct sparse_ops ops = {.find = vhdx_find, .room = vhdx_room, .enter = vhdx_enter, .begin = vhdx_begin,
                                      .grow = vhdx_grow, .settle = vhdx_settle};

/* ---- opening ---- */

static int vhdx_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 8 && !memcmp(head, "vhdxfile", 8) ? 100 : 0;
}

static int vhdx_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct vhdx *s = block->state(node);
    int ret;

    s->read_only = flags->read_only;
    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    ret = vhdx_read_headers(s, err);
    if (ret == 0)
        ret = vhdx_look_at_log(s, err);
    if (ret == 0)
        ret = sparse_open(&s->sparse, SECTOR, CACHE, err);
    s->sparse.meta.journal = vhdx_journal;
    s->sparse.meta.opaque = s;
    if (ret < 0)
        sparse_free(&s->sparse);
    return ret;
}

static int vhdx_granted(struct bp_block_node *node, struct bp_error *err)
{
    struct vhdx *s = block->state(node);
    int ret;

    if (s->read_only || !s->replay)
        return 0;
    bp_co_mutex_lock(s->sparse.lock);
    ret = vhdx_replay(s);
    meta_drop(&s->sparse.meta, 0, UINT64_MAX);
    bp_co_mutex_unlock(s->sparse.lock);
    return ret < 0 ? bp_fail(err, -ret, "vhdx: the log cannot be replayed: %s", strerror(-ret))
                   : vhdx_read_headers(s, err);
}

static int vhdx_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                       struct bp_error *err)
{
    struct vhdx *s = block->state(node);
    int ret = sparse_reopen(node, flags, options, err);

    if (ret == 0)
        s->read_only = flags->read_only;
    return ret;
}

static void vhdx_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct vhdx *s = block->state(node);

    limits->request_alignment = 0;
    limits->memory_alignment = 0;
    if (s->sector > 512)
        limits->logical_block = limits->physical_block = s->sector;
}

static int vhdx_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct vhdx *s = block->state(node);

    ret->cluster_size = s->sparse.block;
    ret->unallocated_zero = true;
    return 0;
}

/* ---- checking ---- */

static int check_map(struct vhdx *s, struct claims *claims, struct bp_block_check *ret)
{
    int r = 0;

    claims_take(claims, 0, MIB);
    claims_take(claims, s->log, s->log_bytes);
    claims_take(claims, s->map, s->map_bytes);
    claims_take(claims, s->metadata, s->metadata_bytes);
    for (uint64_t i = 0; r == 0 && i < s->blocks; i++) {
        uint64_t entry;

        r = get_block(s, i, &entry);
        if (r < 0 || STATE(entry) < FULLY_PRESENT)
            continue;
        ret->allocated_clusters++;
        if (STATE(entry) == FULLY_PRESENT && claims_take(claims, ENTRY_OFFSET(entry), s->sparse.block))
            continue;
        check_say(ret, "ERROR: block %llu lies at %llu, where others are, or beyond the end of the file",
                  (unsigned long long)i, (unsigned long long)ENTRY_OFFSET(entry));
        ret->corruptions++;
    }
    return r;
}

static int vhdx_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct vhdx *s = block->state(node);
    struct claims claims;
    int r = claims_init(&claims, s->end, (uint32_t)MIB);

    (void)fix;
    if (r < 0)
        return bp_fail(err, -r, "there is no memory for checking so large an image");
    ret->total_clusters = s->blocks;
    if (s->replay) {
        check_say(ret, "ERROR: the image was not closed: its log has what is not in its place yet");
        ret->corruptions++;
    }
    bp_co_mutex_lock(s->sparse.lock);
    r = check_map(s, &claims, ret);
    bp_co_mutex_unlock(s->sparse.lock);
    claims_free(&claims);
    return r < 0 ? bp_fail(err, -r, "the map cannot be read: %s", strerror(-r)) : 0;
}

static const struct bp_field props[] = {
    {.name = "no-io", .kind = BP_KIND_BOOL, .flags = BP_FIELD_OPTIONAL | BP_FIELD_HIDDEN,
     .offset = offsetof(struct vhdx, facts_only), .def = "off", .help = "data is neither read nor written"},
    BP_FIELDS_END};
static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(vhdx_driver, "vhdx", "Virtual hard disks v2 (VHDX)", struct vhdx, props, .flags = BP_BLOCK_FORMAT,
                .children = children, .probe = vhdx_probe, .open = vhdx_open, .close = sparse_close,
                .read = sparse_read, .write = sparse_write, .flush = sparse_flush, .discard = sparse_discard,
                .write_zeroes = sparse_zeroes, .resize = sparse_resize, .status = sparse_status,
                .length = sparse_length,
                .limits = vhdx_limits, .info = vhdx_info, .reopen_prepare = vhdx_reopen, .create = vhdx_create,
                .check = vhdx_check, .measure = vhdx_measure, .granted = vhdx_granted);
BP_MODULE("block-vhdx", "Virtual hard disks v2 (VHDX)", imports, {BP_PROVIDE_OTHER, &vhdx_driver});
