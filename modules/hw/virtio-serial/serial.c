// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Console device (Virtual I/O Device 1.2, 5.3): a bus of ports, two queues for each, and two queues for
 * control. Ports' back ends work on the main loop under the machine lock. Left out: sizes of consoles.
 */
#define BP_SHARED
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>

#include "serial.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
const struct bp_virtio_interface *vserial_virtio;
const struct bp_chardev_interface *vserial_chardev;

#define F_MULTIPORT 1
#define F_EMERG_WRITE 2
#define CONTROL_RX 2u
#define CONTROL_TX 3u
#define MAX_PENDING 8192u

enum { CFG_MAX_PORTS = 4, CFG_EMERG_WR = 8, CFG_SIZE = 12 };

/* ---- queues ---- */
struct bp_virtq *vserial_rx(const struct vserial *s, uint32_t nr)
{
    return s->queues[nr == 0 ? 0 : 2 + 2 * nr];
}

struct bp_virtq *vserial_tx(const struct vserial *s, uint32_t nr)
{
    return s->queues[nr == 0 ? 1 : 3 + 2 * nr];
}

/* ---- control ---- */
struct message {
    uint32_t id;
    uint16_t event, value;
};

static void fill_message(struct vserial *s, struct bp_virtq_request *r, const struct control *c)
{
    const struct message m = {htole32(c->id), htole16(c->event), htole16(c->value)};
    uint64_t n = bp_virtq_write(r, 0, &m, sizeof(m));
    const struct vport *p = c->id < s->max_ports ? s->ports[c->id] : NULL;

    if (c->event == PORT_NAME && p && p->name)
        n += bp_virtq_write(r, n, p->name, strlen(p->name) + 1);
    virtio->push(s->queues[CONTROL_RX], r, n);
}

static void send_pending(struct vserial *s)
{
    uint32_t sent = 0;
    struct bp_virtq_request *r;

    while (sent < s->pending_count) {
        r = virtio->pop(s->queues[CONTROL_RX]);
        if (!r && virtio->kicks(s->queues[CONTROL_RX], true))
            continue;
        if (!r)
            break;
        fill_message(s, r, &s->pending[sent++]);
    }
    if (!sent)
        return;
    virtio->flush(s->queues[CONTROL_RX]);
    s->pending_count -= sent;
    memmove(s->pending, s->pending + sent, s->pending_count * sizeof(*s->pending));
}

void vserial_send(struct vserial *s, uint32_t id, uint16_t event, uint16_t value)
{
    if (!s->ready || !virtio->has(s->virtio, F_MULTIPORT))
        return;
    if (s->pending_count == s->pending_room) {
        uint32_t room = s->pending_room ? 2 * s->pending_room : 32;
        struct control *more = room <= MAX_PENDING ? realloc(s->pending, room * sizeof(*more)) : NULL;

        if (!more) {
            virtio->broken(s->virtio, "it gives no buffers for control messages");
            return;
        }
        s->pending = more;
        s->pending_room = room;
    }
    s->pending[s->pending_count++] = (struct control){id, event, value};
    send_pending(s);
}

static bool handle_control_rx(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    send_pending(opaque);
    return false; /* buffers wait for messages */
}

static void control(struct vserial *s, const struct message *m)
{
    uint32_t id = le32toh(m->id);
    uint16_t event = le16toh(m->event), value = le16toh(m->value);

    if (event == DEVICE_READY) {
        s->ready = value != 0;
        for (uint32_t i = 0; s->ready && i < s->max_ports; i++) {
            if (s->ports[i])
                vport_add(s->ports[i]);
        }
    } else if (id < s->max_ports && s->ports[id]) {
        vport_control(s->ports[id], event, value);
    }
    bp_deferred_schedule(s->work);
}

static bool handle_control_tx(void *opaque, struct bp_virtq *queue)
{
    struct vserial *s = opaque;
    struct bp_virtq_request *r;

    while ((r = virtio->pop(queue))) {
        struct message m;

        if (bp_virtq_read(r, 0, &m, sizeof(m)) == sizeof(m))
            control(s, &m);
        virtio->push(queue, r, 0);
    }
    virtio->flush(queue);
    return true;
}

/* ---- data: the main loop does it ---- */
static bool handle_port(void *opaque, struct bp_virtq *queue)
{
    struct vserial *s = opaque;

    (void)queue;
    bp_deferred_schedule(s->work);
    return false; /* vport_work() asks for calls when it finds nothing */
}

static void write_emergency(struct vserial *s)
{
    struct vport *p = s->ports[0];
    uint8_t text[sizeof(s->emergency)];
    uint32_t n;

    bp_device_lock(s->dev);
    n = s->emergency_count;
    memcpy(text, s->emergency, n);
    s->emergency_count = 0;
    bp_device_unlock(s->dev);
    if (n && p && p->chr)
        chardev->write(p->chr, text, n, p);
}

static void work(void *opaque)
{
    struct vserial *s = opaque;

    if (!s->virtio)
        return;
    write_emergency(s);
    for (uint32_t i = 0; i < s->max_ports; i++) {
        if (s->ports[i])
            vport_work(s->ports[i]);
    }
}

static void retry(void *opaque)
{
    bp_deferred_schedule(((struct vserial *)opaque)->work);
}

/* ---- the device ---- */
static uint64_t offer(void *opaque, uint64_t features)
{
    const struct vserial *s = opaque;

    if (s->max_ports == 1)
        features &= ~BP_VIRTIO_BIT(F_MULTIPORT);
    return s->emergency_write ? features : features & ~BP_VIRTIO_BIT(F_EMERG_WRITE);
}

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct vserial *s = opaque;
    uint8_t *c = virtio->config(s->virtio), byte = c[CFG_EMERG_WR];

    memcpy(c, old, CFG_SIZE);
    if (offset > CFG_EMERG_WR || offset + size <= CFG_EMERG_WR || !s->emergency_write)
        return;
    if (s->emergency_count < sizeof(s->emergency))
        s->emergency[s->emergency_count++] = byte;
    bp_deferred_schedule(s->work);
}

static void let_go(struct vserial *s, bool reset)
{
    for (uint32_t i = 0; i < s->max_ports; i++) {
        if (s->ports[i])
            vport_let_go(s->ports[i], reset);
    }
}

static void running(void *opaque, bool on)
{
    struct vserial *s = opaque;

    if (!on)
        let_go(s, false);
    bp_deferred_schedule(s->work);
}

static void reset(void *opaque)
{
    struct vserial *s = opaque;

    s->ready = false;
    s->pending_count = 0;
    let_go(s, true);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    let_go(opaque, false);
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 3, .name = "virtio-serial", .config_size = CFG_SIZE,
    .features = BP_VIRTIO_BIT(F_MULTIPORT) | BP_VIRTIO_BIT(F_EMERG_WRITE), .offer = offer,
    .config_written = config_written, .running = running, .reset = reset};

/* ---- life ---- */
static int add_queues(struct vserial *s, struct bp_error *err)
{
    const uint32_t count = 2 * s->max_ports + 2;
    int ret = 0;

    s->queues = calloc(count, sizeof(*s->queues));
    s->ports = calloc(s->max_ports, sizeof(*s->ports));
    if (!s->queues || !s->ports)
        return bp_fail(err, ENOMEM, "virtio-serial: no memory for ports");
    for (uint32_t i = 0; ret == 0 && i < count; i++) {
        const struct bp_virtq_info info = {
            .size = sizeof(info), .entries = i == CONTROL_RX || i == CONTROL_TX ? 32 : 128, .reset = reset_queue,
            .handle = i == CONTROL_RX ? handle_control_rx : i == CONTROL_TX ? handle_control_tx : handle_port};

        ret = virtio->add_queue(s->virtio, &info, &s->queues[i], err);
    }
    return ret;
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    static const struct bp_hotplug_ops hotplug = {.size = sizeof(hotplug)};
    struct vserial *s = state;
    uint8_t *c;
    int ret;

    vserial_virtio = virtio;
    vserial_chardev = chardev;
    s->dev = bp_device_from_object(obj);
    if (s->max_ports == 0 || s->max_ports > MAX_PORTS)
        return bp_fail(err, EINVAL, "%s: max_ports=%u: 1 to %u are possible", bp_object_type(obj), s->max_ports,
                       MAX_PORTS);
    ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = add_queues(s, err);
    if (ret < 0)
        return ret;
    virtio->set_vectors(s->virtio, s->max_ports + 1);
    c = virtio->config(s->virtio);
    c[CFG_MAX_PORTS] = (uint8_t)s->max_ports;
    c[CFG_MAX_PORTS + 1] = (uint8_t)(s->max_ports >> 8);
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-serial", bp_device_id(s->dev), 0);
    s->work = bp_deferred_new(s->main, NULL, work, s);
    s->retry = bp_timer_new(s->main, NULL, BP_CLOCK_REALTIME, retry, s);
    ret = bp_bus_new(s->dev, "virtio-serial-bus", NULL, &s->bus, err);
    if (ret < 0)
        return ret;
    vserial_name_bus(s);
    bp_bus_set_hotplug(s->bus, bp_device_owner(s->dev), &hotplug, s);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    struct vserial *s = state;

    (void)obj;
    s->virtio = NULL;
}

static void fini(struct bp_object *obj, void *state)
{
    struct vserial *s = state;

    (void)obj;
    free(s->queues);
    free(s->ports);
    free(s->pending);
}

static const struct bp_state_field control_fields[] = {
    BP_SAVE(UINT32, struct control, id), BP_SAVE(UINT16, struct control, event),
    BP_SAVE(UINT16, struct control, value), BP_SAVE_END};
static const struct bp_state_table control_table = {.version = 1, .oldest = 1, .fields = control_fields};

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct vserial *s = state;

    (void)version, (void)err;
    s->pending_room = s->pending_count;
    return 0;
}

static const struct bp_state_field fields[] = {
    BP_SAVE(BOOL, struct vserial, ready),
    BP_SAVE_VECTOR(struct vserial, pending, pending_count, MAX_PENDING, &control_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("max_ports", UINT32, struct vserial, max_ports, "31", "ports that it can have"),
    BP_PROP("emergency-write", BOOL, struct vserial, emergency_write, "on",
            "characters can be written without a queue"),
    BP_FIELDS_END};

static const struct bp_level_class vserial_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE,
             .name = "virtio-serial-base", .summary = "Virtio console", .state_size = sizeof(struct vserial),
             .props = props, .state = &table},
    .attach = attach, .detach = detach, .fini = fini};

BP_VIRTIO_TRANSITIONAL_NAMES(serial, "virtio-serial", 0x0780, "Virtio console", &vserial_level, .category = "input");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT_MINOR(chardev, "chardev", 1, 1),
                                           {0}};
BP_MODULE("hw-virtio-serial", "Virtio console and serial ports", imports, {BP_PROVIDE_DEVICE, &serial_pci},
          {BP_PROVIDE_DEVICE, &serial_transitional}, {BP_PROVIDE_DEVICE, &serial_modern},
          {BP_PROVIDE_DEVICE, &serial_device}, {BP_PROVIDE_BUS, &vserial_bus},
          {BP_PROVIDE_DEVICE, &vport_console}, {BP_PROVIDE_DEVICE, &vport_port},
          {BP_PROVIDE_EVENT, &vport_event});
