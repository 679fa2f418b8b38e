/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers, the table of regions, metadata (2.2, 2.6). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhdx.h"

#define MOST_REGIONS 2047u
#define MOST_ITEMS 2047u

const uint8_t vhdx_guid_map[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                   0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
const uint8_t vhdx_guid_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                        0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
const uint8_t vhdx_guid_file[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                    0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
const uint8_t vhdx_guid_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                    0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
const uint8_t vhdx_guid_page83[16] = {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                      0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
const uint8_t vhdx_guid_logical[16] = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                       0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
const uint8_t vhdx_guid_physical[16] = {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                        0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};
const uint8_t vhdx_guid_parent[16] = {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                      0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};

uint32_t vhdx_sum(const uint8_t *bytes, uint64_t n, uint64_t at)
{
    uint32_t table[256], crc = UINT32_MAX;

    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (unsigned bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78u : 0);
    }
    for (uint64_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ (i >= at && i < at + 4 ? 0 : bytes[i])) & 0xff];
    return ~crc;
}

/* ---- headers ---- */

static bool is_header(const uint8_t *h)
{
    return !memcmp(h, "head", 4) && get_le32(h + HEADER_SUM) == vhdx_sum(h, SECTOR, HEADER_SUM);
}

static int pick_header(struct vhdx *s, struct bp_error *err)
{
    uint8_t *both = malloc(2 * SECTOR);
    bool good[2];
    int ret = both ? format_io(s->sparse.file, BP_BLOCK_READ, HEADER_1, both, SECTOR) : -ENOMEM;

    if (ret == 0)
        ret = format_io(s->sparse.file, BP_BLOCK_READ, HEADER_2, both + SECTOR, SECTOR);
    if (ret < 0) {
        free(both);
        return bp_fail(err, -ret, "vhdx: the headers cannot be read: %s", strerror(-ret));
    }
    good[0] = is_header(both);
    good[1] = is_header(both + SECTOR);
    s->current = !good[0] || (good[1] && get_le64(both + SECTOR + HEADER_SEQUENCE) > get_le64(both + HEADER_SEQUENCE));
    memcpy(s->header, both + s->current * SECTOR, SECTOR);
    free(both);
    if (!good[0] && !good[1])
        return bp_fail(err, EINVAL, "vhdx: both headers are damaged");
    if (get_le16(s->header + VERSION) != 1 || get_le16(s->header + LOG_VERSION) != 0)
        return bp_fail(err, ENOTSUP, "vhdx: version %u with a log of version %u is not built; 1 and 0 are",
                       get_le16(s->header + VERSION), get_le16(s->header + LOG_VERSION));
    s->log = get_le64(s->header + LOG_OFFSET);
    s->log_bytes = get_le32(s->header + LOG_LENGTH);
    return 0;
}

int vhdx_write_header(struct vhdx *s)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < 2; i++) {
        unsigned other = !s->current;

        put_le64(s->header + HEADER_SEQUENCE, get_le64(s->header + HEADER_SEQUENCE) + 1);
        put_le32(s->header + HEADER_SUM, vhdx_sum(s->header, SECTOR, HEADER_SUM));
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, other ? HEADER_2 : HEADER_1, s->header, SECTOR);
        if (ret == 0)
            ret = block->child_request(s->sparse.file, BP_BLOCK_FLUSH, NULL);
        if (ret == 0)
            s->current = other;
    }
    return ret;
}

/* ---- regions ---- */

static bool in_file(uint64_t offset, uint64_t bytes, uint64_t there)
{
    return offset >= MIB && offset % MIB == 0 && bytes > 0 && bytes % MIB == 0 && offset <= there &&
           there - offset >= bytes;
}

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

static int take_region(struct vhdx *s, const uint8_t *e, struct bp_error *err)
{
    bool map = !memcmp(e, vhdx_guid_map, 16), metadata = !memcmp(e, vhdx_guid_metadata, 16);

    if (map) {
        s->map = get_le64(e + 16);
        s->map_bytes = get_le32(e + 24);
    } else if (metadata) {
        s->metadata = get_le64(e + 16);
        s->metadata_bytes = get_le32(e + 24);
    } else if (get_le32(e + 28) & 1) {
        return bp_fail(err, ENOTSUP, "vhdx: the image needs a region that is not built");
    }
    return 0;
}

static int parse_regions(struct vhdx *s, const uint8_t *table, uint64_t there, struct bp_error *err)
{
    uint32_t n = get_le32(table + 8);
    int ret = n > MOST_REGIONS ? bp_fail(err, EINVAL, "vhdx: the table of regions has %u entries", n) : 0;

    for (uint32_t i = 0; ret == 0 && i < n; i++)
        ret = take_region(s, table + 16 + i * 32, err);
    if (ret < 0)
        return ret;
    if (!in_file(s->map, s->map_bytes, there) || !in_file(s->metadata, s->metadata_bytes, there) ||
        !in_file(s->log, s->log_bytes, there) || overlap(s->map, s->map_bytes, s->metadata, s->metadata_bytes) ||
        overlap(s->map, s->map_bytes, s->log, s->log_bytes) ||
        overlap(s->metadata, s->metadata_bytes, s->log, s->log_bytes))
        return bp_fail(err, EINVAL, "vhdx: the map, the metadata and the log are not where they can be");
    return 0;
}

static int read_regions(struct vhdx *s, uint64_t there, struct bp_error *err)
{
    uint8_t *table = malloc(TABLE_BYTES);
    bool good = false;
    int ret = table ? 0 : -ENOMEM;

    for (unsigned i = 0; ret == 0 && !good && i < 2; i++) {
        ret = format_io(s->sparse.file, BP_BLOCK_READ, i ? REGIONS_2 : REGIONS_1, table, TABLE_BYTES);
        good = ret == 0 && !memcmp(table, "regi", 4) && get_le32(table + 4) == vhdx_sum(table, TABLE_BYTES, 4);
    }
    if (ret < 0)
        bp_fail(err, -ret, "vhdx: the table of regions cannot be read: %s", strerror(-ret));
    else if (!good)
        ret = bp_fail(err, EINVAL, "vhdx: both tables of regions are damaged");
    else
        ret = parse_regions(s, table, there, err);
    free(table);
    return ret;
}

/* ---- metadata ---- */

struct items {
    const uint8_t *file, *size, *logical; /* within the region's first MiB */
};

static int take_item(const uint8_t *region, const uint8_t *e, struct items *items, struct bp_error *err)
{
    uint32_t offset = get_le32(e + 16), length = get_le32(e + 20);
    const uint8_t *data = region + offset;
    bool there = offset >= TABLE_BYTES && offset < MIB && length <= MIB - offset;

    if (!memcmp(e, vhdx_guid_parent, 16))
        return bp_fail(err, ENOTSUP, "vhdx: differencing disks (with a parent) are not built");
    if (!memcmp(e, vhdx_guid_file, 16) && there && length >= 8)
        items->file = data;
    else if (!memcmp(e, vhdx_guid_size, 16) && there && length >= 8)
        items->size = data;
    else if (!memcmp(e, vhdx_guid_logical, 16) && there && length >= 4)
        items->logical = data;
    else if (memcmp(e, vhdx_guid_physical, 16) != 0 && memcmp(e, vhdx_guid_page83, 16) != 0 && get_le32(e + 24) & 4)
        return bp_fail(err, ENOTSUP, "vhdx: the image needs metadata that is not built, or not there");
    return 0;
}

static int check_sizes(struct vhdx *s, struct bp_error *err)
{
    uint64_t size = s->sparse.length, blk = s->sparse.block, entries;

    if (s->sector != 512 && s->sector != 4096)
        return bp_fail(err, EINVAL, "vhdx: the image says that a sector has %u bytes", s->sector);
    if (blk < MIB || blk > 256 * MIB || blk & (blk - 1))
        return bp_fail(err, EINVAL, "vhdx: the image says that a block has %llu bytes", (unsigned long long)blk);
    if (size > MOST_BYTES || size % s->sector)
        return bp_fail(err, EINVAL, "vhdx: the image says that the disk has %llu bytes", (unsigned long long)size);
    s->ratio = (UINT64_C(1) << 23) * s->sector / blk;
    s->blocks = divide_up(size, blk);
    entries = s->blocks ? vhdx_entry(s->ratio, s->blocks - 1) + 1 : 0;
    if (entries * 8 > s->map_bytes)
        return bp_fail(err, EINVAL, "vhdx: the map of %llu entries does not fit its region",
                       (unsigned long long)entries);
    return 0;
}

static int parse_metadata(struct vhdx *s, const uint8_t *region, struct bp_error *err)
{
    struct items items = {NULL, NULL, NULL};
    unsigned n = get_le16(region + 10);
    int ret = 0;

    if (memcmp(region, "metadata", 8) != 0 || n > MOST_ITEMS)
        return bp_fail(err, EINVAL, "vhdx: the metadata is damaged");
    for (unsigned i = 0; ret == 0 && i < n; i++)
        ret = take_item(region, region + 32 + i * 32, &items, err);
    if (ret < 0)
        return ret;
    if (!items.file || !items.size || !items.logical)
        return bp_fail(err, EINVAL, "vhdx: the metadata does not say the size of the disk, its sectors and its blocks");
    if (get_le32(items.file + 4) & 2)
        return bp_fail(err, ENOTSUP, "vhdx: differencing disks (with a parent) are not built");
    s->fixed = get_le32(items.file + 4) & 1;
    s->sparse.block = get_le32(items.file);
    s->sparse.length = get_le64(items.size);
    s->size_at = (uint32_t)(items.size - region);
    s->sector = get_le32(items.logical);
    return check_sizes(s, err);
}

int vhdx_read_metadata(struct vhdx *s, struct bp_error *err)
{
    uint8_t *region = malloc(MIB);
    int ret = region ? format_io(s->sparse.file, BP_BLOCK_READ, s->metadata, region, MIB) : -ENOMEM;

    ret = ret < 0 ? bp_fail(err, -ret, "vhdx: the metadata cannot be read: %s", strerror(-ret))
                  : parse_metadata(s, region, err);
    free(region);
    return ret;
}

int vhdx_read_headers(struct vhdx *s, struct bp_error *err)
{
    int64_t there = block->child_length(s->sparse.file);
    uint8_t first[8];
    int ret = there < 0 ? (int)there : format_io(s->sparse.file, BP_BLOCK_READ, 0, first, sizeof(first));

    if (ret < 0)
        return bp_fail(err, -ret, "vhdx: the file cannot be read: %s", strerror(-ret));
    if (memcmp(first, "vhdxfile", 8) != 0)
        return bp_fail(err, EINVAL, "vhdx: the image has no VHDX header");
    ret = pick_header(s, err);
    if (ret == 0)
        ret = read_regions(s, (uint64_t)there, err);
    if (ret == 0)
        ret = vhdx_read_metadata(s, err);
    s->end = round_up((uint64_t)there, MIB);
    return ret;
}
