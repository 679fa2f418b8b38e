/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extents: files that hold parts of a disk. Sparse ones have a directory of tables of grains, mostly two that say the
 * same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmdk.h"

#define SLICE 512u
#define CACHE (4u << 20)

/* ---- opening ---- */

static int check_geometry(struct extent *e, uint64_t there, struct bp_error *err)
{
    uint64_t tables;

    if (e->grain < 512 || e->grain > 16u << 20 || e->grain & (e->grain - 1))
        return bp_fail(err, EINVAL, "vmdk: the header says that a grain has %llu bytes", (unsigned long long)e->grain);
    if (e->entries == 0 || e->entries > 65536)
        return bp_fail(err, EINVAL, "vmdk: the header says that a table has %u entries", e->entries);
    tables = divide_up(divide_up(e->bytes, e->grain), e->entries);
    if (e->directory < 512 || e->directory > there || there - e->directory < tables * 4)
        return bp_fail(err, EINVAL, "vmdk: a directory of %llu tables cannot be at %llu", (unsigned long long)tables,
                       (unsigned long long)e->directory);
    if (e->spare && (e->spare > there || there - e->spare < tables * 4))
        return bp_fail(err, EINVAL, "vmdk: the second directory cannot be at %llu", (unsigned long long)e->spare);
    return 0;
}

static int set_bytes(struct vmdk *s, struct extent *e, uint64_t sectors, struct bp_error *err)
{
    if (sectors > BP_BLOCK_MAX_LENGTH / 512)
        return bp_fail(err, EFBIG, "vmdk: the disk is too long");
    if (e->bytes && sectors * 512 < e->bytes)
        return bp_fail(err, EINVAL, "vmdk: the extent '%s' has %llu sectors, and the descriptor says %llu",
                       e->name ? e->name : "", (unsigned long long)sectors, (unsigned long long)(e->bytes / 512));
    if (!e->bytes) { /* the only one, without a descriptor, or with one that is in it */
        e->bytes = sectors * 512;
        s->sparse.length = e->start + e->bytes;
    }
    return 0;
}

static int read_cow(struct vmdk *s, struct extent *e, const uint8_t *h, uint64_t there, struct bp_error *err)
{
    int ret = set_bytes(s, e, get_le32(h + 12), err);

    e->grain = (uint64_t)get_le32(h + 16) * 512;
    e->directory = (uint64_t)get_le32(h + 20) * 512;
    e->entries = 4096;
    e->cow = true;
    return ret == 0 ? check_geometry(e, there, err) : ret;
}

/* With the directory at the end, the footer before the last marker is the header that counts. */
static int read_footer(struct extent *e, uint8_t *h, uint64_t there, struct bp_error *err)
{
    int ret = there < 1536 ? -EINVAL : format_io(e->file, BP_BLOCK_READ, there - 1024, h, HEADER_BYTES);

    if (ret < 0 || get_le32(h) != MAGIC || get_le64(h + DIRECTORY) == AT_END)
        return bp_fail(err, EINVAL, "vmdk: the footer of the stream-optimised image is missing: it was not finished");
    return 0;
}

static int read_header(struct vmdk *s, struct extent *e, uint8_t *h, uint64_t there, struct bp_error *err)
{
    uint32_t flags = get_le32(h + FLAGS);
    bool packed = flags & HAS_PACKED_GRAINS;
    int ret;

    if (get_le32(h + VERSION) < 1 || get_le32(h + VERSION) > 3)
        return bp_fail(err, ENOTSUP, "vmdk: version %u is not built; 1 to 3 are", get_le32(h + VERSION));
    if (packed && (!(flags & HAS_MARKERS) || get_le16(h + COMPRESSION) != 1))
        return bp_fail(err, ENOTSUP, "vmdk: compressed grains without markers, or not by deflate, are not built");
    if (get_le64(h + DIRECTORY) == AT_END) {
        ret = read_footer(e, h, there, err);
        if (ret < 0)
            return ret;
    }
    e->kind = packed ? EXTENT_STREAM : EXTENT_SPARSE;
    e->zero_grains = flags & HAS_ZERO_GRAINS;
    ret = set_bytes(s, e, get_le64(h + CAPACITY), err);
    if (ret < 0)
        return ret;
    if (get_le64(h + GRAIN) > 1u << 20 || get_le64(h + DIRECTORY) > UINT32_MAX ||
        get_le64(h + SPARE_DIRECTORY) > UINT32_MAX)
        return bp_fail(err, EINVAL, "vmdk: the header's numbers are too large");
    e->grain = get_le64(h + GRAIN) * 512;
    e->entries = get_le32(h + TABLE_ENTRIES);
    e->directory = get_le64(h + DIRECTORY) * 512;
    e->spare = flags & HAS_SPARE && !packed ? get_le64(h + SPARE_DIRECTORY) * 512 : 0;
    return check_geometry(e, there, err);
}

static int get_table(struct extent *e, uint64_t directory, uint64_t grain, uint64_t *ret);

/* The first grain from `from` on that has an entry; their number: none has. */
static int next_entry(struct extent *e, uint64_t from, uint64_t *ret_grain, uint32_t *ret_sector)
{
    uint64_t grains = divide_up(e->bytes, e->grain), grain = from, table = 0;
    int ret = 0;

    for (*ret_sector = 0; ret == 0 && grain < grains; grain++) {
        if (grain == from || grain % e->entries == 0)
            ret = get_table(e, e->directory, grain, &table);
        if (ret == 0 && table)
            ret = extent_entry(e, grain, ret_sector);
        else if (ret == 0)
            grain += e->entries - 1 - grain % e->entries;
        if (*ret_sector)
            break;
    }
    *ret_grain = grain < grains ? grain : grains;
    return ret;
}

/* Has nothing been written to it? */
static int look_whether_empty(struct extent *e)
{
    uint64_t grain;
    uint32_t sector;
    int ret = next_entry(e, 0, &grain, &sector);

    e->empty = ret == 0 && sector == 0;
    return ret;
}

int extent_open(struct vmdk *s, struct extent *e, struct bp_error *err)
{
    int64_t there = block->child_length(e->file);
    uint8_t h[HEADER_BYTES];
    int ret = there < 0 ? (int)there : format_io(e->file, BP_BLOCK_READ, 0, h, sizeof(h));

    if (ret < 0)
        return bp_fail(err, -ret, "vmdk: the extent cannot be read: %s", strerror(-ret));
    if (get_le32(h) == COW_MAGIC)
        ret = read_cow(s, e, h, (uint64_t)there, err);
    else if (get_le32(h) == MAGIC)
        ret = read_header(s, e, h, (uint64_t)there, err);
    else
        ret = bp_fail(err, EINVAL, "vmdk: the extent '%s' has no header of a sparse one", e->name ? e->name : "");
    if (ret < 0)
        return ret;
    e->end = round_up((uint64_t)there, e->grain);
    if (meta_init(&e->meta, block, e->file, e->file, SLICE, (const uint64_t[META_KINDS]){CACHE, CACHE}) < 0)
        return bp_fail(err, ENOMEM, "vmdk: no memory for the cache of tables");
    if (e->kind == EXTENT_STREAM && !s->read_only)
        ret = look_whether_empty(e);
    return ret < 0 ? bp_fail(err, -ret, "vmdk: the tables cannot be read: %s", strerror(-ret)) : 0;
}

void extent_close(struct extent *e)
{
    meta_free(&e->meta);
    free(e->last);
    free(e->places);
    free(e->name);
}

/* ---- tables ---- */

static int get_number(struct extent *e, uint64_t at, unsigned level, uint32_t *ret)
{
    struct slice *slice;
    int r = meta_get(&e->meta, at, level, &slice);

    if (r < 0)
        return r;
    *ret = get_le32(slice->data + at % SLICE);
    meta_put(slice);
    return 0;
}

static int put_number(struct extent *e, uint64_t at, unsigned level, uint32_t value)
{
    struct slice *slice;
    int r = meta_get(&e->meta, at, level, &slice);

    if (r < 0)
        return r;
    put_le32(slice->data + at % SLICE, value);
    meta_dirty(&e->meta, slice);
    meta_put(slice);
    return 0;
}

/* Byte of the table that a grain's entry is in; 0: there is none. */
static int get_table(struct extent *e, uint64_t directory, uint64_t grain, uint64_t *ret)
{
    uint32_t sector;
    int r = get_number(e, directory + grain / e->entries * 4, LEVEL_DIRECTORY, &sector);

    if (r < 0)
        return r;
    *ret = (uint64_t)sector * 512;
    return *ret < e->end ? 0 : -EIO;
}

int extent_entry(struct extent *e, uint64_t grain, uint32_t *ret)
{
    uint64_t table;
    int r;

    if (e->places) {
        *ret = e->places[grain];
        return 0;
    }
    r = get_table(e, e->directory, grain, &table);
    *ret = 0;
    return r < 0 || !table ? r : get_number(e, table + grain % e->entries * 4, LEVEL_TABLE, ret);
}

int extent_find(struct vmdk *s, struct extent *e, uint64_t offset, struct sparse_place *place)
{
    uint64_t at = offset - e->start, left = e->bytes - at, inside;
    uint32_t sector;
    int ret;

    (void)s;
    place->file = e->file;
    place->bytes = place->bytes < left ? place->bytes : left;
    place->host = e->offset + at;
    place->kind = e->kind == EXTENT_FLAT ? SPARSE_DATA : SPARSE_ZERO;
    if (e->kind == EXTENT_FLAT || e->kind == EXTENT_ZERO)
        return 0;
    ret = extent_entry(e, at / e->grain, &sector);
    if (ret < 0)
        return ret;
    inside = at % e->grain;
    place->bytes = place->bytes < e->grain - inside ? place->bytes : e->grain - inside;
    place->host = (uint64_t)sector * 512 + inside;
    place->kind = sector == 0 ? SPARSE_BELOW : sector == ZERO_GRAIN && e->zero_grains ? SPARSE_ZERO
                  : e->kind == EXTENT_STREAM ? SPARSE_PACKED : SPARSE_DATA;
    return place->kind >= SPARSE_DATA && (uint64_t)sector * 512 >= e->end ? -EIO : 0;
}

/* A table for each directory at the end of the file. */
static int new_tables(struct extent *e, uint64_t grain)
{
    uint64_t bytes = round_up((uint64_t)e->entries * 4, 512), at = e->end, all = round_up(bytes * 2, e->grain);
    int ret = (at + all) / 512 > UINT32_MAX ? -ENOSPC : file_zeroes(e->file, at, all);

    if (ret == 0)
        ret = put_number(e, e->directory + grain / e->entries * 4, LEVEL_DIRECTORY, (uint32_t)(at / 512));
    if (ret == 0 && e->spare)
        ret = put_number(e, e->spare + grain / e->entries * 4, LEVEL_DIRECTORY, (uint32_t)((at + bytes) / 512));
    if (ret == 0) {
        meta_drop(&e->meta, at, all);
        e->end += all;
    }
    return ret;
}

int extent_enter(struct extent *e, uint64_t grain, uint32_t sector)
{
    uint64_t table, spare = 0;
    int ret = get_table(e, e->directory, grain, &table);

    if (ret == 0 && !table) {
        ret = new_tables(e, grain);
        if (ret == 0)
            ret = get_table(e, e->directory, grain, &table);
    }
    if (ret == 0 && e->spare)
        ret = get_table(e, e->spare, grain, &spare);
    if (ret == 0)
        ret = put_number(e, table + grain % e->entries * 4, LEVEL_TABLE, sector);
    if (ret == 0 && spare && spare != table)
        ret = put_number(e, spare + grain % e->entries * 4, LEVEL_TABLE, sector);
    return ret;
}

/* ---- checking ---- */

int extent_check(struct extent *e, struct bp_block_check *ret)
{
    uint64_t grains = divide_up(e->bytes, e->grain);
    struct claims claims;
    int r = claims_init(&claims, e->end, 512);

    ret->total_clusters += grains;
    for (uint64_t i = 0; r == 0 && i < grains; i++) {
        uint32_t sector;

        r = next_entry(e, i, &i, &sector);
        if (r == -EIO) {
            check_say(ret, "ERROR: a table behind grain %llu is beyond the end of the file", (unsigned long long)i);
            ret->corruptions++;
            i += e->entries - 1 - i % e->entries;
            r = 0;
            continue;
        }
        if (r < 0 || i >= grains || (sector == ZERO_GRAIN && e->zero_grains))
            continue;
        ret->allocated_clusters++;
        ret->compressed_clusters += e->kind == EXTENT_STREAM;
        if (claims_take(&claims, (uint64_t)sector * 512, e->kind == EXTENT_STREAM ? 512 : e->grain))
            continue;
        check_say(ret, "ERROR: grain %llu lies at sector %u, where others are, or beyond the end of the file",
                  (unsigned long long)i, sector);
        ret->corruptions++;
    }
    claims_free(&claims);
    return r;
}
