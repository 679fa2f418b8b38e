/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command unit (chapter 6.4): a list of command blocks in the guest's memory, each done at
 * once. A frame that the network does not take now holds up the list: its block is not marked, and
 * looked at again.
 */
#include <string.h>

#include <bp/log.h>

#include "i8255x.h"

#define TURN 256u /* blocks, before others have theirs */
#define TURN_NS 50000
#define MOST_BUFFERS 255u
#define MICROCODE_BYTES 536u
#define DUMP_BYTES 596u

enum { NOP, ADDRESS, CONFIGURE, GROUPS, TRANSMIT, MICROCODE, DUMP, DIAGNOSE };
struct block {
    uint32_t at;
    uint8_t head[16];
    uint16_t command;
};

/* What byte counts, padding and filters are after a reset (chapter 6.4.2.3). */
void i8255x_configure_default(struct i8255x *s)
{
    static const uint8_t at_first[22] = {22, 8,    0, 0,    0,    0, 0x32, 3,    1,    0,    0x2e,
                                         0,  0x60, 0, 0xf2, 0x48, 0, 0x40, 0xf2, 0x80, 0x3f, 5};

    memset(s->config, 0, sizeof(s->config));
    memcpy(s->config, at_first, sizeof(at_first));
    memset(s->groups, 0, sizeof(s->groups));
}

static bool fetch(struct i8255x *s, uint64_t at, void *buf, unsigned n)
{
    return i8255x_pci->dma_read(bp_device_of_state(s), at & UINT32_MAX, buf, n) >= 0;
}

static void put(struct i8255x *s, uint64_t at, const void *buf, unsigned n)
{
    i8255x_pci->dma_write(bp_device_of_state(s), at & UINT32_MAX, buf, n);
}

/* ---- transmission ---- */

static bool add_part(struct i8255x *s, unsigned *length, uint32_t at, unsigned n)
{
    if (n > CARD_FRAME_MAX - *length || !fetch(s, at, s->frame + *length, n))
        return false;
    *length += n;
    return true;
}

/* The buffers that a block names: in its own first two places when it is an extended one, then in
 * its array. */
static bool add_buffers(struct i8255x *s, const struct block *b, unsigned *length)
{
    uint32_t array = i8255x_le32(b->head + 8);
    unsigned count = b->head[15], inside = 0;
    uint8_t d[8];

    if (i8255x_revision(s) >= 4 && !(s->config[6] & 0x10))
        inside = 2;
    for (unsigned i = 0; i < count && i < MOST_BUFFERS; i++) {
        uint64_t at = i < inside ? b->at + 16ull + 8 * i : array + 8ull * (i - inside);

        if (!fetch(s, at, d, 8) ||
            !add_part(s, length, i8255x_le32(d), i8255x_le16(d + 4) & 0x3fff))
            return false;
        if (d[6] & 1) /* the last */
            return true;
    }
    return true;
}

static bool deliver(struct i8255x *s, const struct block *b, unsigned length)
{
    uint8_t copy[CARD_FRAME_MAX];
    struct iovec vector = {copy, length};
    struct bp_net_packet packet = {&vector, 1, length, {0}};

    if (length >= 12 && !(s->config[10] & 8)) /* source address insertion */
        memcpy(s->frame + 6, s->station, 6);
    if (b->command & BLOCK_NO_CRC) /* the guest's own ends it */
        length = length > 4 ? length - 4 : 0;
    if (s->config[18] & 2 && length && length < 60) {
        memset(s->frame + length, 0x7e, 60 - length);
        length = 60;
    }
    if (!i8255x_loopback(s))
        return card_send(i8255x_net, s->nic, s->frame, length);
    memcpy(copy, s->frame, length);
    vector.iov_len = packet.length = length;
    i8255x_receive(s, 1, &packet, 1);
    return true;
}

/* false: the network is full. */
static bool transmit(struct i8255x *s, const struct block *b, bool *ok)
{
    unsigned length = 0, immediate = i8255x_le16(b->head + 12) & 0x3fff;
    bool good = add_part(s, &length, b->at + 16, immediate);

    if (good && i8255x_le32(b->head + 8) != NO_ADDRESS && b->command & BLOCK_FLEXIBLE)
        good = add_buffers(s, b, &length);
    if (!good) {
        bp_guest_error("i8255x-frame",
                       "i8255x: the frame of a command block at %#x is too long, or not there",
                       b->at);
        length = 0;
    }
    if (!deliver(s, b, length))
        return false;
    *ok = good;
    s->counters[COUNT_TX_GOOD] += good;
    return true;
}

/* ---- the other commands ---- */

static bool configure(struct i8255x *s, const struct block *b)
{
    unsigned n;
    uint8_t count;

    if (!fetch(s, b->at + 8ull, &count, 1))
        return false;
    n = count & 0x3f;
    n = n < CONFIG_BYTES ? n : CONFIG_BYTES;
    if (n == 0 || !fetch(s, b->at + 8ull, s->config, n))
        return false;
    i8255x_net->nic_ready(s->nic, 0);
    return true;
}

static bool set_groups(struct i8255x *s, const struct block *b)
{
    uint8_t address[6];
    unsigned bytes = i8255x_le16(b->head + 8) & 0x3fff;

    memset(s->groups, 0, sizeof(s->groups));
    for (unsigned at = 0; at + 6 <= bytes; at += 6) {
        unsigned bit;

        if (!fetch(s, b->at + 10ull + at, address, 6))
            return false;
        bit = card_crc(address, 6) >> 2 & 0x3f;
        s->groups[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
    return true;
}

/* What there is of the card's inside; the rest reads as zeroes (chapter 6.4.2.7: its order is each
 * stepping's own). */
static bool dump(struct i8255x *s, uint32_t at)
{
    uint8_t image[DUMP_BYTES] = {0};

    memcpy(image, s->config, 22);
    memcpy(image + 39, s->station, 6);
    memcpy(image + 48, s->groups, 8);
    return i8255x_pci->dma_write(bp_device_of_state(s), at, image, sizeof(image)) >= 0;
}

/* false: it has to wait. *ret_ok: whether it was done as it should be. */
static bool execute(struct i8255x *s, const struct block *b, bool *ret_ok)
{
    uint8_t microcode[MICROCODE_BYTES];

    *ret_ok = true;
    switch (b->command & 7u) {
    case ADDRESS:
        memcpy(s->station, b->head + 8, 6);
        i8255x_net->nic_set_mac(s->nic, s->station);
        break;
    case CONFIGURE:
        *ret_ok = configure(s, b);
        break;
    case GROUPS:
        *ret_ok = set_groups(s, b);
        break;
    case TRANSMIT:
        return transmit(s, b, ret_ok);
    case MICROCODE: /* read, so that one that is not there fails */
        *ret_ok = fetch(s, b->at + 8ull, microcode, sizeof(microcode));
        break;
    case DUMP:
        *ret_ok = dump(s, i8255x_le32(b->head + 8));
        break;
    default: /* nothing; a diagnosis that finds nothing */
        break;
    }
    return true;
}

/* ---- the list ---- */

static void leave_active(struct i8255x *s, unsigned state)
{
    s->cu = (uint8_t)state;
    i8255x_interrupt(s, ACK_CNA);
}

/* false: no more now. */
static bool step(struct i8255x *s)
{
    struct block b = {.at = s->cu_base + s->cu_offset};
    uint8_t status[2];
    bool ok;

    if (!fetch(s, b.at, b.head, sizeof(b.head))) {
        bp_guest_error("i8255x-block", "i8255x: no command block at %#x", b.at);
        leave_active(s, CU_IDLE);
        return false;
    }
    b.command = i8255x_le16(b.head + 2);
    if (!execute(s, &b, &ok))
        return false;
    status[0] = 0;
    status[1] = (BLOCK_DONE >> 8) | (ok ? BLOCK_OK >> 8 : 0);
    put(s, b.at, status, 2);
    s->cu_offset = i8255x_le32(b.head + 4);
    if (b.command & BLOCK_INTERRUPT)
        i8255x_interrupt(s, ACK_CX);
    if (b.command & BLOCK_LAST)
        leave_active(s, CU_IDLE);
    else if (b.command & BLOCK_SUSPEND)
        leave_active(s, CU_SUSPENDED);
    return s->cu == CU_ACTIVE;
}

void i8255x_run(struct i8255x *s)
{
    unsigned n = 0;

    if (s->running || s->cu != CU_ACTIVE)
        return;
    s->running = true;
    while (n < TURN && step(s))
        n++;
    s->running = false;
    if (n == TURN)
        bp_timer_set(s->again, bp_timer_now(s->again) + TURN_NS);
}

/* ---- statistics ---- */

/* 16 counters of an 82557; with extended ones, of an 82558, 19; with those of TCO, of an 82559, two
 * halves more. */
static void dump_counters(struct i8255x *s, bool reset)
{
    unsigned revision = i8255x_revision(s), n = 16;
    uint8_t b[4 * (COUNTERS + 1)];
    uint32_t end = reset ? 0xa007 : 0xa005;

    if (revision >= 8 && s->config[6] & 4)
        n = 20;
    else if (revision >= 4 && !(s->config[6] & 0x20))
        n = 19;
    for (unsigned i = 0; i <= n; i++)
        for (unsigned k = 0; k < 4; k++)
            b[4 * i + k] = (uint8_t)((i < n ? s->counters[i] : end) >> 8 * k);
    put(s, s->counters_at, b, 4 * (n + 1));
    if (reset)
        memset(s->counters, 0, sizeof(s->counters));
}

void i8255x_command(struct i8255x *s, unsigned cuc)
{
    switch (cuc) {
    case 1:
        s->cu_offset = s->pointer;
        s->cu = CU_ACTIVE;
        break;
    case 2:
    case 0xa:
        if (s->cu == CU_SUSPENDED)
            s->cu = CU_ACTIVE;
        break;
    case 4:
        s->counters_at = s->pointer;
        break;
    case 5:
    case 7:
        dump_counters(s, cuc == 7);
        break;
    case 6:
        s->cu_base = s->pointer;
        break;
    default:
        break;
    }
    i8255x_run(s);
}
