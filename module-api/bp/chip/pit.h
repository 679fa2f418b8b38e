/* SPDX-License-Identifier: MIT */
/* The interval timer's third channel as the speaker hears it: interface pit/1, offered by `hw-i8254`. Under the
 * machine lock. */
#ifndef BP_CHIP_PIT_H
#define BP_CHIP_PIT_H

#include <bp/chip/keeper.h>
#include <bp/device.h>

BP_BEGIN_DECLS

#define BP_PIT_HZ 1193182u

/* The registers, for keepers. */
struct bp_pit_image {
    struct {
        int64_t age_ns;  /* since the count was loaded */
        uint32_t count;  /* 1..65536 */
        uint16_t count_latch;
        uint8_t status_latch;
        uint8_t latched; /* bytes of count_latch still to be read: 0, 1 (high), 2 */
        uint8_t mode, order, bcd; /* order: 1 low byte, 2 high byte, 3 low then high */
        uint8_t low_byte; /* first byte of a two-byte write */
        bool status_latched, write_high, read_high;
        bool counting;   /* a count was loaded since the mode was set */
        bool gate;
    } ch[3];
    bool irq0_off;  /* an HPET has taken its interrupt */
    bool late_again; /* late interrupts are delivered one by one; else dropped */
    bool speaker;   /* bit 1 of port 0x61 */
};

struct bp_pit_interface { /* pit/1 */
    uint32_t size;
    /* Ticks of BP_PIT_HZ in a period of the tone that the speaker gets; 0: none. The timer's output line "speaker" is
     * set (to whether there is one) whenever that changes. */
    uint32_t (*tone)(struct bp_device *pit);
    void *reserved[4];
    /* Devices of type "kvm-pit" only: who has it, port 0x61 too. The keeper's image is struct bp_pit_image.
     * Once. [main] */
    int (*lend)(struct bp_device *pit, const struct bp_chip_keeper *keeper, struct bp_error *err);
};

BP_END_DECLS

#endif
