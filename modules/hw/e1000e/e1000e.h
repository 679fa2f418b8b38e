/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel's 82574L, as its datasheet (317694) has it: registers of chapter 10, descriptors of chapter 7, interrupts of
 * chapter 7.4. What others of the family have too is in gigabit.h.
 */
#ifndef E1000E_H
#define E1000E_H

#include <bp/clock.h>

#include "gigabit.h"

/* Registers that this one has beside those of gigabit.h. */
enum {
    FEXTNVM = 0x0028, EIAC = 0x00dc, IAM = 0x00e0, IVAR = 0x00e4, EITR = 0x00e8, TCTL_EXT = 0x0404,
    EXTCNF_CTRL = 0x0f00, EXTCNF_SIZE = 0x0f08, PHY_CTRL = 0x0f10, PBS = 0x1008, EEMNGCTL = 0x1010, FLOP = 0x103c,
    ERT = 0x2008, PSRCTL = 0x2170, RAID = 0x2c08, TARC = 0x3840, GCR = 0x5b00, FACTPS = 0x5b30, SWSM = 0x5b50,
    FWSM = 0x5b54, SW_FW_SYNC = 0x5b5c, GCR2 = 0x5b64, REGISTERS_END = 0x6000,
    SYSTIML = 0xb600, SYSTIMH = 0xb604, TIMINCA = 0xb608,
};
#define QUEUES 2u
#define QUEUE_STRIDE 0x100u /* from a register of one queue to that of the next */
#define VECTORS 5u
#define ICR_RXQ0 0x00100000u
#define ICR_TXQ0 0x00400000u
#define ICR_OTHER 0x01000000u
#define ICR_ASSERTED 0x80000000u
#define OTHER_CAUSES 0x00070244u /* LSC, RXO, MDAC, SRPD, ACK, MNG */
#define INTERRUPTS 0x01ffffffu
#define CTRL_EXT_EIAME 0x01000000u
#define CTRL_EXT_IAME 0x08000000u
#define RFCTL_EXTEN 0x00008000u
#define TICK 40 /* nanoseconds: 25 MHz of the clock of IEEE 1588 */

struct e1000e {
    struct gbe g;
    struct bp_net_conf conf;
    int32_t bootindex;
    /* ITR, or EITR of each vector: no interrupt until it fires. */
    struct bp_timer *throttle[VECTORS];
    uint32_t reg[REGISTERS_END / 4];
    uint32_t told; /* MSI-X: causes for which a message is out */
    struct gbe_tx tx[QUEUES];
    bool transmitting;
    /* SYSTIM as it was set, when, and how it counts. */
    uint64_t time;
    int64_t time_set;
    uint32_t timinca;
};

/* ---- interrupt.c ---- */
void e1000e_interrupt(struct gbe *g, uint32_t causes);
void e1000e_update_interrupts(struct e1000e *s);
uint32_t e1000e_read_icr(struct e1000e *s);
void e1000e_reset_interrupts(struct e1000e *s);

/* ---- rx.c ---- */
unsigned e1000e_receive(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count);

#endif
