/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-vdi`: VirtualBox disk images, version 1.1, dynamic and static. A header, one map of 32-bit block
 * numbers, blocks of (mostly) 1 MiB. All numbers have the little end first.
 * Leaves out: differencing images (refused), blocks with extra bytes, making images shorter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

enum {
    SIGNATURE = 0x40, VERSION = 0x44, HEADER_SIZE = 0x48, TYPE = 0x4c, MAP_OFFSET = 0x154, DATA_OFFSET = 0x158,
    SECTOR_SIZE = 0x168, DISK_SIZE = 0x170, BLOCK_SIZE = 0x178, BLOCK_EXTRA = 0x17c, BLOCKS = 0x180,
    ALLOCATED = 0x184, UUID_IMAGE = 0x188, UUID_SNAPSHOT = 0x198, UUID_LINK = 0x1a8, UUID_PARENT = 0x1b8,
    HEADER_BYTES = 512,
};
#define MAGIC 0xbeda107fu
#define DYNAMIC 1u
#define STATIC 2u
#define NOWHERE 0xffffffffu
#define DISCARDED 0xfffffffeu /* reads as zeroes */
#define MOST_BLOCKS (UINT32_C(1) << 29)
#define USUAL_BLOCK (1u << 20)
#define SLICE 512u
#define CACHE (8u << 20)
#define LEVEL_HEADER 1u /* the count of blocks is never less than what the map has */
#define LEVEL_MAP 2u

struct vdi {
    struct sparse sparse;
    uint32_t map, data, blocks, allocated, type; /* map, data: offsets in the file */
    uint32_t next;                               /* number of the next new block */
    uint32_t most;                               /* numbers of blocks are less */
    bool known;                                  /* next is */
    uint8_t uuid[16];
};

/* ---- the map ---- */

static int get_entry(struct vdi *s, uint32_t n, uint32_t *ret)
{
    uint8_t entry[4];
    int r = table_get(&s->sparse, s->map + (uint64_t)n * 4, LEVEL_MAP, entry, 4);

    if (r == 0)
        *ret = get_le32(entry);
    return r;
}

static int vdi_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct vdi *s = (struct vdi *)sparse;
    uint64_t inside = offset % sparse->block, left = sparse->block - inside;
    uint32_t entry;
    int ret = get_entry(s, (uint32_t)(offset / sparse->block), &entry);

    if (ret < 0)
        return ret;
    place->bytes = place->bytes < left ? place->bytes : left;
    place->kind = entry >= DISCARDED ? SPARSE_BELOW : SPARSE_DATA;
    place->file = sparse->file;
    place->host = s->data + (uint64_t)entry * sparse->block + inside;
    return place->kind == SPARSE_DATA && entry >= s->most ? -EIO : 0;
}

/* The first block behind all that are in use. */
static int find_next(struct vdi *s)
{
    int ret = 0;

    s->next = s->allocated;
    for (uint32_t i = 0, entry; ret == 0 && i < s->blocks; i++) {
        ret = get_entry(s, i, &entry);
        if (ret == 0 && entry < DISCARDED && entry >= s->next)
            s->next = entry + 1;
    }
    s->known = ret == 0;
    return ret;
}

static int vdi_room(struct sparse *sparse, uint64_t offset, struct sparse_room *room)
{
    struct vdi *s = (struct vdi *)sparse;
    int ret = s->known ? 0 : find_next(s);

    if (ret < 0)
        return ret;
    if (s->next >= s->blocks) /* more than the disk has: some are in use twice, or the count is wrong */
        return -ENOSPC;
    room->start = offset / sparse->block * sparse->block;
    room->bytes = sparse->block;
    room->host = s->data + (uint64_t)s->next * sparse->block;
    return 0;
}

static int put_count(struct vdi *s, uint32_t count)
{
    uint8_t text[4];
    int ret;

    put_le32(text, count);
    ret = table_put(&s->sparse, ALLOCATED, LEVEL_HEADER, text, 4);
    if (ret == 0)
        s->allocated = count;
    return ret;
}

static int vdi_enter(struct sparse *sparse, const struct sparse_room *room)
{
    struct vdi *s = (struct vdi *)sparse;
    uint8_t entry[4];
    int ret;

    put_le32(entry, s->next);
    ret = table_put(sparse, s->map + room->start / sparse->block * 4, LEVEL_MAP, entry, 4);
    return ret < 0 ? ret : put_count(s, ++s->next);
}

/* ---- growing ---- */

/* The first `count` blocks of the file go behind all others, each of which is entered when its copy is safe. */
static int move_first(struct vdi *s, uint32_t count)
{
    uint32_t first = s->next < count ? count : s->next, next = first, entry;
    uint64_t size = s->sparse.block;
    uint8_t text[4];
    int ret = 0;

    for (unsigned pass = 0; ret == 0 && pass < 2; pass++) {
        next = first;
        for (uint32_t i = 0; ret == 0 && i < s->blocks; i++) {
            ret = get_entry(s, i, &entry);
            if (ret < 0 || entry >= count)
                continue;
            put_le32(text, next);
            ret = pass == 0 ? file_copy(s->sparse.file, s->data + entry * size, s->data + next * size, size)
                            : table_put(&s->sparse, s->map + (uint64_t)i * 4, LEVEL_MAP, text, 4);
            next++;
        }
        s->most = next > s->most ? next : s->most;
        if (ret == 0)
            ret = tables_sync(&s->sparse, LEVEL_MAP);
    }
    s->next = next;
    return ret;
}

/* A longer map where the first blocks were; their number is taken from those of all others. */
static int write_new_map(struct vdi *s, uint32_t blocks, uint32_t count)
{
    uint64_t bytes = (uint64_t)count * s->sparse.block;
    uint8_t piece[4096];
    int ret = 0;

    for (uint64_t at = 0; ret == 0 && at < bytes; at += sizeof(piece)) {
        for (uint32_t i = 0; ret == 0 && i < sizeof(piece) / 4; i++) {
            uint64_t number = at / 4 + i;
            uint32_t entry = number < blocks ? NOWHERE : 0;

            if (number < s->blocks)
                ret = get_entry(s, (uint32_t)number, &entry);
            put_le32(piece + i * 4, number < s->blocks && entry < DISCARDED ? entry - count : entry);
        }
        if (ret == 0)
            ret = format_io(s->sparse.file, BP_BLOCK_WRITE, s->data + at, piece, sizeof(piece));
    }
    meta_drop(&s->sparse.meta, s->data, bytes);
    return ret == 0 ? meta_sync(&s->sparse.meta) : ret;
}

static int clear_entries(struct vdi *s, uint32_t from, uint32_t to)
{
    static const uint8_t nowhere[4] = {0xff, 0xff, 0xff, 0xff};
    int ret = 0;

    for (uint32_t i = from; ret == 0 && i < to; i++)
        ret = table_put(&s->sparse, s->map + (uint64_t)i * 4, LEVEL_MAP, nowhere, 4);
    return ret == 0 ? tables_sync(&s->sparse, LEVEL_MAP) : ret;
}

/* One sector says where everything is: it changes at once. */
static int switch_header(struct vdi *s, uint64_t map, uint64_t data, uint32_t blocks, uint64_t length)
{
    struct slice *h;
    int ret = meta_get(&s->sparse.meta, 0, LEVEL_HEADER, &h);

    if (ret < 0)
        return ret;
    put_le32(h->data + MAP_OFFSET, (uint32_t)map);
    put_le32(h->data + DATA_OFFSET, (uint32_t)data);
    put_le64(h->data + DISK_SIZE, length);
    put_le32(h->data + BLOCKS, blocks);
    meta_dirty(&s->sparse.meta, h);
    meta_put(h);
    return tables_sync(&s->sparse, LEVEL_HEADER);
}

static int make_longer(struct vdi *s, uint32_t blocks, uint64_t length)
{
    uint64_t map = s->map, data = s->data, need = round_up((uint64_t)blocks * 4, 512);
    uint32_t count = 0;
    int ret = s->known ? 0 : find_next(s);

    if (ret < 0)
        return ret;
    if (map + need > data) {
        count = (uint32_t)divide_up(need, s->sparse.block);
        map = data;
        data += (uint64_t)count * s->sparse.block;
        ret = data > UINT32_MAX ? -EFBIG : move_first(s, count);
        if (ret == 0)
            ret = write_new_map(s, blocks, count);
    } else {
        ret = clear_entries(s, s->blocks, blocks);
    }
    if (ret == 0)
        ret = switch_header(s, map, data, blocks, length);
    if (ret < 0)
        return ret;
    s->map = (uint32_t)map;
    s->data = (uint32_t)data;
    s->blocks = blocks;
    s->next -= count;
    s->most = blocks > s->most ? blocks : s->most;
    return 0;
}

/* Static images have all their blocks. */
static int fill_up(struct vdi *s, uint32_t from)
{
    uint64_t size = s->sparse.block;
    int ret = file_zeroes(s->sparse.file, s->data + s->next * size, (s->blocks - from) * size);

    for (uint32_t i = from; ret == 0 && i < s->blocks; i++) {
        uint8_t entry[4];

        put_le32(entry, s->next++);
        ret = table_put(&s->sparse, s->map + (uint64_t)i * 4, LEVEL_MAP, entry, 4);
    }
    if (ret == 0)
        ret = put_count(s, s->next);
    return ret == 0 ? tables_sync(&s->sparse, LEVEL_MAP) : ret;
}

static int vdi_grow(struct sparse *sparse, uint64_t length, struct bp_error *err)
{
    struct vdi *s = (struct vdi *)sparse;
    uint64_t blocks = divide_up(length, sparse->block);
    uint32_t before = s->blocks;
    int ret;

    if (blocks > MOST_BLOCKS)
        return bp_fail(err, EFBIG, "vdi: a disk has at most %u blocks", MOST_BLOCKS);
    blocks = blocks > before ? blocks : before;
    ret = make_longer(s, (uint32_t)blocks, length);
    if (ret == 0 && s->type == STATIC && blocks > before)
        ret = fill_up(s, before);
    return ret < 0 ? bp_fail(err, -ret, "vdi: the image cannot be made longer: %s", strerror(-ret)) : 0;
}

static const struct sparse_ops ops = {.find = vdi_find, .room = vdi_room, .enter = vdi_enter, .grow = vdi_grow};

/* ---- opening ---- */

static int vdi_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= SIGNATURE + 4 && get_le32(head + SIGNATURE) == MAGIC ? 100 : 0;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    while (n > 0 && *bytes == 0) {
        bytes++;
        n--;
    }
    return n == 0;
}

static int check_header(struct vdi *s, const uint8_t *h, struct bp_error *err)
{
    uint64_t length = get_le64(h + DISK_SIZE);
    uint32_t size = get_le32(h + BLOCK_SIZE);

    if (get_le32(h + SIGNATURE) != MAGIC)
        return bp_fail(err, EINVAL, "vdi: the image has no VDI header");
    if (get_le32(h + VERSION) != 0x10001)
        return bp_fail(err, ENOTSUP, "vdi: version %u.%u is not built; 1.1 is", get_le32(h + VERSION) >> 16,
                       get_le32(h + VERSION) & 0xffff);
    if (s->type != DYNAMIC && s->type != STATIC)
        return bp_fail(err, ENOTSUP, "vdi: images of type %u (undo, differencing) are not built; dynamic and static "
                       "ones are", s->type);
    if (!is_zero(h + UUID_LINK, 16) || !is_zero(h + UUID_PARENT, 16))
        return bp_fail(err, ENOTSUP, "vdi: differencing images (with a parent) are not built");
    if (get_le32(h + SECTOR_SIZE) != 512 || get_le32(h + BLOCK_EXTRA) != 0)
        return bp_fail(err, ENOTSUP, "vdi: sectors of %u bytes and %u extra bytes a block are not built; 512 and 0 are",
                       get_le32(h + SECTOR_SIZE), get_le32(h + BLOCK_EXTRA));
    if (size < 4096 || size > 256u << 20 || size & (size - 1))
        return bp_fail(err, EINVAL, "vdi: the image says that a block has %u bytes", size);
    if (s->map % 512 || s->data % 512 || s->map < HEADER_BYTES || s->blocks > MOST_BLOCKS ||
        s->data < s->map + (uint64_t)s->blocks * 4)
        return bp_fail(err, EINVAL, "vdi: the image says that its map is at %u and its data at %u", s->map, s->data);
    if (length > (uint64_t)s->blocks * size)
        return bp_fail(err, EINVAL, "vdi: a disk of %llu bytes does not fit into %u blocks",
                       (unsigned long long)length, s->blocks);
    if (s->allocated > s->blocks)
        return bp_fail(err, EINVAL, "vdi: the image says that %u of its %u blocks are in use", s->allocated, s->blocks);
    s->sparse.block = size;
    s->sparse.length = round_up(length, 512);
    if (s->sparse.length > (uint64_t)s->blocks * size)
        s->sparse.length -= 512;
    return 0;
}

static int vdi_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct vdi *s = block->state(node);
    uint8_t h[HEADER_BYTES];
    uint64_t fit;
    int64_t there;
    int ret;

    (void)flags;
    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    there = block->child_length(s->sparse.file);
    ret = there < 0 ? (int)there : format_io(s->sparse.file, BP_BLOCK_READ, 0, h, sizeof(h));
    if (ret < 0)
        return bp_fail(err, -ret, "vdi: the header cannot be read: %s", strerror(-ret));
    s->type = get_le32(h + TYPE);
    s->map = get_le32(h + MAP_OFFSET);
    s->data = get_le32(h + DATA_OFFSET);
    s->blocks = get_le32(h + BLOCKS);
    s->allocated = get_le32(h + ALLOCATED);
    memcpy(s->uuid, h + UUID_IMAGE, 16);
    ret = check_header(s, h, err);
    if (ret == 0 && (uint64_t)there < s->map + (uint64_t)s->blocks * 4)
        ret = bp_fail(err, EINVAL, "vdi: the map of %u blocks goes beyond the end of the file", s->blocks);
    if (ret < 0)
        return ret;
    /* Growing that was broken off leaves some whose numbers are beyond those of the disk. */
    fit = (uint64_t)there <= s->data ? 0 : ((uint64_t)there - s->data) / s->sparse.block;
    s->most = fit <= s->blocks ? s->blocks : fit < MOST_BLOCKS ? (uint32_t)fit : MOST_BLOCKS;
    return sparse_open(&s->sparse, SLICE, CACHE, err);
}

static int vdi_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct vdi *s = block->state(node);

    ret->cluster_size = s->sparse.block;
    ret->unallocated_zero = true;
    return 0;
}

/* ---- checking ---- */

static int check_entries(struct vdi *s, struct claims *claims, struct bp_block_check *ret)
{
    int r = 0;

    for (uint32_t i = 0, entry; r == 0 && i < s->blocks; i++) {
        r = get_entry(s, i, &entry);
        if (r < 0 || entry >= DISCARDED)
            continue;
        ret->allocated_clusters++;
        if (entry < s->most && claims_take(claims, entry, 1))
            continue;
        check_say(ret, entry < s->most ? "ERROR: block %u of the file is in use twice"
                                         : "ERROR: block %u of the file does not exist", entry);
        ret->corruptions++;
    }
    return r;
}

static int vdi_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct vdi *s = block->state(node);
    struct claims claims;
    int r = claims_init(&claims, s->most, 1);

    if (r < 0)
        return bp_fail(err, -r, "there is no memory for checking so large an image");
    ret->total_clusters = s->blocks;
    bp_co_mutex_lock(s->sparse.lock);
    r = check_entries(s, &claims, ret);
    if (r == 0 && ret->allocated_clusters != s->allocated) {
        check_say(ret, "ERROR: the header says that %u blocks are in use, and %llu are", s->allocated,
                  (unsigned long long)ret->allocated_clusters);
        if (fix & BP_BLOCK_FIX_ERRORS && ret->corruptions == 0 && put_count(s, (uint32_t)ret->allocated_clusters) == 0)
            ret->corruptions_fixed++;
        else
            ret->corruptions++;
        s->known = false;
    }
    bp_co_mutex_unlock(s->sparse.lock);
    claims_free(&claims);
    return r < 0 ? bp_fail(err, -r, "the map cannot be read: %s", strerror(-r)) : 0;
}

/* ---- making ---- */

struct wish {
    uint64_t size;
    bool fixed;
    uint32_t blocks, data;
};

static int take_wish(struct bp_value *options, struct wish *w, struct bp_error *err)
{
    static const char *const ways[] = {"off", "metadata", "full", NULL};
    unsigned way = 0;
    int ret = option_disk_size(options, (uint64_t)MOST_BLOCKS * USUAL_BLOCK, &w->size, err);

    w->fixed = false;
    if (ret == 0)
        ret = option_switch(options, "static", &w->fixed, err);
    if (ret == 0)
        ret = option_choice(options, "preallocation", ways, &way, err);
    w->fixed = w->fixed || way != 0;
    w->blocks = (uint32_t)divide_up(w->size, USUAL_BLOCK);
    w->data = (uint32_t)(HEADER_BYTES + round_up((uint64_t)w->blocks * 4, 512));
    return ret;
}

static int write_map(struct bp_block_child *file, const struct wish *w)
{
    uint64_t bytes = w->data - HEADER_BYTES;
    uint8_t piece[4096];
    int ret = 0;

    for (uint64_t at = 0, n; ret == 0 && at < bytes; at += n) {
        n = bytes - at < sizeof(piece) ? bytes - at : sizeof(piece);
        for (uint64_t i = 0; i < n / 4; i++) {
            uint32_t number = (uint32_t)(at / 4 + i);

            put_le32(piece + i * 4, number >= w->blocks ? 0 : w->fixed ? number : NOWHERE);
        }
        ret = format_io(file, BP_BLOCK_WRITE, HEADER_BYTES + at, piece, n);
    }
    return ret;
}

static void fill_header(uint8_t *h, const struct wish *w)
{
    memset(h, 0, HEADER_BYTES);
    memcpy(h, "<<< Backplane VDI disk image >>>\n", 33);
    put_le32(h + SIGNATURE, MAGIC);
    put_le32(h + VERSION, 0x10001);
    put_le32(h + HEADER_SIZE, 0x180);
    put_le32(h + TYPE, w->fixed ? STATIC : DYNAMIC);
    put_le32(h + MAP_OFFSET, HEADER_BYTES);
    put_le32(h + DATA_OFFSET, w->data);
    put_le32(h + SECTOR_SIZE, 512);
    put_le64(h + DISK_SIZE, w->size);
    put_le32(h + BLOCK_SIZE, USUAL_BLOCK);
    put_le32(h + BLOCKS, w->blocks);
    put_le32(h + ALLOCATED, w->fixed ? w->blocks : 0);
    format_uuid(h + UUID_IMAGE);
    format_uuid(h + UUID_SNAPSHOT);
}

static int vdi_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    uint8_t h[HEADER_BYTES];
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret == 0 && w.fixed)
        ret = block->child_resize(file, w.data + (uint64_t)w.blocks * USUAL_BLOCK, false, err);
    if (ret < 0)
        return ret;
    fill_header(h, &w);
    ret = write_map(file, &w);
    if (ret == 0)
        ret = format_io(file, BP_BLOCK_WRITE, 0, h, sizeof(h));
    return ret < 0 ? bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret)) : 0;
}

static int vdi_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                       struct bp_error *err)
{
    struct wish w;
    int r = take_wish(options, &w, err);

    (void)size;
    if (r < 0)
        return r;
    ret->fully_allocated = w.data + (uint64_t)w.blocks * USUAL_BLOCK;
    ret->required = w.fixed ? ret->fully_allocated : w.data + round_up(used < w.size ? used : w.size, USUAL_BLOCK);
    return 0;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(vdi_driver, "vdi", "VirtualBox disk images (VDI)", struct vdi, NULL, .flags = BP_BLOCK_FORMAT,
                .children = children, .probe = vdi_probe, .open = vdi_open, .close = sparse_close, .read = sparse_read,
                .write = sparse_write, .flush = sparse_flush, .discard = sparse_discard,
                .write_zeroes = sparse_zeroes, .resize = sparse_resize, .status = sparse_status,
                .length = sparse_length,
                .limits = sparse_limits, .info = vdi_info, .reopen_prepare = sparse_reopen, .create = vdi_create,
                .check = vdi_check, .measure = vdi_measure);
BP_MODULE("block-vdi", "VirtualBox disk images", imports, {BP_PROVIDE_OTHER, &vdi_driver});
