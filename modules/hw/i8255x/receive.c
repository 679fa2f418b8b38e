/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The receive unit (chapter 6.5): frames go into receive frame areas, the simple ones behind their
 * descriptor, the flexible ones into the buffers that it leads to. One of size 0 is not used
 * (drivers end their list with such): the unit stops there. Without a place the frame is left with
 * the network until the driver gives one.
 */
#include <string.h>

#include "i8255x.h"

#define MOST_SKIPPED 64u
#define STATUS_NOT_MINE 0x0002u
#define STATUS_SHORT 0x0080u
#define STATUS_CUT 0x0200u
#define STATUS_LENGTH 0x0020u

static bool fetch(struct i8255x *s, uint64_t at, void *buf, unsigned n)
{
    return i8255x_pci->dma_read(bp_device_of_state(s), at & UINT32_MAX, buf, n) >= 0;
}

static void put16(struct i8255x *s, uint64_t at, unsigned value)
{
    uint8_t b[2] = {(uint8_t)value, (uint8_t)(value >> 8)};

    i8255x_pci->dma_write(bp_device_of_state(s), at & UINT32_MAX, b, 2);
}

static void no_resources(struct i8255x *s)
{
    s->ru = RU_NO_RESOURCES;
    i8255x_interrupt(s, ACK_RNR);
}

/* ---- filters ---- */

/* Does the guest want it, and is it for its own address? */
static bool wanted(const struct i8255x *s, const uint8_t *f, bool *ret_mine)
{
    bool all = s->config[15] & 1;
    unsigned bit;

    *ret_mine = !memcmp(f, s->station, 6);
    if (*ret_mine || all)
        return true;
    if (card_broadcast(f))
        return !(s->config[15] & 2);
    if (!(f[0] & 1))
        return false;
    bit = card_crc(f, 6) >> 2 & 0x3f;
    return s->config[21] & 8 || (s->groups[bit / 8] >> bit % 8 & 1u);
}

/* ---- flexible ones ---- */

/* Fills buffers from the one that is next; returns how many bytes had room. */
static unsigned fill_buffers(struct i8255x *s, unsigned n)
{
    unsigned done = 0;
    uint8_t d[16];

    for (unsigned i = 0; i < MOST_SKIPPED && done < n && s->rbd != NO_ADDRESS; i++) {
        uint64_t at = (uint64_t)s->ru_base + s->rbd;
        unsigned size, part;

        if (!fetch(s, at, d, sizeof(d)))
            break;
        size = i8255x_le16(d + 12) & 0x3fff;
        part = n - done < size ? n - done : size;
        i8255x_pci->dma_write(bp_device_of_state(s), i8255x_le32(d + 8), s->frame + done, part);
        done += part;
        put16(s, at, part | COUNT_FILLED | (done == n ? COUNT_END : 0));
        s->rbd = d[13] & 0x80 ? NO_ADDRESS : i8255x_le32(d + 4);
    }
    return done;
}

/* ---- descriptors ---- */

struct place {
    uint64_t at;
    uint8_t head[16];
    unsigned command, size;
};

/* The descriptor that a frame goes into; false: there is none, and the unit has stopped. */
static bool find_place(struct i8255x *s, struct place *p)
{
    for (unsigned i = 0; i < MOST_SKIPPED; i++) {
        p->at = (uint64_t)s->ru_base + s->ru_offset;
        if (!fetch(s, p->at, p->head, sizeof(p->head)))
            break;
        p->command = i8255x_le16(p->head + 2);
        p->size = i8255x_le16(p->head + 14) & 0x3fff;
        if (p->size || p->command & BLOCK_FLEXIBLE)
            return true;
        if (p->command & BLOCK_LAST)
            break;
        s->ru_offset = i8255x_le32(p->head + 4);
    }
    no_resources(s);
    return false;
}

static void store(struct i8255x *s, struct place *p, unsigned n, bool mine)
{
    unsigned status = BLOCK_DONE | (mine ? 0 : STATUS_NOT_MINE), done,
             part = n < p->size ? n : p->size;

    if (p->command & BLOCK_FLEXIBLE) {
        if (i8255x_le32(p->head + 8) != NO_ADDRESS && i8255x_le32(p->head + 8) != 0)
            s->rbd = i8255x_le32(p->head + 8);
        done = part = fill_buffers(s, n);
    } else {
        i8255x_pci->dma_write(bp_device_of_state(s), (p->at + 16) & UINT32_MAX, s->frame, part);
        done = part;
    }
    status |= (s->frame[12] << 8 | s->frame[13]) > 1500 ? 0 : STATUS_LENGTH;
    status |= done < n ? STATUS_CUT : BLOCK_OK;
    put16(s, p->at + 12, part | COUNT_END | COUNT_FILLED);
    put16(s, p->at, status);
    s->counters[COUNT_RX_GOOD] += done == n;
    s->ru_offset = i8255x_le32(p->head + 4);
    i8255x_interrupt(s, ACK_FR);
    if (p->command & BLOCK_LAST)
        no_resources(s);
    else if (p->command & BLOCK_SUSPEND) {
        s->ru = RU_SUSPENDED;
        i8255x_interrupt(s, ACK_RNR);
    }
}

/* false: the sender waits. */
static bool receive_one(struct i8255x *s, const struct bp_net_packet *packet)
{
    unsigned n = card_take_frame(i8255x_net, packet, s->frame);
    struct place p;
    bool mine;

    if (!n || !wanted(s, s->frame, &mine))
        return true;
    if (!(s->config[18] & 4)) /* its FCS is not wanted */
        n -= 4;
    if (s->ru != RU_READY || !find_place(s, &p))
        return false;
    store(s, &p, n, mine);
    return true;
}

unsigned i8255x_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    struct i8255x *s = opaque;
    unsigned n = 0;

    /* Queue 1 is the card's own, in loopback: it hears nothing else then. */
    if (s->ru == RU_IDLE || s->ru == RU_SUSPENDED || i8255x_loopback(s) != (queue == 1))
        return count;
    while (n < count && receive_one(s, &packets[n]))
        n++;
    return n;
}

void i8255x_receive_command(struct i8255x *s, unsigned ruc)
{
    switch (ruc) {
    case 1:
        s->ru_offset = s->pointer;
        s->rbd = NO_ADDRESS;
        s->ru = RU_READY;
        break;
    case 2:
        if (s->ru == RU_SUSPENDED)
            s->ru = RU_READY;
        break;
    case 4:
        s->ru = RU_IDLE;
        break;
    case 6:
        s->ru_base = s->pointer;
        break;
    case 7: /* buffers are there again */
        if (s->ru == RU_NO_RESOURCES)
            s->ru = RU_READY;
        break;
    default:
        return;
    }
    i8255x_net->nic_ready(s->nic, 0);
}
