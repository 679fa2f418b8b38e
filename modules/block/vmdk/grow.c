/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sparse images of one file become longer: tables of new grains, and directories that have room for them, go to the end
 * of the file; then the header, which is one sector, says so; the descriptor in it follows. Under the lock.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmdk.h"

struct growth {
    uint64_t tables, old_tables, table_bytes, room; /* room: bytes of a directory, in whole sectors */
    uint64_t at, bytes;                             /* what is new at the end of the file */
    bool moves;                                     /* there are new directories at its beginning */
};

static struct growth plan(const struct extent *e, uint64_t length)
{
    unsigned copies = e->spare ? 2 : 1;
    struct growth g = {.tables = divide_up(divide_up(length, e->grain), e->entries),
                       .old_tables = divide_up(divide_up(e->bytes, e->grain), e->entries),
                       .table_bytes = round_up((uint64_t)e->entries * 4, 512), .at = e->end};

    g.room = round_up(g.tables * 4, 512);
    g.moves = g.room > round_up(g.old_tables * 4, 512);
    g.bytes = round_up(copies * ((g.moves ? g.room : 0) + (g.tables - g.old_tables) * g.table_bytes), e->grain);
    return g;
}

/* The n-th copy of a directory: the tables that it had, and its new ones. */
static int grow_directory(struct extent *e, const struct growth *g, unsigned n, uint64_t old, uint64_t to)
{
    uint64_t first = g->at + (g->moves ? (e->spare ? 2 : 1) * g->room : 0) +
                     n * (g->tables - g->old_tables) * g->table_bytes;
    uint8_t *d = calloc(1, (size_t)g->room + 1);
    int ret = d ? format_io(e->file, BP_BLOCK_READ, old, d, g->old_tables * 4) : -ENOMEM;

    for (uint64_t i = g->old_tables; ret == 0 && i < g->tables; i++)
        put_le32(d + i * 4, (uint32_t)((first + (i - g->old_tables) * g->table_bytes) / 512));
    if (ret == 0)
        ret = format_io(e->file, BP_BLOCK_WRITE, to, d, g->room);
    meta_drop(&e->meta, to, g->room);
    free(d);
    return ret;
}

static int switch_header(struct extent *e, uint64_t directory, uint64_t spare, uint64_t length)
{
    uint8_t h[HEADER_BYTES];
    int ret = format_io(e->file, BP_BLOCK_READ, 0, h, sizeof(h));

    put_le64(h + CAPACITY, length / 512);
    put_le64(h + DIRECTORY, directory / 512);
    if (spare)
        put_le64(h + SPARE_DIRECTORY, spare / 512);
    if (ret == 0)
        ret = format_io(e->file, BP_BLOCK_WRITE, 0, h, sizeof(h));
    return ret == 0 ? meta_sync(&e->meta) : ret;
}

/* Tables and directories are safe before the header leads to them. */
static int extent_grow(struct extent *e, uint64_t length)
{
    struct growth g = plan(e, length);
    uint64_t spare = g.moves && e->spare ? g.at : e->spare;
    uint64_t directory = !g.moves ? e->directory : e->spare ? g.at + g.room : g.at;
    int ret = (g.at + g.bytes) / 512 > UINT32_MAX ? -EFBIG : 0;

    if (ret == 0 && g.bytes) {
        ret = file_zeroes(e->file, g.at, g.bytes);
        meta_drop(&e->meta, g.at, g.bytes);
    }
    if (ret == 0)
        ret = meta_sync(&e->meta);
    if (ret == 0 && g.tables > g.old_tables)
        ret = grow_directory(e, &g, 0, e->directory, directory);
    if (ret == 0 && g.tables > g.old_tables && e->spare)
        ret = grow_directory(e, &g, 1, e->spare, spare);
    if (ret == 0)
        ret = meta_sync(&e->meta);
    if (ret == 0)
        ret = switch_header(e, directory, spare, length);
    if (ret < 0)
        return ret;
    e->directory = directory;
    e->spare = spare;
    e->end += g.bytes;
    e->bytes = length;
    return 0;
}

/* ---- the descriptor ---- */

/* The number after the words becomes another one. */
static void put_line(FILE *f, const char *line, size_t n, const char *words, uint64_t number)
{
    size_t skip = strlen(words), digits = strspn(line + skip, "0123456789");

    fprintf(f, "%.*s%llu%.*s", (int)skip, line, (unsigned long long)number, (int)(n - skip - digits),
            line + skip + digits);
}

static char *with_size(const char *text, uint64_t sectors)
{
    static const char cylinders[] = "ddb.geometry.cylinders = \"", heads_are[] = "ddb.geometry.heads = \"";
    const char *found = strstr(text, heads_are);
    uint64_t heads = found ? strtoull(found + sizeof(heads_are) - 1, NULL, 10) : 0;
    char *made = NULL;
    size_t length;
    FILE *f = open_memstream(&made, &length);

    if (!f)
        return NULL;
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");

        n += line[n] == '\n';
        if (!strncmp(line, "RW ", 3))
            put_line(f, line, n, "RW ", sectors);
        else if (heads && !strncmp(line, cylinders, sizeof(cylinders) - 1))
            put_line(f, line, n, cylinders, sectors / heads / 63);
        else
            fwrite(line, 1, n, f);
        line += n;
    }
    if (fclose(f) == 0)
        return made;
    free(made);
    return NULL;
}

/* What the header says counts: a descriptor that is behind it harms nobody. */
static int rewrite_descriptor(struct vmdk *s, uint64_t length)
{
    uint8_t *all = calloc(1, (size_t)s->descriptor_bytes + 1);
    char *old = NULL, *made = NULL;
    int ret = all ? descriptor_read(s, &old, NULL) : -ENOMEM;

    if (ret == 0) {
        made = with_size(old, length / 512);
        ret = !made ? -ENOMEM : strlen(made) > s->descriptor_bytes ? -ENOSPC : 0;
    }
    if (ret == 0) { /* the sectors that have had, or have, any of it */
        size_t n = strlen(old) > strlen(made) ? strlen(old) : strlen(made);

        memcpy(all, made, strlen(made));
        ret = format_io(s->sparse.file, BP_BLOCK_WRITE, s->descriptor, all,
                        round_up(n, 512) < s->descriptor_bytes ? round_up(n, 512) : s->descriptor_bytes);
    }
    free(all);
    free(old);
    free(made);
    return ret;
}

int vmdk_grow(struct sparse *sparse, uint64_t length, struct bp_error *err)
{
    struct vmdk *s = (struct vmdk *)sparse;
    struct extent *e = &s->extents[0];
    int ret;

    if (s->count != 1 || e->kind != EXTENT_SPARSE || e->file != sparse->file || e->cow)
        return bp_fail(err, ENOTSUP, "vmdk: only images of one sparse file (monolithicSparse) are made longer");
    if (length > MOST_SPARSE)
        return bp_fail(err, EFBIG, "vmdk: a sparse extent has at most %llu bytes", (unsigned long long)MOST_SPARSE);
    ret = extent_grow(e, length);
    if (ret == 0 && s->descriptor_bytes)
        ret = rewrite_descriptor(s, length);
    if (ret == 0)
        ret = meta_sync(&e->meta);
    return ret < 0 ? bp_fail(err, -ret, "vmdk: the image cannot be made longer: %s", strerror(-ret)) : 0;
}
