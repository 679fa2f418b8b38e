// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How data get from a drive to its host and back, and how a drive's requests to the block layer begin, end
 * and are let go. PIO moves data request blocks: a parallel drive waits until the host has read or written
 * the data register, a serial one sends or fetches them by itself. DMA waits for the adapter.
 */
#include <stdlib.h>

#include <bp/clock.h>

#include "ide.h"

void ide_need_data(struct ide_drive *s)
{
    if (!s->data)
        s->data = bp_alloc(DATA_MAX);
}

/* ---- the end of a command ---- */

static void idle(struct ide_drive *s)
{
    s->phase = PHASE_IDLE;
    s->task = TASK_NONE;
    s->step = STEP_NONE;
    s->data_pos = s->data_len = s->drq_end = s->chunk = s->left = 0;
    if (!s->dma_wanted)
        return;
    s->dma_wanted = false;
    if (!ide_serial(s))
        s->bus->ops.dma_request(s->bus->opaque, 0);
}

static void tell(struct ide_drive *s)
{
    struct ide_bus *bus = s->bus;

    if (ide_serial(s)) {
        bus->ops.registers(bus->opaque, s->unit, &s->regs,
                           !(s->regs.control & CONTROL_NO_INTERRUPT));
    } else {
        s->irq = true;
        ide_update_irq(bus);
    }
}

void ide_end(struct ide_drive *s)
{
    idle(s);
    s->regs.status = STATUS_IDLE;
    tell(s);
}

static void fail(struct ide_drive *s, uint8_t error, uint8_t fault)
{
    idle(s);
    s->regs.error = error;
    s->regs.status = STATUS_IDLE | BP_IDE_ERROR | fault;
    tell(s);
}

void ide_fail(struct ide_drive *s, uint8_t error)
{
    fail(s, error, 0);
}

void ide_fault(struct ide_drive *s, uint8_t error)
{
    fail(s, error, BP_IDE_FAULT);
}

void ide_end_quietly(struct ide_drive *s)
{
    idle(s);
    s->regs.status = STATUS_IDLE;
}

/* ---- data ---- */

/* Lets the adapter move data; a reset may come of it, when the guest aimed it at registers. */
static int64_t move(struct ide_drive *s, uint32_t length)
{
    const struct bp_ide_ops *ops = &s->bus->ops;
    uint8_t *buffer = s->data;
    uint32_t epoch = s->epoch;
    int64_t r;

    s->moving = true;
    r = ops->transfer(s->bus->opaque, s->unit, -1,
                      s->phase == PHASE_PIO_IN || s->phase == PHASE_DMA_IN, buffer + s->data_pos,
                      length);
    if (epoch == s->epoch) {
        s->moving = false;
        return r;
    }
    if (s->data != buffer)
        free(buffer);
    return -ECANCELED;
}

static uint32_t block_bytes(const struct ide_drive *s)
{
    if (s->task == TASK_PACKET_READ || s->task == TASK_PACKET_REPLY)
        return s->byte_limit;
    return s->per_block * SECTOR;
}

/* What the status will be once the block that is offered or wanted now has moved. */
static uint8_t status_after(const struct ide_drive *s)
{
    bool last = s->phase == PHASE_PIO_IN && s->task != TASK_PACKET_READ && s->task != TASK_PACKET_REPLY &&
                s->drq_end == s->data_len && s->left <= s->chunk;

    return last ? STATUS_IDLE : BP_IDE_BUSY;
}

/* A serial drive moves block after block. */
static void pump(struct ide_drive *s, bool interrupt)
{
    const struct bp_ide_ops *ops = &s->bus->ops;
    void *opaque = s->bus->opaque;

    if (s->pumping)
        return;
    s->pumping = true;
    while (s->bus && (s->phase == PHASE_PIO_IN || s->phase == PHASE_PIO_OUT || s->phase == PHASE_PACKET) &&
           s->regs.status & BP_IDE_DATA_REQUEST) {
        uint32_t length = s->drq_end - s->data_pos, epoch = s->epoch;
        uint8_t end = status_after(s);

        ops->pio_setup(opaque, s->unit, &s->regs, s->phase == PHASE_PIO_IN, length, end,
                       interrupt && !(s->regs.control & CONTROL_NO_INTERRUPT));
        if (s->phase == PHASE_PACKET)
            ops->packet(opaque, s->unit, s->data, length);
        else if (move(s, length) == -ECANCELED)
            break;
        if (epoch != s->epoch)
            break;
        s->data_pos = s->drq_end;
        ops->pio_end(opaque, s->unit, end);
        if (epoch != s->epoch)
            break;
        ide_block_moved(s);
        interrupt = true;
    }
    s->pumping = false;
}

void ide_next_block(struct ide_drive *s, bool first)
{
    uint32_t length = s->data_len - s->data_pos, limit = block_bytes(s);
    bool interrupt = s->phase == PHASE_PIO_IN || (s->phase == PHASE_PIO_OUT && !first);

    if (s->phase == PHASE_PACKET)
        limit = length;
    if (length > limit)
        length = limit;
    s->drq_end = s->data_pos + length;
    s->regs.status = STATUS_IDLE | BP_IDE_DATA_REQUEST;
    if (s->task == TASK_PACKET_READ || s->task == TASK_PACKET_REPLY) {
        s->regs.count = REASON_TO_HOST;
        s->regs.mid = (uint8_t)length;
        s->regs.high = (uint8_t)(length >> 8);
    }
    if (ide_serial(s)) {
        pump(s, interrupt);
    } else if (interrupt) {
        s->irq = true;
        ide_update_irq(s->bus);
    }
}

static void block_moved(struct ide_drive *s)
{
    if (s->data_pos < s->data_len) {
        ide_next_block(s, false);
        return;
    }
    s->regs.status = BP_IDE_BUSY;
    if (s->phase == PHASE_PACKET)
        ide_packet_received(s);
    else if (s->phase == PHASE_PIO_IN)
        ide_data_out(s);
    else
        ide_data_in(s);
}

/* Windows 2000's installer fills the disk with its log when the interrupt after a written block comes at once. The
 * drive is busy meanwhile. */
#define SLOW_NS 1000000

static void take_now(void *opaque)
{
    struct ide_drive *s = opaque;

    if (s->slow_epoch == s->epoch && s->phase == PHASE_PIO_OUT && s->regs.status == BP_IDE_BUSY)
        block_moved(s);
}

static void take_later(struct ide_drive *s)
{
    s->slow_epoch = s->epoch;
    bp_timer_set(s->slow, bp_timer_now(s->slow) + SLOW_NS);
}

void ide_slow_resume(struct ide_drive *s)
{
    if (s->slow && s->phase == PHASE_PIO_OUT && s->regs.status == BP_IDE_BUSY && s->step == STEP_NONE)
        take_later(s);
}

void ide_slow_down(struct ide_drive *s)
{
    if (s->win2k_install_hack)
        s->slow = bp_timer_new(bp_device_owner(s->dev), NULL, BP_CLOCK_VIRTUAL, take_now, s);
}

void ide_block_moved(struct ide_drive *s)
{
    if (!s->slow || s->phase != PHASE_PIO_OUT) {
        block_moved(s);
        return;
    }
    s->regs.status = BP_IDE_BUSY;
    take_later(s);
}

static void want_dma(struct ide_drive *s)
{
    s->dma_wanted = true;
    s->regs.status = STATUS_IDLE | BP_IDE_DATA_REQUEST;
    if (ide_serial(s))
        ide_dma_go(s);
    else
        s->bus->ops.dma_request(s->bus->opaque, 1);
}

void ide_dma_go(struct ide_drive *s)
{
    int64_t moved;

    if (!s->dma_wanted || s->moving)
        return;
    moved = move(s, s->data_len - s->data_pos);
    if (moved < 0)
        return; /* the adapter has stopped, or this is not the same command any more */
    s->data_pos += (uint32_t)moved;
    if (s->data_pos < s->data_len)
        return; /* the guest may give it another list */
    s->dma_wanted = false;
    if (!ide_serial(s))
        s->bus->ops.dma_request(s->bus->opaque, 0);
    s->regs.status = BP_IDE_BUSY;
    if (s->phase == PHASE_DMA_IN)
        ide_data_out(s);
    else
        ide_data_in(s);
}

void ide_offer(struct ide_drive *s, uint32_t length)
{
    s->data_pos = 0;
    s->data_len = length;
    s->phase = s->dma ? PHASE_DMA_IN : PHASE_PIO_IN;
    if (s->dma)
        want_dma(s);
    else
        ide_next_block(s, true);
}

/* Left are `left` sectors, of which the buffer gets `chunk`: only the first block comes unasked. */
void ide_want(struct ide_drive *s, uint32_t length)
{
    bool first = s->phase != PHASE_PIO_OUT;

    ide_need_data(s);
    s->data_pos = 0;
    s->data_len = length;
    s->phase = s->dma ? PHASE_DMA_OUT : PHASE_PIO_OUT;
    if (s->dma)
        want_dma(s);
    else
        ide_next_block(s, first);
}

/* ---- requests ---- */

static void job_free(struct ide_job *job)
{
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    free(job->buffer);
    free(job);
}

void ide_jobs_free(struct ide_drive *s)
{
    while (s->tally.jobs)
        job_free(s->tally.jobs);
    s->tally.pending = 0;
}

static void let_go_ended(struct ide_job *job)
{
    struct ide_drive *s = job->whose;

    s->tally.pending--;
    job_free(job);
    if (s->bus && s->tally.pending == 0)
        ide_diagnose_again(s);
}

static void job_done(void *opaque, int ret)
{
    struct ide_job *job = opaque;
    struct ide_drive *s = job->drive;
    int tag = job->tag;
    enum ide_step step;

    if (!s) {
        let_go_ended(job);
        return;
    }
    job_free(job);
    if (tag >= 0) {
        s->queued[tag].job = NULL;
        ide_queue_done(s, tag, ret);
        return;
    }
    step = (enum ide_step)s->step;
    s->job = NULL;
    s->step = STEP_NONE;
    ide_step_done(s, step, ret);
}

void ide_job_submit(struct ide_drive *s, struct ide_job **place, int tag, uint8_t *buffer,
                    enum bp_block_op op, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    struct bp_block_request request = {.size = sizeof(request), .flags = flags, .offset = offset,
                                       .bytes = bytes};
    struct ide_job *job = bp_alloc(sizeof(*job));

    job->drive = job->whose = s;
    job->next = s->tally.jobs;
    job->link = &s->tally.jobs;
    if (job->next)
        job->next->link = &job->next;
    s->tally.jobs = job;
    job->tag = tag;
    job->iov = (struct iovec){buffer, bytes};
    if (op == BP_BLOCK_READ || op == BP_BLOCK_WRITE) {
        request.iov = &job->iov;
        request.iov_count = 1;
    }
    *place = job;
    job->request = block->submit(s->blk, op, op == BP_BLOCK_FLUSH ? NULL : &request, job_done, job);
}

void ide_job_let_go(struct ide_drive *s, struct ide_job *job, uint8_t *buffer)
{
    job->drive = NULL;
    job->buffer = buffer;
    s->tally.pending++;
    block->cancel(job->request);
}

void ide_submit(struct ide_drive *s, enum ide_step step, enum bp_block_op op, uint64_t offset,
                uint64_t bytes, uint32_t flags)
{
    ide_need_data(s);
    s->step = (uint8_t)step;
    s->regs.status = BP_IDE_BUSY;
    ide_job_submit(s, &s->job, -1, s->data, op, offset, bytes, flags);
}

void ide_let_go(struct ide_drive *s)
{
    s->epoch++;
    if (s->job) {
        struct ide_job *job = s->job;

        s->job = NULL;
        ide_job_let_go(s, job, s->data);
        s->data = NULL;
    } else if (s->moving) {
        s->data = NULL; /* move() has it */
        s->moving = false;
    }
    ide_queue_let_go(s);
    if (s->bus)
        idle(s);
}
