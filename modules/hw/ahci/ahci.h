/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serial ATA AHCI 1.3.1: what the files of this folder share. Under the machine lock. */
#ifndef HW_AHCI_AHCI_H
#define HW_AHCI_AHCI_H

#include <errno.h>
#include <string.h>

#include <bp/bus/ide.h>
#include <bp/bus/pci.h>
#include <bp/log.h>
#include <bp/loop.h>

/* Imported in ahci.c. */
extern const struct bp_pci_interface *const *const ahci_pci;
extern const struct bp_ide_interface *const *const ahci_ide;
#define pci (*ahci_pci)
#define ide (*ahci_ide)

#define AHCI_PORTS 6u
#define AHCI_SLOTS 32u

/* PxIS, PxIE (3.3.5) */
#define IS_DHRS (1u << 0)  /* register FIS */
#define IS_PSS (1u << 1)   /* PIO set-up FIS */
#define IS_SDBS (1u << 3)  /* set device bits FIS */
#define IS_DPS (1u << 5)   /* a descriptor with I was used */
#define IS_PCS (1u << 6)   /* from PxSERR.DIAG.X */
#define IS_PRCS (1u << 22) /* from PxSERR.DIAG.N */
#define IS_OFS (1u << 24)  /* more data than descriptors */
#define IS_HBDS (1u << 28)
#define IS_HBFS (1u << 29) /* memory refused */
#define IS_TFES (1u << 30) /* the device has set ERR */
#define IS_ALL 0xfdc000ffu
#define IS_DERIVED (IS_PCS | IS_PRCS | 1u << 4)

/* PxCMD (3.3.7) */
#define CMD_ST (1u << 0)
#define CMD_SUD (1u << 1)
#define CMD_POD (1u << 2)
#define CMD_CLO (1u << 3)
#define CMD_FRE (1u << 4)
#define CMD_CCS 8u /* shift */
#define CMD_FR (1u << 14)
#define CMD_CR (1u << 15)
#define CMD_ATAPI (1u << 24)
#define CMD_WRITABLE 0x0f000001u /* ATAPI, DLAE, ALPE, ASP; ST. FRE is apart */

#define SERR_N (1u << 16)
#define SERR_X (1u << 26)
#define SSTS_UP 0x123u /* device and communication, 3 Gb/s, active */

/* Where a command is in its table of descriptors. */
struct cursor {
    uint64_t next; /* address of the next descriptor */
    uint64_t addr;
    uint32_t entries, left; /* descriptors still to be read; bytes of this one */
    uint32_t moved;
    bool told; /* its I bit, when it is used up */
};

struct ahci;

struct port {
    struct ahci *ahci;
    struct bp_bus *bus;
    struct bp_deferred *run;
    unsigned number;
    bool moving;

    uint64_t clb, fb;
    uint32_t is, ie, cmd, tfd, sig, sctl, serr, sact, ci;
    bool up;        /* the link */
    bool stopped;   /* an error: nothing is done until ST is cleared */
    bool signature; /* the next register FIS is one */
    uint8_t current; /* slot of the command that is not queued, AHCI_SLOTS: none */
    uint8_t next;    /* slot that is looked at first */
    bool pio_interrupt;
    uint8_t acmd[16];
    struct cursor cursors[AHCI_SLOTS];
};

struct ahci {
    struct bp_device *dev;
    uint32_t ghc, is, index;
    struct port ports[AHCI_PORTS];
};

#define GHC_HR (1u << 0)
#define GHC_IE (1u << 1)
#define GHC_AE (1u << 31)

void ahci_update(struct ahci *s);

/* port.c */
uint32_t port_read(const struct port *p, unsigned reg);
void port_write(struct port *p, unsigned reg, uint32_t value);
void port_init(struct port *p);
void port_link(struct port *p, bool present); /* after a reset, or when a drive comes or goes */
void port_raise(struct port *p, uint32_t bits);

/* command.c */
extern const struct bp_ide_ops ahci_ide_ops;
void command_run(void *opaque);

#endif
