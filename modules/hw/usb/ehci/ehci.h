/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Enhanced Host Controller Interface 1.0: what the files of this folder share. */
#ifndef HW_USB_EHCI_H
#define HW_USB_EHCI_H

#include <string.h>

#include <bp/bus/pci.h>
#include <bp/bus/usb.h>
#include <bp/clock.h>
#include <bp/log.h>

#include "transfers.h"

#define EHCI_PORTS 6u
#define EHCI_QTD_BYTES 0x5000u  /* of one descriptor: five pages */
#define EHCI_STEPS 256u         /* queue heads and descriptors that one turn looks at */
#define EHCI_TURN_BYTES (256u << 10) /* that one turn of the asynchronous schedule moves */
#define EHCI_HEADS 4096u        /* of a list that the doorbell looks through */
#define EHCI_FRAMES 1024u       /* of the periodic schedule; what was met only once is cancelled after as many */
#define EHCI_PATIENCE 64u       /* the same of the asynchronous one, when nobody rings */

enum { USBCMD = 0x00, USBSTS = 0x04, USBINTR = 0x08, FRINDEX = 0x0c, SEGMENT = 0x10, PERIODIC = 0x14, ASYNC = 0x18,
       CONFIGFLAG = 0x40, PORTSC = 0x44 };
enum { CMD_RS = 1, CMD_HCRESET = 2, CMD_PSE = 16, CMD_ASE = 32, CMD_IAAD = 64 };
enum { STS_INT = 1, STS_ERROR = 2, STS_PORT = 4, STS_ROLLOVER = 8, STS_HSE = 16, STS_IAA = 32, STS_HALTED = 1 << 12,
       STS_RECLAMATION = 1 << 13, STS_PSS = 1 << 14, STS_ASS = 1 << 15 };
enum { PORT_CCS = 1, PORT_CSC = 2, PORT_PED = 4, PORT_PEDC = 8, PORT_FPR = 64, PORT_SUSPEND = 128, PORT_RESET = 256,
       PORT_LINE = 3 << 10, PORT_POWER = 1 << 12, PORT_OWNER = 1 << 13, PORT_WAKE = 7 << 20 };

enum { EHCI_PERIODIC, EHCI_ASYNC }; /* lists of transfers */

struct companion {
    struct bp_usb_port_ops ops;
    void *opaque; /* NULL: none */
    unsigned n;   /* its number of the port */
};

struct ehci {
    struct bp_device *dev;
    struct bp_usb_bus *bus;
    struct usb_transfers transfers;
    struct bp_timer *timer;
    unsigned companions;
    struct companion companion[EHCI_PORTS];
    unsigned busy; /* at work: registers that DMA leads to are left alone */
    /* saved */
    uint32_t cmd, sts, intr, frindex, periodic, async, configured;
    uint32_t port[EHCI_PORTS];
    int64_t next_ns;
};

extern const struct bp_pci_interface *ehci_pci;
extern const struct bp_usb_interface *ehci_usb;

void ehci_update_irq(struct ehci *s);
void ehci_follow(struct ehci *s); /* the schedules run, or do not, as the command says */
/* ---- schedule.c ---- */
void ehci_periodic(struct ehci *s); /* the present frame */
void ehci_async(struct ehci *s);    /* one turn */
void ehci_forget_removed(struct ehci *s);

#endif
