/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the virtio module and its transports: interface virtio-transport/1, for modules of this folder.
 * A transport shows registers; what they do is done here. All [locked] but where it says otherwise.
 */
#ifndef HW_VIRTIO_TRANSPORT_H
#define HW_VIRTIO_TRANSPORT_H

#include <bp/host/virtio.h>

struct virtio_transport {
    uint32_t size;
    bool legacy_only; /* VERSION_1 is not offered */
    bool modern_only; /* a driver that leaves out VERSION_1 is refused */
    bool waits_for_reset; /* its drivers wait until status reads 0 */
    struct bp_space *(*dma)(void *opaque); /* what addresses of the driver lead to, as of now. [any] */
    /* Fills in who makes accesses. NULL: nobody in particular. */
    void (*requester)(void *opaque, struct bp_access *access);
    bool (*master)(void *opaque); /* may it access memory now? NULL: always. [any] */
    /* Interrupts for a queue, or (NULL) for configuration. [any] */
    void (*interrupt)(void *opaque, struct bp_virtq *queue);
    void (*reset)(void *opaque); /* vectors, selectors, pending interrupts */
    /* As interrupt_fd() of virtio/1. NULL: cannot. [any] */
    int (*interrupt_fd)(void *opaque, struct bp_virtq *queue, int fd, void (*changed)(void *opaque, bool taken),
                        void *changed_opaque);
};

struct virtio_queue_setup {
    uint16_t size;
    uint64_t desc, driver, device;
};

struct virtio_transport_interface { /* virtio-transport/1 */
    uint32_t size;
    /* The device's; NULL: it is none, or not set up. [any] */
    struct bp_virtio *(*of)(struct bp_device *dev);
    const struct bp_virtio_class *(*class)(struct bp_virtio *virtio);
    /* [main], before the device can be reached. ops is copied. */
    void (*bind)(struct bp_virtio *virtio, const struct virtio_transport *ops, void *opaque);
    unsigned (*vectors)(struct bp_virtio *virtio); /* as its class wants */

    uint64_t (*offered)(struct bp_virtio *virtio);
    uint64_t (*driver_features)(struct bp_virtio *virtio);
    void (*set_driver_features)(struct bp_virtio *virtio, uint64_t features);
    uint8_t (*status)(struct bp_virtio *virtio);
    void (*set_status)(struct bp_virtio *virtio, uint8_t status, bool legacy);
    uint8_t (*generation)(struct bp_virtio *virtio);
    uint64_t (*config_read)(struct bp_virtio *virtio, unsigned offset, unsigned size);
    void (*config_write)(struct bp_virtio *virtio, unsigned offset, unsigned size, uint64_t value);
    uint32_t (*config_size)(struct bp_virtio *virtio);

    struct bp_virtq *(*queue)(struct bp_virtio *virtio, unsigned index); /* NULL: there is none */
    unsigned (*queue_index)(struct bp_virtq *queue);
    uint16_t (*queue_max)(struct bp_virtq *queue);
    bool (*queue_enabled)(struct bp_virtq *queue);
    bool (*queue_resetting)(struct bp_virtq *queue);
    /* What stands there is used from enable() on. */
    struct virtio_queue_setup (*queue_setup)(struct bp_virtq *queue);
    void (*set_queue)(struct bp_virtq *queue, const struct virtio_queue_setup *setup);
    void (*enable)(struct bp_virtq *queue, bool legacy);
    void (*disable)(struct bp_virtq *queue); /* as RING_RESET, or legacy address 0 */
    /* A write that only says "look", on a region of the transport's: makes a bell for it. [main] */
    int (*bell)(struct bp_virtq *queue, struct bp_region *region, uint64_t offset, unsigned access_size,
                bool match_value, struct bp_error *err);
    void (*ring)(struct bp_virtq *queue); /* by hand. [any] */
    void (*ring_all)(struct bp_virtio *virtio);
    /* Connection of a device on a bus with its transport. */
    void (*unbind)(struct bp_virtio *virtio);
};

#endif
