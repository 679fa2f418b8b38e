/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of an image and its extensions. Nothing in it is believed before it is checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"

#define V2_LENGTH 72u
#define V3_LENGTH 104u
#define HEADER_ROOM 112u

static const struct {
    uint64_t bit;
    const char *name;
} incompatible[] = {{INCOMPAT_DIRTY, "dirty bit"}, {INCOMPAT_CORRUPT, "corrupt bit"},
                    {INCOMPAT_DATA_FILE, "external data file"}, {INCOMPAT_COMPRESSION, "compression type"},
                    {INCOMPAT_EXTENDED_L2, "extended L2 entries"}};

static char *text_of(const uint8_t *data, uint32_t length)
{
    char *text = bp_alloc(length + 1);

    memcpy(text, data, length);
    text[length] = '\0';
    return text;
}

static int check_features(const struct qcow *s, struct bp_error *err)
{
    uint64_t known = 0, unknown;

    for (unsigned i = 0; i < BP_COUNT(incompatible); i++)
        known |= incompatible[i].bit;
    unknown = s->incompat & ~known;
    if (unknown)
        return bp_fail(err, ENOTSUP, "qcow2: the image uses features that are not known here (incompatible feature "
                       "bits %#llx)", (unsigned long long)unknown);
    if (s->incompat & INCOMPAT_COMPRESSION && s->compression == 0)
        return bp_fail(err, EINVAL, "qcow2: the compression type's bit is set, but the type is the usual one");
    if (s->compression > 1 || (s->compression && !(s->incompat & INCOMPAT_COMPRESSION)))
        return bp_fail(err, ENOTSUP, "qcow2: compression type %u is not known", s->compression);
    if (s->compression == 1 && !has_zstd())
        return bp_fail(err, ENOTSUP, "qcow2: the image is compressed with zstd, which this build has not");
    return 0;
}

static int check_table(const struct qcow *s, const char *what, uint64_t offset, uint64_t bytes, uint64_t most,
                       struct bp_error *err)
{
    if (bytes > most)
        return bp_fail(err, EFBIG, "qcow2: the %s table has %llu bytes; at most %llu are accepted", what,
                       (unsigned long long)bytes, (unsigned long long)most);
    if (offset & (s->cluster - 1) || offset > INT64_MAX - bytes || (bytes && offset == 0))
        return bp_fail(err, EINVAL, "qcow2: the %s table cannot be at %llu", what, (unsigned long long)offset);
    return 0;
}

static int read_fields(struct qcow *s, const uint8_t *h, struct bp_error *err)
{
    uint32_t crypt = get_be32(h + 32);

    s->version = get_be32(h + 4);
    s->cluster_bits = get_be32(h + 20);
    if (get_be32(h) != MAGIC)
        return bp_fail(err, EINVAL, "qcow2: this is no image in that format");
    if (s->version < 2 || s->version > 3)
        return bp_fail(err, ENOTSUP, "qcow2: version %u is not known; versions 2 and 3 are", s->version);
    if (s->cluster_bits < MIN_CLUSTER_BITS || s->cluster_bits > MAX_CLUSTER_BITS)
        return bp_fail(err, EINVAL, "qcow2: clusters of 2^%u bytes; 2^%u to 2^%u are accepted", s->cluster_bits,
                       MIN_CLUSTER_BITS, MAX_CLUSTER_BITS);
    s->cluster = 1u << s->cluster_bits;
    s->size = get_be64(h + 24);
    if (crypt && crypt != CRYPT_LUKS)
        return bp_fail(err, ENOTSUP, "qcow2: the image is encrypted (%s), which is not known here; LUKS is",
                       crypt == 1 ? "AES, as old releases did" : "in an unknown way");
    s->luks_bytes = crypt; /* until the extension says */
    s->l1_size = get_be32(h + 36);
    s->l1_offset = get_be64(h + 40);
    s->reftable_offset = get_be64(h + 48);
    s->reftable_clusters = get_be32(h + 56);
    s->snapshot_count = get_be32(h + 60);
    s->snapshots_offset = get_be64(h + 64);
    s->refcount_order = 4;
    s->header_length = V2_LENGTH;
    if (s->version >= 3) {
        s->incompat = get_be64(h + 72);
        s->compat = get_be64(h + 80);
        s->autoclear = get_be64(h + 88);
        s->refcount_order = get_be32(h + 96);
        s->header_length = get_be32(h + 100);
        if (s->header_length < V3_LENGTH || s->header_length > s->cluster || s->header_length % 8)
            return bp_fail(err, EINVAL, "qcow2: a header of %u bytes makes no sense", s->header_length);
        s->compression = s->header_length > V3_LENGTH ? h[104] : 0;
    }
    if (s->refcount_order > 6)
        return bp_fail(err, EINVAL, "qcow2: reference counts of 2^%u bits; at most 64 are accepted",
                       s->refcount_order);
    return check_features(s, err);
}

static int check_fields(struct qcow *s, struct bp_error *err)
{
    unsigned l2_bits = s->cluster_bits - (s->incompat & INCOMPAT_EXTENDED_L2 ? 4 : 3);
    uint64_t need = s->size ? ((s->size - 1) >> (s->cluster_bits + l2_bits)) + 1 : 0;
    int ret = check_table(s, "L1", s->l1_offset, (uint64_t)s->l1_size * 8, MAX_L1, err);

    if (ret == 0 && (s->size > BP_BLOCK_MAX_LENGTH || need > s->l1_size))
        ret = bp_fail(err, EINVAL, "qcow2: the L1 table is too small for %llu bytes", (unsigned long long)s->size);
    if (ret == 0 && s->reftable_clusters == 0)
        ret = bp_fail(err, EINVAL, "qcow2: the image has no table of reference counts");
    if (ret == 0)
        ret = check_table(s, "refcount", s->reftable_offset,
                          (uint64_t)s->reftable_clusters << s->cluster_bits, MAX_REFTABLE, err);
    if (ret == 0 && s->snapshot_count > MAX_SNAPSHOTS)
        ret = bp_fail(err, EFBIG, "qcow2: %u snapshots; at most %u are accepted", s->snapshot_count, MAX_SNAPSHOTS);
    if (ret == 0)
        ret = check_table(s, "snapshot", s->snapshots_offset, s->snapshot_count ? 1 : 0, MAX_SNAPSHOT_TABLE, err);
    if (ret == 0 && s->incompat & INCOMPAT_EXTENDED_L2 && s->cluster_bits < 14)
        ret = bp_fail(err, EINVAL, "qcow2: extended L2 entries need clusters of 16 KiB at least");
    return ret;
}

static int keep_extension(struct qcow *s, uint32_t type, const uint8_t *data, uint32_t length, struct bp_error *err)
{
    struct extension **link = &s->extensions, *e;

    switch (type) {
    case EXT_BACKING_FORMAT:
        if (length > MAX_NAME || s->backing_format)
            return bp_fail(err, EINVAL, "qcow2: the name of the backing file's format is damaged");
        s->backing_format = text_of(data, length);
        return 0;
    case EXT_DATA_FILE:
        if (length > MAX_NAME || s->data_file)
            return bp_fail(err, EINVAL, "qcow2: the name of the data file is damaged");
        s->data_file = text_of(data, length);
        return 0;
    case EXT_FEATURES:
        return 0; /* written anew */
    case EXT_LUKS:
        if (length != 16 || s->luks_offset)
            return bp_fail(err, EINVAL, "qcow2: the extension that names the LUKS header is damaged");
        s->luks_offset = get_be64(data);
        s->luks_bytes = get_be64(data + 8);
        return 0;
    default:
        e = bp_alloc(sizeof(*e) + length);
        *e = (struct extension){.type = type, .length = length};
        memcpy(e->data, data, length);
        while (*link)
            link = &(*link)->next;
        *link = e;
        return 0;
    }
}

static int read_extensions(struct qcow *s, const uint8_t *h, uint64_t end, struct bp_error *err)
{
    uint64_t at = s->header_length;
    int ret = 0;

    while (ret == 0 && at + 8 <= end) {
        uint32_t type = get_be32(h + at), length = get_be32(h + at + 4);

        at += 8;
        if (type == EXT_END)
            break;
        if (length > end - at)
            return bp_fail(err, EINVAL, "qcow2: a header extension goes beyond the header");
        ret = keep_extension(s, type, h + at, length, err);
        at += up(length, 8);
    }
    return ret;
}

static int read_rest(struct qcow *s, const uint8_t *h, struct bp_error *err)
{
    uint64_t name_at = get_be64(h + 8), end = s->cluster;
    uint32_t name_length = get_be32(h + 16);
    bool encrypted;
    int ret;

    if (name_at) {
        if (name_length > MAX_NAME || name_length == 0 || name_at < s->header_length || name_at > s->cluster ||
            name_length > s->cluster - name_at)
            return bp_fail(err, EINVAL, "qcow2: the name of the backing file is damaged");
        s->backing_file = text_of(h + name_at, name_length);
        end = name_at;
    }
    encrypted = s->luks_bytes;
    ret = read_extensions(s, h, end, err);
    if (ret == 0 && encrypted != (s->luks_offset != 0))
        ret = bp_fail(err, EINVAL, encrypted ? "qcow2: the image is encrypted, but its LUKS header is missing"
                                             : "qcow2: there is a LUKS header, but the image is not encrypted");
    if (ret == 0 && encrypted && (s->luks_offset & (s->cluster - 1) || s->luks_bytes == 0 || s->luks_bytes > MAX_LUKS ||
                                  s->luks_offset > INT64_MAX - MAX_LUKS))
        ret = bp_fail(err, EINVAL, "qcow2: the LUKS header cannot be at %llu", (unsigned long long)s->luks_offset);
    return ret;
}

int header_read(struct qcow *s, struct bp_error *err)
{
    uint8_t first[HEADER_ROOM], *h;
    int ret = io_child(s, s->file, BP_BLOCK_READ, 0, first, sizeof(first));

    if (ret < 0)
        return bp_fail(err, -ret, "qcow2: the header cannot be read: %s", strerror(-ret));
    ret = read_fields(s, first, err);
    if (ret == 0)
        ret = check_fields(s, err);
    if (ret < 0)
        return ret;
    h = malloc(s->cluster);
    if (!h)
        return bp_fail(err, ENOMEM, "qcow2: no memory for the header");
    ret = io_child(s, s->file, BP_BLOCK_READ, 0, h, s->cluster);
    ret = ret < 0 ? bp_fail(err, -ret, "qcow2: the header cannot be read: %s", strerror(-ret))
                  : read_rest(s, h, err);
    free(h);
    return ret;
}

void header_free(struct qcow *s)
{
    while (s->extensions) {
        struct extension *e = s->extensions;

        s->extensions = e->next;
        free(e);
    }
    free(s->backing_file);
    free(s->backing_format);
    free(s->data_file);
    s->backing_file = s->backing_format = s->data_file = NULL;
}

/* ---- writing ---- */

static bool put_extension(const struct qcow *s, uint8_t *h, uint64_t *at, uint32_t type, const void *data,
                          uint32_t length)
{
    if (*at + 8 + up(length, 8) + 8 > s->cluster)
        return false;
    put_be32(h + *at, type);
    put_be32(h + *at + 4, length);
    memcpy(h + *at + 8, data, length);
    *at += 8 + up(length, 8);
    return true;
}

/* Names of feature bits, for programs that do not know them. Left out where there is no room. */
static void put_features(const struct qcow *s, uint8_t *h, uint64_t *at, uint64_t keep)
{
    uint8_t table[8 * 48] = {0};
    unsigned n = 0;
    struct {
        uint8_t kind, bit;
        const char *name;
    } names[] = {{0, 0, "dirty bit"}, {0, 1, "corrupt bit"}, {0, 2, "external data file"},
                 {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
                 {2, 0, "bitmaps"}, {2, 1, "raw external data"}};

    for (; n < BP_COUNT(names); n++) {
        table[48 * n] = names[n].kind;
        table[48 * n + 1] = names[n].bit;
        strncpy((char *)table + 48 * n + 2, names[n].name, 46);
    }
    if (*at + 8 + sizeof(table) + 8 + keep <= s->cluster)
        put_extension(s, h, at, EXT_FEATURES, table, sizeof(table));
}

static void put_fields(const struct qcow *s, uint8_t *h)
{
    put_be32(h, MAGIC);
    put_be32(h + 4, s->version);
    put_be32(h + 20, s->cluster_bits);
    put_be64(h + 24, s->size);
    put_be32(h + 32, s->luks_offset ? CRYPT_LUKS : 0);
    put_be32(h + 36, s->l1_size);
    put_be64(h + 40, s->l1_offset);
    put_be64(h + 48, s->reftable_offset);
    put_be32(h + 56, s->reftable_clusters);
    put_be32(h + 60, s->snapshot_count);
    put_be64(h + 64, s->snapshots_offset);
    if (s->version < 3)
        return;
    put_be64(h + 72, s->incompat);
    put_be64(h + 80, s->compat);
    put_be64(h + 88, s->autoclear);
    put_be32(h + 96, s->refcount_order);
    put_be32(h + 100, s->header_length);
    if (s->header_length > V3_LENGTH)
        h[104] = s->compression;
}

int header_write(struct qcow *s)
{
    uint8_t *h = calloc(1, s->cluster), luks[16];
    size_t name = s->backing_file ? strlen(s->backing_file) : 0;
    uint64_t at;
    bool fits = true;
    int ret;

    if (!h)
        return -ENOMEM;
    if (s->version >= 3)
        s->header_length = HEADER_ROOM;
    put_fields(s, h);
    at = s->header_length;
    if (s->backing_format && s->backing_file)
        fits = put_extension(s, h, &at, EXT_BACKING_FORMAT, s->backing_format, (uint32_t)strlen(s->backing_format));
    if (fits && s->data_file)
        fits = put_extension(s, h, &at, EXT_DATA_FILE, s->data_file, (uint32_t)strlen(s->data_file));
    if (fits && s->luks_offset) {
        put_be64(luks, s->luks_offset);
        put_be64(luks + 8, s->luks_bytes);
        fits = put_extension(s, h, &at, EXT_LUKS, luks, sizeof(luks));
    }
    for (struct extension *e = s->extensions; fits && e; e = e->next)
        fits = put_extension(s, h, &at, e->type, e->data, e->length);
    if (fits && s->version >= 3)
        put_features(s, h, &at, name);
    at += 8; /* the end: type 0, length 0 */
    if (!fits || at + name > s->cluster) {
        free(h);
        return -ENOSPC;
    }
    if (name) {
        put_be64(h + 8, at);
        put_be32(h + 16, (uint32_t)name);
        memcpy(h + at, s->backing_file, name);
    }
    ret = io_child(s, s->file, BP_BLOCK_WRITE, 0, h, s->cluster);
    free(h);
    return ret;
}

int header_repair(struct qcow *s)
{
    struct bp_block_check check = {.size = sizeof(check)};
    bool marked = s->marked;
    int ret;

    s->marked = true; /* it marks itself while it writes */
    ret = check_locked(s, BP_BLOCK_FIX_LEAKS | BP_BLOCK_FIX_ERRORS, &check);
    s->marked = marked;
    return ret < 0 ? ret : check.corruptions || check.check_errors ? -EIO : 0;
}

/* Bits that say what is not so any more go before the first change; with lazy reference counts the image says that
 * they may be wrong. */
int header_mark(struct qcow *s)
{
    uint64_t incompat = s->incompat, autoclear = s->autoclear;
    int ret;

    if (s->marked)
        return 0;
    if (s->incompat & INCOMPAT_DIRTY) { /* whoever wrote to it before did not come to an end */
        ret = header_repair(s);
        if (ret < 0)
            return ret;
        incompat = s->incompat;
    }
    if (s->version >= 3 && s->lazy == 1)
        s->incompat |= INCOMPAT_DIRTY;
    s->autoclear &= AUTOCLEAR_RAW_DATA | (s->bitmaps_kept ? AUTOCLEAR_BITMAPS : 0);
    if (s->incompat != incompat || s->autoclear != autoclear) {
        ret = header_write(s);
        if (ret == 0)
            ret = meta_sync(&s->meta);
        if (ret < 0) {
            s->incompat = incompat;
            s->autoclear = autoclear;
            return ret;
        }
    }
    s->marked = true;
    return 0;
}

int header_damaged(struct qcow *s, const char *why, uint64_t offset)
{
    if (!s->read_only && s->version >= 3 && !(s->incompat & INCOMPAT_CORRUPT)) {
        s->incompat |= INCOMPAT_CORRUPT;
        if (header_write(s) == 0)
            meta_sync(&s->meta);
    }
    block->corrupted(s->node, why, offset, s->cluster);
    return -EIO;
}
