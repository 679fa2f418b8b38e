/* SPDX-License-Identifier: MIT */
/*
 * The PCI bus: interface pci/1, offered by the `pci` module. PCI Local Bus 3.0; configuration
 * space of 256 bytes (4096 with flag EXPRESS). Under the machine lock.
 */
#ifndef BP_PCI_H
#define BP_PCI_H

#include <bp/device.h>

BP_BEGIN_DECLS

/* bus_info of a device class on bus "pci". */
struct bp_pci_info {
    uint32_t size;
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision, prog_if;
    uint16_t class_code; /* base class << 8 | sub-class */
    uint8_t interrupt_pin; /* 0 none, 1 INTA ... 4 INTD */
    uint8_t header_type;   /* 0 or 1 */
    uint8_t express;
    uint8_t reserved8[5];
    /* Optional: after the bus handled a write to configuration space. */
    void (*config_written)(struct bp_device *dev, unsigned offset, unsigned size);
    /* Optional: replaces the bus's own read. */
    uint32_t (*config_read)(struct bp_device *dev, unsigned offset, unsigned size);
    void *reserved[4];
};

#define BP_PCI_BAR_MEM32 0u
#define BP_PCI_BAR_IO 1u
#define BP_PCI_BAR_MEM64 4u
#define BP_PCI_BAR_PREFETCH 8u

/* What a host bridge gives to a root bus. */
struct bp_pci_host {
    struct bp_region *memory, *io; /* where BARs appear */
    struct bp_space *dma;          /* where devices' DMA goes */
    /* Pin (0..3) of the function at devfn changed its level. Called for each change of each
     * function: a host line that several share counts those that hold it up. */
    void (*set_irq)(void *opaque, unsigned devfn, unsigned pin, int level);
    void *opaque;
};

struct bp_pci_interface { /* pci/1 */
    uint32_t size;
    int (*new_root)(struct bp_device *bridge, const char *name, const struct bp_pci_host *host,
                    struct bp_bus **ret_bus, struct bp_error *err);
    /* Configuration cycles from a host bridge: devfn on bus number `bus`. Missing: all ones. */
    uint32_t (*config_read)(struct bp_bus *root, unsigned bus, unsigned devfn, unsigned offset,
                            unsigned size);
    void (*config_write)(struct bp_bus *root, unsigned bus, unsigned devfn, unsigned offset,
                         uint32_t value, unsigned size);
    uint8_t *(*config)(struct bp_device *dev);   /* its configuration bytes */
    uint8_t *(*writable)(struct bp_device *dev); /* mask of bits the guest may write, per byte */
    uint8_t *(*write1clear)(struct bp_device *dev);
    /* BAR n (0..5; MEM64 takes two): a region whose size is a power of two. Call from attach(). */
    int (*add_bar)(struct bp_device *dev, unsigned n, unsigned flags, struct bp_region *region,
                   struct bp_error *err);
    void (*set_irq)(struct bp_device *dev, int level); /* INTx of its pin */
    int (*add_capability)(struct bp_device *dev, uint8_t id, unsigned size, unsigned *ret_offset,
                          struct bp_error *err);
    unsigned (*devfn)(struct bp_device *dev);
    struct bp_space *(*dma)(struct bp_device *dev); /* bus master accesses */
    struct bp_device *(*find)(struct bp_bus *root, unsigned bus, unsigned devfn);
    void *reserved[8];
};

BP_END_DECLS

#endif
