/* SPDX-License-Identifier: MIT */
/*
 * The USB bus (USB 2.0, USB 3.2): interface usb/1, offered by the `usb` module; bus type "usb-bus". Controllers and
 * devices meet only here: a controller makes a bus with ports and gives packets to devices, which end them at once
 * or later, or when they are cancelled. Hubs are devices with ports of their own, named "1.2" by their place.
 *
 * A device is a level (bp/level.h): its class has the parent "usb-device" and says in its infos what it is (struct
 * bp_usb_device_info): descriptors are tables, standard requests are answered by the module. All under the machine
 * lock. Left out: control requests that end later; toggles are not compared.
 */
#ifndef BP_BUS_USB_H
#define BP_BUS_USB_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_usb_bus;    /* opaque */
struct bp_usb_port;   /* opaque: of a controller, or of a hub */
struct bp_usb_device; /* opaque: the level of a device */

enum bp_usb_speed { BP_USB_LOW, BP_USB_FULL, BP_USB_HIGH, BP_USB_SUPER };
#define BP_USB_SPEED(s) (1u << (s)) /* in masks of speeds */

enum bp_usb_token { BP_USB_SETUP, BP_USB_IN, BP_USB_OUT };

enum bp_usb_status {
    BP_USB_OK,
    BP_USB_NAK,       /* nothing now: ready() tells when, or ask again */
    BP_USB_STALL,
    BP_USB_BABBLE,    /* it has more than there is room for */
    BP_USB_ERROR,     /* nobody answers, or not in a way that makes sense */
    BP_USB_GONE,      /* the device went while the packet was on its way */
    BP_USB_LATER,     /* complete() will end it */
};

enum { BP_USB_CONTROL, BP_USB_ISOCHRONOUS, BP_USB_BULK, BP_USB_INTERRUPT }; /* of endpoints */

/* A transfer to or from an endpoint, or a part of one. The controller allocates and fills it, and keeps it and its data
 * until it has ended. */
struct bp_usb_packet {
    uint32_t size;    /* sizeof(struct bp_usb_packet) */
    uint8_t token;    /* enum bp_usb_token */
    uint8_t endpoint; /* number, 0..15 */
    uint8_t status;   /* enum bp_usb_status, when it ended */
    uint8_t flags;    /* none yet: 0 */
    uint32_t stream;  /* SuperSpeed bulk: which one; 0: none */
    uint32_t length;  /* bytes of data, or of room for them: whole packets but for the last one */
    uint32_t actual;  /* bytes that went over */
    uint32_t frame;   /* isochronous: number of the (micro)frame; else 0 */
    uint8_t *data;
    /* It ended after submit() returned BP_USB_LATER; not called for what cancel() ended. */
    void (*done)(struct bp_usb_packet *packet);
    void *opaque;
    /* The bus's and the device's. */
    struct bp_usb_device *device;
    void *device_data;
    struct bp_usb_packet *next, **link;
    void *reserved[2];
};

/* ---- descriptors (USB 2.0 9.6, USB 3.2 9.6) ---- */
struct bp_usb_endpoint {
    uint8_t address;    /* with 0x80 for IN */
    uint8_t attributes; /* BP_USB_BULK, ... */
    uint16_t max_packet;
    uint8_t interval;   /* bInterval */
    uint8_t burst;      /* SuperSpeed: packets of a burst - 1 */
    uint8_t streams;    /* SuperSpeed: two to the power of this; 0: none */
    uint8_t extra_length;
    const uint8_t *extra; /* bytes of descriptors that stand behind it, or NULL */
};

struct bp_usb_interface_info {
    uint8_t number, alternate, class_code, subclass, protocol, string;
    uint8_t endpoint_count;
    uint8_t extra_length;
    const struct bp_usb_endpoint *endpoints;
    const uint8_t *extra; /* of a class (HID): before the endpoints; or NULL */
};

/* What it is at one speed. It has one configuration, of number 1. */
struct bp_usb_description {
    uint16_t version; /* bcdUSB: 0x0110, 0x0200, 0x0300 */
    uint8_t max_packet0; /* bytes; 9 at SuperSpeed */
    uint8_t class_code, subclass, protocol;
    uint8_t attributes; /* bmAttributes of the configuration: 0x80, 0x20: wakes, 0x40: self-powered */
    uint8_t power;      /* bMaxPower */
    uint8_t config_string;
    uint8_t interfaces; /* how many, alternates not counted */
    uint8_t interface_count; /* of the table */
    uint8_t reserved8;
    const struct bp_usb_interface_info *table;
};

/* A control request (9.3). */
struct bp_usb_request {
    uint8_t type, request;
    uint16_t value, index, length;
    uint8_t *data;   /* `length` bytes: to the device, or room for its answer */
    uint16_t actual; /* bytes of the answer, set by the device */
};

/* What a class of devices says to the level "usb-device", in its infos. Each callback may be NULL. */
struct bp_usb_device_info {
    uint32_t size;
    uint16_t vendor, product, release; /* idVendor, idProduct, bcdDevice */
    uint8_t manufacturer_string, product_string, serial_string; /* indices into strings, 0: none */
    uint8_t reserved8[3];
    /* By speed; NULL: it does not work at this speed. */
    const struct bp_usb_description *at[4];
    const char *const *strings; /* [0] is not looked at; ends with NULL */
    /* A request that is not one of the standard's: of a class, a vendor, or a descriptor that the module does not
     * know. BP_USB_OK or BP_USB_STALL. */
    uint8_t (*control)(void *state, struct bp_usb_request *request);
    /* Data of another endpoint: enum bp_usb_status, with packet->actual set. After BP_USB_LATER the packet is
     * the device's, until complete() or cancel(). */
    uint8_t (*transfer)(void *state, struct bp_usb_packet *packet);
    /* Forget it now. Every class that gives BP_USB_LATER has it. Before detach() this has been called for all. */
    void (*cancel)(void *state, struct bp_usb_packet *packet);
    void (*reset)(void *state); /* of its port, and of the machine */
    void (*configured)(void *state, uint8_t configuration); /* by the guest's driver; 0: no more */
    void (*set_interface)(void *state, uint8_t interface, uint8_t alternate);
    void (*unhalted)(void *state, uint8_t endpoint); /* address: its halt was cleared */
    void *reserved[4];
};

/* What the owner of ports hears. Each may be NULL. */
struct bp_usb_port_ops {
    uint32_t size;
    void (*attached)(void *opaque, unsigned n);
    void (*detached)(void *opaque, unsigned n);
    void (*wakeup)(void *opaque, unsigned n); /* a device there, or behind it, wants to be resumed */
    /* An endpoint (its address) that gave BP_USB_NAK has something now; told to the controller. */
    void (*ready)(void *opaque, struct bp_usb_device *device, uint8_t endpoint);
    /* To a companion: the controller whose ports it serves goes. There are none any more, and no bus to leave(). */
    void (*gone)(void *opaque);
    void *reserved[2];
};

struct bp_usb_bus_info {
    uint32_t size;
    uint32_t ports;  /* how many, 1..32 */
    uint32_t speeds; /* BP_USB_SPEED() of each; set_speeds() changes one's */
    uint32_t reserved32;
    const struct bp_usb_port_ops *ops; /* copied */
    /* For EHCI: a companion controller serves `count` ports from `first` on at low and full speed. Its ops get numbers
     * that begin with 0. */
    int (*join)(void *opaque, unsigned first, unsigned count, const struct bp_usb_port_ops *ops, void *companion,
                struct bp_error *err);
    void (*leave)(void *opaque, void *companion);
    void *reserved[2];
};

struct bp_usb_interface { /* usb/1 */
    uint32_t size;
    /* ---- for controllers ---- */
    int (*new_bus)(struct bp_device *controller, const struct bp_usb_bus_info *info, void *opaque,
                   struct bp_usb_bus **ret_bus, struct bp_error *err); /* info is copied; from attach() */
    void (*free_bus)(struct bp_usb_bus *bus); /* in fini(), or when attach() fails. NULL is fine */
    /* From 0; NULL: there is none, or no bus. What takes a port takes NULL for one that has nothing. */
    struct bp_usb_port *(*port)(struct bp_usb_bus *bus, unsigned n);
    void (*set_speeds)(struct bp_usb_port *port, uint32_t speeds);   /* before anything is plugged in */
    struct bp_usb_device *(*plugged)(struct bp_usb_port *port);      /* or NULL */
    /* The port has another owner (a companion): from now on what is plugged in works at the fastest of these speeds.
     * False: it knows none of them, or there is nothing. */
    bool (*negotiate)(struct bp_usb_port *port, uint32_t speeds);
    /* What is plugged in is reset: address 0, not configured. Packets that are on their way are cancelled. */
    void (*reset)(struct bp_usb_port *port);
    /* Does it forward to what is behind it? Not at first. */
    void (*enable)(struct bp_usb_port *port, bool on);
    /* The device with an address at an enabled port, or behind it; NULL. */
    struct bp_usb_device *(*find)(struct bp_usb_port *port, uint8_t address);
    /* The one at a place behind a port: four bits for each hub, the nearest one's lowest (USB 3.2 8.9). NULL: nothing
     * is there, or bits are set beyond the first that are 0. */
    struct bp_usb_device *(*route)(struct bp_usb_port *port, uint32_t route);
    /* enum bp_usb_status: when it is not BP_USB_LATER, packet->status is it and done() is not called. BP_USB_NAK too
     * while another packet of that endpoint and direction is on its way. */
    uint8_t (*submit)(struct bp_usb_device *device, struct bp_usb_packet *packet);
    void (*cancel)(struct bp_usb_packet *packet); /* it is the controller's again. No effect when it has ended */
    /* The companion of a controller whose bus is named; the port objects are those of that bus. */
    int (*join)(struct bp_device *companion, const char *bus_name, unsigned first, unsigned count,
                const struct bp_usb_port_ops *ops, void *opaque, struct bp_usb_bus **ret_bus, struct bp_error *err);
    void (*leave)(struct bp_usb_bus *bus, void *opaque);

    /* ---- for devices ---- */
    struct bp_usb_device *(*of)(struct bp_device *dev);
    struct bp_device *(*device)(struct bp_usb_device *device);
    enum bp_usb_speed (*speed)(struct bp_usb_device *device);
    uint8_t (*configuration)(struct bp_usb_device *device);
    uint8_t (*address)(struct bp_usb_device *device);
    /* From attach(): only these speeds. -EINVAL in words when its port has none of them. */
    int (*limit)(struct bp_usb_device *device, uint32_t speeds, struct bp_error *err);
    void (*set_string)(struct bp_usb_device *device, uint8_t index, const char *text); /* copied, up to 126 units */
    void (*complete)(struct bp_usb_packet *packet, uint8_t status);
    void (*ready)(struct bp_usb_device *device, uint8_t endpoint);
    void (*wakeup)(struct bp_usb_device *device); /* when the guest has allowed it */
    void (*halt)(struct bp_usb_device *device, uint8_t endpoint); /* it stalls until the guest clears that */

    /* ---- for hubs ---- */
    /* From attach(): `count` ports, 1.. of its own; they go with it. */
    int (*add_ports)(struct bp_usb_device *hub, unsigned count, uint32_t speeds, const struct bp_usb_port_ops *ops,
                     void *opaque, struct bp_error *err);
    void (*remove_ports)(struct bp_usb_device *hub); /* from detach() */
    struct bp_usb_port *(*hub_port)(struct bp_usb_device *hub, unsigned n);
    void *reserved[8];
};

BP_END_DECLS

#endif
