/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transfers of controllers whose schedule is a list in guest memory (EHCI, OHCI, UHCI), while a device has them. A
 * descriptor that became a packet stays as it is until the schedule meets it again after the packet's end: nothing of
 * this is saved. What the schedule leads to no more is cancelled, so that a driver that has taken a queue off its
 * list, and waited as its controller wants it, finds that nothing is under way there:
 *
 * - A list that each turn walks as a whole (asynchronous, control, bulk) is marked before and swept after: what was not
 *   met is not on it (EHCI 1.0 4.8.2, OHCI 1.0a 5.2.7).
 * - What the schedule comes by now and then (periodic, and everything of UHCI) ages by frames: it goes when it was not
 *   met for longer than ever before (UHCI 1.1 3.4: after the frame in which it was taken off).
 *
 * An endpoint has one transfer: a newer one takes the place of what was not met since. A static library, a copy in each
 * controller's module; under the machine lock.
 */
#ifndef HW_USB_TRANSFERS_H
#define HW_USB_TRANSFERS_H

#include <bp/bus/usb.h>

struct usb_transfers { /* zeroes but for `usb` at first */
    const struct bp_usb_interface *usb;
    void (*ended)(void *opaque); /* one has ended, and waits to be met; or NULL */
    void *opaque;
    struct usb_transfer *first;
};

struct usb_transfer {
    struct usb_transfers *all;
    struct usb_transfer *next, **link; /* link NULL: no device has it */
    uint32_t queue, descriptor;        /* where they are: the queue head, or what stands for one; the descriptor */
    uint32_t words[2];                 /* of the descriptor, to see whether it is still the same */
    uint8_t list;                      /* the controller's number of a list */
    bool ended, marked, again;         /* the packet has ended; not met since the mark; was met after submit() */
    uint32_t unseen, gap;              /* frames: since it was met; the most there were between */
    struct bp_usb_packet packet;
    uint8_t data[];
};

/* The one of a queue, which is met by this; one that is of another descriptor, or of this with other words, is
 * cancelled. NULL: none. */
struct usb_transfer *usb_transfers_at(struct usb_transfers *all, uint32_t queue, uint32_t descriptor,
                                      const uint32_t words[2]);
void usb_transfers_met(struct usb_transfers *all, uint32_t queue); /* it is on the list, whatever it does */
/* A queue stands still, or is empty: what it had is cancelled. */
void usb_transfers_leave(struct usb_transfers *all, uint32_t queue);
/* With room for `length` bytes, ended with BP_USB_ERROR until it is submitted. NULL: no memory. */
struct usb_transfer *usb_transfer_new(struct usb_transfers *all, uint8_t list, uint32_t queue, uint32_t descriptor,
                                      const uint32_t words[2], uint32_t length);
/* To a device; afterwards `ended` says whether the packet has its status. */
void usb_transfer_submit(struct usb_transfer *t, struct bp_usb_device *device);
void usb_transfer_unlink(struct usb_transfer *t); /* it has ended: nobody but the caller frees it now */
void usb_transfer_free(struct usb_transfer *t);   /* cancels it when a device has it */
void usb_transfers_mark(struct usb_transfers *all, uint8_t list);
void usb_transfers_sweep(struct usb_transfers *all, uint8_t list);
/* The end of a frame. whole: it came to the end of its list; otherwise, and before it was met again, what is
 * not met waits for `patience` frames. */
void usb_transfers_age(struct usb_transfers *all, uint8_t list, bool whole, uint32_t patience);
void usb_transfers_cancel(struct usb_transfers *all, uint8_t list);
void usb_transfers_cancel_all(struct usb_transfers *all);

#endif
