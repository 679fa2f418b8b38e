// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Control transfers (USB 2.0 5.5, 8.5.3): stages, and the standard requests (9.4). The data of a transfer is at most
 * USB_CONTROL bytes; a longer one stalls, and what comes beyond the length that the set-up packet told, too.
 */
#include <string.h>

#include <bp/log.h>

#include "usb.h"

void usb_settings_reset(struct bp_usb_device *d)
{
    d->address = d->configuration = d->may_wake = 0;
    d->halted = 0;
    memset(d->alternate, 0, sizeof(d->alternate));
    d->stage = STAGE_IDLE;
    d->at = d->size = 0;
}

static void configure(struct bp_usb_device *d, uint8_t configuration)
{
    usb_cancel_all(d, BP_USB_GONE);
    d->configuration = configuration;
    d->halted = 0;
    memset(d->alternate, 0, sizeof(d->alternate));
    if (d->info->configured)
        d->info->configured(d->state, configuration);
}

static uint8_t feature(struct bp_usb_device *d, const struct bp_usb_request *r)
{
    bool set = r->request == USB_SET_FEATURE;
    uint8_t address = (uint8_t)r->index;

    switch (r->type & 0x1f) {
    case 0:
        if (r->value == USB_REMOTE_WAKEUP) {
            d->may_wake = set && d->description->attributes & 0x20;
            return d->description->attributes & 0x20 ? BP_USB_OK : BP_USB_STALL;
        }
        return d->speed == BP_USB_SUPER && r->value >= USB_U1_ENABLE && r->value <= USB_U2_ENABLE + 1 ? BP_USB_OK
                                                                                                     : BP_USB_STALL;
    case 1: /* of an interface, to be suspended */
        return d->speed == BP_USB_SUPER && r->value == 0 ? BP_USB_OK : BP_USB_STALL;
    case 2:
        if (r->value != USB_ENDPOINT_HALT || ((address & 15) && !usb_endpoint(d, address)))
            return BP_USB_STALL;
        if ((address & 15) == 0)
            return BP_USB_OK;
        d->halted = set ? d->halted | usb_halt_bit(address) : d->halted & ~usb_halt_bit(address);
        if (!set && d->info->unhalted)
            d->info->unhalted(d->state, address);
        return BP_USB_OK;
    default:
        return BP_USB_STALL;
    }
}

static uint8_t get_status(struct bp_usb_device *d, struct bp_usb_request *r)
{
    uint8_t address = (uint8_t)r->index;
    unsigned status = 0;

    if (r->type == 0x80)
        status = (d->description->attributes >> 6 & 1u) | (unsigned)d->may_wake << 1;
    else if (r->type == 0x82 && (address & 15) && !usb_endpoint(d, address))
        return BP_USB_STALL;
    else if (r->type == 0x82)
        status = (d->halted & usb_halt_bit(address)) != 0;
    else if (r->type != 0x81)
        return BP_USB_STALL;
    r->data[0] = (uint8_t)status;
    r->data[1] = 0;
    r->actual = 2;
    return BP_USB_OK;
}

static uint8_t set_interface(struct bp_usb_device *d, const struct bp_usb_request *r)
{
    uint8_t number = (uint8_t)r->index, alternate = (uint8_t)r->value;

    if (!d->configuration || r->index >= 32 || r->value > 255 || !usb_has_interface(d, number, alternate))
        return BP_USB_STALL;
    usb_cancel_all(d, BP_USB_GONE);
    d->alternate[number] = alternate;
    d->halted = 0;
    if (d->info->set_interface)
        d->info->set_interface(d->state, number, alternate);
    return BP_USB_OK;
}

/* BP_USB_NAK: it is none of the standard's, or of a class. */
static uint8_t standard(struct bp_usb_device *d, struct bp_usb_request *r)
{
    int length;

    switch (r->type << 8 | r->request) {
    case 0x8000 | USB_GET_DESCRIPTOR:
        length = usb_descriptor(d, (uint8_t)(r->value >> 8), (uint8_t)r->value, d->data);
        if (length < 0)
            return BP_USB_NAK;
        r->actual = (uint16_t)length;
        return BP_USB_OK;
    case 0x0000 | USB_SET_ADDRESS:
        if (r->value >= USB_ADDRESSES)
            return BP_USB_STALL;
        d->address = (uint8_t)r->value; /* the status stage has come: this is its end */
        return BP_USB_OK;
    case 0x8000 | USB_GET_CONFIGURATION:
        r->data[0] = d->configuration;
        r->actual = 1;
        return BP_USB_OK;
    case 0x0000 | USB_SET_CONFIGURATION:
        if (r->value > 1)
            return BP_USB_STALL;
        configure(d, (uint8_t)r->value);
        return BP_USB_OK;
    case 0x8100 | USB_GET_INTERFACE:
        if (!d->configuration || r->index >= 32 || !usb_has_interface(d, (uint8_t)r->index, 0))
            return BP_USB_STALL;
        r->data[0] = d->alternate[r->index];
        r->actual = 1;
        return BP_USB_OK;
    case 0x0100 | USB_SET_INTERFACE:
        return set_interface(d, r);
    case 0x0000 | USB_SET_SEL:
    case 0x0000 | USB_SET_ISOCH_DELAY:
        return d->speed == BP_USB_SUPER ? BP_USB_OK : BP_USB_STALL;
    default:
        break;
    }
    if ((r->type & 0x60) == 0 && r->request == USB_GET_STATUS)
        return get_status(d, r);
    if ((r->type & 0xe0) == 0 && (r->request == USB_CLEAR_FEATURE || r->request == USB_SET_FEATURE))
        return feature(d, r);
    return BP_USB_NAK;
}

static uint8_t carry_out(struct bp_usb_device *d)
{
    struct bp_usb_request r = {
        .type = d->setup[0], .request = d->setup[1], .value = (uint16_t)(d->setup[2] | d->setup[3] << 8),
        .index = (uint16_t)(d->setup[4] | d->setup[5] << 8), .length = (uint16_t)(d->setup[6] | d->setup[7] << 8),
        .data = d->data};
    uint8_t status = standard(d, &r);

    if (status == BP_USB_NAK)
        status = d->info->control ? d->info->control(d->state, &r) : BP_USB_STALL;
    if (status != BP_USB_OK)
        return BP_USB_STALL;
    if (r.type & 0x80)
        d->size = r.actual < r.length ? r.actual : r.length;
    return BP_USB_OK;
}

static uint8_t set_up(struct bp_usb_device *d, struct bp_usb_packet *p)
{
    unsigned length;

    d->stage = STAGE_STALLED;
    if (p->length != 8)
        return BP_USB_STALL;
    memcpy(d->setup, p->data, 8);
    p->actual = 8;
    length = d->setup[6] | (unsigned)d->setup[7] << 8;
    d->at = 0;
    d->size = length;
    if (length > USB_CONTROL) {
        bp_guest_error("usb-control", "USB: a control transfer of %u bytes: at most %u are possible", length,
                       USB_CONTROL);
        return BP_USB_OK; /* a set-up packet is always taken; what follows stalls */
    }
    if (d->setup[0] & 0x80 && length) {
        memset(d->data, 0, sizeof(d->data));
        if (carry_out(d) == BP_USB_OK)
            d->stage = STAGE_DATA;
    } else {
        d->stage = length ? STAGE_DATA : STAGE_STATUS;
    }
    return BP_USB_OK;
}

static uint8_t data_in(struct bp_usb_device *d, struct bp_usb_packet *p)
{
    uint32_t left = d->size - d->at, n = p->length < left ? p->length : left;

    if (n)
        memcpy(p->data, d->data + d->at, n);
    d->at += n;
    p->actual = n;
    return BP_USB_OK;
}

static uint8_t data_out(struct bp_usb_device *d, struct bp_usb_packet *p)
{
    if (p->length > d->size - d->at) {
        d->stage = STAGE_STALLED;
        return BP_USB_STALL;
    }
    if (p->length)
        memcpy(d->data + d->at, p->data, p->length);
    d->at += p->length;
    p->actual = p->length;
    if (d->at == d->size)
        d->stage = STAGE_STATUS;
    return BP_USB_OK;
}

static uint8_t status_stage(struct bp_usb_device *d)
{
    bool in = d->setup[0] & 0x80 && (d->setup[6] || d->setup[7]);
    uint8_t status = in ? BP_USB_OK : carry_out(d);

    d->stage = status == BP_USB_OK ? STAGE_IDLE : STAGE_STALLED;
    return status;
}

uint8_t usb_control(struct bp_usb_device *d, struct bp_usb_packet *p)
{
    bool in = d->setup[0] & 0x80 && (d->setup[6] || d->setup[7]);

    if (p->token == BP_USB_SETUP)
        return set_up(d, p);
    if (d->stage == STAGE_DATA && in)
        return p->token == BP_USB_IN ? data_in(d, p) : status_stage(d);
    if (d->stage == STAGE_DATA && p->token == BP_USB_OUT)
        return data_out(d, p);
    if (d->stage == STAGE_STATUS && p->token == BP_USB_IN)
        return status_stage(d);
    /* The status stage of a transfer that was answered, once more: its handshake may have been lost. */
    if (d->stage == STAGE_IDLE && p->length == 0)
        return BP_USB_OK;
    d->stage = STAGE_STALLED;
    return BP_USB_STALL;
}
