/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stream-optimised extents: compressed grains one after the other, each behind a marker, then tables, the directory and
 * a footer. They are written once, by grains, and their tables kept in memory until then; read at any place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "vmdk.h"

enum { MARK_LBA = 0, MARK_SIZE = 8, MARK_TYPE = 12, MARK_GRAIN_BYTES = 12 };
enum { MARK_END, MARK_TABLE, MARK_DIRECTORY, MARK_FOOTER };

#define MOST_GRAINS (UINT64_C(1) << 25) /* of a stream that is written: 4 bytes of memory each */

struct packing {
    const uint8_t *from;
    uint8_t *to;
    uLongf from_bytes, to_bytes;
    int ret;
};

static void pack_it(void *opaque)
{
    struct packing *p = opaque;

    p->ret = compress2(p->to, &p->to_bytes, p->from, p->from_bytes, Z_DEFAULT_COMPRESSION);
}

static void unpack_it(void *opaque)
{
    struct packing *p = opaque;

    p->ret = uncompress(p->to, &p->to_bytes, p->from, p->from_bytes);
}

static void on_worker(void (*fn)(void *opaque), struct packing *p)
{
    if (block->may_wait())
        bp_co_worker(fn, p);
    else
        fn(p);
}

/* ---- reading ---- */

static int load_grain(struct extent *e, uint64_t grain, uint32_t sector)
{
    uint64_t at = (uint64_t)sector * 512, bytes;
    uint8_t marker[MARK_GRAIN_BYTES], *packed;
    struct packing p = {.to_bytes = (uLongf)e->grain};
    int ret = format_io(e->file, BP_BLOCK_READ, at, marker, sizeof(marker));

    bytes = ret == 0 ? get_le32(marker + MARK_SIZE) : 0;
    if (ret == 0 && (bytes == 0 || bytes > 2 * e->grain + 1024 || get_le64(marker) != grain * (e->grain / 512)))
        ret = -EIO;
    if (ret < 0)
        return ret;
    packed = malloc((size_t)bytes);
    if (!e->last)
        e->last = malloc((size_t)e->grain);
    ret = packed && e->last ? format_io(e->file, BP_BLOCK_READ, at + MARK_GRAIN_BYTES, packed, bytes) : -ENOMEM;
    e->last_grain = UINT64_MAX;
    if (ret == 0) {
        p.from = packed;
        p.from_bytes = (uLongf)bytes;
        p.to = e->last;
        on_worker(unpack_it, &p);
        ret = p.ret == Z_OK ? 0 : -EIO;
    }
    if (ret == 0) { /* the last one of a disk may be shorter */
        memset(e->last + p.to_bytes, 0, (size_t)(e->grain - p.to_bytes));
        e->last_grain = grain;
    }
    free(packed);
    return ret;
}

int stream_unpack(struct extent *e, uint64_t offset, uint8_t *buf, uint64_t bytes)
{
    uint64_t grain = (offset - e->start) / e->grain;
    uint32_t sector;
    int ret = e->last && e->last_grain == grain ? 0 : extent_entry(e, grain, &sector);

    if (ret == 0 && !(e->last && e->last_grain == grain))
        ret = load_grain(e, grain, sector);
    if (ret == 0)
        memcpy(buf, e->last + (offset - e->start) % e->grain, (size_t)bytes);
    return ret;
}

/* ---- writing ---- */

/* What an empty stream has for tables goes; grains begin where they were. */
static int start(struct extent *e)
{
    uint8_t h[HEADER_BYTES];
    int ret = format_io(e->file, BP_BLOCK_READ, 0, h, sizeof(h));
    uint64_t data = get_le64(h + OVERHEAD) * 512;

    if (ret == 0 && divide_up(e->bytes, e->grain) > MOST_GRAINS)
        ret = -EFBIG;
    if (ret == 0 && (data < HEADER_BYTES || data > MOST_DESCRIPTOR + (16u << 20) || get_le64(h + DIRECTORY) != AT_END))
        ret = -ENOTSUP; /* not one of ours */
    if (ret < 0)
        return ret;
    e->places = calloc((size_t)divide_up(e->bytes, e->grain), sizeof(*e->places));
    if (!e->places)
        return -ENOMEM;
    e->end = data;
    e->empty = false;
    return block->child_resize(e->file, data, false, NULL);
}

int stream_append(struct extent *e, uint64_t grain, const uint8_t *data)
{
    uLong room = compressBound((uLong)e->grain);
    struct packing p = {.from = data, .from_bytes = (uLongf)e->grain, .to_bytes = room};
    uint64_t bytes;
    uint8_t *buf;
    int ret = e->places ? 0 : start(e);

    if (ret == 0 && e->end / 512 + room / 512 + 2 > UINT32_MAX)
        ret = -ENOSPC;
    if (ret < 0)
        return ret;
    buf = calloc(1, MARK_GRAIN_BYTES + room + 512);
    if (!buf)
        return -ENOMEM;
    p.to = buf + MARK_GRAIN_BYTES;
    on_worker(pack_it, &p);
    put_le64(buf + MARK_LBA, grain * (e->grain / 512));
    put_le32(buf + MARK_SIZE, (uint32_t)p.to_bytes);
    bytes = round_up(MARK_GRAIN_BYTES + p.to_bytes, 512);
    ret = p.ret == Z_OK ? format_io(e->file, BP_BLOCK_WRITE, e->end, buf, bytes) : -EIO;
    free(buf);
    if (ret < 0)
        return ret;
    e->places[grain] = (uint32_t)(e->end / 512);
    e->end += bytes;
    e->last_grain = UINT64_MAX;
    return 0;
}

/* A marker and what it announces, sectors; *at moves on. */
static int put_marked(struct bp_block_child *file, uint64_t *at, uint32_t type, uint8_t *buf, uint64_t bytes)
{
    int ret;

    memset(buf, 0, 512);
    put_le64(buf, bytes / 512);
    put_le32(buf + MARK_TYPE, type);
    ret = format_io(file, BP_BLOCK_WRITE, *at, buf, 512 + bytes);
    *at += 512 + bytes;
    return ret;
}

/* Tables (those that have something), the directory, the footer, the end. places NULL: an empty stream. */
static int put_tail(struct bp_block_child *file, const uint8_t *header, const uint32_t *places, uint64_t grains,
                    uint64_t at)
{
    uint32_t entries = get_le32(header + TABLE_ENTRIES);
    uint64_t tables = divide_up(grains, entries), bytes = round_up(tables * 4, 512), where;
    uint64_t table_bytes = round_up((uint64_t)entries * 4, 512);
    uint8_t *directory = calloc(1, (size_t)(512 + bytes)), *buf = calloc(1, (size_t)(1024 + table_bytes));
    int ret = directory && buf ? 0 : -ENOMEM;

    for (uint64_t t = 0; ret == 0 && places && t < tables; t++) {
        bool any = false;

        memset(buf, 0, (size_t)(512 + table_bytes));
        for (uint64_t i = 0; i < entries && t * entries + i < grains; i++) {
            put_le32(buf + 512 + i * 4, places[t * entries + i]);
            any = any || places[t * entries + i];
        }
        if (!any)
            continue;
        put_le32(directory + 512 + t * 4, (uint32_t)(at / 512 + 1));
        ret = put_marked(file, &at, MARK_TABLE, buf, table_bytes);
    }
    where = at / 512 + 1;
    if (ret == 0)
        ret = put_marked(file, &at, MARK_DIRECTORY, directory, bytes);
    if (ret == 0) {
        memcpy(buf + 512, header, HEADER_BYTES);
        put_le64(buf + 512 + DIRECTORY, where);
        ret = put_marked(file, &at, MARK_FOOTER, buf, HEADER_BYTES);
    }
    if (ret == 0)
        ret = put_marked(file, &at, MARK_END, buf, 0);
    free(directory);
    free(buf);
    return ret;
}

int stream_finish(struct vmdk *s, struct extent *e)
{
    uint8_t h[HEADER_BYTES];
    int ret = format_io(e->file, BP_BLOCK_READ, 0, h, sizeof(h));

    (void)s;
    return ret < 0 ? ret : put_tail(e->file, h, e->places, divide_up(e->bytes, e->grain), e->end);
}

int stream_make(struct bp_block_child *file, const struct wish *w, const char *descriptor)
{
    uint8_t h[HEADER_BYTES];
    uint64_t data = USUAL_GRAIN;
    int ret;

    vmdk_put_header(h, w);
    put_le32(h + VERSION, 3);
    put_le32(h + FLAGS, HAS_NEWLINES | HAS_PACKED_GRAINS | HAS_MARKERS);
    put_le64(h + DESCRIPTOR, 1);
    put_le64(h + DESCRIPTOR_SIZE, DESCRIPTOR_SECTORS);
    put_le64(h + SPARE_DIRECTORY, 0);
    put_le64(h + DIRECTORY, AT_END);
    put_le64(h + OVERHEAD, data / 512);
    put_le16(h + COMPRESSION, 1);
    ret = block->child_resize(file, data, false, NULL);
    if (ret == 0)
        ret = format_io(file, BP_BLOCK_WRITE, 0, h, sizeof(h));
    if (ret == 0)
        ret = format_io(file, BP_BLOCK_WRITE, 512, (void *)(uintptr_t)descriptor, strlen(descriptor));
    return ret == 0 ? put_tail(file, h, NULL, divide_up(w->size, USUAL_GRAIN), data) : ret;
}
