/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who decides about slots (bp/device.h): a bus, its bridge, an ACPI controller or the board registers
 * for a bus, or for devices that sit on none. Without one nothing comes or goes while the machine runs.
 */
#include <errno.h>
#include <string.h>

#include <bp/command.h>

#include "device.h"
#include "marks.h"

static void let_go(struct bpc_claim *claim)
{
    struct bpc_hotplug *slot = (struct bpc_hotplug *)claim; /* its first member */
    memset(&slot->ops, 0, sizeof(slot->ops));
    slot->opaque = NULL;
    slot->used = false;
}

static void set(struct bpc_hotplug *slot, struct bp_owner *owner, const struct bp_hotplug_ops *ops,
                void *opaque)
{
    if (slot->used) {
        bpc_unclaim(&slot->claim);
        let_go(&slot->claim);
    }
    if (!ops)
        return;
    size_t size = ops->size < sizeof(slot->ops) ? ops->size : sizeof(slot->ops);
    memcpy(&slot->ops, ops, size); /* what an older module does not know stays NULL */
    slot->opaque = opaque;
    slot->used = true;
    bpc_claim(owner, &slot->claim, let_go);
}

void bp_bus_set_hotplug(struct bp_bus *bus, struct bp_owner *owner,
                        const struct bp_hotplug_ops *ops, void *opaque)
{
    bpc_assert_locked();
    set(&bus->hotplug, owner, ops, opaque);
}

void bp_machine_set_hotplug(struct bp_machine *machine, struct bp_owner *owner,
                            const struct bp_hotplug_ops *ops, void *opaque)
{
    bpc_assert_locked();
    set(&bpc_devices_of(machine)->hotplug, owner, ops, opaque);
}

void bpc_hotplug_forget(struct bp_bus *bus)
{
    set(&bus->hotplug, NULL, NULL, NULL);
}

static struct bpc_hotplug *slot_of(struct bp_machine *machine, struct bp_bus *bus)
{
    return bus ? &bus->hotplug : &bpc_devices_of(machine)->hotplug;
}

bool bpc_hotplug_has(struct bp_machine *machine, struct bp_bus *bus)
{
    return slot_of(machine, bus)->used;
}

int bpc_hotplug_check(struct bp_machine *machine, struct bp_bus *bus, struct bp_error *err)
{
    if (bpc_hotplug_has(machine, bus))
        return 0;
    if (bus)
        return bp_fail(err, EINVAL, "Bus '%s' does not support hotplugging", bp_bus_name(bus));
    return bp_fail(err, EINVAL, "The machine does not support hotplugging of devices on no bus");
}

int bpc_hotplug_pre_plug(struct bp_device *dev, struct bp_error *err)
{
    const struct bpc_hotplug *slot = slot_of(dev->obj.machine, dev->bus);
    return slot->ops.pre_plug ? slot->ops.pre_plug(slot->opaque, dev->bus, dev, err) : 0;
}

int bpc_hotplug_plug(struct bp_device *dev, struct bp_error *err)
{
    const struct bpc_hotplug *slot = slot_of(dev->obj.machine, dev->bus);
    int ret = slot->ops.plug ? slot->ops.plug(slot->opaque, dev->bus, dev, err) : 0;
    dev->plugged = ret == 0;
    return ret;
}

void bpc_hotplug_unplug(struct bp_device *dev)
{
    const struct bpc_hotplug *slot = slot_of(dev->obj.machine, dev->bus);
    if (dev->plugged && slot->ops.unplug)
        slot->ops.unplug(slot->opaque, dev->bus, dev);
    dev->plugged = false;
}

int bpc_hotplug_request(struct bp_device *dev, struct bp_error *err)
{
    const struct bpc_hotplug *slot = slot_of(dev->obj.machine, dev->bus);
    int ret;
    /* Who is asked may finish within the call: dev lives on until its memory's deferred call. */
    dev->unplug_pending = true;
    if (slot->ops.unplug_request) {
        ret = slot->ops.unplug_request(slot->opaque, dev->bus, dev, err);
    } else if (dev->class->unplug_request) {
        ret = dev->class->unplug_request(dev, err);
    } else {
        bp_device_unplugged(dev);
        return 0;
    }
    if (ret < 0)
        dev->unplug_pending = false;
    return ret;
}

bool bp_device_hotplugged(const struct bp_device *dev)
{
    bpc_assert_locked();
    return dev->hotplugged;
}

static struct bp_value *name_of(struct bp_device *dev)
{
    struct bp_value *data = bp_value_dict();
    if (dev->user_id)
        bp_value_set(data, "device", bp_value_string(dev->user_id));
    bp_value_set(data, "path", bp_value_string(bp_object_path(&dev->obj)));
    return data;
}

/* ---- who uses what would leave ---- */

/* With what is on the buses of a device; what is below it in the tree, its parts, the walk comes to. */
static int add_object(struct bp_object *obj, void *leaving)
{
    struct bp_device *dev = bp_device_from_object(obj);

    if (!g_hash_table_add(leaving, obj) || !dev)
        return 0;
    for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
        g_hash_table_add(leaving, &bus->obj);
        for (struct bp_device *child = bus->first; child; child = child->next)
            (void)bpc_object_walk(&child->obj, add_object, leaving);
    }
    return 0;
}

const char *bpc_device_kept(struct bp_object *obj)
{
    const struct bp_device *dev = bp_device_from_object(obj);

    return dev ? dev->kept : NULL;
}

void bp_device_keep(struct bp_device *dev, const char *why)
{
    bpc_assert_locked();
    dev->kept = why;
}

struct bp_object *bpc_device_used(struct bp_device *dev)
{
    GHashTable *leaving = g_hash_table_new(NULL, NULL);
    struct bp_object *used = NULL;
    GHashTableIter it, others;
    gpointer obj, other;

    (void)bpc_object_walk(&dev->obj, add_object, leaving);
    g_hash_table_iter_init(&it, leaving);
    while (!used && g_hash_table_iter_next(&it, &obj, NULL)) {
        unsigned users = ((struct bp_object *)obj)->users;

        g_hash_table_iter_init(&others, leaving);
        while (users > 0 && g_hash_table_iter_next(&others, &other, NULL))
            users -= MIN(users, bpc_object_links_to(other, obj));
        used = users > 0 || bpc_device_kept(obj) ? obj : NULL;
    }
    g_hash_table_unref(leaving);
    return used;
}

/* An ejected device that something still points to stays: device_del had asked, but whoever ejects need not
 * have been asked by it. */
void bp_device_unplugged(struct bp_device *dev)
{
    bpc_assert_locked();
    if (dev->obj.deleted || dev->leave)
        return;
    if (bpc_device_used(dev)) {
        dev->unplug_pending = true;
        bp_device_unplug_refused(dev);
        return;
    }
    bpc_device_leave(dev, name_of(dev)); /* DEVICE_DELETED follows when it is gone */
}

void bp_device_unplug_refused(struct bp_device *dev)
{
    bpc_assert_locked();
    if (dev->obj.deleted || dev->leave || !dev->unplug_pending)
        return;
    dev->unplug_pending = false;
    bp_event_send_named("DEVICE_UNPLUG_GUEST_ERROR", name_of(dev));
}

void bp_device_gone(struct bp_device *dev)
{
    bpc_assert_locked();
    if (dev->obj.deleted || dev->leave)
        return;
    const struct bpc_hotplug *slot = slot_of(dev->obj.machine, dev->bus);
    if (dev->plugged && slot->ops.surprise)
        slot->ops.surprise(slot->opaque, dev->bus, dev);
    bp_device_unplugged(dev);
}
