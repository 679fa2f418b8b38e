/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pvpanic: a byte by which a guest tells that it panicked. Reading gives the events that are offered, a
 * write tells one; bits as in pvpanic.h.
 */
#define BP_SHARED
#include <bp/command.h>
#include <bp/log.h>
#include <bp/run.h>

#include "pvpanic.h"

static const struct bp_field crash_data[] = {
    BP_ARG("action", STRING, "what follows: run"),
    BP_FIELDS_END,
};
BP_EVENT(event_crashloaded, "GUEST_CRASHLOADED", "The guest panicked and starts its crash kernel",
         crash_data, 0);
BP_EVENT(event_pvshutdown, "GUEST_PVSHUTDOWN", "The guest asks by pvpanic to be switched off", NULL, 0);

static uint64_t pvpanic_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return addr == 0 ? ((struct pvpanic *)opaque)->events : 0;
}

static void pvpanic_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    const struct pvpanic *s = opaque;
    struct bp_machine *machine = bp_device_machine(bp_device_of_state(opaque));

    (void)size;
    if (addr != 0)
        return;
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

const struct bp_region_ops pvpanic_byte = {
    .size = sizeof(pvpanic_byte), .read = pvpanic_read, .write = pvpanic_write, .max_access = 1};

BP_MODULE("hw-pvpanic", "Notice of a guest's panic", pvpanic_imports, {BP_PROVIDE_DEVICE, &pvpanic_isa},
          {BP_PROVIDE_DEVICE, &pvpanic_pci_device},
          {BP_PROVIDE_EVENT, &event_crashloaded}, {BP_PROVIDE_EVENT, &event_pvshutdown});
