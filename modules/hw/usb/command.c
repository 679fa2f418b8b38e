// SPDX-License-Identifier: LGPL-2.1-or-later
/* `info usb`, and -usbdevice: a device by a short name, and the board's controller. */
#define BP_SHARED
#include "usb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/command.h>
#include <bp/host/chardev.h>
#include <bp/option.h>
#include <bp/value.h>

static int print(struct bp_device *dev, void *opaque)
{
    static const char *const rates[] = {"1.5", "12", "480", "5000"};
    const struct bp_usb_device *d = bp_object_level(bp_device_object(dev), &usb_device_level);
    const char *product, *id = bp_device_id(dev);

    if (!d || !d->port || !d->there)
        return 0;
    product = usb_string(d, d->info->product_string);
    bp_monitor_printf(opaque, "  Device %s.%u, Port %s, Speed %s Mb/s, Product %s%s%s\n",
                      bp_bus_name(d->port->bus->bus), d->address, d->port->path, rates[d->speed],
                      product ? product : "unknown", id ? ", ID: " : "", id ? id : "");
    return 0;
}

static int found(struct bp_device *dev, void *opaque)
{
    (void)dev;
    *(bool *)opaque = true;
    return 1;
}

static int is_bus(struct bp_bus *bus)
{
    return bus && bp_bus_level(bus, &usb_bus_class) != NULL;
}

static void info_usb(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_machine *machine = bp_command_machine();
    bool any = false;

    (void)args;
    if (machine)
        bp_device_each(machine, "usb-device", found, &any);
    if (!machine || (!any && !is_bus(bp_bus_find(machine, "usb-bus"))))
        bp_monitor_printf(mon, "USB support not enabled\n");
    else
        bp_device_each(machine, "usb-device", print, mon);
}
BP_HMP(usb_info_command, "info usb", "", "show what is plugged into USB ports", NULL, info_usb);

static const struct {
    const char *name, *device;
} models[] = {{"keyboard", "usb-kbd"}, {"mouse", "usb-mouse"}, {"tablet", "usb-tablet"},
            {"wacom-tablet", "usb-wacom-tablet"}, {"braille", "usb-braille"}};
static const struct {
    const char *name, *what;
} missing[] = {{"disk:", "give -drive and -device usb-storage for a disk"},
             {"serial:", "give -chardev and -device usb-serial for a serial line"}};

/* A braille display has the host's behind it. */
static int add_braille(struct bp_value *keys, struct bp_error *err)
{
    static unsigned count; /* for names alone */
    const void *table;
    struct bp_value *args;
    struct bp_chardev *chr;
    char id[32];
    int r = bp_interface_require("chardev", 1, &table, err);

    if (r < 0)
        return r;
    snprintf(id, sizeof(id), "usb-braille%u", count++);
    args = bp_value_dict();
    bp_value_set(args, "id", bp_value_string(id));
    bp_value_set(args, "backend", bp_value_string("braille"));
    r = ((const struct bp_chardev_interface *)table)->create(args, &chr, err);
    bp_value_unref(args);
    if (r == 0)
        bp_value_set(keys, "chardev", bp_value_string(id));
    return r;
}

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *name = bp_value_as_string(args);
    struct bp_value *keys;
    unsigned n = 0;
    int r;

    for (unsigned i = 0; i < BP_COUNT(missing); i++) {
        size_t length = strlen(missing[i].name);

        if (strncmp(name, missing[i].name, length) != 0)
            continue;
        return bp_fail(err, ENOTSUP, "'%s': %s", name, missing[i].what);
    }
    while (n < BP_COUNT(models) && strcmp(models[n].name, name) != 0)
        n++;
    if (n == BP_COUNT(models))
        return bp_fail(err, EINVAL, "there is no USB device '%.60s'; accepted: keyboard, mouse, tablet, "
                       "wacom-tablet, braille", name);
    r = bp_option_add("usb", NULL, err);
    if (r < 0)
        return r;
    keys = bp_value_dict();
    bp_value_set(keys, "driver", bp_value_string(models[n].device));
    if (!strcmp(name, "braille"))
        r = add_braille(keys, err);
    if (r == 0)
        r = bp_option_add("device", keys, err);
    bp_value_unref(keys);
    return r;
}
BP_OPTION(usb_device_option, "usbdevice", "plug in a USB device, and have the board's USB controller",
          .phase = BP_PHASE_OBJECT, .arg = "keyboard|mouse|tablet|wacom-tablet|braille",
          .group = "USB convenience options", .apply = apply);
