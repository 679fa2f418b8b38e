/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a device: created, properties set, attached, detached, freed (bp/device.h). How it
 * leaves is in leave.c.
 */
#include "device.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/loop.h>
#include <bp/memory.h>

#include "loop.h"
#include "marks.h"
#include "registry.h"
#include "type.h"

static struct bp_device *device_of(struct bp_object *obj)
{
    return (struct bp_device *)obj; /* obj is its first member */
}

/* ---- properties that all devices have ---- */

static int get_attached(struct bp_object *obj, const struct bp_field *f,
                        struct bp_value **ret_value, struct bp_error *err)
{
    (void)f;
    (void)err;
    *ret_value = bp_value_bool(device_of(obj)->attached);
    return 0;
}

static int get_hotplugged(struct bp_object *obj, const struct bp_field *f,
                          struct bp_value **ret_value, struct bp_error *err)
{
    (void)f;
    (void)err;
    *ret_value = bp_value_bool(device_of(obj)->hotplugged);
    return 0;
}

static int get_hotpluggable(struct bp_object *obj, const struct bp_field *f,
                            struct bp_value **ret_value, struct bp_error *err)
{
    (void)f;
    (void)err;
    *ret_value = bp_value_bool((obj->info->flags & BP_TYPE_HOTPLUGGABLE) &&
                               bpc_hotplug_has(obj->machine, device_of(obj)->bus));
    return 0;
}

static int get_parent_bus(struct bp_object *obj, const struct bp_field *f,
                          struct bp_value **ret_value, struct bp_error *err)
{
    (void)f;
    (void)err;
    struct bp_bus *bus = device_of(obj)->bus;
    *ret_value = bp_value_string(bus ? bp_object_path(&bus->obj) : "");
    return 0;
}

#define COMMON (BP_FIELD_READ_ONLY | BP_FIELD_HIDDEN)
static const struct bp_field device_props[] = {
    {.name = "parent_bus",
     .kind = BP_KIND_LINK,
     .flags = COMMON,
     .target = "bus",
     .help = "bus it sits on",
     .get = get_parent_bus},
    {.name = "realized",
     .kind = BP_KIND_BOOL,
     .flags = COMMON,
     .help = "whether it is in use",
     .get = get_attached},
    {.name = "hotpluggable",
     .kind = BP_KIND_BOOL,
     .flags = COMMON,
     .help = "whether it may come and go while the machine runs",
     .get = get_hotpluggable},
    {.name = "hotplugged",
     .kind = BP_KIND_BOOL,
     .flags = COMMON,
     .help = "whether it came while the machine ran",
     .get = get_hotplugged},
    BP_FIELDS_END,
};

/* ---- creation ---- */

bool bpc_device_class_has_bus(const struct bp_device_class *class)
{
    return class->bus && *class->bus && strcmp(class->bus, "system");
}

static void finalize(struct bp_object *obj)
{
    struct bp_device *dev = device_of(obj);
    bpc_device_lines_free(dev);
    bpc_bus_forget_child(dev);
    bpc_owner_lock_free(&dev->obj.owner);
    g_free(dev->user_id);
}

/* Parts that sit on no bus of the whole's. */
static void destroy_parts(struct bp_device *dev)
{
    for (struct bp_object *child = dev->obj.last; child;) {
        struct bp_object *before = child->prev;
        if (child->kind != BP_PROVIDE_DEVICE)
            ; /* a bus: bpc_buses_destroy() */
        else if (bpc_devices_of(dev->obj.machine)->closing)
            bp_device_destroy(device_of(child));
        else
            bpc_device_leave_with_bridge(device_of(child));
        child = before;
    }
}

static void detach(struct bp_device *dev)
{
    bpc_buses_destroy(dev);
    if (!dev->linked)
        return;
    bpc_hotplug_unplug(dev);
    bpc_owner_quiet(&dev->obj.owner);
    if (dev->class_attached && dev->class->detach)
        dev->class->detach(dev);
    dev->attached = dev->class_attached = false;
    bpc_object_detach_levels(&dev->obj);
    destroy_parts(dev);
    bpc_device_lines_disconnect(dev);
    bpc_bus_child_detach(dev);
    bpc_owner_release(&dev->obj.owner);
    bpc_bus_unlink(dev);
    dev->linked = false;
}

static void dispose(struct bp_object *obj)
{
    bpc_device_wait_end(device_of(obj));
    detach(device_of(obj));
    destroy_parts(device_of(obj));
}

/* The bus's own properties of its children, and those of all devices. */
static int add_props(struct bp_device *dev, struct bp_error *err)
{
    const void *desc;
    int ret = bpc_object_add_props(&dev->obj, device_props, NULL, "device", err);
    if (ret < 0 || !bpc_device_class_has_bus(dev->class))
        return ret;
    ret = bpc_require(BP_PROVIDE_BUS, dev->class->bus, &desc, err);
    if (ret < 0) {
        bp_error_prefix(err, "Device '%s' needs a bus", dev->class->type.name);
        return ret;
    }
    ret = bpc_bus_keep_child(desc, dev, err);
    if (!ret)
        dev->bus_state = bp_device_bus_level(dev, desc);
    return ret;
}

/* Into the object tree. */
static int place(struct bp_device *dev, const char *id, const char *anonymous, struct bp_error *err)
{
    if (!id) {
        bpc_object_add_child_numbered(bpc_object_container(anonymous), "device", &dev->obj);
        return 0;
    }
    struct bp_object *parent = bpc_object_container("/machine/peripheral");
    if (bpc_object_child(parent, id))
        return bp_fail(err, EEXIST, "Duplicate device ID '%s'", id);
    dev->user_id = g_strdup(id);
    return bpc_object_add_child(parent, id, &dev->obj, err);
}

/* One that is nowhere yet. */
static int create(struct bp_machine *machine, const char *type, struct bp_device **ret_dev,
                  struct bp_error *err)
{
    const void *desc;
    int ret = bpc_require(BP_PROVIDE_DEVICE, type, &desc, err);
    if (ret < 0)
        return ret;
    const struct bp_device_class *class = desc;
    struct bp_device *dev = calloc(1, sizeof(*dev));
    if (!dev)
        return bp_fail(err, ENOMEM, "Out of memory");
    dev->class = class;
    dev->obj.machine = machine;
    ret = bpc_object_init(&dev->obj, BP_PROVIDE_DEVICE, &class->type, err);
    if (ret < 0) {
        free(dev);
        return ret;
    }
    dev->obj.finalize = finalize;
    dev->obj.dispose = dispose;
    dev->obj.put_into = bpc_device_put_into;
    if (class->threads == BP_THREADS_OWN)
        bpc_owner_lock_make(&dev->obj.owner);
    ret = add_props(dev, err);
    if (!ret && class->init)
        ret = class->init(dev, err);
    if (!ret)
        ret = bpc_global_apply(&dev->obj, err);
    if (ret < 0)
        bp_object_destroy(&dev->obj);
    else
        *ret_dev = dev;
    return ret;
}

int bpc_device_create(struct bp_machine *machine, const char *type, const char *id,
                      const char *anonymous, struct bp_device **ret_dev, struct bp_error *err)
{
    struct bp_device *dev;
    int ret = create(machine, type, &dev, err);
    if (ret < 0)
        return ret;
    ret = place(dev, id, anonymous, err);
    if (ret < 0)
        bp_object_destroy(&dev->obj);
    else
        *ret_dev = dev;
    return ret;
}

int bp_device_new_part(struct bp_device *whole, const char *type, const char *name,
                       struct bp_device **ret_part, struct bp_error *err)
{
    bpc_assert_locked();
    struct bp_device *part;
    int ret = create(whole->obj.machine, type, &part, err);
    if (ret < 0)
        return ret;
    ret = bpc_object_add_child(&whole->obj, name, &part->obj, err);
    if (ret < 0)
        bp_object_destroy(&part->obj);
    else
        *ret_part = part;
    return ret;
}

int bp_device_new(struct bp_machine *machine, const char *type, const char *id,
                  struct bp_device **ret_dev, struct bp_error *err)
{
    bpc_assert_locked();
    return bpc_device_create(machine, type, id, "/machine/unattached", ret_dev, err);
}

/* ---- attaching ---- */

/* All levels, the class's own last. What failed midway is undone when the device leaves. */
static int attach_levels(struct bp_device *dev, struct bp_error *err)
{
    int ret = bpc_object_attach_levels(&dev->obj, err);
    if (!ret && dev->class->attach)
        ret = dev->class->attach(dev, err);
    if (ret < 0)
        return ret;
    dev->class_attached = true;
    return bpc_object_attached_levels(&dev->obj, err);
}

static int attach(struct bp_device *dev, struct bp_bus *bus, struct bp_error *err)
{
    int ret = 0;
    bpc_bus_link(bus, dev);
    dev->linked = true;
    ret = bpc_bus_child_attach(dev, err);
    if (!ret)
        ret = bpc_hotplug_pre_plug(dev, err);
    if (!ret)
        ret = attach_levels(dev, err);
    if (ret < 0)
        return ret;
    dev->attached = true;
    dev->obj.live = true;
    bpc_bus_child_attached(dev);
    bpc_device_reset_attached(dev);
    return bpc_hotplug_plug(dev, err); /* who could not be told: it is destroyed */
}

/* With what it sits on, or is a part of. */
static bool leaves(const struct bp_device *dev)
{
    while (dev && !dev->leave)
        dev = dev->bus ? dev->bus->bridge : bp_device_from_object(dev->obj.parent);
    return dev != NULL;
}

int bp_device_attach(struct bp_device *dev, struct bp_bus *bus, struct bp_error *err)
{
    bpc_assert_locked();
    int ret = 0;
    if (dev->attached)
        return bp_fail(err, EBUSY, "Device '%s' is attached already", bp_object_path(&dev->obj));
    if (!bus && bpc_device_class_has_bus(dev->class))
        ret = bpc_bus_choose(dev->obj.machine, dev->class, dev->hotplugged, &bus, err);
    else if (bus)
        ret = bpc_bus_check(bus, dev->class, err);
    if (!ret && bus && leaves(bus->bridge))
        ret = bp_fail(err, EBUSY, "Bus '%s' is in the process of unplug", bp_bus_name(bus));
    if (!ret)
        ret = bp_device_place(dev, bus, err);
    if (!ret)
        ret = attach(dev, bus, err);
    if (ret < 0) {
        bpc_object_remove(&dev->obj); /* its id is free at once */
        bp_device_destroy(dev);
    }
    return ret;
}

int bp_device_place(struct bp_device *dev, struct bp_bus *bus, struct bp_error *err)
{
    bpc_assert_locked();
    return bus ? bpc_bus_keep_child(bus->class, dev, err) : 0;
}

void bp_device_destroy(struct bp_device *dev)
{
    bpc_assert_locked();
    if (!dev || dev->obj.deleted)
        return;
    GPtrArray *closing = bpc_devices_of(dev->obj.machine)->closing;
    if (closing) {
        bpc_device_leave_now(dev);
        g_ptr_array_add(closing, dev);
    } else if (!dev->leave) {
        bpc_device_leave(dev, NULL);
    }
}

void bpc_devices_destroy(struct bp_machine *machine)
{
    struct bpc_devices *devices = bpc_devices_of(machine);
    GPtrArray *closing = devices->closing = g_ptr_array_new();
    bpc_irq_freeze(true);
    while (devices->waiting && devices->waiting->len > 0)
        bp_device_destroy(devices->waiting->pdata[0]);
    while (devices->last)
        bp_device_destroy(devices->last);
    bpc_irq_freeze(false);
    for (guint i = closing->len; i-- > 0;)
        bp_object_unref(closing->pdata[i]);
    g_ptr_array_unref(closing);
    g_clear_pointer(&devices->waiting, g_ptr_array_unref);
    devices->closing = NULL;
}

/* ---- what a device says of itself ---- */

void *bp_device_state(struct bp_device *dev)
{
    return dev->obj.state;
}

struct bp_device *bp_device_of_state(void *state)
{
    return device_of(bp_object_of_state(state));
}

struct bp_object *bp_device_object(struct bp_device *dev)
{
    return &dev->obj;
}

struct bp_owner *bp_device_owner(struct bp_device *dev)
{
    return &dev->obj.owner;
}

struct bp_machine *bp_device_machine(const struct bp_device *dev)
{
    return dev->obj.machine;
}

void bp_device_lock(struct bp_device *dev)
{
    bpc_owner_lock_take(&dev->obj.owner);
}

void bp_device_unlock(struct bp_device *dev)
{
    bpc_owner_lock_drop(&dev->obj.owner);
}

struct bp_context *bp_device_context(struct bp_device *dev)
{
    struct bp_context *ctx = __atomic_load_n(&dev->obj.owner.context, __ATOMIC_ACQUIRE);

    return ctx ? ctx : bp_context_main(dev->obj.machine);
}

void bp_device_set_context(struct bp_device *dev, struct bp_context *ctx)
{
    bpc_assert_main();
    bpc_owner_put_into(&dev->obj.owner, ctx);
}

const char *bp_device_id(const struct bp_device *dev)
{
    return dev->user_id;
}

const struct bp_device_class *bp_device_class(const struct bp_device *dev)
{
    return dev->class;
}

struct bp_device *bp_device_from_object(struct bp_object *obj)
{
    return obj && obj->kind == BP_PROVIDE_DEVICE ? device_of(obj) : NULL;
}

struct bp_space *bp_machine_memory(struct bp_machine *machine)
{
    return ((struct bpc_machine_head *)machine)->memory;
}

struct bp_space *bp_machine_io(struct bp_machine *machine)
{
    return ((struct bpc_machine_head *)machine)->io;
}

struct bp_space *bp_device_memory(struct bp_device *dev)
{
    return bp_machine_memory(dev->obj.machine);
}

struct bp_space *bp_device_io(struct bp_device *dev)
{
    return bp_machine_io(dev->obj.machine);
}

struct bp_bus *bp_device_bus(struct bp_device *dev)
{
    return dev->bus;
}

void *bp_device_bus_state(struct bp_device *dev)
{
    return dev->bus_state;
}

int bp_device_set(struct bp_device *dev, const char *prop, const char *text, struct bp_error *err)
{
    bpc_assert_locked();
    return bp_object_set_text(&dev->obj, prop, text, err);
}

int bp_device_set_uint(struct bp_device *dev, const char *prop, uint64_t v, struct bp_error *err)
{
    bpc_assert_locked();
    struct bp_value *value = bp_value_uint(v);
    int ret = bp_object_set(&dev->obj, prop, value, err);
    bp_value_unref(value);
    return ret;
}

int bp_device_set_link(struct bp_device *dev, const char *prop, struct bp_object *to,
                       struct bp_error *err)
{
    bpc_assert_locked();
    return bpc_object_set_link(&dev->obj, prop, to, err);
}
