/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of SCSI disks and CD-ROM drives share. */
#ifndef HW_SCSI_DISK_H
#define HW_SCSI_DISK_H

#include <bp/host/block.h>

#include "scsi.h"

#define MAX_DESCRIPTORS 256u /* of UNMAP */

struct reservations;

/* What one path (I_T nexus) to a logical unit has reserved there: reserve.c. */
struct nexus {
    struct reservations *set; /* of the logical unit */
    struct sdisk *next;       /* of the set: another path */
    uint64_t initiator;       /* its address */
    uint64_t key;
    bool registered;
    bool legacy;         /* RESERVE (6) */
    uint8_t held;        /* the persistent reservation's type; all registrants': each of them. 0: none */
    uint32_t generation; /* the set's: all have the same */
    uint16_t news;       /* a unit attention that another path left here: ASC << 8 | ASCQ; atomic */
    bool aborting;       /* PREEMPT AND ABORT waits for its commands; atomic */
    struct bp_scsi_request *waiting; /* that command, on its own path */
    struct bp_deferred *aborts;
};

struct sdisk {
    struct bp_device *dev;
    struct bp_scsi_unit *unit;
    struct bp_blk *blk;
    struct bp_participant *participant;
    struct bp_blk_conf conf;
    bool cd;
    /* properties */
    char *serial, *vendor, *product, *version, *device_id;
    uint64_t wwn;
    uint32_t max_unmap, max_io;
    uint16_t rotation_rate;
    bool removable, dpofua;
    /* state */
    bool tray_open, locked, write_cache;
    bool eject_wanted, media_news; /* CD: for GET EVENT STATUS NOTIFICATION */
    uint8_t tray_wanted;     /* 1: it closes, 2: it opens; the block layer is told on the main loop */
    struct nexus nexus;
    struct bp_owner *main;
    struct bp_deferred *tray;
};

/* A command at the block layer. */
struct job {
    struct sdisk *s;
    struct bp_scsi_request *request;
    struct bp_blk_request *at_block;
    enum bp_block_op op;
    struct bp_block_request req;
    uint64_t moves;        /* bytes of data when it succeeds */
    struct iovec fill;     /* WRITE SAME's block, repeated */
    uint64_t fill_left, fill_at;
    uint8_t *ranges;       /* UNMAP's descriptors */
    unsigned range, range_count;
};

extern const struct bp_scsi_interface *sdisk_scsi;
extern const struct bp_block_interface *sdisk_block;

static inline uint64_t sdisk_blocks(const struct sdisk *s)
{
    int64_t length = sdisk_block->length(s->blk);

    return length > 0 ? (uint64_t)length / s->conf.logical_block_size : 0;
}

void sdisk_answer(struct bp_scsi_request *r, const void *data, uint64_t length, uint64_t allocated);
/* False: there is none, and the request has been answered so. */
bool sdisk_has_medium(struct sdisk *s, struct bp_scsi_request *r);

void sdisk_submit(void *state, struct bp_scsi_request *r);
void sdisk_cancel(void *state, struct bp_scsi_request *r);

/* ---- inquiry.c ---- */
void sdisk_inquiry(struct sdisk *s, struct bp_scsi_request *r);
void sdisk_mode_sense(struct sdisk *s, struct bp_scsi_request *r, bool ten);
void sdisk_mode_select(struct sdisk *s, struct bp_scsi_request *r, bool ten);

/* ---- reserve.c: persistent reservations (SPC-4 5.13), RESERVE (6). The disk's unit and block node are there ---- */
void sdisk_reserve_attach(struct sdisk *s);   /* [main] */
void sdisk_reserve_detach(struct sdisk *s);   /* its commands have ended. [main] */
void sdisk_reserve_give_up(struct sdisk *s);  /* before its commands are ended: none waits. [main] */
void sdisk_reserve_reset(struct sdisk *s);    /* [locked] */
void sdisk_reserve_ended(struct sdisk *s);    /* a command of it has ended. [locked] */
/* False: the command has been answered: a unit attention, or RESERVATION CONFLICT. [locked] */
bool sdisk_may_begin(struct sdisk *s, struct bp_scsi_request *r);
void sdisk_reserve_in(struct sdisk *s, struct bp_scsi_request *r);
void sdisk_reserve_out(struct sdisk *s, struct bp_scsi_request *r);
void sdisk_reserve_legacy(struct sdisk *s, struct bp_scsi_request *r, bool reserve);

/* ---- conflict.c ---- */
enum { RESERVE_WRITE_EXCLUSIVE = 1, RESERVE_EXCLUSIVE = 3, RESERVE_WRITE_REGISTRANTS = 5, RESERVE_REGISTRANTS = 6,
       RESERVE_WRITE_ALL = 7, RESERVE_ALL = 8 };
bool sdisk_is_reservation(unsigned type); /* one of these */
/* May a command go on that others have not reserved the unit for? `held` is what they hold. Pure. */
bool sdisk_is_allowed(const uint8_t *cdb, uint8_t held, bool registered);
bool sdisk_is_allowed_legacy(const uint8_t *cdb); /* while another has RESERVE (6) */

/* ---- cd.c: true: it was one of its commands ---- */
bool sdisk_cd_command(struct sdisk *s, struct bp_scsi_request *r);

#endif
