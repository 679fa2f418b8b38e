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

enum result { MOVED, NOTHING, STOP };

static void die(struct ehci *s, const char *why)
{
    bp_guest_error("ehci-died", "EHCI: %s: the controller stops", why);
    s->sts |= STS_HSE | STS_HALTED;
    s->cmd &= ~(uint32_t)CMD_RS;
    ehci_follow(s);
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

/* NULL: there is no memory. */
static struct usb_transfer *begin(struct ehci *s, uint8_t list, uint32_t at, const struct qh *q,
                                  const uint32_t words[2])
{
    static const uint8_t tokens[] = {BP_USB_OUT, BP_USB_IN, BP_USB_SETUP, BP_USB_OUT};
    uint32_t length = q->overlay.token >> 16 & 0x7fff, pid = q->overlay.token >> 8 & 3;
    struct bp_usb_device *d = find(s, q->characteristics & 0x7f);
    struct usb_transfer *t = usb_transfer_new(&s->transfers, list, at, q->current, words, length);

    if (!t)
        return NULL;
    t->packet.token = tokens[pid];
    t->packet.endpoint = q->characteristics >> 8 & 15;
    if (length > EHCI_QTD_BYTES || pid == 3 || (pid != 1 && !copy(s, &q->overlay, t->data, length, false)))
        bp_guest_error("ehci-qtd", "EHCI: a transfer descriptor makes no sense");
    else if (d)
        usb_transfer_submit(t, d);
    return t;
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

/* The result of a transfer that has ended; it is the caller's. */
static enum result finish(struct ehci *s, uint32_t at, struct qh *q, struct bp_usb_packet *p, uint32_t *bytes)
{
    if (p->status == BP_USB_NAK)
        return NOTHING;
    q->overlay.token = result_of(s, q, p);
    *bytes += p->actual + 64;
    if (q->overlay.token & HALTED)
        s->sts |= STS_ERROR;
    if (q->overlay.token & IOC || (p->token == BP_USB_IN && p->actual < p->length))
        s->sts |= STS_INT;
    return write_mem(s, at + 24, &q->overlay.token, 4) && write_mem(s, q->current + 8, &q->overlay.token, 4) ? MOVED
                                                                                                              : STOP;
}

/* One descriptor of a queue head. */
static enum result step(struct ehci *s, uint8_t list, uint32_t at, struct qh *q, uint32_t *bytes)
{
    struct usb_transfer *t;
    uint32_t words[2];
    enum result r = NOTHING;

    if (!(q->overlay.token & (HALTED | ACTIVE)))
        r = advance(s, at, q);
    else if (q->overlay.token & ACTIVE && !(q->overlay.token & HALTED))
        r = MOVED;
    if (r != MOVED) {
        usb_transfers_leave(&s->transfers, at);
        return r;
    }
    words[0] = q->overlay.token;
    words[1] = q->overlay.buffer[0];
    t = usb_transfers_at(&s->transfers, at, q->current, words);
    if (!t)
        t = begin(s, list, at, q, words);
    if (!t || !t->ended)
        return NOTHING;
    usb_transfer_unlink(t);
    r = finish(s, at, q, &t->packet, bytes);
    usb_transfer_free(t);
    return r;
}

/* A queue head, as long as something moves. False: the controller stopped. */
static bool run_queue(struct ehci *s, uint8_t list, uint32_t at, struct qh *q, unsigned *steps, uint32_t *bytes)
{
    enum result r;

    if (!read_mem(s, at, q, sizeof(*q)))
        return false;
    if (q->characteristics & 1u << 7) { /* inactivated */
        usb_transfers_leave(&s->transfers, at);
        return true;
    }
    do
        r = step(s, list, at, q, bytes);
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
            if (!run_queue(s, EHCI_PERIODIC, link & ~31u, &q, &steps, &bytes))
                return;
            link = q.link;
        } else if (!read_mem(s, link & ~31u, &link, sizeof(link))) {
            return;
        }
    }
    usb_transfers_age(&s->transfers, EHCI_PERIODIC, link & LINK_END, EHCI_FRAMES);
}

/* Rounds, until one moves nothing. */
void ehci_async(struct ehci *s)
{
    uint32_t at = s->async & ~31u, first = at, bytes = 0, moved = 0;
    unsigned steps = 0;

    while (steps++ < EHCI_STEPS && bytes < EHCI_TURN_BYTES) {
        struct qh q;

        if (!run_queue(s, EHCI_ASYNC, at, &q, &steps, &bytes))
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

/* The doorbell (4.8.2): what the list does not lead to any more is forgotten. One that is longer than anybody's, or is
 * no circle, is left as it is. */
void ehci_forget_removed(struct ehci *s)
{
    uint32_t at = s->async & ~31u, words[2];
    unsigned n = 0;

    usb_transfers_mark(&s->transfers, EHCI_ASYNC);
    do {
        if (!s->transfers.first || !read_mem(s, at, words, sizeof(words)))
            return;
        usb_transfers_met(&s->transfers, at);
        at = words[0] & ~31u;
    } while (!(words[0] & LINK_END) && (words[0] >> 1 & 3) == TYPE_QH && at != (s->async & ~31u) && ++n < EHCI_HEADS);
    if (n < EHCI_HEADS)
        usb_transfers_sweep(&s->transfers, EHCI_ASYNC);
}
