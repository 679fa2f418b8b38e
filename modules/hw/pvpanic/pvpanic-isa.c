/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pvpanic on the ISA bus; firmware finds its port in the file etc/pvpanic-port. */
#define BP_SHARED
#include <bp/bus/isa.h>
#include <bp/chip/fw-cfg.h>
#include <bp/log.h>

#include "pvpanic.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(fw_cfg, struct bp_fw_cfg_interface, "fw-cfg", 1);
const struct bp_import pvpanic_imports[] = {
    BP_IMPORT(isa, "isa", 1), BP_IMPORT(fw_cfg, "fw-cfg", 1), {0}};

struct pvpanic_isa {
    struct pvpanic base;
    uint16_t ioport;
};

static int tell_firmware(struct bp_device *device, void *opaque)
{
    const struct pvpanic_isa *s = opaque;
    const uint8_t port[2] = {(uint8_t)s->ioport, (uint8_t)(s->ioport >> 8)};
    struct bp_error err = {0};

    if (fw_cfg->add_file(device, "etc/pvpanic-port", port, sizeof(port), &err) < 0)
        bp_warn("pvpanic: firmware is not told of its port: %s", err.message);
    return 1;
}

static int pvpanic_attach(struct bp_device *dev, struct bp_error *err)
{
    struct pvpanic_isa *s = bp_device_state(dev);
    int r = isa->add_ports(dev, s->ioport, 1, "pvpanic", &pvpanic_byte, s, NULL, err);

    if (r == 0)
        bp_device_each(bp_device_machine(dev), "fw_cfg_io", tell_firmware, s);
    return r;
}

static const struct bp_field pvpanic_props[] = {
    BP_PROP("ioport", UINT16, struct pvpanic_isa, ioport, "0x505", "I/O port"),
    PVPANIC_PROP(struct pvpanic_isa, base.events),
    BP_FIELDS_END,
};
BP_DEVICE(pvpanic_isa, "pvpanic", "isa", "By which a guest tells that it panicked", struct pvpanic_isa,
          pvpanic_props, NULL, .category = "misc", .attach = pvpanic_attach);
