/* SPDX-License-Identifier: MIT */
/*
 * ATA and ATAPI drives and what they hang on: interface ide/1, offered by `hw-ide`; bus type "IDE". A host
 * adapter makes a bus; drives (ide-hd, ide-cd) plug into its units. A parallel bus is a cable with two
 * units, whose registers the adapter shows to the guest; a serial one is a link with one unit, to which
 * it sends commands as the host-to-device FIS would carry them. Under the machine lock.
 */
#ifndef BP_BUS_IDE_H
#define BP_BUS_IDE_H

#include <bp/device.h>

BP_BEGIN_DECLS

#define BP_IDE_UNITS 2u

/* Registers of the command block, as the standards name them; hob_: "previous content". */
struct bp_ide_registers {
    uint8_t status, error; /* read */
    uint8_t command, feature, hob_feature; /* written */
    uint8_t count, low, mid, high, device;
    uint8_t hob_count, hob_low, hob_mid, hob_high;
    uint8_t control;
    uint8_t reserved8;
};

#define BP_IDE_BUSY 0x80u /* status */
#define BP_IDE_READY 0x40u
#define BP_IDE_FAULT 0x20u
#define BP_IDE_SEEK_DONE 0x10u
#define BP_IDE_DATA_REQUEST 0x08u
#define BP_IDE_ERROR 0x01u

/* What an adapter does for its drives. `unit` is which one speaks. */
struct bp_ide_ops {
    uint32_t size;  /* sizeof(struct bp_ide_ops) */
    uint32_t flags; /* BP_IDE_SERIAL */
    /* Moves data of a DMA command (serial: of any) between `buf` and guest memory. Returns how many bytes:
     * fewer when the guest's list has ended; -errno: memory refused. queue: its tag, or -1. NULL: the
     * adapter has no DMA. */
    int64_t (*transfer)(void *opaque, unsigned unit, int queue, bool to_memory, void *buf, uint32_t len);
    /* Parallel: INTRQ, and DMARQ: when it rises and the adapter is ready it calls dma_go(), also later. */
    void (*interrupt)(void *opaque, int level);
    void (*dma_request)(void *opaque, int level);
    /* Serial. A register FIS; `interrupt`: its I bit. */
    void (*registers)(void *opaque, unsigned unit, const struct bp_ide_registers *regs, bool interrupt);
    /* A PIO set-up FIS for `len` bytes; the data follow by transfer(). `end`: the status afterwards. */
    void (*pio_setup)(void *opaque, unsigned unit, const struct bp_ide_registers *regs, bool to_memory,
                      uint32_t len, uint8_t end, bool interrupt);
    /* The data of the last pio_setup() have moved. */
    void (*pio_end)(void *opaque, unsigned unit, uint8_t end);
    void (*packet)(void *opaque, unsigned unit, void *cdb, uint32_t len); /* the command packet */
    /* A set device bits FIS: queued commands that have ended; status and error. */
    void (*queue_done)(void *opaque, unsigned unit, uint32_t tags, uint8_t status, uint8_t error);
    /* A drive has come or goes. */
    void (*present)(void *opaque, unsigned unit, bool present);
    void *reserved[6];
};
#define BP_IDE_SERIAL (1u << 0)

/* CHS geometry and how firmware translates it. */
struct bp_ide_geometry {
    uint32_t size; /* the caller's sizeof */
    uint32_t cyls, heads, secs;
    uint8_t translation; /* 0 none, 1 LBA, 2 large, 3 revised ECHS */
    uint8_t reserved8[3];
};

struct bp_ide_interface { /* ide/1 */
    uint32_t size;
    /* `name` NULL: ID.N of the adapter's id, or ide.N. `ops` is copied. [main], from attach() */
    int (*new_bus)(struct bp_device *adapter, const char *name, const struct bp_ide_ops *ops, void *opaque,
                   struct bp_bus **ret_bus, struct bp_error *err);
    bool (*present)(struct bp_bus *bus, unsigned unit);
    /* False: there is no such disk (CD-ROM drives have none). */
    bool (*geometry)(struct bp_bus *bus, unsigned unit, struct bp_ide_geometry *ret);
    void (*reset)(struct bp_bus *bus); /* the reset line, or COMRESET */

    /* ---- parallel ---- */
    /* Registers 1..7 of the command block; 8: alternate status and device control. */
    uint8_t (*read)(struct bp_bus *bus, unsigned reg);
    void (*write)(struct bp_bus *bus, unsigned reg, uint8_t value);
    uint32_t (*read_data)(struct bp_bus *bus, unsigned size); /* 1, 2 or 4 bytes */
    void (*write_data)(struct bp_bus *bus, uint32_t value, unsigned size);
    void (*dma_go)(struct bp_bus *bus); /* data can move now; without DMARQ: nothing */

    /* ---- serial ---- */
    /* A host-to-device register FIS: a command (`is_command`), or a change of the control register. */
    void (*command)(struct bp_bus *bus, const struct bp_ide_registers *regs, bool is_command);
    /* The registers now: signature or last status. */
    void (*registers)(struct bp_bus *bus, struct bp_ide_registers *ret);
    bool (*packet_device)(struct bp_bus *bus); /* it takes PACKET commands */
    /* The adapter has stopped: what is under way ends without a word. */
    void (*stop)(struct bp_bus *bus);
    void *reserved[8];
};

BP_END_DECLS

#endif
