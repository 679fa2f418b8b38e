/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Block tables ("mish"), as they lie in the property list in base 64. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dmg.h"

enum { FIRST_SECTOR = 8, TABLE_SECTORS = 16, DATA_OFFSET = 24, ENTRIES = 200, ENTRY = 204, ENTRY_BYTES = 40 };

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* `to` has room for three bytes of each four. */
static size_t from_base64(const char *text, size_t length, uint8_t *to)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        int v = value_of(text[i]);

        if (v < 0)
            continue;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[n++] = (uint8_t)(bits >> have);
        }
    }
    return n;
}

/* 1: it is no data (a comment, the end). */
static int packing_of(uint32_t type, enum packing *ret, struct bp_error *err)
{
    switch (type) {
    case 0: case 2: *ret = PACKING_ZERO; return 0;
    case 1: *ret = PACKING_NONE; return 0;
    case 0x80000005u: *ret = PACKING_ZLIB; return 0;
#ifdef HAVE_BZIP2
    case 0x80000006u: *ret = PACKING_BZIP2; return 0;
#else
    case 0x80000006u: return bp_fail(err, ENOTSUP, "dmg: the image is compressed with bzip2, which this build lacks");
#endif
    case 0x7ffffffeu: case 0xffffffffu: return 1;
    case 0x80000004u: return bp_fail(err, ENOTSUP, "dmg: images that are compressed with ADC are not built");
    case 0x80000007u: return bp_fail(err, ENOTSUP, "dmg: images that are compressed with LZFSE are not built");
    case 0x80000008u: return bp_fail(err, ENOTSUP, "dmg: images that are compressed with LZMA are not built");
    default: return bp_fail(err, EINVAL, "dmg: a chunk of type 0x%x is not known", type);
    }
}

static int take_entry(struct dmg *s, const uint8_t *e, uint64_t first, uint64_t base, struct bp_error *err)
{
    const uint64_t most = BP_BLOCK_MAX_LENGTH / 512;
    uint64_t sector = get_be64(e + 8), sectors = get_be64(e + 16), host = get_be64(e + 24), bytes = get_be64(e + 32);
    struct chunk c, *more;
    int ret = packing_of(get_be32(e), &c.packing, err);

    if (ret || sectors == 0)
        return ret < 0 ? ret : 0;
    if (sector > most || first > most || sectors > most - sector || sector + sectors > most - first)
        return bp_fail(err, EINVAL, "dmg: a chunk is beyond the end of the longest disk");
    c.start = (first + sector) * 512;
    c.bytes = sectors * 512;
    c.packed = c.packing == PACKING_ZERO ? 0 : bytes;
    c.host = c.packing == PACKING_ZERO ? 0 : base + host;
    if (c.packing != PACKING_ZERO && (base > s->there || host > s->there - base || bytes > s->there - base - host))
        return bp_fail(err, EINVAL, "dmg: a chunk of %llu bytes cannot be at %llu", (unsigned long long)bytes,
                       (unsigned long long)host);
    if (c.packing == PACKING_NONE && bytes < c.bytes)
        return bp_fail(err, EINVAL, "dmg: a chunk that is not compressed is shorter than what it stands for");
    if (c.packing > PACKING_NONE && (c.bytes > MOST_CHUNK || bytes > 2u * MOST_CHUNK))
        return bp_fail(err, EFBIG, "dmg: a compressed chunk of %llu bytes is too large", (unsigned long long)c.bytes);
    if (s->count >= MOST_CHUNKS)
        return bp_fail(err, EFBIG, "dmg: the image has more than %u chunks", MOST_CHUNKS);
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        more = realloc(s->list, s->room * sizeof(*more));
        if (!more)
            return bp_fail(err, ENOMEM, "dmg: no memory for its chunks");
        s->list = more;
    }
    s->list[s->count++] = c;
    return 0;
}

static int read_table(struct dmg *s, const uint8_t *t, size_t length, struct bp_error *err)
{
    uint32_t n = length >= ENTRY ? get_be32(t + ENTRIES) : 0;
    int ret = 0;

    if (length < ENTRY || memcmp(t, "mish", 4) != 0 || n > (length - ENTRY) / ENTRY_BYTES)
        return bp_fail(err, EINVAL, "dmg: a block table is damaged");
    for (uint32_t i = 0; ret == 0 && i < n; i++)
        ret = take_entry(s, t + ENTRY + (size_t)i * ENTRY_BYTES, get_be64(t + FIRST_SECTOR),
                         s->data + get_be64(t + DATA_OFFSET), err);
    return ret;
}

int dmg_read_plist(struct dmg *s, const char *text, struct bp_error *err)
{
    const char *at = strstr(text, "<key>blkx</key>"), *end = at ? strstr(at, "</array>") : NULL;
    int ret = 0;

    if (!end)
        return bp_fail(err, EINVAL, "dmg: the property list has no block tables");
    while (ret == 0 && (at = strstr(at, "<data>")) != NULL && at < end) {
        const char *last = strstr(at, "</data>");
        uint8_t *table;

        at += 6;
        if (!last)
            return bp_fail(err, EINVAL, "dmg: the property list is cut off");
        table = malloc((size_t)(last - at) / 4 * 3 + 3);
        if (!table)
            return bp_fail(err, ENOMEM, "dmg: no memory for a block table");
        ret = read_table(s, table, from_base64(at, (size_t)(last - at), table), err);
        free(table);
        at = last;
    }
    return ret;
}

static int by_start(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

int dmg_sort(struct dmg *s, struct bp_error *err)
{
    if (s->count)
        qsort(s->list, s->count, sizeof(*s->list), by_start);
    for (uint32_t i = 1; i < s->count; i++)
        if (s->list[i].start < s->list[i - 1].start + s->list[i - 1].bytes)
            return bp_fail(err, EINVAL, "dmg: two chunks stand for the same sectors, at %llu",
                           (unsigned long long)(s->list[i].start / 512));
    return 0;
}
