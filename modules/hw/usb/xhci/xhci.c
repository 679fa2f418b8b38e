// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * USB 3 controllers by the eXtensible Host Controller Interface 1.2: qemu-xhci, nec-usb-xhci. Registers (chapter 5) and
 * ports (4.19). Each port of the controller has a register of USB 2 and, as far as there are, one of USB 3. Left
 * out: streams, debug capability, virtualisation, saving by the guest's CSS and CRS (which end
 * with an error, so that drivers start anew).
 */
#define BP_SHARED
#include "xhci.h"

#include <errno.h>
#include <stdlib.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(usb, struct bp_usb_interface, "usb", 1);
const struct bp_pci_interface *xhci_pci;
const struct bp_usb_interface *xhci_usb;

#define CAPS 0x40u     /* bytes before the operational registers */
#define PORTS_AT 0x440u
#define RUNTIME 0x1000u
#define DOORBELLS 0x2000u
#define TABLE 0x3000u
#define PBA 0x3800u
#define BAR_SIZE 0x4000u
#define EXTENDED 0x20u /* supported protocol capabilities */

static unsigned places(const struct xhci *s)
{
    return s->p2 > s->p3 ? s->p2 : s->p3;
}

static bool is_super(const struct xhci *s, unsigned n)
{
    return n >= s->p2;
}

void xhci_later(struct xhci *s)
{
    bp_deferred_schedule(s->work);
}

/* Endpoints have their turns one after the other, from where the last round ended. */
static void kick_all(struct xhci *s)
{
    unsigned all = s->slots * XHCI_ENDPOINTS, first = s->first % all;

    for (unsigned i = 0; i < all && s->turn_bytes < XHCI_TURN_BYTES; i++) {
        unsigned n = (first + i) % all, slot = n / XHCI_ENDPOINTS, dci = n % XHCI_ENDPOINTS + 1;

        if (!s->slot[slot].enabled || !s->slot[slot].ep[dci - 1].again)
            continue;
        xhci_kick(s, slot, dci);
        s->first = n + 1;
    }
}

static void work(void *opaque)
{
    struct xhci *s = opaque;

    if (s->busy || !s->bus)
        return;
    s->busy++;
    if (s->command_bell)
        xhci_commands(s);
    s->turn_bytes = 0;
    kick_all(s);
    if (s->turn_bytes >= XHCI_TURN_BYTES)
        xhci_later(s);
    s->busy--;
}

uint32_t xhci_microframe(const struct xhci *s)
{
    return (uint32_t)((uint64_t)(bp_virtual_ns(bp_device_machine(s->dev)) - s->epoch_ns) / 125000);
}

/* Isochronous endpoints whose time has come. */
static void due(void *opaque)
{
    struct xhci *s = opaque;
    int64_t now = bp_timer_now(s->timer), next = INT64_MAX;

    for (unsigned n = 0; n < s->slots * XHCI_ENDPOINTS; n++) {
        struct endpoint *ep = &s->slot[n / XHCI_ENDPOINTS].ep[n % XHCI_ENDPOINTS];

        if (ep->due_ns > now && ep->due_ns < next)
            next = ep->due_ns;
        ep->again |= ep->due_ns && ep->due_ns <= now;
    }
    if (next < INT64_MAX) /* others, or one that had its turn before the timer came */
        bp_timer_set(s->timer, next);
    if (s->busy)
        xhci_later(s);
    else
        work(s);
}

/* ---- ports ---- */
static void change(struct xhci *s, unsigned n, uint32_t bits)
{
    uint32_t fresh = bits & ~s->port[n].sc;

    s->port[n].sc |= bits;
    if (!fresh || !(s->usbcmd & CMD_RUN))
        return;
    s->usbsts |= STS_PCD;
    xhci_event(s, 0, (uint64_t)(n + 1) << 24, CC_SUCCESS << 24, EVENT_PORT << 10);
}

static void set_link(struct xhci *s, unsigned n, unsigned state)
{
    s->port[n].sc = (s->port[n].sc & ~(uint32_t)PORT_PLS) | state << 5;
}

static struct bp_usb_device *at(struct xhci *s, unsigned n)
{
    struct bp_usb_device *d = usb->plugged(usb->port(s->bus, is_super(s, n) ? n - s->p2 : n));

    return d && (usb->speed(d) == BP_USB_SUPER) == is_super(s, n) ? d : NULL;
}

static void enable(struct xhci *s, unsigned n, bool on)
{
    s->port[n].sc = on ? s->port[n].sc | PORT_PED : s->port[n].sc & ~(uint32_t)PORT_PED;
    usb->enable(usb->port(s->bus, is_super(s, n) ? n - s->p2 : n), on);
}

/* What the register says of what is plugged in, without changes. */
static void look(struct xhci *s, unsigned n)
{
    static const uint8_t ids[] = {[BP_USB_LOW] = 2, [BP_USB_FULL] = 1, [BP_USB_HIGH] = 3, [BP_USB_SUPER] = 4};
    struct bp_usb_device *d = at(s, n);

    s->port[n].sc &= ~(uint32_t)(PORT_CCS | PORT_PED | PORT_PR | PORT_PLS | 0xf << 10);
    s->port[n].sc |= PORT_PP;
    if (!d) {
        set_link(s, n, PLS_DETECT);
        return;
    }
    s->port[n].sc |= PORT_CCS | (uint32_t)ids[usb->speed(d)] << 10;
    set_link(s, n, is_super(s, n) ? PLS_U0 : PLS_POLLING);
    enable(s, n, is_super(s, n)); /* SuperSpeed links train by themselves */
}

static void attached(void *opaque, unsigned place)
{
    struct xhci *s = opaque;

    for (unsigned n = 0; n < s->ports; n++) {
        if ((is_super(s, n) ? n - s->p2 : n) == place && at(s, n)) {
            look(s, n);
            change(s, n, PORT_CSC);
        }
    }
}

static void detached(void *opaque, unsigned place)
{
    struct xhci *s = opaque;

    for (unsigned n = 0; n < s->ports; n++) {
        if ((is_super(s, n) ? n - s->p2 : n) != place || !(s->port[n].sc & PORT_CCS))
            continue;
        enable(s, n, false);
        look(s, n);
        change(s, n, PORT_CSC);
    }
}

static void resume(struct xhci *s, unsigned n, unsigned state)
{
    if ((s->port[n].sc & PORT_PLS) != PLS_U3 << 5)
        return;
    set_link(s, n, state);
    change(s, n, PORT_PLC);
}

static void wakeup(void *opaque, unsigned place)
{
    struct xhci *s = opaque;

    for (unsigned n = 0; n < s->ports; n++) {
        if ((is_super(s, n) ? n - s->p2 : n) == place && s->port[n].sc & PORT_PED)
            resume(s, n, is_super(s, n) ? PLS_U0 : PLS_RESUME);
    }
}

/* An endpoint that had nothing has something. */
static void ready(void *opaque, struct bp_usb_device *d, uint8_t endpoint)
{
    unsigned dci = (endpoint & 15u) * 2 + (endpoint >> 7);
    struct xhci *s = opaque;

    for (unsigned n = 0; n < s->slots && dci; n++) {
        if (!s->slot[n].enabled || xhci_device(s, &s->slot[n]) != d)
            continue;
        s->slot[n].ep[dci - 1].again = true;
        xhci_later(s);
    }
}

static void reset_port(struct xhci *s, unsigned n, bool warm)
{
    if (!at(s, n))
        return;
    usb->reset(usb->port(s->bus, is_super(s, n) ? n - s->p2 : n));
    enable(s, n, true);
    set_link(s, n, PLS_U0);
    change(s, n, warm ? PORT_PRC | PORT_WRC : PORT_PRC);
}

static void write_link(struct xhci *s, unsigned n, unsigned state)
{
    unsigned now = (s->port[n].sc & PORT_PLS) >> 5;

    if (state == PLS_U0 && s->port[n].sc & PORT_PED && now != PLS_U0) {
        set_link(s, n, PLS_U0);
        if (now != PLS_RESUME) /* it ends in U0 by itself; from Resume software brings it there */
            change(s, n, PORT_PLC);
    } else if (state == PLS_U3 && s->port[n].sc & PORT_PED && now < PLS_U3) {
        set_link(s, n, PLS_U3);
    } else if (state == PLS_RESUME && now == PLS_U3 && !is_super(s, n)) {
        set_link(s, n, PLS_RESUME);
    } else if (state == PLS_DISABLED && is_super(s, n)) {
        enable(s, n, false);
        set_link(s, n, PLS_DISABLED);
    } else if (state == PLS_DETECT && is_super(s, n) && now == PLS_DISABLED) {
        look(s, n);
    }
}

static void write_portsc(struct xhci *s, unsigned n, uint32_t v)
{
    struct port *p = &s->port[n];

    p->sc &= ~(v & PORT_CHANGES);
    p->sc = (p->sc & ~(uint32_t)PORT_WAKE) | (v & PORT_WAKE);
    if (v & PORT_WPR && is_super(s, n)) {
        reset_port(s, n, true);
        return;
    }
    if (v & PORT_PR) {
        reset_port(s, n, false);
        return;
    }
    if (v & PORT_PED && p->sc & PORT_PED) {
        enable(s, n, false);
        set_link(s, n, is_super(s, n) ? PLS_DISABLED : PLS_POLLING);
    }
    if (v & PORT_LWS)
        write_link(s, n, (v & PORT_PLS) >> 5);
}

/* ---- capability registers, 5.3 ---- */
static uint32_t protocol(const struct xhci *s, unsigned reg, bool super)
{
    switch (reg) {
    case 0:
        return 2 | (super ? 0 : 4u) << 8 | (super ? 3u : 2u) << 24;
    case 4:
        return 0x20425355; /* "USB " */
    case 8:
        return super ? (s->p2 + 1) | s->p3 << 8 : 1 | s->p2 << 8;
    default:
        return 0;
    }
}

static uint32_t read_capability(const struct xhci *s, unsigned reg)
{
    switch (reg) {
    case 0x00:
        return CAPS | 0x0100u << 16;
    case 0x04:
        return s->slots | s->intrs << 8 | s->ports << 24;
    case 0x08:
        return 0x0f; /* IST: a frame; one segment of events, no scratchpad */
    case 0x0c:
        return 0;
    case 0x10: /* 64-bit addresses, no streams, extended capabilities */
        return 1u | EXTENDED >> 2 << 16;
    case 0x14:
        return DOORBELLS;
    case 0x18:
        return RUNTIME;
    default:
        break;
    }
    if (reg >= EXTENDED && reg < EXTENDED + 0x10) {
        uint32_t v = protocol(s, reg - EXTENDED, s->p2 == 0);

        return reg == EXTENDED && !(s->p2 && s->p3) ? v & ~0xff00u : v;
    }
    return reg >= EXTENDED + 0x10 && reg < CAPS && s->p2 && s->p3 ? protocol(s, reg - EXTENDED - 0x10, true) : 0;
}

/* ---- operational registers, 5.4 ---- */
static uint32_t read_operational(const struct xhci *s, unsigned reg)
{
    if (reg >= PORTS_AT - CAPS) {
        unsigned n = (reg - (PORTS_AT - CAPS)) / 16;

        if (n >= s->ports)
            return 0;
        return (reg & 12) == 0 ? s->port[n].sc : (reg & 12) == 4 ? s->port[n].pmsc : 0;
    }
    switch (reg) {
    case 0x00:
        return s->usbcmd;
    case 0x04:
        return s->usbsts;
    case 0x08:
        return 1; /* pages of 4 KiB */
    case 0x14:
        return s->dnctrl;
    case 0x18: /* the pointer reads as 0 */
        return s->command_running ? CRCR_CRR : 0;
    case 0x30:
        return (uint32_t)s->dcbaap;
    case 0x34:
        return (uint32_t)(s->dcbaap >> 32);
    case 0x38:
        return s->config;
    default:
        return 0;
    }
}

static void host_reset(struct xhci *s)
{
    xhci_stop_all(s);
    memset(s->slot, 0, sizeof(s->slot));
    memset(s->intr, 0, sizeof(s->intr));
    memset(s->port, 0, sizeof(s->port));
    memset(&s->command, 0, sizeof(s->command));
    s->usbcmd = s->dnctrl = s->config = 0;
    s->usbsts = STS_HALTED;
    s->dcbaap = 0;
    s->command_running = s->command_bell = false;
    s->pending_count = 0;
    s->epoch_ns = bp_virtual_ns(bp_device_machine(s->dev));
    for (unsigned n = 0; n < XHCI_INTERRUPTERS; n++)
        s->intr[n].imod = 4000;
    for (unsigned n = 0; n < places(s); n++) {
        usb->enable(usb->port(s->bus, n), false);
        usb->reset(usb->port(s->bus, n));
    }
    for (unsigned n = 0; n < s->ports; n++) {
        look(s, n);
        if (s->port[n].sc & PORT_CCS)
            s->port[n].sc |= PORT_CSC;
    }
    xhci_update_irq(s);
}

static void write_usbcmd(struct xhci *s, uint32_t v)
{
    bool ran = s->usbcmd & CMD_RUN;

    if (v & CMD_RESET) {
        host_reset(s);
        return;
    }
    if (v & (CMD_CSS | CMD_CRS) && !(v & CMD_RUN))
        s->usbsts |= STS_SRE; /* nothing is kept: the driver starts anew */
    s->usbcmd = v & 0xc0e;
    if (v & CMD_RUN && !(s->usbsts & (STS_HSE | STS_HCE))) {
        s->usbcmd |= CMD_RUN;
        s->usbsts &= ~(uint32_t)STS_HALTED;
        for (unsigned n = 0; !ran && n < s->ports; n++) {
            if (s->port[n].sc & PORT_CHANGES) { /* what came before it ran is told now */
                s->usbsts |= STS_PCD;
                xhci_event(s, 0, (uint64_t)(n + 1) << 24, CC_SUCCESS << 24, EVENT_PORT << 10);
            }
        }
        xhci_later(s);
    } else {
        s->usbsts |= STS_HALTED;
        s->command_running = false;
    }
    xhci_update_irq(s);
}

static void stop_commands(struct xhci *s)
{
    s->command_running = s->command_bell = false;
    xhci_event(s, 0, s->command.dequeue, 24u << 24, EVENT_COMMAND << 10); /* command ring stopped */
}

static void write_operational(struct xhci *s, unsigned reg, uint32_t v)
{
    if (reg >= PORTS_AT - CAPS) {
        unsigned n = (reg - (PORTS_AT - CAPS)) / 16;

        if (n < s->ports && (reg & 12) == 0)
            write_portsc(s, n, v);
        else if (n < s->ports && (reg & 12) == 4)
            s->port[n].pmsc = v & (is_super(s, n) ? 0x1ffff : 0xfffffff8);
        return;
    }
    switch (reg) {
    case 0x00:
        write_usbcmd(s, v);
        break;
    case 0x04:
        s->usbsts &= ~(v & (STS_HSE | STS_EINT | STS_PCD | STS_SRE));
        break;
    case 0x14:
        s->dnctrl = v & 0xffff;
        break;
    case 0x18:
        if (s->command_running) {
            if (v & (CRCR_CS | CRCR_CA))
                stop_commands(s);
            break;
        }
        s->command.dequeue = (s->command.dequeue & ~0xffffffffull) | (v & ~63u);
        s->command.cycle = v & CRCR_RCS;
        break;
    case 0x1c:
        if (!s->command_running)
            s->command.dequeue = (uint32_t)s->command.dequeue | (uint64_t)v << 32;
        break;
    case 0x30:
        s->dcbaap = (s->dcbaap & ~0xffffffffull) | (v & ~63u);
        break;
    case 0x34:
        s->dcbaap = (uint32_t)s->dcbaap | (uint64_t)v << 32;
        break;
    case 0x38:
        s->config = v & 0xff;
        break;
    default:
        break;
    }
}

/* ---- runtime registers, 5.5 ---- */
static uint32_t read_runtime(const struct xhci *s, unsigned reg)
{
    const struct interrupter *i = &s->intr[reg >= 0x20 ? (reg - 0x20) / 32 % XHCI_INTERRUPTERS : 0];

    if (reg == 0)
        return xhci_microframe(s) & 0x3fff;
    if (reg < 0x20 || (reg - 0x20) / 32 >= s->intrs)
        return 0;
    switch (reg & 31) {
    case 0x00:
        return i->iman;
    case 0x04:
        return i->imod;
    case 0x08:
        return i->erstsz;
    case 0x10:
        return (uint32_t)i->erstba;
    case 0x14:
        return (uint32_t)(i->erstba >> 32);
    case 0x18:
        return (uint32_t)i->erdp;
    case 0x1c:
        return (uint32_t)(i->erdp >> 32);
    default:
        return 0;
    }
}

static void write_runtime(struct xhci *s, unsigned reg, uint32_t v)
{
    unsigned n = reg >= 0x20 ? (reg - 0x20) / 32 : XHCI_INTERRUPTERS;
    struct interrupter *i = &s->intr[n % XHCI_INTERRUPTERS];

    if (n >= s->intrs)
        return;
    switch (reg & 31) {
    case 0x00:
        i->iman = (i->iman & ~(v & 1) & 1) | (v & 2);
        xhci_update_irq(s);
        break;
    case 0x04:
        i->imod = v;
        break;
    case 0x08:
        i->erstsz = v & 0xffff;
        break;
    case 0x10:
        i->erstba = (i->erstba & ~0xffffffffull) | (v & ~63u);
        break;
    case 0x14:
        i->erstba = (uint32_t)i->erstba | (uint64_t)v << 32;
        if (xhci_set_ring(s, n))
            xhci_flush(s);
        break;
    case 0x18:
        i->erdp = (i->erdp & ~0xffffffffull) | (v & ~8u) | (v & 8 ? 0 : i->erdp & 8);
        break;
    case 0x1c:
        i->erdp = (uint32_t)i->erdp | (uint64_t)v << 32;
        xhci_write_erdp(s, n);
        break;
    default:
        break;
    }
}

static void ring_bell(struct xhci *s, unsigned n, uint32_t v)
{
    unsigned dci = v & 0xff;

    if (!(s->usbcmd & CMD_RUN))
        return;
    if (n == 0) {
        if (dci == 0)
            xhci_commands(s);
        return;
    }
    if (n > s->slots || dci == 0 || dci > XHCI_ENDPOINTS || !s->slot[n - 1].enabled) {
        bp_guest_error("xhci-bell", "xHCI: doorbell %u of endpoint %u: there is none", n, dci);
        return;
    }
    if (s->slot[n - 1].ep[dci - 1].state == EP_STOPPED)
        xhci_set_ep_state(s, &s->slot[n - 1].ep[dci - 1], EP_RUNNING);
    xhci_kick(s, n - 1, dci);
}

static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct xhci *s = opaque;
    unsigned reg = (unsigned)addr & ~3u;
    uint32_t v = 0;

    if (reg < CAPS)
        v = read_capability(s, reg);
    else if (reg < RUNTIME)
        v = read_operational(s, reg - CAPS);
    else if (reg < DOORBELLS)
        v = read_runtime(s, reg - RUNTIME);
    v >>= 8 * (addr & 3);
    return size == 4 ? v : v & ((1u << 8 * size) - 1);
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct xhci *s = opaque;
    unsigned reg = (unsigned)addr;

    if (size != 4 || addr & 3) {
        bp_guest_error("xhci-width", "xHCI: registers are written by 32 bits");
        return;
    }
    if (s->busy) {
        bp_guest_error("xhci-dma", "xHCI: DMA leads to the controller's own registers");
        return;
    }
    s->busy++;
    if (reg >= DOORBELLS && reg < TABLE)
        ring_bell(s, (reg - DOORBELLS) / 4, (uint32_t)value);
    else if (reg >= RUNTIME && reg < DOORBELLS)
        write_runtime(s, reg - RUNTIME, (uint32_t)value);
    else if (reg >= CAPS && reg < RUNTIME)
        write_operational(s, reg - CAPS, (uint32_t)value);
    s->busy--;
}

static const struct bp_region_ops bar_ops = {.size = sizeof(bar_ops), .read = bar_read, .write = bar_write,
                                             .min_access = 1, .max_access = 4};

/* ---- the device ---- */
static int check(const struct xhci *s, const char *type, struct bp_error *err)
{
    if (s->p2 > 15 || s->p3 > 15 || s->p2 + s->p3 == 0)
        return bp_fail(err, EINVAL, "%s: p2=%u,p3=%u: each is up to 15, and there is at least one port", type, s->p2,
                       s->p3);
    if (s->intrs == 0 || s->intrs > XHCI_INTERRUPTERS || s->intrs & (s->intrs - 1))
        return bp_fail(err, EINVAL, "%s: intrs=%u: 1, 2, 4, 8 and 16 are possible", type, s->intrs);
    if (s->slots == 0 || s->slots > XHCI_SLOTS)
        return bp_fail(err, EINVAL, "%s: slots=%u: 1 to %u are possible", type, s->slots, XHCI_SLOTS);
    return 0;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    const uint32_t two = BP_USB_SPEED(BP_USB_LOW) | BP_USB_SPEED(BP_USB_FULL) | BP_USB_SPEED(BP_USB_HIGH);
    struct xhci *s = bp_device_state(dev);
    const struct bp_usb_port_ops port_ops = {.size = sizeof(port_ops), .attached = attached, .detached = detached,
                                             .wakeup = wakeup, .ready = ready};
    struct bp_usb_bus_info info = {.size = sizeof(info), .ops = &port_ops};
    int r;

    xhci_pci = pci;
    xhci_usb = usb;
    s->dev = dev;
    s->nec = strcmp(bp_device_class(dev)->type.name, "nec-usb-xhci") == 0;
    r = check(s, bp_device_class(dev)->type.name, err);
    if (r < 0)
        return r;
    s->ports = s->p2 + s->p3;
    s->mmio = bp_region_new_io(bp_device_owner(dev), "xhci", BAR_SIZE, &bar_ops, s);
    r = pci->add_bar(dev, 0, BP_PCI_BAR_MEM64, s->mmio, err);
    if (r == 0 && s->msix)
        r = pci->msix_init(dev, s->intrs, 0, TABLE, PBA, err);
    if (r == 0 && s->msi)
        r = pci->msi_init(dev, s->intrs, false, err);
    if (r < 0)
        return r;
    s->work = bp_deferred_new(bp_device_owner(dev), NULL, work, s);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, due, s);
    info.ports = places(s);
    info.speeds = two | BP_USB_SPEED(BP_USB_SUPER);
    r = usb->new_bus(dev, &info, s, &s->bus, err);
    for (unsigned n = 0; r == 0 && n < places(s); n++)
        usb->set_speeds(usb->port(s->bus, n), (n < s->p2 ? two : 0) | (n < s->p3 ? BP_USB_SPEED(BP_USB_SUPER) : 0));
    if (r < 0) {
        usb->free_bus(s->bus);
        s->bus = NULL;
    }
    return r;
}

static void detach(struct bp_device *dev)
{
    struct xhci *s = bp_device_state(dev);

    xhci_stop_all(s);
    usb->free_bus(s->bus);
    s->bus = NULL;
}

static void xhci_reset(struct bp_device *dev)
{
    host_reset(bp_device_state(dev));
}

/* ---- state ---- */
static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct xhci *s = state;

    (void)version;
    xhci_stop_all(s);
    for (unsigned n = 0; n < XHCI_INTERRUPTERS; n++) {
        if (s->intr[n].size > 4096 || s->intr[n].at > s->intr[n].size || (s->intr[n].size &&
            s->intr[n].at == s->intr[n].size))
            return bp_fail(err, EINVAL, "xHCI: a saved event ring is impossible");
    }
    for (unsigned n = 0; n < s->pending_count; n++) {
        if (s->pending[n].interrupter >= s->intrs)
            return bp_fail(err, EINVAL, "xHCI: a saved event is of no ring");
    }
    return 0;
}

/* Devices are there, too. What was on its way is read from the rings again. */
static int loaded(void *state, struct bp_error *err)
{
    struct xhci *s = state;

    (void)err;
    for (unsigned n = 0; n < places(s); n++) {
        bool on = (n < s->p2 && s->port[n].sc & PORT_PED) || (n < s->p3 && s->port[s->p2 + n].sc & PORT_PED);

        usb->enable(usb->port(s->bus, n), on);
    }
    for (unsigned n = 0; n < s->slots; n++) {
        for (unsigned e = 0; e < XHCI_ENDPOINTS && s->slot[n].enabled; e++)
            s->slot[n].ep[e].again |= s->slot[n].ep[e].state == EP_RUNNING;
    }
    if (s->usbcmd & CMD_RUN)
        xhci_later(s);
    return 0;
}

static const struct bp_state_field ring_fields[] = {BP_SAVE(UINT64, struct ring, dequeue),
                                                    BP_SAVE(BOOL, struct ring, cycle), BP_SAVE_END};
static const struct bp_state_table ring_table = {.version = 1, .oldest = 1, .fields = ring_fields};
#define SAVE_ONE(STATE, FIELD, TABLE_) \
    {.name = #FIELD, .kind = BP_STATE_STRUCT, .offset = offsetof(STATE, FIELD), .count = 1, \
     .stride = sizeof(((STATE *)0)->FIELD), .table = TABLE_}
static const struct bp_state_field ep_fields[] = {
    BP_SAVE_RANGE(UINT8, struct endpoint, state, 0, EP_ERROR), BP_SAVE_RANGE(UINT8, struct endpoint, type, 0, 7),
    BP_SAVE(BOOL, struct endpoint, again), BP_SAVE(UINT64, struct endpoint, context),
    SAVE_ONE(struct endpoint, ring, &ring_table), BP_SAVE(UINT32, struct endpoint, residual), BP_SAVE_END};
static const struct bp_state_table ep_table = {.version = 1, .oldest = 1, .fields = ep_fields};
static const struct bp_state_field slot_fields[] = {
    BP_SAVE(BOOL, struct slot, enabled), BP_SAVE_RANGE(UINT8, struct slot, state, 0, SLOT_CONFIGURED),
    BP_SAVE(UINT8, struct slot, port), BP_SAVE(UINT32, struct slot, route), BP_SAVE(UINT64, struct slot, context),
    BP_SAVE(UINT16, struct slot, interrupter), BP_SAVE_STRUCTS(struct slot, ep, &ep_table), BP_SAVE_END};
static const struct bp_state_table slot_table = {.version = 1, .oldest = 1, .fields = slot_fields};
static const struct bp_state_field port_fields[] = {BP_SAVE(UINT32, struct port, sc),
                                                    BP_SAVE(UINT32, struct port, pmsc), BP_SAVE_END};
static const struct bp_state_table port_table = {.version = 1, .oldest = 1, .fields = port_fields};
static const struct bp_state_field intr_fields[] = {
    BP_SAVE(UINT32, struct interrupter, iman), BP_SAVE(UINT32, struct interrupter, imod),
    BP_SAVE(UINT32, struct interrupter, erstsz), BP_SAVE(UINT64, struct interrupter, erstba),
    BP_SAVE(UINT64, struct interrupter, erdp), BP_SAVE(UINT64, struct interrupter, start),
    BP_SAVE(UINT32, struct interrupter, size), BP_SAVE(UINT32, struct interrupter, at),
    BP_SAVE(BOOL, struct interrupter, cycle), BP_SAVE_END};
static const struct bp_state_table intr_table = {.version = 1, .oldest = 1, .fields = intr_fields};
static const struct bp_state_field event_fields[] = {
    BP_SAVE(UINT64, struct event, parameter), BP_SAVE(UINT32, struct event, status),
    BP_SAVE(UINT32, struct event, control), BP_SAVE(UINT32, struct event, interrupter), BP_SAVE_END};
static const struct bp_state_table event_table = {.version = 1, .oldest = 1, .fields = event_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct xhci, usbcmd), BP_SAVE(UINT32, struct xhci, usbsts), BP_SAVE(UINT32, struct xhci, dnctrl),
    BP_SAVE(UINT32, struct xhci, config), BP_SAVE(UINT64, struct xhci, dcbaap),
    SAVE_ONE(struct xhci, command, &ring_table), BP_SAVE(BOOL, struct xhci, command_running),
    BP_SAVE(BOOL, struct xhci, command_bell), BP_SAVE(UINT64, struct xhci, epoch_ns),
    BP_SAVE_STRUCTS(struct xhci, port, &port_table), BP_SAVE_STRUCTS(struct xhci, intr, &intr_table),
    BP_SAVE_STRUCTS(struct xhci, slot, &slot_table), BP_SAVE_RANGE(UINT32, struct xhci, pending_count, 0, XHCI_PENDING),
    BP_SAVE_STRUCTS(struct xhci, pending, &event_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded, .loaded_order = BP_STATE_ORDER_REQUESTS};

#define PROPS(MSI) \
    BP_PROP("p2", UINT32, struct xhci, p2, "4", "ports of USB 2, up to 15"), \
    BP_PROP("p3", UINT32, struct xhci, p3, "4", "ports of USB 3, up to 15"), \
    BP_PROP("intrs", UINT32, struct xhci, intrs, "16", "interrupters: a power of two up to 16"), \
    BP_PROP("slots", UINT32, struct xhci, slots, "64", "devices that can have an address, up to 64"), \
    BP_PROP("msix", BOOL, struct xhci, msix, "on", "interrupts as messages (MSI-X)"), \
    BP_PROP("msi", BOOL, struct xhci, msi, MSI, "interrupts as messages (MSI)"), BP_FIELDS_END
static const struct bp_field props[] = {PROPS("off")}, nec_props[] = {PROPS("on")};

static const struct bp_pci_field release[] = {{.offset = 0x60, .width = 1, .value = 0x30}, BP_PCI_FIELDS_END};
static const struct bp_pci_info qemu_info = {
    .size = sizeof(qemu_info), .vendor = 0x1b36, .device = 0x000d, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .revision = 1, .prog_if = 0x30, .class_code = 0x0c03, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT,
    .fields = release};
static const struct bp_pci_info nec_info = {
    .size = sizeof(nec_info), .vendor = 0x1033, .device = 0x0194, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .revision = 3, .prog_if = 0x30, .class_code = 0x0c03, .interrupt_pin = 1, .express = BP_PCI_EXPRESS_ENDPOINT,
    .fields = release};

BP_HOTPLUG_DEVICE(qemu_xhci, "qemu-xhci", "pci", "USB 3 controller (xHCI)", struct xhci, props, &table,
                  .category = "usb", .bus_info = &qemu_info, .attach = attach, .detach = detach, .reset = xhci_reset,
                  .firmware_name = "usb");
BP_HOTPLUG_DEVICE(nec_xhci, "nec-usb-xhci", "pci", "USB 3 controller (xHCI, NEC uPD720200)", struct xhci, nec_props,
                  &table, .category = "usb", .bus_info = &nec_info, .attach = attach, .detach = detach,
                  .reset = xhci_reset, .firmware_name = "usb");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(usb, "usb", 1), {0}};
BP_MODULE("hw-usb-xhci", "USB 3 controllers (xHCI)", imports, {BP_PROVIDE_DEVICE, &qemu_xhci},
          {BP_PROVIDE_DEVICE, &nec_xhci});
