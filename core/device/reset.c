/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reset in scopes and phases (bp/device.h). A reset is asserted, which runs enter and then hold for
 * all in its scope, and released, which runs exit. Resets that overlap count: what is in reset
 * already is not entered again, and leaves with the last one.
 */
#include "device.h"
#include "loop.h"
#include "marks.h"

#include <bp/level.h>

static unsigned under_way; /* walks over the tree, one inside another. [main] */

bool bpc_reset_under_way(void)
{
    return under_way > 0;
}

/* ---- one device ---- */

static void child_phase(struct bp_device *dev, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    struct bp_bus *bus = dev->bus;
    unsigned count = bus ? bus->obj.level_count : 0;
    for (unsigned n = 0; n < count; n++) {
        unsigned i = phase == BP_RESET_ENTER ? count - 1 - n : n;
        const struct bp_bus_class *class = (const struct bp_bus_class *)bus->obj.levels[i].info;
        if (class->child_reset)
            class->child_reset(bus, dev, phase, scope);
    }
}

static void level_phase(struct bp_device *dev, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    unsigned count = dev->obj.level_count;
    struct bpc_hold hold = bpc_owner_hold(&dev->obj.owner);
    for (unsigned n = 0; n < count; n++) {
        const struct bpc_level *level =
            &dev->obj.levels[phase == BP_RESET_ENTER ? count - 1 - n : n];
        const struct bp_level_class *class = level->class;
        void (*fn)(struct bp_device *dev, void *state, enum bp_reset_scope scope) =
            !class                       ? NULL
            : phase == BP_RESET_ENTER    ? class->reset_enter
            : phase == BP_RESET_HOLD     ? class->reset
                                         : class->reset_exit;
        if (fn)
            fn(dev, level->state, scope);
    }
    bpc_owner_let_go(&dev->obj.owner, hold);
}

static void class_phase(struct bp_device *dev, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    const struct bp_device_class *class = dev->class;
    struct bpc_hold hold = bpc_owner_hold(&dev->obj.owner);
    if (phase == BP_RESET_ENTER && class->reset_enter)
        class->reset_enter(dev, scope);
    if (phase == BP_RESET_HOLD && class->reset)
        class->reset(dev);
    if (phase == BP_RESET_EXIT && class->reset_exit)
        class->reset_exit(dev, scope);
    bpc_owner_let_go(&dev->obj.owner, hold);
}

static void device_phase(struct bp_device *dev, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    if (!dev->attached)
        return;
    if (phase == BP_RESET_ENTER) { /* from the top down, as on leaving */
        class_phase(dev, phase, scope);
        level_phase(dev, phase, scope);
        child_phase(dev, phase, scope);
    } else {
        child_phase(dev, phase, scope);
        level_phase(dev, phase, scope);
        class_phase(dev, phase, scope);
    }
}

static void bus_phase(struct bp_bus *bus, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    unsigned count = bus->obj.level_count;
    for (unsigned n = 0; n < count; n++) {
        unsigned i = phase == BP_RESET_ENTER ? count - 1 - n : n;
        const struct bp_bus_class *class = (const struct bp_bus_class *)bus->obj.levels[i].info;
        if (class->reset)
            class->reset(bus, phase, scope);
    }
}

/* ---- all behind it ---- */

/* Begins or ends one more reset of it; false: another one is in charge, this phase is not run. */
static bool takes_part(unsigned *resets, bool *entered, enum bp_reset_phase phase)
{
    switch (phase) {
    case BP_RESET_ENTER:
        *entered |= ++*resets == 1;
        return *resets == 1;
    case BP_RESET_HOLD: { /* once, also when a hook resets what is in reset already */
        bool part = *entered;
        *entered = false;
        return part;
    }
    default: return *resets && --*resets == 0;
    }
}

static void phase_of_device(struct bp_device *dev, bool behind, enum bp_reset_phase phase,
                            enum bp_reset_scope scope);

static void phase_of_bus(struct bp_bus *bus, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    bool part = takes_part(&bus->resets, &bus->reset_entered, phase);
    under_way++;
    if (phase == BP_RESET_EXIT && part)
        bus_phase(bus, phase, scope);
    for (struct bp_device *child = bus->first; child; child = child->next)
        phase_of_device(child, true, phase, scope);
    if (phase != BP_RESET_EXIT && part)
        bus_phase(bus, phase, scope);
    under_way--;
}

/* Entered and held from the far end: a bridge finds its children quiet, and what its own reset does to
 * lines has the last word. Left from the near end: a bridge works before its children act. */
static void phase_of_device(struct bp_device *dev, bool behind, enum bp_reset_phase phase,
                            enum bp_reset_scope scope)
{
    bool part = takes_part(&dev->resets, &dev->reset_entered, phase);
    under_way++;
    if (phase == BP_RESET_EXIT && part)
        device_phase(dev, phase, scope);
    for (struct bp_bus *bus = dev->buses; bus && behind; bus = bus->next)
        phase_of_bus(bus, phase, scope);
    if (phase != BP_RESET_EXIT && part)
        device_phase(dev, phase, scope);
    under_way--;
}

static void reset_device(struct bp_device *dev, bool behind, enum bp_reset_scope scope)
{
    for (enum bp_reset_phase phase = BP_RESET_ENTER; phase <= BP_RESET_EXIT; phase++)
        phase_of_device(dev, behind, phase, scope);
}

void bp_device_reset(struct bp_device *dev)
{
    bpc_assert_locked();
    reset_device(dev, true, BP_RESET_DEVICE);
}

void bp_device_reset_function(struct bp_device *dev)
{
    bpc_assert_locked();
    reset_device(dev, false, BP_RESET_FUNCTION);
}

void bp_bus_reset(struct bp_bus *bus)
{
    bpc_assert_locked();
    for (enum bp_reset_phase phase = BP_RESET_ENTER; phase <= BP_RESET_EXIT; phase++)
        phase_of_bus(bus, phase, BP_RESET_BUS);
}

void bp_bus_hold_reset(struct bp_bus *bus, bool on)
{
    bpc_assert_locked();
    if (bus->reset_held == on)
        return;
    bus->reset_held = on;
    if (on) {
        phase_of_bus(bus, BP_RESET_ENTER, BP_RESET_BUS);
        phase_of_bus(bus, BP_RESET_HOLD, BP_RESET_BUS);
    } else {
        phase_of_bus(bus, BP_RESET_EXIT, BP_RESET_BUS);
    }
}

bool bp_device_in_reset(const struct bp_device *dev)
{
    bpc_assert_locked();
    return dev->resets != 0;
}

void bpc_device_reset_attached(struct bp_device *dev)
{
    unsigned around = dev->bus ? dev->bus->resets : 0;
    under_way++;
    dev->resets = around + 1;
    device_phase(dev, BP_RESET_ENTER, BP_RESET_DEVICE);
    device_phase(dev, BP_RESET_HOLD, BP_RESET_DEVICE);
    dev->resets = around; /* it leaves with the bus that it was plugged into, and all behind it */
    for (unsigned n = 0; n < around; n++) {
        for (struct bp_bus *bus = dev->buses; bus; bus = bus->next) {
            phase_of_bus(bus, BP_RESET_ENTER, BP_RESET_DEVICE);
            phase_of_bus(bus, BP_RESET_HOLD, BP_RESET_DEVICE);
        }
    }
    if (!around)
        device_phase(dev, BP_RESET_EXIT, BP_RESET_DEVICE);
    under_way--;
}

/* ---- the machine ---- */

static void machine_phase(struct bp_machine *machine, enum bp_reset_phase phase)
{
    under_way++;
    for (struct bp_device *dev = bpc_devices_of(machine)->first; dev; dev = dev->next)
        phase_of_device(dev, true, phase, BP_RESET_MACHINE);
    under_way--;
}

void bpc_devices_reset_begin(struct bp_machine *machine)
{
    machine_phase(machine, BP_RESET_ENTER);
    machine_phase(machine, BP_RESET_HOLD);
}

void bpc_devices_reset_end(struct bp_machine *machine)
{
    machine_phase(machine, BP_RESET_EXIT);
}

void bpc_devices_reset(struct bp_machine *machine)
{
    bpc_devices_reset_begin(machine);
    bpc_devices_reset_end(machine);
}
