// SPDX-License-Identifier: LGPL-2.1-or-later
/* Transfers of controllers that walk lists, while a device has them. */
#include <stdlib.h>

#include "transfers.h"

void usb_transfer_unlink(struct usb_transfer *t)
{
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
}

void usb_transfer_free(struct usb_transfer *t)
{
    if (!t->ended)
        t->all->usb->cancel(&t->packet);
    usb_transfer_unlink(t);
    free(t);
}

static struct usb_transfer *of_queue(struct usb_transfers *all, uint32_t queue)
{
    struct usb_transfer *t = all->first;

    while (t && t->queue != queue)
        t = t->next;
    return t;
}

struct usb_transfer *usb_transfers_at(struct usb_transfers *all, uint32_t queue, uint32_t descriptor,
                                      const uint32_t words[2])
{
    struct usb_transfer *t = of_queue(all, queue);

    if (!t)
        return NULL;
    if (t->descriptor != descriptor || t->words[0] != words[0] || t->words[1] != words[1]) {
        usb_transfer_free(t);
        return NULL;
    }
    t->marked = false;
    t->again |= t->unseen != 0;
    if (t->gap < t->unseen)
        t->gap = t->unseen;
    t->unseen = 0;
    return t;
}

void usb_transfers_met(struct usb_transfers *all, uint32_t queue)
{
    struct usb_transfer *t = of_queue(all, queue);

    if (t)
        t->marked = false;
}

void usb_transfers_leave(struct usb_transfers *all, uint32_t queue)
{
    struct usb_transfer *t = of_queue(all, queue);

    if (t)
        usb_transfer_free(t);
}

static void done(struct bp_usb_packet *packet)
{
    struct usb_transfer *t = packet->opaque;

    t->ended = true;
    if (t->all->ended)
        t->all->ended(t->all->opaque);
}

struct usb_transfer *usb_transfer_new(struct usb_transfers *all, uint8_t list, uint32_t queue, uint32_t descriptor,
                                      const uint32_t words[2], uint32_t length)
{
    struct usb_transfer *t = calloc(1, sizeof(*t) + length);

    if (!t)
        return NULL;
    t->all = all;
    t->list = list;
    t->queue = queue;
    t->descriptor = descriptor;
    t->words[0] = words[0];
    t->words[1] = words[1];
    t->ended = true;
    t->packet.size = sizeof(t->packet);
    t->packet.status = BP_USB_ERROR;
    t->packet.length = length;
    t->packet.data = t->data;
    t->packet.done = done;
    t->packet.opaque = t;
    return t;
}

/* What was there for the endpoint, and is met no more, as far as this frame has come. */
static void take_place(const struct usb_transfer *t, const struct bp_usb_device *device)
{
    struct usb_transfer *next;

    for (struct usb_transfer *o = t->all->first; o; o = next) {
        next = o->next;
        if (!o->ended && o->packet.device == device && o->packet.endpoint == t->packet.endpoint &&
            (o->packet.token == BP_USB_IN) == (t->packet.token == BP_USB_IN) && (o->unseen || o->marked))
            usb_transfer_free(o);
    }
}

void usb_transfer_submit(struct usb_transfer *t, struct bp_usb_device *device)
{
    take_place(t, device);
    if (t->all->usb->submit(device, &t->packet) != BP_USB_LATER)
        return;
    t->ended = false;
    t->next = t->all->first;
    t->link = &t->all->first;
    if (t->next)
        t->next->link = &t->next;
    t->all->first = t;
}

void usb_transfers_mark(struct usb_transfers *all, uint8_t list)
{
    for (struct usb_transfer *t = all->first; t; t = t->next)
        t->marked |= t->list == list;
}

void usb_transfers_sweep(struct usb_transfers *all, uint8_t list)
{
    struct usb_transfer *next;

    for (struct usb_transfer *t = all->first; t; t = next) {
        next = t->next;
        if (t->list == list && t->marked)
            usb_transfer_free(t);
    }
}

void usb_transfers_age(struct usb_transfers *all, uint8_t list, bool whole, uint32_t patience)
{
    struct usb_transfer *next;

    for (struct usb_transfer *t = all->first; t; t = next) {
        next = t->next;
        if (t->list == list && ++t->unseen > (whole && t->again ? t->gap : patience))
            usb_transfer_free(t);
    }
}

void usb_transfers_cancel(struct usb_transfers *all, uint8_t list)
{
    usb_transfers_mark(all, list);
    usb_transfers_sweep(all, list);
}

void usb_transfers_cancel_all(struct usb_transfers *all)
{
    while (all->first)
        usb_transfer_free(all->first);
}
