// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Frames of the MegaRAID SAS adapter: set-up of the reply queue, I/O of logical and physical drives, abortion,
 * completion. A frame's first 64 bytes are read once; its list of data, which may be longer, once too.
 */
#include <errno.h>

#include <bp/log.h>

#include "cdb.h"
#include "megasas.h"

enum { READ_16 = 0x88, WRITE_16 = 0x8a, FLUSH = 0x35 };

/* ---- completion ---- */
static void reply(struct megasas *s, const uint8_t *frame)
{
    unsigned size = s->reply_wide ? 8 : 4;
    uint8_t raw[4];

    if (!s->reply_entries)
        return;
    (void)hba_write(&s->hba, s->reply_queue + (uint64_t)s->reply_index * size, frame + F_CONTEXT, size);
    s->reply_index = (s->reply_index + 1) % s->reply_entries;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    hba_put32(raw, s->reply_index);
    (void)hba_write(&s->hba, s->producer, raw, sizeof(raw));
    megasas_reply_interrupt(s);
}

void megasas_complete(struct megasas *s, uint64_t addr, const uint8_t *frame, uint8_t status, uint8_t scsi_status)
{
    (void)hba_write(&s->hba, addr + F_SCSI_STATUS, &scsi_status, 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    (void)hba_write(&s->hba, addr + F_STATUS, &status, 1); /* whoever polls looks at this one */
    if (!(hba_get16(frame + F_FLAGS) & MFI_NO_REPLY))
        reply(s, frame);
}

static void store_sense(struct megasas *s, const struct hba_command *c)
{
    uint32_t room = c->frame[F_SENSE_LENGTH];

    if (room > c->request.sense_length)
        room = c->request.sense_length;
    if (room)
        (void)hba_write(&s->hba, hba_get64(c->frame + F_SENSE_ADDR), c->request.sense, room);
}

void megasas_done(struct hba *hba, struct hba_command *c)
{
    struct megasas *s = bp_device_state(hba->dev);
    uint8_t scsi = c->request.status, status = scsi ? MFI_SCSI_DONE_WITH_ERROR : MFI_OK;

    if (c->forgotten)
        return;
    if (c->frame[F_CMD] == MFI_CMD_DCMD) { /* one of the flushes */
        unsigned next = megasas_flush(s, c->key, c->frame, (unsigned)(uintptr_t)c->waiting);

        if (next != MFI_PENDING)
            megasas_complete(s, c->key, c->frame, (uint8_t)next, 0);
        return;
    }
    if (c->request.cancelled)
        status = MFI_SCSI_IO_FAILED;
    else
        store_sense(s, c);
    megasas_complete(s, c->key, c->frame, status, scsi);
}

/* ---- I/O ---- */
bool megasas_list(struct hba_command *c, uint64_t addr, const uint8_t *frame, unsigned at, uint64_t length)
{
    unsigned flags = hba_get16(frame + F_FLAGS), count = frame[F_SGE_COUNT];
    unsigned size = flags & MFI_IEEE ? 16 : flags & MFI_SGL64 ? 12 : 8;
    uint8_t list[255 * 16];

    if (count && hba_read(c->hba, addr + at, list, (uint64_t)count * size) < 0)
        return false;
    for (unsigned i = 0; i < count && c->bytes < length; i++) {
        const uint8_t *e = list + i * size;
        uint64_t bytes = hba_get32(e + (size == 8 ? 4 : 8));

        if (bytes > length - c->bytes)
            bytes = length - c->bytes;
        if (!hba_add(c, size == 8 ? hba_get32(e) : hba_get64(e), bytes))
            return false;
    }
    return true;
}

static void put_be(uint8_t *p, uint64_t v, unsigned bytes)
{
    while (bytes) {
        p[--bytes] = (uint8_t)v;
        v >>= 8;
    }
}

static bool make_request(struct hba_command *c)
{
    const uint8_t *f = c->frame;
    unsigned cmd = f[F_CMD], flags = hba_get16(f + F_FLAGS);
    uint8_t *cdb = c->request.cdb;
    bool to_guest = true;

    if (cmd == MFI_CMD_LD_READ || cmd == MFI_CMD_LD_WRITE) {
        cdb[0] = cmd == MFI_CMD_LD_READ ? READ_16 : WRITE_16;
        put_be(cdb + 2, hba_get64(f + F_LBA), 8);
        put_be(cdb + 10, hba_get32(f + F_LENGTH), 4);
        c->request.cdb_length = 16;
        c->to_guest = cmd == MFI_CMD_LD_READ;
        return megasas_list(c, c->key, f, F_SGL, HBA_BYTES);
    }
    if (f[F_CDB_LENGTH] > 16 || hba_get32(f + F_LENGTH) > HBA_BYTES)
        return false;
    memcpy(cdb, f + F_CDB, 16);
    c->request.cdb_length = f[F_CDB_LENGTH];
    c->to_guest = flags & MFI_FROM_DEVICE;
    if (!(flags & (MFI_FROM_DEVICE | MFI_TO_DEVICE))) { /* firmware leaves that to the command */
        (void)cdb_moves(cdb, 512, &to_guest);
        c->to_guest = to_guest;
    }
    return megasas_list(c, c->key, f, F_SCSI_SGL, hba_get32(f + F_LENGTH));
}

static unsigned start_io(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    bool physical = frame[F_CMD] == MFI_CMD_PD_SCSI;
    bool scsi = physical || frame[F_CMD] == MFI_CMD_LD_SCSI;
    struct hba_command *c;
    int ret;

    /* Who polls, as firmware does, needs no reply queue. */
    if (s->state != (uint32_t)MFI_STATE_OPERATIONAL &&
        (s->state != (uint32_t)MFI_STATE_READY || !(hba_get16(frame + F_FLAGS) & MFI_NO_REPLY)))
        return MFI_WRONG_STATE;
    if (physical != s->jbod || frame[F_TARGET] >= megasas_drives(s))
        return MFI_DEVICE_NOT_FOUND;
    c = hba_new(&s->hba, addr);
    if (!c)
        return MFI_NO_MEMORY;
    memcpy(c->frame, frame, MFI_FRAME);
    ret = make_request(c) ? hba_start(c, 0, frame[F_TARGET], scsi ? frame[F_LUN] : 0) : -EINVAL;
    if (ret == 0)
        return MFI_PENDING;
    hba_drop(c);
    return ret == -ENODEV ? MFI_DEVICE_NOT_FOUND : ret == -EAGAIN ? MFI_NO_MEMORY : MFI_INVALID_PARAMETER;
}

/* ---- set-up ---- */
static unsigned init(struct megasas *s, const uint8_t *frame)
{
    uint64_t at = hba_get64(frame + 0x18);
    uint8_t q[32], raw[4];
    uint32_t entries;

    if (s->state == (uint32_t)MFI_STATE_FAULT)
        return MFI_WRONG_STATE;
    if (hba_read(&s->hba, at, q, sizeof(q)) < 0)
        return MFI_INVALID_PARAMETER;
    entries = hba_get32(q + 4);
    if (entries == 0 || entries > 65536 || hba_read(&s->hba, hba_get64(q + 16), raw, sizeof(raw)) < 0)
        return MFI_INVALID_PARAMETER;
    s->reply_wide = hba_get32(q) & 2;
    s->reply_entries = entries;
    s->reply_queue = hba_get64(q + 8);
    s->producer = hba_get64(q + 16);
    s->reply_index = hba_get32(raw) % entries;
    s->state = (uint32_t)MFI_STATE_OPERATIONAL;
    return MFI_OK;
}

static unsigned abort_one(struct megasas *s, const uint8_t *frame)
{
    uint64_t addr = hba_get64(frame + 0x20);
    struct hba_command *c = hba_find(&s->hba, addr);

    if (s->waits && s->wait_addr == addr) {
        s->waits = false;
        megasas_complete(s, addr, s->wait_frame, MFI_NOT_FOUND, 0);
        return MFI_OK;
    }
    if (!c || !c->started)
        return MFI_ABORT_NOT_POSSIBLE;
    s->hba.scsi->cancel(c->request.unit, &c->request);
    return MFI_OK;
}

/* ---- frames ---- */
static void carry_out(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    unsigned status = MFI_INVALID_CMD;

    switch (frame[F_CMD]) {
    case MFI_CMD_INIT:
        status = init(s, frame);
        break;
    case MFI_CMD_LD_READ:
    case MFI_CMD_LD_WRITE:
    case MFI_CMD_LD_SCSI:
    case MFI_CMD_PD_SCSI:
        status = start_io(s, addr, frame);
        break;
    case MFI_CMD_DCMD:
        status = megasas_dcmd(s, addr, frame);
        break;
    case MFI_CMD_ABORT:
        status = abort_one(s, frame);
        break;
    default:
        bp_guest_error("megasas-frame", "megasas: frames of kind %#x are not there", frame[F_CMD]);
        break;
    }
    if (status != MFI_PENDING)
        megasas_complete(s, addr, frame, (uint8_t)status, 0);
}

void megasas_take(struct megasas *s, uint64_t addr)
{
    uint8_t frame[MFI_FRAME];

    if (hba_read(&s->hba, addr, frame, sizeof(frame)) < 0) {
        bp_guest_error("megasas-frame-where", "megasas: a frame lies where no memory is");
        return;
    }
    carry_out(s, addr, frame);
}

/* What was under way when the state was saved. */
void megasas_replay(struct megasas *s)
{
    for (uint32_t i = 0; i < s->hba.saved_count; i++)
        carry_out(s, s->hba.saved[i].key, s->hba.saved[i].frame);
    s->hba.saved_count = 0;
}
