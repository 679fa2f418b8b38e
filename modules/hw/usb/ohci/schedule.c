// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Lists of endpoint descriptors (OHCI 1.0a, chapters 4 and 6): a transfer descriptor becomes one packet. A frame looks
 * at a bounded number of them. Isochronous ones have up to eight, one for each frame. Left out: delays of interrupts.
 */
#include <stdlib.h>

#include "ohci.h"

enum { ED_SKIP = 1 << 14, ED_ISO = 1 << 15, ED_HALTED = 1, ED_CARRY = 2 };
enum { TD_ROUNDING = 1 << 18 };
enum { CC_OK = 0, CC_STALL = 4, CC_SILENT = 5, CC_OVERRUN = 8, CC_UNDERRUN = 9, CC_BUFFER = 12 };

static const uint8_t codes[] = {[BP_USB_OK] = CC_OK, [BP_USB_STALL] = CC_STALL, [BP_USB_BABBLE] = CC_OVERRUN,
                                [BP_USB_ERROR] = CC_SILENT, [BP_USB_GONE] = CC_SILENT};

struct ed {
    uint32_t flags, tail, head, next;
};

struct td {
    uint32_t flags, buffer, next, end;
};

struct itd { /* isochronous, 4.3.2 */
    uint32_t flags, page, next, end;
    uint16_t offset[8]; /* packet status words, when they are done */
};

static bool die(struct ohci *s, const char *why)
{
    bp_guest_error("ohci-died", "OHCI: %s: the controller stops", why);
    s->status |= INT_UE;
    s->control &= ~(uint32_t)CTL_STATE; /* of itself it goes to its reset state */
    usb_transfers_cancel_all(&s->transfers);
    return false;
}

static bool read_mem(struct ohci *s, uint32_t at, void *buf, uint32_t size)
{
    return ohci_pci->dma_read(s->dev, at, buf, size) == 0 || die(s, "its lists are where no memory is");
}

static bool write_mem(struct ohci *s, uint32_t at, const void *buf, uint32_t size)
{
    return ohci_pci->dma_write(s->dev, at, buf, size) == 0 || die(s, "it writes to where no memory is");
}

static uint32_t length_of(const struct td *t)
{
    if (t->buffer == 0)
        return 0;
    if ((t->buffer ^ t->end) & ~0xfffu)
        return 0x1000 - (t->buffer & 0xfff) + (t->end & 0xfff) + 1;
    return t->end >= t->buffer ? t->end - t->buffer + 1 : OHCI_TD_BYTES + 1;
}

/* The byte after `n` of its buffer: what is not on the first page is on that of the end. */
static uint32_t address_of(const struct td *t, uint32_t n)
{
    uint32_t first = 0x1000 - (t->buffer & 0xfff);

    return n < first ? t->buffer + n : (t->end & ~0xfffu) + (n - first);
}

static bool copy(struct ohci *s, const struct td *t, uint8_t *data, uint32_t length, bool to_memory)
{
    for (uint32_t at = 0; at < length;) {
        uint32_t where = address_of(t, at), n = 0x1000 - (where & 0xfff);

        if (n > length - at)
            n = length - at;
        if ((to_memory ? ohci_pci->dma_write(s->dev, where, data + at, n)
                       : ohci_pci->dma_read(s->dev, where, data + at, n)) < 0)
            return false;
        at += n;
    }
    return true;
}

static struct bp_usb_device *find(struct ohci *s, uint8_t address)
{
    struct bp_usb_device *d = NULL;

    for (unsigned n = 0; !d && n < s->ports; n++) {
        if ((s->port[n] & (PORT_PES | PORT_PSS)) == PORT_PES)
            d = ohci_usb->find(ohci_port(s, n), address);
    }
    return d;
}

static struct usb_transfer *begin(struct ohci *s, uint8_t list, uint32_t at, const struct ed *e, const struct td *t,
                                  const uint32_t words[2])
{
    static const uint8_t tokens[] = {BP_USB_SETUP, BP_USB_OUT, BP_USB_IN, BP_USB_OUT};
    uint32_t length = length_of(t), way = e->flags >> 11 & 3;
    bool sense = length <= OHCI_TD_BYTES;
    struct usb_transfer *p = usb_transfer_new(&s->transfers, list, at, e->head & ~15u, words, sense ? length : 0);
    struct bp_usb_device *d = find(s, e->flags & 0x7f);

    if (!p)
        return NULL;
    if (way == 0 || way == 3)
        way = t->flags >> 19 & 3;
    p->packet.token = tokens[way];
    p->packet.endpoint = e->flags >> 7 & 15;
    if (!sense || way == 3 || (way != 2 && !copy(s, t, p->data, length, false)))
        bp_guest_error("ohci-td", "OHCI: a transfer descriptor makes no sense");
    else if (d)
        usb_transfer_submit(p, d);
    return p;
}

/* The result goes into the descriptors, and this one onto the list of those that are done. */
static bool retire(struct ohci *s, uint32_t at, struct ed *e, struct td *t, const struct bp_usb_packet *p)
{
    uint32_t most = e->flags >> 16 & 0x7ff, code = codes[p->status], where = e->head & ~15u;

    if (code == CC_OK && p->token == BP_USB_IN && !copy(s, t, p->data, p->actual, true))
        code = CC_BUFFER;
    if (code == CC_OK && p->actual < p->length) {
        t->buffer = address_of(t, p->actual);
        if (!(t->flags & TD_ROUNDING))
            code = CC_UNDERRUN;
    } else if (code == CC_OK) {
        t->buffer = 0;
    }
    if (code == CC_OK && (most == 0 || (p->actual + (p->actual ? most - 1 : most)) / most % 2))
        e->head ^= ED_CARRY;
    t->flags = (t->flags & 0x03ffffff) | code << 28;
    e->head = (t->next & ~15u) | (e->head & ED_CARRY) | (code == CC_OK ? 0 : ED_HALTED);
    t->next = s->done;
    s->done = where;
    return write_mem(s, where, t, 12) && write_mem(s, at + 8, &e->head, 4);
}

struct walk { /* through a list */
    uint8_t list;
    unsigned steps;
    uint32_t bytes;
    bool work, whole; /* there is some in it; it came to its end */
};

static bool goes_on(const struct walk *w)
{
    return w->steps < OHCI_STEPS && w->bytes < OHCI_FRAME_BYTES;
}

/* Of a packet's bytes that are on the first page, or on the last one. */
static bool copy_packet(struct ohci *s, const struct itd *t, uint32_t offset, uint8_t *data, uint32_t length,
                        bool to_memory)
{
    for (uint32_t at = 0; at < length;) {
        uint32_t where = ((offset + at) & 0x1000 ? t->end & ~0xfffu : t->page & ~0xfffu) + ((offset + at) & 0xfff);
        uint32_t n = 0x1000 - (where & 0xfff);

        if (n > length - at)
            n = length - at;
        if ((to_memory ? ohci_pci->dma_write(s->dev, where, data + at, n)
                       : ohci_pci->dma_read(s->dev, where, data + at, n)) < 0)
            return false;
        at += n;
    }
    return true;
}

/* The packet of this frame: its status word. It has one chance. */
static uint16_t move_packet(struct ohci *s, struct walk *w, uint32_t at, const struct ed *e, const struct itd *t,
                            uint32_t n)
{
    static const uint32_t words[2];
    uint32_t last = t->flags >> 24 & 7, from = t->offset[n] & 0x1fff, way = e->flags >> 11 & 3, length, code = CC_OK;
    uint32_t to = n < last ? t->offset[n + 1] & 0x1fff
                           : ((t->end ^ t->page) & ~0xfffu ? 0x1000u : 0) + (t->end & 0xfff) + 1;
    struct bp_usb_device *d = find(s, e->flags & 0x7f);
    struct usb_transfer *p;

    length = to >= from ? to - from : OHCI_ISO_BYTES + 1;
    p = length <= OHCI_ISO_BYTES && (way == 1 || way == 2)
            ? usb_transfer_new(&s->transfers, w->list, at, e->head & ~15u, words, length) : NULL;
    if (!p || (way == 1 && !copy_packet(s, t, from, p->data, length, false))) {
        if (p)
            usb_transfer_free(p);
        return CC_BUFFER << 12;
    }
    p->packet.token = way == 1 ? BP_USB_OUT : BP_USB_IN;
    p->packet.endpoint = e->flags >> 7 & 15;
    p->packet.frame = s->number;
    if (d)
        usb_transfer_submit(p, d);
    if (!p->ended || p->packet.status == BP_USB_NAK)
        p->packet.actual = 0; /* nothing this time */
    else if (p->packet.status != BP_USB_OK)
        code = codes[p->packet.status];
    if (code == CC_OK && way == 2)
        code = !copy_packet(s, t, from, p->data, p->packet.actual, true) ? CC_BUFFER
               : p->packet.actual < length                               ? CC_UNDERRUN
                                                                         : CC_OK;
    n = way == 2 && (code == CC_OK || code == CC_UNDERRUN) ? p->packet.actual : 0;
    w->bytes += length + 16;
    usb_transfer_free(p);
    return (uint16_t)(code << 12 | n);
}

/* Onto the list of what is done. */
static bool retire_packets(struct ohci *s, uint32_t at, struct ed *e, struct itd *t, uint32_t code)
{
    uint32_t where = e->head & ~15u;

    t->flags = (t->flags & 0x0fffffff) | code << 28;
    e->head = (t->next & ~15u) | (e->head & ED_CARRY);
    t->next = s->done;
    s->done = where;
    return write_mem(s, where, t, 12) && write_mem(s, at + 8, &e->head, 4);
}

/* An endpoint that is isochronous: what was for frames that are over is given back (4.3.2.3.3). */
static bool run_isochronous(struct ohci *s, struct walk *w, uint32_t at, struct ed *e)
{
    while (!(e->flags & ED_SKIP) && !(e->head & ED_HALTED) && (e->head & ~15u) != (e->tail & ~15u) && goes_on(w)) {
        struct itd t;
        int32_t n;

        w->steps++;
        w->work = true;
        if (!read_mem(s, e->head & ~15u, &t, sizeof(t)))
            return false;
        n = (int16_t)(uint16_t)(s->number - t.flags);
        if (n < 0)
            return true; /* its first frame is to come */
        if (n > (int32_t)(t.flags >> 24 & 7)) {
            if (!retire_packets(s, at, e, &t, CC_OVERRUN))
                return false;
            continue;
        }
        t.offset[n] = move_packet(s, w, at, e, &t, (uint32_t)n);
        if (!write_mem(s, (e->head & ~15u) + 16 + 2 * (uint32_t)n, &t.offset[n], 2))
            return false;
        return n < (int32_t)(t.flags >> 24 & 7) || retire_packets(s, at, e, &t, CC_OK);
    }
    return true;
}

/* One endpoint; false: the controller stopped. */
static bool run_endpoint(struct ohci *s, struct walk *w, uint32_t at, struct ed *e)
{
    if (!read_mem(s, at, e, sizeof(*e)))
        return false;
    if (e->flags & ED_ISO)
        return run_isochronous(s, w, at, e);
    while (!(e->flags & ED_SKIP) && !(e->head & ED_HALTED) && (e->head & ~15u) != (e->tail & ~15u) &&
           goes_on(w)) {
        struct usb_transfer *p;
        uint32_t words[2];
        bool fine = true;
        struct td t;

        w->steps++;
        w->work = true;
        if (!read_mem(s, e->head & ~15u, &t, sizeof(t)))
            return false;
        words[0] = t.flags;
        words[1] = t.buffer;
        p = usb_transfers_at(&s->transfers, at, e->head & ~15u, words);
        if (!p)
            p = begin(s, w->list, at, e, &t, words);
        if (!p || !p->ended)
            return true;
        usb_transfer_unlink(p);
        if (p->packet.status == BP_USB_NAK) {
            usb_transfer_free(p);
            return true;
        }
        w->bytes += p->packet.actual + 64;
        fine = retire(s, at, e, &t, &p->packet);
        usb_transfer_free(p);
        if (!fine)
            return false;
    }
    return true;
}

/* 5.2.7: a driver has the list stand still, or the endpoint skipped, for a frame before it takes one off. */
static void run_list(struct ohci *s, struct walk *w, uint32_t at)
{
    while (at && goes_on(w)) {
        struct ed e;

        w->steps++;
        if (!run_endpoint(s, w, at, &e))
            return;
        at = e.next & ~15u;
    }
    w->whole = at == 0;
}

/* Control or bulk: each frame comes by all of it. */
static void run_whole(struct ohci *s, struct walk *w, uint32_t enabled, uint32_t filled, uint32_t at)
{
    usb_transfers_mark(&s->transfers, w->list);
    w->steps = 0; /* each has its share */
    w->work = false;
    w->whole = true;
    if (s->control & enabled && s->command & filled) {
        w->whole = false;
        run_list(s, w, at);
        if (w->whole && !w->work)
            s->command &= ~filled;
    }
    if (w->whole)
        usb_transfers_sweep(&s->transfers, w->list);
}

static void tell_done(struct ohci *s)
{
    uint32_t head = s->done | ((s->status & s->enabled & ~(uint32_t)INT_WDH) != 0);

    if (!s->done || s->status & INT_WDH || !write_mem(s, s->hcca + 0x84, &head, 4))
        return;
    s->done = 0;
    s->status |= INT_WDH;
}

void ohci_frame(struct ohci *s)
{
    struct walk w = {.list = OHCI_PERIODIC};
    uint32_t head = 0, number;

    s->number = (s->number + 1) & 0xffff;
    number = s->number;
    if (!(s->number & 0x7fff))
        s->status |= INT_FNO;
    if (!write_mem(s, s->hcca + 0x80, &number, 4))
        return;
    s->status |= INT_SF;
    if (!(s->control & CTL_PLE))
        usb_transfers_cancel(&s->transfers, w.list);
    else if (read_mem(s, s->hcca + 4 * (s->number & 31), &head, 4))
        run_list(s, &w, head & ~15u);
    usb_transfers_age(&s->transfers, w.list, w.whole, OHCI_FRAMES);
    w.list = OHCI_CONTROL;
    run_whole(s, &w, CTL_CLE, CMD_CLF, s->control_head);
    w.list = OHCI_BULK;
    run_whole(s, &w, CTL_BLE, CMD_BLF, s->bulk_head);
    if ((s->control & CTL_STATE) == CTL_OPERATIONAL)
        tell_done(s);
}
