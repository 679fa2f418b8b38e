/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-dmg`: disk images of macOS (UDIF), read-only: plain, zlib and bzip2. A trailer at the end of the file
 * leads to a property list with block tables.
 * Leaves out: ADC, LZFSE, LZMA (refused), images with a resource fork only, several segments, encryption.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_BZIP2
#include <bzlib.h>
#endif

#include "dmg.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

static int dmg_unpack(enum packing packing, const uint8_t *from, uint64_t packed, uint8_t *to, uint64_t bytes)
{
#ifdef HAVE_BZIP2
    if (packing == PACKING_BZIP2) {
        unsigned length = (unsigned)bytes;

        int ret = BZ2_bzBuffToBuffDecompress((char *)to, &length, (char *)(uintptr_t)from, (unsigned)packed, 0, 0);

        return ret == BZ_OK && length == bytes ? 0 : -EIO;
    }
#endif
    (void)packing;
    return unpack_zlib(from, packed, to, bytes);
}

static void dmg_find(struct chunks *chunks, uint64_t offset, struct chunk *ret)
{
    const struct dmg *s = (const struct dmg *)chunks;
    uint32_t low = 0, high = s->count; /* the first that begins behind it */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (s->list[middle].start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0 && offset - s->list[low - 1].start < s->list[low - 1].bytes) {
        *ret = s->list[low - 1];
        return;
    }
    *ret = (struct chunk){.start = offset, .bytes = (low < s->count ? s->list[low].start : chunks->length) - offset,
                          .packing = PACKING_ZERO};
}

static int read_list(struct dmg *s, uint64_t at, uint64_t bytes, struct bp_error *err)
{
    char *text;
    int ret;

    if (bytes == 0)
        return bp_fail(err, ENOTSUP, "dmg: images with a resource fork and no property list are not built");
    if (bytes > MOST_PLIST || at > s->there || bytes > s->there - at)
        return bp_fail(err, EINVAL, "dmg: a property list of %llu bytes cannot be at %llu", (unsigned long long)bytes,
                       (unsigned long long)at);
    text = malloc((size_t)bytes + 1);
    ret = text ? format_io(s->chunks.file, BP_BLOCK_READ, at, text, bytes) : -ENOMEM;
    if (ret < 0) {
        bp_fail(err, -ret, "dmg: the property list cannot be read: %s", strerror(-ret));
    } else {
        text[bytes] = '\0';
        ret = dmg_read_plist(s, text, err);
    }
    free(text);
    return ret == 0 ? dmg_sort(s, err) : ret;
}

static int read_trailer(struct dmg *s, struct bp_error *err)
{
    int64_t there = block->child_length(s->chunks.file);
    uint8_t t[TRAILER_BYTES];
    const struct chunk *last;
    int ret = there < TRAILER_BYTES ? there < 0 ? (int)there : -EINVAL
              : format_io(s->chunks.file, BP_BLOCK_READ, (uint64_t)there - TRAILER_BYTES, t, sizeof(t));

    if (ret < 0 || memcmp(t, "koly", 4) != 0)
        return bp_fail(err, EINVAL, "dmg: the image has no trailer of a disk image at its end");
    s->there = (uint64_t)there;
    s->data = get_be64(t + DATA_FORK);
    s->chunks.length = get_be64(t + SECTORS);
    if (s->chunks.length > BP_BLOCK_MAX_LENGTH / 512 || s->data > s->there)
        return bp_fail(err, EINVAL, "dmg: the trailer is damaged");
    s->chunks.length *= 512;
    ret = read_list(s, get_be64(t + PLIST), get_be64(t + PLIST_BYTES), err);
    if (ret < 0)
        return ret;
    last = s->count ? &s->list[s->count - 1] : NULL;
    if (last && last->start + last->bytes > s->chunks.length)
        s->chunks.length = last->start + last->bytes;
    s->chunks.most_bytes = s->chunks.most_packed = 65536;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct chunk *c = &s->list[i];

        if (c->packing > PACKING_NONE && c->bytes > s->chunks.most_bytes)
            s->chunks.most_bytes = c->bytes;
        if (c->packing > PACKING_NONE && c->packed > s->chunks.most_packed)
            s->chunks.most_packed = c->packed;
    }
    return 0;
}

static void dmg_close(struct bp_block_node *node)
{
    struct dmg *s = block->state(node);

    chunks_free(&s->chunks);
    free(s->list);
    s->list = NULL;
}

static int dmg_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct dmg *s = block->state(node);
    int ret;

    (void)flags;
    s->chunks.file = block->child(node, "file");
    s->chunks.find = dmg_find;
    s->chunks.unpack = dmg_unpack;
    ret = read_trailer(s, err);
    if (ret == 0)
        ret = chunks_open(&s->chunks, err);
    if (ret < 0)
        dmg_close(node);
    return ret;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(dmg_driver, "dmg", "Disk images of macOS (DMG), read-only", struct dmg, NULL,
                .flags = BP_BLOCK_FORMAT | BP_BLOCK_READ_ONLY_DRIVER, .children = children, .open = dmg_open,
                .close = dmg_close, .read = chunks_read, .length = chunks_length);
BP_MODULE("block-dmg", "Disk images of macOS", imports, {BP_PROVIDE_OTHER, &dmg_driver});
