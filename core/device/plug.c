/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that users add and remove: -device, device_add, device_del (device.h). */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/command.h>

#include "device.h"
#include "registry.h"
#include "text.h"

static int optional_string(const struct bp_value *args, const char *key, const char **ret_text,
                           struct bp_error *err)
{
    const char *text = bp_value_get_string(args, key);
    if (!text && bp_value_has(args, key))
        return bp_fail(err, EINVAL, "Invalid parameter type for '%s', expected: string", key);
    *ret_text = text;
    return 0;
}

static int find_class(const char *driver, bool hotplug, const struct bp_device_class **ret_class,
                      struct bp_error *err)
{
    const void *desc;
    struct bp_error why = {0};
    int ret = bpc_require(BP_PROVIDE_DEVICE, driver, &desc, &why);
    if (ret == -ENOENT) {
        char hint[BPC_HINT_SIZE];
        bpc_missing_hint(BP_PROVIDE_DEVICE, driver, hint, sizeof(hint));
        return bp_fail(err, ENOENT, "'%.100s' is not a valid device model name%s", driver,
                       *hint ? hint : "; -device help lists them");
    }
    if (ret < 0) {
        if (err)
            *err = why;
        return ret;
    }
    const struct bp_device_class *class = desc;
    if (class->type.flags & BP_TYPE_NOT_USER_CREATABLE)
        return bp_fail(err, EINVAL,
                       "Parameter 'driver' expects a pluggable device type; '%s' is "
                       "part of a board",
                       driver);
    if (hotplug && !(class->type.flags & BP_TYPE_HOTPLUGGABLE))
        return bp_fail(err, EINVAL, "Device '%s' does not support hotplugging", driver);
    *ret_class = class;
    return 0;
}

static int find_bus(struct bp_machine *machine, const char *name,
                    const struct bp_device_class *class, bool hotplug, struct bp_bus **ret_bus,
                    struct bp_error *err)
{
    if (!name) {
        if (bpc_device_class_has_bus(class))
            return bpc_bus_choose(machine, class, hotplug, ret_bus, err);
        *ret_bus = NULL;
        return 0;
    }
    struct bp_bus *bus = bpc_bus_lookup(machine, name);
    if (!bus)
        return bp_fail(err, ENODEV, "Bus '%.200s' not found", name);
    int ret = bpc_bus_check(bus, class, err);
    if (!ret)
        *ret_bus = bus;
    return ret;
}

static int check_id(const char *id, struct bp_error *err)
{
    if (!id)
        return 0;
    if (!bpc_text_is_id(id))
        return bp_fail(err, EINVAL,
                       "Parameter 'id' expects an identifier: a letter, then letters, "
                       "digits, '-', '.' and '_'");
    if (bpc_object_child(bpc_object_container("/machine/peripheral"), id))
        return bp_fail(err, EEXIST, "Duplicate device ID '%s'", id);
    return 0;
}

/* Processors are made by the machine; they are devices to those who add them. */
static bool is_cpu(const char *driver, const char **ret_type)
{
    const void *desc;
    if (bpc_describe(BP_PROVIDE_DEVICE, driver, &desc, NULL) != -ENOENT ||
        bpc_describe(BP_PROVIDE_CPU, driver, &desc, NULL) < 0)
        return false;
    *ret_type = ((const struct bp_type_info *)desc)->name;
    return true;
}

int bpc_device_add(struct bp_machine *machine, struct bp_value *args, bool hotplug,
                   struct bp_error *err)
{
    static const char *const skip[] = {"driver", "id", "bus", NULL};
    const char *driver = NULL, *id = NULL, *bus_name = NULL, *cpu;
    const struct bp_device_class *class;
    struct bp_bus *bus;
    struct bp_device *dev;
    int ret = optional_string(args, "driver", &driver, err);
    if (!ret)
        ret = optional_string(args, "id", &id, err);
    if (!ret)
        ret = optional_string(args, "bus", &bus_name, err);
    if (!ret && !driver)
        ret = bp_fail(err, EINVAL, "Parameter 'driver' is missing");
    if (!ret)
        ret = bpc_resolve_file(BP_PROVIDE_DEVICE, driver, &driver, err);
    if (!ret)
        ret = check_id(id, err);
    if (!ret && is_cpu(driver, &cpu) && bpc_devices_of(machine)->add_cpu)
        return bpc_devices_of(machine)->add_cpu(machine, cpu, id, args, hotplug, err);
    if (!ret)
        ret = find_class(driver, hotplug, &class, err);
    if (!ret)
        ret = find_bus(machine, bus_name, class, hotplug, &bus, err);
    if (!ret && hotplug)
        ret = bpc_hotplug_check(machine, bus, err);
    if (!ret)
        ret = bpc_device_create(machine, class->type.name, id, "/machine/peripheral-anon", &dev,
                                err);
    if (ret < 0)
        return ret;
    dev->hotplugged = hotplug;
    ret = bp_device_place(dev, bus, err);
    if (!ret)
        ret = bpc_object_set_all(&dev->obj, args, skip, err);
    if (!ret)
        ret = bpc_device_wait(dev, bus, hotplug, err);
    if (ret < 0)
        bp_device_destroy(dev);
    if (ret)
        return ret < 0 ? ret : 0;
    return bp_device_attach(dev, bus, err);
}

struct bp_device *bpc_device_find(const char *id)
{
    struct bp_object *obj = bpc_object_child(bpc_object_container("/machine/peripheral"), id);
    if (!obj && strchr(id, '/'))
        obj = bp_object_resolve(id, "device", NULL);
    return bp_device_from_object(obj);
}

static struct bp_object *find_cpu(const char *id)
{
    struct bp_object *obj = bpc_object_child(bpc_object_container("/machine/peripheral"), id);
    if (!obj && strchr(id, '/'))
        obj = bp_object_resolve(id, NULL, NULL);
    return obj && obj->kind == BP_PROVIDE_CPU && obj->machine ? obj : NULL;
}

int bpc_device_del(const char *id, struct bp_error *err)
{
    struct bp_device *dev = bpc_device_find(id);
    struct bp_object *cpu = dev ? NULL : find_cpu(id);
    if (cpu)
        return bpc_devices_of(cpu->machine)->del_cpu(cpu->machine, cpu, id, err);
    if (!dev)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "Device '%.200s' not found",
                             id);
    if (dev->waits_for) { /* nobody knows of it */
        bp_device_unplugged(dev);
        return 0;
    }
    if (!dev->attached || !(dev->class->type.flags & BP_TYPE_HOTPLUGGABLE))
        return bp_fail(err, EINVAL,
                       "Device '%.200s' can not be unplugged: '%s' does not support "
                       "hotplugging",
                       id, dev->class->type.name);
    if (bp_device_from_object(dev->obj.parent))
        return bp_fail(err, EINVAL, "Device '%.200s' can not be unplugged: it is a part of '%s'", id,
                       bp_object_path(dev->obj.parent));
    struct bp_object *used = bpc_device_used(dev);
    if (used && bpc_device_kept(used))
        return bp_fail(err, EBUSY, "Device '%.200s' can not be unplugged: %s", id, bpc_device_kept(used));
    if (used == &dev->obj)
        return bp_fail(err, EBUSY, "Device '%.200s' can not be unplugged: it is in use", id);
    if (used)
        return bp_fail(err, EBUSY, "Device '%.200s' can not be unplugged: '%s' goes with it and is in use",
                       id, bp_object_path(used));
    if (dev->unplug_pending || dev->leave)
        return bp_fail(err, EBUSY, "Device '%.200s' is already in the process of unplug", id);
    int ret = bpc_hotplug_check(dev->obj.machine, dev->bus, err);
    if (ret < 0) {
        bp_error_prefix(err, "Device '%.200s' can not be unplugged", id);
        return ret;
    }
    return bpc_hotplug_request(dev, err);
}
