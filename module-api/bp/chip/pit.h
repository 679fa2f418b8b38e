/* SPDX-License-Identifier: MIT */
/* The interval timer's third channel as the speaker hears it: interface pit/1, offered by `hw-i8254`. Under the
 * machine lock. */
#ifndef BP_CHIP_PIT_H
#define BP_CHIP_PIT_H

#include <bp/device.h>

BP_BEGIN_DECLS

#define BP_PIT_HZ 1193182u

struct bp_pit_interface { /* pit/1 */
    uint32_t size;
    /* Ticks of BP_PIT_HZ in a period of the tone that the speaker gets; 0: none. The timer's output line "speaker" is
     * set (to whether there is one) whenever that changes. */
    uint32_t (*tone)(struct bp_device *pit);
    void *reserved[4];
};

BP_END_DECLS

#endif
