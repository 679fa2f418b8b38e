// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A USB 1.1 controller by the Open Host Controller Interface 1.0a: pci-ohci. Registers and root hub. Left out: legacy
 * support, ownership by system management mode, over-current, power by gangs.
 */
#define BP_SHARED
#include "ohci.h"

#include <errno.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(usb, struct bp_usb_interface, "usb", 1);
const struct bp_pci_interface *ohci_pci;
const struct bp_usb_interface *ohci_usb;

#define BAR_SIZE 256u
#define PORTS_AT 0x54u
#define FRAME_NS INT64_C(1000000)
#define BEHIND 8
#define INTERVAL 0x27782edfu
#define ALL_INTERRUPTS 0xc000007fu

struct bp_usb_port *ohci_port(const struct ohci *s, unsigned n)
{
    return usb->port(s->bus, n + (s->companion ? s->firstport : 0));
}

static void update_irq(struct ohci *s)
{
    pci->set_irq(s->dev, s->enabled & INT_MIE && s->status & s->enabled & ~INT_MIE);
}

/* ---- the root hub ---- */
static void change(struct ohci *s, unsigned n, uint32_t bits)
{
    s->port[n] |= bits;
    s->status |= INT_RHSC;
    if ((s->control & CTL_STATE) == CTL_SUSPEND)
        s->status |= INT_RD;
    update_irq(s);
}

static void enable(struct ohci *s, unsigned n)
{
    if (s->port[n] & PORT_CCS)
        usb->enable(ohci_port(s, n), (s->port[n] & PORT_PES) != 0);
}

static void attached(void *opaque, unsigned n)
{
    struct ohci *s = opaque;
    struct bp_usb_device *d = n < s->ports ? usb->plugged(ohci_port(s, n)) : NULL;

    if (!d)
        return;
    s->port[n] &= ~(uint32_t)(PORT_LSDA | PORT_PES | PORT_PSS);
    s->port[n] |= PORT_CCS | (usb->speed(d) == BP_USB_LOW ? PORT_LSDA : 0);
    change(s, n, PORT_CSC);
}

static void detached(void *opaque, unsigned n)
{
    struct ohci *s = opaque;
    uint32_t before = n < s->ports ? s->port[n] : 0;

    if (!(before & PORT_CCS))
        return;
    usb->enable(ohci_port(s, n), false);
    s->port[n] &= ~(uint32_t)(PORT_CCS | PORT_PES | PORT_PSS | PORT_LSDA);
    change(s, n, PORT_CSC | (before & PORT_PES ? PORT_PESC : 0));
}

static void wakeup(void *opaque, unsigned n)
{
    struct ohci *s = opaque;

    if (n < s->ports && s->port[n] & PORT_PSS) {
        s->port[n] &= ~(uint32_t)PORT_PSS;
        change(s, n, PORT_PSSC);
    } else if ((s->control & CTL_STATE) == CTL_SUSPEND) {
        s->status |= INT_RD;
        update_irq(s);
    }
}

static void write_port(struct ohci *s, unsigned n, uint32_t v)
{
    s->port[n] &= ~(v & PORT_CHANGES);
    if (v & PORT_CCS) /* clear port enable */
        s->port[n] &= ~(uint32_t)PORT_PES;
    if (v & PORT_PES && s->port[n] & PORT_CCS)
        s->port[n] |= PORT_PES;
    if (v & PORT_PSS && s->port[n] & PORT_CCS)
        s->port[n] |= PORT_PSS;
    if (v & 8 && s->port[n] & PORT_PSS) { /* clear suspend */
        s->port[n] &= ~(uint32_t)PORT_PSS;
        change(s, n, PORT_PSSC);
    }
    if (v & PORT_PRS && s->port[n] & PORT_CCS) {
        usb->reset(ohci_port(s, n));
        s->port[n] = (s->port[n] & ~(uint32_t)PORT_PSS) | PORT_PES;
        change(s, n, PORT_PRSC);
    }
    enable(s, n);
}

static void reset_ports(struct ohci *s)
{
    for (unsigned n = 0; n < s->ports; n++) {
        bool there = s->companion ? s->port[n] & PORT_CCS : usb->plugged(ohci_port(s, n)) != NULL;

        s->port[n] = PORT_PPS;
        if (there) {
            usb->reset(ohci_port(s, n));
            usb->enable(ohci_port(s, n), false);
            attached(s, n);
        }
    }
}

/* ---- time ---- */
static void run(void *opaque)
{
    struct ohci *s = opaque;
    int64_t now = bp_timer_now(s->timer);

    s->busy++;
    if (now - s->next_ns > BEHIND * FRAME_NS)
        s->next_ns = now - BEHIND * FRAME_NS;
    while ((s->control & CTL_STATE) == CTL_OPERATIONAL && s->next_ns <= now) {
        ohci_frame(s);
        s->next_ns += FRAME_NS;
    }
    s->busy--;
    update_irq(s);
    if ((s->control & CTL_STATE) == CTL_OPERATIONAL)
        bp_timer_set(s->timer, s->next_ns);
}

static uint32_t remaining(const struct ohci *s)
{
    int64_t left = s->next_ns - bp_timer_now(s->timer);
    uint32_t interval = s->interval & 0x3fff;

    if ((s->control & CTL_STATE) != CTL_OPERATIONAL || left < 0)
        return s->interval & 1u << 31;
    if (left > FRAME_NS)
        left = FRAME_NS;
    return (s->interval & 1u << 31) | (uint32_t)((uint64_t)left * interval / FRAME_NS);
}

/* By software (to the suspended state; the root hub stays as it is), or by hardware. */
static void controller_reset(struct ohci *s, bool hard)
{
    usb_transfers_cancel_all(&s->transfers);
    bp_timer_cancel(s->timer);
    s->control = hard ? 0 : CTL_SUSPEND;
    s->command = s->status = s->enabled = s->hcca = s->control_head = s->control_current = 0;
    s->bulk_head = s->bulk_current = s->done = s->number = s->periodic_start = 0;
    s->interval = INTERVAL;
    s->threshold = 0x628;
    s->next_ns = 0;
    if (hard) {
        s->descriptor_a = s->ports | 0x200; /* ports have power always */
        s->descriptor_b = 0;
        reset_ports(s);
    }
    update_irq(s);
}

static void write_control(struct ohci *s, uint32_t v)
{
    uint32_t before = s->control & CTL_STATE, state = v & CTL_STATE;

    s->control = v & 0x7ff & ~0x100u;
    if (state == before)
        return;
    if (state == CTL_OPERATIONAL) {
        s->next_ns = bp_timer_now(s->timer) + FRAME_NS;
        bp_timer_set(s->timer, s->next_ns);
    } else {
        bp_timer_cancel(s->timer);
        usb_transfers_cancel_all(&s->transfers);
    }
    if (state == 0)
        reset_ports(s);
}

/* ---- registers, chapter 7 ---- */
static uint32_t word_at(const struct ohci *s, unsigned reg)
{
    switch (reg) {
    case 0x00:
        return 0x10;
    case 0x04:
        return s->control;
    case 0x08:
        return s->command;
    case 0x0c:
        return s->status;
    case 0x10:
    case 0x14:
        return s->enabled;
    case 0x18:
        return s->hcca;
    case 0x20:
        return s->control_head;
    case 0x24:
        return s->control_current;
    case 0x28:
        return s->bulk_head;
    case 0x2c:
        return s->bulk_current;
    case 0x30:
        return s->done;
    case 0x34:
        return s->interval;
    case 0x38:
        return remaining(s);
    case 0x3c:
        return s->number;
    case 0x40:
        return s->periodic_start;
    case 0x44:
        return s->threshold;
    case 0x48:
        return s->descriptor_a;
    case 0x4c:
        return s->descriptor_b;
    default:
        return reg >= PORTS_AT && reg < PORTS_AT + 4 * s->ports ? s->port[(reg - PORTS_AT) / 4] : 0;
    }
}

static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    uint32_t v = word_at(opaque, (unsigned)addr & ~3u) >> 8 * (addr & 3);

    return size == 4 ? v : v & ((1u << 8 * size) - 1);
}

static void write_word(struct ohci *s, unsigned reg, uint32_t v)
{
    switch (reg) {
    case 0x04:
        write_control(s, v);
        break;
    case 0x08:
        if (v & CMD_HCR)
            controller_reset(s, false);
        else
            s->command |= v & (CMD_CLF | CMD_BLF);
        break;
    case 0x0c:
        s->status &= ~v;
        break;
    case 0x10:
        s->enabled |= v & ALL_INTERRUPTS;
        break;
    case 0x14:
        s->enabled &= ~v;
        break;
    case 0x18:
        s->hcca = v & ~255u;
        break;
    case 0x20:
        s->control_head = v & ~15u;
        break;
    case 0x24:
        s->control_current = v & ~15u;
        break;
    case 0x28:
        s->bulk_head = v & ~15u;
        break;
    case 0x2c:
        s->bulk_current = v & ~15u;
        break;
    case 0x34:
        s->interval = v & 0xffff3fff;
        break;
    case 0x40:
        s->periodic_start = v & 0x3fff;
        break;
    case 0x44:
        s->threshold = v & 0xfff;
        break;
    case 0x48:
        s->descriptor_a = s->ports | (v & 0xff001b00);
        break;
    case 0x4c:
        s->descriptor_b = v;
        break;
    default:
        if (reg >= PORTS_AT && reg < PORTS_AT + 4 * s->ports)
            write_port(s, (reg - PORTS_AT) / 4, v);
        break;
    }
    update_irq(s);
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ohci *s = opaque;

    if (size != 4 || addr & 3) {
        bp_guest_error("ohci-width", "OHCI: registers are written by 32 bits");
        return;
    }
    if (s->busy) {
        bp_guest_error("ohci-dma", "OHCI: DMA leads to the controller's own registers");
        return;
    }
    write_word(s, (unsigned)addr, (uint32_t)value);
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = bar_read, .write = bar_write, .min_access = 1,
                                         .max_access = 4};

/* ---- the device ---- */
/* The EHCI whose companion it is goes, and its ports. */
static void gone(void *opaque)
{
    struct ohci *s = opaque;

    usb_transfers_cancel_all(&s->transfers);
    for (unsigned n = 0; n < s->ports; n++)
        detached(s, n);
    s->bus = NULL;
}

static int attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_usb_port_ops port_ops = {.size = sizeof(port_ops), .attached = attached, .detached = detached,
                                             .wakeup = wakeup, .gone = gone};
    struct ohci *s = bp_device_state(dev);
    const struct bp_usb_bus_info info = {.size = sizeof(info), .ports = s->ports,
                                         .speeds = BP_USB_SPEED(BP_USB_LOW) | BP_USB_SPEED(BP_USB_FULL),
                                         .ops = &port_ops};
    int r;

    ohci_pci = pci;
    ohci_usb = usb;
    s->dev = dev;
    s->transfers = (struct usb_transfers){.usb = usb};
    if (s->ports == 0 || s->ports > OHCI_PORTS)
        return bp_fail(err, EINVAL, "pci-ohci: num-ports=%u: 1 to %u are possible", s->ports, OHCI_PORTS);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, run, s);
    s->companion = s->masterbus && *s->masterbus;
    if (s->companion)
        return usb->join(dev, s->masterbus, s->firstport, s->ports, &port_ops, s, &s->bus, err);
    r = usb->new_bus(dev, &info, s, &s->bus, err);
    if (r < 0) {
        usb->free_bus(s->bus);
        s->bus = NULL;
    }
    return r;
}

static void detach(struct bp_device *dev)
{
    struct ohci *s = bp_device_state(dev);

    usb_transfers_cancel_all(&s->transfers);
    if (s->companion)
        usb->leave(s->bus, s);
    else
        usb->free_bus(s->bus);
    s->bus = NULL;
}

static void reset(struct bp_device *dev)
{
    controller_reset(bp_device_state(dev), true);
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ohci *s = state;

    (void)version, (void)err;
    usb_transfers_cancel_all(&s->transfers);
    if (s->next_ns < 0)
        s->next_ns = 0;
    return 0;
}

static int loaded(void *state, struct bp_error *err)
{
    struct ohci *s = state;

    (void)err;
    for (unsigned n = 0; n < s->ports; n++)
        enable(s, n);
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(TIMER, struct ohci, timer), BP_SAVE(UINT32, struct ohci, control), BP_SAVE(UINT32, struct ohci, command),
    BP_SAVE(UINT32, struct ohci, status), BP_SAVE(UINT32, struct ohci, enabled), BP_SAVE(UINT32, struct ohci, hcca),
    BP_SAVE(UINT32, struct ohci, control_head), BP_SAVE(UINT32, struct ohci, control_current),
    BP_SAVE(UINT32, struct ohci, bulk_head), BP_SAVE(UINT32, struct ohci, bulk_current),
    BP_SAVE(UINT32, struct ohci, done), BP_SAVE(UINT32, struct ohci, interval), BP_SAVE(UINT32, struct ohci, number),
    BP_SAVE(UINT32, struct ohci, periodic_start), BP_SAVE(UINT32, struct ohci, threshold),
    BP_SAVE(UINT32, struct ohci, descriptor_a), BP_SAVE(UINT32, struct ohci, descriptor_b),
    BP_SAVE_ARRAY(UINT32, struct ohci, port), BP_SAVE(UINT64, struct ohci, next_ns), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .loaded = loaded};
static const struct bp_field props[] = {
    BP_PROP("num-ports", UINT32, struct ohci, ports, "3", "ports, up to 15"),
    BP_PROP("masterbus", STRING, struct ohci, masterbus, NULL, "bus of the EHCI controller whose companion it is"),
    BP_PROP("firstport", UINT32, struct ohci, firstport, "0", "the first of its ports there, from 0"),
    BP_FIELDS_END};
static const struct bp_pci_info pci_info = {
    .size = sizeof(struct bp_pci_info), .vendor = 0x106b, .device = 0x003f, .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100, .prog_if = 0x10, .class_code = 0x0c03, .interrupt_pin = 1,
    .bar = {{.flags = BP_PCI_BAR_MEM32, .size = BAR_SIZE, .name = "ohci", .ops = &ops}}};
BP_DEVICE(ohci_class, "pci-ohci", "pci", "USB 1.1 controller (OHCI)", struct ohci, props, &table, .category = "usb",
          .bus_info = &pci_info, .attach = attach, .detach = detach, .reset = reset, .firmware_name = "usb");

static const struct bp_import imports[] = {BP_IMPORT_MINOR(pci, "pci", 1, 1), BP_IMPORT(usb, "usb", 1), {0}};
BP_MODULE("hw-usb-ohci", "USB 1.1 controller (OHCI)", imports, {BP_PROVIDE_DEVICE, &ohci_class});
