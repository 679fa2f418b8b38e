/* SPDX-License-Identifier: MIT */
/*
 * The PCI bus: interface pci/1, offered by the `pci` module. PCI Local Bus 3.0; configuration
 * space of 256 bytes (4096 with flag EXPRESS). Under the machine lock unless a function says otherwise.
 */
#ifndef BP_BUS_PCI_H
#define BP_BUS_PCI_H

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
    uint32_t size; /* sizeof(struct bp_pci_host) */
    uint32_t flags; /* none yet: 0 */
    struct bp_region *memory, *io; /* where BARs appear */
    struct bp_space *dma;          /* where devices' DMA goes */
    /* Pin (0..3) of the function at devfn changed its level. Called for each change of each
     * function: a host line that several share counts those that hold it up. */
    void (*set_irq)(void *opaque, unsigned devfn, unsigned pin, int level);
    void *opaque;
    void *reserved[4];
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
    /*
     * From minor 1 on: ask for it with BP_IMPORT_MINOR(pci, "pci", 1, 1).
     *
     * Message-signalled interrupts (chapter 6.8). A message is a 32-bit write to the device's DMA
     * space; it is kept pending while the guest masks it or has not made the function a bus master.
     * While MSI or MSI-X is enabled INTx is off. Saving, reset and detaching are the bus's task.
     *
     * msix_init: 1..2048 vectors; the table (16 bytes for each vector) at `table_offset` and the
     * pending bits (8 bytes for each 64 vectors) at `pba_offset` of a memory BAR that was added
     * before; both offsets are multiples of 8, and nothing else may be there. msix_init_bar: the
     * same in a BAR of its own. Call from attach().
     */
    int (*msix_init)(struct bp_device *dev, unsigned vectors, unsigned bar, uint32_t table_offset,
                     uint32_t pba_offset, struct bp_error *err);
    int (*msix_init_bar)(struct bp_device *dev, unsigned vectors, unsigned bar,
                         struct bp_error *err);
    bool (*msix_enabled)(struct bp_device *dev);
    /* Sends vector's message; no effect while MSI-X is off, or for a vector there is none of. [any],
     * without the machine lock too; so are msix_enabled, msi_notify and msi_enabled. A message to a
     * local APIC takes leaf locks only. */
    void (*msix_notify)(struct bp_device *dev, unsigned vector);
    /* vectors: a power of two up to 32; masking: with mask and pending bits per vector. */
    int (*msi_init)(struct bp_device *dev, unsigned vectors, bool masking, struct bp_error *err);
    bool (*msi_enabled)(struct bp_device *dev);
    /* A guest may grant fewer vectors than there are: those above wrap around. */
    void (*msi_notify)(struct bp_device *dev, unsigned vector);
    /* DMA as the function does it: -EPERM while the guest has not made it a bus master (its command
     * register), -EFAULT when nothing answers at some byte, -EBUSY inside of another such access of the
     * function on the same thread: where a guest's address led back to its own registers. [any], without
     * the machine lock too; a device that holds a lock of its own which its registers' callbacks take
     * releases it first. */
    int (*dma_read)(struct bp_device *dev, uint64_t addr, void *buf, uint64_t len);
    int (*dma_write)(struct bp_device *dev, uint64_t addr, const void *buf, uint64_t len);
    void *reserved[7];
};

BP_END_DECLS

#endif
