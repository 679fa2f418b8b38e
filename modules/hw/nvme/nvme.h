/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the NVMe controller share. Names are those of NVM Express 1.4. */
#ifndef HW_NVME_NVME_H
#define HW_NVME_NVME_H

#include <endian.h>

#include <bp/bus/pci.h>
#include <bp/dma.h>
#include <bp/host/block.h>
#include <bp/loop.h>

#define NVME_PAGE 4096u
#define NVME_MAX_PAIRS 64u
#define NVME_QUEUES (NVME_MAX_PAIRS + 1) /* with the admin queue, number 0 */
#define NVME_ENTRIES 2048u /* of a queue at most */
#define NVME_EVENTS 4u     /* requests for asynchronous events that are kept */
#define NVME_SECTOR 512u

enum { /* status: type << 8 | code (figure 126 ...) */
    NVME_SUCCESS = 0x000,
    NVME_INVALID_OPCODE = 0x001,
    NVME_INVALID_FIELD = 0x002,
    NVME_DATA_TRANSFER = 0x004,
    NVME_INTERNAL = 0x006,
    NVME_ABORTED = 0x007,
    NVME_ABORTED_SQ = 0x008,
    NVME_INVALID_NAMESPACE = 0x00b,
    NVME_INVALID_PRP = 0x013,
    NVME_LBA_RANGE = 0x080,
    NVME_CAPACITY = 0x081,
    NVME_COMPLETION_QUEUE = 0x100,
    NVME_QUEUE_ID = 0x101,
    NVME_QUEUE_SIZE = 0x102,
    NVME_TOO_MANY_EVENTS = 0x105,
    NVME_VECTOR = 0x108,
    NVME_LOG_PAGE = 0x109,
    NVME_QUEUE_DELETION = 0x10c,
    NVME_NOT_SAVEABLE = 0x10d,
    NVME_WRITE_FAULT = 0x280,
    NVME_READ_ERROR = 0x281,
    NVME_READ_ONLY = 0x182,
    NVME_NO_RETRY = 0x4000,
};

struct nvme_command { /* as it stands in guest memory */
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid, cdw2, cdw3;
    uint64_t mptr, prp1, prp2;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct nvme_completion {
    uint32_t dw0, dw1;
    uint16_t sq_head, sq_id, cid, status; /* status: phase in bit 0 */
};

struct nvme_sq {
    bool exists;
    uint16_t cq, entries, head, tail;
    uint64_t base;
    struct bp_doorbell *bell;
};

struct nvme_cq {
    bool exists, interrupts, phase;
    uint16_t entries, head, tail, vector;
    uint32_t users; /* submission queues */
    uint64_t base;
    struct bp_doorbell *bell;
};

/* A command that has been fetched and not been answered. */
struct nvme_request {
    struct nvme *s;
    struct nvme_request *next, **link;
    struct nvme_command c; /* in the host's order of bytes */
    uint16_t sq;
    bool orphan;    /* its queue is gone */
    bool preparing; /* its data are being looked up: it is not to be freed */
    struct bp_blk_request *at_block;
    enum bp_block_op op;
    struct bp_block_request req;
    struct bp_dma *map;
    uint8_t *ranges; /* of dataset management */
    unsigned range, range_count;
};

struct nvme_waiting { /* a completion without room in its queue; a command that was under way */
    uint16_t queue;
    uint8_t bytes[64];
};

struct nvme {
    struct bp_device *dev;
    struct bp_blk *blk;
    struct bp_blk_conf conf;
    struct bp_object *iothread;
    struct bp_participant *participant;
    char *serial;
    uint32_t pairs, mdts;
    uint16_t vectors;
    struct bp_region *bar;
    struct bp_owner *main; /* its calls hold the machine lock */
    struct bp_deferred *drive, *submit;
    /* registers */
    uint32_t intms, cc, csts, aqa;
    uint64_t asq, acq;
    uint32_t features_vwc, features_aec, features_arbitration, features_temperature, features_error;
    struct nvme_sq sq[NVME_QUEUES];
    struct nvme_cq cq[NVME_QUEUES];
    uint32_t pins; /* completion queues that interrupt by INTx; atomic */
    struct nvme_request *requests;
    struct nvme_completion *waiting; /* completions */
    uint32_t waiting_count, waiting_room;
    uint16_t events[NVME_EVENTS]; /* cids */
    uint32_t event_count;
    bool drained, write_cache;
    uint64_t read_units, written_units, read_commands, written_commands; /* for SMART */
    /* while saving and loading */
    struct nvme_waiting *saved;
    uint32_t saved_count;
};

extern const struct bp_pci_interface *nvme_pci;
extern const struct bp_block_interface *nvme_block;

/* ---- queue.c [locked] ---- */
void nvme_fetch_all(struct nvme *s);
void nvme_answer(struct nvme *s, uint16_t sq, uint16_t cid, uint32_t dw0, uint16_t status);
void nvme_flush_waiting(struct nvme *s);
void nvme_interrupt(struct nvme *s, unsigned cq);
void nvme_drive_line(void *opaque);
int nvme_read(struct nvme *s, uint64_t addr, void *buf, uint64_t length);
int nvme_write(struct nvme *s, uint64_t addr, const void *buf, uint64_t length);
int nvme_bells(struct nvme *s, struct bp_error *err);
void nvme_delete_queues(struct nvme *s);

/* ---- admin.c: status, or -1 when it is answered later ---- */
int nvme_admin(struct nvme *s, const struct nvme_command *c, uint32_t *ret_dw0);

/* ---- io.c ---- */
/* Carries a command of an I/O queue out, or a replayed one. */
void nvme_io(struct nvme *s, uint16_t sq, const struct nvme_command *c);
void nvme_submit_waiting(void *opaque);
/* All of a queue (or of all: UINT16_MAX): ended soon, and not answered. */
void nvme_cancel(struct nvme *s, uint16_t sq);
void nvme_forget_all(struct nvme *s);
/* Copies between memory of ours and what PRPs describe; a status. */
int nvme_copy(struct nvme *s, const struct nvme_command *c, void *buf, uint32_t length, bool to_guest);
static inline uint64_t nvme_blocks(const struct nvme *s)
{
    int64_t length = nvme_block->length(s->blk);

    return length > 0 ? (uint64_t)length / s->conf.logical_block_size : 0;
}

#endif
