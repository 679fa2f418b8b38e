// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command ring, slots and contexts (4.6, 6.2). Contexts are 32 bytes; what they say is read once and checked. */
#include "xhci.h"

#define CONTEXT 32u

struct input {
    uint64_t at;
    uint32_t drop, add;
};

static void forget_endpoint(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];

    xhci_stop_transfer(s, slot, dci, false);
    if (ep->state != EP_DISABLED)
        xhci_set_ep_state(s, ep, EP_DISABLED);
    memset(ep, 0, sizeof(*ep));
}

void xhci_forget_slot(struct xhci *s, unsigned slot)
{
    for (unsigned dci = 1; dci <= XHCI_ENDPOINTS; dci++)
        forget_endpoint(s, slot, dci);
    memset(&s->slot[slot], 0, sizeof(s->slot[slot]));
}

struct bp_usb_device *xhci_device(struct xhci *s, const struct slot *slot)
{
    unsigned n = slot->port ? slot->port - 1u : XHCI_PORTS;

    if (n >= s->ports || !(s->port[n].sc & PORT_PED))
        return NULL;
    struct bp_usb_device *d = xhci_usb->route(xhci_usb->port(s->bus, n < s->p2 ? n : n - s->p2), slot->route);
    /* A SuperSpeed device is at the other of the two registers of its port. */
    return d && (xhci_usb->speed(d) == BP_USB_SUPER) == (n >= s->p2) ? d : NULL;
}

static bool read_input(struct xhci *s, uint64_t at, struct input *ret)
{
    uint32_t words[2];

    ret->at = at & ~15ull;
    if (!xhci_read(s, ret->at, words, sizeof(words)))
        return false;
    ret->drop = words[0];
    ret->add = words[1];
    return true;
}

static bool read_context(struct xhci *s, uint64_t at, unsigned n, uint32_t words[8])
{
    return xhci_read(s, at + CONTEXT * n, words, CONTEXT);
}

static void set_slot_state(struct xhci *s, unsigned slot, uint8_t state, int address)
{
    struct slot *p = &s->slot[slot];
    uint32_t words[8];

    p->state = state;
    if (!read_context(s, p->context, 0, words))
        return;
    words[3] = (words[3] & 0x07ffff00) | (uint32_t)state << 27 | (address < 0 ? words[3] & 0xff : (uint32_t)address);
    xhci_write(s, p->context, words, CONTEXT);
}

static uint32_t set_up_endpoint(struct xhci *s, unsigned slot, unsigned dci, const uint32_t in[8])
{
    struct slot *p = &s->slot[slot];
    struct endpoint *ep = &p->ep[dci - 1];
    uint8_t type = in[1] >> 3 & 7;
    uint32_t words[8];

    if (dci == 1 ? type != 4 : (type == 0 || type == 4 || (type > 4) != (dci & 1)))
        return CC_PARAMETER;
    if (in[0] >> 10 & 0x1f) /* streams are not offered */
        return CC_PARAMETER;
    xhci_stop_transfer(s, slot, dci, false);
    memset(ep, 0, sizeof(*ep));
    ep->type = type;
    ep->context = p->context + CONTEXT * dci;
    ep->ring.dequeue = ((uint64_t)in[3] << 32 | in[2]) & ~15ull;
    ep->ring.cycle = in[2] & 1;
    memcpy(words, in, sizeof(words));
    words[0] = (words[0] & ~7u) | EP_RUNNING;
    if (!xhci_write(s, ep->context, words, CONTEXT))
        return CC_CONTEXT;
    ep->state = EP_RUNNING;
    return CC_SUCCESS;
}

static uint32_t enable_slot(struct xhci *s, uint32_t *ret_slot)
{
    uint32_t most = s->config & 0xff;

    for (unsigned n = 0; n < s->slots && n < most; n++) {
        if (s->slot[n].enabled)
            continue;
        xhci_forget_slot(s, n);
        s->slot[n].enabled = true;
        *ret_slot = n + 1;
        return CC_SUCCESS;
    }
    return CC_NO_SLOTS;
}

static uint32_t address_device(struct xhci *s, unsigned slot, uint64_t at, bool block)
{
    struct slot *p = &s->slot[slot];
    uint32_t words[8], ep0[8], code;
    uint64_t context;
    struct bp_usb_device *d;
    struct input in;

    if (!read_input(s, at, &in) || !read_context(s, in.at, 1, words) || !read_context(s, in.at, 2, ep0) ||
        !xhci_read(s, s->dcbaap + 8ull * (slot + 1), &context, sizeof(context)))
        return CC_PARAMETER;
    if (in.drop || in.add != 3)
        return CC_PARAMETER;
    if (p->state > SLOT_DEFAULT || (block && p->state == SLOT_DEFAULT))
        return CC_CONTEXT;
    p->context = context & ~63ull;
    p->route = words[0] & 0xfffff;
    p->port = words[1] >> 16 & 0xff;
    p->interrupter = words[2] >> 22;
    d = xhci_device(s, p);
    if (!d) {
        p->port = 0;
        return CC_TRANSACTION;
    }
    for (unsigned n = 0; n < s->slots; n++) { /* one slot for a place */
        if (n != slot && s->slot[n].enabled && s->slot[n].port && xhci_device(s, &s->slot[n]) == d) {
            p->port = 0;
            return CC_TRB;
        }
    }
    if (!block) {
        const uint8_t setup[8] = {0, 5, (uint8_t)(slot + 1)};

        if (xhci_control(s, d, setup) != BP_USB_OK)
            return CC_TRANSACTION;
    }
    code = set_up_endpoint(s, slot, 1, ep0);
    if (code != CC_SUCCESS)
        return code;
    xhci_write(s, p->context, words, CONTEXT);
    set_slot_state(s, slot, block ? SLOT_DEFAULT : SLOT_ADDRESSED, block ? 0 : (int)slot + 1);
    return CC_SUCCESS;
}

static uint32_t configure(struct xhci *s, unsigned slot, uint64_t at, bool deconfigure)
{
    struct slot *p = &s->slot[slot];
    uint32_t words[8], out[8], code = CC_SUCCESS;
    struct input in = {0};
    unsigned last = 1;

    if (p->state < SLOT_ADDRESSED)
        return CC_CONTEXT;
    if (deconfigure) {
        for (unsigned dci = 2; dci <= XHCI_ENDPOINTS; dci++)
            forget_endpoint(s, slot, dci);
        set_slot_state(s, slot, SLOT_ADDRESSED, -1);
        return CC_SUCCESS;
    }
    if (!read_input(s, at, &in) || !read_context(s, in.at, 1, words))
        return CC_PARAMETER;
    if (in.drop & 3 || (in.add & 3) != 1)
        return CC_PARAMETER;
    for (unsigned dci = 2; dci <= XHCI_ENDPOINTS && code == CC_SUCCESS; dci++) {
        uint32_t ep[8];

        if (in.drop & 1u << dci)
            forget_endpoint(s, slot, dci);
        if (!(in.add & 1u << dci))
            continue;
        code = read_context(s, in.at, dci + 1, ep) ? set_up_endpoint(s, slot, dci, ep) : CC_PARAMETER;
    }
    for (unsigned dci = 2; dci <= XHCI_ENDPOINTS; dci++) {
        if (code != CC_SUCCESS && in.add & 1u << dci)
            forget_endpoint(s, slot, dci);
        else if (p->ep[dci - 1].state != EP_DISABLED)
            last = dci;
    }
    if (code != CC_SUCCESS)
        return code;
    if (!read_context(s, p->context, 0, out))
        return CC_CONTEXT;
    out[0] = (words[0] & 0x06000000) | (out[0] & 0x01ffffff) | (uint32_t)last << 27;
    out[1] = (out[1] & 0x00ffffff) | (words[1] & 0xff000000);
    xhci_write(s, p->context, out, CONTEXT);
    set_slot_state(s, slot, last > 1 ? SLOT_CONFIGURED : SLOT_ADDRESSED, -1);
    return CC_SUCCESS;
}

static uint32_t evaluate(struct xhci *s, unsigned slot, uint64_t at)
{
    struct slot *p = &s->slot[slot];
    uint32_t words[8], out[8];
    struct input in;

    if (p->state == SLOT_DISABLED)
        return CC_CONTEXT;
    if (!read_input(s, at, &in) || in.drop || in.add & ~3u)
        return CC_PARAMETER;
    if (in.add & 1) {
        if (!read_context(s, in.at, 1, words) || !read_context(s, p->context, 0, out))
            return CC_PARAMETER;
        p->interrupter = words[2] >> 22;
        out[1] = (out[1] & ~0xffffu) | (words[1] & 0xffff);
        out[2] = (out[2] & 0x003fffff) | (words[2] & 0xffc00000);
        xhci_write(s, p->context, out, CONTEXT);
    }
    if (in.add & 2) {
        if (!read_context(s, in.at, 2, words) || !read_context(s, p->context, 1, out))
            return CC_PARAMETER;
        out[1] = (out[1] & 0xffff) | (words[1] & 0xffff0000);
        xhci_write(s, p->context + CONTEXT, out, CONTEXT);
    }
    return CC_SUCCESS;
}

static uint32_t reset_endpoint(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];

    if (ep->state != EP_HALTED)
        return CC_CONTEXT;
    ep->residual = 0;
    xhci_set_ep_state(s, ep, EP_STOPPED);
    return CC_SUCCESS;
}

static uint32_t stop_endpoint(struct xhci *s, unsigned slot, unsigned dci)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];

    if (ep->state != EP_RUNNING)
        return CC_CONTEXT;
    xhci_stop_transfer(s, slot, dci, true);
    xhci_set_ep_state(s, ep, EP_STOPPED);
    return CC_SUCCESS;
}

static uint32_t set_dequeue(struct xhci *s, unsigned slot, unsigned dci, const struct trb *t)
{
    struct endpoint *ep = &s->slot[slot].ep[dci - 1];

    if (ep->state != EP_STOPPED && ep->state != EP_ERROR)
        return CC_CONTEXT;
    if (t->status >> 16)
        return CC_STREAM; /* there are none */
    ep->ring.dequeue = t->parameter & ~15ull;
    ep->ring.cycle = t->parameter & 1;
    ep->residual = 0;
    xhci_set_ep_state(s, ep, EP_STOPPED);
    return CC_SUCCESS;
}

static uint32_t reset_slot(struct xhci *s, unsigned slot)
{
    if (s->slot[slot].state < SLOT_ADDRESSED)
        return CC_CONTEXT;
    for (unsigned dci = 2; dci <= XHCI_ENDPOINTS; dci++)
        forget_endpoint(s, slot, dci);
    set_slot_state(s, slot, SLOT_DEFAULT, 0);
    return CC_SUCCESS;
}

static uint32_t of_endpoint(struct xhci *s, const struct trb *t, unsigned slot, unsigned dci)
{
    if (dci == 0)
        return CC_TRB;
    if (s->slot[slot].ep[dci - 1].state == EP_DISABLED)
        return CC_EP_NOT_ENABLED;
    switch (t->control >> 10 & 0x3f) {
    case CMD_RESET_ENDPOINT:
        return reset_endpoint(s, slot, dci);
    case CMD_STOP_ENDPOINT:
        return stop_endpoint(s, slot, dci);
    default:
        return set_dequeue(s, slot, dci, t);
    }
}

static uint32_t of_slot(struct xhci *s, const struct trb *t, unsigned slot)
{
    if (slot >= s->slots || !s->slot[slot].enabled)
        return CC_SLOT_NOT_ENABLED;
    switch (t->control >> 10 & 0x3f) {
    case CMD_DISABLE_SLOT:
        if (s->slot[slot].context)
            set_slot_state(s, slot, SLOT_DISABLED, 0);
        xhci_forget_slot(s, slot);
        return CC_SUCCESS;
    case CMD_ADDRESS_DEVICE:
        return address_device(s, slot, t->parameter, t->control & TRB_BSR);
    case CMD_CONFIGURE:
        return configure(s, slot, t->parameter, t->control & TRB_DC);
    case CMD_EVALUATE:
        return evaluate(s, slot, t->parameter);
    case CMD_RESET_DEVICE:
        return reset_slot(s, slot);
    default:
        return of_endpoint(s, t, slot, t->control >> 16 & 0x1f);
    }
}

static void carry_out(struct xhci *s, const struct trb *t)
{
    unsigned type = t->control >> 10 & 0x3f;
    uint32_t slot = t->control >> 24, code = CC_TRB;

    if (type == CMD_ENABLE_SLOT) {
        slot = 0;
        code = enable_slot(s, &slot);
    } else if (type >= CMD_DISABLE_SLOT && type <= CMD_RESET_DEVICE) {
        code = of_slot(s, t, slot - 1);
    } else if (type == CMD_NOOP) {
        code = CC_SUCCESS;
    } else if (type == CMD_NEC_FIRMWARE && s->nec) {
        xhci_event(s, 0, t->at, CC_SUCCESS << 24 | 0x3025, EVENT_NEC << 10);
        return;
    }
    xhci_event(s, 0, t->at, code << 24, slot << 24 | EVENT_COMMAND << 10);
}

void xhci_commands(struct xhci *s)
{
    unsigned n = 0;
    struct trb t;
    int r = 1;

    s->command_running = true;
    while (s->usbcmd & CMD_RUN && xhci_has_room(s) && n++ < XHCI_BATCH) {
        r = xhci_fetch(s, &s->command, &t);
        if (r < 0)
            xhci_die(s, STS_HCE, "the command ring is where no memory is, or has no end");
        if (r <= 0)
            break;
        carry_out(s, &t);
    }
    s->command_bell = r > 0;
    if (r > 0)
        xhci_later(s);
}
