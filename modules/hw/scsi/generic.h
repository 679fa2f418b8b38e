/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of passed-through SCSI devices share. */
#ifndef HW_SCSI_GENERIC_H
#define HW_SCSI_GENERIC_H

#include <bp/host/block.h>

#include "scsi.h"

struct generic {
    struct bp_device *dev;
    struct bp_scsi_unit *unit;
    struct bp_blk *blk;
    struct bp_blk_conf conf;
    uint32_t timeout;      /* s */
    uint8_t type;          /* of the device: SPC-4 6.4.2 */
    uint32_t block_size;   /* bytes */
    uint64_t max_transfer; /* bytes of a command, on the host; 0: unknown */
};

extern const struct bp_scsi_interface *generic_scsi;
extern const struct bp_block_interface *generic_block;

/* ---- generic-answer.c ---- */
/* Ends a request as the device, the host's adapter or its kernel (ret: -errno) said. [locked] */
void generic_end(struct generic *s, struct bp_scsi_request *r, const struct bp_block_scsi *c, int ret);
/* Sense data of the descriptor format in the fixed one (SPC-4 4.5). `to` has SENSE_SIZE bytes. Returns their number. */
uint32_t generic_fixed_sense(const uint8_t *from, uint32_t length, uint8_t *to);

/* ---- generic-limits.c ---- */
/* A disk's INQUIRY pages say what the host lets through: true, and `r` has the data of another answer. */
bool generic_limits(const struct generic *s, struct bp_scsi_request *r, const struct bp_block_scsi *c);

#endif
