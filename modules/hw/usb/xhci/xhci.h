/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* eXtensible Host Controller Interface 1.2: what the files of this folder share. Names are the specification's. */
#ifndef HW_USB_XHCI_H
#define HW_USB_XHCI_H

#include <string.h>

#include <bp/bus/pci.h>
#include <bp/bus/usb.h>
#include <bp/clock.h>
#include <bp/log.h>
#include <bp/loop.h>

#define XHCI_SLOTS 64u
#define XHCI_INTERRUPTERS 16u
#define XHCI_PORTS 30u
#define XHCI_ENDPOINTS 31u /* of a slot: device context indices 1..31 */
#define XHCI_TRBS 256u     /* of one transfer descriptor */
#define XHCI_TD_BYTES (16u << 20)
#define XHCI_TURN_BYTES (1u << 20)   /* that one turn moves, and what the descriptor that reaches it has more */
#define XHCI_DATA_BYTES (64u << 20)  /* of packets on their way; one alone may be larger than what is left */
#define XHCI_LINKS 16u     /* link TRBs in a row */
#define XHCI_BEHIND_NS INT64_C(8000000) /* isochronous turns that are made up for */
#define XHCI_BATCH 64u     /* transfer descriptors, or commands, that one turn takes */
#define XHCI_PENDING 512u  /* events that wait for room in a ring */

enum { /* TRB types, table 6-91 */
    TRB_NORMAL = 1, TRB_SETUP, TRB_DATA, TRB_STATUS, TRB_ISOCH, TRB_LINK, TRB_EVENT_DATA, TRB_NOOP,
    CMD_ENABLE_SLOT, CMD_DISABLE_SLOT, CMD_ADDRESS_DEVICE, CMD_CONFIGURE, CMD_EVALUATE, CMD_RESET_ENDPOINT,
    CMD_STOP_ENDPOINT, CMD_SET_DEQUEUE, CMD_RESET_DEVICE, CMD_NOOP = 23,
    EVENT_TRANSFER = 32, EVENT_COMMAND, EVENT_PORT, EVENT_HOST = 37, EVENT_NEC = 48, CMD_NEC_FIRMWARE = 49,
};
enum { /* completion codes, table 6-90 */
    CC_SUCCESS = 1, CC_BUFFER, CC_BABBLE, CC_TRANSACTION, CC_TRB, CC_STALL, CC_RESOURCE, CC_BANDWIDTH, CC_NO_SLOTS,
    CC_STREAM, CC_SLOT_NOT_ENABLED, CC_EP_NOT_ENABLED, CC_SHORT, CC_PARAMETER = 17, CC_CONTEXT = 19,
    CC_RING_UNDERRUN = 14, CC_RING_OVERRUN = 15, CC_EVENT_RING_FULL = 21, CC_MISSED = 23, CC_STOPPED = 26,
};
enum { TRB_C = 1u, TRB_TC = 2u, TRB_ISP = 4u, TRB_CH = 1u << 4, TRB_IOC = 1u << 5, TRB_IDT = 1u << 6,
       TRB_BSR = 1u << 9, TRB_DC = 1u << 9, TRB_TSP = 1u << 9, TRB_DIR = 1u << 16, TRB_ED = 4u };
#define TRB_SIA (1u << 31)
enum { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR };
enum { SLOT_DISABLED, SLOT_DEFAULT, SLOT_ADDRESSED, SLOT_CONFIGURED };
enum { CMD_RUN = 1, CMD_RESET = 2, CMD_INTE = 4, CMD_HSEE = 8, CMD_CSS = 1 << 8, CMD_CRS = 1 << 9 };
enum { STS_HALTED = 1, STS_HSE = 4, STS_EINT = 8, STS_PCD = 16, STS_SRE = 1 << 10, STS_HCE = 1 << 12 };
enum { PORT_CCS = 1, PORT_PED = 2, PORT_PR = 1 << 4, PORT_PLS = 0xf << 5, PORT_PP = 1 << 9, PORT_LWS = 1 << 16,
       PORT_CSC = 1 << 17, PORT_PEC = 1 << 18, PORT_WRC = 1 << 19, PORT_PRC = 1 << 21, PORT_PLC = 1 << 22,
       PORT_CHANGES = 0xfe << 16, PORT_WAKE = 7 << 25 };
#define PORT_WPR (1u << 31)
enum { PLS_U0 = 0, PLS_U3 = 3, PLS_DISABLED = 4, PLS_DETECT = 5, PLS_POLLING = 7, PLS_RESUME = 15 };
enum { CRCR_RCS = 1, CRCR_CS = 2, CRCR_CA = 4, CRCR_CRR = 8 };

struct trb {
    uint64_t parameter;
    uint32_t status, control;
    uint64_t at; /* where it stood */
};

struct ring {
    uint64_t dequeue;
    bool cycle;
};

struct endpoint {
    uint8_t state; /* EP_* */
    uint8_t type;  /* of the context: 1..3 OUT, 4 control, 5..7 IN */
    bool again;    /* a bell rang, or there is something now: look at the ring */
    uint64_t context;
    struct ring ring;
    uint32_t residual; /* event data: bytes of the transfer so far */
    int64_t due_ns;    /* isochronous: when its next descriptor has its turn; 0: when there is one. Not saved */
};

struct slot {
    bool enabled;
    uint8_t state, port; /* port: from 1 */
    uint32_t route;
    uint64_t context;
    uint16_t interrupter;
    struct endpoint ep[XHCI_ENDPOINTS];
};

struct port {
    uint32_t sc, pmsc;
};

struct interrupter {
    uint32_t iman, imod, erstsz;
    uint64_t erstba, erdp;
    uint64_t start; /* the segment, read from the table */
    uint32_t size, at; /* TRBs of it; where the next goes */
    bool cycle;
};

struct event {
    uint64_t parameter;
    uint32_t status, control;
    uint32_t interrupter;
};

struct td { /* a transfer descriptor while it is read */
    struct ring after; /* where the ring goes on */
    unsigned count;
    uint32_t length;
    struct trb trb[XHCI_TRBS];
};

struct transfer; /* on its way; nothing of it is saved: the ring's dequeue pointer has not moved */

struct xhci {
    struct bp_device *dev;
    struct bp_usb_bus *bus;
    struct bp_deferred *work;
    struct bp_timer *timer; /* of isochronous endpoints */
    struct transfer *transfers;
    uint64_t data_bytes; /* of those */
    struct td td;
    uint32_t turn_bytes; /* that this turn moved */
    unsigned first;      /* the endpoint with which the next turn begins, counted through all slots */
    struct bp_region *mmio;
    uint32_t p2, p3, intrs, slots, ports; /* properties; ports: of registers */
    bool msix, msi, nec;
    unsigned busy; /* at work: registers that DMA of its own, or of others, leads to are left alone */
    /* saved */
    uint32_t usbcmd, usbsts, dnctrl, config;
    uint64_t dcbaap;
    struct ring command;
    bool command_running, command_bell;
    int64_t epoch_ns;
    struct port port[XHCI_PORTS];
    struct interrupter intr[XHCI_INTERRUPTERS];
    struct slot slot[XHCI_SLOTS];
    uint32_t pending_count;
    struct event pending[XHCI_PENDING];
};

extern const struct bp_pci_interface *xhci_pci;
extern const struct bp_usb_interface *xhci_usb;

/* ---- memory; false: it can't be reached, and the controller stops with a host system error ---- */
bool xhci_read(struct xhci *s, uint64_t at, void *buf, uint32_t size);
bool xhci_write(struct xhci *s, uint64_t at, const void *buf, uint32_t size);
void xhci_die(struct xhci *s, uint32_t status, const char *why);
/* ---- events (events.c) ---- */
void xhci_event(struct xhci *s, uint32_t interrupter, uint64_t parameter, uint32_t status, uint32_t control);
bool xhci_has_room(const struct xhci *s); /* no event waits: new work may begin */
void xhci_flush(struct xhci *s);
void xhci_update_irq(struct xhci *s);
bool xhci_set_ring(struct xhci *s, unsigned n); /* reads the segment table */
void xhci_write_erdp(struct xhci *s, unsigned n);
/* ---- rings ---- */
/* The next TRB that is no link: 1; 0: there is none yet; -1: the ring makes no sense. *ring moves behind it. */
int xhci_fetch(struct xhci *s, struct ring *ring, struct trb *ret);
/* ---- commands (commands.c), transfers (transfers.c) ---- */
void xhci_commands(struct xhci *s);
struct bp_usb_device *xhci_device(struct xhci *s, const struct slot *slot);
void xhci_kick(struct xhci *s, unsigned slot, unsigned dci);
void xhci_stop_transfer(struct xhci *s, unsigned slot, unsigned dci, bool tell); /* cancels; dci 0: all of the slot */
void xhci_stop_all(struct xhci *s);
void xhci_set_ep_state(struct xhci *s, struct endpoint *ep, uint8_t state);
uint8_t xhci_control(struct xhci *s, struct bp_usb_device *d, const uint8_t setup[8]);
void xhci_forget_slot(struct xhci *s, unsigned slot);
void xhci_later(struct xhci *s);
uint32_t xhci_microframe(const struct xhci *s); /* since it was reset */
bool xhci_is_isochronous(const struct endpoint *ep);

#endif
