/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of SCSI disks and CD-ROM drives share. */
#ifndef HW_SCSI_DISK_H
#define HW_SCSI_DISK_H

#include <bp/host/block.h>

#include "scsi.h"

#define MAX_DESCRIPTORS 256u /* of UNMAP */

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

/* ---- cd.c: true: it was one of its commands ---- */
bool sdisk_cd_command(struct sdisk *s, struct bp_scsi_request *r);

#endif
