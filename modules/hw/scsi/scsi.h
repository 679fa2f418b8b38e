/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this folder share: numbers of SPC-4, SBC-3, MMC-6. */
#ifndef HW_SCSI_SCSI_H
#define HW_SCSI_SCSI_H

#include <stdio.h>
#include <string.h>

#include <bp/host/scsi.h>
#include <bp/level.h>

#define SENSE_SIZE 18u
#define REPORTED 256u /* units that a list has at most */

enum { /* sense keys */
    SCSI_NOT_READY = 2,
    SCSI_MEDIUM_ERROR = 3,
    SCSI_HARDWARE_ERROR = 4,
    SCSI_ILLEGAL_REQUEST = 5,
    SCSI_UNIT_ATTENTION = 6,
    SCSI_DATA_PROTECT = 7,
    SCSI_ABORTED_COMMAND = 0xb,
};

enum { /* additional sense: ASC << 8 | ASCQ */
    SCSI_NO_SENSE = 0x0000,
    SCSI_WRITE_ERROR = 0x0c00,
    SCSI_READ_ERROR = 0x1100,
    SCSI_INVALID_OPCODE = 0x2000,
    SCSI_LBA_OUT_OF_RANGE = 0x2100,
    SCSI_INVALID_FIELD = 0x2400,
    SCSI_LUN_NOT_SUPPORTED = 0x2500,
    SCSI_INVALID_PARAMETER = 0x2600,
    SCSI_INVALID_RELEASE = 0x2604,
    SCSI_PARAMETER_LENGTH = 0x1a00,
    SCSI_WRITE_PROTECTED = 0x2700,
    SCSI_MEDIUM_CHANGED = 0x2800,
    SCSI_RESET_OCCURRED = 0x2900,
    SCSI_RESERVATIONS_PREEMPTED = 0x2a03,
    SCSI_RESERVATIONS_RELEASED = 0x2a04,
    SCSI_REGISTRATIONS_PREEMPTED = 0x2a05,
    SCSI_CAPACITY_CHANGED = 0x2a09,
    SCSI_NO_MEDIUM = 0x3a00,
    SCSI_TRAY_OPEN = 0x3a02,
    SCSI_INTERNAL_FAILURE = 0x4400,
    SCSI_REMOVAL_PREVENTED = 0x5302,
    SCSI_SPACE_ALLOCATION = 0x2707,
};

enum { /* commands that the bus knows */
    SCSI_REQUEST_SENSE = 0x03,
    SCSI_INQUIRY = 0x12,
    SCSI_REPORT_LUNS = 0xa0,
};

static inline uint16_t scsi_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t scsi_get32(const uint8_t *p)
{
    return (uint32_t)scsi_get16(p) << 16 | scsi_get16(p + 2);
}

static inline uint64_t scsi_get64(const uint8_t *p)
{
    return (uint64_t)scsi_get32(p) << 32 | scsi_get32(p + 4);
}

static inline void scsi_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void scsi_put32(uint8_t *p, uint32_t v)
{
    scsi_put16(p, v >> 16);
    scsi_put16(p + 2, v & 0xffff);
}

static inline void scsi_put64(uint8_t *p, uint64_t v)
{
    scsi_put32(p, (uint32_t)(v >> 32));
    scsi_put32(p + 4, (uint32_t)v);
}

static inline uint64_t scsi_copy(const struct iovec *iov, unsigned count, void *data, uint64_t length, bool to_guest)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < count && done < length; i++) {
        uint64_t n = iov[i].iov_len < length - done ? iov[i].iov_len : length - done;

        if (to_guest)
            memcpy(iov[i].iov_base, (uint8_t *)data + done, n);
        else
            memcpy((uint8_t *)data + done, iov[i].iov_base, n);
        done += n;
    }
    return done;
}

/* length.c: bytes that a command moves at most, and which way. */
uint64_t scsi_moves(const uint8_t *cdb, uint32_t block_size, bool *ret_out);

#endif
