/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Universal Host Controller Interface 1.1: what the files of this folder share. */
#ifndef HW_USB_UHCI_H
#define HW_USB_UHCI_H

#include <string.h>

#include <bp/bus/pci.h>
#include <bp/bus/usb.h>
#include <bp/clock.h>
#include <bp/log.h>

#include "transfers.h"

#define UHCI_PORTS 2u
#define UHCI_FRAME_BYTES 1280u /* that fit into a frame */
#define UHCI_FRAME_STEPS 256u  /* queue heads and transfer descriptors that are looked at in a frame */
#define UHCI_FRAMES 1024u      /* of the schedule; what was met only once is cancelled after as many */

enum { USBCMD = 0x00, USBSTS = 0x02, USBINTR = 0x04, FRNUM = 0x06, FRBASEADD = 0x08, SOFMOD = 0x0c, PORTSC = 0x10 };
enum { CMD_RS = 1, CMD_HCRESET = 2, CMD_GRESET = 4, CMD_EGSM = 8, CMD_FGR = 0x10 };
enum { STS_USBINT = 1, STS_ERROR = 2, STS_RESUME = 4, STS_HSE = 8, STS_HCPE = 0x10, STS_HALTED = 0x20 };
enum { INTR_ERROR = 1, INTR_RESUME = 2, INTR_IOC = 4, INTR_SHORT = 8 };
enum { PORT_CCS = 1, PORT_CSC = 2, PORT_PE = 4, PORT_PEC = 8, PORT_RD = 0x40, PORT_ONE = 0x80, PORT_LOW = 0x100,
       PORT_RESET = 0x200, PORT_SUSPEND = 0x1000 };

struct uhci {
    struct bp_device *dev;
    struct bp_usb_bus *bus;
    bool companion; /* the bus is an EHCI's */
    struct usb_transfers transfers;
    struct bp_timer *timer;
    char *masterbus; /* properties */
    uint32_t firstport;
    /* saved */
    uint16_t cmd, sts, intr, frnum;
    uint8_t sofmod;
    uint8_t causes; /* of USBINT: INTR_IOC, INTR_SHORT */
    uint32_t base;
    uint16_t port[UHCI_PORTS];
    int64_t next_ns; /* the next frame begins */
};

extern const struct bp_pci_interface *uhci_pci;
extern const struct bp_usb_interface *uhci_usb;

struct bp_usb_port *uhci_port(const struct uhci *s, unsigned n);
void uhci_update_irq(struct uhci *s);
/* ---- schedule.c ---- */
void uhci_frame(struct uhci *s); /* one frame of the schedule */

#endif
