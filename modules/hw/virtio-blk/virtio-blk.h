/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the virtio disk share. */
#ifndef HW_VIRTIO_BLK_H
#define HW_VIRTIO_BLK_H

#include <bp/host/block.h>
#include <bp/host/virtio.h>

#define SECTOR 512u
#define ID_SIZE 20u
#define SHORT_VECTORS 8u

enum { /* feature bits, 5.2.3 */
    F_SEG_MAX = 2,
    F_GEOMETRY = 4,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,
};

enum { /* requests, 5.2.6 */
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
};

enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

enum { /* configuration, 5.2.4 */
    CFG_CAPACITY = 0,
    CFG_SEG_MAX = 12,
    CFG_GEOMETRY = 16,
    CFG_BLK_SIZE = 20,
    CFG_TOPOLOGY = 24,
    CFG_WCE = 32,
    CFG_NUM_QUEUES = 34,
    CFG_DISCARD = 36,
    CFG_WRITE_ZEROES = 48,
    CFG_SIZE = 60,
};

struct vblk {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_blk *blk;
    struct bp_participant *participant;
    struct bp_blk_conf conf;
    struct bp_object *iothread;
    /* properties */
    char *serial;
    bool config_wce, discard, write_zeroes, report_granularity, merging, seg_max_adjust;
    uint16_t num_queues, queue_size;
    uint32_t max_discard, max_zeroes; /* sectors */
    /* in the main context requests are submitted under the machine lock, and by this */
    struct bp_owner *main;
    struct bp_deferred *submit;
    bool drained; /* takes nothing up */
    bool write_cache; /* as it was when the device came */
    struct job *jobs; /* at the block layer */
    struct job *waiting, **waiting_tail; /* for `submit` */
    unsigned active;
};

/* One request of the driver, in its `own` memory. */
struct job {
    struct vblk *s;
    struct bp_virtq_request *request;
    struct job *next, **link;
    struct job *next_waiting;
    struct bp_blk_request *at_block; /* NULL: not submitted yet */
    enum bp_block_op op;
    struct bp_block_request req;
    const struct iovec *status;  /* where the status byte goes */
    uint64_t status_at;          /* in the writable part */
    uint64_t written;            /* when it succeeds, without the status */
    struct iovec *made;          /* vectors of our own, when the guest's divide otherwise; or NULL */
    struct iovec short_made[SHORT_VECTORS];
};

extern const struct bp_virtio_interface *vblk_virtio;
extern const struct bp_block_interface *vblk_block;

/* ---- request.c ---- */
bool vblk_handle(void *opaque, struct bp_virtq *queue);
void vblk_submit_waiting(void *opaque);
void vblk_cancel_all(struct vblk *s, struct bp_virtq *queue); /* NULL: of all queues */
void vblk_forget_all(struct vblk *s); /* the block layer has let go of all */

#endif
