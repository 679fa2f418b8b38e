/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets over a character device (record.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "record.h"

#define RETRY_NS 1000000
#define NEEDS_CHECKSUM 1u
#define DATA_VALID 2u

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static int find(const struct bp_chardev_interface *chardev, const char *key, const char *id, struct bp_chardev **ret,
                struct bp_error *err)
{
    *ret = chardev->find(id);
    return *ret ? 0 : bp_fail(err, ENOENT, "property '%s': there is no chardev '%s'", key, id);
}

/* ---- out ---- */

static size_t takes_nothing(void *opaque)
{
    (void)opaque;
    return 0;
}

static void reads_nothing(void *opaque, const uint8_t *buf, size_t length)
{
    (void)opaque;
    (void)buf;
    (void)length;
}

static const struct bp_chardev_handlers deaf = {
    .size = sizeof(struct bp_chardev_handlers), .can_read = takes_nothing, .read = reads_nothing};

static void flush(void *opaque)
{
    struct record_out *out = opaque;
    size_t n = out->pending_length ? out->chardev->write(out->chr, out->pending, out->pending_length, out) : 0;

    memmove(out->pending, out->pending + n, out->pending_length - n);
    out->pending_length -= n;
    if (out->pending_length)
        bp_timer_set(out->retry, bp_timer_now(out->retry) + RETRY_NS);
}

int record_out_open(struct record_out *out, const struct bp_chardev_interface *chardev,
                    const struct bp_net_interface *net, struct bp_owner *owner, const char *key, const char *id,
                    bool header, struct bp_error *err)
{
    int r = find(chardev, key, id, &out->chr, err);

    if (r == 0)
        r = chardev->connect(out->chr, &deaf, out, err);
    if (r < 0) {
        out->chr = NULL;
        return r;
    }
    out->chardev = chardev;
    out->net = net;
    out->header = header;
    out->retry = bp_timer_new(owner, NULL, BP_CLOCK_REALTIME, flush, out);
    return 0;
}

void record_out_share(struct record_out *out, const struct record_in *in, const struct bp_net_interface *net,
                      struct bp_owner *owner)
{
    out->chr = in->chr;
    out->chardev = in->chardev;
    out->net = net;
    out->header = in->header;
    out->shared = true;
    out->retry = bp_timer_new(owner, NULL, BP_CLOCK_REALTIME, flush, out);
}

void record_out_close(struct record_out *out)
{
    if (!out->chr)
        return;
    if (!out->shared)
        out->chardev->disconnect(out->chr, out);
    bp_timer_free(out->retry);
    free(out->pending);
    out->chr = NULL;
    out->pending = NULL;
}

static size_t make_header(const struct record_out *out, const struct bp_net_packet *packet, uint8_t *h)
{
    const struct bp_net_offload *o = &packet->offload;

    if (!out->header) {
        put_be32(h, packet->length);
        return 4;
    }
    put_be32(h, packet->length + RECORD_HEADER);
    put_be32(h + 4, RECORD_HEADER);
    h[8] = (uint8_t)((o->flags & BP_NET_NEEDS_CHECKSUM ? NEEDS_CHECKSUM : 0) |
                     (o->flags & BP_NET_CHECKSUM_VALID ? DATA_VALID : 0));
    h[9] = o->segment;
    put_le16(h + 10, o->header_length);
    put_le16(h + 12, o->segment_size);
    put_le16(h + 14, o->checksum_start);
    put_le16(h + 16, o->checksum_offset);
    return 8 + RECORD_HEADER;
}

void record_write(struct record_out *out, const struct bp_net_packet *packet)
{
    uint8_t head[8 + RECORD_HEADER];
    size_t n = make_header(out, packet, head);

    if (!out->pending)
        out->pending = bp_alloc(RECORD_PENDING);
    if (RECORD_PENDING - out->pending_length < n + packet->length) {
        if (out->lost++ == 0)
            bp_warn("a filter's chardev does not keep up: packets are lost");
        return;
    }
    memcpy(out->pending + out->pending_length, head, n);
    out->net->copy(packet, 0, out->pending + out->pending_length + n, packet->length);
    out->pending_length += n + packet->length;
    if (!bp_timer_pending(out->retry))
        flush(out);
}

/* ---- in ---- */

static uint32_t wanted(const struct record_in *in)
{
    uint32_t head = in->header ? 8 : 4;

    return in->have < head ? head : head + get_be32(in->bytes);
}

static bool hand_over(struct record_in *in)
{
    uint32_t length = get_be32(in->bytes), skip = in->header ? get_be32(in->bytes + 4) : 0;
    const uint8_t *h = in->bytes + (in->header ? 8 : 4);
    struct iovec vector;
    struct bp_net_packet packet = {&vector, 1, 0, {0}};

    if (skip > length || (in->header && skip != RECORD_HEADER && skip != RECORD_HEADER + 2 && skip != 0))
        return false;
    if (skip) {
        packet.offload = (struct bp_net_offload){
            .flags = (uint8_t)((h[0] & NEEDS_CHECKSUM ? BP_NET_NEEDS_CHECKSUM : 0) |
                               (h[0] & DATA_VALID ? BP_NET_CHECKSUM_VALID : 0)),
            .segment = h[1], .header_length = get_le16(h + 2), .segment_size = get_le16(h + 4),
            .checksum_start = get_le16(h + 6), .checksum_offset = get_le16(h + 8)};
    }
    vector = (struct iovec){(void *)(h + skip), length - skip};
    packet.length = length - skip;
    in->have = 0;
    if (packet.length)
        in->packet(in->opaque, &packet);
    return true;
}

static size_t can_read(void *opaque)
{
    struct record_in *in = opaque;

    return in->skipping ? 4096 : in->stopped ? 0 : wanted(in) - in->have;
}

static void read_bytes(void *opaque, const uint8_t *buf, size_t length)
{
    struct record_in *in = opaque;

    while (length > 0 && !in->skipping) {
        uint32_t left = wanted(in) - in->have, n = length < left ? (uint32_t)length : left;

        memcpy(in->bytes + in->have, buf, n);
        in->have += n;
        buf += n;
        length -= n;
        if (in->have >= (in->header ? 8u : 4u) && get_be32(in->bytes) > RECORD_MAX - 8) {
            bp_warn("a filter's chardev sends a packet of %u bytes: nothing more is taken from it",
                    get_be32(in->bytes));
            in->skipping = true;
        } else if (in->have == wanted(in) && in->have > (in->header ? 8u : 4u) - 1 && !hand_over(in)) {
            bp_warn("a filter's chardev sends a header of an unknown size: nothing more is taken from it");
            in->skipping = true;
        }
    }
}

static void event(void *opaque, enum bp_chardev_event what)
{
    struct record_in *in = opaque;

    if (what == BP_CHARDEV_OPENED || what == BP_CHARDEV_CLOSED) {
        in->have = 0;
        in->skipping = false;
    }
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(struct bp_chardev_handlers), .can_read = can_read, .read = read_bytes, .event = event};

int record_in_open(struct record_in *in, const struct bp_chardev_interface *chardev, const char *key, const char *id,
                   bool header, void (*packet)(void *opaque, const struct bp_net_packet *packet), void *opaque,
                   struct bp_error *err)
{
    int r = find(chardev, key, id, &in->chr, err);

    if (r < 0)
        return r;
    in->chardev = chardev;
    in->header = header;
    in->packet = packet;
    in->opaque = opaque;
    in->bytes = bp_alloc(RECORD_MAX + 8);
    r = chardev->connect(in->chr, &handlers, in, err);
    if (r < 0) {
        free(in->bytes);
        in->bytes = NULL;
        in->chr = NULL;
    }
    return r;
}

void record_in_stop(struct record_in *in, bool on)
{
    bool was = in->stopped;

    in->stopped = on;
    if (was && !on && in->chr)
        in->chardev->accept_input(in->chr, in);
}

void record_in_close(struct record_in *in)
{
    if (!in->chr)
        return;
    in->chardev->disconnect(in->chr, in);
    free(in->bytes);
    in->bytes = NULL;
    in->chr = NULL;
}
