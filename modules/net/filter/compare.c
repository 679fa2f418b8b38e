/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-colo-compare`: -object colo-compare, on the primary machine of a pair (COLO). What its guest sends is
 * held until the secondary's guest has sent the same: then the primary's packet goes to outdev. Where they differ, or
 * the other does not come in time, the pair is due for a checkpoint: notify_dev is told, all that is held goes out as
 * the primary's guest meant it, and comparing begins anew. TCP is compared by bytes at their sequence numbers,
 * whatever segments they came in; other protocols packet by packet. What has no payload, and what is not IP, is the
 * primary's and is not held. Checkpoints themselves are not here.
 *
 * Character devices live in the main loop; comparing is done in the context of the iothread. Between them are two
 * queues, under a lock that is a leaf: what came, and what goes out. Too much in the first stops reading.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/iothread.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/trace.h>

#include "flow.h"
#include "record.h"

BP_USE(net, struct bp_net_interface, "net", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
BP_USE(iothread, struct bp_iothread_interface, "iothread", 1);

BP_TRACE_POINT(colo_notify_answer, "colo_notify_answer", "notify_dev says %u bytes");

#define MAX_BYTES (16u << 20) /* held, of one side */
#define MAX_CAME 4096u        /* packets that came and are not compared yet: then nothing more is read */
#define MAX_CAME_BYTES (4u << 20)
#define BUCKETS 1024u
#define MAX_CONNECTIONS 65536u /* then all are forgotten, and what is held goes out */

enum { PRIMARY, SECONDARY };

struct held {
    struct held *next;  /* of its connection and side */
    struct held *later; /* of its side, by time; before that, of all that came */
    int which;
    struct flow flow;
    struct bp_net_offload offload;
    int64_t since; /* ns */
    uint32_t done; /* bytes of payload that were the same */
    bool gone;     /* released or dropped: freed when its turn in time comes */
    uint32_t length;
    uint8_t bytes[];
};

struct connection {
    struct connection *next;
    struct flow_key key;
    struct held *first[2], **last[2];
    uint32_t compared; /* TCP: what lies before this number has been compared */
    bool begun;
};

struct side {
    struct held *oldest, **newest;
    unsigned count;
    size_t bytes;
};

struct parcel { /* goes out */
    struct parcel *next;
    struct record_out *to;
    struct bp_net_offload offload;
    uint32_t length;
    uint8_t bytes[];
};

struct compare {
    char *primary_in, *secondary_in, *outdev, *notify_dev;
    struct bp_object *iothread;
    bool header;
    uint64_t timeout, cycle; /* ms */
    uint32_t max_queue;
    struct record_in in[2];
    struct record_out out, notify;
    struct record_in answers;    /* what notify_dev says */
    struct bp_deferred *deliver; /* main */

    pthread_mutex_t lock; /* a leaf, around the next four lines */
    struct held *came, **came_end;
    unsigned came_count;
    size_t came_bytes;
    struct parcel *parcels, **parcels_end;

    /* In the context of the iothread. */
    struct bp_owner *worker; /* NULL: it never began */
    struct bp_deferred *work;
    struct connection *buckets[BUCKETS];
    struct side side[2];
    unsigned connections;
    struct bp_timer *scan;
    uint64_t checkpoints;
};

/* ---- what is held ---- */

static struct connection *find(struct compare *s, const struct flow_key *key)
{
    struct connection **link = &s->buckets[flow_hash(key) % BUCKETS], *c;

    for (c = *link; c; c = c->next)
        if (flow_same(&c->key, key))
            return c;
    c = bp_alloc(sizeof(*c));
    s->connections++;
    c->key = *key;
    c->last[PRIMARY] = &c->first[PRIMARY];
    c->last[SECONDARY] = &c->first[SECONDARY];
    c->next = *link;
    *link = c;
    return c;
}

static void forget(struct compare *s, struct connection *c)
{
    struct connection **link = &s->buckets[flow_hash(&c->key) % BUCKETS];

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    free(c);
}

static void free_gone(struct side *side)
{
    while (side->oldest && side->oldest->gone) {
        struct held *h = side->oldest;

        side->oldest = h->later;
        if (!side->oldest)
            side->newest = &side->oldest;
        free(h);
    }
}

/* The first of its connection and side is done with. */
static void let_go(struct compare *s, struct connection *c, int which)
{
    struct held *h = c->first[which];

    c->first[which] = h->next;
    if (!c->first[which])
        c->last[which] = &c->first[which];
    s->side[which].count--;
    s->side[which].bytes -= h->length;
    h->gone = true;
}

static void send(struct compare *s, struct record_out *to, const void *bytes, uint32_t length,
                 const struct bp_net_offload *offload)
{
    struct parcel *p = bp_alloc(sizeof(*p) + length);

    p->to = to;
    p->length = length;
    if (offload)
        p->offload = *offload;
    memcpy(p->bytes, bytes, length);
    pthread_mutex_lock(&s->lock);
    *s->parcels_end = p;
    s->parcels_end = &p->next;
    pthread_mutex_unlock(&s->lock);
    bp_deferred_schedule(s->deliver);
}

static void release(struct compare *s, struct connection *c)
{
    struct held *h = c->first[PRIMARY];

    send(s, &s->out, h->bytes, h->length, &h->offload);
    let_go(s, c, PRIMARY);
}

/* ---- checkpoints ---- */

static void say(struct compare *s, const char *what)
{
    if (s->notify_dev)
        send(s, &s->notify, what, (uint32_t)strlen(what), NULL);
}

/* All that is held goes out in the order in which it came; nothing is compared with what came before. */
static void flush(struct compare *s)
{
    for (struct held *h = s->side[PRIMARY].oldest; h; h = h->later)
        if (!h->gone)
            send(s, &s->out, h->bytes, h->length, &h->offload);
    for (unsigned i = 0; i < BUCKETS; i++) {
        struct connection *c;

        while ((c = s->buckets[i])) {
            for (int which = PRIMARY; which <= SECONDARY; which++)
                while (c->first[which])
                    let_go(s, c, which);
            forget(s, c);
        }
    }
    s->connections = 0;
    free_gone(&s->side[PRIMARY]);
    free_gone(&s->side[SECONDARY]);
}

static void checkpoint(struct compare *s, const char *why)
{
    if (s->checkpoints++ == 0)
        bp_warn("colo-compare: %s: the machines are due for a checkpoint, which is not built: the primary's packets go "
                "out", why);
    say(s, "DO_CHECKPOINT");
    flush(s);
}

/* ---- comparing ---- */

static bool same_bytes(const struct held *a, const struct held *b, uint32_t from_a, uint32_t from_b, uint32_t n)
{
    return !memcmp(a->bytes + a->flow.payload + from_a, b->bytes + b->flow.payload + from_b, n);
}

/* Bytes that were compared already are sent again, by whom does not matter. */
static void skip(const struct connection *c, struct held *h)
{
    int32_t known = (int32_t)(c->compared - (h->flow.seq + h->done));

    if (known > 0)
        h->done += (uint32_t)known < h->flow.length - h->done ? (uint32_t)known : h->flow.length - h->done;
}

/* 1: something was done, go on; 0: more has to come; -1: they differ. */
static int compare_tcp(struct compare *s, struct connection *c)
{
    struct held *p = c->first[PRIMARY], *q = c->first[SECONDARY];
    uint32_t n = 0, before = p->done + q->done;

    if (!c->begun)
        c->compared = p->flow.seq;
    c->begun = true;
    skip(c, p);
    skip(c, q);
    if (p->flow.seq + p->done == c->compared && q->flow.seq + q->done == c->compared) {
        n = p->flow.length - p->done < q->flow.length - q->done ? p->flow.length - p->done
                                                               : q->flow.length - q->done;
        if (!same_bytes(p, q, p->done, q->done, n))
            return -1;
        p->done += n;
        q->done += n;
        c->compared += n;
    }
    if (p->done + q->done == before)
        return 0; /* one has left something out: it may come */
    if (p->done == p->flow.length)
        release(s, c);
    if (q->done == q->flow.length)
        let_go(s, c, SECONDARY);
    return 1;
}

static int compare_packets(struct compare *s, struct connection *c)
{
    struct held *p = c->first[PRIMARY], *q = c->first[SECONDARY];

    if (p->flow.length != q->flow.length || !same_bytes(p, q, 0, 0, p->flow.length))
        return -1;
    release(s, c);
    let_go(s, c, SECONDARY);
    return 1;
}

static void compare(struct compare *s, struct connection *c)
{
    int r = 1;

    while (r > 0 && c->first[PRIMARY] && c->first[SECONDARY])
        r = c->first[PRIMARY]->flow.tcp ? compare_tcp(s, c) : compare_packets(s, c);
    if (r < 0) {
        checkpoint(s, "the machines sent different packets"); /* c has gone */
        return;
    }
    free_gone(&s->side[PRIMARY]);
    free_gone(&s->side[SECONDARY]);
}

static void hold(struct compare *s, struct held *h)
{
    struct side *side = &s->side[h->which];
    struct connection *c;

    if (s->connections >= MAX_CONNECTIONS)
        flush(s);
    if (side->count >= s->max_queue || side->bytes + h->length > MAX_BYTES)
        checkpoint(s, h->which == PRIMARY ? "the secondary is far behind" : "the primary is far behind");
    c = find(s, &h->flow.key);
    h->since = bp_timer_now(s->scan);
    *c->last[h->which] = h;
    c->last[h->which] = &h->next;
    *side->newest = h;
    side->newest = &h->later;
    side->count++;
    side->bytes += h->length;
    compare(s, c);
}

static bool is_held(const struct flow *flow)
{
    return flow->length > 0 && (!flow->tcp || !(flow->flags & (TCP_SYN | TCP_RST)));
}

static struct held *next_that_came(struct compare *s)
{
    struct held *h;

    pthread_mutex_lock(&s->lock);
    h = s->came;
    if (h) {
        s->came = h->later;
        if (!s->came)
            s->came_end = &s->came;
        s->came_count--;
        s->came_bytes -= h->length;
        h->later = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return h;
}

static void work(void *opaque)
{
    struct compare *s = opaque;
    struct held *h;

    while ((h = next_that_came(s))) {
        if (flow_read(&h->flow, h->bytes, h->length < FLOW_HEAD ? h->length : FLOW_HEAD, h->length) &&
            is_held(&h->flow)) {
            hold(s, h);
            continue;
        }
        if (h->which == PRIMARY)
            send(s, &s->out, h->bytes, h->length, &h->offload);
        free(h);
    }
    bp_deferred_schedule(s->deliver); /* which may let more be read */
}

/* ---- in the main loop ---- */

static bool is_full(struct compare *s)
{
    bool full;

    pthread_mutex_lock(&s->lock);
    full = s->came_count >= MAX_CAME || s->came_bytes >= MAX_CAME_BYTES;
    pthread_mutex_unlock(&s->lock);
    return full;
}

static void deliver(void *opaque)
{
    struct compare *s = opaque;
    struct parcel *p, *next;

    pthread_mutex_lock(&s->lock);
    p = s->parcels;
    s->parcels = NULL;
    s->parcels_end = &s->parcels;
    pthread_mutex_unlock(&s->lock);
    for (; p; p = next) {
        struct iovec vector = {p->bytes, p->length};
        struct bp_net_packet packet = {&vector, 1, p->length, p->offload};

        next = p->next;
        record_write(p->to, &packet);
        free(p);
    }
    for (unsigned i = 0; i < BP_COUNT(s->in); i++)
        record_in_stop(&s->in[i], is_full(s));
}

static void came(struct compare *s, int which, const struct bp_net_packet *packet)
{
    struct held *h;

    if (packet->length > BP_NET_MAX_PACKET)
        return;
    h = bp_alloc(sizeof(*h) + packet->length);
    h->which = which;
    h->offload = packet->offload;
    h->length = packet->length;
    net->copy(packet, 0, h->bytes, packet->length);
    pthread_mutex_lock(&s->lock);
    *s->came_end = h;
    s->came_end = &h->later;
    s->came_count++;
    s->came_bytes += h->length;
    pthread_mutex_unlock(&s->lock);
    record_in_stop(&s->in[which], is_full(s));
    bp_deferred_schedule(s->work);
}

/* What is said at the other end of notify_dev is in no manual: it is read, so that nobody waits for us, and means
 * nothing here. */
static void answered(void *opaque, const struct bp_net_packet *packet)
{
    (void)opaque;
    bp_trace(colo_notify_answer, packet->length);
}

static void primary_came(void *opaque, const struct bp_net_packet *packet)
{
    came(opaque, PRIMARY, packet);
}

static void secondary_came(void *opaque, const struct bp_net_packet *packet)
{
    came(opaque, SECONDARY, packet);
}

/* ---- time ---- */

static bool expired(const struct compare *s, int which, int64_t now)
{
    const struct held *h = s->side[which].oldest;

    while (h && h->gone)
        h = h->later;
    return h && now - h->since >= (int64_t)s->timeout * 1000000;
}

static void scan(void *opaque)
{
    struct compare *s = opaque;
    int64_t now = bp_timer_now(s->scan);

    if (expired(s, PRIMARY, now))
        checkpoint(s, "a packet of the primary has waited too long for the secondary's");
    else if (expired(s, SECONDARY, now))
        checkpoint(s, "the secondary sent what the primary has not");
    bp_timer_set(s->scan, now + (int64_t)s->cycle * 1000000);
}

/* ---- life ---- */

static int missing(const struct compare *s, struct bp_error *err)
{
    const struct {
        const char *key, *value, *what;
    } keys[] = {{"primary_in", s->primary_in, "the chardev that has the primary's packets"},
                {"secondary_in", s->secondary_in, "the chardev that has the secondary's packets"},
                {"outdev", s->outdev, "the chardev that packets are released to"}};

    for (unsigned i = 0; i < BP_COUNT(keys); i++) {
        if (!keys[i].value)
            return bp_fail(err, EINVAL, "property '%s' is missing: %s", keys[i].key, keys[i].what);
        for (unsigned j = 0; j < i; j++)
            if (!strcmp(keys[i].value, keys[j].value))
                return bp_fail(err, EINVAL, "'%s' and '%s' must be different chardevs", keys[j].key, keys[i].key);
    }
    return s->iothread ? 0 : bp_fail(err, EINVAL, "property 'iothread' is missing: the id of an -object iothread");
}

static int complete(struct bp_object *obj, struct bp_error *err)
{
    struct compare *s = bp_object_state(obj);
    struct bp_owner *owner = bp_object_owner(obj);
    int r = missing(s, err);

    for (unsigned i = 0; i < BP_COUNT(s->side); i++)
        s->side[i].newest = &s->side[i].oldest;
    s->came_end = &s->came;
    s->parcels_end = &s->parcels;
    if (r < 0)
        return r;
    pthread_mutex_init(&s->lock, NULL);
    s->deliver = bp_deferred_new(owner, NULL, deliver, s);
    s->worker = bp_owner_new(owner, "colo-compare", bp_object_id(obj), BP_OWNER_LOCK);
    bp_owner_set_context(s->worker, iothread->context(s->iothread));
    s->work = bp_deferred_new(s->worker, NULL, work, s);
    s->scan = bp_timer_new(s->worker, NULL, BP_CLOCK_REALTIME, scan, s);
    r = record_out_open(&s->out, chardev, net, owner, "outdev", s->outdev, s->header, err);
    if (r == 0 && s->notify_dev)
        r = record_in_open(&s->answers, chardev, "notify_dev", s->notify_dev, s->header, answered, s, err);
    if (r == 0 && s->notify_dev)
        record_out_share(&s->notify, &s->answers, net, owner);
    if (r == 0)
        r = record_in_open(&s->in[PRIMARY], chardev, "primary_in", s->primary_in, s->header, primary_came, s, err);
    if (r == 0)
        r = record_in_open(&s->in[SECONDARY], chardev, "secondary_in", s->secondary_in, s->header, secondary_came, s,
                           err);
    if (r == 0)
        bp_timer_set(s->scan, bp_timer_now(s->scan) + (int64_t)s->cycle * 1000000);
    return r;
}

/* Nothing runs any more: what is held goes out, and what came behind it. */
static void give_up(struct compare *s)
{
    struct held *h;

    flush(s);
    while ((h = next_that_came(s))) {
        if (h->which == PRIMARY)
            send(s, &s->out, h->bytes, h->length, &h->offload);
        free(h);
    }
    deliver(s);
}

static void finalize(struct bp_object *obj)
{
    struct compare *s = bp_object_state(obj);

    record_in_close(&s->in[PRIMARY]);
    record_in_close(&s->in[SECONDARY]);
    if (s->worker) {
        bp_owner_free(s->worker); /* with its timer and its call */
        s->worker = NULL;
        give_up(s);
        pthread_mutex_destroy(&s->lock);
    }
    record_out_close(&s->notify);
    record_in_close(&s->answers);
    record_out_close(&s->out);
    bp_deferred_free(s->deliver);
    s->deliver = NULL;
}

static const struct bp_field props[] = {
    BP_PROP("primary_in", STRING, struct compare, primary_in, NULL, "chardev that has the primary's packets"),
    BP_PROP("secondary_in", STRING, struct compare, secondary_in, NULL, "chardev that has the secondary's packets"),
    BP_PROP("outdev", STRING, struct compare, outdev, NULL, "chardev that packets are released to"),
    BP_PROP_LINK("iothread", "iothread", struct compare, iothread, "the iothread that compares"),
    BP_PROP("notify_dev", STRING, struct compare, notify_dev, NULL, "chardev that is told of checkpoints that are due"),
    BP_PROP("vnet_hdr_support", BOOL, struct compare, header, "off", "packets have a header of virtio"),
    BP_PROP_RANGE("compare_timeout", UINT64, struct compare, timeout, "3000", 1, 3600000,
                  "milliseconds that a packet is held at most"),
    BP_PROP_RANGE("expired_scan_cycle", UINT64, struct compare, cycle, "3000", 1, 3600000,
                  "milliseconds between looks at what is held"),
    BP_PROP_RANGE("max_queue_size", UINT32, struct compare, max_queue, "1024", 1, 65536,
                  "packets of each machine that are held at most"),
    BP_FIELDS_END};
BP_NOTE("provides=object:colo-compare;summary=Compares what two machines send");
static const struct bp_object_class compare_class = {
    .type = {.size = sizeof(struct bp_object_class), .name = "colo-compare",
             .summary = "Compares what two machines send", .state_size = sizeof(struct compare), .props = props},
    .complete = complete, .finalize = finalize};
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), BP_IMPORT(chardev, "chardev", 1),
                                           BP_IMPORT(iothread, "iothread", 1), {0}};
BP_MODULE("net-colo-compare", "Compares packets of two machines", imports, {BP_PROVIDE_OBJECT, &compare_class});
