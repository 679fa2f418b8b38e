/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AMD Am79C970A, PCnet-PCI II, as its data sheet has it: registers in ports and in memory, of 16
 * and of 32 bits, the rings of all software styles, its polling. Left out: what a wire would do to
 * frames, look-ahead packet processing, the magic packet, the expansion bus, writes to the EEPROM.
 */
#ifndef PCNET_H
#define PCNET_H

#include <bp/bus/pci.h>
#include <bp/clock.h>

#include "nic.h"

#define CSRS 128u
#define BCRS 32u
#define CSR0_INIT 0x0001u
#define CSR0_START 0x0002u
#define CSR0_STOP 0x0004u
#define CSR0_DEMAND 0x0008u
#define CSR0_TX_ON 0x0010u
#define CSR0_RX_ON 0x0020u
#define CSR0_ENABLE 0x0040u
#define CSR0_INTERRUPT 0x0080u
#define CSR0_INIT_DONE 0x0100u
#define CSR0_TX 0x0200u
#define CSR0_RX 0x0400u
#define CSR0_MEMORY 0x0800u
#define CSR0_MISSED 0x1000u
#define CSR0_COLLISION 0x2000u
#define CSR0_BABBLE 0x4000u
#define CSR0_ERROR 0x8000u
#define MODE_NO_RX 0x0001u
#define MODE_NO_TX 0x0002u
#define MODE_LOOPBACK 0x0004u
#define MODE_NO_FCS 0x0008u
#define MODE_NO_PHYSICAL 0x2000u
#define MODE_NO_BROADCAST 0x4000u
#define MODE_PROMISCUOUS 0x8000u
#define CSR4_NO_POLL 0x1000u
#define CSR4_PAD 0x0800u
#define CSR4_STRIP 0x0400u
#define CSR4_USER 0x0040u
#define CSR4_USER_COMMAND 0x0080u
#define CSR4_COUNTER 0x0200u
#define CSR4_TX_START 0x0008u
#define CSR5_SUSPEND 0x0001u
#define CSR5_LAST_TX 0x4000u
#define CSR5_NO_TX 0x8000u

enum {
    CSR_IADR = 1,
    CSR_LADRF = 8,
    CSR_PADR = 12,
    CSR_MODE = 15,
    CSR_RX_BASE = 24,
    CSR_TX_BASE = 30,
    CSR_POLL = 47,
    CSR_STYLE = 58,
    CSR_RX_AT = 72,
    CSR_TX_AT = 74,
    CSR_RX_LENGTH = 76,
    CSR_TX_LENGTH = 78,
    CSR_ID = 88,
    CSR_MISSED = 112
};
enum { BCR_MISC = 2, BCR_LINK = 4, BCR_BUS = 18, BCR_STYLE = 20 };
#define BCR18_DWIO 0x0080u

/* A descriptor in whatever style. */
struct pcnet_descriptor {
    uint32_t buffer;  /* its address */
    uint32_t status;  /* with the count, as the second double word of style 2 has it */
    uint32_t message; /* the count of a message, or what befell it */
};
#define D_OWN 0x80000000u
#define D_ERROR 0x40000000u
#define D_OVERFLOW 0x10000000u
#define D_BUFFER 0x04000000u
#define D_START 0x02000000u
#define D_END 0x01000000u
#define D_NO_FCS 0x20000000u
#define D_LAST_TX 0x10000000u
#define D_PHYSICAL 0x00400000u
#define D_LOGICAL 0x00200000u
#define D_BROADCAST 0x00100000u

struct pcnet {
    struct bp_nic *nic;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *poll;

    uint16_t csr[CSRS], bcr[BCRS];
    uint8_t rap;
    uint8_t prom[16];
    uint8_t frame[CARD_FRAME_MAX];
    bool running;
};

extern const struct bp_pci_interface *pcnet_pci;
extern const struct bp_net_interface *pcnet_net;

/* ---- pcnet.c ---- */
void pcnet_update(struct pcnet *s); /* interrupts */
/* ---- ring.c ---- */
void pcnet_transmit(struct pcnet *s);
unsigned pcnet_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets,
                       unsigned count);
int pcnet_initialise(
    struct pcnet *s); /* reads the initialization block; -errno: memory did not answer */

static inline uint32_t pcnet_pair(const struct pcnet *s, unsigned n)
{
    return s->csr[n] | (uint32_t)s->csr[n + 1] << 16;
}

#endif
