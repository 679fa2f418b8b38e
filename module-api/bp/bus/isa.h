/* SPDX-License-Identifier: MIT */
/* The ISA bus: interface isa/1, offered by the `isa` module. Under the machine lock. */
#ifndef BP_BUS_ISA_H
#define BP_BUS_ISA_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_isa_interface { /* isa/1 */
    uint32_t size;
    /* Claims `count` ports from `base`; offsets given to the callbacks start at 0. The region is the
     * device's and goes with it; returned for enabling, may be ignored. */
    int (*add_ports)(struct bp_device *dev, uint16_t base, unsigned count, const char *name,
                     const struct bp_region_ops *ops, void *opaque, struct bp_region **ret_region,
                     struct bp_error *err);
    /* A line to ISA IRQ n (0..15); -EINVAL when out of range. Several devices may share one: the
     * bus ORs them. */
    int (*irq)(struct bp_device *dev, unsigned n, struct bp_irq **ret_line, struct bp_error *err);
    /* For the bridge: makes the bus (named "isa.0") in an address space of ports; `lines[0..15]` are
     * where IRQs lead (borrowed). */
    int (*new_bus)(struct bp_device *bridge, struct bp_region *ports, struct bp_region *memory,
                   struct bp_irq *const lines[16], struct bp_bus **ret_bus, struct bp_error *err);
    /* Sets or changes where IRQ lines lead, for boards that wire after the bridge is attached. */
    void (*set_irqs)(struct bp_bus *bus, struct bp_irq *const lines[16]);
    /* From minor 1 on. For the DMA controllers (bp/chip/i8237.h), from attach(): n is 0 (channels 0..3) or
     * 1 (4..7); it ends when the device leaves. dma: the device, or NULL when there is none. */
    int (*set_dma)(struct bp_bus *bus, unsigned n, struct bp_device *controller, struct bp_error *err);
    struct bp_device *(*dma)(struct bp_bus *bus, unsigned n);
    void *reserved[2];
};

BP_END_DECLS

#endif
