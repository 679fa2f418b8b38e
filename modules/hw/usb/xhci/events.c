// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Event rings and interrupters (4.9.4, 4.17, 5.5.2), and reading of rings. Events that find no room wait, a bounded
 * number, and nothing new is begun meanwhile. Left out: moderation of interrupts, more than one segment.
 */
#include "xhci.h"

enum { IMAN_IP = 1, IMAN_IE = 2 };
#define ERDP_EHB 8u
#define SEGMENT_MIN 16u
#define SEGMENT_MAX 4096u

void xhci_die(struct xhci *s, uint32_t status, const char *why)
{
    bp_guest_error("xhci-died", "xHCI: %s: the controller stops until it is reset", why);
    s->usbsts |= status | STS_HALTED;
    s->usbcmd &= ~(uint32_t)CMD_RUN;
}

bool xhci_read(struct xhci *s, uint64_t at, void *buf, uint32_t size)
{
    if (xhci_pci->dma_read(s->dev, at, buf, size) == 0)
        return true;
    memset(buf, 0, size);
    return false;
}

bool xhci_write(struct xhci *s, uint64_t at, const void *buf, uint32_t size)
{
    return xhci_pci->dma_write(s->dev, at, buf, size) == 0;
}

/* ---- interrupts ---- */
static bool level(const struct xhci *s)
{
    for (unsigned n = 0; n < s->intrs; n++) {
        if ((s->intr[n].iman & (IMAN_IP | IMAN_IE)) == (IMAN_IP | IMAN_IE))
            return (s->usbcmd & CMD_INTE) != 0;
    }
    return false;
}

/* A message takes the pending bit with it (5.5.2.1). */
void xhci_update_irq(struct xhci *s)
{
    bool x = xhci_pci->msix_enabled(s->dev), m = xhci_pci->msi_enabled(s->dev);

    if (!x && !m) {
        xhci_pci->set_irq(s->dev, level(s));
        return;
    }
    for (unsigned n = 0; n < s->intrs && s->usbcmd & CMD_INTE; n++) {
        struct interrupter *i = &s->intr[n];

        if ((i->iman & (IMAN_IP | IMAN_IE)) != (IMAN_IP | IMAN_IE))
            continue;
        i->iman &= ~(uint32_t)IMAN_IP;
        if (x)
            xhci_pci->msix_notify(s->dev, n);
        else
            xhci_pci->msi_notify(s->dev, n);
    }
}

static void interrupt(struct xhci *s, struct interrupter *i)
{
    s->usbsts |= STS_EINT;
    if (i->erdp & ERDP_EHB)
        return;
    i->erdp |= ERDP_EHB;
    i->iman |= IMAN_IP;
    xhci_update_irq(s);
}

/* ---- the rings ---- */
bool xhci_set_ring(struct xhci *s, unsigned n)
{
    struct interrupter *i = &s->intr[n];
    struct { uint64_t base; uint32_t size, reserved; } segment;

    i->start = i->size = i->at = 0;
    i->cycle = true;
    if ((i->erstsz & 0xffff) == 0)
        return true;
    if ((i->erstsz & 0xffff) > 1 || !xhci_read(s, i->erstba & ~63ull, &segment, sizeof(segment)) ||
        (segment.size & 0xffff) < SEGMENT_MIN || (segment.size & 0xffff) > SEGMENT_MAX) {
        xhci_die(s, STS_HCE, "an event ring has an impossible segment table");
        return false;
    }
    i->start = segment.base & ~63ull;
    i->size = segment.size & 0xffff;
    return true;
}

static bool is_full(const struct interrupter *i)
{
    uint64_t dequeue = ((i->erdp & ~15ull) - i->start) / 16;

    return dequeue < i->size && (i->at + 1) % i->size == dequeue;
}

static void put(struct xhci *s, const struct event *e)
{
    struct interrupter *i = &s->intr[e->interrupter];
    const struct { uint64_t parameter; uint32_t status, control; } bytes = {
        e->parameter, e->status, (e->control & ~TRB_C) | i->cycle};

    if (!xhci_write(s, i->start + 16ull * i->at, &bytes, 8 + 4)) { /* the cycle bit last */
        xhci_die(s, STS_HSE, "an event ring is where no memory is");
        return;
    }
    xhci_write(s, i->start + 16ull * i->at + 12, &bytes.control, 4);
    if (++i->at == i->size) {
        i->at = 0;
        i->cycle = !i->cycle;
    }
    interrupt(s, i);
}

void xhci_event(struct xhci *s, uint32_t interrupter, uint64_t parameter, uint32_t status, uint32_t control)
{
    const struct event e = {parameter, status, control, interrupter < s->intrs ? interrupter : 0};
    const struct interrupter *i = &s->intr[e.interrupter];

    if (s->usbsts & (STS_HSE | STS_HCE) || i->size == 0)
        return;
    if (s->pending_count == 0 && !is_full(i))
        put(s, &e);
    else if (s->pending_count < XHCI_PENDING)
        s->pending[s->pending_count++] = e;
    else
        xhci_die(s, STS_HCE, "events are not taken from their ring");
}

bool xhci_has_room(const struct xhci *s)
{
    return s->pending_count == 0;
}

void xhci_flush(struct xhci *s)
{
    uint32_t n = 0;

    while (n < s->pending_count && s->intr[s->pending[n].interrupter].size &&
           !is_full(&s->intr[s->pending[n].interrupter]) && !(s->usbsts & (STS_HSE | STS_HCE)))
        put(s, &s->pending[n++]);
    s->pending_count -= n;
    memmove(s->pending, s->pending + n, s->pending_count * sizeof(s->pending[0]));
    if (n && s->pending_count == 0)
        xhci_later(s);
}

/* After its dequeue pointer was written: what came meanwhile is told of again. */
void xhci_write_erdp(struct xhci *s, unsigned n)
{
    struct interrupter *i = &s->intr[n];

    if (!(i->erdp & ERDP_EHB) && i->size && i->start + 16ull * i->at != (i->erdp & ~15ull))
        interrupt(s, i);
    xhci_flush(s);
}

int xhci_fetch(struct xhci *s, struct ring *ring, struct trb *ret)
{
    struct { uint64_t parameter; uint32_t status, control; } t;

    for (unsigned links = 0; links <= XHCI_LINKS; links++) {
        if (!xhci_read(s, ring->dequeue, &t, sizeof(t)))
            return -1;
        if ((t.control & TRB_C) != (ring->cycle ? TRB_C : 0))
            return 0;
        if ((t.control >> 10 & 0x3f) != TRB_LINK) {
            *ret = (struct trb){t.parameter, t.status, t.control, ring->dequeue};
            ring->dequeue += 16;
            return 1;
        }
        ring->dequeue = t.parameter & ~15ull;
        if (t.control & TRB_TC)
            ring->cycle = !ring->cycle;
    }
    return -1;
}
