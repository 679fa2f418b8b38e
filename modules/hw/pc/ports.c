/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serial and parallel ports as -serial and -parallel have them. */
#include <errno.h>

#include "pc.h"

static int make_port(struct bp_machine *machine, const char *type, unsigned index, struct bp_object *chardev,
                     struct bp_bus *isa_bus, struct bp_error *err)
{
    struct bp_device *dev;
    int r;

    if (!chardev)
        return 0;
    r = bp_device_new(machine, type, NULL, &dev, err);
    if (r < 0)
        return r;
    r = bp_device_set_uint(dev, "index", index, err);
    if (r == 0)
        r = bp_device_set_link(dev, "chardev", chardev, err);
    if (r < 0) {
        bp_device_destroy(dev);
        return r;
    }
    return bp_device_attach(dev, isa_bus, err);
}

int pc_make_serial(struct bp_machine *machine, struct bp_bus *isa_bus, struct bp_error *err)
{
    int r = 0;

    for (unsigned i = PC_SERIALS; i < 2 * PC_SERIALS; i++)
        if (bp_machine_serial(machine, i))
            return bp_fail(err, E2BIG, "-serial: this board has places for %u serial ports; this would "
                           "be number %u", PC_SERIALS, i + 1);
    for (unsigned i = 0; r == 0 && i < PC_SERIALS; i++)
        r = make_port(machine, "isa-serial", i, bp_machine_serial(machine, i), isa_bus, err);
    return r;
}

int pc_make_parallel(struct bp_machine *machine, struct bp_bus *isa_bus, struct bp_error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < PC_PARALLELS; i++)
        r = make_port(machine, "isa-parallel", i, bp_machine_parallel(machine, i), isa_bus, err);
    return r;
}
