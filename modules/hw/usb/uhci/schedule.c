// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The schedule (UHCI 1.1, chapter 3): a frame's list of transfer descriptors and queue heads. Each frame looks at a
 * bounded number of them and moves as many bytes as a frame has; a circle of queue heads in which nothing moves ends
 * it.
 * A descriptor whose packet is on its way stays active; its result is written when it is met again.
 */
#include <stdlib.h>

#include "uhci.h"

enum { LINK_END = 1, LINK_QUEUE = 2, LINK_DEPTH = 4 };
enum { TD_ACTIVE = 1 << 23, TD_STALLED = 1 << 22, TD_BABBLE = 1 << 20, TD_NAK = 1 << 19, TD_TIMEOUT = 1 << 18,
       TD_IOC = 1 << 24, TD_ISO = 1 << 25, TD_ERRORS = 3 << 27, TD_SHORT = 1 << 29 };
enum { PID_IN = 0x69, PID_OUT = 0xe1, PID_SETUP = 0x2d };

struct td {
    uint32_t link, control, token, buffer;
};

enum result { GO_ON, NEXT_QUEUE, STOP };

static void die(struct uhci *s, unsigned bits, const char *why)
{
    bp_guest_error("uhci-died", "UHCI: %s: the controller stops", why);
    s->sts |= (uint16_t)(bits | STS_HALTED);
    s->cmd &= (uint16_t)~CMD_RS;
    usb_transfers_cancel_all(&s->transfers);
    uhci_update_irq(s);
}

static bool read_mem(struct uhci *s, uint32_t at, void *buf, uint32_t size)
{
    if (uhci_pci->dma_read(s->dev, at, buf, size) == 0)
        return true;
    die(s, STS_HSE, "its schedule is where no memory is");
    return false;
}

static bool write_mem(struct uhci *s, uint32_t at, const void *buf, uint32_t size)
{
    if (uhci_pci->dma_write(s->dev, at, buf, size) == 0)
        return true;
    die(s, STS_HSE, "it writes to where no memory is");
    return false;
}

static struct bp_usb_device *find(struct uhci *s, uint8_t address)
{
    struct bp_usb_device *d = NULL;

    for (unsigned n = 0; !d && n < UHCI_PORTS; n++) {
        if (s->port[n] & PORT_PE && !(s->port[n] & PORT_SUSPEND))
            d = uhci_usb->find(uhci_port(s, n), address);
    }
    return d;
}

static uint32_t length_of(const struct td *td)
{
    return ((td->token >> 21) + 1) & 0x7ff;
}

/* Makes a transfer of a descriptor and sends it; NULL: the controller stopped, or there is no memory. */
static struct usb_transfer *begin(struct uhci *s, uint32_t at, const struct td *td, const uint32_t words[2])
{
    uint8_t pid = (uint8_t)td->token;
    uint32_t length = length_of(td);
    struct bp_usb_device *d = find(s, td->token >> 8 & 0x7f);
    struct usb_transfer *t = usb_transfer_new(&s->transfers, 0, at, at, words, length);

    if (!t)
        return NULL;
    t->packet.token = pid == PID_IN ? BP_USB_IN : pid == PID_OUT ? BP_USB_OUT : BP_USB_SETUP;
    t->packet.endpoint = td->token >> 15 & 15;
    t->packet.frame = td->control & TD_ISO ? s->frnum : 0;
    if (pid != PID_IN && length && !read_mem(s, td->buffer, t->data, length)) {
        usb_transfer_free(t);
        return NULL;
    }
    if (d)
        usb_transfer_submit(t, d);
    return t;
}

/* The result goes into the descriptor. */
static enum result finish(struct uhci *s, uint32_t at, struct td *td, const struct bp_usb_packet *p, bool queued,
                          unsigned *causes)
{
    enum result r = GO_ON;
    bool is_short = false;

    td->control &= ~(uint32_t)(TD_ACTIVE | TD_NAK | 0x7ff);
    switch (p->status) {
    case BP_USB_OK:
        td->control |= (p->actual - 1) & 0x7ff;
        if (p->token == BP_USB_IN && p->actual && !write_mem(s, td->buffer, p->data, p->actual))
            return STOP;
        is_short = p->token == BP_USB_IN && p->actual < p->length && td->control & TD_SHORT;
        if (is_short) {
            *causes |= INTR_SHORT;
            r = queued ? NEXT_QUEUE : GO_ON;
        }
        break;
    case BP_USB_STALL:
        td->control |= TD_STALLED | 0x7ff;
        r = NEXT_QUEUE;
        break;
    case BP_USB_BABBLE:
        td->control |= TD_STALLED | TD_BABBLE | 0x7ff;
        r = NEXT_QUEUE;
        break;
    default: /* nobody answered, three times */
        td->control = (td->control & ~(uint32_t)TD_ERRORS) | TD_STALLED | TD_TIMEOUT | 0x7ff;
        r = NEXT_QUEUE;
        break;
    }
    if (r == NEXT_QUEUE && !is_short)
        s->sts |= STS_ERROR;
    if (td->control & TD_IOC)
        *causes |= INTR_IOC;
    return write_mem(s, at + 4, &td->control, 4) ? r : STOP;
}

/* It has its one chance in this frame, whatever the device says (3.2.2: no handshake, never stalled). */
static enum result run_isochronous(struct uhci *s, uint32_t at, struct td *td, const uint32_t words[2],
                                   unsigned *causes, uint32_t *bytes)
{
    struct usb_transfer *t = begin(s, at, td, words);
    struct bp_usb_packet *p;

    if (!t)
        return STOP;
    p = &t->packet;
    td->control &= ~(uint32_t)(TD_ACTIVE | TD_NAK | 0x7ff);
    if (!t->ended || p->status == BP_USB_NAK)
        p->actual = 0; /* nothing this time */
    else if (p->status != BP_USB_OK)
        td->control |= TD_TIMEOUT;
    if (p->token == BP_USB_IN && p->actual && !write_mem(s, td->buffer, t->data, p->actual)) {
        usb_transfer_free(t);
        return STOP;
    }
    td->control |= (p->actual - 1) & 0x7ff;
    *bytes += p->length + 16;
    if (td->control & TD_TIMEOUT)
        s->sts |= STS_ERROR;
    if (td->control & TD_IOC)
        *causes |= INTR_IOC;
    usb_transfer_free(t);
    return write_mem(s, at + 4, &td->control, 4) ? GO_ON : STOP;
}

static enum result run_td(struct uhci *s, uint32_t at, struct td *td, bool queued, unsigned *causes, uint32_t *bytes)
{
    const uint32_t words[2] = {td->token, td->buffer};
    uint8_t pid = (uint8_t)td->token;
    struct usb_transfer *t;
    enum result r;

    if (!(td->control & TD_ACTIVE)) {
        usb_transfers_leave(&s->transfers, at);
        if (td->control & TD_IOC && !queued)
            *causes |= INTR_IOC;
        return NEXT_QUEUE;
    }
    if ((pid != PID_IN && pid != PID_OUT && pid != PID_SETUP) || length_of(td) > UHCI_FRAME_BYTES) {
        die(s, STS_HCPE, "a transfer descriptor makes no sense");
        return STOP;
    }
    if (td->control & TD_ISO)
        return run_isochronous(s, at, td, words, causes, bytes);
    t = usb_transfers_at(&s->transfers, at, at, words);
    if (!t)
        t = begin(s, at, td, words);
    if (!t)
        return STOP;
    if (!t->ended)
        return NEXT_QUEUE;
    usb_transfer_unlink(t);
    if (t->packet.status == BP_USB_NAK) {
        usb_transfer_free(t);
        td->control |= TD_NAK;
        return write_mem(s, at + 4, &td->control, 4) ? NEXT_QUEUE : STOP;
    }
    *bytes += t->packet.length + 16; /* with what is around it */
    r = finish(s, at, td, &t->packet, queued, causes);
    usb_transfer_free(t);
    return r;
}

/* A queue head: its first element, and as many more as it says. Gives what comes after it. */
static bool run_queue(struct uhci *s, uint32_t at, uint32_t *ret_next, unsigned *steps, unsigned *causes,
                      uint32_t *bytes)
{
    uint32_t head[2];
    enum result r = GO_ON;

    if (!read_mem(s, at, head, sizeof(head)))
        return false;
    *ret_next = head[0];
    if (head[1] & LINK_END)
        return true;
    if (head[1] & LINK_QUEUE) { /* queues within a queue */
        *ret_next = head[1];
        return true;
    }
    while (r == GO_ON && !(head[1] & (LINK_END | LINK_QUEUE)) && ++*steps < UHCI_FRAME_STEPS &&
           *bytes < UHCI_FRAME_BYTES) {
        struct td td;
        bool down;

        if (!read_mem(s, head[1] & ~15u, &td, sizeof(td)))
            return false;
        down = td.link & LINK_DEPTH;
        r = run_td(s, head[1] & ~15u, &td, true, causes, bytes);
        if (r == STOP)
            return false;
        if (r != GO_ON)
            break;
        head[1] = td.link;
        if (!write_mem(s, at + 4, &head[1], 4))
            return false;
        if (!down)
            break;
    }
    return true;
}

void uhci_frame(struct uhci *s)
{
    uint32_t link, bytes = 0, first_queue = LINK_END, moved = 0;
    unsigned steps = 0, causes = 0;
    bool whole = false;

    if (!read_mem(s, s->base + 4u * (s->frnum & 1023), &link, sizeof(link)))
        return;
    while (!(link & LINK_END) && steps++ < UHCI_FRAME_STEPS && bytes < UHCI_FRAME_BYTES) {
        uint32_t at = link & ~15u;

        if (link & LINK_QUEUE) {
            /* Once around without anything that moved: enough for this frame. */
            if (at == first_queue && bytes == moved) {
                whole = true;
                break;
            }
            if (first_queue == LINK_END || bytes != moved) {
                first_queue = at;
                moved = bytes;
            }
            if (!run_queue(s, at, &link, &steps, &causes, &bytes))
                break;
        } else {
            struct td td;

            if (!read_mem(s, at, &td, sizeof(td)) || run_td(s, at, &td, false, &causes, &bytes) == STOP)
                break;
            link = td.link;
        }
    }
    whole |= (link & LINK_END) != 0;
    usb_transfers_age(&s->transfers, 0, whole, UHCI_FRAMES);
    if (causes) {
        s->sts |= STS_USBINT;
        s->causes |= (uint8_t)causes;
    }
    uhci_update_irq(s);
}
