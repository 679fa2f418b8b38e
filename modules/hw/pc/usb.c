/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chipset's USB controllers, for -usb: a PIIX3's UHCI; an ICH9's EHCI with its three companions. */
#include "chipset.h"
#include "pc.h"

#include <errno.h>

static int plug(struct pc *pc, const char *type, const char *addr, const char *master, unsigned first,
                struct bp_device **ret_dev, struct bp_error *err)
{
    struct bp_device *dev;
    int r = bp_device_new(pc->machine, type, NULL, &dev, err);

    if (r < 0)
        return r;
    r = bp_device_set(dev, "addr", addr, err);
    if (r == 0)
        r = bp_device_set(dev, "multifunction", "on", err);
    if (r == 0 && master)
        r = bp_device_set(dev, "masterbus", master, err);
    if (r == 0 && master)
        r = bp_device_set_uint(dev, "firstport", first, err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    *ret_dev = dev;
    return bp_device_attach(dev, pc->pci_bus, err);
}

static int make_ich9(struct pc *pc, struct bp_error *err)
{
    static const char *const types[] = {"ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3"};
    static const char *const places[] = {"1d.0", "1d.1", "1d.2"};
    struct bp_device *ehci, *uhci;
    int r = plug(pc, "ich9-usb-ehci1", "1d.7", NULL, 0, &ehci, err);

    for (unsigned n = 0; r == 0 && n < BP_COUNT(types); n++)
        r = plug(pc, types[n], places[n], bp_bus_name(bp_device_bridged(ehci, "usb-bus")), 2 * n, &uhci, err);
    return r;
}

int pc_make_usb(struct pc *pc, struct bp_error *err)
{
    struct bp_device *uhci;
    int r;

    if (!pc->usb)
        return 0;
    if (pc->chipset->no_pci)
        return bp_fail(err, ENOTSUP, "-machine usb=on: this board has no PCI bus, where USB controllers are; "
                       "use usb=off");
    r = pc->chipset == &pc_q35 ? make_ich9(pc, err) : plug(pc, "piix3-usb-uhci", "01.2", NULL, 0, &uhci, err);
    return r < 0 ? bp_error_prefix(err, "-machine usb=on"), r : 0;
}
