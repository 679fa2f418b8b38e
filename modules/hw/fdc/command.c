// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands of the floppy disk controller (Intel 82078, order 290468, chapter 5; 82077AA, order 290166):
 * parameters, execution, results. A command has as many parameters as its table says, whatever follows.
 */
#include <string.h>

#include "fdc.h"

#define CONFIG_IMPLIED_SEEK 0x40u
#define CONFIG_DEFAULT 0x20u /* the FIFO is off */

void fdc_interrupt(struct fdc *s, bool level)
{
    s->irq_up = level;
    bp_irq_set(s->irq, level && s->dor & 8);
}

void fdc_result(struct fdc *s, unsigned count)
{
    s->phase = count ? PHASE_RESULT : PHASE_COMMAND;
    s->out_count = (uint8_t)count;
    s->out_next = 0;
    s->in_count = 0;
}

static void none(struct fdc *s)
{
    s->out[0] = ST0_INVALID;
    fdc_result(s, 1);
}

/* ---- moving heads ---- */

static void seek_ends(struct fdc *s, unsigned unit, uint8_t st0)
{
    s->seek_done |= (uint8_t)(1u << unit);
    s->seek_st0[unit] = (uint8_t)(st0 | unit);
    fdc_result(s, 0);
    fdc_interrupt(s, true);
}

/* A step tells the drive that there is a medium again. */
static void go_to(struct floppy *d, unsigned cylinder)
{
    d->cylinder = (uint8_t)cylinder;
    if (floppy_ready(d))
        d->changed = false;
}

static void seek(struct fdc *s)
{
    unsigned unit = s->in[1] & 3;
    struct floppy *d = fdc_drive(s, unit);

    if (d)
        go_to(d, s->in[2]);
    seek_ends(s, unit, (uint8_t)(ST0_SEEK_END | (s->in[1] & 4)));
}

static void relative_seek(struct fdc *s)
{
    unsigned unit = s->in[1] & 3, n = s->in[2];
    struct floppy *d = fdc_drive(s, unit);

    if (d) {
        unsigned to = s->in[0] & 0x40 ? d->cylinder + n : d->cylinder > n ? d->cylinder - n : 0;

        go_to(d, to > 255 ? 255 : to);
    }
    seek_ends(s, unit, (uint8_t)(ST0_SEEK_END | (s->in[1] & 4)));
}

static void recalibrate(struct fdc *s)
{
    unsigned unit = s->in[1] & 3;
    struct floppy *d = fdc_drive(s, unit);

    if (!d) { /* track 0 is never reached */
        seek_ends(s, unit, ST0_ABNORMAL | ST0_SEEK_END | ST0_CHECK);
        return;
    }
    go_to(d, 0);
    seek_ends(s, unit, ST0_SEEK_END);
}

static void sense_interrupt(struct fdc *s)
{
    fdc_interrupt(s, false);
    if (s->sense) { /* after a reset: one for each drive */
        unsigned unit = 4u - s->sense--;
        const struct floppy *d = fdc_drive(s, unit);

        s->out[0] = (uint8_t)(0xc0 | unit);
        s->out[1] = d ? d->cylinder : 0;
        fdc_result(s, 2);
        return;
    }
    for (unsigned unit = 0; unit < 4; unit++) {
        const struct floppy *d = fdc_drive(s, unit);

        if (!(s->seek_done >> unit & 1))
            continue;
        s->seek_done &= (uint8_t)~(1u << unit);
        s->out[0] = s->seek_st0[unit];
        s->out[1] = d ? d->cylinder : 0;
        fdc_result(s, 2);
        if (s->seek_done)
            fdc_interrupt(s, true);
        return;
    }
    none(s);
}

static void sense_drive(struct fdc *s)
{
    unsigned unit = s->in[1] & 3;
    const struct floppy *d = fdc_drive(s, unit);

    s->out[0] = (uint8_t)(0x28 | (s->in[1] & 7));
    if (d && d->cylinder == 0)
        s->out[0] |= 0x10;
    if (d && floppy_ready(d) && !block->writable(d->blk))
        s->out[0] |= 0x40;
    fdc_result(s, 1);
}

/* ---- settings ---- */

static void specify(struct fdc *s)
{
    s->specify[0] = s->in[1];
    s->specify[1] = s->in[2];
    fdc_result(s, 0);
}

static void configure(struct fdc *s)
{
    s->config = s->in[2];
    s->precompensation = s->in[3];
    fdc_result(s, 0);
}

static void perpendicular(struct fdc *s)
{
    if (s->in[1] & 0x80)
        s->perpendicular = s->in[1] & 0x3f;
    else
        s->perpendicular = (uint8_t)((s->perpendicular & 0x3c) | (s->in[1] & 3));
    fdc_result(s, 0);
}

static void lock(struct fdc *s)
{
    s->locked = s->in[0] & 0x80;
    s->out[0] = s->locked ? 0x10 : 0;
    fdc_result(s, 1);
}

static void dump_registers(struct fdc *s)
{
    for (unsigned i = 0; i < 4; i++) {
        const struct floppy *d = fdc_drive(s, i);

        s->out[i] = d ? d->cylinder : 0;
    }
    s->out[4] = s->specify[0];
    s->out[5] = s->specify[1];
    s->out[6] = s->end;
    s->out[7] = (uint8_t)((s->locked ? 0x80 : 0) | (s->perpendicular & 0x3f));
    s->out[8] = s->config;
    s->out[9] = s->precompensation;
    fdc_result(s, 10);
}

static void version(struct fdc *s)
{
    s->out[0] = 0x90; /* an enhanced controller */
    fdc_result(s, 1);
}

static void part_id(struct fdc *s)
{
    s->out[0] = 0x41; /* 82078 */
    fdc_result(s, 1);
}

static void power_down(struct fdc *s)
{
    s->out[0] = s->in[1];
    fdc_result(s, 1);
}

static void option(struct fdc *s)
{
    fdc_result(s, 0);
}

static void drive_specification(struct fdc *s)
{
    fdc_result(s, 0);
}

static void save(struct fdc *s)
{
    memset(s->out, 0, 16);
    for (unsigned i = 0; i < 4; i++) {
        const struct floppy *d = fdc_drive(s, i);

        s->out[3 + i] = d ? d->cylinder : 0;
    }
    s->out[7] = s->specify[0];
    s->out[8] = s->specify[1];
    s->out[9] = s->end;
    s->out[10] = (uint8_t)((s->locked ? 0x80 : 0) | (s->perpendicular & 0x3f));
    s->out[11] = s->config;
    s->out[12] = s->precompensation;
    s->out[13] = s->rate;
    fdc_result(s, 15);
}

static void restore(struct fdc *s)
{
    s->specify[0] = s->in[8];
    s->specify[1] = s->in[9];
    s->end = s->in[10];
    s->locked = s->in[11] & 0x80;
    s->perpendicular = s->in[11] & 0x3f;
    s->config = s->in[12];
    s->precompensation = s->in[13];
    fdc_result(s, 0);
}

/* ---- data ---- */

static void data(struct fdc *s)
{
    struct floppy *d = fdc_drive(s, s->in[1] & 3);

    s->unit = s->in[1] & 3;
    s->head = s->in[1] >> 2 & 1;
    s->cyl = s->in[2];
    s->sec = s->in[4];
    s->end = s->in[6];
    s->multi = s->in[0] & 0x80;
    s->count_sectors = s->task == TASK_VERIFY && s->in[1] & 0x80;
    s->left = s->in[8];
    if (s->config & CONFIG_IMPLIED_SEEK && d)
        go_to(d, s->cyl);
    transfer_begin(s);
}

static void begin(struct fdc *s, enum fdc_task task, bool deleted, bool track)
{
    s->task = (uint8_t)task;
    s->deleted = deleted;
    s->track = track;
    data(s);
}

static void read_data(struct fdc *s) { begin(s, TASK_READ, false, false); }
static void read_deleted(struct fdc *s) { begin(s, TASK_READ, true, false); }
static void read_track(struct fdc *s) { begin(s, TASK_READ, false, true); }
static void write_data(struct fdc *s) { begin(s, TASK_WRITE, false, false); }
static void verify(struct fdc *s) { begin(s, TASK_VERIFY, false, false); }

static const struct command {
    uint8_t mask, code, length; /* bytes, the command included */
    void (*run)(struct fdc *s);
} commands[] = {
    {0x1f, 0x06, 9, read_data},   {0x1f, 0x0c, 9, read_deleted}, {0x3f, 0x05, 9, write_data},
    {0x3f, 0x09, 9, write_data},  {0x9f, 0x02, 9, read_track},   {0x1f, 0x16, 9, verify},
    {0xbf, 0x0d, 6, transfer_format}, {0xff, 0x07, 2, recalibrate}, {0xff, 0x08, 1, sense_interrupt},
    {0xff, 0x03, 3, specify},     {0xff, 0x04, 2, sense_drive},  {0xff, 0x0f, 3, seek},
    {0xbf, 0x8f, 3, relative_seek}, {0xff, 0x10, 1, version},    {0xff, 0x13, 4, configure},
    {0xff, 0x0e, 1, dump_registers}, {0xbf, 0x0a, 2, transfer_read_id}, {0xff, 0x12, 2, perpendicular},
    {0x7f, 0x14, 1, lock},        {0xff, 0x18, 1, part_id},      {0xff, 0x17, 2, power_down},
    {0xff, 0x33, 2, option},      {0xff, 0x8e, 6, drive_specification}, {0xff, 0x2e, 1, save},
    {0xff, 0x4e, 17, restore},
};

static const struct command *find(uint8_t code)
{
    for (size_t i = 0; i < BP_COUNT(commands); i++)
        if ((code & commands[i].mask) == commands[i].code)
            return &commands[i];
    return NULL;
}

void fdc_command_byte(struct fdc *s, uint8_t value)
{
    const struct command *c;

    if (s->phase == PHASE_COMMAND) {
        s->in[0] = value;
        s->in_count = 1;
        c = find(value);
        s->in_wanted = c ? c->length : 1;
        s->phase = PHASE_PARAMETERS;
        /* Whatever comes after the four interrupts of a reset ends them. */
        if (value != 0x08)
            s->sense = 0;
    } else if (s->in_count < PARAMETERS) {
        s->in[s->in_count++] = value;
        /* The last one of DRIVE SPECIFICATION says so. */
        if (s->in[0] == 0x8e && value & 0x80)
            s->in_wanted = s->in_count;
    }
    if (s->in_count < s->in_wanted)
        return;
    c = find(s->in[0]);
    if (c)
        c->run(s);
    else
        none(s);
}

void fdc_command_reset(struct fdc *s)
{
    s->phase = PHASE_COMMAND;
    s->in_count = s->out_count = s->out_next = 0;
    s->seek_done = 0;
    if (!s->locked) {
        s->config = CONFIG_DEFAULT;
        s->precompensation = 0;
    }
    s->perpendicular &= 0x3c;
}
