// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reset control and coprocessor errors (piix.h). */
#define BP_SHARED
#include "piix.h"

#include <bp/irq.h>
#include <bp/run.h>

#define RESET_SYSTEM 2u
#define RESET_CPU 4u

static uint64_t coprocessor_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0xff; /* write only */
}

static void coprocessor_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct south_ports *p = opaque;

    (void)addr, (void)value, (void)size;
    if (!p->coprocessor_error)
        return;
    p->coprocessor_error = 0;
    p->update(p->dev);
    bp_irq_pulse(p->ignne);
}

static const struct bp_region_ops coprocessor_ops = {
    .size = sizeof(coprocessor_ops), .read = coprocessor_read, .write = coprocessor_write,
    .max_access = 1};

void south_ports_error(struct south_ports *p)
{
    p->coprocessor_error = 1;
    p->update(p->dev);
}

static uint64_t reset_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr, (void)size;
    return ((struct south_ports *)opaque)->reset_control;
}

static void reset_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct south_ports *p = opaque;
    bool rising = (value & RESET_CPU) && !(p->reset_control & RESET_CPU);

    (void)addr, (void)size;
    p->reset_control = (uint8_t)value & (RESET_SYSTEM | RESET_CPU);
    if (rising)
        bp_machine_request_reset(bp_device_machine(p->dev), BP_SHUTDOWN_GUEST_RESET);
}

const struct bp_region_ops south_reset_ops = {
    .size = sizeof(south_reset_ops), .read = reset_read, .write = reset_write, .max_access = 1};

void south_ports_init(struct south_ports *p, struct bp_device *dev, void (*update)(struct bp_device *dev))
{
    p->dev = dev;
    p->update = update;
    bp_device_add_irq_outputs(dev, "ignne", 1);
    p->ignne = bp_device_irq_output(dev, "ignne", 0);
    bp_region_add(bp_space_root(bp_device_io(dev)),
                  bp_region_new_io(bp_device_owner(dev), "coprocessor-error", 1, &coprocessor_ops, p), 0xf0, 0);
}

void south_ports_reset(struct south_ports *p)
{
    p->reset_control = p->coprocessor_error = 0;
}
