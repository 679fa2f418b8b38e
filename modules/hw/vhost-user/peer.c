// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The life of a peer: one coroutine looks at what is (connection, understanding, rings handed over) and at what is
 * wanted (the driver is ready, the machine runs), and does the next thing, until both agree.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/log.h>
#include <bp/value.h>

#include "vhost.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
const struct bp_chardev_interface *vhost_chardev;
const struct bp_virtio_interface *vhost_virtio;

/* ---- the connection ---- */

static void wake(struct bp_vhost_user *peer)
{
    if (peer->co)
        bp_co_wake(peer->co);
}

static bool take_socket(struct bp_vhost_user *peer)
{
    int fd = -1;

    if (chardev->unix_socket(peer->chr, &fd) < 0 || fd < 0)
        return false;
    peer->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return peer->fd >= 0;
}

static void event(void *opaque, enum bp_chardev_event what)
{
    struct bp_vhost_user *peer = opaque;

    if (what == BP_CHARDEV_OPENED)
        peer->open = true;
    else if (what == BP_CHARDEV_CLOSED)
        peer->open = false, peer->lost = true;
    wake(peer);
}

static size_t can_read(void *opaque)
{
    (void)opaque;
    return 0; /* answers are read from the socket itself */
}

static void no_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    (void)opaque, (void)buf, (void)len;
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(handlers), .can_read = can_read, .read = no_bytes, .event = event};

static void gone(struct bp_vhost_user *peer)
{
    bool was = peer->there;

    __atomic_store_n(&peer->there, false, __ATOMIC_RELEASE);
    rings_lost(peer);
    memory_forget(peer);
    log_free(peer);
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    if (was && peer->ops && peer->ops->there)
        peer->ops->there(peer->opaque, false);
}

/* It is told so by the end of the connection, which the chardev notices, too. */
static void give_up(struct bp_vhost_user *peer, int r)
{
    if (r != -ECANCELED && r != -ECONNRESET)
        bp_warn("%s: the process behind chardev '%s' is disconnected: %s", peer->who, peer->chardev_id,
                r == -EPROTO ? "it does not keep to the vhost-user protocol"
                : r == -ETIMEDOUT ? "it does not answer"
                : r == -EREMOTEIO ? "it does not take the guest's memory" : strerror(-r));
    peer->failed = true;
    if (peer->fd >= 0)
        shutdown(peer->fd, SHUT_RDWR);
    gone(peer);
    bp_start_release(peer->hold);
    peer->hold = NULL;
}

/* ---- understanding ---- */

/* Ring features that a peer has to have, so that they may be offered. */
static void limit(struct bp_vhost_user *peer)
{
    if (!peer->virtio)
        return;
    bp_device_lock(peer->dev);
    virtio->limit(peer->virtio, peer->features & RING_FEATURES);
    bp_device_unlock(peer->dev);
}

static int ask_queues(struct bp_vhost_user *peer)
{
    uint64_t n = 1;
    int r = 0;

    if (peer->protocol >> P_MQ & 1)
        r = message_ask_u64(peer, GET_QUEUE_NUM, &n);
    if (r < 0)
        return r;
    peer->max_queues = n > BP_VHOST_USER_MAX_RINGS ? BP_VHOST_USER_MAX_RINGS : (unsigned)n;
    /* Peers count pairs; a ring for each direction. */
    if (peer->rings > 2 && peer->rings > 2 * peer->max_queues) {
        bp_warn("%s: %u pairs of queues are wanted, the process behind chardev '%s' has %u", peer->who,
                peer->rings / 2, peer->chardev_id, peer->max_queues);
        return -EINVAL;
    }
    return 0;
}

static int understand(struct bp_vhost_user *peer)
{
    const uint64_t ours = BP_VIRTIO_BIT(P_MQ) | BP_VIRTIO_BIT(P_LOG_SHMFD) | BP_VIRTIO_BIT(P_REPLY_ACK);
    uint64_t protocol = 0, features = 0;
    int r = message_ask_u64(peer, GET_FEATURES, &features);

    peer->protocol = 0;
    if (r == 0 && features >> F_PROTOCOL_FEATURES & 1) {
        r = message_ask_u64(peer, GET_PROTOCOL_FEATURES, &protocol);
        if (r == 0)
            r = message_send_u64(peer, SET_PROTOCOL_FEATURES, protocol & ours);
        peer->protocol = protocol & ours;
    }
    if (r == 0)
        r = ask_queues(peer);
    if (r == 0) {
        struct message m = {.request = SET_OWNER};

        r = message_send(peer, &m, NULL, 0);
    }
    if (r < 0)
        return r;
    __atomic_store_n(&peer->features, features, __ATOMIC_RELEASE);
    __atomic_store_n(&peer->there, true, __ATOMIC_RELEASE);
    limit(peer);
    bp_start_release(peer->hold);
    peer->hold = NULL;
    if (peer->ops && peer->ops->there)
        peer->ops->there(peer->opaque, true);
    return 0;
}

/* ---- what is to be done next ---- */

static bool wants(struct bp_vhost_user *peer, bool *ret_enables)
{
    bool on;

    if (!peer->virtio)
        return false;
    bp_device_lock(peer->dev);
    on = peer->wanted && peer->machine_runs && !peer->holds;
    *ret_enables = peer->enables;
    bp_device_unlock(peer->dev);
    return on;
}

/* 1: nothing is to be done; 0: something was; else what went wrong. */
static int step(struct bp_vhost_user *peer)
{
    bool on, enables = false;

    if (peer->lost) {
        gone(peer);
        peer->lost = peer->failed = false;
        return 0;
    }
    if (!peer->open || peer->failed || (peer->fd < 0 && !take_socket(peer)))
        return 1;
    if (!peer->there)
        return understand(peer);
    on = wants(peer, &enables);
    if (on != peer->serving)
        return on ? rings_start(peer) : rings_stop(peer);
    if (peer->serving && peer->memory.changed)
        return memory_tell(peer);
    if (peer->serving && enables)
        return rings_enable(peer);
    return 1;
}

static void live(void *opaque)
{
    struct bp_vhost_user *peer = opaque;

    while (!bp_co_cancelled()) {
        int r = step(peer);

        if (r < 0)
            give_up(peer, r);
        else if (r > 0)
            bp_co_yield();
    }
}

/* ---- the device ---- */

static void run_changed(void *opaque, bool running)
{
    struct bp_vhost_user *peer = opaque;

    peer->machine_runs = running;
    wake(peer);
}

static void detach(struct bp_vhost_user *peer)
{
    if (!peer->virtio)
        return;
    bp_device_lock(peer->dev);
    peer->wanted = false;
    bp_device_unlock(peer->dev);
    /* Nothing is waited for: the connection ends, and with it the other process's hold of the memory. */
    if (peer->serving)
        give_up(peer, -ECONNRESET);
    rings_free(peer);
    memory_unwatch(peer);
    bp_owner_free(peer->follows);
    peer->follows = NULL;
    peer->virtio = NULL;
    peer->dev = NULL;
    peer->count = 0;
}

static bool has_iommu(struct bp_virtio *device)
{
    struct bp_object *obj = bp_device_object(virtio->device(device));
    struct bp_value *v = NULL;
    bool on = bp_object_get(obj, "iommu_platform", &v, NULL) == 0 && bp_value_as_bool(v);

    bp_value_unref(v);
    return on;
}

static int attach(struct bp_vhost_user *peer, struct bp_virtio *device, unsigned count, struct bp_error *err)
{
    int r;

    if (peer->virtio)
        return bp_fail(err, EBUSY, "%s serves another device", peer->who);
    if (has_iommu(device))
        return bp_fail(err, EINVAL, "%s: iommu_platform=on: another process serves the rings, and has no addresses but "
                       "those of memory", peer->who);
    if (count > peer->rings)
        return bp_fail(err, EINVAL, "%s: %u rings, of %u", peer->who, count, peer->rings);
    peer->dev = virtio->device(device);
    peer->space = bp_device_memory(peer->dev);
    memory_watch(peer);
    if (!memory_is_shared(peer)) {
        memory_unwatch(peer);
        return bp_fail(err, EINVAL, "%s: another process serves the rings, and the guest's memory is not shared with "
                       "it: -object memory-backend-memfd,id=mem,size=512M,share=on -machine memory-backend=mem has "
                       "memory that is", peer->who);
    }
    peer->virtio = device;
    peer->count = count;
    r = rings_make(peer, err);
    if (r < 0) {
        detach(peer);
        return r;
    }
    peer->machine_runs = bp_machine_running(bp_device_machine(peer->dev));
    peer->follows = bp_owner_new(NULL, "vhost-user", NULL, 0);
    bp_machine_on_run_change(bp_device_machine(peer->dev), peer->follows, BP_RUN_ORDER_BACKEND, run_changed, peer);
    if (peer->there) {
        limit(peer);
    } else {
        bp_device_lock(peer->dev);
        virtio->limit(device, UNKNOWN_PEER);
        bp_device_unlock(peer->dev);
    }
    wake(peer);
    return 0;
}

static uint64_t features(struct bp_vhost_user *peer)
{
    return __atomic_load_n(&peer->there, __ATOMIC_ACQUIRE) ? __atomic_load_n(&peer->features, __ATOMIC_ACQUIRE) : 0;
}

static void run(struct bp_vhost_user *peer, bool on)
{
    if (!peer->virtio)
        return;
    peer->wanted = on;
    if (!on && peer->serving && !peer->holds) {
        peer->holds = true;
        virtio->hold(peer->virtio);
    }
    wake(peer);
}

static void kick(struct bp_vhost_user *peer, unsigned index)
{
    uint64_t one = 1;

    /* A counter that is full has been rung. */
    if (index < peer->count && write(peer->ring[index].kick, &one, sizeof(one)) < 0 && errno != EAGAIN)
        bp_warn("%s: ring %u cannot be rung: %s", peer->who, index, strerror(errno));
}

static void enable(struct bp_vhost_user *peer, unsigned index, bool on)
{
    if (index >= peer->count || peer->ring[index].enabled == on)
        return;
    __atomic_store_n(&peer->ring[index].enabled, on, __ATOMIC_RELEASE);
    peer->enables = true;
    wake(peer);
}

/* ---- life ---- */

static void close_peer(struct bp_vhost_user *peer)
{
    if (!peer)
        return;
    detach(peer);
    if (peer->connected)
        chardev->disconnect(peer->chr, peer);
    bp_start_release(peer->hold);
    peer->hold = NULL;
    peer->ops = NULL;
    peer->failed = true;
    memory_forget(peer);
    if (peer->co)
        bp_co_cancel(peer->co);
    bp_owner_free(peer->owner); /* the coroutine has ended then */
    bp_co_unref(peer->co);
    peer->co = NULL;
    gone(peer);
    free(peer->who);
    free(peer->chardev_id);
    free(peer);
}

static int open_peer(struct bp_owner *of, const struct bp_vhost_user_info *info, const struct bp_vhost_user_ops *ops,
                     void *opaque, struct bp_vhost_user **ret_peer, struct bp_error *err)
{
    struct bp_chardev *chr = info->chardev ? chardev->find(info->chardev) : NULL;
    struct bp_vhost_user *peer;
    char text[160];
    int r, fd;

    vhost_chardev = chardev;
    vhost_virtio = virtio;
    if (!info->chardev)
        return bp_fail(err, EINVAL, "%s: parameter 'chardev' is missing: the id of a chardev on a UNIX socket",
                       info->who);
    if (!chr)
        return bp_fail(err, ENOENT, "%s: there is no chardev '%s'", info->who, info->chardev);
    if (!chardev->unix_socket || chardev->unix_socket(chr, &fd) < 0)
        return bp_fail(err, ENOTSUP, "%s: chardev '%s' is no UNIX socket: -chardev socket,id=%s,path=... is one",
                       info->who, info->chardev, info->chardev);
    if (info->rings == 0 || info->rings > BP_VHOST_USER_MAX_RINGS)
        return bp_fail(err, EINVAL, "%s: %u rings: up to %u are possible", info->who, info->rings,
                       BP_VHOST_USER_MAX_RINGS);
    peer = bp_alloc(sizeof(*peer));
    peer->fd = peer->log_fd = NO_FD;
    peer->who = bp_strdup(info->who);
    peer->chardev_id = bp_strdup(info->chardev);
    peer->ops = ops;
    peer->opaque = opaque;
    peer->rings = info->rings;
    peer->device_features = info->device_features;
    peer->owner = bp_owner_new(of, "vhost-user", info->who, 0);
    peer->chr = chr; /* whose connect() may say at once that somebody is there */
    r = bp_co_new(peer->owner, bp_context_main(NULL), "vhost-user", live, peer, &peer->co, err);
    if (r == 0)
        r = chardev->connect(chr, &handlers, peer, err);
    if (r < 0) {
        close_peer(peer);
        return r;
    }
    peer->connected = true;
    snprintf(text, sizeof(text), "the process that serves %.100s", info->who);
    peer->hold = bp_start_hold(text);
    wake(peer);
    *ret_peer = peer;
    return 0;
}

static bool is_there(struct bp_vhost_user *peer)
{
    return __atomic_load_n(&peer->there, __ATOMIC_ACQUIRE);
}

static const struct bp_vhost_user_interface table = {
    .size = sizeof(table), .open = open_peer, .close = close_peer, .attach = attach, .detach = detach,
    .features = features, .run = run, .kick = kick, .enable = enable, .is_there = is_there};
BP_INTERFACE(vhost_user_interface, "vhost-user", 1, 0, &table);

static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1),
                                           BP_IMPORT_MINOR(virtio, "virtio", 1, 3), {0}};
BP_MODULE("vhost-user", "Devices of another process (vhost-user)", imports,
          {BP_PROVIDE_INTERFACE, &vhost_user_interface});
