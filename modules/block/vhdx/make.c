/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New disks: the log, the metadata and the map follow the headers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhdx.h"

#define MOST_LOG (128 * MIB)

struct wish {
    uint64_t size, blk, log, metadata, map, map_bytes, data, blocks, ratio;
    bool fixed;
};

static uint64_t usual_block(uint64_t size)
{
    return size > UINT64_C(32) << 40 ? 64 * MIB : size > UINT64_C(100) << 30 ? 32 * MIB
           : size > UINT64_C(1) << 30 ? 16 * MIB : 8 * MIB;
}

static int take_wish(struct bp_value *o, struct wish *w, struct bp_error *err)
{
    static const char *const kinds[] = {"dynamic", "fixed", NULL};
    unsigned kind = 0;
    bool zero = true; /* blocks that were never written say so; no other state is of use to us */
    int ret;

    *w = (struct wish){.log = MIB};
    ret = option_disk_size(o, MOST_BYTES, &w->size, err);
    if (ret == 0)
        ret = option_size(o, "block-size", &w->blk, err);
    if (ret == 0)
        ret = option_size(o, "log-size", &w->log, err);
    if (ret == 0)
        ret = option_choice(o, "subformat", kinds, &kind, err);
    if (ret == 0)
        ret = option_switch(o, "block-state-zero", &zero, err);
    if (ret < 0)
        return ret;
    w->blk = w->blk ? w->blk : usual_block(w->size);
    w->log = w->log ? w->log : MIB;
    if (w->blk < MIB || w->blk > 256 * MIB || w->blk & (w->blk - 1))
        return bp_fail(err, EINVAL, "option 'block_size' expects a power of two from 1M to 256M");
    if (w->log % MIB || w->log > MOST_LOG)
        return bp_fail(err, EINVAL, "option 'log_size' expects a multiple of 1M, at most 128M");
    w->fixed = kind == 1;
    w->ratio = (UINT64_C(1) << 23) * 512 / w->blk;
    w->blocks = divide_up(w->size, w->blk);
    w->metadata = MIB + w->log;
    w->map = w->metadata + MIB;
    w->map_bytes = round_up((vhdx_entry(w->ratio, w->blocks) + 1) * 8, MIB);
    w->data = w->map + w->map_bytes;
    return 0;
}

static void put_region(uint8_t *e, const uint8_t *guid, uint64_t offset, uint64_t bytes)
{
    memcpy(e, guid, 16);
    put_le64(e + 16, offset);
    put_le32(e + 24, (uint32_t)bytes);
    put_le32(e + 28, 1);
}

static int write_regions(struct bp_block_child *file, const struct wish *w, uint8_t *buf)
{
    int ret;

    memset(buf, 0, TABLE_BYTES);
    memcpy(buf, "regi", 4);
    put_le32(buf + 8, 2);
    put_region(buf + 16, vhdx_guid_map, w->map, w->map_bytes);
    put_region(buf + 48, vhdx_guid_metadata, w->metadata, MIB);
    put_le32(buf + 4, vhdx_sum(buf, TABLE_BYTES, 4));
    ret = format_io(file, BP_BLOCK_WRITE, REGIONS_1, buf, TABLE_BYTES);
    return ret < 0 ? ret : format_io(file, BP_BLOCK_WRITE, REGIONS_2, buf, TABLE_BYTES);
}

/* The n-th item of `bytes` bytes; flags: 4 required, 2 of the disk, not of the file. */
static uint8_t *put_item(uint8_t *region, unsigned n, const uint8_t *guid, uint32_t bytes, uint32_t flags)
{
    uint8_t *e = region + 32 + n * 32;
    uint32_t at = TABLE_BYTES + n * 64;

    memcpy(e, guid, 16);
    put_le32(e + 16, at);
    put_le32(e + 20, bytes);
    put_le32(e + 24, flags);
    return region + at;
}

static int write_metadata(struct bp_block_child *file, const struct wish *w, uint8_t *buf)
{
    uint8_t *item;

    memset(buf, 0, TABLE_BYTES + 512);
    memcpy(buf, "metadata", 8);
    put_le16(buf + 10, 5);
    item = put_item(buf, 0, vhdx_guid_file, 8, 4);
    put_le32(item, (uint32_t)w->blk);
    put_le32(item + 4, w->fixed);
    put_le64(put_item(buf, 1, vhdx_guid_size, 8, 6), w->size);
    put_le32(put_item(buf, 2, vhdx_guid_logical, 4, 6), 512);
    put_le32(put_item(buf, 3, vhdx_guid_physical, 4, 6), 4096);
    format_uuid(put_item(buf, 4, vhdx_guid_page83, 16, 6));
    return format_io(file, BP_BLOCK_WRITE, w->metadata, buf, TABLE_BYTES + 512);
}

static int write_map(struct bp_block_child *file, const struct wish *w, uint8_t *buf)
{
    uint64_t n = 0; /* of the next block */
    int ret = 0;

    for (uint64_t at = 0; w->fixed && ret == 0 && n < w->blocks; at += TABLE_BYTES) {
        memset(buf, 0, TABLE_BYTES);
        for (; n < w->blocks && vhdx_entry(w->ratio, n) * 8 < at + TABLE_BYTES; n++)
            put_le64(buf + (vhdx_entry(w->ratio, n) * 8 - at), (w->data + n * w->blk) | FULLY_PRESENT);
        ret = format_io(file, BP_BLOCK_WRITE, w->map + at, buf, TABLE_BYTES);
    }
    return ret;
}

static int write_headers(struct bp_block_child *file, const struct wish *w, uint8_t *buf)
{
    static const char creator[] = "Backplane";
    struct vhdx s = {.sparse = {.file = file}, .current = 1};
    int ret;

    memset(buf, 0, TABLE_BYTES);
    memcpy(buf, "vhdxfile", 8);
    for (unsigned i = 0; creator[i]; i++)
        buf[8 + i * 2] = (uint8_t)creator[i]; /* UTF-16 */
    ret = format_io(file, BP_BLOCK_WRITE, 0, buf, TABLE_BYTES);
    memcpy(s.header, "head", 4);
    format_uuid(s.header + FILE_GUID);
    format_uuid(s.header + DATA_GUID);
    put_le16(s.header + VERSION, 1);
    put_le32(s.header + LOG_LENGTH, (uint32_t)w->log);
    put_le64(s.header + LOG_OFFSET, MIB);
    return ret < 0 ? ret : vhdx_write_header(&s);
}

int vhdx_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    uint8_t *buf = NULL;
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret == 0)
        ret = block->child_resize(file, w.data + (w.fixed ? w.blocks * w.blk : 0), false, err);
    if (ret < 0)
        return ret;
    buf = malloc(TABLE_BYTES + 512);
    ret = buf ? write_regions(file, &w, buf) : -ENOMEM;
    if (ret == 0)
        ret = write_metadata(file, &w, buf);
    if (ret == 0)
        ret = write_map(file, &w, buf);
    if (ret == 0)
        ret = write_headers(file, &w, buf);
    free(buf);
    return ret < 0 ? bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret)) : 0;
}

int vhdx_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                 struct bp_error *err)
{
    struct wish w;
    int r = take_wish(options, &w, err);

    (void)size;
    if (r < 0)
        return r;
    ret->fully_allocated = w.data + w.blocks * w.blk;
    ret->required = w.fixed ? ret->fully_allocated : w.data + divide_up(used < w.size ? used : w.size, w.blk) * w.blk;
    return 0;
}
