/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel's 82576, as its datasheet (320961) has it: registers of chapter 8, descriptors and interrupts of chapter 7.
 * What others of the family have too is in gigabit.h.
 */
#ifndef IGB_H
#define IGB_H

#include <bp/clock.h>

#include "gigabit.h"

/* Registers that this one has beside those of gigabit.h. */
enum {
    CONNSW = 0x0034, IAM = 0x00e0, TCTL_EXT = 0x0404, PBS = 0x1008, EEMNGCTL = 0x1010, GPIE = 0x1514, EICS = 0x1520,
    EIMS = 0x1524, EIMC = 0x1528, EIAC = 0x152c, EIAM = 0x1530, EICR = 0x1580, EITR = 0x1680, IVAR = 0x1700,
    IVAR_MISC = 0x1740, RXPBS = 0x2404, TXPBS = 0x3404, DTXCTL = 0x3590, RLPML = 0x5004, PSRTYPE = 0x5480,
    RAL_MORE = 0x54e0, SYNQF = 0x55fc, VT_CTL = 0x581c, SAQF = 0x5980, FTQF_END = 0x59fc, IMIR = 0x5a80,
    IMIRVP = 0x5ac0, VMOLR = 0x5ad0, RPLOLR = 0x5af0, GCR = 0x5b00, SWSM = 0x5b50, FWSM = 0x5b54, SW_FW_SYNC = 0x5b5c,
    ETQF = 0x5cb0, VLVF = 0x5d00, UTA = 0xa000, SYSTIML = 0xb600, SYSTIMH = 0xb604, TIMINCA = 0xb608,
    RX_QUEUES = 0xc000, TX_QUEUES = 0xe000, REGISTERS_END = 0xe400,
};
/* From the first register of a queue on. */
enum { Q_SRRCTL = 0x0c, Q_HEAD = 0x10, Q_CONTROL = 0x14, Q_TAIL = 0x18, Q_DCTL = 0x28, Q_DROPPED = 0x30 };
#define QUEUES 16u
#define QUEUE_STRIDE 0x40u
#define VECTORS 10u /* of MSI-X, as the EEPROM of the card gives it */
#define DCTL_ENABLE 0x02000000u
#define GPIE_NSICR 0x1u
#define GPIE_MULTIPLE 0x10u
#define GPIE_EIAME 0x40000000u
#define EICR_OTHER 0x80000000u
#define ICR_ASSERTED 0x80000000u
#define INTERRUPTS 0x7fffffffu
#define TICK 16 /* nanoseconds of the clock of IEEE 1588 */

struct igb_context {
    struct gbe_context c;
    uint16_t tag;
};

struct igb_tx {
    struct igb_context context[2];
    struct gbe_frame frame;
    uint8_t chosen; /* the context that the frame refers to */
};

struct igb {
    struct gbe g;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *throttle[VECTORS]; /* EITR of each vector: no interrupt until it fires */
    uint32_t reg[REGISTERS_END / 4];
    uint32_t told; /* MSI-X: bits of EICR for which a message is out */
    bool asserted; /* otherwise: the one interrupt */
    struct igb_tx tx[QUEUES];
    bool transmitting;
    /* SYSTIM as it was set, when, and how it counts. */
    uint64_t time;
    int64_t time_set;
    uint32_t timinca;
};

static inline unsigned rx_queue(unsigned n)
{
    return RX_QUEUES + QUEUE_STRIDE * n;
}

static inline unsigned tx_queue(unsigned n)
{
    return TX_QUEUES + QUEUE_STRIDE * n;
}

/* ---- interrupt.c ---- */
void igb_interrupt(struct gbe *g, uint32_t causes);
void igb_queue_interrupt(struct igb *s, bool tx, unsigned queue); /* of its entry in IVAR */
void igb_update_interrupts(struct igb *s);
void igb_reset_interrupts(struct igb *s);
/* false: it is no register of interrupts that has to be looked at. */
bool igb_read_interrupts(struct igb *s, unsigned offset, uint32_t *ret_value);
bool igb_write_interrupts(struct igb *s, unsigned offset, uint32_t value);

/* ---- rx.c ---- */
unsigned igb_receive(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count);

/* ---- tx.c ---- */
void igb_tx_run(struct igb *s);
extern const struct bp_state_table igb_tx_table;

#endif
