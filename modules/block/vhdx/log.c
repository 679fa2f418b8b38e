/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log (2.3): pages of the map are written here, and safe, before they are written to their places. Ours has one
 * entry at a time, at the beginning: what an older one had is in its place, and safe, before the next is written. Those
 * of others are read as the specification says, from the tail of the newest sequence that is whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhdx.h"

enum { /* an entry's header */
    ENTRY_SUM = 4, ENTRY_LENGTH = 8, ENTRY_TAIL = 12, ENTRY_SEQUENCE = 16, ENTRY_COUNT = 24, ENTRY_GUID = 32,
    ENTRY_FLUSHED = 48, ENTRY_LAST = 56, ENTRY_BYTES = 64, DESCRIPTOR = 32,
};
#define MOST_LOG (256 * MIB)

static const uint8_t no_guid[16];

/* ---- writing ---- */

static void put_data(uint8_t *entry, unsigned i, const uint8_t *page, uint64_t at, uint64_t sequence)
{
    uint8_t *d = entry + ENTRY_BYTES + i * DESCRIPTOR, *sector = entry + (uint64_t)(1 + i) * SECTOR;

    memcpy(d, "desc", 4);
    memcpy(d + 4, page + SECTOR - 4, 4);
    memcpy(d + 8, page, 8);
    put_le64(d + 16, at);
    put_le64(d + 24, sequence);
    memcpy(sector, "data", 4);
    put_le32(sector + 4, (uint32_t)(sequence >> 32));
    memcpy(sector + 8, page + 8, SECTOR - 12);
    put_le32(sector + SECTOR - 4, (uint32_t)sequence);
}

int vhdx_journal(void *opaque, struct slice *const *slices, unsigned n)
{
    struct vhdx *s = opaque;
    uint64_t bytes = (uint64_t)(1 + n) * SECTOR;
    int64_t there = block->child_length(s->sparse.file);
    uint8_t *entry = there < 0 ? NULL : calloc(1, (size_t)bytes);
    int ret;

    if (!entry)
        return there < 0 ? (int)there : -ENOMEM;
    s->log_sequence++;
    memcpy(entry, "loge", 4);
    put_le32(entry + ENTRY_LENGTH, (uint32_t)bytes);
    put_le64(entry + ENTRY_SEQUENCE, s->log_sequence);
    put_le32(entry + ENTRY_COUNT, n);
    memcpy(entry + ENTRY_GUID, s->header + LOG_GUID, 16);
    put_le64(entry + ENTRY_FLUSHED, (uint64_t)there);
    put_le64(entry + ENTRY_LAST, (uint64_t)there);
    for (unsigned i = 0; i < n; i++)
        put_data(entry, i, slices[i]->data, slices[i]->offset, s->log_sequence);
    put_le32(entry + ENTRY_SUM, vhdx_sum(entry, bytes, ENTRY_SUM));
    ret = format_io(s->sparse.file, BP_BLOCK_WRITE, s->log, entry, bytes);
    free(entry);
    return ret < 0 ? ret : block->child_request(s->sparse.file, BP_BLOCK_FLUSH, NULL);
}

/* ---- reading ---- */

struct log {
    uint8_t *bytes;
    uint64_t length;
    const uint8_t *guid;
};

/* The log is a ring: bytes of it from `at` on. */
static void take(const struct log *log, uint64_t at, uint8_t *to, uint64_t n)
{
    uint64_t first = log->length - at < n ? log->length - at : n;

    memcpy(to, log->bytes + at, (size_t)first);
    memcpy(to + first, log->bytes, (size_t)(n - first));
}

static uint64_t descriptor_sectors(uint32_t count)
{
    return divide_up(ENTRY_BYTES + (uint64_t)count * DESCRIPTOR, SECTOR);
}

/* A copy of the entry at `at`, when there is one that is whole; *ret_length. */
static uint8_t *entry_at(const struct log *log, uint64_t at, uint64_t *ret_length)
{
    const uint8_t *h = log->bytes + at;
    uint64_t length = get_le32(h + ENTRY_LENGTH), sectors = descriptor_sectors(get_le32(h + ENTRY_COUNT));
    uint8_t *copy;

    if (memcmp(h, "loge", 4) != 0 || memcmp(h + ENTRY_GUID, log->guid, 16) != 0 || length == 0 || length % SECTOR ||
        length > log->length || sectors * SECTOR > length || get_le32(h + ENTRY_TAIL) % SECTOR ||
        get_le32(h + ENTRY_TAIL) >= log->length || get_le64(h + ENTRY_SEQUENCE) == 0)
        return NULL;
    copy = malloc((size_t)length);
    if (!copy)
        return NULL;
    take(log, at, copy, length);
    if (get_le32(copy + ENTRY_SUM) != vhdx_sum(copy, length, ENTRY_SUM)) {
        free(copy);
        return NULL;
    }
    *ret_length = length;
    return copy;
}

/* Entries in a row from `at` on whose numbers follow each other; the last one's place, number and tail. *ret_covered:
 * from the tail on, all are there. */
static bool sequence_from(const struct log *log, uint64_t at, uint64_t *ret_last, uint64_t *ret_number,
                          uint64_t *ret_tail)
{
    uint64_t number = 0, total = 0, length, first = at;
    bool found = false, covered = false;
    uint8_t *e;

    while (total < log->length && (e = entry_at(log, at, &length)) != NULL) {
        uint64_t n = get_le64(e + ENTRY_SEQUENCE), tail = get_le32(e + ENTRY_TAIL);

        free(e);
        if (found && n != number + 1)
            break;
        /* the tail is one of those that were seen: between the first and this one, round the ring */
        covered = (tail + log->length - first) % log->length <= (at + log->length - first) % log->length;
        number = n;
        *ret_last = at;
        *ret_tail = tail;
        found = true;
        at = (at + length) % log->length;
        total += length;
    }
    *ret_number = number;
    return found && covered;
}

/* The newest sequence that is whole: where it begins and ends; false: there is none. */
static bool find_active(const struct log *log, uint64_t *ret_tail, uint64_t *ret_last)
{
    uint64_t best = 0;

    for (uint64_t at = 0; at < log->length; at += SECTOR) {
        uint64_t last = 0, number, tail = 0;

        if (memcmp(log->bytes + at, "loge", 4) != 0 || !sequence_from(log, at, &last, &number, &tail) || number <= best)
            continue;
        best = number;
        *ret_tail = tail;
        *ret_last = last;
    }
    return best > 0;
}

static int load(struct vhdx *s, struct log *log)
{
    *log = (struct log){.length = s->log_bytes, .guid = s->header + LOG_GUID};
    if (log->length > MOST_LOG)
        return -EFBIG;
    log->bytes = malloc((size_t)log->length);
    return log->bytes ? format_io(s->sparse.file, BP_BLOCK_READ, s->log, log->bytes, log->length) : -ENOMEM;
}

int vhdx_look_at_log(struct vhdx *s, struct bp_error *err)
{
    uint64_t tail, last;
    struct log log;
    int ret;

    if (!memcmp(s->header + LOG_GUID, no_guid, 16))
        return 0;
    ret = load(s, &log);
    if (ret == 0)
        s->replay = find_active(&log, &tail, &last);
    free(log.bytes);
    if (ret < 0)
        return bp_fail(err, -ret, "vhdx: the log cannot be read: %s", strerror(-ret));
    if (s->replay && s->read_only && !s->facts_only)
        return bp_fail(err, EROFS, "vhdx: the image was not closed, and its log has what is not in its place yet: "
                       "backplane-img check -r all puts it there");
    return 0;
}

/* ---- replaying ---- */

static int replay_one(struct vhdx *s, const uint8_t *d, const uint8_t *sector, uint64_t number, bool *ret_used)
{
    uint64_t at = get_le64(d + 16);
    uint8_t page[SECTOR];

    *ret_used = !memcmp(d, "desc", 4);
    if (get_le64(d + 24) != number || at % SECTOR || at > BP_BLOCK_MAX_LENGTH - s->log_bytes)
        return -EIO;
    if (at < s->log + s->log_bytes && at + SECTOR > s->log) /* not into itself */
        return -EIO;
    if (!memcmp(d, "zero", 4)) {
        uint64_t n = get_le64(d + 8);

        return n % SECTOR || n > BP_BLOCK_MAX_LENGTH - at ? -EIO
               : n ? format_io(s->sparse.file, BP_BLOCK_WRITE_ZEROES, at, NULL, n) : 0;
    }
    if (!*ret_used || !sector || memcmp(sector, "data", 4) != 0 || get_le32(sector + 4) != (uint32_t)(number >> 32) ||
        get_le32(sector + SECTOR - 4) != (uint32_t)number)
        return -EIO;
    memcpy(page, d + 8, 8);
    memcpy(page + 8, sector + 8, SECTOR - 12);
    memcpy(page + SECTOR - 4, d + 4, 4);
    return format_io(s->sparse.file, BP_BLOCK_WRITE, at, page, SECTOR);
}

static int replay_entry(struct vhdx *s, const uint8_t *e, uint64_t length)
{
    uint32_t count = get_le32(e + ENTRY_COUNT);
    uint64_t number = get_le64(e + ENTRY_SEQUENCE), data = descriptor_sectors(count) * SECTOR;
    uint64_t last = get_le64(e + ENTRY_LAST);
    int64_t there = block->child_length(s->sparse.file);
    int ret = there < 0 ? (int)there : 0;

    if (ret == 0 && (uint64_t)there < get_le64(e + ENTRY_FLUSHED)) /* it was cut off */
        return -EIO;
    for (uint32_t i = 0; ret == 0 && i < count; i++) {
        bool used = false;

        ret = replay_one(s, e + ENTRY_BYTES + i * DESCRIPTOR, data < length ? e + data : NULL, number, &used);
        data += used ? SECTOR : 0;
    }
    if (ret == 0 && (uint64_t)there < last && last <= BP_BLOCK_MAX_LENGTH)
        ret = block->child_resize(s->sparse.file, last, false, NULL);
    return ret;
}

int vhdx_replay(struct vhdx *s)
{
    uint64_t at = 0, last = 0, length, total = 0;
    struct log log;
    int ret = load(s, &log);

    s->replay = ret == 0 && find_active(&log, &at, &last);
    while (ret == 0 && s->replay && total < log.length) {
        uint8_t *e = entry_at(&log, at, &length);

        ret = e ? replay_entry(s, e, length) : -EIO;
        free(e);
        total += length;
        if (at == last)
            break;
        at = (at + length) % log.length;
    }
    free(log.bytes);
    if (ret == 0)
        ret = block->child_request(s->sparse.file, BP_BLOCK_FLUSH, NULL);
    if (ret < 0)
        return ret;
    memset(s->header + LOG_GUID, 0, 16);
    s->replay = false;
    return vhdx_write_header(s);
}
