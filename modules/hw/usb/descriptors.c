// SPDX-License-Identifier: LGPL-2.1-or-later
/* Descriptors (USB 2.0 9.6, USB 3.2 9.6) made of the tables of a class. */
#include <string.h>

#include "usb.h"

enum { DEVICE = 1, CONFIGURATION, STRING, INTERFACE, ENDPOINT, QUALIFIER, OTHER_SPEED, BOS = 15, CAPABILITY = 16,
       COMPANION = 48 };

struct out {
    uint8_t *buf;
    unsigned at;
};

static void put(struct out *o, const void *bytes, unsigned length)
{
    if (length && length <= USB_CONTROL - o->at) {
        memcpy(o->buf + o->at, bytes, length);
        o->at += length;
    }
}

static uint8_t low(unsigned v)
{
    return (uint8_t)v;
}

static uint8_t high(unsigned v)
{
    return (uint8_t)(v >> 8);
}

static int device(const struct bp_usb_device *d, uint8_t *buf)
{
    const struct bp_usb_device_info *i = d->info;
    const struct bp_usb_description *t = d->description;
    struct out o = {buf, 0};
    const uint8_t serial = usb_string(d, i->serial_string) ? i->serial_string : 0;
    const uint8_t bytes[18] = {18, DEVICE, low(t->version), high(t->version), t->class_code, t->subclass, t->protocol,
                               t->max_packet0, low(i->vendor), high(i->vendor), low(i->product), high(i->product),
                               low(i->release), high(i->release), i->manufacturer_string, i->product_string, serial, 1};

    put(&o, bytes, sizeof(bytes));
    return (int)o.at;
}

/* audio: those of Audio Data Formats 1.0 end with bRefresh and bSynchAddress (4.6.1.1). */
static void endpoint(struct out *o, const struct bp_usb_endpoint *e, bool super, bool audio)
{
    const uint8_t bytes[9] = {audio ? 9 : 7, ENDPOINT, e->address, e->attributes, low(e->max_packet),
                              high(e->max_packet), e->interval};
    unsigned each = e->attributes & 1 ? e->max_packet : 0; /* bytes of an interval, of periodic ones */
    const uint8_t more[6] = {6, COMPANION, e->burst, (e->attributes & 3) == BP_USB_BULK ? e->streams : 0, low(each),
                             high(each)};

    put(o, bytes, bytes[0]);
    if (super)
        put(o, more, sizeof(more));
    put(o, e->extra, e->extra ? e->extra_length : 0);
}

static int configuration(const struct bp_usb_description *t, bool super, uint8_t type, uint8_t *buf)
{
    struct out o = {buf, 9};

    for (unsigned n = 0; n < t->interface_count; n++) {
        const struct bp_usb_interface_info *i = &t->table[n];
        const uint8_t bytes[9] = {9, INTERFACE, i->number, i->alternate, i->endpoint_count, i->class_code, i->subclass,
                                  i->protocol, i->string};

        put(&o, bytes, sizeof(bytes));
        put(&o, i->extra, i->extra ? i->extra_length : 0);
        for (unsigned e = 0; e < i->endpoint_count; e++)
            endpoint(&o, &i->endpoints[e], super, i->class_code == 1 && i->protocol == 0);
    }
    const uint8_t head[9] = {9, type, low(o.at), high(o.at), t->interfaces, 1, t->config_string, t->attributes,
                             t->power};
    memcpy(buf, head, sizeof(head));
    return (int)o.at;
}

/* Text in UTF-8 as UTF-16; what is not well-formed, or beyond the first plane, as '?'. */
static int string(const char *text, uint8_t *buf)
{
    unsigned at = 2;

    while (*text && at + 2 <= 254) {
        const uint8_t *s = (const uint8_t *)text;
        unsigned code = s[0], length = 1;

        if ((s[0] & 0xe0) == 0xc0 && (s[1] & 0xc0) == 0x80) {
            code = (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
            length = 2;
        } else if ((s[0] & 0xf0) == 0xe0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80) {
            code = (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
            length = 3;
        } else if (s[0] >= 0x80) {
            code = '?';
        }
        buf[at++] = low(code);
        buf[at++] = high(code);
        text += length;
    }
    buf[0] = (uint8_t)at;
    buf[1] = STRING;
    return (int)at;
}

/* What it is at the other of full and high speed (9.6.2). */
static const struct bp_usb_description *other(const struct bp_usb_device *d)
{
    if (d->speed == BP_USB_HIGH && d->allowed & BP_USB_SPEED(BP_USB_FULL))
        return d->info->at[BP_USB_FULL];
    if (d->speed == BP_USB_FULL && d->allowed & BP_USB_SPEED(BP_USB_HIGH))
        return d->info->at[BP_USB_HIGH];
    return NULL;
}

static int qualifier(const struct bp_usb_device *d, uint8_t *buf)
{
    const struct bp_usb_description *t = other(d);

    if (!t)
        return -1;
    const uint8_t bytes[10] = {10, QUALIFIER, low(t->version), high(t->version), t->class_code, t->subclass,
                               t->protocol, t->max_packet0, 1, 0};
    memcpy(buf, bytes, sizeof(bytes));
    return sizeof(bytes);
}

/* Capabilities: link power management, and what SuperSpeed devices have to say (USB 3.2 9.6.2). */
static int bos(const struct bp_usb_device *d, uint8_t *buf)
{
    static const uint8_t extension[7] = {7, CAPABILITY, 2, 0, 0, 0, 0};
    static const uint8_t super[10] = {10, CAPABILITY, 3, 0, 0x0e, 0, 1, 0x0a, 0xff, 0x07};
    struct out o = {buf, 5};
    bool both = d->info->at[BP_USB_SUPER] != NULL;

    if (!both || !(d->allowed & BP_USB_SPEED(BP_USB_SUPER)))
        return -1;
    put(&o, extension, sizeof(extension));
    put(&o, super, sizeof(super));
    const uint8_t head[5] = {5, BOS, low(o.at), high(o.at), 2};
    memcpy(buf, head, sizeof(head));
    return (int)o.at;
}

const char *usb_string(const struct bp_usb_device *d, uint8_t index)
{
    if (index == 0 || index >= USB_STRINGS)
        return NULL;
    if (d->string[index])
        return d->string[index];
    for (unsigned n = 1; d->info->strings && n <= index && d->info->strings[n]; n++) {
        if (n == index)
            return d->info->strings[n];
    }
    return NULL;
}

int usb_descriptor(struct bp_usb_device *d, uint8_t type, uint8_t index, uint8_t *buf)
{
    static const uint8_t languages[4] = {4, STRING, 9, 4}; /* English (USA) */

    switch (type) {
    case DEVICE:
        return device(d, buf);
    case CONFIGURATION:
        return index ? -1 : configuration(d->description, d->speed == BP_USB_SUPER, CONFIGURATION, buf);
    case OTHER_SPEED:
        return index || !other(d) ? -1 : configuration(other(d), false, OTHER_SPEED, buf);
    case QUALIFIER:
        return qualifier(d, buf);
    case BOS:
        return bos(d, buf);
    case STRING:
        if (index == 0) {
            memcpy(buf, languages, sizeof(languages));
            return sizeof(languages);
        }
        return usb_string(d, index) ? string(usb_string(d, index), buf) : -1;
    default:
        return -1;
    }
}

bool usb_has_interface(const struct bp_usb_device *d, uint8_t number, uint8_t alternate)
{
    for (unsigned n = 0; n < d->description->interface_count; n++) {
        if (d->description->table[n].number == number && d->description->table[n].alternate == alternate)
            return true;
    }
    return false;
}

/* Of the interfaces as they are set. */
const struct bp_usb_endpoint *usb_endpoint(const struct bp_usb_device *d, uint8_t address)
{
    for (unsigned n = 0; d->configuration && n < d->description->interface_count; n++) {
        const struct bp_usb_interface_info *i = &d->description->table[n];

        for (unsigned e = 0; d->alternate[i->number % 32] == i->alternate && e < i->endpoint_count; e++) {
            if (i->endpoints[e].address == address)
                return &i->endpoints[e];
        }
    }
    return NULL;
}
