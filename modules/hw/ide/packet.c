// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PACKET command (ATA8-ACS 7.24; ATA/ATAPI-7 volume 2, 11.8): the host sends twelve bytes, data follow
 * in blocks of at most the byte count that it allows, or by DMA; the interrupt reason says what is wanted.
 * Overlap and queuing are left out.
 */
#include <string.h>

#include "ide.h"

void ide_packet(struct ide_drive *s)
{
    uint32_t limit = (uint32_t)s->regs.high << 8 | s->regs.mid;

    if (s->regs.feature & 2 || (s->regs.feature & 1 && !ide_has_dma(s))) {
        ide_fail(s, ERROR_ABORT);
        return;
    }
    ide_need_data(s);
    s->dma = s->regs.feature & 1;
    s->byte_limit = limit < 2 || limit == 0xffff ? 0xfffe : limit & ~1u;
    s->regs.count = REASON_COMMAND;
    s->phase = PHASE_PACKET;
    s->task = TASK_NONE;
    s->data_pos = 0;
    s->data_len = PACKET_SIZE;
    ide_next_block(s, true);
}

void ide_packet_received(struct ide_drive *s)
{
    memcpy(s->cdb, s->data, PACKET_SIZE);
    mmc_command(s);
}

static void end(struct ide_drive *s)
{
    s->regs.count = REASON_COMMAND | REASON_TO_HOST;
}

void ide_packet_good(struct ide_drive *s)
{
    end(s);
    s->regs.error = 0;
    ide_end(s);
}

void ide_packet_check(struct ide_drive *s, uint8_t key, uint8_t asc, uint8_t ascq)
{
    s->sense = key;
    s->asc = asc;
    s->ascq = ascq;
    end(s);
    ide_fail(s, (uint8_t)(key << 4 | ERROR_ABORT));
}

/* `length` bytes are in the buffer, the host wants `allocated` at most. */
void ide_packet_reply(struct ide_drive *s, uint32_t length, uint32_t allocated)
{
    if (length > allocated)
        length = allocated;
    if (length == 0) {
        ide_packet_good(s);
        return;
    }
    s->task = TASK_PACKET_REPLY;
    ide_offer(s, length);
}

/* ---- sectors ---- */

#define RAW_SECTOR 2352u

void ide_packet_read_next(struct ide_drive *s)
{
    uint32_t max = DATA_MAX / RAW_SECTOR;

    s->chunk = s->left < max ? s->left : max;
    ide_submit(s, STEP_READ, BP_BLOCK_READ, s->lba * CD_SECTOR, (uint64_t)s->chunk * CD_SECTOR, 0);
}

static uint8_t bcd(uint32_t n)
{
    return (uint8_t)(n / 10 << 4 | n % 10);
}

/* Puts before a sector what READ CD asked for besides the user data: sync pattern, header of mode 1. */
static void head(const struct ide_drive *s, uint8_t *out, uint32_t lba)
{
    uint32_t frame = lba + 150;

    if (s->cd_parts & 0x80) {
        memset(out, 0xff, 12);
        out[0] = out[11] = 0;
        out += 12;
    }
    if (s->cd_parts & 0x20) {
        out[0] = bcd(frame / 75 / 60 % 100);
        out[1] = bcd(frame / 75 % 60);
        out[2] = bcd(frame % 75);
        out[3] = 1;
    }
}

static void spread(struct ide_drive *s)
{
    uint32_t before = (s->cd_parts & 0x80 ? 12 : 0) + (s->cd_parts & 0x20 ? 4 : 0);

    for (uint32_t i = s->chunk; i-- > 0;) {
        uint8_t *at = s->data + i * s->cd_stride;

        if (s->cd_parts & 0x10)
            memmove(at + before, s->data + i * CD_SECTOR, CD_SECTOR);
        head(s, at, (uint32_t)s->lba + i);
    }
}

void ide_packet_read_done(struct ide_drive *s, int ret)
{
    if (ret == -ENOMEDIUM) {
        ide_packet_check(s, 2, 0x3a, 0);
        return;
    }
    if (ret < 0 || (uint64_t)s->chunk * s->cd_stride > DATA_MAX) {
        ide_packet_check(s, 3, 0x11, 0); /* unrecovered read error */
        return;
    }
    if (s->cd_parts)
        spread(s);
    ide_offer(s, s->chunk * s->cd_stride);
}

void ide_packet_sent(struct ide_drive *s)
{
    if (s->task == TASK_PACKET_READ) {
        s->lba += s->chunk;
        s->left -= s->chunk;
        s->chunk = 0;
        if (s->left) {
            ide_packet_read_next(s);
            return;
        }
    }
    ide_packet_good(s);
}
