/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All devices: visiting, `info qtree` (device.h). */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "marks.h"

static int each_device(struct bp_device *dev, int (*fn)(struct bp_device *dev, void *opaque),
                       void *opaque)
{
    int ret = fn(dev, opaque);
    for (struct bp_bus *bus = dev->buses; bus && !ret; bus = bus->next) {
        for (struct bp_device *child = bus->first; child && !ret; child = child->next)
            ret = each_device(child, fn, opaque);
    }
    return ret;
}

int bpc_devices_each(struct bp_machine *machine, int (*fn)(struct bp_device *dev, void *opaque),
                     void *opaque)
{
    int ret = 0;
    for (struct bp_device *dev = bpc_devices_of(machine)->first; dev && !ret; dev = dev->next)
        ret = each_device(dev, fn, opaque);
    return ret;
}

struct wanted {
    const char *type;
    int (*fn)(struct bp_device *dev, void *opaque);
    void *opaque;
};

static int offer(struct bp_device *dev, void *opaque)
{
    const struct wanted *w = opaque;

    return bp_object_is_a(bp_device_object(dev), w->type) ? w->fn(dev, w->opaque) : 0;
}

int bp_device_each(struct bp_machine *machine, const char *type,
                   int (*fn)(struct bp_device *dev, void *opaque), void *opaque)
{
    bpc_assert_locked();
    return bpc_devices_each(machine, offer, &(struct wanted){type, fn, opaque});
}

static int take(struct bp_device *dev, void *opaque)
{
    *(struct bp_device **)opaque = dev;
    return 1;
}

struct bp_device *bp_device_first(struct bp_machine *machine, const char *type)
{
    struct bp_device *dev = NULL;

    bpc_assert_locked();
    bpc_devices_each(machine, offer, &(struct wanted){type, take, &dev});
    return dev;
}

struct print {
    GString *out;
    int indent;
    struct bp_object *obj;
};

static int print_prop(const struct bpc_prop *prop, void *opaque)
{
    const struct print *p = opaque;
    if (prop->field->flags & BP_FIELD_HIDDEN)
        return 0;
    char *text = bpc_object_prop_text(prop);
    g_string_append_printf(p->out, "%*s%s = %s\n", p->indent, "", prop->field->name, text);
    free(text);
    return 0;
}

static void print_device(struct bp_device *dev, GString *out, int indent)
{
    char address[32] = "";
    struct print print = {out, indent + 2, &dev->obj};
    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "", dev->class->type.name,
                           dev->user_id ? dev->user_id : "");
    bpc_bus_child_address(dev, address, sizeof(address));
    if (*address)
        g_string_append_printf(out, "%*saddress %s\n", indent + 2, "", address);
    bpc_object_each_prop(&dev->obj, print_prop, &print);
    for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
        g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", indent + 2, "", bp_bus_name(bus),
                               indent + 4, "", bp_bus_type(bus));
        for (struct bp_device *child = bus->first; child; child = child->next)
            print_device(child, out, indent + 4);
    }
}

char *bpc_device_tree_text(struct bp_machine *machine)
{
    GString *out = g_string_new("bus: main-system-bus\n  type System\n");
    for (struct bp_device *dev = bpc_devices_of(machine)->first; dev; dev = dev->next)
        print_device(dev, out, 2);
    char *text = bp_strdup(out->str);
    g_string_free(out, TRUE);
    return text;
}
