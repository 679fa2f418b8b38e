// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Data of the floppy disk controller: sector by sector between the image and a buffer, from there to memory by
 * DMA or byte by byte through the FIFO's port. DMA ends at the terminal count; without one a transfer ends at the
 * last sector, and the result says so (EN), as in the data sheets.
 */
#include <stdlib.h>
#include <string.h>

#include <bp/chip/i8237.h>

#include "fdc.h"

#define FORMAT_BYTES 4u /* C, H, R, N of a sector */
#define SKIP 0x20u

static void submit(struct fdc *s);
static void next_sector(struct fdc *s);

static bool to_host(const struct fdc *s)
{
    return s->task == TASK_READ;
}

static void request(struct fdc *s, bool level)
{
    if (!s->pio)
        dma->request(s->dev, s->dma_channel, level && s->dor & 8);
    else
        fdc_interrupt(s, level);
}

static void finish(struct fdc *s, uint8_t st0, uint8_t st1, uint8_t st2)
{
    dma->request(s->dev, s->dma_channel, false);
    s->task = TASK_NONE;
    s->step = STEP_NONE;
    s->out[0] = (uint8_t)(st0 | s->head << 2 | s->unit);
    s->out[1] = st1;
    s->out[2] = st2;
    s->out[3] = s->cyl;
    s->out[4] = s->head;
    s->out[5] = s->sec;
    s->out[6] = 2;
    fdc_result(s, 7);
    fdc_interrupt(s, true);
}

/* ---- requests to the block layer ---- */

static void step_done(struct fdc *s, enum fdc_step step, int ret);

static void job_free(struct fdc_job *job)
{
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    free(job);
}

static void job_done(void *opaque, int ret)
{
    struct fdc_job *job = opaque;
    struct fdc *s = job->fdc;
    enum fdc_step step = (enum fdc_step)s->step;
    bool let_go = job->let_go;

    if (!let_go && step == STEP_READ && ret >= 0)
        memcpy(s->buffer, job->buffer, SECTOR);
    job_free(job);
    if (!let_go) {
        s->job = NULL;
        s->step = STEP_NONE;
        step_done(s, step, ret);
    } else if (--s->pending == 0 && s->waits) {
        s->waits = false;
        submit(s);
    }
}

void transfer_forget(struct fdc *s, const struct floppy *d)
{
    struct fdc_job *next;

    for (struct fdc_job *job = s->jobs; job; job = next) {
        next = job->next;
        if (job->drive != d)
            continue;
        s->pending -= job->let_go;
        job_free(job);
    }
}

static uint64_t offset(const struct fdc *s, const struct floppy *d)
{
    return (((uint64_t)s->cyl * d->heads + s->head) * d->sectors + s->sec - 1) * SECTOR;
}

/* Carries out s->step; after a reset when the requests of before have ended. */
static void submit(struct fdc *s)
{
    struct floppy *d = fdc_drive(s, s->unit);
    struct bp_block_request req = {.size = sizeof(req), .bytes = SECTOR, .iov_count = 1};
    struct fdc_job *job;

    s->phase = PHASE_EXECUTION;
    if (!floppy_ready(d) || s->sec == 0) {
        finish(s, ST0_ABNORMAL, ST1_NO_ADDRESS, 0);
        return;
    }
    if (s->pending) {
        s->waits = true;
        return;
    }
    job = bp_alloc(sizeof(*job));
    job->fdc = s;
    job->drive = d;
    job->next = s->jobs;
    job->link = &s->jobs;
    if (job->next)
        job->next->link = &job->next;
    s->jobs = job;
    memcpy(job->buffer, s->buffer, SECTOR);
    job->iov = (struct iovec){job->buffer, SECTOR};
    req.iov = &job->iov;
    req.offset = offset(s, d);
    s->job = job;
    job->request = block->submit(d->blk, s->step == STEP_READ ? BP_BLOCK_READ : BP_BLOCK_WRITE, &req, job_done,
                                 job);
}

static void start_step(struct fdc *s, enum fdc_step step)
{
    s->step = (uint8_t)step;
    submit(s);
}

void transfer_stop(struct fdc *s)
{
    struct fdc_job *job = s->job;

    s->job = NULL;
    s->waits = false;
    s->step = STEP_NONE;
    s->task = TASK_NONE;
    s->phase = PHASE_COMMAND;
    dma->request(s->dev, s->dma_channel, false);
    if (!job)
        return;
    job->let_go = true;
    s->pending++;
    block->cancel(job->request);
}

/* ---- sectors ---- */

/* To the next sector; false: the last one was reached. */
static bool advance(struct fdc *s)
{
    const struct floppy *d = fdc_drive(s, s->unit);

    if (s->sec != s->end && s->sec < 255) {
        s->sec++;
        return true;
    }
    s->sec = 1;
    if (s->multi && s->head == 0 && d && d->heads > 1) {
        s->head = 1;
        return true;
    }
    if (s->multi)
        s->head = 0;
    s->cyl++;
    return false;
}

static void sector_over(struct fdc *s)
{
    bool more = advance(s), counted = s->count_sectors && --s->left == 0;

    if (s->ended_by_count || counted)
        finish(s, 0, 0, 0);
    else if (s->deleted && !(s->in[0] & SKIP)) /* it had no deleted data mark */
        finish(s, 0, 0, ST2_CONTROL_MARK);
    else if (!more)
        finish(s, s->task == TASK_VERIFY ? 0 : ST0_ABNORMAL, s->task == TASK_VERIFY ? 0 : ST1_END, 0);
    else
        next_sector(s);
}

static void want(struct fdc *s, unsigned bytes)
{
    s->phase = PHASE_EXECUTION;
    s->pos = 0;
    s->length = (uint16_t)bytes;
    request(s, true);
}

static bool sector_is_there(struct fdc *s)
{
    const struct floppy *d = fdc_drive(s, s->unit);

    if (s->sec && d && s->sec <= d->sectors && s->head < d->heads && s->cyl < d->cylinders)
        return true;
    finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
    return false;
}

static void next_sector(struct fdc *s)
{
    if (!sector_is_there(s))
        return;
    if (s->task == TASK_WRITE)
        want(s, SECTOR);
    else
        start_step(s, STEP_READ);
}

static void format_next(struct fdc *s)
{
    if (s->left == 0)
        finish(s, 0, 0, 0);
    else
        want(s, FORMAT_BYTES);
}

/* The buffer is full of what the host was to give. */
static void received(struct fdc *s)
{
    const struct floppy *d = fdc_drive(s, s->unit);

    if (s->task == TASK_FORMAT) {
        s->sec = s->buffer[2];
        /* An image has sectors of 512 bytes at their places, and no others. */
        if (!d || s->buffer[0] != d->cylinder || s->buffer[3] != 2 || s->sec > d->sectors) {
            finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
            return;
        }
        s->cyl = d->cylinder;
        if (!sector_is_there(s))
            return;
        memset(s->buffer, s->in[5], SECTOR);
    }
    start_step(s, STEP_WRITE);
}

static void step_done(struct fdc *s, enum fdc_step step, int ret)
{
    if (ret < 0) {
        finish(s, ST0_ABNORMAL, ret == -ENOMEDIUM ? ST1_NO_ADDRESS : ST1_DATA_ERROR,
               ret == -ENOMEDIUM ? 0 : ST2_DATA_ERROR);
    } else if (step == STEP_READ && s->task == TASK_READ) {
        want(s, SECTOR);
    } else if (s->task == TASK_FORMAT) {
        s->left--;
        format_next(s);
    } else {
        sector_over(s);
    }
}

static void moved(struct fdc *s, unsigned n)
{
    s->pos = (uint16_t)(s->pos + n);
    if (s->ended_by_count && s->task == TASK_WRITE && s->pos < s->length) {
        memset(s->buffer + s->pos, 0, s->length - s->pos); /* the rest of the sector is zeroes */
        s->pos = s->length;
    }
    if (s->pos < s->length && !s->ended_by_count)
        return;
    request(s, false);
    if (to_host(s))
        sector_over(s);
    else if (s->pos == s->length)
        received(s);
    else
        finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0); /* FORMAT was cut short */
}

void transfer_ready(void *opaque)
{
    struct fdc *s = opaque;
    bool count;
    size_t n;

    if (s->phase != PHASE_EXECUTION || s->step != STEP_NONE || s->pio || s->task == TASK_NONE ||
        s->task == TASK_VERIFY) {
        dma->request(s->dev, s->dma_channel, false);
        return;
    }
    n = dma->move(s->dev, s->dma_channel, to_host(s), s->buffer + s->pos, (size_t)(s->length - s->pos), &count);
    if (!n)
        return;
    s->ended_by_count = count;
    moved(s, (unsigned)n);
}

uint8_t transfer_pio_read(struct fdc *s)
{
    uint8_t value;

    if (!s->pio || s->step != STEP_NONE || !to_host(s) || s->pos >= s->length)
        return 0;
    value = s->buffer[s->pos];
    moved(s, 1);
    return value;
}

void transfer_pio_write(struct fdc *s, uint8_t value)
{
    if (!s->pio || s->step != STEP_NONE || to_host(s) || s->task == TASK_VERIFY || s->task == TASK_NONE ||
        s->pos >= s->length)
        return;
    s->buffer[s->pos] = value;
    moved(s, 1);
}

/* ---- commands ---- */

/* Is there a medium that answers at this rate, under this head? */
static bool medium_answers(struct fdc *s)
{
    struct floppy *d = fdc_drive(s, s->unit);

    if (floppy_ready(d) && d->rate == s->rate && s->head < d->heads && d->cylinder < d->cylinders)
        return true;
    finish(s, ST0_ABNORMAL, ST1_NO_ADDRESS, 0);
    return false;
}

static bool may_write(struct fdc *s)
{
    if (block->writable(fdc_drive(s, s->unit)->blk))
        return true;
    finish(s, ST0_ABNORMAL, ST1_NOT_WRITABLE, 0);
    return false;
}

void transfer_begin(struct fdc *s)
{
    const struct floppy *d = fdc_drive(s, s->unit);

    s->pio = s->specify[1] & 1;
    s->ended_by_count = false;
    s->pos = s->length = 0;
    if (!medium_answers(s) || (s->task == TASK_WRITE && !may_write(s)))
        return;
    if (s->cyl != d->cylinder) {
        finish(s, ST0_ABNORMAL, ST1_NO_DATA, ST2_WRONG_CYLINDER);
        return;
    }
    if (s->in[3] != s->head || s->in[5] != 2) {
        finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
        return;
    }
    if (s->track)
        s->sec = 1;
    next_sector(s);
}

void transfer_format(struct fdc *s)
{
    s->task = TASK_FORMAT;
    s->unit = s->in[1] & 3;
    s->head = s->in[1] >> 2 & 1;
    s->left = s->in[3];
    s->sec = 1;
    s->pio = s->specify[1] & 1;
    s->ended_by_count = false;
    s->count_sectors = s->multi = s->deleted = false;
    if (!medium_answers(s) || !may_write(s))
        return;
    s->cyl = fdc_drive(s, s->unit)->cylinder;
    if (s->in[2] != 2) {
        finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
        return;
    }
    format_next(s);
}

/* The next sector that comes by. */
void transfer_read_id(struct fdc *s)
{
    const struct floppy *d;

    s->unit = s->in[1] & 3;
    s->head = s->in[1] >> 2 & 1;
    if (!medium_answers(s))
        return;
    d = fdc_drive(s, s->unit);
    s->cyl = d->cylinder;
    s->sec = (uint8_t)(s->sec % d->sectors + 1);
    finish(s, 0, 0, 0);
}

/* ---- saved state ---- */

bool transfer_plausible(const struct fdc *s)
{
    if (s->pos > s->length || s->length > SECTOR || s->in_wanted > PARAMETERS || s->in_count > PARAMETERS ||
        s->out_count > PARAMETERS || s->out_next > s->out_count)
        return false;
    return s->phase != PHASE_EXECUTION || s->task != TASK_NONE;
}

void transfer_resume(struct fdc *s)
{
    if (s->step != STEP_NONE && !s->job)
        submit(s);
    else if (s->phase == PHASE_EXECUTION && s->step == STEP_NONE && s->task != TASK_NONE &&
             s->task != TASK_VERIFY && !s->pio)
        request(s, true);
}
