// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * USB 2.0 controllers by the Enhanced Host Controller Interface 1.0: those of ICH9, and usb-ehci. Registers, ports, and
 * their way to companion controllers (4.2). Left out: 64-bit addresses, frame lists of other lengths than 1024,
 * asynchronous park mode, legacy support.
 */
#define BP_SHARED
#include "ehci.h"

#include <errno.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(usb, struct bp_usb_interface, "usb", 1);
const struct bp_pci_interface *ehci_pci;
const struct bp_usb_interface *ehci_usb;

#define CAPS 0x20u
#define BAR_SIZE 0x1000u
#define FRAME_NS INT64_C(1000000)
#define BEHIND 8
#define SLOW (BP_USB_SPEED(BP_USB_LOW) | BP_USB_SPEED(BP_USB_FULL))

void ehci_update_irq(struct ehci *s)
{
    pci->set_irq(s->dev, (s->sts & s->intr & 0x3f) != 0);
}

/* ---- ports ---- */
static void change(struct ehci *s, unsigned n, uint32_t bits)
{
    s->port[n] |= bits;
    s->sts |= STS_PORT;
    ehci_update_irq(s);
}

static void comes(struct ehci *s, unsigned n)
{
    struct bp_usb_port *port = usb->port(s->bus, n);
    struct companion *c = &s->companion[n];

    usb->enable(port, false);
    if (s->port[n] & PORT_OWNER) {
        if (usb->negotiate(port, SLOW) && c->opaque && c->ops.attached)
            c->ops.attached(c->opaque, c->n);
        return;
    }
    if (!usb->negotiate(port, UINT32_MAX))
        return;
    s->port[n] &= ~(uint32_t)(PORT_LINE | PORT_PED | PORT_SUSPEND | PORT_FPR);
    s->port[n] |= PORT_CCS | (usb->speed(usb->plugged(port)) == BP_USB_LOW ? 1u : 2u) << 10;
    change(s, n, PORT_CSC);
}

static void goes(struct ehci *s, unsigned n)
{
    struct companion *c = &s->companion[n];

    if (s->port[n] & PORT_OWNER) {
        if (c->opaque && c->ops.detached)
            c->ops.detached(c->opaque, c->n);
        return;
    }
    if (!(s->port[n] & PORT_CCS))
        return;
    usb->enable(usb->port(s->bus, n), false);
    if (s->port[n] & PORT_PED)
        s->port[n] |= PORT_PEDC;
    s->port[n] &= ~(uint32_t)(PORT_CCS | PORT_PED | PORT_SUSPEND | PORT_FPR | PORT_LINE);
    change(s, n, PORT_CSC);
}

static void attached(void *opaque, unsigned n)
{
    comes(opaque, n);
}

/* The port comes back when what a companion had has gone (4.2.2). */
static void detached(void *opaque, unsigned n)
{
    struct ehci *s = opaque;

    goes(s, n);
    if (s->configured)
        s->port[n] &= ~(uint32_t)PORT_OWNER;
}

static void wakeup(void *opaque, unsigned n)
{
    struct ehci *s = opaque;
    struct companion *c = &s->companion[n];

    if (s->port[n] & PORT_OWNER && c->opaque && c->ops.wakeup)
        c->ops.wakeup(c->opaque, c->n);
    else if (s->port[n] & PORT_SUSPEND)
        change(s, n, PORT_FPR);
}

static void set_owner(struct ehci *s, unsigned n, bool companion)
{
    if (companion == ((s->port[n] & PORT_OWNER) != 0))
        return;
    if (usb->plugged(usb->port(s->bus, n)))
        goes(s, n);
    s->port[n] = companion ? s->port[n] | PORT_OWNER : s->port[n] & ~(uint32_t)PORT_OWNER;
    if (usb->plugged(usb->port(s->bus, n)))
        comes(s, n);
}

static void end_reset(struct ehci *s, unsigned n)
{
    struct bp_usb_port *port = usb->port(s->bus, n);

    s->port[n] &= ~(uint32_t)(PORT_RESET | PORT_SUSPEND | PORT_FPR);
    if (!(s->port[n] & PORT_CCS))
        return;
    usb->reset(port);
    if (usb->plugged(port) && usb->speed(usb->plugged(port)) == BP_USB_HIGH) {
        s->port[n] = (s->port[n] & ~(uint32_t)PORT_LINE) | PORT_PED;
        usb->enable(port, true);
    }
}

static void write_port(struct ehci *s, unsigned n, uint32_t v)
{
    s->port[n] &= ~(v & (PORT_CSC | PORT_PEDC | 1u << 5));
    s->port[n] = (s->port[n] & ~(uint32_t)PORT_WAKE) | (v & PORT_WAKE);
    set_owner(s, n, (v & PORT_OWNER) != 0 || !s->configured);
    if (s->port[n] & PORT_OWNER)
        return;
    if (v & PORT_RESET) {
        s->port[n] = (s->port[n] & ~(uint32_t)PORT_PED) | PORT_RESET;
        usb->enable(usb->port(s->bus, n), false);
        return;
    }
    if (s->port[n] & PORT_RESET) {
        end_reset(s, n); /* whatever this write has for the bit that enables it */
        return;
    }
    if (!(v & PORT_PED) && s->port[n] & PORT_PED) {
        s->port[n] &= ~(uint32_t)(PORT_PED | PORT_SUSPEND | PORT_FPR);
        usb->enable(usb->port(s->bus, n), false);
    }
    if (v & PORT_SUSPEND && s->port[n] & PORT_PED)
        s->port[n] |= PORT_SUSPEND;
    if (v & PORT_FPR && s->port[n] & PORT_SUSPEND)
        s->port[n] |= PORT_FPR;
    else if (!(v & PORT_FPR) && s->port[n] & PORT_FPR)
        s->port[n] &= ~(uint32_t)(PORT_FPR | PORT_SUSPEND);
}

/* ---- time ---- */
static void frame(struct ehci *s)
{
    if (s->cmd & CMD_PSE && s->cmd & CMD_RS)
        ehci_periodic(s);
    s->frindex = (s->frindex + 8) & 0x3fff;
    if ((s->frindex & 0x1fff) == 0)
        s->sts |= STS_ROLLOVER;
    usb_transfers_age(&s->transfers, EHCI_ASYNC, false, EHCI_PATIENCE);
}

/* A packet has: the schedule finds it now rather than at the next frame. */
static void ended(void *opaque)
{
    struct ehci *s = opaque;

    if (s->cmd & CMD_RS)
        bp_timer_set(s->timer, bp_timer_now(s->timer));
}

static void run(void *opaque)
{
    struct ehci *s = opaque;
    int64_t now = bp_timer_now(s->timer);

    if (s->busy)
        return;
    s->busy++;
    if (now - s->next_ns > BEHIND * FRAME_NS)
        s->next_ns = now - BEHIND * FRAME_NS;
    while (s->cmd & CMD_RS && s->next_ns <= now) {
        frame(s);
        s->next_ns += FRAME_NS;
    }
    if (s->cmd & CMD_RS && s->cmd & CMD_ASE)
        ehci_async(s);
    if (s->cmd & CMD_RS && s->cmd & CMD_IAAD)
        ehci_forget_removed(s);
    if (s->cmd & CMD_RS && s->cmd & CMD_IAAD) {
        s->cmd &= ~(uint32_t)CMD_IAAD;
        s->sts |= STS_IAA;
    }
    ehci_update_irq(s);
    if (s->cmd & CMD_RS)
        bp_timer_set(s->timer, s->next_ns);
    s->busy--;
}

void ehci_follow(struct ehci *s)
{
    if (!(s->cmd & CMD_RS) || !(s->cmd & CMD_PSE))
        usb_transfers_cancel(&s->transfers, EHCI_PERIODIC);
    if (!(s->cmd & CMD_RS) || !(s->cmd & CMD_ASE))
        usb_transfers_cancel(&s->transfers, EHCI_ASYNC);
    s->sts &= ~(uint32_t)(STS_PSS | STS_ASS);
    if (s->cmd & CMD_RS)
        s->sts |= (s->cmd & CMD_PSE ? STS_PSS : 0u) | (s->cmd & CMD_ASE ? STS_ASS : 0u);
}

static void controller_reset(struct ehci *s)
{
    usb_transfers_cancel_all(&s->transfers);
    bp_timer_cancel(s->timer);
    s->cmd = 0x00080000;
    s->sts = STS_HALTED;
    s->intr = s->frindex = s->periodic = s->async = 0;
    s->next_ns = 0;
    s->configured = 0;
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        bool there = usb->plugged(usb->port(s->bus, n)) != NULL;

        if (there && !(s->port[n] & PORT_OWNER)) {
            s->port[n] = PORT_POWER | PORT_OWNER;
            usb->reset(usb->port(s->bus, n));
            comes(s, n);
        }
        s->port[n] = PORT_POWER | PORT_OWNER;
    }
    ehci_update_irq(s);
}

static void write_command(struct ehci *s, uint32_t v)
{
    bool ran = s->cmd & CMD_RS;

    if (v & CMD_HCRESET) {
        controller_reset(s);
        return;
    }
    s->cmd = (v & 0x00ff0031) | (v & CMD_IAAD && v & CMD_RS ? CMD_IAAD : 0u);
    if (s->sts & STS_HSE)
        s->cmd &= ~(uint32_t)CMD_RS;
    if (s->cmd & CMD_RS) {
        s->sts &= ~(uint32_t)STS_HALTED;
        if (!ran)
            s->next_ns = bp_timer_now(s->timer) + FRAME_NS;
        bp_timer_set(s->timer, v & CMD_IAAD ? bp_timer_now(s->timer) : s->next_ns);
    } else {
        bp_timer_cancel(s->timer);
        s->sts |= STS_HALTED;
    }
    ehci_follow(s);
}

/* ---- registers ---- */
static uint32_t word_at(const struct ehci *s, unsigned reg)
{
    switch (reg) {
    case 0x00:
        return CAPS | 0x0100u << 16;
    case 0x04:
        return EHCI_PORTS | (s->companions ? 2u << 8 | s->companions << 12 : 0);
    case CAPS + USBCMD:
        return s->cmd;
    case CAPS + USBSTS:
        return s->sts;
    case CAPS + USBINTR:
        return s->intr;
    case CAPS + FRINDEX:
        return s->frindex;
    case CAPS + PERIODIC:
        return s->periodic;
    case CAPS + ASYNC:
        return s->async;
    case CAPS + CONFIGFLAG:
        return s->configured;
    default:
        return reg >= CAPS + PORTSC && reg < CAPS + PORTSC + 4 * EHCI_PORTS ? s->port[(reg - CAPS - PORTSC) / 4] : 0;
    }
}

static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    uint32_t v = word_at(opaque, (unsigned)addr & ~3u) >> 8 * (addr & 3);

    return size == 4 ? v : v & ((1u << 8 * size) - 1);
}

static void write_word(struct ehci *s, unsigned reg, uint32_t v)
{
    switch (reg) {
    case CAPS + USBCMD:
        write_command(s, v);
        break;
    case CAPS + USBSTS:
        s->sts &= ~(v & 0x3f);
        break;
    case CAPS + USBINTR:
        s->intr = v & 0x3f;
        break;
    case CAPS + FRINDEX:
        if (s->sts & STS_HALTED)
            s->frindex = v & 0x3fff;
        break;
    case CAPS + PERIODIC:
        s->periodic = v & ~0xfffu;
        break;
    case CAPS + ASYNC:
        s->async = v & ~31u;
        break;
    case CAPS + CONFIGFLAG:
        s->configured = v & 1;
        for (unsigned n = 0; n < EHCI_PORTS; n++)
            set_owner(s, n, !(v & 1));
        break;
    default:
        if (reg >= CAPS + PORTSC && reg < CAPS + PORTSC + 4 * EHCI_PORTS)
            write_port(s, (reg - CAPS - PORTSC) / 4, v);
        break;
    }
    ehci_update_irq(s);
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ehci *s = opaque;

    if (size != 4 || addr & 3) {
        bp_guest_error("ehci-width", "EHCI: registers are written by 32 bits");
        return;
    }
    if (s->busy) {
        bp_guest_error("ehci-dma", "EHCI: DMA leads to the controller's own registers");
        return;
    }
    s->busy++;
    write_word(s, (unsigned)addr, (uint32_t)value);
    s->busy--;
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = bar_read, .write = bar_write, .min_access = 1,
                                         .max_access = 4};

/* ---- companions ---- */
static int join(void *opaque, unsigned first, unsigned count, const struct bp_usb_port_ops *port_ops, void *companion,
                struct bp_error *err)
{
    const uint32_t size = sizeof(*port_ops);
    struct ehci *s = opaque;

    if (first >= EHCI_PORTS || count > EHCI_PORTS - first)
        return bp_fail(err, EINVAL, "property 'firstport': %u: its EHCI has ports 0 to %u", first, EHCI_PORTS - 1);
    for (unsigned n = first; n < first + count; n++) {
        if (s->companion[n].opaque)
            return bp_fail(err, EBUSY, "property 'firstport': port %u has a companion already", n);
    }
    for (unsigned n = first; n < first + count; n++) {
        s->companion[n].ops = (struct bp_usb_port_ops){0};
        memcpy(&s->companion[n].ops, port_ops, port_ops->size < size ? port_ops->size : size);
        s->companion[n].opaque = companion;
        s->companion[n].n = n - first;
        usb->set_speeds(usb->port(s->bus, n), SLOW | BP_USB_SPEED(BP_USB_HIGH));
    }
    s->companions++;
    return 0;
}

static void leave(void *opaque, void *companion)
{
    struct ehci *s = opaque;

    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        if (s->companion[n].opaque == companion)
            s->companion[n].opaque = NULL;
    }
    s->companions -= s->companions != 0;
}

/* ---- the device ---- */
static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_usb_port_ops port_ops = {.size = sizeof(port_ops), .attached = attached, .detached = detached,
                                             .wakeup = wakeup};
    const struct bp_usb_bus_info info = {
        .size = sizeof(info), .ports = EHCI_PORTS, .speeds = BP_USB_SPEED(BP_USB_HIGH), .ops = &port_ops,
        .join = join, .leave = leave};
    struct ehci *s = bp_device_state(dev);
    int r;

    ehci_pci = pci;
    ehci_usb = usb;
    s->dev = dev;
    s->transfers = (struct usb_transfers){.usb = usb, .ended = ended, .opaque = s};
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, run, s);
    for (unsigned n = 0; n < EHCI_PORTS; n++)
        s->port[n] = PORT_POWER | PORT_OWNER;
    r = usb->new_bus(dev, &info, s, &s->bus, err);
    if (r < 0) {
        usb->free_bus(s->bus);
        s->bus = NULL;
    }
    return r;
}

static void detach(struct bp_device *dev)
{
    struct ehci *s = bp_device_state(dev);

    usb_transfers_cancel_all(&s->transfers);
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        struct companion c = s->companion[n];

        if (!c.opaque)
            continue;
        leave(s, c.opaque);
        if (c.ops.gone)
            c.ops.gone(c.opaque);
    }
    usb->free_bus(s->bus);
    s->bus = NULL;
}

static void reset(struct bp_device *dev)
{
    controller_reset(bp_device_state(dev));
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ehci *s = state;

    (void)version, (void)err;
    usb_transfers_cancel_all(&s->transfers);
    if (s->next_ns < 0)
        s->next_ns = 0;
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct ehci *s = state;

    (void)err;
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        struct bp_usb_port *port = usb->port(s->bus, n);

        usb->negotiate(port, s->port[n] & PORT_OWNER ? SLOW : UINT32_MAX);
        if (!usb->plugged(port)) /* whatever was saved */
            goes(s, n);
        if (!(s->port[n] & PORT_OWNER))
            usb->enable(port, (s->port[n] & PORT_PED) != 0);
    }
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct ehci, timer), BP_SAVE(UINT32, struct ehci, cmd), BP_SAVE(UINT32, struct ehci, sts),
    BP_SAVE(UINT32, struct ehci, intr), BP_SAVE(UINT32, struct ehci, frindex), BP_SAVE(UINT32, struct ehci, periodic),
    BP_SAVE(UINT32, struct ehci, async), BP_SAVE_RANGE(UINT32, struct ehci, configured, 0, 1),
    BP_SAVE_ARRAY(UINT32, struct ehci, port), BP_SAVE(UINT64, struct ehci, next_ns), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded, .loaded_order = BP_STATE_ORDER_LINES};
static const struct bp_field props[] = {BP_FIELDS_END};

static const struct bp_pci_field registers[] = {
    {.offset = 0x60, .width = 1, .value = 0x20}, {.offset = 0x61, .width = 1, .value = 0x20, .rw = 0x3f},
    {.offset = 0x62, .width = 2, .value = 0x7f, .rw = 0x7e}, BP_PCI_FIELDS_END};
#define EHCI(IDENT, NAME, SUMMARY, ID, PIN) \
    static const struct bp_pci_info IDENT##_info = { \
        .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = ID, .subsystem_vendor = 0x1af4, \
        .subsystem = 0x1100, .revision = 3, .prog_if = 0x20, .class_code = 0x0c03, .interrupt_pin = PIN, \
        .fields = registers, \
        .bar = {{.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "ehci", .ops = &ops}}}; \
    BP_DEVICE(IDENT, NAME, "pci", SUMMARY, struct ehci, props, &table, .category = "usb", .bus_info = &IDENT##_info, \
              .attach = attach, .detach = detach, .reset = reset, .firmware_name = "usb")
EHCI(ich9_1, "ich9-usb-ehci1", "USB 2 controller of an ICH9 (EHCI)", 0x293a, 4);
EHCI(ich9_2, "ich9-usb-ehci2", "USB 2 controller of an ICH9 (EHCI)", 0x293c, 4);
EHCI(plain, "usb-ehci", "USB 2 controller (EHCI)", 0x24cd, 4);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(usb, "usb", 1), {0}};
BP_MODULE("hw-usb-ehci", "USB 2 controllers (EHCI)", imports, {BP_PROVIDE_DEVICE, &ich9_1},
          {BP_PROVIDE_DEVICE, &ich9_2}, {BP_PROVIDE_DEVICE, &plain});
