// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Ports of the virtio console: virtconsole, which guests show as a terminal, and virtserialport, a channel with
 * a name. A chardev carries their bytes; what it does not take waits, and so does the driver.
 */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>

#include "serial.h"


#define RETRY_NS 10000000 /* a chardev that is full is asked again */

static const struct bp_field event_fields[] = {
    BP_ARG("id", STRING, "id of the port"), BP_ARG("open", BOOL, "the guest has opened it"), BP_FIELDS_END};
BP_EVENT(vport_event, "VSERPORT_CHANGE", "The guest has opened or closed a serial port", event_fields, 1000);

static void tell_open(struct vport *p)
{
    const char *id = bp_device_id(p->dev);
    struct bp_value *data;

    if (!id || p->console)
        return;
    data = bp_value_dict();
    bp_value_set(data, "id", bp_value_string(id));
    bp_value_set(data, "open", bp_value_bool(p->guest_open));
    bp_event_send(&vport_event, data);
}

static void set_guest_open(struct vport *p, bool open)
{
    if (p->guest_open == open)
        return;
    p->guest_open = open;
    tell_open(p);
}

void vport_add(struct vport *p)
{
    p->added = true;
    vserial_send(p->serial, p->nr, DEVICE_ADD, 1);
}

void vport_control(struct vport *p, uint16_t event, uint16_t value)
{
    struct vserial *s = p->serial;

    if (event == PORT_OPEN) {
        set_guest_open(p, value != 0);
    } else if (event == PORT_READY && value) {
        if (p->console)
            vserial_send(s, p->nr, CONSOLE_PORT, 1);
        if (p->name)
            vserial_send(s, p->nr, PORT_NAME, 1);
        if (p->console || p->host_open)
            vserial_send(s, p->nr, PORT_OPEN, 1);
    }
}

void vport_let_go(struct vport *p, bool reset)
{
    if (p->rx)
        vserial_virtio->drop(vserial_rx(p->serial, p->nr), p->rx);
    if (p->tx)
        vserial_virtio->drop(vserial_tx(p->serial, p->nr), p->tx);
    p->rx = p->tx = NULL;
    p->rx_at = p->tx_at = 0;
    if (reset) {
        p->added = false;
        set_guest_open(p, false);
    }
}

/* ---- to the guest ---- */
/* It is let go first: the ring may turn out to be broken, and then all that is held goes. */
static void hand_back(struct bp_virtq *queue, struct bp_virtq_request **held, uint64_t written)
{
    struct bp_virtq_request *r = *held;

    *held = NULL;
    vserial_virtio->complete(queue, r, written);
}

static size_t can_read(void *opaque)
{
    struct vport *p = opaque;
    struct vserial *s = p->serial;
    struct bp_virtq *queue;
    size_t n = 0;

    if (!s || !s->virtio)
        return 0;
    bp_device_lock(s->dev);
    queue = vserial_rx(s, p->nr);
    if (p->console || p->guest_open) {
        do {
            if (!p->rx)
                p->rx = vserial_virtio->pop(queue);
            if (p->rx && p->rx->in_bytes == 0) {
                hand_back(queue, &p->rx, 0);
                continue;
            }
        } while (!p->rx && vserial_virtio->kicks(queue, true));
        n = p->rx ? (size_t)p->rx->in_bytes : 0;
    }
    bp_device_unlock(s->dev);
    return n < CHUNK ? n : CHUNK;
}

static void read_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    struct vport *p = opaque;
    struct vserial *s = p->serial;

    bp_device_lock(s->dev);
    if (p->rx) {
        uint64_t n = bp_virtq_write(p->rx, 0, buf, len);

        hand_back(vserial_rx(s, p->nr), &p->rx, n);
    }
    bp_device_unlock(s->dev);
}

static void event(void *opaque, enum bp_chardev_event what)
{
    struct vport *p = opaque;
    struct vserial *s = p->serial;

    if (!s || !s->virtio || (what != BP_CHARDEV_OPENED && what != BP_CHARDEV_CLOSED))
        return;
    bp_device_lock(s->dev);
    if (p->host_open != (what == BP_CHARDEV_OPENED)) {
        p->host_open = what == BP_CHARDEV_OPENED;
        if (!p->console && p->added)
            vserial_send(s, p->nr, PORT_OPEN, p->host_open);
    }
    bp_device_unlock(s->dev);
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(handlers), .can_read = can_read, .read = read_bytes, .event = event};

/* ---- from the guest ---- */
/* The next bytes that it sends; 0: there are none. [locked] */
static size_t next_bytes(struct vport *p, uint8_t *buf)
{
    struct bp_virtq *queue = vserial_tx(p->serial, p->nr);

    for (;;) {
        if (!p->tx)
            p->tx = vserial_virtio->pop(queue);
        if (!p->tx && vserial_virtio->kicks(queue, true))
            continue;
        if (!p->tx)
            return 0;
        if (p->tx_at < p->tx->out_bytes)
            return (size_t)bp_virtq_read(p->tx, p->tx_at, buf, CHUNK);
        hand_back(queue, &p->tx, 0);
        p->tx_at = 0; /* kept while a request is held: it may have been sent in part before it was saved */
    }
}

static bool send_some(struct vport *p)
{
    struct vserial *s = p->serial;
    uint8_t buf[CHUNK];
    size_t n, taken;

    bp_device_lock(s->dev);
    n = next_bytes(p, buf);
    bp_device_unlock(s->dev);
    if (n == 0)
        return false;
    taken = p->chr ? vserial_chardev->write(p->chr, buf, n, p) : n;
    bp_device_lock(s->dev);
    if (p->tx)
        p->tx_at += taken;
    bp_device_unlock(s->dev);
    if (taken < n)
        bp_timer_set(s->retry, bp_timer_now(s->retry) + RETRY_NS);
    return taken == n;
}

/* The back end hears that the guest has the port open. */
static void tell_back(struct vport *p)
{
    bool open;

    bp_device_lock(p->serial->dev);
    open = p->guest_open;
    bp_device_unlock(p->serial->dev);
    if (p->console || !p->chr || open == p->told_open)
        return;
    p->told_open = open;
    vserial_chardev->set_front_open(p->chr, open);
}

void vport_work(struct vport *p)
{
    tell_back(p);
    while (send_some(p))
        ;
    if (p->chr)
        vserial_chardev->accept_input(p->chr, p);
}

/* ---- life ---- */
static int choose_number(struct vserial *s, struct vport *p, struct bp_error *err)
{
    const char *type = bp_device_class(p->dev)->type.name;

    if (p->nr != UINT32_MAX) {
        if (p->nr >= s->max_ports)
            return bp_fail(err, EINVAL, "%s: nr=%u: its virtio-serial device has ports 0 to %u", type, p->nr,
                           s->max_ports - 1);
        if (s->ports[p->nr])
            return bp_fail(err, EBUSY, "%s: nr=%u is in use", type, p->nr);
        if (p->nr == 0 && !p->console)
            return bp_fail(err, EINVAL, "%s: nr=0 is for a virtconsole", type);
        return 0;
    }
    for (uint32_t nr = p->console ? 0 : 1; nr < s->max_ports; nr++) {
        if (!s->ports[nr]) {
            p->nr = nr;
            return 0;
        }
    }
    return bp_fail(err, EBUSY, "%s: all ports of the virtio-serial device are in use (max_ports=%u)", type,
                   s->max_ports);
}

static struct vserial *serial_of(struct bp_device *dev);

static int attach(struct bp_device *dev, bool console, struct bp_error *err)
{
    struct vport *p = bp_device_state(dev);
    const char *type = bp_device_class(dev)->type.name;
    struct vserial *s = serial_of(dev);
    struct bp_chardev *chr = NULL;
    int ret;

    p->dev = dev;
    p->console = console;
    if (p->name && strlen(p->name) >= NAME_MAX_LENGTH)
        return bp_fail(err, EINVAL, "%s: name: at most %u characters", type, NAME_MAX_LENGTH - 1);
    ret = choose_number(s, p, err);
    if (ret < 0)
        return ret;
    if (p->chardev) {
        chr = vserial_chardev->from_object(p->chardev);
        if (!chr)
            return bp_fail(err, EINVAL, "%s: '%s' is not a character device", type, bp_object_id(p->chardev));
    }
    p->serial = s;
    bp_device_lock(s->dev);
    s->ports[p->nr] = p;
    if (s->ready)
        vport_add(p);
    bp_device_unlock(s->dev);
    ret = chr ? vserial_chardev->connect(chr, &handlers, p, err) : 0;
    if (ret == 0) {
        p->chr = chr;
        if (chr && !console)
            vserial_chardev->set_front_open(chr, false);
        return 0;
    }
    bp_device_lock(s->dev);
    s->ports[p->nr] = NULL;
    bp_device_unlock(s->dev);
    return ret;
}

static int console_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, true, err);
}

static int port_attach(struct bp_device *dev, struct bp_error *err)
{
    return attach(dev, false, err);
}

static void detach(struct bp_device *dev)
{
    struct vport *p = bp_device_state(dev);
    struct vserial *s = p->serial;

    if (p->chr)
        vserial_chardev->disconnect(p->chr, p);
    p->chr = NULL;
    bp_device_lock(s->dev);
    if (s->virtio) {
        vport_let_go(p, false);
        if (p->added)
            vserial_send(s, p->nr, DEVICE_REMOVE, 1);
    }
    s->ports[p->nr] = NULL;
    bp_device_unlock(s->dev);
    p->serial = NULL;
}

struct bus_state {
    struct vserial *serial;
};

BP_NOTE("provides=bus:virtio-serial-bus;summary=Ports of a virtio console");
const struct bp_bus_class vserial_bus = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "virtio-serial-bus",
             .summary = "Ports of a virtio console", .state_size = sizeof(struct bus_state)}};

static struct vserial *serial_of(struct bp_device *dev)
{
    return ((struct bus_state *)bp_bus_state(bp_device_bus(dev)))->serial;
}

void vserial_name_bus(struct vserial *s)
{
    ((struct bus_state *)bp_bus_state(s->bus))->serial = s;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(BOOL, struct vport, guest_open), BP_SAVE(BOOL, struct vport, added), BP_SAVE(UINT64, struct vport, tx_at),
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields};

static const struct bp_field props[] = {
    BP_PROP_LINK("chardev", "chardev", struct vport, chardev, "what carries its bytes"),
    BP_PROP("name", STRING, struct vport, name, NULL, "what the guest finds it by"),
    BP_PROP("nr", UINT32, struct vport, nr, "4294967295", "number of the port; the first that is free when not given"),
    BP_FIELDS_END};

BP_HOTPLUG_DEVICE(vport_console, "virtconsole", "virtio-serial-bus", "Terminal on a virtio console", struct vport,
                  props, &table, .category = "input", .attach = console_attach, .detach = detach);
BP_HOTPLUG_DEVICE(vport_port, "virtserialport", "virtio-serial-bus", "Serial port on a virtio console",
                  struct vport, props, &table, .category = "input", .attach = port_attach, .detach = detach);
