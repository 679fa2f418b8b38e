/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-filter-rewriter`: -object filter-rewriter, on the secondary machine of a pair (COLO). Its guest chose
 * other first sequence numbers than the primary's, of which the other end of a connection knows. From a connection's
 * first packets the difference is learnt; then what comes to the guest acknowledges its numbers, and what it sends
 * has the primary's (RFC 793; selective acknowledgements of RFC 2018 too), so that its packets are the primary's, and
 * connections live on when it takes over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"

BP_USE(net, struct bp_net_interface, "net", 1);

#define SLOTS 4096u
#define NEAR 8u /* places where a connection may be found; the one that was idle longest makes room */
#define MAX_TCP 60u
#define TAKES_ALL \
    (BP_NET_TAKES_CHECKSUM | BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6 | BP_NET_TAKES_ECN | BP_NET_TAKES_UDP | \
     BP_NET_TAKES_UDP_L4)

enum state { FREE, SYN_SENT, KNOWN };

struct connection {
    enum state state;
    struct flow_key key; /* as the guest sends */
    uint32_t first;      /* the guest's first number and 1 */
    uint32_t offset;     /* guest's number - number that others know */
    uint64_t used;
};

struct rewriter {
    struct bp_net_filter_conf conf;
    bool header;
    struct connection *all; /* SLOTS */
    uint64_t turn;
    uint8_t *bytes; /* BP_NET_MAX_PACKET */
};

static struct connection *find(struct rewriter *s, const struct flow_key *key, bool make)
{
    struct connection *oldest = NULL;

    for (unsigned i = 0; i < NEAR; i++) {
        struct connection *c = &s->all[(flow_hash(key) + i) % SLOTS];

        if (c->state != FREE && flow_same(&c->key, key)) {
            c->used = ++s->turn;
            return c;
        }
        if (!oldest || c->state == FREE || (oldest->state != FREE && c->used < oldest->used))
            oldest = c->state == FREE && oldest && oldest->state == FREE ? oldest : c;
    }
    if (!make)
        return NULL;
    *oldest = (struct connection){.state = SYN_SENT, .key = *key, .used = ++s->turn};
    return oldest;
}

/* ---- a number in a header, and the sum that has it (RFC 1624) ---- */

static void change(uint8_t *tcp, uint8_t *at, uint32_t value, bool summed)
{
    uint32_t sum = (uint16_t)~flow_be16(tcp + 16);
    bool odd = (at - tcp) & 1;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t was = at[i], is = value >> (24 - 8 * i) & 0xff;
        bool high = ((i & 1) == 0) != odd;

        sum += (high ? (is << 8) + (uint16_t)~(was << 8) : is + (uint16_t)~was);
        at[i] = (uint8_t)is;
    }
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    sum = (uint16_t)~sum;
    if (summed) {
        tcp[16] = (uint8_t)(sum >> 8);
        tcp[17] = (uint8_t)sum;
    }
}

static void change_blocks(uint8_t *tcp, uint32_t size, uint32_t offset, bool summed)
{
    for (uint32_t at = 20; at < size;) {
        uint32_t length;

        if (tcp[at] == 0)
            return;
        if (tcp[at] == 1) {
            at++;
            continue;
        }
        length = at + 1 < size ? tcp[at + 1] : 0;
        if (length < 2 || at + length > size)
            return;
        if (tcp[at] == 5)
            for (uint32_t i = 2; i + 4 <= length; i += 4)
                change(tcp, tcp + at + i, flow_be32(tcp + at + i) + offset, summed);
        at += length;
    }
}

/* Sends it on with its header changed. */
static bool changed(struct rewriter *s, enum bp_net_direction direction, unsigned queue,
                    const struct bp_net_packet *packet, const struct flow *f, uint32_t offset)
{
    bool summed = !(packet->offload.flags & BP_NET_NEEDS_CHECKSUM);
    struct iovec vector = {s->bytes, packet->length};
    struct bp_net_packet copy = {&vector, 1, packet->length, packet->offload};
    uint8_t *tcp = s->bytes + f->transport;

    if (net->copy(packet, 0, s->bytes, BP_NET_MAX_PACKET) < packet->length)
        return false;
    if (direction == BP_NET_RX) {
        change(tcp, tcp + 4, f->seq - offset, summed);
    } else {
        if (f->flags & TCP_ACK)
            change(tcp, tcp + 8, f->ack + offset, summed);
        change_blocks(tcp, f->payload - f->transport, offset, summed);
    }
    net->filter_pass(s->conf.filter, direction, queue, &copy);
    return false;
}

static bool packet(void *opaque, enum bp_net_direction direction, unsigned queue, const struct bp_net_packet *packet)
{
    struct rewriter *s = opaque;
    struct connection *c;
    uint8_t head[FLOW_HEAD];
    struct flow f;

    if (packet->length > BP_NET_MAX_PACKET ||
        !flow_read(&f, head, net->copy(packet, 0, head, sizeof(head)), packet->length) || !f.tcp)
        return true;
    if (direction == BP_NET_TX)
        flow_reverse(&f.key);
    c = find(s, &f.key, direction == BP_NET_RX && (f.flags & TCP_SYN));
    if (!c)
        return true;
    if (direction == BP_NET_RX && (f.flags & TCP_SYN)) {
        /* The guest begins, or answers, anew. */
        if (c->state != KNOWN || c->first != f.seq + 1) {
            c->state = SYN_SENT;
            c->first = f.seq + 1;
        }
    } else if (direction == BP_NET_TX && c->state == SYN_SENT && (f.flags & TCP_ACK)) {
        /* What the other end acknowledges first is the primary's first number and 1. */
        c->offset = c->first - f.ack;
        c->state = KNOWN;
    }
    if (c->state != KNOWN)
        return true;
    if (f.flags & TCP_RST)
        c->state = FREE;
    return c->offset == 0 || changed(s, direction, queue, packet, &f, c->offset);
}

static const struct bp_net_filter_ops finished = {.size = sizeof(struct bp_net_filter_ops), .packet = packet};
static const struct bp_net_filter_ops as_they_are = {
    .size = sizeof(struct bp_net_filter_ops), .takes = TAKES_ALL, .packet = packet};

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct rewriter *s = bp_object_state(obj);

    s->all = bp_alloc(SLOTS * sizeof(*s->all));
    s->bytes = bp_alloc(BP_NET_MAX_PACKET);
    return net->filter_new(obj, &s->conf, s->header ? &as_they_are : &finished, s, err);
}

static void finalize(struct bp_object *obj)
{
    struct rewriter *s = bp_object_state(obj);

    net->filter_free(s->conf.filter);
    free(s->all);
    free(s->bytes);
}

static const struct bp_field props[] = {
    BP_NET_FILTER_PROPS(struct rewriter, conf),
    BP_PROP("vnet_hdr_support", BOOL, struct rewriter, header, "off", "packets have a header of virtio"),
    BP_FIELDS_END};
BP_NOTE("provides=object:filter-rewriter;summary=Makes a secondary's TCP numbers those of its primary");
static const struct bp_object_class rewriter_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "filter-rewriter",
             .summary = "Makes a secondary's TCP numbers those of its primary",
             .state_size = sizeof(struct rewriter), .props = props},
    .complete = complete, .finalize = finalize};
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-filter-rewriter", "Network filter: rewriter", imports, {BP_PROVIDE_OBJECT, &rewriter_class});
