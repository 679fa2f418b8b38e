/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `clipboard`: who owns which selection, and who waits for its content (bp/host/clipboard.h). Peers may join,
 * leave, grab and ask within their callbacks: every walk over them begins anew after a call.
 */
#define BP_SHARED
#include <bp/host/clipboard.h>

#include <errno.h>
#include <stdlib.h>

#include <bp/clock.h>
#include <bp/module.h>

#define PEERS_MOST 256u
#define TYPES BP_CLIPBOARD_TYPE_COUNT
#define WAIT_NS INT64_C(10000000000) /* that an owner may take to answer */

struct bp_clipboard_peer {
    struct bp_clipboard_peer *next;
    const struct bp_clipboard_ops *ops;
    void *opaque;
    uint32_t wants[BP_CLIPBOARD_SELECTIONS]; /* types that it has asked for */
    bool told[BP_CLIPBOARD_SELECTIONS];      /* of the newest owner */
};

struct selection {
    struct bp_clipboard_peer *owner;
    uint32_t types;
    int64_t since[TYPES];  /* of each type: when the owner was asked */
    uint32_t asked;
};

static struct bp_clipboard_peer *peers;
static struct selection selections[BP_CLIPBOARD_SELECTIONS];
static unsigned peer_count;
static struct bp_timer *timer;

/* ---- who waits ---- */

static void answer(unsigned which, uint32_t type, const void *data, size_t length)
{
    struct bp_clipboard_peer *p = peers;

    selections[which].asked &= ~type;
    while (p) {
        if (!(p->wants[which] & type)) {
            p = p->next;
            continue;
        }
        p->wants[which] &= ~type;
        p->ops->got(p->opaque, which, type, data, length);
        if (selections[which].asked & type)
            return; /* asked anew: whoever still waits hears that answer */
        p = peers;
    }
}

static void answer_all(unsigned which)
{
    for (unsigned n = 0; n < TYPES; n++)
        answer(which, 1u << n, NULL, 0);
}

static void look(void *opaque)
{
    int64_t now = bp_timer_now(timer), next = INT64_MAX;

    (void)opaque;
    for (unsigned which = 0; which < BP_CLIPBOARD_SELECTIONS; which++) {
        for (unsigned n = 0; n < TYPES; n++) {
            const struct selection *s = &selections[which];

            if ((s->asked & 1u << n) && now >= s->since[n] + WAIT_NS)
                answer(which, 1u << n, NULL, 0);
            else if ((s->asked & 1u << n) && s->since[n] + WAIT_NS < next)
                next = s->since[n] + WAIT_NS;
        }
    }
    if (next < INT64_MAX)
        bp_timer_set(timer, next);
}

/* ---- who owns ---- */

static void tell(unsigned which)
{
    struct bp_clipboard_peer *p;

    for (p = peers; p; p = p->next)
        p->told[which] = p == selections[which].owner;
    p = peers;
    while (p) {
        if (p->told[which]) {
            p = p->next;
            continue;
        }
        p->told[which] = true;
        p->ops->changed(p->opaque, which, selections[which].owner == p ? 0 : selections[which].types);
        p = peers;
    }
}

static void set_owner(unsigned which, struct bp_clipboard_peer *owner, uint32_t types)
{
    selections[which].owner = owner;
    selections[which].types = types;
    answer_all(which); /* what was there is gone */
    tell(which);
}

static void grab(struct bp_clipboard_peer *peer, unsigned which, uint32_t types)
{
    if (which < BP_CLIPBOARD_SELECTIONS)
        set_owner(which, peer, types & BP_CLIPBOARD_TYPES);
}

static void release(struct bp_clipboard_peer *peer, unsigned which)
{
    if (which < BP_CLIPBOARD_SELECTIONS && selections[which].owner == peer)
        set_owner(which, NULL, 0);
}

static uint32_t types_of(struct bp_clipboard_peer *peer, unsigned which)
{
    return which < BP_CLIPBOARD_SELECTIONS && selections[which].owner != peer ? selections[which].types : 0;
}

/* ---- content ---- */

static void request(struct bp_clipboard_peer *peer, unsigned which, uint32_t type)
{
    struct selection *s = which < BP_CLIPBOARD_SELECTIONS ? &selections[which] : NULL;
    int64_t now = bp_timer_now(timer);

    if (!(types_of(peer, which) & type)) {
        peer->ops->got(peer->opaque, which, type, NULL, 0);
        return;
    }
    peer->wants[which] |= type;
    if (s->asked & type)
        return;
    s->asked |= type;
    s->since[bp_clipboard_type_number(type)] = now;
    if (!bp_timer_pending(timer))
        bp_timer_set(timer, now + WAIT_NS);
    s->owner->ops->wanted(s->owner->opaque, which, type);
}

static void give(struct bp_clipboard_peer *peer, unsigned which, uint32_t type, const void *data, size_t length)
{
    if (which >= BP_CLIPBOARD_SELECTIONS || selections[which].owner != peer || !(selections[which].asked & type))
        return;
    answer(which, type, length > BP_CLIPBOARD_MAX ? NULL : data, length);
}

/* ---- peers ---- */

static int join(const struct bp_clipboard_ops *ops, void *opaque, struct bp_clipboard_peer **ret_peer,
                struct bp_error *err)
{
    struct bp_clipboard_peer *p;

    if (peer_count >= PEERS_MOST)
        return bp_fail(err, ENOSPC, "the clipboard has %u users, which is the most", PEERS_MOST);
    if (!timer)
        timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, look, NULL);
    p = bp_alloc(sizeof(*p));
    p->ops = ops;
    p->opaque = opaque;
    for (unsigned which = 0; which < BP_CLIPBOARD_SELECTIONS; which++)
        p->told[which] = true;
    p->next = peers;
    peers = p;
    peer_count++;
    *ret_peer = p;
    return 0;
}

static void leave(struct bp_clipboard_peer *peer)
{
    struct bp_clipboard_peer **at = &peers;

    if (!peer)
        return;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    peer_count--;
    for (unsigned which = 0; which < BP_CLIPBOARD_SELECTIONS; which++)
        release(peer, which);
    free(peer);
    if (peer_count == 0) {
        bp_timer_free(timer);
        timer = NULL;
    }
}

static const struct bp_clipboard_interface table = {
    .size = sizeof(table), .join = join, .leave = leave, .grab = grab, .release = release, .types = types_of,
    .request = request, .give = give};
BP_INTERFACE(clipboard_interface, "clipboard", 1, 0, &table);
BP_MODULE("clipboard", "Clipboards that viewers and guests share", BP_NO_IMPORTS,
          {BP_PROVIDE_INTERFACE, &clipboard_interface});
