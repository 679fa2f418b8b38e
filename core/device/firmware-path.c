/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where firmware finds a device: a path of the parts that each bus gives (IEEE 1275, chapter 3.2.1.1), as
 * SeaBIOS and OVMF read it in "bootorder": "/pci@i0cf8/ide@1,1/drive@0/disk@0".
 */
#include "device.h"

#include <stdio.h>
#include <string.h>

static void own_part(struct bp_device *dev, char *buf, size_t size)
{
    const char *name = dev->class->firmware_name ? dev->class->firmware_name : dev->class->type.name;
    const struct bp_bus *bus = dev->bus;
    char address[64] = "";

    for (unsigned i = bus ? bus->obj.level_count : 0; i-- > 0;) {
        const struct bp_bus_class *class = bpc_bus_class_at(bus, i);

        if (!class->child_firmware_path)
            continue;
        class->child_firmware_path(dev, buf, size);
        return;
    }
    bpc_bus_child_address(dev, address, sizeof(address));
    snprintf(buf, size, *address ? "%s@%s" : "%s", name, address);
}

/* Bridges first. A bridge without a firmware_name that sits on no bus is none that firmware knows of. */
static void add_parts(struct bp_device *dev, GString *path)
{
    char part[128] = "";

    if (dev->bus)
        add_parts(dev->bus->bridge, path);
    else if (!dev->class->firmware_name)
        return;
    own_part(dev, part, sizeof(part));
    if (*part)
        g_string_append_printf(path, "/%s", part);
}

char *bpc_device_firmware_path(struct bp_device *dev)
{
    GString *path = g_string_new(NULL);

    add_parts(dev, path);
    if (dev->class->boot_suffix)
        g_string_append_printf(path, "/%s", dev->class->boot_suffix);
    return g_string_free(path, FALSE);
}
