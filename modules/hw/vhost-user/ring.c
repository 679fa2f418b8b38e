// SPDX-License-Identifier: LGPL-2.1-or-later
/* Rings: handed to the peer, with a descriptor for each direction of notification, and taken back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bp/log.h>

#include "vhost.h"

#define RING_IS_LOGGED 1u

/* In the device's context [locked]. */
static void called(void *opaque, unsigned events)
{
    struct ring *ring = opaque;
    struct bp_vhost_user *peer = ring->peer;
    uint64_t count;

    (void)events;
    if (read(ring->call, &count, sizeof(count)) != sizeof(count) || !peer->virtio)
        return;
    if (!peer->serving)
        return;
    if (peer->log)
        log_merge(peer);
    vhost_virtio->interrupt(ring->queue);
}

/* Who hears of it: the kernel, which interrupts the driver, or called(). */
static void heard_elsewhere(void *opaque, bool taken)
{
    bp_watch_set(((struct ring *)opaque)->watch, taken ? 0 : BP_WATCH_IN);
}

/* Where notifications need no thread of ours, either way. [main] [locked] */
static void lend_descriptors(struct ring *ring, bool on)
{
    vhost_virtio->kick_fd(ring->queue, on ? ring->kick : -1);
    (void)vhost_virtio->interrupt_fd(ring->queue, ring->call, on ? heard_elsewhere : NULL, ring);
    if (!on)
        bp_watch_set(ring->watch, BP_WATCH_IN);
}

int rings_make(struct bp_vhost_user *peer, struct bp_error *err)
{
    for (unsigned i = 0; i < peer->count; i++) {
        struct ring *ring = &peer->ring[i];

        *ring = (struct ring){.peer = peer, .queue = vhost_virtio->queue(peer->virtio, i), .enabled = true};
        ring->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ring->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (ring->kick < 0 || ring->call < 0)
            return bp_fail(err, errno, "%s: no descriptors for ring %u: %s", peer->who, i, strerror(errno));
        ring->watch = bp_watch_new(bp_device_owner(peer->dev), NULL, ring->call, BP_WATCH_IN, called, ring);
    }
    return 0;
}

void rings_free(struct bp_vhost_user *peer)
{
    for (unsigned i = 0; i < peer->count; i++) {
        struct ring *ring = &peer->ring[i];

        if (ring->watch) {
            bp_device_lock(peer->dev);
            lend_descriptors(ring, false);
            bp_device_unlock(peer->dev);
        }
        bp_watch_free(ring->watch);
        if (ring->kick >= 0)
            close(ring->kick);
        if (ring->call >= 0)
            close(ring->call);
        *ring = (struct ring){.kick = NO_FD, .call = NO_FD};
    }
}

/* ---- handing over ---- */

static uint64_t used_bytes(const struct bp_virtq_ring *r)
{
    return r->packed ? 4 : 6 + 8u * r->entries;
}

static int tell_addresses(struct bp_vhost_user *peer, unsigned index, const struct bp_virtq_ring *r)
{
    struct message m = {.request = SET_VRING_ADDR, .size = sizeof(m.address)};
    uint64_t desc, avail, used;

    if (!memory_find(peer, r->desc, 16u * r->entries, &desc) ||
        !memory_find(peer, r->driver, r->packed ? 4 : 6 + 2u * r->entries, &avail) ||
        !memory_find(peer, r->device, used_bytes(r), &used)) {
        bp_device_lock(peer->dev);
        vhost_virtio->broken(peer->virtio, "a ring lies where the process that serves it sees no memory");
        bp_device_unlock(peer->dev);
        return -EFAULT;
    }
    m.address.index = index;
    m.address.flags = peer->log ? RING_IS_LOGGED : 0;
    m.address.desc = desc;
    m.address.avail = avail;
    m.address.used = used;
    m.address.log = r->device;
    return message_send(peer, &m, NULL, 0);
}

static uint32_t position(const struct bp_virtq_ring *r)
{
    if (!r->packed)
        return r->avail;
    return (uint32_t)r->avail | (uint32_t)r->avail_wrap << 15 | (uint32_t)r->used << 16 | (uint32_t)r->used_wrap << 31;
}

static int start_ring(struct bp_vhost_user *peer, unsigned index, const struct bp_virtq_ring *r)
{
    struct ring *ring = &peer->ring[index];
    uint64_t one = 1;
    int ret = message_send_state(peer, SET_VRING_NUM, index, r->entries);

    if (ret == 0)
        ret = message_send_state(peer, SET_VRING_BASE, index, position(r));
    if (ret == 0)
        ret = tell_addresses(peer, index, r);
    if (ret == 0)
        ret = message_send_fd(peer, SET_VRING_CALL, index, ring->call);
    if (ret == 0)
        ret = message_send_fd(peer, SET_VRING_KICK, index, ring->kick);
    if (ret < 0)
        return ret;
    ring->started = true;
    ring->told = false;
    bp_device_lock(peer->dev);
    lend_descriptors(ring, true);
    bp_device_unlock(peer->dev);
    /* What the driver has made available before it hears of now. */
    if (write(ring->kick, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

int rings_enable(struct bp_vhost_user *peer)
{
    int r = 0;

    bp_device_lock(peer->dev);
    peer->enables = false;
    bp_device_unlock(peer->dev);
    for (unsigned i = 0; r == 0 && i < peer->count; i++) {
        struct ring *ring = &peer->ring[i];

        bool enabled = __atomic_load_n(&ring->enabled, __ATOMIC_ACQUIRE);

        if (!ring->started || ring->told == enabled || !(peer->features >> F_PROTOCOL_FEATURES & 1))
            continue;
        ring->told = enabled;
        r = message_send_state(peer, SET_VRING_ENABLE, i, ring->told);
    }
    return r;
}

static int hand_over(struct bp_vhost_user *peer, uint64_t features)
{
    struct bp_virtq_ring *rings = bp_alloc(peer->count * sizeof(*rings));
    unsigned set_up[BP_VHOST_USER_MAX_RINGS], n = 0;
    int r;

    bp_device_lock(peer->dev);
    for (unsigned i = 0; i < peer->count; i++)
        if (vhost_virtio->ring(peer->ring[i].queue, &rings[i]))
            set_up[n++] = i;
    bp_device_unlock(peer->dev);
    features |= peer->features & BP_VIRTIO_BIT(F_PROTOCOL_FEATURES);
    features |= peer->log ? BP_VIRTIO_BIT(F_LOG_ALL) : 0;
    r = message_send_u64(peer, SET_FEATURES, features);
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = start_ring(peer, set_up[i], &rings[set_up[i]]);
    free(rings);
    if (r == -EFAULT) /* the driver's fault: those that were started are taken back as in a reset */
        return 0;
    return r < 0 ? r : rings_enable(peer);
}

int rings_start(struct bp_vhost_user *peer)
{
    uint64_t features, known;
    int r = 0;

    bp_device_lock(peer->dev);
    if (!peer->wanted) {
        bp_device_unlock(peer->dev);
        return 0;
    }
    peer->serving = true;
    features = vhost_virtio->features(peer->virtio);
    peer->packed = features >> BP_VIRTIO_RING_PACKED & 1;
    bp_device_unlock(peer->dev);
    /* What is the device's own it does itself; the rest is for the peer. */
    known = peer->device_features | RING_FEATURES;
    if (features & known & ~peer->features) {
        bp_warn("%s: the driver uses features 0x%llx, which the other process does not have", peer->who,
                (unsigned long long)(features & known & ~peer->features));
        return -EOPNOTSUPP;
    }
    r = memory_tell(peer);
    if (r == 0)
        r = log_tell(peer);
    return r < 0 ? r : hand_over(peer, features & known);
}

/* ---- taking back ---- */

static int stop_ring(struct bp_vhost_user *peer, unsigned index, struct bp_virtq_ring *ret)
{
    struct message m = {.request = GET_VRING_BASE, .size = sizeof(m.state), .state = {index, 0}};
    uint32_t n;
    int r = message_ask(peer, &m, sizeof(m.state));

    if (r < 0)
        return r;
    if (m.state.index != index)
        return -EPROTO;
    n = m.state.number;
    *ret = (struct bp_virtq_ring){.size = sizeof(*ret), .avail = (uint16_t)n, .used = (uint16_t)n};
    if (peer->packed) {
        ret->avail = n & 0x7fff;
        ret->avail_wrap = n >> 15 & 1;
        ret->used = n >> 16 & 0x7fff;
        ret->used_wrap = n >> 31;
    }
    return 0;
}

/* The driver may reset its device, which is waited for here, or the machine stands: then the rings go on later. */
static void take_back(struct bp_vhost_user *peer)
{
    bp_device_lock(peer->dev);
    if (peer->log)
        log_merge(peer);
    peer->serving = false;
    if (peer->holds)
        vhost_virtio->release(peer->virtio);
    peer->holds = false;
    bp_device_unlock(peer->dev);
}

int rings_stop(struct bp_vhost_user *peer)
{
    int r = 0;

    for (unsigned i = 0; i < peer->count; i++) {
        struct ring *ring = &peer->ring[i];
        struct bp_virtq_ring at;

        if (!ring->started)
            continue;
        r = stop_ring(peer, i, &at);
        if (r < 0)
            return r;
        ring->started = ring->told = false;
        bp_device_lock(peer->dev);
        lend_descriptors(ring, false);
        if (!peer->holds && vhost_virtio->set_position(ring->queue, &at) < 0)
            r = -EPROTO;
        bp_device_unlock(peer->dev);
        if (r < 0)
            return r;
        /* An interrupt that came with its last work. */
        bp_device_lock(peer->dev);
        called(ring, 0);
        bp_device_unlock(peer->dev);
    }
    take_back(peer);
    memory_forget(peer);
    return 0;
}

/* Nobody says any more how far it was. What the driver has not got back is done again: that it was lost or comes
 * twice, a network bears. */
static void position_of_driver(struct bp_vhost_user *peer, struct ring *ring)
{
    struct bp_virtq_ring r;
    uint8_t index[2];

    if (!vhost_virtio->ring(ring->queue, &r) || r.packed ||
        bp_space_peek(peer->space, r.device + 2, index, sizeof(index)) < 0)
        return;
    r.avail = r.used = (uint16_t)(index[0] | index[1] << 8);
    (void)vhost_virtio->set_position(ring->queue, &r);
}

void rings_lost(struct bp_vhost_user *peer)
{
    if (!peer->virtio)
        return;
    bp_device_lock(peer->dev);
    for (unsigned i = 0; i < peer->count; i++) {
        if (peer->ring[i].started && !peer->holds)
            position_of_driver(peer, &peer->ring[i]);
        if (peer->ring[i].started)
            lend_descriptors(&peer->ring[i], false);
        peer->ring[i].started = peer->ring[i].told = false;
    }
    bp_device_unlock(peer->dev);
    if (peer->serving)
        take_back(peer);
}
