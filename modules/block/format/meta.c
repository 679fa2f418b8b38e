/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 16u

int meta_init(struct meta *m, const struct bp_block_interface *block, struct bp_block_child *file,
              struct bp_block_child *data, uint32_t size, const uint64_t most_bytes[META_KINDS])
{
    unsigned all = 0;

    *m = (struct meta){.block = block, .file = file, .data = data, .size = size};
    for (unsigned k = 0; k < META_KINDS; k++) {
        uint64_t most = most_bytes[k] / size;

        m->room[k].most = most < LEAST ? LEAST : most > 1u << 20 ? 1u << 20 : (unsigned)most;
        all += m->room[k].most;
    }
    for (m->buckets = 64; m->buckets < all; m->buckets *= 2)
        ;
    m->bucket = calloc(m->buckets, sizeof(struct slice *));
    return m->bucket ? 0 : -ENOMEM;
}

static struct slice **place(struct meta *m, uint64_t offset)
{
    uint64_t hash = offset / m->size * UINT64_C(0x9e3779b97f4a7c15);

    return &m->bucket[(hash >> 32) & (m->buckets - 1)];
}

static struct meta_room *room_of(struct meta *m, const struct slice *s)
{
    return &m->room[s->kind];
}

static void leave(struct meta *m, struct slice *s)
{
    struct meta_room *room = room_of(m, s);

    *(s->newer ? &s->newer->older : &room->newest) = s->older;
    *(s->older ? &s->older->newer : &room->oldest) = s->newer;
    room->count--;
}

static void enter_newest(struct meta *m, struct slice *s)
{
    struct meta_room *room = room_of(m, s);

    s->newer = NULL;
    s->older = room->newest;
    *(room->newest ? &room->newest->newer : &room->oldest) = s;
    room->newest = s;
    room->count++;
}

static void forget(struct meta *m, struct slice *s)
{
    struct slice **link = place(m, s->offset);

    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    leave(m, s);
    if (s->dirty)
        m->dirty[s->level]--;
    free(s);
}

void meta_free(struct meta *m)
{
    for (unsigned k = 0; k < META_KINDS; k++)
        while (m->room[k].oldest)
            forget(m, m->room[k].oldest);
    free(m->bucket);
    m->bucket = NULL;
}

static int transfer(struct meta *m, enum bp_block_op op, struct slice *s)
{
    struct iovec iov = {s->data, m->size};
    struct bp_block_request req = {.size = sizeof(req), .offset = s->offset, .bytes = m->size, .iov = &iov,
                                   .iov_count = 1};

    return m->block->child_request(m->file, op, &req);
}

int meta_sync(struct meta *m)
{
    int ret = m->data != m->file ? m->block->child_request(m->data, BP_BLOCK_FLUSH, NULL) : 0;

    return ret < 0 ? ret : m->block->child_request(m->file, BP_BLOCK_FLUSH, NULL);
}

static enum meta_kind kind_of(unsigned level)
{
    return level < 2 ? META_COUNTS : META_MAPS;
}

static int write_slice(struct meta *m, struct slice *s)
{
    int ret = transfer(m, BP_BLOCK_WRITE, s);

    if (ret == 0) {
        s->dirty = false;
        m->dirty[s->level]--;
    }
    return ret;
}

/* Slices of a level go through the log, as many at a time as it takes. */
static int write_logged(struct meta *m, unsigned level)
{
    int ret = 0;

    while (ret == 0 && m->dirty[level]) {
        struct slice *batch[META_BATCH];
        unsigned n = 0;

        for (struct slice *s = m->room[kind_of(level)].oldest; s && n < META_BATCH; s = s->newer)
            if (s->dirty && s->level == level)
                batch[n++] = s;
        ret = meta_sync(m);
        if (ret == 0)
            ret = m->journal(m->opaque, batch, n);
        for (unsigned i = 0; ret == 0 && i < n; i++)
            ret = write_slice(m, batch[i]);
    }
    return ret;
}

static int write_level(struct meta *m, unsigned level)
{
    int ret = 0;

    if (m->journal)
        return write_logged(m, level);
    if (level > 0)
        ret = meta_sync(m);
    /* From the oldest on; others may come meanwhile, but only at the new end. */
    for (struct slice *s = m->room[kind_of(level)].oldest; ret == 0 && s && m->dirty[level]; s = s->newer)
        if (s->dirty && s->level == level)
            ret = write_slice(m, s);
    return ret;
}

int meta_write(struct meta *m, unsigned level)
{
    int ret = 0;

    for (unsigned l = 0; ret == 0 && l <= level; l++)
        if (m->dirty[l])
            ret = write_level(m, l);
    return ret;
}

int meta_write_from(struct meta *m, unsigned level)
{
    int ret = 0;

    for (unsigned l = level; ret == 0 && l < META_LEVELS; l++)
        if (m->dirty[l])
            ret = write_level(m, l);
    return ret;
}

/* A clean one that nobody has pinned goes; when there is none, the oldest is written first. */
static int make_room(struct meta *m, const struct meta_room *room)
{
    struct slice *oldest = NULL;
    unsigned looked = 0;

    for (struct slice *s = room->oldest; s && looked < 64; s = s->newer, looked++) {
        if (s->pins)
            continue;
        if (!s->dirty) {
            forget(m, s);
            return 0;
        }
        if (!oldest)
            oldest = s;
    }
    if (!oldest)
        return 0; /* a few more than allowed */
    return meta_write(m, oldest->level);
}

static int load_slice(struct meta *m, uint64_t at, enum meta_kind kind, struct slice **ret_slice)
{
    int ret = m->room[kind].count >= m->room[kind].most ? make_room(m, &m->room[kind]) : 0;
    struct slice *s;

    if (ret < 0)
        return ret;
    s = calloc(1, sizeof(*s) + m->size);
    if (!s)
        return -ENOMEM;
    s->offset = at;
    ret = transfer(m, BP_BLOCK_READ, s);
    if (ret < 0) {
        free(s);
        return ret;
    }
    s->next = *place(m, at);
    *place(m, at) = s;
    *ret_slice = s;
    return 0;
}

int meta_get(struct meta *m, uint64_t offset, unsigned level, struct slice **ret_slice)
{
    uint64_t at = offset & ~((uint64_t)m->size - 1);
    struct slice *s = *place(m, at);

    while (s && s->offset != at)
        s = s->next;
    if (s) {
        leave(m, s);
    } else {
        int ret = load_slice(m, at, kind_of(level), &s);

        if (ret < 0)
            return ret;
    }
    if (!s->dirty) {
        s->level = (uint8_t)level;
        s->kind = (uint8_t)kind_of(level);
    }
    enter_newest(m, s);
    s->used = true;
    s->pins++;
    *ret_slice = s;
    return 0;
}

void meta_put(struct slice *slice)
{
    if (slice)
        slice->pins--;
}

void meta_dirty(struct meta *m, struct slice *slice)
{
    if (slice->dirty)
        return;
    slice->dirty = true;
    m->dirty[slice->level]++;
}

/* Looked for one by one where that is less work than looking at all. */
static bool drop_few(struct meta *m, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset & ~((uint64_t)m->size - 1);

    if (bytes / m->size >= m->room[META_COUNTS].count + m->room[META_MAPS].count) /* all there is: UINT64_MAX bytes */
        return false;
    for (uint64_t at = first < offset ? first + m->size : first; at < offset + bytes; at += m->size) {
        struct slice *s = *place(m, at);

        while (s && s->offset != at)
            s = s->next;
        if (s && !s->pins)
            forget(m, s);
    }
    return true;
}

void meta_drop(struct meta *m, uint64_t offset, uint64_t bytes)
{
    if (drop_few(m, offset, bytes))
        return;
    for (unsigned k = 0; k < META_KINDS; k++)
        for (struct slice *s = m->room[k].oldest, *newer; s; s = newer) {
            newer = s->newer;
            if (s->offset >= offset && s->offset < offset + bytes && !s->pins)
                forget(m, s);
        }
}

void meta_age(struct meta *m)
{
    for (unsigned k = 0; k < META_KINDS; k++)
        for (struct slice *s = m->room[k].oldest, *newer; s; s = newer) {
            newer = s->newer;
            if (!s->used && !s->dirty && !s->pins)
                forget(m, s);
            else
                s->used = false;
        }
}
