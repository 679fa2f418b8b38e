/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel's 82540EM, as "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (317453)
 * has it: registers of chapter 13, descriptors of chapter 3. What later cards have too is in gigabit.h.
 */
#ifndef E1000_H
#define E1000_H

#include "gigabit.h"

enum { REGISTERS_END = 0x5c00 };
#define INTERRUPTS 0x1ffffu

struct e1000 {
    struct gbe g;
    struct bp_net_conf conf;
    int32_t bootindex;
    struct bp_timer *throttle; /* ITR: no interrupt until it fires */

    uint32_t reg[REGISTERS_END / 4];

    struct gbe_tx tx;
    bool transmitting;
};

/* ---- rx.c ---- */
unsigned rx_receive(void *card, unsigned queue, const struct bp_net_packet *packets, unsigned count);

#endif
