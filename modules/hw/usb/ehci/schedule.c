// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The schedules (EHCI 1.0, chapters 3 and 4): queue heads with their transfer descriptors, each of which becomes one
 * packet. A turn looks at a bounded number of them. Left out: isochronous and split isochronous descriptors, which are
 * skipped; split transactions (what is behind a hub is reached at its own speed); toggles, PING, NAK counters.
 */
#include <stdlib.h>

#include "ehci.h"

enum { LINK_END = 1, TYPE_QH = 1 };
enum { ACTIVE = 0x80, HALTED = 0x40, BUFFER_ERROR = 0x20, BABBLE = 0x10, TRANSACTION = 0x08, IOC = 1 << 15 };

struct qtd {
    uint32_t next, alternate, token, buffer[5];
};

struct qh {
    uint32_t link, characteristics, capabilities, current;
    struct qtd overlay;
};

struct ehci_packet {
    struct ehci_packet *next, **link;
    struct ehci *s;
    uint32_t qh, qtd, token; /* whose it is */
    unsigned unseen;
    bool ended;
    struct bp_usb_packet packet;
    uint8_t data[];
};

enum result { MOVED, NOTHING, STOP };

static void unlink_packet(struct ehci_packet *p)
{
    if (!p->link)
        return;
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    p->link = NULL;
}

static void drop(struct ehci_packet *p)
{
    if (!p->ended)
        ehci_usb->cancel(&p->packet);
    unlink_packet(p);
    free(p);
}

void ehci_cancel_all(struct ehci *s)
{
    while (s->packets)
        drop(s->packets);
}

void ehci_age(struct ehci *s, unsigned patience)
{
    struct ehci_packet *next;

    for (struct ehci_packet *p = s->packets; p; p = next) {
        next = p->next;
        if (++p->unseen > patience)
            drop(p);
    }
}

/* The schedule finds it: now rather than at the next frame. */
static void done(struct bp_usb_packet *packet)
{
    struct ehci_packet *p = packet->opaque;

    p->ended = true;
    if (p->s->cmd & CMD_RS)
        bp_timer_set(p->s->timer, bp_timer_now(p->s->timer));
}

static void die(struct ehci *s, const char *why)
{
    bp_guest_error("ehci-died", "EHCI: %s: the controller stops", why);
    s->sts |= STS_HSE | STS_HALTED;
    s->cmd &= ~(uint32_t)CMD_RS;
}

static bool read_mem(struct ehci *s, uint32_t at, void *buf, uint32_t size)
{
    if (ehci_pci->dma_read(s->dev, at, buf, size) == 0)
        return true;
    die(s, "its schedule is where no memory is");
    return false;
}

static bool write_mem(struct ehci *s, uint32_t at, const void *buf, uint32_t size)
{
    if (ehci_pci->dma_write(s->dev, at, buf, size) == 0)
        return true;
    die(s, "it writes to where no memory is");
    return false;
}

/* Between memory and data, page by page. */
static bool copy(struct ehci *s, const struct qtd *t, uint8_t *data, uint32_t length, bool to_memory)
{
    uint32_t page = t->token >> 12 & 7, offset = t->buffer[0] & 0xfff;

    for (uint32_t at = 0; at < length; page++, offset = 0) {
        uint32_t n = 4096 - offset < length - at ? 4096 - offset : length - at, where;

        if (page > 4)
            return false;
        where = (t->buffer[page] & ~0xfffu) + offset;
        if ((to_memory ? ehci_pci->dma_write(s->dev, where, data + at, n)
                       : ehci_pci->dma_read(s->dev, where, data + at, n)) < 0)
            return false;
        at += n;
    }
    return true;
}

static struct bp_usb_device *find(struct ehci *s, uint8_t address)
{
    struct bp_usb_device *d = NULL;

    for (unsigned n = 0; !d && n < EHCI_PORTS; n++) {
        if ((s->port[n] & (PORT_PED | PORT_SUSPEND | PORT_OWNER)) == PORT_PED)
            d = ehci_usb->find(ehci_usb->port(s->bus, n), address);
    }
    return d;
}

static struct ehci_packet *on_its_way(struct ehci *s, uint32_t at, const struct qh *q)
{
    struct ehci_packet *p = s->packets;

    while (p && p->qh != at)
        p = p->next;
    if (p && (p->qtd != q->current || p->token != q->overlay.token)) {
        drop(p); /* another transfer by now */
        return NULL;
    }
    return p;
}

/* NULL: there is no memory. */
static struct ehci_packet *begin(struct ehci *s, uint32_t at, const struct qh *q)
{
    static const uint8_t tokens[] = {BP_USB_OUT, BP_USB_IN, BP_USB_SETUP, BP_USB_OUT};
    uint32_t length = q->overlay.token >> 16 & 0x7fff, pid = q->overlay.token >> 8 & 3;
    struct bp_usb_device *d = find(s, q->characteristics & 0x7f);
    struct ehci_packet *p = calloc(1, sizeof(*p) + length);

    if (!p)
        return NULL;
    p->s = s;
    p->qh = at;
    p->qtd = q->current;
    p->token = q->overlay.token;
    p->ended = true;
    p->packet.size = sizeof(p->packet);
    p->packet.token = tokens[pid];
    p->packet.endpoint = q->characteristics >> 8 & 15;
    p->packet.length = length;
    p->packet.data = p->data;
    p->packet.done = done;
    p->packet.opaque = p;
    p->packet.status = BP_USB_ERROR;
    if (length > EHCI_QTD_BYTES || pid == 3 || (pid != 1 && !copy(s, &q->overlay, p->data, length, false))) {
        bp_guest_error("ehci-qtd", "EHCI: a transfer descriptor makes no sense");
        return p;
    }
    if (d && ehci_usb->submit(d, &p->packet) == BP_USB_LATER) {
        p->ended = false;
        p->next = s->packets;
        p->link = &s->packets;
        if (p->next)
            p->next->link = &p->next;
        s->packets = p;
    }
    return p;
}

/* The token after the packet. */
static uint32_t result_of(struct ehci *s, const struct qh *q, struct bp_usb_packet *p)
{
    uint32_t token = q->overlay.token & ~(uint32_t)(ACTIVE | 1), left = p->length - p->actual;

    if (p->status == BP_USB_OK && p->token == BP_USB_IN && !copy(s, &q->overlay, p->data, p->actual, true))
        return (token | HALTED | BUFFER_ERROR);
    switch (p->status) {
    case BP_USB_OK:
        return (token & ~(0x7fffu << 16)) | left << 16;
    case BP_USB_STALL:
        return token | HALTED;
    case BP_USB_BABBLE:
        return token | HALTED | BABBLE;
    default: /* three times */
        return (token & ~(3u << 10)) | HALTED | TRANSACTION;
    }
}

/* The next descriptor into the overlay, 4.10.2. */
static enum result advance(struct ehci *s, uint32_t at, struct qh *q)
{
    uint32_t left = q->overlay.token >> 16 & 0x7fff, next = q->overlay.next, toggle = q->overlay.token & 1u << 31;
    struct qtd t;

    if (left && !(q->overlay.alternate & LINK_END))
        next = q->overlay.alternate;
    if (next & LINK_END)
        return NOTHING;
    next &= ~31u;
    if (!read_mem(s, next, &t, sizeof(t)))
        return STOP;
    if (!(t.token & ACTIVE))
        return NOTHING;
    q->current = next;
    q->overlay = t;
    if (!(q->characteristics & 1u << 14))
        q->overlay.token = (t.token & ~(1u << 31)) | toggle;
    return write_mem(s, at + 12, &q->current, 4 + sizeof(t)) ? MOVED : STOP;
}

/* One descriptor of a queue head. */
static enum result step(struct ehci *s, uint32_t at, struct qh *q, uint32_t *bytes)
{
    struct ehci_packet *p;

    if (q->overlay.token & HALTED)
        return NOTHING;
    if (!(q->overlay.token & ACTIVE)) {
        enum result r = advance(s, at, q);

        if (r != MOVED)
            return r;
    }
    p = on_its_way(s, at, q);
    if (!p)
        p = begin(s, at, q);
    if (!p)
        return NOTHING;
    p->unseen = 0;
    if (!p->ended)
        return NOTHING;
    unlink_packet(p);
    if (p->packet.status == BP_USB_NAK) {
        free(p);
        return NOTHING;
    }
    q->overlay.token = result_of(s, q, &p->packet);
    *bytes += p->packet.actual + 64;
    if (q->overlay.token & HALTED)
        s->sts |= STS_ERROR;
    if (q->overlay.token & IOC || (p->packet.token == BP_USB_IN && p->packet.actual < p->packet.length))
        s->sts |= STS_INT;
    free(p);
    return write_mem(s, at + 24, &q->overlay.token, 4) && write_mem(s, q->current + 8, &q->overlay.token, 4) ? MOVED
                                                                                                              : STOP;
}

/* A queue head, as long as something moves. False: the controller stopped. */
static bool run_queue(struct ehci *s, uint32_t at, struct qh *q, unsigned *steps, uint32_t *bytes)
{
    enum result r;

    if (!read_mem(s, at, q, sizeof(*q)))
        return false;
    if (q->characteristics & 1u << 7) /* inactivated */
        return true;
    do
        r = step(s, at, q, bytes);
    while (r == MOVED && ++*steps < EHCI_STEPS && *bytes < EHCI_TURN_BYTES);
    return r != STOP;
}

void ehci_periodic(struct ehci *s)
{
    uint32_t link, bytes = 0;
    unsigned steps = 0;

    if (!read_mem(s, (s->periodic & ~0xfffu) + 4 * (s->frindex >> 3 & 1023), &link, sizeof(link)))
        return;
    while (!(link & LINK_END) && steps++ < EHCI_STEPS) {
        struct qh q;

        if ((link >> 1 & 3) == TYPE_QH) {
            if (!run_queue(s, link & ~31u, &q, &steps, &bytes))
                return;
            link = q.link;
        } else if (!read_mem(s, link & ~31u, &link, sizeof(link))) {
            return;
        }
    }
}

/* Rounds, until one moves nothing. */
void ehci_async(struct ehci *s)
{
    uint32_t at = s->async & ~31u, first = at, bytes = 0, moved = 0;
    unsigned steps = 0;

    while (steps++ < EHCI_STEPS && bytes < EHCI_TURN_BYTES) {
        struct qh q;

        if (!run_queue(s, at, &q, &steps, &bytes))
            return;
        if (q.link & LINK_END || (q.link >> 1 & 3) != TYPE_QH)
            return;
        at = q.link & ~31u;
        if (at == first) {
            if (bytes == moved)
                return;
            moved = bytes;
        }
    }
}
