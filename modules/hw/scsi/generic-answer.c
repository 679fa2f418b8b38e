// SPDX-License-Identifier: LGPL-2.1-or-later
/* How a command on the host ended, as the guest hears it: a host adapter of ours has no status of its own beside the
 * device's, so that what went wrong before the device becomes sense data (SPC-4 4.5, annex of codes). */
#include <errno.h>
#include <string.h>

#include "generic.h"

enum { /* host_status of <scsi/sg.h> */
    DID_NO_CONNECT = 1, DID_BUS_BUSY, DID_TIME_OUT, DID_BAD_TARGET, DID_ABORT, DID_PARITY, DID_ERROR, DID_RESET,
    DID_BAD_INTR, DID_PASSTHROUGH, DID_SOFT_ERROR, DID_IMM_RETRY, DID_REQUEUE,
};
enum { SCSI_PROCESS_TERMINATED = 0x0006, SCSI_COMMAND_TIMEOUT = 0x2e02, SCSI_PARITY = 0x4700 };

uint32_t generic_fixed_sense(const uint8_t *from, uint32_t length, uint8_t *to)
{
    memset(to, 0, SENSE_SIZE);
    to[0] = from[0] & 1 ? 0x71 : 0x70; /* deferred, or current */
    to[7] = SENSE_SIZE - 8;
    if (length < 4)
        return SENSE_SIZE;
    to[2] = from[1] & 15;
    to[12] = from[2];
    to[13] = from[3];
    for (uint32_t at = 8; at + 2 <= length && at + 2u + from[at + 1] <= length; at += 2u + from[at + 1]) {
        if (from[at] == 0 && from[at + 1] >= 10 && scsi_get32(from + at + 4) == 0) { /* information */
            to[0] |= from[at + 2] & 0x80;
            memcpy(to + 3, from + at + 8, 4);
        } else if (from[at] == 2 && from[at + 1] >= 6) { /* where in the command */
            memcpy(to + 15, from + at + 4, 3);
        } else if (from[at] == 4 && from[at + 1] >= 2) { /* filemark, end of medium, incorrect length */
            to[2] |= from[at + 3] & 0xe0;
        }
    }
    return SENSE_SIZE;
}

static void end_with_error(struct generic *s, struct bp_scsi_request *r, int error)
{
    switch (error) {
    case ENOMEDIUM:
        generic_scsi->fail(r, SCSI_NOT_READY, SCSI_NO_MEDIUM);
        return;
    case EPERM: /* the host's kernel lets only some commands through, and of those only some to who may not write */
    case EACCES:
        if (generic_block->writable(s->blk))
            generic_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_OPCODE);
        else
            generic_scsi->fail(r, SCSI_DATA_PROTECT, SCSI_WRITE_PROTECTED);
        return;
    case EINVAL:
    case EOVERFLOW:
        generic_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    case ENODEV:
    case ENXIO:
        generic_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_LUN_NOT_SUPPORTED);
        return;
    case EAGAIN:
    case EBUSY:
        generic_scsi->complete(r, BP_SCSI_BUSY);
        return;
    case ENOMEM:
        generic_scsi->complete(r, BP_SCSI_TASK_SET_FULL);
        return;
    default:
        generic_scsi->fail(r, SCSI_ABORTED_COMMAND, SCSI_PROCESS_TERMINATED);
    }
}

static void end_of_adapter(struct bp_scsi_request *r, unsigned host_status)
{
    switch (host_status) {
    case DID_NO_CONNECT:
    case DID_BAD_TARGET:
        generic_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_LUN_NOT_SUPPORTED);
        return;
    case DID_BUS_BUSY:
    case DID_SOFT_ERROR:
    case DID_IMM_RETRY:
    case DID_REQUEUE:
        generic_scsi->complete(r, BP_SCSI_BUSY);
        return;
    case DID_TIME_OUT:
        generic_scsi->fail(r, SCSI_ABORTED_COMMAND, SCSI_COMMAND_TIMEOUT);
        return;
    case DID_PARITY:
        generic_scsi->fail(r, SCSI_ABORTED_COMMAND, SCSI_PARITY);
        return;
    case DID_RESET:
        generic_scsi->fail(r, SCSI_UNIT_ATTENTION, SCSI_RESET_OCCURRED);
        return;
    default:
        generic_scsi->fail(r, SCSI_ABORTED_COMMAND, SCSI_PROCESS_TERMINATED);
    }
}

static void end_with_sense(struct bp_scsi_request *r, const struct bp_block_scsi *c)
{
    uint8_t fixed[SENSE_SIZE];

    if ((c->sense[0] & 0x7e) == 0x72) /* 0x72, 0x73: descriptors */
        generic_scsi->check_condition(r, fixed, generic_fixed_sense(c->sense, c->sense_length, fixed));
    else
        generic_scsi->check_condition(r, c->sense, c->sense_length);
}

void generic_end(struct generic *s, struct bp_scsi_request *r, const struct bp_block_scsi *c, int ret)
{
    if (r->cancelled) {
        generic_scsi->complete(r, BP_SCSI_TASK_ABORTED);
    } else if (ret < 0) {
        end_with_error(s, r, -ret);
    } else if (generic_limits(s, r, c)) {
        generic_scsi->complete(r, BP_SCSI_GOOD);
    } else if (c->status == BP_SCSI_CHECK_CONDITION && c->sense_length) {
        r->moved = c->moved;
        end_with_sense(r, c);
    } else if (c->host_status) {
        end_of_adapter(r, c->host_status);
    } else {
        r->moved = c->moved;
        generic_scsi->complete(r, c->status);
    }
}
