/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that wait for another one, by its id: made, with all their properties, they are attached as if they were
 * plugged in once that one says so (bp_device_admit()). Their bus says who waits (child_waits).
 */
#include <errno.h>
#include <string.h>

#include <bp/log.h>

#include "device.h"
#include "marks.h"

enum { NOBODY, LATER, NOW }; /* whom a device admits that others wait for */

static const char *name_of(struct bp_device *dev)
{
    return dev->user_id ? dev->user_id : bp_object_path(&dev->obj);
}

static int may_wait(const struct bp_device *dev, const char *for_id, struct bp_error *err)
{
    const struct bp_device *other = bpc_device_find(for_id);

    if (!other)
        return bp_fail(err, ENODEV, "it waits for a device '%.100s': there is none of this id", for_id);
    if (other->admits == NOBODY || other == dev)
        return bp_fail(err, EINVAL, "it waits for the device '%.100s': that is a '%s' for which nobody can wait "
                       "(one of its properties would allow it: failover=on)", for_id, other->class->type.name);
    return 0;
}

int bpc_device_wait(struct bp_device *dev, struct bp_bus *bus, bool hotplug, struct bp_error *err)
{
    struct bpc_devices *devices = bpc_devices_of(dev->obj.machine);
    const char *for_id = NULL;
    int ret = bpc_bus_child_waits(bus, dev, &for_id, err);

    if (ret <= 0)
        return ret;
    if (!(dev->class->type.flags & BP_TYPE_HOTPLUGGABLE))
        return bp_fail(err, EINVAL, "Device '%s' does not support hotplugging: it cannot wait for '%.100s'",
                       dev->class->type.name, for_id);
    ret = bpc_hotplug_check(dev->obj.machine, bus, err);
    if (ret == 0 && hotplug)
        ret = may_wait(dev, for_id, err);
    if (ret < 0)
        return ret;
    if (hotplug && bpc_device_find(for_id)->admits == NOW)
        return 0;
    dev->waits_for = g_strdup(for_id);
    dev->waits_at = g_strdup(bp_object_path(&bus->obj));
    g_ptr_array_add(devices->waiting ? devices->waiting : (devices->waiting = g_ptr_array_new()), dev);
    return 1;
}

void bpc_device_wait_end(struct bp_device *dev)
{
    if (!dev->waits_for)
        return;
    g_ptr_array_remove(bpc_devices_of(dev->obj.machine)->waiting, dev);
    g_clear_pointer(&dev->waits_for, g_free);
    g_clear_pointer(&dev->waits_at, g_free);
}

int bpc_devices_check_waiting(struct bp_machine *machine, struct bp_error *err)
{
    const GPtrArray *waiting = bpc_devices_of(machine)->waiting;

    for (guint i = 0; waiting && i < waiting->len; i++) {
        struct bp_device *dev = waiting->pdata[i];
        int ret = may_wait(dev, dev->waits_for, err);

        if (ret < 0) {
            bp_error_prefix(err, "Device '%s'", name_of(dev));
            return ret;
        }
    }
    return 0;
}

static void come(struct bp_device *dev)
{
    char *at = g_strdup(dev->waits_at), *name = g_strdup(name_of(dev));
    struct bp_error err = {0};
    struct bp_bus *bus;
    int ret;

    bpc_device_wait_end(dev);
    dev->hotplugged = true;
    bus = bpc_bus_lookup(dev->obj.machine, at);
    if (bus) {
        ret = bp_device_attach(dev, bus, &err);
    } else {
        ret = bp_fail(&err, ENODEV, "its bus '%s' has gone", at);
        bp_device_destroy(dev);
    }
    if (ret < 0)
        bp_warn("device '%s' had waited, and cannot come: %s", name, err.message);
    g_free(name);
    g_free(at);
}

void bp_device_admit(struct bp_device *dev, bool on)
{
    const GPtrArray *waiting = bpc_devices_of(dev->obj.machine)->waiting;

    bpc_assert_locked();
    dev->admits = on ? NOW : LATER;
    for (guint i = 0; on && dev->user_id && waiting && i < waiting->len;) {
        struct bp_device *other = waiting->pdata[i];

        if (strcmp(other->waits_for, dev->user_id) == 0) {
            come(other);
            i = 0; /* what it brought with it may have changed the list */
        } else {
            i++;
        }
    }
}
