/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New images, and how long they will be. */
#include <errno.h>
#include <string.h>

#include "qed.h"

struct wish {
    uint64_t size, cluster, table; /* table: clusters */
    const char *backing, *backing_format;
};

static int take_wish(struct bp_value *options, struct wish *w, struct bp_error *err)
{
    int ret;

    *w = (struct wish){.cluster = 65536, .table = 4, .backing = bp_value_get_string(options, "backing-file"),
                       .backing_format = bp_value_get_string(options, "backing-fmt")};
    ret = option_size(options, "cluster-size", &w->cluster, err);
    if (ret == 0)
        ret = option_size(options, "table-size", &w->table, err);
    if (ret < 0)
        return ret;
    if (w->cluster < 4096 || w->cluster > 64u << 20 || w->cluster & (w->cluster - 1))
        return bp_fail(err, EINVAL, "option 'cluster_size' expects a power of two from 4k to 64M");
    if (w->table < 1 || w->table > 16 || w->table & (w->table - 1))
        return bp_fail(err, EINVAL, "option 'table_size' expects 1, 2, 4, 8 or 16 clusters");
    if (w->backing && (strlen(w->backing) > MOST_NAME || !*w->backing))
        return bp_fail(err, EINVAL, "a backing file's name in the image has 1 to %u bytes", MOST_NAME);
    return option_disk_size(options, qed_most(w->cluster, w->table), &w->size, err);
}

int qed_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    struct qed s = {.sparse = {.file = file}};
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret == 0) /* the header and an L1 table of zeroes */
        ret = block->child_resize(file, w.cluster * (1 + w.table), false, err);
    if (ret < 0)
        return ret;
    s.sparse.block = (uint32_t)w.cluster;
    s.sparse.length = w.size;
    s.table = (uint32_t)w.table;
    s.header = 1;
    s.l1 = w.cluster;
    s.backing_file = (char *)(uintptr_t)w.backing;
    if (w.backing)
        s.features = HAS_BACKING | (w.backing_format && !strcmp(w.backing_format, "raw") ? BACKING_RAW : 0);
    ret = qed_write_header(&s);
    return ret < 0 ? bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret)) : 0;
}

int qed_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                struct bp_error *err)
{
    uint64_t tables;
    struct wish w;
    int r = take_wish(options, &w, err);

    (void)size;
    if (r < 0)
        return r;
    used = round_up(used < w.size ? used : w.size, w.cluster);
    tables = divide_up(divide_up(w.size, w.cluster), w.cluster * w.table / 8);
    tables = (1 + w.table + tables * w.table) * w.cluster;
    ret->required = tables + used;
    ret->fully_allocated = tables + round_up(w.size, w.cluster);
    return 0;
}
