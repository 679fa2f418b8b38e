/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pvpanic: a byte by which a guest tells that it panicked. Reading gives the events that are offered, a
 * write tells one; bits as in pvpanic.h. Here the register and the one on the ISA bus, whose port
 * firmware finds in the file etc/pvpanic-port.
 */
#define BP_SHARED
#include <bp/bus/isa.h>
#include <bp/chip/fw-cfg.h>
#include <bp/command.h>
#include <bp/log.h>
#include <bp/run.h>

#include "pvpanic.h"

BP_USE(isa, struct bp_isa_interface, "isa", 1);
BP_USE(fw_cfg, struct bp_fw_cfg_interface, "fw-cfg", 1);

static const struct bp_field crash_data[] = {
    BP_ARG("action", STRING, "what follows: run"),
    BP_FIELDS_END,
};
BP_EVENT(event_crashloaded, "GUEST_CRASHLOADED", "The guest panicked and starts its crash kernel",
         crash_data, 0);
BP_EVENT(event_pvshutdown, "GUEST_PVSHUTDOWN", "The guest asks by pvpanic to be switched off", NULL, 0);

static uint64_t pvpanic_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr, (void)size;
    return ((struct pvpanic *)opaque)->events;
}

static void pvpanic_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    const struct pvpanic *s = opaque;
    struct bp_machine *machine = bp_device_machine(bp_device_of_state(opaque));

    (void)addr, (void)size;
    if (value & ~(uint64_t)s->events)
        bp_guest_error("pvpanic", "pvpanic: event 0x%02x is not offered (0x%02x are)", (unsigned)value,
                       s->events);
    value &= s->events;
    if (value & PVPANIC_PANICKED)
        bp_machine_request_shutdown(machine, BP_SHUTDOWN_GUEST_PANIC);
    if (value & PVPANIC_CRASHLOADED) {
        struct bp_value *data = bp_value_dict();

        bp_value_set(data, "action", bp_value_string("run"));
        bp_event_send(&event_crashloaded, data);
    }
    if (value & PVPANIC_SHUTDOWN) {
        bp_event_send(&event_pvshutdown, NULL);
        bp_machine_request_shutdown(machine, BP_SHUTDOWN_GUEST_SHUTDOWN);
    }
}

const struct bp_region_ops pvpanic_ops = {
    .size = sizeof(pvpanic_ops), .read = pvpanic_read, .write = pvpanic_write, .max_access = 1};

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
    int r = isa->add_ports(dev, s->ioport, 1, "pvpanic", &pvpanic_ops, s, NULL, err);

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

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), BP_IMPORT(fw_cfg, "fw-cfg", 1), {0}};
BP_MODULE("hw-pvpanic", "Notice of a guest's panic, ISA", imports, {BP_PROVIDE_DEVICE, &pvpanic_isa},
          {BP_PROVIDE_EVENT, &event_crashloaded}, {BP_PROVIDE_EVENT, &event_pvshutdown});
