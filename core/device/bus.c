/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Buses: made by bridges, filled with devices (bp/device.h). */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "marks.h"
#include "registry.h"
#include "type.h"

void bpc_bus_link(struct bp_bus *bus, struct bp_device *dev)
{
    struct bpc_devices *roots = bpc_devices_of(dev->obj.machine);
    struct bp_device **first = bus ? &bus->first : &roots->first;
    struct bp_device **last = bus ? &bus->last : &roots->last;
    dev->bus = bus;
    dev->next = NULL;
    dev->prev = *last;
    if (*last)
        (*last)->next = dev;
    else
        *first = dev;
    *last = dev;
    if (bus) {
        bus->count++;
        bp_object_ref(&bus->obj);
    }
}

void bpc_bus_unlink(struct bp_device *dev)
{
    struct bp_bus *bus = dev->bus;
    struct bpc_devices *roots = bpc_devices_of(dev->obj.machine);
    struct bp_device **first = bus ? &bus->first : &roots->first;
    struct bp_device **last = bus ? &bus->last : &roots->last;
    if (dev->prev)
        dev->prev->next = dev->next;
    else
        *first = dev->next;
    if (dev->next)
        dev->next->prev = dev->prev;
    else
        *last = dev->prev;
    dev->next = dev->prev = NULL;
    dev->bus = NULL;
    if (bus) {
        bus->count--;
        bp_object_unref(&bus->obj);
    }
}

/* A bus's types are its levels: base first. */
static const struct bp_bus_class *class_at(const struct bp_bus *bus, unsigned i)
{
    return (const struct bp_bus_class *)bus->obj.levels[i].info;
}

const struct bp_bus_class *bpc_bus_class_at(const struct bp_bus *bus, unsigned level)
{
    return class_at(bus, level);
}

/* ---- what a bus keeps with a child, and its methods ---- */

static const struct bpc_child_level *child_level(const struct bp_device *dev,
                                                 const struct bp_bus_class *class)
{
    for (unsigned i = 0; i < dev->bus_level_count; i++) {
        if (dev->bus_levels[i].class == class)
            return &dev->bus_levels[i];
    }
    for (unsigned i = 0; i < dev->bus_level_count; i++) { /* registered as a larger copy */
        if (!strcmp(dev->bus_levels[i].class->type.name, class->type.name))
            return &dev->bus_levels[i];
    }
    return NULL;
}

int bpc_bus_keep_child(const struct bp_bus_class *class, struct bp_device *dev,
                       struct bp_error *err)
{
    const void *parent;
    int ret = 0;
    if (child_level(dev, class))
        return 0;
    if (dev->bus_level_count > 16)
        return bp_fail(err, ELOOP, "Bus type '%s' extends too many others", class->type.name);
    if (bpc_type_has_parent_level(BP_PROVIDE_BUS, &class->type)) {
        ret = bpc_require(BP_PROVIDE_BUS, class->type.parent, &parent, err);
        if (!ret)
            ret = bpc_bus_keep_child(parent, dev, err);
        if (ret < 0)
            return ret;
    }
    void *state = bpc_object_state_alloc(&dev->obj, class->child_size);
    dev->bus_levels = g_renew(struct bpc_child_level, dev->bus_levels, dev->bus_level_count + 1);
    dev->bus_levels[dev->bus_level_count++] = (struct bpc_child_level){class, state};
    return bpc_object_add_props(&dev->obj, class->child_props, state, class->type.name, err);
}

void bpc_bus_forget_child(struct bp_device *dev)
{
    for (unsigned i = 0; i < dev->bus_level_count; i++)
        bpc_object_state_free(dev->bus_levels[i].state);
    g_free(dev->bus_levels);
    dev->bus_levels = NULL;
    dev->bus_level_count = 0;
    dev->bus_state = NULL;
}

int bpc_bus_child_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_bus *bus = dev->bus;
    dev->bus_attached = 0;
    for (; bus && dev->bus_attached < bus->obj.level_count; dev->bus_attached++) {
        const struct bp_bus_class *class = class_at(bus, dev->bus_attached);
        int ret = class->child_attach ? class->child_attach(bus, dev, err) : 0;
        if (ret < 0) {
            bpc_bus_child_detach(dev);
            return ret;
        }
    }
    return 0;
}

void bpc_bus_child_attached(struct bp_device *dev)
{
    for (unsigned i = 0; i < dev->bus_attached; i++) {
        const struct bp_bus_class *class = class_at(dev->bus, i);
        if (class->child_attached)
            class->child_attached(dev->bus, dev);
    }
}

int bpc_bus_child_waits(struct bp_bus *bus, struct bp_device *dev, const char **ret_for, struct bp_error *err)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && bus && i < bus->obj.level_count; i++) {
        if (class_at(bus, i)->child_waits)
            ret = class_at(bus, i)->child_waits(bus, dev, ret_for, err);
    }
    return ret;
}

void bpc_bus_child_detach(struct bp_device *dev)
{
    while (dev->bus_attached > 0) {
        const struct bp_bus_class *class = class_at(dev->bus, --dev->bus_attached);
        if (class->child_detach)
            class->child_detach(dev->bus, dev);
    }
}

void bpc_bus_child_address(struct bp_device *dev, char *buf, size_t size)
{
    struct bp_bus *bus = dev->bus;
    for (unsigned i = bus ? bus->obj.level_count : 0; i-- > 0;) {
        if (!class_at(bus, i)->child_address)
            continue;
        class_at(bus, i)->child_address(dev, buf, size);
        return;
    }
}

/* ---- looking for a bus ---- */

static struct bp_bus *find_below(struct bp_device *dev,
                                 bool (*fits)(const struct bp_bus *bus, const void *opaque),
                                 const void *opaque)
{
    for (; dev; dev = dev->next) {
        for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
            if (fits(bus, opaque))
                return bus;
            struct bp_bus *deeper = find_below(bus->first, fits, opaque);
            if (deeper)
                return deeper;
        }
    }
    return NULL;
}

static bool has_name(const struct bp_bus *bus, const void *name)
{
    return !strcmp(bp_bus_name(bus), name);
}

static bool has_type(const struct bp_bus *bus, const void *type)
{
    return bp_object_is_a(&bus->obj, type);
}

static bool has_room(const struct bp_bus *bus, const void *class)
{
    return !bpc_bus_check(bus, class, NULL);
}

struct bp_bus *bp_bus_find(struct bp_machine *machine, const char *name_or_type)
{
    bpc_assert_locked();
    struct bp_device *first = bpc_devices_of(machine)->first;
    struct bp_bus *bus = find_below(first, has_name, name_or_type);
    return bus ? bus : find_below(first, has_type, name_or_type);
}

struct bp_bus *bp_device_bridged(struct bp_device *bridge, const char *type)
{
    bpc_assert_locked();
    struct bp_bus *bus = bridge->buses;

    while (bus && !has_type(bus, type))
        bus = bus->next;
    return bus;
}

static struct bp_bus *bus_from_object(struct bp_object *obj)
{
    return obj && obj->kind == BP_PROVIDE_BUS ? (struct bp_bus *)obj : NULL;
}

struct bp_bus *bpc_bus_lookup(struct bp_machine *machine, const char *text)
{
    struct bp_bus *bus = find_below(bpc_devices_of(machine)->first, has_name, text);
    if (!bus)
        bus = bus_from_object(bp_object_resolve(text, "bus", NULL));
    if (!bus) {
        struct bp_device *bridge = bpc_device_find(text);
        bus = bridge ? bridge->buses : NULL;
    }
    return bus;
}

int bpc_bus_check(const struct bp_bus *bus, const struct bp_device_class *class,
                  struct bp_error *err)
{
    if (!bpc_device_class_has_bus(class))
        return bp_fail(err, EINVAL, "Device '%s' plugs into no bus, so not into '%s'",
                       class->type.name, bp_bus_name(bus));
    if (!bp_object_is_a(&bus->obj, class->bus))
        return bp_fail(err, EINVAL,
                       "Device '%s' can't go on bus '%s': it needs a bus of type '%s', "
                       "this one is '%s'",
                       class->type.name, bp_bus_name(bus), class->bus, bp_bus_type(bus));
    for (unsigned i = 0; i < bus->obj.level_count; i++) {
        unsigned most = class_at(bus, i)->max_children;
        if (most && bus->count >= most)
            return bp_fail(err, ENOSPC, "Bus '%s' is full: it takes %u devices", bp_bus_name(bus),
                           most);
    }
    return 0;
}

static bool has_slot(const struct bp_bus *bus, const void *class)
{
    return bus->hotplug.used && has_room(bus, class);
}

int bpc_bus_choose(struct bp_machine *machine, const struct bp_device_class *class, bool hotplug,
                   struct bp_bus **ret_bus, struct bp_error *err)
{
    struct bp_device *first = bpc_devices_of(machine)->first;
    struct bp_bus *bus = hotplug ? find_below(first, has_slot, class) : NULL;
    if (!bus)
        bus = find_below(first, has_room, class);
    if (!bus)
        return bp_fail(err, ENODEV, "No '%s' bus %sfound for device '%s'", class->bus,
                       find_below(first, has_type, class->bus) ? "with room " : "",
                       class->type.name);
    *ret_bus = bus;
    return 0;
}

/* ---- making and ending ---- */

static unsigned count_type(struct bp_device *dev, const char *type)
{
    unsigned count = 0;
    for (; dev; dev = dev->next) {
        for (struct bp_bus *bus = dev->buses; bus; bus = bus->next)
            count += !strcmp(bp_bus_type(bus), type) + count_type(bus->first, type);
    }
    return count;
}

static char *choose_name(const struct bp_device *bridge, const char *type)
{
    unsigned n = 0;
    if (!bridge->user_id)
        return g_strdup_printf("%s.%u", type, count_type(bpc_devices_of(bridge->obj.machine)->first, type));
    for (const struct bp_bus *bus = bridge->buses; bus; bus = bus->next)
        n++;
    return g_strdup_printf("%s.%u", bridge->user_id, n);
}

int bp_bus_new(struct bp_device *bridge, const char *type, const char *name,
               struct bp_bus **ret_bus, struct bp_error *err)
{
    bpc_assert_locked();
    const void *desc;
    int ret = bpc_require(BP_PROVIDE_BUS, type, &desc, err);
    if (ret < 0)
        return ret;
    struct bp_bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return bp_fail(err, ENOMEM, "Out of memory");
    bus->class = desc;
    bus->bridge = bridge;
    bus->obj.machine = bridge->obj.machine;
    ret = bpc_object_init(&bus->obj, BP_PROVIDE_BUS, &bus->class->type, err);
    if (ret < 0) {
        free(bus);
        return ret;
    }
    char *chosen = name ? g_strdup(name) : choose_name(bridge, type);
    ret = bpc_object_add_child(&bridge->obj, chosen, &bus->obj, err);
    g_free(chosen);
    if (ret < 0) {
        bp_object_destroy(&bus->obj);
        return ret;
    }
    bus->resets = bridge->resets; /* it leaves reset with its bridge */
    bus->obj.live = true;
    if (bridge->last_bus)
        bridge->last_bus->next = bus;
    else
        bridge->buses = bus;
    bridge->last_bus = bus;
    *ret_bus = bus;
    return 0;
}

static void unlink_bus(struct bp_device *bridge, struct bp_bus *bus)
{
    struct bp_bus *before = NULL;
    for (struct bp_bus *b = bridge->buses; b != bus; b = b->next)
        before = b;
    if (before)
        before->next = bus->next;
    else
        bridge->buses = bus->next;
    if (bridge->last_bus == bus)
        bridge->last_bus = before;
}

void bpc_buses_destroy(struct bp_device *bridge)
{
    while (bridge->last_bus) {
        struct bp_bus *bus = bridge->last_bus;
        while (bus->last) {
            GPtrArray *closing = bpc_devices_of(bridge->obj.machine)->closing;

            if (closing)
                bp_device_destroy(bus->last);
            else
                bpc_device_leave_with_bridge(bus->last);
        }
        bpc_hotplug_forget(bus);
        unlink_bus(bridge, bus);
        bp_object_destroy(&bus->obj);
    }
}

/* ---- what a bus says of itself ---- */

void *bp_bus_state(struct bp_bus *bus)
{
    return bus->obj.state;
}

void *bp_bus_level(const struct bp_bus *bus, const struct bp_bus_class *class)
{
    for (unsigned i = 0; i < bus->obj.level_count; i++) {
        if (class_at(bus, i) == class || !strcmp(class_at(bus, i)->type.name, class->type.name))
            return bus->obj.levels[i].state;
    }
    return NULL;
}

void *bp_device_bus_level(const struct bp_device *dev, const struct bp_bus_class *class)
{
    const struct bpc_child_level *level = child_level(dev, class);
    return level ? level->state : NULL;
}

struct bp_device *bp_bus_bridge(struct bp_bus *bus)
{
    return bus->bridge;
}

const char *bp_bus_name(const struct bp_bus *bus)
{
    return bp_object_id(&bus->obj);
}

const char *bp_bus_type(const struct bp_bus *bus)
{
    return bus->class->type.name;
}

int bp_bus_each_child(struct bp_bus *bus, int (*fn)(struct bp_device *child, void *opaque),
                      void *opaque)
{
    bpc_assert_locked();
    for (struct bp_device *child = bus->first; child;) {
        struct bp_device *next = child->next; /* fn may destroy the child it is shown */
        int ret = fn(child, opaque);
        if (ret)
            return ret;
        child = next;
    }
    return 0;
}
