/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New disks, fixed and dynamic. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "vpc.h"

#define EPOCH 946684800 /* 2000-01-01, where the format's time begins */
#define USUAL_BLOCK (2u << 20)

struct geometry {
    uint32_t cylinders, heads, sectors;
};

struct wish {
    uint64_t size;
    bool fixed, exact;
    struct geometry geometry;
    uint32_t entries, data; /* data: where the first block or the footer goes */
};

uint32_t vpc_sum(const uint8_t *bytes, unsigned n, unsigned at)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += i >= at && i < at + 4 ? 0 : bytes[i];
    return ~sum;
}

/* The specification's appendix: CHS calculation. */
static struct geometry geometry_of(uint64_t total)
{
    struct geometry g = {.sectors = 17};
    uint64_t tracks;

    if (total > UINT64_C(65535) * 16 * 255)
        total = UINT64_C(65535) * 16 * 255;
    if (total >= UINT64_C(65535) * 16 * 63) {
        g.sectors = 255;
        g.heads = 16;
        tracks = total / g.sectors;
    } else {
        tracks = total / 17;
        g.heads = (uint32_t)((tracks + 1023) / 1024);
        g.heads = g.heads < 4 ? 4 : g.heads;
        if (tracks >= g.heads * 1024 || g.heads > 16) {
            g.sectors = 31;
            g.heads = 16;
            tracks = total / g.sectors;
        }
        if (tracks >= g.heads * 1024) {
            g.sectors = 63;
            g.heads = 16;
            tracks = total / g.sectors;
        }
    }
    g.cylinders = (uint32_t)(tracks / g.heads);
    return g;
}

/* The smallest disk of at least so many sectors that is whole cylinders: readers differ in which of both sizes they
 * take, so they are the same. */
static void whole_cylinders(struct wish *w)
{
    uint64_t total = w->size / 512, most = UINT64_C(65535) * 16 * 255, have = 0;

    w->geometry = geometry_of(total);
    if (total > most || total == 0)
        return;
    for (uint64_t more = total; more <= most && have < total; more++) {
        w->geometry = geometry_of(more);
        have = (uint64_t)w->geometry.cylinders * w->geometry.heads * w->geometry.sectors;
    }
    if (have >= total)
        w->size = have * 512;
}

static int take_wish(struct bp_value *options, struct wish *w, struct bp_error *err)
{
    static const char *const kinds[] = {"dynamic", "fixed", NULL};
    unsigned kind = 0;
    int ret;

    *w = (struct wish){.size = 0};
    ret = option_disk_size(options, MOST_BYTES, &w->size, err);
    if (ret == 0)
        ret = option_choice(options, "subformat", kinds, &kind, err);
    if (ret == 0)
        ret = option_switch(options, bp_value_has(options, "force-size") ? "force-size" : "force_size", &w->exact, err);
    if (ret < 0)
        return ret;
    w->fixed = kind == 1;
    if (w->exact)
        w->geometry = geometry_of(w->size / 512);
    else
        whole_cylinders(w);
    w->entries = (uint32_t)divide_up(w->size, USUAL_BLOCK);
    w->data = FOOTER_BYTES + HEADER_BYTES + (uint32_t)round_up((uint64_t)w->entries * 4, 512);
    return 0;
}

static void fill_footer(uint8_t *f, const struct wish *w)
{
    memset(f, 0, FOOTER_BYTES);
    memcpy(f, "conectix", 8);
    put_be32(f + FEATURES, 2);
    put_be32(f + FOOTER_VERSION, 0x10000);
    put_be64(f + DATA_OFFSET, w->fixed ? UINT64_MAX : FOOTER_BYTES);
    put_be32(f + TIME, (uint32_t)(time(NULL) - EPOCH));
    memcpy(f + CREATOR, w->exact ? "win " : "bkpl", 4); /* of "win " everyone takes the exact size */
    put_be32(f + CREATOR_VERSION, 0x10000);
    memcpy(f + CREATOR_HOST, "Wi2k", 4);
    put_be64(f + ORIGINAL_SIZE, w->size);
    put_be64(f + CURRENT_SIZE, w->size);
    put_be16(f + CYLINDERS, (uint16_t)w->geometry.cylinders);
    f[HEADS] = (uint8_t)w->geometry.heads;
    f[SECTORS] = (uint8_t)w->geometry.sectors;
    put_be32(f + DISK_TYPE, w->fixed ? FIXED : DYNAMIC);
    format_uuid(f + FOOTER_UUID);
    put_be32(f + FOOTER_SUM, vpc_sum(f, FOOTER_BYTES, FOOTER_SUM));
}

/* Everyone takes it for exact from now on, whatever the geometry is. */
void vpc_set_size(uint8_t *f, uint64_t size)
{
    struct geometry g = geometry_of(size / 512);

    memcpy(f + CREATOR, "win ", 4);
    put_be64(f + CURRENT_SIZE, size);
    put_be16(f + CYLINDERS, (uint16_t)g.cylinders);
    f[HEADS] = (uint8_t)g.heads;
    f[SECTORS] = (uint8_t)g.sectors;
    put_be32(f + FOOTER_SUM, vpc_sum(f, FOOTER_BYTES, FOOTER_SUM));
}

static int write_header(struct bp_block_child *file, const struct wish *w)
{
    uint8_t h[HEADER_BYTES] = "cxsparse";
    int ret;

    put_be64(h + NEXT, UINT64_MAX);
    put_be64(h + TABLE_OFFSET, FOOTER_BYTES + HEADER_BYTES);
    put_be32(h + HEADER_VERSION, 0x10000);
    put_be32(h + TABLE_ENTRIES, w->entries);
    put_be32(h + BLOCK_SIZE, USUAL_BLOCK);
    put_be32(h + HEADER_SUM, vpc_sum(h, HEADER_BYTES, HEADER_SUM));
    ret = format_io(file, BP_BLOCK_WRITE, FOOTER_BYTES, h, sizeof(h));
    memset(h, 0xff, sizeof(h));
    for (uint64_t at = FOOTER_BYTES + HEADER_BYTES; ret == 0 && at < w->data; at += 512)
        ret = format_io(file, BP_BLOCK_WRITE, at, h, 512);
    return ret;
}

int vpc_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    uint8_t footer[FOOTER_BYTES];
    struct wish w;
    int ret = take_wish(options, &w, err);

    if (ret == 0)
        ret = block->child_resize(file, 0, false, err);
    if (ret == 0 && w.fixed)
        ret = block->child_resize(file, w.size + FOOTER_BYTES, false, err);
    if (ret < 0)
        return ret;
    fill_footer(footer, &w);
    if (!w.fixed)
        ret = write_header(file, &w);
    if (ret == 0 && !w.fixed)
        ret = format_io(file, BP_BLOCK_WRITE, 0, footer, sizeof(footer));
    if (ret == 0)
        ret = format_io(file, BP_BLOCK_WRITE, w.fixed ? w.size : w.data, footer, sizeof(footer));
    return ret < 0 ? bp_fail(err, -ret, "the image could not be made: %s", strerror(-ret)) : 0;
}

int vpc_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                struct bp_error *err)
{
    const uint64_t whole = USUAL_BLOCK + 512;
    struct wish w;
    int r = take_wish(options, &w, err);

    (void)size;
    if (r < 0)
        return r;
    ret->fully_allocated = w.fixed ? w.size + FOOTER_BYTES : w.data + w.entries * whole + FOOTER_BYTES;
    ret->required = w.fixed ? ret->fully_allocated
                            : w.data + divide_up(used < w.size ? used : w.size, USUAL_BLOCK) * whole + FOOTER_BYTES;
    return 0;
}
