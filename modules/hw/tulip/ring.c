/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptor lists (hardware reference manual, chapter 4.2), rings or chains, and setup frames
 * (4.2.3). A frame whose descriptors are not all given yet, or which the network does not take now,
 * stays in the list untouched.
 */
#include <string.h>

#include <bp/log.h>

#include "tulip.h"

#define MOST_PARTS 64u
#define TURN 512u
#define TURN_NS 50000
#define CONTROL_RING_END 0x02000000u
#define CONTROL_CHAIN 0x01000000u
#define T_INTERRUPT 0x80000000u
#define T_LAST 0x40000000u
#define T_FIRST 0x20000000u
#define T_FILTER_HIGH 0x10000000u
#define T_SETUP 0x08000000u
#define T_FILTER_LOW 0x00400000u
#define T_NO_PAD 0x00800000u
#define T_NO_CRC 0x04000000u
#define R_FILTER_FAIL 0x40000000u
#define R_ERROR 0x00008000u
#define R_CUT 0x00004000u
#define R_GROUP 0x00000400u
#define R_FIRST 0x00000200u
#define R_LAST 0x00000100u
#define R_LONG 0x00000080u
#define R_TYPE 0x00000020u
#define LONGEST 1518u
#define POLL_NS 1000000

static bool read_descriptor(struct tulip *s, uint32_t at, struct tulip_descriptor *ret)
{
    uint8_t b[16];
    uint32_t word[4];

    if (tulip_pci->dma_read(bp_device_of_state(s), at, b, sizeof(b)) < 0) {
        tulip_status(s, ST_BUS_ERROR);
        return false;
    }
    for (unsigned i = 0; i < 4; i++)
        word[i] = b[4 * i] | (uint32_t)b[4 * i + 1] << 8 | (uint32_t)b[4 * i + 2] << 16 |
                  (uint32_t)b[4 * i + 3] << 24;
    *ret = (struct tulip_descriptor){word[0], word[1], {word[2], word[3]}};
    return true;
}

static void give_back(struct tulip *s, uint32_t at, uint32_t status)
{
    uint8_t b[4] = {(uint8_t)status, (uint8_t)(status >> 8), (uint8_t)(status >> 16),
                    (uint8_t)(status >> 24)};

    tulip_pci->dma_write(bp_device_of_state(s), at, b, 4);
}

static uint32_t next(const struct tulip *s, uint32_t at, const struct tulip_descriptor *d,
                     uint32_t base)
{
    if (d->control & CONTROL_RING_END)
        return base;
    if (d->control & CONTROL_CHAIN)
        return d->buffer[1];
    return at + 16 + 4 * (s->csr[BUS] >> 2 & 31u); /* DSL: words between descriptors */
}

/* Bytes of buffer n; the second of a chained descriptor is a link. */
static unsigned size_of(const struct tulip_descriptor *d, unsigned n)
{
    return n == 0                       ? d->control & 0x7ffu
           : d->control & CONTROL_CHAIN ? 0
                                        : d->control >> 11 & 0x7ffu;
}

/* ---- transmission ---- */

struct sending {
    uint32_t at[MOST_PARTS];
    struct tulip_descriptor last;
    uint32_t next;
    unsigned parts, length;
    bool bad;
};

/* Gathers the next frame; false: there is none that is whole. */
static bool gather(struct tulip *s, struct sending *f)
{
    struct tulip_descriptor *d = &f->last;

    *f = (struct sending){.next = s->tx_at};
    do {
        if (f->parts == MOST_PARTS || !read_descriptor(s, f->next, d) || !(d->status & D_OWN))
            return false;
        if (f->parts == 0)
            f->bad = !(d->control & (T_FIRST | T_SETUP));
        for (unsigned i = 0; i < 2; i++) {
            unsigned n = size_of(d, i);

            if (n > CARD_FRAME_MAX - f->length ||
                (n && tulip_pci->dma_read(bp_device_of_state(s), d->buffer[i], s->frame + f->length,
                                          n) < 0))
                f->bad = true;
            else
                f->length += n;
        }
        f->at[f->parts++] = f->next;
        f->next = next(s, f->next, d, s->csr[TX_LIST]);
    } while (!(d->control & (T_LAST | T_SETUP)) && (!f->bad || f->parts < MOST_PARTS));
    return true;
}

static void take_setup(struct tulip *s, const struct sending *f)
{
    bool low = f->last.control & T_FILTER_LOW, high = f->last.control & T_FILTER_HIGH;

    if (f->length < SETUP_BYTES)
        return;
    memcpy(s->setup, s->frame, SETUP_BYTES);
    s->filter_hash = low;
    s->filter_only = low && high;
    s->filter_inverse = high && !low;
    s->csr[MODE] &= ~0x15u;
    s->csr[MODE] |=
        (s->filter_hash ? 1u : 0) | (s->filter_only ? 4u : 0) | (s->filter_inverse ? 0x10u : 0);
}

static bool deliver(struct tulip *s, const struct sending *f)
{
    uint8_t copy[CARD_FRAME_MAX];
    unsigned length = f->bad ? 0 : f->length;
    struct iovec vector = {copy, length};
    struct bp_net_packet packet = {&vector, 1, length, {0}};

    if (f->last.control & T_SETUP) {
        take_setup(s, f);
        return true;
    }
    if (f->bad)
        bp_guest_error("tulip-frame",
                       "tulip: a frame of %u parts is too long, has no beginning, or is not there",
                       f->parts);
    if (f->last.control & T_NO_CRC) /* the guest's own ends it */
        length = length > 4 ? length - 4 : 0;
    else if (!(f->last.control & T_NO_PAD) && length && length < 60) {
        memset(s->frame + length, 0, 60 - length);
        length = 60;
    }
    if (!(s->csr[MODE] & MODE_LOOPBACK))
        return card_send(tulip_net, s->nic, s->frame, length);
    memcpy(copy, s->frame, length);
    vector.iov_len = packet.length = length;
    tulip_receive(s, 1, &packet, 1);
    return true;
}

static void suspend(struct tulip *s)
{
    if (s->tx_state == TULIP_TX_RUNS) {
        s->tx_state = TULIP_TX_SUSPENDED;
        tulip_status(s, ST_NO_TX);
    }
}

/* true: there may be another. */
static bool transmit_one(struct tulip *s)
{
    struct sending f;

    if (!gather(s, &f)) {
        suspend(s);
        return false;
    }
    if (!deliver(s, &f))
        return false;
    for (unsigned i = 0; i < f.parts; i++)
        give_back(s, f.at[i], f.last.control & T_SETUP ? 0x7fffffff : 0);
    s->tx_at = f.next;
    if (f.last.control & T_INTERRUPT)
        tulip_status(s, ST_TX);
    return true;
}

void tulip_transmit(struct tulip *s)
{
    unsigned n = 0;

    if (s->running || !(s->csr[MODE] & MODE_TX))
        return;
    s->running = true;
    s->tx_state = TULIP_TX_RUNS;
    while (n < TURN && s->csr[MODE] & MODE_TX && transmit_one(s))
        n++;
    s->running = false;
    if (n == TURN) /* a list without an end: others have their turn */
        bp_timer_set(s->poll, bp_timer_now(s->poll) + TURN_NS);
}

/* ---- filters ---- */

static bool equals(const struct tulip *s, unsigned at, const uint8_t *f)
{
    const uint8_t *p = s->setup + at;

    return p[0] == f[0] && p[1] == f[1] && p[4] == f[2] && p[5] == f[3] && p[8] == f[4] &&
           p[9] == f[5];
}

static bool hashed(const struct tulip *s, const uint8_t *f)
{
    unsigned bit = card_crc(f, 6) & 0x1ff;

    /* Sixteen bits of the table in each word of the frame. */
    return s->setup[bit / 16 * 4 + bit / 8 % 2] >> bit % 8 & 1u;
}

static bool perfect(const struct tulip *s, const uint8_t *f)
{
    for (unsigned at = 0; at < SETUP_BYTES; at += 12)
        if (equals(s, at, f))
            return true;
    return false;
}

static bool passes(const struct tulip *s, const uint8_t *f)
{
    if (card_broadcast(f))
        return true;
    if (s->filter_only || (s->filter_hash && f[0] & 1))
        return hashed(s, f);
    if (s->filter_hash)
        return equals(s, 156, f);
    return perfect(s, f) != s->filter_inverse;
}

/* ---- reception ---- */

/* The frame's descriptors, of those that are ours; 0: there is none. */
static unsigned room(struct tulip *s, unsigned n)
{
    uint32_t at = s->rx_at;
    struct tulip_descriptor d;
    unsigned parts = 0, bytes = 0;

    while (parts < MOST_PARTS && bytes < n) {
        if (!read_descriptor(s, at, &d) || !(d.status & D_OWN))
            break;
        bytes += size_of(&d, 0) + size_of(&d, 1);
        at = next(s, at, &d, s->csr[RX_LIST]);
        parts++;
        if (at == s->rx_at) /* once round */
            break;
    }
    return parts;
}

static void fill(struct tulip *s, unsigned parts, unsigned n, uint32_t facts)
{
    struct tulip_descriptor d;
    unsigned done = 0;

    for (unsigned i = 0; i < parts; i++) {
        uint32_t status = (i == 0 ? R_FIRST : 0) | facts | n << 16;

        if (!read_descriptor(s, s->rx_at, &d))
            return;
        for (unsigned k = 0; k < 2; k++) {
            unsigned part = n - done < size_of(&d, k) ? n - done : size_of(&d, k);

            tulip_pci->dma_write(bp_device_of_state(s), d.buffer[k], s->frame + done, part);
            done += part;
        }
        if (i + 1 == parts)
            status |= R_LAST | (done < n ? R_ERROR | R_CUT : 0);
        give_back(s, s->rx_at, status);
        s->rx_at = next(s, s->rx_at, &d, s->csr[RX_LIST]);
    }
    tulip_status(s, ST_RX);
}

/* false: no descriptor is ours, the sender waits. */
static bool receive_one(struct tulip *s, const struct bp_net_packet *packet)
{
    unsigned n = card_take_frame(tulip_net, packet, s->frame), parts;
    bool match = n && passes(s, s->frame);
    uint32_t facts;

    if (!n || !(match || s->csr[MODE] & MODE_PROMISCUOUS ||
                (s->frame[0] & 1 && s->csr[MODE] & MODE_ALL_GROUPS)))
        return true;
    parts = room(s, n);
    if (parts == 0) {
        if (s->rx_state != TULIP_RX_SUSPENDED) {
            s->rx_state = TULIP_RX_SUSPENDED;
            tulip_status(s, ST_NO_RX);
        }
        bp_timer_set(s->poll, bp_timer_now(s->poll) + POLL_NS);
        return false;
    }
    s->rx_state = TULIP_RX_WAITS;
    facts =
        (match ? 0 : R_FILTER_FAIL) | (s->frame[0] & 1 ? R_GROUP : 0) | (n > LONGEST ? R_LONG : 0);
    facts |= (s->frame[12] << 8 | s->frame[13]) > 1500 ? R_TYPE : 0;
    fill(s, parts, n, facts);
    return true;
}

unsigned tulip_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                       unsigned count)
{
    struct tulip *s = opaque;
    unsigned n = 0;

    /* Queue 1 is the card's own, in loopback: it hears nothing else then. */
    if (!(s->csr[MODE] & MODE_RX) || !(s->csr[MODE] & MODE_LOOPBACK) != (queue == 0))
        return count;
    while (n < count && receive_one(s, &packets[n]))
        n++;
    return n;
}
