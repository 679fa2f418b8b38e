// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Data of the SD host controller: between guest memory (SDMA, 1.4; ADMA2 with 32 bits, 1.13), or the data port, and a
 * buffer; and between that and the card's medium, up to 32 blocks at a time. What a card tells of itself is in the
 * buffer at once.
 */
#include <errno.h>
#include <string.h>

#include "sdhci.h"

#define MOST_LINES 1024u /* of an ADMA2 table, without data between */
enum { LINE_VALID = 1, LINE_END = 2, LINE_INTERRUPT = 4, LINE_LINK = 0x30, LINE_MOVE = 0x20 };

uint32_t sdhci_room(const struct sdhci *s)
{
    return s->block_size & 0xfff;
}

static bool is_out(const struct sdhci *s)
{
    return s->data == SD_WRITE;
}

static void end(struct sdhci *s, uint32_t interrupts)
{
    struct sd_reply stop;

    if (s->card)
        sd_transfer_ended(s->card, s->moved);
    if (s->card && (s->mode & MODE_AUTO_STOP) && s->data != SD_OWN) {
        sd_command(s->card, 12, 0, &stop);
        for (unsigned i = 0; i < 4; i++)
            s->response[12 + i] = stop.bytes[3 - i];
    }
    s->data = SD_NO_DATA;
    s->ready = s->paused = false;
    sdhci_interrupt(s, interrupts);
}

void sdhci_stop(struct sdhci *s)
{
    s->at_medium = false;
    if (s->request && !s->dropped) {
        s->dropped = true; /* its end is waited for: the buffer is in use */
        sd_cancel(s->request);
    }
    if (s->data && s->card)
        sd_transfer_ended(s->card, s->moved);
    s->data = SD_NO_DATA;
    s->ready = s->paused = false;
}

/* ---- the medium ---- */
static uint32_t chunk(const struct sdhci *s)
{
    return s->left < CHUNK ? s->left : CHUNK;
}

static void ended(void *opaque, int ret)
{
    struct sdhci *s = opaque;
    uint32_t blocks = s->filled / SD_BLOCK;

    s->request = NULL;
    if (s->dropped) {
        s->dropped = false;
        return;
    }
    s->at_medium = false;
    if (ret < 0) {
        end(s, ERROR_DATA_TIMEOUT);
        return;
    }
    s->moved += blocks;
    s->block += blocks;
    s->at = 0;
    if (is_out(s)) {
        s->filled = 0;
        s->left -= blocks;
    }
    sdhci_go_on(s);
}

void sdhci_to_medium(struct sdhci *s)
{
    struct bp_block_request req = {.size = sizeof(req), .offset = s->block * SD_BLOCK, .bytes = s->filled,
                                   .iov = &s->iov, .iov_count = 1};

    if (s->block + s->filled / SD_BLOCK > sd_blocks(s->card)) {
        end(s, ERROR_DATA_TIMEOUT);
        return;
    }
    s->iov = (struct iovec){s->buffer, s->filled};
    s->at_medium = true;
    s->request = sd_submit(s->card, is_out(s) ? BP_BLOCK_WRITE : BP_BLOCK_READ, &req, ended, s);
}

/* ---- guest memory ---- */
/* The next stretch of an ADMA2 table that moves data. False: none, it is wrong, and the transfer has ended. */
static bool next_line(struct sdhci *s)
{
    for (unsigned n = 0; n < MOST_LINES && !s->line_last; n++) {
        uint8_t d[8];

        if (sdhci_dma(s, s->adma & 0xfffffffc, d, sizeof(d), false) < 0 || !(d[0] & LINE_VALID))
            break;
        s->line_last = d[0] & LINE_END;
        s->adma = (uint32_t)(s->adma + 8);
        if (d[0] & LINE_INTERRUPT)
            sdhci_interrupt(s, INT_DMA);
        s->line_address = (uint32_t)(d[4] | d[5] << 8 | d[6] << 16) | (uint32_t)d[7] << 24;
        if ((d[0] & LINE_LINK) == LINE_LINK) {
            s->adma = s->line_address;
        } else if ((d[0] & LINE_LINK) == LINE_MOVE) {
            s->line_left = (uint32_t)(d[2] | d[3] << 8);
            if (s->line_left == 0)
                s->line_left = 65536;
            return true;
        }
    }
    s->adma_error = 1;
    end(s, ERROR_ADMA);
    return false;
}

/* Bytes that go over at once, and where; 0: it waits, or has ended. */
static uint32_t stretch(struct sdhci *s, uint32_t most, uint64_t *ret_address)
{
    uint32_t boundary = 4096u << (s->block_size >> 12 & 7), n;

    if ((s->host_control & 0x18) == 0x10) {
        if (s->line_left == 0 && !next_line(s))
            return 0;
        n = most < s->line_left ? most : s->line_left;
        *ret_address = s->line_address;
        s->line_address += n;
        s->line_left -= n;
        return n;
    }
    if (s->paused)
        return 0;
    n = boundary - (s->sdma & (boundary - 1));
    if (n > most)
        n = most;
    *ret_address = s->sdma;
    s->sdma += n;
    s->paused = (s->sdma & (boundary - 1)) == 0;
    return n;
}

/* Bytes of the buffer between here and guest memory. False: it waits, or has ended. */
static bool by_dma(struct sdhci *s, uint32_t until)
{
    while (s->at < until) {
        uint64_t address;
        uint32_t n = stretch(s, until - s->at, &address);

        if (n == 0)
            return false;
        if (sdhci_dma(s, address, s->buffer + s->at, n, !is_out(s)) < 0) {
            s->adma_error = 3;
            end(s, ERROR_ADMA);
            return false;
        }
        s->at += n;
    }
    return true;
}

/* ---- going on ---- */
static void by_port(struct sdhci *s)
{
    if (!s->ready) {
        s->ready = true;
        sdhci_interrupt(s, is_out(s) ? INT_WRITE_READY : INT_READ_READY);
    }
}

/* After a stop at a boundary whatever is left goes on with the next write of the address. */
static bool waits_at_boundary(struct sdhci *s)
{
    if (s->paused && s->data)
        sdhci_interrupt(s, INT_DMA);
    return s->paused;
}

static void go_on_in(struct sdhci *s)
{
    if (s->filled == 0) {
        s->filled = chunk(s) * SD_BLOCK;
        sdhci_to_medium(s);
        return;
    }
    if (!(s->mode & MODE_DMA)) {
        by_port(s);
        return;
    }
    if (!by_dma(s, s->filled)) {
        (void)waits_at_boundary(s);
        return;
    }
    s->left -= s->data == SD_OWN ? s->left : s->filled / SD_BLOCK;
    s->filled = 0;
    if (s->left == 0) {
        s->block_count = 0;
        end(s, INT_TRANSFER);
    } else {
        sdhci_go_on(s);
    }
}

static void go_on_out(struct sdhci *s)
{
    if (s->left == 0) {
        s->block_count = 0;
        end(s, INT_TRANSFER);
        return;
    }
    if (!(s->mode & MODE_DMA)) {
        by_port(s);
        return;
    }
    if (!by_dma(s, chunk(s) * SD_BLOCK)) {
        (void)waits_at_boundary(s);
        return;
    }
    s->filled = chunk(s) * SD_BLOCK;
    sdhci_to_medium(s);
}

void sdhci_go_on(struct sdhci *s)
{
    if (s->data == SD_NO_DATA || s->request || !s->card)
        return;
    if (is_out(s))
        go_on_out(s);
    else
        go_on_in(s);
}

void sdhci_begin(struct sdhci *s, const struct sd_reply *reply)
{
    bool many = s->mode & MODE_MULTI, own = reply->data == SD_OWN;
    uint32_t room = sdhci_room(s);

    s->data = (uint8_t)reply->data;
    s->block = reply->block;
    s->moved = 0;
    s->at = s->filled = s->line_left = 0;
    s->line_last = s->paused = s->ready = false;
    s->left = !many ? 1 : s->mode & MODE_COUNT ? s->block_count : UINT32_MAX;
    if (s->request || (own ? room == 0 || room > reply->own_length : room != SD_BLOCK) ||
        is_out(s) == !!(s->mode & MODE_READ) || s->left == 0) {
        end(s, ERROR_DATA_TIMEOUT);
        return;
    }
    if (own) {
        memcpy(s->buffer, reply->own, reply->own_length);
        s->filled = room;
        s->left = 1;
    }
    sdhci_go_on(s);
}

/* ---- the data port ---- */
static void next_chunk(struct sdhci *s)
{
    s->at = s->filled = 0;
    sdhci_go_on(s);
}

/* A block has gone over there. */
static void block_by_port(struct sdhci *s)
{
    uint32_t room = s->data == SD_OWN ? s->filled : SD_BLOCK;

    if (s->at % room)
        return;
    s->ready = false;
    if (s->block_count && (s->mode & MODE_COUNT))
        s->block_count--;
    if (is_out(s)) {
        if (s->at < chunk(s) * SD_BLOCK) {
            by_port(s);
            return;
        }
        s->filled = s->at;
        sdhci_to_medium(s);
        return;
    }
    s->left--;
    if (s->left == 0)
        end(s, INT_TRANSFER);
    else if (s->at == s->filled)
        next_chunk(s);
    else
        by_port(s);
}

uint32_t sdhci_port_read(struct sdhci *s, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size && s->ready && !is_out(s) && s->at < s->filled; i++) {
        value |= (uint32_t)s->buffer[s->at++] << 8 * i;
        block_by_port(s);
    }
    return value;
}

void sdhci_port_write(struct sdhci *s, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size && s->ready && is_out(s) && s->at < sizeof(s->buffer); i++) {
        s->buffer[s->at++] = (uint8_t)(value >> 8 * i);
        block_by_port(s);
    }
}
