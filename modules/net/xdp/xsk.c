/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "xsk.h"

#define KICKS 64u /* of one call */
#define BUSY_TRIES 100u
#define BUSY_WAIT_US 10000u /* that is a second in all, for a queue that has an owner */
#define MEMORY ((size_t)2 * XSK_RING * XSK_FRAME)

static void unmap(struct xsk_ring *ring)
{
    if (ring->map)
        munmap(ring->map, ring->map_size);
    *ring = (struct xsk_ring){0};
}

static int map_ring(int fd, struct xsk_ring *ring, const struct xdp_ring_offset *at, size_t entry, uint64_t where,
                    struct bp_error *err)
{
    uint8_t *map;

    ring->map_size = at->desc + XSK_RING * entry;
    map = mmap(NULL, ring->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)where);
    if (map == MAP_FAILED)
        return bp_fail(err, errno, "a ring of an AF_XDP socket: %s", strerror(errno));
    ring->map = map;
    ring->producer = (uint32_t *)(map + at->producer);
    ring->consumer = (uint32_t *)(map + at->consumer);
    ring->flags = (uint32_t *)(map + at->flags);
    ring->entries = map + at->desc;
    return 0;
}

static int set(int fd, int option, const void *value, socklen_t size, struct bp_error *err)
{
    if (setsockopt(fd, SOL_XDP, option, value, size) == 0)
        return 0;
    return bp_fail(err, errno, "AF_XDP socket, option %d: %s%s", option, strerror(errno),
                   errno == ENOBUFS ? "; more memory must be lockable (ulimit -l)" : "");
}

static int make_rings(struct xsk *s, struct bp_error *err)
{
    struct xdp_umem_reg memory = {.addr = (uintptr_t)s->memory, .len = MEMORY, .chunk_size = XSK_FRAME};
    static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
    const uint32_t size = XSK_RING;
    struct xdp_mmap_offsets at;
    socklen_t n = sizeof(at);
    int ret = set(s->fd, XDP_UMEM_REG, &memory, sizeof(memory), err);

    for (unsigned i = 0; ret == 0 && i < sizeof(rings) / sizeof(*rings); i++)
        ret = set(s->fd, rings[i], &size, sizeof(size), err);
    if (ret == 0 && (getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &n) < 0 || n != sizeof(at)))
        ret = bp_fail(err, ENOTSUP, "this kernel's AF_XDP sockets are too old: Linux 5.4 or later");
    if (ret == 0)
        ret = map_ring(s->fd, &s->fill, &at.fr, 8, XDP_UMEM_PGOFF_FILL_RING, err);
    if (ret == 0)
        ret = map_ring(s->fd, &s->completion, &at.cr, 8, XDP_UMEM_PGOFF_COMPLETION_RING, err);
    if (ret == 0)
        ret = map_ring(s->fd, &s->rx, &at.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING, err);
    if (ret == 0)
        ret = map_ring(s->fd, &s->tx, &at.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING, err);
    return ret;
}

/*
 * Binds, and gives 0 or a positive errno. The kernel lets go of a closed socket's queue in a worker of its own, some
 * time after close(): who comes meanwhile finds it busy, and is let in a moment later.
 */
static int bind_to(int fd, const struct sockaddr_xdp *address)
{
    for (unsigned tries = 0;; tries++) {
        if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
        if (errno != EBUSY || tries == BUSY_TRIES)
            return errno;
        usleep(BUSY_WAIT_US);
    }
}

int xsk_open(struct xsk *s, const struct xsk_bind *how, struct bp_error *err)
{
    struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_ifindex = how->ifindex, .sxdp_queue_id = how->queue};
    int ret, why;

    *s = (struct xsk){.fd = how->fd};
    if (s->fd < 0)
        s->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return bp_fail(err, errno, "an AF_XDP socket: %s%s", strerror(errno),
                       errno == EPERM ? "; it needs CAP_NET_RAW" : "");
    s->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->memory == MAP_FAILED)
        s->memory = NULL;
    ret = s->memory ? make_rings(s, err) : bp_fail(err, ENOMEM, "%zu bytes for frames: %s", MEMORY, strerror(ENOMEM));
    if (ret == 0) {
        for (uint32_t i = 0; i < XSK_RING; i++) {
            ((uint64_t *)s->fill.entries)[i] = (uint64_t)i * XSK_FRAME;
            s->free_frames[i] = (uint64_t)(XSK_RING + i) * XSK_FRAME;
        }
        s->free_count = XSK_RING;
        __atomic_store_n(s->fill.producer, XSK_RING, __ATOMIC_RELEASE);
        address.sxdp_flags = XDP_USE_NEED_WAKEUP | (how->force_copy ? XDP_COPY : 0);
        why = bind_to(s->fd, &address);
        if (why > 0) {
            ret = bp_fail(err, why, "queue %u of the interface: %s%s", how->queue, strerror(why),
                          why == EINVAL ? "; is there such a queue? (ethtool -l)"
                          : why == EBUSY ? "; another AF_XDP socket has it" : "");
        }
    }
    if (ret < 0)
        xsk_close(s);
    return ret;
}

void xsk_close(struct xsk *s)
{
    unmap(&s->fill);
    unmap(&s->completion);
    unmap(&s->rx);
    unmap(&s->tx);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    if (s->memory)
        munmap(s->memory, MEMORY);
    s->memory = NULL;
}

bool xsk_peek(const struct xsk *s, uint32_t n, uint8_t **ret_frame, uint32_t *ret_length)
{
    uint32_t at = *s->rx.consumer + n;
    const struct xdp_desc *d = (const struct xdp_desc *)s->rx.entries + at % XSK_RING;

    if (n >= __atomic_load_n(s->rx.producer, __ATOMIC_ACQUIRE) - *s->rx.consumer)
        return false;
    *ret_frame = s->memory + d->addr;
    *ret_length = d->len;
    return true;
}

void xsk_taken(struct xsk *s, uint32_t count)
{
    uint32_t from = *s->rx.consumer, to = *s->fill.producer;

    /* There are as many places in the ring as there are frames. */
    for (uint32_t i = 0; i < count; i++) {
        const struct xdp_desc *d = (const struct xdp_desc *)s->rx.entries + (from + i) % XSK_RING;

        ((uint64_t *)s->fill.entries)[(to + i) % XSK_RING] = d->addr & ~(uint64_t)(XSK_FRAME - 1);
    }
    __atomic_store_n(s->rx.consumer, from + count, __ATOMIC_RELEASE);
    __atomic_store_n(s->fill.producer, to + count, __ATOMIC_RELEASE);
    if (__atomic_load_n(s->fill.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP)
        recv(s->fd, NULL, 0, MSG_DONTWAIT);
}

static void come_back(struct xsk *s)
{
    uint32_t at = *s->completion.consumer, end = __atomic_load_n(s->completion.producer, __ATOMIC_ACQUIRE);

    for (; at != end && s->free_count < XSK_RING; at++)
        s->free_frames[s->free_count++] = ((const uint64_t *)s->completion.entries)[at % XSK_RING];
    __atomic_store_n(s->completion.consumer, at, __ATOMIC_RELEASE);
}

uint8_t *xsk_frame(struct xsk *s)
{
    if (s->free_count == 0)
        come_back(s);
    return s->free_count ? s->memory + s->free_frames[--s->free_count] : NULL;
}

void xsk_send(struct xsk *s, uint8_t *frame, uint32_t length)
{
    uint32_t at = *s->tx.producer;
    struct xdp_desc *d = (struct xdp_desc *)s->tx.entries + at % XSK_RING;

    *d = (struct xdp_desc){.addr = (uint64_t)(frame - s->memory), .len = length};
    __atomic_store_n(s->tx.producer, at + 1, __ATOMIC_RELEASE);
}

bool xsk_can_send(struct xsk *s)
{
    if (s->free_count == 0)
        come_back(s);
    return s->free_count != 0;
}

/* One call sends a few frames (copied ones: 32), and fails with EAGAIN when more are left. */
bool xsk_kick(struct xsk *s)
{
    for (unsigned i = 0; i < KICKS; i++) {
        uint32_t before = __atomic_load_n(s->tx.consumer, __ATOMIC_ACQUIRE);

        if (before == *s->tx.producer || !(__atomic_load_n(s->tx.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP))
            return false;
        if (sendto(s->fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) >= 0)
            return false;
        if (__atomic_load_n(s->tx.consumer, __ATOMIC_ACQUIRE) == before)
            return true;
    }
    return true;
}
