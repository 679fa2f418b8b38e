/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the PCI transport share. */
#ifndef HW_VIRTIO_VPCI_H
#define HW_VIRTIO_VPCI_H

#include <bp/bus/pci.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#include "transport.h"

#define NO_VECTOR 0xffffu
#define MODERN_BAR 4u
#define MSIX_BAR 1u

enum { /* parts of the modern BAR */
    AT_COMMON = 0x0000,
    AT_ISR = 0x1000,
    AT_CONFIG = 0x2000,
    AT_NOTIFY = 0x3000,
    PART_SIZE = 0x1000,
};
enum { COMMON_SIZE = 64 };

struct vector {
    uint16_t n; /* of MSI-X, or NO_VECTOR */
};

/* By which another process interrupts for a queue. */
struct vector_fd {
    int fd; /* -1: nobody does */
    void (*changed)(void *opaque, bool taken);
    void *opaque;
};

struct vpci {
    struct bp_device *dev;
    struct bp_virtio *virtio; /* NULL: not there yet, or leaving */
    /* properties */
    int disable_legacy; /* on, off, auto */
    bool disable_modern, page_per_vq, ioeventfd, ats;
    uint32_t wanted_vectors; /* UINT32_MAX: as the class wants */
    /* registers */
    uint32_t device_select, driver_select;
    uint16_t queue_select;
    uint8_t isr; /* atomic */
    struct vector *vector; /* of configuration, then of each queue */
    uint32_t vector_count; /* elements there */
    struct vector_fd *fds; /* as many */
    unsigned vectors;      /* MSI-X has */
    bool modern, legacy;
    bool behind_iommu; /* the driver's addresses are the bus's */
    uint32_t notify_step, notify_size;
    unsigned window; /* where the capability for accesses through configuration space stands */
    struct bp_owner *lines;       /* its callbacks hold the machine lock */
    struct bp_deferred *drive;    /* INTx follows the ISR */
    struct bp_region *bar, *notify, *io;
};

extern const struct bp_pci_interface *vpci_pci;
extern const struct virtio_transport_interface *vpci_core;

static inline uint16_t vpci_queues(const struct vpci *s)
{
    return (uint16_t)(s->vector_count - 1);
}

struct bp_virtq *vpci_queue(const struct vpci *s, unsigned n); /* NULL: there is none */
uint16_t vpci_set_vector(struct vpci *s, unsigned which, uint16_t n);
/* Reads the ISR, which clears it and lowers the line. Under the machine lock. */
uint8_t vpci_read_isr(struct vpci *s);
extern const struct bp_region_ops vpci_isr_ops;

/* ---- vpci-modern.c ---- */
int vpci_add_modern(struct vpci *s, struct bp_error *err);
/* As a guest would access the modern BAR; under the machine lock. */
uint32_t vpci_window_read(struct vpci *s, uint32_t offset, unsigned size);
void vpci_window_write(struct vpci *s, uint32_t offset, unsigned size, uint32_t value);

/* ---- vpci-legacy.c ---- */
int vpci_add_legacy(struct vpci *s, struct bp_error *err);

#endif
