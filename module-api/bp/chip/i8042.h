/* SPDX-License-Identifier: MIT */
/* The PS/2 mouse as others behind the same driver need it: interface i8042/1, offered by `hw-i8042`. Under the machine
 * lock. */
#ifndef BP_CHIP_I8042_H
#define BP_CHIP_I8042_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_i8042_interface { /* i8042/1 */
    uint32_t size;
    /* The mouse says how things are though nothing changed, so that the guest's driver looks for more elsewhere; where
     * it does not report, or has much to say already, nothing happens. [any] */
    void (*nudge_mouse)(struct bp_device *i8042);
    /* fn is told, under the machine lock, when the guest's driver has switched the mouse on, until another takes its
     * place (NULL: nobody does). [main] */
    void (*on_mouse_start)(struct bp_device *i8042, void (*fn)(void *opaque), void *opaque);
    void *reserved[4];
};

BP_END_DECLS

#endif
