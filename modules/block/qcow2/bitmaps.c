/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps in an image (the specification's bitmaps extension). While the image is written to, each says that it
 * is in use, and what is in the file is of no use; the whole set is written anew when that ends. An entry that is not
 * known here in every detail, or was left in use, stays as it lies there.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "qcow2.h"

#define EXTENSION_BYTES 24u
#define ENTRY_BYTES 24u
#define MOST_BITMAPS 65535u
#define MOST_DIRECTORY (64u << 20) /* bytes */
#define MOST_BYTES (UINT64_C(1) << 30) /* of one */
#define TYPE_DIRTY 1u
#define LEAST_BITS 9u /* of a granularity */
#define MOST_GRANULARITY_BITS 31u
enum { IN_USE = 1, ENABLED = 2 };
#define RESERVED UINT64_C(0xff000000000001fe) /* of an entry of a table */

/* The directory, as it lies in the file. */
struct directory {
    uint8_t *data;
    uint64_t offset, size;
    uint32_t count;
};

static struct extension *extension_of(const struct qcow *s)
{
    struct extension *e = s->extensions;

    while (e && e->type != EXT_BITMAPS)
        e = e->next;
    return e;
}

static uint64_t entry_bytes(const uint8_t *at)
{
    return up(ENTRY_BYTES + (uint64_t)get_be32(at + 20) + get_be16(at + 18), 8);
}

/* Each entry lies within it. */
static bool well_formed(const struct directory *d)
{
    uint64_t at = 0;
    uint32_t n = 0;

    for (; at + ENTRY_BYTES <= d->size && n < d->count; n++) {
        uint64_t bytes = entry_bytes(d->data + at);

        if (bytes > d->size - at || get_be16(d->data + at + 18) == 0 || get_be16(d->data + at + 18) > MAX_NAME)
            return false;
        at += bytes;
    }
    return n == d->count && at == d->size;
}

/* *ret->data NULL: there is none. */
static int read_directory(struct qcow *s, struct directory *ret)
{
    const struct extension *e = extension_of(s);
    struct directory d;
    int r;

    *ret = (struct directory){NULL, 0, 0, 0};
    if (!e || !(s->autoclear & AUTOCLEAR_BITMAPS))
        return 0;
    if (e->length < EXTENSION_BYTES)
        return -EINVAL;
    d = (struct directory){NULL, get_be64(e->data + 16), get_be64(e->data + 8), get_be32(e->data)};
    if (d.count == 0 || d.count > MOST_BITMAPS || d.size == 0 || d.size > MOST_DIRECTORY ||
        d.offset & (s->cluster - 1) || d.offset == 0 || d.offset > INT64_MAX - MOST_DIRECTORY)
        return -EINVAL;
    d.data = malloc(d.size);
    r = d.data ? io_child(s, s->file, BP_BLOCK_READ, d.offset, d.data, d.size) : -ENOMEM;
    if (r == 0 && !well_formed(&d))
        r = -EINVAL;
    if (r < 0)
        free(d.data);
    else
        *ret = d;
    return r;
}

/* ---- reading ---- */

static uint64_t bytes_for(const struct qcow *s, unsigned granularity_bits)
{
    uint64_t parts = (s->size >> granularity_bits) + ((s->size & ((UINT64_C(1) << granularity_bits) - 1)) != 0);

    return up(parts, 64) / 8;
}

/* Parts that are beyond the end of the disk are none. */
static void cut_end(const struct qcow *s, uint64_t *words, uint64_t bytes, unsigned granularity_bits)
{
    uint64_t parts = (s->size >> granularity_bits) + ((s->size & ((UINT64_C(1) << granularity_bits) - 1)) != 0);

    if (bytes && parts % 64)
        words[bytes / 8 - 1] &= (UINT64_C(1) << parts % 64) - 1;
}

/* *ret_words malloc'd, `bytes` long. */
static int read_bits(struct qcow *s, const uint8_t *entry, uint64_t bytes, uint64_t **ret_words)
{
    uint64_t table_at = get_be64(entry), clusters = up(bytes, s->cluster) >> s->cluster_bits;
    uint8_t *table = malloc(clusters ? clusters * 8 : 1);
    uint64_t *words = calloc(1, bytes ? bytes : 1);
    int ret = table && words ? 0 : -ENOMEM;

    if (ret == 0 && clusters && (table_at & (s->cluster - 1) || !table_at || table_at > INT64_MAX - clusters * 8))
        ret = -EINVAL;
    if (ret == 0 && clusters)
        ret = io_child(s, s->file, BP_BLOCK_READ, table_at, table, clusters * 8);
    for (uint64_t i = 0; ret == 0 && i < clusters; i++) {
        uint64_t place = get_be64(table + 8 * i), at = i << s->cluster_bits;
        uint64_t n = bytes - at < s->cluster ? bytes - at : s->cluster;

        if (place & RESERVED || (place & OFFSET_MASK && (place & 1 || place & OFFSET_MASK & (s->cluster - 1))))
            ret = -EINVAL;
        else if (place & OFFSET_MASK)
            ret = io_child(s, s->file, BP_BLOCK_READ, place & OFFSET_MASK, (char *)words + at, n);
        else if (place & 1)
            memset((char *)words + at, 0xff, n);
    }
    free(table);
    if (ret < 0) {
        free(words);
        return ret;
    }
    for (uint64_t i = 0; i < bytes / 8; i++)
        words[i] = le64toh(words[i]);
    *ret_words = words;
    return 0;
}

static bool is_usable(const struct qcow *s, const uint8_t *entry)
{
    unsigned granularity = entry[17];
    uint64_t bytes;

    if (get_be32(entry + 12) & ~(uint32_t)ENABLED || entry[16] != TYPE_DIRTY || get_be32(entry + 20) ||
        granularity < LEAST_BITS || granularity > MOST_GRANULARITY_BITS)
        return false;
    bytes = bytes_for(s, granularity);
    return bytes <= MOST_BYTES && get_be32(entry + 8) == up(bytes, s->cluster) >> s->cluster_bits;
}

static int load_one(struct qcow *s, const uint8_t *entry,
                    int (*add)(void *opaque, const struct bp_block_bitmap *bitmap), void *opaque)
{
    unsigned length = get_be16(entry + 18), granularity = entry[17];
    struct bp_block_bitmap b = {.size = sizeof(b), .enabled = get_be32(entry + 12) & ENABLED, .length = s->size,
                                .granularity = granularity >= LEAST_BITS && granularity <= MOST_GRANULARITY_BITS
                                                   ? UINT64_C(1) << granularity : 65536};
    uint64_t *words = NULL, bytes = 0;
    char *name = bp_alloc(length + 1);
    int ret = 0;

    memcpy(name, entry + ENTRY_BYTES + get_be32(entry + 20), length);
    name[length] = '\0';
    b.name = name;
    b.inconsistent = !is_usable(s, entry);
    if (!b.inconsistent) /* else the granularity may be anything */
        bytes = bytes_for(s, granularity);
    if (!b.inconsistent && read_bits(s, entry, bytes, &words) < 0)
        b.inconsistent = true;
    if (!b.inconsistent)
        cut_end(s, words, bytes, granularity);
    b.bits = words;
    ret = strlen(name) == length ? add(opaque, &b) : -EINVAL;
    free(words);
    free(name);
    return ret;
}

int qcow_bitmaps_load(struct bp_block_node *node, int (*add)(void *opaque, const struct bp_block_bitmap *bitmap),
                      void *opaque, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    struct directory d;
    uint64_t at = 0;
    int ret = read_directory(s, &d);

    if (ret == -EINVAL) {
        bp_warn("qcow2: node '%s': the directory of its bitmaps is damaged: there are none", block->node_name(node));
        return 0;
    }
    for (uint32_t i = 0; ret == 0 && i < d.count; i++) {
        ret = load_one(s, d.data + at, add, opaque);
        at += entry_bytes(d.data + at);
    }
    free(d.data);
    return ret < 0 ? bp_fail(err, -ret, "qcow2: its bitmaps cannot be read: %s", strerror(-ret)) : 0;
}

int qcow_bitmaps_use(struct bp_block_node *node, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    struct directory d;
    uint64_t at = 0;
    int ret;

    if (s->version < 3)
        return bp_fail(err, ENOTSUP, "qcow2: images of version 2 have no bitmaps");
    if (s->bitmaps_kept)
        return 0;
    bp_co_mutex_lock(s->lock);
    ret = read_directory(s, &d);
    for (uint32_t i = 0; ret == 0 && i < d.count; i++) {
        put_be32(d.data + at + 12, get_be32(d.data + at + 12) | IN_USE);
        at += entry_bytes(d.data + at);
    }
    if (ret == 0 && d.count)
        ret = io_child(s, s->file, BP_BLOCK_WRITE, d.offset, d.data, d.size);
    if (ret == 0 && d.count)
        ret = meta_sync(&s->meta);
    s->bitmaps_kept = ret == 0 && d.count;
    free(d.data);
    bp_co_mutex_unlock(s->lock);
    return ret < 0 && ret != -EINVAL
               ? bp_fail(err, -ret, "qcow2: its bitmaps cannot be marked: %s", strerror(-ret)) : 0;
}

/* ---- writing; under the lock ---- */

/* What is new in the file, to be given back if it comes to nothing. */
struct made {
    struct made *next;
    uint64_t offset, clusters;
};

static int room(struct qcow *s, struct made **list, uint64_t bytes, uint64_t *ret_offset)
{
    uint64_t clusters = up(bytes, s->cluster) >> s->cluster_bits, got;
    struct made *m = malloc(sizeof(*m));
    int ret = m ? clusters_alloc(s, clusters, clusters, ret_offset, &got) : -ENOMEM;

    if (ret < 0) {
        free(m);
        return ret;
    }
    *m = (struct made){*list, *ret_offset, clusters};
    *list = m;
    return 0;
}

static bool all(const uint64_t *words, uint64_t n, uint64_t value)
{
    for (uint64_t i = 0; i < n; i++)
        if (words[i] != value)
            return false;
    return true;
}

/* The table of one, and what it refers to: clusters that are all zeroes need no room. */
static int write_bits(struct qcow *s, const struct bp_block_bitmap *b, uint64_t bytes, struct made **made,
                      uint64_t *ret_table)
{
    uint64_t clusters = up(bytes, s->cluster) >> s->cluster_bits, place = 0;
    uint8_t *table = calloc(1, up(clusters * 8, s->cluster) + s->cluster), *buf = table + up(clusters * 8, s->cluster);
    int ret = table ? 0 : -ENOMEM;

    for (uint64_t i = 0; ret == 0 && i < clusters; i++) {
        const uint64_t *words = b->bits + (i << s->cluster_bits) / 8;
        uint64_t at = i << s->cluster_bits, n = (bytes - at < s->cluster ? bytes - at : s->cluster) / 8;

        if (all(words, n, 0))
            continue;
        memset(buf, 0, s->cluster);
        for (uint64_t k = 0; k < n; k++) {
            uint64_t word = htole64(words[k]);

            memcpy(buf + 8 * k, &word, 8);
        }
        ret = room(s, made, s->cluster, &place);
        if (ret == 0)
            ret = io_child(s, s->file, BP_BLOCK_WRITE, place, buf, s->cluster);
        put_be64(table + 8 * i, place);
    }
    if (ret == 0 && clusters)
        ret = room(s, made, clusters * 8, ret_table);
    if (ret == 0 && clusters)
        ret = io_child(s, s->file, BP_BLOCK_WRITE, *ret_table, table, up(clusters * 8, s->cluster));
    free(table);
    return ret;
}

static const uint8_t *entry_named(const struct directory *d, const char *name)
{
    size_t length = strlen(name);
    uint64_t at = 0;

    for (uint32_t i = 0; i < d->count; i++, at += entry_bytes(d->data + at))
        if (get_be16(d->data + at + 18) == length &&
            !memcmp(d->data + at + ENTRY_BYTES + get_be32(d->data + at + 20), name, length))
            return d->data + at;
    return NULL;
}

static unsigned log2_of(uint64_t v)
{
    return (unsigned)__builtin_ctzll(v);
}

/* One entry of the new directory; 0 bytes: it is not stored. */
static int put_entry(struct qcow *s, const struct bp_block_bitmap *b, const struct directory *old, uint8_t *to,
                     struct made **made)
{
    const uint8_t *kept = b->inconsistent ? entry_named(old, b->name) : NULL;
    uint64_t bytes, table = 0;
    int ret;

    if (kept) {
        memcpy(to, kept, entry_bytes(kept));
        return 0;
    }
    bytes = bytes_for(s, log2_of(b->granularity));
    ret = write_bits(s, b, bytes, made, &table);
    put_be64(to, table);
    put_be32(to + 8, (uint32_t)(up(bytes, s->cluster) >> s->cluster_bits));
    put_be32(to + 12, b->enabled ? ENABLED : 0);
    to[16] = TYPE_DIRTY;
    to[17] = (uint8_t)log2_of(b->granularity);
    put_be16(to + 18, (uint16_t)strlen(b->name));
    memcpy(to + ENTRY_BYTES, b->name, strlen(b->name));
    return ret;
}

static uint64_t room_for(const struct bp_block_bitmap *b, const struct directory *old)
{
    const uint8_t *kept = b->inconsistent ? entry_named(old, b->name) : NULL;

    return kept ? entry_bytes(kept) : b->inconsistent ? 0 : up(ENTRY_BYTES + strlen(b->name), 8);
}

/* The extension as it will be; NULL: none. The old one's memory goes. */
static int set_extension(struct qcow *s, const struct directory *d)
{
    struct extension **link = &s->extensions, *e = NULL;

    if (d->count) {
        e = calloc(1, sizeof(*e) + EXTENSION_BYTES);
        if (!e)
            return -ENOMEM;
        e->type = EXT_BITMAPS;
        e->length = EXTENSION_BYTES;
        put_be32(e->data, d->count);
        put_be64(e->data + 8, d->size);
        put_be64(e->data + 16, d->offset);
    }
    while (*link && (*link)->type != EXT_BITMAPS)
        link = &(*link)->next;
    if (*link) {
        struct extension *gone = *link;

        *link = gone->next;
        free(gone);
    }
    if (e) {
        e->next = s->extensions;
        s->extensions = e;
    }
    s->autoclear = d->count ? s->autoclear | AUTOCLEAR_BITMAPS : s->autoclear & ~(uint64_t)AUTOCLEAR_BITMAPS;
    return header_write(s);
}

/* Clusters of the old set, but those of entries that go on. */
static void give_back(struct qcow *s, const struct directory *old, const struct bp_block_bitmap *list, unsigned n)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < old->count; i++, at += entry_bytes(old->data + at)) {
        const uint8_t *entry = old->data + at;
        uint64_t table = get_be64(entry), entries = get_be32(entry + 8);
        bool kept = false;
        uint8_t *raw;

        for (unsigned k = 0; k < n; k++)
            kept |= list[k].inconsistent && entry_named(old, list[k].name) == entry;
        if (kept || !entries || table & (s->cluster - 1) || entries > MOST_BYTES / 8)
            continue;
        raw = malloc(entries * 8);
        if (raw && io_child(s, s->file, BP_BLOCK_READ, table, raw, entries * 8) == 0) {
            for (uint64_t k = 0; k < entries; k++)
                if (get_be64(raw + 8 * k) & OFFSET_MASK)
                    clusters_free(s, down(get_be64(raw + 8 * k) & OFFSET_MASK, s->cluster), 1, s->discard_other);
            clusters_free(s, table, up(entries * 8, s->cluster) >> s->cluster_bits, s->discard_other);
        }
        free(raw);
    }
    if (old->count)
        clusters_free(s, old->offset, up(old->size, s->cluster) >> s->cluster_bits, s->discard_other);
}

static int write_all(struct qcow *s, const struct bp_block_bitmap *list, unsigned n, const struct directory *old,
                     struct directory *ret, struct made **made)
{
    struct directory d = {NULL, 0, 0, 0};
    uint64_t at = 0;
    int r = 0;

    for (unsigned i = 0; i < n; i++) {
        d.size += room_for(&list[i], old);
        d.count += room_for(&list[i], old) != 0;
    }
    *ret = d;
    if (!d.count)
        return 0;
    d.data = calloc(1, up(d.size, s->cluster));
    if (!d.data)
        return -ENOMEM;
    for (unsigned i = 0; r == 0 && i < n; i++) {
        if (room_for(&list[i], old) == 0)
            continue;
        r = put_entry(s, &list[i], old, d.data + at, made);
        at += room_for(&list[i], old);
    }
    if (r == 0)
        r = room(s, made, d.size, &d.offset);
    if (r == 0)
        r = io_child(s, s->file, BP_BLOCK_WRITE, d.offset, d.data, up(d.size, s->cluster));
    if (r == 0)
        r = qcow_sync(s);
    if (r == 0)
        r = meta_sync(&s->meta);
    free(d.data);
    d.data = NULL;
    *ret = d;
    return r;
}

int qcow_bitmaps_store(struct bp_block_node *node, const struct bp_block_bitmap *list, unsigned n,
                       struct bp_error *err)
{
    struct qcow *s = block->state(node);
    struct directory old = {NULL, 0, 0, 0}, now;
    struct made *made = NULL;
    int ret;

    if (s->version < 3)
        return bp_fail(err, ENOTSUP, "images of version 2 have no bitmaps");
    bp_co_mutex_lock(s->lock);
    ret = header_mark(s);
    if (ret == 0 && read_directory(s, &old) < 0)
        old = (struct directory){NULL, 0, 0, 0};
    if (ret == 0)
        ret = write_all(s, list, n, &old, &now, &made);
    if (ret == 0)
        ret = set_extension(s, &now);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0)
        give_back(s, &old, list, n);
    s->bitmaps_kept = false; /* they are not in use now */
    while (made) {
        struct made *m = made;

        made = m->next;
        if (ret < 0)
            clusters_free(s, m->offset, m->clusters, s->discard_other);
        free(m);
    }
    free(old.data);
    bp_co_mutex_unlock(s->lock);
    return ret < 0 ? bp_fail(err, -ret, "%s", strerror(-ret)) : 0;
}

struct bp_value *bitmaps_list(struct qcow *s)
{
    struct bp_value *list = bp_value_list();
    struct directory d;
    uint64_t at = 0;

    if (read_directory(s, &d) < 0)
        return list;
    for (uint32_t i = 0; i < d.count; i++, at += entry_bytes(d.data + at)) {
        const uint8_t *entry = d.data + at;
        struct bp_value *v = bp_value_dict(), *flags = bp_value_list();
        unsigned length = get_be16(entry + 18);
        char *name = bp_alloc(length + 1);

        memcpy(name, entry + ENTRY_BYTES + get_be32(entry + 20), length);
        name[length] = '\0';
        if (get_be32(entry + 12) & IN_USE)
            bp_value_append(flags, bp_value_string("in-use"));
        if (get_be32(entry + 12) & ENABLED)
            bp_value_append(flags, bp_value_string("auto"));
        bp_value_set(v, "flags", flags);
        bp_value_set(v, "name", bp_value_string(name));
        bp_value_set(v, "granularity", bp_value_uint(entry[17] < 63 ? UINT64_C(1) << entry[17] : 0));
        bp_value_append(list, v);
        free(name);
    }
    free(d.data);
    return list;
}
