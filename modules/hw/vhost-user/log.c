// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A peer's writes into guest memory are not seen here. One that can keeps a log of the pages it wrote, in shared
 * memory; before the driver hears of its work the pages are told to dirty logs and to accelerators that have made
 * code of them. Of a peer that cannot, no write is known.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bp/log.h>

#include "vhost.h"

#define PAGE 4096u

void log_free(struct bp_vhost_user *peer)
{
    if (peer->log)
        munmap(peer->log, peer->log_size);
    if (peer->log_fd >= 0)
        close(peer->log_fd);
    peer->log = NULL;
    peer->log_fd = NO_FD;
    peer->log_size = 0;
}

static int make(struct bp_vhost_user *peer, size_t size)
{
    void *at;

    log_free(peer);
    peer->log_fd = memfd_create("vhost-log", MFD_CLOEXEC);
    if (peer->log_fd < 0 || ftruncate(peer->log_fd, (off_t)size) < 0)
        return -errno;
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, peer->log_fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    peer->log = at;
    peer->log_size = size;
    return 0;
}

int log_tell(struct bp_vhost_user *peer)
{
    struct message m = {.request = SET_LOG_BASE, .size = sizeof(m.log)};
    uint64_t end = 0;
    size_t size;
    int r = 0;

    if (!(peer->protocol >> P_LOG_SHMFD & 1) || !(peer->features >> F_LOG_ALL & 1))
        return 0;
    for (unsigned i = 0; i < peer->memory.table_count; i++) {
        uint64_t last = peer->memory.table[i].guest + peer->memory.table[i].size;

        end = last > end ? last : end;
    }
    size = (size_t)((end / PAGE / 8 + PAGE) & ~(uint64_t)(PAGE - 1));
    if (peer->log && peer->log_size >= size)
        size = peer->log_size; /* one that was told is not taken away */
    else
        r = make(peer, size);
    if (r < 0) {
        bp_warn("%s: no memory for a log of %zu bytes: %s", peer->who, size, strerror(-r));
        log_free(peer);
        return r;
    }
    m.log.size = size;
    r = message_send(peer, &m, &peer->log_fd, 1);
    if (r < 0)
        return r;
    /* The answer's payload differs among peers: only that it is one counts. */
    return message_log_answer(peer);
}

static void tell_page(struct bp_vhost_user *peer, uint64_t page)
{
    uint64_t guest = page * PAGE;

    for (unsigned i = 0; i < peer->memory.table_count; i++) {
        const struct piece *p = &peer->memory.table[i];

        if (guest >= p->guest && guest - p->guest < p->size) {
            uint64_t at = guest - p->guest, left = p->size - at;

            bp_region_mark_dirty(p->region, p->region_offset + at, left < PAGE ? left : PAGE);
            return;
        }
    }
}

void log_merge(struct bp_vhost_user *peer)
{
    for (size_t i = 0; i < peer->log_size / sizeof(*peer->log); i++) {
        uint64_t bits = __atomic_load_n(&peer->log[i], __ATOMIC_RELAXED);

        if (!bits)
            continue;
        bits = __atomic_exchange_n(&peer->log[i], 0, __ATOMIC_ACQ_REL);
        for (; bits; bits &= bits - 1)
            tell_page(peer, i * 64 + (unsigned)__builtin_ctzll(bits));
    }
}
