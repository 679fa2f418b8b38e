/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The display adapter that a PC has by default, or by -vga. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pc.h"

/* What -vga names, on PCI and on ISA; NULL: not there. */
static const struct {
    const char *name, *pci, *isa;
} adapters[] = {{"std", "VGA", "isa-vga"},      {"cirrus", "cirrus-vga", "isa-cirrus-vga"},
                {"vmware", "vmware-svga", NULL},         {"qxl", "qxl-vga", NULL},
                {"virtio", "virtio-vga", NULL}, {"xenfb", NULL, NULL}};

/* "std, cirrus and none", in `list`. */
static const char *offered(bool isa_only, char list[128])
{
    size_t at = 0;

    for (unsigned i = 0; i < BP_COUNT(adapters); i++)
        if (isa_only ? adapters[i].isa : adapters[i].pci)
            at += (size_t)snprintf(list + at, 128 - at, "%s%s", at ? ", " : "", adapters[i].name);
    snprintf(list + at, 128 - at, " and none");
    return list;
}

int pc_make_vga(struct bp_machine *machine, struct bp_bus *bus, bool isa_only, struct bp_error *err)
{
    const char *name = bp_machine_choice(machine, "vga"), *type;
    struct bp_device *dev;
    char list[128];
    int r;

    if (!name)
        name = bp_machine_defaults(machine, "vga") ? "std" : "none";
    if (!strcmp(name, "none"))
        return 0;
    for (unsigned i = 0; i < BP_COUNT(adapters); i++) {
        if (strcmp(name, adapters[i].name) != 0)
            continue;
        type = isa_only ? adapters[i].isa : adapters[i].pci;
        if (!adapters[i].pci)
            return bp_fail(err, ENOTSUP, "-vga %s: not built yet; use %s", name,
                           offered(isa_only, list));
        if (!type)
            break;
        /* In the first slot that is free: 2 behind the PIIX3, 1 beside the ICH9. */
        r = bp_device_new(machine, type, NULL, &dev, err);
        return r < 0 ? r : bp_device_attach(dev, bus, err);
    }
    return bp_fail(err, EINVAL, "-vga %s: this machine has %s", name, offered(isa_only, list));
}
