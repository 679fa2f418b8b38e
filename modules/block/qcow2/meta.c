/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 16u

int meta_init(struct meta *m, const struct bp_block_interface *block, struct bp_block_child *file,
              struct bp_block_child *data, uint32_t size, uint64_t most_bytes)
{
    uint64_t most = most_bytes / size;

    *m = (struct meta){.block = block, .file = file, .data = data, .size = size};
    m->most = most < LEAST ? LEAST : most > 1u << 20 ? 1u << 20 : (unsigned)most;
    for (m->buckets = 64; m->buckets < m->most; m->buckets *= 2)
        ;
    m->bucket = calloc(m->buckets, sizeof(struct slice *));
    return m->bucket ? 0 : -ENOMEM;
}

static struct slice **place(struct meta *m, uint64_t offset)
{
    uint64_t hash = offset / m->size * UINT64_C(0x9e3779b97f4a7c15);

    return &m->bucket[(hash >> 32) & (m->buckets - 1)];
}

static void unlink_use(struct meta *m, struct slice *s)
{
    *(s->newer ? &s->newer->older : &m->newest) = s->older;
    *(s->older ? &s->older->newer : &m->oldest) = s->newer;
}

static void link_newest(struct meta *m, struct slice *s)
{
    s->newer = NULL;
    s->older = m->newest;
    *(m->newest ? &m->newest->newer : &m->oldest) = s;
    m->newest = s;
}

static void forget(struct meta *m, struct slice *s)
{
    struct slice **link = place(m, s->offset);

    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    unlink_use(m, s);
    if (s->dirty)
        m->dirty[s->level]--;
    m->count--;
    free(s);
}

void meta_free(struct meta *m)
{
    while (m->oldest)
        forget(m, m->oldest);
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

static int write_level(struct meta *m, unsigned level)
{
    int ret = level > 0 ? meta_sync(m) : 0;

    /* From the oldest on; others may come meanwhile, but only at the new end. */
    for (struct slice *s = m->oldest; ret == 0 && s && m->dirty[level]; s = s->newer) {
        if (!s->dirty || s->level != level)
            continue;
        ret = transfer(m, BP_BLOCK_WRITE, s);
        if (ret == 0) {
            s->dirty = false;
            m->dirty[level]--;
        }
    }
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
static int make_room(struct meta *m)
{
    struct slice *oldest = NULL;
    unsigned looked = 0;

    for (struct slice *s = m->oldest; s && looked < 64; s = s->newer, looked++) {
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

int meta_get(struct meta *m, uint64_t offset, unsigned level, struct slice **ret_slice)
{
    uint64_t at = offset & ~((uint64_t)m->size - 1);
    struct slice *s = *place(m, at);
    int ret = 0;

    while (s && s->offset != at)
        s = s->next;
    if (!s) {
        if (m->count >= m->most)
            ret = make_room(m);
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
        m->count++;
    } else {
        unlink_use(m, s);
    }
    link_newest(m, s);
    if (!s->dirty)
        s->level = (uint8_t)level;
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

void meta_drop(struct meta *m, uint64_t offset, uint64_t bytes)
{
    for (struct slice *s = m->oldest, *newer; s; s = newer) {
        newer = s->newer;
        if (s->offset >= offset && s->offset < offset + bytes && !s->pins)
            forget(m, s);
    }
}
