/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's paravirtual card, revision 1 of its interface as Linux's drivers/net/vmxnet3/vmxnet3_defs.h and upt1_defs.h
 * give its registers, commands, descriptors and shared memory. The driver's areas are read when a command says so;
 * rings are followed by their generation bits. Everything under the machine lock.
 */
#ifndef VMXNET3_H
#define VMXNET3_H

#include <bp/bus/pci.h>
#include <bp/host/net.h>
#include <bp/state.h>

#include "ethernet.h"

#define TX_QUEUES 8u
#define RX_QUEUES 8u
#define VECTORS 25u
#define RING_MAX 4096u     /* descriptors */
#define COMPLETION_MAX 8192u
#define DESCRIPTOR 16u     /* bytes, of every kind */
#define FRAME_MAX BP_NET_MAX_PACKET
#define MULTICAST_MAX 256u /* addresses; more of them: all multicast passes */

/* rxMode. */
#define MODE_UNICAST 0x01u
#define MODE_MULTICAST 0x02u
#define MODE_BROADCAST 0x04u
#define MODE_ALL_MULTI 0x08u
#define MODE_PROMISCUOUS 0x10u
/* uptFeatures. */
#define FEATURE_RXCSUM 0x1u
#define FEATURE_RSS 0x2u
#define FEATURE_RXVLAN 0x4u
/* Events. */
#define EVENT_RX_ERROR 0x1u
#define EVENT_TX_ERROR 0x2u
#define EVENT_LINK 0x4u

/* A ring of the driver's, or of completions. */
struct ring {
    uint64_t base;
    uint32_t count, next;
    bool generation;
};

/* Counters in the order of UPT1_TxStats and UPT1_RxStats. */
enum { TX_TSO_PACKETS, TX_TSO_BYTES, TX_UNICAST, TX_ERROR = 8, TX_DISCARD };
enum { RX_UNICAST = 2, RX_OUT_OF_BUFFERS = 8, RX_ERROR };
#define COUNTERS 10u

struct offload {
    uint32_t mode, header, mss; /* of the first descriptor: om, hlen, msscof */
    bool tagged;
    uint16_t tag;
};

struct tx {
    struct ring ring, done;
    uint8_t interrupt;
    /* The packet that is being put together. */
    uint8_t *frame; /* FRAME_MAX; made when the first bytes arrive */
    uint32_t length;
    bool begun, bad;
    bool whole; /* it waits for the network to take it */
    struct offload offload;
    struct bp_net_offload left; /* of a whole one */
    uint32_t last;              /* its last descriptor */
    bool reports;               /* it wants a completion */
    uint64_t counters[COUNTERS];
    struct bp_state_bytes saved;
};

struct rx {
    struct ring ring[2], done;
    uint8_t interrupt;
    uint64_t counters[COUNTERS];
};

struct vmxnet3 {
    struct bp_device *dev;
    struct bp_nic *nic;
    const struct bp_pci_interface *pci;
    const struct bp_net_interface *net;
    struct bp_net_conf conf;
    int32_t bootindex;

    uint64_t shared, queues; /* guest addresses of the shared area, of the queues' descriptors */
    uint32_t result;         /* what CMD reads */
    bool active;
    uint8_t mac[6];
    uint32_t masked[VECTORS];  /* IMR */
    uint32_t pending;          /* interrupts, by number */
    bool auto_mask;
    uint8_t event_interrupt, intx;
    uint32_t events; /* that the driver has not acknowledged */
    uint64_t features;
    uint32_t mtu;
    uint32_t tx_count, rx_count;
    struct tx tx[TX_QUEUES];
    struct rx rx[RX_QUEUES];
    bool transmitting;

    /* filters */
    uint32_t mode, multicast_count;
    bool multicast_overflow;
    uint8_t multicast[MULTICAST_MAX][6];
    uint32_t vlans[128];
    /* receive-side scaling */
    uint32_t hash_kinds, table_size; /* 0 entries: none */
    uint8_t key[ETHERNET_KEY], table[128];
};

/* ---- vmxnet3.c ---- */
void vmxnet3_interrupt(struct vmxnet3 *s, unsigned number);
void vmxnet3_event(struct vmxnet3 *s, uint32_t events);
/* The next of a ring, in the generation after the last. */
static inline void vmxnet3_step(struct ring *r)
{
    if (++r->next >= r->count) {
        r->next = 0;
        r->generation = !r->generation;
    }
}
/* Writes a completion; its generation bit is the ring's. */
void vmxnet3_complete(struct vmxnet3 *s, struct ring *r, uint8_t d[DESCRIPTOR]);

/* ---- command.c ---- */
void vmxnet3_command(struct vmxnet3 *s, uint32_t command);
void vmxnet3_stop(struct vmxnet3 *s); /* as after a reset */

/* ---- tx.c ---- */
void vmxnet3_tx_run(struct vmxnet3 *s, unsigned queue);
void vmxnet3_tx_reset(struct tx *tx); /* nothing is under way */

/* ---- rx.c ---- */
unsigned vmxnet3_receive(void *opaque, unsigned queue, const struct bp_net_packet *packets, unsigned count);

#endif
