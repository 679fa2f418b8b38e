/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the virtio console share: the device with its control queues, and its ports. */
#ifndef HW_VIRTIO_SERIAL_H
#define HW_VIRTIO_SERIAL_H

#include <bp/clock.h>
#include <bp/host/chardev.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#define MAX_PORTS 511u /* two queues each, and two for control */
#define NAME_MAX_LENGTH 256u
#define CHUNK 4096u

struct vport;

struct control { /* a message to the driver that waits for a buffer */
    uint32_t id;
    uint16_t event, value;
};

struct vserial {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_bus *bus;
    uint32_t max_ports;
    bool emergency_write;
    struct bp_virtq **queues; /* 2 * max_ports + 2, as the specification numbers them */
    struct vport **ports;     /* by number; NULL: none */
    struct bp_owner *main;
    struct bp_deferred *work; /* chardevs want the machine lock */
    struct bp_timer *retry;   /* a chardev was full */
    bool ready;               /* the driver said DEVICE_READY */
    struct control *pending;
    uint32_t pending_count, pending_room;
    uint8_t emergency[64];    /* characters that were written to emerg_wr and not given on yet */
    uint32_t emergency_count;
};

struct vport {
    struct bp_device *dev;
    struct vserial *serial; /* NULL: not on a bus */
    struct bp_object *chardev;
    struct bp_chardev *chr;
    char *name;
    uint32_t nr;  /* UINT32_MAX: the first that is free */
    bool console;
    bool guest_open, host_open, added;
    bool told_open; /* guest_open as the chardev knows it */
    struct bp_virtq_request *rx, *tx; /* being filled; being sent */
    uint64_t rx_at, tx_at;
};

extern const struct bp_virtio_interface *vserial_virtio;
extern const struct bp_chardev_interface *vserial_chardev;
extern const struct bp_bus_class vserial_bus;
extern const struct bp_device_class vport_console, vport_port;
extern const struct bp_event vport_event;

void vserial_name_bus(struct vserial *s); /* whose bus it is */
/* [locked], by the device. */
void vserial_send(struct vserial *s, uint32_t id, uint16_t event, uint16_t value);
struct bp_virtq *vserial_rx(const struct vserial *s, uint32_t nr);
struct bp_virtq *vserial_tx(const struct vserial *s, uint32_t nr);
void vport_control(struct vport *p, uint16_t event, uint16_t value);
void vport_add(struct vport *p);
void vport_let_go(struct vport *p, bool reset); /* of requests that it holds */
/* In the main context under the machine lock, without the device's. */
void vport_work(struct vport *p);

enum { /* control events, 5.3.6.2 */
    DEVICE_READY,
    DEVICE_ADD,
    DEVICE_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME,
};

#endif
