// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands of ATA drives (ATA8-ACS, T13/1699-D; ATA/ATAPI-7 for what it has dropped). Left out: the
 * feature sets Security, Host Protected Area, Device Configuration Overlay, CompactFlash, Streaming,
 * Media Card Pass Through, and what the identify data do not announce; all of it ends in ABRT.
 */
#include <stdlib.h>
#include <string.h>

#include "ide.h"

#define ON_DISK 1u
#define ON_CD 2u
#define BOTH 3u
#define TRIM_BLOCKS 8u /* of 512 bytes, identify word 105 */

/* ---- addresses ---- */

static uint64_t get_address(struct ide_drive *s)
{
    const struct bp_ide_registers *r = &s->regs;

    s->lba_mode = r->device & DEVICE_LBA;
    if (s->ext)
        return (uint64_t)r->hob_high << 40 | (uint64_t)r->hob_mid << 32 | (uint64_t)r->hob_low << 24 |
               (uint64_t)r->high << 16 | (uint64_t)r->mid << 8 | r->low;
    if (s->lba_mode)
        return (uint64_t)(r->device & 15) << 24 | (uint64_t)r->high << 16 | (uint64_t)r->mid << 8 | r->low;
    uint32_t cyl = (uint32_t)r->high << 8 | r->mid, head = r->device & 15, sec = r->low;
    if (sec == 0 || sec > s->secs_now || head >= s->heads_now || cyl >= s->cyls_now)
        return UINT64_MAX; /* there is no such sector */
    return ((uint64_t)cyl * s->heads_now + head) * s->secs_now + sec - 1;
}

void ide_set_address(struct ide_drive *s, uint64_t lba)
{
    struct bp_ide_registers *r = &s->regs;

    if (!s->ext && !s->lba_mode && s->secs_now && s->heads_now) {
        uint64_t track = lba / s->secs_now, cyl = track / s->heads_now;

        r->low = (uint8_t)(lba % s->secs_now + 1);
        r->mid = (uint8_t)cyl;
        r->high = (uint8_t)(cyl >> 8);
        r->device = (uint8_t)((r->device & 0xf0) | track % s->heads_now);
        return;
    }
    r->low = (uint8_t)lba;
    r->mid = (uint8_t)(lba >> 8);
    r->high = (uint8_t)(lba >> 16);
    if (s->ext) {
        r->hob_low = (uint8_t)(lba >> 24);
        r->hob_mid = (uint8_t)(lba >> 32);
        r->hob_high = (uint8_t)(lba >> 40);
    } else {
        r->device = (uint8_t)((r->device & 0xf0) | (lba >> 24 & 15));
    }
}

static uint32_t get_count(const struct ide_drive *s)
{
    uint32_t n = s->ext ? (uint32_t)s->regs.hob_count << 8 | s->regs.count : s->regs.count;

    return n ? n : s->ext ? 65536 : 256;
}

/* Takes address and count from the registers. False: it has failed. */
static bool take_range(struct ide_drive *s)
{
    s->lba = get_address(s);
    s->left = get_count(s);
    if (s->lba < s->sectors && s->left <= s->sectors - s->lba)
        return true;
    ide_fail(s, ERROR_NO_ID);
    return false;
}

/* ---- reading and writing ---- */

static void next_chunk(struct ide_drive *s)
{
    uint32_t max = DATA_MAX / SECTOR;

    s->chunk = s->left < max ? s->left : max;
    if (s->chunk > s->per_block && !s->dma)
        s->chunk -= s->chunk % s->per_block; /* blocks are not cut */
    if (s->task == TASK_READ)
        ide_submit(s, STEP_READ, BP_BLOCK_READ, s->lba * SECTOR, (uint64_t)s->chunk * SECTOR, 0);
    else
        ide_want(s, s->chunk * SECTOR);
}

static void read_or_write(struct ide_drive *s, enum ide_task task, bool dma, uint32_t sectors_per_block)
{
    if (dma && !ide_has_dma(s)) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    s->dma = dma;
    s->fua = false;
    s->per_block = sectors_per_block;
    if (!take_range(s))
        return;
    s->task = (uint8_t)task;
    next_chunk(s);
}

static void read_sectors(struct ide_drive *s) { read_or_write(s, TASK_READ, false, 1); }
static void read_dma(struct ide_drive *s) { read_or_write(s, TASK_READ, true, 1); }
static void write_sectors(struct ide_drive *s) { read_or_write(s, TASK_WRITE, false, 1); }
static void write_dma(struct ide_drive *s) { read_or_write(s, TASK_WRITE, true, 1); }

static void read_multiple(struct ide_drive *s)
{
    if (s->multiple)
        read_or_write(s, TASK_READ, false, s->multiple);
    else
        ide_fail(s, ERROR_ABORT);
}

static void write_multiple(struct ide_drive *s)
{
    if (s->multiple)
        read_or_write(s, TASK_WRITE, false, s->multiple);
    else
        ide_fail(s, ERROR_ABORT);
}

static void set_fua(struct ide_drive *s, void (*command)(struct ide_drive *s))
{
    command(s);
    s->fua = s->task == TASK_WRITE; /* nothing is written before data have come */
}

static void write_dma_fua(struct ide_drive *s) { set_fua(s, write_dma); }
static void write_multiple_fua(struct ide_drive *s) { set_fua(s, write_multiple); }

static void verify_next(struct ide_drive *s)
{
    uint32_t max = DATA_MAX / SECTOR;

    s->chunk = s->left < max ? s->left : max;
    ide_submit(s, STEP_VERIFY, BP_BLOCK_READ, s->lba * SECTOR, (uint64_t)s->chunk * SECTOR, 0);
}

static void read_verify(struct ide_drive *s)
{
    if (take_range(s))
        verify_next(s);
}

static void seek(struct ide_drive *s)
{
    if (get_address(s) < s->sectors)
        ide_end(s);
    else
        ide_fail(s, ERROR_NO_ID);
}

static void write_chunk(struct ide_drive *s)
{
    ide_submit(s, STEP_WRITE, BP_BLOCK_WRITE, s->lba * SECTOR, (uint64_t)s->chunk * SECTOR,
               s->fua ? BP_BLOCK_FUA : 0);
}

/* The chunk is done; are there more? */
static bool advance(struct ide_drive *s)
{
    s->lba += s->chunk;
    s->left -= s->chunk;
    s->chunk = 0;
    ide_set_address(s, s->left ? s->lba : s->lba - 1);
    s->regs.count = (uint8_t)s->left;
    s->regs.hob_count = s->ext ? (uint8_t)(s->left >> 8) : s->regs.hob_count;
    return s->left != 0;
}

/* ---- trim: DATA SET MANAGEMENT ---- */

static void data_set_management(struct ide_drive *s)
{
    uint32_t blocks = get_count(s);

    if (!(s->regs.feature & 1) || s->conf.discard_granularity == 0 || blocks > TRIM_BLOCKS ||
        !ide_has_dma(s)) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    s->dma = true;
    s->task = TASK_TRIM;
    s->trim_next = 0;
    ide_want(s, blocks * SECTOR);
}

static uint64_t trim_entry(const struct ide_drive *s, uint32_t n)
{
    uint64_t entry = 0;

    for (unsigned i = 0; i < 8; i++)
        entry |= (uint64_t)s->data[8 * n + i] << 8 * i;
    return entry;
}

static void trim_more(struct ide_drive *s)
{
    while (s->trim_next < s->data_len / 8) {
        uint64_t entry = trim_entry(s, s->trim_next), lba = entry & 0xffffffffffffull, count = entry >> 48;

        if (count == 0) {
            s->trim_next++;
            continue;
        }
        if (lba >= s->sectors || count > s->sectors - lba) {
            ide_fail(s, ERROR_ABORT);
            return;
        }
        ide_submit(s, STEP_TRIM, BP_BLOCK_DISCARD, lba * SECTOR, count * SECTOR, 0);
        return;
    }
    ide_end(s);
}

/* ---- what happens when something has ended ---- */

void ide_data_in(struct ide_drive *s)
{
    switch (s->task) {
    case TASK_WRITE: write_chunk(s); break;
    case TASK_TRIM: trim_more(s); break;
    case TASK_STORE:
        memcpy(s->store, s->data, SECTOR);
        ide_end(s);
        break;
    default: ide_fail(s, ERROR_ABORT); break;
    }
}

void ide_data_out(struct ide_drive *s)
{
    switch (s->task) {
    case TASK_READ:
        if (advance(s))
            next_chunk(s);
        else if (s->dma)
            ide_end(s);
        else
            ide_end_quietly(s);
        break;
    case TASK_PACKET_READ:
    case TASK_PACKET_REPLY: ide_packet_sent(s); break;
    default:
        if (s->dma)
            ide_end(s);
        else
            ide_end_quietly(s);
        break;
    }
}

static void io_failed(struct ide_drive *s, enum ide_step step)
{
    if (step == STEP_READ || step == STEP_VERIFY || step == STEP_WRITE)
        ide_set_address(s, s->lba);
    if (step == STEP_WRITE || step == STEP_FLUSH)
        ide_fault(s, ERROR_ABORT);
    else
        ide_fail(s, step == STEP_READ || step == STEP_VERIFY ? ERROR_DATA : ERROR_ABORT);
}

void ide_step_done(struct ide_drive *s, enum ide_step step, int ret)
{
    if (s->task == TASK_PACKET_READ) {
        ide_packet_read_done(s, ret);
        return;
    }
    if (ret < 0) {
        io_failed(s, step);
        return;
    }
    switch (step) {
    case STEP_READ: ide_offer(s, s->chunk * SECTOR); break;
    case STEP_WRITE:
        if (advance(s))
            next_chunk(s);
        else
            ide_end(s);
        break;
    case STEP_VERIFY:
        if (advance(s))
            verify_next(s);
        else
            ide_end(s);
        break;
    case STEP_TRIM:
        s->trim_next++;
        trim_more(s);
        break;
    default: ide_end(s); break;
    }
}

/* A request that was under way when the state was saved. */
void ide_step_again(struct ide_drive *s)
{
    switch (s->step) {
    case STEP_READ:
        if (s->task == TASK_PACKET_READ)
            ide_packet_read_next(s);
        else
            next_chunk(s);
        break;
    case STEP_WRITE: write_chunk(s); break;
    case STEP_VERIFY: verify_next(s); break;
    case STEP_TRIM: trim_more(s); break;
    case STEP_FLUSH: ide_submit(s, STEP_FLUSH, BP_BLOCK_FLUSH, 0, 0, 0); break;
    default: break;
    }
}

/* ---- everything else ---- */

static void flush(struct ide_drive *s)
{
    if (s->cd) { /* nothing is ever written */
        ide_end(s);
        return;
    }
    ide_submit(s, STEP_FLUSH, BP_BLOCK_FLUSH, 0, 0, 0);
}

static void good(struct ide_drive *s)
{
    ide_end(s);
}

static void identify(struct ide_drive *s)
{
    if (s->cd) { /* tells by its signature that it is no disk */
        s->regs.count = s->regs.low = 1;
        s->regs.mid = 0x14;
        s->regs.high = 0xeb;
        ide_fail(s, ERROR_ABORT);
        return;
    }
    ide_need_data(s);
    ide_identify(s, s->data);
    s->dma = false;
    s->per_block = 1;
    s->task = TASK_REPLY;
    ide_offer(s, SECTOR);
}

static void identify_packet(struct ide_drive *s)
{
    ide_need_data(s);
    ide_identify(s, s->data);
    s->dma = false;
    s->per_block = 1;
    s->task = TASK_REPLY;
    ide_offer(s, SECTOR);
}

static void read_buffer(struct ide_drive *s)
{
    ide_need_data(s);
    memcpy(s->data, s->store, SECTOR);
    s->dma = false;
    s->per_block = 1;
    s->task = TASK_REPLY;
    ide_offer(s, SECTOR);
}

static void write_buffer(struct ide_drive *s)
{
    s->dma = false;
    s->per_block = 1;
    s->task = TASK_STORE;
    ide_want(s, SECTOR);
}

static void initialize_parameters(struct ide_drive *s)
{
    uint32_t heads = (s->regs.device & 15u) + 1, secs = s->regs.count;
    uint64_t cyls = secs ? s->sectors / ((uint64_t)heads * secs) : 0;

    if (secs == 0) {
        s->heads_now = s->secs_now = 0; /* CHS addresses are refused from now on */
        s->cyls_now = 0;
        ide_fail(s, ERROR_ABORT);
        return;
    }
    s->heads_now = (uint8_t)heads;
    s->secs_now = (uint8_t)secs;
    s->cyls_now = (uint16_t)(cyls > 65535 ? 65535 : cyls);
    ide_end(s);
}

static void set_multiple(struct ide_drive *s)
{
    uint32_t n = s->regs.count;

    if (n > 16 || (n & (n - 1))) {
        s->multiple = 0;
        ide_fail(s, ERROR_ABORT);
        return;
    }
    s->multiple = (uint8_t)n;
    ide_end(s);
}

static bool set_transfer_mode(struct ide_drive *s)
{
    uint8_t mode = s->regs.count;

    if (mode >> 3 == 0 && mode <= 1) { /* PIO default */
        return true;
    }
    if (mode >> 3 == 1 && (mode & 7) <= 4) /* PIO with flow control */
        return true;
    if (!ide_has_dma(s))
        return false;
    if ((mode >> 3 == 4 && (mode & 7) <= 2) || (mode >> 3 == 8 && (mode & 7) <= 5)) {
        s->transfer_mode = mode;
        return true;
    }
    return false;
}

static void set_write_cache(struct ide_drive *s, bool on)
{
    s->write_cache = on;
    if (s->blk)
        block->set_write_cache(s->blk, on);
}

static void set_features(struct ide_drive *s)
{
    bool ok = true;

    switch (s->regs.feature) {
    case 0x02: case 0x82:
        ok = !s->cd;
        if (ok && s->regs.feature == 0x82) {
            set_write_cache(s, false);
            flush(s); /* what is in the cache is to be safe when this ends */
            return;
        }
        if (ok)
            set_write_cache(s, true);
        break;
    case 0x03: ok = set_transfer_mode(s); break;
    case 0x55: case 0xaa: /* look-ahead */
        ok = !s->cd;
        s->look_ahead = s->regs.feature == 0xaa;
        break;
    case 0x66: case 0xcc: /* defaults after a software reset: settings are always kept */
        ok = s->regs.feature == 0x66;
        break;
    default: ok = false; break;
    }
    if (ok)
        ide_end(s);
    else
        ide_fail(s, ERROR_ABORT);
}

static void check_power(struct ide_drive *s)
{
    s->regs.count = s->power;
    ide_end(s);
}

static void standby(struct ide_drive *s)
{
    s->power = 0x00;
    flush(s);
}

static void idle_now(struct ide_drive *s)
{
    s->power = 0xff;
    ide_end(s);
}

static void sleep_now(struct ide_drive *s)
{
    s->power = 0x00;
    s->asleep = true;
    flush(s);
}

static void device_reset(struct ide_drive *s)
{
    ide_let_go(s);
    s->irq = false;
    ide_software_reset(s);
}

/* ---- resets ---- */

void ide_signature(struct ide_drive *s)
{
    uint8_t control = s->regs.control;

    s->regs = (struct bp_ide_registers){
        .status = s->cd ? 0 : STATUS_IDLE, .error = 1, .count = 1, .low = 1, .mid = s->cd ? 0x14 : 0,
        .high = s->cd ? 0xeb : 0, .control = control};
    s->asleep = false;
    s->diagnose = DIAGNOSE_NONE;
    s->queue_failed = false;
}

void ide_software_reset(struct ide_drive *s)
{
    ide_let_go(s);
    s->irq = false;
    s->asleep = false;
    if (s->tally.pending) { /* it goes on when the last one has ended */
        s->diagnose = DIAGNOSE_RESET;
        s->regs.status = BP_IDE_BUSY;
        return;
    }
    ide_signature(s);
    if (ide_serial(s))
        s->bus->ops.registers(s->bus->opaque, s->unit, &s->regs, false);
}

void ide_reset_settings(struct ide_drive *s)
{
    s->multiple = s->cd ? 0 : 16;
    s->transfer_mode = ide_has_dma(s) ? 0x45 : 0;
    s->heads_now = (uint8_t)s->heads;
    s->secs_now = (uint8_t)s->secs;
    s->cyls_now = (uint16_t)s->cyls;
    s->power = 0xff;
    s->look_ahead = true;
    s->attention_reset = s->cd;
    s->sense = s->asc = s->ascq = 0;
    if (s->locked && s->blk)
        block->lock_medium(s->blk, false);
    s->locked = false;
    if (!s->cd && s->blk)
        set_write_cache(s, s->conf.write_cache != 2);
}

/* ---- dispatch ---- */

struct command {
    uint8_t code, last; /* a range */
    uint8_t where;
    bool ext;
    void (*run)(struct ide_drive *s);
};

static const struct command commands[] = {
    {0x06, 0x06, ON_DISK, true, data_set_management}, {0x08, 0x08, ON_CD, false, device_reset},
    {0x10, 0x1f, ON_DISK, false, good}, /* RECALIBRATE */
    {0x20, 0x21, ON_DISK, false, read_sectors},
    {0x24, 0x24, ON_DISK, true, read_sectors},        {0x25, 0x25, ON_DISK, true, read_dma},
    {0x29, 0x29, ON_DISK, true, read_multiple},       {0x2f, 0x2f, ON_DISK, true, ide_read_log},
    {0x30, 0x31, ON_DISK, false, write_sectors},      {0x34, 0x34, ON_DISK, true, write_sectors},
    {0x35, 0x35, ON_DISK, true, write_dma},           {0x39, 0x39, ON_DISK, true, write_multiple},
    {0x3d, 0x3d, ON_DISK, true, write_dma_fua},       {0x40, 0x41, ON_DISK, false, read_verify},
    {0x42, 0x42, ON_DISK, true, read_verify},         {0x60, 0x61, ON_DISK, true, ide_queue},
    {0x70, 0x7f, ON_DISK, false, seek},               {0x91, 0x91, ON_DISK, false, initialize_parameters},
    {0x94, 0x94, BOTH, false, standby},               {0x95, 0x95, BOTH, false, idle_now},
    {0x96, 0x96, BOTH, false, standby},               {0x97, 0x97, BOTH, false, idle_now},
    {0x98, 0x98, BOTH, false, check_power},           {0x99, 0x99, BOTH, false, sleep_now},
    {0xa0, 0xa0, ON_CD, false, ide_packet},           {0xa1, 0xa1, ON_CD, false, identify_packet},
    {0xb0, 0xb0, ON_DISK, false, ide_smart},          {0xc4, 0xc4, ON_DISK, false, read_multiple},
    {0xc5, 0xc5, ON_DISK, false, write_multiple},     {0xc6, 0xc6, ON_DISK, false, set_multiple},
    {0xc8, 0xc9, ON_DISK, false, read_dma},           {0xca, 0xcb, ON_DISK, false, write_dma},
    {0xce, 0xce, ON_DISK, true, write_multiple_fua},  {0xe0, 0xe0, BOTH, false, standby},
    {0xe1, 0xe1, BOTH, false, idle_now},              {0xe2, 0xe2, BOTH, false, standby},
    {0xe3, 0xe3, BOTH, false, idle_now},              {0xe4, 0xe4, ON_DISK, false, read_buffer},
    {0xe5, 0xe5, BOTH, false, check_power},           {0xe6, 0xe6, BOTH, false, sleep_now},
    {0xe7, 0xe7, BOTH, false, flush},                 {0xe8, 0xe8, ON_DISK, false, write_buffer},
    {0xea, 0xea, ON_DISK, true, flush},               {0xec, 0xec, BOTH, false, identify},
    {0xef, 0xef, BOTH, false, set_features},
};

void ide_command(struct ide_drive *s, uint8_t code)
{
    const struct command *found = NULL;

    s->epoch++;
    if (s->phase != PHASE_IDLE)
        ide_let_go(s); /* a block that was not fetched to its end */
    for (size_t i = 0; i < BP_COUNT(commands) && !found; i++)
        if (code >= commands[i].code && code <= commands[i].last &&
            commands[i].where & (s->cd ? ON_CD : ON_DISK))
            found = &commands[i];
    s->regs.command = code;
    s->regs.status = BP_IDE_BUSY;
    if (code != 0x08)
        s->regs.error = 0;
    if (s->asleep && code != 0x08) { /* only a reset wakes it */
        s->regs.status = STATUS_IDLE;
        return;
    }
    if (ide_queue_busy(s) && code != 0x60 && code != 0x61) {
        ide_queue_abort(s, ERROR_ABORT);
        ide_fail(s, ERROR_ABORT);
        return;
    }
    if (!found) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    s->ext = found->ext;
    if (s->power == 0 && found->run != check_power)
        s->power = 0xff;
    found->run(s);
}
