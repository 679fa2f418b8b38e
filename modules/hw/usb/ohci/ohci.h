/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open Host Controller Interface 1.0a: what the files of this folder share. Names are the specification's. */
#ifndef HW_USB_OHCI_H
#define HW_USB_OHCI_H

#include <string.h>

#include <bp/bus/pci.h>
#include <bp/bus/usb.h>
#include <bp/clock.h>
#include <bp/log.h>

#include "transfers.h"

#define OHCI_PORTS 15u
#define OHCI_TD_BYTES 8192u     /* of one descriptor: two pages */
#define OHCI_ISO_BYTES 1023u    /* of an isochronous packet */
#define OHCI_STEPS 256u         /* endpoint and transfer descriptors that a frame looks at */
#define OHCI_FRAME_BYTES 16384u /* that a frame moves; more than the bus could */
#define OHCI_FRAMES 32u         /* of the periodic schedule; what was met only once is cancelled after as many */

enum { CTL_PLE = 1 << 2, CTL_CLE = 1 << 4, CTL_BLE = 1 << 5, CTL_STATE = 3 << 6, CTL_OPERATIONAL = 2 << 6,
       CTL_SUSPEND = 3 << 6 };
enum { CMD_HCR = 1, CMD_CLF = 2, CMD_BLF = 4 };
enum { INT_WDH = 1 << 1, INT_SF = 1 << 2, INT_RD = 1 << 3, INT_UE = 1 << 4, INT_FNO = 1 << 5, INT_RHSC = 1 << 6 };
#define INT_MIE (1u << 31)
enum { PORT_CCS = 1, PORT_PES = 2, PORT_PSS = 4, PORT_PRS = 16, PORT_PPS = 256, PORT_LSDA = 512, PORT_CSC = 1 << 16,
       PORT_PESC = 1 << 17, PORT_PSSC = 1 << 18, PORT_PRSC = 1 << 20, PORT_CHANGES = 31 << 16 };

enum { OHCI_PERIODIC, OHCI_CONTROL, OHCI_BULK }; /* lists of transfers */

struct ohci {
    struct bp_device *dev;
    struct bp_usb_bus *bus;
    bool companion;
    struct usb_transfers transfers;
    struct bp_timer *timer;
    unsigned busy; /* at work: registers that DMA leads to are left alone */
    uint32_t ports, firstport; /* properties */
    char *masterbus;
    /* saved */
    uint32_t control, command, status, enabled, hcca, control_head, control_current, bulk_head, bulk_current, done;
    uint32_t interval, number, periodic_start, threshold, descriptor_a, descriptor_b;
    uint32_t port[OHCI_PORTS];
    int64_t next_ns;
};

extern const struct bp_pci_interface *ohci_pci;
extern const struct bp_usb_interface *ohci_usb;

struct bp_usb_port *ohci_port(const struct ohci *s, unsigned n);
void ohci_frame(struct ohci *s);

#endif
