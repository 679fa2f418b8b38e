/* SPDX-License-Identifier: MIT */
/*
 * Devices whose virtio rings another process serves (the vhost-user protocol, its published specification): interface
 * vhost-user/1, offered by the module `vhost-user`. A peer sits behind a chardev on a UNIX socket. A virtio device
 * gives it queues (BP_VIRTQ_EXTERNAL), guest memory that is shared, and says when its driver is ready; all that is
 * said to the peer is said by a coroutine of the main loop, which waits for answers without holding anything up.
 *
 * A peer that breaks the rules of the protocol, or does not answer in time, is disconnected. When the connection
 * comes back the rings go on where the driver sees them to be.
 */
#ifndef BP_HOST_VHOST_USER_H
#define BP_HOST_VHOST_USER_H

#include <bp/host/virtio.h>

BP_BEGIN_DECLS

struct bp_vhost_user; /* opaque: a peer */

#define BP_VHOST_USER_MAX_RINGS 256u

struct bp_vhost_user_ops {
    uint32_t size; /* sizeof(struct bp_vhost_user_ops) */
    /* The peer has come and is understood (true), or has gone. [main] */
    void (*there)(void *opaque, bool on);
    void *reserved[4];
};

struct bp_vhost_user_info {
    uint32_t size;    /* sizeof(struct bp_vhost_user_info) */
    uint32_t rings;   /* that the device has at most, up to BP_VHOST_USER_MAX_RINGS */
    const char *who;  /* for messages: "netdev 'n'"; copied */
    const char *chardev; /* its id */
    /* Bits of the device's type that the peer has to have a say in: what it does not offer is not offered. */
    uint64_t device_features;
    void *reserved[4];
};

struct bp_vhost_user_interface { /* vhost-user/1 */
    uint32_t size;
    /*
     * Takes the chardev, and waits for the peer: the machine of the command line does not start before it has been
     * heard. ops is borrowed. -ENOENT: there is no such chardev; -ENOTSUP: it is no UNIX socket; -EBUSY: it is in
     * use. [main]
     */
    int (*open)(struct bp_owner *owner, const struct bp_vhost_user_info *info, const struct bp_vhost_user_ops *ops,
                void *opaque, struct bp_vhost_user **ret_peer, struct bp_error *err);
    void (*close)(struct bp_vhost_user *peer); /* detaches; NULL is fine. [main] */
    /* The first `count` queues of a device are the peer's rings of the same numbers. -EINVAL: the guest's memory is
     * not shared, or more rings than the peer serves; -EBUSY: it has a device. [main] */
    int (*attach)(struct bp_vhost_user *peer, struct bp_virtio *virtio, unsigned count, struct bp_error *err);
    /* The device leaves. Nothing is waited for: the connection ends while the peer has rings. [main] */
    void (*detach)(struct bp_vhost_user *peer);
    /* Of info's device_features and those of all devices, what may be offered. [any] */
    uint64_t (*features)(struct bp_vhost_user *peer);
    void (*run)(struct bp_vhost_user *peer, bool on); /* from the class's running(). [locked] */
    void (*kick)(struct bp_vhost_user *peer, unsigned ring); /* from handle(). [locked] */
    void (*enable)(struct bp_vhost_user *peer, unsigned ring, bool on); /* at first all are. [locked] */
    bool (*is_there)(struct bp_vhost_user *peer); /* [any] */
    void *reserved[8];
};

BP_END_DECLS

#endif
