/* SPDX-License-Identifier: MIT */
/*
 * Interrupt lines (any one-bit or small-integer wire between devices). A line has at most one
 * sink; setting a line without one does nothing. Levels are remembered, so that a sink that is
 * connected late sees the present level. [any] under the machine lock
 */
#ifndef BP_IRQ_H
#define BP_IRQ_H

#include <bp/base.h>

BP_BEGIN_DECLS

struct bp_device;
struct bp_irq; /* opaque */

/* Declares `count` named inputs of a device; the core tells `changed` each level set from outside
 * (also when it stays the same). Call from attach(). */
void bp_device_add_irq_inputs(struct bp_device *dev, const char *name, unsigned count,
                              void (*changed)(struct bp_device *dev, unsigned n, int level));
/* Declares `count` named outputs; bp_device_irq_output() gives the n-th. Call from attach(). */
void bp_device_add_irq_outputs(struct bp_device *dev, const char *name, unsigned count);

/* Borrowed, valid as long as the device; NULL when there is no such line. */
struct bp_irq *bp_device_irq_input(struct bp_device *dev, const char *name, unsigned n);
struct bp_irq *bp_device_irq_output(struct bp_device *dev, const char *name, unsigned n);

void bp_irq_connect(struct bp_irq *output, struct bp_irq *input); /* NULL input: disconnect */
void bp_irq_set(struct bp_irq *line, int level);                  /* NULL line is fine */
int bp_irq_level(const struct bp_irq *line);
static inline void bp_irq_pulse(struct bp_irq *line)
{
    bp_irq_set(line, 1);
    bp_irq_set(line, 0);
}

/* Hears of every level set on a device's named inputs (or outputs), for tests; the line still leads
 * where it led. One listener for each direction of a device; fn NULL: off. */
void bp_device_intercept_irqs(struct bp_device *dev, bool inputs,
                              void (*fn)(void *opaque, const char *name, unsigned n, int level),
                              void *opaque);

/* A free-standing input, for boards that route lines themselves. */
struct bp_owner;
struct bp_irq *bp_irq_new(struct bp_owner *owner, void (*changed)(void *opaque, unsigned n, int level),
                          void *opaque, unsigned n);

BP_END_DECLS

#endif
