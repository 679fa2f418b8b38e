// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * USB 1.1 controllers by the Universal Host Controller Interface, design guide 1.1: those of PIIX3, PIIX4 and ICH9,
 * alone or as companions of an EHCI controller. Registers and ports. Left out: legacy support (traps of the keyboard
 * controller's ports), single steps (SWDBG), data toggles.
 */
#define BP_SHARED
#include "uhci.h"

#include <errno.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(usb, struct bp_usb_interface, "usb", 1);
const struct bp_pci_interface *uhci_pci;
const struct bp_usb_interface *uhci_usb;

#define FRAME_NS INT64_C(1000000)
#define BEHIND 8 /* frames that are made up for at once */

struct bp_usb_port *uhci_port(const struct uhci *s, unsigned n)
{
    return usb->port(s->bus, n + (s->companion ? s->firstport : 0));
}

void uhci_update_irq(struct uhci *s)
{
    bool level = (s->sts & STS_USBINT && s->causes & s->intr & (INTR_IOC | INTR_SHORT)) ||
                 (s->sts & STS_ERROR && s->intr & INTR_ERROR) || (s->sts & STS_RESUME && s->intr & INTR_RESUME) ||
                 s->sts & (STS_HSE | STS_HCPE);

    pci->set_irq(s->dev, level);
}

/* ---- ports ---- */
static void attached(void *opaque, unsigned n)
{
    struct uhci *s = opaque;
    struct bp_usb_device *d = usb->plugged(uhci_port(s, n));

    if (!d)
        return;
    s->port[n] &= (uint16_t)~(PORT_LOW | PORT_PE);
    s->port[n] |= PORT_CCS | PORT_CSC | (usb->speed(d) == BP_USB_LOW ? PORT_LOW : 0);
    if (s->cmd & CMD_EGSM) {
        s->port[n] |= PORT_RD;
        s->sts |= STS_RESUME;
        uhci_update_irq(s);
    }
}

static void detached(void *opaque, unsigned n)
{
    struct uhci *s = opaque;

    if (!(s->port[n] & PORT_CCS))
        return;
    if (s->port[n] & PORT_PE)
        s->port[n] |= PORT_PEC;
    s->port[n] &= (uint16_t)~(PORT_CCS | PORT_PE | PORT_LOW | PORT_SUSPEND);
    s->port[n] |= PORT_CSC;
    usb->enable(uhci_port(s, n), false);
}

static void wakeup(void *opaque, unsigned n)
{
    struct uhci *s = opaque;

    if (!(s->port[n] & PORT_SUSPEND) && !(s->cmd & CMD_EGSM))
        return;
    s->port[n] |= PORT_RD;
    s->sts |= STS_RESUME;
    uhci_update_irq(s);
}

/* In what is a companion's, a port is its own only while the EHCI has given it away: then it was told of it. */
static void enable(struct uhci *s, unsigned n)
{
    if (s->port[n] & PORT_CCS)
        usb->enable(uhci_port(s, n), (s->port[n] & PORT_PE) != 0);
}

static void write_port(struct uhci *s, unsigned n, uint16_t v)
{
    uint16_t now = s->port[n];

    if (v & PORT_RESET && !(now & PORT_RESET) && now & PORT_CCS)
        usb->reset(uhci_port(s, n));
    now &= (uint16_t)~(v & (PORT_CSC | PORT_PEC));
    now = (uint16_t)((now & ~(PORT_RESET | PORT_SUSPEND | PORT_PE | PORT_RD)) |
                     (v & (PORT_RESET | PORT_SUSPEND | PORT_RD)));
    if (v & PORT_PE && now & PORT_CCS && !(v & PORT_RESET))
        now |= PORT_PE;
    s->port[n] = now;
    enable(s, n);
}

static void look(struct uhci *s)
{
    for (unsigned n = 0; n < UHCI_PORTS; n++) {
        bool mine = s->companion ? s->port[n] & PORT_CCS : usb->plugged(uhci_port(s, n)) != NULL;

        s->port[n] = PORT_ONE;
        if (mine) {
            usb->enable(uhci_port(s, n), false);
            attached(s, n);
        }
    }
}

/* ---- frames ---- */
static void run(void *opaque)
{
    struct uhci *s = opaque;
    int64_t now = bp_timer_now(s->timer);

    if (now - s->next_ns > BEHIND * FRAME_NS)
        s->next_ns = now - BEHIND * FRAME_NS; /* those are lost, as on a bus that was busy */
    while (s->cmd & CMD_RS && s->next_ns <= now) {
        uhci_frame(s);
        s->frnum = (uint16_t)((s->frnum + 1) & 0x7ff);
        s->next_ns += FRAME_NS;
    }
    if (s->cmd & CMD_RS)
        bp_timer_set(s->timer, s->next_ns);
}

static void stop(struct uhci *s)
{
    bp_timer_cancel(s->timer);
    usb_transfers_cancel_all(&s->transfers);
    s->sts |= STS_HALTED;
}

static void controller_reset(struct uhci *s)
{
    s->cmd = s->intr = s->frnum = 0;
    s->base = 0;
    s->sofmod = 0x40;
    s->causes = 0;
    s->sts = 0;
    s->next_ns = 0;
    stop(s);
    look(s);
    uhci_update_irq(s);
}

static void write_command(struct uhci *s, uint16_t v)
{
    bool ran = s->cmd & CMD_RS;

    if (v & CMD_HCRESET) {
        controller_reset(s);
        return;
    }
    if (v & CMD_GRESET) {
        for (unsigned n = 0; n < UHCI_PORTS; n++) {
            if (s->port[n] & PORT_CCS)
                usb->reset(uhci_port(s, n));
        }
        controller_reset(s);
        s->cmd = CMD_GRESET; /* software ends it */
        return;
    }
    s->cmd = v & 0xff & ~CMD_HCRESET;
    if (v & CMD_RS && !ran) {
        s->sts &= (uint16_t)~STS_HALTED;
        s->next_ns = bp_timer_now(s->timer) + FRAME_NS;
        bp_timer_set(s->timer, s->next_ns);
    } else if (!(v & CMD_RS)) {
        stop(s);
    }
}

/* ---- registers, 2.1 ---- */
static uint32_t byte_at(const struct uhci *s, unsigned reg)
{
    const uint16_t words[] = {s->cmd, s->sts, s->intr, s->frnum};

    if (reg < 8)
        return words[reg / 2] >> 8 * (reg & 1) & 0xff;
    if (reg < 12)
        return s->base >> 8 * (reg & 3) & 0xff;
    if (reg == SOFMOD)
        return s->sofmod;
    if (reg >= PORTSC && reg < PORTSC + 2 * UHCI_PORTS)
        return s->port[(reg - PORTSC) / 2] >> 8 * (reg & 1) & 0xff;
    return reg >= PORTSC ? 0xff : 0; /* no third port: all ones would be one without its fixed bit */
}

static uint64_t uhci_read(void *opaque, uint64_t addr, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)byte_at(opaque, (unsigned)addr + i) << 8 * i;
    return v;
}

static void write_word(struct uhci *s, unsigned reg, uint16_t v)
{
    switch (reg) {
    case USBCMD:
        write_command(s, v);
        break;
    case USBSTS:
        s->sts &= (uint16_t)~(v & 0x1f);
        if (v & STS_USBINT)
            s->causes = 0;
        break;
    case USBINTR:
        s->intr = v & 15;
        break;
    case FRNUM:
        if (!(s->cmd & CMD_RS))
            s->frnum = v & 0x7ff;
        break;
    case FRBASEADD:
        s->base = (s->base & 0xffff0000) | (v & 0xf000);
        break;
    case FRBASEADD + 2:
        s->base = (s->base & 0xffff) | (uint32_t)v << 16;
        break;
    case PORTSC:
    case PORTSC + 2:
        write_port(s, (reg - PORTSC) / 2, v);
        break;
    default:
        break;
    }
    uhci_update_irq(s);
}

static void uhci_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    unsigned reg = (unsigned)addr;

    if (reg == SOFMOD && size <= 2) {
        ((struct uhci *)opaque)->sofmod = value & 0x7f;
        return;
    }
    if (size == 1) { /* the other byte keeps what it has; bits that are cleared by ones are not */
        uint16_t other = reg & 1 ? (uint16_t)byte_at(opaque, reg & ~1u) : (uint16_t)(byte_at(opaque, reg | 1) << 8);

        if ((reg & ~1u) >= PORTSC)
            other &= (uint16_t)~(PORT_CSC | PORT_PEC);
        else if ((reg & ~1u) == USBSTS)
            other = 0;
        write_word(opaque, reg & ~1u, (uint16_t)(value << 8 * (reg & 1)) | other);
        return;
    }
    write_word(opaque, reg, (uint16_t)value);
    if (size == 4)
        write_word(opaque, reg + 2, (uint16_t)(value >> 16));
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = uhci_read, .write = uhci_write,
                                         .min_access = 1, .max_access = 4};

/* ---- the device ---- */
/* The EHCI whose companion it is goes, and its ports. */
static void gone(void *opaque)
{
    struct uhci *s = opaque;

    usb_transfers_cancel_all(&s->transfers);
    for (unsigned n = 0; n < UHCI_PORTS; n++)
        detached(s, n);
    s->bus = NULL;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_usb_port_ops port_ops = {.size = sizeof(port_ops), .attached = attached, .detached = detached,
                                             .wakeup = wakeup, .gone = gone};
    const struct bp_usb_bus_info info = {.size = sizeof(info), .ports = UHCI_PORTS,
                                         .speeds = BP_USB_SPEED(BP_USB_LOW) | BP_USB_SPEED(BP_USB_FULL),
                                         .ops = &port_ops};
    struct uhci *s = bp_device_state(dev);
    int r;

    uhci_pci = pci;
    uhci_usb = usb;
    s->dev = dev;
    s->transfers = (struct usb_transfers){.usb = usb};
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, run, s);
    s->companion = s->masterbus && *s->masterbus;
    if (s->companion)
        return usb->join(dev, s->masterbus, s->firstport, UHCI_PORTS, &port_ops, s, &s->bus, err);
    r = usb->new_bus(dev, &info, s, &s->bus, err);
    if (r < 0) {
        usb->free_bus(s->bus);
        s->bus = NULL;
    }
    return r;
}

static void detach(struct bp_device *dev)
{
    struct uhci *s = bp_device_state(dev);

    usb_transfers_cancel_all(&s->transfers);
    if (s->companion)
        usb->leave(s->bus, s);
    else
        usb->free_bus(s->bus);
    s->bus = NULL;
}

static void reset(struct bp_device *dev)
{
    controller_reset(bp_device_state(dev));
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct uhci *s = state;

    (void)version, (void)err;
    usb_transfers_cancel_all(&s->transfers);
    for (unsigned n = 0; n < UHCI_PORTS; n++)
        s->port[n] = (uint16_t)((s->port[n] & 0x13cf) | PORT_ONE);
    if (s->next_ns < 0)
        s->next_ns = 0;
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct uhci *s = state;

    (void)err;
    for (unsigned n = 0; n < UHCI_PORTS; n++)
        enable(s, n);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct uhci, timer), BP_SAVE(UINT16, struct uhci, cmd), BP_SAVE(UINT16, struct uhci, sts),
    BP_SAVE(UINT16, struct uhci, intr), BP_SAVE(UINT16, struct uhci, frnum), BP_SAVE(UINT8, struct uhci, sofmod),
    BP_SAVE(UINT8, struct uhci, causes), BP_SAVE(UINT32, struct uhci, base), BP_SAVE_ARRAY(UINT16, struct uhci, port),
    BP_SAVE(UINT64, struct uhci, next_ns), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded};
static const struct bp_field props[] = {
    BP_PROP("masterbus", STRING, struct uhci, masterbus, NULL, "bus of the EHCI controller whose companion it is"),
    BP_PROP("firstport", UINT32, struct uhci, firstport, "0", "the first of its ports there, from 0"),
    BP_FIELDS_END};

static const struct bp_pci_field registers[] = {
    {.offset = 0x60, .width = 1, .value = 0x10},                    /* release 1.0 */
    {.offset = 0xc0, .width = 2, .value = 0x2000, .rw = 0x20bf, .w1c = 0x8f00}, /* legacy support: kept, not acted on */
    BP_PCI_FIELDS_END};
#define UHCI(IDENT, NAME, SUMMARY, ID, REVISION, PIN) \
    static const struct bp_pci_info IDENT##_info = { \
        .size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = ID, .subsystem_vendor = 0x1af4, \
        .subsystem = 0x1100, .revision = REVISION, .class_code = 0x0c03, .interrupt_pin = PIN, .fields = registers, \
        .bar = {[4] = {.flags = BP_PCI_BAR_IO, .size = 32, .name = "uhci", .ops = &ops}}}; \
    BP_DEVICE(IDENT, NAME, "pci", SUMMARY, struct uhci, props, &table, .category = "usb", .bus_info = &IDENT##_info, \
              .attach = attach, .detach = detach, .reset = reset, .firmware_name = "usb")
UHCI(piix3, "piix3-usb-uhci", "USB 1.1 controller of a PIIX3 (UHCI)", 0x7020, 1, 4);
UHCI(piix4, "piix4-usb-uhci", "USB 1.1 controller of a PIIX4 (UHCI)", 0x7112, 1, 4);
UHCI(ich9_1, "ich9-usb-uhci1", "USB 1.1 controller of an ICH9 (UHCI)", 0x2934, 3, 1);
UHCI(ich9_2, "ich9-usb-uhci2", "USB 1.1 controller of an ICH9 (UHCI)", 0x2935, 3, 2);
UHCI(ich9_3, "ich9-usb-uhci3", "USB 1.1 controller of an ICH9 (UHCI)", 0x2936, 3, 3);
UHCI(ich9_4, "ich9-usb-uhci4", "USB 1.1 controller of an ICH9 (UHCI)", 0x2937, 3, 1);
UHCI(ich9_5, "ich9-usb-uhci5", "USB 1.1 controller of an ICH9 (UHCI)", 0x2938, 3, 2);
UHCI(ich9_6, "ich9-usb-uhci6", "USB 1.1 controller of an ICH9 (UHCI)", 0x2939, 3, 3);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(usb, "usb", 1), {0}};
BP_MODULE("hw-usb-uhci", "USB 1.1 controllers (UHCI)", imports, {BP_PROVIDE_DEVICE, &piix3},
          {BP_PROVIDE_DEVICE, &piix4}, {BP_PROVIDE_DEVICE, &ich9_1}, {BP_PROVIDE_DEVICE, &ich9_2},
          {BP_PROVIDE_DEVICE, &ich9_3}, {BP_PROVIDE_DEVICE, &ich9_4}, {BP_PROVIDE_DEVICE, &ich9_5},
          {BP_PROVIDE_DEVICE, &ich9_6});
