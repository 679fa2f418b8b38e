// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Native command queuing (ATA8-ACS 4.16; Serial ATA 2.6, 13.6): READ and WRITE FPDMA QUEUED, up to 32 at a
 * time, ended in any order. An error ends the whole queue; from then on only READ LOG EXT is served.
 */
#include <stdlib.h>
#include <string.h>

#include "ide.h"

static void forget(struct ide_drive *s, struct ide_queued *q)
{
    if (q->job) {
        struct ide_job *job = q->job;

        q->job = NULL;
        ide_job_let_go(s, job, q->data);
    } else {
        free(q->data);
    }
    q->data = NULL;
    q->busy = q->fetched = false;
}

bool ide_queue_busy(const struct ide_drive *s)
{
    for (unsigned tag = 0; tag < QUEUE_DEPTH; tag++)
        if (s->queued[tag].busy)
            return true;
    return false;
}

void ide_queue_let_go(struct ide_drive *s)
{
    for (unsigned tag = 0; tag < QUEUE_DEPTH; tag++)
        if (s->queued[tag].busy)
            forget(s, &s->queued[tag]);
}

/* All that wait end without success: the host finds out by the log which one failed. */
static void fail_queue(struct ide_drive *s, int tag, uint8_t error, uint64_t lba)
{
    uint8_t *log = s->queue_log;

    memset(log, 0, SECTOR);
    log[0] = tag < 0 ? 0x80 : (uint8_t)tag; /* NQ: it was not a queued command */
    log[2] = STATUS_IDLE | BP_IDE_ERROR;
    log[3] = error;
    log[4] = (uint8_t)lba;
    log[5] = (uint8_t)(lba >> 8);
    log[6] = (uint8_t)(lba >> 16);
    log[7] = DEVICE_LBA;
    log[8] = (uint8_t)(lba >> 24);
    log[9] = (uint8_t)(lba >> 32);
    log[10] = (uint8_t)(lba >> 40);
    ide_queue_let_go(s);
    s->queue_failed = true;
    s->regs.status = STATUS_IDLE | BP_IDE_ERROR;
    s->regs.error = error;
}

void ide_queue_abort(struct ide_drive *s, uint8_t error)
{
    s->epoch++;
    fail_queue(s, -1, error, 0);
}

static void failed(struct ide_drive *s, int tag, uint8_t error)
{
    uint64_t lba = tag < 0 ? 0 : s->queued[tag].lba;

    fail_queue(s, tag, error, lba);
    s->bus->ops.queue_done(s->bus->opaque, s->unit, 0, s->regs.status, error);
}

static void read_chunk(struct ide_drive *s, int tag)
{
    struct ide_queued *q = &s->queued[tag];

    ide_job_submit(s, &q->job, tag, q->data, BP_BLOCK_READ, q->lba * SECTOR, (uint64_t)q->chunk * SECTOR, 0);
}

static void write_chunk(struct ide_drive *s, int tag)
{
    struct ide_queued *q = &s->queued[tag];

    q->fetched = true;
    ide_job_submit(s, &q->job, tag, q->data, BP_BLOCK_WRITE, q->lba * SECTOR,
                   (uint64_t)q->chunk * SECTOR, q->fua ? BP_BLOCK_FUA : 0);
}

/* Moves a chunk; false: the command is not the same any more, or its memory refused. */
static bool move(struct ide_drive *s, int tag, bool to_memory)
{
    struct ide_queued *q = &s->queued[tag];
    uint32_t length = q->chunk * SECTOR, number = q->number;
    uint8_t *buffer = q->data;
    int64_t r;

    q->data = NULL; /* ours while it moves */
    r = s->bus->ops.transfer(s->bus->opaque, s->unit, tag, to_memory, buffer, length);
    if (!q->busy || q->number != number) {
        free(buffer);
        return false;
    }
    q->data = buffer;
    return r == length; /* else the adapter has stopped */
}

static void begin_chunk(struct ide_drive *s, int tag)
{
    struct ide_queued *q = &s->queued[tag];

    q->chunk = q->left < DATA_MAX / SECTOR ? q->left : DATA_MAX / SECTOR;
    if (!q->write)
        read_chunk(s, tag);
    else if (move(s, tag, false))
        write_chunk(s, tag);
}

void ide_queue_done(struct ide_drive *s, int tag, int ret)
{
    struct ide_queued *q = &s->queued[tag];

    if (ret < 0) {
        failed(s, tag, q->write ? ERROR_ABORT : ERROR_DATA);
        return;
    }
    if (!q->write && !move(s, tag, true))
        return;
    q->fetched = false;
    q->lba += q->chunk;
    q->left -= q->chunk;
    if (q->left) {
        begin_chunk(s, tag);
        return;
    }
    forget(s, q);
    s->bus->ops.queue_done(s->bus->opaque, s->unit, 1u << tag, STATUS_IDLE, 0);
}

void ide_queue(struct ide_drive *s)
{
    const struct bp_ide_registers *r = &s->regs;
    unsigned tag = r->count >> 3;
    uint32_t left = (uint32_t)r->hob_feature << 8 | r->feature;
    uint64_t lba = (uint64_t)r->hob_high << 40 | (uint64_t)r->hob_mid << 32 | (uint64_t)r->hob_low << 24 |
                   (uint64_t)r->high << 16 | (uint64_t)r->mid << 8 | r->low;
    struct ide_queued *q = &s->queued[tag];

    left = left ? left : 65536;
    if (!ide_serial(s)) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    if (s->queue_failed || q->busy || lba >= s->sectors || left > s->sectors - lba) {
        uint8_t error = s->queue_failed || q->busy ? ERROR_ABORT : ERROR_NO_ID;

        fail_queue(s, (int)tag, error, lba);
        ide_fail(s, error);
        return;
    }
    free(q->restored);
    *q = (struct ide_queued){.lba = lba, .left = left, .busy = true, .write = r->command == 0x61,
                             .fua = r->device & 0x80, .number = s->epoch, .data = bp_alloc(left < DATA_MAX / SECTOR
                                                                       ? left * SECTOR : DATA_MAX)};
    /* Accepted: the link is free for the next one. */
    s->regs.status = STATUS_IDLE;
    s->regs.error = 0;
    s->bus->ops.registers(s->bus->opaque, s->unit, &s->regs, false);
    if (q->busy)
        begin_chunk(s, (int)tag);
}

/* What was loaded: each command begins its chunk again, but for data that it has fetched. */
void ide_queue_resume(struct ide_drive *s)
{
    for (unsigned tag = 0; tag < QUEUE_DEPTH; tag++) {
        struct ide_queued *q = &s->queued[tag];

        if (!q->busy || q->job)
            continue;
        if (!q->data)
            q->data = bp_alloc(q->left < DATA_MAX / SECTOR ? q->left * SECTOR : DATA_MAX);
        if (q->fetched)
            write_chunk(s, (int)tag);
        else
            begin_chunk(s, (int)tag);
    }
}
