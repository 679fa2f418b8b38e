/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-vpc`: virtual hard disks (VHD) of Virtual PC, Hyper-V and Azure, fixed and dynamic. A dynamic disk has
 * a map of blocks, each with a bitmap of its sectors that were written, and a footer that moves behind the last block.
 * Leaves out: differencing disks (refused), making disks shorter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vpc.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define SLICE 512u
#define CACHE (8u << 20)
#define MOST_ENTRIES (UINT32_C(1) << 26)

/* ---- where things are ---- */

/* A block is nowhere where the map or the header is; the map of a disk that has grown may lie behind blocks. */
static bool is_place(const struct vpc *s, uint64_t at)
{
    uint64_t end = at + s->bitmap_bytes + s->sparse.block, header = get_be64(s->footer + DATA_OFFSET);
    uint64_t map_end = round_up(s->map + (uint64_t)s->entries * 4, 512);

    return at >= FOOTER_BYTES && (end <= header || at >= header + HEADER_BYTES) && (end <= s->map || at >= map_end);
}

static int get_block(struct vpc *s, uint64_t n, uint64_t *ret)
{
    uint8_t entry[4];
    int r = table_get(&s->sparse, s->map + n * 4, LEVEL_MAP, entry, 4);

    if (r == 0)
        *ret = get_be32(entry) == NOWHERE ? 0 : (uint64_t)get_be32(entry) * 512;
    return r;
}

/* Is the sector written, and how many from it on are the same, at most `most`? */
static int look_at_bitmap(struct vpc *s, uint64_t bitmap, uint32_t sector, uint64_t most, bool *ret_set,
                          uint64_t *ret_sectors)
{
    uint64_t n = 0;
    uint8_t byte = 0;
    int ret = 0;

    for (; ret == 0 && n < most; n++, sector++) {
        bool set;

        if (n == 0 || sector % 8 == 0)
            ret = table_get(&s->sparse, bitmap + sector / 8, LEVEL_BITMAP, &byte, 1);
        set = byte >> (7 - sector % 8) & 1;
        if (n == 0)
            *ret_set = set;
        else if (set != *ret_set)
            break;
    }
    *ret_sectors = n;
    return ret;
}

static int find_dynamic(struct vpc *s, uint64_t offset, struct sparse_place *place)
{
    uint64_t inside = offset % s->sparse.block, left = s->sparse.block - inside, at, sectors = 0;
    bool set = false;
    int ret = get_block(s, offset / s->sparse.block, &at);

    if (ret < 0)
        return ret;
    place->bytes = place->bytes < left ? place->bytes : left;
    place->kind = SPARSE_BELOW;
    if (!at)
        return 0;
    if (!is_place(s, at))
        return -EIO;
    ret = look_at_bitmap(s, at, (uint32_t)(inside / 512), divide_up(place->bytes, 512), &set, &sectors);
    if (ret == 0 && sectors * 512 < place->bytes)
        place->bytes = sectors * 512;
    place->kind = set ? SPARSE_DATA : SPARSE_BELOW;
    place->host = at + s->bitmap_bytes + inside;
    return ret;
}

static int vpc_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct vpc *s = (struct vpc *)sparse;

    place->file = sparse->file;
    if (s->type == DYNAMIC)
        return find_dynamic(s, offset, place);
    place->kind = SPARSE_DATA;
    place->host = offset;
    return 0;
}

static int find_next(struct vpc *s)
{
    int ret = 0;

    s->next = s->data;
    for (uint32_t i = 0; ret == 0 && i < s->entries; i++) {
        uint64_t at, end;

        ret = get_block(s, i, &at);
        end = ret == 0 && at ? at + s->bitmap_bytes + s->sparse.block : 0;
        s->next = end > s->next ? end : s->next;
    }
    s->next = round_up(s->next, 512);
    s->known = ret == 0;
    return ret;
}

/* A new block, or what was never written of one that is there. */
static int vpc_room(struct sparse *sparse, uint64_t offset, struct sparse_room *room)
{
    struct vpc *s = (struct vpc *)sparse;
    uint64_t inside = offset % sparse->block, at, sectors = 0;
    bool set;
    int ret = s->known ? 0 : find_next(s);

    if (ret == 0)
        ret = get_block(s, offset / sparse->block, &at);
    if (ret < 0)
        return ret;
    if (at) {
        ret = look_at_bitmap(s, at, (uint32_t)(inside / 512), (sparse->block - inside) / 512, &set, &sectors);
        room->start = offset;
        room->bytes = sectors * 512;
        room->host = at + s->bitmap_bytes + inside;
        return ret;
    }
    if (s->next / 512 >= NOWHERE)
        return -ENOSPC;
    room->start = offset - inside;
    room->bytes = sparse->block;
    room->host = s->next + s->bitmap_bytes;
    return 0;
}

static int set_bits(struct vpc *s, uint64_t bitmap, uint32_t sector, uint64_t n)
{
    int ret = 0;

    for (; ret == 0 && n > 0; n--, sector++) {
        uint8_t byte;

        ret = table_get(&s->sparse, bitmap + sector / 8, LEVEL_BITMAP, &byte, 1);
        byte |= (uint8_t)(1u << (7 - sector % 8));
        if (ret == 0)
            ret = table_put(&s->sparse, bitmap + sector / 8, LEVEL_BITMAP, &byte, 1);
    }
    return ret;
}

/* The footer goes behind the block, and the bitmap before it says that all of it was written. */
static int enter_block(struct vpc *s, const struct sparse_room *room)
{
    uint8_t *ones = malloc(s->bitmap_bytes), entry[4];
    int ret = ones ? format_io(s->sparse.file, BP_BLOCK_WRITE, s->next + s->bitmap_bytes + s->sparse.block, s->footer,
                               FOOTER_BYTES) : -ENOMEM;

    if (ret == 0) {
        memset(ones, 0xff, s->bitmap_bytes);
        meta_drop(&s->sparse.meta, s->next, s->bitmap_bytes);
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, s->next, ones, s->bitmap_bytes);
    }
    free(ones);
    put_be32(entry, (uint32_t)(s->next / 512));
    if (ret == 0)
        ret = table_put(&s->sparse, s->map + room->start / s->sparse.block * 4, LEVEL_MAP, entry, 4);
    if (ret == 0)
        s->next += s->bitmap_bytes + s->sparse.block;
    return ret;
}

static int vpc_enter(struct sparse *sparse, const struct sparse_room *room)
{
    struct vpc *s = (struct vpc *)sparse;
    uint64_t at;
    int ret = get_block(s, room->start / sparse->block, &at);

    if (ret < 0)
        return ret;
    return at ? set_bits(s, at, (uint32_t)(room->start % sparse->block / 512), room->bytes / 512)
              : enter_block(s, room);
}

/* ---- growing ---- */

/* The map lies behind all blocks from now on, or where it was; the header says so when it is safe. */
static int write_map(struct vpc *s, uint64_t at, uint64_t entries)
{
    uint8_t piece[512];
    uint64_t host;
    int ret = 0;

    for (uint64_t i = 0; ret == 0 && i < entries; i += sizeof(piece) / 4) {
        memset(piece, 0xff, sizeof(piece));
        for (uint64_t j = 0; ret == 0 && j < sizeof(piece) / 4 && i + j < s->entries; j++) {
            ret = get_block(s, i + j, &host);
            if (ret == 0 && host)
                put_be32(piece + j * 4, (uint32_t)(host / 512));
        }
        if (ret == 0)
            ret = format_io(s->sparse.file, BP_BLOCK_WRITE, at + i * 4, piece, sizeof(piece));
    }
    meta_drop(&s->sparse.meta, at, round_up(entries * 4, 512));
    return ret == 0 ? meta_sync(&s->sparse.meta) : ret;
}

/* Its first sector has all that changes. */
static int switch_header(struct vpc *s, uint64_t map, uint64_t entries)
{
    uint64_t at = get_be64(s->footer + DATA_OFFSET);
    uint8_t h[HEADER_BYTES];
    int ret = format_io(s->sparse.file, BP_BLOCK_READ, at, h, sizeof(h));

    if (ret < 0)
        return ret;
    put_be64(h + TABLE_OFFSET, map);
    put_be32(h + TABLE_ENTRIES, (uint32_t)entries);
    put_be32(h + HEADER_SUM, vpc_sum(h, HEADER_BYTES, HEADER_SUM));
    ret = format_io(s->sparse.file, BP_BLOCK_WRITE, at, h, 512);
    return ret == 0 ? meta_sync(&s->sparse.meta) : ret;
}

static int longer_map(struct vpc *s, uint64_t entries)
{
    uint64_t bytes = round_up(entries * 4, 512), map = s->map;
    int ret = 0;

    if (bytes > round_up((uint64_t)s->entries * 4, 512)) {
        map = s->next;
        if ((map + bytes) / 512 >= NOWHERE)
            return -EFBIG;
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, map + bytes, s->footer, FOOTER_BYTES);
    }
    if (ret == 0)
        ret = write_map(s, map, entries);
    if (ret == 0)
        ret = switch_header(s, map, entries);
    if (ret < 0)
        return ret;
    s->next = map == s->map ? s->next : map + bytes;
    s->data = map == s->map ? s->data : s->next;
    s->map = map;
    s->entries = (uint32_t)entries;
    return 0;
}

static int grow_dynamic(struct vpc *s, const uint8_t *footer, uint64_t length)
{
    uint64_t entries = divide_up(length, s->sparse.block);
    int ret = s->known ? 0 : find_next(s);

    if (ret == 0 && entries > s->entries)
        ret = longer_map(s, entries);
    if (ret == 0)
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, s->next, (void *)(uintptr_t)footer, FOOTER_BYTES);
    if (ret == 0)
        ret = meta_sync(&s->sparse.meta);
    if (ret == 0)
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, 0, (void *)(uintptr_t)footer, FOOTER_BYTES);
    return ret;
}

/* The new footer is there, at an end that comes with it, before the old one goes. */
static int grow_fixed(struct vpc *s, const uint8_t *footer, uint64_t length)
{
    int64_t there = block->child_length(s->sparse.file);
    uint64_t old = there < FOOTER_BYTES ? 0 : (uint64_t)there - FOOTER_BYTES, at = length > old ? length : old;
    int ret = there < 0 ? (int)there : 0;

    if (ret == 0 && old > s->sparse.length)
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE_ZEROES, s->sparse.length, NULL, old - s->sparse.length);
    if (ret == 0)
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, at, (void *)(uintptr_t)footer, FOOTER_BYTES);
    if (ret == 0)
        ret = meta_sync(&s->sparse.meta);
    if (ret == 0 && at > old)
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE_ZEROES, old, NULL, FOOTER_BYTES);
    return ret;
}

static int vpc_grow(struct sparse *sparse, uint64_t length, struct bp_error *err)
{
    struct vpc *s = (struct vpc *)sparse;
    uint8_t footer[FOOTER_BYTES];
    int ret;

    if (length > MOST_BYTES)
        return bp_fail(err, EFBIG, "vpc: a disk has at most %llu bytes", (unsigned long long)MOST_BYTES);
    memcpy(footer, s->footer, sizeof(footer));
    vpc_set_size(footer, length);
    ret = s->type == DYNAMIC ? grow_dynamic(s, footer, length) : grow_fixed(s, footer, length);
    if (ret == 0)
        ret = meta_sync(&s->sparse.meta);
    if (ret < 0)
        return bp_fail(err, -ret, "vpc: the image cannot be made longer: %s", strerror(-ret));
    memcpy(s->footer, footer, sizeof(footer));
    return 0;
}

static const struct sparse_ops ops = {.find = vpc_find, .room = vpc_room, .enter = vpc_enter, .grow = vpc_grow};

/* ---- opening ---- */

static int vpc_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 8 && !memcmp(head, "conectix", 8) ? 100 : 0;
}

/* Some programs say in one field what guests saw of a disk, and others in the other. */
static uint64_t size_of(const uint8_t *f)
{
    static const char exact[][5] = {"win ", "d2v ", "CTXS", "tap\0", "qem2", "vbox"};
    uint64_t chs = (uint64_t)get_be16(f + CYLINDERS) * f[HEADS] * f[SECTORS];

    for (unsigned i = 0; i < BP_COUNT(exact); i++)
        if (!memcmp(f + CREATOR, exact[i], 4))
            return get_be64(f + CURRENT_SIZE);
    return chs == 0 || chs >= UINT64_C(65535) * 16 * 255 ? get_be64(f + CURRENT_SIZE) : chs * 512;
}

static bool is_footer(const uint8_t *f)
{
    return !memcmp(f, "conectix", 8) && get_be32(f + FOOTER_SUM) == vpc_sum(f, FOOTER_BYTES, FOOTER_SUM);
}

/* The one at the end, or, of a dynamic disk that was not closed, the copy at the beginning. What guests write to a
 * fixed disk may look like such a copy. */
static int read_footer(struct vpc *s, uint64_t there, struct bp_error *err)
{
    uint8_t *f = s->footer;
    int ret = there < FOOTER_BYTES ? 0 : format_io(s->sparse.file, BP_BLOCK_READ, there - FOOTER_BYTES, f,
                                                   FOOTER_BYTES);

    if (ret == 0 && !is_footer(f)) {
        ret = format_io(s->sparse.file, BP_BLOCK_READ, 0, f, FOOTER_BYTES);
        if (ret == 0 && is_footer(f) && get_be32(f + DISK_TYPE) == FIXED)
            f[0] = 0;
    }
    if (ret < 0)
        return bp_fail(err, -ret, "vpc: the footer cannot be read: %s", strerror(-ret));
    if (!is_footer(f))
        return bp_fail(err, EINVAL, "vpc: the image has no VHD footer, or a damaged one");
    s->type = get_be32(f + DISK_TYPE);
    s->sparse.length = size_of(f);
    if (s->sparse.length % 512 || s->sparse.length > MOST_BYTES)
        return bp_fail(err, EINVAL, "vpc: the footer says that the disk has %llu bytes",
                       (unsigned long long)s->sparse.length);
    return 0;
}

static int read_header(struct vpc *s, uint64_t there, struct bp_error *err)
{
    uint64_t at = get_be64(s->footer + DATA_OFFSET), size;
    uint8_t h[HEADER_BYTES];
    int ret;

    if (at % 512 || at > there || there - at < HEADER_BYTES)
        return bp_fail(err, EINVAL, "vpc: the header of the dynamic disk cannot be at %llu", (unsigned long long)at);
    ret = format_io(s->sparse.file, BP_BLOCK_READ, at, h, sizeof(h));
    if (ret < 0)
        return bp_fail(err, -ret, "vpc: the header cannot be read: %s", strerror(-ret));
    if (memcmp(h, "cxsparse", 8) != 0 || get_be32(h + HEADER_SUM) != vpc_sum(h, HEADER_BYTES, HEADER_SUM))
        return bp_fail(err, EINVAL, "vpc: the header of the dynamic disk is damaged");
    s->map = get_be64(h + TABLE_OFFSET);
    s->entries = get_be32(h + TABLE_ENTRIES);
    size = get_be32(h + BLOCK_SIZE);
    if (size < 4096 || size > 256u << 20 || size & (size - 1))
        return bp_fail(err, EINVAL, "vpc: the header says that a block has %llu bytes", (unsigned long long)size);
    if (s->entries > MOST_ENTRIES || s->sparse.length > s->entries * size)
        return bp_fail(err, EINVAL, "vpc: %u blocks of %llu bytes do not fit a disk of %llu bytes", s->entries,
                       (unsigned long long)size, (unsigned long long)s->sparse.length);
    if (s->map % 512 || s->map > there || there - s->map < (uint64_t)s->entries * 4 || s->map < FOOTER_BYTES)
        return bp_fail(err, EINVAL, "vpc: a map of %u blocks cannot be at %llu", s->entries,
                       (unsigned long long)s->map);
    s->sparse.block = (uint32_t)size;
    s->bitmap_bytes = (uint32_t)round_up(size / 512 / 8, 512);
    s->data = round_up(s->map + (uint64_t)s->entries * 4, 512);
    s->data = s->data > at + HEADER_BYTES ? s->data : at + HEADER_BYTES;
    return 0;
}

static int vpc_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct vpc *s = block->state(node);
    int64_t there;
    int ret;

    (void)flags;
    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    there = block->child_length(s->sparse.file);
    if (there < 0)
        return bp_fail(err, (int)-there, "vpc: the image has no length: %s", strerror((int)-there));
    ret = read_footer(s, (uint64_t)there, err);
    if (ret < 0)
        return ret;
    if (s->type == DYNAMIC) {
        ret = read_header(s, (uint64_t)there, err);
    } else if (s->type == FIXED) {
        s->sparse.block = 2u << 20;
        if (s->sparse.length > (uint64_t)there - (there < FOOTER_BYTES ? (uint64_t)there : FOOTER_BYTES))
            ret = bp_fail(err, EINVAL, "vpc: a disk of %llu bytes does not fit the file",
                          (unsigned long long)s->sparse.length);
    } else {
        ret = bp_fail(err, ENOTSUP, s->type == DIFFERENCING ? "vpc: differencing disks (with a parent) are not built"
                      : "vpc: disks of type %u are not built; 2 (fixed) and 3 (dynamic) are", s->type);
    }
    return ret == 0 ? sparse_open(&s->sparse, SLICE, CACHE, err) : ret;
}

static void vpc_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->request_alignment = 512; /* what bitmaps speak of */
    limits->memory_alignment = 0;
}

static int vpc_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    const struct vpc *s = block->state(node);

    ret->cluster_size = s->type == DYNAMIC ? s->sparse.block : 0;
    ret->unallocated_zero = true;
    return 0;
}

/* ---- checking ---- */

static int check_map(struct vpc *s, struct claims *claims, struct bp_block_check *ret)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < s->entries; i++) {
        uint64_t at;

        r = get_block(s, i, &at);
        if (r < 0 || !at)
            continue;
        ret->allocated_clusters++;
        if (is_place(s, at) && claims_take(claims, at, (uint64_t)s->bitmap_bytes + s->sparse.block))
            continue;
        check_say(ret, "ERROR: block %u lies at %llu, where others are, or beyond the end of the file", i,
                  (unsigned long long)at);
        ret->corruptions++;
    }
    return r;
}

static int check_footer(struct vpc *s, uint64_t there, uint32_t fix, struct bp_block_check *ret)
{
    uint64_t at = s->type == FIXED ? there - FOOTER_BYTES : s->next;
    uint8_t end[FOOTER_BYTES];
    int r = format_io(s->sparse.file, BP_BLOCK_READ, at, end, sizeof(end));

    if (r < 0 || !memcmp(end, s->footer, sizeof(end)))
        return r;
    check_say(ret, "ERROR: the footer behind the last block is missing");
    if (fix & BP_BLOCK_FIX_ERRORS && ret->corruptions == 0 &&
        format_io(s->sparse.file, BP_BLOCK_WRITE, at, s->footer, FOOTER_BYTES) == 0)
        ret->corruptions_fixed++;
    else
        ret->corruptions++;
    return 0;
}

static int check_locked(struct vpc *s, uint32_t fix, struct bp_block_check *ret)
{
    int64_t there = block->child_length(s->sparse.file);
    struct claims claims = {NULL, 0, 0};
    int r = there < 0 ? (int)there : claims_init(&claims, (uint64_t)there, 512);

    if (r == 0) {
        r = check_map(s, &claims, ret);
        claims_free(&claims);
    }
    if (r == 0)
        r = find_next(s);
    ret->total_clusters = s->entries;
    return r == 0 ? check_footer(s, (uint64_t)there, fix, ret) : r;
}

static int vpc_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct vpc *s = block->state(node);
    int r;

    bp_co_mutex_lock(s->sparse.lock);
    r = check_locked(s, fix, ret);
    bp_co_mutex_unlock(s->sparse.lock);
    return r < 0 ? bp_fail(err, -r, "the image cannot be checked: %s", strerror(-r)) : 0;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(vpc_driver, "vpc", "Virtual hard disks (VHD)", struct vpc, NULL, .flags = BP_BLOCK_FORMAT,
                .children = children, .probe = vpc_probe, .open = vpc_open, .close = sparse_close,
                .read = sparse_read, .write = sparse_write, .flush = sparse_flush, .discard = sparse_discard,
                .write_zeroes = sparse_zeroes, .resize = sparse_resize, .status = sparse_status,
                .length = sparse_length,
                .limits = vpc_limits, .info = vpc_info, .reopen_prepare = sparse_reopen, .create = vpc_create,
                .check = vpc_check, .measure = vpc_measure);
BP_MODULE("block-vpc", "Virtual hard disks (VHD)", imports, {BP_PROVIDE_OTHER, &vpc_driver});
