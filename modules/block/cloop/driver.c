/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-cloop`: compressed loop images, format 2.0 (zlib), read-only. A shell script of 128 bytes, the size of
 * blocks and their number, and where each begins; big end first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunks.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define SCRIPT "#!/bin/sh\n#V2.0 Format\n"
enum { BLOCK_SIZE = 128, BLOCKS = 132, OFFSETS = 136 };
#define MOST_BLOCK (64u << 20)
#define MOST_BLOCKS ((64u << 20) / 8 - 1)

struct cloop {
    struct chunks chunks;
    uint32_t size, count;
    uint64_t *offsets; /* count + 1 */
};

static int cloop_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= sizeof(SCRIPT) - 1 && !memcmp(head, SCRIPT, sizeof(SCRIPT) - 1) ? 100 : 0;
}

static void cloop_find(struct chunks *chunks, uint64_t offset, struct chunk *ret)
{
    const struct cloop *s = (const struct cloop *)chunks;
    uint64_t n = offset / s->size;

    *ret = (struct chunk){.start = n * s->size, .bytes = s->size, .host = s->offsets[n],
                          .packed = s->offsets[n + 1] - s->offsets[n], .packing = PACKING_ZLIB};
}

static int cloop_unpack(enum packing packing, const uint8_t *from, uint64_t packed, uint8_t *to, uint64_t bytes)
{
    (void)packing;
    return unpack_zlib(from, packed, to, bytes);
}

static int read_offsets(struct cloop *s, uint64_t there, struct bp_error *err)
{
    uint64_t bytes = ((uint64_t)s->count + 1) * 8, most = 2 * (uint64_t)s->size + 1024;
    uint8_t *raw = malloc((size_t)bytes);
    int ret = raw ? format_io(s->chunks.file, BP_BLOCK_READ, OFFSETS, raw, bytes) : -ENOMEM;

    s->offsets = ret == 0 ? malloc((size_t)bytes) : NULL;
    for (uint32_t i = 0; ret == 0 && s->offsets && i <= s->count; i++) {
        s->offsets[i] = get_be64(raw + (uint64_t)i * 8);
        if (s->offsets[i] > there || (i && (s->offsets[i] < s->offsets[i - 1] ||
                                            s->offsets[i] - s->offsets[i - 1] > most)))
            ret = bp_fail(err, EINVAL, "cloop: block %u cannot end at %llu", i, (unsigned long long)s->offsets[i]);
    }
    free(raw);
    if (!s->offsets)
        return bp_fail(err, ret < 0 ? -ret : ENOMEM, "cloop: the offsets cannot be read: %s",
                       strerror(ret < 0 ? -ret : ENOMEM));
    return ret;
}

static int read_header(struct cloop *s, struct bp_error *err)
{
    int64_t there = block->child_length(s->chunks.file);
    uint8_t h[OFFSETS];
    int ret = there < 0 ? (int)there : format_io(s->chunks.file, BP_BLOCK_READ, 0, h, sizeof(h));

    if (ret < 0)
        return bp_fail(err, -ret, "cloop: the header cannot be read: %s", strerror(-ret));
    if (!cloop_probe(h, sizeof(h), NULL))
        return bp_fail(err, EINVAL, "cloop: the image has no header of cloop 2.0");
    s->size = get_be32(h + BLOCK_SIZE);
    s->count = get_be32(h + BLOCKS);
    if (s->size == 0 || s->size % 512 || s->size > MOST_BLOCK)
        return bp_fail(err, EINVAL, "cloop: the header says that a block has %u bytes", s->size);
    if (s->count > MOST_BLOCKS || ((uint64_t)s->count + 1) * 8 + OFFSETS > (uint64_t)there)
        return bp_fail(err, EINVAL, "cloop: the offsets of %u blocks go beyond the end of the file", s->count);
    s->chunks.length = (uint64_t)s->size * s->count;
    s->chunks.most_bytes = s->size;
    s->chunks.most_packed = 2 * (uint64_t)s->size + 1024;
    return read_offsets(s, (uint64_t)there, err);
}

static void cloop_close(struct bp_block_node *node)
{
    struct cloop *s = block->state(node);

    chunks_free(&s->chunks);
    free(s->offsets);
    s->offsets = NULL;
}

static int cloop_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct cloop *s = block->state(node);
    int ret;

    (void)flags;
    s->chunks.file = block->child(node, "file");
    s->chunks.find = cloop_find;
    s->chunks.unpack = cloop_unpack;
    ret = read_header(s, err);
    if (ret == 0)
        ret = chunks_open(&s->chunks, err);
    if (ret < 0)
        cloop_close(node);
    return ret;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(cloop_driver, "cloop", "Compressed loop images, read-only", struct cloop, NULL,
                .flags = BP_BLOCK_FORMAT | BP_BLOCK_READ_ONLY_DRIVER, .children = children, .probe = cloop_probe,
                .open = cloop_open, .close = cloop_close, .read = chunks_read, .length = chunks_length);
BP_MODULE("block-cloop", "Compressed loop images", imports, {BP_PROVIDE_OTHER, &cloop_driver});
