/* SPDX-License-Identifier: MIT */
/*
 * The PCI bus: interface pci/1, offered by the `pci` module. PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2,
 * PCI Express Base 3.0. Bus type "pci", and "pcie", which takes what goes on "pci" and what needs PCI
 * Express. Most devices are a constant table (struct bp_pci_info) and callbacks of their registers.
 * Under the machine lock unless a function says otherwise.
 */
#ifndef BP_BUS_PCI_H
#define BP_BUS_PCI_H

#include <bp/device.h>

BP_BEGIN_DECLS

/*
 * A register in configuration space, or some bits of one. Tables end with width 0. What no table
 * names is hard-wired to what stands there when attach() ends.
 */
struct bp_pci_field {
    uint16_t offset; /* from the beginning of the space, or of the capability that the table is of */
    uint8_t width;   /* bytes: 1, 2 or 4 */
    uint8_t flags;   /* BP_PCI_STICKY */
    uint32_t value;  /* at first and after each reset */
    uint32_t rw;     /* bits that the guest may write */
    uint32_t w1c;    /* bits that the guest clears by writing 1 */
    uint32_t live;   /* bits that the device changes, but not the guest: saved and reset like the others */
};
#define BP_PCI_STICKY 1u /* kept over all resets but that of the machine */
#define BP_PCI_FIELDS_END {0, 0, 0, 0, 0, 0, 0}

/* A capability, with fields relative to its beginning (the two or four bytes of id and link are the
 * bus's). Tables end with size 0. */
struct bp_pci_capability {
    uint16_t id;
    uint16_t size;   /* bytes, with id and link */
    uint16_t at;     /* where data sheets want it; 0: anywhere */
    uint8_t version; /* of an extended one (PCI Express, from 0x100 on): 1..15; else 0 */
    uint8_t reserved8;
    const struct bp_pci_field *fields; /* or NULL */
};
#define BP_PCI_CAPABILITIES_END {0, 0, 0, 0, 0, NULL}

#define BP_PCI_BAR_MEM32 0u
#define BP_PCI_BAR_IO 1u
#define BP_PCI_BAR_MEM64 4u
#define BP_PCI_BAR_PREFETCH 8u

/* A base address register with a region of its own, made before attach(). */
struct bp_pci_bar {
    uint32_t flags;   /* BP_PCI_BAR_* */
    uint32_t size;    /* bytes, a power of two; 0: no such BAR */
    const char *name; /* of the region, for `info mtree` */
    /* Callbacks; opaque is the device's state. NULL: a container that attach() fills: bar(). */
    const struct bp_region_ops *ops;
};

/* MSI-X. table and pba both 0: in a BAR of its own; else in one that the device has. */
struct bp_pci_msix {
    uint16_t vectors; /* 0: none, up to 2048 */
    uint8_t bar;
    uint8_t reserved8;
    uint32_t table, pba; /* offsets in the BAR, multiples of 8 */
};

/* bus_info of a device class on bus "pci" or "pcie". All that has a number known beforehand stands
 * here; what depends on properties, attach() adds. */
struct bp_pci_info {
    uint32_t size;
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision, prog_if;
    uint16_t class_code;   /* base class << 8 | sub-class */
    uint8_t interrupt_pin; /* 0 none, 1 INTA ... 4 INTD */
    uint8_t header_type;   /* 0, or 1: a bridge, which makes its secondary bus with new_bus() */
    uint8_t express;       /* BP_PCI_EXPRESS_*: what it is on a PCI Express bus */
    uint8_t msi;           /* vectors of MSI, a power of two; 0: none */
    uint32_t flags;        /* BP_PCI_FLAG_* */
    /* Optional: after the bus handled a write to configuration space. */
    void (*config_written)(struct bp_device *dev, unsigned offset, unsigned size);
    /* Optional: replaces the bus's own read. */
    uint32_t (*config_read)(struct bp_device *dev, unsigned offset, unsigned size);
    struct bp_pci_bar bar[6];
    struct bp_pci_msix msix;
    const struct bp_pci_field *fields;            /* registers of the device's own, or NULL */
    const struct bp_pci_capability *capabilities; /* likewise */
    const char *romfile; /* expansion ROM when the user names none (found along -L), or NULL */
    void *reserved[4];
};
#define BP_PCI_FLAG_MSI_MASKING 1u /* MSI with mask and pending bits per vector */
#define BP_PCI_FLAG_POWER 2u       /* the power management capability: D0 and D3hot */
#define BP_PCI_FLAG_RESET 4u       /* function level reset: by PCI Express or Advanced Features */

/* What a function is on PCI Express (device/port type of its capability, plus 1). One that is
 * ENDPOINT has no such capability, and 256 bytes of configuration space, on a conventional bus; on the
 * root bus it is an integrated endpoint. The others are always there. */
#define BP_PCI_EXPRESS_ENDPOINT 1u
#define BP_PCI_EXPRESS_ROOT_PORT 5u
#define BP_PCI_EXPRESS_UPSTREAM 6u
#define BP_PCI_EXPRESS_DOWNSTREAM 7u
#define BP_PCI_EXPRESS_TO_PCI 8u

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
    const char *type; /* "pcie"; NULL: "pci" */
    uint8_t number;   /* of the root bus */
    uint8_t reserved8[7];
    void *reserved[2];
};

/* What a bridge wants of its secondary bus. */
struct bp_pci_secondary {
    uint32_t size;
    uint8_t first_slot; /* that is given to who asks for none */
    uint8_t slots;      /* how many there are: 1 behind a PCI Express port; 0: 32 */
    uint8_t reserved8[2];
    const char *type;   /* "pci" or "pcie" */
    const char *name;   /* NULL: the bridge's id, or one that is free */
    void *reserved[2];
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
    /* For a device with header type 1, from attach(): its secondary bus. The bus forwards configuration
     * cycles, what lies in the windows of the bridge's registers, the pins (swizzled) and DMA while the
     * bridge is a bus master; bridge control's bit 6 resets what is behind it. */
    int (*new_bus)(struct bp_device *bridge, const struct bp_pci_secondary *what,
                   struct bp_bus **ret_bus, struct bp_error *err);
    /* Registers that depend on properties: adds a table, at `base`. From attach(). */
    void (*add_fields)(struct bp_device *dev, unsigned base, const struct bp_pci_field *fields);
    int (*add_capabilities)(struct bp_device *dev, const struct bp_pci_capability *table,
                            struct bp_error *err);
    /* Where a capability stands, 0: there is none. Extended ones: version of the table not 0. */
    unsigned (*capability)(struct bp_device *dev, uint16_t id, bool extended);
    struct bp_region *(*bar)(struct bp_device *dev, unsigned n); /* NULL: there is none */
    /* An interrupt in the way that the guest chose: a rising level sends `vector` of MSI-X or MSI while
     * one of them is on; INTx follows the level. Under the device's lock. */
    void (*interrupt)(struct bp_device *dev, unsigned vector, int level);
    uint16_t (*requester)(struct bp_device *dev); /* bus << 8 | devfn, as of now. [any] */
    /* The function in a place of a bus that need not be a root; NULL: empty. */
    struct bp_device *(*function)(struct bp_bus *bus, unsigned devfn);
    /* Changes registers as the hardware does, whatever the guest may write. [any] */
    void (*set_config)(struct bp_device *dev, unsigned offset, unsigned width, uint32_t clear,
                       uint32_t set);
    /* The slot behind a port: without power nothing answers there, and what is in it is in reset. */
    void (*set_bus_power)(struct bp_bus *bus, bool on);
    /* What its bus decodes, memory or ports, where BARs appear too: for the addresses of old (a VGA's). */
    struct bp_region *(*bus_region)(struct bp_device *dev, bool io);
    /* For levels (bp/level.h), beside what a class has in its bp_pci_info: `reading` before configuration space
     * is read, `written` after it was written. Either may be NULL. From attach(). */
    void (*set_config_hooks)(struct bp_device *dev,
                             void (*reading)(struct bp_device *dev, unsigned offset, unsigned size),
                             void (*written)(struct bp_device *dev, unsigned offset, unsigned size));
    /* From minor 2 on. For an IOMMU, from attach(): accesses and messages of all functions of a root bus, and of those
     * behind it, go to this space (borrowed) until the device leaves. */
    void (*set_dma)(struct bp_bus *root, struct bp_space *space);
    /* From minor 3 on. For an IOMMU, from attach(): where messages to 0xfee00000-0xfeefffff go (borrowed), past
     * what set_dma() said; NULL: not past it. */
    void (*set_messages)(struct bp_bus *root, struct bp_space *space);
    /* From minor 4 on. From attach(): Address Translation Services (PCI Express Base 5.0, chapter 10). Once the guest
     * has enabled them, dma() and what reads and writes by it ask the IOMMU and keep what it says until it is revoked.
     * No effect on a conventional bus, which has none. */
    int (*add_ats)(struct bp_device *dev, struct bp_error *err);
    /*
     * From minor 5 on. Another process raises a vector of MSI-X by this eventfd (borrowed). changed(opaque, true): the
     * accelerator sends its messages, and nobody else is to read the descriptor; false, and before the first call:
     * the caller does, and calls msix_notify(). It comes within this call too, under leaf locks of which it takes
     * others only. Said again for the same one, it is another vector's (one that there is not: nobody's); changed
     * NULL: no more. -ENOMEM. [any]
     */
    int (*msix_fd)(struct bp_device *dev, unsigned vector, int fd, void (*changed)(void *opaque, bool taken),
                   void *opaque);
    void *reserved[1];
};

BP_END_DECLS

#endif
