/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the virtio module share: a device, its queues, its requests. */
#ifndef HW_VIRTIO_ENGINE_H
#define HW_VIRTIO_ENGINE_H

#include <endian.h>

#include <bp/dma.h>
#include <bp/doorbell.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#include "transport.h"

enum { /* device status, 2.1 */
    STATUS_ACKNOWLEDGE = 1,
    STATUS_DRIVER = 2,
    STATUS_DRIVER_OK = 4,
    STATUS_FEATURES_OK = 8,
    STATUS_NEEDS_RESET = 64,
    STATUS_FAILED = 128,
};

enum { /* descriptors, 2.7.5 and 2.8.1 */
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    DESC_AVAIL = 1 << 7,
    DESC_USED = 1 << 15,
};

/* A descriptor as it stands in guest memory; in packed rings `next` is the buffer's id and stands before
 * the flags, which packed.c swaps. */
struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct request {
    struct bp_virtq_request pub; /* first */
    struct request *next, *prev; /* those in flight, oldest first; or the pool */
    struct bp_dma *out_map, *in_map;
    struct iovec *addresses; /* BP_VIRTQ_ADDRESSES */
    uint32_t epoch;    /* of the queue when it was taken */
    uint16_t head;     /* split: its first descriptor; packed: buffer id */
    uint16_t slots;    /* entries of the ring that it takes */
    uint16_t position; /* in the ring; packed: with `wrap` */
    bool wrap;
    bool done;         /* IN_ORDER: waits for those before it */
    bool replayed;
    uint64_t written;
};

struct chain { /* what a ring's pop found */
    struct desc desc[BP_VIRTQ_MAX_SIZE];
    unsigned count;
    uint16_t head, slots, position;
    bool wrap;
};

struct flight { /* a request that was in flight when state was saved */
    uint16_t queue, head, position;
    uint8_t wrap;
};

#define VIRTQ_BELLS 2u /* a transport has an interface or two */

struct bp_virtq {
    struct bp_virtio *virtio;
    struct bp_virtq_info info;
    uint16_t index;
    uint16_t size, initial; /* entries; as offered */
    uint64_t desc, driver, device; /* guest addresses of the ring's parts */
    bool enabled, packed, event_idx, in_order;
    bool resetting;         /* RING_RESET was asked for; requests have not ended yet */
    bool popping;           /* memory is being looked at, the lock may have been let go */
    bool kicks;             /* handle() wants to be called */
    bool handling, over;    /* handle() is at work; and had as many requests as are good for a turn */
    uint16_t turn;          /* requests that it still may have */
    bool avail_wrap, used_wrap;
    bool event_valid;       /* split: signalled is what the driver knows */
    bool first_flags_due;   /* packed: the batch's first flags are not written yet */
    uint16_t avail, used;   /* split: free-running; packed: positions */
    uint16_t avail_seen;    /* split: the driver's index when it was read last */
    uint16_t batch;         /* entries (packed: ring slots) that were pushed and not flushed */
    uint64_t moved;         /* bytes of the batch's requests */
    uint16_t first, first_flags; /* packed: of the batch's first */
    uint32_t epoch;         /* changes when what is in flight is not the driver's any more */
    unsigned in_flight, orphans;
    struct request *oldest, *newest, *pool;
    unsigned pooled;
    struct flight *replay;  /* requests to hand out before the ring's */
    unsigned replay_count, replay_next;
    struct bp_doorbell *bell; /* rings of transports that have no bell of their own, and schedule() */
    struct bp_doorbell *bells[VIRTQ_BELLS]; /* of the transport */
    unsigned bell_count;
    struct bp_dma_wait *wait; /* for bounce buffers */
};

struct saved_queue {
    uint16_t size, avail, used;
    uint64_t desc, driver, device;
    uint8_t enabled, kicks, avail_wrap, used_wrap, event_valid;
};

struct bp_virtio {
    struct bp_device *dev;
    const struct bp_virtio_class *class;
    void *opaque;
    struct virtio_transport transport;
    void *transport_opaque;
    /* properties */
    bool indirect_desc, event_idx, notify_on_empty, any_layout, packed, queue_reset, in_order,
        notification_data, iommu_platform;
    /* what the driver sees */
    uint64_t driver_features, limit;
    uint8_t status;
    bool legacy;    /* the driver uses the legacy interface */
    bool running, broken;
    bool draining;  /* requests of before a reset are in flight: nothing new is taken up */
    uint8_t generation;
    uint8_t *config;
    uint32_t config_size;
    struct bp_virtq **queues;
    unsigned count, vectors, orphans;
    struct bp_region *bells; /* never mapped: for queues' own bells */
    struct shared_context *shared;
    /* while saving and loading */
    uint8_t saved_flags;
    struct saved_queue *saved;
    uint32_t saved_count, flight_count;
    struct flight *flight;
};

extern const struct bp_level_class virtio_level;
extern const struct bp_virtio_interface virtio_table;
extern const struct bp_state_table virtio_state;

/* ---- memory.c: the driver's memory, of a queue ---- */
struct bp_space *virtio_dma(struct bp_virtio *v); /* what addresses of the driver lead to, as of now */
int virtio_read_memory(struct bp_virtio *v, uint64_t addr, void *buf, uint64_t len);
/* False: it is not there (the device is broken now), or the queue was reset meanwhile. */
bool virtq_read(struct bp_virtq *q, uint64_t addr, void *buf, uint64_t len);
bool virtq_write(struct bp_virtq *q, uint64_t addr, const void *buf, uint64_t len);
bool virtq_read16(struct bp_virtq *q, uint64_t addr, uint16_t *ret);
bool virtq_write16(struct bp_virtq *q, uint64_t addr, uint16_t value);

/* ---- split.c, packed.c: rings. The queue is enabled and works. ---- */
/* 1: *chain is one; 0: there is none; -1: the device is broken, or the queue was reset. `at`: this
 * one, that was in flight. */
int split_pop(struct bp_virtq *q, const struct flight *at, struct chain *chain);
bool split_empty(struct bp_virtq *q);
void split_unpop(struct bp_virtq *q, const struct request *r);
void split_push(struct bp_virtq *q, const struct request *r, uint32_t written);
bool split_flush(struct bp_virtq *q); /* is the driver to be interrupted? */
void split_kicks(struct bp_virtq *q, bool wanted);

int packed_pop(struct bp_virtq *q, const struct flight *at, struct chain *chain);
bool packed_empty(struct bp_virtq *q);
void packed_unpop(struct bp_virtq *q, const struct request *r);
void packed_push(struct bp_virtq *q, const struct request *r, uint32_t written);
bool packed_flush(struct bp_virtq *q);
void packed_kicks(struct bp_virtq *q, bool wanted);

/* The table that an indirect descriptor leads to, as a chain; false: broken or reset. */
bool virtq_indirect(struct bp_virtq *q, const struct desc *d, bool linked, struct chain *chain);
/* Has the event index `event` been passed by going from `old` to `new`? (2.7.10) */
static inline bool virtq_passed(uint16_t event, uint16_t new_index, uint16_t old_index)
{
    return (uint16_t)(new_index - event - 1) < (uint16_t)(new_index - old_index);
}

/* ---- queue.c ---- */
int virtq_new(struct bp_virtio *v, const struct bp_virtq_info *info, struct bp_virtq **ret_queue,
              struct bp_error *err);
void virtq_free(struct bp_virtq *q);
struct bp_virtq_request *virtq_pop(struct bp_virtq *q);
bool virtq_empty(struct bp_virtq *q);
void virtq_push(struct bp_virtq *q, struct bp_virtq_request *request, uint64_t written);
void virtq_flush(struct bp_virtq *q);
void virtq_complete(struct bp_virtq *q, struct bp_virtq_request *request, uint64_t written);
void virtq_unpop(struct bp_virtq *q, struct bp_virtq_request *request);
void virtq_drop(struct bp_virtq *q, struct bp_virtq_request *request);
bool virtq_kicks(struct bp_virtq *q, bool wanted);
void virtq_schedule(struct bp_virtq *q);
/* ---- external.c: rings that somebody else serves [locked] ---- */
bool virtq_ring(struct bp_virtq *q, struct bp_virtq_ring *ret_ring);
int virtq_set_position(struct bp_virtq *q, const struct bp_virtq_ring *ring);
void virtq_interrupt(struct bp_virtq *q);
void virtq_kick_fd(struct bp_virtq *q, int fd);
int virtq_interrupt_fd(struct bp_virtq *q, int fd, void (*changed)(void *opaque, bool taken), void *opaque);
static inline bool virtq_is_external(const struct bp_virtq *q)
{
    return q->info.flags & BP_VIRTQ_EXTERNAL;
}

/* ---- queue.c again ---- */
bool virtq_works(const struct bp_virtq *q);
void virtq_handle(void *queue); /* what a bell calls */
/* Nothing in flight is the driver's any more. */
void virtq_forget(struct bp_virtq *q);
void virtq_reset_registers(struct bp_virtq *q);
/* The queue begins to work: flags that depend on features are settled. */
void virtq_settle(struct bp_virtq *q);

/* ---- device.c ---- */
void virtio_broken(struct bp_virtio *v, const char *why);
/* A request of before a reset has ended. */
void virtio_orphan_ended(struct bp_virtio *v);
bool virtio_works(const struct bp_virtio *v);
static inline bool virtio_has(const struct bp_virtio *v, unsigned bit)
{
    return v->driver_features >> bit & 1;
}
uint64_t virtio_offered(struct bp_virtio *v);

/* ---- shared.c ---- */
int virtio_shared_context(struct bp_virtio *v, struct bp_context **ret_ctx, struct bp_error *err);
void virtio_shared_leave(struct bp_virtio *v);

#endif
