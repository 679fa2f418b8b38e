/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of the module `vhost-user`: messages, the memory that a peer sees, its rings, its life. */
#ifndef HW_VHOST_USER_H
#define HW_VHOST_USER_H

#include <bp/coroutine.h>
#include <bp/host/chardev.h>
#include <bp/host/vhost-user.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <bp/run.h>

#define MAX_REGIONS 8u /* of a memory table, in the protocol's basic form */
#define MAX_PAYLOAD 1024u
#define NO_FD (-1)

enum { /* requests, by the protocol's numbers */
    GET_FEATURES = 1, SET_FEATURES = 2, SET_OWNER = 3, SET_MEM_TABLE = 5, SET_LOG_BASE = 6, SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9, SET_VRING_BASE = 10, GET_VRING_BASE = 11, SET_VRING_KICK = 12, SET_VRING_CALL = 13,
    GET_PROTOCOL_FEATURES = 15, SET_PROTOCOL_FEATURES = 16, GET_QUEUE_NUM = 17, SET_VRING_ENABLE = 18,
};
#define F_LOG_ALL 26u           /* features that are the protocol's own */
#define F_PROTOCOL_FEATURES 30u
#define P_MQ 0u                 /* protocol features */
#define P_LOG_SHMFD 1u
#define P_REPLY_ACK 3u

/* Features of rings, which whoever serves them has to have. */
#define RING_FEATURES \
    (BP_VIRTIO_BIT(BP_VIRTIO_ANY_LAYOUT) | BP_VIRTIO_BIT(BP_VIRTIO_INDIRECT_DESC) | \
     BP_VIRTIO_BIT(BP_VIRTIO_EVENT_IDX) | BP_VIRTIO_BIT(BP_VIRTIO_VERSION_1) | \
     BP_VIRTIO_BIT(BP_VIRTIO_RING_PACKED) | BP_VIRTIO_BIT(BP_VIRTIO_IN_ORDER))
/* What every peer has: for one that has not come yet. */
#define UNKNOWN_PEER (BP_VIRTIO_BIT(BP_VIRTIO_VERSION_1) | BP_VIRTIO_BIT(BP_VIRTIO_ANY_LAYOUT))

struct message {
    uint32_t request, flags, size;
    union {
        uint64_t value;
        struct {
            uint32_t index, number;
        } state;
        struct {
            uint32_t index, flags;
            uint64_t desc, used, avail, log;
        } address;
        struct {
            uint64_t size, offset;
        } log;
        struct {
            uint32_t count, padding;
            struct {
                uint64_t guest, size, user, offset;
            } region[MAX_REGIONS];
        } memory;
        uint8_t bytes[MAX_PAYLOAD];
    };
} __attribute__((packed, aligned(8)));
#define HEADER_BYTES 12u

struct piece { /* of guest memory that lies in a file that the peer can map */
    struct bp_region *region;
    uint64_t guest, size, region_offset, file_offset;
    uint8_t *host;
    int fd;
};

struct memory { /* as a peer is to see it */
    struct piece *all; /* every shared section, as they come */
    unsigned count, room;
    bool changed;
    struct piece table[MAX_REGIONS]; /* joined; the largest */
    unsigned table_count;
    struct bp_ram_claim *claims[MAX_REGIONS];
};

struct ring {
    struct bp_vhost_user *peer;
    struct bp_virtq *queue;
    int kick, call; /* eventfds */
    struct bp_watch *watch;
    bool enabled;   /* wanted */
    bool told;      /* what the peer knows */
    bool started;
};

struct bp_vhost_user {
    struct bp_owner *owner, *follows; /* its coroutine's; of the machine's runs and stops, with a device */
    char *who, *chardev_id;
    const struct bp_vhost_user_ops *ops;
    void *opaque;
    uint64_t device_features;
    unsigned rings;
    struct bp_chardev *chr;
    bool connected;
    struct bp_start_hold *hold;
    struct bp_co *co;
    int fd;         /* ours, of the socket */
    bool packed;    /* rings that it has are */
    bool open;      /* the chardev's peer is there */
    bool lost;      /* the connection that fd is of has ended */
    bool there;     /* and has been understood */
    bool failed;    /* it broke a rule: nothing more is said on this connection */
    uint64_t features, protocol; /* that it offers */
    unsigned max_queues;
    /* the device; with its lock */
    struct bp_virtio *virtio;
    struct bp_device *dev;
    struct bp_space *space;
    unsigned count;
    struct ring ring[BP_VHOST_USER_MAX_RINGS];
    bool wanted;   /* the driver is ready */
    bool machine_runs;
    bool serving;  /* the peer has the rings */
    bool holds;    /* the driver resets the device while it has */
    bool enables;  /* which rings are enabled has changed */
    struct memory memory;
    int log_fd;
    uint64_t *log; /* one bit for each 4 KiB page; the peer sets them */
    size_t log_size;
};

extern const struct bp_chardev_interface *vhost_chardev;
extern const struct bp_virtio_interface *vhost_virtio;

/* ---- message.c: inside the coroutine; each [waits] ---- */
/* -ECONNRESET: the connection has gone; -ETIMEDOUT; -ECANCELED. */
int message_send(struct bp_vhost_user *peer, struct message *m, const int *fds, unsigned fd_count);
/* Sends it and waits for the answer to it, which has `size` bytes. -EPROTO: it is none. */
int message_ask(struct bp_vhost_user *peer, struct message *m, uint32_t size);
/* Sends it and, where the peer can say so, waits until it has done it. */
int message_send_acked(struct bp_vhost_user *peer, struct message *m, const int *fds, unsigned fd_count);
int message_send_u64(struct bp_vhost_user *peer, uint32_t request, uint64_t value);
int message_send_state(struct bp_vhost_user *peer, uint32_t request, uint32_t index, uint32_t number);
int message_send_fd(struct bp_vhost_user *peer, uint32_t request, uint32_t index, int fd);
/* The answer to SET_LOG_BASE, which has no payload, or one that says nothing. */
int message_log_answer(struct bp_vhost_user *peer);
int message_ask_u64(struct bp_vhost_user *peer, uint32_t request, uint64_t *ret_value);

/* ---- memory.c ---- [main] */
void memory_watch(struct bp_vhost_user *peer);
void memory_unwatch(struct bp_vhost_user *peer);
bool memory_is_shared(const struct bp_vhost_user *peer); /* is there something at all that the peer can see? */
int memory_tell(struct bp_vhost_user *peer);             /* [waits] */
/* Where guest memory lies for the protocol; false: not `size` bytes of it in one piece of the table. */
bool memory_find(const struct bp_vhost_user *peer, uint64_t guest, uint64_t size, uint64_t *ret_user);
void memory_forget(struct bp_vhost_user *peer); /* what the peer was told holds no more */

/* ---- log.c: what the peer writes is told to who keeps track of writes ---- */
int log_tell(struct bp_vhost_user *peer); /* [waits]; a new log for the table that was told */
void log_merge(struct bp_vhost_user *peer); /* [locked] */
void log_free(struct bp_vhost_user *peer);

/* ---- ring.c ---- */
int rings_start(struct bp_vhost_user *peer); /* [waits] */
int rings_stop(struct bp_vhost_user *peer);  /* [waits] */
int rings_enable(struct bp_vhost_user *peer); /* [waits] */
void rings_lost(struct bp_vhost_user *peer);  /* the connection is gone. [main] */
int rings_make(struct bp_vhost_user *peer, struct bp_error *err);
void rings_free(struct bp_vhost_user *peer);

#endif
