/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports and the cable between two of them: how packets get from one to the other, and what happens when the
 * other one does not take them. A receiver that is at work itself, or whose machine stands, gets them
 * later, from a bounded queue; otherwise a sender that can wait keeps what is not taken. [main] or [vcpu] under the
 * machine lock
 */
#include <stdlib.h>
#include <string.h>

#include <bp/loop.h>
#include <bp/trace.h>

#include "net.h"

static void flush(void *opaque);

void port_init(struct port *port, void *self)
{
    port->self = self;
    port->last = &port->first;
    port->queues = port->queues ? port->queues : 1;
    port->flush = bp_deferred_new(NULL, NULL, flush, port);
}

/* ---- the queue ---- */

static bool full(const struct port *port, uint32_t length)
{
    return port->packets >= BP_NET_QUEUE_PACKETS ||
           (port->packets > 0 && port->bytes + length > BP_NET_QUEUE_BYTES);
}

static bool enqueue(struct port *to, unsigned queue, const struct bp_net_packet *packet)
{
    struct waiting *w = full(to, packet->length) ? NULL : malloc(sizeof(*w) + packet->length);

    if (!w)
        return false;
    w->next = NULL;
    w->queue = queue;
    w->length = packet->length;
    w->offload = packet->offload;
    packet_copy(packet, 0, w->bytes, packet->length);
    *to->last = w;
    to->last = &w->next;
    to->packets++;
    to->bytes += w->length;
    return true;
}

static void drop_first(struct port *port)
{
    struct waiting *w = port->first;

    port->first = w->next;
    if (!port->first)
        port->last = &port->first;
    port->packets--;
    port->bytes -= w->length;
    free(w);
}

static bool takes_now(const struct port *port)
{
    return !port->busy && !port->stalled && (!port->runs || port->runs(port));
}

/* ---- handing over ---- */

struct handing {
    struct port *to;
    unsigned queue, handed, lost;
    bool refused; /* the first one was not taken: nothing has happened */
};

static unsigned hand_over(struct port *to, unsigned queue, const struct bp_net_packet *packets,
                          unsigned count)
{
    unsigned n;

    to->busy++;
    n = to->receive(to, queue, packets, count);
    to->busy--;
    n = n > count ? count : n;
    to->received += n;
    to->stalled = n < count;
    return n;
}

static void hand_piece(void *opaque, const struct bp_net_packet *piece)
{
    struct handing *h = opaque;

    if (h->refused)
        return;
    if (!h->to->stalled && hand_over(h->to, h->queue, piece, 1) == 1)
        h->handed++;
    else if (h->handed == 0)
        h->refused = true;
    else if (enqueue(h->to, h->queue, piece)) /* some of it is there: the rest must follow */
        h->handed++;
    else
        h->lost++;
}

/* One whose facts the receiver does not take: finished for it. Returns whether it was taken. */
static bool hand_finished(struct port *to, unsigned queue, const struct bp_net_packet *packet)
{
    struct handing h = {.to = to, .queue = queue};

    if (offload_finish(packet, to->takes, hand_piece, &h) < 0 || h.lost)
        to->dropped++;
    return !h.refused;
}

/* Packets that the receiver takes as they are, put together where it takes long segments. Returns how many were
 * taken. */
static unsigned hand_run(struct port *to, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct merged merged;
    unsigned done = 0;

    if (count < 2 || !to->is_nic || !(to->takes & BP_NET_TAKES_CHECKSUM) ||
        !(to->takes & (BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6)))
        return hand_over(to, queue, packets, count);
    while (done < count && !to->stalled) {
        unsigned n;

        merge_packets(packets + done, count - done < MERGE_PACKETS ? count - done : MERGE_PACKETS, to->takes, &merged);
        n = hand_over(to, queue, merged.packets, merged.count);
        for (unsigned i = 0; i < n; i++)
            done += merged.members[i];
    }
    return done;
}

/* To a receiver that takes packets now. Returns how many were taken. */
static unsigned deliver(struct port *to, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    unsigned done = 0;

    while (done < count && !to->stalled) {
        unsigned run = 0, n;

        while (done + run < count && !(offload_needs(&packets[done + run].offload) & ~to->takes) &&
               packets[done + run].length <= BP_NET_MAX_PACKET)
            run++;
        if (run) {
            n = hand_run(to, queue, packets + done, run);
            done += n;
            if (n < run)
                break;
            continue;
        }
        if (packets[done].length > BP_NET_MAX_PACKET)
            to->dropped++;
        else if (!hand_finished(to, queue, &packets[done]))
            break;
        done++;
    }
    return done;
}

static void flush(void *opaque)
{
    struct port *port = opaque, *peer = port->peer;

    while (port->first && takes_now(port)) {
        struct bp_net_packet packets[MERGE_PACKETS];
        struct iovec vectors[MERGE_PACKETS];
        unsigned queue = port->first->queue, count = 0, taken;

        for (struct waiting *w = port->first; w && count < MERGE_PACKETS && w->queue == queue; w = w->next, count++) {
            vectors[count] = (struct iovec){w->bytes, w->length};
            packets[count] = (struct bp_net_packet){&vectors[count], 1, w->length, w->offload};
        }
        taken = deliver(port, queue, packets, count);
        for (unsigned i = 0; i < taken; i++)
            drop_first(port);
        if (taken < count)
            break;
    }
    if (!port->first && takes_now(port) && peer && peer->blocked) {
        peer->blocked = false;
        for (unsigned i = 0; i < peer->queues && peer->ready; i++)
            peer->ready(peer, i);
    }
}

void port_taking(struct port *port)
{
    port->stalled = false;
    if (port->first || (port->peer && port->peer->blocked))
        bp_deferred_schedule(port->flush);
}

bool port_has_room(const struct port *from)
{
    const struct port *to = from->peer;

    return !to || !port_up(from) || (!to->first && takes_now(to));
}

/* ---- sending ---- */

static struct bp_net_filter *before(const struct port *netdev, const struct bp_net_filter *behind)
{
    struct bp_net_filter *f = netdev->filters;

    if (f == behind)
        return NULL;
    while (f && f->next != behind)
        f = f->next;
    return f;
}

static bool applies(const struct bp_net_filter *f, enum bp_net_direction direction)
{
    return f->conf->status &&
           (f->conf->queue == BP_NET_FILTER_ALL ||
            f->conf->queue == (direction == BP_NET_RX ? BP_NET_FILTER_RX : BP_NET_FILTER_TX));
}

/* The next filter on the way; `after` NULL: the first. The head of the list is next to the netdev: what that sends
 * meets the head first, what is sent to it the tail. */
static struct bp_net_filter *next_filter(struct port *netdev, struct bp_net_filter *after,
                                         enum bp_net_direction direction)
{
    struct bp_net_filter *f = after;

    do {
        if (direction == BP_NET_TX)
            f = f ? f->next : netdev->filters;
        else
            f = before(netdev, f);
    } while (f && !applies(f, direction));
    return f;
}

struct filtering {
    struct port *netdev;
    struct bp_net_filter *filter;
    enum bp_net_direction direction;
    unsigned queue;
    bool went_on, lost;
};

static bool run_filters(struct port *netdev, struct bp_net_filter *after,
                        enum bp_net_direction direction, unsigned queue,
                        const struct bp_net_packet *packet, bool *ret_lost);

static void filter_piece(void *opaque, const struct bp_net_packet *piece)
{
    struct filtering *f = opaque;

    if (f->filter->ops->packet(f->filter->opaque, f->direction, f->queue, piece))
        f->went_on |= run_filters(f->netdev, f->filter, f->direction, f->queue, piece, &f->lost);
}

/* Behind all filters of one netdev: to those of the other, if it is one, and to the receiver. */
static bool past_filters(struct port *netdev, enum bp_net_direction direction, unsigned queue,
                         const struct bp_net_packet *packet, bool *ret_lost)
{
    struct port *to = direction == BP_NET_TX ? netdev->peer : netdev;

    if (!to)
        return false;
    if (direction == BP_NET_TX && to->filters)
        return run_filters(to, NULL, BP_NET_RX, queue, packet, ret_lost);
    if (!to->first && takes_now(to) && deliver(to, queue, packet, 1) == 1)
        return true;
    if (enqueue(to, queue, packet)) {
        bp_deferred_schedule(to->flush);
        return true;
    }
    to->dropped++;
    *ret_lost = true;
    return false;
}

static bool run_filters(struct port *netdev, struct bp_net_filter *after,
                        enum bp_net_direction direction, unsigned queue,
                        const struct bp_net_packet *packet, bool *ret_lost)
{
    struct bp_net_filter *filter = next_filter(netdev, after, direction);
    struct filtering f = {.netdev = netdev, .filter = filter, .direction = direction, .queue = queue};

    if (!filter)
        return past_filters(netdev, direction, queue, packet, ret_lost);
    if (offload_needs(&packet->offload) & ~filter->ops->takes) {
        if (offload_finish(packet, filter->ops->takes, filter_piece, &f) < 0)
            netdev->dropped++;
    } else {
        filter_piece(&f, packet);
    }
    *ret_lost |= f.lost;
    return f.went_on;
}

bool port_pass(struct port *netdev, struct bp_net_filter *after, enum bp_net_direction direction,
               unsigned queue, const struct bp_net_packet *packet)
{
    bool lost = false;

    if (!netdev->peer || !port_up(netdev))
        return true; /* nobody is there: as with any packet */
    run_filters(netdev, after, direction, queue, packet, &lost);
    return !lost;
}

static unsigned send_filtered(struct port *from, unsigned queue, const struct bp_net_packet *packets,
                              unsigned count)
{
    bool from_netdev = from->filters != NULL;
    unsigned done = 0;

    while (done < count && from->peer && !full(from->peer, packets[done].length)) {
        bool lost = false;

        if (packets[done].length <= BP_NET_MAX_PACKET)
            run_filters(from_netdev ? from : from->peer, NULL, from_netdev ? BP_NET_TX : BP_NET_RX,
                        queue, &packets[done], &lost);
        done++;
    }
    return done;
}

BP_TRACE_POINT(net_packet, "net_packet", "from port %p queue %u length %u");

unsigned port_send(struct port *from, unsigned queue, const struct bp_net_packet *packets,
                   unsigned count, bool keep)
{
    struct port *to = from->peer;
    unsigned done = 0;

    for (unsigned i = 0; i < count; i++)
        bp_trace(net_packet, (void *)from, queue, packets[i].length);
    if (!to || !port_up(from)) {
        from->dropped += count;
        return count;
    }
    from->busy++;
    if (from->filters || to->filters) {
        done = send_filtered(from, queue, packets, count);
    } else {
        if (!to->first && takes_now(to))
            done = deliver(to, queue, packets, count);
        /* One that is at work will be asked again soon; one that is full says so itself. */
        keep |= !to->stalled;
        for (; keep && done < count; done++) {
            if (packets[done].length > BP_NET_MAX_PACKET)
                to->dropped++;
            else if (!enqueue(to, queue, &packets[done]))
                break;
        }
        if (to->first)
            bp_deferred_schedule(to->flush);
    }
    from->busy--;
    from->sent += done;
    from->blocked |= done < count;
    return done;
}

/* ---- the cable ---- */

bool port_up(const struct port *port)
{
    return !port->pulled && !port->cut && (!port->peer || (!port->peer->pulled && !port->peer->cut));
}

static void tell_link(struct port *port)
{
    bool up = port_up(port) && port->peer;

    if (port->told_up == up)
        return;
    port->told_up = up;
    if (port->link_changed)
        port->link_changed(port, up);
}

void port_update_link(struct port *port)
{
    struct port *peer = port->peer;

    tell_link(port);
    if (!peer)
        return;
    tell_link(peer);
    /* Nobody waits for a cable that is not there: what is sent is lost. */
    if (!port_up(port)) {
        for (unsigned i = 0; i < 2; i++) {
            struct port *p = i ? peer : port;

            while (p->first)
                drop_first(p);
            if (p->blocked)
                bp_deferred_schedule(p->peer->flush);
        }
    }
}

void port_set_takes(struct port *port, uint32_t takes)
{
    if (port->takes == takes)
        return;
    port->takes = takes;
    if (port->peer && port->peer->peer_changed)
        port->peer->peer_changed(port->peer);
}

void port_connect(struct port *a, struct port *b)
{
    a->peer = b;
    b->peer = a;
    if (a->peer_changed)
        a->peer_changed(a);
    if (b->peer_changed)
        b->peer_changed(b);
    port_update_link(a);
}

void port_disconnect(struct port *port)
{
    struct port *peer = port->peer;

    if (!peer)
        return;
    while (port->first)
        drop_first(port);
    while (peer->first)
        drop_first(peer);
    port->peer = peer->peer = NULL;
    for (unsigned i = 0; i < 2; i++) {
        struct port *p = i ? peer : port;

        p->stalled = false;
        tell_link(p);
        if (p->peer_changed)
            p->peer_changed(p);
        if (p->blocked) { /* it sends into nothing from now on */
            p->blocked = false;
            for (unsigned q = 0; q < p->queues && p->ready; q++)
                p->ready(p, q);
        }
    }
}

void port_finish(struct port *port)
{
    port->ready = NULL; /* it is not told of its own end */
    port->link_changed = NULL;
    port->peer_changed = NULL;
    port_disconnect(port);
    while (port->first)
        drop_first(port);
    bp_deferred_free(port->flush);
    port->flush = NULL;
}
