/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The display adapter that a PC has by default, or by -vga. */
#include <errno.h>
#include <string.h>

#include "pc.h"

int pc_make_vga(struct bp_machine *machine, struct bp_bus *bus, bool isa_only, struct bp_error *err)
{
    static const struct {
        const char *name, *type; /* NULL: not built yet */
    } adapters[] = {{"std", "VGA"}, {"cirrus", NULL}, {"vmware", NULL}, {"qxl", NULL}, {"virtio", "virtio-vga"},
                    {"xenfb", NULL}};
    const char *name = bp_machine_choice(machine, "vga");
    struct bp_device *dev;
    int r;

    if (!name)
        name = bp_machine_defaults(machine, "vga") ? "std" : "none";
    if (!strcmp(name, "none"))
        return 0;
    for (unsigned i = 0; i < BP_COUNT(adapters); i++) {
        if (strcmp(name, adapters[i].name) != 0)
            continue;
        if (!adapters[i].type)
            return bp_fail(err, ENOTSUP, "-vga %s: not built yet; use std, virtio or none", name);
        /* In the first slot that is free: 2 behind the PIIX3, 1 beside the ICH9. */
        if (isa_only && strcmp(name, "std") != 0)
            break;
        r = bp_device_new(machine, isa_only ? "isa-vga" : adapters[i].type, NULL, &dev, err);
        return r < 0 ? r : bp_device_attach(dev, bus, err);
    }
    return bp_fail(err, EINVAL, "-vga %s: this machine has std%s and none", name,
                   isa_only ? "" : ", virtio");
}
