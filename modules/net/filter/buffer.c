/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-filter-buffer`: -object filter-buffer holds packets until the end of an interval, then lets all of
 * them go. It holds a bounded amount; beyond that, or when it is switched off, they go earlier.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#include "record.h"

BP_USE(net, struct bp_net_interface, "net", 1);

#define MOST_PACKETS 4096u
#define MOST_BYTES (16u << 20)

struct held {
    struct held *next;
    enum bp_net_direction direction;
    unsigned queue;
    uint32_t length;
    struct bp_net_offload offload;
    uint8_t bytes[];
};

struct buffer {
    struct bp_net_filter_conf conf;
    uint32_t interval; /* µs */
    struct bp_timer *timer;
    struct held *first, **last;
    unsigned packets;
    size_t bytes;
};

static void release(struct buffer *s)
{
    struct held *h = s->first;

    s->first = NULL;
    s->last = &s->first;
    s->packets = 0;
    s->bytes = 0;
    for (struct held *next; h; h = next) {
        struct iovec vector = {h->bytes, h->length};
        struct bp_net_packet packet = {&vector, 1, h->length, h->offload};

        next = h->next;
        net->filter_pass(s->conf.filter, h->direction, h->queue, &packet);
        free(h);
    }
}

static void fire(void *opaque)
{
    struct buffer *s = opaque;

    release(s);
    bp_timer_set(s->timer, bp_timer_now(s->timer) + (int64_t)s->interval * 1000);
}

static bool packet(void *opaque, enum bp_net_direction direction, unsigned queue, const struct bp_net_packet *packet)
{
    struct buffer *s = opaque;
    struct held *h;

    if (s->packets >= MOST_PACKETS || s->bytes + packet->length > MOST_BYTES)
        release(s);
    h = malloc(sizeof(*h) + packet->length);
    if (!h)
        return true;
    *h = (struct held){.direction = direction, .queue = queue, .length = packet->length, .offload = packet->offload};
    net->copy(packet, 0, h->bytes, packet->length);
    *s->last = h;
    s->last = &h->next;
    s->packets++;
    s->bytes += packet->length;
    return false;
}

static const struct bp_net_filter_ops ops = {
    .size = sizeof(struct bp_net_filter_ops), .takes = RECORD_TAKES_ALL, .packet = packet};

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct buffer *s = bp_object_state(obj);
    int r;

    s->last = &s->first;
    if (s->interval == 0)
        return bp_fail(err, EINVAL, "property 'interval': a number of microseconds from 1 on is wanted");
    r = net->filter_new(obj, &s->conf, &ops, s, err);
    if (r < 0)
        return r;
    s->timer = bp_timer_new(bp_object_owner(obj), NULL, BP_CLOCK_REALTIME, fire, s);
    bp_timer_set(s->timer, bp_timer_now(s->timer) + (int64_t)s->interval * 1000);
    return 0;
}

static void finalize(struct bp_object *obj)
{
    struct buffer *s = bp_object_state(obj);

    if (!s->timer)
        return;
    release(s);
    net->filter_free(s->conf.filter);
    bp_timer_free(s->timer);
    s->timer = NULL;
}

static const struct bp_field props[] = {
    BP_NET_FILTER_PROPS(struct buffer, conf),
    BP_PROP("interval", UINT32, struct buffer, interval, "0", "microseconds between deliveries"), BP_FIELDS_END};
BP_NOTE("provides=object:filter-buffer;summary=Holds packets until the end of an interval");
static const struct bp_object_class buffer_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "filter-buffer",
             .summary = "Holds packets until the end of an interval", .state_size = sizeof(struct buffer),
             .props = props},
    .complete = complete, .finalize = finalize};
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-filter-buffer", "Network filter: delivery in intervals", imports, {BP_PROVIDE_OBJECT, &buffer_class});
