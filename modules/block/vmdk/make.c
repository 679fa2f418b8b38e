/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New images: one file or several, sparse or flat. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmdk.h"

/* The last one is for extents of a split image, which this driver makes by itself. */
const char *const vmdk_subformats[] = {"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                                       "twoGbMaxExtentFlat", "streamOptimized", "extent", NULL};

/* ---- options ---- */

static int take_wish(struct bp_value *o, struct wish *w, struct bp_error *err)
{
    static const char *const adapters[] = {"ide", "lsilogic", "buslogic", "legacyESX", NULL};
    const char *hardware = bp_value_get_string(o, "hwversion"), *tools = bp_value_get_string(o, "toolsversion");
    unsigned adapter = 0;
    bool six = false;
    int ret;

    *w = (struct wish){.parent_cid = NO_PARENT, .backing = bp_value_get_string(o, "backing-file")};
    ret = option_choice(o, "subformat", vmdk_subformats, &w->subformat, err);
    if (ret == 0)
        ret = option_choice(o, "adapter-type", adapters, &adapter, err);
    if (ret == 0)
        ret = option_switch(o, "compat6", &six, err);
    if (ret == 0)
        ret = option_switch(o, "zeroed-grain", &w->zero_grains, err);
    if (ret == 0)
        ret = option_disk_size(o, w->subformat == SUB_SPARSE || w->subformat == SUB_STREAM ? MOST_SPARSE / 16 * 15
                               : SPLIT * (MOST_EXTENTS / 4), &w->size, err);
    if (ret < 0)
        return ret;
    w->adapter = adapter == 3 ? "buslogic" : adapters[adapter];
    w->hardware = hardware ? hardware : six ? "6" : "4";
    w->tools = tools ? tools : "2147483647";
    if (strspn(w->hardware, "0123456789") != strlen(w->hardware) ||
        strspn(w->tools, "0123456789") != strlen(w->tools) || strlen(w->hardware) > 10 || strlen(w->tools) > 10)
        return bp_fail(err, EINVAL, "options 'hwversion' and 'toolsversion' expect numbers");
    if (w->backing && w->subformat != SUB_SPARSE)
        return bp_fail(err, ENOTSUP, "vmdk: a backing file goes with subformat=monolithicSparse only");
    if (w->backing && (strlen(w->backing) > 1000 || strpbrk(w->backing, "\"\n")))
        return bp_fail(err, EINVAL, "vmdk: the descriptor has no room for the name of the backing file");
    return 0;
}

/* What is below says which of its contents this is. */
static int take_parent(const char *image, struct wish *w, struct bp_error *err)
{
    struct bp_block_node *base;
    struct bp_value *more, *info;
    const char *slash = strrchr(image, '/');
    char *path = NULL;
    int ret;

    if (asprintf(&path, "%.*s%s", slash && *w->backing != '/' ? (int)(slash - image + 1) : 0, image, w->backing) < 0)
        return bp_fail(err, ENOMEM, "no memory");
    more = bp_value_dict();
    bp_value_set(more, "read-only", bp_value_bool(true));
    ret = block->image_open(path, "vmdk", more, &base, err);
    bp_value_unref(more);
    free(path);
    if (ret < 0)
        return ret;
    info = block->image_info(base, false);
    w->parent_cid = (uint32_t)bp_value_as_uint(bp_value_get(bp_value_get(bp_value_get(info, "format-specific"), "data"),
                                                            "cid"));
    bp_value_unref(info);
    block->node_unref(base);
    return 0;
}

/* ---- sparse extents ---- */

struct layout {
    uint64_t tables, directory_sectors, table_sectors, spare, directory, data; /* sectors but `tables` */
};

static struct layout lay_out(uint64_t size)
{
    struct layout l = {.tables = divide_up(divide_up(size, USUAL_GRAIN), USUAL_ENTRIES)};

    l.directory_sectors = divide_up(l.tables * 4, 512);
    l.table_sectors = USUAL_ENTRIES * 4 / 512;
    l.spare = 1 + DESCRIPTOR_SECTORS;
    l.directory = l.spare + l.directory_sectors + l.tables * l.table_sectors;
    l.data = round_up((l.directory + l.directory_sectors + l.tables * l.table_sectors) * 512, USUAL_GRAIN) / 512;
    return l;
}

void vmdk_put_header(uint8_t h[HEADER_BYTES], const struct wish *w)
{
    struct layout l = lay_out(w->size);

    memset(h, 0, HEADER_BYTES);
    put_le32(h, MAGIC);
    put_le32(h + VERSION, w->zero_grains ? 2 : 1);
    put_le32(h + FLAGS, HAS_NEWLINES | HAS_SPARE | (w->zero_grains ? HAS_ZERO_GRAINS : 0));
    put_le64(h + CAPACITY, w->size / 512);
    put_le64(h + GRAIN, USUAL_GRAIN / 512);
    put_le64(h + DESCRIPTOR, w->subformat == SUB_EXTENT ? 0 : 1);
    put_le64(h + DESCRIPTOR_SIZE, w->subformat == SUB_EXTENT ? 0 : DESCRIPTOR_SECTORS);
    put_le32(h + TABLE_ENTRIES, USUAL_ENTRIES);
    put_le64(h + SPARE_DIRECTORY, l.spare);
    put_le64(h + DIRECTORY, l.directory);
    put_le64(h + OVERHEAD, l.data);
    memcpy(h + NEWLINES, "\n \r\n", 4);
}

static int put_directory(struct bp_block_child *file, uint64_t sector, const struct layout *l)
{
    uint64_t bytes = l->directory_sectors * 512;
    uint8_t *d = calloc(1, (size_t)bytes + 1);
    int ret = d ? 0 : -ENOMEM;

    for (uint64_t i = 0; ret == 0 && i < l->tables; i++)
        put_le32(d + i * 4, (uint32_t)(sector + l->directory_sectors + i * l->table_sectors));
    if (ret == 0 && bytes)
        ret = format_io(file, BP_BLOCK_WRITE, sector * 512, d, bytes);
    free(d);
    return ret;
}

static int make_sparse(struct bp_block_child *file, const struct wish *w, const char *descriptor)
{
    struct layout l = lay_out(w->size);
    uint8_t h[HEADER_BYTES];
    int ret = block->child_resize(file, l.data * 512, false, NULL);

    vmdk_put_header(h, w);
    if (ret == 0)
        ret = format_io(file, BP_BLOCK_WRITE, 0, h, sizeof(h));
    if (ret == 0 && descriptor)
        ret = format_io(file, BP_BLOCK_WRITE, 512, (void *)(uintptr_t)descriptor, strlen(descriptor));
    if (ret == 0)
        ret = put_directory(file, l.spare, &l);
    return ret == 0 ? put_directory(file, l.directory, &l) : ret;
}

/* ---- files beside the descriptor ---- */

static int make_extent(const char *path, bool sparse, uint64_t size, struct bp_error *err)
{
    struct bp_value *o = bp_value_dict(), *file;
    int ret;

    bp_value_set(o, "driver", bp_value_string("file"));
    bp_value_set(o, "filename", bp_value_string(path));
    bp_value_set(o, "size", bp_value_uint(sparse ? 0 : size));
    ret = block->image_create(o, err);
    if (ret == 0 && sparse) {
        file = bp_value_dict();
        bp_value_set(file, "driver", bp_value_string("file"));
        bp_value_set(file, "filename", bp_value_string(path));
        bp_value_unref(o);
        o = bp_value_dict();
        bp_value_set(o, "driver", bp_value_string("vmdk"));
        bp_value_set(o, "file", file);
        bp_value_set(o, "subformat", bp_value_string("extent"));
        bp_value_set(o, "size", bp_value_uint(size));
        ret = block->image_create(o, err);
    }
    bp_value_unref(o);
    return ret;
}

static int make_extents(const char *image, const struct wish *w, struct bp_error *err)
{
    const char *slash = strrchr(image, '/'), *dot = strrchr(slash ? slash : image, '.');
    int stem = (int)(dot ? (size_t)(dot - image) : strlen(image)), ret = 0;
    uint64_t left = w->size, most = w->subformat == SUB_FLAT ? UINT64_MAX : SPLIT;

    for (unsigned i = 1; ret == 0 && (left > 0 || (i == 1 && w->subformat == SUB_FLAT)); i++) {
        uint64_t n = left < most ? left : most;
        char *path = NULL;
        int r = w->subformat == SUB_FLAT ? asprintf(&path, "%.*s-flat.vmdk", stem, image)
                : asprintf(&path, "%.*s-%c%03u.vmdk", stem, image, w->subformat == SUB_SPLIT_FLAT ? 'f' : 's', i);

        ret = r < 0 ? bp_fail(err, ENOMEM, "no memory") : make_extent(path, w->subformat == SUB_SPLIT_SPARSE, n, err);
        free(path);
        left -= n;
    }
    return ret;
}

static int make_image(struct bp_block_child *file, struct wish *w, const char *image, struct bp_error *err)
{
    const char *slash = strrchr(image, '/');
    char *text = descriptor_make(w, slash ? slash + 1 : image);
    bool inside = w->subformat == SUB_SPARSE || w->subformat == SUB_STREAM;
    int ret = text ? 0 : -ENOMEM;

    if (ret == 0 && inside && strlen(text) > DESCRIPTOR_SECTORS * 512)
        ret = -ENAMETOOLONG;
    if (ret == 0)
        ret = w->subformat == SUB_SPARSE ? make_sparse(file, w, text) : w->subformat == SUB_STREAM
              ? stream_make(file, w, text) : format_io(file, BP_BLOCK_WRITE, 0, text, strlen(text));
    if (ret < 0)
        bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret));
    else if (!inside)
        ret = make_extents(image, w, err);
    free(text);
    return ret;
}

int vmdk_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    const char *image = block->image_filename(block->child_node(file));
    uint8_t random[16];
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret == 0 && w.subformat != SUB_EXTENT && strpbrk(image, "\"\n"))
        ret = bp_fail(err, EINVAL, "vmdk: a descriptor cannot have the file name '%s'", image);
    if (ret == 0 && !*image && w.subformat != SUB_SPARSE && w.subformat != SUB_STREAM && w.subformat != SUB_EXTENT)
        ret = bp_fail(err, ENOTSUP, "vmdk: images of several files need a file name");
    if (ret == 0 && w.backing)
        ret = take_parent(image, &w, err);
    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret < 0)
        return ret;
    format_uuid(random);
    w.cid = get_le32(random) & 0x7fffffff;
    if (w.subformat != SUB_EXTENT)
        return make_image(file, &w, image, err);
    ret = make_sparse(file, &w, NULL);
    return ret < 0 ? bp_fail(err, -ret, "the extent could not be made: %s", strerror(-ret)) : 0;
}

int vmdk_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                 struct bp_error *err)
{
    struct wish w;
    int r = take_wish(options, &w, err);
    uint64_t tables;

    (void)size;
    if (r < 0)
        return r;
    tables = lay_out(w.size).data * 512;
    if (w.subformat == SUB_FLAT || w.subformat == SUB_SPLIT_FLAT)
        ret->required = ret->fully_allocated = w.size + 1024;
    else {
        ret->required = tables + round_up(used < w.size ? used : w.size, USUAL_GRAIN);
        ret->fully_allocated = tables + round_up(w.size, USUAL_GRAIN);
    }
    return 0;
}
