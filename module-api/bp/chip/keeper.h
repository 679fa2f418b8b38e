/* SPDX-License-Identifier: MIT */
/*
 * A chip of a PC that the accelerator has itself (KVM's 8259 pair, I/O APIC and 8254, in the host's kernel). The device
 * that stands for it in the machine is lent out: while it is away its lines go to the keeper, and its registers come
 * as an image when somebody looks, and go back when they were changed. It is here, and works, before the machine
 * starts, while it stands, and whenever the keeper says so: one state is saved for both. Under the machine lock.
 */
#ifndef BP_CHIP_KEEPER_H
#define BP_CHIP_KEEPER_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

/* The device's side. */
struct bp_chip_seat {
    uint32_t size;
    /* It comes: fetch() the state and work from now on. It goes: stop to work, store() the state, then say what each
     * line is. */
    void (*move)(void *opaque, bool here);
    void *reserved[3];
};

/* The keeper's. `image` is of the chip's own kind: struct bp_i8259_image, bp_ioapic_image, bp_pit_image. */
struct bp_chip_keeper {
    uint32_t size;
    uint32_t chip; /* the keeper's number of it */
    void *opaque;
    /* Once, while the device is made. Seat and opaque live as long as the machine. [main] */
    int (*lend)(const struct bp_chip_keeper *keeper, const struct bp_chip_seat *seat, void *opaque,
                struct bp_error *err);
    /* false: the image is as it was; the reason was told. [main] or [vcpu] */
    bool (*fetch)(const struct bp_chip_keeper *keeper, void *image);
    /* What did not change since it was fetched is not stored: what came meanwhile stays. [main] or [vcpu] */
    void (*store)(const struct bp_chip_keeper *keeper, const void *image);
    void (*line)(const struct bp_chip_keeper *keeper, unsigned n, int level); /* [any] */
    void *reserved[3];
};

BP_END_DECLS

#endif
