// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Guest memory as a peer sees it: sections of RAM that lie in a file which both map. Neighbours that are one in
 * guest, host and file are joined; where there are more pieces than a table of the protocol has, the smallest are
 * left out. A peer's mapping pins the memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/dma.h>
#include <bp/log.h>
#include <bp/ram.h>

#include "vhost.h"

static void added(void *opaque, const struct bp_section *s)
{
    struct memory *m = &((struct bp_vhost_user *)opaque)->memory;
    uint64_t file = 0;
    int fd = s->host && !s->readonly ? bp_region_fd(s->region, &file) : -1;

    if (fd < 0)
        return;
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 16;
        m->all = bp_realloc(m->all, m->room * sizeof(*m->all));
    }
    m->all[m->count++] = (struct piece){.region = s->region, .guest = s->start, .size = s->length,
                                        .region_offset = s->offset, .file_offset = file + s->offset, .host = s->host,
                                        .fd = fd};
    m->changed = true;
}

static void removed(void *opaque, const struct bp_section *s)
{
    struct memory *m = &((struct bp_vhost_user *)opaque)->memory;

    for (unsigned i = 0; i < m->count; i++)
        if (m->all[i].guest == s->start && m->all[i].region == s->region) {
            m->all[i] = m->all[--m->count];
            m->changed = true;
            return;
        }
}

static void commit(void *opaque)
{
    struct bp_vhost_user *peer = opaque;

    if (peer->memory.changed && peer->co)
        bp_co_wake(peer->co);
}

/* Where the kernel interrupts the driver nobody else looks at the peer's log, which only this thread changes. */
static void log_sync(void *opaque, const struct bp_section *section)
{
    struct bp_vhost_user *peer = opaque;

    (void)section;
    if (peer->log)
        log_merge(peer);
}

static const struct bp_memory_listener listener = {
    .size = sizeof(listener), .added = added, .removed = removed, .commit = commit, .log_sync = log_sync};

void memory_watch(struct bp_vhost_user *peer)
{
    bp_space_listen(peer->space, &listener, peer);
}

void memory_unwatch(struct bp_vhost_user *peer)
{
    bp_space_unlisten(peer->space, &listener, peer);
    free(peer->memory.all);
    peer->memory.all = NULL;
    peer->memory.count = peer->memory.room = 0;
}

bool memory_is_shared(const struct bp_vhost_user *peer)
{
    struct bp_mapping at = {.size = sizeof(at)};

    if (peer->memory.count > 0)
        return true;
    bp_space_lookup(peer->space, 0, &at);
    return !at.host; /* there is no memory at all */
}

/* ---- the table ---- */

static int by_address(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->guest < y->guest ? -1 : x->guest > y->guest;
}

static int by_size(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->size > y->size ? -1 : x->size < y->size;
}

static void make_table(struct memory *m)
{
    struct piece *joined = bp_alloc((m->count + 1) * sizeof(*joined));
    unsigned n = 0;

    memcpy(joined, m->all, m->count * sizeof(*joined));
    qsort(joined, m->count, sizeof(*joined), by_address);
    for (unsigned i = 0; i < m->count; i++) {
        struct piece *last = n ? &joined[n - 1] : NULL, *p = &joined[i];

        if (last && last->region == p->region && last->guest + last->size == p->guest &&
            last->host + last->size == p->host && last->file_offset + last->size == p->file_offset)
            last->size += p->size;
        else
            joined[n++] = *p;
    }
    qsort(joined, n, sizeof(*joined), by_size);
    m->table_count = n < MAX_REGIONS ? n : MAX_REGIONS;
    memcpy(m->table, joined, m->table_count * sizeof(*joined));
    free(joined);
}

void memory_forget(struct bp_vhost_user *peer)
{
    for (unsigned i = 0; i < MAX_REGIONS; i++) {
        bp_ram_claim_free(peer->memory.claims[i]);
        peer->memory.claims[i] = NULL;
    }
    peer->memory.table_count = 0;
}

static int pin(struct bp_vhost_user *peer)
{
    struct memory *m = &peer->memory;
    struct bp_ram_claim *claims[MAX_REGIONS] = {NULL};
    struct bp_error err = {0};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < m->table_count; i++)
        r = bp_ram_claim(peer->owner, m->table[i].region, BP_RAM_PINNED, peer->who, &claims[i], &err);
    if (r < 0) {
        bp_warn("%s: %s", peer->who, err.message);
        for (unsigned i = 0; i < MAX_REGIONS; i++)
            bp_ram_claim_free(claims[i]);
        return r;
    }
    for (unsigned i = 0; i < MAX_REGIONS; i++) { /* the old ones go when the new ones are there */
        bp_ram_claim_free(m->claims[i]);
        m->claims[i] = claims[i];
    }
    return 0;
}

int memory_tell(struct bp_vhost_user *peer)
{
    struct memory *m = &peer->memory;
    struct message msg = {.request = SET_MEM_TABLE};
    int fds[MAX_REGIONS], r;

    m->changed = false;
    make_table(m);
    r = pin(peer);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < m->table_count; i++) {
        const struct piece *p = &m->table[i];

        fds[i] = p->fd;
        msg.memory.region[i].guest = p->guest;
        msg.memory.region[i].size = p->size;
        msg.memory.region[i].user = (uint64_t)(uintptr_t)p->host;
        msg.memory.region[i].offset = p->file_offset;
    }
    msg.memory.count = m->table_count;
    msg.size = 8 + m->table_count * sizeof(msg.memory.region[0]);
    return message_send_acked(peer, &msg, fds, m->table_count);
}

bool memory_find(const struct bp_vhost_user *peer, uint64_t guest, uint64_t size, uint64_t *ret_user)
{
    for (unsigned i = 0; i < peer->memory.table_count; i++) {
        const struct piece *p = &peer->memory.table[i];

        if (guest >= p->guest && guest - p->guest < p->size && size <= p->size - (guest - p->guest)) {
            *ret_user = (uint64_t)(uintptr_t)p->host + (guest - p->guest);
            return true;
        }
    }
    return false;
}
