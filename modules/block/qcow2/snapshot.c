/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots within the image: each has a copy of the L1 table; what it leads to is counted once more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bp/run.h>

#include "qcow2.h"

#define ENTRY_HEAD 40u
#define EXTRA_KNOWN 24u

static void free_one(struct snapshot *n)
{
    free(n->id);
    free(n->name);
    free(n->extra);
}

void snapshots_free(struct qcow *s)
{
    for (uint32_t i = 0; s->snapshots && i < s->snapshot_count; i++)
        free_one(&s->snapshots[i]);
    free(s->snapshots);
    s->snapshots = NULL;
}

/* ---- the table ---- */

static char *text_at(const uint8_t *p, size_t length)
{
    char *text = bp_alloc(length + 1);

    memcpy(text, p, length);
    text[length] = '\0';
    return text;
}

static void take_extra(struct qcow *s, struct snapshot *n)
{
    n->vm_state_size = n->extra_size >= 8 ? get_be64(n->extra) : n->vm_state_size;
    n->disk_size = n->extra_size >= 16 ? get_be64(n->extra + 8) : s->size;
    n->icount = n->extra_size >= 24 ? get_be64(n->extra + 16) : UINT64_MAX;
}

static int read_one(struct qcow *s, uint64_t *at, struct snapshot *n, struct bp_error *err)
{
    uint8_t h[ENTRY_HEAD], *rest;
    uint32_t id, name;
    int ret = io_child(s, s->file, BP_BLOCK_READ, *at, h, sizeof(h));

    if (ret < 0)
        return bp_fail(err, -ret, "qcow2: the snapshot table cannot be read: %s", strerror(-ret));
    *n = (struct snapshot){.l1_offset = get_be64(h), .l1_size = get_be32(h + 8), .seconds = get_be32(h + 16),
                           .nanoseconds = get_be32(h + 20), .vm_clock_ns = get_be64(h + 24),
                           .vm_state_size = get_be32(h + 32), .extra_size = get_be32(h + 36)};
    id = get_be16(h + 12);
    name = get_be16(h + 14);
    if (n->extra_size > 1024 || (uint64_t)n->l1_size * 8 > MAX_L1 || n->l1_offset & (s->cluster - 1))
        return bp_fail(err, EINVAL, "qcow2: the snapshot table is damaged");
    rest = malloc((size_t)n->extra_size + id + name + 1);
    if (!rest)
        return bp_fail(err, ENOMEM, "qcow2: no memory for a snapshot");
    ret = io_child(s, s->file, BP_BLOCK_READ, *at + ENTRY_HEAD, rest, (uint64_t)n->extra_size + id + name);
    if (ret == 0) {
        n->extra = bp_alloc(n->extra_size + 1);
        memcpy(n->extra, rest, n->extra_size);
        n->id = text_at(rest + n->extra_size, id);
        n->name = text_at(rest + n->extra_size + id, name);
        take_extra(s, n);
        *at = up(*at + ENTRY_HEAD + n->extra_size + id + name, 8);
    }
    free(rest);
    return ret < 0 ? bp_fail(err, -ret, "qcow2: the snapshot table cannot be read: %s", strerror(-ret)) : 0;
}

int snapshots_read(struct qcow *s, struct bp_error *err)
{
    uint32_t count = s->snapshot_count;
    uint64_t at = s->snapshots_offset;
    int ret = 0;

    s->snapshots = calloc(count ? count : 1, sizeof(*s->snapshots));
    s->snapshot_count = 0;
    if (!s->snapshots)
        return bp_fail(err, ENOMEM, "qcow2: no memory for %u snapshots", count);
    for (uint32_t i = 0; ret == 0 && i < count; i++) {
        ret = read_one(s, &at, &s->snapshots[i], err);
        s->snapshot_count += ret == 0;
        if (ret == 0 && at - s->snapshots_offset > MAX_SNAPSHOT_TABLE)
            ret = bp_fail(err, EFBIG, "qcow2: the snapshot table is too long");
    }
    s->snapshots_bytes = at - s->snapshots_offset;
    return ret;
}

static uint64_t entry_size(const struct snapshot *n)
{
    uint32_t extra = n->extra_size < EXTRA_KNOWN ? EXTRA_KNOWN : n->extra_size;

    return up(ENTRY_HEAD + extra + strlen(n->id) + strlen(n->name), 8);
}

static uint64_t table_size(const struct qcow *s)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < s->snapshot_count; i++)
        size += entry_size(&s->snapshots[i]);
    return size;
}

static void put_one(uint8_t *p, const struct snapshot *n)
{
    uint32_t extra = n->extra_size < EXTRA_KNOWN ? EXTRA_KNOWN : n->extra_size;

    put_be64(p, n->l1_offset);
    put_be32(p + 8, n->l1_size);
    put_be16(p + 12, (uint16_t)strlen(n->id));
    put_be16(p + 14, (uint16_t)strlen(n->name));
    put_be32(p + 16, n->seconds);
    put_be32(p + 20, n->nanoseconds);
    put_be64(p + 24, n->vm_clock_ns);
    put_be32(p + 32, n->vm_state_size > UINT32_MAX ? 0 : (uint32_t)n->vm_state_size);
    put_be32(p + 36, extra);
    p += ENTRY_HEAD;
    memcpy(p, n->extra, n->extra_size);
    put_be64(p, n->vm_state_size);
    put_be64(p + 8, n->disk_size);
    put_be64(p + 16, n->icount);
    p += extra;
    memcpy(p, n->id, strlen(n->id));
    memcpy(p + strlen(n->id), n->name, strlen(n->name));
}

/* The table as it is now, in new clusters; the one before goes. */
int snapshots_write(struct qcow *s)
{
    uint64_t bytes = table_size(s), old = s->snapshots_offset, offset = 0, got = 0, at = 0;
    uint64_t old_bytes = s->snapshots_bytes; /* another program may have written shorter or longer entries */
    uint8_t *raw = calloc(1, bytes ? bytes : 1);
    int ret = raw ? 0 : -ENOMEM;

    if (ret == 0 && bytes) {
        got = up(bytes, s->cluster) >> s->cluster_bits;
        ret = clusters_alloc(s, got, got, &offset, &got);
    }
    for (uint32_t i = 0; ret == 0 && i < s->snapshot_count; i++) {
        put_one(raw + at, &s->snapshots[i]);
        at += entry_size(&s->snapshots[i]);
    }
    if (ret == 0 && bytes)
        ret = io_child(s, s->file, BP_BLOCK_WRITE, offset, raw, bytes);
    free(raw);
    if (ret == 0)
        ret = meta_write(&s->meta, META_LEVELS - 1);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0) {
        s->snapshots_offset = offset;
        s->snapshots_bytes = bytes;
        ret = header_write(s);
        if (ret == 0)
            ret = meta_sync(&s->meta);
        if (ret < 0) {
            s->snapshots_offset = old;
            s->snapshots_bytes = old_bytes;
        }
    }
    if (ret < 0) {
        if (got)
            clusters_free(s, offset, got, s->discard_other);
        return ret;
    }
    if (old_bytes)
        clusters_free(s, old, up(old_bytes, s->cluster) >> s->cluster_bits, s->discard_other);
    return 0;
}

/* ---- what an L1 table leads to ---- */

static int count_entry(struct qcow *s, uint64_t entry, int64_t add)
{
    uint64_t offset = down(entry & OFFSET_MASK, s->cluster), last;
    uint32_t bytes;

    if (entry & COMPRESSED) {
        packed_place(s, entry, &offset, &bytes);
        last = (offset + bytes - 1) >> s->cluster_bits;
        return refcount_add(s, offset >> s->cluster_bits, last - (offset >> s->cluster_bits) + 1, add);
    }
    return offset ? refcount_add(s, offset >> s->cluster_bits, 1, add) : 0;
}

static int count_table(struct qcow *s, uint64_t table, int64_t add)
{
    for (uint64_t at = table; at < table + s->cluster; at += s->meta.size) {
        struct slice *slice;
        int ret = meta_get(&s->meta, at, 2, &slice);

        for (uint32_t i = 0; ret == 0 && i < s->meta.size; i += s->entry)
            ret = count_entry(s, get_be64(slice->data + i), add);
        if (ret < 0)
            return ret;
        meta_put(slice);
    }
    return 0;
}

/* What a snapshot that is gone referred to. The header says so on stable storage. */
static int let_go(struct qcow *s, const uint64_t *l1, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        uint64_t table = l1[i] & OFFSET_MASK;

        if (!table)
            continue;
        if (table & (s->cluster - 1))
            return header_damaged(s, "an L2 table is not where a cluster begins", table);
        for (uint64_t at = table; at < table + s->cluster; at += s->meta.size) {
            struct slice *slice;
            int ret = meta_get(&s->meta, at, 2, &slice);

            if (ret < 0)
                return ret;
            for (uint32_t e = 0; e < s->meta.size; e += s->entry)
                entry_free(s, get_be64(slice->data + e), s->discard_snapshot);
            meta_put(slice);
        }
        clusters_free(s, table, 1, s->discard_snapshot);
    }
    return refcounts_settle(s);
}

static int count_all(struct qcow *s, const uint64_t *l1, uint32_t size, int64_t add)
{
    for (uint32_t i = 0; i < size; i++) {
        uint64_t table = l1[i] & OFFSET_MASK;
        int ret;

        if (!table)
            continue;
        if (table & (s->cluster - 1))
            return header_damaged(s, "an L2 table is not where a cluster begins", table);
        ret = count_table(s, table, add);
        if (ret == 0)
            ret = refcount_add(s, table >> s->cluster_bits, 1, add);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int mark_entry(struct qcow *s, uint8_t *at, bool *ret_changed)
{
    uint64_t entry = get_be64(at), count, wanted;
    int ret;

    if (entry & COMPRESSED || !(entry & OFFSET_MASK))
        return 0;
    ret = refcount_get(s, (entry & OFFSET_MASK) >> s->cluster_bits, &count);
    wanted = (entry & ~COPIED) | (count == 1 ? COPIED : 0);
    if (ret == 0 && wanted != entry) {
        put_be64(at, wanted);
        *ret_changed = true;
    }
    return ret;
}

/* Says of the active tables what nobody else has. */
static int mark_own(struct qcow *s)
{
    for (uint32_t i = 0; i < s->l1_size; i++) {
        uint64_t table = s->l1[i] & OFFSET_MASK, count;
        int ret = table ? refcount_get(s, table >> s->cluster_bits, &count) : 0;

        if (!table)
            continue;
        for (uint64_t at = table; ret == 0 && at < table + s->cluster; at += s->meta.size) {
            struct slice *slice;
            bool changed = false;

            ret = meta_get(&s->meta, at, 2, &slice);
            if (ret < 0)
                return ret;
            for (uint32_t e = 0; ret == 0 && e < s->meta.size; e += s->entry)
                ret = mark_entry(s, slice->data + e, &changed);
            if (changed)
                meta_dirty(&s->meta, slice);
            meta_put(slice);
        }
        if (ret < 0)
            return ret;
        s->l1[i] = table | (count == 1 ? COPIED : 0);
        ret = l1_write(s, i, 1);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int load_l1(struct qcow *s, const struct snapshot *n, uint64_t **ret_l1)
{
    uint64_t bytes = (uint64_t)n->l1_size * 8;
    uint8_t *raw = malloc(bytes ? bytes : 1);
    uint64_t *l1 = malloc(bytes ? bytes : 1);
    int ret = !raw || !l1 ? -ENOMEM : bytes ? io_child(s, s->file, BP_BLOCK_READ, n->l1_offset, raw, bytes) : 0;

    for (uint32_t i = 0; ret == 0 && i < n->l1_size; i++)
        l1[i] = get_be64(raw + 8 * (uint64_t)i);
    free(raw);
    if (ret < 0)
        free(l1);
    else
        *ret_l1 = l1;
    return ret;
}

static int save_l1(struct qcow *s, const uint64_t *l1, uint32_t size, uint64_t flags, uint64_t *ret_offset)
{
    uint64_t bytes = up((uint64_t)size * 8, s->cluster), got = bytes >> s->cluster_bits;
    uint8_t *raw;
    int ret;

    *ret_offset = 0;
    if (!size)
        return 0;
    ret = clusters_alloc(s, got, got, ret_offset, &got);
    if (ret < 0)
        return ret;
    raw = calloc(1, bytes);
    if (!raw)
        return -ENOMEM;
    for (uint32_t i = 0; i < size; i++)
        put_be64(raw + 8 * (uint64_t)i, l1[i] & OFFSET_MASK ? (l1[i] & OFFSET_MASK) | flags : 0);
    ret = io_child(s, s->file, BP_BLOCK_WRITE, *ret_offset, raw, bytes);
    free(raw);
    return ret;
}

/* ---- what users ask for ---- */

static struct snapshot *find(struct qcow *s, const char *name)
{
    for (uint32_t i = 0; i < s->snapshot_count; i++)
        if (!strcmp(s->snapshots[i].name, name))
            return &s->snapshots[i];
    for (uint32_t i = 0; i < s->snapshot_count; i++)
        if (!strcmp(s->snapshots[i].id, name))
            return &s->snapshots[i];
    return NULL;
}

static int create(struct qcow *s, const char *name)
{
    struct snapshot n = {.disk_size = s->size, .l1_size = s->l1_size, .icount = UINT64_MAX}, *more;
    unsigned long id = 0;
    struct timespec now;
    char text[24];
    int ret;

    for (uint32_t i = 0; i < s->snapshot_count; i++)
        if (strtoul(s->snapshots[i].id, NULL, 10) > id)
            id = strtoul(s->snapshots[i].id, NULL, 10);
    snprintf(text, sizeof(text), "%lu", id + 1);
    clock_gettime(CLOCK_REALTIME, &now);
    n.seconds = (uint32_t)now.tv_sec;
    n.nanoseconds = (uint32_t)now.tv_nsec;
    ret = meta_write(&s->meta, META_LEVELS - 1);
    if (ret == 0)
        ret = count_all(s, s->l1, s->l1_size, 1);
    if (ret == 0)
        ret = save_l1(s, s->l1, s->l1_size, 0, &n.l1_offset);
    if (ret == 0)
        ret = mark_own(s);
    if (ret < 0)
        return ret;
    more = realloc(s->snapshots, (s->snapshot_count + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    s->snapshots = more;
    n.id = bp_strdup(text);
    n.name = bp_strdup(name);
    n.extra = bp_alloc(EXTRA_KNOWN);
    n.extra_size = EXTRA_KNOWN;
    s->snapshots[s->snapshot_count++] = n;
    ret = snapshots_write(s);
    if (ret < 0)
        free_one(&s->snapshots[--s->snapshot_count]);
    return ret;
}

static int delete(struct qcow *s, struct snapshot *n)
{
    struct snapshot gone = *n;
    uint32_t at = (uint32_t)(n - s->snapshots);
    uint64_t *l1;
    int ret = load_l1(s, n, &l1);

    if (ret < 0)
        return ret;
    memmove(n, n + 1, (s->snapshot_count - at - 1) * sizeof(*n));
    s->snapshot_count--;
    ret = snapshots_write(s);
    if (ret < 0) {
        memmove(n + 1, n, (s->snapshot_count - at) * sizeof(*n));
        *n = gone;
        s->snapshot_count++;
        free(l1);
        return ret;
    }
    if (gone.l1_size)
        clusters_free(s, gone.l1_offset, up((uint64_t)gone.l1_size * 8, s->cluster) >> s->cluster_bits,
                      s->discard_snapshot);
    ret = let_go(s, l1, gone.l1_size);
    if (ret == 0)
        ret = mark_own(s);
    free(l1);
    free_one(&gone);
    return ret;
}

static int apply(struct qcow *s, const struct snapshot *n)
{
    uint64_t *l1, *before = s->l1, old_offset = s->l1_offset, old_size = s->size, offset = 0;
    uint32_t old_l1 = s->l1_size;
    int ret = load_l1(s, n, &l1);

    if (ret < 0)
        return ret;
    ret = meta_write(&s->meta, META_LEVELS - 1);
    if (ret == 0)
        ret = count_all(s, l1, n->l1_size, 1);
    if (ret == 0)
        ret = save_l1(s, l1, n->l1_size, 0, &offset);
    if (ret == 0)
        ret = meta_write(&s->meta, META_LEVELS - 1);
    if (ret == 0)
        ret = meta_sync(&s->meta);
    if (ret == 0) {
        s->l1 = l1;
        s->l1_offset = offset;
        s->l1_size = n->l1_size;
        s->size = n->disk_size;
        ret = header_write(s);
        if (ret == 0)
            ret = meta_sync(&s->meta);
        if (ret < 0) {
            s->l1 = before;
            s->l1_offset = old_offset;
            s->l1_size = old_l1;
            s->size = old_size;
        }
    }
    if (ret < 0) {
        free(l1);
        return ret;
    }
    if (old_l1)
        clusters_free(s, old_offset, up((uint64_t)old_l1 * 8, s->cluster) >> s->cluster_bits, s->discard_other);
    ret = let_go(s, before, old_l1);
    free(before);
    return ret < 0 ? ret : mark_own(s);
}

/* Nothing is written: the tables of then stand for those of now until the image is closed. */
static int show(struct qcow *s, const struct snapshot *n)
{
    uint64_t *l1;
    int ret = load_l1(s, n, &l1);

    if (ret < 0)
        return ret;
    free(s->l1);
    s->l1 = l1;
    s->l1_size = n->l1_size;
    s->size = n->disk_size;
    return 0;
}

struct bp_value *snapshots_list(const struct qcow *s)
{
    struct bp_value *list = bp_value_list();

    for (uint32_t i = 0; i < s->snapshot_count; i++) {
        const struct snapshot *n = &s->snapshots[i];
        struct bp_value *v = bp_value_dict();

        bp_value_set(v, "id", bp_value_string(n->id));
        bp_value_set(v, "name", bp_value_string(n->name));
        bp_value_set(v, "vm-state-size", bp_value_uint(n->vm_state_size));
        bp_value_set(v, "date-sec", bp_value_uint(n->seconds));
        bp_value_set(v, "date-nsec", bp_value_uint(n->nanoseconds));
        bp_value_set(v, "vm-clock-sec", bp_value_uint(n->vm_clock_ns / 1000000000));
        bp_value_set(v, "vm-clock-nsec", bp_value_uint(n->vm_clock_ns % 1000000000));
        if (n->icount != UINT64_MAX)
            bp_value_set(v, "icount", bp_value_uint(n->icount));
        bp_value_append(list, v);
    }
    return list;
}

/* Of an L1 table that leads to all of a disk. */
static uint64_t l1_entries(const struct qcow *s, uint64_t bytes)
{
    return bytes ? ((bytes - 1) >> (s->cluster_bits + s->l2_bits)) + 1 : 0;
}

static int change(struct qcow *s, enum bp_block_snapshot_op op, const char *name, struct snapshot *n)
{
    int ret = header_mark(s);

    if (ret == 0)
        ret = op == BP_BLOCK_SNAPSHOT_CREATE ? create(s, name)
              : op == BP_BLOCK_SNAPSHOT_APPLY ? apply(s, n) : delete(s, n);
    if (ret == 0)
        ret = qcow_sync(s);
    return ret < 0 ? ret : meta_write(&s->meta, META_LEVELS - 1);
}

int qcow_snapshot(struct bp_block_node *node, enum bp_block_snapshot_op op, const char *name,
                  struct bp_value **ret_list, struct bp_error *err)
{
    struct qcow *s = block->state(node);
    struct snapshot *n = name ? find(s, name) : NULL;
    int ret;

    if (op == BP_BLOCK_SNAPSHOT_LIST) {
        *ret_list = snapshots_list(s);
        return 0;
    }
    if (s->read_only != (op == BP_BLOCK_SNAPSHOT_SHOW))
        return bp_fail(err, EACCES, s->read_only ? "the image is read-only" : "the image can be written to");
    if (op != BP_BLOCK_SNAPSHOT_CREATE && !n)
        return bp_fail(err, ENOENT, "there is no snapshot '%s'", name);
    if (has_data_file(s))
        return bp_fail(err, ENOTSUP, "an image with a data file takes no snapshots");
    if (op == BP_BLOCK_SNAPSHOT_CREATE && s->snapshot_count == MAX_SNAPSHOTS)
        return bp_fail(err, EFBIG, "an image has at most %u snapshots", MAX_SNAPSHOTS);
    if (op == BP_BLOCK_SNAPSHOT_CREATE && strlen(name) > UINT16_MAX)
        return bp_fail(err, EINVAL, "the name of a snapshot has at most %u bytes", UINT16_MAX);
    if ((op == BP_BLOCK_SNAPSHOT_APPLY || op == BP_BLOCK_SNAPSHOT_SHOW) &&
        (n->disk_size > BP_BLOCK_MAX_LENGTH || n->l1_size < l1_entries(s, n->disk_size)))
        return bp_fail(err, EINVAL, "snapshot '%s' is damaged", name);
    bp_co_mutex_lock(s->lock);
    ret = op == BP_BLOCK_SNAPSHOT_SHOW ? show(s, n) : change(s, op, name, n);
    bp_co_mutex_unlock(s->lock);
    if (ret == 0 && (op == BP_BLOCK_SNAPSHOT_APPLY || op == BP_BLOCK_SNAPSHOT_SHOW))
        block->length_changed(node, s->size);
    return ret < 0 ? bp_fail(err, -ret, "the snapshot failed: %s", strerror(-ret)) : 0;
}
