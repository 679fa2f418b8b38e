/* SPDX-License-Identifier: MIT */
/* The 8259A pair of a PC: interface i8259/1 of module `hw-i8259`. Under the machine lock. */
#ifndef BP_CHIP_I8259_H
#define BP_CHIP_I8259_H

#include <bp/chip/keeper.h>
#include <bp/device.h>

BP_BEGIN_DECLS

/* The registers of the pair: master, slave. */
struct bp_i8259_image {
    struct {
        uint8_t irr, imr, isr;
        uint8_t lines; /* levels of IR0..IR7 */
        uint8_t elcr;
        uint8_t lowest; /* input of lowest priority, 0..7 */
        uint8_t base;   /* vector of IR0 */
        uint8_t step;   /* 0 ready, 1 to 3: waits for ICW2 to ICW4 */
        bool want_icw4, auto_eoi, rotate_auto, special_mask, special_nested, read_isr, poll;
    } pic[2];
};

struct bp_i8259_interface { /* i8259/1 */
    uint32_t size;
    /* An interrupt acknowledge cycle: the vector, always 0..255 (a spurious one when nothing is
     * pending any more). */
    int (*acknowledge)(struct bp_device *pic);
    void *reserved[5];
    /* Devices of type "kvm-i8259" only: who has the pair. The keeper's image is struct bp_i8259_image. Once. [main] */
    int (*lend)(struct bp_device *pic, const struct bp_chip_keeper *keeper, struct bp_error *err);
};

BP_END_DECLS

#endif
