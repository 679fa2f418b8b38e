// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands of disks (SBC-3): data, sizes, zeroes, unmap, caches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

enum {
    TEST_UNIT_READY = 0x00,
    REZERO_UNIT = 0x01,
    READ_6 = 0x08,
    WRITE_6 = 0x0a,
    MODE_SELECT_6 = 0x15,
    RESERVE_6 = 0x16,
    RELEASE_6 = 0x17,
    MODE_SENSE_6 = 0x1a,
    START_STOP = 0x1b,
    PREVENT_ALLOW = 0x1e,
    READ_CAPACITY_10 = 0x25,
    READ_10 = 0x28,
    WRITE_10 = 0x2a,
    SEEK_10 = 0x2b,
    WRITE_VERIFY_10 = 0x2e,
    VERIFY_10 = 0x2f,
    SYNCHRONIZE_10 = 0x35,
    WRITE_SAME_10 = 0x41,
    UNMAP = 0x42,
    MODE_SELECT_10 = 0x55,
    MODE_SENSE_10 = 0x5a,
    PERSISTENT_RESERVE_IN = 0x5e,
    PERSISTENT_RESERVE_OUT = 0x5f,
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    WRITE_VERIFY_16 = 0x8e,
    VERIFY_16 = 0x8f,
    SYNCHRONIZE_16 = 0x91,
    WRITE_SAME_16 = 0x93,
    SERVICE_ACTION_IN = 0x9e,
    READ_12 = 0xa8,
    WRITE_12 = 0xaa,
    WRITE_VERIFY_12 = 0xae,
};
#define READ_CAPACITY_16 0x10

void sdisk_answer(struct bp_scsi_request *r, const void *data, uint64_t length, uint64_t allocated)
{
    if (length > allocated)
        length = allocated;
    r->moved = scsi_copy(r->in, r->in_count, (void *)(uintptr_t)data, length, true);
    sdisk_scsi->complete(r, BP_SCSI_GOOD);
}

bool sdisk_has_medium(struct sdisk *s, struct bp_scsi_request *r)
{
    if (!s->tray_open && sdisk_block->inserted(s->blk))
        return true;
    sdisk_scsi->fail(r, SCSI_NOT_READY, s->tray_open ? SCSI_TRAY_OPEN : SCSI_NO_MEDIUM);
    return false;
}

/* ---- at the block layer ---- */
static void free_job(struct job *j)
{
    j->request->unit_data = NULL;
    free(j->fill.iov_base);
    free(j->ranges);
    free(j);
}

static void end_with_error(struct bp_scsi_request *r, enum bp_block_op op, int ret)
{
    bool reads = op == BP_BLOCK_READ;

    if (r->cancelled)
        sdisk_scsi->complete(r, BP_SCSI_TASK_ABORTED);
    else if (ret == -ENOMEDIUM)
        sdisk_scsi->fail(r, SCSI_NOT_READY, SCSI_NO_MEDIUM);
    else if (ret == -ENOSPC)
        sdisk_scsi->fail(r, SCSI_DATA_PROTECT, SCSI_SPACE_ALLOCATION);
    else if (ret == -EPERM)
        sdisk_scsi->fail(r, SCSI_DATA_PROTECT, SCSI_WRITE_PROTECTED);
    else if (ret == -ENOMEM)
        sdisk_scsi->fail(r, SCSI_HARDWARE_ERROR, SCSI_INTERNAL_FAILURE);
    else
        sdisk_scsi->fail(r, SCSI_MEDIUM_ERROR, reads ? SCSI_READ_ERROR : SCSI_WRITE_ERROR);
}

static void block_done(void *opaque, int ret);

static void to_block(struct job *j)
{
    j->at_block = sdisk_block->submit(j->s->blk, j->op, j->op == BP_BLOCK_FLUSH ? NULL : &j->req, block_done, j);
}

/* Commands of several requests: is there another one? */
static bool next_part(struct job *j)
{
    struct sdisk *s = j->s;

    if (j->range < j->range_count) {
        const uint8_t *d = j->ranges + 16 * j->range++;

        j->req.offset = scsi_get64(d) * s->conf.logical_block_size;
        j->req.bytes = (uint64_t)scsi_get32(d + 8) * s->conf.logical_block_size;
        return true;
    }
    if (j->fill_left > 0) {
        j->req.offset = j->fill_at;
        j->req.bytes = j->fill_left < j->fill.iov_len ? j->fill_left : j->fill.iov_len;
        j->fill.iov_len = (size_t)j->req.bytes;
        j->req.iov = &j->fill;
        j->req.iov_count = 1;
        j->fill_at += j->req.bytes;
        j->fill_left -= j->req.bytes;
        return true;
    }
    return false;
}

/* In the adapter's context; the disk's owner has no lock, but in the main context the machine's. */
static void block_done(void *opaque, int ret)
{
    struct job *j = opaque;
    struct sdisk *s = j->s;
    struct bp_scsi_request *r = j->request;
    struct bp_device *adapter = sdisk_scsi->adapter(s->unit);
    enum bp_block_op op = j->op;

    bp_device_lock(adapter);
    if (ret == 0 && !r->cancelled && next_part(j)) {
        to_block(j);
    } else {
        uint64_t moves = j->moves;

        free_job(j);
        if (ret < 0 || r->cancelled) {
            end_with_error(r, op, ret);
        } else {
            r->moved = moves;
            sdisk_scsi->complete(r, BP_SCSI_GOOD);
        }
        sdisk_reserve_ended(s);
    }
    bp_device_unlock(adapter);
}

static struct job *new_job(struct sdisk *s, struct bp_scsi_request *r, enum bp_block_op op)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j) {
        sdisk_scsi->fail(r, SCSI_HARDWARE_ERROR, SCSI_INTERNAL_FAILURE);
        return NULL;
    }
    j->s = s;
    j->request = r;
    j->op = op;
    j->req.size = sizeof(j->req);
    r->unit_data = j;
    return j;
}

void sdisk_cancel(void *state, struct bp_scsi_request *r)
{
    struct job *j = r->unit_data;

    (void)state;
    if (j)
        sdisk_block->cancel(j->at_block);
}

/* ---- ranges ---- */
struct range {
    uint64_t lba;
    uint32_t blocks;
};

static struct range range_of(const uint8_t *cdb)
{
    switch (cdb[0] >> 5) { /* the group says how long it is */
    case 0:
        return (struct range){scsi_get32(cdb) & 0x1fffff, cdb[4] ? cdb[4] : 256u};
    case 1:
    case 2:
        return (struct range){scsi_get32(cdb + 2), scsi_get16(cdb + 7)};
    case 4:
        return (struct range){scsi_get64(cdb + 2), scsi_get32(cdb + 10)};
    default:
        return (struct range){scsi_get32(cdb + 2), scsi_get32(cdb + 6)};
    }
}

static bool in_range(struct sdisk *s, struct bp_scsi_request *r, uint64_t lba, uint64_t blocks)
{
    uint64_t capacity = sdisk_blocks(s);

    if (lba <= capacity && blocks <= capacity - lba)
        return true;
    sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_LBA_OUT_OF_RANGE);
    return false;
}

static bool may_write(struct sdisk *s, struct bp_scsi_request *r)
{
    if (sdisk_block->writable(s->blk))
        return true;
    sdisk_scsi->fail(r, SCSI_DATA_PROTECT, SCSI_WRITE_PROTECTED);
    return false;
}

static void transfer(struct sdisk *s, struct bp_scsi_request *r, bool write)
{
    struct range g = range_of(r->cdb);
    uint64_t bytes = (uint64_t)g.blocks * s->conf.logical_block_size;
    uint64_t given = write ? r->out_bytes : r->in_bytes;
    struct job *j;

    if ((r->cdb[0] >> 5) && (r->cdb[1] & 0xe0)) { /* protection information */
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    if (!sdisk_has_medium(s, r) || (write && !may_write(s, r)) || !in_range(s, r, g.lba, g.blocks))
        return;
    if (bytes > given || bytes > BP_BLOCK_MAX_REQUEST) { /* less memory than the command moves */
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    if (bytes == 0) {
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return;
    }
    j = new_job(s, r, write ? BP_BLOCK_WRITE : BP_BLOCK_READ);
    if (!j)
        return;
    j->req.offset = g.lba * s->conf.logical_block_size;
    j->req.bytes = j->moves = bytes;
    j->req.iov = write ? r->out : r->in;
    j->req.iov_count = write ? r->out_count : r->in_count;
    if (bytes < given) { /* what is too much stays untouched */
        struct iovec *cut = malloc(j->req.iov_count * sizeof(*cut));
        unsigned n = 0;

        for (uint64_t left = bytes; cut && left > 0; n++) {
            cut[n] = j->req.iov[n];
            if (cut[n].iov_len > left)
                cut[n].iov_len = (size_t)left;
            left -= cut[n].iov_len;
        }
        j->ranges = (uint8_t *)cut; /* freed with the job */
        j->req.iov = cut;
        j->req.iov_count = n;
    }
    if (write && (r->cdb[0] >> 5) && (r->cdb[1] & 8))
        j->req.flags = BP_BLOCK_FUA;
    to_block(j);
}

static void verify(struct sdisk *s, struct bp_scsi_request *r)
{
    struct range g = range_of(r->cdb);

    if ((r->cdb[1] >> 1 & 3) != 0)
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD); /* comparing is not offered */
    else if (sdisk_has_medium(s, r) && in_range(s, r, g.lba, g.blocks))
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
}

static void flush(struct sdisk *s, struct bp_scsi_request *r)
{
    struct job *j = sdisk_has_medium(s, r) ? new_job(s, r, BP_BLOCK_FLUSH) : NULL;

    if (j)
        to_block(j);
}

static void write_same(struct sdisk *s, struct bp_scsi_request *r)
{
    struct range g = range_of(r->cdb);
    bool no_data = r->cdb[0] == WRITE_SAME_16 && (r->cdb[1] & 1), unmap = r->cdb[1] & 8;
    uint32_t block_size = s->conf.logical_block_size;
    struct job *j;
    uint8_t *one;
    bool zero = true;

    if (!sdisk_has_medium(s, r) || !may_write(s, r))
        return;
    if (g.blocks == 0 || (r->cdb[1] & 0x16) || (!no_data && r->out_bytes < block_size)) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    if (!in_range(s, r, g.lba, g.blocks))
        return;
    j = new_job(s, r, BP_BLOCK_WRITE_ZEROES);
    if (!j)
        return;
    j->req.offset = g.lba * block_size;
    j->req.bytes = (uint64_t)g.blocks * block_size;
    j->req.flags = unmap ? BP_BLOCK_MAY_UNMAP : 0;
    j->moves = no_data ? 0 : block_size;
    one = calloc(1, 65536 > block_size ? 65536 : block_size);
    if (!one) {
        free_job(j);
        sdisk_scsi->fail(r, SCSI_HARDWARE_ERROR, SCSI_INTERNAL_FAILURE);
        return;
    }
    if (!no_data)
        scsi_copy(r->out, r->out_count, one, block_size, false);
    for (uint32_t i = 0; zero && i < block_size; i++)
        zero = one[i] == 0;
    if (zero) {
        free(one);
    } else { /* the block as often as it fits, and that as often as it takes */
        size_t filled = block_size, size = 65536 > block_size ? 65536 / block_size * block_size : block_size;

        for (; filled < size; filled += block_size)
            memcpy(one + filled, one, block_size);
        j->op = BP_BLOCK_WRITE;
        j->fill = (struct iovec){one, size};
        j->fill_at = j->req.offset;
        j->fill_left = j->req.bytes;
        j->req.flags = 0;
        (void)next_part(j);
    }
    to_block(j);
}

static void unmap(struct sdisk *s, struct bp_scsi_request *r)
{
    uint32_t length = scsi_get16(r->cdb + 7), listed;
    uint8_t list[8 + 16 * MAX_DESCRIPTORS];
    struct job *j;

    if (!sdisk_has_medium(s, r) || !may_write(s, r))
        return;
    if (length == 0) {
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return;
    }
    if (length < 8 || length > sizeof(list) || r->out_bytes < length) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_PARAMETER_LENGTH);
        return;
    }
    scsi_copy(r->out, r->out_count, list, length, false);
    listed = scsi_get16(list + 2);
    if (listed % 16 || listed + 8 > length) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    for (uint32_t i = 0; i < listed / 16; i++) {
        if (!in_range(s, r, scsi_get64(list + 8 + 16 * i), scsi_get32(list + 16 + 16 * i)))
            return;
    }
    if (listed == 0) {
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return;
    }
    j = new_job(s, r, BP_BLOCK_DISCARD);
    if (!j)
        return;
    j->ranges = malloc(listed);
    if (!j->ranges) {
        free_job(j);
        sdisk_scsi->fail(r, SCSI_HARDWARE_ERROR, SCSI_INTERNAL_FAILURE);
        return;
    }
    memcpy(j->ranges, list + 8, listed);
    j->range_count = listed / 16;
    j->moves = length;
    (void)next_part(j);
    to_block(j);
}

/* ---- sizes ---- */
static uint64_t last_block(struct sdisk *s)
{
    uint64_t n = sdisk_blocks(s);

    return n ? n - 1 : 0;
}

static void capacity_10(struct sdisk *s, struct bp_scsi_request *r)
{
    uint64_t last = last_block(s);
    uint8_t data[8];

    if (!sdisk_has_medium(s, r))
        return;
    scsi_put32(data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
    scsi_put32(data + 4, s->conf.logical_block_size);
    sdisk_answer(r, data, sizeof(data), sizeof(data));
}

static void capacity_16(struct sdisk *s, struct bp_scsi_request *r)
{
    uint32_t physical = s->conf.physical_block_size / s->conf.logical_block_size;
    uint8_t data[32] = {0};

    if (!sdisk_has_medium(s, r))
        return;
    scsi_put64(data, last_block(s));
    scsi_put32(data + 8, s->conf.logical_block_size);
    data[13] = (uint8_t)__builtin_ctz(physical ? physical : 1);
    data[14] = !s->cd && s->conf.discard_granularity ? 0x80 : 0; /* LBPME */
    sdisk_answer(r, data, sizeof(data), scsi_get32(r->cdb + 10));
}

/* ---- media ---- */
static void start_stop(struct sdisk *s, struct bp_scsi_request *r)
{
    bool start = r->cdb[4] & 1, eject = r->cdb[4] & 2;

    if (!eject || !s->removable) {
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return;
    }
    if (!start && !s->tray_open && s->locked) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_REMOVAL_PREVENTED);
        return;
    }
    s->tray_wanted = start ? 1 : 2;
    bp_deferred_schedule(s->tray); /* the block layer is told on the main loop */
    s->tray_open = !start;
    sdisk_scsi->complete(r, BP_SCSI_GOOD);
}

static void prevent(struct sdisk *s, struct bp_scsi_request *r)
{
    s->locked = r->cdb[4] & 1;
    bp_deferred_schedule(s->tray);
    sdisk_scsi->complete(r, BP_SCSI_GOOD);
}

static bool common_command(struct sdisk *s, struct bp_scsi_request *r)
{
    switch (r->cdb[0]) {
    case TEST_UNIT_READY:
        if (sdisk_has_medium(s, r))
            sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return true;
    case SCSI_INQUIRY:
        sdisk_inquiry(s, r);
        return true;
    case MODE_SENSE_6:
    case MODE_SENSE_10:
        sdisk_mode_sense(s, r, r->cdb[0] == MODE_SENSE_10);
        return true;
    case MODE_SELECT_6:
    case MODE_SELECT_10:
        sdisk_mode_select(s, r, r->cdb[0] == MODE_SELECT_10);
        return true;
    case REZERO_UNIT:
    case SEEK_10:
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return true;
    case RESERVE_6:
    case RELEASE_6:
        sdisk_reserve_legacy(s, r, r->cdb[0] == RESERVE_6);
        return true;
    case START_STOP:
        start_stop(s, r);
        return true;
    case PREVENT_ALLOW:
        prevent(s, r);
        return true;
    case READ_CAPACITY_10:
        capacity_10(s, r);
        return true;
    default:
        return false;
    }
}

void sdisk_submit(void *state, struct bp_scsi_request *r)
{
    struct sdisk *s = state;

    if (!sdisk_may_begin(s, r) || common_command(s, r) || (s->cd && sdisk_cd_command(s, r)))
        return;
    switch (r->cdb[0]) {
    case READ_6:
    case READ_10:
    case READ_12:
    case READ_16:
        transfer(s, r, false);
        return;
    case SYNCHRONIZE_10:
    case SYNCHRONIZE_16:
        flush(s, r);
        return;
    case VERIFY_10:
    case VERIFY_16:
        verify(s, r);
        return;
    case SERVICE_ACTION_IN:
        if ((r->cdb[1] & 31) == READ_CAPACITY_16) {
            capacity_16(s, r);
            return;
        }
        break;
    default:
        break;
    }
    switch (s->cd ? 0 : r->cdb[0]) {
    case WRITE_6:
    case WRITE_10:
    case WRITE_12:
    case WRITE_16:
    case WRITE_VERIFY_10:
    case WRITE_VERIFY_12:
    case WRITE_VERIFY_16:
        transfer(s, r, true);
        return;
    case WRITE_SAME_10:
    case WRITE_SAME_16:
        write_same(s, r);
        return;
    case UNMAP:
        unmap(s, r);
        return;
    case PERSISTENT_RESERVE_IN:
        sdisk_reserve_in(s, r);
        return;
    case PERSISTENT_RESERVE_OUT:
        sdisk_reserve_out(s, r);
        return;
    default:
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST,
                         r->cdb[0] == SERVICE_ACTION_IN ? SCSI_INVALID_FIELD : SCSI_INVALID_OPCODE);
    }
}
