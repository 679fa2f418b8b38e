// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The USB bus: ports of controllers and hubs, what is plugged into them, packets on their way. Left out: bandwidth
 * (nobody is refused for want of it), toggles.
 */
#define BP_SHARED
#include "usb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place { /* kept by the bus with each child */
    char *port;
};

struct bus_state {
    struct bp_usb_bus *usb;
};

static struct bp_usb_device *of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &usb_device_level);
}

static struct bp_usb_bus *bus_of(struct bp_bus *bus)
{
    return ((struct bus_state *)bp_bus_level(bus, &usb_bus_class))->usb;
}

/* ---- packets ---- */
static void unlink_packet(struct bp_usb_packet *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    p->link = NULL;
    p->next = NULL;
}

static uint8_t end(struct bp_usb_packet *p, uint8_t status)
{
    if (p->actual > p->length)
        p->actual = p->length;
    p->status = status;
    return status;
}

static uint8_t submit(struct bp_usb_device *d, struct bp_usb_packet *p)
{
    uint8_t address = p->endpoint | (p->token == BP_USB_IN ? 0x80 : 0), status;

    p->device = d;
    p->device_data = NULL;
    p->actual = 0;
    p->link = NULL;
    if (!d->port || !d->there)
        return end(p, BP_USB_ERROR);
    if (p->endpoint == 0)
        return end(p, usb_control(d, p));
    if (p->token == BP_USB_SETUP || !usb_endpoint(d, address))
        return end(p, BP_USB_ERROR); /* nobody answers */
    if (d->halted & usb_halt_bit(address))
        return end(p, BP_USB_STALL);
    /* As on a bus, where an endpoint has one transaction at a time. */
    for (const struct bp_usb_packet *q = d->packets; q; q = q->next)
        if (q->endpoint == p->endpoint && (q->token == BP_USB_IN) == (p->token == BP_USB_IN))
            return end(p, BP_USB_NAK);
    status = d->info->transfer ? d->info->transfer(d->state, p) : BP_USB_STALL;
    if (status == BP_USB_STALL)
        d->halted |= usb_halt_bit(address);
    if (status != BP_USB_LATER)
        return end(p, status);
    p->next = d->packets;
    p->link = &d->packets;
    if (p->next)
        p->next->link = &p->next;
    d->packets = p;
    p->status = BP_USB_LATER;
    return BP_USB_LATER;
}

static void complete(struct bp_usb_packet *p, uint8_t status)
{
    if (!p->link)
        return;
    unlink_packet(p);
    if (status == BP_USB_STALL)
        p->device->halted |= usb_halt_bit(p->endpoint | (p->token == BP_USB_IN ? 0x80 : 0));
    end(p, status);
    p->done(p);
}

static void cancel(struct bp_usb_packet *p)
{
    if (!p->link)
        return;
    if (p->device->info->cancel)
        p->device->info->cancel(p->device->state, p);
    unlink_packet(p);
    p->status = BP_USB_GONE;
}

void usb_cancel_all(struct bp_usb_device *d, uint8_t status)
{
    while (d->packets) {
        struct bp_usb_packet *p = d->packets;

        cancel(p);
        end(p, status);
        p->done(p);
    }
}

/* ---- ports ---- */
static struct bp_usb_port *root_of(struct bp_usb_port *port)
{
    while (port && port->hub)
        port = port->hub->port;
    return port;
}

static struct bp_usb_port *port_at(struct bp_usb_bus *bus, unsigned n)
{
    struct bp_usb_port *p = bus ? bus->ports : NULL;

    while (p && (p->hub || p->n != n))
        p = p->next;
    return p;
}

static int add(struct bp_usb_bus *bus, struct bp_usb_device *hub, unsigned n, uint32_t speeds,
               const struct bp_usb_port_ops *ops, void *opaque, struct bp_error *err)
{
    struct bp_usb_port *p = calloc(1, sizeof(*p)), **link = &bus->ports;

    if (!p)
        return bp_fail(err, ENOMEM, "USB: no memory for a port");
    p->bus = bus;
    p->hub = hub;
    p->n = n;
    p->speeds = speeds;
    p->now = UINT32_MAX;
    p->opaque = opaque;
    memcpy(&p->ops, ops, ops->size && ops->size < sizeof(p->ops) ? ops->size : sizeof(p->ops));
    if (hub)
        snprintf(p->path, sizeof(p->path), "%.14s.%u", hub->port->path, n + 1);
    else
        snprintf(p->path, sizeof(p->path), "%u", n + 1);
    while (*link)
        link = &(*link)->next;
    *link = p;
    return 0;
}

static void remove_ports(struct bp_usb_device *hub)
{
    struct bp_usb_port **link, *p;

    if (!hub->port)
        return;
    for (link = &hub->port->bus->ports; (p = *link);) {
        if (p->hub != hub) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        if (p->device)
            p->device->port = NULL;
        free(p);
    }
}

static unsigned depth(const struct bp_usb_port *port)
{
    unsigned n = 0;

    for (; port->hub; port = port->hub->port)
        n++;
    return n;
}

static int add_ports(struct bp_usb_device *hub, unsigned count, uint32_t speeds, const struct bp_usb_port_ops *ops,
                     void *opaque, struct bp_error *err)
{
    int r = 0;

    if (depth(hub->port) >= USB_DEPTH)
        return bp_fail(err, EINVAL, "port %s: at most %u hubs can stand in a row", hub->port->path, USB_DEPTH);
    for (unsigned n = 0; r == 0 && n < count; n++)
        r = add(hub->port->bus, hub, n, speeds, ops, opaque, err);
    if (r < 0)
        remove_ports(hub);
    return r;
}

static struct bp_usb_port *hub_port(struct bp_usb_device *hub, unsigned n)
{
    struct bp_usb_port *p = hub->port ? hub->port->bus->ports : NULL;

    while (p && (p->hub != hub || p->n != n))
        p = p->next;
    return p;
}

static struct bp_usb_device *plugged(struct bp_usb_port *port)
{
    return port && port->device && port->device->there ? port->device : NULL;
}

static void set_speeds(struct bp_usb_port *port, uint32_t speeds)
{
    if (port)
        port->speeds = speeds;
}

static void enable(struct bp_usb_port *port, bool on)
{
    if (port)
        port->enabled = on;
}

static void reset_device(struct bp_usb_device *d)
{
    usb_cancel_all(d, BP_USB_GONE);
    usb_settings_reset(d);
    if (d->info->reset)
        d->info->reset(d->state);
}

static void reset_port(struct bp_usb_port *port)
{
    if (plugged(port))
        reset_device(port->device);
}

/* Is the way from this port to the device open? */
static bool leads_to(const struct bp_usb_port *port, const struct bp_usb_device *d)
{
    const struct bp_usb_port *p = d->port;

    while (p && p != port && p->enabled)
        p = p->hub ? p->hub->port : NULL;
    return p == port && p->enabled;
}

static struct bp_usb_device *find(struct bp_usb_port *port, uint8_t address)
{
    for (struct bp_usb_port *p = port ? port->bus->ports : NULL; p; p = p->next) {
        struct bp_usb_device *d = plugged(p);

        if (d && d->address == address && leads_to(port, d))
            return d;
    }
    return NULL;
}

static struct bp_usb_device *route(struct bp_usb_port *port, uint32_t route_string)
{
    struct bp_usb_device *d = plugged(port);

    for (unsigned level = 0; d && level < USB_DEPTH && route_string & 0xf; level++, route_string >>= 4) {
        struct bp_usb_port *next = hub_port(d, (route_string & 0xf) - 1);

        d = plugged(next);
    }
    return route_string ? NULL : d;
}

/* ---- places of devices ---- */
static const char *const speed_names[] = {"low", "full", "high", "super"};

static void speeds_text(uint32_t speeds, char *buf, size_t size)
{
    buf[0] = '\0';
    for (unsigned s = 0; s < 4; s++) {
        if (speeds & BP_USB_SPEED(s)) {
            size_t at = strlen(buf);

            snprintf(buf + at, size - at, "%s%s", at ? ", " : "", speed_names[s]);
        }
    }
}

/* The fastest that both know. */
static bool choose_speed(struct bp_usb_device *d)
{
    uint32_t both = d->allowed & d->port->speeds & d->port->now;

    for (int s = BP_USB_SUPER; s >= 0; s--) {
        if (both & BP_USB_SPEED(s)) {
            d->speed = (uint32_t)s;
            d->description = d->info->at[s];
            return true;
        }
    }
    return false;
}

static int too_slow(const struct bp_usb_device *d, const char *type, struct bp_error *err)
{
    char has[40], can[40];

    speeds_text(d->allowed, has, sizeof(has));
    speeds_text(d->port->speeds, can, sizeof(can));
    return bp_fail(err, EINVAL, "%s works at %s speed, and port %s has %s", type, has, d->port->path, can);
}

static struct bp_usb_port *free_port(struct bp_usb_bus *bus, uint32_t speeds)
{
    struct bp_usb_port *p = bus->ports;

    while (p && (p->device || !(p->speeds & speeds)))
        p = p->next;
    return p;
}

static int choose(struct bp_usb_bus *bus, struct bp_usb_device *d, const char *type, const char *path,
                  struct bp_error *err)
{
    struct bp_usb_port *p = bus->ports;

    if (!path || !*path) {
        p = free_port(bus, d->allowed);
        if (!p)
            return bp_fail(err, EBUSY, "%s: no free port of its speed on '%s'; a usb-hub has more", type,
                           bp_bus_name(bus->bus));
    }
    while (path && *path && p && strcmp(p->path, path) != 0)
        p = p->next;
    if (!p)
        return bp_fail(err, ENOENT, "%s: property 'port': there is no port %s on '%s'; it has 1 to %u, and "
                       "those of hubs behind them (1.1)", type, path, bp_bus_name(bus->bus), bus->info.ports);
    if (p->device)
        return bp_fail(err, EBUSY, "%s: property 'port': port %s of '%s' is in use by %s", type, path,
                       bp_bus_name(bus->bus), bp_device_class(p->device->dev)->type.name);
    d->port = p;
    return 0;
}

static int child_attach(struct bp_bus *b, struct bp_device *dev, struct bp_error *err)
{
    const struct place *place = bp_device_bus_level(dev, &usb_bus_class);
    const char *type = bp_device_class(dev)->type.name;
    struct bp_usb_device *d = of(dev);
    int r;

    if (!d)
        return bp_fail(err, EINVAL, "device type '%s' is no USB device", type);
    d->dev = dev;
    d->info = bp_object_level_info(bp_device_object(dev), &usb_device_level);
    d->state = bp_object_state(bp_device_object(dev));
    for (unsigned s = 0; d->info && s < 4; s++)
        d->allowed |= d->info->at[s] ? BP_USB_SPEED(s) : 0;
    if (!d->allowed)
        return bp_fail(err, EINVAL, "device type '%s' does not say what it is on a USB bus", type);
    r = choose(bus_of(b), d, type, place->port, err);
    if (r < 0)
        return r;
    d->port->now = UINT32_MAX;
    if (!choose_speed(d))
        return too_slow(d, type, err);
    return 0;
}

static bool negotiate(struct bp_usb_port *port, uint32_t speeds)
{
    if (port)
        port->now = speeds;
    return plugged(port) && choose_speed(port->device);
}

static void child_attached(struct bp_bus *b, struct bp_device *dev)
{
    struct bp_usb_device *d = of(dev);

    (void)b;
    usb_settings_reset(d);
    d->port->device = d;
    d->there = true;
    if (d->port->ops.attached)
        d->port->ops.attached(d->port->opaque, d->port->n);
}

/* Before the device's own detach(): from here on it has no packets, and gets none. */
static void child_leaves(void *opaque, struct bp_bus *b, struct bp_device *dev)
{
    struct bp_usb_device *d = of(dev);

    (void)opaque, (void)b;
    if (!d)
        return;
    d->there = false;
    usb_cancel_all(d, BP_USB_GONE);
}

/* Also when the device's attach() failed. */
static void child_detach(struct bp_bus *b, struct bp_device *dev)
{
    struct bp_usb_device *d = of(dev);
    struct bp_usb_port *port = d ? d->port : NULL;

    (void)b;
    if (!port || port->device != d)
        return;
    usb_cancel_all(d, BP_USB_GONE);
    d->there = false;
    port->device = NULL;
    if (port->ops.detached)
        port->ops.detached(port->opaque, port->n);
}

static void child_address(struct bp_device *dev, char *buf, size_t size)
{
    const struct bp_usb_device *d = of(dev);

    snprintf(buf, size, "%s", d && d->port ? d->port->path : "none");
}

/* "hub@1/storage@2" (Open Firmware's USB binding, the port's number): one part for each hub. */
static void firmware_path(struct bp_usb_device *d, char *buf, size_t size)
{
    const char *name = bp_device_class(d->dev)->firmware_name;
    size_t at;

    buf[0] = '\0';
    if (!d->port)
        return;
    if (d->port->hub)
        firmware_path(d->port->hub, buf, size);
    at = strlen(buf);
    snprintf(buf + at, size - at, "%s%s@%x", at ? "/" : "", name ? name : "device", d->port->n + 1);
}

static void child_firmware_path(struct bp_device *dev, char *buf, size_t size)
{
    firmware_path(of(dev), buf, size);
}

static const struct bp_field child_props[] = {
    BP_PROP("port", STRING, struct place, port, NULL, "port by its path (1, 1.2); the first free one when not given"),
    BP_FIELDS_END};

BP_NOTE("provides=bus:usb-bus;summary=USB bus");
const struct bp_bus_class usb_bus_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "usb-bus", .summary = "USB bus",
             .state_size = sizeof(struct bus_state)},
    .child_size = sizeof(struct place), .child_props = child_props, .child_attach = child_attach,
    .child_attached = child_attached, .child_detach = child_detach, .child_address = child_address,
    .child_firmware_path = child_firmware_path};

static int new_bus(struct bp_device *controller, const struct bp_usb_bus_info *info, void *opaque,
                   struct bp_usb_bus **ret_bus, struct bp_error *err)
{
    static const struct bp_hotplug_ops hotplug = {.size = sizeof(hotplug), .unplug = child_leaves};
    struct bp_bus *bus;
    int r = bp_bus_new(controller, "usb-bus", NULL, &bus, err);
    struct bp_usb_bus *u;

    if (r < 0)
        return r;
    u = calloc(1, sizeof(*u));
    if (!u)
        return bp_fail(err, ENOMEM, "USB: no memory for a bus");
    u->bus = bus;
    u->controller = controller;
    u->opaque = opaque;
    memcpy(&u->info, info, info->size < sizeof(u->info) ? info->size : sizeof(u->info));
    u->info.ops = NULL; /* each port has them */
    *ret_bus = u;
    for (unsigned n = 0; r == 0 && n < info->ports; n++)
        r = add(u, NULL, n, info->speeds, info->ops, opaque, err);
    if (r < 0)
        return r;
    ((struct bus_state *)bp_bus_level(bus, &usb_bus_class))->usb = u;
    bp_bus_set_hotplug(bus, bp_device_owner(controller), &hotplug, u);
    return 0;
}

static void free_bus(struct bp_usb_bus *bus)
{
    struct bp_usb_port *next;

    for (struct bp_usb_port *p = bus ? bus->ports : NULL; p; p = next) {
        next = p->next;
        if (p->device)
            p->device->port = NULL;
        free(p);
    }
    free(bus);
}

static int join(struct bp_device *companion, const char *name, unsigned first, unsigned count,
                const struct bp_usb_port_ops *ops, void *opaque, struct bp_usb_bus **ret_bus, struct bp_error *err)
{
    struct bp_bus *b = bp_bus_find(bp_device_machine(companion), name);
    const char *type = bp_device_class(companion)->type.name;
    struct bp_usb_bus *bus = b && bp_bus_level(b, &usb_bus_class) ? bus_of(b) : NULL;
    int r;

    if (!bus || !bus->info.join)
        return bp_fail(err, EINVAL, "%s: property 'masterbus': '%s' is no bus of an EHCI controller", type, name);
    r = bus->info.join(bus->opaque, first, count, ops, opaque, err);
    if (r < 0)
        return bp_error_prefix(err, "%s", type), r;
    *ret_bus = bus;
    return 0;
}

static void leave(struct bp_usb_bus *bus, void *opaque)
{
    if (bus && bus->info.leave)
        bus->info.leave(bus->opaque, opaque);
}

/* ---- the level of devices ---- */
static int device_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    const struct bp_usb_device *d = state;

    if (!d->port)
        return bp_fail(err, EINVAL, "device type '%s' has no port", bp_object_type(obj));
    return 0;
}

static void device_detach(struct bp_object *obj, void *state)
{
    (void)obj;
    usb_cancel_all(state, BP_USB_GONE);
}

static void device_fini(struct bp_object *obj, void *state)
{
    struct bp_usb_device *d = state;

    (void)obj;
    for (unsigned n = 0; n < USB_STRINGS; n++)
        free(d->string[n]);
}

static void device_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct bp_usb_device *d = state;

    (void)dev, (void)scope;
    if (d->info)
        reset_device(d);
}

static int device_loaded(void *state, uint32_t version, struct bp_error *err)
{
    struct bp_usb_device *d = state;

    (void)version;
    usb_cancel_all(d, BP_USB_GONE); /* what was on its way here is of no guest any more */
    if (d->stage > STAGE_STALLED || d->at > d->size || (d->size > USB_CONTROL && d->stage != STAGE_STALLED))
        return bp_fail(err, EINVAL, "USB: a saved control transfer is impossible");
    return 0;
}

static const struct bp_state_field device_fields[] = {
    BP_SAVE_RANGE(UINT8, struct bp_usb_device, address, 0, USB_ADDRESSES - 1),
    BP_SAVE_RANGE(UINT8, struct bp_usb_device, configuration, 0, 1),
    BP_SAVE_RANGE(UINT8, struct bp_usb_device, may_wake, 0, 1), BP_SAVE(UINT32, struct bp_usb_device, halted),
    BP_SAVE_BUFFER(struct bp_usb_device, alternate), BP_SAVE_BUFFER(struct bp_usb_device, setup),
    BP_SAVE(UINT32, struct bp_usb_device, stage), BP_SAVE(UINT32, struct bp_usb_device, at),
    BP_SAVE(UINT32, struct bp_usb_device, size), BP_SAVE_BUFFER(struct bp_usb_device, data), BP_SAVE_END};
static const struct bp_state_table device_table = {.version = 1, .oldest = 1, .fields = device_fields,
                                                   .after_load = device_loaded};

BP_NOTE("provides=abstract:usb-device;summary=Device on a USB bus");
const struct bp_level_class usb_device_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "usb-device",
             .parent = "device", .summary = "Device on a USB bus", .state_size = sizeof(struct bp_usb_device),
             .state = &device_table},
    .attach = device_attach, .detach = device_detach, .fini = device_fini, .reset = device_reset};

static struct bp_device *device_of(struct bp_usb_device *d)
{
    return d->dev;
}

static enum bp_usb_speed speed(struct bp_usb_device *d)
{
    return (enum bp_usb_speed)d->speed;
}

static uint8_t configuration(struct bp_usb_device *d)
{
    return d->configuration;
}

static uint8_t address(struct bp_usb_device *d)
{
    return d->address;
}

static int limit(struct bp_usb_device *d, uint32_t speeds, struct bp_error *err)
{
    d->allowed &= speeds;
    return choose_speed(d) ? 0 : too_slow(d, bp_device_class(d->dev)->type.name, err);
}

static void set_string(struct bp_usb_device *d, uint8_t index, const char *text)
{
    if (index == 0 || index >= USB_STRINGS)
        return;
    free(d->string[index]);
    d->string[index] = bp_strdup(text);
}

static void ready(struct bp_usb_device *d, uint8_t endpoint)
{
    struct bp_usb_port *root = d->there ? root_of(d->port) : NULL;

    if (root && root->ops.ready)
        root->ops.ready(root->opaque, d, endpoint);
}

static void wakeup(struct bp_usb_device *d)
{
    if (d->there && d->port && d->may_wake && d->port->ops.wakeup)
        d->port->ops.wakeup(d->port->opaque, d->port->n);
}

static void halt(struct bp_usb_device *d, uint8_t endpoint)
{
    d->halted |= usb_halt_bit(endpoint);
}

static const struct bp_usb_interface table = {
    .size = sizeof(struct bp_usb_interface), .new_bus = new_bus, .free_bus = free_bus, .port = port_at,
    .set_speeds = set_speeds, .negotiate = negotiate,
    .plugged = plugged, .reset = reset_port, .enable = enable, .find = find, .route = route,
    .submit = submit, .cancel = cancel, .join = join, .leave = leave, .of = of, .device = device_of, .speed = speed,
    .configuration = configuration, .address = address, .limit = limit, .set_string = set_string,
    .complete = complete, .ready = ready, .wakeup = wakeup, .halt = halt, .add_ports = add_ports,
    .remove_ports = remove_ports, .hub_port = hub_port};
BP_INTERFACE(usb_interface, "usb", 1, 0, &table);

BP_MODULE("usb", "USB bus", BP_NO_IMPORTS, {BP_PROVIDE_INTERFACE, &usb_interface}, {BP_PROVIDE_BUS, &usb_bus_class},
          {BP_PROVIDE_ABSTRACT, &usb_device_level}, {BP_PROVIDE_HMP, &usb_info_command},
          {BP_PROVIDE_OPTION, &usb_device_option});
