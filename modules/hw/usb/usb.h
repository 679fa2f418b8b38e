/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the module `usb` share: ports, the level of a device, control transfers. */
#ifndef HW_USB_USB_H
#define HW_USB_USB_H

#include <bp/bus/usb.h>
#include <bp/level.h>

#define USB_PATH 20u      /* "15.8.8.8.8.8" */
#define USB_DEPTH 5u      /* hubs in a row */
#define USB_CONTROL 4096u /* bytes of a control transfer's data */
#define USB_ADDRESSES 128u
#define USB_STRINGS 16u

enum { /* standard requests, USB 2.0 table 9-4, USB 3.2 table 9-5 */
    USB_GET_STATUS = 0, USB_CLEAR_FEATURE = 1, USB_SET_FEATURE = 3, USB_SET_ADDRESS = 5, USB_GET_DESCRIPTOR = 6,
    USB_SET_DESCRIPTOR = 7, USB_GET_CONFIGURATION = 8, USB_SET_CONFIGURATION = 9, USB_GET_INTERFACE = 10,
    USB_SET_INTERFACE = 11, USB_SET_SEL = 48, USB_SET_ISOCH_DELAY = 49,
};
enum { USB_ENDPOINT_HALT = 0, USB_REMOTE_WAKEUP = 1, USB_U1_ENABLE = 48, USB_U2_ENABLE = 49 }; /* features */

enum stage { STAGE_IDLE, STAGE_DATA, STAGE_STATUS, STAGE_STALLED };

struct bp_usb_port {
    struct bp_usb_bus *bus;
    struct bp_usb_device *hub; /* whose it is; NULL: the controller's */
    unsigned n;                /* from 0, of the owner's */
    char path[USB_PATH];
    uint32_t speeds, now; /* that it has; that its present owner has */
    bool enabled;
    struct bp_usb_port_ops ops;
    void *opaque;
    struct bp_usb_device *device;
    struct bp_usb_port *next;
};

struct bp_usb_bus {
    struct bp_bus *bus;
    struct bp_device *controller;
    struct bp_usb_bus_info info;
    void *opaque;
    struct bp_usb_port *ports; /* root ports first */
};

struct bp_usb_device { /* the level "usb-device" */
    struct bp_device *dev;
    const struct bp_usb_device_info *info;
    void *state;
    struct bp_usb_port *port; /* NULL: not on a bus (any more) */
    bool there;               /* the port tells of it */
    uint32_t allowed, speed;
    const struct bp_usb_description *description;
    struct bp_usb_packet *packets; /* on their way */
    char *string[USB_STRINGS];     /* in the place of the class's */
    /* saved */
    uint8_t address, configuration, may_wake;
    uint32_t halted; /* bit n: OUT endpoint n, 16 + n: IN */
    uint8_t alternate[32];
    uint8_t setup[8];
    uint32_t stage, at, size; /* enum stage; bytes that went; bytes that there are */
    uint8_t data[USB_CONTROL];
};

extern const struct bp_level_class usb_device_level;
extern const struct bp_bus_class usb_bus_class;
extern const struct bp_hmp_command usb_info_command;
extern const struct bp_option usb_device_option;

/* Of control.c: a packet for endpoint 0. */
uint8_t usb_control(struct bp_usb_device *d, struct bp_usb_packet *p);
/* Settings are those after a reset of the port. */
void usb_settings_reset(struct bp_usb_device *d);
/* Of descriptors.c: their bytes in `buf` of USB_CONTROL bytes; -1: there is none. */
int usb_descriptor(struct bp_usb_device *d, uint8_t type, uint8_t index, uint8_t *buf);
const char *usb_string(const struct bp_usb_device *d, uint8_t index); /* or NULL */
const struct bp_usb_endpoint *usb_endpoint(const struct bp_usb_device *d, uint8_t address);
bool usb_has_interface(const struct bp_usb_device *d, uint8_t number, uint8_t alternate);
static inline uint32_t usb_halt_bit(uint8_t address)
{
    return 1u << ((address & 15) + (address & 0x80 ? 16 : 0));
}
/* Of bus.c. */
void usb_cancel_all(struct bp_usb_device *d, uint8_t status);

#endif
