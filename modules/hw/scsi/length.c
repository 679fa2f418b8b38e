// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How much data a command moves, and which way (SPC-4, SBC-3, MMC-6): on a parallel bus it is the target that knows.
 */
#include "scsi.h"

#define ALLOCATION_MAX 65536u

enum { FIXED, BYTE, HALF, THREE, WORD, BLOCKS, ONE_BLOCK }; /* what says how much */

static const struct command {
    uint8_t opcode, kind, at; /* `at`: in the CDB; FIXED: the number of bytes */
    bool out;
} commands[] = {
    {0x03, BYTE, 4, false},  /* REQUEST SENSE */
    {0x08, BLOCKS, 0, false}, {0x28, BLOCKS, 0, false}, {0x88, BLOCKS, 0, false}, {0xa8, BLOCKS, 0, false}, /* READ */
    {0x0a, BLOCKS, 0, true}, {0x2a, BLOCKS, 0, true}, {0x8a, BLOCKS, 0, true}, {0xaa, BLOCKS, 0, true}, /* WRITE */
    {0x2e, BLOCKS, 0, true}, {0x8e, BLOCKS, 0, true}, {0xae, BLOCKS, 0, true}, /* WRITE AND VERIFY */
    {0x12, HALF, 3, false},  /* INQUIRY */
    {0x15, BYTE, 4, true},   /* MODE SELECT (6) */
    {0x1a, BYTE, 4, false},  /* MODE SENSE (6) */
    {0x1c, HALF, 3, false},  /* RECEIVE DIAGNOSTIC RESULTS */
    {0x1d, HALF, 3, true},   /* SEND DIAGNOSTIC */
    {0x23, HALF, 7, false},  /* READ FORMAT CAPACITIES */
    {0x25, FIXED, 8, false}, /* READ CAPACITY (10) */
    {0x3b, THREE, 6, true},  /* WRITE BUFFER */
    {0x3c, THREE, 6, false}, /* READ BUFFER */
    {0x41, ONE_BLOCK, 0, true}, {0x93, ONE_BLOCK, 0, true}, /* WRITE SAME */
    {0x42, HALF, 7, true},   /* UNMAP */
    {0x43, HALF, 7, false},  /* READ TOC */
    {0x46, HALF, 7, false},  /* GET CONFIGURATION */
    {0x4a, HALF, 7, false},  /* GET EVENT STATUS NOTIFICATION */
    {0x4c, HALF, 7, true},   /* LOG SELECT */
    {0x4d, HALF, 7, false},  /* LOG SENSE */
    {0x51, HALF, 7, false},  /* READ DISC INFORMATION */
    {0x52, HALF, 7, false},  /* READ TRACK INFORMATION */
    {0x55, HALF, 7, true},   /* MODE SELECT (10) */
    {0x5a, HALF, 7, false},  /* MODE SENSE (10) */
    {0x5e, HALF, 7, false},  /* PERSISTENT RESERVE IN */
    {0x5f, WORD, 5, true},   /* PERSISTENT RESERVE OUT */
    {0x9e, WORD, 10, false}, /* SERVICE ACTION IN (16) */
    {0xa0, WORD, 6, false},  /* REPORT LUNS */
    {0xa3, WORD, 6, false},  /* MAINTENANCE IN */
    {0xa4, WORD, 6, true},   /* MAINTENANCE OUT */
    {0xac, HALF, 8, false},  /* GET PERFORMANCE: descriptors, as bytes */
    {0xad, HALF, 8, false},  /* READ DISC STRUCTURE */
    {0xbd, HALF, 8, false},  /* MECHANISM STATUS */
};

static uint64_t blocks(const uint8_t *cdb)
{
    switch (cdb[0] >> 5) {
    case 0:
        return cdb[4] ? cdb[4] : 256;
    case 4:
        return scsi_get32(cdb + 10);
    case 5:
        return scsi_get32(cdb + 6);
    default:
        return scsi_get16(cdb + 7);
    }
}

static uint64_t listed(const struct command *c, const uint8_t *cdb, uint32_t block_size)
{
    switch (c->kind) {
    case BYTE:
        return cdb[c->at];
    case HALF:
        return scsi_get16(cdb + c->at);
    case THREE:
        return scsi_get32(cdb + c->at - 1) & 0xffffff;
    case WORD:
        return scsi_get32(cdb + c->at);
    case BLOCKS:
        return blocks(cdb) * block_size;
    case ONE_BLOCK:
        return cdb[0] == 0x93 && (cdb[1] & 1) ? 0 : block_size; /* NDOB: no data */
    default:
        return c->at;
    }
}

uint64_t scsi_moves(const uint8_t *cdb, uint32_t block_size, bool *ret_out)
{
    *ret_out = false;
    for (unsigned i = 0; i < BP_COUNT(commands); i++) {
        const struct command *c = &commands[i];
        uint64_t bytes = c->opcode == cdb[0] ? listed(c, cdb, block_size) : 0;

        if (c->opcode != cdb[0])
            continue;
        *ret_out = c->out;
        return bytes > ALLOCATION_MAX && c->kind != BLOCKS && !c->out ? ALLOCATION_MAX : bytes;
    }
    return 0;
}
