// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Transfer rings (4.9, 4.10, 4.11.2). A transfer descriptor is read whole, checked, and becomes one packet; an
 * endpoint has one on its way. The dequeue pointer moves when it has ended, so that nothing of it has to be saved.
 * Isochronous descriptors have their turn by time (4.11.2.3, 4.14.2). Left out: streams.
 */
#include <stdlib.h>

#include "xhci.h"

struct transfer {
    struct xhci *s;
    struct transfer *next, **link;
    unsigned slot, dci;
    bool data_in, nak;
    struct ring after; /* where the ring goes on */
    unsigned count;
    uint32_t length;
    struct bp_usb_packet packet;
    struct trb trb[];
};

static unsigned type_of(const struct trb *t)
{
    return t->control >> 10 & 0x3f;
}

static bool moves_data(const struct trb *t)
{
    return type_of(t) == TRB_NORMAL || type_of(t) == TRB_DATA || type_of(t) == TRB_SETUP || type_of(t) == TRB_ISOCH;
}

bool xhci_is_isochronous(const struct endpoint *ep)
{
    return ep->type == 1 || ep->type == 5;
}

void xhci_set_ep_state(struct xhci *s, struct endpoint *ep, uint8_t state)
{
    uint32_t words[4] = {0};
    uint64_t dequeue = ep->ring.dequeue | ep->ring.cycle;

    ep->state = state;
    if (state != EP_RUNNING)
        ep->due_ns = 0;
    if (!ep->context || !xhci_read(s, ep->context, words, sizeof(words)))
        return;
    words[0] = (words[0] & ~7u) | state;
    words[2] = (uint32_t)dequeue;
    words[3] = (uint32_t)(dequeue >> 32);
    xhci_write(s, ep->context, words, sizeof(words));
}

static struct endpoint *ep_of(struct transfer *t)
{
    return &t->s->slot[t->slot].ep[t->dci - 1];
}

/* On its way: found by transfer_of(). While it is made or ends it is not, so that no reset frees it meanwhile. */
static void link_transfer(struct transfer *t)
{
    t->next = t->s->transfers;
    t->link = &t->s->transfers;
    if (t->next)
        t->next->link = &t->next;
    t->s->transfers = t;
    t->s->data_bytes += t->length;
}

static void unlink_transfer(struct transfer *t)
{
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
    t->s->data_bytes -= t->length;
    xhci_later(t->s); /* others may wait for the room */
}

static void free_transfer(struct transfer *t)
{
    unlink_transfer(t);
    free(t->packet.data);
    free(t);
}

static struct transfer *transfer_of(struct xhci *s, unsigned slot, unsigned dci)
{
    struct transfer *t = s->transfers;

    while (t && (t->slot != slot || (dci && t->dci != dci)))
        t = t->next;
    return t;
}

static void tell(struct transfer *t, const struct trb *trb, uint64_t parameter, uint32_t code, uint32_t length,
                 bool event_data)
{
    xhci_event(t->s, trb->status >> 22, parameter, code << 24 | (length & 0xffffff),
               (t->slot + 1) << 24 | t->dci << 16 | EVENT_TRANSFER << 10 | (event_data ? TRB_ED : 0));
}

/* ---- the end: data to memory, events (4.10.1, 4.11.5.2) ---- */
static bool to_memory(struct transfer *t)
{
    uint32_t at = 0;

    for (unsigned n = 0; n < t->count && at < t->packet.actual; n++) {
        const struct trb *trb = &t->trb[n];
        uint32_t size = moves_data(trb) ? trb->status & 0x1ffff : 0;

        if (size > t->packet.actual - at)
            size = t->packet.actual - at;
        if (size && (trb->control & TRB_IDT || !xhci_write(t->s, trb->parameter, t->packet.data + at, size)))
            return false;
        at += size;
    }
    return true;
}

static void tell_all(struct transfer *t, uint32_t code)
{
    struct endpoint *ep = ep_of(t);
    uint32_t left = t->packet.actual;
    bool told = false;

    for (unsigned n = 0; n < t->count; n++) {
        const struct trb *trb = &t->trb[n];
        bool last = n + 1 == t->count;
        uint32_t size = moves_data(trb) ? trb->status & 0x1ffff : 0, done = size < left ? size : left;
        uint32_t what = code == CC_SUCCESS && done < size ? CC_SHORT : code;

        left -= done;
        ep->residual += done;
        if (type_of(trb) == TRB_EVENT_DATA) {
            if (trb->control & TRB_IOC)
                tell(t, trb, trb->parameter, code == CC_SUCCESS && t->packet.actual < t->length ? CC_SHORT : code,
                     ep->residual, true);
            ep->residual = 0;
            continue;
        }
        if (told)
            continue;
        if (what == CC_SUCCESS && trb->control & TRB_IOC) {
            tell(t, trb, trb->at, what, 0, false);
        } else if (what == CC_SHORT && trb->control & (TRB_ISP | TRB_IOC)) {
            told = true;
            tell(t, trb, trb->at, what, size - done, false);
        } else if (what != CC_SUCCESS && what != CC_SHORT && (left == 0 || last) && (done < size || last)) {
            told = true; /* where it broke off */
            tell(t, trb, trb->at, what, size - done, false);
        }
    }
}

static void finish(struct transfer *t)
{
    static const uint8_t codes[] = {[BP_USB_OK] = CC_SUCCESS, [BP_USB_STALL] = CC_STALL, [BP_USB_BABBLE] = CC_BABBLE,
                                    [BP_USB_ERROR] = CC_TRANSACTION, [BP_USB_GONE] = CC_TRANSACTION};
    struct endpoint *ep = ep_of(t);
    uint32_t code = codes[t->packet.status];

    unlink_transfer(t);
    if (t->data_in && code != CC_TRANSACTION && !to_memory(t))
        code = CC_TRB; /* its buffer is where no memory is */
    if (code == CC_SUCCESS || xhci_is_isochronous(ep))
        ep->ring = t->after;
    tell_all(t, code);
    if (code == CC_TRB || (code != CC_SUCCESS && !xhci_is_isochronous(ep))) {
        ep->residual = 0;
        xhci_set_ep_state(t->s, ep, code == CC_TRB ? EP_ERROR : EP_HALTED);
    }
    ep->again = true;
    free_transfer(t);
}

static void done(struct bp_usb_packet *p)
{
    struct transfer *t = p->opaque;
    struct xhci *s = t->s;

    s->busy++;
    finish(t);
    s->busy--;
    xhci_later(s);
}

/* ---- the beginning ---- */
/* 1: a whole descriptor; 0: not yet; -1: it makes no sense. */
static int gather(struct xhci *s, const struct endpoint *ep, struct td *td)
{
    td->after = ep->ring;
    td->length = 0;
    for (td->count = 0;;) {
        struct trb trb;
        int r = xhci_fetch(s, &td->after, &trb);

        if (r <= 0)
            return r;
        if (td->count == XHCI_TRBS)
            return -1;
        td->trb[td->count++] = trb;
        if (moves_data(&trb))
            td->length += trb.status & 0x1ffff;
        if (td->length > XHCI_TD_BYTES || (type_of(&trb) == TRB_ISOCH && (td->count > 1 || !xhci_is_isochronous(ep))) ||
            (!moves_data(&trb) && type_of(&trb) != TRB_STATUS && type_of(&trb) != TRB_EVENT_DATA &&
             type_of(&trb) != TRB_NOOP))
            return -1;
        if (!(trb.control & TRB_CH))
            return 1;
    }
}

static bool from_memory(struct xhci *s, struct transfer *t)
{
    uint32_t at = 0;

    for (unsigned n = 0; n < t->count; n++) {
        const struct trb *trb = &t->trb[n];
        uint32_t size = moves_data(trb) ? trb->status & 0x1ffff : 0;

        if (trb->control & TRB_IDT && size) {
            if (size > 8)
                return false;
            memcpy(t->packet.data + at, &trb->parameter, size);
        } else if (size && !xhci_read(s, trb->parameter, t->packet.data + at, size)) {
            return false;
        }
        at += size;
    }
    return true;
}

/* Token and direction. False: no such descriptor belongs on this endpoint. */
static bool describe(const struct endpoint *ep, struct transfer *t)
{
    const struct trb *first = &t->trb[0];
    unsigned type = type_of(first);

    for (unsigned n = 0; n + 1 < t->count && type == TRB_EVENT_DATA; n++)
        type = type_of(&t->trb[n + 1]);
    if (ep->type != 4) {
        t->packet.token = ep->type >= 5 ? BP_USB_IN : BP_USB_OUT;
        t->data_in = ep->type >= 5;
        for (unsigned n = 0; n < t->count; n++) {
            if (type_of(&t->trb[n]) == TRB_SETUP || type_of(&t->trb[n]) == TRB_DATA ||
                type_of(&t->trb[n]) == TRB_STATUS)
                return false;
        }
        return !xhci_is_isochronous(ep) || type_of(first) == TRB_ISOCH || t->length == 0;
    }
    t->packet.token = type == TRB_SETUP ? BP_USB_SETUP : first->control & TRB_DIR ? BP_USB_IN : BP_USB_OUT;
    t->data_in = t->packet.token == BP_USB_IN;
    if (type == TRB_SETUP)
        return t->count == 1 && first->control & TRB_IDT && t->length == 8;
    return type != TRB_STATUS || t->length == 0;
}

static bool only_tells(const struct transfer *t)
{
    for (unsigned n = 0; n < t->count; n++) {
        if (type_of(&t->trb[n]) != TRB_NOOP && type_of(&t->trb[n]) != TRB_EVENT_DATA)
            return false;
    }
    return true;
}

/* The descriptor that was read last. */
static void refuse(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];
    const struct trb here = {.at = ep->ring.dequeue, .status = s->slot[slot].interrupter << 22};
    const struct trb *trb = s->td.count ? &s->td.trb[s->td.count - 1] : &here;
    struct transfer t = {.s = s, .slot = slot, .dci = dci};

    bp_guest_error("xhci-trb", "xHCI: a transfer descriptor makes no sense");
    tell(&t, trb, trb->at, CC_TRB, 0, false);
    xhci_set_ep_state(s, ep, EP_ERROR);
}

/* What was gathered, with room for its data. NULL: no memory. */
static struct transfer *new_transfer(struct xhci *s, unsigned slot, unsigned dci)
{
    struct transfer *t = calloc(1, sizeof(*t) + s->td.count * sizeof(struct trb));

    if (!t)
        return NULL;
    t->s = s;
    t->slot = slot;
    t->dci = dci;
    t->after = s->td.after;
    t->count = s->td.count;
    t->length = s->td.length;
    memcpy(t->trb, s->td.trb, t->count * sizeof(struct trb));
    t->packet.size = sizeof(t->packet);
    t->packet.endpoint = (uint8_t)(dci / 2);
    t->packet.length = t->length;
    t->packet.done = done;
    t->packet.opaque = t;
    t->packet.data = t->length ? malloc(t->length) : NULL;
    if (t->length && !t->packet.data) {
        free(t);
        return NULL;
    }
    return t;
}

/* ---- isochronous endpoints ---- */
static int64_t interval_ns(struct xhci *s, const struct endpoint *ep)
{
    uint32_t word = 0, n;

    xhci_read(s, ep->context, &word, sizeof(word));
    n = word >> 16 & 0xff;
    return INT64_C(125000) << (n < 15 ? n : 15);
}

/* Is it this endpoint's turn? Otherwise the timer says when. */
static bool is_due(struct xhci *s, struct endpoint *ep)
{
    int64_t now = bp_timer_now(s->timer);

    if (ep->due_ns <= now)
        return true;
    if (!bp_timer_pending(s->timer) || bp_timer_deadline(s->timer) > ep->due_ns)
        bp_timer_set(s->timer, ep->due_ns);
    return false;
}

/* There is no descriptor at its time (4.10.3.1): told once. */
static void ran_dry(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];

    if (!ep->due_ns)
        return;
    ep->due_ns = 0;
    xhci_event(s, s->slot[slot].interrupter, 0, (ep->type == 5 ? CC_RING_OVERRUN : CC_RING_UNDERRUN) << 24,
               (slot + 1) << 24 | dci << 16 | EVENT_TRANSFER << 10);
}

/* 1: it has its turn now; 0: later; -1: its frame is over. */
static int frame_of(struct xhci *s, struct endpoint *ep, const struct trb *trb)
{
    uint32_t frame = xhci_microframe(s) >> 3, to_come = ((trb->control >> 20) - frame) & 0x7ff;

    if (trb->control & TRB_SIA || type_of(trb) != TRB_ISOCH || to_come == 0)
        return 1;
    if (to_come >= 0x400)
        return -1;
    ep->due_ns = s->epoch_ns + (int64_t)(frame + to_come) * 1000000;
    return is_due(s, ep);
}

/* The packet has had its one chance. */
static void move_on(struct xhci *s, struct endpoint *ep, struct transfer *t, bool missed)
{
    int64_t now = bp_timer_now(s->timer), step = interval_ns(s, ep);

    ep->due_ns = (ep->due_ns && now - ep->due_ns < XHCI_BEHIND_NS ? ep->due_ns : now) + step;
    if (missed) {
        ep->ring = t->after;
        tell_all(t, CC_MISSED);
        free_transfer(t);
        return;
    }
    if (t->packet.status == BP_USB_LATER)
        xhci_usb->cancel(&t->packet);
    if (t->packet.status == BP_USB_NAK || t->packet.status == BP_USB_LATER) {
        t->packet.status = BP_USB_OK;
        t->packet.actual = t->data_in ? 0 : t->length;
    }
    finish(t);
}

/* One descriptor of an isochronous endpoint, made to a packet; false: it waits. */
static bool send_isochronous(struct xhci *s, unsigned slot, unsigned dci, struct transfer *t)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];
    struct bp_usb_device *d = xhci_device(s, &s->slot[slot]);
    int turn = frame_of(s, ep, &t->trb[0]);

    if (turn == 0) {
        free_transfer(t);
        return false;
    }
    t->packet.frame = xhci_microframe(s);
    t->packet.status = BP_USB_GONE;
    if (d && turn > 0) {
        uint8_t status = xhci_usb->submit(d, &t->packet);

        if (status == BP_USB_LATER)
            t->packet.status = BP_USB_LATER;
    }
    move_on(s, ep, t, turn < 0);
    return true;
}

enum step { NEXT, WAITS, FULL }; /* on with the next; for the device or the driver; for room */

/* One descriptor. */
static enum step step(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];
    struct bp_usb_device *d;
    bool isochronous = xhci_is_isochronous(ep);
    struct transfer *t;
    int r;

    if (isochronous && !is_due(s, ep))
        return WAITS;
    r = gather(s, ep, &s->td);
    if (r == 0 && isochronous)
        ran_dry(s, slot, dci);
    if (r == 0)
        return WAITS;
    if (r > 0 && s->transfers && s->td.length && s->data_bytes + s->td.length > XHCI_DATA_BYTES)
        return FULL;
    t = r > 0 ? new_transfer(s, slot, dci) : NULL;
    s->turn_bytes += s->td.length;
    if (!t || !describe(ep, t) || (!t->data_in && !from_memory(s, t))) {
        if (t)
            free_transfer(t);
        refuse(s, slot, dci);
        return WAITS;
    }
    if (only_tells(t)) {
        t->packet.status = BP_USB_OK;
        finish(t);
        return NEXT;
    }
    if (isochronous)
        return send_isochronous(s, slot, dci, t) && ep->state == EP_RUNNING ? NEXT : WAITS;
    d = xhci_device(s, &s->slot[slot]);
    if (!d) {
        t->packet.status = BP_USB_GONE;
    } else if (xhci_usb->submit(d, &t->packet) == BP_USB_LATER) {
        link_transfer(t);
        return WAITS;
    }
    if (t->packet.status == BP_USB_NAK) {
        free_transfer(t); /* it is made again when there is something */
        return WAITS;
    }
    finish(t);
    return ep->state == EP_RUNNING ? NEXT : WAITS;
}

void xhci_kick(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];
    enum step r = NEXT;
    unsigned n = 0;

    ep->again = false;
    if (!(s->usbcmd & CMD_RUN) || transfer_of(s, slot, dci))
        return;
    while (s->slot[slot].enabled && ep->state == EP_RUNNING && xhci_has_room(s)) {
        if (n++ == XHCI_BATCH || s->turn_bytes >= XHCI_TURN_BYTES)
            break;
        r = step(s, slot, dci);
        if (r == FULL)
            break;
        if (r == WAITS) {
            if (!transfer_of(s, slot, dci))
                ep->again = false;
            return;
        }
    }
    ep->again = true;
    if (r != FULL && xhci_has_room(s) && ep->state == EP_RUNNING)
        xhci_later(s);
}

void xhci_stop_transfer(struct xhci *s, unsigned slot, unsigned dci, bool with_event)
{
    struct transfer *t;

    while ((t = transfer_of(s, slot, dci))) {
        xhci_usb->cancel(&t->packet);
        if (with_event)
            tell(t, &t->trb[0], t->trb[0].at, CC_STOPPED, t->trb[0].status & 0x1ffff, false);
        free_transfer(t);
    }
}

void xhci_stop_all(struct xhci *s)
{
    while (s->transfers) {
        xhci_usb->cancel(&s->transfers->packet);
        free_transfer(s->transfers);
    }
}

/* A control transfer of the controller's own, without data. */
uint8_t xhci_control(struct xhci *s, struct bp_usb_device *d, const uint8_t setup[8])
{
    struct bp_usb_packet p = {.size = sizeof(p), .token = BP_USB_SETUP, .length = 8};
    uint8_t bytes[8];

    (void)s;
    memcpy(bytes, setup, 8);
    p.data = bytes;
    if (xhci_usb->submit(d, &p) != BP_USB_OK)
        return p.status;
    p = (struct bp_usb_packet){.size = sizeof(p), .token = BP_USB_IN};
    return xhci_usb->submit(d, &p);
}
