/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-bochs`: growing images of Bochs ("Redolog", subtype "Growing"), read-only. A header of 512 bytes, a
 * catalogue of 32-bit extent numbers, extents of a bitmap and the sectors that it speaks of. Little end first.
 * Leaves out: undoable and volatile redo logs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

enum { TYPE = 32, SUBTYPE = 48, VERSION = 64, HEADER_SIZE = 68, CATALOG = 72, BITMAP = 76, EXTENT = 80, DISK_1 = 84,
       DISK_2 = 88, HEADER_BYTES = 512 };
#define NOWHERE 0xffffffffu
#define VERSION_1 0x00010000u
#define VERSION_2 0x00020000u /* a time stands before the size */
#define MOST_CATALOG (1u << 26)
#define SLICE 512u

struct bochs {
    struct sparse sparse;
    uint64_t catalog, data;
    uint32_t entries, bitmap_blocks, extent_blocks;
};

static int bochs_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct bochs *s = (struct bochs *)sparse;
    uint64_t inside = offset % sparse->block, sector = inside / 512, left = 512 - inside % 512, at;
    uint8_t entry[4], bits;
    int ret = table_get(sparse, s->catalog + offset / sparse->block * 4, 0, entry, 4);

    if (ret < 0)
        return ret;
    place->kind = SPARSE_BELOW;
    place->file = sparse->file;
    if (get_le32(entry) == NOWHERE) {
        left = sparse->block - inside;
        place->bytes = place->bytes < left ? place->bytes : left;
        return 0;
    }
    place->bytes = place->bytes < left ? place->bytes : left;
    at = s->data + (uint64_t)get_le32(entry) * (s->bitmap_blocks + s->extent_blocks) * 512;
    ret = table_get(sparse, at + sector / 8, 0, &bits, 1);
    if (ret == 0 && bits >> (sector % 8) & 1)
        place->kind = SPARSE_DATA;
    place->host = at + (uint64_t)s->bitmap_blocks * 512 + inside;
    return ret;
}

static const struct sparse_ops ops = {.find = bochs_find};

static int bochs_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 68 && !memcmp(head, "Bochs Virtual HD Image", 22) ? 100 : 0;
}

static int read_header(struct bochs *s, const uint8_t *h, uint64_t there, struct bp_error *err)
{
    uint32_t version = get_le32(h + VERSION), extent = get_le32(h + EXTENT), bitmap = get_le32(h + BITMAP);

    if (!bochs_probe(h, HEADER_BYTES, NULL))
        return bp_fail(err, EINVAL, "bochs: the image has no header of Bochs");
    if (memcmp(h + TYPE, "Redolog", 8) != 0 || memcmp(h + SUBTYPE, "Growing", 8) != 0 ||
        (version != VERSION_1 && version != VERSION_2))
        return bp_fail(err, ENOTSUP, "bochs: images of another kind than growing redo logs, versions 1 and 2, are not "
                       "built");
    if (extent < 512 || extent > 16u << 20 || extent & (extent - 1) || bitmap == 0 || bitmap > 1u << 20 ||
        (uint64_t)bitmap * 8 * 512 < extent)
        return bp_fail(err, EINVAL, "bochs: the header says that an extent has %u bytes and a bitmap %u", extent,
                       bitmap);
    s->entries = get_le32(h + CATALOG);
    s->catalog = get_le32(h + HEADER_SIZE);
    s->sparse.block = extent;
    s->extent_blocks = extent / 512;
    s->bitmap_blocks = (uint32_t)divide_up(bitmap, 512);
    s->sparse.length = get_le64(h + (version == VERSION_1 ? DISK_1 : DISK_2)) / 512 * 512;
    if (s->entries > MOST_CATALOG || s->catalog < HEADER_BYTES || s->catalog > there ||
        there - s->catalog < (uint64_t)s->entries * 4)
        return bp_fail(err, EINVAL, "bochs: a catalogue of %u entries cannot be at %llu", s->entries,
                       (unsigned long long)s->catalog);
    if (s->sparse.length > (uint64_t)s->entries * extent)
        return bp_fail(err, EINVAL, "bochs: a disk of %llu bytes does not fit into %u extents",
                       (unsigned long long)s->sparse.length, s->entries);
    s->data = s->catalog + (uint64_t)s->entries * 4;
    return 0;
}

static int bochs_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct bochs *s = block->state(node);
    uint8_t h[HEADER_BYTES];
    int64_t there;
    int ret;

    (void)flags;
    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    there = block->child_length(s->sparse.file);
    ret = there < 0 ? (int)there : format_io(s->sparse.file, BP_BLOCK_READ, 0, h, sizeof(h));
    if (ret < 0)
        return bp_fail(err, -ret, "bochs: the header cannot be read: %s", strerror(-ret));
    ret = read_header(s, h, (uint64_t)there, err);
    return ret == 0 ? sparse_open(&s->sparse, SLICE, 4u << 20, err) : ret;
}

static int bochs_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    (void)node;
    ret->unallocated_zero = true;
    return 0;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "what holds the image"},
    {.name = NULL}};

BP_BLOCK_DRIVER(bochs_driver, "bochs", "Growing images of Bochs, read-only", struct bochs, NULL,
                .flags = BP_BLOCK_FORMAT | BP_BLOCK_READ_ONLY_DRIVER, .children = children, .probe = bochs_probe,
                .open = bochs_open, .close = sparse_close, .read = sparse_read, .status = sparse_status,
                .length = sparse_length, .limits = sparse_limits, .info = bochs_info);
BP_MODULE("block-bochs", "Images of Bochs", imports, {BP_PROVIDE_OTHER, &bochs_driver});
