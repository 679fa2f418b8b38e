/* SPDX-License-Identifier: MIT */
/*
 * The DMA channels of an ISA bus: interface i8237/1, offered by `hw-i8237`. Channels 0..3 move bytes,
 * 5..7 words; 4 is the cascade. Under the machine lock.
 *
 * Whoever drives a channel claims it in attach(), raises its request while it has (or wants) data, and
 * moves them when it is called. Guests program address, count, direction and mask.
 */
#ifndef BP_CHIP_I8237_H
#define BP_CHIP_I8237_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_i8237_interface { /* i8237/1 */
    uint32_t size;
    /* `dev` sits on the ISA bus. `ready` is called, from the main loop, again and again while the request
     * is up and the guest lets the channel work; it calls move(). -EINVAL: there is no such channel;
     * -ENODEV: the bus has no controllers; -EBUSY: it is taken, err says by whom. */
    int (*claim)(struct bp_device *dev, unsigned channel, void (*ready)(void *opaque), void *opaque,
                 struct bp_error *err);
    void (*release)(struct bp_device *dev, unsigned channel); /* no effect when dev does not hold it */
    void (*request)(struct bp_device *dev, unsigned channel, bool level); /* its DREQ; level */
    /* Moves up to `len` bytes (an even number on channels 5..7) between `buf` and the memory that the
     * guest set up, and returns how many: fewer at the terminal count (*ret_tc is true then), none while
     * the channel is masked. The controller decides what happens to memory: where its direction is not
     * that of the device, or it only verifies, memory stays as it is and a buffer to be filled gets 0xff. */
    size_t (*move)(struct bp_device *dev, unsigned channel, bool to_memory, void *buf, size_t len,
                   bool *ret_tc);
    void *reserved[4];
};

BP_END_DECLS

#endif
