/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-vmdk`: opening an image and its extents, and what the framework calls. Sparse, flat, split and
 * stream-optimised images of hosted products are read and written (stream-optimised ones once, from a new image);
 * extents of ESX (VMFS, COWD) are read and written as what they are.
 * Leaves out: seSparse, raw device maps, resizing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmdk.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

/* ---- the engine's questions ---- */

static struct extent *extent_at(struct vmdk *s, uint64_t offset)
{
    unsigned low = 0, high = s->count;

    while (high - low > 1) {
        unsigned middle = (low + high) / 2;

        *(s->extents[middle].start <= offset ? &low : &high) = middle;
    }
    return &s->extents[low];
}

static int vmdk_find(struct sparse *sparse, uint64_t offset, struct sparse_place *place)
{
    struct vmdk *s = (struct vmdk *)sparse;

    return extent_find(s, extent_at(s, offset), offset, place);
}

static int vmdk_room(struct sparse *sparse, uint64_t offset, struct sparse_room *room)
{
    struct extent *e = extent_at((struct vmdk *)sparse, offset);

    if (e->kind != EXTENT_SPARSE || e->read_only)
        return e->kind == EXTENT_STREAM ? -ENOTSUP : -EACCES;
    if (e->end / 512 + e->grain / 512 > UINT32_MAX)
        return -ENOSPC;
    room->start = e->start + round_down(offset - e->start, e->grain);
    room->bytes = e->grain;
    room->file = e->file;
    room->host = e->end;
    room->opaque = e;
    return 0;
}

static int vmdk_enter(struct sparse *sparse, const struct sparse_room *room)
{
    struct extent *e = room->opaque;

    (void)sparse;
    e->end = room->host + e->grain;
    return extent_enter(e, (room->start - e->start) / e->grain, (uint32_t)(room->host / 512));
}

static int vmdk_enter_zero(struct sparse *sparse, uint64_t start, uint64_t *ret_bytes)
{
    struct extent *e = extent_at((struct vmdk *)sparse, start);

    if (e->kind != EXTENT_SPARSE || !e->zero_grains || (start - e->start) % e->grain || e->grain != sparse->block)
        return -ENOTSUP;
    *ret_bytes = e->grain;
    return extent_enter(e, (start - e->start) / e->grain, ZERO_GRAIN);
}

static int vmdk_sync(struct sparse *sparse)
{
    struct vmdk *s = (struct vmdk *)sparse;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < s->count; i++)
        if (s->extents[i].meta.bucket)
            ret = meta_write(&s->extents[i].meta, META_LEVELS - 1);
    return ret;
}

static int vmdk_begin(struct sparse *sparse)
{
    return descriptor_new_cid((struct vmdk *)sparse);
}

static int vmdk_settle(struct sparse *sparse)
{
    struct vmdk *s = (struct vmdk *)sparse;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < s->count; i++) {
        struct extent *e = &s->extents[i];

        if (e->places)
            ret = stream_finish(s, e);
        if (ret == 0 && e->file && e->file != sparse->file)
            ret = block->child_request(e->file, BP_BLOCK_FLUSH, NULL);
    }
    return ret;
}

static int vmdk_unpack(struct sparse *sparse, uint64_t offset, uint8_t *buf, uint64_t bytes)
{
    return stream_unpack(extent_at((struct vmdk *)sparse, offset), offset, buf, bytes);
}

static const struct sparse_ops ops = {.find = vmdk_find, .room = vmdk_room, .enter = vmdk_enter,
                                      .enter_zero = vmdk_enter_zero, .unpack = vmdk_unpack, .sync = vmdk_sync,
                                      .begin = vmdk_begin, .settle = vmdk_settle, .grow = vmdk_grow};

/* ---- opening ---- */

static int vmdk_probe(const uint8_t *head, size_t length, const char *file)
{
    (void)file;
    return length >= 21 && (get_le32(head) == MAGIC || get_le32(head) == COW_MAGIC ||
                            !memcmp(head, "# Disk DescriptorFile", 21)) ? 100 : 0;
}

/* One file: the header of a sparse extent, mostly with the descriptor in it. */
static int open_single(struct vmdk *s, const uint8_t *h, struct bp_error *err)
{
    uint64_t sectors = get_le32(h) == MAGIC ? get_le64(h + DESCRIPTOR_SIZE) : 0;
    char *text;
    int ret = 0;

    s->parent_cid = NO_PARENT;
    if (sectors && get_le64(h + DESCRIPTOR)) {
        if (sectors > MOST_DESCRIPTOR / 512 || get_le64(h + DESCRIPTOR) > UINT32_MAX)
            return bp_fail(err, EINVAL, "vmdk: a descriptor of %llu sectors is too long", (unsigned long long)sectors);
        s->descriptor = get_le64(h + DESCRIPTOR) * 512;
        s->descriptor_bytes = sectors * 512;
        ret = descriptor_read(s, &text, err);
        if (ret == 0) {
            ret = descriptor_parse(s, text, err);
            free(text);
        }
    }
    for (unsigned i = 0; i < s->count; i++)
        free(s->extents[i].name);
    free(s->extents); /* it says no more than that this file is the only one */
    s->count = 1;
    s->sparse.length = 0;
    s->extents = bp_alloc(sizeof(*s->extents));
    s->extents[0] = (struct extent){.kind = EXTENT_SPARSE, .file = s->sparse.file};
    return ret == 0 ? extent_open(s, &s->extents[0], err) : ret;
}

static int open_extent(struct bp_block_node *node, struct vmdk *s, unsigned i, struct bp_error *err)
{
    struct extent *e = &s->extents[i];
    int64_t there;
    char key[32];
    int ret;

    if (e->kind == EXTENT_ZERO)
        return 0;
    snprintf(key, sizeof(key), "extents.%u", i);
    ret = block->child(node, key) ? 0 : block->open_child(node, key, e->name, "raw", err);
    e->file = ret == 0 ? block->child(node, key) : NULL;
    if (ret < 0)
        return ret;
    if (e->kind == EXTENT_SPARSE)
        return extent_open(s, e, err);
    there = block->child_length(e->file);
    if (there < 0 || (uint64_t)there < e->offset || (uint64_t)there - e->offset < e->bytes)
        return bp_fail(err, EINVAL, "vmdk: the extent '%s' is shorter than the descriptor says", e->name);
    return 0;
}

static int open_several(struct bp_block_node *node, struct vmdk *s, uint64_t there, struct bp_error *err)
{
    char *text;
    int ret;

    s->descriptor_bytes = there;
    ret = descriptor_read(s, &text, err);
    if (ret < 0)
        return ret;
    ret = descriptor_parse(s, text, err);
    free(text);
    if (ret == 0 && s->count == 0)
        ret = bp_fail(err, EINVAL, "vmdk: the descriptor has no extents");
    for (unsigned i = 0; ret == 0 && i < s->count; i++)
        ret = open_extent(node, s, i, err);
    return ret;
}

/* What is asked for at the end of open, of all extents. */
static int check_extents(struct vmdk *s, struct bp_error *err)
{
    s->sparse.block = 65536;
    for (unsigned i = 0; i < s->count; i++) {
        const struct extent *e = &s->extents[i];

        if (e->grain)
            s->sparse.block = (uint32_t)e->grain;
        if (e->kind == EXTENT_STREAM && !s->read_only && !e->empty)
            return bp_fail(err, ENOTSUP, "vmdk: stream-optimised images are written once, by convert: this one can be "
                           "opened with read-only=on");
    }
    return 0;
}

static void release(struct vmdk *s)
{
    for (unsigned i = 0; i < s->count; i++)
        extent_close(&s->extents[i]);
    free(s->extents);
    s->extents = NULL;
    s->count = 0;
    free(s->type);
    free(s->parent);
    s->type = s->parent = NULL;
}

static int vmdk_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct vmdk *s = block->state(node);
    uint8_t h[HEADER_BYTES];
    int64_t there;
    int ret;

    s->node = node;
    s->read_only = flags->read_only;
    s->sparse.ops = &ops;
    s->sparse.file = block->child(node, "file");
    s->sparse.backing = block->child(node, "backing");
    there = block->child_length(s->sparse.file);
    ret = there < 0 ? (int)there : format_io(s->sparse.file, BP_BLOCK_READ, 0, h, sizeof(h));
    if (ret < 0)
        return bp_fail(err, -ret, "vmdk: the image cannot be read: %s", strerror(-ret));
    if (!vmdk_probe(h, sizeof(h), NULL))
        ret = bp_fail(err, EINVAL, "vmdk: the image has neither a header nor a descriptor of VMware");
    else
        ret = *h == '#' ? open_several(node, s, (uint64_t)there, err) : open_single(s, h, err);
    if (ret == 0)
        ret = check_extents(s, err);
    if (ret == 0)
        ret = sparse_open(&s->sparse, 512, 0, err);
    if (ret < 0) {
        sparse_free(&s->sparse);
        release(s);
        return ret;
    }
    if (s->parent && s->parent_cid != NO_PARENT)
        block->want_backing(node, s->parent, "vmdk");
    return 0;
}

static void vmdk_close(struct bp_block_node *node)
{
    sparse_close(node);
    release(block->state(node));
}

static int vmdk_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                       struct bp_error *err)
{
    struct vmdk *s = block->state(node);
    int ret = sparse_reopen(node, flags, options, err);

    if (ret == 0 && !flags->read_only) {
        s->read_only = false;
        ret = check_extents(s, err);
    }
    s->read_only = ret == 0 ? flags->read_only : true;
    return ret;
}

/* ---- writing to streams ---- */

static int stream_write(struct vmdk *s, struct extent *e, const struct bp_block_request *req)
{
    uint8_t *buf = calloc(1, (size_t)e->grain);
    uint64_t done = 0;
    uint32_t sector;
    int ret = buf ? 0 : -ENOMEM;

    while (ret == 0 && done < req->bytes) {
        uint64_t at = req->offset + done, n = s->sparse.length - at < e->grain ? s->sparse.length - at : e->grain;
        size_t have = 0, skip = (size_t)done;

        ret = at % e->grain || req->bytes - done < n ? -ENOTSUP : extent_entry(e, at / e->grain, &sector);
        if (ret < 0 || sector) { /* parts of grains, or again */
            ret = ret < 0 ? ret : -ENOTSUP;
            break;
        }
        memset(buf, 0, (size_t)e->grain);
        for (unsigned i = 0; i < req->iov_count && have < n; i++) {
            size_t len = req->iov[i].iov_len, take;

            if (skip >= len) {
                skip -= len;
                continue;
            }
            take = len - skip < n - have ? len - skip : (size_t)n - have;
            memcpy(buf + have, (const char *)req->iov[i].iov_base + skip, take);
            have += take;
            skip = 0;
        }
        ret = stream_append(e, at / e->grain, buf);
        s->sparse.marked = true;
        done += n;
    }
    free(buf);
    return ret;
}

static int vmdk_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct vmdk *s = block->state(node);
    int ret;

    if (s->extents[0].kind != EXTENT_STREAM)
        return req->flags & BP_BLOCK_COMPRESSED ? -ENOTSUP : sparse_write(node, req);
    bp_co_mutex_lock(s->sparse.lock);
    ret = stream_write(s, &s->extents[0], req);
    bp_co_mutex_unlock(s->sparse.lock);
    return ret;
}

/* ---- facts ---- */

static int vmdk_info(struct bp_block_node *node, struct bp_block_info *ret)
{
    static const char *const kinds[] = {"FLAT", "ZERO", "SPARSE", "SPARSE"};
    const struct vmdk *s = block->state(node);
    struct bp_value *data = bp_value_dict(), *list = bp_value_list();

    ret->unallocated_zero = !s->sparse.backing;
    ret->backing_file = s->parent && s->parent_cid != NO_PARENT ? bp_strdup(s->parent) : NULL;
    for (unsigned i = 0; i < s->count; i++) {
        const struct extent *e = &s->extents[i];
        struct bp_value *v = bp_value_dict();

        if (e->kind == EXTENT_STREAM)
            bp_value_set(v, "compressed", bp_value_bool(true));
        bp_value_set(v, "virtual-size", bp_value_uint(e->bytes));
        bp_value_set(v, "filename", bp_value_string(e->name ? e->name
                                                   : e->file ? block->image_filename(block->child_node(e->file)) : ""));
        if (e->grain)
            bp_value_set(v, "cluster-size", bp_value_uint(e->grain));
        bp_value_set(v, "format", bp_value_string(kinds[e->kind]));
        bp_value_append(list, v);
        ret->cluster_size = ret->cluster_size ? ret->cluster_size : (uint32_t)e->grain;
    }
    bp_value_set(data, "cid", bp_value_uint(s->cid));
    bp_value_set(data, "parent-cid", bp_value_uint(s->parent_cid));
    bp_value_set(data, "create-type", bp_value_string(s->type ? s->type : ""));
    bp_value_set(data, "extents", list);
    ret->specific = format_facts("vmdk", data);
    return 0;
}

static int vmdk_check(struct bp_block_node *node, uint32_t fix, struct bp_block_check *ret, struct bp_error *err)
{
    struct vmdk *s = block->state(node);
    int r = 0;

    (void)fix;
    bp_co_mutex_lock(s->sparse.lock);
    for (unsigned i = 0; r == 0 && i < s->count; i++)
        if (s->extents[i].grain)
            r = extent_check(&s->extents[i], ret);
    bp_co_mutex_unlock(s->sparse.lock);
    return r < 0 ? bp_fail(err, -r, "the tables cannot be read: %s", strerror(-r)) : 0;
}

static const struct bp_block_child_info children[] = {
    {.name = "file", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_PRIMARY, .help = "the image, or its "
     "descriptor"},
    {.name = "backing", .roles = BP_BLOCK_BACKING | BP_BLOCK_OPTIONAL, .help = "what is not in the image is read here"},
    {.name = "extents.", .roles = BP_BLOCK_STORAGE | BP_BLOCK_DATA | BP_BLOCK_OPTIONAL, .help = "files that the "
     "descriptor names, in its order"},
    {.name = NULL}};

BP_BLOCK_DRIVER(vmdk_driver, "vmdk", "Images of VMware (VMDK)", struct vmdk, NULL, .flags = BP_BLOCK_FORMAT,
                .native = BP_BLOCK_COMPRESSED, .children = children, .probe = vmdk_probe, .open = vmdk_open,
                .close = vmdk_close, .read = sparse_read, .write = vmdk_write, .flush = sparse_flush,
                .discard = sparse_discard, .write_zeroes = sparse_zeroes, .resize = sparse_resize,
                .status = sparse_status,
                .length = sparse_length, .limits = sparse_limits, .info = vmdk_info, .reopen_prepare = vmdk_reopen,
                .create = vmdk_create, .check = vmdk_check, .measure = vmdk_measure,
                .children_changed = sparse_changed);
BP_MODULE("block-vmdk", "Images of VMware", imports, {BP_PROVIDE_OTHER, &vmdk_driver});
